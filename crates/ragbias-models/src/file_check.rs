use serde::Serialize;

/// A file of a model, compared with the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// Its path within the model's folder.
    pub file: String,
    /// The SHA-256 of the registry.
    pub expected: String,
    /// The SHA-256 of the file; none if it does not exist.
    pub received: Option<String>,
}

impl FileCheck {
    /// Whether the file is the registry's.
    pub fn is_right(&self) -> bool {
        self.received.as_deref() == Some(self.expected.as_str())
    }
}
