use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// Decodes UTF-16 to UTF-8, a buffer at a time.
pub(crate) struct Utf16<R> {
    inner: R,
    big_endian: bool,
    /// Decoded UTF-8 that has not been consumed, starting at `taken`.
    ready: Vec<u8>,
    taken: usize,
    /// The first half of a surrogate pair, waiting for the second.
    half: Option<u16>,
}

impl<R: Read> Utf16<R> {
    pub(crate) fn new(inner: R, big_endian: bool) -> Self {
        Self { inner, big_endian, ready: Vec::new(), taken: 0, half: None }
    }

    fn decode(&mut self) -> Result<()> {
        (self.taken, self.ready) = (0, Vec::new());
        let mut bytes = Vec::new();
        self.inner.by_ref().take(16 * 1024).read_to_end(&mut bytes)?;
        if bytes.len() % 2 != 0 {
            return Err(invalid("UTF-16 with an odd number of bytes; the file may be cut"));
        }
        let ended = bytes.is_empty();
        let (big_endian, mut units) = (self.big_endian, Vec::with_capacity(bytes.len() / 2 + 1));
        units.extend(self.half.take());
        units.extend(bytes.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        }));
        if !ended && matches!(units.last(), Some(0xd800..=0xdbff)) {
            self.half = units.pop();
        }
        let mut text = String::new();
        for character in char::decode_utf16(units) {
            text.push(character.map_err(|_| invalid("UTF-16 with half a surrogate pair"))?);
        }
        self.ready = text.into_bytes();
        Ok(())
    }
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let n = self.fill_buf()?.read(into)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Utf16<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.taken == self.ready.len() {
            self.decode()?;
            // Half a pair alone does not give a character yet.
            if self.ready.is_empty() && self.half.is_some() {
                self.decode()?;
            }
        }
        Ok(&self.ready[self.taken..])
    }

    fn consume(&mut self, n: usize) {
        self.taken = (self.taken + n).min(self.ready.len());
    }
}
