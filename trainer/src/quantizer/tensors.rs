//! From a network's weights to the tensors of an image, layer by layer: floats keep their values, integers are those of each layer's own file.

use anyhow::{Error, Result};
use latch_engine::Precision;
use latch_engine::image::encode::{Tensor, Values, pack_gates_f32, pack_rows, pack_rows_f32};
use latch_engine::image::role::Role;

use super::dense::{DenseIntegers, Worth};
use super::describe::Chain;
use super::rows::{Grid, RowIntegers, Weight};
use super::variant::FloatLayer;
use super::{Cell, CellWeights, ConvWeights, DenseWeights, Storage, Weights, conv1d, embedding, gru, lstm, rnn};
use crate::config::chain::Activation;
use crate::error::{Fault, fault};
use crate::network::maxpool::MaxPool;
use crate::samples::Scaling;

/// The chain of an image, and the tensors of its layers and of its embedding.
pub(super) struct Packed {
    pub(super) chain: Chain,
    pub(super) tensors: Vec<Tensor>,
    /// What 1.0 of each value of each layer is worth in integers; nothing of a pooling, nor in float precisions.
    pub(super) worths: Vec<Vec<f64>>,
}

/// What stands at a place behind the embedding.
enum Step<'w> {
    Cell(&'w CellWeights),
    Conv1d(&'w ConvWeights),
    Dense(&'w DenseWeights),
    Floats(&'w FloatLayer),
    MaxPool(MaxPool),
    Pooling,
}

/// The layers in their order, without the one that answers. A network without pooling is described with that of the last step, which
/// whoever wants an answer for each step takes out again.
fn steps(weights: &Weights) -> Vec<Step<'_>> {
    let (mut cells, mut dense) = (weights.layers.iter(), weights.dense.iter().peekable());
    let mut convolutions = weights.convolutions.iter().peekable();
    let mut floats = weights.floats.iter().peekable();
    let mut maxima = weights.maxima.iter().peekable();
    let (mut steps, mut is_pooled) = (Vec::new(), false);
    for place in 0.. {
        if let Some(layer) = dense.next_if(|layer| layer.place == place) {
            steps.push(Step::Dense(layer));
        } else if let Some(layer) = convolutions.next_if(|layer| layer.place == place) {
            steps.push(Step::Conv1d(layer));
        } else if let Some((_, layer)) = floats.next_if(|(found, _)| *found == place) {
            steps.push(Step::Floats(layer));
        } else if let Some((_, layer)) = maxima.next_if(|(found, _)| *found == place) {
            steps.push(Step::MaxPool(*layer));
        } else if let Some(layer) = cells.next() {
            steps.push(Step::Cell(layer));
        } else if (dense.peek().is_some() || floats.peek().is_some()) && !is_pooled {
            steps.push(Step::Pooling);
            is_pooled = true;
        } else {
            break;
        }
    }
    if !is_pooled {
        steps.push(Step::Pooling);
    }
    steps
}

/// Packs all layers.
///
/// # Errors
/// A fault when weights are too large for integers.
pub(super) fn pack(weights: &Weights, scaling: Option<&Scaling>, storage: Storage) -> Result<Packed> {
    match storage.precision() {
        Precision::F32 | Precision::F16 => Ok(pack_floats(weights, scaling.is_none(), storage)),
        Precision::Int8 => pack_integers::<i8>(weights, scaling, storage),
        Precision::Int16 => pack_integers::<i16>(weights, scaling, storage),
    }
}

fn pack_integers<W: Weight>(weights: &Weights, scaling: Option<&Scaling>, storage: Storage) -> Result<Packed> {
    // Samples come in Q0.15 of their range, as a row of an embedding does.
    let (columns, mut tensors) = match scaling {
        Some(scaling) => (scaling.column_scales(W::HIDDEN), Vec::new()),
        None => {
            let columns = embedding::column_scales(weights, storage);
            let tensors = embedding::pack::<W>(weights, storage, &columns)?;
            (columns, tensors)
        }
    };
    let mut chain = Chain::new(weights.width, storage);
    let mut worth = Worth::of_embedding::<W>(&columns);
    let steps = steps(weights);
    let last = steps.len() as u8;
    let mut worths = Vec::new();
    for (place, step) in steps.into_iter().enumerate() {
        let layer = place as u8;
        let is_pooling = matches!(step, Step::Pooling);
        match step {
            Step::Cell(cell) => {
                let (columns, grid) = (worth.columns::<W>(), Grid::of_gates(storage));
                let packed = match &cell.second {
                    Some(second) => push_directions::<W>(&mut tensors, (cell, &second.cell), &columns, grid, layer),
                    None => push_cell::<W>(&mut tensors, cell, &columns, grid, layer),
                };
                chain.cell(cell, packed.map_err(|error| or_in_floats(error, weights))?);
                worth = Worth::of_cell(cell.features());
            }
            Step::Conv1d(layer) => {
                let integers = conv1d::quantize::<W>(layer, &worth, Grid::of_gates(storage))
                    .map_err(|error| or_in_floats(error, weights))?;
                let units = layer.bias.len();
                chain.convolution(units, (layer.frames, layer.stride), (layer.relu, layer.valid), integers.shift);
                let (weights, multipliers, biases) = quads(&integers.rows);
                let mut push = |role, values| tensors.push(Tensor { role, layer: place as u8, values });
                push(Role::Weights, W::values(weights));
                push(Role::Multipliers, Values::U16(multipliers));
                push(Role::Biases, Values::I32(biases));
                worth = Worth::of_convolution(units, integers.range);
            }
            Step::Dense(dense) => {
                let (integers, behind) = worth.dense(dense)?;
                chain.dense(dense.bias.len(), dense.activation, integers.shift);
                push_dense(&mut tensors, integers, layer);
                worth = behind;
            }
            // Its values are worth what they were.
            Step::MaxPool(layer) => chain.max_pool(layer.frames, layer.stride),
            Step::Floats(found) => return Err(or_in_floats(in_floats_alone(found, place, storage).into(), weights)),
            Step::Pooling => chain.pooling(weights.pooling),
        }
        worths.push(if is_pooling { Vec::new() } else { worth.features().to_vec() });
    }
    let integers = worth.answer(&weights.head, &weights.head_bias)?;
    chain.dense(weights.head_bias.len(), Activation::Linear, integers.shift);
    push_dense(&mut tensors, integers, last);
    Ok(Packed { chain, tensors, worths })
}

/// The refusal of a layer that no image of integers has.
fn in_floats_alone(layer: &FloatLayer, place: usize, storage: Storage) -> Fault {
    let problem = format!("images have {} in f32 and f16 only, not in {}", layer.what(), storage.name());
    fault(format!("{} {place}", layer.name()), problem, "train the network without its options")
}

/// A refusal of a layer's weights, with the precision of floats that takes them.
fn or_in_floats(error: Error, weights: &Weights) -> Error {
    match error.downcast::<Fault>() {
        Ok(fault) => {
            let precision = weights.narrowest_floats().name();
            Fault { remedy: format!("{}, or export with --precision {precision}", fault.remedy), ..fault }.into()
        }
        Err(error) => error,
    }
}

/// The tensors of a dense layer in integers.
fn push_dense(tensors: &mut Vec<Tensor>, integers: DenseIntegers, layer: u8) {
    let DenseIntegers { weights, multipliers, biases, .. } = integers;
    tensors.push(Tensor { role: Role::Weights, layer, values: Values::I16(weights) });
    tensors.push(Tensor { role: Role::Multipliers, layer, values: Values::U16(multipliers) });
    tensors.push(Tensor { role: Role::Biases, layer, values: Values::I32(biases) });
}

/// The tensors of a recurrent layer in integers, and its shift.
fn push_cell<W: Weight>(
    tensors: &mut Vec<Tensor>,
    cell: &CellWeights,
    inputs: &[f32],
    grid: Grid,
    layer: u8,
) -> Result<u8> {
    let index = usize::from(layer);
    let mut push = |role, values| tensors.push(Tensor { role, layer, values });
    Ok(match cell.cell {
        Cell::Lstm => {
            let integers = lstm::quantize::<W>(cell, inputs, grid, index)?;
            let (weights, multipliers, biases) = integers.packed();
            push(Role::Weights, W::values(weights));
            push(Role::Multipliers, Values::U16(multipliers));
            push(Role::Biases, Values::I32(biases));
            integers.shift
        }
        Cell::Gru { .. } => {
            let integers = gru::quantize::<W>(cell, inputs, grid, index)?;
            let (weights, multipliers, biases) = quads(&integers.kernel);
            push(Role::Weights, W::values(weights));
            push(Role::Multipliers, Values::U16(multipliers));
            push(Role::Biases, Values::I32(biases));
            let (weights, multipliers, _) = quads(&integers.recurrent);
            push(Role::RecurrentWeights, W::values(weights));
            push(Role::RecurrentMultipliers, Values::U16(multipliers));
            push(Role::RecurrentBiases, Values::I32(integers.recurrent.biases));
            integers.shift
        }
        Cell::Rnn { .. } => {
            let integers = rnn::quantize::<W>(cell, inputs, grid, index)?;
            let (weights, multipliers, biases) = quads(&integers.rows);
            push(Role::Weights, W::values(weights));
            push(Role::Multipliers, Values::U16(multipliers));
            push(Role::Biases, Values::I32(biases));
            integers.shift
        }
    })
}

/// The shift of two directions: the smaller one of each by itself.
///
/// # Errors
/// A fault when weights are too large for integers.
pub(super) fn shift_of_both<W: Weight>(
    (forward, backward): (&CellWeights, &CellWeights),
    inputs: &[f32],
    grid: Grid,
    layer: u8,
) -> Result<u8> {
    let mut shift = forward.most_shift;
    for cell in [forward, backward] {
        shift = shift.min(push_cell::<W>(&mut Vec::new(), cell, inputs, grid, layer)?);
    }
    Ok(shift)
}

/// The tensors of two directions in integers, and the shift of both: the smaller one of each by itself.
fn push_directions<W: Weight>(
    tensors: &mut Vec<Tensor>,
    (forward, backward): (&CellWeights, &CellWeights),
    inputs: &[f32],
    grid: Grid,
    layer: u8,
) -> Result<u8> {
    let shift = shift_of_both::<W>((forward, backward), inputs, grid, layer)?;
    let held = |cell: &CellWeights| CellWeights { most_shift: shift, ..cell.clone() };
    push_cell::<W>(tensors, &held(forward), inputs, grid, layer)?;
    let mut second = Vec::new();
    push_cell::<W>(&mut second, &held(backward), inputs, grid, layer)?;
    tensors.extend(second.into_iter().map(|tensor| Tensor { role: tensor.role.backward(), ..tensor }));
    Ok(shift)
}

/// Rows in the order of the kernels, filled up to whole quads with zeros.
fn quads<W: Weight>(rows: &RowIntegers<W>) -> (Vec<W>, Vec<u16>, Vec<i32>) {
    let RowIntegers { columns, weights, multipliers, biases } = rows;
    let (count, all) = (multipliers.len(), multipliers.len().next_multiple_of(4));
    let packed = pack_rows(count, *columns, |row, column| weights[row * columns + column]);
    let (mut multipliers, mut biases) = (multipliers.clone(), biases.clone());
    multipliers.resize(all, 0);
    biases.resize(all, 0);
    (packed, multipliers, biases)
}

fn pack_floats(weights: &Weights, embeds: bool, storage: Storage) -> Packed {
    let embedding = Tensor { role: Role::Embedding, layer: 0, values: Values::F32(weights.embedding.clone()) };
    let mut tensors: Vec<Tensor> = embeds.then_some(embedding).into_iter().collect();
    let mut chain = Chain::new(weights.width, storage);
    let steps = steps(weights);
    let answer = steps.len() as u8;
    for (place, step) in steps.into_iter().enumerate() {
        let layer = place as u8;
        let mut push = |role, values| tensors.push(Tensor { role, layer, values: Values::F32(values) });
        match step {
            Step::Cell(cell) => {
                push_float_cell(&mut push, cell);
                if let Some(second) = &cell.second {
                    push_float_cell(&mut |role: Role, values| push(role.backward(), values), &second.cell);
                }
                chain.cell(cell, 0);
            }
            Step::Conv1d(layer) => {
                let (units, width) = (layer.bias.len(), layer.kernel.len() / layer.bias.len());
                let lanes = units.next_multiple_of(8);
                let weight = |unit, column| if unit < units { layer.kernel[unit * width + column] } else { 0.0 };
                push(Role::Weights, pack_rows_f32(lanes, width, weight));
                push(Role::Biases, lanes_of(&layer.bias, lanes));
                chain.convolution(units, (layer.frames, layer.stride), (layer.relu, layer.valid), 0);
            }
            Step::Dense(dense) => {
                push(Role::Weights, dense.kernel.clone());
                push(Role::Biases, dense.bias.clone());
                chain.dense(dense.bias.len(), dense.activation, 0);
            }
            Step::Floats(layer) => {
                layer.pack(&mut push);
                match layer {
                    FloatLayer::Variant(layer) => chain.variant(layer.units(), &layer.form),
                    FloatLayer::LayerNorm(_) => chain.layer_norm(),
                }
            }
            Step::MaxPool(layer) => chain.max_pool(layer.frames, layer.stride),
            Step::Pooling => chain.pooling(weights.pooling),
        }
    }
    tensors.push(Tensor { role: Role::Weights, layer: answer, values: Values::F32(weights.head.clone()) });
    tensors.push(Tensor { role: Role::Biases, layer: answer, values: Values::F32(weights.head_bias.clone()) });
    chain.dense(weights.head_bias.len(), Activation::Linear, 0);
    Packed { chain, tensors, worths: Vec::new() }
}

/// The tensors of a recurrent layer in floats.
fn push_float_cell(push: &mut impl FnMut(Role, Vec<f32>), cell: &CellWeights) {
    match cell.cell {
        Cell::Lstm => {
            let weight = |gate, unit, column| cell.weight(gate, unit, column);
            push(Role::Weights, pack_gates_f32(cell.units, cell.inputs + cell.units, weight));
            let bias = |gate: usize, unit: usize, _: usize| cell.bias[gate * cell.units + unit];
            push(Role::Biases, pack_gates_f32(cell.units, 1, bias));
        }
        Cell::Gru { reset_after } => push_gru(push, cell, reset_after),
        Cell::Rnn { .. } => {
            let lanes = cell.units.next_multiple_of(8);
            let columns = cell.inputs + cell.units;
            let weight = |unit, column| if unit < cell.units { cell.weight(0, unit, column) } else { 0.0 };
            push(Role::Weights, pack_rows_f32(lanes, columns, weight));
            push(Role::Biases, lanes_of(&cell.bias, lanes));
        }
    }
}

/// Values with zeros behind them.
fn lanes_of(values: &[f32], lanes: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    values.resize(lanes, 0.0);
    values
}

/// The tensors of a float GRU layer: rows `[gate z, r, n][units in lanes]`; of the recurrent kernel those of n by themselves behind the others.
fn push_gru(push: &mut impl FnMut(Role, Vec<f32>), cell: &CellWeights, reset_after: bool) {
    let (units, lanes) = (cell.units, cell.units.next_multiple_of(8));
    // A row of lanes is a gate's unit, or padding.
    let row = |at: usize| (at % lanes < units).then(|| at / lanes * units + at % lanes);
    let kernel = |at, column: usize| row(at).map_or(0.0, |row| cell.kernel[row * cell.inputs + column]);
    let recurrent = |at, column: usize| row(at).map_or(0.0, |row| cell.recurrent_kernel[row * units + column]);
    let second = |row: usize| cell.recurrent_bias.get(row).copied().unwrap_or(0.0);
    let bias = |at: usize| {
        // Rows of n keep their biases apart where the reset stands between them.
        let is_apart = reset_after && at >= 2 * lanes;
        row(at).map_or(0.0, |row| cell.bias[row] + if is_apart { 0.0 } else { second(row) })
    };
    push(Role::Weights, pack_rows_f32(3 * lanes, cell.inputs, kernel));
    push(Role::Biases, (0..3 * lanes).map(bias).collect());
    let mut weights = pack_rows_f32(2 * lanes, units, recurrent);
    weights.extend(pack_rows_f32(lanes, units, |at, column| recurrent(at + 2 * lanes, column)));
    push(Role::RecurrentWeights, weights);
    if reset_after {
        push(Role::RecurrentBiases, (2 * lanes..3 * lanes).map(|at| row(at).map_or(0.0, second)).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_engine::layers::pooling::Pooling;

    #[test]
    fn a_refused_layer_names_the_floats_that_hold_all_weights() {
        for (weight, precision) in [(20_000.0, "f16"), (70_000.0, "f32")] {
            let mut weights = Weights::random(5, 4, &[3], Pooling::Last, 1);
            weights.layers[0].recurrent_kernel[0] = weight;
            let error = pack(&weights, None, Storage::Int8).err().expect("too large for integers").to_string();
            assert!(
                error.starts_with("lstm 0 kernel: ") && error.ends_with(&format!("--precision {precision}")),
                "{error}"
            );
        }
    }
}
