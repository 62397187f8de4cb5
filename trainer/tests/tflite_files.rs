//! Promise: a TensorFlow Lite model becomes a run whose f32 image answers what the interpreter answered, and what no image holds is refused by the layer's name.
//! The models are those of `interchange/tests/goldens/tflite`.

use serde_json::Value;

use crate::goldens::{answers, numbers, placed};
use crate::support::succeed;

const ARCHIVE: &str = "tflite/tflite.zip";

/// The input and the output of a golden.
fn golden(cases: &Value, file: &str) -> (Vec<f64>, Vec<f64>) {
    let case = cases.as_array().and_then(|cases| cases.iter().find(|case| case["file"] == file)).expect("a case");
    (numbers(case, "x"), numbers(case, "y"))
}

#[test]
fn models_of_samples_answer_what_the_interpreter_answered() {
    // In floats, and in integers, of which the interpreter rounds what flows. Two values are those of two classes: the image has the second less the first.
    let names = [
        ("keras-lstm.tflite", "classify", 1e-5),
        ("keras-lstm-int8.tflite", "classify", 0.02),
        ("keras-bidirectional.tflite", "regress", 1e-5),
    ];
    let (place, cases) = placed(ARCHIVE, &names.map(|(name, ..)| name));
    for (name, task, within) in names {
        let run = format!("run-of-{name}");
        succeed(&mut place.latch(["import", name, "--task", task, "--out", &run, "--json"]));
        let (x, y) = golden(&cases, name);
        let y: Vec<f64> = if task == "regress" { y } else { y.chunks_exact(2).map(|two| two[1] - two[0]).collect() };
        let found = answers(&place, &run, &x);
        assert_eq!(found.len(), y.len(), "{name}: {found:?}");
        found.iter().zip(&y).for_each(|(found, y)| assert!((found - y).abs() < within, "{name}: {found} {y}"));
    }
}

#[test]
fn what_is_inside_is_shown_with_what_an_image_does_otherwise() {
    let (place, _) = placed(ARCHIVE, &["keras-lstm-int8.tflite"]);
    let shown = succeed(&mut place.latch(["import", "keras-lstm-int8.tflite", "--inspect"])).stdout;
    for words in [
        "format       TensorFlow Lite MLIR Converted.",
        "cells held to 10",
        "its activations are integers",
        "TensorFlow Lite holds the cells of layer",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn what_no_image_has_is_refused_by_the_layers_name() {
    let lacking = [
        ("cell-clip", "it has cells that are clipped"),
        ("projection-clip", "it has projected states that are clipped"),
        ("conv-same", "its window looks ahead"),
    ];
    let files: Vec<String> = lacking.iter().map(|(name, _)| format!("{name}.tflite")).collect();
    let (place, _) = placed(ARCHIVE, &files.iter().map(String::as_str).collect::<Vec<_>>());
    for (file, (_, words)) in files.iter().zip(lacking) {
        let import = ["import", file, "--task", "tag"];
        place.refuse(&mut place.latch(import.iter().chain(&["--out", "run"])), &[file, ": layer ", words]);
        let inspected = succeed(&mut place.latch(import.iter().chain(&["--inspect", "--json"]))).json();
        assert_eq!(inspected["format"], "TensorFlow Lite");
        assert!(inspected["stops"].as_str().is_some_and(|stops| stops.contains(words)), "{inspected}");
    }
}

#[test]
fn a_loop_is_refused_with_what_to_do_and_a_model_is_read_up_to_the_tensor_that_is_named() {
    let (place, _) = placed(ARCHIVE, &["refused-while.tflite", "refused-operator.tflite"]);
    let words = ["(WHILE): its recurrence is spelled out as a WHILE loop; keep the .keras file of the model"];
    place.refuse(&mut place.latch(["import", "refused-while.tflite", "--out", "run", "--json"]), &words);
    let import = |more: &[&'static str]| {
        place.latch(["import", "refused-operator.tflite", "--out", "run", "--json"].iter().chain(more))
    };
    place.refuse(&mut import(&[]), &["node wave (COS): its operator \"COS\" is not read"]);
    place.refuse(&mut import(&["--until", "nobody"]), &["no tensor of it is called \"nobody\""]);
    succeed(&mut import(&["--until", "lstm", "--task", "tag"]));
}
