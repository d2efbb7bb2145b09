//! Values on the stack of a [`Machine`](super::pickle::Machine).

use std::rc::Rc;

use safetensors::Dtype;

type Result<T> = std::result::Result<T, String>;

/// Maximum nesting of tuples: a tensor's arguments have three levels.
const MOST_DEPTH: usize = 8;

/// A value on the machine's stack.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The number at the start of the older layout.
    Magic,
    Integer(i64),
    /// A number, a Boolean or None, which affects no tensor.
    Other,
    Text(Rc<str>),
    Tuple(Rc<Tuple>),
    /// A list or a dictionary, by its index in the machine.
    List(usize),
    Dictionary(usize),
    Global(Global),
    Storage(Rc<StorageRef>),
    Tensor(Rc<TensorRef>),
}

#[derive(Debug)]
pub(super) struct Tuple {
    pub(super) items: Vec<Value>,
    /// Depth of tuples within it.
    depth: usize,
}

/// The storage that a tensor is a view of.
#[derive(Debug)]
pub(super) struct StorageRef {
    pub(super) key: Rc<str>,
    pub(super) dtype: Dtype,
}

/// A tensor: some values of a storage.
#[derive(Debug)]
pub(super) struct TensorRef {
    pub(super) storage: Rc<StorageRef>,
    /// Counted in values.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The permitted names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

pub(super) fn tuple(items: Vec<Value>) -> Result<Value> {
    let depth = |value: &Value| if let Value::Tuple(tuple) = value { tuple.depth } else { 0 };
    let depth = 1 + items.iter().map(depth).max().unwrap_or(0);
    if depth > MOST_DEPTH {
        return Err(format!("tuples within each other, more than {MOST_DEPTH} deep"));
    }
    Ok(Value::Tuple(Rc::new(Tuple { items, depth })))
}

pub(super) fn size(value: &Value) -> Result<usize> {
    match value {
        Value::Integer(size) => usize::try_from(*size).map_err(|_| format!("the size {size}")),
        _ => Err("a size that is no whole number".into()),
    }
}

pub(super) fn sizes(values: &[Value]) -> Result<Vec<usize>> {
    values.iter().map(size).collect()
}

pub(super) fn global(module: &str, name: &str) -> Result<Global> {
    let dtype = match (module, name) {
        ("collections", "OrderedDict") => return Ok(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => return Ok(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => return Ok(Global::RebuildParameter),
        ("torch", "FloatStorage") => Dtype::F32,
        ("torch", "DoubleStorage") => Dtype::F64,
        ("torch", "HalfStorage") => Dtype::F16,
        ("torch", "BFloat16Storage") => Dtype::BF16,
        ("torch", "LongStorage") => Dtype::I64,
        ("torch", "IntStorage") => Dtype::I32,
        ("torch", "ShortStorage") => Dtype::I16,
        ("torch", "CharStorage") => Dtype::I8,
        ("torch", "ByteStorage") => Dtype::U8,
        ("torch", "BoolStorage") => Dtype::BOOL,
        _ => {
            return Err(format!(
                "it asks for `{module}.{name}`, which weights do not need; nothing of it was run"
            ));
        }
    };
    Ok(Global::Storage(dtype))
}
