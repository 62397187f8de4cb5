//! The firmware on an emulated board: built for it, booted with an image in its flash, asked over files.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use latch_data::error::fault;
use latch_emulator::boot::{self, Outcome, Plugin};
use latch_emulator::counts::{self, Counts};
use latch_emulator::cycles::{self, Estimate};
use latch_emulator::elf::Elf;
use latch_emulator::firmware::{self, Options, Port, Program, SERIES_FEATURES, SOUND_FEATURES, TEXT_FEATURES};
use latch_engine::Precision;
use latch_firmware_sim::link::host::batch::{Batch, Transcript};
use latch_parts::boards::{self, Board};
use latch_parts::cores::{Core, MemoryTiming};
use latch_parts::parts;

use crate::texts::Loaded;

/// The board that a user named.
pub(crate) fn board(name: &str) -> Result<&'static Board> {
    boards::find(name).map_err(|error| {
        // The names of chips are another list.
        match parts::find(name).map(|part| (part.name, part.board())) {
            Ok((part, Some(board))) => {
                let problem = format!("{part} is a chip of `latch-sim run`, and no emulated board");
                fault("board", problem, format!("take {}, which has the same core", board.name)).into()
            }
            _ => fault("board", error.to_string(), "name one of those, or a part to `latch-sim run`").into(),
        }
    })
}

/// Builds the firmware of a board for an image, with the features that this image needs.
pub(crate) fn build(board: &Board, image: &Loaded, scalar: bool, port: Port) -> Result<PathBuf> {
    build_with(board, image, image.features.clone(), scalar, port)
}

/// Builds the firmware of a board with the features that most images of integers need, where this one needs no other: many images share
/// it. With others, or with floats, it would not fit every board, so that the image gets its own features.
pub(crate) fn build_usual(board: &Board, image: &Loaded, scalar: bool) -> Result<PathBuf> {
    let usual: &[[&'static str; 4]] = match image.precision {
        Precision::Int8 | Precision::Int16 if image.answers.channels > 0 => &[SERIES_FEATURES, SOUND_FEATURES],
        Precision::Int8 => &[TEXT_FEATURES],
        _ => &[],
    };
    let usual = usual.iter().find(|usual| image.features.iter().all(|name| usual.contains(name)));
    let features = usual.map_or_else(|| image.features.clone(), |usual| usual.to_vec());
    build_with(board, image, features, scalar, Port::Semihosting)
}

fn build_with(board: &Board, image: &Loaded, features: Vec<&'static str>, scalar: bool, port: Port) -> Result<PathBuf> {
    let (bytes, slot) = (image.bytes.len(), board.slot_bytes());
    if bytes > slot as usize {
        let problem = format!("it has {bytes} bytes, and the slot of the emulated board {} has {slot}", board.name);
        return Err(fault(image.path.display(), problem, "train a smaller model, or take a larger board").into());
    }
    if io::stderr().is_terminal() {
        eprintln!("latch-sim: building the firmware for {}", board.name);
    }
    let needed = u32::try_from(image.state_bytes).unwrap_or(u32::MAX);
    let options = Options {
        float: !image.precision.is_integer(),
        features,
        scalar,
        port,
        state_bytes: (needed > board.state_bytes).then_some(needed),
        verbose: false,
    };
    firmware::build(board, Program::Firmware, &options)
}

/// Runs a session of a firmware over files.
pub(crate) fn session(
    board: &Board,
    elf: &Path,
    image: &Loaded,
    batch: &Batch,
    plugin: Option<Plugin>,
) -> Result<(Transcript, Outcome)> {
    // QEMU needs far less than a millisecond a token, and ten with a plugin that counts on the slowest board.
    let timeout =
        Duration::from_secs(60) + Duration::from_millis(5) * u32::try_from(batch.bytes.len()).unwrap_or(u32::MAX);
    let outcome = boot::boot(board, elf, Some(&image.path), &batch.bytes, &boot::Options { plugin, timeout })?;
    let why = match outcome.status {
        0 => None,
        4 => Some("its port cannot be opened"),
        5 => Some("its port failed"),
        101 => Some("it panicked"),
        102 => Some("the processor took a fault"),
        _ => Some("nobody knows why"),
    };
    if let Some(why) = why {
        bail!("the firmware of {} ended with status {}: {why}\n{}", board.name, outcome.status, outcome.log.trim_end());
    }
    let transcript = batch.read(&outcome.output).with_context(|| format!("{} over files", board.name))?;
    Ok((transcript, outcome))
}

/// What a token costs on the average, with the words before it that the vocabulary leaves out.
pub(crate) struct Costs {
    pub(crate) instructions: f64,
    pub(crate) loads: f64,
    pub(crate) stores: f64,
    /// The deepest that the stack has been, from reset to the end.
    pub(crate) stack_bytes: Option<u32>,
    /// An estimate, with the waits of the memories; `None` for a core without a table.
    pub(crate) cycles: Option<Estimate>,
}

impl Costs {
    /// From the plugin's log of so many tokens; `memory` is the chip's.
    /// `None` of no tokens.
    pub(crate) fn new(board: &Board, log: &str, tokens: u32, memory: MemoryTiming) -> Result<Option<Self>> {
        let counts = Counts::parse(log)?;
        if tokens == 0 {
            return Ok(None);
        }
        let per_token = |count: f64| count / f64::from(tokens);
        let cycles = Core::find(board.core).map(|core| {
            let Estimate { cycles, low, high, unknown } = cycles::estimate(&counts, core, memory);
            Estimate { cycles: per_token(cycles), low: per_token(low), high: per_token(high), unknown }
        });
        Ok(Some(Costs {
            instructions: per_token(counts.instructions as f64),
            loads: per_token(counts.accesses.loads as f64),
            stores: per_token(counts.accesses.stores as f64),
            stack_bytes: counts.stack_low.map(|low| board.ram.end().saturating_sub(low)),
            cycles,
        }))
    }
}

/// The plugin that counts a firmware. Whatever of the RAM no variable has is the stack's, which begins at the end.
pub(crate) fn counter(board: &Board, program: &Elf) -> Result<Plugin> {
    let variables_end = u32::try_from(program.ram_end()).unwrap_or(board.ram.end());
    counts::plugin(board, variables_end.clamp(board.ram.base, board.ram.end())..board.ram.end())
}
