//! A whole int8 step of a GRU whose reset gate acts after the product: sixteen units at a time, whose sums stay in registers from the
//! [products of bytes](super::bytes) to the next h.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::Features;
use super::super::cell::gru::{GruI8, Reset};
use super::bytes::{Columns, Dot, Hidden, Pairs, ROOM, Room, Row, fill};
use super::integers::{requantize, scaled, shifted, sigmoid_q15_lanes, tanh_q15_lanes};
use super::{load_i16, store_i16};

/// Units of a tile, one a lane.
const TILE: usize = 16;

#[target_feature(enable = "avx2")]
pub(super) fn step_i8(gru: &GruI8<'_>, x: Features<'_>, h: &mut [i16]) -> bool {
    // SAFETY: this function was compiled for AVX2, which is all that `Pairs` needs.
    unsafe { step_i8_with::<Pairs>(gru, x, h) }
}

/// The equations of [`gru::step`](crate::kernels::cell::gru::step). False where the units come in no whole tiles, the features in no quads, or the reset
/// acts before the product, and nothing is done.
///
/// # Safety
/// That of [`Dot::dot`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn step_i8_with<D: Dot>(gru: &GruI8<'_>, x: Features<'_>, h: &mut [i16]) -> bool {
    let (units, inputs) = (h.len(), x.len());
    let is_whole = units.is_multiple_of(TILE) && inputs.is_multiple_of(4) && inputs > 0;
    if !is_whole || gru.reset != Reset::After || inputs.next_multiple_of(8) + units > ROOM {
        return false;
    }
    let (kernel, recurrent) = (&gru.kernel, &gru.recurrent);
    assert!(kernel.weights.len() >= 3 * units * inputs, "the kernel's weights: [quad][K4 / 4][row][4]");
    assert!(recurrent.weights.len() >= 3 * units * units, "the recurrent kernel's weights: [quad][U / 4][row][4]");
    assert!(kernel.multiplier.len().min(kernel.bias.len()) >= 3 * units, "the kernel's multipliers and biases: [row]");
    assert!(recurrent.multiplier.len() >= 3 * units && recurrent.bias.len() >= units, "multipliers, biases of n");
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 8];
    let (room_x, room_h) = room.split_at_mut(inputs.div_ceil(8));
    // SAFETY: the caller keeps the promise, and `fill` has written what the columns read.
    let (features, hidden) = unsafe {
        let of_x = match x {
            Features::Row(row) => fill(room_x, Row(row)),
            Features::Hidden(hidden) => fill(room_x, Hidden::<2>(hidden)),
        };
        let of_h = fill(room_h, Hidden::<3>(h));
        (Columns::<D>::new(room_x, inputs, of_x), Columns::<D>::new(room_h, units, of_h))
    };
    let shift = _mm_cvtsi32_si128((kernel.shift & 31) as i32);
    for (tile, h) in h.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
        // Of z, of r, and of n the features' and the recurrent kernel's.
        let mut sums = [_mm256_setzero_si256(); 4];
        for gate in 0..3 {
            let row = gate * units + TILE * tile;
            // SAFETY: the caller keeps the promise.
            let (of_x, of_h) = unsafe {
                (
                    features.sums::<4>(&kernel.weights[row * inputs..(row + TILE) * inputs], 4 * inputs),
                    hidden.sums::<4>(&recurrent.weights[row * units..(row + TILE) * units], 4 * units),
                )
            };
            let (Some(by_x), Some(by_h), Some(bias)) = (
                kernel.multiplier[row..].first_chunk(),
                recurrent.multiplier[row..].first_chunk(),
                kernel.bias[row..].first_chunk(),
            ) else {
                unreachable!("there are as many as rows")
            };
            if gate < 2 {
                let of_x = scaled::<i8>(of_x, by_x, bias);
                let of_h = scaled::<i8>(of_h, by_h, &[0; TILE]);
                let both = [_mm256_add_epi32(of_x[0], of_h[0]), _mm256_add_epi32(of_x[1], of_h[1])];
                sums[gate] = shifted(both, shift);
            } else if let Some(own) = recurrent.bias[TILE * tile..].first_chunk() {
                sums[2] = requantize::<i8>(of_x, by_x, bias, shift);
                sums[3] = requantize::<i8>(of_h, by_h, own, shift);
            }
        }
        let [z, r, of_x, of_h] = sums;
        let r = sigmoid_q15_lanes(r);
        let n = tanh_q15_lanes(_mm256_adds_epi16(of_x, _mm256_mulhrs_epi16(r, of_h)));
        store_i16(h, mixed(sigmoid_q15_lanes(z), n, load_i16(h)));
    }
    true
}

/// `(z * h + (32768 - z) * n + 2^14) >> 15`, as `(z * h - z * n + 2^15 * n + 2^14) >> 15`.
#[inline]
#[target_feature(enable = "avx2")]
fn mixed(z: __m256i, n: __m256i, h: __m256i) -> __m256i {
    let zero = _mm256_setzero_si256();
    let less = _mm256_sub_epi16(zero, z);
    let half = |states, weights, n| {
        let products = _mm256_madd_epi16(states, weights);
        let sum = _mm256_add_epi32(products, _mm256_srai_epi32::<1>(n));
        _mm256_srai_epi32::<15>(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 14)))
    };
    let low = half(_mm256_unpacklo_epi16(h, n), _mm256_unpacklo_epi16(z, less), _mm256_unpacklo_epi16(zero, n));
    let high = half(_mm256_unpackhi_epi16(h, n), _mm256_unpackhi_epi16(z, less), _mm256_unpackhi_epi16(zero, n));
    _mm256_packs_epi32(low, high)
}
