//! Promise: any chain of layers that makes sense runs, to the same bits on every backend of integers and inside a bound of floats, in any chunks and after
//! any pause; a chain that makes no sense is refused with a sentence.

use latch_engine::image::encode::{AlignedBytes, Notes, Values, encode};
use latch_engine::image::header::{AnswerKind, Layers};
use latch_engine::image::role::Role;
use latch_engine::image::{Description, Image};
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::bidirectional::{Cell, Merge};
use latch_engine::layers::conv1d::{Conv1d, Form};
use latch_engine::layers::dense::{Activation, Dense};
use latch_engine::layers::gru::Gru;
use latch_engine::layers::lstm::Lstm;
use latch_engine::layers::maxpool::MaxPool;
use latch_engine::layers::pooling::Pooling;
use latch_engine::layers::rnn::Rnn;
use latch_engine::layers::variant::{self, Parts};
use latch_engine::layers::{Layer, MAX_LAYERS};
use latch_engine::{Error, Layout, Logit, Model, SelfTest, Session, State, project};
use latch_tests::chains::{self, Both, Convolution, Kind, ROWS, Weights, describe, tensors};
use latch_tests::models::logits;
use latch_tests::tolerances::CHAINS;
use proptest::prelude::*;

/// Bytes of a state of any chain here.
pub(crate) const ROOM: usize = 65_536;

const ACTIVATIONS: [Activation; 4] = [Activation::Linear, Activation::Relu, Activation::Tanh, Activation::Sigmoid];

pub(crate) const POOLINGS: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention];

fn ids() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..ROWS + 2, 1..14)
}

fn convolution() -> impl Strategy<Value = Kind> {
    let units = prop::sample::select(vec![1_u16, 3, 5, 8, 33, 100]);
    (units, 1..6_u8, 1..4_u8, any::<bool>(), any::<bool>()).prop_map(|(units, frames, stride, relu, valid)| {
        Kind::Conv1d(Convolution { units, frames, stride, relu, valid })
    })
}

fn both() -> impl Strategy<Value = Both> {
    let cell = prop::sample::select(vec![
        Cell::Lstm,
        Cell::Gru { reset_after: true },
        Cell::Gru { reset_after: false },
        Cell::Rnn { relu: false },
        Cell::Rnn { relu: true },
    ]);
    let units = prop::sample::select(vec![1_u16, 3, 5, 8, 20]);
    let merge = prop::sample::select(vec![Merge::Concat, Merge::Mean, Merge::Product]);
    (cell, units, merge, any::<bool>()).prop_map(|(cell, units, merge, each_step)| {
        let merge = if cell == (Cell::Rnn { relu: true }) && merge == Merge::Product { Merge::Mean } else { merge };
        Both { cell, units, merge, each_step }
    })
}

/// Features of the embedding and a chain with two directions somewhere.
fn chain_of_both() -> impl Strategy<Value = (u16, Vec<Kind>)> {
    let below = prop::collection::vec(steps(), 0..2);
    let between = prop::collection::vec(steps(), 0..2);
    let pooling = prop::sample::select(&POOLINGS[..3]);
    (prop::sample::select(vec![1_u16, 3, 5]), below, both(), between, prop::option::of(both()), pooling).prop_map(
        |(width, mut kinds, first, between, second, pooling)| {
            let is_last = between.is_empty() && second.is_none() && pooling == Pooling::Last;
            kinds.push(Kind::Both(Both { each_step: first.each_step || !is_last, ..first }));
            kinds.extend(between);
            let is_last = pooling == Pooling::Last;
            kinds.extend(second.map(|both| Kind::Both(Both { each_step: both.each_step || !is_last, ..both })));
            kinds.push(Kind::Pooling(pooling));
            kinds.push(Kind::Dense(2, Activation::Linear));
            (width, kinds)
        },
    )
}

/// A variant of a cell whose gates are between 0 and 1, so that no stream grows faster than its steps.
fn variant() -> impl Strategy<Value = Kind> {
    use variant::Activation::{HardSigmoid, Linear, Relu, Sigmoid, Tanh};
    let units = prop::sample::select(vec![1_u16, 3, 8, 20, 33]);
    let cells = prop::sample::select(vec![
        variant::Cell::Lstm,
        variant::Cell::Lstm,
        variant::Cell::Lstm,
        variant::Cell::GruAfter,
        variant::Cell::GruBefore,
        variant::Cell::Rnn,
    ]);
    let activation = || prop::sample::select(vec![Linear, Relu, Tanh, Sigmoid, HardSigmoid]);
    let gates = prop::sample::select(vec![Sigmoid, HardSigmoid]);
    let projected = prop::sample::select(vec![0_u16, 0, 1, 5, 9]);
    (units, projected, cells, activation(), gates, activation(), any::<[bool; 3]>()).prop_map(
        |(units, projected, cell, activation, gates, output, [peepholes, coupled, clip])| {
            let is_lstm = cell == variant::Cell::Lstm;
            let (peepholes, coupled) = (peepholes && is_lstm, coupled && is_lstm);
            let parts = Parts { cell, activation, gates, output, peepholes, coupled, clip };
            Kind::Variant(units, if is_lstm { projected } else { 0 }, parts)
        },
    )
}

/// One layer that runs at each step.
fn steps() -> impl Strategy<Value = Kind> {
    let units = || prop::sample::select(vec![1_u16, 2, 3, 5, 6, 7, 20, 33, 100, 257]);
    prop_oneof![
        3 => units().prop_map(Kind::Lstm),
        3 => (units(), any::<bool>()).prop_map(|(units, after)| Kind::Gru(units, after)),
        3 => (units(), any::<bool>()).prop_map(|(units, relu)| Kind::Rnn(units, relu)),
        3 => convolution(),
        3 => variant(),
        1 => Just(Kind::LayerNorm),
        2 => (1..5_u8, 1..4_u8).prop_map(|(frames, stride)| Kind::MaxPool(frames, stride)),
        2 => (units(), prop::sample::select(&ACTIVATIONS[..])).prop_map(|(units, f)| Kind::Dense(units, f)),
    ]
}

/// Features of the embedding and a chain that makes sense.
fn any_chain() -> impl Strategy<Value = (u16, Vec<Kind>)> {
    prop_oneof![3 => chain_of_one_direction(), 1 => chain_of_both()]
}

/// The same without two directions.
fn chain_of_one_direction() -> impl Strategy<Value = (u16, Vec<Kind>)> {
    let pooling = prop::option::weighted(0.8, prop::sample::select(&POOLINGS[..]));
    let dense = (1..9_u16, prop::sample::select(&ACTIVATIONS[..]));
    let dense = dense.prop_map(|(outputs, activation)| Kind::Dense(outputs, activation));
    let behind = prop::collection::vec(prop_oneof![3 => dense, 1 => Just(Kind::LayerNorm)], 0..3);
    let width = prop::sample::select(vec![1_u16, 3, 5]);
    (width, prop::collection::vec(steps(), 1..=4), pooling, behind, 1..5_u16).prop_map(
        |(width, mut kinds, pooling, behind, outputs)| {
            let is_bounded = describe(Weights::F32, width, &kinds).layers.last().is_some_and(Layer::is_bounded);
            kinds.extend(pooling.filter(|&pooling| pooling != Pooling::Attention || is_bounded).map(Kind::Pooling));
            kinds.extend(behind);
            kinds.push(Kind::Dense(outputs, Activation::Linear));
            (width, kinds)
        },
    )
}

/// All answers after each id, as they are, and what is remembered at the end.
pub(crate) fn run(model: &Model<'_>, ids: &[u32]) -> (Vec<Vec<Logit>>, Vec<u8>) {
    let mut state = Box::new(State::<ROOM>::new());
    let mut session = model.session(&mut state).expect("there is room");
    let answers = ids
        .iter()
        .map(|&id| {
            assert_eq!(session.push_token(id), id < ROWS);
            logits(&mut session)
        })
        .collect();
    (answers, session.remembered().to_vec())
}

/// Holds answers to each other: bits of integers, a bound of floats.
fn assert_close(found: &[Vec<Logit>], expected: &[Vec<Logit>], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (step, (found, expected)) in found.iter().flatten().zip(expected.iter().flatten()).enumerate() {
        match (found, expected) {
            (Logit::Float(found), Logit::Float(expected)) => {
                let bound = CHAINS * (1.0 + expected.abs());
                assert!((found - expected).abs() <= bound, "{what}, answer {step}: {found} and {expected}");
            }
            _ => assert_eq!(found, expected, "{what}, answer {step}"),
        }
    }
}

/// Holds streams that step together to each alone, on every backend and in every kind of weights.
fn check_together(width: u16, kinds: &[Kind], seed: u64, streams: usize, steps: &[u32]) {
    for &weights in Weights::of(kinds) {
        let bytes = chains::image(weights, width, kinds, seed);
        let image = Image::open(&bytes).expect("it was just made");
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let id = |step: u32, stream: usize| step.wrapping_add(7 * stream as u32) % (ROWS + 1);
            let mut states = vec![State::<ROOM>::new(); streams];
            let mut sessions: Vec<Session> =
                states.iter_mut().map(|state| model.session(state).expect("there is room")).collect();
            for &step in steps {
                let ids: Vec<u32> = (0..streams).map(|stream| id(step, stream)).collect();
                Session::step_many(&mut sessions, &ids);
            }
            for (stream, session) in sessions.iter_mut().enumerate() {
                let ids: Vec<u32> = steps.iter().map(|&step| id(step, stream)).collect();
                let (answers, remembered) = run(&model, &ids);
                assert_close(&[logits(session)], &answers[answers.len() - 1..], "together");
                if weights.precision().is_integer() {
                    assert_eq!(session.remembered(), &remembered[..]);
                }
            }
        }
    }
}

/// Chains of cells with more units than the small steps of any backend take.
fn larger_chain() -> impl Strategy<Value = (u16, Vec<Kind>)> {
    let units = 33_u16..75;
    let cell = prop_oneof![
        units.clone().prop_map(Kind::Lstm),
        (units.clone(), any::<bool>()).prop_map(|(units, after)| Kind::Gru(units, after)),
        (units, any::<bool>()).prop_map(|(units, relu)| Kind::Rnn(units, relu)),
    ];
    (1_u16..40, prop::collection::vec(cell, 1..3)).prop_map(|(width, mut kinds)| {
        kinds.push(Kind::Dense(2, Activation::Linear));
        (width, kinds)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn any_chain_gives_the_same_on_every_backend_packed_or_not((width, kinds) in any_chain(), seed: u64, ids in ids()) {
        for &weights in Weights::of(&kinds) {
            let bytes = chains::image(weights, width, &kinds, seed);
            let image = Image::open(&bytes).expect("it was just made");
            let scalar = AnyBackend::by_name("scalar").expect("every machine has it");
            let expected = run(&Model::new(&image).with_backend(scalar), &ids);
            prop_assert!(expected.0.iter().flatten().all(|logit| logit.to_f32().is_finite()));
            for backend in AnyBackend::all() {
                let model = Model::new(&image).with_backend(backend);
                let mut memory = vec![0xA5; model.packed_bytes()];
                let packed = model.clone().pack(&mut memory).expect("there is room");
                for model in [&model, &packed] {
                    let found = run(model, &ids);
                    assert_close(&found.0, &expected.0, &format!("{weights:?} on {}", backend.name()));
                    if weights.precision().is_integer() {
                        prop_assert_eq!(&found.1, &expected.1, "{:?} on {}", weights, backend.name());
                        let mut memory = Box::new(State::<ROOM>::new());
                        prop_assert_eq!(model.self_test(memory.as_bytes_mut()), Ok(SelfTest::Passed));
                    }
                }
            }
        }
    }

    #[test]
    fn a_pause_after_any_step_and_any_number_at_once_change_no_bit(
        (width, kinds) in any_chain(),
        seed: u64,
        ids in ids(),
        cut in any::<prop::sample::Index>(),
    ) {
        for &weights in Weights::of(&kinds) {
            let bytes = chains::image(weights, width, &kinds, seed);
            let image = Image::open(&bytes).expect("it was just made");
            let model = Model::new(&image);
            let (answers, remembered) = run(&model, &ids);
            let cut = cut.index(ids.len() + 1);
            let mut state = Box::new(State::<ROOM>::new());
            model.session(&mut state).expect("there is room").push_tokens(&ids[..cut]);
            let mut kept = Box::new(State::<ROOM>::from_bytes(state.as_bytes()).expect("as many bytes"));
            let mut session = model.resume(&mut kept).expect("a state of this model");
            session.push_tokens(&ids[cut..]);
            // The answer of two directions leaves in the state what it has come to.
            prop_assert_eq!(&logits(&mut session), answers.last().expect("there is an id"));
            prop_assert_eq!(session.remembered(), &remembered[..]);
            session.reset();
            prop_assert_eq!(session.tokens(), 0);
            session.push_tokens(&ids);
            prop_assert_eq!(&logits(&mut session), answers.last().expect("there is an id"));
        }
    }

    #[test]
    fn streams_that_step_together_go_as_each_would_alone(
        (width, kinds) in any_chain(),
        seed: u64,
        streams in 1_usize..9,
        steps in prop::collection::vec(any::<u32>(), 1..5),
    ) {
        check_together(width, &kinds, seed, streams, &steps);
    }

    #[test]
    fn streams_of_larger_cells_step_together_as_each_would_alone(
        (width, kinds) in larger_chain(),
        seed: u64,
        streams in 1_usize..12,
        steps in prop::collection::vec(any::<u32>(), 1..5),
    ) {
        check_together(width, &kinds, seed, streams, &steps);
    }

    #[test]
    fn a_chain_that_begins_with_an_lstm_layer_can_be_projected(
        (width, mut kinds) in any_chain(),
        units in prop::sample::select(vec![1_u16, 3, 7, 20]),
        seed: u64,
        ids in ids(),
        ready in prop::collection::btree_set(0..ROWS, 1..12),
    ) {
        kinds.insert(0, Kind::Lstm(units));
        // The products of int16 lose bits before they are added.
        for &weights in Weights::of(&kinds).iter().filter(|weights| **weights != Weights::Int16) {
            let bytes = chains::image(weights, width, &kinds, seed);
            let image = Image::open(&bytes).expect("it was just made");
            let ready: Vec<u32> = ready.iter().copied().collect();
            let bytes = project(&image, &ready).expect("the ids are in the embedding");
            let projected = Image::open(&bytes).expect("it was just made");
            for backend in AnyBackend::all() {
                let expected = run(&Model::new(&image).with_backend(backend), &ids).0;
                let found = run(&Model::new(&projected).with_backend(backend), &ids).0;
                assert_close(&found, &expected, &format!("{weights:?} on {}", backend.name()));
            }
        }
    }

    #[test]
    fn a_stream_runs_in_exactly_the_bytes_of_its_layout((width, kinds) in any_chain(), seed: u64, ids in ids()) {
        for &weights in Weights::of(&kinds) {
            let bytes = chains::image(weights, width, &kinds, seed);
            let image = Image::open(&bytes).expect("it was just made");
            let needed = Layout::of(&image.description()).bytes();
            for backend in AnyBackend::all() {
                let model = Model::new(&image).with_backend(backend);
                prop_assert_eq!(model.state_bytes(), needed);
                let expected = run(&model, &ids).0;
                let mut state = Box::new(State::<ROOM>::new());
                let memory = state.as_bytes_mut();
                memory[needed..].fill(0xA5);
                let mut session = model.session_in(&mut memory[..needed]).expect("exactly enough");
                session.push_tokens(&ids);
                prop_assert_eq!(&logits(&mut session), expected.last().expect("there is an id"));
                prop_assert!(memory[needed..].iter().all(|&byte| byte == 0xA5));
            }
        }
    }
}

pub(crate) const LINEAR: Activation = Activation::Linear;

fn layers(layers: &[Layer]) -> Layers {
    layers.iter().copied().collect()
}

/// A chain that is right but for what a test changes.
fn right(weights: Weights) -> Description {
    describe(weights, 3, &[Kind::Lstm(4), Kind::Pooling(Pooling::Mean), Kind::Dense(1, LINEAR)])
}

#[test]
fn a_chain_that_makes_no_sense_is_refused_with_its_sentence() {
    let dense = |inputs, outputs| Layer::Dense(Dense { inputs, outputs, shift: 30, activation: LINEAR });
    let lstm = |inputs, units| Layer::Lstm(Lstm { inputs, units, shift: 9, int4: false, projected: false });
    let gru = |inputs, units| Layer::Gru(Gru { inputs, units, shift: 9, int4: false, reset_after: true });
    let rnn = |inputs, units| Layer::Rnn(Rnn { inputs, units, shift: 9, int4: false, relu: false });
    let form = Form::of(true, false, false);
    let conv = |inputs, frames, stride| Layer::Conv1d(Conv1d { inputs, units: 4, frames, stride, shift: 9, form });
    let pool = |width, frames, stride| Layer::max_pool(MaxPool { width, frames, stride }).expect("this build has it");
    let (mean, attention) = (Layer::Pooling(Pooling::Mean), Layer::Pooling(Pooling::Attention));
    let wrong: [(&[Layer], &str); 25] = [
        (&[pool(3, 0, 1), dense(3, 1)], "a largest value over frames has a window of 1 to 64 frames"),
        (&[pool(3, 2, 65), dense(3, 1)], "a stride of 1 to 64"),
        (&[pool(4, 2, 2), dense(4, 1)], "its inputs are not the outputs"),
        (&[lstm(3, 4), mean, pool(4, 2, 2), dense(4, 1)], "cannot follow pooling"),
        (&[lstm(3, 4), pool(4, 2, 2), attention, dense(4, 1)], "attention needs values in [-1, 1]"),
        (&[], "no answer"),
        (&[lstm(3, 4)], "no answer"),
        (&[lstm(3, 4), mean], "no answer"),
        (&[lstm(2, 4), dense(4, 1)], "layer 0 of the image is inconsistent: its inputs are not the outputs"),
        (&[lstm(3, 4), dense(5, 1)], "layer 1 of the image is inconsistent: its inputs are not the outputs"),
        (&[lstm(3, 4), gru(3, 2), dense(2, 1)], "layer 1 of the image is inconsistent: its inputs are not"),
        (&[lstm(3, 4), mean, rnn(4, 4), dense(4, 1)], "layer 2 of the image is inconsistent: a recurrent layer or"),
        (&[lstm(3, 4), mean, conv(4, 3, 1), dense(4, 1)], "a recurrent layer or a convolution cannot follow pooling"),
        (&[conv(3, 0, 1), dense(4, 1)], "a window of 1 to 64 frames and a stride of 1 to 64"),
        (&[conv(3, 3, 0), dense(4, 1)], "a window of 1 to 64 frames and a stride of 1 to 64"),
        (&[conv(3, 65, 1), dense(4, 1)], "a window of 1 to 64 frames and a stride of 1 to 64"),
        (&[lstm(3, 1025), conv(1025, 2, 1), dense(4, 1)], "more than 2048 of all frames of its window together"),
        (&[conv(3, 3, 1), attention, dense(4, 1)], "attention needs values in [-1, 1]"),
        (&[lstm(3, 4), mean, mean, dense(4, 1)], "nothing left to pool"),
        (
            &[attention, dense(3, 1)],
            "attention needs values in [-1, 1] before it, of a recurrent layer, tanh or sigmoid",
        ),
        (&[lstm(3, 4), dense(4, 2), attention, dense(2, 1)], "attention needs values in [-1, 1]"),
        (&[lstm(3, 0), dense(0, 1)], "no units"),
        (&[gru(3, 2047), dense(2047, 1)], "more columns than this engine reads"),
        (&[lstm(3, 4), dense(4, 0)], "no inputs or outputs"),
        (&[lstm(3, 4), dense(4, 257)], "more outputs than this engine reads"),
    ];
    for (chain, sentence) in wrong {
        let description = Description { layers: layers(chain), ..right(Weights::Int8) };
        let error = encode(&description, &Notes::default(), &[]).expect_err(sentence);
        assert!(error.to_string().contains(sentence), "{chain:?}: {error}");
        assert!(matches!(error, Error::Shape { .. } | Error::Layer { .. }));
    }
    let active = Layer::Dense(Dense { inputs: 4, outputs: 2, shift: 30, activation: Activation::Tanh });
    let mut description = Description { layers: layers(&[lstm(3, 4), active]), ..right(Weights::Int8) };
    let error = encode(&description, &Notes::default(), &[]).expect_err("logits are not squashed");
    assert!(error.to_string().contains("is not linear"), "{error}");
    // Values may be.
    description.answer = AnswerKind::Values;
    assert!(encode(&description, &Notes::default(), &tensors(&description, 1)).is_ok());
}

#[test]
fn a_layer_of_floats_alone_is_refused_in_integers_by_the_precisions_that_have_it() {
    let lstm = Parts { cell: variant::Cell::Lstm, peepholes: true, ..Parts::default() };
    let gru = Parts { cell: variant::Cell::GruAfter, ..Parts::default() };
    let wrong = [
        (
            Weights::Int8,
            Kind::Variant(4, 0, lstm),
            "layer 0 of the image is inconsistent: a variant of a recurrent cell runs in f32 and f16 only",
        ),
        (Weights::Int16, Kind::Variant(4, 0, gru), "a variant of a recurrent cell runs in f32 and f16 only"),
        (
            Weights::Int8,
            Kind::LayerNorm,
            "layer 0 of the image is inconsistent: layer normalization runs in f32 and f16 only",
        ),
        (Weights::F32, Kind::Variant(4, 3, gru), "peepholes, coupled gates and a projection belong to an LSTM"),
        (
            Weights::F32,
            Kind::Variant(4, 0, Parts { coupled: true, ..gru }),
            "peepholes, coupled gates and a projection",
        ),
        (Weights::F16, Kind::Variant(0, 0, lstm), "it has no units, or more columns than this engine reads"),
        (Weights::F16, Kind::Variant(4, 2_046, lstm), "it has no units, or more columns than this engine reads"),
    ];
    for (weights, kind, sentence) in wrong {
        let description = describe(weights, 3, &[kind, Kind::Dense(1, LINEAR)]);
        let error = encode(&description, &Notes::default(), &[]).expect_err(sentence);
        assert!(error.to_string().contains(sentence), "{kind:?}: {error}");
    }
}

#[test]
fn numbers_of_a_layer_that_no_step_can_use_are_refused_when_an_image_is_opened() {
    let clipped = Parts { clip: true, ..Parts::default() };
    for (kind, place, numbers, sentence) in [
        (
            Kind::Variant(4, 0, clipped),
            6,
            [0.0, -1.0],
            "layer 0 of the image is inconsistent: the clip of its sums is not above zero",
        ),
        (
            Kind::LayerNorm,
            0,
            [0.0, -1e-5],
            "layer 0 of the image is inconsistent: the epsilon of its root is not above zero",
        ),
    ] {
        let description = describe(Weights::F32, 3, &[kind, Kind::Dense(1, LINEAR)]);
        for number in numbers {
            let mut tensors = tensors(&description, 1);
            let values =
                tensors.iter_mut().find(|tensor| tensor.role == Role::Numbers).map(|tensor| &mut tensor.values);
            let Some(Values::F32(values)) = values else { panic!("{kind:?} has numbers") };
            values[place] = number;
            let bytes =
                AlignedBytes::new(&encode(&description, &Notes::default(), &tensors).expect("the sizes are right"));
            let error = Image::open(&bytes).expect_err(sentence);
            assert!(error.to_string().starts_with(sentence), "{number}: {error}");
        }
    }
}

/// Bits that mean nothing are not read as something else.
#[test]
fn a_record_of_a_variant_with_bits_that_mean_nothing_is_refused() {
    let bytes = chains::image(Weights::F32, 3, &[Kind::Variant(4, 0, Parts::default()), Kind::Dense(1, LINEAR)], 1);
    for bits in [1_u16 << 14, 1 << 15, 5 << 2, 7 << 5, 6 << 8] {
        let mut records = latch_tests::records::records(&bytes);
        let record = records.iter_mut().find(|record| record.tag == 0x96).expect("there is a variant");
        record.content =
            [3_u16, 4, 0, bits].iter().flat_map(|field| postcard::to_stdvec(field).expect("a number")).collect();
        let changed = latch_tests::records::with_records(&bytes, &records);
        assert_eq!(Image::open(&changed).err(), Some(Error::Record { tag: 0x16 }), "{bits:#x}");
    }
}

/// Gates without a bound let a state grow with the square of itself, and weights here make it.
#[test]
fn no_stream_of_a_variant_comes_to_an_infinity() {
    use variant::Activation::{Linear, Relu};
    for cell in [variant::Cell::Lstm, variant::Cell::GruAfter, variant::Cell::GruBefore, variant::Cell::Rnn] {
        for (gates, activation, output) in [(Linear, Linear, Linear), (Relu, Relu, Relu), (Relu, Linear, Linear)] {
            let parts =
                Parts { cell, gates, activation, output, peepholes: cell == variant::Cell::Lstm, ..Parts::default() };
            let projected = if cell == variant::Cell::Lstm { 5 } else { 0 };
            let description = describe(Weights::F32, 3, &[Kind::Variant(9, projected, parts), Kind::Dense(2, LINEAR)]);
            let mut tensors = tensors(&description, 3);
            for tensor in tensors.iter_mut().filter(|tensor| tensor.role != Role::Embedding) {
                if let Values::F32(values) = &mut tensor.values {
                    values.iter_mut().for_each(|value| *value *= 1e6);
                }
            }
            let bytes = chains::of(&description, &tensors);
            let image = Image::open(&bytes).expect("it was just made");
            let ids: Vec<u32> = (0..200).map(|step| step * 7 % ROWS).collect();
            for backend in AnyBackend::all() {
                let (answers, _) = run(&Model::new(&image).with_backend(backend), &ids);
                assert!(answers.iter().flatten().all(|logit| logit.to_f32().is_finite()), "{parts:?}");
            }
        }
    }
}

#[test]
fn more_layers_than_the_engine_has_room_for_are_not_described_and_as_many_run() {
    let mut kinds = vec![Kind::Rnn(3, false); MAX_LAYERS - 1];
    kinds.push(Kind::Dense(1, LINEAR));
    let bytes = chains::image(Weights::Int8, 3, &kinds, 1);
    let image = Image::open(&bytes).expect("it was just made");
    assert_eq!(image.description().layers.count(), MAX_LAYERS);
    assert!(image.description().features().any(|feature| feature == "deep"));
    run(&Model::new(&image), &[1, 2, 3]);
    let mut layers = image.description().layers;
    assert!(!layers.push(layers[0]));
    // And in an image.
    let mut records = latch_tests::records::records(&bytes);
    let place = records.iter().position(|record| record.tag == 0x92).expect("there is a simple recurrent layer");
    records.insert(place, records[place].clone());
    let longer = latch_tests::records::with_records(&bytes, &records);
    assert_eq!(Image::open(&longer).err(), Some(Error::Record { tag: 0x13 }));
}

/// The plain version: f64, written from the formulas, over the same f32 tensors.
mod naive {
    use super::{
        Activation, Both, Cell, Convolution, Description, Kind, Layer, Merge, Parts, Pooling, Role, Values, variant,
    };
    use latch_engine::image::encode::Tensor;
    use latch_tests::chains::FORWARD;

    fn values(tensors: &[Tensor], role: Role, layer: usize) -> Vec<f64> {
        let found = tensors.iter().find(|tensor| tensor.role == role && usize::from(tensor.layer) == layer);
        match found.map(|tensor| &tensor.values) {
            Some(Values::F32(values)) => values.iter().map(|&value| f64::from(value)).collect(),
            other => panic!("{role:?} of layer {layer}: {other:?}"),
        }
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn activate(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Linear => x,
            Activation::Relu => x.max(0.0),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => sigmoid(x),
        }
    }

    /// Weight of a row and a column of a matrix of `rows` rows in the order `[row / 32][column][row % 32]`.
    fn packed(weights: &[f64], rows: usize, row: usize, column: usize) -> f64 {
        let columns = weights.len() / rows;
        let block = row / 32 * 32;
        weights[block * columns + column * (rows - block).min(32) + row - block]
    }

    fn product(weights: &[f64], rows: usize, row: usize, x: &[f64]) -> f64 {
        x.iter().enumerate().map(|(column, x)| packed(weights, rows, row, column) * x).sum()
    }

    /// One step of a cell.
    fn step(kind: Kind, tensors: &[Tensor], layer: usize, x: &[f64], h: &mut Vec<f64>, c: &mut [f64]) {
        let all = |role| values(tensors, role, layer);
        let (weights, bias) = (all(Role::Weights), all(Role::Biases));
        let units = h.len();
        let lanes = units.next_multiple_of(8);
        let joined = [x, h].concat();
        let mut next = vec![0.0; units];
        if let Kind::Variant(units, projected, parts) = kind {
            *h = vary((usize::from(units), usize::from(projected), parts), tensors, layer, (x, h), c);
            return;
        }
        for unit in 0..units {
            match kind {
                Kind::Lstm(_) => {
                    let sum = |gate: usize| {
                        let row = unit / 8 * 32 + gate * 8 + unit % 8;
                        product(&weights, 4 * lanes, row, &joined) + bias[row]
                    };
                    c[unit] = sigmoid(sum(1)) * c[unit] + sigmoid(sum(0)) * sum(2).tanh();
                    next[unit] = sigmoid(sum(3)) * c[unit].tanh();
                }
                Kind::Gru(_, after) => {
                    let (recurrent, lower) = (all(Role::RecurrentWeights), 2 * lanes * units);
                    let kernel = |gate: usize, unit: usize| {
                        let row = gate * lanes + unit;
                        product(&weights, 3 * lanes, row, x) + bias[row]
                    };
                    let gate = |gate: usize, unit: usize| {
                        sigmoid(kernel(gate, unit) + product(&recurrent[..lower], 2 * lanes, gate * lanes + unit, h))
                    };
                    let candidate = |h: &[f64]| product(&recurrent[lower..], lanes, unit, h);
                    let inner = if after {
                        gate(1, unit) * (candidate(h) + all(Role::RecurrentBiases)[unit])
                    } else {
                        candidate(&(0..units).map(|unit| gate(1, unit) * h[unit]).collect::<Vec<f64>>())
                    };
                    let n = (kernel(2, unit) + inner).tanh();
                    next[unit] = n + gate(0, unit) * (h[unit] - n);
                }
                Kind::Rnn(_, relu) => {
                    let sum = product(&weights, lanes, unit, &joined) + bias[unit];
                    next[unit] = if relu { sum.max(0.0) } else { sum.tanh() };
                }
                other => panic!("{other:?} is no cell"),
            }
        }
        *h = next;
    }

    /// One step of a variant: the next h, and the next c in its place.
    fn vary(
        (units, projected, parts): (usize, usize, Parts),
        tensors: &[Tensor],
        layer: usize,
        (x, h): (&[f64], &[f64]),
        c: &mut [f64],
    ) -> Vec<f64> {
        let Parts { cell, activation, gates, output, peepholes, coupled, clip } = parts;
        let all = |role| values(tensors, role, layer);
        let has_numbers = clip || [activation, gates, output].contains(&variant::Activation::HardSigmoid);
        let numbers = if has_numbers { all(Role::Numbers) } else { vec![] };
        let (weights, bias, recurrent) = (all(Role::Weights), all(Role::Biases), all(Role::RecurrentWeights));
        let lanes = units.next_multiple_of(8);
        let function = |place: usize, x: f64| match [activation, gates, output][place] {
            variant::Activation::Linear => x,
            variant::Activation::Relu => x.max(0.0),
            variant::Activation::Tanh => x.tanh(),
            variant::Activation::Sigmoid => sigmoid(x),
            variant::Activation::HardSigmoid => (numbers[2 * place] * x + numbers[2 * place + 1]).clamp(0.0, 1.0),
        };
        let clipped = |x: f64| if clip { x.clamp(-numbers[6], numbers[6]) } else { x };
        let candidate = |x: f64| function(0, clipped(x));
        let gate = |x: f64| function(1, clipped(x));
        let kernel = |row: usize, unit: usize| {
            let row = row * lanes + unit;
            product(&weights, bias.len(), row, x) + bias[row]
        };
        match cell {
            variant::Cell::Rnn => {
                let of = |unit| candidate(kernel(0, unit) + product(&recurrent, lanes, unit, h));
                (0..units).map(of).collect()
            }
            variant::Cell::GruAfter | variant::Cell::GruBefore => {
                let lower = 2 * lanes * units;
                let upper = |row: usize, unit: usize| product(&recurrent[..lower], 2 * lanes, row * lanes + unit, h);
                let r: Vec<f64> = (0..units).map(|unit| gate(kernel(1, unit) + upper(1, unit))).collect();
                let reset: Vec<f64> = r.iter().zip(h).map(|(r, h)| r * h).collect();
                let of = |unit: usize| {
                    let last = |h: &[f64]| product(&recurrent[lower..], lanes, unit, h);
                    let inner = match cell {
                        variant::Cell::GruAfter => r[unit] * (last(h) + all(Role::RecurrentBiases)[unit]),
                        _ => last(&reset),
                    };
                    let (z, n) = (gate(kernel(0, unit) + upper(0, unit)), candidate(kernel(2, unit) + inner));
                    (1.0 - z) * n + z * h[unit]
                };
                (0..units).map(of).collect()
            }
            variant::Cell::Lstm => {
                let p = if peepholes { all(Role::Peepholes) } else { vec![0.0; 3 * lanes] };
                let sum = |row: usize, unit: usize| {
                    kernel(row, unit) + product(&recurrent, bias.len(), row * lanes + unit, h)
                };
                let last = if coupled { 1 } else { 2 };
                let mut hidden = Vec::new();
                for (unit, c) in c.iter_mut().enumerate().take(units) {
                    let i = gate(sum(0, unit) + p[unit] * *c);
                    let f = if coupled { 1.0 - i } else { gate(sum(1, unit) + p[lanes + unit] * *c) };
                    *c = f * *c + i * candidate(sum(last, unit));
                    hidden.push(gate(sum(last + 1, unit) + p[last * lanes + unit] * *c) * function(2, *c));
                }
                let projection = if projected > 0 { all(Role::Projection) } else { vec![] };
                let rows = projected.next_multiple_of(8);
                let project = |row| product(&projection, rows, row, &hidden);
                if projected > 0 { (0..projected).map(project).collect() } else { hidden }
            }
        }
    }

    /// `y = scale (x - mean) / sqrt(variance + epsilon) + shift`
    fn norm(tensors: &[Tensor], layer: usize, x: &[f64]) -> Vec<f64> {
        let all = |role| values(tensors, role, layer);
        let (scale, shift, epsilon) = (all(Role::Scale), all(Role::Biases), all(Role::Numbers)[0]);
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let root = (variance + epsilon).sqrt();
        (0..x.len()).map(|place| scale[place] * (x[place] - mean) / root + shift[place]).collect()
    }

    fn dense(tensors: &[Tensor], layer: usize, outputs: usize, activation: Activation, x: &[f64]) -> Vec<f64> {
        let (weights, bias) = (values(tensors, Role::Weights, layer), values(tensors, Role::Biases, layer));
        let row = |output: usize| &weights[output * x.len()..][..x.len()];
        let sum = |output: usize| bias[output] + row(output).iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        (0..outputs).map(|output| activate(activation, sum(output))).collect()
    }

    /// The values of a convolution at each step that has some.
    fn convolve(tensors: &[Tensor], layer: usize, shape: Convolution, steps: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (weights, bias) = (values(tensors, Role::Weights, layer), values(tensors, Role::Biases, layer));
        let (frames, inputs) = (usize::from(shape.frames), steps.first().map_or(0, Vec::len));
        let at = |step: usize| {
            let frame = |k: usize| (step + k + 1).checked_sub(frames).map_or(vec![0.0; inputs], |t| steps[t].clone());
            let window: Vec<f64> = (0..frames).flat_map(frame).collect();
            let sum = |unit: usize| product(&weights, bias.len(), unit, &window) + bias[unit];
            let value = |unit: usize| if shape.relu { sum(unit).max(0.0) } else { sum(unit) };
            (0..usize::from(shape.units)).map(value).collect()
        };
        let first = if shape.valid { frames - 1 } else { 0 };
        (first..steps.len()).step_by(usize::from(shape.stride)).map(at).collect()
    }

    /// What two directions give: a vector for each step, or one of their last states.
    fn run_both(both: Both, tensors: &[Tensor], layer: usize, steps: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let kind = match both.cell {
            Cell::Lstm => Kind::Lstm(both.units),
            Cell::Gru { reset_after } => Kind::Gru(both.units, reset_after),
            Cell::Rnn { relu } => Kind::Rnn(both.units, relu),
        };
        let walk = |tensors: &[Tensor], steps: &mut dyn Iterator<Item = &Vec<f64>>| -> Vec<Vec<f64>> {
            let (mut h, mut c) = (vec![0.0; usize::from(both.units)], vec![0.0; usize::from(both.units)]);
            steps
                .map(|x| {
                    step(kind, tensors, layer, x, &mut h, &mut c);
                    h.clone()
                })
                .collect()
        };
        let second: Vec<Tensor> = FORWARD
            .into_iter()
            .flat_map(|role| {
                let own = tensors.iter().filter(move |tensor| tensor.role == role.backward());
                own.map(move |tensor| Tensor { role, ..tensor.clone() })
            })
            .collect();
        let (forward, mut back) = (walk(tensors, &mut steps.iter()), walk(&second, &mut steps.iter().rev()));
        if both.each_step {
            back.reverse();
        }
        let merge = |(f, b): (&Vec<f64>, &Vec<f64>)| match both.merge {
            Merge::Concat => [&f[..], b].concat(),
            Merge::Mean => f.iter().zip(b).map(|(f, b)| (f + b) / 2.0).collect(),
            Merge::Product => f.iter().zip(b).map(|(f, b)| f * b).collect(),
        };
        forward.iter().zip(&back).map(merge).collect()
    }

    /// The outputs after the last of the ids.
    pub(super) fn run(description: &Description, kinds: &[Kind], tensors: &[Tensor], ids: &[u32]) -> Vec<f64> {
        let width = usize::from(description.embedding.width);
        let table = values(tensors, Role::Embedding, 0);
        let mut steps: Vec<Vec<f64>> = ids.iter().map(|&id| table[id as usize * width..][..width].to_vec()).collect();
        // Where no step has come this far, layers behind the pooling, or behind the last one that remembers something, read zeros.
        let pools = kinds.iter().position(|kind| matches!(kind, Kind::Pooling(_)));
        let reads_state = pools.or_else(|| description.layers.iter().rposition(Layer::remembers));
        let mut features = description.embedding.width;
        for (layer, &kind) in kinds.iter().enumerate() {
            features = description.layers[layer].outputs(features);
            match kind {
                _ if steps.is_empty() => {}
                Kind::Dense(outputs, activation) => {
                    for x in &mut steps {
                        *x = dense(tensors, layer, usize::from(outputs), activation, x);
                    }
                }
                Kind::Pooling(pooling) => steps = vec![pool(pooling, &steps)],
                Kind::Conv1d(shape) => steps = convolve(tensors, layer, shape, &steps),
                Kind::MaxPool(frames, stride) => {
                    let windows = steps.windows(usize::from(frames)).step_by(usize::from(stride));
                    steps = windows.map(|window| pool(Pooling::Max, window)).collect();
                }
                Kind::Both(both) => steps = run_both(both, tensors, layer, &steps),
                Kind::LayerNorm => steps.iter_mut().for_each(|x| *x = norm(tensors, layer, x)),
                Kind::Lstm(units) | Kind::Gru(units, _) | Kind::Rnn(units, _) | Kind::Variant(units, ..) => {
                    let features =
                        if let Kind::Variant(_, 1.., _) = kind { description.layers[layer].outputs(0) } else { units };
                    let (mut h, mut c) = (vec![0.0; usize::from(features)], vec![0.0; usize::from(units)]);
                    for x in &mut steps {
                        step(kind, tensors, layer, x, &mut h, &mut c);
                        *x = h.clone();
                    }
                }
            }
            if steps.is_empty() && reads_state == Some(layer) {
                steps.push(vec![0.0; usize::from(features)]);
            }
        }
        steps.pop().expect("there is an id")
    }

    fn pool(pooling: Pooling, steps: &[Vec<f64>]) -> Vec<f64> {
        let weight =
            |step: &[f64]| if pooling == Pooling::Attention { (4.0 * step[0].clamp(-1.0, 1.0)).exp() } else { 1.0 };
        let total: f64 = steps.iter().map(|step| weight(step)).sum();
        let units = 0..steps[0].len();
        match pooling {
            Pooling::Last => steps.last().expect("there is a step").clone(),
            Pooling::Max => units.map(|unit| steps.iter().map(|step| step[unit]).fold(f64::MIN, f64::max)).collect(),
            Pooling::Mean | Pooling::Attention => {
                units.map(|unit| steps.iter().map(|step| weight(step) * step[unit]).sum::<f64>() / total).collect()
            }
        }
    }
}

/// How far the f32 engine may be from the plain version.
fn assert_naive(width: u16, kinds: &[Kind], seed: u64, ids: &[u32]) {
    let description = describe(Weights::F32, width, kinds);
    let tensors = tensors(&description, seed);
    let bytes = chains::of(&description, &tensors);
    let image = Image::open(&bytes).expect("it was just made");
    let expected = naive::run(&description, kinds, &tensors, ids);
    for backend in AnyBackend::all() {
        let found = run(&Model::new(&image).with_backend(backend), ids).0.pop().expect("there is an id");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.into_iter().zip(&expected) {
            let found = f64::from(found.to_f32());
            let bound = f64::from(CHAINS) * (1.0 + expected.abs());
            assert!((found - expected).abs() <= bound, "{}: {found} for {expected}, {kinds:?}", backend.name());
        }
    }
}

#[test]
fn two_directions_answer_for_the_last_steps_of_a_sequence_longer_than_the_longest() {
    let both = |each_step| Kind::Both(Both { cell: Cell::Lstm, units: 5, merge: Merge::Concat, each_step });
    let chains = [
        [both(true), Kind::Pooling(Pooling::Max), Kind::Dense(2, LINEAR)],
        [both(false), Kind::Pooling(Pooling::Last), Kind::Dense(2, LINEAR)],
    ];
    let ids: Vec<u32> = (0..50).map(|step| step * step * 7 % ROWS).collect();
    let most = usize::from(chains::LONGEST);
    for (weights, kinds) in Weights::ALL.into_iter().flat_map(|weights| chains.map(|kinds| (weights, kinds))) {
        let bytes = chains::image(weights, 3, &kinds, 5);
        let image = Image::open(&bytes).expect("it was just made");
        let model = Model::new(&image);
        let mut state = Box::new(State::<ROOM>::new());
        let mut session = model.session(&mut state).expect("there is room");
        for end in 1..=ids.len() {
            session.push_token(ids[end - 1]);
            let alone = run(&model, &ids[end.saturating_sub(most)..end]).0.pop();
            assert_eq!(Some(logits(&mut session)), alone, "{weights:?} after {end} steps");
        }
    }
}

/// A state from outside whose count of steps no stream has is refused.
#[test]
fn a_state_of_two_directions_with_too_many_steps_is_refused() {
    let both = Kind::Both(Both { cell: Cell::Lstm, units: 5, merge: Merge::Concat, each_step: true });
    let bytes = chains::image(Weights::Int8, 3, &[both, Kind::Pooling(Pooling::Max), Kind::Dense(1, LINEAR)], 5);
    let image = Image::open(&bytes).expect("it was just made");
    let model = Model::new(&image);
    let mut state = Box::new(State::<ROOM>::new());
    model.session(&mut state).expect("there is room").push_tokens(&[1, 2]);
    assert_eq!(state.as_bytes()[8..12], 2_u32.to_le_bytes());
    let most = 2 * u32::from(chains::LONGEST) - 1;
    for (count, sound) in [(0, true), (most, true), (most + 1, false), (u32::MAX, false)] {
        state.as_bytes_mut()[8..12].copy_from_slice(&count.to_le_bytes());
        let resumed = model.resume(&mut state).map(|_| ());
        assert_eq!(resumed, if sound { Ok(()) } else { Err(Error::StateDamaged) }, "{count}");
    }
}

#[test]
fn two_directions_where_their_answer_would_come_too_early_are_refused() {
    let both = |each_step| Kind::Both(Both { cell: Cell::Lstm, units: 5, merge: Merge::Concat, each_step });
    let refused = |kinds: &[Kind]| match describe(Weights::Int8, 3, kinds).check() {
        Err(Error::Layer { layer: 0, problem }) => problem,
        other => panic!("{other:?}"),
    };
    let dense = Kind::Dense(1, LINEAR);
    assert!(refused(&[both(true), dense]).contains("when the sequence has ended"));
    assert!(refused(&[both(false), Kind::Pooling(Pooling::Mean), dense]).contains("`last` stands behind them"));
    assert!(refused(&[both(false), Kind::Lstm(3), Kind::Pooling(Pooling::Last), dense]).contains("`last`"));
    let relu = Both { cell: Cell::Rnn { relu: true }, units: 5, merge: Merge::Product, each_step: true };
    assert!(refused(&[Kind::Both(relu), Kind::Pooling(Pooling::Max), dense]).contains("rectifier"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_chain_of_floats_computes_what_the_plain_version_computes(
        (width, kinds) in any_chain(),
        seed: u64,
        ids in prop::collection::vec(0..ROWS, 1..9),
    ) {
        assert_naive(width, &kinds, seed, &ids);
    }
}

#[test]
fn dense_layers_of_every_activation_stand_between_cells_and_behind_pooling() {
    let ids = [1, 5, 9, 2, 22, 0];
    for activation in ACTIVATIONS {
        for pooling in POOLINGS {
            let between = [
                Kind::Dense(6, activation),
                Kind::Gru(5, true),
                Kind::Dense(4, activation),
                Kind::Dense(3, activation),
                Kind::Lstm(7),
                Kind::Pooling(pooling),
                Kind::Dense(5, activation),
                Kind::Dense(6, activation),
                Kind::Dense(2, LINEAR),
            ];
            assert_naive(5, &between, 7, &ids);
        }
        let each_step = [Kind::Dense(4, activation), Kind::Dense(3, activation), Kind::Dense(2, LINEAR)];
        assert_naive(3, &each_step, 8, &ids);
        // Without a cell, with pooling over all steps.
        assert_naive(3, &[Kind::Dense(4, activation), Kind::Pooling(Pooling::Max), Kind::Dense(1, LINEAR)], 9, &ids);
    }
}
