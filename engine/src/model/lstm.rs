//! One token through the stacked LSTM layers and into the running readout.

use heapless::Vec;

use super::StreamShape;
use super::state::{Header, MEAN_TOKENS, Memory};
use crate::image::manifest::{MAX_LAYERS, Readout};
use crate::kernels::{Backend, GatesI8};
#[cfg(feature = "float")]
use crate::kernels::{FloatWeight, GatesFloat};

pub(super) type Layers<G> = Vec<G, MAX_LAYERS>;

/// One token, integers. `row` is the embedding's row, int8.
#[inline]
pub(super) fn step_i8<B: Backend>(
    backend: B,
    shape: &StreamShape,
    layers: &[GatesI8<'_>],
    row: &[i8],
    header: &mut Header,
    memory: Memory<'_>,
) {
    let mut state = Streams::<i32, i16>::cut(shape, memory, |units| units);
    let scratch: &mut [i16] = state.rest.take(scratch_columns(shape, 4));
    for (index, gates) in layers.iter().enumerate() {
        let (below, here) = state.layers.split_at_mut(index);
        let Some((c, h)) = here.first_mut() else { return };
        let inputs = below.last().map_or(row.len(), |(_, h)| h.len());
        let Some(xh) = scratch.get_mut(..(inputs + h.len()).next_multiple_of(4)) else { return };
        let Some((x, rest)) = xh.split_at_mut_checked(inputs) else { return };
        let Some((previous, padding)) = rest.split_at_mut_checked(h.len()) else { return };
        match below.last() {
            None => backend.widen_i8(row, x),
            Some((_, h)) => backend.narrow_q15(h, x),
        }
        backend.narrow_q15(h, previous);
        padding.fill(0);
        backend.lstm_i8(gates, xh, h, c);
    }
    let Some((_, h)) = state.layers.last() else { return };
    match shape.readout {
        Readout::Last => {}
        Readout::Mean => {
            let sums: &mut [i32] = state.pool.take(h.len());
            if header.count == MEAN_TOKENS {
                sums.iter_mut().for_each(|sum| *sum /= 2);
                header.count /= 2;
            }
            backend.add_i16(sums, h);
            header.count += 1;
        }
        Readout::Max => {
            let largest: &mut [i16] = state.pool.take(h.len());
            if header.tokens == 0 {
                largest.iter_mut().zip(h.iter()).for_each(|(largest, h)| *largest = *h);
            } else {
                backend.max_i16(largest, h);
            }
        }
    }
    header.tokens = header.tokens.saturating_add(1);
}

/// One token, floats. `row` is the embedding's row in the type of the image.
#[cfg(feature = "float")]
#[inline]
pub(super) fn step_float<B: Backend, W: FloatWeight>(
    backend: B,
    shape: &StreamShape,
    layers: &[GatesFloat<'_, W>],
    row: &[W],
    header: &mut Header,
    memory: Memory<'_>,
) {
    let mut state = Streams::<f32, f32>::cut(shape, memory, |units| units.next_multiple_of(8));
    let scratch: &mut [f32] = state.rest.take(scratch_columns(shape, 1));
    let mut inputs = row.len();
    for (index, (gates, &units)) in layers.iter().zip(&shape.units).enumerate() {
        let units = usize::from(units);
        let (below, here) = state.layers.split_at_mut(index);
        let Some((c, h)) = here.first_mut() else { return };
        let Some(xh) = scratch.get_mut(..inputs + units) else { return };
        let Some((x, previous)) = xh.split_at_mut_checked(inputs) else { return };
        match below.last() {
            None => backend.widen_float(row, x),
            Some((_, h)) => x.iter_mut().zip(h.iter()).for_each(|(x, h)| *x = *h),
        }
        previous.iter_mut().zip(h.iter()).for_each(|(previous, h)| *previous = *h);
        backend.lstm_float(gates, xh, h, c);
        inputs = units;
    }
    let Some((_, h)) = state.layers.last() else { return };
    match shape.readout {
        Readout::Last => {}
        Readout::Mean => {
            let sums: &mut [f32] = state.pool.take(h.len());
            if header.count == MEAN_TOKENS {
                sums.iter_mut().for_each(|sum| *sum /= 2.0);
                header.count /= 2;
            }
            backend.add_f32(sums, h);
            header.count += 1;
        }
        Readout::Max => {
            let largest: &mut [f32] = state.pool.take(h.len());
            if header.tokens == 0 {
                largest.iter_mut().zip(h.iter()).for_each(|(largest, h)| *largest = *h);
            } else {
                backend.max_f32(largest, h);
            }
        }
    }
    header.tokens = header.tokens.saturating_add(1);
}

/// A state's memory, cut: `(c, h)` of each layer, then the pool, then the scratch.
pub(super) struct Streams<'s, C, H> {
    pub(super) layers: Vec<(&'s mut [C], &'s mut [H]), MAX_LAYERS>,
    pub(super) pool: Memory<'s>,
    rest: Memory<'s>,
}

impl<'s, C: bytemuck::Pod, H: bytemuck::Pod> Streams<'s, C, H> {
    pub(super) fn cut(shape: &StreamShape, mut memory: Memory<'s>, lanes: impl Fn(usize) -> usize) -> Self {
        let mut layers = Vec::new();
        let mut last = 0;
        for &units in &shape.units {
            last = lanes(usize::from(units));
            // As many layers as the shape has fit the vector: both have the same capacity.
            let _ = layers.push((memory.take(last), memory.take(last)));
        }
        let pool = match shape.readout {
            Readout::Last => 0,
            Readout::Mean => last * 4,
            Readout::Max => (last * size_of::<H>()).next_multiple_of(4),
        };
        let pool = Memory::over(memory.take(pool));
        Streams { layers, pool, rest: memory }
    }
}

/// Elements of the longest [x; h], each padded to a multiple of `padding`.
fn scratch_columns(shape: &StreamShape, padding: usize) -> usize {
    let mut inputs = usize::from(shape.inputs);
    let mut columns = 0;
    for &units in &shape.units {
        let units = usize::from(units);
        columns = columns.max((inputs + units).next_multiple_of(padding));
        inputs = units;
    }
    columns
}
