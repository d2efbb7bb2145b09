use ragbias_core::Bias;
use ragbias_stats::{BiasConflict, Estimate, TargetStatus};

use super::super::source::System;
use super::super::words::{interval, r_squared, signed};
use super::figure::{Figure, POINT, WIDTH};
use crate::choose::{Biases, Confirmed, ControlChoice};
use crate::measured::PartResult;
use crate::svg::{Panel, Scale, Svg, number};

/// R_b against E_b.
pub(super) fn draw(system: &System, number_of_system: usize) -> Option<Figure> {
    let base = system.base();
    base.measured.rag_bias?;
    let panel = Panel {
        x: Scale::new((-1.05, 1.05), (58.0, WIDTH - 12.0)),
        y: Scale::new((-1.05, 1.05), (384.0, 14.0)),
    };
    let mut svg =
        Svg::new(WIDTH, 426.0, "R_b, the bias of the answers, against E_b, the bias of what is retrieved");
    let delta = system.delta();
    svg.rect("fair", panel.at(-1.05, -delta), panel.at(1.05, delta));
    panel.axes(
        &mut svg,
        &format!("E_b, bias of what is retrieved   (−1 {} · +1 {})", base.negative, base.positive),
        "R_b, bias of the answers",
    );
    svg.line("same", panel.at(-1.05, -1.05), panel.at(1.05, 1.05));
    svg.text("halo note end", panel.at(0.88, 0.95), "R_b = E_b");
    if let Some(line) = &system.line {
        draw_line(&mut svg, &panel, &line.conflict);
    }
    for (index, row) in system.rows.iter().enumerate().filter(|(_, row)| !row.is_base()) {
        let Some(rag) = row.measured.rag_bias else { continue };
        let (x, y) = (row.measured.embedder_bias.value(), Estimate::from(rag));
        svg.line("whisker", panel.at(x, y.low), panel.at(x, y.high));
        svg.embedder(number_of_system, index, &described(row), |svg| {
            svg.circle("member", panel.at(x, y.value), POINT);
        });
    }
    // Names are drawn last, on top of everything else.
    let mut names = Vec::new();
    for (index, row) in system.rows.iter().enumerate().filter(|(_, row)| row.is_base()) {
        let Some(rag) = row.measured.rag_bias else { continue };
        let at = panel.at(row.measured.embedder_bias.value(), rag.value());
        cross(&mut svg, &panel, "base-interval", row.measured.embedder_bias, rag);
        svg.embedder(number_of_system, index, &described(row), |svg| svg.diamond("base", at, 7.0));
        names.push((at, 1.0, "strong", row.embedder.clone()));
    }
    let turned = system.choice.as_ref().and_then(ControlChoice::turned);
    if let Some((turned, Biases { embedder_bias, rag_bias })) =
        turned.and_then(|turned| Some((turned, on(&turned.confirmed, &base.split)?)))
    {
        let at = panel.at(embedder_bias.value(), rag_bias.value());
        cross(&mut svg, &panel, "chosen-interval", *embedder_bias, *rag_bias);
        let name = format!("chosen: {} at {}", turned.control.name(), number(turned.setting));
        svg.named(&name, |svg| svg.circle("chosen", at, 6.0));
        names.push((at, -1.0, "chosen-name", format!("chosen: {}", turned.control.name())));
    }
    for ((x, y), side, class, name) in names {
        let (anchor, dx) = beside(x, side);
        svg.text(&format!("halo {class} {anchor}"), (x + dx, y + 4.0 + 14.0 * side), name);
    }
    Some(Figure::new(system, "conflict", "The answers against what is retrieved", caption(system), svg))
}

fn caption(system: &System) -> String {
    let base = system.base();
    let points = format!(
        "Each point is an embedder (n = {}) over {} questions, with the 95% interval of R_b. Did the answers lean as what is \
         retrieved does, points would lie on the dotted diagonal. Green: |R_b| < {}, as good as fair.",
        system.rows.len(),
        base.questions,
        number(system.delta())
    );
    let Some(line) = &system.line else { return points };
    let alone = base.measured.llm_bias.map(|alone| {
        let (alone, epsilon) = (interval(alone), interval(line.conflict.residual_conflict));
        format!(", the LLM alone at {alone}; the difference is ε = {epsilon}")
    });
    format!(
        "{points} Line: least squares, with its 95% band. Where what is retrieved is balanced, E_b = 0, the answers are at \
         {}{}.",
        interval(line.conflict.intercept),
        alone.unwrap_or_default()
    )
}

/// The description of a point.
fn described(row: &PartResult) -> String {
    let rag = row.measured.rag_bias.map(|bias| format!(", R {}", interval(bias))).unwrap_or_default();
    format!("{}: E {}{rag}", row.embedder, signed(row.measured.embedder_bias.value()))
}

fn draw_line(svg: &mut Svg, panel: &Panel, line: &BiasConflict) {
    let y = |value: f64| panel.y.at(panel.y.within(value));
    if !line.band.is_empty() {
        let upper = line.band.iter().map(|point| (panel.x.at(point.embedder_bias), y(point.rag_bias.high)));
        let lower =
            line.band.iter().rev().map(|point| (panel.x.at(point.embedder_bias), y(point.rag_bias.low)));
        svg.polygon("band", upper.chain(lower));
    }
    let (from, to) = match (line.band.first(), line.band.last()) {
        (Some(first), Some(last)) => (first.embedder_bias, last.embedder_bias),
        _ => (-1.0, 1.0),
    };
    let (s, intercept) = (line.sensitivity.value, line.intercept.value);
    // Clipped to the panel.
    let cut = |x: f64| {
        let value = intercept + s * x;
        let at = panel.y.within(value);
        if at == value { panel.at(x, value) } else { panel.at((at - intercept) / s, at) }
    };
    svg.line("fit", cut(from), cut(to));
    let sign = if s < 0.0 { "−" } else { "+" };
    let equation = format!("R_b = {} {sign} {:.2}·E_b", signed(intercept).trim_start_matches('+'), s.abs());
    svg.text("halo strong", (66.0, 30.0), equation);
    svg.text(
        "halo note",
        (66.0, 46.0),
        format!("s = {}, R² {}", interval(line.sensitivity), r_squared(line)),
    );
    let target = line.target;
    if let (Some(value), TargetStatus::Ok) = (target.value, target.status) {
        svg.line("target", panel.at(value, -1.05), panel.at(value, 0.0));
        if let (Some(low), Some(high)) = (target.low, target.high) {
            let ends = (panel.x.within(low), panel.x.within(high));
            svg.named(&format!("target, 95% from {} to {}", signed(low), signed(high)), |svg| {
                svg.line("target-interval", panel.at(ends.0, -1.05), panel.at(ends.1, -1.05));
            });
        }
        let (class, dx) = beside(panel.x.at(value), 1.0);
        svg.text(
            &format!("halo target-name {class}"),
            (panel.x.at(value) + dx, panel.y.at(-0.95)),
            format!("target E_b* = {}", signed(value)),
        );
    }
}

/// A system on one part of the questions.
fn on<'c>(confirmed: &'c Confirmed, split: &str) -> Option<&'c Biases> {
    match split {
        "validation" => Some(&confirmed.validation),
        "test" | "held-out" | "all" => Some(&confirmed.test),
        _ => None,
    }
}

/// The two intervals of a point.
fn cross(svg: &mut Svg, panel: &Panel, class: &str, x: Bias, y: Bias) {
    let (x, y) = (Estimate::from(x), Estimate::from(y));
    svg.line(class, panel.at(x.low, y.value), panel.at(x.high, y.value));
    svg.line(class, panel.at(x.value, y.low), panel.at(x.value, y.high));
}

/// The class and the offset of a label to the right (1) or left (−1) of a point, on the other side if there is no room.
fn beside(x: f64, side: f64) -> (&'static str, f64) {
    let right = if side > 0.0 { x < WIDTH - 130.0 } else { x < 150.0 };
    if right { ("start", 8.0) } else { ("end", -8.0) }
}
