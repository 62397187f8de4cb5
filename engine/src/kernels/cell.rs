//! Recurrent cells: from the sums of a layer's rows to its next state.
//!
//! ```text
//! features, h -> rows (matrix times vector) -> sums -> cell (activations, elementwise products) -> h
//! ```
//!
//! A cell is written once here, over slices and the activations of a [`Backend`], so that its bits are the same on
//! every backend. A backend may
//! override a cell, or a whole step, where that was measured to gain; `docs/decisions/0021-cells-over-rows.md` has the
//! measurements.

pub mod gru;
pub mod lstm;
pub mod rnn;
pub mod variant;

use core::marker::PhantomData;

use super::{Backend, IntWeight, RowsInt};

/// How a step computes its rows: of weights as they lie, or of four bits.
pub(crate) trait RowProducts {
    /// Type of the weights.
    type Weight: IntWeight;
    /// Weights in an element of a slice.
    const PER_ELEMENT: usize;
    /// [`IntWeight::rows`].
    fn rows(&self, rows: &RowsInt<'_, Self::Weight>, x: &mut [i16], out: &mut [i32]);
    /// [`IntWeight::add_rows`].
    fn add_rows(&self, rows: &RowsInt<'_, Self::Weight>, x: &mut [i16], sums: &mut [i32]);
}

/// Rows as they lie.
pub(crate) struct AsTheyLie<B, W>(B, PhantomData<W>);

impl<B, W> AsTheyLie<B, W> {
    pub(crate) fn new(backend: B) -> Self {
        AsTheyLie(backend, PhantomData)
    }
}

impl<B: Backend, W: IntWeight> RowProducts for AsTheyLie<B, W> {
    type Weight = W;
    const PER_ELEMENT: usize = 1;

    #[inline(always)]
    fn rows(&self, rows: &RowsInt<'_, W>, x: &mut [i16], out: &mut [i32]) {
        W::rows(self.0, rows, x, out);
    }

    #[inline(always)]
    fn add_rows(&self, rows: &RowsInt<'_, W>, x: &mut [i16], sums: &mut [i32]) {
        W::add_rows(self.0, rows, x, sums);
    }
}

/// `(a * b + 2^14) >> 15`: the product of two Q0.15 numbers, or of one with a Q3.12 number, rounded to nearest, halves
/// up.
#[inline(always)]
pub(crate) fn product_q15(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16
}

/// 2^-64: its unit in the last place is 2^-87.
pub(crate) const SMALL: f32 = f32::from_bits((127 - 64) << 23);

/// Sets what is so small that it would become subnormal, with which some processors compute many times slower, to a
/// multiple of 2^-87. The state of a
/// float cell goes through it.
#[inline(always)]
pub(crate) fn without_subnormals(x: f32) -> f32 {
    (x + SMALL) - SMALL
}

/// 2^-80: fused cells set a state below it to zero. Of their gates none is below 1 / (1 + e^30), which is above 2^-44, so
/// that an h that comes of such a state and a gate does not become subnormal either.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
pub(crate) const TINY: f32 = f32::from_bits((127 - 80) << 23);

#[cfg(test)]
mod tests;
