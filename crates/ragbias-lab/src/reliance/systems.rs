//! Whether reliance predicts s over systems.

use ragbias::stats::{Estimate, LinearModel, UnitBootstrap};

use super::answers::{Measure, Moved, Relied, SystemAnswers, drawn, topics};

/// Systems with fewer of which no slope is told.
pub(super) const LEAST_SYSTEMS: usize = 6;

/// What predicts and what is predicted, of one system.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SystemPoint {
    pub(super) llm: String,
    pub(super) reliance: f64,
    pub(super) s: f64,
}

/// A measure of reliance, and one of s.
#[derive(Clone, Copy)]
pub(super) struct Measures {
    pub(super) reliance: Measure<Relied>,
    pub(super) s: Measure<Moved>,
}

/// s regressed on reliance over systems.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Regression {
    /// The slope, with its interval over systems.
    pub(super) slope: Option<Estimate>,
    /// The same by Student's t.
    pub(super) slope_by_formula: Option<Estimate>,
    /// Pearson's correlation, with its interval over systems.
    pub(super) correlation: Option<Estimate>,
    /// The slope with a mean of s for each LLM, by Student's t: what reliance adds to knowing the LLM.
    pub(super) within_llm: Option<Estimate>,
    /// R² of reliance alone, of the LLM alone, and of both.
    pub(super) explained: [Option<f64>; 3],
}

impl SystemPoint {
    fn of(answers: &SystemAnswers, measures: Measures) -> Option<Self> {
        let relied: Vec<&Relied> = answers.relied.iter().collect();
        let moved: Vec<&Moved> = answers.moved.iter().collect();
        let (reliance, s) = ((measures.reliance)(&relied)?, (measures.s)(&moved)?);
        Some(Self { llm: answers.llm.clone(), reliance, s })
    }
}

/// The points of all systems; none if a measure of one of them is not defined.
pub(super) fn points(systems: &[SystemAnswers], measures: Measures) -> Option<Vec<SystemPoint>> {
    systems.iter().map(|system| SystemPoint::of(system, measures)).collect()
}

/// A row per system: 1 and its reliance.
fn with_intercept(points: &[&SystemPoint]) -> Vec<Vec<f64>> {
    points.iter().map(|point| vec![1.0, point.reliance]).collect()
}

/// A row per system: a 1 in the column of its LLM, and its reliance if asked for.
fn with_llm(points: &[&SystemPoint], reliance: bool) -> Vec<Vec<f64>> {
    let mut llms: Vec<&str> = points.iter().map(|point| point.llm.as_str()).collect();
    llms.sort_unstable();
    llms.dedup();
    let row = |point: &&SystemPoint| {
        let llm = llms.iter().map(|llm| if *llm == point.llm { 1.0 } else { 0.0 });
        llm.chain(reliance.then_some(point.reliance)).collect()
    };
    points.iter().map(row).collect()
}

fn fitted(rows: &[Vec<f64>], points: &[&SystemPoint]) -> Option<LinearModel> {
    LinearModel::fit(rows, &points.iter().map(|point| point.s).collect::<Vec<_>>())
}

fn slope(points: &[&SystemPoint]) -> Option<f64> {
    Some(fitted(&with_intercept(points), points)?.coefficients[1])
}

/// Pearson's; none if either quantity is the same in all systems.
fn correlation(points: &[&SystemPoint]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: fn(&SystemPoint) -> f64| points.iter().map(|point| of(point)).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.reliance), mean(|point| point.s));
    let sum = |of: &dyn Fn(&SystemPoint) -> f64| points.iter().map(|point| of(point)).sum::<f64>();
    let (xx, yy) = (sum(&|p| (p.reliance - x).powi(2)), sum(&|p| (p.s - y).powi(2)));
    (xx > 1e-18 && yy > 1e-18).then(|| sum(&|p| (p.reliance - x) * (p.s - y)) / (xx * yy).sqrt())
}

/// Regresses s on reliance; nothing is identified from fewer than [`LEAST_SYSTEMS`] systems, or from systems of one reliance.
pub(super) fn regress(all: &[SystemPoint], seed: u64) -> Regression {
    let points: Vec<&SystemPoint> = all.iter().collect();
    if points.len() < LEAST_SYSTEMS {
        let (slope, explained) = (None, [None; 3]);
        return Regression { slope, slope_by_formula: None, correlation: None, within_llm: None, explained };
    }
    let over_systems = |statistic: fn(&[&SystemPoint]) -> Option<f64>| {
        UnitBootstrap::new(points.len(), seed)
            .estimate(|units| statistic(&units.iter().map(|&unit| points[unit]).collect::<Vec<_>>()))
    };
    let plain = fitted(&with_intercept(&points), &points);
    let llms = fitted(&with_llm(&points, false), &points);
    let both = fitted(&with_llm(&points, true), &points);
    let r_squared = |fit: &Option<LinearModel>| fit.as_ref().and_then(|fit| fit.r_squared);
    Regression {
        slope: over_systems(slope),
        slope_by_formula: plain.as_ref().map(|fit| fit.interval(1)),
        correlation: over_systems(correlation),
        within_llm: both.as_ref().map(|fit| fit.interval(fit.coefficients.len() - 1)),
        explained: [r_squared(&plain), r_squared(&llms), r_squared(&both)],
    }
}

/// The slope over these systems with its interval over the topics of both halves, which are drawn together.
pub(super) fn slope_over_topics(
    systems: &[SystemAnswers],
    measures: Measures,
    seed: u64,
) -> Option<Estimate> {
    let first = systems.first().filter(|_| systems.len() >= LEAST_SYSTEMS)?;
    let (relied, moved) = (topics(&first.relied), topics(&first.moved));
    UnitBootstrap::new(relied.len() + moved.len(), seed).estimate(|units| {
        let (first, second): (Vec<usize>, Vec<usize>) = units.iter().partition(|unit| **unit < relied.len());
        let second: Vec<usize> = second.iter().map(|unit| unit - relied.len()).collect();
        let points: Option<Vec<SystemPoint>> = (systems.iter())
            .map(|system| {
                let reliance = (measures.reliance)(&drawn(&system.relied, &relied, &first))?;
                let s = (measures.s)(&drawn(&system.moved, &moved, &second))?;
                Some(SystemPoint { llm: system.llm.clone(), reliance, s })
            })
            .collect();
        slope(&points?.iter().collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::super::answers::{counterfactual, sensitivity};
    use super::*;
    use crate::contexts::LEVELS;

    /// Systems whose reliance goes from 0.4 to 0.95, with an s of this for each; noise that averages out.
    fn systems(of: impl Fn(f64) -> f64) -> Vec<SystemAnswers> {
        let noise = |i: usize, k: usize| ((i * 37 + k * 61) % 97) as f64 / 48.0 - 1.0;
        let system = |number: usize| {
            let reliance = 0.4 + 0.05 * number as f64;
            let relied = (0..60).map(|i| {
                let follows = noise(i, number) < 2.0 * reliance - 1.0;
                let shown = if follows { -1.0 } else { 1.0 };
                let topic = format!("a{}", i % 20);
                Relied { topic, closed_book: 1.0, alone: [shown, 1.0], at_places: [shown; 3] }
            });
            let moved = (0..60).map(|i| {
                let mixed = LEVELS.map(|level| of(reliance) * level + noise(i, number + 5));
                Moved { topic: format!("b{}", i % 20), mixed }
            });
            let (llm, wording) = (format!("llm {}", number % 3), format!("wording {number}"));
            SystemAnswers { llm, wording, relied: relied.collect(), moved: moved.collect() }
        };
        (0..12).map(system).collect()
    }

    const MEASURES: Measures = Measures { reliance: counterfactual, s: sensitivity };

    #[test]
    fn a_planted_effect_of_reliance_is_found_within_its_intervals() {
        let systems = systems(|reliance| 0.9 * reliance);
        let found = regress(&points(&systems, MEASURES).unwrap(), 0);
        let over_topics = slope_over_topics(&systems, MEASURES, 0);
        for slope in [found.slope, found.slope_by_formula, found.within_llm, over_topics] {
            let slope = slope.unwrap();
            assert!(slope.covers(0.9) && slope.low > 0.3, "{slope:?} {found:?}");
        }
        assert!(found.correlation.unwrap().low > 0.8, "{found:?}");
        let [reliance, llm, both] = found.explained.map(Option::unwrap);
        assert!(reliance > 0.9 && llm < 0.3 && both > reliance, "{found:?}");
    }

    #[test]
    fn systems_whose_s_does_not_depend_on_reliance_show_no_effect() {
        let systems = systems(|_| 0.6);
        let found = regress(&points(&systems, MEASURES).unwrap(), 0);
        for estimate in [found.slope, found.within_llm, found.correlation] {
            assert!(estimate.unwrap().covers(0.0), "{found:?}");
        }
        assert!(slope_over_topics(&systems, MEASURES, 0).unwrap().covers(0.0));
    }

    #[test]
    fn few_systems_and_systems_of_one_reliance_identify_no_slope() {
        let all = systems(|reliance| reliance);
        let few = regress(&points(&all[..LEAST_SYSTEMS - 1], MEASURES).unwrap(), 0);
        assert_eq!((few.slope, few.slope_by_formula, few.explained), (None, None, [None; 3]));
        assert_eq!(slope_over_topics(&all[..LEAST_SYSTEMS - 1], MEASURES, 0), None);
        let alike: Vec<SystemAnswers> = all
            .iter()
            .map(|system| SystemAnswers { relied: all[0].relied.clone(), ..system.clone() })
            .collect();
        let found = regress(&points(&alike, MEASURES).unwrap(), 0);
        assert_eq!((found.slope, found.correlation, found.within_llm), (None, None, None));
        assert!(found.explained[1].is_some(), "the LLM alone still explains something");
    }
}
