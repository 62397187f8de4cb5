//! NEON on 64-bit Arm: 8 lanes of 16 bits for integers, 4 of 32 for floats; and the same with the dot products of ARMv8.2.
//!
//! NEON belongs to every processor that this module is compiled for, so that [`Neon`] needs no proof. [`NeonDot`] is one: it
//! exists only after the processor was asked for FEAT_DotProd. The two differ in one place, `integers::Products`.
//!
//! `unsafe` is open in this file for two things only. Vectors are loaded and stored through pointers, always inside a
//! slice whose length was just checked. And functions compiled for NEON are called from ordinary code, which the target allows.

#![allow(unsafe_code)]

mod floats;
mod int16;
mod integers;

use core::arch::aarch64::*;

use half::f16;

use super::{Backend, FeaturesFloat, FloatView, FloatWeight, RowsFloat, RowsI8, RowsI16, by_storage, scalar};

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

/// A call of a function of this folder.
macro_rules! hand_over {
    ($call:expr) => {
        // SAFETY: the function needs NEON and nothing else, and this module is compiled only for targets that have it.
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
                hand_over!(integers::lstm_i8::<_, 1>(self, gates, xh, h, c));
            }

            fn rows_i8(self, gates: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
                hand_over!(integers::rows_i8::<_, 1>(self, gates, x, out));
            }

            fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
                let _ = backwards;
                hand_over!(integers::lstm_i8::<_, 2>(self, gates, xh, h, c));
            }

            fn rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
                hand_over!(integers::rows_i8::<_, 2>(self, rows, x, out));
            }

            fn rows_i16(self, rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
                hand_over!(int16::rows(rows, x, out));
            }

            fn sigmoid_q15(self, x: &mut [i16]) {
                hand_over!(integers::sigmoid_q15(x));
            }

            fn tanh_q15(self, x: &mut [i16]) {
                hand_over!(integers::tanh_q15(x));
            }

            fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
                hand_over!(integers::dot_i16(w, v))
            }

            fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
                by_storage!(W::view(gates.weights), weights => {
                    hand_over!(floats::lstm_float(weights, gates.bias, xh, h, c))
                })
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
                let values = match x.view() {
                    FloatView::F32(values) => values,
                    FloatView::F16(row) => {
                        let Some(features) = xh.get_mut(..inputs) else { return };
                        self.widen_float(row, features);
                        &*features
                    }
                };
                let done = by_storage!(W::view(gates.weights), w => {
                    hand_over!(floats::small_step_float(w, gates.bias, values, columns, h, c))
                });
                if !done && self.join_float(x, xh, h) {
                    self.lstm_float(gates, xh, h, c);
                }
            }

            fn rows_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
                by_storage!(W::view(gates.weights), weights => {
                    hand_over!(floats::rows_float(weights, gates.bias, x, out))
                })
            }

            fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
                match W::view(x) {
                    FloatView::F32(x) => scalar::widen_float(x, out),
                    FloatView::F16(x) => hand_over!(floats::widen_f16(x, out)),
                }
            }

            fn sigmoid_f32(self, x: &mut [f32]) {
                hand_over!(floats::sigmoid_f32(x));
            }

            fn tanh_f32(self, x: &mut [f32]) {
                hand_over!(floats::tanh_f32(x));
            }

            fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
                by_storage!(W::view(w), w => hand_over!(floats::dot_f32(w, v)))
            }
        }
    };
}

backend!(Neon, "neon");
backend!(NeonDot, "neon-dot");

// ------------------------------------------------------------------------------------------------------------------------
// Loads and stores: the only places that touch memory through pointers, besides the rows of weights.

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
