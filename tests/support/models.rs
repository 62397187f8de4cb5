//! Small models with random weights, as images and as networks of the trainer.

use latch_engine::image::Image;
use latch_engine::image::encode::{AlignedBytes, Tensor, Values, widened};
use latch_engine::image::section::{Element, Section};
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Logit, Model, Precision, State, View};
use latch_trainer::config::chain::{self, Activation, CellConfig, Chain, LayerConfig};
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::quantizer::{CellWeights, Origin, Weights, to_image};
use latch_trainer::real::Real;
use latch_trainer::vocabulary::Vocabulary;
use nalgebra::DMatrix;
use proptest::prelude::*;

/// All precisions of an image.
pub const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Int8, Precision::Int16];

/// All poolings.
pub const POOLINGS: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention];

/// Bytes of state that hold a stream of any model of these tests.
pub const ROOM: usize = 8192;

/// `count` different words of letters: `a`, `b` … `z`, `ba`, `bb` …
pub fn words(count: usize) -> Vec<String> {
    let word = |mut number: usize| {
        let mut letters = Vec::new();
        loop {
            letters.insert(0, b'a' + (number % 26) as u8);
            number /= 26;
            if number == 0 {
                return String::from_utf8(letters).expect("letters are UTF-8");
            }
        }
    };
    (0..count).map(word).collect()
}

/// The vocabulary of a model whose embedding has `rows` rows, the unknown one included if there is one.
pub fn vocabulary(rows: usize, unknown: Unknown) -> Vocabulary {
    Vocabulary::from_words(words(rows - unknown.rows() as usize), unknown)
}

/// The image of some weights, with a vocabulary of as many words as the embedding has rows.
pub fn image(weights: &Weights, precision: Precision, unknown: Unknown) -> AlignedBytes {
    let rows = weights.embedding.len() / weights.width;
    to_image(weights, &vocabulary(rows, unknown), precision, &Origin::default()).expect("random weights fit an image")
}

/// A network of the trainer with these weights. All layers must have the same units, as the trainer's have.
pub fn network<T: Real>(weights: &Weights, pooling: Pooling) -> Network<T> {
    let pooling = match pooling {
        Pooling::Last => chain::Pooling::Last,
        Pooling::Mean => chain::Pooling::Mean,
        Pooling::Max => chain::Pooling::Max,
        Pooling::Attention => chain::Pooling::Attention,
    };
    let cell = |layer: &CellWeights| LayerConfig::Lstm(CellConfig::of(layer.units));
    let head = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 };
    let layers = weights.layers.iter().map(cell).chain([LayerConfig::Pooling(pooling), head]).collect();
    let config = NetworkConfig {
        vocabulary: weights.embedding.len() / weights.width,
        outputs: weights.head_bias.len(),
        chain: Chain { embedding: weights.width, word_dropout: 0.0, layers },
    };
    let mut network = Network::<T>::new(&config, 0).expect("the sizes describe a network");
    // The trainer's embedding is features x ids, the weights' is ids x features.
    let mut values = vec![matrix(weights.width, &weights.embedding).transpose()];
    for layer in &weights.layers {
        values.extend([
            matrix(layer.inputs, &layer.kernel),
            matrix(layer.units, &layer.recurrent_kernel),
            matrix(1, &layer.bias),
        ]);
    }
    values.extend([matrix(weights.head.len() / weights.head_bias.len(), &weights.head), matrix(1, &weights.head_bias)]);
    for ((name, tensor), values) in network.tensors_mut().into_iter().zip(values) {
        assert_eq!(tensor.shape(), values.shape(), "{name}");
        *tensor = values;
    }
    network
}

/// A matrix from its rows, one after the other.
fn matrix<T: Real>(columns: usize, values: &[f32]) -> DMatrix<T> {
    DMatrix::from_row_iterator(values.len() / columns, columns, values.iter().map(|&value| T::of(f64::from(value))))
}

/// All logits of a session.
pub fn logits(session: &mut View<'_, '_, '_>) -> Vec<Logit> {
    (0..usize::from(session.model().outputs())).map(|output| session.logit(output)).collect()
}

/// The shape of a random model: the rows of its embedding, its width, the units of each layer, pooling, unknown words and seed.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Rows of the embedding.
    pub rows: usize,
    /// Features of a row.
    pub width: usize,
    /// Units of each layer.
    pub units: Vec<usize>,
    /// What the head sees.
    pub pooling: Pooling,
    /// What unknown words do.
    pub unknown: Unknown,
    /// Seed of the weights.
    pub seed: u64,
}

impl Shape {
    /// The random weights.
    pub fn weights(&self) -> Weights {
        Weights::random(self.rows, self.width, &self.units, self.pooling, self.seed)
    }

    /// Their image at a precision.
    pub fn image(&self, precision: Precision) -> AlignedBytes {
        image(&self.weights(), precision, self.unknown)
    }
}

/// Any shape with up to `rows` rows, `width` features, and `layers` layers of up to `units` units; with none it is a bag of embeddings.
pub fn shapes(rows: usize, width: usize, units: usize, layers: usize) -> impl Strategy<Value = Shape> {
    let unknown = prop_oneof![Just(Unknown::LastRow), Just(Unknown::Skip)];
    let units = prop::collection::vec(1..=units, 0..=layers);
    (2..=rows, 1..=width, units, prop::sample::select(&POOLINGS[..]), unknown, any::<u64>()).prop_map(
        |(rows, width, units, pooling, unknown, seed)| {
            // A bag has no unit whose state could say how much a step counts.
            let pooling = if units.is_empty() && pooling == Pooling::Attention { Pooling::Mean } else { pooling };
            Shape { rows, width, units, pooling, unknown, seed }
        },
    )
}

/// The sections of an image as tensors, with weights of four bits widened.
pub fn tensors(image: &Image<'_>) -> Vec<Tensor> {
    let values = |section: &Section| match section.element {
        Element::I4 => Values::I8(widened(image, section)),
        _ => Values::Bytes(image.section_bytes(section).to_vec()),
    };
    let tensor = |section: Section| Tensor { role: section.role, layer: section.layer, values: values(&section) };
    image.sections().map(tensor).collect()
}

/// All logits after each id and after a text, and the state without its checksum and its scratch.
pub fn run(model: &Model<'_>, ids: &[u32]) -> Vec<u32> {
    let mut state = State::<ROOM>::new();
    let mut session = model.session(&mut state).expect("there is room");
    let mut answers = Vec::new();
    let mut answer = |session: &mut View<'_, '_, '_>| {
        answers.extend(logits(session).into_iter().map(|logit| logit.to_bits()));
        answers.extend((0..usize::from(model.layers())).map(|layer| session.layer_digest(layer)));
    };
    for &id in ids {
        session.push_token(id);
        answer(&mut session);
    }
    session.push_bytes(b"a bb z ba zz c, d! nobody");
    session.finish();
    answer(&mut session);
    answers
}

/// Unknown words have the last row of the embedding.
pub const UNKNOWN_ROW: Unknown = Unknown::LastRow;

/// A state of [`ROOM`] bytes.
pub type Room = State<ROOM>;

/// All logits as bits, so that a NaN equals itself.
pub fn bits(session: &mut View<'_, '_, '_>) -> Vec<u32> {
    logits(session).into_iter().map(Logit::to_bits).collect()
}
