//! int16 on NEON: products of 16 bits that `smlal` adds to 32-bit lanes. It wraps, and no part of a row's sum leaves 32 bits: [`RowsI16`].

use core::arch::aarch64::*;

use super::super::{RowsI16, scalar};
use super::{load_half_u16, load_i16, load_i32, store_i32};

/// As [`scalar::rows`], a quad at a time.
#[target_feature(enable = "neon")]
pub(super) fn rows(rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
    if x.is_empty() {
        return scalar::rows(rows, x, out); // only biases
    }
    let quads = rows.weights.chunks_exact(4 * x.len()).zip(out.as_chunks_mut::<4>().0);
    let requantize = rows.multiplier.as_chunks::<4>().0.iter().zip(rows.bias.as_chunks::<4>().0);
    for ((weights, out), (multiplier, bias)) in quads.zip(requantize) {
        let mut acc = [vdupq_n_s32(0); 4];
        for (w, x) in weights.as_chunks::<32>().0.iter().zip(x.as_chunks::<8>().0) {
            let x = load_i16(x);
            for (acc, w) in acc.iter_mut().zip(w.as_chunks::<8>().0) {
                let w = load_i16(w);
                *acc = vmlal_high_s16(vmlal_s16(*acc, vget_low_s16(w), vget_low_s16(x)), w, x);
            }
        }
        let sums = vpaddq_s32(vpaddq_s32(acc[0], acc[1]), vpaddq_s32(acc[2], acc[3]));
        // The upper half of twice the sum times multiplier * 2^15: the floor of sum * multiplier / 2^16. Only two factors of -2^31 would saturate.
        let multiplier = vshlq_n_s32::<15>(vreinterpretq_s32_u32(vmovl_u16(load_half_u16(multiplier))));
        store_i32(out, vaddq_s32(load_i32(bias), vqdmulhq_s32(sums, multiplier)));
    }
}
