//! Weighs what lies in every chip's flash and RAM, and holds it to the limits that Latch promises and to the committed record.
//!
//! The engine is weighed by linking a program that has nothing but the engine to do (`firmware-sim/src/bin/engine.rs`) and taking from it one
//! that only starts (`start.rs`), and not by sorting the symbols of the firmware: the linker's optimiser moves most of the engine into the
//! firmware's own functions. The compiler's helpers that the engine needs count as the engine.
//!
//! Images are no part of a program, and the state of a stream is left out of the RAM: both are the model's.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;

use anyhow::{Context, Result};
use latch_emulator::command::{Command, root};
use latch_emulator::elf::Elf;
use latch_emulator::firmware::{self, Options, Port, Program};
use latch_emulator::toolchain::Toolchain;
use latch_parts::boards::BOARDS;
use serde::{Deserialize, Serialize};

use crate::whole::write_record;

/// What is weighed on every board: programs and the engine's features in them. All of it runs int8 images only, as firmware does that is to be small.
const PROGRAMS: [(&str, Program, Port, &[&str]); 6] = [
    (START, Program::Start, Port::Semihosting, &DEFAULT_MODEL),
    (ENGINE, Program::Engine, Port::Semihosting, &DEFAULT_MODEL),
    (GRU_ENGINE, Program::Engine, Port::Semihosting, &["gru"]),
    (SAMPLES_ENGINE, Program::Engine, Port::Semihosting, &["samples", "gru"]),
    ("firmware, files", Program::Firmware, Port::Semihosting, &DEFAULT_MODEL),
    ("firmware, uart", Program::Firmware, Port::Uart, &DEFAULT_MODEL),
];

/// What the default model of `latch train` needs.
const DEFAULT_MODEL: [&str; 3] = ["text", "lstm", "attention"];

/// The name of the program that only starts, and of those from which it is taken: the engine of the default model, and
/// those of a GRU that reads ids or samples.
const START: &str = "start";
const ENGINE: &str = "engine";
const GRU_ENGINE: &str = "engine, gru on ids";
const SAMPLES_ENGINE: &str = "engine, gru on samples";

/// The most bytes that a program may have. 7,168 are wanted of the second engine, and of the third one on a Cortex-M0:
/// `docs/results` says what they have.
const LIMITS: [(&str, &str, Measure, u64); 5] = [
    ("mps2-an386/engine", "code and constants", Size::code, 14_336),
    ("mps2-an386/engine, gru on ids", "code and constants", Size::code, 11_008),
    ("microbit/engine, gru on samples", "code and constants", Size::code, 13_056),
    ("mps2-an386/firmware", "flash", Size::flash, 20_480),
    ("", "RAM beside the state", Size::ram, 1_024),
];

/// A figure of a program.
type Measure = fn(&Size) -> u64;

/// Bytes of a program, by section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    /// Code.
    text: u64,
    /// Constants.
    rodata: u64,
    /// What else lies in flash: the vectors.
    vectors: u64,
    /// Variables that begin with a value: in flash and in RAM.
    data: u64,
    /// Variables that begin as zeros or as nothing, without the state.
    bss: u64,
}

impl Size {
    /// Of a program that has set aside so many bytes for the state.
    fn of(elf: &Elf, state_bytes: u64) -> Self {
        let mut size = Size::default();
        for section in &elf.sections {
            let place = match (section.is_stored, section.is_writable) {
                (true, true) => &mut size.data,
                (true, false) if section.name.starts_with(".text") => &mut size.text,
                (true, false) if section.name.starts_with(".rodata") => &mut size.rodata,
                (true, false) => &mut size.vectors,
                (false, _) => continue,
            };
            place.add_assign(section.bytes);
        }
        size.bss = (elf.ram_bytes() - size.data).saturating_sub(state_bytes);
        size
    }

    /// What this program has more than another.
    fn without(&self, other: &Size) -> Size {
        Size {
            text: self.text.saturating_sub(other.text),
            rodata: self.rodata.saturating_sub(other.rodata),
            vectors: self.vectors.saturating_sub(other.vectors),
            data: self.data.saturating_sub(other.data),
            bss: self.bss.saturating_sub(other.bss),
        }
    }

    /// Code and constants.
    pub(crate) fn code(&self) -> u64 {
        self.text + self.rodata
    }

    pub(crate) fn flash(&self) -> u64 {
        self.text + self.rodata + self.vectors + self.data
    }

    pub(crate) fn ram(&self) -> u64 {
        self.data + self.bss
    }
}

/// The committed sizes of one toolchain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sizes {
    /// The compiler's version.
    pub(crate) rustc: String,
    /// By `board/program`.
    pub(crate) programs: BTreeMap<String, Size>,
}

/// By the toolchain's name: two compilers make two sizes.
pub(crate) type Record = BTreeMap<String, Sizes>;

/// Where it is, from the repository's root.
pub(crate) const RECORD: &str = "benches/results/size.json";

/// Weighs, prints, and compares with limits and record, or rewrites the record. True when every limit is kept and nothing has grown.
///
/// # Errors
/// When something does not build, or when the record cannot be read or written.
pub(crate) fn run(update: bool) -> Result<bool> {
    let toolchain = Toolchain::find()?;
    let path = root().join(RECORD);
    let mut record = read(&path)?;
    let recorded = record.get(toolchain.name());
    println!(
        "int8 only, by {}; engine: linked alone, less the chip's start; RAM: beside the state of a stream\n\n\
         {:28} {:>7} {:>7} {:>7} {:>6} {:>6} {:>7} {:>6}  record",
        toolchain.name(),
        "bytes",
        ".text",
        ".rodata",
        "vectors",
        ".data",
        ".bss",
        "flash",
        "RAM"
    );
    let mut measured = Sizes { rustc: rustc(toolchain)?, programs: BTreeMap::new() };
    let mut complaints = Vec::new();
    for board in BOARDS {
        let mut start = Size::default();
        for (program, which, port, features) in PROGRAMS {
            let options = Options { port, features: features.to_vec(), ..Options::default() };
            let elf = firmware::build_with(toolchain, board, which, &options)?;
            let mut size = Size::of(&Elf::read(&elf)?, u64::from(board.state_bytes));
            match program {
                START => start = size,
                ENGINE | GRU_ENGINE | SAMPLES_ENGINE => size = size.without(&start),
                _ => {}
            }
            let name = format!("{}/{program}", board.name);
            let before = recorded.and_then(|sizes| sizes.programs.get(&name));
            println!("{}", line(&name, &size, before));
            complaints.extend(exceeded(&name, &size));
            if recorded.is_some() && !update {
                complaints.extend(growth(&name, &size, before));
            }
            measured.programs.insert(name, size);
        }
    }
    match recorded {
        _ if update => {
            record.insert(toolchain.name().to_owned(), measured);
            write_record(&path, &record)?;
            println!("written to {}", path.display());
        }
        None => println!("there is no record of the toolchain {}: nothing to compare", toolchain.name()),
        Some(recorded) if recorded.rustc != measured.rustc => println!(
            "the record was made with {}, this is {}: some change may be the compiler's",
            recorded.rustc, measured.rustc
        ),
        Some(_) => {}
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    if complaints.iter().any(|complaint| complaint.contains("record")) {
        println!("where that is meant, `cargo xtask size --update` writes a new record");
    }
    Ok(complaints.is_empty())
}

/// The compiler's version.
fn rustc(toolchain: Toolchain) -> Result<String> {
    let (version, _) = match toolchain {
        Toolchain::Rustup => Command::new("rustc --version").capture()?,
        Toolchain::Debian => Command::new("/usr/bin/rustc --version").env_remove("LD_LIBRARY_PATH").capture()?,
    };
    Ok(version.trim().to_owned())
}

/// A program's line of the table.
fn line(name: &str, size: &Size, before: Option<&Size>) -> String {
    let Size { text, rodata, vectors, data, bss } = size;
    let record = before.map_or_else(|| "-".to_owned(), |before| format!("{} {}", before.flash(), before.ram()));
    format!(
        "{name:28} {text:>7} {rodata:>7} {vectors:>7} {data:>6} {bss:>6} {:>7} {:>6}  {record}",
        size.flash(),
        size.ram()
    )
}

/// The limits that a program exceeds, one sentence each.
fn exceeded(name: &str, size: &Size) -> Vec<String> {
    let over = LIMITS.iter().filter(|(program, _, measure, most)| name.starts_with(program) && measure(size) > *most);
    over.map(|(_, what, measure, most)| format!("{name}: {} bytes of {what}, at most {most}", measure(size))).collect()
}

/// How a program has grown beyond its record, by flash and by RAM. Sections are not compared one by one: what moves from one to another
/// costs nothing.
fn growth(name: &str, size: &Size, before: Option<&Size>) -> Vec<String> {
    let Some(before) = before else { return vec![format!("{name}: not in the record")] };
    let figures: [(&str, Measure); 2] = [("flash", Size::flash), ("RAM", Size::ram)];
    let grown = figures.into_iter().filter(|(_, measure)| measure(size) > allowed(measure(before)));
    grown
        .map(|(what, measure)| format!("{name}: {} bytes of {what}, in the record {}", measure(size), measure(before)))
        .collect()
}

/// The most bytes that pass where the record has `bytes`: 1 % or 64 bytes more.
fn allowed(bytes: u64) -> u64 {
    bytes + (bytes / 100).max(64)
}

fn read(path: &Path) -> Result<Record> {
    if !path.exists() {
        return Ok(Record::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no record of sizes", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_emulator::elf::Section;

    fn section(name: &str, bytes: u64, is_stored: bool, is_writable: bool) -> Section {
        Section { name: name.to_owned(), address: 0, bytes, is_stored, is_writable }
    }

    fn text(bytes: u64) -> Size {
        Size { text: bytes, ..Size::default() }
    }

    #[test]
    fn every_byte_of_flash_and_ram_is_in_one_place_and_state_and_stack_in_none() {
        let elf = Elf {
            sections: vec![
                section(".vector_table", 64, true, false),
                section(".text", 1000, true, false),
                section(".rodata", 200, true, false),
                section(".data", 8, true, true),
                section(".bss", 8192 + 100, false, true),
                section(".uninit", 20, false, true),
                section(".stack", 4000, false, true),
            ],
            symbols: Vec::new(),
        };
        let size = Size::of(&elf, 8192);
        assert_eq!(size, Size { text: 1000, rodata: 200, vectors: 64, data: 8, bss: 120 });
        assert_eq!((size.flash(), size.ram()), (elf.flash_bytes(), 128));
    }

    #[test]
    fn growth_passes_up_to_64_bytes_or_a_hundredth_whichever_is_more() {
        for (before, most) in [(0, 64), (1000, 1064), (6400, 6464), (20_000, 20_200)] {
            assert!(growth("p", &text(most), Some(&text(before))).is_empty(), "{before}");
            let grown = growth("p", &text(most + 1), Some(&text(before)));
            assert_eq!(grown, [format!("p: {} bytes of flash, in the record {before}", most + 1)]);
        }
    }

    #[test]
    fn ram_is_compared_apart_from_flash_and_a_move_between_sections_passes() {
        let before = Size { text: 5000, bss: 100, ..Size::default() };
        let moved = Size { text: 4000, rodata: 1000, bss: 100, ..Size::default() };
        assert!(growth("p", &moved, Some(&before)).is_empty());
        let fuller = Size { text: 100, bss: 165, ..Size::default() };
        assert_eq!(growth("p", &fuller, Some(&before)), ["p: 165 bytes of RAM, in the record 100"]);
    }

    #[test]
    fn a_program_that_nobody_recorded_is_named() {
        assert_eq!(growth("b/p", &text(1), None), ["b/p: not in the record"]);
    }

    #[test]
    fn each_limit_holds_where_it_is_meant_and_one_byte_above_fails() {
        let engine = Size { text: 14_000, rodata: 336, vectors: 999, ..Size::default() };
        assert!(exceeded("mps2-an386/engine", &engine).is_empty());
        let more = Size { rodata: 337, ..engine };
        assert_eq!(
            exceeded("mps2-an386/engine", &more),
            ["mps2-an386/engine: 14337 bytes of code and constants, at most 14336"]
        );
        assert!(exceeded("microbit/engine", &more).is_empty());
        for (program, ..) in PROGRAMS.iter().filter(|(_, which, ..)| *which == Program::Firmware) {
            let name = format!("mps2-an386/{program}");
            assert!(exceeded(&name, &text(20_480)).is_empty());
            assert_eq!(exceeded(&name, &text(20_481)).len(), 1);
        }
        let fuller = Size { bss: 1025, ..Size::default() };
        assert_eq!(
            exceeded("riscv32imac/firmware, uart", &fuller),
            ["riscv32imac/firmware, uart: 1025 bytes of RAM beside the state, at most 1024"]
        );
    }
}
