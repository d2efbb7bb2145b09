use ragbias::svg::{Panel, Scale, Svg};

/// Width of a figure, in its own units.
const WIDTH: f64 = 480.0;
/// Height of the panel with its axis.
const HEIGHT: f64 = 280.0;
/// Height of a line of the legend.
const LINE: f64 = 16.0;
/// Classes of series, in order: each has its own colour.
const CLASSES: [&str; 6] = ["negative", "positive", "both", "chosen", "base", "neither"];

/// A chart of several series over one quantity.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Name of the horizontal axis.
    pub x: String,
    /// Name of the vertical axis.
    pub y: String,
    /// Whether x is drawn by its logarithm to base 2.
    pub log2: bool,
    /// The series.
    pub series: Vec<Series>,
}

/// A series of a chart.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, in order of x.
    pub points: Vec<Point>,
    /// Whether they are joined by a line: a law, rather than measurements.
    pub joined: bool,
    /// Number of its colour; a law has that of its measurements.
    pub colour: usize,
}

/// A point with its interval, if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Horizontal value.
    pub x: f64,
    /// Vertical value.
    pub y: f64,
    /// Ends of the interval of y.
    pub interval: Option<(f64, f64)>,
}

impl Point {
    /// A point without an interval.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, interval: None }
    }
}

impl Chart {
    /// Draws the chart; points whose values are not finite are left out. Without any there is only the frame.
    pub fn draw(&self, label: &str) -> Svg {
        let place = |x: f64| if self.log2 { x.log2() } else { x };
        let finite = |point: &&Point| place(point.x).is_finite() && point.y.is_finite();
        let all = || self.series.iter().flat_map(|series| &series.points).filter(finite);
        let xs = range(all().map(|point| place(point.x)));
        let ys = range(all().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            [point.y, low, high].into_iter().filter(|y| y.is_finite())
        }));
        let bottom = HEIGHT - 44.0;
        let panel = Panel { x: Scale::new(xs, (64.0, WIDTH - 14.0)), y: Scale::new(ys, (bottom, 14.0)) };
        let mut svg = Svg::new(WIDTH, HEIGHT + LINE * self.series.len() as f64, label);
        let name = if self.log2 { format!("log₂ {}", self.x) } else { self.x.clone() };
        panel.axes(&mut svg, &name, &self.y);
        for (row, series) in self.series.iter().enumerate() {
            let class = CLASSES[series.colour % CLASSES.len()];
            let points: Vec<&Point> = series.points.iter().filter(finite).collect();
            if series.joined {
                svg.polyline(&format!("line {class}"), points.iter().map(|p| panel.at(place(p.x), p.y)));
            }
            for point in points {
                let (x, y) = (place(point.x), point.y);
                if let Some((low, high)) = point.interval {
                    svg.line("base-interval", panel.at(x, low), panel.at(x, high));
                }
                if !series.joined {
                    let what = format!("{}: {}", series.name, ragbias::svg::number(y));
                    svg.named(&what, |svg| svg.circle(class, panel.at(x, y), 4.0));
                }
            }
            let y = HEIGHT + LINE * row as f64;
            if series.joined {
                svg.polyline(&format!("line {class}"), [(64.0, y), (76.0, y)]);
            } else {
                svg.circle(class, (70.0, y), 4.0);
            }
            svg.text("note", (84.0, y + 4.0), &series.name);
        }
        svg
    }
}

/// The range of values, widened by a twentieth, and never empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let margin = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-6);
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_every_finite_point_and_the_names_of_its_series() {
        let points = vec![Point::new(1.0, 0.5), Point::new(4.0, f64::NAN), Point::new(8.0, 0.7)];
        let series = Series { name: "easy <third>".into(), points, joined: false, colour: 0 };
        let chart = Chart { x: "examples".into(), y: "loss".into(), log2: true, series: vec![series] };
        let svg = chart.draw("a chart").standalone();
        assert_eq!(svg.matches("<circle").count(), 3, "two points and the legend");
        assert!(svg.contains("easy &lt;third&gt;") && svg.contains("log₂ examples"), "{svg}");
        let empty = Chart { series: Vec::new(), ..chart };
        assert!(empty.draw("nothing").standalone().contains("</svg>"));
    }
}
