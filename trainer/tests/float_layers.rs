//! Promise: a model of samples of another tool, with layers that images have in floats alone, answers in its f32 image what its tool answered, on every golden that
//! has such a layer. The models are those of `interchange/tests/goldens`.

use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::image::header::{Answer, AnswerKind};
use latch_engine::with_answer;
use latch_interchange::{Activation, Described, Input, Kind};
use latch_trainer::config::Storage;
use latch_trainer::dataset::Task;
use latch_trainer::evaluate::state_for;
use latch_trainer::exchange::{Given, GivenKeras, from_bytes, opened};
use latch_trainer::outputs::outputs_of;
use latch_trainer::quantizer::{Origin, Weights, to_image};
use serde_json::Value;

use crate::goldens::{numbers, placed};

/// How far an image may be from another tool: as the goldens are from the plain reference.
const WITHIN: f64 = 1e-5;

/// The names of the cases of an archive whose network has such a layer; each is run.
fn answered(archive: &str) -> Vec<String> {
    let (_, listed) = placed(archive, &[]);
    let cases = listed["cases"].as_array().or(listed.as_array()).expect("a list");
    let files: Vec<&str> = cases.iter().map(|case| case["file"].as_str().expect("a file")).collect();
    let (place, _) = placed(archive, &files);
    let of = |case: &Value| {
        let name = case["name"].as_str().expect("a name").to_owned();
        answers_of(case, &place.read(case["file"].as_str().expect("a file")), &name).then_some(name)
    };
    cases.iter().filter_map(of).collect()
}

/// What the image of a case answers where its tool computed `y`: logits in place of probabilities, and one logit, the second less the first, in place of two outputs.
fn expected(model: &Described, y: &[f64]) -> Vec<f64> {
    let is_softmax = match model.layers.last().map(|layer| &layer.kind) {
        Some(Kind::Dense(dense)) => dense.activation == Activation::Softmax,
        Some(Kind::Activation(activation)) => *activation == Activation::Softmax,
        _ => false,
    };
    let logits: Vec<f64> = if is_softmax { y.iter().map(|y| y.ln()).collect() } else { y.to_vec() };
    match model.outputs() {
        2 => logits.chunks(2).map(|pair| pair[1] - pair[0]).collect(),
        // Logits of a softmax are known but for a number that all share.
        outputs if is_softmax => logits.chunks(outputs).flat_map(centred).collect(),
        _ => logits,
    }
}

/// Values less their mean.
fn centred(row: &[f64]) -> Vec<f64> {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    row.iter().map(|value| value - mean).collect()
}

/// Runs a case whose network has a layer of floats alone, and compares; false of any other.
fn answers_of(case: &Value, bytes: &[u8], name: &str) -> bool {
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let keras = GivenKeras { chain: text("chain"), until: text("until"), tokenizer: None };
    let Ok(model) = opened(bytes, name, &keras) else { return false };
    if !matches!(model.input, Input::Samples(_)) {
        return false;
    }
    let each_step = model.pooling().is_none();
    let outputs = model.outputs();
    let task = if each_step { Task::Tag(outputs.max(2) as u32) } else { Task::Classify(outputs.max(2) as u32) };
    let task = if outputs == 1 { None } else { Some(task) };
    let Ok(received) = from_bytes(bytes, name, &Given { task, keras, ..Given::default() }) else { return false };
    if received.network.config().chain.of_floats().is_none() {
        return false;
    }
    let image = to_image(&Weights::of(&received.network), &received.vocabulary, Storage::F32, &Origin::default())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let answer = Answer { kind: AnswerKind::Values, each_step };
    let image = with_answer(&Image::open(&image).expect("it was just made"), answer, &[]).expect("it has values");
    let engine = Model::new(&Image::open(&image).expect("it was just made"));
    let mut state = state_for(&engine);
    let mut session = engine.session_in(&mut state).expect("there is room");
    let row = if outputs == 2 { 1 } else { outputs };
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let sequences = case["sequences"].as_u64().unwrap_or(1) as usize;
    for (x, y) in x.chunks(x.len() / sequences).zip(y.chunks(y.len() / sequences)) {
        let frames: Vec<f32> = x.iter().map(|&sample| sample as f32).collect();
        let found = outputs_of(&mut session, &frames).expect("whole frames").values;
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        let y = expected(&model, y);
        assert_eq!(found.len(), y.len(), "{name}: {found:?}");
        for (row, y) in found.chunks(row).zip(y.chunks(row)) {
            let is_shifted = (y.iter().sum::<f64>()).abs() < 1e-9 && y.len() > 2;
            let row = if is_shifted { centred(row) } else { row.to_vec() };
            for (found, y) in row.iter().zip(y) {
                assert!((found - y).abs() < WITHIN * (1.0 + y.abs()), "{name}: {found} in place of {y}");
            }
        }
    }
    true
}

/// Asserts that the names of an archive that contain these words were run, and so many in all.
fn check(archive: &str, least: usize, among: &[&str]) {
    let names = answered(archive);
    assert!(names.len() >= least, "{} of {archive}: {names:?}", names.len());
    for name in among {
        assert!(names.iter().any(|found| found.contains(name)), "{name} is none of {names:?}");
    }
}

#[test]
fn variants_and_normalizations_of_keras_answer_what_keras_answered() {
    let among = ["lstm-relu.", "gru-relu.", "lstm-linear-candidates.", "gru-linear-candidates.", "layer-norm."];
    check("keras/keras3.zip", 12, &among);
    // Keras 1 has hard sigmoids unless it is said otherwise.
    check("keras/keras2.zip", 14, &[&among[..], &["keras1-lstm", "keras1-gru"]].concat());
}

#[test]
fn variants_and_normalizations_of_onnx_runtime_answer_what_it_answered() {
    let among = [
        "lstm-clip",
        "gru-clip",
        "rnn-clip",
        "gru-reset-after-clip",
        "lstm-hard-sigmoid",
        "lstm-coupled",
        "lstm-peepholes",
        "lstm-peepholes-coupled-clip",
    ];
    check("onnx/onnx.zip", 10, &among);
}

#[test]
fn projections_and_normalizations_of_pytorch_answer_what_pytorch_answered() {
    check("pytorch/pytorch.zip", 5, &["projected-1", "projected-2", "projected-1-last", "sensor-causal"]);
}
