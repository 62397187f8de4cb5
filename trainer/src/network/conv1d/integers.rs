//! A convolution forward in the engine's integers, for quantization-aware training.
//!
//! ```text
//! s = (Σ w·q)·M + B >> shift          q: columns of the window, bytes of the embedding or Q0.7
//! y = sat16(s), or max(sat16(s), 0)   Q0.15 of the layer's range
//! ```
//!
//! Without dropout every number here is the engine's. The tape gets the values as numbers, and the derivative of each: zero where s leaves its 16 bits, and where
//! relu cuts it.

use super::{Between, Conv1d, Tape};
use crate::products::{Packed, product};
use crate::real::Real;

/// The integers of a layer.
#[derive(Debug, Clone)]
pub struct IntegerConv1d<T> {
    /// units × K·inputs. In `f64` their sums of products are exact.
    pub(crate) weights: Packed<f64>,
    /// One a row.
    pub(crate) multiplier: Vec<i64>,
    /// One a row, the rounding half included.
    pub(crate) bias: Vec<i64>,
    /// To Q0.15.
    pub(crate) shift: u32,
    /// Relu, or nothing.
    pub(crate) relu: bool,
    /// What a column of a frame is worth: x = scale·q, one an input.
    pub(crate) input_scales: Vec<T>,
}

impl<T: Real> IntegerConv1d<T> {
    /// Runs the layer over `input` (inputs × columns below, integers) and leaves what [`Conv1d::forward`] leaves, and the derivatives of its values.
    pub(crate) fn forward(
        &self,
        layer: &Conv1d<T>,
        steps: Between<'_>,
        input: &[T],
        tape: &mut Tape<T>,
        (output, slopes): (&mut Vec<T>, &mut Vec<T>),
    ) {
        layer.gather(steps, input, tape);
        let (units, width) = layer.dense.kernel.shape();
        let columns: Vec<f64> = tape.window.iter().map(|value| value.as_f64()).collect();
        let mut sums = vec![0.0; units * steps.above.tokens()];
        product(&mut sums, &self.weights, |column| &columns[column * width..][..width], false);
        output.clear();
        slopes.clear();
        let rows = self.multiplier.iter().zip(&self.bias).cycle();
        for (&sum, (multiplier, bias)) in sums.iter().zip(rows) {
            // Columns under a dropout mask are no integers; their sum is taken to the nearest.
            let sum = ((sum.round() as i64).saturating_mul(*multiplier).saturating_add(*bias)) >> self.shift;
            let least = if self.relu { 0 } else { -32_768 };
            let value = sum.clamp(least, 32_767);
            let free = value == sum && !(self.relu && value == 0);
            output.push(T::of_integer(value as i32) * T::of(2_f64.powi(-15)));
            slopes.push(if free { T::one() } else { T::zero() });
        }
    }

    /// Turns gradients that were taken with integers as columns, and of values in Q0.15, into those of the real columns and values.
    pub(crate) fn scale_gradients(&self, gradients: &mut Conv1d<T>) {
        let columns = gradients.dense.kernel.as_mut_slice().chunks_exact_mut(self.multiplier.len());
        for (column, &scale) in columns.zip(self.input_scales.iter().cycle()) {
            column.iter_mut().for_each(|gradient| *gradient *= scale);
        }
    }
}
