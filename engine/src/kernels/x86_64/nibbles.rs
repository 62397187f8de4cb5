//! Weights of four bits, taken apart in registers: 32 bytes are the 64 weights of a unit's sixteen columns.
//!
//! ```text
//! n + 8 = nibble xor 8, 0 to 15          sum of 16 n x = 16 (sum of (n + 8) x - 8 sum of x)
//! ```
//!
//! Two products of a nibble and a byte are at most `2 * 15 * 128`, so that eight of them are added in 16 bits. The last term is the same for all rows.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::cell::lstm;
use super::super::{Features, RowsI8, scalar};
use super::bytes::{Hidden, ROOM, Row, Source, Words, load_bytes};
use super::integers::{Rows, lstm_by, rows_by};

/// Groups of sixteen columns that are added in 16 bits.
const ABREAST: usize = 8;

/// Sixteen columns, each four of them twice: for the two gates whose weights lie in the same half of a byte.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Group([u8; 32]);

/// The columns of a step.
struct Nibbles<'a> {
    groups: &'a [Group],
    /// `-8 * sum of x`.
    offset: i32,
    /// Bytes of a unit's weights.
    row: usize,
}

/// Where the groups of a step lie; not cleared before they are filled.
type Room = [MaybeUninit<Group>; ROOM / 16];

/// Writes so many columns, whose eights a function gives as the lowest bytes of a vector with zeros behind.
#[inline]
#[target_feature(enable = "avx2")]
fn fill(room: &mut Room, columns: usize, eight: impl Fn(usize) -> __m128i) -> Nibbles<'_> {
    let mut sums = _mm_setzero_si128();
    let groups = &mut room[..columns.div_ceil(16)];
    for (number, group) in groups.iter_mut().enumerate() {
        let low = eight(2 * number);
        let high = if 16 * number + 8 < columns { eight(2 * number + 1) } else { _mm_setzero_si128() };
        let bytes = _mm_unpacklo_epi64(low, high);
        let pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), bytes);
        sums = _mm_add_epi32(sums, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
        let spread = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
        let spread = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(bytes), spread);
        // SAFETY: a group has the 32 bytes that are written, and starts on a multiple of 32.
        unsafe { group.as_mut_ptr().cast::<__m256i>().write(spread) };
    }
    // SAFETY: the loop has written all of them.
    let groups = unsafe { groups.assume_init_ref() };
    let sums = _mm_add_epi32(sums, _mm_shuffle_epi32::<0b01_00_11_10>(sums));
    let sum = _mm_cvtsi128_si32(sums) + _mm_extract_epi32::<1>(sums);
    Nibbles { groups, offset: -8 * sum, row: 2 * columns }
}

/// The columns of words in the range of an int8, where there is room for them.
#[inline]
#[target_feature(enable = "avx2")]
fn words<'a>(room: &'a mut Room, x: &[i16]) -> Option<Nibbles<'a>> {
    if x.len() > ROOM {
        return None;
    }
    // SAFETY: this function was compiled for AVX2.
    Some(fill(room, x.len(), |eight| unsafe { Words(x).group(eight) }))
}

#[target_feature(enable = "avx2")]
pub(super) fn lstm_i4(gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 16];
    match words(&mut room, xh) {
        // SAFETY: this function was compiled for AVX2, which is all that `Nibbles` needs.
        Some(rows) => unsafe { lstm_by(&rows, gates, xh.len(), h, c, backwards) },
        None => lstm::step_i4(gates, xh, h, c),
    }
}

/// [`Backend::step_i4`](crate::kernels::Backend::step_i4) of so many columns, where features come in whole eights and units in fours. False for every other
/// layer, and nothing is done.
#[target_feature(enable = "avx2")]
pub(super) fn step_i4(
    gates: &RowsI8<'_>,
    columns: usize,
    x: Features<'_>,
    h: &mut [i16],
    c: &mut [i32],
    backwards: bool,
) -> bool {
    let is_whole = x.len().is_multiple_of(8) && h.len().is_multiple_of(4) && x.len() + h.len() == columns;
    if !is_whole || columns == 0 || columns > ROOM {
        return false;
    }
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 16];
    let before = x.len() / 8;
    let rows = {
        let last = Hidden::<2>(h);
        // SAFETY: this function was compiled for AVX2, here and below.
        let of_h = |eight: usize| unsafe { last.group(eight - before) };
        match x {
            Features::Row(row) => fill(&mut room, columns, |eight| {
                // SAFETY: as above.
                if eight < before { unsafe { Row(row).group(eight) } } else { of_h(eight) }
            }),
            Features::Hidden(hidden) => fill(&mut room, columns, |eight| {
                // SAFETY: as above.
                if eight < before { unsafe { Hidden::<3>(hidden).group(eight) } } else { of_h(eight) }
            }),
        }
    };
    // SAFETY: as above.
    unsafe { lstm_by(&rows, gates, columns, h, c, backwards) };
    true
}

#[target_feature(enable = "avx2")]
pub(super) fn rows_i4<const ADD: bool>(rows: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 16];
    match words(&mut room, x) {
        // SAFETY: this function was compiled for AVX2, which is all that `Nibbles` needs.
        Some(columns) => unsafe { rows_by::<_, ADD>(&columns, rows, x, out) },
        None if ADD => scalar::add_rows_i4(rows, x, out),
        None => scalar::rows_i4(rows, x, out),
    }
}

impl Rows for Nibbles<'_> {
    type Weight = i8;
    const PER_ELEMENT: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const N: usize>(&self, weights: &[i8]) -> [__m256i; 2] {
        let whole = self.row / 32;
        assert!(N <= 4 && weights.len() >= N * self.row && self.groups.len() >= whole);
        let one = _mm256_set1_epi16(1);
        let mut low = [_mm256_setzero_si256(); 4];
        let mut high = [_mm256_setzero_si256(); 4];
        for first in (0..whole).step_by(ABREAST) {
            // Gates i and f, and gates g and o.
            let mut pairs = [[_mm256_setzero_si256(); 2]; N];
            for (k, group) in self.groups[first..whole.min(first + ABREAST)].iter().enumerate() {
                let x = load_bytes(&group.0);
                for (unit, pairs) in pairs.iter_mut().enumerate() {
                    // SAFETY: unit < N and 32 (first + k) + 32 <= 32 * whole <= row, so that the 32 bytes end by N * row, which the assertion keeps
                    // inside `weights`; the load needs no alignment.
                    let w =
                        unsafe { _mm256_loadu_si256(weights.as_ptr().add(unit * self.row + 32 * (first + k)).cast()) };
                    *pairs = add(*pairs, w, x);
                }
            }
            for ((low, high), pairs) in low.iter_mut().zip(&mut high).zip(pairs) {
                *low = _mm256_add_epi32(*low, _mm256_madd_epi16(pairs[0], one));
                *high = _mm256_add_epi32(*high, _mm256_madd_epi16(pairs[1], one));
            }
        }
        if let Some(group) = self.groups.get(whole) {
            for unit in 0..N {
                // Where there is no column, x is zero.
                let mut last = [0; 32];
                let bytes = bytemuck::cast_slice(&weights[unit * self.row + 32 * whole..(unit + 1) * self.row]);
                last[..bytes.len()].copy_from_slice(bytes);
                let pairs = add([_mm256_setzero_si256(); 2], load_bytes(&last), load_bytes(&group.0));
                low[unit] = _mm256_add_epi32(low[unit], _mm256_madd_epi16(pairs[0], one));
                high[unit] = _mm256_add_epi32(high[unit], _mm256_madd_epi16(pairs[1], one));
            }
        }
        // [i f i f | i f i f] and [g o g o | g o g o], to [gate | gate].
        let gates = |unit: usize| {
            let (low, high) = (low[unit], high[unit]);
            _mm256_add_epi32(_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high))
        };
        let join = |a, b| {
            let sums =
                _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
            _mm256_slli_epi32::<4>(_mm256_add_epi32(sums, _mm256_set1_epi32(self.offset)))
        };
        [join(gates(0), gates(1)), join(gates(2), gates(3))]
    }
}

/// Adds the products of 64 nibbles, in 16 bits: those in the lower halves of the bytes, and those in the upper ones.
#[inline]
#[target_feature(enable = "avx2")]
fn add([low, high]: [__m256i; 2], nibbles: __m256i, x: __m256i) -> [__m256i; 2] {
    let half = _mm256_set1_epi8(15);
    let shifted = _mm256_xor_si256(nibbles, _mm256_set1_epi8(0x88_u8 as i8));
    let (lower, upper) = (_mm256_and_si256(shifted, half), _mm256_and_si256(_mm256_srli_epi16::<4>(shifted), half));
    [_mm256_add_epi16(low, _mm256_maddubs_epi16(lower, x)), _mm256_add_epi16(high, _mm256_maddubs_epi16(upper, x))]
}
