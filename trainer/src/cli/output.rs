//! What verbs print, and where: with `--json` one line for machines on standard output, and everything else on standard error.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::dataset::Task;
use crate::error::writing;
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

/// Prints a verb's answer on standard output; that it cannot be written is an error, because nothing else is left of it.
pub(super) fn print(text: std::fmt::Arguments<'_>) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{}", shown_lines(&text.to_string())).map_err(printing)
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
    let _ =
        if json { writeln!(std::io::stderr().lock(), "{text}") } else { writeln!(std::io::stdout().lock(), "{text}") };
}

/// Warns on standard error, whatever standard output is for.
pub(super) fn warn(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
}
