//! The layers in Python: `model = keras.Model(…)`, for Keras 3.

use super::{activation_name, class_of};
use crate::Error;
use crate::described::{
    Activation, Bidirectional, Cell, Described, Input, Kind, Layer, LayerNorm, MaxPool, Merge, Pooling, Recurrent,
};
use crate::writers::python::{Words, around, scaled};

const WORDS: Words = Words {
    tensor: "ops.array({}, \"float32\")",
    joined: "ops.concatenate({}, 1)",
    // Numbers and no tensors: these could not be saved.
    held: "x = ops.concatenate([ops.clip(x[:, :, k : k + 1], -b, b) for k, b in enumerate({})], 2)",
};

/// The program.
pub(super) fn of(model: &Described) -> Result<String, Error> {
    let mut lines: Vec<String> = vec!["import keras".into(), "from keras import layers, ops".into(), String::new()];
    let input = match &model.input {
        Input::Ids(_) => {
            lines.push("ids = keras.Input((None,), dtype=\"int32\")".into());
            lines.push("x = ids".into());
            "ids"
        }
        Input::Samples(samples) => {
            lines.push(format!("frames = keras.Input((None, {}))", samples.channels));
            lines.extend(scaled(model, &WORDS));
            "frames"
        }
    };
    for layer in &model.layers {
        lines.extend(of_layer(layer)?);
    }
    lines.extend(around(model, &WORDS));
    lines.push(format!("model = keras.Model({input}, x)"));
    lines.push("model.load_weights(\"{file}\")".into());
    Ok(lines.join("\n") + "\n")
}

fn of_layer(layer: &Layer) -> Result<Vec<String>, Error> {
    let one = |text: String| Ok(vec![format!("x = {text}(x)")]);
    let active = |activation: Activation| -> Result<String, Error> {
        Ok(match activation {
            Activation::Linear => String::new(),
            other => format!(", activation=\"{}\"", activation_name(layer, other)?),
        })
    };
    match &layer.kind {
        Kind::Embedding(embedding) => {
            let mask = if embedding.mask_zero { ", mask_zero=True" } else { "" };
            one(format!("layers.Embedding({}, {}{mask})", embedding.table.rows, embedding.table.columns))
        }
        Kind::Recurrent(recurrent) => {
            let mut lines = one(recurrent_text(layer, recurrent, true)?)?;
            if recurrent.aligned {
                lines.push("x = ops.flip(x, 1)".into());
            }
            Ok(lines)
        }
        Kind::Bidirectional(both) => one(bidirectional_text(layer, both)?),
        Kind::Conv1d(conv1d) => {
            let (units, frames, stride) = (conv1d.kernel.rows, conv1d.frames, conv1d.stride);
            let (padding, active) = (conv1d.padding.name(), active(conv1d.activation)?);
            one(format!("layers.Conv1D({units}, {frames}, strides={stride}, padding=\"{padding}\"{active})"))
        }
        Kind::Dense(dense) => one(format!("layers.Dense({}{})", dense.kernel.rows, active(dense.activation)?)),
        Kind::LayerNorm(LayerNorm { epsilon, .. }) => one(format!("layers.LayerNormalization(epsilon={epsilon:?})")),
        Kind::MaxPool(MaxPool { frames, stride }) => one(format!("layers.MaxPooling1D({frames}, strides={stride})")),
        Kind::Masking(value) => one(format!("layers.Masking({value:?})")),
        Kind::Activation(activation) => one(format!("layers.Activation(\"{}\")", activation_name(layer, *activation)?)),
        Kind::Pooling(Pooling::Last) => Ok(vec!["x = x[:, -1]".into()]),
        Kind::Pooling(Pooling::Mean) => one("layers.GlobalAveragePooling1D()".into()),
        Kind::Pooling(Pooling::Max) => one("layers.GlobalMaxPooling1D()".into()),
        Kind::Pooling(Pooling::Attention) => Ok(vec![
            "w = ops.exp(4.0 * ops.clip(x[:, :, :1], -1.0, 1.0))".into(),
            "x = ops.sum(w * x, axis=1) / ops.sum(w, axis=1)".into(),
        ]),
    }
}

/// A recurrent layer; each step has an output, or the last alone.
fn recurrent_text(layer: &Layer, recurrent: &Recurrent, each_step: bool) -> Result<String, Error> {
    let mut text = format!("layers.{}({}", class_of(recurrent.cell), recurrent.units);
    if each_step {
        text += ", return_sequences=True";
    }
    if recurrent.activation != Activation::Tanh {
        text += &format!(", activation=\"{}\"", activation_name(layer, recurrent.activation)?);
    }
    if recurrent.cell != Cell::Rnn && recurrent.gate_activation != Activation::Sigmoid {
        text += &format!(", recurrent_activation=\"{}\"", activation_name(layer, recurrent.gate_activation)?);
    }
    if recurrent.cell == (Cell::Gru { reset_after: false }) {
        text += ", reset_after=False";
    }
    if recurrent.backwards {
        text += ", go_backwards=True";
    }
    Ok(text + ")")
}

fn bidirectional_text(layer: &Layer, both: &Bidirectional) -> Result<String, Error> {
    let merge = match both.merge {
        Merge::Concat => "concat",
        Merge::Sum => "sum",
        Merge::Product => "mul",
        Merge::Mean => "ave",
    };
    let forward = recurrent_text(layer, &both.forward, both.each_step)?;
    let backward = recurrent_text(layer, &both.backward, both.each_step)?;
    Ok(format!("layers.Bidirectional({forward}, merge_mode=\"{merge}\", backward_layer={backward})"))
}
