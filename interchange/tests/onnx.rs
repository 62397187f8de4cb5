//! Promise: a description of an ONNX model computes what ONNX Runtime computes of it, within 1e-5, and what the standard's own tests of RNN, GRU and LSTM expect.
//! `goldens/onnx/make.py` made the models, and `make_tf.py` those that tf2onnx exports of Keras.

mod support;

use latch_interchange::keras::Options;
use latch_interchange::{Described, Input, open_with, reference};
use serde_json::Value;
use support::{Goldens, LIMITS, WITHIN, disagreement, numbers};

/// Models of the standard's tests.
const OF_THE_STANDARD: usize = 12;

/// A model, and what is computed of an input of some sequences.
struct Case {
    name: String,
    file: Vec<u8>,
    until: Option<String>,
    is_ids: bool,
    sequences: usize,
    x: Vec<f64>,
    y: Vec<f64>,
}

fn cases(archive: &str) -> Vec<Case> {
    let mut archive = Goldens::open(&format!("onnx/{archive}"));
    let list = archive.listed();
    let case = |case: &Value| Case {
        name: case["name"].as_str().expect("a name").to_owned(),
        file: archive.member(case["file"].as_str().expect("a file")),
        until: case["until"].as_str().map(str::to_owned),
        is_ids: case["ids"] == true,
        sequences: case["sequences"].as_u64().expect("a count") as usize,
        x: numbers(case, "x"),
        y: numbers(case, "y"),
    };
    list.as_array().expect("a list").iter().map(case).collect()
}

/// What the model answers to each sequence, one behind the other.
fn answers(model: &Described, case: &Case) -> Vec<f64> {
    let sequences = case.x.chunks_exact(case.x.len() / case.sequences);
    match model.input {
        Input::Ids(_) => {
            assert!(case.is_ids);
            let ids = |x: &[f64]| x.iter().map(|&id| id as u32).collect::<Vec<_>>();
            sequences.flat_map(|x| reference::of_ids(model, &ids(x)).answers).collect()
        }
        Input::Samples(_) => {
            assert!(!case.is_ids);
            let frames = |x: &[f64]| x.iter().map(|&sample| sample as f32).collect::<Vec<_>>();
            sequences.flat_map(|x| reference::of_samples(model, &frames(x)).answers).collect()
        }
    }
}

/// Why a case does not agree.
fn fault(case: &Case) -> Option<String> {
    let options = Options { until: case.until.as_deref(), ..Options::default() };
    let model = match open_with(&case.file, &case.name, &options, &LIMITS) {
        Ok(model) => model,
        Err(error) => return Some(error.to_string()),
    };
    disagreement(&case.name, &answers(&model, case), &case.y, WITHIN)
}

#[test]
fn models_compute_what_onnx_runtime_computes() {
    let cases: Vec<Case> = cases("onnx.zip").into_iter().filter(|case| !case.name.starts_with("test_")).collect();
    let faults: Vec<String> = cases.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(cases.len() >= 127, "there are {} cases", cases.len());
    println!("{} cases agree", cases.len());
}

#[test]
fn the_tests_of_the_standard_pass() {
    let cases: Vec<Case> = cases("onnx.zip").into_iter().filter(|case| case.name.starts_with("test_")).collect();
    let faults: Vec<String> = cases.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), cases.len(), faults.join("\n"));
    let models: std::collections::BTreeSet<&[u8]> = cases.iter().map(|case| case.file.as_slice()).collect();
    assert_eq!(models.len(), OF_THE_STANDARD);
    println!("{} outputs of {} models agree", cases.len(), models.len());
}

#[test]
fn what_tf2onnx_exports_computes_what_keras_computes_and_a_loop_is_refused_by_name() {
    let (read, loops): (Vec<Case>, Vec<Case>) = cases("tf2onnx.zip").into_iter().partition(|case| !case.y.is_empty());
    let faults: Vec<String> = read.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), read.len(), faults.join("\n"));
    assert!(read.len() >= 19 && loops.len() == 2, "{} cases, {} loops", read.len(), loops.len());
    for case in loops {
        let words = "(Loop): its recurrence is spelled out as a Loop; export it with an LSTM, a GRU or an RNN";
        let error = fault(&case).expect("it is refused");
        assert!(error.ends_with(words), "{error}");
    }
}
