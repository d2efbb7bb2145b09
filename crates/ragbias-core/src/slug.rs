//! Names as parts of file names.

use crate::ContentHasher;

/// Maximum length, in bytes, of a name that is kept unchanged.
const KEPT: usize = 80;

/// Maximum length, in bytes, of the part of a name before its hash.
const SHORTENED: usize = 48;

/// Separates a shortened name from its hash, and never occurs in an unchanged name, so that no two names have the same slug.
const MARK: &str = "--";

/// Names that Windows reserves for devices, with any extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A name as the name of a file or folder, or a part of one. A slug stays in its folder, is short enough, and
/// differs from the slugs of other names.
///
/// A name of up to 80 ASCII letters, digits, `-`, `_` and `.` is its own slug, unless it begins with a dot or a hyphen, ends
/// with a dot, contains `--` or names a device. The slug of any other name is its permitted characters, followed by `--` and ten
/// digits of its hash: at most 60 bytes. Capitals are kept, so two names that differ only in case share a slug on a
/// case-insensitive file system.
///
/// ```
/// use ragbias_core::slug;
///
/// assert_eq!(slug("smollm2-135m"), "smollm2-135m");
/// assert!(slug("meta-llama/Llama 3\u{c}").starts_with("meta-llama-Llama-3--"));
/// assert!(slug("../../etc/passwd").starts_with("etc-passwd--"));
/// ```
pub fn slug(name: &str) -> String {
    slug_of(&[name])
}

/// The slug of several names, separated by `-`.
///
/// A hash is added if any name but the second contains a `-`, so that the boundaries between names are
/// unambiguous: `a-b, c` has another slug than `a, b-c`.
pub fn slug_of(names: &[&str]) -> String {
    let name = names.join("-");
    let divided = names.iter().enumerate().all(|(place, name)| place == 1 || !name.contains('-'));
    if is_plain(&name) && (names.len() == 1 || divided) {
        return name;
    }
    let hasher = names.iter().fold(ContentHasher::new("slug/1"), ContentHasher::field);
    let mut kept = String::new();
    for character in name.chars() {
        let character = if is_kept(character) { character } else { '-' };
        // Hyphens and dots are not repeated, and occur only between other characters.
        if is_inner(character) && (kept.is_empty() || kept.ends_with(is_inner)) {
            continue;
        }
        if kept.len() == SHORTENED {
            break;
        }
        kept.push(character);
    }
    format!("{}{MARK}{}", kept.trim_end_matches(is_inner), &hasher.finish().to_string()[..10])
}

fn is_plain(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    (1..=KEPT).contains(&name.len())
        && name.chars().all(is_kept)
        && !name.starts_with(is_inner)
        && !name.ends_with('.')
        && !name.contains(MARK)
        && !DEVICES.contains(&stem.as_str())
        && !(numbered("com") || numbered("lpt"))
}

fn is_kept(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

fn is_inner(character: char) -> bool {
    matches!(character, '-' | '.')
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_name_is_its_own_slug() {
        for name in
            ["gender", "smollm2-135m", "qwen2.5-0.5b", "My_Model.v2", "a", "female-head-lr0.001-e400-s0"]
        {
            assert_eq!(slug(name), name);
        }
    }

    #[test]
    fn names_that_would_leave_their_folder_or_mean_something_else_there_do_not() {
        for name in [
            "", ".", "..", "../x", "/etc", "a/b", "a\\b", "nul", "COM1.txt", "-rf", "x.", "a\u{c}b", "é",
            "a--b",
        ] {
            let slug = slug(name);
            assert!(is_single(&slug) && slug.contains(MARK), "{name:?}: {slug}");
        }
        assert!(slug(&"x".repeat(5000)).len() <= 60);
    }

    #[test]
    fn where_a_name_ends_counts() {
        assert_eq!(slug_of(&["gender", "smollm2-135m", "merge"]), "gender-smollm2-135m-merge");
        assert_ne!(slug_of(&["a-b", "c", "d"]), slug_of(&["a", "b-c", "d"]));
        assert_ne!(slug_of(&["a", "b", "c-d"]), slug_of(&["a", "b-c", "d"]));
        // A name equal to another name's slug gets a different slug.
        assert_ne!(slug(&slug("a/b")), slug("a/b"));
    }

    fn is_single(slug: &str) -> bool {
        let mut components = Path::new(slug).components();
        matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
    }

    proptest! {
        #[test]
        fn every_name_has_a_short_slug_of_its_own(
            names in prop::array::uniform3(any::<String>()),
            others in prop::array::uniform3("[a-c./-]{0,3}"),
            more in prop::array::uniform3("[a-c./-]{0,3}"),
        ) {
            let slug_of = |names: &[String; 3]| slug_of(&names.each_ref().map(String::as_str));
            let slug = slug_of(&names);
            prop_assert!(is_single(&slug) && slug.len() <= KEPT && slug.chars().all(is_kept), "{}", slug);
            prop_assert_eq!(slug_of(&others) == slug_of(&more), others == more);
        }
    }
}
