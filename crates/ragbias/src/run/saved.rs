//! Typed reading and writing of the files of a run.

use std::path::{Path, PathBuf};

use ragbias_core::ContentId;
use ragbias_data::{
    Measurement, MeasurementRow, Outcome, read_measurements, read_outcomes, write_file, write_measurements,
    write_outcomes,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::folder::CHOICES;
use super::manifest::{MANIFEST, Manifest, malformed};
use super::sealed::{check_choice, sealed};
use crate::choose::ControlChoice;
use crate::fit::Fits;
use crate::measured::PartResult;
use crate::{Error, Result};

const MEASUREMENTS: &str = "measurements.parquet";
const MEASUREMENTS_CSV: &str = "measurements.csv";
const OUTCOMES: &str = "outcomes.parquet";
const RESULTS: &str = "results.json";
const FITS: &str = "fit.json";

/// The files whose hashes the manifest records.
const TABLES: [&str; 5] = [MEASUREMENTS, MEASUREMENTS_CSV, OUTCOMES, RESULTS, FITS];

/// What a run found: its results, also as the tables that are made of them, and the lines fitted to these.
pub(super) struct Found<'r> {
    pub(super) results: &'r [PartResult],
    pub(super) measurements: &'r [Measurement],
    pub(super) outcomes: &'r [Outcome],
    pub(super) fits: &'r Fits,
}

/// A run in a folder. Every file is checked against the manifest when it is read.
pub(crate) struct SavedRun {
    folder: PathBuf,
    manifest: Manifest,
}

impl SavedRun {
    /// Writes all files of a run except the report; each contains the id of the run.
    pub(super) fn write(folder: &Path, mut manifest: Manifest, found: &Found<'_>) -> Result<Self> {
        let place = |file: &str| folder.join(file);
        let mut results = value(found.results)?;
        let run = Manifest::id(&manifest.experiment, &manifest.inputs, &results.to_string())?;
        manifest.run = Some(run);
        for result in results.as_array_mut().into_iter().flatten() {
            result["run"] = run.to_string().into();
        }
        write_measurements(&place(MEASUREMENTS), found.measurements, Some(run))?;
        write_measurements(&place(MEASUREMENTS_CSV), found.measurements, Some(run))?;
        write_outcomes(&place(OUTCOMES), found.outcomes, Some(run))?;
        write_json(&place(RESULTS), &results)?;
        let mut lines = value(found.fits)?;
        lines["run"] = run.to_string().into();
        write_json(&place(FITS), &lines)?;
        for file in TABLES {
            manifest.files.insert(file.into(), ContentId::of(&fs_err::read(place(file))?));
        }
        write_file(&place(MANIFEST), manifest.to_json()?)?;
        Ok(Self { folder: folder.into(), manifest })
    }

    /// # Errors
    /// A missing manifest, or one that was changed.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        Ok(Self { folder: folder.into(), manifest: Manifest::read(folder)? })
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A measurement for each embedder and LLM of each part, without the outcomes of its questions.
    pub(crate) fn results(&self) -> Result<Vec<PartResult>> {
        self.json(RESULTS)
    }

    pub(crate) fn measurements(&self) -> Result<Vec<MeasurementRow>> {
        Ok(read_measurements(&self.checked(MEASUREMENTS)?)?)
    }

    pub(crate) fn outcomes(&self) -> Result<Vec<Outcome>> {
        Ok(read_outcomes(&self.checked(OUTCOMES)?)?)
    }

    pub(crate) fn fits(&self) -> Result<Fits> {
        self.json(FITS)
    }

    /// The choices in `folder` that belong to this run.
    pub(crate) fn choices(&self, folder: &Path) -> Result<Vec<ControlChoice>> {
        let path = folder.join(CHOICES);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let wrong = |error| malformed(&path, &error, "ragbias choose");
        let text = fs_err::read_to_string(&path)?;
        let values: Vec<Value> = serde_json::from_str(&text).map_err(wrong)?;
        let mut choices = Vec::new();
        for value in values {
            check_choice(&value, &path)?;
            choices.push(serde_json::from_value::<ControlChoice>(value).map_err(wrong)?);
        }
        choices.retain(|choice| choice.run == self.manifest.run);
        Ok(choices)
    }

    /// Writes all choices of a run into a folder.
    pub(crate) fn write_choices(folder: &Path, choices: &[ControlChoice]) -> Result<()> {
        let values = choices.iter().map(|choice| Ok(sealed(value(choice)?))).collect::<Result<Vec<_>>>()?;
        write_json(&folder.join(CHOICES), &Value::Array(values))
    }

    fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T> {
        let path = self.checked(file)?;
        serde_json::from_str(&fs_err::read_to_string(&path)?)
            .map_err(|error| malformed(&path, &error, "ragbias run EXPERIMENT.toml"))
    }

    /// The path of a file, after comparing it with its hash in the manifest.
    fn checked(&self, file: &str) -> Result<PathBuf> {
        let path = self.folder.join(file);
        if !path.is_file() {
            return Err(Error::Run {
                path: self.folder.clone(),
                reason: format!(
                    "not a whole run: it has no {file}\nhint: `ragbias run EXPERIMENT.toml` makes one"
                ),
            });
        }
        self.manifest.check(&self.folder, file)?;
        Ok(path)
    }
}

fn value(of: &(impl Serialize + ?Sized)) -> Result<Value> {
    Ok(serde_json::to_value(of).map_err(std::io::Error::from)?)
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let json = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    Ok(write_file(path, json)?)
}
