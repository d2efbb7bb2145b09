//! NumPy's array format, version 1.0: magic, a padded header, the rows as little-endian f32.

use std::io::{self, Write};

use ragbias::core::Embeddings;

/// The header of a `(rows, dim)` array.
pub(crate) fn write_header(out: &mut dyn Write, rows: usize, dim: usize) -> io::Result<()> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    // Magic, version and length take 10 bytes; data start at a multiple of 64, after a line break.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let length = u16::try_from(padded).expect("two numbers are shorter than 64 KiB; this is a bug");
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(format!("{header:<width$}\n", width = padded - 1).as_bytes())
}

/// Appends rows.
pub(crate) fn write_rows(out: &mut dyn Write, vectors: &Embeddings) -> io::Result<()> {
    let bytes: Vec<u8> = vectors.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
    out.write_all(&bytes)
}
