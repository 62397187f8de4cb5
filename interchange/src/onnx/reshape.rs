//! `Reshape` and `Flatten` of data: which axes of the new shape are which of the old.
//!
//! Both shapes are read from the first axis on. An axis of the new shape is one of the old, or several that stand side by side: two directions and their
//! features are features, sequences and steps are rows. Axes of one place come and go.

use super::node::{EXPORT_AGAIN, Given, Node, OTHERWISE};
use super::shapes::removed;
use super::tensor::MOST_AXES;
use super::value::{Axis, Chosen, Flow, Head, Role};
use crate::Error;
use crate::described::Merge;

/// Reads the operator of a node, where it is one of these.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    match node.kind() {
        "Reshape" => Some(reshape(node)),
        "Flatten" => Some(flatten(node)),
        _ => None,
    }
}

fn reshape(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let shape = node.needed(1)?.ints();
    let Some(shape) = shape.filter(|shape| shape.values.len() <= MOST_AXES) else {
        return node.refuse("its shape is computed from data", "export it with a fixed shape");
    };
    // 0 is the size of the same axis of the input.
    let copies = node.int("allowzero", 0) == 0;
    let target = |(place, size): (usize, &Option<i64>)| match size {
        Some(0) if copies => flow.axes.get(place).map_or(Target::Any, |axis| Target::Same(place, *axis)),
        Some(size) => usize::try_from(*size).map_or(Target::Rest, Target::Size),
        None => Target::Any,
    };
    let targets: Vec<Target> = shape.values.iter().enumerate().map(target).collect();
    Ok(Node::gives(regrouped(node, flow, &targets)?))
}

/// [all axes before this one, all others]
fn flatten(node: &Node<'_>) -> Given {
    let flow = node.flow(0)?;
    let count = flow.axes.len();
    let axis = node.int("axis", 1);
    let axis = if axis == count as i64 { count } else { node.axis(axis, count)? };
    let group =
        |axes: &[Axis]| axes.iter().try_fold(1_usize, |all, axis| axis.size.and_then(|size| all.checked_mul(size)));
    let of = |axes: &[Axis]| group(axes).map_or(Target::Rest, Target::Size);
    let is_same = axis == 1 && count == 2;
    if is_same {
        return Ok(Node::gives(flow.clone()));
    }
    let targets = [of(&flow.axes[..axis]), of(&flow.axes[axis..])];
    Ok(Node::gives(regrouped(node, flow, &targets)?))
}

/// An axis of the new shape.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// An axis of the old one, with its number.
    Same(usize, Axis),
    Size(usize),
    /// All that is left: -1.
    Rest,
    /// A size that has no number.
    Any,
}

/// The old axes from which the new ones are made.
struct Old<'a> {
    node: &'a Node<'a>,
    flow: Flow,
    /// Each with whether it is used.
    left: std::collections::VecDeque<Axis>,
    rows: Vec<Axis>,
}

fn regrouped(node: &Node<'_>, flow: &Flow, targets: &[Target]) -> Result<Flow, Error> {
    let mut axes = Vec::new();
    for axis in &flow.axes {
        // Rows may become the axes again that they were made of.
        if axis.role == Role::Rows { axes.extend(flow.rows.iter().copied()) } else { axes.push(*axis) }
    }
    // Axes that say nothing come and go.
    axes.retain(|axis| axis.role != Role::One);
    let mut old = Old { node, flow: flow.clone(), left: axes.into(), rows: Vec::new() };
    let mut new = Vec::new();
    for (place, target) in targets.iter().enumerate() {
        let (ones, others): (Vec<&Target>, Vec<&Target>) =
            targets[place + 1..].iter().partition(|target| matches!(target, Target::Size(1)));
        // Of axes of one place those count that the old shape has as well.
        let behind = others.len() + ones.len().min(old.left.iter().filter(|axis| axis.is_one()).count());
        // The first of several axes without a number may be all that no other one takes.
        let is_only = !targets[place + 1..].iter().any(|target| matches!(target, Target::Rest | Target::Any));
        let target = if *target == Target::Any && is_only { Target::Rest } else { *target };
        new.push(old.next(target, behind)?);
    }
    old.end(new)
}

impl Old<'_> {
    /// The next new axis; so many are behind it.
    fn next(&mut self, target: Target, behind: usize) -> Result<Axis, Error> {
        match target {
            Target::Same(_, axis) if axis.role == Role::One => Ok(axis),
            Target::Same(..) | Target::Any => self.group(1),
            // What has one place, and is none of those that are left.
            Target::Size(1) if !self.left.front().is_some_and(|axis| axis.is_one()) => Ok(Axis::one()),
            Target::Size(1) => self.group(1),
            Target::Size(size) => {
                while self.left.front().is_some_and(|axis| axis.is_one()) {
                    self.drop_first()?;
                }
                self.of_size(size, behind)
            }
            Target::Rest => self.group(self.left.len().saturating_sub(behind)),
        }
    }

    /// As many axes as have this size together; one without a number has that which is missing.
    fn of_size(&mut self, size: usize, behind: usize) -> Result<Axis, Error> {
        let mut product = 1_usize;
        for (place, axis) in self.left.iter().enumerate() {
            match axis.size {
                Some(one) => product = product.saturating_mul(one),
                None => return self.group((place + 1).max(self.left.len().saturating_sub(behind))),
            }
            if product == size {
                return self.group(place + 1);
            }
        }
        self.no_group(size)
    }

    fn no_group(&self, size: usize) -> Result<Axis, Error> {
        // An input of one axis may be steps of several features.
        let problem = format!("it makes an axis of {size} places of axes that have other sizes");
        self.node.refuse(problem, OTHERWISE)
    }

    /// An axis of the next so many.
    fn group(&mut self, count: usize) -> Result<Axis, Error> {
        if count == 0 {
            return Ok(Axis::one());
        }
        if count > self.left.len() {
            return self.node.refuse("its shape has more axes than its input", EXPORT_AGAIN);
        }
        let group: Vec<Axis> = self.left.drain(..count).collect();
        // Axes of one place add nothing.
        let long: Vec<Axis> = group.iter().copied().filter(|axis| !axis.is_one()).collect();
        let features = group.iter().rev().find(|axis| axis.role == Role::Feature);
        match (long.as_slice(), features) {
            _ if group.len() == 1 => Ok(group[0]),
            ([], Some(features)) => self.with_steps(&group, *features),
            ([], None) => Ok(group[0]),
            (&[one], Some(features)) if one.role == Role::Feature => self.with_steps(&group, *features),
            (&[a, b], _) if (a.role, b.role) == (Role::Direction, Role::Feature) => {
                let size = b.size.and_then(|size| size.checked_mul(2));
                match &self.flow.head {
                    Some(Head { chosen: Chosen::Two(Merge::Concat), .. }) => {
                        self.with_steps(&group, Axis::new(Role::Feature, size))
                    }
                    _ => self.node.refuse("its directions are none", EXPORT_AGAIN),
                }
            }
            (_, None) => self.rows(group),
            // Sequences whose number the model leaves open, before the features of the only step.
            (&[one, _], Some(features)) if one.role == Role::Batch && one.size.is_none() && group.len() > 2 => {
                self.with_steps(&group, *features)
            }
            _ => {
                let what: Vec<&str> = long.iter().map(|axis| axis.role.name()).collect();
                let problem = format!(
                    "it puts {} side by side into one vector, which a stream does not have",
                    what.join(" and ")
                );
                self.node.refuse(problem, "take the last step, or a pooling of the steps")
            }
        }
    }

    /// Features with which a single step and a single sequence go.
    fn with_steps(&mut self, group: &[Axis], features: Axis) -> Result<Axis, Error> {
        if group.iter().any(|axis| axis.role == Role::Step) {
            self.one_step()?;
        }
        Ok(features)
    }

    /// Several axes that are no features.
    fn rows(&mut self, group: Vec<Axis>) -> Result<Axis, Error> {
        let is_of_steps = group.iter().all(|axis| matches!(axis.role, Role::Batch | Role::Step | Role::Unknown));
        if !is_of_steps || !self.rows.is_empty() {
            return self.node.refuse("it puts other axes side by side than sequences and steps", OTHERWISE);
        }
        let size = group.iter().try_fold(1_usize, |all, axis| axis.size.and_then(|size| all.checked_mul(size)));
        self.rows = group;
        Ok(Axis::new(Role::Rows, size))
    }

    /// Leaves out an axis of one place.
    fn drop_first(&mut self) -> Result<(), Error> {
        match self.left.pop_front() {
            Some(axis) if axis.role == Role::Step => self.one_step(),
            _ => Ok(()),
        }
    }

    /// The only step, taken as the vector that it is.
    fn one_step(&mut self) -> Result<(), Error> {
        if let Some(axis) = self.flow.axis(Role::Step) {
            self.flow = removed(self.node, &self.flow, axis)?;
        }
        Ok(())
    }

    /// The flow with its new axes, when all old ones are used.
    fn end(mut self, mut new: Vec<Axis>) -> Result<Flow, Error> {
        while self.left.front().is_some_and(|axis| axis.is_one()) {
            self.drop_first()?;
        }
        if let Some(axis) = self.left.front() {
            // Sequences of which nothing says how many they are: one.
            if !(axis.role == Role::Batch && axis.size.is_none() && self.left.len() == 1) {
                let problem = format!("its shape has no axis for what counts {}", axis.role.name());
                return self.node.refuse(problem, OTHERWISE);
            }
        }
        for axis in &mut new {
            if axis.role == Role::Unknown && axis.is_one() {
                *axis = Axis::one();
            }
        }
        self.flow.axes = new;
        self.flow.rows = self.rows;
        Ok(self.flow)
    }
}
