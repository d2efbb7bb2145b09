use super::report::SequenceReport;
use crate::svg::{Panel, Scale, Svg};

/// Width of a figure, in its own units, as in a report.
const WIDTH: f64 = 440.0;
/// Its height.
const HEIGHT: f64 = 260.0;

/// A sequence as it came about, with its interval, and the threshold.
pub(super) fn draw(symbol: &str, bias: &SequenceReport, threshold: f64) -> Svg {
    let points = &bias.sequence;
    let units = bias.now.units.max(2) as f64;
    // The first intervals reach from -1 to 1; what the later half shows decides on the scale.
    let later = points.iter().filter(|point| 2 * point.units >= bias.now.units);
    let widest = later.map(|point| point.low.abs().max(point.high.abs())).fold(1.5 * threshold, f64::max);
    let top = (widest * 12.0).ceil().min(10.0) / 10.0;
    let panel = Panel {
        x: Scale::new((0.0, units * 1.02), (58.0, WIDTH - 12.0)),
        y: Scale::new((-top, top), (HEIGHT - 42.0, 14.0)),
    };
    let mut svg = Svg::new(WIDTH, HEIGHT, format!("{symbol} over the units so far, with its interval"));
    svg.rect("fair", panel.at(0.0, -threshold.min(top)), panel.at(units * 1.02, threshold.min(top)));
    let at = |units: usize, value: f64| panel.at(units as f64, panel.y.within(value));
    let upper = points.iter().map(|point| at(point.units, point.high));
    let lower = points.iter().rev().map(|point| at(point.units, point.low));
    svg.polygon("band", upper.chain(lower));
    panel.axes(&mut svg, "units", symbol);
    svg.polyline("fit", points.iter().map(|point| at(point.units, point.value)));
    for restart in &bias.restarts {
        let name = format!("since unit {}: {:+.3}", restart.after + 1, restart.now.value);
        svg.named(&name, |svg| {
            svg.line(
                "whisker",
                at(restart.after, restart.now.value),
                at(restart.after + restart.now.units, restart.now.value),
            );
        });
    }
    svg
}
