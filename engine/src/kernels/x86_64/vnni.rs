//! AVX-VNNI: what AVX2 has, and 32 products of bytes in one instruction.
//!
//! The order and the signs are those of AVX2's [products of bytes](super::bytes), with one instruction in the place of three.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::cell::gru::{self, GruFloat, GruI8};
use super::super::{
    Backend, Features, FeaturesFloat, FloatWeight, ProductFloat, RowsFloat, RowsI8, RowsI16, StreamFloat, StreamInt,
};
use super::Avx2;
use super::as_avx2::as_avx2;
use super::bytes::{dot, lstm_i8_with, rows_i8_with, step_i8_with};
use super::gru::step_i8_with as gru_i8_with;

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

    fn avx2(self) -> Avx2 {
        self.0
    }
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

    fn gru_i8(self, gru: &GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
        // SAFETY: as above.
        if !unsafe { gru_i8(gru, x, h) } {
            gru::step(self, gru, x, scratch, h);
        }
    }

    fn gains_together(self, units: usize, integers: bool) -> bool {
        // What several share is not what this has: a step alone multiplies bytes in one instruction.
        !integers && self.avx2().gains_together(units, integers)
    }

    as_avx2! {
        prefetch wants_aligned_weights
        lstm_i8_many lstm_i4 step_i4 rows_i4 add_rows_i4 lstm_i16 rows_i16 gru_cell_i8
        widen_i8 narrow_q15 shift_q12 sigmoid_q15 tanh_q15 add_i16 max_i16 dot_i16
        lstm_float step_float lstm_float_many rows_float add_rows_float
        rows_float_many rows_gain_together gru_float
        widen_float sigmoid_f32 tanh_f32 add_f32 max_f32 dot_f32
    }
}

/// AVX-VNNI's coding of the instruction; AVX-512 has another.
struct Vex;

dot!(Vex, "avx2,avxvnni", |sum, unsigned, signed| _mm256_dpbusd_avx_epi32(sum, unsigned, signed));

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

#[target_feature(enable = "avx2,avxvnni")]
fn gru_i8(gru: &GruI8<'_>, x: Features<'_>, h: &mut [i16]) -> bool {
    // SAFETY: as above.
    unsafe { gru_i8_with::<Vex>(gru, x, h) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::Avx512Vnni;
    use crate::kernels::x86_64::avx512::Evex;

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

        fn gru_i8(self, gru: &GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
            self.0.gru_i8(gru, x, scratch, h);
        }

        fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
            self.0.rows_i8(rows, x, out);
        }
    }
}
