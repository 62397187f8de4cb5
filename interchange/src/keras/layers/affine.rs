//! Batch normalization and Normalization: in inference a scale and a shift of each feature, which a layer beside them takes in exactly.
//!
//! ```text
//! y = γ·(x - mean) / sqrt(variance + ε) + β = a·x + s
//! behind a linear layer      a∘(W·x + b) + s = (diag(a)·W)·x + a∘b + s
//! before a layer             W·(a∘x + s) + b = (W·diag(a))·x + W·s + b
//! ```

use serde_json::Value;

use super::Builder;
use crate::described::{Activation, Conv1d, Dense, Embedding, Kind, Normalization};
use crate::keras::entry::Entry;
use crate::{Error, affine};

/// What a feature of a Normalization is divided by at least: Keras's `epsilon()`.
const EPSILON: f64 = 1e-7;

/// A scale and a shift, and the layer that they come from.
pub(super) struct Affine {
    pub(super) of: affine::Affine,
    entry: Entry,
}

impl Affine {
    /// The error of one that no layer can take in.
    pub(super) fn refuse(&self, reason: &str) -> Error {
        let class = &self.entry.class;
        let problem = format!("it ({class}) has no place in the layers beside it: {reason}");
        self.entry.refuse(
            "",
            problem,
            "put it before a dense, recurrent or convolutional layer, or behind a linear one",
        )
    }
}

impl Builder<'_> {
    pub(super) fn batch_normalization(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        self.last_axis(entry, owner)?;
        let flags = [entry.flag("scale", true)?, entry.flag("center", true)?];
        let tensors = self.exactly(owner, 2 + flags.iter().filter(|flag| **flag).count())?;
        let features = self.inputs(&tensors[0], 0);
        let mut tensors = tensors.iter();
        let mut next = |flag: bool, otherwise: f32| match if flag { tensors.next() } else { None } {
            Some(tensor) => Ok(self.vector(tensor, features)?.values),
            None => Ok(vec![otherwise; features]),
        };
        let (gamma, beta) = (next(flags[0], 1.0)?, next(flags[1], 0.0)?);
        let (mean, variance) = (next(true, 0.0)?, next(true, 1.0)?);
        let epsilon = entry.number("epsilon", 1e-3)?;
        let root = |variance: &f32| (f64::from(*variance) + epsilon).sqrt();
        let scale: Vec<f64> =
            gamma.iter().zip(&variance).map(|(gamma, variance)| f64::from(*gamma) / root(variance)).collect();
        let shifted = beta.iter().zip(&mean).zip(&scale);
        let shift = shifted.map(|((beta, mean), scale)| f64::from(*beta) - f64::from(*mean) * scale).collect();
        self.affine(Affine { of: affine::Affine { scale, shift }, entry: entry.clone() })
    }

    pub(super) fn normalization(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        self.last_axis(entry, owner)?;
        entry.only("invert", &Value::Bool(false), "train without invert")?;
        let (mean, variance) = match (entry.numbers("mean")?, entry.numbers("variance")?) {
            (Some(mean), Some(variance)) => (mean, variance),
            _ => {
                // Keras counts what it has adapted to as well.
                let tensors = self.tensors(owner)?;
                let [mean, variance, ..] = tensors.as_slice() else {
                    let problem = "the file has no mean and no variance of it";
                    return Err(entry.refuse("", problem, "adapt it before the model is saved"));
                };
                let features = self.inputs(mean, 0);
                let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
                (wide(self.vector(mean, features)?.values), wide(self.vector(variance, features)?.values))
            }
        };
        let features = self.features.unwrap_or(mean.len());
        self.features = Some(features);
        self.known(features);
        // One number is that of every feature.
        let each = |values: Vec<f64>| if values.len() == 1 { vec![values[0]; features.min(1 << 20)] } else { values };
        let (mean, variance) = (each(mean), each(variance));
        if let Some(length) = [mean.len(), variance.len()].into_iter().find(|length| *length != features) {
            let problem = format!("it has {length} of them, and reads {features} features");
            return Err(entry.refuse("mean and variance", problem, "save the model again"));
        }
        let root = |variance: &f64| variance.sqrt().max(EPSILON);
        if self.layers.is_empty() && self.pending.is_none() && self.normalization.is_empty() {
            let of =
                |(mean, variance): (&f64, &f64)| Normalization { mean: *mean as f32, scale: root(variance) as f32 };
            self.normalization = mean.iter().zip(&variance).map(of).collect();
            return Ok(());
        }
        let scale: Vec<f64> = variance.iter().map(|variance| 1.0 / root(variance)).collect();
        let shift = mean.iter().zip(&scale).map(|(mean, scale)| -mean * scale).collect();
        self.affine(Affine { of: affine::Affine { scale, shift }, entry: entry.clone() })
    }

    /// Puts a scale and a shift into the layer below, or keeps them for the layer above.
    fn affine(&mut self, affine: Affine) -> Result<(), Error> {
        self.features = Some(affine.of.scale.len());
        if let Some(below) = self.pending.take() {
            self.pending = Some(Affine { of: below.of.then(&affine.of), entry: affine.entry });
            return Ok(());
        }
        match self.layers.last_mut().map(|layer| &mut layer.kind) {
            Some(
                Kind::Dense(Dense { kernel, bias, activation: Activation::Linear })
                | Kind::Conv1d(Conv1d { kernel, bias, activation: Activation::Linear, .. }),
            ) => affine.of.fold_back(kernel, bias),
            Some(Kind::Embedding(Embedding { table, .. })) => affine.of.fold_table(table),
            _ => self.pending = Some(affine),
        }
        Ok(())
    }
}
