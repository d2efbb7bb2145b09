//! Verifies that a server's vectors are those of a checkpoint, and finds out why where they are not.

mod agreement;
mod cause;
mod served;
mod texts;

use std::path::PathBuf;
use std::sync::Arc;

use ndarray::{Array2, ArrayView2, Axis as Along, concatenate, s};
use ragbias_core::{Axis, Bias, Corpus, Embedder, Progress, Role, Unit};
use ragbias_data::Dataset;
use ragbias_embed::{TextEmbedder, TextEmbedderConfig};
use ragbias_generate::EmbeddingServer;
use serde::Serialize;

pub use self::agreement::Agreement;
use self::agreement::top_overlap;
pub use self::cause::{Cause, Trial};
use self::cause::{Sample, Tried};
use self::served::{Served, is_refused};
use self::texts::{Texts, limit};
use crate::embedding::{EMBED_BATCH, embed_all};
use crate::{Error, Result, System, Workspace};

/// Texts by which causes are tried.
const PROBES: usize = 16;
/// How far a length may be from 1.
const UNIT: f64 = 1e-3;

/// How a server is verified.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `tolerance` | 1e-5 | vectors are equal if no cosine is below 1 less this | above 0, below 1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerifyConfig {
    /// Vectors are equal if no cosine is below 1 less this.
    pub tolerance: f64,
}

ragbias_core::setters!(VerifyConfig { tolerance: f64 });

impl Default for VerifyConfig {
    fn default() -> Self {
        Self { tolerance: 1e-5 }
    }
}

/// E_b by the vectors of both, on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BothBiases {
    /// By the checkpoint's.
    pub checkpoint: Bias,
    /// By the server's.
    pub server: Bias,
}

/// The result. Serialised, it is the output of `ragbias verify --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Whether the vectors are equal.
    pub is_equal: bool,
    /// What the server does otherwise; none if they are equal.
    pub cause: Option<Cause>,
    /// The same in words.
    pub said: Option<String>,
    /// How vectors of texts that the checkpoint reads whole agree; none if the dimensions differ.
    pub documents: Option<Agreement>,
    /// The same of texts as questions, where the checkpoint embeds these otherwise.
    pub questions: Option<Agreement>,
    /// How vectors of texts that it cuts agree; none if the server does not take them, or if the dimensions differ.
    pub long_texts: Option<Agreement>,
    /// The mean overlap of each text's ten nearest others, from 0 to 1.
    pub top10_overlap: Option<f64>,
    /// The least and the greatest length of the server's vectors.
    pub lengths: [f64; 2],
    /// E_b by both, on an axis.
    pub embedder_bias: Option<BothBiases>,
    /// Causes that were tried, best first.
    pub tried: Vec<Trial>,
    /// What could not be compared, and what may matter.
    pub notes: Vec<String>,
    /// The server's address, without secrets.
    pub server: String,
    /// The model's name there.
    pub model: String,
    /// The checkpoint.
    pub checkpoint: String,
    /// The settings.
    pub config: VerifyConfig,
}

impl Verification {
    /// The result in one sentence.
    pub fn sentence(&self) -> String {
        let cosines = self.documents.map_or_else(String::new, |found| {
            format!(
                ": least cosine {:.6}, median {:.6} over {} texts",
                found.least_cosine, found.median_cosine, found.texts
            )
        });
        match &self.said {
            None => format!("equal{cosines}"),
            Some(said) => format!("different: {said}{cosines}"),
        }
    }
}

/// What is verified: a server against a checkpoint, by texts.
pub struct Verifying<'a> {
    /// The server.
    pub server: EmbeddingServer,
    /// A model's name, its folder, or a hub id.
    pub checkpoint: &'a str,
    /// The texts.
    pub texts: &'a Corpus,
    /// E_b is measured on its bundled questions and documents.
    pub axis: Option<&'a Axis>,
}

impl Verifying<'_> {
    /// Compares, and where the vectors differ, tries causes.
    ///
    /// # Errors
    /// A tolerance out of range, a checkpoint that cannot be read, a server that does not answer, an axis without bundled data.
    pub fn run(self, config: VerifyConfig, workspace: &Workspace) -> Result<Verification> {
        if !(config.tolerance > 0.0 && config.tolerance < 1.0) {
            let received = config.tolerance.to_string();
            return Err(Error::Setting {
                setting: "tolerance",
                expected: "a number above 0 and below 1",
                received,
            });
        }
        let data = self.axis.map(|axis| Dataset::bundled_on(&axis.name, axis)).transpose()?;
        let progress = workspace.progress();
        let folder = workspace.models().checkpoint(self.checkpoint, progress)?;
        let loaded = workspace.models().embedder_config();
        let own = TextEmbedder::load(&folder, &loaded)?;
        let prefixes = &own.config().prefixes;
        let served = Served::of(self.server, prefixes.question != prefixes.document)?;
        let texts = Texts::of(self.texts, &own)?;
        if texts.short.is_empty() {
            let received = "none that it does not cut".into();
            return Err(Error::Setting {
                setting: "texts",
                expected: "one that the checkpoint embeds whole",
                received,
            });
        }
        let comparing = Comparing { folder, loaded, own, served, texts, config, progress };
        let mut found = comparing.compare(self.checkpoint)?;
        if let (Some(axis), Some(data)) = (self.axis, data) {
            found.embedder_bias = Some(comparing.biases(axis, &data, workspace)?);
        }
        Ok(found)
    }
}

/// A server and a checkpoint, loaded.
struct Comparing<'a> {
    folder: PathBuf,
    loaded: TextEmbedderConfig,
    own: TextEmbedder,
    served: Served,
    texts: Texts,
    config: VerifyConfig,
    progress: &'a dyn Progress,
}

/// What was found of a cause, with all that was tried.
type Found = Option<(Cause, Vec<Trial>)>;

impl Comparing<'_> {
    fn compare(&self, checkpoint: &str) -> Result<Verification> {
        let short: Vec<&str> = self.texts.short.iter().map(String::as_str).collect();
        let long: Vec<&str> = self.texts.long.iter().map(String::as_str).collect();
        let mut notes = self.own.notes().to_vec();
        let theirs = self.ask(&short, Role::Document)?;
        let ours = embed_all(&self.own, &short, Role::Document, "embedding", self.progress)?;
        let documents = Agreement::of(ours.view(), theirs.view());
        let prefixes = &self.own.config().prefixes;
        let asked = &short[..short.len().min(PROBES)];
        let mut questions = None;
        let mut of_questions = Array2::zeros((0, 0));
        if prefixes.question != prefixes.document {
            of_questions = self.ask(asked, Role::Question)?;
            questions = Agreement::of(self.own.embed(asked, Role::Question)?.view(), of_questions.view());
            if !self.served.knows_roles() {
                notes.push(
                    "the server does not tell questions from documents, which the checkpoint embeds with different prefixes: whoever asks must put \
                     them before texts"
                        .into(),
                );
            }
        }
        let (long_texts, of_long) = self.compare_long(&long, &mut notes)?;
        let lengths = lengths(theirs.view());
        let differs = |agreement: Option<Agreement>| {
            agreement.is_some_and(|found| !found.is_within(self.config.tolerance))
        };
        let found = if documents.is_none() || differs(documents) {
            self.try_short(asked, Role::Document, &theirs.slice(s![..asked.len(), ..]).to_owned())?
        } else if differs(questions) {
            self.try_short(asked, Role::Question, &of_questions)?
        } else if differs(long_texts) {
            self.try_long(&long, &of_long)?
        } else if ours.is_normalised() && lengths.iter().any(|length| (length - 1.0).abs() > UNIT) {
            Some((Cause::NotNormalised, Vec::new()))
        } else {
            None
        };
        let (cause, tried) = found.unzip();
        Ok(Verification {
            is_equal: cause.is_none(),
            said: cause.as_ref().map(Cause::said),
            cause,
            documents,
            questions,
            long_texts,
            top10_overlap: top_overlap(ours.view(), theirs.view()),
            lengths,
            embedder_bias: None,
            tried: tried.unwrap_or_default(),
            notes,
            server: self.served.server().label().to_owned(),
            model: self.served.server().model().to_owned(),
            checkpoint: checkpoint.to_owned(),
            config: self.config,
        })
    }

    /// Texts that are longer than the checkpoint reads; the server may refuse them.
    fn compare_long(
        &self,
        long: &[&str],
        notes: &mut Vec<String>,
    ) -> Result<(Option<Agreement>, Array2<f32>)> {
        match self.ask(long, Role::Document) {
            Ok(theirs) => {
                let ours = self.own.embed(long, Role::Document)?;
                Ok((Agreement::of(ours.view(), theirs.view()), theirs))
            }
            Err(Error::Generate(error)) if is_refused(&error) => {
                notes
                    .push(format!("long texts were not compared, as the server does not take them: {error}"));
                Ok((None, Array2::zeros((0, 0))))
            }
            Err(error) => Err(error),
        }
    }

    /// The server's vectors of texts, `(texts, dim)`.
    fn ask(&self, texts: &[&str], role: Role) -> Result<Array2<f32>> {
        let step = self.progress.begin("asking the server", texts.len() as u64, Unit::Items);
        let mut parts = Vec::new();
        for batch in texts.chunks(EMBED_BATCH) {
            parts.push(self.served.raw(batch, role)?);
            step.advance(batch.len() as u64);
        }
        let parts: Vec<ArrayView2<'_, f32>> = parts.iter().map(Array2::view).collect();
        Ok(concatenate(Along(0), &parts)
            .expect("all vectors of the server have one dimension; this is a bug"))
    }

    fn try_short(&self, texts: &[&str], role: Role, theirs: &Array2<f32>) -> Result<Found> {
        Ok(Some(self.tried().of_short(&Sample { texts, role, theirs }, self.progress)?))
    }

    fn try_long(&self, texts: &[&str], theirs: &Array2<f32>) -> Result<Found> {
        let sample = Sample { texts, role: Role::Document, theirs };
        Ok(Some(self.tried().of_long(&sample, limit(&self.own)?, self.progress)?))
    }

    fn tried(&self) -> Tried<'_> {
        Tried { folder: &self.folder, config: &self.loaded, own: &self.own, tolerance: self.config.tolerance }
    }

    /// E_b by the vectors of both.
    fn biases(self, axis: &Axis, data: &Dataset, workspace: &Workspace) -> Result<BothBiases> {
        let bias = |embedder: Arc<dyn Embedder>| {
            let system =
                System::on(axis.clone()).embedder(embedder).workspace(&workspace.without_store()).build()?;
            Ok::<_, Error>(system.index(&data.corpus)?.retrieve(&data.questions)?.bias())
        };
        Ok(BothBiases { checkpoint: bias(Arc::new(self.own))?, server: bias(Arc::new(self.served))? })
    }
}

/// The least and the greatest length of vectors.
fn lengths(vectors: ArrayView2<'_, f32>) -> [f64; 2] {
    let length = |row: ndarray::ArrayView1<'_, f32>| {
        row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
    };
    let (mut least, mut greatest) = (f64::INFINITY, 0.0_f64);
    for row in vectors.rows() {
        least = least.min(length(row));
        greatest = greatest.max(length(row));
    }
    [least, greatest]
}
