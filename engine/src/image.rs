//! The image: one file that the trainer writes, flash holds, and the engine reads in place.
//!
//! ```text
//! postcard(Preamble) ++ postcard(image_bytes: u32) ++ postcard(Manifest) ++ postcard(folded: u32), from version 3 on ++
//! postcard(Extended), from version 4 on ++ postcard(Tiers), from version 5 on ++ postcard(Provenance) ++ self-test ++ zeros to 16 ++ sections ++ CRC-32
//! ```
//!
//! Every section starts on a multiple of 16 and follows from the manifest alone ([`tensor::sections`]), so that there is no
//! table of offsets that could contradict the shapes. The CRC-32 (ISO-HDLC, little-endian) covers everything before it. `docs/image-format.md` has every byte.
//!
//! This module knows bytes and shapes, and no arithmetic beyond the sums that its checks need.

pub mod error;
#[cfg(feature = "fold")]
pub mod ids;
pub mod manifest;
mod reader;
pub mod tensor;

#[cfg(feature = "std")]
pub mod encode;

use crate::input::vocabulary::Vocabulary;
use error::{Error, problem};
#[cfg(feature = "fold")]
use ids::IdSet;
use manifest::{Input, Manifest, Provenance};
use reader::Reader;
use tensor::{Element, Role, Section};

/// The first bytes of every image.
pub const MAGIC: [u8; 4] = *b"LTCH";

/// The newest version of the format that this engine knows. All older ones open as well.
pub const VERSION: u16 = 6;

/// The version of images whose embedding is in tiers, with another readout than attention.
pub const VERSION_TIERED: u16 = 5;

/// The version of images with something of what version 4 added, whose embedding has one tier.
pub const VERSION_EXTENDED: u16 = 4;

/// The version of images with a folded embedding that have nothing of what version 4 added.
pub const VERSION_FOLDED: u16 = 3;

/// The version that an image without a folded embedding is written in, so that engines which know no other read it.
pub const VERSION_UNFOLDED: u16 = 2;

/// Sections start on a multiple of this many bytes, in the image and in memory.
pub const ALIGNMENT: usize = 16;

/// The checksum of an image: CRC-32/ISO-HDLC, as in zip and PNG.
#[cfg(feature = "std")]
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// The same bit by bit, in 40 bytes of a chip's flash. It runs once, when the image is opened.
#[cfg(any(not(feature = "std"), test))]
fn crc32_by_bits(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(not(feature = "std"))]
use crc32_by_bits as crc32;

/// An image that has been checked from end to end; borrows its bytes. As small as a few pointers: the manifest is read anew whenever it
/// is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    manifest_start: usize,
    /// Where the sections' padding begins.
    header_end: usize,
    version: u16,
    self_test: u64,
    crc: u32,
}

impl<'a> Image<'a> {
    /// Checks an image, once and for all: magic, version, length, CRC-32, the manifest, every shape and offset, alignment, the
    /// vocabulary word by word, that no sum of the integer path can overflow, and that every float is finite.
    ///
    /// `bytes` may be longer than the image, as a slot of flash is; what follows the image is not looked at. It must start on a
    /// multiple of [`ALIGNMENT`].
    ///
    /// # Errors
    /// The variant of [`Error`] says what is wrong and, in its sentence, what to do.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Error::NotAnImage);
        }
        let cut = Error::HeaderTruncated { found: bytes.len() };
        let mut reader = Reader(bytes);
        let preamble = reader.preamble().ok_or(cut)?;
        // Versions count from 1.
        if preamble.version == 0 {
            return Err(Error::NotAnImage);
        }
        if preamble.version > VERSION {
            return Err(Error::NewerVersion { found: preamble.version, supported: VERSION });
        }
        if cfg!(not(feature = "extended")) && preamble.version > VERSION_FOLDED {
            return Err(Error::ExtensionUnavailable);
        }
        if cfg!(not(feature = "fold")) && preamble.version == VERSION_FOLDED {
            return Err(Error::FoldingUnavailable);
        }
        let image_bytes = reader.u32().ok_or(cut)?;
        let (stated, header) = (image_bytes as usize, bytes.len() - reader.0.len());
        let image = bytes.get(..stated).ok_or(Error::Truncated { stated, found: bytes.len() })?;
        let (body, trailer) = image
            .split_last_chunk::<4>()
            .filter(|(body, _)| body.len() > header)
            .ok_or(Error::Shape { problem: problem!("the length that it states is shorter than its header") })?;
        let crc = u32::from_le_bytes(*trailer);
        let computed = crc32(body);
        if crc != computed {
            return Err(Error::Checksum { stated: crc, computed });
        }
        if image.as_ptr().align_offset(ALIGNMENT) != 0 {
            return Err(Error::Misaligned);
        }
        let manifest_start = header;
        let mut image =
            Image { bytes: body, manifest_start, header_end: header, version: preamble.version, self_test: 0, crc };
        image.read_header()?;
        image.check()?;
        image.check_vocabulary()?;
        Ok(image)
    }

    /// Finds where the header ends, and the self-test's digest before that.
    #[inline(never)]
    fn read_header(&mut self) -> Result<(), Error> {
        let mut reader = Reader(self.coded());
        let manifest = self.manifest_from(&mut reader).ok_or(Error::Manifest)?;
        manifest.check()?;
        #[cfg(feature = "extended")]
        if manifest.layers.is_empty() && self.version < VERSION_EXTENDED {
            return Err(Error::Shape { problem: problem!("there is no recurrent layer") });
        }
        reader.skip_provenance().ok_or(Error::Manifest)?;
        let mut rest = reader.0;
        if self.version >= 2 {
            let (digest, behind) = rest.split_first_chunk::<8>().ok_or(Error::Manifest)?;
            self.self_test = u64::from_le_bytes(*digest);
            rest = behind;
        }
        self.header_end = self.bytes.len() - rest.len();
        Ok(())
    }

    /// The manifest; the number of folded ids follows what postcard codes, and what version 4 added follows that. Version 3 is for images
    /// that have the one, version 4 for those that have the other, version 5 for those with an embedding in tiers, and version 6 for a readout by
    /// attention.
    fn manifest_from(&self, reader: &mut Reader<'_>) -> Option<Manifest> {
        #[allow(unused_mut, reason = "not with these features")]
        let mut manifest = reader.manifest()?;
        #[cfg(feature = "fold")]
        if self.version > VERSION_UNFOLDED {
            manifest.folded = reader.u32()?;
            if self.version == VERSION_FOLDED && manifest.folded == 0 {
                return None;
            }
        }
        #[cfg(feature = "extended")]
        if self.version > VERSION_FOLDED {
            manifest.extended = reader.extended()?;
            if self.version == VERSION_TIERED || self.version > VERSION_TIERED && reader.bool()? {
                manifest.extended.tiers = Some(reader.tiers()?);
            }
            if manifest.version() != self.version {
                return None;
            }
        }
        Some(manifest)
    }

    /// The bytes from the manifest on.
    fn coded(&self) -> &'a [u8] {
        self.bytes.get(self.manifest_start..).unwrap_or(&[])
    }

    #[inline(never)]
    fn check(&self) -> Result<(), Error> {
        let manifest = &self.manifest();
        let mut end = self.header_end;
        for section in tensor::sections(manifest, end) {
            let padding = self.bytes.get(end..section.offset).ok_or(Error::Sections)?;
            if padding.iter().any(|&byte| byte != 0) {
                return Err(Error::Sections);
            }
            end = section.offset.checked_add(section.bytes()).ok_or(Error::Sections)?;
        }
        if end != self.bytes.len() {
            return Err(Error::Sections);
        }
        for section in tensor::sections(manifest, self.header_end) {
            self.check_values(&section)?;
            #[cfg(feature = "extended")]
            self.check_row_padding(&section)?;
            if section.role == Role::GateMultipliers {
                self.check_sums(manifest, section.layer)?;
            }
        }
        #[cfg(feature = "fold")]
        self.check_folded(manifest)?;
        #[cfg(feature = "extended")]
        if let Some(tiers) = manifest.extended.tiers
            && !IdSet::new(self.tensor(manifest, Role::WholeRows, 0)).is_sound(manifest.embedding.rows, tiers.whole)
        {
            return Err(Error::TierIndex);
        }
        Ok(())
    }

    /// Floats are finite. An engine without floats runs no image that has some, and has no need to look.
    fn check_values(&self, section: &Section) -> Result<(), Error> {
        if cfg!(not(feature = "float")) {
            return Ok(());
        }
        let raw = self.section_bytes(section);
        // A float whose exponent bits are all ones is an infinity or no number.
        let finite = match section.element {
            Element::F32 => raw.chunks_exact(4).all(|b| b[3] & 0x7F != 0x7F || b[2] & 0x80 == 0),
            Element::F16 => raw.chunks_exact(2).all(|b| b[1] & 0x7C != 0x7C),
            Element::U8 | Element::I8 | Element::I16 | Element::U16 | Element::I32 | Element::U32 => true,
            #[cfg(feature = "extended")]
            Element::I4 => true,
        };
        if finite { Ok(()) } else { Err(Error::NotFinite { role: section.role, layer: section.layer }) }
    }

    /// The upper half of the last byte of a row with an odd number of four-bit features is zero.
    #[cfg(feature = "extended")]
    fn check_row_padding(&self, section: &Section) -> Result<(), Error> {
        if section.element == Element::I4 && section.columns % 2 == 1 {
            let mut rows = self.section_bytes(section).chunks(section.columns.div_ceil(2));
            if let Some(row) = rows.position(|row| row.last().is_some_and(|last| last >> 4 != 0)) {
                return Err(Error::RowPadding { row: row as u32 });
            }
        }
        Ok(())
    }

    /// For every row of a layer: `Σ|w|·128·multiplier + |bias| ≤ i32::MAX`, so that no order of summation can overflow 32 bits.
    #[inline(never)]
    fn check_sums(&self, manifest: &Manifest, index: u8) -> Result<(), Error> {
        let weights: &[i8] = self.tensor(manifest, Role::GateWeights, index);
        let multipliers: &[u16] = self.tensor(manifest, Role::GateMultipliers, index);
        let biases: &[i32] = self.tensor(manifest, Role::GateBiases, index);
        #[cfg(feature = "fold")]
        let kernel: &[i8] = if index == 0 { self.tensor(manifest, Role::KernelWeights, 0) } else { &[] };
        let magnitude = magnitudes(manifest);
        for (row, (&multiplier, &bias)) in multipliers.iter().zip(biases).enumerate() {
            let sum = magnitude(weights, multipliers.len(), row);
            #[cfg(feature = "fold")]
            let sum = sum + magnitude(kernel, multipliers.len(), row);
            let largest = sum * 128 * u64::from(multiplier) + u64::from(bias.unsigned_abs());
            if largest > i32::MAX as u64 {
                return Err(Error::Overflow { layer: index, row: row as u32 });
            }
        }
        Ok(())
    }

    /// The index counts the ready rows; of an integer image no row can overflow 32 bits with the hidden state's sum:
    /// `Σ|w_h|·128·multiplier + |ready| ≤ i32::MAX`.
    #[cfg(feature = "fold")]
    fn check_folded(&self, manifest: &Manifest) -> Result<(), Error> {
        let Some(index) = self.folded_index(manifest) else { return Ok(()) };
        if !index.is_sound(manifest.embedding.rows, manifest.folded) {
            return Err(Error::FoldedIndex);
        }
        // Empty in float images.
        let ready: &[i32] = self.tensor(manifest, Role::FoldedGates, 0);
        let weights: &[i8] = self.tensor(manifest, Role::GateWeights, 0);
        let multipliers: &[u16] = self.tensor(manifest, Role::GateMultipliers, 0);
        let magnitude = magnitudes(manifest);
        for (row, &multiplier) in multipliers.iter().enumerate() {
            let recurrent = magnitude(weights, multipliers.len(), row) * 128 * u64::from(multiplier);
            let sums = ready.iter().skip(row).step_by(multipliers.len().max(1));
            for (id, ready) in index.ids().zip(sums) {
                if recurrent + u64::from(ready.unsigned_abs()) > i32::MAX as u64 {
                    return Err(Error::FoldedOverflow { id, row: row as u32 });
                }
            }
        }
        Ok(())
    }

    /// Which ids of a folded embedding have a ready row; `None` where the embedding is not folded.
    #[cfg(feature = "fold")]
    pub fn folded(&self) -> Option<IdSet<'a>> {
        self.folded_index(&self.manifest())
    }

    #[cfg(feature = "fold")]
    pub(crate) fn folded_index(&self, manifest: &Manifest) -> Option<IdSet<'a>> {
        (manifest.folded > 0).then(|| IdSet::new(self.tensor(manifest, Role::FoldedIndex, 0)))
    }

    /// What the image says about itself.
    #[inline(never)]
    pub fn manifest(&self) -> Manifest {
        // Opening has read it once already.
        self.manifest_from(&mut Reader(self.coded())).unwrap_or(Manifest::NOTHING)
    }

    /// The image's bytes, the checksum left out.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the model comes from.
    pub fn provenance(&self) -> Provenance<'a> {
        let mut reader = Reader(self.coded());
        // Opening has read both once already.
        self.manifest_from(&mut reader).and_then(|_| reader.provenance()).unwrap_or_default()
    }

    /// Bytes of the whole image, the checksum included.
    pub fn len(&self) -> usize {
        self.bytes.len() + 4
    }

    /// Never true: an image has a preamble.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The CRC-32 at the image's end; names the image in states and reports.
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// The version of the format that it was written in, at most [`VERSION`].
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The digest that the model's self-test must give, [`crate::model::Model::self_test`]; `None` where the writer left none.
    pub fn self_test(&self) -> Option<u64> {
        (self.self_test != 0).then_some(self.self_test)
    }

    /// Bytes of preamble, manifest and self-test together.
    pub fn header_bytes(&self) -> usize {
        self.header_end
    }

    /// The sections in the order in which they lie.
    pub fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        tensor::sections(self.manifest(), self.header_end)
    }

    /// The bytes of one of this image's sections.
    pub fn section_bytes(&self, section: &Section) -> &'a [u8] {
        self.bytes.get(section.offset..section.offset + section.bytes()).unwrap_or(&[])
    }

    /// A tensor as a slice of its elements; `manifest` is this image's. Empty when the image has no such tensor or it has other elements.
    pub(crate) fn tensor<T: bytemuck::Pod>(&self, manifest: &Manifest, role: Role, layer: u8) -> &'a [T] {
        bytemuck::try_cast_slice(self.raw(manifest, role, layer)).unwrap_or(&[])
    }

    /// The vocabulary of a text model; `None` where the input is something else.
    pub fn vocabulary(&self) -> Option<Vocabulary<'a>> {
        self.read_vocabulary(&self.manifest()).ok().flatten()
    }

    /// The vocabulary that a manifest of this image speaks of.
    #[inline(never)]
    pub(crate) fn read_vocabulary(&self, manifest: &Manifest) -> Result<Option<Vocabulary<'a>>, Error> {
        let Input::Text(text) = manifest.input else { return Ok(None) };
        let index_width = if text.index_is_wide { 4 } else { 2 };
        Vocabulary::new(
            text.words as usize,
            text.character_bits,
            text.prefix_bits,
            self.tensor(manifest, Role::VocabularyTables, 0),
            self.raw(manifest, Role::VocabularyIndex, 0),
            index_width,
            self.tensor(manifest, Role::VocabularyText, 0),
        )
        .map(Some)
    }

    /// Checks the vocabulary word by word.
    #[inline(never)]
    fn check_vocabulary(&self) -> Result<(), Error> {
        self.read_vocabulary(&self.manifest())?.map_or(Ok(()), |vocabulary| vocabulary.check())
    }

    /// A tensor as its bytes. Apart from [`Image::tensor`], so that its code exists once.
    #[inline(never)]
    fn raw(&self, manifest: &Manifest, role: Role, layer: u8) -> &'a [u8] {
        tensor::sections(manifest, self.header_end)
            .find(|section| section.role == role && section.layer == layer)
            .map_or(&[], |section| self.section_bytes(&section))
    }
}

/// How the magnitudes of a row of a manifest's gates are added up.
#[inline(always)]
fn magnitudes(manifest: &Manifest) -> fn(&[i8], usize, usize) -> u64 {
    #[cfg(feature = "extended")]
    if manifest.extended.nibbles.gates {
        return magnitude_of_nibbles;
    }
    let _ = manifest;
    magnitude
}

/// As [`magnitude`], of weights with four bits each.
#[cfg(feature = "extended")]
fn magnitude_of_nibbles(nibbles: &[i8], rows: usize, row: usize) -> u64 {
    let columns = 2 * nibbles.len() / rows.max(1);
    let (unit, gate) = (row / 4, row % 4);
    let blocks = nibbles.get(unit * columns * 2..).unwrap_or(&[]).as_chunks::<8>().0;
    let mut sum = 0;
    for block in blocks.iter().take(columns / 4) {
        let mut weights = [0; 16];
        crate::kernels::nibbles::widen_gates(block, &mut weights);
        sum += magnitude(&weights, 4, gate);
    }
    sum
}

/// The sum of the magnitudes of a row, unit times 4 plus gate, of weights `[unit][columns / 4][gate][4]` with so many rows.
fn magnitude(weights: &[i8], rows: usize, row: usize) -> u64 {
    let columns = weights.len() / rows.max(1);
    let (unit, gate) = (row / 4, row % 4);
    let words = weights.get(unit * columns * 4..).unwrap_or(&[]).as_chunks::<16>().0;
    words
        .iter()
        .take(columns / 4)
        .filter_map(|word| word.get(gate * 4..gate * 4 + 4))
        .flatten()
        .map(|weight| u64::from(weight.unsigned_abs()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_the_chips_is_that_of_the_desktop() {
        let mut bytes = [0; 256];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (at * 37 % 251) as u8;
        }
        for count in 0..bytes.len() {
            assert_eq!(crc32_by_bits(&bytes[..count]), crc32(&bytes[..count]));
        }
        assert_eq!(crc32_by_bits(b"123456789"), 0xCBF4_3926);
    }
}
