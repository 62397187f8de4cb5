//! Back-propagation through time: from a batch to a loss, its gradients, and a step of the optimizer.
//!
//! A batch is dealt out to shards of at most sixteen sequences, and rayon runs the shards. Neither the number of shards nor
//! the order in which their gradients are added depends on the number of threads, so that a run gives the same bits on one
//! core and on many. Dropout masks are drawn from (seed, epoch, batch, shard).

use crate::batches::{Batch, generator};
use crate::network::embedding::SparseColumns;
use crate::network::lstm::Transposed;
use crate::network::{Network, NetworkError, Pass};
pub use crate::optimizer::Gradients;
use crate::optimizer::{Adam, AdamConfig, Ema};
use crate::quantizer::aware::Integers;
use crate::real::{Real, add};
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
}

/// The loss of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BatchLoss {
    /// The sum of the sequences' losses in nats; the gradients are those of the mean.
    pub loss_sum: f64,
    /// Sequences whose most probable class is the label.
    pub correct: usize,
    /// Sequences of the batch.
    pub sequences: usize,
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
    transposed: Vec<Transposed<T>>,
    gradients: Gradients<T>,
}

impl<T: Real> Workspace<T> {
    /// Memory for networks with the shape of `network`.
    pub fn new(network: &Network<T>) -> Self {
        Self {
            passes: Vec::new(),
            transposed: vec![Transposed::default(); network.layers.len()],
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
    /// labels 0, 1, 2 ... and the cross-entropy of their softmax.
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
        check_labels(batch, network.config().outputs)?;
        for ids in batch.sequences() {
            network.check_ids(ids)?;
        }
        for (layer, transposed) in network.layers.iter().zip(&mut self.transposed) {
            transposed.update(layer);
        }

        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(batch.sequence(index).len()));
        let shards = batch.len().div_ceil(SHARD);
        if self.passes.len() < shards {
            self.passes.resize_with(shards, || Pass::new(network));
        }
        let transposed = &self.transposed;
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
                    None => pass.forward(network, rng.as_mut()),
                }
                let loss = loss(pass, batch, options.label_smoothing);
                pass.backward(network, integers, transposed);
                loss
            })
            .collect();

        let (mut loss_sum, mut correct) = (0.0, 0);
        for (loss, right) in losses {
            loss_sum += loss;
            correct += right;
        }
        let total = BatchLoss { loss_sum, correct, sequences: batch.len(), tokens: batch.tokens() };
        if !loss_sum.is_finite() {
            return Err(TrainError::NonFiniteLoss { loss: loss_sum });
        }
        self.add_shards(network, shards);
        Ok(total)
    }

    /// Adds up the gradients of the first `shards` passes, in their order.
    fn add_shards(&mut self, network: &Network<T>, shards: usize) {
        let Gradients { embedding, layers, head } = &mut self.gradients;
        let passes = &self.passes[..shards];
        let (features, vocabulary) = network.embedding.table.shape();
        embedding.reset(passes.iter().flat_map(|pass| pass.steps.ids.iter().copied()), vocabulary, features);
        for (number, pass) in passes.iter().enumerate() {
            SparseColumns::add(embedding, &pass.steps.ids, &pass.input_gradient, features);
            let put = |sum: &mut [T], part: &[T]| {
                if number == 0 { sum.copy_from_slice(part) } else { add(sum, part) }
            };
            for (sum, part) in layers.iter_mut().zip(&pass.layer_gradients) {
                put(sum.kernel.as_mut_slice(), part.kernel.as_slice());
                put(sum.recurrent_kernel.as_mut_slice(), part.recurrent_kernel.as_slice());
                put(sum.bias.as_mut_slice(), part.bias.as_slice());
            }
            put(head.kernel.as_mut_slice(), pass.head_gradient.kernel.as_slice());
            put(head.bias.as_mut_slice(), pass.head_gradient.bias.as_slice());
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

/// Checks that every label belongs to one of the network's classes.
fn check_labels(batch: &Batch, outputs: usize) -> Result<(), TrainError> {
    for &label in batch.labels() {
        let fits = match outputs {
            1 => (0.0..=1.0).contains(&label),
            _ => label >= 0.0 && label.fract() == 0.0 && label < outputs as f32,
        };
        if !fits {
            return Err(TrainError::LabelOutOfRange { label, classes: outputs.max(2) });
        }
    }
    Ok(())
}

/// Turns the logits of a shard into the sum of its losses and the number of right answers, and leaves dL/dlogits of the mean
/// over the whole batch in the pass.
///
/// ```text
/// one output:   L = max(z, 0) - z·y + ln(1 + e^{-|z|})       dL/dz   = σ(z) - y,  z with the sequence's offset
/// several:      L = ln Σ e^{z_k} - Σ y_k·z_k                  dL/dz_k = softmax(z)_k - y_k
/// ```
fn loss<T: Real>(pass: &mut Pass<T>, batch: &Batch, smoothing: f64) -> (f64, usize) {
    let outputs = pass.logits.len() / pass.steps.sequences();
    let share = 1.0 / batch.len() as f64;
    let (mut sum, mut correct) = (0.0, 0);
    pass.logit_gradient.clear();
    for (logits, &index) in pass.logits.chunks_exact(outputs).zip(&pass.steps.order) {
        let label = batch.labels()[index];
        if let &[logit] = logits {
            let z = logit.as_f64() + f64::from(batch.offsets()[index]);
            let y = (1.0 - smoothing) * f64::from(label) + 0.5 * smoothing;
            sum += z.max(0.0) - z * y + (-z.abs()).exp().ln_1p();
            correct += usize::from((z > 0.0) == (label > 0.5));
            let probability = 1.0 / (1.0 + (-z).exp());
            pass.logit_gradient.push(T::of((probability - y) * share));
        } else {
            let label = label as usize;
            let largest = logits.iter().map(|z| z.as_f64()).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|z| (z.as_f64() - largest).exp()).sum();
            let mut best = 0;
            for (class, z) in logits.iter().enumerate() {
                if *z > logits[best] {
                    best = class;
                }
                let z = z.as_f64();
                let hit = if class == label { 1.0 - smoothing } else { 0.0 };
                let y = hit + smoothing / outputs as f64;
                let probability = (z - largest).exp() / total;
                sum += y * (largest + total.ln() - z);
                pass.logit_gradient.push(T::of((probability - y) * share));
            }
            correct += usize::from(best == label);
        }
    }
    (sum, correct)
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
    /// The sum of the sequences' losses in nats.
    pub loss_sum: f64,
    /// Sequences whose most probable class is the label.
    pub correct: usize,
    /// Sequences of the batch.
    pub sequences: usize,
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
        Self { network, adam, ema, workspace }
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
    trainer.adam.step(&mut trainer.network, gradients, options.learning_rate);
    if let Some(ema) = &mut trainer.ema {
        ema.update(&trainer.network);
    }
    let BatchLoss { loss_sum, correct, sequences, tokens } = loss;
    Ok(StepStats { loss_sum, correct, sequences, tokens, gradient_norm: norm })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkConfig;
    use crate::network::readout::Readout;
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

    fn batch(sequences: usize, longest: usize, classes: u32, vocabulary: u32) -> Batch {
        let mut rng = generator([9, 0, 0, 0]);
        let mut batch = Batch::new();
        for index in 0..sequences {
            // The second sequence is empty.
            let length = if index == 1 { 0 } else { rng.random_range(1..=longest) };
            let ids: Vec<u32> = (0..length).map(|_| rng.random_range(0..vocabulary)).collect();
            batch.push(&ids, rng.random_range(0..classes) as f32);
        }
        batch
    }

    /// Compares every tensor's gradient with central differences, relative to the tensor's whole gradient.
    fn assert_gradients(config: &NetworkConfig, options: &LossOptions) {
        let network = network(config);
        let batch = batch(6, 5, config.outputs.max(2) as u32, 12);
        let mean = |network: &Network<f64>| {
            let (loss, _) = loss_and_gradients(network, &batch, options).unwrap();
            loss.loss_sum / batch.len() as f64
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
            for readout in [Readout::Last, Readout::Mean, Readout::Max] {
                let config = NetworkConfig { layers, readout, ..config() };
                for noise in [None, NOISE] {
                    assert_gradients(&config, &LossOptions { label_smoothing: 0.0, noise });
                }
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences_for_classes_and_smoothed_labels() {
        for outputs in [1, 3] {
            let config = NetworkConfig { outputs, ..config() };
            assert_gradients(&config, &LossOptions { label_smoothing: 0.1, noise: None });
        }
    }

    #[test]
    fn a_batch_equals_its_sequences_one_at_a_time() {
        for readout in [Readout::Last, Readout::Mean, Readout::Max] {
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
            loss: LossOptions { label_smoothing: 0.05, noise: Some(Noise { seed: 4, epoch: 0, batch }) },
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let config = NetworkConfig { vocabulary: 50, embedding: 8, units: 12, layers: 2, ..config() };
        let batch = batch(70, 20, 2, 50);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let network = Network::<f32>::new(&config, 3).unwrap();
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
        let noisy = LossOptions { label_smoothing: 0.0, noise: NOISE };
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
        let mut refused = |ids: &[u32], label: f32| {
            let mut batch = Batch::new();
            batch.push(ids, label);
            train_step(&mut trainer, &batch, &options(0)).unwrap_err()
        };
        assert_eq!(refused(&[12], 0.0), TrainError::Network(NetworkError::TokenOutOfRange { id: 12, vocabulary: 12 }));
        assert_eq!(refused(&[1], 2.0), TrainError::LabelOutOfRange { label: 2.0, classes: 2 });
        assert!(matches!(refused(&[1], f32::NAN), TrainError::LabelOutOfRange { .. }));
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
