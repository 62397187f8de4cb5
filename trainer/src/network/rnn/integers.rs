//! A simple recurrent layer forward in the engine's integers, for quantization-aware training.
//!
//! ```text
//! h' = tanh(sat16((acc·M + B) >> shift))               Q0.15
//! h' = min(max((acc·M + B) >> shift, 0), 32767)        relu: Q0.15 behind the shift
//! ```
//!
//! Without dropout every number here is the engine's; sums under a mask are taken in 64 bits, in which nothing overflows. The tape gets the
//! real values of all integers, as for an LSTM layer. Where relu saturates at 1 its derivative is zero.

use super::{Rnn, Tape};
use crate::network::recurrent::{HIDDEN_SCALE, Line, take_up};
use crate::network::steps::Steps;
use crate::products::{Packed, product};
use crate::real::{Real, tanh_q15};

/// The integers of a layer.
#[derive(Debug, Clone)]
pub struct IntegerRnn<T> {
    /// Units.
    pub(crate) units: usize,
    /// Relu, or tanh.
    pub(crate) relu: bool,
    /// What a column of x is worth: x = scale·q, one an input.
    pub(crate) input_scales: Vec<T>,
    /// units × inputs.
    pub(crate) kernel: Packed<T>,
    /// units × units.
    pub(crate) recurrent_kernel: Packed<T>,
    /// One a row.
    pub(crate) multiplier: Vec<i64>,
    /// One a row, the rounding half included.
    pub(crate) bias: Vec<i64>,
    /// To Q3.12 for tanh, to Q0.15 for relu.
    pub(crate) shift: u32,
}

impl<T: Real> IntegerRnn<T> {
    /// Runs the layer over `input` (inputs × tokens, integers) and leaves what [`super::Rnn::forward`] leaves, and the hidden states as the next
    /// step and the next layer read them.
    pub(crate) fn forward(&self, steps: &Steps, input: &[T], tape: &mut Tape<T>) {
        let (units, inputs, tokens) = (self.units, self.input_scales.len(), steps.tokens());
        tape.integers = true;
        tape.line.make_room(units, units, steps);
        let Line { gates, hidden, previous, narrowed, recurrent_mask, start, .. } = &mut tape.line;
        narrowed.resize(units * tokens, T::zero());
        product(gates, &self.kernel, |token| &input[token * inputs..][..inputs], false);
        let mut h = vec![0_i16; units];
        for step in 0..steps.len() {
            let columns = steps.columns(step);
            let range = units * columns.start..units * columns.end;
            if step < steps.lead {
                take_up(start, &mut hidden[range.clone()], &mut narrowed[range]);
                continue;
            }
            let gates = &mut gates[range.clone()];
            if step > 0 {
                let previous = &mut previous[range.clone()];
                Line::recall(previous, narrowed, recurrent_mask, units * steps.columns(step - 1).start);
                let previous = &*previous;
                product(gates, &self.recurrent_kernel, |column| &previous[column * units..][..units], true);
            }
            let states = hidden[range.clone()].chunks_exact_mut(units).zip(narrowed[range].chunks_exact_mut(units));
            for (sums, (hidden, narrowed)) in gates.chunks_exact(units).zip(states) {
                let least = if self.relu { 0 } else { -32_768 };
                let rows = self.multiplier.iter().zip(&self.bias);
                for ((h, &sum), (&multiplier, &bias)) in h.iter_mut().zip(sums).zip(rows) {
                    let sum = (i64::from(sum.to_integer()) * multiplier + bias) >> self.shift;
                    *h = sum.clamp(least, 32_767) as i16;
                }
                if !self.relu {
                    tanh_q15(&mut h);
                }
                for ((hidden, narrowed), &h) in hidden.iter_mut().zip(narrowed).zip(&h) {
                    *hidden = T::of_integer(i32::from(h)) * T::of(2_f64.powi(-15));
                    *narrowed = T::of_integer(i32::from(h.saturating_add(128) >> 8));
                }
            }
        }
    }

    /// Turns gradients that were taken with integers as columns into those of the real columns.
    pub(crate) fn scale_gradients(&self, gradients: &mut Rnn<T>) {
        let columns = gradients.kernel.as_mut_slice().chunks_exact_mut(self.units);
        for (column, &scale) in columns.zip(&self.input_scales) {
            column.iter_mut().for_each(|gradient| *gradient *= scale);
        }
        let scale = T::of(HIDDEN_SCALE);
        gradients.recurrent_kernel.as_mut_slice().iter_mut().for_each(|gradient| *gradient *= scale);
    }
}
