//! Integers: the activations, the step and the rows. What multiplies the weights is a backend's own, [`Products`].
//!
//! `unsafe` is open here as in the parent module, and for one thing more: `sdot` is written in assembly, because stable Rust
//! has no name for it. Only a [`NeonDot`] comes there.

#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;
use core::array;

use super::super::activation::{SIGMOID, Segments, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_TOP};
use super::super::cell::lstm;
use super::super::{RowsI8, scalar};
use super::{Neon, NeonDot, load_half_i16, load_half_u16, load_i16, load_i32, store_i16, store_i32};

/// How a backend multiplies 16 weights, `[gate][4 columns]`, by 4 columns. Exact, and added up modulo 2^32.
pub(super) trait Products: Copy {
    /// The sums of a unit as they grow.
    type Sums: Copy;

    /// No sum yet.
    fn zero(self) -> Self::Sums;

    /// Adds to the sum of each gate its four weights times columns `4 * LANE .. 4 * LANE + 4` of `x`; `LANE` in 0..4.
    fn add<const LANE: i32>(self, sums: Self::Sums, w: int8x16_t, x: int8x16_t) -> Self::Sums;

    /// The sums, `[gate]`.
    fn finish(self, sums: Self::Sums) -> int32x4_t;
}

/// Each gate's four products are added by two to 32 bits at once, since two times (-128)^2 is too much for 16. What is left are two
/// sums a gate, side by side: of i and f in one vector, of g and o in the other.
impl Products for Neon {
    type Sums = [int32x4_t; 2];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        // SAFETY: NEON belongs to the target.
        unsafe { [vdupq_n_s32(0); 2] }
    }

    #[inline(always)]
    fn add<const LANE: i32>(self, [i_f, g_o]: Self::Sums, w: int8x16_t, x: int8x16_t) -> Self::Sums {
        // SAFETY: NEON belongs to the target.
        unsafe {
            let x = vreinterpretq_s8_s32(vdupq_laneq_s32::<LANE>(vreinterpretq_s32_s8(x)));
            [vpadalq_s16(i_f, vmull_s8(vget_low_s8(w), vget_low_s8(x))), vpadalq_s16(g_o, vmull_high_s8(w, x))]
        }
    }

    #[inline(always)]
    fn finish(self, [i_f, g_o]: Self::Sums) -> int32x4_t {
        // SAFETY: NEON belongs to the target.
        unsafe { vpaddq_s32(i_f, g_o) }
    }
}

/// `sdot` does all of it.
impl Products for NeonDot {
    type Sums = int32x4_t;

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        // SAFETY: NEON belongs to the target.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    fn add<const LANE: i32>(self, mut sums: Self::Sums, w: int8x16_t, x: int8x16_t) -> Self::Sums {
        const { assert!(0 <= LANE && LANE < 4) };
        // SAFETY: the processor has `sdot`, for `self` exists only where `NeonDot::detect` found FEAT_DotProd; the directive
        // lets the assembler know. The instruction reads three registers and writes the first, and touches neither memory nor flags.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
                sums = inout(vreg) sums,
                w = in(vreg) w,
                x = in(vreg) x,
                lane = const LANE,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> int32x4_t {
        sums
    }
}

/// Four columns of a unit's weights, `PER` weights in a byte: sixteen bytes, or eight of nibbles, whose lower halves are gates i and f.
///
/// # Safety
/// As many bytes are readable.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_weights<const PER: usize>(at: *const i8) -> int8x16_t {
    if PER == 1 {
        // SAFETY: the caller keeps the promise.
        return unsafe { vld1q_s8(at) };
    }
    // SAFETY: as above.
    let nibbles = unsafe { vld1_s8(at) };
    vcombine_s8(vshl_n_s8::<4>(nibbles), vand_s8(nibbles, vdup_n_s8(!15)))
}

/// The sums of `N` units over all columns, `[unit][gate]`. Where `weights` has fewer units, the last one stands in for the rest.
///
/// `weights` has 1 unit or more of `4 * xh.len() / PER` bytes, and `xh` has a multiple of 4 columns in the range of an int8.
#[inline]
#[target_feature(enable = "neon")]
fn rows<const N: usize, P: Products, const PER: usize>(products: P, weights: &[i8], xh: &[i16]) -> [int32x4_t; N] {
    let row = 4 * xh.len() / PER; // bytes of weights of a unit
    let last = weights.len() - row;
    let rows: [&[i8]; N] = array::from_fn(|unit| &weights[last.min(unit * row)..][..row]);
    let (blocks, rest) = xh.as_chunks::<16>();
    let mut sums = [products.zero(); N];
    for (k, x) in blocks.iter().enumerate() {
        let ([low, high], []) = x.as_chunks::<8>() else { unreachable!() };
        // The low bytes of the lanes: sixteen columns as int8.
        let x = vuzp1q_s8(vreinterpretq_s8_s16(load_i16(low)), vreinterpretq_s8_s16(load_i16(high)));
        for (sums, row) in sums.iter_mut().zip(&rows) {
            // SAFETY: `row` has 4 * xh.len() / PER bytes, and block k of 16 columns exists, so that 16 (k + 1) <= xh.len() and the
            // 64 / PER bytes from 64 / PER * k on are inside; the loads need no alignment.
            let w: [int8x16_t; 4] =
                array::from_fn(|n| unsafe { load_weights::<PER>(row.as_ptr().add((64 * k + 16 * n) / PER)) });
            *sums = products.add::<0>(*sums, w[0], x);
            *sums = products.add::<1>(*sums, w[1], x);
            *sums = products.add::<2>(*sums, w[2], x);
            *sums = products.add::<3>(*sums, w[3], x);
        }
    }
    for (k, x) in rest.as_chunks::<4>().0.iter().enumerate() {
        let x = load_half_i16(x);
        let x = vreinterpretq_s8_s16(vcombine_s16(x, x));
        let x = vuzp1q_s8(x, x);
        for (sums, row) in sums.iter_mut().zip(&rows) {
            // SAFETY: `row` has 4 * xh.len() / PER bytes, and behind all blocks 4 (k + 1) columns more exist, so that the 16 / PER bytes
            // behind the blocks' 64 / PER each and 16 / PER * k more are inside; the load needs no alignment.
            let w = unsafe { load_weights::<PER>(row.as_ptr().add((64 * blocks.len() + 16 * k) / PER)) };
            *sums = products.add::<0>(*sums, w, x);
        }
    }
    sums.map(|sums| products.finish(sums))
}

/// The sums of the 1 to 8 units that `weights` has, as [`rows`] gives them.
#[inline]
#[target_feature(enable = "neon")]
fn tile<P: Products, const PER: usize>(products: P, weights: &[i8], xh: &[i16]) -> [int32x4_t; 8] {
    if PER * weights.len() > 4 * 4 * xh.len() {
        return rows::<8, P, PER>(products, weights, xh);
    }
    let [a, b, c, d] = rows::<4, P, PER>(products, weights, xh);
    [a, b, c, d, d, d, d, d]
}

/// `sums * multiplier + bias`, wrapping, of one unit, `[gate]`.
#[inline]
#[target_feature(enable = "neon")]
fn scale(sums: int32x4_t, multiplier: &[u16; 4], bias: &[i32; 4]) -> int32x4_t {
    vmlaq_s32(load_i32(bias), sums, vreinterpretq_s32_u32(vmovl_u16(load_half_u16(multiplier))))
}

/// Panics unless the lengths are those that [`RowsI8`] states, with so many weights in a byte.
#[inline]
fn check(gates: &RowsI8<'_>, per: usize, columns: usize, units: usize) {
    assert!(
        columns.is_multiple_of(4) && per * gates.weights.len() == units * 4 * columns,
        "weights: [unit][K4 / 4][gate][4]"
    );
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
}

/// The scalar equations of [`cell::lstm::step`](crate::kernels::cell::lstm::step), in tiles of eight units: their products run together, then their sums are brought to
/// Q3.12 and parted by gate, then one vector a gate goes through the activations.
#[target_feature(enable = "neon")]
pub(super) fn lstm_i8<P: Products, const PER: usize>(
    products: P,
    gates: &RowsI8<'_>,
    xh: &[i16],
    h: &mut [i16],
    c: &mut [i32],
) {
    assert!(c.len() == h.len(), "c: [unit]");
    check(gates, PER, xh.len(), h.len());
    if xh.is_empty() {
        return lstm::step(gates, xh, h, c); // no weights to cut into tiles
    }
    let right = vdupq_n_s32(-((gates.shift & 31) as i32));
    let weights = gates.weights.chunks(8 * 4 * xh.len() / PER);
    let tiles = weights.zip(gates.multiplier.chunks(32)).zip(gates.bias.chunks(32));
    for (((weights, multiplier), bias), (h, c)) in tiles.zip(h.chunks_mut(8).zip(c.chunks_mut(8))) {
        let sums = tile::<P, PER>(products, weights, xh);
        if let (Ok(multiplier), Ok(bias), Ok(h), Ok(c)) =
            (multiplier.try_into(), bias.try_into(), <&mut [i16; 8]>::try_from(&mut *h), (&mut *c).try_into())
        {
            cell_q15(requantize(sums, multiplier, bias, right), h, c);
        } else {
            let (mut all_multipliers, mut all_biases) = ([0; 32], [0; 32]);
            all_multipliers[..multiplier.len()].copy_from_slice(multiplier);
            all_biases[..bias.len()].copy_from_slice(bias);
            let (mut all_h, mut all_c) = ([0; 8], [0; 8]);
            all_c[..c.len()].copy_from_slice(c);
            cell_q15(requantize(sums, &all_multipliers, &all_biases, right), &mut all_h, &mut all_c);
            h.copy_from_slice(&all_h[..h.len()]);
            c.copy_from_slice(&all_c[..c.len()]);
        }
    }
}

#[target_feature(enable = "neon")]
pub(super) fn rows_i8<P: Products, const PER: usize>(products: P, gates: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    assert!(out.len().is_multiple_of(4), "out: [row], whole quads");
    check(gates, PER, x.len(), out.len() / 4);
    if x.is_empty() {
        return scalar::rows(gates, x, out); // no weights to cut into tiles
    }
    let tiles = gates.weights.chunks(8 * 4 * x.len() / PER).zip(out.as_chunks_mut::<4>().0.chunks_mut(8));
    let requantize = gates.multiplier.as_chunks::<4>().0.chunks(8).zip(gates.bias.as_chunks::<4>().0.chunks(8));
    for ((weights, out), (multiplier, bias)) in tiles.zip(requantize) {
        let sums = tile::<P, PER>(products, weights, x);
        for (((out, sums), multiplier), bias) in out.iter_mut().zip(sums).zip(multiplier).zip(bias) {
            store_i32(out, scale(sums, multiplier, bias));
        }
    }
}

/// `sat16((sums * multiplier + bias) >> shift)` of eight units, parted by gate: `[i, f, g, o]` in Q3.12. `right` is minus the shift.
#[inline]
#[target_feature(enable = "neon")]
fn requantize(sums: [int32x4_t; 8], multiplier: &[u16; 32], bias: &[i32; 32], right: int32x4_t) -> [int16x8_t; 4] {
    let (multiplier, []) = multiplier.as_chunks::<4>() else { unreachable!() };
    let (bias, []) = bias.as_chunks::<4>() else { unreachable!() };
    let z = |unit: usize| vshlq_s32(scale(sums[unit], &multiplier[unit], &bias[unit]), right);
    let pair = |unit| vqmovn_high_s32(vqmovn_s32(z(unit)), z(unit + 1));
    // Every second lane, twice: i f g o i f g o, then i g i g .. and f o f o .., then one gate alone.
    let (a, b, c, d) = (pair(0), pair(2), pair(4), pair(6));
    let (ig_low, ig_high) = (vuzp1q_s16(a, b), vuzp1q_s16(c, d));
    let (fo_low, fo_high) = (vuzp2q_s16(a, b), vuzp2q_s16(c, d));
    [vuzp1q_s16(ig_low, ig_high), vuzp1q_s16(fo_low, fo_high), vuzp2q_s16(ig_low, ig_high), vuzp2q_s16(fo_low, fo_high)]
}

/// `D` of [`Segments`] for eight lanes: `segment` in 0..8, `t` Q0.15.
#[inline]
#[target_feature(enable = "neon")]
fn distance<const SHIFT: i32, const SHIFT_U: u32>(
    table: &Segments<SHIFT_U>,
    segment: uint16x8_t,
    t: int16x8_t,
) -> int16x8_t {
    const { assert!(SHIFT as u32 == SHIFT_U) };
    // Byte indices of a 16-bit entry: 2 * segment below, 2 * segment + 1 above.
    let bytes = vreinterpretq_u8_u16(vmlaq_u16(vdupq_n_u16(0x0100), segment, vdupq_n_u16(0x0202)));
    let look_up = |column| vreinterpretq_s16_s8(vqtbl1q_s8(vreinterpretq_s8_s16(load_i16(column)), bytes));
    let [c4, c3, c2, c1, r, b] = &table.columns;
    let mut p = look_up(c4);
    for column in [c3, c2, c1, r] {
        // (2 p t + 2^15) >> 16. No p is -32768, so nothing saturates.
        p = vaddq_s16(vqrdmulhq_s16(p, t), look_up(column));
    }
    // Saturating is the minimum with 32767.
    vqaddq_s16(look_up(b), vshrq_n_s16::<SHIFT>(p))
}

/// `x < 0 ? -d : d`, lane by lane.
#[inline]
#[target_feature(enable = "neon")]
fn with_sign(d: int16x8_t, x: int16x8_t) -> int16x8_t {
    vbslq_s16(vcltzq_s16(x), vnegq_s16(d), d)
}

/// [`activation::sigmoid_q15`](super::super::activation::sigmoid_q15) of eight lanes.
#[inline]
#[target_feature(enable = "neon")]
fn sigmoid_q15_lanes(x: int16x8_t) -> int16x8_t {
    let u = vreinterpretq_u16_s16(vqabsq_s16(x)); // 32767 of -32768
    let t = vreinterpretq_s16_u16(veorq_u16(vshlq_n_u16::<4>(u), vdupq_n_u16(0x8000)));
    let d = distance::<3, 3>(&SIGMOID, vshrq_n_u16::<12>(u), t);
    vaddq_s16(vdupq_n_s16(16384), with_sign(d, x))
}

/// [`activation::tanh_q15`](super::super::activation::tanh_q15) of eight lanes.
#[inline]
#[target_feature(enable = "neon")]
fn tanh_q15_lanes(x: int16x8_t) -> int16x8_t {
    let u = vreinterpretq_u16_s16(vabsq_s16(x)); // 32768 of -32768
    let above_1 = vqsubq_u16(u, vdupq_n_u16(TANH_KNEE_1));
    let above_2 = vqsubq_u16(u, vdupq_n_u16(TANH_KNEE_2));
    let u = vsubq_u16(vsubq_u16(u, vshrq_n_u16::<1>(above_1)), vshrq_n_u16::<2>(above_2));
    let u = vminq_u16(u, vdupq_n_u16(TANH_TOP));
    let t = vreinterpretq_s16_u16(veorq_u16(vshlq_n_u16::<5>(u), vdupq_n_u16(0x8000)));
    with_sign(distance::<2, 2>(&TANH, vshrq_n_u16::<11>(u), t), x)
}

/// [`cell::lstm::cell_q15`](crate::kernels::cell::lstm::cell_q15) of eight units: `gates` is `[i, f, g, o]` in Q3.12.
#[inline]
#[target_feature(enable = "neon")]
fn cell_q15([i, f, g, o]: [int16x8_t; 4], h: &mut [i16; 8], c: &mut [i32; 8]) {
    let (i, f, o) = (sigmoid_q15_lanes(i), sigmoid_q15_lanes(f), sigmoid_q15_lanes(o));
    let g = tanh_q15_lanes(g);

    let ([c_low, c_high], []) = c.as_chunks_mut::<4>() else { unreachable!() };
    let rounding = vdupq_n_s32(3 << 10);
    let low = next_cell(
        load_i32(c_low),
        vshll_n_s16::<15>(vget_low_s16(f)),
        vmlal_s16(rounding, vget_low_s16(i), vget_low_s16(g)),
    );
    let high = next_cell(load_i32(c_high), vshll_high_n_s16::<15>(f), vmlal_high_s16(rounding, i, g));
    store_i32(c_low, low);
    store_i32(c_high, high);

    // sat16((c + 2^6) >> 7), which is how these two round.
    let tanh_c = tanh_q15_lanes(vqrshrn_high_n_s32::<7>(vqrshrn_n_s32::<7>(low), high));
    // (2 o tanh + 2^15) >> 16. No o is negative, so nothing saturates.
    store_i16(h, vqrdmulhq_s16(o, tanh_c));
}

/// `(((c * f) >> 16) << 1) + (ig >> 11)` of four units; `f` comes as `f << 15`, `ig` with its rounding inside.
#[inline]
#[target_feature(enable = "neon")]
fn next_cell(c: int32x4_t, f: int32x4_t, ig: int32x4_t) -> int32x4_t {
    // (2 c (f << 15)) >> 32. f << 15 is not negative, so nothing saturates.
    let kept = vqdmulhq_s32(c, f);
    vsraq_n_s32::<11>(vaddq_s32(kept, kept), ig)
}

/// Applies `$lanes` to a slice of any length, eight at a time.
macro_rules! in_place_i16 {
    ($x:ident, $lanes:ident) => {{
        let (blocks, rest) = $x.as_chunks_mut::<8>();
        for block in blocks {
            let y = $lanes(load_i16(block));
            store_i16(block, y);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let y = $lanes(load_i16(&last));
        store_i16(&mut last, y);
        rest.copy_from_slice(&last[..rest.len()]);
    }};
}

#[target_feature(enable = "neon")]
pub(super) fn sigmoid_q15(x: &mut [i16]) {
    in_place_i16!(x, sigmoid_q15_lanes);
}

#[target_feature(enable = "neon")]
pub(super) fn tanh_q15(x: &mut [i16]) {
    in_place_i16!(x, tanh_q15_lanes);
}

/// The exact dot product: pairs of products, each at most 2^30, are added up in 64 bits at once.
#[target_feature(enable = "neon")]
pub(super) fn dot_i16(w: &[i16], v: &[i16]) -> i64 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<8>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<8>();
    let mut sums = [vdupq_n_s64(0); 2];
    for (w, v) in w_blocks.iter().zip(v_blocks) {
        let (w, v) = (load_i16(w), load_i16(v));
        sums[0] = vpadalq_s32(sums[0], vmull_s16(vget_low_s16(w), vget_low_s16(v)));
        sums[1] = vpadalq_s32(sums[1], vmull_high_s16(w, v));
    }
    vaddvq_s64(vaddq_s64(sums[0], sums[1])) + scalar::dot_i16(w_rest, v_rest)
}
