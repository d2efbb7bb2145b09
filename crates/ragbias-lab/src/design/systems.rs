//! Systems that were measured, each with the choices that its designer made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ragbias::{AnswerMode, BASE_FAMILY, FitKey, Manifest, PartResult, Run};

use super::cards::Cards;
use crate::error::{Error, Result};

/// A choice, and for one that is not a number the level that was chosen: `("pooling", Some("mean"))`.
pub(super) type Choice = (&'static str, Option<String>);

/// One unit of a regression: what was chosen, and what came out.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// The model that is left out together with it.
    pub llm: String,
    /// Its choices; a level has the value 1.
    pub choices: BTreeMap<Choice, f64>,
    /// R_b of a system, s of a line.
    pub value: f64,
}

/// The measurements of any number of runs.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// R_b of each system.
    pub systems: Vec<Unit>,
    /// s of each line: an LLM on one axis, data set and split with embedders that differ.
    pub lines: Vec<Unit>,
    /// Measurements without an R_b.
    pub left_out: usize,
}

/// The name of the choice that is compared with all others.
pub(super) const SIZE: &str = "size of the LLM";
/// What was measured of the parts, and not chosen.
pub(super) const PARTS: [&str; 2] = ["E_b", "L_b"];

impl Measured {
    /// Reads run folders; the same run in two places counts once.
    ///
    /// # Errors
    /// A folder that is not that of a run or has changed; a model without a card.
    pub(super) fn read(folders: &[PathBuf], cards: &Cards) -> Result<Self> {
        let (mut all, mut seen) = (Self::default(), BTreeSet::new());
        for folder in folders {
            let (manifest, run) = Run::read(folder)?;
            if manifest.run.is_none_or(|id| seen.insert(id.to_string())) {
                all.add(&manifest, &run, cards)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, manifest: &Manifest, run: &Run, cards: &Cards) -> Result<()> {
        for result in &run.results {
            let (Some(llm), Some(rag)) = (&result.llm, result.measured.rag_bias) else {
                self.left_out += 1;
                continue;
            };
            let mut choices = shared(manifest, llm, result.measured.answers, &result.axis, cards)?;
            choices.extend(of_embedder(manifest, result, cards)?);
            choices.insert(("C_b", None), result.measured.corpus_bias.value());
            choices.insert((PARTS[0], None), result.measured.embedder_bias.value());
            if let Some(alone) = result.measured.llm_bias {
                choices.insert((PARTS[1], None), alone.value());
            }
            self.systems.push(Unit { llm: llm.clone(), choices, value: rag.value() });
        }
        for line in &run.fits.fits {
            let FitKey { llm, axis, .. } = &line.of;
            let answers = run.results.iter().find(|result| result.llm.as_ref() == Some(llm));
            let answers = answers.and_then(|result| result.measured.answers);
            let choices = shared(manifest, llm, answers, axis, cards)?;
            let value = line.conflict.sensitivity.value;
            self.lines.push(Unit { llm: llm.clone(), choices, value });
        }
        Ok(())
    }
}

/// Choices of an LLM, and of how it was given documents.
fn shared(
    manifest: &Manifest,
    llm: &str,
    answers: Option<AnswerMode>,
    axis: &str,
    cards: &Cards,
) -> Result<BTreeMap<Choice, f64>> {
    let card = cards.llm(llm)?;
    let measure = &manifest.experiment.measure;
    let level = |choice, level: &str| ((choice, Some(level.to_owned())), 1.0);
    let wording = match &manifest.experiment.prompt {
        None => "the axis's own".to_owned(),
        Some(path) => path.display().to_string(),
    };
    Ok(BTreeMap::from([
        ((SIZE, None), card.parameters.log10()),
        level("family of the LLM", &card.family),
        (("instruction-tuned", None), f64::from(u8::from(card.instruct))),
        (("bits", None), card.bits),
        level("prompt", &wording),
        (("documents k", None), (measure.top_k as f64).log2()),
        (("temperature", None), measure.temperature),
        (("re-ranked", None), f64::from(u8::from(measure.rerank.is_some()))),
        level("how answers are read", &format!("{answers:?}")),
        level("axis", axis),
    ]))
}

/// Choices of an embedder: those of its base, and whether it was tuned.
fn of_embedder(manifest: &Manifest, result: &PartResult, cards: &Cards) -> Result<BTreeMap<Choice, f64>> {
    let recipe = manifest.recipes.values().find(|recipe| recipe.name == result.family);
    let tuned = result.family != BASE_FAMILY;
    let base = recipe.map_or(result.embedder.as_str(), |recipe| recipe.base.as_str());
    let card = cards.embedder(base)?;
    Ok(BTreeMap::from([
        (("dimension", None), card.dimension.log2()),
        (("pooling", Some(card.pooling.clone())), 1.0),
        (("tuned embedder", None), f64::from(u8::from(tuned))),
    ]))
}

/// Run folders at these places: each is one, or has some in it.
///
/// # Errors
/// A place without any.
pub(super) fn run_folders(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let is_run = |path: &Path| path.join("manifest.json").is_file() && path.join("fit.json").is_file();
    let mut all = Vec::new();
    for place in places {
        if is_run(place) {
            all.push(place.clone());
            continue;
        }
        let mut within: Vec<PathBuf> = match fs_err::read_dir(place) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?,
            Err(_) => Vec::new(),
        };
        within.retain(|path| is_run(path));
        if within.is_empty() {
            let received = place.display().to_string();
            let expected = "run folders, or folders of them, as `ragbias run EXPERIMENT.toml` writes them";
            return Err(Error::Setting { setting: "runs", expected, received });
        }
        within.sort();
        all.append(&mut within);
    }
    Ok(all)
}
