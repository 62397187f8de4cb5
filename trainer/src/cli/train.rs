//! `latch train`: from labelled texts to a run folder.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use latch_engine::image::manifest::{Hashed, MAX_LAYERS, MAX_OUTPUTS, MAX_ROWS, MAX_WIDTH, Spelling, Tiers, Units};
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use serde::Serialize;

use super::search::{BudgetArgs, TRIALS, go_on, search};
use super::{answer, print_json, say};
use crate::dataset::{Dataset, Example, Label, Labels, MAX_CLASSES, Part, Task};
use crate::distillation::{DistillConfig, Fold, Targets, Teacher, teach};
use crate::error::fault;
use crate::files::OutputFolder;
use crate::network::Network;
use crate::network::readout::Readout;
use crate::ngrams::{Fitted, NgramConfig};
use crate::quantizer::Storage;
use crate::run::{RunConfig, RunFolder, Valid};
use crate::search::has_search;
use crate::training::{
    BatchProgress, EpochMetrics, ModelConfig, Outcome, Progress, QuantizeConfig, Scale, Sequences, TrainConfig,
    fit_ngrams, judge_logits, train,
};
use crate::vocabulary::{Vocabulary, Words, units_of};

/// Train a network on labelled texts.
///
/// The defaults train a model whose int8 image, tokenizer and vocabulary included, has at most 64 KiB.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch train --data imdb/train.tsv.gz --out runs/imdb\n  \
    latch train --data reviews.csv --model vocab=2000,embedding=8,lstm=16 --epochs 5 --out runs/small\n  \
    latch train --data topics.csv --task classes --out runs/topics\n  \
    latch train --data stars.tsv --task values --out runs/stars\n  \
    latch train --data entities.jsonl --task tags --out runs/entities\n  \
    latch train --data imdb/train.tsv.gz --flash 64KiB --ram 4KiB --out runs/search\n  \
    latch train --resume --out runs/imdb")]
pub struct Args {
    /// Labelled texts: an aclImdb folder, or .tsv, .csv, .jsonl, each also .gz
    #[arg(long, required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// What the labels mean: verdict (0 or 1), classes (0, 1, 2 …), values (any number), tags (a class for each token, as
    /// {"tokens": ["…"], "labels": [0]} a line) or tag-values
    #[arg(long, value_enum, default_value = "verdict", hide_possible_values = true)]
    task: TaskArg,
    /// Number of classes of --task classes and tags [default: as many as the data has]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=i64::from(MAX_CLASSES)))]
    classes: Option<u32>,
    /// Validation part: a path, or the share of the data to set apart
    #[arg(long, default_value = "0.1")]
    valid: ValidArg,
    /// The model, as key=value,…: vocab, words (count, useful), embedding, whole (ids with whole rows, those that occur most; the others have rows of `rare` features
    /// with rare_bits each, and with quotient=M the other features from M rows that they share), lstm (units), layers, readout (last, mean, max, attention), unknown (row, skip, hashed:ROWS or ending:ROWS,
    /// rows that unknown words share by their hash or that of their last three characters),
    /// dropout, recurrent_dropout, word_dropout, head_dropout; bag (width of an embedding without LSTM) in place of embedding, lstm and
    /// layers; ngrams (how many have a weight beside the network), longest (tokens of an n-gram), ngram_texts (that an n-gram must occur in), ngram_bits (of a weight), ngram_dropout (share of the texts that the network learns without them)
    #[arg(long, default_value = "", hide_default_value = true)]
    model: ModelArg,
    /// What a token is
    #[arg(long, value_enum, default_value = "auto")]
    units: UnitsArg,
    /// Most epochs
    #[arg(long, default_value_t = default_config().epochs, value_parser = clap::value_parser!(u64).range(1..=MAX_EPOCHS))]
    epochs: u64,
    /// Sequences of a batch
    #[arg(long, default_value_t = default_config().batch, value_parser = positive)]
    batch: usize,
    /// Learning rate at its peak
    #[arg(long, default_value_t = default_config().learning_rate)]
    lr: f64,
    /// Seed of everything random
    #[arg(long, default_value_t = default_config().seed)]
    seed: u64,
    /// Tokens that are kept of a training text: its last ones
    #[arg(long, default_value_t = default_config().max_tokens, value_parser = positive)]
    max_tokens: usize,
    /// Largest global norm of the gradient
    #[arg(long, default_value_t = default_config().clip_norm)]
    clip_norm: f64,
    /// Decoupled weight decay
    #[arg(long, default_value_t = default_config().weight_decay)]
    weight_decay: f64,
    /// Share by which labels move to the middle
    #[arg(long, default_value_t = default_config().label_smoothing)]
    label_smoothing: f64,
    /// Decay of the moving average of the weights that is judged and exported; 0 for none
    #[arg(long, default_value_t = default_config().average)]
    average: f64,
    /// Epochs without a lower validation loss after which training stops
    #[arg(long, default_value_t = default_config().patience, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Learn from these runs' probabilities besides the labels (distillation): folders of runs with the same task and validation part, separated by commas. A
    /// text is taught by the runs that have not learned from it, where there are some
    #[arg(long, value_name = "RUN,…", value_delimiter = ',')]
    teacher: Vec<PathBuf>,
    /// Share of the loss that is about the teachers' probabilities
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, requires = "teacher")]
    distill: f64,
    /// Temperature at which the teachers' probabilities are learned
    #[arg(long, value_name = "T", default_value_t = 1.0, requires = "teacher")]
    distill_temperature: f64,
    /// Leave out one of some equal parts of the training texts, as 2/5: so that the run can teach that part without having seen it
    #[arg(long, value_name = "PART/PARTS")]
    leave_out: Option<Fold>,
    /// Train on with the integers of an image, from the best network on: the forward pass computes what the engine will
    #[arg(long, value_enum)]
    quantize: Option<QuantizeArg>,
    /// Epochs with integers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=MAX_EPOCHS), requires = "quantize")]
    quantize_epochs: u64,
    /// Learning rate with integers at its peak
    #[arg(long, default_value_t = 1e-3, requires = "quantize")]
    quantize_lr: f64,
    /// Folder of the run
    #[arg(long)]
    out: PathBuf,
    /// Go on with the run in --out; its configuration is used
    #[arg(long, conflicts_with_all = ["data", "task", "classes", "valid", "model", "units", "epochs", "batch", "lr", "seed", "max_tokens", "clip_norm",
        "weight_decay", "label_smoothing", "average", "patience", "teacher", "leave_out", "quantize", "quantize_epochs", "quantize_lr", "flash", "ram", "latency", "board"])]
    resume: bool,
    /// Seconds after which a running epoch is kept; the result does not depend on it
    #[arg(long, hide = true, value_parser = seconds)]
    checkpoint_every: Option<Duration>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    // Behind all others, because options that follow would stand under its heading.
    #[command(flatten, next_help_heading = "Search for the best model within a budget, as `latch search` does")]
    budget: BudgetArgs,
}

/// `--task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TaskArg {
    /// One of two classes a text
    Verdict,
    /// One of several classes a text
    Classes,
    /// A value a text
    Values,
    /// A class for each token
    #[value(alias = "each-step")]
    Tags,
    /// A value for each token
    TagValues,
}

const _: () = assert!(MAX_CLASSES as usize == MAX_OUTPUTS);

/// The task of `--task` and `--classes`.
fn task(args: &Args) -> Result<Task> {
    let task = match args.task {
        TaskArg::Verdict => Task::Verdict,
        TaskArg::Classes => Task::Classes(0),
        TaskArg::Values => Task::Values,
        TaskArg::Tags => Task::Tags(0),
        TaskArg::TagValues => Task::TagValues,
    };
    let Some(classes) = args.classes else { return Ok(task) };
    if task.with_classes(classes) == task {
        return Err(fault(
            "--classes",
            "this task has no number of classes",
            "leave it out, or give --task classes or tags",
        )
        .into());
    }
    Ok(task.with_classes(classes))
}

/// `--quantize`: the storages of integers.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum QuantizeArg {
    /// 8-bit integers
    Int8,
    /// The same with 4 bits a weight in the embedding
    Mixed,
    /// 4-bit integers in the embedding and in the gates
    Int4,
}

impl From<QuantizeArg> for Storage {
    fn from(storage: QuantizeArg) -> Self {
        match storage {
            QuantizeArg::Int8 => Storage::Int8,
            QuantizeArg::Mixed => Storage::Mixed,
            QuantizeArg::Int4 => Storage::Int4,
        }
    }
}

/// `--units`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnitsArg {
    /// Words and marks
    Words,
    /// The same, but each Hangul syllable by itself
    Syllables,
    /// Syllables where more than half of the training texts' letters are Hangul
    Auto,
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number from 1".into()),
        Ok(number) => Ok(number),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "must be seconds from 0".into())
}

/// `--valid`: a share if it reads as a number between 0 and 1, else a path.
#[derive(Clone, Debug)]
pub(crate) struct ValidArg(pub(crate) Valid);

impl FromStr for ValidArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if share > 0.0 && share < 1.0 => Ok(ValidArg(Valid::Fraction(share))),
            Ok(_) => Err("a share must lie between 0 and 1".into()),
            Err(_) => Ok(ValidArg(Valid::Path(text.into()))),
        }
    }
}

/// `--model`: the default model with some keys changed.
#[derive(Clone, Debug)]
struct ModelArg(ModelConfig);

/// The model whose int8 image fits 64 KiB.
pub(crate) const DEFAULT_MODEL: ModelConfig = ModelConfig {
    vocab: 5_000,
    words: Words::Count,
    embedding: 8,
    lstm: 32,
    layers: 1,
    readout: Readout::Attention,
    skip_unknown: false,
    hashed: None,
    tiers: None,
    syllables: false,
    dropout: 0.0,
    recurrent_dropout: 0.0,
    word_dropout: 0.3,
    head_dropout: 0.0,
    ngrams: NgramConfig::NONE,
};

/// What the options' defaults give.
pub(crate) fn default_config() -> TrainConfig {
    TrainConfig {
        model: DEFAULT_MODEL,
        task: Task::Verdict,
        epochs: 10,
        batch: 32,
        learning_rate: 5e-3,
        warmup: 0.05,
        seed: 1,
        max_tokens: 400,
        clip_norm: 1.0,
        weight_decay: 0.0,
        label_smoothing: 0.0,
        average: 0.999,
        patience: 3,
        quantize: None,
        distill: None,
        leave_out: None,
    }
}

impl FromStr for ModelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut model = DEFAULT_MODEL;
        let mut keys = Vec::new();
        let (mut whole, mut rare, mut quotient, mut four) = (None, None, None, None);
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not of the form key=value"))?;
            let (key, value) = (key.trim(), value.trim());
            keys.push(key);
            let size = || positive(value).map_err(|problem| format!("{key}: {problem}"));
            let share = || match value.parse::<f64>() {
                Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
                _ => Err(format!("{key}: must be a number from 0 to below 1")),
            };
            match key {
                "vocab" => model.vocab = size()?,
                "words" => {
                    model.words = match value {
                        "count" => Words::Count,
                        "useful" => Words::Useful,
                        _ => return Err("words: must be count or useful".into()),
                    }
                }
                "embedding" => model.embedding = size()?,
                "whole" => whole = Some(size()?),
                "rare" => rare = Some(size()?),
                "quotient" => quotient = Some(size()?),
                "rare_bits" => {
                    four = match value {
                        "8" => Some(false),
                        "4" => Some(true),
                        _ => return Err("rare_bits: must be 8 or 4".into()),
                    }
                }
                "bag" => (model.embedding, model.layers) = (size()?, 0),
                "lstm" => model.lstm = size()?,
                "layers" => model.layers = size()?,
                "readout" => {
                    model.readout = match value {
                        "last" => Readout::Last,
                        "mean" => Readout::Mean,
                        "max" => Readout::Max,
                        "attention" => Readout::Attention,
                        _ => return Err("readout: must be last, mean, max or attention".into()),
                    }
                }
                "unknown" => {
                    let (rule, rows) = value.split_once(':').map_or((value, None), |(rule, rows)| (rule, Some(rows)));
                    let of = match (rule, rows) {
                        ("row" | "skip", None) => None,
                        ("hashed", Some(_)) => Some(Spelling::Whole),
                        ("ending", Some(_)) => Some(Spelling::Ending),
                        _ => return Err("unknown: must be row, skip, hashed:ROWS or ending:ROWS".into()),
                    };
                    let rows = rows.map(|rows| positive(rows).map_err(|problem| format!("{key}: {rule}: {problem}")));
                    let rows = rows.transpose()?.map_or(0, |rows| u32::try_from(rows).unwrap_or(u32::MAX));
                    model.skip_unknown = rule == "skip";
                    model.hashed = of.map(|of| Hashed { rows, of });
                }
                "dropout" => model.dropout = share()?,
                "recurrent_dropout" => model.recurrent_dropout = share()?,
                "word_dropout" => model.word_dropout = share()?,
                "head_dropout" => model.head_dropout = share()?,
                "ngrams" => {
                    model.ngrams.count = value.parse().map_err(|_| "ngrams: must be a whole number".to_owned())?
                }
                "ngram_dropout" => {
                    let kept: f64 =
                        value.parse().map_err(|_| "ngram_dropout: must be a number from 0 to 1".to_owned())?;
                    model.ngrams.dropout = kept;
                }
                "ngram_texts" => {
                    model.ngrams.fewest = size()?.try_into().map_err(|_| "ngram_texts: is too large".to_owned())?;
                }
                "longest" => model.ngrams.longest = byte(key, value, 1, MAX_LONGEST as u8)?,
                "ngram_bits" => {
                    model.ngrams.weight_bits = byte(key, value, *WEIGHT_BITS.start(), *WEIGHT_BITS.end())?;
                }
                _ => {
                    let keys = "vocab, words, embedding, whole, rare, rare_bits, quotient, lstm, layers, bag, readout, unknown, dropout, recurrent_dropout, word_dropout, head_dropout, ngrams, longest, ngram_texts, ngram_bits, ngram_dropout";
                    return Err(format!("`{key}` is no key of a model; the keys are {keys}"));
                }
            }
        }
        let number = |value: Option<usize>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        if let Some(whole) = number(whole) {
            let width = rare.unwrap_or(model.embedding.div_ceil(2));
            model.tiers = Some(Tiers {
                whole,
                width: u16::try_from(width).unwrap_or(u16::MAX),
                remainders: number(quotient).unwrap_or(0),
                nibbles: four.unwrap_or(false),
            });
        } else if rare.is_some() || quotient.is_some() || four.is_some() {
            return Err("rare, rare_bits and quotient are about the ids beyond whole=; give that too".into());
        }
        if keys.contains(&"bag") {
            // A bag has the embedding's width and no recurrent layer.
            let other = ["embedding", "lstm", "layers", "dropout", "recurrent_dropout"];
            if let Some(key) = other.into_iter().find(|key| keys.contains(key)) {
                return Err(format!("a bag of embeddings has no {key}; leave out {key} or bag"));
            }
            (model.layers, model.lstm, model.dropout, model.recurrent_dropout) = (0, 0, 0.0, 0.0);
            if !keys.contains(&"readout") {
                model.readout = Readout::Mean;
            }
        }
        Ok(ModelArg(model))
    }
}

/// A small whole number of a range.
fn byte(key: &str, value: &str, least: u8, most: u8) -> Result<u8, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{key}: must be a whole number from {least} to {most}"))
}

#[derive(Serialize)]
struct Line<'a> {
    epochs: u64,
    best_valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantized_valid_accuracy: Option<f64>,
    tokens_per_s: f64,
    seconds: f64,
    run: &'a str,
}

/// Most epochs of a run: far more than any needs, and few enough that a run's steps can be counted.
pub(crate) const MAX_EPOCHS: u64 = 1_000_000;

/// Most n-grams of a table.
const MAX_NGRAMS: usize = 1 << 25;

/// Most sequences of a batch.
const MAX_BATCH: usize = 1 << 20;

/// Runs the verb.
///
/// # Errors
/// A fault when the data, the options or the folder cannot be used, or when training diverges.
pub fn run(args: Args) -> Result<()> {
    if args.resume && has_search(&args.out) {
        return go_on(args.out, args.json);
    }
    if let Some(budget) = args.budget.clone().budget() {
        if !args.teacher.is_empty() {
            let remedy = "search without teachers, and train the model that was found with them";
            return Err(fault("--teacher", "a search learns from the labels alone", remedy).into());
        }
        let train = train_config(&args);
        let Some(data) = args.data else { bail!("--data is missing although --resume is not given") };
        return search(data, args.valid.0, budget, train, TRIALS, None, args.out, args.json);
    }
    let folder = RunFolder::new(&args.out);
    let folder = match args.checkpoint_every {
        Some(interval) => folder.with_checkpoints_every(interval),
        None => folder,
    };
    let json = args.json;
    let outcome = if args.resume { resume(&folder, json)? } else { begin(args, &folder)? };
    let text = format!(
        "best epoch {} of {} (lowest validation loss): validation {}, loss {:.4}; {:.0} tokens/s, {:.1} s; run in {}",
        outcome.best.epoch,
        outcome.epochs,
        accuracy(folder.config()?.train.task, outcome.best.valid_accuracy),
        outcome.best.valid_loss,
        outcome.tokens_per_second,
        outcome.elapsed.as_secs_f64(),
        folder.path().display(),
    );
    answer(json, format_args!("{text}"))?;
    if let Some(quantized) = &outcome.quantized {
        let text = format!(
            "with integers: best epoch {}: validation {}, loss {:.4}, of the image, through the engine",
            quantized.epoch,
            accuracy(folder.config()?.train.task, quantized.valid_accuracy),
            quantized.valid_loss
        );
        answer(json, format_args!("{text}"))?;
    }
    if json {
        print_json(&Line {
            epochs: outcome.epochs,
            best_valid_accuracy: outcome.best.valid_accuracy,
            quantized_valid_accuracy: outcome.quantized.map(|quantized| quantized.valid_accuracy),
            tokens_per_s: outcome.tokens_per_second,
            seconds: outcome.elapsed.as_secs_f64(),
            run: &folder.path().display().to_string(),
        })?;
    }
    Ok(())
}

/// What the options say of a training.
fn train_config(args: &Args) -> TrainConfig {
    TrainConfig {
        model: args.model.0.clone(),
        task: Task::Verdict,
        epochs: args.epochs,
        batch: args.batch,
        learning_rate: args.lr,
        warmup: default_config().warmup,
        seed: args.seed,
        max_tokens: args.max_tokens,
        clip_norm: args.clip_norm,
        weight_decay: args.weight_decay,
        label_smoothing: args.label_smoothing,
        average: args.average,
        patience: args.patience,
        quantize: args.quantize.map(|storage| QuantizeConfig {
            storage: storage.into(),
            epochs: args.quantize_epochs,
            learning_rate: args.quantize_lr,
        }),
        distill: None,
        leave_out: args.leave_out,
    }
}

fn begin(args: Args, folder: &RunFolder) -> Result<Outcome> {
    let teachers = args.teacher.iter().map(|run| Teacher::read(absolute(run))).collect::<Result<Vec<_>>>()?;
    let distill = (!teachers.is_empty()).then_some(DistillConfig {
        teachers,
        share: args.distill,
        temperature: args.distill_temperature,
    });
    let train = TrainConfig { task: task(&args)?, distill, ..train_config(&args) };
    let Some(data) = &args.data else { bail!("--data is missing although --resume is not given") };
    let config = RunConfig {
        latch: env!("CARGO_PKG_VERSION").into(),
        train,
        data: absolute(data),
        data_sha256: String::new(),
        valid: match args.valid.0 {
            Valid::Path(path) => Valid::Path(absolute(&path)),
            share => share,
        },
        imported: None,
    };
    begin_run(config, args.units, folder, args.json)
}

/// Begins a run in a folder that has none. The digest of the data and the units are filled in here.
///
/// # Errors
/// A fault when the folder already holds a run, or when the data or the folder cannot be used. If nothing was learned by then, the folder
/// is as it was before.
pub(crate) fn begin_run(mut config: RunConfig, units: UnitsArg, folder: &RunFolder, quiet: bool) -> Result<Outcome> {
    check_options(&config.train, "")?;
    refuse_run(folder)?;
    let (training, validation, valid_sha256) = load(&mut config)?;
    config.train.model.syllables = match units {
        UnitsArg::Words => false,
        UnitsArg::Syllables => true,
        UnitsArg::Auto => units_of(training.iter().map(|example| example.text.as_str())) == Units::Syllables,
    };
    let vocabulary = vocabulary(&config, &training)?;
    if let Some(tiers) = config.train.model.tiers {
        let others = (vocabulary.rows() as u32).saturating_sub(tiers.whole);
        if others == 0 || tiers.remainders > others {
            let problem = format!(
                "the embedding has {} rows, {} of them whole: {others} are left for {} remainders",
                vocabulary.rows(),
                tiers.whole,
                tiers.remainders.max(1)
            );
            return Err(fault("--model whole", problem, "give fewer whole rows or remainders, or more words").into());
        }
    }
    let targets = teach(&config.train, &training, &validation)?;
    let made = OutputFolder::create(folder.path())?;
    // Reading the data takes time, in which another run may have begun.
    refuse_run(folder)?;
    folder.write_config(&config, valid_sha256)?;
    // Whoever was quicker to resume this run than its own beginning has it.
    let lock = folder.lock()?;
    let outcome = folder.write_vocabulary(&vocabulary).and_then(|()| {
        if let Some(targets) = &targets {
            folder.write_targets(targets)?;
        }
        let ngrams = fit_ngrams(&config.train, &training, targets.as_ref());
        if let Some(ngrams) = &ngrams {
            folder.write_ngrams(ngrams)?;
        }
        go(&config, (&vocabulary, ngrams.as_ref(), targets), training, validation, folder, None, quiet)
    });
    if outcome.is_err() && !folder.has_learned() {
        // The first error is the one to report.
        let _ = folder.remove_beginning();
    } else {
        made.keep();
    }
    drop(lock);
    outcome
}

pub(crate) fn refuse_run(folder: &RunFolder) -> Result<()> {
    if folder.has_run() {
        return Err(fault(
            folder.path().display(),
            "this folder already holds a run",
            "go on with it by --resume, or name another folder",
        )
        .into());
    }
    Ok(())
}

/// The vocabulary of a run's training texts.
fn vocabulary<L: Labels>(config: &RunConfig, training: &[Example<L>]) -> Result<Vocabulary> {
    let vocabulary = Vocabulary::of_run(&config.train, training);
    check_vocabulary(&vocabulary, &config.data, "--model vocab")?;
    Ok(vocabulary)
}

/// Checks that there is a word, and that the words are not more than an image holds; `data` is where they come from, `option` says how
/// many there are to be.
pub(crate) fn check_vocabulary(vocabulary: &Vocabulary, data: &Path, option: &str) -> Result<()> {
    if vocabulary.words().is_empty() {
        return Err(
            fault(data.display(), "the texts hold no word", "check that the text column is the right one").into()
        );
    }
    if vocabulary.rows() > MAX_ROWS as usize {
        let (words, rows) = (vocabulary.words().len(), vocabulary.unknown.rows());
        let problem = format!("{words} words and {rows} rows for unknown words are more than an image holds");
        return Err(fault(option, problem, format!("make them no more than {MAX_ROWS} together")).into());
    }
    Ok(())
}

fn resume(folder: &RunFolder, quiet: bool) -> Result<Outcome> {
    if let Some(imported) = folder.config()?.imported {
        return Err(fault(
            folder.path().display(),
            format!(
                "its network was imported from {}, so that no training is kept to go on with",
                imported.file.display()
            ),
            "train on where it comes from and import it again, or train a network of your own into another folder",
        )
        .into());
    }
    let lock = folder.lock()?;
    let began = Beginning::read(folder)?;
    let checkpoint = folder.checkpoint()?;
    if let Some(checkpoint) = folder.quantized_checkpoint()? {
        began.check_network(folder, "quantized.checkpoint", checkpoint.network())?;
    }
    if let Some(checkpoint) = &checkpoint {
        began.check_network(folder, "checkpoint", checkpoint.network())?;
        if checkpoint.best().is_some() {
            began.check_network(folder, "best.network", &folder.best()?.network)?;
        }
    }
    let known = (&began.vocabulary, began.ngrams.as_ref(), began.targets);
    let outcome = go(&began.config, known, began.training, began.validation, folder, checkpoint, quiet);
    drop(lock);
    outcome
}

/// What a run began with, read again.
pub(crate) struct Beginning {
    pub(crate) config: RunConfig,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) ngrams: Option<Fitted>,
    pub(crate) targets: Option<Targets>,
    pub(crate) training: Vec<Example<Label>>,
    pub(crate) validation: Vec<Example<Label>>,
}

impl Beginning {
    /// Reads the configuration, the data and the vocabulary of a run, and checks that they are what the run began with.
    ///
    /// # Errors
    /// A fault that names the file that is missing, damaged or another one.
    pub(crate) fn read(folder: &RunFolder) -> Result<Self> {
        let began = folder.config()?;
        check_options(&began.train, &format!("{}: ", folder.file("config.json").display()))?;
        let mut config = began.clone();
        let (training, validation, valid_sha256) = load(&mut config)
            .map_err(|error| error.context("the run's data is needed again; where it has moved, put it back"))?;
        let changed = |path: &Path| {
            fault(
                path.display(),
                "the data is not what the run began with: its SHA-256 differs",
                "put the old data back, or begin a new run",
            )
        };
        if config.data_sha256 != began.data_sha256 {
            return Err(changed(&config.data).into());
        }
        if let Valid::Path(path) = &config.valid
            && folder.valid_sha256()?.is_some_and(|began| Some(began) != valid_sha256)
        {
            return Err(changed(path).into());
        }
        let path = folder.file("vocabulary.txt");
        if let Some(imported) = &config.imported {
            let vocabulary = folder.vocabulary(&config.train)?;
            if vocabulary.sha256() != imported.vocabulary_sha256 {
                return Err(fault(
                    path.display(),
                    "the words are not those of the imported network",
                    "take the file from a copy, or import the network again into another folder",
                )
                .into());
            }
            return Ok(Beginning { config, vocabulary, ngrams: None, targets: None, training, validation });
        }
        let vocabulary = vocabulary(&config, &training)?;
        if !path.exists() && !folder.has_learned() {
            // The run was stopped between its first two files.
            folder.write_vocabulary(&vocabulary)?;
        }
        if folder.vocabulary(&config.train)? != vocabulary {
            return Err(fault(
                path.display(),
                "the words are not those of the run's training texts",
                "take the file from a copy, or train again into another folder",
            )
            .into());
        }
        if config.train.distill.is_some() && !folder.file("teachers").exists() && !folder.has_learned() {
            // Likewise between its second file and its third.
            if let Some(targets) = teach(&config.train, &training, &validation)? {
                folder.write_targets(&targets)?;
            }
        }
        let targets = folder.targets(&config.train)?;
        if targets.as_ref().is_some_and(|targets| targets.len() != training.len()) {
            let remedy = "take the file from a copy, or train again into another folder";
            let problem = "the teachers' probabilities are not those of the run's training texts";
            return Err(fault(folder.file("teachers").display(), problem, remedy).into());
        }
        let config_has = config.train.model.ngrams.count > 0;
        if config_has && !folder.file("ngrams").exists() && !folder.has_learned() {
            // Likewise between that file and the next.
            if let Some(fitted) = fit_ngrams(&config.train, &training, targets.as_ref()) {
                folder.write_ngrams(&fitted)?;
            }
        }
        let ngrams = folder.ngrams(&config.train)?;
        if ngrams.as_ref().is_some_and(|ngrams| ngrams.offsets.len() != training.len()) {
            return Err(fault(
                folder.file("ngrams").display(),
                "the n-grams are not those of the run's training texts",
                "take the file from a copy, or train again into another folder",
            )
            .into());
        }
        Ok(Beginning { config, vocabulary, ngrams, targets, training, validation })
    }

    /// Checks that a network has the shape that the configuration and the vocabulary give it.
    ///
    /// # Errors
    /// A fault naming `file`, in which the network was.
    pub(crate) fn check_network(&self, folder: &RunFolder, file: &str, network: &Network<f32>) -> Result<()> {
        if *network.config() == self.config.train.network(self.vocabulary.rows()) {
            return Ok(());
        }
        Err(fault(
            folder.file(file).display(),
            "its network is not the one of config.json",
            "take both files from one run, or train again into another folder",
        )
        .into())
    }
}

/// Checks what does not depend on the data; `within` stands before the option's name.
pub(crate) fn check_options(config: &TrainConfig, within: &str) -> Result<()> {
    let check = |option: &str, fits: bool, range: &str| {
        if fits { Ok(()) } else { Err(fault(format!("{within}{option}"), format!("must be {range}"), "correct it")) }
    };
    let share = |value: f64| (0.0..1.0).contains(&value);
    let below_one = "from 0 to below 1";
    check("--epochs", (1..=MAX_EPOCHS).contains(&config.epochs), &format!("a whole number from 1 to {MAX_EPOCHS}"))?;
    check("--batch", (1..=MAX_BATCH).contains(&config.batch), &format!("a whole number from 1 to {MAX_BATCH}"))?;
    check("--lr", config.learning_rate > 0.0 && config.learning_rate.is_finite(), "a positive number")?;
    check("--max-tokens", config.max_tokens > 0, "a whole number from 1")?;
    check("--clip-norm", config.clip_norm > 0.0 && config.clip_norm.is_finite(), "a positive number")?;
    check("--weight-decay", share(config.weight_decay), below_one)?;
    check("--label-smoothing", share(config.label_smoothing), below_one)?;
    check("--average", share(config.average), below_one)?;
    check("--patience", config.patience > 0, "a whole number from 1")?;
    if let Some(quantize) = &config.quantize {
        let integers = !matches!(quantize.storage, Storage::F32 | Storage::F16);
        check("--quantize", integers, "int8, mixed or int4")?;
        check("--quantize", config.model.layers > 0, "left out for a model without LSTM layers")?;
        let range = format!("a whole number from 1 to {MAX_EPOCHS}");
        check("--quantize-epochs", (1..=MAX_EPOCHS).contains(&quantize.epochs), &range)?;
        let rate = quantize.learning_rate;
        check("--quantize-lr", rate > 0.0 && rate.is_finite(), "a positive number")?;
    }
    if let Some(distill) = &config.distill {
        check("--distill", (0.0..=1.0).contains(&distill.share), "from 0 to 1")?;
        let temperature = distill.temperature;
        check("--distill-temperature", (0.01..=100.0).contains(&temperature), "from 0.01 to 100")?;
        let fits = matches!(config.task, Task::Verdict | Task::Classes(_));
        check("--teacher", fits, "left out where a text has no class")?;
    }
    check("warmup", (0.0..=1.0).contains(&config.warmup), "from 0 to 1")?;

    // What an image can hold; better said before hours of training than after.
    let model = &config.model;
    let width = usize::from(MAX_WIDTH);
    check("--model vocab", model.vocab > 0, "a whole number from 1")?;
    check("--model layers", model.layers <= MAX_LAYERS, &format!("a whole number from 1 to {MAX_LAYERS}"))?;
    if model.layers == 0 {
        let fits = (1..=width).contains(&model.embedding);
        check("--model bag", fits, &format!("a whole number from 1 to {width}"))?;
    } else {
        check("--model lstm", (1..width).contains(&model.lstm), &format!("a whole number from 1 to {}", width - 1))?;
        let room = width - model.lstm;
        check(
            "--model embedding",
            (1..=room).contains(&model.embedding),
            &format!("a whole number from 1, with lstm at most {width}"),
        )?;
        if model.layers > 1 {
            check("--model lstm", model.lstm <= width / 2, &format!("at most {} in more than one layer", width / 2))?;
        }
    }
    let hashed = model.hashed.is_none_or(|hashed| (1..MAX_ROWS).contains(&hashed.rows));
    check("--model unknown", hashed, &format!("of rows from 1 to below {MAX_ROWS}"))?;
    if let Some(tiers) = model.tiers {
        let most = if tiers.remainders == 0 { model.embedding } else { model.embedding - 1 };
        let narrow = (1..=most).contains(&usize::from(tiers.width));
        check("--model rare", narrow, &format!("a whole number from 1 to {most}"))?;
        check("--model whole", !config.task.each_step(), "left out where each token has an answer")?;
        check("--quantize", config.quantize.is_none(), "left out where the model has whole=")?;
    }
    let plain = config.task == Task::Verdict || model.ngrams.count == 0;
    check("--task", plain, "verdict where the model has n-grams")?;
    let classes = matches!(config.task, Task::Verdict | Task::Classes(_)) || model.words == Words::Count;
    check("--model words", classes, "count where the labels are no classes of whole texts")?;
    let steps = !config.task.each_step() || model.layers > 0;
    let attends = model.readout != Readout::Attention || model.layers > 0;
    check("--model readout", attends, "last, mean or max where there is no recurrent layer")?;
    check("--model layers", steps, "at least 1 where each token has an answer")?;
    check("--model ngrams", model.ngrams.count <= MAX_NGRAMS, &format!("at most {MAX_NGRAMS}"))?;
    check("--model ngram_dropout", (0.0..=1.0).contains(&model.ngrams.dropout), "from 0 to 1")?;
    check("--model longest", (1..=MAX_LONGEST as u8).contains(&model.ngrams.longest), "what an image can hold")?;
    check("--model ngram_bits", WEIGHT_BITS.contains(&model.ngrams.weight_bits), "what an image can hold")?;
    check("--model dropout", share(model.dropout), below_one)?;
    check("--model recurrent_dropout", share(model.recurrent_dropout), below_one)?;
    check("--model word_dropout", share(model.word_dropout), below_one)?;
    check("--model head_dropout", share(model.head_dropout), below_one)?;
    Ok(())
}

/// What [`load`] gives.
type Parts = (Vec<Example<Label>>, Vec<Example<Label>>, Option<String>);

/// The training and the validation part of a run (empty where a network was imported without data), the digest of a validation part that has
/// data of its own, and the digest of the data and, where the task leaves it to the data, the number of classes into the configuration.
pub(crate) fn load(config: &mut RunConfig) -> Result<Parts> {
    if config.imported.is_some() && config.data.as_os_str().is_empty() {
        return Ok((Vec::new(), Vec::new(), None));
    }
    let mut data = Dataset::load_for(&config.data, Part::Train, config.train.task)?;
    // A fault of the split is one of this file.
    data.name = config.data.display().to_string();
    config.train.task = data.resolve(config.train.task)?;
    match &config.valid {
        Valid::Fraction(share) => {
            config.data_sha256 = data.sha256.clone();
            let [training, validation] = data.split(config.train.seed, [1.0 - share, *share])?;
            Ok((left(training.examples, config)?, validation.examples, None))
        }
        Valid::Path(path) => {
            let validation = Dataset::load_for(path, Part::Valid, config.train.task)?;
            config.data_sha256 = data.sha256;
            Ok((left(data.examples, config)?, validation.examples, Some(validation.sha256)))
        }
    }
}

/// The training texts without the part that the run leaves out.
fn left(mut training: Vec<Example<Label>>, config: &RunConfig) -> Result<Vec<Example<Label>>> {
    if let Some(fold) = config.train.leave_out {
        training.retain(|example| !fold.holds(&example.text));
        if training.is_empty() {
            let problem = "no training text is left";
            return Err(fault("--leave-out", problem, "divide the texts into more parts, or leave it out").into());
        }
    }
    Ok(training)
}

/// Reads the texts into ids, lets go of them, and trains.
fn go(
    config: &RunConfig,
    (vocabulary, ngrams, targets): (&Vocabulary, Option<&Fitted>, Option<Targets>),
    training: Vec<Example<Label>>,
    validation: Vec<Example<Label>>,
    folder: &RunFolder,
    checkpoint: Option<crate::run::Checkpoint>,
    quiet: bool,
) -> Result<Outcome> {
    let scale = config.train.task.has_values().then(|| Scale::of(&training));
    let normalised = |sequences: Sequences| match scale {
        Some(scale) => sequences.normalised(scale),
        None => sequences,
    };
    let training = {
        let texts = training;
        let sequences = normalised(Sequences::read(&texts, vocabulary, config.train.max_tokens));
        let offsets = ngrams.map_or(Vec::new(), |ngrams| ngrams.offsets.clone());
        Sequences { offsets, targets: targets.unwrap_or_default(), ..sequences }
    };
    let validation = {
        let texts = validation;
        let sequences = normalised(Sequences::read(&texts, vocabulary, usize::MAX));
        match ngrams {
            Some(ngrams) => sequences.beside(&texts, vocabulary.units, &ngrams.table),
            None => sequences,
        }
    };
    if let Some(ngrams) = ngrams.filter(|_| checkpoint.is_none()) {
        let (unseen, alone) =
            (judge_logits(&training.offsets, &training), judge_logits(&validation.offsets, &validation));
        say(
            quiet,
            format_args!(
                "{} n-grams alone: cross-validated loss {:.4}, accuracy {:.2} %  validation loss {:.4}, accuracy {:.2} %",
                ngrams.table.len(),
                unseen.0,
                100.0 * unseen.1,
                alone.0,
                100.0 * alone.1
            ),
        );
    }
    let quantized = config.train.quantize.as_ref().map_or(0, |quantize| quantize.epochs);
    let mut progress = Terminal::new(quiet, config.train.epochs.saturating_add(quantized), config.train.task);
    train(&config.train, vocabulary, &training, &validation, folder, checkpoint, &mut progress)
}

/// The path from the root, so that a run finds its data from any folder.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A bar a run where standard error is a terminal, and in any case a line an epoch: on standard output, or on standard error where
/// standard output is for machines.
struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    epochs: u64,
    task: Task,
}

/// An accuracy in words; of values it is R².
fn accuracy(task: Task, accuracy: f64) -> String {
    if task.has_values() { format!("R² {accuracy:.4}") } else { format!("accuracy {:.2} %", 100.0 * accuracy) }
}

impl Terminal {
    fn new(quiet: bool, epochs: u64, task: Task) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Terminal { bar, quiet, epochs, task }
    }
}

impl Progress for Terminal {
    fn batch(&mut self, batch: &BatchProgress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(batch.batches as u64 * self.epochs);
        bar.set_position((batch.epoch - 1) * batch.batches as u64 + batch.done as u64);
        bar.set_prefix(format!("epoch {}/{}", batch.epoch, self.epochs));
        bar.set_message(format!(
            "loss {:.4}, {}, {:.0} tokens/s",
            batch.loss,
            accuracy(self.task, batch.accuracy),
            batch.tokens_per_second
        ));
    }

    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool) {
        let line = format!(
            "epoch {:2}/{}  train loss {:.4}, {}  validation loss {:.4}, {}  {:.1} s{}",
            metrics.epoch,
            self.epochs,
            metrics.train_loss,
            accuracy(self.task, metrics.train_accuracy),
            metrics.valid_loss,
            accuracy(self.task, metrics.valid_accuracy),
            elapsed.as_secs_f64(),
            if best { "  best" } else { "" },
        );
        let show = || say(self.quiet, format_args!("{line}"));
        match &self.bar {
            Some(bar) => bar.suspend(show),
            None => show(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
