//! Layer normalization, forward and backward: Ba, Kiros and Hinton 2016, "Layer normalization".
//!
//! ```text
//! x̂ = (x - mean(x)) / √(variance(x) + ε)          y = scale ∘ x̂ + bias          over the features of a step, or of what a pooling leaves
//! ```

use super::tensors::tensors;
use crate::real::Real;
use nalgebra::DMatrix;

/// The weights of a layer normalization.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm<T: Real> {
    /// ε, above 0.
    pub epsilon: f32,
    /// What each feature is multiplied by, features × 1.
    pub scale: DMatrix<T>,
    /// What is added to it, features × 1.
    pub bias: DMatrix<T>,
}

tensors!(LayerNorm: scale, bias);

impl<T: Real> LayerNorm<T> {
    /// A layer of zeros.
    pub(crate) fn zeros(features: usize, epsilon: f32) -> Self {
        Self { epsilon, scale: DMatrix::zeros(features, 1), bias: DMatrix::zeros(features, 1) }
    }

    /// Has the layer hand on x̂.
    pub(crate) fn initialize(&mut self) {
        self.scale.fill(T::one());
        self.bias.fill(T::zero());
    }

    /// Mean of a column, and 1 / √(variance + ε).
    fn moments(&self, x: &[T]) -> (T, T) {
        let count = T::of(x.len() as f64);
        let mean = x.iter().fold(T::zero(), |sum, x| sum + *x) / count;
        let variance = x.iter().fold(T::zero(), |sum, x| sum + (*x - mean) * (*x - mean)) / count;
        (mean, T::one() / (variance + T::of(f64::from(self.epsilon))).sqrt())
    }

    /// Writes y of all columns of `input` (features × columns).
    pub(crate) fn forward(&self, input: &[T], output: &mut Vec<T>) {
        let features = self.scale.len();
        output.clear();
        for x in input.chunks_exact(features) {
            let (mean, factor) = self.moments(x);
            let of = |(x, (scale, bias)): (&T, (&T, &T))| *scale * ((*x - mean) * factor) + *bias;
            output.extend(x.iter().zip(self.scale.iter().zip(self.bias.iter())).map(of));
        }
    }

    /// Replaces `sums` with the gradients of the weights and `below` with dL/dinput, from dL/doutput (features × columns).
    ///
    /// ```text
    /// dscale = Σ dy ∘ x̂     dbias = Σ dy     dx̂ = dy ∘ scale     dx = (dx̂ - mean(dx̂) - x̂·mean(dx̂ ∘ x̂)) / √(variance + ε)
    /// ```
    pub(crate) fn backward(&self, input: &[T], gradient: &[T], sums: &mut Self, below: &mut Vec<T>) {
        let features = self.scale.len();
        let count = T::of(features as f64);
        sums.scale.fill(T::zero());
        sums.bias.fill(T::zero());
        below.clear();
        for (x, dy) in input.chunks_exact(features).zip(gradient.chunks_exact(features)) {
            let (mean, factor) = self.moments(x);
            let (mut all, mut along) = (T::zero(), T::zero());
            for (place, (&x, &dy)) in x.iter().zip(dy).enumerate() {
                let normal = (x - mean) * factor;
                sums.scale[place] += dy * normal;
                sums.bias[place] += dy;
                all += dy * self.scale[place];
                along += dy * self.scale[place] * normal;
            }
            let (all, along) = (all / count, along / count);
            let of = |(place, (&x, &dy)): (usize, (&T, &T))| {
                (dy * self.scale[place] - all - (x - mean) * factor * along) * factor
            };
            below.extend(x.iter().zip(dy).enumerate().map(of));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean 3, variance 8, and ε of 1: a root of 3.
    #[test]
    fn a_column_computed_by_hand() {
        let mut layer = LayerNorm::<f64>::zeros(4, 1.0);
        layer.scale.copy_from_slice(&[3.0, 3.0, 3.0, 1.0]);
        layer.bias.copy_from_slice(&[0.5, 0.0, -1.0, 2.0]);
        let mut output = Vec::new();
        layer.forward(&[-1.0, 7.0, 3.0, 3.0, 5.0, 5.0, 5.0, 5.0], &mut output);
        let expected = [-3.5, 4.0, -1.0, 2.0, 0.5, 0.0, -1.0, 2.0];
        assert!(output.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{output:?}");
    }
}
