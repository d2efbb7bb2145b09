//! The figures of a report.

mod conflict;
mod rows;
mod spread;
mod topics;

use super::source::System;
use super::svg::Svg;

/// A figure with its caption.
pub(super) struct Figure {
    /// Name of the file and of the element of the page.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) caption: String,
    pub(super) svg: Svg,
}

/// The width of every figure, in its own units: text of 12 units is readable on a telephone and at half a page's width.
const WIDTH: f64 = 440.0;

/// Radius of a point.
const POINT: f64 = 4.0;

/// All figures of one system; `number` is its index among the systems, and the `first` of an LLM shows the choice.
pub(super) fn of_system(system: &System, number: usize, first: bool) -> Vec<Figure> {
    [
        conflict::draw(system, number),
        Some(rows::components(system)),
        rows::choice(system).filter(|_| first),
        spread::front(system, number),
        topics::draw(system),
        spread::residuals(system, number),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The sensitivities of all systems of an axis side by side; none if fewer than two have a line.
pub(super) fn of_axis(axis: &str, systems: &[&System]) -> Option<Figure> {
    rows::sensitivities(axis, systems)
}

fn figure(system: &System, kind: &str, title: &str, caption: String, svg: Svg) -> Figure {
    Figure { id: format!("{}-{kind}", system.id()), title: title.into(), caption, svg }
}
