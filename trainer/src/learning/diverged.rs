//! The faults of a training whose numbers stop being finite.

use crate::bptt::TrainError;
use crate::error::fault;
use crate::runs::writer::RunWriter;

/// The error of a step in an epoch, both from 0.
pub(super) fn stopped(error: anyhow::Error, epoch: u64, batch: usize, folder: Option<&RunWriter>) -> anyhow::Error {
    let place = format!("epoch {} batch {}", epoch + 1, batch + 1);
    match error.downcast_ref() {
        Some(TrainError::NonFiniteLoss { loss }) => {
            diverged(place, format!("the loss is {loss}: the weights have diverged"), folder)
        }
        Some(TrainError::NonFiniteGradient { norm }) => {
            diverged(place, format!("the gradient's norm is {norm}: the weights have diverged"), folder)
        }
        Some(error) => anyhow::anyhow!("{place}: {error}"),
        None => error,
    }
}

/// The mean loss beyond which weights have diverged, in nats or in parts of the labels' variance: over a hundred times that of knowing nothing.
pub(super) const DIVERGED: f64 = 100.0;

/// The fault of weights that have grown beyond all numbers.
pub(super) fn diverged(place: String, problem: String, folder: Option<&RunWriter>) -> anyhow::Error {
    let remedy = if let Some(folder) = folder.filter(|folder| folder.has_learned()) {
        format!(
            "train again with a smaller --lr into another folder; what was learned before is kept in {}",
            folder.path().display()
        )
    } else {
        "train again with a smaller --lr".into()
    };
    fault(place, problem, remedy).into()
}
