//! Members that moved the wrong way.

use ragbias_core::Progress;
use ragbias_data::Member;
use ragbias_tune::Towards;

use crate::recipe::Planned;

/// A member that moved away from its pole was probably trained with the poles reversed.
pub(super) fn warn_of_reversal(member: &Member, planned: &Planned, base: &Member, progress: &dyn Progress) {
    let sign = if planned.towards == Towards::Positive { 1.0 } else { -1.0 };
    let moved = sign * direction(member.merge) * (member.embedder_bias - base.embedder_bias);
    if moved < -0.1 {
        progress.note(&format!(
            "{}: trained towards {}, and E_b went from {:+.2} to {:+.2}\nhint: are the labels or the poles reversed?",
            member.member, member.towards.as_deref().unwrap_or("a pole"), base.embedder_bias, member.embedder_bias
        ));
    }
}

/// A negative merge weight intentionally moves the other way.
fn direction(merge: f64) -> f64 {
    if merge < 0.0 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ragbias_core::{Step, Unit};
    use ragbias_tune::{Scope, TrainConfig};

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn begin(&self, _: &str, _: u64, _: Unit) -> Box<dyn Step> {
            unreachable!("nothing is counted here")
        }

        fn note(&self, line: &str) {
            self.0.lock().unwrap().push(line.into());
        }
    }

    fn member(merge: f64, embedder_bias: f64) -> Member {
        Member {
            member: "m".into(),
            family: "f".into(),
            base: "b".into(),
            axis: "gender".into(),
            towards: Some("female".into()),
            scope: Some("head".into()),
            learning_rate: 1e-3,
            epochs: 1,
            merge,
            seed: 0,
            losses: Vec::new(),
            validation_losses: Vec::new(),
            diverged: false,
            seconds: 0.0,
            n: 10,
            embedder_bias,
            embedder_bias_low: -1.0,
            embedder_bias_high: 1.0,
            ndcg10: None,
        }
    }

    #[test]
    fn a_member_that_moves_away_from_its_pole_is_reported_unless_its_weight_is_negative() {
        for (towards, merge, to, warned) in [
            (Towards::Positive, 1.0, -0.4, true),
            (Towards::Positive, 1.0, 0.4, false),
            (Towards::Positive, 1.0, -0.05, false),
            (Towards::Negative, 1.0, 0.4, true),
            (Towards::Positive, -1.0, -0.4, false),
            (Towards::Positive, -1.0, 0.4, true),
        ] {
            let config = TrainConfig::new(Scope::Head, 1e-3, 1);
            let planned = Planned { name: "m".into(), towards, config, merge: vec![merge] };
            let notes = Notes::default();
            warn_of_reversal(&member(merge, to), &planned, &member(0.0, 0.0), &notes);
            let notes = notes.0.into_inner().unwrap();
            assert_eq!(notes.len(), usize::from(warned), "{towards:?} {merge} {to}: {notes:?}");
            assert!(notes.iter().all(|note| note.contains("hint: are the labels or the poles reversed?")));
        }
    }
}
