//! The rows of a table: separated, counted, refused where they are ragged; and the numbers in their cells.

use std::borrow::Cow;
use std::collections::VecDeque;

use anyhow::Result;

use super::Missing;
use super::values::{Cell, is_decimal_comma, is_missing};
use crate::dataset::lines::Lines;
use crate::dataset::{Place, quoted};
use crate::error::{Fault, fault};

/// Rows, and bytes of them, from which the layout of a table is told. Two rows are looked at however long they are.
const ROWS: usize = 200;
const BYTES: usize = 4 << 20;

/// A row by the number of its line, and its cells.
pub(super) type Row = (u64, Vec<String>);

/// The rows of a table, one at a time.
pub(super) struct Rows {
    lines: Lines,
    separator: char,
    /// Rows that were read to look at them, and are still to be given.
    ahead: VecDeque<Row>,
}

impl Rows {
    /// The rows of a file whose lines may have `longest` bytes. What separates the cells is told from the first rows.
    pub(super) fn new(lines: Lines, longest: usize) -> Result<Self> {
        let mut lines = lines.with_lines_of(longest);
        lines.checked_head()?;
        let (mut texts, mut bytes) = (Vec::new(), 0);
        while texts.len() < ROWS && (texts.len() < 2 || bytes < BYTES) && lines.advance_to_text()? {
            let line = lines.line()?;
            bytes += line.len();
            texts.push((lines.number(), line.to_owned()));
        }
        let separator = separator(texts.iter().map(|(_, line)| line.as_str()));
        let mut rows = Self { lines, separator, ahead: VecDeque::new() };
        for (number, line) in texts {
            let cells = cells(&line, separator, || rows.lines.place_of(number))?;
            rows.ahead.push_back((number, cells));
        }
        Ok(rows)
    }

    /// The rows that were read to look at them.
    pub(super) fn first(&self) -> impl Iterator<Item = &[String]> {
        self.ahead.iter().map(|(_, cells)| cells.as_slice())
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        if let Some(row) = self.ahead.pop_front() {
            return Ok(Some(row));
        }
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let place = || self.lines.place();
        Ok(Some((self.lines.number(), cells(self.lines.line()?, self.separator, place)?)))
    }

    /// The place of a row by the number of its line.
    pub(super) fn place(&self, number: u64) -> Place {
        self.lines.place_of(number)
    }

    /// Whether cells may have a decimal comma: where something else separates them.
    pub(super) fn commas(&self) -> bool {
        self.separator != ','
    }

    /// What separates the cells and the encoding, in words, where they are not commas and UTF-8.
    pub(super) fn layout(&self) -> Vec<String> {
        let words = match self.separator {
            ';' => Some("semicolons"),
            '\t' => Some("tabs"),
            '|' => Some("vertical bars"),
            _ => None,
        };
        words.map(|words| format!("separated by {words}")).into_iter().chain(self.lines.encoding()).collect()
    }

    /// Checks that a row has as many cells as the first one.
    ///
    /// # Errors
    /// A fault that names the line and both numbers.
    pub(super) fn check(&self, (number, cells): &Row, count: usize) -> Result<(), Fault> {
        if cells.len() == count {
            return Ok(());
        }
        let commas = if self.commas() || cells.len() < count {
            ""
        } else {
            "; where numbers have a decimal comma, separate the columns by semicolons"
        };
        let problem = format!("the row has {} cells where the first one has {count}", cells.len());
        Err(fault(
            self.place(*number),
            problem,
            format!("give each row as many, and leave a cell empty where there is no value{commas}"),
        ))
    }
}

/// What separates the cells: a tab, a semicolon or a vertical bar that nearly all lines have, else a comma.
fn separator<'l>(lines: impl Iterator<Item = &'l str> + Clone) -> char {
    let count = lines.clone().count();
    let in_most = |separator: &char| {
        let with = lines.clone().filter(|line| line.contains(*separator)).count();
        with > 0 && 10 * with >= 9 * count
    };
    ['\t', ';', '|'].into_iter().find(in_most).unwrap_or(',')
}

/// The cells of a line, without white space around them; a cell may stand in double quotes, with doubled ones within.
fn cells(line: &str, separator: char, place: impl Fn() -> Place) -> Result<Vec<String>, Fault> {
    let plain = |cell: &str| cell.trim().to_owned();
    if !line.contains('"') {
        return Ok(line.split(separator).map(plain).collect());
    }
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.trim_start_matches(' ');
        let (cell, behind): (Cow<'_, str>, _) = match start.strip_prefix('"') {
            Some(inner) => quoted_cell(inner).ok_or_else(|| {
                let problem = format!("a double quote opens cell {} and none closes it", cells.len() + 1);
                fault(place(), problem, "close it in the same line, or double the quotes within the cell")
            })?,
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                (rest[..end].into(), &rest[end..])
            }
        };
        cells.push(plain(&cell));
        let behind = behind.trim_start_matches(' ');
        match behind.strip_prefix(separator) {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(cells),
            None => {
                let problem = format!("cell {} goes on behind the double quote that closes it", cells.len());
                return Err(fault(place(), problem, "double the quotes within a cell"));
            }
        }
    }
}

/// The cell that begins behind a double quote, and what stands behind the quote that closes it; `None` where there is none.
fn quoted_cell(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('"')?;
        if text[at + 1..].starts_with('"') {
            from = at + 2;
        } else {
            return Some((text[..at].replace("\"\"", "\"").into(), &text[at + 1..]));
        }
    }
}

/// Reads the numbers of a table, with a decimal point or a decimal comma, and not both.
pub(super) struct Numbers {
    missing: Missing,
    /// Whether a decimal comma is read at all.
    commas: bool,
    /// The mark that was met first, and its line.
    mark: Option<(char, u64)>,
}

impl Numbers {
    pub(super) fn new(missing: Missing, commas: bool) -> Self {
        Self { missing, commas, mark: None }
    }

    /// The value of a cell, NaN for a missing one that is to be filled.
    ///
    /// # Errors
    /// A fault that names the line and the column.
    pub(super) fn value(&mut self, cell: &str, place: &Place, column: impl Fn() -> String) -> Result<f32, Fault> {
        let has_comma = self.commas && is_decimal_comma(cell);
        let mark = if has_comma { Some(',') } else { (cell.contains('.') && !is_missing(cell)).then_some('.') };
        match (mark, self.mark) {
            (Some(mark), Some((other, line))) if mark != other => {
                let problem = format!(
                    "the value of {} is {}, and line {line} has {other:?} as its decimal mark",
                    column(),
                    quoted(cell)
                );
                return Err(fault(
                    place,
                    problem,
                    "write all numbers with one decimal mark, and no mark between thousands",
                ));
            }
            (Some(mark), None) => self.mark = Some((mark, place.line.unwrap_or(0))),
            _ => {}
        }
        let pointed;
        let text = if has_comma {
            pointed = cell.replace(',', ".");
            &pointed
        } else {
            cell
        };
        Cell::of(text).value(cell, self.missing, || place.to_string(), &column)
    }

    /// What is said of the decimal mark, where it is a comma.
    pub(super) fn layout(&self) -> Option<String> {
        self.mark.filter(|(mark, _)| *mark == ',').map(|_| "decimal comma".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_stand_in_quotes_and_a_quote_that_is_left_open_is_named() {
        let place = || Place { path: std::path::Path::new("a.csv").into(), line: Some(3) };
        let of = |line: &str| cells(line, ',', place).map_err(|fault| fault.to_string());
        assert_eq!(of("1, b ,").unwrap(), ["1", "b", ""]);
        assert_eq!(of("\"a, \"\"b\"\"\", \"c\" ,d\"").unwrap(), ["a, \"b\"", "c", "d\""]);
        assert!(of("1,\"b").unwrap_err().contains("a.csv:3: a double quote opens cell 2"));
        assert!(of("\"a\"b,1").unwrap_err().contains("cell 1 goes on behind the double quote"));
    }

    #[test]
    fn the_separator_is_what_nearly_all_lines_have() {
        for (lines, expected) in [
            (&["1,5;2,5", "3;4"][..], ';'),
            (&["1,2", "3,4;5"], ','),
            (&["1\t2,5", "3\t4,5"], '\t'),
            (&["5"], ','),
            (&["a|b"], '|'),
        ] {
            assert_eq!(separator(lines.iter().copied()), expected, "{lines:?}");
        }
    }
}
