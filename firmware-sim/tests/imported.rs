//! An imported model of sounds, of each format that has them, gives the same digest on every board as on this host.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::Path;

use latch_emulator::command::root;
use latch_engine::image::Image;
use latch_engine::with_answer;
use latch_trainer::config::Storage;
use latch_trainer::exchange::{Given, from_bytes};
use latch_trainer::quantizer::describe::answer_of;
use latch_trainer::quantizer::{Origin, Weights, to_image};

use crate::chips::toolchain;
use crate::series::assert_equal_on_every_board;

/// Models by their format, and the files they are in.
const MODELS: [(&str, &str); 4] = [
    ("rtneural", "lstm_1d.json"),
    ("aida-x", "aida.json"),
    ("guitarml", "lstm4_ts9_pytorch.json"),
    ("nam", "lstm_example.nam"),
];

/// Writes the int8 image of a model, and a series that it reads; returns the name of their file.
fn import(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let received = from_bytes(bytes, name, &Given::default()).unwrap();
    let (weights, task) = (Weights::of(&received.network), received.answers.task);
    let image = to_image(&weights, &received.vocabulary, Storage::Int8, &Origin::default()).unwrap();
    let image = with_answer(&Image::open(&image).unwrap(), answer_of(task), &[]).unwrap();
    fs::write(folder.join(format!("{name}.latch")), &image[..]).unwrap();
    let channels = received.network.config().chain.embedding;
    let value = |step: usize, channel: usize| 0.8 * (0.3 * (2 * step + channel) as f64).sin();
    let join = |values: Vec<f64>| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(",");
    // A recording, whose next frames are asked for.
    let names: Vec<String> = (0..channels).map(|channel| format!("c{channel}")).collect();
    let rows = (0..STEPS).map(|step| join((0..channels).map(|channel| value(step, channel)).collect()) + "\n");
    let (file, text) = (format!("{name}.csv"), names.join(",") + "\n" + &rows.collect::<String>());
    fs::write(folder.join(&file), text).unwrap();
    file
}

/// Steps of a series.
const STEPS: usize = 12;

#[test]
fn a_model_of_sounds_of_each_format_gives_the_same_digest_on_every_board() {
    if toolchain().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in MODELS {
        let bytes = fs::read(root().join("interchange/tests/models").join(file)).unwrap();
        let data = import(folder.path(), name, &bytes);
        assert_equal_on_every_board(folder.path(), &format!("{name}.latch"), &data, 1);
    }
}
