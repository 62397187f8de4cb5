//! Tiles of float rows.

use core::arch::naked_asm;

use crate::kernels::fpu::{Kernels, Tile};

/// The kernels.
pub(super) const KERNELS: Kernels = Kernels { sixteen_f32, eight_f32, sixteen_f16, eight_f16 };

/// Four weights at a place behind r0, as singles in q4.
macro_rules! singles {
    ($place:literal) => {
        concat!("vldrw.u32 q4, [r0, #", $place, "]\n")
    };
}

/// The same of halves, which a load puts into the lower parts of four lanes and a conversion makes singles.
macro_rules! halves {
    ($place:literal) => {
        concat!("vldrh.u32 q4, [r0, #", $place, "]\n", "vcvtb.f32.f16 q4, q4\n")
    };
}

/// A kernel of a tile, a vector of sums for each of the vectors of a column: their numbers, their places in the sums,
/// their places in the weights; `$next` is the bytes of the tile's weights of a column.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $load:ident, $next:literal: $($sums:literal $place:literal $weights:literal),*) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Every pointer of the tile is good for what `columns` and `skip` say and starts on a multiple of 4; what is
        /// written is apart from weights and columns.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(tile: &Tile) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4, lr}}",
                "vpush {{d8, d9}}",
                "ldrd r1, r12, [r0, #16]",
                $(concat!("vldrw.u32 q", $sums, ", [r1, #", $place, "]"),)*
                "ldm.w r0, {{r0, r1, r2, r3}}",
                concat!("add r3, r3, #", $next),
                "wls lr, r2, 3f",
                "2:",
                "ldr r4, [r1], #4",
                $($load!($weights), concat!("vfma.f32 q", $sums, ", q4, r4"),)*
                "add r0, r0, r3",
                "le lr, 2b",
                "3:",
                $(concat!("vstrw.32 q", $sums, ", [r12, #", $place, "]"),)*
                "vpop {{d8, d9}}",
                "pop {{r4, pc}}",
            )
        }
    };
}

tile!(
    /// Sixteen rows.
    sixteen_f32, singles, "64": "0" "0" "0", "1" "16" "16", "2" "32" "32", "3" "48" "48"
);
tile!(
    /// Eight rows.
    eight_f32, singles, "32": "0" "0" "0", "1" "16" "16"
);
tile!(
    /// Sixteen rows of halves.
    sixteen_f16, halves, "32": "0" "0" "0", "1" "16" "8", "2" "32" "16", "3" "48" "24"
);
tile!(
    /// Eight rows of halves.
    eight_f16, halves, "16": "0" "0" "0", "1" "16" "8"
);
