//! Series instead of texts: the program, the link and the firmware read counts of samples, and every board computes what this host computes.
//!
//! What needs the emulated boards says so where a compiler for the chips or QEMU is missing, and passes; it fails where the variable `CI` is `true`.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use latch_data::dataset::{Columns, Part, Task};
use latch_data::series::{self, SeriesReading, SeriesTask};
use latch_emulator::boot::{self, boot};
use latch_emulator::command::root;
use latch_emulator::elf::Elf;
use latch_emulator::firmware::{self, Options, Port, Program, SERIES_FEATURES};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::AnswerKind;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Digest, Model, View};
use latch_firmware_sim::link::host::LinkError;
use latch_firmware_sim::link::host::batch::Batch;
use latch_firmware_sim::link::host::reference;
use latch_firmware_sim::link::message::Refusal;
use latch_firmware_sim::sim::budget::firmware_stack;
use latch_firmware_sim::sim::source::bytes_of;
use latch_parts::boards::{BOARDS, Board, find};
use latch_trainer::config::{RunConfig, SeriesConfig, Storage, TrainConfig, Valid, default_config, model_of};
use latch_trainer::export::{Export, Source, Trained};
use latch_trainer::learning::training::{BatchProgress, Progress};
use latch_trainer::metrics::EpochMetrics;
use latch_trainer::runs::begin::begin;
use latch_trainer::runs::folder::RunFolder;
use serde_json::Value;
use tempfile::TempDir;

use crate::chips::toolchain;

/// The published sets by their names in the archives, with channels, the fewest and the most steps, and classes.
const SETS: [(&str, usize, [usize; 2], usize); 3] =
    [("JapaneseVowels", 12, [7, 29], 9), ("BasicMotions", 6, [100, 100], 4), ("ItalyPowerDemand", 1, [24, 24], 2)];

/// A folder with a part of a set as `NAME_TRAIN.ts` and `NAME_TEST.ts`: the published one where it is, a made-up one of the same shape elsewhere.
fn set(folder: &Path, (name, channels, steps, classes): (&str, usize, [usize; 2], usize)) {
    for part in ["TRAIN", "TEST"] {
        let file = format!("{name}_{part}.ts");
        let published = root().join("../shared/data/series").join(&file);
        if published.is_file() {
            fs::copy(&published, folder.join(&file)).unwrap();
        } else {
            eprintln!("{} is not there: a made-up set takes its place", published.display());
            fs::write(folder.join(&file), made_up(channels, steps, classes)).unwrap();
        }
    }
}

/// Forty series of swings; their speed and level depend on the class and the channel.
fn made_up(channels: usize, [fewest, most]: [usize; 2], classes: usize) -> String {
    let names: Vec<String> = (1..=classes).map(|class| class.to_string()).collect();
    let mut text = format!("@univariate {}\n@classLabel true {}\n@data\n", channels == 1, names.join(" "));
    for number in 0..40 {
        let (class, steps) = (number % classes, fewest + (number * 5) % (most - fewest + 1));
        for channel in 0..channels {
            let speed = 0.2 + 0.7 * class as f64 / classes as f64 + number as f64 / 1e4;
            let value = |step: usize| 3.0 * (step as f64 * speed + channel as f64).sin() + channel as f64;
            let values: Vec<String> = (0..steps).map(|step| format!("{:.3}", value(step))).collect();
            let _ = write!(text, "{}:", values.join(","));
        }
        let _ = writeln!(text, "{}", names[class]);
    }
    text
}

/// Shows nothing.
struct Silent;

impl Progress for Silent {
    fn batch(&mut self, _: &BatchProgress) {}

    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}

/// Trains a model on series for two epochs, and writes its images: `NAME-int8.latch` and so on.
fn train(folder: &Path, name: &str, data: &Path, task: Task, model: &str) {
    let model = model_of(task, Some(model.parse().unwrap_or_else(|error| panic!("{error}"))));
    let series = SeriesConfig { horizon: task.has_values().then_some(1), ..SeriesConfig::default() };
    let config = RunConfig {
        latch: String::new(),
        train: TrainConfig { model, task, epochs: 2, patience: 2, seed: 1, learning_rate: 0.02, ..default_config() },
        data: data.to_owned(),
        data_sha256: String::new(),
        columns: Columns::default(),
        series: Some(series),
        classes: Vec::new(),
        valid: Valid::Fraction(0.3),
        imported: None,
    };
    let run = folder.join(name);
    begin(config, None, &RunFolder::new(&run), &mut Silent).unwrap();
    let run = Trained::read(&RunFolder::new(&run)).unwrap();
    let export = Export::of(run.source(), true).unwrap();
    for storage in [Storage::Int8, Storage::Int16, Storage::F32] {
        let image = export.image(storage).unwrap();
        fs::write(folder.join(format!("{name}-{}.latch", storage.name())), &image.bytes[..]).unwrap();
    }
}

/// A folder with a made-up set of two channels and three classes, and the images of a model of it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("some.ts"), made_up(2, [5, 12], 3)).unwrap();
    let data = folder.path().join("some.ts");
    train(folder.path(), "some", &data, Task::Classify(0), "samples > gru 5 > last > dense");
    folder
}

fn latch_sim(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latch-sim"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// The lines of JSON of a command that must succeed.
fn lines(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = latch_sim(folder, &[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The digest of all answers of an image to the series of a file, and the steps, by the engine and the values themselves.
fn engines(folder: &Path, image: &str, data: &str, limit: usize) -> (String, usize) {
    let bytes = AlignedBytes::new(&fs::read(folder.join(image)).unwrap());
    let image = Image::open(&bytes).unwrap();
    let model = Model::new(&image);
    let mut state = AlignedBytes::zeroed(model.state_bytes());
    let mut session = model.session_in(&mut state).unwrap();
    let task = match model.answer().kind {
        AnswerKind::Classes => SeriesTask::Classify,
        AnswerKind::Values => SeriesTask::Forecast,
    };
    let set = series::load(&folder.join(data), Part::Test, &SeriesReading::of(task)).unwrap();
    let (mut digest, mut steps) = (Digest::default(), 0);
    for series in set.series.iter().take(limit) {
        session.reset();
        let each = |view: &mut View<'_, '_, '_>| view.digest(&mut digest);
        session.push_samples_f32_each(&series.frames, each).unwrap();
        steps += series.steps();
    }
    (digest.to_string(), steps)
}

#[test]
fn the_simulated_part_reads_series_and_computes_what_the_engine_computes_of_their_values() {
    let folder = folder();
    for image in ["some-int8.latch", "some-int16.latch"] {
        let run = ["run", "--image", image, "--board", "rp2040", "--no-estimate", "--data", "some.ts"];
        let line = lines(folder.path(), &run).remove(0);
        let (digest, steps) = engines(folder.path(), image, "some.ts", usize::MAX);
        assert_eq!((line["digest"].as_str(), line["tokens"].as_u64()), (Some(digest.as_str()), Some(steps as u64)));
        assert_eq!(line["texts"], 40);
        assert!(line["accuracy"].as_f64().is_some() && line["p50_ns"].as_u64().is_some_and(|time| time > 0), "{line}");
        let limited = lines(folder.path(), &[&run[..], &["--limit", "3"]].concat()).remove(0);
        assert_eq!(limited["digest"].as_str(), Some(&*engines(folder.path(), image, "some.ts", 3).0));
    }
    let said = latch_sim(
        folder.path(),
        &["run", "--image", "some-f32.latch", "--board", "nrf52840", "--no-estimate", "--data", "some.ts"],
    );
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for words in ["steps ", " in 40 series", "µs a step", "accuracy "] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

/// Writes the image of a trained run whose streams begin behind frames of rest.
fn warm(folder: &Path, name: &str, frames: &str) -> String {
    let run = Trained::read(&RunFolder::new(folder.join(name))).unwrap();
    let warm_up = frames.parse().unwrap();
    let export = Export::of(Source { warm_up: Some(&warm_up), ..run.source() }, true).unwrap();
    let file = format!("{name}-warm.latch");
    fs::write(folder.join(&file), &export.image(Storage::Int8).unwrap().bytes[..]).unwrap();
    file
}

#[test]
fn the_simulated_part_begins_each_series_in_the_start_state_of_the_image() {
    let folder = folder();
    let image = warm(folder.path(), "some", "9");
    let line = |image: &str, board: &str| {
        let run = ["run", "--image", image, "--board", board, "--no-estimate", "--data", "some.ts"];
        lines(folder.path(), &run).remove(0)
    };
    let (digest, steps) = engines(folder.path(), &image, "some.ts", usize::MAX);
    for board in ["rp2040", "nrf52840"] {
        let line = line(&image, board);
        assert_eq!((line["digest"].as_str(), line["tokens"].as_u64()), (Some(digest.as_str()), Some(steps as u64)));
        assert_eq!(line["texts"], 40);
    }
    assert_ne!(line("some-int8.latch", "rp2040")["digest"].as_str(), Some(digest.as_str()));
}

#[test]
fn a_firmware_begins_each_series_in_the_start_state_and_one_without_the_feature_refuses_it_by_name() {
    if toolchain().is_none() {
        return;
    }
    let folder = folder();
    let image = warm(folder.path(), "some", "9");
    assert_equal_on_every_board(folder.path(), &image, "some.ts", 5);
    let board = find("mps2-an386").unwrap();
    let batch = Batch::new([bytes_of([1, 2, 3, 4])], false);
    let image = folder.path().join(image);
    let outcome =
        boot(board, &build(board, Port::Semihosting), Some(&image), &batch.bytes, &boot::Options::default()).unwrap();
    let said = batch.read(&outcome.output).expect_err("the firmware begins with zeros only").to_string();
    assert!(said.contains("the feature `start`, which the firmware was built without"), "{said}");
}

#[test]
fn tables_and_arrays_are_read_with_and_without_labels_and_channels_are_chosen() {
    let folder = folder();
    let digest = |data: &str, more: &[&str]| {
        let run = ["run", "--image", "some-int8.latch", "--board", "rp2040", "--no-estimate", "--data", data];
        let line = lines(folder.path(), &[&run[..], more].concat()).remove(0);
        (line["digest"].as_str().unwrap().to_owned(), line["texts"].as_u64(), line["accuracy"].is_f64())
    };
    let values = [[1.5_f32, -2.0], [0.25, 3.0], [-1.0, 0.5]];
    let rows = |order: [usize; 2], label: &str| {
        let cells = |row: &[f32; 2]| format!("a,{},{}{label}\n", row[order[0]], row[order[1]]);
        values.iter().map(cells).collect::<String>()
    };
    fs::write(folder.path().join("a.csv"), format!("series,x,y,label\n{}", rows([0, 1], ",2"))).unwrap();
    fs::write(folder.path().join("b.csv"), format!("series,y,x,label\n{}", rows([1, 0], ",3"))).unwrap();
    latch_data::series::write_numbers(&folder.path().join("x.npy"), values.as_flattened(), &[1, 3, 2], None).unwrap();
    let first = digest("a.csv", &[]);
    assert_eq!((first.1, first.2), (Some(1), true));
    assert_eq!(digest("b.csv", &["--channels", "x,y"]).0, first.0);
    assert_ne!(digest("b.csv", &[]).0, first.0);
    assert_eq!(digest("x.npy", &[]), (first.0, Some(1), false));

    // An image that forecasts needs no labels.
    let months: String = (0..60).map(|month| format!("{month},{}\n", (f64::from(month) * 0.5).sin())).collect();
    fs::write(folder.path().join("months.csv"), format!("time,value\n{months}")).unwrap();
    let data = folder.path().join("months.csv");
    train(folder.path(), "months", &data, Task::RegressEach, "samples > gru 4 > dense");
    let run = ["run", "--image", "months-int16.latch", "--board", "rp2040", "--no-estimate", "--data", "months.csv"];
    let line = lines(folder.path(), &run).remove(0);
    assert_eq!((line["tokens"].as_u64(), line["texts"].as_u64()), (Some(60), Some(1)), "{line}");
}

#[test]
fn what_is_no_series_of_the_image_is_refused_with_a_remedy() {
    let folder = folder();
    fs::write(folder.path().join("three.ts"), made_up(3, [5, 12], 3)).unwrap();
    fs::write(folder.path().join("four.ts"), made_up(2, [5, 12], 4)).unwrap();
    let wrong = made_up(2, [5, 12], 3).replacen(",", ",high,", 1);
    fs::write(folder.path().join("wrong.ts"), wrong).unwrap();
    for (more, words) in [
        (&["--text", "hello"][..], &["--text: the image reads samples of sensors", "--data"][..]),
        (&[], &["standard input: the image reads samples", "--data"]),
        (&["--data", "three.ts"], &["three.ts: it has 3 channels (1, 2, 3), and the image reads 2", "--channels"]),
        (&["--data", "four.ts"], &["four.ts", "\"4\""]),
        (&["--data", "wrong.ts"], &["wrong.ts:4", "\"high\""]),
        (&["--data", "absent.ts"], &["absent.ts"]),
        (&["--data", "some.ts", "--text-column", "x"], &["--text-column: the image reads series"]),
    ] {
        let run = ["run", "--image", "some-int8.latch", "--board", "rp2040", "--no-estimate"];
        let output = latch_sim(folder.path(), &[&run[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{more:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{more:?}: {said}");
    }
}

#[test]
fn counts_may_be_cut_anywhere_on_the_link_and_half_a_frame_is_left_out() {
    let folder = folder();
    let bytes = AlignedBytes::new(&fs::read(folder.path().join("some-int8.latch")).unwrap());
    let series: Vec<Vec<u8>> = (0..4).map(|number| bytes_of((0..14).map(|count| (count - 6) * 900 * number))).collect();
    let plain = AnyBackend::all().next().unwrap();
    let whole = reference::transcript(&bytes, plain, &Batch::new(&series, false)).unwrap();
    assert_eq!((whole.info.channels, whole.summary.tokens, whole.summary.texts), (2, 28, 4));
    for backend in AnyBackend::all() {
        // In a traced session each byte comes alone.
        let cut = reference::transcript(&bytes, backend, &Batch::new(&series, true)).unwrap();
        assert_eq!(cut.summary, whole.summary);
        assert_eq!(cut.answers[1].verdict, whole.answers[1].verdict);
    }
    for odd in 1..4 {
        let half: Vec<Vec<u8>> = series.iter().map(|series| [series, &[7; 3][..odd]].concat()).collect();
        let found = reference::transcript(&bytes, plain, &Batch::new(&half, false)).unwrap();
        assert_eq!(found.summary, whole.summary);
    }
    let none = reference::transcript(&bytes, plain, &Batch::new([b""], false)).unwrap();
    assert_eq!((none.summary.tokens, none.summary.texts), (0, 1));
}

/// Holds every board, with plain kernels and with its own, to this host's digest, and that to the engine's.
pub(crate) fn assert_equal_on_every_board(folder: &Path, image: &str, data: &str, series: usize) {
    assert_equal_on(("all", BOARDS), folder, image, data, series);
}

/// The same of the boards that the command calls so.
fn assert_equal_on((name, boards): (&str, &[Board]), folder: &Path, image: &str, data: &str, series: usize) {
    let limit = series.to_string();
    let verify = ["verify", "--image", image, "--board", name, "--data", data, "--limit", &limit];
    let (digest, steps) = engines(folder, image, data, series);
    let mut seen = BTreeSet::new();
    for line in lines(folder, &verify) {
        assert_eq!((&line["equal"], line["digest"].as_str()), (&true.into(), Some(digest.as_str())), "{line}");
        assert_eq!((&line["texts"], &line["tokens"]), (&series.into(), &steps.into()), "{line}");
        seen.insert((line["board"].to_string(), line["kernels"].to_string()));
    }
    for board in boards {
        for kernels in ["plain", "own"] {
            let (board, kernels) = (format!("{:?}", board.name), format!("{kernels:?}"));
            assert!(seen.contains(&(board.clone(), kernels.clone())), "{board} with {kernels} kernels is missing");
        }
    }
    eprintln!("{image}: {series} series, {steps} steps, digest {digest} on boards: {name}");
}

#[test]
fn series_of_each_published_set_give_the_same_digest_on_every_board_in_int8_and_int16() {
    if toolchain().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for of in SETS {
        let name = of.0;
        set(folder.path(), of);
        let data = folder.path().join(format!("{name}_TRAIN.ts"));
        train(folder.path(), name, &data, Task::Classify(0), "samples > gru 12 > max > dense");
        for precision in ["int8", "int16"] {
            let image = format!("{name}-{precision}.latch");
            assert_equal_on_every_board(folder.path(), &image, &format!("{name}_TEST.ts"), 20);
        }
    }
}

#[test]
fn a_convolution_and_a_skip_fit_the_smallest_board_and_give_the_same_digest_there() {
    if toolchain().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let swing = |step: usize| (step as f32 * 0.7).sin() + step as f32 / 50.0;
    let rows: String = (0..80).map(|step| format!("{step},{}\n", swing(step))).collect();
    let data = folder.path().join("swing.csv");
    fs::write(&data, format!("time,value\n{rows}")).unwrap();
    let model = "samples > conv1d 6 k3 s2 relu > gru 6 > dense > skip lag=3";
    train(folder.path(), "swing", &data, Task::RegressEach, model);
    // The largest of the firmwares for integers.
    let smallest = ("microbit", std::slice::from_ref(find("microbit").unwrap()));
    assert_equal_on(smallest, folder.path(), "swing-int16.latch", "swing.csv", 1);
}

#[test]
fn a_firmware_says_which_input_it_was_built_without() {
    if toolchain().is_none() {
        return;
    }
    let folder = folder();
    let board = find("mps2-an386").unwrap();
    let elf = firmware::build(board, Program::Firmware, &Options::default()).unwrap();
    let image = folder.path().join("some-int8.latch");
    let batch = Batch::new([bytes_of([1, 2, 3, 4])], false);
    let outcome = boot(board, &elf, Some(&image), &batch.bytes, &boot::Options::default()).unwrap();
    let refused = batch.read(&outcome.output).expect_err("the firmware reads texts only");
    assert!(matches!(refused, LinkError::Refused(Refusal::MissingFeature { .. })), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("the feature `samples`, which the firmware was built without"), "{said}");
}

/// The firmware for series, with the features that series share.
fn build(board: &Board, port: Port) -> PathBuf {
    let options = Options { port, features: SERIES_FEATURES.to_vec(), ..Options::default() };
    firmware::build(board, Program::Firmware, &options).unwrap_or_else(|error| panic!("{}: {error:#}", board.name))
}

#[test]
fn a_firmware_that_pushes_counts_into_an_integer_image_has_no_float_routine_and_cannot_panic() {
    if toolchain().is_none() {
        return;
    }
    for board in BOARDS {
        for port in [Port::Semihosting, Port::Uart] {
            crate::chips::assert_small(board.name, &Elf::read(&build(board, port)).unwrap());
        }
    }
}

#[test]
fn a_step_of_samples_is_counted_and_takes_the_stack_that_inspect_says() {
    if toolchain().is_none() {
        return;
    }
    let folder = folder();
    let bytes = AlignedBytes::new(&fs::read(folder.path().join("some-int8.latch")).unwrap());
    let limit = firmware_stack(&Image::open(&bytes).unwrap().description());
    for board in BOARDS {
        let device = ["device", board.name, "--image", "some-int8.latch", "--data", "some.ts", "--limit", "5"];
        let line = lines(folder.path(), &device).remove(0);
        assert_eq!(line["digest"], line["host_digest"], "{line}");
        assert!(line["instructions_per_token"].as_f64().is_some_and(|count| count > 100.0), "{line}");
        let stack = line["stack_bytes"].as_u64().unwrap() as usize;
        eprintln!("{}: {} bytes of stack, {} instructions a step", board.name, stack, line["instructions_per_token"]);
        assert!((limit / 2..=limit).contains(&stack), "{}: {stack} bytes of stack, stated are {limit}", board.name);
    }
}
