//! Products, sums, scales, activations and normalizations of the features of a step.

use super::activations::hard_sigmoid;
use super::chain::Op;
use super::node::{EXPORT_AGAIN, Given, Node, OTHERWISE};
use super::tensor::Const;
use super::value::{Flow, Role, Value, joined};
use crate::Error;
use crate::affine::Affine;
use crate::described::{Activation, Merge};

/// Reads the operator of a node, where it is one of these.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    Some(match node.kind() {
        "MatMul" => matmul(node),
        "Gemm" => gemm(node),
        "Add" | "Sub" | "Mul" | "Div" => of_two(node),
        "Neg" => node.settled(0).and_then(|flow| affine(node, &flow, (vec![-1.0], vec![0.0]), "")),
        "BatchNormalization" => batch_normalization(node),
        "LayerNormalization" => layer_normalization(node),
        "Softmax" => softmax(node),
        "Clip" => clip(node),
        "Max" | "Min" => held(node),
        _ => activation(node, activation_of(node)?),
    })
}

/// The activation that an operator is.
pub(crate) fn activation_of(node: &Node<'_>) -> Option<Activation> {
    let alpha = |otherwise: f32| node.float("alpha").unwrap_or(otherwise);
    Some(match node.kind() {
        "Relu" => Activation::Relu,
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "HardSigmoid" => hard_sigmoid(alpha(0.2), node.float("beta").unwrap_or(0.5)),
        "LeakyRelu" => Activation::LeakyRelu(alpha(0.01)),
        "ThresholdedRelu" => Activation::ThresholdedRelu(alpha(1.0)),
        "Elu" => Activation::Elu(alpha(1.0)),
        "Softsign" => Activation::Softsign,
        "Softplus" => Activation::Softplus,
        _ => return None,
    })
}

/// With an operator over the settled flow.
fn push(node: &Node<'_>, flow: &Flow, op: Op, features: Option<usize>) -> Given {
    flow.pushed(node.name(), op, features).map(Node::gives).ok_or_else(|| node.too_long())
}

fn activation(node: &Node<'_>, activation: Activation) -> Given {
    push(node, &node.settled(0)?, Op::Activation(activation), None)
}

/// max(x, 0) as a Clip; other limits are refused.
fn clip(node: &Node<'_>) -> Given {
    let of = |slot: usize, name: &str| match node.input(slot) {
        Some(Value::Const(tensor)) => tensor.few().and_then(|values| values.first().copied()),
        _ => node.float(name).map(f64::from),
    };
    match (of(1, "min"), of(2, "max")) {
        (Some(0.0), None) => activation(node, Activation::Relu),
        (Some(0.0), Some(most)) if most >= f64::from(f32::MAX) => activation(node, Activation::Relu),
        (least, most) => node.refuse(format!("it clips at {least:?} and {most:?}"), "train with relu"),
    }
}

/// The larger, or the smaller, of each feature and a constant: one side of what scaled samples are held to.
fn held(node: &Node<'_>) -> Given {
    let (data, slot) = match (node.needed(0)?, node.needed(1)?) {
        (Value::Flow(flow), other) if !matches!(other, Value::Flow(_)) => (flow, 1),
        (other, Value::Flow(flow)) if !matches!(other, Value::Flow(_)) => (flow, 0),
        _ => return node.refuse("it does not join data and a constant", OTHERWISE),
    };
    if node.inputs.len() > 2 {
        return node.refuse("it joins more than two", OTHERWISE);
    }
    let mut flow = node.chained(data)?;
    if let Some(last) = flow.axes.len().checked_sub(1).filter(|_| flow.axis(Role::Feature).is_none()) {
        node.says(&mut flow, last, Role::Feature)?;
    }
    let values = numbers(node, &flow, slot)?;
    push(node, &flow, Op::Held { values, is_most: node.kind() == "Min" }, None)
}

fn softmax(node: &Node<'_>) -> Given {
    let mut flow = node.settled(0)?;
    let count = flow.axes.len();
    // Before version 13 all axes from this one on are one.
    let axis = node.axis(node.int("axis", if node.context.opset < 13 { 1 } else { -1 }), count)?;
    let is_last =
        axis + 1 == count || (node.context.opset < 13 && flow.axes[axis..count - 1].iter().all(|axis| axis.is_one()));
    if !is_last {
        return node.refuse(format!("its axis {axis} is not that of the features"), OTHERWISE);
    }
    node.says(&mut flow, count - 1, Role::Feature)?;
    push(node, &flow, Op::Activation(Activation::Softmax), None)
}

/// The last axis as that of the features.
fn features_last(node: &Node<'_>) -> Result<Flow, Error> {
    let mut flow = node.settled(0)?;
    let Some(last) = flow.axes.len().checked_sub(1) else {
        return node.refuse("it reads a number without an axis", EXPORT_AGAIN);
    };
    node.says(&mut flow, last, Role::Feature)?;
    Ok(flow)
}

/// y = W·x of a matrix units × inputs.
fn product(node: &Node<'_>, flow: &Flow, kernel: Const) -> Result<Flow, Error> {
    let dims = kernel.dims();
    let &[units, inputs] = dims.as_slice() else {
        let problem = format!("its shape is {dims:?}, and a matrix is read");
        return Err(Error::new(node.tensor(&kernel), problem, OTHERWISE));
    };
    node.fits(flow, &kernel, inputs)?;
    flow.pushed(node.name(), Op::Product(kernel), Some(units)).ok_or_else(|| node.too_long())
}

/// The matrix of a `MatMul` or a `Gemm`, units × inputs where it has two axes.
pub(crate) fn matrix(node: &Node<'_>) -> Result<Const, Error> {
    let is_gemm = node.kind() == "Gemm";
    if node.int("transA", 0) != 0 || matches!(node.input(0), Some(Value::Const(_))) {
        let problem = if is_gemm { "its weights stand on the left" } else { "its matrix stands on the left" };
        return node.refuse(problem, OTHERWISE);
    }
    let mut kernel = node.weights(1)?;
    while !is_gemm && kernel.dims().len() > 2 && kernel.dims()[0] == 1 {
        kernel = kernel.picked(0, 0).ok_or_else(|| node.error("its matrix has no number", EXPORT_AGAIN))?;
    }
    let is_turned = is_gemm && node.int("transB", 0) != 0;
    Ok(if is_turned { kernel } else { kernel.transposed(&[1, 0]).unwrap_or(kernel) })
}

fn matmul(node: &Node<'_>) -> Given {
    let kernel = matrix(node)?;
    let flow = features_last(node)?;
    Ok(Node::gives(product(node, &flow, kernel)?))
}

/// y = alpha·A·B + beta·C
fn gemm(node: &Node<'_>) -> Given {
    let kernel = matrix(node)?;
    let flow = features_last(node)?;
    let mut flow = product(node, &flow, kernel)?;
    let (alpha, beta) = (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0));
    let add = |flow: &Flow, scale: Vec<f64>, shift: Vec<f64>| {
        let op = Op::Affine(Affine { scale, shift }, source(node, 2));
        flow.pushed(node.name(), op, None).ok_or_else(|| node.too_long())
    };
    if alpha != 1.0 {
        flow = add(&flow, vec![f64::from(alpha)], vec![0.0])?;
    }
    if node.input(2).is_some() {
        let shift: Vec<f64> = numbers(node, &flow, 2)?.iter().map(|value| value * f64::from(beta)).collect();
        flow = add(&flow, vec![1.0; shift.len()], shift)?;
    }
    Ok(Node::gives(flow))
}

/// The numbers of a constant that has one for each feature, or one for all.
fn numbers(node: &Node<'_>, flow: &Flow, slot: usize) -> Result<Vec<f64>, Error> {
    if let Some(Value::Filled(value)) = node.input(slot) {
        return Ok(vec![f64::from(*value)]);
    }
    let tensor = node.weights(slot)?;
    let dims = tensor.dims();
    let axis = flow.axis(Role::Feature);
    // Axes are aligned at the last one.
    let behind = |axis: usize| flow.axes.len() - axis;
    let long: Vec<usize> = (0..dims.len()).filter(|&place| dims[place] != 1).collect();
    let fits = match (long.as_slice(), axis) {
        ([], _) => true,
        (&[place], Some(axis)) => {
            dims.len() - place == behind(axis) && flow.features().is_none_or(|features| features == dims[place])
        }
        _ => false,
    };
    if !fits || dims.len() > flow.axes.len() {
        let features = flow.features().map_or_else(|| "features".to_owned(), |features| features.to_string());
        let problem = format!("its shape is {dims:?}, but one number for each of [{features}] is declared");
        return Err(Error::new(node.tensor(&tensor), problem, OTHERWISE));
    }
    let values = tensor.values(node.context.place, node.context.budget)?;
    if values.is_empty() {
        return Err(Error::new(node.tensor(&tensor), "it has no number", EXPORT_AGAIN));
    }
    Ok(values.into_iter().map(f64::from).collect())
}

/// The name of the tensor that an input is.
fn source(node: &Node<'_>, slot: usize) -> String {
    match node.input(slot) {
        Some(Value::Const(tensor)) => tensor.name().to_owned(),
        _ => String::new(),
    }
}

/// With scale∘x + shift; one number in one of them stands for as many as there are in the other.
fn affine(node: &Node<'_>, flow: &Flow, (scale, shift): (Vec<f64>, Vec<f64>), source: &str) -> Given {
    let features = flow.features().filter(|_| scale.len().max(shift.len()) == 1);
    let length = features.unwrap_or(1).min(1 << 20).max(scale.len()).max(shift.len());
    node.context.budget.take(&node.error("", "").place, length.saturating_mul(4 * size_of::<f64>()))?;
    let each = |values: Vec<f64>| if values.len() == 1 { vec![values[0]; length] } else { values };
    push(node, flow, Op::Affine(Affine { scale: each(scale), shift: each(shift) }, source.to_owned()), None)
}

/// Add, Sub, Mul and Div of data and a constant, or of two directions.
fn of_two(node: &Node<'_>) -> Given {
    let (data, slot) = match (node.needed(0)?, node.needed(1)?) {
        (Value::Flow(first), Value::Flow(second)) => return of_flows(node, first, second),
        (Value::Flow(flow), _) => (flow, 1),
        (_, Value::Flow(flow)) => (flow, 0),
        (first, second) => {
            let problem = format!("it reads {} and {}", first.what(), second.what());
            return node.refuse(problem, OTHERWISE);
        }
    };
    let mut flow = node.chained(data)?;
    // One number for each place of the last axis: these are features.
    if flow.axis(Role::Feature).is_none() && !flow.axes.is_empty() {
        let last = flow.axes.len() - 1;
        node.says(&mut flow, last, Role::Feature)?;
    }
    let values = numbers(node, &flow, slot)?;
    let source = source(node, slot);
    let sums = matches!(node.kind(), "Add" | "Sub");
    let Affine { scale, shift } = with_constant(node, slot, values)?;
    affine(node, &flow, (scale, shift), if sums { &source } else { "" })
}

/// What Add, Sub, Mul and Div make of data and constants, these in a slot of the node.
pub(crate) fn with_constant(node: &Node<'_>, slot: usize, values: Vec<f64>) -> Result<Affine, Error> {
    let each = |of: &dyn Fn(f64) -> f64| values.iter().map(|value| of(*value)).collect::<Vec<f64>>();
    let (scale, shift) = match (node.kind(), slot) {
        ("Add", _) => (each(&|_| 1.0), values),
        ("Sub", 1) => (each(&|_| 1.0), each(&|value| -value)),
        ("Sub", _) => (each(&|_| -1.0), values),
        ("Mul", _) => {
            let none = each(&|_| 0.0);
            (values, none)
        }
        ("Div", 1) => (each(&|value| 1.0 / value), each(&|_| 0.0)),
        _ => return node.refuse("it divides a constant by data", OTHERWISE),
    };
    Ok(Affine { scale, shift })
}

fn of_flows(node: &Node<'_>, first: &Flow, second: &Flow) -> Given {
    let merge = match node.kind() {
        "Add" => Some(Merge::Sum),
        "Mul" => Some(Merge::Product),
        _ => None,
    };
    let pairs = [(first, second), (second, first)];
    let both = merge.and_then(|merge| pairs.into_iter().find_map(|(first, second)| joined(first, second, merge)));
    match both {
        Some(flow) => Ok(Node::gives(flow)),
        None => node.refuse("it joins two branches of the model", OTHERWISE),
    }
}

/// y = scale∘(x - mean) / sqrt(variance + epsilon) + shift, the features being the second axis.
fn batch_normalization(node: &Node<'_>) -> Given {
    let mut flow = node.settled(0)?;
    node.says(&mut flow, 1, Role::Feature)?;
    let of = |slot: usize| -> Result<Vec<f64>, Error> {
        let tensor = node.weights(slot)?;
        let length = flow.features().or(tensor.dims().first().copied()).unwrap_or(0);
        node.expect(&tensor, &[length])?;
        let values = tensor.values(node.context.place, node.context.budget)?;
        Ok(values.into_iter().map(f64::from).collect())
    };
    let (scale, shift, mean, variance) = (of(1)?, of(2)?, of(3)?, of(4)?);
    if [&shift, &mean, &variance].into_iter().any(|values| values.len() != scale.len()) || scale.is_empty() {
        return node.refuse("its tensors have different lengths", EXPORT_AGAIN);
    }
    let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
    let scale: Vec<f64> =
        scale.iter().zip(&variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect();
    let shift = shift.iter().zip(mean.iter().zip(&scale)).map(|(shift, (mean, scale))| shift - mean * scale).collect();
    affine(node, &flow, (scale, shift), &source(node, 2))
}

fn layer_normalization(node: &Node<'_>) -> Given {
    let flow = features_last(node)?;
    let count = flow.axes.len();
    if node.axis(node.int("axis", -1), count)? + 1 != count {
        return node.refuse("it normalizes more than the features of a step", OTHERWISE);
    }
    let optional = |slot: usize| node.input(slot).map(|_| node.weights(slot)).transpose();
    let (scale, shift) = (optional(1)?, optional(2)?);
    let length = flow.features().or(scale.as_ref().map(Const::len)).unwrap_or(0);
    for tensor in scale.iter().chain(&shift) {
        node.expect(tensor, &[length])?;
    }
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    push(node, &flow, Op::LayerNorm { scale, shift, epsilon, features: Some(length) }, Some(length))
}
