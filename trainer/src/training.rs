//! A training run: from labelled texts to the network of the best epoch, with everything written down as it goes.
//!
//! ```text
//! texts -> vocabulary -> ids -> epochs of length-bucketed batches -> validation -> best network
//!                               best network -> epochs with integers -> the engine on validation -> best quantized network
//! ```
//!
//! The second line is there where the configuration asks for it, see [`crate::quantizer::aware`].
//!
//! A run is a pure function of its configuration and its data: the same seed gives the same bytes, on one thread and on many,
//! uninterrupted or resumed.

use std::time::{Duration, Instant};

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::manifest::{self, Hashed, Units, Unknown};
use latch_engine::model::Model;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batches::{Batch, BatchOptions, generator, plan};
use crate::bptt::{LossOptions, Noise, Objective, StepOptions, TrainError, Trainer, train_step, train_step_quantized};
use crate::dataset::{Example, Labels, Task};
use crate::distillation::{DistillConfig, Fold, Targets};
use crate::error::fault;
use crate::evaluate::state_for;
use crate::network::readout::Readout;
use crate::network::tiers::Tiers;
use crate::network::{Network, NetworkConfig};
use crate::ngrams::{Fitted, Fusion, NgramConfig, Table, fit, fuse, hashes};
use crate::optimizer::{AdamConfig, Decay, LearningRate};
use crate::quantizer::aware::{Integers, embedding_scales};
use crate::quantizer::{Origin, Storage, Weights, occurrences, to_image};
use crate::real::Real;
use crate::run::{Best, BestQuantized, Checkpoint, RunFolder, weights};
use crate::vocabulary::{Vocabulary, Words};

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
    /// The network's shape for a vocabulary of `rows` ids.
    pub fn network(&self, rows: usize) -> NetworkConfig {
        let model = &self.model;
        NetworkConfig {
            vocabulary: rows,
            embedding: model.embedding,
            units: model.lstm,
            layers: model.layers,
            readout: if self.task.each_step() { Readout::Each } else { model.readout },
            outputs: self.task.outputs(),
            dropout: model.dropout,
            recurrent_dropout: model.recurrent_dropout,
            word_dropout: model.word_dropout,
            head_dropout: model.head_dropout,
        }
    }

    /// The tiers of the embedding, where it has them.
    pub fn tiers<T: Real>(&self, training: &Sequences) -> Option<Tiers<T>> {
        let rows = training.occurrences.len();
        self.model.tiers.map(|shape| Tiers::new(shape, &training.occurrences, rows))
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

/// Texts as ids, with their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequences {
    /// The ids of each text.
    pub ids: Vec<Vec<u32>>,
    /// How often each id occurs in the whole texts.
    pub occurrences: Vec<u32>,
    /// The labels of each text: a class or a value, or one for each of its ids, NaN where an id has none.
    pub labels: Vec<Vec<f32>>,
    /// What is added to each text's logit; empty where it is nothing.
    pub offsets: Vec<f32>,
    /// What teachers say of each text; empty without teachers.
    pub targets: Targets,
}

/// Chooses and fits the n-grams of training texts; `None` where the configuration has none.
///
/// With teachers, the weights are fitted to labels between the texts' own and the teachers' probabilities.
pub fn fit_ngrams<L: Labels>(
    config: &TrainConfig,
    examples: &[Example<L>],
    targets: Option<&Targets>,
) -> Option<Fitted> {
    (config.model.ngrams.count > 0).then(|| {
        let texts: Vec<Vec<u32>> = examples.par_iter().map(|example| hashes(config.units(), &example.text)).collect();
        let labels: Vec<f32> = examples.iter().flat_map(|example| example.label.numbers().into_owned()).collect();
        let taught: Option<Vec<f32>> = targets.zip(config.distill.as_ref()).map(|(targets, distill)| {
            let share = distill.share as f32;
            labels.iter().zip(&targets.values).map(|(label, p)| (1.0 - share) * label + share * p).collect()
        });
        fit(&texts, &labels, taught.as_ref().unwrap_or(&labels), &config.model.ngrams, config.seed)
    })
}

impl Sequences {
    /// Reads texts with a vocabulary and keeps the last `max_tokens` of each.
    ///
    /// A labelled token of the text may be several for the engine, or none. Its label belongs to the last of them, after which the network
    /// has read all of it; a token that the network does not read is not learned from.
    pub fn read<L: Labels>(examples: &[Example<L>], vocabulary: &Vocabulary, max_tokens: usize) -> Self {
        let (mut ids, mut labels): (Vec<Vec<u32>>, Vec<Vec<f32>>) = examples
            .par_iter()
            .map(|example| {
                let numbers = example.label.numbers();
                if !example.label.each_step() {
                    return (vocabulary.ids(&example.text), numbers.into_owned());
                }
                let (mut ids, mut labels) = (Vec::new(), Vec::new());
                for (token, &label) in example.text.split_whitespace().zip(numbers.iter()) {
                    ids.extend(vocabulary.ids(token));
                    if ids.len() > labels.len() {
                        labels.resize(ids.len() - 1, f32::NAN);
                        labels.push(label);
                    }
                }
                (ids, labels)
            })
            .unzip();
        let occurrences = occurrences(ids.iter().map(Vec::as_slice), vocabulary.rows());
        for ((ids, labels), example) in ids.iter_mut().zip(&mut labels).zip(examples) {
            let surplus = ids.len().saturating_sub(max_tokens);
            ids.drain(..surplus);
            if example.label.each_step() {
                labels.drain(..surplus);
            }
        }
        Sequences { ids, occurrences, labels, ..Sequences::default() }
    }

    /// Brings values to a mean of 0 and a deviation of 1, as `scale` has them.
    #[must_use]
    pub fn normalised(mut self, scale: Scale) -> Self {
        for label in self.labels.iter_mut().flatten() {
            *label = ((f64::from(*label) - scale.mean) / scale.deviation) as f32;
        }
        self
    }

    /// The same beside the logits that a table of n-grams gives to the texts.
    #[must_use]
    pub fn beside<L: Labels>(mut self, examples: &[Example<L>], units: Units, table: &Table) -> Self {
        self.offsets = examples.par_iter().map(|example| table.logit(&hashes(units, &example.text))).collect();
        self
    }

    /// The batch of some sequences, with the offsets of those that `keeps` one.
    fn batch(&self, indices: &[usize], keeps: impl Fn(usize) -> bool) -> Batch {
        let mut batch = Batch::new();
        for &index in indices {
            let offset = self.offsets.get(index).copied().filter(|_| keeps(index)).unwrap_or(0.0);
            match self.labels[index][..] {
                [label] => batch.push_beside(&self.ids[index], label, offset),
                ref labels => batch.push_each(&self.ids[index], labels),
            }
            batch.teach(self.targets.of(index));
        }
        batch
    }
}

/// The scale of values: a network learns them with a mean of 0 and a deviation of 1, and an image gives them as they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The mean of the training labels.
    pub mean: f64,
    /// Their standard deviation; 1 where they are all the same.
    pub deviation: f64,
}

impl Scale {
    /// That of the labels of these examples.
    pub fn of<L: Labels>(examples: &[Example<L>]) -> Self {
        let sum = |part: &dyn Fn(f64) -> f64| -> f64 {
            examples
                .iter()
                .flat_map(|example| example.label.numbers().into_owned())
                .map(|label| part(f64::from(label)))
                .sum()
        };
        let count = sum(&|_| 1.0).max(1.0);
        let mean = sum(&|label| label) / count;
        let deviation = (sum(&|label| (label - mean).powi(2)) / count).sqrt();
        Scale { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
    }
}

/// One epoch in figures, as a line of `metrics.jsonl`. Holds nothing that differs between two runs of the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean loss over the epoch's batches, with dropout: in nats; of values the mean square, in parts of the training labels' variance.
    pub train_loss: f64,
    /// Accuracy over the epoch's batches, with dropout; of values R², `1 − mean square / variance`.
    pub train_accuracy: f64,
    /// Mean loss on the validation part, in the same unit.
    pub valid_loss: f64,
    /// Accuracy on the validation part; of values R².
    pub valid_accuracy: f64,
    /// Mean norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate at the epoch's end.
    pub learning_rate: f64,
    /// Tokens read.
    pub tokens: u64,
}

/// What happens in a run, for whoever shows it.
pub trait Progress {
    /// A batch is done.
    fn batch(&mut self, batch: &BatchProgress);
    /// An epoch is done; `best` when it is the best so far.
    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool);
}

/// Where a run stands after a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchProgress {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Batches done in this epoch.
    pub done: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Accuracy of the epoch so far; of values R².
    pub accuracy: f64,
    /// Tokens a second since the run or its resumption began.
    pub tokens_per_second: f64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Epochs in all, those before a resumption included.
    pub epochs: u64,
    /// The best epoch's figures.
    pub best: EpochMetrics,
    /// Those of the best of the epochs that learned with integers.
    pub quantized: Option<EpochMetrics>,
    /// Tokens a second in this process, validation left out.
    pub tokens_per_second: f64,
    /// Wall time in this process.
    pub elapsed: Duration,
}

/// Trains from a checkpoint, or from the beginning where it is `None`, to the end; keeps checkpoints, metrics, curves and the best
/// network in `folder`. Where the configuration says so, training goes on with integers, from the checkpoint of its own that `folder` may have. From the
/// checkpoint of a finished run nothing is trained and nothing written.
///
/// # Errors
/// A fault when the loss or a gradient stops being finite, naming the epoch and, in training, the batch, or when the folder cannot be
/// written.
pub fn train(
    config: &TrainConfig,
    vocabulary: &Vocabulary,
    training: &Sequences,
    validation: &Sequences,
    folder: &RunFolder,
    checkpoint: Option<Checkpoint>,
    progress: &mut dyn Progress,
) -> Result<Outcome> {
    train_until(config, vocabulary, training, validation, folder, checkpoint, progress, u64::MAX)
}

/// As [`train`], but only to the end of an epoch, from 1, where that comes first. Whoever goes on from the checkpoint then ends in the bytes
/// of a run that was not stopped.
///
/// # Errors
/// Those of [`train`].
#[expect(clippy::too_many_arguments, reason = "those of `train`, and one")]
pub fn train_until(
    config: &TrainConfig,
    vocabulary: &Vocabulary,
    training: &Sequences,
    validation: &Sequences,
    folder: &RunFolder,
    checkpoint: Option<Checkpoint>,
    progress: &mut dyn Progress,
    until: u64,
) -> Result<Outcome> {
    let started = Instant::now();
    if training.ids.is_empty() || config.batch == 0 {
        return Err(fault(
            "training part",
            "there is nothing to train on",
            "give it texts, and batches of at least one",
        )
        .into());
    }
    let mut pace = Pace { started, busy: Duration::ZERO, tokens: 0 };
    let mut at = match checkpoint {
        Some(checkpoint) => checkpoint,
        None => {
            let mut network = Network::new(&config.network(vocabulary.rows()), config.seed)?;
            if let Some(tiers) = config.tiers(training) {
                tiers.begin(&mut network.embedding.table);
            }
            Checkpoint::beginning(network, config)
        }
    };
    let data = Data { vocabulary, training, validation, folder };
    let float = Phase { config, before: &[], epochs: config.epochs, patience: config.patience, until, quantize: None };
    float.run(&mut at, &data, config.learning_rate, &mut pace, progress)?;
    let best = *at.best().ok_or_else(|| fault("--epochs", "the run has no epoch", "train for at least one epoch"))?;
    let mut quantized = None;
    let mut epochs = at.epoch;
    if let Some(quantize) = config.quantize.as_ref().filter(|_| at.is_finished(config.epochs, config.patience)) {
        let network = folder.best()?.network;
        let scales = embedding_scales(&network, training.occurrences.clone(), quantize.storage);
        let mut after = match folder.quantized_checkpoint()? {
            Some(checkpoint) => checkpoint,
            None => Checkpoint::beginning(network, config),
        };
        let phase = Phase {
            config,
            before: &at.metrics,
            epochs: quantize.epochs,
            patience: u64::MAX,
            until: u64::MAX,
            quantize: Some(Quantize { storage: quantize.storage, scales }),
        };
        phase.run(&mut after, &data, quantize.learning_rate, &mut pace, progress)?;
        epochs += after.epoch;
        quantized = after.best().copied();
    }
    Ok(Outcome { epochs, best, quantized, tokens_per_second: pace.tokens_per_second(), elapsed: started.elapsed() })
}

/// Whether a training sequence keeps the n-grams' logit in an epoch.
fn keeps(config: &TrainConfig, epoch: u64, index: usize) -> bool {
    let mut rng = generator([config.seed, epoch, index as u64, 0x6b65_6570]);
    rng.random_range(0.0..1.0) >= config.model.ngrams.dropout
}

/// The loss of a run's task.
fn objective(config: &TrainConfig) -> Objective {
    if config.task.has_values() { Objective::SquaredError } else { Objective::CrossEntropy }
}

/// What a run reads, and where it writes.
struct Data<'a> {
    vocabulary: &'a Vocabulary,
    training: &'a Sequences,
    validation: &'a Sequences,
    folder: &'a RunFolder,
}

/// How fast a run goes in this process, validation left out.
struct Pace {
    started: Instant,
    busy: Duration,
    tokens: u64,
}

impl Pace {
    fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.busy.as_secs_f64().max(1e-9)
    }
}

/// Epochs in a row with one schedule: those in floats, or those with integers after them.
struct Phase<'a> {
    config: &'a TrainConfig,
    /// The epochs before this phase.
    before: &'a [EpochMetrics],
    epochs: u64,
    patience: u64,
    /// The epoch at which to stop for now.
    until: u64,
    quantize: Option<Quantize>,
}

/// What the epochs with integers hold fast.
struct Quantize {
    storage: Storage,
    /// Of the embedding's columns.
    scales: Vec<f32>,
}

impl Phase<'_> {
    fn run(
        &self,
        at: &mut Checkpoint,
        data: &Data<'_>,
        learning_rate: f64,
        pace: &mut Pace,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let &Phase { config, before, epochs, patience, .. } = self;
        let &Data { training, validation, folder, .. } = data;
        let objective = objective(config);
        let lengths: Vec<usize> = training.ids.iter().map(Vec::len).collect();
        let options = BatchOptions { batch_size: config.batch, window: 50, seed: config.seed };
        let batches = lengths.len().div_ceil(config.batch) as u64;
        let total = batches * epochs;
        let rate = LearningRate {
            peak: learning_rate,
            floor: 0.02,
            warmup: (config.warmup * total as f64) as u64,
            total,
            decay: Decay::Cosine,
        };
        if at.epoch >= self.until || at.is_finished(epochs, patience) {
            return Ok(());
        }
        let mut trainer = Trainer::resume(at.network.clone(), at.adam.clone(), at.average.clone());
        trainer.tiers = config.tiers(training);
        let mut integers = match &self.quantize {
            Some(quantize) => Some(Integers::new(&trainer.network, quantize.storage, quantize.scales.clone())?),
            None => None,
        };
        while at.epoch < self.until && !at.is_finished(epochs, patience) {
            // Counted from the run's beginning: every epoch has its own order and its own noise.
            let epoch = before.len() as u64 + at.epoch;
            let plan = plan(&lengths, &options, epoch);
            let mut kept = Instant::now();
            for (number, indices) in plan.iter().enumerate().skip(at.batch as usize) {
                let began = Instant::now();
                let step_options = StepOptions {
                    learning_rate: rate.at(at.epoch * batches + number as u64),
                    clip_norm: Some(config.clip_norm),
                    loss: LossOptions {
                        label_smoothing: config.label_smoothing,
                        noise: Some(Noise { seed: config.seed, epoch, batch: number as u64 }),
                        objective,
                        distill: config.distill.as_ref().map(DistillConfig::in_a_loss),
                    },
                };
                let batch = training.batch(indices, |index| keeps(config, epoch, index));
                let stats = match &mut integers {
                    Some(integers) => train_step_quantized(&mut trainer, integers, &batch, &step_options),
                    None => train_step(&mut trainer, &batch, &step_options).map_err(anyhow::Error::from),
                };
                let stats = stats.map_err(|error| stopped(error, epoch, number, folder))?;
                pace.busy += began.elapsed();
                pace.tokens += stats.tokens as u64;
                at.sums.loss += stats.loss_sum;
                at.sums.correct += stats.correct as u64;
                at.sums.answers += stats.answers as u64;
                at.sums.tokens += stats.tokens as u64;
                at.sums.gradient_norm += stats.gradient_norm;
                at.batch = number as u64 + 1;
                progress.batch(&BatchProgress {
                    epoch: epoch + 1,
                    done: number + 1,
                    batches: plan.len(),
                    loss: at.sums.mean_loss(),
                    accuracy: at.sums.accuracy(objective),
                    tokens_per_second: pace.tokens_per_second(),
                });
                if kept.elapsed() > folder.checkpoint_interval() && number + 1 < plan.len() {
                    at.take(&trainer);
                    folder.write_checkpoint(at, self.quantize.is_some())?;
                    kept = Instant::now();
                }
            }
            let network = trainer.best_network();
            let (valid_loss, valid_accuracy) = match &self.quantize {
                Some(quantize) => {
                    judge_image(&quantize.weights(network), data.vocabulary, quantize.storage, validation, config)?
                }
                None => judge(network, validation, objective)?,
            };
            if !valid_loss.is_finite() {
                let problem = format!("the validation loss is {valid_loss}: the weights have diverged");
                return Err(diverged(format!("epoch {}", epoch + 1), problem, folder));
            }
            let sums = std::mem::take(&mut at.sums);
            let metrics = EpochMetrics {
                epoch: epoch + 1,
                train_loss: sums.mean_loss(),
                train_accuracy: sums.accuracy(objective),
                valid_loss,
                valid_accuracy,
                gradient_norm: sums.gradient_norm / plan.len() as f64,
                learning_rate: rate.at(at.epoch * batches + batches - 1),
                tokens: sums.tokens,
            };
            let best = at.best().is_none_or(|best| metrics.valid_loss < best.valid_loss);
            at.metrics.push(metrics);
            (at.epoch, at.batch) = (at.epoch + 1, 0);
            at.take(&trainer);
            if best {
                let best = Best { metrics, network: trainer.best_network().clone() };
                match &self.quantize {
                    Some(Quantize { storage, scales }) => folder.write_quantized(&BestQuantized {
                        best,
                        storage: *storage,
                        embedding_scales: scales.clone(),
                    })?,
                    None => folder.write_best(&best)?,
                }
            }
            let all = [before, &at.metrics].concat();
            let quantized = self.quantize.as_ref().map(|quantize| (quantize.storage, at.metrics.len()));
            folder.write_metrics(&all, quantized)?;
            folder.write_curves(&all)?;
            folder.write_checkpoint(at, self.quantize.is_some())?;
            progress.epoch(&metrics, pace.started.elapsed(), best);
        }
        Ok(())
    }
}

impl Quantize {
    /// A network as the quantizer takes it, with the scales of this training.
    fn weights(&self, network: &Network<f32>) -> Weights {
        Weights { embedding_scales: self.scales.clone(), ..weights(network) }
    }
}

fn stopped(error: anyhow::Error, epoch: u64, batch: usize, folder: &RunFolder) -> anyhow::Error {
    let place = format!("epoch {} batch {}", epoch + 1, batch + 1);
    match error.downcast_ref() {
        Some(TrainError::NonFiniteLoss { loss }) => {
            diverged(place, format!("the loss is {loss}: the weights have diverged"), folder)
        }
        Some(TrainError::NonFiniteGradient { norm }) => {
            diverged(place, format!("the gradient's norm is {norm}: the weights have diverged"), folder)
        }
        Some(error) => anyhow::anyhow!("{place}: {error}"),
        None => error,
    }
}

/// The fault of weights that have grown beyond all numbers.
fn diverged(place: String, problem: String, folder: &RunFolder) -> anyhow::Error {
    let remedy = if folder.has_learned() {
        format!(
            "train again with a smaller --lr into another folder; what was learned before is kept in {}",
            folder.path().display()
        )
    } else {
        "train again with a smaller --lr".into()
    };
    fault(place, problem, remedy).into()
}

/// Mean loss and accuracy of a network, fused with the n-grams where there are some; of values R².
pub(crate) fn judge(network: &Network<f32>, sequences: &Sequences, objective: Objective) -> Result<(f64, f64)> {
    let (logits, fusion) = fused(network, sequences)?;
    Ok(judge_fused(logits, fusion, network.config().outputs, sequences, objective))
}

fn judge_fused(
    mut logits: Vec<f32>,
    fusion: Option<Fusion>,
    outputs: usize,
    sequences: &Sequences,
    objective: Objective,
) -> (f64, f64) {
    if let Some(fusion) = fusion {
        for (logit, &offset) in logits.iter_mut().zip(&sequences.offsets) {
            *logit = fusion.logit(*logit, offset);
        }
    }
    if objective == Objective::CrossEntropy {
        return judge_logits(&logits, sequences);
    }
    let values = logits.chunks_exact(outputs).map(|values| f64::from(values[0]));
    let (mut squares, mut sum, mut sum_of_squares, mut count) = (0.0, 0.0, 0.0, 0.0);
    for (value, &label) in values.zip(sequences.labels.iter().flatten()).filter(|(_, label)| !label.is_nan()) {
        let label = f64::from(label);
        squares += (value - label).powi(2);
        (sum, sum_of_squares, count) = (sum + label, sum_of_squares + label * label, count + 1.0);
    }
    let count = f64::max(count, 1.0);
    (squares / count, determination(squares, sum_of_squares - sum * sum / count))
}

/// R² of values: `1 − Σ (value − label)² / Σ (label − mean)²`; 0 where the labels are all the same.
pub(crate) fn determination(squares: f64, variance: f64) -> f64 {
    if variance > 1e-9 * squares { 1.0 - squares / variance } else { 0.0 }
}

/// The network's logits of sequences, and how they are best fused with the n-grams' where there are some.
///
/// # Errors
/// Those of [`Network::forward`].
pub fn fused(network: &Network<f32>, sequences: &Sequences) -> Result<(Vec<f32>, Option<Fusion>)> {
    let ids: Vec<&[u32]> = sequences.ids.iter().map(Vec::as_slice).collect();
    let logits = network.forward(&ids)?.as_slice().to_vec();
    let fusion = fusion(&logits, sequences);
    Ok((logits, fusion))
}

fn fusion(logits: &[f32], sequences: &Sequences) -> Option<Fusion> {
    let labels = || sequences.labels.iter().flatten().copied().collect::<Vec<f32>>();
    (!sequences.offsets.is_empty()).then(|| fuse(logits, &sequences.offsets, &labels()))
}

/// Mean loss and accuracy of the image of some weights, from the engine itself; fused as [`judge`] does.
fn judge_image(
    weights: &Weights,
    vocabulary: &Vocabulary,
    storage: Storage,
    sequences: &Sequences,
    config: &TrainConfig,
) -> Result<(f64, f64)> {
    let bytes = to_image(weights, vocabulary, storage, &Origin::default())?;
    let image = Image::open(&bytes)?;
    let model = Model::new(&image);
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.pack(&mut memory)?;
    let outputs = usize::from(model.shape().outputs);
    let answers = |ids: &Vec<u32>| {
        let mut state = state_for(&model);
        let mut session = model.session_in(&mut state)?;
        let mut logits = Vec::new();
        // An answer a token, or one behind the last.
        let answers: Vec<&[u32]> = if config.task.each_step() { ids.chunks(1).collect() } else { vec![ids] };
        for ids in answers {
            session.push_tokens(ids);
            logits.extend((0..outputs).map(|output| session.logit(output).to_f32()));
        }
        Ok(logits)
    };
    let logits: Vec<Vec<f32>> = sequences.ids.par_iter().map(answers).collect::<Result<_>>()?;
    let logits = logits.concat();
    let fusion = fusion(&logits, sequences);
    Ok(judge_fused(logits, fusion, outputs, sequences, objective(config)))
}

/// Mean loss in nats and accuracy of logits, as many an answer as there are for each label.
pub fn judge_logits(logits: &[f32], sequences: &Sequences) -> (f64, f64) {
    let labels: Vec<f32> = sequences.labels.iter().flatten().copied().collect();
    let outputs = (logits.len() / labels.len().max(1)).max(1);
    let (mut loss, mut correct, mut count) = (0.0, 0, 0_u64);
    for (logits, &label) in logits.chunks_exact(outputs).zip(&labels).filter(|(_, label)| !label.is_nan()) {
        count += 1;
        loss += cross_entropy(logits, label);
        correct += u64::from(class_of(logits) == label as usize);
    }
    let count = count.max(1) as f64;
    (loss / count, correct as f64 / count)
}

/// The class of one answer: of one logit 1 where it is not negative, of several the largest, the first of equals.
pub(crate) fn class_of(logits: &[f32]) -> usize {
    if let [logit] = logits {
        return usize::from(*logit >= 0.0);
    }
    (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}

/// The loss of one answer in nats: `ln Σ e^{z_k} − z_y`; of one logit that of (0, z).
pub(crate) fn cross_entropy(logits: &[f32], label: f32) -> f64 {
    if let [logit] = logits {
        let z = f64::from(*logit);
        return z.max(0.0) - z * f64::from(label) + (-z.abs()).exp().ln_1p();
    }
    let z = |class: usize| f64::from(logits[class]);
    let largest = (0..logits.len()).map(z).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = (0..logits.len()).map(|class| (z(class) - largest).exp()).sum();
    largest + total.ln() - z(label as usize)
}

/// The optimizer's settings of a run.
pub(crate) fn adam(config: &TrainConfig) -> AdamConfig {
    AdamConfig { weight_decay: config.weight_decay, ..AdamConfig::default() }
}
