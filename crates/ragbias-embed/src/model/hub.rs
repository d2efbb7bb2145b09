//! The Hugging Face hub as a source of files.

use std::path::Path;
use std::time::Duration;

use hf_hub::{Cache, CacheRepo};
use ragbias_core::{Progress, Step, Unit};
use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use super::receive::{Fault, Wanted, once_more};
use super::registry::Model;

/// The folder, within that of a pull, of files that have not come to their end.
pub(super) const PARTS: &str = ".hub";

const LONGEST_CONNECT: Duration = Duration::from_secs(15);
const LONGEST_FIRST_BYTE: Duration = Duration::from_mins(1);

/// A hub: where it is, and what may be had of it without asking.
pub(super) struct Hub {
    cache: Cache,
    /// Where it may be asked.
    network: Option<Network>,
}

struct Network {
    endpoint: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// Whether `HF_HUB_OFFLINE` forbids to ask the hub.
pub(super) fn is_offline() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

impl Hub {
    /// The user's: `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are honoured.
    pub(super) fn from_env() -> Self {
        let cache = Cache::from_env();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let token = set("HF_TOKEN").or_else(|| cache.token());
        let network = (!is_offline()).then(|| Network::new(&endpoint, token));
        Self { cache, network }
    }

    /// Puts every file of the model into `staging`, or says why not.
    pub(super) fn fetch(
        &self,
        id: &str,
        model: &Model,
        staging: &Path,
        progress: &dyn Progress,
    ) -> Result<(), String> {
        let cached = self.cache.model(id.to_owned());
        let step = progress.begin(&format!("pulling {}", model.name), model.bytes(), Unit::Bytes);
        for file in &model.files {
            let (wanted, target) = (file.wanted(), staging.join(&file.path));
            if wanted.check(&target).is_ok()
                || from_cache(&cached, wanted, &target).map_err(|e| e.to_string())?
            {
                step.advance(file.bytes);
                continue;
            }
            let Some(network) = &self.network else {
                return Err(format!("{}: not in its cache, and HF_HUB_OFFLINE is set", file.path));
            };
            let url = format!("{}/{id}/resolve/main/{}", network.endpoint, file.path);
            let part = staging.join(PARTS).join(&file.path);
            let forget = || fs_err::remove_file(&part).or_else(ignore_missing);
            once_more(progress, || network.get(&url, wanted, &part, step.as_ref()), forget)?;
            settle(&part, &target).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Network {
    fn new(endpoint: &str, token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder()
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(LONGEST_CONNECT))
            .timeout_recv_response(Some(LONGEST_FIRST_BYTE))
            .user_agent(concat!("ragbias/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { endpoint: endpoint.trim_end_matches('/').into(), token, agent }
    }

    /// Downloads into `part`, from where an interrupted download ended.
    ///
    /// The token goes to the hub alone, and not where it redirects to.
    fn get(&self, url: &str, wanted: Wanted<'_>, part: &Path, step: &dyn Step) -> Result<(), Fault> {
        let there = fs_err::metadata(part).map_or(0, |metadata| metadata.len());
        if there >= wanted.bytes {
            return wanted.check(part);
        }
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if there > 0 {
            request = request.header(RANGE, format!("bytes={there}-"));
        }
        let response = request.call().map_err(|error| Fault::Failed(format!("{}: {error}", wanted.name)))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let goes_on = response.status() == 206
            && header(CONTENT_RANGE).is_some_and(|range| range.starts_with(&format!("bytes {there}-")));
        let there = if goes_on { there } else { 0 };
        if let Some(length) = header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
            wanted.check_size(there.saturating_add(length))?;
        }
        if let Some(folder) = part.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut file = fs_err::OpenOptions::new().create(true).write(true).truncate(false).open(part)?;
        file.set_len(there)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        step.advance(there);
        let mut body = response.into_body().into_reader();
        let there = wanted.copy(&mut body, &mut file, there, &mut |bytes| step.advance(bytes))?;
        file.sync_all()?;
        if there < wanted.bytes {
            return Err(Fault::Failed(format!(
                "{}: the download ended after {there} of {} bytes",
                wanted.name, wanted.bytes
            )));
        }
        wanted.check(part)
    }
}

/// A file of another program's cache is copied where it is right, and left alone where it is not.
fn from_cache(cached: &CacheRepo, wanted: Wanted<'_>, target: &Path) -> std::io::Result<bool> {
    let Some(path) = cached.get(wanted.name).filter(|path| wanted.check(path).is_ok()) else {
        return Ok(false);
    };
    if let Some(folder) = target.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::copy(path, target)?;
    // It may have changed in between.
    Ok(wanted.check(target).is_ok())
}

/// Puts a checked file in its place.
pub(super) fn settle(part: &Path, target: &Path) -> std::io::Result<()> {
    if let Some(folder) = target.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::rename(part, target)
}

pub(super) fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Counts the bytes that hf-hub downloads.
pub(super) struct Bytes<'a> {
    pub(super) step: &'a dyn Step,
}

impl hf_hub::api::Progress for Bytes<'_> {
    fn init(&mut self, _: usize, _: &str) {}

    fn update(&mut self, size: usize) {
        self.step.advance(size as u64);
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
impl Hub {
    /// A hub at this address, or none, without a cache.
    pub(super) fn at(endpoint: Option<&str>, folder: &Path) -> Self {
        let token = Some("hf-secret".to_owned());
        Self {
            cache: Cache::new(folder.into()),
            network: endpoint.map(|endpoint| Network::new(endpoint, token)),
        }
    }
}
