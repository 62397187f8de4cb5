//! The integers of a simple recurrent layer: one row a unit over [x; h].
//!
//! ```text
//! tanh   h' = tanh((Σ w·q)·M + B >> shift)                   Q3.12 behind the shift
//! relu   h' = min(max((Σ w·q)·M + B >> shift, 0), 32767)     Q0.15 behind it: the same multipliers with a shift 3 lower
//! ```

use anyhow::Result;

use super::rows::{Grid, Row, RowIntegers, Weight, at_largest_shift, bias};
use super::{Cell, CellWeights};
use crate::config::chain::Activation;

/// What the weights of a simple recurrent layer became.
#[derive(Clone, Debug, PartialEq)]
pub struct RnnIntegers<W = i8> {
    /// One row a unit over [x; h].
    pub rows: RowIntegers<W>,
    /// Right shift: to Q3.12 for tanh, to Q0.15 for relu.
    pub shift: u8,
}

/// Quantizes a layer whose columns of x are worth `input_scales`.
///
/// # Errors
/// A fault when a row's weights are too large for 32-bit sums at any shift.
pub fn quantize<W: Weight>(
    layer: &CellWeights,
    input_scales: &[f32],
    grid: Grid,
    index: usize,
) -> Result<RnnIntegers<W>> {
    let lower = if layer.cell == (Cell::Rnn { activation: Activation::Relu }) { 3 } else { 0 };
    let rows: Vec<Row> = (0..layer.units).map(|row| layer.joined_row::<W>(row, input_scales, grid)).collect();
    at_largest_shift(&format!("rnn {index}"), layer.most_shift.saturating_add(lower), |shift| {
        let mut integers = RowIntegers::default();
        for (row, &value) in rows.iter().zip(&layer.bias) {
            let reach = row.push(grid, shift, &mut integers)?;
            integers.biases.push(bias(f64::from(value), shift, shift - lower, reach)?);
        }
        Some(RnnIntegers { rows: integers, shift: shift - lower })
    })
}
