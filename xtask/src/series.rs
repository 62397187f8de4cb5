//! What the defaults reach on published sets of time series: `cargo xtask series`.
//!
//! `latch data`, `train`, `export` and `eval` run as a user types them, with no option but the seed and, for the airline's passengers, the task. Each set has
//! its published split; the test part chooses nothing. `cargo xtask results` makes a table of the record.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use latch_emulator::command::{root, target_folder};
use serde::{Deserialize, Serialize};

use crate::latch::{latch, line_of};
use crate::peers::{show, text};
use crate::whole::write_record;

/// The record, from the repository's root.
pub(crate) const RECORD: &str = "benches/results/series.json";

/// The sets, as `latch data` names them, each with the task where it is not to say which class.
const SETS: [(&str, Option<&str>); 4] =
    [("japanese-vowels", None), ("basic-motions", None), ("italy-power", None), ("airline", Some("forecast"))];

/// The precisions that are recorded.
pub(crate) const PRECISIONS: [&str; 3] = ["f32", "int16", "int8"];

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seeds to train with, one run each
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "SEED,…")]
    seeds: Vec<u64>,
    /// Only the sets whose name begins so, as `basic`; what the record has of the others stays
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// By set, then by seed.
pub(crate) type Record = BTreeMap<String, BTreeMap<u64, Trained>>;

/// What a training gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trained {
    /// The model that was chosen, as `--model` takes it.
    pub(crate) model: String,
    /// From the command's start to its end.
    pub(crate) seconds: f64,
    /// Series, or of a forecast steps, of the test part.
    pub(crate) judged: u64,
    /// The root of the mean square of the seasonal naive forecast's errors, of a forecast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) naive_rmse: Option<f64>,
    /// By precision.
    pub(crate) images: BTreeMap<String, Figures>,
}

/// What an image reached on the test part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Share of right answers, 0 to 1; R² of a forecast.
    pub(crate) accuracy: f64,
    /// Of a forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rmse: Option<f64>,
    /// Of a forecast against f32, on the run's validation part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signal_to_noise_db: Option<f64>,
    /// Bytes of the image.
    pub(crate) image_bytes: u64,
    /// Bytes of one stream's state.
    pub(crate) state_bytes: u64,
}

/// The keys of `latch data --json` that are read.
#[derive(Deserialize)]
struct Fetched {
    generated: Option<String>,
}

/// The keys of `latch export --json` that are read.
#[derive(Deserialize)]
struct Exported {
    #[serde(default)]
    signal_to_noise_db: Option<f64>,
}

/// The keys of `latch eval --json` that are read.
#[derive(Deserialize)]
struct Evaluated {
    n: u64,
    #[serde(flatten)]
    figures: Figures,
    #[serde(default)]
    naive: Option<Naive>,
}

#[derive(Deserialize)]
struct Naive {
    rmse: f64,
}

/// Trains, exports and evaluates, and writes the record.
///
/// # Errors
/// When a command fails, when a set cannot be had as it was published, or when the record cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let path = root().join(RECORD);
    let mut record: Record = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{RECORD} is damaged: remove it"))?,
        Err(_) => Record::new(),
    };
    let folder = target_folder().join("series");
    for (set, task) in SETS {
        if options.only.as_ref().is_some_and(|only| !set.starts_with(only.as_str())) {
            continue;
        }
        let data = folder.join(set);
        let Fetched { generated } = line_of(latch("data").arg(set).arg("--out").arg(text(&data)))?;
        ensure!(generated.is_none(), "{set} is not there as it was published: {}", generated.unwrap_or_default());
        for &seed in &options.seeds {
            let trained = train(&folder, &data, (set, task), seed)?;
            record.entry(set.to_owned()).or_default().insert(seed, trained);
            write_record(&path, &record)?;
        }
    }
    println!("written to {RECORD}; `cargo xtask results` makes a table of it");
    Ok(())
}

/// One training, and its images.
fn train(folder: &Path, data: &Path, (set, task): (&str, Option<&str>), seed: u64) -> Result<Trained> {
    let run = folder.join(format!("{set}-{seed}"));
    if run.exists() {
        fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
    }
    let mut command = latch("train").arg("--data").arg(text(data)).arg("--out").arg(text(&run));
    if let Some(task) = task {
        command = command.arg("--task").arg(task);
    }
    let begin = Instant::now();
    show(&command.args(&format!("--seed {seed}")))?;
    let seconds = begin.elapsed().as_secs_f64();
    let config: serde_json::Value = serde_json::from_str(&fs::read_to_string(run.join("config.json"))?)?;
    let model = config.pointer("/train/model").and_then(serde_json::Value::as_str);
    let model = model.context("the run's config.json names no model")?.to_owned();
    let mut trained = Trained { model, seconds, judged: 0, naive_rmse: None, images: BTreeMap::new() };
    for precision in PRECISIONS {
        let image = folder.join(format!("{set}-{seed}-{precision}.latch"));
        let export = latch("export").arg("--run").arg(text(&run)).arg("--out").arg(text(&image));
        let Exported { signal_to_noise_db } = line_of(export.arg("--precision").arg(precision))?;
        let eval = latch("eval").arg("--image").arg(text(&image)).arg("--data").arg(text(data));
        let Evaluated { n, mut figures, naive } = line_of(eval.arg("--run").arg(text(&run)))?;
        figures.signal_to_noise_db = signal_to_noise_db;
        trained.judged = n;
        trained.naive_rmse = naive.map(|naive| naive.rmse);
        let what = figures.rmse.map_or(format!("{:.2} %", 100.0 * figures.accuracy), |rmse| format!("RMSE {rmse:.2}"));
        eprintln!("{set}, seed {seed}, {precision}: {what}, {} bytes", figures.image_bytes);
        trained.images.insert(precision.to_owned(), figures);
    }
    Ok(trained)
}
