//! int16: eight weights and columns a vector, as they lie.
//!
//! ```text
//! eight columns of a unit   vldrh x · vldrh the weights, a vector a gate · vmladava.s16 a gate       9 instructions, 32 products
//! ```
//!
//! `vmladava` wraps, and no part of a row's sum leaves 32 bits: [`RowsI16`](crate::kernels::RowsI16).

use core::arch::naked_asm;

use super::macros::LISTS;
use super::{RowsStep, Step};

/// A block: eight columns at r1, weights at r0, sums in r2, r4, r6, r8, which `vmladav` begins and `vmladava` goes on with.
macro_rules! block {
    ($sum:literal) => {
        concat!(
            "vldrh.u16 q4, [r1], #16\n",
            "vldrh.u16 q0, [r0], #16\n",
            "vldrh.u16 q1, [r0], #16\n",
            "vldrh.u16 q2, [r0], #16\n",
            "vldrh.u16 q3, [r0], #16\n",
            $sum,
            ".s16 r2, q0, q4\n",
            $sum,
            ".s16 r4, q1, q4\n",
            $sum,
            ".s16 r6, q2, q4\n",
            $sum,
            ".s16 r8, q3, q4\n",
        )
    };
}

/// The blocks of a quad of rows: r5 of them, then fours, r10 + 1 of them; the first block begins the sums. Where r5 is 0, as of 32 columns and multiples, the first
/// four do.
macro_rules! blocks {
    () => {
        concat!(
            "wls lr, r5, 15f\n",
            block!("vmladav"),
            "b 6f\n",
            "5:\n",
            block!("vmladava"),
            "6:\n",
            "le lr, 5b\n",
            "add lr, r10, #1\n",
            "wls lr, lr, 8f\n",
            "b.w 7f\n",
            "15:\n",
            block!("vmladav"),
            block!("vmladava"),
            block!("vmladava"),
            block!("vmladava"),
            "wls lr, r10, 8f\n",
            "7:\n",
            block!("vmladava"),
            block!("vmladava"),
            block!("vmladava"),
            block!("vmladava"),
            "le lr, 7b\n",
            "8:\n",
        )
    };
}

/// How [`blocks`] counts so many columns: from r5, into r5 and r10, which may be -1.
macro_rules! counts {
    () => {
        "lsr r10, r5, #5\n\
         ubfx r5, r5, #3, #2\n\
         sub r10, r10, #1\n"
    };
}

/// `(acc * multiplier >> 16) + bias` of four rows into q0: sums in r2, r4, r6, r8, multipliers at r7, biases at r9. Clobbers q1, q2. The high word of acc
/// times multiplier * 2^16 is the floor of acc * multiplier / 2^16.
macro_rules! scale {
    () => {
        "vmov q0[2], q0[0], r2, r6\n\
         vmov q0[3], q0[1], r4, r8\n\
         vldrh.u32 q1, [r7], #8\n\
         vldrw.u32 q2, [r9], #16\n\
         vshl.i32 q1, q1, #16\n\
         vmulh.s32 q0, q0, q1\n\
         vadd.i32 q0, q0, q2\n"
    };
}

/// One step; the equations are at [`step`](crate::kernels::cell::lstm::step).
///
/// # Safety
/// Every pointer of the step is good for what `units` and `columns` say, which are not 0; `columns` is a multiple of 8; h and c are apart from everything
/// else, and xh is only read.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn lstm_i16(step: &Step) {
    naked_asm!(
        ".cpu cortex-m55",
        save!(),
        // On the stack: 0 the sums of a tile, [8 units][4 gates]; 64 c of an incomplete tile; 96 xh, 100 h, 104 c, 108 units of this tile, 112 units,
        // 116 -shift, 120 multiplier, 124 bias, 128 and 132 the counts of blocks.
        "sub sp, sp, #136",
        "ldm.w r0!, {{r1, r7, r9}}",
        "ldm.w r0, {{r2, r3, r4, r5, r6, r11}}",
        "mov r0, r1",
        "add r1, sp, #96",
        "stm.w r1, {{r2, r3, r4, r5, r6, r11}}",
        "str r7, [sp, #120]",
        "str r9, [sp, #124]",
        counts!(),
        "strd r5, r10, [sp, #128]",
        // A tile of at most eight units.
        "3:",
        "ldr r12, [sp, #112]",
        "cmp r12, #8",
        "it hi",
        "movhi r12, #8",
        "str r12, [sp, #108]",
        "mov r3, sp",
        "ldrd r7, r9, [sp, #120]",
        "ldrd r5, r10, [sp, #128]",
        "ldr r11, [sp, #116]",
        // A unit: i, f, g, o in r2, r4, r6, r8.
        "4:",
        "ldr r1, [sp, #96]",
        blocks!(),
        // z = sat16(((acc * multiplier >> 16) + bias) >> shift)
        scale!(),
        "vshl.s32 q0, r11",
        "vqmovnb.s32 q0, q0",
        "vstrh.32 q0, [r3], #8",
        "subs r12, r12, #1",
        "bne.w 4b",
        "strd r7, r9, [sp, #120]",
        tile!(),
        "ldr r4, [sp, #112]",
        "subs r4, r4, r12",
        "str r4, [sp, #112]",
        "bne.w 3b",
        "add sp, sp, #136",
        restore!(),
        lists = sym LISTS,
    )
}

/// [`rows`](crate::kernels::scalar::rows) of int16, a quad at a time, as [`lstm_i16`] does its products.
///
/// # Safety
/// Every pointer is good for what `columns` and `quads` say, which are not 0; `columns` is a multiple of 8; what is written is apart from everything else, but
/// that biases may lie where sums are written; x is only read.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn rows_i16(step: &RowsStep) {
    naked_asm!(
        ".cpu cortex-m55",
        "push.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}}",
        "vpush {{d8, d9}}",
        "ldm.w r0, {{r0, r2, r5, r7, r9, r11, r12}}",
        "mov r3, r12",
        "mov r12, r7",
        "mov r7, r9",
        "mov r9, r11",
        "mov r11, r2",
        counts!(),
        // Now r0 weights, r11 x, r3 out, r5 and r10 the counts of blocks, r7 multiplier, r9 bias, r12 quads.
        "4:",
        "mov r1, r11",
        blocks!(),
        scale!(),
        "vstrw.32 q0, [r3], #16",
        "subs r12, r12, #1",
        "bne.w 4b",
        "vpop {{d8, d9}}",
        "pop.w {{r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}}",
    )
}
