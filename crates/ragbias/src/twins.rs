//! Twins made of a corpus: each passage about one person as a pair of documents, a man's and a woman's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_core::{
    Axis, Choices, ContentHasher, ContentId, Corpus, Document, Lean, Progress, Question, QuestionSet, Unit,
};
use ragbias_data::{Dataset, Qrels, Staging, write_file};
use ragbias_score::{Counterparts, DrawKey, LeftOut, Lexicon, Naming, Reason, Twin};
use serde::Serialize;
use serde_json::{Map, json};

use crate::input::load_dataset;
use crate::result_folder::of_folder;
use crate::{Error, Result, load_corpus};

/// The file that says how the twins of a folder were made.
const CARD: &str = "twins.json";

/// How twins are made.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `seed` | 0 | which names are drawn | any |
/// | `draws` | 1 | pairs of names per passage | 1 to 20 |
/// | `naming` | drawn | whether both twins have drawn names, or one keeps the passage's | |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TwinConfig {
    /// Which names are drawn.
    pub seed: u64,
    /// Pairs of names per passage.
    pub draws: usize,
    /// Whether both twins have drawn names.
    pub naming: Naming,
}

ragbias_core::setters!(TwinConfig { seed: u64, draws: usize, naming: Naming });

impl Default for TwinConfig {
    fn default() -> Self {
        Self { seed: 0, draws: 1, naming: Naming::default() }
    }
}

impl TwinConfig {
    /// No origin has more names of a gender.
    const MOST_DRAWS: usize = 20;

    /// Refuses a number of draws outside its range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        if (1..=Self::MOST_DRAWS).contains(&self.draws) {
            return Ok(());
        }
        Err(Error::Setting { setting: "draws", expected: "1 to 20", received: self.draws.to_string() })
    }
}

/// What twins are made of: a corpus, and perhaps its questions and judgements.
#[derive(Debug, Clone)]
pub struct TwinSource {
    name: String,
    corpus: Corpus,
    questions: Option<Dataset>,
}

impl TwinSource {
    /// A corpus: a bundled data set or a file.
    ///
    /// # Errors
    /// A malformed file, an axis other than gender, and a corpus of twins.
    pub fn corpus(name_or_path: &str, axis: &Axis, progress: &dyn Progress) -> Result<Self> {
        check_axis(axis)?;
        let corpus = load_corpus(name_or_path, Some(axis), progress)?;
        Self { name: name_or_path.into(), corpus, questions: None }.checked()
    }

    /// A corpus with its questions and judgements: a bundled data set, a folder with a manifest, or a published file.
    ///
    /// # Errors
    /// Those of [`TwinSource::corpus`], and a data set without questions.
    pub fn dataset(name_or_path: &str, axis: &Axis, progress: &dyn Progress) -> Result<Self> {
        check_axis(axis)?;
        let set = load_dataset(name_or_path, axis, progress)?;
        Self { name: name_or_path.into(), corpus: set.corpus.clone(), questions: Some(set) }.checked()
    }

    fn checked(self) -> Result<Self> {
        let twin = self.corpus.documents().iter().find(|document| document.metadata.contains_key("pair"));
        match twin {
            None => Ok(self),
            Some(document) => Err(Error::Twins {
                path: self.name.into(),
                reason: format!(
                    "document `{}` has a `metadata.pair`, expected a corpus that is not of twins already",
                    document.id
                ),
            }),
        }
    }
}

/// Refuses an axis whose words have no counterparts.
fn check_axis(axis: &Axis) -> Result<()> {
    if axis.name == "gender" {
        return Ok(());
    }
    let expected = "gender, the axis whose words have counterparts";
    Err(Error::Setting { setting: "axis", expected, received: axis.name.clone() })
}

/// A passage without twins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutPassage {
    /// `_id` of the document.
    #[serde(rename = "_id")]
    pub id: String,
    /// Why.
    #[serde(flatten)]
    pub left_out: LeftOut,
}

/// Twins, and the passages that have none.
#[derive(Debug)]
pub struct TwinSet {
    config: TwinConfig,
    source: TwinSource,
    documents: Vec<Document>,
    /// The passages with twins, by id.
    passages: BTreeMap<String, Passage>,
    left_out: Vec<LeftOutPassage>,
}

/// A passage with twins.
#[derive(Debug)]
struct Passage {
    lean: Lean,
    origin_known: bool,
    /// Ids of its twins.
    twins: Vec<String>,
    /// The names of its twins in the first draw.
    names: Choices,
}

impl TwinSet {
    /// The twins of all passages about one person.
    ///
    /// # Errors
    /// A number of draws outside its range.
    pub fn make(source: TwinSource, config: TwinConfig, progress: &dyn Progress) -> Result<Self> {
        config.check()?;
        let counterparts = Lexicon::bundled("gender")?.counterparts()?;
        let step = progress.begin("making twins", source.corpus.len() as u64, Unit::Items);
        let mut set = Self {
            config,
            documents: Vec::new(),
            passages: BTreeMap::new(),
            left_out: Vec::new(),
            source: TwinSource { corpus: source.corpus.clone(), ..source },
        };
        for document in source.corpus.documents() {
            if let Err(left_out) = set.add(document, &counterparts) {
                set.left_out.push(LeftOutPassage { id: document.id.clone(), left_out });
            }
            step.advance(1);
        }
        Ok(set)
    }

    fn add(&mut self, document: &Document, counterparts: &Counterparts) -> Result<(), LeftOut> {
        let text = joined(document);
        let read = counterparts.read(&text)?;
        let key = DrawKey { seed: self.config.seed, passage: &document.id };
        let draws = read.twins(key, self.config.draws, self.config.naming)?;
        let mut twins = Vec::with_capacity(2 * draws.len());
        for (draw, texts) in draws.iter().enumerate() {
            let draw = (self.config.draws > 1).then_some(draw);
            let mut both = [(Lean::Negative, &texts.negative), (Lean::Positive, &texts.positive)]
                .map(|(lean, twin)| made(document, (lean, twin), draw, read.origin()));
            // The order of documents decides between equal scores, so that neither pole always comes first.
            both.rotate_left(usize::from(comes_second(&document.id)));
            twins.extend(both);
        }
        let first = &draws[0];
        let passage = Passage {
            lean: read.lean(),
            origin_known: read.origin().is_some(),
            twins: twins.iter().map(|twin| twin.id.clone()).collect(),
            names: Choices { negative: first.negative.name.clone(), positive: first.positive.name.clone() },
        };
        self.passages.insert(document.id.clone(), passage);
        self.documents.extend(twins);
        Ok(())
    }

    /// The twins.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The passages without twins.
    pub fn left_out(&self) -> &[LeftOutPassage] {
        &self.left_out
    }

    /// What was made, and how.
    pub fn card(&self) -> TwinCard {
        let count = |lean: Lean| self.passages.values().filter(|passage| passage.lean == lean).count();
        let reason = |reason: &Reason| {
            let those = self.left_out.iter().filter(|passage| passage.left_out.reason == *reason);
            let count = those.clone().count();
            those.clone().next().map(|example| LeftOutCount {
                reason: *reason,
                count,
                example: example.clone(),
            })
        };
        TwinCard {
            axis: "gender".into(),
            corpus: self.source.name.clone(),
            corpus_id: self.source.corpus.content_id(),
            seed: self.config.seed,
            draws: self.config.draws,
            names: if self.config.naming == Naming::Kept { "kept" } else { "drawn" },
            documents: self.source.corpus.len(),
            passages: self.passages.len(),
            of_men: count(Lean::Negative),
            of_women: count(Lean::Positive),
            origin_known: self.passages.values().filter(|passage| passage.origin_known).count(),
            twins: self.documents.len(),
            questions: self.questions().map(|(questions, _)| questions.len()),
            left_out: Reason::ALL.iter().filter_map(reason).collect(),
        }
    }

    /// The questions that have a relevant passage with twins, and their judgements; none without questions.
    fn questions(&self) -> Option<(Vec<Question>, Qrels)> {
        let set = self.source.questions.as_ref()?;
        let (mut questions, mut qrels) = (Vec::new(), Qrels::new());
        for question in set.questions.questions() {
            let judged = set.qrels.get(&question.id).into_iter().flatten();
            let judged: Vec<(&Passage, i64)> = judged
                .filter(|(_, grade)| **grade > 0)
                .filter_map(|(document, grade)| Some((self.passages.get(document)?, *grade)))
                .collect();
            if judged.is_empty() {
                continue;
            }
            let of = judged
                .iter()
                .flat_map(|(passage, grade)| passage.twins.iter().map(|twin| (twin.clone(), *grade)));
            qrels.insert(question.id.clone(), of.collect());
            let choices = match judged[..] {
                [(passage, _)] if self.config.draws == 1 => Some(passage.names.clone()),
                _ => None,
            };
            questions.push(Question { choices, ..question.clone() });
        }
        Some((questions, qrels))
    }

    /// Whether twins may be written to a folder: it is absent, empty, or one of twins.
    ///
    /// # Errors
    /// [`Error::Twins`] for a folder with anything else in it.
    pub fn check_folder(folder: &Path) -> Result<()> {
        let occupied = folder.exists() && (!folder.is_dir() || fs_err::read_dir(folder)?.next().is_some());
        if !occupied || folder.join(CARD).is_file() {
            return Ok(());
        }
        let reason = format!(
            "expected no folder, an empty one or one of twins, which has a `{CARD}`\nhint: `out DIR` names another one"
        );
        Err(Error::Twins { path: folder.into(), reason })
    }

    /// Writes `corpus.jsonl`, `left-out.jsonl` and `twins.json`, and with questions the files of a data set, into a folder that is there
    /// whole or not at all.
    ///
    /// # Errors
    /// Failures of the file system, a corpus without a single pair, and a folder that may not be replaced.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Self::check_folder(folder)?;
        if self.documents.is_empty() {
            let reason =
                format!("none of {} documents has twins: {}", self.source.corpus.len(), self.reasons());
            return Err(Error::Twins { path: PathBuf::from(&self.source.name), reason });
        }
        let corpus = Corpus::new(self.documents.clone())?;
        let parent =
            folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let staging = Staging::within(parent)?;
        let named = |error: std::io::Error| of_folder(folder, &error);
        match (self.questions(), &self.source.questions) {
            (Some((questions, qrels)), Some(set)) if !questions.is_empty() => {
                twin_dataset(set, corpus, questions, qrels)?.write(staging.path())?;
            }
            _ => {
                write_file(&staging.path().join("corpus.jsonl"), lines(corpus.documents())).map_err(named)?;
            }
        }
        write_file(&staging.path().join("left-out.jsonl"), lines(&self.left_out)).map_err(named)?;
        let card = serde_json::to_string_pretty(&self.card()).expect("numbers and texts; this is a bug");
        write_file(&staging.path().join(CARD), card + "\n").map_err(named)?;
        Ok(staging.replace(folder)?)
    }

    fn reasons(&self) -> String {
        let counts = self.card().left_out;
        counts.iter().map(|count| format!("{} {}", count.count, count.reason)).collect::<Vec<_>>().join(", ")
    }
}

/// How a folder of twins was made, and what it holds: `twins.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TwinCard {
    /// The axis.
    pub axis: String,
    /// The corpus, as it was named.
    pub corpus: String,
    /// Its hash.
    pub corpus_id: ContentId,
    /// The seed of the names.
    pub seed: u64,
    /// Pairs of names per passage.
    pub draws: usize,
    /// `drawn`, or `kept` where the twin of the passage's own gender keeps its names.
    pub names: &'static str,
    /// Documents of the corpus.
    pub documents: usize,
    /// Those that have twins.
    pub passages: usize,
    /// Those that are about a man.
    pub of_men: usize,
    /// Those that are about a woman.
    pub of_women: usize,
    /// Those whose first name is in a list of its origin; the names of the others' twins are English.
    pub origin_known: usize,
    /// Documents that were made.
    pub twins: usize,
    /// Questions with a passage that has twins; none if the corpus came without questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<usize>,
    /// The others, by reason.
    pub left_out: Vec<LeftOutCount>,
}

/// How many passages were left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutCount {
    /// The reason.
    pub reason: Reason,
    /// The passages.
    pub count: usize,
    /// The first of them.
    pub example: LeftOutPassage,
}

/// The data set of twins, with the questions about them.
fn twin_dataset(set: &Dataset, corpus: Corpus, questions: Vec<Question>, qrels: Qrels) -> Result<Dataset> {
    let mut info = set.info.clone();
    info.axis = "gender".into();
    info.name += "-twins";
    info.about = format!("twins made of {}: {}", set.info.name, set.info.about);
    // A split names only topics that still have a question.
    let asked = |topic: &String| questions.iter().any(|question| question.cluster() == topic);
    info.splits.validation.retain(asked);
    info.splits.test.retain(asked);
    Ok(Dataset { info, corpus, questions: QuestionSet::new(questions)?, qrels })
}

/// Title and text; the title ends with its line.
fn joined(document: &Document) -> String {
    match document.title.as_deref() {
        Some(title) => format!("{title}\n{}", document.text),
        None => document.text.clone(),
    }
}

/// Title and text of a twin: nothing that is exchanged has a line end.
fn parted(document: &Document, twin: &str) -> (Option<String>, String) {
    let Some(title) = document.title.as_deref() else { return (None, twin.to_owned()) };
    let end = twin.match_indices('\n').nth(title.matches('\n').count());
    let (end, _) = end.expect("as many lines as the passage; this is a bug");
    (Some(twin[..end].to_owned()), twin[end + 1..].to_owned())
}

/// The document of a twin.
fn made(
    document: &Document,
    (lean, twin): (Lean, &Twin),
    draw: Option<usize>,
    origin: Option<&str>,
) -> Document {
    let (title, text) = parted(document, &twin.text);
    let mut metadata = Map::new();
    metadata.insert("lean".into(), i64::from(lean).into());
    metadata.insert("pair".into(), document.id.clone().into());
    metadata.insert("name".into(), twin.name.clone().into());
    if let Some(draw) = draw {
        metadata.insert("draw".into(), draw.into());
    }
    if let Some(topic) = document.metadata.get("topic") {
        metadata.insert("topic".into(), topic.clone());
    }
    if let Some(origin) = origin {
        metadata.insert("origin".into(), json!(origin));
    }
    let side = if lean == Lean::Negative { "negative" } else { "positive" };
    let draw = draw.map_or_else(String::new, |draw| format!("-{draw}"));
    Document { id: format!("{}{draw}-{side}", document.id), title, text, metadata }
}

/// Whether the negative twin of a passage comes second.
fn comes_second(id: &str) -> bool {
    ContentHasher::new("twin order/1").field(id).finish().as_bytes()[0] % 2 == 1
}

fn lines(records: &[impl Serialize]) -> String {
    let line = |record| serde_json::to_string(record).expect("texts and numbers; this is a bug") + "\n";
    records.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use ragbias_core::Pairs;
    use serde_json::Value;

    use super::*;

    fn made_of(documents: Vec<Document>, config: TwinConfig) -> TwinSet {
        let source =
            TwinSource { name: "c".into(), corpus: Corpus::new(documents).unwrap(), questions: None };
        TwinSet::make(source, config, &ragbias_core::Silent).unwrap()
    }

    fn clara() -> Document {
        let mut document = Document::new("d1", "Fell won a prize for her book.");
        document.title = Some("Clara Fell".into());
        document.metadata =
            serde_json::from_value::<Map<String, Value>>(json!({ "lean": 1, "topic": "t", "url": "u" }))
                .unwrap();
        document
    }

    #[test]
    fn a_title_is_part_of_a_passage_and_its_twins_are_pairs_of_the_corpus() {
        let set = made_of(vec![clara(), Document::new("d2", "It rains.")], TwinConfig::default().draws(3));
        assert_eq!(set.documents().len(), 6);
        let corpus = Corpus::new(set.documents().to_vec()).unwrap();
        let pairs = Pairs::of(&corpus).unwrap().unwrap();
        assert_eq!(pairs.draws(), 3);
        let (_, draws) = pairs.passage(ragbias_core::DocId(0)).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for twins in draws {
            let Choices { negative, positive } = twins.names(&corpus).unwrap();
            let man = corpus.document(twins.negative);
            assert_eq!(
                (man.title.as_deref(), man.text.as_str()),
                (Some(negative.as_str()), "Fell won a prize for his book.")
            );
            assert_eq!(corpus.document(twins.positive).text, "Fell won a prize for her book.");
            assert_eq!(man.metadata["topic"], "t");
            assert!(!man.metadata.contains_key("url"));
            names.extend([negative, positive]);
        }
        assert_eq!(names.len(), 6, "two draws share a name");
        assert_eq!(set.left_out()[0].left_out.reason, Reason::Nobody);
        let card = set.card();
        assert_eq!((card.passages, card.of_women, card.of_men, card.documents), (1, 1, 0, 2));
    }

    #[test]
    fn another_seed_draws_other_names_and_the_same_seed_the_same() {
        let names = |seed| {
            let set = made_of(vec![clara()], TwinConfig::default().seed(seed));
            set.documents().iter().map(|twin| twin.metadata["name"].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(1), names(1));
        let all: std::collections::BTreeSet<_> = (0..20).map(names).collect();
        assert!(all.len() > 5, "{all:?}");
    }

    #[test]
    fn a_corpus_of_twins_and_another_axis_are_refused() {
        let mut twin = clara();
        twin.metadata.insert("pair".into(), "p".into());
        let source =
            TwinSource { name: "c".into(), corpus: Corpus::new(vec![twin]).unwrap(), questions: None };
        let error = source.checked().unwrap_err().to_string();
        assert!(error.contains("c: document `d1` has a `metadata.pair`"), "{error}");
        let politics = ragbias_data::load_axis("politics").unwrap();
        let error = TwinSource::corpus("gender", &politics, &ragbias_core::Silent).unwrap_err().to_string();
        assert_eq!(error, "axis is politics, expected gender, the axis whose words have counterparts");
    }
}
