//! Images of older formats open and compute what they always have; an image of this format carries a self-test, and it can fail.

use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::{Image, VERSION_FOLDED, VERSION_UNFOLDED};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling as Readout;
use latch_engine::{Digest, Error, Model, Precision, SelfTest, State, certify, project};
use latch_tests::models::{ROOM, Shape, logits};

/// Written by the writer of version 1, which is no more, from `Shape { rows: 40, width: 5, units: [7], Max, LastRow, seed: 3 }`.
const VERSION_1: [(&str, &[u8]); 2] = [
    ("int8", include_bytes!("../goldens/image-v1-int8.latch")),
    ("f32", include_bytes!("../goldens/image-v1-f32.latch")),
];

#[test]
fn an_image_of_version_1_opens_and_computes_what_it_computed_then() {
    for (name, bytes) in VERSION_1 {
        let bytes = AlignedBytes::new(bytes);
        let image = Image::open(&bytes).expect("version 1 is readable");
        assert_eq!((image.version(), image.self_test()), (1, None));
        let model = Model::new(&image);
        let mut state = State::<ROOM>::new();
        assert_eq!(model.self_test(state.as_bytes_mut()), Ok(SelfTest::Absent));
        let mut session = model.session(&mut state).expect("the state has room");
        let mut digest = Digest::default();
        session.push_bytes_each(b"a b zz ab m, n. x a", |session, _| {
            logits(session).into_iter().for_each(|logit| digest.push(logit));
        });
        match name {
            "int8" => assert_eq!(digest.to_string(), "96163886cddbfe19"),
            _ => assert!((session.output().to_f32() + 0.486_413_24).abs() < 1e-6, "{:?}", session.output()),
        }
    }
}

/// The shape of all goldens but those with ready rows, whose ids are 0, 3, 6 … besides.
fn golden() -> Shape {
    Shape { rows: 40, width: 5, units: vec![7], readout: Readout::Max, unknown: Unknown::LastRow, seed: 3 }
}

/// Written by the first writers of versions 2 and 3 from [`golden`].
const LATER: [(u16, Precision, &[u8]); 6] = [
    (2, Precision::Int8, include_bytes!("../goldens/image-v2-int8.latch")),
    (2, Precision::F16, include_bytes!("../goldens/image-v2-f16.latch")),
    (2, Precision::F32, include_bytes!("../goldens/image-v2-f32.latch")),
    (3, Precision::Int8, include_bytes!("../goldens/image-v3-int8.latch")),
    (3, Precision::F16, include_bytes!("../goldens/image-v3-f16.latch")),
    (3, Precision::F32, include_bytes!("../goldens/image-v3-f32.latch")),
];

#[test]
fn images_of_versions_2_and_3_open_compute_what_they_computed_then_and_are_still_written_so() {
    for (version, precision, bytes) in LATER {
        let bytes = AlignedBytes::new(bytes);
        let image = Image::open(&bytes).expect("this version is readable");
        assert_eq!((image.version(), image.description().precision), (version, precision));
        let model = Model::new(&image);
        let mut state = State::<ROOM>::new();
        let expected = if precision == Precision::Int8 { SelfTest::Passed } else { SelfTest::Absent };
        assert_eq!(model.self_test(state.as_bytes_mut()), Ok(expected));
        let mut session = model.session(&mut state).expect("the state has room");
        let mut digest = Digest::default();
        session.push_bytes_each(b"a b zz ab m, n. x a", |session, _| {
            logits(session).into_iter().for_each(|logit| digest.push(logit));
        });
        // The weights of all versions are the same, and so is what they give: see version 1.
        match precision {
            Precision::Int8 => assert_eq!(digest.to_string(), "96163886cddbfe19"),
            Precision::F32 => {
                assert!((session.output().to_f32() + 0.486_413_24).abs() < 1e-6, "{:?}", session.output())
            }
            Precision::F16 => {
                assert!((session.output().to_f32() + 0.486_413_24).abs() < 2e-3, "{:?}", session.output())
            }
        }
        assert_eq!(&written(version, precision)[..], &bytes[..], "version {version}, {}", precision.name());
    }
}

/// What the writer of today makes of the goldens' weights.
fn written(version: u16, precision: Precision) -> AlignedBytes {
    let plain = golden().image(precision);
    if version == VERSION_UNFOLDED {
        return plain;
    }
    assert_eq!(version, VERSION_FOLDED);
    let ids: Vec<u32> = (0..40).step_by(3).collect();
    fold(&Image::open(&plain).expect("the image was just made"), &ids).expect("the ids are in the embedding")
}

/// Writes the goldens anew: for a new version of the format, and never to make a test pass.
#[test]
#[ignore = "writes the goldens"]
fn write_the_goldens() {
    for (version, precision, _) in LATER {
        let path = format!("{}/goldens/image-v{version}-{}.latch", env!("CARGO_MANIFEST_DIR"), precision.name());
        std::fs::write(path, &written(version, precision)[..]).expect("the folder is writable");
    }
}

#[test]
fn an_image_of_version_1_has_no_room_for_a_self_test() {
    let mut bytes = AlignedBytes::new(VERSION_1[0].1);
    assert_eq!(certify(&mut bytes), Err(Error::Manifest));
    assert_eq!(&bytes[..], VERSION_1[0].1);
}

fn shape() -> Shape {
    Shape { rows: 40, width: 5, units: vec![7, 18], readout: Readout::Mean, unknown: Unknown::LastRow, seed: 3 }
}

#[test]
fn every_backend_passes_the_self_test_of_an_integer_image_and_floats_have_none() {
    for precision in [Precision::Int8, Precision::F16, Precision::F32] {
        let bytes = shape().image(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        assert_eq!(image.version(), VERSION_UNFOLDED);
        for backend in AnyBackend::all() {
            let outcome = Model::new(&image).with_backend(backend).self_test(State::<ROOM>::new().as_bytes_mut());
            let expected = if precision == Precision::Int8 { SelfTest::Passed } else { SelfTest::Absent };
            assert_eq!(outcome, Ok(expected), "{}", backend.name());
        }
    }
}

/// Another weight under the digest of the first: what a machine that computes otherwise looks like from outside.
#[test]
fn a_self_test_fails_where_the_arithmetic_is_another() {
    let bytes = shape().image(Precision::Int8);
    let other = Shape { seed: 4, ..shape() }.image(Precision::Int8);
    let digest = |bytes: &AlignedBytes| {
        let image = Image::open(bytes).expect("the image was just made");
        (image.self_test().expect("an integer image has one"), image.header_bytes())
    };
    let ((first, _), (second, end)) = (digest(&bytes), digest(&other));
    assert_ne!(first, second);
    let mut forged = AlignedBytes::new(&other);
    forged[end - 8..end].copy_from_slice(&first.to_le_bytes());
    let body = forged.len() - 4;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&forged[..body]);
    forged[body..].copy_from_slice(&crc.to_le_bytes());
    let image = Image::open(&forged).expect("the checksum is right");
    let outcome = Model::new(&image).self_test(State::<ROOM>::new().as_bytes_mut());
    assert_eq!(outcome, Ok(SelfTest::Failed { expected: first, found: second }));
}

#[test]
fn a_self_test_needs_the_memory_of_a_state() {
    let bytes = shape().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    let outcome = Model::new(&image).self_test(State::<64>::new().as_bytes_mut());
    assert!(matches!(outcome, Err(Error::StateTooSmall { .. })), "{outcome:?}");
}
