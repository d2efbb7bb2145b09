//! Whole audits of systems whose R_b is known: how often do they err?

use ragbias_core::{Answer, Progress, Question, QuestionSet};
use ragbias_data::load_axis;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{AnswerSource, Answered, AuditConfig, AuditVerdict, Auditing};
use crate::{Models, Result, Workspace, scorer};

const AUDITS: usize = 500;
/// The share of answers that are refused.
const REFUSED: f64 = 0.04;
/// The share of the others that name a woman and a man.
const BOTH: f64 = 0.3;

/// How a simulated audit is laid out. A topic's own bias is uniform around that of the system, `spread` to either side.
#[derive(Debug, Clone, Copy)]
struct Layout {
    topics: usize,
    /// Questions of the topics, by turns.
    sizes: &'static [usize],
    spread: f64,
    threshold: f64,
    looks: usize,
}

const LAYOUTS: [Layout; 4] = [
    Layout { topics: 120, sizes: &[5], spread: 0.4, threshold: 0.1, looks: 1 },
    Layout { topics: 120, sizes: &[5], spread: 0.4, threshold: 0.1, looks: 5 },
    Layout { topics: 120, sizes: &[1, 2, 4, 13], spread: 0.4, threshold: 0.12, looks: 5 },
    Layout { topics: 24, sizes: &[6, 10], spread: 0.4, threshold: 0.25, looks: 3 },
];

impl Layout {
    fn questions(self) -> QuestionSet {
        let questions = (0..self.topics).flat_map(|topic| {
            (0..self.sizes[topic % self.sizes.len()]).map(move |number| Question {
                id: format!("{topic}-{number}"),
                text: format!("Who wrote book {number} on subject {topic}?"),
                topic: Some(topic.to_string()),
                choices: None,
            })
        });
        QuestionSet::new(questions.collect()).unwrap()
    }

    /// Numbers of audits of a system of this bias that end with pass, fail and undecided.
    fn audits(self, bias: f64, workspace: &Workspace) -> [usize; 3] {
        let axis = load_axis("gender").unwrap();
        let lexicon = scorer::lexicon(&axis).unwrap();
        let auditing = Auditing { axis: &axis, scorer: (lexicon.as_ref(), "lexicon"), system: "simulated" };
        let questions = self.questions();
        let mut ended = [0; 3];
        for number in 0..AUDITS {
            let seed = number as u64;
            let mut system = System::new(bias, self, seed);
            let config = AuditConfig::default().threshold(self.threshold).looks(self.looks).seed(seed);
            let audit = auditing.run(&questions, &mut system, None, &config, workspace).unwrap();
            assert!(audit.answers.len() <= questions.len());
            ended[match audit.verdict {
                AuditVerdict::Pass => 0,
                AuditVerdict::Fail => 1,
                AuditVerdict::Undecided => 2,
            }] += 1;
        }
        ended
    }
}

/// A system of a known bias. Whom it names depends on the topic: its leans are correlated within a topic.
struct System {
    topics: Vec<f64>,
    random: ChaCha8Rng,
}

impl System {
    fn new(bias: f64, layout: Layout, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(1_000_000 + seed);
        let own = |_| bias + layout.spread * (2.0 * random.random::<f64>() - 1.0);
        let topics: Vec<f64> = (0..layout.topics).map(own).collect();
        assert!(topics.iter().all(|own| own.abs() <= 1.0 - BOTH), "a bias that these answers can have");
        Self { topics, random }
    }

    /// An answer whose expected lean, where it is not refused, is the bias of the topic.
    fn say(&mut self, topic: usize) -> Answer {
        let (women, men) = (["Mary Smith", "Emily Clark"], ["John Smith", "Henry Clark"]);
        let which = self.random.random_range(0..2);
        if self.random.random::<f64>() < REFUSED {
            return Answer::refused("I cannot say.");
        }
        if self.random.random::<f64>() < BOTH {
            return Answer::whole(format!("{} and {} wrote it.", women[which], men[which]));
        }
        let positive = f64::midpoint(1.0, self.topics[topic] / (1.0 - BOTH));
        let name = if self.random.random::<f64>() < positive { women[which] } else { men[which] };
        Answer::whole(format!("{name} wrote it."))
    }
}

impl AnswerSource for System {
    fn answer(
        &mut self,
        questions: &[&Question],
        _: Option<&str>,
        _: &dyn Progress,
    ) -> Result<Vec<Answered>> {
        let topic = |question: &Question| question.cluster().parse().expect("topics are numbers");
        let say = |question: &&Question| Answered { answer: self.say(topic(question)), documents: None };
        Ok(questions.iter().map(say).collect())
    }
}

/// The most of 500 audits that may err if one of forty does on average: 2.5% and two standard errors, 12.5 + 2·3.49.
const MOST: usize = 19;

/// A closed-book endpoint that goes away.
struct Gone;

impl AnswerSource for Gone {
    fn answer(&mut self, _: &[&Question], _: Option<&str>, _: &dyn Progress) -> Result<Vec<Answered>> {
        Err(super::malformed("the endpoint", "connection reset"))
    }
}

#[test]
fn an_audit_stands_where_the_closed_book_endpoint_fails() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(Models::in_folder(folder.path()).unwrap());
    let axis = load_axis("gender").unwrap();
    let lexicon = scorer::lexicon(&axis).unwrap();
    let auditing = Auditing { axis: &axis, scorer: (lexicon.as_ref(), "lexicon"), system: "simulated" };
    let layout = LAYOUTS[0];
    let audited = |alone: Option<&mut dyn AnswerSource>| {
        let mut system = System::new(0.3, layout, 0);
        auditing.run(&layout.questions(), &mut system, alone, &AuditConfig::default(), &workspace).unwrap()
    };
    let (without, gone) = (audited(None), audited(Some(&mut Gone)));
    assert_eq!((gone.verdict, gone.rag_bias, gone.llm_bias), (AuditVerdict::Fail, without.rag_bias, None));
    let said = &gone.not_measured["llm_bias"];
    assert!(
        said.starts_with("the `closed-book` endpoint failed:") && said.contains("connection reset"),
        "{said}"
    );
}

#[test]
#[ignore = "8,000 audits: cargo test --release -p ragbias --lib simulated -- --ignored --nocapture"]
#[allow(clippy::print_stderr, reason = "the figures are for the documentation")]
fn of_forty_audits_at_most_one_passes_or_fails_a_system_wrongly() {
    let workspace = Workspace::new(Models::in_folder("no models are needed").unwrap());
    for layout in LAYOUTS {
        let mut decided = 0;
        // At the threshold a pass is wrong, and a system a hair less biased would be failed as often as this one.
        for bias in [layout.threshold, -layout.threshold] {
            let [passed, failed, undecided] = layout.audits(bias, &workspace);
            eprintln!("{layout:?}, R_b {bias}: {passed} passed, {failed} failed, {undecided} undecided");
            assert!(passed <= MOST && failed <= MOST, "{passed} passed, {failed} failed");
            decided += passed + failed;
        }
        assert!(decided > 0, "the simulation decides nothing");
        let [passed, failed, undecided] = layout.audits(0.0, &workspace);
        eprintln!("{layout:?}, R_b 0: {passed} passed, {failed} failed, {undecided} undecided");
        assert!(failed == 0 && passed > 50, "{passed} passed, {failed} failed");
        let [passed, failed, undecided] = layout.audits(0.3, &workspace);
        eprintln!("{layout:?}, R_b 0.3: {passed} passed, {failed} failed, {undecided} undecided");
        assert!(
            passed <= MOST && (layout.threshold > 0.2 || failed > 400),
            "{passed} passed, {failed} failed"
        );
    }
}
