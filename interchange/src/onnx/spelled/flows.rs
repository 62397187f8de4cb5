//! Spelled numbers as data, which the chain of a model goes on with.

use std::rc::Rc;

use super::super::chain::{Both, Gates, Op};
use super::super::layers::order;
use super::super::node::{Context, Node, OTHERWISE};
use super::super::proto;
use super::super::tensor::Const;
use super::super::value::{Axis, Flow, Made, Role, Spelled, Step, Term};
use super::cells::{self, Found};
use crate::Error;

/// The error of the node of a term.
fn refuse<T>(term: &Term, context: &Context<'_>, problem: &str, remedy: &str) -> Result<T, Error> {
    let (name, operator) = (term.name.escape_debug(), term.operator.escape_debug());
    Err(Error::new(format!("{}: node {name} ({operator})", context.place), problem, remedy))
}

/// What axes of these sizes count: the long one has the features of the only step.
fn axes(dims: &[usize]) -> Option<Vec<Axis>> {
    let mut axes = vec![Axis::one(); dims.len()];
    let mut long = (0..dims.len()).filter(|&axis| dims[axis] != 1);
    let features = long.next().or(dims.len().checked_sub(1));
    match features {
        Some(axis) => axes[axis] = Axis::new(Role::Feature, Some(dims[axis])),
        None => axes.push(Axis::new(Role::Feature, Some(1))),
    }
    long.next().is_none().then_some(axes)
}

/// These numbers as data.
///
/// # Errors
/// Names the node where they are a part of what it gives, or where it joins what is no cell.
pub(crate) fn of(spelled: &Spelled, context: &Context<'_>) -> Result<Flow, Error> {
    let term = &spelled.term;
    let Some(axes) = axes(&spelled.dims) else {
        let problem = format!("it has the shape {:?}, and the features of one step are read", spelled.dims);
        return refuse(term, context, &problem, "export the model for one sequence and one step");
    };
    if !spelled.is_whole() {
        let problem = "a part of its numbers is read, or all in another order, where no gate is";
        return refuse(term, context, problem, "export the model with an input or a layer of its own for them");
    }
    let flow = match term.flow.get() {
        Some(flow) => flow.clone(),
        None => {
            let flow = of_term(spelled, context)?;
            term.flow.get_or_init(|| flow).clone()
        }
    };
    Ok(Flow { axes, rows: Vec::new(), ..flow })
}

fn of_term(spelled: &Spelled, context: &Context<'_>) -> Result<Flow, Error> {
    let term = &*spelled.term;
    let over =
        |below: &Spelled, op: Op, features: Option<usize>| match of(below, context)?.pushed(&term.name, op, features) {
            Some(flow) => Ok(flow),
            None => refuse(term, context, "too many operators stand below it", "export a smaller model"),
        };
    if let Some(step) = step_of(spelled, context)? {
        return Ok(step.flow.clone());
    }
    match &term.made {
        Made::Input(root, _) => Ok(Flow { is_stepped: true, is_spelled: true, ..Flow::of(Rc::clone(root)) }),
        Made::Flow(flow) => Ok(flow.clone()),
        Made::Product { of, kernel } => over(of, Op::Product(kernel.clone()), kernel.dims().first().copied()),
        Made::Affine { of, affine, source } => over(of, Op::Affine(affine.clone(), source.clone()), None),
        Made::Activation(of, activation) => over(of, Op::Activation(*activation), None),
        Made::Sum(..) | Made::Difference(..) | Made::Times(..) | Made::Joined(_) => {
            refuse(term, context, "it joins two branches of the model, which are no recurrent cell", OTHERWISE)
        }
    }
}

/// The step of a cell whose next h these are: of a simple recurrent one, which is found here, or of another, which was found before.
pub(crate) fn step_of(spelled: &Spelled, context: &Context<'_>) -> Result<Option<Rc<Step>>, Error> {
    let term = &spelled.term;
    if let Some(step) = term.step.get() {
        return Ok(Some(Rc::clone(step)));
    }
    let Made::Activation(of, activation) = &term.made else { return Ok(None) };
    let node = proto::Node { name: term.name.clone(), op_type: term.operator.clone(), ..proto::Node::default() };
    let node = Node { of: &node, inputs: Vec::new(), shown: None, context };
    match cells::simple(&node, *activation, of)? {
        Some(found) => {
            let step = step(&node, found)?;
            Ok(Some(Rc::clone(term.step.get_or_init(|| step))))
        }
        None => Ok(None),
    }
}

/// The step of a cell that was found: its layer over the data that it reads.
///
/// # Errors
/// Where what it reads is no data of one chain.
pub(crate) fn step(node: &Node<'_>, found: Found) -> Result<Rc<Step>, Error> {
    let Found { cell, units, x, hidden, state, kernels, recurrent_kernels, biases, source, activations } = found;
    let below = of(&x, node.context)?;
    let rows = cell.gates() * units;
    node.context.budget.take(&node.error("", "").place, rows.saturating_mul(4 * size_of::<f32>()))?;
    // The gates in the order of ONNX: the biases beside W·x, then those beside U·h.
    let mut values = vec![0.0; 2 * rows];
    for (gate, both) in order(cell).iter().zip(&biases) {
        for (half, bias) in both.iter().enumerate() {
            let first = half * rows + gate * units;
            values[first..first + units].iter_mut().zip(bias).for_each(|(value, bias)| *value = *bias as f32);
        }
    }
    let both = Rc::new(Both {
        name: node.name().to_owned(),
        cell,
        units,
        inputs: x.len(),
        kernel: Gates::Each(vec![kernels]),
        recurrent_kernel: Gates::Each(vec![recurrent_kernels]),
        bias: Some(Gates::Whole(Const::floats(&source, &[1, 2 * rows], &values))),
        peepholes: None,
        projections: Vec::new(),
        initial_hidden: None,
        initial_cell: None,
        backwards: vec![false],
        activations: vec![activations],
        clip: None,
        state_clips: (None, None),
        coupled: false,
        is_mirrored: false,
    });
    let op = Op::Recurrent { both: Rc::clone(&both), direction: 0, is_aligned: false };
    let flow = below.pushed(node.name(), op, Some(units)).ok_or_else(|| node.too_long())?;
    // Data of a table of ids are none of one step by themselves.
    let flow = Flow { is_stepped: true, ..flow };
    Ok(Rc::new(Step { both, flow, hidden, cell: state }))
}
