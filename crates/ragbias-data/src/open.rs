//! Opens a text file: detects its kind by content, whatever its extension, and decodes it as UTF-8.

use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::utf16::Utf16;
use crate::{Error, Result};

/// Number of bytes examined before a file is read.
const HEAD: u64 = 512;

/// The first bytes of binary formats, with their name and what to do.
const REFUSED: [(&[u8], &str, &str); 14] = [
    (b"BZh", "bzip2 data", "`bunzip2 FILE` unpacks them; gzip and zstd are read as they are"),
    (b"\xfd7zXZ\0", "xz data", "`unxz FILE` unpacks them; gzip and zstd are read as they are"),
    (b"\x04\x22\x4d\x18", "LZ4 data", "`unlz4 FILE` unpacks them; gzip and zstd are read as they are"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and give the file within"),
    (
        b"PK\x03\x04",
        "a zip archive or a workbook of a spreadsheet",
        "unpack it, or save the sheet as CSV in UTF-8",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of a spreadsheet", "save the sheet as CSV in UTF-8"),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write it as Parquet"),
    (b"\x93NUMPY", "a NumPy array", "expected texts"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF document", "expected texts"),
    (b"\x00\x00\xfe\xff", "text in UTF-32", "`iconv -f UTF-32 -t UTF-8 FILE > NEW` converts it"),
    (b"\xff\xfe\x00\x00", "text in UTF-32", "`iconv -f UTF-32 -t UTF-8 FILE > NEW` converts it"),
];

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
pub(crate) const PARQUET: &[u8] = b"PAR1";

/// The characters of a file as UTF-8, and a note on their encoding if it is unusual.
pub(crate) struct Opened {
    pub(crate) reader: Box<dyn BufRead>,
    pub(crate) note: Option<&'static str>,
}

/// Opens a text file. gzip and zstd are decompressed, UTF-16 with a byte order mark is decoded, a byte order mark is
/// removed; all of it by content, not by the file's name. Nothing beyond a buffer is read into memory.
pub(crate) fn open(path: &Path) -> Result<Opened> {
    let (head, reader) = peek(BufReader::new(fs_err::File::open(path)?))?;
    if head.is_empty() {
        return Err(wrong(path, "the file is empty"));
    }
    let damaged =
        |what: &'static str, error: std::io::Error| wrong(path, format!("damaged {what} data: {error}"));
    let (head, reader) = if head.starts_with(GZIP) {
        let unpacked = BufReader::new(flate2::bufread::MultiGzDecoder::new(reader));
        peek(unpacked).map_err(|error| rename(error, |error| damaged("gzip", error)))?
    } else if head.starts_with(ZSTD) {
        let decoder = zstd::Decoder::with_buffer(reader).map_err(|error| damaged("zstd", error))?;
        peek(BufReader::new(decoder)).map_err(|error| rename(error, |error| damaged("zstd", error)))?
    } else {
        (head, reader)
    };
    if head.starts_with(GZIP) || head.starts_with(ZSTD) {
        return Err(wrong(path, "compressed twice\nhint: unpack it once"));
    }
    refuse(path, &head)?;
    decoded(path, &head, reader)
}

/// The first bytes of a file, before or after decompression.
pub(crate) fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    Ok(peek(BufReader::new(fs_err::File::open(path)?))?.0)
}

fn decoded(path: &Path, head: &[u8], mut reader: Box<dyn BufRead>) -> Result<Opened> {
    let (mark, big_endian) = match head {
        [0xef, 0xbb, 0xbf, ..] => (3, None),
        [0xff, 0xfe, ..] => (2, Some(false)),
        [0xfe, 0xff, ..] => (2, Some(true)),
        _ => (0, None),
    };
    let io = |error: std::io::Error| wrong(path, error.to_string());
    reader.by_ref().take(mark).read_to_end(&mut Vec::new()).map_err(io)?;
    Ok(match big_endian {
        Some(big_endian) => {
            let note =
                if big_endian { "read as UTF-16, big-endian" } else { "read as UTF-16, little-endian" };
            Opened { reader: Box::new(Utf16::new(reader, big_endian)), note: Some(note) }
        }
        None => Opened { reader, note: None },
    })
}

/// Refuses binary formats, by name.
pub(crate) fn refuse(path: &Path, head: &[u8]) -> Result<()> {
    if let Some((_, what, hint)) = REFUSED.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(wrong(path, format!("this is {what}\nhint: {hint}")));
    }
    if head.starts_with(b"version https://git-lfs.github.com/spec/") {
        let reason =
            "this is a pointer of Git LFS, and the file itself is elsewhere\nhint: `git lfs pull` fetches it";
        return Err(wrong(path, reason));
    }
    let start: Vec<u8> = head.trim_ascii_start().iter().take(14).map(u8::to_ascii_lowercase).collect();
    if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        return Err(wrong(path, "this is a web page\nhint: download the file itself, not the page about it"));
    }
    Ok(())
}

/// The first bytes, and a reader that begins with them. Errors of a file include its name; the caller adds it to those of a
/// decompressor.
fn peek(mut reader: impl BufRead + 'static) -> Result<(Vec<u8>, Box<dyn BufRead>)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(reader))))
}

fn rename(error: Error, with: impl FnOnce(std::io::Error) -> Error) -> Error {
    match error {
        Error::Io(error) => with(error),
        other => other,
    }
}

fn wrong(path: &Path, reason: impl Into<String>) -> Error {
    Error::File { path: path.into(), reason: reason.into() }
}
