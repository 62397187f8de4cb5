//! The trainer's chain of layers from a description's, and back.

use std::borrow::Cow;

use anyhow::Result;
use latch_interchange::{
    self as interchange, Bidirectional, Cell, Conv1d, Dense, Described, Embedding, Input, Kind,
    Layer as DescribedLayer, LayerNorm, Matrix, MaxPool, Padding, Recurrent, Vector,
};
use nalgebra::DMatrix;

use crate::config::chain::rhythm::Rhythm;
use crate::config::chain::variant::{CellActivation, VariantConfig, VariantKind};
use crate::config::chain::{self, Activation, CellConfig, Chain, Direction, LayerConfig, Merge, Pooling};
use crate::error::{Fault, fault};
use crate::network::initial::Initial;
use crate::network::layer::Layer;
use crate::network::variant::Variant;
use crate::network::{Network, NetworkConfig};

impl From<interchange::Pooling> for Pooling {
    fn from(pooling: interchange::Pooling) -> Self {
        match pooling {
            interchange::Pooling::Last => Pooling::Last,
            interchange::Pooling::Mean => Pooling::Mean,
            interchange::Pooling::Max => Pooling::Max,
            interchange::Pooling::Attention => Pooling::Attention,
        }
    }
}

impl From<Pooling> for interchange::Pooling {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Last => interchange::Pooling::Last,
            Pooling::Mean => interchange::Pooling::Mean,
            Pooling::Max => interchange::Pooling::Max,
            Pooling::Attention => interchange::Pooling::Attention,
        }
    }
}

impl From<Merge> for interchange::Merge {
    fn from(merge: Merge) -> Self {
        match merge {
            Merge::Concat => interchange::Merge::Concat,
            Merge::Mean => interchange::Merge::Mean,
            Merge::Product => interchange::Merge::Product,
        }
    }
}

impl From<Activation> for interchange::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Linear => interchange::Activation::Linear,
            Activation::Relu => interchange::Activation::Relu,
            Activation::Tanh => interchange::Activation::Tanh,
            Activation::Sigmoid => interchange::Activation::Sigmoid,
        }
    }
}

/// The engine's activation of a description's; none of those that no image has.
fn activation_of(activation: interchange::Activation) -> Option<Activation> {
    match activation {
        interchange::Activation::Linear => Some(Activation::Linear),
        interchange::Activation::Relu => Some(Activation::Relu),
        interchange::Activation::Tanh => Some(Activation::Tanh),
        interchange::Activation::Sigmoid => Some(Activation::Sigmoid),
        _ => None,
    }
}

impl From<CellActivation> for interchange::Activation {
    fn from(activation: CellActivation) -> Self {
        match activation {
            CellActivation::Plain(activation) => activation.into(),
            CellActivation::HardSigmoid { alpha, beta } => {
                let named = [interchange::Activation::HardSigmoid, interchange::Activation::HardSigmoidSixth];
                let found = named.into_iter().find(|named| cell_activation_of(*named) == Some(activation));
                found.unwrap_or(interchange::Activation::HardSigmoidOf(alpha, beta))
            }
        }
    }
}

/// The activation of a cell of a description's; none of those that no image has.
fn cell_activation_of(activation: interchange::Activation) -> Option<CellActivation> {
    match activation {
        interchange::Activation::HardSigmoid => Some(CellActivation::HARD_SIGMOID),
        interchange::Activation::HardSigmoidSixth => Some(CellActivation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }),
        interchange::Activation::HardSigmoidOf(alpha, beta) => Some(CellActivation::HardSigmoid { alpha, beta }),
        other => activation_of(other).map(CellActivation::Plain),
    }
}

/// A matrix of the trainer, row-major.
fn matrix_of(matrix: &DMatrix<f32>) -> Matrix {
    let (rows, columns) = matrix.shape();
    // The storage of a column-major matrix is the row-major storage of its transpose.
    Matrix { source: String::new(), rows, columns, values: matrix.transpose().as_slice().to_vec() }
}

/// A bias of the trainer.
fn vector_of(bias: &DMatrix<f32>) -> Vector {
    Vector { source: String::new(), values: bias.as_slice().to_vec() }
}

/// The layers of a network, as a description has them; of one that reads samples without an embedding.
pub(super) fn layers_of(network: &Network<f32>) -> Vec<DescribedLayer> {
    let table = &network.embedding.table;
    // Features × ids and column-major: ids × features and row-major.
    let (source, values) = (String::new(), table.as_slice().to_vec());
    let table = Matrix { source, rows: table.ncols(), columns: table.nrows(), values };
    let embedding = Kind::Embedding(Embedding { table, mask_zero: false });
    let mut states = network.initial();
    let kind = |layer: &Layer<f32>| match layer {
        Layer::Lstm(_) | Layer::Gru(_) | Layer::Rnn(_) => recurrent_of(layer).map(Kind::Recurrent),
        Layer::Bidirectional(both) => {
            let (merge, each_step) = (both.merge.into(), !both.ends);
            recurrent_of(&both.forward).zip(recurrent_of(&both.backward)).map(|(forward, backward)| {
                let backward = Recurrent { backwards: true, ..backward };
                Kind::Bidirectional(Box::new(Bidirectional { forward, backward, merge, each_step }))
            })
        }
        Layer::Conv1d(layer) => Some(Kind::Conv1d(Conv1d {
            frames: layer.frames,
            stride: layer.stride,
            padding: if layer.valid { Padding::Valid } else { Padding::Causal },
            activation: layer.dense.activation.into(),
            kernel: matrix_of(&layer.dense.kernel),
            bias: vector_of(&layer.dense.bias),
        })),
        Layer::Dense(layer) => Some(Kind::Dense(Dense {
            kernel: matrix_of(&layer.kernel),
            bias: vector_of(&layer.bias),
            activation: layer.activation.into(),
        })),
        Layer::Pooling(pooling) => Some(Kind::Pooling((*pooling).into())),
        Layer::MaxPool(layer) => Some(Kind::MaxPool(MaxPool { frames: layer.frames, stride: layer.stride })),
        Layer::Variant(layer) => Some(Kind::Recurrent(variant_of(layer))),
        Layer::LayerNorm(layer) => Some(Kind::LayerNorm(LayerNorm {
            scale: vector_of(&layer.scale),
            shift: vector_of(&layer.bias),
            epsilon: layer.epsilon,
        })),
    };
    let begun = |(place, layer): (usize, &Layer<f32>)| {
        // The last states of two directions are one vector, which nothing pools.
        let is_one = place > 0 && matches!(&network.layers[place - 1], Layer::Bidirectional(below) if below.ends);
        let mut kind = kind(layer).filter(|_| !is_one)?;
        let state = states.iter().position(|state| state.layer == place).map(|found| states.swap_remove(found));
        if let (Kind::Recurrent(recurrent), Some(Initial { hidden, cell, .. })) = (&mut kind, state) {
            let vector = |values| Vector { source: String::new(), values };
            recurrent.initial_hidden = Some(vector(hidden));
            recurrent.initial_cell = Some(cell).filter(|cell| !cell.is_empty()).map(vector);
        }
        Some(kind)
    };
    let above = network.layers.iter().enumerate().filter_map(begun);
    let named = |(number, kind): (usize, Kind)| DescribedLayer { name: format!("{}.{number}", kind.name()), kind };
    let embedding = (!network.config().reads_samples()).then_some(embedding);
    embedding.into_iter().chain(above).enumerate().map(named).collect()
}

/// A recurrent layer as a description has it, beginning with zeros; `None` of any other.
fn recurrent_of(layer: &Layer<f32>) -> Option<Recurrent> {
    let recurrent = |cell, kernels: [&DMatrix<f32>; 2], bias: &DMatrix<f32>| {
        let [kernel, recurrent_kernel] = kernels;
        let kernels = (matrix_of(kernel), matrix_of(recurrent_kernel));
        Recurrent::new(cell, recurrent_kernel.ncols(), kernels, vector_of(bias))
    };
    Some(match layer {
        Layer::Lstm(layer) => recurrent(Cell::Lstm, [&layer.kernel, &layer.recurrent_kernel], &layer.bias),
        Layer::Gru(layer) => {
            let cell = Cell::Gru { reset_after: layer.reset_after() };
            let plain = recurrent(cell, [&layer.kernel, &layer.recurrent_kernel], &layer.bias);
            Recurrent { recurrent_bias: layer.recurrent_bias.as_ref().map(vector_of), ..plain }
        }
        Layer::Rnn(layer) => {
            let plain = recurrent(Cell::Rnn, [&layer.kernel, &layer.recurrent_kernel], &layer.bias);
            Recurrent { activation: layer.activation.into(), ..plain }
        }
        _ => return None,
    })
}

/// A variant of the trainer, as a description has it.
fn variant_of(layer: &Variant<f32>) -> Recurrent {
    let (units, form) = (layer.units(), &layer.form);
    // A description has rows of the forget gate that mean nothing.
    let row = |row: usize| match row / units {
        _ if !form.coupled => Some(row),
        0 => Some(row),
        1 => None,
        _ => Some(row - units),
    };
    let rows = |matrix: &DMatrix<f32>, count: usize| {
        DMatrix::from_fn(count, matrix.ncols(), |at, column| row(at).map_or(0.0, |row| matrix[(row, column)]))
    };
    let count = layer.kernel.nrows() + if form.coupled { units } else { 0 };
    let cell = match form.kind {
        VariantKind::Lstm => Cell::Lstm,
        VariantKind::Gru(reset_after) => Cell::Gru { reset_after },
        VariantKind::Rnn => Cell::Rnn,
    };
    let kernels = (matrix_of(&rows(&layer.kernel, count)), matrix_of(&rows(&layer.recurrent_kernel, count)));
    let plain = Recurrent::new(cell, units, kernels, vector_of(&rows(&layer.bias, count)));
    let is_own = form.kind == VariantKind::Lstm && form.output != form.activation;
    Recurrent {
        activation: form.activation.into(),
        gate_activation: form.gates.into(),
        output_activation: is_own.then(|| form.output.into()),
        recurrent_bias: layer.recurrent_bias.as_ref().map(vector_of),
        projection: layer.projection.as_ref().map(matrix_of),
        peepholes: layer.peepholes.as_ref().map(|peepholes| vector_of(&rows(peepholes, 3 * units))),
        clip: form.clip,
        coupled: form.coupled,
        ..plain
    }
}

/// The trainer's network of a description. A `pooling` that the description does not have stands before its last layer. Of a model of samples whose last
/// layer is no linear dense one, an identity follows it: an image ends with a linear layer. The longest sequence that two directions read has `longest` steps.
///
/// # Errors
/// A fault that names the layer that no image has a form for.
pub(super) fn of_layers(
    place: &str,
    model: &Described,
    pooling: Option<Pooling>,
    longest: usize,
) -> Result<Network<f32>> {
    let model = &*averaged(place, model)?;
    let (mut layers, mut tensors, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let mut vocabulary = 0;
    let embedding = match &model.input {
        Input::Ids(_) => 0,
        Input::Samples(samples) => {
            tensors.push(DMatrix::zeros(samples.channels, 0));
            samples.channels
        }
    };
    let mut chain = Chain { embedding, word_dropout: 0.0, layers: Vec::new() };
    for (number, layer) in model.layers.iter().enumerate() {
        // Behind the last of a model of samples an identity may follow.
        let last = number + 1 == model.layers.len() && (embedding == 0 || ends_linear(model));
        if last && model.pooling().is_none() {
            layers.extend(pooling.map(LayerConfig::Pooling));
        }
        let refuse = |problem: &str, remedy: &str| lacking(place, layer, problem, remedy);
        match &layer.kind {
            Kind::Embedding(Embedding { table, .. }) => {
                (vocabulary, chain.embedding) = (table.rows, table.columns);
                tensors.push(DMatrix::from_column_slice(table.columns, table.rows, &table.values));
            }
            Kind::Recurrent(recurrent) => {
                states.extend(initial_of(recurrent, layers.len()));
                layers.push(of_recurrent(place, layer, recurrent, &mut tensors)?);
            }
            Kind::Conv1d(conv1d) => {
                layers.push(of_conv1d(place, layer, conv1d)?);
                tensors.extend([tensor(&conv1d.kernel), column(&conv1d.bias)]);
            }
            Kind::Dense(dense) => {
                layers.push(of_dense(place, layer, dense, last)?);
                tensors.extend([tensor(&dense.kernel), column(&dense.bias)]);
            }
            Kind::Pooling(pooling) => layers.push(LayerConfig::Pooling((*pooling).into())),
            Kind::Bidirectional(both) => {
                let behind = &model.layers[number + 1..];
                let pools = model.pooling().is_some() || pooling.is_some();
                // What reads the answers of a stride has fewer steps than the sequence.
                let below: Rhythm = layers.iter().map(LayerConfig::rhythm).collect();
                let steps = below.answers(longest).max(1);
                layers.extend(of_both(place, layer, both, (behind, pools, steps), &mut tensors)?);
            }
            Kind::LayerNorm(norm) => {
                layers.push(LayerConfig::LayerNorm { epsilon: norm.epsilon });
                tensors.extend([column(&norm.scale), column(&norm.shift)]);
            }
            Kind::MaxPool(MaxPool { frames, stride }) => {
                layers.push(LayerConfig::MaxPool { frames: *frames, stride: *stride });
            }
            // What it masks is padding, which nobody pushes into a device.
            Kind::Masking(_) if number == 0 => {}
            Kind::Masking(_) => {
                let problem = "it masks what is not the input, and an image reads every step";
                return Err(refuse(problem, "mask the input").into());
            }
            Kind::Activation(_) => {
                let problem = "it is an activation of its own, and no image has it";
                return Err(refuse(problem, "train the network without it").into());
            }
        }
    }
    if !ends_linear(model) && embedding > 0 {
        let outputs = model.outputs();
        tensors.extend([DMatrix::identity(outputs, outputs), DMatrix::zeros(outputs, 1)]);
        layers.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 });
    }
    chain.layers = layers;
    let config = NetworkConfig { vocabulary, outputs: model.outputs(), chain };
    let mut network = Network::from_tensors(config, tensors)?;
    network
        .begin_in(&states)
        .map_err(|error| fault(place, error.to_string(), "train it again, with initial states of usual size"))?;
    Ok(network)
}

/// Refuses a model that answers each step where its first ones have no answer.
///
/// # Errors
/// A fault that names the first layer whose window is not full at the first step.
pub(super) fn check_answers(place: &str, model: &Described, network: &Network<f32>) -> Result<(), Fault> {
    let is_late = |layer: &&DescribedLayer| match &layer.kind {
        Kind::Conv1d(conv1d) => conv1d.padding == Padding::Valid && conv1d.frames > 1,
        Kind::MaxPool(pool) => pool.frames > 1,
        _ => false,
    };
    match model.layers.iter().find(is_late).filter(|_| network.config().answers_each_step()) {
        None => Ok(()),
        Some(layer) => {
            let problem = "it has no answer before its window is full, and the model answers each step";
            let remedy = "train it with padding=\"causal\", or with one answer behind the last step";
            Err(lacking(place, layer, problem, remedy))
        }
    }
}

/// The state in which a recurrent layer begins, where that is not zeros; `layer` is its place above the embedding.
fn initial_of(recurrent: &Recurrent, layer: usize) -> Option<Initial<f32>> {
    let state = |initial: &Option<Vector>, count| {
        initial.as_ref().map_or_else(|| vec![0.0; count], |vector| vector.values.clone())
    };
    let hidden = state(&recurrent.initial_hidden, recurrent.features());
    let cell = if recurrent.cell == Cell::Lstm { state(&recurrent.initial_cell, recurrent.units) } else { Vec::new() };
    recurrent.begins_elsewhere().then_some(Initial { layer, hidden, cell })
}

/// Whether the last layer is a dense one without an activation, which an image ends with.
fn ends_linear(model: &Described) -> bool {
    let linear = |dense: &Dense| dense.activation == interchange::Activation::Linear;
    model.layers.last().is_some_and(|layer| matches!(&layer.kind, Kind::Dense(dense) if linear(dense)))
}

/// The fault of a layer that no image has.
fn lacking(place: &str, layer: &DescribedLayer, problem: &str, remedy: &str) -> Fault {
    fault(format!("{place}: layer {}", layer.name.escape_debug()), problem, remedy)
}

/// A convolution of the trainer: a causal or a valid one, linear or with relu.
fn of_conv1d(place: &str, layer: &DescribedLayer, conv1d: &Conv1d) -> Result<LayerConfig, Fault> {
    // A window of one frame is always full, and looks nowhere.
    let valid = match conv1d.padding {
        Padding::Valid => conv1d.frames > 1,
        Padding::Same if conv1d.frames > 1 => {
            let problem = "its window looks ahead, and a device has no future";
            return Err(lacking(place, layer, problem, "train it with padding=\"causal\" or \"valid\""));
        }
        _ => false,
    };
    let activation = match conv1d.activation {
        interchange::Activation::Linear => Activation::Linear,
        interchange::Activation::Relu => Activation::Relu,
        other => {
            let problem = format!("a convolution of an image has relu or none, not {}", other.name());
            return Err(lacking(place, layer, &problem, "train it with relu"));
        }
    };
    let (units, frames, stride) = (conv1d.kernel.rows, conv1d.frames, conv1d.stride);
    Ok(LayerConfig::Conv1d { units, frames, stride, valid, activation, dropout: 0.0 })
}

/// A dense layer of the trainer; the last one is linear.
fn of_dense(place: &str, layer: &DescribedLayer, dense: &Dense, last: bool) -> Result<LayerConfig, Fault> {
    match activation_of(dense.activation) {
        Some(activation) if !last || activation == Activation::Linear => {
            let units = (!last).then_some(dense.kernel.rows);
            Ok(LayerConfig::Dense { units, activation, dropout: 0.0 })
        }
        _ => {
            let reason = if last { "the last layer of an image is linear" } else { "no image has it" };
            let problem = format!("its activation is {}, and {reason}", dense.activation.name());
            Err(lacking(place, layer, &problem, "train it with another one"))
        }
    }
}

/// A recurrent layer of the trainer; its tensors go behind those that are there.
fn of_recurrent(
    place: &str,
    layer: &DescribedLayer,
    recurrent: &Recurrent,
    tensors: &mut Vec<DMatrix<f32>>,
) -> Result<LayerConfig, Fault> {
    if recurrent.backwards {
        let problem = "it reads the steps back from the last one, and a device has no future";
        return Err(lacking(place, layer, problem, "train it without go_backwards"));
    }
    let form = form_of(place, layer, recurrent)?;
    let units = recurrent.units;
    // The rows of a forget gate that means nothing are left out.
    let used = |matrix: DMatrix<f32>| if form.coupled { matrix.remove_rows(units, units) } else { matrix };
    tensors.extend([used(tensor(&recurrent.kernel)), used(tensor(&recurrent.recurrent_kernel))]);
    tensors.push(used(column(&recurrent.bias)));
    tensors.extend(recurrent.recurrent_bias.as_ref().map(column));
    tensors.extend(recurrent.peepholes.as_ref().map(|peepholes| used(column(peepholes))));
    tensors.extend(recurrent.projection.as_ref().map(tensor));
    Ok(form.layer(CellConfig::of(units)))
}

/// Two directions of the trainer with these layers behind them, and the pooling of their last states; their tensors go behind those that are there.
fn of_both(
    place: &str,
    layer: &DescribedLayer,
    both: &Bidirectional,
    (behind, pools, longest): (&[DescribedLayer], bool, usize),
    tensors: &mut Vec<DMatrix<f32>>,
) -> Result<Vec<LayerConfig>> {
    if both.each_step && !pools {
        let problem = "it knows nothing before its sequence has ended, and the model answers each step";
        let remedy = "train it in one direction, or with one answer behind the last step";
        return Err(lacking(place, layer, problem, remedy).into());
    }
    let is_last = |next: &DescribedLayer| matches!(next.kind, Kind::Pooling(interchange::Pooling::Last));
    let aligned = both.each_step && behind.first().is_some_and(is_last);
    let mut layers = vec![LayerConfig::Bidirectional(of_directions(place, layer, both, (aligned, longest), tensors)?)];
    if !both.each_step {
        layers.push(LayerConfig::Pooling(Pooling::Last));
    }
    Ok(layers)
}

/// Two directions of the trainer; their tensors go behind those that are there.
fn of_directions(
    place: &str,
    layer: &DescribedLayer,
    both: &Bidirectional,
    (aligned, longest): (bool, usize),
    tensors: &mut Vec<DMatrix<f32>>,
) -> Result<chain::Bidirectional> {
    let Bidirectional { forward, backward, merge, .. } = both;
    if forward.begins_elsewhere() || backward.begins_elsewhere() {
        let problem = "its directions begin in states of their own, and those of an image in zeros";
        return Err(lacking(place, layer, problem, "train it without initial states").into());
    }
    let mut configs = Vec::new();
    for direction in [forward, backward] {
        let ahead = Recurrent { backwards: false, ..direction.clone() };
        configs.push(of_recurrent(place, layer, &ahead, tensors)?);
    }
    if configs[0] != configs[1] {
        return Err(lacking(place, layer, "its directions are different layers", "train it with two alike").into());
    }
    let (kind, cell) = match configs[0] {
        LayerConfig::Lstm(cell) => (Direction::Lstm, cell),
        LayerConfig::Gru { cell, reset_after } => (Direction::Gru { reset_after }, cell),
        LayerConfig::Rnn { cell, activation } => (Direction::Rnn { activation }, cell),
        _ => {
            let problem = "its directions are cells with options, which an image has in one direction alone";
            return Err(lacking(place, layer, problem, "train it with plain cells").into());
        }
    };
    let merge = match merge {
        interchange::Merge::Concat => Merge::Concat,
        // The layer behind it reads twice the mean.
        interchange::Merge::Sum | interchange::Merge::Mean => Merge::Mean,
        interchange::Merge::Product => Merge::Product,
    };
    Ok(chain::Bidirectional { kind, cell, merge, aligned, longest })
}

/// The same model in which two directions are averaged where they were added: the next layer with weights reads twice the mean, and poolings in between keep the factor.
///
/// # Errors
/// A fault where attention weighs the sums, or where no layer behind them has weights.
fn averaged<'m>(place: &str, model: &'m Described) -> Result<Cow<'m, Described>, Fault> {
    let adds = |layer: &DescribedLayer| matches!(&layer.kind, Kind::Bidirectional(both) if both.merge == interchange::Merge::Sum);
    if !model.layers.iter().any(adds) {
        return Ok(Cow::Borrowed(model));
    }
    let mut model = model.clone();
    let mut added: Option<String> = None;
    for layer in &mut model.layers {
        let weighs = matches!(layer.kind, Kind::Pooling(interchange::Pooling::Attention));
        if let Some(name) = added.as_ref().filter(|_| weighs) {
            let problem = format!("it weighs by the sums of {name}, which an image holds by half");
            return Err(lacking(place, layer, &problem, "train it with another pooling, or with concat"));
        }
        // What is normalized has no factor left, where the root's ε has it.
        if let (Kind::LayerNorm(norm), Some(_)) = (&mut layer.kind, &added) {
            norm.epsilon /= 4.0;
            added = None;
        }
        let kernels: Vec<&mut Matrix> = match &mut layer.kind {
            Kind::Recurrent(recurrent) => vec![&mut recurrent.kernel],
            Kind::Bidirectional(both) => vec![&mut both.forward.kernel, &mut both.backward.kernel],
            Kind::Dense(dense) => vec![&mut dense.kernel],
            Kind::Conv1d(conv1d) => vec![&mut conv1d.kernel],
            _ => Vec::new(),
        };
        if !kernels.is_empty() && added.take().is_some() {
            kernels.into_iter().flat_map(|kernel| &mut kernel.values).for_each(|value| *value *= 2.0);
        }
        if adds(layer)
            && let Kind::Bidirectional(both) = &mut layer.kind
        {
            both.merge = interchange::Merge::Mean;
            added = Some(layer.name.clone());
        }
    }
    match added {
        Some(name) => Err(fault(
            format!("{place}: layer {name}"),
            "it adds two directions as the answer",
            "put a dense layer behind it",
        )),
        None => Ok(Cow::Owned(model)),
    }
}

/// Cells that are held to less than this are refused. Beyond it tanh is within 3e-7 of ±1, so that a clip says no more than how long a cell is large; TensorFlow
/// writes 10 into every LSTM that it converts.
const LEAST_CELL_CLIP: f32 = 8.0;

/// What a recurrent layer of the trainer does with its rows.
fn form_of(place: &str, layer: &DescribedLayer, recurrent: &Recurrent) -> Result<VariantConfig, Fault> {
    let kind = match recurrent.cell {
        Cell::Lstm => VariantKind::Lstm,
        Cell::Gru { reset_after } => VariantKind::Gru(reset_after),
        Cell::Rnn => VariantKind::Rnn,
    };
    let activation = |found: interchange::Activation, what: &str| {
        cell_activation_of(found).ok_or_else(|| {
            let problem = format!("its {what} go through {}, and no image has that", found.name());
            let remedy = "train it with linear, relu, tanh, sigmoid or a hard sigmoid";
            lacking(place, layer, &problem, remedy)
        })
    };
    let usual = VariantConfig::plain(kind);
    let is_lstm = kind == VariantKind::Lstm;
    let output = recurrent.output_activation.unwrap_or(recurrent.activation);
    let form = VariantConfig {
        kind,
        activation: activation(recurrent.activation, if kind == VariantKind::Rnn { "sums" } else { "candidates" })?,
        gates: if kind == VariantKind::Rnn { usual.gates } else { activation(recurrent.gate_activation, "gates")? },
        output: if is_lstm { activation(output, "cells")? } else { usual.output },
        peepholes: recurrent.peepholes.is_some(),
        coupled: recurrent.coupled,
        clip: recurrent.clip,
        projected: recurrent.projection.as_ref().map(|projection| projection.rows),
    };
    if form.clip.is_some_and(|clip| clip <= 0.0) {
        let problem = "its sums are held to nothing: its clip is not above 0";
        return Err(lacking(place, layer, problem, "train it with a clip above 0"));
    }
    let clipped = [
        (recurrent.cell_clip.is_some_and(|clip| clip < LEAST_CELL_CLIP), "cells that are clipped"),
        (recurrent.projection_clip.is_some(), "projected states that are clipped"),
    ];
    if let Some((_, what)) = clipped.into_iter().find(|(has, _)| *has) {
        let problem = format!("it has {what}, and no image has them");
        return Err(lacking(place, layer, &problem, "train it without them"));
    }
    Ok(form)
}

/// The trainer's matrix of a description's.
fn tensor(matrix: &Matrix) -> DMatrix<f32> {
    DMatrix::from_row_slice(matrix.rows, matrix.columns, &matrix.values)
}

/// A bias of the trainer.
fn column(bias: &Vector) -> DMatrix<f32> {
    DMatrix::from_column_slice(bias.values.len(), 1, &bias.values)
}
