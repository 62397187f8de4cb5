//! Promise: a model that another tool trained computes here what it computed there. The models in `models/` are those projects' own, with their licences; the script beside
//! them made the references. The reference arithmetic judges the readers, and the trainer's tests judge the images by the same files.

use std::fs;
use std::path::{Path, PathBuf};

use latch_interchange::keras::Options;
use latch_interchange::{Activation, Described, Input, Kind, Limits, Probe, Source, open, open_with, reference};

const LIMITS: Limits = Limits { rows: 1 << 20, width: 2048, layers: 16 };

/// Each model, and how far its outputs may be from those of its own tool, which computes in f32.
const MODELS: [(&str, f64); 4] =
    [("lstm_1d.json", 1e-6), ("gru_torch.json", 1e-6), ("lstm_example.nam", 2e-5), ("lstm4_ts9_pytorch.json", 1e-5)];

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

fn model(path: &Path) -> Described {
    open(&fs::read(path).expect("a model"), &path.display().to_string(), &LIMITS).expect("a model that is read")
}

/// The largest difference of a model's answers to `x` from `y`.
fn worst(model: &Described, x: &[f32], y: &[f64]) -> f64 {
    let answers = reference::of_samples(model, x).answers;
    assert_eq!((answers.len(), y.is_empty()), (y.len(), false));
    answers.iter().zip(y).map(|(answer, y)| (answer - y).abs()).fold(0.0, f64::max)
}

#[test]
fn every_model_computes_what_its_own_tool_computed() {
    for (name, most) in MODELS {
        let path = models().join(name);
        let table = fs::read_to_string(path.with_extension("csv")).expect("make_references.py wrote it");
        let pairs = table.lines().map(|line| line.split_once(',').expect("x,y"));
        let (x, y): (Vec<f32>, Vec<f64>) =
            pairs.map(|(x, y)| (x.parse::<f32>().expect("a number"), y.parse::<f64>().expect("a number"))).unzip();
        let found = worst(&model(&path), &x, &y);
        println!("{name}: off by {found:.1e} in {} steps", x.len());
        assert!(found <= most, "{name}: off by {found:.1e}");
    }
}

#[test]
fn a_model_that_brings_its_own_answers_gives_them() {
    let model = model(&models().join("aida.json"));
    let Some(Probe { input, output }) = &model.source.probe else { panic!("it has a probe") };
    let expected: Vec<f64> = output.iter().map(|&value| f64::from(value)).collect();
    assert!(expected.iter().all(|value| value.abs() > 1e-3), "{expected:?}");
    let found = worst(&model, input, &expected);
    assert!(found <= 1e-6, "off by {found:.1e}");
}

#[test]
fn every_model_says_what_it_is() {
    let said = |name: &str| {
        let model = model(&models().join(name));
        let layers: Vec<String> = model
            .fed()
            .map(|(layer, inputs)| format!("{} {}", layer.kind.name(), layer.kind.features(inputs)))
            .collect();
        let Input::Samples(samples) = &model.input else { panic!("{name} reads samples") };
        let Source { format, version, .. } = &model.source;
        let what =
            (format.name(), version.clone(), layers.join(" > "), model.skip.map(|skip| skip.channel), samples.rate);
        (what, samples.names.join(", "), model.recurrent().any(|layer| layer.begins_elsewhere()))
    };
    let expected = ("RTNeural", None, "lstm 8 > dense 1".to_owned(), None, None);
    assert_eq!(said("lstm_1d.json"), (expected, String::new(), false));
    let expected = ("RTNeural", None, "gru 8 > gru 8 > gru 8 > gru 8 > dense 1".to_owned(), None, None);
    assert_eq!(said("gru_torch.json"), (expected, String::new(), false));
    let version = Some("0.5.4".to_owned());
    let expected = ("Neural Amp Modeler", version, "lstm 3 > dense 1".to_owned(), None, Some(48_000.0));
    assert_eq!(said("lstm_example.nam"), (expected, "input".into(), true));
    let expected = ("GuitarML", None, "lstm 4 > dense 1".to_owned(), Some(0), None);
    assert_eq!(said("lstm4_ts9_pytorch.json"), (expected, "input".into(), false));
}

/// The arrays of an archive of NumPy whose members are not compressed, as f64, by name.
fn arrays(path: &Path) -> Vec<(String, Vec<f64>)> {
    let bytes = fs::read(path).expect("an archive");
    let number =
        |at: usize, bytes: &[u8]| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let (mut found, mut at) = (Vec::new(), 0);
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let lengths = number(at + 26, &bytes);
        let (name, extra) = (lengths & 0xffff, lengths >> 16);
        let begin = at + 30 + name;
        let name = String::from_utf8_lossy(&bytes[at + 30..begin]).into_owned();
        // NumPy writes sizes of 64 bits behind the name.
        let field = number(at + 18, &bytes);
        let size = if field == 0xffff_ffff { number(begin + 12, &bytes) } else { field };
        let array = &bytes[begin + extra..begin + extra + size];
        let header = usize::from(u16::from_le_bytes([array[8], array[9]]));
        let (text, data) = (String::from_utf8_lossy(&array[10..10 + header]).into_owned(), &array[10 + header..]);
        let values = if text.contains("<f4") {
            data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
        } else {
            data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
        };
        found.push((name.trim_end_matches(".npy").to_owned(), values));
        at = begin + extra + size;
    }
    found
}

#[test]
fn the_whole_published_references_are_met_where_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models");
    if !folder.is_dir() {
        println!(
            "the_whole_published_references_are_met_where_they_are: left out, as {} is not here",
            folder.display()
        );
        return;
    }
    for (path, y, most) in [
        ("nam/lstm_example.nam", "y_namcore_cold", 2e-5),
        ("nam/lstm_example.nam", "y_f64_cold", 1e-7),
        ("guitarml/lstm4_ts9_pytorch.json", "y", 1e-5),
    ] {
        let path = folder.join(path);
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let arrays = arrays(&path.with_file_name(format!("{stem}_ref.npz")));
        let array = |name: &str| &arrays.iter().find(|(found, _)| found == name).expect("an array of this name").1;
        let x: Vec<f32> = array("x").iter().map(|&value| value as f32).collect();
        assert_eq!(x.len(), 4096);
        let found = worst(&model(&path), &x, array(y));
        println!("{stem}, {y}: off by {found:.1e} in {} steps", x.len());
        assert!(found <= most, "{stem}, {y}: off by {found:.1e}");
    }
}

#[test]
fn the_layers_of_a_published_keras_model_below_its_own_kind_of_layer_are_read_up_to_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models/impsy");
    if !folder.is_dir() {
        let test = "the_layers_of_a_published_keras_model_below_its_own_kind_of_layer_are_read_up_to_there";
        println!("{test}: left out, as {} is not here", folder.display());
        return;
    }
    let stem = "musicMDRNN-dim2-layers2-units32-mixtures5-scale10";
    let arrays = arrays(&folder.join(format!("{stem}_lstm_ref.npz")));
    let array = |name: &str| &arrays.iter().find(|(found, _)| found == name).expect("an array of this name").1;
    let x: Vec<f32> = array("x").iter().map(|&value| value as f32).collect();
    // The same weights: the one reads sequences, and its configuration has the gates of its time; the other is called step by step, and its state is an input.
    for (suffix, until, refused, y) in
        [("h5", "lstm1", "layer td_mdn", "lstm_out_h5"), ("keras", "lstm_1", "layer mdn", "lstm_out_keras")]
    {
        let bytes = fs::read(folder.join(format!("{stem}.{suffix}"))).expect("a model");
        let error = open(&bytes, "net", &LIMITS).expect_err("it has a layer of its own").to_string();
        assert!(error.contains(refused), "{error}");
        let options = Options { until: Some(until), ..Options::default() };
        let mut model = open_with(&bytes, "net", &options, &LIMITS).expect("the layers below are LSTMs");
        for layer in &mut model.layers {
            let Kind::Recurrent(lstm) = &mut layer.kind else { panic!("no LSTM: {}", layer.name) };
            let gates = if suffix == "h5" { Activation::HardSigmoid } else { Activation::Sigmoid };
            assert_eq!(lstm.gate_activation, gates);
            // The reference has the weights of both in an LSTM of today.
            lstm.gate_activation = Activation::Sigmoid;
        }
        let found = worst(&model, &x, array(y));
        println!("{stem}.{suffix}: off by {found:.1e} in {} steps", x.len() / 2);
        assert!(found <= 1e-5, "{suffix}: off by {found:.1e}");
    }
}
