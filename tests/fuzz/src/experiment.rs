//! Users' TOML files, and options in JSON. The tests of `ragbias` include this file.

use std::path::Path;

use ragbias::core::Silent;
use ragbias::data::{Dataset, load_axis};
use ragbias::generate::Options;
use ragbias::{Experiment, Recipe, Result};
use tempfile::TempDir;

const NAMES: [&str; 7] = [
    "experiment.toml",
    "recipe.toml",
    "manifest.toml",
    "axis.toml",
    "options.toml",
    "options.json",
    "prompts.toml",
];

/// The files that a manifest belongs to.
const DATA: [(&str, &str); 3] = [
    (
        "corpus.jsonl",
        "{\"_id\": \"d1\", \"text\": \"She isolated radium.\", \"metadata\": {\"lean\": 1}}\n\
         {\"_id\": \"d2\", \"text\": \"He drew the orbit.\", \"metadata\": {\"lean\": -1}}\n",
    ),
    (
        "questions.jsonl",
        "{\"_id\": \"q1\", \"text\": \"Who isolated radium?\", \"topic\": \"chemistry\"}\n\
         {\"_id\": \"q2\", \"text\": \"Who drew the orbit?\", \"topic\": \"astronomy\"}\n",
    ),
    ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n"),
];

/// An experiment that uses a file of prompts.
const PART: &str = "[[part]]\naxis = \"gender\"\ndata = \"gender\"\nembedders = [\"minilm\"]\n";

/// A folder for all kinds of files.
pub struct Written(TempDir);

impl Written {
    /// Writes the files that a manifest belongs to into a folder.
    pub fn new(folder: TempDir) -> Self {
        for (name, text) in DATA {
            fs_err::write(folder.path().join(name), text).expect("a file");
        }
        Self(folder)
    }

    /// Reads an input as the kind of file selected by its first byte; an error must name the file. Returns whether it was read.
    pub fn read(&self, input: &[u8]) -> bool {
        let [kind, file @ ..] = input else { return false };
        let name = NAMES[usize::from(*kind) % NAMES.len()];
        let path = self.0.path().join(name);
        fs_err::write(&path, file).expect("a file");
        match self.read_file(name, &path) {
            Ok(()) => true,
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains(name), "no {name} in: {message}");
                false
            }
        }
    }

    fn read_file(&self, name: &str, path: &Path) -> Result<()> {
        match name {
            "experiment.toml" => drop(Experiment::read(path)?),
            "recipe.toml" => drop(Recipe::read(path)?),
            "manifest.toml" => drop(Dataset::read(self.0.path(), None, &Silent)?),
            "prompts.toml" => {
                let asking = self.0.path().join("asking.toml");
                let prompt = path.display();
                let experiment = format!("name = \"asking\"\nprompt = \"{prompt}\"\n{PART}");
                fs_err::write(&asking, experiment)?;
                drop(Experiment::read(&asking)?);
            }
            "axis.toml" => drop(load_axis(&path.display().to_string())?),
            _ => drop(Options::read(path)?),
        }
        Ok(())
    }
}
