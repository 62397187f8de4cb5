//! Images put together record by record, whether or not their parts agree: what a reader must refuse, and what it must pass over.

use latch_engine::Precision;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::PREAMBLE_BYTES;
use latch_engine::image::{ALIGNMENT, Description, Image, MAGIC, VERSION};
use latch_engine::layers::Layer;
use serde::Serialize;

/// The bit of a tag that says that an engine must understand the record.
pub const CRITICAL: u8 = 0x80;

/// A record of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its tag, [`CRITICAL`] included.
    pub tag: u8,
    /// Its content.
    pub content: Vec<u8>,
}

impl Record {
    /// A record of something that postcard codes.
    pub fn new(tag: u8, content: &(impl Serialize + ?Sized)) -> Self {
        Record { tag, content: postcard::to_stdvec(content).expect("plain data can be coded") }
    }
}

/// The records of an image, in order.
pub fn records(image: &[u8]) -> Vec<Record> {
    let length = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut rest = &image[PREAMBLE_BYTES..length(12)];
    let mut records = Vec::new();
    while let Some((&tag, behind)) = rest.split_first() {
        let (content, behind) = postcard::take_from_bytes::<&[u8]>(behind).expect("a length and as many bytes");
        records.push(Record { tag, content: content.to_vec() });
        rest = behind;
    }
    records
}

/// The critical records of a description, sound or not.
pub fn described(description: &Description) -> Vec<Record> {
    let precision: u32 = match description.precision {
        Precision::F32 => 0,
        Precision::F16 => 1,
        Precision::Int8 => 2,
        Precision::Int16 => 3,
    };
    let mut records = vec![
        Record::new(0x01 | CRITICAL, &(precision, description.answer)),
        Record::new(0x02 | CRITICAL, &description.input),
        Record::new(0x08 | CRITICAL, &description.embedding),
    ];
    for layer in description.layers.iter() {
        let tag = layer.tag() | CRITICAL;
        records.push(match layer {
            Layer::Lstm(layer) => Record::new(tag, layer),
            Layer::Gru(layer) => Record::new(tag, layer),
            Layer::Rnn(layer) => Record::new(tag, layer),
            Layer::Variant(layer, _) => Record::new(tag, layer),
            Layer::LayerNorm(layer, _) => Record::new(tag, layer),
            Layer::MaxPool(layer, _) => Record::new(tag, layer),
            Layer::Conv1d(layer) => Record::new(tag, layer),
            Layer::Bidirectional(layer, _) => Record::new(tag, layer),
            Layer::Dense(layer) => Record::new(tag, layer),
            Layer::Pooling(layer) => Record::new(tag, layer),
        });
    }
    if let Some(ngrams) = &description.ngrams {
        records.push(Record::new(0x20 | CRITICAL, ngrams));
    }
    if let Some(steps) = description.start.steps() {
        records.push(Record::new(0x05 | CRITICAL, &steps));
    }
    records
}

/// An image of these records and these contents of sections, with right lengths and a right checksum.
pub fn assemble(version: u16, records: &[Record], sections: &[&[u8]]) -> AlignedBytes {
    let mut header = Vec::new();
    for record in records {
        header.push(record.tag);
        header.extend(postcard::to_stdvec(&record.content[..]).expect("bytes can be coded"));
    }
    assemble_header(version, &header, sections)
}

/// As [`assemble`], with any bytes as records.
pub fn assemble_header(version: u16, header: &[u8], sections: &[&[u8]]) -> AlignedBytes {
    let mut bytes = vec![0; PREAMBLE_BYTES];
    bytes.extend(header);
    let end = bytes.len() as u32;
    for section in sections {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(*section);
    }
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&version.to_le_bytes());
    let length = bytes.len() as u32 + 4;
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..16].copy_from_slice(&end.to_le_bytes());
    bytes.extend([0; 4]);
    let mut bytes = AlignedBytes::new(&bytes);
    mend_checksum(&mut bytes);
    bytes
}

/// The image with other records in front of its sections.
pub fn with_records(image: &[u8], records: &[Record]) -> AlignedBytes {
    let image = Image::open(image).expect("the image is whole");
    assemble(VERSION, records, &contents(&image))
}

/// What the sections of an image hold.
pub fn contents<'a>(image: &Image<'a>) -> Vec<&'a [u8]> {
    image.sections().map(|section| image.section_bytes(&section)).collect()
}

/// CRC-32, as at an image's end.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

/// Gives changed bytes the checksum that belongs to them, where they still say a length that they have.
pub fn mend_checksum(bytes: &mut [u8]) {
    let Some(&stated) = bytes.get(8..12).and_then(|length| length.first_chunk()) else { return };
    let stated = u32::from_le_bytes(stated) as usize;
    if let Some((body, trailer)) = bytes.get_mut(..stated).and_then(|image| image.split_last_chunk_mut::<4>()) {
        *trailer = crc32(body).to_le_bytes();
    }
}
