//! What runs along a slice: activations, sums, widening.

use core::arch::naked_asm;

use crate::kernels::activation::{ROWS, SEGMENT_ROWS_BYTES};

/// An activation over a slice; its macro expects the rows in r2 and the value in r4.
macro_rules! over_slice {
    ($(#[$doc:meta])* $name:ident, $activation:ident $(, $constant:ident = $value:expr)?) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The pointer is good for `count` elements.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(x: *mut i16, count: usize) {
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
    /// [`sigmoid_q15`](crate::kernels::scalar::sigmoid_q15).
    sigmoid_q15, sigmoid
);

over_slice!(
    /// [`tanh_q15`](crate::kernels::scalar::tanh_q15).
    tanh_q15, tanh, tanh = SEGMENT_ROWS_BYTES
);

/// [`widen_i8`](crate::kernels::scalar::widen_i8).
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn widen_i8(x: *const i8, out: *mut i16, count: usize) {
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

/// [`narrow_q15`](crate::kernels::scalar::narrow_q15), two at a time: a sum that saturates, and the upper byte of each half.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn narrow_q15(h: *const i16, out: *mut i16, count: usize) {
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

/// [`add_i16`](crate::kernels::scalar::add_i16).
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn add_i16(sum: *mut i32, h: *const i16, count: usize) {
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

/// [`max_i16`](crate::kernels::scalar::max_i16), two at a time: a difference sets the flags by which the larger half is selected.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn max_i16(max: *mut i16, h: *const i16, count: usize) {
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

/// [`dot_i16`](crate::kernels::scalar::dot_i16), two products an instruction and all 64 bits of their sum.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn dot_i16(w: *const i16, v: *const i16, count: usize) -> i64 {
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
