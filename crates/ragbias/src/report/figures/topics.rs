use std::collections::{BTreeMap, BTreeSet};

use super::super::source::System;
use super::figure::{Figure, WIDTH};
use crate::svg::{Panel, Scale, Svg};

/// A mean over the scored questions.
#[derive(Default)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn add(&mut self, lean: Option<ragbias_core::Lean>) {
        if let Some(lean) = lean {
            self.sum += lean.value();
            self.n += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// Maximum letters of a name.
fn shortened(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    name.chars().take(room - 1).chain(['…']).collect()
}

/// R_b against E_b topic by topic; none if no LLM answered, or fewer than two topics have several questions. A topic with one question is left
/// out: the lean of one says nothing of the topic.
pub(super) fn draw(system: &System) -> Option<Figure> {
    let base = system.base();
    base.measured.rag_bias?;
    let mut means: BTreeMap<&str, BTreeMap<&str, (Mean, Mean)>> = BTreeMap::new();
    for outcome in &system.outcomes {
        let of = means.entry(&outcome.topic).or_default().entry(&outcome.embedder).or_default();
        of.0.add(outcome.lean_document);
        of.1.add(outcome.lean_answer);
    }
    let mut questions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for outcome in &system.outcomes {
        questions.entry(&outcome.topic).or_default().insert(&outcome.question);
    }
    let all = means.len();
    means.retain(|topic, _| questions[topic].len() > 1);
    if means.len() < 2 {
        return None;
    }
    let columns: usize = if means.len() > 12 { 6 } else { 3 };
    let side = (WIDTH - 6.0) / columns as f64;
    let lines = means.len().div_ceil(columns);
    let mut svg = Svg::new(WIDTH, 4.0 + lines as f64 * (side + 16.0), "R_b against E_b, topic by topic");
    let embedders = system.rows.len() as f64;
    for (place, (topic, by_embedder)) in means.iter().enumerate() {
        let left = 4.0 + side * (place % columns) as f64;
        let top = 16.0 + (side + 16.0) * (place / columns) as f64;
        let inner = side - 8.0;
        let panel = Panel {
            x: Scale::new((-1.5, 1.5), (left, left + inner)),
            y: Scale::new((-1.5, 1.5), (top + inner, top)),
        };
        svg.rect("frame", panel.at(-1.5, -1.5), panel.at(1.5, 1.5));
        svg.line("zero", panel.at(0.0, -1.5), panel.at(0.0, 1.5));
        svg.line("zero", panel.at(-1.5, 0.0), panel.at(1.5, 0.0));
        svg.line("same", panel.at(-1.5, -1.5), panel.at(1.5, 1.5));
        let room = if columns == 3 { 22 } else { 11 };
        let short = shortened(topic, room);
        svg.named(topic, |svg| {
            svg.text(if columns == 3 { "note" } else { "small" }, (left, top - 4.0), short);
        });
        // Many embedders share a position: the area shows how many.
        let mut places: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        for (document, answer) in by_embedder.values() {
            if let (Some(x), Some(y)) = (document.value(), answer.value()) {
                *places.entry(((x * 1000.0).round() as i64, (y * 1000.0).round() as i64)).or_default() += 1;
            }
        }
        let most = inner / 6.5;
        for ((x, y), n) in places {
            let at = panel.at(x as f64 / 1000.0, y as f64 / 1000.0);
            svg.named(&format!("{n} of {} embedders", system.rows.len()), |svg| {
                svg.circle("member", at, (most * (n as f64 / embedders).sqrt()).max(1.5));
            });
        }
        let of_base = by_embedder.get(base.embedder.as_str());
        if let Some((Some(x), Some(y))) = of_base.map(|(document, answer)| (document.value(), answer.value()))
        {
            svg.diamond("base", panel.at(x, y), if columns == 3 { 5.0 } else { 3.5 });
        }
    }
    let left_out = match all - means.len() {
        0 => String::new(),
        count => format!(" {count} topics with one question are left out."),
    };
    let questions: usize = means.keys().map(|topic| questions[topic].len()).sum();
    let caption = format!(
        "E_b across, R_b upwards, each from −1 to +1, for {} topics ({questions} questions); the area of a circle is the number of \
         embedders there, the diamond is {}. A topic has too few questions for an interval of its own.{left_out}",
        means.len(),
        base.embedder
    );
    Some(Figure::new(system, "topics", "Topic by topic", caption, svg))
}
