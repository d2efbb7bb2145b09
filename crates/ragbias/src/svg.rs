//! Figures: a canvas of SVG elements with classes, and a panel with two axes. Classes and colours are those of [`STYLE`].

use std::fmt::{Display, Write as _};

/// The style of figures; colours are `var(--name)`, which the page gives for light and dark.
pub const STYLE: &str = include_str!("svg.css");

/// Light colours, for separate files.
const LIGHT: &[(&str, &str)] = &[
    ("--text", "#1b2330"),
    ("--faint", "#5d6878"),
    ("--line", "#d5dae2"),
    ("--page", "#ffffff"),
    ("--member", "#7b8798"),
    ("--negative", "#2f6fb2"),
    ("--positive", "#b8601a"),
    ("--both", "#7d6ba8"),
    ("--neither", "#b8bec9"),
    ("--target", "#8e3f95"),
    ("--chosen", "#007f68"),
];

/// Margin of a figure in its own file.
const MARGIN: f64 = 12.0;

/// A point of a canvas, in its units.
pub type At = (f64, f64);

/// A figure.
pub struct Svg {
    width: f64,
    height: f64,
    label: String,
    body: String,
}

impl Svg {
    /// An empty canvas; `label` describes its content in words.
    pub fn new(width: f64, height: f64, label: impl Into<String>) -> Self {
        Self { width, height, label: label.into(), body: String::new() }
    }

    /// A line between two points.
    pub fn line(&mut self, class: &str, from: At, to: At) {
        self.push(format_args!(
            r#"<line class="{class}" x1="{}" y1="{}" x2="{}" y2="{}"/>"#,
            short(from.0),
            short(from.1),
            short(to.0),
            short(to.1)
        ));
    }

    /// A rectangle, by two opposite corners.
    pub fn rect(&mut self, class: &str, corner: At, opposite: At) {
        let (left, right) = (corner.0.min(opposite.0), corner.0.max(opposite.0));
        let (top, bottom) = (corner.1.min(opposite.1), corner.1.max(opposite.1));
        self.push(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}"/>"#,
            short(left),
            short(top),
            short(right - left),
            short(bottom - top)
        ));
    }

    /// A closed polygon.
    pub fn polygon(&mut self, class: &str, points: impl IntoIterator<Item = At>) {
        let points: Vec<_> = points.into_iter().map(|(x, y)| format!("{},{}", short(x), short(y))).collect();
        self.push(format_args!(r#"<polygon class="{class}" points="{}"/>"#, points.join(" ")));
    }

    /// A line through points.
    pub fn polyline(&mut self, class: &str, points: impl IntoIterator<Item = At>) {
        let points: Vec<_> = points.into_iter().map(|(x, y)| format!("{},{}", short(x), short(y))).collect();
        self.push(format_args!(r#"<polyline class="{class}" points="{}"/>"#, points.join(" ")));
    }

    /// A circle.
    pub fn circle(&mut self, class: &str, (x, y): At, radius: f64) {
        self.push(format_args!(
            r#"<circle class="{class}" cx="{}" cy="{}" r="{}"/>"#,
            short(x),
            short(y),
            short(radius)
        ));
    }

    /// A square on its corner.
    pub fn diamond(&mut self, class: &str, (x, y): At, radius: f64) {
        self.polygon(class, [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]);
    }

    /// Text, in which the b of `R_b` is a subscript.
    pub fn text(&mut self, class: &str, (x, y): At, text: impl AsRef<str>) {
        self.push(format_args!(
            r#"<text class="{class}" x="{}" y="{}">{}</text>"#,
            short(x),
            short(y),
            symbols(text.as_ref())
        ));
    }

    /// Text that runs upwards.
    pub fn text_up(&mut self, class: &str, (x, y): At, text: impl AsRef<str>) {
        self.push(format_args!(
            r#"<text class="{class}" transform="translate({} {}) rotate(-90)">{}</text>"#,
            short(x),
            short(y),
            symbols(text.as_ref())
        ));
    }

    /// Marks an element as one embedder of a system: hovering shows its name, and clicking selects its questions.
    pub(crate) fn embedder(&mut self, system: usize, row: usize, name: &str, draw: impl FnOnce(&mut Self)) {
        self.push(format_args!(r#"<g class="pick" data-system="{system}" data-row="{row}">"#));
        self.named(name, draw);
        self.push(format_args!("</g>"));
    }

    /// Marks an element to show its name on hovering.
    pub fn named(&mut self, name: &str, draw: impl FnOnce(&mut Self)) {
        self.push(format_args!("<g><title>{}</title>", escape(name)));
        draw(self);
        self.push(format_args!("</g>"));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("text grows; this is a bug");
    }

    /// The figure as part of a page that has [`STYLE`].
    pub fn inline(&self, id: &str) -> String {
        format!(
            r#"<svg id="{id}" class="drawing" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>"#,
            self.width,
            self.height,
            escape(&self.label),
            self.body
        )
    }

    /// The figure as a separate file, in light colours.
    pub fn standalone(&self) -> String {
        let mut style = STYLE.to_owned();
        for (name, colour) in LIGHT {
            style = style.replace(&format!("var({name})"), colour);
        }
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="drawing" viewBox="-{MARGIN} -{MARGIN} {w} {h}" width="{w}" height="{h}"><title>{}</title><style>{style}</style><rect x="-{MARGIN}" y="-{MARGIN}" width="{w}" height="{h}" fill="white"/>{}</svg>"#,
            escape(&self.label),
            self.body,
            w = self.width + 2.0 * MARGIN,
            h = self.height + 2.0 * MARGIN,
        )
    }
}

/// A linear scale from values to the units of a canvas.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    values: (f64, f64),
    units: (f64, f64),
}

impl Scale {
    /// The scale that takes the first value to the first unit, and the second to the second.
    pub fn new(values: (f64, f64), units: (f64, f64)) -> Self {
        Self { values, units }
    }

    /// The unit of a value.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        self.units.0 + (value - low) / (high - low) * (self.units.1 - self.units.0)
    }

    /// The value, clamped to the scale.
    pub fn within(&self, value: f64) -> f64 {
        value.clamp(self.values.0, self.values.1)
    }

    /// About five round tick values.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= 0.999 * rough);
        let step = step.unwrap_or(10.0 * power);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A plot with two axes.
pub struct Panel {
    /// The horizontal axis.
    pub x: Scale,
    /// The vertical axis, whose units run downwards.
    pub y: Scale,
}

impl Panel {
    /// The point of two values.
    pub fn at(&self, x: f64, y: f64) -> At {
        (self.x.at(x), self.y.at(y))
    }

    /// Frame, ticks and names; the grid shows only 0.
    pub fn axes(&self, svg: &mut Svg, x_name: &str, y_name: &str) {
        let ((left, right), (bottom, top)) = (self.x.units, self.y.units);
        for tick in self.x.ticks() {
            let x = self.x.at(tick);
            svg.line(if tick.abs() < 1e-9 { "zero" } else { "grid" }, (x, bottom), (x, top));
            svg.text("tick middle", (x, bottom + 15.0), number(tick));
        }
        for tick in self.y.ticks() {
            let y = self.y.at(tick);
            svg.line(if tick.abs() < 1e-9 { "zero" } else { "grid" }, (left, y), (right, y));
            svg.text("tick end", (left - 6.0, y + 4.0), number(tick));
        }
        svg.text("axis middle", (f64::midpoint(left, right), bottom + 33.0), x_name);
        svg.text_up("axis middle", (left - 40.0, f64::midpoint(bottom, top)), y_name);
    }
}

/// A number on a scale, with a true minus sign, as short as possible.
pub fn number(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0 + 0.0;
    format!("{rounded}").replace('-', "−")
}

/// Escapes text for XML; a character that XML does not allow, such as a form feed, becomes a replacement character.
pub fn escape(text: impl Display) -> String {
    let allowed = |c: char| {
        !(c.is_control() && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    let text: String = text.to_string().chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text of SVG, in which the b of `R_b` is a subscript.
fn symbols(text: &str) -> String {
    let escaped = escape(text);
    let mut parts = escaped.split("_b");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        out.push_str(r#"<tspan dy="3" font-size="80%">b</tspan>"#);
        if !rest.is_empty() {
            write!(out, r#"<tspan dy="-3">{rest}</tspan>"#).expect("text grows; this is a bug");
        }
    }
    out
}

/// A tenth of a unit is below visible resolution.
fn short(value: f64) -> f64 {
    debug_assert!(value.is_finite(), "a coordinate is a number");
    (value * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_scale() {
        let ticks = |low, high| Scale::new((low, high), (0.0, 1.0)).ticks();
        assert_eq!(ticks(-1.05, 1.05), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(ticks(0.0, 0.41).len(), 5);
    }

    #[test]
    fn a_file_has_its_colours_and_text_stays_text() {
        let mut svg = Svg::new(10.0, 10.0, "a < b");
        svg.text("tick", (1.04, 2.0), "R_b & </text>");
        let (page, file) = (svg.inline("f"), svg.standalone());
        assert!(page.contains(r#"x="1" y="2">R<tspan dy="3" font-size="80%">b</tspan>"#), "{page}");
        assert!(page.contains("&amp; &lt;/text&gt;") && file.contains("<title>a &lt; b</title>"), "{page}");
        assert!(STYLE.contains("var(--") && !file.contains("var(--"), "{file}");
    }
}
