//! Cortex-M0 and M0+: ARMv6-M, with neither unaligned loads, nor a division, nor products that accumulate.
//!
//! The integer step is one function in assembly, for the compiler's loop spends as many instructions on addresses as on products.
//!
//! ```text
//! a column of a unit   ldrsh x · for each gate ldrsb, muls, add to a high register · two addresses          15 instructions, 4 products
//! ```
#![allow(unsafe_code, reason = "assembly; each block says why it is sound")]

use core::arch::naked_asm;

use super::activation::{ROWS, SEGMENT_ROWS_BYTES};
use super::{Backend, RowsI8};

/// ARMv6-M. Every core that this was compiled for has it, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Thumb(());

impl Thumb {
    /// The proof: this file is compiled only for ARMv6-M.
    pub const TOKEN: Self = Thumb(());
}

impl Backend for Thumb {
    fn name(self) -> &'static str {
        "thumb"
    }

    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        let units = h.len();
        let quads = xh.len() / 4;
        let fits = xh.len().is_multiple_of(4)
            && gates.weights.len() == 16 * quads * units
            && gates.multiplier.len() == 4 * units
            && gates.bias.len() == 4 * units
            && c.len() == units;
        if !fits || quads == 0 || units == 0 {
            debug_assert!(units == 0, "the slices of a step do not fit each other");
            return;
        }
        let xh = xh.as_ptr_range();
        let step = Step {
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            xh: xh.start,
            xh_end: xh.end,
            units: units as u32,
            shift: gates.shift & 31,
            weights: gates.weights.as_ptr(),
            rows: &ROWS,
        };
        // SAFETY: all pointers come from slices whose lengths were just held to `units` and to four columns or more; each is aligned as
        // its type asks, and more is read at once nowhere; h and c are borrowed mutably and apart from each other.
        unsafe { lstm_i8(&step) }
    }

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        let units = h.len();
        if units == 0 || sums.len() < 3 * units || n.len() != units {
            debug_assert!(units == 0, "the slices of a cell do not fit each other");
            return;
        }
        let cell = GruCell {
            rows: &ROWS,
            sums: sums.as_ptr(),
            n: n.as_ptr(),
            h: h.as_mut_ptr(),
            bytes: 4 * units as u32,
            units: units as u32,
            shift: shift & 31,
        };
        // SAFETY: the sums are at least three times `units`, n and h are `units`, which is not 0; h is borrowed apart
        // from the others.
        unsafe { gru_cell_i8(&cell) }
    }

    fn sigmoid_q15(self, x: &mut [i16]) {
        if !x.is_empty() {
            // SAFETY: the pointer is good for the slice's length, which is not 0; the rows are the sigmoid's.
            unsafe { activate(x.as_mut_ptr(), x.len(), &ROWS[0], false) }
        }
    }

    fn tanh_q15(self, x: &mut [i16]) {
        if !x.is_empty() {
            // SAFETY: the pointer is good for the slice's length, which is not 0; the rows are tanh's.
            unsafe { activate(x.as_mut_ptr(), x.len(), &ROWS[1], true) }
        }
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
            // SAFETY: `RowsStep::new` held the lengths to each other and to not being 0; a row's bias is read before
            // its sum is written over it.
            unsafe { rows_i8(&product) }
        }
    }
}

/// What the assembly reads: offsets are those of the fields.
#[repr(C)]
struct Step {
    multiplier: *const u16,          // 0
    bias: *const i32,                // 4
    h: *mut i16,                     // 8
    c: *mut i32,                     // 12
    xh: *const i16,                  // 16
    xh_end: *const i16,              // 20
    units: u32,                      // 24
    shift: u32,                      // 28
    weights: *const i8,              // 32
    rows: *const [[[i32; 6]; 8]; 2], // 36
}

/// A gate of a column: the weight at r0 plus an offset times x in r2.
macro_rules! product {
    ($offset:literal, $acc:literal) => {
        concat!("ldrsb r3, [r0, ", $offset, "]\n", "muls r3, r2, r3\n", "add ", $acc, ", r3\n")
    };
}

/// A column; the weights' address then moves by `$next`.
macro_rules! column {
    ($next:literal) => {
        concat!(
            "ldrsh r2, [r1, r4]\n",
            product!("r4", "r8"),
            product!("r5", "r9"),
            product!("r6", "r10"),
            product!("r7", "r11"),
            "adds r1, #2\n",
            "adds r0, #",
            $next,
            "\n",
        )
    };
}

/// `z = (acc * multiplier + bias) >> shift` of a gate, in place. Multipliers at r1, biases at r2, the shift in r3.
macro_rules! requantize {
    ($acc:literal, $multiplier:literal, $bias:literal) => {
        concat!(
            "ldrh r4, [r1, #",
            $multiplier,
            "]\n",
            "mov r5, ",
            $acc,
            "\n",
            "muls r4, r5, r4\n",
            "ldr r5, [r2, #",
            $bias,
            "]\n",
            "adds r4, r4, r5\n",
            "asrs r4, r3\n",
            "mov ",
            $acc,
            ", r4\n",
        )
    };
}

/// One more coefficient: `p = (p * t + c) >> 15`.
macro_rules! horner {
    ($c:literal) => {
        concat!("muls r3, r0, r3\n", "adds r3, r3, ", $c, "\n", "asrs r3, r3, #15\n")
    };
}

/// What [`rows_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct RowsStep {
    multiplier: *const u16, // 0
    bias: *const i32,       // 4
    out: *mut i32,          // 8
    quads: u32,             // 12, of rows
    x: *const i16,          // 16
    x_end: *const i16,      // 20
    weights: *const i8,     // 24
}

impl RowsStep {
    /// Rows onto sums that are there: `out` is bias, too. `None` for slices that do not fit each other or are empty.
    fn new(weights: &[i8], multiplier: &[u16], x: &[i16], out: &mut [i32]) -> Option<Self> {
        let (columns, quads) = (x.len() / 4, out.len() / 4);
        let fits = x.len().is_multiple_of(4)
            && out.len().is_multiple_of(4)
            && weights.len() == 16 * columns * quads
            && multiplier.len() == out.len();
        if !fits || columns == 0 || quads == 0 {
            debug_assert!(columns == 0 || quads == 0, "the slices of rows do not fit each other");
            return None;
        }
        let x = x.as_ptr_range();
        Some(RowsStep {
            multiplier: multiplier.as_ptr(),
            bias: out.as_ptr(),
            out: out.as_mut_ptr(),
            quads: quads as u32,
            x: x.start,
            x_end: x.end,
            weights: weights.as_ptr(),
        })
    }
}

/// `out = acc * multiplier + bias` of a row. Multipliers at r1, biases at r2, sums at r3.
macro_rules! scale {
    ($acc:literal, $multiplier:literal, $word:literal) => {
        concat!(
            "ldrh r4, [r1, #",
            $multiplier,
            "]\n",
            "mov r5, ",
            $acc,
            "\n",
            "muls r4, r5, r4\n",
            "ldr r5, [r2, #",
            $word,
            "]\n",
            "adds r4, r4, r5\n",
            "str r4, [r3, #",
            $word,
            "]\n",
        )
    };
}

/// [`rows_i8`](super::scalar::rows_i8), a quad at a time, as [`lstm_i8`] does its products.
///
/// # Safety
/// Every pointer is good for what `quads` and the columns say, which are some; what is written is apart from everything
/// else, but that biases may lie where sums
/// are written.
#[unsafe(naked)]
unsafe extern "C" fn rows_i8(step: &RowsStep) {
    naked_asm!(
        "push {{r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        // On the stack: 0 multiplier, 4 bias, 8 out, 12 quads (they move on), 16 x, 20 its end.
        "sub sp, #24",
        "mov r1, sp",
        "ldm r0!, {{r2, r3, r4, r5, r6, r7}}",
        "stm r1!, {{r2, r3, r4, r5, r6, r7}}",
        "ldr r0, [r0]",
        "mov r12, r7",
        "movs r5, #4",
        "movs r6, #8",
        "movs r7, #12",
        "3:",
        "ldr r1, [sp, #16]",
        "movs r4, #0",
        "mov r8, r4",
        "mov r9, r4",
        "mov r10, r4",
        "mov r11, r4",
        "4:",
        column!("1"),
        column!("1"),
        column!("1"),
        column!("13"),
        "cmp r1, r12",
        "bne 4b",
        "ldr r1, [sp, #0]",
        "ldr r2, [sp, #4]",
        "ldr r3, [sp, #8]",
        scale!("r8", "0", "0"),
        scale!("r9", "2", "4"),
        scale!("r10", "4", "8"),
        scale!("r11", "6", "12"),
        "adds r1, #8",
        "adds r2, #16",
        "adds r3, #16",
        "mov r4, sp",
        "stm r4!, {{r1, r2, r3}}",
        "movs r5, #4",
        "ldr r1, [r4]",
        "subs r1, #1",
        "str r1, [r4]",
        "bne 3b",
        "add sp, #24",
        "pop {{r4, r5, r6, r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4, r5, r6, r7, pc}}",
    )
}

/// The two activations, which a function calls by `bl 20f` and `bl 30f` and has behind its end.
macro_rules! activations {
    () => {
        concat!(
            // r0 = sigmoid_q15(sat16(r0)); the rows in r7. Clobbers r1-r6.
            "20:\n",
            "asrs r1, r0, #31\n",
            "eors r0, r1\n",
            "subs r0, r0, r1\n",
            "lsrs r2, r0, #15\n",
            "beq 21f\n",
            "movs r0, #1\n",
            "lsls r0, r0, #15\n",
            "subs r0, #1\n",
            "21:\n",
            "lsrs r2, r0, #12\n",
            "lsls r0, r0, #20\n",
            "movs r6, #3\n",
            "b 40f\n",
            // r0 = tanh_q15(sat16(r0)); the rows in r7. Clobbers r1-r6.
            "30:\n",
            "asrs r1, r0, #31\n",
            "eors r0, r1\n",
            "subs r0, r0, r1\n",
            "movs r2, #3\n",
            "lsls r2, r2, #12\n",
            "subs r3, r0, r2\n",
            "ble 33f\n",
            "lsrs r4, r3, #1\n",
            "subs r0, r0, r4\n",
            "movs r2, #1\n",
            "lsls r2, r2, #12\n",
            "subs r3, r3, r2\n",
            "ble 33f\n",
            "lsrs r3, r3, #2\n",
            "subs r0, r0, r3\n",
            "33:\n",
            "lsrs r2, r0, #14\n",
            "beq 34f\n",
            "movs r0, #1\n",
            "lsls r0, r0, #14\n",
            "subs r0, #1\n",
            "34:\n",
            "lsrs r2, r0, #11\n",
            "lsls r0, r0, #21\n",
            "movs r6, #2\n",
            // The polynomial: the segment in r2, t above bit 16 of r0 with its top bit turned, the sign in r1, the last
            // shift in r6.
            "40:\n",
            "lsls r2, r2, #3\n",
            "lsls r3, r2, #1\n",
            "adds r2, r2, r3\n",
            "adds r2, r2, r7\n",
            "movs r3, #1\n",
            "lsls r3, r3, #31\n",
            "adds r0, r0, r3\n",
            "asrs r0, r0, #16\n",
            "ldm r2!, {{r3, r4, r5}}\n",
            horner!("r4"),
            horner!("r5"),
            "ldm r2!, {{r4, r5}}\n",
            horner!("r4"),
            horner!("r5"),
            "asrs r3, r6\n",
            "ldr r2, [r2]\n",
            "adds r3, r3, r2\n",
            "cmp r6, #3\n",
            "bne 41f\n",
            "eors r3, r1\n",
            "subs r3, r3, r1\n",
            "movs r0, #1\n",
            "lsls r0, r0, #14\n",
            "adds r0, r0, r3\n",
            "bx lr\n",
            "41:\n",
            "movs r4, #1\n",
            "lsls r4, r4, #15\n",
            "cmp r3, r4\n",
            "blt 42f\n",
            "subs r3, r4, #1\n",
            "42:\n",
            "eors r3, r1\n",
            "subs r0, r3, r1\n",
            "bx lr\n",
        )
    };
}

/// What [`gru_cell_i8`] reads: offsets are those of the fields.
#[repr(C)]
struct GruCell {
    rows: *const [[[i32; 6]; 8]; 2], // 0
    sums: *const i32,                // 4
    n: *const i16,                   // 8
    h: *mut i16,                     // 12
    bytes: u32,                      // 16, from the sums of a gate to those of the next
    units: u32,                      // 20
    shift: u32,                      // 24
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
        "push {{r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        // In r8 the sums, in r9 n, in r10 h, which move on; in r11 the bytes, in r7 the rows. On the stack: 0 units, 4
        // shift, 8 z, 12 r, 16 s.
        "sub sp, #20",
        "ldm r0!, {{r7}}",
        "ldm r0!, {{r1, r2, r3, r4, r5, r6}}",
        "mov r8, r1",
        "mov r9, r2",
        "mov r10, r3",
        "mov r11, r4",
        "str r5, [sp, #0]",
        "str r6, [sp, #4]",
        "2:",
        "mov r1, r8",
        "mov r2, r11",
        "adds r3, r1, r2",
        "ldr r0, [r1]",
        "ldr r4, [r1, r2]",
        "ldr r5, [r3, r2]",
        "adds r1, #4",
        "mov r8, r1",
        "ldr r3, [sp, #4]",
        "asrs r0, r3",
        "asrs r4, r3",
        "asrs r5, r3",
        "sxth r6, r5",
        "cmp r6, r5",
        "beq 3f",
        "movs r6, #1",
        "lsls r6, r6, #15",
        "subs r6, #1",
        "asrs r5, r5, #31",
        "eors r5, r6",
        "3:",
        "str r4, [sp, #12]",
        "str r5, [sp, #16]",
        "bl 20f",
        "str r0, [sp, #8]",
        "ldr r0, [sp, #12]",
        "bl 20f",
        // s = a + ((r * s + 2^14) >> 15)
        "ldr r1, [sp, #16]",
        "muls r0, r1, r0",
        "movs r1, #1",
        "lsls r1, r1, #14",
        "adds r0, r0, r1",
        "asrs r0, r0, #15",
        "mov r1, r9",
        "movs r2, #0",
        "ldrsh r2, [r1, r2]",
        "adds r1, #2",
        "mov r9, r1",
        "adds r0, r0, r2",
        "adds r7, #{rows}",
        "bl 30f",
        "subs r7, #{rows}",
        // h' = n + ((z * (h - n) + 2^14) >> 15)
        "mov r1, r10",
        "movs r2, #0",
        "ldrsh r2, [r1, r2]",
        "subs r2, r2, r0",
        "ldr r3, [sp, #8]",
        "muls r2, r3, r2",
        "movs r3, #1",
        "lsls r3, r3, #14",
        "adds r2, r2, r3",
        "asrs r2, r2, #15",
        "adds r0, r0, r2",
        "strh r0, [r1]",
        "adds r1, #2",
        "mov r10, r1",
        "ldr r1, [sp, #0]",
        "subs r1, #1",
        "str r1, [sp, #0]",
        "bne 2b",
        "add sp, #20",
        "pop {{r4, r5, r6, r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4, r5, r6, r7, pc}}",
        activations!(),
        rows = const SEGMENT_ROWS_BYTES,
    )
}

/// An activation in place: sigmoid by the first rows, tanh by the second.
///
/// # Safety
/// The pointer is good for `count` elements, of which there are some; `rows` are those of the activation.
#[unsafe(naked)]
unsafe extern "C" fn activate(x: *mut i16, count: usize, rows: *const [[i32; 6]; 8], is_tanh: bool) {
    naked_asm!(
        "push {{r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "push {{r4, r5, r6}}",
        "mov r8, r0",
        "mov r9, r1",
        "mov r10, r3",
        "mov r7, r2",
        "2:",
        "mov r1, r8",
        "movs r0, #0",
        "ldrsh r0, [r1, r0]",
        "mov r2, r10",
        "cmp r2, #0",
        "bne 3f",
        "bl 20f",
        "b 4f",
        "3:",
        "bl 30f",
        "4:",
        "mov r1, r8",
        "strh r0, [r1]",
        "adds r1, #2",
        "mov r8, r1",
        "mov r1, r9",
        "subs r1, #1",
        "mov r9, r1",
        "bne 2b",
        "pop {{r4, r5, r6}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "pop {{r4, r5, r6, r7, pc}}",
        activations!(),
    )
}

/// One step; the equations are at [`lstm_i8`](super::scalar::lstm_i8).
///
/// The sums of a unit keep their 32 bits where the reference saturates to 16: both activations give for a magnitude beyond 16 bits
/// what they give at its end. Sums stay above `-2^31` by the contract of [`RowsI8`].
///
/// # Safety
/// Every pointer of the step is good for what `units` and the columns say, of which there are some; what is written is apart from
/// everything else.
#[unsafe(naked)]
unsafe extern "C" fn lstm_i8(step: &Step) {
    naked_asm!(
        "push {{r4, r5, r6, r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4, r5, r6, r7}}",
        // On the stack: 0 multiplier, 4 bias, 8 h, 12 c (they move on), 16 xh, 20 its end, 24 units, 28 shift, 32 weights (move on), 36 rows.
        "sub sp, #40",
        "mov r1, sp",
        "ldm r0!, {{r2, r3, r4, r5, r6}}",
        "stm r1!, {{r2, r3, r4, r5, r6}}",
        "ldm r0!, {{r2, r3, r4, r5, r6}}",
        "stm r1!, {{r2, r3, r4, r5, r6}}",
        // A unit: i, f, g, o in r8-r11.
        "3:",
        "ldr r0, [sp, #32]",
        "ldr r1, [sp, #20]",
        "mov r12, r1",
        "ldr r1, [sp, #16]",
        "movs r4, #0",
        "mov r8, r4",
        "mov r9, r4",
        "mov r10, r4",
        "mov r11, r4",
        "movs r5, #4",
        "movs r6, #8",
        "movs r7, #12",
        ".globl latch_matrix_begin",
        "latch_matrix_begin:",
        "4:",
        column!("1"),
        column!("1"),
        column!("1"),
        column!("13"),
        "cmp r1, r12",
        "bne 4b",
        ".globl latch_matrix_end",
        "latch_matrix_end:",
        "str r0, [sp, #32]",
        "ldr r1, [sp, #0]",
        "ldr r2, [sp, #4]",
        "ldr r3, [sp, #28]",
        requantize!("r8", "0", "0"),
        requantize!("r9", "2", "4"),
        requantize!("r10", "4", "8"),
        requantize!("r11", "6", "12"),
        "adds r1, #8",
        "adds r2, #16",
        "str r1, [sp, #0]",
        "str r2, [sp, #4]",
        "ldr r7, [sp, #36]",
        "mov r0, r8",
        "bl 20f",
        "mov r8, r0",
        "mov r0, r9",
        "bl 20f",
        "mov r9, r0",
        "mov r0, r11",
        "bl 20f",
        "mov r11, r0",
        "adds r7, #{rows}",
        "mov r0, r10",
        "bl 30f",
        // c' = (((c * f) >> 16) << 1) + ((i * g + 3 * 2^10) >> 11); the halves of c times f, for the product has 48 bits.
        "mov r1, r8",
        "muls r0, r1, r0",
        "movs r1, #3",
        "lsls r1, r1, #10",
        "adds r0, r0, r1",
        "asrs r0, r0, #11",
        "ldr r4, [sp, #12]",
        "ldr r2, [r4]",
        "mov r1, r9",
        "uxth r3, r2",
        "muls r3, r1, r3",
        "lsrs r3, r3, #16",
        "asrs r2, r2, #16",
        "muls r2, r1, r2",
        "adds r2, r2, r3",
        "lsls r2, r2, #1",
        "adds r0, r0, r2",
        "stm r4!, {{r0}}",
        "str r4, [sp, #12]",
        // h = (o * tanh_q15(sat16((c' + 2^6) >> 7)) + 2^14) >> 15
        "adds r0, #64",
        "asrs r0, r0, #7",
        "bl 30f",
        "mov r1, r11",
        "muls r0, r1, r0",
        "movs r1, #1",
        "lsls r1, r1, #14",
        "adds r0, r0, r1",
        "asrs r0, r0, #15",
        "ldr r4, [sp, #8]",
        "strh r0, [r4]",
        "adds r4, #2",
        "str r4, [sp, #8]",
        "ldr r1, [sp, #24]",
        "subs r1, #1",
        "str r1, [sp, #24]",
        "beq 5f",
        "b 3b",
        "5:",
        "add sp, #40",
        "pop {{r4, r5, r6, r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4, r5, r6, r7, pc}}",
        activations!(),
        rows = const SEGMENT_ROWS_BYTES,
    )
}
