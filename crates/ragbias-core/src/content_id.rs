use std::fmt;

use serde::{Deserialize, Serialize};

/// The hash of everything that determines a component's answers: its weights, its settings, its version.
///
/// Two components with the same id give the same answers to the same inputs, so a store can memoise them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId([u8; 32]);

impl ContentId {
    /// The hash of a byte string.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The hash of all that a reader gives, as [`ContentId::of`] has it of the same bytes.
    ///
    /// # Errors
    /// What the reader fails with.
    pub fn read(reader: impl std::io::Read) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits, for display.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({})", self.short())
    }
}

impl Serialize for ContentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// Builds a [`ContentId`] from several fields; each is prefixed with its length, so `ab, c` and `a, bc` differ.
#[derive(Debug, Default, Clone)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// A hasher for objects of one kind; `kind` includes a version, as in `minilm/1`.
    pub fn new(kind: &str) -> Self {
        Self::default().field(kind)
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds one field if there is one. Only as the last: a missing one leaves nothing behind.
    #[must_use]
    pub fn last(self, bytes: Option<impl AsRef<[u8]>>) -> Self {
        match bytes {
            Some(bytes) => self.field(bytes),
            None => self,
        }
    }

    /// The id of all fields so far.
    pub fn finish(&self) -> ContentId {
        ContentId(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_two_fields_counts() {
        let a = ContentHasher::new("t/1").field("ab").field("c").finish();
        let b = ContentHasher::new("t/1").field("a").field("bc").finish();
        assert_ne!(a, b);
    }

    #[test]
    fn a_missing_last_field_leaves_nothing_behind() {
        let start = || ContentHasher::new("t/1").field("a");
        assert_eq!(start().last(None::<&str>).finish(), start().finish());
        assert_eq!(start().last(Some("b")).finish(), start().field("b").finish());
        assert_ne!(start().last(Some("")).finish(), start().finish());
    }

    #[test]
    fn an_id_survives_json() {
        let id = ContentId::of(b"weights");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ContentId>(&json).unwrap(), id);
    }
}
