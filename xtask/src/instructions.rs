//! Counts the instructions of one LSTM step, one review and one `Image::open`, and holds them against the record.
//!
//! Valgrind runs the program `steps` (package `latch-benches`) twice with different numbers of repetitions; the difference,
//! divided by the difference of the numbers, is one repetition, without start and end of the program. The program draws no random numbers,
//! and its environment, arguments and folder have the same length each time, so that the count is the same to the instruction.
//!
//! The steps of NEON are counted in QEMU, which writes a line for every instruction that it executes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use latch_emulator::command::{Command, root, target_folder};
use serde::{Deserialize, Serialize};

use crate::foreign::FOREIGN;
use crate::images::Built;
use crate::setup;
use crate::whole::write_record;

/// A line may exceed its record by so many percent: what another inlining decision costs.
const ALLOWED_PERCENT: u64 = 3;

const PRECISIONS: [&str; 3] = ["f32", "f16", "int8"];
const BACKENDS: [&str; 2] = ["scalar", "avx2"];
/// Inputs and units of the layer, as `latch_benches::SIZES`.
const SIZES: [usize; 5] = [16, 32, 64, 128, 256];

/// The cells whose kernels are counted by themselves, as `latch_benches::cells::CELLS`, and their inputs and units.
const CELLS: [&str; 3] = ["lstm", "gru", "rnn"];
const CELL_SIZES: [usize; 2] = [16, 64];

/// The backends of 64-bit Arm, by the processor that QEMU plays, and what is counted there.
const ARM_BACKENDS: [(&str, &str); 2] = [("neon", "cortex-a53"), ("neon-dot", "neoverse-n1")];
const ARM_PRECISIONS: [&str; 2] = ["f32", "int8"];
const ARM_SIZES: [usize; 3] = [16, 64, 128];

/// The committed counts, and what they were made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The processor's architecture; counts of another one mean nothing here.
    arch: String,
    /// The compiler's version.
    rustc: String,
    /// Valgrind's version.
    valgrind: String,
    /// Instructions of one repetition.
    instructions: BTreeMap<String, u64>,
}

/// Something that `steps` can repeat.
struct Case {
    /// `step/int8/avx2/064`.
    name: String,
    /// The arguments of `steps` before the number.
    arguments: String,
    /// The two numbers of repetitions; written with two digits, so that both command lines are of one length.
    repetitions: [u64; 2],
}

/// Counts, prints, and compares with the record or rewrites it. True when no line is above its record by more than the allowance.
///
/// # Errors
/// When something does not build or run, or when the record cannot be read or written.
pub(crate) fn run(update: bool, built: Built) -> Result<bool> {
    let measured = measure(built)?;
    let path = root().join("benches/results/instructions.json");
    if update {
        write_record(&path, &measured)?;
        for (name, count) in &measured.instructions {
            println!("{name:24} {count:>12}");
        }
        println!("written to {}", path.display());
        return Ok(true);
    }
    let recorded = read(&path)?;
    if recorded.arch != measured.arch {
        println!("the record is of {}, this machine is {}: nothing to compare", recorded.arch, measured.arch);
        return Ok(true);
    }
    if recorded.rustc != measured.rustc {
        println!(
            "the record was made with {}, this is {}: some change may be the compiler's",
            recorded.rustc, measured.rustc
        );
    }
    if recorded.valgrind != measured.valgrind {
        println!("the record was made with {}, this is {}", recorded.valgrind, measured.valgrind);
    }
    let lines = compare(&recorded.instructions, &measured.instructions);
    for line in &lines {
        println!("{line}");
    }
    let bad: Vec<&str> = lines.iter().filter(|line| line.is_bad()).map(|line| line.name.as_str()).collect();
    if !bad.is_empty() {
        println!(
            "more than {ALLOWED_PERCENT} % above the record, or not in it: {}\n\
             where that is meant, `cargo xtask instructions --update` writes a new record",
            bad.join(", ")
        );
    }
    Ok(bad.is_empty())
}

fn read(path: &Path) -> Result<Record> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; `cargo xtask instructions --update` writes it", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no record of instructions", path.display()))
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    recorded: Option<u64>,
    measured: Option<u64>,
}

impl Line {
    /// Above the record by more than the allowance, or measured and not in the record.
    fn is_bad(&self) -> bool {
        match (self.recorded, self.measured) {
            (Some(recorded), Some(measured)) => 100 * measured > (100 + ALLOWED_PERCENT) * recorded,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:24} ", self.name)?;
        match (self.recorded, self.measured) {
            (Some(recorded), Some(measured)) => {
                let percent = 100.0 * (measured as f64 / recorded as f64 - 1.0);
                let verdict = if self.is_bad() { "  TOO MANY" } else { "" };
                write!(formatter, "{recorded:>12} {measured:>12} {percent:>+8.2} %{verdict}")
            }
            (None, Some(measured)) => write!(formatter, "{:>12} {measured:>12}  NOT IN THE RECORD", "-"),
            (recorded, None) => write!(formatter, "{:>12} skipped: this machine cannot run it", recorded.unwrap_or(0)),
        }
    }
}

/// The lines of both, in the order of their names.
fn compare(recorded: &BTreeMap<String, u64>, measured: &BTreeMap<String, u64>) -> Vec<Line> {
    let names: BTreeSet<&String> = recorded.keys().chain(measured.keys()).collect();
    names
        .into_iter()
        .map(|name| Line {
            name: name.clone(),
            recorded: recorded.get(name).copied(),
            measured: measured.get(name).copied(),
        })
        .collect()
}

/// Builds images and program, and counts every case that this processor can run.
fn measure(built: Built) -> Result<Record> {
    let valgrind = setup::valgrind().context("valgrind is not installed: run `cargo xtask setup --tests`")?;
    let (rustc, _) = Command::new("rustc --version").capture()?;
    // The images lie beside the program, so that relative paths name both: the length of this repository's path counts for nothing.
    let release = target_folder().join("release");
    let images = release.join("instructions");
    crate::images::write(&images, built)?;
    // The engine alone is built again, not the trainer. Flags of the caller would count other code than the record's.
    let build = Command::new("cargo build --quiet --release -p latch-benches --bin steps --no-default-features")
        .env_remove("RUSTFLAGS");
    println!("$ {build}");
    if !build.run(|_| ())? {
        bail!("`{build}` failed");
    }
    let cases = cases();
    // Two at a time: the counts do not depend on what else runs.
    let (first, second) = cases.split_at(cases.len() / 2);
    let count_all = |cases: &[Case]| -> Result<Vec<(String, u64)>> {
        cases.iter().map(|case| Ok((case.name.clone(), count(case, &release)?))).collect()
    };
    let (first, second) = thread::scope(|scope| {
        let other = scope.spawn(|| count_all(second));
        (count_all(first), other.join())
    });
    let second = second.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let instructions = first?.into_iter().chain(second?).chain(measure_arm(&release)?).collect();
    Ok(Record { arch: std::env::consts::ARCH.to_owned(), rustc: rustc.trim().to_owned(), valgrind, instructions })
}

/// The steps of 64-bit Arm; nothing where the emulator or the target is missing, which [`setup`] installs.
fn measure_arm(release: &Path) -> Result<Vec<(String, u64)>> {
    let neon = &FOREIGN[0];
    if neon.absent_emulator().is_some() || !neon.has_target() {
        println!("NEON is not counted: run `cargo xtask setup --tests`");
        return Ok(Vec::new());
    }
    let build = neon.build("--quiet --release -p latch-benches --bin steps --no-default-features");
    println!("$ {build}");
    if !build.run(|_| ())? {
        bail!("`{build}` failed");
    }
    let mut counts = Vec::new();
    for (backend, processor) in ARM_BACKENDS {
        for precision in ARM_PRECISIONS {
            for size in ARM_SIZES {
                let image = format!("instructions/step-{precision}-{size:03}.latch");
                let total =
                    |steps: u64| neon.executed(processor, &format!("step {image} {backend} {steps:02}"), release);
                let (few, many) = (total(2)?, total(6)?);
                let name = format!("step/{precision}/{backend}/{size:03}");
                let difference =
                    many.checked_sub(few).with_context(|| format!("{name}: six steps took fewer than two"))?;
                counts.push((name, (difference + 2) / 4));
            }
        }
    }
    Ok(counts)
}

/// Everything that is counted here, without the lines of backends that this processor lacks.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for backend in BACKENDS.into_iter().filter(|backend| *backend != "avx2" || has_avx2()) {
        for precision in PRECISIONS {
            for size in SIZES {
                cases.push(Case {
                    name: format!("step/{precision}/{backend}/{size:03}"),
                    arguments: format!("step instructions/step-{precision}-{size:03}.latch {backend}"),
                    repetitions: [8, 24],
                });
            }
            cases.push(Case {
                name: format!("review/{precision}/{backend}"),
                arguments: format!("review instructions/review-{precision}.latch {backend}"),
                repetitions: [1, 2],
            });
        }
    }
    for backend in BACKENDS.into_iter().filter(|backend| *backend != "avx2" || has_avx2()) {
        for cell in CELLS {
            for size in CELL_SIZES {
                cases.push(Case {
                    name: format!("cell/{cell}/int8/{backend}/{size:03}"),
                    arguments: format!("cell {cell} {size:03} {backend}"),
                    repetitions: [8, 24],
                });
            }
        }
    }
    for precision in PRECISIONS {
        cases.push(Case {
            name: format!("open/{precision}"),
            arguments: format!("open instructions/review-{precision}.latch"),
            repetitions: [1, 2],
        });
    }
    cases
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// Instructions of one repetition of a case, rounded to the nearest: steps may differ from each other by a branch.
fn count(case: &Case, release: &Path) -> Result<u64> {
    let [few, many] = case.repetitions;
    let total = |repetitions: u64| count_once(&case.arguments, repetitions, release.to_owned());
    let (less, more) = (total(few)?, total(many)?);
    let difference = more
        .checked_sub(less)
        .with_context(|| format!("{}: {many} repetitions took fewer instructions than {few}", case.name))?;
    Ok((difference + (many - few) / 2) / (many - few))
}

/// Instructions of one whole run of `steps`.
fn count_once(arguments: &str, repetitions: u64, release: PathBuf) -> Result<u64> {
    let command = Command::new(&format!(
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null ./steps {arguments} {repetitions:02}"
    ));
    let path = std::env::var("PATH").unwrap_or_default();
    let (_, said) = command.clone().env_clear().env("PATH", &path).in_folder(release).capture()?;
    collected(&said).with_context(|| format!("`{command}` counted nothing:\n{said}"))
}

/// The number in callgrind's line `==123== Collected : 4567`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :"))?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lines: &[(&str, u64)]) -> BTreeMap<String, u64> {
        lines.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    fn bad(recorded: &[(&str, u64)], measured: &[(&str, u64)]) -> Vec<String> {
        compare(&counts(recorded), &counts(measured)).into_iter().filter(Line::is_bad).map(|line| line.name).collect()
    }

    #[test]
    fn three_percent_more_pass_and_one_instruction_above_fails() {
        assert!(bad(&[("step", 1000)], &[("step", 1030)]).is_empty());
        assert_eq!(bad(&[("step", 1000)], &[("step", 1031)]), ["step"]);
    }

    #[test]
    fn fewer_instructions_pass() {
        assert!(bad(&[("step", 1000)], &[("step", 10)]).is_empty());
    }

    #[test]
    fn every_line_that_grew_is_named_whatever_the_others_saved() {
        let recorded = [("a", 100), ("b", 100), ("c", 100)];
        assert_eq!(bad(&recorded, &[("a", 104), ("b", 1), ("c", 200)]), ["a", "c"]);
    }

    #[test]
    fn a_line_that_nobody_recorded_fails_and_one_that_cannot_run_here_passes() {
        assert_eq!(bad(&[("step/avx2", 100)], &[("step/scalar", 100)]), ["step/scalar"]);
    }

    #[test]
    fn callgrinds_total_is_read_from_its_summary() {
        let said = "==1== Events    : Ir\n==1== Collected : 14645036\n==1== \n==1== I   refs:      14,645,036\n";
        assert_eq!(collected(said), Some(14_645_036));
        assert_eq!(collected("==1== Killed"), None);
    }
}
