//! AVX-VNNI: what AVX2 has, and 32 products of bytes in one instruction.
//!
//! The order and the signs are those of AVX2's [products of bytes](super::bytes), with one instruction in the place of three.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::cell::gru::GruFloat;
use super::super::{Backend, Features, FeaturesFloat, FloatWeight, RowsFloat, RowsI8, RowsI16, StreamFloat, StreamInt};
use super::Avx2;
use super::bytes::{Dot, lstm_i8_with, rows_i8_with, step_i8_with};

#[cfg(feature = "std")]
extern crate std;

/// Proof of what [`Avx2`] proves and of AVX-VNNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct AvxVnni(Avx2);

impl AvxVnni {
    /// The token, if this processor has both. Without the feature `std` there is none: nobody asks the processor there.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avxvnni");
        #[cfg(not(feature = "std"))]
        let found = false;
        Avx2::detect().filter(|_| found).map(Self)
    }
}

/// Methods that AVX2's backend has.
macro_rules! as_avx2 {
    ($($name:ident ( $($argument:ident : $type:ty),* ) $(-> $output:ty)?;)*) => {
        $(fn $name(self, $($argument: $type),*) $(-> $output)? {
            self.0.$name($($argument),*)
        })*
    };
}

impl Backend for AvxVnni {
    fn name(self) -> &'static str {
        "avxvnni"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        // SAFETY: the function needs AVX2 and AVX-VNNI; `self` exists only where `AvxVnni::detect` found both.
        unsafe { lstm_i8(gates, xh, h, c, false) };
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
        // SAFETY: as above.
        if !unsafe { step_i8(gates, xh.len(), x, h, c, backwards) } && self.join(x, xh, h) {
            // SAFETY: as above.
            unsafe { lstm_i8(gates, xh, h, c, backwards) };
        }
    }

    fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        // SAFETY: as above.
        unsafe { rows_i8::<false>(rows, x, out) };
    }

    fn add_rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        // SAFETY: as above.
        unsafe { rows_i8::<true>(rows, x, sums) };
    }

    as_avx2! {
        prefetch(soon: &[u8]);
        lstm_i4(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool);
        step_i4(gates: &RowsI8<'_>, x: Features<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool);
        rows_i4(rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]);
        add_rows_i4(rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]);
        lstm_i16(gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]);
        rows_i16(rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]);
        widen_i8(x: &[i8], out: &mut [i16]);
        narrow_q15(h: &[i16], out: &mut [i16]);
        shift_q12(sums: &[i32], shift: u32, out: &mut [i16]);
        gru_cell_i8(sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]);
        sigmoid_q15(x: &mut [i16]);
        tanh_q15(x: &mut [i16]);
        add_i16(sum: &mut [i32], h: &[i16]);
        max_i16(max: &mut [i16], h: &[i16]);
        dot_i16(w: &[i16], v: &[i16]) -> i64;
        sigmoid_f32(x: &mut [f32]);
        tanh_f32(x: &mut [f32]);
        add_f32(sum: &mut [f32], h: &[f32]);
        max_f32(max: &mut [f32], h: &[f32]);
    }

    fn lstm_i8_many(self, gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>]) {
        self.0.lstm_i8_many(gates, streams);
    }

    fn gains_together(self, units: usize, integers: bool) -> bool {
        // What several share is not what this has: a step alone multiplies bytes in one instruction.
        !integers && self.0.gains_together(units, integers)
    }

    fn wants_aligned_weights(self) -> bool {
        self.0.wants_aligned_weights()
    }

    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        self.0.lstm_float(gates, xh, h, c);
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
        self.0.step_float(gates, x, xh, h, c, backwards);
    }

    fn lstm_float_many<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]) {
        self.0.lstm_float_many(gates, streams);
    }

    fn rows_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
        self.0.rows_float(gates, x, out);
    }

    fn add_rows_float<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, x: &[f32], sums: &mut [f32]) {
        self.0.add_rows_float(rows, x, sums);
    }

    fn gru_float<W: FloatWeight>(
        self,
        gru: &GruFloat<'_, W>,
        x: FeaturesFloat<'_, W>,
        scratch: &mut [f32],
        h: &mut [f32],
    ) {
        self.0.gru_float(gru, x, scratch, h);
    }

    fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
        self.0.widen_float(x, out);
    }

    fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
        self.0.dot_f32(w, v)
    }
}

/// AVX-VNNI's coding of the instruction; AVX-512 has another.
struct Vex;

impl Dot for Vex {
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sum, unsigned, signed)
    }
}

#[target_feature(enable = "avx2,avxvnni")]
fn lstm_i8(gates: &RowsI8<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
    // SAFETY: this function was compiled for AVX2 and AVX-VNNI.
    unsafe { lstm_i8_with::<Vex>(gates, xh, h, c, backwards) }
}

#[target_feature(enable = "avx2,avxvnni")]
fn step_i8(gates: &RowsI8<'_>, columns: usize, x: Features<'_>, h: &mut [i16], c: &mut [i32], backwards: bool) -> bool {
    // SAFETY: as above.
    unsafe { step_i8_with::<Vex>(gates, columns, x, h, c, backwards) }
}

#[target_feature(enable = "avx2,avxvnni")]
fn rows_i8<const ADD: bool>(rows: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    // SAFETY: as above.
    unsafe { rows_i8_with::<Vex, ADD>(rows, x, out) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::Avx512Vnni;

    /// AVX-512's coding of the same instruction, so that processors which have only that one test everything else here.
    struct Evex;

    impl Dot for Evex {
        #[inline]
        #[target_feature(enable = "avx2,avx512vnni,avx512vl")]
        unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
            _mm256_dpbusd_epi32(sum, unsigned, signed)
        }
    }

    /// A backend whose integer step is this file's, with AVX-512's coding.
    #[derive(Clone, Copy)]
    pub(crate) struct Stand(Avx512Vnni);

    impl Stand {
        pub(crate) fn detect() -> Option<Self> {
            Avx512Vnni::detect().map(Self)
        }
    }

    impl Backend for Stand {
        fn name(self) -> &'static str {
            "avxvnni, coded for avx512"
        }

        fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
            #[target_feature(enable = "avx2,avx512vnni,avx512vl")]
            fn step(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
                // SAFETY: this function was compiled for AVX2 and the instruction's coding for AVX-512.
                unsafe { lstm_i8_with::<Evex>(gates, xh, h, c, false) }
            }
            // SAFETY: `Avx512Vnni` proves all three extensions.
            unsafe { step(gates, xh, h, c) };
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
            #[target_feature(enable = "avx2,avx512vnni,avx512vl")]
            fn step(
                gates: &RowsI8<'_>,
                columns: usize,
                x: Features<'_>,
                h: &mut [i16],
                c: &mut [i32],
                backwards: bool,
            ) -> bool {
                // SAFETY: as above.
                unsafe { step_i8_with::<Evex>(gates, columns, x, h, c, backwards) }
            }
            // SAFETY: as above.
            if !unsafe { step(gates, xh.len(), x, h, c, backwards) } && self.join(x, xh, h) {
                self.lstm_i8(gates, xh, h, c);
            }
        }

        fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
            #[target_feature(enable = "avx2,avx512vnni,avx512vl")]
            fn of(rows: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
                // SAFETY: as above.
                unsafe { rows_i8_with::<Evex, false>(rows, x, out) }
            }
            // SAFETY: as above.
            unsafe { of(rows, x, out) };
        }
    }
}
