//! `label<TAB>text`, one example a line: what most sentiment sets are exchanged in, and what Latch writes.

use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};

use super::lines::Lines;
use super::{Example, Label, Source, Task};
use crate::error::fault;
use crate::files::{Staged, stage};

/// Reads examples from the lines of a file. The text is everything after the first tab. A first line `label<TAB>text` is a header.
pub(super) struct Rows {
    lines: Lines,
    task: Task,
}

impl Rows {
    pub(super) fn new(lines: Lines, task: Task) -> Self {
        Self { lines, task }
    }

    fn read(&mut self) -> Result<Option<Example<Label>>> {
        while self.lines.advance_to_text()? {
            let Some((label, text)) = self.lines.line()?.split_once('\t') else {
                return Err(fault(
                    self.lines.place(),
                    "the line has no tab between a label and a text",
                    "write label<TAB>text, one example a line",
                )
                .into());
            };
            if self.lines.number() == 1
                && ["label", "labels"].iter().any(|name| label.trim().eq_ignore_ascii_case(name))
            {
                continue;
            }
            let label = self.task.label(label, text, || self.lines.place())?;
            let text = text.to_owned();
            return Ok(Some(Example { label, text }));
        }
        Ok(None)
    }
}

impl Iterator for Rows {
    type Item = Result<Example<Label>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for Rows {
    fn place(&self) -> String {
        self.lines.place()
    }
}

/// Writes `examples` to `path` as gzip-compressed `label<TAB>text` lines: all or nothing, and the same bytes for the same examples.
///
/// Within a text, each tab and each line break, of whatever kind, becomes a space.
///
/// # Errors
/// As [`write_atomically`](crate::files::write_atomically).
pub fn write_tsv_gz<'a>(path: &Path, examples: impl IntoIterator<Item = &'a Example>) -> Result<()> {
    stage_tsv_gz(path, examples)?.keep()
}

/// [`write_tsv_gz`] up to the point where the file gets its name.
///
/// # Errors
/// As [`stage`].
pub fn stage_tsv_gz<'a>(path: &Path, examples: impl IntoIterator<Item = &'a Example>) -> Result<Staged> {
    stage(path, |file| {
        // No name and no time of day go into the header of the gzip file.
        let mut encoder = BufWriter::with_capacity(1 << 16, GzEncoder::new(file, Compression::default()));
        for example in examples {
            writeln!(encoder, "{}\t{}", example.label, in_one_line(&example.text))?;
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
        let set = load_bytes("a.tsv", b"0\tbad\r\n\n1\tgood\tand more\n \t \npos\t\"quoted\"").unwrap();
        assert_eq!(set.examples, [example(0, "bad"), example(1, "good\tand more"), example(1, "\"quoted\"")]);
    }

    #[test]
    fn a_header_is_skipped_in_the_first_line_only() {
        let set = load_bytes("a.tsv", b"Label\tText\n0\tbad\n1\tgood\n").unwrap();
        assert_eq!(set.examples.len(), 2);
        assert!(fault_of("a.tsv", b"0\tbad\nlabel\ttext\n").contains("a.tsv:2: the label \"label\""));
    }

    #[test]
    fn a_line_without_a_tab_and_an_unknown_label_are_faults_with_their_line() {
        let message = fault_of("a.tsv", b"0\tbad\n\n1 good\n");
        assert!(message.contains("a.tsv:3: the line has no tab"), "{message}");
        let message = fault_of("a.tsv", b"0\tbad\n7\tgood\n");
        assert!(message.contains("a.tsv:2: the label \"7\" is unknown"), "{message}");
    }

    #[test]
    fn what_is_written_is_read_again_and_twice_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let examples =
            vec![example(0, "bad\tand\r\nworse\u{2028}"), example(1, "good \u{feff}<br /> ünïcode"), example(1, "")];
        let path = folder.path().join("a.tsv.gz");
        write_tsv_gz(&path, &examples).unwrap();
        let first = std::fs::read(&path).unwrap();
        write_tsv_gz(&path, &examples).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        let set = Dataset::load(&path).unwrap();
        assert_eq!(set.examples[0], example(0, "bad and  worse "));
        assert_eq!(set.examples[1..], examples[1..]);
    }
}
