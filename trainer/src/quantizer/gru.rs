//! The integers of a GRU layer: rows over x and rows over h, in the gate order z, r, n, with a multiplier each.
//!
//! ```text
//! z, r   (Σ w_x·q_x)·M_x + (Σ w_h·q_h)·M_h + B >> shift                          B has both biases
//! n      (Σ w_x·q_x)·M_x + B >> shift  and  (Σ w_h·q_h)·M_h + B_h >> shift        reset after the product
//!        (Σ w_x·q_x)·M_x + (Σ w_h·q_rh)·M_h + B >> shift                         reset before it
//! ```

use anyhow::Result;

use super::CellWeights;
use super::rows::{Grid, Row, RowIntegers, Weight, at_largest_shift, bias};

/// What the weights of a GRU layer became; rows gate·units + unit.
#[derive(Clone, Debug, PartialEq)]
pub struct GruIntegers<W = i8> {
    /// The rows over x. Their biases are both of z and r, and the first one of n.
    pub kernel: RowIntegers<W>,
    /// The rows over h. Their biases are those of n, `units` of them, and none with the reset before the product.
    pub recurrent: RowIntegers<W>,
    /// Right shift to Q3.12, of both.
    pub shift: u8,
}

/// Quantizes a layer whose columns of x are worth `input_scales`; without biases of its product with U the reset acts before that.
///
/// # Errors
/// A fault when a row's weights are too large for 32-bit sums at any shift.
pub fn quantize<W: Weight>(
    layer: &CellWeights,
    input_scales: &[f32],
    grid: Grid,
    index: usize,
) -> Result<GruIntegers<W>> {
    let (units, after) = (layer.units, !layer.recurrent_bias.is_empty());
    let pairs: Vec<(Row, Row)> = layer
        .kernel
        .chunks_exact(layer.inputs)
        .zip(layer.recurrent_kernel.chunks_exact(units))
        .map(|(x, h)| (Row::scaled(x, input_scales, grid), Row::hidden::<W>(h, grid)))
        .collect();
    at_largest_shift(&format!("gru {index}"), layer.most_shift, |shift| {
        let (mut kernel, mut recurrent) = (RowIntegers::default(), RowIntegers::default());
        for (row, (x, h)) in pairs.iter().enumerate() {
            let reach_x = x.push(grid, shift, &mut kernel)?;
            let reach_h = h.push(grid, shift, &mut recurrent)?;
            let first = f64::from(layer.bias[row]);
            let second = layer.recurrent_bias.get(row).map_or(0.0, |&second| f64::from(second));
            if after && row >= 2 * units {
                kernel.biases.push(bias(first, shift, shift, reach_x)?);
                recurrent.biases.push(bias(second, shift, shift, reach_h)?);
            } else {
                kernel.biases.push(bias(first + second, shift, shift, reach_x + reach_h)?);
            }
        }
        Some(GruIntegers { kernel, recurrent, shift })
    })
}
