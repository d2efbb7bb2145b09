use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ragbias_core::{ContentId, Corpus, Document, Lean, Verdict};
use ragbias_data::write_file;
use serde::{Deserialize, Serialize};

use crate::{Error, Judged, Result};

/// The leans of documents, by `_id`, with a hash of the text that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownLeans(BTreeMap<String, Known>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    text: ContentId,
    /// None if it could not be scored.
    lean: Option<Lean>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    text: ContentId,
    lean: Option<Lean>,
}

/// How the documents of a corpus stand to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Acquaintance {
    /// Number of documents whose lean is known, or known not to be scored.
    pub(super) known: usize,
    /// Number of documents whose `_id` belongs to another text.
    pub(super) changed: usize,
    /// Number of documents of another `_id`.
    pub(super) unknown: usize,
}

impl KnownLeans {
    /// Name of the file, beside `control.json`.
    pub(super) const FILE: &str = "leans.jsonl";

    /// The leans of a judged corpus.
    pub fn of(judged: &Judged) -> Self {
        let documents = judged.corpus().documents().iter().zip(judged.verdicts());
        Self(
            documents
                .map(|(document, verdict)| {
                    (document.id.clone(), Known { text: text(document), lean: Verdict::lean(*verdict) })
                })
                .collect(),
        )
    }

    /// The lean of each document of a corpus; neutral for one that is not known, whose text has changed, or that could not be scored.
    pub fn in_corpus(&self, corpus: &Corpus) -> Arc<[Lean]> {
        let lean = |document: &Document| {
            let known = self.0.get(&document.id).filter(|known| known.text == text(document));
            known.and_then(|known| known.lean).unwrap_or(Lean::Neutral)
        };
        corpus.documents().iter().map(lean).collect()
    }

    pub(super) fn acquaintance(&self, corpus: &Corpus) -> Acquaintance {
        let mut counts = Acquaintance::default();
        for document in corpus.documents() {
            match self.0.get(&document.id) {
                Some(known) if known.text == text(document) => counts.known += 1,
                Some(_) => counts.changed += 1,
                None => counts.unknown += 1,
            }
        }
        counts
    }

    /// Writes the file into a folder, and returns its hash.
    pub(super) fn write(&self, folder: &Path) -> Result<ContentId> {
        let mut lines = String::new();
        for (id, &Known { text, lean }) in &self.0 {
            let line = Line { id: id.clone(), text, lean };
            lines.push_str(&serde_json::to_string(&line).map_err(std::io::Error::from)?);
            lines.push('\n');
        }
        write_file(&folder.join(Self::FILE), &lines)?;
        Ok(ContentId::of(lines.as_bytes()))
    }

    /// Reads the file of this hash from a folder.
    ///
    /// # Errors
    /// A file that is missing, or differs from what was written.
    pub(super) fn read(folder: &Path, expected: ContentId) -> Result<Self> {
        let path = folder.join(Self::FILE);
        let text = fs_err::read_to_string(&path)?;
        let wrong = |reason: String| Error::Run { path: path.clone(), reason };
        if ContentId::of(text.as_bytes()) != expected {
            let reason = "not what control.json was written with: damaged, or changed since\nhint: `ragbias choose` writes both again";
            return Err(wrong(reason.into()));
        }
        let line = |(number, line): (usize, &str)| {
            let Line { id, text, lean } =
                serde_json::from_str(line).map_err(|error| wrong(format!("line {}: {error}", number + 1)))?;
            Ok((id, Known { text, lean }))
        };
        text.lines().enumerate().map(line).collect::<Result<_>>().map(Self)
    }
}

/// Hash of what was judged.
fn text(document: &Document) -> ContentId {
    ContentId::of(document.full_text().as_bytes())
}
