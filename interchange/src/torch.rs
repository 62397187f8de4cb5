//! The tensors of a `state_dict` of PyTorch.
//!
//! ```text
//! P.weight_ih_lN [G·units, inputs]    P.weight_hh_lN [G·units, hidden]    P.bias_ih_lN, P.bias_hh_lN [G·units]    nn.LSTM, nn.GRU, nn.RNN
//! P.weight_hr_lN [hidden, units]                                                                                  proj_size of nn.LSTM
//! P.weight [units, inputs]            P.bias [units]                                                              nn.Linear
//! ```
//!
//! G is 4 for an LSTM (i, f, g, o), 3 for a GRU (r, z, n) and 1 for a simple one with tanh. Hidden is as much as units where nothing is projected. The second
//! direction has `_reverse` behind its names. Biases may be missing: then they are zeros.

use std::collections::BTreeSet;

use crate::Error;
use crate::described::{Activation, Bidirectional, Cell, Dense, Kind, Layer, Merge, Recurrent, Vector};
use crate::json::{Json, Object, matrix, place_of, vector};
use crate::names::{Family, Layout};
use crate::remark::REMARK;

/// What a file says of a stack of recurrent layers besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    pub(crate) family: Family,
    pub(crate) units: usize,
    pub(crate) layers: usize,
    /// Whether a second direction stands beside the first.
    pub(crate) both: bool,
    /// What the hidden state is projected to, where it is.
    pub(crate) projected: Option<usize>,
}

impl Declared {
    /// Features of the hidden state of a direction.
    fn hidden(&self) -> usize {
        self.projected.unwrap_or(self.units)
    }
}

/// The shape of a tensor; nothing of what is none.
fn shape<'o>(tensors: &'o Object, name: &str) -> Option<&'o [usize]> {
    match tensors.get(name) {
        Some(Json::Tensor(tensor)) => Some(&tensor.shape),
        _ => None,
    }
}

/// What the shapes of a stack say of it; its tensors have `prefix` before their names.
///
/// # Errors
/// Names the tensor whose shape is that of no recurrent layer.
pub(crate) fn shown(place: &str, tensors: &Object, prefix: &str) -> Result<Declared, Error> {
    let name = format!("{prefix}weight_hh_l0");
    let projected = match shape(tensors, &format!("{prefix}weight_hr_l0")) {
        Some(&[hidden, units]) => Some((hidden, units)),
        _ => None,
    };
    let family = match (shape(tensors, &name), projected) {
        // Only an LSTM is projected.
        (Some(&[rows, found]), Some((hidden, units))) if found == hidden && Some(rows) == units.checked_mul(4) => {
            Some((Family::Lstm, units))
        }
        (Some(&[rows, units]), None) if units > 0 && rows % units == 0 => {
            Family::ALL.into_iter().find(|family| family.gates() == rows / units).map(|family| (family, units))
        }
        _ => None,
    };
    let Some((family, units)) = family else {
        let found = tensors.get(&name).map_or_else(|| "it is missing".into(), |json| format!("it is {}", json.shown()));
        let problem =
            format!("{found}, but [4·units, units] of an LSTM, [3·units, units] of a GRU or [units, units] is needed");
        return Err(Error::new(place_of(place, &name), problem, "save the state_dict of the network"));
    };
    let layers = (0..).take_while(|layer| tensors.get(&format!("{prefix}weight_ih_l{layer}")).is_some()).count();
    if layers == 0 {
        let name = format!("{prefix}weight_ih_l0");
        return Err(Error::new(place_of(place, &name), "it is missing", "save all tensors of the network"));
    }
    let both = tensors.get(&format!("{prefix}weight_ih_l0_reverse")).is_some();
    Ok(Declared { family, units, layers, both, projected: projected.map(|(hidden, _)| hidden) })
}

/// Takes the layers of a stack out of the tensors.
///
/// # Errors
/// Names the tensor that is missing or has another shape than the one that is declared.
pub(crate) fn stack(
    place: &str,
    tensors: &mut Object,
    prefix: &str,
    mut inputs: usize,
    declared: Declared,
) -> Result<Vec<Layer>, Error> {
    let mut stack = Vec::with_capacity(declared.layers);
    for number in 0..declared.layers {
        let forward = direction(place, tensors, (prefix, &format!("_l{number}")), inputs, declared)?;
        let (kind, features) = if declared.both {
            let suffix = format!("_l{number}_reverse");
            let backward = direction(place, tensors, (prefix, &suffix), inputs, declared)?;
            let backward = Recurrent { backwards: true, ..backward };
            let both = Bidirectional { forward, backward, merge: Merge::Concat, each_step: true };
            (Kind::Bidirectional(Box::new(both)), 2 * declared.hidden())
        } else {
            (Kind::Recurrent(forward), declared.hidden())
        };
        let name = match prefix.trim_end_matches('.') {
            "" => declared.family.name(),
            name => name,
        };
        let name = if declared.layers == 1 { name.to_owned() } else { format!("{name} layer {number}") };
        stack.push(Layer { name, kind });
        inputs = features;
    }
    Ok(stack)
}

/// Takes one direction of a layer out of the tensors; `suffix` is behind their names.
fn direction(
    place: &str,
    tensors: &mut Object,
    (prefix, suffix): (&str, &str),
    inputs: usize,
    declared: Declared,
) -> Result<Recurrent, Error> {
    let Declared { family, units, projected, .. } = declared;
    let (layout, rows) = (Layout::PyTorch, family.gates() * units);
    let mut kernel = |part: &str, columns: usize| {
        let name = format!("{prefix}{part}{suffix}");
        let read = matrix(place, name.clone(), tensors.take(&name), [rows, columns])?;
        Ok(layout.to_kernel(family, read.source, read.values, rows, columns))
    };
    let kernels = (kernel("weight_ih", inputs)?, kernel("weight_hh", declared.hidden())?);
    let projection = projected.map(|hidden| {
        let name = format!("{prefix}weight_hr{suffix}");
        matrix(place, name.clone(), tensors.take(&name), [hidden, units])
    });
    let both = [format!("{prefix}bias_ih{suffix}"), format!("{prefix}bias_hh{suffix}")];
    let there = both.each_ref().map(|name| tensors.get(name).is_some());
    if let Some(missing) = there.iter().position(|there| !there).filter(|_| there.contains(&true)) {
        let problem = "it is missing, and the other bias of its layer is there";
        return Err(Error::new(place_of(place, &both[missing]), problem, "save both biases, or none"));
    }
    let mut bias = |name: &str| {
        let name = name.to_owned();
        let mut read = match tensors.take(&name) {
            None => Vector { source: name, values: vec![0.0; rows] },
            json => vector(place, name, json, rows)?,
        };
        layout.swap_gates(family, &mut read.values);
        Ok(read)
    };
    let (mut first, second) = (bias(&both[0])?, bias(&both[1])?);
    let (cell, recurrent_bias) = match family {
        Family::Gru => (Cell::Gru { reset_after: true }, Some(second)),
        Family::Lstm | Family::Rnn => {
            first.values.iter_mut().zip(&second.values).for_each(|(sum, value)| *sum += value);
            (if family == Family::Lstm { Cell::Lstm } else { Cell::Rnn }, None)
        }
    };
    let projection = projection.transpose()?;
    Ok(Recurrent { recurrent_bias, projection, ..Recurrent::new(cell, units, kernels, first) })
}

/// Takes a linear dense layer of so many units out of the tensors, or of as many as its kernel has.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub(crate) fn dense(
    place: &str,
    tensors: &mut Object,
    prefix: &str,
    inputs: usize,
    units: Option<usize>,
) -> Result<Layer, Error> {
    let (kernel, bias) = (format!("{prefix}weight"), format!("{prefix}bias"));
    let units = units.or_else(|| shape(tensors, &kernel).and_then(|shape| shape.first().copied())).unwrap_or(1);
    let kernel = matrix(place, kernel.clone(), tensors.take(&kernel), [units, inputs])?;
    let bias = match tensors.take(&bias) {
        None => Vector { source: bias, values: vec![0.0; units] },
        json => vector(place, bias, json, units)?,
    };
    let dense = Dense { kernel, bias, activation: Activation::Linear };
    Ok(Layer { name: prefix.trim_end_matches('.').to_owned(), kind: Kind::Dense(dense) })
}

/// The names of the tensors that are there: what [`unbiased`] asks of, before any is taken.
pub(crate) fn named(tensors: &Object) -> BTreeSet<String> {
    tensors.0.iter().filter(|(_, value)| *value != Json::Null).map(|(name, _)| name.clone()).collect()
}

/// Remarks on the biases of a chain that are not among the tensors of its file, and are zeros.
pub(crate) fn unbiased(there: &BTreeSet<String>, layers: &[Layer]) -> Vec<(String, String)> {
    let biases = layers.iter().filter_map(|layer| match &layer.kind {
        Kind::Recurrent(recurrent) => Some(&recurrent.bias.source),
        Kind::Dense(dense) => Some(&dense.bias.source),
        _ => None,
    });
    let missing = biases.filter(|name| !there.contains(*name));
    missing.map(|name| (REMARK.to_owned(), format!("{name} is missing, and taken as zeros"))).collect()
}

/// Refuses tensors that no layer has taken.
pub(crate) fn refuse_left(place: &str, tensors: &Object) -> Result<(), Error> {
    let Some((name, _)) = tensors.0.iter().find(|(_, value)| *value != Json::Null) else { return Ok(()) };
    let problem = if name.ends_with("_reverse") {
        "it belongs to a layer that reads the future first, which a device does not have"
    } else if name.contains("weight_hr_l") {
        "it is a projection of the hidden state, which Latch does not have"
    } else {
        "it has no place in recurrent layers and a dense one"
    };
    Err(Error::new(
        place_of(place, name),
        problem,
        "leave it out if the network does not need it, or train one without it",
    ))
}
