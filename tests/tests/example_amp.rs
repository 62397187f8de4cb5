//! Promise: the folder that a user copies to play sounds builds where it was copied to; any blocks give the same bits, those of `latch run`; and its errors say what to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use latch_emulator::command::root;
use latch_engine::image::Image;
use latch_engine::with_answer;
use latch_trainer::config::Storage;
use latch_trainer::exchange::{Given, from_bytes};
use latch_trainer::quantizer::describe::answer_of;
use latch_trainer::quantizer::{Origin, Weights, to_image};

use crate::example_board::copied;

const FILES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "src/main.rs", "src/sound.rs"];

/// A plucked string with its overtones, which dies away twice.
fn string(samples: usize) -> Vec<i16> {
    let sample = |at: usize| {
        let (time, since) = (at as f64 / 48_000.0, (at % (samples / 2).max(1)) as f64 / 48_000.0);
        let tone = |overtone: f64| (std::f64::consts::TAU * 110.0 * overtone * time).sin() / overtone;
        16_000.0 * (-6.0 * since).exp() * (tone(1.0) + tone(2.0) + tone(3.0)) / 1.8
    };
    (0..samples).map(|at| sample(at) as i16).collect()
}

/// A WAV file of 16 bits and one channel.
fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes = 2 * samples.len() as u32;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    for word in [16_u32, 1 << 16 | 1, 48_000, 96_000, 16 << 16 | 2] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// The samples of a WAV file of floats.
fn floats(bytes: &[u8]) -> Vec<f32> {
    let place = bytes.windows(4).position(|window| window == b"data").expect("a file of sound") + 8;
    bytes[place..].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// `Σ (y − ŷ)² / Σ y²`
fn error_to_signal(y: &[f32], other: &[f32]) -> f64 {
    let sum = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
    sum(&mut y.iter().zip(other).map(|(y, other)| y - other)) / sum(&mut y.iter().copied())
}

/// Imports a model and writes its images: `f32.latch` and so on.
fn images(folder: &Path, model: &str) -> Result<()> {
    let bytes = fs::read(root().join("interchange/tests/models").join(model))?;
    let received = from_bytes(&bytes, model, &Given::default())?;
    for storage in [Storage::F32, Storage::Int16, Storage::Int8] {
        let image = to_image(&Weights::of(&received.network), &received.vocabulary, storage, &Origin::default())?;
        let image = with_answer(&Image::open(&image)?, answer_of(received.answers.task), &[])?;
        fs::write(folder.join(format!("{}.latch", storage.name())), &image[..])?;
    }
    Ok(())
}

#[test]
fn a_copy_of_the_amp_example_plays_a_sound_in_blocks_of_any_size_with_the_same_bits() -> Result<()> {
    let copy = copied("examples/amp", &FILES)?;
    let folder = copy.path();
    let target = root().join("target/example-amp");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--release", "--locked"]).current_dir(folder).env("CARGO_TARGET_DIR", &target);
    let built = build.output()?;
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let amp = |words: &[&str]| -> Result<Output> {
        Ok(Command::new(target.join("release/latch-amp")).args(words).current_dir(folder).output()?)
    };
    fs::write(folder.join("in.wav"), wav(&string(9_600)))?;
    for (model, [int16, int8]) in [("lstm_example.nam", [1e-5, 0.02]), ("lstm4_ts9_pytorch.json", [1e-5, 0.02])] {
        images(folder, model)?;
        let mut exact = Vec::new();
        for (storage, bound) in [("f32", 0.0), ("int16", int16), ("int8", int8)] {
            let image = format!("{storage}.latch");
            let played = |block: &str| -> Result<Vec<f32>> {
                let said = amp(&[&image, "in.wav", "out.wav", "--block", block])?;
                ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
                Ok(floats(&fs::read(folder.join("out.wav"))?))
            };
            let whole = played("9600")?;
            assert_eq!(whole.len(), 9_600);
            for block in ["1", "7", "64", "512"] {
                let bits = |samples: &[f32]| samples.iter().map(|sample| sample.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&played(block)?), bits(&whole), "{model} in {storage}, blocks of {block}");
            }
            if storage == "f32" {
                exact.clone_from(&whole);
                assert!(exact.iter().any(|sample| sample.abs() > 0.01), "{model} is heard");
            }
            let error = error_to_signal(&exact, &whole);
            eprintln!("{model} in {storage}: the error-to-signal ratio to f32 is {error:.2e}");
            assert!(error <= bound, "{model} in {storage}: {error}");
        }
    }
    for (words, said) in [
        (&["f32.latch", "in.wav"][..], "latch-amp MODEL.latch IN.wav OUT.wav"),
        (&["f32.latch", "nothing.wav", "out.wav"], "nothing.wav"),
        (&["in.wav", "in.wav", "out.wav"], "in.wav: "),
        (&["f32.latch", "in.wav", "out.wav", "--block", "0"], "--block takes a whole number"),
        (&["f32.latch", "in.wav", "out.wav", "--knob", "1"], "it has 0 knobs, and 1 are given"),
    ] {
        let refused = amp(words)?;
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && error.contains(said), "{words:?}: {error}");
    }
    Ok(())
}
