//! Files for other frameworks, one writer a format: the way back of the readers.
//!
//! ```text
//! Described ──onnx──────> operators of ONNX, from the samples or the ids to the answer
//!           ──keras─────> weights in HDF5, and the lines of Python that build the layers for them
//!           ──torch─────> a state_dict in safetensors, and the lines of Python of the module for it
//!           ──rtneural──> JSON in Keras's layout
//! ```
//!
//! Promised: what a writer writes, the reader of its format reads back as a description with the same answers; the same description gives the same bytes; and what a
//! format cannot hold is refused by the name of the layer, with what to do. Nothing is left out in silence.

pub mod keras;
pub mod onnx;
mod python;
pub mod rtneural;
pub mod torch;

use crate::Error;
use crate::described::{Activation, Cell, Conv1d, Described, Input, Kind, Layer, Padding, Recurrent, Samples};

/// The format that holds more than any other.
const AS_ONNX: &str = "export it as ONNX, or as an image";

/// The error of a layer.
fn refused(layer: &Layer, problem: impl Into<String>, remedy: &str) -> Error {
    Error::new(format!("layer {}", layer.name), problem, remedy)
}

/// What a recurrent layer has that a format with the plain cells alone cannot hold, in words; nothing of a plain one. `relu` says whether simple layers may have relu.
fn beyond_plain(layer: &Recurrent, relu: bool) -> Option<String> {
    let is_rnn = layer.cell == Cell::Rnn;
    let activations_fit = match layer.activation {
        Activation::Tanh => true,
        Activation::Relu => is_rnn && relu,
        _ => false,
    };
    let what = if layer.peepholes.is_some() {
        "peepholes"
    } else if layer.coupled {
        "coupled gates"
    } else if layer.clip.is_some() {
        "sums that are clipped"
    } else if layer.output_activation.is_some() {
        "cells with an activation of their own"
    } else if !is_rnn && layer.gate_activation != Activation::Sigmoid {
        return Some(format!("it has gates with {}", layer.gate_activation.name()));
    } else if !activations_fit {
        return Some(format!("it has {}", layer.activation.name()));
    } else {
        return None;
    };
    Some(format!("it has {what}"))
}

/// Steps from one answer of a model to the next: the product of its strides.
fn stride(model: &Described) -> usize {
    let strides = model.layers.iter().map(|layer| match &layer.kind {
        Kind::Conv1d(conv1d) => conv1d.stride,
        Kind::MaxPool(pool) => pool.stride,
        _ => 1,
    });
    strides.product()
}

/// Whether the steps of a model become one answer.
fn is_pooled(model: &Described) -> bool {
    model.layers.iter().any(|layer| match &layer.kind {
        Kind::Pooling(_) => true,
        Kind::Bidirectional(both) => !both.each_step,
        _ => false,
    })
}

/// Refuses what goes around a model whose answers do not stand at steps of its input.
fn check_skip(model: &Described) -> Result<(), Error> {
    let ahead = |layer: &&Layer| {
        matches!(&layer.kind, Kind::MaxPool(_) | Kind::Conv1d(Conv1d { padding: Padding::Same | Padding::Valid, .. }))
    };
    match model.layers.iter().find(ahead).filter(|_| model.skip.is_some()) {
        None => Ok(()),
        Some(layer) => {
            let problem =
                "a sample goes around the network, and this layer's outputs do not stand at the steps of its input";
            Err(refused(layer, problem, "use a causal convolution"))
        }
    }
}

/// The samples that a model reads; nothing of one that reads ids.
fn samples(model: &Described) -> Option<&Samples> {
    match &model.input {
        Input::Ids(_) => None,
        Input::Samples(samples) => Some(samples),
    }
}

/// `(x − mean)·factor` of each channel, the gain before the network among the factors; nothing where all channels are read as they are.
fn scaling(model: &Described) -> Option<(Vec<f32>, Vec<f32>)> {
    let samples = samples(model)?;
    let one = |channel: usize| samples.normalization.get(channel).map_or((0.0, 1.0), |one| (one.mean, one.scale));
    let means: Vec<f32> = (0..samples.channels).map(|channel| one(channel).0).collect();
    let factor = |channel: usize| {
        let gain = if channel == 0 { f64::from(model.gain.input) } else { 1.0 };
        (gain / f64::from(one(channel).1)) as f32
    };
    let factors: Vec<f32> = (0..samples.channels).map(factor).collect();
    let is_plain = means.iter().all(|mean| *mean == 0.0) && factors.iter().all(|factor| *factor == 1.0);
    (!is_plain).then_some((means, factors))
}
