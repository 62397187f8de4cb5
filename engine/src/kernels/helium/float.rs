//! Products of the float step.

use core::arch::naked_asm;

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

/// Two gates of eight units: `sums[g][u] += w[k][g][u] * x[k]` over all columns, fused. `$a` to `$d` are the places of the four vectors of a column, `$next` its bytes.
macro_rules! pair {
    ($name:ident, $weight:ty, $load:ident, $a:literal $b:literal $c:literal $d:literal, $next:literal) => {
        /// Products of two gates of eight units, onto their sums.
        ///
        /// # Safety
        /// `x` is good for `columns` elements, `w` for 16 weights in every 32 of as many columns.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(
            w: *const $weight,
            x: *const f32,
            columns: usize,
            sums: &mut [[f32; 8]; 2],
        ) {
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
                $load!($a),
                "vfma.f32 q0, q4, r12",
                $load!($b),
                "vfma.f32 q1, q4, r12",
                $load!($c),
                "vfma.f32 q2, q4, r12",
                $load!($d),
                "vfma.f32 q3, q4, r12",
                concat!("add r0, r0, #", $next),
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
    };
}
pair!(pair_f32, f32, singles, "0" "16" "32" "48", "128");
pair!(pair_f16, half::f16, halves, "0" "8" "16" "24", "64");
