//! What the messages of a file take in memory, before any of them is decoded: an empty node has two bytes in the file and far more in memory.

use std::mem::size_of;

use super::proto;
use crate::Error;
use crate::budget::Budget;

/// How deep graphs may lie in one another: a node with an attribute with a graph, and so on.
const DEEPEST: usize = 12;

/// What to do with a file that cannot be decoded.
pub(crate) const COPY_AGAIN: &str = "copy or download it again, or save it again with onnx.save";

/// A list that grows keeps room for as much again, and its old place while it moves.
const GROWING: usize = 3;

/// What a field holds.
#[derive(Clone, Copy)]
enum Held {
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// A message, text or bytes without messages in it, with what one of a list takes.
    Leaf(usize),
    /// Numbers of 8 bytes, of which each byte of a packed field may be one.
    Numbers,
}

/// What lies in a field of a message; nothing in one that is skipped, or takes no more than the message itself.
fn field(held: Held, number: u64) -> Option<Held> {
    let text = Held::Leaf(size_of::<String>());
    let bytes = Held::Leaf(size_of::<prost::bytes::Bytes>());
    Some(match (held, number) {
        (Held::Graph, 1) => Held::Node,
        (Held::Graph, 5) | (Held::Attribute, 5) => Held::Tensor,
        (Held::Graph, 11 | 12) => Held::ValueInfo,
        (Held::Graph, 15) | (Held::Attribute, 9) | (Held::Tensor, 4 | 5 | 7 | 10) => bytes,
        (Held::Graph, 2)
        | (Held::Node, 1 | 2 | 3 | 4 | 7)
        | (Held::Attribute, 1 | 21)
        | (Held::Tensor, 8)
        | (Held::ValueInfo, 1) => text,
        (Held::Node, 5) => Held::Attribute,
        (Held::Attribute, 6) => Held::Graph,
        (Held::Attribute, 7 | 8) | (Held::Tensor, 1) => Held::Numbers,
        (Held::Tensor, 13) => Held::Leaf(size_of::<proto::Entry>()),
        (Held::ValueInfo, 2) => Held::Type,
        (Held::Type, 1) => Held::TensorType,
        (Held::TensorType, 2) => Held::Shape,
        (Held::Shape, 1) => Held::Leaf(size_of::<proto::Dimension>()),
        _ => return None,
    })
}

/// What one takes by itself.
fn cost(held: Held) -> usize {
    match held {
        Held::Graph => size_of::<proto::Graph>(),
        Held::Node => size_of::<proto::Node>(),
        Held::Attribute => size_of::<proto::Attribute>(),
        Held::Tensor => size_of::<proto::Tensor>(),
        Held::ValueInfo => size_of::<proto::ValueInfo>(),
        Held::Type | Held::TensorType | Held::Shape => 0,
        Held::Leaf(bytes) => bytes,
        Held::Numbers => size_of::<i64>(),
    }
}

/// A number of 7 bits a byte, the lowest first: `Some((number, bytes behind it))`.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place).min(63);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}

/// A field: its number, and what it holds where that has a length.
type Field<'a> = (u64, Option<&'a [u8]>);

/// The next field of a message, and the bytes behind it.
fn next(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let number = key >> 3;
    match key & 7 {
        0 => varint(rest).map(|(_, rest)| ((number, None), rest)),
        1 => rest.get(8..).map(|rest| ((number, None), rest)),
        5 => rest.get(4..).map(|rest| ((number, None), rest)),
        2 => {
            let (length, rest) = varint(rest)?;
            let (held, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some(((number, Some(held)), rest))
        }
        _ => None,
    }
}

/// Takes memory for messages.
fn take(place: &str, budget: &Budget, bytes: usize) -> Result<(), Error> {
    budget.take(place, bytes).map_err(|_| {
        let problem = format!("its nodes and names take more memory than a file of {} bytes may", budget.file());
        Error::new(place, problem, "export a model with fewer nodes, or copy it again where it is damaged")
    })
}

/// Takes the memory of a whole file's messages from the budget.
///
/// # Errors
/// Where the file is cut off or damaged, its graphs lie too deep, or its messages take too much.
pub(crate) fn weigh(model: &[u8], place: &str, budget: &Budget) -> Result<(), Error> {
    let mut rest = model;
    while !rest.is_empty() {
        let ((number, held), behind) = next(rest).ok_or_else(|| damaged(place, model.len() - rest.len()))?;
        match (number, held) {
            (7, Some(graph)) => message(Held::Graph, graph, place, budget, 0)?,
            (8, Some(_)) => take(place, budget, GROWING * size_of::<proto::OperatorSet>())?,
            (14, Some(entry)) => take(place, budget, GROWING * size_of::<proto::Entry>() + entry.len())?,
            (2 | 3, Some(text)) => take(place, budget, text.len())?,
            _ => {}
        }
        rest = behind;
    }
    Ok(())
}

fn damaged(place: &str, at: usize) -> Error {
    let problem = format!("this ONNX model is cut off or damaged at its byte {at}");
    Error::new(place, problem, COPY_AGAIN)
}

fn message(held: Held, bytes: &[u8], place: &str, budget: &Budget, depth: usize) -> Result<(), Error> {
    if depth > 4 * DEEPEST {
        return Err(Error::new(place, "its graphs lie too deep in one another", "export the model without If in If"));
    }
    take(place, budget, GROWING * cost(held))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let ((number, inner), behind) = next(rest).ok_or_else(|| {
            Error::new(place, "this ONNX model is damaged: a message in it is no whole one", COPY_AGAIN)
        })?;
        match (field(held, number), inner) {
            (Some(Held::Leaf(one)), Some(inner)) => take(place, budget, GROWING * one + text_of(held, number, inner))?,
            (Some(Held::Numbers), Some(inner)) => take(place, budget, GROWING * size_of::<i64>() * inner.len())?,
            (Some(Held::Numbers), None) => take(place, budget, GROWING * size_of::<i64>())?,
            (Some(child), Some(inner)) => message(child, inner, place, budget, depth + 1)?,
            _ => {}
        }
        rest = behind;
    }
    Ok(())
}

/// What a text takes beside its place; bytes are a part of the file.
fn text_of(held: Held, number: u64, inner: &[u8]) -> usize {
    let of_file = matches!((held, number), (Held::Graph, 15) | (Held::Attribute, 9) | (Held::Tensor, 4 | 5 | 7 | 10));
    if of_file { 0 } else { inner.len() }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::proto::{Attribute, Graph, Model, Node};
    use super::*;

    #[test]
    fn many_small_messages_are_refused_before_they_take_memory() {
        let graph = Graph { node: vec![Node::default(); 100_000], ..Graph::default() };
        let bytes = Model { graph: Some(graph), ..Model::default() }.encode_to_vec();
        let error =
            weigh(&bytes, "net", &Budget::of(bytes.len(), (4, 1 << 18), "save it again")).expect_err("too many");
        assert!(error.to_string().starts_with("net: its nodes and names take more memory than"), "{error}");
        let whole = Graph { node: vec![Node::default(); 10], ..Graph::default() };
        let bytes = Model { graph: Some(whole), ..Model::default() }.encode_to_vec();
        assert_eq!(weigh(&bytes, "net", &Budget::of(bytes.len(), (4, 1 << 18), "save it again")), Ok(()));
    }

    #[test]
    fn graphs_in_graphs_end_somewhere_and_a_piece_of_a_file_is_damaged() {
        let mut graph = Graph::default();
        for _ in 0..2 * DEEPEST {
            let attribute = Attribute { g: Some(Box::new(graph)), ..Attribute::default() };
            graph = Graph { node: vec![Node { attribute: vec![attribute], ..Node::default() }], ..Graph::default() };
        }
        let bytes = Model { graph: Some(graph), ..Model::default() }.encode_to_vec();
        let budget = || Budget::of(1 << 20, (4, 0), "save it again");
        let error = weigh(&bytes, "net", &budget()).expect_err("too deep").to_string();
        assert!(error.starts_with("net: its graphs lie too deep"), "{error}");
        let error = weigh(&bytes[..bytes.len() - 1], "net", &budget()).expect_err("cut off").to_string();
        assert!(error.starts_with("net: this ONNX model is cut off or damaged"), "{error}");
    }
}
