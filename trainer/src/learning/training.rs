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

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::Result;
use latch_engine::Model;
use latch_engine::image::Image;
use nalgebra::DMatrix;
use rand::RngExt;
use rayon::prelude::*;

use super::augmented;
use super::carried::{pieces, updates};
use super::diverged::{DIVERGED, as_fault, diverged, stopped};
use super::loss::Distill;
use super::sequences::Sequences;
use super::verdict::Verdict;
use crate::batches::{BatchOptions, generator, plan};
use crate::bptt::{LossOptions, Noise, StepOptions, Trainer, train_step};
use crate::config::{Objective, Storage, TrainConfig};
use crate::error::{Fault, fault};
use crate::evaluate::state_for;
use crate::metrics::{EpochMetrics, Judgement, weight_of};
use crate::network::tiers::Tiers;
use crate::network::{Network, NetworkConfig};
use crate::ngrams::Answers;
use crate::ngrams::fusion::{Fusion, fuse};
use crate::optimizer::{AdamConfig, Decay, LearningRate};
use crate::quantizer::aware::{Aware, Scales, embedding_scales, sample_scales, train_step_quantized};
use crate::quantizer::{Origin, Weights, to_image};
use crate::real::Real;
use crate::report::curves::{self, Curves};
use crate::report::png::png;
use crate::runs::checkpoint::{Best, BestQuantized, Checkpoint, Sums, best_of, is_better};
use crate::runs::writer::RunWriter;
use crate::vocabulary::Vocabulary;

/// What happens in a run, for whoever shows it.
pub trait Progress {
    /// A batch is done.
    fn batch(&mut self, batch: &BatchProgress);
    /// An epoch is done; `best` when it is the best so far.
    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool);
    /// Something else is known that a reader may want to know.
    fn note(&mut self, _text: &str) {}
    /// Something is wrong, and the work goes on.
    fn warn(&mut self, text: &str) {
        self.note(&format!("warning: {text}"));
    }
    /// The texts are prepared: `what` is done, and of `all` of it so much; of nothing where it is not known how much there is.
    fn preparing(&mut self, _what: &str, _done: u64, _all: u64) {}
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
    /// Training tokens a second of wall time since the run or its resumption began.
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
    /// Training tokens by wall time in this process: validation and the files of each epoch take their share of it.
    pub tokens_per_second: f64,
    /// Wall time in this process.
    pub elapsed: Duration,
    /// What the best network answers on the validation part; `None` where there is none.
    pub verdict: Option<Verdict>,
}

/// What a run reads, and where it writes.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What is trained, and how.
    pub config: &'a TrainConfig,
    /// The words of the model.
    pub vocabulary: &'a Vocabulary,
    /// What it learns from.
    pub training: &'a Sequences,
    /// What chooses the best epoch.
    pub validation: &'a Sequences,
    /// The run's folder; `None` where nothing is kept: see [`super::rehearsal`].
    pub folder: Option<&'a RunWriter>,
}

/// Trains from a checkpoint, or from the beginning where it is `None`, to the end; keeps checkpoints, metrics, curves and the best
/// network in the run's folder. Where the configuration says so, training goes on with integers, from the checkpoint of its own that the folder may have. From the
/// checkpoint of a finished run nothing is trained and nothing written.
///
/// # Errors
/// A fault when the loss or a gradient stops being finite, naming the epoch and, in training, the batch, or when the folder cannot be
/// written.
pub fn train(job: &Job<'_>, checkpoint: Option<Checkpoint>, progress: &mut dyn Progress) -> Result<Outcome> {
    train_until(job, checkpoint, progress, u64::MAX)
}

/// As [`train`], but only to the end of an epoch, from 1, where that comes first. Whoever goes on from the checkpoint then ends in the bytes
/// of a run that was not stopped.
///
/// # Errors
/// Those of [`train`].
pub fn train_until(
    job: &Job<'_>,
    checkpoint: Option<Checkpoint>,
    progress: &mut dyn Progress,
    until: u64,
) -> Result<Outcome> {
    let &Job { config, training, folder, .. } = job;
    let started = Instant::now();
    let mut pace = Pace { started, tokens: 0 };
    let mut at = match checkpoint {
        Some(checkpoint) => checkpoint,
        None => job.beginning()?,
    };
    let float = Phase { until, ..Phase::in_floats(job) };
    float.run(&mut at, config.learning_rate, &mut pace, progress)?;
    let best = *at.best(config.select).ok_or_else(no_epoch)?;
    let mut quantized = None;
    let mut epochs = at.epoch;
    let is_finished = at.is_finished(config.epochs, config.patience, config.select);
    if let (Some(quantize), Some(folder)) = (config.quantize.as_ref().filter(|_| is_finished), folder) {
        let network = folder.best()?.network;
        let embedding = match &job.vocabulary.scaling {
            Some(scaling) => sample_scales(scaling),
            None => embedding_scales(&network, training.occurrences.clone(), quantize.storage),
        };
        let scales = Scales { embedding, ranges: peaks(&network, training)? };
        let mut after = match folder.quantized_checkpoint()? {
            Some(checkpoint) => checkpoint,
            None => beginning(network, config),
        };
        let phase = Phase {
            job,
            before: &at.metrics,
            epochs: quantize.epochs,
            patience: u64::MAX,
            until: u64::MAX,
            quantize: Some(Quantize { storage: quantize.storage, scales }),
        };
        phase.run(&mut after, quantize.learning_rate, &mut pace, progress)?;
        epochs += after.epoch;
        quantized = after.best(config.select).copied();
    }
    let (tokens_per_second, elapsed) = (pace.tokens_per_second(), started.elapsed());
    Ok(Outcome { epochs, best, quantized, tokens_per_second, elapsed, verdict: None })
}

/// The fault of a run that is to have no epoch.
pub(super) fn no_epoch() -> Fault {
    fault("--epochs", "the run has no epoch", "train for at least one epoch")
}

impl Job<'_> {
    /// The state before the first step.
    ///
    /// # Errors
    /// A fault when there is nothing to train on, and those of [`Network::new`].
    pub(super) fn beginning(&self) -> Result<Checkpoint> {
        let &Job { config, vocabulary, training, .. } = self;
        if training.ids.is_empty() || config.batch == 0 {
            return Err(fault(
                "training part",
                "there is nothing to train on",
                "give it texts, and batches of at least one",
            )
            .into());
        }
        let mut network = Network::new(&config.network(vocabulary.rows()), config.seed)?;
        if let Some(tiers) = config.tiers(training) {
            tiers.begin(&mut network.embedding.table);
        }
        Ok(beginning(network, config))
    }
}

/// The state of a run before the first step of a network.
pub(crate) fn beginning(network: Network<f32>, config: &TrainConfig) -> Checkpoint {
    let trainer = Trainer::new(network, &adam(config));
    let trainer = if config.average > 0.0 { trainer.with_ema(config.average) } else { trainer };
    Checkpoint {
        network: trainer.network,
        adam: trainer.adam,
        average: trainer.ema,
        epoch: 0,
        batch: 0,
        sums: Sums::default(),
        metrics: Vec::new(),
    }
}

/// Takes up where the trainer stands.
fn take(at: &mut Checkpoint, trainer: &Trainer<f32>) {
    at.network.clone_from(&trainer.network);
    at.adam.clone_from(&trainer.adam);
    at.average.clone_from(&trainer.ema);
}

impl TrainConfig {
    /// The network's shape for a vocabulary of `rows` ids.
    pub fn network(&self, rows: usize) -> NetworkConfig {
        NetworkConfig { vocabulary: rows, outputs: self.task.outputs(), chain: self.model.chain.clone() }
    }

    /// The tiers of the embedding, where it has them.
    pub fn tiers<T: Real>(&self, training: &Sequences) -> Option<Tiers<T>> {
        let rows = training.occurrences.len();
        self.model.tiers.map(|shape| Tiers::new(shape, &training.occurrences, rows))
    }
}

/// Whether a training sequence keeps the n-grams' logit in an epoch.
fn keeps(config: &TrainConfig, epoch: u64, index: usize) -> bool {
    let mut rng = generator([config.seed, epoch, index as u64, 0x6b65_6570]);
    rng.random_range(0.0..1.0) >= config.model.ngrams.dropout
}

/// How fast a run goes in this process.
pub(super) struct Pace {
    pub(super) started: Instant,
    pub(super) tokens: u64,
}

impl Pace {
    fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}

/// Epochs in a row with one schedule: those in floats, or those with integers after them.
pub(super) struct Phase<'a> {
    job: &'a Job<'a>,
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
    scales: Scales,
}

/// What learns in an epoch, and by which rate.
pub(super) struct Learner {
    pub(super) trainer: Trainer<f32>,
    /// The network in the integers of its image, where these are learned with.
    integers: Option<Aware>,
    rate: LearningRate,
    /// Batches of an epoch.
    batches: u64,
}

impl<'a> Phase<'a> {
    /// The epochs in floats, all of them.
    pub(super) fn in_floats(job: &'a Job<'a>) -> Self {
        let TrainConfig { epochs, patience, .. } = *job.config;
        Phase { job, before: &[], epochs, patience, until: u64::MAX, quantize: None }
    }

    fn run(&self, at: &mut Checkpoint, learning_rate: f64, pace: &mut Pace, progress: &mut dyn Progress) -> Result<()> {
        if self.is_over(at) {
            return Ok(());
        }
        let mut learner = self.learner(at, learning_rate)?;
        while !self.is_over(at) {
            self.learn(at, &mut learner, pace, progress).map_err(as_fault)?;
            self.judge(at, &learner, pace, progress).map_err(as_fault)?;
        }
        Ok(())
    }

    /// Whether nothing is left to be trained for now.
    pub(super) fn is_over(&self, at: &Checkpoint) -> bool {
        at.epoch >= self.until || at.is_finished(self.epochs, self.patience, self.job.config.select)
    }

    /// What goes on learning from a checkpoint.
    pub(super) fn learner(&self, at: &Checkpoint, peak: f64) -> Result<Learner> {
        let &Job { config, training, .. } = self.job;
        let lengths: Vec<usize> = training.ids.iter().map(Vec::len).collect();
        let batches = updates(&lengths, config.batch, config.carry);
        let total = batches * self.epochs;
        let warmup = (config.warmup * total as f64) as u64;
        let rate = LearningRate { peak, floor: 0.02, warmup, total, decay: Decay::Cosine };
        let mut trainer = Trainer::resume(at.network.clone(), at.adam.clone(), at.average.clone());
        trainer.network.embedding.read(&training.frames);
        trainer.tiers = config.tiers(training);
        let integers = match &self.quantize {
            Some(Quantize { storage, scales }) => {
                Some(Aware::new(&trainer.network, *storage, scales.clone(), trainer.tiers.as_ref())?)
            }
            None => None,
        };
        Ok(Learner { trainer, integers, rate, batches })
    }

    /// The epoch that is next, counted from the run's beginning: every epoch has its own order and its own noise.
    fn epoch(&self, at: &Checkpoint) -> u64 {
        // A network that came from another run was judged as epoch 0.
        self.before.iter().filter(|epoch| epoch.epoch > 0).count() as u64 + at.epoch
    }

    /// The batches of an epoch, from where the checkpoint stands.
    pub(super) fn learn(
        &self,
        at: &mut Checkpoint,
        learner: &mut Learner,
        pace: &mut Pace,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let &Job { config, vocabulary, training, folder, .. } = self.job;
        let epoch = self.epoch(at);
        let objective = config.objective();
        let variance = training.variance();
        let lengths: Vec<usize> = training.ids.iter().map(Vec::len).collect();
        let options = BatchOptions { batch_size: config.batch, window: 50, seed: config.seed };
        let plan = pieces(plan(&lengths, &options, epoch), &lengths, config.carry);
        let augmented = config.augment.zip(vocabulary.scaling.as_ref());
        let augmented =
            augmented.map(|(augment, scaling)| augmented::augmented(training, &augment, scaling, (config.seed, epoch)));
        let training = augmented.as_ref().unwrap_or(training);
        if augmented.is_some() {
            learner.trainer.network.embedding.read(&training.frames);
            if let Some(integers) = &mut learner.integers {
                integers.read(&training.frames);
            }
        }
        let mut kept = Instant::now();
        for (number, piece) in plan.iter().enumerate().skip(at.batch as usize) {
            let step_options = StepOptions {
                learning_rate: learner.rate.at(at.epoch * learner.batches + number as u64),
                clip_norm: Some(config.clip_norm),
                loss: LossOptions {
                    label_smoothing: config.label_smoothing,
                    noise: Some(Noise { seed: config.seed, epoch, batch: number as u64 }),
                    objective,
                    distill: config.distill.as_ref().map(Distill::from),
                    class_weights: training.weights.clone(),
                },
            };
            let batch = match config.carry {
                Some(steps) => piece.batch(training, steps),
                None => training.batch(&piece.indices, |index| keeps(config, epoch, index)),
            };
            let stats = match &mut learner.integers {
                Some(integers) => train_step_quantized(&mut learner.trainer, integers, &batch, &step_options),
                None => train_step(&mut learner.trainer, &batch, &step_options).map_err(anyhow::Error::from),
            };
            let stats = stats.map_err(|error| stopped(error, epoch, number, folder))?;
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
                accuracy: at.sums.accuracy(objective, variance),
                tokens_per_second: pace.tokens_per_second(),
            });
            if let Some(folder) = folder
                && kept.elapsed() > folder.checkpoint_interval()
                // A state that is carried is not kept.
                && plan.get(number + 1).is_some_and(|next| next.before == 0)
            {
                take(at, &learner.trainer);
                folder.write_checkpoint(at, self.quantize.is_some())?;
                kept = Instant::now();
            }
        }
        Ok(())
    }

    /// Ends an epoch: judges the network on the validation part. Gives the epoch's figures, and whether it is the best so far.
    pub(super) fn measure(&self, at: &mut Checkpoint, learner: &Learner) -> Result<(EpochMetrics, bool)> {
        let &Job { config, folder, .. } = self.job;
        let epoch = self.epoch(at);
        let Judgement { loss: valid_loss, accuracy, macro_f1 } = self.validation(learner.trainer.best_network())?;
        let sums = std::mem::take(&mut at.sums);
        let losses = [("training", sums.mean_loss()), ("validation", valid_loss)];
        // A network that goes on with other values may begin far from them.
        let first = self.before.iter().chain(&at.metrics).next();
        let begun = first.filter(|first| first.epoch == 0).map_or(0.0, |first| 2.0 * first.train_loss);
        // Without a validation part nothing is known of it.
        for (part, loss) in losses.into_iter().take(if self.job.validation.is_empty() { 1 } else { 2 }) {
            // A value far from all others may be in the validation part alone, and no weight has to do with it.
            let most = if part == "validation" && config.task.has_values() { f64::MAX } else { DIVERGED.max(begun) };
            if loss.is_nan() || loss > most {
                let problem = format!("the {part} loss is {loss:.4e}: the weights have diverged");
                return Err(diverged(format!("epoch {}", epoch + 1), problem, folder));
            }
        }
        let metrics = EpochMetrics {
            epoch: epoch + 1,
            train_loss: sums.mean_loss(),
            train_accuracy: sums.accuracy(config.objective(), self.job.training.variance()),
            valid_loss,
            valid_accuracy: accuracy,
            valid_macro_f1: macro_f1,
            valid_rmse: self.job.validation.scale.map(|scale| valid_loss.sqrt() * scale.deviation),
            gradient_norm: sums.gradient_norm / learner.batches as f64,
            learning_rate: learner.rate.at((at.epoch + 1) * learner.batches - 1),
            tokens: sums.tokens,
        };
        let best = at.best(config.select).is_none_or(|best| is_better(config.select, &metrics, best));
        at.metrics.push(metrics);
        (at.epoch, at.batch) = (at.epoch + 1, 0);
        take(at, &learner.trainer);
        Ok((metrics, best))
    }

    /// Ends an epoch: judges the network on the validation part, and keeps what it is worth.
    fn judge(&self, at: &mut Checkpoint, learner: &Learner, pace: &Pace, progress: &mut dyn Progress) -> Result<()> {
        let &Job { config, folder, .. } = self.job;
        let (metrics, best) = self.measure(at, learner)?;
        let Some(folder) = folder else { return Ok(()) };
        if best {
            self.keep(folder, Best { metrics, network: learner.trainer.best_network().clone() })?;
        }
        let all = [self.before, &at.metrics].concat();
        let quantized = self.quantize.as_ref().map(|quantize| (quantize.storage, at.metrics.len()));
        folder.write_metrics(&all, quantized)?;
        let best_epochs: Vec<u64> =
            [self.before, &at.metrics].iter().filter_map(|part| Some(best_of(config.select, part)?.epoch)).collect();
        let picture = curves::picture(&Curves {
            metrics: &all,
            integers: quantized.map(|(storage, epochs)| (epochs, storage.name())),
            values: config.objective() == Objective::SquaredError,
            best: &best_epochs,
        });
        folder.write_curves(&picture.file())?;
        // The PNG takes longer to draw, and whoever looks at a running training has the SVG.
        if self.is_over(at) {
            folder.write_curves_png(&png(&picture)?)?;
        }
        folder.write_checkpoint(at, self.quantize.is_some())?;
        progress.epoch(&metrics, pace.started.elapsed(), best);
        Ok(())
    }

    /// What the validation part says, of the image where its integers are learned with.
    fn validation(&self, network: &Network<f32>) -> Result<Judgement> {
        let &Job { config, vocabulary, training, validation, .. } = self.job;
        if validation.is_empty() {
            return Ok(Judgement { loss: f64::NAN, accuracy: f64::NAN, macro_f1: None });
        }
        match &self.quantize {
            // The image reads counts and not frames, so that the integers are run here.
            Some(Quantize { storage, scales }) if vocabulary.scaling.is_some() => {
                let mut aware = Aware::new(network, *storage, scales.clone(), None)?;
                aware.read(&validation.frames);
                let logits = aware.integers.forward(&ids_of(validation))?;
                let Answered { logits, labels, .. } =
                    answered(&aware.integers.real, logits, validation, config.objective())?;
                let values = config.objective() == Objective::SquaredError;
                Ok(Judgement::of((&logits, &labels, &validation.weights), network.config().outputs, values))
            }
            Some(quantize) => {
                let weights = quantize.weights(network, config, training);
                judge_image(&weights, vocabulary, quantize.storage, validation, config)
            }
            None => judge(network, validation, config.objective()),
        }
    }

    /// Writes the best network so far.
    fn keep(&self, folder: &RunWriter, best: Best) -> Result<()> {
        match &self.quantize {
            Some(Quantize { storage, scales }) => {
                let Scales { embedding: embedding_scales, ranges } = scales.clone();
                folder.write_quantized(&BestQuantized { best, storage: *storage, embedding_scales, ranges })
            }
            None => folder.write_best(&best),
        }
    }
}

impl Quantize {
    /// A network as the quantizer takes it, with the scales of this training.
    fn weights(&self, network: &Network<f32>, config: &TrainConfig, training: &Sequences) -> Weights {
        Weights {
            embedding_scales: self.scales.embedding.clone(),
            // Who has a whole row follows from them.
            occurrences: training.occurrences.clone(),
            tiers: config.model.tiers,
            ..Weights::of(network).ranged(&self.scales.ranges)
        }
    }
}

/// What the answers of a network, fused with the n-grams where there are some, are worth.
pub(crate) fn judge(network: &Network<f32>, sequences: &Sequences, objective: Objective) -> Result<Judgement> {
    let (logits, labels) = answers(network, sequences, objective)?;
    let values = objective == Objective::SquaredError;
    Ok(Judgement::of((&logits, &labels, &sequences.weights), network.config().outputs, values))
}

/// The answers of a network that count, fused with the n-grams where there are some, and their labels, of which those that are NaN do not count.
///
/// # Errors
/// Those of [`Network::forward`].
pub fn answers(network: &Network<f32>, sequences: &Sequences, objective: Objective) -> Result<(Vec<f32>, Vec<f32>)> {
    let Answered { mut logits, labels, fusion } = fused(network, sequences, objective)?;
    if let Some(fusion) = fusion {
        fusion.apply(&mut logits, &sequences.offsets);
    }
    Ok((logits, labels))
}

/// What a network answers by itself, and how that is best fused with its n-grams.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The logits or values of each answer that counts.
    pub logits: Vec<f32>,
    /// The labels; those that are NaN do not count.
    pub labels: Vec<f32>,
    /// `None` without n-grams.
    pub fusion: Option<Fusion>,
}

/// The ids of sequences.
fn ids_of(sequences: &Sequences) -> Vec<&[u32]> {
    sequences.ids.iter().map(Vec::as_slice).collect()
}

/// A network that reads the frames of sequences, where their ids are numbers of frames.
fn reading<'n>(network: &'n Network<f32>, sequences: &Sequences) -> Cow<'n, Network<f32>> {
    if sequences.frames.channels == 0 {
        return Cow::Borrowed(network);
    }
    let mut network = network.clone();
    network.embedding.read(&sequences.frames);
    Cow::Owned(network)
}

/// The largest magnitude of the values of each of a network's convolutions over sequences; nothing without a convolution.
///
/// # Errors
/// Those of [`Network::peaks`].
pub fn peaks(network: &Network<f32>, sequences: &Sequences) -> Result<Vec<f32>> {
    Ok(reading(network, sequences).peaks(&ids_of(sequences))?)
}

/// The network's answers to sequences, and how they are best fused with the n-grams' where there are some.
///
/// # Errors
/// Those of [`Network::forward`].
pub fn fused(network: &Network<f32>, sequences: &Sequences, objective: Objective) -> Result<Answered> {
    let logits = reading(network, sequences).forward(&ids_of(sequences))?;
    answered(network, logits, sequences, objective)
}

/// What a network's logits to sequences are as answers.
fn answered(
    network: &Network<f32>,
    logits: DMatrix<f32>,
    sequences: &Sequences,
    objective: Objective,
) -> Result<Answered> {
    let outputs = network.config().outputs;
    let mut logits = logits.as_slice().to_vec();
    let skipped = sequences.skipped.iter().flatten();
    logits.iter_mut().zip(skipped).for_each(|(logit, skipped)| *logit += skipped);
    let first = if sequences.begins_unread() { network.before_the_first()? } else { Vec::new() };
    let (logits, labels) = sequences.judged(logits, outputs, &first);
    let fusion = fusion((&logits, &labels), sequences, outputs, objective);
    Ok(Answered { logits, labels, fusion })
}

/// How the logits of answers are best fused with the n-grams' of the sequences where there are some; a label counts as often as the weight of its class says.
pub(crate) fn fusion(
    (logits, labels): (&[f32], &[f32]),
    sequences: &Sequences,
    outputs: usize,
    objective: Objective,
) -> Option<Fusion> {
    if sequences.offsets.is_empty() {
        return None;
    }
    let answers = match (objective, outputs) {
        (Objective::SquaredError, _) => Answers::Values,
        (Objective::CrossEntropy, 1) => Answers::Verdict,
        (Objective::CrossEntropy, classes) => Answers::Classes(classes),
    };
    if sequences.weights.is_empty() {
        return Some(fuse(logits, &sequences.offsets, labels, answers));
    }
    let least = f64::from(sequences.weights.iter().copied().fold(f32::INFINITY, f32::min));
    let times = |label: f32| (weight_of(&sequences.weights, label) / least).round().clamp(1.0, MOST_TIMES) as usize;
    let repeated = |values: &[f32], width: usize| -> Vec<f32> {
        let each = values.chunks_exact(width).zip(labels);
        each.flat_map(|(values, &label)| values.repeat(times(label))).collect()
    };
    let (logits, offsets) = (repeated(logits, outputs), repeated(&sequences.offsets, outputs));
    Some(fuse(&logits, &offsets, &repeated(labels, 1), answers))
}

/// Most times that one label counts in the fit of the fusion.
const MOST_TIMES: f64 = 1_000.0;

/// What the answers of the image of some weights are worth, from the engine itself; fused as [`judge`] does.
fn judge_image(
    weights: &Weights,
    vocabulary: &Vocabulary,
    storage: Storage,
    sequences: &Sequences,
    config: &TrainConfig,
) -> Result<Judgement> {
    let bytes = to_image(weights, vocabulary, storage, &Origin::default())?;
    let image = Image::open(&bytes)?;
    let model = Model::new(&image);
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.pack(&mut memory)?;
    let outputs = usize::from(model.outputs());
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
    let mut state = state_for(&model);
    let mut begun = model.session_in(&mut state)?;
    let first: Vec<f32> = (0..outputs).map(|output| begun.logit(output).to_f32()).collect();
    let (mut logits, labels) = sequences.judged(logits.concat(), outputs, &first);
    if let Some(fusion) = fusion((&logits, &labels), sequences, outputs, config.objective()) {
        fusion.apply(&mut logits, &sequences.offsets);
    }
    Ok(Judgement::of((&logits, &labels, &sequences.weights), outputs, config.task.has_values()))
}

/// The optimizer's settings of a run.
pub(crate) fn adam(config: &TrainConfig) -> AdamConfig {
    AdamConfig { weight_decay: config.weight_decay, ..AdamConfig::default() }
}
