//! Plain configuration: what a user chooses of a model, of its training and of a run, with the defaults and the checks.

pub mod chain;
pub mod notation;

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use latch_data::dataset::Task;
use latch_data::error::{Fault, fault};
use latch_engine::Precision;
use latch_engine::input::hashed::Hashed;
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use latch_engine::input::text::Tokens as Units;
use latch_engine::input::text::Unknown;
use latch_engine::layers::MAX_LAYERS;
use latch_engine::layers::MAX_WIDTH;
use latch_engine::layers::embedding::{MAX_ROWS, Tiers};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use chain::{Chain, LayerConfig, Pooling};

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

/// Tensors of an integer model with four bits a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nibbles {
    /// The embedding.
    pub embedding: bool,
    /// The gates of all layers.
    pub gates: bool,
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
    /// The layers. Where each token has an answer, the pooling counts for nothing.
    pub chain: Chain,
    /// The form of the embedding's rows for ids that occur seldom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Tiers>,
    /// True when unknown words are left out; false when they share a row.
    pub skip_unknown: bool,
    /// Rows that unknown words share by their hash, in place of the one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed: Option<Hashed>,
    /// True when Hangul syllables are tokens of their own. Runs of older versions do not say so: they have words only.
    #[serde(default)]
    pub syllables: bool,
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

    /// The chain of layers; without a pooling where each token has an answer.
    pub fn chain(&self) -> Chain {
        let mut chain = self.model.chain.clone();
        if self.task.each_step() {
            chain.layers.retain(|layer| !matches!(layer, LayerConfig::Pooling(_)));
        }
        chain
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
pub fn default_model() -> ModelConfig {
    ModelConfig {
        vocab: 5_000,
        words: Words::Count,
        chain: Chain { word_dropout: 0.3, ..Chain::stacked(8, 1, 32, Some(Pooling::Attention)) },
        tiers: None,
        skip_unknown: false,
        hashed: None,
        syllables: false,
        ngrams: NgramConfig::NONE,
    }
}

/// What the options' defaults give.
pub fn default_config() -> TrainConfig {
    TrainConfig {
        model: default_model(),
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
        }
        let plain = task == Task::Verdict || model.ngrams.count == 0;
        check("--task", plain, "verdict where the model has n-grams")?;
        let classes = matches!(task, Task::Verdict | Task::Classes(_)) || model.words == Words::Count;
        check("--model words", classes, "count where the labels are no classes of whole texts")?;
        let chain = &model.chain;
        let steps = !task.each_step() || chain.cells().next().is_some();
        check("--model", steps, "of at least one recurrent layer where each token has an answer")?;
        let pools = task.each_step() || chain.pooling().is_some();
        check("--model", pools, "of a pooling (last, mean, max or attention) where a text has one answer")
    }
}

impl ModelConfig {
    /// Checks what an image can hold.
    fn check(&self, within: &str) -> Checked {
        let check = |option: &str, fits: bool, range: &str| check(within, option, fits, range);
        check("--model vocab", self.vocab > 0, "a whole number from 1")?;
        self.check_layers(within)?;
        let hashed = self.hashed.is_none_or(|hashed| (1..MAX_ROWS).contains(&hashed.rows));
        check("--model unknown", hashed, &format!("of rows from 1 to below {MAX_ROWS}"))?;
        if let Some(tiers) = self.tiers {
            let width = self.chain.embedding;
            let most = if tiers.remainders == 0 { width } else { width - 1 };
            let narrow = (1..=most).contains(&usize::from(tiers.width));
            check("--model rare", narrow, &format!("a whole number from 1 to {most}"))?;
        }
        check("--model ngrams", self.ngrams.count <= MAX_NGRAMS, &format!("at most {MAX_NGRAMS}"))?;
        check("--model ngram_dropout", (0.0..=1.0).contains(&self.ngrams.dropout), "from 0 to 1")?;
        check("--model longest", (1..=MAX_LONGEST as u8).contains(&self.ngrams.longest), "what an image can hold")?;
        check("--model ngram_bits", WEIGHT_BITS.contains(&self.ngrams.weight_bits), "what an image can hold")?;
        Ok(())
    }

    /// Checks that an image can hold the layers.
    fn check_layers(&self, within: &str) -> Checked {
        let layers = &self.chain.layers;
        let refuse = |problem: String| Err(fault(format!("{within}--model"), problem, "correct it"));
        if let Some((number, problem)) = self.chain.fault() {
            let name = number.checked_sub(1).and_then(|at| layers.get(at)).map_or("embedding", LayerConfig::name);
            return refuse(format!("{name}: {problem}"));
        }
        if layers.len() > MAX_LAYERS {
            let problem = format!("{} layers behind the embedding, the last ones included", layers.len());
            return refuse(format!("{problem}, are more than the {MAX_LAYERS} that an image holds"));
        }
        let most = usize::from(MAX_WIDTH);
        let mut inputs = self.chain.embedding;
        if !(1..=most).contains(&inputs) {
            return refuse(format!("embedding: must have from 1 to {most} features, not {inputs}"));
        }
        for layer in layers {
            let (name, outputs) = (layer.name(), layer.features(inputs, 1));
            let columns = if layer.cell().is_some() { inputs.saturating_add(outputs) } else { outputs };
            if outputs == 0 {
                return refuse(format!("{name}: must have at least 1 unit"));
            }
            if columns > most {
                let columns = format!("{inputs} inputs and {outputs} units");
                return refuse(format!("{name}: {columns} are more than the {most} in all that an image holds"));
            }
            inputs = outputs;
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
