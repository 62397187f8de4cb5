//! `latch` as users build it, for the commands that measure what users get.

use anyhow::{Context, Result};
use latch_emulator::command::Command;
use serde::de::DeserializeOwned;

/// `latch` with a verb.
pub(crate) fn latch(verb: &str) -> Command {
    Command::new("cargo run --quiet --release -p latch-trainer --bin latch --").arg(verb)
}

/// `latch` as the tests have it, where nothing is timed.
pub(crate) fn checked(verb: &str) -> Command {
    Command::new("cargo run --quiet --profile checked -p latch-trainer --bin latch --").arg(verb)
}

/// Runs a verb with `--json`, and reads what of its line is wanted.
///
/// # Errors
/// When the command fails, or prints something else.
pub(crate) fn line_of<T: DeserializeOwned>(command: Command) -> Result<T> {
    let command = command.args("--json");
    eprintln!("$ {command}");
    let (line, _) = command.capture()?;
    serde_json::from_str(&line).with_context(|| format!("`{command}` printed something else"))
}
