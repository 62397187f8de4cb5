//! AVX-VNNI: what AVX2 has, and 32 products of bytes in one instruction.
//!
//! An instruction adds four products of an unsigned and a signed byte to each of eight sums, exactly. Signed times signed comes of it by an
//! offset that is taken away again:
//!
//! ```text
//! sum of w x = sum of (w + 128) x - 128 sum of x
//! ```
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::{Backend, FloatWeight, RowsFloat, RowsI8, RowsI16, StreamFloat};
use super::{Avx2, Rows, lstm_by};

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
        unsafe { lstm_i8(gates, xh, h, c) };
    }

    as_avx2! {
        prefetch(soon: &[u8]);
        lstm_i16(gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]);
        rows_i16(rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]);
        rows_i8(gates: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]);
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

    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        self.0.lstm_float(gates, xh, h, c);
    }

    fn lstm_float_many<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]) {
        self.0.lstm_float_many(gates, streams);
    }

    fn rows_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
        self.0.rows_float(gates, x, out);
    }

    fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
        self.0.widen_float(x, out);
    }

    fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
        self.0.dot_f32(w, v)
    }
}

/// The instruction, which has one coding for AVX-VNNI and another for AVX-512.
trait Dot {
    /// `sum + products of four unsigned and four signed bytes`, in eight lanes.
    ///
    /// # Safety
    /// The processor has the instruction.
    unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i;
}

/// AVX-VNNI's coding.
struct Vex;

impl Dot for Vex {
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sum, unsigned, signed)
    }
}

#[target_feature(enable = "avx2,avxvnni")]
fn lstm_i8(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2 and AVX-VNNI.
    unsafe { lstm_i8_with::<Vex>(gates, xh, h, c) }
}

/// Columns of a block of bytes.
const BLOCK: usize = 32;

/// Blocks for which there is room: more than any image's layer has.
const BLOCKS: usize = 2048 / BLOCK;

/// [`lstm_by`] over columns brought to bytes.
///
/// # Safety
/// The processor has AVX2 and the instruction of `D`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn lstm_i8_with<D: Dot>(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
    let mut blocks = [const { MaybeUninit::<[i8; BLOCK]>::uninit() }; BLOCKS];
    let count = xh.len().div_ceil(BLOCK);
    let Some(blocks) = blocks.get_mut(..count) else {
        return super::lstm_i8(gates, xh, h, c); // more columns than there is room for
    };
    let mut sum = 0_i32;
    for (block, x) in blocks.iter_mut().zip(xh.chunks(BLOCK)) {
        let mut bytes = [0_i8; BLOCK];
        for (byte, &x) in bytes.iter_mut().zip(x) {
            *byte = x as i8;
            sum += i32::from(*byte);
        }
        block.write(bytes);
    }
    // SAFETY: the loop has written all of them.
    let blocks = unsafe { blocks.assume_init_ref() };
    let rows =
        Bytes::<D> { columns: xh.len(), x: blocks.as_flattened(), offset: -128 * sum, dot: core::marker::PhantomData };
    // SAFETY: the caller keeps the promise.
    unsafe { lstm_by(&rows, gates, xh, h, c) }
}

/// Products of bytes.
struct Bytes<'a, D> {
    columns: usize,
    /// The columns, with zeros up to a multiple of [`BLOCK`].
    x: &'a [i8],
    /// `-128 * sum of x`.
    offset: i32,
    dot: core::marker::PhantomData<D>,
}

impl<D: Dot> Rows for Bytes<'_, D> {
    type Weight = i8;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const N: usize>(&self, weights: &[i8]) -> [__m256i; 2] {
        let row = 4 * self.columns;
        assert!(N <= 4 && weights.len() >= N * row && self.columns.is_multiple_of(4));
        assert!(self.x.len() >= self.columns.next_multiple_of(8));
        let spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
        let high = _mm256_set1_epi8(-128);
        let mut acc = [_mm256_setzero_si256(); 4];
        for column in (0..self.columns).step_by(8) {
            // SAFETY: `x` has all columns up to the next multiple of 8, by the assertion.
            let x = unsafe { _mm_loadl_epi64(self.x.as_ptr().add(column).cast()) };
            let x = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(x), spread);
            for (unit, acc) in acc.iter_mut().take(N).enumerate() {
                // SAFETY: unit < N and column < columns, so that these bytes of the row begin inside `weights`.
                let at = unsafe { weights.as_ptr().add(unit * row + 4 * column) };
                let w = if column + 8 <= self.columns {
                    // SAFETY: the 32 bytes of eight columns end by (unit + 1) * row, inside `weights` by the assertion.
                    unsafe { _mm256_loadu_si256(at.cast()) }
                } else {
                    // SAFETY: four columns are left, and their 16 bytes are the row's last.
                    _mm256_zextsi128_si256(unsafe { _mm_loadu_si128(at.cast()) })
                };
                // Turning the highest bit adds 128. Where there is no weight, x is zero.
                // SAFETY: the caller keeps the promise.
                *acc = unsafe { D::dot(*acc, _mm256_xor_si256(w, high), x) };
            }
        }
        // [column group of 2][gate] of units a and b, to [a | b].
        let offset = _mm256_set1_epi32(self.offset);
        let join = |a, b| {
            let sums =
                _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
            _mm256_add_epi32(sums, offset)
        };
        [join(acc[0], acc[1]), join(acc[2], acc[3])]
    }
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
                unsafe { lstm_i8_with::<Evex>(gates, xh, h, c) }
            }
            // SAFETY: `Avx512Vnni` proves all three extensions.
            unsafe { step(gates, xh, h, c) };
        }
    }
}
