//! What the names of a graph stand for while it is followed: constants, sizes, and the flow of data from its input.

use std::cell::OnceCell;
use std::rc::Rc;

use super::chain::{Both, Direction, Link, Op};
use super::tensor::Const;
use crate::affine::Affine;
use crate::described::{Activation, Merge};

/// What an axis of a flow counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing has said it yet.
    Unknown,
    /// Sequences, of which a description computes one.
    Batch,
    Step,
    Feature,
    /// The two directions of a recurrent layer.
    Direction,
    /// Several axes as one: the steps of all sequences.
    Rows,
    /// It has one place.
    One,
}

impl Role {
    /// What it counts, in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Unknown => "anything",
            Role::Batch => "sequences",
            Role::Step => "steps",
            Role::Feature => "features",
            Role::Direction => "directions",
            Role::Rows => "steps of all sequences",
            Role::One => "nothing",
        }
    }
}

/// An axis of a flow, and its size where the model says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) role: Role,
    pub(crate) size: Option<usize>,
}

impl Axis {
    pub(crate) fn new(role: Role, size: Option<usize>) -> Self {
        Self { role, size }
    }

    pub(crate) fn one() -> Self {
        Self { role: Role::One, size: Some(1) }
    }

    /// Whether it has one place.
    pub(crate) fn is_one(self) -> bool {
        self.size == Some(1)
    }
}

/// An input of the graph that data come from.
#[derive(Debug, PartialEq)]
pub(crate) struct Root {
    pub(crate) name: String,
    /// Whether its numbers are integers: ids.
    pub(crate) is_ids: bool,
    /// The sizes that it declares.
    pub(crate) axes: Vec<Axis>,
}

/// Which outputs of two directions a flow has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    One(usize),
    Two(Merge),
}

/// The outputs of two directions while it is open what becomes of them.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) both: Rc<Both>,
    /// Those of each step, or the last of each direction.
    pub(crate) each_step: bool,
    pub(crate) chosen: Chosen,
}

/// Data: what a chain of operators makes of an input.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) root: Rc<Root>,
    pub(crate) chain: Option<Rc<Link>>,
    pub(crate) axes: Vec<Axis>,
    pub(crate) head: Option<Head>,
    /// Zeros before and behind the steps, which a convolution takes in.
    pub(crate) pads: (usize, usize),
    /// Whether it is the state behind the last step, which a caller may keep.
    pub(crate) is_state: bool,
    /// Whether it is a part of an input, which may be a state of one of several layers, and no data.
    pub(crate) is_part: bool,
    /// Whether its steps come from the last to the first.
    pub(crate) is_reversed: bool,
    /// Whether the model is called with one step at a time, and its caller keeps the state.
    pub(crate) is_stepped: bool,
    /// Whether its graph may spell cells out: then what a node makes of it is [`Spelled`].
    pub(crate) is_spelled: bool,
    /// The axes that one of the role [`Role::Rows`] counts.
    pub(crate) rows: Vec<Axis>,
}

impl Flow {
    /// The flow of an input.
    pub(crate) fn of(root: impl Into<Rc<Root>>) -> Self {
        let root = root.into();
        let axes = root.axes.clone();
        Self {
            root,
            chain: None,
            axes,
            head: None,
            pads: (0, 0),
            is_state: false,
            is_part: false,
            is_reversed: false,
            is_stepped: false,
            is_spelled: false,
            rows: Vec::new(),
        }
    }

    /// Whether no operator has computed anything of the input.
    pub(crate) fn is_input(&self) -> bool {
        self.chain.is_none() && self.head.is_none() && self.pads == (0, 0) && !self.is_reversed
    }

    /// Whether both are made of the same operators over the same input.
    pub(crate) fn same_chain(&self, other: &Flow) -> bool {
        let same = match (&self.chain, &other.chain) {
            (None, None) => true,
            (Some(a), Some(b)) => Rc::ptr_eq(a, b),
            _ => false,
        };
        same && Rc::ptr_eq(&self.root, &other.root)
    }

    pub(crate) fn axis(&self, role: Role) -> Option<usize> {
        self.axes.iter().position(|axis| axis.role == role)
    }

    /// The features of a step, where the model says them.
    pub(crate) fn features(&self) -> Option<usize> {
        self.axis(Role::Feature).and_then(|axis| self.axes[axis].size)
    }

    /// With an operator more; the operators that it has are too many where there is none.
    pub(crate) fn pushed(&self, name: &str, op: Op, features: Option<usize>) -> Option<Self> {
        let chain = Link::over(self.chain.clone(), name, op)?;
        let mut flow = Self { chain: Some(chain), head: None, is_state: false, ..self.clone() };
        if let Some(axis) = flow.axis(Role::Feature) {
            flow.axes[axis].size = features.or(flow.axes[axis].size);
        }
        Some(flow)
    }

    /// With what is open of two directions in its chain.
    pub(crate) fn settled(&self) -> Option<Self> {
        let Some(Head { both, each_step, chosen }) = &self.head else { return Some(self.clone()) };
        let (name, both, features) = (both.name.clone(), Rc::clone(both), self.features());
        match *chosen {
            Chosen::One(direction) => {
                let op = Op::Recurrent { both, direction, is_aligned: *each_step };
                let flow = self.pushed(&name, op, features)?;
                if *each_step { Some(flow) } else { flow.pushed(&name, Op::Last, features) }
            }
            Chosen::Two(merge) => {
                let directions = [(Rc::clone(&both), 0), (both, 1)];
                self.pushed(&name, Op::Directions { directions, merge, each_step: *each_step }, features)
            }
        }
    }
}

/// The last operator of a flow where that is one direction of a recurrent one.
struct End {
    direction: Direction,
    is_back: bool,
    each_step: bool,
    below: Option<Rc<Link>>,
}

impl End {
    fn of(flow: &Flow) -> Option<Self> {
        let end = |(both, direction): (&Rc<Both>, usize), each_step, below: &Option<Rc<Link>>| {
            let is_back = both.backwards.get(direction).copied()?;
            Some(End { direction: (Rc::clone(both), direction), is_back, each_step, below: below.clone() })
        };
        if let Some(Head { both, each_step, chosen: Chosen::One(direction) }) = &flow.head {
            return end((both, *direction), *each_step, &flow.chain);
        }
        let top = flow.chain.as_ref().filter(|_| flow.head.is_none())?;
        match (&top.op, top.below.as_deref()) {
            (Op::Recurrent { both, direction, is_aligned: true }, _) => end((both, *direction), true, &top.below),
            (Op::Last, Some(Link { op: Op::Recurrent { both, direction, .. }, below, .. })) => {
                let end = end((both, *direction), false, below)?;
                // The last step of one that reads back and is brought back is none of its last outputs.
                let is_aligned = matches!(&top.below.as_deref()?.op, Op::Recurrent { is_aligned: true, .. });
                (!(end.is_back && is_aligned)).then_some(end)
            }
            _ => None,
        }
    }
}

/// Two directions over the same steps as one flow with the axes of the first; nothing of any other pair.
pub(crate) fn joined(first: &Flow, second: &Flow, merge: Merge) -> Option<Flow> {
    let (a, b) = (End::of(first)?, End::of(second)?);
    let under = |end: &End, flow: &Flow| Flow { chain: end.below.clone(), head: None, ..flow.clone() };
    let (below, other) = (under(&a, first), under(&b, second));
    let fits = below.same_chain(&other) && a.each_step == b.each_step && !a.is_back && b.is_back;
    if !fits || first.axes.len() != second.axes.len() {
        return None;
    }
    let features = match merge {
        Merge::Concat => first.features()?.checked_add(second.features()?)?,
        _ => first.features()?,
    };
    let name = a.direction.0.name.clone();
    let op = Op::Directions { directions: [a.direction, b.direction], merge, each_step: a.each_step };
    below.pushed(&name, op, Some(features))
}

/// Sizes and places, as far as they are known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ints {
    pub(crate) values: Vec<Option<i64>>,
    /// Whether it is one number without an axis.
    pub(crate) is_scalar: bool,
}

/// What a layer normalization is spelled out in, of the features x of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// mean(x)
    Mean,
    /// x - mean(x)
    Centered,
    /// (x - mean(x))²
    Square,
    /// mean of that, and what is added to it
    Variance(f32),
    /// its root
    Root(f32),
}

/// The numbers of one step of one sequence, in a graph that spells cells out: each is one of those of a term.
#[derive(Debug, Clone)]
pub(crate) struct Spelled {
    pub(crate) term: Rc<Term>,
    /// The sizes of its axes; an axis without a number has one place.
    pub(crate) dims: Vec<usize>,
    /// Of each number, in the order of the axes, its place in the term.
    pub(crate) places: Rc<Vec<usize>>,
}

/// What a node computes.
#[derive(Debug)]
pub(crate) struct Term {
    /// What the file calls the node.
    pub(crate) name: String,
    /// Its operator.
    pub(crate) operator: String,
    /// Terms that stand in one another, this one the last.
    pub(crate) depth: usize,
    pub(crate) made: Made,
    /// The same as data, once that was asked for.
    pub(crate) flow: OnceCell<Flow>,
    /// The step of a cell that it is: of a simple recurrent one, once it was read as data.
    pub(crate) step: OnceCell<Rc<Step>>,
}

/// What the numbers of a term are made of, one for each.
#[derive(Debug)]
pub(crate) enum Made {
    /// An input of the graph, and its number among the inputs.
    Input(Rc<Root>, usize),
    /// What other operators make of data.
    Flow(Flow),
    /// W·x of a matrix units × inputs.
    Product {
        of: Spelled,
        kernel: Const,
    },
    /// scale∘x + shift, and the name of its tensor.
    Affine {
        of: Spelled,
        affine: Affine,
        source: String,
    },
    Activation(Spelled, Activation),
    Sum(Spelled, Spelled),
    /// The first less the second.
    Difference(Spelled, Spelled),
    Times(Spelled, Spelled),
    /// One behind the other.
    Joined(Vec<Spelled>),
}

/// A step of a cell that is spelled out: with a state that comes in, and the next one.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) both: Rc<Both>,
    /// The next h, as data.
    pub(crate) flow: Flow,
    /// h, as it comes in.
    pub(crate) hidden: Spelled,
    /// c of an LSTM, as it comes in, and the next one.
    pub(crate) cell: Option<(Spelled, Spelled)>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Const(Const),
    Ints(Ints),
    /// One number in every place of a shape that may not be known.
    Filled(f32),
    Flow(Flow),
    /// A part of the normalization of a flow.
    Part(Flow, Part),
    /// Data of one step, in a graph that spells cells out.
    Spelled(Spelled),
    /// A state that only a caller keeps: the cell of an LSTM behind the last step, or the states of several layers.
    State,
}

impl Value {
    /// As sizes or places, where it can be some.
    pub(crate) fn ints(&self) -> Option<Ints> {
        match self {
            Value::Ints(ints) => Some(ints.clone()),
            Value::Const(tensor) if !tensor.is_float() && tensor.dims().len() <= 1 => {
                let values = tensor.ints()?.into_iter().map(Some).collect();
                Some(Ints { values, is_scalar: tensor.dims().is_empty() })
            }
            _ => None,
        }
    }

    /// What it is, in words.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Value::Const(_) => "a constant",
            Value::Ints(_) => "a shape",
            Value::Filled(_) => "a constant of a shape that is computed",
            Value::Flow(_) | Value::Spelled(_) => "data",
            Value::Part(..) => "a part of a normalization",
            Value::State => "a state",
        }
    }
}
