//! Promise: an ONNX model that is damaged, or is no chain of layers, is refused by the name of the node or the tensor. `goldens/onnx/make.py` made the models.

use std::io::{Cursor, Read};
use std::path::Path;

use latch_interchange::keras::Options;
use latch_interchange::{Described, Error, Limits, open, open_with};
use zip::ZipArchive;

const LIMITS: Limits = Limits { rows: 1 << 20, width: 2048, layers: 32 };

/// A model of the goldens.
fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/onnx/onnx.zip");
    let bytes = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("it is an archive");
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap_or_else(|_| panic!("no {name}")).read_to_end(&mut bytes).expect("it is whole");
    bytes
}

fn read(bytes: &[u8]) -> Result<Described, Error> {
    open(bytes, "net", &LIMITS)
}

#[test]
fn what_a_description_does_not_have_is_refused_by_the_name_of_the_node() {
    for (name, words) in [
        ("branches", "net: node joined (Add): it joins two branches of the model"),
        ("operator", "net: node strange (Erf): its operator \"Erf\" is not read"),
        ("domain", "net: node own (Mine): its operator \"Mine\" of the domain \"my.domain\" is not read"),
        ("scan", "net: node unrolled (Scan): its recurrence is spelled out as a Scan"),
        ("loop", "net: node looped (Loop): its recurrence is spelled out as a Loop"),
        ("backwards", "net: output add_"),
        ("part", "net: node product (MatMul): it reads a part of an input"),
        ("undefined", "net: node y (LSTM): nothing before it gives its input \"nothing\""),
        ("lengths", "net: node y (LSTM): its sequence_lens say 2 of 5 steps"),
        ("clip", "net: node y (LSTM): its clip is -1, and not a positive number"),
        ("layout", "net: node y (LSTM): its layout is 2"),
        ("activation", "net: node y (LSTM): its activation \"Swish\" is not read"),
        ("activations", "net: node y (LSTM): it names 2 activations, and 3 are declared"),
        ("alpha", "net: layer y: a number of its leaky relu is inf"),
        ("states", "net: node y (LSTM): its sequences begin in different states: those of 0 and of 1"),
        ("computed-weights", "net: node odd (LSTM): its input 1 is data, where weights of the file are read"),
        ("outputs", "net: it has 2 outputs: "),
        ("step", "net: node third (Gather): it takes the step 2, and a stream keeps the last one"),
        ("flatten", "net: node flat (Flatten): it puts steps and features side by side into one vector"),
        ("apart", "net: node act (Tanh): it reads two directions that stand apart"),
        ("dilation", "net: node conv (Conv): its window has gaps (dilations)"),
        ("groups", "net: node conv (Conv): its features are in groups"),
        ("pads", "net: node conv (Conv): it pads 1 steps before and 0 behind, and its window has 3"),
        ("axes", "net: node sideways (LSTM): it reads axis 0 as steps, and that axis counts sequences"),
        ("if", "net: node reducemax_"),
    ] {
        let error = read(&golden(&format!("refused-{name}.onnx"))).expect_err(words).to_string();
        assert!(error.starts_with(words), "{name}: {error}");
    }
}

#[test]
fn what_is_nearly_a_cell_that_is_spelled_out_is_refused_by_the_name_of_the_node() {
    let one_step = "export one step, with its states as inputs and as outputs, or export an LSTM, a GRU or an RNN";
    let as_it_is = "spell it out as docs/frameworks.md has it, or export an LSTM, a GRU or an RNN";
    let comes_back = "export it so that each state that comes in goes out, in a tensor of the same shape";
    for (name, problem, remedy) in [
        ("states", "node next: its state behind the step is no output of the model", comes_back),
        ("joined", "none of its outputs is made of its inputs: concat_", "export the part that is one chain of layers"),
        ("places", "input states: no output gives the states that it brings, each in its place", comes_back),
        ("unrolled", "node again (Mul): no cell of the step before comes in as an input of the model", one_step),
        ("gates", "node next (Mul): its gates go through different activations", as_it_is),
        ("peephole", "node next (Mul): its gates do not all read the same input and the same state", as_it_is),
        ("reset", "node next (Add): its candidates have no reset gate that acts on its state", as_it_is),
        (
            "branches",
            "node joined (Mul): it joins two branches of the model, which are no recurrent cell",
            "export the",
        ),
        ("shared", "input h_in: no output gives the states that it brings", comes_back),
        ("steps", "node gemm_", "export one with its states as inputs and outputs, or an LSTM, a GRU or an RNN"),
    ] {
        let error = read(&golden(&format!("refused-cell-{name}.onnx"))).expect_err(problem).to_string();
        assert!(error.starts_with(&format!("net: {problem}")) && error.contains(remedy), "{name}: {error}");
    }
}

#[test]
fn a_tensor_that_does_not_fit_is_named_with_what_is_declared_and_what_is_there() {
    for (name, words) in [
        ("external", "net: tensor weight_1: its numbers are in weights.bin, beside the model; save one file"),
        ("units", "net: tensor weight_2: its shape is [1, 16, 4], but [1, 20, 5] is declared by node y"),
        ("short", "net: tensor weight_2: its shape is [1, 16, 4], but it has 63 numbers (252 bytes)"),
        ("nan", "net: tensor weight_3: value 11 is NaN in f32"),
        ("inputs", "net: tensor weight_1: its shape is [1, 16, 3], of 3 inputs, but 6 features are declared"),
        ("ints", "net: tensor weight_1: its numbers are integers without a scale"),
        ("bias", "net: tensor weight_3: its shape is [3], but one number for each of [2] is declared"),
    ] {
        let error = read(&golden(&format!("refused-{name}.onnx"))).expect_err(words).to_string();
        assert!(error.starts_with(words), "{name}: {error}");
    }
}

#[test]
fn the_value_that_is_wanted_can_be_named_and_nothing_else_is_read() {
    let until = |file: &str, name| {
        open_with(&golden(file), "net", &Options { until: Some(name), ..Options::default() }, &LIMITS)
    };
    // What stands above is not looked at.
    assert_eq!(until("refused-operator.onnx", "y").expect("an LSTM").layers.len(), 1);
    let error = until("refused-operator.onnx", "z").expect_err("no such value").to_string();
    assert!(error.starts_with("net: no node of it gives \"z\"; name one of its values"), "{error}");
    let chain = Options { chain: Some("lstm 4"), ..Options::default() };
    let error = open_with(&golden("refused-operator.onnx"), "net", &chain, &LIMITS).expect_err("a chain").to_string();
    assert!(error.starts_with("net: a chain is given"), "{error}");
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_ends() {
    let file = golden("torch-stacked.onnx");
    for end in 3..file.len() {
        let error = read(&file[..end]).expect_err("it is cut off").to_string();
        assert!(error.starts_with("net: "), "{end}: {error}");
    }
    let error = read(&file[..file.len() / 2]).expect_err("it is cut off").to_string();
    assert!(error.contains("this ONNX model is cut off or damaged"), "{error}");
}

#[test]
fn what_a_model_says_of_itself_is_kept() {
    let model = read(&golden("torch-stacked.onnx")).expect("a model");
    assert_eq!((model.source.format.name(), model.source.version.as_deref()), ("ONNX", Some("pytorch")));
    let names: Vec<&str> = model.layers.iter().map(|layer| layer.kind.name()).collect();
    assert_eq!(names, ["lstm", "lstm", "last", "dense"]);
}
