//! What verbs print, and where: with `--json` one line for machines on standard output, and everything else on standard error.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::Result;
use latch_data::misuse::MORE;
use serde::Serialize;
use terminal_size::terminal_size;
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter};

use crate::dataset::Task;
use crate::error::writing;
use crate::metrics::scores::{ClassScore, Scores};
use crate::shown::shown_lines;

/// An accuracy in words; of values it is R².
pub(super) fn accuracy(task: Task, accuracy: f64) -> String {
    if task.has_values() { format!("R² {accuracy:.4}") } else { format!("accuracy {:.2} %", 100.0 * accuracy) }
}

/// An accuracy in few letters; of values it is R².
pub(super) fn score(task: Task, accuracy: f64) -> String {
    if task.has_values() { format!("R² {accuracy:.4}") } else { format!("{:.2} %", 100.0 * accuracy) }
}

/// How one class fares, as JSON has it.
#[derive(Serialize)]
struct PerClass<'a> {
    class: &'a str,
    #[serde(flatten)]
    score: ClassScore,
}

impl<'a> PerClass<'a> {
    /// All classes, by their names.
    fn of(scores: &Scores, names: &'a [String]) -> Vec<Self> {
        names.iter().zip(&scores.classes).map(|(class, &score)| PerClass { class, score }).collect()
    }
}

/// How classes fare, as JSON has it.
#[derive(Serialize)]
pub(super) struct ClassScores<'a> {
    macro_f1: f64,
    balanced_accuracy: f64,
    /// How each class fares, in the order of their numbers.
    per_class: Vec<PerClass<'a>>,
    /// Classes that are a label and never an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    never_answered: Vec<&'a str>,
}

impl<'a> ClassScores<'a> {
    /// The scores of classes with these names.
    pub(super) fn of(scores: &Scores, names: &'a [String]) -> Self {
        ClassScores {
            macro_f1: scores.macro_f1,
            balanced_accuracy: scores.balanced_accuracy,
            per_class: PerClass::of(scores, names),
            never_answered: scores.never_answered().into_iter().map(|class| &*names[class]).collect(),
        }
    }
}

/// Prints one line of JSON on standard output.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value)?;
    writeln!(std::io::stdout().lock(), "{line}").map_err(printing)
}

/// Prints a verb's answer on standard output; that it cannot be written is an error, because nothing else is left of it.
pub(super) fn print(text: std::fmt::Arguments<'_>) -> Result<()> {
    let text = text.to_string();
    let out = std::io::stdout();
    writeln!(out.lock(), "{}", wrapped(&shown_lines(&text), columns(&out))).map_err(printing)
}

/// Prints what another program is to read, as it is.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<()> {
    std::io::stdout().lock().write_all(bytes).map_err(printing)
}

/// The error of writing to standard output.
pub(super) fn printing(error: std::io::Error) -> anyhow::Error {
    writing(Path::new("standard output"), error)
}

/// Prints an answer for people: as [`print`], or on standard error where standard output is for machines.
pub(super) fn answer(json: bool, text: std::fmt::Arguments<'_>) -> Result<()> {
    if json {
        say(json, text);
        return Ok(());
    }
    print(text)
}

/// Says how the work goes on: on standard output, or on standard error where standard output is for machines.
pub(super) fn say(json: bool, text: std::fmt::Arguments<'_>) {
    let text = text.to_string();
    let text = shown_lines(&text);
    let (out, errors) = (std::io::stdout(), std::io::stderr());
    // A reader that has gone away does not stop the work.
    let _ = if json {
        writeln!(errors.lock(), "{}", wrapped(&text, columns(&errors)))
    } else {
        writeln!(out.lock(), "{}", wrapped(&text, columns(&out)))
    };
}

/// Says on standard error what takes a while, whatever standard output is for.
pub(super) fn progress(text: std::fmt::Arguments<'_>) {
    let (text, errors) = (text.to_string(), std::io::stderr());
    let _ = writeln!(errors.lock(), "{}", wrapped(&text, columns(&errors)));
}

/// Warns on standard error, whatever standard output is for.
pub(super) fn warn(text: std::fmt::Arguments<'_>) {
    let (text, errors) = (format!("warning: {text}"), std::io::stderr());
    let _ = writeln!(errors.lock(), "{}", wrapped(&text, columns(&errors)));
}

/// Prints why a verb failed, on standard error.
pub(super) fn failed(error: &anyhow::Error) {
    let (text, errors) = (format!("latch: {error:#}"), std::io::stderr());
    // Where standard error cannot be written to, the exit code still says it.
    let _ = writeln!(errors.lock(), "{}", wrapped(&shown_lines(&text), columns(&errors)));
}

/// Prints what is wrong with a command line, on standard error, as clap does.
pub(super) fn misused(sentence: &str) {
    let (text, errors) = (format!("error: {sentence}\n\n{MORE}"), std::io::stderr());
    let _ = writeln!(errors.lock(), "{}", wrapped(&shown_lines(&text), columns(&errors)));
}

/// Columns of a terminal; `None` of anything else.
fn columns(stream: &impl IsTerminal) -> Option<usize> {
    let (width, _) = if stream.is_terminal() { terminal_size()? } else { return None };
    Some(usize::from(width.0))
}

/// A text whose lines break between words where they are longer than a terminal is wide; what goes on is indented as its line is.
fn wrapped(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns.filter(|&columns| columns >= 20) else { return text.to_owned() };
    let line = |line: &str| {
        if display_width(line) <= columns {
            return line.to_owned();
        }
        let indent: String = line.chars().take_while(|&c| c == ' ').take(columns / 2).collect();
        let options = Options::new(columns).subsequent_indent(&indent).break_words(false);
        // Words are what spaces divide: a path or an option is never cut.
        textwrap::fill(
            line,
            options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::AsciiSpace),
        )
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words_and_short_ones_stay() {
        let text = "a table  of   columns\n  indented words that are too long for a narrow terminal\n/a/path/that/no/terminal/of/this/width/holds";
        let broken = wrapped(text, Some(30));
        assert_eq!(
            broken,
            "a table  of   columns\n  indented words that are too\n  long for a narrow terminal\n/a/path/that/no/terminal/of/this/width/holds"
        );
        assert_eq!(wrapped(text, None), text);
    }
}
