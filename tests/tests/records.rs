//! Promise: an engine passes over records that it may not know, refuses by its tag what it must understand, and what an image says beside its model
//! outlives every rewriting.

use latch_engine::image::encode::{AlignedBytes, Notes, Tensor, Values, encode};
use latch_engine::image::header::{Answer, AnswerKind, Early, Provenance, tags};
use latch_engine::image::{Image, VERSION, check_header};
use latch_engine::layers::dense::Activation;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Model, SelfTest, State, with_answer};
use latch_tests::chains::{self, Kind, Weights};
use latch_tests::models;
use latch_tests::records::{CRITICAL, Record, assemble_header, contents, records, with_records};

/// A tag that no record has.
const UNKNOWN: u8 = 0x7B;

/// The layers of the images of these tests: each kind of record once.
const KINDS: [Kind; 5] = [
    Kind::Lstm(5),
    Kind::Gru(4, true),
    Kind::Rnn(6, false),
    Kind::Pooling(Pooling::Mean),
    Kind::Dense(3, Activation::Linear),
];

fn image() -> AlignedBytes {
    chains::image(Weights::Int8, 6, &KINDS, 3)
}

/// What an image answers to some ids.
fn answers(bytes: &[u8]) -> Vec<u32> {
    let image = Image::open(bytes).expect("the image is whole");
    models::run(&Model::new(&image), &[3, 1, 4, 1, 5, 9, 2, 6])
}

/// The records as they stand in the header.
fn coded(records: &[Record]) -> Vec<Vec<u8>> {
    let code = |record: &Record| {
        let content = postcard::to_stdvec(&record.content[..]).expect("bytes can be coded");
        [&[record.tag][..], &content].concat()
    };
    records.iter().map(code).collect()
}

#[test]
fn an_unknown_record_that_is_not_critical_is_passed_over_wherever_it_stands() {
    let whole = image();
    let known = records(&whole);
    let description = Image::open(&whole).expect("just made").description();
    for place in 0..=known.len() {
        for content in [&b""[..], b"of a later version", &[0xFF; 300]] {
            let mut records = known.clone();
            records.insert(place, Record { tag: UNKNOWN, content: content.to_vec() });
            let bytes = with_records(&whole, &records);
            let image = Image::open(&bytes).expect("the record is not critical");
            assert_eq!(image.description(), description);
            assert_eq!(check_header(&bytes), Ok(description));
            assert_eq!(answers(&bytes), answers(&whole));
            let mut state = State::<{ models::ROOM }>::new();
            assert_eq!(Model::new(&image).self_test(state.as_bytes_mut()), Ok(SelfTest::Passed));
        }
    }
}

#[test]
fn an_unknown_critical_record_is_refused_by_its_tag_wherever_it_stands() {
    let whole = image();
    let known = records(&whole);
    for place in 0..=known.len() {
        let mut records = known.clone();
        records.insert(place, Record { tag: UNKNOWN | CRITICAL, content: b"needed".to_vec() });
        let bytes = with_bytes(&whole, &coded(&records).concat());
        let error = Image::open(&bytes).expect_err("the record is critical");
        assert_eq!(error, Error::UnknownRecord { tag: UNKNOWN });
        assert_eq!(check_header(&bytes), Err(error));
        assert!(error.to_string().contains("0x7b") && error.to_string().contains("update Latch"), "{error}");
    }
}

/// The image with any bytes as records, and its own sections.
fn with_bytes(image: &[u8], header: &[u8]) -> AlignedBytes {
    assemble_header(VERSION, header, &contents(&Image::open(image).expect("the image is whole")))
}

#[test]
fn records_that_end_before_their_length_are_refused() {
    let whole = image();
    let coded = coded(&records(&whole));
    let ends: Vec<usize> =
        coded.iter().scan(0, |end, record| Some(*end + record.len()).inspect(|&now| *end = now)).collect();
    let header = coded.concat();
    for length in 0..header.len() {
        if length != 0 && !ends.contains(&length) {
            let bytes = with_bytes(&whole, &header[..length]);
            assert_eq!(Image::open(&bytes).err(), Some(Error::Record { tag: 0 }), "{length} bytes of records");
            assert_eq!(check_header(&bytes), Err(Error::Record { tag: 0 }));
        }
    }
}

#[test]
fn a_critical_record_with_a_byte_too_few_or_too_many_is_refused_by_its_tag() {
    let whole = image();
    let known = records(&whole);
    let critical = known.iter().filter(|record| record.tag & CRITICAL != 0).count();
    assert_eq!(critical, 3 + KINDS.len());
    for place in (0..known.len()).filter(|&place| known[place].tag & CRITICAL != 0) {
        let expected = Error::Record { tag: known[place].tag & !CRITICAL };
        let mut shorter = known.clone();
        shorter[place].content.pop();
        assert_eq!(Image::open(&with_records(&whole, &shorter)).err(), Some(expected), "{:?}", shorter[place]);
        let mut longer = known.clone();
        longer[place].content.push(0);
        assert_eq!(Image::open(&with_records(&whole, &longer)).err(), Some(expected), "{:?}", longer[place]);
    }
}

#[test]
fn a_critical_record_that_is_there_twice_or_missing_is_refused() {
    let whole = image();
    let known = records(&whole);
    for place in (0..known.len()).filter(|&place| known[place].tag & CRITICAL != 0) {
        let is_layer = !matches!(known[place].tag & !CRITICAL, tags::MODEL | tags::INPUT | tags::EMBEDDING);
        let mut twice = known.clone();
        twice.insert(place, known[place].clone());
        let mut without = known.clone();
        without.remove(place);
        for changed in [twice, without] {
            let bytes = with_records(&whole, &changed);
            // Pooling has no weights: the same chain without it is whole, and answers each step.
            if known[place].tag == 0x14 | CRITICAL && changed.len() < known.len() {
                let image = Image::open(&bytes).expect("a chain without pooling");
                assert!(image.description().answer().each_step);
                continue;
            }
            let Err(error) = Image::open(&bytes) else { panic!("{:?} may be there twice or missing", known[place]) };
            let expected = matches!(error, Error::Shape { .. })
                || is_layer && matches!(error, Error::Layer { .. } | Error::Sections | Error::Overflow { .. });
            assert!(expected, "{:?}: {error:?}", known[place]);
        }
    }
}

#[test]
fn of_a_record_that_is_not_critical_the_first_one_counts() {
    let whole = image();
    let mut known = records(&whole);
    let other = postcard::to_stdvec(&Provenance { seed: 99, ..Provenance::default() }).expect("plain data");
    known.push(Record { tag: tags::PROVENANCE, content: other });
    known.push(Record { tag: tags::SELF_TEST, content: vec![7; 8] });
    let bytes = with_records(&whole, &known);
    let (ours, theirs) = (Image::open(&bytes).expect("nothing critical changed"), Image::open(&whole).expect("whole"));
    assert_eq!((ours.provenance(), ours.self_test()), (theirs.provenance(), theirs.self_test()));
    assert_eq!(answers(&bytes), answers(&whole));
}

/// Everything that an image can say beside its model.
fn notes() -> Notes<'static> {
    let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Notes {
        provenance: Provenance {
            producer: b"a test",
            seed: u64::MAX,
            data_sha256: [0xA7; 32],
            examples: 25_000,
            epochs: 12,
            valid_accuracy: 0.875,
        },
        characters: vec![0x80 << 11 | 7 << 8, 0xC0 << 11],
        early: Vec::new(),
        class_names: strings(&["schlecht", "", "\u{1F600} très bien"]),
        units: strings(&["\u{b0}C", "hPa", ""]),
        // A key may come twice; the order is the writer's.
        metadata: vec![pair("license", "CC0"), pair("", ""), pair("license", "MIT"), pair("long", &"x".repeat(1000))],
    }
}

#[test]
fn class_names_units_and_metadata_outlive_writing_and_another_answer() {
    for weights in Weights::ALL {
        let description = chains::describe(weights, 6, &KINDS);
        let tensors = chains::tensors(&description, 3);
        let notes = notes();
        let bytes = AlignedBytes::new(&encode(&description, &notes, &tensors).expect("all is in range"));
        let image = Image::open(&bytes).expect("what was written opens");
        assert_eq!(Notes::of(&image), notes);
        assert!(image.class_names().eq(notes.class_names.iter().map(String::as_str)));
        assert!(image.units().eq(notes.units.iter().map(String::as_str)));
        assert!(image.metadata().eq(notes.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()))));

        let answer = Answer { kind: AnswerKind::Values, each_step: false };
        let changed = with_answer(&image, answer, &[]).expect("values may have these outputs");
        let changed = Image::open(&changed).expect("what was written opens");
        assert_eq!((Model::new(&changed).answer(), Notes::of(&changed)), (answer, notes));
    }
}

#[test]
fn other_thresholds_of_an_early_exit_leave_the_rest_of_the_notes() {
    let kinds = [Kind::Lstm(5), Kind::Pooling(Pooling::Last), Kind::Dense(1, Activation::Linear)];
    let description = chains::describe(Weights::Int8, 6, &kinds);
    let notes = notes();
    let tensors = chains::tensors(&description, 4);
    let bytes = AlignedBytes::new(&encode(&description, &notes, &tensors).expect("all is in range"));
    let image = Image::open(&bytes).expect("what was written opens");
    let early = [Early { tokens: 8, logit: 200_000 }, Early { tokens: 20, logit: 100_000 }];
    let answer = Answer { kind: AnswerKind::Classes, each_step: false };
    let changed = with_answer(&image, answer, &early).expect("one verdict of two classes");
    let changed = Image::open(&changed).expect("what was written opens");
    assert_eq!(Notes::of(&changed), Notes { early: early.to_vec(), ..notes.clone() });
    // And at each step, and back.
    let each = Answer { each_step: true, ..answer };
    let steps = with_answer(&changed, each, &[]).expect("it pools the last step");
    let back = with_answer(&Image::open(&steps).expect("opens"), answer, &early).expect("the pooling comes back");
    let back = Image::open(&back).expect("what was written opens");
    assert_eq!((Notes::of(&back), back.description()), (Notes::of(&changed), changed.description()));
}

#[test]
fn a_provenance_whose_accuracy_is_no_number_reads_as_none() {
    let description = chains::describe(Weights::Int8, 6, &KINDS);
    let tensors = chains::tensors(&description, 3);
    for bits in [0x7FC0_0000, 0xFFC0_0000, 0x7F80_0001, 0x7F80_0000, 0xFF80_0000] {
        let mut notes = notes();
        notes.provenance.valid_accuracy = f32::from_bits(bits);
        let mut bytes = AlignedBytes::new(&encode(&description, &notes, &tensors).expect("all is in range"));
        latch_engine::certify(&mut bytes).expect("it opens");
        let image = Image::open(&bytes).expect("no record of it is critical");
        assert_eq!(image.provenance(), Provenance::default());
        let model = Model::new(&image);
        let line = serde_json::to_string(&latch_trainer::report::image::Line::of(&model, &image)).expect("plain data");
        assert!(line.contains("\"valid_accuracy\":0.0"), "{line}");
        let text = latch_trainer::report::image::text(&model, &image, false).expect("an image of integers");
        assert!(!text.contains("NaN") && !text.contains("inf %"), "{text}");
    }
}

/// Which tensors get another magnitude, and which one.
type Change = (fn(&Tensor) -> bool, f32);

/// The image of a chain of floats with these changes; every sign and every zero stays.
fn filled(kinds: &[Kind], changes: &[Change]) -> AlignedBytes {
    let description = chains::describe(Weights::F32, 6, kinds);
    let mut tensors = chains::tensors(&description, 5);
    for (is_meant, value) in changes {
        let mut found = false;
        for tensor in tensors.iter_mut().filter(|tensor| is_meant(tensor)) {
            let Values::F32(values) = &mut tensor.values else { panic!("{:?} holds no floats", tensor.role) };
            // Padding stays zero.
            values.iter_mut().filter(|old| **old != 0.0).for_each(|old| *old = value.copysign(*old));
            found = true;
        }
        assert!(found, "no such tensor");
    }
    AlignedBytes::new(&encode(&description, &Notes::default(), &tensors).expect("the sizes are right"))
}

#[test]
fn a_float_image_whose_sums_could_overflow_is_refused_by_layer_and_row() {
    use latch_engine::image::role::Role;
    let is_embedding = |tensor: &Tensor| tensor.role == Role::Embedding;
    let is_weights = |tensor: &Tensor| tensor.role == Role::Weights && tensor.layer == 0;
    let is_recurrent = |tensor: &Tensor| tensor.role == Role::RecurrentWeights && tensor.layer == 0;
    let is_head = |tensor: &Tensor| tensor.role == Role::Weights && tensor.layer == 2;
    let is_bias = |tensor: &Tensor| tensor.role == Role::Biases && tensor.layer == 2;
    for cell in [Kind::Lstm(5), Kind::Gru(5, true), Kind::Gru(5, false), Kind::Rnn(5, false)] {
        let kinds = [cell, Kind::Pooling(Pooling::Mean), Kind::Dense(2, Activation::Linear)];
        let error = |changes: &[Change]| Image::open(&filled(&kinds, changes)).err();
        // Each weight alone is finite; it is the product or the sum that is not.
        assert_eq!(error(&[(is_embedding, 1e20), (is_weights, 1e20)]), Some(Error::TooLarge { layer: 0, row: 0 }));
        assert_eq!(error(&[(is_head, 3.4e38)]), Some(Error::TooLarge { layer: 2, row: 0 }));
        assert_eq!(error(&[(is_bias, 3.4e38)]), Some(Error::TooLarge { layer: 2, row: 0 }));
        if matches!(cell, Kind::Gru(..)) {
            assert_eq!(error(&[(is_recurrent, 3.4e38)]), Some(Error::TooLarge { layer: 0, row: 0 }));
        }
        // What opens has finite answers, on every backend.
        let bytes = filled(&kinds, &[(is_embedding, 1e12), (is_weights, 1e12), (is_head, 1e24)]);
        let image = Image::open(&bytes).expect("far from an infinity");
        for backend in latch_engine::kernels::AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let mut state = State::<{ models::ROOM }>::new();
            let mut session = model.session(&mut state).expect("there is room");
            for id in 0..40 {
                session.push_token(id % chains::ROWS);
                let logits = models::logits(&mut session);
                assert!(logits.iter().all(|logit| logit.to_f32().is_finite()), "{}: {logits:?}", backend.name());
            }
        }
    }
}

#[test]
fn a_float_state_with_an_infinity_or_no_number_anywhere_in_a_layer_is_refused() {
    for pooling in models::POOLINGS {
        // Attention does not read what a rectifier gives.
        for cell in [Kind::Lstm(5), Kind::Gru(5, true), Kind::Rnn(5, pooling != Pooling::Attention)] {
            let kinds = [cell, Kind::Pooling(pooling), Kind::Dense(2, Activation::Linear)];
            let bytes = chains::image(Weights::F32, 6, &kinds, 8);
            let image = Image::open(&bytes).expect("just made");
            let model = Model::new(&image);
            let mut state = State::<{ models::ROOM }>::new();
            let mut session = model.session(&mut state).expect("there is room");
            assert_eq!(session.push_tokens(&[1, 2, 3, 4]), 4);
            let start = session.state().as_ptr().addr();
            let places: Vec<usize> = (0..2)
                .flat_map(|layer| {
                    let bytes = session.layer_state(layer);
                    (0..bytes.len()).step_by(4).map(|at| bytes.as_ptr().addr() - start + at).collect::<Vec<_>>()
                })
                .collect();
            assert!(places.len() >= 8, "{kinds:?}: {places:?}");
            assert!(model.resume(&mut state.clone()).is_ok());
            for place in places {
                for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut changed = state.as_bytes().to_vec();
                    changed[place..place + 4].copy_from_slice(&value.to_le_bytes());
                    let mut changed = State::<{ models::ROOM }>::from_bytes(&changed).expect("as many bytes");
                    let outcome = model.resume(&mut changed).err();
                    assert_eq!(outcome, Some(Error::StateDamaged), "{kinds:?}: {value} at {place}");
                }
            }
        }
    }
}
