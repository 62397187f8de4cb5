//! What the best network of a run answers on its validation part: how each class fares, and what is wrong with the answers.

use crate::config::{Select, Threshold, TrainConfig};
use crate::metrics::scores::{Scores, best_f1, confusion, rarer};
use crate::metrics::{Judgement, useless};

/// What the best network answers on the validation part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// `[label][answer]`, at the threshold where one is chosen; empty of values.
    pub confusion: Vec<Vec<u64>>,
    /// The threshold that the image will have, where one is chosen.
    pub threshold: Option<Chosen>,
    /// Why the network is of no use, where that shows.
    pub useless: Option<String>,
}

/// A threshold between two classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen {
    /// The class that it is chosen for: the rarer one.
    pub class: usize,
    /// The logit from which on the second class is answered.
    pub logit: f32,
    /// The F1 of the class on the validation part at this threshold.
    pub f1: f64,
    /// Labels of the class that it was chosen on.
    pub support: usize,
}

/// Labels of a class from which on a threshold for it is more than chance.
const ENOUGH: usize = 20;

impl Chosen {
    /// The threshold that a configuration asks for, from single logits with their labels; labels that are NaN do not count. `None` where it asks for none, or where
    /// no label has the class.
    pub fn of(config: &TrainConfig, class: usize, logits: &[f32], labels: &[f32]) -> Option<Self> {
        let labelled = || logits.iter().zip(labels).filter(|(_, label)| !label.is_nan());
        let (logits, labels): (Vec<f32>, Vec<f32>) = labelled().map(|(&logit, &label)| (logit, label)).unzip();
        let (logit, f1) = (config.threshold == Threshold::F1).then(|| best_f1(&logits, &labels, class))??;
        let support = labels.iter().filter(|&&label| label as usize == class).count();
        Some(Chosen { class, logit, f1, support })
    }

    /// The probability that the network gives the second class at the threshold.
    pub fn probability(&self) -> f64 {
        1.0 / (1.0 + f64::from(-self.logit).exp())
    }

    /// Whether so few labels chose it that another part would choose another one.
    pub fn is_by_chance(&self) -> bool {
        self.support < ENOUGH
    }
}

impl Verdict {
    /// What answers are worth, with their labels, of which those that are NaN do not count, and the weights of the classes in the loss. The rarer class is that of the
    /// `training` labels.
    pub fn of(
        config: &TrainConfig,
        (mut logits, labels): (Vec<f32>, Vec<f32>),
        weights: &[f32],
        training: &[Vec<f32>],
    ) -> Self {
        let (outputs, values) = (config.task.outputs(), config.task.has_values());
        let loss = Judgement::of((&logits, &labels, weights), outputs, values).loss;
        let useless = |logits: &[f32]| useless((logits, &labels, weights), outputs, values, loss);
        if values {
            return Verdict { useless: useless(&logits), ..Verdict::default() };
        }
        let threshold = Chosen::of(config, rarer_of(training.iter().flatten().copied()), &logits, &labels);
        if let Some(Chosen { logit: threshold, .. }) = threshold {
            logits.iter_mut().for_each(|logit| *logit -= threshold);
        }
        let confusion = confusion(&logits, &labels, outputs);
        // What is not trained for the mean loss is not judged by it where its answers are better than chance.
        let is_of_classes = threshold.is_some() || !weights.is_empty() || config.select == Select::MacroF1;
        let useless = useless(&logits).filter(|_| !(is_of_classes && beats_chance(&Scores::of(&confusion))));
        Verdict { confusion, threshold, useless }
    }
}

/// Whether answers have a larger macro F1 than those that are drawn by lot, with the shares that the labels have.
fn beats_chance(scores: &Scores) -> bool {
    let classes = scores.classes.iter().filter(|class| class.support > 0).count();
    scores.macro_f1 > 1.0 / classes.max(1) as f64
}

/// The class of two that fewer labels have; labels that are NaN do not count.
pub fn rarer_of(labels: impl Iterator<Item = f32>) -> usize {
    rarer(&labels.filter(|label| !label.is_nan()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_config;

    /// 3 of 40 labels are rare; the network finds them, each below a probability of a half, and is far too unsure of all others.
    fn found() -> (Vec<f32>, Vec<f32>) {
        let label = |number: usize| f32::from(u8::from(number % 16 == 3));
        let labels: Vec<f32> = (0..40).map(label).collect();
        (labels.iter().map(|label| if *label == 1.0 { -0.2 } else { -0.6 }).collect(), labels)
    }

    fn verdict(config: &TrainConfig, weights: &[f32]) -> Verdict {
        let (logits, labels) = found();
        Verdict::of(config, (logits, labels.clone()), weights, &[labels])
    }

    #[test]
    fn answers_that_a_threshold_makes_right_are_not_called_useless() {
        let plain = TrainConfig { task: crate::dataset::Task::Classify(2), ..default_config() };
        assert!(verdict(&plain, &[]).useless.is_some());
        let with_threshold = verdict(&TrainConfig { threshold: Threshold::F1, ..plain.clone() }, &[]);
        assert_eq!((with_threshold.useless, with_threshold.confusion), (None, vec![vec![37, 0], vec![0, 3]]));
        // At a half all answers are the same, whatever the classes count.
        assert!(verdict(&plain, &[0.5, 6.0]).useless.is_some());
    }

    #[test]
    fn a_threshold_that_few_labels_chose_is_known_to_be_by_chance() {
        let config =
            TrainConfig { threshold: Threshold::F1, task: crate::dataset::Task::Classify(2), ..default_config() };
        let chosen = verdict(&config, &[]).threshold.expect("a threshold");
        assert!(chosen.support == 3 && chosen.is_by_chance());
        assert!((chosen.probability() - 1.0 / (1.0 + 0.4_f64.exp())).abs() < 1e-6);
        let (logits, labels): (Vec<f32>, Vec<f32>) =
            (0..80).map(|row| (row as f32, f32::from(u8::from(row > 50)))).unzip();
        assert!(!Chosen::of(&config, 1, &logits, &labels).expect("a threshold").is_by_chance());
    }
}
