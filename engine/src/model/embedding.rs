//! The embedding: a row of features for each id, read where it lies.

use bytemuck::Pod;

use crate::image::Image;
#[cfg(feature = "extended")]
use crate::image::ids::IdSet;
use crate::image::manifest::Manifest;
#[cfg(feature = "extended")]
use crate::image::manifest::Tiers;
use crate::image::tensor::Role;
#[cfg(feature = "extended")]
use crate::kernels::nibbles::widen_row;

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

/// The rows of the ids without a whole one, see [`Tiers`].
#[cfg(feature = "extended")]
#[derive(Clone, Debug)]
pub(super) struct Tiered<'a> {
    shape: Tiers,
    whole: IdSet<'a>,
    /// All ids.
    rows: u32,
    quotients: Embedding<'a, i8>,
    remainders: Embedding<'a, i8>,
}

/// Where the row of an id is.
#[cfg(feature = "extended")]
pub(super) enum Place {
    /// Among the whole rows, at this place.
    Whole(u32),
    /// It is put together; the number among the ids of which that is so.
    Other(u32),
}

#[cfg(feature = "extended")]
impl<'a> Tiered<'a> {
    pub(super) fn new(image: &Image<'a>, manifest: &Manifest, shape: Tiers) -> Self {
        let features = usize::from(shape.width);
        let table = |role, width: usize| Embedding {
            width: if shape.nibbles { width.div_ceil(2) } else { width },
            rows: image.tensor(manifest, role, 0),
        };
        Tiered {
            shape,
            whole: IdSet::new(image.tensor(manifest, Role::WholeRows, 0)),
            rows: manifest.embedding.rows,
            quotients: table(Role::Quotients, features),
            remainders: table(Role::Remainders, usize::from(manifest.embedding.width).saturating_sub(features)),
        }
    }

    /// `None` for an id outside the embedding.
    #[inline]
    pub(super) fn place(&self, id: u32) -> Option<Place> {
        if id >= self.rows {
            return None;
        }
        let (before, whole) = self.whole.find(id)?;
        let before = before as u32;
        Some(if whole { Place::Whole(before) } else { Place::Other(id.saturating_sub(before)) })
    }

    /// Writes the row of the `number`th id without a whole one: `row` has the embedding's width.
    pub(super) fn put_together(&self, number: u32, row: &mut [i8]) -> Option<()> {
        let (first, rest) = row.split_at_mut_checked(usize::from(self.shape.width))?;
        let write = |from: &[i8], to: &mut [i8]| {
            if self.shape.nibbles {
                widen_row(from, to);
            } else {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        };
        // Without remainders every id has a row of its own.
        let quotient = number.checked_div(self.shape.remainders).unwrap_or(number);
        write(self.quotients.row(quotient)?, first);
        match number.checked_rem(self.shape.remainders) {
            Some(remainder) => write(self.remainders.row(remainder)?, rest),
            None => rest.fill(0),
        }
        Some(())
    }
}
