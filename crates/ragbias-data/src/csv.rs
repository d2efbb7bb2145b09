//! Parses cells with separators: CSV in its dialects, TSV, and columns separated by white space.

use crate::lines::{LONGEST, Lines};
use crate::{Error, Result};

/// The separator between cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// One character; cells may be in quotes.
    Char(char),
    /// Any white space; cells are never in quotes.
    Spaces,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    /// Its content, without quotes; none if it is blank or null.
    pub(crate) text: String,
    /// Whether a comma in it cannot be a separator.
    pub(crate) commas: bool,
}

/// One record, which may be on several lines.
#[derive(Debug)]
pub(crate) struct Record {
    /// The line that it begins on, from 1.
    pub(crate) line: usize,
    pub(crate) cells: Vec<Cell>,
}

/// The records of a text, one at a time; empty lines are skipped.
pub(crate) struct Records<'a> {
    lines: Lines<'a>,
    separator: Separator,
    /// A record that was peeked at.
    first: Option<Record>,
}

impl<'a> Records<'a> {
    /// Chooses the separator from the first non-empty line.
    pub(crate) fn new(mut lines: Lines<'a>, choose: impl Fn(&str) -> Separator) -> Result<Self> {
        let first = loop {
            match lines.next()? {
                None => break None,
                Some(line) if line.text.trim().is_empty() => {}
                Some(line) => break Some((line.number, line.text.to_owned(), line.end)),
            }
        };
        let mut records = Self { lines, separator: Separator::Char(','), first: None };
        let Some((number, text, end)) = first else { return Ok(records) };
        // A convention of spreadsheets.
        if let Some(named) =
            text.strip_prefix("sep=").map(str::trim_end).filter(|named| named.chars().count() == 1)
        {
            records.separator = Separator::Char(named.chars().next().unwrap_or(','));
        } else {
            records.separator = choose(&text);
            records.first = Some(records.record(number, text, end)?);
        }
        Ok(records)
    }

    pub(crate) fn lines(&self) -> &Lines<'a> {
        &self.lines
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// Those of [`Lines::next`], and quotes that are unclosed or followed by more than a separator, with their line.
    pub(crate) fn next(&mut self) -> Result<Option<Record>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if !line.text.trim().is_empty() {
                let (number, text, end) = (line.number, line.text.to_owned(), line.end);
                return self.record(number, text, end).map(Some);
            }
        }
    }

    fn record(&mut self, number: usize, text: String, end: &'static str) -> Result<Record> {
        let Separator::Char(separator) = self.separator else {
            let cells = text.split_whitespace().map(|cell| Cell { text: cell.into(), commas: true });
            return Ok(Record { line: number, cells: cells.collect() });
        };
        let mut parser = Parser::new(separator);
        let (mut line, mut text, mut end) = (number, text, end);
        loop {
            if let Err(column) = parser.line(&text) {
                let reason = format!(
                    "text after a closing quote, at column {column}\nhint: a quote within quotes is doubled"
                );
                return Err(self.wrong(line, reason));
            }
            if parser.state != State::Quoted {
                return Ok(Record { line: number, cells: parser.end() });
            }
            parser.cell.push_str(end);
            if parser.length() > LONGEST {
                return Err(self.wrong(number, format!("a record of more than {} MiB", LONGEST >> 20)));
            }
            let Some(next) = self.lines.next()? else {
                let reason = "a quote that is opened in this record is never closed\nhint: a quote within quotes is doubled";
                return Err(self.wrong(number, reason));
            };
            (line, text, end) = (next.number, next.text.to_owned(), next.end);
        }
    }

    fn wrong(&self, line: usize, reason: impl Into<String>) -> Error {
        Error::Line { path: self.lines.path().into(), line, reason: reason.into() }
    }
}

/// The most frequent of comma, semicolon, tab and bar in a line, outside quotes; comma if there is none.
pub(crate) fn most_frequent(line: &str) -> Separator {
    let mut counts = [(',', 0), (';', 0), ('\t', 0), ('|', 0)];
    let mut quoted = false;
    for character in line.chars() {
        quoted ^= character == '"';
        if let Some((_, count)) = counts.iter_mut().find(|(separator, _)| !quoted && *separator == character)
        {
            *count += 1;
        }
    }
    // On ties, the first.
    let best = counts.iter().rev().max_by_key(|(_, count)| *count).map_or(',', |(separator, _)| *separator);
    Separator::Char(best)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a cell, apart from spaces.
    Start,
    /// In an unquoted cell.
    Plain,
    /// Within quotes.
    Quoted,
    /// After a quote within quotes: either the end of the cell, or the first half of an escaped quote.
    Quote,
}

struct Parser {
    separator: char,
    state: State,
    cell: String,
    cells: Vec<Cell>,
    quoted: bool,
    /// Bytes of the finished cells.
    done: usize,
}

impl Parser {
    fn new(separator: char) -> Self {
        Self {
            separator,
            state: State::Start,
            cell: String::new(),
            cells: Vec::new(),
            quoted: false,
            done: 0,
        }
    }

    /// Parses one line without its line end; on an error, the column, from 1.
    fn line(&mut self, text: &str) -> Result<(), usize> {
        for (column, character) in text.chars().enumerate() {
            match (self.state, character) {
                (State::Quoted, '"') => self.state = State::Quote,
                (State::Quoted, _) => self.cell.push(character),
                (State::Quote, '"') => {
                    self.cell.push('"');
                    self.state = State::Quoted;
                }
                (_, _) if character == self.separator => self.end_of_cell(),
                (State::Quote, _) if character.is_whitespace() => {}
                (State::Quote, _) => return Err(column + 1),
                (State::Start, '"') => {
                    self.cell.clear();
                    (self.quoted, self.state) = (true, State::Quoted);
                }
                (State::Start, _) if character.is_whitespace() => self.cell.push(character),
                (State::Start | State::Plain, _) => {
                    self.cell.push(character);
                    self.state = State::Plain;
                }
            }
        }
        Ok(())
    }

    fn end_of_cell(&mut self) {
        let text = std::mem::take(&mut self.cell);
        self.done += text.len();
        self.cells.push(Cell { text, commas: self.quoted || self.separator != ',' });
        (self.quoted, self.state) = (false, State::Start);
    }

    fn end(mut self) -> Vec<Cell> {
        self.end_of_cell();
        self.cells
    }

    fn length(&self) -> usize {
        self.done + self.cell.len()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, Vec<String>)>> {
        let mut records = Records::new(Lines::of_text(Path::new("F"), text), most_frequent)?;
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            all.push((record.line, record.cells.into_iter().map(|cell| cell.text).collect()));
        }
        Ok(all)
    }

    #[test]
    fn a_record_has_the_line_that_it_begins_on() {
        let text = "a,b\r\n\r\n\"two\r\nlines\",2\n\n3,\"\"\"q\"\"\"";
        let expected = [
            (1, vec!["a".to_owned(), "b".into()]),
            (3, vec!["two\r\nlines".into(), "2".into()]),
            (6, vec!["3".into(), "\"q\"".into()]),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn quotes_that_make_no_cell_are_refused_with_their_line() {
        let error = |text| read(text).unwrap_err().to_string();
        assert!(error("a,b\nc,\"d\" e\n").starts_with("F:2: text after a closing quote, at column 7"));
        assert!(
            error("a,b\nc,\"d\ne,f\n")
                .starts_with("F:2: a quote that is opened in this record is never closed")
        );
        assert_eq!(read("a, \"b\" ,c\"d\n").unwrap()[0].1, ["a", "b", "c\"d"]);
    }

    #[test]
    fn the_separator_is_the_one_that_the_first_line_has_most() {
        for (line, separator) in
            [("a,b;c,d", ','), ("a;b", ';'), ("a\tb", '\t'), ("a|b", '|'), ("\"a;b\",c", ','), ("a", ',')]
        {
            assert_eq!(most_frequent(line), Separator::Char(separator), "{line}");
        }
        assert_eq!(read("sep=;\na,b;c\n").unwrap(), [(2, vec!["a,b".to_owned(), "c".into()])]);
    }

    /// A cell, quoted if necessary.
    fn quoted(cell: &str) -> String {
        let plain = !cell.is_empty() && !cell.contains(['"', ',', '\n']) && cell.trim() == cell;
        if plain { cell.into() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    }

    proptest! {
        #[test]
        fn cells_are_read_as_they_were_written(
            rows in prop::collection::vec(prop::collection::vec("[ -~\n\r\"é,;王]{0,8}", 2..4), 1..6),
            separator in prop::sample::select(vec![',', ';', '\t', '|']),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ) {
            let width = rows[0].len();
            let cell = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let mut text = vec!["x"; width].join(&separator.to_string()) + end;
            for row in rows.iter().filter(|row| row.len() == width) {
                let cells: Vec<_> = row.iter().map(cell).collect();
                text += &(cells.join(&separator.to_string()) + end);
            }
            let read = read(&text).unwrap();
            let expected: Vec<_> = rows.into_iter().filter(|row| row.len() == width).collect();
            prop_assert_eq!(read.into_iter().skip(1).map(|(_, cells)| cells).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn plain_cells_need_no_quotes(cells in prop::collection::vec("[ -~é\n]{0,6}", 2..5)) {
            let line: Vec<_> = cells.iter().map(|cell| quoted(cell)).collect();
            let text = format!("{}\n{}\n", vec!["x"; cells.len()].join(","), line.join(","));
            prop_assert_eq!(&read(&text).unwrap()[1].1, &cells);
        }
    }
}
