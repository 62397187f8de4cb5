//! The float step and the float activations, sixteen lanes of 32 bits.

use core::arch::x86_64::*;

use half::f16;

use super::super::super::activation::{EXPM1, LN2_HIGH, LN2_LOW, ROUND, SIGMOID_LOWEST, TANH_LOWEST};
use super::super::super::{FloatWeight, MANY, StreamFloat};
use super::super::{load_f32, sigmoid_f32_lanes as sigmoid_f32_8, store_f32, tanh_f32_lanes as tanh_f32_8};
use super::{load_f32_16, store_f32_16};

/// `(s, p)` with `e^y = s + s p`, as `exp_parts` in `activation.rs`.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp_parts(y: __m512) -> (__m512, __m512) {
    let round = _mm512_set1_ps(ROUND);
    let shifted = _mm512_fmadd_ps(y, _mm512_set1_ps(core::f32::consts::LOG2_E), round);
    let n = _mm512_sub_ps(shifted, round);
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LN2_LOW), _mm512_fnmadd_ps(n, _mm512_set1_ps(LN2_HIGH), y));
    let mut q = _mm512_set1_ps(EXPM1[4]);
    for &c in EXPM1[..4].iter().rev() {
        q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(c));
    }
    let biased = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
    let s = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased));
    (s, _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r))
}

/// [`activation::sigmoid_f32`](super::super::activation::sigmoid_f32) of sixteen lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn sigmoid_f32_lanes(x: __m512) -> __m512 {
    let y = _mm512_or_ps(x, _mm512_set1_ps(-0.0));
    // The second operand is what comes out when it is NaN.
    let (s, p) = exp_parts(_mm512_max_ps(_mm512_set1_ps(SIGMOID_LOWEST), y));
    let e = _mm512_fmadd_ps(s, p, s);
    let one = _mm512_set1_ps(1.0);
    // The sign bit of x chooses; at x = -0, e is 1 too.
    let numerator = _mm512_mask_mov_ps(one, _mm512_movepi32_mask(_mm512_castps_si512(x)), e);
    _mm512_div_ps(numerator, _mm512_add_ps(one, e))
}

/// [`activation::tanh_f32`](super::super::activation::tanh_f32) of sixteen lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn tanh_f32_lanes(x: __m512) -> __m512 {
    let sign = _mm512_set1_ps(-0.0);
    let y = _mm512_or_ps(_mm512_add_ps(x, x), sign);
    let (s, p) = exp_parts(_mm512_max_ps(_mm512_set1_ps(TANH_LOWEST), y));
    let m = _mm512_fmadd_ps(s, p, _mm512_sub_ps(s, _mm512_set1_ps(1.0)));
    let magnitude = _mm512_andnot_ps(sign, _mm512_div_ps(m, _mm512_add_ps(_mm512_set1_ps(2.0), m)));
    _mm512_or_ps(magnitude, _mm512_and_ps(sign, x))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn sigmoid_f32(x: &mut [f32]) {
    for x in x.chunks_mut(16) {
        let y = sigmoid_f32_lanes(load_f32_16(x));
        store_f32_16(x, y);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn tanh_f32(x: &mut [f32]) {
    for x in x.chunks_mut(16) {
        let y = tanh_f32_lanes(load_f32_16(x));
        store_f32_16(x, y);
    }
}

/// The equations of [`scalar::lstm_float`], four blocks of eight units at a time: two vectors a block, `[i f]` and `[g o]`, and eight sums
/// in flight, which hide the latency of the fused multiply-add.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn lstm_f32(weights: &[f32], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    let block = 32 * xh.len();
    assert!(h.len().is_multiple_of(8) && h.len() == c.len(), "h, c: [U8]");
    assert!(bias.len() == 4 * h.len(), "bias: [U8 / 8][gate][8]");
    assert!(weights.len() == block * (h.len() / 8), "weights: [U8 / 8][K][gate][8]");
    if block == 0 {
        return; // no layer is without columns
    }
    let tiles = weights.chunks(4 * block).zip(bias.chunks(128));
    for ((weights, bias), (h, c)) in tiles.zip(h.chunks_mut(32).zip(c.chunks_mut(32))) {
        match h.len() {
            8 => units::<1>(weights, bias, xh, h, c),
            16 => units::<2>(weights, bias, xh, h, c),
            24 => units::<3>(weights, bias, xh, h, c),
            _ => units::<4>(weights, bias, xh, h, c),
        }
    }
}

/// One step of `N` blocks of eight units; `weights` has `N * 32 * xh.len()` elements, `bias` `32 * N`, `h` and `c` `8 * N`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn units<const N: usize>(weights: &[f32], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    let z = products::<N>(weights, bias, xh);
    let (h, h_last) = h.split_at_mut(N / 2 * 16);
    let (c, c_last) = c.split_at_mut(N / 2 * 16);
    for (z, (h, c)) in z.as_chunks::<2>().0.iter().zip(h.chunks_exact_mut(16).zip(c.chunks_exact_mut(16))) {
        let (next_h, next_c) = cell_f32(*z, load_f32_16(c));
        store_f32_16(c, next_c);
        store_f32_16(h, next_h);
    }
    if N % 2 == 1
        && let (Some(z), Some(h), Some(c)) = (z.last(), h_last.first_chunk_mut::<8>(), c_last.first_chunk_mut::<8>())
    {
        last_cell_f32(*z, h, c);
    }
}

/// `(h, c')` of twice eight units from their sums, `[i f]` and `[g o]` of the first eight and of the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn cell_f32([[if_0, go_0], [if_1, go_1]]: [[__m512; 2]; 2], c: __m512) -> (__m512, __m512) {
    let low = |a, b| _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
    let high = |a, b| _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b);
    let (i, f, g, o) = (low(if_0, if_1), high(if_0, if_1), low(go_0, go_1), high(go_0, go_1));
    let ig = _mm512_mul_ps(sigmoid_f32_lanes(i), tanh_f32_lanes(g));
    let next = _mm512_fmadd_ps(sigmoid_f32_lanes(f), c, ig);
    (_mm512_mul_ps(sigmoid_f32_lanes(o), tanh_f32_lanes(next)), next)
}

/// The same of eight units.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn last_cell_f32([of_if, of_go]: [__m512; 2], h: &mut [f32; 8], c: &mut [f32; 8]) {
    let low = _mm512_castps512_ps256;
    let high = _mm512_extractf32x8_ps::<1>;
    let ig = _mm256_mul_ps(sigmoid_f32_8(low(of_if)), tanh_f32_8(low(of_go)));
    let next = _mm256_fmadd_ps(sigmoid_f32_8(high(of_if)), load_f32(c), ig);
    store_f32(c, next);
    store_f32(h, _mm256_mul_ps(sigmoid_f32_8(high(of_go)), tanh_f32_8(next)));
}

/// A stored weight of which sixteen become one vector of floats.
pub(super) trait Lanes: FloatWeight {
    /// Sixteen weights as floats.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512 F, and sixteen weights are readable at `at`, at any alignment.
    unsafe fn load16(at: *const Self) -> __m512;
}

impl Lanes for f32 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load16(at: *const Self) -> __m512 {
        // SAFETY: sixteen floats are readable at `at`, as the trait demands of the caller.
        unsafe { _mm512_loadu_ps(at) }
    }
}

impl Lanes for f16 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load16(at: *const Self) -> __m512 {
        // SAFETY: sixteen 16-bit weights are readable at `at`, as the trait demands of the caller.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(at.cast()) })
    }
}

/// The equations of [`scalar::lstm_float`] for several streams, a block of eight units at a time, each of whose weights is loaded once for eight streams.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn lstm_float_many<W: Lanes>(weights: &[W], bias: &[f32], streams: &mut [StreamFloat<'_>]) {
    let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
    if columns == 0 {
        return; // no layer is without columns
    }
    let blocks = bias.len() / 32;
    assert!(weights.len() == 32 * columns * blocks, "weights: [U8 / 8][K][gate][8]");
    for stream in &*streams {
        assert!(stream.xh.len() == columns, "the same columns for all");
        assert!(stream.h.len() == 8 * blocks && stream.c.len() == 8 * blocks, "h, c: [U8]");
    }
    for (block, (weights, bias)) in weights.chunks_exact(32 * columns).zip(bias.chunks_exact(32)).enumerate() {
        let mut rest = &mut *streams;
        while !rest.is_empty() {
            let count = rest.len().min(MANY);
            let (now, later) = rest.split_at_mut(if count == MANY { MANY } else { 1 << count.ilog2() });
            match now.len() {
                MANY => block_of_many::<MANY, W>(weights, bias, now, block),
                4 => block_of_many::<4, W>(weights, bias, now, block),
                2 => block_of_many::<2, W>(weights, bias, now, block),
                _ => block_of_many::<1, W>(weights, bias, now, block),
            }
            rest = later;
        }
    }
}

/// One step of one block in `S` streams.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn block_of_many<const S: usize, W: Lanes>(weights: &[W], bias: &[f32], streams: &mut [StreamFloat<'_>], block: usize) {
    let mut z = [[load_f32_16(&bias[..16]), load_f32_16(&bias[16..])]; S];
    let columns = weights.len() / 32;
    assert!(streams.len() >= S && streams.iter().all(|stream| stream.xh.len() >= columns));
    for (column, w) in weights.as_chunks::<32>().0.iter().enumerate() {
        // SAFETY: the array has twice the sixteen weights that are read. This function was compiled for AVX-512 F too.
        let w = unsafe { [W::load16(w.as_ptr()), W::load16(w.as_ptr().add(16))] };
        for (z, stream) in z.iter_mut().zip(&*streams) {
            let x = _mm512_set1_ps(stream.xh[column]);
            *z = [_mm512_fmadd_ps(w[0], x, z[0]), _mm512_fmadd_ps(w[1], x, z[1])];
        }
    }
    let units = 8 * block..8 * block + 8;
    for (z, streams) in z.as_chunks::<2>().0.iter().zip(streams.as_chunks_mut::<2>().0) {
        let [one, other] = streams;
        let c = (&mut one.c[units.clone()], &mut other.c[units.clone()]);
        let h = (&mut one.h[units.clone()], &mut other.h[units.clone()]);
        let (Some(c_one), Some(c_other)) = (c.0.first_chunk_mut::<8>(), c.1.first_chunk_mut::<8>()) else { return };
        let (Some(h_one), Some(h_other)) = (h.0.first_chunk_mut::<8>(), h.1.first_chunk_mut::<8>()) else { return };
        let both = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(load_f32(c_one)), load_f32(c_other));
        let (next_h, next_c) = cell_f32(*z, both);
        store_f32(c_one, _mm512_castps512_ps256(next_c));
        store_f32(c_other, _mm512_extractf32x8_ps::<1>(next_c));
        store_f32(h_one, _mm512_castps512_ps256(next_h));
        store_f32(h_other, _mm512_extractf32x8_ps::<1>(next_h));
    }
    if S % 2 == 1
        && let (Some(z), Some(stream)) = (z.last(), streams.get_mut(S - 1))
        && let (Some(h), Some(c)) =
            (stream.h[units.clone()].first_chunk_mut::<8>(), stream.c[units].first_chunk_mut::<8>())
    {
        last_cell_f32(*z, h, c);
    }
}

/// `W xh + bias` of `N` blocks of eight units: `[i f]` and `[g o]` of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn products<const N: usize>(weights: &[f32], bias: &[f32], xh: &[f32]) -> [[__m512; 2]; N] {
    let columns = xh.len();
    let block = 32 * columns;
    assert!(weights.len() >= N * block);
    let mut z = [[_mm512_setzero_ps(); 2]; N];
    for (z, bias) in z.iter_mut().zip(bias.chunks_exact(32)) {
        *z = [load_f32_16(&bias[..16]), load_f32_16(&bias[16..])];
    }
    let step = |z: &mut [[__m512; 2]; N], column: usize, x: f32| {
        let x = _mm512_set1_ps(x);
        for (n, z) in z.iter_mut().enumerate() {
            for (half, z) in z.iter_mut().enumerate() {
                // SAFETY: n < N, column < columns and half < 2, so the sixteen weights from n * block + 32 column + 16 half end by
                // N * block, inside `weights` by the assertion; the load needs no alignment.
                let w = unsafe { _mm512_loadu_ps(weights.as_ptr().add(n * block + 32 * column + 16 * half)) };
                *z = _mm512_fmadd_ps(w, x, *z);
            }
        }
    };
    if N > 2 {
        for (column, &x) in xh.iter().enumerate() {
            step(&mut z, column, x);
        }
    } else {
        // Few sums would wait for each other: two of each, side by side.
        let mut others = [[_mm512_setzero_ps(); 2]; N];
        let (first, second) = xh.split_at(columns.div_ceil(2));
        for (column, (&x, &y)) in first.iter().zip(second).enumerate() {
            step(&mut z, column, x);
            step(&mut others, first.len() + column, y);
        }
        if first.len() > second.len() {
            step(&mut z, first.len() - 1, first[first.len() - 1]);
        }
        for (z, other) in z.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
            *z = _mm512_add_ps(*z, *other);
        }
    }
    z
}
