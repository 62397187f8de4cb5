//! The float step and the float activations, sixteen lanes of 32 bits.

use core::arch::x86_64::*;

use half::f16;

use super::super::super::activation::FusedExp;
use super::super::super::cell::TINY;
use super::super::super::{FloatWeight, MANY, StreamFloat};
use super::super::floats::check_streams;
use super::super::{load_f32, store_f32};
use super::{load_f32_16, store_f32_16};

/// `(e^(k x) - 1, e^(k x) + 1)` of sixteen lanes, by [`FusedExp`]; `K` is -1 or 2.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp_less_and_more<const K: i32>(x: __m512) -> (__m512, __m512) {
    let FusedExp { k, top, round, over_ln_2, ln_2, q: [q0, q1, q2, q3, q4] } = const { FusedExp::new(K) };
    let set = |value: f32| _mm512_set1_ps(value);
    let round = set(round);
    // The second operand is what comes out when it is NaN.
    let x = _mm512_min_ps(set(top), _mm512_max_ps(set(-top), x));
    let shifted = _mm512_fmadd_ps(x, set(over_ln_2), round);
    let n = _mm512_sub_ps(shifted, round);
    let r = _mm512_fnmadd_ps(n, set(ln_2), x);
    let s = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(shifted)));
    let r2 = _mm512_mul_ps(r, r);
    let low = _mm512_fmadd_ps(set(q1), r, set(q0));
    let high = _mm512_fmadd_ps(set(q3), r, set(q2));
    let low = _mm512_fmadd_ps(low, r2, _mm512_mul_ps(r, set(k)));
    let high = _mm512_fmadd_ps(set(q4), r2, high);
    let p = _mm512_fmadd_ps(high, _mm512_mul_ps(r2, r2), low);
    let one = set(1.0);
    (_mm512_fmadd_ps(s, p, _mm512_sub_ps(s, one)), _mm512_fmadd_ps(s, p, _mm512_add_ps(s, one)))
}

/// `1 / sigmoid(x)`, 1 + e^30 at most.
#[inline]
#[target_feature(enable = "avx512f")]
fn over_sigmoid(x: __m512) -> __m512 {
    exp_less_and_more::<-1>(x).1
}

/// `(a, b)` with `tanh(x) = a / b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn tanh_parts(x: __m512) -> (__m512, __m512) {
    exp_less_and_more::<2>(x)
}

/// The equations of [`cell::lstm::step_float`](crate::kernels::cell::lstm::step_float), four blocks of eight units at a time: two vectors a block, `[i f]` and `[g o]`, and eight sums
/// in flight, which hide the latency of the fused multiply-add.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn lstm_f32(weights: &[f32], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    check(weights, bias, xh.len(), h.len(), c.len());
    if xh.is_empty() {
        return; // no layer is without columns
    }
    let (mut weights, mut bias, mut h, mut c) = (weights, bias, h, c);
    while !h.is_empty() {
        // Not by `chunks`, which divides.
        let length = h.len().min(UNITS);
        let (tile, later_weights) = weights.split_at(4 * xh.len() * length);
        let (tile_bias, later_bias) = bias.split_at(4 * length);
        let (tile_h, later_h) = h.split_at_mut(length);
        let (tile_c, later_c) = c.split_at_mut(length);
        one_tile(tile, tile_bias, xh, Some(&[]), tile_h, tile_c, false);
        (weights, bias, h, c) = (later_weights, later_bias, later_h, later_c);
    }
}

/// The same over `[x; h]` from its parts. `xh` and `backwards` are those of [`Backend::step_float`](super::super::super::Backend::step_float).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn step_f32(
    weights: &[f32],
    bias: &[f32],
    x: &[f32],
    xh: &mut [f32],
    h: &mut [f32],
    c: &mut [f32],
    backwards: bool,
) {
    check(weights, bias, xh.len(), h.len(), c.len());
    if h.len() <= UNITS {
        return one_tile(weights, bias, x, None, h, c, backwards);
    }
    let Some((features, previous)) = xh.split_at_mut_checked(x.len()) else { return };
    let Some(last) = h.get(..previous.len()) else { return };
    // Some units are replaced while others still have to read them.
    features.copy_from_slice(x);
    previous.copy_from_slice(last);
    lstm_f32(weights, bias, xh, h, c);
}

/// Units of a tile.
const UNITS: usize = 32;

/// Panics where lengths break the contract of [`Backend::lstm_float`](super::super::super::Backend::lstm_float).
#[inline(always)]
fn check(weights: &[f32], bias: &[f32], columns: usize, units: usize, cells: usize) {
    assert!(units.is_multiple_of(8) && units == cells, "h, c: [U8]");
    assert!(bias.len() == 4 * units, "bias: [U8 / 8][gate][8]");
    assert!(weights.len() == 4 * columns * units, "weights: [U8 / 8][K][gate][8]");
}

/// One step of up to [`UNITS`] units; without `previous`, `h` has it.
///
/// Everything goes down in registers or words of its own: a structure that is written by the word and read by the vector would wait until
/// the step before has ended.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn one_tile(
    weights: &[f32],
    bias: &[f32],
    x: &[f32],
    previous: Option<&[f32]>,
    h: &mut [f32],
    c: &mut [f32],
    backwards: bool,
) {
    match h.len() {
        8 => units::<1>(weights, bias, x, previous, h, c, backwards),
        16 => units::<2>(weights, bias, x, previous, h, c, backwards),
        24 => units::<3>(weights, bias, x, previous, h, c, backwards),
        32 => units::<4>(weights, bias, x, previous, h, c, backwards),
        _ => {}
    }
}

/// One step of `N` blocks of eight units; `weights` has `N * 32` elements a column, `bias` `32 * N`, `h` and `c` `8 * N`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn units<const N: usize>(
    weights: &[f32],
    bias: &[f32],
    x: &[f32],
    previous: Option<&[f32]>,
    h: &mut [f32],
    c: &mut [f32],
    backwards: bool,
) {
    let previous = previous.unwrap_or(&h[..weights.len() / (32 * N) - x.len()]);
    let z = products::<N>(weights, bias, x, previous, backwards);
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

/// `(h, c')` of twice eight units from their sums, `[i f]` and `[g o]` of the first eight and of the others. A product of two activations is one
/// quotient.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn cell_f32([[if_0, go_0], [if_1, go_1]]: [[__m512; 2]; 2], c: __m512) -> (__m512, __m512) {
    let low = |a, b| _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
    let high = |a, b| _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b);
    let (i, f, g, o) = (low(if_0, if_1), high(if_0, if_1), low(go_0, go_1), high(go_0, go_1));
    let (over_i, (g, over_g)) = (over_sigmoid(i), tanh_parts(g));
    let ig = _mm512_div_ps(g, _mm512_mul_ps(over_i, over_g));
    let f = _mm512_div_ps(_mm512_set1_ps(1.0), over_sigmoid(f));
    // What is so small that it would become subnormal is zero, in fewer cycles than by a sum and a difference; a NaN
    // stays.
    let next = _mm512_fmadd_ps(f, c, ig);
    let large = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(next), _mm512_set1_ps(TINY));
    let next = _mm512_maskz_mov_ps(large, next);
    let (over_o, (tanh, over_tanh)) = (over_sigmoid(o), tanh_parts(next));
    (_mm512_div_ps(tanh, _mm512_mul_ps(over_o, over_tanh)), next)
}

/// The same of eight units, by the same arithmetic, so that a unit has the same activations wherever it stands.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn last_cell_f32(z: [__m512; 2], h: &mut [f32; 8], c: &mut [f32; 8]) {
    let (next_h, next_c) = cell_f32([z, z], _mm512_castps256_ps512(load_f32(c)));
    store_f32(c, _mm512_castps512_ps256(next_c));
    store_f32(h, _mm512_castps512_ps256(next_h));
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

/// The equations of [`cell::lstm::step_float`](crate::kernels::cell::lstm::step_float) for several streams, a block of eight units at a time, each of whose weights is loaded once for eight streams.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn lstm_float_many<W: Lanes>(weights: &[W], bias: &[f32], streams: &mut [StreamFloat<'_>]) {
    let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
    if columns == 0 {
        return; // no layer is without columns
    }
    check_streams(weights, bias, columns, streams);
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

/// `W [x; h] + bias` of `N` blocks of eight units: `[i f]` and `[g o]` of each.
///
/// The columns of x come first: they can be summed while the step before still works on h. `backwards` turns the order within both.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn products<const N: usize>(weights: &[f32], bias: &[f32], x: &[f32], h: &[f32], backwards: bool) -> [[__m512; 2]; N] {
    let block = 32 * (x.len() + h.len());
    assert!(weights.len() >= N * block);
    let mut z = [[_mm512_setzero_ps(); 2]; N];
    if let Some(bias) = bias.as_chunks::<16>().0.as_chunks::<2>().0.first_chunk::<N>() {
        for (z, bias) in z.iter_mut().zip(bias) {
            *z = [load_f32_16(&bias[0]), load_f32_16(&bias[1])];
        }
    }
    // Few sums would wait for each other: two of each, side by side.
    let mut others = [[_mm512_setzero_ps(); 2]; N];
    for (values, start) in [(x, 0), (h, x.len())] {
        let step = |z: &mut [[__m512; 2]; N], column: usize, value: f32| {
            let value = _mm512_set1_ps(value);
            for (n, z) in z.iter_mut().enumerate() {
                for (half, z) in z.iter_mut().enumerate() {
                    // SAFETY: n < N, start + column is one of the columns and half < 2, so the sixteen weights end by N * block, inside
                    // `weights` by the assertion; the load needs no alignment.
                    let w =
                        unsafe { _mm512_loadu_ps(weights.as_ptr().add(n * block + 32 * (start + column) + 16 * half)) };
                    *z = _mm512_fmadd_ps(w, value, *z);
                }
            }
        };
        let count = values.len();
        if N <= 2 {
            let (pairs, last) = values.as_chunks::<2>();
            for (pair, [one, other]) in pairs.iter().enumerate() {
                step(&mut z, 2 * pair, *one);
                step(&mut others, 2 * pair + 1, *other);
            }
            if let [last] = last {
                step(&mut z, count - 1, *last);
            }
        } else if backwards {
            for (column, value) in values.iter().enumerate().rev() {
                step(&mut z, column, *value);
            }
        } else {
            for (column, value) in values.iter().enumerate() {
                step(&mut z, column, *value);
            }
        }
    }
    if N <= 2 {
        for (z, other) in z.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
            *z = _mm512_add_ps(*z, *other);
        }
    }
    z
}
