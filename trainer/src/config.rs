//! Plain configuration: what a user chooses of a model, of its training and of a run, with the defaults and the checks.

pub mod augment;
pub mod balance;
pub mod chain;
pub mod near;
pub mod notation;
pub mod series;
pub mod warm_up;

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use latch_data::dataset::{Columns, Task};
use latch_data::error::{Fault, fault};
use latch_engine::Precision;
use latch_engine::input::hashed::Hashed;
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use latch_engine::input::samples::Skip;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::embedding::{MAX_ROWS, Tiers};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use augment::Augment;
pub use balance::{ClassWeights, Select, Threshold};
use chain::{Chain, LayerConfig, Pooling};
pub use series::{SamplesConfig, Scaled, SeriesConfig};
use warm_up::WarmUp;

/// Which words of the training texts a vocabulary takes: `words=` of a model's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
    /// 16-bit integers, for signals: integer arithmetic throughout
    Int16,
    /// 8-bit integers, integer arithmetic throughout
    Int8,
    /// The same with 4 bits a weight in the embedding
    Mixed,
    /// 4-bit integers in the embedding and in the gates
    Int4,
}

impl Storage {
    /// All of them. The first is f32, which the others are measured by.
    pub const ALL: [Self; 6] =
        [Storage::F32, Storage::F16, Storage::Int16, Storage::Int8, Storage::Mixed, Storage::Int4];

    /// As it is written on a command line, and as [`Manifest::precision_name`] says it of an image.
    pub fn name(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
            Storage::Int16 => "int16",
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
            Storage::Int16 => Precision::Int16,
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
            Precision::Int16 => Storage::Int16,
            Precision::Int8 => Storage::Int8,
        }
    }
}

/// The n-grams that are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Texts that an n-gram must occur in.
    pub fewest: u32,
}

impl NgramConfig {
    /// No n-grams; the other fields are what is taken where only their number is given.
    pub const NONE: Self = NgramConfig { count: 0, longest: 3, weight_bits: 6, dropout: 1.0, fewest: 3 };
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

/// What a user chooses of a model: `--model`. [`notation`] says how it is written, in `config.json` and in `search.jsonl` too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ModelConfig {
    /// What a token is.
    pub tokens: Tokens,
    /// Words of the vocabulary.
    pub vocab: usize,
    /// Which words they are.
    pub words: Words,
    /// The layers.
    pub chain: Chain,
    /// The form of the embedding's rows for ids that occur seldom.
    pub tiers: Option<Tiers>,
    /// True when unknown words are left out; false when they share a row.
    pub skip_unknown: bool,
    /// Rows that unknown words share by their hash, in place of the one.
    pub hashed: Option<Hashed>,
    /// The n-grams whose weights are added to the network's logit.
    pub ngrams: NgramConfig,
    /// What it reads where that is samples in place of text; the features of the chain's embedding are their channels then.
    pub samples: Option<SamplesConfig>,
}

impl ModelConfig {
    /// What goes around the network to the answer.
    pub fn skip(&self) -> Option<Skip> {
        self.samples.and_then(|samples| samples.skip)
    }

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
    /// Epochs without a better one after which the run stops.
    pub patience: u64,
    /// How much each class counts in the loss.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// By what the best epoch is chosen.
    #[serde(default)]
    pub select: Select,
    /// What the threshold between two classes is chosen for.
    #[serde(default)]
    pub threshold: Threshold,
    /// Training on with integers, from the best network on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<QuantizeConfig>,
    /// Learning from other runs besides the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<DistillConfig>,
    /// The part of the training texts that the run leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<Fold>,
    /// Random changes of the series that the network learns from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
    /// Steps of the pieces in which a recording is learned, its state being carried from one to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carry: Option<usize>,
    /// What every stream of its images has read before its first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// The network that the run begins with, where that is another run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartConfig>,
}

/// A network of another run that a run begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartConfig {
    /// The folder of the other run, as an absolute path.
    pub run: PathBuf,
    /// SHA-256 of its `best.network`.
    pub sha256: String,
}

impl TrainConfig {
    /// Tokens that are kept of a training text, its last ones: no more than layers read that read whole sequences.
    pub fn kept_tokens(&self) -> usize {
        self.max_tokens.min(self.model.chain.longest().unwrap_or(usize::MAX))
    }

    /// What an example is called: a text, or a series.
    pub fn example(&self) -> &'static str {
        if self.model.samples.is_some() { "series" } else { "text" }
    }

    /// What the network reads at a time: a token, or the frame of a step.
    pub fn step(&self) -> &'static str {
        if self.model.samples.is_some() { "step" } else { "token" }
    }

    /// What has an answer: an example, or a step of it.
    pub fn answered(&self) -> &'static str {
        match (self.task.each_step(), self.model.samples.is_some()) {
            (false, _) => self.example(),
            (true, false) => "token",
            (true, true) => "step",
        }
    }

    /// What is to become small.
    pub fn objective(&self) -> Objective {
        if self.task.has_values() { Objective::SquaredError } else { Objective::CrossEntropy }
    }

    /// What a token is.
    pub fn tokens(&self) -> Tokens {
        self.model.tokens
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
#[serde(try_from = "WrittenFold")]
pub struct Fold {
    /// Its number, from 1.
    pub number: u32,
    /// How many parts there are.
    pub of: u32,
}

/// A part as a file has it, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFold {
    number: u32,
    of: u32,
}

/// The most parts.
const MOST_PARTS: u32 = 10_000;

impl TryFrom<WrittenFold> for Fold {
    type Error = String;

    fn try_from(WrittenFold { number, of }: WrittenFold) -> Result<Self, String> {
        if (2..=MOST_PARTS).contains(&of) && (1..=of).contains(&number) {
            Ok(Fold { number, of })
        } else {
            Err(format!("must be a part and their number, 2 to {MOST_PARTS}, as 2/5"))
        }
    }
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "must be a part and their number, as 2/5".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(problem)?;
        let (number, of) = (number.parse().map_err(|_| problem())?, of.parse().map_err(|_| problem())?);
        Fold::try_from(WrittenFold { number, of })
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
    /// Where labels and texts are in the data, where it does not say it.
    #[serde(default, skip_serializing_if = "Columns::is_default")]
    pub columns: Columns,
    /// What is read of series; `None` of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesConfig>,
    /// The names of the classes in the order of their numbers; empty of numbers, and where a network was imported without data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
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
    /// One of some equal parts of the data, set apart by the seed.
    Fold(Fold),
    /// None: the network learns from all data, after a cross-validation in so many parts.
    All {
        /// The parts.
        folds: u32,
    },
}

/// The model whose int8 image fits 64 KiB.
pub fn default_model() -> ModelConfig {
    ModelConfig {
        tokens: Tokens::Words,
        vocab: 5_000,
        words: Words::Count,
        chain: Chain { word_dropout: 0.3, ..Chain::stacked(8, 1, 32, Some(Pooling::Attention)) },
        tiers: None,
        skip_unknown: false,
        hashed: None,
        ngrams: NgramConfig::NONE,
        samples: None,
    }
}

/// The model of a task: the `given` one with the pooling that it may leave out, or the default one.
pub fn model_of(task: Task, given: Option<ModelConfig>) -> ModelConfig {
    let is_given = given.is_some();
    let model = given.unwrap_or_else(default_model);
    let chain = match (task.each_step(), is_given) {
        (true, true) => model.chain,
        (true, false) => model.chain.each_step(),
        (false, _) => model.chain.pooled(),
    };
    ModelConfig { chain, ..model }
}

/// What the options' defaults give.
pub fn default_config() -> TrainConfig {
    TrainConfig {
        model: default_model(),
        task: Task::default(),
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
        class_weights: ClassWeights::Auto,
        select: Select::Loss,
        threshold: Threshold::Half,
        quantize: None,
        distill: None,
        leave_out: None,
        augment: None,
        carry: None,
        warm_up: None,
        start: None,
    }
}

/// Most epochs of a run: far more than any needs, and few enough that a run's steps can be counted.
pub const MAX_EPOCHS: u64 = 1_000_000;

/// Most n-grams of a table.
const MAX_NGRAMS: usize = 1 << 25;

/// Most sequences of a batch.
pub const MAX_BATCH: usize = 1 << 20;

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
        // A network that is there already may learn with integers alone.
        let least = u64::from(self.start.is_none() || self.quantize.is_none());
        check("--epochs", (least..=MAX_EPOCHS).contains(&self.epochs), &count)?;
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
            let of_floats = self.model.chain.of_floats();
            let range = of_floats.as_deref().unwrap_or_default();
            check(
                "--quantize",
                of_floats.is_none(),
                &format!("left out of a model with `{range}`, which images have in f32 and f16 only"),
            )?;
            check("--quantize-epochs", (1..=MAX_EPOCHS).contains(&quantize.epochs), &count)?;
            let rate = quantize.learning_rate;
            check("--quantize-lr", rate > 0.0 && rate.is_finite(), "a positive number")?;
        }
        if let Some(distill) = &self.distill {
            check("--distill", (0.0..=1.0).contains(&distill.share), "from 0 to 1")?;
            let temperature = distill.temperature;
            check("--distill-temperature", (0.01..=100.0).contains(&temperature), "from 0.01 to 100")?;
            let fits = temperature == 1.0 || !self.task.has_values();
            check("--distill-temperature", fits, "left out where the labels are numbers")?;
        }
        check("warmup", (0.0..=1.0).contains(&self.warmup), "from 0 to 1")?;
        // What an image can hold; better said before hours of training than after.
        self.model.check(within)?;
        self.check_task(within)
    }

    /// Checks that the model can begin behind a prefix.
    fn check_warm_up(&self, warm_up: &WarmUp, within: &str) -> Checked {
        let check = |fits: bool, range: &str| {
            let remedy = "correct it, or give none";
            if fits { Ok(()) } else { Err(fault(format!("{within}--warm-up"), format!("must be {range}"), remedy)) }
        };
        if warm_up.prefix().is_none() {
            return Ok(());
        }
        let layers = &self.model.chain.layers;
        let rhythm = self.model.chain.rhythm();
        let stride = rhythm.stride;
        let remembers = layers.iter().any(LayerConfig::remembers);
        check(remembers, "left out of a model without a recurrent layer or a convolution, which keeps nothing of it")?;
        check(
            rhythm.first == 0,
            "left out of a model with a valid convolution or maxpool, which begins with its first full window",
        )?;
        let Some(samples) = &self.model.samples else {
            if let WarmUp::Frames(frames) = warm_up {
                let range = format!(
                    "a text where the model reads text, and {frames} is a number of frames: give the text itself, such as \"the film\""
                );
                return check(false, &range);
            }
            return check(
                stride == 1,
                "left out of a model of text with a stride, which has no whole number of strides",
            );
        };
        check(samples.difference == 0, "left out of a model with difference=, which does not know the level of rest")?;
        match warm_up.misfit(stride) {
            Some(range) => check(false, &range),
            None => Ok(()),
        }
    }

    /// Checks that the model is one for the task.
    fn check_task(&self, within: &str) -> Checked {
        let check = |option: &str, fits: bool, range: &str| check(within, option, fits, range);
        let (model, task) = (&self.model, self.task);
        if task.has_values() {
            let out = "left out where the labels are numbers";
            check("--class-weights", matches!(self.class_weights, ClassWeights::Auto | ClassWeights::None), out)?;
            check("--select", matches!(self.select, Select::Loss | Select::Last), out)?;
        }
        let two = !task.has_values() && task.outputs() == 1;
        check("--threshold", self.threshold == Threshold::Half || two, "left out unless the data has two classes")?;
        if model.tiers.is_some() {
            check("--model whole", !task.each_step(), "left out where each token has an answer")?;
        }
        if model.samples.is_some() {
            check(
                "--model",
                model.tiers.is_none() && model.ngrams.count == 0,
                "without whole= and ngrams= of samples",
            )?;
            check("--teacher", self.distill.is_none(), "left out of series")?;
            check("--leave-out", self.leave_out.is_none(), "left out of series")?;
        }
        let skip = model.skip().is_none() || task.has_values();
        check("--model skip", skip, "left out where the answer is a class: it adds samples to values")?;
        if self.augment.is_some() {
            check("--augment", model.samples.is_some(), "left out unless the data is series")?;
            check(
                "--augment",
                model.skip().is_none(),
                "left out of a model with skip, whose answer has the samples in it",
            )?;
        }
        if let Some(steps) = self.carry {
            let each = model.samples.is_some() && task.each_step();
            check("--carry", each, "left out unless each step of a series has an answer: --task tag or forecast")?;
            let stride = model.chain.rhythm().stride;
            let multiple = format!("a multiple of {stride}, the stride of the model, for --carry");
            check("--window", steps > 0 && steps.is_multiple_of(stride), &multiple)?;
        }
        if let Some(warm_up) = &self.warm_up {
            self.check_warm_up(warm_up, within)?;
        }
        if model.ngrams.count > 0 {
            let alone = task.is_binary() || model.ngrams.dropout == 1.0;
            check("--model ngram_dropout", alone, "1 unless the data has two classes")?;
        }
        let classes = matches!(task, Task::Classify(_)) || model.words == Words::Count;
        check("--model words", classes, "count where the labels are no classes of whole texts")?;
        let chain = &model.chain;
        let steps = !task.each_step() || chain.layers.iter().any(LayerConfig::remembers);
        check(
            "--model",
            steps,
            &format!("of at least one recurrent layer or convolution where each {} has an answer", self.answered()),
        )?;
        if task.each_step() && chain.pooling().is_some() {
            let (example, answered) = (self.example(), self.answered());
            let problem = format!("the chain pools a {example}, but each of its {answered}s has an answer");
            return Err(fault(format!("{within}--model"), problem, "leave last, mean, max or attention out of it"));
        }
        let pools = task.each_step() || chain.pooling().is_some();
        check(
            "--model",
            pools,
            &format!("of a pooling (last, mean, max or attention) where a {} has one answer", self.example()),
        )
    }
}

impl TrainConfig {
    /// What the loss is called: where classes are given weights, it is not the loss that an evaluation gives.
    pub fn loss_name(&self) -> &'static str {
        if matches!(self.class_weights, ClassWeights::Auto | ClassWeights::None) { "loss" } else { "weighted loss" }
    }
}

impl ModelConfig {
    /// Checks what an image can hold.
    fn check(&self, within: &str) -> Checked {
        check(within, "--model text", self.vocab > 0, "a whole number from 1")?;
        let chain = &self.chain;
        let order = chain.fault().map(|(number, problem)| (number, problem.to_owned()));
        if let Some((number, problem)) = order.or_else(|| chain.excess()).or_else(|| chain.unanswered()) {
            let name = number.checked_sub(1).and_then(|at| chain.layers.get(at)).map_or("embedding", LayerConfig::name);
            return Err(fault(format!("{within}--model"), format!("{name}: {problem}"), "correct it"));
        }
        match self.excess() {
            Some((option, range)) => check(within, &format!("--model {option}"), false, &range),
            None => Ok(()),
        }
    }

    /// Says which option has a value that no image can hold, and what it must be, where an image can hold the chain.
    fn excess(&self) -> Option<(&'static str, String)> {
        if let Some(SamplesConfig { skip, .. }) = self.samples {
            let channels = self.chain.embedding;
            let beyond = skip.filter(|skip| channels > 0 && usize::from(skip.channel) >= channels);
            return beyond.map(|_| ("channel", format!("below {channels}, the channels of the samples")));
        }
        let NgramConfig { count, longest, weight_bits, dropout, .. } = self.ngrams;
        let (least, most) = (WEIGHT_BITS.start(), WEIGHT_BITS.end());
        let rows = self.hashed.map_or(1, |hashed| hashed.rows);
        let (width, remainders) = self.tiers.map_or((1, 0), |tiers| (usize::from(tiers.width), tiers.remainders));
        // A row of remainders has a feature at least.
        let widest = self.chain.embedding - usize::from(remainders > 0);
        [
            ("unknown", (1..MAX_ROWS).contains(&rows), format!("of rows from 1 to below {MAX_ROWS}")),
            ("quotient", widest > 0, "left out of an embedding of one feature".into()),
            ("rare", (1..=widest).contains(&width), format!("a whole number from 1 to {widest}")),
            ("ngrams", count <= MAX_NGRAMS, format!("at most {MAX_NGRAMS}")),
            ("ngram_dropout", (0.0..=1.0).contains(&dropout), "from 0 to 1".into()),
            ("longest", (1..=MAX_LONGEST as u8).contains(&longest), format!("a whole number from 1 to {MAX_LONGEST}")),
            ("ngram_bits", WEIGHT_BITS.contains(&weight_bits), format!("a whole number from {least} to {most}")),
        ]
        .into_iter()
        .find_map(|(option, fits, range)| (!fits).then_some((option, range)))
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
        for wrong in ["", "2", "0/5", "6/5", "1/1", "a/b", "-1/5", "1/4000000000"] {
            assert!(wrong.parse::<Fold>().is_err(), "{wrong}");
        }
        for wrong in [r#"{"number":0,"of":5}"#, r#"{"number":1,"of":0}"#, r#"{"number":1,"of":4000000000}"#] {
            assert!(serde_json::from_str::<Fold>(wrong).is_err(), "{wrong}");
        }
    }
}
