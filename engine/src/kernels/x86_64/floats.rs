//! Floats: the activations, the step and the rows, eight lanes of 32 bits.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use half::f16;

use super::super::activation::{EXPM1, FusedExp, LN2_HIGH, LN2_LOW, ROUND, SIGMOID_LOWEST, TANH_LOWEST};
use super::super::cell::TINY;
use super::super::cell::gru::Reset;
use super::super::{StreamFloat, scalar};
use super::{Lanes, load_f32, load_half_i16, store_f32};

/// `(s, p)` with `e^y = s + s p`, as `exp_parts` in `activation.rs`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp_parts(y: __m256) -> (__m256, __m256) {
    let round = _mm256_set1_ps(ROUND);
    let shifted = _mm256_fmadd_ps(y, _mm256_set1_ps(core::f32::consts::LOG2_E), round);
    let n = _mm256_sub_ps(shifted, round);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN2_LOW), _mm256_fnmadd_ps(n, _mm256_set1_ps(LN2_HIGH), y));
    let mut q = _mm256_set1_ps(EXPM1[4]);
    for &c in EXPM1[..4].iter().rev() {
        q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(c));
    }
    let biased = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
    let s = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased));
    (s, _mm256_fmadd_ps(_mm256_mul_ps(r, r), q, r))
}

/// [`activation::sigmoid_f32`](super::super::activation::sigmoid_f32) of eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sigmoid_f32_lanes(x: __m256) -> __m256 {
    let y = _mm256_or_ps(x, _mm256_set1_ps(-0.0));
    // The second operand is what comes out when it is NaN.
    let (s, p) = exp_parts(_mm256_max_ps(_mm256_set1_ps(SIGMOID_LOWEST), y));
    let e = _mm256_fmadd_ps(s, p, s);
    let one = _mm256_set1_ps(1.0);
    // The sign bit of x chooses; at x = -0, e is 1 too.
    _mm256_div_ps(_mm256_blendv_ps(one, e, x), _mm256_add_ps(one, e))
}

/// [`activation::tanh_f32`](super::super::activation::tanh_f32) of eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn tanh_f32_lanes(x: __m256) -> __m256 {
    let sign = _mm256_set1_ps(-0.0);
    let y = _mm256_or_ps(_mm256_add_ps(x, x), sign);
    let (s, p) = exp_parts(_mm256_max_ps(_mm256_set1_ps(TANH_LOWEST), y));
    let m = _mm256_fmadd_ps(s, p, _mm256_sub_ps(s, _mm256_set1_ps(1.0)));
    let magnitude = _mm256_andnot_ps(sign, _mm256_div_ps(m, _mm256_add_ps(_mm256_set1_ps(2.0), m)));
    _mm256_or_ps(magnitude, _mm256_and_ps(sign, x))
}

/// Applies `$lanes` to a slice of any length, eight at a time.
macro_rules! in_place_f32 {
    ($x:ident, $lanes:ident) => {{
        let (blocks, rest) = $x.as_chunks_mut::<8>();
        for block in blocks {
            let y = $lanes(load_f32(block));
            store_f32(block, y);
        }
        let mut last = [0.0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let y = $lanes(load_f32(&last));
        store_f32(&mut last, y);
        rest.copy_from_slice(&last[..rest.len()]);
    }};
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn sigmoid_f32(x: &mut [f32]) {
    in_place_f32!(x, sigmoid_f32_lanes);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn tanh_f32(x: &mut [f32]) {
    in_place_f32!(x, tanh_f32_lanes);
}

/// `(e^(k x) - 1, e^(k x) + 1)` of eight lanes, by [`FusedExp`]; `K` is -1 or 2.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp_less_and_more<const K: i32>(x: __m256) -> (__m256, __m256) {
    let FusedExp { k, top, round, over_ln_2, ln_2, q: [q0, q1, q2, q3, q4] } = const { FusedExp::new(K) };
    let set = |value: f32| _mm256_set1_ps(value);
    let round = set(round);
    // The second operand is what comes out when it is NaN.
    let x = _mm256_min_ps(set(top), _mm256_max_ps(set(-top), x));
    let shifted = _mm256_fmadd_ps(x, set(over_ln_2), round);
    let n = _mm256_sub_ps(shifted, round);
    let r = _mm256_fnmadd_ps(n, set(ln_2), x);
    let s = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(shifted)));
    let r2 = _mm256_mul_ps(r, r);
    let low = _mm256_fmadd_ps(set(q1), r, set(q0));
    let high = _mm256_fmadd_ps(set(q3), r, set(q2));
    let low = _mm256_fmadd_ps(low, r2, _mm256_mul_ps(r, set(k)));
    let high = _mm256_fmadd_ps(set(q4), r2, high);
    let p = _mm256_fmadd_ps(high, _mm256_mul_ps(r2, r2), low);
    let one = set(1.0);
    (_mm256_fmadd_ps(s, p, _mm256_sub_ps(s, one)), _mm256_fmadd_ps(s, p, _mm256_add_ps(s, one)))
}

/// `1 / sigmoid(x)`, 1 + e^30 at most.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn over_sigmoid(x: __m256) -> __m256 {
    exp_less_and_more::<-1>(x).1
}

/// `(a, b)` with `tanh(x) = a / b`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn tanh_parts(x: __m256) -> (__m256, __m256) {
    exp_less_and_more::<2>(x)
}

/// What is so small that it would become subnormal is zero; a NaN stays.
#[inline]
#[target_feature(enable = "avx2")]
fn without_subnormals(x: __m256) -> __m256 {
    let magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
    _mm256_and_ps(x, _mm256_cmp_ps::<_CMP_NLT_UQ>(magnitude, _mm256_set1_ps(TINY)))
}

/// The second half of a step, of eight units: `(h, c')` of `[i, f, g, o]` and `c`. A product of two activations is one quotient.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn cell_f32_lanes([i, f, g, o]: [__m256; 4], c: __m256) -> (__m256, __m256) {
    // In the order in which the next c waits for them.
    let (over_i, (g, over_g)) = (over_sigmoid(i), tanh_parts(g));
    let ig = _mm256_div_ps(g, _mm256_mul_ps(over_i, over_g));
    let f = _mm256_div_ps(_mm256_set1_ps(1.0), over_sigmoid(f));
    let next = without_subnormals(_mm256_fmadd_ps(f, c, ig));
    let (over_o, (tanh, over_tanh)) = (over_sigmoid(o), tanh_parts(next));
    (_mm256_div_ps(tanh, _mm256_mul_ps(over_o, over_tanh)), next)
}

/// The same in memory.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn cell_f32(z: [__m256; 4], h: &mut [f32; 8], c: &mut [f32; 8]) {
    let (next_h, next) = cell_f32_lanes(z, load_f32(c));
    store_f32(c, next);
    store_f32(h, next_h);
}

/// Blocks of eight units of a layer whose step goes from h to h without a copy.
const SMALL: usize = 4;

/// The equations of [`cell::lstm::step_float`](crate::kernels::cell::lstm::step_float) over `[x; h]` from its parts; without `x`, so many inputs stand at the
/// beginning of `xh` already. `xh` and `backwards` are those of [`Backend::step_float`](crate::kernels::Backend::step_float).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn step_float<W: Lanes>(
    weights: &[W],
    bias: &[f32],
    (x, inputs): (Option<&[f32]>, usize),
    xh: &mut [f32],
    (h, c): (&mut [f32], &mut [f32]),
    backwards: bool,
) {
    let (blocks, columns) = (h.len() / 8, xh.len());
    let Some((features, joined)) = xh.split_at_mut_checked(inputs) else { return };
    let Some(previous) = h.get(..joined.len()) else { return };
    if blocks > SMALL {
        // Some units are replaced while others still have to read them.
        if let Some(x) = x {
            features.copy_from_slice(x);
        }
        joined.copy_from_slice(previous);
        return lstm_float(weights, bias, xh, h, c, backwards);
    }
    let x = x.unwrap_or(features);
    let Some(layer) = Layer::new(weights, bias, columns, h.len(), c.len()) else { return };
    let (c, []) = c.as_chunks_mut::<8>() else { return };
    let mut next = [_mm256_setzero_ps(); SMALL];
    for pair in 0..blocks.div_ceil(2) {
        let first = 2 * if backwards { blocks.div_ceil(2) - 1 - pair } else { pair };
        if first + 1 < blocks {
            let [one, other] = layer.sums::<2>(first, x, previous, backwards);
            (next[first], next[first + 1]) =
                (cell_in_place(one, &mut c[first]), cell_in_place(other, &mut c[first + 1]));
        } else {
            let [one] = layer.sums::<1>(first, x, previous, backwards);
            next[first] = cell_in_place(one, &mut c[first]);
        }
    }
    for (h, next) in h.as_chunks_mut::<8>().0.iter_mut().zip(next) {
        store_f32(h, next);
    }
}

/// h of eight units; their c is replaced.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn cell_in_place(z: [__m256; 4], c: &mut [f32; 8]) -> __m256 {
    let (h, next) = cell_f32_lanes(z, load_f32(c));
    store_f32(c, next);
    h
}

/// The same over columns in one piece.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn lstm_float<W: Lanes>(
    weights: &[W],
    bias: &[f32],
    xh: &[f32],
    h: &mut [f32],
    c: &mut [f32],
    backwards: bool,
) {
    let Some(layer) = Layer::new(weights, bias, xh.len(), h.len(), c.len()) else { return };
    let (h, c) = (h.as_chunks_mut::<8>().0, c.as_chunks_mut::<8>().0);
    let blocks = h.len();
    for pair in 0..blocks.div_ceil(2) {
        let first = 2 * if backwards { blocks.div_ceil(2) - 1 - pair } else { pair };
        if first + 1 < blocks {
            let [one, other] = layer.sums::<2>(first, xh, &[], backwards);
            cell_f32(one, &mut h[first], &mut c[first]);
            cell_f32(other, &mut h[first + 1], &mut c[first + 1]);
        } else {
            let [one] = layer.sums::<1>(first, xh, &[], backwards);
            cell_f32(one, &mut h[first], &mut c[first]);
        }
    }
}

/// Weights `[U8 / 8][K][gate][8]` and biases `[U8 / 8][gate][8]`.
struct Layer<'a, W> {
    weights: &'a [W],
    bias: &'a [[f32; 8]],
    columns: usize,
}

impl<'a, W: Lanes> Layer<'a, W> {
    /// Panics where lengths break the contract of [`Backend::lstm_float`](crate::kernels::Backend::lstm_float). Nothing without columns, which no layer is.
    #[inline]
    fn new(weights: &'a [W], bias: &'a [f32], columns: usize, units: usize, cells: usize) -> Option<Self> {
        let (bias, bias_rest) = bias.as_chunks::<8>();
        assert!(units.is_multiple_of(8) && units == cells, "h, c: [U8]");
        assert!(bias_rest.is_empty() && 2 * bias.len() == units, "bias: [U8 / 8][gate][8]");
        assert!(weights.len() == 4 * columns * units, "weights: [U8 / 8][K][gate][8]");
        (columns > 0).then_some(Layer { weights, bias, columns })
    }

    /// `W [x; h] + b` of `N` blocks of eight units, one or two: eight sums in flight hide the latency of the fused multiply-add.
    ///
    /// The columns of x come first: they can be summed while the step before still works on h. `backwards` turns the order within both.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sums<const N: usize>(&self, first: usize, x: &[f32], h: &[f32], backwards: bool) -> [[__m256; 4]; N] {
        let block = 32 * self.columns;
        let weights = &self.weights[first * block..(first + N) * block];
        assert!(x.len() + h.len() == self.columns);
        let mut z = [[_mm256_setzero_ps(); 4]; N];
        for (z, bias) in z.as_flattened_mut().iter_mut().zip(&self.bias[4 * first..4 * (first + N)]) {
            *z = load_f32(bias);
        }
        // Few sums would wait for each other: two of each, side by side.
        let mut others = [[_mm256_setzero_ps(); 4]; N];
        for (values, start) in [(x, 0), (h, x.len())] {
            let step = |z: &mut [[__m256; 4]; N], column: usize, value: f32| {
                let value = _mm256_set1_ps(value);
                for (n, z) in z.iter_mut().enumerate() {
                    for (gate, z) in z.iter_mut().enumerate() {
                        // SAFETY: n < N, start + column is one of the columns by the assertion and gate < 4, so the eight weights end by N * block,
                        // the end of `weights`. This function was compiled for AVX2 and F16C too.
                        let w = unsafe { W::load8(weights.as_ptr().add(n * block + 32 * (start + column) + 8 * gate)) };
                        *z = _mm256_fmadd_ps(w, value, *z);
                    }
                }
            };
            let count = values.len();
            if N == 1 {
                let (pairs, last) = values.as_chunks::<2>();
                for (pair, [one, other]) in pairs.iter().enumerate() {
                    step(&mut z, 2 * pair, *one);
                    step(&mut others, 2 * pair + 1, *other);
                }
                if let [last] = last {
                    step(&mut z, count - 1, *last);
                }
            } else if backwards {
                for (column, value) in values.iter().enumerate().rev() {
                    step(&mut z, column, *value);
                }
            } else {
                for (column, value) in values.iter().enumerate() {
                    step(&mut z, column, *value);
                }
            }
        }
        if N == 1 {
            for (z, other) in z.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
                *z = _mm256_add_ps(*z, *other);
            }
        }
        z
    }
}

/// Panics where lengths break the contract of [`Backend::lstm_float_many`](crate::kernels::Backend::lstm_float_many).
#[inline(always)]
pub(super) fn check_streams<W>(weights: &[W], bias: &[f32], columns: usize, streams: &[StreamFloat<'_>]) {
    let blocks = bias.len() / 32;
    assert!(weights.len() == 32 * columns * blocks, "weights: [U8 / 8][K][gate][8]");
    for stream in streams {
        assert!(stream.xh.len() == columns, "the same columns for all");
        assert!(stream.h.len() == 8 * blocks && stream.c.len() == 8 * blocks, "h, c: [U8]");
    }
}

/// As [`scalar::rows_float`], or with `ADD` upon what `out` holds in the place of the biases; fused multiply-adds, eight sums in flight.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows_float<W: Lanes, const ADD: bool>(weights: &[W], bias: &[f32], x: &[f32], out: &mut [f32]) {
    if x.is_empty() && ADD {
        return;
    }
    let (mut weights, mut bias) = (weights, bias);
    for out in out.chunks_mut(64) {
        let Some((both, rest)) = weights.split_at_checked(out.len() * x.len()) else { return };
        weights = rest;
        if !ADD {
            let Some((now, later)) = bias.split_at_checked(out.len()) else { return };
            out.copy_from_slice(now);
            bias = later;
        }
        let out = out.as_chunks_mut::<8>().0;
        if let Some(out) = out.first_chunk_mut::<8>() {
            two_blocks(both, x, out);
        } else {
            let (first, second) = both.split_at(both.len().min(32 * x.len()));
            let (out, out_second) = out.split_at_mut(out.len().min(4));
            block_of_rows(first, x, out);
            block_of_rows(second, x, out_second);
        }
    }
}

/// Adds the products of two blocks of 32 rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn two_blocks<W: Lanes>(weights: &[W], x: &[f32], out: &mut [[f32; 8]; 8]) {
    assert!(weights.len() >= 64 * x.len());
    let (first, second) = weights.split_at(32 * x.len());
    let mut z = [_mm256_setzero_ps(); 8];
    for (z, out) in z.iter_mut().zip(&*out) {
        *z = load_f32(out);
    }
    let (one, other) = z.split_at_mut(4);
    let blocks = first.as_chunks::<32>().0.iter().zip(second.as_chunks::<32>().0);
    for ((first, second), &x) in blocks.zip(x) {
        let x = _mm256_set1_ps(x);
        for (weights, z) in [(first, &mut *one), (second, &mut *other)] {
            for (at, z) in z.iter_mut().enumerate() {
                // SAFETY: the array has four times the eight weights that are read. The caller was compiled for F16C too.
                *z = _mm256_fmadd_ps(unsafe { W::load8(weights.as_ptr().add(8 * at)) }, x, *z);
            }
        }
    }
    for (out, z) in out.iter_mut().zip(z) {
        store_f32(out, z);
    }
}

/// Adds the products of a block of up to 32 rows. Two sums of each row, side by side, do not wait for each other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block_of_rows<W: Lanes>(weights: &[W], x: &[f32], out: &mut [[f32; 8]]) {
    match out.len() {
        4 => rows_of::<4, 32, 2, W>(weights, x, out),
        3 => rows_of::<3, 24, 2, W>(weights, x, out),
        2 => rows_of::<2, 16, 4, W>(weights, x, out),
        1 => rows_of::<1, 8, 4, W>(weights, x, out),
        _ => {}
    }
}

/// The same of `N` vectors of rows, `R` rows, over `C` columns at a time.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn rows_of<const N: usize, const R: usize, const C: usize, W: Lanes>(weights: &[W], x: &[f32], out: &mut [[f32; 8]]) {
    const { assert!(R == 8 * N) };
    let mut z = [[_mm256_setzero_ps(); N]; C];
    for (z, out) in z[0].iter_mut().zip(&*out) {
        *z = load_f32(out);
    }
    let (columns, last) = weights.as_chunks::<R>().0.as_chunks::<C>();
    let (values, last_values) = x.as_chunks::<C>();
    for (columns, values) in columns.iter().zip(values) {
        for ((z, weights), x) in z.iter_mut().zip(columns).zip(values) {
            column_of(z, weights, *x);
        }
    }
    for (weights, x) in last.iter().zip(last_values) {
        column_of(&mut z[0], weights, *x);
    }
    let [first, rest @ ..] = &mut z[..] else { return };
    for others in rest {
        for (sum, other) in first.iter_mut().zip(others) {
            *sum = _mm256_add_ps(*sum, *other);
        }
    }
    for (out, sum) in out.iter_mut().zip(first) {
        store_f32(out, *sum);
    }
}

/// Adds a column's products of `N` vectors of rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn column_of<const N: usize, const R: usize, W: Lanes>(z: &mut [__m256; N], weights: &[W; R], x: f32) {
    const { assert!(R == 8 * N) };
    let x = _mm256_set1_ps(x);
    for (at, z) in z.iter_mut().enumerate() {
        // SAFETY: the array has `N` times the eight weights that are read. The caller was compiled for F16C too.
        *z = _mm256_fmadd_ps(unsafe { W::load8(weights.as_ptr().add(8 * at)) }, x, *z);
    }
}

/// The equations of [`gru`](crate::kernels::cell::gru), as [`Backend::gru_float`](crate::kernels::Backend::gru_float). `kernel` and `recurrent` are weights
/// and biases.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn gru_float<W: Lanes>(
    (kernel, kernel_bias): (&[W], &[f32]),
    (recurrent, recurrent_bias): (&[W], &[f32]),
    reset: Reset,
    x: &[f32],
    (sums, room): (&mut [f32], &mut [f32]),
    h: &mut [f32],
) {
    let lanes = h.len();
    let Some(units) = recurrent.len().checked_div(3 * lanes) else { return };
    let (Some(sums), Some(room)) = (sums.get_mut(..3 * lanes), room.get_mut(..lanes)) else { return };
    rows_float::<W, false>(kernel, kernel_bias, x, sums);
    let (gate_sums, candidate_sums) = sums.split_at_mut(2 * lanes);
    let Some((gates, candidate)) = recurrent.split_at_checked(2 * lanes * units) else { return };
    let Some(previous) = h.get(..units) else { return };
    rows_float::<W, true>(gates, &[], previous, gate_sums);
    let (z, r) = gate_sums.split_at(lanes);
    let (z, r) = (z.as_chunks::<8>().0, r.as_chunks::<8>().0);
    match reset {
        // The room holds U h + c while the candidate's sums hold W x + b.
        Reset::After => {
            rows_float::<W, false>(candidate, recurrent_bias, previous, room);
            let sums = candidate_sums.as_chunks_mut::<8>().0.iter_mut();
            for ((sum, r), n) in sums.zip(r).zip(room.as_chunks::<8>().0) {
                let r = _mm256_div_ps(_mm256_set1_ps(1.0), over_sigmoid(load_f32(r)));
                store_f32(sum, _mm256_fmadd_ps(r, load_f32(n), load_f32(sum)));
            }
        }
        Reset::Before => {
            let products = room.as_chunks_mut::<8>().0.iter_mut();
            for ((product, r), h) in products.zip(r).zip(h.as_chunks::<8>().0) {
                store_f32(product, _mm256_div_ps(load_f32(h), over_sigmoid(load_f32(r))));
            }
            rows_float::<W, true>(candidate, &[], &room[..units], candidate_sums);
        }
    }
    for ((h, z), n) in h.as_chunks_mut::<8>().0.iter_mut().zip(z).zip(candidate_sums.as_chunks::<8>().0) {
        let (tanh, over_tanh) = tanh_parts(load_f32(n));
        let n = _mm256_div_ps(tanh, over_tanh);
        let z = _mm256_div_ps(_mm256_set1_ps(1.0), over_sigmoid(load_f32(z)));
        store_f32(h, without_subnormals(_mm256_fmadd_ps(z, _mm256_sub_ps(load_f32(h), n), n)));
    }
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn widen_f16(x: &[f16], out: &mut [f32]) {
    let length = x.len().min(out.len());
    let (blocks, rest) = x[..length].as_chunks::<8>();
    let (out_blocks, out_rest) = out[..length].as_chunks_mut::<8>();
    for (out, x) in out_blocks.iter_mut().zip(blocks) {
        store_f32(out, _mm256_cvtph_ps(load_half_i16(x)));
    }
    scalar::widen_float(rest, out_rest);
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dot_f32<W: Lanes>(w: &[W], v: &[f32]) -> f32 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<8>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<8>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (w, v) in w_blocks.chunks(4).zip(v_blocks.chunks(4)) {
        for ((sum, w), v) in sums.iter_mut().zip(w).zip(v) {
            // SAFETY: the array `w` has the eight weights; the caller was compiled for AVX2 and F16C too.
            *sum = _mm256_fmadd_ps(unsafe { W::load8(w.as_ptr()) }, load_f32(v), *sum);
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let mut lanes = [0.0; 8];
    store_f32(&mut lanes, sum);
    lanes.iter().sum::<f32>() + scalar::dot_f32(w_rest, v_rest)
}
