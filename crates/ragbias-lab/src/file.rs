use std::path::Path;

use ragbias::data::read_text;
use serde::{Deserialize, Serialize};

use crate::balance::Balance;
use crate::bench::check_size;
use crate::design::Design;
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::noise::Noise;
use crate::overtraining::Overtraining;
use crate::planting::Planting;
use crate::pools::Pools;
use crate::precision::Precision;
use crate::reliance::Reliance;
use crate::trigger::Trigger;

/// An experiment of one or more instruments, in one file.
///
/// ```toml
/// name = "lab"               # its folder, runs/lab
/// about = "All instruments, small"
/// size = 0.1                 # of what each does by default; 1 by default
/// seed = 0
///
/// [lab.pools]                # an instrument, with the settings that differ from its defaults
/// seeds = 2
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabFile {
    /// Its name, and that of its folder.
    pub name: String,
    /// A one-line description.
    #[serde(default)]
    pub about: String,
    /// How much is measured, in proportion to an instrument's default.
    #[serde(default = "whole")]
    pub size: f64,
    /// The seed of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// The instruments.
    pub lab: Instruments,
}

fn whole() -> f64 {
    1.0
}

/// One of each instrument at most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Instruments {
    /// Does sharpness-aware training keep features that plain training drops?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// Which design choices predict s and R_b beyond size?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub design: Option<Design>,
    /// How much label noise can mining bear?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// Does an embedder that was trained longer break sooner when it is reversed?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overtraining: Option<Overtraining>,
    /// How many documents must an author edit or add to be retrieved, and to move E_b?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planting: Option<Planting>,
    /// Which mined examples, for how many epochs?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pools: Option<Pools>,
    /// Does quantising an embedder move its bias, and does more training make it worse?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Does an LLM's reliance on its context predict the sensitivity s of a RAG?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reliance: Option<Reliance>,
    /// Can one string of words in documents move what many embedders retrieve?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
}

impl Instruments {
    /// Every instrument, with its default settings.
    pub fn all() -> Self {
        Self {
            balance: Some(Balance::default()),
            design: Some(Design::default()),
            noise: Some(Noise::default()),
            overtraining: Some(Overtraining::default()),
            planting: Some(Planting::default()),
            pools: Some(Pools::default()),
            precision: Some(Precision::default()),
            reliance: Some(Reliance::default()),
            trigger: Some(Trigger::default()),
        }
    }

    /// The instrument of this name alone, with its default settings; none if there is none.
    pub fn named(name: &str) -> Option<Self> {
        let (all, none) = (Self::all(), Self::default());
        match name {
            "balance" => Some(Self { balance: all.balance, ..none }),
            "design" => Some(Self { design: all.design, ..none }),
            "noise" => Some(Self { noise: all.noise, ..none }),
            "overtraining" => Some(Self { overtraining: all.overtraining, ..none }),
            "planting" => Some(Self { planting: all.planting, ..none }),
            "pools" => Some(Self { pools: all.pools, ..none }),
            "precision" => Some(Self { precision: all.precision, ..none }),
            "reliance" => Some(Self { reliance: all.reliance, ..none }),
            "trigger" => Some(Self { trigger: all.trigger, ..none }),
            _ => None,
        }
    }

    /// Those that there are, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Instrument> {
        fn one(instrument: Option<&impl Instrument>) -> Option<&dyn Instrument> {
            instrument.map(|instrument| instrument as &dyn Instrument)
        }
        let Self { balance, design, noise, overtraining, planting, pools, precision, reliance, trigger } =
            self;
        let all = [
            one(balance.as_ref()),
            one(design.as_ref()),
            one(noise.as_ref()),
            one(overtraining.as_ref()),
            one(planting.as_ref()),
            one(pools.as_ref()),
            one(precision.as_ref()),
            one(reliance.as_ref()),
            one(trigger.as_ref()),
        ];
        all.into_iter().flatten()
    }
}

impl LabFile {
    /// Reads an experiment and checks it before work starts.
    ///
    /// # Errors
    /// Malformed TOML, unknown keys, settings out of range, unknown models or data.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        Self::checked(&text).map_err(|error| match error {
            Error::File { source, .. } => Error::File { path: Some(path.into()), source },
            other => other,
        })
    }

    /// The same from text.
    ///
    /// # Errors
    /// As for [`LabFile::read`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::checked(text)
    }

    /// One instrument with its default settings; none if there is none of this name.
    pub fn of(instrument: &str, size: f64, seed: u64) -> Option<Self> {
        let lab = Instruments::named(instrument)?;
        Some(Self { name: format!("lab-{instrument}"), about: String::new(), size, seed, lab })
    }

    fn checked(text: &str) -> Result<Self> {
        let file: Self = toml::from_str(text).map_err(|source| Error::File { path: None, source })?;
        file.check()?;
        Ok(file)
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// As for [`LabFile::read`].
    pub fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || self.name.len() > 100 || !self.name.chars().all(plain) {
            let expected = "1 to 100 letters, digits, - and _, as it names a folder";
            return Err(Error::Setting { setting: "name", expected, received: self.name.clone() });
        }
        check_size(self.size)?;
        if self.lab.iter().next().is_none() {
            let all = Instruments::all();
            let names: Vec<&str> = all.iter().map(Instrument::name).collect();
            return Err(Error::NoInstrument { expected: names.join(", ") });
        }
        self.lab.iter().try_for_each(Instrument::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_instruments_and_a_misspelt_key_are_named() {
        let error = LabFile::parse("name = \"x\"\n[lab]\n").unwrap_err().to_string();
        assert!(error.contains("no instrument") && error.contains("pools"), "{error}");
        let error = LabFile::parse("name = \"x\"\n[lab.pools]\nsedes = 2\n").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("sedes"), "{error}");
        let error = LabFile::parse("name = \"../x\"\n[lab.pools]\n").unwrap_err().to_string();
        assert!(error.starts_with("name is ../x"), "{error}");
    }

    #[test]
    fn every_instrument_has_its_page_and_its_experiment() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for instrument in Instruments::all().iter() {
            let name = instrument.name();
            assert!(root.join(format!("docs/lab/{name}.md")).is_file(), "docs/lab/{name}.md");
            let experiment = root.join(format!("experiments/lab/{name}.toml"));
            let file = LabFile::read(&experiment).unwrap();
            assert_eq!(file.lab, Instruments::named(name).unwrap(), "{name}");
        }
    }
}
