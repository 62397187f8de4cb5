//! int16 on AVX2 and AVX-512: products of 16 bits, two of which are added in 32 bits by one instruction.
//!
//! `vpmaddwd` adds pairs of products without saturating. No sum of a row's products, whatever part of them and in whatever order, leaves 32 bits:
//! each is at most `2^15 * sum |w| <= 2^15 * 65535` in magnitude.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::{IntWeight, RowsI16};
use super::integers::{Rows, Scaled, lstm_by, rows_by};

/// Weights of a block: four rows of eight columns.
const BLOCK: usize = 4 * <i16 as IntWeight>::COLUMNS;

#[target_feature(enable = "avx2")]
pub(super) fn lstm(gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2, which is all that `Words` needs.
    unsafe { lstm_by(&Words { x: xh }, gates, xh.len(), h, c, false) }
}

#[target_feature(enable = "avx2")]
pub(super) fn rows(rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2, which is all that `Words` needs.
    unsafe { rows_by::<_, false>(&Words { x }, rows, x, out) }
}

#[target_feature(enable = "avx2,avx512f,avx512bw")]
pub(super) fn lstm_wide(gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2, AVX-512 F and BW, which is all that `WideWords` needs.
    unsafe { lstm_by(&WideWords { x: xh }, gates, xh.len(), h, c, false) }
}

#[target_feature(enable = "avx2,avx512f,avx512bw")]
pub(super) fn rows_wide(rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2, AVX-512 F and BW, which is all that `WideWords` needs.
    unsafe { rows_by::<_, false>(&WideWords { x }, rows, x, out) }
}

impl Scaled for i16 {
    /// The lower 32 of the bits from 16 on, of products of 48 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn product(sums: __m256i, multiplier: __m256i) -> __m256i {
        let even = _mm256_srli_epi64::<16>(_mm256_mul_epi32(sums, multiplier));
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), _mm256_srli_epi64::<32>(multiplier));
        _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<16>(odd))
    }
}

/// Sums of 4 + 4 lanes for each two rows of units a and b, `[row 0 | row 1]` and `[row 2 | row 3]`, to `[row of a | row of b]`.
#[inline]
#[target_feature(enable = "avx2")]
fn join([a_01, a_23]: [__m256i; 2], [b_01, b_23]: [__m256i; 2]) -> __m256i {
    // [a0 a2 b0 b2 | a1 a3 b1 b3]
    let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a_01, a_23), _mm256_hadd_epi32(b_01, b_23));
    _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// Products in two vectors a block.
struct Words<'a> {
    x: &'a [i16],
}

impl Rows for Words<'_> {
    type Weight = i16;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const N: usize>(&self, weights: &[i16]) -> [__m256i; 2] {
        let row = 4 * self.x.len();
        assert!(N <= 4 && weights.len() >= N * row);
        let mut acc = [[_mm256_setzero_si256(); 2]; 4];
        for (k, x) in self.x.as_chunks::<8>().0.iter().enumerate() {
            let x = _mm256_broadcastsi128_si256(super::load_half_i16(x));
            for (unit, acc) in acc.iter_mut().take(N).enumerate() {
                for (half, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: unit < N and BLOCK * (k + 1) <= 4 * x.len() = row, so that the 16 weights from here on end by N * row, which the
                    // assertion keeps inside `weights`; the load needs no alignment.
                    let w = unsafe {
                        _mm256_loadu_si256(weights.as_ptr().add(unit * row + BLOCK * k + BLOCK / 2 * half).cast())
                    };
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(w, x));
                }
            }
        }
        [join(acc[0], acc[1]), join(acc[2], acc[3])]
    }
}

/// Products in one vector a block.
struct WideWords<'a> {
    x: &'a [i16],
}

impl Rows for WideWords<'_> {
    type Weight = i16;

    #[inline]
    #[target_feature(enable = "avx2,avx512f,avx512bw")]
    unsafe fn sums<const N: usize>(&self, weights: &[i16]) -> [__m256i; 2] {
        let row = 4 * self.x.len();
        assert!(N <= 4 && weights.len() >= N * row);
        let mut acc = [_mm512_setzero_si512(); 4];
        for (k, x) in self.x.as_chunks::<8>().0.iter().enumerate() {
            let x = _mm512_broadcast_i32x4(super::load_half_i16(x));
            for (unit, acc) in acc.iter_mut().take(N).enumerate() {
                // SAFETY: unit < N and BLOCK * (k + 1) <= 4 * x.len() = row, so that the 32 weights from here on end by N * row, which the assertion
                // keeps inside `weights`; the load needs no alignment.
                let w = unsafe { _mm512_loadu_si512(weights.as_ptr().add(unit * row + BLOCK * k).cast()) };
                *acc = _mm512_add_epi32(*acc, _mm512_madd_epi16(w, x));
            }
        }
        let halves = |acc| [_mm512_castsi512_si256(acc), _mm512_extracti64x4_epi64::<1>(acc)];
        let acc = [halves(acc[0]), halves(acc[1]), halves(acc[2]), halves(acc[3])];
        [join(acc[0], acc[1]), join(acc[2], acc[3])]
    }
}
