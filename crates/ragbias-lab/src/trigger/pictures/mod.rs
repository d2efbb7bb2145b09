//! Can one change of pixels, too small to be seen, move what several CLIPs retrieve, also one that it was not made for?

mod attack;
mod rows;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ragbias::core::{Axis, Embeddings};
use ragbias::embed::{Clip, Picture};
use ragbias::tune::Towards;
use serde::{Deserialize, Serialize};

use self::attack::{Attack, Change, Competing, optimised};
use super::contests::{Contests, Side};
use super::findings::{Found, Kind};
use super::judge::{JudgedSystem, Made, Trial, judged};
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::report::{Report, Table};

/// Questions with pictures, and the encoders that find them: `[lab.trigger.pictures]`.
///
/// Every line of the file is an object with `question`, `topic`, `split` (`train` or `test`), and under the name of each pole
/// of the axis a PNG or JPEG file, whose path is from that of the file. No topic, question or picture may be in both splits. The numbers of
/// questions and the pole are those of the words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pictures {
    /// The file, JSON Lines.
    pub file: PathBuf,
    /// Folders of CLIP checkpoints as transformers saves them, two or more, whose pictures have the same side.
    pub clips: Vec<PathBuf>,
    /// The most that a value of a pixel may change, from 0 to 255.
    #[serde(default = "bound")]
    pub bound: u8,
    /// Steps of a change, at size 1.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Pictures of a step.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn bound() -> u8 {
    16
}

fn steps() -> usize {
    40
}

fn batch() -> usize {
    8
}

/// What is asked of pictures, as of words.
pub(super) struct Settings<'a> {
    pub(super) axis: &'a Axis,
    pub(super) towards: Towards,
    /// Questions of training and test, and moved changes.
    pub(super) training: usize,
    pub(super) questions: usize,
    pub(super) random: usize,
}

/// Encoders, and the questions and pictures of both splits.
pub(super) struct Loaded {
    /// By the names of their folders.
    clips: Vec<(String, Clip)>,
    train: Shown,
    test: Shown,
}

impl Pictures {
    /// Checks settings, the file, and that there are checkpoints.
    pub(super) fn check(&self, axis: &Axis, towards: Towards) -> Result<()> {
        let ranges = [
            ("pictures.bound", usize::from(self.bound), 1..=127, "1 to 127"),
            ("pictures.steps", self.steps, 1..=100_000, "1 to 100000"),
            ("pictures.batch", self.batch, 1..=10_000, "1 to 10000"),
        ];
        for (setting, value, range, expected) in ranges {
            if !range.contains(&value) {
                return Err(Error::Setting { setting, expected, received: value.to_string() });
            }
        }
        if self.clips.len() < 2 {
            let expected = "two folders or more: each is left out once";
            let received = self.clips.len().to_string();
            return Err(Error::Setting { setting: "pictures.clips", expected, received });
        }
        for folder in &self.clips {
            if !folder.join("config.json").is_file() {
                let expected = "a folder with a CLIP checkpoint, with config.json";
                let received = folder.display().to_string();
                return Err(Error::Setting { setting: "pictures.clips", expected, received });
            }
        }
        rows::read(&self.file, axis, towards)?;
        Ok(())
    }

    /// Loads encoders and pictures.
    ///
    /// # Errors
    /// What cannot be loaded, the same encoder twice, encoders that see pictures of different sides, too few questions.
    pub(super) fn load(&self, of: &Settings<'_>, bench: &Bench) -> Result<Loaded> {
        let clips = self.load_clips(bench)?;
        let side = clips[0].1.side();
        let rows = rows::read(&self.file, of.axis, of.towards)?;
        let [train, test] = rows::contests(&self.file, &rows, side)?;
        let sampled =
            |(contests, shown): Shown, count| (contests.sampled(bench.scaled(count, 2), bench.seed()), shown);
        Ok(Loaded { clips, train: sampled(train, of.training), test: sampled(test, of.questions) })
    }

    /// Makes changes, judges them, and adds what was found to the report.
    pub(super) fn report(
        &self,
        Loaded { clips, train, test }: &Loaded,
        of: &Settings<'_>,
        bench: &Bench,
        report: &mut Report,
    ) -> Result<()> {
        let changes = self.changes(clips, train, bench)?;
        let mut systems = Vec::new();
        for (number, (name, clip)) in clips.iter().enumerate() {
            let trials = trials(number, clips, &changes, of.random, bench.seed());
            systems.push(kept_judgement(name, clip, test, &trials, bench)?);
        }
        let found = Found {
            kind: Kind::Pictures,
            topics: test.0.topics(),
            sign: crate::tuning::sign(of.towards),
            systems: &systems,
            seed: bench.seed(),
        };
        found.report(report);
        report.tables.push(table(clips, &changes));
        let side = clips[0].1.side();
        report.notes.push(format!(
            "Pictures: changes of at most {}/255 for all pictures of the pole, as the encoders see them ({side} × {side} pixels, 8 bits), made \
             in {} steps on {} training questions and judged on {} test questions of other topics, with nDCG@10 over their pictures. One change \
             for each ensemble, so that the intervals, over topics, are of these changes and encoders.",
            self.bound,
            bench.scaled(self.steps, 1),
            train.0.len(),
            test.0.len(),
        ));
        Ok(())
    }

    /// The encoders, by the names of their folders.
    fn load_clips(&self, bench: &Bench) -> Result<Vec<(String, Clip)>> {
        let mut clips: Vec<(String, Clip)> = Vec::new();
        for folder in &self.clips {
            bench.progress().note(&format!("loading {}", folder.display()));
            let clip = Clip::load(folder)?;
            if let Some((_, first)) = clips.first().filter(|(_, first)| first.side() != clip.side()) {
                let expected = "encoders whose pictures have the same side";
                let received = format!("{} and {}", first.side(), clip.side());
                return Err(Error::Setting { setting: "pictures.clips", expected, received });
            }
            if let Some((name, _)) = clips.iter().find(|(_, other)| other.id() == clip.id()) {
                let expected = "different encoders: the same one is not left out";
                let received = format!("{} and {name}, which are the same", folder.display());
                return Err(Error::Setting { setting: "pictures.clips", expected, received });
            }
            let own = folder
                .file_name()
                .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
            let is_taken = clips.iter().any(|(name, _)| *name == own);
            clips.push((if is_taken { folder.display().to_string() } else { own }, clip));
        }
        Ok(clips)
    }

    /// For each encoder the change that is made for all others, and last that for all.
    fn changes(
        &self,
        clips: &[(String, Clip)],
        (train, shown): &Shown,
        bench: &Bench,
    ) -> Result<Vec<Change>> {
        let how = Attack {
            bound: self.bound,
            steps: bench.scaled(self.steps, 1),
            batch: self.batch,
            seed: bench.seed(),
        };
        let pictures: Vec<&Picture> = train.iter().map(|contest| &shown[&contest.pole.id]).collect();
        let mut seen: Vec<Option<Competing<'_>>> = clips.iter().map(|_| None).collect();
        let mut changes = Vec::new();
        for ensemble in ensembles(clips.len()) {
            let ids: Vec<_> = ensemble.iter().map(|&number| clips[number].1.id()).collect();
            changes.push(bench.kept("change", &(how, ids, train.id()), || {
                bench
                    .progress()
                    .note(&format!("making a change of pictures for {}", named(clips, &ensemble)));
                for &number in &ensemble {
                    if seen[number].is_none() {
                        seen[number] = Some(competing(&clips[number].1, train, shown)?);
                    }
                }
                let encoders: Vec<&Competing<'_>> =
                    ensemble.iter().filter_map(|&number| seen[number].as_ref()).collect();
                optimised(&encoders, &pictures, how, bench.progress())
            })?);
        }
        Ok(changes)
    }
}

/// Questions with their pictures.
type Shown = (Contests, BTreeMap<String, Picture>);

/// The encoders that each change is made for: all but one, and all.
fn ensembles(clips: usize) -> Vec<Vec<usize>> {
    let without = (0..clips).map(|one| (0..clips).filter(|&other| other != one).collect());
    without.chain([(0..clips).collect()]).collect()
}

fn named(clips: &[(String, Clip)], members: &[usize]) -> String {
    members.iter().map(|&member| clips[member].0.as_str()).collect::<Vec<_>>().join(" + ")
}

/// Pictures of the training questions, as an encoder sees them.
fn competing<'c>(
    clip: &'c Clip,
    train: &Contests,
    shown: &BTreeMap<String, Picture>,
) -> Result<Competing<'c>> {
    let questions = embedded_questions(clip, train)?;
    let others: Vec<Picture> = train.iter().map(|contest| shown[&contest.other.id].clone()).collect();
    let others = clip.embed_pictures(&others)?;
    let rivals = (0..train.len()).map(|row| questions.row(row).dot(&others.row(row))).collect();
    Ok(Competing { clip, questions, rivals })
}

fn embedded_questions(clip: &Clip, contests: &Contests) -> Result<Embeddings> {
    let questions = contests.questions();
    Ok(clip.embed_texts(&questions.iter().map(String::as_str).collect::<Vec<_>>())?)
}

/// The changes that an encoder is judged with: that for all others, in the pictures of either pole, that for all, and the first at other
/// places.
fn trials(
    number: usize,
    clips: &[(String, Clip)],
    changes: &[Change],
    moved: usize,
    seed: u64,
) -> Vec<(Trial, Change)> {
    let ensembles = ensembles(clips.len());
    let of = |change: &Change, made, ensemble: &str, side| {
        let trigger = change.id().to_string();
        (Trial { trigger, made, ensemble: ensemble.into(), side }, change.clone())
    };
    let [others, all] = [number, clips.len()].map(|at| (&changes[at], named(clips, &ensembles[at])));
    let mut trials = vec![
        of(others.0, Made::ForOthers, &others.1, Side::Pole),
        of(others.0, Made::ForOthers, &others.1, Side::Other),
        of(all.0, Made::ForIt, &all.1, Side::Pole),
    ];
    let side = clips[number].1.side();
    trials.extend((1..=moved as u64).map(|draw| {
        let moved = others.0.moved(side, seed.wrapping_mul(1_000_003).wrapping_add(draw));
        of(&moved, Made::Random, "none", Side::Pole)
    }));
    trials
}

/// What an encoder finds without and with each change, judged once.
fn kept_judgement(
    name: &str,
    clip: &Clip,
    (test, shown): &Shown,
    trials: &[(Trial, Change)],
    bench: &Bench,
) -> Result<JudgedSystem> {
    let own: Vec<Trial> = trials.iter().map(|(trial, _)| trial.clone()).collect();
    bench.kept("judged-pictures", &(name, clip.id(), test.id(), test.judgements(), &own), || {
        bench.progress().note(&format!("judging {name}"));
        judged(name, test, &embedded_questions(clip, test)?, &own, |side, trial| {
            let change =
                trial.and_then(|of| trials.iter().find(|(trial, _)| trial == of)).map(|(_, change)| change);
            let pictures = test.iter().map(|contest| &shown[&contest.document(side).id]);
            let pictures =
                pictures.map(|picture| change.map_or(Ok(picture.clone()), |change| change.applied(picture)));
            Ok(clip.embed_pictures(&pictures.collect::<Result<Vec<_>>>()?)?)
        })
    })
}

/// What each change does where it was made.
fn table(clips: &[(String, Clip)], changes: &[Change]) -> Table {
    let columns = ["made for", "loss without it", "loss with it", "mean size, of 255"];
    let mut table = Table::new("Changes of pictures, on training questions", &columns);
    for (ensemble, change) in ensembles(clips.len()).iter().zip(changes) {
        let [without, with] = change.losses.map(|loss| format!("{loss:.2}"));
        table.push([named(clips, ensemble), without, with, format!("{:.1}", change.mean_size())]);
    }
    table
}
