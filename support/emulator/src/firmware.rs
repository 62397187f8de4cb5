//! Builds a program for a board, and keeps each variant in a file of its own.

mod recipe;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::command::{root, target_folder};
use crate::toolchain::Toolchain;
use latch_parts::boards::Board;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The firmware: text in over the link, answers out.
    Firmware,
    /// Holds the board's kernels to the scalar ones, without an image.
    Parity,
    /// Starts and ends: what every program has.
    Start,
    /// Pushes tokens one by one between markers, so that one step can be counted.
    Steps,
    /// Takes steps of one recurrent cell by the kernels, between markers.
    Cells,
    /// Judges one text and does nothing else, so that the engine can be weighed.
    Engine,
}

impl Program {
    /// Cargo's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Program::Firmware => "firmware",
            Program::Parity => "parity",
            Program::Start => "start",
            Program::Steps => "steps",
            Program::Cells => "cells",
            Program::Engine => "engine",
        }
    }
}

/// Where the program's input comes from and its output goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// Files, see [`crate::boot::boot`].
    #[default]
    Semihosting,
    /// The board's serial port, see [`crate::boot::boot_serial`].
    Uart,
}

/// What can differ between two builds of a program for one board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Runs f32 and f16 images too.
    pub float: bool,
    /// Features of the engine beside floats: what images may need that the program is to run.
    pub features: Vec<&'static str>,
    /// Takes the scalar backend in place of the board's.
    pub scalar: bool,
    /// Where input comes from.
    pub port: Port,
    /// Bytes of RAM for a stream's state; the board's own number without it.
    pub state_bytes: Option<u32>,
    /// Prints the command that it runs.
    pub verbose: bool,
}

/// The features of a program that reads texts with one kind of layer and pools them in any way: what most images need.
pub const TEXT_FEATURES: [&str; 4] = ["text", "lstm", "pooling", "attention"];

/// The same of a program that reads samples.
pub const SERIES_FEATURES: [&str; 4] = ["samples", "gru", "pooling", "int16"];

/// Those that most imported models of sounds need.
pub const SOUND_FEATURES: [&str; 4] = ["samples", "start", "skip", "lstm"];

impl Default for Options {
    fn default() -> Self {
        Options {
            float: false,
            features: TEXT_FEATURES.to_vec(),
            scalar: false,
            port: Port::default(),
            state_bytes: None,
            verbose: false,
        }
    }
}

/// What decides over every program beside the sources that cargo lists.
const MANIFESTS: [&str; 6] = [
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "engine/Cargo.toml",
    "firmware-sim/Cargo.toml",
    "support/parts/Cargo.toml",
];

/// Builds a program for a board and gives its ELF file, which no other variant shares. Cargo is not asked where the file is there and was built by the
/// same command from the same sources.
///
/// # Errors
/// When there is no compiler for the chips, or the program does not compile or link: the message has what the compiler said.
pub fn build(board: &Board, program: Program, options: &Options) -> Result<PathBuf> {
    build_with(Toolchain::find()?, board, program, options)
}

/// The same by a toolchain of one's choice.
///
/// # Errors
/// Those of [`build`].
pub fn build_with(toolchain: Toolchain, board: &Board, program: Program, options: &Options) -> Result<PathBuf> {
    let float = options.float.then_some("float");
    let features: Vec<&str> = ["device"].into_iter().chain(options.features.iter().copied()).chain(float).collect();
    let features = features.join(",");
    let port = match options.port {
        Port::Semihosting => "semihosting",
        Port::Uart => "uart",
    };
    let mut flags = toolchain.link_flags();
    flags.extend(board.cpu.map(|cpu| format!("-Ctarget-cpu={cpu}")));
    // Values of cargo's configuration are TOML; in JSON's strings nothing differs.
    let flags = format!("target.{}.rustflags={}", board.target, serde_json::to_string(&flags)?);
    let state_bytes = options.state_bytes.unwrap_or(board.state_bytes).to_string();
    let (target, name) = (board.target, program.name());
    let command = toolchain
        .cargo(&format!(
            "build --quiet --profile firmware -p latch-firmware-sim --bin {name} --no-default-features \
             --features {features} --target {target}"
        ))
        .arg("--config")
        .arg(flags)
        .arg("--config")
        .arg(format!("profile.firmware.package.latch-engine.opt-level={}", engine_level(board, program, options)))
        .env("LATCH_BOARD", board.name)
        .env("LATCH_PORT", port)
        .env("LATCH_STATE_BYTES", &state_bytes)
        .env("LATCH_ENGINE_BACKEND", if options.scalar { "scalar" } else { "widest" });
    if options.verbose {
        println!("$ {command}");
    }

    let built_in = target_folder().join(match toolchain {
        Toolchain::Rustup => "device",
        Toolchain::Debian => "device-debian",
    });
    let kept_in = built_in.join("latch");
    fs::create_dir_all(&kept_in).with_context(|| format!("cannot make the folder {}", kept_in.display()))?;
    // Cargo gives every variant the same file: nobody else may build between its end and the copy.
    let lock = File::create(kept_in.join("lock"))?;
    lock.lock().context("cannot lock the folder of the chips' programs")?;
    let kept = kept_in.join(file_name(board, program, options, port));
    let made_by = format!("{}, {command}", toolchain.compiler());
    if recipe::is_current(&kept, &made_by) {
        return Ok(kept);
    }
    let begin = SystemTime::now();
    command.capture().with_context(|| format!("building {name} for {}", board.name))?;
    let built = built_in.join(target).join("firmware").join(name);
    recipe::forget(&kept);
    replace(&built, &kept)?;
    let manifests = MANIFESTS.map(|file| root().join(file));
    recipe::keep(&kept, &made_by, &built.with_extension("d"), &manifests, &built_in, begin)
        .with_context(|| format!("cannot write what {} was built from", kept.display()))?;
    Ok(kept)
}

/// Features that fit the reserve when they are compiled for speed, where one kind of integers is among them.
const SMALL: usize = 5;

/// How the engine is optimised: for size where its kernels are assembly, for speed where they are Rust, which is RISC-V, the scalar backend
/// and the floats of an FPU, unless all of the format has to fit the reserve, too. Floats without an FPU are for comparison only, and must fit it.
fn engine_level(board: &Board, program: Program, options: &Options) -> &'static str {
    let has_fpu = board.target.ends_with("hf");
    let is_riscv = board.target.starts_with("riscv");
    let is_for_speed = if options.float { has_fpu } else { options.scalar || is_riscv };
    // The whole firmware with both kinds of floats fits the reserve of no board unless it is compiled for size.
    if program == Program::Firmware && options.float && !is_riscv {
        return "\"z\"";
    }
    // RISC-V's board has room for more than the reserve.
    let is_small = options.features.len() <= SMALL && !options.features.contains(&"int16");
    if is_for_speed && (is_riscv || is_small) { "2" } else { "\"z\"" }
}

/// `mps2-an386-firmware-float-uart.elf`: everything that makes a difference.
fn file_name(board: &Board, program: Program, options: &Options, port: &str) -> String {
    let mut name = format!("{}-{}", board.name, program.name());
    let parts = [(options.float, "float"), (options.scalar, "scalar"), (options.port != Port::Semihosting, port)];
    for (_, part) in parts.into_iter().filter(|(given, _)| *given) {
        name = name + "-" + part;
    }
    if options.features != TEXT_FEATURES {
        name = name + "-" + &options.features.join("-");
    }
    if let Some(bytes) = options.state_bytes {
        name += &format!("-state{bytes}");
    }
    name + ".elf"
}

/// Copies a file over another, whole or not at all: an emulator may have the old one open.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension("new");
    fs::copy(from, &temporary)
        .and_then(|_| fs::rename(&temporary, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_parts::boards::BOARDS;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_variants_share_a_file() {
        let mut names = BTreeSet::new();
        let mut variants = 0;
        for board in BOARDS {
            for program in [Program::Firmware, Program::Parity, Program::Steps, Program::Engine] {
                for (port, port_name) in [(Port::Semihosting, "semihosting"), (Port::Uart, "uart")] {
                    for state_bytes in [None, Some(396), Some(1024)] {
                        for bits in 0..8 {
                            let (float, scalar) = (bits & 1 != 0, bits & 4 != 0);
                            let features = if bits & 2 != 0 { vec!["gru"] } else { TEXT_FEATURES.to_vec() };
                            let options = Options { float, features, scalar, port, state_bytes, verbose: false };
                            names.insert(file_name(board, program, &options, port_name));
                            variants += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(names.len(), variants);
    }
}
