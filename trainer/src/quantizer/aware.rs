//! Quantization-aware training: the integers of a network's image, for a forward pass that computes what the engine will.
//!
//! After every step the weights are mapped to integers by the very function that [`super::to_image`] calls. The forward pass computes with those integers, see
//! [`crate::network::lstm::integers`]; the way back takes the gradient at the real values that they stand for and gives it to the weights in f32 as if
//! nothing had been rounded (Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons"). A weight of the embedding beyond its
//! column's range is not pushed further out. The columns' scales are chosen once, when this training begins, and go into the image with the weights;
//! a row of gates gets its scale anew at every step.

use anyhow::Result;

use super::integers::{Grid, column_scales, quantize_gates, quantize_head};
use super::{Storage, Weights};
use crate::network::Network;
use crate::network::dense::IntegerHead;
use crate::network::integers::Integers;
use crate::network::lstm::integers::{HIDDEN_SCALE, IntegerGates};
use crate::optimizer::Gradients;
use crate::products::Packed;

/// The scales that the quantizer chooses for the columns of a network's embedding.
pub fn embedding_scales(network: &Network<f32>, occurrences: Vec<u32>, storage: Storage) -> Vec<f32> {
    column_scales(&Weights { occurrences, ..Weights::of(network) }, storage)
}

impl Integers<f32> {
    /// The integers of a network in an integer storage, with these scales of the embedding's columns.
    ///
    /// # Errors
    /// A fault when the weights are too large for integers.
    pub fn new(network: &Network<f32>, storage: Storage, scales: Vec<f32>) -> Result<Self> {
        let head = IntegerHead { weights: Vec::new(), multipliers: Vec::new(), biases: Vec::new(), shift: 1 };
        let real = network.clone();
        let mut integers = Integers { storage, scales, real, embedding: Vec::new(), layers: Vec::new(), head };
        integers.update(network)?;
        Ok(integers)
    }

    /// Takes up the weights of the network after a step.
    ///
    /// # Errors
    /// A fault when the weights are too large for integers.
    pub fn update(&mut self, network: &Network<f32>) -> Result<()> {
        let Weights { embedding, layers, head, head_bias, .. } = Weights::of(network);
        let grid = Grid::of_embedding(self.storage);
        self.embedding.clear();
        let table = self.real.embedding.table.as_mut_slice();
        for (values, real) in embedding.chunks(self.scales.len()).zip(table.chunks_mut(self.scales.len())) {
            for ((&value, &scale), real) in values.iter().zip(&self.scales).zip(real) {
                let integer = grid.round(value / scale);
                self.embedding.push(integer);
                *real = integer * scale;
            }
        }
        self.layers.clear();
        for (index, layer) in layers.iter().enumerate() {
            let scales = if index == 0 { self.scales.clone() } else { vec![HIDDEN_SCALE as f32; layer.inputs] };
            let gates = quantize_gates(layer, &scales, Grid::of_gates(self.storage), index)?;
            let (inputs, units) = (layer.inputs, layer.units);
            let padded = (inputs + units).next_multiple_of(4);
            let rows = 4 * units;
            // From rows gate·units + unit to the image's [unit][gate].
            let place = |row: usize| (row % units) * 4 + row / units;
            let integer = |row: usize, column: usize| {
                let block = (row % units) * padded / 4 + column / 4;
                f32::from(gates.weights[16 * block + 4 * (row / units) + column % 4])
            };
            let columns = |from: usize, count: usize| -> Vec<f32> {
                (from..from + count)
                    .flat_map(|column| (0..rows).map(move |row| (row, column)))
                    .map(|(row, column)| integer(row, column))
                    .collect()
            };
            let multiplier: Vec<i32> = (0..rows).map(|row| i32::from(gates.multipliers[place(row)])).collect();
            let bias: Vec<i32> = (0..rows).map(|row| gates.biases[place(row)]).collect();
            // One less than fits, so that the conversion may round.
            let limit = |(&multiplier, &bias): (&i32, &i32)| {
                ((i32::MAX as u32 - bias.unsigned_abs()) / multiplier as u32) as f32 * (1.0 - f32::EPSILON)
            };
            let (kernel, recurrent_kernel) = (columns(0, inputs), columns(inputs, units));
            let packed = |columns: &[f32]| {
                let mut packed = Packed::default();
                packed.pack(rows, columns.len() / rows, |column| &columns[column * rows..][..rows]);
                packed
            };
            let integers = IntegerGates {
                units,
                kernel: packed(&kernel),
                recurrent_kernel: packed(&recurrent_kernel),
                limit: multiplier.iter().zip(&bias).map(limit).collect(),
                multiplier,
                bias,
                shift: u32::from(gates.shift),
                input_scales: scales,
            };
            let real = &mut self.real.layers[index];
            let unit = 2_f64.powi(-12 - i32::from(gates.shift));
            let worth = |row: usize| f64::from(integers.multiplier[row]) * unit;
            for (at, real) in real.kernel.as_mut_slice().iter_mut().enumerate() {
                let (column, row) = (at / rows, at % rows);
                *real = (f64::from(kernel[at]) * worth(row) / f64::from(integers.input_scales[column])) as f32;
            }
            for (at, real) in real.recurrent_kernel.as_mut_slice().iter_mut().enumerate() {
                *real = (f64::from(recurrent_kernel[at]) * worth(at % rows) / HIDDEN_SCALE) as f32;
            }
            let half = 1_i64 << (gates.shift - 1);
            for (real, &bias) in real.bias.as_mut_slice().iter_mut().zip(&integers.bias) {
                *real = ((i64::from(bias) - half) as f64 * unit) as f32;
            }
            self.layers.push(integers);
        }
        let (weights, multipliers, biases, shift) = quantize_head(&head, &head_bias)?;
        self.head = IntegerHead { weights, multipliers, biases, shift };
        self.head.write_real(&mut self.real.head);
        Ok(())
    }

    /// Takes away the gradient of weights of the embedding that are beyond their column's range and would be pushed further.
    pub(crate) fn hold(&self, network: &Network<f32>, gradients: &mut Gradients<f32>) {
        let grid = Grid::of_embedding(self.storage);
        let features = self.scales.len();
        let gradient = &mut gradients.embedding;
        for (&id, gradient) in gradient.ids.iter().zip(gradient.values.chunks_exact_mut(features)) {
            let row = &network.embedding.table.as_slice()[id as usize * features..][..features];
            for ((&value, &scale), gradient) in row.iter().zip(&self.scales).zip(gradient) {
                if grid.leaves(value / scale, *gradient) {
                    *gradient = 0.0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::Batch;
    use crate::bptt::{
        LossOptions, StepOptions, Trainer, loss_and_gradients, quantized_gradients, train_step_quantized,
    };
    use crate::network::readout::Readout;
    use crate::network::{NetworkConfig, Pass};
    use crate::optimizer::AdamConfig;
    use crate::quantizer::{Origin, to_image};
    use crate::vocabulary::Vocabulary;
    use latch_engine::Model;
    use latch_engine::image::Image;
    use latch_engine::input::text::Unknown;
    use proptest::prelude::*;

    const STORAGES: [Storage; 3] = [Storage::Int8, Storage::Mixed, Storage::Int4];

    fn network(vocabulary: usize, embedding: usize, units: usize, layers: usize, readout: Readout) -> Network<f32> {
        let config = NetworkConfig { vocabulary, embedding, units, layers, readout, ..NetworkConfig::default() };
        let mut network = Network::new(&config, 7 + units as u64).unwrap();
        network.embedding.table *= 20.0;
        network.layers.iter_mut().for_each(|layer| layer.kernel *= 2.0);
        network
    }

    fn integers(network: &Network<f32>, storage: Storage) -> Integers<f32> {
        Integers::new(network, storage, embedding_scales(network, Vec::new(), storage)).unwrap()
    }

    /// The logits of the forward pass that training takes, without dropout, in the order of the sequences.
    fn forward(integers: &Integers<f32>, sequences: &[Vec<u32>]) -> Vec<f32> {
        let mut pass = Pass::new(&integers.real);
        let indices: Vec<usize> = (0..sequences.len()).collect();
        pass.steps.gather(&indices, |index| &sequences[index]);
        pass.forward_integers(integers, None);
        let mut logits = vec![0.0; sequences.len()];
        pass.steps.order.iter().zip(&pass.logits).for_each(|(&index, &logit)| logits[index] = logit);
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
                let ours = forward(&integers(&network, storage), &sequences);
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
        let integers = integers(&network, Storage::Int8);
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
            let mut integers = integers(&network, storage);
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
        let integers = Integers::new(&network, Storage::Int4, halved.clone()).unwrap();
        let (_, mut gradients) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
        let before = gradients.embedding.clone();
        integers.hold(&network, &mut gradients);
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
