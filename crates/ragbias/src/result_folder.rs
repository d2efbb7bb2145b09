use std::path::Path;

use ragbias_data::Staging;

use crate::{Error, Result};

/// Writes the files of a result into a folder, all of them or none; those of an earlier one are replaced.
///
/// # Errors
/// A folder that holds anything else, or cannot be written. `kind` is what the result is called, with its article.
pub(crate) fn replace_files(folder: &Path, kind: &str, files: &[(&str, String)]) -> Result<()> {
    if let Some(other) = other_than(folder, files)? {
        let reason = format!("holds `{other}`, expected an empty folder or one of {kind}");
        return Err(Error::Run { path: folder.into(), reason });
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let staging = Staging::within(parent.unwrap_or(Path::new(".")))?;
    for (name, text) in files {
        ragbias_data::write_file(&staging.path().join(name), text)?;
    }
    Ok(staging.replace(folder)?)
}

/// The name of a file in a folder that is none of these.
fn other_than(folder: &Path, files: &[(&str, String)]) -> Result<Option<String>> {
    if !folder.exists() {
        return Ok(None);
    }
    for entry in fs_err::read_dir(folder)? {
        let found = entry?.file_name().to_string_lossy().into_owned();
        if !files.iter().any(|(name, _)| *name == found) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
