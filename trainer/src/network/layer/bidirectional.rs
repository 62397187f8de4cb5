//! Two recurrent layers over the same steps, one from the first to the last and one back, forward and backward.
//!
//! ```text
//! f_t = cell(x_t, f_{t-1})        b_t = cell'(x_t, b_{t+1})
//! y_t = [f_t; b_t],  (f_t + b_t) / 2  or  f_t ∘ b_t
//! ```
//!
//! Where only the last state of each direction is asked for, y_t has b as the way back has left it after t + 1 of its own steps, so that y of the last step is that of
//! f_T and b_1. Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997. Each direction is a layer of [`super`] over its own order of the steps.

use super::{Backward, Layer, Tape};
use crate::config::chain::Merge;
use crate::network::conv1d::Between;
use crate::network::recurrent::{Input, Kernels};
use crate::network::steps::Steps;
use crate::real::{Real, add};
use nalgebra::DMatrix;
use rand::Rng;

/// The weights of both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Bidirectional<T: Real> {
    /// From the first step to the last: an LSTM, a GRU or a simple recurrent layer.
    pub forward: Layer<T>,
    /// From the last step to the first, of the same shape.
    pub backward: Layer<T>,
    /// How the values of both become one vector.
    pub merge: Merge,
    /// Whether only the last state of each direction is asked for.
    pub ends: bool,
}

/// What the forward pass leaves for the backward pass, besides the output.
#[derive(Debug, Clone)]
pub(crate) struct Directions<T> {
    pub(in crate::network) forward: Tape<T>,
    pub(in crate::network) backward: Tape<T>,
    /// What the way back has read (inputs × tokens), in its own order.
    pub(in crate::network) reversed: Vec<T>,
}

/// The names of the second direction's tensors.
fn backward_name(name: &'static str) -> &'static str {
    match name {
        "kernel" => "backward_kernel",
        "recurrent_kernel" => "backward_recurrent_kernel",
        "bias" => "backward_bias",
        "recurrent_bias" => "backward_recurrent_bias",
        other => other,
    }
}

impl<T: Real> Bidirectional<T> {
    /// Draws fresh weights of both directions.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        self.forward.initialize(rng);
        self.backward.initialize(rng);
    }

    /// Visits every tensor with its name, those of the way back behind the others.
    pub fn for_each_tensor<'a>(&'a self, visit: &mut dyn FnMut(&'static str, &'a DMatrix<T>)) {
        self.forward.for_each_tensor(visit);
        self.backward.for_each_tensor(&mut |name, tensor| visit(backward_name(name), tensor));
    }

    /// Visits every tensor to change it, in the order of [`Self::for_each_tensor`]. A tensor must keep its shape.
    pub fn for_each_tensor_mut<'a>(&'a mut self, visit: &mut dyn FnMut(&'static str, &'a mut DMatrix<T>)) {
        self.forward.for_each_tensor_mut(visit);
        self.backward.for_each_tensor_mut(&mut |name, tensor| visit(backward_name(name), tensor));
    }

    /// Both directions, to be changed.
    pub(crate) fn directions_mut(&mut self) -> [&mut Layer<T>; 2] {
        [&mut self.forward, &mut self.backward]
    }

    /// Takes up the kernels that the forward pass walks.
    pub(crate) fn pack_forward(&self, kernels: &mut Kernels<T>) {
        self.forward.pack_forward(kernels);
        self.backward.pack_forward(kernels.second.get_or_insert_default());
    }

    /// Takes up the kernels that both passes walk.
    pub(crate) fn pack(&self, kernels: &mut Kernels<T>) {
        self.forward.pack(kernels);
        self.backward.pack(kernels.second.get_or_insert_default());
    }

    /// Units of each direction.
    pub fn units(&self) -> usize {
        self.forward.cold_units()
    }

    /// Runs both directions over `input` (features × tokens) and leaves y (outputs × tokens) on the tape.
    pub(crate) fn forward(
        &self,
        kernels: &Kernels<T>,
        between: Between<'_>,
        input: &[T],
        features: usize,
        tape: &mut Tape<T>,
    ) {
        let Some(second) = &kernels.second else { return };
        let (steps, tokens) = (between.below, between.below.tokens());
        let directions = tape.directions.get_or_insert_with(Box::default);
        let Directions { forward, backward, reversed } = &mut **directions;
        reverse(reversed, input, features, steps);
        self.forward.forward(kernels, between, Input::Tokens(input), (features, tokens), forward);
        self.backward.forward(second, between, Input::Tokens(reversed), (features, tokens), backward);
        let (forward, backward) = (self.forward.output(forward), self.backward.output(backward));
        self.merge(forward, backward, steps, &mut tape.output, |merge, f, b| match merge {
            Merge::Mean => T::of(0.5) * (f + b),
            _ => f * b,
        });
    }

    /// y of the values of both directions (units × tokens), each in its own order; `one` makes one value of two.
    pub(in crate::network) fn merge(
        &self,
        forward: &[T],
        backward: &[T],
        steps: &Steps,
        output: &mut Vec<T>,
        one: impl Fn(Merge, T, T) -> T,
    ) {
        let units = self.units();
        output.clear();
        output.resize(self.merge.features(units) * steps.tokens(), T::zero());
        let mut columns = output.chunks_exact_mut(self.merge.features(units));
        for step in 0..steps.len() {
            for sequence in 0..steps.count(step) {
                let Some(y) = columns.next() else { return };
                let f = &forward[units * steps.token(step, sequence)..][..units];
                let b = &backward[units * self.counterpart(steps, step, sequence)..][..units];
                if self.merge == Merge::Concat {
                    y[..units].copy_from_slice(f);
                    y[units..].copy_from_slice(b);
                } else {
                    y.iter_mut().zip(f.iter().zip(b)).for_each(|(y, (&f, &b))| *y = one(self.merge, f, b));
                }
            }
        }
    }

    /// The token of the way back that belongs to a step's y.
    fn counterpart(&self, steps: &Steps, step: usize, sequence: usize) -> usize {
        let of_back = if self.ends { step } else { steps.lengths()[sequence] - 1 - step };
        steps.token(of_back, sequence)
    }

    /// Goes back from dL/dy to the gradients of both directions, which replace what is in `sums`, and to dL/dinput.
    pub(crate) fn backward(&self, way: Backward<'_, T>, tape: &mut Tape<T>, sums: &mut Self) {
        let Backward { kernels, steps: between, features, input, gradient, below, .. } = way;
        let (Some(second), Some(directions)) = (&kernels.second, &mut tape.directions) else { return };
        let Directions { forward, backward, reversed } = &mut **directions;
        let (steps, units) = (between.below, self.units());
        let (mut to_forward, mut to_backward) =
            (vec![T::zero(); units * steps.tokens()], vec![T::zero(); units * steps.tokens()]);
        let mut columns = gradient.chunks_exact(self.merge.features(units));
        for step in 0..steps.len() {
            for sequence in 0..steps.count(step) {
                let Some(dy) = columns.next() else { return };
                let at = [units * steps.token(step, sequence), units * self.counterpart(steps, step, sequence)];
                let (df, db) = (&mut to_forward[at[0]..][..units], &mut to_backward[at[1]..][..units]);
                match self.merge {
                    Merge::Concat => {
                        df.copy_from_slice(&dy[..units]);
                        db.copy_from_slice(&dy[units..]);
                    }
                    Merge::Mean => df.iter_mut().zip(db).zip(dy).for_each(|((df, db), &dy)| {
                        (*df, *db) = (T::of(0.5) * dy, T::of(0.5) * dy);
                    }),
                    Merge::Product => {
                        let f = &self.forward.output(forward)[at[0]..][..units];
                        let b = &self.backward.output(backward)[at[1]..][..units];
                        let values = df.iter_mut().zip(db).zip(f.iter().zip(b));
                        values.zip(dy).for_each(|(((df, db), (&f, &b)), &dy)| (*df, *db) = (dy * b, dy * f));
                    }
                }
            }
        }
        let mut from_back = Vec::new();
        let lookup = false;
        let way = Backward {
            kernels: second,
            steps: between,
            features,
            input: reversed,
            gradient: &mut to_backward,
            below: &mut from_back,
            lookup,
        };
        self.backward.backward(way, backward, &mut sums.backward);
        let way = Backward { kernels, steps: between, features, input, gradient: &mut to_forward, below, lookup };
        self.forward.backward(way, forward, &mut sums.forward);
        reverse(reversed, &from_back, features, steps);
        add(below, reversed);
    }
}

/// The tokens of each sequence (features × tokens) from its last to its first.
pub(in crate::network) fn reverse<T: Real>(reversed: &mut Vec<T>, values: &[T], features: usize, steps: &Steps) {
    reversed.clear();
    for step in 0..steps.len() {
        for sequence in 0..steps.count(step) {
            let from = steps.token(steps.lengths()[sequence] - 1 - step, sequence);
            reversed.extend_from_slice(&values[features * from..][..features]);
        }
    }
}

impl<T> Default for Directions<T>
where
    Tape<T>: Default,
{
    fn default() -> Self {
        Self { forward: Tape::default(), backward: Tape::default(), reversed: Vec::new() }
    }
}
