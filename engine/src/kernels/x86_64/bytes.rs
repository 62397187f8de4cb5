//! Products of bytes in the image's order: a weight and a column are multiplied as the bytes that they are, 32 at a time.
//!
//! The instructions multiply an unsigned with a signed byte. Signed times signed comes of the column's magnitude, with the column's sign at the weight:
//!
//! ```text
//! s = 0 where x >= 0, all bits where x < 0          w xor s = w or -w - 1
//! sum of w x = sum of |x| (w xor s) + sum of |x| over x < 0
//! ```
//!
//! The last term is the same for all rows. Two neighbouring products together lie between `-2 * 128 * 128`, which is the least number of 16 bits, and
//! `2 * 128 * 127`: AVX2, which adds two of them in 16 bits, is exact for all weights and columns, -128 included.
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use super::super::cell::lstm;
use super::super::{Features, RowsI8, scalar};
use super::integers::{
    Rows, cells_q15, lstm_by, next_q15_lanes, part_gates, requantize, rows_by, sigmoid_q15_lanes, tanh_q15_lanes,
};
use super::{load_half_i16, load_i32, store_i16, store_i32};

/// How 32 products are added to eight sums.
pub(super) trait Dot: Sized {
    /// `sum + products of four unsigned and four signed bytes`, in eight lanes. The unsigned are at most 128.
    ///
    /// # Safety
    /// The processor has AVX2 and the instruction.
    unsafe fn dot(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i;

    /// [`Columns::sums`], written by [`dot!`] in each implementation: a function that is compiled for AVX2 alone would call [`Dot::dot`] for every 32 products.
    ///
    /// # Safety
    /// As above.
    unsafe fn sums<const N: usize>(columns: &Columns<'_, Self>, weights: &[i8], row: usize) -> [__m256i; 2];
}

/// Implements [`Dot`] for a type, by the features that the product needs.
macro_rules! dot {
    ($name:ty, $features:literal, |$sum:ident, $unsigned:ident, $signed:ident| $dot:expr) => {
        impl $crate::kernels::x86_64::bytes::Dot for $name {
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn dot($sum: __m256i, $unsigned: __m256i, $signed: __m256i) -> __m256i {
                $dot
            }

            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn sums<const N: usize>(
                columns: &$crate::kernels::x86_64::bytes::Columns<'_, Self>,
                weights: &[i8],
                row: usize,
            ) -> [__m256i; 2] {
                let (groups, half) = columns.parts();
                let length = 32 * groups.len() + if half.is_some() { 16 } else { 0 };
                assert!(N <= 4 && length <= row && weights.len() >= N * row);
                let mut acc = [_mm256_setzero_si256(); 4];
                for (k, group) in groups.iter().enumerate() {
                    let (magnitudes, signs) = group.load();
                    for unit in 0..N {
                        // SAFETY: unit < N and 32 k + 32 <= length <= row, so that the 32 bytes end by N * row, which the assertion keeps inside
                        // `weights`; the load needs no alignment. The caller keeps the promise of `dot`.
                        unsafe {
                            let w = _mm256_loadu_si256(weights.as_ptr().add(unit * row + 32 * k).cast());
                            acc[unit] = Self::dot(acc[unit], magnitudes, _mm256_xor_si256(w, signs));
                        }
                    }
                }
                if let Some(group) = half {
                    let (magnitudes, signs) = group.load();
                    for unit in 0..N {
                        // SAFETY: as above, with the last 16 bytes. The upper four columns are zeros.
                        unsafe {
                            let w = _mm_loadu_si128(weights.as_ptr().add(unit * row + 32 * groups.len()).cast());
                            let w = _mm256_xor_si256(_mm256_zextsi128_si256(w), signs);
                            acc[unit] = Self::dot(acc[unit], magnitudes, w);
                        }
                    }
                }
                columns.joined(acc)
            }
        }
    };
}
pub(super) use dot;

/// By AVX2's instructions: pairs in 16 bits, then two pairs in 32.
pub(super) struct Pairs;

dot!(Pairs, "avx2", |sum, unsigned, signed| {
    let pairs = _mm256_maddubs_epi16(unsigned, signed);
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
});

/// Eight columns, each four of them four times: once for every gate.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Group {
    magnitudes: [u8; 32],
    /// All bits where a column is negative.
    signs: [u8; 32],
}

impl Group {
    /// Its magnitudes and its signs.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load(&self) -> (__m256i, __m256i) {
        (load_bytes(&self.magnitudes), load_bytes(&self.signs))
    }
}

/// Columns for which there is room: more than any image's layer has.
pub(super) const ROOM: usize = 4096;

/// Where the columns of a step lie; not cleared before it is filled, which would cost more than a small step.
pub(super) type Room = [MaybeUninit<Group>; ROOM / 8];

/// Columns as the products take them.
pub(super) struct Columns<'a, D> {
    groups: &'a [Group],
    /// Four columns are the last group's only ones.
    half: bool,
    /// Minus the magnitudes of the negative columns, of the groups' lower and upper four apart.
    negative: __m256i,
    dot: PhantomData<D>,
}

/// Where columns come from; as many as a multiple of four.
pub(super) trait Source: Copy {
    fn len(self) -> usize;

    /// Of a group, the whole one or the last half, its columns as the lowest bytes; zeros behind.
    ///
    /// # Safety
    /// The processor has AVX2.
    unsafe fn group(self, number: usize) -> __m128i;
}

/// 16 bits each, in the range of an int8.
#[derive(Clone, Copy)]
pub(super) struct Words<'s>(pub(super) &'s [i16]);

impl Source for Words<'_> {
    fn len(self) -> usize {
        self.0.len()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn group(self, number: usize) -> __m128i {
        narrow(words(&self.0[8 * number..]))
    }
}

/// Bytes.
#[derive(Clone, Copy)]
pub(super) struct Row<'s>(pub(super) &'s [i8]);

impl Source for Row<'_> {
    fn len(self) -> usize {
        self.0.len()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn group(self, number: usize) -> __m128i {
        let x = &self.0[8 * number..];
        if let Some(eight) = x.first_chunk::<8>() {
            // SAFETY: the array has the eight bytes that are read.
            unsafe { _mm_loadl_epi64(eight.as_ptr().cast()) }
        } else {
            let four = x.first_chunk::<4>().copied().unwrap_or_default();
            _mm_cvtsi32_si128(i32::from_le_bytes(four.map(|byte| byte as u8)))
        }
    }
}

/// A hidden state, Q0.15, which is narrowed. Every caller has a `CALLER` of its own, so that the compiler puts the code there: vectors would come and go
/// through memory in a call.
#[derive(Clone, Copy)]
pub(super) struct Hidden<'s, const CALLER: u8>(pub(super) &'s [i16]);

impl<const CALLER: u8> Source for Hidden<'_, CALLER> {
    fn len(self) -> usize {
        self.0.len()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn group(self, number: usize) -> __m128i {
        // Saturating at 32767 and then shifting is the minimum with 127.
        narrow(_mm_srai_epi16::<8>(_mm_adds_epi16(words(&self.0[8 * number..]), _mm_set1_epi16(128))))
    }
}

/// Eight words, or the four that are left and zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn words(x: &[i16]) -> __m128i {
    if let Some(eight) = x.first_chunk::<8>() {
        load_half_i16(eight)
    } else {
        let four = x.first_chunk::<4>().copied().unwrap_or_default();
        _mm_cvtsi64_si128(bytemuck::cast(four))
    }
}

/// Words in the range of an int8 as bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(words: __m128i) -> __m128i {
    _mm_packs_epi16(words, _mm_setzero_si128())
}

/// Writes columns as groups, as many as there is room for, and gives minus the magnitudes of the negative ones.
///
/// # Safety
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn fill<S: Source>(room: &mut [MaybeUninit<Group>], x: S) -> __m256i {
    assert!(x.len().is_multiple_of(4) && x.len() <= 8 * room.len(), "columns: a multiple of 4");
    let mut negative = _mm256_setzero_si256();
    for (number, group) in room.iter_mut().take(x.len().div_ceil(8)).enumerate() {
        // SAFETY: this function was compiled for AVX2.
        let bytes = _mm256_castsi128_si256(unsafe { x.group(number) });
        let bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
        let magnitudes = _mm256_abs_epi8(bytes);
        let signs = _mm256_cmpgt_epi8(_mm256_setzero_si256(), bytes);
        let group = group.as_mut_ptr().cast::<__m256i>();
        // SAFETY: a group is two vectors of 32 bytes and starts on a multiple of 64.
        unsafe {
            group.write(magnitudes);
            group.add(1).write(signs);
        }
        // SAFETY: this function was compiled for AVX2. A sign is the byte -1.
        negative = unsafe { Pairs::dot(negative, magnitudes, signs) };
    }
    negative
}

impl<'a, D: Dot> Columns<'a, D> {
    /// The columns that [`fill`] has written, so many, with what it gave.
    ///
    /// # Safety
    /// They are written.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn new(room: &'a [MaybeUninit<Group>], columns: usize, negative: __m256i) -> Self {
        // SAFETY: the caller keeps the promise.
        let groups = unsafe { room[..columns.div_ceil(8)].assume_init_ref() };
        Columns { groups, half: !columns.is_multiple_of(8), negative, dot: PhantomData }
    }

    /// The whole groups, and the last one where four columns are its only ones.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn parts(&self) -> (&[Group], Option<&Group>) {
        match self.groups.split_last() {
            Some((last, whole)) if self.half => (whole, Some(last)),
            _ => (self.groups, None),
        }
    }

    /// From `[lower four | upper four columns][gate]` of four units to `[gate]` of two units a vector, with the signs' part.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn joined(&self, acc: [__m256i; 4]) -> [__m256i; 2] {
        let join = |a, b| {
            let (a, b) = (_mm256_sub_epi32(a, self.negative), _mm256_sub_epi32(b, self.negative));
            _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b))
        };
        [join(acc[0], acc[1]), join(acc[2], acc[3])]
    }

    /// The sums of `N` units, as [`Rows::sums`], over these columns, where a unit's weights have `row` bytes.
    ///
    /// # Safety
    /// That of [`Dot::dot`].
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn sums<const N: usize>(&self, weights: &[i8], row: usize) -> [__m256i; 2] {
        // SAFETY: the caller keeps the promise.
        unsafe { D::sums::<N>(self, weights, row) }
    }
}

/// Products with all columns of a step.
struct Bytes<'a, D> {
    columns: Columns<'a, D>,
    /// Bytes of a unit's weights.
    row: usize,
}

impl<D: Dot> Rows for Bytes<'_, D> {
    type Weight = i8;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums<const N: usize>(&self, weights: &[i8]) -> [__m256i; 2] {
        // SAFETY: the caller keeps the promise.
        unsafe { self.columns.sums::<N>(weights, self.row) }
    }
}

/// 32 bytes of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_bytes(x: &[u8; 32]) -> __m256i {
    // SAFETY: the array has the 32 bytes that are read; the load needs no alignment.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

/// A whole step of `Q` quads of units, four or eight, over groups of features and of the hidden state.
///
/// In a small layer the time goes from h to h: the features are multiplied first, which can be done while the step before still works on h.
///
/// # Safety
/// That of [`Dot::dot`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn small<D: Dot, const Q: usize>(
    gates: &RowsI8<'_>,
    [features, hidden]: [&Columns<'_, D>; 2],
    h: &mut [i16],
    c: &mut [i32],
) {
    const { assert!(Q == 4 || Q == 8) };
    let groups = features.groups.len() + hidden.groups.len();
    assert!(gates.weights.len() == 4 * Q * 32 * groups, "weights: [unit][K4 / 4][gate][4]");
    let (multiplier, bias) = (gates.multiplier.as_chunks::<16>().0, gates.bias.as_chunks::<16>().0);
    assert!(multiplier.len() == Q && bias.len() == Q, "multiplier, bias: [unit][gate]");
    assert!(h.len() == 4 * Q && c.len() == 4 * Q, "h, c: [unit]");
    let weights = gates.weights.as_ptr();
    // The sums of a quad with groups, the first of which is so many groups behind the beginning of a unit's row.
    let add = |sums: &mut [__m256i; 4], quad: usize, columns: &Columns<'_, D>, first: usize| {
        for (k, group) in columns.groups.iter().enumerate() {
            let (magnitudes, signs) = (load_bytes(&group.magnitudes), load_bytes(&group.signs));
            for (unit, sum) in sums.iter_mut().enumerate() {
                // SAFETY: 4 quad + unit is below 4 Q and first + k below the number of groups, so that the 32 bytes lie inside the weights, whose length
                // was asserted above; the load needs no alignment. The caller keeps the promise of `dot`.
                unsafe {
                    let w = _mm256_loadu_si256(weights.add(32 * ((4 * quad + unit) * groups + first + k)).cast());
                    *sum = D::dot(*sum, magnitudes, _mm256_xor_si256(w, signs));
                }
            }
        }
    };
    let mut sums = [[_mm256_setzero_si256(); 4]; Q];
    for (quad, sums) in sums.iter_mut().enumerate() {
        let mut local = *sums; // in registers
        add(&mut local, quad, features, 0);
        *sums = local;
    }
    // Of the lower and of the upper four columns, to both.
    let negative = features.negative;
    let negative = _mm256_add_epi32(negative, _mm256_permute2x128_si256::<0x01>(negative, negative));
    let join = |a, b| {
        let sums = _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
        _mm256_sub_epi32(sums, negative)
    };
    let shift = _mm_cvtsi32_si128((gates.shift & 31) as i32);
    let requantized = multiplier.iter().zip(bias).zip(&sums).enumerate().map(|(quad, ((multiplier, bias), sums))| {
        let mut sums = *sums;
        add(&mut sums, quad, hidden, features.groups.len());
        requantize::<i8>([join(sums[0], sums[1]), join(sums[2], sums[3])], multiplier, bias, shift)
    });
    let mut q12 = [_mm256_setzero_si256(); Q];
    q12.iter_mut().zip(requantized).for_each(|(q12, sums)| *q12 = sums);
    for (q12, (h, c)) in q12.as_chunks::<4>().0.iter().zip(h.chunks_exact_mut(16).zip(c.chunks_exact_mut(16))) {
        cells_q15!(part_gates(*q12), h, c);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn lstm_i8(gates: &RowsI8<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
    // SAFETY: this function was compiled for AVX2, which is all that `Pairs` needs.
    unsafe { lstm_i8_with::<Pairs>(gates, xh, h, c, backwards) }
}

#[target_feature(enable = "avx2")]
pub(super) fn rows_i8<const ADD: bool>(rows: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    // SAFETY: as above.
    unsafe { rows_i8_with::<Pairs, ADD>(rows, x, out) }
}

#[target_feature(enable = "avx2")]
pub(super) fn step_i8(
    gates: &RowsI8<'_>,
    columns: usize,
    x: Features<'_>,
    h: &mut [i16],
    c: &mut [i32],
    backwards: bool,
) -> bool {
    // SAFETY: as above.
    unsafe { step_i8_with::<Pairs>(gates, columns, x, h, c, backwards) }
}

/// [`Backend::step_i8`](crate::kernels::Backend::step_i8) where features and units come in whole groups. False for every other layer, and nothing is done.
///
/// # Safety
/// That of [`Dot::dot`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn step_i8_with<D: Dot>(
    gates: &RowsI8<'_>,
    columns: usize,
    x: Features<'_>,
    h: &mut [i16],
    c: &mut [i32],
    backwards: bool,
) -> bool {
    let units = h.len();
    let is_whole = x.len().is_multiple_of(8) && units.is_multiple_of(4) && x.len() + units == columns;
    if !is_whole || columns == 0 || columns > ROOM {
        return false;
    }
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 8];
    let row = 4 * columns;
    let (room_x, room_h) = room.split_at_mut(x.len() / 8);
    // SAFETY: the caller keeps the promise, and `fill` has written what `Columns` read.
    unsafe {
        let negative = match x {
            Features::Row(row) => fill(room_x, Row(row)),
            Features::Hidden(hidden) => fill(room_x, Hidden::<0>(hidden)),
        };
        let negative = _mm256_add_epi32(negative, fill(room_h, Hidden::<1>(h)));
        if matches!(units, 16 | 32) {
            let features = Columns::<D>::new(room_x, x.len(), negative);
            let hidden = Columns::<D>::new(room_h, units, negative);
            match units {
                16 => small::<D, 4>(gates, [&features, &hidden], h, c),
                _ => small::<D, 8>(gates, [&features, &hidden], h, c),
            }
        } else {
            let both = Columns::<D>::new(&room, columns, negative);
            lstm_by(&Bytes { columns: both, row }, gates, columns, h, c, backwards);
        }
    }
    true
}

/// [`Backend::lstm_i8`](crate::kernels::Backend::lstm_i8).
///
/// # Safety
/// That of [`Dot::dot`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn lstm_i8_with<D: Dot>(
    gates: &RowsI8<'_>,
    xh: &[i16],
    h: &mut [i16],
    c: &mut [i32],
    backwards: bool,
) {
    if xh.len() > ROOM {
        return lstm::step(gates, xh, h, c);
    }
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 8];
    // SAFETY: the caller keeps the promise, and `fill` has written what `Columns` read.
    unsafe {
        let negative = fill(&mut room, Words(xh));
        let columns = Columns::<D>::new(&room, xh.len(), negative);
        lstm_by(&Bytes { columns, row: 4 * xh.len() }, gates, xh.len(), h, c, backwards);
    }
}

/// [`Backend::rows_i8`](crate::kernels::Backend::rows_i8), or [`Backend::add_rows_i8`](crate::kernels::Backend::add_rows_i8) with `ADD`.
///
/// # Safety
/// That of [`Dot::dot`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn rows_i8_with<D: Dot, const ADD: bool>(rows: &RowsI8<'_>, x: &[i16], out: &mut [i32]) {
    if x.len() > ROOM {
        return if ADD { scalar::add_rows(rows, x, out) } else { scalar::rows(rows, x, out) };
    }
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM / 8];
    // SAFETY: the caller keeps the promise, and `fill` has written what `Columns` read.
    unsafe {
        let negative = fill(&mut room, Words(x));
        let columns = Columns::<D>::new(&room, x.len(), negative);
        rows_by::<_, ADD>(&Bytes { columns, row: 4 * x.len() }, rows, x, out);
    }
}
