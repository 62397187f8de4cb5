//! One LSTM layer, forward over all steps of a shard and backward through all of them.
//!
//! ```text
//! z_t = W·x_t + U·(h_{t-1} ∘ m) + b          gates in the order i, f, g, o
//! i, f, o = σ(z_i), σ(z_f), σ(z_o)           input gate, forget gate, output gate
//! g       = tanh(z_g)                        candidate
//! c_t     = f ∘ c_{t-1} + i ∘ g              cell state
//! h_t     = o ∘ tanh(c_t)                    hidden state
//! ```
//!
//! Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. Only `U·h` waits for the step before, see [`super::recurrent`].

pub mod integers;

use super::recurrent::{Input, Kernels, Line};
use super::steps::Steps;
use super::tensors::{glorot, orthogonal, tensors};
use crate::products::{outer, product, vectorized};
use crate::real::{Real, add, multiply};
use nalgebra::DMatrix;
use rand::Rng;

/// The weights of an LSTM layer with `units` hidden features.
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm<T: Real> {
    /// The kernel W, 4·units × inputs; rows in the gate order i, f, g, o.
    pub kernel: DMatrix<T>,
    /// The recurrent kernel U, 4·units × units.
    pub recurrent_kernel: DMatrix<T>,
    /// The bias b, 4·units × 1.
    pub bias: DMatrix<T>,
}

tensors!(Lstm: kernel, recurrent_kernel, bias);

/// What the forward pass of a layer leaves for the backward pass, and the scratch of both. All matrices are column-major
/// with one column a token, in the time-major order of [`Steps`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    /// The gates i, f, g, o after their activations (4·units × tokens), which become dZ, and the hidden states.
    pub(crate) line: Line<T>,
    /// The cell states c (units × tokens).
    pub(crate) cells: Vec<T>,
    /// Those that the first step has where there is one in front (units × sequences), or empty.
    pub(crate) start_cells: Vec<T>,
    /// tanh(c) (units × tokens).
    squashed: Vec<T>,
    /// The gradient of c that comes from the step after (units × sequences).
    cell_gradient: Vec<T>,
}

impl<T: Real> Lstm<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(inputs: usize, units: usize) -> Self {
        Self {
            kernel: DMatrix::zeros(4 * units, inputs),
            recurrent_kernel: DMatrix::zeros(4 * units, units),
            bias: DMatrix::zeros(4 * units, 1),
        }
    }

    /// Draws a Glorot-uniform kernel and an orthogonal recurrent kernel; the bias is zero but one for the forget gate.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        let units = self.units();
        glorot(&mut self.kernel, rng);
        orthogonal(&mut self.recurrent_kernel, rng);
        self.bias.fill(T::zero());
        self.bias.rows_mut(units, units).fill(T::one());
    }

    /// The number of hidden features.
    pub fn units(&self) -> usize {
        self.recurrent_kernel.ncols()
    }

    /// The number of input features.
    pub fn inputs(&self) -> usize {
        self.kernel.ncols()
    }

    /// Runs the layer over `input` and leaves gates, cell and hidden states on the tape.
    pub(crate) fn forward(&self, kernels: &Kernels<T>, steps: &Steps, input: Input<'_, T>, tape: &mut Tape<T>) {
        let units = self.units();
        tape.line.begin(units, &self.bias, kernels, steps, input);
        for buffer in [&mut tape.cells, &mut tape.squashed] {
            buffer.resize(units * steps.tokens(), T::zero());
        }
        let Line { gates, hidden, previous, recurrent_mask, start, .. } = &mut tape.line;
        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                hidden[range.clone()].copy_from_slice(start);
                tape.cells[range].copy_from_slice(&tape.start_cells);
                continue;
            }
            input.look_up(4 * units, steps, step, gates);
            let gates = &mut gates[4 * range.start..4 * range.end];
            if step > 0 {
                let previous = &mut previous[range.clone()];
                Line::recall(previous, hidden, recurrent_mask, units * steps.columns(step - 1).start);
                let previous = &*previous;
                product(gates, &kernels.recurrent[0], |column| &previous[column * units..][..units], true);
            }
            let (cells_before, cells) = tape.cells.split_at_mut(range.start);
            let cells_before = match step {
                0 => &[][..],
                _ => &cells_before[units * steps.columns(step - 1).start..],
            };
            let cells = &mut cells[..range.len()];
            for (column, (gates, cell)) in
                gates.chunks_exact_mut(4 * units).zip(cells.chunks_exact_mut(units)).enumerate()
            {
                T::sigmoid_slice(&mut gates[..2 * units]);
                T::tanh_slice(&mut gates[2 * units..3 * units]);
                T::sigmoid_slice(&mut gates[3 * units..]);
                let (i, f, g) = (&gates[..units], &gates[units..2 * units], &gates[2 * units..3 * units]);
                let before = cells_before.get(column * units..(column + 1) * units);
                vectorized(|| match before {
                    None => {
                        for ((c, &i), &g) in cell.iter_mut().zip(i).zip(g) {
                            *c = i * g;
                        }
                    }
                    Some(before) => {
                        for ((((c, &i), &f), &g), &before) in cell.iter_mut().zip(i).zip(f).zip(g).zip(before) {
                            *c = f * before + i * g;
                        }
                    }
                });
            }
            let squashed = &mut tape.squashed[range.clone()];
            squashed.copy_from_slice(cells);
            T::tanh_slice(squashed);
            let hidden = hidden[range].chunks_exact_mut(units);
            for ((hidden, squashed), gates) in
                hidden.zip(squashed.chunks_exact(units)).zip(gates.chunks_exact(4 * units))
            {
                vectorized(|| {
                    for ((h, &s), &o) in hidden.iter_mut().zip(squashed).zip(&gates[3 * units..]) {
                        *h = o * s;
                    }
                });
            }
        }
    }

    /// Goes back through all steps and turns the gates on the tape into dZ. `hidden_gradient` is dL/dh (units × tokens) from the
    /// layer above and becomes the whole dL/dh. Must follow [`Lstm::forward`], once.
    pub(crate) fn backward(&self, kernels: &Kernels<T>, steps: &Steps, tape: &mut Tape<T>, hidden_gradient: &mut [T]) {
        let units = self.units();
        tape.cell_gradient.clear();
        tape.cell_gradient.resize(units * steps.count(0), T::zero());
        let Line { gates, recurrent_mask, through, .. } = &mut tape.line;
        through.resize(units * steps.count(0), T::zero());

        for step in (0..steps.len()).rev() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            let gates = &mut gates[4 * range.start..4 * range.end];
            if step < steps.lead {
                gates.fill(T::zero());
                continue;
            }
            let before = match step {
                0 => None,
                _ => Some(units * steps.columns(step - 1).start),
            };
            for column in 0..columns.len() {
                let at = range.start + column * units;
                let before = before.map(|start| &tape.cells[start + column * units..][..units]);
                let gates = &mut gates[4 * column * units..][..4 * units];
                let (squashed, hidden_gradient) = (&tape.squashed[at..][..units], &hidden_gradient[at..][..units]);
                let cell_gradient = &mut tape.cell_gradient[column * units..][..units];
                vectorized(|| gates_backward(gates, before, squashed, hidden_gradient, cell_gradient));
            }
            if let Some(before) = before {
                // dh_{t-1} = m ∘ Uᵀ·dz_t
                let through = &mut through[..range.len()];
                let gates = &*gates;
                product(
                    through,
                    &kernels.recurrent_transpose[0],
                    |column| &gates[4 * units * column..][..4 * units],
                    false,
                );
                if !recurrent_mask.is_empty() {
                    multiply(through, recurrent_mask);
                }
                add(&mut hidden_gradient[before..][..range.len()], through);
            }
        }
    }

    /// The gradient of U that follows from the dZ that [`Lstm::backward`] left on the tape. It replaces what is in `gradient`.
    pub(crate) fn recurrent_gradient(&self, steps: &Steps, tape: &mut Tape<T>, gradient: &mut Self) {
        let units = self.units();
        let first = steps.count(0);
        let Line { gates, previous, outer: memory, .. } = &mut tape.line;
        let (gates, previous) = (&gates[4 * units * first..], &previous[units * first..]);
        outer(
            gradient.recurrent_kernel.as_mut_slice(),
            (4 * units, units),
            steps.tokens() - first,
            |token| &gates[4 * units * token..][..4 * units],
            |token| &previous[units * token..][..units],
            memory,
        );
    }
}

/// One column of one step backward: turns the gates i, f, g, o into dz, and dL/dc_t into dL/dc_{t-1}.
///
/// ```text
/// do = dh ∘ tanh(c)            dz_o = do ∘ o(1 - o)
/// dc = dc + dh ∘ o ∘ (1 - tanh²(c))
/// di = dc ∘ g                  dz_i = di ∘ i(1 - i)
/// df = dc ∘ c_{t-1}            dz_f = df ∘ f(1 - f)
/// dg = dc ∘ i                  dz_g = dg ∘ (1 - g²)
/// dc_{t-1} = dc ∘ f
/// ```
///
/// `before` is c_{t-1}, or nothing at the first step, where it is zero.
#[inline(always)]
fn gates_backward<T: Real>(
    gates: &mut [T],
    before: Option<&[T]>,
    squashed: &[T],
    hidden_gradient: &[T],
    cell_gradient: &mut [T],
) {
    let units = squashed.len();
    let one = T::one();
    let (i, rest) = gates.split_at_mut(units);
    let (f, rest) = rest.split_at_mut(units);
    let (g, o) = rest.split_at_mut(units);
    let (g, o) = (&mut g[..units], &mut o[..units]);
    let (dh, dc) = (&hidden_gradient[..units], &mut cell_gradient[..units]);
    for j in 0..units {
        let (s, dh) = (squashed[j], dh[j]);
        dc[j] += dh * o[j] * (one - s * s);
        o[j] = dh * s * o[j] * (one - o[j]);
    }
    match before {
        Some(before) => {
            let before = &before[..units];
            for j in 0..units {
                let (forget, dc) = (f[j], &mut dc[j]);
                f[j] = *dc * before[j] * forget * (one - forget);
                let (gate, candidate) = (i[j], g[j]);
                i[j] = *dc * candidate * gate * (one - gate);
                g[j] = *dc * gate * (one - candidate * candidate);
                *dc *= forget;
            }
        }
        None => {
            for j in 0..units {
                f[j] = T::zero();
                let (gate, candidate) = (i[j], g[j]);
                i[j] = dc[j] * candidate * gate * (one - gate);
                g[j] = dc[j] * gate * (one - candidate * candidate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recurrent::tests::{INPUTS, UNITS, assert_gradient, assert_states, masks, random, steps};
    use super::*;
    use crate::batches::generator;

    fn layer<T: Real>(inputs: usize, units: usize, seed: u64) -> Lstm<T> {
        let mut layer = Lstm::zeros(inputs, units);
        layer.initialize(&mut generator([seed, 0, 0, 0]));
        layer
    }

    fn run(layer: &Lstm<f64>, input: &[f64], mask: &[f64]) -> Tape<f64> {
        let mut tape = Tape { line: Line { recurrent_mask: mask.to_vec(), ..Line::default() }, ..Tape::default() };
        let mut kernels = Kernels::default();
        kernels.forward(&layer.kernel, &layer.recurrent_kernel, 4 * layer.units());
        layer.forward(&kernels, &steps(), Input::Tokens(input), &mut tape);
        tape
    }

    /// The equations of the module, one number at a time, for one sequence.
    fn naive(layer: &Lstm<f64>, inputs: &[Vec<f64>], mask: &[f64]) -> Vec<Vec<f64>> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut h, mut c) = (vec![0.0; UNITS], vec![0.0; UNITS]);
        let mut states = Vec::new();
        for x in inputs {
            let z: Vec<f64> = (0..4 * UNITS)
                .map(|row| {
                    let from_input: f64 = (0..INPUTS).map(|j| layer.kernel[(row, j)] * x[j]).sum();
                    let from_state: f64 = (0..UNITS).map(|j| layer.recurrent_kernel[(row, j)] * h[j] * mask[j]).sum();
                    from_input + from_state + layer.bias[row]
                })
                .collect();
            for j in 0..UNITS {
                let (i, f) = (sigmoid(z[j]), sigmoid(z[UNITS + j]));
                let (g, o) = (z[2 * UNITS + j].tanh(), sigmoid(z[3 * UNITS + j]));
                c[j] = f * c[j] + i * g;
                h[j] = o * c[j].tanh();
            }
            states.push(h.clone());
        }
        states
    }

    #[test]
    fn the_forward_pass_equals_the_equations() {
        let layer = layer(INPUTS, UNITS, 1);
        let input = random(INPUTS * steps().tokens(), 2);
        for mask in masks() {
            let tape = run(&layer, &input, &mask);
            assert_states(&input, &mask, &tape.line.hidden, |inputs, mask| naive(&layer, inputs, mask));
        }
    }

    #[test]
    fn the_backward_pass_equals_finite_differences() {
        let layer = layer::<f64>(INPUTS, UNITS, 1);
        let steps = steps();
        let input = random(INPUTS * steps.tokens(), 2);
        // L = Σ w ∘ h, so that dL/dh = w at every step.
        let weights = random(UNITS * steps.tokens(), 3);
        for mask in masks() {
            let loss = |layer: &Lstm<f64>, input: &[f64]| -> f64 {
                let tape = run(layer, input, &mask);
                tape.line.hidden.iter().zip(&weights).map(|(h, w)| h * w).sum()
            };
            let mut tape = run(&layer, &input, &mask);
            let mut kernels = Kernels::default();
            kernels.update(&layer.kernel, &layer.recurrent_kernel, 4 * UNITS);
            let mut gradient = Lstm::zeros(INPUTS, UNITS);
            let mut below = Vec::new();
            layer.backward(&kernels, &steps, &mut tape, &mut weights.clone());
            layer.recurrent_gradient(&steps, &mut tape, &mut gradient);
            let sums = (&mut gradient.kernel, &mut gradient.bias);
            tape.line.input_gradients(&kernels, &steps, &input, sums, &mut below);
            assert_gradient("input", &input, &below, |values| loss(&layer, values));
            let mut numbers = Vec::new();
            gradient.for_each_tensor(&mut |name, tensor| numbers.push((name, tensor.as_slice())));
            for (place, (name, gradient)) in numbers.into_iter().enumerate() {
                let mut changed = layer.clone();
                let mut values = Vec::new();
                layer.for_each_tensor(&mut |_, tensor| values.push(tensor.as_slice()));
                assert_gradient(name, values[place], gradient, |values| {
                    let mut number = 0;
                    changed.for_each_tensor_mut(&mut |_, tensor| {
                        if number == place {
                            tensor.copy_from_slice(values);
                        }
                        number += 1;
                    });
                    loss(&changed, &input)
                });
            }
        }
    }

    #[test]
    fn the_forget_gate_starts_open_and_the_kernel_inside_its_limit() {
        let layer = layer::<f32>(6, 5, 7);
        let limit = f32::of((6.0_f64 / 26.0).sqrt());
        assert!(layer.kernel.iter().all(|value| value.abs() <= limit));
        for (row, &bias) in layer.bias.iter().enumerate() {
            assert_eq!(bias, if (5..10).contains(&row) { 1.0 } else { 0.0 });
        }
    }
}
