//! Texts by lines whose labels are told by a regular expression: `--label-pattern`.

use anyhow::Result;
use regex::Regex;

use super::lines::Lines;
use super::{Row, Source, quoted};
use crate::error::{Fault, fault};

/// The regular expression of `--label-pattern`: its first group is the label.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn compiled(pattern: &str) -> Result<Regex, Fault> {
    let example = r"write for example '^(\w+): ', whose group is the label";
    let regex = Regex::new(pattern).map_err(|error| {
        // What the crate shows besides are lines of the pattern with a mark below.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
        fault("--label-pattern", format!("{} is no regular expression ({reason})", quoted(pattern)), example)
    })?;
    if regex.captures_len() < 2 {
        return Err(fault("--label-pattern", format!("{} has no group in brackets", quoted(pattern)), example));
    }
    Ok(regex)
}

/// Reads a line as a text: what the pattern matches is taken off, and its first group is the label.
pub(super) struct Matches {
    lines: Lines,
    pattern: Regex,
    words: String,
}

impl Matches {
    pub(super) fn new(lines: Lines, pattern: Regex) -> Self {
        let words = format!("labels by the pattern '{pattern}'");
        Matches { lines, pattern, words }
    }

    fn read(&mut self) -> Result<Option<Row>> {
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let (line, place) = (self.lines.line()?, self.lines.place());
        let Some((found, label)) = self.pattern.captures(line).and_then(|found| Some((found.get(0)?, found.get(1)?)))
        else {
            let problem = format!("--label-pattern finds no label in {}", quoted(line.trim()));
            return Err(fault(place, problem, "change the pattern, or remove the line").into());
        };
        let text = [&line[..found.start()], &line[found.end()..]].concat().trim().to_owned();
        Ok(Some(Row { label: label.as_str().to_owned(), text, place }))
    }
}

impl Iterator for Matches {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Source for Matches {
    fn layout(&self) -> Vec<String> {
        [self.words.clone()].into_iter().chain(self.lines.encoding()).collect()
    }

    fn progress(&self) -> (u64, u64) {
        self.lines.progress()
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::{Columns, Dataset, Part, Reading};
    use crate::error::exit_code;

    fn load(text: &str, pattern: &str) -> anyhow::Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("questions.label");
        std::fs::write(&path, text).unwrap();
        let columns = Columns { pattern: Some(pattern.into()), ..Columns::default() };
        Dataset::load_for(&path, Part::Train, &Reading::default().within(columns))
    }

    const QUESTIONS: &str = "DESC:manner How did it end, and why ?\n\nENTY:animal What\tflies ?\r\n";

    #[test]
    fn the_first_group_is_the_label_and_the_match_is_taken_off() {
        let texts = |set: &Dataset| set.examples.iter().map(|example| example.text.clone()).collect::<Vec<_>>();
        let coarse = load(QUESTIONS, r"^(\w+):\w+ ").unwrap();
        assert_eq!(coarse.classes, ["DESC", "ENTY"]);
        assert_eq!(texts(&coarse), ["How did it end, and why ?", "What\tflies ?"]);
        assert_eq!(texts(&load(QUESTIONS, r"^(\w+):").unwrap())[0], "manner How did it end, and why ?");
        let fine = load(QUESTIONS, r"^(\w+:\w+) ").unwrap();
        assert_eq!(
            (fine.classes, fine.layout),
            (
                vec!["DESC:manner".to_owned(), "ENTY:animal".to_owned()],
                r"labels by the pattern '^(\w+:\w+) '".to_owned()
            )
        );
        let last = load("so good #happy\nso bad #sad\n", r"#(\w+)$").unwrap();
        assert_eq!((texts(&last)[1].as_str(), last.classes.join(" ")), ("so bad", "happy sad".to_owned()));
    }

    #[test]
    fn a_line_without_a_label_and_a_pattern_without_a_group_are_refused() {
        for (text, pattern, words) in [
            ("A: x\nno label\n", r"^(\w+):", "questions.label:2: --label-pattern finds no label in \"no label\""),
            (QUESTIONS, r"^\w+:", "has no group"),
            (QUESTIONS, r"^(\w+:", "is no regular expression (unclosed group)"),
        ] {
            let error = load(text, pattern).unwrap_err();
            assert_eq!(exit_code(&error), 2);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
