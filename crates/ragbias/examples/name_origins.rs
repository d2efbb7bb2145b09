//! Names by origin: how many of them the gender lexicon reads, and how many passages `ragbias twins` exchanges. The tables of
//! `docs/scorers.md` and `docs/twins.md`.
//!
//! ```text
//! cargo run --release -p ragbias --example name_origins
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use ragbias::core::Lean;
use ragbias::score::{DrawKey, Lexicon, Naming};

/// A family name that is nobody's first name, and not a word.
const FAMILY: &str = "Achterberg";

/// What became of the names of one gender of an origin.
#[derive(Default)]
struct Read {
    right: usize,
    unread: Vec<String>,
    wrong: Vec<String>,
    exchanged: usize,
    kept: Vec<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lexicon = Lexicon::bundled("gender")?;
    let counterparts = lexicon.counterparts()?;
    println!(
        "| origin | women: right, not, wrong | exchanged | men: right, not, wrong | exchanged | not read | read wrongly |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut all = [0; 5];
    for origin in counterparts.origins() {
        let mut cells = Vec::new();
        let (mut unread, mut wrong) = (Vec::new(), Vec::new());
        for (names, lean) in [(&origin.female, Lean::Positive), (&origin.male, Lean::Negative)] {
            let mut read = Read::default();
            for name in names {
                match lexicon.explain(&format!("{name} {FAMILY}")).verdict.lean() {
                    Some(scored) if scored == lean => read.right += 1,
                    Some(_) => read.wrong.push(name.clone()),
                    None => read.unread.push(name.clone()),
                }
                let (he, his) = if lean == Lean::Positive { ("she", "her") } else { ("he", "his") };
                let text = format!("{name} {FAMILY} studies rivers. In May {he} won a prize for {his} maps.");
                let key = DrawKey { seed: 0, passage: name };
                match counterparts.read(&text).and_then(|passage| passage.twins(key, 1, Naming::Drawn)) {
                    Ok(_) => read.exchanged += 1,
                    Err(left_out) => read.kept.push(format!("{name} ({})", left_out.reason)),
                }
            }
            let counts = [read.right, read.unread.len(), read.wrong.len()];
            cells.push(format!("{}, {}, {} | {}", counts[0], counts[1], counts[2], read.exchanged));
            for (total, count) in
                all.iter_mut().zip([counts[0], counts[1], counts[2], read.exchanged, names.len()])
            {
                *total += count;
            }
            unread.extend(read.unread);
            wrong.extend(read.wrong);
            for kept in read.kept {
                eprintln(&origin.name, &kept);
            }
        }
        println!(
            "| {} | {} | {} | {} |",
            origin.name,
            cells.join(" | "),
            unread.join(", "),
            wrong.join(", ")
        );
    }
    let [right, unread, wrong, exchanged, n] = all;
    println!(
        "\nof {n} names: {right} read right, {unread} not read, {wrong} read wrongly, {exchanged} exchanged"
    );
    Ok(())
}

/// A name that is not exchanged.
#[expect(clippy::print_stderr, reason = "beside the tables")]
fn eprintln(origin: &str, kept: &str) {
    eprintln!("{origin}: {kept}");
}
