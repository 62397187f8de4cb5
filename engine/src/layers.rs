//! The layers of a chain: one file each, with its description and checks, its sections, its bytes of state, and its step for integers and floats.
//!
//! This file is the only list of them. A layer joins an image and the kernels, without `unsafe` and without a choice by machine.
//!
//! ```text
//! (embedding | samples) > (conv1d | maxpool | lstm | gru | rnn | variant | bidirectional | layernorm | dense)* > pooling? > (layernorm | dense)* > dense
//! ```

pub mod attention;
pub mod bidirectional;
pub mod conv1d;
pub mod dense;
pub mod embedding;
pub mod gru;
pub mod layernorm;
pub mod lstm;
pub mod maxpool;
pub mod pooling;
pub mod rnn;
pub mod variant;

use half::f16;
use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::error::{Error, problem};
use crate::features::{
    BIDIRECTIONAL, Built, CONV1D, DENSE, FLOAT, Feature, GRU, HasBidirectional, HasLayerNorm, HasVariant, HasWindows,
    INT4, LAYERNORM, LSTM, NGRAMS, PROJECTION, Part, Proof, RNN, SAMPLES, START, VARIANT, WINDOWS,
};
use crate::image::reader::Fields;
use crate::image::section::{Cursor, SectionShape};
use crate::image::start::Start;
use crate::input::samples::Scaling;
use crate::kernels::{Backend, MANY};
use crate::logit::Logit;
use crate::memory::Memory;
use crate::numbers::{Numbers, Precision, Values};

use bidirectional::Bidirectional;
use conv1d::Conv1d;
use dense::Dense;
use gru::Gru;
use layernorm::LayerNorm;
use lstm::Lstm;
use maxpool::MaxPool;
use pooling::Pooling;
use rnn::Rnn;
use variant::Variant;

/// Most layers behind the embedding.
pub const MAX_LAYERS: usize = 16;

/// Most columns of [x; h], and most units of a layer: with these, sums of a dense layer stay inside 64 bits.
pub const MAX_WIDTH: u16 = 2048;

/// Layers that a description and an opened model have room for.
pub(crate) const OPENED_LAYERS: usize = if crate::features::DEEP { MAX_LAYERS } else { 4 };

/// A layer behind the embedding, as an image describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Layer {
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),
    /// Simple recurrent unit.
    Rnn(Rnn),
    /// A convolution over time.
    Conv1d(Conv1d),
    /// Dense.
    Dense(Dense),
    /// One vector for all steps.
    Pooling(Pooling),
    /// Two recurrent layers, one of them from the end of the sequence.
    Bidirectional(Bidirectional, HasBidirectional),
    /// A variant of a recurrent cell.
    Variant(Variant, HasVariant),
    /// Normalization of the features of a step.
    LayerNorm(LayerNorm, HasLayerNorm),
    /// The largest values over a window of steps.
    MaxPool(MaxPool, HasWindows),
}

impl Layer {
    /// The most sections that a layer has.
    pub(crate) const SECTIONS: usize = if BIDIRECTIONAL { 2 } else { 1 } * Self::SECTIONS_OF_A_CELL;

    /// Those of one direction.
    pub(crate) const SECTIONS_OF_A_CELL: usize = 6;

    /// A variant of a recurrent cell; `None` in a build without it.
    pub const fn variant(shape: Variant) -> Option<Self> {
        match <Built<VARIANT> as Proof>::OF {
            Some(has) => Some(Layer::Variant(shape, has)),
            None => None,
        }
    }

    /// A bidirectional layer; `None` in a build without it.
    pub const fn bidirectional(shape: Bidirectional) -> Option<Self> {
        match <Built<BIDIRECTIONAL> as Proof>::OF {
            Some(has) => Some(Layer::Bidirectional(shape, has)),
            None => None,
        }
    }

    /// A layer normalization; `None` in a build without it.
    pub const fn layer_norm(shape: LayerNorm) -> Option<Self> {
        match <Built<LAYERNORM> as Proof>::OF {
            Some(has) => Some(Layer::LayerNorm(shape, has)),
            None => None,
        }
    }

    /// A largest value over steps; `None` in a build without it.
    pub const fn max_pool(shape: MaxPool) -> Option<Self> {
        match <Built<WINDOWS> as Proof>::OF {
            Some(has) => Some(Layer::MaxPool(shape, has)),
            None => None,
        }
    }

    /// Its name in a chain.
    pub const fn name(&self) -> &'static str {
        match self {
            Layer::Lstm(_) => "lstm",
            Layer::Gru(_) => "gru",
            Layer::Rnn(_) => "rnn",
            Layer::Conv1d(_) => "conv1d",
            Layer::Bidirectional(..) => "bidirectional",
            Layer::Dense(_) => "dense",
            Layer::Pooling(pooling) => pooling.name(),
            Layer::Variant(layer, _) => layer.name(),
            Layer::LayerNorm(..) => "layernorm",
            Layer::MaxPool(..) => "maxpool",
        }
    }

    /// The tag of its record.
    pub const fn tag(&self) -> u8 {
        match self {
            Layer::Lstm(_) => 0x10,
            Layer::Gru(_) => 0x11,
            Layer::Rnn(_) => 0x12,
            Layer::Dense(_) => 0x13,
            Layer::Pooling(_) => 0x14,
            Layer::Conv1d(_) => 0x15,
            Layer::Bidirectional(..) => 0x18,
            Layer::Variant(..) => 0x16,
            Layer::LayerNorm(..) => 0x17,
            Layer::MaxPool(..) => 0x19,
        }
    }

    /// The layer of a record; whether its fields could be read they say themselves.
    pub(crate) const fn read(tag: u8, fields: &mut Fields<'_>) -> Read {
        Read::Layer(match tag {
            0x10 if LSTM => Layer::Lstm(Lstm::read(fields)),
            0x11 if GRU => Layer::Gru(Gru::read(fields)),
            0x12 if RNN => Layer::Rnn(Rnn::read(fields)),
            0x13 => Layer::Dense(Dense::read(fields)),
            0x14 => Layer::Pooling(Pooling::read(fields)),
            0x15 if CONV1D => Layer::Conv1d(Conv1d::read(fields)),
            0x10 => return Read::Missing(Feature::Lstm),
            0x11 => return Read::Missing(Feature::Gru),
            0x12 => return Read::Missing(Feature::Rnn),
            0x15 => return Read::Missing(Feature::Conv1d),
            0x16 => match <Built<VARIANT> as Proof>::OF {
                Some(has) => Layer::Variant(Variant::read(fields), has),
                None => return Read::Missing(if FLOAT { Feature::Variant } else { Feature::Float }),
            },
            0x17 => match <Built<LAYERNORM> as Proof>::OF {
                Some(has) => Layer::LayerNorm(LayerNorm::read(fields), has),
                None => return Read::Missing(if FLOAT { Feature::LayerNorm } else { Feature::Float }),
            },
            0x18 => match <Built<BIDIRECTIONAL> as Proof>::OF {
                Some(has) => Layer::Bidirectional(Bidirectional::read(fields), has),
                None => return Read::Missing(Feature::Bidirectional),
            },
            0x19 => match <Built<WINDOWS> as Proof>::OF {
                Some(has) => Layer::MaxPool(MaxPool::read(fields), has),
                None => return Read::Missing(Feature::Windows),
            },
            // These are no layers, but read in the same place, so that a firmware without them has one refusal for all.
            0x04 if !SAMPLES => return Read::Missing(Feature::Samples),
            0x05 if !START => return Read::Missing(Feature::Start),
            0x20 if !NGRAMS => return Read::Missing(Feature::Ngrams),
            _ => return Read::NoLayer,
        })
    }

    /// The feature that this build lacks for it.
    pub(crate) const fn missing(&self) -> Option<Feature> {
        // A cell that was left out was refused when its record was read.
        match self {
            Layer::Dense(layer) if !DENSE && !matches!(layer.activation, dense::Activation::Linear) => {
                Some(Feature::Dense)
            }
            Layer::Lstm(Lstm { projected: true, .. }) if !PROJECTION => Some(Feature::Projection),
            Layer::Pooling(pooling) => pooling.missing(),
            Layer::Conv1d(layer) if CONV1D && !WINDOWS && layer.form.is_of_windows() => Some(Feature::Windows),
            Layer::Bidirectional(layer, _) => layer.direction_missing(),
            layer if !INT4 && layer.is_int4() => Some(Feature::Int4),
            _ => None,
        }
    }

    /// Checks its own numbers.
    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        match self {
            Layer::Lstm(layer) if LSTM => layer.check(precision),
            Layer::Gru(layer) if GRU => layer.check(precision),
            Layer::Rnn(layer) if RNN => layer.check(precision),
            Layer::Conv1d(layer) if CONV1D => layer.check(precision),
            Layer::Bidirectional(layer, _) => layer.check(precision),
            Layer::Variant(layer, _) => layer.check(precision),
            Layer::LayerNorm(layer, _) => layer.check(precision),
            Layer::MaxPool(layer, _) => layer.check(),
            Layer::Dense(layer) => layer.check(precision),
            _ => Ok(()),
        }
    }

    /// Features of its input; `None` where it takes any number and hands on as many.
    pub const fn inputs(&self) -> Option<u16> {
        match self {
            Layer::Lstm(Lstm { inputs, .. })
            | Layer::Gru(Gru { inputs, .. })
            | Layer::Rnn(Rnn { inputs, .. })
            | Layer::Conv1d(Conv1d { inputs, .. })
            | Layer::Dense(Dense { inputs, .. }) => Some(*inputs),
            Layer::Variant(Variant { inputs, .. }, _) | Layer::Bidirectional(Bidirectional { inputs, .. }, _) => {
                Some(*inputs)
            }
            Layer::LayerNorm(LayerNorm { width }, _) => Some(*width),
            Layer::MaxPool(MaxPool { width, .. }, _) => Some(*width),
            Layer::Pooling(_) => None,
        }
    }

    /// Features that it hands on, of as many `inputs`.
    pub const fn outputs(&self, inputs: u16) -> u16 {
        match self {
            Layer::Lstm(Lstm { units, .. })
            | Layer::Gru(Gru { units, .. })
            | Layer::Rnn(Rnn { units, .. })
            | Layer::Conv1d(Conv1d { units, .. }) => *units,
            Layer::Bidirectional(layer, _) => layer.outputs(),
            Layer::Dense(Dense { outputs, .. }) => *outputs,
            Layer::Variant(layer, _) => layer.features(),
            Layer::Pooling(_) | Layer::LayerNorm(..) | Layer::MaxPool(..) => inputs,
        }
    }

    /// True of a layer that remembers a hidden state from step to step.
    pub const fn is_cell(&self) -> bool {
        matches!(self, Layer::Lstm(_) | Layer::Gru(_) | Layer::Rnn(_) | Layer::Variant(..))
    }

    /// True of a layer that remembers something from step to step, so that it runs at every step: a cell, a convolution, a largest value over steps, or two directions.
    pub const fn remembers(&self) -> bool {
        self.is_cell()
            || CONV1D && matches!(self, Layer::Conv1d(_))
            || matches!(self, Layer::MaxPool(..) | Layer::Bidirectional(..))
    }

    /// Steps of what it reads from one of its answers to the next: more than one of a window with a stride.
    pub const fn stride(&self) -> u8 {
        match self {
            Layer::Conv1d(Conv1d { stride, .. }) => *stride,
            Layer::MaxPool(MaxPool { stride, .. }, _) => *stride,
            _ => 1,
        }
    }

    /// True where integers and floats hold its values to [-1, 1] alike: not of a rectifier, nor of a linear dense layer or a convolution, which have a scale of their own in integers.
    pub const fn is_bounded(&self) -> bool {
        use dense::Activation::{Sigmoid, Tanh};
        if let Layer::Bidirectional(layer, _) = self {
            return !matches!(layer.form.cell(), bidirectional::Cell::Rnn { relu: true });
        }
        if let Layer::Variant(layer, _) = self {
            return layer.is_bounded();
        }
        matches!(
            self,
            Layer::Lstm(_)
                | Layer::Gru(_)
                | Layer::Rnn(Rnn { relu: false, .. })
                | Layer::Dense(Dense { activation: Tanh | Sigmoid, .. })
        )
    }

    /// True where its weights have four bits.
    pub const fn is_int4(&self) -> bool {
        if let Layer::Bidirectional(layer, _) = self {
            return layer.form.int4();
        }
        if CONV1D && let Layer::Conv1d(layer) = self {
            return layer.form.int4();
        }
        matches!(
            self,
            Layer::Lstm(Lstm { int4: true, .. })
                | Layer::Gru(Gru { int4: true, .. })
                | Layer::Rnn(Rnn { int4: true, .. })
        )
    }

    /// The section at a place of its order; `None` for one that it does not have.
    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        match self {
            Layer::Lstm(layer) if LSTM => layer.section(precision, place),
            Layer::Gru(layer) if GRU => layer.section(precision, place),
            Layer::Rnn(layer) if RNN => layer.section(precision, place),
            Layer::Conv1d(layer) if CONV1D => layer.section(precision, place),
            Layer::Bidirectional(layer, _) => layer.section(precision, place),
            Layer::Variant(layer, _) => layer.section(precision, place),
            Layer::LayerNorm(layer, _) => layer.section(precision, place),
            Layer::Dense(layer) => layer.section(precision, place),
            _ => None,
        }
    }

    /// Bytes of the state in front of its hidden state, and all of its bytes, of as many `inputs`.
    pub(crate) const fn state(&self, precision: Precision, inputs: u16) -> (usize, usize) {
        match self {
            Layer::Lstm(layer) if LSTM => {
                let (cells, hidden) = layer.state(precision);
                (cells, cells + hidden)
            }
            Layer::Gru(layer) if GRU => (0, layer.state(precision)),
            Layer::Rnn(layer) if RNN => (0, layer.state(precision)),
            Layer::Conv1d(layer) if CONV1D => {
                let (before, values) = layer.state(precision);
                (before, before + values)
            }
            // What is read behind it, and behind that all that it keeps.
            Layer::Bidirectional(layer, _) => layer.state(precision),
            Layer::Variant(layer, _) => {
                let (cells, hidden) = layer.state(precision);
                (cells, cells + hidden)
            }
            Layer::MaxPool(layer, _) => {
                let (before, values) = layer.state(precision);
                (before, before + values)
            }
            Layer::Dense(layer) => (0, precision.values_bytes(layer.outputs as usize)),
            Layer::LayerNorm(layer, _) => (0, precision.values_bytes(layer.width as usize)),
            Layer::Pooling(pooling) => (0, pooling.state(precision, inputs as usize)),
            _ => (0, 0),
        }
    }

    /// True of a layer that answers when its window is full.
    pub(crate) const fn answers_late(&self) -> bool {
        match self {
            Layer::Conv1d(layer) => layer.form.is_of_windows(),
            layer => matches!(layer, Layer::MaxPool(..)),
        }
    }

    /// Steps of what it reads in front of its first answer: those that do not fill the first window of a valid convolution or a largest value.
    pub const fn unanswered(&self) -> u8 {
        match self {
            Layer::Conv1d(Conv1d { frames, form, .. }) if form.valid() => frames.saturating_sub(1),
            Layer::MaxPool(MaxPool { frames, .. }, _) => frames.saturating_sub(1),
            _ => 0,
        }
    }

    /// True where the words of its state count frames to its next answer, of a window with a stride.
    pub(crate) fn waits(&self, state: &[u32]) -> bool {
        match self {
            Layer::Conv1d(layer) => CONV1D && layer.waits(state),
            Layer::MaxPool(layer, _) => layer.waits(state),
            _ => false,
        }
    }

    /// Bytes of scratch of a step of as many `inputs`. Dense and pooling layers widen a row of the embedding.
    pub(crate) const fn scratch(&self, precision: Precision, inputs: u16) -> usize {
        match self {
            Layer::Lstm(layer) if LSTM => layer.scratch(precision),
            Layer::Gru(layer) if GRU => layer.scratch(precision),
            Layer::Rnn(layer) if RNN => layer.scratch(precision),
            Layer::Conv1d(layer) if CONV1D => layer.scratch(precision),
            Layer::Bidirectional(layer, _) => layer.scratch(precision),
            Layer::Variant(layer, _) => layer.scratch(),
            _ => precision.values_bytes(inputs as usize),
        }
    }

    /// Bytes of its state, of as many `inputs`.
    pub const fn state_bytes(&self, precision: Precision, inputs: u16) -> usize {
        self.state(precision, inputs).1
    }

    /// Multiply-adds of a step that it answers.
    pub const fn multiply_adds(&self) -> usize {
        match self {
            Layer::Lstm(Lstm { inputs, units, .. }) => 4 * *units as usize * (*inputs as usize + *units as usize),
            Layer::Gru(Gru { inputs, units, .. }) => 3 * *units as usize * (*inputs as usize + *units as usize),
            Layer::Rnn(Rnn { inputs, units, .. }) => *units as usize * (*inputs as usize + *units as usize),
            Layer::Conv1d(layer) => layer.columns() * layer.units as usize,
            Layer::Bidirectional(layer, _) => 2 * layer.direction().multiply_adds(),
            Layer::Variant(layer, _) => {
                let (units, features) = (layer.units as usize, layer.features() as usize);
                layer.gates() * units * (layer.inputs as usize + features) + layer.projected as usize * units
            }
            Layer::Dense(Dense { inputs, outputs, .. }) => *inputs as usize * *outputs as usize,
            Layer::LayerNorm(LayerNorm { width }, _) => *width as usize,
            Layer::Pooling(_) | Layer::MaxPool(..) => 0,
        }
    }
}

/// What a record of a header is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// A layer.
    Layer(Layer),
    /// A layer that this build lacks the feature for.
    Missing(Feature),
    /// Something else.
    NoLayer,
}

/// A layer as it is written in a chain.
impl core::fmt::Display for Layer {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = self.name();
        match self {
            Layer::Lstm(Lstm { units, .. }) => write!(formatter, "{name} {units}"),
            Layer::Gru(Gru { units, reset_after, .. }) => {
                write!(formatter, "{name} {units}{}", if *reset_after { "" } else { " reset_before" })
            }
            Layer::Rnn(Rnn { units, relu, .. }) => {
                write!(formatter, "{name} {units}{}", if *relu { " relu" } else { "" })
            }
            Layer::Conv1d(Conv1d { units, frames, stride, form, .. }) => {
                write!(formatter, "{name} {units} k{frames}")?;
                if *stride > 1 {
                    write!(formatter, " s{stride}")?;
                }
                formatter.write_str(if form.valid() { " valid" } else { "" })?;
                formatter.write_str(if form.relu() { " relu" } else { "" })
            }
            Layer::Bidirectional(layer, _) => write!(formatter, "{layer}"),
            Layer::Dense(Dense { outputs, activation, .. }) => match activation {
                dense::Activation::Linear => write!(formatter, "{name} {outputs}"),
                activation => write!(formatter, "{name} {outputs} {}", activation.name()),
            },
            Layer::MaxPool(MaxPool { frames, stride, .. }, _) => {
                write!(formatter, "{name} {frames}")?;
                if stride == frames { Ok(()) } else { write!(formatter, " s{stride}") }
            }
            Layer::Pooling(_) | Layer::LayerNorm(..) => formatter.write_str(name),
            Layer::Variant(layer, _) => write!(formatter, "{layer}"),
        }
    }
}

/// The shift of integer rows is in range, and float rows have none and no four bits.
const fn check_rows(precision: Precision, shift: u8, int4: bool) -> Result<(), &'static str> {
    if !precision.is_integer() {
        return if shift == 0 && !int4 {
            Ok(())
        } else {
            Err(problem!("a shift or weights of four bits belong to integer models only"))
        };
    }
    if int4 && !precision.is_int8() {
        return Err(problem!("weights of four bits belong to int8 models only"));
    }
    if shift >= 1 && shift <= 30 { Ok(()) } else { Err(problem!("its shift is out of range")) }
}

/// The numbers that every recurrent layer has are in range.
const fn check_cell(
    precision: Precision,
    (inputs, units): (u16, u16),
    shift: u8,
    int4: bool,
) -> Result<(), &'static str> {
    if units == 0 || inputs as u32 + units as u32 > MAX_WIDTH as u32 {
        return Err(problem!("it has no units, or more columns than this engine reads"));
    }
    check_rows(precision, shift, int4)
}

/// Bytes of a hidden state, its padding included.
const fn hidden_bytes(precision: Precision, units: u16) -> usize {
    precision.values_bytes(precision.lanes(units as usize))
}

/// A hidden state as the next layer reads it: without its padding.
#[inline(always)]
fn without_padding<N: Numbers>(h: &mut [N::Value], units: u16) -> &[N::Value] {
    if N::PRECISION.is_integer() { h } else { h.get(..usize::from(units)).unwrap_or(h) }
}

/// Where a layer is at a step.
#[derive(Debug)]
pub(crate) struct Place<'s, 't> {
    /// The state from this layer on.
    pub(crate) memory: Memory<'s>,
    /// Scratch, whose content means nothing.
    pub(crate) scratch: Memory<'t>,
    /// Steps before this one, those of the start state among them.
    pub(crate) steps: u32,
    /// Those of the start state.
    pub(crate) start: Start,
}

/// One of several streams that take a step together.
#[derive(Debug)]
pub(crate) struct Stream<'s, 'x, N: Numbers> {
    pub(crate) place: Place<'s, 's>,
    /// What the next layer reads.
    pub(crate) x: Values<'x, N>,
    /// Hidden and cell state in the layer at hand.
    h: &'s mut [N::Value],
    c: &'s mut [N::Sum],
}

impl<'s, 'x, N: Numbers> Stream<'s, 'x, N> {
    pub(crate) fn new(place: Place<'s, 's>, x: Values<'x, N>) -> Self {
        Stream { place, x, h: &mut [], c: &mut [] }
    }
}

/// What one of several streams brings to a layer that multiplies them product by product.
#[derive(Debug)]
pub(crate) struct Together<'a, N: Numbers> {
    x: Values<'a, N>,
    scratch: &'a mut [N::Sum],
    h: &'a mut [N::Value],
}

/// One step of several streams in a layer whose state is h: `step` takes them side by side.
#[inline]
fn step_together<'s: 'x, 'x, N: Numbers>(
    streams: &mut [Stream<'s, 'x, N>],
    units: u16,
    step: impl FnOnce(&mut [Together<'_, N>]),
) {
    let lanes = N::PRECISION.lanes(usize::from(units));
    let mut together: Vec<Together<'_, N>, MANY> = Vec::new();
    for Stream { place, x, h, .. } in streams.iter_mut() {
        *h = place.memory.take(lanes);
        let _ = together.push(Together { x: *x, scratch: place.scratch.all(), h });
    }
    step(&mut together);
    drop(together);
    for stream in streams {
        let h: &'s mut [N::Value] = core::mem::take(&mut stream.h);
        stream.x = Values::Hidden(without_padding::<N>(h, units));
    }
}

/// What a dense layer or pooling reads: a row of the embedding is widened first.
#[inline]
fn hidden<'x, N: Numbers, B: Backend>(backend: B, x: Values<'x, N>, scratch: &mut Memory<'x>) -> &'x [N::Value] {
    match x {
        Values::Hidden(hidden) => hidden,
        Values::Row(row) => {
            let out: &mut [N::Value] = scratch.take(row.len());
            N::widen(backend, row, out);
            out
        }
        Values::Projected(_) => &[],
    }
}

/// All that layers compute in one arithmetic.
pub(crate) trait Arithmetic:
    Scaling
    + lstm::Steps
    + gru::Steps
    + rnn::Steps
    + conv1d::Steps
    + bidirectional::Steps
    + dense::Steps
    + pooling::Steps
    + variant::Steps
    + layernorm::Steps
{
}

impl Arithmetic for i8 {}
impl Arithmetic for i16 {}
impl Arithmetic for f32 {}
impl Arithmetic for f16 {}

/// A layer of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opened<'a, N: Arithmetic> {
    Lstm(lstm::Opened<'a, N>),
    Gru(gru::Opened<'a, N>),
    Rnn(rnn::Opened<'a, N>),
    Dense(dense::Opened<'a, N>),
    Pooling(pooling::Opened),
    Conv1d(conv1d::Opened<'a, N>),
    // Two cells: no build without the feature has room for them.
    Bidirectional(Part<bidirectional::Opened<'a, N>, { BIDIRECTIONAL as usize }>, HasBidirectional),
    Variant(variant::Opened<'a, N>, HasVariant),
    LayerNorm(layernorm::Opened<'a, N>, HasLayerNorm),
    MaxPool(MaxPool, HasWindows),
}

impl<'a, N: Arithmetic> Opened<'a, N> {
    /// Cuts a layer with so many inputs off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(layer: &Layer, inputs: u16, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        Ok(match layer {
            Layer::Lstm(layer) if LSTM => Opened::Lstm(lstm::Opened::open(layer, cursor)?),
            Layer::Gru(layer) if GRU => Opened::Gru(gru::Opened::open(layer, cursor)?),
            Layer::Rnn(layer) if RNN => Opened::Rnn(rnn::Opened::open(layer, cursor)?),
            Layer::Conv1d(layer) if CONV1D => Opened::Conv1d(conv1d::Opened::open(layer, cursor)?),
            Layer::Bidirectional(layer, has) => {
                Opened::Bidirectional(Part::of(bidirectional::Opened::open(layer, cursor)?), *has)
            }
            Layer::Variant(layer, has) => Opened::Variant(variant::Opened::open(layer, cursor)?, *has),
            Layer::LayerNorm(layer, has) => Opened::LayerNorm(layernorm::Opened::open(layer, cursor)?, *has),
            Layer::MaxPool(layer, has) => Opened::MaxPool(*layer, *has),
            Layer::Dense(layer) => Opened::Dense(dense::Opened::open(layer, cursor)?),
            Layer::Pooling(kind) => Opened::Pooling(pooling::Opened { kind: *kind, width: inputs }),
            _ => return Err(Error::Sections),
        })
    }

    /// Checks that no sum of it can overflow, where its inputs have a limit; gives the limit of its values.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        match self {
            Opened::Lstm(opened) if LSTM => opened.check(limit, layer),
            Opened::Gru(opened) if GRU => opened.check(limit, layer),
            Opened::Rnn(opened) if RNN => opened.check(limit, layer),
            Opened::Conv1d(opened) if CONV1D => opened.check(limit, layer),
            Opened::Bidirectional(opened, _) => opened.get().map_or(Ok(limit), |opened| opened.check(limit, layer)),
            Opened::Variant(opened, _) => opened.check(limit, layer),
            Opened::LayerNorm(opened, _) => opened.check(limit, layer),
            Opened::Dense(opened) => opened.check(limit, layer),
            _ => Ok(limit),
        }
    }

    /// One step: takes its state off the place's memory and gives what the next layer reads, or nothing where the layers behind it do not step.
    ///
    /// Windows and two directions are run by [`Opened::step_or_wait`].
    #[inline(always)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> Option<&'s [N::Value]> {
        Some(match self {
            Opened::Lstm(layer) if LSTM => layer.step(backend, x, place),
            Opened::Gru(layer) if GRU => layer.step(backend, x, place),
            Opened::Rnn(layer) if RNN => layer.step(backend, x, place),
            Opened::Variant(layer, _) => layer.step(backend, x, place),
            Opened::LayerNorm(layer, _) => layer.step(backend, x, place),
            Opened::Dense(layer) if DENSE => layer.step(backend, x, place),
            Opened::Pooling(layer) => {
                layer.step(backend, x, place);
                return None;
            }
            _ => return None,
        })
    }

    /// The same of any layer.
    ///
    /// What a layer gives are two words, which stay in registers. More would be written by the word and read by the vector, and a processor waits with such
    /// a load until everything before it has ended: the step before as well.
    #[inline(always)]
    pub(crate) fn step_or_wait<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> Option<&'s [N::Value]> {
        if CONV1D && let Opened::Conv1d(layer) = self {
            return layer.step(backend, x, place);
        }
        if let Opened::MaxPool(layer, _) = self {
            return layer.step(backend, x, place);
        }
        if let Some(layer) = self.bidirectional() {
            layer.keep(backend, x, place);
            return None;
        }
        self.step(backend, x, place)
    }

    /// True where several streams gain by [`Opened::step_many`].
    pub(crate) fn gains_together<B: Backend>(&self, backend: B) -> bool {
        match self {
            Opened::Lstm(layer) => LSTM && layer.gains_together(backend),
            Opened::Gru(layer) => GRU && layer.gains_together(backend),
            Opened::Rnn(layer) => RNN && layer.gains_together(backend),
            _ => false,
        }
    }

    /// One step of several streams, with the weights read once, where they gain by that. False where they do not, and nothing is done.
    pub(crate) fn step_many<'s: 'x, 'x, B: Backend>(&self, backend: B, streams: &mut [Stream<'s, 'x, N>]) -> bool {
        let gains = self.gains_together(backend);
        match self {
            Opened::Lstm(layer) if gains => layer.step_many(backend, streams),
            Opened::Gru(layer) if gains => layer.step_many(backend, streams),
            Opened::Rnn(layer) if gains => layer.step_many(backend, streams),
            _ => {}
        }
        gains
    }

    /// The layer with two directions that it is.
    #[inline(always)]
    pub(crate) fn bidirectional(&self) -> Option<&bidirectional::Opened<'a, N>> {
        match self {
            Opened::Bidirectional(layer, _) => layer.get(),
            _ => None,
        }
    }

    /// Bytes of its state.
    pub(crate) fn state_bytes(&self) -> usize {
        let values = |units: u16| N::PRECISION.values_bytes(N::PRECISION.lanes(usize::from(units)));
        match self {
            Opened::Lstm(layer) => 4 * N::PRECISION.lanes(usize::from(layer.units)) + values(layer.units),
            Opened::Gru(layer) => values(layer.units),
            Opened::Rnn(layer) => values(layer.units),
            Opened::Conv1d(layer) if CONV1D => layer.state_bytes(),
            Opened::Variant(layer, _) => layer.state_bytes(),
            Opened::LayerNorm(layer, _) => N::PRECISION.values_bytes(usize::from(layer.width())),
            Opened::Conv1d(_) => 0,
            Opened::Bidirectional(layer, _) => layer.get().map_or(0, |layer| layer.state_bytes()),
            Opened::MaxPool(layer, _) => {
                let (before, values) = layer.state(N::PRECISION);
                before + values
            }
            Opened::Dense(layer) => N::PRECISION.values_bytes(usize::from(layer.outputs())),
            Opened::Pooling(layer) => layer.kind.state(N::PRECISION, usize::from(layer.width)),
        }
    }
}
