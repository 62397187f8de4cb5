//! A model of each format that `latch import` reads gives the same digest on every board as on this host.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use latch_data::dataset::Task;
use latch_emulator::command::root;
use latch_engine::image::Image;
use latch_engine::with_answer;
use latch_trainer::config::Storage;
use latch_trainer::exchange::{Given, from_bytes};
use latch_trainer::quantizer::describe::answer_of;
use latch_trainer::quantizer::{Origin, Weights, to_image};
use zip::ZipArchive;

use crate::chips::toolchain;
use crate::series::assert_equal_on_every_board;

/// Models by their format, and where they are: a file, or an archive and what it is called there.
const MODELS: [(&str, &str, &str); 9] = [
    ("rtneural", "models/lstm_1d.json", ""),
    ("aida-x", "models/aida.json", ""),
    ("guitarml", "models/lstm4_ts9_pytorch.json", ""),
    ("nam", "models/lstm_example.nam", ""),
    ("keras-h5", "goldens/keras/keras3.zip", "normalization.h5"),
    ("keras", "goldens/keras/keras3.zip", "lstm-no-bias.keras"),
    ("onnx", "goldens/onnx/onnx.zip", "torch-stacked.onnx"),
    ("pytorch", "goldens/pytorch/pytorch.zip", "lstm-1.safetensors"),
    ("tensorflow-lite", "goldens/tflite/tflite.zip", "gather-last.tflite"),
];

/// The bytes of a model.
fn bytes_of(path: &str, member: &str) -> Vec<u8> {
    let bytes = fs::read(root().join("interchange/tests").join(path)).unwrap();
    if member.is_empty() {
        return bytes;
    }
    let mut found = Vec::new();
    ZipArchive::new(Cursor::new(bytes)).unwrap().by_name(member).unwrap().read_to_end(&mut found).unwrap();
    found
}

/// Writes the int8 image of a model, and a series that it reads; returns the name of their file.
fn import(folder: &Path, name: &str, bytes: &[u8]) -> String {
    // Two values without a name are those of two classes.
    let task = (name == "tensorflow-lite").then_some(Task::Classify(0));
    let received = from_bytes(bytes, name, &Given { task, ..Given::default() }).unwrap();
    let (weights, task) = (Weights::of(&received.network), received.answers.task);
    let image = to_image(&weights, &received.vocabulary, Storage::Int8, &Origin::default()).unwrap();
    let image = with_answer(&Image::open(&image).unwrap(), answer_of(task), &[]).unwrap();
    fs::write(folder.join(format!("{name}.latch")), &image[..]).unwrap();
    let channels = received.network.config().chain.embedding;
    let value = |step: usize, channel: usize| 0.8 * (0.3 * (2 * step + channel) as f64).sin();
    let join = |values: Vec<f64>| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(",");
    let (file, text) = if task.has_values() {
        // A recording, whose next frames are asked for. Columns whose names count up would be the steps of a row.
        let names: Vec<String> = ('a'..).take(channels).map(String::from).collect();
        let rows = (0..STEPS).map(|step| join((0..channels).map(|channel| value(step, channel)).collect()) + "\n");
        (format!("{name}.csv"), names.join(",") + "\n" + &rows.collect::<String>())
    } else {
        let dimensions = (0..channels).map(|channel| join((0..STEPS).map(|step| value(step, channel)).collect()) + ":");
        let heads = format!("@univariate {}\n@classLabel true 0 1\n@data\n", channels == 1);
        (format!("{name}.ts"), heads + &dimensions.collect::<String>() + "1\n")
    };
    fs::write(folder.join(&file), text).unwrap();
    file
}

/// Steps of a series.
const STEPS: usize = 12;

#[test]
fn a_model_of_each_format_gives_the_same_digest_on_every_board() {
    if toolchain().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, path, member) in MODELS {
        let data = import(folder.path(), name, &bytes_of(path, member));
        assert_equal_on_every_board(folder.path(), &format!("{name}.latch"), &data, 1);
    }
}
