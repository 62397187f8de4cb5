//! Plain configuration: what a user chooses of a model, of its training and of a run, with the defaults and the checks.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use latch_data::dataset::Task;
use latch_data::error::{Fault, fault};
use latch_engine::image::manifest::{
    self, Hashed, MAX_LAYERS, MAX_ROWS, MAX_WIDTH, Nibbles, Precision, Units, Unknown,
};
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Which vector of a sequence the head sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Readout {
    /// The hidden state after the last token.
    #[default]
    Last,
    /// The mean of the hidden states of all steps.
    Mean,
    /// The largest value of each feature over all steps; of equal values the earliest counts.
    Max,
    /// The mean of the hidden states of all steps, each with the weight e^(4·h) of its first feature's h:
    ///
    /// ```text
    /// r = Σ a_t·h_t / Σ a_t           dh_t = a_t·dr / Σ a,   dh_t[0] += 4·a_t·(dr·(h_t - r)) / Σ a
    /// ```
    Attention,
    /// The hidden state of each step: an answer a step. It follows from the task, and nobody chooses it.
    #[value(skip)]
    Each,
}

impl From<Readout> for latch_engine::image::manifest::Readout {
    fn from(readout: Readout) -> Self {
        match readout {
            // After each step the engine's stream has just read its last token.
            Readout::Last | Readout::Each => Self::Last,
            Readout::Mean => Self::Mean,
            Readout::Max => Self::Max,
            Readout::Attention => Self::Attention,
        }
    }
}

/// Which words of the training texts a vocabulary takes: `--model words`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Words {
    /// The most frequent ones.
    #[default]
    Count,
    /// Those that tell the classes of texts apart most, `ranked_by_use`.
    Useful,
}

/// How an image holds its weights: `--precision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit floats
    F32,
    /// Half-precision storage
    F16,
    /// 8-bit integers, integer arithmetic throughout
    Int8,
    /// The same with 4 bits a weight in the embedding
    Mixed,
    /// 4-bit integers in the embedding and in the gates
    Int4,
}

impl Storage {
    /// All of them. The first is f32, which the others are measured by.
    pub const ALL: [Self; 5] = [Storage::F32, Storage::F16, Storage::Int8, Storage::Mixed, Storage::Int4];

    /// As it is written on a command line, and as [`Manifest::precision_name`] says it of an image.
    pub fn name(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
            Storage::Int8 => "int8",
            Storage::Mixed => "mixed",
            Storage::Int4 => "int4",
        }
    }

    /// The arithmetic.
    pub fn precision(self) -> Precision {
        match self {
            Storage::F32 => Precision::F32,
            Storage::F16 => Precision::F16,
            Storage::Int8 | Storage::Mixed | Storage::Int4 => Precision::Int8,
        }
    }

    /// Which tensors have four bits a weight.
    pub fn nibbles(self) -> Nibbles {
        Nibbles { embedding: matches!(self, Storage::Mixed | Storage::Int4), gates: self == Storage::Int4 }
    }
}

impl From<Precision> for Storage {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Storage::F32,
            Precision::F16 => Storage::F16,
            Precision::Int8 => Storage::Int8,
        }
    }
}

/// Texts that an n-gram must occur in, where nothing else is asked for.
const FEWEST_TEXTS: u32 = 3;

fn fewest_texts() -> u32 {
    FEWEST_TEXTS
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramConfig {
    /// N-grams of the table.
    pub count: usize,
    /// Tokens of the longest.
    pub longest: u8,
    /// Bits of a weight in the image.
    pub weight_bits: u8,
    /// Share of the sequences, drawn anew in every epoch, that the network learns without the n-grams' logit: 0 makes it learn what these leave
    /// open, 1 makes it learn by itself.
    pub dropout: f64,
    /// Texts that an n-gram must occur in. Runs of older versions do not say so.
    #[serde(default = "fewest_texts")]
    pub fewest: u32,
}

impl NgramConfig {
    /// No n-grams; the other fields are what is taken where only their number is given.
    pub const NONE: Self = NgramConfig { count: 0, longest: 3, weight_bits: 6, dropout: 1.0, fewest: FEWEST_TEXTS };
}

impl Default for NgramConfig {
    fn default() -> Self {
        Self::NONE
    }
}

/// What is to become small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Objective {
    /// The cross-entropy of classes.
    #[default]
    CrossEntropy,
    /// The squared error of values.
    SquaredError,
}

/// What a user chooses of a model: `--model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Words of the vocabulary.
    pub vocab: usize,
    /// Which words they are. Runs of older versions do not say so: they have the most frequent ones.
    #[serde(default)]
    pub words: Words,
    /// Features of an embedding row.
    pub embedding: usize,
    /// The form of the embedding's rows for ids that occur seldom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<manifest::Tiers>,
    /// Units of each LSTM layer; means nothing without one.
    pub lstm: usize,
    /// Stacked LSTM layers; 0 for a bag of embeddings.
    pub layers: usize,
    /// What the head sees.
    pub readout: Readout,
    /// True when unknown words are left out; false when they share a row.
    pub skip_unknown: bool,
    /// Rows that unknown words share by their hash, in place of the one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed: Option<Hashed>,
    /// True when Hangul syllables are tokens of their own. Runs of older versions do not say so: they have words only.
    #[serde(default)]
    pub syllables: bool,
    /// Dropout on the inputs of each LSTM layer, one mask a sequence.
    pub dropout: f64,
    /// Dropout on the recurrent state, one mask a sequence.
    pub recurrent_dropout: f64,
    /// Share of the tokens whose embedding is dropped.
    pub word_dropout: f64,
    /// Dropout on what the head sees.
    pub head_dropout: f64,
    /// The n-grams whose weights are added to the network's logit.
    #[serde(default)]
    pub ngrams: NgramConfig,
}

impl ModelConfig {
    /// What unknown words do.
    pub fn unknown(&self) -> Unknown {
        match self.hashed {
            Some(hashed) => Unknown::Hashed(hashed),
            None if self.skip_unknown => Unknown::Skip,
            None => Unknown::LastRow,
        }
    }
}

/// Everything that decides a run besides its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The model.
    pub model: ModelConfig,
    /// What the labels mean, and with it the head and the loss.
    #[serde(default)]
    pub task: Task,
    /// Most epochs.
    pub epochs: u64,
    /// Sequences of a batch.
    pub batch: usize,
    /// Learning rate at its peak.
    pub learning_rate: f64,
    /// Share of all steps over which the rate rises.
    pub warmup: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Tokens that are kept of a text: its last ones.
    pub max_tokens: usize,
    /// Largest global norm of the gradient.
    pub clip_norm: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Share by which labels move to the middle.
    pub label_smoothing: f64,
    /// Decay of the moving average of the weights that is judged and exported; 0 for none.
    pub average: f64,
    /// Epochs without a lower validation loss after which the run stops.
    pub patience: u64,
    /// Training on with integers, from the best network on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<QuantizeConfig>,
    /// Learning from other runs besides the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<DistillConfig>,
    /// The part of the training texts that the run leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<Fold>,
}

impl TrainConfig {
    /// What is to become small.
    pub fn objective(&self) -> Objective {
        if self.task.has_values() { Objective::SquaredError } else { Objective::CrossEntropy }
    }

    /// What a token is.
    pub fn units(&self) -> Units {
        if self.model.syllables { Units::Syllables } else { Units::Words }
    }

    /// What unknown words do.
    pub fn unknown(&self) -> Unknown {
        self.model.unknown()
    }
}

/// Training on with the integers of an image: `--quantize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizeConfig {
    /// What the network learns for.
    pub storage: Storage,
    /// Epochs.
    pub epochs: u64,
    /// Learning rate at its peak.
    pub learning_rate: f64,
}

/// Who teaches, and how much of it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillConfig {
    /// The teachers.
    pub teachers: Vec<Teacher>,
    /// The share `a` of the loss that is about the teachers' probabilities, from 0 to 1.
    pub share: f64,
    /// The temperature `T`, above 0.
    pub temperature: f64,
}

/// A run that teaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Its folder.
    pub run: PathBuf,
    /// SHA-256 of its `best.network`.
    pub sha256: String,
}

/// One of some equal parts of the training texts, which a run leaves out: `--leave-out 2/5`. Equal texts are in the same part whatever their
/// order and the run's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Its number, from 1.
    pub number: u32,
    /// How many parts there are.
    pub of: u32,
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "must be a part and their number, as 2/5".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(problem)?;
        let fold = Fold { number: number.parse().map_err(|_| problem())?, of: of.parse().map_err(|_| problem())? };
        if fold.of < 2 || !(1..=fold.of).contains(&fold.number) { Err(problem()) } else { Ok(fold) }
    }
}

impl Fold {
    /// Whether a text belongs to the part.
    pub fn holds(self, text: &str) -> bool {
        let digest = Sha256::digest(text);
        let number = digest.iter().take(8).fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
        number % u64::from(self.of) == u64::from(self.number) - 1
    }
}

/// `config.json`: everything that a run needs to be repeated, resumed or exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Version of Latch that began the run.
    pub latch: String,
    /// What decides the run besides its data.
    pub train: TrainConfig,
    /// Where the data lies; empty where a network was imported without any.
    pub data: PathBuf,
    /// SHA-256 of the data's examples; empty where there are none.
    pub data_sha256: String,
    /// The validation part.
    pub valid: Valid,
    /// Where the network comes from, if it was not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// Where a network comes from that another framework trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Its file.
    pub file: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of `vocabulary.txt`, which no data can give again.
    pub vocabulary_sha256: String,
}

/// Where the validation part comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Valid {
    /// A share of the data, set apart by the seed.
    Fraction(f64),
    /// Data of its own.
    Path(PathBuf),
}

/// The model whose int8 image fits 64 KiB.
pub const DEFAULT_MODEL: ModelConfig = ModelConfig {
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
pub fn default_config() -> TrainConfig {
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

/// Most epochs of a run: far more than any needs, and few enough that a run's steps can be counted.
pub const MAX_EPOCHS: u64 = 1_000_000;

/// Most n-grams of a table.
const MAX_NGRAMS: usize = 1 << 25;

/// Most sequences of a batch.
const MAX_BATCH: usize = 1 << 20;

type Checked = Result<(), Fault>;

impl TrainConfig {
    /// Checks what does not depend on the data; `within` stands before the option's name.
    ///
    /// # Errors
    /// A fault that names the option, and what it may be.
    pub fn check(&self, within: &str) -> Checked {
        let check = |option: &str, fits: bool, range: &str| check(within, option, fits, range);
        let below_one = "from 0 to below 1";
        let count = format!("a whole number from 1 to {MAX_EPOCHS}");
        check("--epochs", (1..=MAX_EPOCHS).contains(&self.epochs), &count)?;
        check("--batch", (1..=MAX_BATCH).contains(&self.batch), &format!("a whole number from 1 to {MAX_BATCH}"))?;
        check("--lr", self.learning_rate > 0.0 && self.learning_rate.is_finite(), "a positive number")?;
        check("--max-tokens", self.max_tokens > 0, "a whole number from 1")?;
        check("--clip-norm", self.clip_norm > 0.0 && self.clip_norm.is_finite(), "a positive number")?;
        check("--weight-decay", is_share(self.weight_decay), below_one)?;
        check("--label-smoothing", is_share(self.label_smoothing), below_one)?;
        check("--average", is_share(self.average), below_one)?;
        check("--patience", self.patience > 0, "a whole number from 1")?;
        if let Some(quantize) = &self.quantize {
            let integers = !matches!(quantize.storage, Storage::F32 | Storage::F16);
            check("--quantize", integers, "int8, mixed or int4")?;
            check("--quantize", self.model.layers > 0, "left out for a model without LSTM layers")?;
            check("--quantize-epochs", (1..=MAX_EPOCHS).contains(&quantize.epochs), &count)?;
            let rate = quantize.learning_rate;
            check("--quantize-lr", rate > 0.0 && rate.is_finite(), "a positive number")?;
        }
        if let Some(distill) = &self.distill {
            check("--distill", (0.0..=1.0).contains(&distill.share), "from 0 to 1")?;
            let temperature = distill.temperature;
            check("--distill-temperature", (0.01..=100.0).contains(&temperature), "from 0.01 to 100")?;
            let fits = matches!(self.task, Task::Verdict | Task::Classes(_));
            check("--teacher", fits, "left out where a text has no class")?;
        }
        check("warmup", (0.0..=1.0).contains(&self.warmup), "from 0 to 1")?;
        // What an image can hold; better said before hours of training than after.
        self.model.check(within)?;
        self.check_task(within)
    }

    /// Checks that the model is one for the task.
    fn check_task(&self, within: &str) -> Checked {
        let check = |option: &str, fits: bool, range: &str| check(within, option, fits, range);
        let (model, task) = (&self.model, self.task);
        if model.tiers.is_some() {
            check("--model whole", !task.each_step(), "left out where each token has an answer")?;
            check("--quantize", self.quantize.is_none(), "left out where the model has whole=")?;
        }
        let plain = task == Task::Verdict || model.ngrams.count == 0;
        check("--task", plain, "verdict where the model has n-grams")?;
        let classes = matches!(task, Task::Verdict | Task::Classes(_)) || model.words == Words::Count;
        check("--model words", classes, "count where the labels are no classes of whole texts")?;
        let steps = !task.each_step() || model.layers > 0;
        check("--model layers", steps, "at least 1 where each token has an answer")
    }
}

impl ModelConfig {
    /// Checks what an image can hold.
    fn check(&self, within: &str) -> Checked {
        let check = |option: &str, fits: bool, range: &str| check(within, option, fits, range);
        let width = usize::from(MAX_WIDTH);
        check("--model vocab", self.vocab > 0, "a whole number from 1")?;
        check("--model layers", self.layers <= MAX_LAYERS, &format!("a whole number from 1 to {MAX_LAYERS}"))?;
        if self.layers == 0 {
            let fits = (1..=width).contains(&self.embedding);
            check("--model bag", fits, &format!("a whole number from 1 to {width}"))?;
        } else {
            check("--model lstm", (1..width).contains(&self.lstm), &format!("a whole number from 1 to {}", width - 1))?;
            let room = width - self.lstm;
            check(
                "--model embedding",
                (1..=room).contains(&self.embedding),
                &format!("a whole number from 1, with lstm at most {width}"),
            )?;
            if self.layers > 1 {
                let fits = self.lstm <= width / 2;
                check("--model lstm", fits, &format!("at most {} in more than one layer", width / 2))?;
            }
        }
        let hashed = self.hashed.is_none_or(|hashed| (1..MAX_ROWS).contains(&hashed.rows));
        check("--model unknown", hashed, &format!("of rows from 1 to below {MAX_ROWS}"))?;
        if let Some(tiers) = self.tiers {
            let most = if tiers.remainders == 0 { self.embedding } else { self.embedding - 1 };
            let narrow = (1..=most).contains(&usize::from(tiers.width));
            check("--model rare", narrow, &format!("a whole number from 1 to {most}"))?;
        }
        let attends = self.readout != Readout::Attention || self.layers > 0;
        check("--model readout", attends, "last, mean or max where there is no recurrent layer")?;
        check("--model ngrams", self.ngrams.count <= MAX_NGRAMS, &format!("at most {MAX_NGRAMS}"))?;
        check("--model ngram_dropout", (0.0..=1.0).contains(&self.ngrams.dropout), "from 0 to 1")?;
        check("--model longest", (1..=MAX_LONGEST as u8).contains(&self.ngrams.longest), "what an image can hold")?;
        check("--model ngram_bits", WEIGHT_BITS.contains(&self.ngrams.weight_bits), "what an image can hold")?;
        for (name, value) in [
            ("dropout", self.dropout),
            ("recurrent_dropout", self.recurrent_dropout),
            ("word_dropout", self.word_dropout),
            ("head_dropout", self.head_dropout),
        ] {
            check(&format!("--model {name}"), is_share(value), "from 0 to below 1")?;
        }
        Ok(())
    }
}

fn check(within: &str, option: &str, fits: bool, range: &str) -> Checked {
    if fits { Ok(()) } else { Err(fault(format!("{within}{option}"), format!("must be {range}"), "correct it")) }
}

fn is_share(value: f64) -> bool {
    (0.0..1.0).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_one_fold() {
        for text in ["a fine film", "", "boring", "not only good"] {
            let folds = (1..=5).filter(|&number| Fold { number, of: 5 }.holds(text)).count();
            assert_eq!(folds, 1);
        }
        let held = (0..10_000).filter(|number| Fold { number: 2, of: 5 }.holds(&number.to_string())).count();
        assert!((1_800..2_200).contains(&held), "{held}");
    }

    #[test]
    fn a_fold_is_read_as_it_is_written() {
        assert_eq!("2/5".parse(), Ok(Fold { number: 2, of: 5 }));
        for wrong in ["", "2", "0/5", "6/5", "1/1", "a/b", "-1/5"] {
            assert!(wrong.parse::<Fold>().is_err(), "{wrong}");
        }
    }
}
