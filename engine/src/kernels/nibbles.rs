//! Weights of four bits: a nibble is the upper half of an int8 whose lower half is zero.
//!
//! So an int4 weight n, -8 to 7, stands for the int8 16 n, and everything else, multipliers, biases, bounds and bits, is that of the int8 layer with
//! those weights. A step widens one unit's gates after the other into a small buffer and has the backend's own int8 kernel take that unit; the
//! result is therefore the backend's for the widened layer, which is the reference's, bit for bit.
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
use super::{Backend, Features, Packed, RowsI8};

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

/// [`Backend::step_i8`] of a layer whose `gates.weights` are nibbles, half as many bytes. `room`: `4 * K4` bytes that start on a multiple of 4.
pub fn step<B: Backend>(
    backend: B,
    gates: &RowsI8<'_>,
    x: Features<'_>,
    xh: &mut [i16],
    (h, c): (&mut [i16], &mut [i32]),
    room: &mut [i8],
) {
    if !backend.join(x, xh, h) {
        return;
    }
    let states = h.as_chunks_mut::<1>().0.iter_mut().zip(c.as_chunks_mut::<1>().0);
    each_quad(gates, xh.len(), room, states, |gates, (h, c)| backend.lstm_i8(gates, xh, h, c));
}

/// [`Backend::rows_i8`] of rows whose weights are nibbles. `room` as in [`step`], with `K4` the columns of x.
pub fn rows<B: Backend>(backend: B, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32], room: &mut [i8]) {
    each_quad(rows, x.len(), room, out.as_chunks_mut::<4>().0.iter_mut(), |rows, out| backend.rows_i8(rows, x, out));
}

/// [`Backend::gru_i8`] of a layer whose weights are nibbles. `room`: 4 bytes for every column of the wider kernel,
/// which start on a multiple of 4.
pub fn gru_step<B: Backend>(
    backend: B,
    gru: &GruI8<'_>,
    x: Features<'_>,
    scratch: &mut [i32],
    h: &mut [i16],
    room: &mut [i8],
) {
    gru::step_by(backend, &mut Widened { backend, room }, gru, x, scratch, h);
}

/// [`Backend::rnn_i8`] of a layer whose weights are nibbles. `room`: `4 * K4` bytes that start on a multiple of 4.
pub fn rnn_step<B: Backend>(
    backend: B,
    rnn: &RnnI8<'_>,
    x: Features<'_>,
    scratch: &mut [i32],
    h: &mut [i16],
    room: &mut [i8],
) {
    rnn::step_by(backend, &mut Widened { backend, room }, rnn, x, scratch, h);
}

/// Rows of nibbles, a quad of which is widened at a time.
struct Widened<'r, B> {
    backend: B,
    room: &'r mut [i8],
}

impl<B: Backend> RowProducts for Widened<'_, B> {
    type Weight = i8;
    const PER_ELEMENT: usize = 2;

    fn rows(&mut self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        if x.is_empty() {
            return self.backend.rows_i8(rows, x, out);
        }
        self::rows(self.backend, rows, x, out, self.room);
    }

    fn add_rows(&mut self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        each_quad(rows, x.len(), self.room, sums.as_chunks_mut::<4>().0.iter_mut(), |rows, sums| {
            self.backend.add_rows_i8(rows, x, sums)
        });
    }
}

/// Widens one quad of rows after the other into `room`, and calls `run` with it and with what `outs` gives for it.
#[inline]
fn each_quad<U>(
    rows: &RowsI8<'_>,
    columns: usize,
    room: &mut [i8],
    outs: impl Iterator<Item = U>,
    mut run: impl FnMut(&RowsI8<'_>, U),
) {
    let Some(room) = room.get_mut(..4 * columns) else { return };
    let mut biases = rows.bias.as_chunks::<4>().0.iter();
    let mut weights = rows.weights;
    for (multiplier, out) in rows.multiplier.as_chunks::<4>().0.iter().zip(outs) {
        let Some((nibbles, behind)) = weights.split_at_checked(2 * columns) else { return };
        weights = behind;
        widen_gates(nibbles, room);
        let bias = biases.next().map_or(&[][..], |bias| bias);
        run(&RowsI8 { weights: room, multiplier, bias, shift: rows.shift, packed: Packed::NONE }, out);
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
