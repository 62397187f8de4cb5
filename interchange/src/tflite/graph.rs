//! A graph, followed from its input to its output. Its operators are run as those of ONNX, over the same flows: [`super::operators`] says each in them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use prost::bytes::Bytes;

use super::call::Call;
use super::operators;
use super::schema::{Graph, Model, Operator, Tensor, kind_name};
use super::words::{COPY_AGAIN, KEEP_KERAS, damaged};
use crate::Error;
use crate::onnx::graph::answer;
use crate::onnx::node::Context;
use crate::onnx::tensor::{Const, Dtype, MOST_AXES, Quantized};
use crate::onnx::value::{Axis, Flow, Role, Root, Value};

/// Most tensors that an operator reads or gives: a bidirectional LSTM reads 48.
const MOST_TENSORS: usize = 64;

/// Most operators of a graph: far more than a chain of layers has. All of them may be one table of a file.
const MOST_OPERATORS: usize = 1 << 14;

/// What a value takes in memory, and what a number of a tensor that is needed does.
const VALUE: usize = 512;
const NEEDED: usize = 24;

/// A graph while it is followed.
pub(crate) struct Follower<'a> {
    pub(crate) context: &'a Context<'a>,
    model: Model<'a>,
    graph: Graph<'a>,
    /// The file, of which constants are slices.
    bytes: &'a Bytes,
    values: HashMap<usize, Value>,
}

/// The type of ONNX with the same numbers.
pub(crate) fn dtype(kind: u8) -> Option<Dtype> {
    Some(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::I32,
        3 => Dtype::U8,
        4 => Dtype::I64,
        6 => Dtype::Bool,
        7 => Dtype::I16,
        9 => Dtype::I8,
        10 => Dtype::F64,
        12 => Dtype::U64,
        15 => Dtype::U32,
        16 => Dtype::U16,
        _ => return None,
    })
}

impl<'a> Follower<'a> {
    pub(crate) fn of(model: Model<'a>, bytes: &'a Bytes, context: &'a Context<'a>) -> Result<Self, Error> {
        let graph = model.graph(0).ok_or_else(|| damaged(context.place, "its graph"))?;
        Ok(Self { context, model, graph, bytes, values: HashMap::new() })
    }

    /// The error of a file that is damaged at a part of it.
    pub(crate) fn damaged(&self, what: &str) -> Error {
        damaged(self.context.place, what)
    }

    /// Follows the graph to the tensor of this name, else to its output.
    pub(crate) fn follow(&mut self, until: Option<&str>) -> Result<Flow, Error> {
        let count = self.graph.operators.len();
        if count > MOST_OPERATORS {
            let problem = format!("it has {count} operators, and at most {MOST_OPERATORS} are read");
            return Err(Error::new(self.context.place, problem, "convert a model whose recurrence is not unrolled"));
        }
        let outputs = self.outputs(until)?;
        self.inputs()?;
        let needed = self.needed(&outputs)?;
        let mut all = Vec::new();
        for number in 0..count {
            let operator = self.operator(number)?;
            if self.gives_some(&operator, &needed)? {
                self.context.budget.take(self.context.place, NEEDED)?;
                all.push(number);
            }
        }
        // What prepares a loop is read no better than the loop, whose name says more.
        for &number in &all {
            let call = self.call(&self.operator(number)?)?;
            if call.shown == "WHILE" {
                let problem = "its recurrence is spelled out as a WHILE loop";
                return Err(call.error(problem, KEEP_KERAS));
            }
        }
        for number in all {
            let operator = self.operator(number)?;
            let mut call = self.call(&operator)?;
            for place in 0..operator.inputs.len() {
                let input = self.input(&call, operator.inputs.i32(place))?;
                call.inputs.push(input);
            }
            let given = operators::read(&call)?;
            for (place, value) in given.into_iter().enumerate() {
                let index = operator.outputs.i32(place).and_then(|index| usize::try_from(index).ok());
                if let (Some(index), Some(value)) = (index, value) {
                    self.context.budget.take(self.context.place, VALUE)?;
                    self.values.insert(index, value);
                }
            }
        }
        let mut names = Vec::new();
        for &output in &outputs {
            names.push((self.tensor(output)?.name(), self.values.get(&output)));
        }
        let given: Vec<(&str, Option<&Value>)> = names.iter().map(|(name, value)| (&**name, *value)).collect();
        answer(&given, self.context)
    }

    fn tensor(&self, index: usize) -> Result<Tensor<'a>, Error> {
        self.graph.tensor(index).ok_or_else(|| self.damaged(&format!("its tensor {index}")))
    }

    fn operator(&self, number: usize) -> Result<Operator<'a>, Error> {
        let operator = self.graph.operator(number).ok_or_else(|| self.damaged(&format!("its operator {number}")))?;
        if operator.inputs.len().max(operator.outputs.len()) > MOST_TENSORS {
            let problem = format!("its operator {number} has more than {MOST_TENSORS} inputs or outputs");
            return Err(Error::new(self.context.place, problem, COPY_AGAIN));
        }
        Ok(operator)
    }

    /// An operator, before what it reads is found.
    fn call(&self, operator: &Operator<'a>) -> Result<Call<'a>, Error> {
        let first = operator.outputs.i32(0).and_then(|index| usize::try_from(index).ok());
        let tensor = first.map(|index| self.tensor(index)).transpose()?;
        let code = self.model.code(operator.code).ok_or_else(|| self.damaged("the code of an operator"))?;
        Ok(Call {
            context: self.context,
            name: tensor.map_or_else(String::new, |tensor| tensor.name().into_owned()),
            shown: if code.name == "CUSTOM" { code.custom() } else { Cow::Borrowed(code.name) },
            inputs: Vec::new(),
            options: operator.options,
            outputs: operator.outputs.len(),
            kind: tensor.map_or(0, |tensor| tensor.kind),
        })
    }

    /// The tensors that answer: those of this name, else the outputs.
    fn outputs(&self, until: Option<&str>) -> Result<Vec<usize>, Error> {
        let outputs = self.graph.outputs;
        let of_graph = |place: usize| outputs.i32(place).and_then(|index| usize::try_from(index).ok());
        let Some(name) = until else {
            if outputs.len() > MOST_TENSORS {
                let problem = format!("it has {} outputs", outputs.len());
                return Err(Error::new(self.context.place, problem, "name the one that is wanted: --until NAME"));
            }
            return (0..outputs.len())
                .map(|place| of_graph(place).ok_or_else(|| self.damaged("its outputs")))
                .collect();
        };
        for index in 0..self.graph.tensors.len() {
            if self.tensor(index)?.is_called(name) {
                return Ok(vec![index]);
            }
        }
        let last = of_graph(0).map(|index| self.tensor(index)).transpose()?;
        let last = last.map_or(Cow::Borrowed("output"), |tensor| tensor.name());
        let problem = format!("no tensor of it is called {name:?}");
        Err(Error::new(self.context.place, problem, format!("name one of its tensors, as {last:?}")))
    }

    /// The inputs that data come from.
    fn inputs(&mut self) -> Result<(), Error> {
        for place in 0..self.graph.inputs.len().min(MOST_TENSORS) {
            let index = self.graph.inputs.i32(place).and_then(|index| usize::try_from(index).ok());
            let index = index.ok_or_else(|| self.damaged("its inputs"))?;
            let tensor = self.tensor(index)?;
            let name = tensor.name().into_owned();
            let shape = if tensor.signature.len() == tensor.shape.len() { tensor.signature } else { tensor.shape };
            if shape.len() > MOST_AXES {
                let at = format!("{}: tensor {}", self.context.place, name.escape_debug());
                return Err(Error::new(at, format!("it has {} axes", shape.len()), COPY_AGAIN));
            }
            let size = |place| shape.i32(place).and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
            let axes = (0..shape.len()).map(|place| Axis::new(Role::Unknown, size(place))).collect();
            let scales = tensor.scales().ok_or_else(|| self.damaged("the scales of its input"))?;
            let is_ids = matches!(tensor.kind, 2 | 4) && scales.is_none();
            self.context.budget.take(self.context.place, VALUE)?;
            self.values.insert(index, Value::Flow(Flow::of(Root { name, is_ids, axes })));
        }
        Ok(())
    }

    /// Whether an operator gives a tensor that is needed.
    fn gives_some(&self, operator: &Operator<'_>, needed: &HashSet<usize>) -> Result<bool, Error> {
        let mut outputs = (0..operator.outputs.len()).filter_map(|place| operator.outputs.i32(place));
        Ok(outputs.any(|index| usize::try_from(index).is_ok_and(|index| needed.contains(&index))))
    }

    /// The tensors that these outputs need.
    fn needed(&self, outputs: &[usize]) -> Result<HashSet<usize>, Error> {
        let mut needed: HashSet<usize> = outputs.iter().copied().collect();
        for number in (0..self.graph.operators.len()).rev() {
            let operator = self.operator(number)?;
            if !self.gives_some(&operator, &needed)? {
                continue;
            }
            for index in (0..operator.inputs.len()).filter_map(|place| operator.inputs.i32(place)) {
                if let Ok(index) = usize::try_from(index)
                    && !needed.contains(&index)
                {
                    self.context.budget.take(self.context.place, NEEDED)?;
                    needed.insert(index);
                }
            }
        }
        Ok(needed)
    }

    /// What a tensor that an operator reads stands for; nothing of one that is left out.
    fn input(&self, call: &Call<'_>, index: Option<i32>) -> Result<Option<Value>, Error> {
        let index = match index {
            Some(-1) => return Ok(None),
            index => index.and_then(|index| usize::try_from(index).ok()),
        };
        let index = index.ok_or_else(|| self.damaged(&format!("the inputs of node {}", call.name.escape_debug())))?;
        if let Some(value) = self.values.get(&index) {
            return Ok(Some(value.clone()));
        }
        let tensor = self.tensor(index)?;
        let range = self.model.buffer(tensor.buffer).ok_or_else(|| self.damaged(&format!("its tensor {index}")))?;
        if range.is_empty() && tensor.is_variable {
            return Ok(Some(Value::State));
        }
        let is_empty = (0..tensor.shape.len()).any(|place| tensor.shape.i32(place) == Some(0));
        if range.is_empty() && !is_empty {
            let problem = format!("nothing before it gives its input {:?}", tensor.name());
            return Err(call.error(problem, COPY_AGAIN));
        }
        self.constant(&tensor, range).map(|tensor| Some(Value::Const(tensor)))
    }

    /// A tensor whose numbers are in the file, with what they are worth.
    fn constant(&self, tensor: &Tensor<'_>, range: std::ops::Range<usize>) -> Result<Const, Error> {
        let name = tensor.name();
        let at = || format!("{}: tensor {}", self.context.place, name.escape_debug());
        if tensor.is_sparse {
            return Err(Error::new(at(), "its numbers are sparse", "convert the model with dense weights"));
        }
        let Some(dtype) = dtype(tensor.kind) else {
            let problem = format!("its numbers are {}, which is not read", kind_name(tensor.kind));
            return Err(Error::new(at(), problem, "convert the model with weights as float32, float16 or int8"));
        };
        if tensor.shape.len() > MOST_AXES {
            return Err(Error::new(at(), format!("it has {} axes", tensor.shape.len()), COPY_AGAIN));
        }
        let shape: Vec<i64> =
            (0..tensor.shape.len()).filter_map(|place| tensor.shape.i32(place)).map(i64::from).collect();
        let stored = Const::stored(&name, dtype, &shape, self.bytes.slice(range), self.context.place)?;
        let scales = tensor.scales().ok_or_else(|| self.damaged(&format!("the scales of tensor {name:?}")))?;
        let Some(scales) = scales.filter(|_| !dtype.is_float()) else { return Ok(stored) };
        let (count, dims) = (scales.scale.len(), stored.dims());
        let axis = usize::try_from(scales.axis).ok().filter(|axis| dims.get(*axis) == Some(&count));
        if (count > 1 && axis.is_none()) || !(scales.zero.len() == count || scales.zero.len() <= 1) {
            let zeros = scales.zero.len();
            let problem = format!(
                "its shape is {dims:?}, but it has {count} scales and {zeros} zero points along its axis {}",
                scales.axis
            );
            return Err(Error::new(at(), problem, COPY_AGAIN));
        }
        self.context.budget.take(&at(), count.saturating_mul(2 * size_of::<f32>()))?;
        let zero = |place: usize| scales.zero.i64(if scales.zero.len() == 1 { 0 } else { place }).unwrap_or(0) as f32;
        let quantized = Quantized {
            scale: (0..count).filter_map(|place| scales.scale.f32(place)).collect(),
            zero: (0..count).map(zero).collect(),
            axes: dims
                .iter()
                .enumerate()
                .map(|(place, size)| (*size, usize::from(count > 1 && axis == Some(place))))
                .collect(),
        };
        stored.quantized(quantized).ok_or_else(|| self.damaged(&format!("its tensor {name:?}")))
    }

    /// The scales of what flows as integers, each in words; at most so many.
    pub(crate) fn activation_scales(&self, most: usize) -> Vec<String> {
        let of = |index: i32| -> Option<String> {
            let tensor = self.graph.tensor(usize::try_from(index).ok()?)?;
            let scales = tensor.scales()?.filter(|_| matches!(tensor.kind, 3 | 7 | 9))?;
            let (scale, zero) = (scales.scale.f32(0)?, scales.zero.i64(0).unwrap_or(0));
            Some(format!(
                "{} ({}) {scale} with the zero point {zero}",
                tensor.name().escape_debug(),
                kind_name(tensor.kind)
            ))
        };
        let inputs = (0..self.graph.inputs.len().min(most)).filter_map(|place| of(self.graph.inputs.i32(place)?));
        let outputs = (0..self.graph.operators.len()).filter_map(|number| {
            let operator = self.graph.operator(number)?;
            of(operator.outputs.i32(0)?)
        });
        inputs.chain(outputs).take(most).collect()
    }
}
