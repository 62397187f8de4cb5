//! Several streams that step together: what a weight costs before it is multiplied, its load and of bytes their widening, it costs a group of streams once.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::{ProductFloat, RowsI8, StreamFloat, StreamInt};
use super::floats::{cell_f32, check_streams};
use super::integers::{cells_q15, next_q15_lanes, part_gates, requantize, sigmoid_q15_lanes, tanh_q15_lanes};
use super::{Lanes, load_f32, load_i32, store_f32, store_i16, store_i32};

/// Units of a tile, whose weights the streams read one group after the other while the nearest caches hold them.
const TILE: usize = 16;

/// Streams of integers whose sums of two units are in registers together.
const GROUP: usize = 4;

/// [`Backend::lstm_i8_many`](crate::kernels::Backend::lstm_i8_many). False where the units are no quads or the layer has no columns, and nothing is done.
#[target_feature(enable = "avx2")]
pub(super) fn lstm_i8(gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>]) -> bool {
    let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return true };
    let units = gates.multiplier.len() / 4;
    if columns == 0 || !units.is_multiple_of(4) {
        return false;
    }
    assert!(
        columns.is_multiple_of(4) && gates.weights.len() == 4 * units * columns,
        "weights: [unit][K4 / 4][gate][4]"
    );
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
    for stream in &*streams {
        assert!(stream.xh.len() == columns, "the same columns for all");
        assert!(stream.h.len() == units && stream.c.len() == units, "h, c: [unit]");
    }
    for first in (0..units).step_by(TILE) {
        for group in streams.chunks_mut(GROUP) {
            match group.len() {
                GROUP => tile_i8::<GROUP>(gates, first, group),
                3 => tile_i8::<3>(gates, first, group),
                2 => tile_i8::<2>(gates, first, group),
                _ => tile_i8::<1>(gates, first, group),
            }
        }
    }
    true
}

/// One step of the tile that begins with a unit, in `S` streams.
#[inline]
#[target_feature(enable = "avx2")]
fn tile_i8<const S: usize>(gates: &RowsI8<'_>, first: usize, streams: &mut [StreamInt<'_>]) {
    let [.., last] = streams else { return };
    let (row, units) = (4 * last.xh.len(), first..last.h.len().min(first + TILE));
    let shift = _mm_cvtsi32_si128((gates.shift & 31) as i32);
    let mut sums = [[_mm256_setzero_si256(); 4]; S];
    for (quad, unit) in units.clone().step_by(4).enumerate() {
        let weights = &gates.weights[unit * row..(unit + 4) * row];
        let rows = 4 * unit..4 * unit + 16;
        let (Ok(multiplier), Ok(bias)) = (gates.multiplier[rows.clone()].try_into(), gates.bias[rows].try_into())
        else {
            return;
        };
        let (low, high) = weights.split_at(2 * row);
        let (low, high) = (two_units::<S>(low, streams), two_units::<S>(high, streams));
        for ((sums, low), high) in sums.iter_mut().zip(low).zip(high) {
            sums[quad] = requantize::<i8>([low, high], multiplier, bias, shift);
        }
    }
    for (sums, stream) in sums.into_iter().zip(streams) {
        cells_q15!(part_gates(sums), &mut stream.h[units.clone()], &mut stream.c[units.clone()]);
    }
}

/// The sums of two units in `S` streams, as [`Rows::sums`](super::integers::Rows::sums) has them.
#[inline]
#[target_feature(enable = "avx2")]
fn two_units<const S: usize>(weights: &[i8], streams: &[StreamInt<'_>]) -> [__m256i; S] {
    let (one, other) = weights.split_at(weights.len() / 2);
    let (one, other) = (one.as_chunks::<16>().0, other.as_chunks::<16>().0);
    let columns = one.len();
    assert!(
        streams.len() >= S && other.len() == columns && streams.iter().all(|stream| stream.xh.len() >= 4 * columns)
    );
    let mut acc = [[_mm256_setzero_si256(); 2]; S];
    for (k, (one, other)) in one.iter().zip(other).enumerate() {
        let (one, other) = (widened(one), widened(other));
        for (acc, stream) in acc.iter_mut().zip(streams) {
            // SAFETY: 4 k + 4 <= 4 * columns, which no stream has less of by the assertion; the load needs no alignment.
            let x = _mm256_set1_epi64x(unsafe { stream.xh.as_ptr().add(4 * k).cast::<i64>().read_unaligned() });
            acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(one, x));
            acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(other, x));
        }
    }
    let mut joined = [_mm256_setzero_si256(); S];
    for (joined, [one, other]) in joined.iter_mut().zip(acc) {
        *joined = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(one, other));
    }
    joined
}

/// Sixteen bytes as 16 bits each, so that -128 needs no care.
#[inline]
#[target_feature(enable = "avx2")]
fn widened(weights: &[i8; 16]) -> __m256i {
    // SAFETY: the array has the 16 bytes that are read; the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.as_ptr().cast()) })
}

/// [`Backend::lstm_float_many`](crate::kernels::Backend::lstm_float_many), a block of eight units at a time, two or three streams together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn lstm_float<W: Lanes>(weights: &[W], bias: &[f32], streams: &mut [StreamFloat<'_>]) {
    let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
    if columns == 0 {
        return; // no layer is without columns
    }
    check_streams(weights, bias, columns, streams);
    for (block, (weights, bias)) in weights.chunks_exact(32 * columns).zip(bias.as_chunks::<32>().0).enumerate() {
        for some in streams.chunks_mut(W::TOGETHER) {
            match some.len() {
                3 => block_f32::<3, W>(weights, bias, block, some),
                2 => block_f32::<2, W>(weights, bias, block, some),
                _ => block_f32::<1, W>(weights, bias, block, some),
            }
        }
    }
}

/// One step of one block in `S` streams.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block_f32<const S: usize, W: Lanes>(weights: &[W], bias: &[f32; 32], block: usize, streams: &mut [StreamFloat<'_>]) {
    let mut z = [[_mm256_setzero_ps(); 4]; S];
    for z in &mut z {
        for (z, bias) in z.iter_mut().zip(bias.as_chunks::<8>().0) {
            *z = load_f32(bias);
        }
    }
    let columns = weights.len() / 32;
    assert!(streams.len() >= S && streams.iter().all(|stream| stream.xh.len() >= columns));
    for (column, weights) in weights.as_chunks::<32>().0.iter().enumerate() {
        let mut x = [_mm256_setzero_ps(); S];
        for (x, stream) in x.iter_mut().zip(&*streams) {
            *x = _mm256_set1_ps(stream.xh[column]);
        }
        for gate in 0..4 {
            // SAFETY: the array has four times the eight weights that are read. This function was compiled for F16C too.
            let w = unsafe { W::load8(weights.as_ptr().add(8 * gate)) };
            for (z, x) in z.iter_mut().zip(x) {
                z[gate] = _mm256_fmadd_ps(w, x, z[gate]);
            }
        }
    }
    let units = 8 * block..8 * block + 8;
    for (z, stream) in z.into_iter().zip(streams) {
        let (h, c) = (stream.h[units.clone()].first_chunk_mut(), stream.c[units.clone()].first_chunk_mut());
        if let (Some(h), Some(c)) = (h, c) {
            cell_f32(z, h, c);
        }
    }
}

/// [`Backend::rows_float_many`](crate::kernels::Backend::rows_float_many), a block of 32 rows at a time, two or three streams together.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows_float<W: Lanes, const ADD: bool>(weights: &[W], bias: &[f32], products: &mut [ProductFloat<'_>]) {
    let Some((columns, rows)) = products.first().map(|product| (product.x.len(), product.out.len())) else { return };
    assert!(rows.is_multiple_of(8) && weights.len() == rows * columns, "weights: [R / 32][K][32 rows]");
    assert!(ADD || bias.len() == rows, "biases: [R]");
    for product in &*products {
        assert!(product.x.len() == columns && product.out.len() == rows, "the same columns and rows for all");
    }
    for first in (0..rows).step_by(32) {
        let height = (rows - first).min(32);
        let weights = &weights[first * columns..][..height * columns];
        let bias = if ADD { bias } else { &bias[first..][..height] };
        for some in products.chunks_mut(W::TOGETHER) {
            match (height, some.len()) {
                (32, 3) => block_of_rows::<3, 4, W, ADD>(weights, bias, first, some),
                (32, 2) => block_of_rows::<2, 4, W, ADD>(weights, bias, first, some),
                (32, _) => block_of_rows::<1, 4, W, ADD>(weights, bias, first, some),
                (24, _) => each_of_rows::<3, W, ADD>(weights, bias, first, some),
                (16, _) => each_of_rows::<2, W, ADD>(weights, bias, first, some),
                _ => each_of_rows::<1, W, ADD>(weights, bias, first, some),
            }
        }
    }
}

/// The last block, of fewer rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn each_of_rows<const N: usize, W: Lanes, const ADD: bool>(
    weights: &[W],
    bias: &[f32],
    first: usize,
    products: &mut [ProductFloat<'_>],
) {
    for product in products.chunks_mut(1) {
        block_of_rows::<1, N, W, ADD>(weights, bias, first, product);
    }
}

/// `8 * N` rows, from one of `out` on, in `S` streams.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block_of_rows<const S: usize, const N: usize, W: Lanes, const ADD: bool>(
    weights: &[W],
    bias: &[f32],
    first: usize,
    products: &mut [ProductFloat<'_>],
) {
    let columns = weights.len() / (8 * N);
    assert!(products.len() >= S && products.iter().all(|product| product.x.len() >= columns));
    let mut z = [[_mm256_setzero_ps(); N]; S];
    for (z, product) in z.iter_mut().zip(&*products) {
        let from = if ADD { &product.out[first..][..8 * N] } else { bias };
        for (z, from) in z.iter_mut().zip(from.as_chunks::<8>().0) {
            *z = load_f32(from);
        }
    }
    for (column, weights) in weights.chunks_exact(8 * N).enumerate() {
        let mut x = [_mm256_setzero_ps(); S];
        for (x, product) in x.iter_mut().zip(&*products) {
            *x = _mm256_set1_ps(product.x[column]);
        }
        for at in 0..N {
            // SAFETY: the piece has `N` times the eight weights that are read. This function was compiled for F16C too.
            let w = unsafe { W::load8(weights.as_ptr().add(8 * at)) };
            for (z, x) in z.iter_mut().zip(x) {
                z[at] = _mm256_fmadd_ps(w, x, z[at]);
            }
        }
    }
    for (z, product) in z.into_iter().zip(products) {
        for (z, out) in z.into_iter().zip(product.out[first..].as_chunks_mut::<8>().0) {
            store_f32(out, z);
        }
    }
}
