//! `latch-sim` as a user meets it: what it prints, and how it refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use latch_engine::image::Image;
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Model, Precision, State};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;
use tempfile::TempDir;

/// A folder with an image and a data set.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self::with(Pooling::Mean)
    }

    fn with(pooling: Pooling) -> Self {
        let words = ["a", "bad", "film", "good", "not"].map(String::from).to_vec();
        let vocabulary = Vocabulary::from_words(words, Unknown::LastRow);
        let weights = Weights::random(vocabulary.rows(), 4, &[8], pooling, 3);
        let image = to_image(&weights, &vocabulary, Precision::Int8, &Origin::default()).unwrap();
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::write(folder.image(), &image[..]).unwrap();
        std::fs::write(folder.data(), "0\tbad film\n1\tgood film\n1\tnot bad\n0\tnot good\n").unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("model.latch")
    }

    fn data(&self) -> PathBuf {
        self.path("data.tsv")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run_image(&self.image(), arguments, "")
    }
}

fn latch_sim(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_latch-sim"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn run_image(image: &Path, arguments: &[&str], input: &str) -> Output {
    let mut all = vec!["run", "--image", image.to_str().unwrap()];
    all.extend(arguments);
    latch_sim(&all, input)
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line that a refusal prints, with exit code 2 and nothing on standard output.
fn refused(output: &Output) -> String {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    message
}

#[test]
fn one_line_of_json_begins_with_the_fixed_keys() {
    let folder = Folder::new();
    let line = printed(&folder.run(&["--board", "nRF52840", "--text", "a good film", "--json"]));
    assert_eq!(line.lines().count(), 1);
    let mut rest = line.as_str();
    for key in ["board", "flash_used", "ram_used", "tokens", "p50_ns", "p99_ns", "digest"] {
        let at = rest.find('"').unwrap();
        assert!(rest[at + 1..].starts_with(&format!("{key}\":")), "{key} in {rest}");
        let value = rest.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
        rest = &rest[value..];
        rest = &rest[rest.find(',').unwrap()..];
    }
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&value["board"], &value["tokens"], &value["texts"]), (&"nrf52840".into(), &3.into(), &1.into()));
    assert_eq!(value["digest"].as_str().unwrap().len(), 16);
    assert!((0.0..=1.0).contains(&value["probability"].as_f64().unwrap()));
}

#[test]
fn every_board_and_every_way_of_input_give_the_same_digest() {
    let folder = Folder::new();
    let digest = |output: Output| {
        let value: serde_json::Value = serde_json::from_str(&printed(&output)).unwrap();
        (value["digest"].to_string(), value["tokens"].to_string())
    };
    let data = folder.data();
    let data = data.to_str().unwrap();
    let first = digest(folder.run(&["--board", "rp2040", "--data", data, "--json"]));
    for board in ["stm32f446", "stm32l4r5", "STM32H743", "rp2350", "corstone-300"] {
        assert_eq!(digest(folder.run(&["--board", board, "--data", data, "--json"])), first);
    }
    let lines = "bad film\ngood film\nnot bad\nnot good\n";
    assert_eq!(digest(run_image(&folder.image(), &["--board", "rp2040", "--json"], lines)), first);
    let limited = digest(folder.run(&["--board", "rp2040", "--data", data, "--limit", "1", "--json"]));
    assert_eq!(limited, digest(folder.run(&["--board", "rp2040", "--text", "bad film", "--json"])));
}

#[test]
fn people_read_memory_latency_verdict_and_digest() {
    let folder = Folder::new();
    let text = printed(&folder.run(&["--board", "stm32l4r5", "--text", "not bad"]));
    for word in [
        "part ",
        "flash ",
        "RAM ",
        "state ",
        "stack reserve ",
        "tokens    2",
        "p50",
        "p99",
        "this host",
        "verdict",
        "probability",
        "digest",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    let data = folder.data();
    let text = printed(&folder.run(&["--board", "stm32l4r5", "--data", data.to_str().unwrap()]));
    assert!(text.contains("accuracy") && text.contains("of 4)"), "{text}");
}

#[test]
fn every_line_of_standard_input_gets_a_verdict() {
    let folder = Folder::new();
    let text = printed(&run_image(&folder.image(), &["--board", "rp2350"], "good\nbad film"));
    let verdicts: Vec<&str> = text.lines().filter(|line| line.contains("probability")).collect();
    assert_eq!(verdicts.len(), 2, "{text}");
    assert!(verdicts[0].ends_with("1 token") && verdicts[1].ends_with("2 tokens"), "{text}");
    assert!(
        refused(&run_image(&folder.image(), &["--board", "rp2350"], "")).contains("standard input: there is no text")
    );
}

#[test]
fn the_answer_among_three_classes_has_its_name_and_its_probability() {
    let folder = Folder::new();
    let vocabulary = Vocabulary::from_words(["bad", "film", "good"].map(String::from).to_vec(), Unknown::Skip);
    let mut weights = Weights::random(vocabulary.rows(), 4, &[8], Pooling::Mean, 3);
    weights.head = (0..24).map(|place| (place as f32 * 1.7).sin()).collect();
    weights.head_bias = vec![0.1, 0.3, -0.2];
    let classes = ["art", "food", "sport"].map(String::from);
    let origin = Origin { classes: classes.to_vec(), ..Origin::default() };
    let image = to_image(&weights, &vocabulary, Precision::F32, &origin).unwrap();
    std::fs::write(folder.image(), &image[..]).unwrap();
    for text in ["good film", "bad", "nothing known"] {
        let opened = Image::open(&image).unwrap();
        let model = Model::new(&opened);
        let mut state = State::<4096>::new();
        let mut session = model.session(&mut state).unwrap();
        session.push_bytes(text.as_bytes());
        session.finish();
        let powers = [0, 1, 2].map(|output| session.logit(output).to_f32().exp());
        let best = (0..3).max_by(|&a, &b| powers[a].total_cmp(&powers[b])).unwrap();
        let expected = powers[best] / powers.iter().sum::<f32>();

        let part = ["--board", "nrf52840", "--no-estimate"];
        let json = printed(&folder.run(&[&part[..], &["--text", text, "--json"]].concat()));
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["class"], classes[best], "{json}");
        assert!((line["probability"].as_f64().unwrap() as f32 - expected).abs() < 1e-4, "{json}: {expected}");
        let said = printed(&run_image(&folder.image(), &part, text));
        let sentence = format!("{0}, probability {expected:.4} of {0}", classes[best]);
        assert!(said.contains(&sentence), "{said}: {sentence}");
        assert_eq!(said.contains("no known word"), text == "nothing known", "{said}");
    }
}

#[test]
fn an_unknown_board_is_refused_and_the_known_ones_are_listed() {
    let folder = Folder::new();
    let message = refused(&folder.run(&["--board", "esp32", "--text", "x"]));
    assert!(
        message.contains("\"esp32\"") && message.contains("nrf52840") && message.contains("corstone-300"),
        "{message}"
    );
}

#[test]
fn a_missing_a_cut_and_a_foreign_file_are_refused_by_name() {
    let folder = Folder::new();
    let arguments = ["--board", "nrf52840", "--text", "x"];
    let missing = folder.path("none.latch");
    let message = refused(&run_image(&missing, &arguments, ""));
    assert!(message.contains("none.latch: there is no such file"), "{message}");

    let cut = folder.path("cut.latch");
    let bytes = std::fs::read(folder.image()).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let message = refused(&run_image(&cut, &arguments, ""));
    assert!(message.contains("cut.latch: the image is cut off") && message.contains("copy it again"), "{message}");

    let message = refused(&run_image(&folder.data(), &arguments, ""));
    assert!(message.contains("data.tsv: not a Latch image"), "{message}");
    let message = refused(&run_image(folder.0.path(), &arguments, ""));
    assert!(message.contains("it is a folder"), "{message}");
}

#[test]
fn wrong_data_and_wrong_usage_are_refused() {
    let folder = Folder::new();
    let message = refused(&folder.run(&["--board", "rp2040", "--data", "no/such.tsv"]));
    assert!(message.contains("no/such.tsv"), "{message}");
    let broken = folder.path("broken.tsv");
    std::fs::write(&broken, "1\tgood\nno tab\n").unwrap();
    let message = refused(&folder.run(&["--board", "rp2040", "--data", broken.to_str().unwrap(), "--json"]));
    assert!(message.contains("broken.tsv:2"), "{message}");
    refused(&folder.run(&["--board", "rp2040", "--text", "x", "--data", "y"]));
    refused(&folder.run(&["--board", "rp2040", "--text", "x", "--limit", "3"]));
    refused(&folder.run(&["--board", "rp2040", "--data", "x", "--limit", "0"]));
    refused(&folder.run(&["--text", "x"]));
}

/// A board at the other end of a socket.
#[cfg(unix)]
mod socket {
    use std::io::{self, Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use latch_engine::State;
    use latch_engine::image::encode::AlignedBytes;
    use latch_firmware_sim::link::board::{LinkBoard, Machine};

    use super::*;

    struct Bench<'f>(&'f [u8]);

    impl<'f> Machine<'f> for Bench<'f> {
        fn name(&self) -> &'static str {
            "bench"
        }

        fn image(&self) -> &'f [u8] {
            self.0
        }

        fn start(&mut self) {}

        fn stop(&mut self) -> u32 {
            0
        }
    }

    struct Socket(UnixStream);

    impl embedded_io::ErrorType for Socket {
        type Error = io::Error;
    }

    impl embedded_io::Read for Socket {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Read::read(&mut self.0, buffer)
        }
    }

    impl embedded_io::Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Write::write(&mut self.0, bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Write::flush(&mut self.0)
        }
    }

    /// Runs `latch-sim link` with these arguments against a board whose flash holds `image`.
    fn linked(folder: &Folder, image: &[u8], arguments: &[&str], input: &str) -> Output {
        let path = folder.path("socket");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let image = AlignedBytes::new(image);
        let board = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // Ends when the host hangs up.
            let _ = LinkBoard::new(Socket(stream), Bench(&image)).serve(State::<2048>::new().as_bytes_mut());
        });
        let mut all = vec!["link", "--port", path.to_str().unwrap()];
        all.extend(arguments);
        let output = latch_sim(&all, input);
        // A command that fails before it connects leaves the board waiting.
        drop(UnixStream::connect(&path));
        board.join().unwrap();
        output
    }

    #[test]
    fn a_board_at_a_line_gives_the_digest_of_the_simulated_part() {
        let folder = Folder::new();
        let image = std::fs::read(folder.image()).unwrap();
        let path = folder.image();
        let path = path.to_str().unwrap();
        let data = folder.data();
        let data = data.to_str().unwrap();
        let parse = |output: &Output| serde_json::from_str::<serde_json::Value>(&printed(output)).unwrap();
        let run = parse(&folder.run(&["--board", "rp2040", "--data", data, "--no-estimate", "--json"]));
        let link = parse(&linked(&folder, &image, &["--image", path, "--data", data, "--json"], ""));
        for key in ["tokens", "texts", "digest", "accuracy"] {
            assert_eq!(link[key], run[key], "{key}");
        }
        assert_eq!((&link["board"], &link["compared"], &link["repeats"]), (&"bench".into(), &true.into(), &0.into()));

        let text = printed(&linked(&folder, &image, &["--image", path], "bad film\nnot good\n"));
        let words = ["bad ", "film ", "good ", "2 tokens", "every logit as on this host", "digest "];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        let text = printed(&linked(&folder, &image, &["--text", "not good"], ""));
        assert!(text.contains("not compared"), "{text}");
    }

    #[test]
    fn another_image_in_the_boards_flash_and_an_empty_one_are_told() {
        let (folder, other) = (Folder::new(), Folder::with(Pooling::Max));
        let image = std::fs::read(other.image()).unwrap();
        let path = folder.image();
        let arguments = ["--image", path.to_str().unwrap(), "--text", "good"];
        let message = refused(&linked(&folder, &image, &arguments, ""));
        assert!(
            message.contains("model.latch: its checksum is") && message.contains("the board bench runs"),
            "{message}"
        );
        let output = linked(&folder, &[0xFF; 64], &arguments, "");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(message.contains("there is no image in the board's flash"), "{message}");
    }
}

#[test]
fn a_port_that_is_none_is_refused_by_name() {
    let folder = Folder::new();
    let link = |port: &Path| latch_sim(&["link", "--port", port.to_str().unwrap(), "--text", "x"], "");
    let message = refused(&link(&folder.path("ttyNone")));
    assert!(message.contains("ttyNone: there is no such file"), "{message}");
    let message = refused(&link(&folder.image()));
    assert!(message.contains("model.latch: it is no serial device"), "{message}");
    refused(&latch_sim(&["link", "--text", "x"], ""));
    refused(&latch_sim(&["link", "--board", "microbit", "--text", "x"], ""));
}

#[test]
fn help_has_an_example_of_every_verb_and_the_parts_are_listed() {
    for verb in ["run", "parts", "device", "verify", "link"] {
        assert!(printed(&latch_sim(&[verb, "--help"], "")).contains("Example"), "{verb}");
    }
    assert!(printed(&latch_sim(&["--help"], "")).contains("Examples"));
    let text = printed(&latch_sim(&["parts"], ""));
    for name in ["nrf52840", "stm32f446", "stm32l4r5", "stm32h743", "rp2040", "rp2350", "corstone-300"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} in\n{text}");
    }
}

#[test]
fn a_number_that_an_option_does_not_take_is_refused_in_plain_words() {
    for (arguments, words) in [
        (&["verify", "--image", "x", "--limit", "many"][..], "error: --limit: \"many\" is not a whole number\n"),
        (&["verify", "--image", "x", "--limit", "0"], "error: --limit: 0 is not a whole number from 1"),
    ] {
        let output = latch_sim(arguments, "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.starts_with(words), "{said}");
        assert!(!said.contains("invalid digit") && said.contains("--help"), "{said}");
    }
}

#[test]
fn a_label_that_two_maps_name_is_refused() {
    let folder = Folder::new();
    let data = folder.data();
    let data = ["--board", "rp2040", "--no-estimate", "--json", "--data", data.to_str().unwrap()];
    let maps = ["--label-map", "0=bad", "--label-map", "0=good"];
    let message = refused(&folder.run(&[&data[..], &maps].concat()));
    assert!(message.contains("--label-map: the label \"0\" is to be both \"bad\" and \"good\""), "{message}");
}
