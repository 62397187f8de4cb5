//! The writer of images, beside their reader. For the desktop: needs the feature `std`.

use std::vec::Vec;

use bytemuck::{Pod, Zeroable};

use super::error::Error;
use super::manifest::{Manifest, Preamble, Provenance};
use super::tensor::{self, Element, Role, Section};
use super::{MAGIC, crc32};

/// A tensor's values, in the order of its section.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// For sections of any type that are already little-endian bytes.
    Bytes(Vec<u8>),
    /// For sections of `i8`.
    I8(Vec<i8>),
    /// For sections of `i16`.
    I16(Vec<i16>),
    /// For sections of `u16`.
    U16(Vec<u16>),
    /// For sections of `i32`.
    I32(Vec<i32>),
    /// For sections of `f32`, and of `f16`, to which they are rounded (to nearest, ties to even).
    F32(Vec<f32>),
}

/// A tensor on its way into an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// What it holds.
    pub role: Role,
    /// The layer it belongs to, from 0.
    pub layer: u8,
    /// Its values.
    pub values: Values,
}

/// Writes an image, without a self-test ([`crate::model::certify`] adds it). `tensors` may come in any order; each section that the manifest calls for must be among them with its exact length.
///
/// # Errors
/// [`Error::Shape`] when a tensor is missing or has another length or type than the manifest gives it, or when the manifest is inconsistent.
pub fn encode(manifest: &Manifest, provenance: &Provenance<'_>, tensors: &[Tensor]) -> Result<Vec<u8>, Error> {
    manifest.check()?;
    let (mut bytes, _) = sized_header(manifest, provenance)?;
    for section in tensor::sections(manifest, bytes.len()) {
        bytes.resize(section.offset, 0);
        bytes.extend(section_bytes(&section, tensors)?);
    }
    let crc = crc32(&bytes);
    bytes.extend(crc.to_le_bytes());
    Ok(bytes)
}

/// Bytes of the image that [`encode`] would write.
///
/// # Errors
/// [`Error::Shape`] when the manifest is inconsistent or the image would be too large.
pub fn encoded_bytes(manifest: &Manifest, provenance: &Provenance<'_>) -> Result<usize, Error> {
    manifest.check()?;
    Ok(sized_header(manifest, provenance)?.1)
}

/// The header, and the bytes of the whole image, which stand in it.
fn sized_header(manifest: &Manifest, provenance: &Provenance<'_>) -> Result<(Vec<u8>, usize), Error> {
    // The image's length stands in front of the manifest in as many bytes as it needs, so it is found by trying.
    let mut stated = 0_u32;
    loop {
        let header = header(manifest, provenance, stated)?;
        let end = tensor::sections(manifest, header.len())
            .map(|section| section.offset.saturating_add(section.bytes()))
            .last()
            .unwrap_or(header.len());
        let image_bytes = u32::try_from(end.saturating_add(4))
            .map_err(|_| Error::Shape { problem: "the image would be larger than 4 GiB" })?;
        if image_bytes == stated {
            return Ok((header, image_bytes as usize));
        }
        stated = image_bytes;
    }
}

fn header(manifest: &Manifest, provenance: &Provenance<'_>, image_bytes: u32) -> Result<Vec<u8>, Error> {
    let coded = |result: postcard::Result<Vec<u8>>| {
        result.map_err(|_| Error::Shape { problem: "the manifest cannot be coded" })
    };
    let mut header = coded(postcard::to_stdvec(&Preamble { magic: MAGIC, version: manifest.version() }))?;
    header.extend(coded(postcard::to_stdvec(&image_bytes))?);
    header.extend(coded(postcard::to_stdvec(manifest))?);
    if manifest.version() > super::VERSION_UNFOLDED {
        header.extend(coded(postcard::to_stdvec(&manifest.folded))?);
    }
    #[cfg(feature = "extended")]
    if manifest.version() > super::VERSION_FOLDED {
        header.extend(coded(postcard::to_stdvec(&manifest.extended))?);
    }
    #[cfg(feature = "extended")]
    if manifest.version() > super::VERSION_TIERED {
        header.extend(coded(postcard::to_stdvec(&manifest.extended.tiers))?);
    } else if let Some(tiers) = &manifest.extended.tiers {
        header.extend(coded(postcard::to_stdvec(tiers))?);
    }
    header.extend(coded(postcard::to_stdvec(provenance))?);
    header.extend([0; SELF_TEST_BYTES]);
    Ok(header)
}

fn section_bytes(section: &Section, tensors: &[Tensor]) -> Result<Vec<u8>, Error> {
    let tensor = tensors
        .iter()
        .find(|tensor| tensor.role == section.role && tensor.layer == section.layer)
        .ok_or(Error::Shape { problem: "a tensor that the manifest calls for was not given" })?;
    fn little<const N: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&value| bytes(value)).collect()
    }
    let bytes = match (&tensor.values, section.element) {
        (Values::Bytes(values), _) => values.clone(),
        (Values::I8(values), Element::I8) => little(values, i8::to_le_bytes),
        #[cfg(feature = "extended")]
        (Values::I8(values), Element::I4) => nibbles(section, values)?,
        (Values::I16(values), Element::I16) => little(values, i16::to_le_bytes),
        (Values::U16(values), Element::U16) => little(values, u16::to_le_bytes),
        (Values::I32(values), Element::I32) => little(values, i32::to_le_bytes),
        (Values::F32(values), Element::F32) => little(values, f32::to_le_bytes),
        (Values::F32(values), Element::F16) => little(values, |value| half::f16::from_f32(value).to_le_bytes()),
        _ => return Err(Error::Shape { problem: "a tensor has another type of elements than its section" }),
    };
    if bytes.len() != section.bytes() {
        return Err(Error::Shape { problem: "a tensor has another number of elements than its section" });
    }
    Ok(bytes)
}

/// Two int8 weights a byte, in the order of [`crate::kernels::nibbles`].
#[cfg(feature = "extended")]
fn nibbles(section: &Section, values: &[i8]) -> Result<Vec<u8>, Error> {
    if values.iter().any(|value| value % 16 != 0) {
        return Err(Error::Shape { problem: "a tensor of four bits a weight has a value that is no multiple of 16" });
    }
    if values.len() != section.rows * section.columns {
        return Err(Error::Shape { problem: "a tensor has another number of elements than its section" });
    }
    let pair = |below: i8, above: i8| (below as u8 >> 4) | (above as u8 & 0xF0);
    if section.role.has_rows() {
        let rows = values.chunks(section.columns);
        return Ok(rows
            .flat_map(|row| row.chunks(2))
            .map(|two| pair(two[0], two.get(1).copied().unwrap_or(0)))
            .collect());
    }
    let blocks = values.as_chunks::<16>().0.iter();
    Ok(blocks.flat_map(|block| (0..8).map(move |byte| pair(block[byte], block[byte + 8]))).collect())
}

/// The int8 weights of a section of an integer model: its bytes, or what its nibbles stand for. Empty for other elements.
pub fn widened(image: &super::Image<'_>, section: &Section) -> Vec<i8> {
    let bytes: &[i8] = bytemuck::cast_slice(image.section_bytes(section));
    match section.element {
        Element::I8 => bytes.to_vec(),
        #[cfg(feature = "extended")]
        Element::I4 => {
            use crate::kernels::nibbles::{widen_gates, widen_row};

            let mut values = std::vec![0; section.rows * section.columns];
            if section.role.has_rows() {
                let rows = bytes.chunks(section.columns.div_ceil(2));
                rows.zip(values.chunks_mut(section.columns)).for_each(|(row, out)| widen_row(row, out));
            } else {
                widen_gates(bytes, &mut values);
            }
            values
        }
        _ => Vec::new(),
    }
}

/// Bytes of the self-test's digest, which stand last in the header.
const SELF_TEST_BYTES: usize = 8;

/// Puts the digest of the self-test into an image and renews its checksum.
///
/// # Errors
/// Those of [`super::Image::open`]; [`Error::Manifest`] for an image of version 1, whose header has no room for it.
pub(crate) fn set_self_test(bytes: &mut [u8], digest: u64) -> Result<(), Error> {
    let (end, length) = {
        let image = super::Image::open(bytes)?;
        if image.version() < 2 {
            return Err(Error::Manifest);
        }
        (image.header_bytes(), image.len())
    };
    let body = length - 4;
    bytes[end - SELF_TEST_BYTES..end].copy_from_slice(&digest.to_le_bytes());
    let crc = crc32(&bytes[..body]);
    bytes[body..length].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Brings an integer layer's weights into the kernels' order `[unit][k/4][gate][4 columns]`; `weight(gate, unit, column)` has
/// gates i, f, g, o and the columns of [x; h]. Columns are padded with zeros to a multiple of 4.
pub fn pack_gates_i8(units: usize, columns: usize, weight: impl Fn(usize, usize, usize) -> i8) -> Vec<i8> {
    let padded = columns.next_multiple_of(4);
    let mut packed = Vec::with_capacity(units * padded * 4);
    for unit in 0..units {
        for block in (0..padded).step_by(4) {
            for gate in 0..4 {
                packed.extend(
                    (block..block + 4).map(|column| if column < columns { weight(gate, unit, column) } else { 0 }),
                );
            }
        }
    }
    packed
}

/// Brings a float layer's weights into the kernels' order `[unit/8][k][gate][8 units]`; units are padded with zeros to a multiple of 8.
pub fn pack_gates_f32(units: usize, columns: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut packed = Vec::with_capacity(units.next_multiple_of(8) * columns * 4);
    for block in (0..units).step_by(8) {
        for column in 0..columns {
            for gate in 0..4 {
                packed
                    .extend((block..block + 8).map(|unit| if unit < units { weight(gate, unit, column) } else { 0.0 }));
            }
        }
    }
    packed
}

/// Bytes that start on a multiple of [`super::ALIGNMENT`], as [`super::Image::open`] needs them.
#[derive(Clone, Debug, Default)]
pub struct AlignedBytes {
    blocks: Vec<Block>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(16))]
struct Block([u8; super::ALIGNMENT]);

impl AlignedBytes {
    /// So many zeros: room for a stream's state, [`crate::model::Model::session_in`].
    pub fn zeroed(len: usize) -> Self {
        AlignedBytes { blocks: std::vec![Block([0; super::ALIGNMENT]); len.div_ceil(super::ALIGNMENT)], len }
    }

    /// Copies bytes to an aligned place.
    pub fn new(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl core::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }
}

impl core::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.len]
    }
}
