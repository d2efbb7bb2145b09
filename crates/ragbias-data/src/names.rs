//! Similarity of field and column names.

/// How similar two names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Equal apart from case, spaces, `_`, `-` and a plural `s`: almost certainly the same name.
    Spelling,
    /// One letter inserted, removed or changed, or two swapped: possibly a misspelling.
    Typo,
    /// Neither.
    None,
}

/// The similarity of `name` to the different name `known`.
pub(crate) fn likeness(name: &str, known: &str) -> Likeness {
    let (a, b) = (plain(name), plain(known));
    if a.strip_suffix('s').unwrap_or(&a) == b.strip_suffix('s').unwrap_or(&b) {
        Likeness::Spelling
    } else if a.len().min(b.len()) >= 4 && a.chars().next() == b.chars().next() && one_apart(&a, &b) {
        Likeness::Typo
    } else {
        Likeness::None
    }
}

/// A column's name in lower case, without surrounding spaces.
pub(crate) fn column_name(name: &str) -> String {
    name.trim().to_lowercase()
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether inserting, removing or changing a letter, or swapping two adjacent ones, turns one into the other.
fn one_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let (a, b) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    match b.len() - a.len() {
        0 => {
            let exchanged = a.get(same + 1).is_some()
                && a[same] == b[same + 1]
                && a[same + 1] == b[same]
                && a[same + 2..] == b[same + 2..];
            same < a.len() && (a[same + 1..] == b[same + 1..] || exchanged)
        }
        1 => a[same..] == b[same + 1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_letters_and_suspected_where_one_differs() {
        for name in ["Lean", " lean", "LEAN", "leans", "le_an"] {
            assert_eq!(likeness(name, "lean"), Likeness::Spelling, "{name}");
        }
        assert_eq!(likeness("choice", "choices"), Likeness::Spelling);
        for (name, known) in
            [("titel", "title"), ("metdata", "metadata"), ("topicx", "topic"), ("tiple", "title")]
        {
            assert_eq!(likeness(name, known), Likeness::Typo, "{name}");
        }
        for (name, known) in [("clean", "lean"), ("url", "text"), ("subtitle", "title"), ("next", "text")] {
            assert_eq!(likeness(name, known), Likeness::None, "{name}");
        }
    }
}
