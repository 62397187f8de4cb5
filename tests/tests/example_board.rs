//! Promise: the folder that a user copies builds where it was copied to, and its board answers as the host does. Needs QEMU and a compiler
//! for the chips; where one is missing the tests say so and pass, unless the environment has `CI=true`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use latch_emulator::boot::boot_serial;
use latch_emulator::command::root;
use latch_emulator::elf::Elf;
use latch_emulator::toolchain::{Toolchain, absent_qemu};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::{Answer, AnswerKind};
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Model, Precision, SelfTest, State, View, probability_q15, with_answer};
use latch_parts::boards;
use latch_tests::models::{ROOM, Shape, words};
use latch_trainer::quantizer::{Origin, to_image};

const FILES: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "build.rs", "memory.x", "slot.x", "src/board.rs", "src/main.rs"];

/// The compiler, or `None` where something is missing and that is allowed.
pub(crate) fn toolchain() -> Option<Toolchain> {
    let mut missing = Vec::new();
    let found = Toolchain::find().map_err(|error| missing.push(error.to_string())).ok();
    if absent_qemu().contains(&"qemu-system-arm") {
        missing.push("qemu-system-arm is not installed".to_owned());
    }
    if missing.is_empty() {
        return found;
    }
    let missing = missing.join("; ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true does not allow: {missing}");
    eprintln!("skipped: {missing}");
    None
}

/// A copy of the example, elsewhere, with the engine where it is.
fn copy() -> Result<tempfile::TempDir> {
    copied("examples/board", &FILES)
}

/// The same of the files of any example.
pub(crate) fn copied(example: &str, files: &[&str]) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for &file in files {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(root().join(example).join(file), to).with_context(|| file.to_owned())?;
    }
    let manifest = fs::read_to_string(folder.path().join("Cargo.toml"))?;
    let engine = format!("path = {:?}", root().join("engine"));
    assert!(manifest.contains("path = \"../../engine\""), "{manifest}");
    fs::write(folder.path().join("Cargo.toml"), manifest.replace("path = \"../../engine\"", &engine))?;
    Ok(folder)
}

/// Builds a copy, and puts the program beside it.
pub(crate) fn build(toolchain: Toolchain, folder: &Path, features: &str) -> Result<PathBuf> {
    // All copies build into one file.
    static BUILDS: Mutex<()> = Mutex::new(());
    let _one = BUILDS.lock();
    let flags = serde_json::to_string(&toolchain.link_flags())?;
    let command = toolchain
        .cargo("build --quiet --release --message-format json-render-diagnostics")
        .arg(format!("--features={features}"))
        .arg("--config")
        .arg(format!("target.thumbv6m-none-eabi.rustflags={flags}"))
        .in_folder(folder.to_owned());
    let (messages, _) = command.capture()?;
    let program = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    let kept = folder.join("program.elf");
    fs::copy(program.context("cargo has named no program")?, &kept)?;
    Ok(kept)
}

fn model() -> AlignedBytes {
    let shape =
        Shape { rows: 200, width: 8, units: vec![24], pooling: Pooling::Attention, unknown: Unknown::LastRow, seed: 7 };
    let origin = Origin { classes: NAMES.map(String::from).to_vec(), ..Origin::default() };
    let vocabulary = latch_tests::models::vocabulary(shape.rows, shape.unknown);
    to_image(&shape.weights(), &vocabulary, Precision::Int8, &origin).expect("random weights fit an image")
}

/// The names of the two classes: neither is a plain word.
const NAMES: [&str; 2] = ["class é", "spam, win"];

/// Two lines that a board reads, each with the answer that the host's engine has.
fn lines(image: &[u8]) -> Result<[(String, String); 2]> {
    let image = Image::open(image)?;
    let model = Model::new(&image);
    let words = words(199);
    let texts = [words[20..80].join(" "), format!("{}!!! {}, not a word: zzz", words[3], words[100..140].join(" "))];
    let mut state = State::<ROOM>::new();
    assert_eq!(model.self_test(state.as_bytes_mut())?, SelfTest::Passed);
    let mut answers = Vec::new();
    for text in &texts {
        let mut session = model.session(&mut state)?;
        session.push_bytes(text.as_bytes());
        session.finish();
        let (logit, positive) = (session.output(), u32::from(probability_q15(session.output())));
        let probability = if logit.is_positive() { positive } else { (1 << 15) - positive };
        let verdict = NAMES[usize::from(logit.is_positive())];
        let thousandths = (f64::from(probability) * 1000.0 / 32768.0).round();
        answers.push(format!("{verdict}, {thousandths} per mille ({probability} of 32768)"));
    }
    assert_ne!(answers[0], answers[1], "the lines tell nothing apart");
    let [first, second] = texts;
    Ok([(first, answers.remove(0)), (second, answers.remove(0))])
}

/// What the board says to both lines: they come in odd chunks, the second begins before the first is answered.
fn converse(program: &Path, slot: Option<&Path>, lines: &[(String, String); 2]) -> Result<Vec<String>> {
    let board = boards::find("microbit")?;
    let mut serial = BufReader::new(boot_serial(board, program, slot, Duration::from_secs(60))?);
    let mut said = Vec::new();
    let mut listen = |serial: &mut BufReader<_>| -> Result<()> {
        let mut line = String::new();
        serial.read_line(&mut line).context("the board is silent")?;
        said.push(line.trim_end().to_owned());
        Ok(())
    };
    listen(&mut serial)?;
    let text = format!("{}\r\n{}\n", lines[0].0, lines[1].0);
    let (mut rest, mut size) = (text.as_bytes(), 1);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        serial.get_mut().write_all(chunk)?;
        serial.get_mut().flush()?;
        (rest, size) = (behind, size % 13 + 2);
    }
    listen(&mut serial)?;
    listen(&mut serial)?;
    Ok(said)
}

fn expected(lines: &[(String, String); 2]) -> Vec<String> {
    let mut expected = vec!["the self-test passed; send a line of text".to_owned()];
    expected.extend(lines.iter().map(|(_, answer)| answer.clone()));
    expected
}

#[test]
fn a_copy_with_its_image_linked_in_answers_lines_as_the_host_does_and_cannot_panic() -> Result<()> {
    let Some(toolchain) = toolchain() else { return Ok(()) };
    let (folder, image) = (copy()?, model());
    fs::write(folder.path().join("model.latch"), &*image)?;
    let program = build(toolchain, folder.path(), "")?;
    let elf = Elf::read(&program)?;
    let lines = lines(&image)?;
    assert_eq!(converse(&program, None, &lines)?, expected(&lines));
    let of = |part: &str| elf.symbols.iter().filter(|symbol| symbol.name.contains(part)).count();
    assert!(of("latch_engine") > 0, "the program's symbols name what is in it");
    assert_eq!((of("panicking"), of("core3fmt")), (0, 0), "the program can panic, or formats");
    Ok(())
}

#[test]
fn a_copy_without_an_image_reads_the_one_in_its_slot_and_asks_for_it_where_there_is_none() -> Result<()> {
    let Some(toolchain) = toolchain() else { return Ok(()) };
    let (folder, image) = (copy()?, model());
    let program = build(toolchain, folder.path(), "slot")?;
    let slot = folder.path().join("slot");
    fs::write(&slot, &*image)?;
    let lines = lines(&image)?;
    assert_eq!(converse(&program, Some(&slot), &lines)?, expected(&lines));

    let mut serial = BufReader::new(boot_serial(boards::find("microbit")?, &program, None, Duration::from_secs(60))?);
    let mut said = String::new();
    serial.read_line(&mut said)?;
    assert_eq!(said, "there is no image: put one into the chip's flash\r\n");
    Ok(())
}

/// An image of a network with so many outputs that answers so.
fn model_of(outputs: usize, kind: AnswerKind, each_step: bool) -> Result<AlignedBytes> {
    let unknown = Unknown::LastRow;
    let shape = Shape { rows: 40, width: 6, units: vec![12], pooling: Pooling::Last, unknown, seed: 9 };
    let mut weights = shape.weights();
    let head = weights.head.clone();
    // Each output turns another half of the units around, so that they say different things.
    let turned = |output: usize| {
        let sign = move |unit: usize| if unit >> output & 1 == 0 { 3.0 } else { -3.0 };
        head.iter().enumerate().map(move |(unit, &weight)| weight * sign(unit)).collect::<Vec<f32>>()
    };
    weights.head = (0..outputs).flat_map(turned).collect();
    weights.head_bias = vec![0.0; outputs];
    let bytes = latch_tests::models::image(&weights, Precision::Int8, unknown);
    let image = Image::open(&bytes)?;
    Ok(with_answer(&image, Answer { kind, each_step }, &[])?)
}

/// What the stream answers as it stands, as the example words it.
fn answer_of(session: &mut View<'_, '_, '_>) -> String {
    let logits: Vec<f32> = latch_tests::models::logits(session).iter().map(|logit| logit.to_f32()).collect();
    if session.model().answer().kind == AnswerKind::Values {
        let values: Vec<String> = logits.iter().map(|value| format!("{value:.3}").replace("-0.000", "0.000")).collect();
        return format!("values {}", values.join(" "));
    }
    let best = (1..logits.len()).fold(0, |best, next| if logits[next] > logits[best] { next } else { best });
    match logits.len() {
        1 => panic!("one output is a verdict"),
        _ => format!("class {best}"),
    }
}

/// Two texts, the second with a mark, that the model answers differently.
fn two_texts(model: &Model<'_>, words: &[String]) -> Result<[String; 2]> {
    let answer = |text: &str| -> Result<String> {
        let mut state = State::<ROOM>::new();
        let mut session = model.session(&mut state)?;
        session.push_bytes(text.as_bytes());
        session.finish();
        Ok(answer_of(&mut session))
    };
    let first = words[2..12].join(" ");
    let expected = answer(&first)?;
    for pair in words.windows(2) {
        let second = format!("{} {}!", pair[0], pair[1]);
        if answer(&second)? != expected {
            return Ok([first, second]);
        }
    }
    anyhow::bail!("every text has the answer {expected}")
}

#[test]
fn the_example_answers_classes_values_and_tags_as_the_host_does() -> Result<()> {
    let Some(toolchain) = toolchain() else { return Ok(()) };
    let folder = copy()?;
    let program = build(toolchain, folder.path(), "slot")?;
    let slot = folder.path().join("slot");
    let words = words(39);
    for (outputs, kind, each_step) in [
        (3, AnswerKind::Classes, false),
        (2, AnswerKind::Values, false),
        (1, AnswerKind::Values, false),
        (4, AnswerKind::Classes, true),
        (2, AnswerKind::Classes, true),
    ] {
        let bytes = model_of(outputs, kind, each_step)?;
        let image = Image::open(&bytes)?;
        let model = Model::new(&image);
        let texts = two_texts(&model, &words)?;
        let mut expected = Vec::new();
        for text in &texts {
            let mut state = State::<ROOM>::new();
            let mut session = model.session(&mut state)?;
            if each_step {
                let mut note = |session: &mut View<'_, '_, '_>, token: &[u8]| {
                    expected.push(format!("{}: {}", String::from_utf8_lossy(token), answer_of(session)));
                };
                session.push_bytes_each(text.as_bytes(), &mut note);
                session.finish_each(&mut note);
            } else {
                session.push_bytes(text.as_bytes());
                session.finish();
                expected.push(answer_of(&mut session));
            }
        }
        fs::write(&slot, &*bytes)?;
        let board = boards::find("microbit")?;
        let mut serial = BufReader::new(boot_serial(board, &program, Some(&slot), Duration::from_secs(60))?);
        let mut said = String::new();
        serial.read_line(&mut said)?;
        assert!(said.starts_with("the self-test passed"), "{said}");
        for byte in format!("{}\n{}\n", texts[0], texts[1]).bytes() {
            serial.get_mut().write_all(&[byte])?;
            serial.get_mut().flush()?;
        }
        for answer in expected {
            said.clear();
            serial.read_line(&mut said).context("the board is silent")?;
            assert_eq!(said.trim_end(), answer, "{outputs} outputs, {kind:?}, each step: {each_step}");
        }
    }
    Ok(())
}

#[test]
fn a_build_without_an_image_says_in_one_sentence_how_to_make_it() -> Result<()> {
    let Some(toolchain) = toolchain() else { return Ok(()) };
    let folder = copy()?;
    let message = build(toolchain, folder.path(), "").expect_err("there is no image").to_string();
    let sentences: Vec<&str> = message.lines().filter(|line| line.contains("there is no model.latch")).collect();
    let [sentence] = sentences[..] else { panic!("{message}") };
    let wanted = format!("`latch export --run RUN --precision int8 --out {}/model.latch`", folder.path().display());
    assert!(sentence.contains(&wanted), "{sentence}");
    Ok(())
}
