//! The data sets bundled with ragbias: `corpora/`, compiled in.

use std::path::{Path, PathBuf};

use ragbias_core::Axis;

use crate::corpus::parse_corpus;
use crate::dataset::{Dataset, info};
use crate::passages::Twins;
use crate::qrels::parse_qrels;
use crate::questions::parse_questions;
use crate::{Error, Result, load_axis};

/// One bundled data set.
struct Bundle {
    name: &'static str,
    card: &'static str,
    texts: Texts,
}

/// The files of a bundled data set.
enum Texts {
    /// Documents as they are.
    Written { manifest: &'static str, corpus: &'static str, questions: &'static str, qrels: &'static str },
    /// Passages with slots, from which the documents of both poles are made.
    Passages { twins: &'static str, passages: &'static str },
}

/// A file of `corpora/`.
macro_rules! file {
    ($($part:expr),+) => { include_str!(concat!("../../../corpora/", $($part),+)) };
}

macro_rules! written {
    ($name:literal) => {
        Bundle {
            name: $name,
            card: file!($name, "/README.md"),
            texts: Texts::Written {
                manifest: file!($name, "/manifest.toml"),
                corpus: file!($name, "/corpus.jsonl"),
                questions: file!($name, "/questions.jsonl"),
                qrels: file!($name, "/qrels.tsv"),
            },
        }
    };
}

macro_rules! passages {
    ($name:literal, $folder:literal, $twins:literal) => {
        Bundle {
            name: $name,
            card: file!($folder, "/README.md"),
            texts: Texts::Passages {
                twins: file!($folder, "/", $twins),
                passages: file!($folder, "/passages.jsonl"),
            },
        }
    };
}

const BUNDLED: [Bundle; 10] = [
    written!("gender"),
    written!("politics"),
    // The files of `politics`, continued.
    Bundle {
        name: "politics-wide",
        card: file!("politics-wide/README.md"),
        texts: Texts::Written {
            manifest: file!("politics-wide/manifest.toml"),
            corpus: concat!(file!("politics/corpus.jsonl"), file!("politics-wide/corpus.jsonl")),
            questions: concat!(file!("politics/questions.jsonl"), file!("politics-wide/questions.jsonl")),
            qrels: concat!(file!("politics/qrels.tsv"), file!("politics-wide/qrels.tsv")),
        },
    },
    passages!("gender-twins", "gender-twins", "twins.toml"),
    passages!("religion-twins", "religion-twins", "twins.toml"),
    passages!("nationality-twins", "nationality-twins", "twins.toml"),
    passages!("age-twins", "age-twins", "twins.toml"),
    passages!("brevity", "retrieval", "brevity.toml"),
    passages!("position", "retrieval", "position.toml"),
    passages!("wording", "retrieval", "wording.toml"),
];

impl Dataset {
    /// The names of the bundled data sets.
    pub fn bundled_names() -> impl Iterator<Item = &'static str> {
        BUNDLED.iter().map(|bundle| bundle.name)
    }

    /// A data set bundled with ragbias.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names of the bundled ones.
    pub fn bundled(name: &str) -> Result<Self> {
        find(name)?.dataset(None)
    }

    /// A bundled data set with labels on this axis. A set on more groups than two is made of the two that the axis names.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names of the bundled ones, or [`Error::OtherAxis`].
    pub fn bundled_on(name: &str, axis: &Axis) -> Result<Self> {
        find(name)?.dataset(Some(axis))
    }

    /// Writes a bundled data set and its card into `folder`, which is created if it does not exist. Where `manifest.toml` is, all files are
    /// of this data set, whenever the process is killed.
    ///
    /// # Errors
    /// [`Error::Unknown`], or failures of the file system.
    pub fn export_bundled(name: &str, folder: &Path) -> Result<()> {
        let staging = crate::Staging::within(folder)?;
        Self::bundled(name)?.write(staging.path())?;
        crate::write_file(&staging.path().join("README.md"), find(name)?.card)?;
        Ok(staging.move_into(folder, "manifest.toml")?)
    }
}

impl Bundle {
    fn dataset(&self, axis: Option<&Axis>) -> Result<Dataset> {
        let at = |file: &str| PathBuf::from(format!("bundled {}/{file}", self.name));
        let (manifest, judgements) = (at("manifest.toml"), at("qrels.tsv"));
        let dataset = match self.texts {
            Texts::Written { manifest: text, corpus, questions, qrels } => Dataset {
                info: info(&manifest, text)?,
                corpus: parse_corpus(&at("corpus.jsonl"), corpus)?,
                questions: parse_questions(&at("questions.jsonl"), questions)?,
                qrels: parse_qrels(&judgements, qrels)?,
            },
            Texts::Passages { twins, passages } => {
                let path = at("twins.toml");
                let twins = Twins::parse(&path, twins)?;
                let file = at("passages.jsonl");
                let passages = (file.as_path(), passages);
                if let Some(axis) = axis.filter(|axis| twins.chosen_by(axis)) {
                    return twins.fill(&path, axis, passages);
                }
                twins.fill(&path, &load_axis(twins.axis())?, passages)?
            }
        };
        if let Some(axis) = axis {
            dataset.check_axis(axis)?;
        }
        dataset.check_links(&judgements, &manifest)?;
        Ok(dataset)
    }
}

fn find(name: &str) -> Result<&'static Bundle> {
    BUNDLED.iter().find(|bundle| bundle.name == name).ok_or_else(|| Error::Unknown {
        what: "data set",
        name: name.into(),
        known: Dataset::bundled_names().map(str::to_owned).collect(),
    })
}
