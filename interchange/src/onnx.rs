//! Models of ONNX, without its runtime.
//!
//! ```text
//! bytes ──weigh──> what the messages take ──proto──> graph ──graph──> the operators between input and output
//!                  tensors ──tensor──> constants, views of them ──────────┴──layers──> Described
//! ```
//!
//! The graph is followed from its input to its output: every name stands for a constant, for sizes, or for data that a chain of operators has made of the
//! input. An operator is read where it continues this chain. The standard is <https://onnx.ai/onnx/operators/>; what each of them says is held in its module.

mod activations;
pub(crate) mod chain;
mod constants;
mod dense;
mod glimpse;
pub(crate) mod graph;
pub(crate) mod layers;
pub(crate) mod metadata;
pub(crate) mod node;
mod norms;
pub(crate) mod proto;
mod recurrent;
mod reshape;
pub(crate) mod shapes;
mod spelled;
pub(crate) mod tensor;
pub(crate) mod value;
pub(crate) mod weigh;
mod windows;

use prost::Message;
use prost::bytes::Bytes;

pub(crate) use glimpse::glimpse;
use node::Context;

use crate::Error;
use crate::budget::Budget;
use crate::described::{Described, Format, Limits, Source};

/// What may be taken in memory beside a file and the copy that is decoded, in sizes of the file: weights of 8 bits become floats.
const TIMES: usize = 4;

/// Bytes that every file may take, however small it is: those of nodes and names.
const FREE: usize = 3 << 18;

/// Whether a file is a model of ONNX: a message of Protocol Buffers that begins with its version (field 1), behind which a field of a model stands.
pub fn is(bytes: &[u8]) -> bool {
    let &[0x08, 1..=127, next, ..] = bytes else { return false };
    let is_field = matches!(next, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72 | 0xa2 | 0xca);
    // A header of safetensors begins with its length, and then a brace.
    let length = bytes.first_chunk().map_or(u64::MAX, |&length| u64::from_le_bytes(length));
    let is_safetensors = bytes.get(8) == Some(&b'{') && length <= bytes.len() as u64;
    is_field && !is_safetensors
}

/// What a file may take.
fn budget_of(bytes: &[u8]) -> Budget {
    Budget::of(bytes.len(), (TIMES, FREE), "export the model with each of its weights once, in floats")
}

/// Reads a model of ONNX; `place` is the file, and `until` the name of the value that is its answer, where that is not its output.
///
/// # Errors
/// Names the place and the node or the tensor: where the file is damaged; where the graph is no chain of layers that a description has; where a tensor has
/// another shape than its node declares, or a value is not finite; where the model is beyond the limits.
pub fn read(bytes: &[u8], place: &str, until: Option<&str>, limits: &Limits) -> Result<Described, Error> {
    let budget = budget_of(bytes);
    weigh::weigh(bytes, place, &budget)?;
    let model = proto::Model::decode(Bytes::copy_from_slice(bytes)).map_err(|fault| {
        let problem = format!("this ONNX model is damaged: {}", fault.to_string().escape_debug());
        Error::new(place, problem, weigh::COPY_AGAIN)
    })?;
    let Some(graph) = &model.graph else {
        return Err(Error::new(place, "this ONNX model has no graph", weigh::COPY_AGAIN));
    };
    if model.opset_import.is_empty() {
        let problem = "this ONNX model does not say the version of its operators";
        return Err(Error::new(place, problem, weigh::COPY_AGAIN));
    }
    let of_onnx = |set: &&proto::OperatorSet| matches!(set.domain.as_str(), "" | "ai.onnx");
    let opset = model.opset_import.iter().find(of_onnx).map_or(1, |set| set.version);
    let context = Context { place, budget: &budget, opset };
    let flow = graph::follow(graph, until, &context)?;
    let mut source = Source::of(Format::Onnx);
    let version = [model.producer_name.as_str(), model.producer_version.as_str()].join(" ");
    source.version = Some(version.trim().to_owned()).filter(|version| !version.is_empty());
    let mut described = layers::described(&flow, source, &context)?;
    // A value within the graph has another meaning than the answer.
    if let Some(answer) = metadata::answer(&model, place)?.filter(|_| until.is_none()) {
        described.answer = answer;
    }
    described.check(place, limits)?;
    Ok(described)
}
