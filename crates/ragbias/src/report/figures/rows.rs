use ragbias_core::{Bias, slug};
use ragbias_stats::Estimate;

use super::super::source::System;
use super::super::words::{interval, left_out, p_value, signed};
use super::figure::{Figure, WIDTH};
use crate::choose::Reached;
use crate::svg::{Scale, Svg, number};

const ROW: f64 = 44.0;
const TOP: f64 = 22.0;

/// The horizontal range of the bias scale.
fn biases() -> Scale {
    Scale::new((-1.0, 1.0), (152.0, 316.0))
}

/// A bias scale below rows, with its grid.
fn scale(svg: &mut Svg, scale: Scale, bottom: f64, ticks: &[f64]) {
    for &tick in ticks {
        let x = scale.at(tick);
        svg.line(if tick == 0.0 { "zero" } else { "grid" }, (x, TOP), (x, bottom));
        svg.text("tick middle", (x, bottom + 14.0), number(tick));
    }
}

fn name(svg: &mut Svg, y: f64, strong: &str, note: &str) {
    svg.text("strong", (0.0, y - 2.0), strong);
    svg.text("note", (0.0, y + 13.0), note);
}

/// The biases of the components of the base system.
pub(super) fn components(system: &System) -> Figure {
    let row = system.base();
    let measured = &row.measured;
    let parts: Vec<(&str, Bias)> = [
        measured.llm_bias.map(|bias| ("L_b  LLM alone", bias)),
        Some(("C_b  corpus", measured.corpus_bias)),
        Some(("C_b  near questions", measured.neighbourhood_bias)),
        Some(("E_b  retrieved", measured.embedder_bias)),
        measured.rag_bias.map(|bias| ("R_b  answers", bias)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let bottom = TOP + ROW * parts.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 34.0, format!("The biases of the parts of {}", row.embedder));
    let x = biases();
    scale(&mut svg, x, bottom, &[-1.0, 0.0, 1.0]);
    svg.text("note middle", (x.at(0.0), 12.0), "bias with 95% interval");
    svg.text("negative middle", (x.at(-1.0), bottom + 28.0), &row.negative);
    svg.text("positive middle", (x.at(1.0), bottom + 28.0), &row.positive);
    let rates = Scale::new((0.0, 1.0), (340.0, WIDTH - 4.0));
    svg.text("note middle", (rates.at(0.5), 12.0), "share of what was scored");
    for (index, (symbol, bias)) in parts.into_iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        name(&mut svg, y, symbol, &interval(bias));
        let Estimate { value, low, high } = bias.into();
        let pole = if value < 0.0 { "negative bar" } else { "positive bar" };
        svg.rect(pole, (x.at(0.0), y - 8.0), (x.at(value), y + 8.0));
        svg.line("base-interval", (x.at(low), y), (x.at(high), y));
        svg.circle("base", (x.at(value), y), 4.0);
        let shares = bias.rates();
        let named = [
            ("negative", shares.negative, row.negative.as_str()),
            ("both", shares.both, "both"),
            ("neither", shares.neither, "neither"),
            ("positive", shares.positive, row.positive.as_str()),
        ];
        let mut from = 0.0;
        for (class, share, what) in named.into_iter().filter(|(_, share, _)| *share > 0.0) {
            svg.named(&format!("{what}: {:.0}% of {}", 100.0 * share, bias.n()), |svg| {
                svg.rect(class, (rates.at(from), y - 6.0), (rates.at(from + share), y + 6.0));
            });
            from += share;
        }
        let mut counted = vec![format!("n = {}", bias.n())];
        counted.extend(Some(left_out(bias)).filter(|left_out| !left_out.is_empty()));
        svg.text("small middle", (rates.at(0.5), y + 18.0), counted.join(", "));
    }
    let neither = if measured.rag_bias.is_some() { " Grey and violet: neither pole, and both." } else { "" };
    let order = measured.position_bias.map(|nats| {
        format!(
            " Each choice is asked in both orders, so that the preference for the claim shown first ({} nats) cancels.{}",
            signed(nats),
            measured.coverage.map_or_else(String::new, |coverage| format!(
                " The LLM would answer with one of the two letters with a probability of {:.2} on average, {:.2} at least.",
                coverage.mean, coverage.least
            ))
        )
    });
    let caption = format!(
        "{}: mean lean from −1 ({}) to +1 ({}), intervals over topics.{neither}{}",
        row.embedder,
        row.negative,
        row.positive,
        order.unwrap_or_default()
    );
    Figure::new(system, "components", "Where the bias comes from", caption, svg)
}

/// The controls compared with the base, on test topics; drawn once, in the system with the test topics.
pub(super) fn choice(system: &System) -> Option<Figure> {
    let choice = system.choice.as_ref().filter(|choice| !choice.controls.is_empty())?;
    let base = system.base();
    let mut rows = vec![("as it is".to_owned(), &choice.base, None, false)];
    rows.extend(choice.controls.iter().map(|turned| {
        let name = format!("{} at {}", turned.control.name(), number(turned.setting));
        (name, &turned.confirmed, turned.ndcg10_p, Some(turned.control) == choice.chosen)
    }));
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 34.0, "R_b and nDCG@10 with each control");
    let (x, delta) = (biases(), choice.delta);
    svg.rect("fair", (x.at(-delta), TOP), (x.at(delta), bottom));
    scale(&mut svg, x, bottom, &[-1.0, 0.0, 1.0]);
    svg.text("note middle", (x.at(0.0), 12.0), "R_b with 95% interval");
    svg.text("negative middle", (x.at(-1.0), bottom + 28.0), &base.negative);
    svg.text("positive middle", (x.at(1.0), bottom + 28.0), &base.positive);
    let utility = Scale::new((0.0, 1.0), (348.0, WIDTH - 8.0));
    if choice.base.ndcg10.is_some() {
        svg.text("note middle", (utility.at(0.5), 12.0), "utility, nDCG@10");
        for tick in [0.0, 0.5, 1.0] {
            svg.line("grid", (utility.at(tick), TOP), (utility.at(tick), bottom));
            svg.text("tick middle", (utility.at(tick), bottom + 14.0), number(tick));
        }
    }
    for (index, (title, confirmed, p, chosen)) in rows.into_iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        name(&mut svg, y, &title, &interval(confirmed.test.rag_bias));
        let (dot, whisker) = if chosen { ("chosen", "chosen-interval") } else { ("base", "base-interval") };
        let parts = [
            (&confirmed.test, -5.0, dot, whisker),
            (&confirmed.validation, 6.0, "hollow", "hollow-interval"),
        ];
        for (biases, dy, dot, whisker) in parts {
            let Estimate { value, low, high } = biases.rag_bias.into();
            svg.line(whisker, (x.at(low), y + dy), (x.at(high), y + dy));
            svg.circle(dot, (x.at(value), y + dy), if dy < 0.0 { 4.5 } else { 3.2 });
        }
        if let Some(ndcg10) = confirmed.ndcg10 {
            svg.line("hollow-interval", (utility.at(0.0), y), (utility.at(ndcg10), y));
            svg.circle(dot, (utility.at(ndcg10), y), 4.0);
            let p = p.map(|p| format!(", {}", p_value(p))).unwrap_or_default();
            svg.text("small middle", (utility.at(0.5), y + 16.0), format!("{ndcg10:.3}{p}"));
        }
    }
    let reached: Vec<&str> = choice
        .controls
        .iter()
        .filter(|turned| turned.reached == Reached::Nearest)
        .map(|turned| turned.control.name())
        .collect();
    let short = if reached.is_empty() {
        String::new()
    } else {
        format!(
            " R_b does not change its sign within reach of {}: the nearest setting is shown.",
            reached.join(" and ")
        )
    };
    let n = choice.base.test.embedder_bias.n();
    let questions = match choice.folds {
        Some(folds) => format!(
            "Filled: the {n} questions, each at the setting that was found without its fold, one of {folds} folds of topics. Hollow: the \
             setting found on all of them, on the same questions."
        ),
        None => format!(
            "Filled: the {n} questions of test topics, which played no part in choosing. Hollow: validation topics, on which the settings \
             were found."
        ),
    };
    let caption = format!(
        "{questions} Utility: nDCG@10 on the family's utility set; p: \
         paired randomisation test against the system as it is.{short}"
    );
    Some(Figure::new(system, "choice", "Ways to turn the embedder", caption, svg))
}

/// Sensitivities with their intervals.
pub(super) fn sensitivities(axis: &str, systems: &[&System]) -> Option<Figure> {
    let lines: Vec<_> = systems.iter().filter_map(|system| Some((system, system.line.as_ref()?))).collect();
    if lines.len() < 2 {
        return None;
    }
    let bottom = TOP + ROW * lines.len() as f64;
    let low = lines.iter().map(|(_, line)| line.conflict.sensitivity.low).fold(-0.1, f64::min);
    let high = lines.iter().map(|(_, line)| line.conflict.sensitivity.high).fold(1.1, f64::max);
    let x = Scale::new((low, high), (170.0, WIDTH - 14.0));
    let mut svg = Svg::new(WIDTH, bottom + 38.0, "Sensitivity of each LLM");
    scale(&mut svg, x, bottom, &x.ticks());
    svg.text(
        "axis middle",
        (x.at(f64::midpoint(low, high)), bottom + 32.0),
        "s, change of R_b for each change of E_b by 1",
    );
    for (index, (system, line)) in lines.iter().enumerate() {
        let (y, row) = (TOP + ROW * (index as f64 + 0.5), system.base());
        name(
            &mut svg,
            y,
            row.llm.as_deref().unwrap_or_default(),
            &format!("{}: {}", row.split, interval(line.conflict.sensitivity)),
        );
        let Estimate { value, low, high } = line.conflict.sensitivity;
        svg.line("base-interval", (x.at(low), y), (x.at(high), y));
        svg.circle("base", (x.at(value), y), 5.0);
    }
    Some(Figure {
        id: format!("{}-sensitivities", slug(axis)),
        title: "How much the answers follow the embedder".into(),
        caption: "s = 0: the LLM ignores what is retrieved. s = 1: its answers move as far as the documents do. 95% \
                  intervals, by a bootstrap over topics and embedders together."
            .into(),
        svg,
    })
}
