use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ragbias_core::ContentId;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Longest line of a log, in bytes.
const LONGEST: u64 = 64 << 20;

/// How far a growing file was read, and the hash of all before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    bytes: u64,
    pub(super) lines: usize,
    content: ContentId,
}

impl Default for Place {
    fn default() -> Self {
        Self { bytes: 0, lines: 0, content: ContentId::of(&[]) }
    }
}

/// The lines of a file after a place.
pub(super) struct After<'p> {
    path: &'p Path,
    file: BufReader<fs_err::File>,
    bytes: u64,
    lines: usize,
}

impl Place {
    /// The lines after it.
    ///
    /// # Errors
    /// A file that differs from what was read before.
    pub(super) fn open(self, path: &Path) -> Result<After<'_>> {
        let mut file = fs_err::File::open(path)?;
        let length = file.metadata()?.len();
        let changed = |what: String| {
            let hint = "a log only grows; without `state FILE`, or with a new one, all of it is read again";
            let reason = format!(
                "the first {} bytes ({} lines) were read before, {what}\nhint: {hint}",
                self.bytes, self.lines
            );
            Err(Error::Answers { place: path.display().to_string(), reason })
        };
        if length < self.bytes {
            return changed(format!("received a file of {length} bytes"));
        }
        let content = ContentId::read((&mut file).take(self.bytes))?;
        if content != self.content {
            return changed(format!(
                "expected the hash {}, received {}",
                self.content.short(),
                content.short()
            ));
        }
        file.seek(SeekFrom::Start(self.bytes))?;
        Ok(After { path, file: BufReader::new(file), bytes: self.bytes, lines: self.lines })
    }
}

impl After<'_> {
    /// The next line without its end, its place, and whether it has an end; none at the end of the file. The last line may still be being written.
    pub(super) fn next(&mut self) -> Result<Option<(String, String, bool)>> {
        let mut line = Vec::new();
        let read = (&mut self.file).take(LONGEST + 1).read_until(b'\n', &mut line)? as u64;
        let place = format!("{}:{}", self.path.display(), self.lines + 1);
        if read == 0 {
            return Ok(None);
        }
        let refused = |reason: String| Err(Error::Answers { place: place.clone(), reason });
        if read > LONGEST {
            return refused(format!("expected a line of up to {} MiB", LONGEST >> 20));
        }
        let ended = line.ends_with(b"\n");
        match String::from_utf8(line) {
            Ok(text) => Ok(Some((text, place, ended))),
            // A character may be half written.
            Err(_) if !ended => Ok(Some((String::new(), place, ended))),
            Err(error) => refused(format!("expected UTF-8: {error}")),
        }
    }

    /// Bytes up to the end of the file as it is now.
    pub(super) fn left(&self) -> Result<u64> {
        Ok(self.file.get_ref().metadata()?.len().saturating_sub(self.bytes))
    }

    /// Counts a line as read.
    pub(super) fn read(&mut self, bytes: usize, ended: bool) {
        self.bytes += bytes as u64;
        self.lines += usize::from(ended);
    }

    /// The place after all that was read.
    pub(super) fn place(self) -> Result<Place> {
        let file = fs_err::File::open(self.path)?;
        let content = ContentId::read(file.take(self.bytes))?;
        Ok(Place { bytes: self.bytes, lines: self.lines, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, from: Place) -> (Vec<String>, Place) {
        let (mut after, mut lines) = (from.open(path).unwrap(), Vec::new());
        while let Some((line, place, ended)) = after.next().unwrap() {
            after.read(line.len(), ended);
            lines.push(format!("{} {}", place.rsplit(':').next().unwrap(), line.trim_end()));
        }
        (lines, after.place().unwrap())
    }

    #[test]
    fn a_log_goes_on_where_it_was_left_and_is_refused_where_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        fs_err::write(&path, "a\nb\n").unwrap();
        let (lines, place) = read(&path, Place::default());
        assert_eq!((lines, place.lines), (vec!["1 a".into(), "2 b".into()], 2));
        fs_err::write(&path, "a\nb\nc\nd").unwrap();
        let (lines, place) = read(&path, place);
        assert_eq!((lines, place.lines), (vec!["3 c".into(), "4 d".into()], 3), "the fourth has no end yet");
        assert_eq!(read(&path, place), (vec![], place));
        fs_err::write(&path, "a\nB\nc\nd").unwrap();
        let changed = |error: Error| error.to_string();
        let said = changed(place.open(&path).err().unwrap());
        assert!(said.contains("7 bytes (3 lines)") && said.contains("expected the hash"), "{said}");
        fs_err::write(&path, "a\n").unwrap();
        assert!(changed(place.open(&path).err().unwrap()).contains("a file of 2 bytes"));
    }
}
