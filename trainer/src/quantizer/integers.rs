//! Integers: every weight in 8 bits or in 4, a multiplier a row.
//!
//! With `q` the integer columns of [x; h], an LSTM row is
//!
//! ```text
//! z = Σ v·q + b        v[column] = W_x[column]·a[column]   for x, whose column has scale a: x = a·q
//!                      v[column] = W_h[column]/128         for h = q/128
//! G = z·2^12 = (Σ w·q)·M >> shift,  + B before the shift   with w = round(v/s),  s = M / 2^(12+shift)
//! ```
//!
//! so x and h share one accumulator although their scales differ: the difference is inside the weights. `M` is an integer and
//! is chosen *before* the weights are rounded, so that a coarse `M` costs no accuracy. One shift serves a layer.
//!
//! Where there is no layer the head reads `q/128` of the embedding: its row is `W[column]·128·a[column]`.
//!
//! The embedding has a scale for each column, calibrated on the training examples: a column's largest values are clipped where that lowers
//! the squared error of what the examples read, so that a row counts as often as its id occurs.
//!
//! A weight of four bits is a multiple of 16 from -128 to 112 in all of the above: the grid is coarser, and nothing else changes. A row of gates is then
//! clipped too, where that lowers the squared error of its weights.

use std::ops::Range;

use anyhow::Result;
use latch_engine::image::encode::{Tensor, Values, pack_gates_i8};
use latch_engine::image::ids::IdSet;
use latch_engine::image::role::Role;
use latch_engine::layers::embedding::Tiers;

use super::describe::Chain;
use super::{LstmWeights, Packed, Storage, Weights};
use crate::error::fault;
use crate::network::tiers;

/// What the weights of an integer layer became: scales, for reports and tests.
#[derive(Clone, Debug, PartialEq)]
pub struct GateIntegers {
    /// `[unit][k/4][gate][4]`.
    pub weights: Vec<i8>,
    /// `[unit][gate]`.
    pub multipliers: Vec<u16>,
    /// `[unit][gate]`, the rounding half included.
    pub biases: Vec<i32>,
    /// Right shift to Q3.12.
    pub shift: u8,
}

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
    /// Of four bits, the upper ones of eight.
    pub const INT4: Self = Grid { step: 16.0, lowest: -128.0, highest: 112.0 };

    /// Of the embedding.
    pub fn of_embedding(storage: Storage) -> Self {
        if storage.nibbles().embedding { Self::INT4 } else { Self::INT8 }
    }

    /// Of the gates.
    pub fn of_gates(storage: Storage) -> Self {
        if storage.nibbles().gates { Self::INT4 } else { Self::INT8 }
    }

    /// The integer for a value in units of its scale: the nearest, halves away from zero, or the end of the range.
    pub fn round(self, value: f32) -> f32 {
        (value / self.step).round().clamp(self.lowest / self.step, self.highest / self.step) * self.step
    }

    fn round_f64(self, value: f64) -> f64 {
        let [step, lowest, highest] = [self.step, self.lowest, self.highest].map(f64::from);
        (value / step).round().clamp(lowest / step, highest / step) * step
    }

    /// True beyond the ends of the range, on the side to which a step against `gradient` would go further.
    pub(crate) fn leaves(self, value: f32, gradient: f32) -> bool {
        (value > self.highest && gradient < 0.0) || (value < self.lowest && gradient > 0.0)
    }
}

/// The embedding's tensors in tiers. `rounded` are some elements of the table as integers of a grid, `grid` is that of whole rows.
fn pack_tiers(
    weights: &Weights,
    shape: Tiers,
    grid: Grid,
    rounded: impl Fn(Grid, Range<usize>) -> Vec<i8>,
) -> Result<Vec<Tensor>> {
    let width = weights.width;
    let rows = weights.embedding.len() / width;
    let others = tiers::Tiers::<f32>::new(shape, &weights.occurrences, rows).others().to_vec();
    let whole: Vec<u32> = (0..rows as u32).filter(|id| others.binary_search(id).is_err()).collect();
    let place = |id: u32| width * id as usize;
    let of = |id: u32, features: Range<usize>| &weights.embedding[place(id)..][..width][features];
    let (narrow, remainders) = (usize::from(shape.width), shape.remainders as usize);
    // A number that is not the first with its quotient or remainder has the row of the first.
    let in_form = others.iter().enumerate().all(|(number, &id)| match number.checked_rem(remainders) {
        None => of(id, narrow..width).iter().all(|&value| value == 0.0),
        Some(remainder) => {
            of(id, 0..narrow) == of(others[number - remainder], 0..narrow)
                && of(id, narrow..width) == of(others[remainder], narrow..width)
        }
    });
    if !in_form {
        let problem = "the rows of the ids that occur seldom are not in the form that the model has for them";
        return Err(fault("tensor embedding", problem, "export with the data that the run learned from").into());
    }
    let below = if shape.int4 { Grid::INT4 } else { Grid::INT8 };
    let firsts = others.iter().step_by(remainders.max(1));
    let quotients = firsts.flat_map(|&id| rounded(below, place(id)..place(id) + narrow)).collect();
    let mut tensors = vec![
        Tensor {
            role: Role::Embedding,
            layer: 0,
            values: Values::I8(whole.iter().flat_map(|&id| rounded(grid, place(id)..place(id) + width)).collect()),
        },
        Tensor { role: Role::WholeRows, layer: 0, values: Values::Bytes(IdSet::encode(rows, &whole)) },
        Tensor { role: Role::Quotients, layer: 0, values: Values::I8(quotients) },
    ];
    if remainders > 0 {
        let rows = others.iter().take(remainders);
        let rows = rows.flat_map(|&id| rounded(below, place(id) + narrow..place(id) + width)).collect();
        tensors.push(Tensor { role: Role::Remainders, layer: 0, values: Values::I8(rows) });
    }
    Ok(tensors)
}

pub(super) fn pack(weights: &Weights, storage: Storage) -> Result<Packed> {
    let scales = column_scales(weights, storage);
    let grid = Grid::of_embedding(storage);
    let rounded = |grid: Grid, range: Range<usize>| -> Vec<i8> {
        range.map(|index| grid.round(weights.embedding[index] / scales[index % weights.width]) as i8).collect()
    };
    let mut tensors = match weights.tiers {
        Some(tiers) => pack_tiers(weights, tiers, grid, rounded)?,
        None => {
            let embedding = rounded(grid, 0..weights.embedding.len());
            vec![Tensor { role: Role::Embedding, layer: 0, values: Values::I8(embedding) }]
        }
    };
    let mut shifts = Vec::new();
    for (index, layer) in weights.layers.iter().enumerate() {
        // The input of a layer above the first is the hidden state below it, in the same scale as its own.
        let input_scales = if index == 0 { scales.clone() } else { vec![1.0 / 128.0; layer.inputs] };
        let gates = quantize_gates(layer, &input_scales, Grid::of_gates(storage), index)?;
        shifts.push(gates.shift);
        let layer = index as u8;
        tensors.push(Tensor { role: Role::Weights, layer, values: Values::I8(gates.weights) });
        tensors.push(Tensor { role: Role::Multipliers, layer, values: Values::U16(gates.multipliers) });
        tensors.push(Tensor { role: Role::Biases, layer, values: Values::I32(gates.biases) });
    }
    // Without layers the head reads the embedding's bytes, as q/128: the scales of their columns go into its weights.
    let head: Vec<f32> = match weights.layers.is_empty() {
        true => weights.head.iter().zip(scales.iter().cycle()).map(|(&weight, scale)| weight * scale * 128.0).collect(),
        false => weights.head.clone(),
    };
    let (head, multipliers, biases, head_shift) = quantize_head(&head, &weights.head_bias)?;
    let layer = Chain::answer_place(weights.layers.len());
    tensors.push(Tensor { role: Role::Weights, layer, values: Values::I16(head) });
    tensors.push(Tensor { role: Role::Multipliers, layer, values: Values::U16(multipliers) });
    tensors.push(Tensor { role: Role::Biases, layer, values: Values::I32(biases) });
    Ok(Packed { tensors, shifts, head_shift })
}

/// A scale for each of the `width` columns: the one among clips at 100, 95 … 50 % of the column's largest magnitude that gives the
/// least squared error, `Σ (1 + occurrences)·(value − rounded)²` over the rows: a row that no example has still counts once.
///
/// The scales that the weights bring with them, where they do.
pub(crate) fn column_scales(weights: &Weights, storage: Storage) -> Vec<f32> {
    if !weights.embedding_scales.is_empty() {
        return weights.embedding_scales.clone();
    }
    let grid = Grid::of_embedding(storage);
    let share = |row: usize| 1.0 + f64::from(weights.occurrences.get(row).copied().unwrap_or(0));
    (0..weights.width)
        .map(|column| {
            let values: Vec<f32> = weights.embedding.iter().skip(column).step_by(weights.width).copied().collect();
            let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())).max(1e-6);
            let error = |scale: f32| -> f64 {
                values
                    .iter()
                    .enumerate()
                    .map(|(row, &value)| {
                        let rounded = grid.round(value / scale) * scale;
                        share(row) * f64::from(value - rounded).powi(2)
                    })
                    .sum()
            };
            (0..=10)
                .map(|step| largest * (1.0 - 0.05 * step as f32) / grid.highest)
                .min_by(|a, b| error(*a).total_cmp(&error(*b)))
                .unwrap_or(largest / grid.highest)
        })
        .collect()
}

/// Quantizes one LSTM layer with a scale for each column of its input.
///
/// # Errors
/// A fault when a row's weights are too large for 32-bit sums at any shift.
pub fn quantize_gates(layer: &LstmWeights, input_scales: &[f32], grid: Grid, index: usize) -> Result<GateIntegers> {
    let kept = kept_ranges(layer, input_scales, grid);
    (4..=20_u8).rev().find_map(|shift| try_shift(layer, input_scales, grid, &kept, shift)).ok_or_else(|| {
        fault(
            format!("lstm {index} kernel"),
            "a row's weights or its bias are so large that their sum does not fit 32 bits",
            "train again with a lower learning rate or with weight decay, or export with --precision f16",
        )
        .into()
    })
}

/// A row's weight in units of its column's integers.
fn scaled(layer: &LstmWeights, input_scales: &[f32], gate: usize, unit: usize, column: usize) -> f64 {
    let scale = input_scales.get(column).copied().unwrap_or(1.0 / 128.0);
    f64::from(layer.weight(gate, unit, column)) * f64::from(scale)
}

/// The magnitude, `[unit][gate]`, that the highest integer of each row shall stand for: the largest of the row; of four bits, the one among 100, 95 … 50 %
/// of it that gives the least squared error.
fn kept_ranges(layer: &LstmWeights, input_scales: &[f32], grid: Grid) -> Vec<f64> {
    let columns = layer.inputs + layer.units;
    let range = |row: usize| {
        let values: Vec<f64> =
            (0..columns).map(|column| scaled(layer, input_scales, row % 4, row / 4, column)).collect();
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if grid == Grid::INT8 || largest == 0.0 {
            return largest;
        }
        let error = |kept: f64| -> f64 {
            let scale = kept / f64::from(grid.highest);
            values.iter().map(|&value| (value - grid.round_f64(value / scale) * scale).powi(2)).sum()
        };
        let clips = (0..=10).map(|step| largest * (1.0 - 0.05 * f64::from(step)));
        clips.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(largest)
    };
    (0..4 * layer.units).map(range).collect()
}

/// The integers at one shift; `None` when a multiplier, a bias or a sum does not fit.
fn try_shift(layer: &LstmWeights, input_scales: &[f32], grid: Grid, kept: &[f64], shift: u8) -> Option<GateIntegers> {
    let columns = layer.inputs + layer.units;
    let unit_scale = f64::from(1_u32 << 12) * f64::from(1_u32 << shift);
    let integer = |gate: usize, unit: usize, column: usize, multiplier: f64| {
        grid.round_f64(scaled(layer, input_scales, gate, unit, column) * unit_scale / multiplier)
    };
    let mut multipliers = Vec::with_capacity(4 * layer.units);
    let mut biases = Vec::with_capacity(4 * layer.units);
    for unit in 0..layer.units {
        for gate in 0..4 {
            let multiplier = (kept[unit * 4 + gate] / f64::from(grid.highest) * unit_scale).ceil().max(1.0);
            let bias = (f64::from(layer.bias[gate * layer.units + unit]) * unit_scale).round()
                + f64::from(1_u32 << (shift - 1));
            let sum: f64 = (0..columns).map(|column| integer(gate, unit, column, multiplier).abs()).sum();
            if multiplier > f64::from(u16::MAX) || sum * 128.0 * multiplier + bias.abs() > f64::from(i32::MAX) {
                return None;
            }
            multipliers.push(multiplier as u16);
            biases.push(bias as i32);
        }
    }
    let weights = pack_gates_i8(layer.units, columns, |gate, unit, column| {
        integer(gate, unit, column, f64::from(multipliers[unit * 4 + gate])) as i8
    });
    Some(GateIntegers { weights, multipliers, biases, shift })
}

/// The head in 16 bits: `logit·2^16 = (Σ w·v)·M >> shift, + B`, with the readout `v` in Q0.15, so that a weight's scale is `M / 2^(shift+1)`.
#[allow(clippy::type_complexity)] // four parallel pieces of one section group, named where they are taken apart
pub(super) fn quantize_head(head: &[f32], bias: &[f32]) -> Result<(Vec<i16>, Vec<u16>, Vec<i32>, u8)> {
    let units = head.len() / bias.len();
    let largest = |row: &[f32]| row.iter().fold(0.0_f64, |largest, value| largest.max(f64::from(value.abs())));
    let multiplier =
        |row: &[f32], shift: u8| (largest(row) / 32_767.0 * 2_f64.powi(i32::from(shift) + 1)).ceil().max(1.0);
    let shift = (1..=45_u8)
        .rev()
        .find(|&shift| head.chunks(units).all(|row| multiplier(row, shift) <= f64::from(u16::MAX)))
        .ok_or_else(|| fault("head kernel", "a weight is too large for 16 bits", "train again with weight decay"))?;
    let mut weights = Vec::new();
    let mut multipliers = Vec::new();
    for row in head.chunks(units) {
        let multiplier = multiplier(row, shift);
        let scale = multiplier / 2_f64.powi(i32::from(shift) + 1);
        weights.extend(row.iter().map(|&value| (f64::from(value) / scale).round() as i16));
        multipliers.push(multiplier as u16);
    }
    let biases = bias.iter().map(|&value| (f64::from(value) * 65_536.0).round() as i32).collect();
    Ok((weights, multipliers, biases, shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_engine::layers::pooling::Pooling as Readout;

    /// One column: 400 small values, and a large one in row 0.
    fn network() -> Weights {
        let mut weights = Weights::random(401, 1, &[2], Readout::Last, 1);
        weights.embedding = (0..401).map(|row| if row == 0 { 1.0 } else { 0.001 * (row % 5) as f32 }).collect();
        weights
    }

    #[test]
    fn what_the_examples_read_most_is_kept_most_exactly() {
        let often: Vec<u32> = (0..401).flat_map(|id| vec![id; if id == 0 { 1_000 } else { 1 }]).collect();
        let seldom: Vec<u32> = (1..401).cycle().take(4_000_000).collect();
        let [large, small] =
            [often, seldom].map(|ids| column_scales(&network().calibrated([ids.as_slice()]), Storage::Int8)[0]);
        assert!((large - 1.0 / 127.0).abs() < 1e-6, "the row that is read often is not clipped: {large}");
        assert!(small < large, "the row that nobody reads is clipped for the others: {small}");
    }

    #[test]
    fn an_id_outside_the_embedding_is_left_out_of_the_calibration() {
        assert_eq!(network().calibrated([[0, 0, 400, 9_999].as_slice()]).occurrences.iter().sum::<u32>(), 3);
    }
}
