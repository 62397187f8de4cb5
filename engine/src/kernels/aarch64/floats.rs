//! Floats: the activations, the step and the rows, four lanes of 32 bits.

use core::arch::aarch64::*;
use core::array;

use half::f16;

use super::super::activation::{EXPM1, FusedExp, LN2_HIGH, LN2_LOW, ROUND, SIGMOID_LOWEST, TANH_LOWEST};
use super::super::cell::{TINY, lstm};
use super::super::{RowsFloat, scalar};
use super::{Float8, Lanes, store_f32};

/// `(s, p)` with `e^y = s + s p`, as `exp_parts` in `activation.rs`.
#[inline]
#[target_feature(enable = "neon")]
fn exp_parts(y: float32x4_t) -> (float32x4_t, float32x4_t) {
    let round = vdupq_n_f32(ROUND);
    let shifted = vfmaq_f32(round, y, vdupq_n_f32(core::f32::consts::LOG2_E));
    let n = vsubq_f32(shifted, round);
    let r = vfmsq_f32(vfmsq_f32(y, n, vdupq_n_f32(LN2_HIGH)), n, vdupq_n_f32(LN2_LOW));
    let mut q = vdupq_n_f32(EXPM1[4]);
    for &c in EXPM1[..4].iter().rev() {
        q = vfmaq_f32(vdupq_n_f32(c), q, r);
    }
    let biased = vaddq_s32(vreinterpretq_s32_f32(shifted), vdupq_n_s32(127));
    let s = vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased));
    (s, vfmaq_f32(r, vmulq_f32(r, r), q))
}

/// [`activation::sigmoid_f32`](super::super::activation::sigmoid_f32) of four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn sigmoid_f32_lanes(x: float32x4_t) -> float32x4_t {
    // The maximum of a NaN and a number is NaN.
    let (s, p) = exp_parts(vmaxq_f32(vnegq_f32(vabsq_f32(x)), vdupq_n_f32(SIGMOID_LOWEST)));
    let e = vfmaq_f32(s, s, p);
    let one = vdupq_n_f32(1.0);
    vdivq_f32(vbslq_f32(vcltzq_f32(x), e, one), vaddq_f32(one, e))
}

/// [`activation::tanh_f32`](super::super::activation::tanh_f32) of four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn tanh_f32_lanes(x: float32x4_t) -> float32x4_t {
    let (s, p) = exp_parts(vmaxq_f32(vnegq_f32(vabsq_f32(vaddq_f32(x, x))), vdupq_n_f32(TANH_LOWEST)));
    let m = vfmaq_f32(vsubq_f32(s, vdupq_n_f32(1.0)), s, p);
    // All bits but the sign of the one, and the sign of the other.
    vbslq_f32(vdupq_n_u32(1 << 31), x, vdivq_f32(m, vaddq_f32(vdupq_n_f32(2.0), m)))
}

/// Applies `$lanes` to a slice of any length, eight at a time.
macro_rules! in_place_f32 {
    ($x:ident, $lanes:ident) => {{
        let (blocks, rest) = $x.as_chunks_mut::<8>();
        for block in blocks {
            let [low, high] = f32::load8(block);
            store_f32(block, [$lanes(low), $lanes(high)]);
        }
        let mut last = [0.0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let [low, high] = f32::load8(&last);
        store_f32(&mut last, [$lanes(low), $lanes(high)]);
        rest.copy_from_slice(&last[..rest.len()]);
    }};
}

#[target_feature(enable = "neon")]
pub(super) fn sigmoid_f32(x: &mut [f32]) {
    in_place_f32!(x, sigmoid_f32_lanes);
}

#[target_feature(enable = "neon")]
pub(super) fn tanh_f32(x: &mut [f32]) {
    in_place_f32!(x, tanh_f32_lanes);
}

/// `W x + b` of `N` blocks of eight units, `[block][gate]`; `weights` has at least `N * 32 * x.len()` elements, `bias` 4 vectors a
/// block.
#[inline]
#[target_feature(enable = "neon")]
fn products<const N: usize, W: Lanes>(weights: &[W], bias: &[[[f32; 8]; 4]], x: &[f32]) -> [[Float8; 4]; N] {
    let block = 32 * x.len();
    add(array::from_fn(|n| bias[n].each_ref().map(f32::load8)), array::from_fn(|n| &weights[n * block..][..block]), x)
}

/// The same over `[x; h]` from its parts. The columns of x come first: they can be summed while the step before still works on h.
#[inline]
#[target_feature(enable = "neon")]
fn products_of_parts<const N: usize, W: Lanes>(
    weights: &[W],
    bias: &[[[f32; 8]; 4]],
    x: &[f32],
    h: &[f32],
) -> [[Float8; 4]; N] {
    let (block, of_x) = (32 * (x.len() + h.len()), 32 * x.len());
    let z = array::from_fn(|n| bias[n].each_ref().map(f32::load8));
    let z = add(z, array::from_fn(|n| &weights[n * block..][..of_x]), x);
    add(z, array::from_fn(|n| &weights[n * block + of_x..(n + 1) * block]), h)
}

/// Adds the products of `N` blocks with columns; each block has 32 weights a column.
#[inline]
#[target_feature(enable = "neon")]
fn add<const N: usize, W: Lanes>(mut z: [[Float8; 4]; N], blocks: [&[W]; N], x: &[f32]) -> [[Float8; 4]; N] {
    let blocks = blocks.map(|block| block.as_chunks::<32>().0);
    for (k, &x) in x.iter().enumerate() {
        for (z, block) in z.iter_mut().zip(blocks) {
            let (w, []) = block[k].as_chunks::<8>() else { unreachable!() };
            for (z, w) in z.iter_mut().zip(w) {
                let [low, high] = W::load8(w);
                *z = [vfmaq_n_f32(z[0], low, x), vfmaq_n_f32(z[1], high, x)];
            }
        }
    }
    z
}

/// The blocks of eight units, of which there are `units / 8`. Panics unless the lengths are those that [`RowsFloat`]
/// states.
#[inline]
fn bias_blocks<'a, W>(weights: &[W], bias: &'a [f32], columns: usize) -> &'a [[[f32; 8]; 4]] {
    let (bias, bias_rest) = bias.as_chunks::<8>();
    let (bias, gates_rest) = bias.as_chunks::<4>();
    assert!(bias_rest.is_empty() && gates_rest.is_empty(), "bias: [U8 / 8][gate][8]");
    assert!(weights.len() == 32 * columns * bias.len(), "weights: [U8 / 8][K][gate][8]");
    bias
}

/// The equations of [`cell::lstm::step_float`](crate::kernels::cell::lstm::step_float), two blocks of eight units at a time: sixteen sums in flight hide the latency of the fused
/// multiply-add.
#[target_feature(enable = "neon")]
pub(super) fn lstm_float<W: Lanes>(weights: &[W], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    if xh.is_empty() {
        return lstm::step_float(&RowsFloat { weights, bias }, xh, h, c); // no weights to cut into blocks
    }
    let bias = bias_blocks(weights, bias, xh.len());
    let (h, h_rest) = h.as_chunks_mut::<8>();
    let (c, c_rest) = c.as_chunks_mut::<8>();
    assert!(h_rest.is_empty() && c_rest.is_empty() && h.len() == bias.len() && c.len() == bias.len(), "h, c: [U8]");
    let pairs = weights.chunks(2 * 32 * xh.len()).zip(bias.chunks(2)).zip(h.chunks_mut(2).zip(c.chunks_mut(2)));
    for ((weights, bias), (h, c)) in pairs {
        if h.len() == 2 {
            cells(products::<2, W>(weights, bias, xh), h, c);
        } else {
            cells(products::<1, W>(weights, bias, xh), h, c);
        }
    }
}

/// Blocks of eight units of a layer whose step goes from h to h without a copy.
const SMALL_BLOCKS: usize = 4;

/// The same of a small layer over `[x; h]` from its parts. False for every other layer, and nothing is done.
#[target_feature(enable = "neon")]
pub(super) fn small_step_float<W: Lanes>(
    weights: &[W],
    bias: &[f32],
    x: &[f32],
    columns: usize,
    h: &mut [f32],
    c: &mut [f32],
) -> bool {
    let blocks = h.len() / 8;
    let Some(previous) = columns.checked_sub(x.len()).and_then(|units| h.get(..units)) else { return false };
    if blocks > SMALL_BLOCKS || columns == 0 {
        return false;
    }
    let bias = bias_blocks(weights, bias, columns);
    let (c, c_rest) = c.as_chunks_mut::<8>();
    assert!(h.len().is_multiple_of(8) && c_rest.is_empty() && blocks == bias.len() && c.len() == blocks, "h, c: [U8]");
    // No unit is replaced before all have been read.
    let mut next = [[0.0; 8]; SMALL_BLOCKS];
    let pairs = weights.chunks(2 * 32 * columns).zip(bias.chunks(2)).zip(next.chunks_mut(2).zip(c.chunks_mut(2)));
    for ((weights, bias), (next, c)) in pairs {
        if c.len() == 2 {
            cells(products_of_parts::<2, W>(weights, bias, x, previous), next, c);
        } else {
            cells(products_of_parts::<1, W>(weights, bias, x, previous), next, c);
        }
    }
    h.copy_from_slice(&next.as_flattened()[..8 * blocks]);
    true
}

/// `(e^(k x) - 1, e^(k x) + 1)` of four lanes, by [`FusedExp`]; `K` is -1 or 2.
#[inline]
#[target_feature(enable = "neon")]
fn exp_less_and_more<const K: i32>(x: float32x4_t) -> (float32x4_t, float32x4_t) {
    let FusedExp { k, top, round, over_ln_2, ln_2, q: [q0, q1, q2, q3, q4] } = const { FusedExp::new(K) };
    let set = |value: f32| vdupq_n_f32(value);
    let round = set(round);
    // The maximum and the minimum of a NaN and a number are NaN.
    let x = vminq_f32(vmaxq_f32(x, set(-top)), set(top));
    let shifted = vfmaq_f32(round, x, set(over_ln_2));
    let n = vsubq_f32(shifted, round);
    let r = vfmsq_f32(x, n, set(ln_2));
    let s = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(shifted)));
    let r2 = vmulq_f32(r, r);
    let low = vfmaq_f32(set(q0), set(q1), r);
    let high = vfmaq_f32(set(q2), set(q3), r);
    let low = vfmaq_f32(vmulq_f32(r, set(k)), low, r2);
    let high = vfmaq_f32(high, set(q4), r2);
    let p = vfmaq_f32(low, high, vmulq_f32(r2, r2));
    let one = set(1.0);
    (vfmaq_f32(vsubq_f32(s, one), s, p), vfmaq_f32(vaddq_f32(s, one), s, p))
}

/// `1 / sigmoid(x)`, 1 + e^30 at most.
#[inline]
#[target_feature(enable = "neon")]
fn over_sigmoid(x: float32x4_t) -> float32x4_t {
    exp_less_and_more::<-1>(x).1
}

/// `(a, b)` with `tanh(x) = a / b`.
#[inline]
#[target_feature(enable = "neon")]
fn tanh_parts(x: float32x4_t) -> (float32x4_t, float32x4_t) {
    exp_less_and_more::<2>(x)
}

/// The second half of the step: from the gates' sums to the next cell states and hidden states.
#[inline]
#[target_feature(enable = "neon")]
fn cells<const N: usize>(z: [[Float8; 4]; N], h: &mut [[f32; 8]], c: &mut [[f32; 8]]) {
    for (([i, f, g, o], h), c) in z.into_iter().zip(h).zip(c) {
        let previous = f32::load8(c);
        let mut next = previous;
        let mut hidden = previous;
        for half in 0..2 {
            // In the order in which the next c waits for them. A product of two activations is one quotient.
            let (over_i, (g, over_g)) = (over_sigmoid(i[half]), tanh_parts(g[half]));
            let ig = vdivq_f32(g, vmulq_f32(over_i, over_g));
            let f = vdivq_f32(vdupq_n_f32(1.0), over_sigmoid(f[half]));
            let sum = vfmaq_f32(ig, f, previous[half]);
            // What is so small that it would become subnormal is zero; a NaN stays.
            let tiny = vcltq_f32(vabsq_f32(sum), vdupq_n_f32(TINY));
            next[half] = vbslq_f32(tiny, vdupq_n_f32(0.0), sum);
            let (over_o, (tanh, over_tanh)) = (over_sigmoid(o[half]), tanh_parts(next[half]));
            hidden[half] = vdivq_f32(tanh, vmulq_f32(over_o, over_tanh));
        }
        store_f32(c, next);
        store_f32(h, hidden);
    }
}

#[target_feature(enable = "neon")]
pub(super) fn rows_float<W: Lanes>(weights: &[W], bias: &[f32], x: &[f32], out: &mut [f32]) {
    if x.is_empty() {
        return scalar::rows_float(&RowsFloat { weights, bias }, x, out); // no weights to cut into blocks
    }
    // The last block has fewer than 32 rows.
    let whole = bias.len() / 32 * 32;
    let ((bias, last_bias), (out, last_out)) = (bias.split_at(whole), out.split_at_mut(whole));
    let (weights, last_weights) = weights.split_at(whole * x.len());
    scalar::rows_float(&RowsFloat { weights: last_weights, bias: last_bias }, x, last_out);
    let bias = bias_blocks(weights, bias, x.len());
    let (out, rest) = out.as_chunks_mut::<8>();
    assert!(rest.is_empty() && out.len() == 4 * bias.len(), "out: [U8 / 8][gate][8]");
    let pairs = weights.chunks(2 * 32 * x.len()).zip(bias.chunks(2)).zip(out.chunks_mut(8));
    for ((weights, bias), out) in pairs {
        if bias.len() == 2 {
            store_gates(products::<2, W>(weights, bias, x), out);
        } else {
            store_gates(products::<1, W>(weights, bias, x), out);
        }
    }
}

/// Writes the sums of `N` blocks as they are.
#[inline]
#[target_feature(enable = "neon")]
fn store_gates<const N: usize>(z: [[Float8; 4]; N], out: &mut [[f32; 8]]) {
    for (z, out) in z.into_iter().flatten().zip(out) {
        store_f32(out, z);
    }
}

#[target_feature(enable = "neon")]
pub(super) fn widen_f16(x: &[f16], out: &mut [f32]) {
    let length = x.len().min(out.len());
    let (blocks, rest) = x[..length].as_chunks::<8>();
    let (out_blocks, out_rest) = out[..length].as_chunks_mut::<8>();
    for (out, x) in out_blocks.iter_mut().zip(blocks) {
        store_f32(out, f16::load8(x));
    }
    scalar::widen_float(rest, out_rest);
}

#[target_feature(enable = "neon")]
pub(super) fn dot_f32<W: Lanes>(w: &[W], v: &[f32]) -> f32 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<8>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<8>();
    let mut sums = [[vdupq_n_f32(0.0); 2]; 2];
    for (w, v) in w_blocks.chunks(2).zip(v_blocks.chunks(2)) {
        for ((sum, w), v) in sums.iter_mut().zip(w).zip(v) {
            let (w, v) = (W::load8(w), f32::load8(v));
            *sum = [vfmaq_f32(sum[0], w[0], v[0]), vfmaq_f32(sum[1], w[1], v[1])];
        }
    }
    let [low, high] = sums.map(|[low, high]| vaddq_f32(low, high));
    vaddvq_f32(vaddq_f32(low, high)) + scalar::dot_f32(w_rest, v_rest)
}
