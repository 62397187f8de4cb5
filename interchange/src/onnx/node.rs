//! A node with what it reads: its attributes, its inputs, and the words of its errors.

use super::proto;
use super::tensor::Const;
use super::value::{Axis, Flow, Ints, Role, Value};
use crate::Error;
use crate::budget::Budget;

/// What to do with a model whose tensors do not fit.
pub(crate) const EXPORT_AGAIN: &str = "export the model again, and check it with onnx.checker";

/// What to do with what no chain of layers has.
pub(crate) const OTHERWISE: &str =
    "export the part that is one chain of layers; docs/frameworks.md has the operators that are read";

/// What to do with a part of an input, which may be one of several steps that are spelled out one behind the other.
const PART: &str = "export the model with an input of its own for it; of steps that are spelled out one behind the other, export one with its states as \
                    inputs and outputs, or an LSTM, a GRU or an RNN";

/// What all nodes of a model share.
pub(crate) struct Context<'a> {
    /// The file.
    pub(crate) place: &'a str,
    pub(crate) budget: &'a Budget,
    /// The version of the operators of the domain `ai.onnx`.
    pub(crate) opset: i64,
}

/// A node, and what its inputs stand for; nothing for those that are left out.
pub(crate) struct Node<'a> {
    pub(crate) of: &'a proto::Node,
    pub(crate) inputs: Vec<Option<Value>>,
    /// What the file calls its operator, where that is not the name of it here.
    pub(crate) shown: Option<&'a str>,
    pub(crate) context: &'a Context<'a>,
}

impl Node<'_> {
    /// What the file calls it: its name, else the name of what it gives.
    pub(crate) fn name(&self) -> &str {
        let output = || self.of.output.iter().find(|name| !name.is_empty());
        if self.of.name.is_empty() { output().map_or("", String::as_str) } else { &self.of.name }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.of.op_type
    }

    /// The error of this node.
    pub(crate) fn error(&self, problem: impl Into<String>, remedy: &str) -> Error {
        let kind = self.shown.unwrap_or_else(|| self.kind());
        let at = format!("{}: node {} ({})", self.context.place, self.name().escape_debug(), kind.escape_debug());
        Error::new(at, problem, remedy)
    }

    /// This node refused.
    pub(crate) fn refuse<T>(&self, problem: impl Into<String>, remedy: &str) -> Result<T, Error> {
        Err(self.error(problem, remedy))
    }

    /// What a `Slice` says of each of its axes, as `(axis, start, end, step)`.
    pub(crate) fn slices(&self) -> Result<Vec<(i64, i64, i64, i64)>, Error> {
        let missing = |what: &str| self.error(format!("its {what} are missing"), EXPORT_AGAIN);
        let starts = self.ints_of("starts", 1)?.ok_or_else(|| missing("starts"))?;
        let ends = self.ints_of("ends", 2)?.ok_or_else(|| missing("ends"))?;
        let axes = self.ints_of("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints_of("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return self.refuse("its starts, ends, axes and steps are not as many", EXPORT_AGAIN);
        }
        let each = axes.into_iter().zip(starts).zip(ends).zip(steps);
        Ok(each.map(|(((axis, start), end), step)| (axis, start, end, step)).collect())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&proto::Attribute> {
        self.of.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(otherwise)
    }

    /// A number of an attribute, where it is there.
    pub(crate) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).map(|attribute| attribute.f.unwrap_or(0.0))
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let bytes = self.attribute(name)?.s.as_ref()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// Integers that are an attribute in old versions of an operator, and an input in new ones.
    pub(crate) fn ints_of(&self, name: &str, input: usize) -> Result<Option<Vec<i64>>, Error> {
        if let Some(ints) = self.ints(name) {
            return Ok(Some(ints.to_vec()));
        }
        let Some(value) = self.input(input) else { return Ok(None) };
        let known = value.ints().and_then(|ints| ints.values.into_iter().collect::<Option<Vec<i64>>>());
        match known {
            Some(known) => Ok(Some(known)),
            None => self.refuse(format!("its {name} are computed, or too many"), "export it with fixed numbers"),
        }
    }

    pub(crate) fn input(&self, number: usize) -> Option<&Value> {
        self.inputs.get(number).and_then(Option::as_ref)
    }

    /// An input that must be there.
    pub(crate) fn needed(&self, number: usize) -> Result<&Value, Error> {
        self.input(number).ok_or_else(|| self.error(format!("its input {number} is missing"), EXPORT_AGAIN))
    }

    /// An input that must be data.
    pub(crate) fn flow(&self, number: usize) -> Result<&Flow, Error> {
        match self.needed(number)? {
            Value::Flow(flow) => Ok(flow),
            other => self.refuse(format!("its input {number} is {}, where data are read", other.what()), OTHERWISE),
        }
    }

    /// An input that must be data that stand in a chain, with nothing open.
    pub(crate) fn settled(&self, number: usize) -> Result<Flow, Error> {
        self.chained(self.flow(number)?)
    }

    /// A flow with nothing open.
    pub(crate) fn chained(&self, flow: &Flow) -> Result<Flow, Error> {
        if flow.pads != (0, 0) {
            return self.refuse("only a convolution reads what a Pad gives", "pad within the convolution");
        }
        if flow.is_part {
            return self.refuse("it reads a part of an input", PART);
        }
        if flow.axis(Role::Direction).is_some() {
            return self.refuse("it reads two directions that stand apart", "put them side by side, or add them");
        }
        flow.settled().ok_or_else(|| self.too_long())
    }

    pub(crate) fn too_long(&self) -> Error {
        self.error("too many operators stand below it", "export a smaller model")
    }

    /// A constant; nothing where the input is left out.
    pub(crate) fn constant(&self, number: usize) -> Result<Option<Const>, Error> {
        match self.input(number) {
            None => Ok(None),
            Some(Value::Const(tensor)) => Ok(Some(tensor.clone())),
            Some(other) => self.refuse(
                format!("its input {number} is {}, where weights of the file are read", other.what()),
                "export the model with its weights as initializers",
            ),
        }
    }

    /// A constant of floats that must be there.
    pub(crate) fn weights(&self, number: usize) -> Result<Const, Error> {
        let tensor = self.constant(number)?;
        let tensor = tensor.ok_or_else(|| self.error(format!("its input {number} is missing"), EXPORT_AGAIN))?;
        if !tensor.is_float() {
            let at = self.tensor(&tensor);
            return Err(Error::new(at, "its numbers are integers without a scale", "export the model in floats"));
        }
        Ok(tensor)
    }

    /// The place of a tensor.
    pub(crate) fn tensor(&self, tensor: &Const) -> String {
        format!("{}: tensor {}", self.context.place, tensor.name().escape_debug())
    }

    /// Refuses a tensor of another shape than the one that is declared.
    pub(crate) fn expect(&self, tensor: &Const, shape: &[usize]) -> Result<(), Error> {
        let found = tensor.dims();
        if found == shape {
            return Ok(());
        }
        let problem =
            format!("its shape is {found:?}, but {shape:?} is declared by node {}", self.name().escape_debug());
        Err(Error::new(self.tensor(tensor), problem, EXPORT_AGAIN))
    }

    /// The order in which a Transpose puts so many axes.
    pub(crate) fn perm(&self, count: usize) -> Result<Vec<usize>, Error> {
        let order: Vec<usize> = match self.ints("perm") {
            None => (0..count).rev().collect(),
            Some(order) => order.iter().map(|axis| self.axis(*axis, count)).collect::<Result<_, _>>()?,
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..count) {
            Ok(order)
        } else {
            self.refuse(format!("its perm is {order:?}, of {count} axes"), EXPORT_AGAIN)
        }
    }

    /// An axis by its number, from the end where that is negative.
    pub(crate) fn axis(&self, axis: i64, axes: usize) -> Result<usize, Error> {
        let from_front = if axis < 0 { axis.checked_add(axes as i64) } else { Some(axis) };
        match from_front.and_then(|axis| usize::try_from(axis).ok()).filter(|axis| *axis < axes) {
            Some(axis) => Ok(axis),
            None => self.refuse(format!("its axis {axis} is none of {axes}"), EXPORT_AGAIN),
        }
    }

    /// Says what an axis of a flow counts.
    pub(crate) fn says(&self, flow: &mut Flow, axis: usize, role: Role) -> Result<(), Error> {
        let count = flow.axes.len();
        let Some(found) = flow.axes.get_mut(axis) else {
            return self.refuse(format!("it reads axis {axis} of {count}"), EXPORT_AGAIN);
        };
        match found.role {
            Role::Unknown | Role::One => {
                *found = Axis::new(role, found.size);
                Ok(())
            }
            known if known == role => Ok(()),
            // One sequence, or one step, can be either.
            Role::Batch | Role::Step if found.is_one() && matches!(role, Role::Batch | Role::Step) => {
                *found = Axis::new(role, found.size);
                Ok(())
            }
            known => {
                let problem = format!("it reads axis {axis} as {}, and that axis counts {}", role.name(), known.name());
                self.refuse(problem, "give it its input with the axes in their order")
            }
        }
    }

    /// The features of a flow as far as they are known, which must be those of a kernel.
    pub(crate) fn fits(&self, flow: &Flow, tensor: &Const, inputs: usize) -> Result<(), Error> {
        match flow.features() {
            Some(features) if features != inputs => {
                let problem = format!(
                    "its shape is {:?}, of {inputs} inputs, but {features} features are declared below node {}",
                    tensor.dims(),
                    self.name().escape_debug()
                );
                Err(Error::new(self.tensor(tensor), problem, EXPORT_AGAIN))
            }
            _ => Ok(()),
        }
    }

    /// What it gives as its first output.
    pub(crate) fn gives(flow: Flow) -> Vec<Option<Value>> {
        vec![Some(Value::Flow(flow))]
    }

    /// Sizes or places as its first output.
    pub(crate) fn sizes(values: Vec<Option<i64>>, is_scalar: bool) -> Vec<Option<Value>> {
        vec![Some(Value::Ints(Ints { values, is_scalar }))]
    }
}

/// What the outputs of a node stand for.
pub(crate) type Given = Result<Vec<Option<Value>>, Error>;
