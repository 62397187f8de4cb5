//! Promise: integer models give the same bits on every backend; float models stay inside the table's bound.

use latch_engine::image::Image;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, Precision, Session, State};
use latch_tests::models::{ROOM, Shape, logits, shapes};
use latch_tests::tolerances::BACKENDS;
use proptest::prelude::*;

/// Runs `ids` on every backend side by side and calls `judge` with the reference's session and another's after every token.
fn side_by_side(shape: &Shape, precision: Precision, ids: &[u32], mut judge: impl FnMut(&mut Session, &mut Session)) {
    let bytes = shape.image(precision);
    let image = Image::open(&bytes).expect("the image was just made");
    let models: Vec<Model> = AnyBackend::all().map(|backend| Model::new(&image).with_backend(backend)).collect();
    let mut states = vec![State::<ROOM>::new(); models.len()];
    let mut sessions: Vec<Session> =
        models.iter().zip(&mut states).map(|(model, state)| model.session(state).expect("there is room")).collect();
    assert_eq!(models[0].backend().name(), "scalar", "the narrowest backend is the reference");
    for &id in ids {
        for session in &mut sessions {
            assert!(session.push_token(id % shape.rows as u32));
        }
        let [reference, others @ ..] = sessions.as_mut_slice() else {
            unreachable!("there is always the scalar backend")
        };
        for other in others {
            judge(reference, other);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn integer_models_give_the_same_bits_and_states_on_every_backend(
        shape in shapes(40, 40, 70, 3),
        ids in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        for precision in [Precision::Int8, Precision::Int16] {
        side_by_side(&shape, precision, &ids, |reference, other| {
            assert_eq!(logits(reference), logits(other));
            // All that a snapshot brings to another machine.
            assert_eq!(reference.remembered(), other.remembered());
        });
        }
    }

    #[test]
    fn float_models_stay_inside_the_bound_on_every_backend(
        shape in shapes(40, 40, 70, 3),
        ids in prop::collection::vec(any::<u32>(), 1..40),
    ) {
        for precision in [Precision::F32, Precision::F16] {
            side_by_side(&shape, precision, &ids, |reference, other| {
                for (a, b) in logits(reference).into_iter().zip(logits(other)) {
                    let (a, b) = (a.to_f32(), b.to_f32());
                    // The head's weights are below 2, so that a logit's error is up to twice the units' errors together.
                    let bound = BACKENDS * (1.0 + a.abs());
                    assert!((a - b).abs() <= bound, "{}: {a} and {b}", precision.name());
                }
            });
        }
    }
}

#[test]
fn one_backend_gives_the_same_bits_twice() {
    let shape = Shape {
        rows: 30,
        width: 13,
        units: vec![37, 21],
        pooling: latch_engine::layers::pooling::Pooling::Mean,
        unknown: latch_engine::input::text::Unknown::Skip,
        seed: 5,
    };
    for precision in latch_tests::models::PRECISIONS {
        let bytes = shape.image(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let run = || {
                let mut state = State::<ROOM>::new();
                let mut session = model.session(&mut state).expect("there is room");
                session.push_tokens(&(0..100).map(|id| id % 30).collect::<Vec<_>>());
                state
            };
            assert_eq!(run(), run());
        }
    }
}

#[test]
fn the_scalar_backend_can_always_be_forced_and_unknown_names_give_none() {
    assert_eq!(AnyBackend::by_name("scalar").map(AnyBackend::name), Some("scalar"));
    assert_eq!(AnyBackend::by_name("abacus"), None);
    for backend in AnyBackend::all() {
        assert_eq!(AnyBackend::by_name(backend.name()), Some(backend));
    }
}

#[test]
fn a_new_model_takes_the_widest_backend_or_the_scalar_one_where_that_is_forced() {
    let widest = AnyBackend::all().last().expect("there is always the scalar backend");
    let expected = if cfg!(engine_backend = "scalar") { "scalar" } else { widest.name() };
    assert_eq!(AnyBackend::detect().name(), expected);
    let shape = Shape {
        rows: 2,
        width: 1,
        units: vec![1],
        pooling: latch_engine::layers::pooling::Pooling::Last,
        unknown: latch_engine::input::text::Unknown::Skip,
        seed: 0,
    };
    let bytes = shape.image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    assert_eq!(Model::new(&image).backend().name(), expected);
}
