use ragbias_stats::Estimate;

use super::super::source::System;
use super::super::words::{p_value, signed};
use super::figure::{Figure, POINT, WIDTH};
use crate::svg::{Panel, Scale, Svg};

const HEIGHT: f64 = 300.0;

/// Utility against bias, with the Pareto front: the embedders that no other beats in both.
pub(super) fn front(system: &System, number: usize) -> Option<Figure> {
    let base = system.base();
    let symbol = if base.measured.rag_bias.is_some() { "R_b" } else { "E_b" };
    let mut points: Vec<(usize, f64, f64)> = (system.rows.iter().enumerate())
        .filter_map(|(index, row)| Some((index, row.outcome().value().abs(), row.measured.ndcg10?)))
        .collect();
    if points.len() < 3 {
        return None;
    }
    points.sort_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
    let mut best = f64::NEG_INFINITY;
    let mut front = Vec::new();
    for &point in &points {
        if point.2 > best {
            best = point.2;
            front.push(point);
        }
    }
    let marked: Vec<usize> = front.iter().map(|point| point.0).collect();
    let interval_of = |index: usize| {
        let row = &system.rows[index];
        (marked.contains(&index) || row.is_base()).then(|| Estimate::from(row.outcome()))
    };
    let furthest = |&(index, x, _): &(usize, f64, f64)| {
        interval_of(index).map_or(x, |Estimate { low, high, .. }| low.abs().max(high.abs()))
    };
    let right = points.iter().map(furthest).fold(0.2, f64::max);
    let least = points.iter().map(|point| point.2).fold(f64::INFINITY, f64::min);
    // Whole steps, with room for a point at an end.
    let panel = Panel {
        x: Scale::new((0.0, (right * 5.0).ceil() / 5.0 + 0.01), (58.0, WIDTH - 12.0)),
        y: Scale::new(
            ((least * 10.0).floor() / 10.0, (best * 10.0).ceil() / 10.0 + 0.02),
            (HEIGHT - 42.0, 14.0),
        ),
    };
    let mut svg = Svg::new(WIDTH, HEIGHT, format!("nDCG@10 against |{symbol}|"));
    panel.axes(&mut svg, &format!("|{symbol}|, 0 is fair"), "nDCG@10");
    for &(index, _, y) in &points {
        let Some(Estimate { low, high, .. }) = interval_of(index) else { continue };
        let nearest = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
        svg.line("hollow-interval", panel.at(nearest, y), panel.at(low.abs().max(high.abs()), y));
    }
    for &(index, x, y) in &points {
        let row = &system.rows[index];
        let at = panel.at(x, y);
        svg.embedder(number, index, &format!("{}: nDCG@10 {y:.3}", row.embedder), |svg| {
            if row.is_base() {
                svg.diamond("base", at, 7.0);
            } else {
                svg.circle(if marked.contains(&index) { "chosen" } else { "member" }, at, POINT);
            }
        });
        if row.is_base() {
            svg.text("halo strong", (at.0 + 9.0, at.1 - 8.0), &row.embedder);
        }
    }
    // A staircase: points below and to the right of it are beaten in both.
    let steps = front.windows(2).flat_map(|pair| [(pair[0].1, pair[0].2), (pair[1].1, pair[0].2)]);
    let steps: Vec<_> =
        steps.chain(front.last().map(|last| (last.1, last.2))).map(|(x, y)| panel.at(x, y)).collect();
    svg.polyline("front", steps);
    let caption = format!(
        "Green: the front, {} of {} embedders that no other beats in both; their horizontal lines are 95% intervals. nDCG@10 \
         is the mean over the questions of this corpus, by its own judgements.",
        front.len(),
        points.len()
    );
    Some(Figure::new(system, "front", "What fairness costs", caption, svg))
}

/// The residuals of the line.
pub(super) fn residuals(system: &System, number: usize) -> Option<Figure> {
    let line = &system.line.as_ref()?.conflict;
    let points: Vec<(usize, f64, f64)> = (system.rows.iter().enumerate())
        .filter_map(|(index, row)| {
            let x = row.measured.embedder_bias.value();
            let rag = row.measured.rag_bias?.value();
            Some((index, x, rag - line.intercept.value - line.sensitivity.value * x))
        })
        .collect();
    let linearity = line.linearity;
    let error = linearity.prediction_error;
    let largest = points.iter().map(|point| point.2.abs()).chain([error]).fold(0.05, f64::max);
    let top = (largest * 11.0).ceil() / 10.0;
    let panel = Panel {
        x: Scale::new((-1.05, 1.05), (58.0, WIDTH - 12.0)),
        y: Scale::new((-top, top), (HEIGHT - 42.0, 14.0)),
    };
    let mut svg = Svg::new(WIDTH, HEIGHT, "Residuals of the line");
    svg.rect("band", panel.at(-1.05, -error), panel.at(1.05, error));
    panel.axes(&mut svg, "E_b, bias of what is retrieved", "R_b less the line's");
    for &(index, x, y) in &points {
        let row = &system.rows[index];
        svg.embedder(number, index, &format!("{}: {}", row.embedder, signed(y)), |svg| {
            if row.is_base() {
                svg.diamond("base", panel.at(x, y), 7.0);
            } else {
                svg.circle("member", panel.at(x, y), POINT);
            }
        });
    }
    let mut caption = vec![
        "A straight line is right where residuals have no shape.".to_owned(),
        format!("Grey: ± the error of predicting an embedder left out ({error:.2})."),
    ];
    if let Some(test) = linearity.lack_of_fit {
        caption.push(format!("A curve instead of the line: {}, were embedders independent; they are siblings, so it is too small.",
                p_value(test.p)
            ));
    }
    if linearity.saturated > 0 {
        caption.push(format!("{} of {} embedders are saturated, near ±1.", linearity.saturated, line.n));
    }
    Some(Figure::new(system, "residuals", "What the line leaves", caption.join(" "), svg))
}
