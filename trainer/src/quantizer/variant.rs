//! The tensors of layers that images have in floats alone: variants of recurrent cells, and layer normalizations.

use latch_engine::image::encode::pack_rows_f32;
use latch_engine::image::role::Role;
use latch_engine::layers::variant::NUMBERS;
use nalgebra::DMatrix;

use crate::config::chain::variant::{CellActivation, VariantKind};
use crate::network::layernorm::LayerNorm;
use crate::network::variant::Variant;

/// A layer of floats.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatLayer {
    /// A variant of a recurrent cell.
    Variant(Box<Variant<f32>>),
    /// A layer normalization.
    LayerNorm(LayerNorm<f32>),
}

impl FloatLayer {
    /// Its name in a chain.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Variant(layer) => layer.form.name(),
            Self::LayerNorm(_) => "layernorm",
        }
    }

    /// What it is, as a refusal says it.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Variant(_) => "a variant of a recurrent cell",
            Self::LayerNorm(_) => "layer normalization",
        }
    }

    /// Its tensors, with their names.
    pub fn tensors(&self) -> Vec<(&'static str, &DMatrix<f32>)> {
        let mut tensors = Vec::new();
        let mut visit = |name, tensor| tensors.push((name, tensor));
        match self {
            Self::Variant(layer) => layer.for_each_tensor(&mut visit),
            Self::LayerNorm(layer) => layer.for_each_tensor(&mut visit),
        }
        tensors
    }

    /// Gives the tensors of an image, in the order of its sections.
    pub(super) fn pack(&self, push: &mut impl FnMut(Role, Vec<f32>)) {
        match self {
            Self::Variant(layer) => pack_variant(layer, push),
            Self::LayerNorm(layer) => {
                push(Role::Scale, layer.scale.as_slice().to_vec());
                push(Role::Biases, layer.bias.as_slice().to_vec());
                push(Role::Numbers, vec![layer.epsilon]);
            }
        }
    }
}

/// Rows `[gate][units in lanes]`; of a GRU those of n over h by themselves behind the others.
fn pack_variant(layer: &Variant<f32>, push: &mut impl FnMut(Role, Vec<f32>)) {
    let (units, form) = (layer.units(), &layer.form);
    let (gates, lanes) = (form.gates(), units.next_multiple_of(8));
    let (inputs, features) = (layer.kernel.ncols(), layer.features());
    // A row of lanes is a gate's unit, or padding.
    let row = |at: usize| (at % lanes < units).then(|| at / lanes * units + at % lanes);
    let value = |matrix: &DMatrix<f32>, at, column| row(at).map_or(0.0, |row| matrix[(row, column)]);
    let second = |at: usize| layer.recurrent_bias.as_ref().map_or(0.0, |bias| value(bias, at, 0));
    let bias = |at: usize| value(&layer.bias, at, 0) + if at < 2 * lanes { second(at) } else { 0.0 };
    push(Role::Weights, pack_rows_f32(gates * lanes, inputs, |at, column| value(&layer.kernel, at, column)));
    push(Role::Biases, (0..gates * lanes).map(bias).collect());
    let recurrent = |at, column| value(&layer.recurrent_kernel, at, column);
    let apart = if matches!(form.kind, VariantKind::Gru(_)) { 2 * lanes } else { gates * lanes };
    let mut weights = pack_rows_f32(apart, features, recurrent);
    weights.extend(pack_rows_f32(gates * lanes - apart, features, |at, column| recurrent(apart + at, column)));
    push(Role::RecurrentWeights, weights);
    if let Some(peepholes) = &layer.peepholes {
        push(Role::Peepholes, (0..(gates - 1) * lanes).map(|at| value(peepholes, at, 0)).collect());
    }
    if layer.recurrent_bias.is_some() {
        push(Role::RecurrentBiases, (2 * lanes..3 * lanes).map(second).collect());
    }
    if let Some(projection) = &layer.projection {
        let value = |row, column| if row < features { projection[(row, column)] } else { 0.0 };
        push(Role::Projection, pack_rows_f32(features.next_multiple_of(8), units, value));
    }
    let activations = [form.activation, form.gates, form.output];
    let numbers = activations.map(|activation| match activation {
        CellActivation::HardSigmoid { alpha, beta } => Some([alpha, beta]),
        CellActivation::Plain(_) => None,
    });
    if form.clip.is_some() || numbers.iter().any(Option::is_some) {
        let mut all: Vec<f32> = numbers.into_iter().flat_map(Option::unwrap_or_default).collect();
        all.push(form.clip.unwrap_or_default());
        debug_assert_eq!(all.len(), NUMBERS, "three activations and a clip");
        push(Role::Numbers, all);
    }
}
