//! An operator of a graph while it is read: its options, what it reads, and the operators of ONNX that are run in its place.

use std::borrow::Cow;

use super::table::Table;
use super::words::{COPY_AGAIN, damaged};
use crate::Error;
use crate::onnx::graph::run;
use crate::onnx::node::{Context, Given, Node};
use crate::onnx::proto;
use crate::onnx::value::Value;

/// An operator of the graph with what it reads.
pub(crate) struct Call<'a> {
    pub(crate) context: &'a Context<'a>,
    /// The name of what it gives.
    pub(crate) name: String,
    /// The name of the operator.
    pub(crate) shown: Cow<'a, str>,
    pub(crate) inputs: Vec<Option<Value>>,
    pub(crate) options: Option<Table<'a>>,
    /// How many tensors it gives, and the type of the first.
    pub(crate) outputs: usize,
    pub(crate) kind: u8,
}

impl<'a> Call<'a> {
    /// The error of this operator.
    pub(crate) fn error(&self, problem: impl Into<String>, remedy: &str) -> Error {
        let at = format!("{}: node {} ({})", self.context.place, self.name.escape_debug(), self.shown.escape_debug());
        Error::new(at, problem, remedy)
    }

    /// This operator refused.
    pub(crate) fn refuse<T>(&self, problem: impl Into<String>, remedy: &str) -> Result<T, Error> {
        Err(self.error(problem, remedy))
    }

    /// What an option says, read by a function from the table of options; `otherwise` where there is no such table.
    pub(crate) fn option<T>(&self, otherwise: T, read: impl Fn(&Table<'a>) -> Option<T>) -> Result<T, Error> {
        match &self.options {
            None => Ok(otherwise),
            Some(table) => read(table).ok_or_else(|| {
                damaged(self.context.place, &format!("the options of node {}", self.name.escape_debug()))
            }),
        }
    }

    /// The message of an operator of ONNX with these attributes.
    pub(crate) fn message(&self, kind: &str, attribute: Vec<proto::Attribute>) -> proto::Node {
        let output = vec![String::new(); self.outputs];
        proto::Node { name: self.name.clone(), op_type: kind.to_owned(), output, attribute, ..proto::Node::default() }
    }

    /// A node of ONNX in the place of this operator.
    pub(crate) fn node<'n>(&'n self, of: &'n proto::Node, inputs: Vec<Option<Value>>) -> Node<'n> {
        Node { of, inputs, shown: Some(&self.shown), context: self.context }
    }

    /// What an operator of ONNX gives of these inputs.
    pub(crate) fn step(&self, kind: &str, inputs: Vec<Option<Value>>, attributes: Vec<proto::Attribute>) -> Given {
        let of = self.message(kind, attributes);
        run(&self.node(&of, inputs))
    }

    /// An input that must be there.
    pub(crate) fn needed(&self, number: usize) -> Result<Value, Error> {
        let value = self.inputs.get(number).cloned().flatten();
        value.ok_or_else(|| self.error(format!("its input {number} is missing"), COPY_AGAIN))
    }

    /// An input of integers that are known.
    pub(crate) fn ints(&self, number: usize) -> Result<Vec<i64>, Error> {
        let known = self.needed(number)?.ints().and_then(|ints| ints.values.into_iter().collect::<Option<Vec<_>>>());
        known.ok_or_else(|| {
            let problem = format!("its input {number} is computed, or has too many numbers");
            self.error(problem, "convert the model with fixed shapes")
        })
    }
}
