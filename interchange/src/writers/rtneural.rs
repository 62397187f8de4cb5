//! A model of samples as JSON of RTNeural, in Keras's layout: what `model_utils.save_model` of RTNeural writes.
//!
//! ```text
//! in_shape [null, null, channels]    layers: type, activation, shape [null, null, units], weights
//! dense W [inputs, units], b [units]           lstm W [inputs, 4·units], U [units, 4·units], b [4·units]; gates i, f, c, o
//! conv1d W [frames, inputs, units], b [units]  gru W [inputs, 3·units], U [units, 3·units], b [2, 3·units]; gates z, r, h
//! in_skip, in_gain, out_gain (dB)              of AIDA-X: what goes around the network
//! ```
//!
//! The scaling of samples goes into the first layer, or stands before a convolution as a dense layer with a diagonal kernel. RTNeural answers at each step: of a
//! model that takes the last step, its answer to the last frame is the answer.

use serde::Serialize;

use super::{AS_ONNX, beyond_plain, refused, samples, scaling};
use crate::Error;
use crate::affine::Affine;
use crate::described::{
    Activation, Cell, Conv1d, Dense, Described, Kind, Layer, Matrix, Padding, Pooling, Recurrent, Skip, Vector,
};
use crate::names::{Family, Layout};

/// The file of a model, and what it leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// What the network does and the file does not, each in a sentence.
    pub left_out: Vec<String>,
}

#[derive(Serialize)]
struct File {
    in_shape: [Option<usize>; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    in_skip: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_gain: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_gain: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samplerate: Option<f64>,
    layers: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    activation: &'static str,
    shape: [Option<usize>; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_size: Option<[usize; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dilation: Option<[usize; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strides: Option<[usize; 1]>,
    weights: Vec<Tensor>,
}

/// Numbers in nested arrays.
#[derive(Serialize)]
#[serde(untagged)]
enum Tensor {
    One(Vec<f32>),
    Two(Vec<Vec<f32>>),
    Three(Vec<Vec<Vec<f32>>>),
}

impl Tensor {
    /// Rows of so many columns.
    fn rows(values: &[f32], columns: usize) -> Self {
        Self::Two(values.chunks(columns.max(1)).map(<[f32]>::to_vec).collect())
    }
}

/// Writes a model of samples.
///
/// # Errors
/// Names the layer that RTNeural does not have: an embedding, simple recurrent layers, a GRU whose reset acts before the product, poolings but the last step, states to begin
/// with, other activations; and what goes around the network where that is no first channel, or has a gain below zero.
pub fn write(model: &Described) -> Result<Written, Error> {
    let Some(input) = samples(model) else {
        return Err(Error::new("the network's input", "it reads texts, and RTNeural reads samples", AS_ONNX));
    };
    if input.difference > 0 {
        return Err(Error::new(
            "the network's input",
            "it reads differences of samples, and RTNeural reads samples",
            AS_ONNX,
        ));
    }
    let mut left_out = Vec::new();
    if !input.bounds.is_empty() {
        left_out.push(bounds_left_out(&input.bounds));
    }
    let gains = Gains::of(model)?;
    let mut layers = model.layers.clone();
    if let Some(affine) = gains.before(model) {
        scale_first(&mut layers, &affine);
    }
    if gains.folded != 1.0 {
        amplify_last(&mut layers, f64::from(gains.folded))?;
    }
    let entries = entries(model, input.channels, &layers)?;
    if layers.iter().any(|layer| matches!(layer.kind, Kind::Pooling(_))) {
        left_out.push("that the last step alone has an answer: RTNeural answers at each step, and the answer is that to the last frame".to_owned());
    }
    let file = File {
        in_shape: [None, None, Some(input.channels)],
        in_skip: gains.skips.then_some(1),
        in_gain: gains.input,
        out_gain: gains.output,
        samplerate: input.rate,
        layers: entries,
    };
    let bytes = serde_json::to_vec(&file).map_err(|error| Error::new("RTNeural", error.to_string(), "report this"))?;
    Ok(Written { bytes, left_out })
}

/// That scaled samples are not held to their ranges.
fn bounds_left_out(bounds: &[f32]) -> String {
    let most = bounds.iter().copied().fold(0.0, f32::max);
    format!("the limits of scaled samples (at most {most}): give samples like those of the training")
}

/// What stands around the network: in the keys of AIDA-X where a sample goes around it, else in its layers.
struct Gains {
    skips: bool,
    /// dB.
    input: Option<f64>,
    /// dB.
    output: Option<f64>,
    /// What goes into the last layer.
    folded: f32,
}

impl Gains {
    fn of(model: &Described) -> Result<Self, Error> {
        let gain = model.gain;
        let Some(Skip { channel, lag }) = model.skip else {
            return Ok(Self { skips: false, input: None, output: None, folded: gain.output });
        };
        let refuse = |problem: String| Err(Error::new("skip", problem, AS_ONNX));
        if channel != 0 {
            return refuse(format!("channel {channel} goes around the network, and RTNeural adds the first one"));
        }
        if lag != 0 {
            return refuse(format!(
                "a sample of {lag} frames ago goes around the network, and RTNeural adds the newest"
            ));
        }
        if gain.input <= 0.0 || gain.output <= 0.0 {
            return refuse(format!(
                "its gains are {} and {}, and decibels are of positive ones",
                gain.input, gain.output
            ));
        }
        // A gain of d dB is 10^(d/20).
        let decibels = |gain: f32| (gain != 1.0).then(|| 20.0 * f64::from(gain).log10());
        Ok(Self { skips: true, input: decibels(gain.input), output: decibels(gain.output), folded: 1.0 })
    }

    /// What happens to the samples before the first layer, the gain in it or before it; nothing where they are read as they are.
    fn before(&self, model: &Described) -> Option<Affine> {
        let (means, factors) = scaling(model)?;
        let gain = |channel: usize| if self.skips && channel == 0 { f64::from(model.gain.input) } else { 1.0 };
        let scale: Vec<f64> =
            factors.iter().enumerate().map(|(channel, factor)| f64::from(*factor) / gain(channel)).collect();
        let shift = means.iter().zip(&factors).map(|(mean, factor)| -f64::from(*mean) * f64::from(*factor)).collect();
        let affine = Affine { scale, shift };
        let is_plain = affine.scale.iter().all(|scale| *scale == 1.0) && affine.shift.iter().all(|shift| *shift == 0.0);
        (!is_plain).then_some(affine)
    }
}

/// Puts a scaling into the first layer, or before it where its window reads zeros before the first step.
fn scale_first(layers: &mut Vec<Layer>, affine: &Affine) {
    match layers.first_mut().map(|layer| &mut layer.kind) {
        Some(Kind::Recurrent(first)) => affine.fold(&mut first.kernel, &mut first.bias),
        Some(Kind::Dense(first)) => affine.fold(&mut first.kernel, &mut first.bias),
        _ => {
            let features = affine.scale.len();
            let mut values = vec![0.0; features * features];
            values
                .iter_mut()
                .step_by(features + 1)
                .zip(&affine.scale)
                .for_each(|(value, scale)| *value = *scale as f32);
            let kernel = Matrix { source: String::new(), rows: features, columns: features, values };
            let bias =
                Vector { source: String::new(), values: affine.shift.iter().map(|shift| *shift as f32).collect() };
            let kind = Kind::Dense(Dense { kernel, bias, activation: Activation::Linear });
            layers.insert(0, Layer { name: "scaling".into(), kind });
        }
    }
}

/// Puts a gain behind the network into its last layer.
fn amplify_last(layers: &mut [Layer], gain: f64) -> Result<(), Error> {
    match layers.last_mut() {
        Some(Layer { kind: Kind::Dense(Dense { kernel, bias, activation: Activation::Linear }), .. }) => {
            let each = vec![gain; kernel.rows];
            Affine { shift: vec![0.0; each.len()], scale: each }.fold_back(kernel, bias);
            Ok(())
        }
        Some(layer) => Err(refused(layer, "a gain stands behind it, and it is no linear dense layer", AS_ONNX)),
        None => Ok(()),
    }
}

fn entries(model: &Described, channels: usize, layers: &[Layer]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut inputs = channels;
    for (number, layer) in layers.iter().enumerate() {
        let units = layer.kind.features(inputs);
        let entry = |kind, activation, weights| Entry {
            kind,
            activation,
            shape: [None, None, Some(units)],
            kernel_size: None,
            dilation: None,
            groups: None,
            strides: None,
            weights,
        };
        match &layer.kind {
            Kind::Dense(dense) => {
                let values = Layout::Keras.of_kernel(Family::Rnn, &dense.kernel);
                let weights = vec![Tensor::rows(&values, units), Tensor::One(dense.bias.values.clone())];
                entries.push(entry("dense", activation(layer, dense.activation)?, weights));
            }
            Kind::Conv1d(conv1d) => {
                let weights = vec![window(conv1d, inputs), Tensor::One(conv1d.bias.values.clone())];
                let plain = entry("conv1d", activation(layer, conv1d.activation)?, weights);
                if conv1d.padding != Padding::Causal {
                    let problem = format!("its padding is {}, and RTNeural has causal ones", conv1d.padding.name());
                    return Err(refused(layer, problem, "train it with causal padding"));
                }
                let strides = (conv1d.stride > 1).then_some([conv1d.stride]);
                let (kernel_size, dilation, groups) = (Some([conv1d.frames]), Some([1]), Some(1));
                entries.push(Entry { kernel_size, dilation, groups, strides, ..plain });
            }
            Kind::Recurrent(recurrent) => {
                let (kind, weights) = recurrent_weights(layer, recurrent)?;
                entries.push(entry(kind, "tanh", weights));
            }
            // The layers above compute at each step what they compute of the last.
            Kind::Pooling(Pooling::Last) => {}
            other => {
                let problem = format!("it is {}, and RTNeural has dense, conv1d, lstm and gru", other.name());
                return Err(refused(layer, problem, AS_ONNX));
            }
        }
        let is_softmax = matches!(&layer.kind, Kind::Dense(Dense { activation: Activation::Softmax, .. }));
        if is_softmax && number + 1 == layers.len() && model.skip.is_some() {
            return Err(refused(layer, "a sample goes around its softmax", AS_ONNX));
        }
        inputs = units;
    }
    Ok(entries)
}

/// The activation's name there; empty of none.
fn activation(layer: &Layer, activation: Activation) -> Result<&'static str, Error> {
    match activation {
        Activation::Linear => Ok(""),
        Activation::Relu | Activation::Tanh | Activation::Sigmoid | Activation::Softmax => Ok(activation.name()),
        other => {
            let problem =
                format!("its activation is {}, and RTNeural has relu, tanh, sigmoid and softmax", other.name());
            Err(refused(layer, problem, AS_ONNX))
        }
    }
}

/// W of a convolution, frames × inputs × units.
fn window(conv1d: &Conv1d, inputs: usize) -> Tensor {
    let turned = conv1d.kernel.transposed();
    let frame = |rows: &[f32]| rows.chunks(turned.columns.max(1)).map(<[f32]>::to_vec).collect();
    Tensor::Three(turned.values.chunks((inputs * turned.columns).max(1)).map(frame).collect())
}

fn recurrent_weights(layer: &Layer, recurrent: &Recurrent) -> Result<(&'static str, Vec<Tensor>), Error> {
    let refuse = |problem: &str, remedy: &str| Err(refused(layer, problem, remedy));
    let family = match recurrent.cell {
        Cell::Lstm => Family::Lstm,
        Cell::Gru { reset_after: true } => Family::Gru,
        Cell::Gru { reset_after: false } => {
            return refuse(
                "its reset acts before the product, which RTNeural's GRU cannot",
                "train with the reset after the product, or export it as ONNX",
            );
        }
        Cell::Rnn => return refuse("it is a simple recurrent layer, and RTNeural has lstm and gru", AS_ONNX),
    };
    if let Some(problem) = beyond_plain(recurrent, false) {
        return refuse(&problem, AS_ONNX);
    }
    if recurrent.projection.is_some() || recurrent.backwards {
        return refuse("it has a projection or reads back, which RTNeural does not", AS_ONNX);
    }
    if recurrent.begins_elsewhere() {
        return refuse("it begins in a state of its own, and RTNeural begins with zeros", AS_ONNX);
    }
    let rows = recurrent.kernel.rows;
    let mut weights = vec![
        Tensor::rows(&Layout::Keras.of_kernel(family, &recurrent.kernel), rows),
        Tensor::rows(&Layout::Keras.of_kernel(family, &recurrent.recurrent_kernel), rows),
    ];
    weights.push(match &recurrent.recurrent_bias {
        Some(second) => Tensor::Two(vec![recurrent.bias.values.clone(), second.values.clone()]),
        None => Tensor::One(recurrent.bias.values.clone()),
    });
    Ok((family.name(), weights))
}
