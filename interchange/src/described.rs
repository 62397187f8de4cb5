//! The neutral description of a model: one chain from its input to its answer.
//!
//! ```text
//! ids ──embedding──┐
//!                  ├──> x_t ──layer──> ... ──layer──> y_t        a pooling makes one y of all steps
//! samples ─────────┘
//! answer = gain.output · (y_t + s_t)                             s_t: the sample that skips the network, of audio models
//! ```
//!
//! Every matrix is `outputs × inputs` and row-major, whatever its file says. Gates have one order: [`Cell`]. [`Kind`] is the only list of kinds of
//! layers; [`Described::check`] holds one chain together, and every reader calls it.

mod checks;
mod recurrent;

use serde::{Deserialize, Serialize};

use crate::Layout;

pub use checks::Limits;
pub use recurrent::{Bidirectional, Cell, Merge, Recurrent};

/// A matrix, row-major.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    /// The tensor that it came from; empty in a description that no file gave.
    pub source: String,
    /// Rows: outputs of a kernel, ids of an embedding.
    pub rows: usize,
    /// Columns: inputs of a kernel, features of an embedding.
    pub columns: usize,
    /// `rows × columns` values.
    pub values: Vec<f32>,
}

impl Matrix {
    /// The transpose.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let Self { source, rows, columns, values } = self;
        let values =
            (0..*columns).flat_map(|column| (0..*rows).map(move |row| values[row * columns + column])).collect();
        Self { source: source.clone(), rows: *columns, columns: *rows, values }
    }
}

/// A vector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vector {
    /// The tensor that it came from; empty in a description that no file gave.
    pub source: String,
    /// Its values.
    pub values: Vec<f32>,
}

/// What the sums of a layer go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x
    Linear,
    /// max(x, 0)
    Relu,
    /// tanh(x)
    #[default]
    Tanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// e^x / Σ e^x over the outputs, of the last layer alone.
    Softmax,
    /// clamp(0.2·x + 0.5, 0, 1): that of Keras 1 and 2.
    HardSigmoid,
    /// clamp(x/6 + 0.5, 0, 1): that of Keras 3, under the same name.
    HardSigmoidSixth,
    /// clamp(α·x + β, 0, 1) with other numbers than the two above.
    #[serde(skip)]
    HardSigmoidOf(f32, f32),
    /// α·x + β
    #[serde(skip)]
    Affine(f32, f32),
    /// x where it is at least 0, else α·x
    #[serde(skip)]
    LeakyRelu(f32),
    /// x where it is greater than α, else 0
    #[serde(skip)]
    ThresholdedRelu(f32),
    /// α·tanh(β·x)
    #[serde(skip)]
    ScaledTanh(f32, f32),
    /// x where it is at least 0, else α·(eˣ - 1)
    #[serde(skip)]
    Elu(f32),
    /// x / (1 + |x|)
    #[serde(skip)]
    Softsign,
    /// ln(1 + eˣ)
    #[serde(skip)]
    Softplus,
}

impl Activation {
    /// Its name, as metadata and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
            Self::HardSigmoid => "hard-sigmoid",
            Self::HardSigmoidSixth => "hard-sigmoid-sixth",
            Self::HardSigmoidOf(..) => "hard-sigmoid with numbers of its own",
            Self::Affine(..) => "affine",
            Self::LeakyRelu(_) => "leaky relu",
            Self::ThresholdedRelu(_) => "thresholded relu",
            Self::ScaledTanh(..) => "scaled tanh",
            Self::Elu(_) => "elu",
            Self::Softsign => "softsign",
            Self::Softplus => "softplus",
        }
    }

    /// The numbers in its equation.
    pub fn numbers(self) -> Vec<f32> {
        match self {
            Self::HardSigmoidOf(alpha, beta) | Self::Affine(alpha, beta) | Self::ScaledTanh(alpha, beta) => {
                vec![alpha, beta]
            }
            Self::LeakyRelu(alpha) | Self::ThresholdedRelu(alpha) | Self::Elu(alpha) => vec![alpha],
            _ => Vec::new(),
        }
    }
}

/// `y = scale ∘ (x - mean(x)) / sqrt(variance(x) + epsilon) + shift` over the features of a step: Ba, Kiros and Hinton, "Layer normalization", 2016.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// γ, a value a feature.
    pub scale: Vector,
    /// β, a value a feature.
    pub shift: Vector,
    /// What keeps the root from zero.
    pub epsilon: f32,
}

/// The largest value of each feature in a window that ends at the steps frames - 1, frames - 1 + stride …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Steps of its window.
    pub frames: usize,
    /// Steps from one of its outputs to the next.
    pub stride: usize,
}

/// One row of features an id.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// ids × features.
    pub table: Matrix,
    /// Whether id 0 is padding, which no layer above sees.
    pub mask_zero: bool,
}

/// What a window reads where the sequence has no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The window ends with the step of its output, with zeros before the first.
    Causal,
    /// The step of its output is the middle of the window, with zeros around the sequence.
    Same,
    /// The window lies within the sequence, which has frames - 1 outputs less than steps.
    Valid,
}

impl Padding {
    /// Its name, as Keras has it.
    pub fn name(self) -> &'static str {
        match self {
            Padding::Causal => "causal",
            Padding::Same => "same",
            Padding::Valid => "valid",
        }
    }
}

/// A convolution over time: `y = act(b + Σ_k W_k · x_{t - frames + 1 + k})` at the first step that its padding allows, and each stride steps behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv1d {
    /// Frames of its window.
    pub frames: usize,
    /// Steps from one of its outputs to the next.
    pub stride: usize,
    /// What its window reads beyond the sequence.
    pub padding: Padding,
    /// What its sums go through.
    pub activation: Activation,
    /// W, units × frames·inputs, the oldest frame first.
    pub kernel: Matrix,
    /// b, units.
    pub bias: Vector,
}

/// `y = act(W·x + b)`
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// W, units × inputs.
    pub kernel: Matrix,
    /// b, units.
    pub bias: Vector,
    /// What its sums go through.
    pub activation: Activation,
}

/// What a layer is: the only list of them.
// A chain has few layers, and what a recurrent one says of itself is small beside its weights.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A row an id; the lowest layer of a model that reads ids, and of no other.
    Embedding(Embedding),
    /// An LSTM, a GRU or a simple recurrent layer.
    Recurrent(Recurrent),
    /// A convolution over time.
    Conv1d(Conv1d),
    /// A dense layer, at each step or behind the pooling.
    Dense(Dense),
    /// From all steps to one vector.
    Pooling(Pooling),
    /// Recurrent, in both directions.
    Bidirectional(Box<Bidirectional>),
    /// Normalization of each step.
    LayerNorm(LayerNorm),
    /// Largest values over time.
    MaxPool(MaxPool),
    /// Steps whose every feature has this value are no steps to the recurrent layers above, and to a mean.
    Masking(f32),
    /// What each feature goes through, behind a layer that has none of its own.
    Activation(Activation),
}

impl Kind {
    /// Its name, as reports have it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Embedding(_) => "embedding",
            Kind::Recurrent(layer) => layer.cell.name(),
            Kind::Conv1d(_) => "conv1d",
            Kind::Dense(_) => "dense",
            Kind::Pooling(pooling) => pooling.name(),
            Kind::Bidirectional(_) => "bidirectional",
            Kind::LayerNorm(_) => "layer normalization",
            Kind::MaxPool(_) => "max pooling over time",
            Kind::Masking(_) => "masking",
            Kind::Activation(activation) => activation.name(),
        }
    }

    /// Features of its output, from those of its input.
    pub fn features(&self, inputs: usize) -> usize {
        match self {
            Kind::Embedding(layer) => layer.table.columns,
            Kind::Recurrent(layer) => layer.features(),
            Kind::Conv1d(layer) => layer.kernel.rows,
            Kind::Dense(layer) => layer.kernel.rows,
            Kind::Bidirectional(layer) => layer.features(),
            Kind::Pooling(_) | Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) | Kind::Activation(_) => inputs,
        }
    }

    /// Its matrices, the kernel first.
    pub fn matrices(&self) -> Vec<&Matrix> {
        match self {
            Kind::Embedding(layer) => vec![&layer.table],
            Kind::Recurrent(layer) => layer.matrices(),
            Kind::Conv1d(layer) => vec![&layer.kernel],
            Kind::Dense(layer) => vec![&layer.kernel],
            Kind::Bidirectional(layer) => [layer.forward.matrices(), layer.backward.matrices()].concat(),
            Kind::Pooling(_) | Kind::LayerNorm(_) | Kind::MaxPool(_) | Kind::Masking(_) | Kind::Activation(_) => {
                Vec::new()
            }
        }
    }

    /// Its vectors, the bias first.
    pub fn vectors(&self) -> Vec<&Vector> {
        match self {
            Kind::Embedding(_) | Kind::Pooling(_) | Kind::MaxPool(_) | Kind::Masking(_) | Kind::Activation(_) => {
                Vec::new()
            }
            Kind::Recurrent(layer) => layer.vectors(),
            Kind::Bidirectional(layer) => [layer.forward.vectors(), layer.backward.vectors()].concat(),
            Kind::LayerNorm(layer) => vec![&layer.scale, &layer.shift],
            Kind::Conv1d(layer) => vec![&layer.bias],
            Kind::Dense(layer) => vec![&layer.bias],
        }
    }
}

/// A layer of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What its file calls it, as `lstm_3`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// How the steps of a sequence become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The hidden state after the last token.
    Last,
    /// The mean over all steps.
    Mean,
    /// The largest value of each feature.
    Max,
    /// The mean, each step with the weight e^(4·h) of its first feature's h, held to [-1, 1].
    Attention,
}

impl Pooling {
    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Last => "last",
            Pooling::Mean => "mean",
            Pooling::Max => "max",
            Pooling::Attention => "attention",
        }
    }
}

/// What a token of the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tokens {
    /// Words, symbols and marks.
    Words,
    /// The same, with Hangul syllables as tokens of their own.
    Syllables,
    /// Letters in lower case, digits, symbols and marks.
    Chars,
    /// The same with letters as they are.
    CharsCased,
}

/// What a word does that is not in the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// It has the last row of the embedding.
    Row,
    /// It is left out.
    Skip,
}

/// What the head's outputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Logits of classes, one answer a text; of two classes there is one logit, positive for the second.
    Classify,
    /// A value a text.
    Regress,
    /// Logits of classes for each token.
    Tag,
    /// A value for each token.
    RegressEach,
}

/// Which file a description came from, or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Safetensors, with the names and shapes of a framework.
    Safetensors(Layout),
    /// JSON of RTNeural and of AIDA-X, with the names and shapes of a framework.
    RtNeural(Layout),
    /// JSON of GuitarML, whose weights are a `state_dict` of PyTorch.
    GuitarMl,
    /// A `.nam` file of Neural Amp Modeler.
    Nam,
    /// HDF5 as Keras writes it: `.h5`.
    KerasH5,
    /// The archive of Keras: `.keras`.
    Keras,
    /// ONNX.
    Onnx,
    /// A model of TensorFlow Lite (.tflite).
    Tflite,
}

impl Format {
    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Safetensors(_) => "safetensors",
            Format::RtNeural(_) => "RTNeural",
            Format::GuitarMl => "GuitarML",
            Format::Nam => "Neural Amp Modeler",
            Format::KerasH5 => "Keras .h5",
            Format::Keras => "Keras .keras",
            Format::Onnx => "ONNX",
            Format::Tflite => "TensorFlow Lite",
        }
    }
}

/// Where a description comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The format of the file.
    pub format: Format,
    /// Version of the tool that wrote it, as the file says it.
    pub version: Option<String>,
    /// What else the file says and no layer has, as `(what, value)`: a name, a loudness.
    pub notes: Vec<(String, String)>,
    /// What the model computed where it was made, where the file keeps it.
    pub probe: Option<Probe>,
}

/// Samples and the answers to them, for a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// steps × channels.
    pub input: Vec<f32>,
    /// steps × outputs; gains and skip are in it.
    pub output: Vec<f32>,
}

impl Source {
    /// A source that says no more than its format.
    pub fn of(format: Format) -> Self {
        Self { format, version: None, notes: Vec::new(), probe: None }
    }
}

/// What a file says of its text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// The words in the order of the embedding's rows, where the file says them.
    pub vocabulary: Option<Vec<String>>,
    /// What a token is, where the file says it.
    pub tokens: Option<Tokens>,
    /// What the characters beyond ASCII are, where the file says it: the entries of Latch's character table, in ascending order.
    pub characters: Option<Vec<u32>>,
    /// What unknown words do, where the file says it.
    pub unknown: Option<Unknown>,
    /// How another program cut the texts, where the file says it: Latch's tokenizer cuts by rules of its own.
    pub cutting: Option<Cutting>,
}

/// What stands for unknown words in most lists.
pub const UNKNOWN_WORDS: [&str; 6] = ["[UNK]", "<unk>", "<UNK>", "<oov>", "<OOV>", "[OOV]"];

/// How a program cuts texts into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutting {
    /// Whether letters are lower-cased.
    pub lower: bool,
    /// Characters that vanish; what stands beside one grows together.
    pub removed: String,
    /// Characters that separate words, beside white space.
    pub separators: String,
    /// Whether each character is a token, blanks too.
    pub of_characters: bool,
}

impl Cutting {
    /// The tokens of a text.
    pub fn cut(&self, text: &str) -> Vec<String> {
        let text = if self.lower { text.to_lowercase() } else { text.to_owned() };
        let kept: String = text.chars().filter(|letter| !self.removed.contains(*letter)).collect();
        if self.of_characters {
            return kept.chars().map(String::from).collect();
        }
        let separates = |letter: char| letter.is_whitespace() || self.separators.contains(letter);
        kept.split(separates).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

/// How a channel of samples is brought into the range of the network: `(x - mean) / scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// What is subtracted.
    pub mean: f32,
    /// What the rest is divided by; not zero.
    pub scale: f32,
}

/// What the channels of an audio model are called: the sound, and knobs beside it.
pub(crate) fn channel_names(channels: usize) -> Vec<String> {
    let name = |channel: usize| if channel == 0 { "input".into() } else { format!("condition {channel}") };
    (0..channels).map(name).collect()
}

/// Samples that a network reads, a value a channel at each step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Channels.
    pub channels: usize,
    /// What the channels are, as `input` and `condition 1`; empty where the file does not say it.
    pub names: Vec<String>,
    /// How each channel is normalized; empty where none is.
    pub normalization: Vec<Normalization>,
    /// What each normalized channel is held to, on both sides of zero; empty where none is.
    pub bounds: Vec<f32>,
    /// Frames between the two samples of a difference x_t - x_{t-N}, which is read in place of x_t; 0 where samples are. Before the first N frames stands the first.
    pub difference: usize,
    /// Frames a second, where the file says it.
    pub rate: Option<f64>,
}

/// What a model reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Ids of tokens, which the lowest layer is a table of.
    Ids(Text),
    /// Samples.
    Samples(Samples),
}

/// What samples are multiplied by before a network, and its answer after the skip; 1 as a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// Before the network; what skips it has this gain too.
    pub input: f32,
    /// Behind it.
    pub output: f32,
}

impl Default for Gain {
    fn default() -> Self {
        Self { input: 1.0, output: 1.0 }
    }
}

/// The sample that goes around a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    /// The channel that it is of.
    pub channel: usize,
    /// Frames before that of the answer; before the first frame stands the first.
    pub lag: usize,
}

impl Skip {
    /// The newest sample of a channel.
    pub fn of(channel: usize) -> Self {
        Self { channel, lag: 0 }
    }
}

/// What the outputs of a model mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The task, where the file says it.
    pub task: Option<Task>,
    /// The names of the classes in the order of their numbers, where the file says them.
    pub classes: Option<Vec<String>>,
}

/// A model: a chain from its input to its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Where it comes from.
    pub source: Source,
    /// What it reads.
    pub input: Input,
    /// Its layers, the lowest first. Without a pooling either each step has an answer, or the file does not say how steps are pooled.
    pub layers: Vec<Layer>,
    /// The sample that is added to the answer.
    pub skip: Option<Skip>,
    /// Gains around it.
    pub gain: Gain,
    /// What its outputs mean.
    pub answer: Answer,
}

impl Described {
    /// The pooling, where there is one.
    pub fn pooling(&self) -> Option<Pooling> {
        self.layers.iter().find_map(|layer| match layer.kind {
            Kind::Pooling(pooling) => Some(pooling),
            // Of the last states of both there is one vector.
            Kind::Bidirectional(ref both) if !both.each_step => Some(Pooling::Last),
            _ => None,
        })
    }

    /// The recurrent layers, the lowest first.
    pub fn recurrent(&self) -> impl Iterator<Item = &Recurrent> {
        self.layers.iter().filter_map(|layer| match &layer.kind {
            Kind::Recurrent(recurrent) => Some(recurrent),
            _ => None,
        })
    }

    /// Each layer, and the features that it reads; 0 of an embedding, which reads an id.
    pub fn fed(&self) -> impl Iterator<Item = (&Layer, usize)> {
        let mut features = match &self.input {
            Input::Ids(_) => 0,
            Input::Samples(samples) => samples.channels,
        };
        self.layers.iter().map(move |layer| {
            let inputs = features;
            features = layer.kind.features(inputs);
            (layer, inputs)
        })
    }

    /// Features of the last layer.
    pub fn outputs(&self) -> usize {
        self.fed().last().map_or(0, |(layer, inputs)| layer.kind.features(inputs))
    }

    /// The number of weights, states before the first step left out.
    pub fn weights(&self) -> usize {
        let initial = |layer: &Recurrent| {
            let vectors = [&layer.initial_hidden, &layer.initial_cell];
            vectors.into_iter().flatten().map(|vector| vector.values.len()).sum::<usize>()
        };
        let of = |kind: &Kind| {
            let matrices: usize = kind.matrices().iter().map(|matrix| matrix.values.len()).sum();
            let vectors: usize = kind.vectors().iter().map(|vector| vector.values.len()).sum();
            matrices + vectors
        };
        let all: usize = self.layers.iter().map(|layer| of(&layer.kind)).sum();
        all - self.recurrent().map(initial).sum::<usize>()
    }
}
