//! A gated recurrent unit, forward over all steps of a shard and backward through all of them.
//!
//! ```text
//! gates in the order z, r, n                                                     p = h_{t-1} ∘ m
//! z    = σ(W_z·x + b_z + U_z·p + b_hz)                                           update gate
//! r    = σ(W_r·x + b_r + U_r·p + b_hr)                                           reset gate
//! n    = tanh(W_n·x + b_n + r ∘ (U_n·p + b_hn))        reset after the product   candidate
//! n    = tanh(W_n·x + b_n + U_n·(r ∘ p))               reset before it
//! h_t  = (1 - z) ∘ n + z ∘ h_{t-1}                                               hidden state
//! ```
//!
//! The reset acts after the product in Keras (`reset_after=True`, its default), in PyTorch and in cuDNN, with two biases; before it in
//! Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", and by default in ONNX, with one bias. The order z, r, n is Keras's; PyTorch
//! has r, z, n. Only the products with U wait for the step before, see [`super::recurrent`].

pub mod integers;

use super::recurrent::{HIDDEN_SCALE, Input, Kernels, Line};
use super::steps::Steps;
use super::tensors::{glorot, orthogonal, tensors};
use crate::products::{outer, product, vectorized};
use crate::real::{Real, add, add_column_sum, multiply};
use nalgebra::DMatrix;
use rand::Rng;
use std::ops::Range;

/// The weights of a gated recurrent unit with `units` hidden features.
#[derive(Debug, Clone, PartialEq)]
pub struct Gru<T: Real> {
    /// The kernel W, 3·units × inputs; rows in the gate order z, r, n.
    pub kernel: DMatrix<T>,
    /// The recurrent kernel U, 3·units × units.
    pub recurrent_kernel: DMatrix<T>,
    /// The bias b, 3·units × 1.
    pub bias: DMatrix<T>,
    /// The bias b_h of the product with U, 3·units × 1; none where the reset acts before the product.
    pub recurrent_bias: Option<DMatrix<T>>,
}

tensors!(Gru: kernel, recurrent_kernel, bias, recurrent_bias);

/// What the forward pass of a layer leaves for the backward pass, and the scratch of both. All matrices are column-major with one
/// column a token, in the time-major order of [`Steps`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    /// The gates z, r, n after their activations (3·units × tokens), which become their sums' gradients, and the hidden states.
    pub(crate) line: Line<T>,
    /// Reset after: U·p + b_h (3·units × tokens), which becomes its gradient. Reset before: U·p of one step (2·units × sequences).
    inner: Vec<T>,
    /// Reset before: r ∘ p (units × tokens).
    reset: Vec<T>,
    /// Reset before: U_n·(r ∘ p) of one step, and its gradient (units × sequences).
    candidate: Vec<T>,
    /// Reset before: the two parts of dL/dU.
    parts: [Vec<T>; 2],
    /// Whether p is in integers, of which one is worth [`HIDDEN_SCALE`].
    integers: bool,
}

impl<T: Real> Gru<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(inputs: usize, units: usize, reset_after: bool) -> Self {
        Self {
            kernel: DMatrix::zeros(3 * units, inputs),
            recurrent_kernel: DMatrix::zeros(3 * units, units),
            bias: DMatrix::zeros(3 * units, 1),
            recurrent_bias: reset_after.then(|| DMatrix::zeros(3 * units, 1)),
        }
    }

    /// Draws a Glorot-uniform kernel and an orthogonal recurrent kernel; the biases are zero.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        glorot(&mut self.kernel, rng);
        orthogonal(&mut self.recurrent_kernel, rng);
        self.bias.fill(T::zero());
        self.recurrent_bias.iter_mut().for_each(|bias| bias.fill(T::zero()));
    }

    /// The number of hidden features.
    pub fn units(&self) -> usize {
        self.recurrent_kernel.ncols()
    }

    /// Whether the reset gate acts after the product.
    pub fn reset_after(&self) -> bool {
        self.recurrent_bias.is_some()
    }

    /// The rows of U that meet h_{t-1} itself; the others meet it after the reset.
    pub(crate) fn split(&self) -> usize {
        if self.reset_after() { 3 * self.units() } else { 2 * self.units() }
    }

    /// Runs the layer over `input` and leaves gates and hidden states on the tape.
    pub(crate) fn forward(&self, kernels: &Kernels<T>, steps: &Steps, input: Input<'_, T>, tape: &mut Tape<T>) {
        let units = self.units();
        tape.line.begin(units, &self.bias, kernels, steps, input);
        tape.integers = false;
        match &self.recurrent_bias {
            Some(_) => tape.inner.resize(3 * units * steps.tokens(), T::zero()),
            None => {
                tape.inner.resize(2 * units * steps.count(0), T::zero());
                tape.candidate.resize(units * steps.count(0), T::zero());
                tape.reset.resize(units * steps.tokens(), T::zero());
            }
        }
        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                tape.line.hidden[range].copy_from_slice(&tape.line.start);
                continue;
            }
            input.look_up(3 * units, steps, step, &mut tape.line.gates);
            let before = step.checked_sub(1).map(|step| units * steps.columns(step).start);
            if let Some(before) = before {
                let Line { hidden, previous, recurrent_mask, .. } = &mut tape.line;
                Line::recall(&mut previous[range.clone()], hidden, recurrent_mask, before);
            }
            match &self.recurrent_bias {
                Some(bias) => self.step_after(bias.as_slice(), kernels, tape, range.clone(), before.is_some()),
                None => self.step_before(kernels, tape, range.clone(), before.is_some()),
            }
            // h_t = (1 - z) ∘ n + z ∘ h_{t-1}
            let (states, hidden) = tape.line.hidden.split_at_mut(range.start);
            let gates = tape.line.gates[3 * range.start..3 * range.end].chunks_exact(3 * units);
            for (column, (gates, hidden)) in gates.zip(hidden[..range.len()].chunks_exact_mut(units)).enumerate() {
                let (z, n) = (&gates[..units], &gates[2 * units..]);
                let before = before.map(|start| &states[start + column * units..][..units]);
                vectorized(|| match before {
                    None => {
                        for ((h, &z), &n) in hidden.iter_mut().zip(z).zip(n) {
                            *h = (T::one() - z) * n;
                        }
                    }
                    Some(before) => {
                        for (((h, &z), &n), &before) in hidden.iter_mut().zip(z).zip(n).zip(before) {
                            *h = (T::one() - z) * n + z * before;
                        }
                    }
                });
            }
        }
    }

    /// The gates of one step where the reset acts after the product. `range` is that of the step's states.
    fn step_after(&self, bias: &[T], kernels: &Kernels<T>, tape: &mut Tape<T>, range: Range<usize>, recall: bool) {
        let units = self.units();
        let gates = &mut tape.line.gates[3 * range.start..3 * range.end];
        let inner = &mut tape.inner[3 * range.start..3 * range.end];
        let previous = &tape.line.previous[range];
        inner.chunks_exact_mut(3 * units).for_each(|column| column.copy_from_slice(bias));
        if recall {
            product(inner, &kernels.recurrent[0], |column| &previous[column * units..][..units], true);
        }
        for (gates, inner) in gates.chunks_exact_mut(3 * units).zip(inner.chunks_exact(3 * units)) {
            vectorized(|| add(&mut gates[..2 * units], &inner[..2 * units]));
            T::sigmoid_slice(&mut gates[..2 * units]);
            let (zr, n) = gates.split_at_mut(2 * units);
            vectorized(|| {
                for ((n, &r), &inner) in n.iter_mut().zip(&zr[units..]).zip(&inner[2 * units..]) {
                    *n += r * inner;
                }
            });
            T::tanh_slice(n);
        }
    }

    /// The gates of one step where the reset acts before the product.
    fn step_before(&self, kernels: &Kernels<T>, tape: &mut Tape<T>, range: Range<usize>, recall: bool) {
        let units = self.units();
        let gates = &mut tape.line.gates[3 * range.start..3 * range.end];
        let inner = &mut tape.inner[..2 * range.len()];
        let candidate = &mut tape.candidate[..range.len()];
        let (previous, reset) = (&tape.line.previous[range.clone()], &mut tape.reset[range]);
        if recall {
            product(inner, &kernels.recurrent[0], |column| &previous[column * units..][..units], false);
        } else {
            inner.fill(T::zero());
        }
        let states = previous.chunks_exact(units).zip(reset.chunks_exact_mut(units));
        for ((gates, inner), (previous, reset)) in
            gates.chunks_exact_mut(3 * units).zip(inner.chunks_exact(2 * units)).zip(states)
        {
            vectorized(|| add(&mut gates[..2 * units], inner));
            T::sigmoid_slice(&mut gates[..2 * units]);
            vectorized(|| {
                for ((reset, &r), &p) in reset.iter_mut().zip(&gates[units..2 * units]).zip(previous) {
                    *reset = r * p;
                }
            });
        }
        if recall {
            let reset = &*reset;
            product(candidate, &kernels.recurrent[1], |column| &reset[column * units..][..units], false);
        } else {
            candidate.fill(T::zero());
        }
        for (gates, candidate) in gates.chunks_exact_mut(3 * units).zip(candidate.chunks_exact(units)) {
            vectorized(|| add(&mut gates[2 * units..], candidate));
            T::tanh_slice(&mut gates[2 * units..]);
        }
    }

    /// Goes back through all steps and turns the gates on the tape into the gradients of their sums. `hidden_gradient` is dL/dh (units × tokens)
    /// from the layer above and becomes the whole dL/dh. Must follow [`Gru::forward`], once.
    ///
    /// ```text
    /// dz = dh ∘ (h_{t-1} - n) ∘ z(1 - z)              dn = dh ∘ (1 - z) ∘ (1 - n²)
    /// after:   dr = dn ∘ (U_n·p + b_hn) ∘ r(1 - r)    dp = Uᵀ·[dz, dr, dn ∘ r]
    /// before:  ds = U_nᵀ·dn, dr = ds ∘ p ∘ r(1 - r)   dp = [U_z, U_r]ᵀ·[dz, dr] + ds ∘ r
    /// dh_{t-1} = dh ∘ z + m ∘ dp
    /// ```
    pub(crate) fn backward(&self, kernels: &Kernels<T>, steps: &Steps, tape: &mut Tape<T>, hidden_gradient: &mut [T]) {
        let units = self.units();
        tape.line.through.resize(units * steps.count(0), T::zero());
        for step in (0..steps.len()).rev() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                tape.line.gates[3 * range.start..3 * range.end].fill(T::zero());
                if self.reset_after() {
                    tape.inner[3 * range.start..3 * range.end].fill(T::zero());
                }
                continue;
            }
            let before = step.checked_sub(1).map(|step| units * steps.columns(step).start);
            let (above, gradient) = hidden_gradient.split_at_mut(range.start);
            let gradient = &gradient[..range.len()];
            let gates = tape.line.gates[3 * range.start..3 * range.end].chunks_exact_mut(3 * units);
            for (column, (gates, dh)) in gates.zip(gradient.chunks_exact(units)).enumerate() {
                let at = before.map(|start| start + column * units..start + (column + 1) * units);
                let states = at.map(|at| (&tape.line.hidden[at.clone()], &mut above[at]));
                match self.reset_after() {
                    true => {
                        let inner = &mut tape.inner[3 * (range.start + column * units)..][..3 * units];
                        vectorized(|| backward_after(gates, inner, dh, states));
                    }
                    false => vectorized(|| backward_update(gates, dh, states)),
                }
            }
            if self.reset_after() {
                if before.is_some() {
                    let inner = &tape.inner[3 * range.start..3 * range.end];
                    let through = &mut tape.line.through[..range.len()];
                    let column = |column: usize| &inner[3 * units * column..][..3 * units];
                    product(through, &kernels.recurrent_transpose[0], column, false);
                }
            } else {
                self.back_before(kernels, tape, range.clone(), before.is_some());
            }
            if let Some(before) = before {
                let through = &mut tape.line.through[..range.len()];
                if !tape.line.recurrent_mask.is_empty() {
                    multiply(through, &tape.line.recurrent_mask);
                }
                add(&mut above[before..][..range.len()], through);
            }
        }
    }

    /// The way from dz and dn of one step to dr and dp, where the reset acts before the product.
    fn back_before(&self, kernels: &Kernels<T>, tape: &mut Tape<T>, range: Range<usize>, recall: bool) {
        let units = self.units();
        let gates = &mut tape.line.gates[3 * range.start..3 * range.end];
        if !recall {
            // p is zero, and with it the gradient of r.
            gates.chunks_exact_mut(3 * units).for_each(|gates| gates[units..2 * units].fill(T::zero()));
            return;
        }
        let candidate = &mut tape.candidate[..range.len()];
        let found = &*gates;
        product(
            candidate,
            &kernels.recurrent_transpose[1],
            |column| &found[3 * units * column + 2 * units..][..units],
            false,
        );
        let previous = tape.line.previous[range.clone()].chunks_exact(units);
        let worth = if tape.integers { T::of(HIDDEN_SCALE) } else { T::one() };
        for ((gates, ds), p) in gates.chunks_exact_mut(3 * units).zip(candidate.chunks_exact_mut(units)).zip(previous) {
            vectorized(|| {
                for ((r, ds), &p) in gates[units..2 * units].iter_mut().zip(ds).zip(p) {
                    let gate = *r;
                    *r = *ds * (worth * p) * gate * (T::one() - gate);
                    *ds *= gate;
                }
            });
        }
        let gates = &*gates;
        let through = &mut tape.line.through[..range.len()];
        product(through, &kernels.recurrent_transpose[0], |column| &gates[3 * units * column..][..2 * units], false);
        add(through, candidate);
    }

    /// The gradients of U and of b_h that follow from what [`Gru::backward`] left on the tape. They replace what is in `gradient`.
    pub(crate) fn recurrent_gradient(&self, steps: &Steps, tape: &mut Tape<T>, gradient: &mut Self) {
        let units = self.units();
        let first = steps.count(0);
        let count = steps.tokens() - first;
        let Tape { line: Line { gates, previous, outer: memory, .. }, inner, reset, parts: [upper, lower], .. } = tape;
        let previous = |token: usize| &previous[units * (first + token)..][..units];
        let recurrent = &mut gradient.recurrent_kernel;
        if let Some(bias) = &mut gradient.recurrent_bias {
            let column = |token: usize| &inner[3 * units * (first + token)..][..3 * units];
            outer(recurrent.as_mut_slice(), (3 * units, units), count, column, previous, memory);
            bias.fill(T::zero());
            add_column_sum(bias.as_mut_slice(), inner);
            return;
        }
        upper.resize(2 * units * units, T::zero());
        lower.resize(units * units, T::zero());
        let rows = |from: usize, rows: usize| {
            let gates = &*gates;
            move |token: usize| &gates[3 * units * (first + token) + from..][..rows]
        };
        outer(upper, (2 * units, units), count, rows(0, 2 * units), previous, memory);
        let reset = |token: usize| &reset[units * (first + token)..][..units];
        outer(lower, (units, units), count, rows(2 * units, units), reset, memory);
        for (column, (upper, lower)) in upper.chunks_exact(2 * units).zip(lower.chunks_exact(units)).enumerate() {
            let mut target = recurrent.column_mut(column);
            target.rows_mut(0, 2 * units).copy_from_slice(upper);
            target.rows_mut(2 * units, units).copy_from_slice(lower);
        }
    }
}

/// One column of one step backward, reset after: turns the gates z, r, n into the gradients of their sums, and U·p + b_h into its
/// gradient. `states` are h_{t-1} and its gradient, to which dh ∘ z is added; none at step 0, where h is zero.
#[inline(always)]
fn backward_after<T: Real>(gates: &mut [T], inner: &mut [T], dh: &[T], states: Option<(&[T], &mut [T])>) {
    let units = dh.len();
    let one = T::one();
    // The reset gate's value is needed after the others have changed.
    let (z, rest) = gates.split_at_mut(units);
    let (r, n) = rest.split_at_mut(units);
    let (inner_z, rest) = inner.split_at_mut(units);
    let (inner_r, inner_n) = rest.split_at_mut(units);
    let (n, inner_n) = (&mut n[..units], &mut inner_n[..units]);
    each_unit(units, states, |j, before| {
        let (update, reset, candidate) = (z[j], r[j], n[j]);
        let dn = dh[j] * (one - update) * (one - candidate * candidate);
        z[j] = dh[j] * (before - candidate) * update * (one - update);
        r[j] = dn * inner_n[j] * reset * (one - reset);
        n[j] = dn;
        (inner_z[j], inner_r[j], inner_n[j]) = (z[j], r[j], dn * reset);
        dh[j] * update
    });
}

/// One column of one step backward, reset before: turns z and n into the gradients of their sums; r stays.
#[inline(always)]
fn backward_update<T: Real>(gates: &mut [T], dh: &[T], states: Option<(&[T], &mut [T])>) {
    let units = dh.len();
    let one = T::one();
    let (z, rest) = gates.split_at_mut(units);
    let n = &mut rest[units..];
    each_unit(units, states, |j, before| {
        let (update, candidate) = (z[j], n[j]);
        n[j] = dh[j] * (one - update) * (one - candidate * candidate);
        z[j] = dh[j] * (before - candidate) * update * (one - update);
        dh[j] * update
    });
}

/// Calls `one_unit` with every unit and its h of the step before, zero at the first, and adds what it gives to that h's gradient.
#[inline(always)]
fn each_unit<T: Real>(units: usize, states: Option<(&[T], &mut [T])>, mut one_unit: impl FnMut(usize, T) -> T) {
    match states {
        Some((before, gradient)) => {
            for ((j, &before), gradient) in (0..units).zip(before).zip(gradient) {
                *gradient += one_unit(j, before);
            }
        }
        None => {
            for j in 0..units {
                one_unit(j, T::zero());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recurrent::tests::{INPUTS, UNITS, assert_states, masks, random, steps};
    use super::*;
    use crate::batches::generator;

    fn run(layer: &Gru<f64>, input: &[f64], mask: &[f64], steps: &Steps) -> Tape<f64> {
        let mut tape = Tape { line: Line { recurrent_mask: mask.to_vec(), ..Line::default() }, ..Tape::default() };
        let mut kernels = Kernels::default();
        kernels.forward(&layer.kernel, &layer.recurrent_kernel, layer.split());
        layer.forward(&kernels, steps, Input::Tokens(input), &mut tape);
        tape
    }

    /// The equations of the module, one number at a time, for one sequence.
    fn naive(layer: &Gru<f64>, inputs: &[Vec<f64>], mask: &[f64]) -> Vec<Vec<f64>> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut h = vec![0.0; UNITS];
        let next = |x: &Vec<f64>| {
            let p: Vec<f64> = h.iter().zip(mask).map(|(h, m)| h * m).collect();
            let from_input = |row: usize| -> f64 {
                layer.bias[row] + (0..INPUTS).map(|j| layer.kernel[(row, j)] * x[j]).sum::<f64>()
            };
            let from_state = |row: usize, state: &[f64]| -> f64 {
                let bias = layer.recurrent_bias.as_ref().map_or(0.0, |bias| bias[row]);
                bias + (0..UNITS).map(|j| layer.recurrent_kernel[(row, j)] * state[j]).sum::<f64>()
            };
            let gate = |row: usize| sigmoid(from_input(row) + from_state(row, &p));
            let reset: Vec<f64> = (0..UNITS).map(|j| gate(UNITS + j)).collect();
            let inner: Vec<f64> = reset.iter().zip(&p).map(|(r, p)| r * p).collect();
            h = (0..UNITS)
                .map(|j| {
                    let row = 2 * UNITS + j;
                    let state =
                        if layer.reset_after() { reset[j] * from_state(row, &p) } else { from_state(row, &inner) };
                    let (z, n) = (gate(j), (from_input(row) + state).tanh());
                    (1.0 - z) * n + z * h[j]
                })
                .collect();
            h.clone()
        };
        inputs.iter().map(next).collect()
    }

    #[test]
    fn the_forward_pass_equals_the_equations_in_both_forms() {
        for reset_after in [true, false] {
            let mut layer = Gru::zeros(INPUTS, UNITS, reset_after);
            layer.initialize(&mut generator([1, 0, 0, 0]));
            layer.bias.copy_from_slice(&random(3 * UNITS, 9));
            layer.recurrent_bias.iter_mut().for_each(|bias| bias.copy_from_slice(&random(3 * UNITS, 8)));
            let input = random(INPUTS * steps().tokens(), 2);
            for mask in masks() {
                let tape = run(&layer, &input, &mask, &steps());
                assert_states(&input, &mask, &tape.line.hidden, |inputs, mask| naive(&layer, inputs, mask));
            }
        }
    }

    /// One unit that reads one number, on 1 and 2. W = (1, -1, 0.5), U = (0.5, 1, -2), b = (0, 1, 0.25), b_h = (0.5, -1, 1).
    ///
    /// ```text
    /// after    t = 1   z = σ(1 + 0.5) = 0.8175745              r = σ(-1 + 1 - 1) = 0.2689414    n = tanh(0.75 + r·1) = 0.7694350
    ///                  h = (1 - z)·n = 0.1403646
    ///          t = 2   z = σ(2 + 0.5·h + 0.5) = 0.9289177      r = σ(-1 + h - 1) = 0.1347456    n = tanh(1.25 + r·(1 - 2·h)) = 0.8733240
    ///                  h = (1 - z)·n + z·0.1403646 = 0.1924650
    /// before   t = 1   z = σ(1) = 0.7310586                    n = tanh(0.75) = 0.6351490       h = (1 - z)·n = 0.1708179
    ///          t = 2   z = σ(2 + 0.5·h) = 0.8894769            r = σ(-1 + h) = 0.3038180        n = tanh(1.25 - 2·r·h) = 0.8164929
    ///                  h = (1 - z)·n + z·0.1708179 = 0.2421799
    /// ```
    #[test]
    fn two_steps_computed_by_hand() {
        let mut steps = Steps::default();
        steps.gather(&[0], |_| &[0, 0]);
        let mut layer = Gru::<f64>::zeros(1, 1, true);
        layer.kernel.copy_from_slice(&[1.0, -1.0, 0.5]);
        layer.recurrent_kernel.copy_from_slice(&[0.5, 1.0, -2.0]);
        layer.bias.copy_from_slice(&[0.0, 1.0, 0.25]);
        layer.recurrent_bias = Some(DMatrix::from_column_slice(3, 1, &[0.5, -1.0, 1.0]));
        let after = run(&layer, &[1.0, 2.0], &[], &steps).line.hidden;
        // With one bias.
        layer.recurrent_bias = None;
        let before = run(&layer, &[1.0, 2.0], &[], &steps).line.hidden;
        for (found, expected) in [(after, [0.140_364_6, 0.192_465_0]), (before, [0.170_817_9, 0.242_179_9])] {
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-7), "{found:?}");
        }
    }
}
