//! Downloads files from the Hugging Face hub.

use std::path::Path;
use std::time::Duration;

use ragbias_core::{Progress, Unit};
use ragbias_files::move_file;

use crate::client::{Client, escaped};
use crate::hub_cache::HubCache;
use crate::receive::{LONGEST_STALL, Wanted, ignore_missing, once_more};
use crate::registry::Model;

/// The folder for incomplete files, within that of a pull.
pub(crate) const PARTS: &str = ".hub";

/// Maximum bytes of the hub's description of a model.
const LONGEST_LISTING: u64 = 32 << 20;

/// A hub: its address and its cache.
pub(crate) struct Hub {
    pub(crate) cache: HubCache,
    /// Its address, unless the hub must not be used.
    pub(crate) network: Option<Network>,
}

pub(crate) struct Network {
    endpoint: String,
    pub(crate) client: Client,
}

/// Whether `HF_HUB_OFFLINE` forbids network access.
pub(crate) fn is_offline() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

impl Hub {
    /// The user's: `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are honoured.
    pub(crate) fn from_env() -> Self {
        let cache = HubCache::from_env();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let token = set("HF_TOKEN").or_else(|| cache.token());
        let network = (!is_offline()).then(|| Network::new(&endpoint, token, LONGEST_STALL));
        Self { cache, network }
    }

    /// Puts every file of the model into `staging`, or returns the reason for failure.
    pub(crate) fn fetch(
        &self,
        id: &str,
        model: &Model,
        staging: &Path,
        progress: &dyn Progress,
    ) -> Result<(), String> {
        let step = progress.begin(&format!("pulling {}", model.name), model.bytes(), Unit::Bytes);
        for file in &model.files {
            let (wanted, target) = (file.wanted(), staging.join(&file.path));
            if wanted.check(&target).is_ok()
                || from_cache(&self.cache, id, wanted, &target).map_err(|e| e.to_string())?
            {
                step.advance(file.bytes);
                continue;
            }
            let Some(network) = &self.network else {
                return Err(format!("{}: not in its cache, and HF_HUB_OFFLINE is set", file.path));
            };
            let url = network.file(id, "main", &file.path);
            let part = staging.join(PARTS).join(&file.path);
            let forget = || fs_err::remove_file(&part).or_else(ignore_missing);
            once_more(progress, || network.client.get(&url, wanted, &part, step.as_ref()), forget)?;
            move_file(&part, &target).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Network {
    fn new(endpoint: &str, token: Option<String>, longest_stall: Duration) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').into(), client: Client::new(token, longest_stall) }
    }

    /// The URL of a file at a revision.
    pub(crate) fn file(&self, id: &str, revision: &str, name: &str) -> String {
        format!("{}/{id}/resolve/{revision}/{}", self.endpoint, escaped(name))
    }

    /// The hub's description of a model, as JSON.
    pub(crate) fn describe(&self, id: &str) -> Result<String, String> {
        self.client
            .text(&format!("{}/api/models/{id}/revision/main?blobs=true", self.endpoint), LONGEST_LISTING)
    }
}

/// A file in another program's cache is copied if it is correct, and left alone otherwise.
fn from_cache(cache: &HubCache, id: &str, wanted: Wanted<'_>, target: &Path) -> std::io::Result<bool> {
    let Some(path) = cache.file(id, wanted.name).filter(|path| wanted.check(path).is_ok()) else {
        return Ok(false);
    };
    if let Some(folder) = target.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::copy(path, target)?;
    // It may have changed in the meantime.
    Ok(wanted.check(target).is_ok())
}

#[cfg(test)]
impl Hub {
    /// A hub at this address, or none, without a cache.
    pub(crate) fn at(endpoint: Option<&str>, folder: &Path) -> Self {
        Self::impatient(endpoint, folder, LONGEST_STALL)
    }

    /// The same, with another timeout between bytes.
    pub(crate) fn impatient(endpoint: Option<&str>, folder: &Path, longest_stall: Duration) -> Self {
        let network = |endpoint| Network::new(endpoint, Some("hf-secret".to_owned()), longest_stall);
        Self { cache: HubCache::at(folder.into()), network: endpoint.map(network) }
    }
}
