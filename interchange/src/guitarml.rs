//! JSON of GuitarML (Automated-GuitarAmpModelling, NeuralPi, Proteus): recurrent layers, a dense one, and the input around them.
//!
//! ```text
//! y = lin(rec(x)) + x[0]        where `skip` is 1
//! ```
//!
//! `model_data` has the sizes, `state_dict` PyTorch's tensors `rec.…` and `lin.…`. Inputs beside the first are knobs, from 0 to 1.

use crate::Error;
use crate::described::{Answer, Described, Format, Gain, Input, Limits, Samples, Skip, Source, Task, channel_names};
use crate::json::{Json, Object, place_of, size};
use crate::names::Family;
use crate::torch::{Declared, dense, named as named_tensors, refuse_left, stack, unbiased};

/// Whether an object is such a file.
pub(crate) fn is(object: &Object) -> bool {
    object.object("model_data").is_some() && object.get("state_dict").is_some()
}

/// Reads a model; `place` is the file.
///
/// # Errors
/// Names the entry of `model_data` or the tensor that is missing, is of another kind or has another size than the one that is declared.
pub(crate) fn read(mut object: Object, place: &str, limits: &Limits) -> Result<Described, Error> {
    let data = object.object("model_data").cloned().unwrap_or_default();
    let entry = |key: &str| format!("model_data.{key}");
    let refuse =
        |key: &str, problem: String, remedy: &str| Err(Error::new(format!("{place}: {}", entry(key)), problem, remedy));
    if let Some(model) = data.text("model").filter(|model| *model != "SimpleRNN") {
        return refuse("model", format!("it is {model:?}, and Latch reads \"SimpleRNN\""), "train a SimpleRNN");
    }
    let named = |key: &str, most: usize| size(place, &entry(key), data.get(key), most);
    let (inputs, outputs) = (named("input_size", limits.width)?, named("output_size", limits.width)?);
    let units = named("hidden_size", limits.width)?;
    let layers = if data.get("num_layers").is_none() { 1 } else { named("num_layers", limits.layers)? };
    let family = match data.text("unit_type") {
        Some("LSTM") => Family::Lstm,
        Some("GRU") => Family::Gru,
        Some("RNN") => Family::Rnn,
        _ => {
            let found = data.get("unit_type").map_or_else(|| "missing".into(), Json::shown);
            return refuse("unit_type", format!("it is {found}, and no LSTM, GRU or RNN"), "train one of these");
        }
    };
    let skip = match data.get("skip") {
        None | Some(Json::Bool(false)) => None,
        Some(Json::Bool(true)) => Some(0),
        Some(Json::Number(number)) if *number == 0.0 => None,
        Some(Json::Number(number)) if *number == 1.0 => Some(0),
        Some(other) => {
            let problem = format!("it is {}, and one input goes around the network, or none", other.shown());
            return refuse("skip", problem, "train with a skip of 0 or 1");
        }
    };
    let Some(Json::Object(mut tensors)) = object.take("state_dict") else {
        return Err(Error::new(format!("{place}: state_dict"), "it is no object of tensors", "export the model again"));
    };
    if data.get("bias_fl") == Some(&Json::Bool(true)) {
        // Missing biases are zeros only where there are said to be none.
        let recurrent = (0..layers).map(|layer| format!("rec.bias_ih_l{layer}"));
        if let Some(name) = recurrent.chain(["lin.bias".to_owned()]).find(|name| tensors.get(name).is_none()) {
            let problem = "it is missing, and model_data.bias_fl says that there are biases";
            return Err(Error::new(place_of(place, &name), problem, "export the model again"));
        }
    }
    let there = named_tensors(&tensors);
    let mut chain =
        stack(place, &mut tensors, "rec.", inputs, Declared { family, units, layers, both: false, projected: None })?;
    chain.push(dense(place, &mut tensors, "lin.", units, Some(outputs))?);
    refuse_left(place, &tensors)?;
    let samples = Samples { channels: inputs, names: channel_names(inputs), ..Samples::default() };
    let model = Described {
        source: Source { notes: unbiased(&there, &chain), ..Source::of(Format::GuitarMl) },
        input: Input::Samples(samples),
        layers: chain,
        skip: skip.map(Skip::of),
        gain: Gain::default(),
        answer: Answer { task: Some(Task::RegressEach), classes: None },
    };
    model.check(place, limits)?;
    Ok(model)
}

#[cfg(test)]
mod tests;
