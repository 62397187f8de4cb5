//! What a sample of an amplifier costs and how near integers come to floats: `cargo xtask amp`.
//!
//! Two published models, and two of the sizes that people play, with weights from a seed: of these only the cost means anything. Each is imported, exported, counted on an emulated board, and
//! played on this machine.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use latch_emulator::command::{Command, root, target_folder};
use serde::Deserialize;
use serde_json::json;

use crate::latch::{checked as latch, line_of};
use crate::peers::{show, text};

/// The board: a Cortex-M7 with FPU.
const BOARD: &str = "mps2-an500";

/// Cycles that a chip of 480 MHz has for a sample of 48 kHz.
const CYCLES: f64 = 10_000.0;

/// Samples that are played on this machine, and those that are counted on the board.
const SAMPLES: [usize; 2] = [9_600, 480];

/// Units of the models with weights from a seed.
const SIZES: [usize; 2] = [16, 40];

/// What is read of a line of `latch-sim device`.
#[derive(Deserialize)]
struct Counted {
    digest: String,
    host_digest: String,
    instructions_per_token: f64,
    estimated_cycles_per_token: f64,
}

/// Imports, exports, counts, plays, prints the table.
///
/// # Errors
/// Names what does not run, and a board that answers something else than this machine.
pub(crate) fn run() -> Result<()> {
    let folder = target_folder().join("amp");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let at = |name: &str| folder.join(name);
    for (name, samples) in ["played.csv", "counted.csv"].into_iter().zip(SAMPLES) {
        fs::write(at(name), string(samples)).with_context(|| format!("cannot write {name}"))?;
    }
    let published = ["lstm4_ts9_pytorch.json", "lstm_example.nam"];
    let mut models: Vec<(String, PathBuf)> =
        published.iter().map(|name| (name.to_string(), root().join("interchange/tests/models").join(name))).collect();
    for units in SIZES {
        let path = at(&format!("lstm{units}.json"));
        fs::write(&path, guitarml(units).to_string()).context("cannot write a model")?;
        models.push((format!("LSTM {units} and skip, weights from a seed"), path));
    }
    let mut table = String::new();
    for (name, path) in &models {
        let run = at("run");
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        show(
            &latch("import").arg(text(path)).arg("--probe").arg(text(&at("counted.csv"))).arg("--out").arg(text(&run)),
        )?;
        let mut exact = Vec::new();
        for precision in ["f32", "int16", "int8"] {
            let (counted, played) = measured(&folder, &run, precision)?;
            if precision == "f32" {
                exact.clone_from(&played);
            }
            let Counted { instructions_per_token: instructions, estimated_cycles_per_token: cycles, .. } = counted;
            let part = 100.0 * cycles / CYCLES;
            let error = error_to_signal(&exact, &played);
            writeln!(table, "| {name} | {precision} | {instructions:.0} | {cycles:.0} | {part:.1} % | {error:.1e} |")?;
        }
    }
    println!("{BOARD}, Cortex-M7 emulated; a chip of 480 MHz has {CYCLES} cycles for a sample of 48 kHz\n");
    println!("| model | image | instructions a sample | cycles, estimated | of the time | ESR to f32 |");
    println!("| --- | --- | --- | --- | --- | --- |\n{}", table.trim_end());
    Ok(())
}

/// The cost of a sample on the board, and what an image answers to the sound.
fn measured(folder: &Path, run: &Path, precision: &str) -> Result<(Counted, Vec<f64>)> {
    let at = |name: &str| text(&folder.join(name));
    let image = at(&format!("{precision}.latch"));
    let export = latch("export").arg("--run").arg(text(run)).args("--precision").arg(precision);
    show(&export.arg("--calibrate").arg(at("counted.csv")).arg("--out").arg(&image))?;
    let device = Command::new("cargo run --quiet --profile checked -p latch-firmware-sim --bin latch-sim -- device");
    let counted: Counted = line_of(device.arg(BOARD).arg("--image").arg(&image).arg("--data").arg(at("counted.csv")))?;
    ensure!(
        counted.digest == counted.host_digest || precision == "f32",
        "{BOARD} answers {image} as this machine does not"
    );
    let answers = at("answers.csv");
    show(&latch("run").arg("--image").arg(&image).arg("--data").arg(at("played.csv")).arg("--out").arg(&answers))?;
    let answers = fs::read_to_string(&answers).context("cannot read the answers")?;
    let played: Vec<f64> = answers.lines().filter_map(|line| line.trim().parse().ok()).collect();
    ensure!(played.len() == SAMPLES[0], "{} answers to {} samples", played.len(), SAMPLES[0]);
    Ok((counted, played))
}

/// The error-to-signal ratio: `Σ (y − ŷ)² / Σ y²`.
fn error_to_signal(y: &[f64], other: &[f64]) -> f64 {
    let error: f64 = y.iter().zip(other).map(|(y, other)| (y - other).powi(2)).sum();
    error / y.iter().map(|y| y * y).sum::<f64>()
}

/// A string that is plucked four times a second at 48 kHz, in a channel of a table.
fn string(samples: usize) -> String {
    let sample = |place: usize| {
        let time = (place % 12_000) as f64 / 48_000.0;
        let harmonic = |number: f64| (std::f64::consts::TAU * 110.0 * number * time).sin() / number;
        let sound: f64 = [1.0, 2.0, 3.0, 5.0].into_iter().map(harmonic).sum();
        format!("{:.6}\n", 0.4 * (-6.0 * time).exp() * sound)
    };
    "in\n".to_owned() + &(0..samples).map(sample).collect::<String>()
}

/// A model as GuitarML writes it, an LSTM of so many units; its weights are from a seed.
fn guitarml(units: usize) -> serde_json::Value {
    let mut state = 20_261_129_u64;
    let mut weight = || {
        // A linear congruential generator: Knuth, "The Art of Computer Programming", volume 2, 3.3.4.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let limit = 1.0 / (units as f64).sqrt();
        limit * ((state >> 11) as f64 / 2_f64.powi(52) - 1.0)
    };
    let mut rows = |rows: usize, columns: usize| -> Vec<Vec<f64>> {
        (0..rows).map(|_| (0..columns).map(|_| weight()).collect()).collect()
    };
    let (input, hidden) = (rows(4 * units, 1), rows(4 * units, units));
    let (first, second) = (rows(1, 4 * units).concat(), rows(1, 4 * units).concat());
    let (linear, bias) = (rows(1, units), rows(1, 1).concat());
    json!({
        "model_data": {
            "model": "SimpleRNN", "input_size": 1, "output_size": 1, "unit_type": "LSTM", "num_layers": 1,
            "hidden_size": units, "skip": 1, "bias_fl": true,
        },
        "state_dict": {
            "rec.weight_ih_l0": input, "rec.weight_hh_l0": hidden, "rec.bias_ih_l0": first, "rec.bias_hh_l0": second,
            "lin.weight": linear, "lin.bias": bias,
        },
    })
}
