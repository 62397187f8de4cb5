//! The network: a chain of layers above an embedding.
//!
//! ```text
//! ids ──embedding──> x (features × tokens) ──layer──> y (features × tokens) ─ ... ──pooling──> r (features × sequences)
//!     ──dense──> logits (outputs × sequences, or × tokens without a pooling)
//! ```
//!
//! Each layer's file holds its forward and its backward pass, [`layer`] lists the layers, and this one runs the chain over a shard, whose tokens lie as
//! `steps` has them.

pub mod conv1d;
pub mod dense;
pub mod embedding;
pub mod gru;
pub mod initial;
pub mod integers;
pub mod layer;
pub mod layernorm;
pub(crate) mod lookup;
pub mod lstm;
pub mod maxpool;
pub(crate) mod pass;
pub mod pooling;
pub(crate) mod recurrent;
pub mod rnn;
pub(crate) mod steps;
pub(crate) mod tensors;
pub mod tiers;
pub mod variant;

use crate::batches::generator;
use crate::config::chain::{Chain, LayerConfig, Pooling};
use crate::real::{Real, tensor};
use embedding::Embedding;
use integers::Integers;
use layer::Layer;
use nalgebra::DMatrix;
use pass::Pass;
use rayon::prelude::*;
use recurrent::Kernels;
use serde::{Deserialize, Serialize};

/// Sequences that [`Network::forward`] takes together.
const EVALUATION_SHARD: usize = 64;

/// The number of a sequence, and the step of an answer in it; 0 where the sequence has one answer.
type Place = (usize, usize);

/// The shape of a network, and what is dropped while it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Token ids that the embedding knows: `0..vocabulary`; 0 of a network that reads samples, whose channels are the features of the chain's embedding.
    pub vocabulary: usize,
    /// Logits of the last layer: one for a binary answer or a value, else one a class.
    pub outputs: usize,
    /// The layers.
    pub chain: Chain,
}

impl NetworkConfig {
    /// A network of one output without dropout: embedding, `layers` LSTM layers of `units` each, a pooling where there is one, and a dense head.
    pub fn stacked(vocabulary: usize, embedding: usize, layers: usize, units: usize, pooling: Option<Pooling>) -> Self {
        Self { vocabulary, outputs: 1, chain: Chain::stacked(embedding, layers, units, pooling) }
    }

    /// Checks that the layers make a network.
    ///
    /// # Errors
    /// [`NetworkError::ZeroSize`] if a size is zero, [`NetworkError::DropoutOutOfRange`] if a dropout is not in `[0, 1)`,
    /// [`NetworkError::Order`] if the layers cannot stand in their order.
    pub fn validate(&self) -> Result<(), NetworkError> {
        let Chain { embedding, word_dropout, layers } = &self.chain;
        let mut sizes = vec![("embedding", *embedding), ("outputs", self.outputs)];
        let mut shares = vec![("word_dropout", *word_dropout)];
        for layer in layers {
            sizes.push(("units", layer.features(1, 1)));
            shares.push(("dropout", layer.dropout()));
            shares.extend(layer.cell().map(|cell| ("recurrent_dropout", cell.recurrent_dropout)));
        }
        if let Some(&(name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(NetworkError::ZeroSize { name });
        }
        if let Some(&(name, value)) = shares.iter().find(|(_, share)| !(0.0..1.0).contains(share)) {
            return Err(NetworkError::DropoutOutOfRange { name, value });
        }
        match self.chain.fault() {
            Some((layer, problem)) => Err(NetworkError::Order { layer, problem }),
            None => Ok(()),
        }
    }

    /// Each layer, and the features that it reads.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (&LayerConfig, usize)> {
        let mut features = self.chain.embedding;
        self.chain.layers.iter().map(move |layer| {
            let inputs = features;
            features = layer.features(inputs, self.outputs);
            (layer, inputs)
        })
    }

    /// Whether it reads samples in place of tokens.
    pub fn reads_samples(&self) -> bool {
        self.vocabulary == 0
    }

    /// Whether every step has an answer, rather than every sequence.
    pub fn answers_each_step(&self) -> bool {
        self.chain.pooling().is_none()
    }
}

/// Why a network cannot be made or run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// A size of the configuration is zero.
    #[error("the network's {name} is zero")]
    ZeroSize {
        /// What has no size.
        name: &'static str,
    },
    /// A dropout of the configuration is not in `[0, 1)`.
    #[error("the network's {name} is {value}, but must be at least 0 and below 1")]
    DropoutOutOfRange {
        /// Which dropout.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// The layers cannot stand in their order.
    #[error("layer {layer} of the network: {problem}")]
    Order {
        /// The layer; 0 is the embedding.
        layer: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A token id is not below the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
    /// A stored tensor has another shape than the configuration says.
    #[error(
        "tensor {name} is {} x {}, but the configuration says {} x {}",
        found.0, found.1, expected.0, expected.1
    )]
    ShapeMismatch {
        /// The tensor.
        name: String,
        /// Its rows and columns.
        found: (usize, usize),
        /// The rows and columns of the configuration.
        expected: (usize, usize),
    },
    /// An initial state does not fit its layer.
    #[error("layer {layer} of the network: {problem}")]
    Initial {
        /// The layer, counted from 0 above the embedding.
        layer: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A stored network has other tensors than its configuration says.
    #[error("the network has {found} tensors, but its configuration says {expected}")]
    TensorCount {
        /// The tensors that are there.
        found: usize,
        /// The tensors of the configuration.
        expected: usize,
    },
}

/// A network: its configuration and its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real", try_from = "Stored<T>", into = "Stored<T>")]
pub struct Network<T: Real> {
    config: NetworkConfig,
    /// Token ids to vectors.
    pub embedding: Embedding<T>,
    /// The layers above it, the lowest first; the last is dense and makes the logits.
    pub layers: Vec<Layer<T>>,
    /// The state of each layer in which a sequence begins; `None` where that is zeros.
    start: Option<Vec<Vec<T>>>,
}

/// A network as it is stored: the tensors in the order of [`Network::tensors`], and then its initial states where it has some.
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Real", rename = "Network")]
struct Stored<T: Real> {
    config: NetworkConfig,
    tensors: Vec<StoredTensor<T>>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Real", transparent)]
struct StoredTensor<T: Real>(#[serde(with = "tensor")] DMatrix<T>);

impl<T: Real> From<Network<T>> for Stored<T> {
    fn from(network: Network<T>) -> Self {
        let tensors = network.tensors().into_iter().map(|(_, tensor)| tensor.clone());
        let tensors = tensors.chain(network.stored_start()).map(StoredTensor).collect();
        Stored { config: network.config, tensors }
    }
}

impl<T: Real> TryFrom<Stored<T>> for Network<T> {
    type Error = NetworkError;

    fn try_from(stored: Stored<T>) -> Result<Self, NetworkError> {
        Network::from_tensors(stored.config, stored.tensors.into_iter().map(|tensor| tensor.0).collect())
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
        let mut network = Self::zeros(config.clone());
        let rng = &mut generator([seed, 0, u64::MAX, 0]);
        network.embedding.initialize(rng);
        network.layers.iter_mut().for_each(|layer| layer.initialize(rng));
        Ok(network)
    }

    /// A network of zeros, of a configuration that is valid.
    fn zeros(config: NetworkConfig) -> Self {
        let embedding = Embedding::zeros(config.vocabulary, config.chain.embedding);
        let mut layers: Vec<Layer<T>> =
            config.layers().map(|(layer, inputs)| Layer::zeros(layer, inputs, config.outputs)).collect();
        for (number, layer) in layers.iter_mut().enumerate() {
            if let Layer::Bidirectional(layer) = layer {
                layer.ends = config.chain.ends(number);
            }
        }
        Self { config, embedding, layers, start: None }
    }

    /// A network of weights that are there already, in the order of [`Network::tensors`], and of its initial states behind them where it is stored with some.
    ///
    /// # Errors
    /// Those of [`NetworkConfig::validate`]; [`NetworkError::TensorCount`] or [`NetworkError::ShapeMismatch`] if the weights are not those
    /// that the configuration describes.
    pub fn from_tensors(config: NetworkConfig, tensors: Vec<DMatrix<T>>) -> Result<Self, NetworkError> {
        config.validate()?;
        // Sizes that no tensor here can have are refused before memory is asked for.
        let stored: usize = tensors.iter().map(DMatrix::len).sum();
        let units = |layer: &LayerConfig, inputs| layer.features(inputs, config.outputs);
        let products = config.layers().flat_map(|(layer, inputs)| match layer.cell() {
            _ if matches!(layer, LayerConfig::Pooling(_) | LayerConfig::MaxPool { .. }) => [(layer.name(), 0, 0); 2],
            _ if matches!(layer, LayerConfig::LayerNorm { .. }) => [(layer.name(), inputs, 1); 2],
            Some(cell) => [(layer.name(), cell.units, inputs), (layer.name(), cell.units, units(layer, inputs))],
            None => [(layer.name(), units(layer, inputs), layer.frames().saturating_mul(inputs)); 2],
        });
        let table = ("embedding.table", config.chain.embedding, config.vocabulary);
        for (name, rows, columns) in std::iter::once(table).chain(products) {
            if rows.checked_mul(columns).is_none_or(|size| size > stored) {
                let found = tensors.first().map_or((0, 0), DMatrix::shape);
                return Err(NetworkError::ShapeMismatch { name: name.into(), found, expected: (rows, columns) });
            }
        }
        let mut network = Self::zeros(config);
        let (columns, places) = (network.stored_columns(), network.tensors_mut());
        let (mut tensors, expected) = (tensors, places.len());
        let has_start = columns > 0 && tensors.len() == expected + columns;
        if expected != tensors.len() && !has_start {
            return Err(NetworkError::TensorCount { found: tensors.len(), expected });
        }
        let start = tensors.split_off(expected);
        for ((name, place), tensor) in places.into_iter().zip(tensors) {
            let (found, expected) = (tensor.shape(), place.shape());
            if found != expected {
                return Err(NetworkError::ShapeMismatch { name, found, expected });
            }
            *place = tensor;
        }
        if has_start {
            network.take_start(start)?;
        }
        Ok(network)
    }

    /// The configuration.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Every tensor with its name, in a fixed order: `embedding.table`, then those of each layer, as `lstm.0.kernel`: its kind, its place above the
    /// embedding from 0, and the name of [`Layer::for_each_tensor`].
    pub fn tensors(&self) -> Vec<(String, &DMatrix<T>)> {
        let mut tensors = Vec::new();
        self.embedding.for_each_tensor(&mut |name, tensor| tensors.push((format!("embedding.{name}"), tensor)));
        for ((number, layer), config) in self.layers.iter().enumerate().zip(&self.config.chain.layers) {
            let kind = config.name();
            layer.for_each_tensor(&mut |name, tensor| tensors.push((format!("{kind}.{number}.{name}"), tensor)));
        }
        tensors
    }

    /// The tensors of [`Network::tensors`] in the same order, to be changed. A tensor must keep its shape.
    pub fn tensors_mut(&mut self) -> Vec<(String, &mut DMatrix<T>)> {
        let mut tensors = Vec::new();
        self.embedding.for_each_tensor_mut(&mut |name, tensor| tensors.push((format!("embedding.{name}"), tensor)));
        for ((number, layer), config) in self.layers.iter_mut().enumerate().zip(&self.config.chain.layers) {
            let kind = config.name();
            layer.for_each_tensor_mut(&mut |name, tensor| tensors.push((format!("{kind}.{number}.{name}"), tensor)));
        }
        tensors
    }

    /// Layers of zeros in the shapes of this network's: the place for their gradients.
    pub(crate) fn zero_layers(&self) -> Vec<Layer<T>> {
        self.config.layers().map(|(layer, inputs)| Layer::zeros(layer, inputs, self.config.outputs)).collect()
    }

    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.tensors().iter().map(|(_, tensor)| tensor.len()).sum()
    }

    /// The same network in another number type.
    pub fn convert<U: Real>(&self) -> Network<U> {
        let mut network = Network::zeros(self.config.clone());
        for ((_, to), (_, from)) in network.tensors_mut().into_iter().zip(self.tensors()) {
            *to = from.map(|value| U::of(value.as_f64()));
        }
        let convert = |state: &Vec<T>| state.iter().map(|value| U::of(value.as_f64())).collect();
        network.start = self.start.as_ref().map(|start| start.iter().map(convert).collect());
        network
    }

    /// The logits (outputs × sequences) of all sequences, without dropout. The sequences are shared out over rayon's threads;
    /// the result does not depend on their number. Where each step has an answer the columns are the tokens, sequence after sequence.
    ///
    /// # Errors
    /// [`NetworkError::TokenOutOfRange`] if a token id is not below the vocabulary.
    pub fn forward(&self, sequences: &[&[u32]]) -> Result<DMatrix<T>, NetworkError> {
        self.forward_by(sequences, None)
    }

    /// The same in floats, or with the integers of an image of the network.
    pub(crate) fn forward_by(
        &self,
        sequences: &[&[u32]],
        integers: Option<&Integers<T>>,
    ) -> Result<DMatrix<T>, NetworkError> {
        for ids in sequences {
            self.check_ids(ids)?;
        }
        if self.start.is_none() || self.embedding.ids() == 0 {
            return Ok(self.logits(sequences, integers));
        }
        // A step in front of each sequence has the initial states; its answer is that before the first step.
        let led: Vec<Vec<u32>> = sequences.iter().map(|ids| self.led(ids)).collect();
        let logits = self.logits(&led.iter().map(Vec::as_slice).collect::<Vec<_>>(), integers);
        if !self.config.answers_each_step() {
            return Ok(logits);
        }
        let mut first = 0;
        let columns = led.iter().flat_map(|ids| {
            let columns = first + 1..first + ids.len();
            first += ids.len();
            columns
        });
        Ok(logits.select_columns(&columns.collect::<Vec<_>>()))
    }

    /// The logits of sequences whose ids are below the vocabulary, those of a step in front among them where there are initial states.
    fn logits(&self, sequences: &[&[u32]], integers: Option<&Integers<T>>) -> DMatrix<T> {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(sequences[index].len()));
        let outputs = self.config.outputs;
        // What stands at steps that no layer has answered yet.
        let late = self.config.answers_each_step() && self.config.chain.rhythm().first > 0;
        let before = if late { self.before_the_first().unwrap_or_default() } else { Vec::new() };
        let mut kernels = vec![Kernels::default(); self.layers.len()];
        self.layers.iter().zip(&mut kernels).for_each(|(layer, kernels)| layer.pack_forward(kernels));
        let shards: Vec<(Vec<Place>, Vec<T>)> = order
            .par_chunks(EVALUATION_SHARD)
            .map_init(
                || Pass::new(self),
                |pass, chunk| {
                    pass.steps.gather(chunk, |index| sequences[index]);
                    if let Some(start) = &self.start {
                        pass.go_on(self, Some(&|_| start));
                    }
                    match integers {
                        Some(integers) => pass.forward_integers(integers, None),
                        None => pass.forward(self, &kernels, None, None),
                    }
                    let place = |sequence: usize, step: usize| (pass.steps.order[sequence], step);
                    let steps = &pass.steps;
                    if !self.config.answers_each_step() {
                        let places = (0..steps.sequences()).map(|sequence| place(sequence, 0)).collect();
                        return (places, pass.logits(self).clone());
                    }
                    let all = || (0..steps.len()).flat_map(|step| (0..steps.count(step)).map(move |at| (at, step)));
                    let places: Vec<Place> = all().map(|(sequence, step)| place(sequence, step)).collect();
                    let (top, rhythm) = pass.top(self);
                    if rhythm.is_each() {
                        return (places, pass.logits(self).clone());
                    }
                    // An answer holds until the next.
                    let logits = pass.logits(self);
                    let answer = |(sequence, step)| match steps.above(step, rhythm) {
                        Some(above) => &logits[top.token(above, sequence) * outputs..][..outputs],
                        None => &before[..],
                    };
                    let values = all().flat_map(answer).copied().collect();
                    (places, values)
                },
            )
            .collect();
        // The column at which each sequence begins.
        let mut starts = vec![0];
        for ids in sequences {
            let columns = if self.config.answers_each_step() { ids.len() } else { 1 };
            starts.push(starts[starts.len() - 1] + columns);
        }
        let mut logits = DMatrix::zeros(outputs, starts[sequences.len()]);
        for (places, values) in shards {
            for ((index, step), column) in places.into_iter().zip(values.chunks_exact(outputs)) {
                logits.column_mut(starts[index] + step).copy_from_slice(column);
            }
        }
        logits
    }

    /// The logits before the first id of a sequence, where each step has an answer: what the layers behind the last one that remembers something make of zeros, or of the
    /// initial states.
    ///
    /// # Errors
    /// None of a network that answers each step.
    pub fn before_the_first(&self) -> Result<Vec<T>, NetworkError> {
        if self.start.is_some() && self.embedding.ids() > 0 {
            return Ok(self.logits(&[&[0]], None).as_slice().to_vec());
        }
        let mut config = self.config.clone();
        let layers = &mut config.chain.layers;
        let behind = layers.iter().rposition(LayerConfig::remembers).map_or(0, |last| last + 1);
        layers.insert(behind, LayerConfig::Pooling(Pooling::Last));
        let tensors = self.tensors().into_iter().map(|(_, tensor)| tensor.clone()).collect();
        Ok(Network::from_tensors(config, tensors)?.forward(&[&[]])?.as_slice().to_vec())
    }

    /// The largest magnitude of each convolution's values over sequences, the lowest first; nothing without a convolution.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn peaks(&self, sequences: &[&[u32]]) -> Result<Vec<T>, NetworkError> {
        let convolutions = self.layers.iter().filter(|layer| matches!(layer, Layer::Conv1d(_))).count();
        if convolutions == 0 {
            return Ok(Vec::new());
        }
        for ids in sequences {
            self.check_ids(ids)?;
        }
        let mut kernels = vec![Kernels::default(); self.layers.len()];
        self.layers.iter().zip(&mut kernels).for_each(|(layer, kernels)| layer.pack_forward(kernels));
        let indices: Vec<usize> = (0..sequences.len()).collect();
        let largest = |values: &Vec<T>| values.iter().fold(T::zero(), |most, value| most.max(value.abs()));
        let shards = indices.par_chunks(EVALUATION_SHARD).map_init(
            || Pass::new(self),
            |pass, chunk| -> Vec<T> {
                pass.steps.gather(chunk, |index| sequences[index]);
                pass.forward(self, &kernels, None, None);
                let stages = self.layers.iter().zip(&pass.stages);
                let convolutions = stages.filter(|(layer, _)| matches!(layer, Layer::Conv1d(_)));
                convolutions.map(|(layer, stage)| largest(layer.output(&stage.tape))).collect()
            },
        );
        let join = |mut peaks: Vec<T>, others: Vec<T>| {
            peaks.iter_mut().zip(others).for_each(|(peak, other)| *peak = peak.max(other));
            peaks
        };
        Ok(shards.reduce(|| vec![T::zero(); convolutions], join))
    }

    /// Checks that every id is below the vocabulary.
    pub(crate) fn check_ids(&self, ids: &[u32]) -> Result<(), NetworkError> {
        let vocabulary = self.embedding.ids();
        match ids.iter().find(|&&id| id as usize >= vocabulary) {
            Some(&id) => Err(NetworkError::TokenOutOfRange { id, vocabulary }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig::stacked(11, 3, 2, 4, Some(Pooling::Last))
    }

    fn of(layers: &str) -> NetworkConfig {
        NetworkConfig { vocabulary: 11, outputs: 2, chain: format!("embedding 3 > {layers} > dense").parse().unwrap() }
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
            "dense.3.kernel",
            "dense.3.bias",
        ];
        assert_eq!(names, expected);
        let again: Vec<String> = network.tensors_mut().into_iter().map(|(name, _)| name).collect();
        assert_eq!(again, expected);
        assert_eq!(network.weights(), 33 + (48 + 64 + 16) + (64 + 64 + 16) + 5);
        let mixed = Network::<f32>::new(&of("gru 2 > gru 2 reset_before > rnn 5 > mean > dense 7 relu"), 5).unwrap();
        let names: Vec<String> = mixed.tensors().into_iter().map(|(name, _)| name).collect();
        let expected = "embedding.table gru.0.kernel gru.0.recurrent_kernel gru.0.bias gru.0.recurrent_bias gru.1.kernel \
                        gru.1.recurrent_kernel gru.1.bias rnn.2.kernel rnn.2.recurrent_kernel rnn.2.bias dense.4.kernel \
                        dense.4.bias dense.5.kernel dense.5.bias";
        assert_eq!(names.join(" "), expected);
        assert_eq!(mixed.weights(), 33 + (18 + 12 + 6 + 6) + (12 + 12 + 6) + (10 + 25 + 5) + (35 + 7) + (14 + 2));
    }

    #[test]
    fn a_network_survives_being_stored() {
        for config in [config(), of("gru 2 > gru 2 reset_before > rnn 5 relu > dense 3 > mean > dense 7 relu")] {
            let network = Network::<f32>::new(&config, 5).unwrap();
            let stored = serde_json::to_string(&network).unwrap();
            assert_eq!(serde_json::from_str::<Network<f32>>(&stored).unwrap(), network);
            let stored = postcard::to_stdvec(&network).unwrap();
            assert_eq!(postcard::from_bytes::<Network<f32>>(&stored).unwrap(), network);
        }
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
        let chain = |text: &'static str| move |stored: &mut serde_json::Value| stored["config"]["chain"] = text.into();
        refused(&chain("embedding 3 > lstm 5 > lstm 4 > last > dense"), "lstm.0.kernel is 16 x 3");
        refused(&chain("embedding 3 > lstm 4 > last > dense"), "9 tensors, but its configuration says 6");
        refused(
            &chain("embedding 3 > lstm 4 > lstm 60000 > last > dense"),
            "lstm is 3 x 11, but the configuration says",
        );
        refused(&chain("embedding 3 > lstn 4 > last > dense"), "did you mean `lstm`?");
        // None is a network of samples, which has no table.
        refused(
            &|stored| stored["config"]["vocabulary"] = 0.into(),
            "embedding.table is 3 x 11, but the configuration says 3 x 0",
        );
        refused(&|stored| stored["config"]["vocabulary"] = u64::MAX.into(), "embedding.table is 3 x 11");
        refused(&|stored| stored["tensors"][8]["rows"] = 2.into(), "2 x 1 has 1 values");
    }

    #[test]
    fn a_configuration_without_sense_is_refused() {
        let zero = NetworkConfig::stacked(11, 3, 1, 0, None);
        assert_eq!(Network::<f32>::new(&zero, 1), Err(NetworkError::ZeroSize { name: "units" }));
        let mut twice = config();
        twice.chain.layers.insert(0, LayerConfig::Pooling(Pooling::Max));
        assert!(matches!(Network::<f32>::new(&twice, 1), Err(NetworkError::Order { layer: 2, .. })));
        for value in [1.0, -0.1, f64::NAN] {
            let mut config = config();
            config.chain.word_dropout = value;
            assert!(matches!(config.validate(), Err(NetworkError::DropoutOutOfRange { name: "word_dropout", .. })));
        }
    }

    #[test]
    fn logits_come_in_the_order_of_the_sequences() {
        for layers in ["lstm 4 > lstm 4 > last", "gru 4 > rnn 3 > attention > dense 5 tanh", "gru 4 reset_before > max"]
        {
            let network = Network::<f64>::new(&of(layers), 5).unwrap();
            let sequences: Vec<Vec<u32>> =
                (0..150).map(|i| (0..i % 13).map(|t| ((i + t) % 11) as u32).collect()).collect();
            let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
            let together = network.forward(&sequences).unwrap();
            for (index, sequence) in sequences.iter().enumerate() {
                let alone = network.forward(&[sequence]).unwrap();
                assert!((alone.column(0) - together.column(index)).abs().max() < 1e-13);
            }
            assert_eq!(network.forward(&[]).unwrap().shape(), (2, 0));
        }
    }

    #[test]
    fn an_empty_sequence_gets_the_bias_of_the_head() {
        for pooling in Pooling::ALL {
            for cell in ["lstm", "gru", "gru 4 reset_before > rnn"] {
                let mut network = Network::<f64>::new(&of(&format!("{cell} 4 > {}", pooling.name())), 5).unwrap();
                network.tensors_mut().pop().unwrap().1[1] = 0.25;
                assert_eq!(network.forward(&[&[]]).unwrap()[1], 0.25);
            }
        }
    }

    #[test]
    fn a_token_outside_the_vocabulary_is_refused() {
        let network = Network::<f32>::new(&config(), 5).unwrap();
        assert_eq!(network.forward(&[&[1], &[2, 11]]), Err(NetworkError::TokenOutOfRange { id: 11, vocabulary: 11 }));
    }
}
