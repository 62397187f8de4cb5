//! Promise: whoever imports a model reads what is inside its file, what stops it, what was taken for granted and what to do, in words that are true of `latch import`.

use crate::support::{Place, answer, assert_refused, succeed, tree};

/// A convolution of one sample in RTNeural's JSON.
const CONV: &str = r#"{"in_shape":[null,null,1],"layers":[
    {"type":"conv1d","activation":"","shape":[null,null,1],"kernel_size":[1],"dilation":[1],"weights":[[[[0.5]]],[0.1]]}]}"#;

/// A bias of the dense layer of [`state_dict`].
const BIAS: &str = r#","dense.bias":[0.5]"#;

/// A GRU of one unit and a dense layer, as a `state_dict`, with these entries behind.
fn state_dict(more: &str) -> String {
    format!(
        r#"{{"gru.weight_ih_l0":[[0.5],[0.2],[0.1]],"gru.weight_hh_l0":[[0.1],[0.2],[0.3]],
        "gru.bias_ih_l0":[0,0.1,0.2],"gru.bias_hh_l0":[0.1,0,0.1],"dense.weight":[[1.5]]{more}}}"#
    )
}

#[test]
fn a_probe_that_cannot_be_read_is_refused_with_what_an_import_can_do() {
    let place = Place::with_data(20);
    place.write("gru.json", state_dict(BIAS));
    for (table, problem) in [
        ("x\n1\n\n2\n?\n", "is missing"),
        ("time,x\n1,2\n2,nan\n", "is missing"),
        ("name,note\nc,a\nd,b\n", "channels"),
        ("series,x\na,1\nb,2\n", "it has 2 series; give one of them"),
    ] {
        place.write("probe.csv", table);
        let refused =
            answer(&mut place.latch(["import", "gru.json", "--probe", "probe.csv", "--out", "run", "--json"]));
        assert_refused(&refused, &["probe.csv", problem]);
        assert!(!refused.stderr.contains("--missing") && !refused.stderr.contains("--channels"), "{refused:?}");
    }
    assert!(!place.file("run").exists());
}

#[test]
fn an_import_goes_into_a_new_or_an_empty_folder_alone() {
    let place = Place::with_data(20);
    place.write("gru.json", state_dict(BIAS));
    let import = |out: &str| place.latch(["import", "gru.json", "--out", out, "--json"]);
    std::fs::create_dir(place.file("empty")).expect("a folder");
    succeed(&mut import("empty"));
    let refused = answer(&mut import("empty"));
    assert_refused(&refused, &["empty: this folder already holds a run; name another folder"]);
    assert!(!refused.stderr.contains("--resume"), "{refused:?}");
    let before = tree(place.path());
    place.refuse(&mut import("data"), &["data: this folder holds other files, such as ", "name a new folder"]);
    assert!(tree(place.path()) == before);
}

#[test]
fn a_file_that_is_empty_or_damaged_is_called_what_it_is() {
    let place = Place::with_data(20);
    for (bytes, said) in [
        (&b""[..], "model: the file is empty; copy or export it again"),
        (&CONV.as_bytes()[1..], "model: this is JSON that is damaged"),
        (&CONV.as_bytes()[..60], "model: this is no whole JSON of a model"),
        (b"label,text\n0,a\n", "model: this is text, and no file of a model"),
        (b"\xff\xfe{\0\"\0", "model: this is text in UTF-16"),
        (
            b"PK\x03\x04....metadata.json{\"keras_version\": \"3.1\"}",
            "model: this is a .keras archive that is cut off; copy",
        ),
    ] {
        place.write("model", bytes);
        for more in [&["--out", "run"][..], &["--inspect"]] {
            let refused = answer(place.latch(["import", "model", "--json"]).args(more));
            assert_refused(&refused, &[said]);
            assert!(!refused.stderr.contains("safetensors"), "{refused:?}");
        }
    }
}

#[test]
fn what_is_inside_a_model_that_is_refused_is_shown_before_what_stops_it() {
    let place = Place::with_data(20);
    let wave = r#"{"version":"0.5.4","architecture":"WaveNet","config":{"layers":[{"channels":16}],"head_scale":0.02},
        "weights":[1,2,3,4,5,6,7,8,9]}"#;
    let prelu = CONV.replace("\"conv1d\"", "\"prelu\"");
    let header = r#"{"encoder.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    // A graph of one node, x -> Loop -> y.
    let graph = b"\x0a\x0c\x0a\x01x\x12\x01y\x22\x04Loop";
    let onnx = [&b"\x08\x08\x12\x04tool\x3a"[..], &[graph.len() as u8], graph, b"\x42\x02\x10\x0d"].concat();
    for (bytes, format, inside, stops) in [
        (&onnx[..], "ONNX", "inside       node 0: Loop: x -> y", "model: "),
        (wave.as_bytes(), "Neural Amp Modeler", "inside       config.layers[0]: channels 16", "it is \"WaveNet\""),
        (prelu.as_bytes(), "RTNeural", "inside       layers[0]: type \"prelu\"", "layers[0].type: it is \"prelu\""),
        (&safetensors, "safetensors", "inside       tensor encoder.weight: [1, 2]", "say it with a chain"),
        (b"GGUF\x03\0\0\0", "a GGUF file of a language model", "", "this is a GGUF file"),
    ] {
        place.write("model", bytes);
        let before = tree(place.path());
        let said = succeed(&mut place.latch(["import", "model", "--inspect"])).stdout;
        let first = said.lines().next().unwrap_or_default();
        assert_eq!(first, format!("format       {format}"), "{said}");
        assert!(said.contains(inside) && said.lines().last().is_some_and(|line| line.contains(stops)), "{said}");
        assert!(said.contains("import       stops: model: ") && !said.contains("weights      "), "{said}");
        let line = succeed(&mut place.latch(["import", "model", "--inspect", "--json"])).json();
        assert!(
            line["stops"].as_str().is_some_and(|reason| reason.contains(stops)) && line["weights"].is_null(),
            "{line}"
        );
        assert_eq!(line["found"].as_array().map_or(0, Vec::len) > 0, !inside.is_empty(), "{line}");
        assert!(tree(place.path()) == before);
        assert_refused(&answer(&mut place.latch(["import", "model", "--out", "run", "--json"])), &[stops]);
    }
}

#[test]
fn ranges_of_convolutions_are_named_where_there_are_convolutions() {
    let place = Place::with_data(20);
    for (name, model, convolves) in [("gru.json", state_dict(BIAS), false), ("conv.json", CONV.to_owned(), true)] {
        place.write(name, model);
        let run = format!("run-{name}");
        let said = succeed(&mut place.latch(["import", name, "--out", &run])).stdout;
        assert_eq!(said.contains("ranges of convolutions"), convolves, "{said}");
        let said = succeed(&mut place.latch(["export", "--run", &run, "--out", "new.latch"])).stdout;
        assert_eq!(said.contains("ranges of convolutions"), convolves, "{said}");
    }
}

#[test]
fn what_a_file_leaves_open_is_said() {
    let place = Place::with_data(20);
    let brings = |batch: &str| CONV.replacen('{', &format!("{{{batch},"), 1);
    let not_compared = "warning: net.json: the file's own input and answers are not compared: ";
    for (number, (file, said)) in [
        (state_dict(""), "warning: net.json: dense.bias is missing, and taken as zeros"),
        (state_dict(BIAS), ""),
        (brings("\"input_batch\":[0,1,2],\"output_batch\":[0.1,0.6]"), not_compared),
        (brings("\"input_batch\":[0,1,2]"), "output_batch is missing"),
        (brings("\"input_batch\":[0,1],\"output_batch\":[0.1,0.6]"), ""),
    ]
    .into_iter()
    .enumerate()
    {
        place.write("net.json", file);
        let told = succeed(&mut place.latch(["import", "net.json", "--out", &format!("run{number}")])).stderr;
        assert!(told.contains(said) && (told.is_empty() || !said.is_empty()), "{told}");
        let inspected = succeed(&mut place.latch(["import", "net.json", "--inspect"])).stdout;
        assert_eq!(inspected.contains("note         remark: "), !said.is_empty(), "{inspected}");
    }
    // A model that no run can have stops an import, and is shown to.
    let dense = CONV.replace("\"conv1d\"", "\"dense\"").replace("[[[0.5]]]", "[[0.5]]");
    place.write("net.json", dense);
    let stops = "net.json: the model must be of at least one recurrent layer or convolution";
    place.refuse(&mut place.latch(["import", "net.json", "--out", "dense", "--json"]), &[stops]);
    let inspected = succeed(&mut place.latch(["import", "net.json", "--inspect"])).stdout;
    assert!(inspected.contains(&format!("import       stops: {stops}")), "{inspected}");
}

#[test]
fn a_rate_that_is_no_number_of_frames_a_second_is_refused_with_its_place() {
    let place = Place::with_data(20);
    for rate in ["-1", "0", "\"fast\""] {
        place.write(
            "amp.nam",
            format!(
                r#"{{"architecture":"LSTM","config":{{"input_size":1,"hidden_size":1,"num_layers":1}},"sample_rate":{rate},
                "weights":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}"#
            ),
        );
        let refused = answer(&mut place.latch(["import", "amp.nam", "--out", "run", "--json"]));
        assert_refused(&refused, &["amp.nam: sample_rate: it is ", "frames a second"]);
    }
}
