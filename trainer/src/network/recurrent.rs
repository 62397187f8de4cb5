//! What all recurrent layers share: one product over all tokens before the steps, one product a step, and their way back.
//!
//! ```text
//! a_t = W·x_t + b          of all tokens of a shard at once (or once for each id, see the lookup)
//! p_t = m ∘ h_{t-1}        what U multiplies: h of the step before under its dropout mask, zero at step 0
//! ```
//!
//! The way back mirrors this: da_t step by step, then `dW = dA·Xᵀ`, `db = Σ da_t` and `dX = Wᵀ·dA` as one product each. What a cell makes
//! of `a_t` and `U·p_t` stands in its own file.

use super::steps::Steps;
use crate::products::{Outer, Packed, outer, product};
use crate::real::{Real, add_column_sum, multiply};
use nalgebra::DMatrix;

/// What a column of h is worth in the engine's integers: h = q / 128.
pub(crate) const HIDDEN_SCALE: f64 = 1.0 / 128.0;

/// The hidden states of sequences that go on, in Q0.15 as numbers and in Q0.7 as the next step reads them.
pub(crate) fn take_up<T: Real>(start: &[T], hidden: &mut [T], narrowed: &mut [T]) {
    for ((real, narrowed), start) in hidden.iter_mut().zip(narrowed).zip(start) {
        let h = (start.as_f64() * 32_768.0).round() as i16;
        *real = T::of_integer(i32::from(h)) * T::of(2_f64.powi(-15));
        *narrowed = T::of_integer(i32::from(h.saturating_add(128) >> 8));
    }
}

/// A layer's kernels in the order in which the products walk them, made once a batch for all its shards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernels<T> {
    /// W (rows × inputs).
    pub(crate) kernel: Packed<T>,
    /// Wᵀ (inputs × rows).
    pub(crate) kernel_transpose: Packed<T>,
    /// The upper rows of U, which meet the hidden state, and the others, which a cell multiplies later (rows × units); most cells
    /// have no others.
    pub(crate) recurrent: [Packed<T>; 2],
    /// Their transposes (units × rows).
    pub(crate) recurrent_transpose: [Packed<T>; 2],
    /// Those of the way back, of a layer with two directions.
    pub(crate) second: Option<Box<Kernels<T>>>,
}

impl<T: Real> Kernels<T> {
    /// Takes up what the forward pass needs of W and U (rows × units), whose rows from `split` on are the others.
    pub(crate) fn forward(&mut self, kernel: &DMatrix<T>, recurrent: &DMatrix<T>, split: usize) {
        let rows = kernel.nrows();
        let (values, u) = (kernel.as_slice(), recurrent.as_slice());
        self.kernel.pack(rows, kernel.ncols(), |column| &values[column * rows..][..rows]);
        let [upper, others] = &mut self.recurrent;
        upper.pack(split, recurrent.ncols(), |column| &u[column * rows..][..split]);
        if split < rows {
            others.pack(rows - split, recurrent.ncols(), |column| &u[column * rows + split..][..rows - split]);
        }
    }

    /// Takes up what both passes need.
    pub(crate) fn update(&mut self, kernel: &DMatrix<T>, recurrent: &DMatrix<T>, split: usize) {
        let (rows, units) = recurrent.shape();
        let Self { kernel_transpose, recurrent_transpose: [upper, others], .. } = self;
        let pack_recurrent = || {
            if split == rows {
                upper.pack_transpose(recurrent.as_slice(), units, rows);
            } else {
                upper.pack_transpose(recurrent.rows(0, split).clone_owned().as_slice(), units, split);
                others.pack_transpose(
                    recurrent.rows(split, rows - split).clone_owned().as_slice(),
                    units,
                    rows - split,
                );
            }
        };
        rayon::join(|| kernel_transpose.pack_transpose(kernel.as_slice(), kernel.ncols(), rows), pack_recurrent);
        self.forward(kernel, recurrent, split);
    }
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a, T> {
    /// The features of every token (inputs × tokens).
    Tokens(&'a [T]),
    /// `W·x + b`, which has been computed, of every id that occurs, and the place of each id of the vocabulary among them.
    Gates(&'a [T], &'a [u32]),
}

impl<T: Real> Input<'_, T> {
    /// Writes a_t of the tokens of one step into their `gates` (rows × tokens) where it was computed by ids. Step by step, so that the step
    /// finds it in a near cache.
    pub(crate) fn look_up(self, rows: usize, steps: &Steps, step: usize, gates: &mut [T]) {
        let Input::Gates(computed, places) = self else { return };
        let columns = steps.columns(step);
        let targets = gates[rows * columns.start..rows * columns.end].chunks_exact_mut(rows);
        for (column, &id) in targets.zip(&steps.ids[columns]) {
            column.copy_from_slice(&computed[rows * places[id as usize] as usize..][..rows]);
        }
    }
}

/// What the forward pass of any recurrent layer leaves for the backward pass. All matrices are column-major with one column a token, in
/// the time-major order of [`Steps`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Line<T> {
    /// a_t, and what the cell makes of it (rows × tokens); the backward pass turns it into da_t.
    pub(crate) gates: Vec<T>,
    /// The hidden states h (units × tokens).
    pub(crate) hidden: Vec<T>,
    /// p_t: what multiplied U (units × tokens).
    pub(crate) previous: Vec<T>,
    /// In a forward pass of integers the hidden states as the next step and the next layer read them, in Q0.7 (units × tokens).
    pub(crate) narrowed: Vec<T>,
    /// The dropout mask of h_{t-1} (units × sequences), or empty: no dropout.
    pub(crate) recurrent_mask: Vec<T>,
    /// The hidden states that the first step has where there is one in front (units × sequences), or empty.
    pub(crate) start: Vec<T>,
    /// The gradient of h_{t-1} that comes through U (units × sequences).
    pub(crate) through: Vec<T>,
    /// Memory of outer products.
    pub(crate) outer: Outer<T>,
}

impl<T: Real> Line<T> {
    /// Makes room for the states of `units` units and makes p_0 zero.
    pub(crate) fn make_room(&mut self, units: usize, rows: usize, steps: &Steps) {
        self.gates.resize(rows * steps.tokens(), T::zero());
        self.hidden.resize(units * steps.tokens(), T::zero());
        self.previous.resize(units * steps.tokens(), T::zero());
        self.previous[..units * steps.count(0)].fill(T::zero());
    }

    /// Begins a forward pass of a layer with `units` units: makes room, and writes a_t of every token into the gates, but where it was computed by ids:
    /// there each step begins with [`Input::look_up`].
    pub(crate) fn begin(
        &mut self,
        units: usize,
        bias: &DMatrix<T>,
        kernels: &Kernels<T>,
        steps: &Steps,
        input: Input<'_, T>,
    ) {
        let rows = bias.len();
        self.make_room(units, rows, steps);
        if let Input::Tokens(input) = input {
            self.gates.chunks_exact_mut(rows).for_each(|column| column.copy_from_slice(bias.as_slice()));
            let inputs = input.len() / steps.tokens().max(1);
            product(&mut self.gates, &kernels.kernel, |token| &input[token * inputs..][..inputs], true);
        }
    }

    /// Writes p_t of a step after the first: what `states` (units × tokens) were at the step before, under the mask.
    pub(crate) fn recall(previous: &mut [T], states: &[T], mask: &[T], before: usize) {
        previous.copy_from_slice(&states[before..][..previous.len()]);
        if !mask.is_empty() {
            multiply(previous, mask);
        }
    }

    /// The gradients of W and b, which are replaced, and dL/dx (inputs × tokens) into `below`, from the da_t that the backward pass left in the
    /// gates. `input` is what the forward pass read.
    pub(crate) fn input_gradients(
        &mut self,
        kernels: &Kernels<T>,
        steps: &Steps,
        input: &[T],
        (kernel, bias): (&mut DMatrix<T>, &mut DMatrix<T>),
        below: &mut Vec<T>,
    ) {
        let (rows, inputs) = kernel.shape();
        let Line { gates, outer: memory, .. } = self;
        let column = |token: usize| &gates[rows * token..][..rows];
        let feature = |token: usize| &input[inputs * token..][..inputs];
        outer(kernel.as_mut_slice(), (rows, inputs), steps.tokens(), column, feature, memory);
        bias.fill(T::zero());
        add_column_sum(bias.as_mut_slice(), gates);
        below.resize(inputs * steps.tokens(), T::zero());
        product(below, &kernels.kernel_transpose, column, false);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::batches::generator;
    use rand::RngExt;

    /// The lengths of the sequences with which cells are tested.
    pub(crate) const LENGTHS: [usize; 4] = [5, 4, 2, 0];
    pub(crate) const INPUTS: usize = 3;
    pub(crate) const UNITS: usize = 4;

    pub(crate) fn steps() -> Steps {
        let sequences: Vec<Vec<u32>> = LENGTHS.iter().map(|&length| vec![0; length]).collect();
        let mut steps = Steps::default();
        steps.gather(&[0, 1, 2, 3], |index| &sequences[index]);
        steps
    }

    pub(crate) fn random(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = generator([seed, 0, 0, 0]);
        (0..count).map(|_| rng.random::<f64>() * 2.0 - 1.0).collect()
    }

    /// No mask, and one that drops a third.
    pub(crate) fn masks() -> [Vec<f64>; 2] {
        let dropped =
            random(UNITS * LENGTHS.len(), 5).into_iter().map(|value| if value > 0.3 { 0.0 } else { 1.5 }).collect();
        [Vec::new(), dropped]
    }

    /// Compares the hidden states of all sequences with those of `naive`, one sequence at a time: (inputs, mask) -> states.
    pub(crate) fn assert_states(
        input: &[f64],
        mask: &[f64],
        hidden: &[f64],
        naive: impl Fn(&[Vec<f64>], &[f64]) -> Vec<Vec<f64>>,
    ) {
        let steps = steps();
        for (sequence, &length) in LENGTHS.iter().enumerate() {
            let inputs: Vec<Vec<f64>> =
                (0..length).map(|t| input[steps.token(t, sequence) * INPUTS..][..INPUTS].to_vec()).collect();
            let mask = mask.get(sequence * UNITS..(sequence + 1) * UNITS).map_or(vec![1.0; UNITS], <[f64]>::to_vec);
            for (t, expected) in naive(&inputs, &mask).iter().enumerate() {
                let found = &hidden[steps.token(t, sequence) * UNITS..][..UNITS];
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-13, "{found} {expected}");
                }
            }
        }
    }

    /// Checks dL/dvalue for every value of `values` against central differences of `loss`.
    pub(crate) fn assert_gradient(name: &str, values: &[f64], gradient: &[f64], mut loss: impl FnMut(&[f64]) -> f64) {
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
}
