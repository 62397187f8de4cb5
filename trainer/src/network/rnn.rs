//! A simple recurrent layer, forward over all steps of a shard and backward through all of them.
//!
//! ```text
//! h_t = f(W·x_t + b + U·(h_{t-1} ∘ m))          f: tanh or relu
//! ```
//!
//! Source: Elman 1990, "Finding structure in time"; the equation is that of Keras's SimpleRNN and of PyTorch's RNN, whose two biases are one here.
//! Only `U·h` waits for the step before, see [`super::recurrent`].

pub mod integers;

use super::recurrent::{Input, Kernels, Line};
use super::steps::Steps;
use super::tensors::{glorot, orthogonal, tensors};
use crate::config::chain::Activation;
use crate::products::{outer, product, vectorized};
use crate::real::{Real, add, multiply};
use nalgebra::DMatrix;
use rand::Rng;

/// The weights of a simple recurrent layer with `units` hidden features.
#[derive(Debug, Clone, PartialEq)]
pub struct Rnn<T: Real> {
    /// What the sums go through: relu, or tanh for everything else.
    pub activation: Activation,
    /// The kernel W, units × inputs.
    pub kernel: DMatrix<T>,
    /// The recurrent kernel U, units × units.
    pub recurrent_kernel: DMatrix<T>,
    /// The bias b, units × 1.
    pub bias: DMatrix<T>,
}

tensors!(Rnn: kernel, recurrent_kernel, bias);

/// What the forward pass of a layer leaves for the backward pass: of the line, the gates become dL/d(sums).
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    pub(crate) line: Line<T>,
    /// Whether the states are those of integers, where relu ends at one.
    integers: bool,
}

impl<T: Real> Rnn<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(inputs: usize, units: usize, activation: Activation) -> Self {
        Self {
            activation,
            kernel: DMatrix::zeros(units, inputs),
            recurrent_kernel: DMatrix::zeros(units, units),
            bias: DMatrix::zeros(units, 1),
        }
    }

    /// Draws a Glorot-uniform kernel and an orthogonal recurrent kernel; the bias is zero.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        glorot(&mut self.kernel, rng);
        orthogonal(&mut self.recurrent_kernel, rng);
        self.bias.fill(T::zero());
    }

    /// The number of hidden features.
    pub fn units(&self) -> usize {
        self.recurrent_kernel.ncols()
    }

    /// Runs the layer over `input` and leaves the hidden states on the tape.
    pub(crate) fn forward(&self, kernels: &Kernels<T>, steps: &Steps, input: Input<'_, T>, tape: &mut Tape<T>) {
        let units = self.units();
        tape.line.begin(units, &self.bias, kernels, steps, input);
        tape.integers = false;
        let Line { gates, hidden, previous, recurrent_mask, start, .. } = &mut tape.line;
        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                hidden[range].copy_from_slice(start);
                continue;
            }
            input.look_up(units, steps, step, gates);
            let gates = &mut gates[range.clone()];
            if step > 0 {
                let previous = &mut previous[range.clone()];
                Line::recall(previous, hidden, recurrent_mask, units * steps.columns(step - 1).start);
                let previous = &*previous;
                product(gates, &kernels.recurrent[0], |column| &previous[column * units..][..units], true);
            }
            let hidden = &mut hidden[range];
            hidden.copy_from_slice(gates);
            match self.activation {
                Activation::Relu => vectorized(|| hidden.iter_mut().for_each(|h| *h = h.max(T::zero()))),
                _ => T::tanh_slice(hidden),
            }
        }
    }

    /// Goes back through all steps and turns the gates on the tape into dL/d(sums). `hidden_gradient` is dL/dh (units × tokens) from the layer
    /// above and becomes the whole dL/dh. Must follow [`Rnn::forward`], once.
    ///
    /// ```text
    /// da_t = dh_t ∘ f'        tanh' = 1 - h²,  relu' = 1 where h > 0, and in integers below its end
    /// dh_{t-1} += m ∘ Uᵀ·da_t
    /// ```
    pub(crate) fn backward(&self, kernels: &Kernels<T>, steps: &Steps, tape: &mut Tape<T>, hidden_gradient: &mut [T]) {
        let units = self.units();
        let end = T::of(if tape.integers { 32_767.0 / 32_768.0 } else { f64::INFINITY });
        let Line { gates, hidden, recurrent_mask, through, .. } = &mut tape.line;
        through.resize(units * steps.count(0), T::zero());
        for step in (0..steps.len()).rev() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            let gates = &mut gates[range.clone()];
            if step < steps.lead {
                gates.fill(T::zero());
                continue;
            }
            let (hidden, gradient) = (&hidden[range.clone()], &hidden_gradient[range.clone()]);
            let relu = self.activation == Activation::Relu;
            vectorized(|| {
                for ((a, &h), &dh) in gates.iter_mut().zip(hidden).zip(gradient) {
                    *a = if !relu {
                        dh * (T::one() - h * h)
                    } else if h > T::zero() && h < end {
                        dh
                    } else {
                        T::zero()
                    };
                }
            });
            if step > 0 {
                let through = &mut through[..range.len()];
                let gates = &*gates;
                product(through, &kernels.recurrent_transpose[0], |column| &gates[units * column..][..units], false);
                if !recurrent_mask.is_empty() {
                    multiply(through, recurrent_mask);
                }
                let before = units * steps.columns(step - 1).start;
                add(&mut hidden_gradient[before..][..range.len()], through);
            }
        }
    }

    /// The gradient of U that follows from what [`Rnn::backward`] left on the tape. It replaces what is in `gradient`.
    pub(crate) fn recurrent_gradient(&self, steps: &Steps, tape: &mut Tape<T>, gradient: &mut Self) {
        let units = self.units();
        let first = steps.count(0);
        let Line { gates, previous, outer: memory, .. } = &mut tape.line;
        let (gates, previous) = (&gates[units * first..], &previous[units * first..]);
        outer(
            gradient.recurrent_kernel.as_mut_slice(),
            (units, units),
            steps.tokens() - first,
            |token| &gates[units * token..][..units],
            |token| &previous[units * token..][..units],
            memory,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::recurrent::tests::{INPUTS, UNITS, assert_states, masks, random, steps};
    use super::*;
    use crate::batches::generator;

    fn run(layer: &Rnn<f64>, input: &[f64], mask: &[f64]) -> Tape<f64> {
        let mut tape = Tape { line: Line { recurrent_mask: mask.to_vec(), ..Line::default() }, ..Tape::default() };
        let mut kernels = Kernels::default();
        kernels.forward(&layer.kernel, &layer.recurrent_kernel, layer.units());
        layer.forward(&kernels, &steps(), Input::Tokens(input), &mut tape);
        tape
    }

    /// The equation of the module, one number at a time, for one sequence.
    fn naive(layer: &Rnn<f64>, inputs: &[Vec<f64>], mask: &[f64]) -> Vec<Vec<f64>> {
        let mut h = vec![0.0; UNITS];
        let next = |x: &Vec<f64>| {
            h = (0..UNITS)
                .map(|row| {
                    let from_input: f64 = (0..INPUTS).map(|j| layer.kernel[(row, j)] * x[j]).sum();
                    let from_state: f64 = (0..UNITS).map(|j| layer.recurrent_kernel[(row, j)] * h[j] * mask[j]).sum();
                    let sum = from_input + from_state + layer.bias[row];
                    if layer.activation == Activation::Relu { sum.max(0.0) } else { sum.tanh() }
                })
                .collect();
            h.clone()
        };
        inputs.iter().map(next).collect()
    }

    #[test]
    fn the_forward_pass_equals_the_equation() {
        for activation in [Activation::Tanh, Activation::Relu] {
            let mut layer = Rnn::zeros(INPUTS, UNITS, activation);
            layer.initialize(&mut generator([1, 0, 0, 0]));
            layer.bias.copy_from_slice(&random(UNITS, 9));
            let input = random(INPUTS * steps().tokens(), 2);
            for mask in masks() {
                let tape = run(&layer, &input, &mask);
                assert_states(&input, &mask, &tape.line.hidden, |inputs, mask| naive(&layer, inputs, mask));
            }
        }
    }

    /// One unit that reads one number, W = 2, U = -3, b = 0.5, on 0.25 and -1:
    /// the first sum is 2·0.25 + 0.5 = 1, the second 2·(-1) + 0.5 - 3·h.
    #[test]
    fn two_steps_computed_by_hand() {
        let steps = || {
            let mut steps = Steps::default();
            steps.gather(&[0], |_| &[0, 0]);
            steps
        };
        for (activation, expected) in
            [(Activation::Tanh, [0.761_594_155_955_764_9, -0.998_968_698_352_342]), (Activation::Relu, [1.0, 0.0])]
        {
            let mut layer = Rnn::<f64>::zeros(1, 1, activation);
            (layer.kernel[0], layer.recurrent_kernel[0], layer.bias[0]) = (2.0, -3.0, 0.5);
            let (mut tape, mut kernels) = (Tape::default(), Kernels::default());
            kernels.forward(&layer.kernel, &layer.recurrent_kernel, 1);
            layer.forward(&kernels, &steps(), Input::Tokens(&[0.25, -1.0]), &mut tape);
            for (found, expected) in tape.line.hidden.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{activation:?}: {found} {expected}");
            }
        }
    }
}
