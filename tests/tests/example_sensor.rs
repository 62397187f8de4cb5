//! Promise: the second folder that a user copies, the firmware that reads frames, builds where it was copied to, and its board names the class that the host names. Needs QEMU and
//! a compiler for the chips; where one is missing the tests say so and pass, unless the environment has `CI=true`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use latch_emulator::boot::boot_serial;
use latch_emulator::elf::Elf;
use latch_engine::image::Image;
use latch_engine::image::encode::{AlignedBytes, Notes, encode};
use latch_engine::input::samples::Samples;
use latch_engine::layers::dense::Activation;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Model, State};
use latch_parts::boards;
use latch_tests::chains::{Kind, Weights, describe_samples, tensors};
use latch_tests::models::ROOM;

use crate::example_board::{build, copied, toolchain};

const FILES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "build.rs",
    "memory.x",
    "src/board.rs",
    "src/frames.rs",
    "src/main.rs",
];

const NAMES: [&str; 3] = ["at rest", "walking", "läuft"];

/// An image of three channels and three classes, or of an answer at each step.
fn model(each_step: bool, seed: u64) -> Result<AlignedBytes> {
    let mut kinds = vec![Kind::Gru(9, true), Kind::Pooling(Pooling::Max), Kind::Dense(3, Activation::Linear)];
    if each_step {
        kinds.remove(1);
    }
    let description = describe_samples(Weights::Int8, Samples { channels: 3, lag: 0, skip: None }, &kinds);
    let notes = Notes { class_names: NAMES.map(String::from).to_vec(), ..Notes::default() };
    let mut bytes = AlignedBytes::new(&encode(&description, &notes, &tensors(&description, seed))?);
    latch_engine::certify(&mut bytes)?;
    Ok(bytes)
}

/// Series of different lengths that are loud and quiet.
fn series() -> Vec<Vec<i16>> {
    let mut number = 1_u32;
    let mut next = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 16) as i16
    };
    (0..12).map(|series| (0..3 * (2 + series % 5)).map(|_| next() >> (series % 10)).collect()).collect()
}

/// The names of the classes of a series after each frame, by the host.
fn classes(model: &Model<'_>, counts: &[i16]) -> Result<Vec<&'static str>> {
    let mut state = State::<ROOM>::new();
    let mut session = model.session(&mut state)?;
    let mut classes = Vec::new();
    session.push_samples_each(counts, |view| {
        let logits: Vec<f32> = (0..3).map(|output| view.logit(output).to_f32()).collect();
        let best = (1..3).fold(0, |best, next| if logits[next] > logits[best] { next } else { best });
        classes.push(NAMES[best]);
    })?;
    Ok(classes)
}

/// The first random image that answers some series with one class and others with another.
fn telling(each_step: bool) -> Result<AlignedBytes> {
    for seed in 1..200 {
        let bytes = model(each_step, seed)?;
        if answers(&bytes)?.len() > 1 {
            return Ok(bytes);
        }
    }
    anyhow::bail!("no image tells the series apart")
}

/// The classes that an image answers the series with.
fn answers(bytes: &[u8]) -> Result<BTreeSet<Option<&'static str>>> {
    let image = Image::open(bytes)?;
    let model = Model::new(&image);
    series().iter().map(|counts| Ok(classes(&model, counts)?.pop())).collect()
}

#[test]
fn a_copy_of_the_sensor_example_names_the_class_of_each_series_as_the_host_does_and_cannot_panic() -> Result<()> {
    let Some(toolchain) = toolchain() else { return Ok(()) };
    for each_step in [false, true] {
        let (folder, bytes) = (copied("examples/sensor", &FILES)?, telling(each_step)?);
        fs::write(folder.path().join("model.latch"), &*bytes)?;
        let program = build(toolchain, folder.path(), "")?;
        let elf = Elf::read(&program)?;
        let of = |part: &str| elf.symbols.iter().filter(|symbol| symbol.name.contains(part)).count();
        assert!(of("latch_engine") > 0, "the program's symbols name what is in it");
        assert_eq!((of("panicking"), of("core3fmt")), (0, 0), "the program can panic, or formats");
        assert_eq!((of("__aeabi_f"), of("__aeabi_d")), (0, 0), "the program computes with floats");

        let image = Image::open(&bytes)?;
        let model = Model::new(&image);
        let (mut lines, mut expected) = (String::new(), Vec::new());
        for (number, counts) in series().iter().enumerate() {
            // Terminals end lines in three ways, and numbers are written in more.
            let end = ["\n", "\r\n", "\r"][number % 3];
            for frame in counts.chunks_exact(3) {
                let between = [",", " ", ", "][number / 3 % 3];
                let numbers: Vec<String> = frame.iter().map(i16::to_string).collect();
                let _ = write!(lines, "{}{end}", numbers.join(between));
            }
            lines += end;
            let classes = classes(&model, counts)?;
            expected.extend(classes.into_iter().skip(if each_step { 0 } else { counts.len() / 3 - 1 }));
        }
        let wrong = ["1,2", "1,2,40000", "1,x,3", "1,2,3,4"].map(|line| line.to_owned() + "\n").concat();

        let serial = boot_serial(boards::find("microbit")?, &program, None, Duration::from_secs(60))?;
        let mut serial = BufReader::new(serial);
        let listen = |serial: &mut BufReader<_>| -> Result<String> {
            let mut line = String::new();
            serial.read_line(&mut line).context("the board is silent")?;
            Ok(line.trim_end().to_owned())
        };
        let ready = listen(&mut serial)?;
        assert_eq!(ready, "the self-test passed; send frames of 3, and an empty line behind the last");
        for byte in (wrong + &lines).bytes() {
            serial.get_mut().write_all(&[byte])?;
            serial.get_mut().flush()?;
        }
        for words in ["a number for each channel", "from -32768 to 32767", "whole numbers", "a number for each channel"]
        {
            let said = listen(&mut serial)?;
            assert!(said.contains(words) && said.ends_with("the line is left out"), "{said}");
        }
        for class in expected {
            assert_eq!(listen(&mut serial)?, class);
        }
    }
    Ok(())
}

#[test]
fn the_sensor_example_without_an_image_says_in_one_sentence_how_to_make_it() -> Result<()> {
    let Some(toolchain) = toolchain() else { return Ok(()) };
    let folder = copied("examples/sensor", &FILES)?;
    let message = build(toolchain, folder.path(), "").expect_err("there is no image").to_string();
    assert_eq!(message.lines().filter(|line| line.contains("there is no model.latch")).count(), 1, "{message}");
    Ok(())
}
