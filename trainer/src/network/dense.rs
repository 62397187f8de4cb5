//! A dense layer: `y = f(W·x + b)`, at each step or after the pooling. The last of a chain is linear and makes the logits.

pub mod integers;

use super::tensors::{glorot, tensors};
use crate::config::chain::Activation;
use crate::products::{self, Packed, vectorized};
use crate::real::{Real, add_column_sum, multiply, product, product_with_transpose};
use nalgebra::DMatrix;
use rand::Rng;

/// Outputs from which on the way back takes Wᵀ in panels.
const PANELS: usize = 16;

/// The weights of a dense layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense<T: Real> {
    /// What the sums go through.
    pub activation: Activation,
    /// The kernel W, outputs × inputs.
    pub kernel: DMatrix<T>,
    /// The bias b, outputs × 1.
    pub bias: DMatrix<T>,
}

tensors!(Dense: kernel, bias);

impl<T: Real> Dense<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(inputs: usize, outputs: usize, activation: Activation) -> Self {
        Self { activation, kernel: DMatrix::zeros(outputs, inputs), bias: DMatrix::zeros(outputs, 1) }
    }

    /// Draws a Glorot-uniform kernel; the bias is zero.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        glorot(&mut self.kernel, rng);
        self.bias.fill(T::zero());
    }

    /// Takes up Wᵀ for the way back.
    pub(crate) fn update(&self, transpose: &mut Packed<T>) {
        let (outputs, inputs) = self.kernel.shape();
        if outputs >= PANELS {
            transpose.pack_transpose(self.kernel.as_slice(), inputs, outputs);
        }
    }

    /// Writes the outputs (outputs × columns) of `input` (inputs × columns).
    pub(crate) fn forward(&self, input: &[T], columns: usize, output: &mut Vec<T>) {
        let (outputs, inputs) = self.kernel.shape();
        output.clear();
        for _ in 0..columns {
            output.extend_from_slice(self.bias.as_slice());
        }
        product(output, self.kernel.as_slice(), input, (outputs, inputs, columns), T::one());
        match self.activation {
            Activation::Linear => {}
            Activation::Relu => vectorized(|| output.iter_mut().for_each(|y| *y = y.max(T::zero()))),
            Activation::Tanh => T::tanh_slice(output),
            Activation::Sigmoid => T::sigmoid_slice(output),
        }
    }

    /// Replaces `sums` with dL/dW and dL/db and `below` (inputs × columns) with dL/dinput, from `gradient`, dL/doutput (outputs × columns), which becomes
    /// that of the sums. `transpose` is what [`Dense::update`] took up, `output` what the forward pass wrote, and `slopes` the derivatives that a forward
    /// pass of integers left, or nothing.
    ///
    /// ```text
    /// dz = dy ∘ f'        relu' = 1 where y > 0,  tanh' = 1 - y²,  σ' = y(1 - y)
    /// ```
    pub(crate) fn backward(
        &self,
        transpose: &Packed<T>,
        input: &[T],
        (output, slopes): (&[T], &[T]),
        gradient: &mut [T],
        sums: &mut Self,
        below: &mut Vec<T>,
    ) {
        let (outputs, inputs) = self.kernel.shape();
        let columns = gradient.len() / outputs;
        if slopes.is_empty() {
            self.through_activation(output, gradient);
        } else {
            multiply(gradient, slopes);
        }
        let Self { kernel, bias, .. } = sums;
        product_with_transpose(kernel.as_mut_slice(), gradient, input, (outputs, columns, inputs), T::zero());
        bias.fill(T::zero());
        add_column_sum(bias.as_mut_slice(), gradient);
        below.resize(inputs * columns, T::zero());
        // dx = Wᵀ·dz
        if outputs >= PANELS {
            let gradient = &*gradient;
            products::product(below, transpose, |column| &gradient[outputs * column..][..outputs], false);
            return;
        }
        for (target, gradient) in below.chunks_exact_mut(inputs).zip(gradient.chunks_exact(outputs)) {
            for (target, weights) in target.iter_mut().zip(self.kernel.as_slice().chunks_exact(outputs)) {
                *target = weights.iter().zip(gradient).fold(T::zero(), |sum, (&w, &g)| sum + w * g);
            }
        }
    }

    fn through_activation(&self, output: &[T], gradient: &mut [T]) {
        macro_rules! each {
            ($activation:ident) => {
                vectorized(|| {
                    for (gradient, &y) in gradient.iter_mut().zip(output) {
                        *gradient *= slope(Activation::$activation, y);
                    }
                })
            };
        }
        match self.activation {
            Activation::Linear => {}
            Activation::Relu => each!(Relu),
            Activation::Tanh => each!(Tanh),
            Activation::Sigmoid => each!(Sigmoid),
        }
    }
}

/// The derivative of an activation, from its value.
#[inline(always)]
fn slope<T: Real>(activation: Activation, y: T) -> T {
    match activation {
        Activation::Linear => T::one(),
        Activation::Relu if y > T::zero() => T::one(),
        Activation::Relu => T::zero(),
        Activation::Tanh => T::one() - y * y,
        Activation::Sigmoid => y * (T::one() - y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;
    use rand::RngExt;

    #[test]
    fn forward_and_backward_equal_the_formulas() {
        for (inputs, outputs, columns) in [(3, 1, 2), (12, 8, 10), (5, 17, 9)] {
            for activation in [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
                let rng = &mut generator([3, 0, 0, 0]);
                let mut layer = Dense::<f64>::zeros(inputs, outputs, activation);
                layer.initialize(rng);
                layer.bias = DMatrix::from_fn(outputs, 1, |_, _| rng.random::<f64>() - 0.5);
                let input = DMatrix::from_fn(inputs, columns, |_, _| rng.random::<f64>() - 0.5);
                let gradient = DMatrix::from_fn(outputs, columns, |_, _| rng.random::<f64>());
                let (mut output, mut transpose) = (Vec::new(), Packed::default());
                layer.update(&mut transpose);
                layer.forward(input.as_slice(), columns, &mut output);
                let bias = DMatrix::from_fn(outputs, columns, |row, _| layer.bias[row]);
                let z = &layer.kernel * &input + bias;
                let value = |z: f64| match activation {
                    Activation::Linear => (z, 1.0),
                    Activation::Relu => (z.max(0.0), f64::from(u8::from(z > 0.0))),
                    Activation::Tanh => (z.tanh(), 1.0 - z.tanh().powi(2)),
                    Activation::Sigmoid => {
                        let y = 1.0 / (1.0 + (-z).exp());
                        (y, y * (1.0 - y))
                    }
                };
                let found = DMatrix::from_column_slice(outputs, columns, &output);
                assert!((found - z.map(|z| value(z).0)).abs().max() < 1e-13);

                let (mut sums, mut below) = (Dense::zeros(inputs, outputs, activation), Vec::new());
                let mut changed = gradient.as_slice().to_vec();
                layer.backward(&transpose, input.as_slice(), (&output, &[]), &mut changed, &mut sums, &mut below);
                let dz = gradient.component_mul(&z.map(|z| value(z).1));
                assert!((sums.kernel - &dz * input.transpose()).abs().max() < 1e-13);
                assert!((sums.bias - dz.column_sum()).abs().max() < 1e-13);
                let below = DMatrix::from_vec(inputs, columns, below);
                assert!((below - layer.kernel.transpose() * dz).abs().max() < 1e-13);
            }
        }
    }
}
