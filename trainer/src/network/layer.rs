//! The layers above the embedding, as one type: the only list of them.

pub mod bidirectional;

use self::bidirectional::{Bidirectional, Directions};
use super::conv1d::{self, Between, Conv1d};
use super::dense::Dense;
use super::gru::{self, Gru};
use super::layernorm::LayerNorm;
use super::lstm::{self, Lstm};
use super::maxpool::MaxPool;
use super::pooling;
use super::recurrent::{Input, Kernels, Line};
use super::rnn::{self, Rnn};
use super::steps::Steps;
use super::variant::{self, Variant};
use crate::config::chain::rhythm::Rhythm;
use crate::config::chain::{LayerConfig, Pooling};
use crate::real::Real;
use nalgebra::DMatrix;
use rand::Rng;

/// A layer above the embedding, with its weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer<T: Real> {
    /// An LSTM layer.
    Lstm(Lstm<T>),
    /// A gated recurrent unit.
    Gru(Gru<T>),
    /// A simple recurrent layer.
    Rnn(Rnn<T>),
    /// A convolution over time.
    Conv1d(Conv1d<T>),
    /// Two recurrent layers, one of them from the last step to the first.
    Bidirectional(Box<Bidirectional<T>>),
    /// A dense layer.
    Dense(Dense<T>),
    /// From all steps to one vector.
    Pooling(Pooling),
    /// A variant of a recurrent cell.
    Variant(Variant<T>),
    /// Normalization of features.
    LayerNorm(LayerNorm<T>),
    /// Largest values over steps.
    MaxPool(MaxPool),
}

/// What the forward pass of a layer leaves for the backward pass. Of the fields those of the layer's kind are used; the others stay empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    pub(crate) lstm: lstm::Tape<T>,
    pub(crate) gru: gru::Tape<T>,
    pub(crate) rnn: rnn::Tape<T>,
    pub(crate) variant: variant::Tape<T>,
    pub(crate) conv1d: conv1d::Tape<T>,
    pub(crate) pooling: pooling::Tape<T>,
    /// Of largest values over steps the column below of each.
    pub(crate) winners: Vec<usize>,
    /// The output of a layer that is not recurrent (features × columns).
    pub(crate) output: Vec<T>,
    /// The derivatives of a dense layer's or a convolution's values in a forward pass of integers (features × columns), else nothing.
    pub(crate) slopes: Vec<T>,
    /// Those of a layer with two directions.
    pub(crate) directions: Option<Box<Directions<T>>>,
}

/// What a layer's way back reads and writes, besides its tape.
pub(crate) struct Backward<'a, T> {
    pub(crate) kernels: &'a Kernels<T>,
    pub(crate) steps: Between<'a>,
    /// Features that the layer reads.
    pub(crate) features: usize,
    /// What the forward pass read (inputs × columns).
    pub(crate) input: &'a [T],
    /// dL/doutput (features × columns); a layer may change it.
    pub(crate) gradient: &'a mut Vec<T>,
    /// Where dL/dinput goes (inputs × columns).
    pub(crate) below: &'a mut Vec<T>,
    /// Whether what lies below the gates is left to the lookup.
    pub(crate) lookup: bool,
}

impl<T: Real> Layer<T> {
    /// A layer of zeros that reads `inputs` features, in a network of `outputs` outputs.
    pub(crate) fn zeros(config: &LayerConfig, inputs: usize, outputs: usize) -> Self {
        match *config {
            LayerConfig::Lstm(cell) => Self::Lstm(Lstm::zeros(inputs, cell.units)),
            LayerConfig::Gru { cell, reset_after } => Self::Gru(Gru::zeros(inputs, cell.units, reset_after)),
            LayerConfig::Rnn { cell, activation } => Self::Rnn(Rnn::zeros(inputs, cell.units, activation)),
            LayerConfig::Conv1d { units, frames, stride, valid, activation, .. } => {
                Self::Conv1d(Conv1d { valid, ..Conv1d::zeros(inputs, units, (frames, stride), activation) })
            }
            LayerConfig::Bidirectional(both) => {
                let direction = || Self::zeros(&both.direction(), inputs, outputs);
                Self::Bidirectional(Box::new(Bidirectional {
                    forward: direction(),
                    backward: direction(),
                    merge: both.merge,
                    ends: false,
                }))
            }
            LayerConfig::Dense { units, activation, .. } => {
                Self::Dense(Dense::zeros(inputs, units.unwrap_or(outputs), activation))
            }
            LayerConfig::Pooling(pooling) => Self::Pooling(pooling),
            LayerConfig::Variant { cell, form } => Self::Variant(Variant::zeros(inputs, cell.units, form)),
            LayerConfig::LayerNorm { epsilon } => Self::LayerNorm(LayerNorm::zeros(inputs, epsilon)),
            LayerConfig::MaxPool { frames, stride } => Self::MaxPool(MaxPool { frames, stride }),
        }
    }

    /// Draws fresh weights.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        match self {
            Self::Lstm(layer) => layer.initialize(rng),
            Self::Gru(layer) => layer.initialize(rng),
            Self::Rnn(layer) => layer.initialize(rng),
            Self::Conv1d(layer) => layer.initialize(rng),
            Self::Bidirectional(layer) => layer.initialize(rng),
            Self::Dense(layer) => layer.initialize(rng),
            Self::Variant(layer) => layer.initialize(rng),
            Self::LayerNorm(layer) => layer.initialize(),
            Self::Pooling(_) | Self::MaxPool(_) => {}
        }
    }

    /// Visits every tensor with its name, in a fixed order: the only list of a layer's tensors is the one in its own file.
    pub fn for_each_tensor<'a>(&'a self, visit: &mut dyn FnMut(&'static str, &'a DMatrix<T>)) {
        match self {
            Self::Lstm(layer) => layer.for_each_tensor(visit),
            Self::Gru(layer) => layer.for_each_tensor(visit),
            Self::Rnn(layer) => layer.for_each_tensor(visit),
            Self::Conv1d(layer) => layer.for_each_tensor(visit),
            Self::Bidirectional(layer) => layer.for_each_tensor(visit),
            Self::Dense(layer) => layer.for_each_tensor(visit),
            Self::Variant(layer) => layer.for_each_tensor(visit),
            Self::LayerNorm(layer) => layer.for_each_tensor(visit),
            Self::Pooling(_) | Self::MaxPool(_) => {}
        }
    }

    /// Visits every tensor to change it, in the order of [`Layer::for_each_tensor`]. A tensor must keep its shape.
    pub fn for_each_tensor_mut<'a>(&'a mut self, visit: &mut dyn FnMut(&'static str, &'a mut DMatrix<T>)) {
        match self {
            Self::Lstm(layer) => layer.for_each_tensor_mut(visit),
            Self::Gru(layer) => layer.for_each_tensor_mut(visit),
            Self::Rnn(layer) => layer.for_each_tensor_mut(visit),
            Self::Conv1d(layer) => layer.for_each_tensor_mut(visit),
            Self::Bidirectional(layer) => layer.for_each_tensor_mut(visit),
            Self::Dense(layer) => layer.for_each_tensor_mut(visit),
            Self::Variant(layer) => layer.for_each_tensor_mut(visit),
            Self::LayerNorm(layer) => layer.for_each_tensor_mut(visit),
            Self::Pooling(_) | Self::MaxPool(_) => {}
        }
    }

    /// The tensors of [`Layer::for_each_tensor`].
    pub fn tensors(&self) -> Vec<(&'static str, &DMatrix<T>)> {
        let mut tensors = Vec::new();
        self.for_each_tensor(&mut |name, tensor| tensors.push((name, tensor)));
        tensors
    }

    /// The tensors of [`Layer::for_each_tensor_mut`].
    pub fn tensors_mut(&mut self) -> Vec<(&'static str, &mut DMatrix<T>)> {
        let mut tensors = Vec::new();
        self.for_each_tensor_mut(&mut |name, tensor| tensors.push((name, tensor)));
        tensors
    }

    /// W and b of a recurrent layer: what can be looked up by ids.
    pub(crate) fn projection(&self) -> Option<(&DMatrix<T>, &DMatrix<T>)> {
        match self {
            Self::Lstm(layer) => Some((&layer.kernel, &layer.bias)),
            Self::Gru(layer) => Some((&layer.kernel, &layer.bias)),
            Self::Rnn(layer) => Some((&layer.kernel, &layer.bias)),
            Self::Variant(layer) => Some((&layer.kernel, &layer.bias)),
            Self::Conv1d(_)
            | Self::Bidirectional(_)
            | Self::Dense(_)
            | Self::Pooling(_)
            | Self::LayerNorm(_)
            | Self::MaxPool(_) => None,
        }
    }

    /// W and b of a recurrent layer, to be changed.
    pub(crate) fn projection_mut(&mut self) -> Option<(&mut DMatrix<T>, &mut DMatrix<T>)> {
        match self {
            Self::Lstm(layer) => Some((&mut layer.kernel, &mut layer.bias)),
            Self::Gru(layer) => Some((&mut layer.kernel, &mut layer.bias)),
            Self::Rnn(layer) => Some((&mut layer.kernel, &mut layer.bias)),
            Self::Variant(layer) => Some((&mut layer.kernel, &mut layer.bias)),
            Self::Conv1d(_)
            | Self::Bidirectional(_)
            | Self::Dense(_)
            | Self::Pooling(_)
            | Self::LayerNorm(_)
            | Self::MaxPool(_) => None,
        }
    }

    /// The tape's line of a recurrent layer.
    pub(crate) fn line<'t>(&self, tape: &'t Tape<T>) -> Option<&'t Line<T>> {
        match self {
            Self::Lstm(_) => Some(&tape.lstm.line),
            Self::Gru(_) => Some(&tape.gru.line),
            Self::Rnn(_) => Some(&tape.rnn.line),
            Self::Variant(_) => Some(&tape.variant.line),
            Self::Conv1d(_)
            | Self::Bidirectional(_)
            | Self::Dense(_)
            | Self::Pooling(_)
            | Self::LayerNorm(_)
            | Self::MaxPool(_) => None,
        }
    }

    /// The tape's line of a recurrent layer, to be changed.
    pub(crate) fn line_mut<'t>(&self, tape: &'t mut Tape<T>) -> Option<&'t mut Line<T>> {
        match self {
            Self::Lstm(_) => Some(&mut tape.lstm.line),
            Self::Gru(_) => Some(&mut tape.gru.line),
            Self::Rnn(_) => Some(&mut tape.rnn.line),
            Self::Variant(_) => Some(&mut tape.variant.line),
            Self::Conv1d(_)
            | Self::Bidirectional(_)
            | Self::Dense(_)
            | Self::Pooling(_)
            | Self::LayerNorm(_)
            | Self::MaxPool(_) => None,
        }
    }

    /// What the forward pass has left as the layer's output (features × columns).
    pub(crate) fn output<'t>(&self, tape: &'t Tape<T>) -> &'t Vec<T> {
        self.line(tape).map_or(&tape.output, |line| &line.hidden)
    }

    /// Takes up the kernels that the forward pass walks.
    pub(crate) fn pack_forward(&self, kernels: &mut Kernels<T>) {
        match self {
            Self::Lstm(layer) => kernels.forward(&layer.kernel, &layer.recurrent_kernel, layer.kernel.nrows()),
            Self::Gru(layer) => kernels.forward(&layer.kernel, &layer.recurrent_kernel, layer.split()),
            Self::Rnn(layer) => kernels.forward(&layer.kernel, &layer.recurrent_kernel, layer.kernel.nrows()),
            Self::Bidirectional(layer) => layer.pack_forward(kernels),
            Self::Variant(layer) => kernels.forward(&layer.kernel, &layer.recurrent_kernel, layer.split()),
            Self::Conv1d(_) | Self::Dense(_) | Self::Pooling(_) | Self::LayerNorm(_) | Self::MaxPool(_) => {}
        }
    }

    /// Takes up the kernels that both passes walk.
    pub(crate) fn pack(&self, kernels: &mut Kernels<T>) {
        match self {
            Self::Lstm(layer) => kernels.update(&layer.kernel, &layer.recurrent_kernel, layer.kernel.nrows()),
            Self::Gru(layer) => kernels.update(&layer.kernel, &layer.recurrent_kernel, layer.split()),
            Self::Rnn(layer) => kernels.update(&layer.kernel, &layer.recurrent_kernel, layer.kernel.nrows()),
            Self::Conv1d(layer) => layer.update(kernels),
            Self::Bidirectional(layer) => layer.pack(kernels),
            Self::Dense(layer) => layer.update(&mut kernels.kernel_transpose),
            Self::Variant(layer) => kernels.update(&layer.kernel, &layer.recurrent_kernel, layer.split()),
            Self::Pooling(_) | Self::LayerNorm(_) | Self::MaxPool(_) => {}
        }
    }

    /// Whether its integers read columns as rows do: bytes of the embedding, or values in Q0.7.
    pub(crate) fn reads_columns(&self) -> bool {
        self.projection().is_some() || matches!(self, Self::Conv1d(_) | Self::Bidirectional(_))
    }

    /// At which of the steps that it reads it answers.
    pub(crate) fn rhythm(&self) -> Rhythm {
        match self {
            Self::Conv1d(layer) => layer.rhythm(),
            Self::MaxPool(layer) => layer.rhythm(),
            _ => Rhythm::EACH,
        }
    }

    /// Units of a recurrent layer; none of any other.
    pub(crate) fn cold_units(&self) -> usize {
        match self {
            Self::Lstm(layer) => layer.units(),
            Self::Gru(layer) => layer.units(),
            Self::Rnn(layer) => layer.units(),
            _ => 0,
        }
    }

    /// The state in which a sequence begins: zeros; nothing of a layer that remembers nothing.
    pub(crate) fn cold(&self) -> Vec<T> {
        let count = match self {
            Self::Lstm(layer) => 2 * layer.units(),
            Self::Gru(layer) => layer.recurrent_kernel.ncols(),
            Self::Rnn(layer) => layer.recurrent_kernel.ncols(),
            Self::Conv1d(layer) => layer.dense.kernel.ncols() / layer.frames * (layer.frames - 1),
            Self::Variant(layer) => layer.features() + layer.cells(),
            // A sequence that goes on has no way back, and no window that must be full.
            Self::Bidirectional(_) | Self::Dense(_) | Self::Pooling(_) | Self::LayerNorm(_) | Self::MaxPool(_) => 0,
        };
        vec![T::zero(); count]
    }

    /// Forgets the states of sequences that go on, and has the next pass keep what those need that will.
    pub(crate) fn forget(&self, tape: &mut Tape<T>) {
        self.line_mut(tape).into_iter().for_each(|line| line.start.clear());
        tape.lstm.start_cells.clear();
        tape.variant.start_cells.clear();
        tape.conv1d.history.clear();
        tape.conv1d.keeps = true;
    }

    /// Takes up the state with which the next sequence of the shard goes on.
    pub(crate) fn go_on(&self, tape: &mut Tape<T>, state: &[T]) {
        match self {
            Self::Conv1d(_) => tape.conv1d.history.extend_from_slice(state),
            Self::Lstm(layer) => {
                let (hidden, cells) = state.split_at(layer.units());
                tape.lstm.line.start.extend_from_slice(hidden);
                tape.lstm.start_cells.extend_from_slice(cells);
            }
            Self::Variant(layer) => {
                let (hidden, cells) = state.split_at(layer.features());
                tape.variant.line.start.extend_from_slice(hidden);
                tape.variant.start_cells.extend_from_slice(cells);
            }
            _ => self.line_mut(tape).into_iter().for_each(|line| line.start.extend_from_slice(state)),
        }
    }

    /// The state of a sequence behind its last step: that of a cell, or the last frames of a convolution. Must follow the forward pass.
    pub(crate) fn state(&self, tape: &Tape<T>, steps: &Steps, sequence: usize) -> Vec<T> {
        // A sequence without a step has the state of the beginning.
        let of = |values: &[T], units: usize| match steps.last(sequence) {
            Some(last) => values[units * steps.token(last, sequence)..][..units].to_vec(),
            None => vec![T::zero(); units],
        };
        match self {
            Self::Conv1d(layer) => layer.kept(&tape.conv1d, sequence).to_vec(),
            Self::Lstm(layer) => {
                let (line, units) = (&tape.lstm.line, layer.units());
                [of(&line.hidden, units), of(&tape.lstm.cells, units)].concat()
            }
            Self::Gru(layer) => of(&tape.gru.line.hidden, layer.units()),
            Self::Rnn(layer) => of(&tape.rnn.line.hidden, layer.units()),
            Self::Variant(layer) => {
                let hidden = of(&tape.variant.line.hidden, layer.features());
                [hidden, of(&tape.variant.cells, layer.cells())].concat()
            }
            Self::Bidirectional(_) | Self::Dense(_) | Self::Pooling(_) | Self::LayerNorm(_) | Self::MaxPool(_) => {
                Vec::new()
            }
        }
    }

    /// Runs the layer over `input` (features × columns: tokens, or sequences after the pooling).
    pub(crate) fn forward(
        &self,
        kernels: &Kernels<T>,
        between: Between<'_>,
        input: Input<'_, T>,
        (features, columns): (usize, usize),
        tape: &mut Tape<T>,
    ) {
        let steps = between.below;
        match (self, input) {
            (Self::Lstm(layer), _) => layer.forward(kernels, steps, input, &mut tape.lstm),
            (Self::Gru(layer), _) => layer.forward(kernels, steps, input, &mut tape.gru),
            (Self::Rnn(layer), _) => layer.forward(kernels, steps, input, &mut tape.rnn),
            (Self::Variant(layer), _) => layer.forward(kernels, steps, input, &mut tape.variant),
            (Self::LayerNorm(layer), Input::Tokens(input)) => layer.forward(input, &mut tape.output),
            (Self::Conv1d(layer), Input::Tokens(input)) => {
                tape.slopes.clear();
                layer.forward(between, input, &mut tape.conv1d, &mut tape.output);
            }
            (Self::Bidirectional(layer), Input::Tokens(input)) => {
                layer.forward(kernels, between, input, features, tape);
            }
            (Self::Dense(layer), Input::Tokens(input)) => {
                tape.slopes.clear();
                layer.forward(input, columns, &mut tape.output);
            }
            (Self::MaxPool(layer), Input::Tokens(input)) => {
                layer.forward(features, between, input, (&mut tape.output, &mut tape.winners));
            }
            (Self::Pooling(pooling), Input::Tokens(input)) => {
                let Tape { pooling: memory, output, .. } = tape;
                pooling.forward(features, steps, input, output, memory);
            }
            (
                Self::Conv1d(_)
                | Self::Bidirectional(_)
                | Self::Dense(_)
                | Self::Pooling(_)
                | Self::LayerNorm(_)
                | Self::MaxPool(_),
                Input::Gates(..),
            ) => {
                debug_assert!(false, "only what has a projection is looked up");
            }
        }
    }

    /// Goes back from dL/doutput to the gradients of the weights, which replace what is in `sums`, a layer of the same shape, and to dL/dinput.
    /// Must follow the forward pass, once.
    pub(crate) fn backward(&self, way: Backward<'_, T>, tape: &mut Tape<T>, sums: &mut Self) {
        if let (Self::Bidirectional(layer), Self::Bidirectional(sums)) = (self, &mut *sums) {
            return layer.backward(way, tape, sums);
        }
        let Backward { kernels, steps: between, features, input, gradient, below, lookup } = way;
        let steps = between.below;
        match (self, &mut *sums) {
            (Self::Lstm(layer), Self::Lstm(sums)) => {
                layer.backward(kernels, steps, &mut tape.lstm, gradient);
                layer.recurrent_gradient(steps, &mut tape.lstm, sums);
            }
            (Self::Gru(layer), Self::Gru(sums)) => {
                layer.backward(kernels, steps, &mut tape.gru, gradient);
                layer.recurrent_gradient(steps, &mut tape.gru, sums);
            }
            (Self::Rnn(layer), Self::Rnn(sums)) => {
                layer.backward(kernels, steps, &mut tape.rnn, gradient);
                layer.recurrent_gradient(steps, &mut tape.rnn, sums);
            }
            (Self::Variant(layer), Self::Variant(sums)) => {
                layer.backward(kernels, steps, &mut tape.variant, gradient);
                layer.recurrent_gradient(steps, &mut tape.variant, sums);
            }
            (Self::LayerNorm(layer), Self::LayerNorm(sums)) => layer.backward(input, gradient, sums, below),
            (Self::Conv1d(layer), Self::Conv1d(sums)) => {
                let Tape { conv1d, output, slopes, .. } = tape;
                layer.backward(kernels, between, (output, slopes), gradient, sums, (conv1d, below));
            }
            (Self::Dense(layer), Self::Dense(sums)) => {
                let values = (tape.output.as_slice(), tape.slopes.as_slice());
                layer.backward(&kernels.kernel_transpose, input, values, gradient, sums, below);
            }
            (Self::MaxPool(layer), _) => layer.backward(features, between, gradient, &tape.winners, below),
            (Self::Pooling(pooling), _) => {
                pooling.backward(features, steps, gradient, (input, &tape.pooling), below);
            }
            _ => debug_assert!(false, "the gradients have the shape of their layer"),
        }
        if let (false, Some(sums), Some(line)) = (lookup, sums.projection_mut(), self.line_mut(tape)) {
            line.input_gradients(kernels, steps, input, sums, below);
        }
    }
}
