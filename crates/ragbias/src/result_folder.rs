use std::path::Path;

use ragbias_data::Staging;

use crate::{Error, Result};

/// Writes the files of a result into a folder, all of them or none; those of an earlier one are replaced.
///
/// # Errors
/// A folder that holds anything else, or cannot be written. `kind` is what the result is called, with its article.
pub(crate) fn replace_files(folder: &Path, kind: &str, files: &[(&str, String)]) -> Result<()> {
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    check_folder(folder, kind, &names)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let staging = Staging::within(parent.unwrap_or(Path::new(".")))?;
    for (name, text) in files {
        let written = ragbias_data::write_file(&staging.path().join(name), text);
        written.map_err(|error| of_folder(folder, &error))?;
    }
    Ok(staging.replace(folder)?)
}

/// An error of a staged file, with the folder that it was to be in.
pub(crate) fn of_folder(folder: &Path, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
}

/// Refuses a folder that these files cannot replace, for a look before the work.
///
/// # Errors
/// A folder that holds anything else than files of these names, or a file in its place.
pub(crate) fn check_folder(folder: &Path, kind: &str, names: &[&str]) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(folder)? {
        let found = entry?.file_name().to_string_lossy().into_owned();
        if !names.contains(&found.as_str()) {
            let reason = format!("holds `{found}`, expected an empty folder or one of {kind}");
            return Err(Error::Run { path: folder.into(), reason });
        }
    }
    Ok(())
}
