//! Models that other tools trained, as one neutral description, and the files that they write.
//!
//! ```text
//! bytes ──file──> tensors by name ──names──> Described: a chain of layers, their gates in one order, and what the metadata says
//! ```
//!
//! - [`described`] is the neutral form: a chain of layers from ids or samples to an answer, every matrix `outputs × inputs` and row-major; and the checks that
//!   hold one chain together, whatever file it came from.
//! - [`names`] says how PyTorch and Keras name, shape and order the tensors of a layer.
//! - [`file`] reads and writes safetensors in these layouts.
//! - `rtneural`, `guitarml` and `nam` read the JSON of audio models; `json` is what they have in common, `torch` the tensors of a `state_dict`.
//! - [`keras`] reads `.h5` and `.keras` files, [`onnx`] reads `.onnx`, [`tflite`] `.tflite`.
//! - [`mod@reference`] computes what a description computes, in the plainest arithmetic.
//! - [`writers`] are the way back: a file for ONNX Runtime, Keras, RTNeural and PyTorch from a description.
//! - [`open()`] reads a file of any of these; [`foreign`] says what a file is that is none, and [`glimpse()`] what is inside one
//!   that is refused.
//!
//! This crate knows neither engine nor trainer. What it reads may come from anywhere: sizes are held to the caller's [`Limits`], every value is
//! finite, and each refusal names the tensor or the entry of the metadata.

mod affine;
mod budget;
pub mod described;
pub mod file;
pub mod foreign;
mod glimpse;
mod guitarml;
mod json;
pub mod keras;
mod nam;
pub mod names;
pub mod onnx;
mod open;
mod pytorch;
pub mod reference;
pub mod remark;
mod rtneural;
pub mod tflite;
mod torch;
pub mod writers;

pub use described::{
    Activation, Answer, Bidirectional, Cell, Conv1d, Cutting, Dense, Described, Embedding, Format, Gain, Input, Kind,
    Layer, LayerNorm, Limits, Matrix, MaxPool, Merge, Normalization, Padding, Pooling, Probe, Recurrent, Samples, Skip,
    Source, Task, Text, Tokens, UNKNOWN_WORDS, Unknown, Vector,
};
pub use file::{is_plain, other_metadata, read, write};
pub use glimpse::{Glimpse, glimpse};
pub use names::Layout;
pub use open::{open, open_with};
pub use remark::remarks;

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}; {remedy}")]
pub struct Error {
    /// The file, and the tensor or the entry of the metadata.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Error {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }
}
