//! Compares the defaults on small public sets with linear baselines: `cargo xtask small-sets`.
//!
//! `benches/small/baselines.py` divides the sets and runs TF-IDF with logistic regression; then `latch train`, `export` and `eval` run as a user
//! types them, on the same parts. The test parts choose nothing.
//!
//! What it installs lies under `target/small-sets/`: an environment of Python with the packages that `benches/small/requirements.txt` pins.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use latch_emulator::command::{Command, root, target_folder};
use serde::{Deserialize, Serialize};

use crate::latch::latch;
use crate::peers::{python, show, text};
use crate::whole::write_record;

/// The record, from the repository's root.
const RECORD: &str = "benches/results/small-sets.json";

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder with trec_train.label, trec_test.label and names/*.txt
    #[arg(long, value_name = "FOLDER")]
    text: PathBuf,
    /// Folder with sst2_train.tsv.gz and sst2_dev.tsv.gz
    #[arg(long, value_name = "FOLDER")]
    sst2: PathBuf,
    /// Seeds of the divisions and of the trainings
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "SEED,…")]
    seeds: Vec<u64>,
    /// Only the sets whose name begins so, as `sst2`; the record is not written then
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// What a classifier reached on a test part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Score {
    /// Share of right answers, 0 to 1.
    accuracy: f64,
    /// Mean of the classes' F1, 0 to 1.
    macro_f1: f64,
}

/// A line of the script.
#[derive(Clone, Debug, Deserialize)]
struct Baseline {
    set: String,
    seed: u64,
    train: usize,
    test: usize,
    words: Score,
    characters: Score,
}

/// All of a set and a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    train: usize,
    test: usize,
    words: Score,
    characters: Score,
    latch: Score,
    image_bytes: u64,
    seconds: f64,
}

/// The keys of `latch eval --json` that are read.
#[derive(Deserialize)]
struct Evaluated {
    #[serde(flatten)]
    score: Score,
    image_bytes: u64,
}

/// Installs, divides, trains and prints the table.
///
/// # Errors
/// Names what does not install or run.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = target_folder().join("small-sets");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let python = python(&folder, &root().join("benches/small/requirements.txt"))?;
    let seeds: Vec<String> = options.seeds.iter().map(u64::to_string).collect();
    let script = Command::new(&text(&python)).arg("benches/small/baselines.py");
    let script = script.arg(text(&std::path::absolute(&options.text)?)).arg(text(&std::path::absolute(&options.sst2)?));
    show(&script.arg(text(&folder)).arg("--seeds").arg(seeds.join(",")))?;

    let lines = fs::read_to_string(folder.join("baselines.jsonl"))?;
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for line in lines.lines() {
        let baseline: Baseline = serde_json::from_str(line).context("the script wrote something else")?;
        if options.only.as_ref().is_none_or(|only| baseline.set.starts_with(only)) {
            rows.entry(baseline.set.clone()).or_default().push(train(&folder, &baseline)?);
        }
    }
    print(&rows);
    if options.only.is_none() {
        write_record(&root().join(RECORD), &rows)?;
        println!("written to {RECORD}");
    }
    Ok(())
}

/// Trains, exports to int8 and evaluates as a user does, with nothing but the kind of tokens given.
fn train(folder: &Path, baseline: &Baseline) -> Result<Row> {
    let Baseline { set, seed, train, test, words, characters } = baseline.clone();
    let here = folder.join(format!("{set}-{seed}"));
    let (run, image) = (here.join("run"), here.join("int8.latch"));
    if run.exists() {
        fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
    }
    let begin = Instant::now();
    let mut command = latch("train").arg("--data").arg(text(&here.join("train.tsv"))).arg("--out").arg(text(&run));
    if set == "names" {
        command = command.args("--tokens chars");
    }
    show(&command.args(&format!("--seed {seed}")))?;
    let seconds = begin.elapsed().as_secs_f64();
    show(&latch("export").arg("--run").arg(text(&run)).arg("--out").arg(text(&image)).args("--precision int8"))?;
    let eval = latch("eval").arg("--image").arg(text(&image)).arg("--data").arg(text(&here.join("test.tsv")));
    let (line, _) = eval.args("--json").capture()?;
    let Evaluated { score: latch, image_bytes } =
        serde_json::from_str(&line).context("`latch eval --json` printed something else")?;
    eprintln!("{set}, seed {seed}: {:.2} % in {seconds:.0} s", 100.0 * latch.accuracy);
    Ok(Row { train, test, words, characters, latch, image_bytes, seconds })
}

/// Means over the seeds.
fn print(rows: &BTreeMap<String, Vec<Row>>) {
    println!(
        "{:12} {:>7} {:>7} {:>7} {:>9} {:>9} {:>8}",
        "accuracy %", "words", "chars", "latch", "macro F1", "bytes", "seconds"
    );
    for (set, rows) in rows {
        let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / rows.len().max(1) as f64;
        println!(
            "{set:12} {:>7.2} {:>7.2} {:>7.2} {:>9.2} {:>9.0} {:>8.1}",
            100.0 * mean(&|row| row.words.accuracy),
            100.0 * mean(&|row| row.characters.accuracy),
            100.0 * mean(&|row| row.latch.accuracy),
            100.0 * mean(&|row| row.latch.macro_f1),
            mean(&|row| row.image_bytes as f64),
            mean(&|row| row.seconds),
        );
    }
}
