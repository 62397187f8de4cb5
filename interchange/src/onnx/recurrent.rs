//! RNN, LSTM and GRU, and `DynamicQuantizeLSTM` of the domain `com.microsoft`.
//!
//! The slots of LSTM: X, W, R, B, sequence_lens, initial_h, initial_c, P; those of the others end with initial_h. X is [steps, sequences, features], and
//! [sequences, steps, features] in the layout 1. Outputs: Y [steps, directions, sequences, units], Y_h and Y_c [directions, sequences, units]; in the layout 1
//! the sequences are the first axis of each.

use std::rc::Rc;

use super::activations::{named, usual};
use super::chain::{Activations, Both, Gates, Op};
use super::node::{EXPORT_AGAIN, Given, Node};
use super::tensor::{Const, Quantized};
use super::value::{Axis, Chosen, Flow, Head, Role, Value};
use crate::Error;
use crate::described::{Cell, Merge};

/// The cell of an operator that is recurrent.
fn cell_of(node: &Node<'_>) -> Cell {
    match node.kind() {
        "RNN" => Cell::Rnn,
        "GRU" => Cell::Gru { reset_after: node.int("linear_before_reset", 0) != 0 },
        _ => Cell::Lstm,
    }
}

/// Reads a recurrent node.
///
/// # Errors
/// Names the tensor that has another shape than the node declares, and the node where it does what a description has not.
pub(crate) fn read(node: &Node<'_>) -> Given {
    let mut flow = node.settled(0)?;
    let layout = node.int("layout", 0);
    let (steps, sequences) = match layout {
        0 => (0, 1),
        1 => (1, 0),
        other => return node.refuse(format!("its layout is {other}"), EXPORT_AGAIN),
    };
    if flow.axes.len() != 3 {
        let problem = format!("it reads {} axes, and steps, sequences and features are three", flow.axes.len());
        return node.refuse(problem, EXPORT_AGAIN);
    }
    for (axis, role) in [(steps, Role::Step), (sequences, Role::Batch), (2, Role::Feature)] {
        node.says(&mut flow, axis, role)?;
    }
    let count = flow.axes[steps].size;
    all_steps(node, count)?;
    let mut both = both(node, &flow, layout == 1)?;
    if flow.is_reversed {
        // Steps that come from the last to the first, read forward, are steps that are read back.
        if both.backwards != [false] {
            return node.refuse("it reads steps back that come from the last to the first", "read them forward");
        }
        both.backwards = vec![true];
    }
    let both = Rc::new(both);
    let is_input = |slot: usize| matches!(node.input(slot), Some(Value::Flow(flow)) if flow.is_input());
    // Its state comes from the caller, who hands in one step at a time.
    flow.is_stepped |= is_input(5) && count == Some(1);
    outputs(node, &flow, &both, layout == 1)
}

/// Refuses lengths of sequences that are not all steps.
fn all_steps(node: &Node<'_>, steps: Option<usize>) -> Result<(), Error> {
    let remedy = "export it without sequence_lens: a stream reads all its steps";
    let known = match node.input(4) {
        None => return Ok(()),
        // A size of the input itself, which has no number.
        Some(Value::Ints(ints)) if ints.values.iter().all(Option::is_none) && steps.is_none() => return Ok(()),
        Some(Value::Const(tensor)) => tensor.ints().unwrap_or_default(),
        Some(Value::Filled(length)) => vec![*length as i64],
        Some(other) => return node.refuse(format!("its sequence_lens are {}", other.what()), remedy),
    };
    let all = steps.and_then(|steps| i64::try_from(steps).ok());
    match known.iter().find(|length| Some(**length) != all) {
        None => Ok(()),
        Some(length) => {
            let steps = steps.map_or_else(|| "steps without a number".to_owned(), |steps| format!("{steps} steps"));
            node.refuse(format!("its sequence_lens say {length} of {steps}"), remedy)
        }
    }
}

/// The directions of a node, and which of them read back.
fn directions(node: &Node<'_>) -> Result<Vec<bool>, Error> {
    match node.text("direction").as_deref() {
        None | Some("forward") => Ok(vec![false]),
        Some("reverse") => Ok(vec![true]),
        Some("bidirectional") => Ok(vec![false, true]),
        Some(other) => {
            let problem = format!("its direction is {:?}, and not forward, reverse or bidirectional", other);
            node.refuse(problem, EXPORT_AGAIN)
        }
    }
}

/// The tensors of a node, held to their shapes.
fn both(node: &Node<'_>, flow: &Flow, is_layout_1: bool) -> Result<Both, Error> {
    let cell = cell_of(node);
    let backwards = directions(node)?;
    let (count, gates) = (backwards.len(), cell.gates());
    let (kernel, recurrent_kernel) = if node.kind() == "DynamicQuantizeLSTM" {
        (dequantized(node, 1, 8)?, dequantized(node, 2, 10)?)
    } else {
        (node.weights(1)?, node.weights(2)?)
    };
    let shape = recurrent_kernel.dims();
    let of_kernel = shape.last().copied().filter(|_| shape.len() == 3).unwrap_or(0);
    let units = match node.attribute("hidden_size").and_then(|size| size.i) {
        Some(size) => usize::try_from(size).ok().filter(|size| (1..=1 << 24).contains(size)),
        None => Some(of_kernel).filter(|size| (1..=1 << 24).contains(size)),
    };
    let Some(units) = units else { return node.refuse("its hidden_size is no number of units", EXPORT_AGAIN) };
    node.expect(&recurrent_kernel, &[count, gates * units, units])?;
    let shape = kernel.dims();
    let inputs = shape.get(2).copied().or(flow.features()).unwrap_or(0);
    node.expect(&kernel, &[count, gates * units, inputs])?;
    node.fits(flow, &kernel, inputs)?;
    let optional = |slot: usize, shape: &[usize]| -> Result<Option<Const>, Error> {
        if node.input(slot).is_none() {
            return Ok(None);
        }
        let tensor = node.weights(slot)?;
        node.expect(&tensor, shape)?;
        Ok(Some(tensor))
    };
    let is_lstm = cell == Cell::Lstm;
    Ok(Both {
        name: node.name().to_owned(),
        cell,
        units,
        inputs,
        bias: optional(3, &[count, 2 * gates * units])?.map(Gates::Whole),
        peepholes: if is_lstm { optional(7, &[count, 3 * units])?.map(Gates::Whole) } else { None },
        projections: Vec::new(),
        initial_hidden: initial(node, 5, (count, units), is_layout_1)?,
        initial_cell: if is_lstm { initial(node, 6, (count, units), is_layout_1)? } else { None },
        kernel: Gates::Whole(kernel),
        recurrent_kernel: Gates::Whole(recurrent_kernel),
        activations: activations(node, cell, count)?,
        backwards,
        clip: clip(node)?,
        state_clips: (None, None),
        coupled: is_lstm && node.int("input_forget", 0) != 0,
        is_mirrored: false,
    })
}

/// What the sums before activations are held to. The standard says "the input of activations"; as ONNX Runtime has it, that of an LSTM's cell on its way to h is
/// none of them.
fn clip(node: &Node<'_>) -> Result<Option<f32>, Error> {
    match node.float("clip") {
        None => Ok(None),
        Some(clip) if clip.is_finite() && clip > 0.0 => Ok(Some(clip).filter(|clip| *clip < f32::MAX)),
        Some(clip) => node.refuse(format!("its clip is {clip}, and not a positive number"), EXPORT_AGAIN),
    }
}

/// The state before the first step, [directions, sequences, units], where it is a constant that is not zeros.
fn initial(
    node: &Node<'_>,
    slot: usize,
    (count, units): (usize, usize),
    is_layout_1: bool,
) -> Result<Option<Const>, Error> {
    let tensor = match node.input(slot) {
        None => return Ok(None),
        Some(Value::Filled(0.0)) => return Ok(None),
        // The caller keeps the state, and a stream begins with zeros.
        Some(Value::Flow(flow)) if flow.is_input() => return Ok(None),
        Some(Value::Filled(value)) => {
            let all = Const::floats("", &[1, 1, 1], &[*value]);
            return Ok(all.expanded(&[count, 1, units]));
        }
        Some(Value::Const(_)) => node.weights(slot)?,
        Some(other) => {
            let problem = format!("its state before the first step is {}", other.what());
            return node.refuse(problem, "begin with zeros, or with trained values");
        }
    };
    let shape = tensor.dims();
    if shape.len() != 3 {
        node.expect(&tensor, &[count, 1, units])?;
    }
    let sequences = usize::from(!is_layout_1);
    let batch = shape[sequences];
    let shape = if is_layout_1 { [batch, count, units] } else { [count, batch, units] };
    node.expect(&tensor, &shape)?;
    let of = |sequence: usize| tensor.sliced(sequences, sequence, 1, 1);
    let first = match of(0) {
        Some(first) => first,
        None => return node.refuse("its state before the first step is that of no sequence", EXPORT_AGAIN),
    };
    let (place, budget) = (node.context.place, node.context.budget);
    let values = first.values(place, budget)?;
    for sequence in 1..batch {
        let other = of(sequence).map(|other| other.values(place, budget)).transpose()?;
        if other.as_deref() != Some(&values[..]) {
            let problem = format!("its sequences begin in different states: those of 0 and of {sequence}");
            return node.refuse(problem, "export it with one sequence, or with one state for all");
        }
    }
    Ok(if is_layout_1 { first.transposed(&[1, 0, 2]) } else { Some(first) })
}

/// The activations of each direction, with the numbers in their equations; those of gates, candidates and cells.
fn activations(node: &Node<'_>, cell: Cell, count: usize) -> Result<Vec<Activations>, Error> {
    let each = match cell {
        Cell::Lstm => 3,
        Cell::Gru { .. } => 2,
        Cell::Rnn => 1,
    };
    let Some(names) = node.attribute("activations").map(|attribute| &attribute.strings).filter(|all| !all.is_empty())
    else {
        return Ok(vec![usual(cell); count]);
    };
    if names.len() != each * count {
        let problem = format!("it names {} activations, and {} are declared", names.len(), each * count);
        return node.refuse(problem, EXPORT_AGAIN);
    }
    let numbers = |name: &str| node.attribute(name).map_or(&[][..], |attribute| attribute.floats.as_slice()).iter();
    let (mut alphas, mut betas) = (numbers("activation_alpha").copied(), numbers("activation_beta").copied());
    let mut all = Vec::new();
    for name in names {
        let name = String::from_utf8_lossy(name);
        match named(&name, &mut alphas, &mut betas) {
            Some(activation) => all.push(activation),
            None => {
                let problem = format!("its activation {:?} is not read", name);
                return node.refuse(problem, "train with one of those that ONNX names");
            }
        }
    }
    let of = |all: &[_]| match *all {
        [gates, candidates, cell] => [gates, candidates, cell],
        [gates, candidates] => [gates, candidates, candidates],
        _ => [all[0]; 3],
    };
    Ok(all.chunks_exact(each).map(of).collect())
}

/// A kernel of `DynamicQuantizeLSTM`, [directions, inputs, gates·units] in 8 bits, as [directions, gates·units, inputs] with what its numbers are worth: a
/// scale for each direction, or for each row of each.
fn dequantized(node: &Node<'_>, slot: usize, scales: usize) -> Result<Const, Error> {
    let missing = || node.error(format!("its input {slot} is missing"), EXPORT_AGAIN);
    let tensor = node.constant(slot)?.ok_or_else(missing)?;
    let scale = node.weights(scales)?;
    let shape = tensor.dims();
    let &[count, inputs, rows] = shape.as_slice() else {
        let problem = format!("its shape is {shape:?}, but three axes are declared");
        return Err(Error::new(node.tensor(&tensor), problem, EXPORT_AGAIN));
    };
    let is_of_rows = scale.dims() == [count, rows];
    if !is_of_rows {
        node.expect(&scale, &[count])?;
    }
    let (place, budget) = (node.context.place, node.context.budget);
    let scale = scale.values(place, budget)?;
    let zero = match node.constant(scales + 1)? {
        Some(zero) if zero.len() == scale.len() => zero.values(place, budget)?,
        None => vec![0.0; scale.len()],
        Some(zero) => {
            let problem = format!("it has {} numbers, and there are {} scales", zero.len(), scale.len());
            return Err(Error::new(node.tensor(&zero), problem, EXPORT_AGAIN));
        }
    };
    let axes =
        if is_of_rows { vec![(count, rows), (inputs, 0), (rows, 1)] } else { vec![(count, 1), (inputs, 0), (rows, 0)] };
    let view = tensor.quantized(Quantized { scale, zero, axes }).and_then(|tensor| tensor.transposed(&[0, 2, 1]));
    view.ok_or_else(|| node.error("its weights are a part of a tensor", "export it again"))
}

/// Y, Y_h and Y_c. Those of a node that is called step by step are of each step.
fn outputs(node: &Node<'_>, below: &Flow, both: &Rc<Both>, is_layout_1: bool) -> Given {
    let batch = below.axes[usize::from(!is_layout_1)];
    let steps = below.axes[usize::from(is_layout_1)];
    let features = Axis::new(Role::Feature, Some(both.features()));
    let directions = match both.backwards.len() {
        1 => Axis::one(),
        count => Axis::new(Role::Direction, Some(count)),
    };
    let (of_steps, of_last) = if is_layout_1 {
        (vec![batch, steps, directions, features], vec![batch, directions, features])
    } else {
        (vec![steps, directions, batch, features], vec![directions, batch, features])
    };
    let head = |each_step: bool, axes: Vec<Axis>| {
        let chosen = if both.backwards.len() == 1 { Chosen::One(0) } else { Chosen::Two(Merge::Concat) };
        let head = Head { both: Rc::clone(both), each_step, chosen };
        Flow { axes, head: Some(head), ..below.clone() }
    };
    let all = head(true, of_steps);
    // The state behind one step is the output of that step.
    let last = if below.is_stepped { head(true, of_last) } else { head(false, of_last) };
    let settle = |flow: Flow| match both.backwards.len() {
        1 => {
            let mut settled = flow.settled().ok_or_else(|| node.too_long())?;
            settled.is_reversed = false;
            // Then its outputs have the order in which they are read.
            let other = if below.is_reversed { turned(&settled) } else { None };
            Ok(other.unwrap_or(settled))
        }
        _ => Ok(flow),
    };
    let (all, last) = (settle(all)?, settle(last)?);
    let last = Flow { is_state: true, ..last };
    Ok(vec![Some(Value::Flow(all)), Some(Value::Flow(last)), Some(Value::State)])
}

/// The same with the outputs of a layer that reads back in the other order; nothing where no such layer is the last.
pub(crate) fn turned(flow: &Flow) -> Option<Flow> {
    let link = flow.chain.as_ref().filter(|_| flow.head.is_none())?;
    let Op::Recurrent { both, direction, is_aligned } = &link.op else { return None };
    if !*both.backwards.get(*direction)? {
        return None;
    }
    let below = Flow { chain: link.below.clone(), ..flow.clone() };
    let op = Op::Recurrent { both: Rc::clone(both), direction: *direction, is_aligned: !is_aligned };
    below.pushed(&link.name, op, Some(both.features()))
}

/// Takes the place of the last output of a layer that reads back, where its output at the first step is asked for.
pub(crate) fn behind_all_steps(flow: &Flow) -> Option<Flow> {
    let link = flow.chain.as_ref()?;
    let Op::Recurrent { both, direction, is_aligned: true } = &link.op else { return None };
    if !both.backwards[*direction] {
        return None;
    }
    let below = Flow { chain: link.below.clone(), ..flow.clone() };
    let op = Op::Recurrent { both: Rc::clone(both), direction: *direction, is_aligned: false };
    let features = Some(both.features());
    below.pushed(&link.name, op, features)?.pushed(&link.name, Op::Last, features)
}
