//! `modules.json`: the modules applied to a text, in order.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pooling::{Pooling, PoolingMode};
use super::step::{StepConfig, check_place, module_file};
use crate::files::{Object, read_json, refuse_unknown};
use crate::{Error, Result};

/// One entry of `modules.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Module {
    #[serde(default)]
    pub(crate) idx: usize,
    pub(crate) name: String,
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// The modules of a checkpoint, checked: a transformer, a pooling, and the steps after it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modules {
    /// The folder of the transformer's files.
    pub(crate) transformer: PathBuf,
    pub(crate) pooling: Pooling,
    /// The steps after pooling, each with its folder.
    pub(crate) steps: Vec<(PathBuf, StepConfig)>,
}

const FILE: &str = "modules.json";

impl Modules {
    /// `None` if the folder has no `modules.json`.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let modules: Vec<Module> = read_json(&path)?;
        check_names(&path, &modules)?;
        let wrong =
            |expected: &str, received: &str| Err(Error::unsupported(&path, "a module", expected, received));
        let mut rest = modules.iter();
        let transformer = match rest.next() {
            Some(first) if kind(&path, first)? == "Transformer" => folder.join(&first.path),
            Some(other) => {
                return wrong("sentence_transformers.models.Transformer, as the first", &other.kind);
            }
            None => return wrong("sentence_transformers.models.Transformer, as the first", "missing"),
        };
        let mut pooling = None;
        let mut steps = Vec::new();
        for module in rest {
            let own = folder.join(&module.path);
            match (kind(&path, module)?, &pooling) {
                ("Pooling", None) => pooling = Some(read_pooling(&own)?),
                ("Dense", Some(_)) => steps.push((own.clone(), StepConfig::read_dense(&own)?)),
                ("LayerNorm", Some(_)) => steps.push((own.clone(), StepConfig::read_layer_norm(&own)?)),
                // Before pooling there is no vector to normalise, and tokens are not changed.
                ("Normalize", before) => {
                    check_normalize(&own)?;
                    if before.is_some() {
                        steps.push((own, StepConfig::Normalize));
                    }
                }
                // It is the identity except in training.
                ("Dropout", Some(_)) => {}
                ("Transformer", _) => return wrong("one Transformer", "a second one"),
                ("Pooling", Some(_)) => return wrong("one Pooling", "a second one"),
                _ => return wrong("Transformer, Pooling, then Dense, LayerNorm, Normalize", &module.kind),
            }
        }
        let Some(pooling) = pooling else { return wrong("a Pooling after the Transformer", "missing") };
        Ok(Some(Self { transformer, pooling, steps }))
    }

    /// A plain transformers folder: mean pooling, as in sentence-transformers; for a causal model, the
    /// last token.
    pub(crate) fn of_transformer(folder: &Path, is_causal: bool) -> Self {
        let mode = if is_causal { PoolingMode::LastToken } else { PoolingMode::Mean };
        Self { transformer: folder.into(), pooling: mode.into(), steps: Vec::new() }
    }
}

/// The class of a sentence-transformers module: `Dense` for `sentence_transformers.models.Dense`.
fn kind<'m>(path: &Path, module: &'m Module) -> Result<&'m str> {
    let parts: Vec<&str> = module.kind.split('.').collect();
    let foreign = ["sparse_encoder", "cross_encoder", "multi_vector_encoder"];
    if parts[0] != "sentence_transformers" || parts.iter().any(|part| foreign.contains(part)) {
        let expected = "a module of SentenceTransformer, not code of the checkpoint's own";
        return Err(Error::unsupported(path, "a module", expected, &module.kind));
    }
    Ok(parts[parts.len() - 1])
}

/// Names are unique, and paths stay in the folder.
fn check_names(path: &Path, modules: &[Module]) -> Result<()> {
    for (place, module) in modules.iter().enumerate() {
        if modules[..place].iter().any(|other| other.name == module.name) {
            return Err(Error::unsupported(
                path,
                "a module's name",
                "unique names",
                format!("{} twice", module.name),
            ));
        }
        let within = Path::new(&module.path).components().all(|part| matches!(part, Component::Normal(_)));
        if !within {
            return Err(Error::unsupported(
                path,
                "a module's path",
                "a folder within the checkpoint's",
                &module.path,
            ));
        }
    }
    Ok(())
}

fn read_pooling(folder: &Path) -> Result<Pooling> {
    let path = module_file(folder);
    if !path.is_file() {
        return Err(Error::MissingFile { folder: folder.into(), file: "config.json" });
    }
    Pooling::from_file(&path, &read_json::<Object>(&path)?)
}

/// Its file is optional; with inputs other than the text's vector it would do something else.
fn check_normalize(folder: &Path) -> Result<()> {
    let path = module_file(folder);
    if !path.is_file() {
        return Ok(());
    }
    let file: Object = read_json(&path)?;
    refuse_unknown(&path, &file, &["module_input_name", "module_output_name"])?;
    check_place(&path, &file)
}
