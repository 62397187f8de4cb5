//! The part of a loss that is about teachers.

use crate::config::DistillConfig;

/// How much the teachers' probabilities count in a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distill {
    /// The share `a` of the loss.
    pub share: f64,
    /// The temperature `T`.
    pub temperature: f64,
}

impl Distill {
    /// `T²·CE(q, z/T)` of the logits `z(k)`, from the probabilities `p` of [`Targets::of`]; calls `each` with its derivative by each of them.
    ///
    /// ```text
    /// dL/dz_k = T·(softmax(z/T)_k − q_k)
    /// ```
    pub fn loss(&self, z: impl Fn(usize) -> f64, p: &[f32], mut each: impl FnMut(usize, f64)) -> f64 {
        let t = self.temperature;
        if let &[p] = p {
            // q = σ(ln(p/(1 − p))/T); certainty has a logit without bounds, so that it is held a hair below.
            let p = f64::from(p).clamp(1e-6, 1.0 - 1e-6);
            let q = 1.0 / (1.0 + (-(p / (1.0 - p)).ln() / t).exp());
            let z = z(0) / t;
            each(0, t * (1.0 / (1.0 + (-z).exp()) - q));
            return t * t * (z.max(0.0) - z * q + (-z.abs()).exp().ln_1p());
        }
        let largest = (0..p.len()).map(&z).fold(f64::NEG_INFINITY, f64::max) / t;
        let total: f64 = (0..p.len()).map(|k| (z(k) / t - largest).exp()).sum();
        let power = |p: f32| f64::from(p).max(1e-9).powf(1.0 / t);
        let powers: f64 = p.iter().map(|&p| power(p)).sum();
        let mut loss = 0.0;
        for (k, &p) in p.iter().enumerate() {
            let (z, q) = (z(k) / t, power(p) / powers);
            each(k, t * ((z - largest).exp() / total - q));
            loss += q * (largest + total.ln() - z);
        }
        t * t * loss
    }
}

/// `Σ (z(k) − p_k)²` of values, from those `p` of the teachers; calls `each` with its derivative by each of them, `2·(z_k − p_k)`.
pub fn loss_of_values(z: impl Fn(usize) -> f64, p: &[f32], mut each: impl FnMut(usize, f64)) -> f64 {
    let error = |(k, &p): (usize, &f32)| {
        let error = z(k) - f64::from(p);
        each(k, 2.0 * error);
        error * error
    };
    p.iter().enumerate().map(error).sum()
}

impl From<&DistillConfig> for Distill {
    fn from(config: &DistillConfig) -> Self {
        Distill { share: config.share, temperature: config.temperature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_logit_has_the_loss_of_two_classes() {
        let distill = Distill { share: 1.0, temperature: 3.0 };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let single = distill.loss(|_| 1.5, &[0.2], |_, derivative| one.push(derivative));
        let double = distill.loss(|k| [0.0, 1.5][k], &[0.8, 0.2], |_, derivative| two.push(derivative));
        assert!((single - double).abs() < 1e-6 && (one[0] - two[1]).abs() < 1e-6);
        // Sure as the teachers are, there is nothing left to learn.
        distill.loss(|_| (0.2_f64 / 0.8).ln(), &[0.2], |_, derivative| assert!(derivative.abs() < 1e-6));
    }
}
