//! Promise: what is written for another framework is read back with the same answers, what ONNX Runtime, Keras and PyTorch compute of it are these answers, and what a
//! format cannot hold is refused by the layer's name. `goldens/exports/make.py` has run the files that are written here.

#[path = "support/exported.rs"]
mod exported;
mod support;

use exported::{ALL, Exported, To, VERSION, cases, frames, ids, models};
use latch_interchange::keras::Options;
use latch_interchange::writers::{self, keras::Naming};
use latch_interchange::{Described, Error, Input, Kind, file, open_with, reference};
use support::{Goldens, LIMITS, disagreement, numbers};

/// Largest difference of an answer, of those in f32 that are near 1.
const WITHIN: f64 = 1e-6;

/// The files of a model in a format.
fn written(model: &Described, to: To) -> Result<Vec<Vec<u8>>, Error> {
    Ok(match to {
        To::Onnx => vec![writers::onnx::write(model, VERSION, &[])?],
        To::Keras => vec![
            writers::keras::write(model, Naming::Variables)?.bytes,
            writers::keras::write(model, Naming::Listed)?.bytes,
        ],
        To::Torch => vec![writers::torch::write(model, VERSION)?.bytes],
        To::RtNeural => vec![writers::rtneural::write(model)?.bytes],
    })
}

fn answers(model: &Described) -> Vec<f64> {
    match model.input {
        Input::Ids(_) => reference::of_ids(model, &ids()).answers,
        Input::Samples(_) => reference::of_samples(model, &frames()).answers,
    }
}

/// Reads a file back, where the format says the layers itself or the model says them in a chain.
fn read(case: &Exported, to: To, bytes: &[u8]) -> Option<Result<Described, Error>> {
    let chain = case.chain.filter(|_| to == To::Keras);
    if (to == To::Keras && chain.is_none()) || case.one_way.contains(&to) {
        return None;
    }
    Some(open_with(bytes, case.name, &Options { chain, ..Options::default() }, &LIMITS))
}

/// Why the answers of what is read back are others.
fn difference(case: &Exported, to: To, back: &Described) -> Option<String> {
    let (found, mut expected) = (answers(back), answers(&case.model));
    if to == To::RtNeural && case.model.pooling().is_some() {
        // It answers at each step: the last one is that of the model.
        expected = [&found[..found.len() - expected.len()], &expected].concat();
    }
    if found.len() != expected.len() {
        return Some(format!("{} answers in place of {}", found.len(), expected.len()));
    }
    let most = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
    let agrees = most <= WITHIN;
    (!agrees).then(|| format!("it differs by {most:e}"))
}

#[test]
fn what_is_written_is_read_back_with_the_same_answers() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for case in models() {
        case.model.check(case.name, &LIMITS).expect("a model");
        for &to in &case.formats {
            let files = match written(&case.model, to) {
                Ok(files) => files,
                Err(error) => {
                    faults.push(format!("{} {to:?}: {error}", case.name));
                    continue;
                }
            };
            for bytes in files {
                let fault = match read(&case, to, &bytes) {
                    None => None,
                    Some(Err(error)) => Some(error.to_string()),
                    Some(Ok(back)) => {
                        count += 1;
                        difference(&case, to, &back)
                    }
                };
                faults.extend(fault.map(|fault| format!("{} {to:?}: {fault}", case.name)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{count} files are read back");
    assert!(count >= 66, "{count}");
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_the_name_of_its_layer_with_what_to_do() {
    for case in models() {
        for to in ALL.into_iter().filter(|to| !case.formats.contains(to)) {
            let is_bounded = matches!(&case.model.input, Input::Samples(samples) if !samples.bounds.is_empty());
            if to == To::RtNeural && is_bounded && case.name == "bounded" {
                // It is written, and what is left out is said.
                let file = writers::rtneural::write(&case.model).expect("a file");
                assert!(file.left_out[0].starts_with("the limits of scaled samples"), "{:?}", file.left_out);
                continue;
            }
            let error = written(&case.model, to).expect_err(case.name);
            let named = case.model.layers.iter().any(|layer| error.place == format!("layer {}", layer.name));
            let around = ["the network's input", "skip"].contains(&error.place.as_str());
            assert!(named || around, "{} {to:?}: {error}", case.name);
            assert!(error.remedy.starts_with("export it as") || error.remedy.starts_with("train"), "{error}");
        }
    }
}

#[test]
fn onnx_runtime_keras_and_pytorch_answer_what_latch_answers() {
    let mut goldens = Goldens::open("exports/exports.zip");
    let listed = goldens.listed();
    let listed = listed.as_array().expect("a list");
    let written = cases();
    let (names, known): (Vec<&str>, Vec<&str>) = (
        written.iter().map(|case| case.file.as_str()).collect(),
        listed.iter().filter_map(|case| case["file"].as_str()).collect(),
    );
    assert_eq!(names, known, "run goldens/exports/make.py again");
    for (case, golden) in written.iter().zip(listed) {
        // The frameworks have run these bytes and these lines.
        assert!(case.bytes == goldens.member(&case.file), "{}: run goldens/exports/make.py again", case.file);
        let mut own = case.json();
        own["y"] = golden["y"].clone();
        assert_eq!(own, *golden, "run goldens/exports/make.py again");
        assert_eq!(disagreement(&case.file, &case.y, &numbers(golden, "y"), support::WITHIN), None);
    }
    let count = |kind: &str| written.iter().filter(|case| case.kind == kind).count();
    assert!(count("onnx") >= 35 && count("keras") >= 58 && count("torch") >= 21);
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    for case in models() {
        for &to in &case.formats {
            assert_eq!(written(&case.model, to), written(&case.model, to), "{} {to:?}", case.name);
        }
    }
}

#[test]
fn masked_steps_are_refused_where_no_layer_masks() {
    for case in models().into_iter().take(1) {
        let mut model = case.model;
        if let Kind::Embedding(embedding) = &mut model.layers[0].kind {
            embedding.mask_zero = true;
        }
        for to in [To::Onnx, To::Torch] {
            let error = written(&model, to).expect_err("it masks");
            assert!(error.place == "layer embedding.0" && error.remedy.starts_with("train"), "{error}");
        }
        let lines = writers::keras::write(&model, Naming::Variables).expect("Keras masks").python;
        assert!(lines.contains("layers.Embedding(9, 4, mask_zero=True)"), "{lines}");
    }
}

#[test]
fn keras_takes_a_file_for_what_its_name_says() {
    for (name, naming) in [
        ("net.weights.h5", Some(Naming::Variables)),
        ("net.WEIGHTS.H5", Some(Naming::Variables)),
        ("net.h5", Some(Naming::Listed)),
        ("a/b.hdf5", Some(Naming::Listed)),
        ("net.keras", None),
        ("h5", None),
    ] {
        assert_eq!(Naming::of(name), naming, "{name}");
    }
}

#[test]
fn tensors_that_plain_recurrent_networks_have_keep_their_older_form() {
    let models = models();
    let plain: Vec<&str> = models.iter().filter(|case| file::is_plain(&case.model)).map(|case| case.name).collect();
    assert_eq!(plain, ["text-lstm-last", "text-gru-mean", "text-gru-before-max", "text-rnn-tags", "text-bag"]);
}
