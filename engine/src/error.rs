//! What can be wrong with an image, a state or a buffer: one variant a failure, each with a sentence and a remedy.

use crate::features::Feature;
use crate::image::role::Role;

/// A sentence that only a person reads: nothing, where the engine was built without the feature `messages`.
macro_rules! problem {
    ($sentence:literal) => {
        if crate::features::MESSAGES { $sentence } else { "" }
    };
}
pub(crate) use problem;

/// Everything that opening can refuse. After opening nothing fails but a push of samples that are none, which leaves the stream as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as an image does.
    #[error("not a Latch image: it does not begin with the letters LTCH; give a file that `latch export` wrote")]
    NotAnImage,
    /// An earlier version of the format.
    #[error("the image has format version {found} and this engine reads version 8: export the model again")]
    OlderVersion {
        /// The image's version.
        found: u16,
    },
    /// A later version of the format.
    #[error(
        "the image has format version {found} and this engine reads version 8: update Latch, or export the model again with this version"
    )]
    NewerVersion {
        /// The image's version.
        found: u16,
    },
    /// The bytes end before the image has said how many it has.
    #[error("the image is cut off within its first bytes: only {found} are there; copy it again")]
    HeaderTruncated {
        /// Bytes that are there.
        found: usize,
    },
    /// Fewer bytes than the image says it has.
    #[error("the image is cut off: it should have {stated} bytes and has {found}; copy it again")]
    Truncated {
        /// Bytes that the image says it has.
        stated: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The bytes changed since they were written.
    #[error(
        "the image is damaged: its CRC-32 is {computed:08x} and should be {stated:08x}; copy it again or export it anew"
    )]
    Checksum {
        /// The checksum in the image.
        stated: u32,
        /// The checksum of what was read.
        computed: u32,
    },
    /// The image does not start on a multiple of 16.
    #[error(
        "the image lies in memory at an address that is no multiple of 16: align the buffer or the flash slot to 16 bytes"
    )]
    Misaligned,
    /// A record of the header cannot be read although the checksum is right.
    #[error("record {tag:#04x} of the image's header cannot be read: export the model again")]
    Record {
        /// The record's tag; 0 where the records do not end where the header does.
        tag: u8,
    },
    /// A critical record that this engine does not know.
    #[error("the image needs something that this engine does not know (record {tag:#04x}): update Latch")]
    UnknownRecord {
        /// The record's tag.
        tag: u8,
    },
    /// The numbers of the header contradict each other.
    #[error("the image's header is inconsistent: {problem}; export the model again")]
    Shape {
        /// What is inconsistent.
        problem: &'static str,
    },
    /// A layer's numbers are out of range, or do not fit the layer before it.
    #[error("layer {layer} of the image is inconsistent: {problem}; export the model again")]
    Layer {
        /// The layer, from 0.
        layer: u8,
        /// What is inconsistent.
        problem: &'static str,
    },
    /// The sections do not fill the image as the header says.
    #[error("the image's sections do not have the sizes that its header gives; export the model again")]
    Sections,
    /// The vocabulary cannot be read.
    #[error("the vocabulary is not well formed: {problem}; export the model again")]
    Vocabulary {
        /// What is wrong.
        problem: &'static str,
    },
    /// The numbers that scale a channel of samples are out of range.
    #[error("the scaling of channel {channel} is out of range; export the model again")]
    Scaling {
        /// The channel, from 0.
        channel: u16,
    },
    /// A row of integer weights whose sum does not fit 32 bits.
    #[error(
        "layer {layer}, row {row}: the sum of its weights could overflow 32 bits; export the model again with smaller weights"
    )]
    Overflow {
        /// The layer, from 0.
        layer: u8,
        /// The row of its weights.
        row: u32,
    },
    /// A row of float weights that are so large that a sum could become an infinity.
    #[error("layer {layer}, row {row}: its weights are too large for f32 sums; train again with a lower learning rate")]
    TooLarge {
        /// The layer, from 0.
        layer: u8,
        /// The row of its weights.
        row: u32,
    },
    /// A weight that is an infinity or no number.
    #[error("tensor {role:?} of layer {layer} holds an infinity or a NaN; train again with a lower learning rate")]
    NotFinite {
        /// Which tensor.
        role: Role,
        /// The layer, from 0.
        layer: u8,
    },
    /// The image needs a feature that was left out of this build of the engine.
    #[error(
        "the image needs the feature `{feature}`, which this engine was built without: add it to the features of latch-engine"
    )]
    Feature {
        /// The feature of the crate.
        feature: Feature,
    },
    /// The half byte behind a row of an odd number of four-bit features holds something.
    #[error("row {row} of the embedding is padded with something other than zero; export the model again")]
    RowPadding {
        /// The row.
        row: u32,
    },
    /// An index of ids does not count them.
    #[error("the tensor {role:?} does not count as many ids as there are; export the model again")]
    Index {
        /// Which index.
        role: Role,
    },
    /// A projected row whose sum with the hidden state's weights does not fit 32 bits.
    #[error(
        "the projected row of id {id}, row {row} of layer 0: its sum with the recurrent weights could overflow 32 bits; export the model again"
    )]
    ProjectionOverflow {
        /// The id.
        id: u32,
        /// The row of the layer's weights.
        row: u32,
    },
    /// A state that is too small for the model.
    #[error(
        "a stream of this model needs {needed} bytes of state and the buffer has {given}: make it `State<{needed}>`"
    )]
    StateTooSmall {
        /// Bytes that [`crate::model::Model::state_bytes`] gives.
        needed: usize,
        /// Bytes of the buffer.
        given: usize,
    },
    /// Memory for a state that does not start on a multiple of 4.
    #[error(
        "the memory for a stream's state lies at an address that is no multiple of 4: take a `State<N>`, or align the buffer"
    )]
    StateMisaligned,
    /// Memory for packed weights that is too small.
    #[error(
        "the packed weights of this model need {needed} bytes of memory and {given} were given: give as many as `Model::packed_bytes` says"
    )]
    PackedTooSmall {
        /// Bytes that `Model::packed_bytes` gives.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// A saved state of another model.
    #[error(
        "the saved state belongs to the image with CRC-32 {found:08x} and this one has {expected:08x}: resume it with the image it was made with"
    )]
    StateOfAnotherModel {
        /// The open model's checksum.
        expected: u32,
        /// The checksum in the state.
        found: u32,
    },
    /// Samples for a model that reads something else.
    #[error("this model reads no samples: push text or ids, or take a model whose input is `samples`")]
    NoSamples,
    /// Samples that are no whole frames.
    #[error("{samples} samples are no whole frames of {channels} channels: push a multiple of {channels}")]
    RaggedFrames {
        /// Samples that were given.
        samples: usize,
        /// Values of a frame.
        channels: u16,
    },
    /// A sample that is an infinity or no number.
    #[error("sample {index} is an infinity or no number: leave out its frame, or put the value before in its place")]
    SampleNotFinite {
        /// Its place among those that were pushed, from 0.
        index: usize,
    },
    /// A saved state that was changed or cut.
    #[error("the saved state is damaged: take an earlier one, or reset the stream")]
    StateDamaged,
}

impl Error {
    /// Why an image cannot be included in a program, in words that a compiler can print.
    pub const fn reason(&self) -> &'static str {
        match self {
            Error::NotAnImage => "not a Latch image: give a file that `latch export` wrote",
            Error::OlderVersion { .. } => "the image has an older format than version 8: export the model again",
            Error::NewerVersion { .. } => "the image has a newer format than version 8: update Latch",
            Error::HeaderTruncated { .. } | Error::Truncated { .. } => "the image is cut off: copy it again",
            Error::Checksum { .. } => "the image is damaged, its CRC-32 is wrong: copy it again or export it anew",
            Error::Record { .. } => "a record of the image's header cannot be read: export the model again",
            Error::UnknownRecord { .. } => "the image needs something that this engine does not know: update Latch",
            Error::Shape { problem } | Error::Layer { problem, .. } if !problem.is_empty() => problem,
            Error::Sections => {
                "the image's sections do not have the sizes that its header gives: export the model again"
            }
            Error::Feature { feature } => feature.name(),
            _ => "the image is inconsistent: export the model again",
        }
    }
}
