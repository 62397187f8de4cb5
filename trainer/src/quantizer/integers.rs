//! The integers of a whole network, as an image has them.
//!
//! Where there is no recurrent layer the head reads `q/128` of the embedding: its row is `W[column]·128·a[column]`.

use anyhow::Result;
use latch_engine::image::encode::{Tensor, Values};
use latch_engine::image::tensor::Role;

use super::rows::Grid;
use super::{Packed, Storage, Weights, embedding, head, lstm};

pub(super) fn pack(weights: &Weights, storage: Storage) -> Result<Packed> {
    let scales = embedding::column_scales(weights, storage);
    let mut tensors = embedding::pack(weights, storage, &scales)?;
    let mut shifts = Vec::new();
    for (index, layer) in weights.layers.iter().enumerate() {
        // The input of a layer above the first is the hidden state below it, in the same scale as its own.
        let input_scales = if index == 0 { scales.clone() } else { vec![1.0 / 128.0; layer.inputs] };
        let integers = lstm::quantize(layer, &input_scales, Grid::of_gates(storage), index)?;
        shifts.push(integers.shift);
        let (weights, multipliers, biases) = integers.packed();
        let layer = index as u8;
        tensors.push(Tensor { role: Role::GateWeights, layer, values: Values::I8(weights) });
        tensors.push(Tensor { role: Role::GateMultipliers, layer, values: Values::U16(multipliers) });
        tensors.push(Tensor { role: Role::GateBiases, layer, values: Values::I32(biases) });
    }
    // Without layers the head reads the embedding's bytes, as q/128: the scales of their columns go into its weights.
    let head_weights: Vec<f32> = match weights.layers.is_empty() {
        true => weights.head.iter().zip(scales.iter().cycle()).map(|(&weight, scale)| weight * scale * 128.0).collect(),
        false => weights.head.clone(),
    };
    let (head, multipliers, biases, head_shift) = head::quantize(&head_weights, &weights.head_bias)?;
    tensors.push(Tensor { role: Role::HeadWeights, layer: 0, values: Values::I16(head) });
    tensors.push(Tensor { role: Role::HeadMultipliers, layer: 0, values: Values::U16(multipliers) });
    tensors.push(Tensor { role: Role::HeadBiases, layer: 0, values: Values::I32(biases) });
    Ok(Packed { tensors, shifts, head_shift })
}
