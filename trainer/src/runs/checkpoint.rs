//! What a run remembers: the best network of its epochs, and all that it is between two batches.

use serde::{Deserialize, Serialize};

use crate::config::{Objective, Select, Storage};
use crate::metrics::EpochMetrics;
use crate::network::Network;
use crate::optimizer::{Adam, Ema};

/// The best epoch and its network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Best {
    /// The epoch's figures.
    pub metrics: EpochMetrics,
    /// The network.
    pub network: Network<f32>,
}

/// The best epoch of those that learned with integers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BestQuantized {
    /// The epoch and its network.
    pub best: Best,
    /// The storage that it learned for.
    pub storage: Storage,
    /// The scales of its embedding's columns.
    pub embedding_scales: Vec<f32>,
    /// The ranges of its convolutions' values, the lowest first.
    pub ranges: Vec<f32>,
}

/// Sums over the batches of the running epoch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// The sum of the losses.
    pub loss: f64,
    /// Right answers.
    pub correct: u64,
    /// Labelled answers.
    pub answers: u64,
    /// Tokens read.
    pub tokens: u64,
    /// The sum of the gradients' norms before clipping.
    pub gradient_norm: f64,
}

impl Sums {
    /// The mean loss of an answer.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.answers.max(1) as f64
    }

    /// The share of right answers; of values R², where the labels have this variance.
    pub fn accuracy(&self, objective: Objective, variance: f64) -> f64 {
        match objective {
            Objective::CrossEntropy => self.correct as f64 / self.answers.max(1) as f64,
            Objective::SquaredError => 1.0 - self.mean_loss() / variance,
        }
    }
}

/// All that a run remembers between two batches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The network after the last batch.
    pub network: Network<f32>,
    /// The optimizer's state.
    pub adam: Adam<f32>,
    /// The moving average of the weights.
    pub average: Option<Ema<f32>>,
    /// Epochs done.
    pub epoch: u64,
    /// Batches done in the running epoch.
    pub batch: u64,
    /// Sums over the batches of the running epoch.
    pub sums: Sums,
    /// The figures of the epochs done.
    pub metrics: Vec<EpochMetrics>,
}

/// Whether an epoch is better than another one, by what a run selects; of epochs that are equal in it the lower loss is better.
pub fn is_better(select: Select, epoch: &EpochMetrics, than: &EpochMetrics) -> bool {
    let score = |epoch: &EpochMetrics| match select {
        Select::Loss => 0.0,
        Select::Accuracy => epoch.valid_accuracy,
        Select::MacroF1 => epoch.valid_macro_f1.unwrap_or_default(),
        Select::Last => epoch.epoch as f64,
    };
    let by_score = score(epoch).total_cmp(&score(than));
    by_score.then(than.valid_loss.total_cmp(&epoch.valid_loss)).is_gt()
}

/// The best of some epochs, the first of equal ones.
pub fn best_of(select: Select, epochs: &[EpochMetrics]) -> Option<&EpochMetrics> {
    epochs.iter().reduce(|best, epoch| if is_better(select, epoch, best) { epoch } else { best })
}

impl Checkpoint {
    /// The network after the last batch.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// The best epoch.
    pub fn best(&self, select: Select) -> Option<&EpochMetrics> {
        best_of(select, &self.metrics)
    }

    /// True after the last of so many epochs, or after `patience` epochs without a better one.
    pub fn is_finished(&self, epochs: u64, patience: u64, select: Select) -> bool {
        let since =
            |best: &EpochMetrics| self.metrics.iter().rev().take_while(|epoch| epoch.epoch > best.epoch).count();
        self.epoch >= epochs || self.best(select).is_some_and(|best| since(best) as u64 >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_epoch_is_the_one_that_was_asked_for_and_the_first_of_equal_ones() {
        let epoch = |epoch, valid_loss, valid_accuracy, macro_f1| EpochMetrics {
            epoch,
            valid_loss,
            valid_accuracy,
            valid_macro_f1: Some(macro_f1),
            ..EpochMetrics::default()
        };
        let epochs =
            [epoch(1, 0.5, 0.90, 0.1), epoch(2, 0.4, 0.80, 0.3), epoch(3, 0.6, 0.70, 0.3), epoch(4, 0.4, 0.90, 0.2)];
        let best = |select| best_of(select, &epochs).map(|epoch| epoch.epoch);
        assert_eq!([Select::Loss, Select::Accuracy, Select::MacroF1].map(best), [Some(2), Some(4), Some(2)]);
        assert!(best_of(Select::Loss, &[]).is_none());
    }
}
