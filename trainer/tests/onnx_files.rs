//! Promise: an ONNX model becomes a run whose f32 image answers what ONNX Runtime answered, and what no image holds is refused by the layer's name. The models are
//! those of `interchange/tests/goldens/onnx`.

use std::io::{Cursor, Read};
use std::path::Path;

use serde_json::Value;
use zip::ZipArchive;

use crate::support::{Place, succeed};

/// A folder with models of the goldens, and the goldens' words on them.
fn placed(names: &[&str]) -> (Place, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interchange/tests/goldens/onnx/onnx.zip");
    let mut archive = ZipArchive::new(Cursor::new(std::fs::read(path).expect("the goldens"))).expect("an archive");
    let mut member = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).expect("a member").read_to_end(&mut bytes).expect("it is whole");
        bytes
    };
    let place = Place::with_data(20);
    names.iter().for_each(|name| place.write(name, member(name)));
    let cases = serde_json::from_slice(&member("cases.json")).expect("JSON");
    (place, cases)
}

/// The input and the output of the first sequence of a golden.
fn golden(cases: &Value, file: &str) -> (Vec<f64>, Vec<f64>) {
    let case = cases.as_array().and_then(|cases| cases.iter().find(|case| case["file"] == file)).expect("a case");
    let sequences = case["sequences"].as_u64().expect("a count") as usize;
    let numbers = |key: &str| -> Vec<f64> {
        let all = case[key].as_array().expect("a list");
        all.iter().take(all.len() / sequences).map(|number| number.as_f64().expect("a number")).collect()
    };
    (numbers("x"), numbers("y"))
}

/// The numbers that the f32 image of a run answers to rows of three samples.
fn answers(place: &Place, run: &str, x: &[f64]) -> Vec<f64> {
    let rows: Vec<String> = x.chunks(3).map(|row| format!("{},{},{}", row[0], row[1], row[2])).collect();
    place.write("x.csv", rows.join("\n") + "\n");
    succeed(&mut place.latch(["export", "--run", run, "--precision", "f32", "--out", "new.latch"]));
    succeed(&mut place.latch(["run", "--image", "new.latch", "--data", "x.csv", "--out", "y.csv"]));
    let table = String::from_utf8(place.read("y.csv")).expect("text");
    table.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect()
}

#[test]
fn models_of_samples_answer_what_onnx_runtime_answered() {
    let names = ["torch-stacked.onnx", "tf-time-distributed.onnx", "states-dense.onnx", "step-by-step.onnx"];
    let (place, cases) = placed(&names);
    for name in names {
        let run = format!("run-of-{name}");
        succeed(&mut place.latch(["import", name, "--out", &run, "--json"]));
        let (x, y) = golden(&cases, name);
        let found = answers(&place, &run, &x);
        assert_eq!(found.len(), y.len(), "{name}: {found:?}");
        found.iter().zip(&y).for_each(|(found, y)| assert!((found - y).abs() < 1e-5, "{name}: {found} {y}"));
    }
}

#[test]
fn what_no_image_has_is_refused_by_the_layers_name() {
    let lacking = [
        ("lstm-peepholes", "it has peepholes, and no image has them"),
        ("lstm-coupled", "it has an input and a forget gate that are coupled"),
        ("gru-clip", "it has sums that are clipped"),
        ("lstm-cells", "it has cells with an activation of their own"),
        ("lstm-hard-sigmoid", "its gates go through hard-sigmoid-sixth, and those of an image through sigmoid"),
        ("rnn-elu", "a simple recurrent layer of an image has tanh or relu, not elu"),
        ("gru-bidirectional-steps", "it reads the steps back from the last one too, and a device has no future"),
        ("rnn-reverse-last", "it reads the steps back from the last one, and a device has no future"),
    ];
    let files: Vec<String> = lacking.iter().map(|(name, _)| format!("{name}.onnx")).collect();
    let (place, _) = placed(&files.iter().map(String::as_str).collect::<Vec<_>>());
    for (file, (_, words)) in files.iter().zip(lacking) {
        let task = if file.contains("last") { "classify" } else { "tag" };
        let import = ["import", file, "--task", task];
        place.refuse(&mut place.latch(import.iter().chain(&["--out", "run"])), &[file, ": layer ", words]);
        let inspected = succeed(&mut place.latch(import.iter().chain(&["--inspect", "--json"]))).json();
        assert_eq!(inspected["format"], "ONNX");
        assert!(inspected["stops"].as_str().is_some_and(|stops| stops.contains(words)), "{inspected}");
    }
    let shown = succeed(&mut place.latch(["import", "lstm-peepholes.onnx", "--inspect"])).stdout;
    assert!(shown.contains("peepholes") && shown.contains("format       ONNX latch goldens"), "{shown}");
}

#[test]
fn a_model_is_read_up_to_the_value_that_is_named() {
    let (place, _) = placed(&["refused-operator.onnx"]);
    let import = |more: &[&'static str]| {
        place.latch(["import", "refused-operator.onnx", "--out", "run", "--json"].iter().chain(more))
    };
    place.refuse(&mut import(&[]), &["node strange (Erf): its operator \"Erf\" is not read"]);
    place.refuse(&mut import(&["--until", "nothing"]), &["no node of it gives \"nothing\""]);
    succeed(&mut import(&["--until", "y", "--task", "tag"]));
}
