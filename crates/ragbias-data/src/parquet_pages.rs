//! The pages of a Parquet column. The library allocates what a page header claims, so one wrong byte could request
//! gigabytes: here a header is first compared with the size of its column.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

/// The largest decompressed page that is read, in bytes. Writers make pages of 1 MiB, or of one value.
const MOST: u64 = 512 << 20;

/// The values of a column within a row group of `rows` rows.
///
/// # Errors
/// A column that lies outside the file, or whose first page is damaged.
pub(super) fn open_column(
    file: &Arc<File>,
    column: &ColumnChunkMetaData,
    rows: usize,
) -> Result<ColumnReader> {
    check_place(column, file.len())?;
    let most = u64::try_from(column.uncompressed_size()).unwrap_or_default().min(MOST);
    let headers = Arc::new(Headers { file: Arc::clone(file), most });
    let pages = Pages(SerializedPageReader::new(headers, column, rows, None)?);
    Ok(get_column_reader(column.column_descr_ptr(), Box::new(pages)))
}

fn wrong<T>(reason: String) -> Result<T> {
    Err(ParquetError::General(reason))
}

/// Refuses a column that lies outside the file or has a negative size, which the library does not check.
fn check_place(column: &ColumnChunkMetaData, file: u64) -> Result<()> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let within = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
    let within = within.and_then(|(start, length)| start.checked_add(length)).is_some_and(|end| end <= file);
    if within && column.data_page_offset() >= 0 && column.num_values() >= 0 {
        return Ok(());
    }
    wrong(format!("the column `{}` lies beyond the file", column.column_path()))
}

/// A file whose page headers are checked before they are read: one that claims more than `most` bytes is refused.
struct Headers {
    file: Arc<File>,
    most: u64,
}

impl Length for Headers {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for Headers {
    type T = Strict;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut read = self.file.get_read(start)?;
        match uncompressed_size(read.fill_buf()?) {
            Some(size) if size <= self.most => Ok(Strict(read)),
            Some(size) => {
                wrong(format!("a page claims {size} bytes, of at most {} in its column", self.most))
            }
            None => wrong("a page without a header".into()),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

/// A reader that fails at its end: the library would otherwise step over two thousand million numbers one by one.
struct Strict(BufReader<File>);

impl Read for Strict {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// The size of a page from the start of its header: the second field of a structure in Thrift's compact protocol, where
/// 0x15 means "the next field, an i32", and the number follows in zigzag encoding (`PageHeader` in the Parquet format's
/// `parquet.thrift`).
fn uncompressed_size(header: &[u8]) -> Option<u64> {
    let (_kind, header) = number(header.strip_prefix(&[0x15])?)?;
    let (size, _) = number(header.strip_prefix(&[0x15])?)?;
    u64::try_from(size).ok()
}

/// A variable-length number with seven bits per byte, and the remaining bytes.
fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = 1 + bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let (own, rest) = bytes.split_at(length);
    let zigzag = own.iter().rev().fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some(((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed(), rest))
}

/// Pages, refusing a dictionary with more entries than bytes.
struct Pages(SerializedPageReader<Headers>);

fn checked(page: Option<Page>) -> Result<Option<Page>> {
    match &page {
        Some(Page::DictionaryPage { buf, num_values, .. }) if *num_values as usize > buf.len() => {
            wrong(format!("a dictionary claims {num_values} entries in {} bytes", buf.len()))
        }
        _ => Ok(page),
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        checked(self.0.get_next_page()?)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_page_is_the_second_number_of_its_header() {
        // Kind 2, 30 bytes, 34 of them compressed.
        assert_eq!(uncompressed_size(&[0x15, 0x04, 0x15, 0x1e, 0x15, 0x22]), Some(15));
        assert_eq!(uncompressed_size(&[0x15, 0x00, 0x15, 0x80, 0x80, 0x80, 0x80, 0x08]), Some(1 << 30));
        assert_eq!(uncompressed_size(&[0x15, 0x00, 0x15, 0x01]), None, "less than nothing");
        assert_eq!(uncompressed_size(&[0x15, 0x00, 0x15, 0xff]), None, "cut");
        assert_eq!(uncompressed_size(&[0x25, 0x00, 0x15, 0x02]), None, "another field");
        assert_eq!(uncompressed_size(&[]), None);
    }
}
