//! Runs `pip download`, for wheels only.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use ragbias_core::Step;

use crate::receive::{Fault, Wanted};

/// Arguments of pip: only wheels, which it downloads without running them.
///
/// Python is isolated (`-I`) from its working folder and from `PYTHON*` variables. Of the user's `PIP_*` variables
/// and pip's configuration files, the settings for locating and reaching the index remain in force.
const DOWNLOAD: [&str; 12] = [
    "-I",
    "-m",
    "pip",
    "download",
    "--only-binary=:all:",
    "--no-deps",
    "--quiet",
    "--no-input",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--progress-bar=off",
    "--dest",
];

/// pip's variables for locating and reaching the index.
const KEPT: [&str; 14] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_PROXY",
    "PIP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "PIP_CONFIG_FILE",
    "PIP_KEYRING_PROVIDER",
    "PIP_USE_FEATURE",
];

/// Interval for checking the progress.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Maximum bytes read of pip's output.
const MOST_SAID: u64 = 1 << 16;

/// The user's pip.
#[derive(Debug, Default)]
pub(crate) struct Pip {
    /// Additional environment variables.
    #[cfg(test)]
    pub(crate) variables: Vec<(String, String)>,
}

impl Pip {
    /// Downloads one wheel into an empty folder, and returns its path; a download that turns out too large is
    /// stopped.
    pub(crate) fn download(
        &self,
        wanted: Wanted<'_>,
        scratch: &Path,
        step: &dyn Step,
    ) -> Result<PathBuf, Fault> {
        let target = scratch.join("wheel");
        let said = scratch.join("said");
        let mut pip = self.spawn(wanted.name, &target, scratch, &said)?;
        let mut seen = 0;
        // pip writes into its temporary directory, which is ours: its growth is the progress.
        let status = loop {
            if let Some(status) = pip.0.try_wait()? {
                break status;
            }
            let size = largest_below(scratch);
            if size > wanted.bytes {
                return Err(wanted.too_long());
            }
            step.advance(size.saturating_sub(seen));
            seen = seen.max(size);
            std::thread::sleep(LOOK_EVERY);
        };
        let wheel = the_wheel(&target);
        match wheel {
            Some(wheel) if status.success() => {
                step.advance(wanted.bytes.saturating_sub(seen));
                Ok(wheel)
            }
            _ => Err(Fault::Failed(format!("{}: {}", wanted.name, complaint(&said, status)))),
        }
    }

    /// Python, with the user's settings that remain in force.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "a test has settings of its own"))]
    fn command(&self, python: &str) -> Command {
        let mut command = Command::new(python);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            if text.starts_with("PIP_") && !KEPT.contains(&text.as_str()) {
                command.env_remove(name);
            }
        }
        #[cfg(test)]
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Tries the usual names of Python; each can run pip as a module.
    fn spawn(&self, requirement: &str, target: &Path, scratch: &Path, said: &Path) -> Result<Running, Fault> {
        for python in ["python3", "python"] {
            let mut command = self.command(python);
            let child = command
                .args(DOWNLOAD)
                .arg(target)
                .arg(requirement)
                .env("TMPDIR", scratch)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs_err::File::create(said)?.into_parts().0)
                .spawn();
            match child {
                Ok(child) => return Ok(Running(child)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Fault::Failed(format!("{python}: {error}"))),
            }
        }
        Err(Fault::Failed("no python3 on this machine (its pip fetches packages)".into()))
    }
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The only file of a folder, if its name is that of a wheel.
fn the_wheel(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs_err::read_dir(folder).ok()?;
    let path = entries.next()?.ok()?.path();
    (entries.next().is_none() && path.is_file() && path.extension().is_some_and(|end| end == "whl"))
        .then_some(path)
}

fn largest_below(folder: &Path) -> u64 {
    let Ok(entries) = fs_err::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => largest_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.max().unwrap_or(0)
}

/// The reason for a failure, from pip's output.
fn complaint(said: &Path, status: ExitStatus) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = fs_err::File::open(said) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(MOST_SAID)));
        let _ = file.take(MOST_SAID).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find(|line| line.contains("ERROR")).or(text.lines().next_back());
    match line {
        Some(line) => format!("pip failed ({status}): {}", line.trim()),
        None if status.success() => "pip gave no wheel".into(),
        None => format!("pip failed ({status})"),
    }
}
