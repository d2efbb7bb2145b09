//! Finds a setting by bisection of an interval in which a quantity changes its sign.

use super::choice::{Reached, TrailStep};
use crate::Result;
use crate::control::ControlKind;

/// Number of bisection steps for a prediction, which needs only retrieval.
const HALVINGS: usize = 8;

/// The setting at which `distance` is 0, between the neutral setting and an extreme; none if it keeps its sign towards both.
pub(super) fn crossing(
    kind: ControlKind,
    mut distance: impl FnMut(f64) -> Result<f64>,
) -> Result<Option<f64>> {
    let neutral = kind.start();
    let at_neutral = distance(neutral)?;
    for &end in kind.ends() {
        if at_neutral * distance(end)? > 0.0 {
            continue;
        }
        let (mut low, mut high) = (neutral, end);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if at_neutral * distance(middle)? > 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        return Ok(Some(f64::midpoint(low, high)));
    }
    Ok(None)
}

/// Settings of the search for R_b = 0.
pub(super) struct Search {
    pub(super) kind: ControlKind,
    /// |R_b| up to this counts as 0: the effect of a single answer.
    pub(super) resolution: f64,
    /// Maximum number of measurements after the first.
    pub(super) steps: usize,
    /// Whether the second half of the measurements is taken where the line between both ends of the bracket crosses 0, rather than
    /// in its middle.
    pub(super) interpolate: bool,
}

/// How close to an end of the bracket an interpolated setting may lie, as a share of its width: where R_b is far from linear, the
/// bracket still shrinks.
const MARGIN: f64 = 0.1;

impl Search {
    /// Adjusts the control until R_b is within the resolution of 0; returns the best setting and all measurements, including
    /// `before`.
    pub(super) fn close(
        &self,
        before: TrailStep,
        predicted: Option<f64>,
        mut measure: impl FnMut(f64) -> Result<TrailStep>,
    ) -> Result<(f64, Reached, Vec<TrailStep>)> {
        let (neutral, start) = (before.setting, before.rag_bias);
        let mut trail = vec![before];
        let near = |trail: &[TrailStep]| trail.iter().any(|step| step.rag_bias.abs() <= self.resolution);
        let mut at = |setting: f64, trail: &mut Vec<TrailStep>| -> Result<f64> {
            let step = measure(setting)?;
            trail.push(step);
            Ok(step.rag_bias)
        };
        let mut first = predicted;
        let mut bracket = None;
        if start.abs() > self.resolution {
            'ends: for &end in self.kind.ends() {
                // A prediction within range on this side may save measuring the extreme setting.
                let tried = first.filter(|setting| (setting - neutral) * (end - neutral) > 0.0);
                for setting in tried.into_iter().chain([end]) {
                    let there = at(setting, &mut trail)?;
                    if there * start <= 0.0 {
                        bracket = Some((neutral, setting));
                        first = None;
                    }
                    if bracket.is_some() || there.abs() <= self.resolution {
                        break 'ends;
                    }
                }
            }
        }
        if let Some((mut same, mut other)) = bracket {
            // The last setting of the same sign is closer than the base.
            let side = trail.iter().filter(|step| {
                step.rag_bias * start > 0.0 && (step.setting - neutral) * (other - neutral) > 0.0
            });
            same = side
                .map(|step| step.setting)
                .fold(same, |a, b| if (b - neutral).abs() > (a - neutral).abs() { b } else { a });
            while trail.len() <= self.steps && !near(&trail) {
                let next = if self.interpolate && 2 * trail.len() > self.steps {
                    let at = |setting: f64| trail.iter().find(|step| step.setting == setting);
                    let (a, b) = at(same).zip(at(other)).expect("both ends are measured; this is a bug");
                    let share = a.rag_bias / (a.rag_bias - b.rag_bias);
                    same + share.clamp(MARGIN, 1.0 - MARGIN) * (other - same)
                } else {
                    f64::midpoint(same, other)
                };
                if at(next, &mut trail)? * start > 0.0 {
                    same = next;
                } else {
                    other = next;
                }
            }
        }
        let reached = if bracket.is_some() || near(&trail) { Reached::Zero } else { Reached::Nearest };
        let nearest = trail.iter().min_by(|a, b| a.rag_bias.abs().total_cmp(&b.rag_bias.abs()));
        Ok((nearest.map_or(neutral, |step| step.setting), reached, trail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOLUTION: f64 = 0.02;

    /// A system whose R_b is a given function of the setting.
    fn close(
        kind: ControlKind,
        predicted: Option<f64>,
        rag_bias: impl Fn(f64) -> f64,
    ) -> (f64, Reached, Vec<TrailStep>) {
        let step = |setting| TrailStep { setting, embedder_bias: 0.0, rag_bias: rag_bias(setting) };
        let search = Search { kind, resolution: RESOLUTION, steps: 8, interpolate: false };
        search.close(step(kind.start()), predicted, |setting| Ok(step(setting))).unwrap()
    }

    #[test]
    fn halving_ends_within_the_resolution_of_a_zero() {
        let (setting, reached, trail) = close(ControlKind::Merge, None, |w| 0.3 * w - 0.25);
        assert_eq!(reached, Reached::Zero);
        assert!((0.3 * setting - 0.25).abs() <= RESOLUTION, "{setting}");
        assert_eq!((trail[0].setting, trail[1].setting), (0.0, 2.0), "the base, then the end");
    }

    #[test]
    fn interpolation_ends_closer_to_0_than_halving_with_the_same_number_of_measurements() {
        let rag_bias = |w: f64| (4.0 * (w - 0.137)).tanh();
        let nearest = |interpolate| {
            let step = |setting| TrailStep { setting, embedder_bias: 0.0, rag_bias: rag_bias(setting) };
            let search = Search { kind: ControlKind::Merge, resolution: 0.0, steps: 8, interpolate };
            let (setting, reached, trail) = search.close(step(0.0), None, |w| Ok(step(w))).unwrap();
            assert_eq!((reached, trail.len()), (Reached::Zero, 9));
            rag_bias(setting).abs()
        };
        let (halved, interpolated) = (nearest(false), nearest(true));
        assert!(interpolated < 1e-4 && halved > 1e-3, "{interpolated} {halved}");
    }

    #[test]
    fn a_good_prediction_is_all_that_is_measured() {
        let (setting, reached, trail) = close(ControlKind::Merge, Some(0.84), |w| 0.3 * w - 0.25);
        assert_eq!((setting, reached, trail.len()), (0.84, Reached::Zero, 2));
    }

    #[test]
    fn a_prediction_within_the_resolution_is_all_that_is_measured_whatever_its_sign() {
        let (setting, reached, trail) = close(ControlKind::Merge, Some(0.8), |w| 0.3 * w - 0.25);
        assert_eq!((setting, reached, trail.len()), (0.8, Reached::Zero, 2));
    }

    #[test]
    fn a_prediction_that_falls_short_becomes_the_near_end_of_the_bracket() {
        let (_, reached, trail) = close(ControlKind::Merge, Some(0.5), |w| 0.3 * w - 0.25);
        assert_eq!(reached, Reached::Zero);
        let settings: Vec<f64> = trail.iter().map(|step| step.setting).collect();
        assert_eq!(settings[..4], [0.0, 0.5, 2.0, 1.25]);
    }

    #[test]
    fn where_the_sign_never_changes_the_nearest_setting_is_taken() {
        let (setting, reached, trail) = close(ControlKind::Ranking, None, |t| 0.4 - t / 5.0);
        assert_eq!((setting, reached, trail.len()), (0.5, Reached::Nearest, 2));
    }

    #[test]
    fn the_second_extreme_is_tried_if_the_first_does_not_change_the_sign() {
        let (setting, reached, trail) =
            close(ControlKind::Projection, None, |alpha| 0.3 - 0.1 * (alpha - 1.0));
        assert_eq!((trail[1].setting, trail[2].setting, reached), (-3.0, 5.0, Reached::Zero));
        assert!((setting - 4.0).abs() <= 0.2, "{setting}");
    }

    #[test]
    fn a_base_that_is_fair_is_left_alone() {
        let (setting, reached, trail) = close(ControlKind::Merge, Some(1.0), |_| 0.01);
        assert_eq!((setting, reached, trail.len()), (0.0, Reached::Zero, 1));
    }

    #[test]
    fn no_more_is_measured_than_was_allowed() {
        let (_, reached, trail) = close(ControlKind::Merge, None, |w| if w < 0.123_456 { -0.5 } else { 0.5 });
        assert_eq!((reached, trail.len()), (Reached::Zero, 9));
    }

    #[test]
    fn a_control_without_a_neutral_setting_is_searched_from_end_to_end() {
        let (setting, reached, trail) = close(ControlKind::Reranking, None, |share| 1.6 * share - 1.0);
        assert_eq!((trail[0].setting, trail[1].setting, reached), (0.0, 1.0, Reached::Zero));
        assert!((1.6 * setting - 1.0).abs() <= RESOLUTION, "{setting}");
        let (setting, reached, trail) = close(ControlKind::Reranking, None, |share| 0.2 * share - 0.5);
        assert_eq!((setting, reached, trail.len()), (1.0, Reached::Nearest, 2));
    }

    #[test]
    fn an_effect_that_is_largest_between_the_ends_is_found() {
        let (setting, reached, trail) =
            close(ControlKind::Erasure, None, |strength| 0.3 * (1.0 - strength).powi(2) - 0.2);
        assert_eq!((trail[1].setting, reached), (1.0, Reached::Zero));
        assert!(setting < 1.0, "{setting}");
        let (setting, reached, _) =
            close(ControlKind::Erasure, None, |strength| 0.3 * (1.0 - strength).powi(2) + 0.1);
        assert_eq!((setting, reached), (1.0, Reached::Nearest));
        let (setting, reached, _) = close(ControlKind::Erasure, None, |strength| 0.3 - 0.2 * strength);
        assert!((setting - 1.5).abs() <= 0.1 && reached == Reached::Zero, "{setting}");
    }

    #[test]
    fn a_crossing_is_found_on_either_side_or_is_none() {
        let at = |kind, zero: f64| crossing(kind, |setting| Ok(setting - zero)).unwrap();
        assert!((at(ControlKind::Reranking, 0.4).unwrap() - 0.4).abs() < 0.01);
        assert!((at(ControlKind::Merge, 1.3).unwrap() - 1.3).abs() < 0.01);
        assert!((at(ControlKind::Projection, -2.0).unwrap() + 2.0).abs() < 0.01);
        assert!((at(ControlKind::Projection, 4.0).unwrap() - 4.0).abs() < 0.02);
        assert_eq!(at(ControlKind::Merge, 3.0), None);
    }
}
