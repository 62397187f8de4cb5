//! AVX2 with FMA and F16C: 16 lanes of 16 bits for integers, 8 of 32 for floats.
//!
//! `unsafe` is open in this file for two things only. Vectors are loaded and stored through pointers, always inside a slice
//! whose length was just checked. And functions compiled for AVX2 are called from ordinary code, which the token [`Avx2`]
//! allows: it exists only after the processor was asked.

#![allow(unsafe_code)]

mod avx512;
mod int16;
mod many;
mod vnni;

use core::arch::x86_64::*;

use half::f16;

use super::activation::{
    EXPM1, LN2_HIGH, LN2_LOW, ROUND, SIGMOID, SIGMOID_LOWEST, Segments, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_LOWEST,
    TANH_TOP,
};
use super::cell::{SMALL, gru, lstm};
use super::{
    Backend, FloatView, FloatWeight, IntWeight, RowsFloat, RowsI8, RowsI16, RowsInt, StreamFloat, StreamInt,
    one_tile_after_the_other, scalar,
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

/// A trait method that hands over to the function of the same name in this file.
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
        hand_over!(self, lstm_i8(gates, xh, h, c));
    }

    fn lstm_i8_many(self, gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>]) {
        if !hand_over!(self, many::lstm_i8(gates, streams)) {
            one_tile_after_the_other(self, gates, streams);
        }
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
        hand_over!(self, rows_i8(gates, x, out));
    }

    fn widen_i8(self, x: &[i8], out: &mut [i16]) {
        hand_over!(self, widen_i8(x, out));
    }

    fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
        hand_over!(self, narrow_q15(h, out));
    }

    fn shift_q12(self, sums: &[i32], shift: u32, out: &mut [i16]) {
        hand_over!(self, shift_q12(sums, shift, out));
    }

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        hand_over!(self, gru_cell_i8(self, sums, n, shift, h));
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

    fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
        hand_over!(self, dot_i16(w, v))
    }

    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        match W::view(gates.weights) {
            FloatView::F32(weights) => hand_over!(self, lstm_float(weights, gates.bias, xh, h, c)),
            FloatView::F16(weights) => hand_over!(self, lstm_float(weights, gates.bias, xh, h, c)),
        }
    }

    fn lstm_float_many<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]) {
        match W::view(gates.weights) {
            FloatView::F32(weights) => hand_over!(self, many::lstm_float(weights, gates.bias, streams)),
            FloatView::F16(weights) => hand_over!(self, many::lstm_float(weights, gates.bias, streams)),
        }
    }

    fn rows_float<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
        match W::view(rows.weights) {
            FloatView::F32(weights) => hand_over!(self, rows_float(weights, rows.bias, x, out)),
            FloatView::F16(weights) => hand_over!(self, rows_float(weights, rows.bias, x, out)),
        }
    }

    fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
        match W::view(x) {
            FloatView::F32(x) => scalar::widen_float(x, out),
            FloatView::F16(x) => hand_over!(self, widen_f16(x, out)),
        }
    }

    fn sigmoid_f32(self, x: &mut [f32]) {
        hand_over!(self, sigmoid_f32(x));
    }

    fn tanh_f32(self, x: &mut [f32]) {
        hand_over!(self, tanh_f32(x));
    }

    fn add_f32(self, sum: &mut [f32], h: &[f32]) {
        hand_over!(self, add_f32(sum, h));
    }

    fn max_f32(self, max: &mut [f32], h: &[f32]) {
        hand_over!(self, max_f32(max, h));
    }

    fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
        match W::view(w) {
            FloatView::F32(w) => hand_over!(self, dot_f32(w, v)),
            FloatView::F16(w) => hand_over!(self, dot_f32(w, v)),
        }
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
    /// Eight weights as floats.
    ///
    /// # Safety
    ///
    /// The processor has AVX2 and F16C, and eight weights are readable at `at`, at any alignment.
    unsafe fn load8(at: *const Self) -> __m256;
}

impl Lanes for f32 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(at: *const Self) -> __m256 {
        // SAFETY: eight floats are readable at `at`, as the trait demands of the caller.
        unsafe { _mm256_loadu_ps(at) }
    }
}

impl Lanes for f16 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(at: *const Self) -> __m256 {
        // SAFETY: eight 16-bit weights are readable at `at`, as the trait demands of the caller.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Integers.

/// `D` of [`Segments`] for sixteen lanes: `segment` in 0..8, `t` Q0.15.
#[inline]
#[target_feature(enable = "avx2")]
fn distance<const SHIFT: i32, const SHIFT_U: u32>(table: &Segments<SHIFT_U>, segment: __m256i, t: __m256i) -> __m256i {
    const { assert!(SHIFT as u32 == SHIFT_U) };
    // Byte indices of a 16-bit entry: 2 * segment below, 2 * segment + 1 above.
    let bytes = _mm256_add_epi16(_mm256_mullo_epi16(segment, _mm256_set1_epi16(0x0202)), _mm256_set1_epi16(0x0100));
    let [c4, c3, c2, c1, r, b] = &table.columns;
    let mut p = look_up(c4, bytes);
    for column in [c3, c2, c1, r] {
        p = _mm256_add_epi16(_mm256_mulhrs_epi16(p, t), look_up(column, bytes));
    }
    // Saturating is the minimum with 32767.
    _mm256_adds_epi16(look_up(b, bytes), _mm256_srai_epi16::<SHIFT>(p))
}

/// The entries of a column that sixteen pairs of byte indices name.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(column: &[i16; 8], bytes: __m256i) -> __m256i {
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_half_i16(column)), bytes)
}

/// [`activation::sigmoid_q15`](super::activation::sigmoid_q15) of sixteen lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn sigmoid_q15_lanes(x: __m256i) -> __m256i {
    let u = _mm256_min_epu16(_mm256_abs_epi16(x), _mm256_set1_epi16(32767));
    let t = _mm256_xor_si256(_mm256_slli_epi16::<4>(u), _mm256_set1_epi16(i16::MIN));
    let d = distance::<3, 3>(&SIGMOID, _mm256_srli_epi16::<12>(u), t);
    // For x = 0 the sign clears d, which is 0 there.
    _mm256_add_epi16(_mm256_set1_epi16(16384), _mm256_sign_epi16(d, x))
}

/// [`activation::tanh_q15`](super::activation::tanh_q15) of sixteen lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn tanh_q15_lanes(x: __m256i) -> __m256i {
    let u = _mm256_abs_epi16(x);
    let above_1 = _mm256_subs_epu16(u, _mm256_set1_epi16(TANH_KNEE_1 as i16));
    let above_2 = _mm256_subs_epu16(u, _mm256_set1_epi16(TANH_KNEE_2 as i16));
    let u = _mm256_sub_epi16(_mm256_sub_epi16(u, _mm256_srli_epi16::<1>(above_1)), _mm256_srli_epi16::<2>(above_2));
    let u = _mm256_min_epu16(u, _mm256_set1_epi16(TANH_TOP as i16));
    let t = _mm256_xor_si256(_mm256_slli_epi16::<5>(u), _mm256_set1_epi16(i16::MIN));
    let d = distance::<2, 2>(&TANH, _mm256_srli_epi16::<11>(u), t);
    _mm256_sign_epi16(d, x)
}

/// Applies `$lanes` to a slice of any length, sixteen at a time.
macro_rules! in_place_i16 {
    ($x:ident, $lanes:ident) => {{
        let (blocks, rest) = $x.as_chunks_mut::<16>();
        for block in blocks {
            let y = $lanes(load_i16(block));
            store_i16(block, y);
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        let y = $lanes(load_i16(&last));
        store_i16(&mut last, y);
        rest.copy_from_slice(&last[..rest.len()]);
    }};
}

#[target_feature(enable = "avx2")]
fn sigmoid_q15(x: &mut [i16]) {
    in_place_i16!(x, sigmoid_q15_lanes);
}

#[target_feature(enable = "avx2")]
fn tanh_q15(x: &mut [i16]) {
    in_place_i16!(x, tanh_q15_lanes);
}

/// How the products of a layer's rows are summed.
trait Rows {
    /// Type of the weights.
    type Weight: Scaled;

    /// The sums of `N` units, up to four: `[unit of 2][gate]` in each vector, 32 bits each. Units beyond `N` come out as anything.
    ///
    /// - `weights`: at least `N` units of `4 * columns` weights.
    ///
    /// # Safety
    /// The processor has AVX2 and whatever else the implementation was compiled for.
    unsafe fn sums<const N: usize>(&self, weights: &[Self::Weight]) -> [__m256i; 2];
}

/// What follows the sums of a type of weights.
trait Scaled: IntWeight {
    /// [`IntWeight::scaled`] of eight sums and multipliers.
    ///
    /// # Safety
    /// The processor has AVX2.
    unsafe fn product(sums: __m256i, multiplier: __m256i) -> __m256i;
}

impl Scaled for i8 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn product(sums: __m256i, multiplier: __m256i) -> __m256i {
        _mm256_mullo_epi32(sums, multiplier)
    }
}

#[target_feature(enable = "avx2")]
fn lstm_i8(gates: &RowsI8<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2, which is all that `Wide` needs.
    unsafe { lstm_by(&Wide { xh }, gates, xh, h, c) }
}

/// The scalar equations of [`cell::lstm::step`](crate::kernels::cell::lstm::step), in tiles of sixteen units.
///
/// Within a tile, the products of four units run together, then all sums are brought to Q3.12 and parted by gate, then one
/// vector a gate goes through the activations.
///
/// # Safety
/// That of [`Rows::sums`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn lstm_by<R: Rows>(rows: &R, gates: &RowsInt<'_, R::Weight>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
    let units = h.len();
    let row = 4 * xh.len(); // weights of a unit
    let is_whole = xh.len().is_multiple_of(R::Weight::COLUMNS);
    assert!(is_whole && gates.weights.len() == units * row, "weights: [unit][block of columns][gate][columns]");
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
    assert!(c.len() == units, "c: [unit]");
    if row == 0 {
        return lstm::step(gates, xh, h, c); // no columns: only biases
    }

    let shift = _mm_cvtsi32_si128((gates.shift & 31) as i32);
    let tiles = gates.weights.chunks(16 * row).zip(gates.multiplier.chunks(64)).zip(gates.bias.chunks(64));
    for (((weights, multiplier), bias), (h, c)) in tiles.zip(h.chunks_mut(16).zip(c.chunks_mut(16))) {
        // Four units a vector: [unit][gate], Q3.12.
        let mut sums = [_mm256_setzero_si256(); 4];
        let quads = weights.chunks(4 * row).zip(multiplier.chunks(16)).zip(bias.chunks(16));
        for (sums, ((weights, multiplier), bias)) in sums.iter_mut().zip(quads) {
            *sums = if let (Ok(multiplier), Ok(bias)) = (multiplier.try_into(), bias.try_into()) {
                // SAFETY: the caller keeps the promise.
                requantize::<R::Weight>(unsafe { rows.sums::<4>(weights) }, multiplier, bias, shift)
            } else {
                let mut padded = ([0; 16], [0; 16]);
                padded.0[..multiplier.len()].copy_from_slice(multiplier);
                padded.1[..bias.len()].copy_from_slice(bias);
                // SAFETY: as above.
                let products = unsafe {
                    match weights.len() / row {
                        1 => rows.sums::<1>(weights),
                        2 => rows.sums::<2>(weights),
                        _ => rows.sums::<3>(weights),
                    }
                };
                requantize::<R::Weight>(products, &padded.0, &padded.1, shift)
            };
        }
        cells_q15(part_gates(sums), h, c);
    }
}

/// [`cell_q15`] of up to sixteen units.
#[inline]
#[target_feature(enable = "avx2")]
fn cells_q15(gates: [__m256i; 4], h: &mut [i16], c: &mut [i32]) {
    if let (Ok(h), Ok(c)) = (<&mut [i16; 16]>::try_from(&mut *h), <&mut [i32; 16]>::try_from(&mut *c)) {
        cell_q15(gates, h, c);
    } else {
        let mut padded = ([0; 16], [0; 16]);
        padded.1[..c.len()].copy_from_slice(c);
        cell_q15(gates, &mut padded.0, &mut padded.1);
        h.copy_from_slice(&padded.0[..h.len()]);
        c.copy_from_slice(&padded.1[..c.len()]);
    }
}

#[target_feature(enable = "avx2")]
fn rows_i8(gates: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    // SAFETY: this function was compiled for AVX2, which is all that `Wide` needs.
    unsafe { rows_by(&Wide { xh: x }, gates, x, out) }
}

/// As [`scalar::rows`], four quads at a time.
///
/// # Safety
/// That of [`Rows::sums`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn rows_by<R: Rows>(rows: &R, gates: &RowsInt<'_, R::Weight>, x: &[i16], out: &mut [i32]) {
    let row = 4 * x.len(); // weights of a quad
    if row == 0 {
        return scalar::rows(gates, x, out); // only biases
    }
    let quads = gates.weights.chunks(4 * row).zip(gates.multiplier.chunks(16)).zip(gates.bias.chunks(16));
    for (((weights, multiplier), bias), out) in quads.zip(out.chunks_mut(16)) {
        let whole = (multiplier.try_into(), bias.try_into(), <&mut [i32; 16]>::try_from(&mut *out));
        if let (Ok(multiplier), Ok(bias), Ok(out)) = whole
            && weights.len() == 4 * row
        {
            // SAFETY: the caller keeps the promise.
            let sums = unsafe { rows.sums::<4>(weights) };
            let [sums_01, sums_23] = scaled::<R::Weight>(sums, multiplier, bias);
            let ([out_01, out_23], []) = out.as_chunks_mut::<8>() else { unreachable!() };
            store_i32(out_01, sums_01);
            store_i32(out_23, sums_23);
        } else {
            scalar::rows(&RowsInt { weights, multiplier, bias, ..*gates }, x, out);
        }
    }
}

/// Products of weights that are widened to 16 bits.
struct Wide<'a> {
    xh: &'a [i16],
}

impl Rows for Wide<'_> {
    type Weight = i8;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const N: usize>(&self, weights: &[i8]) -> [__m256i; 2] {
        let row = 4 * self.xh.len();
        assert!(N <= 4 && weights.len() >= N * row);
        let mut acc = [_mm256_setzero_si256(); 4];
        for (k, x) in self.xh.as_chunks::<4>().0.iter().enumerate() {
            let x = _mm256_set1_epi64x(bytemuck::cast(*x));
            for (unit, acc) in acc.iter_mut().take(N).enumerate() {
                // SAFETY: unit < N and 16 k + 16 <= 16 * floor(xh.len() / 4) <= row, so the 16 bytes from unit * row + 16 k
                // end by N * row, which the assertion keeps inside `weights`; the load needs no alignment.
                let w = unsafe { _mm_loadu_si128(weights.as_ptr().add(unit * row + 16 * k).cast()) };
                // Widened to 16 bits before they are multiplied, so that -128 needs no care.
                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(_mm256_cvtepi8_epi16(w), x));
            }
        }
        // Two sums a gate, side by side. Of units a and b: [a.i a.f b.i b.f | a.g a.o b.g b.o], and the middle quarters change places.
        let join = |a, b| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b));
        [join(acc[0], acc[1]), join(acc[2], acc[3])]
    }
}

/// `sat16((acc * multiplier + bias) >> shift)` for four units, `[unit][gate]`; `acc` as [`Rows::sums`] leaves it.
#[inline]
#[target_feature(enable = "avx2")]
fn requantize<W: Scaled>(acc: [__m256i; 2], multiplier: &[u16; 16], bias: &[i32; 16], shift: __m128i) -> __m256i {
    let [sums_01, sums_23] = scaled::<W>(acc, multiplier, bias).map(|sums| _mm256_sra_epi32(sums, shift));
    // [unit 0, unit 2 | unit 1, unit 3], to their order.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(sums_01, sums_23))
}

/// `acc * multiplier + bias` for units 0 and 1, and for units 2 and 3, `[unit][gate]`; `acc` as [`Rows::sums`] leaves it.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled<W: Scaled>(acc: [__m256i; 2], multiplier: &[u16; 16], bias: &[i32; 16]) -> [__m256i; 2] {
    let ([multiplier_01, multiplier_23], []) = multiplier.as_chunks::<8>() else { unreachable!() };
    let ([bias_01, bias_23], []) = bias.as_chunks::<8>() else { unreachable!() };
    let scale = |sums, multiplier: &[u16; 8], bias: &[i32; 8]| {
        // SAFETY: this function was compiled for AVX2.
        let product = unsafe { W::product(sums, _mm256_cvtepu16_epi32(load_half_i16(multiplier))) };
        _mm256_add_epi32(product, load_i32(bias))
    };
    [scale(acc[0], multiplier_01, bias_01), scale(acc[1], multiplier_23, bias_23)]
}

/// From four vectors `[unit][gate]` to four vectors of sixteen units, one a gate.
#[inline]
#[target_feature(enable = "avx2")]
fn part_gates(sums: [__m256i; 4]) -> [__m256i; 4] {
    // Two units of each half: i f g o i f g o -> ii ff gg oo, 4 bytes each.
    #[rustfmt::skip]
    let pair = _mm256_setr_epi8(
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
    );
    // Then the halves come together: iiii ffff gggg oooo, 8 bytes each.
    let join = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let quad = |x| _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(x, pair), join);
    let (q0, q1, q2, q3) = (quad(sums[0]), quad(sums[1]), quad(sums[2]), quad(sums[3]));
    // What is left is a transposition of 4 x 4 pieces of 8 bytes.
    let (ig_low, ig_high) = (_mm256_unpacklo_epi64(q0, q1), _mm256_unpacklo_epi64(q2, q3));
    let (fo_low, fo_high) = (_mm256_unpackhi_epi64(q0, q1), _mm256_unpackhi_epi64(q2, q3));
    [
        _mm256_permute2x128_si256::<0x20>(ig_low, ig_high),
        _mm256_permute2x128_si256::<0x20>(fo_low, fo_high),
        _mm256_permute2x128_si256::<0x31>(ig_low, ig_high),
        _mm256_permute2x128_si256::<0x31>(fo_low, fo_high),
    ]
}

/// [`cell::lstm::cell_q15`](crate::kernels::cell::lstm::cell_q15) of sixteen units: `gates` is `[i, f, g, o]` in Q3.12.
#[inline]
#[target_feature(enable = "avx2")]
fn cell_q15(gates: [__m256i; 4], h: &mut [i16; 16], c: &mut [i32; 16]) {
    let ([c_low, c_high], []) = c.as_chunks_mut::<8>() else { unreachable!() };
    let (next_h, next) = cell_q15_lanes(gates, [load_i32(c_low), load_i32(c_high)]);
    store_i32(c_low, next[0]);
    store_i32(c_high, next[1]);
    store_i16(h, next_h);
}

/// The same in registers: `(h, c')` from the gates and `c`.
#[inline]
#[target_feature(enable = "avx2")]
fn cell_q15_lanes(gates: [__m256i; 4], c: [__m256i; 2]) -> (__m256i, [__m256i; 2]) {
    let [i, f, g, o] = gates;
    // In the order in which the next c waits for them.
    let (g, i, f) = (tanh_q15_lanes(g), sigmoid_q15_lanes(i), sigmoid_q15_lanes(f));
    next_q15_lanes([i, f, g, sigmoid_q15_lanes(o)], c)
}

/// `(h, c')` from the gates behind their activations, `[i, f, g, o]` in Q0.15, and `c`.
#[inline]
#[target_feature(enable = "avx2")]
fn next_q15_lanes([i, f, g, o]: [__m256i; 4], c: [__m256i; 2]) -> (__m256i, [__m256i; 2]) {
    // Unpacking works on each half by itself and leaves units [0..4 | 8..12] and [4..12 | 12..16]; c is brought to that order.
    let zero = _mm256_setzero_si256();
    let (ig_low, ig_high) = (_mm256_mullo_epi16(i, g), _mm256_mulhi_epi16(i, g));
    let a = next_cell(
        _mm256_permute2x128_si256::<0x20>(c[0], c[1]),
        _mm256_unpacklo_epi16(f, zero),
        _mm256_unpacklo_epi16(ig_low, ig_high),
    );
    let b = next_cell(
        _mm256_permute2x128_si256::<0x31>(c[0], c[1]),
        _mm256_unpackhi_epi16(f, zero),
        _mm256_unpackhi_epi16(ig_low, ig_high),
    );

    let half = _mm256_set1_epi32(1 << 6);
    let to_q12 = |c| _mm256_srai_epi32::<7>(_mm256_add_epi32(c, half));
    // Packing undoes the order of unpacking.
    let tanh_c = tanh_q15_lanes(_mm256_packs_epi32(to_q12(a), to_q12(b)));
    let h = _mm256_mulhrs_epi16(o, tanh_c);
    (h, [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)])
}

/// `(((c * f) >> 16) << 1) + ((ig + 3 * 2^10) >> 11)` of eight units; f zero-extended to 32 bits, `ig` the product of i and g.
#[inline]
#[target_feature(enable = "avx2")]
fn next_cell(c: __m256i, f: __m256i, ig: __m256i) -> __m256i {
    // Both halves of c times f, in 16-bit multiplications: the low ones unsigned, their high words landing where they belong.
    let low = _mm256_mulhi_epu16(c, f);
    let high = _mm256_madd_epi16(c, _mm256_slli_epi32::<16>(f));
    let kept = _mm256_add_epi32(low, high);
    let ig = _mm256_srai_epi32::<11>(_mm256_add_epi32(ig, _mm256_set1_epi32(3 << 10)));
    _mm256_add_epi32(_mm256_add_epi32(kept, kept), ig)
}

/// The exact dot product. `pmaddwd` adds two products in 32 bits, which overflows in one case only, four times -32768: the
/// sum 2^31 then reads -2^31. No other sum is below -2^31 + 2^16, so after one is taken away, wrapping, every sum fits, and
/// the ones are given back at the end.
#[target_feature(enable = "avx2")]
fn dot_i16(w: &[i16], v: &[i16]) -> i64 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<16>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<16>();
    let one = _mm256_set1_epi32(1);
    let mut sums = _mm256_setzero_si256();
    for (w, v) in w_blocks.iter().zip(v_blocks) {
        let pairs = _mm256_sub_epi32(_mm256_madd_epi16(load_i16(w), load_i16(v)), one);
        let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(pairs));
        let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(pairs));
        sums = _mm256_add_epi64(sums, _mm256_add_epi64(low, high));
    }
    let sums: [i64; 4] = bytemuck::cast([
        _mm256_extract_epi64::<0>(sums),
        _mm256_extract_epi64::<1>(sums),
        _mm256_extract_epi64::<2>(sums),
        _mm256_extract_epi64::<3>(sums),
    ]);
    sums.iter().sum::<i64>() + 8 * w_blocks.len() as i64 + scalar::dot_i16(w_rest, v_rest)
}

// The loops below are plain enough for the compiler: inlined here, the reference is compiled for AVX2.

#[target_feature(enable = "avx2")]
fn shift_q12(sums: &[i32], shift: u32, out: &mut [i16]) {
    scalar::shift_q12(sums, shift, out);
}

#[target_feature(enable = "avx2")]
fn gru_cell_i8(backend: Avx2, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
    gru::cell_i8(backend, sums, n, shift, h);
}

#[target_feature(enable = "avx2")]
fn widen_i8(x: &[i8], out: &mut [i16]) {
    scalar::widen_i8(x, out);
}

#[target_feature(enable = "avx2")]
fn narrow_q15(h: &[i16], out: &mut [i16]) {
    scalar::narrow_q15(h, out);
}

#[target_feature(enable = "avx2")]
fn add_i16(sum: &mut [i32], h: &[i16]) {
    scalar::add_i16(sum, h);
}

#[target_feature(enable = "avx2")]
fn max_i16(max: &mut [i16], h: &[i16]) {
    scalar::max_i16(max, h);
}

#[target_feature(enable = "avx2")]
fn add_f32(sum: &mut [f32], h: &[f32]) {
    scalar::add_f32(sum, h);
}

#[target_feature(enable = "avx2")]
fn max_f32(max: &mut [f32], h: &[f32]) {
    scalar::max_f32(max, h);
}

// ------------------------------------------------------------------------------------------------------------------------
// Floats.

/// `(s, p)` with `e^y = s + s p`, as `exp_parts` in `activation.rs`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp_parts(y: __m256) -> (__m256, __m256) {
    let round = _mm256_set1_ps(ROUND);
    let shifted = _mm256_fmadd_ps(y, _mm256_set1_ps(core::f32::consts::LOG2_E), round);
    let n = _mm256_sub_ps(shifted, round);
    let r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN2_LOW), _mm256_fnmadd_ps(n, _mm256_set1_ps(LN2_HIGH), y));
    let mut q = _mm256_set1_ps(EXPM1[4]);
    for &c in EXPM1[..4].iter().rev() {
        q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(c));
    }
    let biased = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
    let s = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased));
    (s, _mm256_fmadd_ps(_mm256_mul_ps(r, r), q, r))
}

/// [`activation::sigmoid_f32`](super::activation::sigmoid_f32) of eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sigmoid_f32_lanes(x: __m256) -> __m256 {
    let y = _mm256_or_ps(x, _mm256_set1_ps(-0.0));
    // The second operand is what comes out when it is NaN.
    let (s, p) = exp_parts(_mm256_max_ps(_mm256_set1_ps(SIGMOID_LOWEST), y));
    let e = _mm256_fmadd_ps(s, p, s);
    let one = _mm256_set1_ps(1.0);
    // The sign bit of x chooses; at x = -0, e is 1 too.
    _mm256_div_ps(_mm256_blendv_ps(one, e, x), _mm256_add_ps(one, e))
}

/// [`activation::tanh_f32`](super::activation::tanh_f32) of eight lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn tanh_f32_lanes(x: __m256) -> __m256 {
    let sign = _mm256_set1_ps(-0.0);
    let y = _mm256_or_ps(_mm256_add_ps(x, x), sign);
    let (s, p) = exp_parts(_mm256_max_ps(_mm256_set1_ps(TANH_LOWEST), y));
    let m = _mm256_fmadd_ps(s, p, _mm256_sub_ps(s, _mm256_set1_ps(1.0)));
    let magnitude = _mm256_andnot_ps(sign, _mm256_div_ps(m, _mm256_add_ps(_mm256_set1_ps(2.0), m)));
    _mm256_or_ps(magnitude, _mm256_and_ps(sign, x))
}

/// [`without_subnormals`](super::cell::without_subnormals) of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn without_subnormals(x: __m256) -> __m256 {
    let small = _mm256_set1_ps(SMALL);
    _mm256_sub_ps(_mm256_add_ps(x, small), small)
}

/// Applies `$lanes` to a slice of any length, eight at a time.
macro_rules! in_place_f32 {
    ($x:ident, $lanes:ident) => {{
        let (blocks, rest) = $x.as_chunks_mut::<8>();
        for block in blocks {
            let y = $lanes(load_f32(block));
            store_f32(block, y);
        }
        let mut last = [0.0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let y = $lanes(load_f32(&last));
        store_f32(&mut last, y);
        rest.copy_from_slice(&last[..rest.len()]);
    }};
}

#[target_feature(enable = "avx2,fma")]
fn sigmoid_f32(x: &mut [f32]) {
    in_place_f32!(x, sigmoid_f32_lanes);
}

#[target_feature(enable = "avx2,fma")]
fn tanh_f32(x: &mut [f32]) {
    in_place_f32!(x, tanh_f32_lanes);
}

/// The equations of [`cell::lstm::step_float`](crate::kernels::cell::lstm::step_float), two blocks of eight units at a time: eight sums in flight hide the latency of
/// the fused multiply-add.
#[target_feature(enable = "avx2,fma,f16c")]
fn lstm_float<W: Lanes>(weights: &[W], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    let block = 32 * xh.len();
    let (h, rest) = h.as_chunks_mut::<8>();
    let (c, c_rest) = c.as_chunks_mut::<8>();
    let (bias, bias_rest) = bias.as_chunks::<8>();
    assert!(rest.is_empty() && c_rest.is_empty() && bias_rest.is_empty() && h.len() == c.len(), "h, c: [U8]");
    assert!(bias.len() == 4 * h.len(), "bias: [U8 / 8][gate][8]");
    assert!(weights.len() == block * h.len(), "weights: [U8 / 8][K][gate][8]");
    if block == 0 {
        return; // no layer is without columns
    }

    let pairs = weights.chunks(2 * block).zip(bias.chunks(8)).zip(h.chunks_mut(2).zip(c.chunks_mut(2)));
    for ((weights, bias), (h, c)) in pairs {
        if h.len() == 2 {
            units::<2, W>(weights, bias, xh, h, c);
        } else {
            units::<1, W>(weights, bias, xh, h, c);
        }
    }
}

/// One step of `N` blocks of eight units; `weights` has `N * 32 * xh.len()` elements, `bias` `4 * N` vectors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn units<const N: usize, W: Lanes>(
    weights: &[W],
    bias: &[[f32; 8]],
    xh: &[f32],
    h: &mut [[f32; 8]],
    c: &mut [[f32; 8]],
) {
    let block = 32 * xh.len();
    assert!(weights.len() >= N * block);
    let mut z = [[_mm256_setzero_ps(); 4]; N];
    for (z, bias) in z.iter_mut().zip(bias.chunks_exact(4)) {
        for (z, bias) in z.iter_mut().zip(bias) {
            *z = load_f32(bias);
        }
    }
    for (k, &x) in xh.iter().enumerate() {
        let x = _mm256_set1_ps(x);
        for (n, z) in z.iter_mut().enumerate() {
            for (gate, z) in z.iter_mut().enumerate() {
                // SAFETY: n < N, k < xh.len() and gate < 4, so the eight weights from n * block + 32 k + 8 gate end by
                // N * block, which the assertion keeps inside `weights`. The caller was compiled for AVX2 and F16C too.
                let w = unsafe { W::load8(weights.as_ptr().add(n * block + 32 * k + 8 * gate)) };
                *z = _mm256_fmadd_ps(w, x, *z);
            }
        }
    }
    for ((z, h), c) in z.into_iter().zip(h).zip(c) {
        cell_f32(z, h, c);
    }
}

/// The second half of a step, of eight units: `z` is `[i, f, g, o]`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn cell_f32([i, f, g, o]: [__m256; 4], h: &mut [f32; 8], c: &mut [f32; 8]) {
    let ig = _mm256_mul_ps(sigmoid_f32_lanes(i), tanh_f32_lanes(g));
    let next = without_subnormals(_mm256_fmadd_ps(sigmoid_f32_lanes(f), load_f32(c), ig));
    store_f32(c, next);
    store_f32(h, _mm256_mul_ps(sigmoid_f32_lanes(o), tanh_f32_lanes(next)));
}

/// As [`scalar::rows_float`], with fused multiply-adds, eight sums in flight.
#[target_feature(enable = "avx2,fma,f16c")]
fn rows_float<W: Lanes>(weights: &[W], bias: &[f32], x: &[f32], out: &mut [f32]) {
    let mut weights = weights;
    for (bias, out) in bias.chunks(64).zip(out.chunks_mut(64)) {
        let Some((both, rest)) = weights.split_at_checked(out.len() * x.len()) else { return };
        weights = rest;
        let (bias, out) = (bias.as_chunks::<8>().0, out.as_chunks_mut::<8>().0);
        let (first, second) = both.split_at(both.len().min(32 * x.len()));
        match (bias.len(), out.len()) {
            (8, 8) => two_blocks(both, bias, x, out),
            (sums, 1..) if sums == out.len() => {
                let (bias, bias_second) = bias.split_at(sums.min(4));
                let (out, out_second) = out.split_at_mut(sums.min(4));
                block_of_rows(first, bias, x, out);
                block_of_rows(second, bias_second, x, out_second);
            }
            _ => return,
        }
    }
}

/// Two blocks of 32 rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn two_blocks<W: Lanes>(weights: &[W], bias: &[[f32; 8]], x: &[f32], out: &mut [[f32; 8]]) {
    assert!(weights.len() >= 64 * x.len() && bias.len() >= 8);
    let (first, second) = weights.split_at(32 * x.len());
    let mut z = [_mm256_setzero_ps(); 8];
    for (z, bias) in z.iter_mut().zip(bias) {
        *z = load_f32(bias);
    }
    let (one, other) = z.split_at_mut(4);
    let blocks = first.as_chunks::<32>().0.iter().zip(second.as_chunks::<32>().0);
    for ((first, second), &x) in blocks.zip(x) {
        let x = _mm256_set1_ps(x);
        for (weights, z) in [(first, &mut *one), (second, &mut *other)] {
            for (at, z) in z.iter_mut().enumerate() {
                // SAFETY: the array has four times the eight weights that are read. The caller was compiled for F16C too.
                *z = _mm256_fmadd_ps(unsafe { W::load8(weights.as_ptr().add(8 * at)) }, x, *z);
            }
        }
    }
    for (out, z) in out.iter_mut().zip(z) {
        store_f32(out, z);
    }
}

/// A block of up to 32 rows. Two sums of each row, side by side, do not wait for each other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block_of_rows<W: Lanes>(weights: &[W], bias: &[[f32; 8]], x: &[f32], out: &mut [[f32; 8]]) {
    match bias.len() {
        4 => rows_of::<4, 32, 2, W>(weights, bias, x, out),
        3 => rows_of::<3, 24, 2, W>(weights, bias, x, out),
        2 => rows_of::<2, 16, 4, W>(weights, bias, x, out),
        1 => rows_of::<1, 8, 4, W>(weights, bias, x, out),
        _ => {}
    }
}

/// A block of `N` vectors of rows, `R` rows, over `C` columns at a time.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn rows_of<const N: usize, const R: usize, const C: usize, W: Lanes>(
    weights: &[W],
    bias: &[[f32; 8]],
    x: &[f32],
    out: &mut [[f32; 8]],
) {
    const { assert!(R == 8 * N) };
    let mut z = [[_mm256_setzero_ps(); N]; C];
    for (z, bias) in z[0].iter_mut().zip(bias) {
        *z = load_f32(bias);
    }
    let (columns, last) = weights.as_chunks::<R>().0.as_chunks::<C>();
    let (values, last_values) = x.as_chunks::<C>();
    for (columns, values) in columns.iter().zip(values) {
        for ((z, weights), x) in z.iter_mut().zip(columns).zip(values) {
            column_of(z, weights, *x);
        }
    }
    for (weights, x) in last.iter().zip(last_values) {
        column_of(&mut z[0], weights, *x);
    }
    let [first, rest @ ..] = &mut z[..] else { return };
    for others in rest {
        for (sum, other) in first.iter_mut().zip(others) {
            *sum = _mm256_add_ps(*sum, *other);
        }
    }
    for (out, sum) in out.iter_mut().zip(first) {
        store_f32(out, *sum);
    }
}

/// Adds a column's products of `N` vectors of rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn column_of<const N: usize, const R: usize, W: Lanes>(z: &mut [__m256; N], weights: &[W; R], x: f32) {
    const { assert!(R == 8 * N) };
    let x = _mm256_set1_ps(x);
    for (at, z) in z.iter_mut().enumerate() {
        // SAFETY: the array has `N` times the eight weights that are read. The caller was compiled for F16C too.
        *z = _mm256_fmadd_ps(unsafe { W::load8(weights.as_ptr().add(8 * at)) }, x, *z);
    }
}

#[target_feature(enable = "avx2,f16c")]
fn widen_f16(x: &[f16], out: &mut [f32]) {
    let length = x.len().min(out.len());
    let (blocks, rest) = x[..length].as_chunks::<8>();
    let (out_blocks, out_rest) = out[..length].as_chunks_mut::<8>();
    for (out, x) in out_blocks.iter_mut().zip(blocks) {
        store_f32(out, _mm256_cvtph_ps(load_half_i16(x)));
    }
    scalar::widen_float(rest, out_rest);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot_f32<W: Lanes>(w: &[W], v: &[f32]) -> f32 {
    let length = w.len().min(v.len());
    let (w_blocks, w_rest) = w[..length].as_chunks::<8>();
    let (v_blocks, v_rest) = v[..length].as_chunks::<8>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (w, v) in w_blocks.chunks(4).zip(v_blocks.chunks(4)) {
        for ((sum, w), v) in sums.iter_mut().zip(w).zip(v) {
            // SAFETY: the array `w` has the eight weights; the caller was compiled for AVX2 and F16C too.
            *sum = _mm256_fmadd_ps(unsafe { W::load8(w.as_ptr()) }, load_f32(v), *sum);
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let mut lanes = [0.0; 8];
    store_f32(&mut lanes, sum);
    lanes.iter().sum::<f32>() + scalar::dot_f32(w_rest, v_rest)
}

#[cfg(test)]
mod tests {
    use super::{Avx2, processor_has_avx2};

    #[test]
    fn detection_with_and_without_std_agrees() {
        assert_eq!(Avx2::detect().is_some(), processor_has_avx2());
    }
}
