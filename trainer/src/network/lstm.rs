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
//! `W·X` is one product over all tokens of the shard; only `U·h` must wait for the step before. The way back mirrors this:
//! `dz_t` step by step, then `dW = dZ·Xᵀ`, `dU = dZ·H_prevᵀ` and `dX = Wᵀ·dZ` as one product each.

pub mod integers;

use super::Steps;
use crate::products::{Outer, Packed, outer, product, vectorized};
use crate::real::{Real, add, add_column_sum, multiply, tensor};
use nalgebra::DMatrix;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The weights of an LSTM layer with `units` hidden features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real")]
pub struct Lstm<T: Real> {
    /// The kernel W, 4·units × inputs; rows in the gate order i, f, g, o.
    #[serde(with = "tensor")]
    pub kernel: DMatrix<T>,
    /// The recurrent kernel U, 4·units × units.
    #[serde(with = "tensor")]
    pub recurrent_kernel: DMatrix<T>,
    /// The bias b, 4·units × 1.
    #[serde(with = "tensor")]
    pub bias: DMatrix<T>,
}

/// A layer's kernels in the order in which the products walk them, made once a batch for all its shards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernels<T> {
    /// W (4·units × inputs).
    pub(crate) kernel: Packed<T>,
    /// U (4·units × units).
    recurrent_kernel: Packed<T>,
    /// Wᵀ (inputs × 4·units).
    pub(crate) kernel_transpose: Packed<T>,
    /// Uᵀ (units × 4·units).
    recurrent_transpose: Packed<T>,
}

impl<T: Real> Kernels<T> {
    /// Takes up what the forward pass of `layer` needs.
    pub(crate) fn forward(&mut self, layer: &Lstm<T>) {
        let (rows, inputs, units) = (4 * layer.units(), layer.inputs(), layer.units());
        let (kernel, recurrent) = (layer.kernel.as_slice(), layer.recurrent_kernel.as_slice());
        self.kernel.pack(rows, inputs, |column| &kernel[column * rows..][..rows]);
        self.recurrent_kernel.pack(rows, units, |column| &recurrent[column * rows..][..rows]);
    }

    /// Takes up what both passes of `layer` need.
    pub(crate) fn update(&mut self, layer: &Lstm<T>) {
        let (rows, inputs, units) = (4 * layer.units(), layer.inputs(), layer.units());
        let (kernel, recurrent) = (layer.kernel.as_slice(), layer.recurrent_kernel.as_slice());
        let Self { kernel_transpose, recurrent_transpose, .. } = self;
        rayon::join(
            || kernel_transpose.pack_transpose(kernel, inputs, rows),
            || recurrent_transpose.pack_transpose(recurrent, units, rows),
        );
        self.forward(layer);
    }
}

/// What the forward pass of a layer leaves for the backward pass, and the scratch of both. All matrices are column-major
/// with one column a token, in the time-major order of [`Steps`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    /// The gates i, f, g, o after their activations (4·units × tokens); the backward pass turns them into dZ.
    pub(crate) gates: Vec<T>,
    /// The cell states c (units × tokens).
    cells: Vec<T>,
    /// tanh(c) (units × tokens).
    squashed: Vec<T>,
    /// The hidden states h (units × tokens).
    pub(crate) hidden: Vec<T>,
    /// What multiplied U: h of the step before, masked; zero at step 0 (units × tokens).
    previous: Vec<T>,
    /// In a forward pass of integers the hidden states as the next step and the next layer read them, in Q0.7 (units × tokens).
    pub(crate) narrowed: Vec<T>,
    /// The dropout mask of h_{t-1} (units × sequences), or empty: no dropout.
    pub(crate) recurrent_mask: Vec<T>,
    /// The gradient of c that comes from the step after (units × sequences).
    cell_gradient: Vec<T>,
    /// The gradient of h_{t-1} that comes through U (units × sequences).
    hidden_gradient: Vec<T>,
    outer: Outer<T>,
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a, T> {
    /// The features of every token (inputs × tokens).
    Tokens(&'a [T]),
    /// `W·x + b`, which has been computed, of every id that occurs, and the place of each id of the vocabulary among them.
    Gates(&'a [T], &'a [u32]),
}

impl<T: Real> Lstm<T> {
    /// A layer with a Glorot-uniform kernel, an orthogonal recurrent kernel, and a bias of zero but one for the forget gate.
    pub fn new(inputs: usize, units: usize, rng: &mut impl Rng) -> Self {
        let limit = (6.0 / (inputs + 4 * units) as f64).sqrt();
        let kernel = DMatrix::from_fn(4 * units, inputs, |_, _| T::of((rng.random::<f64>() * 2.0 - 1.0) * limit));
        let bias = DMatrix::from_fn(
            4 * units,
            1,
            |row, _| {
                if (units..2 * units).contains(&row) { T::one() } else { T::zero() }
            },
        );
        Self { kernel, recurrent_kernel: orthogonal(4 * units, units, rng), bias }
    }

    /// The number of hidden features.
    pub fn units(&self) -> usize {
        self.recurrent_kernel.ncols()
    }

    /// The number of input features.
    pub fn inputs(&self) -> usize {
        self.kernel.ncols()
    }

    /// A layer of zeros in the shape of this one: the place for its gradient.
    pub(crate) fn zeros_like(&self) -> Self {
        let zeros = |matrix: &DMatrix<T>| DMatrix::zeros(matrix.nrows(), matrix.ncols());
        Self { kernel: zeros(&self.kernel), recurrent_kernel: zeros(&self.recurrent_kernel), bias: zeros(&self.bias) }
    }

    /// Runs the layer over `input` and leaves gates, cell and hidden states on the tape.
    pub(crate) fn forward(&self, kernels: &Kernels<T>, steps: &Steps, input: Input<'_, T>, tape: &mut Tape<T>) {
        let units = self.units();
        let tokens = steps.tokens();
        tape.gates.resize(4 * units * tokens, T::zero());
        for buffer in [&mut tape.cells, &mut tape.squashed, &mut tape.hidden, &mut tape.previous] {
            buffer.resize(units * tokens, T::zero());
        }
        let columns = tape.gates.chunks_exact_mut(4 * units);
        match input {
            Input::Tokens(input) => {
                columns.for_each(|column| column.copy_from_slice(self.bias.as_slice()));
                let inputs = self.inputs();
                product(&mut tape.gates, &kernels.kernel, |token| &input[token * inputs..][..inputs], true);
            }
            Input::Gates(gates, places) => {
                for (column, &id) in columns.zip(&steps.ids) {
                    column.copy_from_slice(&gates[4 * units * places[id as usize] as usize..][..4 * units]);
                }
            }
        }
        tape.previous[..units * steps.count(0)].fill(T::zero());

        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            let gates = &mut tape.gates[4 * range.start..4 * range.end];
            if step > 0 {
                let before = units * steps.columns(step - 1).start;
                let previous = &mut tape.previous[range.clone()];
                previous.copy_from_slice(&tape.hidden[before..][..range.len()]);
                if !tape.recurrent_mask.is_empty() {
                    multiply(previous, &tape.recurrent_mask);
                }
                let previous = &*previous;
                product(gates, &kernels.recurrent_kernel, |column| &previous[column * units..][..units], true);
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
            let hidden = tape.hidden[range].chunks_exact_mut(units);
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
        tape.hidden_gradient.resize(units * steps.count(0), T::zero());

        for step in (0..steps.len()).rev() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            let gates = &mut tape.gates[4 * range.start..4 * range.end];
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
                let through = &mut tape.hidden_gradient[..range.len()];
                let gates = &*gates;
                product(
                    through,
                    &kernels.recurrent_transpose,
                    |column| &gates[4 * units * column..][..4 * units],
                    false,
                );
                if !tape.recurrent_mask.is_empty() {
                    multiply(through, &tape.recurrent_mask);
                }
                add(&mut hidden_gradient[before..][..range.len()], through);
            }
        }
    }

    /// The gradient of U that follows from the dZ that [`Lstm::backward`] left on the tape. It replaces what is in `gradient`.
    pub(crate) fn recurrent_gradient(&self, steps: &Steps, tape: &mut Tape<T>, gradient: &mut Self) {
        let units = self.units();
        let first = steps.count(0);
        let Tape { gates, previous, outer: memory, .. } = tape;
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

    /// The gradients of W and b, which replace what is in `gradient`, and dL/dx (inputs × tokens) into `input_gradient`, from the
    /// same dZ. `input` is what the forward pass read.
    pub(crate) fn input_gradients(
        &self,
        kernels: &Kernels<T>,
        steps: &Steps,
        input: &[T],
        tape: &mut Tape<T>,
        gradient: &mut Self,
        input_gradient: &mut Vec<T>,
    ) {
        let (rows, inputs) = (4 * self.units(), self.inputs());
        let Tape { gates, outer: memory, .. } = tape;
        let column = |token: usize| &gates[rows * token..][..rows];
        let feature = |token: usize| &input[inputs * token..][..inputs];
        outer(gradient.kernel.as_mut_slice(), (rows, inputs), steps.tokens(), column, feature, memory);
        gradient.bias.fill(T::zero());
        add_column_sum(gradient.bias.as_mut_slice(), gates);
        input_gradient.resize(inputs * steps.tokens(), T::zero());
        product(input_gradient, &kernels.kernel_transpose, column, false);
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

/// A `rows × columns` matrix with orthonormal columns (`rows ≥ columns`), distributed evenly over all such.
///
/// Gram-Schmidt on normally distributed columns, twice over, so that rounding leaves them orthogonal.
fn orthogonal<T: Real>(rows: usize, columns: usize, rng: &mut impl Rng) -> DMatrix<T> {
    let mut normal = || {
        // Box-Muller: √(-2 ln u) · cos(2πv) is normally distributed; 1 - u keeps the logarithm finite.
        let (u, v) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
        (-2.0 * u.ln()).sqrt() * (core::f64::consts::TAU * v).cos()
    };
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(columns);
    while basis.len() < columns {
        let mut column: Vec<f64> = (0..rows).map(|_| normal()).collect();
        for _ in 0..2 {
            for other in &basis {
                let overlap: f64 = column.iter().zip(other).map(|(a, b)| a * b).sum();
                for (value, &direction) in column.iter_mut().zip(other) {
                    *value -= overlap * direction;
                }
            }
        }
        let norm = column.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm > 1e-6 {
            column.iter_mut().for_each(|value| *value /= norm);
            basis.push(column);
        }
    }
    DMatrix::from_fn(rows, columns, |row, column| T::of(basis[column][row]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;
    use crate::real::Real;

    const LENGTHS: [usize; 4] = [5, 4, 2, 0];
    const INPUTS: usize = 3;
    const UNITS: usize = 4;

    fn steps() -> Steps {
        let sequences: Vec<Vec<u32>> = LENGTHS.iter().map(|&length| vec![0; length]).collect();
        let mut steps = Steps::default();
        steps.gather(&[0, 1, 2, 3], |index| &sequences[index]);
        steps
    }

    fn random(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = generator([seed, 0, 0, 0]);
        (0..count).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect()
    }

    fn run(layer: &Lstm<f64>, input: &[f64], mask: &[f64]) -> Tape<f64> {
        let mut tape = Tape { recurrent_mask: mask.to_vec(), ..Tape::default() };
        let mut kernels = Kernels::default();
        kernels.forward(layer);
        layer.forward(&kernels, &steps(), Input::Tokens(input), &mut tape);
        tape
    }

    fn masks() -> [Vec<f64>; 2] {
        let dropped =
            random(UNITS * LENGTHS.len(), 5).into_iter().map(|value| if value > 0.3 { 0.0 } else { 1.5 }).collect();
        [Vec::new(), dropped]
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
                    let from_state: f64 = (0..UNITS)
                        .map(|j| {
                            let kept = if mask.is_empty() { 1.0 } else { mask[j] };
                            layer.recurrent_kernel[(row, j)] * h[j] * kept
                        })
                        .sum();
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
        let layer = Lstm::<f64>::new(INPUTS, UNITS, &mut generator([1, 0, 0, 0]));
        let steps = steps();
        let input = random(INPUTS * steps.tokens(), 2);
        for mask in masks() {
            let tape = run(&layer, &input, &mask);
            for (sequence, &length) in LENGTHS.iter().enumerate() {
                let inputs: Vec<Vec<f64>> =
                    (0..length).map(|t| input[steps.token(t, sequence) * INPUTS..][..INPUTS].to_vec()).collect();
                let mask = mask.get(sequence * UNITS..(sequence + 1) * UNITS).unwrap_or(&[]);
                for (t, expected) in naive(&layer, &inputs, mask).iter().enumerate() {
                    let found = &tape.hidden[steps.token(t, sequence) * UNITS..][..UNITS];
                    for (found, expected) in found.iter().zip(expected) {
                        assert!((found - expected).abs() < 1e-13);
                    }
                }
            }
        }
    }

    /// Checks dL/dvalue for every value of `values` against central differences of `loss`.
    fn assert_gradient(name: &str, values: &[f64], gradient: &[f64], mut loss: impl FnMut(&[f64]) -> f64) {
        let mut values = values.to_vec();
        let (mut difference, mut size) = (0.0, 0.0);
        for index in 0..values.len() {
            let (value, step) = (values[index], 1e-5);
            values[index] = value + step;
            let above = loss(&values);
            values[index] = value - step;
            let below = loss(&values);
            values[index] = value;
            let expected = (above - below) / (2.0 * step);
            difference += (gradient[index] - expected).powi(2);
            size += expected.powi(2);
        }
        let error = (difference / size).sqrt();
        assert!(size > 0.0 && error < 1e-6, "{name}: relative error {error:e}");
    }

    #[test]
    fn the_backward_pass_equals_finite_differences() {
        let layer = Lstm::<f64>::new(INPUTS, UNITS, &mut generator([1, 0, 0, 0]));
        let steps = steps();
        let input = random(INPUTS * steps.tokens(), 2);
        // L = Σ w ∘ h, so that dL/dh = w at every step.
        let weights = random(UNITS * steps.tokens(), 3);
        for mask in masks() {
            let loss = |layer: &Lstm<f64>, input: &[f64]| -> f64 {
                let tape = run(layer, input, &mask);
                tape.hidden.iter().zip(&weights).map(|(h, w)| h * w).sum()
            };
            let mut tape = run(&layer, &input, &mask);
            let mut kernels = Kernels::default();
            kernels.update(&layer);
            let mut gradient = layer.zeros_like();
            let mut input_gradient = Vec::new();
            layer.backward(&kernels, &steps, &mut tape, &mut weights.clone());
            layer.recurrent_gradient(&steps, &mut tape, &mut gradient);
            layer.input_gradients(&kernels, &steps, &input, &mut tape, &mut gradient, &mut input_gradient);
            assert_gradient("input", &input, &input_gradient, |values| loss(&layer, values));
            let mut changed = layer.clone();
            assert_gradient("W", layer.kernel.as_slice(), gradient.kernel.as_slice(), |values| {
                changed.kernel.copy_from_slice(values);
                loss(&changed, &input)
            });
            let mut changed = layer.clone();
            assert_gradient("U", layer.recurrent_kernel.as_slice(), gradient.recurrent_kernel.as_slice(), |values| {
                changed.recurrent_kernel.copy_from_slice(values);
                loss(&changed, &input)
            });
            let mut changed = layer.clone();
            assert_gradient("b", layer.bias.as_slice(), gradient.bias.as_slice(), |values| {
                changed.bias.copy_from_slice(values);
                loss(&changed, &input)
            });
        }
    }

    #[test]
    fn the_recurrent_kernel_starts_with_orthonormal_columns() {
        let matrix = orthogonal::<f64>(48, 12, &mut generator([7, 0, 0, 0]));
        let product = matrix.transpose() * &matrix;
        assert!((product - DMatrix::identity(12, 12)).abs().max() < 1e-12);
    }

    #[test]
    fn the_forget_gate_starts_open_and_the_kernel_inside_its_limit() {
        let layer = Lstm::<f32>::new(6, 5, &mut generator([7, 0, 0, 0]));
        let limit = f32::of((6.0_f64 / 26.0).sqrt());
        assert!(layer.kernel.iter().all(|value| value.abs() <= limit));
        for (row, &bias) in layer.bias.iter().enumerate() {
            assert_eq!(bias, if (5..10).contains(&row) { 1.0 } else { 0.0 });
        }
    }
}
