//! What the answers of all systems say: findings, tables and figures.

use ragbias::stats::{Estimate, UnitBootstrap};

use super::answers::{
    Measure, Moved, Relied, SystemAnswers, contested, contested_at, counterfactual, drawn, over_topics,
    rag_biases, reliance, sensitivity, sensitivity_in_nats, shift, thirds, topics,
};
use super::systems::{LEAST_SYSTEMS, Measures, points, regress, slope_over_topics};
use crate::chart::{Chart, Point, Series};
use crate::contexts::TOGETHER;
use crate::methods::{says, unit_mean};
use crate::report::{Figure, Finding, Report, Table, shown, signed};

/// Names of the thirds by sureness.
const THIRDS: [&str; 3] = ["least sure", "middle", "surest"];

/// Fills a report; the rows of all systems are of the same questions, in the same order.
pub(super) fn report(systems: &[SystemAnswers], seed: u64, report: &mut Report) {
    find_reliance(systems, seed, report);
    find_conditions(systems, seed, report);
    find_sensitivity(systems, seed, report);
    report.tables.push(table_of_systems(systems, seed));
    report.tables.push(table_by_sureness(systems, seed));
    report.tables.push(table_by_place(systems, seed));
    report.figures.push(figure_by_sureness(systems, seed));
    report.figures.push(figure_by_place(systems, seed));
    report.figures.push(figure_of_systems(systems, seed));
    let Some(first) = systems.first() else { return };
    report.notes.push(format!(
        "Reliance on {} questions of {} topics, s on {} questions of {} other topics. Answers are the likelier of two twins' names by mean \
         log-probability per token. E_b is the mean lean of the passages shown; s with one passage would be 2R − 1 by definition, R being the \
         share of all contexts that the answers follow. A slope over systems is flattened by the error of each system's reliance.",
        first.relied.len(),
        topics(&first.relied).len(),
        first.moved.len(),
        topics(&first.moved).len(),
    ));
    report.notes.push(
        "Systems share questions, and those of one LLM its weights: the intervals over systems take them for independent. \
         An interval without width means that all topics agree: of n topics without an exception, shares down to 0.025^(1/n) remain possible."
            .into(),
    );
}

/// The mean over systems of a statistic of their rows, over topics.
fn over_systems<R: super::answers::OfTopic>(
    systems: &[&SystemAnswers],
    rows: fn(&SystemAnswers) -> &[R],
    seed: u64,
    statistic: impl Fn(&SystemAnswers, &[usize]) -> Option<f64>,
) -> (Option<Estimate>, usize) {
    let Some(first) = systems.first() else { return (None, 0) };
    let topics = topics(rows(first));
    let estimate = UnitBootstrap::new(topics.len(), seed).estimate(|units| {
        let places: Vec<usize> = units.iter().flat_map(|&unit| &topics[unit]).copied().collect();
        let values: Option<Vec<f64>> = systems.iter().map(|system| statistic(system, &places)).collect();
        let values = values?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    });
    (estimate, topics.len())
}

/// The rows at these places.
fn at<'r, R>(rows: &'r [R], places: &[usize]) -> Vec<&'r R> {
    places.iter().map(|&place| &rows[place]).collect()
}

fn relied(system: &SystemAnswers) -> &[Relied] {
    &system.relied
}

fn moved(system: &SystemAnswers) -> &[Moved] {
    &system.moved
}

/// The distinct values of a property, in order of appearance.
fn distinct(systems: &[SystemAnswers], of: fn(&SystemAnswers) -> &str) -> Vec<&str> {
    let mut seen: Vec<&str> = Vec::new();
    for system in systems {
        if !seen.contains(&of(system)) {
            seen.push(of(system));
        }
    }
    seen
}

fn llm(system: &SystemAnswers) -> &str {
    &system.llm
}

fn wording(system: &SystemAnswers) -> &str {
    &system.wording
}

/// Reliance of each LLM, and what each wording changes.
fn find_reliance(systems: &[SystemAnswers], seed: u64, report: &mut Report) {
    let measures: [(&str, Measure<Relied>, &str); 2] = [
        (
            "share of contradicting contexts followed by",
            counterfactual,
            "one passage that shows the other name than the answer without a context; mean over wordings",
        ),
        (
            "reliance in nats of",
            shift,
            "half of what one twin in place of the other adds; mean over wordings",
        ),
    ];
    for (what, measure, meaning) in measures {
        for name in distinct(systems, llm) {
            let of: Vec<&SystemAnswers> = systems.iter().filter(|system| system.llm == name).collect();
            let (estimate, n) =
                over_systems(&of, relied, seed, |system, places| measure(&at(&system.relied, places)));
            report.findings.push(Finding::new(format!("{what} {name}"), estimate, n, "topics", meaning));
        }
    }
    let wordings = distinct(systems, wording);
    for name in wordings.iter().skip(1) {
        for (what, measure) in [("share followed", counterfactual as Measure<Relied>), ("nats", shift)] {
            let of = |name: &str| systems.iter().filter(|system| system.wording == name).collect::<Vec<_>>();
            let (all, plain) = (of(name), of(wordings[0]));
            let pairs: Vec<(&SystemAnswers, &SystemAnswers)> = all.into_iter().zip(plain).collect();
            let topics = systems.first().map(|system| topics(&system.relied)).unwrap_or_default();
            let estimate = UnitBootstrap::new(topics.len(), seed).estimate(|units| {
                let value = |system: &SystemAnswers| measure(&drawn(&system.relied, &topics, units));
                let differences: Option<Vec<f64>> =
                    pairs.iter().map(|(of, from)| Some(value(of)? - value(from)?)).collect();
                let differences = differences?;
                Some(differences.iter().sum::<f64>() / differences.len() as f64)
            });
            let what = format!("reliance, {what}, wording {name} less {}, mean over LLMs", wordings[0]);
            let meaning = says(estimate, "the wording raises reliance", "the wording lowers reliance");
            report.findings.push(Finding::new(what, estimate, topics.len(), "topics", meaning));
        }
    }
}

/// What reliance depends on: how sure the LLM is without a context, where the contradicting passage is, and whether its twin is there too.
fn find_conditions(systems: &[SystemAnswers], seed: u64, report: &mut Report) {
    let all: Vec<&SystemAnswers> = systems.iter().collect();
    let find =
        |report: &mut Report, what: &str, (estimate, n): (Option<Estimate>, usize), poles: [&str; 2]| {
            let meaning = says(estimate, poles[0], poles[1]);
            report.findings.push(Finding::new(what, estimate, n, "topics", meaning));
        };
    let measures: [(&str, Measure<Relied>); 2] = [
        ("share of contradicting contexts followed, surest third less least sure third", counterfactual),
        ("the same with the twin beside, surest third less least sure third", contested),
    ];
    for (what, measure) in measures {
        let found = over_systems(&all, relied, seed, |system, places| {
            let [least, _, surest] = thirds(&system.relied);
            let share = |third: &[usize]| {
                let places: Vec<usize> =
                    places.iter().copied().filter(|place| third.contains(place)).collect();
                measure(&at(&system.relied, &places))
            };
            Some(share(&surest)? - share(&least)?)
        });
        let less = "where it is surer without a context, an LLM follows it less";
        find(report, what, found, ["where it is surer without a context, an LLM follows it more", less]);
    }
    let beside = over_systems(&all, relied, seed, |system, places| contested(&at(&system.relied, places)));
    let (estimate, n) = beside;
    let centred = estimate.map(|e| Estimate { value: e.value - 0.5, low: e.low - 0.5, high: e.high - 0.5 });
    let meaning = says(
        centred,
        "of two passages that contradict each other, the one against the answer without a context is followed more often",
        "of two passages that contradict each other, the one that agrees with the answer without a context is followed more often",
    );
    let what = "share of contradicting passages followed with the twin beside";
    report.findings.push(Finding::new(what, estimate, n, "topics", meaning));
    for place in 1..TOGETHER {
        let found = over_systems(&all, relied, seed, |system, places| {
            let rows = at(&system.relied, places);
            Some(contested_at(place, &rows)? - contested_at(0, &rows)?)
        });
        let what = format!("share followed with the twin beside, place {} of three less place 1", place + 1);
        find(
            report,
            &what,
            found,
            ["the later passage is followed more", "the earlier passage is followed more"],
        );
    }
}

/// s, and whether reliance predicts it.
fn find_sensitivity(systems: &[SystemAnswers], seed: u64, report: &mut Report) {
    let all: Vec<&SystemAnswers> = systems.iter().collect();
    let (estimate, n) =
        over_systems(&all, moved, seed, |system, places| sensitivity(&at(&system.moved, places)));
    let meaning = "R_b over E_b of contexts of three passages, on topics that reliance was not measured on";
    report.findings.push(Finding::new("s, mean over systems", estimate, n, "topics", meaning));

    let shares = Measures { reliance: counterfactual, s: sensitivity };
    let of_shares = points(systems, shares);
    // Equal values may differ in the last bit, which is no effect.
    let rounded = |value: f64| (value * 1e9).round() / 1e9;
    let less: Vec<f64> = of_shares.iter().flatten().map(|point| rounded(point.s - point.reliance)).collect();
    let less = unit_mean(&less, seed).filter(|_| systems.len() >= LEAST_SYSTEMS);
    let meaning = says(
        less,
        "the embedder moves systems further than their reliance says",
        "the embedder moves systems less far than their reliance says",
    );
    report.findings.push(Finding::new(
        "s less the share of contradicting contexts that is followed",
        less,
        systems.len(),
        "systems",
        meaning,
    ));
    regression(systems, shares, "s over the share of contradicting contexts followed", seed, report);
    let nats = Measures { reliance: shift, s: sensitivity_in_nats };
    regression(systems, nats, "s in nats over reliance in nats", seed, report);
}

/// The findings of one regression over systems.
fn regression(systems: &[SystemAnswers], measures: Measures, what: &str, seed: u64, report: &mut Report) {
    let n = systems.len();
    let points = points(systems, measures).unwrap_or_default();
    let found = regress(&points, seed);
    let over_topics = slope_over_topics(systems, measures, seed);
    let (above, below) = ("what relies more is moved further", "what relies more is moved less far");
    let topics = systems.first().map_or(0, |s| topics(&s.relied).len() + topics(&s.moved).len());
    let all = [
        (
            format!("slope of {what}, over systems"),
            found.slope,
            n,
            "systems",
            says(found.slope, above, below),
        ),
        (
            format!("slope of {what}, by Student's t"),
            found.slope_by_formula,
            n,
            "systems",
            says(found.slope_by_formula, above, below),
        ),
        (
            format!("slope of {what}, over topics"),
            over_topics,
            topics,
            "topics",
            "of these systems, with other questions".into(),
        ),
        (
            format!("correlation of {what}"),
            found.correlation,
            n,
            "systems",
            says(found.correlation, above, below),
        ),
        (
            format!("slope of {what}, within LLMs, by Student's t"),
            found.within_llm,
            n,
            "systems",
            says(
                found.within_llm,
                "reliance tells more than which LLM it is",
                "within an LLM, what relies more is moved less far",
            ),
        ),
    ];
    for (what, estimate, n, units, meaning) in all {
        report.findings.push(Finding::new(what, estimate, n, units, meaning));
    }
    let mut table = Table::new(&format!("What explains {what}"), &["explained by", "R²"]);
    for (name, r_squared) in ["reliance", "the LLM", "both"].into_iter().zip(found.explained) {
        let r_squared =
            r_squared.map_or_else(|| "not identified".into(), |r_squared| format!("{r_squared:.2}"));
        table.push([name.into(), r_squared]);
    }
    report.tables.push(table);
}

fn cell(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(|| "not identified".into(), shown)
}

fn table_of_systems(systems: &[SystemAnswers], seed: u64) -> Table {
    let mut table = Table::new(
        "Systems",
        &[
            "LLM",
            "wording",
            "follows, all contexts",
            "follows, contradicting",
            "nats per token",
            "s",
            "s in nats",
            "R_b at E_b −1, −1/3, +1/3, +1",
        ],
    );
    for system in systems {
        let all: Vec<&Moved> = system.moved.iter().collect();
        table.push([
            system.llm.clone(),
            system.wording.clone(),
            cell(over_topics(&system.relied, seed, reliance)),
            cell(over_topics(&system.relied, seed, counterfactual)),
            cell(over_topics(&system.relied, seed, shift)),
            cell(over_topics(&system.moved, seed, sensitivity)),
            cell(over_topics(&system.moved, seed, sensitivity_in_nats)),
            rag_biases(&all).map(signed).join(", "),
        ]);
    }
    table
}

/// The rows of each third.
fn by_third(system: &SystemAnswers) -> [Vec<Relied>; 3] {
    thirds(&system.relied).map(|places| places.iter().map(|&place| system.relied[place].clone()).collect())
}

fn table_by_sureness(systems: &[SystemAnswers], seed: u64) -> Table {
    let mut table = Table::new(
        "Share of contradicting passages that is followed, by how sure the LLM is without one",
        &[
            "LLM",
            "wording",
            "third",
            "mean margin, nats per token",
            "alone",
            "with its twin beside",
            "questions",
        ],
    );
    for system in systems {
        for (name, rows) in THIRDS.into_iter().zip(by_third(system)) {
            let margin = rows.iter().map(|row| row.closed_book.abs()).sum::<f64>() / rows.len() as f64;
            table.push([
                system.llm.clone(),
                system.wording.clone(),
                name.into(),
                format!("{margin:.2}"),
                cell(over_topics(&rows, seed, counterfactual)),
                cell(over_topics(&rows, seed, contested)),
                rows.len().to_string(),
            ]);
        }
    }
    table
}

fn table_by_place(systems: &[SystemAnswers], seed: u64) -> Table {
    let mut table = Table::new(
        "Share of contradicting passages that is followed, alone and with its twin beside, by place among three",
        &["LLM", "wording", "alone", "place 1", "place 2", "place 3"],
    );
    for system in systems {
        let alone = cell(over_topics(&system.relied, seed, counterfactual));
        let places = (0..TOGETHER)
            .map(|place| cell(over_topics(&system.relied, seed, |rows| contested_at(place, rows))));
        table.push([system.llm.clone(), system.wording.clone(), alone].into_iter().chain(places));
    }
    table
}

fn point(x: f64, estimate: Option<Estimate>) -> Point {
    let interval = estimate.map(|estimate| (estimate.low, estimate.high));
    Point { x, y: estimate.map_or(f64::NAN, |estimate| estimate.value), interval }
}

/// A line per system, in the colour of its LLM.
fn line_per_system(systems: &[SystemAnswers], points: impl Fn(&SystemAnswers) -> Vec<Point>) -> Vec<Series> {
    let llms = distinct(systems, llm);
    let series = |system: &SystemAnswers| Series {
        name: format!("{}, {}", system.llm, system.wording),
        points: points(system),
        joined: true,
        colour: llms.iter().position(|llm| *llm == system.llm).unwrap_or(0),
    };
    systems.iter().map(series).collect()
}

fn figure_by_sureness(systems: &[SystemAnswers], seed: u64) -> Figure {
    let series = line_per_system(systems, |system| {
        let rows = by_third(system);
        (1..).zip(&rows).map(|(x, rows)| point(f64::from(x), over_topics(rows, seed, contested))).collect()
    });
    let y = "share of contradicting passages followed".into();
    let chart = Chart { x: "third by sureness without a context".into(), y, log2: false, series };
    let caption = "How many contradicting passages are followed with their twin beside, by how sure the LLM is without a context: 1 least, 3 most.";
    Figure::new("sureness", caption, &chart.draw("reliance by sureness"))
}

fn figure_by_place(systems: &[SystemAnswers], seed: u64) -> Figure {
    let series = line_per_system(systems, |system| {
        let at = |place: usize| over_topics(&system.relied, seed, |rows| contested_at(place, rows));
        (0..TOGETHER).map(|place| point(place as f64 + 1.0, at(place))).collect()
    });
    let y = "share of contradicting passages followed".into();
    let chart = Chart { x: "place among three passages".into(), y, log2: false, series };
    let caption =
        "How many contradicting passages are followed with their twin beside, at each place among three.";
    Figure::new("place", caption, &chart.draw("reliance by place"))
}

fn figure_of_systems(systems: &[SystemAnswers], seed: u64) -> Figure {
    let llms = distinct(systems, llm);
    let series = (llms.iter().enumerate())
        .map(|(colour, name)| {
            let of = systems.iter().filter(|system| system.llm == *name);
            let points = of.map(|system| {
                let rows: Vec<&Relied> = system.relied.iter().collect();
                point(shift(&rows).unwrap_or(f64::NAN), over_topics(&system.moved, seed, sensitivity_in_nats))
            });
            Series { name: format!("{name}, 95% interval"), points: points.collect(), joined: false, colour }
        })
        .collect();
    let chart = Chart {
        x: "reliance with one passage, nats per token".into(),
        y: "s with three, nats per token".into(),
        log2: false,
        series,
    };
    let caption = "s of every system on other topics, over its reliance on a single passage.";
    Figure::new("systems", caption, &chart.draw("s over reliance"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::LEVELS;

    /// Two LLMs with four wordings each; `follows` says whether a contradicting passage is followed, by the question's number, its place
    /// among three (none: alone), and the system's number.
    fn systems(follows: impl Fn(usize, Option<usize>, usize) -> bool) -> Vec<SystemAnswers> {
        let system = |number: usize| {
            let shown = |i: usize, place: Option<usize>| if follows(i, place, number) { -1.0 } else { 1.0 };
            // The surer, the greater the question's number.
            let relied = (0..60).map(|i| Relied {
                topic: format!("a{}", i % 20),
                closed_book: 0.1 + 0.01 * i as f64,
                alone: [shown(i, None), 1.0],
                at_places: std::array::from_fn(|place| shown(i, Some(place))),
            });
            let moved = (0..60).map(|i| {
                let offset = (f64::from(i) + 0.5) / 30.0 - 1.0;
                Moved { topic: format!("b{}", i % 20), mixed: LEVELS.map(|level| 0.5 * level + offset) }
            });
            SystemAnswers {
                llm: format!("llm {}", number / 4),
                wording: ["plain", "only", "doubt", "first"][number % 4].into(),
                relied: relied.collect(),
                moved: moved.collect(),
            }
        };
        (0..8).map(system).collect()
    }

    fn of(systems: &[SystemAnswers]) -> Report {
        let mut filled = Report::new("reliance", "");
        report(systems, 0, &mut filled);
        filled
    }

    fn estimate(report: &Report, what: &str) -> Option<Estimate> {
        let found = report.findings.iter().find(|finding| finding.what.contains(what));
        found.unwrap_or_else(|| panic!("no finding `{what}`")).estimate
    }

    #[test]
    fn planted_effects_of_wording_sureness_and_place_are_found_within_their_intervals() {
        let draw = |i: usize, number: usize| (((i * 7 + number * 3) % 10) as f64 + 0.5) / 10.0;
        let report = of(&systems(|i, place, number| {
            let share = 0.9
                - 0.3 * f64::from(u8::from(number % 4 == 2))
                - 0.4 * f64::from(u8::from(i >= 40))
                - 0.2 * place.unwrap_or(0) as f64;
            draw(i, number) < share
        }));
        let of = |what: &str| estimate(&report, what).unwrap();
        let doubt = of("share followed, wording doubt");
        assert!(doubt.covers(-0.3) && doubt.high < 0.0, "{doubt:?}");
        assert!(of("share followed, wording only").covers(0.0));
        let sureness = of("contexts followed, surest third");
        assert!(sureness.covers(-0.4) && sureness.high < -0.2, "{sureness:?}");
        let place = of("place 3 of three less place 1");
        assert!(place.covers(-0.4) && place.high < -0.2, "{place:?}");
        let s = of("s, mean over systems");
        assert!(s.covers(0.5) && s.low > 0.3, "{s:?}");
        assert_eq!(report.tables[2].rows.len(), 8);
        assert_eq!(report.figures.len(), 3);
    }

    #[test]
    fn where_nothing_is_planted_no_effect_is_seen() {
        let report = of(&systems(|i, place, number| (i * 7 + number * 3 + place.unwrap_or(5)) % 10 < 6));
        for what in [
            "followed, wording only",
            "followed, wording doubt",
            "followed, surest third",
            "beside, surest third",
            "place 2",
            "place 3",
        ] {
            let estimate = estimate(&report, what).unwrap();
            assert!(estimate.covers(0.0), "{what}: {estimate:?}");
        }
        assert!(
            estimate(&report, "slope of s over the share of contradicting contexts followed, over systems")
                .is_none_or(|e| e.covers(0.0))
        );
    }

    #[test]
    fn systems_that_follow_everything_identify_no_slope() {
        let report = of(&systems(|_, _, _| true));
        assert_eq!(
            estimate(&report, "slope of s over the share of contradicting contexts followed, over systems"),
            None
        );
        assert_eq!(estimate(&report, "correlation of s over the share"), None);
        let share = estimate(&report, "share of contradicting contexts followed by llm 0").unwrap();
        assert_eq!((share.value, share.low, share.high), (1.0, 1.0, 1.0));
    }
}
