//! What class weights do for a rare class: made-up text messages of which one in a hundred is spam, learned with and without them.
//!
//! ```text
//! unequal [--texts N] [--test N] [--seeds N] [--out FOLDER]
//! ```
//!
//! For each seed a model learns from texts of the set `messages` (`latch data messages`) as `latch train` learns where nobody names a model or epochs, and its int8 image is judged on test
//! messages of another seed, none of which is a training text. `recall at 90 %` is the largest recall of spam among the thresholds whose precision is at least 90 %.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use latch_engine::Model;
use latch_engine::image::Image;
use latch_trainer::config::{ClassWeights, RunConfig, Select, Storage, Threshold, TrainConfig, Valid, default_config};
use latch_trainer::dataset::{Columns, Example, messages, write_tsv_gz};
use latch_trainer::defaults::Open;
use latch_trainer::evaluate::evaluate;
use latch_trainer::export::{Export, Trained};
use latch_trainer::learning::training::{BatchProgress, Progress};
use latch_trainer::metrics::EpochMetrics;
use latch_trainer::report::classes::never_answered;
use latch_trainer::report::table;
use latch_trainer::runs::adapted::{Asked, Ended, begin};
use latch_trainer::runs::folder::RunFolder;
use latch_trainer::runs::folds::Observer;

/// Seeds of the test messages begin here, so that no seed of a training is one of them.
const TEST_SEEDS: u64 = 1_000;

#[derive(Parser)]
#[command(about = "What class weights do for a class of one text in a hundred")]
struct Arguments {
    /// Texts to train and validate on
    #[arg(long, default_value_t = 5_000)]
    texts: usize,
    /// Texts to test on
    #[arg(long, default_value_t = 50_000)]
    test: usize,
    /// Seeds
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Folder for data and runs, which must not be there
    #[arg(long, default_value = "target/unequal")]
    out: PathBuf,
}

/// Says nothing.
struct Silent;

impl Progress for Silent {
    fn batch(&mut self, _: &BatchProgress) {}
    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}

impl Observer for Silent {
    fn begins(&mut self, _: u32, _: u32) {}
    fn begins_all(&mut self, _: u64) {}
}

/// What a user says who gives data and options of the loss alone.
const ASKED: Asked<'_> = Asked {
    tokens: None,
    folds: None,
    open: Open { model: true, epochs: true, patience: true, valid: true },
    fast: false,
    settings: &|_, _| String::new(),
};

/// The trainings that are compared, each with its name.
fn trainings() -> Vec<(&'static str, TrainConfig)> {
    let plain = default_config();
    let balanced = TrainConfig { class_weights: ClassWeights::Balanced, ..plain.clone() };
    let chosen = TrainConfig { select: Select::MacroF1, threshold: Threshold::F1, ..balanced.clone() };
    vec![("none", plain), ("balanced", balanced), ("balanced, macro-f1, threshold f1", chosen)]
}

fn main() -> Result<()> {
    let args = Arguments::parse();
    std::fs::create_dir_all(&args.out)?;
    let heading = ["class weights", "seed", "accuracy", "precision", "recall", "F1", "recall at 90 %"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let mut warnings = Vec::new();
    for (name, config) in trainings() {
        let mut recalls = Vec::new();
        for seed in 1..=args.seeds {
            let (row, recall, warning) = measure(&args, name, &config, seed)?;
            eprintln!("{}", row.join("  "));
            rows.push(row);
            recalls.push(recall);
            warnings.extend(warning.map(|warning| format!("{name}, seed {seed}: {warning}")));
        }
        let mean = recalls.iter().sum::<f64>() / recalls.len().max(1) as f64;
        let last = format!("{:.1} %", 100.0 * mean);
        rows.push([name, "mean", "", "", "", "", &last].map(str::to_owned).to_vec());
    }
    print!("{}", table(&rows));
    for warning in warnings {
        println!("warning with {warning}");
    }
    Ok(())
}

/// Trains on one seed and judges the int8 image: its row, the recall at 90 % precision, and the warning of the validation part.
fn measure(
    args: &Arguments,
    name: &str,
    config: &TrainConfig,
    seed: u64,
) -> Result<(Vec<String>, f64, Option<String>)> {
    let classes = messages::CLASSES.map(String::from);
    let training = messages::generate(seed, args.texts);
    let data = args.out.join(format!("messages-{seed}.tsv.gz"));
    write_tsv_gz(&data, &classes, &training)?;
    let known: HashSet<&str> = training.iter().map(|example| example.text.as_str()).collect();
    let test: Vec<Example> = messages::generate(TEST_SEEDS + seed, args.test)
        .into_iter()
        .filter(|example| !known.contains(example.text.as_str()))
        .collect();
    let folder = RunFolder::new(args.out.join(format!("{}-{seed}", name.replace([',', ' '], "-"))));
    let verdict = match begin(run_config(config, &data, seed)?, &ASKED, &folder, &mut Silent)? {
        Ended::Run(outcome) => outcome.verdict,
        Ended::Folds(folds) => Some(folds.verdict),
    };
    let warning = verdict.and_then(|verdict| {
        let scores = latch_trainer::metrics::scores::Scores::of(&verdict.confusion);
        never_answered(&scores, &classes, "validation texts")
    });
    let run = Trained::read(&folder)?;
    let image = Export::of(run.source(), true)?.image(Storage::Int8)?.bytes;
    let judged = evaluate(&Model::new(&Image::open(&image)?), &test)?;
    let spam = judged.scores.classes[1];
    let recall = judged.rare_recall.map_or(0.0, |(_, recall)| recall);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let row = vec![
        name.to_owned(),
        seed.to_string(),
        format!("{:.2} %", 100.0 * judged.accuracy),
        percent(spam.precision),
        percent(spam.recall),
        percent(spam.f1),
        percent(recall),
    ];
    Ok((row, recall, warning))
}

/// The run of a seed.
fn run_config(config: &TrainConfig, data: &Path, seed: u64) -> Result<RunConfig> {
    Ok(RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        train: TrainConfig { seed, ..config.clone() },
        data: std::path::absolute(data)?,
        data_sha256: String::new(),
        columns: Columns::default(),
        classes: Vec::new(),
        valid: Valid::Fraction(0.1),
        series: None,
        imported: None,
    })
}
