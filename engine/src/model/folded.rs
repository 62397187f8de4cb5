//! A folded embedding: what an id gives to the first layer's gates, ready where the image has a row for it and computed where not.
//!
//! The gates of the first layer are `W_x x + W_h h + b`, and of them `W_x x + b` depends on the id alone. So a ready row takes the bias's
//! place in a step over the columns of h only. On integers the sum is the same to the bit: no part of it can overflow, which opening
//! the image has checked, and the one rounding comes after it.

use bytemuck::Pod;

use super::embedding::Embedding;
use crate::image::Image;
use crate::image::ids::IdSet;
use crate::image::manifest::{Layer, Manifest, Precision};
use crate::image::tensor::Role;
use crate::kernels::{Backend, Packed, RowsI8};
#[cfg(feature = "float")]
use crate::kernels::{FloatWeight, RowsFloat};

/// Ready rows of `Z`, and the kernel's weights `W` for ids without one.
#[derive(Clone, Debug)]
pub(super) struct Folded<'a, W, Z> {
    index: IdSet<'a>,
    ready: &'a [Z],
    /// Elements of a row.
    width: usize,
    kernel: &'a [W],
}

impl<'a, W: Pod, Z: Pod> Folded<'a, W, Z> {
    /// `None` where the image's embedding is not folded.
    pub(super) fn new(image: &Image<'a>, manifest: &Manifest) -> Option<Self> {
        let index = image.folded_index(manifest)?;
        let Layer::Lstm(first) = manifest.layers.first()?;
        let units = if manifest.precision == Precision::Int8 { usize::from(first.units) } else { first.padded_units() };
        Some(Folded {
            index,
            ready: image.tensor(manifest, Role::FoldedGates, 0),
            width: 4 * units,
            kernel: image.tensor(manifest, Role::KernelWeights, 0),
        })
    }

    /// The ready row of an id.
    #[inline]
    fn ready(&self, id: u32) -> Option<&'a [Z]> {
        let start = self.index.place(id)?.checked_mul(self.width)?;
        self.ready.get(start..start.checked_add(self.width)?)
    }

    /// Says that an id will be read soon.
    #[inline]
    pub(super) fn prefetch<B: Backend>(&self, backend: B, id: u32) {
        backend.prefetch(self.ready(id).map_or(&[], bytemuck::cast_slice));
    }

    /// The scratch of a step as room for a row, and the rest of it.
    fn split<'s>(&self, scratch: &'s mut [Z]) -> (&'s mut [Z], &'s mut [Z]) {
        scratch.split_at_mut_checked(self.width).unwrap_or_default()
    }
}

impl Folded<'_, i8, i32> {
    /// The row of an id over the first layer's gates, and scratch for `[h]`. `None` for an id outside the embedding.
    #[inline]
    pub(super) fn row<'s, B: Backend>(
        &'s self,
        backend: B,
        first: &RowsI8<'_>,
        embedding: &Embedding<'_, i8>,
        id: u32,
        scratch: &'s mut [i32],
    ) -> Option<(&'s [i32], &'s mut [i16])> {
        let row = embedding.row(id)?;
        self.row_by(backend, first, row, id, scratch, |gates, x, out| backend.rows_i8(gates, x, out))
    }

    /// The same of the embedding's `row`, with [`Backend::rows_i8`] left to `compute`.
    #[inline(always)]
    pub(super) fn row_by<'s, B: Backend>(
        &'s self,
        backend: B,
        first: &RowsI8<'_>,
        row: &[i8],
        id: u32,
        scratch: &'s mut [i32],
        compute: impl FnOnce(&RowsI8<'_>, &mut [i16], &mut [i32]),
    ) -> Option<(&'s [i32], &'s mut [i16])> {
        let (computed, scratch) = self.split(scratch);
        let scratch: &mut [i16] = bytemuck::try_cast_slice_mut(scratch).unwrap_or_default();
        if let Some(ready) = self.ready(id) {
            // The step comes to the row piece by piece: it need not wait for each.
            backend.prefetch(bytemuck::cast_slice(ready));
            return Some((ready, scratch));
        }
        let x = scratch.get_mut(..row.len().next_multiple_of(4))?;
        let (features, padding) = x.split_at_mut_checked(row.len())?;
        backend.widen_i8(row, features);
        padding.fill(0);
        compute(&RowsI8 { weights: self.kernel, packed: Packed::NONE, ..*first }, x, computed);
        Some((computed, scratch))
    }
}

#[cfg(feature = "float")]
impl<W: FloatWeight> Folded<'_, W, f32> {
    /// The row of an id over the first layer's gates, and scratch for `[h]`. `None` for an id outside the embedding.
    #[inline]
    pub(super) fn row<'s, B: Backend>(
        &'s self,
        backend: B,
        first: &RowsFloat<'_, W>,
        embedding: &Embedding<'_, W>,
        id: u32,
        scratch: &'s mut [f32],
    ) -> Option<(&'s [f32], &'s mut [f32])> {
        let (computed, scratch) = self.split(scratch);
        if let Some(ready) = self.ready(id) {
            // The step comes to the row piece by piece: it need not wait for each.
            backend.prefetch(bytemuck::cast_slice(ready));
            return Some((ready, scratch));
        }
        let row = embedding.row(id)?;
        let x = scratch.get_mut(..row.len())?;
        backend.widen_float(row, x);
        backend.rows_float(&RowsFloat { weights: self.kernel, ..*first }, x, computed);
        Some((computed, scratch))
    }
}
