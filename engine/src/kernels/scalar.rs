//! The reference kernels: plain Rust, no `unsafe`, no machine. They define what every backend computes.
//!
//! Loops run over zipped slices, so nothing here can index out of bounds: with lengths that break the contract the extra
//! elements are left alone.

use super::{FloatWeight, IntWeight, RowsFloat, RowsInt, activation, nibbles};

/// The sums of a quad of rows, as of a unit's gates i, f, g, o: `sum over k of w[k] * x[k]`. A block has `COLUMNS` columns of four rows, `BLOCK` weights.
#[inline(always)]
pub(super) fn products<W: IntWeight + Into<i32>, const COLUMNS: usize, const BLOCK: usize>(
    row: &[W],
    xh: &[i16],
) -> [i32; 4] {
    let mut acc = [0_i32; 4];
    for (w, x) in row.as_chunks::<BLOCK>().0.iter().zip(xh.as_chunks::<COLUMNS>().0) {
        for (acc, w) in acc.iter_mut().zip(w.as_chunks::<COLUMNS>().0) {
            for (&w, &x) in w.iter().zip(x) {
                *acc = acc.wrapping_add(w.into() * i32::from(x));
            }
        }
    }
    acc
}

/// `floor(a * b / 2^16)` for b in 0..=32767, by two 32-bit products of the halves of a: nothing here needs 64 bits. Wraps for a larger b.
#[inline(always)]
pub(super) fn product_shifted(a: i32, b: i32) -> i32 {
    let low = ((a & 0xffff) as u32).wrapping_mul(b as u32) >> 16;
    (a >> 16).wrapping_mul(b).wrapping_add(low as i32)
}

/// See [`Backend::rows_i8`](super::Backend::rows_i8) and [`Backend::rows_i16`](super::Backend::rows_i16).
pub fn rows<W: IntWeight>(gates: &RowsInt<'_, W>, x: &[i16], out: &mut [i32]) {
    let mut weights = gates.weights;
    let requantize = gates.multiplier.as_chunks::<4>().0.iter().zip(gates.bias.as_chunks::<4>().0);
    for ((multiplier, bias), out) in requantize.zip(out.as_chunks_mut::<4>().0) {
        let Some((row, rest)) = weights.split_at_checked(4 * x.len()) else { return };
        weights = rest;
        *out = *bias;
        add_quad::<W>(W::products(row, x), multiplier, out);
    }
}

/// See [`Backend::rows_i4`](super::Backend::rows_i4).
pub fn rows_i4(rows: &RowsInt<'_, i8>, x: &[i16], out: &mut [i32]) {
    out.iter_mut().zip(rows.bias).for_each(|(out, bias)| *out = *bias);
    add_rows_i4(rows, x, out);
}

/// See [`Backend::add_rows_i4`](super::Backend::add_rows_i4).
pub fn add_rows_i4(rows: &RowsInt<'_, i8>, x: &[i16], sums: &mut [i32]) {
    let mut weights = rows.weights;
    for (multiplier, sums) in rows.multiplier.as_chunks::<4>().0.iter().zip(sums.as_chunks_mut::<4>().0) {
        let Some((row, rest)) = weights.split_at_checked(2 * x.len()) else { return };
        weights = rest;
        add_quad::<i8>(nibbles::products(row, x), multiplier, sums);
    }
}

/// See [`Backend::add_rows_i8`](super::Backend::add_rows_i8) and [`Backend::add_rows_i16`](super::Backend::add_rows_i16).
#[cfg(target_arch = "x86_64")]
pub fn add_rows<W: IntWeight>(rows: &RowsInt<'_, W>, x: &[i16], sums: &mut [i32]) {
    let mut weights = rows.weights;
    for (multiplier, sums) in rows.multiplier.as_chunks::<4>().0.iter().zip(sums.as_chunks_mut::<4>().0) {
        let Some((row, rest)) = weights.split_at_checked(4 * x.len()) else { return };
        weights = rest;
        add_quad::<W>(W::products(row, x), multiplier, sums);
    }
}

/// Adds the products of a quad of rows to their sums.
#[inline(always)]
fn add_quad<W: IntWeight>(products: [i32; 4], multiplier: &[u16; 4], sums: &mut [i32; 4]) {
    for ((sum, acc), &m) in sums.iter_mut().zip(products).zip(multiplier) {
        *sum = W::scaled(acc, m).wrapping_add(*sum);
    }
}

/// Saturates to 16 bits.
#[inline(always)]
pub(super) fn sat16(x: i32) -> i16 {
    x.clamp(-32768, 32767) as i16
}

/// See [`Backend::widen_i8`](super::Backend::widen_i8).
#[inline(always)]
pub fn widen_i8(x: &[i8], out: &mut [i16]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = i16::from(x);
    }
}

/// See [`Backend::narrow_q15`](super::Backend::narrow_q15).
#[inline(always)]
pub fn narrow_q15(h: &[i16], out: &mut [i16]) {
    for (out, &h) in out.iter_mut().zip(h) {
        // Saturating at 32767 and then shifting is the minimum with 127.
        *out = h.saturating_add(128) >> 8;
    }
}

/// See [`Backend::shift_q12`](super::Backend::shift_q12).
#[inline(always)]
pub fn shift_q12(sums: &[i32], shift: u32, out: &mut [i16]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sat16(sum >> (shift & 31));
    }
}

/// See [`Backend::sigmoid_q15`](super::Backend::sigmoid_q15).
#[inline(always)]
pub fn sigmoid_q15(x: &mut [i16]) {
    for x in x {
        *x = activation::sigmoid_q15(*x);
    }
}

/// See [`Backend::tanh_q15`](super::Backend::tanh_q15).
#[inline(always)]
pub fn tanh_q15(x: &mut [i16]) {
    for x in x {
        *x = activation::tanh_q15(*x);
    }
}

/// See [`Backend::add_i16`](super::Backend::add_i16).
#[inline(always)]
pub fn add_i16(sum: &mut [i32], h: &[i16]) {
    for (sum, &h) in sum.iter_mut().zip(h) {
        *sum = sum.wrapping_add(i32::from(h));
    }
}

/// See [`Backend::max_i16`](super::Backend::max_i16).
#[inline(always)]
pub fn max_i16(max: &mut [i16], h: &[i16]) {
    for (max, &h) in max.iter_mut().zip(h) {
        *max = h.max(*max);
    }
}

/// See [`Backend::dot_i16`](super::Backend::dot_i16).
#[inline(always)]
pub fn dot_i16(w: &[i16], v: &[i16]) -> i64 {
    w.iter().zip(v).map(|(&w, &v)| i64::from(i32::from(w) * i32::from(v))).sum()
}

/// `W x + z` of eight units, `[gate][unit]`; a block has 32 weights for every column.
#[inline(always)]
pub(super) fn add_products<W: FloatWeight>(block: &[W], x: &[f32], mut z: [[f32; 8]; 4]) -> [[f32; 8]; 4] {
    for (w, &x) in block.as_chunks::<32>().0.iter().zip(x) {
        for (z, w) in z.iter_mut().zip(w.as_chunks::<8>().0) {
            let w = w.map(FloatWeight::finite);
            *z = core::array::from_fn(|unit| z[unit] + w[unit] * x);
        }
    }
    z
}

/// See [`Backend::rows_float`](super::Backend::rows_float).
#[inline(always)]
pub fn rows_float<W: FloatWeight>(gates: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
    let mut weights = gates.weights;
    for (bias, out) in gates.bias.chunks(32).zip(out.chunks_mut(32)) {
        let Some((block, rest)) = weights.split_at_checked(out.len() * x.len()) else { return };
        weights = rest;
        match out.len() {
            32 => block_of_rows::<W, 4>(block, x, bias, out),
            24 => block_of_rows::<W, 3>(block, x, bias, out),
            16 => block_of_rows::<W, 2>(block, x, bias, out),
            8 => block_of_rows::<W, 1>(block, x, bias, out),
            _ => {}
        }
    }
}

/// A block of `N` times eight rows.
#[inline(always)]
fn block_of_rows<W: FloatWeight, const N: usize>(block: &[W], x: &[f32], bias: &[f32], out: &mut [f32]) {
    let mut z = [[0.0_f32; 8]; N];
    z.iter_mut().zip(bias.as_chunks::<8>().0).for_each(|(z, bias)| *z = *bias);
    for (w, &x) in block.chunks_exact(8 * N).zip(x) {
        for (z, w) in z.iter_mut().zip(w.as_chunks::<8>().0) {
            let w = w.map(FloatWeight::finite);
            *z = core::array::from_fn(|row| z[row] + w[row] * x);
        }
    }
    out.as_chunks_mut::<8>().0.iter_mut().zip(z).for_each(|(out, z)| *out = z);
}

/// See [`Backend::widen_float`](super::Backend::widen_float).
#[inline(always)]
pub fn widen_float<W: FloatWeight>(x: &[W], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x.to_f32();
    }
}

/// See [`Backend::sigmoid_f32`](super::Backend::sigmoid_f32).
#[inline(always)]
pub fn sigmoid_f32(x: &mut [f32]) {
    for x in x {
        *x = activation::sigmoid_f32(*x);
    }
}

/// See [`Backend::tanh_f32`](super::Backend::tanh_f32).
#[inline(always)]
pub fn tanh_f32(x: &mut [f32]) {
    for x in x {
        *x = activation::tanh_f32(*x);
    }
}

/// See [`Backend::add_f32`](super::Backend::add_f32).
#[inline(always)]
pub fn add_f32(sum: &mut [f32], h: &[f32]) {
    for (sum, &h) in sum.iter_mut().zip(h) {
        *sum += h;
    }
}

/// See [`Backend::max_f32`](super::Backend::max_f32).
#[inline(always)]
pub fn max_f32(max: &mut [f32], h: &[f32]) {
    for (max, &h) in max.iter_mut().zip(h) {
        *max = if h > *max { h } else { *max };
    }
}

/// See [`Backend::dot_f32`](super::Backend::dot_f32). Four sums side by side, which a pipeline can overlap.
#[inline(always)]
pub fn dot_f32<W: FloatWeight>(w: &[W], v: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 4];
    for (w, v) in w.chunks(4).zip(v.chunks(4)) {
        for ((sum, &w), &v) in sums.iter_mut().zip(w).zip(v) {
            *sum += w.finite() * v;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}
