//! Products of the float step.

use core::arch::naked_asm;

/// Two gates of eight units: `sums[g][u] += w[k][g][u] * x[k]` over all columns, fused.
///
/// # Safety
/// `x` is good for `columns` elements, `w` for 16 weights in every 32 of as many columns.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn pair_f32(w: *const f32, x: *const f32, columns: usize, sums: &mut [[f32; 8]; 2]) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vpush {{d8, d9}}",
        "vldrw.u32 q0, [r3]",
        "vldrw.u32 q1, [r3, #16]",
        "vldrw.u32 q2, [r3, #32]",
        "vldrw.u32 q3, [r3, #48]",
        "wls lr, r2, 3f",
        "2:",
        "ldr r12, [r1], #4",
        "vldrw.u32 q4, [r0]",
        "vfma.f32 q0, q4, r12",
        "vldrw.u32 q4, [r0, #16]",
        "vfma.f32 q1, q4, r12",
        "vldrw.u32 q4, [r0, #32]",
        "vfma.f32 q2, q4, r12",
        "vldrw.u32 q4, [r0, #48]",
        "vfma.f32 q3, q4, r12",
        "add r0, r0, #128",
        "le lr, 2b",
        "3:",
        "vstrw.32 q0, [r3]",
        "vstrw.32 q1, [r3, #16]",
        "vstrw.32 q2, [r3, #32]",
        "vstrw.32 q3, [r3, #48]",
        "vpop {{d8, d9}}",
        "pop {{r7, pc}}",
    )
}

/// The same with halves, which a load puts into the lower parts of four lanes and a conversion makes singles.
///
/// # Safety
/// As [`pair_f32`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn pair_f16(w: *const half::f16, x: *const f32, columns: usize, sums: &mut [[f32; 8]; 2]) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "vpush {{d8, d9}}",
        "vldrw.u32 q0, [r3]",
        "vldrw.u32 q1, [r3, #16]",
        "vldrw.u32 q2, [r3, #32]",
        "vldrw.u32 q3, [r3, #48]",
        "wls lr, r2, 3f",
        "2:",
        "ldr r12, [r1], #4",
        "vldrh.u32 q4, [r0]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q0, q4, r12",
        "vldrh.u32 q4, [r0, #8]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q1, q4, r12",
        "vldrh.u32 q4, [r0, #16]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q2, q4, r12",
        "vldrh.u32 q4, [r0, #24]",
        "vcvtb.f32.f16 q4, q4",
        "vfma.f32 q3, q4, r12",
        "add r0, r0, #64",
        "le lr, 2b",
        "3:",
        "vstrw.32 q0, [r3]",
        "vstrw.32 q1, [r3, #16]",
        "vstrw.32 q2, [r3, #32]",
        "vstrw.32 q3, [r3, #48]",
        "vpop {{d8, d9}}",
        "pop {{r7, pc}}",
    )
}
