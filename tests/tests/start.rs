//! Promise: a stream of an image with a start state begins where a stream without it is behind the prefix, to the bit, and nothing that opens can fail from there on.

use latch_engine::image::encode::{AlignedBytes, Notes, Tensor, Values, encode};
use latch_engine::image::role::Role;
use latch_engine::image::start::{MAX_STEPS, Start};
use latch_engine::image::{Description, Image, VERSION};
use latch_engine::input::samples::{Samples, Skip};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::dense::Activation;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{
    Error, Initial, Logit, Model, Precision, SelfTest, Session, State, initial_states, project, with_answer, with_start,
};
use latch_tests::chains::{self, Convolution, Kind, Weights, describe, describe_samples, tensors};
use latch_tests::models::{PRECISIONS, Shape, logits};
use latch_tests::records::{assemble, contents, described, mend_checksum};
use proptest::prelude::*;

use crate::samples::any_chain;

/// Bytes of a state of any model here.
const ROOM: usize = 65_536;

/// What lies in front of a state's words: the checksum of the image, which differs, and the steps.
const CHECKSUM: usize = 4;

fn any_samples() -> impl Strategy<Value = Option<Samples>> {
    let frames = || prop::sample::select(vec![0, 0, 1, 2, 5]);
    let skip = (0..4_u16, frames()).prop_map(|(channel, lag)| Skip { channel, lag });
    let samples =
        (1..7_u16, frames(), prop::option::of(skip)).prop_map(|(channels, lag, skip)| Samples { channels, lag, skip });
    prop::option::weighted(0.7, samples)
}

/// The chain behind samples, without the skip where an output has no channel; or behind an embedding.
fn description(weights: Weights, samples: Option<Samples>, kinds: &[Kind]) -> Description {
    let Some(samples) = samples else { return describe(weights, 5, kinds) };
    let description = describe_samples(weights, samples, kinds);
    match description.check() {
        Ok(()) => description,
        Err(_) => describe_samples(weights, Samples { skip: None, ..samples }, kinds),
    }
}

/// The steps of a prefix behind which each layer has so many whole strides.
fn prefix_of(kinds: &[Kind], strides: usize) -> usize {
    let (first, stride) = chains::rhythm(kinds);
    first + strides * stride
}

/// Pushes a step: a frame of counts, or an id, that follow from its number.
fn push(session: &mut Session<'_, '_, '_>, step: usize) {
    let channels = usize::from(session.model().channels());
    if channels == 0 {
        assert!(session.push_token((step * 7 % 23) as u32));
        return;
    }
    let counts: Vec<i16> =
        (0..channels).map(|channel| ((step * 7_919 + channel * 104_729) % 65_536) as u16 as i16).collect();
    session.push_samples(&counts).expect("a frame");
}

fn room() -> Box<State<ROOM>> {
    Box::new(State::new())
}

fn bits(session: &mut Session<'_, '_, '_>) -> Vec<u32> {
    logits(session).into_iter().map(Logit::to_bits).collect()
}

/// The image whose streams begin behind so many steps of [`push`].
fn warmed(image: &Image<'_>, backend: AnyBackend, steps: usize) -> Result<AlignedBytes, Error> {
    let model = Model::new(image).with_backend(backend);
    let mut state = room();
    let mut session = model.session(&mut state).expect("there is room");
    (0..steps).for_each(|step| push(&mut session, step));
    with_start(image, &session)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_warm_stream_is_a_cold_one_behind_the_prefix(
        samples in any_samples(),
        kinds in any_chain(),
        seed: u64,
        prefix in 0..9_usize,
        steps in 1..12_usize,
    ) {
        let unanswered = chains::rhythm(&kinds).0;
        let prefix = prefix_of(&kinds, prefix);
        let pools = kinds.iter().any(|kind| matches!(kind, Kind::Pooling(pooling) if *pooling != Pooling::Last));
        for weights in Weights::ALL {
            let description = description(weights, samples, &kinds);
            let cold = chains::of(&description, &tensors(&description, seed));
            let cold = Image::open(&cold).expect("it was just made");
            for backend in AnyBackend::all() {
                let bytes = warmed(&cold, backend, prefix).expect("a prefix of whole strides");
                let image = Image::open(&bytes).expect("it was just made");
                prop_assert_eq!(image.description().start, Start::behind(prefix as u32));
                let (cold, warm) = (Model::new(&cold).with_backend(backend), Model::new(&image).with_backend(backend));
                prop_assert_eq!(warm.state_bytes(), cold.state_bytes());
                let (mut first, mut second) = (room(), room());
                let mut expected = cold.session(&mut first).expect("there is room");
                let mut found = warm.session(&mut second).expect("there is room");
                (0..prefix).for_each(|step| push(&mut expected, step));
                for step in prefix..prefix + steps {
                    prop_assert_eq!(found.tokens() as usize, step - prefix);
                    for (layer, kind) in kinds.iter().enumerate() {
                        // What pooling has come to is the stream's own.
                        if !matches!(kind, Kind::Pooling(_)) {
                            prop_assert_eq!(found.layer_state(layer), expected.layer_state(layer), "layer {} {:?}", layer, weights);
                        }
                    }
                    // With no step at all a cold stream has nothing to go on from, and answers by zeros.
                    if !pools && step > unanswered {
                        prop_assert_eq!(&found.remembered()[CHECKSUM..], &expected.remembered()[CHECKSUM..]);
                        prop_assert_eq!(bits(&mut found), bits(&mut expected));
                    }
                    push(&mut expected, step);
                    push(&mut found, step);
                }
                if weights.precision().is_integer() {
                    prop_assert_eq!(warm.self_test(room().as_bytes_mut()), Ok(SelfTest::Passed));
                    if prefix > 0 && !pools {
                        prop_assert!(image.self_test().is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn a_warm_stream_resets_saves_and_resumes_to_the_same_bits(
        samples in any_samples(),
        kinds in any_chain(),
        seed: u64,
        steps in 1..12_usize,
    ) {
        for weights in Weights::ALL {
            let description = description(weights, samples, &kinds);
            let cold = chains::of(&description, &tensors(&description, seed));
            let scalar = AnyBackend::by_name("scalar").expect("every machine has it");
            let bytes = warmed(&Image::open(&cold).expect("made"), scalar, prefix_of(&kinds, 2)).expect("whole strides");
            let image = Image::open(&bytes).expect("it was just made");
            for backend in AnyBackend::all() {
                let model = Model::new(&image).with_backend(backend);
                let (mut first, mut second) = (room(), room());
                let mut session = model.session(&mut first).expect("there is room");
                let beginning = session.remembered().to_vec();
                let answer = bits(&mut session);
                prop_assert_eq!(session.remembered(), &beginning[..], "an answer changes nothing");
                (0..steps).for_each(|step| push(&mut session, step));
                second.as_bytes_mut()[..session.state().len()].copy_from_slice(session.state());
                let mut resumed = model.resume(&mut second).expect("a state of this model");
                prop_assert_eq!(resumed.tokens() as usize, steps);
                for step in steps..steps + 3 {
                    push(&mut session, step);
                    push(&mut resumed, step);
                    prop_assert_eq!(session.remembered(), resumed.remembered());
                    prop_assert_eq!(bits(&mut session), bits(&mut resumed));
                }
                session.reset();
                prop_assert_eq!(session.remembered(), &beginning[..]);
                prop_assert_eq!((session.tokens(), bits(&mut session)), (0, answer));
            }
        }
    }

    #[test]
    fn random_edits_with_a_right_checksum_open_and_run_or_are_refused(
        samples in any_samples(),
        kinds in any_chain(),
        weights in prop::sample::select(&Weights::ALL[..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let description = description(weights, samples, &kinds);
        let cold = chains::of(&description, &tensors(&description, 3));
        let mut bytes = warmed(&Image::open(&cold).expect("made"), AnyBackend::detect(), prefix_of(&kinds, 2)).expect("strides");
        let (header, start) = {
            let image = Image::open(&bytes).expect("it was just made");
            let start = image.sections().find(|section| section.role == Role::Start).expect("it has one");
            (image.header_bytes(), start.offset)
        };
        let end = bytes.len() - 4;
        for (place, value, region) in edits {
            let (begin, length) = [(0, header), (0, end), (start, end - start)][usize::from(region)];
            if length > 0 {
                bytes[begin + place.index(length)] = value;
            }
        }
        mend_checksum(&mut bytes);
        let Ok(image) = Image::open(&bytes) else { return Ok(()) };
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let mut state = room();
            let Ok(mut session) = model.session(&mut state) else { return Ok(()) };
            for step in 0..20 {
                if session.model().channels() > 0 {
                    push(&mut session, step);
                } else {
                    session.push_token(step as u32);
                }
                for logit in logits(&mut session) {
                    prop_assert!(logit.to_f32().is_finite(), "{:?}", weights);
                }
            }
        }
    }
}

/// A chain of every kind of state: history of samples, a convolution with a stride, an LSTM, a mean.
fn chain() -> (Samples, Vec<Kind>) {
    let samples = Samples { channels: 2, lag: 1, skip: None };
    let convolution = Convolution { units: 3, frames: 2, stride: 2, relu: false, valid: false };
    let kinds = vec![
        Kind::Conv1d(convolution),
        Kind::Lstm(3),
        Kind::Pooling(Pooling::Mean),
        Kind::Dense(1, Activation::Linear),
    ];
    (samples, kinds)
}

/// The tensors of an image as bytes.
fn bytes_of(image: &Image<'_>) -> Vec<Tensor> {
    let of = |section| Values::Bytes(image.section_bytes(&section).to_vec());
    image.sections().map(|section| Tensor { role: section.role, layer: section.layer, values: of(section) }).collect()
}

/// The image with other words in its start state.
fn with_words(image: &Image<'_>, change: impl Fn(&mut [u32])) -> Result<(), Error> {
    let mut tensors = bytes_of(image);
    for tensor in tensors.iter_mut().filter(|tensor| tensor.role == Role::Start) {
        let Values::Bytes(bytes) = &mut tensor.values else { panic!("they are bytes") };
        let mut words: Vec<u32> = bytes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        change(&mut words);
        *bytes = words.into_iter().flat_map(u32::to_le_bytes).collect();
    }
    let bytes = encode(&image.description(), &Notes::default(), &tensors)?;
    Image::open(&AlignedBytes::new(&bytes)).map(|_| ())
}

#[test]
fn a_start_state_that_is_out_of_range_is_refused_when_the_image_is_opened() {
    let (samples, kinds) = chain();
    for weights in Weights::ALL {
        let description = describe_samples(weights, samples, &kinds);
        let cold = chains::of(&description, &tensors(&description, 3));
        let cold = Image::open(&cold).expect("it was just made");
        let bytes = warmed(&cold, AnyBackend::detect(), 4).expect("two strides");
        let image = Image::open(&bytes).expect("it was just made");
        let integer = weights.precision().is_integer();
        let history = if integer { 1 } else { 2 };
        assert_eq!(with_words(&image, |_| ()), Ok(()));
        // The first word behind the history counts the frames to the next answer.
        for waiting in [1, 2, u32::MAX] {
            let refused = with_words(&image, |words| words[history] = waiting).expect_err("it waits");
            let is_number = integer || waiting != u32::MAX;
            assert_eq!(matches!(refused, Error::Layer { layer: 0, .. }), is_number, "{refused}");
            assert!(!is_number || refused.to_string().contains("a multiple of its stride"), "{refused}");
        }
        let lstm = |words: &mut [u32]| words.len() - if integer { 5 } else { 16 };
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let refused = with_words(&image, |words| words[lstm(words)] = value.to_bits());
            let expected = Err(Error::NotFinite { role: Role::Start, layer: 0 });
            assert_eq!(refused, if integer { Ok(()) } else { expected });
        }
        for value in [16_777_218.0_f32, -1e30, f32::MAX] {
            let refused = with_words(&image, |words| words[lstm(words)] = value.to_bits());
            assert_eq!(matches!(refused, Err(Error::Layer { layer: 1, .. })), !integer, "{refused:?}");
            // Any finite sample may have been before.
            assert_eq!(with_words(&image, |words| words[0] = value.to_bits()), Ok(()));
        }
        assert_eq!(with_words(&image, |words| words[lstm(words)] = 16_777_216.0_f32.to_bits()), Ok(()));
    }
}

#[test]
fn a_start_state_that_is_not_as_long_as_its_layers_is_refused() {
    let (samples, kinds) = chain();
    let description = describe_samples(Weights::Int8, samples, &kinds);
    let cold = chains::of(&description, &tensors(&description, 3));
    let bytes = warmed(&Image::open(&cold).expect("made"), AnyBackend::detect(), 2).expect("a stride");
    let image = Image::open(&bytes).expect("it was just made");
    let (records, sections) = (records_of(&bytes), contents(&image));
    let opens = |records: &[latch_tests::records::Record], sections: &[&[u8]]| {
        Image::open(&assemble(VERSION, records, sections)).map(|_| ())
    };
    assert_eq!(opens(&records, &sections), Ok(()));
    let (last, others) = sections.split_last().expect("the start state is the last section");
    let with = |last: &[u8]| opens(&records, &[others, &[last]].concat());
    assert_eq!(with(&last[..last.len() - 4]), Err(Error::Sections));
    assert_eq!(with(&[last, &[0; 4][..]].concat()), Err(Error::Sections));
    // Without the section, without the record, twice.
    assert_eq!(opens(&records, others), Err(Error::Sections));
    let is_start = |record: &&latch_tests::records::Record| record.tag == 0x85;
    let without: Vec<_> = records.iter().filter(|record| !is_start(record)).cloned().collect();
    assert_eq!(opens(&without, &sections), Err(Error::Sections));
    assert_eq!(opens(&without, others), Ok(()));
    let twice = [&records[..], &[records.iter().find(is_start).expect("it has one").clone()]].concat();
    assert!(opens(&twice, &sections).expect_err("twice").to_string().contains("there twice"));
    let mut far = image.description();
    far.start = Start::behind(MAX_STEPS + 1);
    assert!(far.check().expect_err("too far").to_string().contains("2^24 steps"));
}

fn records_of(bytes: &[u8]) -> Vec<latch_tests::records::Record> {
    latch_tests::records::records(bytes)
}

#[test]
fn a_prefix_that_ends_between_two_answers_of_a_convolution_is_refused() {
    let (samples, kinds) = chain();
    for weights in Weights::ALL {
        let description = describe_samples(weights, samples, &kinds);
        let cold = chains::of(&description, &tensors(&description, 3));
        let cold = Image::open(&cold).expect("it was just made");
        for steps in [1, 3, 5] {
            let refused = warmed(&cold, AnyBackend::detect(), steps).expect_err("half a stride");
            assert!(refused.to_string().contains("the prefix must be a multiple of its stride"), "{refused}");
        }
    }
}

#[test]
fn a_state_from_before_its_start_and_one_of_the_cold_image_are_refused() {
    let (samples, kinds) = chain();
    let description = describe_samples(Weights::Int8, samples, &kinds);
    let cold = chains::of(&description, &tensors(&description, 3));
    let cold = Image::open(&cold).expect("it was just made");
    let bytes = warmed(&cold, AnyBackend::detect(), 4).expect("two strides");
    let warm = Image::open(&bytes).expect("it was just made");
    let (of_cold, of_warm) = (Model::new(&cold), Model::new(&warm));
    let mut state = room();
    let mut session = of_warm.session(&mut state).expect("there is room");
    (0..5).for_each(|step| push(&mut session, step));
    assert!(of_warm.resume(&mut state.clone()).is_ok());
    // Four steps of the prefix, five of the stream, of which the mean has three.
    for (steps, is_sound) in
        [(0_u32, false), (3, false), (4, false), (6, false), (7, true), (9, true), (u32::MAX, true)]
    {
        let mut changed = state.clone();
        changed.as_bytes_mut()[4..8].copy_from_slice(&steps.to_le_bytes());
        assert_eq!(of_warm.resume(&mut changed).is_ok(), is_sound, "{steps} steps");
    }
    let other = Error::StateOfAnotherModel { expected: cold.crc(), found: warm.crc() };
    assert_eq!(of_cold.resume(&mut state).err(), Some(other));
    let other = Error::StateOfAnotherModel { expected: warm.crc(), found: cold.crc() };
    assert_eq!(with_start(&warm, &of_cold.session(&mut room()).expect("room")).err(), Some(other));
}

/// `h0` and `c0` of three units.
const HIDDEN: [f32; 3] = [0.5, -0.25, 0.125];
const CELL: [f32; 3] = [1.5, -2.0, 0.0625];

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// An image of `embedding 2 > lstm 3 > dense` with initial states, whose weights are `weight(gate, unit, column)`.
fn learned(weights: Weights, seed: u64, initial: &[Initial<'_>]) -> AlignedBytes {
    let mut description = describe(weights, 2, &[Kind::Lstm(3), Kind::Dense(1, Activation::Linear)]);
    description.start = Start::behind(0);
    let mut tensors = tensors(&Description { start: Start::NONE, ..description }, seed);
    tensors.push(initial_states(&description, initial).expect("a number for each unit"));
    chains::of(&description, &tensors)
}

#[test]
fn a_stream_begins_at_the_initial_states_of_an_lstm_as_computed_by_hand() {
    let bytes = learned(Weights::F32, 7, &[Initial { layer: 0, hidden: &HIDDEN, cell: &CELL }]);
    let image = Image::open(&bytes).expect("it was just made");
    let floats = |role, layer| -> Vec<f32> {
        let section =
            image.sections().find(|section| (section.role, section.layer) == (role, layer)).expect("it has one");
        image.section_bytes(&section).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let (table, weights, biases) = (floats(Role::Embedding, 0), floats(Role::Weights, 0), floats(Role::Biases, 0));
    let (head, bias) = (floats(Role::Weights, 1), floats(Role::Biases, 1)[0]);
    // One block: [column][gate][8 units].
    let sum = |gate: usize, unit: usize, xh: &[f32]| {
        let products = xh.iter().enumerate().map(|(column, value)| weights[32 * column + 8 * gate + unit] * value);
        biases[8 * gate + unit] + products.sum::<f32>()
    };
    for backend in AnyBackend::all() {
        let model = Model::new(&image).with_backend(backend);
        let mut state = room();
        let mut session = model.session(&mut state).expect("there is room");
        let (mut h, mut c) = (HIDDEN, CELL);
        let answer = |h: &[f32; 3]| bias + h.iter().zip(&head).map(|(h, w)| h * w).sum::<f32>();
        // Before the first step the answer is that of h0.
        assert!((session.output().to_f32() - answer(&h)).abs() < 1e-5);
        for id in [3_usize, 11, 0, 22] {
            let xh: Vec<f32> = table[2 * id..][..2].iter().chain(&h).copied().collect();
            for unit in 0..3 {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| sum(gate, unit, &xh));
                c[unit] = sigmoid(f) * c[unit] + sigmoid(i) * g.tanh();
                h[unit] = sigmoid(o) * c[unit].tanh();
            }
            session.push_token(id as u32);
            let (found, expected) = (session.output().to_f32(), answer(&h));
            assert!((found - expected).abs() < 1e-5, "{found} and {expected} on {}", backend.name());
        }
        session.reset();
        assert!((session.output().to_f32() - answer(&HIDDEN)).abs() < 1e-5);
    }
}

#[test]
fn initial_states_of_integers_are_the_nearest_and_the_same_on_every_backend() {
    for weights in [Weights::Int16, Weights::Int8, Weights::Int4] {
        let hidden = [0.5, -1.5, 1.0];
        let bytes = learned(weights, 7, &[Initial { layer: 0, hidden: &hidden, cell: &[1.5, -5_000.0, 0.000_001] }]);
        let image = Image::open(&bytes).expect("it was just made");
        let mut answers = Vec::new();
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let mut state = room();
            let mut session = model.session(&mut state).expect("there is room");
            let layer = session.layer_state(0);
            let cells: Vec<i32> = layer[..12].as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect();
            let hidden: Vec<i16> = layer[12..18].as_chunks().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect();
            assert_eq!(cells, [3 << 18, i32::MIN, 1]);
            assert_eq!(hidden, [1 << 14, i16::MIN, i16::MAX]);
            let mut all = bits(&mut session);
            for id in 0..20 {
                session.push_token(id);
                all.extend(bits(&mut session));
            }
            answers.push(all);
            assert_eq!(model.self_test(room().as_bytes_mut()), Ok(SelfTest::Passed));
        }
        assert!(answers.iter().all(|all| *all == answers[0]), "{weights:?}");
    }
}

#[test]
fn initial_states_go_to_their_layers_and_others_begin_with_zeros() {
    let kinds =
        [Kind::Dense(4, Activation::Tanh), Kind::Gru(3, true), Kind::Rnn(5, false), Kind::Dense(1, Activation::Linear)];
    for weights in Weights::ALL {
        let mut description = describe(weights, 2, &kinds);
        description.start = Start::behind(0);
        let of = |initial: &[Initial<'_>]| initial_states(&description, initial);
        let mut tensors = tensors(&Description { start: Start::NONE, ..description }, 2);
        tensors.push(of(&[Initial { layer: 2, hidden: &[0.5; 5], cell: &[] }]).expect("five units"));
        let bytes = chains::of(&description, &tensors);
        let image = Image::open(&bytes).expect("it was just made");
        let model = Model::new(&image);
        let mut state = room();
        let session = model.session(&mut state).expect("there is room");
        assert!(session.layer_state(0).iter().chain(session.layer_state(1)).all(|&byte| byte == 0));
        let half = if weights.precision().is_integer() { vec![0, 0x40] } else { 0.5_f32.to_le_bytes().to_vec() };
        assert_eq!(session.layer_state(2)[..5 * half.len()], half.repeat(5));
        let refused = [
            Initial { layer: 0, hidden: &[0.0; 4], cell: &[] },
            Initial { layer: 1, hidden: &[0.0; 3], cell: &[0.0; 3] },
            Initial { layer: 2, hidden: &[0.0; 4], cell: &[] },
            Initial { layer: 9, hidden: &[], cell: &[] },
        ];
        for initial in refused {
            let error = of(&[initial]).expect_err("no layer has it");
            assert_eq!(error, Error::Layer { layer: initial.layer as u8, problem: problem(&error) }, "{error}");
        }
    }
}

fn problem(error: &Error) -> &'static str {
    if let Error::Layer { problem, .. } = error { problem } else { "" }
}

#[test]
fn a_text_begins_behind_the_words_of_the_prefix() {
    for precision in PRECISIONS {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention] {
            let shape = Shape { rows: 40, width: 5, units: vec![9, 7], pooling, unknown: Unknown::LastRow, seed: 21 };
            let cold = shape.image(precision);
            let cold = Image::open(&cold).expect("it was just made");
            let model = Model::new(&cold);
            let (mut first, mut second) = (room(), room());
            let mut expected = model.session(&mut first).expect("there is room");
            expected.push_bytes(b"a b, zz c");
            expected.finish();
            let bytes = with_start(&cold, &expected).expect("a text");
            let image = Image::open(&bytes).expect("it was just made");
            let model = Model::new(&image);
            let mut found = model.session(&mut second).expect("there is room");
            assert!(found.tokens() == 0 && image.description().start.steps() == Some(expected.tokens()));
            found.push_bytes(b"d e");
            expected.push_bytes(b"d e");
            found.finish();
            expected.finish();
            for layer in 0..2 {
                assert_eq!(found.layer_state(layer), expected.layer_state(layer), "{pooling:?}");
            }
            assert_eq!(bits(&mut found) == bits(&mut expected), pooling == Pooling::Last);
        }
    }
}

#[test]
fn images_made_from_one_with_a_start_state_keep_it() {
    let shape =
        Shape { rows: 40, width: 5, units: vec![7], pooling: Pooling::Last, unknown: Unknown::LastRow, seed: 3 };
    let cold = shape.image(Precision::Int8);
    let bytes = warmed(&Image::open(&cold).expect("made"), AnyBackend::detect(), 5).expect("five ids");
    let image = Image::open(&bytes).expect("it was just made");
    let start = |image: &Image<'_>| {
        let section = image.sections().find(|section| section.role == Role::Start);
        section.map(|section| image.section_bytes(&section).to_vec())
    };
    let before = start(&image);
    assert!(before.as_ref().is_some_and(|state| state.iter().any(|&byte| byte != 0)));
    let mut tagged = image.description().answer();
    tagged.each_step = true;
    let made = [with_answer(&image, tagged, &[]), project(&image, &[1, 2, 3])];
    for made in made {
        let made = made.expect("it can be made");
        let made = Image::open(&made).expect("it was just made");
        assert_eq!(start(&made), before);
        assert_eq!(Model::new(&made).self_test(room().as_bytes_mut()), Ok(SelfTest::Passed));
    }
    // Again warmed, the prefixes follow each other.
    let twice = warmed(&image, AnyBackend::detect(), 2).expect("two ids");
    assert_eq!(Image::open(&twice).expect("made").description().start, Start::behind(7));
    let again = encode(&image.description(), &Notes::of(&image), &bytes_of(&image)).expect("its own tensors");
    let mut again = AlignedBytes::new(&again);
    latch_engine::certify(&mut again).expect("it opens");
    assert_eq!(&again[..], &bytes[..]);
    let line = described(&image.description());
    assert!(line.iter().any(|record| record.tag == 0x85 && record.content == [5]));
    assert!(image.description().features().any(|feature| feature == "start"));
}
