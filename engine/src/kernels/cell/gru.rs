//! The gated recurrent unit (Cho et al. 2014), with gates in the order z, r, n: update, reset, candidate.
//!
//! ```text
//! z = sigmoid(W_z x + U_z h + b_z)          r = sigmoid(W_r x + U_r h + b_r)
//! n = tanh(W_n x + b_n + r * (U_n h + c_n))                                     Reset::After: Keras's default, PyTorch, cuDNN
//! n = tanh(W_n x + b_n + U_n (r * h))                                           Reset::Before: Cho et al., ONNX's default
//! h' = n + z (h - n)
//! ```
//!
//! `docs/numerics.md` has the formats of the integers, why nothing overflows, and how far they are off.

use core::ops::Range;

use super::super::{
    Backend, Features, FeaturesFloat, FloatWeight, IntWeight, ProductFloat, RowsFloat, RowsInt, copy, rows_together,
};
use super::{AsTheyLie, RowProducts, product_q15, without_subnormals};

/// Where the reset gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Reset {
    /// Behind the recurrent kernel's product: `r * (U h + c)`.
    After,
    /// Before it: `U (r * h)`.
    Before,
}

/// A GRU layer over matrices of one kind: [`GruI8`], [`GruFloat`], and those of an opened model.
#[derive(Debug, Clone, Copy)]
pub struct Gru<R> {
    /// The rows over the features.
    pub kernel: R,
    /// The rows over h.
    pub recurrent: R,
    /// Where the reset gate stands.
    pub reset: Reset,
}

/// An integer GRU layer with `U` units.
///
/// Both kernels have the rows `[gate z, r, n][unit]`, `3 * U` of them, rounded up to whole quads with rows of zeros. The biases of `kernel` hold both
/// biases of z and r, the first one of n, and the rounding half; those of `recurrent`, whose columns are `U` rounded up to a multiple of 4, are those of n,
/// `U` of them with the rounding half, and none with [`Reset::Before`]. All sums have one shift, `kernel.shift`; the two kernels may have other
/// multipliers for the same row.
///
/// For the rows of z and r, and with [`Reset::Before`] of n too, the maker guarantees
/// `128 * (multiplier_x * sum |w_x| + multiplier_h * sum |w_h|) + |bias| <= i32::MAX`; for those of n with [`Reset::After`] the bound of [`RowsI8`] on
/// each kernel by itself.
pub type GruI8<'a> = GruInt<'a, i8>;

/// The same of int16, with the bound of [`RowsI16`](super::super::RowsI16) in the place of `128 * multiplier * sum |w|`.
pub type GruI16<'a> = GruInt<'a, i16>;

/// An integer GRU layer of either kind.
pub type GruInt<'a, W> = Gru<RowsInt<'a, W>>;

/// A float GRU layer with `U` units, padded to `U8`, a multiple of 8, with zeros.
///
/// `kernel` has the rows `[gate z, r, n][U8 units]` over the features; its biases hold both biases of z and r and the first one of n. `recurrent` has `U`
/// columns, not padded: first the rows of z and r in the order of [`RowsFloat`], then those of n in the same order, `3 * U8 * U` weights in all; its
/// biases are those of n, `U8` of them, and none with [`Reset::Before`].
pub type GruFloat<'a, W> = Gru<RowsFloat<'a, W>>;

/// Words of scratch of an int8 step.
pub const fn scratch_i8(inputs: usize, units: usize) -> usize {
    scratch_integers(i8::COLUMNS, inputs, units)
}

/// Words of scratch of an integer step, whose columns lie in blocks of so many.
pub const fn scratch_integers(block: usize, inputs: usize, units: usize) -> usize {
    let columns = if inputs > units { inputs } else { units }.next_multiple_of(block);
    (3 * units).next_multiple_of(4) + units.div_ceil(2) + columns / 2
}

/// Floats of scratch of a float step.
pub const fn scratch_float(inputs: usize, units: usize) -> usize {
    4 * units.next_multiple_of(8) + inputs
}

/// One step; see [`Backend::gru_i8`].
///
/// ```text
/// z, r = sigmoid_q15(sat16((acc_x * m_x + acc_h * m_h + bias) >> shift))                                Q0.15
/// a    = sat16((acc_x * m_x + bias) >> shift)       s = sat16((acc_h * m_h + bias_h) >> shift)          Q3.12, rows of n
/// n    = tanh_q15(sat16(a + ((r * s + 2^14) >> 15)))                                                    Reset::After
/// n    = tanh_q15(sat16((acc_x * m_x + acc_rh * m_h + bias) >> shift))                                  Reset::Before, with
/// rh   = narrow_q15((r * h + 2^14) >> 15)                                                               Q0.7, two roundings
/// h'   = (z * h + (32768 - z) * n + 2^14) >> 15                                                         Q0.15
/// ```
///
/// int16: `(acc * m) >> 16` in the place of every `acc * m`, and `rh` stays in Q0.15.
#[inline(always)]
pub fn step<B: Backend, W: IntWeight>(
    backend: B,
    gru: &GruInt<'_, W>,
    x: Features<'_, W>,
    scratch: &mut [i32],
    h: &mut [i16],
) {
    step_by(backend, &AsTheyLie::new(backend), gru, x, scratch, h);
}

#[inline(always)]
pub(crate) fn step_by<B: Backend, P: RowProducts>(
    backend: B,
    products: &P,
    gru: &GruInt<'_, P::Weight>,
    x: Features<'_, P::Weight>,
    scratch: &mut [i32],
    h: &mut [i16],
) {
    let (units, rows) = (h.len(), (3 * h.len()).next_multiple_of(4));
    let Some((sums, scratch)) = scratch.split_at_mut_checked(rows) else { return };
    let Some((n, columns)) = scratch.split_at_mut_checked(units.div_ceil(2)) else { return };
    let (n, columns): (&mut [i16], &mut [i16]) = (bytemuck::cast_slice_mut(n), bytemuck::cast_slice_mut(columns));
    let Some(n) = n.get_mut(..units) else { return };

    let Some(features) = columns.get_mut(..x.len().next_multiple_of(P::Weight::COLUMNS)) else { return };
    if !backend.join(x, features, &[]) {
        return;
    }
    products.rows(&gru.kernel, features, sums);
    let Some(columns) = columns.get_mut(..units.next_multiple_of(P::Weight::COLUMNS)) else { return };
    let Some((previous, padding)) = columns.split_at_mut_checked(units) else { return };
    P::Weight::hidden_columns(backend, h, previous);
    padding.fill(0);
    match gru.reset {
        Reset::After => {
            let Some(n_sums) = sums.get_mut(2 * units..3 * units) else { return };
            backend.shift_q12(n_sums, gru.kernel.shift, n);
            let Some(bias) = gru.recurrent.bias.get(..units) else { return };
            copy(bias, n_sums);
            products.add_rows(&gru.recurrent, columns, sums);
            backend.gru_cell_i8(sums, n, gru.kernel.shift, h);
        }
        Reset::Before => before(backend, products, gru, (sums, n, columns), h),
    }
}

/// What follows the kernel's sums with [`Reset::Before`]; `columns` holds h.
#[inline(always)]
fn before<B: Backend, P: RowProducts>(
    backend: B,
    products: &P,
    gru: &GruInt<'_, P::Weight>,
    (sums, r, columns): (&mut [i32], &mut [i16], &mut [i16]),
    h: &mut [i16],
) {
    let units = h.len();
    // When the number of units is odd, two rows of r and two of n share a quad, which is added for both and keeps half
    // of its sums each time.
    let (first, last) = ((2 * units).next_multiple_of(4), 2 * units / 4 * 4);
    let width = columns.len() / P::PER_ELEMENT;
    let parts = (part(&gru.recurrent, width, 0, first), part(&gru.recurrent, width, last, sums.len()));
    let (Some(gates), Some(candidate)) = parts else { return };
    let Some(gate_sums) = sums.get_mut(..first) else { return };
    add_all_but(2 * units..first, gate_sums, |sums| products.add_rows(&gates, columns, sums));

    let Some(r_sums) = sums.get(units..) else { return };
    backend.shift_q12(r_sums, gru.kernel.shift, r);
    backend.sigmoid_q15(r);
    r.iter_mut().zip(&*h).for_each(|(r, &h)| *r = product_q15(*r, h));
    let Some((previous, _)) = columns.split_at_mut_checked(units) else { return };
    P::Weight::hidden_columns(backend, r, previous);
    let Some(candidate_sums) = sums.get_mut(last..) else { return };
    add_all_but(0..2 * units - last, candidate_sums, |sums| products.add_rows(&candidate, columns, sums));

    let Some((z_sums, rest)) = sums.split_at_checked(units) else { return };
    let Some(n_sums) = rest.get(units..) else { return };
    backend.shift_q12(n_sums, gru.kernel.shift, r);
    backend.tanh_q15(r);
    let mut z = [0; TILE];
    let mut begin = 0;
    while begin < units {
        let tile = begin..units.min(begin + TILE);
        begin = tile.end;
        let (z_sums, n, h) = (z_sums.get(tile.clone()), r.get(tile.clone()), h.get_mut(tile));
        let (Some(z_sums), Some(n), Some(h)) = (z_sums, n, h) else { return };
        let Some(z) = z.get_mut(..h.len()) else { return };
        backend.shift_q12(z_sums, gru.kernel.shift, z);
        backend.sigmoid_q15(z);
        mix(z, n, h);
    }
}

/// Adds to sums, of which a range of at most two stays as it is.
fn add_all_but(range: Range<usize>, sums: &mut [i32], add: impl FnOnce(&mut [i32])) {
    let mut kept = [0; 2];
    kept.iter_mut().zip(sums.get(range.clone()).unwrap_or(&[])).for_each(|(kept, sum)| *kept = *sum);
    add(sums);
    sums.get_mut(range).unwrap_or(&mut []).iter_mut().zip(kept).for_each(|(sum, kept)| *sum = kept);
}

/// Some rows of the recurrent kernel, without their biases; `width` is the elements of a row's weights.
fn part<'a, W: IntWeight>(rows: &RowsInt<'a, W>, width: usize, from: usize, to: usize) -> Option<RowsInt<'a, W>> {
    let (weights, multiplier) = (rows.weights.get(from * width..to * width)?, rows.multiplier.get(from..to)?);
    Some(RowsInt { weights, multiplier, bias: &[], ..*rows })
}

/// Units whose gates lie on the stack at a time.
const TILE: usize = 32;

/// `h' = n + z (h - n)`, rounded once: a mean of h and n with weights that sum up to one, so that it lies between the
/// two.
#[inline(always)]
fn mix(z: &[i16], n: &[i16], h: &mut [i16]) {
    for ((&z, &n), h) in z.iter().zip(n).zip(h) {
        let (z, n, last) = (i32::from(z), i32::from(n), i32::from(*h));
        *h = ((z * last + (32768 - z) * n + (1 << 14)) >> 15) as i16;
    }
}

/// The cell with [`Reset::After`]; see [`Backend::gru_cell_i8`].
#[inline(always)]
pub fn cell_i8<B: Backend>(backend: B, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
    let units = h.len();
    let (mut z, mut r, mut s) = ([0; TILE], [0; TILE], [0; TILE]);
    let mut begin = 0;
    while begin < units {
        let end = units.min(begin + TILE);
        let of = |gate: usize| sums.get(gate * units + begin..gate * units + end);
        let (Some(z_sums), Some(r_sums), Some(s_sums)) = (of(0), of(1), of(2)) else { return };
        let (Some(n), Some(h)) = (n.get(begin..end), h.get_mut(begin..end)) else { return };
        begin = end;
        let tile = (z.get_mut(..h.len()), r.get_mut(..h.len()), s.get_mut(..h.len()));
        let (Some(z), Some(r), Some(s)) = tile else { return };
        backend.shift_q12(z_sums, shift, z);
        backend.shift_q12(r_sums, shift, r);
        backend.shift_q12(s_sums, shift, s);
        backend.sigmoid_q15(z);
        backend.sigmoid_q15(r);
        s.iter_mut().zip(&*r).zip(n).for_each(|((s, &r), &n)| *s = n.saturating_add(product_q15(r, *s)));
        backend.tanh_q15(s);
        mix(z, s, h);
    }
}

/// One of several streams that take a float step together, see [`step_float_many`].
#[derive(Debug)]
pub(crate) struct StreamFloat<'a> {
    /// The features.
    pub(crate) x: &'a [f32],
    /// Scratch, length `3 * U8`.
    pub(crate) sums: &'a mut [f32],
    /// Scratch, length `U8`.
    pub(crate) n: &'a mut [f32],
    /// Hidden state in and out, length `U8`.
    pub(crate) h: &'a mut [f32],
}

impl StreamFloat<'_> {
    /// The sums of z and r, those of n, the other scratch, and the first so many of h.
    #[inline(always)]
    fn parts(&mut self, units: usize) -> Option<([&mut [f32]; 3], &[f32])> {
        let (gates, candidate) = self.sums.split_at_mut_checked(2 * self.h.len())?;
        Some(([gates, candidate, self.n], self.h.get(..units)?))
    }
}

/// The steps of several streams, product by product, so that each weight comes from beyond the first-level cache once. What [`step_float`] computes,
/// but that a backend may sum in another order.
#[inline(always)]
pub(crate) fn step_float_many<B: Backend, W: FloatWeight>(
    backend: B,
    gru: &GruFloat<'_, W>,
    streams: &mut [StreamFloat<'_>],
) {
    let Some(lanes) = streams.first().map(|stream| stream.h.len()) else { return };
    let Some(units) = gru.recurrent.weights.len().checked_div(3 * lanes) else { return };
    let Some((gate_weights, candidate_weights)) = gru.recurrent.weights.split_at_checked(2 * lanes * units) else {
        return;
    };
    let gates = RowsFloat { weights: gate_weights, bias: &[] };
    let candidate = RowsFloat { weights: candidate_weights, bias: gru.recurrent.bias };

    let all = streams.iter_mut().map(|stream| ProductFloat { x: stream.x, out: &mut *stream.sums });
    rows_together(backend, &gru.kernel, all, false);
    let all = streams.iter_mut().filter_map(|stream| {
        let ([gates, ..], previous) = stream.parts(units)?;
        Some(ProductFloat { x: previous, out: gates })
    });
    rows_together(backend, &gates, all, true);
    for ([gates, _, n], previous) in streams.iter_mut().filter_map(|stream| stream.parts(units)) {
        backend.sigmoid_f32(gates);
        if gru.reset == Reset::Before {
            let r = gates.get(lanes..).unwrap_or(&[]);
            n.iter_mut().zip(r).zip(previous).for_each(|((n, r), h)| *n = r * h);
        }
    }
    let after = gru.reset == Reset::After;
    let all = streams.iter_mut().filter_map(|stream| {
        let ([_, sums, n], previous) = stream.parts(units)?;
        Some(if after { ProductFloat { x: previous, out: n } } else { ProductFloat { x: n.get(..units)?, out: sums } })
    });
    rows_together(backend, &candidate, all, !after);
    for StreamFloat { sums, n, h, .. } in streams {
        let Some((gates, candidate)) = sums.split_at_mut_checked(2 * lanes) else { return };
        let Some((z, r)) = gates.split_at_checked(lanes) else { return };
        if after {
            candidate.iter_mut().zip(r).zip(&**n).for_each(|((sum, r), n)| *sum += r * n);
        }
        backend.tanh_f32(candidate);
        mix_float(z, candidate, h);
    }
}

/// `h' = n + z (h - n)`.
#[inline(always)]
fn mix_float(z: &[f32], n: &[f32], h: &mut [f32]) {
    for ((h, z), n) in h.iter_mut().zip(z).zip(n) {
        *h = without_subnormals(*n + z * (*h - *n));
    }
}

/// One step; see [`Backend::gru_float`].
#[inline(always)]
pub fn step_float<B: Backend, W: FloatWeight>(
    backend: B,
    gru: &GruFloat<'_, W>,
    x: FeaturesFloat<'_, W>,
    scratch: &mut [f32],
    h: &mut [f32],
) {
    let lanes = h.len();
    let Some(units) = gru.recurrent.weights.len().checked_div(3 * lanes) else { return };
    let Some((sums, scratch)) = scratch.split_at_mut_checked(3 * lanes) else { return };
    let Some((n, scratch)) = scratch.split_at_mut_checked(lanes) else { return };
    let Some(features) = scratch.get_mut(..x.len()) else { return };
    if !backend.join_float(x, features, &[]) {
        return;
    }
    backend.rows_float(&gru.kernel, features, sums);
    let Some((gate_weights, candidate_weights)) = gru.recurrent.weights.split_at_checked(2 * lanes * units) else {
        return;
    };
    let (gates, candidate) =
        (RowsFloat { weights: gate_weights, bias: &[] }, RowsFloat { weights: candidate_weights, bias: &[] });
    let (Some((gate_sums, candidate_sums)), Some(previous)) = (sums.split_at_mut_checked(2 * lanes), h.get(..units))
    else {
        return;
    };
    backend.add_rows_float(&gates, previous, gate_sums);
    backend.sigmoid_f32(gate_sums);
    let Some((z, r)) = gate_sums.split_at_checked(lanes) else { return };
    match gru.reset {
        Reset::After => {
            // n holds U h + c while the candidate's sums hold W x + b.
            n.iter_mut().zip(gru.recurrent.bias).for_each(|(n, bias)| *n = *bias);
            backend.add_rows_float(&candidate, previous, n);
            candidate_sums.iter_mut().zip(r).zip(&*n).for_each(|((sum, r), n)| *sum += r * n);
        }
        Reset::Before => {
            let Some(product) = n.get_mut(..units) else { return };
            product.iter_mut().zip(r).zip(previous).for_each(|((n, r), h)| *n = r * h);
            backend.add_rows_float(&candidate, product, candidate_sums);
        }
    }
    backend.tanh_f32(candidate_sums);
    mix_float(z, candidate_sums, h);
}
