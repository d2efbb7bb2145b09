//! The figures of a report.

mod conflict;
mod figure;
mod rows;
mod spread;
mod topics;

pub(super) use self::figure::Figure;
use super::source::System;

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
