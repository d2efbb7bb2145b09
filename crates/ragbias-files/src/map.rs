//! Files in memory, and numbers in them.
#![allow(
    unsafe_code,
    reason = "mapping a file and reading its values in place are unsafe: see the safety comments"
)]

use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::named;

/// The bytes of a file, mapped into memory to read from it.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// Failures of the file system, with the file's name.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = fs_err::File::open(path)?;
        // SAFETY: the map is read as bytes, for which any value is valid, and whoever reads checks what it finds. A file that
        // another process cuts short meanwhile ends this one with SIGBUS, as it would any other that maps it.
        let map = unsafe { Mmap::map(file.file()) };
        map.map(Self).map_err(|error| {
            named(path, std::io::Error::new(error.kind(), format!("it cannot be mapped: {error}")))
        })
    }

    /// Gives back the memory of all pages that have been read, where the system can. They can still be read.
    pub fn release(&self) {
        #[cfg(unix)]
        // SAFETY: this forgets what was written to a private map, and this one is never written to. Where it fails, pages stay.
        let _ = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The values that bytes are, in the machine's own order; none where they are not aligned, or no whole number of them.
pub fn as_floats(bytes: &[u8]) -> Option<&[f32]> {
    // SAFETY: any four bytes are an f32.
    let (before, values, after) = unsafe { bytes.align_to::<f32>() };
    (before.is_empty() && after.is_empty()).then_some(values)
}

/// The bytes of values, in the machine's own order.
pub fn as_bytes(values: &[f32]) -> &[u8] {
    // SAFETY: every f32 is four bytes without gaps.
    let (before, bytes, after) = unsafe { values.align_to::<u8>() };
    assert!(before.is_empty() && after.is_empty(), "bytes are always aligned; this is a bug");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_holds_its_bytes_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.bin");
        let values = [1.5_f32, -2.0, f32::MIN_POSITIVE];
        crate::write_file(&path, as_bytes(&values)).unwrap();
        let map = MappedFile::open(&path).unwrap();
        assert_eq!(as_floats(&map), Some(&values[..]));
        assert_eq!(as_floats(&map[..11]), None);
        assert_eq!(as_floats(&map[2..10]), None);
        map.release();
        assert_eq!(as_floats(&map), Some(&values[..]));
        crate::write_file(&path, "").unwrap();
        assert!(MappedFile::open(&path).unwrap().is_empty());
        let error = MappedFile::open(&folder.path().join("gone.bin")).unwrap_err().to_string();
        assert!(error.contains("gone.bin"), "{error}");
    }
}
