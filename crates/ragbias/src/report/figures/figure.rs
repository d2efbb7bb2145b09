use super::super::source::System;
use crate::svg::Svg;

/// A figure with its caption.
pub(in crate::report) struct Figure {
    /// Name of the file and of the element of the page.
    pub(in crate::report) id: String,
    pub(in crate::report) title: String,
    pub(in crate::report) caption: String,
    pub(in crate::report) svg: Svg,
}

/// The width of every figure, in its own units: text of 12 units is readable on a telephone and at half a page's width.
pub(super) const WIDTH: f64 = 440.0;

/// Radius of a point.
pub(super) const POINT: f64 = 4.0;

impl Figure {
    pub(super) fn new(system: &System, kind: &str, title: &str, caption: String, svg: Svg) -> Self {
        Self { id: format!("{}-{kind}", system.id()), title: title.into(), caption, svg }
    }
}
