//! The steps after pooling: the modules `Dense`, `LayerNorm` and `Normalize` of sentence-transformers.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files::{Object, get, read_json, refuse_unknown};
use crate::{Error, Result};

/// One step after pooling, as described by its file.
#[derive(Debug, Clone, PartialEq)]
pub enum StepConfig {
    /// y = f(x·Wᵀ + b), plus x or x·Vᵀ if it is residual.
    Dense(DenseConfig),
    /// (x − mean) / √(variance + 1e-5), times a weight and plus a bias.
    LayerNorm {
        /// Its dimension.
        dim: usize,
    },
    /// x / |x|.
    Normalize,
}

impl StepConfig {
    /// Whether it is x·Wᵀ and nothing else.
    pub fn is_linear_map(&self) -> bool {
        matches!(
            self,
            Self::Dense(DenseConfig { bias: false, function: Function::Identity, residual: false, .. })
        )
    }
}

/// A linear layer followed by a function.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseConfig {
    /// Input dimension.
    pub inputs: usize,
    /// Output dimension.
    pub outputs: usize,
    /// Whether there is a b.
    pub bias: bool,
    /// f.
    pub function: Function,
    /// Whether it is residual.
    pub residual: bool,
}

/// The function applied to every value of a linear layer's result: those of `torch.nn` with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PyTorch's")]
pub enum Function {
    Identity,
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
    Silu,
    Elu,
    Selu,
    LeakyRelu,
    Relu6,
    Softplus,
    Softsign,
    Mish,
    Hardtanh,
    Hardsigmoid,
    Hardswish,
    LogSigmoid,
    Tanhshrink,
}

/// PyTorch's names, without prefixes such as `torch.nn.modules.activation.`.
const FUNCTIONS: [(Function, &str); 18] = [
    (Function::Identity, "Identity"),
    (Function::Tanh, "Tanh"),
    (Function::Relu, "ReLU"),
    (Function::Gelu, "GELU"),
    (Function::Sigmoid, "Sigmoid"),
    (Function::Silu, "SiLU"),
    (Function::Elu, "ELU"),
    (Function::Selu, "SELU"),
    (Function::LeakyRelu, "LeakyReLU"),
    (Function::Relu6, "ReLU6"),
    (Function::Softplus, "Softplus"),
    (Function::Softsign, "Softsign"),
    (Function::Mish, "Mish"),
    (Function::Hardtanh, "Hardtanh"),
    (Function::Hardsigmoid, "Hardsigmoid"),
    (Function::Hardswish, "Hardswish"),
    (Function::LogSigmoid, "LogSigmoid"),
    (Function::Tanhshrink, "Tanhshrink"),
];

impl Function {
    fn named(path: &Path, name: &str) -> Result<Self> {
        let class = name.strip_prefix("torch.nn.").and_then(|rest| rest.rsplit('.').next());
        FUNCTIONS
            .into_iter()
            .find(|(_, known)| Some(*known) == class)
            .map(|(function, _)| function)
            .ok_or_else(|| {
                let known: Vec<&str> = FUNCTIONS.iter().map(|(_, name)| *name).collect();
                Error::unsupported(
                    path,
                    "activation_function",
                    format!("torch.nn's {}", known.join(", ")),
                    name,
                )
            })
    }
}

/// `config.json` of a `Dense` module as saved here: the identity after x·Wᵀ.
#[derive(Serialize)]
pub(crate) struct DenseFile {
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
    pub(crate) bias: bool,
    pub(crate) activation_function: &'static str,
}

/// The only function that keeps a linear layer linear.
pub(crate) const IDENTITY: &str = "torch.nn.modules.linear.Identity";

impl StepConfig {
    pub(super) fn read_dense(folder: &Path) -> Result<Self> {
        let path = module_file(folder);
        if !path.is_file() {
            return Err(Error::MissingFile { folder: folder.into(), file: "config.json" });
        }
        let file: Object = read_json(&path)?;
        let known = [
            "in_features",
            "out_features",
            "bias",
            "activation_function",
            "module_input_name",
            "module_output_name",
            "use_residual",
        ];
        refuse_unknown(&path, &file, &known)?;
        check_place(&path, &file)?;
        let size = |key| match get::<usize>(&path, &file, key)? {
            Some(size) if size > 0 => Ok(size),
            _ => Err(Error::unsupported(
                &path,
                key,
                "a number above 0",
                file.get(key).map_or("missing".into(), ToString::to_string),
            )),
        };
        let function = match file.get("activation_function") {
            None => Function::Tanh,
            Some(value) => Function::named(&path, value.as_str().unwrap_or(&value.to_string()))?,
        };
        Ok(Self::Dense(DenseConfig {
            inputs: size("in_features")?,
            outputs: size("out_features")?,
            bias: get(&path, &file, "bias")?.unwrap_or(true),
            function,
            residual: get(&path, &file, "use_residual")?.unwrap_or(false),
        }))
    }

    pub(super) fn read_layer_norm(folder: &Path) -> Result<Self> {
        let path = module_file(folder);
        if !path.is_file() {
            return Err(Error::MissingFile { folder: folder.into(), file: "config.json" });
        }
        let file: Object = read_json(&path)?;
        refuse_unknown(&path, &file, &["dimension"])?;
        match get::<usize>(&path, &file, "dimension")? {
            Some(dim) if dim > 0 => Ok(Self::LayerNorm { dim }),
            _ => Err(Error::unsupported(&path, "dimension", "a number above 0", "missing")),
        }
    }

    /// Its name in `modules.json`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "Dense",
            Self::LayerNorm { .. } => "LayerNorm",
            Self::Normalize => "Normalize",
        }
    }
}

/// The file of a module, in its folder.
pub(super) fn module_file(folder: &Path) -> PathBuf {
    folder.join("config.json")
}

/// A step reads the text's vector and writes it.
pub(super) fn check_place(path: &Path, file: &Object) -> Result<()> {
    const VECTOR: &str = "sentence_embedding";
    for key in ["module_input_name", "module_output_name"] {
        if let Some(other) = get::<String>(path, file, key)?.filter(|name| name != VECTOR) {
            return Err(Error::unsupported(path, key, VECTOR, other));
        }
    }
    Ok(())
}
