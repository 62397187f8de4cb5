//! The image: one file that the trainer writes, flash holds, and the engine reads in place.
//!
//! ```text
//! postcard(Preamble) ++ postcard(image_bytes: u32) ++ postcard(Manifest) ++ zeros to 16 ++ sections ++ CRC-32
//! ```
//!
//! Every section starts on a multiple of 16 and follows from the manifest alone ([`tensor::sections`]), so that there is no
//! table of offsets that could contradict the shapes. The CRC-32 (ISO-HDLC, little-endian) covers everything before it. `docs/image-format.md` has every byte.
//!
//! This module knows bytes and shapes, and no arithmetic beyond the sums that its checks need.

pub mod error;
pub mod manifest;
pub mod tensor;

#[cfg(feature = "std")]
pub mod encode;

use crate::input::vocabulary::Vocabulary;
use error::Error;
use manifest::{Input, Layer, Manifest, Preamble, Precision};
use tensor::{Element, Role, Section};

/// The first bytes of every image.
pub const MAGIC: [u8; 4] = *b"LTCH";

/// The version of the format that this engine writes, and the newest that it reads.
pub const VERSION: u16 = 1;

/// Sections start on a multiple of this many bytes, in the image and in memory.
pub const ALIGNMENT: usize = 16;

/// The checksum of an image: CRC-32/ISO-HDLC, as in zip and PNG.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    #[cfg(feature = "std")]
    const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISO_HDLC);
    #[cfg(not(feature = "std"))]
    const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// An image that has been checked from end to end; borrows its bytes.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    manifest: Manifest<'a>,
    manifest_end: usize,
    vocabulary: Option<Vocabulary<'a>>,
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
        let (preamble, rest) = postcard::take_from_bytes::<Preamble>(bytes).map_err(|_| cut)?;
        // Versions count from 1.
        if preamble.version == 0 {
            return Err(Error::NotAnImage);
        }
        if preamble.version > VERSION {
            return Err(Error::NewerVersion { found: preamble.version, supported: VERSION });
        }
        let (image_bytes, rest) = postcard::take_from_bytes::<u32>(rest).map_err(|_| cut)?;
        let (stated, header) = (image_bytes as usize, bytes.len() - rest.len());
        let image = bytes.get(..stated).ok_or(Error::Truncated { stated, found: bytes.len() })?;
        let (body, trailer) = image
            .split_last_chunk::<4>()
            .filter(|(body, _)| body.len() > header)
            .ok_or(Error::Shape { problem: "the length that it states is shorter than its header" })?;
        let crc = u32::from_le_bytes(*trailer);
        let computed = crc32(body);
        if crc != computed {
            return Err(Error::Checksum { stated: crc, computed });
        }
        if image.as_ptr().align_offset(ALIGNMENT) != 0 {
            return Err(Error::Misaligned);
        }
        let coded = body.get(header..).ok_or(Error::Manifest)?;
        let (manifest, rest) = postcard::take_from_bytes::<Manifest<'a>>(coded).map_err(|_| Error::Manifest)?;
        let manifest_end = body.len() - rest.len();
        let mut image = Image { bytes: body, manifest, manifest_end, vocabulary: None, crc };
        image.check()?;
        image.vocabulary = image.open_vocabulary()?;
        Ok(image)
    }

    fn check(&self) -> Result<(), Error> {
        self.manifest.check()?;
        let mut end = self.manifest_end;
        for section in tensor::sections(&self.manifest, self.manifest_end) {
            let padding = self.bytes.get(end..section.offset).ok_or(Error::Sections)?;
            if padding.iter().any(|&byte| byte != 0) {
                return Err(Error::Sections);
            }
            end = section.offset.checked_add(section.bytes()).ok_or(Error::Sections)?;
        }
        if end != self.bytes.len() {
            return Err(Error::Sections);
        }
        for section in self.sections() {
            self.check_values(&section)?;
        }
        if self.manifest.precision == Precision::Int8 {
            for (index, layer) in self.manifest.layers.iter().enumerate() {
                self.check_sums(index as u8, layer)?;
            }
        }
        Ok(())
    }

    /// Floats are finite.
    fn check_values(&self, section: &Section) -> Result<(), Error> {
        let raw = self.section_bytes(section);
        // A float whose exponent bits are all ones is an infinity or no number.
        let finite = match section.element {
            Element::F32 => raw.chunks_exact(4).all(|b| b[3] & 0x7F != 0x7F || b[2] & 0x80 == 0),
            Element::F16 => raw.chunks_exact(2).all(|b| b[1] & 0x7C != 0x7C),
            Element::U8 | Element::I8 | Element::I16 | Element::U16 | Element::I32 | Element::U32 => true,
        };
        if finite { Ok(()) } else { Err(Error::NotFinite { role: section.role, layer: section.layer }) }
    }

    /// For every row of a layer: `Σ|w|·128·multiplier + |bias| ≤ i32::MAX`, so that no order of summation can overflow 32 bits.
    fn check_sums(&self, index: u8, layer: &Layer) -> Result<(), Error> {
        let Layer::Lstm(lstm) = layer;
        let weights: &[i8] = self.tensor(Role::GateWeights, index);
        let multipliers: &[u16] = self.tensor(Role::GateMultipliers, index);
        let biases: &[i32] = self.tensor(Role::GateBiases, index);
        let columns = lstm.padded_columns();
        for (row, (&multiplier, &bias)) in multipliers.iter().zip(biases).enumerate() {
            let (unit, gate) = (row / 4, row % 4);
            let words = weights.get(unit * columns * 4..).unwrap_or(&[]).as_chunks::<16>().0;
            let magnitude: u64 = words
                .iter()
                .take(columns / 4)
                .filter_map(|word| word.get(gate * 4..gate * 4 + 4))
                .flatten()
                .map(|weight| u64::from(weight.unsigned_abs()))
                .sum();
            let largest = magnitude * 128 * u64::from(multiplier) + u64::from(bias.unsigned_abs());
            if largest > i32::MAX as u64 {
                return Err(Error::Overflow { layer: index, row: row as u32 });
            }
        }
        Ok(())
    }

    /// What the image says about itself.
    pub fn manifest(&self) -> &Manifest<'a> {
        &self.manifest
    }

    /// The image's bytes, the checksum left out.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
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

    /// Bytes of preamble and manifest together.
    pub fn header_bytes(&self) -> usize {
        self.manifest_end
    }

    /// The sections in the order in which they lie.
    pub fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        tensor::sections(&self.manifest, self.manifest_end)
    }

    /// The bytes of one of this image's sections.
    pub fn section_bytes(&self, section: &Section) -> &'a [u8] {
        self.bytes.get(section.offset..section.offset + section.bytes()).unwrap_or(&[])
    }

    /// A tensor as a slice of its elements; empty when the image has no such tensor or it has other elements.
    pub(crate) fn tensor<T: bytemuck::Pod>(&self, role: Role, layer: u8) -> &'a [T] {
        self.sections()
            .find(|section| section.role == role && section.layer == layer)
            .and_then(|section| bytemuck::try_cast_slice(self.section_bytes(&section)).ok())
            .unwrap_or(&[])
    }

    /// The vocabulary of a text model; `None` where the input is something else.
    pub fn vocabulary(&self) -> Option<Vocabulary<'a>> {
        self.vocabulary
    }

    /// Checks the vocabulary word by word.
    fn open_vocabulary(&self) -> Result<Option<Vocabulary<'a>>, Error> {
        let Input::Text(text) = &self.manifest.input else { return Ok(None) };
        let index_width = if text.index_is_wide { 4 } else { 2 };
        Vocabulary::open(
            text.words as usize,
            text.character_bits,
            text.prefix_bits,
            self.tensor(Role::VocabularyTables, 0),
            self.raw(Role::VocabularyIndex),
            index_width,
            self.tensor(Role::VocabularyText, 0),
        )
        .map(Some)
    }

    fn raw(&self, role: Role) -> &'a [u8] {
        self.sections().find(|section| section.role == role).map_or(&[], |section| self.section_bytes(&section))
    }
}
