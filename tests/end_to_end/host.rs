//! A host on loopback that has some files, and zip archives for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A host with these files by path, which can send the rest of one. It ends with the process.
pub(crate) fn host(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> String {
    let files: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(files.into_iter().collect());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let files = Arc::clone(&files);
            // A client that goes away in the middle is part of the tests.
            std::thread::spawn(move || answer(stream, &files).ok());
        }
    });
    address
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut from = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        let range = line.strip_prefix("range:").and_then(|range| range.trim().strip_prefix("bytes="));
        from = range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok()).or(from);
    }
    let mut words = first.split(' ');
    let (method, asked) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, more, body) = match (files.get(asked), from) {
        (None, _) => ("404 Not Found", String::new(), &[][..]),
        (Some(file), None) => ("200 OK", String::new(), file.as_slice()),
        (Some(file), Some(from)) if from < file.len() => {
            let range = format!("content-range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
            ("206 Partial Content", range, &file[from..])
        }
        (Some(file), Some(_)) => {
            let range = format!("content-range: bytes */{}\r\n", file.len());
            ("416 Range Not Satisfiable", range, &[][..])
        }
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n")?;
    stream.write_all(if method == "HEAD" { &[] } else { body })
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

/// A zip archive of stored members.
pub(crate) fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in members {
        let offset = u32::try_from(archive.len()).unwrap();
        let (size, length) = (u32::try_from(text.len()).unwrap(), u16::try_from(name.len()).unwrap());
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        fields.extend(crc32(text.as_bytes()).to_le_bytes());
        fields.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        fields.extend([length.to_le_bytes(), [0, 0]].concat());
        archive.extend([b"PK\x03\x04", fields.as_slice(), name.as_bytes(), text.as_bytes()].concat());
        directory.extend(
            [b"PK\x01\x02\x14\x00", fields.as_slice(), &[0; 10], &offset.to_le_bytes(), name.as_bytes()]
                .concat(),
        );
    }
    let (count, start) = (u16::try_from(members.len()).unwrap(), u32::try_from(archive.len()).unwrap());
    let size = u32::try_from(directory.len()).unwrap();
    archive.extend(directory);
    archive.extend([b"PK\x05\x06".as_slice(), &[0; 4], &count.to_le_bytes(), &count.to_le_bytes()].concat());
    archive.extend([size.to_le_bytes().as_slice(), &start.to_le_bytes(), &[0; 2]].concat());
    archive
}
