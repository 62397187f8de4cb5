//! AVX-512: 32 lanes of 16 bits for integers, 16 of 32 for floats; with VNNI, 64 products of bytes in one instruction.
//!
//! [`Avx512`] has the floats and, for integers, what AVX2 has. [`Avx512Vnni`] multiplies bytes as they are: an instruction adds four products
//! of an unsigned and a signed byte to each of 16 sums, exactly. Signed times signed comes of it by an offset that is taken away again:
//!
//! ```text
//! image's order     sum of w x = sum of (w + 128) x - 128 sum of x            a lane is a gate and one of four columns' groups
//! packed            sum of w x = sum of w (x + 128) - 128 sum of w            a lane is a unit and a gate; the last term is packed too
//! ```
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

mod columns;
mod floats;
mod integers;

use core::arch::x86_64::*;

use super::super::cell::gru::{self, GruFloat, GruI8};
use super::super::{
    Backend, Features, FeaturesFloat, FloatView, FloatWeight, MANY, ProductFloat, RowsFloat, RowsI8, RowsI16,
    StreamFloat, StreamInt, by_storage, one_tile_after_the_other, scalar,
};
use super::as_avx2::as_avx2;
use super::bytes::{dot, rows_i8_with};
use super::gru::step_i8_with as gru_i8_with;
use super::{Avx2, int16};
use columns::{Columns, ROOM};
use floats::{lstm_f32, lstm_float_many, step_f32};
use integers::{Packed, check_lengths, lstm_i8, lstm_i8_many, pack, packed_bytes, sigmoid_q15, small_step, tanh_q15};

#[cfg(feature = "std")]
extern crate std;

/// Proof that this processor has AVX-512 F, BW, DQ and VL besides what [`Avx2`] asks for, and that the system saves the 512-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Avx512(Avx2);

impl Avx512 {
    /// The token, if this processor has all of them. Without the feature `std` there is none: nobody asks the processor there.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl");
        #[cfg(not(feature = "std"))]
        let found = false;
        Avx2::detect().filter(|_| found).map(Self)
    }
}

/// Proof of what [`Avx512`] proves and of VNNI, the products of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Avx512Vnni(Avx512);

impl Avx512Vnni {
    /// The token, if this processor has all of them.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avx512vnni");
        #[cfg(not(feature = "std"))]
        let found = false;
        Avx512::detect().filter(|_| found).map(Self)
    }
}

/// A trait method that hands over to a function of this folder.
macro_rules! hand_over {
    ($self:ident, $call:expr) => {{
        let _ = $self;
        // SAFETY: the function needs what the token in `self` proves and nothing else.
        unsafe { $call }
    }};
}

/// The methods in which both backends are alike: floats, activations and the small loops.
macro_rules! methods_of_avx512 {
    () => {
        fn widen_i8(self, x: &[i8], out: &mut [i16]) {
            hand_over!(self, widen_i8(x, out));
        }

        fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
            hand_over!(self, narrow_q15(h, out));
        }

        fn sigmoid_q15(self, x: &mut [i16]) {
            hand_over!(self, sigmoid_q15(x));
        }

        fn tanh_q15(self, x: &mut [i16]) {
            hand_over!(self, tanh_q15(x));
        }

        fn add_i16(self, sum: &mut [i32], h: &[i16]) {
            hand_over!(self, add_i16(sum, h));
        }

        fn max_i16(self, max: &mut [i16], h: &[i16]) {
            hand_over!(self, max_i16(max, h));
        }

        fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
            match W::view(gates.weights) {
                FloatView::F32(weights) => hand_over!(self, lstm_f32(weights, gates.bias, xh, h, c)),
                // Halves are widened eight at a time: the instruction for sixteen takes longer than twice that for eight.
                FloatView::F16(_) => self.avx2().lstm_float(gates, xh, h, c),
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
            if let (FloatView::F32(weights), FloatView::F32(x)) = (W::view(gates.weights), x.view()) {
                hand_over!(self, step_f32(weights, gates.bias, x, xh, h, c, backwards));
            } else {
                self.avx2().step_float(gates, x, xh, h, c, backwards);
            }
        }

        fn lstm_float_many<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]) {
            by_storage!(W::view(gates.weights), weights => {
                hand_over!(self, lstm_float_many(weights, gates.bias, streams))
            })
        }

        fn add_f32(self, sum: &mut [f32], h: &[f32]) {
            hand_over!(self, add_f32(sum, h));
        }

        fn max_f32(self, max: &mut [f32], h: &[f32]) {
            hand_over!(self, max_f32(max, h));
        }

        fn lstm_i16(self, gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
            hand_over!(self, int16::lstm_wide(gates, xh, h, c));
        }

        fn rows_i16(self, rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
            hand_over!(self, int16::rows_wide(rows, x, out));
        }

        as_avx2! {
            prefetch wants_aligned_weights
            lstm_i4 step_i4 rows_i4 add_rows_i4 gru_cell_i8 shift_q12 dot_i16
            rows_float add_rows_float rows_float_many rows_gain_together gru_float widen_float sigmoid_f32 tanh_f32 dot_f32
        }
    };
}

/// The coding of VNNI's product of 32 bytes that processors with AVX-512 have.
pub(super) struct Evex;

dot!(Evex, "avx2,avx512vnni,avx512vl", |sum, unsigned, signed| _mm256_dpbusd_epi32(sum, unsigned, signed));

#[target_feature(enable = "avx2,avx512vnni,avx512vl")]
fn rows_i8<const ADD: bool>(rows: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2 and the instruction.
    unsafe { rows_i8_with::<Evex, ADD>(rows, x, out) }
}

#[target_feature(enable = "avx2,avx512vnni,avx512vl")]
fn gru_i8(gru: &GruI8<'_>, x: Features<'_>, h: &mut [i16]) -> bool {
    // SAFETY: as above.
    unsafe { gru_i8_with::<Evex>(gru, x, h) }
}

impl Avx512 {
    fn avx2(self) -> Avx2 {
        self.0
    }
}

impl Avx512Vnni {
    fn avx2(self) -> Avx2 {
        self.0.avx2()
    }
}

impl Backend for Avx512 {
    fn name(self) -> &'static str {
        "avx512"
    }

    fn gains_together(self, units: usize, _: bool) -> bool {
        units > 32
    }

    as_avx2! { lstm_i8 step_i8 lstm_i8_many rows_i8 add_rows_i8 gru_i8 }
    methods_of_avx512!();
}

impl Backend for Avx512Vnni {
    fn name(self) -> &'static str {
        "avx512vnni"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        let mut columns = Columns::new();
        if hand_over!(self, columns.take(xh)) {
            hand_over!(self, lstm_i8(gates, &columns, xh.len(), h, c, false));
        } else {
            self.avx2().lstm_i8(gates, xh, h, c);
        }
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
        if matches!(h.len(), 16 | 32) && hand_over!(self, small_step(gates, x, h, c)) {
            return;
        }
        let mut columns = Columns::new();
        if hand_over!(self, columns.join(x, h, xh.len())) {
            hand_over!(self, lstm_i8(gates, &columns, xh.len(), h, c, backwards));
        }
    }

    fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        hand_over!(self, rows_i8::<false>(rows, x, out));
    }

    fn add_rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        hand_over!(self, rows_i8::<true>(rows, x, sums));
    }

    fn gru_i8(self, gru: &GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
        if !hand_over!(self, gru_i8(gru, x, h)) {
            gru::step(self, gru, x, scratch, h);
        }
    }

    fn gains_together(self, units: usize, integers: bool) -> bool {
        units > if integers { 64 } else { 32 }
    }

    fn lstm_i8_many(self, gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>]) {
        let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
        let Some(packed) = Packed::new(gates, columns).filter(|_| columns <= ROOM) else {
            return one_tile_after_the_other(gates, streams, |gates, xh, h, c| self.lstm_i8(gates, xh, h, c));
        };
        for streams in streams.chunks_mut(MANY) {
            let mut xh = [const { Columns::new() }; MANY];
            for (xh, stream) in xh.iter_mut().zip(&*streams) {
                check_lengths(gates, stream.xh.len(), stream.h.len(), stream.c.len());
                assert!(hand_over!(self, xh.take(stream.xh)) && stream.xh.len() == columns, "the same columns for all");
            }
            hand_over!(self, lstm_i8_many(&packed, gates, &xh, streams));
        }
    }

    fn packed_i8_bytes(self, units: usize, columns: usize) -> usize {
        packed_bytes(units, columns)
    }

    fn pack_i8(self, weights: &[i8], columns: usize, packed: &mut [u8]) {
        pack(weights, columns, packed);
    }

    methods_of_avx512!();
}

// ------------------------------------------------------------------------------------------------------------------------
// Loads and stores: the only places that touch memory through pointers, besides the rows of weights.

/// A load and a store of the beginning of a slice, by a mask where it is shorter than a vector. Without one where it is not: a load
/// cannot take over what a masked store before it has not yet brought to memory.
macro_rules! slices {
    ($load:ident, $store:ident, $element:ty, $lanes:literal, $vector:ty, $mask:ident,
     $loadu:ident, $masked_load:ident, $storeu:ident, $masked_store:ident) => {
        #[doc = concat!("Up to ", $lanes, " lanes from the beginning of a slice; zero beyond its end.")]
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn $load(x: &[$element]) -> $vector {
            if x.len() >= $lanes {
                // SAFETY: the slice has all the elements that are read; the load needs no alignment.
                unsafe { $loadu(x.as_ptr().cast()) }
            } else {
                // SAFETY: the mask has a bit for every element of the slice, and what has none is not read.
                unsafe { $masked_load($mask(x.len()), x.as_ptr().cast()) }
            }
        }

        #[doc = concat!("Writes up to ", $lanes, " lanes to the beginning of a slice.")]
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn $store(x: &mut [$element], value: $vector) {
            if x.len() >= $lanes {
                // SAFETY: the slice has all the elements that are written; the store needs no alignment.
                unsafe { $storeu(x.as_mut_ptr().cast(), value) }
            } else {
                // SAFETY: the mask has a bit for every element of the slice, and what has none is not written.
                unsafe { $masked_store(x.as_mut_ptr().cast(), $mask(x.len()), value) }
            }
        }
    };
}

#[rustfmt::skip]
slices!(load_i16, store_i16, i16, 32, __m512i, mask_32,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi16, _mm512_storeu_si512, _mm512_mask_storeu_epi16);
#[rustfmt::skip]
slices!(load_i16_16, store_i16_16, i16, 16, __m256i, mask_16,
    _mm256_loadu_si256, _mm256_maskz_loadu_epi16, _mm256_storeu_si256, _mm256_mask_storeu_epi16);
#[rustfmt::skip]
slices!(load_i16_8, store_i16_8, i16, 8, __m128i, mask_8,
    _mm_loadu_si128, _mm_maskz_loadu_epi16, _mm_storeu_si128, _mm_mask_storeu_epi16);
#[rustfmt::skip]
slices!(load_i32_8, store_i32_8, i32, 8, __m256i, mask_8,
    _mm256_loadu_si256, _mm256_maskz_loadu_epi32, _mm256_storeu_si256, _mm256_mask_storeu_epi32);
#[rustfmt::skip]
slices!(load_i32, store_i32, i32, 16, __m512i, mask_16,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi32, _mm512_storeu_si512, _mm512_mask_storeu_epi32);
#[rustfmt::skip]
slices!(load_f32_16, store_f32_16, f32, 16, __m512, mask_16,
    _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_storeu_ps, _mm512_mask_storeu_ps);

/// The lowest `count` bits of 32, all of them from 32 on.
#[inline(always)]
fn mask_32(count: usize) -> u32 {
    if count >= 32 { u32::MAX } else { (1 << count) - 1 }
}

/// The lowest `count` bits of 8, all of them from 8 on.
#[inline(always)]
fn mask_8(count: usize) -> u8 {
    if count >= 8 { u8::MAX } else { (1 << count) - 1 }
}

/// The lowest `count` bits of 16, all of them from 16 on.
#[inline(always)]
fn mask_16(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

// The loops below are plain enough for the compiler: inlined here, the reference is compiled for AVX-512.

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn widen_i8(x: &[i8], out: &mut [i16]) {
    scalar::widen_i8(x, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn narrow_q15(h: &[i16], out: &mut [i16]) {
    scalar::narrow_q15(h, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn add_i16(sum: &mut [i32], h: &[i16]) {
    scalar::add_i16(sum, h);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn max_i16(max: &mut [i16], h: &[i16]) {
    scalar::max_i16(max, h);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn add_f32(sum: &mut [f32], h: &[f32]) {
    scalar::add_f32(sum, h);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn max_f32(max: &mut [f32], h: &[f32]) {
    scalar::max_f32(max, h);
}
