//! A GRU layer forward in the engine's integers, for quantization-aware training.
//!
//! ```text
//! z, r = σ(sat16((acc_x·M_x + acc_h·M_h + B) >> shift))                                      Q0.15
//! a    = sat16((acc_x·M_x + B) >> shift)       s = sat16((acc_h·M_h + B_h) >> shift)         Q3.12, rows of n
//! n    = tanh(sat16(a + ((r·s + 2^14) >> 15)))                                               reset after the product
//! n    = tanh(sat16((acc_x·M_x + acc_rh·M_h + B) >> shift))                                  reset before it, of r·h in Q0.7
//! h'   = (z·h + (32768 - z)·n + 2^14) >> 15                                                  Q0.15
//! ```
//!
//! Without dropout every number here is the engine's. A mask scales columns, which the engine never does: sums are taken in 64 bits, in which nothing
//! overflows. The tape gets the real values of all integers, as for an LSTM layer.

use super::{Gru, Tape};
use crate::network::recurrent::{HIDDEN_SCALE, Line, take_up};
use crate::network::steps::Steps;
use crate::products::{Packed, product};
use crate::real::{Real, multiply, sigmoid_q15, tanh_q15};

/// The integers of a layer; rows in the order of [`super::Gru`], gate·units + unit.
#[derive(Debug, Clone)]
pub struct IntegerGru<T> {
    /// Units.
    pub(crate) units: usize,
    /// What a column of x is worth: x = scale·q, one an input.
    pub(crate) input_scales: Vec<T>,
    /// 3·units × inputs.
    pub(crate) kernel: Packed<T>,
    /// The rows that meet h, and those that meet r ∘ h.
    pub(crate) recurrent_kernel: [Packed<T>; 2],
    /// Of x and of h, one a row.
    pub(crate) multipliers: [Vec<i64>; 2],
    /// One a row, the rounding half included.
    pub(crate) bias: Vec<i64>,
    /// Of the rows of n over h, the rounding half included; none with the reset before the product.
    pub(crate) recurrent_bias: Vec<i64>,
    /// From sums to Q3.12.
    pub(crate) shift: u32,
}

/// `(r·v + 2^14) >> 15`, of which the first is Q0.15.
fn product_q15(r: i16, v: i16) -> i16 {
    ((i32::from(r) * i32::from(v) + (1 << 14)) >> 15) as i16
}

/// Q0.15 to Q0.7.
fn narrow(h: i16) -> i32 {
    i32::from(h.saturating_add(128) >> 8)
}

impl<T: Real> IntegerGru<T> {
    /// Runs the layer over `input` (inputs × tokens, integers) and leaves what [`super::Gru::forward`] leaves, and the hidden states as the next
    /// step and the next layer read them.
    pub(crate) fn forward(&self, steps: &Steps, input: &[T], tape: &mut Tape<T>) {
        let (units, inputs, tokens) = (self.units, self.input_scales.len(), steps.tokens());
        let after = !self.recurrent_bias.is_empty();
        tape.integers = true;
        tape.line.make_room(units, 3 * units, steps);
        tape.line.narrowed.resize(units * tokens, T::zero());
        tape.inner.resize(3 * units * tokens, T::zero());
        tape.reset.resize(units * tokens, T::zero());
        tape.candidate.resize(units * steps.count(0), T::zero());
        product(&mut tape.line.gates, &self.kernel, |token| &input[token * inputs..][..inputs], false);
        let mut states = vec![0_i16; units * steps.count(0)];
        let mut sums = vec![T::zero(); 3 * units * steps.count(0)];

        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                let Line { hidden, narrowed, start, .. } = &mut tape.line;
                take_up(start, &mut hidden[range.clone()], &mut narrowed[range.clone()]);
                for (state, &real) in states.iter_mut().zip(&hidden[range]) {
                    *state = (real * T::of(2_f64.powi(15))).to_integer() as i16;
                }
                continue;
            }
            let sums = &mut sums[..if after { 3 } else { 2 } * range.len()];
            sums.fill(T::zero());
            if step > 0 {
                let before = units * steps.columns(step - 1).start;
                let Line { previous, narrowed, recurrent_mask, .. } = &mut tape.line;
                let previous = &mut previous[range.clone()];
                Line::recall(previous, narrowed, recurrent_mask, before);
                let previous = &*previous;
                product(sums, &self.recurrent_kernel[0], |column| &previous[column * units..][..units], false);
            }
            let states = &mut states[..range.len()];
            let gates = &mut tape.line.gates[3 * range.start..3 * range.end];
            let n: Vec<i16> = if after {
                let inner = &mut tape.inner[3 * range.start..3 * range.end];
                self.candidates_after(gates, sums, inner)
            } else {
                let reset = &mut tape.reset[range.clone()];
                self.gates_before(gates, sums, states, reset);
                let candidate = &mut tape.candidate[..range.len()];
                candidate.fill(T::zero());
                if step > 0 {
                    if !tape.line.recurrent_mask.is_empty() {
                        multiply(reset, &tape.line.recurrent_mask);
                    }
                    let reset = &*reset;
                    product(candidate, &self.recurrent_kernel[1], |column| &reset[column * units..][..units], false);
                }
                self.candidates_before(gates, candidate)
            };
            let unit = T::of(2_f64.powi(-15));
            let hidden = tape.line.hidden[range.clone()].iter_mut().zip(&mut tape.line.narrowed[range]);
            for (at, ((h, n), (real, narrowed))) in states.iter_mut().zip(n).zip(hidden).enumerate() {
                let z = (gates[3 * units * (at / units) + at % units] / unit).to_integer();
                *h = ((z * i32::from(*h) + (32_768 - z) * i32::from(n) + (1 << 14)) >> 15) as i16;
                *real = T::of_integer(i32::from(*h)) * unit;
                *narrowed = T::of_integer(narrow(*h));
            }
        }
    }

    /// The sum of a row behind the shift, Q3.12.
    fn row(&self, row: usize, x: T, h: T, bias: i64) -> i16 {
        let [of_x, of_h] = &self.multipliers;
        let wide = |sum: T| i64::from(sum.to_integer());
        ((wide(x) * of_x[row] + wide(h) * of_h[row] + bias) >> self.shift).clamp(-32_768, 32_767) as i16
    }

    /// Reset after the product: from the sums of all columns of a step to z, r and n, which are returned; `inner` gets s.
    fn candidates_after(&self, gates: &mut [T], sums: &[T], inner: &mut [T]) -> Vec<i16> {
        let units = self.units;
        let mut all = Vec::with_capacity(gates.len() / 3);
        let (mut zr, mut n) = (vec![0_i16; 2 * units], vec![0_i16; units]);
        for ((gates, sums), inner) in
            gates.chunks_exact_mut(3 * units).zip(sums.chunks_exact(3 * units)).zip(inner.chunks_exact_mut(3 * units))
        {
            for (row, zr) in zr.iter_mut().enumerate() {
                *zr = self.row(row, gates[row], sums[row], self.bias[row]);
            }
            sigmoid_q15(&mut zr);
            for (unit, n) in n.iter_mut().enumerate() {
                let row = 2 * units + unit;
                let a = self.row(row, gates[row], T::zero(), self.bias[row]);
                let s = self.row(row, T::zero(), sums[row], self.recurrent_bias[unit]);
                inner[row] = T::of_integer(i32::from(s)) * T::of(2_f64.powi(-12));
                *n = a.saturating_add(product_q15(zr[units + unit], s));
            }
            tanh_q15(&mut n);
            write_real(&mut gates[..2 * units], &zr);
            write_real(&mut gates[2 * units..], &n);
            all.extend_from_slice(&n);
        }
        all
    }

    /// Reset before the product: z and r of all columns of a step, and r ∘ h in Q0.7. The rows of n keep their sums over x.
    fn gates_before(&self, gates: &mut [T], sums: &[T], states: &[i16], reset: &mut [T]) {
        let units = self.units;
        let mut zr = vec![0_i16; 2 * units];
        let columns = gates.chunks_exact_mut(3 * units).zip(sums.chunks_exact(2 * units));
        for ((gates, sums), (states, reset)) in
            columns.zip(states.chunks_exact(units).zip(reset.chunks_exact_mut(units)))
        {
            for (row, zr) in zr.iter_mut().enumerate() {
                *zr = self.row(row, gates[row], sums[row], self.bias[row]);
            }
            sigmoid_q15(&mut zr);
            for ((reset, &r), &h) in reset.iter_mut().zip(&zr[units..]).zip(states) {
                *reset = T::of_integer(narrow(product_q15(r, h)));
            }
            write_real(&mut gates[..2 * units], &zr);
        }
    }

    /// Reset before the product: n of all columns of a step, which is returned.
    fn candidates_before(&self, gates: &mut [T], candidate: &[T]) -> Vec<i16> {
        let units = self.units;
        let mut all = Vec::with_capacity(candidate.len());
        let mut n = vec![0_i16; units];
        for (gates, candidate) in gates.chunks_exact_mut(3 * units).zip(candidate.chunks_exact(units)) {
            for (unit, n) in n.iter_mut().enumerate() {
                let row = 2 * units + unit;
                *n = self.row(row, gates[row], candidate[unit], self.bias[row]);
            }
            tanh_q15(&mut n);
            write_real(&mut gates[2 * units..], &n);
            all.extend_from_slice(&n);
        }
        all
    }

    /// Turns gradients that were taken with integers as columns into those of the real columns.
    pub(crate) fn scale_gradients(&self, gradients: &mut Gru<T>) {
        let columns = gradients.kernel.as_mut_slice().chunks_exact_mut(3 * self.units);
        for (column, &scale) in columns.zip(&self.input_scales) {
            column.iter_mut().for_each(|gradient| *gradient *= scale);
        }
        let scale = T::of(HIDDEN_SCALE);
        gradients.recurrent_kernel.as_mut_slice().iter_mut().for_each(|gradient| *gradient *= scale);
    }
}

/// Q0.15 as numbers.
fn write_real<T: Real>(real: &mut [T], integers: &[i16]) {
    let unit = T::of(2_f64.powi(-15));
    for (real, &integer) in real.iter_mut().zip(integers) {
        *real = T::of_integer(i32::from(integer)) * unit;
    }
}
