use std::path::Path;

use ragbias_core::{Axis, ContentId, Corpus, Progress, QuestionSet, Silent};
use ragbias_data::{Dataset, Qrels, Split, read_corpus, read_qrels, read_questions};

use crate::Result;
use crate::named::Named;

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

/// A bundled data set, a published one that was pulled, or one from a folder with a manifest or a published file.
pub(crate) fn load_dataset(name_or_path: &str, axis: &Axis, progress: &dyn Progress) -> Result<Dataset> {
    Named::find("data set", name_or_path, progress)?.dataset(name_or_path, Some(axis), progress)
}

/// A corpus by the name of a data set, bundled or pulled, or from a file; labels are leans on this axis, if there is one.
///
/// # Errors
/// Neither, or a malformed file.
pub fn load_corpus(name_or_path: &str, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Corpus> {
    match Named::find("corpus", name_or_path, progress)? {
        Named::Path(path) | Named::Table(path) => Ok(read_corpus(&path, axis, progress)?),
        set => Ok(set.dataset(name_or_path, axis, progress)?.corpus),
    }
}

/// Questions by the name of a data set, bundled or pulled, or from a file. The split needs a bundled set.
///
/// # Errors
/// Neither, or a malformed file.
pub fn load_questions(name_or_path: &str, progress: &dyn Progress) -> Result<QuestionSet> {
    match Named::find("question set", name_or_path, progress)? {
        Named::Path(path) | Named::Table(path) => Ok(read_questions(&path, progress)?),
        set => Ok(set.dataset(name_or_path, None, progress)?.questions),
    }
}

/// Judgements by the name of a data set, bundled or pulled, or from a folder or a file.
///
/// # Errors
/// Neither, or a malformed file.
pub fn load_qrels(name_or_path: &str, progress: &dyn Progress) -> Result<Qrels> {
    match Named::find("set of judgements", name_or_path, progress)? {
        Named::Path(path) => Ok(read_qrels(&path, progress)?),
        set => Ok(set.dataset(name_or_path, None, progress)?.qrels),
    }
}

/// Whether a name is that of a data set with questions, documents and judgements: bundled, or published and pulled.
pub fn is_dataset(name: &str) -> bool {
    let progress = Silent;
    match Named::find("data set", name, &progress) {
        Ok(Named::Bundled | Named::GrepBiasIr(_)) => true,
        Ok(table @ Named::Table(_)) => table.dataset(name, None, &progress).is_ok(),
        // A folder of the user is named as such; that of a published set is one of BEIR.
        Ok(Named::Path(path)) => path != Path::new(name),
        Err(_) => false,
    }
}
