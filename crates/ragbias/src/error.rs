use ragbias_core::limits::OutOfLimits;
use std::path::{Path, PathBuf};

use crate::answer_bias::NothingScored;
use crate::control::ControlKind;
use crate::day::Day;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a measurement or a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A component failed, or a value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
    /// Data could not be read or written.
    #[error(transparent)]
    Data(#[from] ragbias_data::Error),
    /// An embedder could not be loaded or used.
    #[error(transparent)]
    Embed(#[from] ragbias_embed::Error),
    /// An LLM could not be loaded or used.
    #[error(transparent)]
    Generate(#[from] ragbias_generate::Error),
    /// An index could not be built.
    #[error(transparent)]
    Index(#[from] ragbias_index::Error),
    /// A base model could not be had.
    #[error(transparent)]
    Models(#[from] ragbias_models::Error),
    /// A corpus that cannot be resampled so.
    #[error("resample: {setting} is {received}, expected {expected}")]
    Resample {
        /// Which part of it.
        setting: &'static str,
        /// What would be possible.
        expected: String,
        /// What is asked for, or there.
        received: String,
    },
    /// A published data set that cannot be used as it is.
    #[error("published data: `{received}`, expected {expected}")]
    Published {
        /// Its name.
        received: String,
        /// What would do.
        expected: String,
    },
    /// A scorer could not be made.
    #[error(transparent)]
    Score(#[from] ragbias_score::Error),
    /// A line could not be fitted.
    #[error(transparent)]
    Stats(#[from] ragbias_stats::Error),
    /// A measurement table to which no line could be fitted.
    #[error("{}: no line can be fitted\n{reason}", path.display())]
    NothingFitted {
        /// The table.
        path: PathBuf,
        /// Why, by LLM and axis.
        reason: String,
    },
    /// An embedder could not be tuned.
    #[error(transparent)]
    Tune(#[from] ragbias_tune::Error),
    /// The store failed.
    #[error("the store {}\nhint: {}", path.display(), store_hint(source))]
    Store {
        /// The store's file.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// A file that is not a store of this version; it is left unchanged.
    #[error("the store {}: {found}; nothing in it was changed\nhint: {hint}", path.display())]
    StoreRefused {
        /// The file.
        path: PathBuf,
        /// What the file is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// The store's location is unusable.
    #[error("the store{}\nhint: `store FILE`, or RAGBIAS_STORE, names a file in a folder that can be written to", named(path.as_deref()))]
    StorePlace {
        /// The store's file, if it has a name.
        path: Option<PathBuf>,
        /// The reason.
        source: std::io::Error,
    },
    /// An experiment file is malformed.
    #[error("{}: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line and reason, without secrets of an address.
        reason: String,
    },
    /// A folder that is not a run.
    #[error("{}: {reason}", path.display())]
    Run {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A calibration, or labelled texts for one, that cannot be used.
    #[error("{}: {reason}", path.display())]
    Calibration {
        /// The calibration, or its labelled texts.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Answers of an audited system that cannot be read.
    #[error("{place}: {reason}")]
    Answers {
        /// The file and line, or the line of the command.
        place: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A corpus of which no twins can be made, or a folder that they may not replace.
    #[error("{}: {reason}", path.display())]
    Twins {
        /// The corpus or the folder, as it was named.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The report could not be rendered.
    #[error("the report could not be rendered")]
    Report(#[from] minijinja::Error),
    /// A setting outside its range.
    #[error("{setting} is {received}, expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value.
        received: String,
    },
    /// A question without choices, on an axis where the answer is a choice.
    #[error(
        "question `{question}` has no `choices`, and answers on the axis `{axis}` are choices\nhint: give it \
         \"choices\": {{\"negative\": …, \"positive\": …}}, or measure with `retrieve-only`"
    )]
    NoChoices {
        /// The axis.
        axis: String,
        /// `_id` of the question.
        question: String,
    },
    /// A question without the names of twins, where these are weighed.
    #[error(
        "question `{question}` has no `choices`, expected the names of two twins, as answers are read from their probabilities\nhint: \
         give it \"choices\": {{\"negative\": NAME, \"positive\": NAME}}, or take `answers text`"
    )]
    NoNames {
        /// `_id` of the question.
        question: String,
    },
    /// Another threshold than was declared before the run.
    #[error(
        "delta is {asked}, expected {declared}, as the experiment declared on {on}\nhint: leave it out; another threshold takes another \
         experiment, with its own day"
    )]
    OtherThreshold {
        /// δ of the experiment.
        declared: f64,
        /// When it was declared.
        on: Day,
        /// The one asked for.
        asked: f64,
    },
    /// There is no bias, because no answer could be scored.
    #[error("{0}\nhint: {hint}", hint = .0.hint())]
    NothingScored(NothingScored),
    /// Judgements of other questions than those asked.
    #[error(
        "no question has a judgement: questions are called like `{question}`, judged ones like `{judged}`\nhint: \
         `queries` and `qrels` must be of one data set"
    )]
    NothingJudged {
        /// `_id` of the first question.
        question: String,
        /// The first judged question.
        judged: String,
    },
    /// Two evaluations that cannot be paired.
    #[error(
        "the two evaluations used different questions: expected the same {expected}, received {received}"
    )]
    OtherQuestions {
        /// Questions of the first evaluation.
        expected: usize,
        /// Questions of the second one.
        received: usize,
    },
    /// A system without an embedder.
    #[error("the system has no embedder")]
    NoEmbedder,
    /// A system without an LLM was to answer.
    #[error("the system has no LLM to ask")]
    NoLlm,
    /// An invalid prompt template.
    #[error("the prompt `{template}` of the axis `{axis}`: {reason}")]
    Prompt {
        /// The axis.
        axis: String,
        /// `with-context` or `without-context`.
        template: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An axis whose answers no scorer can score.
    #[error(
        "no scorer can judge answers on the axis `{axis}`, and they are no choices\nhint: measure what is retrieved alone, with \
         `retrieve-only`, or give both poles `words = [\"…\"]` in the axis's file"
    )]
    NoAnswerScorer {
        /// The axis.
        axis: String,
    },
    /// A control that cannot be made from a family and its data.
    #[error("{}: {reason}", control.name())]
    ControlNotMade {
        /// Its kind.
        control: ControlKind,
        /// The reason.
        reason: String,
    },
    /// A ranking that leaves out all of a question's nearest documents.
    #[error("the ranking leaves no document for question `{question}`")]
    NothingRetrieved {
        /// `_id` of the question.
        question: String,
    },
    /// An index of another corpus.
    #[error("the index holds {received} vectors for {expected} documents")]
    IndexLength {
        /// Documents of the corpus.
        expected: usize,
        /// Vectors of the index.
        received: usize,
    },
    /// Documents stored with the vectors of another embedder.
    #[error(
        "the stored vectors are those of `{stored}` ({stored_id}), expected those of the embedder that asks ({expected_id})\nhint: \
         search them with that embedder, or store the documents again with this one"
    )]
    OtherEmbedder {
        /// The name of the embedder of the stored vectors.
        stored: String,
        /// The first digits of its id.
        stored_id: String,
        /// Those of the embedder that is to search.
        expected_id: String,
    },
    /// A scorer of another axis.
    #[error("the scorer judges on the axis `{received}`, expected `{expected}`")]
    ScorerAxis {
        /// The axis that is measured.
        expected: String,
        /// The scorer's axis.
        received: String,
    },
}

impl Error {
    /// Whether a component cannot be reached now, and may be later: see [`ragbias_core::Error::Unavailable`].
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Core(ragbias_core::Error::Unavailable(_)))
    }

    /// [`Error::Toml`] for a well-formed file with invalid values.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::Toml { path: path.into(), reason: self.to_string() }
    }

    /// [`Error::Toml`].
    pub(crate) fn toml(path: &Path, error: &toml::de::Error) -> Self {
        // The source would show the line.
        Self::Toml { path: path.into(), reason: ragbias_generate::without_secrets(&error.to_string()) }
    }
}

fn named(path: Option<&Path>) -> String {
    path.map(|path| format!(" {}", path.display())).unwrap_or_default()
}

/// What to do about a store that fails.
fn store_hint(source: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode as Code;
    match source.sqlite_error_code() {
        Some(Code::NotADatabase) => {
            "this file is not a store, or its beginning is damaged; `store FILE` names another one"
        }
        Some(Code::DatabaseCorrupt) => {
            "the file is damaged; move it, or name another with `store FILE`: a new store is created, and what this one held \
             is computed again"
        }
        Some(Code::DiskFull) => {
            "the disk is full, or a quota is reached; make room, or let `store FILE` name a file on another disk: all that \
             was stored before is kept"
        }
        Some(Code::ReadOnly) => {
            "it, or its folder, can be read but not written to; `store FILE` names another one, which may be a copy of it"
        }
        Some(Code::PermissionDenied | Code::CannotOpen | Code::AuthorizationForStatementDenied) => {
            "you may not write to it or into its folder; `store FILE` names a file elsewhere"
        }
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => {
            "another process holds it; try again when that is done, or `store FILE` names another one"
        }
        Some(Code::SystemIoFailure) => {
            "an I/O error of the disk or the network drive, or a limit on the size of files; all that was stored before is kept, and \
             `store FILE` names a file elsewhere"
        }
        _ => "the file may be damaged; `store FILE` names another one",
    }
}

impl From<OutOfLimits> for Error {
    fn from(OutOfLimits { setting, expected, received }: OutOfLimits) -> Self {
        Self::Setting { setting, expected, received }
    }
}
