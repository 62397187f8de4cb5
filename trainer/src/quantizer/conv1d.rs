//! The integers of a convolution: one row a unit over the frames of its window, and the range of its values.
//!
//! ```text
//! y = sat16((Σ w·q)·M + B >> shift)          Q0.15 of the range: 32768 stands for it
//! ```
//!
//! The range is the largest magnitude that calibration has seen, where there were examples; what lies beyond saturates. It is never more than the largest value that
//! inputs inside their range can give.

use anyhow::Result;

use super::ConvWeights;
use super::dense::Worth;
use super::rows::{Grid, LARGEST_SHIFT, Row, RowIntegers, Weight, at_largest_shift, bias};

/// What the weights of a convolution became.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvIntegers<W = i8> {
    /// One row a unit over the window, the oldest frame first.
    pub rows: RowIntegers<W>,
    /// Right shift to Q0.15.
    pub shift: u8,
    /// What 1.0 in Q0.15 stands for.
    pub range: f64,
}

/// Quantizes a layer that reads features of this worth.
///
/// # Errors
/// A fault when a row's weights are too large for 32-bit sums at any shift.
pub(super) fn quantize<W: Weight>(layer: &ConvWeights, worth: &Worth, grid: Grid) -> Result<ConvIntegers<W>> {
    let scales = worth.columns::<W>();
    let width = layer.frames * scales.len();
    let largest = layer.kernel.chunks(width).zip(&layer.bias).map(|(row, bias)| {
        let features = worth.features().iter().cycle();
        row.iter().zip(features).map(|(weight, worth)| f64::from(weight.abs()) * worth).sum::<f64>()
            + f64::from(bias.abs())
    });
    let largest = largest.fold(1e-6, f64::max);
    let range = layer.range.map(f64::from).filter(|range| *range > 0.0).map_or(largest, |range| range.min(largest));
    let rows: Vec<Row> = layer
        .kernel
        .chunks(width)
        .map(|row| {
            let columns = row.iter().zip(scales.iter().cycle());
            Row::new(columns.map(|(&weight, &scale)| f64::from(weight) * f64::from(scale) / range).collect(), grid)
        })
        .collect();
    at_largest_shift(&format!("conv1d {}", layer.place), LARGEST_SHIFT, |shift| {
        let mut integers = RowIntegers::default();
        for (row, &value) in rows.iter().zip(&layer.bias) {
            let reach = row.push(grid, shift, &mut integers)?;
            // Three bits more than Q3.12 are left behind the shift.
            integers.biases.push(bias(f64::from(value) / range, shift, shift - 3, reach)?);
        }
        Some(ConvIntegers { rows: integers, shift: shift - 3, range })
    })
}
