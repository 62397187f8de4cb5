//! Recurrent layers: cells with their gates in one order, in one direction and in both.

use super::{Activation, Matrix, Vector};

/// What a recurrent layer does with its rows.
///
/// ```text
/// Lstm   i, f, o = gate(W·x + U·h + b)    g = act(W·x + U·h + b)    c = f∘c + i∘g    h = o ∘ out(c)
///        i, f: W·x + U·h + b + p∘c        o: W·x + U·h + b + p∘c of the new c      with peepholes p
///        f = 1 - i                                                                 where the gates are coupled
///        h = P·(o ∘ out(c))                                                        with a projection P
/// Gru    z, r = gate(W·x + b + U·h + b_h)                           h = (1 - z)∘n + z∘h
///        n = act(W·x + b + r ∘ (U·h + b_h))     reset after the product
///        n = act(W·x + b + U·(r∘h))             reset before it, without b_h
/// Rnn    h = act(W·x + U·h + b)
/// ```
/// With a clip L, the sums of gates, candidates and simple layers are held to [-L, L] before their activation; the cell on its way to h is not. With a clip of the cell, c is held
/// to it before the output gate sees it; with a clip of the projection, P·(o ∘ out(c)). Peepholes: Gers and Schmidhuber, "Recurrent nets that time and count", 2000; coupled gates: Greff
/// et al., "LSTM: a search space odyssey", 2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Gates in the order input, forget, candidate, output: PyTorch's i, f, g, o and Keras's i, f, c, o.
    Lstm,
    /// Gates in the order update, reset, candidate: Keras's z, r, h.
    Gru {
        /// Whether the reset gate acts after the product with U, which then has a bias of its own.
        reset_after: bool,
    },
    /// One row a unit.
    Rnn,
}

impl Cell {
    /// Rows of a unit.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
            Cell::Rnn => 1,
        }
    }

    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Lstm => "lstm",
            Cell::Gru { .. } => "gru",
            Cell::Rnn => "rnn",
        }
    }
}

/// A recurrent layer of `units` units; rows `gate · units + unit` in the order of its [`Cell`].
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrent {
    /// What it does with its rows.
    pub cell: Cell,
    /// Hidden features.
    pub units: usize,
    /// What candidates go through, or the sums of a simple recurrent layer; tanh as a rule.
    pub activation: Activation,
    /// What gates go through; sigmoid as a rule, and without a meaning in a simple recurrent layer.
    pub gate_activation: Activation,
    /// What the cell of an LSTM goes through on its way to h, where that is not `activation`.
    pub output_activation: Option<Activation>,
    /// W, gates·units × inputs.
    pub kernel: Matrix,
    /// U, gates·units × [`features`](Self::features).
    pub recurrent_kernel: Matrix,
    /// b, gates·units.
    pub bias: Vector,
    /// The bias of the product with U, gates·units, of a GRU whose reset acts after it.
    pub recurrent_bias: Option<Vector>,
    /// P, features × units, of an LSTM whose hidden state is projected: Sak, Senior and Beaufays, "Long short-term memory recurrent neural network
    /// architectures for large scale acoustic modeling", 2014.
    pub projection: Option<Matrix>,
    /// h before the first step, features; zeros where there is none.
    pub initial_hidden: Option<Vector>,
    /// c before the first step, units, of an LSTM; zeros where there is none.
    pub initial_cell: Option<Vector>,
    /// p, 3·units, of an LSTM whose gates see its cell: of the input, the forget and the output gate.
    pub peepholes: Option<Vector>,
    /// What the sums are held to before their activations, where they are.
    pub clip: Option<f32>,
    /// What the cell of an LSTM is held to at each step, where it is.
    pub cell_clip: Option<f32>,
    /// What the projected state is held to at each step, where it is.
    pub projection_clip: Option<f32>,
    /// Whether the forget gate of an LSTM is 1 less its input gate; then its own rows have no meaning.
    pub coupled: bool,
    /// Whether it reads the steps from the last to the first. Its outputs have the order in which it reads.
    pub backwards: bool,
    /// Whether the outputs of a layer that reads backwards are brought back to the steps that it read.
    pub aligned: bool,
}

impl Recurrent {
    /// A layer that begins with zeros and has the usual activations.
    pub fn new(cell: Cell, units: usize, (kernel, recurrent_kernel): (Matrix, Matrix), bias: Vector) -> Self {
        Self {
            cell,
            units,
            activation: Activation::Tanh,
            gate_activation: Activation::Sigmoid,
            output_activation: None,
            kernel,
            recurrent_kernel,
            bias,
            recurrent_bias: None,
            projection: None,
            initial_hidden: None,
            initial_cell: None,
            peepholes: None,
            clip: None,
            cell_clip: None,
            projection_clip: None,
            coupled: false,
            backwards: false,
            aligned: false,
        }
    }

    /// Features of its hidden state: its units, or what they are projected to.
    pub fn features(&self) -> usize {
        self.projection.as_ref().map_or(self.units, |projection| projection.rows)
    }

    /// Its matrices, the kernel first.
    pub(super) fn matrices(&self) -> Vec<&Matrix> {
        [&self.kernel, &self.recurrent_kernel].into_iter().chain(&self.projection).collect()
    }

    /// Its vectors, the bias first.
    pub(super) fn vectors(&self) -> Vec<&Vector> {
        let more = [&self.recurrent_bias, &self.peepholes, &self.initial_hidden, &self.initial_cell];
        std::iter::once(&self.bias).chain(more.into_iter().flatten()).collect()
    }

    /// Whether a value of its state before the first step is not zero.
    pub fn begins_elsewhere(&self) -> bool {
        let initial = [&self.initial_hidden, &self.initial_cell];
        initial.into_iter().flatten().any(|vector| vector.values.iter().any(|value| *value != 0.0))
    }
}

/// How the outputs of two directions become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Those of the first, then those of the second.
    Concat,
    /// a + b
    Sum,
    /// a ∘ b
    Product,
    /// (a + b) / 2
    Mean,
}

/// Two recurrent layers over the same steps, one from the first to the last and one back. The outputs of both stand at the step that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Bidirectional {
    /// From the first step to the last.
    pub forward: Recurrent,
    /// From the last step to the first; [`Recurrent::backwards`] is true.
    pub backward: Recurrent,
    /// How both become one.
    pub merge: Merge,
    /// Whether each step has an output; else there is one, of the state of each direction behind the last step that it reads.
    pub each_step: bool,
}

impl Bidirectional {
    /// Features of its output.
    pub fn features(&self) -> usize {
        match self.merge {
            Merge::Concat => self.forward.features() + self.backward.features(),
            Merge::Sum | Merge::Product | Merge::Mean => self.forward.features(),
        }
    }
}
