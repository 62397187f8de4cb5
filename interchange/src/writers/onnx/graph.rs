//! A graph of operators while it is built: nodes in their order, and the constants that they read.

use std::collections::BTreeSet;

use prost::bytes::Bytes;

use crate::onnx::proto::{Attribute, Dimension, Node, Shape, Tensor, TensorType, Type, ValueInfo};

/// `TensorProto.DataType`.
pub(super) const FLOAT: i32 = 1;
/// `TensorProto.DataType`.
pub(super) const INT64: i32 = 7;

/// A graph that grows node by node.
#[derive(Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) constants: Vec<Tensor>,
    names: BTreeSet<String>,
}

impl Graph {
    /// A name that nothing has yet: `wanted`, or that and a number.
    fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }

    /// Keeps a name for an input or an output of the graph.
    pub(super) fn keep(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// A constant of floats; gives its name.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, FLOAT, raw)
    }

    /// A constant of whole numbers, or one number without an axis.
    pub(super) fn ints(&mut self, name: &str, values: &[i64], is_scalar: bool) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = [values.len()];
        self.constant(name, if is_scalar { &[] } else { &shape }, INT64, raw)
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: i32, raw: Vec<u8>) -> String {
        let name = self.fresh(name);
        self.constants.push(Tensor {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type,
            name: name.clone(),
            raw_data: Some(Bytes::from(raw)),
            ..Tensor::default()
        });
        name
    }

    /// An operator over these values, in the layer of this name; gives the name of its output. An empty input is a slot that is not used.
    pub(super) fn node(&mut self, layer: &str, operator: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let output = self.fresh(&format!("{layer}/{operator}"));
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: operator.to_owned(),
            attribute: attributes,
            domain: String::new(),
        });
        output
    }

    /// Gives the last node one more output, and its name.
    pub(super) fn more_output(&mut self, name: &str) -> String {
        let name = self.fresh(name);
        if let Some(node) = self.nodes.last_mut() {
            node.output.push(name.clone());
        }
        name
    }

    /// A value under the name of an output of the graph.
    pub(super) fn give(&mut self, value: &str, name: &str) {
        self.nodes.push(Node {
            input: vec![value.to_owned()],
            output: vec![name.to_owned()],
            name: format!("{name}/Identity"),
            op_type: "Identity".into(),
            ..Node::default()
        });
    }
}

/// An attribute; its kind is the place of its field in `AttributeProto.AttributeType`.
fn attribute(name: &str, kind: i32) -> Attribute {
    Attribute { name: name.to_owned(), kind, ..Attribute::default() }
}

/// A float of a node.
pub(super) fn float(name: &str, value: f32) -> Attribute {
    Attribute { f: Some(value), ..attribute(name, 1) }
}

/// A whole number of a node.
pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, 2) }
}

/// A text of a node.
pub(super) fn text(name: &str, value: &'static str) -> Attribute {
    Attribute { s: Some(Bytes::from_static(value.as_bytes())), ..attribute(name, 3) }
}

/// Floats of a node.
pub(super) fn floats(name: &str, values: Vec<f32>) -> Attribute {
    Attribute { floats: values, ..attribute(name, 6) }
}

/// Whole numbers of a node.
pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { ints: values.to_vec(), ..attribute(name, 7) }
}

/// Texts of a node.
pub(super) fn texts(name: &str, values: &[&'static str]) -> Attribute {
    let strings = values.iter().map(|value| Bytes::from_static(value.as_bytes())).collect();
    Attribute { strings, ..attribute(name, 8) }
}

/// A size of an input or an output.
pub(super) enum Size {
    Fixed(usize),
    Named(&'static str),
}

/// An input or an output of a graph.
pub(super) fn value(name: &str, elem_type: i32, sizes: &[Size]) -> ValueInfo {
    let dimension = |size: &Size| match size {
        Size::Fixed(size) => Dimension { dim_value: Some(*size as i64), dim_param: None },
        Size::Named(name) => Dimension { dim_value: None, dim_param: Some((*name).to_owned()) },
    };
    let shape = Shape { dim: sizes.iter().map(dimension).collect() };
    let kind = Type { tensor: Some(TensorType { elem_type, shape: Some(shape) }) };
    ValueInfo { name: name.to_owned(), kind: Some(kind) }
}
