//! The faults of a training whose numbers stop being finite.

use std::fmt;

use crate::bptt::TrainError;
use crate::error::{Fault, fault};
use crate::runs::writer::RunWriter;

/// Weights that have grown beyond all numbers. Whoever trains a run gets the fault, see [`as_fault`]; whoever tries a model knows that it is this one and no other.
#[derive(Clone, Debug)]
pub struct Diverged(Fault);

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Diverged {}

/// The same error; weights that have diverged as the fault that they are.
pub(super) fn as_fault(error: anyhow::Error) -> anyhow::Error {
    match error.downcast() {
        Ok(Diverged(fault)) => fault.into(),
        Err(error) => error,
    }
}

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

/// The error of weights that have grown beyond all numbers.
pub(super) fn diverged(place: String, problem: String, folder: Option<&RunWriter>) -> anyhow::Error {
    let remedy = if let Some(folder) = folder.filter(|folder| folder.has_learned()) {
        format!(
            "train again with a smaller --lr into another folder; what was learned before is kept in {}",
            folder.path().display()
        )
    } else {
        "train again with a smaller --lr, and into another folder where this one holds a cross-validation".into()
    };
    Diverged(fault(place, problem, remedy)).into()
}
