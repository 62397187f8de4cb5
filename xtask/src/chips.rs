//! Counts what one step costs on every emulated chip, holds it to the limits that Latch promises, and to the committed record.
//!
//! A step is one `Session::push_token`: embedding row, layer, pooling. The program `steps` pushes 64 tokens between the plugin's markers;
//! QEMU executes the same instructions in every run, so that the counts are exact.

mod cells;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use latch_emulator::boot::{self, boot};
use latch_emulator::command::{root, target_folder};
use latch_emulator::counts::{self, Counts};
use latch_emulator::cycles::estimate;
use latch_emulator::elf::Elf;
use latch_emulator::firmware::{self, Program};
use latch_emulator::toolchain::Toolchain;
use latch_parts::boards::{BOARDS, Board};
use latch_parts::cores::{Core, MemoryTiming};
use serde::{Deserialize, Serialize};

use crate::images::Built;
use crate::whole::write_record;

/// A line may exceed its record by so many percent: what another compiler costs outside of the kernels.
const ALLOWED_PERCENT: u64 = 3;

/// Inputs x units of the layers, as `latch_benches::CHIP_SHAPES` names its files.
const SHAPES: [&str; 6] = ["64x64", "32x32", "16x16", "8x8", "1x1", "40x64"];

/// Those that floats and int16 are counted at.
const WIDE_SHAPES: [&str; 2] = ["64x64", "16x16"];

/// The most instructions that a step may take.
const LIMITS: [(&str, u64); 11] = [
    ("mps2-an386/int8/64x64", 52_000),
    ("mps2-an386/int8/16x16", 6_000),
    ("mps2-an386/int8/1x1", 600),
    ("mps2-an386/f32/64x64", 60_000),
    ("mps2-an386/f32/16x16", 7_000),
    ("mps3-an547/int8/64x64", 9_000),
    ("mps3-an547/int8/16x16", 2_200),
    ("microbit/int8/16x16", 16_000),
    ("mps2-an386/int16/64x64", 38_000),
    ("mps2-an386/int16/16x16", 4_900),
    ("mps3-an547/int16/64x64", 12_500),
];

/// The instructions of the same steps in CMSIS-NN, counted on the same emulator.
pub(crate) const CMSIS_NN: [(&str, u64); 6] = [
    ("mps2-an386/int8/64x64", 98_534),
    ("mps2-an386/int8/16x16", 14_325),
    ("mps2-an386/int8/1x1", 1_968),
    ("mps3-an547/int8/64x64", 32_307),
    ("mps3-an547/int8/16x16", 6_531),
    ("microbit/int8/16x16", 35_805),
];

/// The most instructions for one multiply-add of the matrix part, at 64x64 on the M4.
const MATRIX_LIMIT: f64 = 1.4;

/// Multiply-adds of EdgeMark's LSTM, and the most instructions that as many may take on the M4 in steps of 40x64.
const EDGEMARK: (u64, u64) = (2_700_000, 5_500_000);

/// The counts of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) instructions: u64,
    loads: u64,
    stores: u64,
    /// Likely cycles, estimated.
    estimated_cycles: u64,
}

/// The committed counts: by toolchain, then by `board/precision/shape`.
pub(crate) type Record = BTreeMap<String, BTreeMap<String, Step>>;

/// Where they are, from the repository's root.
pub(crate) const RECORD: &str = "benches/results/chips.json";

/// Counts, prints, and compares with limits and record, or rewrites the record. True when every limit is kept and nothing has grown.
///
/// # Errors
/// When something does not build or run, or when the record cannot be read or written.
pub(crate) fn run(update: bool, built: Built) -> Result<bool> {
    let toolchain = Toolchain::find()?;
    let images = images(built)?;
    let mut steps = BTreeMap::new();
    let mut matrix = None;
    for board in BOARDS {
        for (float, precisions, shapes) in [
            (false, &["int8"][..], &SHAPES[..]),
            (false, &["int16"][..], &WIDE_SHAPES[..]),
            (true, &["f32", "f16"][..], &WIDE_SHAPES[..]),
        ] {
            let mut options = firmware::Options { float, ..Default::default() };
            // A feature of its own, which other images do not need.
            options.features.extend(precisions.iter().filter(|precision| **precision == "int16"));
            let elf = firmware::build(board, Program::Steps, &options)?;
            for precision in precisions {
                for shape in shapes {
                    let image = images.join(format!("chip-{precision}-{shape}.latch"));
                    if fs::metadata(&image)?.len() > u64::from(board.slot_bytes()) {
                        continue;
                    }
                    let counts = count(board, &elf, &image)?;
                    let name = format!("{}/{precision}/{shape}", board.name);
                    if name == "mps2-an386/int8/64x64" {
                        matrix = Some(matrix_part(&elf, &counts)?);
                    }
                    steps.insert(name, step(board, &counts)?);
                }
            }
        }
    }
    count_cells(&images, &mut steps)?;
    let path = root().join(RECORD);
    let mut record = read(&path)?;
    let recorded = record.get(toolchain.name()).cloned().unwrap_or_default();
    println!(
        "{:28} {:>12} {:>8} {:>8} {:>12}  {:>9}  limit",
        "one step", "instructions", "loads", "stores", "est. cycles", "record"
    );
    let mut well = true;
    for (name, step) in &steps {
        let of = |table: &[(&str, u64)]| table.iter().find(|(named, _)| named == name).map(|&(_, count)| count);
        let (limit, peer) = (of(&LIMITS), of(&CMSIS_NN));
        let before = recorded.get(name).map(|step| step.instructions);
        let grown = !update && before.is_none_or(|before| 100 * step.instructions > (100 + ALLOWED_PERCENT) * before);
        let exceeded = limit.is_some_and(|most| step.instructions > most);
        well &= !grown && !exceeded;
        println!(
            "{name:28} {:>12} {:>8} {:>8} {:>12}  {:>9}  {}{}{}",
            step.instructions,
            step.loads,
            step.stores,
            step.estimated_cycles,
            before.map_or_else(|| "-".to_owned(), |before| before.to_string()),
            limit.map_or_else(String::new, |most| most.to_string())
                + &peer.map_or_else(String::new, |count| format!(" (CMSIS-NN {count})")),
            if exceeded { "  EXCEEDED" } else { "" },
            if grown { "  GREW, or is not in the record" } else { "" },
        );
    }
    well &= compare_precisions(&steps);
    well &= compare_cells(&steps);
    let matrix = matrix.context("the M4 is no board any more")?;
    well &= hold("M4, instructions for a multiply-add of the matrix part at 64x64", matrix, MATRIX_LIMIT);
    let edgemark = steps.get("mps2-an386/int8/40x64").context("the M4 is no board any more")?.instructions as f64;
    let whole = edgemark * EDGEMARK.0 as f64 / (4 * 64 * (40 + 64)) as f64;
    well &= hold("M4, instructions for 2.7 million multiply-adds in steps of 40x64", whole, EDGEMARK.1 as f64);
    if update {
        record.insert(toolchain.name().to_owned(), steps);
        write_record(&path, &record)?;
        println!("written to {}", path.display());
    } else if recorded.is_empty() {
        println!("there is no record of the toolchain {}: nothing to compare", toolchain.name());
        return Ok(compare_precisions(&steps) && matrix <= MATRIX_LIMIT && kept(&steps));
    } else if !well {
        println!("where growth is meant, `cargo xtask chips --update` writes a new record");
    }
    Ok(well)
}

/// Counts one step of every cell's kernels on every board that has the memory, as `board/cell-gru/64x64`; floats where
/// there is an FPU, as `board/cell-gru-f32/64x64`.
fn count_cells(folder: &Path, steps: &mut BTreeMap<String, Step>) -> Result<()> {
    for board in BOARDS {
        let has_fpu = board.target.ends_with("eabihf");
        for (float, cells) in [(false, &cells::CELLS[..]), (true, &cells::FLOAT_CELLS), (false, &[cells::INT4])] {
            if float && !has_fpu {
                continue;
            }
            let mut options = firmware::Options { float, ..Default::default() };
            // A feature of its own: the other cells are compiled without it.
            options.features.extend(cells.contains(&cells::INT4).then_some("int4"));
            let elf = firmware::build(board, Program::Cells, &options)?;
            for name in cells {
                for shape in cells::SHAPES {
                    let layer = cells::layer(folder, name, shape)?;
                    let counts = count(board, &elf, &layer)?;
                    steps.insert(format!("{}/cell-{name}/{}x{}", board.name, shape.0, shape.1), step(board, &counts)?);
                }
            }
        }
    }
    Ok(())
}

/// Holds the cells to what they may take as a part of the LSTM.
fn compare_cells(steps: &BTreeMap<String, Step>) -> bool {
    let mut well = true;
    for (board, cell, shape, most) in cells::PARTS {
        let count = |cell| steps.get(&format!("{board}/cell-{cell}/{shape}")).map(|step| step.instructions as f64);
        let (Some(lstm), Some(step)) = (count("lstm"), count(cell)) else { continue };
        well &= hold(&format!("{board}, {shape}: {cell} as a part of the LSTM"), step / lstm, most);
    }
    well
}

/// True when no step exceeds its limit.
fn kept(steps: &BTreeMap<String, Step>) -> bool {
    LIMITS.iter().all(|(name, most)| steps.get(*name).is_none_or(|step| step.instructions <= *most))
}

fn hold(what: &str, value: f64, limit: f64) -> bool {
    let well = value <= limit;
    let number = |value: f64| if value < 100.0 { format!("{value:.3}") } else { format!("{value:.0}") };
    println!("{what}: {}, at most {}{}", number(value), number(limit), if well { "" } else { "  EXCEEDED" });
    well
}

/// An integer step takes fewer cycles, as estimated, than a float step of the same model, on the M4 at least 1.5 times
/// fewer. It may take more instructions: the M4 takes one for a product and sum of floats, but three cycles.
fn compare_precisions(steps: &BTreeMap<String, Step>) -> bool {
    let mut well = true;
    for (name, float) in steps {
        let [board, precision @ ("f32" | "f16"), shape] = name.split('/').collect::<Vec<_>>()[..] else { continue };
        let Some(integer) = steps.get(&format!("{board}/int8/{shape}")) else { continue };
        let ratio = float.estimated_cycles as f64 / integer.estimated_cycles as f64;
        let least = if board == "mps2-an386" { 1.5 } else { 1.0 };
        let fewer = ratio > least;
        well &= fewer;
        println!(
            "{board}, {shape}: {precision} takes {ratio:.2} times the estimated cycles of int8, more than {least} wanted{}",
            if fewer { "" } else { "  NOT SO" }
        );
    }
    well
}

/// Writes the images and gives their folder.
fn images(built: Built) -> Result<PathBuf> {
    let folder = target_folder().join("chips");
    crate::images::write(&folder, built)?;
    Ok(folder)
}

/// Boots `steps` with an image and gives what the plugin counted.
fn count(board: &Board, elf: &Path, image: &Path) -> Result<Counts> {
    let plugin = Some(counts::plugin(board, board.ram.base..board.ram.end())?);
    let options = boot::Options { plugin, timeout: Duration::from_secs(120) };
    let outcome = boot(board, elf, Some(image), &[], &options)?;
    if outcome.status != 0 {
        bail!("the program on {} ended with status {} for {}", board.name, outcome.status, image.display());
    }
    Counts::parse(&outcome.plugin).with_context(|| format!("counting on {}", board.name))
}

fn step(board: &Board, counts: &Counts) -> Result<Step> {
    let core = Core::find(board.core).with_context(|| format!("there is no cost table of {}", board.core))?;
    let regions = counts.regions.max(1);
    Ok(Step {
        // Tokens differ from each other by a branch in the float activations.
        instructions: counts.instructions.div_ceil(regions),
        loads: counts.accesses.loads.div_ceil(regions),
        stores: counts.accesses.stores.div_ceil(regions),
        estimated_cycles: (estimate(counts, core, MemoryTiming::NO_WAITS).cycles / regions as f64).round() as u64,
    })
}

/// Instructions between the kernel's two labels, for each multiply-add of 64x64.
fn matrix_part(elf: &Path, counts: &Counts) -> Result<f64> {
    let elf = Elf::read(elf)?;
    let address = |name: &str| {
        let symbol = elf.symbol(name).with_context(|| format!("the program has no label {name}"))?;
        // Bit 0 says that code is Thumb.
        Ok::<u32, anyhow::Error>(symbol.address as u32 & !1)
    };
    let (instructions, _) = counts.within(address("latch_matrix_begin")?..address("latch_matrix_end")?);
    Ok(instructions as f64 / counts.regions as f64 / (4 * 64 * 128) as f64)
}

fn read(path: &Path) -> Result<Record> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is no record of chips", path.display())),
        Err(_) => Ok(Record::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(counts: &[(&str, u64)]) -> BTreeMap<String, Step> {
        let step = |instructions| Step { instructions, loads: 0, stores: 0, estimated_cycles: instructions };
        counts.iter().map(|&(name, count)| (name.to_owned(), step(count))).collect()
    }

    #[test]
    fn one_instruction_above_a_limit_is_not_kept() {
        assert!(kept(&steps(&[("mps2-an386/int8/64x64", 52_000), ("microbit/int8/64x64", 1_000_000)])));
        assert!(!kept(&steps(&[("mps2-an386/int8/64x64", 52_001)])));
    }

    #[test]
    fn integers_must_take_fewer_cycles_than_floats_of_the_same_model() {
        assert!(compare_precisions(&steps(&[("microbit/int8/16x16", 99), ("microbit/f32/16x16", 100)])));
        assert!(!compare_precisions(&steps(&[("microbit/int8/16x16", 100), ("microbit/f32/16x16", 100)])));
        assert!(!compare_precisions(&steps(&[("mps2-an386/int8/16x16", 100), ("mps2-an386/f32/16x16", 149)])));
        assert!(compare_precisions(&steps(&[("mps2-an386/int8/16x16", 100), ("mps2-an386/f32/16x16", 151)])));
    }
}
