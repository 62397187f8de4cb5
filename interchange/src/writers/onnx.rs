//! A model as ONNX: operators of version 17 alone, none of another domain.
//!
//! ```text
//! ids    int64 [batch, time]            ──Gather──┐
//! frames float [batch, time, channels]  ──scaling─┴──Transpose──> [time, batch, features] ──layers──> [batch, outputs], or [batch, time, outputs]
//! ```
//!
//! | of a description | operators |
//! | --- | --- |
//! | scaling of samples | `Sub`, `Mul`, `Max` and `Min`; of a difference `Slice`, `Concat` and `Sub` before them |
//! | embedding | `Gather` |
//! | recurrent layers | `LSTM`, `GRU`, `RNN` with gates in the order i, o, f, c and z, r, h; two directions are two nodes |
//! | convolution, largest values over time | `Conv`, `MaxPool`, between two `Transpose` |
//! | dense | `MatMul`, `Add` and the activation |
//! | poolings | `Gather` of the last step, `ReduceMean`, `ReduceMax`; attention is spelled out |
//! | what goes around | `Gather` of a channel, `Add`, `Mul` |
//!
//! The batch is 1 where a layer begins in a state of its own. Source: <https://onnx.ai/onnx/operators/>.

mod graph;
mod layers;

use prost::Message;

use self::graph::{FLOAT, Graph, INT64, Size, int, ints, value};
use super::{check_skip, is_pooled, samples, scaling, stride};
use crate::Error;
use crate::described::{Described, Input, Kind, Skip, Task};
use crate::onnx::metadata::PRODUCER;
use crate::onnx::proto;

/// The version of the format: that of the operators below.
const IR: i64 = 8;

/// The version of the operators.
const OPSET: i64 = 17;

/// The name of the input of ids.
pub const IDS: &str = "ids";
/// The name of the input of samples.
pub const FRAMES: &str = "frames";

/// The name of the output: `logits` of classes, else `values`.
pub fn output_of(model: &Described) -> &'static str {
    match model.answer.task {
        Some(Task::Classify | Task::Tag) => "logits",
        _ => "values",
    }
}

/// Writes a model; `version` is that of the program that writes, and `notes` stand in the file's metadata.
///
/// # Errors
/// Names the layer that ONNX cannot hold: masking, projected hidden states.
pub fn write(model: &Described, version: &str, notes: &[(String, String)]) -> Result<Vec<u8>, Error> {
    check_skip(model)?;
    let (mut graph, output) = (Graph::default(), output_of(model));
    let input = if samples(model).is_some() { FRAMES } else { IDS };
    [input, output].iter().for_each(|name| graph.keep(name));
    let batch = || if begins_elsewhere(model) { Size::Fixed(1) } else { Size::Named("batch") };
    let (read, info) = match &model.input {
        Input::Ids(_) => {
            let ids = graph.node(IDS, "Transpose", &[IDS], vec![ints("perm", &[1, 0])]);
            (ids, value(IDS, INT64, &[batch(), Size::Named("time")]))
        }
        Input::Samples(samples) => {
            let scaled = scaled(model, &mut graph);
            let steps = graph.node(FRAMES, "Transpose", &[&scaled], vec![ints("perm", &[1, 0, 2])]);
            (steps, value(FRAMES, FLOAT, &[batch(), Size::Named("time"), Size::Fixed(samples.channels)]))
        }
    };
    let mut last = read;
    let mut pooled = false;
    for (layer, inputs) in model.fed() {
        last = layers::add(layer, inputs, pooled, &last, &mut graph)?;
        pooled |= match &layer.kind {
            Kind::Pooling(_) => true,
            Kind::Bidirectional(both) => !both.each_step,
            _ => false,
        };
    }
    if !pooled {
        last = graph.node(output, "Transpose", &[&last], vec![ints("perm", &[1, 0, 2])]);
    }
    last = around(model, &last, &mut graph);
    graph.give(&last, output);
    let outputs = Size::Fixed(model.outputs());
    let sizes = if pooled { vec![batch(), outputs] } else { vec![batch(), Size::Named("answers"), outputs] };
    let file = proto::Model {
        ir_version: Some(IR),
        producer_name: PRODUCER.into(),
        producer_version: version.into(),
        graph: Some(proto::Graph {
            name: "latch".into(),
            node: graph.nodes,
            initializer: graph.constants,
            input: vec![info],
            output: vec![value(output, FLOAT, &sizes)],
            sparse_initializer: Vec::new(),
        }),
        opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: notes
            .iter()
            .map(|(key, value)| proto::Entry { key: key.clone(), value: value.clone() })
            .collect(),
    };
    Ok(file.encode_to_vec())
}

/// Whether a layer begins in a state of its own: then its file is for one sequence.
pub fn begins_elsewhere(model: &Described) -> bool {
    model.layers.iter().any(|layer| match &layer.kind {
        Kind::Recurrent(recurrent) => recurrent.begins_elsewhere(),
        Kind::Bidirectional(both) => both.forward.begins_elsewhere() || both.backward.begins_elsewhere(),
        _ => false,
    })
}

/// The samples as the network reads them: `min(max((x − mean)·factor, −bound), bound)`.
fn scaled(model: &Described, graph: &mut Graph) -> String {
    let mut last = FRAMES.to_owned();
    let Some(samples) = samples(model) else { return last };
    if samples.difference > 0 {
        let before = delayed("difference", &last, samples.difference, graph);
        last = graph.node("difference", "Sub", &[&last, &before], Vec::new());
    }
    if let Some((means, factors)) = scaling(model) {
        let shape = [means.len()];
        let mean = graph.floats("scaling/mean", &shape, &means);
        last = graph.node("scaling", "Sub", &[&last, &mean], Vec::new());
        let factor = graph.floats("scaling/factor", &shape, &factors);
        last = graph.node("scaling", "Mul", &[&last, &factor], Vec::new());
    }
    if !samples.bounds.is_empty() {
        let shape = [samples.bounds.len()];
        let least: Vec<f32> = samples.bounds.iter().map(|bound| -bound).collect();
        let least = graph.floats("scaling/least", &shape, &least);
        last = graph.node("scaling", "Max", &[&last, &least], Vec::new());
        let most = graph.floats("scaling/most", &shape, &samples.bounds);
        last = graph.node("scaling", "Min", &[&last, &most], Vec::new());
    }
    last
}

/// The frames of N steps ago, [batch, time, channels]; before the first N stands the first.
fn delayed(name: &str, frames: &str, lag: usize, graph: &mut Graph) -> String {
    let places = graph.ints(&format!("{name}/first"), &vec![0; lag], false);
    let first = graph.node(name, "Gather", &[frames, &places], vec![int("axis", 1)]);
    let all = graph.node(name, "Concat", &[&first, frames], vec![int("axis", 1)]);
    let start = graph.ints(&format!("{name}/start"), &[0], false);
    let end = graph.ints(&format!("{name}/end"), &[-(lag as i64)], false);
    let axis = graph.ints(&format!("{name}/axis"), &[1], false);
    graph.node(name, "Slice", &[&all, &start, &end, &axis], Vec::new())
}

/// `gain.output·(y + s)`, s being the sample that goes around the network.
fn around(model: &Described, last: &str, graph: &mut Graph) -> String {
    let mut last = last.to_owned();
    if let Some(Skip { channel, lag }) = model.skip {
        let frames = if lag > 0 { delayed("skip", FRAMES, lag, graph) } else { FRAMES.to_owned() };
        let place = graph.ints("skip/channel", &[channel as i64], false);
        let mut skipped = graph.node("skip", "Gather", &[&frames, &place], vec![int("axis", 2)]);
        if is_pooled(model) {
            let place = graph.ints("skip/last", &[-1], true);
            skipped = graph.node("skip", "Gather", &[&skipped, &place], vec![int("axis", 1)]);
        } else if stride(model) > 1 {
            let start = graph.ints("skip/start", &[0], false);
            let end = graph.ints("skip/end", &[i64::MAX], false);
            let axis = graph.ints("skip/axis", &[1], false);
            let by = graph.ints("skip/stride", &[stride(model) as i64], false);
            skipped = graph.node("skip", "Slice", &[&skipped, &start, &end, &axis, &by], Vec::new());
        }
        if channel == 0 && model.gain.input != 1.0 {
            let gain = graph.floats("skip/gain", &[], &[model.gain.input]);
            skipped = graph.node("skip", "Mul", &[&skipped, &gain], Vec::new());
        }
        last = graph.node("skip", "Add", &[&last, &skipped], Vec::new());
    }
    if model.gain.output != 1.0 {
        let gain = graph.floats("gain", &[], &[model.gain.output]);
        last = graph.node("gain", "Mul", &[&last, &gain], Vec::new());
    }
    last
}
