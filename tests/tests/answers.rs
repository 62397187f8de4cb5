//! Promise: an image says what its outputs mean and when a verdict is certain; both change nothing of what it computes.

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::{Answer, AnswerKind, Early};
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Model, Precision, SelfTest, State, View, project, with_answer};
use latch_tests::models::{PRECISIONS, ROOM, Shape};

const TEXT: &[u8] = b"a b zz ab m, n. x a b c d e f g h i j k l m n o p q r s t u v w x y z";

fn image(precision: Precision, pooling: Pooling) -> AlignedBytes {
    Shape { rows: 40, width: 5, units: vec![7], pooling, unknown: Unknown::LastRow, seed: 3 }.image(precision)
}

fn steps(pairs: &[(u32, u32)]) -> Vec<Early> {
    pairs.iter().map(|&(tokens, logit)| Early { tokens, logit }).collect()
}

/// The bits of the logit after every token, and what is certain there.
fn run(bytes: &AlignedBytes) -> Vec<(u32, Option<bool>)> {
    let image = Image::open(bytes).expect("the image was just made");
    let model = Model::new(&image);
    let mut state = State::<ROOM>::new();
    assert_ne!(std::mem::discriminant(&model.self_test(state.as_bytes_mut()).expect("there is room")), {
        std::mem::discriminant(&SelfTest::Failed { expected: 0, found: 0 })
    });
    let mut session = model.session(&mut state).expect("there is room");
    let mut outputs = Vec::new();
    let mut note = |session: &mut View<'_, '_, '_>, _: &[u8]| {
        assert_eq!(session.is_certain(), session.early().is_some());
        outputs.push((session.output().to_bits(), session.early()));
    };
    session.push_bytes_each(TEXT, &mut note);
    session.finish_each(&mut note);
    outputs
}

#[test]
fn thresholds_change_no_bit_of_a_stream_that_runs_to_its_end() {
    for precision in PRECISIONS {
        let plain = image(precision, Pooling::Max);
        let opened = Image::open(&plain).expect("the image was just made");
        let early = with_answer(&opened, Answer::default(), &steps(&[(3, 40_000), (9, 20_000)])).expect("they fall");
        let (without, with) = (run(&plain), run(&early));
        assert!(without.iter().all(|(_, certain)| certain.is_none()));
        assert!(without.iter().map(|(bits, _)| bits).eq(with.iter().map(|(bits, _)| bits)));
        // And thresholds of nothing are the image as it was.
        let again = with_answer(&opened, Answer::default(), &[]).expect("nothing is asked of it");
        assert_eq!(&again[..], &plain[..]);
    }
}

#[test]
fn a_verdict_is_certain_from_the_tokens_and_the_magnitude_on_that_the_image_says() {
    for precision in PRECISIONS {
        let plain = image(precision, Pooling::Last);
        let opened = Image::open(&plain).expect("the image was just made");
        let (first, later) = (60_000, 10_000);
        let early = with_answer(&opened, Answer::default(), &steps(&[(4, first), (20, later)])).expect("they fall");
        let mut seen = [0; 2];
        for (index, (bits, certain)) in run(&early).into_iter().enumerate() {
            let value = match precision {
                Precision::Int8 | Precision::Int16 => f64::from(bits as i32),
                _ => f64::from(f32::from_bits(bits)) * 65_536.0,
            };
            let threshold = [u32::MAX, first, later][usize::from(index + 1 >= 4) + usize::from(index + 1 >= 20)];
            let expected = (value.abs() as u32 >= threshold).then_some(value >= 0.0);
            assert_eq!(certain, expected, "token {}: {value}", index + 1);
            seen[usize::from(certain.is_some())] += 1;
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }
}

#[test]
fn a_projected_image_keeps_its_answer_and_its_thresholds() {
    let plain = image(Precision::Int8, Pooling::Max);
    let opened = Image::open(&plain).expect("the image was just made");
    let early = with_answer(&opened, Answer::default(), &steps(&[(2, 30_000)])).expect("one step");
    let projected = project(&Image::open(&early).expect("it was just made"), &[0, 3, 7]).expect("the ids are there");
    assert_eq!(run(&projected), run(&early));
    let values = Answer { kind: AnswerKind::Values, each_step: false };
    let values = with_answer(&opened, values, &[]).expect("values suit every model");
    let projected = project(&Image::open(&values).expect("it was just made"), &[1]).expect("the id is there");
    assert_eq!(Model::new(&Image::open(&projected).expect("it was just made")).answer().kind, AnswerKind::Values);
}

#[test]
fn an_answer_that_does_not_fit_the_model_is_refused() {
    let bytes = image(Precision::Int8, Pooling::Max);
    let opened = Image::open(&bytes).expect("the image was just made");
    let refused =
        |answer, early: &[(u32, u32)]| matches!(with_answer(&opened, answer, &steps(early)), Err(Error::Shape { .. }));
    assert!(refused(Answer { each_step: true, ..Answer::default() }, &[]), "pooling is not the last step");
    assert!(refused(Answer { kind: AnswerKind::Values, each_step: false }, &[(1, 5)]), "values are never certain");
    assert!(refused(Answer::default(), &[(5, 10), (5, 9)]), "tokens do not rise");
    assert!(refused(Answer::default(), &[(5, 10), (6, 11)]), "logits rise");
    assert!(refused(Answer::default(), &[(1, 9); 9]), "there are too many steps");
    let last = image(Precision::Int8, Pooling::Last);
    let opened = Image::open(&last).expect("the image was just made");
    let each = Answer { each_step: true, ..Answer::default() };
    assert!(with_answer(&opened, each, &[]).is_ok());
    assert!(with_answer(&opened, each, &steps(&[(1, 5)])).is_err(), "every token has its own verdict");
}
