//! A layer normalization that is spelled out, as exports before version 17 have it.
//!
//! ```text
//! ReduceMean ──> Sub ──> Pow 2 ──> ReduceMean ──> Add ε ──> Sqrt ──> Div
//!                (x - mean(x)) / sqrt(mean((x - mean(x))²) + ε)
//! ```
//!
//! The scale and the shift behind it are a `Mul` and an `Add` like others.

use super::chain::Op;
use super::node::{Given, Node};
use super::value::{Flow, Part, Role, Value};

/// Reads the operator of a node, where it goes on with a normalization.
pub(crate) fn read(node: &Node<'_>) -> Option<Given> {
    let first = node.input(0)?;
    let given = match (node.kind(), first, node.input(1)) {
        ("ReduceMean", Value::Flow(flow), _) if of_features(node, flow)? => part(flow, Part::Mean),
        ("ReduceMean", Value::Part(flow, Part::Square), _) if of_features(node, flow)? => {
            part(flow, Part::Variance(0.0))
        }
        ("Sub", Value::Flow(flow), Some(Value::Part(mean, Part::Mean))) if is_same(flow, mean) => {
            part(mean, Part::Centered)
        }
        ("Pow", Value::Part(flow, Part::Centered), Some(power)) if number(power)? == 2.0 => part(flow, Part::Square),
        ("Mul", Value::Part(flow, Part::Centered), Some(Value::Part(other, Part::Centered)))
            if is_same(flow, other) =>
        {
            part(flow, Part::Square)
        }
        ("Add", Value::Part(flow, Part::Variance(0.0)), Some(epsilon))
        | ("Add", epsilon, Some(Value::Part(flow, Part::Variance(0.0)))) => {
            part(flow, Part::Variance(number(epsilon)? as f32))
        }
        ("Sqrt", Value::Part(flow, Part::Variance(epsilon)), _) => part(flow, Part::Root(*epsilon)),
        ("Div", Value::Part(flow, Part::Centered), Some(Value::Part(other, Part::Root(epsilon))))
            if is_same(flow, other) =>
        {
            let op = Op::LayerNorm { scale: None, shift: None, epsilon: *epsilon, features: flow.features() };
            flow.pushed(node.name(), op, None).map(Node::gives).ok_or_else(|| node.too_long())
        }
        ("Identity" | "Cast", Value::Part(flow, same), _) => part(flow, *same),
        _ => return None,
    };
    Some(given)
}

fn part(flow: &Flow, part: Part) -> Given {
    Ok(vec![Some(Value::Part(flow.clone(), part))])
}

/// Whether both are one flow, settled or not.
fn is_same(first: &Flow, second: &Flow) -> bool {
    first.same_chain(second) && first.head.is_none() && first.axes.len() == second.axes.len()
}

/// The only number of a constant.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Const(tensor) if tensor.len() == 1 => tensor.few()?.first().copied(),
        Value::Filled(value) => Some(f64::from(*value)),
        _ => None,
    }
}

/// Whether a mean is that of the features of each step, whose axis stays.
fn of_features(node: &Node<'_>, flow: &Flow) -> Option<bool> {
    let axes = node.ints_of("axes", 1).ok()??;
    let last = flow.axes.len().checked_sub(1)?;
    let is_last = matches!(axes.as_slice(), &[axis] if axis == -1 || usize::try_from(axis) == Ok(last));
    let is_settled = flow.head.is_none() && flow.pads == (0, 0);
    Some(is_last && is_settled && flow.axes[last].role == Role::Feature && node.int("keepdims", 1) != 0)
}
