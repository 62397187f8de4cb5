//! Promise: a TensorFlow Lite model that is damaged, or is no chain of layers, is refused by the name of the node or the tensor. `goldens/tflite/make.py` made
//! the models.

#[expect(dead_code, reason = "no answers are compared here")]
mod support;

use latch_interchange::{Described, Error, glimpse, open};
use support::{Goldens, LIMITS};

fn golden(name: &str) -> Vec<u8> {
    Goldens::open("tflite/tflite.zip").member(name)
}

fn read(bytes: &[u8]) -> Result<Described, Error> {
    open(bytes, "net", &LIMITS)
}

#[test]
fn what_is_no_chain_of_layers_is_refused_by_the_name_of_the_node_with_what_to_do() {
    for (name, words, remedy) in [
        ("while", "(WHILE): its recurrence is spelled out as a WHILE loop", "keep the .keras file"),
        (
            "normalized",
            "net: node lstm (UNIDIRECTIONAL_SEQUENCE_LSTM): it normalizes its gates (tensor scales)",
            "train",
        ),
        (
            "projection-bias",
            "net: node lstm (UNIDIRECTIONAL_SEQUENCE_LSTM): its projection has a bias (tensor shift)",
            "train",
        ),
        ("half", "net: node lstm (UNIDIRECTIONAL_SEQUENCE_LSTM): it has a part of the weights", "convert"),
        ("diagonal", "net: node lstm (UNIDIRECTIONAL_SEQUENCE_LSTM): its recurrent weights are diagonal", "convert"),
        ("activation", "net: node lstm (UNIDIRECTIONAL_SEQUENCE_LSTM): its activation 3 is not read", "train"),
        (
            "nothing",
            "net: node lstm (UNIDIRECTIONAL_SEQUENCE_LSTM): nothing before it gives its input \"nothing\"",
            "copy",
        ),
        ("branches", "net: node joined (ADD): it joins two branches of the model", "export the part"),
        ("operator", "net: node wave (COS): its operator \"COS\" is not read", "docs/frameworks.md"),
        ("outputs", "net: it has 2 outputs: tanh, logistic", "--until NAME"),
    ] {
        let error = read(&golden(&format!("refused-{name}.tflite"))).expect_err(words);
        let said = error.to_string();
        assert!(said.starts_with("net: ") && said.contains(words) && error.remedy.contains(remedy), "{name}: {said}");
    }
}

#[test]
fn a_tensor_that_does_not_fit_is_named_with_what_is_declared_and_what_is_there() {
    for (name, words) in [
        ("short", "its shape is [4, 5], but it has 16 numbers (64 bytes)"),
        ("shape", "net: tensor wide: its shape is [4, 5], but [4, 4] is declared by node lstm"),
        ("nan", "tensor shift: value 1 is NaN in f32"),
        ("ints", "net: tensor ints: its numbers are integers without a scale"),
        ("scales", "net: tensor ints: its shape is [4, 3], but it has 2 scales and 2 zero points along its axis 0"),
        ("inputs", "of 3 inputs, but 5 features are declared below node lstm"),
    ] {
        let error = read(&golden(&format!("refused-{name}.tflite"))).expect_err(words).to_string();
        assert!(error.starts_with("net: ") && error.contains(words), "{name}: {error}");
        assert!(!error.contains("onnx"), "{name}: {error}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_ends() {
    let file = golden("keras-lstm.tflite");
    for end in 8..file.len() {
        match read(&file[..end]) {
            Err(error) => assert!(error.to_string().starts_with("net: "), "{end}: {error}"),
            // Behind the last table nothing is missed.
            Ok(model) => assert_eq!(Ok(model), read(&file), "{end}"),
        }
    }
    let error = read(&file[..file.len() / 2]).expect_err("it is cut off").to_string();
    assert!(error.contains("this TensorFlow Lite model is cut off or damaged at"), "{error}");
}

#[test]
fn another_identifier_is_none_of_this_format() {
    let mut file = golden("keras-lstm.tflite");
    file[4..8].copy_from_slice(b"TFL9");
    let error = read(&file).expect_err("another identifier").to_string();
    assert!(error.starts_with("net: ") && !error.contains("TensorFlow Lite"), "{error}");
}

#[test]
fn offsets_that_lead_back_or_to_themselves_end_in_an_error() {
    let whole = golden("keras-lstm.tflite");
    // Each place of four bytes as an offset to itself, back to the root, and back to the beginning.
    for at in (8..whole.len() - 4).step_by(4) {
        for offset in [0, 4, (at as u32).wrapping_neg(), u32::MAX - 3] {
            let mut file = whole.clone();
            file[at..at + 4].copy_from_slice(&offset.to_le_bytes());
            if let Err(error) = read(&file) {
                assert!(error.to_string().starts_with("net: "), "{at}: {error}");
            }
        }
    }
    let mut file = whole;
    file[..4].fill(0);
    let error = read(&file).expect_err("a root that is itself").to_string();
    assert!(error.starts_with("net: this TensorFlow Lite model is cut off or damaged at its root"), "{error}");
}

#[test]
fn what_is_inside_a_model_that_is_refused_is_told() {
    let found = glimpse(&golden("refused-operator.tflite"), "net").expect("it is a model");
    assert_eq!(found.format, "TensorFlow Lite");
    let has = |place: &str, what: &str| found.found.iter().any(|(at, said)| at == place && said.contains(what));
    assert!(has("node 1", "COS: lstm -> wave") && has("tensor x", "float32 [1, 6, 3]"), "{found:?}");
    assert_eq!(glimpse(b"\0\0\0\0TFL3\0\0\0\0", "net"), None);
}
