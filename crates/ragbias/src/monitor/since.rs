use std::fmt;

use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// Where the answers that are watched begin; those before are the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Since {
    /// The first answer that was given then or later.
    Moment(Moment),
    /// The first answer on this topic.
    Topic(String),
}

/// A date or a time, else the name of a topic.
impl From<String> for Since {
    fn from(text: String) -> Self {
        text.parse().map_or(Self::Topic(text), Self::Moment)
    }
}

impl From<Since> for String {
    fn from(since: Since) -> Self {
        match since {
            Since::Moment(moment) => moment.to_string(),
            Since::Topic(topic) => topic,
        }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moment(moment) => moment.fmt(f),
            Self::Topic(topic) => write!(f, "topic `{topic}`"),
        }
    }
}
