//! One token through the stacked LSTM layers and into the running readout.

use bytemuck::Pod;
use heapless::Vec;

use super::StreamShape;
#[cfg(feature = "extended")]
use super::attention::{add_weight, add_weighted, attention_weight};
#[cfg(all(feature = "extended", feature = "float"))]
use super::attention::{add_weight_f32, attention_weight_f32};
#[cfg(feature = "fold")]
use super::embedding::Embedding;
#[cfg(feature = "fold")]
use super::folded::Folded;
use super::state::{Header, MEAN_TOKENS, Memory};
use crate::image::manifest::{MAX_LAYERS, Readout};
use crate::kernels::{Backend, Features, MANY, RowsI8, StreamI8};
#[cfg(feature = "float")]
use crate::kernels::{FeaturesFloat, FloatWeight, RowsFloat, StreamFloat};

pub(super) type Layers<G> = Vec<G, MAX_LAYERS>;

/// One token, integers. `row` is the embedding's row, int8; `start` is [`StreamShape::scratch_start`], here and below.
#[inline]
pub(super) fn step_i8<B: Backend>(
    backend: B,
    (shape, start): (&StreamShape, usize),
    layers: &[RowsI8<'_>],
    row: &[i8],
    header: &mut Header,
    memory: Memory<'_>,
) {
    let (memory, scratch) = memory.part::<i16>(start);
    let Some(first) = layers.first() else { return };
    layers_i8(backend, shape, layers, (first, row), scratch, header, memory, |gates, x, xh, h, c, odd| {
        backend.step_i8(gates, x, xh, h, c, odd);
    });
}

/// One token, integers, with a folded embedding: the row of the id in the place of the first layer's bias, and no features. False for an
/// id outside the embedding.
#[cfg(feature = "fold")]
#[inline]
pub(super) fn step_folded_i8<B: Backend>(
    backend: B,
    (shape, start): (&StreamShape, usize),
    (layers, folded, embedding): (&[RowsI8<'_>], &Folded<'_, i8, i32>, &Embedding<'_, i8>),
    id: u32,
    header: &mut Header,
    memory: Memory<'_>,
) -> bool {
    let (memory, scratch) = memory.part::<i32>(start);
    let Some(first) = layers.first() else { return false };
    let Some((row, scratch)) = folded.row(backend, first, embedding, id, scratch) else { return false };
    let first = &RowsI8 { bias: row, ..*first };
    layers_i8(backend, shape, layers, (first, &[]), scratch, header, memory, |gates, x, xh, h, c, odd| {
        backend.step_i8(gates, x, xh, h, c, odd);
    });
    true
}

/// The layers and the readout; `first` has the gates that the first layer takes, and its features, and `step` is [`Backend::step_i8`].
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "what a token needs")]
pub(super) fn layers_i8<B: Backend>(
    backend: B,
    shape: &StreamShape,
    layers: &[RowsI8<'_>],
    (first, row): (&RowsI8<'_>, &[i8]),
    scratch: &mut [i16],
    header: &mut Header,
    mut memory: Memory<'_>,
    mut step: impl FnMut(&RowsI8<'_>, Features<'_>, &mut [i16], &mut [i16], &mut [i32], bool),
) {
    let mut hidden: &mut [i16] = &mut [];
    for (index, (gates, &units)) in layers.iter().zip(&shape.units).enumerate() {
        let units = usize::from(units);
        let (c, h) = (memory.take(units), memory.take(units));
        let (gates, x) = if index == 0 { (first, Features::Row(row)) } else { (gates, Features::Hidden(hidden)) };
        let Some(xh) = scratch.get_mut(..(x.len() + units).next_multiple_of(4)) else { return };
        step(gates, x, xh, h, c, header.tokens % 2 == 1);
        hidden = h;
    }
    read_out_i8(backend, shape, hidden, header, memory);
}

/// The last layer's hidden state into the running readout.
#[inline]
pub(super) fn read_out_i8<B: Backend>(
    backend: B,
    shape: &StreamShape,
    hidden: &[i16],
    header: &mut Header,
    mut memory: Memory<'_>,
) {
    let first = header.count_token();
    match shape.readout {
        Readout::Last => {}
        Readout::Mean => {
            let sums: &mut [i32] = memory.take(hidden.len());
            if header.make_room() {
                sums.iter_mut().for_each(|sum| *sum /= 2);
            }
            backend.add_i16(sums, hidden);
        }
        Readout::Max => replace_or_max(first, memory.take(hidden.len()), hidden, |max, h| backend.max_i16(max, h)),
        #[cfg(feature = "extended")]
        Readout::Attention => {
            let sums: &mut [i32] = memory.take(hidden.len());
            let weight = attention_weight(hidden.first().copied().unwrap_or(0));
            if add_weight(&mut header.count, weight) {
                sums.iter_mut().for_each(|sum| *sum /= 2);
            }
            add_weighted(sums, hidden, weight);
        }
    }
}

/// One of the streams that take a token together: what is left of its memory, and its place in the layer at hand. `E` is the type of a
/// hidden state, `C` that of a cell state, `W` that of the embedding.
pub(super) struct Stream<'s, 'a, E, C, W> {
    header: &'s mut Header,
    memory: Memory<'s>,
    scratch: &'s mut [E],
    row: &'a [W],
    hidden: &'s mut [E],
    h: &'s mut [E],
    c: &'s mut [C],
}

impl<'s, 'a, E: Pod, C: Pod, W> Stream<'s, 'a, E, C, W> {
    /// The stream of a state, before the embedding's row.
    pub(super) fn new(start: usize, header: &'s mut Header, memory: Memory<'s>, row: &'a [W]) -> Self {
        let (memory, scratch) = memory.part(start);
        Stream { header, memory, scratch, row, hidden: &mut [], h: &mut [], c: &mut [] }
    }
}

/// One token of several streams, integers: layer by layer, with the weights of each read once. As [`step_i8`] for each, to the bit.
#[inline]
pub(super) fn step_many_i8<B: Backend>(
    backend: B,
    shape: &StreamShape,
    layers: &[RowsI8<'_>],
    streams: &mut Vec<Stream<'_, '_, i16, i32, i8>, MANY>,
) {
    for (index, (gates, &units)) in layers.iter().zip(&shape.units).enumerate() {
        let units = usize::from(units);
        let mut together: Vec<StreamI8<'_>, MANY> = Vec::new();
        for stream in &mut *streams {
            (stream.c, stream.h) = (stream.memory.take(units), stream.memory.take(units));
            let x = if index == 0 { Features::Row(stream.row) } else { Features::Hidden(stream.hidden) };
            let Some(xh) = stream.scratch.get_mut(..(x.len() + units).next_multiple_of(4)) else { return };
            backend.join_i8(x, xh, stream.h);
            let _ = together.push(StreamI8 { xh, h: stream.h, c: stream.c });
        }
        backend.lstm_i8_many(gates, &mut together);
        drop(together);
        for stream in &mut *streams {
            stream.hidden = core::mem::take(&mut stream.h);
        }
    }
    for stream in streams {
        read_out_i8(backend, shape, stream.hidden, stream.header, stream.memory.rest());
    }
}

/// One token of several streams, floats. As [`step_float`] for each, but that a backend may sum in another order.
#[cfg(feature = "float")]
#[inline]
pub(super) fn step_many_float<B: Backend, W: FloatWeight>(
    backend: B,
    shape: &StreamShape,
    layers: &[RowsFloat<'_, W>],
    streams: &mut Vec<Stream<'_, '_, f32, f32, W>, MANY>,
) {
    for (index, (gates, &units)) in layers.iter().zip(&shape.units).enumerate() {
        let units = usize::from(units);
        let lanes = units.next_multiple_of(8);
        let inputs = if index == 0 { 0 } else { usize::from(shape.units[index - 1]) };
        let mut together: Vec<StreamFloat<'_>, MANY> = Vec::new();
        for stream in &mut *streams {
            (stream.c, stream.h) = (stream.memory.take(lanes), stream.memory.take(lanes));
            let x = if index == 0 { FeaturesFloat::Row(stream.row) } else { of_layer(stream.hidden, inputs) };
            let Some(xh) = stream.scratch.get_mut(..x.len() + units) else { return };
            backend.join_float(x, xh, stream.h);
            let _ = together.push(StreamFloat { xh, h: stream.h, c: stream.c });
        }
        backend.lstm_float_many(gates, &mut together);
        drop(together);
        for stream in &mut *streams {
            stream.hidden = core::mem::take(&mut stream.h);
        }
    }
    for stream in streams {
        read_out_float(backend, shape, stream.hidden, stream.header, stream.memory.rest());
    }
}

/// One token, floats. `row` is the embedding's row in the type of the image.
#[cfg(feature = "float")]
#[inline]
pub(super) fn step_float<B: Backend, W: FloatWeight>(
    backend: B,
    (shape, start): (&StreamShape, usize),
    layers: &[RowsFloat<'_, W>],
    row: &[W],
    header: &mut Header,
    memory: Memory<'_>,
) {
    let (memory, scratch) = memory.part::<f32>(start);
    let Some(first) = layers.first() else { return };
    layers_float(backend, shape, layers, (first, row), scratch, header, memory);
}

/// One token, floats, with a folded embedding: as [`step_folded_i8`].
#[cfg(all(feature = "float", feature = "fold"))]
#[inline]
pub(super) fn step_folded_float<B: Backend, W: FloatWeight>(
    backend: B,
    (shape, start): (&StreamShape, usize),
    (layers, folded, embedding): (&[RowsFloat<'_, W>], &Folded<'_, W, f32>, &Embedding<'_, W>),
    id: u32,
    header: &mut Header,
    memory: Memory<'_>,
) -> bool {
    let (memory, scratch) = memory.part::<f32>(start);
    let Some(first) = layers.first() else { return false };
    let Some((row, scratch)) = folded.row(backend, first, embedding, id, scratch) else { return false };
    layers_float(backend, shape, layers, (&RowsFloat { bias: row, ..*first }, &[]), scratch, header, memory);
    true
}

/// The layers and the readout; `first` has the gates that the first layer takes, and its features.
#[cfg(feature = "float")]
#[inline(always)]
fn layers_float<B: Backend, W: FloatWeight>(
    backend: B,
    shape: &StreamShape,
    layers: &[RowsFloat<'_, W>],
    (first, row): (&RowsFloat<'_, W>, &[W]),
    scratch: &mut [f32],
    header: &mut Header,
    mut memory: Memory<'_>,
) {
    let mut hidden: &mut [f32] = &mut [];
    let mut inputs = 0;
    for (index, (gates, &units)) in layers.iter().zip(&shape.units).enumerate() {
        let units = usize::from(units);
        let lanes = units.next_multiple_of(8);
        let (c, h) = (memory.take(lanes), memory.take(lanes));
        let (gates, x) = if index == 0 { (first, FeaturesFloat::Row(row)) } else { (gates, of_layer(hidden, inputs)) };
        let Some(xh) = scratch.get_mut(..x.len() + units) else { return };
        backend.step_float(gates, x, xh, h, c, header.tokens % 2 == 1);
        hidden = h;
        inputs = units;
    }
    read_out_float(backend, shape, hidden, header, memory);
}

/// The units of a hidden state, without its padding, as what the next layer reads.
#[cfg(feature = "float")]
#[inline(always)]
fn of_layer<W>(hidden: &[f32], units: usize) -> FeaturesFloat<'_, W> {
    FeaturesFloat::Hidden(hidden.get(..units).unwrap_or(hidden))
}

/// The last layer's hidden state into the running readout.
#[cfg(feature = "float")]
#[inline]
pub(super) fn read_out_float<B: Backend>(
    backend: B,
    shape: &StreamShape,
    hidden: &[f32],
    header: &mut Header,
    mut memory: Memory<'_>,
) {
    let first = header.count_token();
    match shape.readout {
        Readout::Last => {}
        Readout::Mean => {
            let sums: &mut [f32] = memory.take(hidden.len());
            if header.make_room() {
                sums.iter_mut().for_each(|sum| *sum /= 2.0);
            }
            backend.add_f32(sums, hidden);
        }
        Readout::Max => replace_or_max(first, memory.take(hidden.len()), hidden, |max, h| backend.max_f32(max, h)),
        #[cfg(feature = "extended")]
        Readout::Attention => {
            let sums: &mut [f32] = memory.take(hidden.len());
            let weight = attention_weight_f32(hidden.first().copied().unwrap_or(0.0));
            if add_weight_f32(&mut header.count, weight) {
                sums.iter_mut().for_each(|sum| *sum /= 2.0);
            }
            sums.iter_mut().zip(hidden).for_each(|(sum, &h)| *sum += weight * h);
        }
    }
}

/// The running maximum; the first token's values are what it begins with.
fn replace_or_max<H: Pod>(first: bool, largest: &mut [H], hidden: &[H], max: impl FnOnce(&mut [H], &[H])) {
    if first {
        largest.iter_mut().zip(hidden).for_each(|(largest, h)| *largest = *h);
    } else {
        max(largest, hidden);
    }
}

impl Header {
    /// One token more; true when it is the stream's first.
    fn count_token(&mut self) -> bool {
        let first = self.tokens == 0;
        self.tokens = self.tokens.saturating_add(1);
        first
    }

    /// One token more in the running mean; true when its sum must be halved before, and the count has been.
    fn make_room(&mut self) -> bool {
        let full = self.count == MEAN_TOKENS;
        if full {
            self.count /= 2;
        }
        self.count += 1;
        full
    }
}
