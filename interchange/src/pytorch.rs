//! A `state_dict` of any module of PyTorch: its modules by the names of their tensors, in the order that a chain says.
//!
//! ```text
//! tensors ──modules──> lstm, fc, … ──chain, or the only order that there is──> parts ──layers──> Described
//! ```
//!
//! | tensors | module |
//! | --- | --- |
//! | `P.weight_ih_l0` and its like | `nn.LSTM`, `nn.GRU`, `nn.RNN`: layers, two directions, `proj_size` of an LSTM |
//! | `P.weight` of two axes, `P.bias` | `nn.Linear`, or `nn.Embedding` |
//! | `P.weight` of three axes, `P.bias` | `nn.Conv1d` |
//! | `P.weight` and `P.bias` of one axis | `nn.LayerNorm` |
//!
//! A file of tensors does not say what stands between its modules. Recurrent modules and one linear one have only one order; of more a chain says it.

mod chain;
mod modules;

use crate::Error;
use crate::described::{
    Activation, Answer, Bidirectional, Conv1d, Described, Embedding, Format, Gain, Input, Kind, Layer, LayerNorm,
    Limits, Padding, Pooling, Samples, Source, Text,
};
use crate::json::{Json, Object, matrix, place_of, vector};
use crate::names::Layout;
use crate::torch::{dense, refuse_left, shown, stack};
use modules::{Form, Module};

/// What keeps the root of a layer normalization from zero: the default of `nn.LayerNorm`.
pub(crate) const EPSILON: f32 = 1e-5;

/// A part of a chain.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// A module, and what the chain says of it.
    Module(Module, Said),
    /// From all steps to one vector.
    Pooling(Pooling),
    /// An activation of its own.
    Activation(Activation),
}

/// What a chain says of a module that its tensors do not.
#[derive(Debug, Clone, Default, PartialEq)]
struct Said {
    /// What its sums go through.
    activation: Option<Activation>,
    /// Steps from one output of a convolution to the next.
    stride: Option<usize>,
    /// What the window of a convolution reads beyond the sequence.
    padding: Option<Padding>,
    /// Whether a matrix is the table of an embedding.
    is_table: bool,
}

/// Reads the tensors of a `state_dict`; `place` is the file.
///
/// # Errors
/// Names the tensor or the part of the chain: where the order of the modules is not known, where a part is no module of the file, where a shape is not that
/// of its place, and where the model is beyond the limits.
pub(crate) fn read(mut tensors: Object, place: &str, chain: Option<&str>, limits: &Limits) -> Result<Described, Error> {
    let modules = modules::of(&tensors, place)?;
    let parts = match chain {
        Some(chain) => chain::parts(chain, &modules, place)?,
        None => modules::in_order(&modules, &tensors, place)?,
    };
    let reads_ids = matches!(parts.first(), Some(Part::Module(_, Said { is_table: true, .. })));
    let channels = if reads_ids { 0 } else { channels(&parts, &tensors, place)? };
    let mut layers: Vec<Layer> = Vec::new();
    let mut inputs = channels;
    for part in parts {
        let made = match part {
            Part::Module(module, said) => of_module(&module, &said, inputs, &mut tensors, place, limits)?,
            // The last output of a layer of two directions is that of each behind the last step that it reads.
            Part::Pooling(Pooling::Last) if last_of_both(&mut layers) => continue,
            Part::Pooling(pooling) => vec![Layer { name: pooling.name().into(), kind: Kind::Pooling(pooling) }],
            Part::Activation(activation) => {
                vec![Layer { name: activation.name().into(), kind: Kind::Activation(activation) }]
            }
        };
        inputs = made.iter().fold(inputs, |inputs, layer| layer.kind.features(inputs));
        layers.extend(made);
    }
    refuse_unused(&modules, &tensors, place)?;
    refuse_left(place, &tensors)?;
    let input = match reads_ids {
        true => Input::Ids(Text::default()),
        false => Input::Samples(Samples { channels, ..Samples::default() }),
    };
    let source = Source::of(Format::Safetensors(Layout::PyTorch));
    let model = Described { source, input, layers, skip: None, gain: Gain::default(), answer: Answer::default() };
    model.check(place, limits)?;
    Ok(model)
}

/// Refuses a module that the chain leaves out.
fn refuse_unused(modules: &[Module], tensors: &Object, place: &str) -> Result<(), Error> {
    let is_left = |module: &&Module| {
        let is_of = |name: &str| name.rsplit_once('.').unwrap_or(("", name)).0 == module.name;
        tensors.0.iter().any(|(name, json)| *json != Json::Null && is_of(name))
    };
    match modules.iter().find(is_left) {
        None => Ok(()),
        Some(module) => {
            let problem = format!("the module {:?} of the file does not stand in it", module.name);
            Err(Error::new(format!("{place}: chain"), problem, "add it where it belongs, or save the file without it"))
        }
    }
}

/// Whether the last layer reads in two directions; then it gives one output.
fn last_of_both(layers: &mut [Layer]) -> bool {
    let Some(Kind::Bidirectional(both)) = layers.last_mut().map(|layer| &mut layer.kind) else { return false };
    let Bidirectional { each_step, .. } = &mut **both;
    *each_step = false;
    true
}

/// The features that the first module reads.
fn channels(parts: &[Part], tensors: &Object, place: &str) -> Result<usize, Error> {
    let first = parts.iter().find_map(|part| match part {
        Part::Module(module, _) => Some(module),
        _ => None,
    });
    let Some(module) = first else {
        return Err(Error::new(place, "its chain has no module", "name those of the file"));
    };
    module.inputs(tensors).ok_or_else(|| {
        let problem = "it does not say how many features it reads";
        Error::new(place_of(place, &module.name), problem, "put a module in front of it that does")
    })
}

/// The layers of a module that reads so many features.
fn of_module(
    module: &Module,
    said: &Said,
    inputs: usize,
    tensors: &mut Object,
    place: &str,
    limits: &Limits,
) -> Result<Vec<Layer>, Error> {
    let (prefix, name) = (module.prefix(), module.name.clone());
    let kind = match module.form {
        Form::Recurrent => {
            let declared = shown(place, tensors, &prefix)?;
            limits.layers(&|| place_of(place, &format!("{prefix}weight_ih_l{}", limits.layers)), declared.layers)?;
            let mut layers = stack(place, tensors, &prefix, inputs, declared)?;
            if let Some(activation) = said.activation {
                layers.iter_mut().for_each(|layer| activate(&mut layer.kind, activation));
            }
            return Ok(layers);
        }
        Form::Matrix { rows, columns } if said.is_table => {
            let source = format!("{prefix}weight");
            let table = matrix(place, source.clone(), tensors.take(&source), [rows, columns])?;
            Kind::Embedding(Embedding { table, mask_zero: false })
        }
        Form::Matrix { .. } => {
            let Layer { name, mut kind } = dense(place, tensors, &prefix, inputs, None)?;
            if let Kind::Dense(dense) = &mut kind {
                dense.activation = said.activation.unwrap_or(Activation::Linear);
            }
            return Ok(vec![Layer { name, kind }]);
        }
        Form::Conv1d { units, frames } => of_conv1d((units, frames), &prefix, said, inputs, tensors, place)?,
        Form::LayerNorm { features } => {
            let mut take = |part: &str| {
                let source = format!("{prefix}{part}");
                vector(place, source.clone(), tensors.take(&source), features)
            };
            Kind::LayerNorm(LayerNorm { scale: take("weight")?, shift: take("bias")?, epsilon: EPSILON })
        }
    };
    Ok(vec![Layer { name, kind }])
}

/// What the sums of simple recurrent layers go through.
fn activate(kind: &mut Kind, activation: Activation) {
    match kind {
        Kind::Recurrent(layer) => layer.activation = activation,
        Kind::Bidirectional(both) => {
            both.forward.activation = activation;
            both.backward.activation = activation;
        }
        _ => {}
    }
}

/// A convolution: the file has units × inputs × frames, a description units × frames·inputs.
fn of_conv1d(
    (units, frames): (usize, usize),
    prefix: &str,
    said: &Said,
    inputs: usize,
    tensors: &mut Object,
    place: &str,
) -> Result<Kind, Error> {
    let (source, bias) = (format!("{prefix}weight"), format!("{prefix}bias"));
    let at = place_of(place, &source);
    let read = tensors.take(&source).unwrap_or(Json::Null).into_tensor(&at, &[units, inputs, frames])?;
    let mut kernel = matrix_of(source, units, frames * inputs);
    for (row, window) in
        kernel.values.chunks_exact_mut((frames * inputs).max(1)).zip(read.chunks((frames * inputs).max(1)))
    {
        for (at, value) in row.iter_mut().enumerate() {
            *value = window[at % inputs * frames + at / inputs];
        }
    }
    let bias = match tensors.take(&bias) {
        None => crate::Vector { source: bias, values: vec![0.0; units] },
        json => vector(place, bias, json, units)?,
    };
    Ok(Kind::Conv1d(Conv1d {
        frames,
        stride: said.stride.unwrap_or(1),
        padding: said.padding.unwrap_or(Padding::Valid),
        activation: said.activation.unwrap_or(Activation::Linear),
        kernel,
        bias,
    }))
}

/// A matrix of zeros.
fn matrix_of(source: String, rows: usize, columns: usize) -> crate::Matrix {
    crate::Matrix { source, rows, columns, values: vec![0.0; rows * columns] }
}

#[cfg(test)]
mod tests;
