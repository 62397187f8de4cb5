//! Cortex-M4, M7 and M33: the DSP extension of ARMv7E-M and ARMv8-M, and half-precision loads where there is an FPU.
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

use core::arch::naked_asm;

use super::activation::{ROWS, SEGMENT_ROWS_BYTES};
use super::{Backend, RowsI8};
#[cfg(latch_fpu)]
use super::{FloatView, FloatWeight, RowsFloat, scalar};

/// What the assembler must be told: it does not hear of `-C target-cpu`, and ARMv8-M has the extension only on some cores.
#[cfg(latch_armv8m)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(latch_armv8m))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m4"
    };
}

/// The DSP extension. The target that this was compiled for has it, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
        let units = h.len();
        let quads = xh.len() / 4;
        let fits = xh.len().is_multiple_of(4)
            && gates.weights.len() == 16 * quads * units
            && gates.multiplier.len() == 4 * units
            && gates.bias.len() == 4 * units
            && c.len() == units;
        let words = [gates.weights.as_ptr().addr(), gates.multiplier.as_ptr().addr(), xh.as_ptr().addr()];
        if !fits || quads == 0 || units == 0 || words.iter().any(|address| address % 4 != 0) {
            debug_assert!(units == 0, "the slices of a step do not fit each other");
            return;
        }
        let step = Step {
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            xh: xh.as_mut_ptr(),
            quads: quads as u32,
            units: units as u32,
            shift: gates.shift & 31,
            weights: gates.weights.as_ptr(),
        };
        // SAFETY: all pointers come from slices whose lengths were just held to `units` and `quads`, which are not 0; what is read by
        // words starts on a multiple of 4; h, c and xh are borrowed mutably and apart from each other.
        unsafe { lstm_i8(&step) }
    }

    fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        if let Some(product) = RowsStep::new(rows.weights, rows.multiplier, x, out) {
            if rows.bias.len() == out.len() {
                // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0, and the biases are as
                // many; `out` is borrowed apart from them.
                unsafe { rows_i8(&RowsStep { bias: rows.bias.as_ptr(), ..product }) }
            }
        } else if x.is_empty() {
            out.iter_mut().zip(rows.bias).for_each(|(out, bias)| *out = *bias);
        }
    }

    fn add_rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        if let Some(product) = RowsStep::new(rows.weights, rows.multiplier, x, sums) {
            // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0; a quad's biases are read
            // before its sums are written over them.
            unsafe { rows_i8(&product) }
        }
    }

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        let units = h.len();
        if units == 0 || sums.len() < 3 * units || n.len() != units {
            debug_assert!(units == 0, "the slices of a cell do not fit each other");
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

    fn widen_i8(self, x: &[i8], out: &mut [i16]) {
        let count = x.len().min(out.len());
        // SAFETY: both slices have `count` elements.
        unsafe { widen_i8(x.as_ptr(), out.as_mut_ptr(), count) }
    }

    fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
        let count = h.len().min(out.len());
        // SAFETY: both slices have `count` elements.
        unsafe { narrow_q15(h.as_ptr(), out.as_mut_ptr(), count) }
    }

    fn add_i16(self, sum: &mut [i32], h: &[i16]) {
        let count = sum.len().min(h.len());
        // SAFETY: both slices have `count` elements.
        unsafe { add_i16(sum.as_mut_ptr(), h.as_ptr(), count) }
    }

    fn max_i16(self, max: &mut [i16], h: &[i16]) {
        let count = max.len().min(h.len());
        // SAFETY: both slices have `count` elements.
        unsafe { max_i16(max.as_mut_ptr(), h.as_ptr(), count) }
    }

    fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
        let count = w.len().min(v.len());
        // SAFETY: both slices have `count` elements.
        unsafe { dot_i16(w.as_ptr(), v.as_ptr(), count) }
    }

    #[cfg(latch_fpu)]
    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        match W::view(gates.weights) {
            FloatView::F32(weights) => {
                scalar::lstm_float_by_gate(&RowsFloat { weights, bias: gates.bias }, xh, h, c);
            }
            FloatView::F16(weights) if weights.as_ptr().addr().is_multiple_of(4) => {
                let gates = RowsFloat { weights, bias: gates.bias };
                scalar::lstm_float_blocks(&gates, xh, h, c, |block, xh, mut z| {
                    for (gate, z) in z.iter_mut().enumerate() {
                        // SAFETY: a block has 32 weights a column, of which those of a gate begin at 8 times its number; the weights start
                        // on a multiple of 4, and so does every gate's part of 16 bytes.
                        unsafe { gate_f16(block.as_ptr().add(8 * gate), xh.as_ptr(), xh.len(), z) };
                    }
                    z
                });
            }
            FloatView::F16(_) => scalar::lstm_float(gates, xh, h, c),
        }
    }
}

/// One gate of eight units: `sums[u] += w[k][u] * x[k]` over all columns, fused. Halves become singles by the FPU's conversion.
///
/// # Safety
/// `x` is good for `columns` elements, `w` for 8 weights in every 32 of as many columns; `w` starts on a multiple of 4.
#[cfg(latch_fpu)]
#[unsafe(naked)]
unsafe extern "C" fn gate_f16(w: *const half::f16, x: *const f32, columns: usize, sums: &mut [f32; 8]) {
    naked_asm!(
        cpu!(),
        ".fpu fpv4-sp-d16",
        "cbz r2, 3f",
        "vldm r3, {{s0, s1, s2, s3, s4, s5, s6, s7}}",
        "2:",
        "vldm r1!, {{s8}}",
        "vldm r0, {{s9, s10, s11, s12}}",
        "add r0, r0, #64",
        "vcvtb.f32.f16 s13, s9",
        "vcvtt.f32.f16 s14, s9",
        "vfma.f32 s0, s13, s8",
        "vfma.f32 s1, s14, s8",
        "vcvtb.f32.f16 s13, s10",
        "vcvtt.f32.f16 s14, s10",
        "vfma.f32 s2, s13, s8",
        "vfma.f32 s3, s14, s8",
        "vcvtb.f32.f16 s13, s11",
        "vcvtt.f32.f16 s14, s11",
        "vfma.f32 s4, s13, s8",
        "vfma.f32 s5, s14, s8",
        "vcvtb.f32.f16 s13, s12",
        "vcvtt.f32.f16 s14, s12",
        "vfma.f32 s6, s13, s8",
        "vfma.f32 s7, s14, s8",
        "subs r2, r2, #1",
        "bne 2b",
        "vstm r3, {{s0, s1, s2, s3, s4, s5, s6, s7}}",
        "3:",
        "bx lr",
    )
}

/// What the assembly reads: offsets are those of the fields.
#[repr(C)]
struct Step {
    multiplier: *const u16, // 0
    bias: *const i32,       // 4
    h: *mut i16,            // 8
    c: *mut i32,            // 12
    xh: *mut i16,           // 16
    quads: u32,             // 20
    units: u32,             // 24
    shift: u32,             // 28
    weights: *const i8,     // 32
}

/// Four columns: x in words at r1, weights at r0, sums in r4-r7. 72 bytes of code; what enters the loop in its middle counts on it.
macro_rules! quad {
    () => {
        concat!(
            "ldm.w r1!, {{r2, r3}}\n",
            "ldm.w r0!, {{r8, r9, r10, r11}}\n",
            quad!(gate "r4", "r8"),
            quad!(gate "r5", "r9"),
            quad!(gate "r6", "r10"),
            quad!(gate "r7", "r11"),
        )
    };
    (gate $acc:literal, $w:literal) => {
        concat!(
            "sxtb16 r12, ", $w, "\n",
            "smlad ", $acc, ", r12, r2, ", $acc, "\n",
            "sxtb16 ", $w, ", ", $w, ", ror #8\n",
            "smlad ", $acc, ", ", $w, ", r3, ", $acc, "\n",
        )
    };
}

/// |z| of a sum in any range.
macro_rules! magnitude {
    ($z:literal) => {
        concat!("eor r8, ", $z, ", ", $z, ", asr #31\n", "sub r8, r8, ", $z, ", asr #31\n")
    };
}

/// The polynomial of [`Segments::distance`]: the segment's place among the rows in r9, t in the low half of r8; D in r3.
/// Clobbers r9-r12 and lr.
macro_rules! distance {
    ($shift:literal) => {
        concat!(
            "ldm.w r9, {{r3, r9, r10, r11, r12, lr}}\n", // c4 c3 c2 c1 r b
            "smlabb r3, r3, r8, r9\n",
            "asr r3, r3, #15\n",
            "smlabb r3, r3, r8, r10\n",
            "asr r3, r3, #15\n",
            "smlabb r3, r3, r8, r11\n",
            "asr r3, r3, #15\n",
            "smlabb r3, r3, r8, r12\n",
            "asr r3, r3, #15\n",
            "add r3, lr, r3, asr #",
            $shift,
            "\n",
        )
    };
}

/// `z = sigmoid_q15(sat16(z))`. Clobbers r3, r8-r12, lr.
macro_rules! sigmoid {
    ($z:literal) => {
        concat!(
            magnitude!($z),
            "usat r8, #15, r8\n",
            "lsr r9, r8, #12\n",
            "add r9, r9, r9, lsl #1\n",
            "add r9, r2, r9, lsl #3\n",
            "lsl r8, r8, #4\n",
            "eor r8, r8, #0x8000\n",
            distance!("3"),
            "eor r3, r3, ",
            $z,
            ", asr #31\n",
            "sub r3, r3, ",
            $z,
            ", asr #31\n",
            "add ",
            $z,
            ", r3, #16384\n",
        )
    };
}

/// `z = tanh_q15(sat16(z))`. Clobbers r3, r8-r12, lr. Beyond 16 bits the squeezed magnitude is at least a quarter of z: the
/// saturation at 14 bits is the one at the top of the table.
macro_rules! tanh {
    ($z:literal) => {
        concat!(
            magnitude!($z),
            "sub r9, r8, #0x3000\n",
            "usat r9, #31, r9\n",
            "sub r10, r8, #0x4000\n",
            "usat r10, #31, r10\n",
            "sub r8, r8, r9, lsr #1\n",
            "sub r8, r8, r10, lsr #2\n",
            "usat r8, #14, r8\n",
            "lsr r9, r8, #11\n",
            "add r9, r9, r9, lsl #1\n",
            "add r9, r2, r9, lsl #3\n",
            "add r9, r9, #{tanh}\n",
            "lsl r8, r8, #5\n",
            "eor r8, r8, #0x8000\n",
            distance!("2"),
            "ssat r3, #16, r3\n",
            "eor r3, r3, ",
            $z,
            ", asr #31\n",
            "sub ",
            $z,
            ", r3, ",
            $z,
            ", asr #31\n",
        )
    };
}

/// One step; the equations are at [`lstm_i8`](super::scalar::lstm_i8).
///
/// The sums of a unit keep their 32 bits where the reference saturates to 16: both activations give for a magnitude beyond 16 bits
/// what they give at its end. Sums stay above `-2^31` by the contract of [`RowsI8`].
///
/// # Safety
/// Every pointer of the step is good for what `units` and `quads` say, which are not 0; weights, multipliers and xh start on a
/// multiple of 4; what is written is apart from everything else.
#[unsafe(naked)]
unsafe extern "C" fn lstm_i8(step: &Step) {
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
        "2:",
        "ldrd r2, r3, [r1]",
        "pkhbt lr, r2, r3, lsl #16",
        "pkhtb r2, r3, r2, asr #16",
        "strd lr, r2, [r1], #8",
        "subs.w r12, r12, #1",
        "bne 2b",
        // Rounds of four quads, the first of them entered where (-quads mod 4) quads are left out.
        "rsb r2, r9, #0",
        "and r2, r2, #3",
        "add r3, r9, r2",
        "lsr r3, r3, #2",
        "add r2, r2, r2, lsl #3",
        "adr.w r1, 4f",
        "add r9, r1, r2, lsl #3",
        "orr r9, r9, #1",
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
        "ldr.w pc, [sp, #20]",
        ".p2align 2",
        ".globl latch_matrix_begin",
        "latch_matrix_begin:",
        "4:",
        quad!(),
        quad!(),
        quad!(),
        quad!(),
        "subs.w lr, lr, #1",
        "bne.w 4b",
        ".globl latch_matrix_end",
        "latch_matrix_end:",
        // z = (acc * multiplier + bias) >> shift
        "ldm.w sp, {{r8, r9, r10, r11}}",
        "ldrd r2, r12, [r8], #8",
        "ldrd r1, r3, [r9], #8",
        "uxth lr, r2",
        "mla r4, r4, lr, r1",
        "lsr lr, r2, #16",
        "mla r5, r5, lr, r3",
        "ldrd r1, r3, [r9], #8",
        "add r10, r10, #2",
        "add r11, r11, #4",
        "stm.w sp, {{r8, r9, r10, r11}}",
        "uxth lr, r12",
        "mla r6, r6, lr, r1",
        "lsr lr, r12, #16",
        "mla r7, r7, lr, r3",
        "ldr.w lr, [sp, #28]",
        "asr r4, r4, lr",
        "asr r5, r5, lr",
        "asr r6, r6, lr",
        "asr r7, r7, lr",
        "mov r1, #16384",
        "movw r2, #:lower16:{rows}",
        "movt r2, #:upper16:{rows}",
        sigmoid!("r4"),
        sigmoid!("r5"),
        tanh!("r6"),
        sigmoid!("r7"),
        // c' = (((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11)
        "ldr r8, [sp, #12]",
        "mov r10, #3072",
        "ldr r9, [r8, #-4]",
        "smlabb r10, r4, r6, r10",
        "smulwb r9, r9, r5",
        "asr r10, r10, #11",
        "add r9, r10, r9, lsl #1",
        "str r9, [r8, #-4]",
        // h = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15
        "add r4, r9, #64",
        "asr r4, r4, #7",
        tanh!("r4"),
        "ldr r8, [sp, #8]",
        "smlabb r4, r4, r7, r1",
        "asr r4, r4, #15",
        "strh r4, [r8, #-2]",
        "ldr r3, [sp, #24]",
        "subs r3, r3, #1",
        "str r3, [sp, #24]",
        "bne.w 3b",
        // The columns change back: the exchange of the middle two is its own inverse.
        "ldr r1, [sp, #16]",
        "ldr.w r12, [sp, #36]",
        "5:",
        "ldrd r2, r3, [r1]",
        "pkhbt lr, r2, r3, lsl #16",
        "pkhtb r2, r3, r2, asr #16",
        "strd lr, r2, [r1], #8",
        "subs.w r12, r12, #1",
        "bne 5b",
        "add sp, sp, #40",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        rows = sym ROWS,
        tanh = const SEGMENT_ROWS_BYTES,
    )
}

/// What [`rows_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct RowsStep {
    multiplier: *const u16, // 0
    bias: *const i32,       // 4
    out: *mut i32,          // 8
    x: *mut i16,            // 12
    columns: u32,           // 16, in fours
    quads: u32,             // 20, of rows
    weights: *const i8,     // 24
}

impl RowsStep {
    /// Rows onto sums that are there: `out` is bias, too. `None` for slices that do not fit each other or are empty.
    fn new(weights: &[i8], multiplier: &[u16], x: &mut [i16], out: &mut [i32]) -> Option<Self> {
        let (columns, quads) = (x.len() / 4, out.len() / 4);
        let fits = x.len().is_multiple_of(4)
            && out.len().is_multiple_of(4)
            && weights.len() == 16 * columns * quads
            && multiplier.len() == out.len();
        let words = [weights.as_ptr().addr(), multiplier.as_ptr().addr(), x.as_ptr().addr()];
        if !fits || columns == 0 || quads == 0 || words.iter().any(|address| address % 4 != 0) {
            debug_assert!(columns == 0 || quads == 0, "the slices of rows do not fit each other");
            return None;
        }
        Some(RowsStep {
            multiplier: multiplier.as_ptr(),
            bias: out.as_ptr(),
            out: out.as_mut_ptr(),
            x: x.as_mut_ptr(),
            columns: columns as u32,
            quads: quads as u32,
            weights: weights.as_ptr(),
        })
    }
}

/// [`rows_i8`](super::scalar::rows_i8), a quad at a time, as [`lstm_i8`] does its products.
///
/// # Safety
/// Every pointer is good for what `columns` and `quads` say, which are not 0; weights, multipliers and x start on a
/// multiple of 4; what is written is apart from
/// everything else, but that biases may lie where sums are written.
#[unsafe(naked)]
unsafe extern "C" fn rows_i8(step: &RowsStep) {
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
        "2:",
        "ldrd r2, r3, [r1]",
        "pkhbt lr, r2, r3, lsl #16",
        "pkhtb r2, r3, r2, asr #16",
        "strd lr, r2, [r1], #8",
        "subs.w r12, r12, #1",
        "bne 2b",
        "rsb r2, r8, #0",
        "and r2, r2, #3",
        "add r3, r8, r2",
        "lsr r3, r3, #2",
        "add r2, r2, r2, lsl #3",
        "adr.w r1, 4f",
        "add r8, r1, r2, lsl #3",
        "orr r8, r8, #1",
        "stm.w sp, {{r4, r5, r6, r7, r8, r9}}",
        "str r3, [sp, #24]",
        "3:",
        "ldr r1, [sp, #12]",
        "ldr.w lr, [sp, #24]",
        "mov r4, #0",
        "mov r5, #0",
        "mov r6, #0",
        "mov r7, #0",
        "ldr.w pc, [sp, #16]",
        ".p2align 2",
        "4:",
        quad!(),
        quad!(),
        quad!(),
        quad!(),
        "subs.w lr, lr, #1",
        "bne.w 4b",
        "ldm.w sp, {{r8, r9, r10}}",
        "ldrd r2, r12, [r8], #8",
        "ldrd r1, r3, [r9], #8",
        "uxth lr, r2",
        "mla r4, r4, lr, r1",
        "lsr lr, r2, #16",
        "mla r5, r5, lr, r3",
        "ldrd r1, r3, [r9], #8",
        "uxth lr, r12",
        "mla r6, r6, lr, r1",
        "lsr lr, r12, #16",
        "mla r7, r7, lr, r3",
        "stm.w r10!, {{r4, r5, r6, r7}}",
        "ldr r3, [sp, #20]",
        "stm.w sp, {{r8, r9, r10}}",
        "subs r3, r3, #1",
        "str r3, [sp, #20]",
        "bne.w 3b",
        "ldr r1, [sp, #12]",
        "ldr.w r12, [sp, #28]",
        "5:",
        "ldrd r2, r3, [r1]",
        "pkhbt lr, r2, r3, lsl #16",
        "pkhtb r2, r3, r2, asr #16",
        "strd lr, r2, [r1], #8",
        "subs.w r12, r12, #1",
        "bne 5b",
        "add sp, sp, #36",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}

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

/// [`gru_cell_i8`](super::Backend::gru_cell_i8); the equations are at [`step_i8`](super::cell::gru::step_i8).
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

/// An activation over a slice; its macro expects the rows in r2 and the value in r4.
macro_rules! over_slice {
    ($(#[$doc:meta])* $name:ident, $activation:ident $(, $constant:ident = $value:expr)?) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The pointer is good for `count` elements.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(x: *mut i16, count: usize) {
            naked_asm!(
                cpu!(),
                "cmp r1, #0",
                "it eq",
                "bxeq lr",
                "push.w {{r4, r8, r9, r10, r11, lr}}",
                "movw r2, #:lower16:{rows}",
                "movt r2, #:upper16:{rows}",
                "2:",
                "ldrsh r4, [r0]",
                $activation!("r4"),
                "subs r1, r1, #1",
                "strh r4, [r0], #2",
                "bne.w 2b",
                "pop.w {{r4, r8, r9, r10, r11, pc}}",
                rows = sym ROWS,
                $($constant = const $value,)?
            )
        }
    };
}
over_slice!(
    /// [`sigmoid_q15`](super::scalar::sigmoid_q15).
    sigmoid_q15, sigmoid
);
over_slice!(
    /// [`tanh_q15`](super::scalar::tanh_q15).
    tanh_q15, tanh, tanh = SEGMENT_ROWS_BYTES
);

/// [`widen_i8`](super::scalar::widen_i8).
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn widen_i8(x: *const i8, out: *mut i16, count: usize) {
    naked_asm!(
        cpu!(),
        "push {{r4}}",
        "subs r2, #4",
        "blo 3f",
        "2:",
        "ldr r3, [r0], #4",
        "sxtb16 r12, r3",
        "sxtb16 r3, r3, ror #8",
        "pkhbt r4, r12, r3, lsl #16",
        "pkhtb r3, r3, r12, asr #16",
        "str r4, [r1], #4",
        "str r3, [r1], #4",
        "subs r2, #4",
        "bhs 2b",
        "3:",
        "adds r2, #4",
        "beq 5f",
        "4:",
        "ldrsb r3, [r0], #1",
        "strh r3, [r1], #2",
        "subs r2, #1",
        "bne 4b",
        "5:",
        "pop {{r4}}",
        "bx lr",
    )
}

/// [`narrow_q15`](super::scalar::narrow_q15), two at a time: a sum that saturates, and the upper byte of each half.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn narrow_q15(h: *const i16, out: *mut i16, count: usize) {
    naked_asm!(
        cpu!(),
        "mov r3, #0x00800080",
        "subs r2, #4",
        "blo 3f",
        "2:",
        "ldr r12, [r0], #4",
        "qadd16 r12, r12, r3",
        "sxtb16 r12, r12, ror #8",
        "str r12, [r1], #4",
        "ldr r12, [r0], #4",
        "qadd16 r12, r12, r3",
        "sxtb16 r12, r12, ror #8",
        "str r12, [r1], #4",
        "subs r2, #4",
        "bhs 2b",
        "3:",
        "adds r2, #4",
        "beq 5f",
        "4:",
        "ldrh r12, [r0], #2",
        "qadd16 r12, r12, r3",
        "sxtb16 r12, r12, ror #8",
        "strh r12, [r1], #2",
        "subs r2, #1",
        "bne 4b",
        "5:",
        "bx lr",
    )
}

/// [`add_i16`](super::scalar::add_i16).
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn add_i16(sum: *mut i32, h: *const i16, count: usize) {
    naked_asm!(
        cpu!(),
        "cbz r2, 3f",
        "2:",
        "ldr r3, [r0]",
        "ldrsh r12, [r1], #2",
        "add r3, r3, r12",
        "str r3, [r0], #4",
        "subs r2, #1",
        "bne 2b",
        "3:",
        "bx lr",
    )
}

/// [`max_i16`](super::scalar::max_i16), two at a time: a difference sets the flags by which the larger half is selected.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn max_i16(max: *mut i16, h: *const i16, count: usize) {
    naked_asm!(
        cpu!(),
        "push {{r4}}",
        "subs r2, #2",
        "blo 3f",
        "2:",
        "ldr r3, [r0]",
        "ldr r12, [r1], #4",
        "ssub16 r4, r3, r12",
        "sel r3, r3, r12",
        "str r3, [r0], #4",
        "subs r2, #2",
        "bhs 2b",
        "3:",
        "adds r2, #2",
        "beq 4f",
        "ldrsh r3, [r0]",
        "ldrsh r12, [r1]",
        "cmp r12, r3",
        "it gt",
        "strhgt r12, [r0]",
        "4:",
        "pop {{r4}}",
        "bx lr",
    )
}

/// [`dot_i16`](super::scalar::dot_i16), two products an instruction and all 64 bits of their sum.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
unsafe extern "C" fn dot_i16(w: *const i16, v: *const i16, count: usize) -> i64 {
    naked_asm!(
        cpu!(),
        "push {{r4, r5}}",
        "mov r3, r0",
        "mov r12, r1",
        "mov r0, #0",
        "mov r1, #0",
        "subs r2, #2",
        "blo 3f",
        "2:",
        "ldr r4, [r3], #4",
        "ldr r5, [r12], #4",
        "smlald r0, r1, r4, r5",
        "subs r2, #2",
        "bhs 2b",
        "3:",
        "adds r2, #2",
        "beq 4f",
        "ldrsh r4, [r3]",
        "ldrsh r5, [r12]",
        "smlalbb r0, r1, r4, r5",
        "4:",
        "pop {{r4, r5}}",
        "bx lr",
    )
}
