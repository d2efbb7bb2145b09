//! The axes, recipes and LLMs of an experiment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ragbias_core::{Axis, Generator};

use crate::Result;
use crate::experiment::Experiment;
use crate::recipe::Recipe;

/// The files that an experiment names, as read when the run began.
pub(super) struct Files {
    /// By their name in the experiment, with the experiment's wording of prompts.
    pub(super) axes: BTreeMap<String, Axis>,
    /// By their path in the experiment.
    pub(super) recipes: BTreeMap<PathBuf, Recipe>,
}

impl Files {
    pub(super) fn read(experiment: &Experiment) -> Result<Self> {
        let (mut axes, mut recipes) = (BTreeMap::new(), BTreeMap::new());
        for part in &experiment.parts {
            axes.insert(part.axis.clone(), experiment.axis(part)?);
            for path in &part.families {
                recipes.insert(path.clone(), Recipe::read(path)?);
            }
        }
        Ok(Self { axes, recipes })
    }
}

/// LLMs by name.
pub(super) type Llms = BTreeMap<String, Arc<dyn Generator>>;
