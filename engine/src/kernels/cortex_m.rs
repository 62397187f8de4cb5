//! Cortex-M4, M7 and M33: the DSP extension of ARMv7E-M and ARMv8-M, and the FPU where there is one.
//!
//! The extension has no intrinsics on stable Rust, so the integer step is one function in assembly, and takes the same
//! instructions whatever compiles it.
//!
//! ```text
//! four columns of a unit   ldm x, ldm 4 gates · for each gate sxtb16, smlad, sxtb16 ror #8, smlad        18 instructions, 16 products
//! ```
//!
//! `sxtb16` widens the bytes 0 and 2 of a word, and with `ror #8` the bytes 1 and 3. The columns of `xh` are brought into the order
//! 0, 2, 1, 3 before the step and back afterwards, so that two of them lie in a word as the two weights do.
#![allow(unsafe_code, reason = "assembly; each block says why it is sound")]

#[macro_use]
mod macros;
#[cfg(latch_fpu)]
mod float;
mod int16;
mod slices;

use core::arch::naked_asm;

use super::activation::{ROWS, SEGMENT_ROWS_BYTES};
use super::chips::{cell_fits, pairs_by_assembly, quads_of_rows, rows_by_assembly, step_fits, words_by_assembly};
#[cfg(latch_fpu)]
use super::fpu::floats_by_fpu;
use super::{Backend, IntWeight, RowsI8, RowsI16};
use int16::{lstm_i16, rows_i16};
use slices::{add_i16, dot_i16, max_i16, narrow_q15, sigmoid_q15, tanh_q15, widen_i8};

/// The DSP extension. The target that this was compiled for has it, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Dsp(());

impl Dsp {
    /// The proof: this file is compiled only for cores with the extension.
    pub const TOKEN: Self = Dsp(());
}

impl Backend for Dsp {
    fn name(self) -> &'static str {
        "dsp"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        if let Some(step) = Step::new(gates, 1, xh, h, c) {
            // SAFETY: `Step::new` held the lengths to each other and to not being 0; h, c and xh are borrowed mutably and apart from each other.
            unsafe { lstm_i8(&step) }
        }
    }

    fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
        let _ = backwards;
        if let Some(step) = Step::new(gates, 2, xh, h, c) {
            // SAFETY: as above, with two weights in a byte.
            unsafe { lstm_i4(&step) }
        }
    }

    fn lstm_i16(self, gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
        let units = h.len();
        let words = [gates.weights.as_ptr().addr(), gates.multiplier.as_ptr().addr(), xh.as_ptr().addr()];
        if !step_fits(gates, 1, xh, h, c) || words.iter().any(|address| address % 4 != 0) {
            return;
        }
        let step = Step {
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            xh: xh.as_ptr().cast_mut(),
            quads: (xh.len() / i16::COLUMNS) as u32,
            units: units as u32,
            shift: gates.shift & 31,
            weights: gates.weights.as_ptr().cast(),
        };
        // SAFETY: all pointers come from slices whose lengths were just held to `units` and to the blocks in `quads`, which are not 0; what
        // is read by words starts on a multiple of 4; h and c are borrowed mutably and apart from each other, and xh is only read.
        unsafe { lstm_i16(&step) }
    }

    rows_by_assembly!();
    rows_by_assembly!(rows_i4, add_rows_i4, rows_i4, 2);
    words_by_assembly!();

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        let units = h.len();
        if !cell_fits(sums, n, h) {
            return;
        }
        let cell = GruCell {
            sums: sums.as_ptr(),
            n: n.as_ptr(),
            bytes: 4 * units as u32,
            h: h.as_mut_ptr(),
            units: units as u32,
            shift: shift & 31,
        };
        // SAFETY: the sums are at least three times `units`, n and h are `units`, which is not 0; h is borrowed apart
        // from the others.
        unsafe { gru_cell_i8(&cell) }
    }

    fn sigmoid_q15(self, x: &mut [i16]) {
        // SAFETY: the pointer is good for the slice's length.
        unsafe { sigmoid_q15(x.as_mut_ptr(), x.len()) }
    }

    fn tanh_q15(self, x: &mut [i16]) {
        // SAFETY: the pointer is good for the slice's length.
        unsafe { tanh_q15(x.as_mut_ptr(), x.len()) }
    }

    pairs_by_assembly! {
        widen_i8(x: &[i8], out: &mut [i16]): as_ptr, as_mut_ptr;
        narrow_q15(h: &[i16], out: &mut [i16]): as_ptr, as_mut_ptr;
        add_i16(sum: &mut [i32], h: &[i16]): as_mut_ptr, as_ptr;
        max_i16(max: &mut [i16], h: &[i16]): as_mut_ptr, as_ptr;
        dot_i16(w: &[i16], v: &[i16]) -> i64: as_ptr, as_ptr;
    }

    #[cfg(latch_fpu)]
    floats_by_fpu!(float::KERNELS);
}

/// What the assembly reads: offsets are those of the fields.
#[repr(C)]
struct Step {
    multiplier: *const u16, // 0
    bias: *const i32,       // 4
    h: *mut i16,            // 8
    c: *mut i32,            // 12
    xh: *mut i16,           // 16
    quads: u32,             // 20, of columns; of int16 blocks of eight
    units: u32,             // 24
    shift: u32,             // 28
    weights: *const i8,     // 32
}

impl Step {
    /// `None` for slices that do not fit each other, with so many weights in a byte, or are empty, or that are read by words and start between two.
    fn new(gates: &RowsI8<'_>, per: usize, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) -> Option<Self> {
        let words = [gates.weights.as_ptr().addr(), gates.multiplier.as_ptr().addr(), xh.as_ptr().addr()];
        if !step_fits(gates, per, xh, h, c) || words.iter().any(|address| address % 4 != 0) {
            return None;
        }
        Some(Step {
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            xh: xh.as_mut_ptr(),
            quads: xh.len() as u32 / 4,
            units: h.len() as u32,
            shift: gates.shift & 31,
            weights: gates.weights.as_ptr(),
        })
    }
}

/// One step of a kind of weights, as a function of that name.
macro_rules! lstm {
    ($name:ident, $kind:ident) => {
        /// One step; the equations are at [`step`](super::cell::lstm::step).
        ///
        /// The sums of a unit keep their 32 bits where the reference saturates to 16: both activations give for a magnitude beyond 16 bits
        /// what they give at its end. Sums stay above `-2^31` by the contract of [`RowsI8`].
        ///
        /// # Safety
        /// Every pointer of the step is good for what `units` and `quads` say, which are not 0; weights, multipliers and xh start on a
        /// multiple of 4; what is written is apart from everything else.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(step: &Step) {
            naked_asm!(
                cpu!(),
                "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                // On the stack: 0 multiplier, 4 bias, 8 h, 12 c (they move on), 16 xh, 20 entry, 24 units, 28 shift, 32 rounds, 36 quads.
                "sub sp, sp, #40",
                "ldm.w r0!, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
                "ldr r0, [r0]",
                "str r9, [sp, #36]",
                // The columns change to the order 0, 2, 1, 3.
                "mov r1, r8",
                "mov r12, r9",
                exchange!(),
                // Rounds of four quads, the first of them entered where (-quads mod 4) quads are left out.
                products!($kind entry "r9"),
                "stm.w sp, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
                "str r3, [sp, #32]",
                // A unit: i, f, g, o in r4-r7.
                "3:",
                "ldr r1, [sp, #16]",
                "ldr.w lr, [sp, #32]",
                "mov r4, #0",
                "mov r5, #0",
                "mov r6, #0",
                "mov r7, #0",
                products!($kind unit),
                "ldr.w pc, [sp, #20]",
                ".p2align 2",
                products!($kind rounds),
                // z = (acc * multiplier + bias) >> shift
                "ldm.w sp, {{r8, r9, r10, r11}}",
                scale!(first),
                "add r10, r10, #2",
                "add r11, r11, #4",
                "stm.w sp, {{r8, r9, r10, r11}}",
                scale!(second),
                "ldr.w lr, [sp, #28]",
                "asr r4, r4, lr",
                "asr r5, r5, lr",
                "asr r6, r6, lr",
                "asr r7, r7, lr",
                cell!(),
                "ldr r3, [sp, #24]",
                "subs r3, r3, #1",
                "str r3, [sp, #24]",
                "bne.w 3b",
                // The columns change back: the exchange of the middle two is its own inverse.
                "ldr r1, [sp, #16]",
                "ldr.w r12, [sp, #36]",
                exchange!(),
                "add sp, sp, #40",
                "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
                rows = sym ROWS,
                tanh = const SEGMENT_ROWS_BYTES,
            )
        }
    };
}
lstm!(lstm_i8, i8);
lstm!(lstm_i4, i4);

/// What [`rows_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct RowsStep {
    multiplier: *const u16, // 0
    bias: *const i32,       // 4
    out: *mut i32,          // 8
    x: *mut i16,            // 12
    columns: u32,           // 16, in fours, of int16 in eights
    quads: u32,             // 20, of rows
    weights: *const i8,     // 24
}

impl RowsStep {
    /// Rows onto sums that are there: `out` is bias, too. `None` for slices that do not fit each other or are empty.
    fn new(weights: &[i8], per: usize, multiplier: &[u16], x: &mut [i16], out: &mut [i32]) -> Option<Self> {
        let step = Self::words(weights, per, multiplier, x, out)?;
        Some(RowsStep { x: x.as_mut_ptr(), ..step })
    }

    /// The same of any weights, over columns that are only read.
    #[inline(always)]
    fn words<W: IntWeight>(weights: &[W], per: usize, multiplier: &[u16], x: &[i16], out: &mut [i32]) -> Option<Self> {
        let (columns, quads) = quads_of_rows(weights, per, multiplier, x.len(), out)?;
        let words = [weights.as_ptr().addr(), multiplier.as_ptr().addr(), x.as_ptr().addr()];
        if words.iter().any(|address| address % 4 != 0) {
            return None;
        }
        Some(RowsStep {
            multiplier: multiplier.as_ptr(),
            bias: out.as_ptr(),
            out: out.as_mut_ptr(),
            x: x.as_ptr().cast_mut(),
            columns: columns as u32,
            quads: quads as u32,
            weights: weights.as_ptr().cast(),
        })
    }
}

/// Rows of a kind of weights, as a function of that name.
macro_rules! rows {
    ($name:ident, $kind:ident) => {
        /// [`rows_i8`](super::scalar::rows), a quad at a time, as [`lstm_i8`] does its products.
        ///
        /// # Safety
        /// Every pointer is good for what `columns` and `quads` say, which are not 0; weights, multipliers and x start on a
        /// multiple of 4; what is written is apart from
        /// everything else, but that biases may lie where sums are written.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(step: &RowsStep) {
            naked_asm!(
                cpu!(),
                "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
                // On the stack: 0 multiplier, 4 bias, 8 out (they move on), 12 x, 16 entry, 20 quads, 24 rounds, 28 columns.
                "sub sp, sp, #36",
                "ldm.w r0, {{r4, r5, r6, r7, r8, r9, r10}}",
                "mov r0, r10",
                "str r8, [sp, #28]",
                "mov r1, r7",
                "mov r12, r8",
                exchange!(),
                products!($kind entry "r8"),
                "stm.w sp, {{r4, r5, r6, r7, r8, r9}}",
                "str r3, [sp, #24]",
                "3:",
                "ldr r1, [sp, #12]",
                "ldr.w lr, [sp, #24]",
                "mov r4, #0",
                "mov r5, #0",
                "mov r6, #0",
                "mov r7, #0",
                products!($kind unit),
                "ldr.w pc, [sp, #16]",
                ".p2align 2",
                rounds!($kind),
                "ldm.w sp, {{r8, r9, r10}}",
                scale!(first),
                scale!(second),
                "stm.w r10!, {{r4, r5, r6, r7}}",
                "ldr r3, [sp, #20]",
                "stm.w sp, {{r8, r9, r10}}",
                "subs r3, r3, #1",
                "str r3, [sp, #20]",
                "bne.w 3b",
                "ldr r1, [sp, #12]",
                "ldr.w r12, [sp, #28]",
                exchange!(),
                "add sp, sp, #36",
                "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
            )
        }
    };
}
rows!(rows_i8, i8);
rows!(rows_i4, i4);

/// What [`gru_cell_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct GruCell {
    sums: *const i32, // 0
    n: *const i16,    // 4
    bytes: u32,       // 8, from the sums of a gate to those of the next
    h: *mut i16,      // 12
    units: u32,       // 16
    shift: u32,       // 20
}

/// [`gru_cell_i8`](super::Backend::gru_cell_i8); the equations are at [`step`](super::cell::gru::step).
///
/// Sums keep their 32 bits where the reference saturates to 16, as in [`lstm_i8`], but for the one that is multiplied.
///
/// # Safety
/// Every pointer is good for what `units` says, which is not 0; h is apart from everything else.
#[unsafe(naked)]
unsafe extern "C" fn gru_cell_i8(cell: &GruCell) {
    naked_asm!(
        cpu!(),
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        // On the stack: 0 h (moves on), 4 units, 8 shift.
        "sub sp, sp, #12",
        "ldm.w r0, {{r0, r1, r7, r8, r9, r10}}",
        "stm.w sp, {{r8, r9, r10}}",
        "movw r2, #:lower16:{rows}",
        "movt r2, #:upper16:{rows}",
        "2:",
        "ldr r3, [sp, #8]",
        "ldr r5, [r0, r7]",
        "ldr.w r6, [r0, r7, lsl #1]",
        "ldr r4, [r0], #4",
        "asr r5, r5, r3",
        "asr r6, r6, r3",
        "asr r4, r4, r3",
        "ssat r6, #16, r6",
        sigmoid!("r4"),
        sigmoid!("r5"),
        // s = a + ((r * s + 2^14) >> 15)
        "mov r8, #16384",
        "ldrsh r3, [r1], #2",
        "smlabb r6, r5, r6, r8",
        "add r6, r3, r6, asr #15",
        tanh!("r6"),
        // h' = n + ((z * (h - n) + 2^14) >> 15)
        "ldr r5, [sp]",
        "mov r8, #16384",
        "ldrsh r3, [r5]",
        "sub r3, r3, r6",
        "mla r3, r3, r4, r8",
        "add r6, r6, r3, asr #15",
        "strh r6, [r5], #2",
        "ldr r3, [sp, #4]",
        "str r5, [sp]",
        "subs r3, r3, #1",
        "str r3, [sp, #4]",
        "bne.w 2b",
        "add sp, sp, #12",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        rows = sym ROWS,
        tanh = const SEGMENT_ROWS_BYTES,
    )
}
