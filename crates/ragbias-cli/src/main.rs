//! The ragbias command line.

mod args;
mod commands;
mod corrections;
mod cpu;
mod flags;
mod npy;
mod output;
mod progress;
mod table;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use ragbias::core::message;
use ragbias::generate::without_secrets;

use crate::args::Args;
use crate::output::OutputError;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help) => return print_help(&help),
    };
    match commands::run(&args) {
        Ok(code) => code,
        Err(error) if matches!(error.downcast_ref(), Some(OutputError::Closed)) => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&message(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Help, the version, or a usage error.
fn print_help(help: &clap::Error) -> ExitCode {
    let code = ExitCode::from(u8::try_from(help.exit_code()).unwrap_or(u8::MAX));
    let text = help.render().to_string();
    let shown = without_secrets(&text);
    // The message repeats an address given in the wrong place.
    if help.use_stderr() && shown != text {
        progress::say(shown.trim_end());
        return code;
    }
    match help.print() {
        Ok(()) => code,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&OutputError::from(error).to_string());
            ExitCode::FAILURE
        }
    }
}
