//! Where edited documents end, with the embedder that the author searched with and with others.

use super::chunks::Over;
use super::collection::Collection;
use super::edited::{Edited, in_turn};
use super::edits::Edit;
use crate::methods::topic_mean;
use crate::report::{Finding, Report, Table};

/// Rows of a table of examples.
const EXAMPLES: usize = 12;

/// Adds what was found of edited documents. `embedders` are the names of those of the ranks.
pub(super) fn find(
    edited: &[Edited],
    collection: &Collection,
    embedders: &[&str],
    ranks: &[usize],
    seed: u64,
    report: &mut Report,
) {
    for edit in Edit::ALL {
        let of: Vec<&Edited> = edited.iter().filter(|one| one.edit == edit).collect();
        if of.is_empty() {
            continue;
        }
        let mut push = |what: String, meaning: &str, reached: &dyn Fn(&Edited) -> Option<bool>| {
            let reached = of.iter().filter_map(|one| Some((one.topic.as_str(), f64::from(reached(one)?))));
            let (estimate, n) = topic_mean(reached, seed);
            report.findings.push(Finding::new(what, estimate, n, "topics", meaning));
        };
        let meaning = format!("one edited document, from any of the starting ranks {ranks:?}");
        push(format!("share that reaches rank 1 with {}", edit.name()), &meaning, &|one| {
            Some(one.ranks[0] == 1)
        });
        for (place, over) in Over::BOTH.into_iter().enumerate() {
            if of.iter().any(|one| one.over_chunks.is_some()) {
                let what = format!("share that reaches rank 1 with {}, by {}", edit.name(), over.name());
                push(what, "documents are embedded in chunks, the edited one too", &|one| {
                    Some(one.over_chunks?[place] == 1)
                });
            }
        }
        for (place, unseen) in embedders.iter().enumerate().skip(1) {
            let what = format!("share that reaches rank 1 with {}, by {unseen}", edit.name());
            let meaning = "transfer to an embedder that the author did not search with";
            push(what, meaning, &|one| Some(one.ranks[place] == 1));
            let what = format!("of these, share that {unseen} ranks first too, with {}", edit.name());
            push(what, "of those that reach rank 1 by the author's embedder", &|one| {
                (one.ranks[0] == 1).then(|| one.ranks[place] == 1)
            });
        }
    }
    report.tables.push(table(edited, embedders, ranks));
    for edit in [Edit::Paraphrase, Edit::Swapped] {
        report.tables.extend(examples(edit, edited, collection, embedders));
    }
}

/// Some of what an edit puts before documents, spread over questions; none without any.
fn examples(edit: Edit, edited: &[Edited], collection: &Collection, embedders: &[&str]) -> Option<Table> {
    let of: Vec<&Edited> = in_turn(edited).into_iter().filter(|one| one.edit == edit).collect();
    let ranks = embedders.iter().map(|name| format!("rank, {name}"));
    let columns: Vec<String> =
        ["question", "words", "from rank"].map(str::to_owned).into_iter().chain(ranks).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(&format!("Some of {}", edit.name()), &columns);
    for one in of.iter().step_by(of.len().div_ceil(EXAMPLES).max(1)) {
        let words = one.text.strip_suffix(&collection.text(one.place)).unwrap_or(&one.text).trim_end();
        let question = collection.questions[one.row].text.clone();
        let ranks = one.ranks.iter().map(usize::to_string);
        table.push([question, words.into(), one.start.to_string()].into_iter().chain(ranks));
    }
    (!of.is_empty()).then_some(table)
}

fn table(edited: &[Edited], embedders: &[&str], starts: &[usize]) -> Table {
    let mut columns = vec!["edit".to_owned(), "from rank".into(), "documents".into()];
    for name in embedders {
        columns.extend([format!("first, {name}"), format!("in ten, {name}"), format!("median rank, {name}")]);
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new("Where edited documents end", &columns);
    for edit in Edit::ALL {
        for &start in starts {
            let of: Vec<&Edited> =
                edited.iter().filter(|one| one.edit == edit && one.start == start).collect();
            if of.is_empty() {
                continue;
            }
            let mut row = vec![edit.name().to_owned(), start.to_string(), of.len().to_string()];
            for place in 0..embedders.len() {
                let mut ranks: Vec<usize> = of.iter().map(|one| one.ranks[place]).collect();
                ranks.sort_unstable();
                let within = |most: usize| ranks.iter().filter(|rank| **rank <= most).count() as f64;
                let share = |count: f64| format!("{:.0}%", 100.0 * count / ranks.len() as f64);
                row.extend([share(within(1)), share(within(10)), ranks[ranks.len() / 2].to_string()]);
            }
            table.push(row);
        }
    }
    table
}
