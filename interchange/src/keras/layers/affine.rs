//! Batch normalization and Normalization: in inference a scale and a shift of each feature, which a layer beside them takes in exactly.
//!
//! ```text
//! y = γ·(x - mean) / sqrt(variance + ε) + β = a·x + s
//! behind a linear layer      a∘(W·x + b) + s = (diag(a)·W)·x + a∘b + s
//! before a layer             W·(a∘x + s) + b = (W·diag(a))·x + W·s + b
//! ```

use serde_json::Value;

use super::Builder;
use crate::Error;
use crate::described::{Activation, Conv1d, Dense, Embedding, Kind, Matrix, Normalization, Vector};
use crate::keras::entry::Entry;

/// What a feature of a Normalization is divided by at least: Keras's `epsilon()`.
const EPSILON: f64 = 1e-7;

/// y = scale∘x + shift
pub(super) struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
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

    /// Whether a larger x never gives a smaller y.
    pub(super) fn grows(&self) -> bool {
        self.scale.iter().all(|scale| *scale >= 0.0)
    }

    /// Puts it into the layer that reads it. The columns of a kernel are the features, once for each frame of a window.
    pub(super) fn fold(&self, kernel: &mut Matrix, bias: &mut Vector) {
        let features = self.scale.len().max(1);
        for (row, bias) in kernel.values.chunks_mut(kernel.columns.max(1)).zip(&mut bias.values) {
            let mut sum = f64::from(*bias);
            for (column, weight) in row.iter_mut().enumerate() {
                let feature = column % features;
                sum += f64::from(*weight) * self.shift[feature];
                *weight = (f64::from(*weight) * self.scale[feature]) as f32;
            }
            *bias = sum as f32;
        }
    }

    /// Puts it into the linear layer that gives x.
    fn fold_back(&self, kernel: &mut Matrix, bias: &mut Vector) {
        let rows = kernel.values.chunks_mut(kernel.columns.max(1)).zip(&mut bias.values);
        for ((row, bias), (scale, shift)) in rows.zip(self.scale.iter().zip(&self.shift)) {
            row.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
            *bias = (f64::from(*bias) * scale + shift) as f32;
        }
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
        self.affine(Affine { scale, shift, entry: entry.clone() })
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
        self.affine(Affine { scale, shift, entry: entry.clone() })
    }

    /// Puts a scale and a shift into the layer below, or keeps them for the layer above.
    fn affine(&mut self, affine: Affine) -> Result<(), Error> {
        self.features = Some(affine.scale.len());
        if let Some(below) = self.pending.take() {
            // a₂∘(a₁∘x + s₁) + s₂
            let scale = below.scale.iter().zip(&affine.scale).map(|(below, above)| below * above).collect();
            let above = affine.scale.iter().zip(&affine.shift);
            let shift = below.shift.iter().zip(above).map(|(below, (scale, shift))| below * scale + shift).collect();
            self.pending = Some(Affine { scale, shift, entry: affine.entry });
            return Ok(());
        }
        match self.layers.last_mut().map(|layer| &mut layer.kind) {
            Some(
                Kind::Dense(Dense { kernel, bias, activation: Activation::Linear })
                | Kind::Conv1d(Conv1d { kernel, bias, activation: Activation::Linear, .. }),
            ) => affine.fold_back(kernel, bias),
            Some(Kind::Embedding(Embedding { table, .. })) => {
                for row in table.values.chunks_mut(table.columns.max(1)) {
                    for (value, (scale, shift)) in row.iter_mut().zip(affine.scale.iter().zip(&affine.shift)) {
                        *value = (f64::from(*value) * scale + shift) as f32;
                    }
                }
            }
            _ => self.pending = Some(affine),
        }
        Ok(())
    }
}
