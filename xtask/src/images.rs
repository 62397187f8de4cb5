//! Writes the images that steps are counted on.

use std::path::Path;

use anyhow::{Result, bail};
use latch_emulator::command::{Command, target_folder};

/// Writes them into a folder.
///
/// # Errors
/// When the program that makes them does not build or fails.
pub(crate) fn write(folder: &Path) -> Result<()> {
    // All of the workspace decides which features its dependencies have: they are those that the tests have built, and not built again.
    let build = Command::new("cargo build --quiet --profile checked --workspace --bin images");
    let write = Command::of(&target_folder().join("checked/images")).arg(folder.display().to_string());
    for command in [build, write] {
        println!("$ {command}");
        if !command.run(|_| ())? {
            bail!("`{command}` failed");
        }
    }
    Ok(())
}
