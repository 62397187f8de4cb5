//! The columns of a step, as bytes.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::super::Features;
use super::{load_i16, load_i16_8, load_i16_16, mask_32};

/// Columns for which there is room: more than any image's layer has.
pub(super) const ROOM: usize = 2048;

/// `[x; h; 0..]` as signed bytes, with at least 64 zeros behind.
///
/// Not cleared before it is filled, which would cost more than a small step: it knows how much of it is written, and
/// reads no further.
#[repr(align(64))]
pub(super) struct Columns {
    bytes: [MaybeUninit<u8>; ROOM + 128],
    /// All bytes before this place are written.
    written: usize,
}

impl Columns {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Columns { bytes: [MaybeUninit::uninit(); ROOM + 128], written: 0 }
    }

    /// Writes 32 bytes at a place, which is at most `ROOM + 96` and not behind a gap.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn put(&mut self, place: usize, bytes: __m256i) {
        assert!(place <= ROOM + 96 && place <= self.written);
        // SAFETY: by the line above the 32 bytes end with the array, at ROOM + 128; the store needs no alignment.
        unsafe { _mm256_storeu_si256(self.bytes.as_mut_ptr().add(place).cast(), bytes) }
        self.written = place + 32;
    }

    /// Writes zeros from a place on up to 64 behind the columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn end(&mut self, place: usize, columns: usize) {
        self.put(place, _mm256_setzero_si256());
        while self.written < columns + 64 {
            self.put(self.written, _mm256_setzero_si256());
        }
    }

    /// Takes the columns from 16 bits. False where there are too many.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) fn take(&mut self, xh: &[i16]) -> bool {
        if xh.len() > ROOM {
            return false;
        }
        for (block, x) in xh.chunks(32).enumerate() {
            self.put(32 * block, _mm512_cvtepi16_epi8(load_i16(x)));
        }
        self.end(xh.len(), xh.len());
        true
    }

    /// Takes `[x; narrow(h)]`. False where there are more than `columns`, which is rounded up to a multiple of 4, or too many.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) fn join(&mut self, x: Features<'_>, h: &[i16], columns: usize) -> bool {
        let inputs = x.len();
        if columns > ROOM || inputs + h.len() > columns {
            return false;
        }
        match x {
            Features::Row(row) => {
                for (block, x) in row.chunks(32).enumerate() {
                    // SAFETY: the mask has a bit for every byte of the chunk, and what has none is not read.
                    let bytes = unsafe { _mm256_maskz_loadu_epi8(mask_32(x.len()), x.as_ptr()) };
                    self.put(32 * block, bytes);
                }
            }
            Features::Hidden(hidden) => self.narrow(0, hidden),
        }
        self.narrow(inputs, h);
        self.end(inputs + h.len(), columns);
        true
    }

    /// Takes a hidden state as columns from `place` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn narrow(&mut self, place: usize, h: &[i16]) {
        let (whole, rest) = h.as_chunks::<32>();
        for (block, h) in whole.iter().enumerate() {
            self.put(place + 32 * block, _mm512_cvtepi16_epi8(narrow_lanes(load_i16(h))));
        }
        let place = place + 32 * whole.len();
        // The step before has written h just now: loads no wider than its stores take over from them without waiting.
        for (block, h) in rest.chunks(16).enumerate() {
            let lanes = if h.len() == 8 { _mm256_castsi128_si256(load_i16_8(h)) } else { load_i16_16(h) };
            let narrow = _mm256_srai_epi16::<8>(_mm256_adds_epi16(lanes, _mm256_set1_epi16(128)));
            self.put(place + 16 * block, _mm256_castsi128_si256(_mm256_cvtepi16_epi8(narrow)));
        }
    }

    /// Four columns from a multiple of 4 on, as one number.
    #[inline(always)]
    pub(super) fn four(&self, column: usize) -> i32 {
        assert!(column + 4 <= self.written);
        // SAFETY: by the line above the four bytes lie in what is written.
        unsafe { self.bytes.as_ptr().add(column).cast::<i32>().read_unaligned() }
    }

    /// The same 128 higher, as unsigned bytes, in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) fn unsigned_four(&self, column: usize) -> __m512i {
        // Turning the highest bit adds 128.
        _mm512_xor_si512(_mm512_set1_epi32(self.four(column)), _mm512_set1_epi8(-128))
    }

    /// Sixteen columns from a place on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) fn sixteen(&self, column: usize) -> __m128i {
        assert!(column + 16 <= self.written);
        // SAFETY: as above.
        unsafe { _mm_loadu_si128(self.bytes.as_ptr().add(column).cast()) }
    }

    /// The sum of the first `count` columns, counted up to a multiple of 64.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) fn sum(&self, count: usize) -> i32 {
        assert!(count.next_multiple_of(64) <= self.written);
        let mut sum = _mm512_setzero_si512();
        for column in (0..count).step_by(64) {
            // SAFETY: as above, with 64 columns.
            let x = unsafe { _mm512_loadu_si512(self.bytes.as_ptr().add(column).cast()) };
            sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), x);
        }
        _mm512_reduce_add_epi32(sum)
    }
}

/// `min((h + 128) >> 8, 127)` of 32 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn narrow_lanes(h: __m512i) -> __m512i {
    // Saturating at 32767 and then shifting is the minimum with 127.
    _mm512_srai_epi16::<8>(_mm512_adds_epi16(h, _mm512_set1_epi16(128)))
}
