//! What is inside a model of ONNX that is refused.

use prost::Message;
use prost::bytes::Bytes;

use super::{budget_of, proto, weigh};

/// Nodes and tensors that are told of: more than anybody reads.
const MOST_FOUND: usize = 1_000;

/// The operators and the tensors of a graph, in their order; `None` where the file is damaged.
pub(crate) fn glimpse(bytes: &[u8], place: &str) -> Option<Vec<(String, String)>> {
    weigh::weigh(bytes, place, &budget_of(bytes)).ok()?;
    let model = proto::Model::decode(Bytes::copy_from_slice(bytes)).ok()?;
    let graph = model.graph?;
    let tensors =
        graph.initializer.iter().map(|tensor| (format!("tensor {}", tensor.name), format!("{:?}", tensor.dims)));
    let nodes = graph.node.iter().enumerate().map(|(number, node)| {
        let name = if node.name.is_empty() { number.to_string() } else { node.name.clone() };
        (format!("node {name}"), format!("{}: {} -> {}", node.op_type, node.input.join(", "), node.output.join(", ")))
    });
    Some(nodes.chain(tensors).take(MOST_FOUND).collect())
}
