//! Sections: the aligned tensors behind the header, their shapes, and the cursor that cuts them off one after the other.
//!
//! Which sections there are follows from the header's records alone, so that there is no table of offsets that could contradict the shapes.
//! Every layer says what its sections are ([`SectionShape`]); the same function tells the writer what to write and the reader what to read.

use super::role::Role;
use crate::error::Error;

/// Sections start on a multiple of this many bytes, in the image and in memory.
pub const ALIGNMENT: usize = 16;

/// Type of a section's elements, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Element {
    /// Unsigned byte.
    U8,
    /// The upper four bits of a signed byte, two in a byte, see [`crate::kernels::nibbles`].
    I4,
    /// Signed byte.
    I8,
    /// 16 bits, signed.
    I16,
    /// 16 bits, unsigned.
    U16,
    /// 32 bits, signed.
    I32,
    /// 32 bits, unsigned.
    U32,
    /// IEEE 754 binary16.
    F16,
    /// IEEE 754 binary32.
    F32,
}

impl Element {
    /// Bytes of one element, those of four bits rounded up.
    pub const fn bytes(self) -> usize {
        match self {
            Element::U8 | Element::I8 | Element::I4 => 1,
            Element::I16 | Element::U16 | Element::F16 => 2,
            Element::I32 | Element::U32 | Element::F32 => 4,
        }
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Element::U8 => "u8",
            Element::I4 => "i4",
            Element::I8 => "i8",
            Element::I16 => "i16",
            Element::U16 => "u16",
            Element::I32 => "i32",
            Element::U32 => "u32",
            Element::F16 => "f16",
            Element::F32 => "f32",
        }
    }
}

/// What a section is, wherever it lies: a tensor of `rows × columns` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionShape {
    /// What it holds.
    pub role: Role,
    /// Type of its elements.
    pub element: Element,
    /// Rows.
    pub rows: usize,
    /// Columns, padding included.
    pub columns: usize,
}

impl SectionShape {
    /// A tensor.
    pub(crate) const fn new(role: Role, element: Element, rows: usize, columns: usize) -> Self {
        SectionShape { role, element, rows, columns }
    }

    /// Its size in bytes; a row of four-bit elements is padded to whole bytes.
    pub const fn bytes(&self) -> usize {
        match self.element {
            Element::I4 => self.rows.saturating_mul(self.columns.div_ceil(2)),
            element => self.rows.saturating_mul(self.columns).saturating_mul(element.bytes()),
        }
    }

    /// Where it starts and ends behind what ends at `end`: at the next multiple of [`ALIGNMENT`].
    pub const fn place(&self, end: usize) -> (usize, usize) {
        let start = end.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1);
        (start, start.saturating_add(self.bytes()))
    }
}

/// A section of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it holds.
    pub role: Role,
    /// The layer it belongs to, from 0; 0 where that means nothing.
    pub layer: u8,
    /// Type of its elements.
    pub element: Element,
    /// Rows.
    pub rows: usize,
    /// Columns, padding included.
    pub columns: usize,
    /// Where it starts, a multiple of [`ALIGNMENT`].
    pub offset: usize,
}

impl Section {
    /// Its shape without its place.
    pub const fn shape(&self) -> SectionShape {
        SectionShape { role: self.role, element: self.element, rows: self.rows, columns: self.columns }
    }

    /// Its size in bytes.
    pub const fn bytes(&self) -> usize {
        self.shape().bytes()
    }
}

/// The sections of an image from some place on.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    /// The whole image without its checksum.
    bytes: &'a [u8],
    /// Where the last section ended.
    end: usize,
    /// The layer whose sections come next, for messages.
    pub(crate) layer: u8,
}

impl<'a> Cursor<'a> {
    /// Before the first section: `end` is where the header ends.
    pub(crate) fn new(bytes: &'a [u8], end: usize) -> Self {
        Cursor { bytes, end, layer: 0 }
    }

    /// The bytes of the next section; empty for `None`, a section that this model does not have.
    ///
    /// # Errors
    /// [`Error::Sections`] when the image ends before it, or the bytes before it are not zero; [`Error::NotFinite`].
    #[inline(never)]
    pub(crate) fn next(&mut self, shape: Option<SectionShape>) -> Result<&'a [u8], Error> {
        let Some(shape) = shape else { return Ok(&[]) };
        let (start, end) = shape.place(self.end);
        let padding = self.bytes.get(self.end..start).ok_or(Error::Sections)?;
        let section = self.bytes.get(start..end).ok_or(Error::Sections)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Error::Sections);
        }
        if crate::features::FLOAT && !is_finite(shape.element, section) {
            return Err(Error::NotFinite { role: shape.role, layer: self.layer });
        }
        self.end = end;
        Ok(section)
    }

    /// The next section as its elements, whose type is the caller's to know.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn tensor<T: bytemuck::Pod>(&mut self, shape: Option<SectionShape>) -> Result<&'a [T], Error> {
        self.next(shape).map(|bytes| bytemuck::try_cast_slice(bytes).unwrap_or(&[]))
    }

    /// True behind the last section of the image.
    pub(crate) fn is_at_end(&self) -> bool {
        self.end == self.bytes.len()
    }
}

/// A float whose exponent bits are all ones is an infinity or no number.
fn is_finite(element: Element, raw: &[u8]) -> bool {
    match element {
        Element::F32 => raw.chunks_exact(4).all(|b| b[3] & 0x7F != 0x7F || b[2] & 0x80 == 0),
        Element::F16 => raw.chunks_exact(2).all(|b| b[1] & 0x7C != 0x7C),
        _ => true,
    }
}
