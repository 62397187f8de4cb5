//! Promise: a GRU and a simple RNN of the trainer compute what Keras and ONNX Runtime compute with the same weights.

use latch_tests::tolerances::{KERAS_F64, ONNX_F32, TRAINER_F32};
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::real::Real;
use nalgebra::DMatrix;
use serde::Deserialize;

type Matrix = Vec<Vec<f64>>;

/// One model of `make_gru_rnn.py`, in Keras's layout.
#[derive(Deserialize)]
struct Golden {
    name: String,
    kind: String,
    option: String,
    embedding: Matrix,
    ids: Vec<u32>,
    layers: Vec<Layer>,
    /// Of each layer, tokens × units.
    keras: Vec<Matrix>,
    onnx: Vec<Matrix>,
}

#[derive(Deserialize)]
struct Layer {
    /// Inputs × rows: the transpose of Latch's. The gates are z, r, h, which is Latch's order.
    kernel: Matrix,
    recurrent_kernel: Matrix,
    bias: Bias,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bias {
    One(Vec<f64>),
    /// That of the input's product, and that of the state's.
    Two(Matrix),
}

/// A matrix of the trainer from the rows of its transpose.
fn of<T: Real>(columns: &[Vec<f64>]) -> DMatrix<T> {
    DMatrix::from_iterator(
        columns[0].len(),
        columns.len(),
        columns.iter().flatten().map(|&value| T::of(f64::from(value as f32))),
    )
}

impl Golden {
    /// The network up to a layer, whose logits are the layer's hidden states after each token.
    fn network<T: Real>(&self, layer: usize) -> Network<T> {
        let option = match self.option.as_str() {
            "reset_after" | "tanh" => "",
            other => other,
        };
        let units: Vec<usize> = self.layers[..=layer].iter().map(|layer| layer.recurrent_kernel.len()).collect();
        let cells: Vec<String> = units.iter().map(|units| format!("{} {units} {option}", self.kind)).collect();
        let chain = format!("embedding {} > {} > dense", self.embedding[0].len(), cells.join(" > "));
        let config = NetworkConfig {
            vocabulary: self.embedding.len(),
            outputs: units[layer],
            chain: chain.parse().expect("a chain"),
        };
        let mut tensors = vec![of(&self.embedding)];
        for Layer { kernel, recurrent_kernel, bias } in &self.layers[..=layer] {
            tensors.extend([of(kernel), of(recurrent_kernel)]);
            match bias {
                Bias::One(bias) => tensors.push(of(std::slice::from_ref(bias))),
                Bias::Two(biases) => tensors.extend(biases.iter().map(|bias| of(std::slice::from_ref(bias)))),
            }
        }
        tensors.extend([DMatrix::identity(units[layer], units[layer]), DMatrix::zeros(units[layer], 1)]);
        Network::from_tensors(config, tensors).expect("the weights of the chain")
    }
}

fn differences<T: Real>(of: impl Fn(&Golden) -> &Vec<Matrix>, tolerance: f64) {
    let goldens: Vec<Golden> =
        serde_json::from_str(include_str!("../goldens/gru_rnn.json")).expect("make_gru_rnn.py writes this");
    assert_eq!(goldens.len(), 10);
    for golden in &goldens {
        for (layer, expected) in of(golden).iter().enumerate() {
            let found = golden.network::<T>(layer).forward(&[&golden.ids]).expect("its ids are in its vocabulary");
            assert_eq!(expected.len(), golden.ids.len());
            for (token, expected) in expected.iter().enumerate() {
                for (found, expected) in found.column(token).iter().zip(expected) {
                    let difference = (found.as_f64() - expected).abs();
                    assert!(difference <= tolerance, "{}, token {token}: {found} is not {expected}", golden.name);
                }
            }
        }
    }
}

#[test]
fn the_trainer_in_f64_computes_the_states_of_keras() {
    differences::<f64>(|golden| &golden.keras, KERAS_F64);
}

#[test]
fn the_trainer_in_f64_computes_the_states_of_onnx_runtime() {
    differences::<f64>(|golden| &golden.onnx, ONNX_F32);
}

#[test]
fn the_trainer_in_f32_computes_the_states_of_both() {
    differences::<f32>(|golden| &golden.keras, TRAINER_F32);
    differences::<f32>(|golden| &golden.onnx, TRAINER_F32);
}
