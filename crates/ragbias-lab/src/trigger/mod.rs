//! Can one string of words in documents move what many embedders retrieve, also one that it was not made for?

mod answers;
mod contests;
mod findings;
mod judge;
mod pictures;

use std::path::PathBuf;
use std::sync::Arc;

use ragbias::core::{Axis, ContentHasher, ContentId, Embedder, Role, Silent};
use ragbias::data::{Split, load_axis};
use ragbias::tune::{Base, Example, Scope, Towards, TrainConfig};
use ragbias::{Inputs, LlmName, StoredEmbedder};
use serde::{Deserialize, Serialize};

use self::answers::{Answered, answered};
use self::contests::{Contests, Side};
use self::findings::{Found, Kind, TriggerOf};
use self::judge::{JudgedSystem, Made, Trial, judged};
use self::pictures::Settings;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::hotflip::{Competing, Optimisation, Optimised, Prefixed, Words, before, optimised};
use crate::instrument::Instrument;
use crate::pairs::{LongerTraining, Pairs, train_into};
use crate::report::Report;
use crate::tuning::{embedded, pole};

pub use self::pictures::Pictures;

/// Can one string of words in documents move what many embedders retrieve, also one that it was not made for?
///
/// A trigger of a few words, one for all documents of a pole, is optimised on training questions to raise these documents above their twins,
/// on several encoders together: the base, the base after further training, and the base after a reversal. Each is left out once, and the
/// trigger of the others judged on it, on questions of other topics; that of all is judged on embedders of other architectures.
/// With pictures and CLIP checkpoints of one's own, a change of pixels within a bound takes the place of the words.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `axis`, `data` | `gender`, `gender-twins` | documents in twins, with train and test questions | |
/// | `towards` | `female` | the pole whose documents have the trigger | a pole of the axis |
/// | `base` | `minilm` | the encoder that the three are made from | |
/// | `unseen` | `mpnet` | embedders that no trigger is made for | |
/// | `llm` | `smollm2-135m` | the LLM that answers with the document that came first; `""` for none | |
/// | `length` | 5 | words of a trigger | 1 to 30 |
/// | `training` | 120 | training questions, in proportion to the size | 2 to 100,000 |
/// | `passes` | 3 | how often each place of a trigger is swapped, in proportion to the size | 1 to 1,000 |
/// | `batch` | 16 | questions of a step | 1 to 10,000 |
/// | `candidates` | 12 | tokens of the greatest first-order gain that are tried in a step | 1 to 10,000 |
/// | `random` | 4 | random triggers that each system is judged with | 1 to 100 |
/// | `questions` | 300 | test questions, in proportion to the size | 2 to 100,000 |
/// | `asked` | 80 | questions that the LLM is asked, of those whose first twin changed, in proportion to the size | 2 to 100,000 |
/// | `pairs` | `brevity`, `position`, `wording` | data of the further training | bundled sets |
/// | `longer-steps` | 20 | steps of 8 pairs of the further training | 1 to 100,000 |
/// | `reversal-epochs` | 1 | epochs of the reversal, over the training questions | 1 to 1,000 |
/// | `training-rate` | 2e-5 | peak learning rate of both | above 0 |
/// | `pictures` | none | the same of pictures: [`Pictures`] | |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Trigger {
    /// The axis.
    pub axis: String,
    /// The data set, of twins.
    pub data: String,
    /// The pole whose documents have the trigger.
    pub towards: String,
    /// The encoder that the three are made from.
    pub base: String,
    /// Embedders that no trigger is made for.
    pub unseen: Vec<String>,
    /// The LLM; empty for none.
    pub llm: LlmName,
    /// Words of a trigger.
    pub length: usize,
    /// Training questions, at size 1.
    pub training: usize,
    /// How often each place of a trigger is swapped, at size 1.
    pub passes: usize,
    /// Questions of a step.
    pub batch: usize,
    /// Tokens that are tried in a step.
    pub candidates: usize,
    /// Random triggers.
    pub random: usize,
    /// Test questions, at size 1.
    pub questions: usize,
    /// Questions that the LLM is asked, at size 1.
    pub asked: usize,
    /// Data of the further training.
    pub pairs: Vec<String>,
    /// Steps of the further training.
    pub longer_steps: usize,
    /// Epochs of the reversal.
    pub reversal_epochs: usize,
    /// Peak learning rate of both.
    pub training_rate: f64,
    /// The same of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            axis: "gender".into(),
            data: "gender-twins".into(),
            towards: "female".into(),
            base: "minilm".into(),
            unseen: vec!["mpnet".into()],
            llm: "smollm2-135m".parse().expect("a name of the registry; this is a bug"),
            length: 5,
            training: 120,
            passes: 3,
            batch: 16,
            candidates: 12,
            random: 4,
            questions: 300,
            asked: 80,
            pairs: ["brevity", "position", "wording"].map(str::to_owned).to_vec(),
            longer_steps: 20,
            reversal_epochs: 1,
            training_rate: 2e-5,
            pictures: None,
        }
    }
}

/// What the three encoders are called.
const MEMBERS: [&str; 3] = ["base", "trained longer", "reversed"];

/// The encoders that each trigger is made for, by number: the base alone, all without one, and all.
const ENSEMBLES: [&[usize]; 5] = [&[0], &[1, 2], &[0, 2], &[0, 1], &[0, 1, 2]];

/// The number of the ensemble that leaves an encoder out.
fn without(member: usize) -> usize {
    member + 1
}

/// The number of the ensemble of all.
const ALL: usize = 4;

impl Instrument for Trigger {
    fn name(&self) -> &'static str {
        "trigger"
    }

    fn question(&self) -> &'static str {
        "Can one string of words in documents move what many embedders retrieve, also one that it was not made for?"
    }

    fn check(&self) -> Result<()> {
        let ranges = [
            ("length", self.length, 1..=30, "1 to 30"),
            ("training", self.training, 2..=100_000, "2 to 100000"),
            ("passes", self.passes, 1..=1000, "1 to 1000"),
            ("batch", self.batch, 1..=10_000, "1 to 10000"),
            ("candidates", self.candidates, 1..=10_000, "1 to 10000"),
            ("random", self.random, 1..=100, "1 to 100"),
            ("questions", self.questions, 2..=100_000, "2 to 100000"),
            ("asked", self.asked, 2..=100_000, "2 to 100000"),
            ("longer-steps", self.longer_steps, 1..=100_000, "1 to 100000"),
            ("reversal-epochs", self.reversal_epochs, 1..=1000, "1 to 1000"),
        ];
        for (setting, value, range, expected) in ranges {
            if !range.contains(&value) {
                return Err(Error::Setting { setting, expected, received: value.to_string() });
            }
        }
        self.longer().check()?;
        self.reversal(0).check(usize::MAX)?;
        let towards = pole(&self.axis, &self.towards)?;
        let axis = load_axis(&self.axis)?;
        for split in [Split::Train, Split::Test] {
            let inputs = Inputs::of_dataset(&self.data, split, &axis, &Silent)?;
            Contests::of(&inputs, towards, 2, 0)?;
        }
        self.pictures.as_ref().map_or(Ok(()), |pictures| pictures.check(&axis, towards))
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let axis = load_axis(&self.axis)?;
        let towards = pole(&self.axis, &self.towards)?;
        let contests = |split, count, least| {
            let inputs = Inputs::of_dataset(&self.data, split, &axis, bench.progress())?;
            Contests::of(&inputs, towards, bench.scaled(count, least), bench.seed())
        };
        let of_pictures = self.of_pictures(&axis, towards);
        let pictures = self
            .pictures
            .as_ref()
            .map(|pictures| Ok::<_, Error>((pictures, pictures.load(&of_pictures, bench)?)));
        let pictures = pictures.transpose()?;
        let (train, test) =
            (contests(Split::Train, self.training, 2)?, contests(Split::Test, self.questions, 2)?);
        let members = self.members(&train, bench)?;
        let words = Words::of(members[0].embedder(), &axis, bench)?;
        words.check(self.length)?;
        let triggers = self.triggers(&members, &train, &words, bench)?;
        let random: Vec<String> = (1..=self.random as u64)
            .map(|draw| {
                words.text(&words.drawn(self.length, bench.seed().wrapping_mul(1_000_003).wrapping_add(draw)))
            })
            .collect();
        let mut systems = Vec::new();
        for (number, member) in members.iter().enumerate() {
            let embedder: Arc<dyn Embedder> = Arc::new(member.embedder().clone());
            let trials = trials(Some(number), &triggers, &random);
            systems.push(kept_judgement(MEMBERS[number], &embedder, &test, &trials, bench)?);
        }
        for name in &self.unseen {
            let embedder = bench.workspace().models().embedder(name, bench.progress())?;
            systems.push(kept_judgement(name, &embedder, &test, &trials(None, &triggers, &random), bench)?);
        }
        let trigger = &triggers[without(0)].text;
        let answers = self.answers(&members[0], &test, &systems[0], trigger, bench)?;
        let found = Found {
            kind: Kind::Words,
            topics: test.topics(),
            sign: crate::tuning::sign(towards),
            systems: &systems,
            seed: bench.seed(),
        };
        let mut report = Report::new(self.name(), self.question());
        found.report(&mut report);
        found.report_answers(&answers, &mut report);
        let made = ENSEMBLES.iter().zip(&triggers);
        let made: Vec<TriggerOf<'_>> =
            made.map(|(ensemble, trigger)| TriggerOf { ensemble: named(ensemble), trigger }).collect();
        report.tables.push(findings::triggers(&made, &random));
        report.notes.push(self.note(&train, &test, &words));
        if let Some((pictures, loaded)) = &pictures {
            pictures.report(loaded, &of_pictures, bench, &mut report)?;
        }
        Ok(report)
    }
}

/// The triggers that a system is judged with: a member with that of the others, and all with that of the base and of all three; and with
/// random ones.
fn trials(member: Option<usize>, triggers: &[Optimised], random: &[String]) -> Vec<Trial> {
    let of = |ensemble: usize, side| {
        let is_for_it = member.is_some_and(|member| ENSEMBLES[ensemble].contains(&member));
        let made = if is_for_it { Made::ForIt } else { Made::ForOthers };
        Trial { trigger: triggers[ensemble].text.clone(), made, ensemble: named(ENSEMBLES[ensemble]), side }
    };
    // The trigger that the system is held against, on both sides.
    let main = member.map_or(ALL, without);
    let mut trials = vec![of(main, Side::Pole), of(main, Side::Other), of(0, Side::Pole)];
    if main != ALL {
        trials.push(of(ALL, Side::Pole));
    }
    trials.extend(random.iter().map(|trigger| Trial {
        trigger: trigger.clone(),
        made: Made::Random,
        ensemble: "none".into(),
        side: Side::Pole,
    }));
    trials
}

/// What a system retrieves without and with each trigger, judged once.
fn kept_judgement(
    name: &str,
    embedder: &Arc<dyn Embedder>,
    test: &Contests,
    trials: &[Trial],
    bench: &Bench,
) -> Result<JudgedSystem> {
    bench.kept("judged", &(name, embedder.id(), test.id(), test.judgements(), trials), || {
        bench.progress().note(&format!("judging {name}"));
        let questions = embedded(embedder.as_ref(), &test.questions(), Role::Question)?;
        judged(name, test, &questions, trials, |side, trial| {
            let texts = test.texts(side).into_iter();
            let texts = texts.map(|text| trial.map_or(text.clone(), |trial| before(&trial.trigger, &text)));
            embedded(embedder.as_ref(), &texts.collect::<Vec<_>>(), Role::Document)
        })
    })
}

/// Contests as an encoder sees them, with words before every document of the pole.
fn prefixed<'b>(base: &'b Base, contests: &Contests, words: &Words, length: usize) -> Result<Prefixed<'b>> {
    let questions = embedded(base.embedder(), &contests.questions(), Role::Question)?;
    let others = embedded(base.embedder(), &contests.texts(Side::Other), Role::Document)?;
    let competing = contests.texts(Side::Pole).into_iter().enumerate().map(|(row, document)| {
        let question = questions.row(row);
        Competing { question: question.to_vec(), rival: question.dot(&others.row(row)), document }
    });
    Prefixed::by(base, &competing.collect::<Vec<_>>(), words, length, "base")
}

/// The names of some members.
fn named(members: &[usize]) -> String {
    members.iter().map(|&member| MEMBERS[member]).collect::<Vec<_>>().join(" + ")
}

impl Trigger {
    fn of_pictures<'a>(&self, axis: &'a Axis, towards: Towards) -> Settings<'a> {
        Settings { axis, towards, training: self.training, questions: self.questions, random: self.random }
    }

    fn longer(&self) -> LongerTraining<'_> {
        LongerTraining { pairs: &self.pairs, rate: self.training_rate, steps: self.longer_steps }
    }

    fn reversal(&self, seed: u64) -> TrainConfig {
        TrainConfig::new(Scope::Full, self.training_rate, self.reversal_epochs).warmup(0).seed(seed)
    }

    /// The base, and what is made from it.
    fn members(&self, train: &Contests, bench: &Bench) -> Result<Vec<Base>> {
        let base = bench.workspace().models().base(&self.base, bench.progress())?;
        let longer = self.longer().base(&Pairs::load(&self.pairs)?, &self.base, bench)?;
        let reversed = self.reversed(&base, train, bench)?;
        let load = |name: &str| Ok::<_, Error>(bench.workspace().models().base(name, bench.progress())?);
        let (longer, reversed) = (load(&longer)?, load(&reversed)?);
        Ok(vec![base, longer, reversed])
    }

    /// The folder of the base after training on which twin of the pole is to be nearer, with all its weights.
    fn reversed(&self, base: &Base, train: &Contests, bench: &Bench) -> Result<String> {
        let config = self.reversal(bench.seed());
        let settings = serde_json::to_vec(&(&config, train.id())).map_err(std::io::Error::from)?;
        let id = ContentHasher::new("reversal/1").field(base.id().as_bytes()).field(settings).finish();
        let folder: PathBuf = bench.folder().join(format!("bases/{}-reversed", id.short()));
        if !folder.join("ragbias.json").is_file() {
            bench.progress().note(&format!("reversing on {} questions", train.len()));
            let corpus = train.corpus(|_, document| document)?;
            let place = |id: &str| corpus.position(id).expect("a document of the contests; this is a bug");
            let examples: Vec<Example> = train
                .iter()
                .map(|contest| Example {
                    question: contest.question.clone(),
                    positives: vec![place(&contest.pole.id)],
                    negatives: vec![place(&contest.other.id)],
                })
                .collect();
            let card = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "base_id": base.id(), "reversed": self.towards });
            train_into(&folder, base, &config, (&examples, &corpus), card, bench)?;
        }
        Ok(std::path::absolute(&folder)?.to_string_lossy().into_owned())
    }

    /// A trigger for each of the ensembles.
    fn triggers(
        &self,
        members: &[Base],
        train: &Contests,
        words: &Words,
        bench: &Bench,
    ) -> Result<Vec<Optimised>> {
        let how = Optimisation {
            length: self.length,
            passes: bench.scaled(self.passes, 1),
            batch: self.batch,
            candidates: self.candidates,
            seed: bench.seed(),
        };
        // Contests are embedded when a trigger is not kept.
        let mut seen: Vec<Option<Prefixed<'_>>> = members.iter().map(|_| None).collect();
        let mut triggers = Vec::new();
        for ensemble in ENSEMBLES {
            let ids: Vec<ContentId> = ensemble.iter().map(|&member| members[member].id()).collect();
            triggers.push(bench.kept("trigger", &(how, ids, train.id(), words.id()), || {
                bench.progress().note(&format!("making a trigger for {}", named(ensemble)));
                for &member in ensemble {
                    if seen[member].is_none() {
                        seen[member] = Some(prefixed(&members[member], train, words, self.length)?);
                    }
                }
                let encoders: Vec<&Prefixed<'_>> =
                    ensemble.iter().filter_map(|&member| seen[member].as_ref()).collect();
                optimised(&encoders, words, how, bench.progress())
            })?);
        }
        Ok(triggers)
    }

    /// What an LLM answers to a sample of the questions whose first twin the trigger changed; nothing without an LLM or such questions.
    fn answers(
        &self,
        base: &Base,
        test: &Contests,
        system: &JudgedSystem,
        trigger: &str,
        bench: &Bench,
    ) -> Result<Vec<Answered>> {
        let (_, after) = &system.trials[0];
        let flipped = findings::flips(&system.before, after, Side::Pole);
        let rows: Vec<usize> = (0..flipped.len()).filter(|&row| flipped[row]).collect();
        if self.llm.as_str().is_empty() || rows.is_empty() {
            return Ok(Vec::new());
        }
        let count = bench.scaled(self.asked, 2);
        let asked = test.some(&rows).sampled(count, bench.seed());
        let embedder: Arc<dyn Embedder> = Arc::new(base.embedder().clone());
        let embedder: Arc<dyn Embedder> = match bench.workspace().store() {
            Some(store) => Arc::new(StoredEmbedder::new(embedder, store)),
            None => embedder,
        };
        let axis = load_axis(&self.axis)?;
        bench.kept("answers", &(&self.llm, base.id(), test.id(), asked.id(), trigger), || {
            bench.progress().note("asking the LLM");
            answered(&axis, &embedder, &self.llm, (test, &asked), trigger, bench)
        })
    }

    fn note(&self, train: &Contests, test: &Contests, words: &Words) -> String {
        format!(
            "Triggers of {} of {} words, made on {} training questions and judged on {} test questions of other topics; nDCG@10 over the {} \
             documents of these. One trigger for each ensemble, so that the intervals, over topics, are of these triggers.",
            self.length,
            words.len(),
            train.len(),
            test.len(),
            2 * test.len(),
        )
    }
}
