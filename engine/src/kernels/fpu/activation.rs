//! Activations of floats, one value after the other, and the LSTM's cell.
//!
//! The steps are those of [`kernels::activation`](crate::kernels::activation), with fused products and sums, and with
//!
//! ```text
//! n = round(x / ln 2)      r = x - n ln 2      s = 2^-n
//! p = 1 - e^-r = r - r^2 ((c0 - c1 r) + r^2 ((c2 - c3 r) + r^2 c4))
//!
//! sigmoid(x) = 1 / (1 + e)         e = e^-x = s - s p          x held to [-87, 87]
//! |tanh(x)|  = m / (2 - m)         m = 1 - e^-2|x| = (1 - s) + s p      |x| held to 10
//! ```
//!
//! The power of two is made in the FPU: 127 - n, converted to a fixed-point number with 23 fraction bits, is its bits.

use core::arch::naked_asm;

use crate::kernels::activation::{EXPM1, LN2_HIGH, LN2_LOW, ROUND, SIGMOID_LOWEST, TANH_LOWEST};
use crate::kernels::cell::SMALL;

/// What stays in s16 to s29, and the three that every exponential takes anew into s1 to s3.
static CONSTANTS: [f32; 17] = [
    -SIGMOID_LOWEST,
    SIGMOID_LOWEST,
    core::f32::consts::LOG2_E,
    ROUND,
    ROUND + 127.0,
    LN2_HIGH,
    LN2_LOW,
    EXPM1[1],
    EXPM1[3],
    EXPM1[4],
    1.0,
    -TANH_LOWEST / 2.0,
    2.0,
    SMALL,
    ROUND,
    EXPM1[0],
    EXPM1[2],
];

/// What the assembler must be told: it does not hear of `-C target-cpu`.
#[cfg(latch_backend = "helium")]
macro_rules! cpu {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(all(latch_backend = "dsp", latch_armv8m))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33\n.fpu fpv4-sp-d16"
    };
}
#[cfg(all(latch_backend = "dsp", not(latch_armv8m)))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m4\n.fpu fpv4-sp-d16"
    };
}

/// Saves the registers that are the caller's, and loads the constants; r3 is left at the three.
macro_rules! begin {
    () => {
        "vpush {{d8, d9, d10, d11, d12, d13, d14}}\n\
         movw r3, #:lower16:{constants}\n\
         movt r3, #:upper16:{constants}\n\
         vldmia r3!, {{s16, s17, s18, s19, s20, s21, s22, s23, s24, s25, s26, s27, s28, s29}}\n"
    };
}

/// `e^-x = s - s p` of x in s0: s in s5, p in s0. Clobbers s1 to s4 and s6.
macro_rules! exponential {
    () => {
        "vldm r3, {{s1, s2, s3}}\n\
         vfma.f32 s1, s0, s18\n\
         vsub.f32 s4, s1, s19\n\
         vsub.f32 s5, s20, s1\n\
         vcvt.s32.f32 s5, s5, #23\n\
         vfms.f32 s0, s4, s21\n\
         vfms.f32 s0, s4, s22\n\
         vfms.f32 s2, s0, s23\n\
         vfms.f32 s3, s0, s24\n\
         vmul.f32 s6, s0, s0\n\
         vfma.f32 s3, s25, s6\n\
         vfma.f32 s2, s3, s6\n\
         vfms.f32 s0, s6, s2\n"
    };
}

/// Holds s0 to a bound; no comparison is true of NaN.
macro_rules! hold {
    ($condition:literal $bound:literal) => {
        concat!(
            "vcmp.f32 s0, ",
            $bound,
            "\n",
            "vmrs APSR_nzcv, fpscr\n",
            "it ",
            $condition,
            "\n",
            "vmov",
            $condition,
            ".f32 s0, ",
            $bound,
            "\n",
        )
    };
}

/// The sigmoid of s0 as 1 over what is written to `$divisor`. Clobbers s0 to s6.
macro_rules! sigmoid {
    ($divisor:literal) => {
        concat!(
            hold!("gt" "s16"),
            hold!("mi" "s17"),
            exponential!(),
            "vfms.f32 s5, s5, s0\n",
            "vadd.f32 ",
            $divisor,
            ", s5, s26\n",
        )
    };
}

/// The hyperbolic tangent of s0 as s6 over s8; the sign is copied by its bit. Clobbers s0 to s6 and r4.
macro_rules! tanh {
    () => {
        concat!(
            "vmov r4, s0\n",
            "vabs.f32 s0, s0\n",
            hold!("gt" "s27"),
            "vadd.f32 s0, s0, s0\n",
            exponential!(),
            "vsub.f32 s6, s26, s5\n",
            "vfma.f32 s6, s5, s0\n",
            "vsub.f32 s8, s28, s6\n",
            "cmp r4, #0\n",
            "it mi\n",
            "vnegmi.f32 s6, s6\n",
        )
    };
}

/// The logistic sigmoid in place; see [`kernels::activation::sigmoid_f32`](crate::kernels::activation::sigmoid_f32) for
/// the error.
///
/// # Safety
/// The pointer is good for `count` elements.
#[unsafe(naked)]
pub(in super::super) unsafe extern "C" fn sigmoid_f32(x: *mut f32, count: usize) {
    naked_asm!(
        cpu!(),
        "cmp r1, #0",
        "it eq",
        "bxeq lr",
        begin!(),
        "2:",
        "vldr s0, [r0]",
        sigmoid!("s8"),
        "vdiv.f32 s0, s26, s8",
        "vstmia r0!, {{s0}}",
        "subs r1, r1, #1",
        "bne.w 2b",
        "vpop {{d8, d9, d10, d11, d12, d13, d14}}",
        "bx lr",
        constants = sym CONSTANTS,
    )
}

/// The hyperbolic tangent in place; see [`kernels::activation::tanh_f32`](crate::kernels::activation::tanh_f32) for the
/// error.
///
/// # Safety
/// The pointer is good for `count` elements.
#[unsafe(naked)]
pub(in super::super) unsafe extern "C" fn tanh_f32(x: *mut f32, count: usize) {
    naked_asm!(
        cpu!(),
        "cmp r1, #0",
        "it eq",
        "bxeq lr",
        "push {{r4, lr}}",
        begin!(),
        "2:",
        "vldr s0, [r0]",
        tanh!(),
        "vdiv.f32 s0, s6, s8",
        "vstmia r0!, {{s0}}",
        "subs r1, r1, #1",
        "bne.w 2b",
        "vpop {{d8, d9, d10, d11, d12, d13, d14}}",
        "pop {{r4, pc}}",
        constants = sym CONSTANTS,
    )
}

/// The cell of eight units of an LSTM from the sums of their gates; the equations are at
/// [`step_float`](crate::kernels::cell::lstm::step_float). A product of two activations is one quotient.
///
/// # Safety
/// z is good for eight sums of each gate i, f, g, o; what is written is apart from everything else.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn cell_f32(z: *const [f32; 32], h: &mut [f32; 8], c: &mut [f32; 8]) {
    naked_asm!(
        cpu!(),
        "push {{r4, lr}}",
        begin!(),
        "mov r12, #8",
        "2:",
        // i g
        "vldr s0, [r0]",
        sigmoid!("s7"),
        "vldr s0, [r0, #64]",
        tanh!(),
        "vmul.f32 s7, s7, s8",
        "vdiv.f32 s9, s6, s7",
        // c' = f c + i g, without subnormals
        "vldr s0, [r0, #32]",
        sigmoid!("s7"),
        "vldr s8, [r2]",
        "vdiv.f32 s8, s8, s7",
        "vadd.f32 s9, s9, s8",
        "vadd.f32 s9, s9, s29",
        "vsub.f32 s9, s9, s29",
        "vstmia r2!, {{s9}}",
        // h = o tanh(c')
        "vldr s0, [r0, #96]",
        sigmoid!("s7"),
        "vmov.f32 s0, s9",
        tanh!(),
        "vmul.f32 s7, s7, s8",
        "vdiv.f32 s6, s6, s7",
        "vstmia r1!, {{s6}}",
        "add r0, r0, #4",
        "subs.w r12, r12, #1",
        "bne.w 2b",
        "vpop {{d8, d9, d10, d11, d12, d13, d14}}",
        "pop {{r4, pc}}",
        constants = sym CONSTANTS,
    )
}
