use std::io::Write;
use std::path::Path;

/// Writes a file by way of a temporary one beside it and a rename: after an error, or a full disk, there is either
/// the old file or the new one, never half of it.
///
/// # Errors
/// Failures of the file system, with the file's name.
pub fn write_file(path: &Path, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs_err::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are for their owner alone; this one becomes an ordinary file, with the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let write = || {
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes.as_ref())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| named(path, error))
}

fn named(path: &Path, error: std::io::Error) -> std::io::Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let hint = match error.kind() {
        FileTooLarge | QuotaExceeded | StorageFull => {
            "\nhint: make room, or write elsewhere; nothing was left behind"
        }
        _ => "",
    };
    std::io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/table.csv");
        write_file(&path, "old").unwrap();
        write_file(&path, "newer").unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "newer");
        // A folder cannot be replaced by a file: the rename fails, when everything is written.
        let occupied = folder.path().join("new");
        let error = write_file(&occupied, "x").unwrap_err().to_string();
        assert!(error.contains("new: "), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "newer");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
