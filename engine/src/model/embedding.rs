//! The embedding: a row of features for each id, read where it lies.

use bytemuck::Pod;

use crate::image::Image;
use crate::image::tensor::Role;

/// A table of `rows × width` weights, row-major.
#[derive(Clone, Copy, Debug)]
pub(super) struct Embedding<'a, W> {
    width: usize,
    rows: &'a [W],
}

impl<'a, W: Pod> Embedding<'a, W> {
    pub(super) fn new(image: &Image<'a>) -> Self {
        Embedding { width: usize::from(image.manifest().embedding.width), rows: image.tensor(Role::Embedding, 0) }
    }

    /// The row of an id; `None` for an id outside the table.
    #[inline]
    pub(super) fn row(&self, id: u32) -> Option<&'a [W]> {
        let start = (id as usize).checked_mul(self.width)?;
        self.rows.get(start..start.checked_add(self.width)?)
    }
}
