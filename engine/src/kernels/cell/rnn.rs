//! The simple recurrent unit (Elman 1990): `h' = f(W [x; h] + b)` with f the hyperbolic tangent or the rectifier.

use super::super::{
    Backend, Features, FeaturesFloat, FloatWeight, IntWeight, ProductFloat, RowsFloat, RowsInt, rows_together,
};
use super::{AsTheyLie, RowProducts, without_subnormals};

/// What follows the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Activation {
    /// The hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`. Integers saturate it at `1 - 2^-15`, where the hidden state's format ends; floats at [`MOST_RECTIFIED`].
    Relu,
}

/// The most that the rectifier gives in floats, so that no stream comes to an infinity.
pub const MOST_RECTIFIED: f32 = 16_777_216.0;

/// A layer over a matrix of one kind: [`RnnI8`], [`RnnFloat`], and that of an opened model.
#[derive(Debug, Clone, Copy)]
pub struct Rnn<R> {
    /// The rows over `[x; h]`.
    pub rows: R,
    /// What follows the sums.
    pub activation: Activation,
}

/// An integer layer with `U` units: the rows `[unit]` over `[x; h]`, `U` rounded up to whole quads with rows of zeros. Sums shifted right by `rows.shift`
/// are Q3.12 for the hyperbolic tangent and Q0.15 for the rectifier, for which the same multipliers have a shift 3 lower.
pub type RnnI8<'a> = RnnInt<'a, i8>;

/// The same of int16.
pub type RnnI16<'a> = RnnInt<'a, i16>;

/// An integer layer of either kind.
pub type RnnInt<'a, W> = Rnn<RowsInt<'a, W>>;

/// A float layer with `U` units, padded to `U8`, a multiple of 8, with zeros: the rows `[U8 units]` over `[x; h]`, `U` columns of h.
pub type RnnFloat<'a, W> = Rnn<RowsFloat<'a, W>>;

/// Words of scratch of an int8 step.
pub const fn scratch_i8(inputs: usize, units: usize) -> usize {
    scratch_integers(i8::COLUMNS, inputs, units)
}

/// Words of scratch of an integer step, whose columns lie in blocks of so many.
pub const fn scratch_integers(block: usize, inputs: usize, units: usize) -> usize {
    units.next_multiple_of(4) + (inputs + units).next_multiple_of(block) / 2
}

/// Floats of scratch of a float step.
pub const fn scratch_float(inputs: usize, units: usize) -> usize {
    inputs + units
}

/// One step; see [`Backend::rnn_i8`].
///
/// ```text
/// h' = tanh_q15(sat16((acc * multiplier + bias) >> shift))                    Q0.15
/// h' = min(max((acc * multiplier + bias) >> shift, 0), 32767)                 the rectifier, whose sums are Q0.15 behind the shift
/// ```
///
/// int16: `(acc * multiplier) >> 16` in the place of `acc * multiplier`.
#[inline(always)]
pub fn step<B: Backend, W: IntWeight>(
    backend: B,
    rnn: &RnnInt<'_, W>,
    x: Features<'_, W>,
    scratch: &mut [i32],
    h: &mut [i16],
) {
    step_by(backend, &AsTheyLie::new(backend), rnn, x, scratch, h);
}

#[inline(always)]
pub(crate) fn step_by<B: Backend, P: RowProducts>(
    backend: B,
    products: &P,
    rnn: &RnnInt<'_, P::Weight>,
    x: Features<'_, P::Weight>,
    scratch: &mut [i32],
    h: &mut [i16],
) {
    let Some((sums, columns)) = scratch.split_at_mut_checked(h.len().next_multiple_of(4)) else { return };
    let columns: &mut [i16] = bytemuck::cast_slice_mut(columns);
    let Some(columns) = columns.get_mut(..(x.len() + h.len()).next_multiple_of(P::Weight::COLUMNS)) else { return };
    if !backend.join(x, columns, h) {
        return;
    }
    products.rows(&rnn.rows, columns, sums);
    backend.shift_q12(sums, rnn.rows.shift, h);
    match rnn.activation {
        Activation::Tanh => backend.tanh_q15(h),
        Activation::Relu => h.iter_mut().for_each(|h| *h = (*h).max(0)),
    }
}

/// One of several streams that take a float step together, see [`step_float_many`].
#[derive(Debug)]
pub(crate) struct StreamFloat<'a> {
    /// `[x; h]`.
    pub(crate) xh: &'a [f32],
    /// Hidden state out, length `U8`.
    pub(crate) h: &'a mut [f32],
}

/// The steps of several streams: what [`step_float`] computes, but that a backend may sum in another order.
#[inline(always)]
pub(crate) fn step_float_many<B: Backend, W: FloatWeight>(
    backend: B,
    rnn: &RnnFloat<'_, W>,
    streams: &mut [StreamFloat<'_>],
) {
    let all = streams.iter_mut().map(|stream| ProductFloat { x: stream.xh, out: &mut *stream.h });
    rows_together(backend, &rnn.rows, all, false);
    streams.iter_mut().for_each(|stream| finish_float(backend, rnn.activation, stream.h));
}

/// What follows the sums.
#[inline(always)]
fn finish_float<B: Backend>(backend: B, activation: Activation, h: &mut [f32]) {
    match activation {
        Activation::Tanh => backend.tanh_f32(h),
        // Not `f32::max`, which would turn NaN into a number.
        Activation::Relu => h.iter_mut().for_each(|h| *h = h.clamp(0.0, MOST_RECTIFIED)),
    }
    h.iter_mut().for_each(|h| *h = without_subnormals(*h));
}

/// One step; see [`Backend::rnn_float`].
#[inline(always)]
pub fn step_float<B: Backend, W: FloatWeight>(
    backend: B,
    rnn: &RnnFloat<'_, W>,
    x: FeaturesFloat<'_, W>,
    scratch: &mut [f32],
    h: &mut [f32],
) {
    let Some(columns) = rnn.rows.weights.len().checked_div(h.len()) else { return };
    let Some(columns) = scratch.get_mut(..columns) else { return };
    if !backend.join_float(x, columns, h) {
        return;
    }
    backend.rows_float(&rnn.rows, columns, h);
    finish_float(backend, rnn.activation, h);
}
