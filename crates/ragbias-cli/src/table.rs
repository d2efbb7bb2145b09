//! Formats measurements as tables.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use ragbias::audit::Audit;
use ragbias::core::{Axis, Bias, Counts, Rates};
use ragbias::data::{Member, shown};
use ragbias::stats::{Equivalence, Estimate, RankSensitivities, Resampled, Surface, TargetStatus};
use ragbias::{
    AnswerBias, AnswerMode, ByRank, Comparison, Confirmed, ControlChoice, ControlResult, Coverage, Debiased,
    Evaluation, Fits, LlmFit, Measured, PartResult, RankFit, Reached, RetrievalMetrics,
    SensitivityComparison, SurfaceFit, SystemTest, TwinPreference, TwinsOf, VerdictPlan, until_decided,
};

/// One row per component: value, interval, rates.
pub(crate) fn biases(axis: &str, negative: &str, positive: &str, measured: &Measured, delta: f64) -> String {
    let mut table = with_header(&bias_header(negative, positive));
    let whole = |bias: Bias| Some((bias.counts(), Some(bias)));
    let llm = measured.counts(AnswerBias::LlmBias).map(|counts| (counts, measured.llm_bias));
    let rag = measured.counts(AnswerBias::RagBias).map(|counts| (counts, measured.rag_bias));
    let twins = measured.twin_preference.and_then(|preference| whole(preference.bias));
    let rows = [
        ("L_b  LLM, no context", llm),
        ("C_b  corpus", whole(measured.corpus_bias)),
        ("     20 nearest", whole(measured.neighbourhood_bias)),
        ("E_b  embedder", whole(measured.embedder_bias)),
        ("     twin preference", twins),
        ("R_b  RAG", rag),
    ];
    let mut partly = false;
    for (name, (counts, bias)) in rows.into_iter().filter_map(|(name, row)| Some((name, row?))) {
        partly |= counts.scored() < counts.asked();
        table.add_row(bias_row(name, &counts, bias.as_ref()));
    }
    let axis = format!("{axis}: −1 is {negative}, +1 is {positive}");
    let mut lines = vec![verdict_first(measured, delta), axis, arranged(table)];
    lines.extend(warned(&measured.warnings()));
    if partly {
        lines.push(PARTLY.into());
    }
    lines.extend(measured.by_rank.as_ref().map(|by_rank| exposure(negative, positive, by_rank)));
    if let Some(ndcg) = measured.ndcg10 {
        lines.push(format!("nDCG@10 {ndcg:.3}"));
    }
    if let Some(TwinPreference { twins_of, draws, .. }) = measured.twin_preference {
        let of: String = match twins_of {
            TwinsOf::Relevant => "twin preference: which twin of a question's own passage the embedder ranks first".into(),
            TwinsOf::Nearest => {
                "twin preference: which twin of the nearest passage the embedder ranks first, as there are no judgements".into()
            }
        };
        lines.push(if draws > 1 {
            format!("{of}; each passage has {draws} draws of names, and n counts each")
        } else {
            of
        });
    }
    let pair = measured.answers == Some(AnswerMode::Pair);
    if let Some(bias) = measured.position_bias {
        let unit = if pair {
            "nats per token towards the name in the document shown first, where both twins are shown"
        } else {
            "nats towards the claim shown first"
        };
        lines.push(format!("position bias {bias:+.2} {unit}; both orders are asked, so it cancels"));
    }
    if let Some(Coverage { mean, .. }) = measured.coverage.filter(|_| pair) {
        lines.push(format!(
            "answers are the likelier one of two names; the probability that the LLM answers with either is {mean:.2} on average, with \
             and without context"
        ));
    } else if let Some(Coverage { mean, least }) = measured.coverage {
        let doubt = if mean < 0.5 {
            "; so low, the odds of A and B say little of what it would have said"
        } else {
            ""
        };
        lines.push(format!(
            "coverage {mean:.2}, at least {least:.2}: the probability that the LLM answers with A or B at all{doubt}"
        ));
    }
    lines.join("\n")
}

/// The systems of a run, each tested for a bias; nothing for fewer than two.
pub(crate) fn tests(tests: &[SystemTest]) -> Option<String> {
    if tests.is_empty() {
        return None;
    }
    let mut table =
        with_header(&["is there a bias?", "embedder", "LLM", "bias", "95% interval", "p", "Holm"]);
    for test in tests {
        table.add_row([
            shown(&test.axis).to_string(),
            shown(&test.embedder).to_string(),
            shown(test.llm.as_deref().unwrap_or("no LLM: E_b")).to_string(),
            format!("{:+.2}", test.bias.value()),
            format!("[{:+.2}, {:+.2}]", test.bias.low(), test.bias.high()),
            format!("{:.4}", test.p),
            format!("{:.4}", test.p_holm),
        ]);
    }
    let head = format!(
        "{} tests of one run; p adjusted by Holm's method so that any false finding stays rare",
        tests.len()
    );
    Some([head, arranged(table)].join("\n"))
}

/// E_b by rank, and how ranks share attention between the poles.
fn exposure(negative: &str, positive: &str, by_rank: &ByRank) -> String {
    let mut table = with_header(&bias_header(negative, positive));
    for (rank, bias) in (1..).zip(&by_rank.embedder_bias) {
        if let Some(bias) = bias {
            table.add_row(bias_row(&format!("E_b at rank {rank}"), &bias.counts(), Some(bias)));
        }
    }
    let of = &by_rank.exposure;
    let [bias, bias_interval] = cells(of.bias);
    let Estimate { value, low, high } = of.divergence;
    format!(
        "{}\nexposure, discount {}: {negative} {:.3}, {positive} {:.3}, difference {bias} {bias_interval}\nNDKL {value:.3} \
         [{low:.3}, {high:.3}] from the shares of the corpus, in nats; {:.3} if documents were drawn at random",
        arranged(table),
        of.discount,
        of.negative,
        of.positive,
        of.divergence_by_chance
    )
}

/// Said below a table of biases, where some texts have no score.
const PARTLY: &str =
    "unscored, refused and cut are shares of all; bias and the other shares are of the n that were scored";

/// The columns of a table of biases.
fn bias_header<'a>(negative: &'a str, positive: &'a str) -> [&'a str; 11] {
    ["", "bias", "95% interval", negative, positive, "both", "neither", "n", "unscored", "refused", "cut"]
}

/// A bias and its rates; without a bias, the counts of the texts, none of which is scored.
fn bias_row(name: &str, counts: &Counts, bias: Option<&Bias>) -> [String; 11] {
    let rates = bias.map(Bias::rates);
    let scored = |of: fn(&Rates) -> f64| rates.as_ref().map_or_else(String::new, |rates| percent(of(rates)));
    let silent = |count: usize| percent(count as f64 / counts.asked() as f64);
    [
        name.into(),
        bias.map_or_else(|| "none".into(), |bias| format!("{:+.2}", bias.value())),
        bias.map_or_else(String::new, |bias| format!("[{:+.2}, {:+.2}]", bias.low(), bias.high())),
        scored(|rates| rates.negative),
        scored(|rates| rates.positive),
        scored(|rates| rates.both),
        scored(|rates| rates.neither),
        rests_on(counts),
        silent(counts.unscored),
        silent(counts.refused),
        silent(counts.cut),
    ]
}

/// One row per bias of an audit.
pub(crate) fn audit(axis: &Axis, audit: &Audit) -> String {
    let mut table = with_header(&bias_header(&axis.negative.name, &axis.positive.name));
    let rows = [
        ("R_b  system", audit.rag_bias),
        ("E_b  documents", audit.embedder_bias),
        ("L_b  closed book", audit.llm_bias),
    ];
    for (name, bias) in rows.into_iter().filter_map(|(name, bias)| Some((name, bias?))) {
        table.add_row(bias_row(name, &bias.counts(), Some(&bias)));
    }
    [arranged(table), PARTLY.into()].join("\n")
}

/// The verdict, and the bias that it is on.
fn verdict_first(measured: &Measured, delta: f64) -> String {
    let word = verdict(measured.verdict(delta));
    let of = match (measured.rag_bias, measured.without_rag_bias()) {
        (Some(bias), _) => format!("R_b {bias}"),
        (None, Some(_)) => "there is no R_b, as no answer could be scored".into(),
        (None, None) => format!("E_b {}, without an LLM", measured.embedder_bias),
    };
    format!("{word} at δ = {delta}: {of}")
}

/// A line for each warning.
fn warned(warnings: &[String]) -> impl Iterator<Item = String> {
    warnings.iter().map(|warning| format!("warning: {warning}"))
}

fn percent(rate: f64) -> String {
    format!("{:.0}%", 100.0 * rate)
}

/// `8`, or `5 of 8` if some are not scored.
fn rests_on(counts: &Counts) -> String {
    let (n, asked) = (counts.scored(), counts.asked());
    if n == asked { n.to_string() } else { format!("{n} of {asked}") }
}

/// One row per control: its setting, and the system before and after on test topics.
pub(crate) fn choice(choice: &ControlChoice) -> String {
    let [found, embedder, rag] = match choice.folds {
        Some(_) => ["R_b at it", "E_b by folds", "R_b by folds"],
        None => ["validation R_b", "test E_b", "test R_b"],
    };
    let mut table =
        with_header(&["control", "setting", found, embedder, rag, "95% interval", "n", "", "nDCG@10"]);
    let mut row = |name: String, setting: String, confirmed: &Confirmed, p: Option<f64>| {
        let (rag, ndcg) = (confirmed.test.rag_bias, confirmed.ndcg10);
        let p = p.map_or_else(String::new, |p| format!(" (p {p:.2})"));
        table.add_row([
            name,
            setting,
            format!("{:+.2}", confirmed.validation.rag_bias.value()),
            format!("{:+.2}", confirmed.test.embedder_bias.value()),
            format!("{:+.2}", rag.value()),
            format!("[{:+.2}, {:+.2}]", rag.low(), rag.high()),
            rests_on(&rag.counts()),
            verdict(confirmed.verdict).into(),
            ndcg.map_or_else(String::new, |ndcg| format!("{ndcg:.3}{p}")),
        ]);
    };
    row("none".into(), String::new(), &choice.base, None);
    for turned in &choice.controls {
        let reached = if turned.reached == Reached::Zero { "" } else { ", 0 out of reach" };
        let setting = format!("{:.3}{reached}", turned.setting);
        row(turned.control.name().into(), setting, &turned.confirmed, turned.ndcg10_p);
    }
    let head = format!("{} with {}: which setting makes R_b = 0?", choice.axis, choice.llm);
    let last = match (&choice.chosen, &choice.reason) {
        (Some(chosen), _) => {
            let turned = choice.controls.iter().find(|turned| turned.control == *chosen);
            let path = turned.map_or_else(String::new, |turned| turned.path.display().to_string());
            let on = choice.folds.map_or("validation topics".to_owned(), |folds| {
                format!("all topics, judged at the settings found without each of {folds} folds")
            });
            format!("chosen on {on}: {}, {path}", chosen.name())
        }
        (None, Some(reason)) => format!("none: {reason}"),
        (None, None) => "none: no control could be turned".into(),
    };
    let systems = (choice.controls.iter()).map(|turned| (turned.control.name(), &turned.confirmed));
    let undecided = [("none", &choice.base)].into_iter().chain(systems).filter_map(|(name, confirmed)| {
        let further = until_decided(&confirmed.test.rag_bias, confirmed.verdict, choice.delta);
        (!further.is_empty()).then(|| format!("undecided, {name}: {further}"))
    });
    let mut lines = vec![head, arranged(table)];
    lines.extend(undecided);
    lines.extend(choice.controls.iter().filter_map(folds));
    lines.push(last);
    lines.extend(warned(&choice.warnings()));
    lines.join("\n")
}

/// The settings of the folds, for a control that was cross-fitted.
fn folds(turned: &ControlResult) -> Option<String> {
    let settings: Vec<String> = turned.folds.iter().map(|fold| format!("{:.3}", fold.setting)).collect();
    (!settings.is_empty())
        .then(|| format!("settings without each fold, {}: {}", turned.control.name(), settings.join(", ")))
}

/// The samples that verdicts take.
pub(crate) fn plan(of: &VerdictPlan) -> String {
    let mut table =
        with_header(&["true R_b", "verdict", "half-width", "scored", "questions", "topics", "answers"]);
    for size in [Some(of.fair), of.nearly_fair, of.biased].into_iter().flatten() {
        table.add_row([
            format!("{:+.2}", size.bias),
            verdict(size.verdict).into(),
            format!("{:.3}", size.half_width),
            size.scored.to_string(),
            size.questions.to_string(),
            size.topics.to_string(),
            size.answers.to_string(),
        ]);
    }
    let answering = of.plan.answering();
    let head = match &of.pilot {
        Some(pilot) => format!(
            "{} with {}, {} on {} ({}): R_b {:+.2}, {} of {} answers scored, {} topics",
            pilot.axis,
            pilot.llm,
            pilot.embedder,
            pilot.corpus,
            pilot.split,
            pilot.rag_bias,
            pilot.n,
            pilot.asked,
            pilot.topics
        ),
        None => "assumed rates".into(),
    };
    let how = format!(
        "{:.0}% of scored answers lean; {:.1} scored questions per topic with an intraclass correlation of {:.3}: design effect {:.2}",
        100.0 * answering.leaning,
        answering.per_topic,
        answering.intraclass,
        answering.design_effect()
    );
    let for_what = format!("for |R_b| < {} with a power of {}", of.plan.delta(), of.plan.power());
    [shown(&head).to_string(), how, for_what, arranged(table)].join("\n")
}

fn verdict(verdict: Equivalence) -> &'static str {
    match verdict {
        Equivalence::Debiased => "debiased",
        Equivalence::Biased => "biased",
        Equivalence::Undecided => "undecided",
    }
}

/// One row per member of a family, the base first.
pub(crate) fn family(members: &[Member]) -> String {
    let mut table = with_header(&["member", "E_b", "95% interval", "nDCG@10", "last loss", "training"]);
    for member in members {
        table.add_row([
            shown(&member.member).to_string(),
            format!("{:+.2}", member.embedder_bias),
            format!("[{:+.2}, {:+.2}]", member.embedder_bias_low, member.embedder_bias_high),
            member.ndcg10.map_or_else(String::new, |ndcg| format!("{ndcg:.3}")),
            member.losses.last().map_or_else(String::new, |loss| format!("{loss:.3}")),
            if member.losses.is_empty() { String::new() } else { format!("{:.1} s", member.seconds) },
        ]);
    }
    arranged(table)
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
            shown(&result.embedder).to_string(),
            shown(result.llm.as_deref().unwrap_or_default()).to_string(),
            value(Some(embedder)),
            interval(Some(embedder)),
            value(rag),
            interval(rag),
            rests_on(&result.measured.counts(AnswerBias::RagBias).unwrap_or(embedder.counts())),
        ]);
    }
    let warnings = results.iter().flat_map(|result| warned(&result.warnings()).collect::<Vec<_>>());
    std::iter::once(arranged(table)).chain(warnings).collect::<Vec<_>>().join("\n")
}

/// One row per embedder, and for two embedders their difference and its p value.
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
        table.add_row([shown(name).to_string()].into_iter().chain(cells));
    };
    for (name, mean) in embedders {
        row(name, mean, |value| format!("{value:.4}"));
    }
    if let Some(Comparison { difference, p }) = comparison {
        row("difference", difference, |value| format!("{value:+.4}"));
        row("p", p, |value| if value < 0.0001 { "<0.0001".into() } else { format!("{value:.4}") });
    }
    format!("{} questions, {} documents\n{}", evaluation.queries, evaluation.documents, arranged(table))
}

/// A table per line, with its verdicts in words; then a table comparing LLMs, if there are several.
pub(crate) fn fits(fits: &Fits) -> Vec<String> {
    let mut texts: Vec<String> = fits.fits.iter().map(line).collect();
    if !fits.comparisons.is_empty() {
        let mut table = with_header(&["difference in s", "", "95% interval", "p", "Holm"]);
        for comparison in &fits.comparisons {
            let SensitivityComparison { axis, first, second, difference, p, p_holm, .. } = comparison;
            let [value, interval] = cells(*difference);
            table.add_row([
                shown(&format!("{axis}: {first} less {second}")).to_string(),
                value,
                interval,
                format!("{p:.4}"),
                format!("{p_holm:.4}"),
            ]);
        }
        texts.push(arranged(table));
    }
    texts.extend(fits.surfaces.iter().map(surface));
    texts.extend(fits.by_rank.iter().map(sensitivities));
    texts
}

fn surface(fit: &SurfaceFit) -> String {
    let Surface { n, topics, r_squared, .. } = fit.surface;
    let mut table = with_header(&["R_b = β0 + s·E_b + c·C_b + m·E_b·C_b", "", "95% interval"]);
    for (name, estimate) in [
        ("β0  R_b at E_b = C_b = 0", fit.surface.intercept),
        ("s   sensitivity to E_b", fit.surface.sensitivity),
        ("c   to C_b", fit.surface.corpus_effect),
        ("m   change of s with C_b", fit.surface.interaction),
    ] {
        let [value, interval] = cells(estimate);
        table.add_row([name.to_owned(), value, interval]);
    }
    let fits = r_squared.map_or_else(String::new, |r_squared| format!(", R² {r_squared:.2}"));
    let of = shown(&format!("{} with {}", fit.axis, fit.llm)).to_string();
    let corpora = fit.corpora.len();
    format!(
        "{of}: {n} pairs of {corpora} corpora and their embedders{fits}; intervals over {topics} topics\n{}",
        arranged(table)
    )
}

fn sensitivities(fit: &RankFit) -> String {
    let RankSensitivities { n, questions, topics, left_out, within_questions, r_squared, .. } = fit.by_rank;
    let mut table = with_header(&["R_b = a + Σ s_j·E_b,j", "", "95% interval", "variance inflation"]);
    let estimates = fit.by_rank.sensitivities.iter().zip(&fit.by_rank.variance_inflation);
    for (rank, (estimate, inflation)) in (1..).zip(estimates) {
        let [value, interval] = cells(*estimate);
        table.add_row([format!("s_{rank}"), value, interval, format!("{inflation:.1}")]);
    }
    let [value, interval] = cells(fit.by_rank.sum);
    table.add_row(["sum".to_owned(), value, interval, String::new()]);
    let within = if within_questions { ", compared within each question" } else { "" };
    let explained = r_squared.map_or_else(String::new, |r_squared| format!(", R² {r_squared:.2}"));
    let head = format!(
        "{}: how strongly {n} answers to {questions} questions follow each rank, over {} embedders and {topics} topics\
         {within}{explained}",
        shown(&fit.of.to_string()),
        fit.embedders
    );
    let mut lines = vec![head, arranged(table)];
    if left_out > 0 {
        lines.push(format!(
            "{left_out} answers without a score, or with a document without one, were left out"
        ));
    }
    lines.join("\n")
}

fn line(fit: &LlmFit) -> String {
    let conflict = &fit.conflict;
    let from = match (conflict.interval, conflict.topics.unwrap_or_default()) {
        (Resampled::TopicsAndEmbedders, topics) => format!("{topics} topics and of embedders"),
        (Resampled::Topics, topics) => format!("{topics} topics"),
        (Resampled::Embedders, _) => "embedders alone".into(),
    };
    let mut table = with_header(&["R_b = β0 + s·E_b", "", "95% interval"]);
    for (name, estimate) in [
        ("s     sensitivity", conflict.sensitivity),
        ("β0    intercept", conflict.intercept),
        ("ε     residual conflict, β0 − L_b", conflict.residual_conflict),
    ] {
        let [value, interval] = cells(estimate);
        table.add_row([name.to_owned(), value, interval]);
    }
    let (r_squared, target) = (conflict.r_squared, conflict.target);
    let plain = |value: Option<f64>| value.map_or_else(|| "none".into(), |value| format!("{value:.2}"));
    let span = |low: String, high: String| format!("[{low}, {high}]");
    let interval = r_squared.map(|_| span(plain(conflict.r_squared_low), plain(conflict.r_squared_high)));
    table.add_row(["R²".into(), plain(r_squared), interval.unwrap_or_default()]);
    let interval = target.low.or(target.high).map(|_| span(signed(target.low), signed(target.high)));
    table.add_row(["E_b*  target".into(), signed(target.value), interval.unwrap_or_default()]);
    let head = format!("{}: {} embedders; intervals from draws of {from}", fit.of, conflict.n);
    let mut lines = vec![head, arranged(table)];
    lines.extend(in_words(fit));
    lines.join("\n")
}

fn in_words(fit: &LlmFit) -> Vec<String> {
    let conflict = &fit.conflict;
    let mut lines = Vec::new();
    let (least, greatest) = fit.range();
    let reaches = |end: Option<f64>| end.is_some_and(|end| !(least..=greatest).contains(&end));
    lines.push(match conflict.target.status {
        TargetStatus::Ok if reaches(conflict.target.low) || reaches(conflict.target.high) => {
            "target: ok, it lies among the embedders that were measured; its interval reaches beyond them".into()
        }
        TargetStatus::Ok => "target: ok, it lies among the embedders that were measured".into(),
        TargetStatus::OutsideTheFamily => format!(
            "target: outside the family; E_b was measured from {least:+.2} to {greatest:+.2}, and the line may end there"
        ),
        TargetStatus::Unbounded => {
            "target: unbounded; s may be 0, so that no E_b can be said to make R_b = 0".into()
        }
    });
    let errors = &conflict.errors_in_variables;
    lines.push(match errors.reliability {
        Some(reliability) => format!(
            "attenuation: {:.0}% of the variance of E_b is not error; corrected for errors s is {} (Deming {})",
            100.0 * reliability,
            signed(errors.corrected),
            signed(errors.deming)
        ),
        None => format!(
            "attenuation: unknown without outcomes; were E_b as uncertain as R_b, s would be {} (Deming)",
            signed(errors.deming)
        ),
    });
    let linearity = &conflict.linearity;
    let bent = linearity.lack_of_fit.map_or_else(|| "none".into(), |test| format!("{:.3}", test.p));
    lines.push(format!(
        "linearity: p = {bent} against a parabola; s moves by up to {:.3} without one embedder; leverage up to {:.2}; {} \
         near ±1",
        linearity.largest_change, linearity.largest_leverage, linearity.saturated
    ));
    let plain = conflict.ols.sensitivity;
    lines.push(format!(
        "plain least squares would say s in [{:+.2}, {:+.2}]: too narrow, as embedders share questions",
        plain.low, plain.high
    ));
    if let Some(Debiased { delta, debiased, biased, undecided }) = fit.equivalence {
        lines.push(format!(
            "|R_b| < {delta}: {debiased} of the embedders debiased, {biased} biased, {undecided} undecided{}",
            fit.further_questions().map_or_else(String::new, |further| {
                format!(", for half of which {further} more questions would probably decide")
            })
        ));
    }
    lines
}

fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "none".into(), |value| format!("{value:+.2}"))
}

pub(crate) fn cells(estimate: Estimate) -> [String; 2] {
    [format!("{:+.2}", estimate.value), format!("[{:+.2}, {:+.2}]", estimate.low, estimate.high)]
}

pub(crate) fn with_header(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// A table as wide as the terminal, with numbers right-aligned; if its cells would wrap, one line per cell instead.
pub(crate) fn arranged(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let width = table.width();
    let dynamic = table.to_string();
    table.set_content_arrangement(ContentArrangement::Disabled);
    let natural = table.to_string();
    let lines = |text: &str| text.lines().count();
    match width {
        Some(_) if 2 * lines(&dynamic) > 3 * lines(&natural) => in_lines(&table),
        _ => dynamic,
    }
}

/// Each row's name, followed by its cells.
fn in_lines(table: &Table) -> String {
    let header: Vec<String> = table
        .header()
        .map(|header| header.cell_iter().map(comfy_table::Cell::content).collect())
        .unwrap_or_default();
    let mut lines = Vec::new();
    for row in table.row_iter() {
        for (place, cell) in row.cell_iter().enumerate() {
            let (name, content) = (header.get(place).map_or("", String::as_str), cell.content());
            if place == 0 {
                lines.push(content.trim().to_owned());
            } else if !content.is_empty() {
                lines.push(format!("  {name:14} {content}").trim_end().to_owned());
            }
        }
    }
    lines.join("\n")
}
