//! The certificate: what the emulated boards compute is what this host computes, bit for bit; and what the firmware is made of.
//!
//! These tests build the firmware and boot it in QEMU. Where a compiler for the chips or QEMU is missing they say so and pass, and fail where
//! the variable `CI` is `true`; `cargo xtask setup` installs both.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use latch_data::dataset::{self, Part, built_in};
use latch_emulator::boot::{self, boot};
use latch_emulator::command::root;
use latch_emulator::elf::Elf;
use latch_emulator::firmware::{self, Options, Port, Program};
use latch_emulator::toolchain::{Toolchain, absent_qemu};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Precision, project};
use latch_firmware_sim::link::host::batch::Batch;
use latch_firmware_sim::sim::budget::firmware_stack;
use latch_parts::boards::{BOARDS, Board, find};
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;
use serde_json::Value;

/// Reviews of the certificate, and the fewest tokens that they must come to.
const REVIEWS: usize = 200;
const LEAST_TOKENS: u64 = 20_000;

/// The compiler, or `None` where a tool is missing and that is allowed.
pub(crate) fn toolchain() -> Option<Toolchain> {
    let mut missing: Vec<String> =
        absent_qemu().into_iter().map(|program| format!("{program} is not installed")).collect();
    let found = Toolchain::find().map_err(|error| missing.push(error.to_string())).ok();
    if missing.is_empty() {
        return found;
    }
    let missing = missing.join("; ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true does not allow: {missing}");
    eprintln!("skipped: {missing}");
    None
}

/// The texts of real reviews where the data set is, made-up ones elsewhere; which of them, in words.
fn reviews() -> (Vec<String>, &'static str) {
    let path = root().join("../shared/data/imdb_train.tsv.gz");
    if path.is_file() {
        let examples = dataset::open(&path, Part::Train).expect("the data set can be opened");
        let texts = examples.take(REVIEWS).map(|example| example.expect("a review").text).collect();
        return (texts, "real reviews");
    }
    eprintln!("{} is not there: made-up reviews take the place of real ones", path.display());
    // Their mean length is a fraction of a real one's.
    (built_in::generate(1, 8 * REVIEWS).into_iter().map(|example| example.text).collect(), "made-up reviews")
}

/// An image with random weights and a vocabulary of the texts, in a folder with the texts.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(texts: &[String], width: usize, units: &[usize], pooling: Pooling, precision: Precision) -> Self {
        let vocabulary = Vocabulary::build(texts.iter().map(String::as_str), 5000, Unknown::LastRow);
        let weights = Weights::random(vocabulary.rows(), width, units, pooling, 7);
        let image =
            to_image(&weights, &vocabulary, precision, &Origin::default()).expect("random weights fit an image");
        Self::of(texts, &image)
    }

    /// An image of a chain with random weights.
    fn of_chain(texts: &[String], chain: &str) -> Self {
        let vocabulary = Vocabulary::build(texts.iter().map(String::as_str), 5000, Unknown::LastRow);
        let chain = chain.parse().expect("a chain");
        let config = NetworkConfig { vocabulary: vocabulary.rows(), outputs: 1, chain };
        let weights = Weights::of(&Network::new(&config, 7).expect("a network"));
        let image =
            to_image(&weights, &vocabulary, Precision::Int8, &Origin::default()).expect("random weights fit an image");
        Self::of(texts, &image)
    }

    /// An image with the embedding of this case's folded for the given ids.
    fn folded(&self, texts: &[String], ids: &[u32]) -> Self {
        let bytes = AlignedBytes::new(&std::fs::read(self.image()).expect("it was just written"));
        let image = Image::open(&bytes).expect("it was just made");
        Self::of(texts, &project(&image, ids).expect("the ids are in the embedding"))
    }

    fn of(texts: &[String], image: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("model.latch"), image).expect("writable");
        let clean = |text: &String| text.replace(['\t', '\n', '\r'], " ");
        let lines: String =
            texts.iter().enumerate().map(|(number, text)| format!("{}\t{}\n", number % 2, clean(text))).collect();
        std::fs::write(folder.path().join("texts.tsv"), format!("label\ttext\n{lines}")).expect("writable");
        Case { folder }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("model.latch")
    }

    /// Runs `latch-sim` with these arguments and the case's image; gives its status and its lines of JSON.
    fn latch_sim(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let output = Command::new(env!("CARGO_BIN_EXE_latch-sim"))
            .args(arguments)
            .arg("--json")
            .arg("--image")
            .arg(self.image())
            .current_dir(self.folder.path())
            .output()
            .expect("latch-sim starts");
        let said = String::from_utf8_lossy(&output.stdout);
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        let lines = said.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        (output.status.code().unwrap_or(-1), lines)
    }

    /// Holds every board, with plain kernels and with its own, to the digest of this host. Gives the tokens.
    fn assert_equal_on_every_board(&self, texts: usize) -> u64 {
        let limit = texts.to_string();
        let (status, lines) = self.latch_sim(&["verify", "--board", "all", "--data", "texts.tsv", "--limit", &limit]);
        let mut seen = BTreeSet::new();
        let mut digests = BTreeSet::new();
        for line in &lines {
            assert_eq!(line["equal"], true, "{line}");
            assert_eq!(line["digest"], line["host_digest"], "{line}");
            assert_eq!(line["texts"], texts, "{line}");
            digests.insert(line["digest"].as_str().expect("a digest"));
            seen.insert((line["board"].as_str().expect("a board"), line["kernels"].as_str().expect("kernels")));
        }
        for board in BOARDS {
            for kernels in ["plain", "own"] {
                assert!(seen.contains(&(board.name, kernels)), "{} with {kernels} kernels is missing", board.name);
            }
        }
        assert_eq!((status, digests.len()), (0, 1));
        lines[0]["tokens"].as_u64().expect("a number of tokens")
    }
}

#[test]
fn every_board_computes_what_this_host_computes_over_two_hundred_reviews() {
    if toolchain().is_none() {
        return;
    }
    let (texts, kind) = reviews();
    let case = Case::new(&texts, 8, &[32], Pooling::Max, Precision::Int8);
    let tokens = case.assert_equal_on_every_board(texts.len());
    eprintln!("{} {kind}, {tokens} tokens, the same digest everywhere", texts.len());
    assert!(tokens >= LEAST_TOKENS, "only {tokens} tokens");
}

#[test]
fn two_layers_of_odd_sizes_and_a_running_mean_are_the_same_on_every_board() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(2, 40).into_iter().map(|example| example.text).collect();
    let case = Case::new(&texts, 5, &[17, 9], Pooling::Mean, Precision::Int8);
    case.assert_equal_on_every_board(texts.len());
}

#[test]
fn a_pooling_by_attention_is_the_same_on_every_board() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(8, 20).into_iter().map(|example| example.text).collect();
    let case = Case::new(&texts, 5, &[17, 9], Pooling::Attention, Precision::Int8);
    case.assert_equal_on_every_board(texts.len());
}

/// Some ids have a ready row and others not: tokens take both ways through the firmware.
#[test]
fn convolutions_in_front_of_a_cell_and_behind_it_are_the_same_on_every_board() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(4, 3).into_iter().map(|example| example.text).collect();
    let case = Case::of_chain(&texts, "embedding 7 > conv1d 9 k3 s2 relu > gru 6 > conv1d 5 k2 > last > dense");
    case.assert_equal_on_every_board(texts.len());
}

#[test]
fn two_directions_are_the_same_on_every_board() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(4, 3).into_iter().map(|example| example.text).collect();
    let chain = "embedding 7 > bilstm 9 steps=30 > bilstm 6 average steps=30 > max > dense";
    Case::of_chain(&texts, chain).assert_equal_on_every_board(texts.len());
}

#[test]
fn a_folded_embedding_gives_the_same_digest_on_every_board_as_the_image_that_it_was_made_from() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(6, 20).into_iter().map(|example| example.text).collect();
    let case = Case::new(&texts, 5, &[17, 9], Pooling::Mean, Precision::Int8);
    let ids: Vec<u32> = (0..).step_by(3).take(20).collect();
    let folded = case.folded(&texts, &ids);
    folded.assert_equal_on_every_board(texts.len());
    let digest = |case: &Case| case.latch_sim(&["device", "mps2-an386", "--data", "texts.tsv"]).1[0]["digest"].clone();
    assert_eq!(digest(&folded), digest(&case));
}

#[test]
fn a_firmware_without_projection_says_so_of_a_projected_image() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(7, 3).into_iter().map(|example| example.text).collect();
    let folded = Case::new(&texts, 5, &[6], Pooling::Last, Precision::Int8).folded(&texts, &[0, 1]);
    let board = find("mps2-an386").expect("a board of the table");
    let elf = build(board, Program::Firmware, &Options::default());
    let batch = Batch::new(texts.iter().map(String::as_bytes), false);
    let outcome = boot(board, &elf, Some(&folded.image()), &batch.bytes, &boot::Options::default()).expect("it boots");
    let error = batch.read(&outcome.output).expect_err("the firmware cannot run it").to_string();
    assert!(error.contains("the feature `projection`"), "{error}");
}

#[test]
fn float_models_on_a_board_stay_close_to_this_host() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(3, 10).into_iter().map(|example| example.text).collect();
    for precision in [Precision::F16, Precision::F32] {
        let case = Case::new(&texts, 8, &[20], Pooling::Last, precision);
        for board in ["mps2-an386", "mps3-an547"] {
            let (status, lines) = case.latch_sim(&["verify", "--board", board, "--data", "texts.tsv"]);
            assert_eq!(status, 0, "{lines:?}");
            assert_eq!(lines.iter().filter(|line| line["board"] == board).count(), 2);
        }
    }
}

#[test]
fn the_kernels_of_every_board_equal_the_scalar_ones() {
    if toolchain().is_none() {
        return;
    }
    for board in BOARDS {
        // Integers by a build without floats, and floats by one of their own where there are kernels for them.
        let has_fpu = board.target.ends_with("eabihf");
        for float in if has_fpu { &[false, true][..] } else { &[false] } {
            let elf = build(board, Program::Parity, &Options { float: *float, ..Options::default() });
            let options = boot::Options { timeout: Duration::from_secs(120), ..boot::Options::default() };
            let outcome = boot(board, &elf, None, &[], &options).expect("the board boots");
            assert_eq!(
                outcome.status, 0,
                "{}, floats {float}: check {} of bin/parity/main.rs",
                board.name, outcome.status
            );
        }
    }
}

fn build(board: &Board, program: Program, options: &Options) -> PathBuf {
    firmware::build(board, program, options).unwrap_or_else(|error| panic!("{}: {error:#}", board.name))
}

/// Names of the compiler's routines for floats without an FPU: Arm's run-time ABI (RTABI 4.1.2) and those of libgcc.
fn is_soft_float(symbol: &str) -> bool {
    let arm = symbol.strip_prefix("__aeabi_").is_some_and(|name| {
        let converts = ["i2f", "i2d", "ui2f", "ui2d", "l2f", "l2d", "ul2f", "ul2d", "h2f"].contains(&name);
        converts
            || ["f", "d", "cf", "cd"].iter().any(|prefix| {
                name.strip_prefix(prefix).is_some_and(|rest| {
                    ["add", "sub", "rsub", "mul", "div", "cmp", "2", "neg"].iter().any(|start| rest.starts_with(start))
                })
            })
    });
    let gcc = symbol.starts_with("__")
        && ["sf2", "sf3", "df2", "df3", "sfsi", "sfdi", "dfsi", "dfdi", "sisf", "disf", "sidf", "didf"]
            .iter()
            .any(|ending| symbol.ends_with(ending));
    arm || gcc
}

#[test]
fn soft_float_routines_are_known_by_their_names() {
    for symbol in [
        "__aeabi_fadd",
        "__aeabi_dmul",
        "__aeabi_f2iz",
        "__aeabi_i2f",
        "__aeabi_fcmplt",
        "__addsf3",
        "__fixsfsi",
        "__aeabi_cfcmple",
    ] {
        assert!(is_soft_float(symbol), "{symbol}");
    }
    for symbol in ["__aeabi_memcpy", "__aeabi_lmul", "__aeabi_uidiv", "__muldi3", "__aeabi_llsl", "main", "__udivsi3"] {
        assert!(!is_soft_float(symbol), "{symbol}");
    }
}

/// Nothing in a program panics, allocates, formats, or computes with floats where there is no FPU, by the names of its
/// symbols.
pub(crate) fn assert_small(board: &str, elf: &Elf) {
    assert!(elf.symbols.len() > 50, "{board}: the symbols were stripped");
    for symbol in &elf.symbols {
        let name = &symbol.name;
        // The handler itself is always there; nothing may lead to it.
        let panics = name.contains("panicking") || name.contains("panic_fmt") || name.contains("unwrap_failed");
        let allocates = name.contains("__rust_alloc") || name.contains("__rg_alloc");
        let formats = name.contains("core3fmt") || name.contains("core..fmt");
        assert!(!panics && !allocates && !formats, "{board}: {name}");
        assert!(!is_soft_float(name), "{board}: {name}");
    }
}

#[test]
fn the_firmware_cannot_panic_allocate_or_format_and_integers_need_no_floats() {
    if toolchain().is_none() {
        return;
    }
    for board in BOARDS {
        for port in [Port::Semihosting, Port::Uart] {
            let elf = Elf::read(&build(board, Program::Firmware, &Options { port, ..Options::default() }))
                .expect("an ELF file");
            assert_small(board.name, &elf);
        }
    }
}

#[test]
fn stack_and_ram_beside_the_state_stay_below_a_kibibyte_each() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(4, 3).into_iter().map(|example| example.text).collect();
    let case = Case::new(&texts, 8, &[32], Pooling::Max, Precision::Int8);
    for board in BOARDS {
        let (status, lines) = case.latch_sim(&["device", board.name, "--data", "texts.tsv", "--limit", "3"]);
        assert_eq!((status, lines.len()), (0, 1), "{}: {lines:?}", board.name);
        let line = &lines[0];
        for key in ["instructions_per_token", "loads_per_token", "stores_per_token", "estimated_cycles_per_token"] {
            assert!(line[key].as_f64().is_some_and(|value| value > 1.0), "{key}: {line}");
        }
        assert_eq!(line["digest"], line["host_digest"], "{line}");
        let stack = line["stack_bytes"].as_u64().expect("a number");
        assert!((200..=1024).contains(&stack), "{}: {stack} bytes of stack", board.name);
        let data = line["data_bytes"].as_u64().expect("a number");
        let beside = data - u64::from(board.state_bytes);
        assert!(beside <= 1024, "{}: {beside} bytes of RAM beside the state", board.name);
    }
}

/// The boards on which the chains of each limit go deepest; the LSTM layer by itself is held to a kibibyte on every board above.
#[test]
fn the_chains_that_take_the_most_stack_take_what_inspect_says() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(4, 3).into_iter().map(|example| example.text).collect();
    for (chain, board) in [
        ("embedding 8 > gru 32 > attention > dense", "mps3-an547"),
        ("embedding 5 > gru 33 reset_before > mean > dense", "riscv32imac"),
        ("embedding 8 > conv1d 16 k3 > lstm 16 > attention > dense", "microbit"),
        ("embedding 8 > lstm 16 > attention > dense 8 tanh > dense", "microbit"),
        ("embedding 8 > rnn 33 relu > dense 9 sigmoid > max > dense", "microbit"),
        ("embedding 8 > bilstm 16 steps=40 > last > dense", "mps3-an547"),
        ("embedding 8 > bigru 16 steps=40 > max > dense", "mps3-an547"),
    ] {
        let case = Case::of_chain(&texts, chain);
        let bytes = AlignedBytes::new(&std::fs::read(case.image()).expect("it was just written"));
        let image = Image::open(&bytes).expect("it was just made");
        let limit = firmware_stack(&image.description());
        let (status, lines) = case.latch_sim(&["device", board, "--data", "texts.tsv", "--limit", "2"]);
        assert_eq!((status, lines.len()), (0, 1), "{board}: {lines:?}");
        let stack = lines[0]["stack_bytes"].as_u64().expect("a number") as usize;
        assert!(
            (limit * 9 / 10..=limit).contains(&stack),
            "{board}: {stack} bytes of stack where {limit} are stated, {chain}"
        );
    }
}

/// The most instructions that 4 KiB of text may take on the Cortex-M0 with 8 features and 32 units, as docs/results/2026-11-28-longest-push.md has it: a token
/// each byte.
const LONGEST_PUSH: f64 = 245e6;

#[test]
fn four_kibibytes_of_the_shortest_tokens_take_no_longer_on_an_m0_than_documented() {
    let Some(_) = toolchain() else { return };
    let mut texts = vec!["a,".repeat(2_048)];
    texts.extend(built_in::generate(1, 2_000).into_iter().map(|example| example.text));
    let case = Case::new(&texts, 8, &[32], Pooling::Attention, Precision::Int8);
    let (status, lines) = case.latch_sim(&["device", "microbit", "--data", "texts.tsv", "--limit", "1"]);
    assert_eq!((status, lines[0]["tokens"].as_u64()), (0, Some(4_096)), "{lines:?}");
    let instructions = 4_096.0 * lines[0]["instructions_per_token"].as_f64().expect("a count");
    assert!((LONGEST_PUSH / 2.0..=LONGEST_PUSH).contains(&instructions), "{instructions}");
}

#[test]
fn counting_the_same_run_twice_gives_the_same_numbers() {
    if toolchain().is_none() {
        return;
    }
    let texts: Vec<String> = built_in::generate(5, 2).into_iter().map(|example| example.text).collect();
    let case = Case::new(&texts, 8, &[16], Pooling::Mean, Precision::Int8);
    let count = || case.latch_sim(&["device", "mps2-an386", "--data", "texts.tsv"]).1;
    let first = count();
    assert_eq!(first, count());
    assert!(first[0]["instructions_per_token"].as_f64().is_some_and(|count| count > 1000.0), "{first:?}");
}

#[test]
fn a_name_that_is_no_board_is_answered_with_the_names_that_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_latch-sim"))
        .args(["device", "mps2-an387", "--image", "none.latch", "--text", "x"])
        .current_dir(folder.path())
        .output()
        .expect("latch-sim starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(BOARDS.iter().all(|board| said.contains(board.name)), "{said}");
    assert!(!Path::new("none.latch").exists());
}
