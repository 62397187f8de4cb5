//! The head's integers.

use anyhow::Result;

use crate::error::fault;

/// The head in 16 bits: `logit·2^16 = (Σ w·v)·M >> shift, + B`, with the readout `v` in Q0.15, so that a weight's scale is `M / 2^(shift+1)`.
#[allow(clippy::type_complexity)] // four parallel pieces of one section group, named where they are taken apart
pub(super) fn quantize(head: &[f32], bias: &[f32]) -> Result<(Vec<i16>, Vec<u16>, Vec<i32>, u8)> {
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
