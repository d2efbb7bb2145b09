use std::collections::HashMap;

use crate::Result;
use crate::findings::{Findings, Place};
use crate::text::shown;

/// Ids read so far: unique, and without surrounding spaces, as in every file that refers to them.
#[derive(Debug, Default)]
pub(crate) struct Ids(HashMap<String, Place>);

impl Ids {
    /// The line, or the row of a Parquet file, of every id.
    pub(crate) fn into_lines(self) -> HashMap<String, usize> {
        let line = |place| match place {
            Place::Line(line) | Place::Row(line) => line,
        };
        self.0.into_iter().map(|(id, place)| (id, line(place))).collect()
    }

    /// The id as used; none if it is invalid and the reader continues.
    ///
    /// # Errors
    /// A blank or duplicate id, if reading stops at the first problem.
    pub(crate) fn take(
        &mut self,
        written: &str,
        place: Place,
        findings: &mut Findings,
    ) -> Result<Option<String>> {
        let id = trimmed(written, place, findings);
        if id.is_empty() {
            findings.wrong(place, "_id: expected a text, received nothing")?;
            return Ok(None);
        }
        if let Some(first) = self.0.get(id) {
            let kind = if matches!(first, Place::Line(_)) { "line " } else { "" };
            let first = first.to_string();
            let reason = format!(
                "_id `{}` occurs twice; it was already used in {kind}{}",
                shown(id),
                first.trim_start()
            );
            findings.wrong(place, reason)?;
            return Ok(None);
        }
        self.0.insert(id.into(), place);
        Ok(Some(id.into()))
    }
}

/// An id without surrounding spaces, with a note if there were any.
pub(crate) fn trimmed<'a>(written: &'a str, place: Place, findings: &mut Findings) -> &'a str {
    let id = written.trim();
    if id.len() < written.len() {
        findings.note_at(place, "spaces around an id, which were removed");
    }
    id
}
