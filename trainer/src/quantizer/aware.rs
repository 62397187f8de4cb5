//! Quantization-aware training: the integers of a network's image, for a forward pass that computes what the engine will.
//!
//! After every step the weights are mapped to integers by the very function that [`super::to_image`] calls. The forward pass computes with those integers, see
//! [`crate::network::lstm::integers`]; the way back takes the gradient at the real values that they stand for and gives it to the weights in f32 as if
//! nothing had been rounded (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"). A weight of the embedding beyond its
//! column's range is not pushed further out. The columns' scales are chosen once, when this training begins, and go into the image with the weights;
//! a row of gates gets its scale anew at every step.

use anyhow::{Context, Result};
use nalgebra::DMatrix;

use super::gru::GruIntegers;
use super::lstm::LstmIntegers;
use super::rnn::RnnIntegers;
use super::rows::{Grid, HIDDEN, RowIntegers};
use super::{CellWeights, Storage, Weights, check_aware, embedding, head};
use crate::batches::Batch;
use crate::bptt::{StepOptions, StepStats, Trainer, train_step_integers};
use crate::config::chain::Activation;
use crate::network::Network;
use crate::network::dense::IntegerHead;
use crate::network::gru::Gru;
use crate::network::gru::integers::IntegerGru;
use crate::network::integers::{IntegerLayer, Integers};
use crate::network::layer::Layer;
use crate::network::lstm::Lstm;
use crate::network::lstm::integers::IntegerGates;
use crate::network::rnn::Rnn;
use crate::network::rnn::integers::IntegerRnn;
use crate::panels::Packed;

/// The scales that the quantizer chooses for the columns of a network's embedding.
pub fn embedding_scales(network: &Network<f32>, occurrences: Vec<u32>, storage: Storage) -> Vec<f32> {
    embedding::column_scales(&Weights { occurrences, ..Weights::of(network) }, storage)
}

/// The integers of a network, renewed from its weights.
#[derive(Debug, Clone)]
pub struct Aware {
    storage: Storage,
    pub(crate) integers: Integers<f32>,
}

impl Aware {
    /// The integers of a network in an integer storage, with these scales of the embedding's columns.
    ///
    /// # Errors
    /// A fault when the weights are too large for integers, or when an image cannot hold a layer.
    pub fn new(network: &Network<f32>, storage: Storage, scales: Vec<f32>) -> Result<Self> {
        let range = Grid::of_embedding(storage).range();
        let integers = Integers { scales, range, real: network.clone(), embedding: Vec::new(), layers: Vec::new() };
        let mut aware = Aware { storage, integers };
        aware.refresh(network)?;
        Ok(aware)
    }

    /// Takes up the weights of the network after a step.
    ///
    /// # Errors
    /// As [`Aware::new`].
    pub fn refresh(&mut self, network: &Network<f32>) -> Result<()> {
        let weights = Weights::of(network);
        check_aware(&weights)?;
        let Integers { scales, real, embedding, layers, .. } = &mut self.integers;
        let grid = Grid::of_embedding(self.storage);
        embedding.clear();
        let table = real.embedding.table.as_mut_slice();
        for (values, real) in weights.embedding.chunks(scales.len()).zip(table.chunks_mut(scales.len())) {
            for ((&value, &scale), real) in values.iter().zip(&*scales).zip(real) {
                let integer = grid.round(value / scale);
                embedding.push(integer);
                *real = integer * scale;
            }
        }
        layers.clear();
        let mut cells = weights.layers.iter().enumerate();
        for layer in &mut real.layers {
            let mut cell = || -> Result<_> {
                let (index, cell) = cells.next().context("a recurrent layer has weights")?;
                let scales = if index == 0 { scales.clone() } else { vec![HIDDEN as f32; cell.inputs] };
                Ok((cell, scales, index))
            };
            let grid = Grid::of_gates(self.storage);
            layers.push(match layer {
                Layer::Lstm(real) => {
                    let (cell, scales, index) = cell()?;
                    IntegerLayer::Lstm(lstm(cell, scales, grid, index, real)?)
                }
                Layer::Gru(real) => {
                    let (cell, scales, index) = cell()?;
                    IntegerLayer::Gru(gru(cell, scales, grid, index, real)?)
                }
                Layer::Rnn(real) => {
                    let (cell, scales, index) = cell()?;
                    IntegerLayer::Rnn(rnn(cell, scales, grid, index, real)?)
                }
                Layer::Dense(real) => {
                    let (weights, multipliers, biases, shift) = head::quantize(&weights.head, &weights.head_bias)?;
                    let head = IntegerHead { weights, multipliers, biases, shift };
                    head.write_real(real);
                    IntegerLayer::Head(head)
                }
                Layer::Pooling(_) => IntegerLayer::Pooling,
            });
        }
        Ok(())
    }
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
struct Worth<'a> {
    multipliers: &'a [u16],
    unit: f64,
    half: i64,
}

impl<'a> Worth<'a> {
    /// Of sums that are worth 2^-`bits` behind a shift.
    fn new(rows: &'a RowIntegers, bits: i32, shift: u8) -> Self {
        Worth { multipliers: &rows.multipliers, unit: 2_f64.powi(-bits - i32::from(shift)), half: 1 << (shift - 1) }
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
    let worth = Worth::new(&rows, 12, shift);
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
    let worth = Worth::new(&kernel, 12, shift);
    worth.write_kernel(&x, |column| f64::from(scales[column]), &mut real.kernel);
    worth.write_biases(&kernel.biases, 0, &mut real.bias);
    let worth = Worth::new(&recurrent, 12, shift);
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
    let worth = Worth::new(&rows, if relu { 15 } else { 12 }, shift);
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

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::*;
    use crate::batches::Batch;
    use crate::bptt::{LossOptions, loss_and_gradients, quantized_gradients};
    use crate::network::NetworkConfig;
    use crate::network::pass::Pass;
    use crate::network::readout::Readout;
    use crate::optimizer::AdamConfig;
    use crate::quantizer::{Origin, to_image};
    use crate::vocabulary::Vocabulary;
    use latch_engine::Model;
    use latch_engine::image::Image;
    use latch_engine::input::text::Unknown;
    use latch_engine::kernels::cell::{gru, rnn};
    use latch_engine::kernels::{self, Backend, Features, RowsI8, Scalar};
    use proptest::prelude::*;

    const STORAGES: [Storage; 3] = [Storage::Int8, Storage::Mixed, Storage::Int4];

    fn network(vocabulary: usize, embedding: usize, units: usize, layers: usize, readout: Readout) -> Network<f32> {
        let config = NetworkConfig::stacked(vocabulary, embedding, layers, units, Some(readout));
        let mut network = Network::new(&config, 7 + units as u64).unwrap();
        network.embedding.table *= 20.0;
        for (name, tensor) in network.tensors_mut() {
            if name.starts_with("lstm") && name.ends_with(".kernel") {
                *tensor *= 2.0;
            }
        }
        network
    }

    fn aware(network: &Network<f32>, storage: Storage) -> Aware {
        Aware::new(network, storage, embedding_scales(network, Vec::new(), storage)).unwrap()
    }

    /// The logits of the forward pass that training takes, without dropout, in the order of the sequences.
    fn forward(integers: &Integers<f32>, sequences: &[Vec<u32>]) -> Vec<f32> {
        let mut pass = Pass::new(&integers.real);
        let indices: Vec<usize> = (0..sequences.len()).collect();
        pass.steps.gather(&indices, |index| &sequences[index]);
        pass.forward_integers(integers, None);
        let mut logits = vec![0.0; sequences.len()];
        pass.steps.order.iter().zip(pass.logits(&integers.real)).for_each(|(&index, &logit)| logits[index] = logit);
        logits
    }

    /// Those of the engine on the exported image.
    fn engine(network: &Network<f32>, storage: Storage, sequences: &[Vec<u32>]) -> Vec<f32> {
        let scales = embedding_scales(network, Vec::new(), storage);
        let rows = network.config().vocabulary;
        let words = (0..rows).map(|word| format!("w{}", "x".repeat(word))).collect();
        let vocabulary = Vocabulary::from_words(words, Unknown::Skip);
        let weights = Weights { embedding_scales: scales, ..Weights::of(network) };
        let bytes = to_image(&weights, &vocabulary, storage, &Origin::default()).unwrap();
        let model = Model::new(&Image::open(&bytes).unwrap());
        let logit = |ids: &Vec<u32>| {
            let mut state = crate::evaluate::state_for(&model);
            let mut session = model.session_in(&mut state).unwrap();
            session.push_tokens(ids);
            session.output().to_f32()
        };
        sequences.iter().map(logit).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn training_computes_the_logits_of_the_engine(
            (embedding, units, layers) in (1_usize..20, 1_usize..40, 1_usize..4),
            readout in prop::sample::select(&[Readout::Last, Readout::Mean, Readout::Max, Readout::Attention][..]),
            sequences in prop::collection::vec(prop::collection::vec(0_u32..30, 0..40), 1..8),
        ) {
            let network = network(30, embedding, units, layers, readout);
            for storage in STORAGES {
                let ours = forward(&aware(&network, storage).integers, &sequences);
                for (ours, engine) in ours.into_iter().zip(engine(&network, storage, &sequences)) {
                    if [Readout::Mean, Readout::Attention].contains(&readout) {
                        prop_assert!((ours - engine).abs() < 1e-3, "{} {ours} {engine}", storage.name());
                    } else {
                        prop_assert_eq!(ours, engine, "{}", storage.name());
                    }
                }
            }
        }
    }

    /// Rows as the engine's kernels walk them: `[row / 4][column / 4][4 rows][4 columns]`, padded with zeros.
    fn kernel_order(rows: &RowIntegers) -> (Vec<i8>, Vec<u16>) {
        let height = rows.multipliers.len();
        let weight = |row: usize, column: usize| match row < height && column < rows.columns {
            true => rows.weights[row * rows.columns + column],
            false => 0,
        };
        let mut weights = Vec::new();
        for row in (0..height).step_by(4) {
            for column in (0..rows.columns).step_by(4) {
                weights.extend((0..16).map(|at| weight(row + at / 4, column + at % 4)));
            }
        }
        let mut multipliers = rows.multipliers.clone();
        multipliers.resize(height.next_multiple_of(4), 1);
        (weights, multipliers)
    }

    fn rows<'r>((weights, multiplier): &'r (Vec<i8>, Vec<u16>), bias: &'r [i32], shift: u8) -> RowsI8<'r> {
        RowsI8 { weights, multiplier, bias, shift: u32::from(shift), packed: kernels::Packed::NONE }
    }

    /// One step of a kernel: features, scratch, hidden state.
    type Step<'s> = dyn Fn(Features<'_>, &mut [i32], &mut [i16]) + 's;

    /// The hidden states of a network's only recurrent layer after each of some ids, as the engine's kernels compute them.
    fn by_kernels(network: &Network<f32>, storage: Storage, ids: &[u32]) -> Vec<i16> {
        let Aware { integers, .. } = aware(network, storage);
        let layer = &Weights::of(network).layers[0];
        let grid = Grid::of_gates(storage);
        let mut h = vec![0_i16; layer.units];
        let mut scratch = vec![0_i32; 4096];
        let mut states = Vec::new();
        let mut run = |step: &Step<'_>| {
            for &id in ids {
                let row = &integers.embedding[id as usize * layer.inputs..][..layer.inputs];
                let row: Vec<i8> = row.iter().map(|&integer| integer as i8).collect();
                step(Features::Row(&row), &mut scratch, &mut h);
                states.extend_from_slice(&h);
            }
        };
        match layer.cell {
            Cell::Gru { reset_after } => {
                let GruIntegers { kernel, recurrent, shift } =
                    crate::quantizer::gru::quantize(layer, &integers.scales, grid, 0).unwrap();
                let mut bias = kernel.biases.clone();
                bias.resize(bias.len().next_multiple_of(4), 0);
                let (x, u) = (kernel_order(&kernel), kernel_order(&recurrent));
                let reset = if reset_after { gru::Reset::After } else { gru::Reset::Before };
                let (kernel, recurrent) = (rows(&x, &bias, shift), rows(&u, &recurrent.biases, shift));
                let gru = gru::GruI8 { kernel, recurrent, reset };
                run(&|x, scratch, h| Scalar.gru_i8(&gru, x, scratch, h));
            }
            _ => {
                let RnnIntegers { rows: integers, shift } =
                    crate::quantizer::rnn::quantize(layer, &integers.scales, grid, 0).unwrap();
                let mut bias = integers.biases.clone();
                bias.resize(bias.len().next_multiple_of(4), 0);
                let relu = layer.cell == Cell::Rnn { activation: Activation::Relu };
                let activation = if relu { rnn::Activation::Relu } else { rnn::Activation::Tanh };
                let order = kernel_order(&integers);
                let rnn = rnn::RnnI8 { rows: rows(&order, &bias, shift), activation };
                run(&|x, scratch, h| Scalar.rnn_i8(&rnn, x, scratch, h));
            }
        }
        states
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn training_computes_the_states_of_the_engines_gru_and_rnn(
            (embedding, units) in (1_usize..20, 1_usize..40),
            cell in prop::sample::select(&["gru", "gru reset_before", "rnn", "rnn relu"][..]),
            ids in prop::collection::vec(0_u32..30, 1..30),
        ) {
            let (name, option) = cell.split_once(' ').unwrap_or((cell, ""));
            let chain = format!("embedding {embedding} > {name} {units} {option} > last > dense").parse().unwrap();
            let mut network = Network::new(&NetworkConfig { vocabulary: 30, outputs: 1, chain }, 3).unwrap();
            network.embedding.table *= 20.0;
            for (number, (name, tensor)) in network.tensors_mut().into_iter().enumerate() {
                if name.ends_with("bias") {
                    tensor.iter_mut().enumerate().for_each(|(at, bias)| *bias += 0.3 * ((at + number) as f32).sin());
                }
            }
            for storage in [Storage::Int8, Storage::Int4] {
                let Aware { integers, .. } = aware(&network, storage);
                let mut pass = Pass::new(&integers.real);
                pass.steps.gather(&[0], |_| &ids);
                pass.forward_integers(&integers, None);
                let states = integers.real.layers[0].output(&pass.stages[0].tape);
                let found: Vec<i16> = states.iter().map(|h| (h * 32_768.0) as i16).collect();
                prop_assert_eq!(found, by_kernels(&network, storage, &ids), "{}", storage.name());
            }
        }
    }

    /// A network of two recurrent layers of a kind.
    fn two(cell: &str, pooling: &str) -> Network<f32> {
        let chain = format!("embedding 6 > {cell} > {cell} > {pooling} > dense").parse().unwrap();
        let mut network = Network::new(&NetworkConfig { vocabulary: 30, outputs: 1, chain }, 16).unwrap();
        network.embedding.table *= 20.0;
        network
    }

    #[test]
    fn the_gradients_of_gru_and_rnn_are_those_of_the_real_values_but_for_rounding() {
        for cell in ["gru 9", "gru 9 reset_before", "rnn 9"] {
            let network = two(cell, "mean");
            let integers = aware(&network, Storage::Int8).integers;
            let (_, ours) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
            let (_, float) = loss_and_gradients(&integers.real, &batch(), &LossOptions::default()).unwrap();
            let pairs = ours.tensors(&network).into_iter().zip(float.tensors(&network));
            let difference: f32 = pairs.map(|((_, ours), (_, float))| (ours - float).norm_squared()).sum();
            let whole: f32 = float.tensors(&network).iter().map(|(_, float)| float.norm_squared()).sum();
            assert!(difference < 0.1 * 0.1 * whole, "{cell}: {}", (difference / whole).sqrt());
        }
    }

    #[test]
    fn gru_and_rnn_learn_with_the_integers_of_every_storage() {
        for cell in ["gru 9", "gru 9 reset_before", "rnn 9"] {
            for storage in STORAGES {
                let network = two(cell, "max");
                let mut integers = aware(&network, storage);
                let mut trainer = Trainer::new(network, &AdamConfig::default());
                let options = StepOptions { learning_rate: 0.02, clip_norm: Some(1.0), loss: LossOptions::default() };
                let mut step =
                    || train_step_quantized(&mut trainer, &mut integers, &batch(), &options).unwrap().loss_sum;
                let first = step();
                (0..80).for_each(|_| {
                    step();
                });
                let last = step();
                assert!(last < 0.3 * first, "{cell} {}: {first} {last}", storage.name());
            }
        }
    }

    fn batch() -> Batch {
        let mut batch = Batch::new();
        for number in 0..24_u32 {
            let ids: Vec<u32> = (0..3 + number % 9).map(|step| (7 * number + 5 * step) % 30).collect();
            batch.push(&ids, (number % 2) as f32);
        }
        batch
    }

    #[test]
    fn the_gradients_are_those_of_the_network_that_the_integers_stand_for_but_for_rounding() {
        let network = network(30, 6, 9, 2, Readout::Mean);
        let integers = aware(&network, Storage::Int8).integers;
        let (_, ours) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
        let (_, float) = loss_and_gradients(&integers.real, &batch(), &LossOptions::default()).unwrap();
        for ((name, ours), (_, float)) in ours.tensors(&network).into_iter().zip(float.tensors(&network)) {
            let difference = (&ours - &float).norm() / float.norm();
            // h, some tenths, goes to the next step in units of 1/128: about two parts in a hundred.
            assert!(difference < 0.05, "{name}: {difference}");
        }
    }

    #[test]
    fn a_network_learns_with_the_integers_of_every_storage() {
        for storage in STORAGES {
            let network = network(30, 6, 9, 1, Readout::Max);
            let mut integers = aware(&network, storage);
            let mut trainer = Trainer::new(network, &AdamConfig::default());
            let options = StepOptions { learning_rate: 0.02, clip_norm: None, loss: LossOptions::default() };
            let mut step = || train_step_quantized(&mut trainer, &mut integers, &batch(), &options).unwrap().loss_sum;
            let first = step();
            (0..60).for_each(|_| {
                step();
            });
            let last = step();
            assert!(last < 0.1 * first, "{}: {first} {last}", storage.name());
        }
    }

    #[test]
    fn a_weight_beyond_its_range_is_not_pushed_further_and_may_come_back() {
        let network = network(30, 4, 3, 1, Readout::Last);
        let scales = embedding_scales(&network, Vec::new(), Storage::Int4);
        let halved: Vec<f32> = scales.iter().map(|scale| scale / 4.0).collect();
        let integers = Aware::new(&network, Storage::Int4, halved.clone()).unwrap().integers;
        let (_, mut gradients) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
        let before = gradients.embedding.clone();
        integers.hold(&network.embedding, &mut gradients.embedding);
        let (mut held, mut kept) = (0, 0);
        for (place, &id) in before.ids.iter().enumerate() {
            for (feature, scale) in halved.iter().enumerate() {
                let (was, is) = (before.values[4 * place + feature], gradients.embedding.values[4 * place + feature]);
                let value = network.embedding.table[(feature, id as usize)] / scale;
                let outwards = (value > 112.0 && was < 0.0) || (value < -128.0 && was > 0.0);
                assert_eq!(is, if outwards { 0.0 } else { was });
                held += usize::from(outwards);
                kept += usize::from(!outwards && !(-128.0..=112.0).contains(&value));
            }
        }
        assert!(held > 0 && kept > 0, "{held} {kept}");
    }
}
