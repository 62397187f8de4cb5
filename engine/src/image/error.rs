//! What can be wrong with an image, a state or a buffer: one variant a failure, each with a sentence and a remedy.

use super::tensor::Role;

/// A sentence that only a person reads: nothing, where the engine was built without the feature `messages`.
macro_rules! problem {
    ($sentence:literal) => {
        if cfg!(feature = "messages") { $sentence } else { "" }
    };
}
pub(crate) use problem;

/// Everything that opening can refuse. After opening there are no errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as an image does.
    #[error("this is no Latch image: it does not begin with the letters LTCH; give a file that `latch export` wrote")]
    NotAnImage,
    /// A later version of the format.
    #[error(
        "the image has format version {found} and this engine reads up to {supported}: update Latch, or export the model again with this version"
    )]
    NewerVersion {
        /// The image's version.
        found: u16,
        /// The newest version that this engine reads.
        supported: u16,
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
    /// The manifest cannot be read although the checksum is right.
    #[error(
        "the image's manifest describes something that this engine does not know (another kind of model, layer or precision): update Latch"
    )]
    Manifest,
    /// The manifest's numbers contradict each other.
    #[error("the image's manifest is inconsistent: {problem}; export the model again")]
    Shape {
        /// What is inconsistent.
        problem: &'static str,
    },
    /// The sections do not fill the image as the manifest says.
    #[error("the image's sections do not have the sizes that its manifest gives; export the model again")]
    Sections,
    /// The vocabulary cannot be read.
    #[error("the vocabulary is not well formed: {problem}; export the model again")]
    Vocabulary {
        /// What is wrong.
        problem: &'static str,
    },
    /// A row of weights whose sum does not fit 32 bits.
    #[error(
        "layer {layer}, row {row} of the gates: the sum of its weights could overflow 32 bits; export the model again with smaller weights"
    )]
    Overflow {
        /// The layer, from 0.
        layer: u8,
        /// The row: unit times 4 plus gate (i, f, g, o).
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
    /// The image's precision was compiled out of this engine.
    #[error(
        "the image needs floating point and this engine was built for integers only: export it with --precision int8, or build with the feature `float`"
    )]
    PrecisionUnavailable,
    /// The image has a folded embedding, which was compiled out of this engine.
    #[error(
        "the image has a folded embedding and this engine was built without them: export it without --fold-to, or build with the feature `fold`"
    )]
    FoldingUnavailable,
    /// The image has something of version 4 or a later one, which this engine was built without.
    #[error(
        "the image needs what format versions 4 to 6 added (four-bit weights, n-grams, syllables, early answers, other outputs, tiers or attention), and this engine was built without it: build it with the feature `extended`"
    )]
    ExtensionUnavailable,
    /// The half byte behind a row of an odd number of four-bit features holds something.
    #[error("row {row} of the embedding is padded with something other than zero; export the model again")]
    RowPadding {
        /// The row.
        row: u32,
    },
    /// The index of the ids with a whole row does not count them.
    #[error("the index of the embedding's whole rows does not count as many as there are; export the model again")]
    TierIndex,
    /// The index of the folded ids does not count them.
    #[error("the index of the folded ids does not count as many as there are; export the model again")]
    FoldedIndex,
    /// A ready row whose sum with the hidden state's weights does not fit 32 bits.
    #[error(
        "the folded row of id {id}, row {row} of the gates: its sum with the recurrent weights could overflow 32 bits; export the model again"
    )]
    FoldedOverflow {
        /// The id.
        id: u32,
        /// The row: unit times 4 plus gate (i, f, g, o).
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
        /// Bytes that [`crate::model::Model::packed_bytes`] gives.
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
    /// A saved state that was changed or cut.
    #[error("the saved state is damaged: take an earlier one, or reset the stream")]
    StateDamaged,
}
