use serde::Serialize;

/// A file of a model or a data set, compared with the expected one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// Its path within its folder.
    pub file: String,
    /// The expected SHA-256.
    pub expected: String,
    /// The SHA-256 of the file; none if it does not exist.
    pub received: Option<String>,
}

impl FileCheck {
    /// Whether the file is the expected one.
    pub fn is_right(&self) -> bool {
        self.received.as_deref() == Some(self.expected.as_str())
    }
}
