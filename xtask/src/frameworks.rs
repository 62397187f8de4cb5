//! Runs what Latch exports in ONNX Runtime, Keras and PyTorch: `cargo xtask frameworks`.
//!
//! Two sets of files are run by `interchange/tests/goldens/exports/make.py`: those of its goldens, written anew, and those of two runs, one of texts and one of series, which
//! are trained here, exported by `latch export`, and must answer what their f32 images answer.
//!
//! What it installs lies under `target/frameworks/`: an environment of Python with the packages that `interchange/tests/goldens/exports/requirements.txt` pins.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use latch_emulator::command::{Command, root, target_folder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::latch::{checked as latch, line_of};
use crate::peers::{python, show, text};

/// Where the script and what it needs are.
const GOLDENS: &str = "interchange/tests/goldens/exports";

/// Texts and frames that are asked of each run.
const ASKED: usize = 24;

/// The formats of a run: what `--format` is, what the script calls it, and how the file's name ends.
const FORMATS: [(&str, &str, &str); 4] = [
    ("onnx", "onnx", "onnx"),
    ("keras-h5-weights", "keras", "weights.h5"),
    ("keras-h5-weights", "keras", "h5"),
    ("safetensors", "torch", "safetensors"),
];

/// A model of texts, and one of series with what stands around a network.
const TEXT: &str = "text 40 > embedding 4 > lstm 6 > attention > dense 5 tanh > dense";
const SERIES: &str = "samples 2 > conv1d 4 k3 relu > gru 5 > dense > skip channel=1 lag=2";

/// Installs, writes, runs.
///
/// # Errors
/// Names what does not install or run, and the file that answers something else.
pub(crate) fn run() -> Result<()> {
    let folder = target_folder().join("frameworks");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let python = python(&folder, &root().join(GOLDENS).join("requirements.txt"))?;
    let models = folder.join("models");
    show(
        &Command::new("cargo run --quiet --profile checked -p latch-interchange --example exported --")
            .arg(text(&models)),
    )?;
    let runs = folder.join("runs");
    if runs.exists() {
        fs::remove_dir_all(&runs).with_context(|| format!("cannot remove {}", runs.display()))?;
    }
    fs::create_dir_all(&runs).with_context(|| format!("cannot make the folder {}", runs.display()))?;
    let mut cases = of_texts(&runs)?;
    cases.extend(of_series(&runs)?);
    fs::write(runs.join("cases.json"), serde_json::to_vec(&cases)?).context("cannot write cases.json")?;
    for folder in [&models, &runs] {
        let script = root().join(GOLDENS).join("make.py");
        show(&Command::new(&text(&python)).arg(text(&script)).arg(text(folder)).arg("--check"))?;
    }
    Ok(())
}

/// Trains a run and exports its f32 image; gives the place of the image.
fn trained(folder: &Path, name: &str, data: &Path, options: &[&str]) -> Result<String> {
    let train = latch("train").arg("--data").arg(text(data)).args("--epochs 3 --out").arg(text(&folder.join(name)));
    show(&options.iter().fold(train, |train, option| train.arg(*option)))?;
    let image = text(&folder.join(format!("{name}.latch")));
    let export =
        latch("export").arg("--run").arg(text(&folder.join(name))).args("--precision f32 --no-calibrate --out");
    show(&export.arg(&image))?;
    Ok(image)
}

/// The line of an export that is read.
#[derive(Deserialize)]
struct Exported {
    python: Option<String>,
}

/// A run in every format, as cases of the script.
fn exported(folder: &Path, name: &str, x: &Value, y: &[f64]) -> Result<Vec<Value>> {
    let is_ids = name == "texts";
    let mut cases = Vec::new();
    for (format, kind, ending) in FORMATS {
        let file = format!("{name}.{ending}");
        let export = latch("export").arg("--run").arg(text(&folder.join(name))).arg("--format").arg(format);
        let Exported { python } = line_of(export.arg("--out").arg(text(&folder.join(&file))))?;
        cases.push(json!({
            "name": name, "file": file, "kind": kind, "ids": is_ids, "channels": 2, "x": x, "y": y, "python": python,
        }));
    }
    Ok(cases)
}

/// The answer to a text.
#[derive(Deserialize)]
struct Predicted {
    probability: f64,
    class: String,
}

/// A line of `latch tokens`.
#[derive(Deserialize)]
struct Ids {
    ids: Vec<u32>,
}

/// A run of texts: the logits of an f32 image, from its probabilities.
fn of_texts(folder: &Path) -> Result<Vec<Value>> {
    let data = folder.join("texts.tsv");
    let texts: Vec<String> = (0..240).map(text_of).collect();
    let rows = texts.iter().enumerate().map(|(number, text)| format!("{}\t{text}\n", ["bad", "good"][number % 2]));
    fs::write(&data, rows.collect::<String>()).context("cannot write texts")?;
    let image = trained(folder, "texts", &data, &["--model", TEXT])?;
    let ids = folder.join("texts.jsonl");
    show(
        &latch("tokens")
            .arg("--run")
            .arg(text(&folder.join("texts")))
            .arg("--data")
            .arg(text(&data))
            .arg("--out")
            .arg(text(&ids)),
    )?;
    let ids = fs::read_to_string(&ids).context("cannot read the ids")?;
    let mut cases = Vec::new();
    for (text, ids) in texts.iter().zip(ids.lines()).take(2) {
        let predicted: Predicted = line_of(latch("predict").arg("--image").arg(&image).arg(text))?;
        let second = if predicted.class == "good" { predicted.probability } else { 1.0 - predicted.probability };
        let Ids { ids } = serde_json::from_str(ids).context("`latch tokens` wrote something else")?;
        cases.extend(exported(folder, "texts", &json!(ids), &[(second / (1.0 - second)).ln()])?);
    }
    Ok(cases)
}

/// Words that mean something, among others, by their number.
fn text_of(number: usize) -> String {
    const WORDS: [&str; 7] = ["the", "film", "was", "and", "a", "plot", "scene"];
    const MEANT: [[&str; 3]; 2] = [["awful", "dull", "poor"], ["great", "lovely", "fine"]];
    let other = |place: usize| WORDS[(number * 5 + place * 3 + number / 7) % WORDS.len()];
    let meant = MEANT[number % 2][number / 2 % 3];
    format!("{} {} {meant} {} {}", other(0), other(1), other(2), other(3))
}

/// A run of series: the values of an f32 image.
fn of_series(folder: &Path) -> Result<Vec<Value>> {
    let sample = |step: usize| {
        let time = step as f64;
        [(time / 5.0).sin() + 0.3 * (time * 1.7).sin(), 1.0 + 2.0 * (time / 9.0).cos() + 0.2 * (time * 2.3).cos()]
    };
    let mut rows = "a,b,y\n".to_owned();
    for step in 0..600 {
        let [a, b] = sample(step);
        writeln!(rows, "{a:.4},{b:.4},{:.4}", b + 0.4 * a)?;
    }
    let (data, asked) = (folder.join("series.csv"), folder.join("asked.csv"));
    fs::write(&data, rows).context("cannot write the series")?;
    let options = ["--label-column", "y", "--task", "regress-each", "--model", SERIES];
    let image = trained(folder, "series", &data, &options)?;
    let frames: Vec<String> =
        (0..ASKED).map(|step| sample(step).map(|value| format!("{value:.4}")).join(",")).collect();
    fs::write(&asked, frames.join("\n") + "\n").context("cannot write the frames")?;
    let answers = folder.join("answers.csv");
    let run = latch("run").arg("--image").arg(&image).arg("--data").arg(text(&asked)).arg("--out").arg(text(&answers));
    show(&run)?;
    let numbers =
        |text: &str| text.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect::<Vec<f64>>();
    let (x, y) =
        (numbers(&frames.join(",")), numbers(&fs::read_to_string(&answers).context("cannot read the answers")?));
    ensure!(x.len() == 2 * ASKED && y.len() == ASKED, "{} answers to {ASKED} frames", y.len());
    exported(folder, "series", &json!(x), &y)
}
