//! Operators over constants: of weights, which become views or are computed once, and of sizes and places, as far as they are known.

use super::node::{EXPORT_AGAIN, Given, Node};
use super::tensor::{Const, MOST_AXES, MOST_INTS, Quantized};
use super::value::{Ints, Value};
use crate::Error;

/// Reads the operator of a node whose inputs are constants; nothing where it is none that is computed.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    let inputs = || node.inputs.iter().flatten();
    if node.kind() == "Constant" {
        return Some(constant(node));
    }
    if inputs().next().is_none()
        || inputs().any(|value| matches!(value, Value::Flow(_) | Value::Part(..) | Value::Spelled(_) | Value::State))
    {
        return None;
    }
    if let Some(of_ints) = ints(node) {
        return Some(of_ints);
    }
    if let Some(Value::Filled(value)) = node.input(0) {
        return filled(node, *value);
    }
    let Some(Value::Const(tensor)) = node.input(0) else { return computed_shape(node) };
    weights(node, tensor)
}

fn one(tensor: Const) -> Given {
    Ok(vec![Some(Value::Const(tensor))])
}

/// A view, where there is such a one.
fn view(node: &Node<'_>, tensor: Option<Const>) -> Given {
    match tensor {
        Some(tensor) => one(tensor),
        None => node.refuse("it takes what its constant does not have", EXPORT_AGAIN),
    }
}

fn constant(node: &Node<'_>) -> Given {
    let (place, budget) = (node.context.place, node.context.budget);
    let name = node.of.output.first().map_or("", String::as_str);
    for attribute in &node.of.attribute {
        let (float, int) = (attribute.f.unwrap_or(0.0), attribute.i.unwrap_or(0));
        return match (attribute.name.as_str(), &attribute.t) {
            ("value", Some(tensor)) => one(Const::of(tensor, name, place, budget)?),
            ("value_float", _) => one(Const::floats(name, &[], &[float])),
            ("value_int", _) => one(Const::integers(name, &[], &[int])),
            ("value_floats", _) => one(Const::floats(name, &[attribute.floats.len()], &attribute.floats)),
            ("value_ints", _) => one(Const::integers(name, &[attribute.ints.len()], &attribute.ints)),
            _ => continue,
        };
    }
    node.refuse("its value is of a kind that is not read", EXPORT_AGAIN)
}

/// What is the same for any shape.
fn filled(node: &Node<'_>, value: f32) -> Option<Given> {
    Some(match node.kind() {
        "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" | "Transpose" | "Slice" | "Expand" | "Concat"
        | "Tile" => {
            let others = node.inputs.iter().flatten().filter(|other| matches!(other, Value::Filled(_)));
            let is_same = others.into_iter().all(|other| matches!(other, Value::Filled(other) if *other == value));
            let has_weights =
                node.inputs.iter().flatten().any(|other| matches!(other, Value::Const(other) if other.is_float()));
            if !is_same || has_weights {
                return Some(node.refuse("it joins constants whose shapes are computed", EXPORT_AGAIN));
            }
            Ok(vec![Some(Value::Filled(value))])
        }
        _ => return None,
    })
}

/// What is made of a shape that is not known.
fn computed_shape(node: &Node<'_>) -> Option<Given> {
    match node.kind() {
        "ConstantOfShape" => Some(constant_of_shape(node)),
        _ => None,
    }
}

fn constant_of_shape(node: &Node<'_>) -> Given {
    let (place, budget) = (node.context.place, node.context.budget);
    let value = match node.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(tensor) => Const::of(tensor, "", place, budget)?.few().and_then(|values| values.first().copied()),
        None => Some(0.0),
    };
    Ok(vec![Some(Value::Filled(value.unwrap_or(0.0) as f32))])
}

/// Sizes and places; nothing where the operator is of weights.
fn ints(node: &Node<'_>) -> Option<Given> {
    let known: Vec<Option<Ints>> = node.inputs.iter().map(|value| value.as_ref().and_then(Value::ints)).collect();
    let first = known.first()?.clone()?;
    let values = || first.values.clone();
    let sizes = |values, is_scalar| Some(Ok(Node::sizes(values, is_scalar)));
    match node.kind() {
        "Identity" => sizes(values(), first.is_scalar),
        "Cast" if !matches!(node.int("to", 0), 1 | 10 | 11 | 16) => sizes(values(), first.is_scalar),
        // As many as nobody counts, all the same.
        "Expand" if first.values.len() == 1 => sizes(values(), false),
        "Squeeze" if first.values.len() == 1 => sizes(values(), true),
        "Unsqueeze" if first.is_scalar => sizes(values(), false),
        "Reshape" if first.values.len() == 1 => sizes(values(), false),
        "Concat" => {
            let all: Option<Vec<Ints>> = known.into_iter().collect();
            let values: Vec<Option<i64>> = all?.into_iter().flat_map(|ints| ints.values).collect();
            (values.len() <= MOST_INTS).then(|| Ok(Node::sizes(values, false)))
        }
        "Gather" => {
            let places = known.get(1)?.as_ref()?;
            let count = first.values.len() as i64;
            let of = |place: &Option<i64>| {
                let place = (*place)?;
                let place = if place < 0 { place.checked_add(count)? } else { place };
                first.values.get(usize::try_from(place).ok()?).copied()
            };
            match places.values.iter().map(of).collect::<Option<Vec<_>>>() {
                Some(values) => sizes(values, places.is_scalar),
                None => Some(node.refuse("it takes places that its input does not have", EXPORT_AGAIN)),
            }
        }
        "Slice" if !first.is_scalar => Some(slice_of_ints(node, &first)),
        "Add" | "Sub" | "Mul" | "Div" | "Equal" => {
            let second = known.get(1)?.as_ref()?;
            let count = first.values.len().max(second.values.len());
            let at = |ints: &Ints, place: usize| {
                ints.values.get(if ints.values.len() == 1 { 0 } else { place }).copied().flatten()
            };
            let of = |place| at(&first, place).zip(at(second, place)).and_then(|(a, b)| arithmetic(node.kind(), a, b));
            sizes((0..count).map(of).collect(), first.is_scalar && second.is_scalar)
        }
        "Not" => {
            sizes(values().into_iter().map(|value| value.map(|value| i64::from(value == 0))).collect(), first.is_scalar)
        }
        "ReduceProd" => sizes(vec![values().into_iter().try_fold(1_i64, |all, value| all.checked_mul(value?))], true),
        "ConstantOfShape" => Some(constant_of_shape(node)),
        _ => None,
    }
}

fn arithmetic(kind: &str, a: i64, b: i64) -> Option<i64> {
    match kind {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        _ => Some(i64::from(a == b)),
    }
}

fn slice_of_ints(node: &Node<'_>, ints: &Ints) -> Given {
    let missing = |what: &str| node.error(format!("its {what} are missing"), EXPORT_AGAIN);
    let starts = node.ints_of("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = node.ints_of("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let steps = node.ints_of("steps", 4)?.unwrap_or_else(|| vec![1]);
    let count = ints.values.len();
    match (starts.as_slice(), ends.as_slice(), steps.as_slice()) {
        (&[start], &[end], &[1]) => {
            let (start, end) = (place_of(start, count), place_of(end, count));
            Ok(Node::sizes(ints.values.get(start..end).unwrap_or(&[]).to_vec(), false))
        }
        _ => node.refuse("it takes sizes in another order", EXPORT_AGAIN),
    }
}

/// A place from the front, held to the axis.
fn place_of(place: i64, size: usize) -> usize {
    let size = size as i64;
    let place = if place < 0 { place.saturating_add(size) } else { place };
    place.clamp(0, size) as usize
}

/// Views of weights, and the few operators that compute some.
fn weights(node: &Node<'_>, tensor: &Const) -> Option<Given> {
    let dims = tensor.dims();
    Some(match node.kind() {
        "Identity" | "Dropout" => one(tensor.clone()),
        "Cast" if matches!(node.int("to", 0), 1 | 10 | 11 | 16) || !tensor.is_float() => cast(node, tensor),
        "Transpose" => {
            let order: Option<Vec<usize>> = match node.ints("perm") {
                None => Some((0..dims.len()).rev().collect()),
                Some(order) => order.iter().map(|axis| usize::try_from(*axis).ok()).collect(),
            };
            view(node, order.and_then(|order| tensor.transposed(&order)))
        }
        "Unsqueeze" => unsqueeze(node, tensor),
        "Squeeze" => squeeze(node, tensor),
        "Reshape" => reshape(node, tensor),
        "Flatten" => flatten(node, tensor),
        "Slice" => slice(node, tensor),
        "Split" => split(node, tensor),
        "Concat" => concat(node),
        "Gather" => gather(node, tensor),
        "Expand" => expand(node, tensor),
        "Add" | "Sub" | "Mul" | "Div" if tensor.is_float() => elementwise(node, tensor),
        "DequantizeLinear" => dequantize(node, tensor),
        "Shape" => Ok(Node::sizes(dims.iter().map(|size| i64::try_from(*size).ok()).collect(), false)),
        "ConstantOfShape" => constant_of_shape(node),
        _ => return None,
    })
}

/// Floats of another precision are read as the file has them; integers become floats.
fn cast(node: &Node<'_>, tensor: &Const) -> Given {
    if tensor.is_float() || !matches!(node.int("to", 0), 1 | 10 | 11 | 16) {
        return one(tensor.clone());
    }
    let values = tensor.values(node.context.place, node.context.budget)?;
    one(Const::floats(tensor.name(), &tensor.dims(), &values))
}

fn unsqueeze(node: &Node<'_>, tensor: &Const) -> Given {
    let axes = node.ints_of("axes", 1)?.unwrap_or_default();
    let count = tensor.dims().len() + axes.len();
    let mut axes = axes.iter().map(|axis| node.axis(*axis, count)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    view(node, axes.iter().try_fold(tensor.clone(), |tensor, &axis| tensor.unsqueezed(axis)))
}

fn squeeze(node: &Node<'_>, tensor: &Const) -> Given {
    let dims = tensor.dims();
    let mut axes = match node.ints_of("axes", 1)? {
        Some(axes) => axes.iter().map(|axis| node.axis(*axis, dims.len())).collect::<Result<Vec<_>, _>>()?,
        None => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
    };
    axes.sort_unstable();
    axes.dedup();
    let is_one = axes.iter().all(|&axis| dims[axis] == 1);
    let squeezed = axes.iter().rev().try_fold(tensor.clone(), |tensor, &axis| tensor.picked(axis, 0));
    view(node, squeezed.filter(|_| is_one))
}

fn reshape(node: &Node<'_>, tensor: &Const) -> Given {
    let Some(shape) = node.ints_of("shape", 1)? else { return node.refuse("its shape is missing", EXPORT_AGAIN) };
    let dims = tensor.dims();
    let copies = node.int("allowzero", 0) == 0;
    let size = |(place, size): (usize, &i64)| match *size {
        0 if copies => dims.get(place).copied(),
        size => usize::try_from(size).ok(),
    };
    let mut sizes: Vec<Option<usize>> = shape.iter().enumerate().map(size).collect();
    let known = sizes.iter().flatten().try_fold(1_usize, |all, size| all.checked_mul(*size));
    if let Some(rest) = shape.iter().position(|size| *size == -1) {
        sizes[rest] = known.filter(|known| *known > 0).map(|known| tensor.len() / known);
    }
    let sizes: Option<Vec<usize>> = sizes.into_iter().collect();
    let (place, budget) = (node.context.place, node.context.budget);
    let reshaped = sizes.map(|sizes| tensor.reshaped(&sizes, place, budget)).transpose()?.flatten();
    match reshaped {
        Some(tensor) => one(tensor),
        None => {
            let problem =
                format!("its shape is {dims:?}, and node {} makes {shape:?} of it", node.name().escape_debug());
            Err(Error::new(node.tensor(tensor), problem, EXPORT_AGAIN))
        }
    }
}

fn flatten(node: &Node<'_>, tensor: &Const) -> Given {
    let dims = tensor.dims();
    let axis = place_of(node.int("axis", 1), dims.len());
    let group = |dims: &[usize]| dims.iter().fold(1_usize, |all, size| all.saturating_mul(*size));
    let sizes = [group(&dims[..axis]), group(&dims[axis..])];
    let reshaped = tensor.reshaped(&sizes, node.context.place, node.context.budget)?;
    view(node, reshaped)
}

fn slice(node: &Node<'_>, tensor: &Const) -> Given {
    let dims = tensor.dims();
    let mut sliced = tensor.clone();
    for (axis, start, end, step) in node.slices()? {
        let axis = node.axis(axis, dims.len())?;
        let step = isize::try_from(step).unwrap_or(0);
        let (first, count) = if step > 0 {
            let (start, end) = (place_of(start, dims[axis]), place_of(end, dims[axis]));
            (start, end.saturating_sub(start).div_ceil(step.unsigned_abs()))
        } else if step < 0 {
            // Back, to the place behind which it ends: -1 is that before the first.
            let size = dims[axis] as i64;
            let held = |place: i64| (if place < 0 { place.saturating_add(size) } else { place }).clamp(-1, size - 1);
            let (start, end) = (held(start), held(end));
            (start.max(0) as usize, ((start - end).max(0) as usize).div_ceil(step.unsigned_abs()))
        } else {
            return node.refuse("its step is 0", EXPORT_AGAIN);
        };
        sliced = match sliced.sliced(axis, first, step, count) {
            Some(sliced) => sliced,
            None => return view(node, None),
        };
    }
    one(sliced)
}

fn split(node: &Node<'_>, tensor: &Const) -> Given {
    let dims = tensor.dims();
    let axis = node.axis(node.int("axis", 0), dims.len())?;
    let outputs = node.of.output.len().max(1);
    let sizes = match node.ints_of("split", 1)? {
        Some(sizes) => sizes,
        None => {
            let each = dims[axis].div_ceil(outputs);
            (0..outputs).map(|part| dims[axis].saturating_sub(part * each).min(each) as i64).collect()
        }
    };
    let (mut start, mut parts) = (0, Vec::new());
    for size in sizes {
        let count = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(part) = tensor.sliced(axis, start, 1, count.min(dims[axis] + 1)) else {
            return node.refuse(format!("it takes {size} places of {} from {start}", dims[axis]), EXPORT_AGAIN);
        };
        start += count;
        parts.push(Some(Value::Const(part)));
    }
    Ok(parts)
}

fn concat(node: &Node<'_>) -> Given {
    let (place, budget) = (node.context.place, node.context.budget);
    let mut parts = Vec::new();
    for slot in 0..node.inputs.len() {
        parts.push(node.weights(slot)?);
    }
    let Some(first) = parts.first() else { return node.refuse("it joins nothing", EXPORT_AGAIN) };
    let mut dims = first.dims();
    let axis = node.axis(node.int("axis", 0), dims.len())?;
    let like = |part: &Const| {
        let mut other = part.dims();
        let fits = other.len() == dims.len();
        if fits {
            other[axis] = dims[axis];
        }
        fits && other == dims
    };
    if let Some(other) = parts.iter().find(|part| !like(part)) {
        let problem =
            format!("its shape is {:?}, but it stands beside one of {dims:?} along axis {axis}", other.dims());
        return Err(Error::new(node.tensor(other), problem, EXPORT_AGAIN));
    }
    if parts.len() == 1 {
        return one(first.clone());
    }
    // Blocks of each part, one beside the other, for each place of the axes before.
    let blocks = dims[..axis].iter().fold(1_usize, |all, size| all.saturating_mul(*size));
    let all: usize = parts.iter().map(Const::len).fold(0, usize::saturating_add);
    budget.take(&node.tensor(first), all.saturating_mul(size_of::<f32>()))?;
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(parts.len());
    for part in &parts {
        values.push(part.values(place, budget)?);
    }
    let mut joined = Vec::with_capacity(all);
    // Each block has a number, unless there is none at all.
    for block in 0..if all == 0 { 0 } else { blocks } {
        for part in &values {
            let length = part.len() / blocks.max(1);
            joined.extend_from_slice(&part[block * length..(block + 1) * length]);
        }
    }
    drop(values);
    dims[axis] = parts.iter().fold(0, |all: usize, part| all.saturating_add(part.dims()[axis]));
    one(Const::floats(first.name(), &dims, &joined))
}

fn gather(node: &Node<'_>, tensor: &Const) -> Given {
    let axis = node.axis(node.int("axis", 0), tensor.dims().len())?;
    let places = node.input(1).and_then(Value::ints);
    let Some((place, is_scalar)) = places.and_then(|places| match places.values.as_slice() {
        &[Some(place)] => Some((place, places.is_scalar)),
        _ => None,
    }) else {
        return node.refuse("it takes several places of weights, or computed ones", EXPORT_AGAIN);
    };
    let size = tensor.dims()[axis];
    let place = usize::try_from(if place < 0 { place.saturating_add(size as i64) } else { place }).unwrap_or(size);
    let chosen = if is_scalar { tensor.picked(axis, place) } else { tensor.sliced(axis, place, 1, 1) };
    view(node, chosen)
}

fn expand(node: &Node<'_>, tensor: &Const) -> Given {
    let shape = node.needed(1)?.ints();
    let sizes: Option<Vec<usize>> = shape
        .map(|shape| shape.values)
        .filter(|values| values.len() <= MOST_AXES)
        .and_then(|values| values.into_iter().map(|size| usize::try_from(size.unwrap_or(1)).ok()).collect());
    // A size without a number is that of sequences, of which one is computed.
    view(node, sizes.and_then(|sizes| tensor.expanded(&sizes)))
}

/// Sums, differences, products and quotients of weights of one shape, or of weights and one number.
fn elementwise(node: &Node<'_>, tensor: &Const) -> Given {
    let (place, budget) = (node.context.place, node.context.budget);
    let second = match node.input(1) {
        Some(Value::Filled(value)) => Const::floats("", &[], &[*value]),
        _ => node.weights(1)?,
    };
    let (a, b) = (tensor.dims(), second.dims());
    let dims = if tensor.len() == 1 && second.len() != 1 { b.clone() } else { a.clone() };
    let views = tensor.expanded(&dims).zip(second.expanded(&dims)).filter(|(a, b)| a.dims() == b.dims());
    let Some((first, second)) = views else {
        let problem = format!("it computes with weights of the shapes {a:?} and {b:?}");
        return node.refuse(problem, "save the model with its weights computed");
    };
    let (first, second) = (first.values(place, budget)?, second.values(place, budget)?);
    let of = |(a, b): (f32, f32)| match node.kind() {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        _ => a / b,
    };
    let values: Vec<f32> = first.into_iter().zip(second).map(of).collect();
    budget.take(&node.tensor(tensor), values.len().saturating_mul(size_of::<f32>()))?;
    one(Const::floats(tensor.name(), &dims, &values))
}

/// scale · (q - zero), with one scale, or one for each place of an axis.
fn dequantize(node: &Node<'_>, tensor: &Const) -> Given {
    let (place, budget) = (node.context.place, node.context.budget);
    let scale = node.weights(1)?;
    let dims = tensor.dims();
    let values = scale.values(place, budget)?;
    let zero = match node.constant(2)? {
        Some(zero) => zero.values(place, budget)?,
        None => vec![0.0; values.len()],
    };
    let axes = if values.len() == 1 {
        dims.iter().map(|size| (*size, 0)).collect()
    } else {
        let axis = node.axis(node.int("axis", 1), dims.len())?;
        if scale.dims() != [dims[axis]] || node.int("block_size", 0) != 0 {
            node.expect(&scale, &[dims[axis]])?;
        }
        dims.iter().enumerate().map(|(place, size)| (*size, usize::from(place == axis))).collect()
    };
    let quantized = Quantized { scale: values, zero, axes };
    if quantized.zero.len() != quantized.scale.len() {
        return node.refuse("it has not as many zero points as scales", EXPORT_AGAIN);
    }
    view(node, tensor.quantized(quantized))
}
