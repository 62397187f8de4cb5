//! The embedding: a row of features for each id, read where it lies.
//!
//! Rows can be stored whole, with four bits a weight, or in two tiers ([`Tiers`]); for frequent ids the image can have the first layer's
//! `W x + b` ready (a projection).

use serde::{Deserialize, Serialize};

use super::Place;
use crate::error::{Error, problem};
use crate::features::{Feature, INT4, PROJECTION, Part, TIERS};
use crate::image::ids::{BLOCK_IDS, IdSet};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::kernels::Backend;
use crate::kernels::nibbles::widen_row;
use crate::numbers::{Numbers, Precision, Values};

/// Most rows of an embedding.
pub const MAX_ROWS: u32 = 1 << 20;

/// Shape of the embedding: `rows × width`, row-major.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedding {
    /// Number of ids.
    pub rows: u32,
    /// Features of a row.
    pub width: u16,
    /// Integers: whole rows have four bits a weight.
    pub int4: bool,
    /// Integers: other rows for the ids that are read seldom.
    pub tiers: Option<Tiers>,
    /// Ids whose contribution to the first layer stands ready in the image; 0 where it is computed for all of them.
    pub projected: u32,
}

/// An embedding in two tiers: whole rows for the ids that are read often, and for the n-th of the others
///
/// ```text
/// [A[n]; 0..]                              without remainders: only the first `width` features (Grave et al. 2017, section 2)
/// [A[n / remainders]; B[n % remainders]]   with them: quotient and remainder, joined (Shi et al. 2020, section 2)
/// ```
///
/// A has `width` features and B what is left of the embedding's. All rows have the scales of the embedding's columns, so that a row is
/// put together from bytes without arithmetic. See [`crate::image::ids`] for who has a whole row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    /// Ids with a whole row, at least 1 and fewer than all.
    pub whole: u32,
    /// Features of a row of A.
    pub width: u16,
    /// Rows of B; 0 where the other features are zero.
    pub remainders: u32,
    /// A and B have four bits a weight.
    pub int4: bool,
}

impl Tiers {
    /// Rows of A for so many ids without a whole row.
    pub const fn quotients(self, others: u32) -> u32 {
        if self.remainders == 0 { others } else { others.div_ceil(self.remainders) }
    }
}

impl Embedding {
    /// No table.
    pub const NOTHING: Self = Embedding { rows: 0, width: 0, int4: false, tiers: None, projected: 0 };

    /// Sections: rows, index of whole rows, quotients, remainders, index of projected rows. The projected rows themselves are cut in the
    /// first layer's format, and come last.
    pub(crate) const SECTIONS: usize = 6;

    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let (rows, width, int4) = (fields.u32(), fields.u16(), fields.bool());
        let tiers = if fields.bool() {
            Some(Tiers { whole: fields.u32(), width: fields.u16(), remainders: fields.u32(), int4: fields.bool() })
        } else {
            None
        };
        Embedding { rows, width, int4, tiers, projected: fields.u32() }
    }

    /// The feature that this build lacks for it.
    pub(crate) const fn missing(&self) -> Option<Feature> {
        let int4 = self.int4 || matches!(self.tiers, Some(Tiers { int4: true, .. }));
        if !INT4 && int4 {
            Some(Feature::Int4)
        } else if !TIERS && self.tiers.is_some() {
            Some(Feature::Tiers)
        } else if !PROJECTION && self.projected > 0 {
            Some(Feature::Projection)
        } else {
            None
        }
    }

    /// Its tiers, which a build without them has refused.
    const fn tiers(&self) -> Option<Tiers> {
        if TIERS { self.tiers } else { None }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        if self.rows == 0 || self.rows > MAX_ROWS || self.width == 0 || self.width > super::MAX_WIDTH {
            return Err(problem!("the embedding has no rows or columns, or more than this engine reads"));
        }
        let int4 = self.int4 || matches!(self.tiers(), Some(Tiers { int4: true, .. }));
        if int4 && !precision.is_int8() {
            return Err(problem!("weights of four bits belong to int8 models only"));
        }
        if PROJECTION && self.projected > self.rows {
            return Err(problem!("more ids are projected than the embedding has"));
        }
        let Some(tiers) = self.tiers() else { return Ok(()) };
        if !precision.is_integer() || self.projected > 0 {
            return Err(problem!("an embedding in tiers belongs to integer models whose inputs are not projected"));
        }
        let others = self.rows.saturating_sub(tiers.whole);
        if tiers.whole == 0 || others == 0 {
            return Err(problem!("one of the embedding's tiers has no ids"));
        }
        let most = if tiers.remainders == 0 { self.width } else { self.width - 1 };
        if tiers.width == 0 || tiers.width > most || tiers.remainders > others {
            return Err(problem!("the rows of the embedding's lower tier do not fit the embedding"));
        }
        Ok(())
    }

    /// The section at a place of the order; `sums` are the lanes of a projected row.
    pub(crate) const fn section(&self, precision: Precision, sums: usize, place: usize) -> Option<SectionShape> {
        let (rows, width) = (self.rows as usize, self.width as usize);
        match (place, self.tiers()) {
            (0, None) => Some(SectionShape::new(Role::Embedding, precision.weight(self.int4), rows, width)),
            (0, Some(tiers)) => {
                let element = precision.weight(self.int4);
                Some(SectionShape::new(Role::Embedding, element, tiers.whole as usize, width))
            }
            (1, Some(_)) => Some(SectionShape::new(Role::WholeRows, Element::U32, rows.div_ceil(BLOCK_IDS), 2)),
            (2, Some(tiers)) => {
                let others = self.rows.saturating_sub(tiers.whole);
                let (rows, element) = (tiers.quotients(others) as usize, precision.weight(tiers.int4));
                Some(SectionShape::new(Role::Quotients, element, rows, tiers.width as usize))
            }
            (3, Some(tiers)) if tiers.remainders > 0 => {
                let (rest, element) = (self.width.saturating_sub(tiers.width), precision.weight(tiers.int4));
                Some(SectionShape::new(Role::Remainders, element, tiers.remainders as usize, rest as usize))
            }
            (4, _) if PROJECTION && self.projected > 0 => {
                Some(SectionShape::new(Role::ProjectedIndex, Element::U32, rows.div_ceil(BLOCK_IDS), 2))
            }
            (5, _) if PROJECTION && self.projected > 0 => {
                Some(SectionShape::new(Role::ProjectedRows, precision.sum(), self.projected as usize, sums))
            }
            _ => None,
        }
    }

    /// Bytes of scratch in which a row is widened or put together.
    pub(crate) const fn room(&self) -> usize {
        if INT4 && self.int4 || self.tiers().is_some() { (self.width as usize).next_multiple_of(4) } else { 0 }
    }
}

/// A table of rows.
#[derive(Clone, Copy, Debug)]
struct Table<'a, W> {
    /// Elements of a row.
    width: usize,
    rows: &'a [W],
}

impl<'a, W> Table<'a, W> {
    /// The row of an id; `None` for an id outside the table.
    #[inline]
    fn row(&self, id: u32) -> Option<&'a [W]> {
        let start = (id as usize).checked_mul(self.width)?;
        self.rows.get(start..start.checked_add(self.width)?)
    }
}

/// The embedding of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    table: Table<'a, N::Weight>,
    /// Where rows are widened or put together.
    other: Part<Other<'a, N>, { (INT4 || TIERS) as usize }>,
    projection: Part<Projection<'a, N>, { PROJECTION as usize }>,
    ids: u32,
}

/// Rows that do not lie in the image as they are read.
#[derive(Clone, Copy, Debug)]
struct Other<'a, N: Numbers> {
    width: u16,
    int4: bool,
    tiers: Option<OpenedTiers<'a, N>>,
}

#[derive(Clone, Copy, Debug)]
struct OpenedTiers<'a, N: Numbers> {
    shape: Tiers,
    whole: IdSet<'a>,
    quotients: Table<'a, N::Weight>,
    remainders: Table<'a, N::Weight>,
}

/// Ready rows of the first layer's sums: what an id gives to them, `W x + b`, depends on the id alone.
#[derive(Clone, Copy, Debug)]
struct Projection<'a, N: Numbers> {
    index: IdSet<'a>,
    ready: Table<'a, N::Sum>,
}

/// Rows of four bits lie in pairs.
const fn row_elements(width: usize, int4: bool) -> usize {
    if int4 { width.div_ceil(2) } else { width }
}

impl<'a, N: Numbers> Opened<'a, N> {
    /// An embedding without rows.
    pub(crate) const NOTHING: Self =
        Opened { table: Table { width: 1, rows: &[] }, other: Part::NONE, projection: Part::NONE, ids: 0 };

    /// Cuts the embedding off the sections; `sums` are the lanes of a projected row.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Embedding, sums: usize, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, sums, place);
        let width = usize::from(shape.width);
        let table = Table { width: row_elements(width, INT4 && shape.int4), rows: cursor.tensor(section(0))? };
        let mut opened = Opened { table, other: Part::NONE, projection: Part::NONE, ids: shape.rows };
        let mut tiers = None;
        if TIERS && let Some(form) = shape.tiers {
            let whole = IdSet::new(cursor.tensor(section(1))?);
            let narrow = usize::from(form.width);
            let quotients = Table { width: row_elements(narrow, form.int4), rows: cursor.tensor(section(2))? };
            let width = row_elements(width.saturating_sub(narrow), form.int4);
            let remainders = Table { width, rows: cursor.tensor(section(3))? };
            tiers = Some(OpenedTiers { shape: form, whole, quotients, remainders });
        }
        if tiers.is_some() || INT4 && shape.int4 {
            opened.other.put(Other { width: shape.width, int4: shape.int4, tiers });
        }
        if PROJECTION && shape.projected > 0 {
            let index = IdSet::new(cursor.tensor(section(4))?);
            opened.projection.put(Projection { index, ready: Table { width: sums, rows: cursor.tensor(section(5))? } });
        }
        Ok(opened)
    }

    /// Checks indexes and padding, and says how large the rows' values are.
    ///
    /// # Errors
    /// [`Error::Index`] and [`Error::RowPadding`].
    pub(crate) fn check(&self, shape: &Embedding) -> Result<N::Limit, Error> {
        let padding = |table: &Table<'_, N::Weight>, width: usize, int4: bool| -> Result<(), Error> {
            if INT4 && int4 && width % 2 == 1 {
                let bytes: &[u8] = bytemuck::cast_slice(table.rows);
                let mut rows = bytes.chunks(table.width.max(1));
                if let Some(row) = rows.position(|row| row.last().is_some_and(|last| last >> 4 != 0)) {
                    return Err(Error::RowPadding { row: row as u32 });
                }
            }
            Ok(())
        };
        let width = usize::from(shape.width);
        padding(&self.table, width, shape.int4)?;
        if TIERS && let Some(Other { tiers: Some(tiers), .. }) = self.other.get() {
            if !tiers.whole.is_sound(shape.rows, tiers.shape.whole) {
                return Err(Error::Index { role: Role::WholeRows });
            }
            let narrow = usize::from(tiers.shape.width);
            padding(&tiers.quotients, narrow, tiers.shape.int4)?;
            padding(&tiers.remainders, width.saturating_sub(narrow), tiers.shape.int4)?;
        }
        if let Some(projection) = self.projection.get()
            && !projection.index.is_sound(shape.rows, shape.projected)
        {
            return Err(Error::Index { role: Role::ProjectedIndex });
        }
        Ok(N::largest(self.table.rows))
    }

    /// Number of ids.
    pub(crate) fn ids(&self) -> u32 {
        self.ids
    }

    /// Which ids have a ready row, and the rows.
    pub(crate) fn projected(&self) -> Option<(IdSet<'a>, &'a [N::Sum])> {
        self.projection.get().map(|projection| (projection.index, projection.ready.rows))
    }

    /// What the first layer reads at an id; `None` for an id outside the embedding. Rows that do not lie in the image as they are read
    /// are written at the scratch's beginning.
    #[inline]
    pub(crate) fn read<'x, B: Backend>(&self, backend: B, id: u32, place: &mut Place<'_, 'x>) -> Option<Values<'x, N>>
    where
        'a: 'x,
    {
        if let Some(projection) = self.projection.get()
            && let Some(at) = projection.index.place(id)
        {
            let ready = projection.ready.row(at as u32)?;
            // The step comes to the row piece by piece: it need not wait for each.
            backend.prefetch(bytemuck::cast_slice(ready));
            return Some(Values::Projected(ready));
        }
        if let Some(other) = self.other.get() {
            return self.read_other(other, id, place);
        }
        self.table.row(id).map(Values::Row)
    }

    /// Says that an id will be read soon: a ready row is long, and rarely in the nearest cache.
    #[inline]
    pub(crate) fn prefetch<B: Backend>(&self, backend: B, id: u32) {
        if let Some(projection) = self.projection.get()
            && let Some(at) = projection.index.place(id)
        {
            backend.prefetch(projection.ready.row(at as u32).map_or(&[], bytemuck::cast_slice));
        }
    }

    #[inline(never)]
    fn read_other<'x>(&self, other: &Other<'a, N>, id: u32, place: &mut Place<'_, 'x>) -> Option<Values<'x, N>>
    where
        'a: 'x,
    {
        let mut whole = id;
        if TIERS && let Some(tiers) = &other.tiers {
            if id >= self.ids {
                return None;
            }
            let (before, is_whole) = tiers.whole.find(id)?;
            whole = before as u32;
            if !is_whole {
                let row: &mut [N::Weight] = place.scratch.take(usize::from(other.width));
                tiers.put_together(id.saturating_sub(whole), row)?;
                return Some(Values::Row(row));
            }
        }
        let row = self.table.row(whole)?;
        if !other.int4 {
            return Some(Values::Row(row));
        }
        let room: &mut [N::Weight] = place.scratch.take(usize::from(other.width));
        widen_row(bytemuck::cast_slice(row), bytemuck::cast_slice_mut(room));
        Some(Values::Row(room))
    }
}

impl<N: Numbers> OpenedTiers<'_, N> {
    /// Writes the row of the `number`th id without a whole one: `row` has the embedding's width.
    fn put_together(&self, number: u32, row: &mut [N::Weight]) -> Option<()> {
        let (first, rest) = row.split_at_mut_checked(usize::from(self.shape.width))?;
        let write = |from: &[N::Weight], to: &mut [N::Weight]| {
            if self.shape.int4 {
                widen_row(bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
            } else {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        };
        // Without remainders every id has a row of its own.
        let quotient = number.checked_div(self.shape.remainders).unwrap_or(number);
        write(self.quotients.row(quotient)?, first);
        match number.checked_rem(self.shape.remainders) {
            Some(remainder) => write(self.remainders.row(remainder)?, rest),
            None => rest.iter_mut().for_each(|feature| *feature = bytemuck::Zeroable::zeroed()),
        }
        Some(())
    }
}
