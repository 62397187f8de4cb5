//! Cortex-M0 and M0+: ARMv6-M, with neither unaligned loads, nor a division, nor products that accumulate.
//!
//! The integer step is one function in assembly, for the compiler's loop spends as many instructions on addresses as on products.
//!
//! ```text
//! a column of a unit   ldrsh x · for each gate ldrsb, muls, add to a high register · two addresses          15 instructions, 4 products
//! ```
#![allow(unsafe_code, reason = "assembly; each block says why it is sound")]

#[macro_use]
mod macros;

use core::arch::naked_asm;

use super::activation::{ROWS, SEGMENT_ROWS_BYTES};
use super::chips::{cell_fits, quads_of_rows, rows_by_assembly, step_fits};
use super::{Backend, RowsI8};

/// ARMv6-M. Every core that this was compiled for has it, so that nothing needs detecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
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
        if let Some(step) = Step::new(gates, 1, xh, h, c) {
            // SAFETY: `Step::new` held the lengths to each other and to not being 0; h and c are borrowed mutably and apart from each other.
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

    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        let units = h.len();
        if !cell_fits(sums, n, h) {
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

    rows_by_assembly!();
    rows_by_assembly!(rows_i4, add_rows_i4, rows_i4, 2);
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

impl Step {
    /// `None` for slices that do not fit each other, with so many weights in a byte, or are empty.
    fn new(gates: &RowsI8<'_>, per: usize, xh: &[i16], h: &mut [i16], c: &mut [i32]) -> Option<Self> {
        if !step_fits(gates, per, xh, h, c) {
            return None;
        }
        let xh = xh.as_ptr_range();
        Some(Step {
            multiplier: gates.multiplier.as_ptr(),
            bias: gates.bias.as_ptr(),
            h: h.as_mut_ptr(),
            c: c.as_mut_ptr(),
            xh: xh.start,
            xh_end: xh.end,
            units: h.len() as u32,
            shift: gates.shift & 31,
            weights: gates.weights.as_ptr(),
            rows: &ROWS,
        })
    }
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
    fn new(weights: &[i8], per: usize, multiplier: &[u16], x: &[i16], out: &mut [i32]) -> Option<Self> {
        let (_, quads) = quads_of_rows(weights, per, multiplier, x.len(), out)?;
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

/// Rows of a kind of weights, as a function of that name.
macro_rules! rows {
    ($name:ident, $kind:ident) => {
        /// [`rows_i8`](super::scalar::rows), a quad at a time, as [`lstm_i8`] does its products.
        ///
        /// # Safety
        /// Every pointer is good for what `quads` and the columns say, which are some; what is written is apart from everything
        /// else, but that biases may lie where sums
        /// are written.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(step: &RowsStep) {
            naked_asm!(
                save!(),
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
                zeros!(),
                columns!($kind),
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
                "beq 5f",
                "b 3b",
                "5:",
                "add sp, #24",
                restore!(),
            )
        }
    };
}
rows!(rows_i8, i8);
rows!(rows_i4, i4);

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

/// [`gru_cell_i8`](super::Backend::gru_cell_i8); the equations are at [`step`](super::cell::gru::step).
///
/// Sums keep their 32 bits where the reference saturates to 16, as in [`lstm_i8`], but for the one that is multiplied.
///
/// # Safety
/// Every pointer is good for what `units` says, which is not 0; h is apart from everything else.
#[unsafe(naked)]
unsafe extern "C" fn gru_cell_i8(cell: &GruCell) {
    naked_asm!(
        save!(),
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
        saturate_s!(),
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
        restore!(),
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

/// One step of a kind of weights, as a function of that name.
macro_rules! lstm {
    ($name:ident, $kind:ident) => {
        /// One step; the equations are at [`step`](super::cell::lstm::step).
        ///
        /// The sums of a unit keep their 32 bits where the reference saturates to 16: both activations give for a magnitude beyond 16 bits
        /// what they give at its end. Sums stay above `-2^31` by the contract of [`RowsI8`].
        ///
        /// # Safety
        /// Every pointer of the step is good for what `units` and the columns say, of which there are some; what is written is apart from
        /// everything else.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(step: &Step) {
            naked_asm!(
                save!(),
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
                zeros!(),
                "movs r5, #4",
                "movs r6, #8",
                "movs r7, #12",
                columns!($kind counted),
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
                cell!(),
                "ldr r1, [sp, #24]",
                "subs r1, #1",
                "str r1, [sp, #24]",
                "beq 5f",
                "b 3b",
                "5:",
                "add sp, #40",
                restore!(),
                activations!(),
                rows = const SEGMENT_ROWS_BYTES,
            )
        }
    };
}
lstm!(lstm_i8, i8);
lstm!(lstm_i4, i4);
