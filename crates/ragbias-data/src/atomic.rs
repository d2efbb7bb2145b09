use std::io::Write;
use std::path::Path;

/// Writes a file by way of a temporary one beside it and a rename: after an error, or a full disk, there is either
/// the old file or the new one, never half of it.
///
/// # Errors
/// Whatever `write` returns, and failures of the file system.
pub fn write_atomically<E: From<std::io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), E>,
) -> Result<(), E> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs_err::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are for their owner alone; this one becomes an ordinary file, with the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|error| named(path, error))?;
    write(file.as_file_mut())?;
    file.flush().and_then(|()| file.as_file().sync_all()).map_err(|error| named(path, error))?;
    file.persist(path).map_err(|error| named(path, error.error))?;
    Ok(())
}

fn named(path: &Path, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err(std::io::Error::other("no space left on device"))
        });
        assert!(failed.is_err());
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
