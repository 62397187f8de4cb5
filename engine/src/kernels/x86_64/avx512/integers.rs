//! The integer step: products of bytes, requantization, activations and cell, a tile of units at a time.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::super::activation::{SIGMOID, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_TOP};
use super::super::super::cell::lstm;
use super::super::super::{Features, MANY, RowsI8, StreamInt};
use super::super::integers::next_q15_lanes;
use super::columns::{Columns, ROOM, narrow_lanes};
use super::{
    load_i16, load_i16_16, load_i32, load_i32_8, mask_16, store_i16, store_i16_8, store_i16_16, store_i32, store_i32_8,
};

/// The most quads, groups of four units, that are computed together.
const TILE: usize = 8;

/// Quads of the tile after which `quads` are left to do: eight as long as there are eight, then four, two and one, so that the sums of a
/// tile are a fixed number of registers.
const fn tile(quads: usize) -> usize {
    if quads >= TILE { TILE } else { 1 << quads.ilog2() }
}

/// Bytes of a packed layer: the tiles one behind the other, each `[K4 / 4][quad][unit of 4][gate][4 columns]`, so that it is read in one
/// go; then `-128 * sum of w` of all units, `[unit][gate]`, 32 bits each. Units are padded with zeros to a multiple of 4. 0 for what is too
/// large to be counted.
pub(super) fn packed_bytes(units: usize, columns: usize) -> usize {
    let quads = units.div_ceil(4);
    columns.checked_mul(16).and_then(|bytes| (bytes + 64).checked_mul(quads)).unwrap_or(0)
}

pub(super) fn pack(weights: &[i8], columns: usize, packed: &mut [u8]) {
    let row = 4 * columns;
    if row == 0 || packed.len() != packed_bytes(weights.len() / row, columns) {
        return;
    }
    packed.fill(0);
    let (mut tiles, sums) = packed.split_at_mut(4 * row * weights.len().div_ceil(4 * row));
    let mut rest = weights;
    while !rest.is_empty() {
        let quads = tile(rest.len().div_ceil(4 * row));
        let (now, later) = rest.split_at(rest.len().min(quads * 4 * row));
        let (packed, others) = core::mem::take(&mut tiles).split_at_mut(quads * 4 * row);
        for (unit, weights) in now.chunks(row).enumerate() {
            for (columns, weights) in packed.chunks_mut(64 * quads).zip(weights.as_chunks::<16>().0) {
                columns[16 * unit..][..16].copy_from_slice(bytemuck::cast_slice(weights));
            }
        }
        (rest, tiles) = (later, others);
    }
    for (sums, weights) in sums.as_chunks_mut::<16>().0.iter_mut().zip(weights.chunks(row)) {
        let mut sum = [0_i32; 4];
        for weights in weights.as_chunks::<16>().0 {
            for (sum, w) in sum.iter_mut().zip(weights.as_chunks::<4>().0) {
                *sum += w.iter().map(|&w| i32::from(w)).sum::<i32>();
            }
        }
        *sums = bytemuck::cast(sum.map(|sum| (-128 * sum).to_le_bytes()));
    }
}

/// The scalar equations of [`cell::lstm::step`](crate::kernels::cell::lstm::step), a tile of units at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn lstm_i8(gates: &RowsI8<'_>, xh: &Columns, columns: usize, h: &mut [i16], c: &mut [i32], backwards: bool) {
    check_lengths(gates, columns, h.len(), c.len());
    if columns == 0 {
        return lstm::step(gates, &[], h, c); // only biases
    }
    if let Some(packed) = Packed::new(gates, columns) {
        tiles(&packed, gates, xh, h, c, backwards);
    } else {
        let offset = xh.sum(columns).wrapping_mul(-128);
        tiles(&InOrder { weights: gates.weights, columns, offset }, gates, xh, h, c, backwards);
    }
}

/// A whole step of a packed layer of 16 or 32 units after an embedding, as [`Backend::step_i8`](super::super::super::Backend::step_i8): there the time
/// goes from h to h, not to the products. False for every other layer, and nothing is done.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn small_step(gates: &RowsI8<'_>, x: Features<'_>, h: &mut [i16], c: &mut [i32]) -> bool {
    let Features::Row(row) = x else { return false };
    if !row.len().is_multiple_of(4) {
        return false;
    }
    let Some(packed) = Packed::new(gates, row.len() + h.len()).filter(|packed| packed.columns <= ROOM) else {
        return false;
    };
    match h.len() {
        16 => small::<4>(packed.weights, packed.sums, gates, row, h, c),
        32 => small::<8>(packed.weights, packed.sums, gates, row, h, c),
        _ => return false,
    }
    true
}

/// [`small_step`] of `N` quads, four or eight, from h to h in registers. The columns of x come first: they can be summed while the step before still works
/// on h.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn small<const N: usize>(weights: &[u8], sums: &[u8], gates: &RowsI8<'_>, row: &[i8], h: &mut [i16], c: &mut [i32]) {
    const { assert!(N == 4 || N == 8) };
    let units = 4 * N;
    assert!(h.len() == units && c.len() == units, "h, c: [unit]");
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
    let packed = Packed { weights, sums, columns: row.len() + units };
    let tile = packed.tile::<N>(0);
    let mut sums = packed.offsets::<N>(0);
    // Few sums would wait for each other: two of each, side by side.
    let mut others = [_mm512_setzero_si512(); N];
    let add = |sums: &mut [__m512i; N], x: __m512i, column: usize| {
        for (quad, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_dpbusd_epi32(*sum, x, tile.load(column, quad));
        }
    };

    // Turning the highest bit adds 128.
    let high = _mm512_set1_epi8(-128);
    let unsigned = |four: &[i8; 4]| _mm512_xor_si512(_mm512_set1_epi32(bytemuck::cast(*four)), high);
    let (pairs, last) = row.as_chunks::<4>().0.as_chunks::<2>();
    for (pair, [one, other]) in pairs.iter().enumerate() {
        add(&mut sums, unsigned(one), 8 * pair);
        add(&mut others, unsigned(other), 8 * pair + 4);
    }
    if let [last] = last {
        add(&mut sums, unsigned(last), row.len() - 4);
    }

    // As bytes, with zeros behind.
    let bytes = if N == 4 {
        let narrow = _mm256_srai_epi16::<8>(_mm256_adds_epi16(load_i16_16(h), _mm256_set1_epi16(128)));
        _mm512_castsi128_si512(_mm256_cvtepi16_epi8(narrow))
    } else {
        let narrow = narrow_lanes(load_i16(h));
        _mm512_castsi256_si512(_mm512_cvtepi16_epi8(narrow))
    };
    let bytes = _mm512_xor_si512(bytes, high);
    for pair in 0..N / 2 {
        let four = |group: usize| _mm512_permutexvar_epi32(_mm512_set1_epi32(group as i32), bytes);
        add(&mut sums, four(2 * pair), row.len() + 8 * pair);
        add(&mut others, four(2 * pair + 1), row.len() + 8 * pair + 4);
    }
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum = _mm512_add_epi32(*sum, other);
    }

    let pairs = Requantize::new(gates, 0..units).pairs(sums);
    if N == 4 {
        let (next_h, next) = cell_16_lanes(part_gates_16(pairs), [load_i32_8(&c[..8]), load_i32_8(&c[8..16])]);
        store_i32_8(&mut c[..8], next[0]);
        store_i32_8(&mut c[8..16], next[1]);
        store_i16_16(h, next_h);
    } else {
        let (next_h, next) = cell_32_lanes::<1>(part_gates(pairs), [load_i32(&c[..16]), load_i32(&c[16..])]);
        store_i32(&mut c[..16], next[0]);
        store_i32(&mut c[16..], next[1]);
        store_i16(h, next_h);
    }
}

/// Panics where lengths break the contract of [`Backend::lstm_i8`].
#[inline(always)]
pub(super) fn check_lengths(gates: &RowsI8<'_>, columns: usize, units: usize, cells: usize) {
    assert!(
        columns.is_multiple_of(4) && gates.weights.len() == units * 4 * columns,
        "weights: [unit][K4 / 4][gate][4]"
    );
    assert!(gates.multiplier.len() == 4 * units && gates.bias.len() == 4 * units, "multiplier, bias: [unit][gate]");
    assert!(cells == units && columns <= ROOM, "c: [unit]");
}

/// Weights of a layer in one of two orders.
trait Rows {
    /// The sums of the `N` quads from `unit` on with `xh`: `[unit of 4][gate]` in each vector. Units that the layer does not have come
    /// out as anything. `backwards` may turn the order in which the weights are read.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ, VL and VNNI.
    unsafe fn sums<const N: usize>(&self, xh: &Columns, unit: usize, backwards: bool) -> [__m512i; N];
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tiles(rows: &impl Rows, gates: &RowsI8<'_>, xh: &Columns, h: &mut [i16], c: &mut [i32], backwards: bool) {
    const UNITS: usize = 4 * TILE;
    let quads = h.len().div_ceil(4);
    let wide = quads / TILE;
    for number in 0..wide {
        let start = if backwards { wide - 1 - number } else { number } * UNITS;
        let units = start..h.len().min(start + UNITS);
        let requantize = Requantize::new(gates, units.clone());
        // SAFETY: this function was compiled for the same extensions.
        let sums = unsafe { rows.sums::<TILE>(xh, start, backwards) };
        cell_32(part_gates(requantize.pairs(sums)), &mut h[units.clone()], &mut c[units]);
    }

    let mut quad = quads / TILE * TILE;
    while quad < quads {
        let length = tile(quads - quad);
        let units = 4 * quad..h.len().min(4 * (quad + length));
        let requantize = Requantize::new(gates, units.clone());
        // SAFETY: this function was compiled for the same extensions.
        let pairs = unsafe { narrow_tile(rows, &requantize, xh, units.start, length) };
        cell_16(part_gates_16(pairs), &mut h[units.clone()], &mut c[units]);
        quad += length;
    }
}

/// The image's order.
struct InOrder<'a> {
    weights: &'a [i8],
    columns: usize,
    /// `-128 * sum of x`.
    offset: i32,
}

impl Rows for InOrder<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn sums<const N: usize>(&self, xh: &Columns, unit: usize, backwards: bool) -> [__m512i; N] {
        let mut sums = [_mm512_set1_epi32(self.offset); N];
        let quad = 16 * self.columns;
        let rest = &self.weights[4 * unit * self.columns..];
        for number in 0..N {
            let number = if backwards { N - 1 - number } else { number };
            let Some(weights) = rest.chunks(quad).nth(number) else { continue };
            let sum = &mut sums[number];
            let groups = if weights.len() == quad {
                in_order::<4>(weights, xh, self.columns)
            } else if weights.len() == 12 * self.columns {
                in_order::<3>(weights, xh, self.columns)
            } else if weights.len() == 8 * self.columns {
                in_order::<2>(weights, xh, self.columns)
            } else {
                in_order::<1>(weights, xh, self.columns)
            };
            *sum = _mm512_add_epi32(*sum, add_groups(groups));
        }
        sums
    }
}

/// The products of the rows of `N` units with `xh`, in the first `N` vectors of four: `[group of columns][gate]`, with four groups of four
/// columns that take turns. `128 * sum of x` too high.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn in_order<const N: usize>(weights: &[i8], xh: &Columns, columns: usize) -> [__m512i; 4] {
    let row = 4 * columns;
    assert!(N <= 4 && weights.len() >= N * row && columns <= ROOM);
    let spread = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    let offset = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); 4];
    let mut step = |column: usize, mask: u16| {
        let x = _mm512_permutexvar_epi32(spread, _mm512_castsi128_si512(xh.sixteen(column)));
        for (unit, sum) in sums.iter_mut().take(N).enumerate() {
            // SAFETY: the mask has a bit for each four bytes of the row that are left, which end by N * row, inside `weights`; what has
            // none is not read.
            let w = unsafe { _mm512_maskz_loadu_epi32(mask, weights.as_ptr().add(unit * row + 4 * column).cast()) };
            // Turning the highest bit adds 128. Where there is no weight, x is zero.
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(w, offset), x);
        }
    };
    let whole = columns - columns % 16;
    for column in (0..whole).step_by(16) {
        step(column, u16::MAX);
    }
    if whole < columns {
        step(whole, mask_16(columns - whole)); // four lanes, 16 bytes, for four columns
    }
    sums
}

/// From four vectors `[group][gate]`, one a unit, to the sums of their groups, `[unit][gate]`.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_groups(a: [__m512i; 4]) -> __m512i {
    let halves = |a, b| {
        _mm512_add_epi32(_mm512_shuffle_i32x4::<0b01_00_01_00>(a, b), _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b))
    };
    let (low, high) = (halves(a[0], a[1]), halves(a[2], a[3]));
    _mm512_add_epi32(_mm512_shuffle_i32x4::<0b10_00_10_00>(low, high), _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high))
}

/// What [`pack`] has written.
pub(super) struct Packed<'a> {
    /// Tiles of `[K4 / 4][quad][unit of 4][gate][4 columns]`.
    weights: &'a [u8],
    /// `[unit][gate]`, 32 bits each.
    sums: &'a [u8],
    columns: usize,
}

impl Rows for Packed<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn sums<const N: usize>(&self, xh: &Columns, unit: usize, backwards: bool) -> [__m512i; N] {
        let mut sums = self.offsets::<N>(unit);
        if N > 4 {
            self.add(&mut sums, xh, unit, 0..self.columns, backwards);
        } else {
            // Few sums would wait for each other: two of each, side by side.
            let tile = self.tile::<N>(unit);
            let mut others = [_mm512_setzero_si512(); N];
            let half = (self.columns / 2).next_multiple_of(4);
            for column in (0..self.columns - half).step_by(4) {
                tile.add(&mut sums, xh, column);
                tile.add(&mut others, xh, half + column);
            }
            if self.columns < 2 * half {
                tile.add(&mut sums, xh, half - 4);
            }
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum = _mm512_add_epi32(*sum, other);
            }
        }
        sums
    }
}

impl<'a> Packed<'a> {
    /// A layer's packed weights, where it has them.
    #[inline]
    pub(super) fn new(gates: &RowsI8<'a>, columns: usize) -> Option<Self> {
        let units = gates.multiplier.len() / 4;
        let packed = gates.packed.0;
        (packed.len() == packed_bytes(units, columns) && !packed.is_empty()).then(|| {
            let (weights, sums) = packed.split_at(units.div_ceil(4) * 16 * columns);
            Packed { weights, sums, columns }
        })
    }

    /// What the sums of `N` quads from `unit` on begin with.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn offsets<const N: usize>(&self, unit: usize) -> [__m512i; N] {
        let offsets = &self.sums[16 * unit..];
        assert!(offsets.len() >= 64 * N);
        let mut sums = [_mm512_setzero_si512(); N];
        for (quad, sum) in sums.iter_mut().enumerate() {
            // SAFETY: quad < N, so that the 64 bytes are inside `offsets` by the assertion; the load needs no alignment.
            *sum = unsafe { _mm512_loadu_si512(offsets.as_ptr().add(64 * quad).cast()) };
        }
        sums
    }

    /// Adds the products of some columns, from a multiple of 4 to another, to the sums of the `N` quads from `unit` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn add<const N: usize>(
        &self,
        sums: &mut [__m512i; N],
        xh: &Columns,
        unit: usize,
        columns: Range<usize>,
        backwards: bool,
    ) {
        let tile = self.tile::<N>(unit);
        assert!(columns.end <= self.columns);
        let mut local = *sums; // in registers
        if backwards {
            for column in columns.step_by(4).rev() {
                tile.add(&mut local, xh, column);
            }
        } else {
            for column in columns.step_by(4) {
                tile.add(&mut local, xh, column);
            }
        }
        *sums = local;
    }

    /// The same for two streams, with one load of each weight.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn add_two(&self, sums: [&mut [__m512i; TILE]; 2], xh: [&Columns; 2], unit: usize, columns: Range<usize>) {
        let tile = self.tile::<TILE>(unit);
        assert!(columns.end <= self.columns);
        let (mut one, mut other) = (*sums[0], *sums[1]); // in registers
        for column in columns.step_by(4) {
            let (x, y) = (xh[0].unsigned_four(column), xh[1].unsigned_four(column));
            for (quad, (one, other)) in one.iter_mut().zip(&mut other).enumerate() {
                let w = tile.load(column, quad);
                *one = _mm512_dpbusd_epi32(*one, x, w);
                *other = _mm512_dpbusd_epi32(*other, y, w);
            }
        }
        (*sums[0], *sums[1]) = (one, other);
    }

    /// The weights of the tile of `N` quads from `unit` on.
    #[inline]
    fn tile<const N: usize>(&self, unit: usize) -> Tile<'a, N> {
        let weights = &self.weights[4 * unit * self.columns..];
        assert!(weights.len() >= 16 * N * self.columns && self.columns <= ROOM && self.columns.is_multiple_of(4));
        Tile { weights: &weights[..16 * N * self.columns] }
    }
}

/// A tile of a packed layer, `[K4 / 4][N quads][unit of 4][gate][4 columns]`.
#[derive(Clone, Copy)]
struct Tile<'a, const N: usize> {
    weights: &'a [u8],
}

impl<const N: usize> Tile<'_, N> {
    /// Adds the products of the four columns from `column` on, a multiple of 4 below the number of columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn add(self, sums: &mut [__m512i; N], xh: &Columns, column: usize) {
        let x = xh.unsigned_four(column);
        for (quad, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_dpbusd_epi32(*sum, x, self.load(column, quad));
        }
    }

    /// The weights of four columns, and of the four units of a quad below `N`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn load(self, column: usize, quad: usize) -> __m512i {
        debug_assert!(quad < N && column.is_multiple_of(4) && 16 * N * (column + 4) <= self.weights.len());
        // SAFETY: a tile has 16 N bytes for each of its columns, a multiple of 4 of them; column is one of them and a multiple of 4, and
        // quad is below N, as every caller sees to, so that the 64 bytes are inside `weights`; the load needs no alignment.
        unsafe { _mm512_loadu_si512(self.weights.as_ptr().add(16 * N * column + 64 * quad).cast()) }
    }
}

/// [`lstm_i8`] of several streams: a part of a tile is read by all of them while it is in the first-level cache.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn lstm_i8_many(rows: &Packed<'_>, gates: &RowsI8<'_>, xh: &[Columns], streams: &mut [StreamInt<'_>]) {
    /// Columns of a part: 16 KiB of a tile's weights.
    const PART: usize = 128;
    let units = gates.multiplier.len() / 4;
    let quads = units.div_ceil(4);
    let mut quad = 0;
    while quad < quads {
        let length = tile(quads - quad);
        let units = 4 * quad..units.min(4 * (quad + length));
        let requantize = Requantize::new(gates, units.clone());
        if length == TILE {
            let mut sums = [const { MaybeUninit::<[__m512i; TILE]>::uninit() }; MANY];
            let offsets = rows.offsets::<TILE>(units.start);
            let sums = &mut sums[..streams.len().min(MANY)];
            for sums in &mut *sums {
                sums.write(offsets);
            }
            // SAFETY: the loop above has written all of them.
            let sums = unsafe { sums.assume_init_mut() };
            for first in (0..rows.columns).step_by(PART) {
                let part = first..rows.columns.min(first + PART);
                for (sums, xh) in sums.chunks_mut(2).zip(xh.chunks(2)) {
                    match (sums, xh) {
                        ([one, other], [first, second]) => {
                            rows.add_two([one, other], [first, second], units.start, part.clone());
                        }
                        ([one, ..], [first, ..]) => {
                            rows.add(one, first, units.start, part.clone(), false);
                        }
                        _ => {}
                    }
                }
            }
            for (sums, stream) in sums.iter().zip(&mut *streams) {
                cell_32(
                    part_gates(requantize.pairs(*sums)),
                    &mut stream.h[units.clone()],
                    &mut stream.c[units.clone()],
                );
            }
        } else {
            for (stream, xh) in streams.iter_mut().zip(xh) {
                // SAFETY: this function was compiled for the same extensions.
                let pairs = unsafe { narrow_tile(rows, &requantize, xh, units.start, length) };
                cell_16(part_gates_16(pairs), &mut stream.h[units.clone()], &mut stream.c[units.clone()]);
            }
        }
        quad += length;
    }
}

/// The sums of four quads, two or one, requantized.
///
/// # Safety
/// That of [`Rows::sums`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn narrow_tile(
    rows: &impl Rows,
    requantize: &Requantize<'_>,
    xh: &Columns,
    unit: usize,
    quads: usize,
) -> [__m512i; 4] {
    // SAFETY: the caller keeps the promise.
    unsafe {
        match quads {
            4 => requantize.pairs(rows.sums::<4>(xh, unit, false)),
            2 => requantize.pairs(rows.sums::<2>(xh, unit, false)),
            _ => requantize.pairs(rows.sums::<1>(xh, unit, false)),
        }
    }
}

/// Multipliers and biases of a tile, `[unit][gate]`.
struct Requantize<'a> {
    multiplier: &'a [u16],
    bias: &'a [i32],
    shift: __m128i,
}

impl<'a> Requantize<'a> {
    /// Those of some units of a layer.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn new(gates: &RowsI8<'a>, units: Range<usize>) -> Self {
        let rows = 4 * units.start..4 * units.end;
        Requantize {
            multiplier: &gates.multiplier[rows.clone()],
            bias: &gates.bias[rows],
            shift: _mm_cvtsi32_si128((gates.shift & 31) as i32),
        }
    }

    /// `sat16((acc * multiplier + bias) >> shift)` of `N` quads, two a vector: `[quad / 2][unit of 4][quad % 2][gate]`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn pairs<const N: usize>(&self, acc: [__m512i; N]) -> [__m512i; 4] {
        let mut scaled = [_mm512_setzero_si512(); TILE];
        for (quad, (scaled, acc)) in scaled.iter_mut().zip(acc).enumerate() {
            let multiplier = load_i16_16(bytemuck::cast_slice(self.multiplier.get(16 * quad..).unwrap_or(&[])));
            let bias = load_i32(self.bias.get(16 * quad..).unwrap_or(&[]));
            let product = _mm512_mullo_epi32(acc, _mm512_cvtepu16_epi32(multiplier));
            *scaled = _mm512_sra_epi32(_mm512_add_epi32(product, bias), self.shift);
        }
        let mut pairs = [_mm512_setzero_si512(); 4];
        for (pair, quads) in pairs.iter_mut().zip(scaled.as_chunks::<2>().0) {
            *pair = _mm512_packs_epi32(quads[0], quads[1]);
        }
        pairs
    }
}

/// Where [`Requantize::pairs`] has left gate `gate` of unit `unit` (0..16) in two vectors: the index of `vpermt2w`.
const fn place(unit: i16, gate: i16) -> i16 {
    let (quad, in_quad) = (unit / 4, unit % 4);
    32 * (quad / 2) + 8 * in_quad + 4 * (quad % 2) + gate
}

/// The places of one gate of sixteen units and then of another.
const fn places(gate: i16, then: i16) -> [i16; 32] {
    let mut index = [0; 32];
    let mut unit = 0;
    while unit < 16 {
        index[unit as usize] = place(unit, gate);
        index[unit as usize + 16] = place(unit, then);
        unit += 1;
    }
    index
}

static IF: [i16; 32] = places(0, 1);
static GO: [i16; 32] = places(2, 3);

/// From the four vectors of 32 units, as [`Requantize::pairs`] leaves them, to `[i, f, g, o]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn part_gates(pairs: [__m512i; 4]) -> [__m512i; 4] {
    let (of_if, of_go) = (load_i16(&IF), load_i16(&GO));
    let if_low = _mm512_permutex2var_epi16(pairs[0], of_if, pairs[1]);
    let if_high = _mm512_permutex2var_epi16(pairs[2], of_if, pairs[3]);
    let go_low = _mm512_permutex2var_epi16(pairs[0], of_go, pairs[1]);
    let go_high = _mm512_permutex2var_epi16(pairs[2], of_go, pairs[3]);
    [
        _mm512_shuffle_i64x2::<0b01_00_01_00>(if_low, if_high),
        _mm512_shuffle_i64x2::<0b11_10_11_10>(if_low, if_high),
        _mm512_shuffle_i64x2::<0b01_00_01_00>(go_low, go_high),
        _mm512_shuffle_i64x2::<0b11_10_11_10>(go_low, go_high),
    ]
}

/// The same of sixteen units in the first two vectors: `[[i | f], [g | o]]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn part_gates_16(pairs: [__m512i; 4]) -> [__m512i; 2] {
    [
        _mm512_permutex2var_epi16(pairs[0], load_i16(&IF), pairs[1]),
        _mm512_permutex2var_epi16(pairs[0], load_i16(&GO), pairs[1]),
    ]
}

/// [`cell::lstm::cell_q15`](crate::kernels::cell::lstm::cell_q15) of up to sixteen units: `gates` is `[[i | f], [g | o]]` in Q3.12.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
fn cell_16(gates: [__m512i; 2], h: &mut [i16], c: &mut [i32]) {
    let (c_low, c_high) = c.split_at_mut(c.len().min(8));
    let (next_h, next) = cell_16_lanes(gates, [load_i32_8(c_low), load_i32_8(c_high)]);
    store_i32_8(c_low, next[0]);
    store_i32_8(c_high, next[1]);
    if h.len() == 8 {
        store_i16_8(h, _mm256_castsi256_si128(next_h));
    } else {
        store_i16_16(h, next_h);
    }
}

/// The same in registers: `(h, c')`. What follows the gates' activations is AVX2's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
fn cell_16_lanes(gates: [__m512i; 2], c: [__m256i; 2]) -> (__m256i, [__m256i; 2]) {
    let low = _mm512_castsi512_si256;
    let high = _mm512_extracti64x4_epi64::<1>;
    let go = tanh_sigmoid_q15_lanes(gates[1]);
    let i_f = sigmoid_q15_lanes(gates[0]);
    next_q15_lanes!([low(i_f), high(i_f), low(go), high(go)], c)
}

/// [`cell::lstm::cell_q15`](crate::kernels::cell::lstm::cell_q15) of up to 32 units: `gates` is `[i, f, g, o]` in Q3.12.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn cell_32(gates: [__m512i; 4], h: &mut [i16], c: &mut [i32]) {
    let (c_low, c_high) = c.split_at_mut(c.len().min(16));
    let (next_h, next) = cell_32_lanes::<0>(gates, [load_i32(c_low), load_i32(c_high)]);
    store_i32(c_low, next[0]);
    store_i32(c_high, next[1]);
    store_i16(h, next_h);
}

/// The same in registers: `(h, c')`. Every caller has a `CALLER` of its own, so that the compiler puts the code there: vectors would come and go
/// through memory in a call.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn cell_32_lanes<const CALLER: u8>(gates: [__m512i; 4], c: [__m512i; 2]) -> (__m512i, [__m512i; 2]) {
    let [i, f, g, o] = gates;
    // In the order in which the next c waits for them.
    let (g, i, f) = (tanh_q15_lanes(g), sigmoid_q15_lanes(i), sigmoid_q15_lanes(f));

    // Unpacking works on each quarter by itself: [0..4 | 8..12 | 16..20 | 24..28] and what is between. c is brought to that order.
    let zero = _mm512_setzero_si512();
    let (ig_low, ig_high) = (_mm512_mullo_epi16(i, g), _mm512_mulhi_epi16(i, g));
    let even = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
    let odd = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
    let a = next_cell(
        _mm512_permutex2var_epi64(c[0], even, c[1]),
        _mm512_unpacklo_epi16(f, zero),
        _mm512_unpacklo_epi16(ig_low, ig_high),
    );
    let b = next_cell(
        _mm512_permutex2var_epi64(c[0], odd, c[1]),
        _mm512_unpackhi_epi16(f, zero),
        _mm512_unpackhi_epi16(ig_low, ig_high),
    );

    let half = _mm512_set1_epi32(1 << 6);
    let to_q12 = |c| _mm512_srai_epi32::<7>(_mm512_add_epi32(c, half));
    let o = sigmoid_q15_lanes(o);
    // Packing undoes the order of unpacking.
    let tanh_c = tanh_q15_lanes(_mm512_packs_epi32(to_q12(a), to_q12(b)));
    let h = _mm512_mulhrs_epi16(o, tanh_c);
    let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    let last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    (h, [_mm512_permutex2var_epi64(a, first, b), _mm512_permutex2var_epi64(a, last, b)])
}

/// AVX2's [`next_cell`](super::super::integers::next_cell), of sixteen units.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn next_cell(c: __m512i, f: __m512i, ig: __m512i) -> __m512i {
    let low = _mm512_mulhi_epu16(c, f);
    let high = _mm512_madd_epi16(c, _mm512_slli_epi32::<16>(f));
    let kept = _mm512_add_epi32(low, high);
    let ig = _mm512_srai_epi32::<11>(_mm512_add_epi32(ig, _mm512_set1_epi32(3 << 10)));
    _mm512_add_epi32(_mm512_add_epi32(kept, kept), ig)
}

/// The columns of both activations' tables, sigmoid's eight entries and then tanh's.
static TABLE: [[i16; 16]; 6] = {
    let mut table = [[0; 16]; 6];
    let mut at = 0;
    while at < 48 {
        let (column, segment) = (at / 8, at % 8);
        table[column][segment] = SIGMOID.columns[column][segment];
        table[column][8 + segment] = TANH.columns[column][segment];
        at += 1;
    }
    table
};

/// `D` of [`Segments`](super::super::activation::Segments) of 32 lanes: `entry` is the segment, and 8 more for tanh; `t` Q0.15.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn distance(entry: __m512i, t: __m512i, shift: __m512i) -> __m512i {
    // Only four bits of an index are used where the table has sixteen entries twice.
    let look_up = |column: &[i16; 16]| {
        // SAFETY: the array has the 32 bytes that are read; the load needs no alignment.
        let half = unsafe { _mm256_loadu_si256(column.as_ptr().cast()) };
        _mm512_permutexvar_epi16(entry, _mm512_castsi256_si512(half))
    };
    let [c4, c3, c2, c1, r, b] = &TABLE;
    let mut p = look_up(c4);
    for column in [c3, c2, c1, r] {
        p = _mm512_add_epi16(_mm512_mulhrs_epi16(p, t), look_up(column));
    }
    // Saturating is the minimum with 32767.
    _mm512_adds_epi16(look_up(b), _mm512_srav_epi16(p, shift))
}

/// [`activation::sigmoid_q15`](super::super::activation::sigmoid_q15) of 32 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn sigmoid_q15_lanes(x: __m512i) -> __m512i {
    let u = _mm512_min_epu16(_mm512_abs_epi16(x), _mm512_set1_epi16(32767));
    let t = _mm512_xor_si512(_mm512_slli_epi16::<4>(u), _mm512_set1_epi16(i16::MIN));
    let d = distance(_mm512_srli_epi16::<12>(u), t, _mm512_set1_epi16(3));
    let half = _mm512_set1_epi16(16384);
    _mm512_mask_sub_epi16(_mm512_add_epi16(half, d), _mm512_movepi16_mask(x), half, d)
}

/// [`activation::tanh_q15`](super::super::activation::tanh_q15) of 32 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn tanh_q15_lanes(x: __m512i) -> __m512i {
    let u = _mm512_abs_epi16(x);
    let above_1 = _mm512_subs_epu16(u, _mm512_set1_epi16(TANH_KNEE_1 as i16));
    let above_2 = _mm512_subs_epu16(u, _mm512_set1_epi16(TANH_KNEE_2 as i16));
    let u = _mm512_sub_epi16(_mm512_sub_epi16(u, _mm512_srli_epi16::<1>(above_1)), _mm512_srli_epi16::<2>(above_2));
    let u = _mm512_min_epu16(u, _mm512_set1_epi16(TANH_TOP as i16));
    let t = _mm512_xor_si512(_mm512_slli_epi16::<5>(u), _mm512_set1_epi16(i16::MIN));
    let d = distance(_mm512_or_si512(_mm512_srli_epi16::<11>(u), _mm512_set1_epi16(8)), t, _mm512_set1_epi16(2));
    _mm512_mask_sub_epi16(d, _mm512_movepi16_mask(x), _mm512_setzero_si512(), d)
}

/// Tanh of the lower sixteen lanes and sigmoid of the upper ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn tanh_sigmoid_q15_lanes(x: __m512i) -> __m512i {
    let both = |tanh: i16, sigmoid: i16| _mm512_inserti64x4::<1>(_mm512_set1_epi16(tanh), _mm256_set1_epi16(sigmoid));
    let u = _mm512_abs_epi16(x);
    // The sigmoid has no knees.
    let above_1 = _mm512_subs_epu16(u, both(TANH_KNEE_1 as i16, -1));
    let above_2 = _mm512_subs_epu16(u, both(TANH_KNEE_2 as i16, -1));
    let u = _mm512_sub_epi16(_mm512_sub_epi16(u, _mm512_srli_epi16::<1>(above_1)), _mm512_srli_epi16::<2>(above_2));
    let u = _mm512_min_epu16(u, both(TANH_TOP as i16, i16::MAX));
    let t = _mm512_xor_si512(_mm512_sllv_epi16(u, both(5, 4)), _mm512_set1_epi16(i16::MIN));
    let entry = _mm512_or_si512(_mm512_srlv_epi16(u, both(11, 12)), both(8, 0));
    let d = distance(entry, t, both(2, 3));
    let middle = both(0, 16384);
    _mm512_mask_sub_epi16(_mm512_add_epi16(middle, d), _mm512_movepi16_mask(x), middle, d)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn sigmoid_q15(x: &mut [i16]) {
    for x in x.chunks_mut(32) {
        let y = sigmoid_q15_lanes(load_i16(x));
        store_i16(x, y);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn tanh_q15(x: &mut [i16]) {
    for x in x.chunks_mut(32) {
        let y = tanh_q15_lanes(load_i16(x));
        store_i16(x, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Avx512Vnni;
    use crate::kernels::activation;

    #[test]
    fn both_activations_side_by_side_have_the_reference_values_for_all_65536_inputs() {
        if Avx512Vnni::detect().is_none() {
            return;
        }
        for x in i16::MIN..=i16::MAX {
            let mut lanes = [0; 32];
            // SAFETY: the processor has what the functions need, as the token says that was found above.
            unsafe { store_i16(&mut lanes, tanh_sigmoid_q15_lanes(_mm512_set1_epi16(x))) };
            assert_eq!(lanes[..16], [activation::tanh_q15(x); 16], "tanh of {x}");
            assert_eq!(lanes[16..], [activation::sigmoid_q15(x); 16], "sigmoid of {x}");
        }
    }
}
