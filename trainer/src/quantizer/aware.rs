//! Quantization-aware training: the integers of a network's image, for a forward pass that computes what the engine will.
//!
//! After every step the weights are mapped to integers by the very function that [`super::to_image`] calls. The forward pass computes with those integers, see
//! [`crate::network::lstm::integers`]; the way back takes the gradient at the real values that they stand for and gives it to the weights in f32 as if
//! nothing had been rounded (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"). A weight of the embedding beyond its
//! column's range is not pushed further out. The columns' scales are chosen once, when this training begins, and go into the image with the weights;
//! a row of gates gets its scale anew at every step.

use anyhow::{Context, Result};
use nalgebra::DMatrix;

use super::conv1d::ConvIntegers;
use super::dense::{DenseIntegers, Worth};
use super::gru::GruIntegers;
use super::lstm::LstmIntegers;
use super::rnn::RnnIntegers;
use super::rows::{Grid, HIDDEN, RowIntegers};
use super::{CellWeights, ConvWeights, Storage, Weights, embedding};
use crate::batches::Batch;
use crate::bptt::{StepOptions, StepStats, Trainer, train_step_integers};
use crate::config::chain::Activation;
use crate::error::fault;
use crate::network::Network;
use crate::network::conv1d::Conv1d;
use crate::network::conv1d::integers::IntegerConv1d;
use crate::network::dense::Dense;
use crate::network::dense::integers::IntegerDense;
use crate::network::gru::Gru;
use crate::network::gru::integers::IntegerGru;
use crate::network::integers::{IntegerDirections, IntegerLayer, Integers};
use crate::network::layer::Layer;
use crate::network::layer::bidirectional::Bidirectional;
use crate::network::lstm::Lstm;
use crate::network::lstm::integers::IntegerGates;
use crate::network::rnn::Rnn;
use crate::network::rnn::integers::IntegerRnn;
use crate::network::tiers::Tiers;
use crate::panels::Packed;
use crate::samples::{Frames, Scaling};

/// The scales that the quantizer chooses for the columns of a network's embedding.
pub fn embedding_scales(network: &Network<f32>, occurrences: Vec<u32>, storage: Storage) -> Vec<f32> {
    embedding::column_scales(&Weights { occurrences, ..Weights::of(network) }, storage)
}

/// What samples are worth in integers, in place of an embedding's columns.
pub fn sample_scales(scaling: &Scaling) -> Vec<f32> {
    scaling.column_scales(HIDDEN)
}

/// What is chosen once, when learning with integers begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scales {
    /// Of the embedding's columns; of samples, 2^-7 of each channel's range.
    pub embedding: Vec<f32>,
    /// The ranges of the convolutions' values, the lowest first; where there is none, it follows from the weights.
    pub ranges: Vec<f32>,
}

impl From<Vec<f32>> for Scales {
    /// Those of an embedding.
    fn from(embedding: Vec<f32>) -> Self {
        Scales { embedding, ranges: Vec::new() }
    }
}

/// The integers of a network, renewed from its weights.
#[derive(Debug, Clone)]
pub struct Aware {
    storage: Storage,
    /// Of the embedding's rows: whole ones, and others.
    grids: [Grid; 2],
    /// Of the convolutions' values.
    ranges: Vec<f32>,
    pub(crate) integers: Integers<f32>,
}

impl Aware {
    /// The integers of a network in an integer storage, with these scales, and the tiers of its embedding's rows where it has them.
    ///
    /// # Errors
    /// A fault when the weights are too large for integers, or when an image cannot hold a layer.
    pub fn new(
        network: &Network<f32>,
        storage: Storage,
        scales: impl Into<Scales>,
        tiers: Option<&Tiers<f32>>,
    ) -> Result<Self> {
        let Scales { embedding: scales, ranges: convolutions } = scales.into();
        let whole = Grid::of_embedding(storage);
        let (mut grids, mut is_rare) = ([whole; 2], Vec::new());
        if let Some(tiers) = tiers {
            grids[1] = Grid::of_rare_rows(storage, tiers.shape());
            is_rare.resize(network.config().vocabulary, false);
            tiers.others().iter().for_each(|&id| is_rare[id as usize] = true);
        }
        let (ranges, real) = (grids.map(Grid::range), network.clone());
        let integers = Integers { scales, ranges, is_rare, real, embedding: Vec::new(), layers: Vec::new() };
        let mut aware = Aware { storage, grids, ranges: convolutions, integers };
        aware.refresh(network)?;
        Ok(aware)
    }

    /// Has the ids of a network of samples mean these frames.
    pub fn read(&mut self, frames: &Frames) {
        self.integers.real.embedding.read(frames);
    }

    /// Takes up the weights of the network after a step.
    ///
    /// # Errors
    /// As [`Aware::new`].
    pub fn refresh(&mut self, network: &Network<f32>) -> Result<()> {
        let weights = Weights::of(network).ranged(&self.ranges);
        let Integers { scales, is_rare, real, embedding, layers, .. } = &mut self.integers;
        embedding.clear();
        let table = real.embedding.table.as_mut_slice();
        let rows = weights.embedding.chunks(scales.len()).zip(table.chunks_mut(scales.len()));
        for (id, (values, real)) in rows.enumerate() {
            let grid = self.grids[usize::from(is_rare.get(id).copied().unwrap_or(false))];
            for ((&value, &scale), real) in values.iter().zip(&*scales).zip(real) {
                let integer = grid.round(value / scale);
                embedding.push(integer);
                *real = integer * scale;
            }
        }
        renew(&weights, Grid::of_gates(self.storage), Worth::of_embedding::<i8>(scales), (&mut real.layers, layers))
    }
}

/// Renews the integers of all layers from a network's weights, and the real values that they stand for, the lowest first.
///
/// # Errors
/// A fault when the weights are too large for integers.
fn renew(
    weights: &Weights,
    grid: Grid,
    mut worth: Worth,
    (reals, integers): (&mut [Layer<f32>], &mut Vec<IntegerLayer<f32>>),
) -> Result<()> {
    integers.clear();
    let (mut cells, mut denses) = (weights.layers.iter(), weights.dense.iter());
    let mut convolutions = weights.convolutions.iter();
    for (place, layer) in reals.iter_mut().enumerate() {
        let mut cell = || -> Result<_> {
            let cell = cells.next().context("a recurrent layer has weights")?;
            let scales = std::mem::replace(&mut worth, Worth::of_cell(cell.features())).columns::<i8>();
            Ok((cell, scales))
        };
        integers.push(match layer {
            Layer::Lstm(_) | Layer::Gru(_) | Layer::Rnn(_) => {
                let (cell, scales) = cell()?;
                direction(cell, scales, grid, place, layer)?
            }
            Layer::Bidirectional(real) => {
                let (first, scales) = cell()?;
                IntegerLayer::Bidirectional(Box::new(directions(first, &scales, grid, place, real)?))
            }
            Layer::Conv1d(real) => {
                let layer = convolutions.next().context("a convolution has weights")?;
                let (integers, behind) = conv1d(layer, &worth, grid, real)?;
                worth = behind;
                IntegerLayer::Conv1d(integers)
            }
            Layer::Dense(real) => match denses.next() {
                Some(layer) => {
                    let (integers, behind) = worth.dense(layer)?;
                    let before = std::mem::replace(&mut worth, behind);
                    IntegerLayer::Dense(dense(integers, Some(layer.activation), &before, real))
                }
                None => {
                    let integers = worth.answer(&weights.head, &weights.head_bias)?;
                    IntegerLayer::Dense(dense(integers, None, &worth, real))
                }
            },
            Layer::Pooling(_) => IntegerLayer::Pooling,
            // Its values are worth what they were.
            Layer::MaxPool(_) => IntegerLayer::MaxPool,
            Layer::Variant(_) | Layer::LayerNorm(_) => {
                let problem = "images have it in f32 and f16 only, so that there are no integers to learn with";
                return Err(
                    fault(format!("layer {place}"), problem, "train without quantization-aware training").into()
                );
            }
        });
    }
    Ok(())
}

/// The integers of a recurrent layer, or of one of two directions, and the real values that they stand for into `real`.
fn direction(
    cell: &CellWeights,
    scales: Vec<f32>,
    grid: Grid,
    place: usize,
    real: &mut Layer<f32>,
) -> Result<IntegerLayer<f32>> {
    match real {
        Layer::Lstm(real) => Ok(IntegerLayer::Lstm(lstm(cell, scales, grid, place, real)?)),
        Layer::Gru(real) => Ok(IntegerLayer::Gru(gru(cell, scales, grid, place, real)?)),
        Layer::Rnn(real) => Ok(IntegerLayer::Rnn(rnn(cell, scales, grid, place, real)?)),
        _ => anyhow::bail!("a direction is a recurrent layer"),
    }
}

/// The integers of two directions, which have one shift, and the real values that they stand for into `real`.
fn directions(
    first: &CellWeights,
    scales: &[f32],
    grid: Grid,
    place: usize,
    real: &mut Bidirectional<f32>,
) -> Result<IntegerDirections<f32>> {
    let second = &first.second.as_ref().context("two directions have two weights")?.cell;
    let shift = super::tensors::shift_of_both::<i8>((first, second), scales, grid, place as u8)?;
    let held = |cell: &CellWeights| CellWeights { most_shift: shift, ..cell.clone() };
    let [forward, backward] = real.directions_mut();
    Ok(IntegerDirections {
        forward: direction(&held(first), scales.to_vec(), grid, place, forward)?,
        backward: direction(&held(second), scales.to_vec(), grid, place, backward)?,
    })
}

/// Like [`crate::bptt::train_step`], but with the forward pass in the integers of the trainer's network, which are renewed after the step.
///
/// # Errors
/// Those of the step, and a fault when the weights have become too large for integers.
pub fn train_step_quantized(
    trainer: &mut Trainer<f32>,
    aware: &mut Aware,
    batch: &Batch,
    options: &StepOptions,
) -> Result<StepStats> {
    let stats = train_step_integers(trainer, &aware.integers, batch, options)?;
    aware.refresh(&trainer.network)?;
    Ok(stats)
}

/// Some columns of rows of integers, column after column.
fn columns(rows: &RowIntegers, from: usize, count: usize) -> Vec<f32> {
    let height = rows.multipliers.len();
    (from..from + count)
        .flat_map(|column| (0..height).map(move |row| f32::from(rows.weights[row * rows.columns + column])))
        .collect()
}

/// Columns of `rows` rows as the products walk them.
fn packed(columns: &[f32], rows: usize) -> Packed<f32> {
    let mut packed = Packed::default();
    packed.pack(rows, columns.len() / rows, |column| &columns[column * rows..][..rows]);
    packed
}

/// What behind the shift one of a row's integers is worth, and one of its biases.
struct RowWorth<'a> {
    multipliers: &'a [u16],
    unit: f64,
    half: i64,
}

impl<'a> RowWorth<'a> {
    /// Of sums that are worth 2^-`bits` behind a shift.
    fn new(rows: &'a RowIntegers, bits: i32, shift: u8) -> Self {
        RowWorth { multipliers: &rows.multipliers, unit: 2_f64.powi(-bits - i32::from(shift)), half: 1 << (shift - 1) }
    }

    /// Writes the real values of integers (rows × columns), whose columns are worth `scales`.
    fn write_kernel(&self, integers: &[f32], scales: impl Fn(usize) -> f64, real: &mut DMatrix<f32>) {
        let rows = self.multipliers.len();
        for (at, (real, &integer)) in real.as_mut_slice().iter_mut().zip(integers).enumerate() {
            let worth = f64::from(self.multipliers[at % rows]) * self.unit;
            *real = (f64::from(integer) * worth / scales(at / rows)) as f32;
        }
    }

    /// Writes the real values of biases from a row on.
    fn write_biases(&self, biases: &[i32], from: usize, real: &mut DMatrix<f32>) {
        for (real, &bias) in real.as_mut_slice()[from..].iter_mut().zip(biases) {
            *real = ((i64::from(bias) - self.half) as f64 * self.unit) as f32;
        }
    }
}

/// The integers of an LSTM layer whose columns of x are worth `scales`, and the real values that they stand for into `real`.
fn lstm(
    layer: &CellWeights,
    scales: Vec<f32>,
    grid: Grid,
    index: usize,
    real: &mut Lstm<f32>,
) -> Result<IntegerGates<f32>> {
    let LstmIntegers { rows, shift } = super::lstm::quantize(layer, &scales, grid, index)?;
    let (inputs, units, count) = (layer.inputs, layer.units, rows.multipliers.len());
    let (kernel, recurrent) = (columns(&rows, 0, inputs), columns(&rows, inputs, units));
    let worth = RowWorth::new(&rows, 12, shift);
    worth.write_kernel(&kernel, |column| f64::from(scales[column]), &mut real.kernel);
    worth.write_kernel(&recurrent, |_| HIDDEN, &mut real.recurrent_kernel);
    worth.write_biases(&rows.biases, 0, &mut real.bias);
    // One less than fits, so that the conversion may round.
    let limit = |(&multiplier, &bias): (&u16, &i32)| {
        ((i32::MAX as u32 - bias.unsigned_abs()) / u32::from(multiplier)) as f32 * (1.0 - f32::EPSILON)
    };
    Ok(IntegerGates {
        units,
        kernel: packed(&kernel, count),
        recurrent_kernel: packed(&recurrent, count),
        limit: rows.multipliers.iter().zip(&rows.biases).map(limit).collect(),
        multiplier: rows.multipliers.iter().map(|&multiplier| i32::from(multiplier)).collect(),
        bias: rows.biases,
        shift: u32::from(shift),
        input_scales: scales,
    })
}

/// As [`lstm`], of a GRU layer.
fn gru(
    layer: &CellWeights,
    scales: Vec<f32>,
    grid: Grid,
    index: usize,
    real: &mut Gru<f32>,
) -> Result<IntegerGru<f32>> {
    let GruIntegers { kernel, recurrent, shift } = super::gru::quantize(layer, &scales, grid, index)?;
    let (inputs, units) = (layer.inputs, layer.units);
    let (x, h) = (columns(&kernel, 0, inputs), columns(&recurrent, 0, units));
    let worth = RowWorth::new(&kernel, 12, shift);
    worth.write_kernel(&x, |column| f64::from(scales[column]), &mut real.kernel);
    worth.write_biases(&kernel.biases, 0, &mut real.bias);
    let worth = RowWorth::new(&recurrent, 12, shift);
    worth.write_kernel(&h, |_| HIDDEN, &mut real.recurrent_kernel);
    // Both biases of z and r are in the first.
    if let Some(bias) = &mut real.recurrent_bias {
        bias.fill(0.0);
        worth.write_biases(&recurrent.biases, 2 * units, bias);
    }
    let split = real.split();
    let rows = |from: usize, to: usize| -> Vec<f32> {
        h.chunks_exact(3 * units).flat_map(|column| &column[from..to]).copied().collect()
    };
    let mut recurrent_kernel = [packed(&rows(0, split), split), Packed::default()];
    if split < 3 * units {
        recurrent_kernel[1] = packed(&rows(split, 3 * units), 3 * units - split);
    }
    let wide = |values: &[u16]| values.iter().map(|&value| i64::from(value)).collect();
    Ok(IntegerGru {
        units,
        kernel: packed(&x, 3 * units),
        recurrent_kernel,
        multipliers: [wide(&kernel.multipliers), wide(&recurrent.multipliers)],
        bias: kernel.biases.into_iter().map(i64::from).collect(),
        recurrent_bias: recurrent.biases.into_iter().map(i64::from).collect(),
        shift: u32::from(shift),
        input_scales: scales,
    })
}

/// As [`lstm`], of a simple recurrent layer.
fn rnn(
    layer: &CellWeights,
    scales: Vec<f32>,
    grid: Grid,
    index: usize,
    real: &mut Rnn<f32>,
) -> Result<IntegerRnn<f32>> {
    let RnnIntegers { rows, shift } = super::rnn::quantize(layer, &scales, grid, index)?;
    let (inputs, units) = (layer.inputs, layer.units);
    let relu = real.activation == Activation::Relu;
    let (kernel, recurrent) = (columns(&rows, 0, inputs), columns(&rows, inputs, units));
    let worth = RowWorth::new(&rows, if relu { 15 } else { 12 }, shift);
    worth.write_kernel(&kernel, |column| f64::from(scales[column]), &mut real.kernel);
    worth.write_kernel(&recurrent, |_| HIDDEN, &mut real.recurrent_kernel);
    worth.write_biases(&rows.biases, 0, &mut real.bias);
    Ok(IntegerRnn {
        units,
        relu,
        kernel: packed(&kernel, units),
        recurrent_kernel: packed(&recurrent, units),
        multiplier: rows.multipliers.iter().map(|&multiplier| i64::from(multiplier)).collect(),
        bias: rows.biases.into_iter().map(i64::from).collect(),
        shift: u32::from(shift),
        input_scales: scales,
    })
}

/// The integers of a convolution that reads features of this worth, what its own are worth, and the real values that they stand for into `real`.
fn conv1d(
    layer: &ConvWeights,
    worth: &Worth,
    grid: Grid,
    real: &mut Conv1d<f32>,
) -> Result<(IntegerConv1d<f32>, Worth)> {
    let ConvIntegers { rows, shift, range } = super::conv1d::quantize::<i8>(layer, worth, grid)?;
    let (units, width) = real.dense.kernel.shape();
    let (kernel, scales) = (columns(&rows, 0, width), worth.columns::<i8>());
    let of_row = RowWorth::new(&rows, 15, shift);
    let scale = |column: usize| f64::from(scales[column % scales.len()]) / range;
    of_row.write_kernel(&kernel, scale, &mut real.dense.kernel);
    of_row.write_biases(&rows.biases, 0, &mut real.dense.bias);
    real.dense.bias *= range as f32;
    let kernel: Vec<f64> = kernel.into_iter().map(f64::from).collect();
    let mut packed = Packed::default();
    packed.pack(units, width, |column| &kernel[column * units..][..units]);
    let integers = IntegerConv1d {
        weights: packed,
        multiplier: rows.multipliers.iter().map(|&multiplier| i64::from(multiplier)).collect(),
        bias: rows.biases.iter().map(|&bias| i64::from(bias)).collect(),
        shift: u32::from(shift),
        relu: layer.relu,
        input_scales: scales,
    };
    Ok((integers, Worth::of_convolution(units, range)))
}

/// The integers of a dense layer that reads features of this worth, and the real values that they stand for into `real`. Without an activation the layer
/// answers.
fn dense(
    integers: DenseIntegers,
    activation: Option<Activation>,
    worth: &Worth,
    real: &mut Dense<f32>,
) -> IntegerDense<f32> {
    let DenseIntegers { weights, multipliers, biases, shift, unit } = integers;
    let (outputs, inputs) = real.kernel.shape();
    let columns: Vec<f64> = (0..inputs)
        .flat_map(|column| weights.iter().skip(column).step_by(inputs).map(|&weight| f64::from(weight)))
        .collect();
    let mut packed = Packed::default();
    packed.pack(outputs, inputs, |column| &columns[column * outputs..][..outputs]);
    // Of features in Q0.15, whose integers are worth 2^-15 of their worth.
    let scale = 2_f64.powi(15 - i32::from(shift)) / unit;
    for (at, (real, weight)) in real.kernel.as_mut_slice().iter_mut().zip(&columns).enumerate() {
        *real = (weight * f64::from(multipliers[at % outputs]) * scale / worth.features()[at / outputs]) as f32;
    }
    for (real, &bias) in real.bias.as_mut_slice().iter_mut().zip(&biases) {
        *real = (f64::from(bias) / unit) as f32;
    }
    IntegerDense {
        weights: packed,
        multiplier: multipliers.into_iter().map(i64::from).collect(),
        bias: biases.into_iter().map(i64::from).collect(),
        shift: u32::from(shift),
        activation,
        input_worth: worth.features().iter().map(|&worth| worth as f32).collect(),
    }
}

#[cfg(test)]
mod tests;
