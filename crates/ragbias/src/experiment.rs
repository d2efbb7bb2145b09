use std::path::{Path, PathBuf};

use ragbias_core::limits::FOLDS;
use ragbias_core::{Axis, Progress, QuestionSet, Silent};
use ragbias_data::{Split, load_axis, read_text, sample};
use ragbias_generate::{GenerateConfig, ServerConfig};
use ragbias_stats::Equivalence;
use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::distractors::with_distractors;
use crate::input::{Inputs, load_corpus};
use crate::llm::LlmName;
use crate::measure::{AnswerMode, MeasureConfig};
use crate::prompt::{Prompter, read_prompts};
use crate::recipe::Recipe;
use crate::resample::Resample;
use crate::threshold::DeclaredThreshold;
use crate::{Error, Result, scorer};

/// A study in one file: what is measured, with what, on what.
///
/// ```toml
/// name = "quickstart"            # the run's folder, runs/quickstart
/// prompt = "wording.toml"        # wording of prompts that replaces the axis's; may be left out
///
/// [threshold]                    # δ, set before anything is measured; may be left out
/// delta = 0.1
/// declared = "2026-11-01"
/// reason = "what the owner of the service calls even-handed"
///
/// [server]                       # how addresses among the llms are asked; all of it may be left out
/// parallel = 16
/// options = { reasoning_effort = "low" }
///
/// [[part]]                       # one per axis and corpus
/// axis = "gender"                # a bundled axis, or a TOML file
/// data = "gender"                # a bundled data set, or a folder with a manifest
/// corpus = "passages.jsonl"      # another corpus than the data set's own; may be left out, as may the next two
/// resample = { corpus_bias = 0.4, seed = 0 }   # its documents resampled to this C_b, at its size and with its topics
/// distractors = "gap"            # documents of another corpus, mixed in
/// split = "all"                  # train, validation, test, held-out (the last two together with validation) or all
/// folds = 5                      # default for held-out; `choose` finds a setting on all folds of topics but one, and judges it on that one
/// embedders = ["minilm"]         # names or folders
/// families = ["embedders/families/gender-quick.toml"]   # recipes: every member is tuned and measured
/// llms = ["smollm2-135m"]        # names, .gguf files or addresses; with none, only retrieval is measured
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its name, which is also that of its run folder.
    pub name: String,
    /// A one-line description.
    #[serde(default)]
    pub about: String,
    /// How the LLMs answer.
    #[serde(default)]
    pub generate: GenerateConfig,
    /// Settings of servers.
    #[serde(default)]
    pub server: ServerConfig,
    /// Settings of the measurement.
    #[serde(default)]
    pub measure: MeasureConfig,
    /// The threshold of all verdicts, declared before the run; without it, δ = 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<DeclaredThreshold>,
    /// A TOML file with the wording of prompts, with the keys of `[prompts]` of an axis's file; it replaces that of the axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// The parts of the study.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
}

/// One axis on one data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// A bundled axis, or a TOML file.
    pub axis: String,
    /// A bundled data set, or a folder with a manifest.
    pub data: String,
    /// Another corpus than the data set's own: the name of a data set, or a file. The data set's judgements are not of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corpus: Option<String>,
    /// Resamples the corpus to another C_b, by its gold labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resample: Option<Resample>,
    /// A corpus whose documents are mixed in, resampled or not: the name of a data set, or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distractors: Option<String>,
    /// The split of the questions.
    #[serde(default)]
    pub split: Split,
    /// Maximum number of questions, spread evenly over topics; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Number of folds of topics over which `choose` cross-fits, 2 to 100; 5 if the split is `held-out`. Other parts without it are
    /// chosen for on validation topics, and judged on test topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// Names or folders of embedders.
    #[serde(default)]
    pub embedders: Vec<String>,
    /// Recipes of families: every member is tuned, unless it exists, and measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<PathBuf>,
    /// Names, `.gguf` files or addresses of LLMs; with none, only retrieval is measured.
    #[serde(default)]
    pub llms: Vec<LlmName>,
    /// Scorer of documents; by default gold labels if all documents have one, else the axis's own. `judge:LLM` also scores
    /// answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<String>,
    /// Calibrations of the scorers, from `ragbias calibrate`: biases are shown corrected beside those measured. `choose` uses the
    /// measured ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<PathBuf>,
}

/// Number of folds of held-out topics.
const DEFAULT_FOLDS: usize = 5;

/// Maximum length of a folder name on all file systems.
const LONGEST_NAME: usize = 200;

impl Experiment {
    /// Reads an experiment file and checks what can be checked before work starts.
    ///
    /// # Errors
    /// Malformed TOML, unknown keys, axes or data, settings out of range.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_text(path)?;
        let experiment: Self = toml::from_str(&text).map_err(|error| Error::toml(path, &error))?;
        let checked = experiment.server.options.check_of_toml().map_err(Error::from);
        checked.and_then(|()| experiment.check()).map_err(|error| error.in_file(path))?;
        Ok(experiment)
    }

    /// The LLMs of all parts.
    pub fn llms(&self) -> impl Iterator<Item = &LlmName> {
        self.parts.iter().flat_map(|part| &part.llms)
    }

    /// δ: the declared threshold, or 0.1.
    pub fn delta(&self) -> f64 {
        self.threshold.as_ref().map_or(Equivalence::DELTA, |threshold| threshold.delta)
    }

    /// The axis of a part, with the experiment's wording.
    ///
    /// # Errors
    /// An unknown or malformed axis, or a malformed file of prompts.
    pub fn axis(&self, part: &Part) -> Result<Axis> {
        let axis = load_axis(&part.axis)?;
        Ok(match &self.prompt {
            Some(path) => axis.asking(read_prompts(path)?),
            None => axis,
        })
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return wrong("name", "letters, digits, -, _ and dots, as it names a folder", self.name.clone());
        }
        if self.name.len() > LONGEST_NAME {
            return wrong(
                "name",
                "up to 200 bytes, as it names a folder",
                format!("{} bytes long", self.name.len()),
            );
        }
        if self.parts.is_empty() {
            return wrong("[[part]]", "at least one", "none".into());
        }
        self.generate.check()?;
        self.server.check()?;
        self.measure.check()?;
        self.threshold.as_ref().map_or(Ok(()), DeclaredThreshold::check)?;
        let mut llms: Vec<&LlmName> = Vec::new();
        for llm in self.llms() {
            if llms.iter().any(|other| other.as_str() == llm.as_str() && *other != llm) {
                return wrong("llms", "one password or key for an address", format!("two for {llm}"));
            }
            llms.push(llm);
        }
        for part in &self.parts {
            if part.embedders.is_empty() && part.families.is_empty() {
                return wrong("embedders", "at least one, or a family", "none".into());
            }
            for family in &part.families {
                let recipe = Recipe::read(family)?;
                if recipe.axis != part.axis {
                    return wrong("families", "recipes of the part's own axis", family.display().to_string());
                }
                let trained = recipe.data == part.data && matches!(part.split, Split::All | Split::Train);
                if part.folds().is_some() && trained {
                    let expected = "with folds, topics that the family is not trained on: held-out";
                    return wrong("split", expected, part.split.name().into());
                }
            }
            part.folds.map_or(Ok(()), |folds| FOLDS.check("folds", folds))?;
            if part.folds.is_some() && (part.families.is_empty() || part.llms.is_empty()) {
                return wrong("folds", "with it, families and llms", "set without them".into());
            }
            if part.limit == Some(0) {
                return wrong("limit", "at least 1", "0".into());
            }
            let axis = self.axis(part)?;
            if let Some(scorer) = &part.scorer {
                scorer::check_of_file(&axis, scorer)?;
            }
            part.calibrations()?;
            let mode = AnswerMode::on(&axis, self.measure.answers)?;
            if part.resample.is_some() && mode == AnswerMode::Pair {
                let expected = "text or choice with resample, as one of two twins may be left out";
                return wrong("answers", expected, "pair".into());
            }
            Prompter::new(&axis).map_err(|error| match &self.prompt {
                Some(path) => error.in_file(path),
                None => error,
            })?;
            // Reported when they are used.
            part.inputs(&Silent)?;
        }
        Ok(())
    }
}

impl Part {
    /// Its calibrations.
    ///
    /// # Errors
    /// A file that is not one.
    pub(crate) fn calibrations(&self) -> Result<Vec<Calibration>> {
        self.calibration.iter().map(|path| Calibration::read(path)).collect()
    }

    /// The number of folds of topics over which `choose` cross-fits: the one given, or 5 of held-out topics; none if it finds a setting
    /// on validation topics and judges it on test topics.
    pub fn folds(&self) -> Option<usize> {
        self.folds.or((self.split == Split::HeldOut).then_some(DEFAULT_FOLDS))
    }

    /// The questions, the corpus and the judgements of this part.
    ///
    /// # Errors
    /// Unknown or malformed axes and data, or a split without questions.
    pub fn inputs(&self, progress: &dyn Progress) -> Result<Inputs> {
        let mut inputs = self.inputs_of(self.split, progress)?;
        if let Some(limit) = self.limit {
            inputs.questions = QuestionSet::new(sample(inputs.questions.questions(), limit, 0))?;
        }
        Ok(inputs)
    }
}

impl Part {
    /// All inputs of another split: the same corpus, and every question of that split.
    ///
    /// # Errors
    /// Those of [`Part::inputs`].
    pub(crate) fn inputs_of(&self, split: Split, progress: &dyn Progress) -> Result<Inputs> {
        let axis = load_axis(&self.axis)?;
        let mut inputs = Inputs::of_dataset(&self.data, split, &axis, progress)?;
        if let Some(corpus) = &self.corpus {
            inputs = Inputs { corpus: load_corpus(corpus, Some(&axis), progress)?, qrels: None, ..inputs };
        }
        if let Some(resample) = self.resample {
            resample.check()?;
            // Documents are of the topics of all questions.
            let questions = Inputs::of_dataset(&self.data, Split::All, &axis, &Silent)?.questions;
            let (corpus, qrels) = resample.apply(&inputs.corpus, &questions, inputs.qrels.as_ref())?;
            inputs = Inputs { corpus, qrels, ..inputs };
        }
        if let Some(name) = &self.distractors {
            let distractors = load_corpus(name, Some(&axis), progress)?;
            inputs.corpus = with_distractors(&inputs.corpus, name, &distractors)?;
        }
        Ok(inputs)
    }

    /// The name of the corpus in tables: that of the data set, or how it differs from the data set's own.
    pub fn corpus_name(&self) -> String {
        let own = match &self.corpus {
            Some(corpus) => format!("{corpus} for {}", self.data),
            None => self.data.clone(),
        };
        let resampled = self.resample.map(|Resample { corpus_bias, seed }| match seed {
            0 => format!(", resampled to {corpus_bias:+}"),
            _ => format!(", resampled to {corpus_bias:+} with seed {seed}"),
        });
        let mixed = self.distractors.as_ref().map(|distractors| format!(", with {distractors}"));
        [Some(own), resampled, mixed].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Experiment> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        fs_err::write(&path, text).unwrap();
        Experiment::read(&path)
    }

    const PART: &str = "[[part]]\naxis = \"gender\"\ndata = \"gender\"\nembedders = [\"minilm\"]\n";

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let error =
            read(&format!("name = \"x\"\n{PART}lmms = [\"smollm2-135m\"]\n")).unwrap_err().to_string();
        assert!(error.contains("line 6") && error.contains("lmms"), "{error}");
    }

    #[test]
    fn a_password_is_in_no_error_and_not_in_what_is_written() {
        let part = |llms: &str| read(&format!("name = \"x\"\n{PART}llms = {llms}\n"));
        for wrong in [
            "\"http://me:sk-secret@h/v1\"",
            "[\"http://me:sk-secret@h/v1\" \"http://h?key=sk-secret\"]",
            "[\"http://me:sk-secret@h/v1/completions\"]",
            "[\"http://me:sk/secret@h/v1\"]",
            "[\"http://h/v1\", \"http://me:sk-secret@h/v1\"]",
        ] {
            let error = part(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{wrong}: {error} {error:?}");
        }
        let experiment = part("[\"http://me:sk-secret@h/v1#m\", \"http://h/v1?key=sk-secret\"]").unwrap();
        let written = serde_json::to_string(&experiment).unwrap();
        assert!(written.contains(r#""llms":["http://h/v1#m","http://h/v1"]"#), "{written}");
        assert!(!format!("{experiment:?} {written}").contains("secret"));
    }

    #[test]
    fn an_option_that_json_has_not_is_refused_with_the_file() {
        let error = read(&format!("name = \"x\"\n{PART}[server]\noptions = {{ top_p = nan }}\n"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("e.toml: option is top_p, expected what JSON has"), "{error}");
    }

    #[test]
    fn unknown_data_and_names_that_are_no_folder_are_refused_before_work() {
        let error = read(&format!("name = \"x\"\n{}", PART.replace("data = \"gender\"", "data = \"age\"")))
            .unwrap_err();
        assert!(error.to_string().contains("age"), "{error}");
        assert!(read(&format!("name = \"../x\"\n{PART}")).is_err());
        assert!(read(&format!("name = \"x\"\n{PART}limit = 0\n")).is_err());
        for (settings, expected) in [
            ("[measure]\ntop-k = 0\n", "top-k is 0, expected 1 to 1000"),
            ("[measure]\ntop-k = 100000\n", "top-k is 100000, expected 1 to 1000"),
            ("[measure]\ntemperature = nan\n", "temperature is NaN, expected 0.0 to 1000000.0"),
            ("[generate]\ntemperature = inf\n", "temperature is inf, expected 0.0 to 1000000.0"),
            ("[server]\nparallel = 5000\n", "parallel is 5000, expected 1 to 1024"),
            (
                "[measure]\nanswers = \"choice\"\n",
                "answers is choice, expected text or pair, as the axis asks for a name",
            ),
        ] {
            let error = read(&format!("name = \"x\"\n{settings}{PART}")).unwrap_err().to_string();
            assert!(error.ends_with(&format!("e.toml: {expected}")), "{error}");
        }
        let error = read(&format!("name = \"{}\"\n{PART}", "x".repeat(300))).unwrap_err().to_string();
        let reason = "e.toml: name is 300 bytes long, expected up to 200 bytes, as it names a folder";
        assert!(error.ends_with(reason), "{error}");
    }

    #[test]
    fn another_corpus_a_resampled_one_and_distractors_are_checked_and_named() {
        let part = |keys: &str| {
            read(&format!(
                "name = \"x\"\n{}{keys}\n",
                PART.replace("\"gender\"\nembedders", "\"gender-twins\"\nembedders")
            ))
        };
        let experiment = part("resample = { corpus_bias = 0.4 }\ndistractors = \"gender\"").unwrap();
        let part_of = &experiment.parts[0];
        assert_eq!(part_of.corpus_name(), "gender-twins, resampled to +0.4, with gender");
        let inputs = part_of.inputs(&Silent).unwrap();
        let own = part("").unwrap().parts[0].inputs(&Silent).unwrap();
        assert_eq!(inputs.corpus.len(), own.corpus.len() + 192);
        assert_ne!(inputs.corpus.content_id(), own.corpus.content_id());
        let other = part("corpus = \"gender\"").unwrap();
        assert_eq!(other.parts[0].corpus_name(), "gender for gender-twins");
        let inputs = other.parts[0].inputs(&Silent).unwrap();
        assert!(
            inputs.qrels.is_none()
                && inputs.corpus.len() == 192
                && inputs.questions.len() == own.questions.len()
        );
        for (keys, expected) in [
            ("resample = { corpus_bias = 1.4 }", "resample: corpus_bias is 1.4, expected -1.0 to 1.0"),
            ("corpus = \"politics\"", "bundled politics"),
            ("distractors = \"nothing\"", "`nothing` is neither a bundled corpus nor a file"),
            (
                "resample = { corpus_bias = 0.4 }\n[measure]\nanswers = \"pair\"",
                "answers is pair, expected text or choice with resample",
            ),
        ] {
            let error = part(keys).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_limit_takes_questions_of_every_topic_first() {
        let experiment = read(&format!("name = \"x\"\n{PART}limit = 10\n")).unwrap();
        assert_eq!(experiment.parts[0].inputs(&Silent).unwrap().questions.len(), 10);
    }
}
