//! The operators of each layer. Data are [time, batch, features] below the pooling, and [batch, features] behind it.

use super::graph::{Graph, float, floats, int, ints, text, texts};
use crate::Error;
use crate::described::{
    Activation, Bidirectional, Cell, Conv1d, Dense, Kind, Layer, LayerNorm, MaxPool, Merge, Padding, Pooling,
    Recurrent, Vector,
};
use crate::writers::refused;

/// [time, batch, features] to [batch, features, time], and back.
const TO_WINDOWS: [i64; 3] = [1, 2, 0];
const TO_STEPS: [i64; 3] = [2, 0, 1];

/// Adds a layer over the value `below`, and gives the name of what it gives.
///
/// # Errors
/// Names the layer that the operators cannot compute.
pub(super) fn add(layer: &Layer, inputs: usize, pooled: bool, below: &str, graph: &mut Graph) -> Result<String, Error> {
    let name = layer.name.as_str();
    let masked = || {
        let problem = "it masks steps, and no operator of ONNX leaves steps out";
        refused(layer, problem, "train without masking, or mask padding outside of the network")
    };
    Ok(match &layer.kind {
        Kind::Embedding(embedding) if embedding.mask_zero => return Err(masked()),
        Kind::Masking(_) => return Err(masked()),
        Kind::Embedding(embedding) => {
            let table = &embedding.table;
            let table = graph.floats(&format!("{name}/table"), &[table.rows, table.columns], &table.values);
            graph.node(name, "Gather", &[&table, below], vec![int("axis", 0)])
        }
        Kind::Recurrent(recurrent) => {
            let Outputs { steps, .. } = of_recurrent(layer, recurrent, inputs, below, graph)?;
            // Y stands at the steps that were read.
            if recurrent.backwards && !recurrent.aligned { turned(name, &steps, graph) } else { steps }
        }
        Kind::Bidirectional(both) => of_directions(layer, both, inputs, below, graph)?,
        Kind::Conv1d(conv1d) => of_conv1d(name, conv1d, inputs, below, graph),
        Kind::MaxPool(pool) => of_max_pool(name, *pool, below, graph),
        Kind::Dense(dense) => of_dense(name, dense, below, graph),
        Kind::Pooling(pooling) => of_pooling(name, *pooling, below, graph),
        Kind::LayerNorm(norm) => of_layer_norm(name, norm, below, graph),
        Kind::Activation(activation) => activated(name, *activation, below, graph, if pooled { 1 } else { 2 }),
    })
}

/// What a recurrent node gives, without the axis of directions.
struct Outputs {
    /// Y, [time, batch, units].
    steps: String,
    /// Y_h, [batch, units].
    last: String,
}

/// The gates of a description in the order of the operator: i, o, f, c.
fn order(cell: Cell) -> &'static [usize] {
    match cell {
        Cell::Lstm => &[0, 3, 1, 2],
        Cell::Gru { .. } => &[0, 1, 2],
        Cell::Rnn => &[0],
    }
}

/// Blocks of rows, one a gate, in another order.
fn reordered(values: &[f32], order: &[usize]) -> Vec<f32> {
    let block = values.len() / order.len().max(1);
    order.iter().flat_map(|&gate| &values[gate * block..(gate + 1) * block]).copied().collect()
}

/// The operator of a direction; both of its outputs are there, used or not.
fn of_recurrent(
    layer: &Layer,
    recurrent: &Recurrent,
    inputs: usize,
    below: &str,
    graph: &mut Graph,
) -> Result<Outputs, Error> {
    if recurrent.projection.is_some() {
        let problem = "its hidden state is projected, which the operator of ONNX does not do";
        return Err(refused(layer, problem, "train it without a projection, or export a state_dict of PyTorch"));
    }
    let Recurrent { cell, units, .. } = *recurrent;
    let side = if recurrent.backwards { "/back" } else { "" };
    let name = format!("{}{side}", layer.name);
    let (order, rows) = (order(cell), cell.gates() * units);
    let kernel = reordered(&recurrent.kernel.values, order);
    let kernel = graph.floats(&format!("{name}/W"), &[1, rows, inputs], &kernel);
    let recurrent_kernel = reordered(&recurrent.recurrent_kernel.values, order);
    let recurrent_kernel = graph.floats(&format!("{name}/R"), &[1, rows, units], &recurrent_kernel);
    let mut bias = reordered(&recurrent.bias.values, order);
    match &recurrent.recurrent_bias {
        Some(second) => bias.extend(reordered(&second.values, order)),
        None => bias.resize(2 * rows, 0.0),
    }
    let bias = graph.floats(&format!("{name}/B"), &[1, 2 * rows], &bias);
    let state = |part: &str, vector: &Option<Vector>, graph: &mut Graph| match vector {
        Some(vector) if vector.values.iter().any(|value| *value != 0.0) => {
            graph.floats(&format!("{name}/{part}"), &[1, 1, units], &vector.values)
        }
        _ => String::new(),
    };
    let hidden = state("h0", &recurrent.initial_hidden, graph);
    let held = state("c0", &recurrent.initial_cell, graph);
    // p of i, o, f in the file.
    let peepholes = recurrent.peepholes.as_ref().map_or_else(String::new, |peepholes| {
        graph.floats(&format!("{name}/P"), &[1, 3 * units], &reordered(&peepholes.values, &[0, 2, 1]))
    });
    let mut slots = vec![below, &kernel, &recurrent_kernel, &bias, "", &hidden];
    if cell == Cell::Lstm {
        slots.extend([held.as_str(), peepholes.as_str()]);
    }
    while slots.last().is_some_and(|slot| slot.is_empty()) {
        slots.pop();
    }
    let (operator, options) = (operator_of(cell), options(recurrent));
    let steps = graph.node(&name, operator, &slots, options);
    let last = graph.more_output(&format!("{name}/Y_h"));
    let axis = graph.ints(&format!("{name}/direction"), &[1], false);
    let steps = graph.node(&name, "Squeeze", &[&steps, &axis], Vec::new());
    let axis = graph.ints(&format!("{name}/direction"), &[0], false);
    let last = graph.node(&name, "Squeeze", &[&last, &axis], Vec::new());
    Ok(Outputs { steps, last })
}

fn operator_of(cell: Cell) -> &'static str {
    match cell {
        Cell::Lstm => "LSTM",
        Cell::Gru { .. } => "GRU",
        Cell::Rnn => "RNN",
    }
}

/// The attributes of a recurrent node.
fn options(recurrent: &Recurrent) -> Vec<crate::onnx::proto::Attribute> {
    let mut options = vec![int("hidden_size", recurrent.units as i64)];
    if recurrent.backwards {
        options.push(text("direction", "reverse"));
    }
    if recurrent.cell == (Cell::Gru { reset_after: true }) {
        options.push(int("linear_before_reset", 1));
    }
    if let Some(clip) = recurrent.clip {
        options.push(float("clip", clip));
    }
    if recurrent.coupled {
        options.push(int("input_forget", 1));
    }
    let out = recurrent.output_activation.unwrap_or(recurrent.activation);
    let (used, usual) = match recurrent.cell {
        Cell::Lstm => (vec![recurrent.gate_activation, recurrent.activation, out], vec!["Sigmoid", "Tanh", "Tanh"]),
        Cell::Gru { .. } => (vec![recurrent.gate_activation, recurrent.activation], vec!["Sigmoid", "Tanh"]),
        Cell::Rnn => (vec![recurrent.activation], vec!["Tanh"]),
    };
    let (mut names, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
    for activation in used {
        let (name, alpha, beta) = cell_activation(activation);
        names.push(name);
        alphas.extend(alpha);
        betas.extend(beta);
    }
    if names != usual {
        options.push(texts("activations", &names));
    }
    for (name, numbers) in [("activation_alpha", alphas), ("activation_beta", betas)] {
        if !numbers.is_empty() {
            options.push(floats(name, numbers));
        }
    }
    options
}

/// An activation within a cell: its name, α and β.
fn cell_activation(activation: Activation) -> (&'static str, Option<f32>, Option<f32>) {
    match activation {
        // No cell has a softmax: the checks of a description hold that.
        Activation::Linear | Activation::Softmax => ("Affine", Some(1.0), Some(0.0)),
        Activation::Relu => ("Relu", None, None),
        Activation::Tanh => ("Tanh", None, None),
        Activation::Sigmoid => ("Sigmoid", None, None),
        Activation::HardSigmoid => ("HardSigmoid", Some(0.2), Some(0.5)),
        Activation::HardSigmoidSixth => ("HardSigmoid", Some(1.0 / 6.0), Some(0.5)),
        Activation::HardSigmoidOf(alpha, beta) => ("HardSigmoid", Some(alpha), Some(beta)),
        Activation::Affine(alpha, beta) => ("Affine", Some(alpha), Some(beta)),
        Activation::LeakyRelu(alpha) => ("LeakyRelu", Some(alpha), None),
        Activation::ThresholdedRelu(alpha) => ("ThresholdedRelu", Some(alpha), None),
        Activation::ScaledTanh(alpha, beta) => ("ScaledTanh", Some(alpha), Some(beta)),
        Activation::Elu(alpha) => ("Elu", Some(alpha), None),
        Activation::Softsign => ("Softsign", None, None),
        Activation::Softplus => ("Softplus", None, None),
    }
}

/// All steps from the last to the first.
fn turned(name: &str, steps: &str, graph: &mut Graph) -> String {
    let mut number = |part: &str, value: i64| graph.ints(&format!("{name}/{part}"), &[value], false);
    let (start, end, axis, by) = (number("start", -1), number("end", i64::MIN), number("axis", 0), number("by", -1));
    graph.node(name, "Slice", &[steps, &start, &end, &axis, &by], Vec::new())
}

fn of_directions(
    layer: &Layer,
    both: &Bidirectional,
    inputs: usize,
    below: &str,
    graph: &mut Graph,
) -> Result<String, Error> {
    let name = layer.name.as_str();
    let forward = of_recurrent(layer, &both.forward, inputs, below, graph)?;
    let backward = of_recurrent(layer, &both.backward, inputs, below, graph)?;
    let pair = |outputs: Outputs| if both.each_step { outputs.steps } else { outputs.last };
    let (forward, backward) = (pair(forward), pair(backward));
    let pair = [forward.as_str(), backward.as_str()];
    Ok(match both.merge {
        Merge::Concat => graph.node(name, "Concat", &pair, vec![int("axis", -1)]),
        Merge::Sum => graph.node(name, "Add", &pair, Vec::new()),
        Merge::Product => graph.node(name, "Mul", &pair, Vec::new()),
        Merge::Mean => {
            let sum = graph.node(name, "Add", &pair, Vec::new());
            let half = graph.floats(&format!("{name}/half"), &[], &[0.5]);
            graph.node(name, "Mul", &[&sum, &half], Vec::new())
        }
    })
}

fn of_conv1d(name: &str, conv1d: &Conv1d, inputs: usize, below: &str, graph: &mut Graph) -> String {
    let (units, frames) = (conv1d.kernel.rows, conv1d.frames);
    // The oldest frame first, its features side by side; in the file units × inputs × frames.
    let window = |row: &[f32]| -> Vec<f32> {
        (0..inputs * frames).map(|place| row[place % frames * inputs + place / frames]).collect()
    };
    let values: Vec<f32> = conv1d.kernel.values.chunks_exact((inputs * frames).max(1)).flat_map(window).collect();
    let kernel = graph.floats(&format!("{name}/W"), &[units, inputs, frames], &values);
    let bias = graph.floats(&format!("{name}/b"), &[units], &conv1d.bias.values);
    let pads = match conv1d.padding {
        Padding::Causal => [frames as i64 - 1, 0],
        Padding::Same => [(frames as i64 - 1) / 2, frames as i64 / 2],
        Padding::Valid => [0, 0],
    };
    let options =
        vec![ints("kernel_shape", &[frames as i64]), ints("pads", &pads), ints("strides", &[conv1d.stride as i64])];
    let turned = graph.node(name, "Transpose", &[below], vec![ints("perm", &TO_WINDOWS)]);
    let sums = graph.node(name, "Conv", &[&turned, &kernel, &bias], options);
    let steps = graph.node(name, "Transpose", &[&sums], vec![ints("perm", &TO_STEPS)]);
    activated(name, conv1d.activation, &steps, graph, 2)
}

fn of_max_pool(name: &str, pool: MaxPool, below: &str, graph: &mut Graph) -> String {
    let options = vec![ints("kernel_shape", &[pool.frames as i64]), ints("strides", &[pool.stride as i64])];
    let turned = graph.node(name, "Transpose", &[below], vec![ints("perm", &TO_WINDOWS)]);
    let largest = graph.node(name, "MaxPool", &[&turned], options);
    graph.node(name, "Transpose", &[&largest], vec![ints("perm", &TO_STEPS)])
}

fn of_dense(name: &str, dense: &Dense, below: &str, graph: &mut Graph) -> String {
    let kernel = dense.kernel.transposed();
    let kernel = graph.floats(&format!("{name}/W"), &[kernel.rows, kernel.columns], &kernel.values);
    let bias = graph.floats(&format!("{name}/b"), &[dense.bias.values.len()], &dense.bias.values);
    let product = graph.node(name, "MatMul", &[below, &kernel], Vec::new());
    let sums = graph.node(name, "Add", &[&product, &bias], Vec::new());
    activated(name, dense.activation, &sums, graph, -1)
}

fn of_layer_norm(name: &str, norm: &LayerNorm, below: &str, graph: &mut Graph) -> String {
    let length = [norm.scale.values.len()];
    let scale = graph.floats(&format!("{name}/scale"), &length, &norm.scale.values);
    let shift = graph.floats(&format!("{name}/shift"), &length, &norm.shift.values);
    graph.node(
        name,
        "LayerNormalization",
        &[below, &scale, &shift],
        vec![int("axis", -1), float("epsilon", norm.epsilon)],
    )
}

/// From [time, batch, features] to [batch, features].
fn of_pooling(name: &str, pooling: Pooling, below: &str, graph: &mut Graph) -> String {
    let of_steps = || vec![ints("axes", &[0]), int("keepdims", 0)];
    match pooling {
        Pooling::Last => {
            let last = graph.ints(&format!("{name}/step"), &[-1], true);
            graph.node(name, "Gather", &[below, &last], vec![int("axis", 0)])
        }
        Pooling::Mean => graph.node(name, "ReduceMean", &[below], of_steps()),
        Pooling::Max => graph.node(name, "ReduceMax", &[below], of_steps()),
        // Σ w·h / Σ w, w = e^(4·clamp(h[0], −1, 1))
        Pooling::Attention => {
            let first = graph.ints(&format!("{name}/first"), &[0], false);
            let first = graph.node(name, "Gather", &[below, &first], vec![int("axis", 2)]);
            let mut number = |part: &str, value: f32| graph.floats(&format!("{name}/{part}"), &[], &[value]);
            let (least, most, four) = (number("least", -1.0), number("most", 1.0), number("four", 4.0));
            let held = graph.node(name, "Clip", &[&first, &least, &most], Vec::new());
            let score = graph.node(name, "Mul", &[&held, &four], Vec::new());
            let weight = graph.node(name, "Exp", &[&score], Vec::new());
            let weighted = graph.node(name, "Mul", &[below, &weight], Vec::new());
            let axis = graph.ints(&format!("{name}/steps"), &[0], false);
            let sum = graph.node(name, "ReduceSum", &[&weighted, &axis], vec![int("keepdims", 0)]);
            let all = graph.node(name, "ReduceSum", &[&weight, &axis], vec![int("keepdims", 0)]);
            graph.node(name, "Div", &[&sum, &all], Vec::new())
        }
    }
}

/// What each feature goes through; a softmax goes over this axis.
fn activated(name: &str, activation: Activation, below: &str, graph: &mut Graph, axis: i64) -> String {
    let times = |below: &str, factor: f32, graph: &mut Graph| {
        let factor = graph.floats(&format!("{name}/factor"), &[], &[factor]);
        graph.node(name, "Mul", &[below, &factor], Vec::new())
    };
    let hard = |alpha, beta| vec![float("alpha", alpha), float("beta", beta)];
    let (operator, options) = match activation {
        Activation::Linear => return below.to_owned(),
        Activation::Affine(alpha, beta) => {
            let scaled = times(below, alpha, graph);
            let shift = graph.floats(&format!("{name}/shift"), &[], &[beta]);
            return graph.node(name, "Add", &[&scaled, &shift], Vec::new());
        }
        Activation::ScaledTanh(alpha, beta) => {
            let inner = times(below, beta, graph);
            let tanh = graph.node(name, "Tanh", &[&inner], Vec::new());
            return times(&tanh, alpha, graph);
        }
        Activation::Relu => ("Relu", Vec::new()),
        Activation::Tanh => ("Tanh", Vec::new()),
        Activation::Sigmoid => ("Sigmoid", Vec::new()),
        Activation::Softmax => ("Softmax", vec![int("axis", axis)]),
        Activation::HardSigmoid => ("HardSigmoid", hard(0.2, 0.5)),
        Activation::HardSigmoidSixth => ("HardSigmoid", hard(1.0 / 6.0, 0.5)),
        Activation::HardSigmoidOf(alpha, beta) => ("HardSigmoid", hard(alpha, beta)),
        Activation::LeakyRelu(alpha) => ("LeakyRelu", vec![float("alpha", alpha)]),
        Activation::ThresholdedRelu(alpha) => ("ThresholdedRelu", vec![float("alpha", alpha)]),
        Activation::Elu(alpha) => ("Elu", vec![float("alpha", alpha)]),
        Activation::Softsign => ("Softsign", Vec::new()),
        Activation::Softplus => ("Softplus", Vec::new()),
    };
    graph.node(name, operator, &[below], options)
}
