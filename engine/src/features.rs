//! What this build of the engine can do, as constants.
//!
//! Code of a capability stands behind one of these constants, so that a build without it links nothing of it, and every build compiles all of
//! the engine. An image that needs more names the feature: [`crate::Error::Feature`].

/// The f32 and f16 paths. Without it the engine runs integer images only, and links no floating point.
pub const FLOAT: bool = cfg!(feature = "float");
/// UTF-8 text as the input: tokenizer and vocabulary.
pub const TEXT: bool = cfg!(feature = "text");
/// LSTM layers.
pub const LSTM: bool = cfg!(feature = "lstm");
/// GRU layers.
pub const GRU: bool = cfg!(feature = "gru");
/// Simple recurrent layers.
pub const RNN: bool = cfg!(feature = "rnn");
/// Pooling over all steps: mean and max. The last step needs no feature.
pub const POOLING: bool = cfg!(feature = "pooling");
/// Pooling by attention.
pub const ATTENTION: bool = cfg!(feature = "attention");
/// Dense layers with an activation, and several in a row. The dense layer that answers needs no feature.
pub const DENSE: bool = cfg!(feature = "dense");
/// Four bits a weight.
pub const INT4: bool = cfg!(feature = "int4");
/// An embedding with other rows for rare ids: two tiers, and rows that unknown words share by their hash.
pub const TIERS: bool = cfg!(feature = "tiers");
/// A precomputed input projection of frequent ids.
pub const PROJECTION: bool = cfg!(feature = "projection");
/// Hangul syllables as tokens.
pub const SYLLABLES: bool = cfg!(feature = "syllables");
/// N-grams beside the network.
pub const NGRAMS: bool = cfg!(feature = "ngrams");
/// Chains of up to 16 layers in place of 4.
pub const DEEP: bool = cfg!(feature = "deep");
/// Problems in words inside the errors: about a kilobyte of flash.
pub const MESSAGES: bool = cfg!(feature = "messages");

/// The names of all features that an image may need, as [`crate::Error::Feature`] gives them.
pub const NAMES: [&str; 14] = [
    "float",
    "text",
    "lstm",
    "gru",
    "rnn",
    "dense",
    "pooling",
    "attention",
    "int4",
    "tiers",
    "projection",
    "syllables",
    "ngrams",
    "deep",
];
