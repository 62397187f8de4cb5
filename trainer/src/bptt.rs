//! Back-propagation through time: from a batch to a loss, its gradients, and a step of the optimizer.
//!
//! What depends on a token's id alone is computed once an id ([`crate::network`]'s lookup), if nothing is dropped there.
//! A batch is dealt out to shards of at most sixteen sequences, and rayon runs the shards. Neither the number of shards nor
//! the order in which their gradients are added depends on the number of threads, so that a run gives the same bits on one
//! core and on many. Dropout masks are drawn from (seed, epoch, batch, shard).

use crate::batches::{Batch, generator};
pub use crate::config::Objective;
use crate::learning::loss::Distill;
use crate::network::embedding::SparseColumns;
use crate::network::integers::Integers;
use crate::network::lookup::{Lookup, add_up};
use crate::network::lstm::Kernels;
use crate::network::readout::Readout;
use crate::network::tiers::Tiers;
use crate::network::{Network, NetworkConfig, NetworkError, Pass};
pub use crate::optimizer::Gradients;
use crate::optimizer::{Adam, AdamConfig, Ema};
use crate::real::Real;
use rayon::prelude::*;
use std::fmt;

/// The most sequences of a shard.
const SHARD: usize = 16;

/// Where a batch stands in a run: with the shard's number, the whole seed of its dropout masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, counted from zero.
    pub epoch: u64,
    /// The batch in its epoch, counted from zero.
    pub batch: u64,
}

/// What else the loss depends on besides network and batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossOptions {
    /// The share ε by which targets move towards indifference: y ← (1 - ε)·y + ε / classes.
    pub label_smoothing: f64,
    /// The seed of the dropout masks, or nothing: no dropout, whatever the network's configuration says.
    pub noise: Option<Noise>,
    /// What is to become small.
    pub objective: Objective,
    /// How much the teachers' probabilities count, for sequences that have some; of cross-entropies only.
    pub distill: Option<Distill>,
}

/// The loss of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BatchLoss {
    /// The sum of the answers' losses, in nats or squares; the gradients are those of the mean.
    pub loss_sum: f64,
    /// Answers whose most probable class is the label; none of values.
    pub correct: usize,
    /// Labelled answers of the batch: sequences, or tokens where each step has an answer.
    pub answers: usize,
    /// Tokens of the batch.
    pub tokens: usize,
}

/// Why a step was not taken. The network is unchanged after each of them.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainError {
    /// The batch holds no sequence.
    EmptyBatch,
    /// The batch does not suit the network.
    Network(NetworkError),
    /// A label is not a class of the network.
    LabelOutOfRange {
        /// The label.
        label: f32,
        /// The number of classes.
        classes: usize,
    },
    /// A sequence has another number of labels than the network has answers for it.
    LabelCount {
        /// The labels.
        found: usize,
        /// The answers.
        expected: usize,
    },
    /// The loss is infinite or not a number: the weights have diverged.
    NonFiniteLoss {
        /// The sum of the batch's losses.
        loss: f64,
    },
    /// The loss is finite, but its gradient is not.
    NonFiniteGradient {
        /// The norm of the gradient.
        norm: f64,
    },
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyBatch => write!(f, "the batch holds no sequence"),
            Self::Network(error) => error.fmt(f),
            Self::LabelOutOfRange { label, classes } => {
                write!(f, "label {label} is not one of {classes} classes")
            }
            Self::LabelCount { found, expected } => {
                write!(f, "a sequence has {found} labels where the network has {expected} answers")
            }
            Self::NonFiniteLoss { loss } => {
                write!(f, "the loss is {loss}: training has diverged, try a smaller learning rate")
            }
            Self::NonFiniteGradient { norm } => {
                write!(f, "the gradient's norm is {norm}: training has diverged")
            }
        }
    }
}

impl std::error::Error for TrainError {}

impl From<NetworkError> for TrainError {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

/// The memory of a training step, kept from batch to batch, and the gradients of the last batch.
#[derive(Debug)]
pub struct Workspace<T: Real> {
    passes: Vec<Pass<T>>,
    kernels: Vec<Kernels<T>>,
    lookup: Lookup<T>,
    gradients: Gradients<T>,
}

impl<T: Real> Workspace<T> {
    /// Memory for networks with the shape of `network`.
    pub fn new(network: &Network<T>) -> Self {
        Self {
            passes: Vec::new(),
            kernels: vec![Kernels::default(); network.layers.len()],
            lookup: Lookup::default(),
            gradients: Gradients::zeros(network),
        }
    }

    /// The gradients of the last batch.
    pub fn gradients(&self) -> &Gradients<T> {
        &self.gradients
    }

    /// The gradients of the last batch, to be changed before the optimizer's step.
    pub fn gradients_mut(&mut self) -> &mut Gradients<T> {
        &mut self.gradients
    }

    /// Computes the loss of `batch` and leaves the gradients of its mean in [`Workspace::gradients`].
    ///
    /// One output is a binary logit with labels from 0 to 1 and the binary cross-entropy; several outputs are classes with
    /// labels 0, 1, 2 ... and the cross-entropy of their softmax. Values have the squared error. With a readout of each step the mean is
    /// that over all steps that have a label.
    ///
    /// # Errors
    /// See [`TrainError`]. After an error the gradients are not meaningful.
    pub fn loss_and_gradients(
        &mut self,
        network: &Network<T>,
        batch: &Batch,
        options: &LossOptions,
    ) -> Result<BatchLoss, TrainError> {
        self.run(network, None, batch, options)
    }

    /// The same, with the forward pass in `integers`, of which `network` has the real values.
    fn run(
        &mut self,
        network: &Network<T>,
        integers: Option<&Integers<T>>,
        batch: &Batch,
        options: &LossOptions,
    ) -> Result<BatchLoss, TrainError> {
        if batch.is_empty() {
            return Err(TrainError::EmptyBatch);
        }
        let answers = check_labels(batch, network.config(), options.objective)?;
        for ids in batch.sequences() {
            network.check_ids(ids)?;
        }
        self.kernels.par_iter_mut().zip(&network.layers).for_each(|(kernels, layer)| kernels.update(layer));
        let (features, vocabulary) = network.embedding.table.shape();
        self.gradients.embedding.reset(batch.sequences().flatten().copied(), vocabulary, features);
        // What is dropped between embedding and kernel differs from token to token of the same id. Integers are not looked up,
        // and a bag of embeddings has no kernel to look up.
        let config = network.config();
        let dropped = options.noise.is_some() && (config.dropout > 0.0 || config.word_dropout > 0.0);
        let plain = integers.is_none() && !dropped && !self.kernels.is_empty();
        if plain {
            self.lookup.forward(network, &self.kernels[0], &self.gradients.embedding);
        }

        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(batch.sequence(index).len()));
        let shards = batch.len().div_ceil(SHARD);
        if self.passes.len() < shards {
            self.passes.resize_with(shards, || Pass::new(network));
        }
        let (kernels, lookup) = (&self.kernels, plain.then_some(&self.lookup));
        let passes = &mut self.passes[..shards];
        let losses: Vec<(f64, usize)> = passes
            .par_iter_mut()
            .enumerate()
            .map(|(shard, pass)| {
                // Dealt like cards, so that long and short sequences are spread evenly.
                let indices: Vec<usize> = order.iter().skip(shard).step_by(shards).copied().collect();
                pass.steps.gather(&indices, |index| batch.sequence(index));
                let mut rng =
                    options.noise.map(|noise| generator([noise.seed, noise.epoch, noise.batch, shard as u64]));
                match integers {
                    Some(integers) => pass.forward_integers(integers, rng.as_mut()),
                    None => pass.forward(network, kernels, lookup, rng.as_mut()),
                }
                let loss = loss(pass, batch, network.config(), options, answers);
                pass.backward(network, integers, kernels, plain);
                loss
            })
            .collect();

        let (mut loss_sum, mut correct) = (0.0, 0);
        for (loss, right) in losses {
            loss_sum += loss;
            correct += right;
        }
        let total = BatchLoss { loss_sum, correct, answers, tokens: batch.tokens() };
        if !loss_sum.is_finite() {
            return Err(TrainError::NonFiniteLoss { loss: loss_sum });
        }
        self.add_shards(network, shards, plain);
        Ok(total)
    }

    /// Adds up the gradients of the first `shards` passes, in their order; with `plain`, what lies below the lowest layer's gates
    /// comes from the lookup.
    fn add_shards(&mut self, network: &Network<T>, shards: usize, plain: bool) {
        let Gradients { embedding, layers, head } = &mut self.gradients;
        let passes = &self.passes[..shards];
        for (number, sum) in layers.iter_mut().enumerate() {
            let part = |pass: usize| &passes[pass].layer_gradients[number];
            add_up(sum.recurrent_kernel.as_mut_slice(), |pass| part(pass).recurrent_kernel.as_slice(), shards);
            if number > 0 || !plain {
                add_up(sum.kernel.as_mut_slice(), |pass| part(pass).kernel.as_slice(), shards);
                add_up(sum.bias.as_mut_slice(), |pass| part(pass).bias.as_slice(), shards);
            }
        }
        add_up(head.kernel.as_mut_slice(), |pass| passes[pass].head_gradient.kernel.as_slice(), shards);
        add_up(head.bias.as_mut_slice(), |pass| passes[pass].head_gradient.bias.as_slice(), shards);
        if plain {
            self.lookup.backward(network, &self.kernels[0], passes, &mut layers[0], embedding);
        } else {
            embedding.clear();
            let features = network.embedding.table.nrows();
            for pass in passes {
                SparseColumns::add(embedding, &pass.steps.ids, &pass.input_gradient, features);
            }
        }
    }
}

/// The loss of `batch` and the gradients of its mean, in fresh memory: what the tests of derivatives call.
///
/// # Errors
/// See [`TrainError`].
pub fn loss_and_gradients<T: Real>(
    network: &Network<T>,
    batch: &Batch,
    options: &LossOptions,
) -> Result<(BatchLoss, Gradients<T>), TrainError> {
    let mut workspace = Workspace::new(network);
    let loss = workspace.loss_and_gradients(network, batch, options)?;
    Ok((loss, workspace.gradients))
}

/// The same in the forward pass of integers.
#[cfg(test)]
pub(crate) fn quantized_gradients(
    integers: &Integers<f32>,
    batch: &Batch,
    options: &LossOptions,
) -> Result<(BatchLoss, Gradients<f32>), TrainError> {
    let mut workspace = Workspace::new(&integers.real);
    let loss = workspace.run(&integers.real, Some(integers), batch, options)?;
    Ok((loss, workspace.gradients))
}

/// Checks that every label is one of the objective and that every answer has one; the number of labels.
fn check_labels(batch: &Batch, config: &NetworkConfig, objective: Objective) -> Result<usize, TrainError> {
    let (outputs, each) = (config.outputs, config.readout == Readout::Each);
    let mut labelled = 0;
    for (index, ids) in batch.sequences().enumerate() {
        let labels = batch.labels_of(index);
        let expected = if each { ids.len() } else { 1 };
        if labels.len() != expected {
            return Err(TrainError::LabelCount { found: labels.len(), expected });
        }
        for &label in labels {
            if each && label.is_nan() {
                continue;
            }
            let fits = match (objective, outputs) {
                (Objective::SquaredError, _) => label.is_finite(),
                (_, 1) => (0.0..=1.0).contains(&label),
                _ => label >= 0.0 && label.fract() == 0.0 && label < outputs as f32,
            };
            if !fits {
                return Err(TrainError::LabelOutOfRange { label, classes: outputs.max(2) });
            }
            labelled += 1;
        }
    }
    Ok(labelled)
}

/// Turns the logits of a shard into the sum of its losses and the number of right answers, and leaves dL/dlogits of the mean
/// over all `answers` of the batch in the pass. A step without a label has no loss and no gradient.
fn loss<T: Real>(
    pass: &mut Pass<T>,
    batch: &Batch,
    config: &NetworkConfig,
    options: &LossOptions,
    answers: usize,
) -> (f64, usize) {
    let share = 1.0 / answers.max(1) as f64;
    let (mut sum, mut correct) = (0.0, 0);
    let Pass { steps, logits, logit_gradient, .. } = pass;
    logit_gradient.clear();
    let mut columns = logits.chunks_exact(config.outputs);
    let mut answer = |label: f32, index: usize| {
        let Some(logits) = columns.next() else { return };
        let offset = batch.offsets()[index];
        let distill = options.distill.filter(|_| !batch.targets_of(index).is_empty());
        let shares = distill.map_or([share, 0.0], |distill| [share * (1.0 - distill.share), share * distill.share]);
        let begin = logit_gradient.len();
        let (mut loss, right) = answer_loss(logits, (label, offset), options, shares[0], logit_gradient);
        if let Some(distill) = distill {
            let z = |class: usize| logits[class].as_f64() + f64::from(offset);
            let taught = distill.loss(z, batch.targets_of(index), |class, derivative| {
                logit_gradient[begin + class] += T::of(shares[1] * derivative);
            });
            loss = (1.0 - distill.share) * loss + distill.share * taught;
        }
        sum += loss;
        correct += usize::from(right);
    };
    if config.readout == Readout::Each {
        for step in 0..steps.len() {
            let running = &steps.order[..steps.count(step)];
            running.iter().for_each(|&index| answer(batch.labels_of(index)[step], index));
        }
    } else {
        steps.order.iter().for_each(|&index| answer(batch.labels_of(index)[0], index));
    }
    (sum, correct)
}

/// The loss of one answer, whether it is right, and its part of the gradient behind `gradient`.
///
/// ```text
/// one output:   L = max(z, 0) - z·y + ln(1 + e^{-|z|})       dL/dz   = σ(z) - y,  z with the sequence's offset
/// several:      L = ln Σ e^{z_k} - Σ y_k·z_k                  dL/dz_k = softmax(z)_k - y_k
/// values:       L = Σ (z_k - y)²                              dL/dz_k = 2·(z_k - y)
/// ```
fn answer_loss<T: Real>(
    logits: &[T],
    (label, offset): (f32, f32),
    options: &LossOptions,
    share: f64,
    gradient: &mut Vec<T>,
) -> (f64, bool) {
    let (smoothing, outputs) = (options.label_smoothing, logits.len());
    if label.is_nan() {
        gradient.extend(logits.iter().map(|_| T::zero()));
        return (0.0, false);
    }
    if options.objective == Objective::SquaredError {
        let mut loss = 0.0;
        for z in logits {
            let error = z.as_f64() - f64::from(label);
            loss += error * error;
            gradient.push(T::of(2.0 * error * share));
        }
        return (loss, false);
    }
    if let &[logit] = logits {
        let z = logit.as_f64() + f64::from(offset);
        let y = (1.0 - smoothing) * f64::from(label) + 0.5 * smoothing;
        let probability = 1.0 / (1.0 + (-z).exp());
        gradient.push(T::of((probability - y) * share));
        return (z.max(0.0) - z * y + (-z.abs()).exp().ln_1p(), (z > 0.0) == (label > 0.5));
    }
    let label = label as usize;
    let largest = logits.iter().map(|z| z.as_f64()).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|z| (z.as_f64() - largest).exp()).sum();
    let (mut loss, mut best) = (0.0, 0);
    for (class, z) in logits.iter().enumerate() {
        if *z > logits[best] {
            best = class;
        }
        let z = z.as_f64();
        let hit = if class == label { 1.0 - smoothing } else { 0.0 };
        let y = hit + smoothing / outputs as f64;
        let probability = (z - largest).exp() / total;
        loss += y * (largest + total.ln() - z);
        gradient.push(T::of((probability - y) * share));
    }
    (loss, best == label)
}

/// What one step needs besides the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOptions {
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// The largest global norm of the gradients, or nothing: no clipping.
    pub clip_norm: Option<f64>,
    /// Label smoothing and dropout masks.
    pub loss: LossOptions,
}

/// What a step has seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepStats {
    /// The sum of the answers' losses, in nats or squares.
    pub loss_sum: f64,
    /// Answers whose most probable class is the label; none of values.
    pub correct: usize,
    /// Labelled answers of the batch: sequences, or tokens where each step has an answer.
    pub answers: usize,
    /// Tokens of the batch.
    pub tokens: usize,
    /// The global norm of the gradients before clipping.
    pub gradient_norm: f64,
}

/// A network that learns: its weights, its optimizer, and the memory of its steps.
#[derive(Debug)]
pub struct Trainer<T: Real> {
    /// The network.
    pub network: Network<T>,
    /// The optimizer's state.
    pub adam: Adam<T>,
    /// The moving average of the weights, if one is kept.
    pub ema: Option<Ema<T>>,
    /// The tiers of the embedding, where it has them.
    pub tiers: Option<Tiers<T>>,
    workspace: Workspace<T>,
}

impl<T: Real> Trainer<T> {
    /// A trainer without history.
    pub fn new(network: Network<T>, adam: &AdamConfig) -> Self {
        let adam = Adam::new(&network, adam);
        Self::resume(network, adam, None)
    }

    /// A trainer that goes on where a stored one stopped. The optimizer must fit the network; see [`Adam::fits`].
    pub fn resume(network: Network<T>, adam: Adam<T>, ema: Option<Ema<T>>) -> Self {
        let workspace = Workspace::new(&network);
        Self { network, adam, ema, tiers: None, workspace }
    }

    /// Keeps a moving average of the weights from here on.
    pub fn with_ema(mut self, decay: f64) -> Self {
        self.ema = Some(Ema::new(&self.network, decay));
        self
    }

    /// The network to be judged and exported: the average if one is kept, else the network itself.
    pub fn best_network(&self) -> &Network<T> {
        self.ema.as_ref().map_or(&self.network, Ema::network)
    }
}

/// Learns from one batch: loss, gradients, clipping, one step of Adam, and the moving average.
///
/// # Errors
/// See [`TrainError`]; the trainer's weights and optimizer are then as before.
pub fn train_step<T: Real>(
    trainer: &mut Trainer<T>,
    batch: &Batch,
    options: &StepOptions,
) -> Result<StepStats, TrainError> {
    let loss = trainer.workspace.loss_and_gradients(&trainer.network, batch, &options.loss)?;
    apply(trainer, loss, options)
}

/// Like [`train_step`], but with the forward pass in the `integers` of the trainer's network, which are renewed after the step; see
/// [`crate::quantizer::aware`].
///
/// # Errors
/// As [`train_step`], and a fault when the weights have become too large for integers.
pub fn train_step_quantized(
    trainer: &mut Trainer<f32>,
    integers: &mut Integers<f32>,
    batch: &Batch,
    options: &StepOptions,
) -> anyhow::Result<StepStats> {
    let loss = trainer.workspace.run(&integers.real, Some(integers), batch, &options.loss)?;
    integers.hold(&trainer.network, trainer.workspace.gradients_mut());
    let stats = apply(trainer, loss, options)?;
    integers.update(&trainer.network)?;
    Ok(stats)
}

fn apply<T: Real>(trainer: &mut Trainer<T>, loss: BatchLoss, options: &StepOptions) -> Result<StepStats, TrainError> {
    let gradients = trainer.workspace.gradients_mut();
    let norm = match options.clip_norm {
        Some(limit) => gradients.clip(limit),
        None => gradients.norm(),
    };
    if !norm.is_finite() {
        return Err(TrainError::NonFiniteGradient { norm });
    }
    if let Some(tiers) = &mut trainer.tiers {
        let (features, vocabulary) = trainer.network.embedding.table.shape();
        tiers.share(&mut gradients.embedding, vocabulary, features);
    }
    trainer.adam.step(&mut trainer.network, gradients, options.learning_rate);
    if let Some(ema) = &mut trainer.ema {
        ema.update(&trainer.network);
    }
    let BatchLoss { loss_sum, correct, answers, tokens } = loss;
    Ok(StepStats { loss_sum, correct, answers, tokens, gradient_norm: norm })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    const NOISE: Option<Noise> = Some(Noise { seed: 1, epoch: 2, batch: 3 });

    fn config() -> NetworkConfig {
        NetworkConfig {
            vocabulary: 12,
            embedding: 3,
            units: 4,
            dropout: 0.3,
            recurrent_dropout: 0.3,
            word_dropout: 0.2,
            head_dropout: 0.3,
            ..NetworkConfig::default()
        }
    }

    /// A network whose weights are large enough for every gate to matter.
    fn network(config: &NetworkConfig) -> Network<f64> {
        let mut network = Network::new(config, 7).unwrap();
        network.embedding.table *= 20.0;
        network.head.bias.fill(0.1);
        network
    }

    /// As [`batch`], with a class for each token, and none for the third of a sequence.
    fn tagged(sequences: usize, longest: usize, classes: u32, vocabulary: u32) -> Batch {
        let mut tagged = Batch::new();
        for ids in batch(sequences, longest, classes, vocabulary).sequences() {
            let label =
                |(step, &id): (usize, &u32)| if step == 2 { f32::NAN } else { ((id + step as u32) % classes) as f32 };
            tagged.push_each(ids, &ids.iter().enumerate().map(label).collect::<Vec<_>>());
        }
        tagged
    }

    fn batch(sequences: usize, longest: usize, classes: u32, vocabulary: u32) -> Batch {
        let mut rng = generator([9, 0, 0, 0]);
        let mut batch = Batch::new();
        for index in 0..sequences {
            // The second sequence is empty.
            let length = if index == 1 { 0 } else { rng.random_range(1..=longest) };
            let ids: Vec<u32> = (0..length).map(|_| rng.random_range(0..vocabulary)).collect();
            batch.push(&ids, rng.random_range(0..classes) as f32);
            // The last sequence has no teacher.
            if index + 1 < sequences {
                let p = 0.1 + 0.8 * rng.random::<f32>();
                let others =
                    vec![(1.0 - p) / (classes - 1) as f32; if classes == 2 { 0 } else { classes as usize - 1 }];
                batch.teach(&[&[p], &others[..]].concat());
            }
        }
        batch
    }

    /// Compares every tensor's gradient with central differences, relative to the tensor's whole gradient.
    fn assert_gradients(config: &NetworkConfig, options: &LossOptions) {
        let network = network(config);
        let classes = config.outputs.max(2) as u32;
        let batch = if config.readout == Readout::Each { tagged(6, 5, classes, 12) } else { batch(6, 5, classes, 12) };
        let mean = |network: &Network<f64>| {
            let (loss, _) = loss_and_gradients(network, &batch, options).unwrap();
            loss.loss_sum / loss.answers as f64
        };
        let (_, gradients) = loss_and_gradients(&network, &batch, options).unwrap();
        for (number, (name, gradient)) in gradients.tensors(&network).into_iter().enumerate() {
            let mut changed = network.clone();
            let (mut difference, mut size) = (0.0, 0.0);
            for index in 0..gradient.len() {
                let value = shift(&mut changed, number, index, 1e-5);
                let above = mean(&changed);
                shift(&mut changed, number, index, -2e-5);
                let below = mean(&changed);
                *changed.tensors_mut()[number].1.get_mut(index).unwrap() = value;
                let expected = (above - below) / 2e-5;
                difference += (gradient[index] - expected).powi(2);
                size += expected.powi(2);
            }
            let error = (difference / size).sqrt();
            assert!(size > 0.0 && error < 1e-6, "{name}: relative error {error:e} in {config:?}");
        }
    }

    /// Moves one weight by `by` and returns what it was.
    fn shift(network: &mut Network<f64>, tensor: usize, index: usize, by: f64) -> f64 {
        let mut tensors = network.tensors_mut();
        let weight = &mut tensors[tensor].1[index];
        std::mem::replace(weight, *weight + by)
    }

    #[test]
    fn gradients_equal_finite_differences_for_every_readout_and_depth() {
        for layers in [1, 2] {
            for readout in [Readout::Last, Readout::Mean, Readout::Max, Readout::Attention] {
                let config = NetworkConfig { layers, readout, ..config() };
                for noise in [None, NOISE] {
                    assert_gradients(&config, &LossOptions { noise, ..LossOptions::default() });
                }
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences_for_classes_and_smoothed_labels() {
        for outputs in [1, 3] {
            let config = NetworkConfig { outputs, ..config() };
            assert_gradients(&config, &LossOptions { label_smoothing: 0.1, ..LossOptions::default() });
        }
    }

    #[test]
    fn gradients_equal_finite_differences_with_teachers() {
        let distill = Some(Distill { share: 0.7, temperature: 2.0 });
        for outputs in [1, 3] {
            let config = NetworkConfig { outputs, ..config() };
            assert_gradients(&config, &LossOptions { label_smoothing: 0.1, distill, ..LossOptions::default() });
        }
    }

    #[test]
    fn gradients_equal_finite_differences_for_values_and_for_an_answer_each_step() {
        let values = LossOptions { objective: Objective::SquaredError, ..LossOptions::default() };
        for readout in [Readout::Last, Readout::Max, Readout::Each] {
            for noise in [None, NOISE] {
                assert_gradients(&NetworkConfig { readout, ..config() }, &LossOptions { noise, ..values.clone() });
                let classes = NetworkConfig { readout, outputs: 3, layers: 2, ..config() };
                assert_gradients(&classes, &LossOptions { noise, ..LossOptions::default() });
            }
        }
    }

    #[test]
    fn the_loss_of_a_step_without_a_label_is_not_counted() {
        let config = NetworkConfig { readout: Readout::Each, ..config() };
        let network = network(&config);
        let run = |labels: &[f32]| {
            let mut batch = Batch::new();
            batch.push_each(&[1, 2, 3], labels);
            loss_and_gradients(&network, &batch, &LossOptions::default()).unwrap()
        };
        let (whole, _) = run(&[1.0, 0.0, 1.0]);
        let (part, gradients) = run(&[1.0, f32::NAN, 1.0]);
        assert_eq!((whole.answers, part.answers), (3, 2));
        assert!(part.loss_sum < whole.loss_sum);
        let (none, still) = run(&[f32::NAN; 3]);
        assert_eq!((none.answers, none.loss_sum), (0, 0.0));
        assert!(gradients.norm() > 0.0 && still.norm() == 0.0);
    }

    #[test]
    fn a_batch_equals_its_sequences_one_at_a_time() {
        for readout in [Readout::Last, Readout::Mean, Readout::Max, Readout::Attention] {
            let config = NetworkConfig { layers: 2, readout, ..config() };
            let network = network(&config);
            // More than two shards, and lengths from zero to twenty.
            let batch = batch(37, 20, 2, 12);
            let options = LossOptions::default();
            let (loss, gradients) = loss_and_gradients(&network, &batch, &options).unwrap();
            let mut loss_sum = 0.0;
            let mut correct = 0;
            let mut sums: Vec<_> = gradients.tensors(&network).into_iter().map(|(_, tensor)| tensor * 0.0).collect();
            for (ids, &label) in batch.sequences().zip(batch.labels()) {
                let mut single = Batch::new();
                single.push(ids, label);
                let (loss, gradients) = loss_and_gradients(&network, &single, &options).unwrap();
                loss_sum += loss.loss_sum;
                correct += loss.correct;
                for (sum, (_, part)) in sums.iter_mut().zip(gradients.tensors(&network)) {
                    *sum += part / batch.len() as f64;
                }
            }
            assert!((loss.loss_sum - loss_sum).abs() < 1e-11);
            assert_eq!(loss.correct, correct);
            for ((name, tensor), sum) in gradients.tensors(&network).iter().zip(sums) {
                let error = (tensor - sum).abs().max();
                assert!(error < 1e-13, "{name}: {error:e}");
            }
        }
    }

    fn options(batch: u64) -> StepOptions {
        StepOptions {
            learning_rate: 0.01,
            clip_norm: Some(1.0),
            loss: LossOptions {
                label_smoothing: 0.05,
                noise: Some(Noise { seed: 4, epoch: 0, batch }),
                ..LossOptions::default()
            },
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let dropping = NetworkConfig { vocabulary: 50, embedding: 8, units: 12, layers: 2, ..config() };
        // Without dropout below the kernel, which goes through the lookup, and large enough for many pieces of work.
        let plain =
            NetworkConfig { vocabulary: 3000, dropout: 0.0, word_dropout: 0.0, embedding: 40, ..dropping.clone() };
        for config in [dropping, plain] {
            the_bits_are_the_same(&config);
        }
    }

    fn the_bits_are_the_same(config: &NetworkConfig) {
        let batch = batch(70, 20, 2, config.vocabulary as u32);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let network = Network::<f32>::new(config, 3).unwrap();
                let mut trainer = Trainer::new(network, &AdamConfig::default()).with_ema(0.9);
                let stats: Vec<StepStats> =
                    (0..5).map(|step| train_step(&mut trainer, &batch, &options(step)).unwrap()).collect();
                let sequences: Vec<&[u32]> = batch.sequences().collect();
                let logits = trainer.network.forward(&sequences).unwrap();
                (trainer.network, trainer.adam, trainer.ema, stats, logits)
            })
        };
        let one = run(1);
        assert!(one == run(2));
        assert!(one == run(3));
    }

    #[test]
    fn a_used_workspace_gives_the_bits_of_a_fresh_one() {
        let config = NetworkConfig { layers: 2, readout: Readout::Max, ..config() };
        let network = network(&config);
        let mut workspace = Workspace::new(&network);
        let noisy = LossOptions { noise: NOISE, ..LossOptions::default() };
        for (sequences, longest) in [(40, 12), (3, 5), (20, 17), (1, 3)] {
            for options in [&LossOptions::default(), &noisy] {
                let batch = batch(sequences, longest, 2, 12);
                let used = workspace.loss_and_gradients(&network, &batch, options).unwrap();
                let fresh = loss_and_gradients(&network, &batch, options).unwrap();
                assert_eq!(used, fresh.0);
                assert_eq!(*workspace.gradients(), fresh.1);
            }
        }
    }

    #[test]
    fn a_resumed_trainer_continues_with_the_same_bits() {
        let batch = batch(20, 9, 2, 12);
        let network = Network::<f32>::new(&config(), 3).unwrap();
        let mut whole = Trainer::new(network, &AdamConfig::default()).with_ema(0.99);
        for step in 0..3 {
            train_step(&mut whole, &batch, &options(step)).unwrap();
        }
        let stored = postcard::to_stdvec(&(&whole.network, &whole.adam, &whole.ema)).unwrap();
        let (network, adam, ema) = postcard::from_bytes(&stored).unwrap();
        let mut resumed = Trainer::resume(network, adam, ema);
        for step in 3..6 {
            train_step(&mut whole, &batch, &options(step)).unwrap();
            train_step(&mut resumed, &batch, &options(step)).unwrap();
        }
        assert_eq!(resumed.network, whole.network);
        assert_eq!(resumed.best_network(), whole.best_network());
    }

    #[test]
    fn training_learns_which_token_came_first() {
        let mut rng = generator([5, 0, 0, 0]);
        let mut batch = Batch::new();
        for _ in 0..64 {
            let label = rng.random_range(0..2_u32);
            let mut ids = vec![label];
            ids.extend((0..rng.random_range(3..8)).map(|_| rng.random_range(2..12_u32)));
            batch.push(&ids, label as f32);
        }
        let config = NetworkConfig { vocabulary: 12, embedding: 8, units: 12, ..Default::default() };
        let network = Network::<f32>::new(&config, 1).unwrap();
        let mut trainer = Trainer::new(network, &AdamConfig::default());
        let options = StepOptions { learning_rate: 0.02, clip_norm: None, loss: LossOptions::default() };
        for _ in 0..60 {
            train_step(&mut trainer, &batch, &options).unwrap();
        }
        let stats = train_step(&mut trainer, &batch, &options).unwrap();
        assert_eq!(stats.correct, 64);
        assert!(stats.loss_sum / 64.0 < 0.05, "{}", stats.loss_sum / 64.0);
    }

    #[test]
    fn what_cannot_be_learned_is_refused_and_changes_nothing() {
        let network = Network::<f32>::new(&config(), 3).unwrap();
        let mut trainer = Trainer::new(network.clone(), &AdamConfig::default());
        let mut refused = |ids: &[u32], label| {
            let mut batch = Batch::new();
            batch.push(ids, label);
            train_step(&mut trainer, &batch, &options(0)).unwrap_err()
        };
        assert_eq!(refused(&[12], 0.0), TrainError::Network(NetworkError::TokenOutOfRange { id: 12, vocabulary: 12 }));
        assert_eq!(refused(&[1], 2.0), TrainError::LabelOutOfRange { label: 2.0, classes: 2 });
        assert!(matches!(refused(&[1], f32::NAN), TrainError::LabelOutOfRange { .. }));
        let each = Network::<f32>::new(&NetworkConfig { readout: Readout::Each, ..config() }, 3).unwrap();
        let mut batch = Batch::new();
        batch.push(&[1, 2], 0.0);
        let error = loss_and_gradients(&each, &batch, &LossOptions::default()).unwrap_err();
        assert_eq!(error, TrainError::LabelCount { found: 1, expected: 2 });
        let empty = train_step(&mut trainer, &Batch::new(), &options(0)).unwrap_err();
        assert_eq!(empty, TrainError::EmptyBatch);
        assert_eq!(trainer.network, network);
    }

    #[test]
    fn a_loss_that_is_not_finite_is_named_and_not_learned() {
        let mut batch = Batch::new();
        batch.push(&[1, 2], 1.0);
        for value in [f32::NAN, f32::INFINITY] {
            let mut network = Network::<f32>::new(&config(), 3).unwrap();
            network.head.bias[0] = value;
            let mut trainer = Trainer::new(network, &AdamConfig::default());
            let error = train_step(&mut trainer, &batch, &options(0)).unwrap_err();
            assert!(matches!(error, TrainError::NonFiniteLoss { .. }), "{error:?}");
            assert_eq!(trainer.adam.steps(), 0);
        }
        let mut network = Network::<f32>::new(&config(), 3).unwrap();
        network.embedding.table.fill(f32::NAN);
        let mut trainer = Trainer::new(network, &AdamConfig::default());
        assert!(train_step(&mut trainer, &batch, &options(0)).is_err());
        assert_eq!(trainer.adam.steps(), 0);
    }
}
