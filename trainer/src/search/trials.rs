//! What a search is begun with, what it tries, and what came of that.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::candidates::Budget;
use crate::config::{ModelConfig, RunConfig};
use crate::dataset::Task;
use crate::learning::training::Progress;

/// What a search is begun with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of Latch that began it.
    pub latch: String,
    /// What an image may take.
    pub budget: Budget,
    /// Candidates of the first round.
    pub trials: usize,
    /// Minutes after which no round and no epoch begins; how far a search comes in them depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// The run of every trial, but for the model's sizes, its pooling and its n-grams.
    pub base: RunConfig,
    /// Digest of a validation part that has data of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_sha256: Option<String>,
}

/// A trial at the end of a round: a line of `search.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The round, from 1.
    pub round: usize,
    /// The trial, from 1.
    pub trial: usize,
    /// Its folder within the search's.
    pub run: String,
    /// Epochs so far.
    pub epochs: u64,
    /// Precision of its image.
    pub precision: String,
    /// Bytes of the image, as they were known before training.
    pub predicted_bytes: usize,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// Microseconds of a token on the named part, at the estimate's upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<f64>,
    /// The model.
    pub model: ModelConfig,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Verdict {
    /// An image.
    Measured {
        /// Its bytes.
        image_bytes: usize,
        /// Its accuracy on the validation part, through the engine; of values R².
        accuracy: f64,
        /// Its mean loss there in nats; of values the mean square of the errors.
        loss: f64,
    },
    /// Weights that diverged, or that an image cannot hold.
    Failed {
        /// Why, in a sentence.
        failed: String,
    },
}

impl Trial {
    /// Bytes, accuracy and loss of the image, where there is one.
    pub fn measured(&self) -> Option<(usize, f64, f64)> {
        match self.verdict {
            Verdict::Measured { image_bytes, accuracy, loss } => Some((image_bytes, accuracy, loss)),
            Verdict::Failed { .. } => None,
        }
    }
}

/// Sees how a search goes on.
pub trait Observer: Progress {
    /// The candidates are chosen; for each round how many are tried, to which epoch.
    fn planned(&mut self, rounds: &[(usize, u64)]);
    /// A trial begins in a round, both from 1, among so many.
    fn begins(&mut self, round: usize, trial: usize, place: usize, of: usize);
    /// A trial's round is done; `images` are the last images of all trials so far, the best first.
    ///
    /// # Errors
    /// Whatever is to stop the search, which can be resumed then.
    fn done(&mut self, trial: &Trial, images: &[Trial]) -> Result<()>;
    /// A round is done.
    fn round_done(&mut self, images: &[Trial]);
    /// The text of the `latch.toml` that a trial's run keeps; without one it keeps none.
    fn settings(&self, _config: &RunConfig) -> Option<String> {
        None
    }
}

/// How a search ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the labels mean.
    pub task: Task,
    /// The last image of each trial that has one, the best first: never empty.
    pub images: Vec<Trial>,
    /// Trials that were begun.
    pub trials: usize,
    /// Labelled answers of the validation part.
    pub answers: usize,
    /// The minutes were over before the rounds were.
    pub out_of_time: bool,
    /// The best image.
    pub image: PathBuf,
}
