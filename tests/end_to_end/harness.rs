use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The program, with only the models folder taken from the user's settings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragbias"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("RAGBIAS_") && text != "RAGBIAS_MODEL_DIR" {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// `measure` of the default gender data with MiniLM.
pub(crate) const MEASURE_GENDER: [&str; 9] =
    ["measure", "--axis", "gender", "--questions", "gender", "--corpus", "gender", "--embedder", "minilm"];

/// A recipe for a head towards each gender, merged at these weights.
pub(crate) fn gender_recipe(name: &str, merge: &str) -> String {
    format!(
        "name = \"{name}\"\nbase = \"minilm\"\naxis = \"gender\"\ndata = \"gender\"\n[[grid]]\ntowards = [\"female\", \"male\"]\n\
         scope = [\"head\"]\nlearning-rate = [1e-3]\nepochs = [10]\nmerge = {merge}\n"
    )
}

/// The folder of one test, with its own store.
pub(crate) struct Scratch(tempfile::TempDir);

/// The result of a command.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store.sqlite")
    }

    /// Writes a file and returns its path, as text for the command line.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The program in this folder.
    pub(crate) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = program();
        command.current_dir(self.0.path()).args(args).env("RAGBIAS_STORE", self.store());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        done(&mut self.command(args))
    }

    /// Runs a command that must succeed, with `--json`: one object on stdout, and nothing else.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let done = done(self.command(args).arg("--json"));
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        assert_eq!(done.stdout.trim_end().lines().count(), 1, "{}", done.stdout);
        serde_json::from_str(&done.stdout).unwrap()
    }
}

pub(crate) fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Every `step`-th question of a default data set, as a file.
pub(crate) fn some_questions(scratch: &Scratch, set: &str, step: usize) -> String {
    let all = fs_err::read_to_string(root().join("corpora").join(set).join("questions.jsonl")).unwrap();
    let some: Vec<&str> = all.lines().step_by(step).collect();
    scratch.write("questions.jsonl", some.join("\n"))
}
