//! Promise: the LSTM is the one that other frameworks compute. Keras's and ONNX Runtime's numbers stand in `goldens/`, beside the script
//! that made them.
//!
//! Hidden states are compared through the public interface: with the identity as its head, a network's logits are its hidden states.

use std::collections::HashMap;

use latch_engine::image::Image;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::dense::MAX_OUTPUTS;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Model, Precision, State};
use latch_tests::models::{POOLINGS, ROOM, image, logits, network};
use latch_tests::tolerances;
use latch_trainer::quantizer::rows::LARGEST_SHIFT;
use latch_trainer::quantizer::{Cell, CellWeights, Weights};
use latch_trainer::real::Real;
use serde::Deserialize;

type Matrix = Vec<Vec<f64>>;

/// A model of a golden file, its layers in the layout of their framework.
#[derive(Deserialize)]
struct Golden<L> {
    name: String,
    embedding: Matrix,
    ids: Vec<u32>,
    layers: Vec<L>,
    /// inputs × outputs.
    head: Matrix,
    head_bias: Vec<f64>,
    /// `[layer][token][unit]`.
    hidden: Vec<Matrix>,
    /// `[token][output]` by pooling.
    logits: HashMap<String, Matrix>,
}

/// Gates i, f, c, o.
#[derive(Deserialize)]
struct KerasLayer {
    /// inputs × 4 units.
    kernel: Matrix,
    /// units × 4 units.
    recurrent_kernel: Matrix,
    bias: Vec<f64>,
}

/// Gates i, o, f, c.
#[derive(Deserialize)]
#[allow(non_snake_case, reason = "ONNX's own names")]
struct OnnxLayer {
    /// 4 units × inputs.
    W: Matrix,
    /// 4 units × units.
    R: Matrix,
    /// The biases of W, then those of R.
    B: Vec<f64>,
}

/// A layer that can be brought into Latch's layout: rows `gate · units + unit`, gates i, f, g, o.
trait Layer {
    fn weights(&self) -> CellWeights;
}

impl Layer for KerasLayer {
    fn weights(&self) -> CellWeights {
        CellWeights {
            cell: Cell::Lstm,
            inputs: self.kernel.len(),
            units: self.recurrent_kernel.len(),
            kernel: transposed(&self.kernel),
            recurrent_kernel: transposed(&self.recurrent_kernel),
            bias: floats(&self.bias),
            recurrent_bias: Vec::new(),
            second: None,
            most_shift: LARGEST_SHIFT,
        }
    }
}

impl Layer for OnnxLayer {
    fn weights(&self) -> CellWeights {
        let units = self.R.len() / 4;
        // Where Latch's gates i, f, g, o stand in ONNX's i, o, f, c.
        let rows = || [0, 2, 3, 1].into_iter().flat_map(move |gate| gate * units..(gate + 1) * units);
        let (first, second) = self.B.split_at(4 * units);
        CellWeights {
            cell: Cell::Lstm,
            inputs: self.W[0].len(),
            units,
            kernel: rows().flat_map(|row| floats(&self.W[row])).collect(),
            recurrent_kernel: rows().flat_map(|row| floats(&self.R[row])).collect(),
            bias: rows().map(|row| (first[row] + second[row]) as f32).collect(),
            recurrent_bias: Vec::new(),
            second: None,
            most_shift: LARGEST_SHIFT,
        }
    }
}

fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn transposed(matrix: &Matrix) -> Vec<f32> {
    (0..matrix[0].len()).flat_map(|column| matrix.iter().map(move |row| row[column] as f32)).collect()
}

impl<L: Layer> Golden<L> {
    fn weights(&self, pooling: Pooling) -> Weights {
        Weights {
            embedding: self.embedding.iter().flat_map(|row| floats(row)).collect(),
            width: self.embedding[0].len(),
            layers: self.layers.iter().map(Layer::weights).collect(),
            dense: Vec::new(),
            convolutions: Vec::new(),
            maxima: Vec::new(),
            floats: Vec::new(),
            pooling,
            head: transposed(&self.head),
            head_bias: floats(&self.head_bias),
            occurrences: Vec::new(),
            tiers: None,
            embedding_scales: Vec::new(),
            ngrams: None,
            initial: Vec::new(),
        }
    }

    /// The network up to `layer`, with an identity as its head for the units `from..`, as many as an image's head has outputs.
    fn up_to_layer(&self, layer: usize, from: usize) -> Weights {
        let mut weights = self.weights(Pooling::Last);
        weights.layers.truncate(layer + 1);
        let units = weights.layers[layer].units;
        let shown = from..units.min(from + MAX_OUTPUTS);
        weights.head = shown.clone().flat_map(|unit| (0..units).map(move |column| f32::from(column == unit))).collect();
        weights.head_bias = vec![0.0; shown.len()];
        weights
    }

    /// Whether the trainer can hold it: it stacks layers of one width.
    fn suits_the_trainer(&self) -> bool {
        self.hidden.iter().all(|layer| layer[0].len() == self.hidden[0][0].len())
    }

    /// Calls `each` with every comparison that the golden offers: what it is, the weights to run, and what is to come out after each token.
    fn each_comparison(&self, mut each: impl FnMut(&str, &Weights, &Matrix)) {
        for (layer, hidden) in self.hidden.iter().enumerate() {
            for from in (0..hidden[0].len()).step_by(MAX_OUTPUTS) {
                let weights = self.up_to_layer(layer, from);
                let shown: Matrix =
                    hidden.iter().map(|row| row[from..from + weights.head_bias.len()].to_vec()).collect();
                each(&format!("{}, hidden states of layer {layer}", self.name), &weights, &shown);
            }
        }
        for pooling in POOLINGS {
            each(
                &format!("{}, logits of {}", self.name, pooling.name()),
                &self.weights(pooling),
                &self.logits[pooling.name()],
            );
        }
    }
}

fn keras() -> Vec<Golden<KerasLayer>> {
    serde_json::from_str(include_str!("../goldens/keras_lstm.json")).expect("make_lstm.py writes this")
}

fn onnx() -> Vec<Golden<OnnxLayer>> {
    serde_json::from_str(include_str!("../goldens/onnx_lstm.json")).expect("make_lstm.py writes this")
}

/// Holds `found` to the golden's numbers and returns the largest difference.
fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{what}: off by {worst:.2e}, allowed {tolerance:.0e}: {found:?} is not {expected:?}");
    worst
}

fn the_trainer_agrees<T: Real, L: Layer>(goldens: &[Golden<L>], tolerance: f64) {
    let mut worst = 0.0_f64;
    for golden in goldens.iter().filter(|golden| golden.suits_the_trainer()) {
        golden.each_comparison(|what, weights, expected| {
            let network = network::<T>(weights, weights.pooling);
            let prefixes: Vec<&[u32]> = (1..=golden.ids.len()).map(|length| &golden.ids[..length]).collect();
            let logits = network.forward(&prefixes).expect("the golden's ids are in its vocabulary");
            for (token, expected) in expected.iter().enumerate() {
                let found: Vec<f64> = logits.column(token).iter().map(|logit| logit.as_f64()).collect();
                worst = worst.max(assert_close(&format!("{what} after token {token}"), &found, expected, tolerance));
            }
        });
    }
    println!("largest difference {worst:.1e}");
}

fn the_engine_agrees<L: Layer>(goldens: &[Golden<L>], precision: Precision, tolerance: f64) {
    for backend in AnyBackend::all() {
        let mut worst = 0.0_f64;
        for golden in goldens {
            golden.each_comparison(|what, weights, expected| {
                let bytes = image(weights, precision, Unknown::Skip);
                let image = Image::open(&bytes).expect("the image was just made");
                let model = Model::new(&image).with_backend(backend);
                let mut state = State::<ROOM>::new();
                let mut session = model.session(&mut state).expect("there is room");
                for (token, (&id, expected)) in golden.ids.iter().zip(expected).enumerate() {
                    assert!(session.push_token(id));
                    let found: Vec<f64> = logits(&mut session).iter().map(|logit| f64::from(logit.to_f32())).collect();
                    let what = format!("{what} after token {token}, {} on {}", precision.name(), backend.name());
                    worst = worst.max(assert_close(&what, &found, expected, tolerance));
                }
            });
        }
        println!("{} on {}: largest difference {worst:.1e}", precision.name(), backend.name());
    }
}

#[test]
fn the_trainer_in_f64_computes_what_keras_computes() {
    the_trainer_agrees::<f64, _>(&keras(), tolerances::KERAS_F64);
}

#[test]
fn the_trainer_in_f64_computes_what_onnx_runtime_computes() {
    the_trainer_agrees::<f64, _>(&onnx(), tolerances::ONNX_F32);
}

#[test]
fn the_trainer_in_f32_computes_what_keras_and_onnx_runtime_compute() {
    the_trainer_agrees::<f32, _>(&keras(), tolerances::TRAINER_F32);
    the_trainer_agrees::<f32, _>(&onnx(), tolerances::TRAINER_F32);
}

#[test]
fn an_f32_image_computes_what_keras_and_onnx_runtime_compute_on_every_backend() {
    the_engine_agrees(&keras(), Precision::F32, tolerances::ENGINE_F32);
    the_engine_agrees(&onnx(), Precision::F32, tolerances::ENGINE_F32);
}

#[test]
fn an_f16_image_stays_near_keras_and_onnx_runtime_on_every_backend() {
    the_engine_agrees(&keras(), Precision::F16, tolerances::ENGINE_F16);
    the_engine_agrees(&onnx(), Precision::F16, tolerances::ENGINE_F16);
}

#[test]
fn an_int8_image_stays_near_keras_and_onnx_runtime_on_every_backend() {
    the_engine_agrees(&keras(), Precision::Int8, tolerances::ENGINE_INT8);
    the_engine_agrees(&onnx(), Precision::Int8, tolerances::ENGINE_INT8);
}

#[test]
fn an_int16_image_stays_nearer_to_keras_and_onnx_runtime_on_every_backend() {
    the_engine_agrees(&keras(), Precision::Int16, tolerances::ENGINE_INT16);
    the_engine_agrees(&onnx(), Precision::Int16, tolerances::ENGINE_INT16);
}
