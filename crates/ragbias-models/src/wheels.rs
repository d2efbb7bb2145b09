//! Reads members of wheels.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::receive::Fault;

/// The members of some wheels.
pub(crate) struct Wheels {
    /// The wheel of each member. Of members with the same name, the first counts: hashes tell whether it is the right one.
    members: BTreeMap<String, PathBuf>,
}

impl Wheels {
    /// The members of the wheels at these paths.
    pub(crate) fn of(paths: &[PathBuf]) -> Result<Self, Fault> {
        let mut members = BTreeMap::new();
        for path in paths {
            for name in open(path)?.file_names() {
                members.entry(name.to_owned()).or_insert_with(|| path.clone());
            }
        }
        Ok(Self { members })
    }

    /// These members, each of which must be there.
    pub(crate) fn parts(&self, names: &[String]) -> Result<Parts<'_>, Fault> {
        let part = |name: &String| {
            let (name, path) = self
                .members
                .get_key_value(name)
                .ok_or_else(|| Fault::Failed(format!("no package has {name}")))?;
            Ok(Part { name, path, wheel: None })
        };
        names.iter().map(part).collect::<Result<_, _>>().map(Parts)
    }
}

/// Members of wheels, in order.
pub(crate) struct Parts<'w>(Vec<Part<'w>>);

struct Part<'w> {
    name: &'w str,
    path: &'w Path,
    /// Opened when it is read.
    wheel: Option<ZipArchive<fs_err::File>>,
}

impl Parts<'_> {
    /// Their bytes, concatenated.
    pub(crate) fn reader(&mut self) -> impl Read {
        Joined { now: None, rest: self.0.iter_mut() }
    }
}

impl Part<'_> {
    fn open(&mut self) -> Result<ZipFile<'_, fs_err::File>, Fault> {
        let wheel = self.wheel.insert(open(self.path)?);
        wheel.by_name(self.name).map_err(|error| unreadable(self.path, &error))
    }
}

/// Reads one part after another.
struct Joined<'p, 'w> {
    now: Option<ZipFile<'p, fs_err::File>>,
    rest: std::slice::IterMut<'p, Part<'w>>,
}

impl Read for Joined<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(part) = &mut self.now {
                match part.read(buffer)? {
                    0 => self.now = None,
                    read => return Ok(read),
                }
            }
            let Some(next) = self.rest.next() else { return Ok(0) };
            self.now = Some(next.open().map_err(|fault| io::Error::other(fault.into_reason()))?);
        }
    }
}

fn open(path: &Path) -> Result<ZipArchive<fs_err::File>, Fault> {
    ZipArchive::new(fs_err::File::open(path)?).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &zip::result::ZipError) -> Fault {
    Fault::Failed(format!("{}: {error}", path.display()))
}
