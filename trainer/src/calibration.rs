//! How sure answers are: probabilities of logits, what is wrong with them, and the temperature that puts it right.
//!
//! A network that says 90 % should be right nine times of ten. Temperature scaling (Guo, Pleiss, Sun and Weinberger, "On Calibration of
//! Modern Neural Networks", 2017) divides all logits by one number T that is fitted on validation examples; no verdict changes. The head is
//! linear, so that T goes into its weights and biases and costs a device nothing.

use crate::learning::sequences::Scale;
use crate::metrics::{cross_entropy, mean_loss, probabilities, take_turns};
use crate::quantizer::Weights;

/// The temperatures that are looked at.
const TEMPERATURES: (f64, f64) = (0.05, 20.0);

/// The temperature of the least loss on validation answers, each of `outputs` logits; 1 where none lowers it.
///
/// Labels count as Platt's: of class k, which has `n_k` examples, `(n_k + 1) / (n_k + K)`, and the rest shared by the others ("Probabilistic
/// outputs for support vector machines", 1999). So even answers that are all right do not become certain.
pub fn temperature(logits: &[f32], labels: &[f32], outputs: usize) -> f64 {
    let classes = outputs.max(2);
    let mut counts = vec![0.0; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1.0);
    // The derivative of the loss by 1/T, which rises with it: Σ (softmax(z/T)_k − y_k)·z_k.
    let slope = |inverse: f64| -> f64 {
        let answers = logits.chunks_exact(outputs).zip(labels);
        answers
            .map(|(logits, &label)| {
                let scaled: Vec<f32> = logits.iter().map(|&z| (f64::from(z) * inverse) as f32).collect();
                let offset = classes - outputs;
                let target = |class: usize| {
                    let hit = f64::from(u8::from(class == label as usize));
                    (counts[label as usize] * hit + 1.0) / (counts[label as usize] + classes as f64)
                };
                let parts = probabilities(&scaled);
                let part = |(k, &z): (usize, &f32)| (parts[k + offset] - target(k + offset)) * f64::from(z);
                logits.iter().enumerate().map(part).sum::<f64>()
            })
            .sum()
    };
    let (mut low, mut high) = ((1.0 / TEMPERATURES.1).ln(), (1.0 / TEMPERATURES.0).ln());
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if slope(middle.exp()) < 0.0 { low = middle } else { high = middle }
    }
    let found = (-(low + high) / 2.0).exp();
    let lower = mean_loss(logits, labels, outputs, found) < mean_loss(logits, labels, outputs, 1.0);
    if lower { found } else { 1.0 }
}

/// Answers from which on a temperature, one number, follows no chance that would matter.
const MANY: usize = 2_000;

/// The same, but 1 where fewer than 2,000 answers were fitted and it does not lower the loss by more than chance: of answers that it was not fitted to, each half of them by the temperature of the
/// other, by less than one standard error.
pub fn justified_temperature(logits: &[f32], labels: &[f32], outputs: usize) -> f64 {
    if labels.len() >= MANY {
        return temperature(logits, labels, outputs);
    }
    let turns = take_turns(labels);
    let half = |which: usize| -> (Vec<f32>, Vec<f32>) {
        let answers = logits.chunks_exact(outputs).zip(labels).zip(&turns);
        let own = answers.filter(|(_, turn)| **turn == which).map(|(answer, _)| answer);
        (own.clone().flat_map(|(logits, _)| logits).copied().collect(), own.map(|(_, &label)| label).collect())
    };
    let halves = [half(0), half(1)];
    let mut gains = Vec::with_capacity(labels.len());
    for (own, other) in [(&halves[0], &halves[1]), (&halves[1], &halves[0])] {
        let temperature = temperature(&other.0, &other.1, outputs);
        gains.extend(own.0.chunks_exact(outputs).zip(&own.1).map(|(logits, &label)| {
            let scaled: Vec<f32> = logits.iter().map(|&logit| (f64::from(logit) / temperature) as f32).collect();
            cross_entropy(logits, label) - cross_entropy(&scaled, label)
        }));
    }
    let (mean, spread) = mean_and_spread(&gains);
    let lowers = mean > spread / (gains.len().max(1) as f64).sqrt();
    if lowers { temperature(logits, labels, outputs) } else { 1.0 }
}

/// Mean and standard deviation; both 0 of no number.
fn mean_and_spread(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

impl Weights {
    /// The same network with all logits divided by a temperature, those of its n-grams too.
    #[must_use]
    pub fn at_temperature(mut self, temperature: f64) -> Self {
        for weight in self.head.iter_mut().chain(&mut self.head_bias) {
            *weight = (f64::from(*weight) / temperature) as f32;
        }
        if let Some(table) = &mut self.ngrams {
            table.scale((1.0 / temperature) as f32);
        }
        self
    }

    /// The same network with a number added to its logits, or nothing where that is 0.
    #[must_use]
    pub fn shifted_by(mut self, logit: f64) -> Self {
        for bias in self.head_bias.iter_mut().filter(|_| logit != 0.0) {
            *bias = (f64::from(*bias) + logit) as f32;
        }
        self
    }

    /// The same network with its values in the labels' own unit: `value·deviation + mean`.
    #[must_use]
    pub fn in_the_unit_of(mut self, scale: Scale) -> Self {
        for weight in self.head.iter_mut().chain(&mut self.head_bias) {
            *weight = (f64::from(*weight) * scale.deviation) as f32;
        }
        if let Some(table) = &mut self.ngrams {
            table.scale(scale.deviation as f32);
        }
        for bias in &mut self.head_bias {
            *bias = (f64::from(*bias) + scale.mean) as f32;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reliability;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Answers whose labels are drawn from the very probabilities of their logits, divided by `temperature` afterwards.
    fn drawn(count: usize, outputs: usize, temperature: f64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let z: Vec<f32> = (0..outputs).map(|_| rng.random_range(-3.0..3.0_f32)).collect();
            let mut chance = rng.random::<f64>();
            let p = probabilities(&z);
            let class = p.iter().position(|p| {
                chance -= p;
                chance < 0.0
            });
            labels.push(class.unwrap_or(p.len() - 1) as f32);
            logits.extend(z.iter().map(|z| (f64::from(*z) / temperature) as f32));
        }
        (logits, labels)
    }

    #[test]
    fn the_calibration_error_of_a_calibrated_set_is_near_zero_and_of_a_boastful_one_it_is_not() {
        for outputs in [1, 4] {
            let (logits, labels) = drawn(40_000, outputs, 1.0);
            let calibrated = reliability(&logits, &labels, outputs);
            assert!(calibrated.calibration_error < 0.01, "{}", calibrated.calibration_error);
            let (logits, labels) = drawn(40_000, outputs, 0.25);
            let boastful = reliability(&logits, &labels, outputs);
            assert!(boastful.calibration_error > 0.08, "{}", boastful.calibration_error);
            assert!(boastful.brier > calibrated.brier);
            assert_eq!(boastful.bins.iter().map(|bin| bin.count).sum::<u64>(), 40_000);
        }
    }

    #[test]
    fn the_temperature_is_found_again_and_lowers_the_loss() {
        for outputs in [1, 3] {
            for expected in [0.4, 1.0, 3.0] {
                let (logits, labels) = drawn(20_000, outputs, 1.0 / expected);
                let found = temperature(&logits, &labels, outputs);
                assert!((found / expected - 1.0).abs() < 0.05, "{found} is not {expected}");
                let [before, after] = [1.0, found].map(|t| mean_loss(&logits, &labels, outputs, t));
                assert!(after <= before, "{after} {before}");
                let near = [found * 1.05, found / 1.05].map(|t| mean_loss(&logits, &labels, outputs, t));
                assert!(near.iter().all(|&loss| loss > after - 1e-6), "{near:?} {after}");
            }
        }
    }

    #[test]
    fn a_few_answers_that_are_all_right_do_not_become_certain() {
        let (logits, labels) = ([-1.0, 1.0, -0.5, 2.0], [0.0, 1.0, 0.0, 1.0]);
        let temperature = temperature(&logits, &labels, 1);
        assert!((0.2..1.5).contains(&temperature), "{temperature}");
    }

    #[test]
    fn a_temperature_is_kept_where_it_lowers_the_loss_by_more_than_chance_and_nowhere_else() {
        for outputs in [1, 3] {
            let (logits, labels) = drawn(1_000, outputs, 0.4);
            let kept = justified_temperature(&logits, &labels, outputs);
            assert_eq!(kept, temperature(&logits, &labels, outputs));
            assert!((kept - 2.5).abs() < 0.3, "{kept}");
            // Answers that are calibrated, and few of them.
            for count in [40, 1_900] {
                let (logits, labels) = drawn(count, outputs, 1.0);
                assert_eq!(justified_temperature(&logits, &labels, outputs), 1.0, "{outputs} {count}");
            }
        }
        assert_eq!(justified_temperature(&[], &[], 1), 1.0);
    }

    #[test]
    fn probabilities_of_one_logit_are_those_of_two() {
        for z in [-30.0, -1.0, 0.0, 0.7, 80.0] {
            for (one, two) in probabilities(&[z]).iter().zip(probabilities(&[0.0, z])) {
                assert!((one - two).abs() < 1e-12);
            }
        }
        let brier = |logits: &[f32], outputs| reliability(logits, &[1.0], outputs).brier;
        assert!((2.0 * brier(&[0.4], 1) - brier(&[0.0, 0.4], 2)).abs() < 1e-7);
    }
}
