//! Promise: frames of samples go through any chain as ids with the same values do, to the same bits in any chunks, as counts and as values; what is no
//! sample is refused and moves nothing.

use latch_engine::image::encode::{Tensor, Values};
use latch_engine::image::header::AnswerKind;
use latch_engine::image::role::Role;
use latch_engine::image::{Description, Image};
use latch_engine::input::samples::{MAX_CHANNELS, MAX_LAG, Samples, Skip};
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::dense::Activation;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Logit, Model, SelfTest, Session, State};
use latch_tests::chains::{self, Convolution, Kind, Weights, describe_samples, tensors};
use latch_tests::models::logits;
use latch_tests::tolerances::CHAINS;
use proptest::prelude::*;

/// Bytes of a state of any chain here.
const ROOM: usize = 65_536;

/// A few layers of any kind but the embedding, and a linear dense one.
pub(crate) fn any_chain() -> impl Strategy<Value = Vec<Kind>> {
    let cell = prop_oneof![
        (1..12_u16).prop_map(Kind::Lstm),
        (1..12_u16, any::<bool>()).prop_map(|(units, after)| Kind::Gru(units, after)),
        (1..12_u16, any::<bool>()).prop_map(|(units, relu)| Kind::Rnn(units, relu)),
        (1..12_u16).prop_map(|units| Kind::Dense(units, Activation::Tanh)),
        (1..12_u16, 1..6_u8, 1..4_u8, any::<bool>(), any::<bool>()).prop_map(|(units, frames, stride, relu, valid)| {
            Kind::Conv1d(Convolution { units, frames, stride, relu, valid })
        }),
        (1..5_u8, 1..4_u8).prop_map(|(frames, stride)| Kind::MaxPool(frames, stride)),
    ];
    let pooling = prop::option::of(prop::sample::select(vec![Pooling::Last, Pooling::Mean, Pooling::Max]));
    (prop::collection::vec(cell, 0..3), pooling, 1..4_u16).prop_map(|(mut kinds, pooling, outputs)| {
        kinds.extend(pooling.map(Kind::Pooling));
        kinds.push(Kind::Dense(outputs, Activation::Linear));
        kinds
    })
}

fn any_samples() -> impl Strategy<Value = Samples> {
    let frames = || prop::sample::select(vec![0, 0, 1, 2, 5]);
    let skip = (0..4_u16, frames()).prop_map(|(channel, lag)| Skip { channel, lag });
    (1..7_u16, frames(), prop::option::of(skip)).prop_map(|(channels, lag, skip)| Samples { channels, lag, skip })
}

/// The chain behind the samples; without the skip where an output has no channel.
fn describe(weights: Weights, samples: Samples, kinds: &[Kind]) -> Description {
    let description = describe_samples(weights, samples, kinds);
    match description.check() {
        Ok(()) => description,
        Err(_) => describe_samples(weights, Samples { skip: None, ..samples }, kinds),
    }
}

/// All answers after each frame, and what is remembered at the end; `chunk` frames are pushed at a time.
fn run(model: &Model<'_>, counts: &[i16], chunk: usize) -> (Vec<Vec<Logit>>, Vec<u8>) {
    let mut state = Box::new(State::<ROOM>::new());
    let mut session = model.session(&mut state).expect("there is room");
    let mut answers = Vec::new();
    for chunk in counts.chunks(chunk * usize::from(model.channels())) {
        session
            .push_samples_each(chunk, |view| {
                answers.push((0..usize::from(view.model().outputs())).map(|output| view.logit(output)).collect());
            })
            .expect("whole frames");
    }
    (answers, session.remembered().to_vec())
}

fn assert_close(found: &[Vec<Logit>], expected: &[Vec<Logit>], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        match (found, expected) {
            (Logit::Float(found), Logit::Float(expected)) => {
                assert!((found - expected).abs() <= CHAINS * (1.0 + expected.abs()), "{what}: {found} and {expected}");
            }
            _ => assert_eq!(found, expected, "{what}"),
        }
    }
}

/// Whole frames of a number of channels.
fn frames(counts: &[i16], channels: u16) -> &[i16] {
    &counts[..counts.len() / usize::from(channels) * usize::from(channels)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_chunks_of_frames_give_the_same_bits_on_every_backend(
        samples in any_samples(),
        kinds in any_chain(),
        seed: u64,
        counts in prop::collection::vec(any::<i16>(), 7..90),
    ) {
        let counts = frames(&counts, samples.channels);
        for weights in Weights::ALL {
            let description = describe(weights, samples, &kinds);
            let bytes = chains::of(&description, &tensors(&description, seed));
            let image = Image::open(&bytes).expect("it was just made");
            let scalar = AnyBackend::by_name("scalar").expect("every machine has it");
            let expected = run(&Model::new(&image).with_backend(scalar), counts, 1);
            prop_assert!(expected.0.iter().flatten().all(|logit| logit.to_f32().is_finite()));
            for backend in AnyBackend::all() {
                let model = Model::new(&image).with_backend(backend);
                let found = run(&model, counts, 1);
                assert_close(&found.0, &expected.0, &format!("{weights:?} on {}", backend.name()));
                for chunk in [2, 3, 1_000] {
                    prop_assert_eq!(&run(&model, counts, chunk), &found, "{:?} on {}", weights, backend.name());
                }
                if weights.precision().is_integer() {
                    prop_assert_eq!(&found, &expected);
                    let mut memory = Box::new(State::<ROOM>::new());
                    prop_assert_eq!(model.self_test(memory.as_bytes_mut()), Ok(SelfTest::Passed));
                }
            }
        }
    }

    #[test]
    fn values_give_the_bits_of_the_counts_that_they_stand_for(
        samples in any_samples(),
        kinds in any_chain(),
        seed: u64,
        counts in prop::collection::vec(any::<i16>(), 7..60),
    ) {
        let counts = frames(&counts, samples.channels);
        for weights in Weights::ALL {
            let description = describe(weights, samples, &kinds);
            let tensors = tensors(&description, seed);
            let units = tensors.iter().find_map(|tensor| match (&tensor.role, &tensor.values) {
                (Role::Units, Values::F32(units)) => Some(units.clone()),
                _ => None,
            });
            let units = units.expect("samples have units");
            let values: Vec<f32> =
                counts.iter().zip(units.iter().cycle()).map(|(&count, unit)| f32::from(count) * unit).collect();
            let bytes = chains::of(&description, &tensors);
            let image = Image::open(&bytes).expect("it was just made");
            let model = Model::new(&image);
            let (mut state, mut other) = (Box::new(State::<ROOM>::new()), Box::new(State::<ROOM>::new()));
            let mut session = model.session(&mut state).expect("there is room");
            session.push_samples(counts).expect("whole frames");
            let mut second = model.session(&mut other).expect("there is room");
            second.push_samples_f32(&values).expect("whole frames");
            prop_assert_eq!(session.remembered(), second.remembered());
            prop_assert_eq!(logits(&mut session), logits(&mut second));
        }
    }

    #[test]
    fn a_stream_of_samples_goes_on_after_a_pause_and_runs_in_the_bytes_of_its_layout(
        samples in any_samples(),
        kinds in any_chain(),
        seed: u64,
        counts in prop::collection::vec(any::<i16>(), 7..90),
        cut in any::<prop::sample::Index>(),
    ) {
        let channels = usize::from(samples.channels);
        let counts = frames(&counts, samples.channels);
        let cut = cut.index(counts.len() / channels + 1) * channels;
        for weights in Weights::ALL {
            let description = describe(weights, samples, &kinds);
            let bytes = chains::of(&description, &tensors(&description, seed));
            let image = Image::open(&bytes).expect("it was just made");
            let model = Model::new(&image);
            let (answers, remembered) = run(&model, counts, 1);
            prop_assert_eq!(latch_engine::state_bytes(&description), model.state_bytes());
            let mut memory = latch_engine::image::encode::AlignedBytes::zeroed(model.state_bytes());
            model.session_in(&mut memory).expect("as many bytes").push_samples(&counts[..cut]).expect("whole frames");
            let mut session = model.resume_in(&mut memory).expect("a state of this model");
            session.push_samples(&counts[cut..]).expect("whole frames");
            prop_assert_eq!(session.remembered(), &remembered[..]);
            if let Some(last) = answers.last() {
                prop_assert_eq!(&logits(&mut session), last);
            }
        }
    }
}

/// The tensors of a chain of samples that reads the rows of a chain of ids: counts are the rows' bytes in Q0.15, or its floats.
fn as_samples(ids: &[Tensor], channels: u16, integer: bool) -> Vec<Tensor> {
    let of = |role, values| Tensor { role, layer: 0, values };
    let repeated = |row: [f32; 4]| (0..channels).flat_map(|_| row).collect();
    let scaling = if integer {
        Values::I32((0..channels).flat_map(|_| [256, 0, 0, 0]).collect())
    } else {
        Values::F32(repeated([1.0, 0.0, -9.0, 9.0]))
    };
    let mut tensors = vec![of(Role::Units, Values::F32(vec![1.0; channels.into()])), of(Role::Scaling, scaling)];
    tensors.extend(ids.iter().filter(|tensor| tensor.role != Role::Embedding).cloned());
    tensors
}

#[test]
fn a_frame_reads_as_the_row_of_an_embedding_with_its_values() {
    let channels = 5;
    for cell in [Kind::Lstm(7), Kind::Gru(6, true), Kind::Rnn(4, false), Kind::Dense(3, Activation::Relu)] {
        for kinds in [
            vec![cell, Kind::Dense(2, Activation::Linear)],
            vec![Kind::Pooling(Pooling::Mean), Kind::Dense(2, Activation::Linear)],
        ] {
            for weights in [Weights::Int8, Weights::F32] {
                let ids = chains::describe(weights, channels, &kinds);
                let tensors = tensors(&ids, 3);
                let rows: Vec<f32> =
                    match &tensors.iter().find(|tensor| tensor.role == Role::Embedding).expect("rows").values {
                        // −128 reads as −127.
                        Values::I8(rows) => rows.iter().map(|&value| f32::from(value.max(-127))).collect(),
                        Values::F32(rows) => rows.clone(),
                        other => panic!("{other:?}"),
                    };
                let samples = describe_samples(weights, Samples { channels, ..Samples::default() }, &kinds);
                let first = chains::of(&ids, &tensors);
                let second = chains::of(&samples, &as_samples(&tensors, channels, weights == Weights::Int8));
                let (first, second) = (Image::open(&first).expect("made"), Image::open(&second).expect("made"));
                let (of_ids, of_samples) = (Model::new(&first), Model::new(&second));
                let (mut state, mut other) = (State::<ROOM>::new(), State::<ROOM>::new());
                let mut reads_ids = of_ids.session(&mut state).expect("room");
                let mut reads_samples = of_samples.session(&mut other).expect("room");
                for id in [3_u32, 0, 22, 7, 7] {
                    reads_ids.push_token(id);
                    let row = &rows[id as usize * 5..][..5];
                    reads_samples.push_samples_f32(row).expect("a frame");
                    assert_eq!(logits(&mut reads_ids), logits(&mut reads_samples), "{kinds:?} {weights:?}");
                }
            }
        }
    }
}

fn described(samples: Samples) -> Description {
    describe_samples(Weights::Int8, samples, &[Kind::Gru(3, true), Kind::Dense(1, Activation::Linear)])
}

#[test]
fn what_is_no_sample_is_refused_by_its_place_and_moves_nothing() {
    for weights in Weights::ALL {
        let kinds = [Kind::Lstm(3), Kind::Dense(1, Activation::Linear)];
        let description = describe_samples(weights, Samples { channels: 3, lag: 1, skip: None }, &kinds);
        let bytes = chains::of(&description, &tensors(&description, 1));
        let image = Image::open(&bytes).expect("it was just made");
        let model = Model::new(&image);
        let mut state = State::<ROOM>::new();
        let mut session = model.session(&mut state).expect("room");
        session.push_samples(&[1, 2, 3]).expect("a frame");
        let before = session.state().to_vec();
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let refused = session.push_samples_f32(&[1.0, 2.0, 3.0, 4.0, wrong, 6.0]);
            assert_eq!(refused, Err(Error::SampleNotFinite { index: 4 }));
        }
        assert_eq!(session.push_samples(&[1, 2]), Err(Error::RaggedFrames { samples: 2, channels: 3 }));
        assert_eq!(session.push_samples_f32(&[0.0; 4]), Err(Error::RaggedFrames { samples: 4, channels: 3 }));
        assert!(!session.push_token(0), "there is no id");
        session.push_bytes(b"text ");
        session.finish();
        assert_eq!(session.state(), before);
        assert_eq!(session.push_samples(&[]), Ok(()));
        // The largest values are cut, and nothing becomes infinite.
        session.push_samples_f32(&[f32::MAX, f32::MIN, 0.0, f32::MIN, f32::MAX, 0.0]).expect("two frames");
        assert!(session.output().to_f32().is_finite());
    }
    let bytes = chains::image(Weights::Int8, 3, &[Kind::Lstm(3), Kind::Dense(1, Activation::Linear)], 1);
    let image = Image::open(&bytes).expect("it was just made");
    let mut state = State::<ROOM>::new();
    let model = Model::new(&image);
    let mut session = model.session(&mut state).expect("room");
    assert_eq!((session.push_samples(&[]), model.channels()), (Err(Error::NoSamples), 0));
}

#[test]
fn a_difference_is_one_to_the_frame_before_and_none_at_the_beginning() {
    // One channel whose values are the differences, each answer a sum of all of them so far: the mean times the steps.
    let samples = Samples { channels: 1, lag: 2, skip: None };
    let kinds = [Kind::Pooling(Pooling::Mean), Kind::Dense(1, Activation::Linear)];
    let description = describe_samples(Weights::F32, samples, &kinds);
    let of = |role, values| Tensor { role, layer: 0, values: Values::F32(values) };
    let mut tensors = vec![of(Role::Units, vec![1.0]), of(Role::Scaling, vec![1.0, 0.0, -1e6, 1e6])];
    tensors.extend([(Role::Weights, 1.0), (Role::Biases, 0.0)].map(|(role, value)| Tensor {
        role,
        layer: 1,
        values: Values::F32(vec![value]),
    }));
    let bytes = chains::of(&description, &tensors);
    let image = Image::open(&bytes).expect("it was just made");
    let model = Model::new(&image);
    let mut state = State::<ROOM>::new();
    let mut session = model.session(&mut state).expect("room");
    let mut sums = Vec::new();
    session
        .push_samples_f32_each(&[5.0, 7.0, 6.0, 6.0, 16.0], |view| {
            sums.push((view.output().to_f32() * view.tokens() as f32).round());
        })
        .expect("frames");
    // 0, 7 − 5, 6 − 5, 6 − 7, 16 − 6
    assert_eq!(sums, [0.0, 2.0, 3.0, 2.0, 12.0]);
}

#[test]
fn samples_that_make_no_sense_are_refused_with_their_sentence() {
    for samples in [
        Samples { channels: 0, lag: 0, skip: None },
        Samples { channels: MAX_CHANNELS + 1, lag: 0, skip: None },
        Samples { channels: 1, lag: MAX_LAG + 1, skip: None },
    ] {
        let error = described(samples).check().expect_err("it makes no sense").to_string();
        assert!(error.contains("channels"), "{error}");
    }
    let samples = Samples { channels: 2, lag: 0, skip: None };
    let description = described(samples);
    let good = tensors(&description, 1);
    let refused = |role: Role, values: Values| {
        let mut tensors = good.clone();
        tensors.iter_mut().filter(|tensor| tensor.role == role).for_each(|tensor| tensor.values = values.clone());
        let bytes = latch_engine::image::encode::encode(&description, &Default::default(), &tensors).expect("it fits");
        Image::open(&latch_engine::image::encode::AlignedBytes::new(&bytes)).expect_err("it makes no sense")
    };
    for unit in [0.0, -1.0] {
        assert_eq!(refused(Role::Units, Values::F32(vec![1.0, unit])), Error::Scaling { channel: 1 });
    }
    assert!(matches!(
        refused(Role::Units, Values::F32(vec![1.0, f32::NAN])),
        Error::NotFinite { role: Role::Units, .. }
    ));
    let row = [1, 0, 1 << 30, 1];
    assert_eq!(refused(Role::Scaling, Values::I32([row, [1, 0, 0, 1]].concat())), Error::Scaling { channel: 0 });
    assert!(described(samples).to_string().starts_with("samples 2 > gru 3"));
    assert!(described(Samples { lag: 3, ..samples }).to_string().starts_with("samples 2 difference=3 > gru 3"));
    assert!(described(samples).features().any(|feature| feature == "samples"));
}

#[test]
fn a_skip_adds_the_sample_of_its_frame_to_the_output_of_its_place() {
    // The network says nothing: 0·x + 0.5 and 0·x − 0.5.
    let kinds = [Kind::Rnn(2, false), Kind::Dense(2, Activation::Linear)];
    for lag in [0, 1, 3] {
        for difference in [0, 2, 6] {
            let skip = Some(Skip { channel: 1, lag });
            let samples = Samples { channels: 3, lag: difference, skip };
            for weights in [Weights::Int8, Weights::Int16, Weights::F32] {
                let description = describe_samples(weights, samples, &kinds);
                let mut tensors = tensors(&description, 5);
                let integer = weights.precision().is_integer();
                for tensor in &mut tensors {
                    tensor.values = match (tensor.role, tensor.layer, &tensor.values) {
                        (Role::Units, ..) => Values::F32(vec![0.25; 3]),
                        // A count is a quarter: 2^14 of Q15.16.
                        (Role::Skip, ..) if integer => Values::I32([1 << 14, 0, 0, 0].repeat(3)),
                        (Role::Skip, ..) => Values::F32([1.0, 0.0, -1e9, 1e9].repeat(3)),
                        (Role::Weights, 1, Values::I16(weights)) => Values::I16(vec![0; weights.len()]),
                        (Role::Weights, 1, Values::F32(weights)) => Values::F32(vec![0.0; weights.len()]),
                        (Role::Biases, 1, Values::I32(_)) => Values::I32(vec![1 << 15, -1 << 15]),
                        (Role::Biases, 1, Values::F32(_)) => Values::F32(vec![0.5, -0.5]),
                        _ => continue,
                    };
                }
                let bytes = chains::of(&description, &tensors);
                let image = Image::open(&bytes).expect("it was just made");
                let model = Model::new(&image);
                let mut state = State::<ROOM>::new();
                let mut session = model.session(&mut state).expect("room");
                let said = |session: &mut Session<'_, '_, '_>| [session.logit(0), session.logit(1)].map(Logit::to_f32);
                assert_eq!(said(&mut session), [0.5, -0.5], "there is no sample yet");
                for step in 0..9_i16 {
                    session.push_samples(&[7, 4 * step, -8 * step]).expect("a frame");
                    let seen = f32::from((step - lag as i16).max(0));
                    let expected = [seen + 0.5, -2.0 * seen - 0.5];
                    assert_eq!(said(&mut session), expected, "{weights:?} {samples:?} at {step}");
                }
            }
        }
    }
}

#[test]
fn a_skip_without_a_channel_or_to_classes_is_refused_with_its_sentence() {
    let values = |samples: Samples| Description { answer: AnswerKind::Values, ..described(samples) };
    let skip = |channel, lag| Samples { channels: 2, lag: 0, skip: Some(Skip { channel, lag }) };
    assert_eq!(values(skip(1, MAX_LAG)).check(), Ok(()));
    for samples in [skip(2, 0), skip(0, MAX_LAG + 1), skip(u16::MAX, u16::MAX)] {
        let error = values(samples).check().expect_err("it makes no sense").to_string();
        assert!(error.contains("the skip has no channel"), "{error}");
    }
    let classes = Description { answer: AnswerKind::Classes, ..described(skip(0, 0)) };
    assert!(classes.check().expect_err("classes").to_string().contains("the answer is classes"));
    let written = values(skip(1, 11));
    assert!(written.to_string().ends_with(" > dense > skip channel=1 lag=11"), "{written}");
    assert!(written.features().any(|feature| feature == "skip"));
}
