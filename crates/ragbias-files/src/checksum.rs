//! SHA-256 of files, as `sha256sum` prints it.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// The SHA-256 of a file: 64 hexadecimal digits.
///
/// # Errors
/// Failures of the file system, with the file's name.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut reader = fs_err::File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("{:x}", hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// The SHA-256 of bytes: 64 hexadecimal digits.
pub fn sha256_of(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_bytes_have_the_sum_that_fips_180_gives() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("f"), "abc").unwrap();
        assert_eq!(sha256(&folder.path().join("f")).unwrap(), abc);
        assert_eq!(sha256_of(b"abc"), abc);
    }
}
