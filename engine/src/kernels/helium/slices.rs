//! What runs along a slice: activations, sums, widening.

use core::arch::naked_asm;

use super::macros::COLUMNS;

/// [`crate::kernels::scalar::shift_q12`], four at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn shift_q12(sums: *const i32, out: *mut i16, count: usize, minus_shift: i32) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.32 lr, r2, 3f",
        "2:",
        "vldrw.u32 q0, [r0], #16",
        "vshl.s32 q0, r3",
        "vqmovnb.s32 q0, q0",
        "vstrh.32 q0, [r1], #8",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// An activation over a slice, eight at a time; `$set` brings the columns' addresses.
macro_rules! over_slice {
    ($(#[$doc:meta])* $name:ident, $activation:ident, $set:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The pointer is good for `count` elements.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(x: *mut i16, count: usize) {
            naked_asm!(
                ".cpu cortex-m55",
                "push.w {{r4, r5, r6, r7, r8, r9, r12, lr}}",
                "vpush {{d8, d9, d10, d11, d12, d13, d14, d15}}",
                "mov r4, r1",
                constants!(),
                $set,
                "b 3f",
                "2:",
                "vctp.16 r4",
                "vpst",
                "vldrht.u16 q0, [r0]",
                $activation!("q0"),
                "vctp.16 r4",
                "vpst",
                "vstrht.16 q0, [r0], #16",
                "subs r4, r4, #8",
                "3:",
                "cmp r4, #0",
                "bgt.w 2b",
                "vpop {{d8, d9, d10, d11, d12, d13, d14, d15}}",
                "pop.w {{r4, r5, r6, r7, r8, r9, r12, pc}}",
                columns = sym COLUMNS,
            )
        }
    };
}

over_slice!(
    /// [`crate::kernels::scalar::sigmoid_q15`].
    sigmoid_q15, sigmoid, columns!(set)
);

over_slice!(
    /// [`crate::kernels::scalar::tanh_q15`].
    tanh_q15, tanh, concat!(columns!(set), columns!(tanh))
);

/// [`crate::kernels::scalar::widen_i8`], eight at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn widen_i8(x: *const i8, out: *mut i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.s16 q0, [r0], #8",
        "vstrh.16 q0, [r1], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`crate::kernels::scalar::narrow_q15`], eight at a time, into what `$store` stores.
macro_rules! narrow {
    ($name:ident, $out:ty, $store:literal) => {
        /// A hidden state, Q0.15, in Q0.7.
        ///
        /// # Safety
        /// Both pointers are good for `count` elements.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(h: *const i16, out: *mut $out, count: usize) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r7, lr}}",
                "mov r3, #128",
                "wlstp.16 lr, r2, 3f",
                "2:",
                "vldrh.u16 q0, [r0], #16",
                "vqadd.s16 q0, q0, r3",
                "vshr.s16 q0, q0, #8",
                $store,
                "letp lr, 2b",
                "3:",
                "pop {{r7, pc}}",
            )
        }
    };
}
narrow!(narrow_q15, i16, "vstrh.16 q0, [r1], #16");
narrow!(narrow_bytes, i8, "vstrb.16 q0, [r1], #8");

/// [`crate::kernels::scalar::add_i16`], four at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn add_i16(sum: *mut i32, h: *const i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.32 lr, r2, 3f",
        "2:",
        "vldrw.u32 q0, [r0]",
        "vldrh.s32 q1, [r1], #8",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`crate::kernels::scalar::max_i16`], eight at a time.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn max_i16(max: *mut i16, h: *const i16, count: usize) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrh.u16 q0, [r0]",
        "vldrh.u16 q1, [r1], #16",
        "vmax.s16 q0, q0, q1",
        "vstrh.16 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// [`crate::kernels::scalar::dot_i16`], eight products an instruction and all 64 bits of their sum.
///
/// # Safety
/// Both pointers are good for `count` elements.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn dot_i16(w: *const i16, v: *const i16, count: usize) -> i64 {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "mov r3, r0",
        "mov r12, r1",
        "mov r0, #0",
        "mov r1, #0",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrh.u16 q0, [r3], #16",
        "vldrh.u16 q1, [r12], #16",
        "vmlaldava.s16 r0, r1, q0, q1",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}
