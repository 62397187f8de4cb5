//! Convolutions over time, and poolings of windows and of all steps.

use super::chain::Op;
use super::node::{EXPORT_AGAIN, Given, Node, OTHERWISE};
use super::value::{Axis, Chosen, Flow, Head, Role, Value};
use crate::Error;
use crate::described::{MaxPool, Merge, Padding, Pooling};

/// Reads the operator of a node, where it is one of these.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    Some(match node.kind() {
        "Conv" => conv(node),
        "Pad" => pad(node),
        "MaxPool" => max_pool(node),
        "GlobalAveragePool" => global(node, Pooling::Mean),
        "GlobalMaxPool" => global(node, Pooling::Max),
        "ReduceMean" => reduce(node, Pooling::Mean, Some(Merge::Mean)),
        "ReduceMax" => reduce(node, Pooling::Max, None),
        "ReduceSum" => directions(node),
        _ => return None,
    })
}

/// The axis of steps of data [sequences, features, steps], where one more axis may have one place.
fn spatial(node: &Node<'_>, flow: &mut Flow) -> Result<usize, Error> {
    let count = flow.axes.len();
    if !(3..=4).contains(&count) {
        return node.refuse(format!("it reads {count} axes, and [sequences, features, steps] are read"), OTHERWISE);
    }
    node.says(flow, 0, Role::Batch)?;
    node.says(flow, 1, Role::Feature)?;
    let long: Vec<usize> = (2..count).filter(|&axis| flow.axes[axis].role != Role::One).collect();
    let axis = match long.as_slice() {
        &[axis] => axis,
        // Steps that are one.
        [] => count - 1,
        _ => return node.refuse("its windows have two axes", "train with windows over time alone"),
    };
    node.says(flow, axis, Role::Step)?;
    if flow.is_reversed {
        return node.refuse("its windows read the steps from the last to the first", "keep their order");
    }
    Ok(axis)
}

/// The number of an attribute for the axis of steps; those of an axis of one place must be plain.
fn of_axis(node: &Node<'_>, name: &str, axes: usize, axis: usize, plain: i64) -> Result<i64, Error> {
    let Some(numbers) = node.ints(name) else { return Ok(plain) };
    if numbers.len() != axes - 2 {
        return node.refuse(format!("its {name} are {numbers:?}, of {} axes", axes - 2), EXPORT_AGAIN);
    }
    match (2..axes).find(|&other| other != axis && numbers[other - 2] != plain) {
        Some(other) => node.refuse(format!("its {name} are {numbers:?}, and axis {other} has one place"), OTHERWISE),
        None => Ok(numbers[axis - 2]),
    }
}

/// Zeros before the steps and behind them; those of other axes must be none.
fn pads_of(node: &Node<'_>, pads: &[i64], axes: usize, axis: usize, first: usize) -> Result<(usize, usize), Error> {
    let length = axes - first;
    if pads.len() != 2 * length {
        return node.refuse(format!("its pads are {pads:?}, of {length} axes"), EXPORT_AGAIN);
    }
    let step = axis - first;
    let others = pads.iter().enumerate().filter(|(place, _)| place % length != step);
    if others.into_iter().any(|(_, pad)| *pad != 0) {
        return node.refuse(format!("its pads are {pads:?}, and only steps can be padded"), OTHERWISE);
    }
    let size = |pad: i64| usize::try_from(pad).ok().filter(|pad| *pad <= 1 << 24);
    match (size(pads[step]), size(pads[length + step])) {
        (Some(before), Some(behind)) => Ok((before, behind)),
        _ => node.refuse(format!("its pads are {pads:?}"), OTHERWISE),
    }
}

/// The sizes of a window: its frames and its stride.
fn window(node: &Node<'_>, axes: usize, axis: usize, frames: i64) -> Result<(usize, usize), Error> {
    let stride = of_axis(node, "strides", axes, axis, 1)?;
    if of_axis(node, "dilations", axes, axis, 1)? != 1 {
        return node.refuse("its window has gaps (dilations)", "train without dilation");
    }
    let size = |size: i64| usize::try_from(size).ok().filter(|size| (1..=1 << 24).contains(size));
    match (size(frames), size(stride)) {
        (Some(frames), Some(stride)) => Ok((frames, stride)),
        _ => node.refuse(format!("its window has {frames} steps and the stride {stride}"), EXPORT_AGAIN),
    }
}

/// Steps that are left of a sequence.
fn left(steps: Option<usize>, frames: usize, stride: usize, pads: (usize, usize)) -> Option<usize> {
    steps.map(|steps| (steps + pads.0 + pads.1 + 1).saturating_sub(frames).div_ceil(stride))
}

fn conv(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let before = flow.pads;
    let mut flow = node.chained(&Flow { pads: (0, 0), ..flow.clone() })?;
    let axis = spatial(node, &mut flow)?;
    let axes = flow.axes.len();
    if node.int("group", 1) != 1 {
        return node.refuse("its features are in groups", "train without groups");
    }
    let mut kernel = node.weights(1)?;
    let dims = kernel.dims();
    if dims.len() != axes {
        let problem = format!("its shape is {dims:?}, and data have {axes} axes");
        return Err(Error::new(node.tensor(&kernel), problem, EXPORT_AGAIN));
    }
    let (units, inputs, frames) = (dims[0], dims[1], dims[axis]);
    if let Some(other) = (2..axes).find(|&other| other != axis) {
        if dims[other] != 1 {
            return node.refuse("its windows have two axes", "train with windows over time alone");
        }
        kernel = kernel.picked(other, 0).ok_or_else(|| node.error("its window has no frame", EXPORT_AGAIN))?;
    }
    node.fits(&flow, &kernel, inputs)?;
    let (frames, stride) = window(node, axes, axis, frames as i64)?;
    let own = match node.text("auto_pad").as_deref() {
        None | Some("NOTSET") => match node.ints("pads") {
            Some(pads) => pads_of(node, pads, axes, axis, 2)?,
            None => (0, 0),
        },
        Some("VALID") => (0, 0),
        Some("SAME_UPPER") if stride == 1 => ((frames - 1) / 2, frames / 2),
        Some("SAME_LOWER") if stride == 1 => (frames / 2, (frames - 1) / 2),
        Some(other) => {
            let problem = format!("its auto_pad is {other:?} with the stride {stride}");
            return node.refuse(problem, "train it with causal padding, or without");
        }
    };
    let pads = (before.0 + own.0, before.1 + own.1);
    let padding = match pads {
        (0, 0) => Padding::Valid,
        (before, 0) if before + 1 == frames => Padding::Causal,
        (before, behind) if before == (frames - 1) / 2 && behind == frames / 2 => Padding::Same,
        (before, behind) => {
            let problem = format!("it pads {before} steps before and {behind} behind, and its window has {frames}");
            return node.refuse(problem, "pad so that its output has as many steps, before them or around");
        }
    };
    flow.axes[axis].size = left(flow.axes[axis].size, frames, stride, pads);
    let biased = flow.pushed(node.name(), Op::Conv { kernel, stride, padding }, Some(units));
    let mut flow = biased.ok_or_else(|| node.too_long())?;
    if node.input(2).is_some() {
        let bias = node.weights(2)?;
        node.expect(&bias, &[units])?;
        let shift: Vec<f64> =
            bias.values(node.context.place, node.context.budget)?.into_iter().map(f64::from).collect();
        let affine = crate::affine::Affine { scale: vec![1.0; shift.len()], shift };
        flow = flow
            .pushed(node.name(), Op::Affine(affine, bias.name().to_owned()), None)
            .ok_or_else(|| node.too_long())?;
    }
    Ok(Node::gives(flow))
}

/// Zeros around the steps, for the convolution behind it.
fn pad(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let mut flow = flow.settled().ok_or_else(|| node.too_long())?;
    if node.text("mode").is_some_and(|mode| mode != "constant") {
        return node.refuse("it repeats steps at the ends", "pad with zeros");
    }
    let value = match node.input(2) {
        Some(Value::Const(tensor)) => tensor.few().and_then(|values| values.first().copied()).unwrap_or(f64::NAN),
        Some(Value::Filled(value)) => f64::from(*value),
        Some(_) => f64::NAN,
        None => node.float("value").map_or(0.0, f64::from),
    };
    let Some(pads) = node.ints_of("pads", 1)? else { return node.refuse("its pads are missing", EXPORT_AGAIN) };
    if pads.iter().all(|pad| *pad == 0) {
        return Ok(Node::gives(flow));
    }
    if value != 0.0 {
        return node.refuse(format!("it pads with {value}"), "pad with zeros");
    }
    if node.input(3).is_some() {
        return node.refuse("it names axes", "export it with the pads of all axes");
    }
    let axes = flow.axes.len();
    let Some(axis) =
        pads.iter().position(|pad| *pad != 0).map(|place| place % axes.max(1)).filter(|_| pads.len() == 2 * axes)
    else {
        return node.refuse(format!("its pads are {pads:?}, of {axes} axes"), EXPORT_AGAIN);
    };
    node.says(&mut flow, axis, Role::Step)?;
    let (before, behind) = pads_of(node, &pads, axes, axis, 0)?;
    flow.pads = (flow.pads.0 + before, flow.pads.1 + behind);
    Ok(Node::gives(flow))
}

fn max_pool(node: &Node<'_>) -> Given {
    let mut flow = node.settled(0)?;
    let axis = spatial(node, &mut flow)?;
    let axes = flow.axes.len();
    let frames = of_axis(node, "kernel_shape", axes, axis, 1)?;
    let (frames, stride) = window(node, axes, axis, frames)?;
    let is_valid = matches!(node.text("auto_pad").as_deref(), None | Some("NOTSET" | "VALID"));
    let pads = node.ints("pads").unwrap_or(&[]);
    if !is_valid || pads.iter().any(|pad| *pad != 0) || node.int("ceil_mode", 0) != 0 {
        return node.refuse("its windows reach beyond the sequence", "train with windows within the sequence");
    }
    flow.axes[axis].size = left(flow.axes[axis].size, frames, stride, (0, 0));
    push(node, flow, Op::MaxPool(MaxPool { frames, stride }))
}

fn push(node: &Node<'_>, flow: Flow, op: Op) -> Given {
    flow.pushed(node.name(), op, None).map(Node::gives).ok_or_else(|| node.too_long())
}

fn global(node: &Node<'_>, pooling: Pooling) -> Given {
    let mut flow = node.settled(0)?;
    let axis = spatial(node, &mut flow)?;
    flow.axes[axis] = Axis::one();
    push(node, flow, Op::Pooling(pooling))
}

/// The axes of a reduction, and whether they stay with one place.
fn reduced(node: &Node<'_>, axes: usize) -> Result<(Vec<usize>, bool), Error> {
    let Some(named) = node.ints_of("axes", 1)? else {
        return node.refuse("it reduces all axes", "reduce the steps alone");
    };
    let named = named.iter().map(|axis| node.axis(*axis, axes)).collect::<Result<Vec<_>, _>>()?;
    Ok((named, node.int("keepdims", 1) != 0))
}

/// The mean or the largest value of all steps, or the mean of both directions.
fn reduce(node: &Node<'_>, pooling: Pooling, merge: Option<Merge>) -> Given {
    let data = node.flow(0)?;
    let (axes, keeps) = reduced(node, data.axes.len())?;
    let &[axis] = axes.as_slice() else { return node.refuse("it reduces several axes", "reduce the steps alone") };
    if data.axes[axis].role == Role::Direction {
        return match merge {
            Some(merge) => merged(node, data, axis, keeps, merge),
            None => node.refuse("it takes the larger of both directions", "train with a sum, a mean or both"),
        };
    }
    let mut flow = node.settled(0)?;
    node.says(&mut flow, axis, Role::Step)?;
    // The order of steps changes no mean and no largest value.
    flow.is_reversed = false;
    if keeps {
        flow.axes[axis] = Axis::one();
    } else {
        flow.axes.remove(axis);
    }
    push(node, flow, Op::Pooling(pooling))
}

/// The sum of both directions; a sum of steps is none of the poolings.
fn directions(node: &Node<'_>) -> Given {
    let data = node.flow(0)?;
    let (axes, keeps) = reduced(node, data.axes.len())?;
    match axes.as_slice() {
        &[axis] if data.axes[axis].role == Role::Direction => merged(node, data, axis, keeps, Merge::Sum),
        _ => node.refuse("it sums what are not two directions", "train with a mean of the steps"),
    }
}

fn merged(node: &Node<'_>, data: &Flow, axis: usize, keeps: bool, merge: Merge) -> Given {
    let mut flow = data.clone();
    if keeps {
        flow.axes[axis] = Axis::one();
    } else {
        flow.axes.remove(axis);
    }
    match &mut flow.head {
        Some(Head { chosen: chosen @ Chosen::Two(_), .. }) => *chosen = Chosen::Two(merge),
        _ => return node.refuse("its directions are none", EXPORT_AGAIN),
    }
    flow.settled().map(Node::gives).ok_or_else(|| node.too_long())
}
