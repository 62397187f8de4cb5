//! The sections of an image: which tensors there are, in which order, with which shape, and where.

use core::borrow::Borrow;

use super::ALIGNMENT;
use super::manifest::{Input, Layer, Manifest, Precision};
use crate::input::vocabulary::BLOCK_WORDS;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Decoding tables of the vocabulary's two codes: `2^character_bits` then `2^prefix_bits` pairs.
    VocabularyTables,
    /// Offset of each block of words.
    VocabularyIndex,
    /// The coded words.
    VocabularyText,
    /// `rows × width`, row-major; in tiers only the whole rows.
    Embedding,
    /// Entries of the table of n-grams, see [`crate::input::ngrams`].
    Ngrams,
    /// Embedding in tiers: which ids have a whole row, see [`super::ids`].
    WholeRows,
    /// Embedding in tiers: A of [`Tiers`](super::manifest::Tiers), row-major.
    Quotients,
    /// Embedding in tiers: B likewise.
    Remainders,
    /// Folded embedding: which ids have a ready row, see [`super::ids`].
    FoldedIndex,
    /// Folded embedding: a ready row of the first layer's gates for each folded id, in the order of its biases, which are inside.
    FoldedGates,
    /// Folded embedding: the first layer's kernel by itself, for ids without a ready row.
    KernelWeights,
    /// A layer's kernel and recurrent kernel in the order in which the kernels walk them, see [`crate::kernels`]; of the first layer of a folded
    /// embedding the recurrent kernel only.
    GateWeights,
    /// Integer precisions: a multiplier for each unit and gate, `[unit][gate]`.
    GateMultipliers,
    /// A bias for each unit and gate; integers `[unit][gate]`, floats `[unit/8][gate][8]`.
    GateBiases,
    /// `outputs × units`, row-major.
    HeadWeights,
    /// Integer precisions: a multiplier for each output.
    HeadMultipliers,
    /// A bias for each output; integers in Q15.16.
    HeadBiases,
}

impl Role {
    /// True of rows of an embedding, whose four-bit weights are padded and in an order of their own.
    #[cfg(all(feature = "std", feature = "extended"))]
    pub(crate) const fn has_rows(self) -> bool {
        matches!(self, Role::Embedding | Role::Quotients | Role::Remainders)
    }
}

/// Type of a section's elements, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Unsigned byte.
    U8,
    /// The upper four bits of a signed byte, two in a byte, see [`crate::kernels::nibbles`].
    #[cfg(feature = "extended")]
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
            Element::U8 | Element::I8 => 1,
            #[cfg(feature = "extended")]
            Element::I4 => 1,
            Element::I16 | Element::U16 | Element::F16 => 2,
            Element::I32 | Element::U32 | Element::F32 => 4,
        }
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Element::U8 => "u8",
            #[cfg(feature = "extended")]
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

/// One section: a tensor of `rows × columns` elements at `offset` bytes from the image's start.
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
    /// Its size in bytes; a row of four-bit elements is padded to whole bytes.
    pub const fn bytes(&self) -> usize {
        #[cfg(feature = "extended")]
        if matches!(self.element, Element::I4) {
            return self.rows.saturating_mul(self.columns.div_ceil(2));
        }
        self.rows.saturating_mul(self.columns).saturating_mul(self.element.bytes())
    }
}

/// Ids of a block of an index of ids.
pub const BLOCK_IDS: usize = 32;

/// Sections of the model as a whole that stand before the layers, and behind them, and sections of one layer.
const BEFORE: usize =
    EMBEDDING + 1 + if cfg!(feature = "fold") { 3 } else { 0 } + if cfg!(feature = "extended") { 4 } else { 0 };
/// The embedding's place, behind the vocabulary.
const EMBEDDING: usize = 3;
const PER_LAYER: usize = 3;
const BEHIND: usize = 3;

/// All sections that a manifest calls for, in the order in which they lie; the first starts at the next multiple of
/// [`ALIGNMENT`] from `header_end`. The same function tells the writer where to write and the reader where to read.
pub fn sections(manifest: impl Borrow<Manifest>, header_end: usize) -> impl Iterator<Item = Section> {
    let mut end = header_end;
    (0..BEFORE + PER_LAYER * manifest.borrow().layers.len() + BEHIND).filter_map(move |place| {
        let (role, layer, element, rows, columns) = shape(manifest.borrow(), place)?;
        let offset = end.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1);
        let section = Section { role, layer, element, rows, columns, offset };
        end = offset.saturating_add(section.bytes());
        Some(section)
    })
}

impl Manifest {
    /// Type of an integer embedding's elements.
    #[inline(always)]
    const fn embedding_integer(&self) -> Element {
        #[cfg(feature = "extended")]
        if self.extended.nibbles.embedding {
            return Element::I4;
        }
        Element::I8
    }

    /// Type of an integer layer's weights.
    #[inline(always)]
    const fn gates_integer(&self) -> Element {
        #[cfg(feature = "extended")]
        if self.extended.nibbles.gates {
            return Element::I4;
        }
        Element::I8
    }
}

/// The section at a place of the order, or `None` where this model has none.
fn shape(manifest: &Manifest, place: usize) -> Option<(Role, u8, Element, usize, usize)> {
    let float = match manifest.precision {
        Precision::F32 => Some(Element::F32),
        Precision::F16 => Some(Element::F16),
        Precision::Int8 => None,
    };
    let behind = BEFORE + PER_LAYER * manifest.layers.len();
    if place < EMBEDDING {
        let Input::Text(text) = manifest.input else { return None };
        let blocks = (text.words as usize).div_ceil(BLOCK_WORDS);
        return Some(match place {
            0 => (
                Role::VocabularyTables,
                0,
                Element::U8,
                (1 << text.character_bits.min(15)) + (1 << text.prefix_bits.min(15)),
                2,
            ),
            1 => (Role::VocabularyIndex, 0, if text.index_is_wide { Element::U32 } else { Element::U16 }, blocks, 1),
            _ => (Role::VocabularyText, 0, Element::U8, text.text_bytes as usize, 1),
        });
    }
    let (rows, width) = (manifest.embedding.rows as usize, usize::from(manifest.embedding.width));
    #[cfg(feature = "extended")]
    let all = rows;
    #[cfg(feature = "extended")]
    let rows = manifest.extended.tiers.map_or(rows, |tiers| tiers.whole as usize);
    if place == EMBEDDING {
        return Some((Role::Embedding, 0, float.unwrap_or(manifest.embedding_integer()), rows, width));
    }
    #[cfg(feature = "extended")]
    if place == BEFORE - 1 {
        let ngrams = manifest.extended.ngrams?;
        return Some((Role::Ngrams, 0, Element::U16, ngrams.entries as usize, 1));
    }
    #[cfg(feature = "extended")]
    if (BEFORE - 4..BEFORE).contains(&place) {
        return tiers_shape(manifest, place - (BEFORE - 4), all, width);
    }
    if place < BEFORE {
        return folded_shape(manifest, place - EMBEDDING - 1, float);
    }
    if place < behind {
        let layer = (place - BEFORE) / PER_LAYER;
        let Layer::Lstm(lstm) = manifest.layers.get(layer)?;
        let columns = manifest.joined_inputs(layer) + usize::from(lstm.units);
        let (role, element, rows, columns) = match ((place - BEFORE) % PER_LAYER, float) {
            (0, Some(float)) => (Role::GateWeights, float, lstm.padded_units() * 4, columns),
            (0, None) => {
                (Role::GateWeights, manifest.gates_integer(), usize::from(lstm.units) * 4, columns.next_multiple_of(4))
            }
            (1, Some(_)) => return None,
            (1, None) => (Role::GateMultipliers, Element::U16, usize::from(lstm.units), 4),
            (_, Some(_)) => (Role::GateBiases, Element::F32, lstm.padded_units(), 4),
            (_, None) => (Role::GateBiases, Element::I32, usize::from(lstm.units), 4),
        };
        return Some((role, layer as u8, element, rows, columns));
    }
    let units = if cfg!(feature = "extended") {
        manifest.features()
    } else {
        let Layer::Lstm(last) = manifest.layers.last()?;
        usize::from(last.units)
    };
    let outputs = usize::from(manifest.head.outputs);
    Some(match (place - behind, float) {
        (0, _) => (Role::HeadWeights, 0, float.unwrap_or(Element::I16), outputs, units),
        (1, Some(_)) => return None,
        (1, None) => (Role::HeadMultipliers, 0, Element::U16, outputs, 1),
        (_, Some(_)) => (Role::HeadBiases, 0, Element::F32, outputs, 1),
        (_, None) => (Role::HeadBiases, 0, Element::I32, outputs, 1),
    })
}

/// The sections of an embedding in tiers beside the whole rows: who has one, and the rows of which the others are put together.
#[cfg(feature = "extended")]
fn tiers_shape(
    manifest: &Manifest,
    place: usize,
    rows: usize,
    width: usize,
) -> Option<(Role, u8, Element, usize, usize)> {
    let tiers = manifest.extended.tiers?;
    let element = if tiers.nibbles { Element::I4 } else { Element::I8 };
    let features = usize::from(tiers.width);
    Some(match place {
        0 => (Role::WholeRows, 0, Element::U32, rows.div_ceil(BLOCK_IDS), 2),
        1 => {
            let others = manifest.embedding.rows.saturating_sub(tiers.whole);
            (Role::Quotients, 0, element, tiers.quotients(others) as usize, features)
        }
        _ if tiers.remainders == 0 => return None,
        _ => (Role::Remainders, 0, element, tiers.remainders as usize, width.saturating_sub(features)),
    })
}

/// The sections of a folded embedding: index, ready rows, and the kernel for the other ids.
fn folded_shape(
    manifest: &Manifest,
    place: usize,
    float: Option<Element>,
) -> Option<(Role, u8, Element, usize, usize)> {
    let Layer::Lstm(first) = manifest.layers.first().filter(|_| manifest.folded > 0)?;
    let units = if float.is_some() { first.padded_units() } else { usize::from(first.units) };
    let inputs = usize::from(first.inputs);
    Some(match (place, float) {
        (0, _) => (Role::FoldedIndex, 0, Element::U32, (manifest.embedding.rows as usize).div_ceil(BLOCK_IDS), 2),
        (1, Some(_)) => (Role::FoldedGates, 0, Element::F32, manifest.folded as usize, 4 * units),
        (1, None) => (Role::FoldedGates, 0, Element::I32, manifest.folded as usize, 4 * units),
        (_, Some(float)) => (Role::KernelWeights, 0, float, 4 * units, inputs),
        (_, None) => (Role::KernelWeights, 0, manifest.gates_integer(), 4 * units, inputs.next_multiple_of(4)),
    })
}
