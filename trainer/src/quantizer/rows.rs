//! Rows of integers: what every recurrent layer's weights become, a multiplier a row.
//!
//! With `q` the integer columns of x or h, a row is
//!
//! ```text
//! z = Σ v·q + b        v[column] = W_x[column]·a[column]   for x, whose column has scale a: x = a·q
//!                      v[column] = W_h[column]/128         for h = q/128
//! G = z·2^12 = (Σ w·q)·M >> shift,  + B before the shift   with w = round(v/s),  s = M / 2^(12+shift)
//! ```
//!
//! so x and h may share one accumulator although their scales differ: the difference is inside the weights. `M` is an integer and
//! is chosen *before* the weights are rounded, so that a coarse `M` costs no accuracy. One shift serves a layer.
//!
//! int16 has columns of 16 bits, h = q/32768, and drops 16 bits of a product: `G = ((Σ w·q)·M >> 16) + B >> shift`, `s = M / 2^(28+shift)`. A row's scale is
//! the least with which `|w| <= 32767` and `Σ|w| <= 65535`, so that every sum fits 32 bits.
//!
//! A weight of four bits is a multiple of 16 from -128 to 112: the grid is coarser, and nothing else changes. A row is then
//! clipped too, where that lowers the squared error of its weights.

use latch_engine::image::encode::Values;
use latch_engine::kernels::IntWeight;
use latch_engine::layers::embedding::Tiers;

use crate::config::Storage;
use crate::error::fault;

/// What a column of h is worth in int8: h = q / 128.
pub(super) const HIDDEN: f64 = <i8 as Weight>::HIDDEN;

/// A type of integers that rows are made of.
pub trait Weight: IntWeight {
    /// What a column of h is worth.
    const HIDDEN: f64;
    /// Bits that a product with the multiplier loses before the bias is added.
    const DROPPED: u8;
    /// The largest multiplier.
    const MULTIPLIER: f64;
    /// The grid of the embedding and of gates in whole integers.
    const GRID: Grid;
    /// A number of the grid.
    fn of(integer: f64) -> Self;
    /// As a number.
    fn number(self) -> f64;
    /// A tensor's values.
    fn values(weights: Vec<Self>) -> Values;
    /// The most that a row's product with its multiplier can be, for a sum of its weights' magnitudes.
    fn reach(sum: f64, multiplier: f64) -> f64;
}

impl Weight for i8 {
    const HIDDEN: f64 = 1.0 / 128.0;
    const DROPPED: u8 = 0;
    const MULTIPLIER: f64 = 65_535.0;
    const GRID: Grid = Grid::INT8;

    fn of(integer: f64) -> Self {
        integer as i8
    }

    fn number(self) -> f64 {
        f64::from(self)
    }

    fn values(weights: Vec<Self>) -> Values {
        Values::I8(weights)
    }

    fn reach(sum: f64, multiplier: f64) -> f64 {
        sum * 128.0 * multiplier
    }
}

impl Weight for i16 {
    const HIDDEN: f64 = 1.0 / 32_768.0;
    const DROPPED: u8 = 16;
    const MULTIPLIER: f64 = 32_767.0;
    const GRID: Grid = Grid::INT16;

    fn of(integer: f64) -> Self {
        integer as i16
    }

    fn number(self) -> f64 {
        f64::from(self)
    }

    fn values(weights: Vec<Self>) -> Values {
        Values::I16(weights)
    }

    fn reach(sum: f64, multiplier: f64) -> f64 {
        sum * multiplier / 2.0 + 1.0
    }
}

/// The most that the magnitudes of a row of int16 sum up to.
const MOST_INT16: f64 = 65_535.0;

/// The shifts that are tried, the largest first.
const SHIFTS: std::ops::RangeInclusive<u8> = 4..=LARGEST_SHIFT;

/// The largest of them.
pub const LARGEST_SHIFT: u8 = 20;

/// The integers that a weight can become: multiples of `step` from `lowest` to `highest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    step: f32,
    lowest: f32,
    highest: f32,
}

impl Grid {
    /// Of eight bits; symmetric.
    pub const INT8: Self = Grid { step: 1.0, lowest: -127.0, highest: 127.0 };
    /// Of sixteen bits; symmetric.
    pub const INT16: Self = Grid { step: 1.0, lowest: -32_767.0, highest: 32_767.0 };
    /// Of four bits, the upper ones of eight.
    pub const INT4: Self = Grid { step: 16.0, lowest: -128.0, highest: 112.0 };

    /// Of the embedding.
    pub fn of_embedding(storage: Storage) -> Self {
        Self::of(storage, storage.nibbles().embedding)
    }

    /// Of the embedding's rows that are not whole.
    pub fn of_rare_rows(storage: Storage, shape: Tiers) -> Self {
        Self::of(storage, shape.int4)
    }

    /// Of the gates.
    pub fn of_gates(storage: Storage) -> Self {
        Self::of(storage, storage.nibbles().gates)
    }

    fn of(storage: Storage, int4: bool) -> Self {
        match storage {
            Storage::Int16 => Self::INT16,
            _ if int4 => Self::INT4,
            _ => Self::INT8,
        }
    }

    /// The integer for a value in units of its scale: the nearest, halves away from zero, or the end of the range.
    pub fn round(self, value: f32) -> f32 {
        (value / self.step).round().clamp(self.lowest / self.step, self.highest / self.step) * self.step
    }

    fn round_f64(self, value: f64) -> f64 {
        let [step, lowest, highest] = [self.step, self.lowest, self.highest].map(f64::from);
        (value / step).round().clamp(lowest / step, highest / step) * step
    }

    /// The ends of the range.
    pub(crate) fn range(self) -> [f32; 2] {
        [self.lowest, self.highest]
    }
}

/// Rows of integers in their natural order; an image has them in the order of its kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct RowIntegers<W = i8> {
    /// Columns of a row.
    pub columns: usize,
    /// `rows × columns`.
    pub weights: Vec<W>,
    /// One a row.
    pub multipliers: Vec<u16>,
    /// One a row, at the scale of sum times multiplier, the rounding half included; none where another kernel's rows have it.
    pub biases: Vec<i32>,
}

impl<W> Default for RowIntegers<W> {
    fn default() -> Self {
        RowIntegers { columns: 0, weights: Vec::new(), multipliers: Vec::new(), biases: Vec::new() }
    }
}

/// A row before it is rounded: its weights in units of their columns' integers, and the magnitude that the highest integer shall stand for.
pub(super) struct Row {
    values: Vec<f64>,
    kept: f64,
}

impl Row {
    /// The magnitude is the largest of the row; of sixteen bits at least what keeps the sum of the row's integers; of four bits, the one among 100, 95 … 50 % of it that gives the least squared error.
    pub(super) fn new(values: Vec<f64>, grid: Grid) -> Self {
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if grid == Grid::INT8 || largest == 0.0 {
            return Row { values, kept: largest };
        }
        if grid == Grid::INT16 {
            // Each integer may be half of one larger than its value.
            let room = MOST_INT16 - 0.5 * values.len() as f64;
            let sum: f64 = values.iter().map(|value| value.abs()).sum();
            return Row { values, kept: largest.max(sum / room * f64::from(grid.highest)) };
        }
        let error = |kept: f64| -> f64 {
            let scale = kept / f64::from(grid.highest);
            values.iter().map(|&value| (value - grid.round_f64(value / scale) * scale).powi(2)).sum()
        };
        let clips = (0..=10).map(|step| largest * (1.0 - 0.05 * f64::from(step)));
        let kept = clips.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(largest);
        Row { values, kept }
    }

    /// The row of `weights` (columns) whose columns are worth `scales`.
    pub(super) fn scaled(weights: &[f32], scales: &[f32], grid: Grid) -> Self {
        Row::new(
            weights.iter().zip(scales).map(|(&weight, &scale)| f64::from(weight) * f64::from(scale)).collect(),
            grid,
        )
    }

    /// The row of `weights` (units) that meets h.
    pub(super) fn hidden<W: Weight>(weights: &[f32], grid: Grid) -> Self {
        Row::new(weights.iter().map(|&weight| f64::from(weight) * W::HIDDEN).collect(), grid)
    }

    /// Appends the row's integers at a shift, and gives the most that its sum can be; `None` where the multiplier does not fit.
    pub(super) fn push<W: Weight>(&self, grid: Grid, shift: u8, rows: &mut RowIntegers<W>) -> Option<f64> {
        let unit_scale = unit_scale(shift) * 2_f64.powi(i32::from(W::DROPPED));
        let multiplier = (self.kept / f64::from(grid.highest) * unit_scale).ceil().max(1.0);
        if multiplier > W::MULTIPLIER {
            return None;
        }
        let integer = |value: &f64| grid.round_f64(value * unit_scale / multiplier);
        let sum: f64 = self.values.iter().map(|value| integer(value).abs()).sum();
        rows.columns = self.values.len();
        rows.weights.extend(self.values.iter().map(|value| W::of(integer(value))));
        rows.multipliers.push(multiplier as u16);
        Some(W::reach(sum, multiplier))
    }
}

/// What one is worth before the shift, of sums that are Q3.12 behind it.
fn unit_scale(shift: u8) -> f64 {
    f64::from(1_u32 << 12) * f64::from(1_u32 << shift)
}

/// A bias with the rounding half of a shift, at the scale of another one; `None` where it does not fit with sums of up to `reach`.
pub(super) fn bias(value: f64, shift: u8, half: u8, reach: f64) -> Option<i32> {
    let bias = (value * unit_scale(shift)).round() + f64::from(1_u32 << (half - 1));
    (reach + bias.abs() <= f64::from(i32::MAX)).then_some(bias as i32)
}

/// What `integers` gives at the largest shift with which everything fits.
///
/// # Errors
/// A fault naming the layer when nothing fits.
pub(super) fn at_largest_shift<R>(layer: &str, most: u8, integers: impl Fn(u8) -> Option<R>) -> anyhow::Result<R> {
    SHIFTS.rev().filter(|&shift| shift <= most).find_map(integers).ok_or_else(|| {
        fault(
            format!("{layer} kernel"),
            "a row's weights or its bias are so large that their sum does not fit 32 bits",
            "train again with a lower learning rate or with weight decay",
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_integers_is_the_row_to_half_a_step() {
        let values: Vec<f64> = (0..40).map(|index| f64::from(index * 37 % 41) / 900.0 - 0.02).collect();
        for grid in [Grid::INT8, Grid::INT4] {
            let row = Row::new(values.clone(), grid);
            let mut rows = RowIntegers::<i8>::default();
            let reach = row.push(grid, 12, &mut rows).unwrap();
            let multiplier = f64::from(rows.multipliers[0]);
            let step = multiplier / unit_scale(12);
            let [lowest, highest] = grid.range().map(f64::from);
            for (&value, &integer) in values.iter().zip(&rows.weights) {
                let clipped = value.clamp(lowest * step, highest * step);
                assert!((f64::from(integer) * step - clipped).abs() <= 0.5 * step * f64::from(grid.step) + 1e-12);
            }
            let sum: f64 = rows.weights.iter().map(|&weight| f64::from(weight).abs()).sum();
            assert_eq!(reach, 128.0 * multiplier * sum);
        }
    }

    #[test]
    fn a_row_of_int16_sums_up_to_at_most_65535_and_is_the_row_to_half_a_step() {
        for columns in [1, 2, 3, 40, 128, 2_048] {
            let value = |index: i32| (f64::from(index * 37 % 41 - 20) / 900.0 - 0.001) * <i16 as Weight>::HIDDEN;
            let values: Vec<f64> = (0..columns).map(value).collect();
            let row = Row::new(values.clone(), Grid::INT16);
            let (shift, mut rows) = (12, RowIntegers::<i16>::default());
            let reach = row.push(Grid::INT16, shift, &mut rows).unwrap();
            let multiplier = f64::from(rows.multipliers[0]);
            let step = multiplier / unit_scale(shift) / 65_536.0;
            for (&value, &integer) in values.iter().zip(&rows.weights) {
                assert!((f64::from(integer) * step - value).abs() <= 0.5 * step + 1e-15, "{columns}: {value}");
            }
            let sum: u32 = rows.weights.iter().map(|weight| u32::from(weight.unsigned_abs())).sum();
            assert!(sum <= 65_535, "{columns}: {sum}");
            assert!(columns < 3 || sum > 60_000, "{columns}: the range is used, {sum}");
            assert_eq!(reach, f64::from(sum) * multiplier / 2.0 + 1.0);
        }
    }
}
