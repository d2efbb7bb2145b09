//! The state of a file, by its metadata.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The coarsest resolution of a file system's timestamps.
pub(crate) const TICK: Duration = Duration::from_secs(2);

/// Metadata that identify a file's state: a file modified since has another time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970, of its content and, where supported, of its inode.
    times: [u128; 2],
    inode: u64,
}

impl Stamp {
    /// The stamp of a file; `None` if it has no times, or times before 1970.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            let nanoseconds =
                i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
            (u128::try_from(nanoseconds).ok()?, metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = (0, 0);
        Some(Self { bytes: metadata.len(), times: [modified, changed], inode })
    }

    /// Whether a later change would have a different time of the inode; never without such a time.
    pub(crate) fn is_settled(&self) -> bool {
        let [_, changed] = self.times;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        changed > 0 && now > changed + TICK.as_nanos()
    }
}
