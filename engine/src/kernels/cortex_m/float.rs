//! Products of the float step.

use core::arch::naked_asm;

/// One gate of eight units: `sums[u] += w[k][u] * x[k]` over all columns, fused. Halves become singles by the FPU's conversion.
///
/// # Safety
/// `x` is good for `columns` elements, `w` for 8 weights in every 32 of as many columns; `w` starts on a multiple of 4.
#[cfg(latch_fpu)]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn gate_f16(w: *const half::f16, x: *const f32, columns: usize, sums: &mut [f32; 8]) {
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
