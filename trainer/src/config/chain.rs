//! The chain of layers as data: an embedding, and what lies above it. Its text is read and written in [`text`].
//!
//! A chain ends with a linear `dense` without units: the task says how many outputs it has. Without a pooling every step has an answer.
//! Nothing recurrent comes after the pooling.

pub mod rhythm;
pub mod text;
pub mod variant;

use clap::ValueEnum;
use latch_engine::layers::bidirectional::MAX_LONGEST;
use latch_engine::layers::conv1d::{MAX_FRAMES, MAX_STRIDE, MAX_UNITS};
use latch_engine::layers::{MAX_LAYERS, MAX_WIDTH};
use serde::{Deserialize, Serialize};

use self::rhythm::Rhythm;
use self::variant::VariantConfig;

/// A network's layers in their order: an embedding, and what lies above it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Chain {
    /// Features of an embedded token.
    pub embedding: usize,
    /// Share of the tokens whose whole embedding is dropped while the network learns.
    pub word_dropout: f64,
    /// The layers above the embedding, the lowest first. The last is a dense layer.
    pub layers: Vec<LayerConfig>,
}

/// One layer of a chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LayerConfig {
    /// An LSTM layer.
    Lstm(CellConfig),
    /// A gated recurrent unit.
    Gru {
        /// What every recurrent layer has.
        cell: CellConfig,
        /// True where the reset gate multiplies the product `U·h + b` (Keras's default, PyTorch, cuDNN), false where it multiplies h
        /// before the product (Cho et al. 2014, ONNX's default).
        reset_after: bool,
    },
    /// A simple recurrent layer.
    Rnn {
        /// What every recurrent layer has.
        cell: CellConfig,
        /// Tanh or relu.
        activation: Activation,
    },
    /// A convolution over time.
    Conv1d {
        /// Its units.
        units: usize,
        /// Frames of its window.
        frames: usize,
        /// Steps from one of its answers to the next.
        stride: usize,
        /// Whether its first answer comes when its window is full; else at the first step, with zeros before it.
        valid: bool,
        /// Linear or relu.
        activation: Activation,
        /// Share of its input features that is dropped, the same at every step of a sequence.
        dropout: f64,
    },
    /// Two recurrent layers over whole sequences, one of them from the last step to the first.
    Bidirectional(Bidirectional),
    /// A dense layer, at each step or after the pooling.
    Dense {
        /// Its units; none for the answer, whose outputs the task gives.
        units: Option<usize>,
        /// What its sums go through.
        activation: Activation,
        /// Share of its input features that is dropped, the same at every step of a sequence.
        dropout: f64,
    },
    /// From all steps of a sequence to one vector.
    Pooling(Pooling),
    /// A recurrent layer with options that the plain ones have not.
    Variant {
        /// What every recurrent layer has.
        cell: CellConfig,
        /// What it does with its rows.
        form: VariantConfig,
    },
    /// Normalization of the features of a step, or of what a pooling leaves.
    LayerNorm {
        /// What keeps its root from zero, above 0.
        epsilon: f32,
    },
    /// The largest value of each feature over a window of steps, which answers when it is full.
    MaxPool {
        /// Steps of its window.
        frames: usize,
        /// Steps from one of its answers to the next.
        stride: usize,
    },
}

/// Two recurrent layers over whole sequences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bidirectional {
    /// What both directions are.
    pub kind: Direction,
    /// What both have; no hidden features are dropped.
    pub cell: CellConfig,
    /// How the values of both become one vector.
    pub merge: Merge,
    /// Whether each step has the values of both directions also in front of `last`, which without this has the last state of each.
    pub aligned: bool,
    /// Steps of the longest sequence: a device keeps so many, and reads the last of a longer one.
    pub longest: usize,
}

/// The longest sequence where nobody says how long one is.
pub const LONGEST: usize = 256;

impl Bidirectional {
    /// One of its directions, as a layer of its own.
    pub fn direction(&self) -> LayerConfig {
        let cell = self.cell;
        match self.kind {
            Direction::Lstm => LayerConfig::Lstm(cell),
            Direction::Gru { reset_after } => LayerConfig::Gru { cell, reset_after },
            Direction::Rnn { activation } => LayerConfig::Rnn { cell, activation },
        }
    }
}

/// What the directions of a bidirectional layer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// LSTM layers.
    Lstm,
    /// Gated recurrent units.
    Gru {
        /// As that of [`LayerConfig::Gru`].
        reset_after: bool,
    },
    /// Simple recurrent layers.
    Rnn {
        /// Tanh or relu.
        activation: Activation,
    },
}

/// How the values of two directions become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Merge {
    /// Those of the first direction, then those of the way back.
    #[default]
    Concat,
    /// Half their sum.
    Mean,
    /// Their product.
    Product,
}

impl Merge {
    /// Its name in a chain; that of none said.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::Mean => "average",
            Self::Product => "product",
        }
    }

    /// Features of so many units a direction.
    pub fn features(self, units: usize) -> usize {
        if self == Self::Concat { units.saturating_mul(2) } else { units }
    }
}

/// What every recurrent layer has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellConfig {
    /// Hidden features.
    pub units: usize,
    /// Share of the input features that is dropped, the same at every step of a sequence.
    pub dropout: f64,
    /// Share of the features of h_{t-1} that is dropped, the same at every step of a sequence.
    pub recurrent_dropout: f64,
}

impl CellConfig {
    /// A cell of so many units without dropout.
    pub const fn of(units: usize) -> Self {
        Self { units, dropout: 0.0, recurrent_dropout: 0.0 }
    }
}

/// What the sums of a layer go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// x
    #[default]
    Linear,
    /// max(x, 0)
    Relu,
    /// tanh(x)
    Tanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
}

impl Activation {
    /// Its name in a chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Linear, Self::Relu, Self::Tanh, Self::Sigmoid].into_iter().find(|activation| activation.name() == name)
    }
}

/// How the steps of a sequence become one vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The vector after the last token.
    #[default]
    Last,
    /// The mean over all steps.
    Mean,
    /// The largest value of each feature over all steps; of equal values the earliest counts.
    Max,
    /// The mean over all steps, each with the weight e^(4·h) of its first feature's h, held to [-1, 1].
    Attention,
}

impl Pooling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Last, Self::Mean, Self::Max, Self::Attention];

    /// Its name in a chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Attention => "attention",
        }
    }
}

impl LayerConfig {
    /// The name of its kind in a chain, and in the names of its tensors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lstm(_) => "lstm",
            Self::Gru { .. } => "gru",
            Self::Rnn { .. } => "rnn",
            Self::Conv1d { .. } => "conv1d",
            Self::Bidirectional(Bidirectional { kind: Direction::Lstm, .. }) => "bilstm",
            Self::Bidirectional(Bidirectional { kind: Direction::Gru { .. }, .. }) => "bigru",
            Self::Bidirectional(Bidirectional { kind: Direction::Rnn { .. }, .. }) => "birnn",
            Self::Dense { .. } => "dense",
            Self::Pooling(pooling) => pooling.name(),
            Self::Variant { form, .. } => form.name(),
            Self::LayerNorm { .. } => "layernorm",
            Self::MaxPool { .. } => "maxpool",
        }
    }

    /// True where its values are in [-1, 1], in integers as in floats: not of a rectifier.
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Lstm(_) | Self::Gru { .. } => true,
            Self::Bidirectional(both) => both.direction().is_bounded(),
            Self::Rnn { activation, .. } | Self::Dense { activation, .. } => {
                matches!(activation, Activation::Tanh | Activation::Sigmoid)
            }
            Self::Variant { form, .. } => form.is_bounded(),
            Self::Conv1d { .. } | Self::Pooling(_) | Self::LayerNorm { .. } | Self::MaxPool { .. } => false,
        }
    }

    /// The cell of a recurrent layer.
    pub fn cell(&self) -> Option<&CellConfig> {
        match self {
            Self::Lstm(cell) | Self::Gru { cell, .. } | Self::Rnn { cell, .. } | Self::Variant { cell, .. } => {
                Some(cell)
            }
            Self::Bidirectional(both) => Some(&both.cell),
            Self::Conv1d { .. }
            | Self::Dense { .. }
            | Self::Pooling(_)
            | Self::LayerNorm { .. }
            | Self::MaxPool { .. } => None,
        }
    }

    /// True of a layer that remembers something from step to step: a recurrent one, a convolution, or a largest value over steps.
    pub fn remembers(&self) -> bool {
        self.cell().is_some() || matches!(self, Self::Conv1d { .. } | Self::MaxPool { .. })
    }

    /// Frames that it reads at a step: more than one of a convolution.
    pub fn frames(&self) -> usize {
        match self {
            Self::Conv1d { frames, .. } => *frames,
            _ => 1,
        }
    }

    /// At which of the steps that it reads it answers.
    pub fn rhythm(&self) -> Rhythm {
        match *self {
            Self::Conv1d { frames, stride, valid: true, .. } => Rhythm::of_window(frames, stride),
            Self::Conv1d { stride, .. } => Rhythm { first: 0, stride },
            Self::MaxPool { frames, stride } => Rhythm::of_window(frames, stride),
            _ => Rhythm::EACH,
        }
    }

    /// Share of the input features that is dropped.
    pub fn dropout(&self) -> f64 {
        match self {
            Self::Conv1d { dropout, .. } | Self::Dense { dropout, .. } => *dropout,
            Self::Pooling(_) | Self::LayerNorm { .. } | Self::MaxPool { .. } => 0.0,
            _ => self.cell().map_or(0.0, |cell| cell.dropout),
        }
    }

    /// Features of its output, from those of its input and the outputs of the answer.
    pub fn features(&self, inputs: usize, outputs: usize) -> usize {
        match self {
            Self::Conv1d { units, .. } => *units,
            Self::Bidirectional(both) => both.merge.features(both.cell.units),
            Self::Dense { units, .. } => units.unwrap_or(outputs),
            Self::Pooling(_) | Self::LayerNorm { .. } | Self::MaxPool { .. } => inputs,
            Self::Variant { form: VariantConfig { projected: Some(features), .. }, .. } => *features,
            _ => self.cell().map_or(inputs, |cell| cell.units),
        }
    }
}

impl Chain {
    /// An embedding, `layers` LSTM layers of `units` each, the pooling where there is one, and a dense answer; nothing is dropped.
    pub fn stacked(embedding: usize, layers: usize, units: usize, pooling: Option<Pooling>) -> Self {
        let mut chain = vec![LayerConfig::Lstm(CellConfig::of(units)); layers];
        chain.extend(pooling.map(LayerConfig::Pooling));
        chain.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 });
        Self { embedding, word_dropout: 0.0, layers: chain }
    }

    /// The pooling, where there is one; without, every step has an answer.
    pub fn pooling(&self) -> Option<Pooling> {
        self.layers.iter().find_map(|layer| match layer {
            LayerConfig::Pooling(pooling) => Some(*pooling),
            _ => None,
        })
    }

    /// Whether a layer, from 0 above the embedding, is one of two directions of which only the last states are asked for.
    pub fn ends(&self, number: usize) -> bool {
        let behind = self.layers.get(number + 1);
        matches!(self.layers.get(number), Some(LayerConfig::Bidirectional(both)) if !both.aligned)
            && matches!(behind, Some(LayerConfig::Pooling(Pooling::Last)))
    }

    /// Steps of the longest sequence, where layers read whole sequences: of a longer one they read the last.
    pub fn longest(&self) -> Option<usize> {
        let (mut rhythm, mut longest) = (Rhythm::EACH, None);
        for layer in &self.layers {
            if let LayerConfig::Bidirectional(both) = layer {
                let own = both.longest.saturating_mul(rhythm.stride).saturating_add(rhythm.first);
                longest = Some(longest.map_or(own, |other: usize| other.min(own)));
            }
            rhythm = rhythm.then(layer.rhythm());
        }
        longest
    }

    /// At which steps of its input it answers.
    pub fn rhythm(&self) -> Rhythm {
        self.layers.iter().map(LayerConfig::rhythm).collect()
    }

    /// The recurrent layers, the lowest first.
    pub fn cells(&self) -> impl Iterator<Item = &CellConfig> {
        self.layers.iter().filter_map(LayerConfig::cell)
    }

    /// Says why the layers cannot stand in this order, and which of them is meant: 0 is the embedding, 1 the lowest layer.
    pub fn fault(&self) -> Option<(usize, &'static str)> {
        let (mut pooled, mut bounded) = (false, false);
        for (number, layer) in (1..).zip(&self.layers) {
            let last = number == self.layers.len();
            match layer {
                LayerConfig::Pooling(_) if pooled => return Some((number, "a sequence is pooled once")),
                LayerConfig::Pooling(Pooling::Attention) if !bounded => {
                    return Some((
                        number,
                        "attention weighs values in [-1, 1]: put it behind a recurrent layer without relu, or a dense one with tanh or sigmoid",
                    ));
                }
                LayerConfig::Pooling(_) => pooled = true,
                LayerConfig::Dense { units: None, .. } if !last => {
                    return Some((number, "this dense layer needs its units, as in `dense 16 relu`"));
                }
                LayerConfig::Dense { units, activation, .. } if last => match (units, activation) {
                    (Some(_), _) => return Some((number, "the last dense layer has no number: the task gives it")),
                    (_, Activation::Linear) => {}
                    _ => return Some((number, "the answer is linear: what follows it belongs to the loss")),
                },
                LayerConfig::Dense { .. } | LayerConfig::LayerNorm { .. } => {}
                _ if pooled => {
                    let problem = "a recurrent layer or a convolution reads steps: put it before the pooling";
                    return Some((number, problem));
                }
                _ => {}
            }
            bounded = layer.is_bounded();
        }
        match self.layers.last() {
            Some(LayerConfig::Dense { .. }) => None,
            _ => Some((self.layers.len(), "a chain ends with `> dense`, which gives the answer")),
        }
    }

    /// Says which layer has no answer at a step, where each step is to have one: 1 is the lowest layer.
    pub fn unanswered(&self) -> Option<(usize, String)> {
        let has_none = |layer: &LayerConfig| matches!(layer, LayerConfig::Bidirectional(_)) || layer.rhythm().first > 0;
        let found = self.layers.iter().position(has_none).filter(|_| self.pooling().is_none())?;
        let (problem, remedy) = match &self.layers[found] {
            LayerConfig::Bidirectional(_) => (
                "a bidirectional layer knows nothing before its sequence has ended",
                "take a layer of one direction, as `lstm`",
            ),
            LayerConfig::MaxPool { .. } => ("`maxpool` has no answer before its window is full", "leave it out"),
            _ => ("a valid convolution has no answer before its window is full", "leave `valid` out"),
        };
        Some((found + 1, format!("{problem}, and the task asks for an answer at each step: {remedy}")))
    }

    /// The first layer that images have in f32 and f16 alone, by its text: a variant of a recurrent cell, or a layer normalization.
    pub fn of_floats(&self) -> Option<String> {
        let is_float =
            |layer: &&LayerConfig| matches!(layer, LayerConfig::Variant { .. } | LayerConfig::LayerNorm { .. });
        self.layers.iter().find(is_float).map(ToString::to_string)
    }

    /// Says which layer no image can hold, and why: 0 is the embedding, 1 the lowest layer.
    pub fn excess(&self) -> Option<(usize, String)> {
        let most = usize::from(MAX_WIDTH);
        // Samples have as many as the data, where nobody says it.
        if self.embedding > most {
            return Some((0, format!("an embedding has from 1 to {most} features, not {}", self.embedding)));
        }
        let mut inputs = self.embedding;
        for (number, layer) in (1..).zip(&self.layers) {
            if let Some(problem) = excess_of_window(layer, inputs).or_else(|| Self::excess_of_directions(layer)) {
                return Some((number, problem));
            }
            if number > MAX_LAYERS {
                let count = self.layers.len();
                let problem = format!("{count} layers behind the embedding, the pooling and the last one included");
                return Some((number, format!("{problem}, are more than the {MAX_LAYERS} that an image holds")));
            }
            let outputs = layer.features(inputs, 1);
            let units = layer.cell().map_or(outputs, |cell| cell.units.max(outputs));
            let columns = if layer.cell().is_some() { inputs.saturating_add(units) } else { outputs };
            // Samples of as many channels as the data has are 0 here, which some layers hand on.
            let hands_on =
                matches!(layer, LayerConfig::Pooling(_) | LayerConfig::LayerNorm { .. } | LayerConfig::MaxPool { .. });
            if outputs == 0 && !hands_on {
                return Some((number, "a layer has at least 1 unit".into()));
            }
            if columns > most {
                let columns = format!("{inputs} inputs and {units} units");
                return Some((number, format!("{columns} are more than the {most} in all that an image holds")));
            }
            inputs = outputs;
        }
        None
    }

    /// Says why no image can hold two directions.
    fn excess_of_directions(layer: &LayerConfig) -> Option<String> {
        let LayerConfig::Bidirectional(both) = layer else { return None };
        let most = usize::from(MAX_LONGEST);
        (!(1..=most).contains(&both.longest))
            .then(|| format!("the longest sequence of two directions has from 1 to {most} steps, not {}", both.longest))
    }

    /// The chain with a pooling: where it has none, `last` behind the last layer that remembers something, or `mean` without a recurrent one.
    pub fn pooled(mut self) -> Self {
        if self.pooling().is_none() {
            let last = self.layers.iter().rposition(LayerConfig::remembers);
            let pooling = if self.cells().next().is_some() { Pooling::Last } else { Pooling::Mean };
            self.layers.insert(last.map_or(0, |last| last + 1), LayerConfig::Pooling(pooling));
        }
        self
    }

    /// The chain without its pooling, so that each step has an answer.
    pub fn each_step(mut self) -> Self {
        self.layers.retain(|layer| !matches!(layer, LayerConfig::Pooling(_)));
        self
    }
}

/// Says why no image can hold a window of frames with so many features.
fn excess_of_window(layer: &LayerConfig, inputs: usize) -> Option<String> {
    let (what, units, frames, stride) = match *layer {
        LayerConfig::Conv1d { units, frames, stride, .. } => ("a convolution", units, frames, stride),
        LayerConfig::MaxPool { frames, stride } => ("`maxpool`", 1, frames, stride),
        _ => return None,
    };
    let limits = [
        ("units", units, usize::from(MAX_UNITS)),
        ("frames", frames, usize::from(MAX_FRAMES)),
        ("steps of stride", stride, usize::from(MAX_STRIDE)),
    ];
    if let Some((of, value, most)) = limits.into_iter().find(|&(_, value, most)| !(1..=most).contains(&value)) {
        return Some(format!("{what} has from 1 to {most} {of}, not {value}"));
    }
    let most = usize::from(MAX_WIDTH);
    let is_convolution = matches!(layer, LayerConfig::Conv1d { .. });
    (is_convolution && frames.saturating_mul(inputs) > most).then(|| {
        format!("{frames} frames of {inputs} features are more than the {most} values that an image holds in a window")
    })
}
