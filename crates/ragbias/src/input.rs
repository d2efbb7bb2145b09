use std::path::Path;

use ragbias_core::{Axis, ContentId, Corpus, Progress, QuestionSet};
use ragbias_data::{Dataset, Qrels, Split, read_corpus, read_qrels, read_questions};

use crate::Result;

/// The input of a measurement: questions, corpus, and judgements if there are any.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The questions of the split.
    pub questions: QuestionSet,
    /// The documents.
    pub corpus: Corpus,
    /// The relevance judgements.
    pub qrels: Option<Qrels>,
}

impl Inputs {
    /// All inputs from a bundled data set, or a folder with a manifest; labels are leans on this axis.
    ///
    /// # Errors
    /// An unknown name, or a malformed folder.
    pub fn of_dataset(
        name_or_folder: &str,
        split: Split,
        axis: &Axis,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let set = load_dataset(name_or_folder, axis, progress)?;
        Ok(Self { questions: set.split(split)?, corpus: set.corpus, qrels: Some(set.qrels) })
    }

    /// Their record in a manifest: a name and a hash each.
    pub(crate) fn ids(&self, data: &str, split: Split) -> [(String, ContentId); 2] {
        [
            (format!("corpus {data}"), self.corpus.content_id()),
            (format!("questions {data} {}", split.name()), self.questions.content_id()),
        ]
    }
}

/// A bundled data set, or one from a folder with a manifest or a published file.
pub(crate) fn load_dataset(name_or_path: &str, axis: &Axis, progress: &dyn Progress) -> Result<Dataset> {
    if is_bundled(name_or_path) {
        return Ok(Dataset::bundled_on(name_or_path, axis)?);
    }
    Ok(Dataset::read(Path::new(name_or_path), Some(axis), progress)?)
}

/// A corpus by the name of a bundled data set, or from a file; labels are leans on this axis.
///
/// # Errors
/// Neither, or a malformed file.
pub fn load_corpus(name_or_path: &str, axis: &Axis, progress: &dyn Progress) -> Result<Corpus> {
    if is_bundled(name_or_path) {
        return Ok(load_dataset(name_or_path, axis, progress)?.corpus);
    }
    named_or_file("corpus", name_or_path)?;
    Ok(read_corpus(Path::new(name_or_path), Some(axis), progress)?)
}

/// Questions by the name of a bundled data set, or from a file. The split needs a bundled set.
///
/// # Errors
/// Neither, or a malformed file.
pub fn load_questions(name_or_path: &str, progress: &dyn Progress) -> Result<QuestionSet> {
    if is_bundled(name_or_path) {
        return Ok(Dataset::bundled(name_or_path)?.questions);
    }
    named_or_file("question set", name_or_path)?;
    Ok(read_questions(Path::new(name_or_path), progress)?)
}

/// Judgements by the name of a bundled data set, or from a folder or a file.
///
/// # Errors
/// Neither, or a malformed file.
pub fn load_qrels(name_or_path: &str, progress: &dyn Progress) -> Result<Qrels> {
    named_or_file("set of judgements", name_or_path)?;
    if is_bundled(name_or_path) {
        return Ok(Dataset::bundled(name_or_path)?.qrels);
    }
    Ok(read_qrels(Path::new(name_or_path), progress)?)
}

/// Whether a data set of this name is bundled.
pub(crate) fn is_bundled(name: &str) -> bool {
    Dataset::bundled_names().any(|bundled| bundled == name)
}

/// Refuses a name that is neither bundled nor a path.
pub(crate) fn named_or_file(what: &'static str, name_or_path: &str) -> Result<()> {
    if is_bundled(name_or_path) || Path::new(name_or_path).exists() {
        return Ok(());
    }
    let known = Dataset::bundled_names().map(str::to_owned).collect();
    Err(ragbias_data::Error::Unknown { what, name: name_or_path.into(), known }.into())
}
