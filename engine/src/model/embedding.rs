//! The embedding: a row of features for each id, read where it lies.

use bytemuck::Pod;

use crate::image::Image;
use crate::image::manifest::Manifest;
use crate::image::tensor::Role;

/// A table of `rows × width` weights, row-major.
#[derive(Clone, Copy, Debug)]
pub(super) struct Embedding<'a, W> {
    width: usize,
    rows: &'a [W],
}

impl<'a, W: Pod> Embedding<'a, W> {
    /// A table without rows.
    pub(super) const NOTHING: Self = Embedding { width: 0, rows: &[] };

    pub(super) fn new(image: &Image<'a>, manifest: &Manifest) -> Self {
        Embedding { width: usize::from(manifest.embedding.width), rows: image.tensor(manifest, Role::Embedding, 0) }
    }

    /// The same table with two features in each of its elements.
    #[cfg(feature = "extended")]
    pub(super) fn halve(&mut self) {
        self.width = self.width.div_ceil(2);
    }

    /// The row of an id; `None` for an id outside the table.
    #[inline]
    pub(super) fn row(&self, id: u32) -> Option<&'a [W]> {
        let start = (id as usize).checked_mul(self.width)?;
        self.rows.get(start..start.checked_add(self.width)?)
    }
}
