//! Promise: no bytes make a reader panic, hang or answer without the name of the file. Models are damaged at random, by a seed, and read again. `LATCH_DAMAGED=1000000` in the
//! environment damages them so often.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use latch_interchange::{Limits, glimpse, open, reference};
use zip::ZipArchive;

const LIMITS: Limits = Limits { rows: 1 << 20, width: 2048, layers: 16 };

/// Times that a model is damaged, unless the environment says another number.
const TIMES: u64 = 2_000;

/// Longest that one file may take: far more than any does.
const LONGEST: Duration = Duration::from_secs(10);

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most.max(1) as u64) as usize
    }
}

/// What stands in place of a piece of text.
const PIECES: [&str; 24] = [
    "0",
    "-1",
    "1e39",
    "1e999",
    "0.5",
    "16",
    "4294967296",
    "18446744073709551616",
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "[[]]",
    "{}",
    "[1]",
    "[[1],[1,2]]",
    "[[[[[[1]]]]]]",
    "{\"a\":{\"a\":1}}",
    ",",
    ":",
    "]",
    "}",
    "[",
];

/// Numbers that stand in place of eight bytes.
const NUMBERS: [i64; 12] =
    [0, 1, -1, 2, -2, 3, 7, 1 << 31, 1 << 40, i64::MAX, i64::MIN, i64::from_le_bytes(f64::NAN.to_le_bytes())];

/// Operators of ONNX that stand in place of others whose names are as long.
const OPERATORS: [&str; 20] = [
    "Add", "Sub", "Mul", "Div", "GRU", "RNN", "Pad", "LSTM", "Cast", "Conv", "Gemm", "Relu", "Slice", "Split", "Shape",
    "Gather", "Concat", "Expand", "Squeeze", "Reshape",
];

/// Another operator in the place of one.
fn swap_operator(bytes: &mut [u8], random: &mut Random) {
    let name = OPERATORS[random.below(OPERATORS.len())].as_bytes();
    let others: Vec<&&str> = OPERATORS.iter().filter(|other| other.len() == name.len()).collect();
    let other = others[random.below(others.len())].as_bytes();
    if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes[at..at + name.len()].copy_from_slice(other);
    }
}

/// Bytes that are changed, removed, repeated or put in; and values of JSON, numbers and operators in the place of others.
fn damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let length = random.below(40).min(bytes.len() - at);
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            4 | 5 => {
                let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
                bytes[at..].iter_mut().zip(number).for_each(|(byte, of_number)| *byte = of_number);
            }
            6 => swap_operator(&mut bytes, random),
            // A value from one separator to the next.
            _ => {
                let is_end = |byte: &u8| b",:[]{}".contains(byte);
                let begin = bytes[..at].iter().rposition(is_end).map_or(0, |begin| begin + 1);
                let end = bytes[at..].iter().position(is_end).map_or(bytes.len(), |end| at + end);
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(begin..end.max(begin), piece.bytes());
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// The models of an archive of goldens that are read; their names have this end.
fn goldens(archive: &str, end: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(archive);
    let mut archive = ZipArchive::new(Cursor::new(fs::read(path).expect("the goldens"))).expect("an archive");
    let mut models = Vec::new();
    for place in 0..archive.len() {
        let mut member = archive.by_index(place).expect("a member");
        let name = member.name().expect("a name").into_owned();
        // Large ones would take the whole time.
        let is_model = name.ends_with(end) && !name.starts_with("refused-");
        if is_model && member.size() < 1 << 14 {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).expect("it is whole");
            models.push(bytes);
        }
    }
    models.retain(|bytes| open(bytes, "whole", &LIMITS).is_ok());
    models
}

#[test]
fn damaged_models_are_refused_by_the_name_of_the_file_or_are_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let names = ["lstm_1d.json", "gru_torch.json", "lstm_example.nam", "lstm4_ts9_pytorch.json", "aida.json"];
    let files = names.map(|name| fs::read(folder.join(name)).expect("a model"));
    let safetensors = fs::read(folder.join("../../../tests/goldens/pytorch.safetensors")).expect("a model");
    let files: Vec<Vec<u8>> = files.into_iter().chain([safetensors]).collect();
    damage(&files);
}

#[test]
fn damaged_models_of_onnx_are_refused_by_the_name_of_the_file_or_are_models() {
    let models = goldens("onnx/onnx.zip", ".onnx");
    assert!(models.len() >= 100, "{} models", models.len());
    damage(&models);
}

#[test]
fn damaged_models_of_tensorflow_lite_are_refused_by_the_name_of_the_file_or_are_models() {
    let models = goldens("tflite/tflite.zip", ".tflite");
    assert!(models.len() >= 50, "{} models", models.len());
    damage(&models);
}

/// Damages models at random, and reads them.
fn damage(files: &[Vec<u8>]) {
    for file in files {
        assert!(open(file, "whole", &LIMITS).is_ok());
    }
    let times = std::env::var("LATCH_DAMAGED").ok().and_then(|times| times.parse().ok()).unwrap_or(TIMES);
    let (mut random, mut models) = (Random(20_261_129), 0);
    for time in 0..times {
        let bytes = damaged(&files[random.below(files.len())], &mut random);
        let begin = Instant::now();
        match open(&bytes, "file", &LIMITS) {
            Ok(model) => {
                models += 1;
                // What is taken has sizes that fit.
                assert!(model.check("file", &LIMITS).is_ok());
                let frames = vec![0.5; 8];
                assert!(reference::of_samples(&model, &frames).layers.len() == model.layers.len());
            }
            Err(error) => {
                assert!(error.to_string().starts_with("file: "), "{time}: {error}");
                // What can be told of it is a page at most.
                assert!(glimpse(&bytes, "file").is_none_or(|glimpse| glimpse.found.len() <= 201), "{time}");
            }
        }
        assert!(begin.elapsed() < LONGEST, "{time}: {:?}", begin.elapsed());
    }
    println!("{times} damaged files: {models} are models still");
    assert!(models > 0 && models < times);
}
