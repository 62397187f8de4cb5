//! The network's logits and the n-grams', made one.

use super::{Answers, regression};
use crate::metrics::{cross_entropy, probabilities};

/// How the network's logits and the n-grams' become one, the same for each output: `network·z + ngrams·n + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fusion {
    /// Gain of the network's logits.
    pub network: f32,
    /// Gain of the n-grams' logits.
    pub ngrams: f32,
    /// What is added in any case; 0 of several classes, whose probabilities it would not change.
    pub bias: f32,
    /// Mean loss of the fused logits: in nats, of values the mean square.
    pub loss: f64,
}

/// The penalty on gains away from a half, and on a bias: few answers move them little.
const PRIOR: f64 = 1.0;

/// The gains with the least loss on labelled sequences, given as both logits of each, output after output. Labels that are NaN do not count.
pub fn fuse(network: &[f32], ngrams: &[f32], labels: &[f32], answers: Answers) -> Fusion {
    let examples = network.iter().zip(ngrams).map(|(&network, &ngrams)| [f64::from(network), f64::from(ngrams), 1.0]);
    let ([network, ngrams, bias], loss) = match answers {
        Answers::Verdict => {
            let known: Vec<f32> = labels.iter().copied().filter(|label| !label.is_nan()).collect();
            let labelled = examples.zip(labels).filter(|(_, label)| !label.is_nan()).map(|(example, _)| example);
            regression::regress(labelled, &known, [0.5, 0.5, 0.0], PRIOR)
        }
        Answers::Values => regression::least_squares(examples, labels),
        Answers::Classes(classes) => {
            let ([a, b], loss) = fuse_classes(network, ngrams, labels, classes);
            ([a, b, 0.0], loss)
        }
    };
    Fusion { network: network as f32, ngrams: ngrams as f32, bias: bias as f32, loss }
}

/// Both gains of several classes, and the loss, by Newton's method:
///
/// ```text
/// z_k = a·network_k + b·ngrams_k      f_k = (network_k, ngrams_k)      p = softmax(z)
/// gradient = Σ_k (p_k − y_k)·f_k      curvature = Σ_k p_k·f_k·f_kᵀ − (Σ_k p_k·f_k)·(Σ_k p_k·f_k)ᵀ
/// ```
fn fuse_classes(network: &[f32], ngrams: &[f32], labels: &[f32], classes: usize) -> ([f64; 2], f64) {
    let texts = || network.chunks_exact(classes).zip(ngrams.chunks_exact(classes)).zip(labels);
    let fused = |w: [f64; 2], (network, ngrams): (&[f32], &[f32])| -> Vec<f32> {
        let both = network.iter().zip(ngrams);
        both.map(|(&z, &n)| (w[0] * f64::from(z) + w[1] * f64::from(n)) as f32).collect()
    };
    let sum = |w: &[f64; 2]| -> f64 {
        let labelled = texts().filter(|(_, label)| !label.is_nan());
        labelled.map(|(logits, &label)| cross_entropy(&fused(*w, logits), label)).sum()
    };
    let w = regression::newton_minimum([0.5, 0.5], PRIOR, sum, |w| {
        let (mut gradient, mut curvature) = ([0.0; 2], [[0.0; 2]; 2]);
        for (logits, &label) in texts().filter(|(_, label)| !label.is_nan()) {
            let p = probabilities(&fused(*w, logits));
            let mut mean = [0.0; 2];
            for (class, p) in p.iter().enumerate() {
                let f = [f64::from(logits.0[class]), f64::from(logits.1[class])];
                let hit = f64::from(u8::from(class == label as usize));
                for i in 0..2 {
                    gradient[i] += (p - hit) * f[i];
                    mean[i] += p * f[i];
                    (0..2).for_each(|j| curvature[i][j] += p * f[i] * f[j]);
                }
            }
            (0..2).for_each(|i| (0..2).for_each(|j| curvature[i][j] -= mean[i] * mean[j]));
        }
        (gradient, curvature)
    });
    let count = labels.iter().filter(|label| !label.is_nan()).count();
    (w, sum(&w) / count.max(1) as f64)
}

impl Fusion {
    /// The fused logit of an output.
    pub fn logit(&self, network: f32, ngrams: f32) -> f32 {
        self.network * network + self.ngrams * ngrams + self.bias
    }

    /// Fuses the logits of many texts in place.
    pub fn apply(&self, logits: &mut [f32], ngrams: &[f32]) {
        logits.iter_mut().zip(ngrams).for_each(|(logit, &ngrams)| *logit = self.logit(*logit, ngrams));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes, of which the network knows the first and the n-grams the others.
    fn halves() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let labels: Vec<f32> = (0..300_u16).map(|text| f32::from(text % 3)).collect();
        let network = labels.iter().flat_map(|&label| if label == 0.0 { [2.0, 0.0, 0.0] } else { [-2.0, 0.0, 0.0] });
        let ngrams = labels.iter().flat_map(|&label| match label as u8 {
            1 => [0.0, 1.0, -1.0],
            2 => [0.0, -1.0, 1.0],
            _ => [0.0, 0.0, 0.0],
        });
        (network.collect(), ngrams.collect(), labels)
    }

    #[test]
    fn of_several_classes_both_logits_together_know_more_than_each() {
        let (network, ngrams, labels) = halves();
        let fusion = fuse(&network, &ngrams, &labels, Answers::Classes(3));
        let mut logits = network.clone();
        fusion.apply(&mut logits, &ngrams);
        let (loss, accuracy) = crate::metrics::judge(&logits, &labels, &[]);
        assert!(accuracy == 1.0 && loss < crate::metrics::judge(&network, &labels, &[]).0);
        assert!((fusion.loss - loss).abs() < 1e-6);
    }

    #[test]
    fn of_values_the_gains_are_those_of_least_squares() {
        let network = [1.0, 2.0, -1.0, 0.5];
        let ngrams = [0.0, 1.0, 1.0, -2.0];
        let labels: Vec<f32> = network.iter().zip(&ngrams).map(|(z, n)| 2.0 * z - 0.5 * n + 3.0).collect();
        let fusion = fuse(&network, &ngrams, &labels, Answers::Values);
        for (found, expected) in [(fusion.network, 2.0), (fusion.ngrams, -0.5), (fusion.bias, 3.0)] {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
}
