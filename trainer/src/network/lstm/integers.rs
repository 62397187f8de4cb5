//! An LSTM layer forward in the engine's integers, for quantization-aware training.
//!
//! ```text
//! acc = W·q_x + U·(q_h ∘ m)                  products of integers, exact in f32 up to 2^24
//! z   = sat16((acc·M + B) >> shift)          and on as in docs/numerics.md, "One integer step"
//! ```
//!
//! Without dropout every number here is the engine's. A mask m scales columns, which the engine never does: its accumulator is then cut to an integer
//! and held inside 32 bits. The tape gets the real values of all integers, so that the way back is that of the layer in floats: the
//! straight-through estimator of Bengio et al. (2013), with the derivative of each rounding taken as one. Where a gate, a cell or a hidden state saturates, the derivatives
//! of the activations there are zero or nearly so.

use super::{Lstm, Tape};
use crate::network::recurrent::{HIDDEN_SCALE, Line, take_up};
use crate::network::steps::Steps;
use crate::products::{Packed, product};
use crate::real::{Real, sigmoid_q15, tanh_q15};

/// The integers of a layer; rows in the order of [`super::Lstm`], gate·units + unit.
#[derive(Debug, Clone)]
pub struct IntegerGates<T> {
    /// Units.
    pub(crate) units: usize,
    /// What a column of x is worth: x = scale·q, one an input.
    pub(crate) input_scales: Vec<T>,
    /// 4·units × inputs.
    pub(crate) kernel: Packed<T>,
    /// 4·units × units.
    pub(crate) recurrent_kernel: Packed<T>,
    /// One a row.
    pub(crate) multiplier: Vec<i32>,
    /// One a row, the rounding half included.
    pub(crate) bias: Vec<i32>,
    /// The largest accumulator of each row with which nothing overflows; the engine's never exceeds it.
    pub(crate) limit: Vec<T>,
    /// From accumulator times multiplier to Q3.12.
    pub(crate) shift: u32,
}

impl<T: Real> IntegerGates<T> {
    /// Runs the layer over `input` (inputs × tokens, integers) and leaves what [`super::Lstm::forward`] leaves, and the hidden states as the next
    /// step and the next layer read them.
    pub(crate) fn forward(&self, steps: &Steps, input: &[T], tape: &mut Tape<T>) {
        let (units, inputs, tokens) = (self.units, self.input_scales.len(), steps.tokens());
        tape.line.make_room(units, 4 * units, steps);
        let Line { gates, hidden, previous, narrowed, recurrent_mask, start, .. } = &mut tape.line;
        for buffer in [&mut tape.cells, &mut tape.squashed, &mut *narrowed] {
            buffer.resize(units * tokens, T::zero());
        }
        product(gates, &self.kernel, |token| &input[token * inputs..][..inputs], false);
        let mut cells = vec![0_i32; units * steps.count(0)];
        let (mut z, mut s) = (vec![0_i16; 4 * units], vec![0_i16; units]);

        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                take_up(start, &mut hidden[range.clone()], &mut narrowed[range.clone()]);
                for ((real, integer), &before) in tape.cells[range].iter_mut().zip(&mut cells).zip(&tape.start_cells) {
                    *integer = (before.as_f64() * 2_f64.powi(19)).round() as i32;
                    *real = T::of_integer(*integer) * T::of(2_f64.powi(-19));
                }
                continue;
            }
            let gates = &mut gates[4 * range.start..4 * range.end];
            if step > 0 {
                let previous = &mut previous[range.clone()];
                Line::recall(previous, narrowed, recurrent_mask, units * steps.columns(step - 1).start);
                let previous = &*previous;
                product(gates, &self.recurrent_kernel, |column| &previous[column * units..][..units], true);
            }
            for (column, gates) in gates.chunks_exact_mut(4 * units).enumerate() {
                self.requantize(gates, &mut z);
                sigmoid_q15(&mut z[..2 * units]);
                tanh_q15(&mut z[2 * units..3 * units]);
                sigmoid_q15(&mut z[3 * units..]);
                write_real(gates, &z);
                let cells = &mut cells[column * units..][..units];
                next_cells(&z, cells, &mut s);
                let at = range.start + column * units;
                for (real, &c) in tape.cells[at..][..units].iter_mut().zip(&*cells) {
                    *real = T::of_integer(c) * T::of(2_f64.powi(-19));
                }
                tanh_q15(&mut s);
                write_real(&mut tape.squashed[at..][..units], &s);
                for (h, &o) in s.iter_mut().zip(&z[3 * units..]) {
                    *h = ((i32::from(o) * i32::from(*h) + (1 << 14)) >> 15) as i16;
                }
                write_real(&mut hidden[at..][..units], &s);
                for (narrowed, &h) in narrowed[at..][..units].iter_mut().zip(&s) {
                    *narrowed = T::of_integer(i32::from(h.saturating_add(128) >> 8));
                }
            }
        }
    }

    /// Turns gradients that were taken with integers as columns into those of the real columns.
    pub(crate) fn scale_gradients(&self, gradients: &mut Lstm<T>) {
        let columns = gradients.kernel.as_mut_slice().chunks_exact_mut(4 * self.units);
        for (column, &scale) in columns.zip(&self.input_scales) {
            column.iter_mut().for_each(|gradient| *gradient *= scale);
        }
        let scale = T::of(HIDDEN_SCALE);
        gradients.recurrent_kernel.as_mut_slice().iter_mut().for_each(|gradient| *gradient *= scale);
    }

    /// `z = sat16((acc·M + B) >> shift)`.
    fn requantize(&self, acc: &[T], z: &mut [i16]) {
        let rows = self.multiplier.iter().zip(&self.bias).zip(&self.limit);
        for ((z, &acc), ((&multiplier, &bias), &limit)) in z.iter_mut().zip(acc).zip(rows) {
            let acc = if acc > limit { limit } else { acc };
            let acc = if acc < -limit { -limit } else { acc };
            *z = ((acc.to_integer() * multiplier + bias) >> self.shift).clamp(-32_768, 32_767) as i16;
        }
    }
}

/// Q0.15 as numbers.
fn write_real<T: Real>(real: &mut [T], integers: &[i16]) {
    let unit = T::of(2_f64.powi(-15));
    for (real, &integer) in real.iter_mut().zip(integers) {
        *real = T::of_integer(i32::from(integer)) * unit;
    }
}

/// `c' = (((c·f) >> 16) << 1) + ((i·g + 3·2^10) >> 11)`, and the input of its tanh, `sat16((c' + 2^6) >> 7)`.
fn next_cells(gates: &[i16], cells: &mut [i32], tanh: &mut [i16]) {
    let units = cells.len();
    let (i, f, g) = (&gates[..units], &gates[units..2 * units], &gates[2 * units..3 * units]);
    for ((((c, t), &i), &f), &g) in cells.iter_mut().zip(tanh).zip(i).zip(f).zip(g) {
        let kept = ((i64::from(*c) * i64::from(f)) >> 16) as i32;
        *c = (kept << 1) + ((i32::from(i) * i32::from(g) + (3 << 10)) >> 11);
        *t = ((*c + (1 << 6)) >> 7).clamp(-32_768, 32_767) as i16;
    }
}
