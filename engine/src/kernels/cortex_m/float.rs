//! Tiles of float rows on the FPU of Cortex-M4, M7 and M33: 32 registers of 32 bits, one product and sum an
//! instruction.
//!
//! ```text
//! sixteen rows of a column     vldm 8 weights, 8 vfma, twice, and on to the next column     19 instructions, 16 products
//! ```
//!
//! Sixteen sums stay in registers over all columns, and the values of four columns are loaded at once.

use core::arch::naked_asm;

use crate::kernels::fpu::{Kernels, Tile};

/// The kernels.
pub(super) const KERNELS: Kernels = Kernels { sixteen_f32, eight_f32, sixteen_f16, eight_f16 };

/// Products with the value of a column, each onto a sum.
macro_rules! products {
    ($x:literal: $($sum:literal $weight:literal),*) => {
        concat!($("vfma.f32 ", $sum, ", ", $weight, ", ", $x, "\n",)*)
    };
}

/// Products of two halves in a word with the value of a column, onto two sums.
macro_rules! halves {
    ($x:literal: $($first:literal $second:literal $weights:literal),*) => {
        concat!($(
            "vcvtb.f32.f16 s28, ", $weights, "\n",
            "vcvtt.f32.f16 s29, ", $weights, "\n",
            "vfma.f32 ", $first, ", s28, ", $x, "\n",
            "vfma.f32 ", $second, ", s29, ", $x, "\n",
        )*)
    };
}

/// A column of sixteen rows onto the sums s0 to s15: its weights at r0, its value in `$x`.
macro_rules! column {
    (sixteen f32 $x:literal) => {
        concat!(
            "vldmia r0!, {{s16, s17, s18, s19, s20, s21, s22, s23}}\n",
            products!($x: "s0" "s16", "s1" "s17", "s2" "s18", "s3" "s19", "s4" "s20", "s5" "s21", "s6" "s22", "s7" "s23"),
            "vldmia r0!, {{s16, s17, s18, s19, s20, s21, s22, s23}}\n",
            products!($x: "s8" "s16", "s9" "s17", "s10" "s18", "s11" "s19", "s12" "s20", "s13" "s21", "s14" "s22", "s15" "s23"),
            "add r0, r0, r3\n",
        )
    };
    (eight f32 $x:literal) => {
        concat!(
            "vldmia r0!, {{s16, s17, s18, s19, s20, s21, s22, s23}}\n",
            products!($x: "s0" "s16", "s1" "s17", "s2" "s18", "s3" "s19", "s4" "s20", "s5" "s21", "s6" "s22", "s7" "s23"),
            "add r0, r0, r3\n",
        )
    };
    (sixteen f16 $x:literal) => {
        concat!(
            "vldmia r0!, {{s16, s17, s18, s19, s20, s21, s22, s23}}\n",
            halves!($x: "s0" "s1" "s16", "s2" "s3" "s17", "s4" "s5" "s18", "s6" "s7" "s19",
                "s8" "s9" "s20", "s10" "s11" "s21", "s12" "s13" "s22", "s14" "s15" "s23"),
            "add r0, r0, r3\n",
        )
    };
    (eight f16 $x:literal) => {
        concat!(
            "vldmia r0!, {{s16, s17, s18, s19}}\n",
            halves!($x: "s0" "s1" "s16", "s2" "s3" "s17", "s4" "s5" "s18", "s6" "s7" "s19"),
            "add r0, r0, r3\n",
        )
    };
}

/// Four columns after the other: r2 holds their number, and afterwards how many are left.
macro_rules! fours {
    ($rows:ident f32) => {
        concat!(
            "subs r2, r2, #4\n",
            "blo 3f\n",
            "2:\n",
            "vldmia r1!, {{s24, s25, s26, s27}}\n",
            column!($rows f32 "s24"),
            column!($rows f32 "s25"),
            column!($rows f32 "s26"),
            column!($rows f32 "s27"),
            "subs r2, r2, #4\n",
            "bhs.w 2b\n",
            "3:\n",
            "adds r2, r2, #4\n",
        )
    };
    ($rows:ident f16) => {
        "cmp r2, #0\n"
    };
}

/// A kernel of a tile: the sums begin with the biases and are written once.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $rows:ident $weight:ident, $sums:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Every pointer of the tile is good for what `columns` and `skip` say and starts on a multiple of 4; what is
        /// written is apart from weights and columns.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(tile: &Tile) {
            naked_asm!(
                cpu!(),
                ".fpu fpv4-sp-d16",
                "vpush {{d8, d9, d10, d11, d12, d13, d14}}",
                "ldrd r1, r12, [r0, #16]",
                concat!("vldm r1, ", $sums),
                "ldm.w r0, {{r0, r1, r2, r3}}",
                fours!($rows $weight),
                "beq 5f",
                "4:",
                "vldmia r1!, {{s24}}",
                column!($rows $weight "s24"),
                "subs r2, r2, #1",
                "bne.w 4b",
                "5:",
                concat!("vstm r12, ", $sums),
                "vpop {{d8, d9, d10, d11, d12, d13, d14}}",
                "bx lr",
            )
        }
    };
}

tile!(
    /// Sixteen rows.
    sixteen_f32, sixteen f32, "{{s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15}}"
);
tile!(
    /// Eight rows.
    eight_f32, eight f32, "{{s0, s1, s2, s3, s4, s5, s6, s7}}"
);
tile!(
    /// Sixteen rows of halves, which the FPU's conversion makes singles.
    sixteen_f16, sixteen f16, "{{s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15}}"
);
tile!(
    /// Eight rows of halves.
    eight_f16, eight f16, "{{s0, s1, s2, s3, s4, s5, s6, s7}}"
);
