//! AVX2 with FMA and F16C: 16 lanes of 16 bits for integers, 8 of 32 for floats.
//!
//! `unsafe` is open in this file for two things only. Vectors are loaded and stored through pointers, always inside a slice
//! whose length was just checked. And functions compiled for AVX2 are called from ordinary code, which the token [`Avx2`]
//! allows: it exists only after the processor was asked.

#![allow(unsafe_code)]

mod as_avx2;
mod avx512;
mod bytes;
mod floats;
mod gru;
mod int16;
mod integers;
mod many;
mod nibbles;
mod vnni;

use core::arch::x86_64::*;

use half::f16;

use super::cell::gru::{GruFloat, GruI8, step as step_gru};
use super::{
    Backend, Features, FeaturesFloat, FloatView, FloatWeight, ProductFloat, RowsFloat, RowsI8, RowsI16, StreamFloat,
    StreamInt, by_storage, one_tile_after_the_other, scalar,
};

pub use avx512::{Avx512, Avx512Vnni};
pub use vnni::AvxVnni;
#[cfg(test)]
pub(crate) use vnni::tests::Stand;

#[cfg(feature = "std")]
extern crate std;

/// Proof that this processor has AVX2, FMA and F16C, and that the system saves the 256-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Avx2(());

impl Avx2 {
    /// The token, if this processor has all three extensions.
    ///
    /// With feature `std` the answer is remembered by the standard library; without it the processor is asked each time.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("f16c");
        #[cfg(not(feature = "std"))]
        let found = processor_has_avx2();
        found.then_some(Self(()))
    }
}

/// Asks `cpuid` for the extensions and `xgetbv` whether the system saves the registers.
#[cfg(any(test, not(feature = "std")))]
fn processor_has_avx2() -> bool {
    const FMA: u32 = 1 << 12;
    const OSXSAVE: u32 = 1 << 27;
    const AVX: u32 = 1 << 28;
    const F16C: u32 = 1 << 29;
    const AVX2: u32 = 1 << 5;
    const XMM_AND_YMM: u64 = 0b110;

    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: register 0 exists wherever xgetbv does.
        unsafe { _xgetbv(0) }
    }

    if __cpuid(0).eax < 7 {
        return false;
    }
    let features = __cpuid(1).ecx;
    let wanted = FMA | OSXSAVE | AVX | F16C;
    if features & wanted != wanted || __cpuid_count(7, 0).ebx & AVX2 == 0 {
        return false;
    }
    // SAFETY: OSXSAVE says that the processor has xsave and that the system switched xgetbv on.
    unsafe { enabled_state() & XMM_AND_YMM == XMM_AND_YMM }
}

/// A trait method that hands over to a function of this folder.
macro_rules! hand_over {
    ($self:ident, $call:expr) => {{
        let Avx2(()) = $self;
        // SAFETY: the function needs AVX2, FMA and F16C and nothing else; `self` exists only where `Avx2::detect` found them.
        unsafe { $call }
    }};
}

impl Backend for Avx2 {
    fn name(self) -> &'static str {
        "avx2"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        hand_over!(self, bytes::lstm_i8(gates, xh, h, c, false));
    }

    fn lstm_i8_many(self, gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>]) {
        if !hand_over!(self, many::lstm_i8(gates, streams)) {
            one_tile_after_the_other(gates, streams, |gates, xh, h, c| self.lstm_i8(gates, xh, h, c));
        }
    }

    fn gains_together(self, units: usize, integers: bool) -> bool {
        !integers || units > 32
    }

    fn lstm_i16(self, gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
        hand_over!(self, int16::lstm(gates, xh, h, c));
    }

    fn rows_i16(self, rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
        hand_over!(self, int16::rows(rows, x, out));
    }

    fn prefetch(self, soon: &[u8]) {
        for line in soon.chunks(64) {
            // SAFETY: a hint that reads nothing and faults nowhere, on every x86-64 processor; the address is the slice's own besides.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
        }
    }

    fn rows_i8(self, gates: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        hand_over!(self, bytes::rows_i8::<false>(gates, x, out));
    }

    fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
        hand_over!(self, nibbles::lstm_i4(gates, xh, h, c, backwards));
    }

    fn step_i4(
        self,
        gates: &RowsI8<'_>,
        x: Features<'_>,
        xh: &mut [i16],
        h: &mut [i16],
        c: &mut [i32],
        backwards: bool,
    ) {
        if !hand_over!(self, nibbles::step_i4(gates, xh.len(), x, h, c, backwards)) && self.join(x, xh, h) {
            hand_over!(self, nibbles::lstm_i4(gates, xh, h, c, backwards));
        }
    }

    fn rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        hand_over!(self, nibbles::rows_i4::<false>(rows, x, out));
    }

    fn add_rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        hand_over!(self, nibbles::rows_i4::<true>(rows, x, sums));
    }

    fn add_rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        hand_over!(self, bytes::rows_i8::<true>(rows, x, sums));
    }

    fn step_i8(
        self,
        gates: &RowsI8<'_>,
        x: Features<'_>,
        xh: &mut [i16],
        h: &mut [i16],
        c: &mut [i32],
        backwards: bool,
    ) {
        if !hand_over!(self, bytes::step_i8(gates, xh.len(), x, h, c, backwards)) && self.join(x, xh, h) {
            hand_over!(self, bytes::lstm_i8(gates, xh, h, c, backwards));
        }
    }

    fn widen_i8(self, x: &[i8], out: &mut [i16]) {
        hand_over!(self, integers::widen_i8(x, out));
    }

    fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
        hand_over!(self, integers::narrow_q15(h, out));
    }

    fn shift_q12(self, sums: &[i32], shift: u32, out: &mut [i16]) {
        hand_over!(self, integers::shift_q12(sums, shift, out));
    }

    fn gru_i8(self, gru: &GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
        if !hand_over!(self, gru::step_i8(gru, x, h)) {
            step_gru(self, gru, x, scratch, h);
        }
    }

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        hand_over!(self, integers::gru_cell_i8(self, sums, n, shift, h));
    }

    fn sigmoid_q15(self, x: &mut [i16]) {
        hand_over!(self, integers::sigmoid_q15(x));
    }

    fn tanh_q15(self, x: &mut [i16]) {
        hand_over!(self, integers::tanh_q15(x));
    }

    fn add_i16(self, sum: &mut [i32], h: &[i16]) {
        hand_over!(self, integers::add_i16(sum, h));
    }

    fn max_i16(self, max: &mut [i16], h: &[i16]) {
        hand_over!(self, integers::max_i16(max, h));
    }

    fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
        hand_over!(self, integers::dot_i16(w, v))
    }

    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        by_storage!(W::view(gates.weights), weights => {
            hand_over!(self, floats::lstm_float(weights, gates.bias, xh, h, c, false))
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
        let values = match x.view() {
            FloatView::F32(values) => (Some(values), values.len()),
            FloatView::F16(row) => {
                let Some(features) = xh.get_mut(..row.len()) else { return };
                self.widen_float(row, features);
                (None, row.len())
            }
        };
        by_storage!(W::view(gates.weights), w => {
            hand_over!(self, floats::step_float(w, gates.bias, values, xh, (h, c), backwards))
        })
    }

    fn lstm_float_many<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]) {
        by_storage!(W::view(gates.weights), weights => {
            hand_over!(self, many::lstm_float(weights, gates.bias, streams))
        })
    }

    fn wants_aligned_weights(self) -> bool {
        true
    }

    fn rows_float<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
        by_storage!(W::view(rows.weights), weights => {
            hand_over!(self, floats::rows_float::<_, false>(weights, rows.bias, x, out))
        })
    }

    fn add_rows_float<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, x: &[f32], sums: &mut [f32]) {
        by_storage!(W::view(rows.weights), weights => {
            hand_over!(self, floats::rows_float::<_, true>(weights, &[], x, sums))
        })
    }

    fn rows_float_many<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, products: &mut [ProductFloat<'_>], add: bool) {
        by_storage!(W::view(rows.weights), weights => {
            if add {
                hand_over!(self, many::rows_float::<_, true>(weights, &[], products))
            } else {
                hand_over!(self, many::rows_float::<_, false>(weights, rows.bias, products))
            }
        })
    }

    fn rows_gain_together(self, weights: usize) -> bool {
        // More than the nearest cache keeps beside all else.
        weights > 8192
    }

    fn gru_float<W: FloatWeight>(
        self,
        gru: &GruFloat<'_, W>,
        x: FeaturesFloat<'_, W>,
        scratch: &mut [f32],
        h: &mut [f32],
    ) {
        let lanes = h.len();
        let (kernel, recurrent) = (&gru.kernel, &gru.recurrent);
        let Some((sums, rest)) = scratch.split_at_mut_checked(3 * lanes) else { return };
        let Some((room, rest)) = rest.split_at_mut_checked(lanes) else { return };
        let x = match x.view() {
            FloatView::F32(x) => x,
            FloatView::F16(row) => {
                let Some(columns) = rest.get_mut(..row.len()) else { return };
                self.widen_float(row, columns);
                &*columns
            }
        };
        let biases = (kernel.bias, recurrent.bias);
        match (W::view(kernel.weights), W::view(recurrent.weights)) {
            (FloatView::F32(k), FloatView::F32(r)) => {
                hand_over!(self, floats::gru_float((k, biases.0), (r, biases.1), gru.reset, x, (sums, room), h));
            }
            (FloatView::F16(k), FloatView::F16(r)) => {
                hand_over!(self, floats::gru_float((k, biases.0), (r, biases.1), gru.reset, x, (sums, room), h));
            }
            _ => {} // both are of the type W
        }
    }

    fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
        match W::view(x) {
            FloatView::F32(x) => scalar::widen_float(x, out),
            FloatView::F16(x) => hand_over!(self, floats::widen_f16(x, out)),
        }
    }

    fn sigmoid_f32(self, x: &mut [f32]) {
        hand_over!(self, floats::sigmoid_f32(x));
    }

    fn tanh_f32(self, x: &mut [f32]) {
        hand_over!(self, floats::tanh_f32(x));
    }

    fn add_f32(self, sum: &mut [f32], h: &[f32]) {
        hand_over!(self, integers::add_f32(sum, h));
    }

    fn max_f32(self, max: &mut [f32], h: &[f32]) {
        hand_over!(self, integers::max_f32(max, h));
    }

    fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
        by_storage!(W::view(w), w => hand_over!(self, floats::dot_f32(w, v)))
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Loads and stores: the only places that touch memory through pointers.

/// Sixteen 16-bit lanes of an array.
#[inline]
#[target_feature(enable = "avx2")]
fn load_i16(x: &[i16; 16]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

/// Writes sixteen 16-bit lanes to an array.
#[inline]
#[target_feature(enable = "avx2")]
fn store_i16(x: &mut [i16; 16], value: __m256i) {
    // SAFETY: the array has the 32 bytes that are written; the store needs no alignment.
    unsafe { _mm256_storeu_si256(x.as_mut_ptr().cast(), value) }
}

/// Eight 32-bit lanes of an array.
#[inline]
#[target_feature(enable = "avx2")]
fn load_i32(x: &[i32; 8]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

/// Writes eight 32-bit lanes to an array.
#[inline]
#[target_feature(enable = "avx2")]
fn store_i32(x: &mut [i32; 8], value: __m256i) {
    // SAFETY: the array has the 32 bytes that are written; the store needs no alignment.
    unsafe { _mm256_storeu_si256(x.as_mut_ptr().cast(), value) }
}

/// Eight 16-bit lanes of an array.
#[inline]
#[target_feature(enable = "avx2")]
fn load_half_i16<T: bytemuck::Pod>(x: &[T; 8]) -> __m128i {
    const { assert!(size_of::<T>() == 2) };
    // SAFETY: the array has the 16 bytes that are read, by the line above; the load needs no alignment.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

/// Eight floats of an array.
#[inline]
#[target_feature(enable = "avx2")]
fn load_f32(x: &[f32; 8]) -> __m256 {
    // SAFETY: the array has the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

/// Writes eight floats to an array.
#[inline]
#[target_feature(enable = "avx2")]
fn store_f32(x: &mut [f32; 8], value: __m256) {
    // SAFETY: the array has the 32 bytes that are written; the store needs no alignment.
    unsafe { _mm256_storeu_ps(x.as_mut_ptr(), value) }
}

/// A stored weight of which eight become one vector of floats.
trait Lanes: FloatWeight {
    /// Streams that step together: as many as leave registers for four vectors of sums each, the weights and what it takes to widen them.
    const TOGETHER: usize;

    /// Eight weights as floats.
    ///
    /// # Safety
    ///
    /// The processor has AVX2 and F16C, and eight weights are readable at `at`, at any alignment.
    unsafe fn load8(at: *const Self) -> __m256;
}

impl Lanes for f32 {
    const TOGETHER: usize = 3;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(at: *const Self) -> __m256 {
        // SAFETY: eight floats are readable at `at`, as the trait demands of the caller.
        unsafe { _mm256_loadu_ps(at) }
    }
}

impl Lanes for f16 {
    const TOGETHER: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(at: *const Self) -> __m256 {
        // SAFETY: eight 16-bit weights are readable at `at`, as the trait demands of the caller.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Avx2, processor_has_avx2};

    #[test]
    fn detection_with_and_without_std_agrees() {
        assert_eq!(Avx2::detect().is_some(), processor_has_avx2());
    }
}
