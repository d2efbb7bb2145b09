//! Memory-maps files; the only place that does.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the safety comment")]

use std::path::Path;

use memmap2::Mmap;

/// Maps a file for reading.
pub(crate) fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = fs_err::File::open(path)?;
    // SAFETY: the map is read as bytes, checked before use, and copied into tensors while a model is loaded. If another
    // process truncates the file meanwhile, this one ends with SIGBUS, like any reader of a mapped file.
    unsafe { Mmap::map(file.file()) }
}
