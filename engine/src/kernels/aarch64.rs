//! NEON on 64-bit Arm: 8 lanes of 16 bits for integers, 4 of 32 for floats; and the same with the dot products of ARMv8.2.
//!
//! NEON belongs to every processor that this file is compiled for, so that [`Neon`] needs no proof. [`NeonDot`] is one: it
//! exists only after the processor was asked for FEAT_DotProd. The two differ in one place, [`Products`].
//!
//! `unsafe` is open in this file for three things only. Vectors are loaded and stored through pointers, always inside a
//! slice whose length was just checked. Functions compiled for NEON are called from ordinary code, which the target allows.
//! And `sdot` is written in assembly, because stable Rust has no name for it; only a [`NeonDot`] comes there.

#![allow(unsafe_code)]

mod int16;

use core::arch::aarch64::*;
use core::arch::asm;
use core::array;

use half::f16;

use super::activation::{
    EXPM1, LN2_HIGH, LN2_LOW, ROUND, SIGMOID, SIGMOID_LOWEST, Segments, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_LOWEST,
    TANH_TOP,
};
use super::cell::lstm;
use super::{Backend, FeaturesFloat, FloatView, FloatWeight, RowsFloat, RowsI8, RowsI16, scalar};

#[cfg(feature = "std")]
extern crate std;

/// The backend of every 64-bit Arm processor with vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Neon;

/// Proof that this processor has FEAT_DotProd beside NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct NeonDot(());

impl NeonDot {
    /// The token, if this processor has the extension.
    ///
    /// With feature `std` the system is asked, and the standard library remembers the answer. Without it there is nobody to
    /// ask, and the answer is whether the program was compiled for processors that all have it (`-C target-feature=+dotprod`).
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::arch::is_aarch64_feature_detected!("dotprod");
        #[cfg(not(feature = "std"))]
        let found = cfg!(target_feature = "dotprod");
        found.then_some(Self(()))
    }
}

/// A call of a function in this file.
macro_rules! hand_over {
    ($call:expr) => {
        // SAFETY: the function needs NEON and nothing else, and this file is compiled only for targets that have it.
        unsafe { $call }
    };
}

/// The kernels of a token of this file. Those that are absent are loops plain enough for the compiler: the reference, compiled for a
/// target that has NEON, is made of the vectors that one would write.
macro_rules! backend {
    ($token:ty, $name:literal) => {
        impl Backend for $token {
            fn name(self) -> &'static str {
                $name
            }

            fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
                hand_over!(lstm_i8::<_, 1>(self, gates, xh, h, c));
            }

            fn rows_i8(self, gates: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
                hand_over!(rows_i8::<_, 1>(self, gates, x, out));
            }

            fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
                let _ = backwards;
                hand_over!(lstm_i8::<_, 2>(self, gates, xh, h, c));
            }

            fn rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
                hand_over!(rows_i8::<_, 2>(self, rows, x, out));
            }

            fn rows_i16(self, rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
                hand_over!(int16::rows(rows, x, out));
            }

            fn sigmoid_q15(self, x: &mut [i16]) {
                hand_over!(sigmoid_q15(x));
            }

            fn tanh_q15(self, x: &mut [i16]) {
                hand_over!(tanh_q15(x));
            }

            fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
                hand_over!(dot_i16(w, v))
            }

            fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
                match W::view(gates.weights) {
                    FloatView::F32(weights) => hand_over!(lstm_float(weights, gates.bias, xh, h, c)),
                    FloatView::F16(weights) => hand_over!(lstm_float(weights, gates.bias, xh, h, c)),
                }
            }

            fn step_float<W: FloatWeight>(
                self,
                gates: &RowsFloat<'_, W>,
                x: FeaturesFloat<'_, W>,
                xh: &mut [f32],
                h: &mut [f32],
                c: &mut [f32],
                backwards: bool,
            ) {
                let _ = backwards;
                let (columns, inputs) = (xh.len(), x.len());
                let features = match x {
                    FeaturesFloat::Row(row) => W::view(row),
                    FeaturesFloat::Hidden(hidden) => FloatView::F32(hidden),
                };
                let values = match features {
                    FloatView::F32(values) => values,
                    FloatView::F16(row) => {
                        let Some(features) = xh.get_mut(..inputs) else { return };
                        self.widen_float(row, features);
                        &*features
                    }
                };
                let done = match W::view(gates.weights) {
                    FloatView::F32(w) => hand_over!(small_step_float(w, gates.bias, values, columns, h, c)),
                    FloatView::F16(w) => hand_over!(small_step_float(w, gates.bias, values, columns, h, c)),
                };
                if !done && self.join_float(x, xh, h) {
                    self.lstm_float(gates, xh, h, c);
                }
            }

            fn rows_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
                match W::view(gates.weights) {
                    FloatView::F32(weights) => hand_over!(rows_float(weights, gates.bias, x, out)),
                    FloatView::F16(weights) => hand_over!(rows_float(weights, gates.bias, x, out)),
                }
            }

            fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
                match W::view(x) {
                    FloatView::F32(x) => scalar::widen_float(x, out),
                    FloatView::F16(x) => hand_over!(widen_f16(x, out)),
                }
            }

            fn sigmoid_f32(self, x: &mut [f32]) {
                hand_over!(sigmoid_f32(x));
            }

            fn tanh_f32(self, x: &mut [f32]) {
                hand_over!(tanh_f32(x));
            }

            fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
                match W::view(w) {
                    FloatView::F32(w) => hand_over!(dot_f32(w, v)),
                    FloatView::F16(w) => hand_over!(dot_f32(w, v)),
                }
            }
        }
    };
}

backend!(Neon, "neon");
backend!(NeonDot, "neon-dot");

// ------------------------------------------------------------------------------------------------------------------------
// Loads and stores: the only places that touch memory through pointers, with `rows` below.

/// Eight 16-bit lanes of an array.
#[inline]
#[target_feature(enable = "neon")]
fn load_i16(x: &[i16; 8]) -> int16x8_t {
    // SAFETY: the array has the 16 bytes that are read; the load needs no alignment beyond the element's.
    unsafe { vld1q_s16(x.as_ptr()) }
}

/// Writes eight 16-bit lanes to an array.
#[inline]
#[target_feature(enable = "neon")]
fn store_i16(x: &mut [i16; 8], value: int16x8_t) {
    // SAFETY: the array has the 16 bytes that are written; the store needs no alignment beyond the element's.
    unsafe { vst1q_s16(x.as_mut_ptr(), value) }
}

/// Four 16-bit lanes of an array.
#[inline]
#[target_feature(enable = "neon")]
fn load_half_i16(x: &[i16; 4]) -> int16x4_t {
    // SAFETY: the array has the 8 bytes that are read; the load needs no alignment beyond the element's.
    unsafe { vld1_s16(x.as_ptr()) }
}

/// Four 16-bit lanes of an array.
#[inline]
#[target_feature(enable = "neon")]
fn load_half_u16(x: &[u16; 4]) -> uint16x4_t {
    // SAFETY: the array has the 8 bytes that are read; the load needs no alignment beyond the element's.
    unsafe { vld1_u16(x.as_ptr()) }
}

/// Four 32-bit lanes of an array.
#[inline]
#[target_feature(enable = "neon")]
fn load_i32(x: &[i32; 4]) -> int32x4_t {
    // SAFETY: the array has the 16 bytes that are read; the load needs no alignment beyond the element's.
    unsafe { vld1q_s32(x.as_ptr()) }
}

/// Writes four 32-bit lanes to an array.
#[inline]
#[target_feature(enable = "neon")]
fn store_i32(x: &mut [i32; 4], value: int32x4_t) {
    // SAFETY: the array has the 16 bytes that are written; the store needs no alignment beyond the element's.
    unsafe { vst1q_s32(x.as_mut_ptr(), value) }
}

/// Eight floats, four to a vector.
type Float8 = [float32x4_t; 2];

/// A stored weight of which eight become two vectors of floats.
trait Lanes: FloatWeight {
    /// Eight weights as floats, exact.
    fn load8(weights: &[Self; 8]) -> Float8;
}

impl Lanes for f32 {
    #[inline(always)]
    fn load8(weights: &[Self; 8]) -> Float8 {
        // SAFETY: NEON belongs to the target. Each load reads 16 of the array's 32 bytes, from its start and from its middle.
        unsafe { [vld1q_f32(weights.as_ptr()), vld1q_f32(weights.as_ptr().add(4))] }
    }
}

impl Lanes for f16 {
    #[inline(always)]
    fn load8(weights: &[Self; 8]) -> Float8 {
        // SAFETY: NEON belongs to the target. The array has the 16 bytes that are read, and an `f16` is a `u16` in memory.
        unsafe {
            let halves = vreinterpretq_f16_u16(vld1q_u16(weights.as_ptr().cast()));
            [vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)]
        }
    }
}

/// Writes eight floats to an array.
#[inline]
#[target_feature(enable = "neon")]
fn store_f32(x: &mut [f32; 8], [low, high]: Float8) {
    let ([x_low, x_high], []) = x.as_chunks_mut::<4>() else { unreachable!() };
    // SAFETY: each array has the 16 bytes that are written; the stores need no alignment beyond the element's.
    unsafe {
        vst1q_f32(x_low.as_mut_ptr(), low);
        vst1q_f32(x_high.as_mut_ptr(), high);
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Integers.

/// How a backend multiplies 16 weights, `[gate][4 columns]`, by 4 columns. Exact, and added up modulo 2^32.
trait Products: Copy {
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
fn lstm_i8<P: Products, const PER: usize>(products: P, gates: &RowsI8<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
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
fn rows_i8<P: Products, const PER: usize>(products: P, gates: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
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

/// [`activation::sigmoid_q15`](super::activation::sigmoid_q15) of eight lanes.
#[inline]
#[target_feature(enable = "neon")]
fn sigmoid_q15_lanes(x: int16x8_t) -> int16x8_t {
    let u = vreinterpretq_u16_s16(vqabsq_s16(x)); // 32767 of -32768
    let t = vreinterpretq_s16_u16(veorq_u16(vshlq_n_u16::<4>(u), vdupq_n_u16(0x8000)));
    let d = distance::<3, 3>(&SIGMOID, vshrq_n_u16::<12>(u), t);
    vaddq_s16(vdupq_n_s16(16384), with_sign(d, x))
}

/// [`activation::tanh_q15`](super::activation::tanh_q15) of eight lanes.
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
fn sigmoid_q15(x: &mut [i16]) {
    in_place_i16!(x, sigmoid_q15_lanes);
}

#[target_feature(enable = "neon")]
fn tanh_q15(x: &mut [i16]) {
    in_place_i16!(x, tanh_q15_lanes);
}

/// The exact dot product: pairs of products, each at most 2^30, are added up in 64 bits at once.
#[target_feature(enable = "neon")]
fn dot_i16(w: &[i16], v: &[i16]) -> i64 {
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

// ------------------------------------------------------------------------------------------------------------------------
// Floats.

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

/// [`activation::sigmoid_f32`](super::activation::sigmoid_f32) of four lanes.
#[inline]
#[target_feature(enable = "neon")]
fn sigmoid_f32_lanes(x: float32x4_t) -> float32x4_t {
    // The maximum of a NaN and a number is NaN.
    let (s, p) = exp_parts(vmaxq_f32(vnegq_f32(vabsq_f32(x)), vdupq_n_f32(SIGMOID_LOWEST)));
    let e = vfmaq_f32(s, s, p);
    let one = vdupq_n_f32(1.0);
    vdivq_f32(vbslq_f32(vcltzq_f32(x), e, one), vaddq_f32(one, e))
}

/// [`activation::tanh_f32`](super::activation::tanh_f32) of four lanes.
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
fn sigmoid_f32(x: &mut [f32]) {
    in_place_f32!(x, sigmoid_f32_lanes);
}

#[target_feature(enable = "neon")]
fn tanh_f32(x: &mut [f32]) {
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
fn lstm_float<W: Lanes>(weights: &[W], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
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
fn small_step_float<W: Lanes>(
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

/// `(e^(k x) - 1, e^(k x) + 1)` of four lanes, with `|k x|` held below `TOP`; `K` is -1 or 2. The arrangement is that of AVX-512's function of this name.
#[inline]
#[target_feature(enable = "neon")]
fn exp_less_and_more<const K: i32, const TOP: i32>(x: float32x4_t) -> (float32x4_t, float32x4_t) {
    const { assert!(K == -1 || K == 2) };
    let set = |value: f32| vdupq_n_f32(value);
    let k = K as f32;
    // With the exponent's bias in the constant, the low bits are those of s.
    let round = set(ROUND + 127.0);
    let top = TOP as f32 / k.abs();
    // The maximum and the minimum of a NaN and a number are NaN.
    let x = vminq_f32(vmaxq_f32(x, set(-top)), set(top));
    let shifted = vfmaq_f32(round, x, set(k * core::f32::consts::LOG2_E));
    let n = vsubq_f32(shifted, round);
    let r = vfmsq_f32(x, n, set(core::f32::consts::LN_2 / k));
    let s = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(shifted)));
    // p = k r + (k r)^2 (q0 + q1 k r + q2 (k r)^2 + (k r)^3 (q3 + q4 k r)), as a tree.
    let [q0, q1, q2, q3, q4] = EXPM1;
    let r2 = vmulq_f32(r, r);
    let low = vfmaq_f32(set(k * k * q0), set(k * k * k * q1), r);
    let high = vfmaq_f32(set(k * k * k * k * q2), set(k * k * k * k * k * q3), r);
    let low = vfmaq_f32(vmulq_f32(r, set(k)), low, r2);
    let high = vfmaq_f32(high, set(k * k * k * k * k * k * q4), r2);
    let p = vfmaq_f32(low, high, vmulq_f32(r2, r2));
    let one = set(1.0);
    (vfmaq_f32(vsubq_f32(s, one), s, p), vfmaq_f32(vaddq_f32(s, one), s, p))
}

/// `1 / sigmoid(x)`, 1 + e^30 at most.
#[inline]
#[target_feature(enable = "neon")]
fn over_sigmoid(x: float32x4_t) -> float32x4_t {
    exp_less_and_more::<-1, 30>(x).1
}

/// `(a, b)` with `tanh(x) = a / b`.
#[inline]
#[target_feature(enable = "neon")]
fn tanh_parts(x: float32x4_t) -> (float32x4_t, float32x4_t) {
    exp_less_and_more::<2, 20>(x)
}

/// 2^-80: a state below it is set to zero. No gate is below 1 / (1 + e^30), which is above 2^-44, so that an h that comes of such a state and a gate does not
/// become subnormal either.
const TINY: f32 = f32::from_bits((127 - 80) << 23);

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
fn rows_float<W: Lanes>(weights: &[W], bias: &[f32], x: &[f32], out: &mut [f32]) {
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
fn widen_f16(x: &[f16], out: &mut [f32]) {
    let length = x.len().min(out.len());
    let (blocks, rest) = x[..length].as_chunks::<8>();
    let (out_blocks, out_rest) = out[..length].as_chunks_mut::<8>();
    for (out, x) in out_blocks.iter_mut().zip(blocks) {
        store_f32(out, f16::load8(x));
    }
    scalar::widen_float(rest, out_rest);
}

#[target_feature(enable = "neon")]
fn dot_f32<W: Lanes>(w: &[W], v: &[f32]) -> f32 {
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

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;
    use std::{env, vec};

    use half::f16;

    use super::NeonDot;
    use crate::kernels::{AnyBackend, Backend, FloatWeight, Packed, RowsFloat, RowsI8, Scalar, dispatch};

    /// The processor's own word, which Linux lets a program read.
    #[cfg(target_os = "linux")]
    #[test]
    fn neon_dot_is_found_where_the_processor_s_register_says_so() {
        let features: u64;
        // SAFETY: Linux answers for this register, ID_AA64ISAR0_EL1, wherever a program reads it; nothing else is touched.
        unsafe {
            core::arch::asm!("mrs {}, S3_0_C0_C6_0", out(reg) features, options(nomem, nostack, preserves_flags))
        };
        const DOT_PRODUCT: u64 = 44;
        assert_eq!(NeonDot::detect().is_some(), features >> DOT_PRODUCT & 0xf != 0);
    }

    /// `LATCH_EXPECT_BACKENDS`, from who runs the tests, has the names with a space between them.
    #[test]
    fn the_processor_has_the_backends_that_who_runs_the_tests_expects() {
        let names: Vec<&str> = AnyBackend::all().map(AnyBackend::name).collect();
        std::println!("backends: {}", names.join(" "));
        let base = ["scalar", "neon"];
        match env::var("LATCH_EXPECT_BACKENDS") {
            Ok(expected) => assert_eq!(expected, names.join(" ")),
            Err(_) => assert!(names == base || names == [&base[..], &["neon-dot"]].concat(), "{names:?}"),
        }
    }

    /// Numbers that look like noise, from 0 on.
    fn noise(count: usize) -> impl Iterator<Item = u32> {
        (0..count as u32).map(|n| (n ^ 0x5bd1).wrapping_mul(0x9e37_79b9) >> 7)
    }

    #[test]
    fn what_the_features_give_to_integer_gates_is_the_references_for_every_shape() {
        for (units, columns) in (0..=20).flat_map(|units| (0..=72).step_by(4).map(move |columns| (units, columns))) {
            let weights: Vec<i8> = noise(4 * units * columns).map(|n| n as i8).collect();
            let multiplier: Vec<u16> = noise(4 * units).map(|n| n as u16).collect();
            let bias: Vec<i32> = noise(4 * units).map(|n| (n << 9) as i32).collect();
            let mut x: Vec<i16> = noise(columns).map(|n| i16::from(n as i8)).collect();
            let gates =
                RowsI8 { weights: &weights, multiplier: &multiplier, bias: &bias, shift: 0, packed: Packed::NONE };
            let mut expected = vec![1; 4 * units];
            Scalar.rows_i8(&gates, &mut x, &mut expected);
            for any in AnyBackend::all() {
                let mut out = vec![1; 4 * units];
                dispatch!(any, backend => backend.rows_i8(&gates, &mut x, &mut out));
                assert!(out == expected, "{}, {units} units, {columns} columns", any.name());
            }
        }
    }

    fn float_gates_are_close<W: FloatWeight>(blocks: usize, columns: usize, weight: fn(f32) -> W) {
        let float = |n: u32| (n % 2001) as f32 / 1000.0 - 1.0;
        let weights: Vec<W> = noise(32 * blocks * columns).map(|n| weight(float(n))).collect();
        let bias: Vec<f32> = noise(32 * blocks).map(float).collect();
        let x: Vec<f32> = noise(columns).map(float).collect();
        let gates = RowsFloat { weights: &weights, bias: &bias };
        let mut expected = vec![9.0; 32 * blocks];
        Scalar.rows_float(&gates, &x, &mut expected);
        for any in AnyBackend::all() {
            let mut out = vec![9.0; 32 * blocks];
            dispatch!(any, backend => backend.rows_float(&gates, &x, &mut out));
            // Up to 41 terms below 1, one rounding each, on both sides.
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 2.0 * 41.0 * 41.0 * f32::EPSILON;
            assert!(out.iter().zip(&expected).all(close), "{}, {blocks} blocks, {columns} columns", any.name());
        }
    }

    #[test]
    fn what_the_features_give_to_float_gates_is_close_to_the_reference_for_every_shape() {
        for (blocks, columns) in (0..=5).flat_map(|blocks| (0..=40).map(move |columns| (blocks, columns))) {
            float_gates_are_close(blocks, columns, |w| w);
            float_gates_are_close(blocks, columns, f16::from_f32);
        }
    }
}
