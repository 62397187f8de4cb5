//! The tensors of a `state_dict` of PyTorch, as JSON has them.
//!
//! ```text
//! P.weight_ih_lN [G·units, inputs]    P.weight_hh_lN [G·units, units]    P.bias_ih_lN, P.bias_hh_lN [G·units]    nn.LSTM, nn.GRU, nn.RNN
//! P.weight [units, inputs]            P.bias [units]                                                             nn.Linear
//! ```
//!
//! G is 4 for an LSTM (i, f, g, o), 3 for a GRU (r, z, n) and 1 for a simple one with tanh. Biases may be missing: then they are zeros.

use std::collections::BTreeSet;

use crate::Error;
use crate::described::{Activation, Cell, Dense, Kind, Layer, Recurrent, Vector};
use crate::json::{Json, Object, matrix, place_of, vector};
use crate::names::{Family, Layout};
use crate::remark::REMARK;

/// What a file says of a stack of recurrent layers besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared {
    pub(crate) family: Family,
    pub(crate) units: usize,
    pub(crate) layers: usize,
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
    let family = match shape(tensors, &name) {
        Some(&[rows, units]) if units > 0 && rows % units == 0 => {
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
    Ok(Declared { family, units, layers })
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
    Declared { family, units, layers }: Declared,
) -> Result<Vec<Layer>, Error> {
    let layout = Layout::PyTorch;
    let rows = family.gates() * units;
    let mut stack = Vec::with_capacity(layers);
    for number in 0..layers {
        let mut kernel = |part: &str, columns: usize| {
            let name = format!("{prefix}{part}_l{number}");
            let read = matrix(place, name.clone(), tensors.take(&name), [rows, columns])?;
            Ok(layout.to_kernel(family, read.source, read.values, rows, columns))
        };
        let kernels = (kernel("weight_ih", inputs)?, kernel("weight_hh", units)?);
        let both = [format!("{prefix}bias_ih_l{number}"), format!("{prefix}bias_hh_l{number}")];
        let there = both.each_ref().map(|name| tensors.get(name).is_some());
        if let Some(missing) = there.iter().position(|there| !there).filter(|_| there.contains(&true)) {
            let problem = "it is missing, and the other bias of its layer is there";
            return Err(Error::new(place_of(place, &both[missing]), problem, "save both biases, or none"));
        }
        let mut bias = |part: &str| {
            let name = format!("{prefix}{part}_l{number}");
            let mut read = match tensors.take(&name) {
                None => Vector { source: name, values: vec![0.0; rows] },
                json => vector(place, name, json, rows)?,
            };
            layout.swap_gates(family, &mut read.values);
            Ok(read)
        };
        let (mut first, second) = (bias("bias_ih")?, bias("bias_hh")?);
        let (cell, recurrent_bias) = match family {
            Family::Gru => (Cell::Gru { reset_after: true }, Some(second)),
            Family::Lstm | Family::Rnn => {
                first.values.iter_mut().zip(&second.values).for_each(|(sum, value)| *sum += value);
                (if family == Family::Lstm { Cell::Lstm } else { Cell::Rnn }, None)
            }
        };
        let recurrent = Recurrent { recurrent_bias, ..Recurrent::new(cell, units, kernels, first) };
        let name = prefix.trim_end_matches('.');
        let name = if layers == 1 { name.to_owned() } else { format!("{name} layer {number}") };
        stack.push(Layer { name, kind: Kind::Recurrent(recurrent) });
        inputs = units;
    }
    Ok(stack)
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
