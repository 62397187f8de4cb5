//! The image: one file that the trainer writes, flash holds, and the engine reads in place.
//!
//! ```text
//! preamble ++ records ++ zeros to 16 ++ sections, each on a multiple of 16 ++ CRC-32
//! ```
//!
//! Which sections there are, their order and their shapes follow from the records alone ([`header::Description::sections`]), so that there is no
//! table of offsets that could contradict the shapes. The CRC-32 (ISO-HDLC, little-endian) covers everything before it. `docs/image-format.md` has every byte.

#[cfg(feature = "std")]
pub mod encode;
pub mod header;
pub mod ids;
pub(crate) mod reader;
pub mod role;
pub mod section;
pub mod start;

pub use header::{Description, MAGIC, VERSION};
pub use section::ALIGNMENT;

use crate::error::{Error, problem};
use crate::features::{FLOAT, Feature, INT16, NGRAMS, PROJECTION, SAMPLES, START, TEXT};
use crate::input::characters::Characters;
use crate::input::samples;
use crate::input::vocabulary::Vocabulary;
use crate::layers::{Arithmetic, Opened, embedding};
use crate::numbers::Precision;
use half::f16;
use header::{AnswerKind, Earlies, Input, Metadata, Names, PREAMBLE_BYTES, Provenance, tags};
use section::{Cursor, Section};

/// The checksum of an image: CRC-32/ISO-HDLC, as in zip and PNG.
#[cfg(feature = "std")]
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// The same bit by bit, in 40 bytes of a chip's flash. It runs once, when the image is opened, or while a program is compiled.
pub(crate) const fn crc32_by_bits(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        crc ^= byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        rest = behind;
    }
    !crc
}

#[cfg(not(feature = "std"))]
use crc32_by_bits as crc32;

/// An image that has been checked from end to end; borrows its bytes. As small as a few pointers: the header is read anew whenever it
/// is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Without the checksum.
    bytes: &'a [u8],
    /// Where the records end and the sections' padding begins.
    header_end: usize,
    crc: u32,
}

/// The first bytes: where the image ends and where its header does.
const fn preamble(bytes: &[u8]) -> Result<(usize, usize), Error> {
    let Some((&[m0, m1, m2, m3, v0, v1, r0, r1, i0, i1, i2, i3, h0, h1, h2, h3], _)) =
        bytes.split_first_chunk::<PREAMBLE_BYTES>()
    else {
        let is_begun = matches!(bytes, [b'L', b'T', b'C', b'H', ..]);
        return Err(if is_begun { Error::HeaderTruncated { found: bytes.len() } } else { Error::NotAnImage });
    };
    let (magic, version) = (u32::from_le_bytes([m0, m1, m2, m3]), u32::from_le_bytes([v0, v1, r0, r1]));
    let image = u32::from_le_bytes([i0, i1, i2, i3]) as usize;
    let header = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
    if magic != u32::from_le_bytes(MAGIC) || version as u16 == 0 {
        return Err(Error::NotAnImage);
    }
    // Versions 1 to 6 had one byte here; that of 7 had two, and no other version has these.
    if v0 >= 1 && v0 < VERSION as u8 {
        return Err(Error::OlderVersion { found: v0 as u16 });
    }
    if version as u16 != VERSION {
        return Err(Error::NewerVersion { found: version as u16 });
    }
    if header < PREAMBLE_BYTES || image < header || image - header < 4 || version >> 16 != 0 {
        return Err(Error::Shape { problem: problem!("the lengths that it states contradict each other") });
    }
    if image > bytes.len() {
        return Err(Error::Truncated { stated: image, found: bytes.len() });
    }
    Ok((image, header))
}

/// What can be known of an image while a program is compiled: everything but the values of its sections. [`Image::open`] checks those when the program
/// starts.
///
/// # Errors
/// Those of [`Image::open`] that concern length, checksum, header and sections' sizes.
pub const fn check_header(bytes: &[u8]) -> Result<Description, Error> {
    let (end, header_end) = match preamble(bytes) {
        Ok(ends) => ends,
        Err(error) => return Err(error),
    };
    let Some((image, _)) = bytes.split_at_checked(end) else { return Err(Error::Sections) };
    let Some((body, trailer)) = image.split_last_chunk::<4>() else { return Err(Error::Sections) };
    let (stated, computed) = (u32::from_le_bytes(*trailer), crc32_by_bits(body));
    if stated != computed {
        return Err(Error::Checksum { stated, computed });
    }
    let mut description = Description::NOTHING;
    if let Err(error) = describe(&mut description, body, header_end) {
        return Err(error);
    }
    if description.sections_end(header_end) != body.len() {
        return Err(Error::Sections);
    }
    Ok(description)
}

/// Reads the records of a header into a description of nothing, and checks that this engine can run what they describe.
const fn describe(description: &mut Description, body: &[u8], header_end: usize) -> Result<(), Error> {
    let Some((header, _)) = body.split_at_checked(header_end) else { return Err(Error::Sections) };
    let Some((_, records)) = header.split_at_checked(PREAMBLE_BYTES) else { return Err(Error::Sections) };
    if let Err(error) = description.read(records) {
        return Err(error);
    }
    if let Some(feature) = description.missing() {
        return Err(Error::Feature { feature });
    }
    description.check()
}

impl<'a> Image<'a> {
    /// Checks an image, once and for all: magic, version, length, CRC-32, every record, that the layers fit each other, the sections' sizes and alignment, the
    /// vocabulary word by word, that no integer sum can overflow, that every float is finite and no float sum can become an infinity.
    ///
    /// `bytes` may be longer than the image, as a slot of flash is; what follows the image is not looked at. It must start on a
    /// multiple of [`ALIGNMENT`].
    ///
    /// # Errors
    /// The variant of [`Error`] says what is wrong and, in its sentence, what to do.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let (end, header_end) = preamble(bytes)?;
        let image = bytes.get(..end).ok_or(Error::Sections)?;
        let (body, trailer) = image.split_last_chunk::<4>().ok_or(Error::Sections)?;
        let crc = u32::from_le_bytes(*trailer);
        let computed = crc32(body);
        if crc != computed {
            return Err(Error::Checksum { stated: crc, computed });
        }
        if image.as_ptr().align_offset(ALIGNMENT) != 0 {
            return Err(Error::Misaligned);
        }
        let image = Image { bytes: body, header_end, crc };
        image.check()?;
        Ok(image)
    }

    #[inline(never)]
    fn check(&self) -> Result<(), Error> {
        let mut description = Description::NOTHING;
        describe(&mut description, self.bytes, self.header_end)?;
        self.check_early(&description)?;
        match description.precision {
            Precision::Int8 => self.check_sections::<i8>(&description),
            Precision::Int16 if INT16 => self.check_sections::<i16>(&description),
            Precision::F32 if FLOAT => self.check_sections::<f32>(&description),
            Precision::F16 if FLOAT => self.check_sections::<f16>(&description),
            _ => Err(Error::Feature { feature: Feature::Float }),
        }
    }

    fn check_early(&self, description: &Description) -> Result<(), Error> {
        let early = self.early();
        early.check()?;
        let answer = description.answer();
        let one_verdict = answer.kind == AnswerKind::Classes && !answer.each_step && description.outputs() == 1;
        if early.count() > 0 && !one_verdict {
            let problem = problem!("only one verdict of two classes has an early exit");
            return Err(Error::Shape { problem });
        }
        Ok(())
    }

    /// Every layer cuts its sections off and checks them.
    #[inline(never)]
    fn check_sections<N: Arithmetic>(&self, description: &Description) -> Result<(), Error> {
        let mut cursor = self.cursor();
        if TEXT && let Some(vocabulary) = Self::open_vocabulary(description, &mut cursor)? {
            vocabulary.check()?;
            // A chip takes any table: all of them are sound.
            #[cfg(not(latch_backend))]
            Characters::check(self.records())?;
        }
        let mut embedding = embedding::Opened::<N>::NOTHING;
        let mut limit = match description.samples() {
            Some(samples) if SAMPLES => samples::Opened::<N>::open(samples, &mut cursor)?.check()?,
            _ => {
                let shape = &description.embedding;
                embedding = embedding::Opened::open(shape, description.projected_sums(), &mut cursor)?;
                embedding.check(shape)?
            }
        };
        let mut inputs = description.width();
        for (place, layer) in description.layers.iter().enumerate() {
            let place = place as u8;
            cursor.layer = place;
            let opened = Opened::<N>::open(layer, inputs, &mut cursor)?;
            limit = opened.check(limit, place)?;
            inputs = layer.outputs(inputs);
            if PROJECTION
                && let (Opened::Lstm(first), Some((index, ready))) = (&opened, embedding.projected())
                && place == 0
            {
                N::check_projected(first, index.ids(), ready)?;
            }
        }
        if NGRAMS && let Some(ngrams) = &description.ngrams {
            cursor.next(Some(ngrams.section()))?;
        }
        if START && let Some(section) = description.start_section() {
            cursor.layer = 0;
            description.check_start(cursor.tensor(Some(section))?)?;
        }
        if cursor.is_at_end() { Ok(()) } else { Err(Error::Sections) }
    }

    /// Before the first section.
    pub(crate) fn cursor(&self) -> Cursor<'a> {
        Cursor::new(self.bytes, self.header_end)
    }

    /// Cuts the vocabulary off the sections; `None` where the input is something else.
    ///
    /// # Errors
    /// Those of [`Vocabulary::open`] and [`Cursor::next`].
    #[inline(never)]
    pub(crate) fn open_vocabulary(
        description: &Description,
        cursor: &mut Cursor<'a>,
    ) -> Result<Option<Vocabulary<'a>>, Error> {
        let Input::Text(text) = &description.input else { return Ok(None) };
        if !TEXT {
            return Err(Error::Feature { feature: Feature::Text });
        }
        let (tables, index, words) =
            (cursor.next(text.section(0))?, cursor.next(text.section(1))?, cursor.next(text.section(2))?);
        Vocabulary::new(text, tables, index, words).map(Some)
    }

    /// The records.
    fn records(&self) -> &'a [u8] {
        self.bytes.get(PREAMBLE_BYTES..self.header_end).unwrap_or(&[])
    }

    /// The model that the image holds.
    #[inline]
    pub fn description(&self) -> Description {
        let mut description = Description::NOTHING;
        // Opening has read it once already, so that nothing fails here.
        let _ = description.read(self.records());
        description
    }

    /// The image's bytes, the checksum left out.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the model comes from; empty where the writer has not said.
    pub fn provenance(&self) -> Provenance<'a> {
        Provenance::of(self.records()).unwrap_or_default()
    }

    /// The thresholds of an early exit, by rising tokens and falling logits; none where the image has none.
    pub fn early(&self) -> Earlies<'a> {
        Earlies::of(self.records())
    }

    /// What the characters beyond ASCII are in a text.
    pub fn characters(&self) -> Characters<'a> {
        Characters::of(self.records())
    }

    /// The names of the classes in the order of the outputs, two of a model with one output; none where the image has none.
    pub fn class_names(&self) -> Names<'a> {
        Names::of(self.records(), tags::CLASS_NAMES)
    }

    /// The units of the values in the order of the outputs; none where the image has none.
    pub fn units(&self) -> Names<'a> {
        Names::of(self.records(), tags::UNITS)
    }

    /// The keys and values that the writer left.
    pub fn metadata(&self) -> Metadata<'a> {
        Metadata::of(self.records())
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

    /// The digest that the model's self-test must give, [`crate::Model::self_test`]; `None` where the writer left none.
    pub fn self_test(&self) -> Option<u64> {
        let digest = u64::from_le_bytes(header::find(self.records(), tags::SELF_TEST)?.array()?);
        (digest != 0).then_some(digest)
    }

    /// Bytes of preamble and records together.
    pub fn header_bytes(&self) -> usize {
        self.header_end
    }

    /// The sections in the order in which they lie.
    pub fn sections(&self) -> impl Iterator<Item = Section> + use<> {
        self.description().sections(self.header_end)
    }

    /// The bytes of one of this image's sections.
    pub fn section_bytes(&self, section: &Section) -> &'a [u8] {
        self.bytes.get(section.offset..section.offset + section.bytes()).unwrap_or(&[])
    }

    /// Which ids of the embedding have a projected row; `None` where none has.
    pub fn projected(&self) -> Option<ids::IdSet<'a>> {
        let section = self.sections().find(|section| section.role == role::Role::ProjectedIndex)?;
        bytemuck::try_cast_slice(self.section_bytes(&section)).ok().map(ids::IdSet::new)
    }

    /// The vocabulary of a text model; `None` where the input is something else.
    pub fn vocabulary(&self) -> Option<Vocabulary<'a>> {
        Self::open_vocabulary(&self.description(), &mut self.cursor()).ok().flatten()
    }
}

/// An image in a program: `include_image!(pub Sentiment = "model.latch")` makes a type `Sentiment` whose image lies aligned in flash.
///
/// The image is read while the program is compiled: one that is cut off, damaged, of another version or inconsistent is a compile error with the reason. The path is
/// relative to the file with this line. The type has
///
/// - `BYTES`: the image, for [`Image::open`];
/// - `STATE_BYTES`: the `N` of [`State<N>`](crate::State);
/// - `open()`: [`Image::open`].
///
/// ```ignore
/// latch_engine::include_image!(pub Sentiment = "model.latch");
///
/// static STATE: State<{ Sentiment::STATE_BYTES }> = State::new();
/// let image = Sentiment::open()?;
/// ```
///
/// A file that is no image does not compile; the error holds the sentence "not a Latch image".
///
/// ```compile_fail,E0080
/// latch_engine::include_image!(Broken = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
///
/// static STATE: latch_engine::State<{ Broken::STATE_BYTES }> = latch_engine::State::new();
/// ```
#[macro_export]
macro_rules! include_image {
    ($visibility:vis $name:ident = $path:expr) => {
        /// An image that lies in this program.
        $visibility struct $name;

        impl $name {
            /// The image, on a multiple of 16.
            $visibility const BYTES: &'static [u8] = {
                #[repr(C, align(16))]
                struct Aligned<T: ?Sized>(T);
                static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
                &ALIGNED.0
            };

            /// Bytes of state that a stream needs.
            #[allow(long_running_const_eval, reason = "the checksum of a large image")]
            $visibility const STATE_BYTES: usize = match $crate::image::check_header(Self::BYTES) {
                Ok(description) => $crate::Layout::of(&description).bytes(),
                Err(error) => panic!("{}", error.reason()),
            };

            /// The image, checked.
            ///
            /// # Errors
            /// Those of [`Image::open`]($crate::image::Image::open).
            $visibility fn open() -> Result<$crate::image::Image<'static>, $crate::Error> {
                $crate::image::Image::open(Self::BYTES)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    extern crate std;

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
