//! Back-propagation through time: from a batch to a loss, its gradients, and a step of the optimizer.
//!
//! What depends on a token's id alone is computed once an id ([`crate::network`]'s lookup), if nothing is dropped there.
//! A batch is dealt out to shards of at most sixteen sequences, and rayon runs the shards. Neither the number of shards nor
//! the order in which their gradients are added depends on the number of threads, so that a run gives the same bits on one
//! core and on many. Dropout masks are drawn from (seed, epoch, batch, shard).

use crate::batches::{Batch, Carried, generator};
pub use crate::config::Objective;
use crate::config::chain::rhythm::Rhythm;
use crate::learning::loss::{Distill, loss_of_values};
use crate::metrics::weight_of;
use crate::network::embedding::SparseColumns;
use crate::network::integers::Integers;
use crate::network::lookup::{Lookup, add_up};
use crate::network::pass::Pass;
use crate::network::recurrent::Kernels;
use crate::network::steps::Steps;
use crate::network::tiers::Tiers;
use crate::network::{Network, NetworkConfig, NetworkError};
pub use crate::optimizer::Gradients;
use crate::optimizer::{Adam, AdamConfig, Ema};
use crate::real::{Real, add};
use nalgebra::DMatrix;
use rayon::prelude::*;

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
    /// How much the teachers' probabilities count, for sequences that have some.
    pub distill: Option<Distill>,
    /// How much a label of each class counts; empty where all count alike.
    pub class_weights: Vec<f32>,
}

/// The loss of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BatchLoss {
    /// The sum of the answers' losses, in nats or squares, each times its class's weight; the gradients are those of this sum divided by the number of answers.
    pub loss_sum: f64,
    /// Answers whose most probable class is the label; none of values.
    pub correct: usize,
    /// Labelled answers of the batch: sequences, or tokens where each step has an answer.
    pub answers: usize,
    /// Tokens of the batch.
    pub tokens: usize,
}

/// Why a step was not taken. The network is unchanged after each of them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// The batch holds no sequence.
    #[error("the batch holds no sequence")]
    EmptyBatch,
    /// The batch does not suit the network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A label is not a class of the network.
    #[error("label {label} is not one of {classes} classes")]
    LabelOutOfRange {
        /// The label.
        label: f32,
        /// The number of classes.
        classes: usize,
    },
    /// A sequence has another number of labels than the network has answers for it.
    #[error("a sequence has {found} labels where the network has {expected} answers")]
    LabelCount {
        /// The labels.
        found: usize,
        /// The answers.
        expected: usize,
    },
    /// The loss is infinite or not a number: the weights have diverged.
    #[error("the loss is {loss}: training has diverged, try a smaller learning rate")]
    NonFiniteLoss {
        /// The sum of the batch's losses.
        loss: f64,
    },
    /// The loss is finite, but its gradient is not.
    #[error("the gradient's norm is {norm}: training has diverged")]
    NonFiniteGradient {
        /// The norm of the gradient.
        norm: f64,
    },
}

/// Loss and right answers of a shard, and of each of its sequences that is carried the states of all layers.
type ShardLoss<T> = ((f64, usize), Vec<(usize, Vec<Vec<T>>)>);

/// The memory of a training step, kept from batch to batch, and the gradients of the last batch.
#[derive(Debug)]
pub struct Workspace<T: Real> {
    passes: Vec<Pass<T>>,
    kernels: Vec<Kernels<T>>,
    lookup: Lookup<T>,
    gradients: Gradients<T>,
    /// Of each stream that is carried the states of all layers.
    states: Vec<Vec<Vec<T>>>,
}

impl<T: Real> Workspace<T> {
    /// Memory for networks with the shape of `network`.
    pub fn new(network: &Network<T>) -> Self {
        Self {
            passes: Vec::new(),
            kernels: vec![Kernels::default(); network.layers.len()],
            lookup: Lookup::default(),
            gradients: Gradients::zeros(network),
            states: Vec::new(),
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

    /// What the only batch so far left of dL/dx: calls `each` with how many steps before its sequence's last a vector of so many `features` lies, and the
    /// vector. Of a network that reads samples.
    pub(crate) fn for_each_input_gradient(&self, features: usize, each: &mut dyn FnMut(usize, &[T])) {
        for pass in &self.passes {
            for (sequence, &length) in pass.steps.lengths().iter().enumerate() {
                for step in 0..length {
                    let column = pass.steps.token(step, sequence);
                    each(length - 1 - step, &pass.gradient[features * column..][..features]);
                }
            }
        }
    }

    /// Computes the loss of `batch` and leaves the gradients of its mean in [`Workspace::gradients`].
    ///
    /// One output is a binary logit with labels from 0 to 1 and the binary cross-entropy; several outputs are classes with
    /// labels 0, 1, 2 ... and the cross-entropy of their softmax. Values have the squared error. Without a pooling the mean is that over
    /// all steps that have a label.
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
        self.kernels.par_iter_mut().zip(&network.layers).for_each(|(kernels, layer)| layer.pack(kernels));
        let (features, vocabulary) = network.embedding.table.shape();
        let samples = network.config().reads_samples();
        let learned = batch.sequences().flatten().copied().filter(|_| !samples);
        self.gradients.embedding.reset(learned, vocabulary, features);
        // What is dropped between embedding and kernel differs from token to token of the same id. Integers are not looked up,
        // and not every layer has a kernel to look up.
        let chain = &network.config().chain;
        let dropping = chain.word_dropout > 0.0 || chain.layers.first().is_some_and(|layer| layer.dropout() > 0.0);
        let plain = integers.is_none()
            && !samples
            && !(options.noise.is_some() && dropping)
            && network.layers.first().zip(self.kernels.first()).is_some_and(|(layer, kernels)| {
                self.lookup.forward(&network.embedding, layer, kernels, &self.gradients.embedding)
            });

        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(batch.sequence(index).len()));
        let shards = batch.len().div_ceil(SHARD);
        if self.passes.len() < shards {
            self.passes.resize_with(shards, || Pass::new(network));
        }
        let (kernels, lookup) = (&self.kernels, plain.then_some(&self.lookup));
        let passes = &mut self.passes[..shards];
        let carried = batch.carried();
        let states = &self.states;
        let losses: Vec<ShardLoss<T>> = passes
            .par_iter_mut()
            .enumerate()
            .map(|(shard, pass)| {
                // Dealt like cards, so that long and short sequences are spread evenly.
                let indices: Vec<usize> = order.iter().skip(shard).step_by(shards).copied().collect();
                pass.steps.gather(&indices, |index| batch.sequence(index));
                if let Some(Carried { streams, go_on }) = carried {
                    let state = |index: usize| states[streams[index]].as_slice();
                    pass.go_on(network, go_on.then_some(&state));
                }
                let mut rng =
                    options.noise.map(|noise| generator([noise.seed, noise.epoch, noise.batch, shard as u64]));
                match integers {
                    Some(integers) => pass.forward_integers(integers, rng.as_mut()),
                    None => pass.forward(network, kernels, lookup, rng.as_mut()),
                }
                let loss = loss(pass, network, batch, options, answers);
                // The way back changes what the layers have left.
                let states = carried.map_or(Vec::new(), |_| pass.states(network));
                pass.backward(network, integers, kernels, plain);
                (loss, states)
            })
            .collect();

        let (mut loss_sum, mut correct) = (0.0, 0);
        for ((loss, right), states) in losses {
            loss_sum += loss;
            correct += right;
            let Some(Carried { streams, .. }) = carried else { continue };
            for (index, state) in states {
                let stream = streams[index];
                if self.states.len() <= stream {
                    self.states.resize(stream + 1, Vec::new());
                }
                self.states[stream] = state;
            }
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
        let Gradients { embedding, layers } = &mut self.gradients;
        let passes = &self.passes[..shards];
        for (number, layer) in layers.iter_mut().enumerate() {
            let parts: Vec<Vec<(&str, &DMatrix<T>)>> =
                passes.iter().map(|pass| pass.stages[number].sums.tensors()).collect();
            for (place, (name, sum)) in layer.tensors_mut().into_iter().enumerate() {
                let looked_up = plain && number == 0 && ["kernel", "bias"].contains(&name);
                if !looked_up {
                    add_up(sum.as_mut_slice(), |pass| parts[pass][place].1.as_slice(), shards);
                }
            }
        }
        if plain {
            let shards: Vec<(&Steps, &[T])> =
                passes.iter().map(|pass| (&pass.steps, pass.gate_gradients(network))).collect();
            self.lookup.backward(&network.embedding, &self.kernels[0], &shards, &mut layers[0], embedding);
        } else if !network.config().reads_samples() {
            embedding.clear();
            let features = network.embedding.table.nrows();
            for pass in passes {
                SparseColumns::add(embedding, &pass.steps.ids, &pass.gradient, features);
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
    let (outputs, each) = (config.outputs, config.answers_each_step());
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
    network: &Network<T>,
    batch: &Batch,
    options: &LossOptions,
    answers: usize,
) -> (f64, usize) {
    let share = 1.0 / answers.max(1) as f64;
    let (mut sum, mut correct) = (0.0, 0);
    let mut gradient = std::mem::take(&mut pass.gradient);
    gradient.clear();
    let (steps, config) = (&pass.steps, network.config());
    let (top, rhythm) = pass.top(network);
    let logits = pass.logits(network);
    let each = config.answers_each_step();
    let mut answer = |label: f32, index: usize, step: usize, column: usize| {
        let Some(logits) = logits.chunks_exact(config.outputs).nth(column) else { return };
        let offset = batch.offsets()[index];
        let said = batch.targets_of(index);
        let said =
            if each { said.get(step * logits.len()..(step + 1) * logits.len()).unwrap_or_default() } else { said };
        let distill = options.distill.filter(|_| !label.is_nan() && said.first().is_some_and(|said| !said.is_nan()));
        let weight = if label.is_nan() { 1.0 } else { weight_of(&options.class_weights, label) };
        let share = share * weight;
        let shares = distill.map_or([share, 0.0], |distill| [share * (1.0 - distill.share), share * distill.share]);
        let begin = gradient.len();
        let (mut loss, right) = answer_loss(logits, (label, offset), options, shares[0], &mut gradient);
        if let Some(distill) = distill {
            let z = |class: usize| logits[class].as_f64() + f64::from(offset);
            let mut add = |class: usize, derivative| gradient[begin + class] += T::of(shares[1] * derivative);
            let taught = match options.objective {
                Objective::CrossEntropy => distill.loss(z, said, &mut add),
                Objective::SquaredError => loss_of_values(z, said, &mut add),
            };
            loss = (1.0 - distill.share) * loss + distill.share * taught;
        }
        sum += weight * loss;
        correct += usize::from(right);
    };
    if each {
        for step in 0..steps.len() {
            let running = &steps.order[..steps.count(step)];
            for (at, &index) in running.iter().enumerate() {
                // A configuration has no task in which a step without an answer would be judged.
                let Some(above) = steps.above(step, rhythm) else { continue };
                answer(batch.labels_of(index)[step], index, step, top.token(above, at));
            }
        }
        if !rhythm.is_each() {
            gradient = held(&gradient, (steps, top), rhythm, config.outputs);
        }
    } else {
        let answers = steps.order.iter().enumerate();
        answers.for_each(|(column, &index)| answer(batch.labels_of(index)[0], index, 0, column));
    }
    pass.gradient = gradient;
    (sum, correct)
}

/// The gradients of answers that hold until the next, by those of all steps that have one: the sums of those of all their steps.
fn held<T: Real>(gradient: &[T], (steps, top): (&Steps, &Steps), rhythm: Rhythm, outputs: usize) -> Vec<T> {
    let mut sums = vec![T::zero(); outputs * top.tokens()];
    let mut answers = gradient.chunks_exact(outputs);
    for step in 0..steps.len() {
        let Some(above) = steps.above(step, rhythm) else { continue };
        for (at, answer) in (0..steps.count(step)).zip(answers.by_ref()) {
            add(&mut sums[outputs * top.token(above, at)..][..outputs], answer);
        }
    }
    sums
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

/// Like [`train_step`], but with the forward pass in the `integers` of the trainer's network. They are not those of the network after the step: who
/// calls this renews them, see [`crate::quantizer::aware`].
///
/// # Errors
/// As [`train_step`].
pub(crate) fn train_step_integers(
    trainer: &mut Trainer<f32>,
    integers: &Integers<f32>,
    batch: &Batch,
    options: &StepOptions,
) -> Result<StepStats, TrainError> {
    let loss = trainer.workspace.run(&integers.real, Some(integers), batch, &options.loss)?;
    integers.hold(&trainer.network.embedding, &mut trainer.workspace.gradients_mut().embedding);
    apply(trainer, loss, options)
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
mod tests;
