//! The dense head: `logits = W·r + b`.

use crate::real::{Real, add_column_sum, product, product_with_transpose, tensor};
use nalgebra::DMatrix;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The weights of a dense layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Real")]
pub struct Dense<T: Real> {
    /// The kernel W, outputs × inputs.
    #[serde(with = "tensor")]
    pub kernel: DMatrix<T>,
    /// The bias b, outputs × 1.
    #[serde(with = "tensor")]
    pub bias: DMatrix<T>,
}

impl<T: Real> Dense<T> {
    /// A layer with a Glorot-uniform kernel and a bias of zero.
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl Rng) -> Self {
        let limit = (6.0 / (inputs + outputs) as f64).sqrt();
        let kernel = DMatrix::from_fn(outputs, inputs, |_, _| T::of((rng.random::<f64>() * 2.0 - 1.0) * limit));
        Self { kernel, bias: DMatrix::zeros(outputs, 1) }
    }

    /// A layer of zeros in the shape of this one: the place for its gradient.
    pub(crate) fn zeros_like(&self) -> Self {
        let (outputs, inputs) = self.kernel.shape();
        Self { kernel: DMatrix::zeros(outputs, inputs), bias: DMatrix::zeros(outputs, 1) }
    }

    /// Writes the logits (outputs × columns) of `input` (inputs × columns).
    pub(crate) fn forward(&self, input: &[T], columns: usize, output: &mut Vec<T>) {
        let (outputs, inputs) = self.kernel.shape();
        output.clear();
        for _ in 0..columns {
            output.extend_from_slice(self.bias.as_slice());
        }
        product(output, self.kernel.as_slice(), input, (outputs, inputs, columns), T::one());
    }

    /// Replaces `weights_gradient` with dL/dW and dL/db and `input_gradient` (inputs × columns) with dL/dinput, from
    /// `gradient`, dL/dlogits (outputs × columns).
    pub(crate) fn backward(
        &self,
        input: &[T],
        gradient: &[T],
        columns: usize,
        weights_gradient: &mut Self,
        input_gradient: &mut Vec<T>,
    ) {
        let (outputs, inputs) = self.kernel.shape();
        let shape = (outputs, columns, inputs);
        let Self { kernel, bias } = weights_gradient;
        product_with_transpose(kernel.as_mut_slice(), gradient, input, shape, T::zero());
        bias.fill(T::zero());
        add_column_sum(bias.as_mut_slice(), gradient);
        input_gradient.resize(inputs * columns, T::zero());
        // dr = Wᵀ·dlogits
        for (target, gradient) in input_gradient.chunks_exact_mut(inputs).zip(gradient.chunks_exact(outputs)) {
            for (target, weights) in target.iter_mut().zip(self.kernel.as_slice().chunks_exact(outputs)) {
                *target = weights.iter().zip(gradient).fold(T::zero(), |sum, (&w, &g)| sum + w * g);
            }
        }
    }
}

/// The integers of a head, as an image has them: `logit·2^16 = ((Σ w·v)·M + 2^(shift - 1) >> shift) + B`, with the readout v in Q0.15.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerHead {
    /// outputs × inputs, row-major.
    pub(crate) weights: Vec<i16>,
    /// One an output.
    pub(crate) multipliers: Vec<u16>,
    /// One an output, Q15.16.
    pub(crate) biases: Vec<i32>,
    pub(crate) shift: u8,
}

impl IntegerHead {
    /// The logits (outputs × columns) of `input` (inputs × columns), which is rounded to Q0.15. Sums stay below 2^53, so that `f64` holds them exactly.
    pub(crate) fn forward<T: Real>(&self, input: &[T], output: &mut Vec<T>) {
        let inputs = self.weights.len() / self.multipliers.len();
        output.clear();
        for column in input.chunks_exact(inputs) {
            let rows = self.weights.chunks_exact(inputs).zip(&self.multipliers).zip(&self.biases);
            output.extend(rows.map(|((row, &multiplier), &bias)| {
                let value = |v: T| (v.as_f64() * 32_768.0).round();
                let sum: f64 = row.iter().zip(column).map(|(&w, &v)| f64::from(w) * value(v)).sum();
                let scaled = (sum * f64::from(multiplier) / 2_f64.powi(i32::from(self.shift)) + 0.5).floor();
                T::of((scaled + f64::from(bias)).clamp(f64::from(i32::MIN), f64::from(i32::MAX)) / 65_536.0)
            }));
        }
    }

    /// Writes the real values of the integers into a layer of the same shape.
    pub(crate) fn write_real<T: Real>(&self, layer: &mut Dense<T>) {
        let (outputs, inputs) = layer.kernel.shape();
        for output in 0..outputs {
            let scale = f64::from(self.multipliers[output]) / 2_f64.powi(i32::from(self.shift) + 1);
            for input in 0..inputs {
                layer.kernel[(output, input)] = T::of(f64::from(self.weights[output * inputs + input]) * scale);
            }
            layer.bias[output] = T::of(f64::from(self.biases[output]) / 65_536.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;

    #[test]
    fn forward_and_backward_equal_the_formulas() {
        for (inputs, outputs, columns) in [(3, 1, 2), (12, 8, 10)] {
            let rng = &mut generator([3, 0, 0, 0]);
            let mut layer = Dense::<f64>::new(inputs, outputs, rng);
            layer.bias = DMatrix::from_fn(outputs, 1, |_, _| rng.random());
            let input = DMatrix::from_fn(inputs, columns, |_, _| rng.random::<f64>());
            let gradient = DMatrix::from_fn(outputs, columns, |_, _| rng.random::<f64>());
            let mut logits = Vec::new();
            layer.forward(input.as_slice(), columns, &mut logits);
            let bias = DMatrix::from_fn(outputs, columns, |row, _| layer.bias[row]);
            let expected = &layer.kernel * &input + bias;
            let logits = DMatrix::from_vec(outputs, columns, logits);
            assert!((logits - expected).abs().max() < 1e-13);

            let (mut weights, mut input_gradient) = (layer.zeros_like(), Vec::new());
            layer.backward(input.as_slice(), gradient.as_slice(), columns, &mut weights, &mut input_gradient);
            assert!((weights.kernel - &gradient * input.transpose()).abs().max() < 1e-13);
            assert!((weights.bias - gradient.column_sum()).abs().max() < 1e-13);
            let input_gradient = DMatrix::from_vec(inputs, columns, input_gradient);
            let expected = layer.kernel.transpose() * gradient;
            assert!((input_gradient - expected).abs().max() < 1e-13);
        }
    }
}
