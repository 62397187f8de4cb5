//! Promise: weights in a backend's own order, and streams that step together, change no bit of an integer model and keep float models inside
//! the table's bound.

use latch_engine::image::Image;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Error, Model, Precision, Session, State};
use latch_tests::models::{PRECISIONS, ROOM, Shape, logits, shapes};
use latch_tests::tolerances::BACKENDS;
use proptest::prelude::*;

/// Runs `judge` on every backend with the model as it is and packed into memory that begins anywhere.
fn packed_and_not(shape: &Shape, precision: Precision, slack: usize, mut judge: impl FnMut(&Model<'_>, &Model<'_>)) {
    let bytes = shape.image(precision);
    let image = Image::open(&bytes).expect("the image was just made");
    for backend in AnyBackend::all() {
        let plain = Model::new(&image).with_backend(backend);
        let mut memory = vec![0xA5; slack + plain.packed_bytes()];
        let packed = plain.clone().pack(&mut memory[slack..]).expect("there is room");
        judge(&plain, &packed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_packed_model_gives_the_same_bits(
        shape in shapes(40, 40, 70, 3),
        ids in prop::collection::vec(any::<u32>(), 1..20),
        slack in 0_usize..64,
    ) {
        for precision in PRECISIONS {
            packed_and_not(&shape, precision, slack, |plain, packed| {
                let run = |model: &Model<'_>| {
                    let mut state = State::<ROOM>::new();
                    let mut session = model.session(&mut state).expect("there is room");
                    for &id in &ids {
                        session.push_token(id % shape.rows as u32);
                    }
                    // Known words and unknown ones, found in the image or in the table.
                    session.push_bytes(b"a bb z ba zz c, d! nobody");
                    session.finish();
                    let answer: Vec<u32> = logits(&mut session).into_iter().map(|logit| logit.to_bits()).collect();
                    (answer, state)
                };
                assert_eq!(run(plain), run(packed), "{} {}", plain.backend().name(), precision.name());
            });
        }
    }

    #[test]
    fn streams_together_go_as_each_would_alone(
        shape in shapes(30, 20, 40, 3),
        streams in 1_usize..12,
        steps in prop::collection::vec(any::<u32>(), 1..8),
    ) {
        for precision in PRECISIONS {
            packed_and_not(&shape, precision, 0, |plain, packed| {
                // Some ids lie outside the embedding: their streams stay where they are.
                let id = |step: u32, stream: usize| step.wrapping_add(7 * stream as u32) % (shape.rows as u32 + 1);
                let mut alone = vec![State::<ROOM>::new(); streams];
                let mut read = 0;
                let mut expected = Vec::new();
                for (stream, state) in alone.iter_mut().enumerate() {
                    let mut session = plain.session(state).expect("there is room");
                    for &step in &steps {
                        read += usize::from(session.push_token(id(step, stream)));
                    }
                    expected.push((logits(&mut session), session.tokens(), session.remembered().to_vec()));
                }
                for model in [plain, packed] {
                    let mut states = vec![State::<ROOM>::new(); streams];
                    let mut sessions: Vec<Session> =
                        states.iter_mut().map(|state| model.session(state).expect("there is room")).collect();
                    let mut count = 0;
                    for &step in &steps {
                        let ids: Vec<u32> = (0..streams).map(|stream| id(step, stream)).collect();
                        count += Session::step_many(&mut sessions, &ids);
                    }
                    assert_eq!(count, read);
                    for (session, (logits_alone, tokens, remembered)) in sessions.iter_mut().zip(&expected) {
                        assert_eq!(session.tokens(), *tokens);
                        if precision.is_integer() {
                            assert_eq!(session.remembered(), &remembered[..], "{}", model.backend().name());
                        }
                        for (ours, alone) in logits(session).into_iter().zip(logits_alone) {
                            if precision.is_integer() {
                                assert_eq!(ours, *alone, "{}", model.backend().name());
                            } else {
                                let (ours, alone) = (ours.to_f32(), alone.to_f32());
                                assert!((ours - alone).abs() <= BACKENDS * (1.0 + alone.abs()), "{ours} {alone}");
                            }
                        }
                    }
                }
            });
        }
    }
}

/// A small model, of the fewest things that a test of memory needs.
fn small() -> Shape {
    Shape {
        rows: 5,
        width: 3,
        units: vec![21, 6],
        pooling: latch_engine::layers::pooling::Pooling::Last,
        unknown: latch_engine::input::text::Unknown::Skip,
        seed: 3,
    }
}

#[test]
fn too_little_memory_for_packed_weights_is_refused_with_what_is_needed() {
    let bytes = small().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    for backend in AnyBackend::all() {
        let model = Model::new(&image).with_backend(backend);
        let needed = model.packed_bytes();
        if needed > 0 {
            let mut memory = vec![0; needed - 1];
            let refused = model.pack(&mut memory).expect_err("one byte is missing");
            assert_eq!(refused, Error::PackedTooSmall { needed, given: needed - 1 });
            assert!(refused.to_string().contains(&needed.to_string()));
        }
    }
}

#[test]
fn a_packed_model_on_another_backend_forgets_the_packed_weights() {
    let bytes = small().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    for first in AnyBackend::all() {
        let model = Model::new(&image).with_backend(first);
        let mut memory = vec![0; model.packed_bytes()];
        let packed = model.clone().pack(&mut memory).expect("there is room");
        for second in AnyBackend::all() {
            let answer = |model: Model<'_>| {
                let mut state = State::<ROOM>::new();
                let mut session = model.session(&mut state).expect("there is room");
                session.push_tokens(&[1, 2, 3, 4]);
                session.output()
            };
            assert_eq!(answer(packed.clone().with_backend(second)), answer(model.clone()));
        }
    }
}

#[test]
fn sessions_of_different_models_step_side_by_side() {
    let images = [small().image(Precision::Int8), Shape { seed: 4, ..small() }.image(Precision::F32)];
    let models: Vec<Model> =
        images.iter().map(|bytes| Model::new(&Image::open(bytes).expect("the image was just made"))).collect();
    let mut states = vec![State::<ROOM>::new(); 5];
    let mut sessions: Vec<Session> = states
        .iter_mut()
        .enumerate()
        .map(|(at, state)| models[usize::from(at % 3 == 1)].session(state).expect("there is room"))
        .collect();
    assert_eq!(Session::step_many(&mut sessions, &[0, 1, 2, 3, 4]), 5);
    for (at, session) in sessions.iter_mut().enumerate() {
        let mut state = State::<ROOM>::new();
        let mut alone = session.model().session(&mut state).expect("there is room");
        alone.push_token(at as u32);
        assert_eq!((alone.output(), alone.tokens()), (session.output(), session.tokens()));
    }
}
