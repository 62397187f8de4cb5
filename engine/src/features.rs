//! What this build of the engine can do, as constants.
//!
//! Code of a capability stands behind one of these constants, so that a build without it links nothing of it, and every build compiles all of
//! the engine. An image that needs more names the feature: [`crate::Error::Feature`].
//!
//! Two features concern the firmware and no image: `messages`, and `defmt`, with which [`crate::Error`] and every other public enum is `defmt::Format`.

/// The f32 and f16 paths. Without it the engine runs integer images only, and links no floating point.
pub const FLOAT: bool = cfg!(feature = "float");
/// UTF-8 text as the input: tokenizer and vocabulary.
pub const TEXT: bool = cfg!(feature = "text");
/// Samples of sensors as the input.
pub const SAMPLES: bool = cfg!(feature = "samples");
/// Samples that go around the network to the outputs.
pub const SKIP: bool = cfg!(feature = "skip");
/// A start state in the image, so that a stream begins warm.
pub const START: bool = cfg!(feature = "start");
/// LSTM layers.
pub const LSTM: bool = cfg!(feature = "lstm");
/// GRU layers.
pub const GRU: bool = cfg!(feature = "gru");
/// Simple recurrent layers.
pub const RNN: bool = cfg!(feature = "rnn");
/// Convolutions over time, and largest values over time.
pub const CONV1D: bool = cfg!(feature = "conv1d");
/// Layers that answer when their window is full: valid convolutions, and largest values over steps.
pub const WINDOWS: bool = cfg!(feature = "windows");
/// Two recurrent layers over a whole sequence, one of them from its end.
pub const BIDIRECTIONAL: bool = cfg!(feature = "bidirectional");
/// Variants of recurrent cells, which run in floats alone.
pub const VARIANT: bool = cfg!(all(feature = "variant", feature = "float"));
/// Layer normalization, which runs in floats alone.
pub const LAYERNORM: bool = cfg!(all(feature = "layernorm", feature = "float"));
/// Pooling over all steps: mean and max. The last step needs no feature.
pub const POOLING: bool = cfg!(feature = "pooling");
/// Pooling by attention.
pub const ATTENTION: bool = cfg!(feature = "attention");
/// Dense layers with an activation, and several in a row. The dense layer that answers needs no feature.
pub const DENSE: bool = cfg!(feature = "dense");
/// Four bits a weight.
pub const INT4: bool = cfg!(feature = "int4");
/// 16 bits a weight, and between the layers: the precision for signals.
pub const INT16: bool = cfg!(feature = "int16");
/// An embedding with other rows for rare ids: two tiers, and rows that unknown words share by their hash.
pub const TIERS: bool = cfg!(feature = "tiers");
/// A precomputed input projection of frequent ids.
pub const PROJECTION: bool = cfg!(feature = "projection");
/// Characters as tokens.
pub const CHARS: bool = cfg!(feature = "chars");
/// N-grams beside the network.
pub const NGRAMS: bool = cfg!(feature = "ngrams");
/// Chains of up to 16 layers in place of 4.
pub const DEEP: bool = cfg!(feature = "deep");
/// Problems in words inside the errors: about a kilobyte of flash.
pub const MESSAGES: bool = cfg!(feature = "messages");

/// A part of a model that only some images have, in a build whose feature is there; without the feature (`HERE` is 0) it takes no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<T, const HERE: usize>([Option<T>; HERE]);

impl<T, const HERE: usize> Part<T, HERE> {
    /// Not in the image.
    pub(crate) const NONE: Self = Part([const { None }; HERE]);

    /// In the image.
    pub(crate) const fn of(part: T) -> Self
    where
        T: Copy,
    {
        Part([Some(part); HERE])
    }

    /// The part itself, if the image has it.
    #[inline(always)]
    pub(crate) const fn copied(&self) -> Option<T>
    where
        T: Copy,
    {
        match self.0.first() {
            Some(part) => *part,
            None => None,
        }
    }

    /// In the image; dropped where the feature is missing.
    pub(crate) fn put(&mut self, part: T) {
        if let Some(place) = self.0.first_mut() {
            *place = Some(part);
        }
    }

    /// The part, if the image has it.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.first()?.as_ref()
    }
}

impl<T, const HERE: usize> Default for Part<T, HERE> {
    fn default() -> Self {
        Self::NONE
    }
}

/// A build with a feature, or without it, as a type: [`Proof`] makes a value of it that only a build with the feature has.
#[derive(Clone, Copy, Debug)]
pub struct Built<const HAS: bool>;

/// What shows that a build has a feature. A variant of an enum with such a field cannot be there without the feature, and the compiler leaves out what is done with it.
pub trait Proof {
    /// [`Has`], or [`HasNot`].
    type Of;
    /// The value, where there is one.
    const OF: Option<Self::Of>;
}

/// The build has the feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Has;

/// The build has it not: there is no value of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum HasNot {}

impl Proof for Built<true> {
    type Of = Has;
    const OF: Option<Has> = Some(Has);
}

impl Proof for Built<false> {
    type Of = HasNot;
    const OF: Option<HasNot> = None;
}

/// Shows that the build has [`BIDIRECTIONAL`].
pub type HasBidirectional = <Built<BIDIRECTIONAL> as Proof>::Of;
/// Shows that the build has [`WINDOWS`].
pub type HasWindows = <Built<WINDOWS> as Proof>::Of;
/// Shows that the build has [`VARIANT`].
pub type HasVariant = <Built<VARIANT> as Proof>::Of;
/// Shows that the build has [`LAYERNORM`].
pub type HasLayerNorm = <Built<LAYERNORM> as Proof>::Of;

/// A feature of this crate that an image may need; [`crate::Error::Feature`] says which one is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
#[repr(u8)]
#[allow(missing_docs, reason = "the constants above say what each is")]
pub enum Feature {
    Float,
    Text,
    Samples,
    Skip,
    Lstm,
    Gru,
    Rnn,
    Conv1d,
    Dense,
    Pooling,
    Attention,
    Int4,
    Int16,
    Tiers,
    Projection,
    Chars,
    Ngrams,
    Deep,
    Start,
    Bidirectional,
    Variant,
    LayerNorm,
    Windows,
}

impl Feature {
    /// All of them, in the order of their numbers, which a firmware says over its link: new ones come at the end.
    pub const ALL: [Self; 23] = [
        Feature::Float,
        Feature::Text,
        Feature::Samples,
        Feature::Skip,
        Feature::Lstm,
        Feature::Gru,
        Feature::Rnn,
        Feature::Conv1d,
        Feature::Dense,
        Feature::Pooling,
        Feature::Attention,
        Feature::Int4,
        Feature::Int16,
        Feature::Tiers,
        Feature::Projection,
        Feature::Chars,
        Feature::Ngrams,
        Feature::Deep,
        Feature::Start,
        Feature::Bidirectional,
        Feature::Variant,
        Feature::LayerNorm,
        Feature::Windows,
    ];

    /// As Cargo.toml has it.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::Float => "float",
            Feature::Text => "text",
            Feature::Samples => "samples",
            Feature::Skip => "skip",
            Feature::Lstm => "lstm",
            Feature::Gru => "gru",
            Feature::Rnn => "rnn",
            Feature::Conv1d => "conv1d",
            Feature::Dense => "dense",
            Feature::Pooling => "pooling",
            Feature::Attention => "attention",
            Feature::Int4 => "int4",
            Feature::Int16 => "int16",
            Feature::Tiers => "tiers",
            Feature::Projection => "projection",
            Feature::Chars => "chars",
            Feature::Ngrams => "ngrams",
            Feature::Deep => "deep",
            Feature::Start => "start",
            Feature::Bidirectional => "bidirectional",
            Feature::Variant => "variant",
            Feature::LayerNorm => "layernorm",
            Feature::Windows => "windows",
        }
    }
}

impl core::fmt::Display for Feature {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.name())
    }
}
