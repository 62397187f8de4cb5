//! From a trained network in f32 to the tensors of an image, at a precision.
//!
//! `f32` and `f16` keep the values (f16 rounds them); `int16`, `int8`, `mixed` and `int4` map them to integers, see [`rows`] and a file a layer, and a network can learn with
//! them, see [`aware`]. The layout of every tensor is the engine's: this module fills what [`latch_engine::image::encode`] lays out.

pub mod aware;
pub mod conv1d;
pub mod dense;
pub mod describe;
mod embedding;
pub mod gru;
pub mod lstm;
pub mod rnn;
pub mod rows;
pub mod saturation;
mod tensors;
pub mod variant;

use anyhow::Result;
use latch_engine::image::encode::{AlignedBytes, Notes, Tensor, Values, encode};
use latch_engine::image::header::{Input, Provenance};
use latch_engine::image::role::Role;
use latch_engine::image::start::Start;
use latch_engine::layers::embedding::Tiers;
use latch_engine::layers::pooling;
use latch_engine::{Initial, certify, initial_states};
use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use crate::config::Storage;
use crate::config::chain::{Activation, LayerConfig, Merge, Pooling};
use crate::error::fault;
use crate::network::layer::Layer;
use crate::network::maxpool::MaxPool;
use crate::network::{Network, initial};
use crate::ngrams::Table;
use crate::vocabulary::{Vocabulary, occurrences};
pub use embedding::{Clipped, Rounded, clipped, rounded};
use rows::{Grid, Row, Weight};
use variant::FloatLayer;

impl From<Pooling> for pooling::Pooling {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Last => Self::Last,
            Pooling::Mean => Self::Mean,
            Pooling::Max => Self::Max,
            Pooling::Attention => Self::Attention,
        }
    }
}

/// The weights of a trained network as plain row-major f32, gates in the order i, f, g, o.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `rows × width`.
    pub embedding: Vec<f32>,
    /// Features of an embedding row.
    pub width: usize,
    /// The recurrent layers, first to last; none in a bag of embeddings.
    pub layers: Vec<CellWeights>,
    /// Dense layers between the embedding and the head, in their order.
    pub dense: Vec<DenseWeights>,
    /// Convolutions, in their order.
    pub convolutions: Vec<ConvWeights>,
    /// Largest values over steps, each with its place among the layers above the embedding, from 0.
    pub maxima: Vec<(usize, MaxPool)>,
    /// Layers that images have in floats alone, with their places above the embedding, in their order.
    pub floats: Vec<(usize, FloatLayer)>,
    /// What the head sees.
    pub pooling: pooling::Pooling,
    /// `outputs × units` of the last layer, or `outputs × width` without one.
    pub head: Vec<f32>,
    /// One for each output.
    pub head_bias: Vec<f32>,
    /// How often each row of the embedding occurs in the training examples, `rows`; empty where that is not known. See [`Weights::calibrated`].
    pub occurrences: Vec<u32>,
    /// The scale of each of the embedding's columns in integer precisions, `width`; empty where the quantizer is to choose them.
    pub embedding_scales: Vec<f32>,
    /// The n-grams whose contribution is added to the logit.
    pub ngrams: Option<Table>,
    /// The form of the rows of the ids that occur seldom, in integer precisions. Who they are follows from `occurrences`.
    pub tiers: Option<Tiers>,
    /// The initial states of recurrent layers; none where all begin with zeros.
    pub initial: Vec<initial::Initial<f32>>,
}

/// The largest number that half a float holds.
const LARGEST_F16: f32 = 65_504.0;

/// What a recurrent layer does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Gates i, f, g, o.
    Lstm,
    /// Gates z, r, n.
    Gru {
        /// Whether the reset gate acts after the product with U.
        reset_after: bool,
    },
    /// One row a unit.
    Rnn {
        /// Tanh or relu.
        activation: Activation,
    },
}

impl Cell {
    /// Rows of a unit.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
            Cell::Rnn { .. } => 1,
        }
    }
}

/// A dense layer before the head, `outputs` rows, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseWeights {
    /// Its place among the layers above the embedding, from 0.
    pub place: usize,
    /// What its sums go through.
    pub activation: Activation,
    /// `outputs × inputs`.
    pub kernel: Vec<f32>,
    /// `outputs`.
    pub bias: Vec<f32>,
}

/// A convolution, a row for each unit, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvWeights {
    /// Its place among the layers above the embedding, from 0.
    pub place: usize,
    /// Frames of its window.
    pub frames: usize,
    /// Steps from one of its answers to the next.
    pub stride: usize,
    /// Its first answer comes when its window is full.
    pub valid: bool,
    /// Relu follows the sums.
    pub relu: bool,
    /// `units × frames·inputs`, the oldest frame first.
    pub kernel: Vec<f32>,
    /// `units`.
    pub bias: Vec<f32>,
    /// The largest magnitude of its values, where calibration has seen some: integers have this range.
    pub range: Option<f32>,
}

/// The weights of a recurrent layer with `I` inputs, `H` units and `G` gates. Row `gate·H + unit`.
#[derive(Clone, Debug, PartialEq)]
pub struct CellWeights {
    /// What it does with its rows.
    pub cell: Cell,
    /// Features of its input, `I`.
    pub inputs: usize,
    /// Units, `H`.
    pub units: usize,
    /// `GH × I`.
    pub kernel: Vec<f32>,
    /// `GH × H`.
    pub recurrent_kernel: Vec<f32>,
    /// `GH`.
    pub bias: Vec<f32>,
    /// `GH`: the bias of the product with U, of a GRU whose reset acts after it; else empty.
    pub recurrent_bias: Vec<f32>,
    /// The other direction of a layer that has two.
    pub second: Option<Box<SecondDirection>>,
    /// The largest shift that its integers may have: both directions have one.
    pub most_shift: u8,
}

/// The direction from the last step to the first of a layer that has two, and what becomes of both.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondDirection {
    /// Its weights.
    pub cell: CellWeights,
    /// How the values of both become one vector.
    pub merge: Merge,
    /// Whether only the last state of each direction is asked for.
    pub ends: bool,
    /// Steps of the longest sequence.
    pub longest: usize,
}

/// A matrix row-major: matrices here are column-major, so that a transpose's storage is the row-major original.
fn row_major(matrix: &DMatrix<f32>) -> Vec<f32> {
    matrix.transpose().as_slice().to_vec()
}

impl CellWeights {
    /// Those of a recurrent layer, or of the first direction of a layer that has two; `None` of any other.
    fn of(layer: &Layer<f32>) -> Option<Self> {
        let (cell, recurrent_kernel, recurrent_bias) = match layer {
            Layer::Lstm(layer) => (Cell::Lstm, &layer.recurrent_kernel, None),
            Layer::Gru(layer) => {
                let cell = Cell::Gru { reset_after: layer.reset_after() };
                (cell, &layer.recurrent_kernel, layer.recurrent_bias.as_ref())
            }
            Layer::Rnn(layer) => (Cell::Rnn { activation: layer.activation }, &layer.recurrent_kernel, None),
            Layer::Bidirectional(both) => return Self::of(&both.forward),
            Layer::Conv1d(_)
            | Layer::Dense(_)
            | Layer::Pooling(_)
            | Layer::Variant(_)
            | Layer::LayerNorm(_)
            | Layer::MaxPool(_) => return None,
        };
        let (kernel, bias) = layer.projection()?;
        Some(CellWeights {
            cell,
            inputs: kernel.ncols(),
            units: recurrent_kernel.ncols(),
            kernel: row_major(kernel),
            recurrent_kernel: row_major(recurrent_kernel),
            bias: bias.as_slice().to_vec(),
            recurrent_bias: recurrent_bias.map_or(Vec::new(), |bias| bias.as_slice().to_vec()),
            second: None,
            most_shift: rows::LARGEST_SHIFT,
        })
    }

    /// Features that the layer hands on.
    pub fn features(&self) -> usize {
        self.second.as_ref().map_or(self.units, |second| second.merge.features(self.units))
    }

    /// The weight of a gate's unit for a column of [x; h].
    pub fn weight(&self, gate: usize, unit: usize, column: usize) -> f32 {
        let row = gate * self.units + unit;
        if column < self.inputs {
            self.kernel[row * self.inputs + column]
        } else {
            self.recurrent_kernel[row * self.units + column - self.inputs]
        }
    }

    /// A row over [x; h], whose columns of x are worth `input_scales`.
    fn joined_row<W: Weight>(&self, row: usize, input_scales: &[f32], grid: Grid) -> Row {
        let x = self.kernel[row * self.inputs..][..self.inputs].iter().zip(input_scales);
        let h = &self.recurrent_kernel[row * self.units..][..self.units];
        let x = x.map(|(&weight, &scale)| f64::from(weight) * f64::from(scale));
        Row::new(x.chain(h.iter().map(|&weight| f64::from(weight) * W::HIDDEN)).collect(), grid)
    }
}

impl Weights {
    /// A network with random weights of the sizes that training gives, for benchmarks and tests: `rows × width` embedding, LSTM layers of
    /// the given units, one output.
    pub fn random(rows: usize, width: usize, units: &[usize], pooling: pooling::Pooling, seed: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = |count: usize, limit: f32| -> Vec<f32> {
            (0..count).map(|_| generator.random_range(-limit..limit)).collect()
        };
        let embedding = uniform(rows * width, 1.0);
        let mut inputs = width;
        let layers = units
            .iter()
            .map(|&units| {
                let limit = (6.0 / (inputs + units) as f32).sqrt();
                let mut bias = uniform(4 * units, 0.2);
                bias[units..2 * units].iter_mut().for_each(|bias| *bias += 1.0);
                let kernel = uniform(4 * units * inputs, limit);
                let recurrent_kernel = uniform(4 * units * units, limit);
                let layer = CellWeights {
                    cell: Cell::Lstm,
                    inputs,
                    units,
                    kernel,
                    recurrent_kernel,
                    bias,
                    recurrent_bias: Vec::new(),
                    second: None,
                    most_shift: rows::LARGEST_SHIFT,
                };
                inputs = units;
                layer
            })
            .collect();
        let head = uniform(inputs, 2.0);
        let head_bias = uniform(1, 0.5);
        let (occurrences, embedding_scales) = (Vec::new(), Vec::new());
        Weights {
            embedding,
            width,
            layers,
            dense: Vec::new(),
            convolutions: Vec::new(),
            maxima: Vec::new(),
            floats: Vec::new(),
            pooling,
            head,
            head_bias,
            occurrences,
            embedding_scales,
            ngrams: None,
            tiers: None,
            initial: Vec::new(),
        }
    }

    /// The weights of a network, row-major, before any calibration.
    pub fn of(network: &Network<f32>) -> Self {
        let config = network.config();
        let mut weights = Weights {
            // The embedding table is features × ids: its columns are the rows of an image's embedding.
            embedding: network.embedding.table.as_slice().to_vec(),
            width: config.chain.embedding,
            layers: Vec::new(),
            dense: Vec::new(),
            convolutions: Vec::new(),
            maxima: Vec::new(),
            floats: Vec::new(),
            // After each step the engine's stream has just read its last token.
            pooling: config.chain.pooling().unwrap_or_default().into(),
            head: Vec::new(),
            head_bias: Vec::new(),
            occurrences: Vec::new(),
            embedding_scales: Vec::new(),
            ngrams: None,
            tiers: None,
            initial: network.initial(),
        };
        for (place, layer) in network.layers.iter().enumerate() {
            match layer {
                Layer::Conv1d(layer) => weights.convolutions.push(ConvWeights {
                    place,
                    frames: layer.frames,
                    stride: layer.stride,
                    valid: layer.valid,
                    relu: layer.dense.activation == Activation::Relu,
                    kernel: row_major(&layer.dense.kernel),
                    bias: layer.dense.bias.as_slice().to_vec(),
                    range: None,
                }),
                Layer::Dense(layer) if place + 1 == network.layers.len() => {
                    weights.head = row_major(&layer.kernel);
                    weights.head_bias = layer.bias.as_slice().to_vec();
                }
                Layer::Dense(layer) => {
                    let (kernel, bias) = (row_major(&layer.kernel), layer.bias.as_slice().to_vec());
                    weights.dense.push(DenseWeights { place, activation: layer.activation, kernel, bias });
                }
                Layer::Variant(layer) => weights.floats.push((place, FloatLayer::Variant(Box::new(layer.clone())))),
                Layer::LayerNorm(layer) => weights.floats.push((place, FloatLayer::LayerNorm(layer.clone()))),
                Layer::MaxPool(layer) => weights.maxima.push((place, *layer)),
                layer => {
                    let second = |cell: &mut CellWeights| second_direction(layer, &config.chain.layers[place], cell);
                    weights.layers.extend(CellWeights::of(layer).map(|mut cell| {
                        second(&mut cell);
                        cell
                    }));
                }
            }
        }
        weights
    }

    /// The recurrent layers, each direction by itself.
    fn cells(&self) -> impl Iterator<Item = &CellWeights> {
        self.layers
            .iter()
            .flat_map(|layer| std::iter::once(layer).chain(layer.second.iter().map(|second| &second.cell)))
    }

    /// The same with the ranges of the convolutions' values in integers, the lowest first; without one a range follows from the weights.
    #[must_use]
    pub fn ranged(mut self, ranges: &[f32]) -> Self {
        for (layer, &range) in self.convolutions.iter_mut().zip(ranges) {
            layer.range = Some(range);
        }
        self
    }

    /// The narrower of f16 and f32 that holds every weight.
    pub fn narrowest_floats(&self) -> Storage {
        let cells =
            self.cells().flat_map(|layer| [&layer.kernel, &layer.recurrent_kernel, &layer.bias, &layer.recurrent_bias]);
        let dense = self.dense.iter().flat_map(|layer| [&layer.kernel, &layer.bias]);
        let convolutions = self.convolutions.iter().flat_map(|layer| [&layer.kernel, &layer.bias]);
        let all = [&self.embedding, &self.head, &self.head_bias];
        let tensors = all.into_iter().chain(cells).chain(dense).chain(convolutions);
        let floats = self.floats.iter().flat_map(|(_, layer)| layer.tensors()).flat_map(|(_, tensor)| tensor.iter());
        let fits = tensors.flatten().chain(floats).all(|weight| weight.abs() <= LARGEST_F16);
        if fits { Storage::F16 } else { Storage::F32 }
    }

    /// Calibrates the network on training examples, given as their ids: integer precisions keep the rows that occur often most exactly.
    #[must_use]
    pub fn calibrated<'i>(mut self, examples: impl IntoIterator<Item = &'i [u32]>) -> Self {
        self.occurrences = occurrences(examples, self.embedding.len() / self.width);
        self
    }
}

/// The other direction of a layer that has two, into the weights of its first.
fn second_direction(layer: &Layer<f32>, config: &LayerConfig, first: &mut CellWeights) {
    if let (Layer::Bidirectional(both), LayerConfig::Bidirectional(shape)) = (layer, config)
        && let Some(cell) = CellWeights::of(&both.backward)
    {
        let (merge, ends, longest) = (both.merge, both.ends, shape.longest);
        first.second = Some(Box::new(SecondDirection { cell, merge, ends, longest }));
    }
}

/// Where a model comes from: what goes into the image's manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The training run's seed.
    pub seed: u64,
    /// SHA-256 of the training examples.
    pub data_sha256: [u8; 32],
    /// Number of training examples.
    pub examples: u32,
    /// Epochs trained.
    pub epochs: u32,
    /// Accuracy on the validation part, 0 to 1.
    pub valid_accuracy: f32,
    /// The names of the classes in the order of their numbers; none where nobody has named them.
    pub classes: Vec<String>,
    /// The probability from which on the second class of two is answered, where it was chosen; the weights have it in their bias already.
    pub threshold: Option<f64>,
}

/// The key under which an image says at which probability it answers the second class. Its weights have the threshold in their bias, so that a half means this probability.
pub const THRESHOLD: &str = "threshold";

impl Origin {
    /// What the image says of it under free keys. The same number of bytes whatever the threshold is.
    pub fn metadata(&self) -> Vec<(String, String)> {
        self.threshold.map(|threshold| (THRESHOLD.to_owned(), format!("{threshold:.6}"))).into_iter().collect()
    }
}

/// What 1.0 of each value that a layer hands on is worth in the integers of a precision: a list a layer of the image, but for the last one. A pooling has none, and so
/// have layers of floats.
///
/// # Errors
/// A fault when weights are too large for integers.
pub fn worths(weights: &Weights, vocabulary: &Vocabulary, storage: Storage) -> Result<Vec<Vec<f64>>> {
    Ok(tensors::pack(weights, vocabulary.scaling.as_ref(), storage)?.worths)
}

/// Writes the image of a network at a precision or another storage of its weights, and opens it once to prove that it opens.
///
/// # Errors
/// A fault naming the tensor when a weight is not finite; an error when the shapes do not fit each other or the engine's limits.
pub fn to_image(
    weights: &Weights,
    vocabulary: &Vocabulary,
    storage: impl Into<Storage>,
    origin: &Origin,
) -> Result<AlignedBytes> {
    let storage: Storage = storage.into();
    check_finite(weights)?;
    let beside;
    let weights = match &weights.ngrams {
        // The table has no bias of its own: the head's is one for both.
        Some(table) => {
            let head_bias = weights.head_bias.iter().zip(&table.bias).map(|(bias, table)| bias + table).collect();
            beside = Weights { head_bias, ..weights.clone() };
            &beside
        }
        None => weights,
    };
    let mut packed = tensors::pack(weights, vocabulary.scaling.as_ref(), storage)?;
    let input = match &vocabulary.scaling {
        Some(scaling) => {
            packed.tensors.extend(scaling.tensors(storage.precision().is_integer()));
            Input::Samples(scaling.shape())
        }
        None => {
            let encoded = vocabulary.encode()?;
            let text = encoded.shape(vocabulary.tokenization.tokens, vocabulary.unknown);
            for (role, bytes) in [
                (Role::VocabularyTables, encoded.tables),
                (Role::VocabularyIndex, encoded.index),
                (Role::VocabularyText, encoded.stream),
            ] {
                packed.tensors.push(Tensor { role, layer: 0, values: Values::Bytes(bytes) });
            }
            Input::Text(text)
        }
    };
    let mut ngrams = None;
    if let Some(table) = &weights.ngrams {
        let (shape, entries) = table.quantized();
        ngrams = Some(shape);
        packed.tensors.push(Tensor { role: Role::Ngrams, layer: 0, values: Values::U16(entries) });
    }
    let embedding = (weights.embedding.len() / weights.width, weights.width);
    let mut description = packed.chain.describe(input, embedding, weights.tiers, ngrams, storage)?;
    if !weights.initial.is_empty() {
        description.start = Start::behind(0);
        let states = weights.initial.iter();
        let states: Vec<Initial<'_>> =
            states.map(|initial::Initial { layer, hidden, cell }| Initial { layer: *layer, hidden, cell }).collect();
        packed.tensors.push(initial_states(&description, &states)?);
    }
    let provenance = Provenance {
        producer: concat!("latch ", env!("CARGO_PKG_VERSION")).as_bytes(),
        seed: origin.seed,
        data_sha256: origin.data_sha256,
        examples: origin.examples,
        epochs: origin.epochs,
        valid_accuracy: origin.valid_accuracy,
    };
    let notes = Notes {
        provenance,
        class_names: origin.classes.clone(),
        characters: vocabulary.tokenization.characters(),
        metadata: origin.metadata(),
        ..Notes::default()
    };
    let bytes = encode(&description, &notes, &packed.tensors)?;
    drop(packed);
    let mut image = AlignedBytes::new(&bytes);
    drop(bytes);
    certify(&mut image)?; // opens the image, which checks it
    Ok(image)
}

fn check_finite(weights: &Weights) -> Result<()> {
    let check = |name: &str, values: &[f32]| match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(fault(
            format!("tensor {name}"),
            format!("element {index} is {}", values[index]),
            "train again with a lower learning rate or stronger gradient clipping",
        )),
        None => Ok(()),
    };
    check("embedding", &weights.embedding)?;
    for (index, layer) in weights.cells().enumerate() {
        let kind = match layer.cell {
            Cell::Lstm => "lstm",
            Cell::Gru { .. } => "gru",
            Cell::Rnn { .. } => "rnn",
        };
        check(&format!("{kind} {index} kernel"), &layer.kernel)?;
        check(&format!("{kind} {index} recurrent kernel"), &layer.recurrent_kernel)?;
        check(&format!("{kind} {index} bias"), &layer.bias)?;
        check(&format!("{kind} {index} recurrent bias"), &layer.recurrent_bias)?;
    }
    for layer in &weights.dense {
        check(&format!("dense {} kernel", layer.place), &layer.kernel)?;
        check(&format!("dense {} bias", layer.place), &layer.bias)?;
    }
    for layer in &weights.convolutions {
        check(&format!("conv1d {} kernel", layer.place), &layer.kernel)?;
        check(&format!("conv1d {} bias", layer.place), &layer.bias)?;
    }
    for (place, layer) in &weights.floats {
        for (name, tensor) in layer.tensors() {
            check(&format!("{} {place} {}", layer.name(), name.replace('_', " ")), tensor.as_slice())?;
        }
    }
    check("head kernel", &weights.head)?;
    check("head bias", &weights.head_bias)?;
    if let Some(table) = &weights.ngrams {
        check("n-grams", &table.weights)?;
    }
    Ok(())
}
