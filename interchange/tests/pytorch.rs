//! Promise: a description of the tensors of a `state_dict` computes what PyTorch computes of its module, within 1e-5. `goldens/pytorch/make.py` made the files.

mod support;

use latch_interchange::keras::Options;
use latch_interchange::{Described, Input, open, open_with, reference};
use serde_json::Value;
use support::{Goldens, LIMITS, WITHIN, disagreement, numbers};

const ARCHIVE: &str = "pytorch/pytorch.zip";

fn listed() -> Value {
    Goldens::open(ARCHIVE).listed()
}

fn read(file: &str, chain: Option<&str>) -> Result<Described, latch_interchange::Error> {
    open_with(&Goldens::open(ARCHIVE).member(file), "net", &Options { chain, ..Options::default() }, &LIMITS)
}

/// Why a case does not agree.
fn fault(case: &Value) -> Option<String> {
    let name = case["name"].as_str().expect("a name");
    let model = match read(case["file"].as_str().expect("a file"), case["chain"].as_str()) {
        Ok(model) => model,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    let (x, y) = (numbers(case, "x"), numbers(case, "y"));
    let found = match model.input {
        Input::Ids(_) => reference::of_ids(&model, &x.iter().map(|&id| id as u32).collect::<Vec<_>>()),
        Input::Samples(_) => reference::of_samples(&model, &x.iter().map(|&x| x as f32).collect::<Vec<_>>()),
    };
    disagreement(name, &found.answers, &y, WITHIN)
}

#[test]
fn modules_compute_what_pytorch_computes() {
    let listed = listed();
    let cases = listed["cases"].as_array().expect("a list");
    let faults: Vec<String> = cases.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{} of {} cases differ:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(cases.len() >= 119, "{} cases", cases.len());
}

#[test]
fn what_torch_save_writes_is_refused_with_the_line_that_was_run_to_convert_it() {
    let saved = [b"PK\x03\x04", &[0; 26][..], b"archive/data.pkl", &[7; 90], b"PK\x05\x06", &[0; 18]].concat();
    for bytes in [&saved[..], b"\x80\x02\x8a\nl\xfc"] {
        let error = open(bytes, "net.pth", &LIMITS).expect_err("no safetensors file");
        let line = listed()["line"].as_str().expect("a line").to_owned();
        assert!(error.remedy.contains(&format!("python -c \"{line}\"")), "{error}");
    }
}

#[test]
fn what_the_tensors_do_not_say_is_asked_for_with_a_chain_that_can_be_given() {
    let of = |file: &str, chain: Option<&str>| read(file, chain).expect_err(file).to_string();
    let error = of("sensor-valid.safetensors", None);
    assert!(error.contains("in which order") && error.contains("front > body.gru > body.lstm > last > "), "{error}");
    for (file, chain, words) in [
        ("sensor-valid.safetensors", "front > nobody > gru", "\"nobody\": there is no module \"nobody\""),
        (
            "sensor-valid.safetensors",
            "front > head.0 > head.2",
            "the module \"body.gru\" of the file does not stand in it",
        ),
        ("sensor-valid.safetensors", "front > linear", "\"linear\": it could be head.0 or head.2"),
        ("sensor-valid.safetensors", "front k9", "\"k9\" says nothing of this module"),
        ("sensor-valid.safetensors", "front > front", "stands in the chain already"),
        ("sensor-valid.safetensors", "front > > gru", "it is empty"),
        ("sensor-valid.safetensors", "last", "its chain has no module"),
        (
            "sensor-valid.safetensors",
            "front relu > lstm",
            "tensor body.lstm.weight_ih_l0: its shape is [16, 5], but [16, 4]",
        ),
        ("texts-last.safetensors", "rnn > last > fc", "the module \"embed\" of the file does not stand in it"),
        ("texts-last.safetensors", "embed > fc", "tensor fc.weight"),
    ] {
        let error = of(file, Some(chain));
        assert!(error.contains(words), "{chain}: {error}");
    }
}
