//! The operators that a flow has gone through, each over the one below it. They hold no numbers, but constants that are read when layers are made.

use std::rc::Rc;

use super::tensor::Const;
use crate::affine::Affine;
use crate::described::{Activation, Cell, MaxPool, Merge, Padding, Pooling};

/// Most operators of a chain.
pub(crate) const LONGEST: usize = 512;

/// The activations of one direction: of gates (of an RNN: of its sums), of candidates, of an LSTM's cell.
pub(crate) type Activations = [Activation; 3];

/// The blocks of rows of a recurrent operator, one for each gate.
#[derive(Debug)]
pub(crate) enum Gates {
    /// All in one tensor [directions, gates·units, …], in the order of the file.
    Whole(Const),
    /// A tensor for each gate of each direction, in the order of a description.
    Each(Vec<Vec<Const>>),
}

impl Gates {
    /// The name of its tensor; of several, that of the first.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Whole(tensor) => tensor.name(),
            Self::Each(directions) => directions.iter().flatten().next().map_or("", Const::name),
        }
    }

    /// The rows of one gate, by its places in a description and in the file.
    pub(crate) fn block(&self, direction: usize, (place, in_file): (usize, usize), units: usize) -> Option<Const> {
        match self {
            Self::Whole(tensor) => tensor.picked(0, direction)?.sliced(0, in_file * units, 1, units),
            Self::Each(directions) => directions.get(direction)?.get(place).cloned(),
        }
    }
}

/// A recurrent operator with one direction or two.
///
/// ```text
/// W    [directions, gates·units, inputs]      R    [directions, gates·units, units]      gates i, o, f, c; z, r, h
/// B    [directions, 2·gates·units]            P    [directions, 3·units]                 of i, o, f
/// h0, c0 [directions, sequences, units]
/// ```
/// These are the shapes of ONNX; TensorFlow Lite has a tensor for each gate, and one bias.
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) name: String,
    pub(crate) cell: Cell,
    pub(crate) units: usize,
    pub(crate) inputs: usize,
    pub(crate) kernel: Gates,
    pub(crate) recurrent_kernel: Gates,
    pub(crate) bias: Option<Gates>,
    pub(crate) peepholes: Option<Gates>,
    /// P of each direction, features × units; empty where the hidden state is not projected.
    pub(crate) projections: Vec<Const>,
    pub(crate) initial_hidden: Option<Const>,
    pub(crate) initial_cell: Option<Const>,
    /// Of each direction, whether it reads the steps back.
    pub(crate) backwards: Vec<bool>,
    pub(crate) activations: Vec<Activations>,
    pub(crate) clip: Option<f32>,
    /// What the cell, and the projected state, are held to.
    pub(crate) state_clips: (Option<f32>, Option<f32>),
    pub(crate) coupled: bool,
    /// Whether the rows of the input gate are those of the forget gate, whose negative they get: σ(-z) = 1 - σ(z).
    pub(crate) is_mirrored: bool,
}

impl Both {
    /// Features of its hidden state.
    pub(crate) fn features(&self) -> usize {
        self.projections.first().and_then(|projection| projection.dims().first().copied()).unwrap_or(self.units)
    }
}

/// One direction of a recurrent operator, by its number there.
pub(crate) type Direction = (Rc<Both>, usize);

/// What an operator does with each step, or with the steps.
#[derive(Debug)]
pub(crate) enum Op {
    /// A row of the table, ids × features, for each id.
    Embedding(Const),
    /// W·x of a matrix units × inputs.
    Product(Const),
    /// scale∘x + shift, and the name of its tensor.
    Affine(Affine, String),
    /// Each feature, held to at most these numbers, or to at least these.
    Held {
        values: Vec<f64>,
        is_most: bool,
    },
    Activation(Activation),
    /// One direction of a recurrent operator.
    Recurrent {
        both: Rc<Both>,
        direction: usize,
        /// Whether the outputs of one that reads back stand at the steps that it read.
        is_aligned: bool,
    },
    /// Two directions: the first reads forward, the second back.
    Directions {
        directions: [Direction; 2],
        merge: Merge,
        each_step: bool,
    },
    /// The last step.
    Last,
    /// Any other pooling of all steps.
    Pooling(Pooling),
    /// W over windows, units × inputs × frames.
    Conv {
        kernel: Const,
        stride: usize,
        padding: Padding,
    },
    MaxPool(MaxPool),
    LayerNorm {
        scale: Option<Const>,
        shift: Option<Const>,
        epsilon: f32,
        /// How many features it normalizes, where its node knows.
        features: Option<usize>,
    },
}

/// An operator over those below it.
#[derive(Debug)]
pub(crate) struct Link {
    /// What the file calls its node.
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) below: Option<Rc<Link>>,
    depth: usize,
}

impl Link {
    /// An operator over a chain; nothing where they would be too many.
    pub(crate) fn over(below: Option<Rc<Link>>, name: &str, op: Op) -> Option<Rc<Self>> {
        let depth = below.as_ref().map_or(1, |below| below.depth + 1);
        (depth <= LONGEST).then(|| Rc::new(Self { name: name.to_owned(), op, below, depth }))
    }

    /// A chain, the lowest operator first.
    pub(crate) fn upwards(top: Option<&Rc<Link>>) -> Vec<&Link> {
        let mut links: Vec<&Link> =
            std::iter::successors(top.map(|link| &**link), |link| link.below.as_deref()).collect();
        links.reverse();
        links
    }
}
