//! The one place that maps files into memory.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the safety comment")]

use std::path::Path;

use memmap2::Mmap;

/// Maps a file to read from it.
pub(crate) fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = fs_err::File::open(path)?;
    // SAFETY: the map is read as bytes, checked before use, and copied into tensors while a model is loaded. A file
    // that another process truncates in that moment would end this one with SIGBUS, as it would any reader by map.
    unsafe { Mmap::map(file.file()) }
}
