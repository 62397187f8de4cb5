//! The optimizer: Adam with decoupled weight decay, a learning-rate schedule, clipping by the global norm, and an
//! exponential moving average of the weights.

use crate::network::Network;
use crate::network::embedding::SparseColumns;
use crate::network::layer::Layer;
use crate::products::vectorized;
use crate::real::{Real, tensor};
use nalgebra::DMatrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The gradient of a loss with respect to every weight of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T: Real> {
    /// The touched columns of the embedding table.
    pub embedding: SparseColumns<T>,
    /// The layers, in the shapes of their weights.
    pub layers: Vec<Layer<T>>,
}

impl<T: Real> Gradients<T> {
    /// Gradients of zero for networks with the shape of `network`.
    pub fn zeros(network: &Network<T>) -> Self {
        Self { embedding: SparseColumns::default(), layers: network.zero_layers() }
    }

    /// All gradients but the embedding's, in the order of [`Network::tensors`].
    pub fn dense(&self) -> Vec<&DMatrix<T>> {
        let mut tensors = Vec::new();
        self.layers.iter().for_each(|layer| layer.for_each_tensor(&mut |_, tensor| tensors.push(tensor)));
        tensors
    }

    /// All gradients but the embedding's, to be changed, in the order of [`Network::tensors`].
    pub fn dense_mut(&mut self) -> Vec<&mut DMatrix<T>> {
        let mut tensors = Vec::new();
        self.layers.iter_mut().for_each(|layer| layer.for_each_tensor_mut(&mut |_, tensor| tensors.push(tensor)));
        tensors
    }

    /// All gradients as whole matrices, with the names and in the order of [`Network::tensors`].
    pub fn tensors(&self, network: &Network<T>) -> Vec<(String, DMatrix<T>)> {
        let (features, vocabulary) = network.embedding.table.shape();
        let embedding = self.embedding.dense(features, vocabulary);
        let values = std::iter::once(embedding).chain(self.dense().into_iter().cloned());
        network.tensors().into_iter().map(|(name, _)| name).zip(values).collect()
    }

    /// The Euclidean norm over all gradients, the embedding's included, summed in `f64` in a fixed order.
    pub fn norm(&self) -> f64 {
        let piece = |values: &[T]| {
            // Sums side by side, which the compiler can keep in vector registers.
            let mut sums = [0.0; 32];
            let mut chunks = values.chunks_exact(32);
            for chunk in &mut chunks {
                for (sum, value) in sums.iter_mut().zip(chunk) {
                    *sum += value.as_f64() * value.as_f64();
                }
            }
            let rest: f64 = chunks.remainder().iter().map(|v| v.as_f64() * v.as_f64()).sum();
            sums.iter().sum::<f64>() + rest
        };
        let squares = |values: &[T]| -> f64 {
            let pieces: Vec<f64> = values.par_chunks(ELEMENTS).map(|values| vectorized(|| piece(values))).collect();
            pieces.into_iter().sum()
        };
        let mut sum = squares(&self.embedding.values);
        for tensor in self.dense() {
            sum += squares(tensor.as_slice());
        }
        sum.sqrt()
    }

    /// Multiplies all gradients with `factor`.
    pub fn scale(&mut self, factor: f64) {
        let factor = T::of(factor);
        self.embedding.values.iter_mut().for_each(|value| *value *= factor);
        for tensor in self.dense_mut() {
            tensor.as_mut_slice().iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// Scales the gradients so that their norm is at most `limit`, and returns the norm they had before.
    pub fn clip(&mut self, limit: f64) -> f64 {
        let norm = self.norm();
        if norm > limit {
            self.scale(limit / norm);
        }
        norm
    }
}

/// The constants of Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// Decay of the mean of the gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// What is added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a weight that a step with learning rate one would take away, apart from the gradient. Biases do not decay, and
    /// columns of the embedding only when a batch touches them.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weight_decay: 0.0 }
    }
}

/// The two running means of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real")]
struct Moments<T: Real> {
    #[serde(with = "tensor")]
    mean: DMatrix<T>,
    #[serde(with = "tensor")]
    square: DMatrix<T>,
}

/// Adam with bias correction and decoupled weight decay.
///
/// ```text
/// m ← β₁·m + (1 - β₁)·g          v ← β₂·v + (1 - β₂)·g²
/// w ← w - lr·( (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε) + decay·w )
/// ```
///
/// The embedding is updated lazily: the means and the weights of a column change only in steps whose batch holds its token,
/// while t counts all steps. A rare token thus keeps its last direction instead of drifting on it between two occurrences,
/// and a step costs what the batch costs and not what the vocabulary costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real")]
pub struct Adam<T: Real> {
    config: AdamConfig,
    steps: u64,
    /// One a tensor, in the order of [`Network::tensors`].
    moments: Vec<Moments<T>>,
}

/// The constants of one step, in the number type of the weights.
#[derive(Clone, Copy)]
struct Rates<T> {
    beta1: T,
    beta2: T,
    /// lr / (1 - β₁ᵗ)
    rate: T,
    /// 1 / √(1 - β₂ᵗ)
    correction: T,
    epsilon: T,
    /// 1 - lr·decay
    keep: T,
}

impl<T: Real> Adam<T> {
    /// An optimizer without history for networks with the shape of `network`.
    pub fn new(network: &Network<T>, config: &AdamConfig) -> Self {
        let zeros = |tensor: &DMatrix<T>| DMatrix::zeros(tensor.nrows(), tensor.ncols());
        let moments = network
            .tensors()
            .into_iter()
            .map(|(_, tensor)| Moments { mean: zeros(tensor), square: zeros(tensor) })
            .collect();
        Self { config: config.clone(), steps: 0, moments }
    }

    /// The number of steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether this optimizer's state has the shapes of `network`: to be asked when both come from a file.
    pub fn fits(&self, network: &Network<T>) -> bool {
        let tensors = network.tensors();
        tensors.len() == self.moments.len()
            && tensors.iter().zip(&self.moments).all(|((_, tensor), moments)| {
                tensor.shape() == moments.mean.shape() && tensor.shape() == moments.square.shape()
            })
    }

    /// Takes one step with the given learning rate.
    ///
    /// # Panics
    /// If the network has other shapes than the one this optimizer was made for; see [`Adam::fits`].
    pub fn step(&mut self, network: &mut Network<T>, gradients: &Gradients<T>, rate: f64) {
        assert!(self.fits(network), "the optimizer was made for another network");
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let exponent = self.steps as f64;
        let rates = Rates {
            beta1: T::of(beta1),
            beta2: T::of(beta2),
            rate: T::of(rate / (1.0 - beta1.powf(exponent))),
            correction: T::of(1.0 / (1.0 - beta2.powf(exponent)).sqrt()),
            epsilon: T::of(epsilon),
            keep: T::of(1.0 - rate * weight_decay),
        };
        let mut tensors = network.tensors_mut().into_iter().zip(&mut self.moments);
        if let Some(((_, table), moments)) = tensors.next() {
            let SparseColumns { ids, values, .. } = &gradients.embedding;
            let columns = Columns {
                first: 0,
                weights: table.as_mut_slice(),
                means: moments.mean.as_mut_slice(),
                squares: moments.square.as_mut_slice(),
            };
            columns.update(ids, values, rates);
        }
        for (((name, tensor), moments), gradient) in tensors.zip(gradients.dense()) {
            let keep = if name.ends_with("bias") { T::one() } else { rates.keep };
            let weights = tensor.as_mut_slice().par_chunks_mut(ELEMENTS);
            let means = moments.mean.as_mut_slice().par_chunks_mut(ELEMENTS);
            let squares = moments.square.as_mut_slice().par_chunks_mut(ELEMENTS);
            let gradients = gradient.as_slice().par_chunks(ELEMENTS);
            weights.zip(means).zip(squares).zip(gradients).for_each(|(((weights, means), squares), gradients)| {
                update(weights, means, squares, gradients, Rates { keep, ..rates });
            });
        }
    }
}

/// Weights that a thread updates in one piece.
const ELEMENTS: usize = 16_384;

/// Neighbouring columns of the embedding's table, from the one of id `first` on, with their means.
struct Columns<'a, T> {
    first: usize,
    weights: &'a mut [T],
    means: &'a mut [T],
    squares: &'a mut [T],
}

impl<T: Real> Columns<'_, T> {
    /// The step of [`Adam`] for the columns of `ids`, which rise, shared out over the threads.
    fn update(self, ids: &[u32], gradients: &[T], rates: Rates<T>) {
        let Self { first, weights, means, squares } = self;
        if ids.is_empty() {
            return;
        }
        let features = gradients.len() / ids.len();
        if ids.len() * features <= ELEMENTS || ids.len() == 1 {
            for (&id, gradient) in ids.iter().zip(gradients.chunks_exact(features)) {
                let column = (id as usize - first) * features..(id as usize - first + 1) * features;
                let (weights, means) = (&mut weights[column.clone()], &mut means[column.clone()]);
                update(weights, means, &mut squares[column], gradient, rates);
            }
            return;
        }
        let half = ids.len() / 2;
        let middle = ids[half] as usize;
        let at = (middle - first) * features;
        let (weights, means, squares) = (weights.split_at_mut(at), means.split_at_mut(at), squares.split_at_mut(at));
        let below = Columns { first, weights: weights.0, means: means.0, squares: squares.0 };
        let above = Columns { first: middle, weights: weights.1, means: means.1, squares: squares.1 };
        rayon::join(
            || below.update(&ids[..half], &gradients[..half * features], rates),
            || above.update(&ids[half..], &gradients[half * features..], rates),
        );
    }
}

/// The step of [`Adam`] for some weights, their means, and their gradients.
fn update<T: Real>(weights: &mut [T], means: &mut [T], squares: &mut [T], gradients: &[T], rates: Rates<T>) {
    let Rates { beta1, beta2, rate, correction, epsilon, keep } = rates;
    let (rest1, rest2) = (T::one() - beta1, T::one() - beta2);
    vectorized(|| {
        for (((weight, mean), square), &gradient) in weights.iter_mut().zip(means).zip(squares).zip(gradients) {
            *mean = beta1 * *mean + rest1 * gradient;
            *square = beta2 * *square + rest2 * gradient * gradient;
            *weight = keep * *weight - rate * *mean / (square.sqrt() * correction + epsilon);
        }
    });
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// It stays at its peak.
    Constant,
    /// Along a straight line.
    Linear,
    /// Along half a cosine wave.
    #[default]
    Cosine,
}

/// A learning-rate schedule: up along a line, then down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// The largest rate.
    pub peak: f64,
    /// The rate at the end, as a share of the peak.
    pub floor: f64,
    /// Steps of the linear warm-up.
    pub warmup: u64,
    /// All steps, the warm-up included.
    pub total: u64,
    /// The way down.
    pub decay: Decay,
}

impl LearningRate {
    /// The rate of step `step`, counted from zero. After `total` steps it stays at the floor.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let way = self.total.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / way).min(1.0);
        let share = match self.decay {
            Decay::Constant => return self.peak,
            Decay::Linear => 1.0 - done,
            Decay::Cosine => 0.5 + 0.5 * (core::f64::consts::PI * done).cos(),
        };
        self.peak * (self.floor + (1.0 - self.floor) * share)
    }
}

/// An exponential moving average of a network's weights.
///
/// ```text
/// ē ← d·ē + (1 - d)·w        d = min(decay, (1 + t) / (10 + t))
/// ```
///
/// The smaller decay of the first steps lets the average forget the fresh weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real")]
pub struct Ema<T: Real> {
    decay: f64,
    steps: u64,
    average: Network<T>,
}

impl<T: Real> Ema<T> {
    /// An average that begins at the weights of `network`.
    pub fn new(network: &Network<T>, decay: f64) -> Self {
        Self { decay, steps: 0, average: network.clone() }
    }

    /// Takes up the weights after a step. The network must be the one this average was made for.
    pub fn update(&mut self, network: &Network<T>) {
        let t = self.steps as f64;
        self.steps += 1;
        let share = T::of(1.0 - self.decay.min((1.0 + t) / (10.0 + t)));
        for ((_, average), (_, tensor)) in self.average.tensors_mut().into_iter().zip(network.tensors()) {
            for (average, &weight) in average.as_mut_slice().iter_mut().zip(tensor.as_slice()) {
                *average += share * (weight - *average);
            }
        }
    }

    /// The network with the averaged weights.
    pub fn network(&self) -> &Network<T> {
        &self.average
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::Batch;
    use crate::bptt::{LossOptions, loss_and_gradients};
    use crate::config::chain::Pooling;
    use crate::network::NetworkConfig;

    fn network() -> Network<f64> {
        Network::new(&NetworkConfig::stacked(9, 3, 1, 4, Some(Pooling::Last)), 1).unwrap()
    }

    fn gradients(network: &Network<f64>, ids: &[u32]) -> Gradients<f64> {
        let mut batch = Batch::new();
        batch.push(ids, 1.0);
        loss_and_gradients(network, &batch, &LossOptions::default()).unwrap().1
    }

    #[test]
    fn adam_equals_its_formula_applied_to_one_weight_at_a_time() {
        let mut network = network();
        let config = AdamConfig { weight_decay: 0.01, ..AdamConfig::default() };
        let mut adam = Adam::new(&network, &config);
        // One (m, v) a weight, kept apart from the optimizer under test.
        let mut naive: Vec<Vec<(f64, f64)>> =
            network.tensors().iter().map(|(_, tensor)| vec![(0.0, 0.0); tensor.len()]).collect();
        for (t, ids) in [[1, 2], [2, 3], [1, 1], [5, 2]].iter().enumerate() {
            let rate = 0.1 / (t + 1) as f64;
            let gradients = gradients(&network, ids);
            let mut expected = network.clone();
            let tensors = expected.tensors_mut().into_iter().zip(gradients.tensors(&network));
            for (((name, tensor), (_, gradient)), moments) in tensors.zip(&mut naive) {
                let rows = tensor.nrows();
                for (index, (m, v)) in moments.iter_mut().enumerate() {
                    if name == "embedding.table" && !ids.contains(&((index / rows) as u32)) {
                        continue;
                    }
                    let g = gradient[index];
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * g * g;
                    let m_hat = *m / (1.0 - 0.9_f64.powi(t as i32 + 1));
                    let v_hat = *v / (1.0 - 0.999_f64.powi(t as i32 + 1));
                    let decay = if name.ends_with("bias") { 0.0 } else { 0.01 };
                    tensor[index] -= rate * (m_hat / (v_hat.sqrt() + 1e-7) + decay * tensor[index]);
                }
            }
            adam.step(&mut network, &gradients, rate);
            for ((name, found), (_, expected)) in network.tensors().iter().zip(expected.tensors()) {
                let error = (*found - expected).abs().max();
                assert!(error < 1e-12, "{name}: {error:e}");
            }
        }
        assert_eq!(adam.steps(), 4);
    }

    #[test]
    fn columns_that_no_token_touches_do_not_move() {
        let mut network = network();
        let before = network.embedding.table.clone();
        let mut adam = Adam::new(&network, &AdamConfig::default());
        let gradients = gradients(&network, &[4, 6]);
        adam.step(&mut network, &gradients, 0.1);
        for id in 0..9 {
            let moved = network.embedding.table.column(id) != before.column(id);
            assert_eq!(moved, id == 4 || id == 6);
        }
    }

    #[test]
    fn clipping_brings_the_norm_down_to_the_limit_and_never_up() {
        let network = network();
        let mut gradients = gradients(&network, &[1, 2, 3]);
        let squares: f64 = gradients.tensors(&network).iter().map(|(_, tensor)| tensor.norm_squared()).sum();
        let norm = gradients.norm();
        assert!((norm - squares.sqrt()).abs() < 1e-12);
        assert_eq!(gradients.clip(2.0 * norm), norm);
        assert_eq!(gradients.norm(), norm);
        assert_eq!(gradients.clip(0.25 * norm), norm);
        assert!((gradients.norm() - 0.25 * norm).abs() < 1e-12);
    }

    #[test]
    fn the_learning_rate_rises_along_a_line_and_falls_to_its_floor() {
        let mut rate = LearningRate { peak: 2.0, floor: 0.1, warmup: 4, total: 14, decay: Decay::Linear };
        assert_eq!([rate.at(0), rate.at(1), rate.at(3), rate.at(4)], [0.5, 1.0, 2.0, 2.0]);
        assert!((rate.at(9) - 1.1).abs() < 1e-12);
        assert!((rate.at(14) - 0.2).abs() < 1e-12);
        assert_eq!(rate.at(u64::MAX), rate.at(14));
        rate.decay = Decay::Cosine;
        assert_eq!(rate.at(4), 2.0);
        assert!((rate.at(9) - 1.1).abs() < 1e-12);
        assert!((rate.at(20) - 0.2).abs() < 1e-12);
        rate.decay = Decay::Constant;
        assert_eq!(rate.at(20), 2.0);
        let none = LearningRate { warmup: 0, total: 0, decay: Decay::Cosine, ..rate };
        assert_eq!(none.at(0), 2.0);
    }

    #[test]
    fn an_optimizer_survives_being_stored_and_knows_its_network() {
        let mut network = network();
        let mut adam = Adam::new(&network, &AdamConfig::default());
        let gradients = gradients(&network, &[1, 2]);
        adam.step(&mut network, &gradients, 0.1);
        let stored = postcard::to_stdvec(&adam).unwrap();
        let loaded: Adam<f64> = postcard::from_bytes(&stored).unwrap();
        assert_eq!(loaded, adam);
        assert!(loaded.fits(&network));
        let other = NetworkConfig::stacked(9, 3, 1, 5, Some(Pooling::Last));
        assert!(!loaded.fits(&Network::new(&other, 1).unwrap()));
    }

    #[test]
    fn the_average_follows_the_weights_by_its_formula() {
        let mut network = network();
        let mut ema = Ema::new(&network, 0.15);
        let mut expected = network.tensors()[5].1[0];
        for (step, decay) in [0.1, 0.15, 0.15].into_iter().enumerate() {
            network.tensors_mut()[5].1[0] = step as f64 + 1.0;
            ema.update(&network);
            expected = decay * expected + (1.0 - decay) * network.tensors()[5].1[0];
            assert!((ema.network().tensors()[5].1[0] - expected).abs() < 1e-12);
        }
    }
}
