//! Plain scores: what logits say, how right that is, and how right they say it is.

pub mod scores;
pub mod signals;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One epoch in figures, as a line of `metrics.jsonl`. Holds nothing that differs between two runs of the same seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean loss over the epoch's batches, with dropout: in nats; of values the mean square, in parts of the training labels' variance.
    pub train_loss: f64,
    /// Accuracy over the epoch's batches, with dropout; of values R², `1 − mean square / variance`.
    pub train_accuracy: f64,
    /// Mean loss on the validation part, in the same unit; with class weights the weighted mean.
    pub valid_loss: f64,
    /// Accuracy on the validation part; of values R².
    pub valid_accuracy: f64,
    /// The mean of the classes' F1 on the validation part; `None` of values.
    pub valid_macro_f1: Option<f64>,
    /// The root of the mean square error on the validation part in the unit of the labels; `None` of classes.
    pub valid_rmse: Option<f64>,
    /// Mean norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate at the epoch's end.
    pub learning_rate: f64,
    /// Tokens read.
    pub tokens: u64,
}

/// Two halves of answers, 0 and 1, in which each class has as many labels, but for one: its labels take turns. So the order of the texts does not matter much.
pub fn take_turns(labels: &[f32]) -> Vec<usize> {
    let mut seen: HashMap<u32, usize> = HashMap::new();
    let mut turn = |label: &f32| {
        let seen = seen.entry(label.to_bits()).or_default();
        *seen += 1;
        (*seen - 1) % 2
    };
    labels.iter().map(&mut turn).collect()
}

/// The class of one answer: of one logit 1 where it is not negative, of several the largest, the first of equals.
pub fn class_of(logits: &[f32]) -> usize {
    if let [logit] = logits {
        return usize::from(*logit >= 0.0);
    }
    (1..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}

/// The loss of one answer in nats: `ln Σ e^{z_k} − z_y`; of one logit that of (0, z).
pub fn cross_entropy(logits: &[f32], label: f32) -> f64 {
    if let [logit] = logits {
        let z = f64::from(*logit);
        return z.max(0.0) - z * f64::from(label) + (-z.abs()).exp().ln_1p();
    }
    let z = |class: usize| f64::from(logits[class]);
    let largest = (0..logits.len()).map(z).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = (0..logits.len()).map(|class| (z(class) - largest).exp()).sum();
    largest + total.ln() - z(label as usize)
}

/// R² of values: `1 − Σ (value − label)² / Σ (label − mean)²`; 0 where the labels are all the same.
pub fn determination(squares: f64, variance: f64) -> f64 {
    if variance > 1e-9 * squares { 1.0 - squares / variance } else { 0.0 }
}

/// R² of values, see [`determination`].
pub fn determination_of(values: &[f32], labels: &[f32]) -> f64 {
    let mean = labels.iter().map(|&label| f64::from(label)).sum::<f64>() / labels.len().max(1) as f64;
    let variance: f64 = labels.iter().map(|&label| (f64::from(label) - mean).powi(2)).sum();
    let squares: f64 = values.iter().zip(labels).map(|(&value, &label)| f64::from(value - label).powi(2)).sum();
    determination(squares, variance)
}

/// The weight of a label's class; 1 without weights.
pub fn weight_of(weights: &[f32], label: f32) -> f64 {
    weights.get(label as usize).map_or(1.0, |&weight| f64::from(weight))
}

/// Mean loss in nats and accuracy of logits, as many an answer as there are for each label; labels that are NaN do not count. Where classes have `weights`, the
/// loss is the weighted mean.
pub fn judge(logits: &[f32], labels: &[f32], weights: &[f32]) -> (f64, f64) {
    let outputs = (logits.len() / labels.len().max(1)).max(1);
    let (mut loss, mut correct, mut count, mut total) = (0.0, 0, 0_u64, 0.0);
    for (logits, &label) in logits.chunks_exact(outputs).zip(labels).filter(|(_, label)| !label.is_nan()) {
        let weight = weight_of(weights, label);
        count += 1;
        total += weight;
        loss += weight * cross_entropy(logits, label);
        correct += u64::from(class_of(logits) == label as usize);
    }
    let total = if total > 0.0 { total } else { 1.0 };
    (loss / total, correct as f64 / count.max(1) as f64)
}

/// What answers are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Mean loss in nats, weighted where classes have weights; of values the mean square.
    pub loss: f64,
    /// Accuracy; of values R².
    pub accuracy: f64,
    /// The mean of the classes' F1; `None` of values.
    pub macro_f1: Option<f64>,
}

impl Judgement {
    /// Judges answers of `outputs` logits or values each; labels that are NaN do not count. `weights` are those of the classes in the loss.
    pub fn of((logits, labels, weights): (&[f32], &[f32], &[f32]), outputs: usize, values: bool) -> Self {
        if !values {
            let (loss, accuracy) = judge(logits, labels, weights);
            let macro_f1 = Some(scores::Scores::of(&scores::confusion(logits, labels, outputs)).macro_f1);
            return Judgement { loss, accuracy, macro_f1 };
        }
        let answers = logits.chunks_exact(outputs).map(|values| f64::from(values[0]));
        let (mut squares, mut sum, mut sum_of_squares, mut count) = (0.0, 0.0, 0.0, 0.0);
        for (value, &label) in answers.zip(labels).filter(|(_, label)| !label.is_nan()) {
            let label = f64::from(label);
            squares += (value - label).powi(2);
            (sum, sum_of_squares, count) = (sum + label, sum_of_squares + label * label, count + 1.0);
        }
        let count = f64::max(count, 1.0);
        let accuracy = determination(squares, sum_of_squares - sum * sum / count);
        Judgement { loss: squares / count, accuracy, macro_f1: None }
    }
}

/// The loss of the best constant answer to these labels, classes or `values`, in nats or as a mean square: their entropy, or their variance. Labels that are NaN do not count.
/// Where classes have `weights`, a label counts so often.
pub fn constant_loss(labels: &[f32], values: bool, weights: &[f32]) -> f64 {
    let labels: Vec<f32> = labels.iter().copied().filter(|label| !label.is_nan()).collect();
    let count = labels.len().max(1) as f64;
    if values {
        let mean = labels.iter().map(|&label| f64::from(label)).sum::<f64>() / count;
        return labels.iter().map(|&label| (f64::from(label) - mean).powi(2)).sum::<f64>() / count;
    }
    let mut counts: Vec<f64> = Vec::new();
    for label in labels {
        let class = label as usize;
        counts.resize(counts.len().max(class + 1), 0.0);
        counts[class] += weight_of(weights, label);
    }
    let count: f64 = counts.iter().sum();
    counts.into_iter().filter(|&class| class > 0.0).map(|class| -class / count * (class / count).ln()).sum()
}

/// Why answers of `outputs` logits are of no use, in a sentence: their `loss` is above that of a constant answer, or they are all the same although the labels
/// are not. `None` where they may be of use. `weights` are those of the classes in the loss.
pub fn useless(
    (logits, labels, weights): (&[f32], &[f32], &[f32]),
    outputs: usize,
    values: bool,
    loss: f64,
) -> Option<String> {
    let constant = constant_loss(labels, values, weights);
    if constant == 0.0 {
        return None;
    }
    if loss > constant {
        let weighted = if weights.is_empty() { "" } else { "weighted " };
        return Some(format!(
            "the {weighted}validation loss of {loss:.4} is above {constant:.4}, that of always giving the same answer: the network is of no use yet"
        ));
    }
    let mut answers =
        logits.chunks_exact(outputs).zip(labels).filter(|(_, label)| !label.is_nan()).map(|(logits, _)| logits);
    let first = answers.next()?;
    let same = if values {
        answers.all(|logits| logits == first)
    } else {
        answers.all(|logits| class_of(logits) == class_of(first))
    };
    same.then(|| {
        "all answers to the validation part are the same, although its labels are not: the network is of no use yet"
            .to_owned()
    })
}

/// The probability that a positive example has a larger logit than a negative one (Mann and Whitney's U, by ranks); `None` where there are none of
/// either.
pub fn area_under_roc(logits: &[f32], labels: &[f32]) -> Option<f64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    let positives = labels.iter().filter(|&&label| label > 0.5).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let mut rank_sum = 0.0;
    let mut start = 0;
    for tie in order.chunk_by(|&a, &b| logits[a] == logits[b]) {
        // Ranks count from 1; equal logits share the mean of their ranks.
        let rank = start as f64 + (tie.len() as f64 + 1.0) / 2.0;
        rank_sum += rank * tie.iter().filter(|&&index| labels[index] > 0.5).count() as f64;
        start += tie.len();
    }
    let is_defined = positives > 0.0 && negatives > 0.0;
    is_defined.then(|| (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Bins of equal width in which confidences from 0 to 1 are compared with what was right.
pub const BINS: usize = 15;

/// The answers of one confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// How many there are.
    pub count: u64,
    /// The mean of their confidences; 0 where there is none.
    pub confidence: f64,
    /// The share that is right; 0 where there is none.
    pub accuracy: f64,
}

/// What probabilities are worth on labelled answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reliability {
    /// The mean of the squared differences to certainty: `(p − y)²` of one logit, else `Σ (p_k − y_k)²`.
    pub brier: f64,
    /// The expected calibration error, `Σ bin count / n · |accuracy − confidence|`, over [`BINS`] bins of equal width of the confidence, which is the
    /// probability of the answer given.
    pub calibration_error: f64,
    /// The bins.
    pub bins: Vec<Bin>,
}

/// The probabilities of all classes: softmax, and of one logit `(1 − σ(z), σ(z))`.
pub fn probabilities(logits: &[f32]) -> Vec<f64> {
    let z: Vec<f64> = match logits {
        [logit] => vec![0.0, f64::from(*logit)],
        _ => logits.iter().map(|&logit| f64::from(logit)).collect(),
    };
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = z.iter().map(|z| (z - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

/// Compares the probabilities of answers, each of `outputs` logits, with their labels.
pub fn reliability(logits: &[f32], labels: &[f32], outputs: usize) -> Reliability {
    let mut bins = vec![Bin::default(); BINS];
    let mut brier = 0.0;
    for (logits, &label) in logits.chunks_exact(outputs).zip(labels) {
        let (p, label) = (probabilities(logits), label as usize);
        let squares: f64 = p.iter().enumerate().map(|(k, p)| (p - f64::from(u8::from(k == label))).powi(2)).sum();
        // Of two classes both squares are the same.
        brier += if outputs == 1 { squares / 2.0 } else { squares };
        let verdict = class_of(logits);
        let bin = &mut bins[((p[verdict] * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.confidence += p[verdict];
        bin.accuracy += f64::from(u8::from(verdict == label));
    }
    let n = labels.len().max(1) as f64;
    let mut calibration_error = 0.0;
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        calibration_error += (bin.accuracy - bin.confidence).abs() / n;
        bin.accuracy /= bin.count as f64;
        bin.confidence /= bin.count as f64;
    }
    Reliability { brier: brier / n, calibration_error, bins }
}

/// The mean loss in nats of answers whose logits are divided by a temperature.
pub fn mean_loss(logits: &[f32], labels: &[f32], outputs: usize, temperature: f64) -> f64 {
    let scaled: Vec<f32> = logits.iter().map(|&logit| (f64::from(logit) / temperature) as f32).collect();
    let loss: f64 = scaled.chunks_exact(outputs).zip(labels).map(|(logits, &label)| cross_entropy(logits, label)).sum();
    loss / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_counts_ties_as_a_half() {
        assert_eq!(area_under_roc(&[0.0, 1.0, 2.0, 3.0], &[0.0, 0.0, 1.0, 1.0]), Some(1.0));
        assert_eq!(area_under_roc(&[3.0, 2.0, 1.0, 0.0], &[0.0, 0.0, 1.0, 1.0]), Some(0.0));
        assert_eq!(area_under_roc(&[1.0; 4], &[0.0, 1.0, 0.0, 1.0]), Some(0.5));
        assert_eq!(area_under_roc(&[1.0, 2.0, 2.0, 3.0], &[0.0, 0.0, 1.0, 1.0]), Some(0.875));
        assert_eq!(area_under_roc(&[1.0, 2.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn the_loss_of_a_sure_right_answer_is_small_and_of_a_sure_wrong_one_large() {
        let loss = |logit, label| mean_loss(&[logit], &[label], 1, 1.0);
        assert!(loss(20.0, 1.0) < 1e-6 && loss(-20.0, 0.0) < 1e-6);
        assert!((loss(-20.0, 1.0) - 20.0).abs() < 1e-6 && (loss(0.0, 1.0) - std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn answers_that_are_all_the_same_or_worse_than_a_constant_one_are_of_no_use() {
        let labels = [0.0, 1.0, 1.0, f32::NAN, 1.0];
        assert!((constant_loss(&labels, false, &[]) - 0.562_335).abs() < 1e-6);
        // With weights that make both classes count alike it is that of a coin.
        assert!((constant_loss(&labels, false, &[3.0, 1.0]) - std::f64::consts::LN_2).abs() < 1e-6);
        let of = |logits: &[f32], loss| useless((logits, &labels, &[]), 1, false, loss);
        assert!(of(&[1.0, 2.0, 3.0, 0.0, 4.0], 0.5).is_some_and(|why| why.contains("all answers")));
        assert!(of(&[-1.0, 2.0, 3.0, 0.0, 4.0], 0.6).is_some_and(|why| why.contains("0.5623")));
        assert_eq!(of(&[-1.0, 2.0, 3.0, 0.0, 4.0], 0.5), None);
        // Labels that are all the same ask for nothing else.
        assert_eq!(useless((&[1.0; 3], &[1.0; 3], &[]), 1, false, 0.2), None);
        let values = |logits: &[f32], loss| useless((logits, &[1.0, 2.0, 6.0], &[]), 1, true, loss);
        assert!(values(&[3.0; 3], 4.6).is_some() && values(&[1.0, 2.0, 5.0], 4.7).is_some());
        assert_eq!(values(&[1.0, 2.0, 5.0], 0.4), None);
    }

    #[test]
    fn the_determination_is_one_of_the_labels_themselves_and_zero_of_their_mean() {
        assert_eq!(determination_of(&[1.0, 2.0, 6.0], &[1.0, 2.0, 6.0]), 1.0);
        assert_eq!(determination_of(&[3.0; 3], &[1.0, 2.0, 6.0]), 0.0);
        // Of labels that are all the same there is nothing to explain.
        assert_eq!(determination_of(&[3.0; 2], &[1.0; 2]), 0.0);
    }
}
