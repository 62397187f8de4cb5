//! Integers: the activations, and the step of rows whose products another file sums.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::activation::{SIGMOID, Segments, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_TOP};
use super::super::cell::{gru, lstm};
use super::super::{IntWeight, RowsInt, scalar};
use super::{Avx2, load_half_i16, load_i16, load_i32, store_i16, store_i32};

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
pub(super) fn look_up(column: &[i16; 8], bytes: __m256i) -> __m256i {
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_half_i16(column)), bytes)
}

/// [`activation::sigmoid_q15`](super::super::activation::sigmoid_q15) of sixteen lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sigmoid_q15_lanes(x: __m256i) -> __m256i {
    let u = _mm256_min_epu16(_mm256_abs_epi16(x), _mm256_set1_epi16(32767));
    let t = _mm256_xor_si256(_mm256_slli_epi16::<4>(u), _mm256_set1_epi16(i16::MIN));
    let d = distance::<3, 3>(&SIGMOID, _mm256_srli_epi16::<12>(u), t);
    // For x = 0 the sign clears d, which is 0 there.
    _mm256_add_epi16(_mm256_set1_epi16(16384), _mm256_sign_epi16(d, x))
}

/// [`activation::tanh_q15`](super::super::activation::tanh_q15) of sixteen lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn tanh_q15_lanes(x: __m256i) -> __m256i {
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
pub(super) fn sigmoid_q15(x: &mut [i16]) {
    in_place_i16!(x, sigmoid_q15_lanes);
}

#[target_feature(enable = "avx2")]
pub(super) fn tanh_q15(x: &mut [i16]) {
    in_place_i16!(x, tanh_q15_lanes);
}

/// How the products of a layer's rows are summed.
pub(super) trait Rows {
    /// Type of the weights.
    type Weight: Scaled;
    /// Weights in an element of a slice.
    const PER_ELEMENT: usize = 1;

    /// The sums of `N` units, up to four: `[unit of 2][gate]` in each vector, 32 bits each. Units beyond `N` come out as anything.
    ///
    /// - `weights`: at least `N` units of `4 * columns` weights, [`Rows::PER_ELEMENT`] in an element.
    ///
    /// # Safety
    /// The processor has AVX2 and whatever else the implementation was compiled for.
    unsafe fn sums<const N: usize>(&self, weights: &[Self::Weight]) -> [__m256i; 2];
}

/// What follows the sums of a type of weights.
pub(super) trait Scaled: IntWeight {
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

/// `(h, c')` of sixteen units from the gates behind their activations, `[i, f, g, o]` in Q0.15, and `c` in two vectors.
macro_rules! next_q15_lanes {
    ($gates:expr, $c:expr) => {{
        use $crate::kernels::x86_64::integers::{next_cell, tanh_q15_lanes};
        let ([i, f, g, o], c): ([__m256i; 4], [__m256i; 2]) = ($gates, $c);
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
    }};
}
pub(super) use next_q15_lanes;

/// [`cell::lstm::cell_q15`](crate::kernels::cell::lstm::cell_q15) of up to sixteen units: `gates` is `[i, f, g, o]` in Q3.12, `h` and `c` are slices.
///
/// A macro, as is what it calls, because the compiler makes no call of it: there the vectors would come and go through memory.
macro_rules! cells_q15 {
    ($gates:expr, $h:expr, $c:expr) => {{
        let [i, f, g, o] = $gates;
        let (h, c): (&mut [i16], &mut [i32]) = ($h, $c);
        let mut padded = ([0; 16], [0; 16]);
        let is_whole = h.len() == 16 && c.len() == 16;
        if !is_whole {
            padded.1[..c.len()].copy_from_slice(c);
        }
        {
            let (padded_h, padded_c) = (&mut padded.0, &mut padded.1);
            let h: &mut [i16; 16] = h.first_chunk_mut().unwrap_or(padded_h);
            let c: &mut [i32; 16] = c.first_chunk_mut().unwrap_or(padded_c);
            let ([c_low, c_high], []) = c.as_chunks_mut::<8>() else { unreachable!() };
            // In the order in which the next c waits for them.
            let (g, i, f) = (tanh_q15_lanes(g), sigmoid_q15_lanes(i), sigmoid_q15_lanes(f));
            let gates = [i, f, g, sigmoid_q15_lanes(o)];
            let (next_h, next) = next_q15_lanes!(gates, [load_i32(c_low), load_i32(c_high)]);
            store_i32(c_low, next[0]);
            store_i32(c_high, next[1]);
            store_i16(h, next_h);
        }
        if !is_whole {
            h.copy_from_slice(&padded.0[..h.len()]);
            c.copy_from_slice(&padded.1[..c.len()]);
        }
    }};
}
pub(super) use cells_q15;

/// The scalar equations of [`cell::lstm::step`](crate::kernels::cell::lstm::step), in tiles of sixteen units.
///
/// Within a tile, the products of four units run together, then all sums are brought to Q3.12 and parted by gate, then one
/// vector a gate goes through the activations. `backwards` takes the last tile first, whose weights the nearest cache still has where a whole layer does
/// not fit it.
///
/// # Safety
/// That of [`Rows::sums`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn lstm_by<R: Rows>(
    rows: &R,
    gates: &RowsInt<'_, R::Weight>,
    columns: usize,
    h: &mut [i16],
    c: &mut [i32],
    backwards: bool,
) {
    let units = h.len();
    let row = 4 * columns / R::PER_ELEMENT; // of a unit
    let is_whole = columns.is_multiple_of(R::Weight::COLUMNS);
    assert!(is_whole && gates.weights.len() == units * row, "weights: [unit][block of columns][gate][columns]");
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
    assert!(c.len() == units, "c: [unit]");
    if row == 0 {
        return lstm::step(gates, &[], h, c); // no columns: only biases
    }

    let shift = _mm_cvtsi32_si128((gates.shift & 31) as i32);
    let count = units.div_ceil(16);
    for number in 0..count {
        let first = 16 * if backwards { count - 1 - number } else { number };
        let tile = first..units.min(first + 16);
        // Four units a vector: [unit][gate], Q3.12.
        let mut sums = [_mm256_setzero_si256(); 4];
        for quad in 0..tile.len().div_ceil(4) {
            let quad = if backwards { tile.len().div_ceil(4) - 1 - quad } else { quad };
            let units = first + 4 * quad..tile.end.min(first + 4 * quad + 4);
            let weights = &gates.weights[units.start * row..units.end * row];
            let multiplier = &gates.multiplier[4 * units.start..4 * units.end];
            let bias = &gates.bias[4 * units.start..4 * units.end];
            sums[quad] = if let (Ok(multiplier), Ok(bias)) = (multiplier.try_into(), bias.try_into()) {
                // SAFETY: the caller keeps the promise.
                requantize::<R::Weight>(unsafe { rows.sums::<4>(weights) }, multiplier, bias, shift)
            } else {
                let mut padded = ([0; 16], [0; 16]);
                padded.0[..multiplier.len()].copy_from_slice(multiplier);
                padded.1[..bias.len()].copy_from_slice(bias);
                // SAFETY: as above.
                requantize::<R::Weight>(unsafe { up_to_three(rows, weights, row) }, &padded.0, &padded.1, shift)
            };
        }
        cells_q15!(part_gates(sums), &mut h[tile.clone()], &mut c[tile]);
    }
}

/// As [`scalar::rows`], or as [`scalar::add_rows`] with `ADD`, four quads at a time.
///
/// # Safety
/// That of [`Rows::sums`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn rows_by<R: Rows, const ADD: bool>(
    rows: &R,
    gates: &RowsInt<'_, R::Weight>,
    x: &[i16],
    out: &mut [i32],
) {
    let row = 4 * x.len() / R::PER_ELEMENT; // of a quad
    let is_whole = x.len().is_multiple_of(R::Weight::COLUMNS);
    assert!(
        is_whole && R::PER_ELEMENT * gates.weights.len() >= out.len() * x.len(),
        "weights: [quad][block of columns][row][columns]"
    );
    assert!(gates.multiplier.len() >= out.len() && (ADD || gates.bias.len() >= out.len()), "multiplier, bias: [row]");
    if row == 0 {
        // No columns: only biases.
        if !ADD {
            scalar::rows(gates, x, out);
        }
        return;
    }
    let tiles = gates.weights.chunks(4 * row).zip(gates.multiplier.chunks(16));
    for (number, ((weights, multiplier), out)) in tiles.zip(out.chunks_mut(16)).enumerate() {
        let bias = if ADD { None } else { gates.bias.get(16 * number..16 * number + out.len()) };
        if let (Ok(multiplier), Ok(out)) = (multiplier.try_into(), <&mut [i32; 16]>::try_from(&mut *out)) {
            // SAFETY: the caller keeps the promise.
            let sums = unsafe { rows.sums::<4>(weights) };
            let sums = match bias.and_then(|bias| bias.first_chunk()) {
                Some(bias) => scaled::<R::Weight>(sums, multiplier, bias),
                None => scaled::<R::Weight>(sums, multiplier, out),
            };
            store_sums(sums, out);
        } else {
            let mut padded = ([0; 16], [0; 16], [0; 16]);
            padded.0[..out.len()].copy_from_slice(&multiplier[..out.len()]);
            padded.1[..out.len()].copy_from_slice(bias.unwrap_or(out));
            // SAFETY: as above.
            let sums = unsafe { up_to_three(rows, weights, row) };
            store_sums(scaled::<R::Weight>(sums, &padded.0, &padded.1), &mut padded.2);
            out.copy_from_slice(&padded.2[..out.len()]);
        }
    }
}

/// The sums of the one, two or three units that are left.
///
/// # Safety
/// That of [`Rows::sums`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn up_to_three<R: Rows>(rows: &R, weights: &[R::Weight], row: usize) -> [__m256i; 2] {
    // SAFETY: the caller keeps the promise.
    unsafe {
        match weights.len() / row {
            1 => rows.sums::<1>(weights),
            2 => rows.sums::<2>(weights),
            _ => rows.sums::<3>(weights),
        }
    }
}

/// Writes the sums of four quads.
#[inline]
#[target_feature(enable = "avx2")]
fn store_sums([sums_01, sums_23]: [__m256i; 2], out: &mut [i32; 16]) {
    let ([out_01, out_23], []) = out.as_chunks_mut::<8>() else { unreachable!() };
    store_i32(out_01, sums_01);
    store_i32(out_23, sums_23);
}

/// `sat16((acc * multiplier + bias) >> shift)` for four units, `[unit][gate]`; `acc` as [`Rows::sums`] leaves it.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn requantize<W: Scaled>(
    acc: [__m256i; 2],
    multiplier: &[u16; 16],
    bias: &[i32; 16],
    shift: __m128i,
) -> __m256i {
    shifted(scaled::<W>(acc, multiplier, bias), shift)
}

/// `sat16(sums >> shift)` of sixteen rows.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shifted(sums: [__m256i; 2], shift: __m128i) -> __m256i {
    let [low, high] = sums.map(|sums| _mm256_sra_epi32(sums, shift));
    // [unit 0, unit 2 | unit 1, unit 3], to their order.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high))
}

/// `acc * multiplier + bias` for units 0 and 1, and for units 2 and 3, `[unit][gate]`; `acc` as [`Rows::sums`] leaves it.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn scaled<W: Scaled>(acc: [__m256i; 2], multiplier: &[u16; 16], bias: &[i32; 16]) -> [__m256i; 2] {
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
pub(super) fn part_gates(sums: [__m256i; 4]) -> [__m256i; 4] {
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

/// `(((c * f) >> 16) << 1) + ((ig + 3 * 2^10) >> 11)` of eight units; f zero-extended to 32 bits, `ig` the product of i and g.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn next_cell(c: __m256i, f: __m256i, ig: __m256i) -> __m256i {
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
pub(super) fn dot_i16(w: &[i16], v: &[i16]) -> i64 {
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
pub(super) fn shift_q12(sums: &[i32], shift: u32, out: &mut [i16]) {
    scalar::shift_q12(sums, shift, out);
}

#[target_feature(enable = "avx2")]
pub(super) fn gru_cell_i8(backend: Avx2, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
    gru::cell_i8(backend, sums, n, shift, h);
}

#[target_feature(enable = "avx2")]
pub(super) fn widen_i8(x: &[i8], out: &mut [i16]) {
    scalar::widen_i8(x, out);
}

#[target_feature(enable = "avx2")]
pub(super) fn narrow_q15(h: &[i16], out: &mut [i16]) {
    scalar::narrow_q15(h, out);
}

#[target_feature(enable = "avx2")]
pub(super) fn add_i16(sum: &mut [i32], h: &[i16]) {
    scalar::add_i16(sum, h);
}

#[target_feature(enable = "avx2")]
pub(super) fn max_i16(max: &mut [i16], h: &[i16]) {
    scalar::max_i16(max, h);
}

#[target_feature(enable = "avx2")]
pub(super) fn add_f32(sum: &mut [f32], h: &[f32]) {
    scalar::add_f32(sum, h);
}

#[target_feature(enable = "avx2")]
pub(super) fn max_f32(max: &mut [f32], h: &[f32]) {
    scalar::max_f32(max, h);
}
