//! Operators that move axes: of data they change what the axes are, and choose steps and directions.

use super::chain::Op;
use super::node::{EXPORT_AGAIN, Given, Node, OTHERWISE};
use super::recurrent::{behind_all_steps, turned};
use super::tensor::MOST_AXES;
use super::value::{Axis, Chosen, Flow, Head, Ints, Role, Root, Value, joined};
use crate::Error;
use crate::described::Merge;

/// What to do with a step that a stream does not keep.
const LAST: &str = "take the last step";

/// Reads the operator of a node, where it is one of these.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    const OF_AXES: [&str; 7] = ["Transpose", "Squeeze", "Unsqueeze", "Slice", "Concat", "Identity", "Cast"];
    // What only a caller keeps is not followed.
    if node.inputs.iter().flatten().any(|value| matches!(value, Value::State)) && OF_AXES.contains(&node.kind()) {
        return Some(Ok(vec![Some(Value::State)]));
    }
    Some(match node.kind() {
        "Transpose" => transpose(node),
        "Squeeze" => squeeze(node),
        "Unsqueeze" => unsqueeze(node),
        "Slice" => slice(node),
        "Gather" => gather(node),
        "Concat" => concat(node),
        "Split" => split(node),
        "Shape" => shape(node),
        "Identity" | "Dropout" => node.flow(0).map(|flow| Node::gives(flow.clone())),
        "Cast" => cast(node),
        "ReverseSequence" => reverse(node),
        _ => return None,
    })
}

fn cast(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let is_float = matches!(node.int("to", 0), 1 | 10 | 11 | 16);
    if is_float || flow.root.is_ids {
        return Ok(Node::gives(flow.clone()));
    }
    if flow.is_input() && !flow.is_part {
        // Ids that come as floats.
        let root = Root { name: flow.root.name.clone(), is_ids: true, axes: flow.root.axes.clone() };
        return Ok(Node::gives(Flow { axes: flow.axes.clone(), ..Flow::of(root) }));
    }
    node.refuse("it makes integers of data", OTHERWISE)
}

/// All steps from the last to the first.
fn reverse(node: &Node<'_>) -> Given {
    let flow = node.settled(0)?;
    let axis = node.axis(node.int("time_axis", 0), flow.axes.len())?;
    let steps = flow.axes[axis].size.and_then(|steps| i64::try_from(steps).ok());
    let lengths = node.needed(1)?.ints().map(|ints| ints.values).unwrap_or_default();
    if lengths.is_empty() || lengths.iter().any(|length| *length != steps) {
        return node.refuse("it turns a part of the steps", "let all sequences have all steps");
    }
    all_reversed(node, flow, axis)
}

/// All steps, which this axis counts, from the last to the first.
pub(crate) fn all_reversed(node: &Node<'_>, mut flow: Flow, axis: usize) -> Given {
    node.says(&mut flow, axis, Role::Step)?;
    let turned = turned(&flow).filter(|_| !flow.is_reversed);
    flow.is_reversed = !flow.is_reversed;
    Ok(Node::gives(turned.unwrap_or(flow)))
}

fn shape(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let count = flow.axes.len() as i64;
    let place = |number: i64| (if number < 0 { number + count } else { number }).clamp(0, count) as usize;
    let (start, end) = (place(node.int("start", 0)), place(node.int("end", count)));
    let sizes = flow.axes.get(start..end).unwrap_or(&[]);
    Ok(Node::sizes(sizes.iter().map(|axis| axis.size.and_then(|size| i64::try_from(size).ok())).collect(), false))
}

fn transpose(node: &Node<'_>) -> Given {
    let mut flow = node.flow(0)?.clone();
    let order = node.perm(flow.axes.len())?;
    flow.axes = order.iter().map(|&axis| flow.axes[axis]).collect();
    Ok(Node::gives(flow))
}

fn squeeze(node: &Node<'_>) -> Given {
    let mut flow = node.flow(0)?.clone();
    let count = flow.axes.len();
    let mut axes: Vec<usize> = match node.ints_of("axes", 1)? {
        Some(axes) => axes.iter().map(|axis| node.axis(*axis, count)).collect::<Result<_, _>>()?,
        None => (0..count).filter(|&axis| flow.axes[axis].is_one()).collect(),
    };
    axes.sort_unstable();
    axes.dedup();
    for axis in axes.into_iter().rev() {
        flow = removed(node, &flow, axis)?;
    }
    Ok(Node::gives(flow))
}

/// Without an axis of one place.
pub(crate) fn removed(node: &Node<'_>, flow: &Flow, axis: usize) -> Result<Flow, Error> {
    let found = flow.axes[axis];
    match (found.role, found.size) {
        (Role::Step, Some(1)) => step(node, flow, axis, 0),
        (Role::One | Role::Batch | Role::Unknown | Role::Feature, Some(1)) | (Role::Batch | Role::Unknown, None) => {
            let mut flow = flow.clone();
            flow.axes.remove(axis);
            Ok(flow)
        }
        _ => {
            let size = found.size.map_or_else(|| "more than one place".to_owned(), |size| format!("{size} places"));
            let problem = format!("it removes axis {axis}, which counts {} and has {size}", found.role.name());
            node.refuse(problem, "take the last step, or a pooling")
        }
    }
}

/// One step, whose axis is gone then. Of a stream only the last one is kept.
fn step(node: &Node<'_>, flow: &Flow, axis: usize, place: i64) -> Result<Flow, Error> {
    let size = flow.axes[axis].size.and_then(|size| i64::try_from(size).ok());
    let is_last = place == -1 || size.is_some_and(|size| place == size - 1);
    let is_first = place == 0 || size.is_some_and(|size| place == -size);
    let mut chosen = flow.clone();
    chosen.axes.remove(axis);
    // Each call has one step and its answer.
    if flow.is_stepped && size == Some(1) {
        return Ok(chosen);
    }
    if let Some(Head { both, each_step: each_step @ true, chosen: Chosen::One(direction) }) = &mut chosen.head {
        let is_back = both.backwards.get(*direction) == Some(&true);
        if (is_last && !is_back) || (is_first && is_back) {
            *each_step = false;
            return Ok(chosen);
        }
    }
    let settled = node.chained(&chosen)?;
    if settled.is_reversed {
        return node.refuse("it takes a step of those that come from the last to the first", LAST);
    }
    if is_first && let Some(flow) = behind_all_steps(&settled) {
        return Ok(flow);
    }
    if !is_last {
        return node.refuse(format!("it takes the step {place}, and a stream keeps the last one"), LAST);
    }
    settled.pushed(node.name(), Op::Last, None).ok_or_else(|| node.too_long())
}

/// One of two directions; its axis is gone then.
fn direction(node: &Node<'_>, flow: &Flow, axis: usize, place: i64) -> Result<Flow, Error> {
    let mut flow = flow.clone();
    let number = if place < 0 { place + 2 } else { place };
    match (&mut flow.head, number) {
        (Some(Head { chosen, .. }), 0 | 1) => *chosen = Chosen::One(number as usize),
        _ => return node.refuse(format!("it takes the direction {place} of two"), EXPORT_AGAIN),
    }
    flow.axes.remove(axis);
    Ok(flow)
}

/// One place of an axis, which is gone then.
fn picked(node: &Node<'_>, flow: &Flow, axis: usize, place: i64) -> Result<Flow, Error> {
    let found = flow.axes[axis];
    match found.role {
        Role::Step => step(node, flow, axis, place),
        Role::Direction => direction(node, flow, axis, place),
        _ if found.is_one() && matches!(place, 0 | -1) => removed(node, flow, axis),
        // The states of one of several layers.
        Role::Unknown if flow.is_input() => Ok(part_of(flow, axis)),
        // A description computes one sequence.
        Role::Batch if found.size.is_none() && place == 0 => removed(node, flow, axis),
        role => {
            let problem = format!("it takes the place {place} of axis {axis}, which counts {}", role.name());
            node.refuse(problem, OTHERWISE)
        }
    }
}

/// A part of an input, without the axis along which it is taken.
fn part_of(flow: &Flow, axis: usize) -> Flow {
    let mut part = Flow { is_part: true, ..flow.clone() };
    part.axes.remove(axis);
    part
}

fn unsqueeze(node: &Node<'_>) -> Given {
    let mut flow = node.flow(0)?.clone();
    let Some(axes) = node.ints_of("axes", 1)? else { return node.refuse("its axes are missing", EXPORT_AGAIN) };
    let count = flow.axes.len() + axes.len();
    if count > MOST_AXES {
        return node.refuse(format!("it gives {count} axes"), EXPORT_AGAIN);
    }
    let mut axes = axes.iter().map(|axis| node.axis(*axis, count)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    for axis in axes {
        if axis > flow.axes.len() {
            return node.refuse(format!("it puts an axis at {axis} of {}", flow.axes.len()), EXPORT_AGAIN);
        }
        flow.axes.insert(axis, Axis::one());
    }
    Ok(Node::gives(flow))
}

/// A row of a table for each id, or one place of an axis of data.
fn gather(node: &Node<'_>) -> Given {
    let axis = node.int("axis", 0);
    match (node.needed(0)?, node.needed(1)?) {
        (Value::Const(_), Value::Flow(ids)) => embedding(node, ids, axis),
        (Value::Flow(flow), places) => {
            let axis = node.axis(axis, flow.axes.len())?;
            let known = places.ints().or_else(|| match places {
                // A matrix of one place is one as well.
                Value::Const(tensor) if tensor.len() == 1 => {
                    let values = tensor.ints()?.into_iter().map(Some).collect();
                    Some(Ints { values, is_scalar: false })
                }
                _ => None,
            });
            let Some([Some(place)]) = known.as_ref().map(|ints| ints.values.as_slice()) else {
                return node.refuse("it takes several places of data, or computed ones", OTHERWISE);
            };
            let mut chosen = picked(node, flow, axis, *place)?;
            if known.is_some_and(|ints| !ints.is_scalar) {
                chosen.axes.insert(axis.min(chosen.axes.len()), Axis::one());
            }
            Ok(Node::gives(chosen))
        }
        (first, second) => node.refuse(format!("it reads {} and {}", first.what(), second.what()), OTHERWISE),
    }
}

fn embedding(node: &Node<'_>, ids: &Flow, axis: i64) -> Given {
    let table = node.weights(0)?;
    let dims = table.dims();
    let is_input = ids.is_input() && !ids.is_part;
    let &[_, features] = dims.as_slice() else {
        let problem = format!("its shape is {dims:?}, and a table of ids × features is read");
        return Err(Error::new(node.tensor(&table), problem, OTHERWISE));
    };
    if axis != 0 || !is_input || !ids.root.is_ids || ids.axis(Role::Feature).is_some() {
        return node.refuse("it takes rows by what is no input of ids", OTHERWISE);
    }
    let mut axes = ids.clone();
    axes.axes.push(Axis::new(Role::Feature, Some(features)));
    let flow = axes.pushed(node.name(), Op::Embedding(table), Some(features));
    flow.map(Node::gives).ok_or_else(|| node.too_long())
}

/// Places from one to another of some axes: all of them, or the last step, or one direction.
fn slice(node: &Node<'_>) -> Given {
    let mut flow = node.flow(0)?.clone();
    let count = flow.axes.len();
    for (axis, start, end, step) in node.slices()? {
        flow = sliced(node, &flow, node.axis(axis, count)?, (start, end, step))?;
    }
    Ok(Node::gives(flow))
}

fn sliced(node: &Node<'_>, flow: &Flow, axis: usize, (start, end, by): (i64, i64, i64)) -> Result<Flow, Error> {
    let size = flow.axes[axis].size.and_then(|size| i64::try_from(size).ok());
    let from_front = |place: i64| match (place < 0, size) {
        (true, Some(size)) => place.saturating_add(size).max(0),
        _ => place,
    };
    let (first, behind) = (from_front(start), from_front(end));
    let reaches_end = size.map_or(end >= i64::from(i32::MAX), |size| behind >= size);
    if by == 1 && first == 0 && reaches_end {
        return Ok(flow.clone());
    }
    let is_one = behind.checked_sub(first) == Some(1) || (start == -1 && (reaches_end || end >= i64::from(i32::MAX)));
    if !is_one && flow.is_input() && flow.axes[axis].role == Role::Unknown {
        let mut part = part_of(flow, axis);
        part.axes.insert(axis, Axis::new(Role::Unknown, None));
        return Ok(part);
    }
    if !is_one {
        let problem = format!(
            "it takes the places from {start} to {end} by {by} of axis {axis}, which counts {}",
            flow.axes[axis].role.name()
        );
        return node.refuse(problem, "keep all places, or the last step");
    }
    let mut chosen = picked(node, flow, axis, if start == -1 { -1 } else { first })?;
    chosen.axes.insert(axis, Axis::one());
    Ok(chosen)
}

/// Each direction by itself.
fn split(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let axis = node.axis(node.int("axis", 0), flow.axes.len())?;
    if node.of.output.len() == 1 {
        return Ok(Node::gives(flow.clone()));
    }
    if flow.is_input() && flow.axes[axis].role == Role::Unknown {
        let mut part = part_of(flow, axis);
        part.axes.insert(axis, Axis::new(Role::Unknown, None));
        return Ok(vec![Some(Value::Flow(part)); node.of.output.len()]);
    }
    if flow.axes[axis].role != Role::Direction || node.of.output.len() != 2 {
        let problem = format!("it splits axis {axis}, which counts {}", flow.axes[axis].role.name());
        return node.refuse(problem, OTHERWISE);
    }
    let part = |place: i64| -> Result<Option<Value>, Error> {
        let mut part = direction(node, flow, axis, place)?;
        part.axes.insert(axis, Axis::one());
        Ok(Some(Value::Flow(part)))
    };
    Ok(vec![part(0)?, part(1)?])
}

/// Two directions side by side.
fn concat(node: &Node<'_>) -> Given {
    if let [Some(Value::Flow(flow))] = node.inputs.as_slice() {
        return Ok(Node::gives(flow.clone()));
    }
    let is_state = |value: &Option<Value>| matches!(value, Some(Value::Flow(flow)) if flow.is_state);
    let states = node.inputs.iter().all(is_state);
    let [Some(Value::Flow(first)), Some(Value::Flow(second))] = node.inputs.as_slice() else {
        if states {
            return Ok(vec![Some(Value::State)]);
        }
        return node.refuse("it joins branches of the model", OTHERWISE);
    };
    let axis = node.axis(node.int("axis", 0), first.axes.len())?;
    let apart = || node.error("it joins two branches of the model that are not two directions", OTHERWISE);
    match first.axes[axis].role {
        Role::Feature => joined(first, second, Merge::Concat).map(Node::gives).ok_or_else(apart),
        // One above the other: both directions as they come from the operator.
        Role::One => match (&first.head, &second.head) {
            (Some(a), Some(b))
                if std::rc::Rc::ptr_eq(&a.both, &b.both)
                    && a.each_step == b.each_step
                    && (a.chosen, b.chosen) == (Chosen::One(0), Chosen::One(1)) =>
            {
                let mut flow = first.clone();
                flow.head = Some(Head { chosen: Chosen::Two(Merge::Concat), ..a.clone() });
                flow.axes[axis] = Axis::new(Role::Direction, Some(2));
                Ok(Node::gives(flow))
            }
            // Those of several layers, for the next call.
            _ if states => Ok(vec![Some(Value::State)]),
            _ => Err(apart()),
        },
        role => node.refuse(format!("it joins data along axis {axis}, which counts {}", role.name()), OTHERWISE),
    }
}
