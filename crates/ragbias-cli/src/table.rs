//! Measurements as a table for people.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use ragbias::Measured;
use ragbias::core::Bias;

/// One row per part of the system: value, interval, rates.
pub(crate) fn biases(axis: &str, negative: &str, positive: &str, measured: &Measured) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "bias", "95% interval", negative, positive, "both", "neither", "n", "unscored"]);
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
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
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
