//! Checks whether the files of a model or a data set are the expected ones, without reading them every time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_files::{Stamp, sha256, write_file};

use crate::FileCheck;

/// Checksums by file, and the state of the file they belong to.
type Known = BTreeMap<String, (Stamp, String)>;

/// The checksums computed for the files of a folder, stored beside it.
///
/// The checksum of a file that is unknown or has changed is computed again; a damaged record is ignored.
/// The record saves work only if it has exactly the expected checksum.
pub(crate) struct Verified {
    path: PathBuf,
}

impl Verified {
    pub(crate) fn of(root: &Path, name: &str) -> Self {
        Self { path: root.join(format!(".{name}.verified.json")) }
    }

    /// The files, each a path within the folder and its SHA-256, that differ from that.
    pub(crate) fn wrong(&self, files: &[(&str, &str)], folder: &Path) -> std::io::Result<Vec<FileCheck>> {
        let known = self.read();
        let (mut now, mut wrong) = (Known::new(), Vec::new());
        for &(file, sha256) in files {
            let path = folder.join(file);
            let stamp = fs_err::metadata(&path).ok().and_then(|metadata| Stamp::of(&metadata));
            match (stamp, known.get(file)) {
                (Some(stamp), Some((read, sum))) if stamp == *read && sum == sha256 => {
                    now.insert(file.to_owned(), (stamp, sum.clone()));
                }
                (stamp, _) => {
                    let check = check(file, sha256, folder)?;
                    if !check.is_right() {
                        wrong.push(check);
                    } else if let Some(stamp) = stamp {
                        now.insert(file.to_owned(), (stamp, sha256.to_owned()));
                    }
                }
            }
        }
        if now != known {
            self.write(&now);
        }
        Ok(wrong)
    }

    fn read(&self) -> Known {
        let text = fs_err::read(&self.path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    // If the record cannot be stored, the checksums are computed again the next time.
    fn write(&self, known: &Known) {
        let _ = serde_json::to_vec(known).map(|json| write_file(&self.path, json));
    }
}

/// Reads a file completely.
pub(crate) fn check(file: &str, expected: &str, folder: &Path) -> std::io::Result<FileCheck> {
    let received = match sha256(&folder.join(file)) {
        Ok(sum) => Some(sum),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(FileCheck { file: file.to_owned(), expected: expected.to_owned(), received })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ragbias_files::sha256_of;

    #[test]
    fn a_file_is_read_again_when_it_was_written_to_and_only_then() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("m");
        fs_err::create_dir_all(folder.join("a")).unwrap();
        let path = folder.join("a/weights");
        fs_err::write(&path, "abc").unwrap();
        let abc = sha256_of(b"abc");
        let files = [("a/weights", abc.as_str())];
        let verified = Verified::of(root.path(), "m");
        assert_eq!(verified.wrong(&files, &folder).unwrap(), []);
        let kept = fs_err::read_to_string(&verified.path).unwrap();
        assert!(kept.contains(&abc), "{kept}");
        assert_eq!(verified.wrong(&files, &folder).unwrap(), []);

        // The same size, and the old time restored: the inode's own time differs.
        let time = fs_err::metadata(&path).unwrap().modified().unwrap();
        fs_err::write(&path, "abd").unwrap();
        fs_err::OpenOptions::new().write(true).open(&path).unwrap().file().set_modified(time).unwrap();
        let wrong = verified.wrong(&files, &folder).unwrap();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].received.as_deref(), Some(sha256_of(b"abd").as_str()));
        assert!(!fs_err::read_to_string(&verified.path).unwrap().contains("weights"));

        fs_err::remove_file(&path).unwrap();
        assert_eq!(verified.wrong(&files, &folder).unwrap()[0].received, None);
    }

    #[test]
    fn a_wrong_record_is_ignored() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("a")).unwrap();
        fs_err::write(root.path().join("a/weights"), "abd").unwrap();
        let (abc, stamp) = (sha256_of(b"abc"), fs_err::metadata(root.path().join("a/weights")).unwrap());
        let files = [("a/weights", abc.as_str())];
        let verified = Verified::of(root.path(), "m");
        let entry =
            |sum: &str| Known::from([("a/weights".to_owned(), (Stamp::of(&stamp).unwrap(), sum.to_owned()))]);
        for memory in [
            serde_json::to_string(&entry(&sha256_of(b"abd"))).unwrap(),
            "{\"a/weights\":".into(),
            "\u{0}".into(),
            "[1]".into(),
        ] {
            fs_err::write(&verified.path, &memory).unwrap();
            assert_eq!(verified.wrong(&files, root.path()).unwrap().len(), 1, "{memory}");
        }
    }
}
