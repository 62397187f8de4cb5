//! Promise: the losses of classes, of values and of an answer each step are those of Keras, and so are their gradients. Keras's numbers stand in
//! `goldens/keras_losses.json`, beside the script that made them.

use latch_tests::tolerances::KERAS_F64;
use latch_trainer::batches::Batch;
use latch_trainer::bptt::{LossOptions, Objective, loss_and_gradients};
use latch_trainer::config::chain::Pooling;
use latch_trainer::network::{Network, NetworkConfig};
use nalgebra::DMatrix;
use serde_json::Value;

/// The numbers of a matrix or a vector in JSON, row-major, and its rows and columns; a vector is a column.
fn matrix(value: &Value) -> DMatrix<f64> {
    let rows = value.as_array().expect("an array");
    let numbers = |row: &Value| -> Vec<f64> {
        let row = row.as_array().map_or(std::slice::from_ref(row), Vec::as_slice);
        row.iter().map(|number| number.as_f64().expect("a number")).collect()
    };
    let values: Vec<f64> = rows.iter().flat_map(numbers).collect();
    DMatrix::from_row_slice(rows.len(), values.len() / rows.len(), &values)
}

/// The tensors of a case in the order of [`Network::tensors`]: the trainer's are the transposes of Keras's, and a bias is a column in both.
fn tensors(of: &Value) -> Vec<DMatrix<f64>> {
    ["embedding", "kernel", "recurrent_kernel", "bias", "head", "head_bias"]
        .map(|name| if name.ends_with("bias") { matrix(&of[name]) } else { matrix(&of[name]).transpose() })
        .into()
}

#[test]
fn losses_and_gradients_of_every_kind_of_answer_are_those_of_keras() {
    let golden: Value = serde_json::from_str(include_str!("../goldens/keras_losses.json")).expect("JSON");
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let name = &case["name"];
        let weights = tensors(&case["weights"]);
        let pooling = match case["pooling"].as_str() {
            Some("last") => Some(Pooling::Last),
            Some("max") => Some(Pooling::Max),
            _ => None,
        };
        let config = NetworkConfig {
            outputs: weights[4].nrows(),
            ..NetworkConfig::stacked(weights[0].ncols(), weights[0].nrows(), 1, weights[2].ncols(), pooling)
        };
        let mut network = Network::<f64>::new(&config, 0).expect("the sizes describe a network");
        for ((_, tensor), values) in network.tensors_mut().into_iter().zip(weights) {
            assert_eq!(tensor.shape(), values.shape());
            *tensor = values;
        }
        let mut batch = Batch::new();
        let rows = |key: &str| case[key].as_array().expect("rows").iter().map(|row| matrix(row).as_slice().to_vec());
        for (ids, labels) in rows("ids").zip(rows("labels")) {
            let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
            batch.push_each(&ids, &labels.iter().map(|&label| label as f32).collect::<Vec<_>>());
        }
        let objective = if case["objective"] == "values" { Objective::SquaredError } else { Objective::CrossEntropy };
        let options = LossOptions { objective, ..LossOptions::default() };
        let (loss, gradients) = loss_and_gradients(&network, &batch, &options).expect("the batch suits the network");
        let expected = case["loss"].as_f64().expect("a number");
        let found = loss.loss_sum / loss.answers as f64;
        assert!((found - expected).abs() < KERAS_F64, "{name}: {found} is not {expected}");
        for ((tensor, gradient), expected) in gradients.tensors(&network).into_iter().zip(tensors(&case["gradients"])) {
            let difference = (gradient - expected).abs().max();
            assert!(difference < KERAS_F64, "{name}, {tensor}: {difference:e}");
        }
    }
}
