//! AVX-512: 32 lanes of 16 bits for integers, 16 of 32 for floats; with VNNI, 64 products of bytes in one instruction.
//!
//! [`Avx512`] has the floats and, for integers, what AVX2 has. [`Avx512Vnni`] multiplies bytes as they are: an instruction adds four products
//! of an unsigned and a signed byte to each of 16 sums, exactly. Signed times signed comes of it by an offset that is taken away again:
//!
//! ```text
//! image's order     sum of w x = sum of (w + 128) x - 128 sum of x            a lane is a gate and one of four columns' groups
//! packed            sum of w x = sum of w (x + 128) - 128 sum of w            a lane is a unit and a gate; the last term is packed too
//! ```
//!
//! `unsafe` is open here as in the parent module, and for the same two things.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::activation::{
    EXPM1, LN2_HIGH, LN2_LOW, ROUND, SIGMOID, SIGMOID_LOWEST, TANH, TANH_KNEE_1, TANH_KNEE_2, TANH_LOWEST, TANH_TOP,
};
use super::super::{
    Backend, Features, FloatView, FloatWeight, GatesFloat, GatesI8, MANY, StreamI8, one_tile_after_the_other, scalar,
};
use super::{
    Avx2, cell_q15_lanes, load_f32, sigmoid_f32_lanes as sigmoid_f32_8, store_f32, tanh_f32_lanes as tanh_f32_8,
};

#[cfg(feature = "std")]
extern crate std;

/// Proof that this processor has AVX-512 F, BW, DQ and VL besides what [`Avx2`] asks for, and that the system saves the 512-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(Avx2);

impl Avx512 {
    /// The token, if this processor has all of them. Without the feature `std` there is none: nobody asks the processor there.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl");
        #[cfg(not(feature = "std"))]
        let found = false;
        Avx2::detect().filter(|_| found).map(Self)
    }
}

/// Proof of what [`Avx512`] proves and of VNNI, the products of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512Vnni(Avx512);

impl Avx512Vnni {
    /// The token, if this processor has all of them.
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::is_x86_feature_detected!("avx512vnni");
        #[cfg(not(feature = "std"))]
        let found = false;
        Avx512::detect().filter(|_| found).map(Self)
    }
}

/// Methods of a trait that hand over to the functions of the same name in this file, or to another token's.
macro_rules! hand_over {
    ($self:ident, $call:expr) => {{
        let _ = $self;
        // SAFETY: the function needs what the token in `self` proves and nothing else.
        unsafe { $call }
    }};
}

/// The methods in which both backends are alike: floats, activations and the small loops.
macro_rules! methods_of_avx512 {
    () => {
        fn widen_i8(self, x: &[i8], out: &mut [i16]) {
            hand_over!(self, widen_i8(x, out));
        }

        fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
            hand_over!(self, narrow_q15(h, out));
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

        fn lstm_float<W: FloatWeight>(self, gates: &GatesFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
            match W::view(gates.weights) {
                FloatView::F32(weights) => hand_over!(self, lstm_f32(weights, gates.bias, xh, h, c)),
                // Halves are widened eight at a time: the instruction for sixteen takes longer than twice that for eight.
                FloatView::F16(_) => self.avx2().lstm_float(gates, xh, h, c),
            }
        }

        fn wants_aligned_floats(self) -> bool {
            true
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

        fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
            self.avx2().widen_float(x, out);
        }

        fn prefetch(self, soon: &[u8]) {
            self.avx2().prefetch(soon);
        }

        fn gates_i8(self, gates: &GatesI8<'_>, x: &[i16], out: &mut [i32]) {
            self.avx2().gates_i8(gates, x, out);
        }

        fn gates_float<W: FloatWeight>(self, gates: &GatesFloat<'_, W>, x: &[f32], out: &mut [f32]) {
            self.avx2().gates_float(gates, x, out);
        }

        fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
            self.avx2().dot_i16(w, v)
        }

        fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
            self.avx2().dot_f32(w, v)
        }
    };
}

impl Avx512 {
    fn avx2(self) -> Avx2 {
        self.0
    }
}

impl Avx512Vnni {
    fn avx2(self) -> Avx2 {
        self.0.avx2()
    }
}

impl Backend for Avx512 {
    fn name(self) -> &'static str {
        "avx512"
    }

    fn lstm_i8(self, gates: &GatesI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        self.avx2().lstm_i8(gates, xh, h, c);
    }

    methods_of_avx512!();
}

impl Backend for Avx512Vnni {
    fn name(self) -> &'static str {
        "avx512vnni"
    }

    fn lstm_i8(self, gates: &GatesI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        let mut columns = Columns::new();
        if hand_over!(self, columns.take(xh)) {
            hand_over!(self, lstm_i8(gates, &columns, xh.len(), h, c));
        } else {
            self.avx2().lstm_i8(gates, xh, h, c);
        }
    }

    fn step_i8(self, gates: &GatesI8<'_>, x: Features<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        let mut columns = Columns::new();
        if hand_over!(self, columns.join(x, xh, h)) {
            hand_over!(self, lstm_i8(gates, &columns, xh.len(), h, c));
        }
    }

    fn lstm_i8_many(self, gates: &GatesI8<'_>, streams: &mut [StreamI8<'_>]) {
        let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
        let Some(packed) = Packed::new(gates, columns).filter(|_| columns <= ROOM) else {
            return one_tile_after_the_other(self, gates, streams);
        };
        for streams in streams.chunks_mut(MANY) {
            let mut xh = [const { Columns::new() }; MANY];
            for (xh, stream) in xh.iter_mut().zip(&*streams) {
                check_lengths(gates, stream.xh.len(), stream.h.len(), stream.c.len());
                assert!(hand_over!(self, xh.take(stream.xh)) && stream.xh.len() == columns, "the same columns for all");
            }
            hand_over!(self, lstm_i8_many(&packed, gates, &xh, streams));
        }
    }

    fn packed_i8_bytes(self, units: usize, columns: usize) -> usize {
        packed_bytes(units, columns)
    }

    fn pack_i8(self, weights: &[i8], columns: usize, packed: &mut [u8]) {
        pack(weights, columns, packed);
    }

    methods_of_avx512!();
}

// ------------------------------------------------------------------------------------------------------------------------
// Loads and stores: the only places that touch memory through pointers, besides the rows of weights.

/// A load and a store of the beginning of a slice, by a mask where it is shorter than a vector. Without one where it is not: a load
/// cannot take over what a masked store before it has not yet brought to memory.
macro_rules! slices {
    ($load:ident, $store:ident, $element:ty, $lanes:literal, $vector:ty, $mask:ident,
     $loadu:ident, $masked_load:ident, $storeu:ident, $masked_store:ident) => {
        #[doc = concat!("Up to ", $lanes, " lanes from the beginning of a slice; zero beyond its end.")]
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn $load(x: &[$element]) -> $vector {
            if x.len() >= $lanes {
                // SAFETY: the slice has all the elements that are read; the load needs no alignment.
                unsafe { $loadu(x.as_ptr().cast()) }
            } else {
                // SAFETY: the mask has a bit for every element of the slice, and what has none is not read.
                unsafe { $masked_load($mask(x.len()), x.as_ptr().cast()) }
            }
        }

        #[doc = concat!("Writes up to ", $lanes, " lanes to the beginning of a slice.")]
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn $store(x: &mut [$element], value: $vector) {
            if x.len() >= $lanes {
                // SAFETY: the slice has all the elements that are written; the store needs no alignment.
                unsafe { $storeu(x.as_mut_ptr().cast(), value) }
            } else {
                // SAFETY: the mask has a bit for every element of the slice, and what has none is not written.
                unsafe { $masked_store(x.as_mut_ptr().cast(), $mask(x.len()), value) }
            }
        }
    };
}

#[rustfmt::skip]
slices!(load_i16, store_i16, i16, 32, __m512i, mask_32,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi16, _mm512_storeu_si512, _mm512_mask_storeu_epi16);
#[rustfmt::skip]
slices!(load_i16_16, store_i16_16, i16, 16, __m256i, mask_16,
    _mm256_loadu_si256, _mm256_maskz_loadu_epi16, _mm256_storeu_si256, _mm256_mask_storeu_epi16);
#[rustfmt::skip]
slices!(load_i16_8, store_i16_8, i16, 8, __m128i, mask_8,
    _mm_loadu_si128, _mm_maskz_loadu_epi16, _mm_storeu_si128, _mm_mask_storeu_epi16);
#[rustfmt::skip]
slices!(load_i32_8, store_i32_8, i32, 8, __m256i, mask_8,
    _mm256_loadu_si256, _mm256_maskz_loadu_epi32, _mm256_storeu_si256, _mm256_mask_storeu_epi32);
#[rustfmt::skip]
slices!(load_i32, store_i32, i32, 16, __m512i, mask_16,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi32, _mm512_storeu_si512, _mm512_mask_storeu_epi32);
#[rustfmt::skip]
slices!(load_f32_16, store_f32_16, f32, 16, __m512, mask_16,
    _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_storeu_ps, _mm512_mask_storeu_ps);

/// The lowest `count` bits of 32, all of them from 32 on.
#[inline(always)]
fn mask_32(count: usize) -> u32 {
    if count >= 32 { u32::MAX } else { (1 << count) - 1 }
}

/// The lowest `count` bits of 8, all of them from 8 on.
#[inline(always)]
fn mask_8(count: usize) -> u8 {
    if count >= 8 { u8::MAX } else { (1 << count) - 1 }
}

/// The lowest `count` bits of 16, all of them from 16 on.
#[inline(always)]
fn mask_16(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

// ------------------------------------------------------------------------------------------------------------------------
// The columns of a step, as bytes.

/// Columns for which there is room: more than any image's layer has.
const ROOM: usize = 2048;

/// `[x; h; 0..]` as signed bytes, with at least 64 zeros behind.
///
/// Not cleared before it is filled, which would cost more than a small step.
#[repr(align(64))]
struct Columns([MaybeUninit<u8>; ROOM + 128]);

impl Columns {
    #[inline(always)]
    const fn new() -> Self {
        Columns([MaybeUninit::uninit(); ROOM + 128])
    }

    /// Writes 32 bytes at a place, which is at most `ROOM + 64`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn put(&mut self, place: usize, bytes: __m256i) {
        assert!(place <= ROOM + 64);
        // SAFETY: by the line above the 32 bytes end before ROOM + 128, the length of the array; the store needs no alignment.
        unsafe { _mm256_storeu_si256(self.0.as_mut_ptr().add(place).cast(), bytes) }
    }

    /// Writes 64 zeros behind the columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn end(&mut self, columns: usize) {
        self.put(columns, _mm256_setzero_si256());
        self.put(columns + 32, _mm256_setzero_si256());
    }

    /// Takes the columns from 16 bits. False where there are too many.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn take(&mut self, xh: &[i16]) -> bool {
        if xh.len() > ROOM {
            return false;
        }
        for (block, x) in xh.chunks(32).enumerate() {
            self.put(32 * block, _mm512_cvtepi16_epi8(load_i16(x)));
        }
        self.end(xh.len());
        true
    }

    /// Takes `[x; narrow(h)]`, and writes the same, with zeros behind, to `xh`. False where that has too few places, or too many.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn join(&mut self, x: Features<'_>, xh: &mut [i16], h: &[i16]) -> bool {
        let (inputs, columns) = (x.len(), xh.len());
        let Some((features, previous)) = xh.split_at_mut_checked(inputs) else { return false };
        let Some((previous, padding)) = previous.split_at_mut_checked(h.len()) else { return false };
        if columns > ROOM {
            return false;
        }
        match x {
            Features::Row(row) => {
                for (block, (x, out)) in row.chunks(32).zip(features.chunks_mut(32)).enumerate() {
                    // SAFETY: the mask has a bit for every byte of the chunk, and what has none is not read.
                    let bytes = unsafe { _mm256_maskz_loadu_epi8(mask_32(x.len()), x.as_ptr()) };
                    self.put(32 * block, bytes);
                    store_i16(out, _mm512_cvtepi8_epi16(bytes));
                }
            }
            Features::Hidden(hidden) => self.narrow(0, hidden, features),
        }
        self.narrow(inputs, h, previous);
        padding.fill(0);
        self.end(inputs + h.len());
        true
    }

    /// Takes a hidden state as columns from `place` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn narrow(&mut self, place: usize, h: &[i16], out: &mut [i16]) {
        let (whole, rest) = h.as_chunks::<32>();
        let (out, out_rest) = out.split_at_mut((32 * whole.len()).min(out.len()));
        for (block, (h, out)) in whole.iter().zip(out.chunks_mut(32)).enumerate() {
            let narrow = narrow_lanes(load_i16(h));
            self.put(place + 32 * block, _mm512_cvtepi16_epi8(narrow));
            store_i16(out, narrow);
        }
        let place = place + 32 * whole.len();
        // The step before has written h just now: loads no wider than its stores take over from them without waiting.
        for (block, (h, out)) in rest.chunks(16).zip(out_rest.chunks_mut(16)).enumerate() {
            let narrow = _mm256_srai_epi16::<8>(_mm256_adds_epi16(load_i16_16(h), _mm256_set1_epi16(128)));
            self.put(place + 16 * block, _mm256_castsi128_si256(_mm256_cvtepi16_epi8(narrow)));
            store_i16_16(out, narrow);
        }
    }

    /// Four columns from a multiple of 4 on, as one number.
    #[inline(always)]
    fn four(&self, column: usize) -> i32 {
        assert!(column < ROOM);
        // SAFETY: the four bytes end inside the array by the line above, and whoever filled the columns has written all up to the last
        // one and 64 behind it; no caller reads further.
        unsafe { self.0.as_ptr().add(column).cast::<i32>().read_unaligned() }
    }

    /// The same 128 higher, as unsigned bytes, in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn unsigned_four(&self, column: usize) -> __m512i {
        // Turning the highest bit adds 128.
        _mm512_xor_si512(_mm512_set1_epi32(self.four(column)), _mm512_set1_epi8(-128))
    }

    /// Sixteen columns from a place on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn sixteen(&self, column: usize) -> __m128i {
        assert!(column < ROOM);
        // SAFETY: as above; of sixteen columns that begin before the last one, all lie among the 64 zeros behind it.
        unsafe { _mm_loadu_si128(self.0.as_ptr().add(column).cast()) }
    }

    /// The sum of the first `count` columns, counted up to a multiple of 64.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn sum(&self, count: usize) -> i32 {
        assert!(count <= ROOM);
        let mut sum = _mm512_setzero_si512();
        for column in (0..count).step_by(64) {
            // SAFETY: as above, with 64 columns.
            let x = unsafe { _mm512_loadu_si512(self.0.as_ptr().add(column).cast()) };
            sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), x);
        }
        _mm512_reduce_add_epi32(sum)
    }
}

// ------------------------------------------------------------------------------------------------------------------------
// Integers.

/// `min((h + 128) >> 8, 127)` of 32 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn narrow_lanes(h: __m512i) -> __m512i {
    // Saturating at 32767 and then shifting is the minimum with 127.
    _mm512_srai_epi16::<8>(_mm512_adds_epi16(h, _mm512_set1_epi16(128)))
}

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
fn packed_bytes(units: usize, columns: usize) -> usize {
    let quads = units.div_ceil(4);
    columns.checked_mul(16).and_then(|bytes| (bytes + 64).checked_mul(quads)).unwrap_or(0)
}

fn pack(weights: &[i8], columns: usize, packed: &mut [u8]) {
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

/// The scalar equations of [`scalar::lstm_i8`], a tile of units at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn lstm_i8(gates: &GatesI8<'_>, xh: &Columns, columns: usize, h: &mut [i16], c: &mut [i32]) {
    check_lengths(gates, columns, h.len(), c.len());
    if columns == 0 {
        return; // as the reference: no columns, no rows
    }
    if let Some(packed) = Packed::new(gates, columns) {
        tiles(&packed, gates, xh, h, c);
    } else {
        let offset = xh.sum(columns).wrapping_mul(-128);
        tiles(&InOrder { weights: gates.weights, columns, offset }, gates, xh, h, c);
    }
}

/// Panics where lengths break the contract of [`Backend::lstm_i8`].
#[inline(always)]
fn check_lengths(gates: &GatesI8<'_>, columns: usize, units: usize, cells: usize) {
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
    /// out as anything.
    ///
    /// # Safety
    /// The processor has AVX-512 F, BW, DQ, VL and VNNI.
    unsafe fn sums<const N: usize>(&self, xh: &Columns, unit: usize) -> [__m512i; N];
}

/// Tiles of 32 units whose gates are kept before they go on together: their activations wait for nothing but themselves, and several
/// tiles' worth of them hides that.
const KEPT: usize = 8;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
fn tiles(rows: &impl Rows, gates: &GatesI8<'_>, xh: &Columns, h: &mut [i16], c: &mut [i32]) {
    const UNITS: usize = 4 * TILE;
    let quads = h.len().div_ceil(4);
    let wide = h.len().min(quads / TILE * UNITS);
    let mut kept = [const { MaybeUninit::<[__m512i; 4]>::uninit() }; KEPT];
    for (first, (h, c)) in
        (0..wide).step_by(KEPT * UNITS).zip(h[..wide].chunks_mut(KEPT * UNITS).zip(c[..wide].chunks_mut(KEPT * UNITS)))
    {
        let parts = h.len().div_ceil(UNITS);
        for (start, kept) in (first..).step_by(UNITS).zip(&mut kept[..parts]) {
            let requantize = Requantize::new(gates, start..wide.min(start + UNITS));
            // SAFETY: this function was compiled for the same extensions.
            let sums = unsafe { rows.sums::<TILE>(xh, start) };
            kept.write(part_gates(requantize.pairs(sums)));
        }
        // SAFETY: the loop above has written the first `parts`.
        let kept = unsafe { kept[..parts].assume_init_mut() };
        for (kept, c) in kept.iter_mut().zip(c.chunks_mut(UNITS)) {
            let (o, next) = next_cells_32(*kept, c);
            [kept[0], kept[1]] = [o, next];
        }
        for (kept, h) in kept.iter().zip(h.chunks_mut(UNITS)) {
            store_i16(h, _mm512_mulhrs_epi16(kept[0], tanh_q15_lanes(kept[1])));
        }
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
    unsafe fn sums<const N: usize>(&self, xh: &Columns, unit: usize) -> [__m512i; N] {
        let mut sums = [_mm512_set1_epi32(self.offset); N];
        let quad = 16 * self.columns;
        for (sum, weights) in sums.iter_mut().zip(self.weights[4 * unit * self.columns..].chunks(quad)) {
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
struct Packed<'a> {
    /// Tiles of `[K4 / 4][quad][unit of 4][gate][4 columns]`.
    weights: &'a [u8],
    /// `[unit][gate]`, 32 bits each.
    sums: &'a [u8],
    columns: usize,
}

impl Rows for Packed<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn sums<const N: usize>(&self, xh: &Columns, unit: usize) -> [__m512i; N] {
        let mut sums = self.offsets::<N>(unit);
        if N > 4 {
            self.add(&mut sums, xh, unit, 0..self.columns);
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
    fn new(gates: &GatesI8<'a>, columns: usize) -> Option<Self> {
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
    fn add<const N: usize>(&self, sums: &mut [__m512i; N], xh: &Columns, unit: usize, columns: Range<usize>) {
        let tile = self.tile::<N>(unit);
        assert!(columns.end <= self.columns);
        for column in columns.step_by(4) {
            tile.add(sums, xh, column);
        }
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
fn lstm_i8_many(rows: &Packed<'_>, gates: &GatesI8<'_>, xh: &[Columns], streams: &mut [StreamI8<'_>]) {
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
                            let mut sums = *one; // in registers
                            rows.add(&mut sums, first, units.start, part.clone());
                            *one = sums;
                        }
                        _ => {}
                    }
                }
            }
            for (sums, stream) in sums.iter().zip(&mut *streams) {
                let (o, next) = next_cells_32(part_gates(requantize.pairs(*sums)), &mut stream.c[units.clone()]);
                store_i16(&mut stream.h[units.clone()], _mm512_mulhrs_epi16(o, tanh_q15_lanes(next)));
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
            4 => requantize.pairs(rows.sums::<4>(xh, unit)),
            2 => requantize.pairs(rows.sums::<2>(xh, unit)),
            _ => requantize.pairs(rows.sums::<1>(xh, unit)),
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
    fn new(gates: &GatesI8<'a>, units: Range<usize>) -> Self {
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

/// The same of sixteen units in the first two vectors, in vectors of half the width.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn part_gates_16(pairs: [__m512i; 4]) -> [__m256i; 4] {
    let of_if = _mm512_permutex2var_epi16(pairs[0], load_i16(&IF), pairs[1]);
    let of_go = _mm512_permutex2var_epi16(pairs[0], load_i16(&GO), pairs[1]);
    [
        _mm512_castsi512_si256(of_if),
        _mm512_extracti64x4_epi64::<1>(of_if),
        _mm512_castsi512_si256(of_go),
        _mm512_extracti64x4_epi64::<1>(of_go),
    ]
}

/// [`scalar::cell_q15`] of up to sixteen units, with AVX2's kernel: `gates` is `[i, f, g, o]` in Q3.12.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
fn cell_16(gates: [__m256i; 4], h: &mut [i16], c: &mut [i32]) {
    let (c_low, c_high) = c.split_at_mut(c.len().min(8));
    let (next_h, next) = cell_q15_lanes(gates, [load_i32_8(c_low), load_i32_8(c_high)]);
    store_i32_8(c_low, next[0]);
    store_i32_8(c_high, next[1]);
    if h.len() == 8 {
        store_i16_8(h, _mm256_castsi256_si128(next_h));
    } else {
        store_i16_16(h, next_h);
    }
}

/// The first half of [`scalar::cell_q15`] of up to 32 units: replaces c by c', and gives o in Q0.15 and c' in Q3.12, of which h comes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn next_cells_32(gates: [__m512i; 4], c: &mut [i32]) -> (__m512i, __m512i) {
    let [i, f, g, o] = gates;
    let (i, f, o) = (sigmoid_q15_lanes(i), sigmoid_q15_lanes(f), sigmoid_q15_lanes(o));
    let g = tanh_q15_lanes(g);
    let (c_low, c_high) = c.split_at_mut(c.len().min(16));
    let low = _mm512_castsi512_si256;
    let high = _mm512_extracti64x4_epi64::<1>;
    let a = next_cell(load_i32(c_low), low(f), low(i), low(g));
    let b = next_cell(load_i32(c_high), high(f), high(i), high(g));
    store_i32(c_low, a);
    store_i32(c_high, b);
    let half = _mm512_set1_epi32(1 << 6);
    let to_q12 = |c| _mm512_cvtsepi32_epi16(_mm512_srai_epi32::<7>(_mm512_add_epi32(c, half)));
    (o, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(to_q12(a)), to_q12(b)))
}

/// `(((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11)` of sixteen units; i and f are not negative.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn next_cell(c: __m512i, f: __m256i, i: __m256i, g: __m256i) -> __m512i {
    // With i extended by zeros, the upper half of what g's sign becomes is multiplied by zero.
    let ig = _mm512_madd_epi16(_mm512_cvtepu16_epi32(i), _mm512_cvtepi16_epi32(g));
    let ig = _mm512_srai_epi32::<11>(_mm512_add_epi32(ig, _mm512_set1_epi32(3 << 10)));
    // Both halves of c times f: the low ones unsigned, their high words landing where they belong.
    let f = _mm512_cvtepu16_epi32(f);
    let kept = _mm512_add_epi32(_mm512_mulhi_epu16(c, f), _mm512_madd_epi16(c, _mm512_slli_epi32::<16>(f)));
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
fn distance<const SHIFT: u32>(entry: __m512i, t: __m512i) -> __m512i {
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
    _mm512_adds_epi16(look_up(b), _mm512_srai_epi16::<SHIFT>(p))
}

/// [`activation::sigmoid_q15`](super::super::activation::sigmoid_q15) of 32 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn sigmoid_q15_lanes(x: __m512i) -> __m512i {
    let u = _mm512_min_epu16(_mm512_abs_epi16(x), _mm512_set1_epi16(32767));
    let t = _mm512_xor_si512(_mm512_slli_epi16::<4>(u), _mm512_set1_epi16(i16::MIN));
    let d = distance::<3>(_mm512_srli_epi16::<12>(u), t);
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
    let d = distance::<2>(_mm512_or_si512(_mm512_srli_epi16::<11>(u), _mm512_set1_epi16(8)), t);
    _mm512_mask_sub_epi16(d, _mm512_movepi16_mask(x), _mm512_setzero_si512(), d)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn sigmoid_q15(x: &mut [i16]) {
    for x in x.chunks_mut(32) {
        let y = sigmoid_q15_lanes(load_i16(x));
        store_i16(x, y);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn tanh_q15(x: &mut [i16]) {
    for x in x.chunks_mut(32) {
        let y = tanh_q15_lanes(load_i16(x));
        store_i16(x, y);
    }
}

// The loops below are plain enough for the compiler: inlined here, the reference is compiled for AVX-512.

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn widen_i8(x: &[i8], out: &mut [i16]) {
    scalar::widen_i8(x, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn narrow_q15(h: &[i16], out: &mut [i16]) {
    scalar::narrow_q15(h, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn add_i16(sum: &mut [i32], h: &[i16]) {
    scalar::add_i16(sum, h);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn max_i16(max: &mut [i16], h: &[i16]) {
    scalar::max_i16(max, h);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn add_f32(sum: &mut [f32], h: &[f32]) {
    scalar::add_f32(sum, h);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn max_f32(max: &mut [f32], h: &[f32]) {
    scalar::max_f32(max, h);
}

// ------------------------------------------------------------------------------------------------------------------------
// Floats.

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
fn sigmoid_f32(x: &mut [f32]) {
    for x in x.chunks_mut(16) {
        let y = sigmoid_f32_lanes(load_f32_16(x));
        store_f32_16(x, y);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn tanh_f32(x: &mut [f32]) {
    for x in x.chunks_mut(16) {
        let y = tanh_f32_lanes(load_f32_16(x));
        store_f32_16(x, y);
    }
}

/// The equations of [`scalar::lstm_float`], four blocks of eight units at a time: two vectors a block, `[i f]` and `[g o]`, and eight sums
/// in flight, which hide the latency of the fused multiply-add.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn lstm_f32(weights: &[f32], bias: &[f32], xh: &[f32], h: &mut [f32], c: &mut [f32]) {
    let block = 32 * xh.len();
    assert!(h.len().is_multiple_of(8) && h.len() == c.len(), "h, c: [U8]");
    assert!(bias.len() == 4 * h.len(), "bias: [U8 / 8][gate][8]");
    assert!(weights.len() == block * (h.len() / 8), "weights: [U8 / 8][K][gate][8]");
    if block == 0 {
        return; // as the reference: no columns, no rows
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
    let mut pairs = z.chunks_exact(2).zip(h.chunks_exact_mut(16).zip(c.chunks_exact_mut(16)));
    for (z, (h, c)) in &mut pairs {
        let ([if_0, go_0], [if_1, go_1]) = (z[0], z[1]);
        let low = |a, b| _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
        let high = |a, b| _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b);
        let (i, f, g, o) = (low(if_0, if_1), high(if_0, if_1), low(go_0, go_1), high(go_0, go_1));
        let ig = _mm512_mul_ps(sigmoid_f32_lanes(i), tanh_f32_lanes(g));
        let next = _mm512_fmadd_ps(sigmoid_f32_lanes(f), load_f32_16(c), ig);
        store_f32_16(c, next);
        store_f32_16(h, _mm512_mul_ps(sigmoid_f32_lanes(o), tanh_f32_lanes(next)));
    }
    if N % 2 == 1
        && let (Some(&[of_if, of_go]), Some((_, h)), Some((_, c))) =
            (z.last(), h.split_last_chunk_mut::<8>(), c.split_last_chunk_mut::<8>())
    {
        let low = _mm512_castps512_ps256;
        let high = _mm512_extractf32x8_ps::<1>;
        let ig = _mm256_mul_ps(sigmoid_f32_8(low(of_if)), tanh_f32_8(low(of_go)));
        let next = _mm256_fmadd_ps(sigmoid_f32_8(high(of_if)), load_f32(c), ig);
        store_f32(c, next);
        store_f32(h, _mm256_mul_ps(sigmoid_f32_8(high(of_go)), tanh_f32_8(next)));
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
