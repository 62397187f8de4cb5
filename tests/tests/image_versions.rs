//! Promise: images of formats 1 to 7 are refused with one sentence that says what to do, and those of format 8 open, compute what they computed when they
//! were written, and are written again byte for byte.

use latch_engine::image::encode::{AlignedBytes, Notes, encode};
use latch_engine::image::header::MAGIC;
use latch_engine::image::{Image, VERSION};
use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::dense::Activation;
use latch_engine::layers::embedding::Tiers;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Digest, Error, Model, Precision, SelfTest, State, certify, project, with_start};
use latch_tests::chains::{self, Kind};
use latch_tests::models::{ROOM, Shape, logits, tensors, vocabulary};
use latch_tests::records::{records, with_records};
use latch_trainer::network::tiers;
use latch_trainer::quantizer::{Origin, Storage, to_image};
use nalgebra::DMatrix;

#[test]
fn formats_1_to_7_are_refused_with_a_sentence_that_says_to_export_anew() {
    for version in 1..VERSION {
        // Magic, version and length were variable-length numbers.
        for rest in [&[0xA8_u8, 0x15, 0, 0][..], &[0; 200]] {
            let bytes = AlignedBytes::new(&[&MAGIC, &[version as u8][..], rest, &[0; 12]].concat());
            let error = Image::open(&bytes).expect_err("an older format");
            assert_eq!(error, Error::OlderVersion { found: version });
            assert_eq!(
                error.to_string(),
                format!(
                    "the image has format version {version} and this engine reads version 8: export the model again"
                )
            );
        }
    }
}

/// Odd everywhere: a row of five features, seven units.
fn shape(pooling: Pooling) -> Shape {
    Shape { rows: 40, width: 5, units: vec![7], pooling, unknown: Unknown::LastRow, seed: 3 }
}

fn stored(shape: &Shape, storage: Storage) -> AlignedBytes {
    to_image(&shape.weights(), &vocabulary(shape.rows, shape.unknown), storage, &Origin::default())
        .expect("random weights fit an image")
}

fn tiered() -> AlignedBytes {
    let shape = shape(Pooling::Max);
    let form = Tiers { whole: 9, width: 2, remainders: 6, int4: false };
    let mut weights = shape.weights();
    weights.occurrences = (0..shape.rows as u32).map(|id| id.wrapping_mul(0x9E37_79B9) >> 24).collect();
    let mut table = DMatrix::from_vec(shape.width, shape.rows, weights.embedding);
    tiers::Tiers::new(form, &weights.occurrences, shape.rows).begin(&mut table);
    weights.embedding = table.as_slice().to_vec();
    weights.tiers = Some(form);
    to_image(&weights, &vocabulary(40, Unknown::LastRow), Storage::Int8, &Origin::default()).expect("they fit an image")
}

fn projected() -> AlignedBytes {
    let plain = shape(Pooling::Mean).image(Precision::Int8);
    let ids: Vec<u32> = (0..40).step_by(3).collect();
    project(&Image::open(&plain).expect("the image was just made"), &ids).expect("the ids are in the embedding")
}

/// What the goldens are made from.
fn written(name: &str) -> AlignedBytes {
    match name {
        "f32" => shape(Pooling::Mean).image(Precision::F32),
        "f16" => shape(Pooling::Max).image(Precision::F16),
        "int8" => shape(Pooling::Mean).image(Precision::Int8),
        "int16" => shape(Pooling::Mean).image(Precision::Int16),
        "int16-gru" => chains::image(
            chains::Weights::Int16,
            5,
            &[
                Kind::Gru(9, true),
                Kind::Rnn(7, true),
                Kind::Dense(3, Activation::Tanh),
                Kind::Dense(2, Activation::Linear),
            ],
            3,
        ),
        "int4" => stored(&shape(Pooling::Max), Storage::Int4),
        "mixed" => stored(&shape(Pooling::Last), Storage::Mixed),
        "attention" => shape(Pooling::Attention).image(Precision::Int8),
        "hashed" => {
            let unknown = Unknown::Hashed(Hashed { rows: 7, of: Spelling::Ending });
            Shape { unknown, ..shape(Pooling::Max) }.image(Precision::Int8)
        }
        "tiers" => tiered(),
        "projected" => projected(),
        "gru" => chains::image(
            chains::Weights::Int8,
            5,
            &[Kind::Gru(7, true), Kind::Pooling(Pooling::Mean), Kind::Dense(3, Activation::Linear)],
            3,
        ),
        "rnn" => chains::image(
            chains::Weights::Int4,
            5,
            &[Kind::Rnn(7, false), Kind::Dense(4, Activation::Relu), Kind::Dense(2, Activation::Linear)],
            3,
        ),
        "start" => {
            let cold = written("gru");
            let image = Image::open(&cold).expect("it was just made");
            let (model, mut state) = (Model::new(&image), State::<ROOM>::new());
            let mut session = model.session(&mut state).expect("the state has room");
            session.push_tokens(&[3, 1, 4, 1, 5]);
            with_start(&image, &session).expect("five ids")
        }
        other => panic!("there is no golden {other}"),
    }
}

macro_rules! goldens {
    ($($name:literal $digest:literal),*) => {
        [$(($name, $digest, include_bytes!(concat!("../goldens/image-v8-", $name, ".latch")))),*]
    };
}

/// Names, and the digest of all answers to [`run`] of images of integers.
const GOLDENS: [(&str, &str, &[u8]); 14] = goldens!(
    "f32" "0.14715171",
    "f16" "-0.665421",
    "int8" "6dc509274ef96283",
    "int4" "d1a33e61b7060af9",
    "mixed" "1a962eecd359684e",
    "attention" "029e168ca5edf571",
    "hashed" "b925d95216868ff2",
    "tiers" "afe1b4a13997a3e6",
    "projected" "6dc509274ef96283",
    "gru" "767f5588790d4ef5",
    "rnn" "f19bc3082efa49b3",
    "int16" "f4d255c58f30741a",
    "int16-gru" "3d4d7b5f02ac7b93",
    "start" "de91afd0dd1c16bb"
);

/// All answers to ids and, of a model of text, to a text.
fn run(model: &Model<'_>) -> (Digest, f32) {
    let mut state = State::<ROOM>::new();
    let mut session = model.session(&mut state).expect("the state has room");
    let mut digest = Digest::default();
    for id in 0..20 {
        session.push_token(id * 7 % 23);
        logits(&mut session).into_iter().for_each(|logit| digest.push(logit));
    }
    session.push_bytes_each(b"a b zz ab m, n. x a hopeless singing ", |session, _| {
        logits(session).into_iter().for_each(|logit| digest.push(logit));
    });
    (digest, session.output().to_f32())
}

#[test]
fn images_of_format_8_open_and_give_the_digest_that_stands_in_them() {
    for (name, digest, bytes) in GOLDENS {
        let bytes = AlignedBytes::new(bytes);
        let image = Image::open(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let self_test = model.self_test(State::<ROOM>::new().as_bytes_mut());
            let found = run(&model);
            if model.precision().is_integer() {
                assert_eq!(self_test, Ok(SelfTest::Passed), "{name} on {}", backend.name());
                assert_eq!(found.0.to_string(), digest, "{name} on {}", backend.name());
            } else {
                let expected: f32 = digest.parse().expect("the last answer of a float model");
                assert_eq!(self_test, Ok(SelfTest::Absent), "{name}");
                assert!((found.1 - expected).abs() < 2e-5, "{name} on {}: {} for {expected}", backend.name(), found.1);
            }
        }
    }
}

#[test]
fn images_of_format_8_are_written_again_byte_for_byte() {
    for (name, _, bytes) in GOLDENS {
        let bytes = AlignedBytes::new(bytes);
        let image = Image::open(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = encode(&image.description(), &Notes::of(&image), &tensors(&image)).expect("its own tensors fit");
        let mut again = AlignedBytes::new(&again);
        certify(&mut again).expect("it opens");
        assert_eq!(&again[..], &bytes[..], "{name} from its own tensors");
        assert_eq!(&written(name)[..], &bytes[..], "{name} from its weights");
    }
}

/// Bytes stand at the front of each line of the block, two digits each; what follows three spaces is for people.
#[test]
fn the_bytes_in_the_description_of_the_format_are_those_of_the_image() {
    let page = include_str!("../../docs/image-format.md");
    let block = page.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has bytes");
    let mut bytes = Vec::new();
    for line in block.lines() {
        let digits = line.split("   ").next().unwrap_or_default();
        bytes.extend(digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")));
    }
    let (.., golden) = GOLDENS.iter().find(|(name, ..)| *name == "rnn").expect("there is one");
    assert_eq!(bytes.len() + 40, 101, "all of the header but the provenance");
    assert_eq!(golden.get(..bytes.len()), Some(&bytes[..]));
}

/// Writes the goldens anew: for a new version of the format, and never to make a test pass.
#[test]
#[ignore = "writes the goldens"]
fn write_the_goldens() {
    for (name, ..) in GOLDENS {
        let bytes = written(name);
        let path = format!("{}/goldens/image-v8-{name}.latch", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, &bytes[..]).expect("the folder is writable");
        let (digest, last) = run(&Model::new(&Image::open(&bytes).expect("it was just made")));
        println!("    \"{name}\" \"{digest}\" {last}");
    }
}

fn two_layers() -> Shape {
    Shape { units: vec![7, 18], ..shape(Pooling::Mean) }
}

#[test]
fn every_backend_passes_the_self_test_of_an_integer_image_and_floats_have_none() {
    for precision in [Precision::Int8, Precision::Int16, Precision::F16, Precision::F32] {
        let bytes = two_layers().image(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        for backend in AnyBackend::all() {
            let outcome = Model::new(&image).with_backend(backend).self_test(State::<ROOM>::new().as_bytes_mut());
            let expected = if precision.is_integer() { SelfTest::Passed } else { SelfTest::Absent };
            assert_eq!(outcome, Ok(expected), "{}", backend.name());
        }
    }
}

/// Another weight under the digest of the first: what a machine that computes otherwise looks like from outside.
#[test]
fn a_self_test_fails_where_the_arithmetic_is_another() {
    let bytes = two_layers().image(Precision::Int8);
    let other = Shape { seed: 4, ..two_layers() }.image(Precision::Int8);
    let digest = |bytes: &AlignedBytes| {
        Image::open(bytes).expect("the image was just made").self_test().expect("an integer image has one")
    };
    let (first, second) = (digest(&bytes), digest(&other));
    assert_ne!(first, second);
    let mut records = records(&other);
    let record = records.iter_mut().find(|record| record.tag == 0x40).expect("it has one");
    record.content = first.to_le_bytes().to_vec();
    let forged = with_records(&other, &records);
    let image = Image::open(&forged).expect("the checksum is right");
    let outcome = Model::new(&image).self_test(State::<ROOM>::new().as_bytes_mut());
    assert_eq!(outcome, Ok(SelfTest::Failed { expected: first, found: second }));
}

#[test]
fn a_self_test_needs_the_memory_of_a_state() {
    let bytes = two_layers().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    let outcome = Model::new(&image).self_test(State::<64>::new().as_bytes_mut());
    assert!(matches!(outcome, Err(Error::StateTooSmall { .. })), "{outcome:?}");
}
