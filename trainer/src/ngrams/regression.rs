//! Logistic and linear regression with a quadratic penalty, for many sparse features.
//!
//! ```text
//! minimise ½·|w|² + C·Σ ln(1 + e^(−y·w·x))      y = ±1, x with a constant feature 1 for the bias
//! minimise ½·|w|² + C·Σ (y − w·x)²              y a value
//! ```
//!
//! by coordinate descent in the dual (Yu, Huang and Lin 2011): every text has one dual variable α in (0, C), found by Newton's method with the
//! others held, and `w = Σ α·y·x` is kept up to date.

use rand::seq::SliceRandom;

use crate::batches::generator;

/// Features of one sequence: numbers and values, by rising number.
pub(crate) type Features = Vec<(u32, f32)>;

/// Sequences with labels.
pub(crate) struct Problem<'a> {
    /// The sequences' features.
    pub(crate) features: &'a [Features],
    /// From 0 to 1: between, a text counts as so much of one of the positive class and the rest of one of the other.
    pub(crate) labels: &'a [f32],
    /// Numbers of features lie below this.
    pub(crate) width: usize,
}

/// Weights of the features.
pub(crate) struct Solution {
    /// One a feature.
    pub(crate) weights: Vec<f32>,
    /// Of the constant feature.
    pub(crate) bias: f32,
}

/// Passes over the sequences, at most; and the largest change of a gradient at which it ends before.
const PASSES: usize = 60;
const TOLERANCE: f64 = 0.01;

impl Solution {
    /// `w·x + b`.
    pub(crate) fn logit(&self, features: &Features) -> f32 {
        features.iter().map(|&(number, value)| self.weights[number as usize] * value).sum::<f32>() + self.bias
    }
}

impl Problem<'_> {
    /// The minimum for a strength `C` of the loss, in an order of the sequences that the seed decides.
    pub(crate) fn solve(&self, strength: f32, seed: u64) -> Solution {
        let c = f64::from(strength);
        let mut solution = Solution { weights: vec![0.0; self.width], bias: 0.0 };
        let squares: Vec<f64> = self
            .features
            .iter()
            .map(|features| 1.0 + features.iter().map(|&(_, value)| f64::from(value).powi(2)).sum::<f64>())
            .collect();
        // α near zero is where all begin; C − α is kept beside it, exact near both ends.
        let begin = (0.001 * c).min(1e-8);
        // A label between has w = Σ y·(α − C·u)·x with u = |y's label − label|, for its part of the other class pulls the other way.
        let mut duals = Vec::with_capacity(self.features.len());
        for (features, &label) in self.features.iter().zip(self.labels) {
            let other = c * f64::from(label.min(1.0 - label)).max(0.0);
            let dual = other.max(begin);
            duals.push([dual, c - dual]);
            solution.add(features, ((dual - other) * sign(label)) as f32);
        }
        let mut order: Vec<usize> = (0..self.features.len()).collect();
        let mut rng = generator([seed, 0x6e67_7261, 0, 0]);
        for _ in 0..PASSES {
            order.shuffle(&mut rng);
            let mut largest = 0.0_f64;
            for &index in &order {
                let (features, y) = (&self.features[index], sign(self.labels[index]));
                let margin = y * f64::from(solution.logit(features));
                let (change, gradient) = newton(&mut duals[index], c, squares[index], margin);
                largest = largest.max(gradient.abs());
                if change != 0.0 {
                    solution.add(features, (change * y) as f32);
                }
            }
            if largest < TOLERANCE {
                break;
            }
        }
        solution
    }
}

impl Problem<'_> {
    /// The minimum of the squared error: every text's dual variable has its minimum in closed form with the others held (Ho and Lin, "Large-scale linear support
    /// vector regression", 2012).
    ///
    /// ```text
    /// α ← α + (y − w·x − α/(2C)) / (|x|² + 1/(2C))      w = Σ α·x
    /// ```
    pub(crate) fn solve_values(&self, strength: f32, seed: u64) -> Solution {
        let damping = 0.5 / f64::from(strength);
        let mut solution = Solution { weights: vec![0.0; self.width], bias: 0.0 };
        let mut duals = vec![0.0; self.features.len()];
        let mut order: Vec<usize> = (0..self.features.len()).collect();
        let mut rng = generator([seed, 0x6e67_7261, 1, 0]);
        for _ in 0..PASSES {
            order.shuffle(&mut rng);
            let mut largest = 0.0_f64;
            for &index in &order {
                let features = &self.features[index];
                let square = 1.0 + features.iter().map(|&(_, value)| f64::from(value).powi(2)).sum::<f64>();
                let error = f64::from(self.labels[index]) - f64::from(solution.logit(features));
                let change = (error - duals[index] * damping) / (square + damping);
                duals[index] += change;
                largest = largest.max(change.abs());
                solution.add(features, change as f32);
            }
            if largest < 1e-4 {
                break;
            }
        }
        solution
    }
}

impl Solution {
    fn add(&mut self, features: &Features, times: f32) {
        for &(number, value) in features {
            self.weights[number as usize] += times * value;
        }
        self.bias += times;
    }
}

fn sign(label: f32) -> f64 {
    if label > 0.5 { 1.0 } else { -1.0 }
}

/// The best α with the others held: the root of `g'(z) = a·(z − α) + margin + ln(z / (C − z))`. Works on the smaller of α and C − α,
/// `dual` having both, so that the logarithm stays exact. Gives the change of α, and the gradient before.
fn newton(dual: &mut [f64; 2], c: f64, a: f64, margin: f64) -> (f64, f64) {
    // At α = C/2 the derivative tells on which side the root lies.
    let (near, side) = if 0.5 * a * (dual[1] - dual[0]) + margin < 0.0 { (1, -1.0) } else { (0, 1.0) };
    let old = dual[near];
    let derivative = |z: f64| a * (z - old) + side * margin + (z / (c - z)).ln();
    let mut z = if c - old < 0.5 * c { 0.1 * old } else { old };
    let mut gradient = derivative(z);
    let first = gradient;
    for _ in 0..50 {
        if gradient.abs() < 1e-6 {
            break;
        }
        let next = z - gradient / (a + c / (c - z) / z);
        z = if next <= 0.0 { 0.1 * z } else { next.min(c * (1.0 - 1e-12)) };
        gradient = derivative(z);
    }
    dual[near] = z;
    dual[1 - near] = c - z;
    (side * (z - old), first)
}

/// Gain and bias that make `gain·z + bias` the best logits for the labels (Platt 1999), and their mean loss in nats.
pub(crate) fn calibrate(logits: &[f32], labels: &[f32]) -> (f32, f32, f64) {
    let ([gain, bias], loss) = regress(logits.iter().map(|&z| [f64::from(z), 1.0]), labels, [1.0, 0.0], 0.0);
    (gain as f32, bias as f32, loss)
}

/// Weights `w` with the least loss on labelled examples, which has one minimum, and the mean loss without the penalty; by Newton's method, of which no step makes it worse:
///
/// ```text
/// Σ ln(1 + e^(−y·w·x)) + prior/2·|w − begin|²
/// ```
///
/// A `prior` above zero holds weights where they began as long as few examples say otherwise.
pub(crate) fn regress<const N: usize>(
    examples: impl Iterator<Item = [f64; N]> + Clone,
    labels: &[f32],
    begin: [f64; N],
    prior: f64,
) -> ([f64; N], f64) {
    let dot = |w: &[f64; N], x: &[f64; N]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let loss = |z: f64, y: f64| z.max(0.0) - z * y + (-z.abs()).exp().ln_1p();
    let sum = |w: &[f64; N]| -> f64 {
        examples.clone().zip(labels).map(|(x, &y)| loss(dot(w, &x), f64::from(y))).sum::<f64>()
    };
    let w = newton_minimum(begin, prior, sum, |w| {
        let mut gradient = [0.0; N];
        let mut curvature = [[0.0; N]; N];
        for (x, &y) in examples.clone().zip(labels) {
            let p = 1.0 / (1.0 + (-dot(w, &x)).exp());
            for i in 0..N {
                gradient[i] += (p - f64::from(y)) * x[i];
                for j in 0..N {
                    curvature[i][j] += p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        (gradient, curvature)
    });
    (w, sum(&w) / labels.len().max(1) as f64)
}

/// The minimum of `loss(w) + prior/2·|w − begin|²` within ±10, for a convex loss with its gradient and curvature. A step is halved until it does not make the sum larger, which a full one can
/// where weights are nearly exchangeable.
pub(super) fn newton_minimum<const N: usize>(
    begin: [f64; N],
    prior: f64,
    loss: impl Fn(&[f64; N]) -> f64,
    slopes: impl Fn(&[f64; N]) -> ([f64; N], [[f64; N]; N]),
) -> [f64; N] {
    const LARGEST: f64 = 10.0;
    let whole = |w: &[f64; N]| {
        let apart: f64 = w.iter().zip(&begin).map(|(w, begin)| (w - begin).powi(2)).sum();
        loss(w) + prior / 2.0 * apart
    };
    let mut w = begin;
    let mut now = whole(&w);
    for _ in 0..30 {
        let (mut gradient, mut curvature) = slopes(&w);
        for i in 0..N {
            gradient[i] += prior * (w[i] - begin[i]);
            curvature[i][i] += prior;
        }
        let step = solve_damped(curvature, gradient);
        let longest = step.iter().fold(0.0_f64, |longest, step| longest.max(step.abs()));
        let mut share = if longest > 1.0 { 1.0 / longest } else { 1.0 };
        let next = (0..30).find_map(|_| {
            let next: [f64; N] = std::array::from_fn(|i| (w[i] - share * step[i]).clamp(-LARGEST, LARGEST));
            share /= 2.0;
            let then = whole(&next);
            (then <= now).then_some((next, then))
        });
        let Some((next, then)) = next else { break };
        (w, now) = (next, then);
        if longest.is_nan() || longest < 1e-9 {
            break;
        }
    }
    w
}

/// Weights `w` with the least squared error `Σ (y − w·x)²` of examples whose label is not NaN, and the mean of it.
pub(crate) fn least_squares<const N: usize>(
    examples: impl Iterator<Item = [f64; N]> + Clone,
    labels: &[f32],
) -> ([f64; N], f64) {
    let labelled = || examples.clone().zip(labels).filter(|(_, label)| !label.is_nan());
    let (mut moments, mut products) = ([[0.0; N]; N], [0.0; N]);
    for (x, &y) in labelled() {
        for i in 0..N {
            products[i] += x[i] * f64::from(y);
            (0..N).for_each(|j| moments[i][j] += x[i] * x[j]);
        }
    }
    let w = solve_damped(moments, products);
    let error = |(x, &y): ([f64; N], &f32)| (w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() - f64::from(y)).powi(2);
    let (sum, count) = labelled().map(error).fold((0.0, 0_u32), |(sum, count), error| (sum + error, count + 1));
    (w, sum / f64::from(count.max(1)))
}

/// The gain from 1/32 to 32 with the least loss, which has one minimum, and this loss; by golden sections of the gain's logarithm.
pub(crate) fn best_gain(loss: impl Fn(f64) -> f64) -> (f64, f64) {
    let section = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-(32.0_f64.ln()), 32.0_f64.ln());
    let at = |from: f64, to: f64| to - section * (to - from);
    let (mut left, mut right) = (at(low, high), at(high, low));
    let (mut left_loss, mut right_loss) = (loss(left.exp()), loss(right.exp()));
    for _ in 0..30 {
        if left_loss <= right_loss {
            (high, right, right_loss) = (right, left, left_loss);
            left = at(low, high);
            left_loss = loss(left.exp());
        } else {
            (low, left, left_loss) = (left, right, right_loss);
            right = at(high, low);
            right_loss = loss(right.exp());
        }
    }
    (left.exp(), left_loss)
}

/// Solves `a·x = b`, with a little of the identity, which keeps features that are always zero where they are.
pub(crate) fn solve_damped<const N: usize>(mut a: [[f64; N]; N], b: [f64; N]) -> [f64; N] {
    (0..N).for_each(|i| a[i][i] += 1e-6);
    solve(a, b)
}

/// Solves `a·x = b` for a positive definite matrix, by Gaussian elimination.
fn solve<const N: usize>(mut a: [[f64; N]; N], mut b: [f64; N]) -> [f64; N] {
    for i in 0..N {
        for j in i + 1..N {
            let factor = a[j][i] / a[i][i];
            (i..N).for_each(|k| a[j][k] -= factor * a[i][k]);
            b[j] -= factor * b[i];
        }
    }
    for i in (0..N).rev() {
        b[i] = (b[i] - (i + 1..N).map(|k| a[i][k] * b[k]).sum::<f64>()) / a[i][i];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Labels drawn from a known logit.
    fn drawn(count: usize) -> (Vec<Features>, Vec<f32>) {
        let mut rng = generator([7, 0, 0, 0]);
        let example = |_| {
            let features: Features = (0..5).map(|number| (number, rng.random_range(-1.0_f32..1.0))).collect();
            let z = 2.0 * features[0].1 - 3.0 * features[1].1 + 0.5;
            let label = f32::from(u8::from(rng.random_range(0.0_f32..1.0) < 1.0 / (1.0 + (-z).exp())));
            (features, label)
        };
        (0..count).map(example).unzip()
    }

    #[test]
    fn the_gradient_of_the_penalised_loss_is_zero_at_the_solution() {
        let (features, labels) = drawn(500);
        let solution = Problem { features: &features, labels: &labels, width: 5 }.solve(0.5, 1);
        let mut gradient: Vec<f64> = solution.weights.iter().map(|&weight| f64::from(weight)).collect();
        let mut of_bias = f64::from(solution.bias);
        for (features, &label) in features.iter().zip(&labels) {
            let error = 0.5 * (1.0 / (1.0 + (-f64::from(solution.logit(features))).exp()) - f64::from(label));
            features.iter().for_each(|&(number, value)| gradient[number as usize] += error * f64::from(value));
            of_bias += error;
        }
        gradient.push(of_bias);
        assert!(gradient.iter().all(|each| each.abs() < 0.02), "{gradient:?}");
    }

    #[test]
    fn calibration_finds_the_gain_that_was_taken_away() {
        let (features, labels) = drawn(4000);
        let truth: Vec<f32> = features.iter().map(|x| 2.0 * x[0].1 - 3.0 * x[1].1 + 0.5).collect();
        let shrunk: Vec<f32> = truth.iter().map(|z| (z - 0.5) / 4.0).collect();
        let (gain, bias, loss) = calibrate(&shrunk, &labels);
        assert!((gain - 4.0).abs() < 0.4 && (bias - 0.5).abs() < 0.15, "{gain} {bias}");
        assert!(loss <= calibrate(&truth, &labels).2 + 1e-9);
    }

    #[test]
    fn values_are_fitted_where_the_gradient_is_zero() {
        let (features, _) = drawn(300);
        let labels: Vec<f32> = features.iter().map(|x| 2.0 * x[0].1 - 3.0 * x[1].1 + 0.5).collect();
        let solution = Problem { features: &features, labels: &labels, width: 5 }.solve_values(0.5, 1);
        let mut gradient: Vec<f64> = solution.weights.iter().map(|&weight| f64::from(weight)).collect();
        for (features, &label) in features.iter().zip(&labels) {
            let error = f64::from(solution.logit(features) - label);
            features.iter().for_each(|&(number, value)| gradient[number as usize] += error * f64::from(value));
        }
        assert!(gradient.iter().all(|each| each.abs() < 0.05), "{gradient:?}");
    }

    #[test]
    fn the_gain_of_the_least_loss_is_found() {
        let (gain, loss) = best_gain(|gain| (gain.ln() - 1.3).powi(2) + 2.0);
        assert!((gain.ln() - 1.3).abs() < 1e-4 && (loss - 2.0).abs() < 1e-8, "{gain} {loss}");
    }
}
