//! Trains the default model with several seeds and records what its images reach on texts that chose nothing.
//!
//! The commands are those that a user types; they train for some minutes. `cargo xtask results` makes tables of the record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use latch_emulator::command::{Command, root, target_folder};
use serde::{Deserialize, Serialize};

use crate::latch::latch;
use crate::whole::write_record;

/// The record, from the repository's root.
pub(crate) const RECORD: &str = "benches/results/default-model.json";

/// The precisions that are recorded.
pub(crate) const PRECISIONS: [&str; 3] = ["f32", "f16", "int8"];

#[derive(Args)]
pub(crate) struct Options {
    /// Labelled texts to train on: IMDb's official training split
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    /// Labelled texts to report on: IMDb's official test split
    #[arg(long, value_name = "FILE")]
    test: PathBuf,
    /// Seeds to train with, one run each
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "SEED,…")]
    seeds: Vec<u64>,
}

/// What the default model reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The model, as `--model` takes it.
    pub(crate) model: String,
    /// Texts of the test split.
    pub(crate) texts: u64,
    /// By seed, then by precision.
    pub(crate) seeds: BTreeMap<u64, BTreeMap<String, Figures>>,
}

/// What one image reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Share of right answers, 0 to 1.
    pub(crate) accuracy: f64,
    /// Bytes of the image.
    pub(crate) image_bytes: u64,
    /// Bytes of one stream's state.
    pub(crate) state_bytes: u64,
}

/// The keys of `latch eval --json` that are read.
#[derive(Deserialize)]
struct Evaluated {
    n: u64,
    #[serde(flatten)]
    figures: Figures,
}

/// Trains, exports and evaluates, and writes the record.
///
/// # Errors
/// When a command fails, or when the record cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = target_folder().join("default-model");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let mut record = Record { model: String::new(), texts: 0, seeds: BTreeMap::new() };
    for &seed in &options.seeds {
        let run = folder.join(format!("seed-{seed}"));
        let train = latch("train").arg("--data").arg(text(&options.train)?).arg("--out").arg(text(&run)?);
        succeed(&train.args(&format!("--seed {seed}")))?;
        let config: serde_json::Value = serde_json::from_str(&fs::read_to_string(run.join("config.json"))?)?;
        let model = config.pointer("/train/model").and_then(serde_json::Value::as_str);
        record.model = model.context("the run's config.json names no model")?.to_owned();
        let images = record.seeds.entry(seed).or_default();
        for precision in PRECISIONS {
            let image = folder.join(format!("seed-{seed}-{precision}.latch"));
            let export = latch("export").arg("--run").arg(text(&run)?).arg("--out").arg(text(&image)?);
            succeed(&export.args("--precision").arg(precision))?;
            let eval = latch("eval").arg("--image").arg(text(&image)?).arg("--data").arg(text(&options.test)?);
            let (line, _) = shown(&eval.args("--json")).capture()?;
            let evaluated: Evaluated =
                serde_json::from_str(&line).context("`latch eval --json` printed something else")?;
            record.texts = evaluated.n;
            images.insert(precision.to_owned(), evaluated.figures);
        }
    }
    write_record(&root().join(RECORD), &record)?;
    println!("written to {RECORD}; `cargo xtask results` makes tables of it");
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

fn shown(command: &Command) -> &Command {
    println!("$ {command}");
    command
}

fn succeed(command: &Command) -> Result<()> {
    ensure!(shown(command).run(|_| ())?, "{command} failed");
    Ok(())
}
