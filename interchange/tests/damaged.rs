//! Promise: no bytes make a reader panic, hang or answer without the name of the file. Models are damaged at random, by a seed, and read again. `LATCH_DAMAGED=1000000` in the
//! environment damages those of each reader so often, `LATCH_SEED=2` in other ways.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use latch_interchange::{Limits, glimpse, open, reference};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const LIMITS: Limits = Limits { rows: 1 << 20, width: 2048, layers: 32 };

/// Times that a model is damaged, unless the environment says another number.
const TIMES: u64 = 1_000;

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
        match random.below(11) {
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
            // What sizes and addresses have at their ends.
            7 => bytes[at..at + length.min(8)].fill([0, 1, 0x7f, 0x80, 0xff][random.below(5)]),
            8 => {
                let from = random.below(bytes.len() - length);
                bytes.copy_within(from..from + length, at);
            }
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

/// The members of an archive.
fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("an archive");
    let mut members = Vec::new();
    for place in 0..archive.len() {
        let mut member = archive.by_index(place).expect("a member");
        let (name, mut bytes) = (member.name().expect("a name").into_owned(), Vec::new());
        member.read_to_end(&mut bytes).expect("it is whole");
        members.push((name, bytes));
    }
    members
}

/// A damaged file. One member of an archive alone, each other time, so that the checksums of the archive are right.
fn damaged_file(file: &[u8], random: &mut Random) -> Vec<u8> {
    if !file.starts_with(b"PK") || random.below(2) == 0 {
        return damaged(file, random);
    }
    let mut members = members(file);
    let place = random.below(members.len());
    members[place].1 = damaged(&members[place].1, random);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(name, stored).expect("memory");
        writer.write_all(&bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

/// The models of an archive of goldens that are read; their names have this end.
fn goldens(archive: &str, end: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(archive);
    let mut models = members(&fs::read(path).expect("the goldens"));
    // Large ones would take the whole time.
    models
        .retain(|(name, bytes)| name.ends_with(end) && bytes.len() < 1 << 14 && open(bytes, "whole", &LIMITS).is_ok());
    models.into_iter().map(|(_, bytes)| bytes).collect()
}

/// Models of the files beside this one.
fn models(names: &[&str]) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    names.iter().map(|name| fs::read(folder.join(name)).expect("a model")).collect()
}

#[test]
fn damaged_models_of_rtneural_and_aida_x_are_refused_by_the_name_of_the_file_or_are_models() {
    damage("RTNeural and AIDA-X", &models(&["lstm_1d.json", "gru_torch.json", "aida.json"]));
}

#[test]
fn damaged_models_of_guitarml_are_refused_by_the_name_of_the_file_or_are_models() {
    damage("GuitarML", &models(&["lstm4_ts9_pytorch.json"]));
}

#[test]
fn damaged_models_of_neural_amp_modeler_are_refused_by_the_name_of_the_file_or_are_models() {
    damage("Neural Amp Modeler", &models(&["lstm_example.nam"]));
}

#[test]
fn damaged_models_of_pytorch_are_refused_by_the_name_of_the_file_or_are_models() {
    let mut files = goldens("pytorch/pytorch.zip", ".safetensors");
    assert!(files.len() >= 10, "{} models", files.len());
    files.extend(models(&["../../../tests/goldens/pytorch.safetensors"]));
    damage("safetensors", &files);
}

#[test]
fn damaged_models_of_keras_in_hdf5_are_refused_by_the_name_of_the_file_or_are_models() {
    let files = [goldens("keras/keras3.zip", ".h5"), goldens("keras/keras2.zip", ".h5")].concat();
    assert!(files.len() >= 10, "{} models", files.len());
    damage("Keras, .h5", &files);
}

#[test]
fn damaged_models_of_keras_in_an_archive_are_refused_by_the_name_of_the_file_or_are_models() {
    let files = [goldens("keras/keras3.zip", ".keras"), goldens("keras/keras2.zip", ".keras")].concat();
    assert!(files.len() >= 10, "{} models", files.len());
    damage("Keras, .keras", &files);
}

#[test]
fn damaged_models_of_onnx_are_refused_by_the_name_of_the_file_or_are_models() {
    let files = [goldens("onnx/onnx.zip", ".onnx"), goldens("onnx/tf2onnx.zip", ".onnx")].concat();
    assert!(files.len() >= 100, "{} models", files.len());
    damage("ONNX", &files);
}

#[test]
fn damaged_models_of_tensorflow_lite_are_refused_by_the_name_of_the_file_or_are_models() {
    let files = goldens("tflite/tflite.zip", ".tflite");
    assert!(files.len() >= 50, "{} models", files.len());
    damage("TensorFlow Lite", &files);
}

/// A number of the environment.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name}={number} is no number")))
}

/// Damages models at random, and reads them.
fn damage(reader: &str, files: &[Vec<u8>]) {
    for file in files {
        assert!(open(file, "whole", &LIMITS).is_ok());
    }
    let times = given("LATCH_DAMAGED").unwrap_or(TIMES);
    let (mut random, mut models) = (Random(given("LATCH_SEED").unwrap_or(1).wrapping_mul(20_261_129)), 0);
    let began = Instant::now();
    for time in 0..times {
        let bytes = damaged_file(&files[random.below(files.len())], &mut random);
        let begin = Instant::now();
        match open(&bytes, "file", &LIMITS) {
            Ok(model) => {
                models += 1;
                // What is taken has sizes that fit.
                assert!(model.check("file", &LIMITS).is_ok());
                assert_eq!(reference::of_ids(&model, &[1, 0, 2]).layers.len(), model.layers.len());
                assert_eq!(reference::of_samples(&model, &[0.5; 12]).layers.len(), model.layers.len());
            }
            Err(error) => {
                assert!(error.to_string().starts_with("file"), "{time}: {error}");
                // What can be told of it is a page at most.
                assert!(glimpse(&bytes, "file").is_none_or(|glimpse| glimpse.found.len() <= 201), "{time}");
            }
        }
        assert!(begin.elapsed() < LONGEST, "{time}: {:?}", begin.elapsed());
    }
    let seconds = began.elapsed().as_secs();
    println!("{reader}: {times} damaged files of {} models in {seconds} s: {models} are models still", files.len());
    assert!(models > 0 && models < times);
}
