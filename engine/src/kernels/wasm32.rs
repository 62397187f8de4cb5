//! WebAssembly with `simd128`: 8 lanes of 16 bits for integers, 4 of 32 for floats.
//!
//! A module of WebAssembly with vectors runs only where there are vectors, so that nothing is detected: this file is compiled where
//! `-C target-feature=+simd128` is given. It keeps to the instructions whose result the standard fixes, none of the relaxed ones: every
//! engine gives the same bits. For floats these are the scalar backend's, but for the dot product's order.
//!
//! `unsafe` is open in this file for one thing only: vectors are loaded and stored through pointers to arrays of their length.
#![allow(unsafe_code, reason = "loads and stores; each block says why it is sound")]

use core::arch::wasm32::*;

use half::f16;

use super::activation::{
    EXPM1, LN2_HIGH, LN2_LOW, ROUND, SIGMOID, SIGMOID_LOWEST, Segments, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_LOWEST,
    TANH_TOP,
};
use super::cell::SMALL;
use super::{Backend, FloatView, FloatWeight, RowsFloat, RowsI8, by_storage, scalar};

/// The vectors of WebAssembly. What this was compiled for has them, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Simd128(());

impl Simd128 {
    /// The proof: this file is compiled only where the target has the feature.
    pub const TOKEN: Self = Simd128(());
}

// What is not here, the plain loops, the compiler makes into vectors by itself: the reference is compiled for simd128 too.
impl Backend for Simd128 {
    fn name(self) -> &'static str {
        "simd128"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        lstm_i8::<1>(gates, xh, h, c);
    }

    fn rows_i8(self, gates: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        rows_i8::<1>(gates, x, out);
    }

    fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
        let _ = backwards;
        lstm_i8::<2>(gates, xh, h, c);
    }

    fn rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        rows_i8::<2>(rows, x, out);
    }

    fn sigmoid_q15(self, x: &mut [i16]) {
        in_place::<_, 8>(x, sigmoid_q15_lanes);
    }

    fn tanh_q15(self, x: &mut [i16]) {
        in_place::<_, 8>(x, tanh_q15_lanes);
    }

    fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
        dot_i16(w, v)
    }

    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        by_storage!(W::view(gates.weights), weights => lstm_float(weights, gates.bias, xh, h, c))
    }

    fn rows_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
        by_storage!(W::view(gates.weights), weights => rows_float(weights, gates.bias, x, out))
    }

    fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
        match W::view(x) {
            FloatView::F32(x) => scalar::widen_float(x, out),
            FloatView::F16(x) => widen_f16(x, out),
        }
    }

    fn sigmoid_f32(self, x: &mut [f32]) {
        in_place::<_, 4>(x, sigmoid_f32_lanes);
    }

    fn tanh_f32(self, x: &mut [f32]) {
        in_place::<_, 4>(x, tanh_f32_lanes);
    }

    fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
        by_storage!(W::view(w), w => dot_f32(w, v))
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Loads and stores: the only places that touch memory through pointers.

/// The lanes of an array.
#[inline(always)]
fn load<T: bytemuck::Pod, const N: usize>(x: &[T; N]) -> v128 {
    const { assert!(size_of::<[T; N]>() == 16) };
    // SAFETY: the array has the 16 bytes that are read, by the line above; the load needs no alignment.
    unsafe { v128_load(x.as_ptr().cast()) }
}

/// Writes the lanes to an array.
#[inline(always)]
fn store<T: bytemuck::Pod, const N: usize>(x: &mut [T; N], value: v128) {
    const { assert!(size_of::<[T; N]>() == 16) };
    // SAFETY: the array has the 16 bytes that are written, by the line above, and any bits are values of a `Pod`; the store needs no
    // alignment.
    unsafe { v128_store(x.as_mut_ptr().cast(), value) }
}

/// Eight bytes, sign-extended to 16 bits.
#[inline(always)]
fn load_extend_i8(x: &[i8; 8]) -> v128 {
    // SAFETY: the array has the 8 bytes that are read; the load needs no alignment.
    unsafe { i16x8_load_extend_i8x8(x.as_ptr()) }
}

/// Four numbers, zero-extended to 32 bits.
#[inline(always)]
fn load_extend_u16(x: &[u16; 4]) -> v128 {
    // SAFETY: the array has the 8 bytes that are read; the load needs no alignment.
    unsafe { u32x4_load_extend_u16x4(x.as_ptr()) }
}

/// The bits of four half-precision numbers, sign-extended to 32 bits.
#[inline(always)]
fn load_extend_f16(x: &[f16; 4]) -> v128 {
    // SAFETY: the array has the 8 bytes that are read, since an `f16` is a `u16` inside; the load needs no alignment.
    unsafe { i32x4_load_extend_i16x4(x.as_ptr().cast()) }
}

/// Applies `lanes` to a slice of any length, `N` numbers at a time: a vector of them.
#[inline(always)]
fn in_place<T: bytemuck::Pod, const N: usize>(x: &mut [T], lanes: impl Fn(v128) -> v128) {
    let (blocks, rest) = x.as_chunks_mut::<N>();
    for block in blocks {
        let y = lanes(load(block));
        store(block, y);
    }
    if !rest.is_empty() {
        let mut last: [T; N] = padded(rest);
        let y = lanes(load(&last));
        store(&mut last, y);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// A stored weight of which four become one vector of floats.
trait Lanes: FloatWeight {
    /// Four weights as floats, exact.
    fn load4(x: &[Self; 4]) -> v128;
}

impl Lanes for f32 {
    #[inline(always)]
    fn load4(x: &[f32; 4]) -> v128 {
        load(x)
    }
}

impl Lanes for f16 {
    // `FloatWeight::to_f32` says why this is exact. Here the sign goes through the product, and what is too large to be finite is seen
    // behind it: infinity and NaN become 2^16 and more.
    #[inline(always)]
    fn load4(x: &[f16; 4]) -> v128 {
        let moved = v128_and(i32x4_shl(load_extend_f16(x), 13), u32x4_splat(0x8fff_e000));
        let finite = f32x4_mul(moved, u32x4_splat((127 + 112) << 23));
        let special = f32x4_ge(f32x4_abs(finite), f32x4_splat(65536.0));
        v128_or(finite, v128_and(special, u32x4_splat(0x7f80_0000)))
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Integers.

/// `D` of [`Segments`] for eight lanes: `segment` in 0..8, `t` Q0.15.
#[inline(always)]
fn distance<const SHIFT: u32>(table: &Segments<SHIFT>, segment: v128, t: v128) -> v128 {
    // Byte indices of a 16-bit entry: 2 * segment below, 2 * segment + 1 above.
    let bytes = i16x8_add(i16x8_mul(segment, i16x8_splat(0x0202)), i16x8_splat(0x0100));
    let look_up = |column| i8x16_swizzle(load(column), bytes);
    let [c4, c3, c2, c1, r, b] = &table.columns;
    let mut p = look_up(c4);
    for column in [c3, c2, c1, r] {
        p = i16x8_add(i16x8_q15mulr_sat(p, t), look_up(column));
    }
    // Saturating is the minimum with 32767.
    i16x8_add_sat(look_up(b), i16x8_shr(p, SHIFT))
}

/// `-d` in the lanes where x is below 0, `d` in the others.
#[inline(always)]
fn with_sign_of(x: v128, d: v128) -> v128 {
    let negative = i16x8_shr(x, 15);
    i16x8_sub(v128_xor(d, negative), negative)
}

/// [`activation::sigmoid_q15`](super::activation::sigmoid_q15) of eight lanes.
#[inline(always)]
fn sigmoid_q15_lanes(x: v128) -> v128 {
    let u = u16x8_min(i16x8_abs(x), i16x8_splat(32767));
    let t = v128_xor(i16x8_shl(u, 4), i16x8_splat(i16::MIN));
    let d = distance(&SIGMOID, u16x8_shr(u, 12), t);
    i16x8_add(i16x8_splat(16384), with_sign_of(x, d))
}

/// [`activation::tanh_q15`](super::activation::tanh_q15) of eight lanes.
#[inline(always)]
fn tanh_q15_lanes(x: v128) -> v128 {
    let u = i16x8_abs(x);
    let above_1 = u16x8_sub_sat(u, u16x8_splat(TANH_KNEE_1));
    let above_2 = u16x8_sub_sat(u, u16x8_splat(TANH_KNEE_2));
    let u = i16x8_sub(i16x8_sub(u, u16x8_shr(above_1, 1)), u16x8_shr(above_2, 2));
    let u = u16x8_min(u, u16x8_splat(TANH_TOP));
    let t = v128_xor(i16x8_shl(u, 5), i16x8_splat(i16::MIN));
    with_sign_of(x, distance(&TANH, u16x8_shr(u, 11), t))
}

/// The equations of [`cell::lstm::step`](crate::kernels::cell::lstm::step), in tiles of eight units: a vector of the activations.
fn lstm_i8<const PER: usize>(gates: &RowsI8<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    let units = h.len();
    let row = 4 * xh.len() / PER; // bytes of weights of a unit
    assert!(xh.len().is_multiple_of(4) && gates.weights.len() == units * row, "weights: [unit][K4 / 4][gate][4]");
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
    assert!(c.len() == units, "c: [unit]");
    if row == 0 {
        return; // as the reference: no columns, no rows
    }

    let (multipliers, last_multiplier) = gates.multiplier.as_chunks::<32>();
    let (biases, last_bias) = gates.bias.as_chunks::<32>();
    let (h, last_h) = h.as_chunks_mut::<8>();
    let (c, last_c) = c.as_chunks_mut::<8>();
    let (weights, last_weights) = gates.weights.split_at(8 * row * h.len());
    let tiles = weights.chunks_exact(8 * row).zip(multipliers.iter().zip(biases));
    for ((weights, (multiplier, bias)), (h, c)) in tiles.zip(h.iter_mut().zip(c)) {
        let scaled = scale(rows_of_eight::<PER>(weights, xh), multiplier, bias);
        cell_q15(requantize(scaled, gates.shift), h, c);
    }
    if !last_h.is_empty() {
        let scaled = scale(last_rows::<PER>(last_weights, xh), &padded(last_multiplier), &padded(last_bias));
        let (mut h, mut c) = ([0; 8], padded(last_c));
        cell_q15(requantize(scaled, gates.shift), &mut h, &mut c);
        last_h.copy_from_slice(&h[..last_h.len()]);
        last_c.copy_from_slice(&c[..last_c.len()]);
    }
}

/// See [`Backend::rows_i8`]: the first half of the step above.
fn rows_i8<const PER: usize>(gates: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    let row = 4 * x.len() / PER;
    assert!(
        x.len().is_multiple_of(4) && 4 * gates.weights.len() == out.len() * row,
        "weights: [unit][K4 / 4][gate][4]"
    );
    assert!(gates.multiplier.len() == out.len() && gates.bias.len() == out.len(), "multiplier, bias: [unit][gate]");
    if row == 0 {
        return scalar::rows(gates, x, out);
    }

    let (multipliers, last_multiplier) = gates.multiplier.as_chunks::<32>();
    let (biases, last_bias) = gates.bias.as_chunks::<32>();
    let (out, last_out) = out.as_chunks_mut::<32>();
    let (weights, last_weights) = gates.weights.split_at(8 * row * out.len());
    let tiles = weights.chunks_exact(8 * row).zip(multipliers.iter().zip(biases));
    let put = |out: &mut [i32; 32], sums: [v128; 8]| {
        for (out, sum) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            store(out, sum);
        }
    };
    for ((weights, (multiplier, bias)), out) in tiles.zip(out) {
        put(out, scale(rows_of_eight::<PER>(weights, x), multiplier, bias));
    }
    if !last_out.is_empty() {
        let mut sums = [0; 32];
        put(&mut sums, scale(last_rows::<PER>(last_weights, x), &padded(last_multiplier), &padded(last_bias)));
        last_out.copy_from_slice(&sums[..last_out.len()]);
    }
}

/// The slice, which is no longer than that, with zeros behind it.
#[inline(always)]
fn padded<T: bytemuck::Pod, const N: usize>(x: &[T]) -> [T; N] {
    let mut padded = [T::zeroed(); N];
    padded[..x.len()].copy_from_slice(x);
    padded
}

/// The sums of eight units, `[i, f, g, o]` of each: `sum over k of w[k] * xh[k]`.
#[inline(always)]
fn rows_of_eight<const PER: usize>(weights: &[i8], xh: &[i16]) -> [v128; 8] {
    let (low, high) = weights.split_at(weights.len() / 2);
    let ([a, b, c, d], [e, f, g, h]) = (rows::<4, PER>(low, xh), rows::<4, PER>(high, xh));
    [a, b, c, d, e, f, g, h]
}

/// The sums of fewer than eight units, with zeros behind them.
#[inline(always)]
fn last_rows<const PER: usize>(weights: &[i8], xh: &[i16]) -> [v128; 8] {
    let mut sums = [i32x4_splat(0); 8];
    for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(4 * xh.len() / PER)) {
        [*sum] = rows::<1, PER>(weights, xh);
    }
    sums
}

/// The sums of `N` units side by side, `[i, f, g, o]` of each; `weights` has their `N` rows, `PER` weights in a byte: of two, gates i and f are the lower
/// halves.
#[inline]
fn rows<const N: usize, const PER: usize>(weights: &[i8], xh: &[i16]) -> [v128; N] {
    let columns = xh.as_chunks::<4>().0;
    let row = 16 / PER * columns.len();
    // `[gate pair][gate and column]` for every four columns, or one pair of nibbles; the slicing tells the compiler that k is inside every row.
    let rows: [&[[i8; 8]]; N] = core::array::from_fn(|unit| {
        let row = &weights[unit * row..][..row];
        &row.as_chunks::<8>().0[..2 / PER * columns.len()]
    });
    // Two 32-bit sums a gate, side by side: [i i f f] and [g g o o].
    let mut sums = [[i32x4_splat(0); 2]; N];
    for (k, x) in columns.iter().enumerate() {
        let x = i64x2_splat(bytemuck::cast(*x));
        for (sums, row) in sums.iter_mut().zip(rows) {
            // Widened to 16 bits before they are multiplied, so that -128 needs no care.
            let pairs = if PER == 1 {
                [load_extend_i8(&row[2 * k]), load_extend_i8(&row[2 * k + 1])]
            } else {
                // 256 times a nibble and more; the shift takes the rest away, and leaves sixteen times the nibble.
                let words = load_extend_i8(&row[k]);
                let low = i16x8_shr(i16x8_shl(words, 12), 8);
                [low, v128_and(words, i16x8_splat(!15))]
            };
            for (sum, w) in sums.iter_mut().zip(pairs) {
                *sum = i32x4_add(*sum, i32x4_dot_i16x8(w, x));
            }
        }
    }
    sums.map(|[if_, go]| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(if_, go), i32x4_shuffle::<1, 3, 5, 7>(if_, go)))
}

/// `sum * multiplier + bias` of eight units, wrapping.
#[inline(always)]
fn scale(mut sums: [v128; 8], multiplier: &[u16; 32], bias: &[i32; 32]) -> [v128; 8] {
    let rows = multiplier.as_chunks::<4>().0.iter().zip(bias.as_chunks::<4>().0);
    for (sum, (multiplier, bias)) in sums.iter_mut().zip(rows) {
        *sum = i32x4_add(i32x4_mul(*sum, load_extend_u16(multiplier)), load(bias));
    }
    sums
}

/// `sat16(scaled >> shift)`, from a vector of gates a unit to a vector of eight units a gate.
#[inline(always)]
fn requantize(scaled: [v128; 8], shift: u32) -> [v128; 4] {
    // The shift counts modulo 32 here and in the reference.
    let [a, b, c, d, e, f, g, h] = scaled.map(|scaled| i32x4_shr(scaled, shift));
    // Two units a vector, i f g o i f g o; of four such vectors, a transposition by interleaving three times.
    let (ae, bf) = (i16x8_narrow_i32x4(a, e), i16x8_narrow_i32x4(b, f));
    let (cg, dh) = (i16x8_narrow_i32x4(c, g), i16x8_narrow_i32x4(d, h));
    let (ac, eg) = (interleave_low(ae, cg), interleave_high(ae, cg));
    let (bd, fh) = (interleave_low(bf, dh), interleave_high(bf, dh));
    // Of each half of the tile: i i i i f f f f and g g g g o o o o.
    let (if_low, go_low) = (interleave_low(ac, bd), interleave_high(ac, bd));
    let (if_high, go_high) = (interleave_low(eg, fh), interleave_high(eg, fh));
    [
        i64x2_shuffle::<0, 2>(if_low, if_high),
        i64x2_shuffle::<1, 3>(if_low, if_high),
        i64x2_shuffle::<0, 2>(go_low, go_high),
        i64x2_shuffle::<1, 3>(go_low, go_high),
    ]
}

/// The first four 16-bit lanes of both, by turns.
#[inline(always)]
fn interleave_low(a: v128, b: v128) -> v128 {
    i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b)
}

/// The last four 16-bit lanes of both, by turns.
#[inline(always)]
fn interleave_high(a: v128, b: v128) -> v128 {
    i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b)
}

/// [`cell::lstm::cell_q15`](crate::kernels::cell::lstm::cell_q15) of eight units: `gates` is `[i, f, g, o]` in Q3.12.
#[inline(always)]
fn cell_q15([i, f, g, o]: [v128; 4], h: &mut [i16; 8], c: &mut [i32; 8]) {
    let (i, f, o) = (sigmoid_q15_lanes(i), sigmoid_q15_lanes(f), sigmoid_q15_lanes(o));
    let g = tanh_q15_lanes(g);
    let ([c_low, c_high], []) = c.as_chunks_mut::<4>() else { unreachable!() };
    let low = next_cell(load(c_low), u32x4_extend_low_u16x8(f), i32x4_extmul_low_i16x8(i, g));
    let high = next_cell(load(c_high), u32x4_extend_high_u16x8(f), i32x4_extmul_high_i16x8(i, g));
    store(c_low, low);
    store(c_high, high);

    let to_q12 = |c| i32x4_shr(i32x4_add(c, i32x4_splat(1 << 6)), 7);
    let tanh_c = tanh_q15_lanes(i16x8_narrow_i32x4(to_q12(low), to_q12(high)));
    store(h, i16x8_q15mulr_sat(o, tanh_c));
}

/// `(((c * f) >> 16) << 1) + ((ig + 3 * 2^10) >> 11)` of four units; f is not negative.
#[inline(always)]
fn next_cell(c: v128, f: v128, ig: v128) -> v128 {
    // Both halves of c times f: the low one unsigned, below 2^31; the high one in 16-bit lanes, with 0 against the low half.
    let low = u32x4_shr(i32x4_mul(v128_and(c, i32x4_splat(0xffff)), f), 16);
    let high = i32x4_dot_i16x8(c, i32x4_shl(f, 16));
    let kept = i32x4_add(low, high);
    i32x4_add(i32x4_add(kept, kept), i32x4_shr(i32x4_add(ig, i32x4_splat(3 << 10)), 11))
}

/// The exact dot product. Two products are added in 32 bits, which overflows in one case only, four times -32768: the sum 2^31 then reads
/// -2^31. No other sum is below -2^31 + 2^16, so after one is taken away, wrapping, every sum fits, and the ones are given back at the end.
fn dot_i16(w: &[i16], v: &[i16]) -> i64 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<8>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<8>();
    let mut sums = i64x2_splat(0);
    for (w, v) in w_blocks.iter().zip(v_blocks) {
        let pairs = i32x4_sub(i32x4_dot_i16x8(load(w), load(v)), i32x4_splat(1));
        sums = i64x2_add(sums, i64x2_add(i64x2_extend_low_i32x4(pairs), i64x2_extend_high_i32x4(pairs)));
    }
    let sum = i64x2_extract_lane::<0>(sums) + i64x2_extract_lane::<1>(sums);
    sum + 4 * w_blocks.len() as i64 + scalar::dot_i16(w_rest, v_rest)
}

// ------------------------------------------------------------------------------------------------------------------------
// Floats.

/// `(s, p)` with `e^y = s + s p`, as `exp_parts` in `activation.rs`, in its order.
#[inline(always)]
fn exp_parts(y: v128) -> (v128, v128) {
    let times = |x, factor| f32x4_mul(x, f32x4_splat(factor));
    let shifted = f32x4_add(times(y, core::f32::consts::LOG2_E), f32x4_splat(ROUND));
    let n = f32x4_sub(shifted, f32x4_splat(ROUND));
    let r = f32x4_sub(f32x4_sub(y, times(n, LN2_HIGH)), times(n, LN2_LOW));
    let mut q = f32x4_splat(EXPM1[4]);
    for &c in EXPM1[..4].iter().rev() {
        q = f32x4_add(f32x4_mul(q, r), f32x4_splat(c));
    }
    let s = i32x4_shl(i32x4_add(shifted, i32x4_splat(127)), 23);
    (s, f32x4_add(r, f32x4_mul(f32x4_mul(r, r), q)))
}

/// [`activation::sigmoid_f32`](super::activation::sigmoid_f32) of four lanes.
#[inline(always)]
fn sigmoid_f32_lanes(x: v128) -> v128 {
    let y = v128_or(x, f32x4_splat(-0.0));
    // The first operand is what comes out when it is NaN.
    let (s, p) = exp_parts(f32x4_pmax(y, f32x4_splat(SIGMOID_LOWEST)));
    let e = f32x4_add(s, f32x4_mul(s, p));
    let one = f32x4_splat(1.0);
    // The sign bit of x chooses; at x = -0, e is 1 too.
    f32x4_div(v128_bitselect(e, one, i32x4_shr(x, 31)), f32x4_add(one, e))
}

/// [`activation::tanh_f32`](super::activation::tanh_f32) of four lanes.
#[inline(always)]
fn tanh_f32_lanes(x: v128) -> v128 {
    let sign = f32x4_splat(-0.0);
    let y = v128_or(f32x4_add(x, x), sign);
    let (s, p) = exp_parts(f32x4_pmax(y, f32x4_splat(TANH_LOWEST)));
    let m = f32x4_add(f32x4_mul(s, p), f32x4_sub(s, f32x4_splat(1.0)));
    v128_bitselect(x, f32x4_div(m, f32x4_add(f32x4_splat(2.0), m)), sign)
}

/// The equations of [`cell::lstm::step_float`](crate::kernels::cell::lstm::step_float), a block of eight units at a time, whose 32 sums stay in registers.
fn lstm_float<W: Lanes>(weights: &[W], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    let (h, h_rest) = h.as_chunks_mut::<8>();
    let (c, c_rest) = c.as_chunks_mut::<8>();
    let (bias, bias_rest) = bias.as_chunks::<32>();
    let block = 32 * xh.len();
    assert!(h_rest.is_empty() && c_rest.is_empty() && bias_rest.is_empty() && h.len() == c.len(), "h, c: [U8]");
    assert!(bias.len() == h.len() && weights.len() == block * h.len(), "weights: [U8 / 8][K][gate][8]");
    for ((n, bias), (h, c)) in bias.iter().enumerate().zip(h.iter_mut().zip(c)) {
        // Two vectors a gate.
        let [i, i_high, f, f_high, g, g_high, o, o_high] = products(&weights[n * block..][..block], xh, bias);
        let halves = [[i, f, g, o], [i_high, f_high, g_high, o_high]];
        let states = h.as_chunks_mut::<4>().0.iter_mut().zip(c.as_chunks_mut::<4>().0);
        for ([i, f, g, o], (h, c)) in halves.into_iter().zip(states) {
            let ig = f32x4_mul(sigmoid_f32_lanes(i), tanh_f32_lanes(g));
            let sum = f32x4_add(f32x4_mul(sigmoid_f32_lanes(f), load(c)), ig);
            // As `without_subnormals` of the reference.
            let small = f32x4_splat(SMALL);
            let next = f32x4_sub(f32x4_add(sum, small), small);
            store(c, next);
            store(h, f32x4_mul(sigmoid_f32_lanes(o), tanh_f32_lanes(next)));
        }
    }
}

/// See [`Backend::rows_float`]: the first half of the step above.
fn rows_float<W: Lanes>(weights: &[W], bias: &[f32], x: &[f32], out: &mut [f32]) {
    assert!(
        bias.len() == out.len() && weights.len() == out.len() * x.len(),
        "weights: [R / 32][K][32], bias, out: [R]"
    );
    let (bias, last_bias) = bias.as_chunks::<32>();
    let (out, last_out) = out.as_chunks_mut::<32>();
    let block = 32 * x.len();
    let last = RowsFloat { weights: &weights[block * out.len()..], bias: last_bias };
    scalar::rows_float(&last, x, last_out);
    for ((n, bias), out) in bias.iter().enumerate().zip(out) {
        let sums = products(&weights[n * block..][..block], x, bias);
        for (out, sum) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            store(out, sum);
        }
    }
}

/// `W x + b` of eight units, `[gate][8 units]`; a block has 32 weights for every column.
#[inline(always)]
fn products<W: Lanes>(block: &[W], x: &[f32], bias: &[f32; 32]) -> [v128; 8] {
    let mut sums = [f32x4_splat(0.0); 8];
    for (sum, bias) in sums.iter_mut().zip(bias.as_chunks::<4>().0) {
        *sum = load(bias);
    }
    for (w, &x) in block.as_chunks::<32>().0.iter().zip(x) {
        let x = f32x4_splat(x);
        for (sum, w) in sums.iter_mut().zip(w.as_chunks::<4>().0) {
            *sum = f32x4_add(*sum, f32x4_mul(W::load4(w), x));
        }
    }
    sums
}

fn widen_f16(x: &[f16], out: &mut [f32]) {
    let length = x.len().min(out.len());
    let (blocks, rest) = x[..length].as_chunks::<4>();
    let (out_blocks, out_rest) = out[..length].as_chunks_mut::<4>();
    for (out, x) in out_blocks.iter_mut().zip(blocks) {
        store(out, f16::load4(x));
    }
    scalar::widen_float(rest, out_rest);
}

/// Sixteen sums side by side, which a pipeline can overlap.
fn dot_f32<W: Lanes>(w: &[W], v: &[f32]) -> f32 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<4>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<4>();
    let mut sums = [f32x4_splat(0.0); 4];
    for (w, v) in w_blocks.chunks(4).zip(v_blocks.chunks(4)) {
        for ((sum, w), v) in sums.iter_mut().zip(w).zip(v) {
            *sum = f32x4_add(*sum, f32x4_mul(W::load4(w), load(v)));
        }
    }
    let mut lanes = [0.0; 4];
    store(&mut lanes, f32x4_add(f32x4_add(sums[0], sums[1]), f32x4_add(sums[2], sums[3])));
    lanes.iter().sum::<f32>() + scalar::dot_f32(w_rest, v_rest)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::kernels::Scalar;

    /// Numbers in [-4, 4), another each time.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 21) as f32 - 4.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_float_step_has_the_bits_of_the_scalar_backend() {
        for (units, columns) in [(8, 1), (16, 37), (40, 90)] {
            let (weights, bias) = (numbers(units * columns * 4, 1), numbers(4 * units, 2));
            let (xh, first_c) = (numbers(columns, 3), numbers(units, 4));
            let halves: Vec<f16> = weights.iter().map(|&w| f16::from_f32(w)).collect();
            let full =
                (step(Simd128::TOKEN, &weights, &bias, &xh, &first_c), step(Scalar, &weights, &bias, &xh, &first_c));
            let half =
                (step(Simd128::TOKEN, &halves, &bias, &xh, &first_c), step(Scalar, &halves, &bias, &xh, &first_c));
            assert_eq!(full.0, full.1);
            assert_eq!(half.0, half.1);
        }
    }

    /// The sums of the gates, the hidden and the cell state.
    fn step<W: FloatWeight>(
        backend: impl Backend,
        weights: &[W],
        bias: &[f32],
        xh: &[f32],
        c: &[f32],
    ) -> [Vec<f32>; 3] {
        let gates = RowsFloat { weights, bias };
        let (mut sums, mut h, mut c) = (vec![0.0; bias.len()], vec![0.0; c.len()], c.to_vec());
        backend.rows_float(&gates, xh, &mut sums);
        backend.lstm_float(&gates, xh, &mut h, &mut c);
        [sums, h, c]
    }
}
