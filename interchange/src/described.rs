//! The neutral description of a model.

use serde::{Deserialize, Serialize};

use crate::Layout;

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

/// What a recurrent layer does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Gates in the order input, forget, candidate, output: PyTorch's i, f, g, o and Keras's i, f, c, o.
    Lstm,
    /// Gates in the order update, reset, candidate: Keras's z, r, h.
    Gru {
        /// Whether the reset gate acts after the product with U, which then has a bias of its own.
        reset_after: bool,
    },
    /// One row a unit.
    Rnn {
        /// What the sums go through.
        activation: Activation,
    },
}

/// What the sums of a simple recurrent layer go through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// tanh(x)
    #[default]
    Tanh,
    /// max(x, 0)
    Relu,
}

impl Kind {
    /// Rows of a unit.
    pub fn gates(self) -> usize {
        match self {
            Kind::Lstm => 4,
            Kind::Gru { .. } => 3,
            Kind::Rnn { .. } => 1,
        }
    }
}

/// A recurrent layer of `units` units; rows `gate · units + unit` in the order of its [`Kind`].
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrent {
    /// What it does with its rows.
    pub kind: Kind,
    /// Hidden features.
    pub units: usize,
    /// W, gates·units × inputs.
    pub kernel: Matrix,
    /// U, gates·units × units.
    pub recurrent_kernel: Matrix,
    /// b, gates·units.
    pub bias: Vec<f32>,
    /// The bias of the product with U, gates·units, of a GRU whose reset acts after it.
    pub recurrent_bias: Option<Vec<f32>>,
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

/// A model: embedding, recurrent layers, pooling, dense head.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The layout of its file.
    pub layout: Layout,
    /// One row an id.
    pub embedding: Matrix,
    /// The recurrent layers, the lowest first.
    pub layers: Vec<Recurrent>,
    /// The head's kernel, outputs × features.
    pub head: Matrix,
    /// The head's bias, one an output.
    pub head_bias: Vec<f32>,
    /// How the steps become one vector, where the file says it.
    pub pooling: Option<Pooling>,
    /// What unknown words do, where the file says it.
    pub unknown: Option<Unknown>,
    /// The words in the order of the embedding's rows, where the file says them.
    pub vocabulary: Option<Vec<String>>,
    /// What a token is, where the file says it.
    pub tokens: Option<Tokens>,
    /// What the characters beyond ASCII are, where the file says it: the entries of Latch's character table, in ascending order.
    pub characters: Option<Vec<u32>>,
    /// What the outputs mean, where the file says it.
    pub task: Option<Task>,
    /// The names of the classes in the order of their numbers, where the file says them.
    pub classes: Option<Vec<String>>,
}
