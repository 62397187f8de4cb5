//! A training that keeps nothing: for whoever wants to know what a model is worth on a division of the texts.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::training::{BatchProgress, Job, Pace, Phase, Progress, no_epoch};
use crate::metrics::EpochMetrics;
use crate::runs::checkpoint::Best;

/// Trains from the beginning to the end, in floats, and gives the best epoch with its network: those that a run of the same configuration and texts has.
/// It ends before where the validation loss is below `enough`.
///
/// # Errors
/// Those of [`super::training::train`], but for those of a folder.
pub fn rehearse(job: &Job<'_>, enough: f64) -> Result<Best> {
    let mut at = job.beginning()?;
    let phase = Phase::in_floats(job);
    let mut learner = phase.learner(&at, job.config.learning_rate)?;
    let mut pace = Pace { started: Instant::now(), tokens: 0 };
    let mut best = None;
    while !phase.is_over(&at) {
        phase.learn(&mut at, &mut learner, &mut pace, &mut Silent)?;
        let (metrics, is_best) = phase.measure(&mut at, &learner)?;
        if is_best {
            best = Some(Best { metrics, network: learner.trainer.best_network().clone() });
        }
        if metrics.valid_loss < enough {
            break;
        }
    }
    best.ok_or_else(|| no_epoch().into())
}

/// Nobody watches.
struct Silent;

impl Progress for Silent {
    fn batch(&mut self, _: &BatchProgress) {}
    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}
