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
        // r0 = sigmoid_q15(sat16(r0)); the rows in r7. Clobbers r1-r6.
        "20:",
        "asrs r1, r0, #31",
        "eors r0, r1",
        "subs r0, r0, r1",
        "lsrs r2, r0, #15",
        "beq 21f",
        "movs r0, #1",
        "lsls r0, r0, #15",
        "subs r0, #1",
        "21:",
        "lsrs r2, r0, #12",
        "lsls r0, r0, #20",
        "movs r6, #3",
        "b 40f",
        // r0 = tanh_q15(sat16(r0)); the rows in r7. Clobbers r1-r6.
        "30:",
        "asrs r1, r0, #31",
        "eors r0, r1",
        "subs r0, r0, r1",
        "movs r2, #3",
        "lsls r2, r2, #12",
        "subs r3, r0, r2",
        "ble 33f",
        "lsrs r4, r3, #1",
        "subs r0, r0, r4",
        "movs r2, #1",
        "lsls r2, r2, #12",
        "subs r3, r3, r2",
        "ble 33f",
        "lsrs r3, r3, #2",
        "subs r0, r0, r3",
        "33:",
        "lsrs r2, r0, #14",
        "beq 34f",
        "movs r0, #1",
        "lsls r0, r0, #14",
        "subs r0, #1",
        "34:",
        "lsrs r2, r0, #11",
        "lsls r0, r0, #21",
        "movs r6, #2",
        // The polynomial: the segment in r2, t above bit 16 of r0 with its top bit turned, the sign in r1, the last shift in r6.
        "40:",
        "lsls r2, r2, #3",
        "lsls r3, r2, #1",
        "adds r2, r2, r3",
        "adds r2, r2, r7",
        "movs r3, #1",
        "lsls r3, r3, #31",
        "adds r0, r0, r3",
        "asrs r0, r0, #16",
        "ldm r2!, {{r3, r4, r5}}",
        horner!("r4"),
        horner!("r5"),
        "ldm r2!, {{r4, r5}}",
        horner!("r4"),
        horner!("r5"),
        "asrs r3, r6",
        "ldr r2, [r2]",
        "adds r3, r3, r2",
        "cmp r6, #3",
        "bne 41f",
        "eors r3, r1",
        "subs r3, r3, r1",
        "movs r0, #1",
        "lsls r0, r0, #14",
        "adds r0, r0, r3",
        "bx lr",
        "41:",
        "movs r4, #1",
        "lsls r4, r4, #15",
        "cmp r3, r4",
        "blt 42f",
        "subs r3, r4, #1",
        "42:",
        "eors r3, r1",
        "subs r0, r3, r1",
        "bx lr",
        rows = const SEGMENT_ROWS_BYTES,
    )
}
