use std::path::Path;

use ragbias_core::Axis;

use crate::{Error, Result};

/// Axes bundled with ragbias: `corpora/axes/*.toml`, compiled in.
const BUNDLED: [(&str, &str); 8] = [
    ("gender", include_str!("../../../corpora/axes/gender.toml")),
    ("politics", include_str!("../../../corpora/axes/politics.toml")),
    ("religion", include_str!("../../../corpora/axes/religion.toml")),
    ("nationality", include_str!("../../../corpora/axes/nationality.toml")),
    ("age", include_str!("../../../corpora/axes/age.toml")),
    ("brevity", include_str!("../../../corpora/axes/brevity.toml")),
    ("position", include_str!("../../../corpora/axes/position.toml")),
    ("wording", include_str!("../../../corpora/axes/wording.toml")),
];

/// The names of the bundled axes.
pub fn axis_names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|(name, _)| *name)
}

/// A bundled axis by name, or one from a TOML file.
///
/// # Errors
/// [`Error::Unknown`] with the bundled names, [`Error::Toml`] with the line, or an inconsistent axis.
pub fn load_axis(name_or_path: &str) -> Result<Axis> {
    let path = Path::new(name_or_path);
    let text = match BUNDLED.iter().find(|(name, _)| *name == name_or_path) {
        Some((_, text)) => (*text).to_owned(),
        None if path.is_file() => crate::read_text(path)?,
        None => {
            let known = axis_names().map(str::to_owned).collect();
            return Err(Error::Unknown { what: "axis", name: name_or_path.into(), known });
        }
    };
    let axis: Axis = toml::from_str(&text)
        .map_err(|source| Error::Toml { path: path.into(), source: Box::new(source) })?;
    Ok(axis.checked()?)
}

/// Refuses labels for the axis of this name if another axis is requested. A custom axis with the same poles as the
/// bundled one is accepted.
pub(crate) fn check_labels(path: &Path, labelled: &str, asked: &Axis) -> Result<()> {
    let poles = |axis: &Axis| format!("{} to {}", axis.negative.name, axis.positive.name);
    let bundled = axis_names().any(|name| name == labelled).then(|| load_axis(labelled)).transpose()?;
    let (fits, labels) = match &bundled {
        Some(own) => (poles(own) == poles(asked), format!("from {}", poles(own))),
        None => (labelled == asked.name, format!("of the axis `{labelled}`")),
    };
    if fits {
        return Ok(());
    }
    Err(Error::OtherAxis { path: path.into(), labels, axis: asked.name.clone(), poles: poles(asked) })
}

#[cfg(test)]
mod tests {
    use ragbias_core::Answering;

    use super::*;

    #[test]
    fn the_bundled_axes_have_the_published_orientation() {
        let gender = load_axis("gender").unwrap();
        assert_eq!((gender.negative.name.as_str(), gender.positive.name.as_str()), ("male", "female"));
        assert_eq!(gender.answering, Answering::Name);
        let politics = load_axis("politics").unwrap();
        assert_eq!((politics.negative.name.as_str(), politics.positive.name.as_str()), ("left", "right"));
    }

    #[test]
    fn an_unknown_axis_is_answered_with_the_bundled_ones() {
        let error = load_axis("height").unwrap_err().to_string();
        assert!(error.starts_with("`height` is neither a bundled axis nor a file"), "{error}");
        assert!(error.contains("gender, politics"), "{error}");
    }

    #[test]
    fn a_misspelt_key_of_an_axis_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("age.toml");
        fs_err::write(&path, "name = \"age\"\nanswerring = \"name\"\n").unwrap();
        let error = ragbias_core::message(&load_axis(path.to_str().unwrap()).unwrap_err());
        assert!(error.contains("answerring"), "{error}");
    }
}
