//! The operators that a flow has gone through, each over the one below it. They hold no numbers, but constants that are read when layers are made.

use std::rc::Rc;

use super::tensor::Const;
use crate::affine::Affine;
use crate::described::{Activation, Cell, MaxPool, Merge, Padding, Pooling};

/// Most operators of a chain.
const LONGEST: usize = 512;

/// The activations of one direction: of gates (of an RNN: of its sums), of candidates, of an LSTM's cell.
pub(super) type Activations = [Activation; 3];

/// A recurrent operator with one direction or two.
///
/// ```text
/// W    [directions, gates·units, inputs]      R    [directions, gates·units, units]      gates i, o, f, c; z, r, h
/// B    [directions, 2·gates·units]            P    [directions, 3·units]                 of i, o, f
/// h0, c0 [directions, sequences, units]
/// ```
#[derive(Debug)]
pub(super) struct Both {
    pub(super) name: String,
    pub(super) cell: Cell,
    pub(super) units: usize,
    pub(super) inputs: usize,
    pub(super) kernel: Const,
    pub(super) recurrent_kernel: Const,
    pub(super) bias: Option<Const>,
    pub(super) peepholes: Option<Const>,
    pub(super) initial_hidden: Option<Const>,
    pub(super) initial_cell: Option<Const>,
    /// Of each direction, whether it reads the steps back.
    pub(super) backwards: Vec<bool>,
    pub(super) activations: Vec<Activations>,
    pub(super) clip: Option<f32>,
    pub(super) coupled: bool,
}

/// One direction of a recurrent operator, by its number there.
pub(super) type Direction = (Rc<Both>, usize);

/// What an operator does with each step, or with the steps.
#[derive(Debug)]
pub(super) enum Op {
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
    },
}

/// An operator over those below it.
#[derive(Debug)]
pub(super) struct Link {
    /// What the file calls its node.
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) below: Option<Rc<Link>>,
    depth: usize,
}

impl Link {
    /// An operator over a chain; nothing where they would be too many.
    pub(super) fn over(below: Option<Rc<Link>>, name: &str, op: Op) -> Option<Rc<Self>> {
        let depth = below.as_ref().map_or(1, |below| below.depth + 1);
        (depth <= LONGEST).then(|| Rc::new(Self { name: name.to_owned(), op, below, depth }))
    }

    /// A chain, the lowest operator first.
    pub(super) fn upwards(top: Option<&Rc<Link>>) -> Vec<&Link> {
        let mut links: Vec<&Link> =
            std::iter::successors(top.map(|link| &**link), |link| link.below.as_deref()).collect();
        links.reverse();
        links
    }
}
