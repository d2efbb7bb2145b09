//! Receives files: no more bytes than the registry states, and none that differ from the registry's.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use ragbias_core::Progress;

use sha2::{Digest, Sha256};

use crate::registry::{Archive, ModelFile, Package};
use ragbias_files::sha256;

/// Timeout between two bytes of a download.
pub(crate) const LONGEST_STALL: Duration = Duration::from_mins(1);

/// The expected size and hash of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: u64,
    /// `None` if unknown.
    pub(crate) sha256: Option<&'a str>,
}

impl ModelFile {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.path, bytes: self.bytes, sha256: Some(&self.sha256) }
    }
}

impl Package {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.requirement, bytes: self.bytes, sha256: Some(&self.sha256) }
    }
}

impl Archive {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.name, bytes: self.bytes, sha256: Some(&self.sha256) }
    }
}

/// Why a file was not received.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A file was received, but it is the wrong one.
    Wrong(String),
    /// It could not be received.
    Failed(String),
}

impl Fault {
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Wrong(reason) | Self::Failed(reason) => reason,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Wanted<'_> {
    /// [`Fault::Wrong`] for another size.
    pub(crate) fn check_size(&self, received: u64) -> Result<(), Fault> {
        if received == self.bytes {
            return Ok(());
        }
        Err(Fault::Wrong(format!("{}: expected {} bytes, received {received}", self.name, self.bytes)))
    }

    /// No byte was received before the timeout.
    fn stalled(&self, there: u64) -> Fault {
        Fault::Failed(format!(
            "{}: no byte came for {} s, after {there} of {}\nhint: try again; it goes on from there",
            self.name,
            LONGEST_STALL.as_secs(),
            self.bytes
        ))
    }

    pub(crate) fn too_long(&self) -> Fault {
        Fault::Wrong(format!("{}: expected {} bytes, received more", self.name, self.bytes))
    }

    /// Checks that the file exists and is the expected one.
    ///
    /// # Errors
    /// [`Fault::Wrong`] with the difference; [`Fault::Failed`] if it cannot be read, or does not exist.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Fault> {
        self.check_size(fs_err::metadata(path)?.len())?;
        if self.sha256.is_some() { self.check_sum(&sha256(path)?) } else { Ok(()) }
    }

    /// [`Fault::Wrong`] for another SHA-256.
    fn check_sum(&self, received: &str) -> Result<(), Fault> {
        match self.sha256 {
            Some(expected) if expected != received => Err(Fault::Wrong(format!(
                "{}: expected the SHA-256 {expected}, received {received}",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    /// Copies the rest of the file; the first byte too many is an error and is not written.
    ///
    /// `there` bytes have been written already.
    pub(crate) fn copy(
        &self,
        from: &mut dyn Read,
        to: &mut dyn Write,
        there: u64,
        advance: &mut dyn FnMut(u64),
    ) -> Result<u64, Fault> {
        let (mut there, mut buffer) = (there, vec![0; 1 << 16]);
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(there),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => return Err(self.stalled(there)),
                Err(error) => return Err(Fault::Failed(format!("{}: {error}", self.name))),
            };
            if there + read as u64 > self.bytes {
                return Err(self.too_long());
            }
            to.write_all(&buffer[..read])?;
            there += read as u64;
            advance(read as u64);
        }
    }
}

impl Wanted<'_> {
    /// Writes a file and verifies it. A wrong file is removed, for it must not be mistaken for the right one later.
    pub(crate) fn write(&self, target: &Path, from: &mut dyn Read) -> Result<(), Fault> {
        let written = (|| {
            if let Some(folder) = target.parent() {
                fs_err::create_dir_all(folder)?;
            }
            let mut out = fs_err::File::create(target)?;
            self.copy(from, &mut out, 0, &mut |_| {})?;
            out.flush()?;
            out.sync_all()?;
            self.check(target)
        })();
        if written.is_err() {
            let _ = fs_err::remove_file(target);
        }
        written
    }
}

/// A reader of something wanted, which it checks while it is read. A byte too many is an error.
pub(crate) struct Checked<'a, R> {
    wanted: Wanted<'a>,
    from: R,
    there: u64,
    sum: Sha256,
}

impl<'a, R: Read> Checked<'a, R> {
    pub(crate) fn new(wanted: Wanted<'a>, from: R) -> Self {
        Self { wanted, from, there: 0, sum: Sha256::new() }
    }

    /// Reads the rest, and checks size and hash of the whole.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        let rest = io::copy(&mut self, &mut io::sink());
        if self.there > self.wanted.bytes {
            return Err(self.wanted.too_long());
        }
        rest?;
        self.wanted.check_size(self.there)?;
        self.wanted.check_sum(&format!("{:x}", self.sum.finalize()))
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.there += read as u64;
        if self.there > self.wanted.bytes {
            return Err(io::Error::other(self.wanted.too_long().into_reason()));
        }
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}

/// Whether a read timed out.
fn is_timeout(error: &io::Error) -> bool {
    let by_client = |error: &ureq::Error| matches!(error, ureq::Error::Timeout(_));
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    error.kind() == io::ErrorKind::TimedOut || inner.is_some_and(by_client)
}

/// Fetches a file; a wrong one is discarded with `forget`, and fetched once more.
pub(crate) fn once_more(
    progress: &dyn Progress,
    fetch: impl Fn() -> Result<(), Fault>,
    forget: impl Fn() -> io::Result<()>,
) -> Result<(), String> {
    let first = match fetch() {
        Ok(()) => return Ok(()),
        Err(Fault::Failed(reason)) => return Err(reason),
        Err(Fault::Wrong(reason)) => reason,
    };
    forget().map_err(|error| error.to_string())?;
    progress.note(&format!("{first}; fetching it again"));
    match fetch() {
        Ok(()) => Ok(()),
        Err(Fault::Failed(reason)) => Err(reason),
        Err(Fault::Wrong(reason)) => {
            forget().map_err(|error| error.to_string())?;
            Err(format!("{reason} (twice)"))
        }
    }
}

pub(crate) fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_byte_more_than_is_wanted_is_written() {
        let wanted = Wanted { name: "f", bytes: 100_000, sha256: None };
        let copy = |there: u64| {
            let (mut out, mut counted) = (Vec::new(), 0);
            let copied = wanted.copy(&mut io::repeat(7), &mut out, there, &mut |bytes| counted += bytes);
            assert!(
                matches!(copied, Err(Fault::Wrong(reason)) if reason.contains("100000 bytes, received more"))
            );
            assert_eq!(out.len() as u64, counted);
            there + counted
        };
        assert!(copy(0) <= 100_000 && copy(99_999) <= 100_000);
        let (mut out, mut exact) = (Vec::new(), io::repeat(7).take(100_000));
        assert_eq!(wanted.copy(&mut exact, &mut out, 0, &mut |_| {}).unwrap(), 100_000);
    }

    #[test]
    fn what_is_read_in_pieces_is_checked_as_a_whole() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let finish = |bytes: u64, sum: &str, text: &str| {
            let wanted = Wanted { name: "f", bytes, sha256: Some(sum) };
            let mut reader = Checked::new(wanted, text.as_bytes());
            // What comes of reading a part does not matter to the whole.
            let _ = reader.read(&mut [0; 2]);
            reader.finish().map_err(Fault::into_reason)
        };
        finish(3, abc, "abc").unwrap();
        assert_eq!(finish(4, abc, "abc").unwrap_err(), "f: expected 4 bytes, received 3");
        assert_eq!(finish(2, abc, "abc").unwrap_err(), "f: expected 2 bytes, received more");
        assert_eq!(finish(1, abc, "abc").unwrap_err(), "f: expected 1 bytes, received more");
        assert!(
            finish(3, abc, "abd")
                .unwrap_err()
                .starts_with(&format!("f: expected the SHA-256 {abc}, received "))
        );
    }
}
