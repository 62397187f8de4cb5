//! The firmware on an emulated board's serial port, over a line that loses, cuts and changes frames: every text is judged once, and the digest
//! is that of a sound line and of this host.
//!
//! These tests boot QEMU. Where it or a compiler for the chips is missing they say so and pass, and fail where the variable `CI` is `true`.

use std::time::Duration;

use latch_data::dataset::built_in;
use latch_emulator::boot::boot_serial;
use latch_emulator::firmware::{self, Options, Port, Program};
use latch_emulator::toolchain::{Toolchain, absent_qemu};
use latch_engine::Precision;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_firmware_sim::link::fault_injector::{FaultInjector, Faults};
use latch_firmware_sim::link::host::batch::Batch;
use latch_firmware_sim::link::host::{Client, LinkError, Patience, Summary, reference};
use latch_parts::boards::{BOARDS, Board};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;

fn tools_are_there() -> bool {
    let mut missing: Vec<String> =
        absent_qemu().into_iter().map(|program| format!("{program} is not installed")).collect();
    missing.extend(Toolchain::find().err().map(|error| error.to_string()));
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join("; ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true does not allow: {missing}");
    eprintln!("skipped: {missing}");
    false
}

/// A session over the board's serial port with faults in both directions, about one in `mean` bytes. Gives the faults that happened.
fn session(
    board: &Board,
    image: &AlignedBytes,
    texts: &[String],
    mean: Option<u32>,
) -> Result<(Summary, u64), LinkError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.latch");
    std::fs::write(&path, &image[..]).expect("writable");
    let options = Options { port: Port::Uart, ..Options::default() };
    let elf = firmware::build(board, Program::Firmware, &options).expect("the firmware builds");
    let wire = boot_serial(board, &elf, Some(&path), Duration::from_secs(60)).expect("the board boots");
    let faults = |seed| mean.map_or(Faults::none(), |mean| Faults::random(seed, mean));
    let line = FaultInjector::new(wire, faults(1), faults(2));
    // A lost frame costs the host this wait; a board takes a few milliseconds an answer.
    let patience = Patience { answer: Duration::from_millis(400), tries: 40 };
    let mut client = Client::greet(line, patience, false)?;
    for text in texts {
        client.judge(text.as_bytes())?;
    }
    let happened = client.wire().happened();
    Ok((client.end()?, happened))
}

#[test]
fn a_line_with_faults_gives_every_board_the_digest_of_this_host() {
    if !tools_are_there() {
        return;
    }
    let texts: Vec<String> = built_in::generate(6, 6).into_iter().map(|example| example.text).collect();
    let vocabulary = Vocabulary::build(texts.iter().map(String::as_str), 500, Unknown::LastRow);
    let weights = Weights::random(vocabulary.rows(), 8, &[16], Pooling::Max, 7);
    let image = to_image(&weights, &vocabulary, Precision::Int8, &Origin::default()).expect("an image");
    let batch = Batch::new(texts.iter(), false);
    let expected = reference::transcript(&image, AnyBackend::detect(), &batch).expect("this host can run it").summary;
    assert_eq!(expected.texts as usize, texts.len());
    for board in BOARDS {
        let (sound, none) =
            session(board, &image, &texts, None).unwrap_or_else(|error| panic!("{}: {error}", board.name));
        assert_eq!((sound, none), (expected, 0), "{}, without faults", board.name);
        let (faulty, faults) =
            session(board, &image, &texts, Some(250)).unwrap_or_else(|error| panic!("{}: {error}", board.name));
        assert_eq!(faulty, expected, "{}, after {faults} faults", board.name);
        assert!(faults >= 5, "{}: only {faults} faults", board.name);
    }
}
