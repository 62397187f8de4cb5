//! Promise: convolutions and largest values over time answer when their window is full, hold their answer over a stride, and refuse a state that no stream comes to.

use latch_engine::image::Image;
use latch_engine::image::encode::Values;
use latch_engine::image::role::Role;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::dense::Activation;
use latch_engine::{Error, Model, State};
use latch_tests::chains::{self, Convolution, Kind, ROWS, Weights, describe, tensors};
use latch_tests::models::logits;

use crate::chains::{LINEAR, POOLINGS, ROOM, run};

/// The answers after each id: of a convolution with a stride those of its last answer.
#[test]
fn an_answer_behind_a_stride_holds_until_the_next() {
    let shape = Convolution { units: 6, frames: 3, stride: 2, relu: true, valid: false };
    let twice = Convolution { units: 5, frames: 2, stride: 3, relu: false, valid: false };
    let kinds = [Kind::Conv1d(shape), Kind::Gru(4, true), Kind::Conv1d(twice), Kind::Rnn(3, false)];
    let kinds: Vec<Kind> = kinds.into_iter().chain([Kind::Dense(2, LINEAR)]).collect();
    let ids: Vec<u32> = (0..20).map(|step| step * 7 % ROWS).collect();
    for weights in Weights::ALL {
        let bytes = chains::image(weights, 3, &kinds, 5);
        let image = Image::open(&bytes).expect("it was just made");
        let (answers, _) = run(&Model::new(&image), &ids);
        for (step, answer) in answers.iter().enumerate() {
            assert_eq!(answer, &answers[step / 6 * 6], "{weights:?} at step {step}");
        }
        assert!(answers.chunks(6).collect::<Vec<_>>().windows(2).all(|pair| pair[0][0] != pair[1][0]), "{weights:?}");
    }
}

/// Of counts of frames, computed by hand: units of one weight a frame of the window.
#[test]
fn a_valid_convolution_answers_when_its_window_is_full_and_each_stride_behind() {
    for (stride, expected) in [
        // 1, 10 and 100 times the frames 1, 2, 3, 4 …; 0 before the first answer.
        (1, [0.0, 0.0, 321.0, 432.0, 543.0, 654.0, 765.0]),
        (2, [0.0, 0.0, 321.0, 321.0, 543.0, 543.0, 765.0]),
        (3, [0.0, 0.0, 321.0, 321.0, 321.0, 654.0, 654.0]),
    ] {
        let shape = Convolution { units: 1, frames: 3, stride, relu: false, valid: true };
        let description = describe(Weights::F32, 1, &[Kind::Conv1d(shape), Kind::Dense(1, LINEAR)]);
        let mut tensors = tensors(&description, 1);
        for tensor in &mut tensors {
            let Values::F32(values) = &mut tensor.values else { panic!("an image of floats") };
            let lanes = values.len() / 3;
            match (tensor.role, tensor.layer) {
                (Role::Embedding, _) => values.iter_mut().enumerate().for_each(|(id, value)| *value = id as f32),
                (Role::Weights, 0) => {
                    values.fill(0.0);
                    (0..3).for_each(|frame| values[lanes * frame] = [1.0, 10.0, 100.0][frame]);
                }
                (Role::Weights, _) => values.fill(1.0),
                _ => values.fill(0.0),
            }
        }
        let bytes = chains::of(&description, &tensors);
        let image = Image::open(&bytes).expect("it was just made");
        for backend in AnyBackend::all() {
            let (answers, _) = run(&Model::new(&image).with_backend(backend), &[1, 2, 3, 4, 5, 6, 7]);
            let found: Vec<f32> = answers.iter().map(|answer| answer[0].to_f32()).collect();
            assert_eq!(found, expected, "stride {stride} on {}", backend.name());
        }
    }
}

/// Of frames, computed by hand: windows that follow each other, overlap, and leave frames out between them.
#[test]
fn the_largest_values_over_a_window_come_when_it_is_full_and_each_stride_behind() {
    let ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    for (frames, stride, expected) in [
        (2, 2, [0, 3, 3, 4, 4, 9, 9, 6, 6, 5]),
        (3, 1, [0, 0, 4, 4, 5, 9, 9, 9, 6, 6]),
        (3, 2, [0, 0, 4, 4, 5, 5, 9, 9, 6, 6]),
        (2, 3, [0, 3, 3, 3, 5, 5, 5, 6, 6, 6]),
        (4, 3, [0, 0, 0, 4, 4, 4, 9, 9, 9, 6]),
        (1, 1, [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]),
    ] {
        let description = describe(Weights::F32, 1, &[Kind::MaxPool(frames, stride), Kind::Dense(1, LINEAR)]);
        let mut tensors = tensors(&description, 1);
        for tensor in &mut tensors {
            let Values::F32(values) = &mut tensor.values else { panic!("an image of floats") };
            match tensor.role {
                Role::Embedding => values.iter_mut().enumerate().for_each(|(id, value)| *value = id as f32),
                Role::Weights => values.fill(1.0),
                _ => values.fill(0.0),
            }
        }
        let bytes = chains::of(&description, &tensors);
        let image = Image::open(&bytes).expect("it was just made");
        for backend in AnyBackend::all() {
            let (answers, _) = run(&Model::new(&image).with_backend(backend), &ids);
            let found: Vec<u32> = answers.iter().map(|answer| answer[0].to_f32() as u32).collect();
            assert_eq!(found, expected, "{frames} {stride} on {}", backend.name());
        }
    }
}

/// The last of no steps is zero; the greatest of the first step is that step, however long it was waited for.
#[test]
fn the_layers_behind_a_valid_convolution_begin_with_its_first_answer() {
    let shape = Convolution { units: 4, frames: 4, stride: 2, relu: false, valid: true };
    let ids: Vec<u32> = (0..12).map(|step| step * 7 % ROWS).collect();
    for (weights, pooling) in Weights::ALL.into_iter().flat_map(|weights| POOLINGS.map(|pooling| (weights, pooling))) {
        let kinds =
            [Kind::Conv1d(shape), Kind::Dense(3, Activation::Sigmoid), Kind::Pooling(pooling), Kind::Dense(1, LINEAR)];
        let bytes = chains::image(weights, 3, &kinds, 5);
        let image = Image::open(&bytes).expect("it was just made");
        let model = Model::new(&image);
        let (answers, _) = run(&model, &ids);
        let nothing = logits(&mut model.session(&mut Box::new(State::<ROOM>::new())).expect("there is room"));
        for (step, answer) in answers.iter().enumerate() {
            // Frames 3, 5, 7 … have answers.
            let same = if step < 3 { &nothing } else { &answers[step - (step - 3) % 2] };
            assert_eq!(answer, same, "{weights:?} {pooling:?} at step {step}");
        }
        assert_ne!(answers[3], nothing, "{weights:?} {pooling:?}");
        let alone = run(&model, &ids[..4]).0.pop();
        assert_eq!(alone.as_ref(), Some(&answers[3]), "{weights:?} {pooling:?}");
    }
}

/// A count of frames that no stream of a valid convolution or of largest values comes to is refused.
#[test]
fn a_state_of_windows_counts_less_than_a_window_and_a_stride() {
    let convolution = Convolution { units: 4, frames: 3, stride: 4, relu: true, valid: true };
    for kind in [Kind::Conv1d(convolution), Kind::MaxPool(3, 2)] {
        let bytes = chains::image(Weights::Int8, 3, &[kind, Kind::Dense(1, LINEAR)], 5);
        let image = Image::open(&bytes).expect("it was just made");
        let model = Model::new(&image);
        let mut state = Box::new(State::<ROOM>::new());
        let mut session = model.session(&mut state).expect("there is room");
        let counts = [1_u32, 2, 3, 4, 5, 6, 3, 4].map(|expected| {
            session.push_token(1);
            (u32::from_le_bytes(session.state()[8..12].try_into().expect("four bytes")), expected)
        });
        assert!(counts.iter().all(|(found, expected)| found == expected), "{counts:?}");
        for (count, sound) in [(0, true), (6, true), (7, false), (u32::MAX, false)] {
            state.as_bytes_mut()[8..12].copy_from_slice(&u32::to_le_bytes(count));
            let resumed = model.resume(&mut state).map(|_| ());
            assert_eq!(resumed, if sound { Ok(()) } else { Err(Error::StateDamaged) }, "{count}");
        }
    }
}

/// A state from outside that says to wait longer than the stride is none of a stream.
#[test]
fn a_state_that_waits_longer_than_the_stride_is_refused() {
    let shape = Convolution { units: 4, frames: 3, stride: 4, relu: true, valid: false };
    let bytes = chains::image(Weights::Int8, 3, &[Kind::Gru(5, true), Kind::Conv1d(shape), Kind::Dense(1, LINEAR)], 5);
    let image = Image::open(&bytes).expect("it was just made");
    let model = Model::new(&image);
    let mut state = Box::new(State::<ROOM>::new());
    model.session(&mut state).expect("there is room").push_tokens(&[1, 2]);
    // Behind the header and the hidden state of five units.
    let place = 8 + 12;
    assert_eq!(state.as_bytes()[place..place + 4], 2_u32.to_le_bytes());
    for (waiting, sound) in [(0, true), (3, true), (4, false), (u32::MAX, false)] {
        state.as_bytes_mut()[place..place + 4].copy_from_slice(&u32::to_le_bytes(waiting));
        let resumed = model.resume(&mut state).map(|_| ());
        assert_eq!(resumed, if sound { Ok(()) } else { Err(Error::StateDamaged) }, "{waiting}");
    }
}
