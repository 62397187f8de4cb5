//! What the best network of a run answers on its validation part: how each class fares, and what is wrong with the answers.

use crate::config::{Threshold, TrainConfig};
use crate::metrics::scores::{best_f1, confusion, rarer};
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
}

impl Chosen {
    /// The threshold that a configuration asks for, from single logits with their labels; labels that are NaN do not count. `None` where it asks for none, or where
    /// no label has the class.
    pub fn of(config: &TrainConfig, class: usize, logits: &[f32], labels: &[f32]) -> Option<Self> {
        let labelled = || logits.iter().zip(labels).filter(|(_, label)| !label.is_nan());
        let (logits, labels): (Vec<f32>, Vec<f32>) = labelled().map(|(&logit, &label)| (logit, label)).unzip();
        let (logit, f1) = (config.threshold == Threshold::F1).then(|| best_f1(&logits, &labels, class))??;
        Some(Chosen { class, logit, f1 })
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
        let useless = useless((&logits, &labels, weights), outputs, values, loss);
        if values {
            return Verdict { useless, ..Verdict::default() };
        }
        let threshold = Chosen::of(config, rarer_of(training.iter().flatten().copied()), &logits, &labels);
        if let Some(Chosen { logit: threshold, .. }) = threshold {
            logits.iter_mut().for_each(|logit| *logit -= threshold);
        }
        Verdict { confusion: confusion(&logits, &labels, outputs), threshold, useless }
    }
}

/// The class of two that fewer labels have; labels that are NaN do not count.
pub fn rarer_of(labels: impl Iterator<Item = f32>) -> usize {
    rarer(&labels.filter(|label| !label.is_nan()).collect::<Vec<_>>())
}
