use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use ragbias_core::{Progress, Question, Unit};
use serde_json::json;

use super::malformed;
use super::record::Record;
use super::source::{AnswerSource, Answered, asking};
use crate::Result;

/// Longest line of an answer, in bytes: more is not an answer but a flood.
const LONGEST: usize = 16 << 20;

/// A system that is a program: it reads questions from its standard input, `{"_id", "text"}` on a line, and writes answers to its
/// standard output, `{"_id", "answer", "documents"?, "finish"?}` on a line, in any order, one for each question.
///
/// Its standard error is the user's. It is ended when this is dropped.
pub struct Command {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<std::io::Result<String>>,
    patience: Duration,
    read: usize,
}

impl Command {
    /// Starts a command line of the system's shell; it must give an answer at least every `patience`.
    ///
    /// # Errors
    /// A shell that cannot be started.
    pub fn start(command: &str, patience: Duration) -> Result<Self> {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut child = std::process::Command::new(shell)
            .args([flag, command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (tell, lines) = channel();
        if let Some(output) = output {
            thread::spawn(move || {
                let mut output = BufReader::new(output);
                while let Some(line) = next_line(&mut output) {
                    if tell.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, input, lines, patience, read: 0 })
    }

    /// The next line, with its number.
    fn next(&mut self) -> Result<(usize, String)> {
        let said = self.lines.recv_timeout(self.patience);
        self.read += 1;
        let place = format!("line {} of the command", self.read);
        match said {
            Ok(Ok(line)) => Ok((self.read, line)),
            Ok(Err(error)) => Err(malformed(place, error)),
            Err(RecvTimeoutError::Timeout) => {
                Err(malformed(place, format!("expected an answer within {} s", self.patience.as_secs_f64())))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(malformed(place, "expected an answer, but the command has closed its output"))
            }
        }
    }
}

/// A line without its end; none at the end of the output.
fn next_line(output: &mut impl BufRead) -> Option<std::io::Result<String>> {
    let mut line = Vec::new();
    match std::io::Read::take(&mut *output, LONGEST as u64 + 1).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(length) if length > LONGEST => Some(Err(std::io::Error::other("a line of more than 16 MiB"))),
        Ok(_) => Some(String::from_utf8(line).map_err(std::io::Error::other)),
        Err(error) => Some(Err(error)),
    }
}

impl AnswerSource for Command {
    fn answer(
        &mut self,
        questions: &[&Question],
        request: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Vec<Answered>> {
        let step = progress.begin("asking", questions.len() as u64, Unit::Items);
        let mut input = self.input.take();
        let lines = questions.iter().map(|question| {
            json!({ "_id": question.id, "text": asking(question, request) }).to_string() + "\n"
        });
        let text: String = lines.collect();
        // In a thread of its own: a program may answer before it has read all, and stop reading until its answers are read.
        let writing = thread::spawn(move || {
            if let Some(input) = &mut input {
                input.write_all(text.as_bytes()).and_then(|()| input.flush())?;
            }
            Ok::<_, std::io::Error>(input)
        });
        let mut places: HashMap<&str, usize> =
            questions.iter().enumerate().map(|(place, question)| (question.id.as_str(), place)).collect();
        let mut given: Vec<Option<Answered>> = vec![None; questions.len()];
        while !places.is_empty() {
            let (number, line) = self.next()?;
            if line.trim().is_empty() {
                continue;
            }
            let place = format!("line {number} of the command");
            let record = Record::parse(&line).map_err(|reason| malformed(&place, reason))?;
            let id =
                record.id.clone().ok_or_else(|| malformed(&place, "expected `_id`, that of the question"))?;
            let question = places
                .remove(id.as_str())
                .ok_or_else(|| malformed(&place, format!("`{id}` was not asked, or was answered before")))?;
            given[question] = Some(record.answered());
            step.advance(1);
        }
        self.input = writing.join().unwrap_or(Ok(None)).map_err(|error| malformed("the command", error))?;
        Ok(given.into_iter().flatten().collect())
    }

    fn end(&mut self) -> Result<()> {
        drop(self.input.take());
        if let Ok(line) = self.lines.recv_timeout(self.patience) {
            let line = line.unwrap_or_default();
            if !line.trim().is_empty() {
                return Err(malformed("the command", "it answers more than it was asked"));
            }
        }
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(malformed("the command", format!("it ended with {status}")))
        }
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
