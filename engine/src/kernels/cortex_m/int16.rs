//! int16: pairs of weights and columns as they lie, which `smlad` multiplies and adds.
//!
//! ```text
//! eight columns of a unit   ldm x · for each gate ldm, smlad four times        21 instructions, 32 products
//! a sum at its scale        smlawb, smlawt: bias + (acc * multiplier >> 16)    1 instruction
//! ```
//!
//! `smlad` wraps, and no part of a row's sum leaves 32 bits: [`RowsI16`](crate::kernels::RowsI16).

use core::arch::naked_asm;

use super::{ROWS, RowsStep, SEGMENT_ROWS_BYTES, Step};

/// Eight columns: x in words at r1, weights at r0, sums in r4-r7. 84 bytes of code; [`entry`] counts on it.
macro_rules! block {
    () => {
        concat!(
            "ldm.w r1!, {{r2, r3, r12, lr}}\n",
            block!(gate "r4"),
            block!(gate "r5"),
            block!(gate "r6"),
            block!(gate "r7"),
        )
    };
    (gate $acc:literal) => {
        concat!(
            "ldm.w r0!, {{r8, r9, r10, r11}}\n",
            "smlad ", $acc, ", r8, r2, ", $acc, "\n",
            "smlad ", $acc, ", r9, r3, ", $acc, "\n",
            "smlad ", $acc, ", r10, r12, ", $acc, "\n",
            "smlad ", $acc, ", r11, lr, ", $acc, "\n",
        )
    };
}

/// Rounds of four blocks, into r3, and where the first of them is entered so that (-blocks mod 4) blocks are left out: from the blocks in `$blocks`, into it.
macro_rules! entry {
    ($blocks:literal) => {
        concat!(
            "rsb r2, ",
            $blocks,
            ", #0\n",
            "and r2, r2, #3\n",
            "add r3, ",
            $blocks,
            ", r2\n",
            "lsr r3, r3, #2\n",
            "mov r1, #84\n",
            "mul r2, r2, r1\n",
            "adr.w r1, 4f\n",
            "add ",
            $blocks,
            ", r1, r2\n",
            "orr ",
            $blocks,
            ", ",
            $blocks,
            ", #1\n",
        )
    };
}

/// The rounds of a quad of rows, as many as r2 says, counted at `$left` on the stack: every register holds a number of the products. The entry lies at `$entry`.
macro_rules! rounds {
    ($left:literal, $entry:literal) => {
        concat!(
            "str r2, [sp, ",
            $left,
            "]\n",
            "mov r4, #0\n",
            "mov r5, #0\n",
            "mov r6, #0\n",
            "mov r7, #0\n",
            "ldr.w pc, [sp, ",
            $entry,
            "]\n",
            ".p2align 2\n",
            "4:\n",
            block!(),
            block!(),
            block!(),
            block!(),
            "ldr r2, [sp, ",
            $left,
            "]\n",
            "subs r2, r2, #1\n",
            "str r2, [sp, ",
            $left,
            "]\n",
            "bne.w 4b\n",
        )
    };
}

/// `(acc * multiplier >> 16) + bias` of the sums in r4-r7: multipliers at r8, biases at r9, which move on.
macro_rules! scale {
    () => {
        "ldrd r2, r12, [r8], #8\n\
         ldrd r1, r3, [r9], #8\n\
         smlawb r4, r4, r2, r1\n\
         smlawt r5, r5, r2, r3\n\
         ldrd r1, r3, [r9], #8\n\
         smlawb r6, r6, r12, r1\n\
         smlawt r7, r7, r12, r3\n"
    };
}

/// One step; the equations are at [`step`](crate::kernels::cell::lstm::step), and what is said of sums at [`lstm_i8`](super::lstm_i8).
///
/// # Safety
/// As [`lstm_i8`](super::lstm_i8), with `quads` blocks of eight columns, and xh is only read.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn lstm_i16(step: &Step) {
    naked_asm!(
        cpu!(),
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        // On the stack: 0 multiplier, 4 bias, 8 h, 12 c (they move on), 16 xh, 20 entry, 24 units, 28 shift, 32 rounds, 36 those left.
        "sub sp, sp, #40",
        "ldm.w r0!, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
        "ldr r0, [r0]",
        entry!("r9"),
        "stm.w sp, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
        "str r3, [sp, #32]",
        // A unit: i, f, g, o in r4-r7.
        "3:",
        "ldr r1, [sp, #16]",
        "ldr r2, [sp, #32]",
        rounds!("#36", "#20"),
        "ldm.w sp, {{r8, r9, r10, r11}}",
        scale!(),
        "add r10, r10, #2",
        "add r11, r11, #4",
        "stm.w sp, {{r8, r9, r10, r11}}",
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
        "add sp, sp, #40",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
        rows = sym ROWS,
        tanh = const SEGMENT_ROWS_BYTES,
    )
}

/// [`rows`](crate::kernels::scalar::rows) of int16, a quad at a time, as [`lstm_i16`] does its products.
///
/// # Safety
/// As [`rows_i8`](super::rows_i8), with blocks of eight columns, and x is only read.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn rows_i16(step: &RowsStep) {
    naked_asm!(
        cpu!(),
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}",
        // On the stack: 0 multiplier, 4 bias, 8 out (they move on), 12 x, 16 entry, 20 quads, 24 rounds, 28 those left.
        "sub sp, sp, #36",
        "ldm.w r0, {{r4, r5, r6, r7, r8, r9, r10}}",
        "mov r0, r10",
        entry!("r8"),
        "stm.w sp, {{r4, r5, r6, r7, r8, r9}}",
        "str r3, [sp, #24]",
        "3:",
        "ldr r1, [sp, #12]",
        "ldr r2, [sp, #24]",
        rounds!("#28", "#16"),
        "ldm.w sp, {{r8, r9, r10}}",
        scale!(),
        "stm.w r10!, {{r4, r5, r6, r7}}",
        "ldr r3, [sp, #20]",
        "stm.w sp, {{r8, r9, r10}}",
        "subs r3, r3, #1",
        "str r3, [sp, #20]",
        "bne.w 3b",
        "add sp, sp, #36",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}",
    )
}
