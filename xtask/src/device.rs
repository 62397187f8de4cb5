//! Hands over to `latch-sim`, which knows the engine and the link; this program builds without either.

use std::env::VarError;
use std::path::{Path, absolute};

use anyhow::{Context, Result, anyhow, bail};
use latch_emulator::boot;
use latch_emulator::command::Command;
use latch_emulator::elf::Elf;
use latch_parts::boards;

/// `latch-sim device` with those arguments, in the profile of the tests. Gives its exit code.
///
/// # Errors
/// When cargo cannot be started.
pub(crate) fn run(arguments: &[String]) -> Result<u8> {
    let line = "cargo run --quiet --profile checked -p latch-firmware-sim --bin latch-sim -- device";
    // Paths mean the caller's folder.
    let mut command = Command::new(line).in_folder(std::env::current_dir()?);
    for argument in arguments {
        command = command.arg(argument);
    }
    command.run_in_place()
}

/// Boots a program that cargo has built for a chip: what `cargo run --target …` calls. The firmware judges texts; of another program the
/// exit status is shown.
///
/// # Errors
/// When the file is no program of this repository, when `LATCH_IMAGE` is missing, or when the program cannot be booted.
pub(crate) fn boot(elf: &str) -> Result<u8> {
    let elf = absolute(elf).with_context(|| format!("{elf} is no path"))?;
    let board = match (Elf::read(&elf)?.board(), std::env::var("LATCH_BOARD")) {
        (Some(board), _) => board,
        (None, Ok(name)) => boards::find(&name).map_err(|error| anyhow!("LATCH_BOARD: {error}"))?,
        (None, Err(_)) => bail!("{} does not say which board it is for: name one in LATCH_BOARD", elf.display()),
    };
    let image = variable("LATCH_IMAGE")?;
    if elf.file_stem().is_some_and(|name| name != "firmware") {
        let outcome = boot::boot(board, &elf, image.as_ref().map(Path::new), &[], &boot::Options::default())?;
        println!("{}: status {}", board.name, outcome.status);
        print!("{}", outcome.log);
        return Ok(u8::from(outcome.status != 0));
    }
    let Some(image) = image else {
        bail!("LATCH_IMAGE is not set: it names the image for the board's flash, as `latch export` writes it");
    };
    let mut arguments =
        [board.name, "--elf", &elf.display().to_string(), "--image", &image].map(str::to_owned).to_vec();
    if let Some(text) = variable("LATCH_TEXT")? {
        arguments.push(format!("--text={text}"));
    }
    run(&arguments)
}

/// A variable of the environment; `None` where it is not set.
fn variable(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("{name} is no UTF-8: set it to UTF-8, or unset it"),
    }
}
