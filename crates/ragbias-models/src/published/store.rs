use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use ragbias_core::{Progress, Unit};
use ragbias_files::{move_file, replace_folder, sha256};
use serde::Serialize;
use zip::ZipArchive;

use super::record::{Record, Sum};
use super::registry::PublishedSets;
use super::set::{PublishedSet, SetFile, SetSource};
use crate::client::Client;
use crate::receive::{Fault, LONGEST_STALL, Wanted, ignore_missing, once_more};
use crate::verified::Verified;
use crate::{Error, Result};

/// The folder for incomplete files, within that of a pull.
const PARTS: &str = ".parts";
/// Maximum size of a member of an archive whose size the registry does not have.
const LARGEST_MEMBER: u64 = 4 << 30;

/// A folder of published data sets, `ROOT/NAME/…`, filled from their public addresses.
///
/// A set is downloaded and verified in a temporary folder, then renamed: a folder that exists was complete. An interrupted pull
/// keeps its files, and the next one resumes. Before a set is used, its files are verified again, by SHA-256 if they were modified
/// since. Where the registry has no checksum, the first one received is recorded, and later pulls must agree with it.
#[derive(Debug, Clone)]
pub struct SetStore {
    root: PathBuf,
    sets: PublishedSets,
    mirror: Option<String>,
    longest_stall: Duration,
}

/// A pulled data set.
#[derive(Debug, Clone, Serialize)]
pub struct Pulled {
    /// Its folder.
    pub path: PathBuf,
    /// Its files, in the order of the registry.
    pub files: Vec<Received>,
}

/// A file of a pulled data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Its path within the set's folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Whether the registry has this checksum, or that of the archive; otherwise it was trusted on first use.
    pub known: bool,
}

impl SetStore {
    /// Sets in this folder, which may not exist yet, from this mirror or from their own addresses.
    ///
    /// A mirror has the files of a host below that host's name: `https://host/a.zip` at `MIRROR/host/a.zip`.
    ///
    /// # Errors
    /// [`Error::Mirror`]; [`Error::Sets`].
    pub fn new(root: impl Into<PathBuf>, mirror: Option<String>) -> Result<Self> {
        if let Some(mirror) = &mirror
            && !["http://", "https://"].iter().any(|scheme| mirror.starts_with(scheme))
        {
            return Err(Error::Mirror { received: mirror.clone() });
        }
        Ok(Self { root: root.into(), sets: PublishedSets::builtin()?, mirror, longest_stall: LONGEST_STALL })
    }

    /// Sets in `RAGBIAS_DATA_CACHE`, or in the user's cache directory; from `RAGBIAS_DATA_MIRROR`, if that is set.
    ///
    /// # Errors
    /// The user has no home directory; a mirror that is no address.
    pub fn from_env() -> Result<Self> {
        let root = match std::env::var_os("RAGBIAS_DATA_CACHE") {
            Some(folder) if !folder.is_empty() => PathBuf::from(folder),
            _ => etcetera::choose_base_strategy()
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::NotFound, error))?
                .cache_dir()
                .join("ragbias")
                .join("data"),
        };
        let mirror = std::env::var("RAGBIAS_DATA_MIRROR").ok().filter(|mirror| !mirror.trim().is_empty());
        Self::new(root, mirror)
    }

    /// The registry.
    pub fn sets(&self) -> &PublishedSets {
        &self.sets
    }

    /// The folder of all sets.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a set, or `None` if it was not pulled.
    ///
    /// # Errors
    /// [`Error::UnknownSet`]; [`Error::Record`].
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>> {
        Ok(self.received(self.sets.get(name)?)?.map(|_| self.root.join(name)))
    }

    /// A set that was pulled, with every file verified; `None` if it was not pulled.
    ///
    /// # Errors
    /// [`Error::DamagedSet`], and those of [`SetStore::path`].
    pub fn resolve(&self, name: &str) -> Result<Option<Pulled>> {
        let set = self.sets.get(name)?;
        let Some(files) = self.received(set)? else { return Ok(None) };
        let path = self.root.join(name);
        let sums: Vec<_> = files.iter().map(|file| (file.file.as_str(), file.sha256.as_str())).collect();
        match Verified::of(&self.root, name).wrong(&sums, &path)?.into_iter().next() {
            None => Ok(Some(Pulled { path, files })),
            Some(check) => Err(Error::DamagedSet {
                name: name.into(),
                path: path.join(&check.file),
                check: Box::new(check),
            }),
        }
    }

    /// Downloads a set unless it is there and undamaged. Every file is checked against the size and the SHA-256 of the registry, or
    /// else of the first pull; a wrong one is downloaded once more.
    ///
    /// # Errors
    /// [`Error::SetUnavailable`] with the reason, and [`Error::Record`].
    pub fn pull(&self, name: &str, progress: &dyn Progress) -> Result<Pulled> {
        let set = self.sets.get(name)?;
        if let Some(pulled) = self.whole(name, progress)? {
            return Ok(pulled);
        }
        fs_err::create_dir_all(&self.root)?;
        // If two processes want the same set, the second waits, and then finds it there.
        let lock = fs_err::File::create(self.root.join(format!(".{name}.lock")))?;
        lock.file().lock()?;
        if let Some(pulled) = self.whole(name, progress)? {
            return Ok(pulled);
        }
        let staging = self.root.join(format!(".{name}.partial"));
        fs_err::create_dir_all(&staging)?;
        let folder = self.root.join(name);
        let mut record = Record::read(&self.root, set)?.unwrap_or_else(|| Record::new(set));
        self.fill(set, &staging, &mut record, progress).map_err(|reason| Error::SetUnavailable {
            name: name.into(),
            address: set.address(),
            reason,
            folder: folder.clone(),
        })?;
        fs_err::remove_dir_all(staging.join(PARTS)).or_else(ignore_missing)?;
        // Before the folder: a folder without its record would be one that was not pulled.
        record.write(&self.root, set)?;
        replace_folder(&staging, &folder)?;
        let files = self.received(set)?.unwrap_or_default();
        for file in files.iter().filter(|file| !file.known) {
            progress.note(&format!(
                "{name}/{}: no checksum of it is known; trusted on first use, and recorded: SHA-256 {}",
                file.file, file.sha256
            ));
        }
        Ok(Pulled { path: folder, files })
    }

    /// The set if it is there and undamaged; damage is reported.
    fn whole(&self, name: &str, progress: &dyn Progress) -> Result<Option<Pulled>> {
        match self.resolve(name) {
            Err(Error::DamagedSet { path, .. }) => {
                progress.note(&format!(
                    "{}: not the file that is expected; fetching the set again",
                    path.display()
                ));
                Ok(None)
            }
            other => other,
        }
    }

    /// Size and checksum of every file of a set, by the registry or the record of its first pull; `None` if a file is not there in
    /// that size.
    fn received(&self, set: &PublishedSet) -> Result<Option<Vec<Received>>> {
        let record = Record::read(&self.root, set)?;
        let folder = self.root.join(&set.name);
        let archive_is_known = matches!(&set.source, SetSource::Archive { sha256: Some(_), .. });
        let received = |file: &SetFile| {
            let recorded = record.as_ref().and_then(|record| record.get(&file.path));
            let bytes = file.bytes.or(recorded.map(|sum| sum.bytes))?;
            let sha256 = file.sha256.clone().or_else(|| recorded.map(|sum| sum.sha256.clone()))?;
            let size = fs_err::metadata(folder.join(&file.path)).ok()?.len();
            let known = file.sha256.is_some() || archive_is_known;
            (size == bytes).then(|| Received { file: file.path.clone(), bytes, sha256, known })
        };
        Ok(set.files.iter().map(received).collect())
    }

    /// Puts every file of the set into `staging`, and its checksum into the record, or returns the reason for failure.
    fn fill(
        &self,
        set: &PublishedSet,
        staging: &Path,
        record: &mut Record,
        progress: &dyn Progress,
    ) -> Result<(), String> {
        match &set.source {
            SetSource::GitHub { repository, commit } => {
                let url = |file: &SetFile| file.url(repository, commit);
                let wishes: Vec<_> = set
                    .files
                    .iter()
                    .map(|file| Wish::new(&file.path, url(file), file.bytes, file.sha256.as_deref(), record))
                    .collect();
                self.download(&set.name, wishes, staging, progress)?;
            }
            SetSource::Archive { address, bytes, sha256 } => {
                let name = format!("{PARTS}/{}.zip", set.name);
                let wish = Wish::new(&name, address.clone(), *bytes, sha256.as_deref(), record);
                self.download(&set.name, vec![wish], staging, progress)?;
                let archive = staging.join(&name);
                unpack(set, &archive, staging, record)?;
                record.add(&name, sum(&archive)?);
            }
        }
        for file in &set.files {
            record.add(&file.path, sum(&staging.join(&file.path))?);
        }
        Ok(())
    }

    /// Downloads files into `staging`; one that is there and right is not downloaded again.
    fn download(
        &self,
        name: &str,
        wishes: Vec<Wish>,
        staging: &Path,
        progress: &dyn Progress,
    ) -> Result<(), String> {
        let (any_host, same_host) =
            (Client::new(None, self.longest_stall), Client::new(None, self.longest_stall).of_same_host());
        // Without a checksum, nothing but the host tells that a file is the right one.
        let client = |wish: &Wish| if wish.sha256.is_some() { &any_host } else { &same_host };
        let mut sized = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let url = self.mirrored(&wish.url);
            let bytes = match wish.bytes {
                Some(bytes) => bytes,
                None => client(&wish).length(&url).map_err(|reason| format!("{}: {reason}", wish.file))?,
            };
            sized.push((wish, url, bytes));
        }
        let record = self.root.join(Record::name(name));
        let total = sized.iter().map(|(.., bytes)| bytes).sum();
        let step = progress.begin(&format!("pulling {name}"), total, Unit::Bytes);
        for (wish, url, bytes) in &sized {
            let wanted = Wanted { name: &wish.file, bytes: *bytes, sha256: wish.sha256.as_deref() };
            let (part, target) = (staging.join(PARTS).join(&wish.file), staging.join(&wish.file));
            if wanted.sha256.is_some() && wanted.check(&target).is_ok() {
                step.advance(*bytes);
                continue;
            }
            let forget = || fs_err::remove_file(&part).or_else(ignore_missing);
            let get = || client(wish).get(url, wanted, &part, step.as_ref());
            once_more(progress, get, forget).map_err(|reason| {
                let place = record.display();
                if wish.recorded {
                    format!("{reason}\nexpected is what the first pull received, in {place}")
                } else {
                    reason
                }
            })?;
            move_file(&part, &target).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The URL on the mirror, if there is one.
    fn mirrored(&self, url: &str) -> String {
        match (&self.mirror, url.split_once("://")) {
            (Some(mirror), Some((_, place))) => format!("{}/{place}", mirror.trim_end_matches('/')),
            _ => url.to_owned(),
        }
    }
}

/// A file to download.
struct Wish {
    /// Its path in the staging folder.
    file: String,
    url: String,
    bytes: Option<u64>,
    /// That of the registry, or else of the first pull.
    sha256: Option<String>,
    /// Whether it is that of the first pull.
    recorded: bool,
}

impl Wish {
    fn new(file: &str, url: String, bytes: Option<u64>, sha256: Option<&str>, record: &Record) -> Self {
        let recorded = record.get(file);
        Self {
            file: file.into(),
            url,
            bytes: bytes.or(recorded.map(|sum| sum.bytes)),
            sha256: sha256.map(str::to_owned).or_else(|| recorded.map(|sum| sum.sha256.clone())),
            recorded: sha256.is_none() && recorded.is_some(),
        }
    }
}

/// Writes the files of a set from its archive, and nothing else of it.
fn unpack(set: &PublishedSet, archive: &Path, staging: &Path, record: &Record) -> Result<(), String> {
    let file = fs_err::File::open(archive).map_err(|error| error.to_string())?;
    let mut zip = ZipArchive::new(file).map_err(|error| format!("{}.zip: {error}", set.name))?;
    for file in &set.files {
        let mut member = zip.by_name(&file.from).map_err(|error| format!("{}: {error}", file.from))?;
        let recorded = record.get(&file.path);
        let bytes = file.bytes.or(recorded.map(|sum| sum.bytes)).unwrap_or(member.size());
        if bytes > LARGEST_MEMBER {
            return Err(format!("{}: expected at most {LARGEST_MEMBER} bytes, received {bytes}", file.from));
        }
        let sha256 = file.sha256.as_deref().or(recorded.map(|sum| sum.sha256.as_str()));
        let wanted = Wanted { name: &file.from, bytes, sha256 };
        wanted.write(&staging.join(&file.path), &mut member).map_err(Fault::into_reason)?;
    }
    Ok(())
}

fn sum(path: &Path) -> Result<Sum, String> {
    let text = |error: std::io::Error| error.to_string();
    let bytes = fs_err::metadata(path).map_err(text)?.len();
    Ok(Sum { bytes, sha256: sha256(path).map_err(text)? })
}

#[cfg(test)]
mod tests;
