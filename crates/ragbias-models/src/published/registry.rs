use serde::Deserialize;

use super::entry::Entries;
use super::set::PublishedSet;
use crate::rules::Refusal;
use crate::{Error, Result};

/// The registry of published data sets: `corpora/published.toml`, compiled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Entries")]
pub struct PublishedSets {
    sets: Vec<PublishedSet>,
}

impl TryFrom<Entries> for PublishedSets {
    type Error = Refusal;

    fn try_from(entries: Entries) -> Result<Self, Refusal> {
        Ok(Self { sets: entries.sets()? })
    }
}

impl PublishedSets {
    /// The registry compiled into this version.
    ///
    /// # Errors
    /// [`Error::Sets`] if `corpora/published.toml` is malformed, which a test excludes.
    pub fn builtin() -> Result<Self> {
        Self::read(include_str!("../../../../corpora/published.toml"))
    }

    pub(super) fn read(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(Error::Sets)
    }

    /// All sets, in the order of the file.
    pub fn sets(&self) -> &[PublishedSet] {
        &self.sets
    }

    /// The set of this name.
    ///
    /// # Errors
    /// [`Error::UnknownSet`] with the known names.
    pub fn get(&self, name: &str) -> Result<&PublishedSet> {
        self.sets.iter().find(|set| set.name == name).ok_or_else(|| Error::UnknownSet {
            name: name.into(),
            known: self.sets.iter().map(|set| set.name.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::set::SetLayout;
    use super::*;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn refusal(change: impl Fn(&str) -> String) -> String {
        let right = format!(
            "[[set]]\nname = \"s\"\nabout = \"\"\nlayout = \"tables\"\nlicence = \"\"\ncitation = \"\"\ngithub = \"o/r\"\n\
             commit = \"{}\"\nfiles = [{{ path = \"a.csv\", from = \"d/a b.csv\", bytes = 1, sha256 = \"{SUM}\" }}]\n",
            &SUM[..40]
        );
        assert_eq!(PublishedSets::read(&right).unwrap().sets().len(), 1);
        let changed = change(&right);
        assert_ne!(changed, right);
        match PublishedSets::read(&changed).unwrap_err() {
            Error::Sets(error) => error.to_string(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_published_sets_are_found_by_name_and_their_tables_too() {
        let sets = PublishedSets::builtin().unwrap();
        let set = sets.get("genderbias-qa").unwrap();
        assert_eq!(
            (set.layout, set.axis.as_deref(), set.is_known()),
            (SetLayout::Tables, Some("gender"), true)
        );
        let tables: Vec<_> = set.tables().map(|(name, _)| name).collect();
        assert_eq!(tables, ["genderbias-qa/train", "genderbias-qa/test"]);
        assert!(!sets.get("scifact").unwrap().is_known());
        let error = sets.get("genderbias").unwrap_err().to_string();
        assert!(error.contains("genderbias-qa, politicbias-qa, grepbiasir"), "{error}");
    }

    #[test]
    fn entries_that_could_lead_elsewhere_or_say_too_little_are_refused_by_name() {
        for (old, new, expected) in [
            ("a.csv", "../a.csv", "file `../a.csv`: expected names between `/`"),
            ("d/a b.csv", "../x", "`../x`"),
            ("o/r", "o/r/x", "expected `owner/name`, received `o/r/x`"),
            ("bytes = 1", "bytes = 0", "expected `bytes` of at least 1, received 0"),
            ("commit = ", "comit = ", "unknown field `comit`"),
            ("\"tables\"", "\"table\"", "unknown variant `table`"),
            (SUM, "x", "expected a `sha256` of 64 hexadecimal digits"),
        ] {
            let error = refusal(|text| text.replace(old, new));
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let error = refusal(|text| format!("{text}\n{text}"));
        assert!(error.contains("name `s`: received twice"), "{error}");
        let error = refusal(|text| {
            text.lines().filter(|line| !line.starts_with("github")).collect::<Vec<_>>().join("\n")
        });
        assert!(error.contains("expected either `github` and `commit`, or `archive`"), "{error}");
        let error = refusal(|text| text.replace("{ path", "{ path = \"a.csv\", from = \"b\" }, { path"));
        assert!(error.contains("file `a.csv`: received twice"), "{error}");
        let error = refusal(|text| {
            let rest = text.replace("github = \"o/r\"\n", "");
            let without =
                rest.lines().filter(|line| !line.starts_with("commit")).collect::<Vec<_>>().join("\n");
            format!("{without}\n[set.archive]\naddress = \"ftp://h/a.zip\"\n")
        });
        assert!(error.contains("expected an address that begins with https://"), "{error}");
    }
}
