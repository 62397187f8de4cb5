//! Operators that move axes of spelled numbers, or take places of them: which number stands where, and nothing else.

use std::rc::Rc;

use super::super::node::{EXPORT_AGAIN, Given, Node, OTHERWISE};
use super::super::tensor::MOST_AXES;
use super::super::value::{Made, Spelled, Value};
use super::places::{Strided, dense};
use super::{gives, numbers};
use crate::Error;

/// Reads the operator of a node, where it is one of these.
pub(super) fn read(node: &Node<'_>) -> Option<Given> {
    Some(match node.kind() {
        "Identity" | "Dropout" => numbers(node, 0).map(gives),
        "Cast" if matches!(node.int("to", 0), 1 | 10 | 11 | 16) => numbers(node, 0).map(gives),
        "Squeeze" => squeeze(node),
        "Unsqueeze" => unsqueeze(node),
        "Reshape" => reshape(node),
        "Flatten" => flatten(node),
        "Transpose" => transpose(node),
        "Slice" => slice(node),
        "Split" => split(node),
        "Gather" => gather(node),
        "Concat" => concat(node),
        "Shape" => shape(node),
        _ => return None,
    })
}

fn squeeze(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let count = of.dims.len();
    let axes = match node.ints_of("axes", 1)? {
        Some(axes) => axes.iter().map(|axis| node.axis(*axis, count)).collect::<Result<Vec<_>, _>>()?,
        None => (0..count).filter(|&axis| of.dims[axis] == 1).collect(),
    };
    if let Some(axis) = axes.iter().find(|&&axis| of.dims[axis] != 1) {
        return node.refuse(format!("it removes axis {axis}, which has {} places", of.dims[*axis]), EXPORT_AGAIN);
    }
    let dims = (0..count).filter(|axis| !axes.contains(axis)).map(|axis| of.dims[axis]).collect();
    Ok(gives(of.shaped(dims)))
}

fn unsqueeze(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let axes = node.ints_of("axes", 1)?.unwrap_or_default();
    let count = of.dims.len() + axes.len();
    if count > MOST_AXES {
        return node.refuse(format!("it gives {count} axes"), EXPORT_AGAIN);
    }
    let mut axes = axes.iter().map(|axis| node.axis(*axis, count)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    let mut dims = of.dims.clone();
    for axis in axes {
        dims.insert(axis.min(dims.len()), 1);
    }
    Ok(gives(of.shaped(dims)))
}

fn reshape(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let shape = node.needed(1)?.ints().and_then(|ints| ints.values.into_iter().collect::<Option<Vec<i64>>>());
    let Some(shape) = shape.filter(|shape| shape.len() <= MOST_AXES) else {
        return node.refuse("its shape is computed from data", "export it with a fixed shape");
    };
    let copies = node.int("allowzero", 0) == 0;
    let size = |(place, size): (usize, &i64)| match *size {
        0 if copies => of.dims.get(place).copied(),
        size => usize::try_from(size).ok(),
    };
    let mut dims: Vec<Option<usize>> = shape.iter().enumerate().map(size).collect();
    let known = dims.iter().flatten().try_fold(1_usize, |all, size| all.checked_mul(*size)).unwrap_or(0);
    if let Some(rest) = shape.iter().position(|size| *size == -1) {
        dims[rest] = of.len().checked_div(known);
    }
    let dims: Option<Vec<usize>> = dims.into_iter().collect();
    let count = |dims: &Vec<usize>| dims.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
    match dims.filter(|dims| count(dims) == Some(of.len())) {
        Some(dims) => Ok(gives(of.shaped(dims))),
        None => node.refuse(format!("it makes {shape:?} of {:?}", of.dims), EXPORT_AGAIN),
    }
}

fn flatten(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let axis = node.int("axis", 1);
    let axis = if axis == of.dims.len() as i64 { of.dims.len() } else { node.axis(axis, of.dims.len())? };
    let dims = vec![of.dims[..axis].iter().product(), of.dims[axis..].iter().product()];
    Ok(gives(of.shaped(dims)))
}

fn transpose(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let order = node.perm(of.dims.len())?;
    let axes = dense(&of.dims);
    let axes: Vec<Strided> = order.iter().map(|&axis| axes[axis]).collect();
    let dims = axes.iter().map(|(size, _)| *size).collect();
    of.view(node.context, dims, (&axes, 0)).map(gives)
}

/// `count` places of an axis from `first`, `step` apart.
fn cut(
    node: &Node<'_>,
    of: &Spelled,
    axis: usize,
    (first, step, count): (usize, isize, usize),
) -> Result<Spelled, Error> {
    let mut axes = dense(&of.dims);
    let (_, distance) = axes[axis];
    axes[axis] = (count, distance.saturating_mul(step));
    let dims = axes.iter().map(|(size, _)| *size).collect();
    of.view(node.context, dims, (&axes, distance.saturating_mul(first as isize)))
}

fn slice(node: &Node<'_>) -> Given {
    let mut of = numbers(node, 0)?;
    let count = of.dims.len();
    for (axis, start, end, step) in node.slices()? {
        let axis = node.axis(axis, count)?;
        let size = of.dims[axis] as i64;
        if step != 1 {
            return node.refuse(format!("it takes places {step} apart"), "take places side by side");
        }
        let held = |place: i64| (if place < 0 { place.saturating_add(size) } else { place }).clamp(0, size) as usize;
        let (start, end) = (held(start), held(end));
        of = cut(node, &of, axis, (start, 1, end.saturating_sub(start)))?;
    }
    Ok(gives(of))
}

fn split(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let axis = node.axis(node.int("axis", 0), of.dims.len())?;
    let (size, outputs) = (of.dims[axis], node.of.output.len().max(1));
    let sizes = match node.ints_of("split", 1)? {
        Some(sizes) => sizes,
        None => {
            let each = size.div_ceil(outputs);
            (0..outputs).map(|part| size.saturating_sub(part * each).min(each) as i64).collect()
        }
    };
    let (mut first, mut parts) = (0, Vec::new());
    for part in sizes {
        let Some(count) = usize::try_from(part).ok().filter(|count| *count <= size - first) else {
            return node.refuse(format!("it takes {part} places of {size} from {first}"), EXPORT_AGAIN);
        };
        parts.push(Some(Value::Spelled(cut(node, &of, axis, (first, 1, count))?)));
        first += count;
    }
    Ok(parts)
}

/// One place of an axis.
fn gather(node: &Node<'_>) -> Given {
    if matches!(node.needed(0)?, Value::Const(_)) {
        return node.refuse("it takes rows by data that are no ids", OTHERWISE);
    }
    let of = numbers(node, 0)?;
    let axis = node.axis(node.int("axis", 0), of.dims.len())?;
    let known = node.needed(1)?.ints();
    let Some(&[Some(place)]) = known.as_ref().map(|ints| ints.values.as_slice()) else {
        return node.refuse("it takes several places of data, or computed ones", OTHERWISE);
    };
    let from_front = node.axis(place, of.dims[axis])?;
    let chosen = cut(node, &of, axis, (from_front, 1, 1))?;
    let mut dims = chosen.dims.clone();
    if known.is_some_and(|ints| ints.is_scalar) {
        dims.remove(axis);
    }
    Ok(gives(chosen.shaped(dims)))
}

/// Numbers one behind the other along an axis.
fn concat(node: &Node<'_>) -> Given {
    let parts = (0..node.inputs.len()).map(|slot| numbers(node, slot)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = parts.first() else { return node.refuse("it joins nothing", EXPORT_AGAIN) };
    let axis = node.axis(node.int("axis", 0), first.dims.len())?;
    let mut dims = first.dims.clone();
    let fits = |part: &Spelled| {
        part.dims.len() == dims.len() && (0..dims.len()).all(|other| other == axis || part.dims[other] == dims[other])
    };
    if !parts.iter().all(fits) {
        return node.refuse("what it joins has different shapes", EXPORT_AGAIN);
    }
    if parts.len() == 1 {
        return Ok(gives(first.clone()));
    }
    dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
    let sizes: Vec<usize> = parts.iter().map(|part| part.dims[axis]).collect();
    // One part behind the other, then the axes in their order.
    let (outer, inner) = (dims[..axis].iter().product::<usize>(), dims[axis + 1..].iter().product::<usize>());
    let joined = Spelled::of(node, Made::Joined(parts), dims.clone())?;
    let (mut places, mut before) = (vec![Vec::new(); outer], 0);
    for size in sizes {
        for (row, places) in places.iter_mut().enumerate() {
            let first = before + row * size * inner;
            places.extend(first..first + size * inner);
        }
        before += outer * size * inner;
    }
    Ok(gives(Spelled { places: Rc::new(places.concat()), ..joined }))
}

fn shape(node: &Node<'_>) -> Given {
    let of = numbers(node, 0)?;
    let count = of.dims.len() as i64;
    let place = |number: i64| (if number < 0 { number + count } else { number }).clamp(0, count) as usize;
    let (start, end) = (place(node.int("start", 0)), place(node.int("end", count)));
    let sizes = of.dims.get(start..end).unwrap_or(&[]);
    Ok(Node::sizes(sizes.iter().map(|size| i64::try_from(*size).ok()).collect(), false))
}
