//! Recurrent cells that are spelled out in products, sums and activations: one step, whose states come in as inputs of the graph and go out as outputs.
//!
//! ```text
//! inputs ──places──> numbers, each of a term ──sums──> what goes into a gate ──cells──> a step ──flows──> data, and the layer
//!                                                                              states: what comes in must go out
//! ```
//!
//! A graph has these numbers in place of data where it has several inputs and no recurrent operator. Operators that move numbers move places, so that it does not
//! matter how states are stacked, or which gate stands where. What no cell is made of is data as everywhere.

mod cells;
mod flows;
mod moves;
mod places;
mod states;
mod sums;

use std::rc::Rc;

use super::dense::{activation_of, matrix, with_constant};
use super::node::{Context, EXPORT_AGAIN, Given, Node, OTHERWISE};
use super::value::{Flow, Made, Root, Spelled, Value};
use crate::Error;
use crate::affine::Affine;
use crate::described::Activation;
use places::MOST;

pub(crate) use states::outputs;

/// An input of a graph that spells cells out; nothing where it is too large for one step.
pub(crate) fn input(root: &Rc<Root>, number: usize, context: &Context<'_>) -> Result<Option<Value>, Error> {
    let dims: Vec<usize> = root.axes.iter().map(|axis| axis.size.unwrap_or(1)).collect();
    if dims.iter().try_fold(1_usize, |all, size| all.checked_mul(*size)).is_none_or(|all| all > MOST) {
        return Ok(None);
    }
    let names = (root.name.clone(), "input".to_owned());
    let spelled = Spelled::named(names, Made::Input(Rc::clone(root), number), dims, 1, context)?;
    Ok(Some(Value::Spelled(spelled)))
}

/// Data that a node gives as the numbers that they are.
pub(crate) fn lifted(node: &Node<'_>, value: Option<Value>) -> Result<Option<Value>, Error> {
    match value {
        Some(Value::Flow(flow))
            if flow.is_spelled && !flow.is_input() && flow.head.is_none() && flow.pads == (0, 0) =>
        {
            of_flow(node, &flow).map(|spelled| Some(Value::Spelled(spelled)))
        }
        other => Ok(other),
    }
}

fn of_flow(node: &Node<'_>, flow: &Flow) -> Result<Spelled, Error> {
    let mut flow = flow.clone();
    for axis in &mut flow.axes {
        axis.size = Some(axis.size.unwrap_or(1));
    }
    let dims = flow.axes.iter().map(|axis| axis.size.unwrap_or(1)).collect();
    Spelled::of(node, Made::Flow(flow), dims)
}

/// The inputs of a node with data in place of spelled numbers.
pub(crate) fn as_flows(node: &Node<'_>) -> Result<Vec<Option<Value>>, Error> {
    let of = |value: &Option<Value>| match value {
        Some(Value::Spelled(spelled)) => flows::of(spelled, node.context).map(|flow| Some(Value::Flow(flow))),
        other => Ok(other.clone()),
    };
    node.inputs.iter().map(of).collect()
}

/// Reads the operator of a node of spelled numbers; nothing where it has none, or where it reads data.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    let inputs = || node.inputs.iter().flatten();
    let is_other = |value: &Value| matches!(value, Value::Part(..) | Value::State);
    if !inputs().any(|value| matches!(value, Value::Spelled(_))) || inputs().any(is_other) {
        return None;
    }
    moves::read(node).or_else(|| computed(node))
}

/// Products, sums and activations.
fn computed(node: &Node<'_>) -> Option<Given> {
    Some(match node.kind() {
        "MatMul" | "Gemm" => product(node),
        "Add" | "Sub" | "Mul" | "Div" => of_two(node),
        "Neg" => numbers(node, 0).and_then(|of| {
            let affine = Affine { scale: vec![-1.0; of.len()], shift: vec![0.0; of.len()] };
            affinely(node, of, affine, String::new())
        }),
        _ => activation(node, activation_of(node)?),
    })
}

fn gives(spelled: Spelled) -> Vec<Option<Value>> {
    vec![Some(Value::Spelled(spelled))]
}

/// An input that must be numbers of data.
fn numbers(node: &Node<'_>, slot: usize) -> Result<Spelled, Error> {
    match node.needed(slot)? {
        Value::Spelled(spelled) => Ok(spelled.clone()),
        Value::Flow(flow) => of_flow(node, flow),
        other => node.refuse(format!("its input {slot} is {}, where data are read", other.what()), OTHERWISE),
    }
}

/// W·x, and what a `Gemm` adds to it.
fn product(node: &Node<'_>) -> Given {
    let kernel = matrix(node)?;
    let of = numbers(node, 0)?;
    let shape = kernel.dims();
    let &[units, inputs] = shape.as_slice() else {
        let problem = format!("its shape is {shape:?}, and a matrix is read");
        return Err(Error::new(node.tensor(&kernel), problem, OTHERWISE));
    };
    let Some((last, before)) = of.dims.split_last() else {
        return node.refuse("it reads a number without an axis", EXPORT_AGAIN);
    };
    if *last != inputs {
        let problem = format!(
            "its shape is {shape:?}, of {inputs} inputs, but {last} features are declared below node {}",
            node.name().escape_debug()
        );
        return Err(Error::new(node.tensor(&kernel), problem, EXPORT_AGAIN));
    }
    if before.iter().any(|size| *size != 1) {
        let problem = format!("it reads the shape {:?}, and the features of one step are read", of.dims);
        return node.refuse(problem, "export the model for one sequence and one step");
    }
    let dims: Vec<usize> = before.iter().copied().chain([units]).collect();
    let mut sum = Spelled::of(node, Made::Product { of, kernel }, dims)?;
    let (alpha, beta) = (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0));
    if node.kind() == "Gemm" && (alpha != 1.0 || node.input(2).is_some()) {
        let data = match node.input(2) {
            Some(Value::Spelled(_) | Value::Flow(_)) => Some(numbers(node, 2)?),
            _ => None,
        };
        if let Some(data) = data {
            if [alpha, beta] != [1.0; 2] {
                return node.refuse("it scales what it adds", "export it with alpha and beta of 1");
            }
            return joined(node, sum, data);
        }
        let (shift, source) = match node.input(2) {
            Some(_) => constants(node, 2, &sum)?,
            None => (vec![0.0; units], String::new()),
        };
        let shift = shift.into_iter().map(|shift| shift * f64::from(beta)).collect();
        let affine = Affine { scale: vec![f64::from(alpha); units], shift };
        let dims = sum.dims.clone();
        sum = Spelled::of(node, Made::Affine { of: sum, affine, source }, dims)?;
    }
    Ok(gives(sum))
}

/// A constant with one number for each of these, and its name.
fn constants(node: &Node<'_>, slot: usize, of: &Spelled) -> Result<(Vec<f64>, String), Error> {
    node.context.budget.take(&node.error("", "").place, of.len().saturating_mul(3 * size_of::<f64>()))?;
    if let Some(Value::Filled(value)) = node.input(slot) {
        return Ok((vec![f64::from(*value); of.len()], String::new()));
    }
    let tensor = node.weights(slot)?;
    let Some(wide) = tensor.expanded(&of.dims).filter(|wide| wide.len() == of.len()) else {
        let problem = format!("its shape is {:?}, but {:?} is declared", tensor.dims(), of.dims);
        return Err(Error::new(node.tensor(&tensor), problem, OTHERWISE));
    };
    let values = wide.values(node.context.place, node.context.budget)?;
    Ok((values.into_iter().map(f64::from).collect(), tensor.name().to_owned()))
}

fn affinely(node: &Node<'_>, of: Spelled, affine: Affine, source: String) -> Given {
    let dims = of.dims.clone();
    Spelled::of(node, Made::Affine { of, affine, source }, dims).map(gives)
}

/// Add, Sub, Mul and Div of numbers and a constant, or of numbers and others.
fn of_two(node: &Node<'_>) -> Given {
    let is_data = |value: &Value| matches!(value, Value::Spelled(_) | Value::Flow(_));
    let slot = match (is_data(node.needed(0)?), is_data(node.needed(1)?)) {
        (true, true) => return of_both(node),
        (true, false) => 1,
        _ => 0,
    };
    let of = numbers(node, 1 - slot)?;
    let (values, source) = constants(node, slot, &of)?;
    affinely(node, of, with_constant(node, slot, values)?, source)
}

fn of_both(node: &Node<'_>) -> Given {
    joined(node, numbers(node, 0)?, numbers(node, 1)?)
}

/// A sum, a difference or a product; where that is the next h of a cell, its step.
fn joined(node: &Node<'_>, a: Spelled, b: Spelled) -> Given {
    let without_ones = |dims: &[usize]| dims.iter().copied().filter(|size| *size != 1).collect::<Vec<_>>();
    if without_ones(&a.dims) != without_ones(&b.dims) {
        let problem = format!("it joins data of the shapes {:?} and {:?}", a.dims, b.dims);
        return node.refuse(problem, OTHERWISE);
    }
    let dims = if a.dims.len() >= b.dims.len() { a.dims.clone() } else { b.dims.clone() };
    let made = match node.kind() {
        "Add" | "Gemm" => Made::Sum(a, b),
        "Sub" => Made::Difference(a, b),
        "Mul" => Made::Times(a, b),
        _ => return node.refuse("it divides data by data", OTHERWISE),
    };
    let next = Spelled::of(node, made, dims)?;
    if let Some(found) = cells::gated(node, &next)? {
        let step = flows::step(node, found)?;
        next.term.step.get_or_init(|| step);
    }
    Ok(gives(next))
}

fn activation(node: &Node<'_>, activation: Activation) -> Given {
    let of = numbers(node, 0)?;
    let dims = of.dims.clone();
    Spelled::of(node, Made::Activation(of, activation), dims).map(gives)
}
