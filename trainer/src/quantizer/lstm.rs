//! The integers of an LSTM layer: rows over [x; h], which share one accumulator and one multiplier.

use anyhow::Result;
use latch_engine::image::encode::pack_gates;

use super::CellWeights;
use super::rows::{Grid, Row, RowIntegers, Weight, at_largest_shift, bias};

/// What the weights of an LSTM layer became.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmIntegers<W = i8> {
    /// Rows gate·units + unit over [x; h].
    pub rows: RowIntegers<W>,
    /// Right shift to Q3.12.
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
) -> Result<LstmIntegers<W>> {
    let count = layer.bias.len();
    let rows: Vec<Row> = (0..count).map(|row| layer.joined_row::<W>(row, input_scales, grid)).collect();
    at_largest_shift(&format!("lstm {index}"), layer.most_shift, |shift| {
        let mut integers = RowIntegers::default();
        for (row, &value) in rows.iter().zip(&layer.bias) {
            let reach = row.push(grid, shift, &mut integers)?;
            integers.biases.push(bias(f64::from(value), shift, shift, reach)?);
        }
        Some(LstmIntegers { rows: integers, shift })
    })
}

impl<W: Weight> LstmIntegers<W> {
    /// Weights `[unit][k/4][gate][4]`, of int16 in blocks of 8 columns, multipliers and biases `[unit][gate]`: as the engine's kernels walk them.
    pub(super) fn packed(&self) -> (Vec<W>, Vec<u16>, Vec<i32>) {
        let RowIntegers { columns, weights, multipliers, biases } = &self.rows;
        let units = biases.len() / 4;
        let order = || (0..units).flat_map(|unit| (0..4).map(move |gate| gate * units + unit));
        (
            pack_gates(units, *columns, |gate, unit, column| weights[(gate * units + unit) * columns + column]),
            order().map(|row| multipliers[row]).collect(),
            order().map(|row| biases[row]).collect(),
        )
    }
}
