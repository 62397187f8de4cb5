//! Promise: a description of a TensorFlow Lite model computes what its interpreter computes of it: within 1e-5 of floats, and within a bound of what the
//! interpreter rounds to integers; and weights that are integers are read as what they are worth. `goldens/tflite/make.py` made the models.

mod support;

use latch_interchange::keras::Options;
use latch_interchange::{Described, Input, Kind, open, open_with, reference, remarks};
use serde_json::Value;
use support::{Goldens, LIMITS, WITHIN, disagreement, largest_difference, numbers};

const ARCHIVE: &str = "tflite/tflite.zip";

/// Largest difference from a hybrid model: its weights are those that are read, but the interpreter rounds what they are multiplied with to 8 bits at each
/// step, with a scale of its own for each vector.
const OF_HYBRID: f64 = 0.005;

/// Largest difference from a model in integers: the interpreter rounds everything that flows to 8 bits, and the cell to 16.
const OF_INTEGERS: f64 = 0.02;

/// A model, and what is computed of an input.
struct Case {
    name: String,
    file: Vec<u8>,
    kind: String,
    is_ids: bool,
    x: Vec<f64>,
    y: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let mut archive = Goldens::open(ARCHIVE);
    let list = archive.listed();
    let case = |case: &Value| Case {
        name: case["name"].as_str().expect("a name").to_owned(),
        file: archive.member(case["file"].as_str().expect("a file")),
        kind: case["kind"].as_str().expect("a kind").to_owned(),
        is_ids: case["ids"] == true,
        x: numbers(case, "x"),
        y: numbers(case, "y"),
    };
    list.as_array().expect("a list").iter().map(case).collect()
}

fn answers(model: &Described, case: &Case) -> Vec<f64> {
    match model.input {
        Input::Ids(_) => {
            assert!(case.is_ids);
            let ids: Vec<u32> = case.x.iter().map(|&id| id as u32).collect();
            reference::of_ids(model, &ids).answers
        }
        Input::Samples(_) => {
            assert!(!case.is_ids);
            let frames: Vec<f32> = case.x.iter().map(|&sample| sample as f32).collect();
            reference::of_samples(model, &frames).answers
        }
    }
}

/// The cases of a kind that are not within this of the interpreter.
fn faults(kind: &str, within: f64) -> (usize, Vec<String>) {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.kind == kind).collect();
    let mut largest = 0.0_f64;
    let mut fault = |case: &Case| {
        let model = match open(&case.file, &case.name, &LIMITS) {
            Ok(model) => model,
            Err(error) => return Some(error.to_string()),
        };
        let found = answers(&model, case);
        if found.len() == case.y.len() {
            largest = largest.max(largest_difference(&found, &case.y));
        }
        disagreement(&case.name, &found, &case.y, within)
    };
    let faults = cases.iter().filter_map(&mut fault).collect();
    println!("{} {kind} models differ by at most {largest:e}", cases.len());
    (cases.len(), faults)
}

fn agree(kind: &str, within: f64, least: usize) {
    let (count, faults) = faults(kind, within);
    assert!(faults.is_empty(), "{} of {count} models differ:\n{}", faults.len(), faults.join("\n"));
    assert!(count >= least, "there are {count} models");
}

#[test]
fn models_in_floats_compute_what_the_interpreter_computes() {
    agree("float", WITHIN, 48);
}

#[test]
fn hybrid_models_compute_what_the_interpreter_computes_but_for_what_it_rounds() {
    agree("hybrid", OF_HYBRID, 1);
}

#[test]
fn models_in_integers_compute_what_the_interpreter_computes_but_for_what_it_rounds() {
    agree("int8", OF_INTEGERS, 2);
}

#[test]
fn integer_weights_are_read_as_what_they_are_worth() {
    let mut archive = Goldens::open(ARCHIVE);
    for name in ["keras-wide-hybrid", "keras-lstm-int8"] {
        let worths = archive.member(&format!("{name}.f32"));
        let (worths, rest) = worths.as_chunks::<4>();
        assert!(rest.is_empty() && !worths.is_empty());
        let worths: Vec<f32> = worths.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let model = open(&archive.member(&format!("{name}.tflite")), name, &LIMITS).expect("a model");
        let Kind::Recurrent(layer) = &model.layers[0].kind else { panic!("{name}: {:?}", model.layers[0].kind.name()) };
        assert_eq!([&layer.kernel.values[..], &layer.recurrent_kernel.values[..]].concat(), worths, "{name}");
    }
}

#[test]
fn what_an_image_does_otherwise_and_the_scales_of_activations_are_said() {
    let mut archive = Goldens::open(ARCHIVE);
    let mut said = |name: &str| {
        let model = open(&archive.member(name), "net", &LIMITS).expect("a model");
        assert_eq!(model.source.format.name(), "TensorFlow Lite");
        remarks(&model)
    };
    let [scales, clip] = said("keras-lstm-int8.tflite").try_into().expect("two remarks");
    assert!(scales.starts_with("its activations are integers") && scales.contains("(int8) 0.0"), "{scales}");
    assert!(clip.starts_with("TensorFlow Lite holds the cells of layer") && clip.contains("to [-10, 10]"), "{clip}");
    assert_eq!(said("peepholes.tflite"), [""; 0]);
}

#[test]
fn the_tensor_that_is_wanted_can_be_named() {
    let mut archive = Goldens::open(ARCHIVE);
    let file = archive.member("refused-operator.tflite");
    let until = |name| open_with(&file, "net", &Options { until: Some(name), ..Options::default() }, &LIMITS);
    assert_eq!(until("lstm").expect("an LSTM").layers.len(), 1);
    let error = until("nobody").expect_err("no such tensor").to_string();
    assert!(
        error.starts_with("net: no tensor of it is called \"nobody\"; name one of its tensors, as \"wave\""),
        "{error}"
    );
    let chain = Options { chain: Some("lstm 4"), ..Options::default() };
    let error = open_with(&file, "net", &chain, &LIMITS).expect_err("a chain").to_string();
    assert!(error.starts_with("net: a chain is given"), "{error}");
}
