//! Promise: an ONNX model becomes a run whose f32 image answers what ONNX Runtime answered, and what no image holds is refused by the layer's name. The models are
//! those of `interchange/tests/goldens/onnx`.

use serde_json::Value;

use crate::goldens::{answers, numbers, placed};
use crate::support::{Place, succeed};

const ARCHIVE: &str = "onnx/onnx.zip";

/// The input and the output of the first sequence of a golden.
fn golden(cases: &Value, file: &str) -> (Vec<f64>, Vec<f64>) {
    let case = cases.as_array().and_then(|cases| cases.iter().find(|case| case["file"] == file)).expect("a case");
    let sequences = case["sequences"].as_u64().expect("a count") as usize;
    let first = |key: &str| -> Vec<f64> {
        let all = numbers(case, key);
        all[..all.len() / sequences].to_vec()
    };
    (first("x"), first("y"))
}

#[test]
fn models_of_samples_answer_what_onnx_runtime_answered() {
    let names = [
        "torch-stacked.onnx",
        "tf-time-distributed.onnx",
        "states-dense.onnx",
        "step-by-step.onnx",
        "spelled-dtln.onnx",
        "spelled-three.onnx",
        "lstm-bidirectional-last.onnx",
        "gru-bidirectional-last.onnx",
        "gru-bidirectional-layout-1-last.onnx",
    ];
    let (place, cases) = placed(ARCHIVE, &names);
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
fn cells_with_options_become_a_run_that_exports_in_floats_and_says_so_of_integers() {
    let names = ["lstm-peepholes-coupled-clip.onnx", "gru-clip.onnx", "lstm-hard-sigmoid.onnx"];
    let (place, cases) = placed(ARCHIVE, &names);
    for name in names {
        let run = format!("run-of-{name}");
        succeed(&mut place.latch(["import", name, "--task", "tag", "--out", &run, "--json"]));
        let (x, y) = golden(&cases, name);
        let found = answers(&place, &run, &x);
        assert_eq!(found.len(), y.len(), "{name}: {found:?}");
        found.iter().zip(&y).for_each(|(found, y)| assert!((found - y).abs() < 1e-5, "{name}: {found} {y}"));
        let export =
            |precision: &str| place.latch(["export", "--run", &run, "--precision", precision, "--out", "new.latch"]);
        succeed(&mut export("f16"));
        let words = "images have a variant of a recurrent cell in f32 and f16 only, not in int8";
        place.refuse(&mut export("int8"), &[words, "--precision f16"]);
    }
    let inspected = succeed(&mut place.latch(["inspect", "new.latch"])).stdout;
    assert!(inspected.contains("lstm 4 gates=hard_sigmoid") && inspected.contains("\"variant\""), "{inspected}");
}

#[test]
fn what_no_image_has_is_refused_by_the_layers_name() {
    let lacking = [
        ("lstm-cells", "its cells go through softsign, and no image has that"),
        ("gru-activations", "its candidates go through softsign, and no image has that"),
        ("rnn-elu", "its sums go through elu, and no image has that"),
        ("gru-bidirectional-steps", "it knows nothing before its sequence has ended, and the model answers each step"),
        ("rnn-reverse-last", "it reads the steps back from the last one, and a device has no future"),
    ];
    let files: Vec<String> = lacking.iter().map(|(name, _)| format!("{name}.onnx")).collect();
    let (place, _) = placed(ARCHIVE, &files.iter().map(String::as_str).collect::<Vec<_>>());
    for (file, (_, words)) in files.iter().zip(lacking) {
        let task = if file.contains("last") { "classify" } else { "tag" };
        let import = ["import", file, "--task", task];
        place.refuse(&mut place.latch(import.iter().chain(&["--out", "run"])), &[file, ": layer ", words]);
        let inspected = succeed(&mut place.latch(import.iter().chain(&["--inspect", "--json"]))).json();
        assert_eq!(inspected["format"], "ONNX");
        assert!(inspected["stops"].as_str().is_some_and(|stops| stops.contains(words)), "{inspected}");
    }
    let shown = succeed(&mut place.latch(["import", "lstm-cells.onnx", "--inspect"])).stdout;
    assert!(shown.contains("cells through softsign") && shown.contains("format       ONNX latch goldens"), "{shown}");
}

#[test]
fn a_model_is_read_up_to_the_value_that_is_named() {
    let (place, _) = placed(ARCHIVE, &["refused-operator.onnx"]);
    let import = |more: &[&'static str]| {
        place.latch(["import", "refused-operator.onnx", "--out", "run", "--json"].iter().chain(more))
    };
    place.refuse(&mut import(&[]), &["node strange (Erf): its operator \"Erf\" is not read"]);
    place.refuse(&mut import(&["--until", "nothing"]), &["no node of it gives \"nothing\""]);
    succeed(&mut import(&["--until", "y", "--task", "tag"]));
}

/// Files of a trained classifier of texts: as Latch exports it, and as if another program had written it, whose metadata mean nothing.
fn exported() -> Place {
    let place = Place::with_data(200);
    // The attention of the usual run is spelled out in ONNX, and not read back.
    place.train("run", &["--model", "text 80 > embedding 4 > lstm 8 > last > dense"]);
    succeed(&mut place.latch(["export", "--run", "run", "--format", "onnx", "--out", "own.onnx"]));
    let own = place.read("own.onnx");
    let at = own.windows(6).position(|bytes| bytes == b"\x05latch").expect("the name of the program");
    place.write("other.onnx", [&own[..at], b"\x05other", &own[at + 6..]].concat());
    let classes = own.windows(9).position(|bytes| bytes == b"classify\x72").map(|at| at + 9).expect("the classes");
    let list = classes + own[classes..].iter().position(|&byte| byte == b']').expect("a list");
    place.write("odd.onnx", [&own[..list], b"}", &own[list + 1..]].concat());
    place
}

#[test]
fn a_classifier_of_texts_comes_back_with_its_classes_and_linear_logits_of_another_program_are_those_of_classes() {
    let place = exported();
    let import = |file: &str, out: &str, more: &[&str]| {
        let mut command = place.latch(["import", file, "--vocabulary", "run/vocabulary.txt", "--out", out, "--json"]);
        command.args(more);
        command
    };
    let text = "text that the film is";
    let probability = |run: &str| {
        let image = format!("{run}.latch");
        let export = ["export", "--run", run, "--precision", "f32", "--no-calibrate", "--out", &image];
        succeed(&mut place.latch(export));
        let said = succeed(&mut place.latch(["predict", "--image", &image, text, "--json"])).json();
        (said["class"].clone(), said["probability"].as_f64().expect("a number"))
    };
    let trained = probability("run");
    let own = succeed(&mut import("own.onnx", "own", &[])).json();
    assert_eq!((own["task"].as_str(), own["classes"].as_array().map(Vec::len)), (Some("classify"), Some(2)), "{own}");
    let back = probability("own");
    assert!(back.0 == trained.0 && (back.1 - trained.1).abs() < 1e-5, "{back:?} {trained:?}");
    // Another program's last layer without an activation may be anything: values, unless the user says it.
    let values = succeed(&mut import("other.onnx", "values", &[]));
    assert!(values.json()["task"] == "regress" && !values.stderr.contains("taken as"), "{values:?}");
    let classes = succeed(&mut import("other.onnx", "classes", &["--task", "classify"]));
    assert_eq!((classes.json()["task"].as_str(), classes.json()["classes"][0].as_str()), (Some("classify"), None));
    let words = "its last layer gives one number, taken as the logit of the second of two classes (sigmoid)";
    assert!(classes.stderr.contains(words), "{classes:?}");
    assert!((probability("classes").1 - trained.1).abs() < 1e-5);
    let told = succeed(&mut import("own.onnx", "told", &["--task", "regress"])).json();
    assert_eq!((told["task"].as_str(), told["classes"].as_array().map(Vec::len)), (Some("regress"), Some(0)), "{told}");
    let words = "own.onnx: tag has an answer a token, and the network pools them; name another --task";
    place.refuse(&mut import("own.onnx", "tags", &["--task", "tag"]), &[words]);
    place.refuse(&mut import("odd.onnx", "odd", &[]), &["odd.onnx: metadata classes: it is", "not a list of names"]);
}

#[test]
fn two_directions_behind_strides_keep_the_steps_that_they_read_of_the_longest_sequence() {
    let place = Place::with_data(200);
    let model = "text 80 > embedding 4 > maxpool 3 s2 > bilstm 5 > last > dense";
    place.train("run", &["--model", model, "--epochs", "1"]);
    succeed(&mut place.latch(["export", "--run", "run", "--format", "onnx", "--out", "net.onnx"]));
    let import = ["import", "net.onnx", "--vocabulary", "run/vocabulary.txt", "--longest", "40", "--out", "back"];
    let said = succeed(&mut place.latch(import)).stdout;
    // The windows end at the steps 2, 4 … 38.
    assert!(said.contains("maxpool 3 s2 > bilstm 5 steps=19 > last"), "{said}");
}
