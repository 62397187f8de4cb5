//! What a run remembers: the best network of its epochs, and all that it is between two batches.

use serde::{Deserialize, Serialize};

use crate::config::{Objective, Storage};
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

    /// The share of right answers; of values R², for their labels have a variance of 1.
    pub fn accuracy(&self, objective: Objective) -> f64 {
        match objective {
            Objective::CrossEntropy => self.correct as f64 / self.answers.max(1) as f64,
            Objective::SquaredError => 1.0 - self.mean_loss(),
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

impl Checkpoint {
    /// The network after the last batch.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// The epoch with the lowest validation loss.
    pub fn best(&self) -> Option<&EpochMetrics> {
        self.metrics.iter().min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss))
    }

    /// True after the last of so many epochs, or after `patience` epochs without a better one.
    pub fn is_finished(&self, epochs: u64, patience: u64) -> bool {
        let since =
            |best: &EpochMetrics| self.metrics.iter().rev().take_while(|epoch| epoch.epoch > best.epoch).count();
        self.epoch >= epochs || self.best().is_some_and(|best| since(best) as u64 >= patience)
    }
}
