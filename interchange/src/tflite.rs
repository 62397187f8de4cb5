//! Models of TensorFlow Lite, without its interpreter.
//!
//! ```text
//! bytes ──table──> tables in place ──schema──> tensors and operators ──graph──> the operators between input and output
//!                                   operators, recurrent: each as operators of ONNX over a flow ──> onnx::layers ──> Described
//! ```
//!
//! The operators are followed as those of ONNX are, by the same code: [`crate::onnx`] knows what becomes of axes, and here stands what TensorFlow Lite calls
//! each and how it orders weights. Integers are read as what they are worth, scale·(q - zero); the arithmetic of the description is in real numbers.

mod call;
mod glimpse;
mod graph;
mod operators;
mod recurrent;
mod schema;
mod table;
mod words;

use prost::bytes::Bytes;

pub(crate) use glimpse::glimpse;
use graph::Follower;
use schema::Model;
use words::{AGAIN, COPY_AGAIN, damaged};

use crate::Error;
use crate::budget::Budget;
use crate::described::{Described, Format, Kind, Limits, Recurrent, Source};
use crate::onnx::layers;
use crate::onnx::node::{Context, EXPORT_AGAIN};
use crate::onnx::weigh;
use crate::remark::REMARK;

/// What may be taken in memory beside a file and its copy, in sizes of the file: weights of 8 bits become floats.
const TIMES: usize = 4;

/// Bytes that every file may take, however small it is.
const FREE: usize = 3 << 18;

/// Activations whose scales are named.
const MOST_SCALES: usize = 16;

/// Whether a file is a model of TensorFlow Lite, by its identifier.
pub fn is(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"TFL3")
}

/// What a file may take.
fn budget_of(bytes: &[u8]) -> Budget {
    Budget::of(bytes.len(), (TIMES, FREE), "convert the model with each of its weights once")
}

/// Reads a model of TensorFlow Lite; `place` is the file, and `until` the name of the tensor that is its answer, where that is not its output.
///
/// # Errors
/// Names the place and the node or the tensor: where the file is damaged; where the graph is no chain of layers that a description has; where a tensor has
/// another shape than its operator declares, or a value is not finite; where the model is beyond the limits.
pub fn read(bytes: &[u8], place: &str, until: Option<&str>, limits: &Limits) -> Result<Described, Error> {
    in_its_words(described(bytes, place, until, limits))
}

fn described(bytes: &[u8], place: &str, until: Option<&str>, limits: &Limits) -> Result<Described, Error> {
    let budget = budget_of(bytes);
    let model = Model::of(bytes).ok_or_else(|| damaged(place, "its root"))?;
    if model.graphs.len() == 0 {
        return Err(Error::new(place, "this TensorFlow Lite model has no graph", COPY_AGAIN));
    }
    let copied = Bytes::copy_from_slice(bytes);
    // Operators here have the meaning of this version of ONNX.
    let context = Context { place, budget: &budget, opset: 18 };
    let mut follower = Follower::of(model, &copied, &context)?;
    let flow = follower.follow(until)?;
    let mut source = Source::of(Format::Tflite);
    source.version = Some(model.description().trim().to_owned()).filter(|version| !version.is_empty());
    let scales = follower.activation_scales(MOST_SCALES);
    if !scales.is_empty() {
        let remark = format!(
            "its activations are integers, which are read as the numbers they stand for, at the scales {}",
            scales.join(", ")
        );
        source.notes.push((REMARK.to_owned(), remark));
    }
    drop(follower);
    let mut described = layers::described(&flow, source, &context)?;
    described.check(place, limits)?;
    let clips: Vec<String> = described.layers.iter().filter_map(|layer| clipped(&layer.name, &layer.kind)).collect();
    described.source.notes.extend(clips.into_iter().map(|remark| (REMARK.to_owned(), remark)));
    Ok(described)
}

/// What a layer whose cell is held does elsewhere, in words.
fn clipped(name: &str, kind: &Kind) -> Option<String> {
    let clip = |layer: &Recurrent| layer.cell_clip;
    let limit = match kind {
        Kind::Recurrent(layer) => clip(layer),
        Kind::Bidirectional(both) => clip(&both.forward),
        _ => None,
    }?;
    Some(format!(
        "TensorFlow Lite holds the cells of layer {name:?} to [-{limit}, {limit}], and an image does not: answers differ behind a cell that passes {limit}"
    ))
}

/// What ONNX says of its own tools is none of this format.
fn in_its_words(read: Result<Described, Error>) -> Result<Described, Error> {
    read.map_err(|error| match error.remedy.as_str() {
        EXPORT_AGAIN => Error { remedy: AGAIN.to_owned(), ..error },
        weigh::COPY_AGAIN => Error { remedy: COPY_AGAIN.to_owned(), ..error },
        _ => error,
    })
}
