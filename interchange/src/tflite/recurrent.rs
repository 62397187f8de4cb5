//! The recurrent operators: UNIDIRECTIONAL_SEQUENCE_LSTM and _RNN, and their bidirectional ones.
//!
//! ```text
//! UNIDIRECTIONAL_SEQUENCE_LSTM   0 x [sequences, steps, inputs], or [steps, sequences, inputs] where time_major
//!     1..=4    W of i, f, c, o [units, inputs]          12..=15  b of i, f, c, o [units]
//!     5..=8    U of i, f, c, o [units, features]        16, 17   projection [features, units] and its bias [features]
//!     9..=11   peepholes of i, f, o [units]             18, 19   the states, which are variables      20..=23 normalizations of the gates
//! BIDIRECTIONAL_SEQUENCE_LSTM    0 x, 1..=17 forward as above, 18..=34 backward, 35..=38 states, 39 x of another layer, 40..=47 its weights
//! UNIDIRECTIONAL_SEQUENCE_RNN    0 x, 1 W, 2 U, 3 b, 4 state
//! BIDIRECTIONAL_SEQUENCE_RNN     0 x, 1..=3 forward, 4 state, 5..=7 backward, 8 state, 9 x of another layer, 10, 11 its weights
//! ```
//!
//! Without weights of the input gate (coupled gates) i = 1 - f. As the interpreter has it, the cell is held to cell_clip where that is greater than 0, before
//! the output gate sees it, and the projected state to proj_clip. The states stay from one call to the next: a model that is called with one step is
//! called step by step. tensorflow/lite/kernels/lstm_eval.cc is the judge.

use std::rc::Rc;

use super::call::Call;
use super::words::AGAIN;
use crate::Error;
use crate::described::{Activation, Cell, Merge};
use crate::onnx::chain::{Both, Gates, Op};
use crate::onnx::node::{Given, Node, OTHERWISE};
use crate::onnx::tensor::Const;
use crate::onnx::value::{Flow, Role, Value};

/// What the options of an operator say.
struct Options {
    activation: Activation,
    clips: (Option<f32>, Option<f32>),
    is_time_major: bool,
    /// Whether both directions come side by side.
    is_merged: bool,
}

/// The tensors of one direction.
struct Direction {
    kernel: Vec<Const>,
    recurrent_kernel: Vec<Const>,
    bias: Vec<Const>,
    peepholes: Vec<Const>,
    projection: Option<Const>,
    units: usize,
    is_coupled: bool,
}

/// Reads the operator, where it is one of these.
pub(crate) fn read(call: &Call<'_>) -> Option<Given> {
    Some(match &*call.shown {
        "UNIDIRECTIONAL_SEQUENCE_LSTM" => lstm(call, &[1]),
        "BIDIRECTIONAL_SEQUENCE_LSTM" => lstm(call, &[1, 18]),
        "UNIDIRECTIONAL_SEQUENCE_RNN" => rnn(call, &[1]),
        "BIDIRECTIONAL_SEQUENCE_RNN" => rnn(call, &[1, 5]),
        _ => return None,
    })
}

/// The activation of this number in the schema.
fn activation(call: &Call<'_>, number: u8) -> Result<Activation, Error> {
    match number {
        0 => Ok(Activation::Linear),
        1 => Ok(Activation::Relu),
        4 => Ok(Activation::Tanh),
        other => call.refuse(format!("its activation {other} is not read"), "train with tanh or relu"),
    }
}

fn lstm(call: &Call<'_>, begins: &[usize]) -> Given {
    let is_both = begins.len() == 2;
    let (function, cell, projection, is_merged, is_time_major, is_diagonal) =
        call.option((0, 0.0, 0.0, false, is_both, false), |options| {
            let clips = (options.f32(1, 0.0)?, options.f32(2, 0.0)?);
            let flags = if is_both {
                (options.bool(3, false)?, options.bool(4, true)?, false)
            } else {
                (false, options.bool(3, false)?, options.bool(5, false)?)
            };
            Some((options.u8(0, 0)?, clips.0, clips.1, flags.0, flags.1, flags.2))
        })?;
    if is_diagonal {
        return call.refuse("its recurrent weights are diagonal", "convert the model without diagonal weights");
    }
    let held = |clip: f32| Some(clip).filter(|clip| *clip > 0.0 && clip.is_finite());
    let clips = (held(cell), held(projection));
    let options = Options { activation: activation(call, function)?, clips, is_time_major, is_merged };
    let message = call.message(&call.shown, Vec::new());
    let node = call.node(&message, call.inputs.clone());
    if is_both && (39..48).any(|slot| node.input(slot).is_some()) {
        return call.refuse("it reads the steps of another layer beside its own", OTHERWISE);
    }
    if let Some(tensor) = (20..24).filter(|_| !is_both).find_map(|slot| node.constant(slot).transpose()) {
        let name = tensor?.name().escape_debug().to_string();
        return call.refuse(format!("it normalizes its gates (tensor {name})"), "train it without layer normalization");
    }
    let (flow, steps) = entered(&node, options.is_time_major)?;
    let directions: Result<Vec<Direction>, Error> =
        begins.iter().map(|&begin| lstm_direction(&node, &flow, begin)).collect();
    outputs(&node, flow, steps, (Cell::Lstm, directions?), &options)
}

/// The data as steps, sequences and features, and the axis of steps.
fn entered(node: &Node<'_>, is_time_major: bool) -> Result<(Flow, usize), Error> {
    let mut flow = node.settled(0)?;
    if flow.axes.len() != 3 {
        let problem = format!("it reads {} axes, and steps, sequences and features are three", flow.axes.len());
        return node.refuse(problem, AGAIN);
    }
    let steps = usize::from(!is_time_major);
    for (axis, role) in [(steps, Role::Step), (1 - steps, Role::Batch), (2, Role::Feature)] {
        node.says(&mut flow, axis, role)?;
    }
    Ok((flow, steps))
}

/// The tensors of the slots, each of this shape.
fn tensors(node: &Node<'_>, slots: &[usize], shape: &[usize]) -> Result<Vec<Const>, Error> {
    let mut found = Vec::new();
    for &slot in slots {
        let tensor = node.weights(slot)?;
        node.expect(&tensor, shape)?;
        found.push(tensor);
    }
    Ok(found)
}

/// The direction whose weights begin at this slot, held to the shapes that they declare for each other.
fn lstm_direction(node: &Node<'_>, flow: &Flow, begin: usize) -> Result<Direction, Error> {
    let forget = node.weights(begin + 1)?;
    let shape = forget.dims();
    let &[units, inputs] = shape.as_slice() else {
        let problem = format!("its shape is {shape:?}, but [units, inputs] is declared");
        return Err(Error::new(node.tensor(&forget), problem, AGAIN));
    };
    node.fits(flow, &forget, inputs)?;
    let recurrent = node.weights(begin + 5)?;
    let features = recurrent.dims().get(1).copied().unwrap_or(0);
    let has = |slot: usize| node.input(begin + slot).is_some();
    let is_coupled = !has(0);
    if is_coupled && (has(4) || has(8) || has(11)) || (!is_coupled && !has(4)) {
        return node.refuse("it has a part of the weights of its input gate", AGAIN);
    }
    // A coupled input gate has the rows of the forget gate, mirrored: 1 - σ(z) = σ(-z).
    let input = usize::from(is_coupled);
    let at = |places: [usize; 4]| places.map(|place| begin + place);
    let kernel = tensors(node, &at([input, 1, 2, 3]), &[units, inputs])?;
    let recurrent_kernel = tensors(node, &at([4 + input, 5, 6, 7]), &[units, features])?;
    let bias = tensors(node, &at([11 + input, 12, 13, 14]), &[units])?;
    let peepholes = if (8..11).any(has) {
        tensors(node, &[begin + 8 + input, begin + 9, begin + 10], &[units])?
    } else {
        Vec::new()
    };
    let projection = if has(15) { tensors(node, &[begin + 15], &[features, units])?.pop() } else { None };
    if projection.is_none() && features != units {
        node.expect(&recurrent, &[units, units])?;
    }
    if has(16) {
        let bias = node.weights(begin + 16)?;
        if bias.values(node.context.place, node.context.budget)?.iter().any(|value| *value != 0.0) {
            let problem = format!("its projection has a bias (tensor {})", bias.name().escape_debug());
            return node.refuse(problem, "train it without this bias");
        }
    }
    Ok(Direction { kernel, recurrent_kernel, bias, peepholes, projection, units, is_coupled })
}

fn rnn(call: &Call<'_>, begins: &[usize]) -> Given {
    let is_both = begins.len() == 2;
    let (function, is_time_major, is_merged) = call.option((0, false, false), |options| {
        let is_merged = if is_both { options.bool(2, false)? } else { false };
        Some((options.u8(1, 0)?, options.bool(0, false)?, is_merged))
    })?;
    let options = Options { activation: activation(call, function)?, clips: (None, None), is_time_major, is_merged };
    let message = call.message(&call.shown, Vec::new());
    let node = call.node(&message, call.inputs.clone());
    if is_both && (9..12).any(|slot| node.input(slot).is_some()) {
        return call.refuse("it reads the steps of another layer beside its own", OTHERWISE);
    }
    let (flow, steps) = entered(&node, options.is_time_major)?;
    let mut directions = Vec::new();
    for &begin in begins {
        let kernel = node.weights(begin)?;
        let shape = kernel.dims();
        let &[units, inputs] = shape.as_slice() else {
            let problem = format!("its shape is {shape:?}, but [units, inputs] is declared");
            return Err(Error::new(node.tensor(&kernel), problem, AGAIN));
        };
        node.fits(&flow, &kernel, inputs)?;
        directions.push(Direction {
            kernel: vec![kernel],
            recurrent_kernel: tensors(&node, &[begin + 1], &[units, units])?,
            bias: tensors(&node, &[begin + 2], &[units])?,
            peepholes: Vec::new(),
            projection: None,
            units,
            is_coupled: false,
        });
    }
    outputs(&node, flow, steps, (Cell::Rnn, directions), &options)
}

/// The layer as what is computed of it, and its outputs of each step.
fn outputs(
    node: &Node<'_>,
    mut flow: Flow,
    steps: usize,
    (cell, directions): (Cell, Vec<Direction>),
    options: &Options,
) -> Given {
    let is_both = directions.len() == 2;
    if is_both && flow.is_reversed {
        return node.refuse("it reads steps back that come from the last to the first", "read them forward");
    }
    let backwards = if is_both { vec![false, true] } else { vec![flow.is_reversed] };
    flow.is_reversed = false;
    // The states stay from call to call.
    flow.is_stepped |= flow.axes[steps].size == Some(1);
    let both = Rc::new(joined(node, &flow, (cell, directions), backwards, options)?);
    let features = both.features();
    // Steps that came from the last to the first have outputs in this order; those of two directions stand at their steps.
    let is_aligned = is_both || both.backwards != [true];
    let one = |direction: usize| {
        let op = Op::Recurrent { both: Rc::clone(&both), direction, is_aligned };
        flow.pushed(node.name(), op, Some(features)).ok_or_else(|| node.too_long())
    };
    if is_both && options.is_merged {
        let directions = [(Rc::clone(&both), 0), (Rc::clone(&both), 1)];
        let op = Op::Directions { directions, merge: Merge::Concat, each_step: true };
        let side_by_side = flow.pushed(node.name(), op, Some(features.saturating_mul(2)));
        return side_by_side.map(Node::gives).ok_or_else(|| node.too_long());
    }
    (0..both.backwards.len()).map(|direction| Ok(Some(Value::Flow(one(direction)?)))).collect()
}

/// Both directions as one operator of ONNX, whose sizes they share.
fn joined(
    node: &Node<'_>,
    flow: &Flow,
    (cell, directions): (Cell, Vec<Direction>),
    backwards: Vec<bool>,
    options: &Options,
) -> Result<Both, Error> {
    let Some((units, is_coupled)) = directions.first().map(|first| (first.units, first.is_coupled)) else {
        return node.refuse("it has no direction", AGAIN);
    };
    let features = |direction: &Direction| {
        let projected = direction.projection.as_ref().and_then(|projection| projection.dims().first().copied());
        (direction.units, projected, direction.is_coupled, direction.peepholes.is_empty())
    };
    if directions.iter().any(|other| features(other) != features(&directions[0])) {
        return node.refuse("its directions have different sizes or gates", "train both directions alike");
    }
    let inputs = directions[0].kernel.first().and_then(|kernel| kernel.dims().get(1).copied()).unwrap_or(0);
    for kernel in directions.iter().flat_map(|direction| &direction.kernel) {
        node.expect(kernel, &[units, inputs])?;
        node.fits(flow, kernel, inputs)?;
    }
    let (mut kernels, mut recurrent, mut biases, mut peepholes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut projections = Vec::new();
    let count = directions.len();
    for direction in directions {
        kernels.push(direction.kernel);
        recurrent.push(direction.recurrent_kernel);
        biases.push(direction.bias);
        peepholes.push(direction.peepholes);
        projections.extend(direction.projection);
    }
    let act = options.activation;
    let gates = if cell == Cell::Rnn { act } else { Activation::Sigmoid };
    Ok(Both {
        name: node.name().to_owned(),
        cell,
        units,
        inputs,
        kernel: Gates::Each(kernels),
        recurrent_kernel: Gates::Each(recurrent),
        bias: Some(Gates::Each(biases)),
        peepholes: Some(Gates::Each(peepholes)).filter(has_some),
        projections,
        initial_hidden: None,
        initial_cell: None,
        backwards,
        activations: vec![[gates, act, act]; count],
        clip: None,
        state_clips: options.clips,
        coupled: is_coupled,
        is_mirrored: is_coupled,
    })
}

/// Whether there is a tensor among them, which may have no name.
fn has_some(gates: &Gates) -> bool {
    matches!(gates, Gates::Each(directions) if directions.iter().any(|gates| !gates.is_empty()))
}
