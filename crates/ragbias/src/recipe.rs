use std::path::Path;

use ragbias_core::Axis;
use ragbias_core::limits::{MEMBERS, MERGE, TRAININGS};
use ragbias_data::{load_axis, read_text};
use ragbias_tune::{MineConfig, Scope, Sharpness, Towards, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A family of embedders in one file: a base, its training data, and a grid of members.
///
/// ```toml
/// name = "gender-quick"
/// base = "minilm"                # a model's name or folder
/// axis = "gender"
/// data = "gender"                # trained on its train split, watched and measured on its validation split
/// utility = "politics"           # a data set whose nDCG@10 measures the cost of tuning
///
/// [train]                        # settings that all members share
/// batch = 8
///
/// [[grid]]                       # members: every combination
/// towards = ["female", "male"]   # poles of the axis
/// scope = ["head"]
/// learning-rate = [1e-3]
/// epochs = [10]
/// merge = [0.3, 1.0]             # w of θ = (1−w)·θ_base + w·θ_tuned; costs no training
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the family.
    pub name: String,
    /// A one-line description.
    #[serde(default)]
    pub about: String,
    /// The base of all members.
    pub base: String,
    /// A bundled axis, or a TOML file.
    pub axis: String,
    /// A bundled data set, or a folder with a manifest.
    pub data: String,
    /// Scorer of mined documents; by default gold labels if all documents have one, else the axis's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<String>,
    /// A bundled data set, or a folder with a manifest, that no member is trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utility: Option<String>,
    /// Settings of mining.
    #[serde(default)]
    pub mine: MineConfig,
    /// Settings shared by all members.
    #[serde(default)]
    pub train: SharedConfig,
    /// Grids of members.
    pub grid: Vec<Grid>,
}

/// Settings of [`TrainConfig`] shared by all members of a family; absent ones have their default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is described at the field of TrainConfig that has its name")]
pub struct SharedConfig {
    pub batch: Option<usize>,
    pub accumulate: Option<usize>,
    pub warmup: Option<usize>,
    pub weight_decay: Option<f64>,
    pub clip: Option<f64>,
    pub scale: Option<f64>,
    pub sam: Option<f64>,
    pub sharpness: Option<Sharpness>,
    pub anchor: Option<f64>,
    pub patience: Option<usize>,
    pub lora_rank: Option<usize>,
    pub lora_alpha: Option<f64>,
}

/// A grid: every combination is a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grid {
    /// Names of poles.
    pub towards: Vec<String>,
    /// Trained scopes.
    pub scope: Vec<Scope>,
    /// Peak learning rates.
    pub learning_rate: Vec<f64>,
    /// Numbers of epochs.
    pub epochs: Vec<usize>,
    /// Merge weights.
    #[serde(default = "whole")]
    pub merge: Vec<f64>,
    /// Seeds.
    #[serde(default = "one_seed")]
    pub seed: Vec<u64>,
}

fn whole() -> Vec<f64> {
    vec![1.0]
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// One training of a family, and the members that are merged from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Its name: `female-head-lr0.001-e10`.
    pub name: String,
    /// The pole.
    pub towards: Towards,
    /// Its settings.
    pub config: TrainConfig,
    /// Merge weights, each a member.
    pub merge: Vec<f64>,
}

impl Planned {
    /// The name of the member with this merge weight.
    pub fn member(&self, merge: f64) -> String {
        format!("{}-w{merge}", self.name)
    }
}

impl Recipe {
    /// Reads a recipe and checks what can be checked before work starts.
    ///
    /// # Errors
    /// Malformed TOML, unknown keys, axes or poles, settings out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let recipe: Self = toml::from_str(&text).map_err(|error| Error::toml(path, &error))?;
        recipe.plan().map_err(|error| error.in_file(path))?;
        Ok(recipe)
    }

    /// The axis.
    ///
    /// # Errors
    /// An unknown or malformed one.
    pub fn load_axis(&self) -> Result<Axis> {
        Ok(load_axis(&self.axis)?)
    }

    /// Every training, in the order of the grids; trainings with equal settings are combined.
    ///
    /// # Errors
    /// An unknown pole, an empty grid, settings out of range.
    pub fn plan(&self) -> Result<Vec<Planned>> {
        let wrong = |setting, expected: String, received| {
            Err(ragbias_tune::Error::Setting { setting, expected, received }.into())
        };
        if self.name.trim().is_empty() {
            return wrong("name", "a name".into(), "none".into());
        }
        // Checked before any is made: the product of a few lists may exceed the memory.
        let (mut trainings, mut members) = (0_usize, 0_usize);
        for grid in &self.grid {
            let Grid { towards, scope, learning_rate, epochs, merge, seed } = grid;
            let lists = [scope.len(), learning_rate.len(), epochs.len(), seed.len()];
            let of_grid = lists.into_iter().fold(towards.len(), usize::saturating_mul);
            trainings = trainings.saturating_add(of_grid);
            members = members.saturating_add(of_grid.saturating_mul(merge.len()));
        }
        if members == 0 {
            return wrong("grid", "at least one member".into(), "none".into());
        }
        TRAININGS.check("the number of trainings of all grids", trainings)?;
        MEMBERS.check("the number of members of all grids", members)?;
        let axis = self.load_axis()?;
        let mut plan: Vec<Planned> = Vec::new();
        for grid in &self.grid {
            for towards in &grid.towards {
                let pole =
                    [Towards::Positive, Towards::Negative].into_iter().find(|t| t.name(&axis) == towards);
                let Some(pole) = pole else {
                    let poles = format!("{} or {}", axis.negative.name, axis.positive.name);
                    return wrong("towards", poles, towards.clone());
                };
                for &scope in &grid.scope {
                    for &learning_rate in &grid.learning_rate {
                        for &epochs in &grid.epochs {
                            for &seed in &grid.seed {
                                let mut config = TrainConfig::new(scope, learning_rate, epochs);
                                self.train.apply(&mut config);
                                config.seed = seed;
                                // The number of layers is checked when the base is loaded.
                                config.check(usize::MAX)?;
                                let name = format!("{towards}-{scope}-lr{learning_rate}-e{epochs}-s{seed}");
                                plan_for(&mut plan, name, pole, config, &grid.merge);
                            }
                        }
                    }
                }
            }
        }
        for &weight in plan.iter().flat_map(|planned| &planned.merge) {
            MERGE.check("merge", weight)?;
        }
        Ok(plan)
    }
}

/// Adds members to a planned training, or plans a new one.
fn plan_for(plan: &mut Vec<Planned>, name: String, towards: Towards, config: TrainConfig, merge: &[f64]) {
    match plan.iter_mut().find(|planned| planned.name == name) {
        Some(planned) => {
            let more: Vec<f64> = merge.iter().copied().filter(|w| !planned.merge.contains(w)).collect();
            planned.merge.extend(more);
        }
        None => plan.push(Planned { name, towards, config, merge: merge.to_vec() }),
    }
}

impl SharedConfig {
    fn apply(&self, config: &mut TrainConfig) {
        fn set<T: Copy>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        set(&mut config.batch, self.batch);
        set(&mut config.accumulate, self.accumulate);
        set(&mut config.warmup, self.warmup);
        set(&mut config.weight_decay, self.weight_decay);
        set(&mut config.clip, self.clip);
        set(&mut config.scale, self.scale);
        set(&mut config.sam, self.sam);
        set(&mut config.sharpness, self.sharpness);
        set(&mut config.anchor, self.anchor);
        set(&mut config.lora_rank, self.lora_rank);
        set(&mut config.lora_alpha, self.lora_alpha);
        config.patience = self.patience.or(config.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Recipe> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.toml");
        fs_err::write(&path, text).unwrap();
        Recipe::read(&path)
    }

    const HEAD: &str = "name = \"r\"\nbase = \"minilm\"\naxis = \"gender\"\ndata = \"gender\"\n";

    #[test]
    fn the_published_grid_has_sixty_members_an_axis() {
        for name in ["gender-paper", "politics-paper"] {
            let path = format!("{}/../../embedders/families/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            let plan = Recipe::read(path.as_ref()).unwrap().plan().unwrap();
            assert_eq!(plan.iter().map(|planned| planned.merge.len()).sum::<usize>(), 60, "{name}");
            // For every learning rate and number of epochs, one training of all weights serves six members.
            assert_eq!(plan.len(), 30, "{name}");
        }
    }

    #[test]
    fn members_of_one_training_share_it() {
        let grid =
            "[[grid]]\ntowards = [\"male\"]\nscope = [\"head\"]\nlearning-rate = [1e-3]\nepochs = [2]\n";
        let recipe = read(&format!("{HEAD}{grid}merge = [0.5, 1.0]\n{grid}")).unwrap();
        let plan = recipe.plan().unwrap();
        assert_eq!((plan.len(), plan[0].merge.as_slice()), (1, &[0.5, 1.0][..]));
        assert_eq!(plan[0].member(0.5), "male-head-lr0.001-e2-s0-w0.5");
        assert_eq!(plan[0].towards, Towards::Negative);
    }

    #[test]
    fn unknown_poles_scopes_and_keys_are_refused() {
        let grid = |towards: &str, scope: &str, more: &str| {
            let grid = format!(
                "[[grid]]\ntowards = [\"{towards}\"]\nscope = [\"{scope}\"]\nlearning-rate = [1e-3]\n"
            );
            read(&format!("{HEAD}{grid}epochs = [1]\n{more}")).unwrap_err().to_string()
        };
        assert!(grid("left", "head", "").ends_with("r.toml: towards is left, expected male or female"));
        assert!(grid("male", "heads", "").contains("expected full, mlp-top-N, layers-top-N, lora or head"));
        assert!(grid("male", "head", "epoch = 3\n").contains("unknown field `epoch`"));
        assert!(grid("male", "head", "[train]\nclip = -1.0\n").contains("clip is -1"));
        let error = grid("male", "head", "merge = [1e300]\n");
        assert!(
            error.contains("r.toml: merge is 1000000") && error.ends_with("expected -100.0 to 100.0"),
            "{error}"
        );
        assert!(
            grid("male", "head", "merge = []\n")
                .ends_with("r.toml: grid is none, expected at least one member")
        );
    }

    /// Found by the fuzz target `experiment` too: the plan of a few lines took all memory.
    #[test]
    fn a_grid_that_is_too_large_is_refused_before_it_is_made() {
        let many = |count: usize| format!("{:?}", (1..=count).collect::<Vec<_>>());
        let read = |epochs: usize, seeds: usize, merge: &[f64]| {
            let lists = format!("epochs = {}\nseed = {}\nmerge = {merge:?}\n", many(epochs), many(seeds));
            let grid = "[[grid]]\ntowards = [\"male\"]\nscope = [\"head\"]\nlearning-rate = [1e-3]";
            read(&format!("{HEAD}{grid}\n{lists}"))
        };
        let error = read(20_000, 20_000, &[1.0]).unwrap_err().to_string();
        assert!(
            error.ends_with("r.toml: the number of trainings of all grids is 400000000, expected 1 to 10000")
        );
        let merge: Vec<f64> = (0..1001).map(|i| f64::from(i) / 1000.0).collect();
        let error = read(10, 10, &merge).unwrap_err().to_string();
        assert!(
            error.ends_with("r.toml: the number of members of all grids is 100100, expected 1 to 100000")
        );
        assert_eq!(read(10, 10, &merge[..10]).unwrap().plan().unwrap().len(), 100);
    }
}
