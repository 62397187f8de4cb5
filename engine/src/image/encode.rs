//! The writer of images, beside their reader. For the desktop: needs the feature `std`.

use std::string::String;
use std::vec::Vec;

use bytemuck::{Pod, Zeroable};
use serde::Serialize;

use super::header::{Description, Early, Input, MAGIC, PREAMBLE_BYTES, Provenance, VERSION, find, tags};
use super::reader::CRITICAL;
use super::role::Role;
use super::section::{ALIGNMENT, Element, Section};
use crate::error::Error;
use crate::kernels::IntWeight;
use crate::kernels::nibbles::{widen_gates, widen_row};
use crate::layers::Layer;

/// A tensor's values, in the order of its section.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
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

/// What an image says beside its model: all of it may be left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes<'a> {
    /// Where the model comes from.
    pub provenance: Provenance<'a>,
    /// The character table of a text model, [`crate::input::characters`].
    pub characters: Vec<u32>,
    /// The thresholds of an early exit.
    pub early: Vec<Early>,
    /// Names of the classes in the order of the outputs, two of a model with one output.
    pub class_names: Vec<String>,
    /// Units of the values in the order of the outputs.
    pub units: Vec<String>,
    /// Free keys and values.
    pub metadata: Vec<(String, String)>,
}

impl<'a> Notes<'a> {
    /// Those of an image.
    pub fn of(image: &super::Image<'a>) -> Self {
        let owned = |names: super::header::Names<'_>| names.map(String::from).collect();
        Notes {
            provenance: image.provenance(),
            characters: image.characters().entries().collect(),
            early: image.early().collect(),
            class_names: owned(image.class_names()),
            units: owned(image.units()),
            metadata: image.metadata().map(|(key, value)| (key.into(), value.into())).collect(),
        }
    }
}

/// Writes an image, with room for a self-test ([`crate::certify`] fills it). `tensors` may come in any order; each section that the description calls for must be
/// among them with its exact length.
///
/// # Errors
/// [`Error::Shape`] when a tensor is missing or has another length or type than the description gives it, or when the description is inconsistent.
pub fn encode(description: &Description, notes: &Notes<'_>, tensors: &[Tensor]) -> Result<Vec<u8>, Error> {
    description.check()?;
    let (mut bytes, whole) = header(description, notes)?;
    bytes.reserve_exact(whole - bytes.len());
    for section in description.sections(bytes.len()) {
        bytes.resize(section.offset, 0);
        push_section(&mut bytes, &section, tensors)?;
    }
    let crc = super::crc32(&bytes);
    bytes.extend(crc.to_le_bytes());
    Ok(bytes)
}

/// Bytes of the image that [`encode`] would write.
///
/// # Errors
/// [`Error::Shape`] when the description is inconsistent or the image would be too large.
pub fn encoded_bytes(description: &Description, notes: &Notes<'_>) -> Result<usize, Error> {
    description.check()?;
    Ok(header(description, notes)?.1)
}

/// Adds a record: tag, length, content.
fn push_record(bytes: &mut Vec<u8>, tag: u8, content: &[u8]) -> Result<(), Error> {
    bytes.push(tag);
    bytes.extend(coded(&content)?);
    Ok(())
}

fn coded(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(value).map_err(|_| Error::Shape { problem: "a record cannot be coded" })
}

/// Preamble and records, and the bytes of the whole image, which stand in the preamble.
fn header(description: &Description, notes: &Notes<'_>) -> Result<(Vec<u8>, usize), Error> {
    let mut bytes = std::vec![0; PREAMBLE_BYTES];
    push_record(&mut bytes, tags::MODEL | CRITICAL, &coded(&(precision(description), description.answer))?)?;
    match &description.input {
        Input::Samples(samples) => push_record(&mut bytes, tags::SAMPLES | CRITICAL, &coded(samples)?)?,
        input => push_record(&mut bytes, tags::INPUT | CRITICAL, &coded(input)?)?,
    }
    if !notes.characters.is_empty() {
        let entries: Vec<u8> = notes.characters.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        push_record(&mut bytes, tags::CHARACTERS | CRITICAL, &entries)?;
    }
    if description.samples().is_none() {
        push_record(&mut bytes, tags::EMBEDDING | CRITICAL, &coded(&description.embedding)?)?;
    }
    for layer in description.layers.iter() {
        let content = match layer {
            Layer::Lstm(layer) => coded(layer),
            Layer::Gru(layer) => coded(layer),
            Layer::Rnn(layer) => coded(layer),
            Layer::Conv1d(layer) => coded(layer),
            Layer::Bidirectional(layer, _) => coded(layer),
            Layer::Dense(layer) => coded(layer),
            Layer::Pooling(layer) => coded(layer),
            Layer::Variant(layer, _) => coded(layer),
            Layer::LayerNorm(layer, _) => coded(layer),
            Layer::MaxPool(layer, _) => coded(layer),
        }?;
        push_record(&mut bytes, layer.tag() | CRITICAL, &content)?;
    }
    if let Some(ngrams) = &description.ngrams {
        push_record(&mut bytes, tags::NGRAMS | CRITICAL, &coded(ngrams)?)?;
    }
    if let Some(steps) = description.start.steps() {
        push_record(&mut bytes, tags::START | CRITICAL, &coded(&steps)?)?;
    }
    if description.precision.is_integer() {
        push_record(&mut bytes, tags::SELF_TEST, &[0; 8])?;
    }
    push_record(&mut bytes, tags::PROVENANCE, &coded(&notes.provenance)?)?;
    if !notes.early.is_empty() {
        push_record(&mut bytes, tags::EARLY, &coded(&notes.early)?)?;
    }
    for (tag, names) in [(tags::CLASS_NAMES, &notes.class_names), (tags::UNITS, &notes.units)] {
        if !names.is_empty() {
            push_record(&mut bytes, tag, &coded(names)?)?;
        }
    }
    for pair in &notes.metadata {
        push_record(&mut bytes, tags::METADATA, &coded(pair)?)?;
    }
    let end = description.sections_end(bytes.len()).saturating_add(4);
    let too_large = Error::Shape { problem: "the image would be larger than 4 GiB" };
    let header = u32::try_from(bytes.len()).map_err(|_| too_large)?;
    let image = u32::try_from(end).map_err(|_| too_large)?;
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..12].copy_from_slice(&image.to_le_bytes());
    bytes[12..16].copy_from_slice(&header.to_le_bytes());
    Ok((bytes, end))
}

/// The precision's number in the record of the model.
fn precision(description: &Description) -> u32 {
    use crate::numbers::Precision;
    match description.precision {
        Precision::F32 => 0,
        Precision::F16 => 1,
        Precision::Int8 => 2,
        Precision::Int16 => 3,
    }
}

/// Adds the bytes of a section's tensor.
fn push_section(bytes: &mut Vec<u8>, section: &Section, tensors: &[Tensor]) -> Result<(), Error> {
    let tensor = tensors
        .iter()
        .find(|tensor| tensor.role == section.role && tensor.layer == section.layer)
        .ok_or(Error::Shape { problem: "a tensor that the description calls for was not given" })?;
    fn little<const N: usize, T: Copy>(bytes: &mut Vec<u8>, values: &[T], coded: impl Fn(T) -> [u8; N]) {
        bytes.extend(values.iter().flat_map(|&value| coded(value)));
    }
    let before = bytes.len();
    match (&tensor.values, section.element) {
        (Values::Bytes(values), _) => bytes.extend_from_slice(values),
        (Values::I8(values), Element::I8) => little(bytes, values, i8::to_le_bytes),
        (Values::I8(values), Element::I4) => bytes.extend(four_bits(section, values)?),
        (Values::I16(values), Element::I16) => little(bytes, values, i16::to_le_bytes),
        (Values::U16(values), Element::U16) => little(bytes, values, u16::to_le_bytes),
        (Values::I32(values), Element::I32) => little(bytes, values, i32::to_le_bytes),
        (Values::F32(values), Element::F32) => little(bytes, values, f32::to_le_bytes),
        (Values::F32(values), Element::F16) => little(bytes, values, |value| half::f16::from_f32(value).to_le_bytes()),
        _ => return Err(Error::Shape { problem: "a tensor has another type of elements than its section" }),
    }
    if bytes.len() - before != section.bytes() {
        return Err(Error::Shape { problem: "a tensor has another number of elements than its section" });
    }
    Ok(())
}

/// Two int8 weights a byte, in the order of [`crate::kernels::nibbles`].
fn four_bits(section: &Section, values: &[i8]) -> Result<Vec<u8>, Error> {
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

/// The int8 weights of a section of an integer model: its bytes, or what its four bits stand for. Empty for other elements.
pub fn widened(image: &super::Image<'_>, section: &Section) -> Vec<i8> {
    let bytes: &[i8] = bytemuck::cast_slice(image.section_bytes(section));
    match section.element {
        Element::I8 => bytes.to_vec(),
        Element::I4 => {
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

/// Puts the digest of the self-test into an image and renews its checksum.
///
/// # Errors
/// Those of [`super::Image::open`]; [`Error::Record`] for an image without room for it.
pub(crate) fn set_self_test(bytes: &mut [u8], digest: u64) -> Result<(), Error> {
    let (place, length) = {
        let image = super::Image::open(bytes)?;
        let header = &image.bytes()[..image.header_bytes()];
        let content = find(&header[PREAMBLE_BYTES..], tags::SELF_TEST).filter(|content| content.0.len() == 8);
        let content = content.ok_or(Error::Record { tag: tags::SELF_TEST })?;
        (content.0.as_ptr() as usize - bytes.as_ptr() as usize, image.len())
    };
    let body = length - 4;
    bytes[place..place + 8].copy_from_slice(&digest.to_le_bytes());
    let crc = super::crc32(&bytes[..body]);
    bytes[body..length].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Brings the rows of an integer matrix into the kernels' order, `[row / 4][column / 4][row % 4][column % 4]` of int8 and
/// `[row / 4][column / 8][row % 4][column % 8]` of int16; rows and columns are padded with zeros to whole blocks.
pub fn pack_rows<W: IntWeight>(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> W) -> Vec<W> {
    let (padded_rows, padded) = (rows.next_multiple_of(4), columns.next_multiple_of(W::COLUMNS));
    let mut packed = Vec::with_capacity(padded_rows * padded);
    for quad in (0..padded_rows).step_by(4) {
        for block in (0..padded).step_by(W::COLUMNS) {
            for row in quad..quad + 4 {
                packed.extend(
                    (block..block + W::COLUMNS)
                        .map(|column| if row < rows && column < columns { weight(row, column) } else { W::zeroed() }),
                );
            }
        }
    }
    packed
}

/// [`pack_rows`] of int8.
pub fn pack_rows_i8(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> i8) -> Vec<i8> {
    pack_rows(rows, columns, weight)
}

/// Brings the rows of a float matrix into the kernels' order `[row / 32][column][row % 32]`, where the last block may have 8, 16 or 24 rows; `rows` is a multiple
/// of 8.
pub fn pack_rows_f32(rows: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut packed = Vec::with_capacity(rows * columns);
    for block in (0..rows).step_by(32) {
        for column in 0..columns {
            packed.extend((block..rows.min(block + 32)).map(|row| weight(row, column)));
        }
    }
    packed
}

/// Brings an integer LSTM layer's weights into the kernels' order, `[unit][k / 4][gate][4 columns]` of int8 and `[unit][k / 8][gate][8 columns]` of
/// int16; `weight(gate, unit, column)` has gates i, f, g, o and the columns of [x; h]. Columns are padded with zeros to whole blocks.
pub fn pack_gates<W: IntWeight>(units: usize, columns: usize, weight: impl Fn(usize, usize, usize) -> W) -> Vec<W> {
    pack_rows(4 * units, columns, |row, column| weight(row % 4, row / 4, column))
}

/// [`pack_gates`] of int8.
pub fn pack_gates_i8(units: usize, columns: usize, weight: impl Fn(usize, usize, usize) -> i8) -> Vec<i8> {
    pack_gates(units, columns, weight)
}

/// Brings a float LSTM layer's weights into the kernels' order `[unit/8][k][gate][8 units]`; units are padded with zeros to a multiple of 8.
pub fn pack_gates_f32(units: usize, columns: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    pack_rows_f32(4 * units.next_multiple_of(8), columns, |row, column| {
        let (block, gate, lane) = (row / 32, row % 32 / 8, row % 8);
        let unit = 8 * block + lane;
        if unit < units { weight(gate, unit, column) } else { 0.0 }
    })
}

/// Bytes that start on a multiple of [`ALIGNMENT`], as [`super::Image::open`] needs them.
#[derive(Clone, Debug, Default)]
pub struct AlignedBytes {
    blocks: Vec<Block>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(16))]
struct Block([u8; ALIGNMENT]);

impl AlignedBytes {
    /// So many zeros: room for a stream's state, [`crate::Model::session_in`].
    pub fn zeroed(len: usize) -> Self {
        AlignedBytes { blocks: std::vec![Block([0; ALIGNMENT]); len.div_ceil(ALIGNMENT)], len }
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
