//! The network: embedding > stacked LSTM > readout > dense head; without LSTM layers a bag of embeddings.
//!
//! ```text
//! ids ──embedding──> x (embedding × tokens) ──LSTM──> h (units × tokens) ─ ... ──readout──> r (units × sequences)
//!     ──head──> logits (outputs × sequences)
//! ```
//!
//! Each layer's file holds its forward and its backward pass; this one joins them. Sequences of different lengths are never
//! padded: a shard sorts them by falling length, step t works on the first `n_t` columns, and the tokens of all steps lie one
//! step after the other in one matrix. What is not there cannot leak into loss or gradient.

pub mod dense;
pub mod embedding;
pub mod integers;
pub(crate) mod lookup;
pub mod lstm;
pub mod readout;
pub mod tiers;

use crate::batches::generator;
use crate::real::{Real, multiply};
use dense::Dense;
use embedding::Embedding;
use integers::Integers;
use lookup::Lookup;
use lstm::{Input, Kernels, Lstm, Tape};
use nalgebra::DMatrix;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use readout::{Readout, ReadoutTape};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// Sequences that [`Network::forward`] takes together.
const EVALUATION_SHARD: usize = 64;

/// The number of a sequence, and the step of an answer in it; 0 where the sequence has one answer.
type Place = (usize, usize);

/// The shape of a network, and what is dropped while it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Token ids that the embedding knows: `0..vocabulary`.
    pub vocabulary: usize,
    /// Features of an embedded token.
    pub embedding: usize,
    /// Hidden features of each LSTM layer; means nothing without one.
    pub units: usize,
    /// LSTM layers, one above the other. None: a bag of embeddings, whose readout is over the embedded tokens.
    pub layers: usize,
    /// Which vector of a sequence the head sees.
    pub readout: Readout,
    /// Logits of the head: one for a binary answer or a value, else one a class.
    pub outputs: usize,
    /// Share of the input features of each LSTM layer that is dropped, the same at every step of a sequence.
    pub dropout: f64,
    /// Share of the features of h_{t-1} that is dropped, the same at every step of a sequence.
    pub recurrent_dropout: f64,
    /// Share of the tokens whose whole embedding is dropped.
    pub word_dropout: f64,
    /// Share of the readout's features that is dropped.
    pub head_dropout: f64,
}

impl Default for NetworkConfig {
    /// A small binary classifier without dropout.
    fn default() -> Self {
        Self {
            vocabulary: 6000,
            embedding: 16,
            units: 32,
            layers: 1,
            readout: Readout::Last,
            outputs: 1,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            word_dropout: 0.0,
            head_dropout: 0.0,
        }
    }
}

impl NetworkConfig {
    /// Checks that the sizes describe a network.
    ///
    /// # Errors
    /// [`NetworkError::ZeroSize`] if a size is zero, [`NetworkError::DropoutOutOfRange`] if a dropout is not in `[0, 1)`.
    pub fn validate(&self) -> Result<(), NetworkError> {
        let sizes = [
            ("vocabulary", self.vocabulary),
            ("embedding", self.embedding),
            ("units", self.units.max(usize::from(self.layers == 0))),
            ("outputs", self.outputs),
        ];
        for (name, size) in sizes {
            if size == 0 {
                return Err(NetworkError::ZeroSize { name });
            }
        }
        let shares = [
            ("dropout", self.dropout),
            ("recurrent_dropout", self.recurrent_dropout),
            ("word_dropout", self.word_dropout),
            ("head_dropout", self.head_dropout),
        ];
        for (name, value) in shares {
            if !(0.0..1.0).contains(&value) {
                return Err(NetworkError::DropoutOutOfRange { name, value });
            }
        }
        Ok(())
    }

    /// Features that the head sees.
    fn features(&self) -> usize {
        if self.layers == 0 { self.embedding } else { self.units }
    }
}

/// Why a network cannot be made or run.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkError {
    /// A size of the configuration is zero.
    ZeroSize {
        /// The field of [`NetworkConfig`].
        name: &'static str,
    },
    /// A dropout of the configuration is not in `[0, 1)`.
    DropoutOutOfRange {
        /// The field of [`NetworkConfig`].
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A token id is not below the vocabulary.
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
    /// A stored tensor has another shape than the configuration says.
    ShapeMismatch {
        /// The tensor.
        name: String,
        /// Its rows and columns.
        found: (usize, usize),
        /// The rows and columns of the configuration.
        expected: (usize, usize),
    },
    /// A stored network has another number of LSTM layers than its configuration says.
    LayerMismatch {
        /// The layers that are there.
        found: usize,
        /// The layers of the configuration.
        expected: usize,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSize { name } => write!(f, "the network's {name} is zero"),
            Self::DropoutOutOfRange { name, value } => {
                write!(f, "the network's {name} is {value}, but must be at least 0 and below 1")
            }
            Self::TokenOutOfRange { id, vocabulary } => {
                write!(f, "token id {id} is outside the vocabulary of {vocabulary}")
            }
            Self::ShapeMismatch { name, found, expected } => write!(
                f,
                "tensor {name} is {} x {}, but the configuration says {} x {}",
                found.0, found.1, expected.0, expected.1
            ),
            Self::LayerMismatch { found, expected } => {
                write!(f, "the network has {found} LSTM layers, but its configuration says {expected}")
            }
        }
    }
}

impl std::error::Error for NetworkError {}

/// A network: its configuration and its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real", try_from = "Parts<T>")]
pub struct Network<T: Real> {
    config: NetworkConfig,
    /// Token ids to vectors.
    pub embedding: Embedding<T>,
    /// The LSTM layers, the lowest first.
    pub layers: Vec<Lstm<T>>,
    /// The dense layer that makes the logits.
    pub head: Dense<T>,
}

/// A network as it is stored, before its shapes are checked.
#[derive(Deserialize)]
#[serde(bound = "T: Real", rename = "Network")]
struct Parts<T: Real> {
    config: NetworkConfig,
    embedding: Embedding<T>,
    layers: Vec<Lstm<T>>,
    head: Dense<T>,
}

impl<T: Real> TryFrom<Parts<T>> for Network<T> {
    type Error = NetworkError;

    fn try_from(parts: Parts<T>) -> Result<Self, NetworkError> {
        let Parts { config, embedding, layers, head } = parts;
        config.validate()?;
        if layers.len() != config.layers {
            return Err(NetworkError::LayerMismatch { found: layers.len(), expected: config.layers });
        }
        let network = Self { config, embedding, layers, head };
        for ((name, tensor), expected) in network.tensors().into_iter().zip(network.shapes()) {
            let found = tensor.shape();
            if found != expected {
                return Err(NetworkError::ShapeMismatch { name, found, expected });
            }
        }
        Ok(network)
    }
}

impl<T: Real> Network<T> {
    /// A network with fresh weights: embedding uniform in ±0.05, kernels Glorot-uniform, recurrent kernels orthogonal, biases
    /// zero but one for the forget gates. The same seed gives the same weights.
    ///
    /// # Errors
    /// Those of [`NetworkConfig::validate`].
    pub fn new(config: &NetworkConfig, seed: u64) -> Result<Self, NetworkError> {
        config.validate()?;
        let rng = &mut generator([seed, 0, u64::MAX, 0]);
        let embedding = Embedding::new(config.vocabulary, config.embedding, rng);
        let layers = (0..config.layers)
            .map(|layer| {
                let inputs = if layer == 0 { config.embedding } else { config.units };
                Lstm::new(inputs, config.units, rng)
            })
            .collect();
        let head = Dense::new(config.features(), config.outputs, rng);
        Ok(Self { config: config.clone(), embedding, layers, head })
    }

    /// A network of weights that are there already.
    ///
    /// # Errors
    /// Those of [`NetworkConfig::validate`]; [`NetworkError::LayerMismatch`] or [`NetworkError::ShapeMismatch`] if the weights are not those
    /// that the configuration describes.
    pub fn from_weights(
        config: NetworkConfig,
        embedding: Embedding<T>,
        layers: Vec<Lstm<T>>,
        head: Dense<T>,
    ) -> Result<Self, NetworkError> {
        Parts { config, embedding, layers, head }.try_into()
    }

    /// The configuration.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Every tensor with its name, in a fixed order: `embedding.table`, then `lstm.N.kernel`, `lstm.N.recurrent_kernel` and
    /// `lstm.N.bias` for each layer from 0, then `head.kernel` and `head.bias`.
    pub fn tensors(&self) -> Vec<(String, &DMatrix<T>)> {
        let mut tensors = vec![(String::from("embedding.table"), &self.embedding.table)];
        for (number, layer) in self.layers.iter().enumerate() {
            tensors.push((format!("lstm.{number}.kernel"), &layer.kernel));
            tensors.push((format!("lstm.{number}.recurrent_kernel"), &layer.recurrent_kernel));
            tensors.push((format!("lstm.{number}.bias"), &layer.bias));
        }
        tensors.push((String::from("head.kernel"), &self.head.kernel));
        tensors.push((String::from("head.bias"), &self.head.bias));
        tensors
    }

    /// The tensors of [`Network::tensors`] in the same order, to be changed. A tensor must keep its shape.
    pub fn tensors_mut(&mut self) -> Vec<(String, &mut DMatrix<T>)> {
        let mut tensors = vec![(String::from("embedding.table"), &mut self.embedding.table)];
        for (number, layer) in self.layers.iter_mut().enumerate() {
            tensors.push((format!("lstm.{number}.kernel"), &mut layer.kernel));
            tensors.push((format!("lstm.{number}.recurrent_kernel"), &mut layer.recurrent_kernel));
            tensors.push((format!("lstm.{number}.bias"), &mut layer.bias));
        }
        tensors.push((String::from("head.kernel"), &mut self.head.kernel));
        tensors.push((String::from("head.bias"), &mut self.head.bias));
        tensors
    }

    /// The shapes that the configuration gives to [`Network::tensors`], in the same order.
    fn shapes(&self) -> Vec<(usize, usize)> {
        let NetworkConfig { vocabulary, embedding, units, layers, outputs, .. } = self.config;
        let mut shapes = vec![(embedding, vocabulary)];
        for layer in 0..layers {
            let inputs = if layer == 0 { embedding } else { units };
            shapes.extend([(4 * units, inputs), (4 * units, units), (4 * units, 1)]);
        }
        shapes.extend([(outputs, self.config.features()), (outputs, 1)]);
        shapes
    }

    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.tensors().iter().map(|(_, tensor)| tensor.len()).sum()
    }

    /// The same network in another number type.
    pub fn convert<U: Real>(&self) -> Network<U> {
        let to = |matrix: &DMatrix<T>| matrix.map(|value| U::of(value.as_f64()));
        Network {
            config: self.config.clone(),
            embedding: Embedding { table: to(&self.embedding.table) },
            layers: self
                .layers
                .iter()
                .map(|layer| Lstm {
                    kernel: to(&layer.kernel),
                    recurrent_kernel: to(&layer.recurrent_kernel),
                    bias: to(&layer.bias),
                })
                .collect(),
            head: Dense { kernel: to(&self.head.kernel), bias: to(&self.head.bias) },
        }
    }

    /// The logits (outputs × sequences) of all sequences, without dropout. The sequences are shared out over rayon's threads;
    /// the result does not depend on their number. Where each step has an answer the columns are the tokens, sequence after sequence.
    ///
    /// # Errors
    /// [`NetworkError::TokenOutOfRange`] if a token id is not below the vocabulary.
    pub fn forward(&self, sequences: &[&[u32]]) -> Result<DMatrix<T>, NetworkError> {
        for ids in sequences {
            self.check_ids(ids)?;
        }
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(sequences[index].len()));
        let outputs = self.config.outputs;
        let mut kernels = vec![Kernels::default(); self.layers.len()];
        self.layers.iter().zip(&mut kernels).for_each(|(layer, kernels)| kernels.forward(layer));
        let shards: Vec<(Vec<Place>, Vec<T>)> = order
            .par_chunks(EVALUATION_SHARD)
            .map_init(
                || Pass::new(self),
                |pass, chunk| {
                    pass.steps.gather(chunk, |index| sequences[index]);
                    pass.forward(self, &kernels, None, None);
                    let place = |sequence: usize, step: usize| (pass.steps.order[sequence], step);
                    let places: Vec<Place> = if self.config.readout == Readout::Each {
                        let steps = &pass.steps;
                        (0..steps.len())
                            .flat_map(|step| (0..steps.count(step)).map(move |at| place(at, step)))
                            .collect()
                    } else {
                        (0..pass.steps.sequences()).map(|sequence| place(sequence, 0)).collect()
                    };
                    (places, pass.logits.clone())
                },
            )
            .collect();
        // The column at which each sequence begins.
        let mut starts = vec![0];
        for ids in sequences {
            let columns = if self.config.readout == Readout::Each { ids.len() } else { 1 };
            starts.push(starts[starts.len() - 1] + columns);
        }
        let mut logits = DMatrix::zeros(outputs, starts[sequences.len()]);
        for (places, values) in shards {
            for ((index, step), column) in places.into_iter().zip(values.chunks_exact(outputs)) {
                logits.column_mut(starts[index] + step).copy_from_slice(column);
            }
        }
        Ok(logits)
    }

    /// Checks that every id is below the vocabulary.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<(), NetworkError> {
        let vocabulary = self.config.vocabulary;
        match ids.iter().find(|&&id| id as usize >= vocabulary) {
            Some(&id) => Err(NetworkError::TokenOutOfRange { id, vocabulary }),
            None => Ok(()),
        }
    }
}

/// How the tokens of a shard lie in memory: time-major without padding.
///
/// The sequences are sorted by falling length, so that those which are still running at step t are the first `n_t`. Token
/// t of sequence s is column `offsets[t] + s` of every matrix over the tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    /// The caller's number of each sequence, in the order of the shard.
    pub(crate) order: Vec<usize>,
    /// The sequences' lengths, falling.
    lengths: Vec<usize>,
    /// Where each step begins, and at the end the number of tokens.
    offsets: Vec<usize>,
    /// The token ids, time-major.
    pub(crate) ids: Vec<u32>,
}

impl Steps {
    /// Takes up the sequences with the given numbers.
    pub(crate) fn gather<'a>(&mut self, indices: &[usize], sequence: impl Fn(usize) -> &'a [u32]) {
        self.order.clear();
        self.order.extend_from_slice(indices);
        self.order.sort_by_key(|&index| std::cmp::Reverse(sequence(index).len()));
        self.lengths.clear();
        self.lengths.extend(self.order.iter().map(|&index| sequence(index).len()));
        self.offsets.clear();
        self.offsets.push(0);
        self.ids.clear();
        for step in 0..self.lengths.first().copied().unwrap_or(0) {
            let running = self.lengths.partition_point(|&length| length > step);
            self.ids.extend(self.order[..running].iter().map(|&index| sequence(index)[step]));
            self.offsets.push(self.ids.len());
        }
    }

    /// The number of steps: the length of the longest sequence.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of sequences, those without tokens included.
    pub(crate) fn sequences(&self) -> usize {
        self.lengths.len()
    }

    /// The number of tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The sequences' lengths, falling.
    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The columns of step `step`.
    pub(crate) fn columns(&self, step: usize) -> Range<usize> {
        self.offsets[step]..self.offsets[step + 1]
    }

    /// The number of sequences that run at step `step`; zero after the last.
    pub(crate) fn count(&self, step: usize) -> usize {
        if step < self.len() { self.columns(step).len() } else { 0 }
    }

    /// The column of token `step` of sequence `sequence`.
    pub(crate) fn token(&self, step: usize, sequence: usize) -> usize {
        self.offsets[step] + sequence
    }

    /// Multiplies every token of `values` (features × tokens) with the mask of its sequence (features × sequences).
    fn mask<T: Real>(&self, values: &mut [T], mask: &[T], features: usize) {
        if mask.is_empty() {
            return;
        }
        for step in 0..self.len() {
            let columns = self.columns(step);
            multiply(&mut values[features * columns.start..features * columns.end], mask);
        }
    }
}

/// One run of a network over one shard, forward and backward, with all its memory. It is used again for the next batch, so
/// that after the largest shard nothing is allocated any more.
#[derive(Debug, Clone)]
pub(crate) struct Pass<T: Real> {
    pub(crate) steps: Steps,
    /// What each layer read (inputs × tokens); above the lowest only where dropout makes it differ from h of the layer below. Without layers
    /// the embedded tokens alone.
    inputs: Vec<Vec<T>>,
    /// Dropout of each layer's input (inputs × sequences), or empty.
    input_masks: Vec<Vec<T>>,
    /// The factor of each token's embedding, or empty.
    word_mask: Vec<T>,
    tapes: Vec<Tape<T>>,
    readout: Vec<T>,
    readout_tape: ReadoutTape<T>,
    /// Dropout of the readout (units × sequences), or empty.
    head_mask: Vec<T>,
    /// The logits (outputs × sequences, or × tokens where each step has an answer) in the order of the shard.
    pub(crate) logits: Vec<T>,
    /// dL/dlogits, set by the caller between forward and backward.
    pub(crate) logit_gradient: Vec<T>,
    readout_gradient: Vec<T>,
    hidden_gradient: Vec<T>,
    /// After the backward pass: dL/dx of every token (embedding × tokens).
    pub(crate) input_gradient: Vec<T>,
    pub(crate) layer_gradients: Vec<Lstm<T>>,
    pub(crate) head_gradient: Dense<T>,
}

impl<T: Real> Pass<T> {
    /// Memory for passes of networks with the shape of `network`.
    pub(crate) fn new(network: &Network<T>) -> Self {
        let layers = network.layers.len();
        Self {
            steps: Steps::default(),
            inputs: vec![Vec::new(); layers.max(1)],
            input_masks: vec![Vec::new(); layers.max(1)],
            word_mask: Vec::new(),
            tapes: vec![Tape::default(); layers],
            readout: Vec::new(),
            readout_tape: ReadoutTape::default(),
            head_mask: Vec::new(),
            logits: Vec::new(),
            logit_gradient: Vec::new(),
            readout_gradient: Vec::new(),
            hidden_gradient: Vec::new(),
            input_gradient: Vec::new(),
            layer_gradients: network.layers.iter().map(Lstm::zeros_like).collect(),
            head_gradient: network.head.zeros_like(),
        }
    }

    /// dL/dz of the lowest layer at a token (4·units), after [`Pass::backward`].
    pub(crate) fn gate_gradient(&self, token: usize, rows: usize) -> &[T] {
        &self.tapes[0].gates[rows * token..][..rows]
    }

    /// Draws the dropout masks of the shard, in a fixed order; without a generator nothing is dropped.
    fn draw_masks(&mut self, network: &Network<T>, rng: Option<&mut impl Rng>) {
        let config = &network.config;
        let sequences = self.steps.sequences();
        let Some(rng) = rng else {
            self.word_mask.clear();
            self.head_mask.clear();
            self.input_masks.iter_mut().for_each(Vec::clear);
            self.tapes.iter_mut().for_each(|tape| tape.recurrent_mask.clear());
            return;
        };
        draw_mask(&mut self.word_mask, self.steps.tokens(), config.word_dropout, rng);
        for (number, layer) in network.layers.iter().enumerate() {
            let inputs = layer.inputs() * sequences;
            draw_mask(&mut self.input_masks[number], inputs, config.dropout, rng);
            let units = config.units * sequences;
            let mask = &mut self.tapes[number].recurrent_mask;
            draw_mask(mask, units, config.recurrent_dropout, rng);
        }
        draw_mask(&mut self.head_mask, config.features() * sequences, config.head_dropout, rng);
    }

    /// Runs the shard in `self.steps` forward to `self.logits`. With a generator, dropout is applied. With a lookup, the lowest layer
    /// reads that; nothing of its input can be dropped then.
    pub(crate) fn forward(
        &mut self,
        network: &Network<T>,
        kernels: &[Kernels<T>],
        lookup: Option<&Lookup<T>>,
        rng: Option<&mut rand_chacha::ChaCha8Rng>,
    ) {
        self.draw_masks(network, rng);
        let config = &network.config;
        let steps = &self.steps;
        if lookup.is_none() {
            self.inputs[0].resize(config.embedding * steps.tokens(), T::zero());
            network.embedding.forward(&steps.ids, &mut self.inputs[0]);
            scale_columns(&mut self.inputs[0], &self.word_mask, config.embedding);
            steps.mask(&mut self.inputs[0], &self.input_masks[0], config.embedding);
        }
        for (number, layer) in network.layers.iter().enumerate() {
            let (below, tape) = self.tapes.split_at_mut(number);
            let input = if number == 0 || !self.input_masks[number].is_empty() {
                if let Some(below) = below.last() {
                    let input = &mut self.inputs[number];
                    input.clear();
                    input.extend_from_slice(&below.hidden);
                    steps.mask(input, &self.input_masks[number], config.units);
                }
                &self.inputs[number]
            } else {
                &below[number - 1].hidden
            };
            let input = match lookup {
                Some(lookup) if number == 0 => lookup.input(),
                _ => Input::Tokens(input),
            };
            layer.forward(&kernels[number], steps, input, &mut tape[0]);
        }
        self.read_out(config, T::attention_weight);
        network.head.forward(&self.readout, config.readout.columns(&self.steps), &mut self.logits);
    }

    /// The same with the integers of a network's image: without dropout what the engine computes, but for the readout's mean, which may be off by
    /// one unit of 2^-15.
    pub(crate) fn forward_integers(&mut self, integers: &Integers<T>, rng: Option<&mut rand_chacha::ChaCha8Rng>) {
        self.draw_masks(&integers.real, rng);
        let config = &integers.real.config;
        let steps = &self.steps;
        let features = config.embedding;
        self.inputs[0].resize(features * steps.tokens(), T::zero());
        for (&id, column) in steps.ids.iter().zip(self.inputs[0].chunks_exact_mut(features)) {
            column.copy_from_slice(&integers.embedding[id as usize * features..][..features]);
        }
        scale_columns(&mut self.inputs[0], &self.word_mask, features);
        steps.mask(&mut self.inputs[0], &self.input_masks[0], features);
        for (number, layer) in integers.layers.iter().enumerate() {
            let (below, tape) = self.tapes.split_at_mut(number);
            let input = &mut self.inputs[number];
            if let Some(below) = below.last() {
                input.clear();
                input.extend_from_slice(&below.narrowed);
                steps.mask(input, &self.input_masks[number], config.units);
            }
            layer.forward(steps, input, &mut tape[0]);
        }
        self.read_out(config, T::attention_weight_of_integers);
        integers.head.forward(&self.readout, &mut self.logits);
    }

    /// From the last layer's hidden states to what the head sees; without layers from the embedded tokens. `weigh` gives attention's weights.
    fn read_out(&mut self, config: &NetworkConfig, weigh: fn(T) -> T) {
        let hidden = self.tapes.last().map_or(&self.inputs[0], |tape| &tape.hidden);
        config.readout.forward(
            config.features(),
            &self.steps,
            hidden,
            weigh,
            &mut self.readout,
            &mut self.readout_tape,
        );
        drop_features(&mut self.readout, &self.head_mask, config, &self.steps);
    }

    /// Goes back from `self.logit_gradient` to the gradients of all weights and of the embedded tokens. Must follow
    /// [`Pass::forward`] on the same network, once, or [`Pass::forward_integers`]: then `network` has the real values of the `integers`.
    /// After a forward pass through a lookup, the lowest layer's dZ stay on the tape, and what follows from them for W, b and the
    /// embedding is left to [`Lookup::backward`].
    pub(crate) fn backward(
        &mut self,
        network: &Network<T>,
        integers: Option<&Integers<T>>,
        kernels: &[Kernels<T>],
        lookup: bool,
    ) {
        let config = &network.config;
        let steps = &self.steps;
        network.head.backward(
            &self.readout,
            &self.logit_gradient,
            config.readout.columns(steps),
            &mut self.head_gradient,
            &mut self.readout_gradient,
        );
        drop_features(&mut self.readout_gradient, &self.head_mask, config, steps);
        // Without layers the readout's inputs are the embedded tokens.
        let target = if network.layers.is_empty() { &mut self.input_gradient } else { &mut self.hidden_gradient };
        let hidden = self.tapes.last().map_or(&self.inputs[0], |tape| &tape.hidden);
        let found = (&hidden[..], &self.readout_tape);
        config.readout.backward(config.features(), steps, &self.readout_gradient, found, target);
        for (number, layer) in network.layers.iter().enumerate().rev() {
            let (below, tape) = self.tapes.split_at_mut(number);
            let input = match below.last() {
                Some(below) if self.input_masks[number].is_empty() && integers.is_none() => &below.hidden,
                _ => &self.inputs[number],
            };
            let (kernels, gradient) = (&kernels[number], &mut self.layer_gradients[number]);
            layer.backward(kernels, steps, &mut tape[0], &mut self.hidden_gradient);
            layer.recurrent_gradient(steps, &mut tape[0], gradient);
            if lookup && number == 0 {
                return;
            }
            layer.input_gradients(kernels, steps, input, &mut tape[0], gradient, &mut self.input_gradient);
            if let Some(integers) = integers {
                integers.layers[number].scale_gradients(&mut self.layer_gradients[number]);
            }
            steps.mask(&mut self.input_gradient, &self.input_masks[number], layer.inputs());
            if number > 0 {
                std::mem::swap(&mut self.hidden_gradient, &mut self.input_gradient);
            }
        }
        scale_columns(&mut self.input_gradient, &self.word_mask, config.embedding);
    }
}

/// Applies the head's dropout (units × sequences), the same at every step of a sequence.
fn drop_features<T: Real>(values: &mut [T], mask: &[T], config: &NetworkConfig, steps: &Steps) {
    if config.readout == Readout::Each {
        steps.mask(values, mask, config.features());
    } else if !mask.is_empty() {
        multiply(values, mask);
    }
}

/// Fills `mask` with `length` factors: 0 with probability `dropout`, else 1 / (1 - dropout), so that the expectation is one.
/// Without dropout the mask is empty and nothing is drawn.
fn draw_mask<T: Real>(mask: &mut Vec<T>, length: usize, dropout: f64, rng: &mut impl Rng) {
    mask.clear();
    if dropout > 0.0 {
        let kept = T::of(1.0 / (1.0 - dropout));
        let dropout = dropout as f32;
        mask.extend((0..length).map(|_| if rng.random::<f32>() < dropout { T::zero() } else { kept }));
    }
}

/// Multiplies column j of `values` (rows × `factors.len()`) with `factors[j]`; no factors change nothing.
fn scale_columns<T: Real>(values: &mut [T], factors: &[T], rows: usize) {
    for (column, &factor) in values.chunks_exact_mut(rows).zip(factors) {
        column.iter_mut().for_each(|value| *value *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig { vocabulary: 11, embedding: 3, units: 4, layers: 2, ..Default::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let network = Network::<f32>::new(&config(), 5).unwrap();
        assert_eq!(network, Network::new(&config(), 5).unwrap());
        assert_ne!(network, Network::new(&config(), 6).unwrap());
    }

    #[test]
    fn tensors_come_with_their_names_in_one_order() {
        let mut network = Network::<f32>::new(&config(), 5).unwrap();
        let names: Vec<String> = network.tensors().into_iter().map(|(name, _)| name).collect();
        let expected = [
            "embedding.table",
            "lstm.0.kernel",
            "lstm.0.recurrent_kernel",
            "lstm.0.bias",
            "lstm.1.kernel",
            "lstm.1.recurrent_kernel",
            "lstm.1.bias",
            "head.kernel",
            "head.bias",
        ];
        assert_eq!(names, expected);
        let again: Vec<String> = network.tensors_mut().into_iter().map(|(name, _)| name).collect();
        assert_eq!(again, expected);
        assert_eq!(network.weights(), 33 + (48 + 64 + 16) + (64 + 64 + 16) + 5);
    }

    #[test]
    fn a_network_survives_being_stored() {
        let network = Network::<f32>::new(&config(), 5).unwrap();
        let stored = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network<f32>>(&stored).unwrap(), network);
    }

    #[test]
    fn a_stored_network_of_another_shape_is_refused() {
        let network = Network::<f32>::new(&config(), 5).unwrap();
        let stored = serde_json::to_value(&network).unwrap();
        let refused = |change: &dyn Fn(&mut serde_json::Value), reason: &str| {
            let mut stored = stored.clone();
            change(&mut stored);
            let error = serde_json::from_value::<Network<f32>>(stored).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(&|stored| stored["config"]["units"] = 5.into(), "lstm.0.kernel is 16 x 3");
        refused(&|stored| stored["config"]["layers"] = 1.into(), "2 LSTM layers");
        refused(&|stored| stored["config"]["vocabulary"] = 0.into(), "vocabulary is zero");
        refused(&|stored| stored["head"]["bias"]["rows"] = 2.into(), "2 x 1 has 1 values");
    }

    #[test]
    fn a_configuration_without_sense_is_refused() {
        let zero = NetworkConfig { units: 0, ..config() };
        assert_eq!(Network::<f32>::new(&zero, 1), Err(NetworkError::ZeroSize { name: "units" }));
        for value in [1.0, -0.1, f64::NAN] {
            let config = NetworkConfig { word_dropout: value, ..config() };
            assert!(matches!(config.validate(), Err(NetworkError::DropoutOutOfRange { name: "word_dropout", .. })));
        }
    }

    #[test]
    fn logits_come_in_the_order_of_the_sequences() {
        let network = Network::<f64>::new(&config(), 5).unwrap();
        let sequences: Vec<Vec<u32>> = (0..150).map(|i| (0..i % 13).map(|t| ((i + t) % 11) as u32).collect()).collect();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let together = network.forward(&sequences).unwrap();
        for (index, sequence) in sequences.iter().enumerate() {
            let alone = network.forward(&[sequence]).unwrap();
            assert!((alone[0] - together[index]).abs() < 1e-13);
        }
        assert_eq!(network.forward(&[]).unwrap().shape(), (1, 0));
    }

    #[test]
    fn an_empty_sequence_gets_the_bias_of_the_head() {
        for readout in [Readout::Last, Readout::Mean, Readout::Max, Readout::Attention] {
            let mut network = Network::<f64>::new(&NetworkConfig { readout, ..config() }, 5).unwrap();
            network.head.bias[0] = 0.25;
            assert_eq!(network.forward(&[&[]]).unwrap()[0], 0.25);
        }
    }

    #[test]
    fn a_token_outside_the_vocabulary_is_refused() {
        let network = Network::<f32>::new(&config(), 5).unwrap();
        assert_eq!(network.forward(&[&[1], &[2, 11]]), Err(NetworkError::TokenOutOfRange { id: 11, vocabulary: 11 }));
    }

    #[test]
    fn tokens_lie_time_major_without_padding() {
        let sequences: [&[u32]; 4] = [&[1], &[2, 3, 4], &[], &[5, 6, 7]];
        let mut steps = Steps::default();
        steps.gather(&[0, 1, 2, 3], |index| sequences[index]);
        assert_eq!(steps.order, [1, 3, 0, 2]);
        assert_eq!(steps.ids, [2, 5, 1, 3, 6, 4, 7]);
        assert_eq!(steps.offsets, [0, 3, 5, 7]);
        assert_eq!((steps.len(), steps.count(1), steps.count(3)), (3, 2, 0));
    }

    #[test]
    fn a_mask_keeps_the_expectation() {
        let mut mask: Vec<f64> = Vec::new();
        draw_mask(&mut mask, 100_000, 0.25, &mut generator([1, 2, 3, 4]));
        let mean = mask.iter().sum::<f64>() / mask.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        draw_mask(&mut mask, 10, 0.0, &mut generator([1, 2, 3, 4]));
        assert!(mask.is_empty());
    }
}
