//! Promise: `Image::open` refuses whatever is not a whole, consistent image, and what it opens runs without a panic.

use latch_engine::image::encode::{AlignedBytes, Notes, Tensor, Values, encode};
use latch_engine::image::header::{Input, Layers};
use latch_engine::image::role::Role;
use latch_engine::image::section::{Element, Section};
use latch_engine::image::{ALIGNMENT, Description, Image, VERSION};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::Layer;
use latch_engine::layers::dense::{Dense, MAX_OUTPUTS};
use latch_engine::layers::embedding::MAX_ROWS;
use latch_engine::layers::lstm::Lstm;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Logit, Model, Precision, State};
use latch_tests::models::{PRECISIONS, ROOM, Shape, logits};
use latch_tests::records::{assemble, contents, described, mend_checksum};
use proptest::prelude::*;

/// A small model: two layers, an odd number of units on top, an unknown row.
fn small(precision: Precision) -> AlignedBytes {
    let shape =
        Shape { rows: 19, width: 2, units: vec![4, 3], pooling: Pooling::Mean, unknown: Unknown::LastRow, seed: 11 };
    shape.image(precision)
}

/// What a model says after each of `tokens` ids, and then about a text, on every backend; nothing where a stream does not fit.
fn answers(image: &Image<'_>, tokens: u32) -> Vec<Logit> {
    let mut answers = Vec::new();
    for backend in AnyBackend::all() {
        let model = Model::new(image).with_backend(backend);
        let mut state = State::<ROOM>::new();
        let Ok(mut session) = model.session(&mut state) else { return answers };
        let rows = image.description().embedding.rows;
        for token in 0..tokens {
            session.push_token(token.wrapping_mul(7) % (rows + 1));
            answers.extend(logits(&mut session));
        }
        session.reset();
        session.push_bytes(b"a b, Zz? c ba");
        session.finish();
        assert!(!session.probability().is_nan() || !model.precision().is_integer());
        answers.extend(logits(&mut session));
    }
    answers
}

/// The tensors of an image, as its writer takes them.
fn tensors(image: &Image<'_>) -> Vec<Tensor> {
    let value = |section: &Section| {
        let bytes = image.section_bytes(section);
        match section.element {
            Element::U8 | Element::U16 | Element::U32 => Values::Bytes(bytes.to_vec()),
            Element::I8 => Values::I8(bytes.iter().map(|&byte| byte as i8).collect()),
            Element::I4 => panic!("no image of these tests has four bits a weight"),
            Element::I16 => Values::I16(bytes.as_chunks().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect()),
            Element::I32 => Values::I32(bytes.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect()),
            // The tests that go through here replace them all.
            Element::F16 => Values::F32(vec![0.0; section.rows * section.columns]),
            Element::F32 => Values::F32(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        }
    };
    image
        .sections()
        .map(|section| Tensor { role: section.role, layer: section.layer, values: value(&section) })
        .collect()
}

fn tensor(tensors: &mut [Tensor], role: Role, layer: u8) -> &mut Values {
    let found = tensors.iter_mut().find(|tensor| tensor.role == role && tensor.layer == layer);
    &mut found.expect("the image has this tensor").values
}

#[test]
fn every_truncation_is_refused() {
    for precision in PRECISIONS {
        let bytes = small(precision);
        assert!(Image::open(&bytes).is_ok());
        for length in 0..bytes.len() {
            match Image::open(&bytes[..length]) {
                Err(Error::NotAnImage) if length < 4 => {}
                // Magic, version, two zeros and two lengths.
                Err(Error::HeaderTruncated { found }) if (4..16).contains(&length) => assert_eq!(found, length),
                Err(Error::Truncated { found, .. }) if length >= 16 => assert_eq!(found, length),
                outcome => panic!("{} bytes of a {} image: {outcome:?}", length, precision.name()),
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for precision in PRECISIONS {
        let whole = small(precision);
        // As it lies in flash, with room behind it, so that a larger length does not fail for want of bytes.
        let mut slot = whole.to_vec();
        slot.resize(4096 + whole.len(), 0xFF);
        let mut slot = AlignedBytes::new(&slot);
        for bit in 0..8 * whole.len() {
            slot[bit / 8] ^= 1 << (bit % 8);
            let outcome = Image::open(&slot);
            assert!(outcome.is_err(), "bit {bit} of a {} image: {outcome:?}", precision.name());
            slot[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Image::open(&slot).is_ok());
    }
}

#[test]
fn a_newer_version_is_refused_by_its_number_whatever_follows_it() {
    let bytes = small(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    for version in [VERSION + 1, 300, u16::MAX] {
        let newer = assemble(version, &described(&image.description()), &contents(&image));
        let error = Image::open(&newer).expect_err("a newer version");
        assert_eq!(error, Error::NewerVersion { found: version });
        assert!(error.to_string().contains(&version.to_string()), "{error}");
        // What a later version keeps behind its preamble is unknown: a few bytes must do.
        assert_eq!(Image::open(&newer[..16]).expect_err("a newer version"), error);
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0".as_slice();
    let files: [&[u8]; 8] = [b"", b"L", b"LTC", b"LTCI\x07", png, &[0; 4096], &[0xFF; 4096], b"label\ttext\n1\tgood\n"];
    for file in files {
        assert_eq!(
            Image::open(&AlignedBytes::new(file)).err(),
            Some(Error::NotAnImage),
            "{:?}",
            &file[..file.len().min(8)]
        );
    }
}

#[test]
fn a_misaligned_buffer_is_refused() {
    for precision in PRECISIONS {
        let image = small(precision);
        for offset in 0..2 * ALIGNMENT {
            let moved = AlignedBytes::new(&[vec![0; offset], image.to_vec()].concat());
            match Image::open(&moved[offset..]) {
                Ok(_) => assert_eq!(offset % ALIGNMENT, 0),
                Err(error) => assert_eq!((error, offset % ALIGNMENT != 0), (Error::Misaligned, true)),
            }
        }
    }
}

#[test]
fn an_image_opens_in_a_longer_slot_and_answers_as_alone() {
    for precision in PRECISIONS {
        let alone = small(precision);
        let slot = AlignedBytes::new(&[alone.to_vec(), vec![0xFF; 10_000]].concat());
        let (alone, slot) =
            (Image::open(&alone).expect("it was just made"), Image::open(&slot).expect("it is in there"));
        assert_eq!((alone.len(), alone.crc(), alone.description()), (slot.len(), slot.crc(), slot.description()));
        assert_eq!(answers(&alone, 50), answers(&slot, 50));
    }
}

#[test]
fn row_sums_are_accepted_up_to_the_last_value_of_32_bits_and_refused_beyond_it() {
    let bytes = small(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    for (layer, lstm) in image.description().layers.iter().enumerate() {
        let Layer::Lstm(lstm) = lstm else { continue };
        let layer = layer as u8;
        let padded = usize::from(lstm.inputs + lstm.units).next_multiple_of(4);
        for row in 0..4 * usize::from(lstm.units) {
            let mut tensors = tensors(&image);
            let Values::I8(weights) = tensor(&mut tensors, Role::Weights, layer) else { panic!("int8 weights") };
            let (unit, gate) = (row / 4, row % 4);
            let magnitude: i64 = weights[unit * 4 * padded..][..4 * padded]
                .chunks(16)
                .flat_map(|word| &word[4 * gate..4 * gate + 4])
                .map(|weight| i64::from(weight.unsigned_abs()))
                .sum();
            let Values::Bytes(multipliers) = tensor(&mut tensors, Role::Multipliers, layer) else { panic!("u16") };
            let multiplier = i64::from(u16::from_le_bytes([multipliers[2 * row], multipliers[2 * row + 1]]));
            let room = i64::from(i32::MAX) - 128 * magnitude * multiplier;
            for (bias, fits) in [(room, true), (-room, true), (room + 1, false), (-room - 1, false)] {
                let Ok(bias) = i32::try_from(bias) else { continue };
                let Values::I32(biases) = tensor(&mut tensors, Role::Biases, layer) else { panic!("i32") };
                biases[row] = bias;
                let crafted = AlignedBytes::new(
                    &encode(&image.description(), &Notes::of(&image), &tensors).expect("the shapes are right"),
                );
                match Image::open(&crafted) {
                    Ok(image) => {
                        assert!(fits, "layer {layer}, row {row}, bias {bias}");
                        answers(&image, 50);
                    }
                    Err(error) => assert_eq!((error, fits), (Error::Overflow { layer, row: row as u32 }, false)),
                }
            }
        }
    }
}

/// A row of int16 whose magnitudes sum up to 65,535 is accepted, one more is not, and neither is a multiplier of 2^15 nor a bias beyond 32 bits.
#[test]
fn row_sums_of_int16_are_accepted_up_to_65535_and_refused_beyond_it() {
    let bytes = small(Precision::Int16);
    let image = Image::open(&bytes).expect("the image was just made");
    let changed = |row: usize, weights: [i16; 3], multiplier: u16, bias: i32| {
        let mut tensors = tensors(&image);
        let Values::I16(values) = tensor(&mut tensors, Role::Weights, 0) else { panic!("int16 weights") };
        // [row / 4][column / 8][row % 4][column % 8], one block of columns.
        assert_eq!(values.len(), 8 * 4 * image_units(&image));
        let row_values = &mut values[32 * (row / 4) + 8 * (row % 4)..][..8];
        row_values.fill(0);
        row_values[..3].copy_from_slice(&weights);
        let Values::Bytes(multipliers) = tensor(&mut tensors, Role::Multipliers, 0) else { panic!("bytes") };
        multipliers[2 * row..2 * row + 2].copy_from_slice(&multiplier.to_le_bytes());
        let Values::I32(biases) = tensor(&mut tensors, Role::Biases, 0) else { panic!("i32") };
        biases[row] = bias;
        let bytes = encode(&image.description(), &Notes::of(&image), &tensors).expect("the shapes are right");
        let bytes = AlignedBytes::new(&bytes);
        Image::open(&bytes).map(|image| answers(&image, 50)).map(drop)
    };
    // Half of 65,535 times 32,767, and one for each rounding.
    let room = i32::MAX - 1_073_692_672 - 1;
    for row in 0..4 * image_units(&image) {
        let refused = Err(Error::Overflow { layer: 0, row: row as u32 });
        for (weights, multiplier, bias, fits) in [
            ([32_767, -32_767, 1], 32_767, 0, true),
            ([-32_768, 32_767, 0], 32_767, -(1 << 29), true),
            ([32_767, -32_767, 2], 1, 0, false),
            ([-32_768, -32_768, 0], 1, 0, false),
            ([1, 0, 0], 32_768, 0, false),
            ([-32_768, 32_767, 0], 32_767, room, true),
            ([-32_768, 32_767, 0], 32_767, room + 1, false),
            ([-32_768, 32_767, 0], 32_767, -room - 1, false),
        ] {
            let expected = if fits { Ok(()) } else { refused };
            assert_eq!(changed(row, weights, multiplier, bias), expected, "{weights:?} {multiplier} {bias}");
        }
    }
}

fn image_units(image: &Image<'_>) -> usize {
    match image.description().layers.first() {
        Some(Layer::Lstm(lstm)) => usize::from(lstm.units),
        other => panic!("{other:?}"),
    }
}

#[test]
fn weights_that_are_infinite_or_no_number_are_refused_by_their_tensors_name() {
    for precision in [Precision::F32, Precision::F16] {
        let bytes = small(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        let originals = tensors(&image);
        for section in image.sections().filter(|section| matches!(section.element, Element::F32 | Element::F16)) {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in [0, section.rows * section.columns - 1] {
                    let mut tensors = originals.clone();
                    let Values::F32(values) = tensor(&mut tensors, section.role, section.layer) else {
                        panic!("floats")
                    };
                    values[place] = bad;
                    let crafted = AlignedBytes::new(
                        &encode(&image.description(), &Notes::of(&image), &tensors).expect("the shapes are right"),
                    );
                    let expected = Error::NotFinite { role: section.role, layer: section.layer };
                    assert_eq!(Image::open(&crafted).err(), Some(expected));
                }
            }
        }
    }
}

#[test]
fn a_description_that_contradicts_itself_is_refused_by_reader_and_writer() {
    type Edit = fn(&mut Description);
    fn lstm(description: &mut Description, layer: usize) -> &mut Lstm {
        match &mut description.layers[layer] {
            Layer::Lstm(lstm) => lstm,
            other => panic!("{other:?}"),
        }
    }
    fn answering(description: &mut Description) -> &mut Dense {
        match description.layers.last_mut() {
            Some(Layer::Dense(dense)) => dense,
            other => panic!("{other:?}"),
        }
    }
    let edits: [(&str, Edit); 16] = [
        ("no rows", |description| description.embedding.rows = 0),
        ("too many rows", |description| description.embedding.rows = MAX_ROWS + 1),
        ("no features", |description| description.embedding.width = 0),
        ("too many features", |description| description.embedding.width = u16::MAX),
        ("a row without a word", |description| description.embedding.rows += 1),
        ("a word without a row", |description| description.embedding.rows -= 1),
        ("no layers", |description| description.layers = Layers::EMPTY),
        ("inputs that are not the embedding's", |description| lstm(description, 0).inputs += 1),
        ("inputs that are not the units below", |description| lstm(description, 1).inputs -= 1),
        ("no units", |description| lstm(description, 1).units = 0),
        ("too many columns", |description| lstm(description, 1).units = 2045),
        ("the largest units", |description| lstm(description, 1).units = u16::MAX),
        ("another precision's shift", |description| {
            lstm(description, 0).shift = if description.precision.is_integer() { 0 } else { 1 };
        }),
        ("a shift beyond 32 bits", |description| lstm(description, 0).shift = 31),
        ("no outputs", |description| answering(description).outputs = 0),
        ("too many outputs", |description| answering(description).outputs = MAX_OUTPUTS as u16 + 1),
    ];
    for precision in PRECISIONS {
        let bytes = small(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        assert!(Image::open(&assemble(VERSION, &described(&image.description()), &contents(&image))).is_ok());
        for (name, edit) in edits {
            let mut description = image.description();
            edit(&mut description);
            let crafted = assemble(VERSION, &described(&description), &contents(&image));
            let outcome = Image::open(&crafted);
            assert!(
                matches!(outcome, Err(Error::Shape { .. } | Error::Layer { .. })),
                "{name}, {}: {outcome:?}",
                precision.name()
            );
            let outcome = encode(&description, &Notes::of(&image), &tensors(&image));
            assert!(
                matches!(outcome, Err(Error::Shape { .. } | Error::Layer { .. })),
                "{name}, {}: {outcome:?}",
                precision.name()
            );
        }
    }
}

#[test]
fn a_description_that_contradicts_the_sections_is_refused() {
    type Edit = fn(&mut Description);
    let edits: [(&str, Edit); 5] = [
        ("more outputs", |description| {
            if let Some(Layer::Dense(dense)) = description.layers.last_mut() {
                dense.outputs = 16;
            }
        }),
        ("another precision", |description| {
            description.precision =
                if description.precision == Precision::F32 { Precision::F16 } else { Precision::F32 };
            for layer in description.layers.iter_mut() {
                match layer {
                    Layer::Lstm(lstm) => lstm.shift = 0,
                    Layer::Dense(dense) => dense.shift = 0,
                    _ => {}
                }
            }
        }),
        ("no vocabulary", |description| description.input = Input::Ids),
        ("one layer less", |description| {
            let fewer = [0, 2, 3].map(|place| description.layers[place]);
            description.layers = fewer.into_iter().collect();
        }),
        ("more units", |description| {
            if let Layer::Lstm(lstm) = &mut description.layers[1] {
                lstm.units = 100;
            }
        }),
    ];
    for precision in PRECISIONS {
        let bytes = small(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        for (name, edit) in edits {
            let mut description = image.description();
            edit(&mut description);
            let crafted = assemble(VERSION, &described(&description), &contents(&image));
            assert!(Image::open(&crafted).is_err(), "{name}, {}", precision.name());
        }
    }
}

#[test]
fn sections_that_are_not_padded_with_zeros_or_have_bytes_behind_them_are_refused() {
    for precision in PRECISIONS {
        let bytes = small(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        let longer = [contents(&image), vec![&[0; 16]]].concat();
        assert_eq!(
            Image::open(&assemble(VERSION, &described(&image.description()), &longer)).err(),
            Some(Error::Sections)
        );
        let mut end = image.header_bytes();
        for section in image.sections() {
            for place in end..section.offset {
                let mut crafted = AlignedBytes::new(&bytes);
                crafted[place] = 1;
                mend_checksum(&mut crafted);
                assert_eq!(Image::open(&crafted).err(), Some(Error::Sections), "byte {place}");
            }
            end = section.offset + section.bytes();
        }
    }
}

/// Any one byte of the header and the vocabulary takes any value, with a right checksum: what opens, runs.
#[test]
fn no_single_byte_of_header_or_vocabulary_makes_the_engine_panic() {
    let shape = Shape { rows: 18, width: 2, units: vec![3], pooling: Pooling::Mean, unknown: Unknown::Skip, seed: 3 };
    for precision in PRECISIONS {
        let whole = shape.image(precision);
        let image = Image::open(&whole).expect("the image was just made");
        let end = image.sections().find(|section| section.role == Role::Embedding).map_or(0, |section| section.offset);
        let mut crafted = AlignedBytes::new(&whole);
        let mut opened = 0;
        for place in 0..end {
            for value in 0..=u8::MAX {
                crafted[place] = value;
                mend_checksum(&mut crafted);
                if let Ok(image) = Image::open(&crafted) {
                    answers(&image, 4);
                    opened += 1;
                }
                crafted.copy_from_slice(&whole);
            }
        }
        println!("{}: {opened} of {} changed images open", precision.name(), 256 * end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_refused(bytes: Vec<u8>, with_magic: bool) {
        let bytes = if with_magic { [b"LTCH\x07\x00".as_slice(), &bytes].concat() } else { bytes };
        prop_assert!(Image::open(&AlignedBytes::new(&bytes)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn random_edits_with_a_right_checksum_open_and_run_or_are_refused(
        precision in prop::sample::select(&PRECISIONS[..]),
        pooling in prop::sample::select(&latch_tests::models::POOLINGS[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let shape = Shape { rows: 19, width: 3, units: vec![2, 3], pooling, unknown: Unknown::LastRow, seed: 1 };
        let mut bytes = shape.image(precision);
        let header = Image::open(&bytes).expect("the image was just made").header_bytes();
        for (place, value, in_header) in edits {
            let length = if in_header { header } else { bytes.len() - 4 };
            bytes[place.index(length)] = value;
        }
        mend_checksum(&mut bytes);
        if let Ok(image) = Image::open(&bytes) {
            answers(&image, 50);
        }
    }
}

#[test]
fn an_image_without_a_vocabulary_reads_ids_and_leaves_text_out() {
    for precision in PRECISIONS {
        let bytes = small(precision);
        let text = Image::open(&bytes).expect("the image was just made");
        let mut description = text.description();
        description.input = Input::Ids;
        // The first three sections are the vocabulary's.
        let crafted = assemble(VERSION, &described(&description), &contents(&text)[3..]);
        let image = Image::open(&crafted).expect("a model of ids");
        let (model, reference) = (Model::new(&image), Model::new(&text));
        assert!(model.vocabulary().is_none());
        let (mut ours, mut theirs) = (State::<ROOM>::new(), State::<ROOM>::new());
        let mut session = model.session(&mut ours).expect("there is room");
        let mut expected = reference.session(&mut theirs).expect("there is room");
        session.push_bytes(b"a b c");
        session.finish();
        assert_eq!(session.tokens(), 0);
        for id in 0..25 {
            assert_eq!(session.push_token(id), expected.push_token(id));
            assert_eq!(logits(&mut session), logits(&mut expected));
        }
    }
}

#[test]
fn a_state_that_is_too_small_is_refused_and_the_error_says_what_it_needs() {
    for precision in PRECISIONS {
        let bytes = small(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let needed = model.state_bytes();
        assert_eq!(model.session(&mut State::<16>::new()).err(), Some(Error::StateTooSmall { needed, given: 16 }));
        assert!(model.session(&mut State::<ROOM>::new()).is_ok());
        let mut shifted = State::<ROOM>::new();
        assert_eq!(model.session_in(&mut shifted.as_bytes_mut()[2..]).err(), Some(Error::StateMisaligned));
    }
}
