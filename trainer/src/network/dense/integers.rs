//! A dense layer forward in the engine's integers, for quantization-aware training.
//!
//! ```text
//! s = ((Σ w·v)·M + 2^(shift - 1) >> shift) + B          v in Q0.15
//! logit = sat32(s)                                      Q15.16: the layer that answers
//! y = f(sat16(s))                                       Q0.15: any other
//! ```
//!
//! Without dropout every number here is the engine's. Features of real numbers, which dropout makes, are rounded to Q0.15. The tape gets the values as
//! numbers, and the derivative of each: that of the activation, and zero where s leaves its 16 bits.

use super::Dense;
use crate::config::chain::Activation;
use crate::products::{Packed, product};
use crate::real::{Real, sigmoid_q15, tanh_q15};

/// The integers of a layer.
#[derive(Debug, Clone)]
pub struct IntegerDense<T> {
    /// outputs × inputs. In `f64` their sums of products, at most 2^41 without dropout, are exact.
    pub(crate) weights: Packed<f64>,
    /// One an output.
    pub(crate) multiplier: Vec<i64>,
    /// One an output, behind the shift.
    pub(crate) bias: Vec<i64>,
    /// From sums times multiplier to the scale of the bias.
    pub(crate) shift: u32,
    /// What follows the sums; none for the layer that answers.
    pub(crate) activation: Option<Activation>,
    /// What 1 is worth of each feature, one an input.
    pub(crate) input_worth: Vec<T>,
}

impl<T: Real> IntegerDense<T> {
    /// Runs the layer over `input` (inputs × columns, Q0.15 as numbers), and replaces `output` (outputs × columns) with its logits, or with its values in
    /// Q0.15 as numbers and `slopes` with their derivatives after s.
    pub(crate) fn forward(&self, input: &[T], output: &mut Vec<T>, slopes: &mut Vec<T>) {
        let (inputs, outputs) = (self.input_worth.len(), self.multiplier.len());
        let values: Vec<f64> = input.iter().map(|v| (v.as_f64() * 32_768.0).round()).collect();
        let mut sums = vec![0.0; input.len() / inputs * outputs];
        product(&mut sums, &self.weights, |column| &values[column * inputs..][..inputs], false);
        output.clear();
        slopes.clear();
        let mut narrow = vec![0_i16; outputs];
        for dots in sums.chunks_exact(outputs) {
            let sum = |row: usize| {
                let half = 1 << (self.shift - 1);
                let scaled = (dots[row] as i64).saturating_mul(self.multiplier[row]).saturating_add(half);
                (scaled >> self.shift) + self.bias[row]
            };
            let Some(activation) = self.activation else {
                let logit = |sum: i64| sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as f64 / 65_536.0;
                output.extend((0..outputs).map(|row| T::of(logit(sum(row)))));
                continue;
            };
            let from = output.len();
            for (row, narrow) in narrow.iter_mut().enumerate() {
                let sum = sum(row);
                *narrow = sum.clamp(-32_768, 32_767) as i16;
                slopes.push(if i64::from(*narrow) == sum { T::one() } else { T::zero() });
            }
            match activation {
                Activation::Linear => {}
                Activation::Relu => narrow.iter_mut().for_each(|value| *value = (*value).max(0)),
                Activation::Tanh => tanh_q15(&mut narrow),
                Activation::Sigmoid => sigmoid_q15(&mut narrow),
            }
            output.extend(narrow.iter().map(|&y| T::of_integer(i32::from(y)) * T::of(2_f64.powi(-15))));
            for (slope, &y) in slopes[from..].iter_mut().zip(&output[from..]) {
                *slope *= super::slope(activation, y);
            }
        }
    }

    /// Turns gradients that were taken with features in Q0.15 into those of the features' real values.
    pub(crate) fn scale_gradients(&self, gradients: &mut Dense<T>) {
        let columns = gradients.kernel.as_mut_slice().chunks_exact_mut(self.multiplier.len());
        for (column, &worth) in columns.zip(&self.input_worth) {
            column.iter_mut().for_each(|gradient| *gradient *= worth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One output that reads one feature with the weight 1: s = v + bias.
    fn layer(activation: Activation, bias: i64) -> IntegerDense<f64> {
        let mut weights = Packed::default();
        weights.pack(1, 1, |_| &[1.0]);
        IntegerDense {
            weights,
            multiplier: vec![2],
            bias: vec![bias],
            shift: 1,
            activation: Some(activation),
            input_worth: vec![1.0],
        }
    }

    fn run(activation: Activation, bias: i64, feature: i32) -> (f64, f64) {
        let (mut output, mut slopes) = (Vec::new(), Vec::new());
        layer(activation, bias).forward(&[f64::from(feature) / 32_768.0], &mut output, &mut slopes);
        (output[0] * 32_768.0, slopes[0])
    }

    #[test]
    fn a_value_that_saturates_or_that_relu_cuts_has_no_slope() {
        use Activation::{Linear, Relu, Sigmoid, Tanh};
        for (activation, bias, feature, expected) in [
            (Linear, 30_000, 2_767, (32_767.0, 1.0)),
            (Linear, 30_000, 2_768, (32_767.0, 0.0)),
            (Linear, -30_000, -2_768, (-32_768.0, 1.0)),
            (Linear, -30_000, -2_769, (-32_768.0, 0.0)),
            (Relu, 100, -100, (0.0, 0.0)),
            (Relu, 100, -99, (1.0, 1.0)),
            (Relu, 30_000, 2_767, (32_767.0, 1.0)),
            (Relu, 30_000, 2_768, (32_767.0, 0.0)),
            (Tanh, 30_000, 2_768, (32_767.0, 0.0)),
            (Sigmoid, -30_000, -2_769, (11.0, 0.0)),
        ] {
            assert_eq!(run(activation, bias, feature), expected, "{activation:?} {bias} {feature}");
        }
    }

    /// Over steps so long that rounding does not count, the integers rise as their slopes say.
    #[test]
    fn slopes_equal_differences_of_the_integers() {
        for activation in [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            // What one of s is worth over what one of y is.
            let unit = match activation {
                Activation::Linear | Activation::Relu => 1.0,
                Activation::Tanh | Activation::Sigmoid => 8.0,
            };
            for feature in (-32_000_i32..32_000).step_by(997).filter(|feature| feature.abs() > 600) {
                let step = 512;
                let [above, below] = [feature + step, feature - step].map(|at| run(activation, 0, at).0);
                let expected = (above - below) / (2.0 * f64::from(step) * unit);
                let slope = run(activation, 0, feature).1;
                assert!((slope - expected).abs() < 5e-3, "{activation:?} {feature}: {slope} {expected}");
            }
        }
    }
}
