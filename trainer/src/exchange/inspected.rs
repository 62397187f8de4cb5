//! What is inside the file of a model, and what would stop its import.

use std::fmt;

use latch_interchange::{Activation, Cell, Described, Format, Glimpse, Input, Kind, Layer, Recurrent, Samples};
use serde::Serialize;

use crate::counted::counted;
use crate::shown::shown;

/// What is inside a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspected {
    /// The format.
    pub format: &'static str,
    /// Whose names and shapes its tensors have, where the format has several.
    pub layout: Option<&'static str>,
    /// Version of the tool that wrote it.
    pub version: Option<String>,
    /// `ids` or `samples`; `unknown` of a file that is refused.
    pub input: &'static str,
    /// Channels of samples.
    pub channels: Option<usize>,
    /// What the channels are.
    pub channel_names: Vec<String>,
    /// Frames a second.
    pub sample_rate: Option<f64>,
    /// The mean and the scale of each channel, where they are normalized.
    pub normalization: Vec<(f32, f32)>,
    /// The layers, the lowest first.
    pub layers: Vec<InspectedLayer>,
    /// The channel that is added to the answer, from 0.
    pub skip: Option<usize>,
    /// What samples are multiplied by before the network and behind it.
    pub gain: (f32, f32),
    /// Of a file that is refused: its layers, entries and tensors as far as they can be told, as `(where, what)`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<(String, String)>,
    /// Weights of all layers, where these are read.
    pub weights: Option<usize>,
    /// Whether the file brings an input with the answers to it.
    pub has_probe: bool,
    /// What else it says: `(what, value)`.
    pub notes: Vec<(String, String)>,
    /// Why it cannot be imported as it is; nothing where it can.
    pub stops: Option<String>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InspectedLayer {
    /// What its file calls it.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Features that it reads; 0 of an embedding.
    pub inputs: usize,
    /// Features that it gives.
    pub outputs: usize,
    /// What its sums go through, where it has that.
    pub activation: Option<&'static str>,
    /// Its tensors as they lie here: each with the name that its file has for it, and its shape.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Whether it begins with another state than zeros.
    pub begins_elsewhere: bool,
    /// What else a recurrent layer has, as `clip 3`, `coupled gates`.
    pub variants: Vec<String>,
}

impl Inspected {
    /// What a description holds; `stops` says why it cannot be imported.
    pub fn of(model: &Described, stops: Option<String>) -> Self {
        let layout = match model.source.format {
            Format::Safetensors(layout) | Format::RtNeural(layout) => Some(layout.name()),
            _ => None,
        };
        let (input, samples) = match &model.input {
            Input::Ids(_) => ("ids", Samples::default()),
            Input::Samples(samples) => ("samples", samples.clone()),
        };
        Inspected {
            format: model.source.format.name(),
            layout,
            version: model.source.version.clone(),
            input,
            channels: (input == "samples").then_some(samples.channels),
            channel_names: samples.names,
            sample_rate: samples.rate,
            normalization: samples.normalization.iter().map(|one| (one.mean, one.scale)).collect(),
            layers: model.fed().map(|(layer, inputs)| InspectedLayer::of(layer, inputs)).collect(),
            skip: model.skip.map(|skip| skip.channel),
            gain: (model.gain.input, model.gain.output),
            found: Vec::new(),
            weights: Some(model.weights()),
            has_probe: model.source.probe.is_some(),
            notes: model.source.notes.clone(),
            stops,
        }
    }
}

impl Inspected {
    /// What can be told of a file that is refused; `stops` says why.
    pub fn glimpsed(glimpse: Glimpse, stops: String) -> Self {
        Inspected {
            format: glimpse.format,
            layout: None,
            version: None,
            input: "unknown",
            channels: None,
            channel_names: Vec::new(),
            sample_rate: None,
            normalization: Vec::new(),
            layers: Vec::new(),
            skip: None,
            gain: (1.0, 1.0),
            found: glimpse.found,
            weights: None,
            has_probe: false,
            notes: Vec::new(),
            stops: Some(stops),
        }
    }
}

impl InspectedLayer {
    fn of(layer: &Layer, inputs: usize) -> Self {
        let (activation, begins_elsewhere) = match &layer.kind {
            Kind::Recurrent(recurrent) => (Some(recurrent.activation), recurrent.begins_elsewhere()),
            Kind::Conv1d(conv1d) => (Some(conv1d.activation), false),
            Kind::Dense(dense) => (Some(dense.activation), false),
            Kind::Activation(activation) => (Some(*activation), false),
            Kind::Bidirectional(both) => {
                (Some(both.forward.activation), both.forward.begins_elsewhere() || both.backward.begins_elsewhere())
            }
            Kind::Embedding(_) | Kind::Pooling(_) | Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) => {
                (None, false)
            }
        };
        let named = |source: &str| if source.is_empty() { "unnamed".to_owned() } else { source.to_owned() };
        let matrices = layer.kind.matrices();
        let matrices = matrices.iter().map(|matrix| (named(&matrix.source), vec![matrix.rows, matrix.columns]));
        let vectors = layer.kind.vectors();
        let vectors = vectors.iter().map(|vector| (named(&vector.source), vec![vector.values.len()]));
        InspectedLayer {
            name: layer.name.clone(),
            kind: layer.kind.name(),
            inputs,
            outputs: layer.kind.features(inputs),
            activation: activation.map(|activation| activation.name()),
            tensors: matrices.chain(vectors).collect(),
            begins_elsewhere,
            variants: match &layer.kind {
                Kind::Recurrent(recurrent) => variants(recurrent),
                Kind::Bidirectional(both) => variants(&both.forward),
                _ => Vec::new(),
            },
        }
    }
}

/// What only some recurrent layers have, in words.
fn variants(layer: &Recurrent) -> Vec<String> {
    let of_cell = layer.output_activation.map(|activation| format!("cells through {}", activation.name()));
    let gates = (layer.cell != Cell::Rnn && layer.gate_activation != Activation::Sigmoid)
        .then(|| format!("gates through {}", layer.gate_activation.name()));
    [
        gates,
        of_cell,
        layer.peepholes.as_ref().map(|_| "peepholes".to_owned()),
        layer.coupled.then(|| "coupled gates".to_owned()),
        layer.clip.map(|clip| format!("clip {clip}")),
        layer.cell_clip.map(|clip| format!("cells held to {clip}")),
        layer.backwards.then(|| "reads back".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_ref().map_or_else(String::new, |version| format!(" {}", shown(version)));
        let layout = self.layout.map_or_else(String::new, |layout| format!(", layout {layout}"));
        writeln!(f, "format       {}{version}{layout}", self.format)?;
        let channels = self.channels.map_or_else(String::new, |channels| format!(", {}", counted(channels, "channel")));
        let names =
            if self.channel_names.is_empty() { String::new() } else { format!(": {}", self.channel_names.join(", ")) };
        let rate = self.sample_rate.map_or_else(String::new, |rate| format!(", {rate} Hz"));
        if self.weights.is_some() {
            writeln!(f, "input        {}{channels}{names}{rate}", self.input)?;
        }
        for (place, what) in &self.found {
            writeln!(f, "inside       {}: {}", shown(place), shown(what))?;
        }
        for (mean, scale) in &self.normalization {
            writeln!(f, "             (x - {mean}) / {scale}")?;
        }
        for layer in &self.layers {
            let activation = layer.activation.map_or_else(String::new, |activation| format!(", {activation}"));
            let InspectedLayer { kind, inputs, outputs, .. } = layer;
            writeln!(f, "layer        {}: {kind}, {inputs} -> {outputs}{activation}", shown(&layer.name))?;
            for (name, shape) in &layer.tensors {
                writeln!(f, "             {} {shape:?}", shown(name))?;
            }
            if !layer.variants.is_empty() {
                writeln!(f, "             {}", layer.variants.join(", "))?;
            }
            if layer.begins_elsewhere {
                writeln!(f, "             its state begins with trained values")?;
            }
        }
        if let Some(channel) = self.skip {
            writeln!(f, "skip         channel {channel} is added to the answer")?;
        }
        if self.gain != (1.0, 1.0) {
            writeln!(f, "gain         {} before the network, {} behind it", self.gain.0, self.gain.1)?;
        }
        if let Some(weights) = self.weights {
            writeln!(f, "weights      {weights}")?;
        }
        if self.has_probe {
            writeln!(f, "probe        the file brings an input and the answers to it")?;
        }
        for (what, value) in &self.notes {
            writeln!(f, "note         {}: {}", shown(what), shown(value))?;
        }
        match &self.stops {
            Some(reason) => write!(f, "import       stops: {reason}"),
            None => write!(f, "import       as it is"),
        }
    }
}
