//! Writes the images that steps are counted on.

use std::path::Path;

use anyhow::{Result, bail};
use latch_emulator::command::{Command, target_folder};

/// How one says that the tests have just built the program.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Built {
    /// Takes the program that writes the images as the tests have built it. By itself it has dependencies of other features, and they would all be built again
    #[arg(long, hide = true)]
    built: bool,
}

/// The option that says so.
pub(crate) const BUILT: &str = "--built";

/// Writes them into a folder.
///
/// # Errors
/// When the program that makes them does not build or fails.
pub(crate) fn write(folder: &Path, Built { built }: Built) -> Result<()> {
    let build = Command::new("cargo build --quiet --profile checked -p latch-images");
    let write = Command::of(&target_folder().join("checked/images")).arg(folder.display().to_string());
    for command in (!built).then_some(build).into_iter().chain([write]) {
        println!("$ {command}");
        if !command.run(|_| ())? {
            bail!("`{command}` failed");
        }
    }
    Ok(())
}
