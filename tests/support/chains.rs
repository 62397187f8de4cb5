//! Any chain of layers with random tensors that respect the bounds at the door, as an image of ids.

use std::cell::RefCell;

use latch_engine::Precision;
use latch_engine::image::Description;
use latch_engine::image::encode::{
    AlignedBytes, Notes, Tensor, Values, encode, pack_rows, pack_rows_f32, pack_rows_i8,
};
use latch_engine::image::header::{AnswerKind, Input, Layers};
use latch_engine::image::role::Role;
use latch_engine::image::section::{Element, Section};
use latch_engine::image::start::Start;
use latch_engine::input::samples::Samples;
use latch_engine::layers::Layer;
use latch_engine::layers::bidirectional::{self, Bidirectional, Merge};
use latch_engine::layers::conv1d::{self, Conv1d};
use latch_engine::layers::dense::{Activation, Dense};
use latch_engine::layers::embedding::Embedding;
use latch_engine::layers::gru::Gru;
use latch_engine::layers::layernorm::LayerNorm;
use latch_engine::layers::lstm::Lstm;
use latch_engine::layers::maxpool::MaxPool;
use latch_engine::layers::pooling::Pooling;
use latch_engine::layers::rnn::Rnn;
use latch_engine::layers::variant::{Cell, Form, Parts, Variant};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A layer, whose inputs are the outputs of the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Units.
    Lstm(u16),
    /// Units, and whether the reset gate comes after the product.
    Gru(u16, bool),
    /// Units, and whether the rectifier takes the place of the hyperbolic tangent.
    Rnn(u16, bool),
    /// A convolution.
    Conv1d(Convolution),
    /// Two directions.
    Both(Both),
    /// Outputs and activation.
    Dense(u16, Activation),
    /// One vector for all steps.
    Pooling(Pooling),
    /// Units, features of a projection or 0, and what it is.
    Variant(u16, u16, Parts),
    /// Normalization of features.
    LayerNorm,
    /// The largest values over so many steps, with a stride.
    MaxPool(u8, u8),
}

/// Two directions over the outputs of the layer before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Both {
    /// What they are.
    pub cell: bidirectional::Cell,
    /// Units of each.
    pub units: u16,
    /// How they become one.
    pub merge: Merge,
    /// Whether each step has a value.
    pub each_step: bool,
}

/// The longest sequence of every chain with two directions.
pub const LONGEST: u16 = 11;

/// A convolution, whose inputs are the outputs of the layer before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    /// Its units.
    pub units: u16,
    /// Frames of its window.
    pub frames: u8,
    /// Steps from one of its answers to the next.
    pub stride: u8,
    /// The rectifier follows its sums.
    pub relu: bool,
    /// The first answer comes when the window is full.
    pub valid: bool,
}

/// The steps in front of the first answer of a chain, and those from one of its answers to the next.
pub fn rhythm(kinds: &[Kind]) -> (usize, usize) {
    kinds.iter().fold((0, 1), |(first, every), kind| match kind {
        Kind::Conv1d(Convolution { frames, stride, valid, .. }) => {
            let own = if *valid { usize::from(*frames) - 1 } else { 0 };
            (first + own * every, every * usize::from(*stride))
        }
        Kind::MaxPool(frames, stride) => (first + (usize::from(*frames) - 1) * every, every * usize::from(*stride)),
        _ => (first, every),
    })
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// 32-bit floats.
    F32,
    /// Half-precision floats.
    F16,
    /// 16-bit integers.
    Int16,
    /// 8-bit integers.
    Int8,
    /// 4-bit integers, the embedding among them.
    Int4,
}

impl Weights {
    /// All of them.
    pub const ALL: [Self; 5] = [Weights::F32, Weights::F16, Weights::Int16, Weights::Int8, Weights::Int4];

    /// Those that some layers have: floats alone where one is a variant of a cell or a layer normalization.
    pub fn of(kinds: &[Kind]) -> &'static [Self] {
        let needs_floats = kinds.iter().any(|kind| matches!(kind, Kind::Variant(..) | Kind::LayerNorm));
        if needs_floats { &Self::ALL[..2] } else { &Self::ALL }
    }

    /// The arithmetic.
    pub const fn precision(self) -> Precision {
        match self {
            Weights::F32 => Precision::F32,
            Weights::F16 => Precision::F16,
            Weights::Int16 => Precision::Int16,
            Weights::Int8 | Weights::Int4 => Precision::Int8,
        }
    }
}

/// Rows of the embedding of every chain.
pub const ROWS: u32 = 23;

/// The shift that brings a typical sum over so many columns to about 2 in Q3.12, with the multiplier of [`multiplier`].
fn shift(precision: Precision, columns: usize) -> u8 {
    let root = (columns as f64).sqrt();
    let typical = match precision {
        // Magnitudes of a row sum up to half of what they may; columns are as large as they can be.
        Precision::Int16 => 32_768.0 * 19_000.0 / root * f64::from(LARGEST_INT16) * 0.75 / 65_536.0,
        _ => 4_400.0 * root * f64::from(multiplier(columns)),
    };
    (typical / 8_192.0).log2().round().clamp(1.0, 30.0) as u8
}

/// The largest multiplier of a row of int16: two such rows leave half of 32 bits for biases.
const LARGEST_INT16: u16 = 16_384;

/// Three quarters of the largest multiplier for which no sum over so many columns of weights up to 127 overflows, half of the room being for biases.
fn multiplier(columns: usize) -> u16 {
    let largest = (1_u64 << 29) / (128 * 128 * columns.next_multiple_of(4) as u64 + 1);
    (largest * 3 / 4).clamp(1, u64::from(u16::MAX)) as u16
}

/// The description of a chain that reads ids: features of the embedding, the layers.
pub fn describe(weights: Weights, width: u16, kinds: &[Kind]) -> Description {
    let int4 = weights == Weights::Int4;
    let precision = weights.precision();
    let integer = precision.is_integer();
    let mut inputs = width;
    let layers: Layers = kinds
        .iter()
        .map(|&kind| {
            let of = |units: u16| if integer { shift(precision, usize::from(inputs + units)) } else { 0 };
            let layer = match kind {
                Kind::Lstm(units) => Layer::Lstm(Lstm { inputs, units, shift: of(units), int4, projected: false }),
                Kind::Gru(units, reset_after) => Layer::Gru(Gru { inputs, units, shift: of(units), int4, reset_after }),
                Kind::Rnn(units, relu) => Layer::Rnn(Rnn {
                    inputs,
                    units,
                    // The rectifier's sums are Q0.15, eight times as fine.
                    shift: if relu { of(units).saturating_sub(2).max(u8::from(integer)) } else { of(units) },
                    int4,
                    relu,
                }),
                Kind::Conv1d(Convolution { units, frames, stride, relu, valid }) => {
                    let shift = if integer { shift(precision, usize::from(frames) * usize::from(inputs)) } else { 0 };
                    // As of a rectifier: Q0.15.
                    let shift = shift.saturating_sub(2).max(u8::from(integer));
                    let form = conv1d::Form::of(relu, valid, int4);
                    Layer::Conv1d(Conv1d { inputs, units, frames, stride, shift, form })
                }
                Kind::Both(Both { cell, units, merge, each_step }) => {
                    let relu = cell == bidirectional::Cell::Rnn { relu: true };
                    let shift = if relu { of(units).saturating_sub(2).max(u8::from(integer)) } else { of(units) };
                    let form = bidirectional::Form::of(cell, merge, each_step, int4);
                    Layer::bidirectional(Bidirectional { inputs, units, longest: LONGEST, shift, form })
                        .expect("this build has it")
                }
                // Weights of up to 2^15 times values of up to 2^15 with multipliers of up to 2^15: to Q3.12 or so.
                Kind::Dense(outputs, activation) => {
                    let columns = (f64::from(inputs)).log2().div_euclid(2.0) as u8;
                    Layer::Dense(Dense { inputs, outputs, shift: if integer { 30 + columns } else { 0 }, activation })
                }
                Kind::Pooling(pooling) => Layer::Pooling(pooling),
                Kind::Variant(units, projected, parts) => {
                    let shape = Variant { inputs, units, projected, form: Form::of(parts) };
                    Layer::variant(shape).expect("this build has it")
                }
                Kind::MaxPool(frames, stride) => {
                    Layer::max_pool(MaxPool { width: inputs, frames, stride }).expect("this build has it")
                }
                Kind::LayerNorm => Layer::layer_norm(LayerNorm { width: inputs }).expect("this build has it"),
            };
            inputs = layer.outputs(inputs);
            layer
        })
        .collect();
    Description {
        precision,
        answer: AnswerKind::Classes,
        input: Input::Ids,
        embedding: Embedding { rows: ROWS, width, int4, tiers: None, projected: 0 },
        layers,
        ngrams: None,
        start: Start::NONE,
    }
}

/// The same chain behind samples of as many channels.
pub fn describe_samples(weights: Weights, samples: Samples, kinds: &[Kind]) -> Description {
    let description = describe(weights, samples.channels, kinds);
    // Samples go around the network to values alone.
    let answer = if samples.skip.is_some() { AnswerKind::Values } else { AnswerKind::Classes };
    Description { input: Input::Samples(samples), embedding: Embedding::NOTHING, answer, ..description }
}

/// Random tensors for a description, in the order of its sections.
pub fn tensors(description: &Description, seed: u64) -> Vec<Tensor> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    description.sections(0).map(|section| tensor(description, &section, &mut generator)).collect()
}

fn tensor(description: &Description, section: &Section, random: &mut ChaCha8Rng) -> Tensor {
    let layer = (!matches!(section.role, Role::Embedding))
        .then(|| description.layers.get(usize::from(section.layer)))
        .flatten();
    // A tensor of the way back is made as that of the first direction.
    if let Some(Layer::Bidirectional(both, _)) = layer {
        let role = FORWARD.into_iter().find(|role| [*role, role.backward()].contains(&section.role));
        let alike = Section { role: role.expect("a tensor of a cell"), ..*section };
        return Tensor { role: section.role, ..tensor_of(description, &alike, Some(&both.direction()), random) };
    }
    tensor_of(description, section, layer, random)
}

/// The tensors that a direction may have.
pub const FORWARD: [Role; 6] = [
    Role::Weights,
    Role::Multipliers,
    Role::Biases,
    Role::RecurrentWeights,
    Role::RecurrentMultipliers,
    Role::RecurrentBiases,
];

fn tensor_of(description: &Description, section: &Section, layer: Option<&Layer>, random: &mut ChaCha8Rng) -> Tensor {
    let (rows, columns) = (section.rows, section.columns);
    let count = rows * columns;
    let (inputs, units, shift) = match layer {
        Some(&Layer::Lstm(Lstm { inputs, units, shift, .. })) => (inputs, units, shift),
        Some(&Layer::Gru(Gru { inputs, units, shift, .. })) => (inputs, units, shift),
        Some(&Layer::Rnn(Rnn { inputs, units, shift, .. })) => (inputs, units, shift),
        Some(&Layer::Conv1d(conv)) => (conv.columns() as u16, 0, conv.shift),
        Some(&Layer::Dense(Dense { inputs, shift, .. })) => (inputs, 0, shift),
        _ => (0, 0, 0),
    };
    let joined = usize::from(inputs) + usize::from(units);
    let is_dense = matches!(layer, Some(Layer::Dense(_)));
    let packed = |random: &mut ChaCha8Rng, value: fn(&mut ChaCha8Rng) -> i8| {
        let random = RefCell::new(random);
        Values::I8(pack_rows_i8(rows, real(section, layer), |_, _| value(&mut random.borrow_mut())))
    };
    let values = match section.element {
        _ if section.role == Role::Units => Values::F32((0..rows).map(|_| random.random_range(0.001..2.0)).collect()),
        _ if matches!(section.role, Role::Scaling | Role::Skip) => scaling(section, random),
        Element::I4 if section.role == Role::Embedding => {
            Values::I8((0..count).map(|_| 16 * random.random_range(-7..=7)).collect())
        }
        Element::I4 => packed(random, |random| 16 * random.random_range(-7..=7)),
        Element::I8 if section.role == Role::Embedding => {
            Values::I8((0..count).map(|_| random.random_range(-128..=127)).collect())
        }
        Element::I8 => packed(random, |random| random.random_range(-127..=127)),
        Element::I16 if !is_dense && section.role != Role::Embedding => {
            let most = (65_535 / real(section, layer)).min(32_767) as i16;
            let random = RefCell::new(random);
            let weight = |_, _| random.borrow_mut().random_range(-most..=most);
            Values::I16(pack_rows(rows, real(section, layer), weight))
        }
        Element::I16 => Values::I16((0..count).map(|_| random.random_range(-32_767..=32_767)).collect()),
        Element::U16 if is_dense => Values::U16((0..count).map(|_| random.random_range(10_000..=40_000)).collect()),
        Element::U16 => {
            let is_int16 = description.precision == Precision::Int16;
            let most = if is_int16 { LARGEST_INT16 } else { multiplier(joined) };
            Values::U16((0..count).map(|_| random.random_range(most / 2..=most).max(1)).collect())
        }
        Element::I32 if is_dense => Values::I32((0..count).map(|_| random.random_range(-9_000..=9_000)).collect()),
        Element::I32 => {
            let most = (4_096_i64 << shift).min(1 << 28) as i32;
            Values::I32((0..count).map(|_| random.random_range(-most..=most)).collect())
        }
        _ if section.role == Role::Numbers => numbers(section, random),
        Element::F32 | Element::F16 => floats(section, layer, random),
        other => panic!("no section of a chain of ids has elements {other:?}"),
    };
    Tensor { role: section.role, layer: section.layer, values }
}

/// Numbers that bring counts and values to all of the range and a little beyond it.
fn scaling(section: &Section, random: &mut ChaCha8Rng) -> Values {
    if section.element == Element::F32 {
        let row = |random: &mut ChaCha8Rng| {
            [random.random_range(0.001..0.01), random.random_range(-50.0..50.0), random.random_range(-4.0..-0.5), 3.0]
        };
        return Values::F32((0..section.rows).flat_map(|_| row(random)).collect());
    }
    let row = |random: &mut ChaCha8Rng| {
        let (multiplier, shift) = (random.random_range(-40_000..40_000), random.random_range(12..18));
        let bias = random.random_range(-(1_i64 << 30)..1 << 30);
        [multiplier, bias as i32, (bias >> 32) as i32, shift]
    };
    Values::I32((0..section.rows).flat_map(|_| row(random)).collect())
}

/// Columns without padding.
fn real(section: &Section, layer: Option<&Layer>) -> usize {
    if let Some(Layer::Conv1d(conv)) = layer {
        return conv.columns();
    }
    let (
        Some(
            Layer::Lstm(Lstm { inputs, units, .. })
            | Layer::Rnn(Rnn { inputs, units, .. })
            | Layer::Gru(Gru { inputs, units, .. }),
        ),
        role,
    ) = (layer, section.role)
    else {
        return section.columns;
    };
    let (inputs, units) = (usize::from(*inputs), usize::from(*units));
    match (layer, role) {
        (Some(Layer::Gru(_)), Role::RecurrentWeights) => units,
        (Some(Layer::Gru(_)), _) => inputs,
        _ => inputs + units,
    }
}

/// Numbers of a variant and of a layer normalization: slopes and values at 0 of hard sigmoids, a clip; an epsilon that makes no error large.
fn numbers(section: &Section, random: &mut ChaCha8Rng) -> Values {
    if section.rows == 1 {
        return Values::F32(vec![random.random_range(0.1..1.0)]);
    }
    let mut values = Vec::new();
    for _ in 0..3 {
        values.extend([random.random_range(0.1..0.4), random.random_range(0.3..0.7)]);
    }
    values.push(random.random_range(0.5..2.0));
    Values::F32(values)
}

/// Float weights of a length that keeps sums near 1, with zeros where units are padded.
fn floats(section: &Section, layer: Option<&Layer>, random: &mut ChaCha8Rng) -> Values {
    let (rows, columns) = (section.rows, section.columns);
    let limit = (3.0 / columns as f32).sqrt();
    let (gates, units) = match layer {
        Some(Layer::Lstm(lstm)) => (4, usize::from(lstm.units)),
        Some(Layer::Gru(gru)) if section.role == Role::RecurrentBiases => (1, usize::from(gru.units)),
        Some(Layer::Gru(gru)) => (3, usize::from(gru.units)),
        Some(Layer::Rnn(rnn)) => (1, usize::from(rnn.units)),
        Some(Layer::Conv1d(conv)) => (1, usize::from(conv.units)),
        Some(Layer::Variant(layer, _)) => match section.role {
            Role::Projection => (1, usize::from(layer.features())),
            Role::RecurrentBiases => (1, usize::from(layer.units)),
            // A row a gate.
            Role::Peepholes => {
                let value =
                    |at| if at % columns < usize::from(layer.units) { random.random_range(-0.5..0.5) } else { 0.0 };
                return Values::F32((0..rows * columns).map(value).collect());
            }
            _ => (layer.gates(), usize::from(layer.units)),
        },
        _ => return Values::F32((0..rows * columns).map(|_| random.random_range(-1.5 * limit..1.5 * limit)).collect()),
    };
    let lanes = units.next_multiple_of(8);
    let is_real = |row: usize| match layer {
        // [unit / 8][gate][8 units]
        Some(Layer::Lstm(_)) => row / 32 * 8 + row % 8 < units,
        _ => row % lanes < units,
    };
    assert_eq!(rows, gates * lanes, "{section:?}");
    let random = RefCell::new(random);
    let value =
        |row: usize, limit: f32| if is_real(row) { random.borrow_mut().random_range(-limit..limit) } else { 0.0 };
    if matches!(section.role, Role::Biases | Role::RecurrentBiases) {
        return Values::F32((0..rows).map(|row| value(row, 0.5)).collect());
    }
    // The candidate of a recurrent kernel of a GRU is a matrix of its own.
    let is_gru = match layer {
        Some(Layer::Variant(layer, _)) => matches!(layer.form.parts().cell, Cell::GruAfter | Cell::GruBefore),
        _ => true,
    };
    if section.role == Role::RecurrentWeights && is_gru {
        let mut values = pack_rows_f32(2 * lanes, columns, |row, _| value(row, limit));
        values.extend(pack_rows_f32(lanes, columns, |row, _| value(2 * lanes + row, limit)));
        return Values::F32(values);
    }
    Values::F32(pack_rows_f32(rows, columns, |row, _| value(row, limit)))
}

/// The image of a chain with random tensors, certified where it is one of integers.
pub fn image(weights: Weights, width: u16, kinds: &[Kind], seed: u64) -> AlignedBytes {
    let description = describe(weights, width, kinds);
    of(&description, &tensors(&description, seed))
}

/// The certified image of a description and its tensors.
pub fn of(description: &Description, tensors: &[Tensor]) -> AlignedBytes {
    let bytes =
        encode(description, &Notes::default(), tensors).unwrap_or_else(|error| panic!("{error}: {description:?}"));
    let mut bytes = AlignedBytes::new(&bytes);
    latch_engine::certify(&mut bytes).unwrap_or_else(|error| panic!("{error}: {description:?}"));
    bytes
}
