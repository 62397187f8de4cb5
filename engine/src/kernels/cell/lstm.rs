//! Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates after Gers 2000): the step that defines what every backend computes.
//!
//! A backend fuses the whole step where that was measured to gain (`docs/decisions/0021-cells-over-rows.md`); each equals [`step`] bit for bit.

use super::super::scalar::{add_products, product_shifted, sat16};
use super::super::{Backend, FloatWeight, IntWeight, RowsFloat, RowsI16, RowsInt, activation, nibbles};
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
///
/// int16: `(acc * multiplier) >> 16` in the place of `acc * multiplier`.
#[inline(never)] // Once in a program, as long as it is.
pub fn step<W: IntWeight>(gates: &RowsInt<'_, W>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    step_by(gates, 4 * xh.len(), |row| W::products(row, xh), h, c);
}

/// The same of weights of four bits, [`nibbles`].
#[inline(never)]
pub(crate) fn step_i4(gates: &RowsInt<'_, i8>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    step_by(gates, 2 * xh.len(), |row| nibbles::products(row, xh), h, c);
}

/// A step whose units have so many elements of weights, and whose products a function sums.
#[inline(always)]
fn step_by<W: IntWeight>(
    gates: &RowsInt<'_, W>,
    row: usize,
    products: impl Fn(&[W]) -> [i32; 4],
    h: &mut [i16],
    c: &mut [i32],
) {
    let mut weights = gates.weights;
    let requantize = gates.multiplier.as_chunks::<4>().0.iter().zip(gates.bias.as_chunks::<4>().0);
    for (((multiplier, bias), h), c) in requantize.zip(h).zip(c) {
        let Some((unit, rest)) = weights.split_at_checked(row) else { return };
        weights = rest;
        let mut z = [0_i16; 4];
        for (((z, acc), &m), &b) in z.iter_mut().zip(products(unit)).zip(multiplier).zip(bias) {
            *z = sat16(W::scaled(acc, m).wrapping_add(b) >> (gates.shift & 31));
        }
        (*h, *c) = cell_q15(z, *c);
    }
}

/// Units whose gates lie on the stack at a time.
const TILE: usize = 16;

/// The step of int16 by the products and activations of a backend, a tile of units at a time.
#[inline(always)]
pub(crate) fn step_by_tiles<B: Backend>(backend: B, gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    let rows = gates.multiplier.chunks(4 * TILE).zip(gates.bias.chunks(4 * TILE));
    let mut weights = gates.weights;
    for ((multiplier, bias), (h, c)) in rows.zip(h.chunks_mut(TILE).zip(c.chunks_mut(TILE))) {
        let (mut sums, mut z) = ([0_i32; 4 * TILE], [0_i16; 4 * TILE]);
        let tile = (weights.split_at_checked(multiplier.len() * xh.len()), sums.get_mut(..multiplier.len()));
        let (Some((tile, rest)), Some(sums)) = tile else { return };
        weights = rest;
        backend.rows_i16(&RowsI16 { weights: tile, multiplier, bias, ..*gates }, xh, sums);
        let Some(z) = z.get_mut(..sums.len()) else { return };
        backend.shift_q12(sums, gates.shift, z);
        // [unit][gate] to [gate][unit]: the activations take a gate of all units at once.
        let (mut sigmoids, mut tanhs) = ([[0_i16; TILE]; 3], [0_i16; TILE]);
        for (unit, &[i, f, g, o]) in z.as_chunks::<4>().0.iter().enumerate() {
            for (gates, gate) in sigmoids.iter_mut().zip([i, f, o]) {
                gates[unit % TILE] = gate;
            }
            tanhs[unit % TILE] = g;
        }
        backend.sigmoid_q15(sigmoids.as_flattened_mut());
        backend.tanh_q15(&mut tanhs);
        let [i, f, o] = &sigmoids;
        let mut tanh_c = [0_i16; TILE];
        for (((c, tanh_c), (&i, &f)), &g) in c.iter_mut().zip(&mut tanh_c).zip(i.iter().zip(f)).zip(&tanhs) {
            (*c, *tanh_c) = next_cell(*c, i32::from(i), i32::from(f), i32::from(g));
        }
        backend.tanh_q15(&mut tanh_c);
        for ((h, &o), &tanh_c) in h.iter_mut().zip(o).zip(&tanh_c) {
            *h = super::product_q15(o, tanh_c);
        }
    }
}

/// The next cell state and, in Q3.12, the argument of its tanh.
#[inline(always)]
fn next_cell(c: i32, i: i32, f: i32, g: i32) -> (i32, i16) {
    let c = (product_shifted(c, f) << 1) + ((i * g + (3 << 10)) >> 11);
    (c, sat16((c + (1 << 6)) >> 7))
}

/// The second half of the step above: `(h, c')` from the gates' sums `[i, f, g, o]` in Q3.12 and the cell state in Q12.19.
#[inline(always)]
pub(crate) fn cell_q15([i, f, g, o]: [i16; 4], c: i32) -> (i16, i32) {
    let i = i32::from(activation::sigmoid_q15(i));
    let f = i32::from(activation::sigmoid_q15(f));
    let g = i32::from(activation::tanh_q15(g));
    let o = i32::from(activation::sigmoid_q15(o));
    let (c, tanh_c) = next_cell(c, i, f, g);
    let tanh_c = i32::from(activation::tanh_q15(tanh_c));
    (((o * tanh_c + (1 << 14)) >> 15) as i16, c)
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
