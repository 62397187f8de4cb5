//! Promise: a state is a value. Chunks, interleaving, saving and resuming change no bit, and a state that does not fit is refused.

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Logit, Model, Precision, Session, State, View};
use latch_tests::models::{POOLINGS, PRECISIONS, Shape, logits};
use proptest::prelude::*;

/// Bytes of a state of these tests; more than the models need, so that what lies behind is seen to stay as it is.
const N: usize = 1024;

/// A model with one-letter and two-letter words, a few more rows than letters.
fn image(precision: Precision, pooling: Pooling) -> AlignedBytes {
    Shape { rows: 40, width: 5, units: vec![9, 7], pooling, unknown: Unknown::LastRow, seed: 21 }.image(precision)
}

/// Runs `test` on a model of every precision, pooling and backend.
fn for_every_model(mut test: impl FnMut(&Model<'_>)) {
    for precision in PRECISIONS {
        for pooling in POOLINGS {
            let bytes = image(precision, pooling);
            let image = Image::open(&bytes).expect("the image was just made");
            for backend in AnyBackend::all() {
                test(&Model::new(&image).with_backend(backend));
            }
        }
    }
}

fn start<'s, 'm, 'a>(model: &'m Model<'a>, state: &'s mut State<N>) -> Session<'s, 'm, 'a> {
    model.session(state).expect("there is room")
}

/// Logits as bits, so that a NaN equals itself.
fn bits(session: &mut View<'_, '_, '_>) -> Vec<u32> {
    logits(session).into_iter().map(Logit::to_bits).collect()
}

/// Text of known and unknown words, marks, tags, and bytes that are no text.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => "[a-z]{1,2} ".prop_map(String::into_bytes),
        2 => "[a-zA-Z'é0-9./]{1,40}".prop_map(String::into_bytes),
        1 => "(<br ?/?>|<b|!!|\\.\\.\\.|, )".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// The text in pieces of the given lengths, and the rest.
fn cut<'t>(mut text: &'t [u8], lengths: &[usize]) -> Vec<&'t [u8]> {
    let mut chunks = Vec::new();
    for &length in lengths {
        let (head, tail) = text.split_at(length.min(text.len()));
        chunks.push(head);
        text = tail;
    }
    chunks.push(text);
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_chunking_gives_the_same_bits(text in texts(), lengths in prop::collection::vec(0_usize..9, 0..40)) {
        for_every_model(|model| {
            let mut states = [State::new(); 2];
            let [first, second] = &mut states;
            let (mut whole, mut chunked) = (start(model, first), start(model, second));
            whole.push_bytes(&text);
            for chunk in cut(&text, &lengths) {
                chunked.push_bytes(chunk);
            }
            assert_eq!(whole.remembered(), chunked.remembered());
            whole.finish();
            chunked.finish();
            assert_eq!(whole.remembered(), chunked.remembered());
            assert_eq!(bits(&mut whole), bits(&mut chunked));
        });
    }

    #[test]
    fn ids_one_by_one_or_all_at_once_give_the_same_bits(ids in prop::collection::vec(0_u32..45, 0..40)) {
        for_every_model(|model| {
            let mut states = [State::new(); 2];
            let [first, second] = &mut states;
            let (mut together, mut alone) = (start(model, first), start(model, second));
            // Ids from 40 on are outside the embedding and are left out.
            let read = together.push_tokens(&ids);
            assert_eq!(read, ids.iter().filter(|&&id| alone.push_token(id)).count());
            assert_eq!(read, ids.iter().filter(|&&id| id < 40).count());
            assert_eq!(together.tokens() as usize, read);
            assert_eq!(together.remembered(), alone.remembered());
        });
    }

    #[test]
    fn interleaved_streams_do_not_feel_each_other(
        text in prop::collection::vec(texts(), 3),
        turns in prop::collection::vec((0_usize..3, 0_usize..9), 0..60),
    ) {
        for_every_model(|model| {
            let mut states = [State::new(); 3];
            let mut sessions = states.each_mut().map(|state| start(model, state));
            let mut rests: Vec<&[u8]> = text.iter().map(Vec::as_slice).collect();
            let last = [(0, usize::MAX), (1, usize::MAX), (2, usize::MAX)];
            for &(stream, length) in turns.iter().chain(&last) {
                let (chunk, rest) = rests[stream].split_at(length.min(rests[stream].len()));
                sessions[stream].push_bytes(chunk);
                rests[stream] = rest;
            }
            for (session, text) in sessions.iter_mut().zip(&text) {
                let mut state = State::new();
                let mut alone = start(model, &mut state);
                alone.push_bytes(text);
                assert_eq!(alone.remembered(), session.remembered());
                assert_eq!(bits(&mut alone), bits(session));
            }
        });
    }

    #[test]
    fn a_stream_that_was_saved_anywhere_goes_on_with_the_same_bits(text in texts(), place: prop::sample::Index) {
        for_every_model(|model| {
            let [mut state, mut saved] = [State::new(); 2];
            let mut whole = start(model, &mut state);
            whole.push_bytes(&text);
            let (before, behind) = text.split_at(place.index(text.len() + 1));
            start(model, &mut saved).push_bytes(before);
            let coded = postcard::to_stdvec(&saved).expect("a state can be coded");
            let states = [
                State::from_bytes(saved.as_bytes()).expect("these are N bytes"),
                postcard::from_bytes(&coded).expect("it was just coded"),
                saved,
            ];
            for mut state in states {
                let mut second = model.resume(&mut state).expect("the state is one of this model");
                second.push_bytes(behind);
                assert_eq!(second.remembered(), whole.remembered());
                assert_eq!(bits(&mut second), bits(&mut whole));
            }
        });
    }

    #[test]
    fn a_reset_stream_is_a_new_one(text in texts(), next in texts()) {
        for_every_model(|model| {
            let mut states = [State::new(); 2];
            let [first, second] = &mut states;
            let (mut used, mut fresh) = (start(model, first), start(model, second));
            used.push_bytes(&text);
            used.reset();
            assert_eq!(used.remembered(), fresh.remembered());
            assert_eq!((used.tokens(), bits(&mut used)), (0, bits(&mut fresh)));
            used.push_bytes(&next);
            fresh.push_bytes(&next);
            assert_eq!(used.remembered(), fresh.remembered());
        });
    }
}

/// A word is saved after each of its bytes, those inside a character, an apostrophe and a tag included.
#[test]
fn a_stream_that_was_saved_in_the_middle_of_a_word_goes_on_with_the_same_bits() {
    let text = "it's a café<br /> a\u{2019}b 10/10 über… zz!!! <br".as_bytes();
    for_every_model(|model| {
        let [mut state, mut saved] = [State::new(); 2];
        let mut whole = start(model, &mut state);
        whole.push_bytes(text);
        whole.finish();
        for place in 0..=text.len() {
            start(model, &mut saved).push_bytes(&text[..place]);
            // As many bytes as the model needs, in other memory: what a flash page or a file would give back.
            let mut kept = AlignedBytes::new(&saved.as_bytes()[..model.state_bytes()]);
            let mut second = model.resume_in(&mut kept).expect("the state is one of this model");
            second.push_bytes(&text[place..]);
            second.finish();
            assert_eq!(second.remembered(), whole.remembered(), "saved after {place} bytes");
        }
    });
}

#[test]
fn a_stream_may_change_its_backend_in_the_middle_of_an_integer_model() {
    let bytes = image(Precision::Int8, Pooling::Mean);
    let image = Image::open(&bytes).expect("the image was just made");
    let models: Vec<Model> = AnyBackend::all().map(|backend| Model::new(&image).with_backend(backend)).collect();
    let [mut other, mut state] = [State::new(); 2];
    let mut alone = start(&models[0], &mut other);
    start(&models[0], &mut state);
    for token in 0..60 {
        let model = &models[token as usize % models.len()];
        let mut session = model.resume(&mut state).expect("the state is one of this model");
        session.push_token(token % 40);
        alone.push_token(token % 40);
        assert_eq!(session.remembered(), alone.remembered());
    }
}

#[test]
fn a_state_of_another_model_is_refused_by_both_names() {
    let images = PRECISIONS.map(|precision| image(precision, Pooling::Mean));
    let images: Vec<Image> = images.iter().map(|bytes| Image::open(bytes).expect("it was just made")).collect();
    for ours in &images {
        let model = Model::new(ours);
        for theirs in &images {
            let mut state = State::new();
            start(&Model::new(theirs), &mut state);
            match model.resume(&mut state) {
                Ok(_) => assert_eq!(ours.crc(), theirs.crc()),
                Err(error) => {
                    let expected = Error::StateOfAnotherModel { expected: ours.crc(), found: theirs.crc() };
                    assert_eq!(error, expected);
                }
            }
        }
        let mut unused = State::<N>::new();
        assert_eq!(
            model.resume(&mut unused).err(),
            Some(Error::StateOfAnotherModel { expected: ours.crc(), found: 0 })
        );
    }
}

/// Where the fields of a state's header lie.
/// Bytes of the tokenizer, which lies behind the layers and is the last thing that is remembered.
const TOKENIZER: usize = header::END - header::WORD;

/// Places as if the tokenizer followed the header.
mod header {
    pub(super) const TOKENS: usize = 4;
    pub(super) const WORD: usize = 8;
    pub(super) const LENGTH: usize = 48;
    pub(super) const CONNECTOR: usize = 49;
    pub(super) const MARK: usize = 50;
    pub(super) const TAG: usize = 52;
    pub(super) const MISSING: usize = 54;
    pub(super) const LAST: usize = 40;
    pub(super) const CODE: usize = 44;
    pub(super) const FLAGS: usize = 55;
    pub(super) const END: usize = 56;
}

#[test]
fn a_damaged_state_is_refused() {
    let bytes = image(Precision::Int8, Pooling::Mean);
    let image = Image::open(&bytes).expect("the image was just made");
    let model = Model::new(&image);
    let mut sound = State::new();
    let mut session = start(&model, &mut sound);
    session.push_bytes(b"a b c d");
    let tokenizer = session.remembered().len() - TOKENIZER;
    let at = |place: usize| place - header::WORD + tokenizer;
    // Cells and hidden states of nine and seven units; then the mean: its count and its sums.
    let count = header::WORD + 4 * 9 + 20 + 4 * 7 + 16;
    let sums = count + 4;
    let damages: [(&str, usize, &[u8]); 13] = [
        ("more tokens in the mean than there were", count, &[4, 0, 0, 0]),
        ("more tokens in the mean than it takes", count, &[0, 0, 1, 0]),
        ("no tokens and a mean", header::TOKENS, &[0, 0, 0, 0]),
        ("a word that is too long", at(header::LENGTH), &[33]),
        ("a word that is no UTF-8", at(header::WORD), &[0xFF]),
        ("a connector that is no ASCII", at(header::CONNECTOR), &[0x80]),
        ("a mark that is no ASCII", at(header::MARK), &[0xC3]),
        ("a tag that is no step", at(header::TAG), &[6]),
        ("a last character that the word does not have", at(header::LAST), &[b'x', 0, 0, 0]),
        ("characters in a stream of words", at(header::FLAGS), &[1]),
        ("too many missing bytes", at(header::MISSING), &[4]),
        ("a code point that four bytes do not hold", at(header::CODE), &[0, 0, 0x20, 0]),
        ("a sum that three tokens cannot have", sums, &[0xFF, 0xFF, 0x01, 0]),
    ];
    assert!(model.resume(&mut sound).is_ok());
    for (name, place, damage) in damages {
        let mut bytes = sound.as_bytes().to_vec();
        bytes[place..place + damage.len()].copy_from_slice(damage);
        let mut state = State::<N>::from_bytes(&bytes).expect("these are N bytes");
        assert_eq!(model.resume(&mut state).err(), Some(Error::StateDamaged), "{name}");
    }
}

#[test]
fn a_state_of_another_length_is_refused() {
    for length in [0, 1, N - 1, N + 1] {
        assert_eq!(State::<N>::from_bytes(&vec![0; length]).err(), Some(Error::StateDamaged));
    }
    let coded = postcard::to_stdvec(&State::<64>::new()).expect("a state can be coded");
    assert!(postcard::from_bytes::<State<N>>(&coded).is_err());
    assert!(postcard::from_bytes::<State<64>>(&coded[..coded.len() - 1]).is_err());
}

/// A state of nonsense: fields of the header that are often valid, and anything behind it.
fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    let number = || prop_oneof![Just(0_u32), 1..5_u32, 65_530..=65_535_u32, Just(u32::MAX), any::<u32>()];
    let ascii = || prop_oneof![Just(0_u8), 0..0x80_u8];
    let tokenizer = (
        prop_oneof![prop::collection::vec(0..0x80_u8, 32), prop::collection::vec(any::<u8>(), 32)],
        0..=32_u8,
        (any::<u8>(), ascii(), ascii(), any::<u8>()),
        (0..=5_u8, 0..=3_u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<[u8; 2]>()),
        prop_oneof![0..=0x10_FFFF_u32, Just(0xD800)],
    );
    let fill = prop_oneof![
        prop::collection::vec(any::<u8>(), N - header::END),
        // Ends of the ranges of i16 and i32, and quiet NaNs and infinities.
        prop::sample::select(vec![
            [0xFF, 0x7F, 0xFF, 0x7F],
            [0, 0x80, 0, 0x80],
            [0, 0, 0xC0, 0x7F],
            [0, 0, 0x80, 0xFF],
            [0; 4]
        ])
        .prop_map(|word| word.into_iter().cycle().take(N - header::END).collect()),
    ];
    (number(), tokenizer, fill).prop_map(|(tokens, (word, length, marks, decoder, code), fill)| {
        let (cut, connector, mark, repeated) = marks;
        let (tag, missing, low, high, digit, reserved) = decoder;
        let mut bytes = vec![0; 4];
        bytes.extend(tokens.to_le_bytes());
        bytes.extend(word);
        bytes.extend([length, cut, connector, mark, repeated, tag, missing, low, high, digit]);
        bytes.extend(reserved);
        bytes.extend(code.to_le_bytes());
        assert_eq!(bytes.len(), header::END);
        bytes.extend(fill);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_state_is_resumed_runs_and_integers_agree_on_every_backend(state in nonsense(), text in texts()) {
        for precision in PRECISIONS {
            for pooling in POOLINGS {
                let bytes = image(precision, pooling);
                let image = Image::open(&bytes).expect("the image was just made");
                let mut state = state.clone();
                state[..4].copy_from_slice(&image.crc().to_le_bytes());
                let mut fresh = State::<N>::new();
                let end = start(&Model::new(&image), &mut fresh).remembered().len();
                state[header::WORD..end].rotate_left(TOKENIZER); // the tokenizer to its place
                let mut seen: Option<(Vec<u8>, Vec<u32>)> = None;
                for backend in AnyBackend::all() {
                    let model = Model::new(&image).with_backend(backend);
                    let mut state = State::<N>::from_bytes(&state).expect("these are N bytes");
                    let Ok(mut session) = model.resume(&mut state) else { continue };
                    let mut answers = bits(&mut session);
                    session.push_bytes_each(&text, |session, _| answers.extend(bits(session)));
                    session.finish_each(|session, _| answers.extend(bits(session)));
                    for id in 0..45 {
                        session.push_token(id);
                        answers.extend(bits(&mut session));
                    }
                    session.probability();
                    let end = (session.remembered().to_vec(), answers);
                    if precision.is_integer() {
                        prop_assert_eq!(&seen.get_or_insert_with(|| end.clone()).0, &end.0);
                        prop_assert_eq!(&seen.as_ref().expect("it was just put there").1, &end.1);
                    }
                    // What such a stream leaves is a state that can be resumed again.
                    prop_assert!(model.resume(&mut state).is_ok());
                }
            }
        }
    }
}

/// The mean halves its sum and its count at 65,535 tokens; nothing overflows, and the answer stays where it was.
#[test]
fn a_stream_of_two_hundred_thousand_tokens_keeps_its_mean() {
    for precision in PRECISIONS {
        let bytes = image(precision, Pooling::Mean);
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let mut state = State::new();
        let mut session = start(&model, &mut state);
        let ids: Vec<u32> = (0..20_000).map(|token| token % 37).collect();
        session.push_tokens(&ids);
        let settled = session.output().to_f32();
        for _ in 0..9 {
            session.push_tokens(&ids);
            let mut kept = AlignedBytes::new(session.state());
            let resumed = model.resume_in(&mut kept);
            assert!(resumed.is_ok(), "{resumed:?}");
        }
        assert_eq!(session.tokens(), 200_000);
        let drift = (session.output().to_f32() - settled).abs();
        assert!(drift < 1e-2, "{}: {drift}", precision.name());
    }
}
