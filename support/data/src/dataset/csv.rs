//! Tables whose fields may stand in quotes, as in RFC 4180: comma-separated values, also with semicolons or tabs in place of the commas.
//!
//! This file finds where a record ends, so that a record is limited, counted and refused like a line of any other format; the crate
//! csv takes the record apart.

use std::collections::HashSet;
use std::io::{self, Read};

use anyhow::{Context, Result};
use csv::{Reader, ReaderBuilder, StringRecord};

use super::classes::{number, plain};
use super::lines::{Lines, MAX_LINE, too_long};
use super::table::Table;
use super::{MAX_CLASSES, Place, Row, Source, Task};
use crate::error::fault;

/// Reads examples from the records of a file.
pub(super) struct Records {
    reader: Reader<Feed>,
    task: Task,
    table: Table,
    /// The labels so far, of a task of classes.
    labels: HashSet<String>,
    is_first: bool,
    fields: StringRecord,
}

impl Records {
    pub(super) fn new(lines: Lines, task: Task, table: Table) -> Self {
        let separator = table.separator as u8;
        let feed = Feed { lines, separator, record: Vec::new(), given: 0, number: 0, refusal: None };
        let mut builder = ReaderBuilder::new();
        Self {
            reader: builder.has_headers(false).flexible(true).delimiter(separator).from_reader(feed),
            task,
            table,
            labels: HashSet::new(),
            is_first: true,
            fields: StringRecord::new(),
        }
    }

    fn read(&mut self) -> Result<Option<Row>> {
        loop {
            let outcome = self.reader.read_record(&mut self.fields);
            let feed = self.reader.get_mut();
            if let Some(refusal) = feed.refusal.take() {
                return Err(refusal);
            }
            if !outcome.with_context(|| feed.place())? {
                return Ok(None);
            }
            if std::mem::take(&mut self.is_first) && self.table.header {
                continue;
            }
            let Table { label, text, count, least, .. } = self.table;
            if !(least..=count).contains(&self.fields.len()) {
                return Err(fault(
                    feed.place(),
                    format!("the number of fields is {} where the first record has {count}", self.fields.len()),
                    "put a text that has commas or quotes in double quotes",
                )
                .into());
            }
            let place = feed.place();
            let next_line = feed.number + 1;
            if self.has_swallowed_others() {
                return Err(fault(
                    place,
                    format!(
                        "a double quote opens a text here that has whole records in it, the first in line {next_line}"
                    ),
                    "close it, or put the text in double quotes and double those within it",
                )
                .into());
            }
            let row = Row { label: self.fields[label].to_owned(), text: self.fields[text].to_owned(), place };
            if !self.task.has_values() && self.labels.len() < MAX_CLASSES as usize {
                let known = &mut self.labels;
                known.extend(row.label.split_whitespace().map(str::to_owned));
                known.insert(plain(&row.label).to_owned());
            }
            return Ok(Some(row));
        }
    }

    /// Whether the text is others' records: two stray quotes make one text of all that stands between them. A text whose inner lines are all
    /// records with a label that other records have, and at least two, is taken for that.
    fn has_swallowed_others(&self) -> bool {
        let is_label = |label: &str| match (self.task.has_values(), self.task.each_step()) {
            (true, _) => label.split_whitespace().all(|word| number(word).is_some()),
            (false, true) => label.split_whitespace().all(|word| self.labels.contains(word)),
            (false, false) => self.labels.contains(plain(label)),
        };
        let is_record = |line: &str| {
            let mut parts = line.split(self.table.separator);
            let label = parts.clone().nth(self.table.label);
            !line.contains('"') && parts.by_ref().count() == self.table.count && label.is_some_and(is_label)
        };
        let text = &self.fields[self.table.text];
        let inner = text.lines().count().saturating_sub(2);
        inner >= 2 && text.lines().skip(1).take(inner).all(is_record)
    }
}

impl Iterator for Records {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for Records {
    fn layout(&self) -> Vec<String> {
        self.table.words.iter().cloned().chain(self.reader.get_ref().lines.encoding()).collect()
    }

    fn progress(&self) -> (u64, u64) {
        self.reader.get_ref().lines.progress()
    }
}

/// The bytes of a file for the parser, never more than one record ahead, so that the record that the parser has just taken apart is
/// the one that stands here.
struct Feed {
    lines: Lines,
    separator: u8,
    /// The current record: its lines, each with LF at its end.
    record: Vec<u8>,
    /// How many bytes of it the parser has.
    given: usize,
    /// The number of its first line.
    number: u64,
    /// Why there is no next record, if that is not the end of the file.
    refusal: Option<anyhow::Error>,
}

impl Feed {
    /// The place of the current record, by its first line.
    fn place(&self) -> Place {
        self.lines.place_of(self.number)
    }

    /// Goes to the next record; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.record.clear();
        self.given = 0;
        if !self.lines.advance_to_text()? {
            return Ok(false);
        }
        self.number = self.lines.number();
        let mut quote = Quote::FieldStart;
        loop {
            let line = self.lines.line()?;
            quote = quote.after(line, self.separator).map_err(|Trailing(column)| {
                let end = self.lines.number();
                fault(
                    self.lines.place_of(self.number),
                    format!(
                        "a quoted text of this record is closed in line {end}, column {column}, and goes on behind that"
                    ),
                    "put the text in double quotes and double those within it",
                )
            })?;
            self.record.extend_from_slice(line.as_bytes());
            if self.record.len() > MAX_LINE {
                return Err(too_long(self.place()));
            }
            self.record.push(b'\n');
            if quote != Quote::Inside {
                return Ok(true);
            }
            if !self.lines.advance()? {
                return Err(fault(
                    self.place(),
                    "a double quote opens a field here and none closes it",
                    "close it, or double the quotes within a quoted text",
                )
                .into());
            }
        }
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.record.len() {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    self.refusal = Some(error);
                    return Err(io::Error::other("the record is refused"));
                }
            }
        }
        let length = buffer.len().min(self.record.len() - self.given);
        buffer[..length].copy_from_slice(&self.record[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

/// Where a position in a record is in respect to double quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// At the start of a field: a quote here opens it.
    FieldStart,
    /// In a field without quotes: a quote here is a character like others.
    Outside,
    /// In a quoted field, where separators and line ends belong to the text.
    Inside,
    /// After a quote in a quoted field: it closes the field, or a second one makes it a character.
    Closing,
}

/// There is more behind the quote that closes a field than RFC 4180 permits: at this byte of the line, from 1.
struct Trailing(usize);

impl Quote {
    /// Where a position that was `self` is after the line `text`.
    fn after(self, text: &str, separator: u8) -> Result<Self, Trailing> {
        let (mut quote, mut at) = (self, 0);
        while let Some(rest) = text.as_bytes().get(at..).filter(|rest| !rest.is_empty()) {
            let step = match (quote, rest[0]) {
                // Most bytes stand in quotes, or in a line that has none.
                (Self::Inside, _) => match rest.iter().position(|&byte| byte == b'"') {
                    Some(length) => (Self::Closing, length + 1),
                    None => return Ok(Self::Inside),
                },
                (Self::FieldStart | Self::Closing, b'"') => (Self::Inside, 1),
                (_, byte) if byte == separator => (Self::FieldStart, 1),
                (Self::Closing, _) => return Err(Trailing(at + 1)),
                _ => {
                    let length = rest.iter().position(|&byte| byte == separator);
                    (Self::Outside, length.unwrap_or(rest.len()))
                }
            };
            (quote, at) = (step.0, at + step.1);
        }
        Ok(quote)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{example, fault_of, load_bytes};
    use crate::dataset::Dataset;

    fn load(text: &str) -> Dataset {
        load_bytes("a.csv", text.as_bytes()).unwrap()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order_among_others() {
        let expected = [example(1, "good, \"really\""), example(0, "bad")];
        for text in [
            "label,text\n1,\"good, \"\"really\"\"\"\n0,bad\n",
            "review,sentiment\n\"good, \"\"really\"\"\",positive\nbad,Negative\n",
            "id,Text,source, LABEL \n7,\"good, \"\"really\"\"\",x,1\n8,bad,y,0.0\n",
            "1,\"good, \"\"really\"\"\"\n0,bad\n",
            "\"good, \"\"really\"\"\",pos\nbad,neg\n",
        ] {
            assert_eq!(load(text).examples, expected, "{text}");
        }
    }

    #[test]
    fn a_quoted_text_may_have_line_ends_and_a_bare_one_may_have_quotes() {
        let set = load("label,text\r\n1,\"two\r\n\r\nlines\"\r\n\r\n0,a 6\" screen\r\n");
        assert_eq!(set.examples, [example(1, "two\n\nlines"), example(0, "a 6\" screen")]);
    }

    #[test]
    fn faults_name_the_first_line_of_the_record_whatever_the_line_ends() {
        for end in ["\n", "\r\n"] {
            let text = ["label,text", "1,\"two", "lines\"", "", "0,bad", " ,y", ""].join(end);
            let message = fault_of("a.csv", text.as_bytes());
            assert!(message.contains("a.csv:6: the label is empty"), "{message}");
        }
    }

    #[test]
    fn a_record_with_too_many_or_too_few_fields_is_a_fault() {
        let message = fault_of("a.csv", b"label,text\n0,bad\n1,good, really\n");
        assert!(message.contains("a.csv:3: the number of fields is 3 where the first record has 2"), "{message}");
        assert!(fault_of("a.csv", b"label,text\n0\n").contains("a.csv:2: the number of fields is 1 "));
    }

    #[test]
    fn a_quote_that_is_never_closed_is_a_fault_at_its_line() {
        let message = fault_of("a.csv", b"label,text\n0,\"bad\n1,good\n");
        assert!(message.contains("a.csv:2: a double quote opens"), "{message}");
        // And one that would swallow megabytes is refused at the limit.
        let long = format!("label,text\n0,\"bad\n{}", "1,good and long enough\n".repeat(300_000));
        assert!(fault_of("a.csv", long.as_bytes()).contains("a.csv:2: this text is longer"));
    }

    #[test]
    fn stray_quotes_are_a_fault_and_swallow_no_rows() {
        let text = "label,text\n0,good film\n1,\"bad film\n0,nice film\n0,\"so he said\n1,dull film\n";
        let message = fault_of("a.csv", text.as_bytes());
        assert!(
            message.contains("a.csv:3: a quoted text of this record is closed in line 5, column 4, and goes on"),
            "{message}"
        );
        assert!(fault_of("a.csv", b"0,bad\n1,\"good\" film\n").contains("a.csv:2: "));
        assert!(fault_of("a.csv", b"0,bad\n1,\"good\" \n").contains("a.csv:2: "));

        let mut rows: Vec<String> = (1..=1000).map(|row| format!("{},text {row}", row % 2)).collect();
        rows[299] = "1,\"text 300".to_owned();
        rows[699] = "0,text 700\"".to_owned();
        let message = fault_of("a.csv", format!("label,text\n{}\n", rows.join("\n")).as_bytes());
        assert!(
            message.contains("a.csv:301: ") && message.contains("whole records in it, the first in line 302"),
            "{message}"
        );
    }

    #[test]
    fn a_text_of_many_lines_is_no_fault_even_where_some_look_like_records() {
        let set = load("label,text\n1,\"a list:\n1,good\n0,bad\nthat is all,\nreally\"\n0,\"two\n0,bad\nlines\"\n");
        assert_eq!(set.examples[0].text, "a list:\n1,good\n0,bad\nthat is all,\nreally");
        assert_eq!(set.examples[1].text, "two\n0,bad\nlines");
    }

    #[test]
    fn a_file_without_a_label_or_text_column_is_a_fault_that_lists_the_columns() {
        for text in ["id,label\n7,1\n", "id,label,body,title\n7,1,x,y\n8,0,y,x\n", "7,1,x\n8,0,y\n"] {
            let message = fault_of("a.csv", text.as_bytes());
            assert!(
                message.contains("it is not clear which column has the ") && message.contains("1 (\""),
                "{message}"
            );
            assert!(message.contains("-column"), "{message}");
        }
        assert!(fault_of("a.csv", b"label\n1\n").contains("a.csv"));
    }
}
