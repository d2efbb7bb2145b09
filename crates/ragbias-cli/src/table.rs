//! Measurements as tables for people.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use ragbias::core::Bias;
use ragbias::data::Member;
use ragbias::{Comparison, Evaluation, Measured, PartResult, RetrievalMetrics};

/// One row per part of the system: value, interval, rates.
pub(crate) fn biases(axis: &str, negative: &str, positive: &str, measured: &Measured) -> String {
    let mut table =
        with_header(&["", "bias", "95% interval", negative, positive, "both", "neither", "n", "unscored"]);
    let rows: [(&str, Option<&Bias>); 5] = [
        ("L_b  LLM, no context", measured.llm_bias.as_ref()),
        ("C_b  corpus", Some(&measured.corpus_bias)),
        ("     20 nearest", Some(&measured.neighbourhood_bias)),
        ("E_b  embedder", Some(&measured.embedder_bias)),
        ("R_b  RAG", measured.rag_bias.as_ref()),
    ];
    for (name, bias) in rows.into_iter().filter_map(|(name, bias)| Some((name, bias?))) {
        let rates = bias.rates();
        let percent = |rate: f64| format!("{:.0}%", 100.0 * rate);
        table.add_row([
            name.into(),
            format!("{:+.2}", bias.value()),
            format!("[{:+.2}, {:+.2}]", bias.low(), bias.high()),
            percent(rates.negative),
            percent(rates.positive),
            percent(rates.both),
            percent(rates.neither),
            bias.n().to_string(),
            bias.unscored().to_string(),
        ]);
    }
    align(&mut table);
    let mut lines = vec![format!("{axis}: −1 is {negative}, +1 is {positive}"), table.to_string()];
    if let Some(ndcg) = measured.ndcg10 {
        lines.push(format!("nDCG@10 {ndcg:.3}"));
    }
    if let Some(bias) = measured.position_bias {
        lines.push(format!(
            "position bias {bias:+.2} nats towards the claim shown first; both orders are asked, so it cancels"
        ));
    }
    lines.join("\n")
}

/// One row per member of a family, the base first.
pub(crate) fn family(members: &[Member]) -> String {
    let mut table = with_header(&["member", "E_b", "95% interval", "nDCG@10", "last loss", "training"]);
    for member in members {
        table.add_row([
            member.member.clone(),
            format!("{:+.2}", member.embedder_bias),
            format!("[{:+.2}, {:+.2}]", member.embedder_bias_low, member.embedder_bias_high),
            member.ndcg10.map_or_else(String::new, |ndcg| format!("{ndcg:.3}")),
            member.losses.last().map_or_else(String::new, |loss| format!("{loss:.3}")),
            if member.losses.is_empty() { String::new() } else { format!("{:.1} s", member.seconds) },
        ]);
    }
    align(&mut table);
    table.to_string()
}

/// One row per member of a run's families, in the order of E_b.
pub(crate) fn members(results: &[&PartResult]) -> String {
    let mut table = with_header(&["member", "LLM", "E_b", "95% interval", "R_b", "95% interval", "n"]);
    let mut ordered = results.to_vec();
    ordered.sort_by(|a, b| a.measured.embedder_bias.value().total_cmp(&b.measured.embedder_bias.value()));
    let value = |bias: Option<&Bias>| bias.map_or_else(String::new, |bias| format!("{:+.2}", bias.value()));
    let interval = |bias: Option<&Bias>| {
        bias.map_or_else(String::new, |bias| format!("[{:+.2}, {:+.2}]", bias.low(), bias.high()))
    };
    for result in ordered {
        let (embedder, rag) = (&result.measured.embedder_bias, result.measured.rag_bias.as_ref());
        table.add_row([
            result.embedder.clone(),
            result.llm.clone().unwrap_or_default(),
            value(Some(embedder)),
            interval(Some(embedder)),
            value(rag),
            interval(rag),
            embedder.n().to_string(),
        ]);
    }
    align(&mut table);
    table.to_string()
}

/// One row per embedder, and of two embedders their difference and its p value.
pub(crate) fn retrieval(
    evaluation: &Evaluation,
    embedders: &[(&str, RetrievalMetrics)],
    comparison: Option<&Comparison>,
) -> String {
    let mut table =
        with_header(&["", "nDCG@10", "recall@1", "recall@5", "recall@10", "recall@100", "MRR@10", "MAP"]);
    let mut row = |name: &str, metrics: &RetrievalMetrics, cell: fn(f64) -> String| {
        let RetrievalMetrics { ndcg10, recall1, recall5, recall10, recall100, mrr10, map } = *metrics;
        let cells = [ndcg10, recall1, recall5, recall10, recall100, mrr10, map].map(cell);
        table.add_row([name.to_owned()].into_iter().chain(cells));
    };
    for (name, mean) in embedders {
        row(name, mean, |value| format!("{value:.4}"));
    }
    if let Some(Comparison { difference, p }) = comparison {
        row("difference", difference, |value| format!("{value:+.4}"));
        row("p", p, |value| if value < 0.0001 { "<0.0001".into() } else { format!("{value:.4}") });
    }
    align(&mut table);
    format!("{} questions, {} documents\n{table}", evaluation.queries, evaluation.documents)
}

fn with_header(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// Numbers to the right.
fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
