//! The integers of a dense layer, in 16 bits, and what the features are worth that it reads and gives.
//!
//! A value that a layer hands on is a Q0.15 number in an integer image. What its 1.0 is worth is known here alone, a scale for each feature: the scale of its
//! column times the integers of 1.0 for the embedding, 128 of int8, 1 for cells, tanh and sigmoid, the range of a convolution, and the largest value that can occur for linear and relu. The layer that reads it has that scale
//! inside its weights.
//!
//! ```text
//! value·unit = ((Σ w·v)·M >> shift) + B          v in Q0.15; a weight is worth M·2^(15 - shift) / (unit·worth of its feature)
//! ```

use anyhow::Result;

use super::DenseWeights;
use super::rows::Weight;
use crate::config::chain::Activation;
use crate::error::fault;

/// What 1 is in the logit's Q15.16.
const LOGIT: f64 = 65_536.0;

/// What the weights of a dense layer became.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseIntegers {
    /// `outputs × inputs`, row-major.
    pub weights: Vec<i16>,
    /// One a row.
    pub multipliers: Vec<u16>,
    /// One a row, behind the shift.
    pub biases: Vec<i32>,
    /// Right shift from sums to integers of which `unit` are 1.
    pub shift: u8,
    /// What 1 is in the integers that come out.
    pub unit: f64,
}

/// What 1.0 is worth of each feature that the next layer reads.
#[derive(Clone, Debug)]
pub(super) struct Worth(Vec<f64>);

impl Worth {
    /// Behind an embedding whose columns have these scales.
    pub(super) fn of_embedding<W: Weight>(scales: &[f32]) -> Self {
        Worth(scales.iter().map(|&scale| f64::from(scale) / W::HIDDEN).collect())
    }

    /// Behind a recurrent layer.
    pub(super) fn of_cell(units: usize) -> Self {
        Worth(vec![1.0; units])
    }

    /// Behind a convolution whose values have this range.
    pub(super) fn of_convolution(units: usize, range: f64) -> Self {
        Worth(vec![range; units])
    }

    /// One a feature.
    pub(super) fn features(&self) -> &[f64] {
        &self.0
    }

    /// What one of a column's integers is worth, where the features are read in Q0.7, of int16 in Q0.15.
    pub(super) fn columns<W: Weight>(&self) -> Vec<f32> {
        self.0.iter().map(|&worth| (worth * W::HIDDEN) as f32).collect()
    }

    /// Quantizes a dense layer that reads these features, and gives what its own are worth.
    ///
    /// # Errors
    /// A fault when a weight is too large for integers.
    pub(super) fn dense(&self, layer: &DenseWeights) -> Result<(DenseIntegers, Self)> {
        let (unit, worth) = match layer.activation {
            Activation::Tanh | Activation::Sigmoid => (4096.0, 1.0),
            Activation::Linear | Activation::Relu => {
                let largest = self.largest(layer);
                (32_767.0 / largest, largest)
            }
        };
        let integers = self.quantize(&format!("dense {}", layer.place), (&layer.kernel, &layer.bias), unit)?;
        Ok((integers, Worth(vec![worth; layer.bias.len()])))
    }

    /// Quantizes the dense layer that answers, in Q15.16.
    ///
    /// # Errors
    /// As [`Worth::dense`].
    pub(super) fn answer(&self, kernel: &[f32], bias: &[f32]) -> Result<DenseIntegers> {
        self.quantize("head", (kernel, bias), LOGIT)
    }

    /// The largest value that a dense layer can give, of inputs inside their range.
    fn largest(&self, layer: &DenseWeights) -> f64 {
        let rows = layer.kernel.chunks(self.0.len()).zip(&layer.bias);
        let reach = rows.map(|(row, bias)| {
            row.iter().zip(&self.0).map(|(weight, worth)| f64::from(weight.abs()) * worth).sum::<f64>()
                + f64::from(bias.abs())
        });
        reach.fold(1e-6, f64::max)
    }

    /// A dense layer whose value 1 is `unit` integers.
    fn quantize(&self, name: &str, (kernel, bias): (&[f32], &[f32]), unit: f64) -> Result<DenseIntegers> {
        // The integers are those of an answer, in which 1 is 2^16.
        let part = unit / LOGIT;
        let kernel: Vec<f32> = kernel
            .iter()
            .zip(self.0.iter().cycle())
            .map(|(&weight, worth)| (f64::from(weight) * worth * part) as f32)
            .collect();
        let largest = |row: &[f32]| row.iter().fold(0.0_f64, |largest, value| largest.max(f64::from(value.abs())));
        let multiplier =
            |row: &[f32], shift: u8| (largest(row) / 32_767.0 * 2_f64.powi(i32::from(shift) + 1)).ceil().max(1.0);
        let rows = || kernel.chunks(self.0.len());
        let shift = (1..=45_u8)
            .rev()
            .find(|&shift| rows().all(|row| multiplier(row, shift) <= f64::from(u16::MAX)))
            .ok_or_else(|| {
                let problem = "a weight is too large for 16 bits";
                fault(format!("{name} kernel"), problem, "train again with weight decay")
            })?;
        let mut weights = Vec::new();
        let mut multipliers = Vec::new();
        for row in rows() {
            let multiplier = multiplier(row, shift);
            let scale = multiplier / 2_f64.powi(i32::from(shift) + 1);
            weights.extend(row.iter().map(|&value| (f64::from(value) / scale).round() as i16));
            multipliers.push(multiplier as u16);
        }
        let bias = bias.iter().map(|&bias| (f64::from(bias) * part) as f32);
        let biases = bias.map(|bias| (f64::from(bias) * LOGIT).round() as i32).collect();
        Ok(DenseIntegers { weights, multipliers, biases, shift, unit })
    }
}
