//! `.nam` files of Neural Amp Modeler: the architecture LSTM.
//!
//! ```text
//! weights = for each layer W [4·units, inputs + units], b [4·units], h0 [units], c0 [units];  then the head's weight [units] and its bias
//! ```
//!
//! Columns of W: those of the input first, then those of the hidden state. Gates: i, f, g, o. h0 and c0 are trained: a network begins with them.
//! Source: `NAM/lstm.cpp` of NeuralAmpModelerCore.

use crate::Error;
use crate::described::{
    Activation, Answer, Cell, Dense, Described, Format, Gain, Input, Kind, Layer, Limits, Matrix, Recurrent, Samples,
    Source, Task, Vector, channel_names,
};
use crate::json::{Json, Object, size};

/// What works in place of an architecture that Latch does not have.
const LSTM: &str = "train an LSTM in Neural Amp Modeler and export that: its architecture is \"LSTM\"";

/// Whether an object is such a file.
pub(crate) fn is(object: &Object) -> bool {
    object.text("architecture").is_some() && object.get("config").is_some()
}

/// Reads a model; `place` is the file.
///
/// # Errors
/// Names another architecture with what works in its place; and the entry or the tensor that is missing, has another size or does not fit the limits.
pub(crate) fn read(mut object: Object, place: &str, limits: &Limits) -> Result<Described, Error> {
    let at = |entry: &str| format!("{place}: {entry}");
    let architecture = object.text("architecture").unwrap_or_default();
    if architecture != "LSTM" {
        let problem = format!("it is {architecture:?}, and Latch has LSTMs and GRUs");
        return Err(Error::new(at("architecture"), problem, LSTM));
    }
    let config = object.object("config").cloned().unwrap_or_default();
    let named = |key: &str, most: usize| size(place, &format!("config.{key}"), config.get(key), most);
    let (inputs, units) = (named("input_size", limits.width)?, named("hidden_size", limits.width)?);
    let layers = named("num_layers", limits.layers)?;
    for key in ["in_channels", "out_channels"] {
        let wanted = if key == "in_channels" { inputs } else { 1 };
        if config.get(key).is_some() && named(key, limits.width)? != wanted {
            let problem = format!("it is {}, and {wanted} is what Latch reads", named(key, limits.width)?);
            return Err(Error::new(at(&format!("config.{key}")), problem, "export a model of one channel"));
        }
    }
    let wanted = counted(inputs, units, layers);
    let values = match object.take("weights") {
        None => return Err(Error::new(at("weights"), "they are missing", "export the model again")),
        Some(json) => json.into_tensor(&at("weights"), &[wanted]).map_err(|error| {
            let declared = format!("{layers} layers of {units} units over {inputs} inputs");
            Error { problem: format!("{}, by {declared}", error.problem), ..error }
        })?,
    };
    let rate = match object.get("sample_rate") {
        None => None,
        Some(Json::Number(rate)) if rate.is_finite() && *rate > 0.0 => Some(*rate),
        Some(other) => {
            let problem = format!("it is {}, and no number of frames a second", other.shown());
            return Err(Error::new(at("sample_rate"), problem, "write 48000 or what it is, or leave it out"));
        }
    };
    let samples = Samples { channels: inputs, names: channel_names(inputs), rate, ..Samples::default() };
    let source =
        Source { version: object.text("version").map(str::to_owned), notes: notes(&object), ..Source::of(Format::Nam) };
    let model = Described {
        source,
        input: Input::Samples(samples),
        layers: chain(&values, inputs, units, layers),
        skip: None,
        gain: Gain::default(),
        answer: Answer { task: Some(Task::RegressEach), classes: None },
    };
    model.check(place, limits)?;
    Ok(model)
}

/// Values of a model of these sizes, each within the limits.
fn counted(inputs: usize, units: usize, layers: usize) -> usize {
    let layer = |inputs: usize| 4 * units * (inputs + units) + 4 * units + 2 * units;
    layer(inputs) + (layers - 1) * layer(units) + units + 1
}

/// The layers of as many values as they have.
fn chain(values: &[f32], mut inputs: usize, units: usize, layers: usize) -> Vec<Layer> {
    let mut rest = values;
    let mut take = |count: usize| {
        let (taken, behind) = rest.split_at(count.min(rest.len()));
        rest = behind;
        taken
    };
    let mut chain = Vec::with_capacity(layers + 1);
    for number in 0..layers {
        let named = |part: &str| format!("weights, {part} of layer {number}");
        let rows = take(4 * units * (inputs + units));
        let columns = |source: &str, range: std::ops::Range<usize>| Matrix {
            source: named(source),
            rows: 4 * units,
            columns: range.len(),
            values: rows.chunks(inputs + units).flat_map(|row| row[range.clone()].iter().copied()).collect(),
        };
        let kernels = (columns("W of the input", 0..inputs), columns("W of the hidden state", inputs..inputs + units));
        let mut vector = |part: &str, length: usize| Vector { source: named(part), values: take(length).to_vec() };
        let bias = vector("b", 4 * units);
        let recurrent = Recurrent {
            initial_hidden: Some(vector("h0", units)),
            initial_cell: Some(vector("c0", units)),
            ..Recurrent::new(Cell::Lstm, units, kernels, bias)
        };
        chain.push(Layer { name: format!("lstm {number}"), kind: Kind::Recurrent(recurrent) });
        inputs = units;
    }
    let (source, values) = ("weights, weight of the head".to_owned(), take(units).to_vec());
    let kernel = Matrix { source, rows: 1, columns: units, values };
    let bias = Vector { source: "weights, bias of the head".to_owned(), values: take(1).to_vec() };
    let dense = Dense { kernel, bias, activation: Activation::Linear };
    chain.push(Layer { name: "head".to_owned(), kind: Kind::Dense(dense) });
    chain
}

/// What the metadata says in words and numbers, in their order. Loudness and gain are measured, and no part of what the model computes.
fn notes(object: &Object) -> Vec<(String, String)> {
    let entries = object.object("metadata").map(|metadata| metadata.0.as_slice()).unwrap_or_default();
    let said = |(key, value): &(String, Json)| {
        let value = match value {
            Json::Text(text) if !text.is_empty() => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return None,
        };
        Some((key.clone(), value))
    };
    entries.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests;
