//! Cells, found in the arithmetic of one step. Which rows are which gate is what the numbers are used for, and not where they stand.
//!
//! ```text
//! LSTM   c' = σ(f)∘c + σ(i)∘act(g)        h' = σ(o)∘out(c')                 each of i, f, g, o: W·x + U·h + b
//! GRU    h' = (1 - σ(z))∘n + σ(z)∘h       or n + σ(z)∘(h - n)               z, r: W·x + U·h + b
//!        n = act(W·x + b + σ(r)∘(U·h + b_h))                                reset after the product
//!        n = act(W·x + b + U·(σ(r)∘h))                                      reset before it
//! RNN    h' = act(W·x + U·h + b)
//! ```
//! h and c are inputs of the graph, or parts of one. Which cell a sum belongs to is known once h' is: the gate of an LSTM is a simple recurrent layer by itself.

use super::super::chain::Activations;
use super::super::node::Node;
use super::super::tensor::Const;
use super::super::value::{Made, Spelled};
use super::sums::Sums;
use crate::Error;
use crate::described::{Activation, Cell};

/// What to do with steps that are spelled out one behind the other.
pub(crate) const ONE_STEP: &str =
    "export one step, with its states as inputs and as outputs, or export an LSTM, a GRU or an RNN";

/// What to do with a cell that is nearly one.
const AS_IT_IS: &str = "spell it out as docs/frameworks.md has it, or export an LSTM, a GRU or an RNN";

/// A cell, with the parts of its arithmetic.
pub(crate) struct Found {
    pub(crate) cell: Cell,
    pub(crate) units: usize,
    pub(crate) x: Spelled,
    pub(crate) hidden: Spelled,
    /// c of an LSTM, as it comes in and as it goes out.
    pub(crate) state: Option<(Spelled, Spelled)>,
    /// W and U of each gate, in the order of a description.
    pub(crate) kernels: Vec<Const>,
    pub(crate) recurrent_kernels: Vec<Const>,
    /// Of each gate, in that order: beside W·x, and beside U·h.
    pub(crate) biases: Vec<[Vec<f64>; 2]>,
    pub(crate) source: String,
    pub(crate) activations: Activations,
}

/// An activation, and what goes through it.
type Gate = (Activation, Spelled);

/// W and U of each gate.
type Kernels = (Vec<Const>, Vec<Const>);

/// The two that each gate reads.
struct Operands {
    x: Spelled,
    hidden: Spelled,
}

/// A cell whose next h are these numbers, a product or a sum.
///
/// # Errors
/// Names the node where it is a cell in all but one thing.
pub(crate) fn gated(node: &Node<'_>, next: &Spelled) -> Result<Option<Found>, Error> {
    if let Some((a, b)) = next.times() {
        for (gate, out) in [(&a, &b), (&b, &a)] {
            let (Some(o), Some((out, c))) = (gate.activated(), out.activated()) else { continue };
            let Some((p, q)) = c.sum() else { continue };
            if let (Some(p), Some(q)) = (p.times(), q.times()) {
                return lstm(node, (o, out), &c, [p, q]).map(Some);
            }
        }
    }
    match interpolated(next) {
        Some((z, n, hidden)) => gru(node, z, n, hidden).map(Some),
        None => Ok(None),
    }
}

/// A factor that goes through an activation, with the other one; both ways.
fn gated_by((a, b): &(Spelled, Spelled)) -> impl Iterator<Item = (Gate, Spelled)> {
    let of = |gate: &Spelled, other: &Spelled| gate.activated().map(|gate| (gate, other.clone()));
    [of(a, b), of(b, a)].into_iter().flatten()
}

/// h' = σ(o)∘out(c') of c' = p + q, which are products.
fn lstm(
    node: &Node<'_>,
    ((gate, o), out): (Gate, Activation),
    next: &Spelled,
    [p, q]: [(Spelled, Spelled); 2],
) -> Result<Found, Error> {
    let kept = [(&p, &q), (&q, &p)].into_iter().find_map(|(kept, new)| {
        let found = gated_by(kept).find(|(_, state)| state.is_input());
        found.map(|(f, state)| (f, state, new))
    });
    let Some(((of_f, f), state, new)) = kept else {
        return node.refuse("no cell of the step before comes in as an input of the model", ONE_STEP);
    };
    let (Some(first), Some(second)) = (new.0.activated(), new.1.activated()) else {
        return node.refuse("its input gate and its candidates are not both activations of sums", AS_IT_IS);
    };
    let ((of_i, i), (candidate, g)) = if first.0 == gate { (first, second) } else { (second, first) };
    if of_i != gate || of_f != gate {
        return node.refuse("its gates go through different activations", AS_IT_IS);
    }
    let sums = [i, f, g, o].iter().map(|gate| Sums::of(node, gate)).collect::<Result<Vec<_>, _>>()?;
    let operands = operands(node, &sums[0], Some(&state), next.len())?;
    let gates: Vec<&Sums> = sums.iter().collect();
    let kernels = kernels(node, &gates, &operands)?;
    let activations = [gate, candidate, out];
    let biases = sums.iter().map(|sums| [sums.bias.clone(), vec![0.0; next.len()]]).collect();
    Ok(found(Cell::Lstm, operands, (kernels, biases), &sums[0], Some((state, next.clone())), activations))
}

/// z, n and h of h' = (1 - z)∘n + z∘h, or of n + z∘(h - n), each gate with its activation.
fn interpolated(next: &Spelled) -> Option<(Gate, Gate, Spelled)> {
    let (a, b) = next.sum()?;
    for (new, kept) in [(&a, &b), (&b, &a)] {
        let Some(kept) = kept.times() else { continue };
        for (z, other) in [(&kept.0, &kept.1), (&kept.1, &kept.0)] {
            let Some(gate) = z.activated() else { continue };
            if let Some((hidden, n)) = other.difference().filter(|(_, n)| n.is_same(new)) {
                return Some((gate, n.activated()?, hidden));
            }
            let Some(new) = new.times() else { continue };
            for (less, n) in [(&new.0, &new.1), (&new.1, &new.0)] {
                if less.complement().is_some_and(|of| of.is_same(z)) {
                    return Some((gate, n.activated()?, other.clone()));
                }
            }
        }
    }
    None
}

fn gru(node: &Node<'_>, (gate, z): Gate, (candidate, n): Gate, hidden: Spelled) -> Result<Found, Error> {
    let units = hidden.len();
    if !hidden.is_input() {
        return node.refuse("no state of the step before comes in as an input of the model", ONE_STEP);
    }
    let (z, mut n) = (Sums::of(node, &z)?, Sums::of(node, &n)?);
    let other = |node: &Node<'_>| node.refuse("its candidates have no reset gate that acts on its state", AS_IT_IS);
    let x = z.products.iter().find(|product| !product.of.is_same(&hidden));
    let Some(x) = x.map(|product| product.of.clone()) else { return other(node) };
    let operands = Operands { x, hidden };
    // The reset gate, what is U·(r∘h) or r∘(U·h + b_h), and whether it acts after the product.
    let others = std::mem::take(&mut n.others);
    let (reset, kernel, bias, reset_after) = if let [other_one] = others.as_slice() {
        let pair = other_one.times();
        let Some(((of_r, r), inner)) = pair.as_ref().and_then(|pair| gated_by(pair).next()) else { return other(node) };
        let inner = Sums::of(node, &inner)?;
        let kernel = inner.kernel(&operands.hidden).cloned();
        let is_only = inner.products.len() == 1 && inner.others.is_empty();
        ((of_r, r), kernel.filter(|_| is_only), inner.bias, true)
    } else {
        let of_state = |product: &&super::sums::Product| {
            let pair = product.of.times()?;
            gated_by(&pair).find(|(_, state)| state.is_same(&operands.hidden)).map(|(reset, _)| reset)
        };
        let found = n.products.iter().find_map(|product| Some((of_state(&product)?, product.kernel.clone())));
        let Some((reset, kernel)) = found.filter(|_| others.is_empty()) else { return other(node) };
        n.products.retain(|product| product.of.times().is_none());
        (reset, Some(kernel), vec![0.0; units], false)
    };
    let Some(kernel) = kernel else { return other(node) };
    if reset.0 != gate {
        return node.refuse("its gates go through different activations", AS_IT_IS);
    }
    let r = Sums::of(node, &reset.1)?;
    let (mut all, mut recurrent) = kernels(node, &[&z, &r], &operands)?;
    let Some(of_x) = n.kernel(&operands.x).filter(|_| n.products.len() == 1) else { return other(node) };
    all.push(of_x.clone());
    recurrent.push(kernel);
    let zeros = vec![0.0; units];
    let biases = vec![[z.bias.clone(), zeros.clone()], [r.bias, zeros], [n.bias, bias]];
    let cell = Cell::Gru { reset_after };
    Ok(found(cell, operands, ((all, recurrent), biases), &z, None, [gate, candidate, candidate]))
}

/// A simple recurrent step: an activation of a sum of two products, of which one is that of a state.
///
/// # Errors
/// As those of its sums.
pub(crate) fn simple(node: &Node<'_>, activation: Activation, of: &Spelled) -> Result<Option<Found>, Error> {
    let sums = Sums::of(node, of)?;
    if sums.products.len() != 2 || !sums.others.is_empty() {
        return Ok(None);
    }
    let Ok(operands) = operands(node, &sums, None, of.len()) else { return Ok(None) };
    let kernels = kernels(node, &[&sums], &operands)?;
    let biases = vec![[sums.bias.clone(), vec![0.0; of.len()]]];
    Ok(Some(found(Cell::Rnn, operands, (kernels, biases), &sums, None, [activation; 3])))
}

/// Of the two vectors that a gate reads, which is the state: an input of as many numbers as there are units; of two such inputs, the one that c comes in by as
/// well, else the one that is not the first input of the graph.
fn operands(node: &Node<'_>, sums: &Sums, cell: Option<&Spelled>, units: usize) -> Result<Operands, Error> {
    let [first, second] = sums.products.as_slice() else {
        let problem = format!("a gate of it is no sum of W·x and U·h, but of {} products", sums.products.len());
        return node.refuse(problem, AS_IT_IS);
    };
    let (a, b) = (&first.of, &second.of);
    // The input that it is a part of, where it can be a state.
    let number = |of: &Spelled| match &of.term.made {
        Made::Input(_, number) if of.len() == units => Some(*number),
        _ => None,
    };
    let of_cell = cell.and_then(number);
    let is_second = match (number(a), number(b)) {
        (None, None) => {
            let problem = format!("no state of {units} numbers comes in as an input of the model");
            return node.refuse(problem, ONE_STEP);
        }
        (Some(_), None) => false,
        (None, Some(_)) => true,
        (of_a, of_b) if of_cell.is_some() && (of_a == of_cell) != (of_b == of_cell) => of_b == of_cell,
        (of_a, of_b) => of_b > of_a,
    };
    let (x, hidden) = if is_second { (a, b) } else { (b, a) };
    Ok(Operands { x: x.clone(), hidden: hidden.clone() })
}

/// W and U of each gate.
fn kernels(node: &Node<'_>, gates: &[&Sums], operands: &Operands) -> Result<Kernels, Error> {
    let mut all = (Vec::new(), Vec::new());
    for gate in gates {
        let (x, hidden) = (gate.kernel(&operands.x), gate.kernel(&operands.hidden));
        let (Some(x), Some(hidden), 2, true) = (x, hidden, gate.products.len(), gate.others.is_empty()) else {
            return node.refuse("its gates do not all read the same input and the same state, once each", AS_IT_IS);
        };
        all.0.push(x.clone());
        all.1.push(hidden.clone());
    }
    Ok(all)
}

fn found(
    cell: Cell,
    operands: Operands,
    ((kernels, recurrent_kernels), biases): (Kernels, Vec<[Vec<f64>; 2]>),
    sums: &Sums,
    state: Option<(Spelled, Spelled)>,
    activations: Activations,
) -> Found {
    let Operands { x, hidden } = operands;
    let (units, source) = (hidden.len(), sums.source.clone());
    Found { cell, units, x, hidden, state, kernels, recurrent_kernels, biases, source, activations }
}
