//! Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates after Gers 2000): the step that defines what every backend computes.
//!
//! A backend fuses the whole step where that was measured to gain (`docs/decisions/0021-cells-over-rows.md`); each equals [`step_i8`] bit for bit.

use super::super::scalar::{add_products, products, sat16};
use super::super::{FloatWeight, RowsFloat, RowsI8, activation};
use super::without_subnormals;

/// One step of an integer LSTM layer; shapes at [`Backend::lstm_i8`](crate::kernels::Backend::lstm_i8).
///
/// ```text
/// for each unit and gate   acc = sum over k of w[k] * xh[k]                          i32
///                          z = sat16((acc * multiplier + bias) >> shift)             Q3.12
/// i, f, o = sigmoid_q15(z)      g = tanh_q15(z)                                      Q0.15
/// c' = (((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11)                           Q12.19
/// h  = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15                           Q0.15
/// ```
///
/// 3 * 2^10 is two corrections in one: 2^10 rounds the second product, and 2^11, which is 1 after the shift, is what the
/// first product loses on average by being cut to an even number. The cell therefore drifts to neither side.
pub fn step_i8(gates: &RowsI8<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    let mut weights = gates.weights;
    let requantize = gates.multiplier.as_chunks::<4>().0.iter().zip(gates.bias.as_chunks::<4>().0);
    for (((multiplier, bias), h), c) in requantize.zip(h).zip(c) {
        let Some((row, rest)) = weights.split_at_checked(4 * xh.len()) else { return };
        weights = rest;
        let mut z = [0_i16; 4];
        for (((z, acc), &m), &b) in z.iter_mut().zip(products(row, xh)).zip(multiplier).zip(bias) {
            *z = sat16(acc.wrapping_mul(i32::from(m)).wrapping_add(b) >> (gates.shift & 31));
        }
        (*h, *c) = cell_q15(z, *c);
    }
}

/// The second half of the step above: `(h, c')` from the gates' sums `[i, f, g, o]` in Q3.12 and the cell state in Q12.19.
#[inline(always)]
pub(crate) fn cell_q15([i, f, g, o]: [i16; 4], c: i32) -> (i16, i32) {
    let i = i32::from(activation::sigmoid_q15(i));
    let f = i32::from(activation::sigmoid_q15(f));
    let g = i32::from(activation::tanh_q15(g));
    let o = i32::from(activation::sigmoid_q15(o));
    let c = (scale_cell(c, f) << 1) + ((i * g + (3 << 10)) >> 11);
    let tanh_c = i32::from(activation::tanh_q15(sat16((c + (1 << 6)) >> 7)));
    (((o * tanh_c + (1 << 14)) >> 15) as i16, c)
}

/// `floor(c * f / 2^16)` for f in 0..=32767, by two 32-bit products of the halves of c: nothing here needs 64 bits.
#[inline(always)]
fn scale_cell(c: i32, f: i32) -> i32 {
    let low = ((c & 0xffff) as u32 * f as u32) >> 16;
    (c >> 16) * f + low as i32
}

/// One step of a float LSTM layer; shapes at [`Backend::lstm_float`](crate::kernels::Backend::lstm_float).
///
/// ```text
/// z = W [x; h] + b          i, f, o = sigmoid(z)      g = tanh(z)
/// c' = f c + i g            h = o tanh(c')
/// ```
pub fn step_float<W: FloatWeight>(gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    let mut weights = gates.weights;
    let blocks = h.as_chunks_mut::<8>().0.iter_mut().zip(c.as_chunks_mut::<8>().0);
    for (bias, (h, c)) in gates.bias.as_chunks::<32>().0.iter().zip(blocks) {
        let Some((block, rest)) = weights.split_at_checked(32 * xh.len()) else { return };
        weights = rest;
        let mut z = [[0.0_f32; 8]; 4];
        z.as_flattened_mut().copy_from_slice(bias);
        let [i, f, g, o] = add_products(block, xh, z);
        for (unit, (h, c)) in h.iter_mut().zip(c).enumerate() {
            let ig = activation::sigmoid_f32(i[unit]) * activation::tanh_f32(g[unit]);
            *c = without_subnormals(activation::sigmoid_f32(f[unit]) * *c + ig);
            *h = activation::sigmoid_f32(o[unit]) * activation::tanh_f32(*c);
        }
    }
}
