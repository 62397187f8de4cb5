//! `label<TAB>text`, one example a line: what most sentiment sets are exchanged in, and what Latch writes.

use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};

use super::lines::Lines;
use super::table::Table;
use super::{Example, Row, Source};
use crate::error::fault;
use crate::files::{Staged, stage};

/// Reads examples from the lines of a file. Of two columns, the text has all tabs but the first, or all but the last where the label stands behind it.
pub(super) struct Rows {
    lines: Lines,
    table: Table,
    is_first: bool,
}

impl Rows {
    pub(super) fn new(lines: Lines, table: Table) -> Self {
        Self { lines, table, is_first: true }
    }

    fn read(&mut self) -> Result<Option<Row>> {
        while self.lines.advance_to_text()? {
            let line = self.lines.line()?;
            let Table { separator, label, text, count, least, header, .. } = self.table;
            if std::mem::take(&mut self.is_first) && header {
                continue;
            }
            if count > 2 {
                let fields: Vec<&str> = line.split(separator).collect();
                if !(least..=count).contains(&fields.len()) {
                    let problem = format!("the number of columns is {} where the first line has {count}", fields.len());
                    let remedy = "separate columns by one tab, and write no tab within a text";
                    return Err(fault(self.lines.place(), problem, remedy).into());
                }
                let place = self.lines.place();
                return Ok(Some(Row { label: fields[label].to_owned(), text: fields[text].to_owned(), place }));
            }
            let pair = if label == 0 {
                line.split_once(separator)
            } else {
                line.rsplit_once(separator).map(|(text, label)| (label, text))
            };
            let Some((label, text)) = pair else {
                return Err(fault(
                    self.lines.place(),
                    "the line has no tab between a label and a text",
                    "write label<TAB>text, one example a line",
                )
                .into());
            };
            return Ok(Some(Row { label: label.to_owned(), text: text.to_owned(), place: self.lines.place() }));
        }
        Ok(None)
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for Rows {
    fn layout(&self) -> Vec<String> {
        self.table.words.iter().cloned().chain(self.lines.encoding()).collect()
    }

    fn progress(&self) -> (u64, u64) {
        self.lines.progress()
    }
}

/// Writes `examples` to `path` as gzip-compressed `label<TAB>text` lines: all or nothing, and the same bytes for the same examples. A label is its class's
/// name in `classes`, or its number where that has none.
///
/// Within a text, each tab and each line break, of whatever kind, becomes a space.
///
/// # Errors
/// As [`write_atomically`](crate::files::write_atomically).
pub fn write_tsv_gz<'a>(
    path: &Path,
    classes: &[String],
    examples: impl IntoIterator<Item = &'a Example>,
) -> Result<()> {
    stage_tsv_gz(path, classes, examples)?.keep()
}

/// [`write_tsv_gz`] up to the point where the file gets its name.
///
/// # Errors
/// As [`stage`].
pub fn stage_tsv_gz<'a>(
    path: &Path,
    classes: &[String],
    examples: impl IntoIterator<Item = &'a Example>,
) -> Result<Staged> {
    stage(path, |file| {
        // No name and no time of day go into the header of the gzip file.
        let mut encoder = BufWriter::with_capacity(1 << 16, GzEncoder::new(file, Compression::default()));
        for example in examples {
            match classes.get(example.label as usize) {
                Some(name) => write!(encoder, "{}", in_one_line(name))?,
                None => write!(encoder, "{}", example.label)?,
            }
            writeln!(encoder, "\t{}", in_one_line(&example.text))?;
        }
        encoder.flush()?;
        encoder.get_mut().try_finish()?;
        Ok(())
    })
}

/// `text` with a space for each tab and for each character that some reader takes for the end of a line.
pub(super) fn in_one_line(text: &str) -> Cow<'_, str> {
    let breaks = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    if text.contains(breaks) { Cow::Owned(text.replace(breaks, " ")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{example, fault_of, load_bytes};
    use super::*;
    use crate::dataset::Dataset;

    #[test]
    fn rows_are_read_with_line_ends_of_either_kind_and_blank_lines() {
        let set = load_bytes("a.tsv", b"0\tbad\r\n\n1\tgood\tand more\n \t \n1\t\"quoted\"").unwrap();
        assert_eq!(set.examples, [example(0, "bad"), example(1, "good\tand more"), example(1, "\"quoted\"")]);
    }

    #[test]
    fn a_header_is_skipped_in_the_first_line_only() {
        let set = load_bytes("a.tsv", b"Label\tText\n0\tbad\n1\tgood\n").unwrap();
        assert_eq!(set.examples.len(), 2);
        assert_eq!(load_bytes("a.tsv", b"0\tbad\nlabel\ttext\n").unwrap().classes, ["0", "label"]);
    }

    #[test]
    fn a_line_without_a_tab_and_an_empty_label_are_faults_with_their_line() {
        let message = fault_of("a.tsv", b"0\tbad\n\n1 good\n");
        assert!(message.contains("a.tsv:3: the line has no tab"), "{message}");
        let message = fault_of("a.tsv", b"0\tbad\n \tgood\n");
        assert!(message.contains("a.tsv:2: the label is empty"), "{message}");
    }

    #[test]
    fn a_label_may_stand_behind_its_text_and_the_text_may_have_tabs() {
        let rows = b"a fine\tfilm\tham\nwin a prize now\tspam\nhello you there\tham\nwin more of them\tspam\n";
        let set = load_bytes("a.tsv", rows).unwrap();
        assert_eq!((set.classes.join(" "), set.examples[0].text.as_str()), ("ham spam".into(), "a fine\tfilm"));
        assert_eq!(set.layout, "label column 2, text column 1, no header");
    }

    #[test]
    fn a_table_with_tabs_has_its_columns_by_their_names_and_as_many_in_every_row() {
        let text = "id\tcategory\tmessage\n1\tham\thello\n2\tspam\twin\n";
        let set = load_bytes("a.tsv", text.as_bytes()).unwrap();
        assert_eq!((set.classes.join(" "), set.examples[1].text.as_str()), ("ham spam".into(), "win"));
        let message = fault_of("a.tsv", format!("{text}3\tspam\twin\tmore\n").as_bytes());
        assert!(message.contains("a.tsv:4: the number of columns is 4 where the first line has 3"), "{message}");
    }

    #[test]
    fn what_is_written_is_read_again_and_twice_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let examples =
            vec![example(0, "bad\tand\r\nworse\u{2028}"), example(1, "good \u{feff}<br /> ünïcode"), example(1, "")];
        let path = folder.path().join("a.tsv.gz");
        write_tsv_gz(&path, &["no".into(), "a\tyes".into()], &examples).unwrap();
        let first = std::fs::read(&path).unwrap();
        write_tsv_gz(&path, &["no".into(), "a\tyes".into()], &examples).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        let set = Dataset::load(&path).unwrap();
        assert_eq!(set.classes, ["a yes", "no"]);
        let numbers = |set: &Dataset| set.examples.iter().map(|example| example.label).collect::<Vec<_>>();
        assert_eq!(numbers(&set), [1, 0, 0]);
        write_tsv_gz(&path, &[], &examples).unwrap();
        let set = Dataset::load(&path).unwrap();
        assert_eq!(set.examples[0], example(0, "bad and  worse "));
        assert_eq!(set.examples[1..], examples[1..]);
    }
}
