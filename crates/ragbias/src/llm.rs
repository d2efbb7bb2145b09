use std::fmt;
use std::str::FromStr;

use ragbias_generate::{Address, without_secrets};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Result;

/// The user's designation of an LLM: a name of the registry, a `.gguf` file, or the address of a server.
///
/// Displayed, stored and compared, it excludes the password and keys of an address. Parsing creates one that the
/// user named; deserialising one that a file names, to whose host the user's key is sent only if that is allowed.
///
/// ```
/// use ragbias::LlmName;
///
/// let llm: LlmName = "https://me:pass-word@host/v1#llama3".parse()?;
/// assert_eq!(llm.as_str(), "https://host/v1#llama3");
/// # Ok::<(), ragbias::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct LlmName {
    label: String,
    place: Place,
}

/// The kind of an LLM's designation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Server(Box<Address>),
    /// A name or a file.
    Here,
    /// An address of another scheme, or without one.
    Nowhere,
}

impl LlmName {
    /// The name without secrets.
    pub fn as_str(&self) -> &str {
        &self.label
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Marks the name as given by a file.
    pub(crate) fn of_file(self) -> Self {
        let place = match self.place {
            Place::Server(address) => Place::Server(Box::new(address.of_file())),
            other => other,
        };
        Self { place, ..self }
    }
}

impl FromStr for LlmName {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let place = match scheme.as_deref() {
            Some("http" | "https") => Place::Server(Box::new(Address::parse(text)?)),
            Some(_) => Place::Nowhere,
            None if has_port(text) => Place::Nowhere,
            None => Place::Here,
        };
        let label = match &place {
            Place::Server(address) => address.label().to_owned(),
            Place::Here | Place::Nowhere => without_secrets(text),
        };
        // The name of a file may look as if it contained a password.
        let is_file = place == Place::Here && std::path::Path::new(text).exists();
        Ok(Self { label: if is_file { text.to_owned() } else { label }, place })
    }
}

/// Whether it looks like a host and a port, possibly with user and path.
fn has_port(text: &str) -> bool {
    let address = text.split(['/', '#', '?']).next().unwrap_or_default();
    let port =
        address.rsplit_once(':').filter(|(host, _)| host.len() > 1).map(|(_, port)| port.parse::<u16>());
    matches!(port, Some(Ok(_)))
}

impl fmt::Display for LlmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl fmt::Debug for LlmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LlmName({:?})", self.label)
    }
}

impl Serialize for LlmName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.label)
    }
}

impl<'de> Deserialize<'de> for LlmName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self::of_file).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names_and_files() {
        for model in ["http://localhost:8080/v1#m", "HTTPS://host/v1"] {
            let name: LlmName = model.parse().unwrap();
            assert!(matches!(name.place(), Place::Server(_)) && name.as_str() == model, "{model}");
        }
        for (model, place) in [
            ("localhost:8080/v1#m", Place::Nowhere),
            ("127.0.0.1:80", Place::Nowhere),
            ("ftp://host/x", Place::Nowhere),
            ("smollm2-135m", Place::Here),
            ("./models/m.gguf", Place::Here),
            ("./models@2/m.gguf", Place::Here),
            ("C:\\models\\m.gguf", Place::Here),
        ] {
            let name: LlmName = model.parse().unwrap();
            assert_eq!((name.place(), name.as_str()), (&place, model));
        }
    }

    #[test]
    fn what_is_secret_is_in_no_form_of_a_name() {
        for given in [
            "http://me:sk-secret@h/v1#m",
            "me:sk-secret@h:80/v1",
            "me:sk-secret@h/v1",
            "ftp://me:sk-secret@h/v1",
        ] {
            let name: LlmName = given.parse().unwrap();
            let shown =
                format!("{name} {name:?} {} {}", name.as_str(), serde_json::to_string(&name).unwrap());
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert!(!"http://me:sk/secret@h/v1".parse::<LlmName>().unwrap_err().to_string().contains("secret"));
    }
}
