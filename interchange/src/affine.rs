//! A scale and a shift of each feature, which a layer beside them takes in exactly.
//!
//! ```text
//! behind a linear layer      a∘(W·x + b) + s = (diag(a)·W)·x + a∘b + s
//! before a layer             W·(a∘x + s) + b = (W·diag(a))·x + W·s + b
//! ```

use crate::described::{Matrix, Vector};

/// y = scale∘x + shift
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: Vec<f64>,
    pub(crate) shift: Vec<f64>,
}

impl Affine {
    /// Whether a larger x never gives a smaller y.
    pub(crate) fn grows(&self) -> bool {
        self.scale.iter().all(|scale| *scale >= 0.0)
    }

    /// The one of both, this one first: a₂∘(a₁∘x + s₁) + s₂.
    pub(crate) fn then(&self, above: &Self) -> Self {
        let scale = self.scale.iter().zip(&above.scale).map(|(below, above)| below * above).collect();
        let of_above = above.scale.iter().zip(&above.shift);
        let shift = self.shift.iter().zip(of_above).map(|(below, (scale, shift))| below * scale + shift).collect();
        Self { scale, shift }
    }

    /// Puts it into the table of an embedding, a row an id.
    pub(crate) fn fold_table(&self, table: &mut Matrix) {
        for row in table.values.chunks_mut(table.columns.max(1)) {
            for (value, (scale, shift)) in row.iter_mut().zip(self.scale.iter().zip(&self.shift)) {
                *value = (f64::from(*value) * scale + shift) as f32;
            }
        }
    }

    /// Puts it into the layer that reads it. The columns of a kernel are the features, once for each frame of a window.
    pub(crate) fn fold(&self, kernel: &mut Matrix, bias: &mut Vector) {
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
    pub(crate) fn fold_back(&self, kernel: &mut Matrix, bias: &mut Vector) {
        let rows = kernel.values.chunks_mut(kernel.columns.max(1)).zip(&mut bias.values);
        for ((row, bias), (scale, shift)) in rows.zip(self.scale.iter().zip(&self.shift)) {
            row.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
            *bias = (f64::from(*bias) * scale + shift) as f32;
        }
    }
}
