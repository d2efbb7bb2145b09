//! An interpreter for the pickles of `torch.save`, which builds tables of tensors and runs no code.
//!
//! It knows only the names needed for a dictionary of tensors; any other name is an error, as is any instruction that
//! such pickles do not contain. All lengths are bounded by the bytes available, and values used repeatedly are shared,
//! not copied.

use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Global, StorageRef, TensorRef, Value, global, size, sizes, tuple};

type Result<T> = std::result::Result<T, String>;

/// Maximum bytes of a name.
const MOST_NAME: usize = 200;
/// Maximum dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;
/// Maximum instructions of a pickle: a tensor takes some 50.
const MOST_STEPS: usize = 1_000_000;
/// `0x1950a86a20f9469cfc6c`, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

pub(super) struct Machine<'b> {
    bytes: &'b [u8],
    stack: Vec<Value>,
    /// Positions of marks on the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    lists: Vec<Vec<Value>>,
    dictionaries: Vec<Vec<(Value, Value)>>,
    /// Size of a value in bytes, by storage type.
    sizes: HashMap<Rc<str>, usize>,
}

impl<'b> Machine<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            lists: Vec::new(),
            dictionaries: Vec::new(),
            sizes: HashMap::new(),
        }
    }

    /// The bytes after the pickles that were run.
    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes
    }

    /// The entries of a dictionary.
    pub(super) fn entries(&self, value: &Value) -> Option<&[(Value, Value)]> {
        if let Value::Dictionary(at) = value { Some(&self.dictionaries[*at]) } else { None }
    }

    /// The texts of a list.
    pub(super) fn texts(&self, value: &Value) -> Option<Vec<Rc<str>>> {
        let Value::List(at) = value else { return None };
        let text = |value: &Value| if let Value::Text(text) = value { Some(Rc::clone(text)) } else { None };
        self.lists[*at].iter().map(text).collect()
    }

    /// Size of a value in bytes, by storage type.
    pub(super) fn storage_sizes(&self) -> HashMap<Rc<str>, usize> {
        self.sizes.clone()
    }

    /// Runs one pickle to its end and returns its result.
    pub(super) fn run(&mut self) -> Result<Value> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        for _ in 0..MOST_STEPS {
            if self.step()? {
                return self.pop();
            }
        }
        Err(format!("a pickle of more than {MOST_STEPS} instructions"))
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        if count > self.bytes.len() {
            return Err("the pickle is cut".into());
        }
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn line(&mut self) -> Result<&'b str> {
        let within = &self.bytes[..self.bytes.len().min(MOST_NAME)];
        let length = within.iter().position(|&byte| byte == b'\n').ok_or("a name without an end")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| "a name that is no UTF-8".into())
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().ok_or_else(|| "the pickle takes a value that is not there".into())
    }

    /// The values pushed since the last mark.
    fn marked(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("the pickle takes a mark that is not there")?))
    }

    /// Runs one instruction; returns whether it was the last.
    fn step(&mut self) -> Result<bool> {
        let [code] = self.array()?;
        let value = match code {
            0x80 => {
                self.array::<1>()?;
                return Ok(false);
            }
            b'.' => return Ok(true),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(false);
            }
            b'q' => return self.remember(|machine| Ok(u32::from(machine.array::<1>()?[0]))),
            b'r' => return self.remember(|machine| Ok(u32::from_le_bytes(machine.array()?))),
            b'h' => {
                let [at] = self.array()?;
                self.recall(u32::from(at))?
            }
            b'j' => {
                let at = u32::from_le_bytes(self.array()?);
                self.recall(at)?
            }
            b'N' | 0x88 | 0x89 => Value::Other,
            b'G' => {
                self.array::<8>()?;
                Value::Other
            }
            b'K' => Value::Integer(self.array::<1>()?[0].into()),
            b'M' => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            b'J' => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            0x8a => self.long()?,
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is no UTF-8")?;
                Value::Text(text.into())
            }
            b')' => tuple(Vec::new())?,
            b't' => tuple(self.marked()?)?,
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let from =
                    self.stack.len().checked_sub(count).ok_or("a tuple of values that are not there")?;
                tuple(self.stack.split_off(from))?
            }
            b']' => {
                self.lists.push(Vec::new());
                Value::List(self.lists.len() - 1)
            }
            b'}' => self.dictionary(),
            b'a' => {
                let item = self.pop()?;
                return self.append(vec![item]);
            }
            b'e' => {
                let items = self.marked()?;
                return self.append(items);
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set_items(vec![key, value]);
            }
            b'u' => {
                let items = self.marked()?;
                return self.set_items(items);
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Global(global(module, name)?)
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => {
                // The state of a dictionary: versions of modules, which affect no value.
                self.pop()?;
                match self.pop()? {
                    dictionary @ Value::Dictionary(_) => dictionary,
                    _ => return Err("the pickle sets the state of something that is no dictionary".into()),
                }
            }
            other => return Err(format!("instruction {other:#04x} of pickles, which weights do not need")),
        };
        self.stack.push(value);
        Ok(false)
    }

    fn remember(&mut self, at: impl FnOnce(&mut Self) -> Result<u32>) -> Result<bool> {
        let at = at(self)?;
        let value = self.stack.last().ok_or("the pickle remembers a value that is not there")?.clone();
        self.memo.insert(at, value);
        Ok(false)
    }

    fn recall(&self, at: u32) -> Result<Value> {
        self.memo.get(&at).cloned().ok_or_else(|| "the pickle recalls a value that is not there".into())
    }

    fn long(&mut self) -> Result<Value> {
        let [length] = self.array()?;
        let bytes = self.take(usize::from(length))?;
        if bytes == MAGIC {
            return Ok(Value::Magic);
        }
        if bytes.len() > 8 {
            return Err("a whole number of more than 8 bytes".into());
        }
        let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut number = [fill; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Integer(i64::from_le_bytes(number)))
    }

    fn dictionary(&mut self) -> Value {
        self.dictionaries.push(Vec::new());
        Value::Dictionary(self.dictionaries.len() - 1)
    }

    fn append(&mut self, items: Vec<Value>) -> Result<bool> {
        let Some(Value::List(at)) = self.stack.last() else {
            return Err("the pickle appends to no list".into());
        };
        self.lists[*at].extend(items);
        Ok(false)
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<bool> {
        let Some(Value::Dictionary(at)) = self.stack.last() else {
            return Err("the pickle sets an item of no dictionary".into());
        };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let value = items.next().ok_or("a key without a value")?;
            self.dictionaries[*at].push((key, value));
        }
        Ok(false)
    }

    /// `('storage', TYPE, KEY, PLACE, COUNT)`, and in the older layout a view's data, which must be None.
    fn storage(&mut self) -> Result<Value> {
        let id = self.pop()?;
        let Value::Tuple(tuple) = id else {
            return Err("a reference to something that is no storage".into());
        };
        let wrong = || "a reference to something that is no storage".to_owned();
        let [
            Value::Text(kind),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
            rest @ ..,
        ] = &tuple.items[..]
        else {
            return Err(wrong());
        };
        if &**kind != "storage" || !matches!(rest, [Value::Integer(_)] | [Value::Integer(_), Value::Other]) {
            return Err(wrong());
        }
        self.sizes.insert(Rc::clone(key), dtype.bitsize() / 8);
        Ok(Value::Storage(Rc::new(StorageRef { key: Rc::clone(key), dtype: *dtype })))
    }

    /// A call of one of the known names.
    fn call(&mut self) -> Result<Value> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Global(callable)) = (arguments, callable) else {
            return Err("the pickle calls something that is no name".into());
        };
        match (callable, &arguments.items[..]) {
            (Global::OrderedDict, []) => Ok(self.dictionary()),
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
            (
                Global::RebuildTensor,
                [Value::Storage(storage), offset, Value::Tuple(shape), Value::Tuple(strides), ..],
            ) => {
                let (shape, strides) = (sizes(&shape.items)?, sizes(&strides.items)?);
                if shape.len() != strides.len() || shape.len() > MOST_DIMENSIONS {
                    return Err(format!(
                        "a tensor of {} dimensions with {} strides",
                        shape.len(),
                        strides.len()
                    ));
                }
                Ok(Value::Tensor(Rc::new(TensorRef {
                    storage: Rc::clone(storage),
                    offset: size(offset)?,
                    shape,
                    strides,
                })))
            }
            _ => Err("a call that no tensor is made by".into()),
        }
    }
}
