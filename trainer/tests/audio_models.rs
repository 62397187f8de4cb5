//! Promise: an audio model that another tool trained becomes a run without data, and its images compute what that tool computed. The models and their references stand in
//! `interchange/tests/models`.

use std::path::{Path, PathBuf};

use latch_trainer::dataset::Part;
use latch_trainer::series::{SeriesReading, Sound, load, write_numbers};
use serde_json::Value;

use crate::support::{Place, answer, assert_refused, succeed, tree};

/// Each model, how far its f32 image may be from its own tool, and the signal-to-noise ratio of its images of int16 and int8 in decibels that is held.
const MODELS: [(&str, f64, f64, f64); 4] = [
    ("lstm_1d.json", 1e-6, 60.0, 35.0),
    ("gru_torch.json", 1e-6, 60.0, 40.0),
    ("lstm_example.nam", 2e-5, 60.0, 30.0),
    ("lstm4_ts9_pytorch.json", 1e-5, 60.0, 30.0),
];

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../interchange/tests/models")
}

/// A folder with a model and its reference input as `x.csv`, and the outputs of its own tool.
fn placed(name: &str) -> (Place, Vec<f64>) {
    let place = Place::with_data(20);
    place.write(name, std::fs::read(models().join(name)).expect("a model"));
    let table = std::fs::read_to_string(models().join(name).with_extension("csv")).expect("a reference");
    let (x, y): (Vec<&str>, Vec<f64>) = table
        .lines()
        .map(|line| line.split_once(',').expect("x,y"))
        .map(|(x, y)| (x, y.parse::<f64>().expect("a number")))
        .unzip();
    place.write("x.csv", x.join("\n") + "\n");
    (place, y)
}

/// Imports a model with its reference input as the probe.
fn imported(place: &Place, name: &str) -> Value {
    succeed(&mut place.latch(["import", name, "--probe", "x.csv", "--out", "run", "--json"])).json()
}

/// What the image of a precision answers to a series.
fn answers(place: &Place, precision: &str) -> Vec<f64> {
    let image = format!("{precision}.latch");
    succeed(&mut place.latch(["export", "--run", "run", "--precision", precision, "--out", &image]));
    succeed(&mut place.latch(["run", "--image", &image, "--data", "x.csv", "--out", "y.npy"]));
    written(place).into_iter().map(f64::from).collect()
}

/// The array that was written.
fn written(place: &Place) -> Vec<f32> {
    let set = load(&place.file("y.npy"), Part::Test, &SeriesReading::one_series()).expect("an array");
    set.series[0].frames.to_vec()
}

/// 10·log10(Σ y² / Σ (y − ŷ)²)
fn signal_to_noise(y: &[f64], found: &[f64]) -> f64 {
    let noise: f64 = y.iter().zip(found).map(|(y, found)| (y - found).powi(2)).sum();
    10.0 * (y.iter().map(|y| y * y).sum::<f64>() / noise).log10()
}

#[test]
fn every_model_computes_in_f32_what_its_own_tool_computed_and_in_integers_with_little_noise() {
    println!("model: f32 off by; signal to noise of int16, int8 against f32");
    for (name, most, int16, int8) in MODELS {
        let (place, y) = placed(name);
        let line = imported(&place, name);
        let parity = line["parity"].as_array().expect("a row a layer");
        assert_eq!(
            (parity.last().expect("the answer")["layer"].as_str(), parity.len()),
            (Some("answer"), parity.len())
        );
        for row in parity {
            let (value, difference) = (row["largest_value"].as_f64(), row["largest_difference"].as_f64());
            assert!(difference.expect("a number") <= 1e-5 * value.expect("a number").max(1.0), "{name}: {row}");
        }
        let f32 = answers(&place, "f32");
        assert_eq!(f32.len(), y.len());
        let off = f32.iter().zip(&y).map(|(found, y)| (found - y).abs()).fold(0.0, f64::max);
        let ratios = ["int16", "int8"].map(|precision| signal_to_noise(&f32, &answers(&place, precision)));
        println!("{name}: {off:.1e}; {:.1} dB, {:.1} dB", ratios[0], ratios[1]);
        assert!(off <= most, "{name}: off by {off:.1e}");
        assert!(ratios[0] >= int16 && ratios[1] >= int8, "{name}: {ratios:?}");
    }
}

#[test]
fn an_export_of_an_imported_model_needs_no_data_and_says_what_it_took_for_granted() {
    let (place, _) = placed("gru_torch.json");
    imported(&place, "gru_torch.json");
    let export = |precision: &'static str| ["export", "--run", "run", "--precision", precision, "--out", "a.latch"];
    let said = succeed(&mut place.latch(export("int16"))).stdout;
    for words in [
        "1 series of x.csv, as its file describes them, through the engine",
        "SNR to f32",
        "assumed: samples of magnitude 1 at most, one of 16 bits worth 0.000030517578",
        "wrote a.latch (int16",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    for precision in ["f32", "f16", "int16", "int8"] {
        let line = succeed(place.latch(export(precision)).arg("--json")).json();
        assert!(line["assumed"].is_string() && line["accuracy"].as_f64() > Some(0.9), "{line}");
        assert_eq!(line["judged_on"], "x.csv, as its file describes them");
        assert_eq!(line["signal_to_noise_db"].as_f64() >= Some(10.0), precision != "f32", "{line}");
    }
    // The same run gives the same image.
    let first = place.read("a.latch");
    succeed(&mut place.latch(export("int8")));
    assert!(place.read("a.latch") == first);
    let more = ["eval", "--image", "a.latch", "--data", "x.csv"];
    assert_refused(&answer(&mut place.latch(more)), &["x.csv"]);
}

#[test]
fn a_sound_goes_through_an_imported_model_and_gains_and_skip_are_in_the_image() {
    let (place, _) = placed("lstm_1d.json");
    place.write("aida.json", std::fs::read(models().join("aida.json")).expect("a model"));
    let line = succeed(&mut place.latch(["import", "aida.json", "--out", "aida", "--json"])).json();
    assert!(line["own_answers_difference"].as_f64().expect("its own answers") < 1e-6, "{line}");
    assert_eq!((line["format"].as_str(), line["layout"].as_str()), (Some("RTNeural"), Some("keras")));
    let sound = Sound { rate: 48_000, bits: 16 };
    let x: Vec<f32> = (0..400).map(|step| 0.5 * (step as f32 * 0.1).sin()).collect();
    write_numbers(&place.file("x.wav"), &x, &[x.len(), 1], Some(sound)).expect("a sound");
    for precision in ["f32", "int16"] {
        succeed(&mut place.latch(["export", "--run", "aida", "--precision", precision, "--out", "aida.latch"]));
        succeed(&mut place.latch(["run", "--image", "aida.latch", "--data", "x.wav", "--out", "y.npy"]));
        let y = written(&place);
        assert_eq!(y.len(), x.len());
        // The first answer to silence is that of the file.
        assert!((y[0] - 0.240_529_22).abs() < 1e-3, "{precision}: {}", y[0]);
    }
}

#[test]
fn what_is_inside_a_file_is_shown_and_nothing_is_written() {
    let (place, _) = placed("lstm4_ts9_pytorch.json");
    let before = tree(place.path());
    let said = succeed(&mut place.latch(["import", "lstm4_ts9_pytorch.json", "--inspect"])).stdout;
    for words in [
        "format       GuitarML",
        "input        samples, 1 channel: input",
        "layer        rec: lstm, 1 -> 4, tanh",
        "rec.weight_hh_l0 [16, 4]",
        "skip         channel 0 is added to the answer",
        "weights      101",
        "import       as it is",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let line = succeed(&mut place.latch(["import", "lstm4_ts9_pytorch.json", "--inspect", "--json"])).json();
    assert_eq!(
        (line["format"].as_str(), line["skip"].as_u64(), line["stops"].is_null()),
        (Some("GuitarML"), Some(0), true)
    );
    assert_eq!(line["layers"][0]["tensors"][1], serde_json::json!(["rec.weight_hh_l0", [16, 4]]));
    place.write("tanh.json", CONV.replace("relu", "tanh"));
    let line = succeed(&mut place.latch(["import", "tanh.json", "--inspect", "--json"])).json();
    let stops =
        "tanh.json: layer layers[0], conv1d: a convolution of an image has relu or none, not tanh; train it with relu";
    assert_eq!(line["stops"], stops);
    std::fs::remove_file(place.file("tanh.json")).expect("a file");
    assert!(tree(place.path()) == before);
}

/// A convolution that ends the model, whose image ends with an identity.
const CONV: &str = r#"{"in_shape":[null,null,1],"layers":[
    {"type":"conv1d","activation":"relu","shape":[null,null,1],"kernel_size":[2],"dilation":[1],"weights":[[[[1]],[[0.5]]],[0.1]]}]}"#;

#[test]
fn a_model_that_ends_with_no_linear_layer_is_followed_by_an_identity() {
    let (place, _) = placed("lstm_1d.json");
    place.write("conv.json", CONV);
    let line = succeed(&mut place.latch(["import", "conv.json", "--out", "conv", "--json"])).json();
    assert!(line["parity"][1]["largest_difference"].as_f64() < Some(1e-6), "{line}");
    for precision in ["f32", "int16", "int8"] {
        let export = ["export", "--run", "conv", "--precision", precision, "--out", "conv.latch", "--json"];
        let line = succeed(&mut place.latch(export)).json();
        assert!(line["accuracy"].as_f64() > Some(0.999), "{line}");
    }
}

#[test]
fn a_convolution_with_a_stride_is_compared_where_it_answers_and_judged_at_every_frame() {
    let (place, _) = placed("lstm_1d.json");
    let strided = CONV.replace("\"dilation\"", "\"strides\":[2],\"dilation\"");
    for (name, model) in [("conv", strided.clone()), ("skip", strided.replacen('{', "{\"in_skip\":1,", 1))] {
        let file = format!("{name}.json");
        place.write(&file, model);
        let said = succeed(&mut place.latch(["import", &file, "--out", name, "--json"]));
        let line = said.json();
        let parity = line["parity"].as_array().expect("a row a layer");
        assert_eq!((&parity[0]["values"], &parity[1]["values"]), (&500.into(), &1000.into()), "{line}");
        assert!(parity.iter().all(|row| row["largest_difference"].as_f64() < Some(1e-6)), "{line}");
        assert!(!said.stderr.contains("warning"), "{said:?}");
        let export = ["export", "--run", name, "--precision", "f32", "--out", "f32.latch", "--json"];
        let line = succeed(&mut place.latch(export)).json();
        assert!(line["accuracy"].as_f64() > Some(0.999_999), "{line}");
    }
}

#[test]
fn an_image_that_computes_something_else_than_its_file_is_warned_of() {
    let (place, _) = placed("lstm_example.nam");
    let quiet = ["import", "lstm_example.nam", "--full-scale", "1e-6", "--out", "quiet"];
    let said = succeed(&mut place.latch(quiet)).stderr;
    assert!(said.contains("the f32 image differs from the file in ") && said.contains("--full-scale"), "{said}");
    let right = succeed(&mut place.latch(["import", "lstm_example.nam", "--out", "right"])).stderr;
    assert!(!right.contains("warning"), "{right}");
}

#[test]
fn what_cannot_be_imported_is_refused_by_name_and_nothing_is_made() {
    let (place, _) = placed("lstm_1d.json");
    let import = |file: &'static str, more: &[&'static str]| {
        place.latch(["import", file, "--out", "run", "--json"].iter().chain(more))
    };
    let whole = String::from_utf8(place.read("lstm_1d.json")).expect("text");
    place.write("wide.json", whole.replacen("                8\n", "                16\n", 1));
    place.refuse(&mut import("wide.json", &[]), &["tensor layers[0].weights[0]: its shape is [1, 32], but [1, 64]"]);
    place.write("wave.nam", r#"{"version":"0.5.4","architecture":"WaveNet","config":{},"weights":[]}"#);
    place.refuse(&mut import("wave.nam", &[]), &["wave.nam: architecture: it is \"WaveNet\"", "train an LSTM"]);
    place.write("cut.json", &whole[..whole.len() / 2]);
    place.refuse(&mut import("cut.json", &[]), &["cut.json: this is no whole JSON of a model"]);
    let lstm = "lstm_1d.json";
    place.refuse(&mut import(lstm, &["--pooling", "mean"]), &["--pooling: it is for models of texts"]);
    place.refuse(&mut import(lstm, &["--data", "data"]), &["--data: ", "reads samples", "--probe"]);
    place.refuse(
        &mut import(lstm, &["--task", "regress"]),
        &["lstm_1d.json: regress has one answer, and the model pools no steps"],
    );
    place.refuse(&mut import(lstm, &["--probe", "nothing.wav"]), &["nothing.wav"]);
    place.write("two.csv", "1,2\n3,4\n");
    place.refuse(&mut import(lstm, &["--probe", "two.csv"]), &["two.csv: it has 2 channels, and the model reads 1"]);
    place.refuse_usage(&mut import(lstm, &["--full-scale", "0"]), &["must be a positive number"]);
    place.refuse_usage(&mut place.latch(["import", lstm]), &["--out"]);
    succeed(&mut import(lstm, &["--full-scale", "10"]));
    let tensors = ["export", "--run", "run", "--format", "safetensors", "--layout", "keras", "--out", "net", "--json"];
    place.refuse(&mut place.latch(tensors), &["the network's input: it reads samples", "export an image"]);
    let probe = place.read("run/probe");
    place.write("run/probe", "no probe");
    let export = ["export", "--run", "run", "--out", "new.latch", "--json"];
    place.refuse(&mut place.latch(export), &["run/probe: the file is damaged", "import the model again"]);
    std::fs::remove_file(place.file("run/probe")).expect("a file");
    place.refuse(&mut place.latch(export), &["run/probe: the model's scaling and probe are missing"]);
    place.write("run/probe", probe);
    std::fs::remove_file(place.file("run/best.network")).expect("a file");
    let words = ["run/best.network: the imported network is missing", "import the model again"];
    place.refuse(&mut place.latch(export), &words);
}

/// An LSTM of one unit whose hidden state begins at `h0`.
fn nam(h0: f32, more: &str) -> String {
    format!(
        r#"{{"version":"0.5.4","architecture":"LSTM",{more}"config":{{"input_size":1,"hidden_size":1,"num_layers":1}},
        "weights":[0.5,0.2,0.1,0.3,0.6,-0.2,0.4,0.1,0,0.5,0,0.1,{h0},0.25,1.5,0.1]}}"#
    )
}

#[test]
fn an_initial_state_that_integers_cut_is_warned_of_with_its_layer_and_how_far_it_goes() {
    let (place, _) = placed("lstm_1d.json");
    for (h0, precision, cut) in
        [(3.25, "int8", true), (-3.25, "int16", true), (3.25, "f16", false), (0.5, "int8", false)]
    {
        place.write("one.nam", nam(h0, ""));
        succeed(&mut place.latch(["import", "one.nam", "--out", &format!("run{h0}{precision}")]));
        let run = format!("run{h0}{precision}");
        let said = succeed(&mut place.latch(["export", "--run", &run, "--precision", precision, "--out", "one.latch"]));
        let words =
            "warning: layer 1 (lstm): its initial hidden state reaches 3.2500, and integers hold up to 1: 1 unit";
        assert_eq!(said.stderr.contains(words), cut, "{}", said.stderr);
    }
}

#[test]
fn a_warm_up_of_many_frames_is_said_before_it_is_computed() {
    let (place, _) = placed("lstm_1d.json");
    place.write("one.nam", nam(0.0, ""));
    succeed(&mut place.latch(["import", "one.nam", "--out", "run"]));
    for (frames, long) in [("250", false), ("30000", true)] {
        let said =
            succeed(&mut place.latch(["export", "--run", "run", "--out", "one.latch", "--warm-up", frames])).stderr;
        assert_eq!(said.contains("each image reads 30000 frames of rest"), long, "{said}");
    }
}

#[test]
fn an_image_is_judged_by_a_pair_of_sounds() {
    let (place, y) = placed("gru_torch.json");
    imported(&place, "gru_torch.json");
    for precision in ["f32", "int8"] {
        let image = format!("{precision}.latch");
        succeed(&mut place.latch(["export", "--run", "run", "--precision", precision, "--out", &image]));
    }
    let x: Vec<f32> = String::from_utf8(place.read("x.csv"))
        .expect("text")
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    // A gain that no sample of 24 bits is cut by.
    let y: Vec<f32> = y.iter().map(|&value| value as f32).collect();
    let sound = |name: &str, values: &[f32], rate: u32| {
        let sound = Some(Sound { rate, bits: 24 });
        write_numbers(&place.file(name), values, &[values.len(), 1], sound).expect("a sound")
    };
    let cut = sound("x.wav", &x, 48_000) + sound("y.wav", &y, 48_000);
    assert_eq!(cut, 0, "the reference fits a sound");
    let eval = |image: &str, target: &str| {
        ["eval", "--image", image, "--data", "x.wav", "--target", target].map(str::to_owned)
    };
    let line = succeed(place.latch(eval("f32.latch", "y.wav")).arg("--json")).json();
    assert_eq!(line["n"].as_u64(), Some(x.len() as u64));
    assert!(line["esr"].as_f64() < Some(1e-9) && line["snr_db"].as_f64() > Some(90.0), "{line}");
    let coarse = succeed(place.latch(eval("int8.latch", "y.wav")).arg("--json")).json();
    let esr = coarse["esr"].as_f64().expect("a ratio");
    assert!((coarse["snr_db"].as_f64().expect("decibels") + 10.0 * esr.log10()).abs() < 1e-9, "{coarse}");
    let power = y.iter().map(|y| f64::from(y * y)).sum::<f64>() / y.len() as f64;
    let rmse = coarse["rmse"].as_f64().expect("a number");
    assert!((rmse * rmse / power / esr - 1.0).abs() < 1e-3, "{coarse}");
    assert!(coarse["esr_pre_emphasis"].as_f64() > Some(0.0) && esr > 1e-7, "{coarse}");
    let said = succeed(&mut place.latch(eval("int8.latch", "y.wav"))).stdout;
    for words in ["steps of x.wav against y.wav, int8", "RMSE  ", "ESR  ", "y(t) - 0.95 y(t-1)", "SNR  ", " dB"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // The same numbers without a rate.
    place.write("y.csv", y.iter().map(|y| format!("{y}\n")).collect::<String>());
    let table = succeed(place.latch(eval("int8.latch", "y.csv")).arg("--json")).json();
    assert!((table["esr"].as_f64().expect("a ratio") / esr - 1.0).abs() < 1e-3, "{table}");

    sound("short.wav", &y[1..], 48_000);
    sound("slow.wav", &y, 44_100);
    sound("silent.wav", &vec![0.0; y.len()], 48_000);
    place.write("two.csv", "1,2\n3,4\n");
    for (target, words) in [
        ("short.wav", "short.wav: it has "),
        ("slow.wav", "slow.wav: its rate is 44100 Hz, and that of x.wav 48000 Hz"),
        ("silent.wav", "silent.wav: it is silent"),
        ("two.csv", "two.csv: it has 2 channels, and an answer has 1"),
        ("nothing.wav", "nothing.wav: there is no such file"),
    ] {
        place.refuse(place.latch(eval("f32.latch", target)).arg("--json"), &[words]);
    }
    place.refuse_usage(place.latch(eval("f32.latch", "y.wav")).args(["--run", "run"]), &["--target"]);
    let texts = Place::with_images();
    place.write("text.latch", texts.read("int8.latch"));
    place.refuse(place.latch(eval("text.latch", "y.wav")).arg("--json"), &["text.latch: this image reads texts"]);
}
