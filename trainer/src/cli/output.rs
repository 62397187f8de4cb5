//! What verbs print, and where: with `--json` one line for machines on standard output, and everything else on standard error.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use terminal_size::{Height, Width, terminal_size_of};

use crate::dataset::Task;
use crate::error::writing;
use crate::report::broken;
use crate::shown::shown_lines;

/// An accuracy in words; of values it is R².
pub(super) fn accuracy(task: Task, accuracy: f64) -> String {
    if task.has_values() { format!("R² {accuracy:.4}") } else { format!("accuracy {:.2} %", 100.0 * accuracy) }
}

/// Prints one line of JSON on standard output.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value)?;
    writeln!(std::io::stdout().lock(), "{line}").map_err(printing)
}

/// A text as it fits a terminal of that size: lines that are too long are broken between words.
fn fitted(text: &str, size: Option<(Width, Height)>) -> Cow<'_, str> {
    match size {
        Some((Width(columns), _)) => broken(text, usize::from(columns)).into(),
        None => text.into(),
    }
}

/// The size of the terminal that standard output is, if it is one.
fn out_size() -> Option<(Width, Height)> {
    terminal_size_of(std::io::stdout())
}

/// The same of standard error.
fn err_size() -> Option<(Width, Height)> {
    terminal_size_of(std::io::stderr())
}

/// Prints a verb's answer on standard output; that it cannot be written is an error, because nothing else is left of it.
pub(super) fn print(text: std::fmt::Arguments<'_>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", fitted(&shown_lines(&text.to_string()), out_size())).map_err(printing)
}

/// Prints what another program is to read, as it is.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<()> {
    std::io::stdout().lock().write_all(bytes).map_err(printing)
}

/// Says what went wrong, on standard error; where that cannot be written to, the exit code still says it.
pub(super) fn complain(error: &anyhow::Error) {
    let text = format!("latch: {}", shown_lines(&format!("{error:#}")));
    let _ = writeln!(std::io::stderr().lock(), "{}", fitted(&text, err_size()));
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
    // A reader that has gone away does not stop the work.
    let _ = if json {
        writeln!(std::io::stderr().lock(), "{}", fitted(&text, err_size()))
    } else {
        writeln!(std::io::stdout().lock(), "{}", fitted(&text, out_size()))
    };
}

/// Warns on standard error, whatever standard output is for.
pub(super) fn warn(text: std::fmt::Arguments<'_>) {
    let text = format!("warning: {text}");
    let _ = writeln!(std::io::stderr().lock(), "{}", fitted(&text, err_size()));
}
