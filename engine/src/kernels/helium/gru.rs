//! The cell of a GRU.

use core::arch::naked_asm;

use super::macros::COLUMNS;

/// What [`gru_cell_i8`] reads: offsets are those of the fields.
#[repr(C)]
pub(super) struct GruCell {
    pub(super) z: *const i32,    // 0
    pub(super) n: *const i16,    // 4
    pub(super) h: *mut i16,      // 8
    pub(super) bytes: u32,       // 12, from the sums of a gate to those of the next
    pub(super) tiles: u32,       // 16, of eight units
    pub(super) minus_shift: i32, // 20
}

/// Eight sums at `$at`, shifted and saturated to Q3.12, into `$q`. -shift in r11. Clobbers q4 and q5.
macro_rules! eight_sums {
    ($q:literal, $at:literal) => {
        concat!(
            "vld20.32 {{q4, q5}}, [",
            $at,
            "]\n",
            "vld21.32 {{q4, q5}}, [",
            $at,
            "]!\n",
            "vshl.s32 q4, r11\n",
            "vshl.s32 q5, r11\n",
            "vqmovnb.s32 ",
            $q,
            ", q4\n",
            "vqmovnt.s32 ",
            $q,
            ", q5\n",
        )
    };
}

/// Half of `h' = (z * h + (32768 - z) * n + 2^14) >> 15` in 32 bits, as `n + ((z * (h - n) + 2^14) >> 15)`: q0 z, q2 n,
/// q3 h, into q4. Clobbers q5.
macro_rules! mix {
    ($half:literal, $out:literal) => {
        concat!(
            "vmovl",
            $half,
            ".s16 q4, q3\n",
            "vmovl",
            $half,
            ".s16 q5, q2\n",
            "vsub.i32 q4, q4, q5\n",
            "vmovl",
            $half,
            ".s16 q5, q0\n",
            "vmul.i32 q4, q4, q5\n",
            "vrshr.s32 q4, q4, #15\n",
            "vmovn",
            $half,
            ".i32 ",
            $out,
            ", q4\n",
        )
    };
}

/// [`gru_cell_i8`](crate::kernels::Backend::gru_cell_i8), eight units at a time; the equations are at
/// [`step`](crate::kernels::cell::gru::step).
///
/// # Safety
/// Every pointer is good for what `tiles` says, which is not 0; h is apart from everything else.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn gru_cell_i8(cell: &GruCell) {
    naked_asm!(
        ".cpu cortex-m55",
        save!(),
        // On the stack: 0 n, 4 h, 8 the sums of r, 12 those of s (they move on), 16 tiles.
        "sub sp, sp, #24",
        "ldm.w r0, {{r0, r1, r2, r3, r4, r11}}",
        "add r3, r3, r0",
        "rsb r5, r0, r3, lsl #1",
        "mov r10, r0",
        "mov r0, r3",
        "stm.w sp, {{r1, r2}}",
        "strd r0, r5, [sp, #8]",
        "str r4, [sp, #16]",
        constants!(),
        "2:",
        "ldrd r0, r4, [sp, #8]",
        eight_sums!("q0", "r10"),
        eight_sums!("q1", "r0"),
        eight_sums!("q2", "r4"),
        "strd r0, r4, [sp, #8]",
        columns!(set),
        sigmoid!("q0"),
        sigmoid!("q1"),
        // s = sat16(a + ((r * s + 2^14) >> 15))
        "ldr r4, [sp]",
        "vqrdmulh.s16 q2, q2, q1",
        "vldrh.u16 q1, [r4], #16",
        "str r4, [sp]",
        "vqadd.s16 q2, q2, q1",
        columns!(tanh),
        tanh!("q2"),
        "ldr r4, [sp, #4]",
        "vldrh.u16 q3, [r4]",
        mix!("b", "q1"),
        mix!("t", "q1"),
        "vadd.i16 q1, q1, q2",
        "vstrh.16 q1, [r4], #16",
        "str r4, [sp, #4]",
        "ldr r4, [sp, #16]",
        "subs r4, r4, #1",
        "str r4, [sp, #16]",
        "bne.w 2b",
        "add sp, sp, #24",
        restore!(),
        columns = sym COLUMNS,
    )
}
