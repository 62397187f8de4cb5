//! Weights of four bits: a nibble is the upper half of an int8 whose lower half is zero.
//!
//! So an int4 weight n, -8 to 7, stands for the int8 16 n, and everything else, multipliers, biases, bounds and bits, is that of the int8 layer with
//! those weights. A backend takes the nibbles apart in its registers ([`Backend::lstm_i4`]); the result is that of the widened layer, bit for bit.
//!
//! # The order of the nibbles
//!
//! ```text
//! embedding   byte n of a row holds feature 2 n below and feature 2 n + 1 above; an odd row's last upper half is zero
//! gates       of every 16 weights [gate][4 columns] byte n holds weight n below (gates i, f) and weight n + 8 above (g, o)
//! ```
//!
//! The second order lets a machine widen whole words: `(w << 4) & 0xf0f0f0f0` and `w & 0xf0f0f0f0` are four weights each, in their places.

use super::cell::RowProducts;
use super::cell::gru::{self, GruI8};
use super::cell::rnn::{self, RnnI8};
use super::{Backend, Features, RowsI8};

/// The lower halves of four bytes as int8 weights.
const UPPER: u32 = 0xF0F0_F0F0;

/// Widens a row of the embedding: `row.len() == out.len().div_ceil(2)`.
pub fn widen_row(row: &[i8], out: &mut [i8]) {
    for (&pair, out) in row.iter().zip(out.chunks_mut(2)) {
        let halves = [pair << 4, pair & !0xF];
        out.iter_mut().zip(halves).for_each(|(out, half)| *out = half);
    }
}

/// Widens gates, a whole number of blocks of 16 weights: `nibbles.len() == out.len() / 2`.
pub fn widen_gates(nibbles: &[i8], out: &mut [i8]) {
    for (block, out) in nibbles.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<16>().0) {
        let [a, b, c, d, e, f, g, h] = block.map(|byte| byte as u8);
        let words = [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])];
        let halves = [(words[0] << 4) & UPPER, (words[1] << 4) & UPPER, words[0] & UPPER, words[1] & UPPER];
        for (out, half) in out.as_chunks_mut::<4>().0.iter_mut().zip(halves) {
            *out = half.to_le_bytes().map(|byte| byte as i8);
        }
    }
}

/// The products of a quad of rows, `sum over k of 16 n[k] * x[k]`.
#[inline(always)]
pub(crate) fn products(quad: &[i8], x: &[i16]) -> [i32; 4] {
    let mut acc = [0_i32; 4];
    for (bytes, x) in quad.as_chunks::<8>().0.iter().zip(x.as_chunks::<4>().0) {
        let [a, b, c, d, e, f, g, h] = *bytes;
        for ((low, high), &x) in [(a, e), (b, f), (c, g), (d, h)].into_iter().zip(x) {
            for (acc, w) in acc.iter_mut().zip([low << 4, high << 4, low & !15, high & !15]) {
                *acc = acc.wrapping_add(i32::from(w) * i32::from(x));
            }
        }
    }
    acc
}

/// [`Backend::gru_i8`] of a layer whose weights are nibbles.
pub fn gru_step<B: Backend>(backend: B, gru: &GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
    gru::step_by(backend, &Nibbles(backend), gru, x, scratch, h);
}

/// [`Backend::rnn_i8`] of a layer whose weights are nibbles.
pub fn rnn_step<B: Backend>(backend: B, rnn: &RnnI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
    rnn::step_by(backend, &Nibbles(backend), rnn, x, scratch, h);
}

/// Rows of nibbles.
struct Nibbles<B>(B);

impl<B: Backend> RowProducts for Nibbles<B> {
    type Weight = i8;
    const PER_ELEMENT: usize = 2;

    fn rows(&self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        if x.is_empty() {
            return self.0.rows_i8(rows, x, out);
        }
        self.0.rows_i4(rows, x, out);
    }

    fn add_rows(&self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        self.0.add_rows_i4(rows, x, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen times each nibble in the order of its bytes, lower half first: the definition, bit by bit.
    fn halves(bytes: &[i8]) -> impl Iterator<Item = [i8; 2]> {
        let signed = |nibble: u8| if nibble < 8 { nibble as i8 } else { nibble as i8 - 16 };
        bytes.iter().map(move |&byte| [signed(byte as u8 & 15) * 16, signed(byte as u8 >> 4) * 16])
    }

    #[test]
    fn every_byte_of_a_row_widens_to_its_two_features() {
        let row: [i8; 256] = core::array::from_fn(|byte| byte as u8 as i8);
        for features in [512, 511, 7, 1] {
            let mut out = [1; 512];
            widen_row(&row[..usize::div_ceil(features, 2)], &mut out[..features]);
            for (found, expected) in out[..features].chunks(2).zip(halves(&row)) {
                assert_eq!(found, &expected[..found.len()]);
            }
        }
    }

    #[test]
    fn every_byte_of_the_gates_widens_to_a_weight_and_the_eighth_after_it() {
        for start in 0..=255_u8 {
            let block: [i8; 8] = core::array::from_fn(|byte| start.wrapping_add(37_u8.wrapping_mul(byte as u8)) as i8);
            let mut out = [1; 16];
            widen_gates(&block, &mut out);
            for (byte, [below, above]) in halves(&block).enumerate() {
                assert_eq!([out[byte], out[byte + 8]], [below, above]);
            }
        }
    }
}
