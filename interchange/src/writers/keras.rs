//! The weights of a model as Keras's `load_weights` reads them, and the lines of Python that build its layers.
//!
//! | name of the file | what Keras takes it for | where the tensors of the second LSTM are |
//! | --- | --- | --- |
//! | `….weights.h5` | that of Keras 3 | `layers/lstm_1/cell/vars/0`, `1`, `2` |
//! | `….h5` | that of Keras 2, which Keras 3 reads too | the group of the layer's name, which lists them in its attribute `weight_names` |
//!
//! Tensors stand in the order of each layer's `get_weights`, kernels are inputs × units, gates i, f, c, o and z, r, h. Source: `keras/src/saving/saving_lib.py` and
//! `keras/src/legacy/saving/legacy_h5_format.py`.

mod file;
mod lines;

use super::{AS_ONNX, beyond_plain, check_skip, refused};
use crate::Error;
use crate::described::{Activation, Cell, Described, Kind, Layer, Recurrent};
use crate::names::{Family, Layout};

pub use file::Naming;

/// The file of a model's weights, and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// A program in Python that builds `model` and loads the file, whose name `{file}` stands for.
    pub python: String,
}

/// A tensor: its name in `weight_names`, its shape, its values.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// A layer that has tensors: its class, and where its variables lie below it.
struct Weighted {
    class: &'static str,
    /// Tensors by the part of the layer that has them: `cell`, `forward_layer/cell`, or nothing.
    parts: Vec<(&'static str, Vec<Tensor>)>,
}

/// Writes the weights of a model.
///
/// # Errors
/// Names the layer that Keras does not have: peepholes, clips, projections, states to begin with, other activations.
pub fn write(model: &Described, naming: Naming) -> Result<Written, Error> {
    check_skip(model)?;
    let mut weighted = Vec::new();
    for (layer, inputs) in model.fed() {
        weighted.extend(weights_of(layer, inputs)?);
    }
    Ok(Written { bytes: file::write(&weighted, naming)?, python: lines::of(model)? })
}

fn weights_of(layer: &Layer, inputs: usize) -> Result<Option<Weighted>, Error> {
    let tensor = |name: &str, shape: &[usize], values: &[f32]| Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let plain = |class, tensors| Ok(Some(Weighted { class, parts: vec![("", tensors)] }));
    match &layer.kind {
        Kind::Embedding(embedding) => {
            let table = &embedding.table;
            plain("Embedding", vec![tensor("embeddings", &[table.rows, table.columns], &table.values)])
        }
        Kind::Recurrent(recurrent) => {
            let parts = vec![("cell", recurrent_tensors(layer, recurrent)?)];
            Ok(Some(Weighted { class: class_of(recurrent.cell), parts }))
        }
        Kind::Bidirectional(both) => {
            let parts = vec![
                ("forward_layer/cell", recurrent_tensors(layer, &both.forward)?),
                ("backward_layer/cell", recurrent_tensors(layer, &both.backward)?),
            ];
            Ok(Some(Weighted { class: "Bidirectional", parts }))
        }
        Kind::Dense(dense) => {
            let kernel = dense.kernel.transposed();
            let kernel = tensor("kernel", &[kernel.rows, kernel.columns], &kernel.values);
            plain("Dense", vec![kernel, tensor("bias", &[dense.bias.values.len()], &dense.bias.values)])
        }
        Kind::Conv1d(conv1d) => {
            let kernel = conv1d.kernel.transposed();
            let kernel = tensor("kernel", &[conv1d.frames, inputs, kernel.columns], &kernel.values);
            plain("Conv1D", vec![kernel, tensor("bias", &[conv1d.bias.values.len()], &conv1d.bias.values)])
        }
        Kind::LayerNorm(norm) => {
            let length = [norm.scale.values.len()];
            let tensors =
                vec![tensor("gamma", &length, &norm.scale.values), tensor("beta", &length, &norm.shift.values)];
            plain("LayerNormalization", tensors)
        }
        Kind::Pooling(_) | Kind::MaxPool(_) | Kind::Masking(_) | Kind::Activation(_) => Ok(None),
    }
}

/// The class of a cell's layer.
fn class_of(cell: Cell) -> &'static str {
    match cell {
        Cell::Lstm => "LSTM",
        Cell::Gru { .. } => "GRU",
        Cell::Rnn => "SimpleRNN",
    }
}

fn recurrent_tensors(layer: &Layer, recurrent: &Recurrent) -> Result<Vec<Tensor>, Error> {
    // Gates and candidates may have activations of their own.
    let plain = Recurrent { activation: Activation::Tanh, gate_activation: Activation::Sigmoid, ..recurrent.clone() };
    if let Some(problem) = beyond_plain(&plain, true) {
        return Err(refused(layer, format!("{problem}, which Keras's layer has not"), AS_ONNX));
    }
    if recurrent.projection.is_some() {
        return Err(refused(
            layer,
            "its hidden state is projected, which Keras's layer does not do",
            "train it without a projection",
        ));
    }
    if recurrent.begins_elsewhere() {
        return Err(refused(
            layer,
            "it begins in a state of its own, and a file of weights has no place for it",
            AS_ONNX,
        ));
    }
    let family = match recurrent.cell {
        Cell::Lstm => Family::Lstm,
        Cell::Gru { .. } => Family::Gru,
        Cell::Rnn => Family::Rnn,
    };
    let rows = recurrent.kernel.rows;
    let kernel = |name: &str, matrix: &crate::Matrix| Tensor {
        name: name.to_owned(),
        shape: vec![matrix.columns, rows],
        values: Layout::Keras.of_kernel(family, matrix),
    };
    let first = recurrent.bias.values.clone();
    let (shape, values) = match &recurrent.recurrent_bias {
        Some(second) => (vec![2, rows], [first, second.values.clone()].concat()),
        None => (vec![rows], first),
    };
    Ok(vec![
        kernel("kernel", &recurrent.kernel),
        kernel("recurrent_kernel", &recurrent.recurrent_kernel),
        Tensor { name: "bias".into(), shape, values },
    ])
}

/// The name of an activation in Keras 3.
///
/// # Errors
/// Names the layer whose activation Keras does not have under a name.
fn activation_name(layer: &Layer, activation: Activation) -> Result<&'static str, Error> {
    match activation {
        Activation::Linear | Activation::Relu | Activation::Tanh | Activation::Sigmoid | Activation::Softmax => {
            Ok(activation.name())
        }
        Activation::HardSigmoidSixth => Ok("hard_sigmoid"),
        other => {
            let problem =
                format!("its activation is {}, and Keras 3 has none of that name with these numbers", other.name());
            Err(refused(layer, problem, AS_ONNX))
        }
    }
}
