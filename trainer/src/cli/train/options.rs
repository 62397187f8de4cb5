//! The options of `latch train`, and what they say of a run.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use latch_engine::input::text::Tokens;

use super::adapted::AdaptedArgs;
use super::balance::BalanceArgs;
use super::quantize::QuantizeArgs;
use super::series::{self, SeriesArgs};
use crate::cli::args::{
    BudgetArgs, TokensArg, ValidArg, absolute, batch, below_one, positive, rate, seconds, temperature, up_to_one,
    valid_of,
};
use crate::cli::columns::ColumnArgs;
use crate::cli::kinds::TaskArg;
use crate::config::warm_up::WarmUp;
use crate::config::{DistillConfig, Fold, RunConfig, Teacher, TrainConfig, default_config, model_of};
use crate::dataset::Columns;
use crate::defaults::Open;
use crate::defaults::candidates::of_samples;
use crate::error::fault;

/// Train a network on labelled texts or series.
///
/// Of texts the defaults train a model whose int8 image, tokenizer and vocabulary included, has at most 64 KiB. Of series, and of fewer than 20,000 texts, they depend on the data: a few
/// models are tried, and a small set is validated by cross-validation in 5 parts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch train --data imdb/train.tsv.gz --out runs/imdb\n  \
    latch train --data reviews.csv --model 'text 2000 > embedding 8 > gru 16 > attention > dense' --out runs/small\n  \
    latch train --data spam.csv --label-column v1 --text-column v2 --out runs/spam\n  \
    latch train --data questions.label --label-pattern '^(\\w+):\\w+ ' --out runs/questions\n  \
    latch train --data gestures.csv --model 'samples 3 > gru 16 > last > dense' --out runs/gestures\n  \
    latch train --data passengers.csv --task forecast --horizon 3 --out runs/passengers\n  \
    latch train --data entities.jsonl --task tag --out runs/entities\n  \
    latch train --data imdb/train.tsv.gz --flash 64KiB --ram 4KiB --out runs/search\n  \
    latch train --config latch.toml --seed 2 --out runs/second\n  \
    latch train --resume --out runs/imdb")]
pub struct Args {
    /// File of options, as `latch init` writes it; options on the command line override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Labelled texts: a table (.csv, .tsv) or JSON (.json, .jsonl), each also .gz; a folder with such files called train, valid and test; or a folder with a folder or a .txt file for each
    /// class. Or series: a table, .ts or .npy, or a folder with a folder of .csv or .wav files for each class (docs/series.md). A label is a word or a number
    #[arg(long, required_unless_present = "resume")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// What a label is: classify (a class for each text or series, 2 to 256 classes), regress (a number for each), tag (a class for each token or step; of texts one {"tokens": ["…"],
    /// "labels": ["…"]} per line), regress-each (a number for each token or step) or forecast (no labels: the value of a series some steps ahead)
    #[arg(long, value_enum, default_value = "classify", hide_possible_values = true)]
    task: TaskArg,
    /// Validation data: a path, or the fraction of --data to hold out [default: the folder's own, else 0.1]
    #[arg(long, value_hint = clap::ValueHint::AnyPath)]
    valid: Option<ValidArg>,
    /// Cross-validation: divide the data into K equal parts, train K runs that leave out one each and are validated on it, print their scores with mean and spread, and then
    /// train on all data for as many epochs as the median of the best ones
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..=50), conflicts_with_all = ["valid", "teacher", "leave_out"])]
    pub(super) folds: Option<u32>,
    #[command(flatten)]
    pub(super) adapted: AdaptedArgs,
    /// What a token is
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) tokens: TokensArg,
    /// Texts or series in a batch
    #[arg(long, default_value_t = default_config().batch, value_parser = batch)]
    batch: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = default_config().learning_rate, value_parser = rate)]
    lr: f64,
    /// Random seed: the same seed gives the same bytes
    #[arg(long, default_value_t = default_config().seed)]
    seed: u64,
    /// Truncate each training text to its last N tokens
    #[arg(long, default_value_t = default_config().max_tokens, value_parser = positive)]
    max_tokens: usize,
    /// Clip the gradient to this global norm
    #[arg(long, default_value_t = default_config().clip_norm, value_parser = rate)]
    clip_norm: f64,
    /// Decoupled weight decay (AdamW); 0 disables it
    #[arg(long, default_value_t = default_config().weight_decay, value_parser = below_one)]
    weight_decay: f64,
    /// Label smoothing factor; 0 disables it
    #[arg(long, default_value_t = default_config().label_smoothing, value_parser = below_one)]
    label_smoothing: f64,
    /// Decay of the exponential moving average of the weights, which is evaluated and exported; 0 disables it
    #[arg(long, default_value_t = default_config().average, value_parser = below_one)]
    average: f64,
    #[command(flatten)]
    balance: BalanceArgs,
    /// Distillation: learn from the probabilities of these runs as well as from the labels. Name the folders of runs with the same task and validation part, separated by commas. For each
    /// text, runs that did not train on it are preferred
    #[arg(long, value_name = "RUN,…", value_delimiter = ',')]
    pub(super) teacher: Vec<PathBuf>,
    /// Fraction of the loss that comes from the teachers' probabilities
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = up_to_one, requires = "teacher")]
    distill: f64,
    /// Softmax temperature of the distillation
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature, requires = "teacher")]
    distill_temperature: f64,
    /// Train without one of several equal parts of the training texts: 2/5 leaves out the second of five. The run can then teach that part without having seen it
    #[arg(long, value_name = "PART/PARTS")]
    leave_out: Option<Fold>,
    /// Let streams of the run's images begin as if they had read something: N frames with each channel at its mean (of series), or a text (of texts). Training is unchanged
    #[arg(long, value_name = "FRAMES|TEXT")]
    pub(super) warm_up: Option<WarmUp>,
    #[command(flatten)]
    pub(super) quantize: QuantizeArgs,
    #[command(flatten)]
    pub(super) series: SeriesArgs,
    /// Folder of the run
    #[arg(long)]
    pub(super) out: PathBuf,
    /// Continue the run in --out with its own configuration
    #[arg(long, conflicts_with_all = ["config", "data", "label_column", "text_column", "label_pattern", "label_map", "encoding", "task", "valid", "folds", "model", "fast", "tokens", "epochs", "batch", "lr", "seed", "max_tokens", "clip_norm",
        "weight_decay", "label_smoothing", "average", "warm_up", "class_weights", "select", "threshold", "patience", "teacher", "resume_from", "leave_out", "quantize", "quantize_epochs", "quantize_lr", "channels", "series_column", "time_column", "missing", "window", "stride", "horizon", "augment", "carry", "flash", "ram", "latency", "board", "trials", "minutes"])]
    pub(super) resume: bool,
    /// Seconds after which a running epoch is kept; the result does not depend on it
    #[arg(long, hide = true, value_parser = seconds)]
    pub(super) checkpoint_every: Option<Duration>,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    // Behind all others, because options that follow would stand under its heading.
    #[command(flatten, next_help_heading = "Search for the best model within a budget, as `latch search` does")]
    pub(super) budget: BudgetArgs,
}

impl Args {
    /// The run that the options describe.
    ///
    /// # Errors
    /// A fault when two of them contradict each other, or when a teacher is no run.
    pub(super) fn config(&self) -> Result<RunConfig> {
        let Some(data) = &self.data else { bail!("--data is missing although --resume is not given") };
        let teachers = self.teacher.iter().map(|run| Teacher::read(absolute(run))).collect::<Result<Vec<_>>>()?;
        let (share, temperature) = (self.distill, self.distill_temperature);
        let distill = (!teachers.is_empty()).then_some(DistillConfig { teachers, share, temperature });
        let task = self.series.task(self.task);
        if let (Some(asked), Some(model)) = (self.tokens.tokens(), &self.adapted.model)
            && model.tokens != Tokens::Words
            && model.tokens != asked
        {
            let problem = format!("the model says `{}`, which is another kind of token", model.input());
            return Err(fault("--tokens", problem, "leave one of them out").into());
        }
        let given = self.adapted.model.as_ref();
        let series = self.series.config(data, self.task, given, &self.columns)?;
        let model = match (&series, given) {
            (Some(_), None) => Some(of_samples(task, 0, None).swap_remove(0)),
            _ => given.cloned(),
        };
        let train = TrainConfig {
            model: model_of(task, model),
            task,
            epochs: self.adapted.epochs(),
            batch: self.batch,
            learning_rate: self.lr,
            seed: self.seed,
            max_tokens: self.max_tokens,
            clip_norm: self.clip_norm,
            weight_decay: self.weight_decay,
            label_smoothing: self.label_smoothing,
            average: self.average,
            patience: self.adapted.patience(),
            class_weights: self.balance.class_weights.clone(),
            select: self.balance.select,
            threshold: self.balance.threshold,
            quantize: self.quantize.config(),
            distill,
            leave_out: self.leave_out,
            augment: self.series.augment,
            carry: self.series.carried(),
            warm_up: self.warm_up.clone().filter(|warm_up| warm_up.prefix().is_some()),
            ..default_config()
        };
        Ok(RunConfig {
            latch: env!("CARGO_PKG_VERSION").into(),
            train,
            data: absolute(data),
            data_sha256: String::new(),
            columns: if series.is_some() { Columns::default() } else { self.columns.columns()? },
            classes: Vec::new(),
            valid: match &series {
                Some(_) => series::valid_of(self.valid.as_ref(), data, valid_of(self.valid.as_ref(), data)),
                None => valid_of(self.valid.as_ref(), data),
            },
            series,
            imported: None,
        })
    }

    /// The options that nobody gave.
    pub(super) fn open(&self) -> Open {
        Open { valid: self.valid.is_none(), ..self.adapted.open() }
    }
}
