//! Promise: a session can be used as programs use it: for ever, one text after the other, saved at any time, beside others, from an image that
//! lies where it may lie.

use std::thread;

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Error, Model};
use latch_tests::models::{POOLINGS, PRECISIONS, Room, Shape, UNKNOWN_ROW, bits};

/// Models of every precision and pooling, two layers each.
fn images() -> Vec<AlignedBytes> {
    let shape = |pooling, seed| Shape { rows: 40, width: 5, units: vec![9, 7], pooling, unknown: UNKNOWN_ROW, seed };
    let each = PRECISIONS.iter().flat_map(|&precision| POOLINGS.map(|pooling| (precision, pooling)));
    each.zip(1..).map(|((precision, pooling), seed)| shape(pooling, seed).image(precision)).collect()
}

/// The answer to one text in a session of its own.
fn alone(model: &Model<'_>, text: &[u8]) -> Vec<u32> {
    let mut state = Room::new();
    let mut session = model.session(&mut state).expect("there is room");
    session.push_bytes(text);
    session.finish();
    bits(&mut session)
}

#[test]
fn one_session_answers_a_thousand_times_alike_after_each_reset() {
    for bytes in images() {
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let expected = alone(&model, b"a bb z, nobody c!");
        let mut state = Room::new();
        let mut session = model.session(&mut state).expect("there is room");
        for round in 0..1000 {
            // Something else before, now and then broken off inside a word, a tag or a character.
            session.push_bytes([&b"d e <br"[..], b"f\xC3", b"", b"z z z"][round % 4]);
            if round % 3 == 0 {
                session.finish();
            }
            session.reset();
            session.push_bytes(b"a bb z, nobody c!");
            session.finish();
            assert_eq!(bits(&mut session), expected, "round {round}");
            session.reset();
        }
    }
}

#[test]
fn a_second_finish_changes_nothing_and_a_stream_goes_on_after_it() {
    for bytes in images() {
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let mut state = Room::new();
        let mut session = model.session(&mut state).expect("there is room");
        session.push_bytes(b"a bb");
        session.finish();
        let (once, tokens) = (bits(&mut session), session.tokens());
        session.finish();
        assert_eq!((bits(&mut session), session.tokens()), (once, tokens));
        // The end of a text ends a word and nothing else: what follows is read as if a space stood between.
        session.push_bytes(b"c dd");
        session.finish();
        assert_eq!(bits(&mut session), alone(&model, b"a bb c dd"));
    }
}

#[test]
fn a_stream_is_saved_and_resumed_after_each_of_three_hundred_tokens_on_another_backend() {
    let backends: Vec<AnyBackend> = AnyBackend::all().collect();
    for (index, bytes) in images().into_iter().enumerate() {
        let image = Image::open(&bytes).expect("the image was just made");
        // The images come by precision: F32, F16, Int8.
        let integers = index / POOLINGS.len() == 2;
        let ids: Vec<u32> = (0..300).map(|step| step * 7 % 40).collect();
        let whole = Model::new(&image).with_backend(backends[0]);
        let mut memory = Room::new();
        let mut stream = whole.session(&mut memory).expect("there is room");
        let mut saved = Room::new();
        whole.session(&mut saved).expect("there is room");
        for (step, &id) in ids.iter().enumerate() {
            stream.push_token(id);
            // Float backends need not have the same bits: those stay on one.
            let backend = backends[if integers { step % backends.len() } else { 0 }];
            let model = Model::new(&image).with_backend(backend);
            let mut state = Room::from_bytes(saved.as_bytes()).expect("as many bytes");
            let mut session = model.resume(&mut state).expect("a state that was saved");
            session.push_token(id);
            assert_eq!(bits(&mut session), bits(&mut stream), "token {step} on {}", backend.name());
            saved = state;
        }
    }
}

#[test]
fn two_models_step_by_step_in_turn_and_in_threads_do_not_disturb_each_other() {
    let images = images();
    let opened: Vec<Image<'_>> = images.iter().map(|bytes| Image::open(bytes).expect("just made")).collect();
    let models: Vec<Model<'_>> = opened.iter().map(Model::new).collect();
    let ids: Vec<u32> = (0..200).map(|step| step * 11 % 40).collect();
    let run = |model: &Model<'_>| {
        let mut state = Room::new();
        let mut session = model.session(&mut state).expect("there is room");
        ids.iter().for_each(|&id| assert!(session.push_token(id)));
        bits(&mut session)
    };
    let expected: Vec<Vec<u32>> = models.iter().map(run).collect();
    let mut states: Vec<Room> = models.iter().map(|_| Room::new()).collect();
    let mut sessions: Vec<_> =
        models.iter().zip(&mut states).map(|(model, state)| model.session(state).expect("there is room")).collect();
    for &id in &ids {
        sessions.iter_mut().for_each(|session| assert!(session.push_token(id)));
    }
    for (session, expected) in sessions.iter_mut().zip(&expected) {
        assert_eq!(bits(session), *expected);
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            for (model, expected) in models.iter().zip(&expected) {
                scope.spawn(move || assert_eq!(run(model), *expected));
            }
        }
    });
}

#[test]
fn an_image_at_any_offset_is_refused_as_misaligned_or_right() {
    for bytes in images() {
        let expected = alone(&Model::new(&Image::open(&bytes).expect("just made")), b"a bb c");
        for offset in 0..48 {
            let mut memory = AlignedBytes::zeroed(bytes.len() + 48);
            memory[offset..offset + bytes.len()].copy_from_slice(&bytes);
            match Image::open(&memory[offset..offset + bytes.len()]) {
                Ok(image) => {
                    assert_eq!(offset % 16, 0);
                    assert_eq!(alone(&Model::new(&image), b"a bb c"), expected);
                }
                Err(error) => assert_eq!((error, offset % 16 != 0), (Error::Misaligned, true), "offset {offset}"),
            }
        }
    }
}

#[test]
fn weights_stay_where_the_image_lies() {
    for bytes in images() {
        let image = Image::open(&bytes).expect("the image was just made");
        let memory = bytes.as_ptr_range();
        for section in image.sections() {
            let section = image.section_bytes(&section).as_ptr_range();
            assert!(memory.start <= section.start && section.end <= memory.end, "{section:?} outside of {memory:?}");
        }
        // What a model keeps besides is small, whatever the image's size: room for the slices of 16 layers, each of which may have two directions.
        assert!(size_of::<Model<'_>>() < 6144, "{}", size_of::<Model<'_>>());
    }
}

#[test]
fn a_cell_that_is_held_open_for_a_million_steps_keeps_its_answer() {
    for precision in PRECISIONS {
        let shape = Shape { rows: 2, width: 1, units: vec![1], pooling: POOLINGS[0], unknown: UNKNOWN_ROW, seed: 1 };
        let mut weights = shape.weights();
        weights.embedding = vec![1.0, -1.0];
        let layer = &mut weights.layers[0];
        layer.kernel = vec![0.0, 0.0, 1.0, 0.0]; // the candidate alone follows the input
        layer.recurrent_kernel = vec![0.0; 4];
        layer.bias = vec![4.0, 7.9, 0.0, 4.0]; // input, forget and output gates are open
        weights.head = vec![2.0];
        weights.head_bias = vec![0.0];
        let bytes = latch_tests::models::image(&weights, precision, UNKNOWN_ROW);
        let image = Image::open(&bytes).expect("the image was just made");
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let mut state = Room::new();
            let mut session = model.session(&mut state).expect("there is room");
            let mut last = f32::MIN;
            for step in 0..1_000_000_u32 {
                session.push_token(0);
                if step.is_power_of_two() {
                    let logit = session.output().to_f32();
                    assert!(logit.is_finite() && logit >= last, "{} step {step}: {logit} after {last}", backend.name());
                    last = logit;
                }
            }
            // tanh of a large cell, times an output gate of sigmoid(4) and a weight of 2.
            let logit = session.output().to_f32();
            assert!((logit - 2.0 * 0.982).abs() < 0.03, "{}: {logit}", backend.name());
            // What held the cell up can be undone: the cell counts down from where it is, and has not run away.
            (0..20_000).for_each(|_| assert!(session.push_token(1)));
            let settled = session.output().to_f32();
            if precision.is_integer() {
                assert!(
                    settled < -1.5,
                    "{}: {settled} after as many steps back as any integer cell holds",
                    backend.name()
                );
            } else {
                assert!(settled.is_finite());
            }
        }
    }
}
