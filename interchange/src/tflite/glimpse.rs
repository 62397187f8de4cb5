//! What is inside a model of TensorFlow Lite that is refused.

use super::schema::{Graph, Model, kind_name};

/// Operators and tensors that are told of: more than anybody reads.
const MOST_FOUND: usize = 300;

/// Numbers of tensors of an operator that are told.
const MOST_TENSORS: usize = 64;

/// The operators and the tensors of the graph that is called, in their order; `None` where the file is damaged.
pub(crate) fn glimpse(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let model = Model::of(bytes)?;
    let graph = model.graph(0)?;
    let mut found = Vec::new();
    for number in 0..graph.operators.len().min(MOST_FOUND) {
        let operator = graph.operator(number)?;
        let code = model.code(operator.code)?;
        let kind = if code.name == "CUSTOM" { code.custom().into_owned() } else { code.name.to_owned() };
        let names = |tensors: super::table::Vector<'_, 4>| -> Vec<String> {
            let of = |place| tensors.i32(place).map(|index| named(&graph, index));
            (0..tensors.len().min(MOST_TENSORS)).filter_map(of).filter(|name| !name.is_empty()).collect()
        };
        let (inputs, outputs) = (names(operator.inputs).join(", "), names(operator.outputs).join(", "));
        found.push((format!("node {number}"), format!("{kind}: {inputs} -> {outputs}")));
    }
    for number in 0..graph.tensors.len().min(MOST_FOUND) {
        let tensor = graph.tensor(number)?;
        let shape: Vec<i32> = (0..tensor.shape.len().min(9)).filter_map(|place| tensor.shape.i32(place)).collect();
        found.push((format!("tensor {}", tensor.name()), format!("{} {shape:?}", kind_name(tensor.kind))));
    }
    Some(found)
}

/// The name of a tensor; nothing of one that is left out.
fn named(graph: &Graph<'_>, index: i32) -> String {
    let tensor = usize::try_from(index).ok().and_then(|index| graph.tensor(index));
    tensor.map_or_else(String::new, |tensor| tensor.name().into_owned())
}
