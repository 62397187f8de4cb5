//! The link: whatever the line does to the bytes, host and board agree on every logit, or the host says what is wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use embedded_io::{ErrorType, Read, Write};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Digest, Logit, Model, Precision, State, View};
use latch_firmware_sim::link::board::{LinkBoard, Machine};
use latch_firmware_sim::link::fault_injector::{Fault, FaultInjector, Faults};
use latch_firmware_sim::link::frame::{Frame, Reader};
use latch_firmware_sim::link::host::batch::{Batch, Transcript};
use latch_firmware_sim::link::host::difference::{self, Difference, Stage};
use latch_firmware_sim::link::host::reference::{self, Memory};
use latch_firmware_sim::link::host::wire::{Stream, Wire};
use latch_firmware_sim::link::host::{Answer, Client, LinkError, Patience};
use latch_firmware_sim::link::message::{Refusal, SelfTest};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;
use proptest::prelude::*;

const WORDS: [&str; 12] = ["!", "!!", ".", "/", "<", "a", "bad", "br", "don't", "film", "good", "not"];

fn image(precision: Precision, units: &[usize]) -> AlignedBytes {
    changed_image(precision, units, |_| ())
}

/// The same image with some of its weights changed.
fn changed_image(precision: Precision, units: &[usize], change: impl FnOnce(&mut Weights)) -> AlignedBytes {
    let vocabulary = Vocabulary::from_words(WORDS.map(String::from).to_vec(), Unknown::LastRow);
    let mut weights = Weights::random(vocabulary.rows(), 5, units, Pooling::Mean, 11);
    change(&mut weights);
    to_image(&weights, &vocabulary, precision, &Origin::default()).unwrap()
}

/// A machine with an image and a stopwatch that always shows 7.
struct Bench<'f>(&'f [u8]);

impl<'f> Machine<'f> for Bench<'f> {
    fn name(&self) -> &'static str {
        "bench"
    }

    fn image(&self) -> &'f [u8] {
        self.0
    }

    fn start(&mut self) {}

    fn stop(&mut self) -> u32 {
        7
    }
}

/// What the engine gives without any link: the logits of every text's tokens, and the digest.
fn reference(image: &[u8], texts: &[String]) -> (Vec<Vec<Logit>>, u64) {
    let image = Image::open(image).unwrap();
    let model = Model::new(&image);
    let mut digest = Digest::default();
    let mut state = State::<4096>::new();
    let logits = texts.iter().map(|text| {
        let mut session = model.session(&mut state).unwrap();
        let mut logits = Vec::new();
        let mut each = |session: &mut View<'_, '_, '_>, _: &[u8]| {
            digest.push(session.output());
            logits.push(session.output());
        };
        session.push_bytes_each(text.as_bytes(), &mut each);
        session.finish_each(&mut each);
        logits
    });
    (logits.collect(), digest.value())
}

fn logits(answers: &[Answer]) -> Vec<Vec<Logit>> {
    answers.iter().map(|answer| answer.tokens.iter().map(|token| token.logit).collect()).collect()
}

fn responses(image: &[u8], batch: &Batch) -> Vec<u8> {
    let mut board = LinkBoard::new(Memory::new(&batch.bytes), Bench(image));
    let Ok(()) = board.serve(State::<4096>::new().as_bytes_mut());
    board.into_port().output
}

fn transcript(image: &[u8], texts: &[String], trace: bool) -> Result<Transcript, LinkError> {
    let batch = Batch::new(texts, trace);
    batch.read(&responses(image, &batch))
}

fn faults() -> impl Strategy<Value = Vec<(usize, Fault)>> {
    let fault = prop_oneof![
        (1..60_usize).prop_map(Fault::Lose),
        (1..=255_u8).prop_map(Fault::Flip),
        (1..80_usize).prop_map(Fault::Repeat),
        prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 1..40).prop_map(Fault::Insert),
    ];
    prop::collection::vec((0..50_usize, fault), 0..40)
}

#[derive(Debug)]
struct Both {
    to_board: VecDeque<u8>,
    to_host: VecDeque<u8>,
    /// Bytes that the host has sent.
    sent: usize,
    /// True while the board waits and has nothing to read: then nothing will come to the host, and its patience is at an end at once.
    idle: bool,
    closed: bool,
    /// The board is switched off and on when it next reads.
    reset: bool,
}

/// Both ends of a line without a clock.
#[derive(Clone, Debug)]
struct Line(Arc<(Mutex<Both>, Condvar)>);

/// The board was switched off and on.
#[derive(Debug)]
struct Reset;

impl Line {
    fn new() -> Self {
        let (to_board, to_host) = (VecDeque::new(), VecDeque::new());
        let both = Both { to_board, to_host, sent: 0, idle: false, closed: false, reset: false };
        Line(Arc::new((Mutex::new(both), Condvar::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Both> {
        self.0.0.lock().unwrap()
    }

    /// Runs a board at one end while `host` has the other.
    fn with_board<T>(&self, image: &[u8], host: impl FnOnce(Line) -> T) -> T {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut state = State::<4096>::new();
                while LinkBoard::new(self.clone(), Bench(image)).serve(state.as_bytes_mut()).is_err() {}
            });
            let _close = Close(self);
            host(self.clone())
        })
    }
}

/// Ends the line, also when a test fails.
struct Close<'l>(&'l Line);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.0.1.notify_all();
    }
}

/// Takes at most 13 bytes, so that pieces end anywhere.
fn take(bytes: &mut VecDeque<u8>, buffer: &mut [u8]) -> usize {
    let count = bytes.len().min(buffer.len()).min(13);
    buffer.iter_mut().zip(bytes.drain(..count)).for_each(|(to, from)| *to = from);
    count
}

impl std::fmt::Display for Reset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the board was switched off and on")
    }
}

impl std::error::Error for Reset {}

impl embedded_io::Error for Reset {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl ErrorType for Line {
    type Error = Reset;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Reset> {
        let mut both = self.lock();
        loop {
            if std::mem::take(&mut both.reset) {
                both.to_board.clear();
                return Err(Reset);
            }
            let count = take(&mut both.to_board, buffer);
            if count > 0 || both.closed {
                return Ok(count);
            }
            both.idle = true;
            self.0.1.notify_all();
            both = self.0.1.wait(both).unwrap();
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Reset> {
        self.lock().to_host.extend(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Reset> {
        Ok(())
    }
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut both = self.lock();
        both.sent += bytes.len();
        both.to_board.extend(bytes);
        both.idle &= both.to_board.is_empty();
        self.0.1.notify_all();
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let mut both = self.lock();
        loop {
            let count = take(&mut both.to_host, buffer);
            if count > 0 || both.idle {
                return Ok(count);
            }
            both = self.0.1.wait(both).unwrap();
        }
    }
}

/// More tries than a line of these tests has faults.
const PATIENT: Patience = Patience { answer: Duration::from_secs(60), tries: 200 };

fn texts() -> impl Strategy<Value = Vec<String>> {
    let piece = prop_oneof![
        prop::sample::select(&WORDS[..]).prop_map(String::from),
        prop::sample::select(&[" ", " ", "a.<br /", "<br />", "…", "Ü", "word"][..]).prop_map(String::from),
    ];
    prop::collection::vec(prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_line_that_loses_changes_repeats_and_adds_bytes_changes_no_logit(
        texts in texts(), to_board in faults(), to_host in faults(), trace in any::<bool>(),
    ) {
        let image = image(Precision::Int8, &[6, 4]);
        let (expected, digest) = reference(&image, &texts);
        let (answers, summary) = Line::new().with_board(&image, |line| {
            let line = FaultInjector::new(line, Faults::listed(to_board), Faults::listed(to_host));
            let mut client = Client::greet(line, PATIENT, trace).unwrap();
            let answers: Vec<_> = texts.iter().map(|text| client.judge(text.as_bytes()).unwrap()).collect();
            (answers, client.end().unwrap())
        });
        prop_assert_eq!(logits(&answers), &*expected);
        prop_assert_eq!(summary.digest, digest);
        prop_assert_eq!((summary.texts, summary.tokens), (texts.len() as u32, expected.concat().len() as u32));
        // The same over files.
        let clean = transcript(&image, &texts, trace).unwrap();
        prop_assert_eq!(clean.answers, answers);
        prop_assert_eq!(clean.summary, summary);
    }

    #[test]
    fn any_text_fits_the_responses_traced_or_not(text in "[a.<br />!x]{0,120}") {
        let image = image(Precision::Int8, &[3, 3, 3, 3]);
        let texts = [text];
        let (expected, digest) = reference(&image, &texts);
        for trace in [false, true] {
            let transcript = transcript(&image, &texts, trace).unwrap();
            prop_assert_eq!(logits(&transcript.answers), &*expected);
            prop_assert_eq!(transcript.summary.digest, digest);
        }
    }

    #[test]
    fn no_bytes_at_all_bring_a_board_down(input in prop::collection::vec(any::<u8>(), 0..400)) {
        let image = image(Precision::Int8, &[3]);
        let batch = Batch::new(["good"], false);
        let input = [&input[..], &[0], &batch.bytes].concat();
        let mut board = LinkBoard::new(Memory::new(&input), Bench(&image));
        let Ok(()) = board.serve(State::<4096>::new().as_bytes_mut());
        let transcript = batch.read(&board.into_port().output).unwrap();
        prop_assert_eq!(transcript.summary.tokens, 1);
    }
}

#[test]
fn every_precision_gives_the_engines_logits_over_many_requests() {
    let texts = ["good film, not bad! ".repeat(300), String::new(), "a".into()];
    for precision in [Precision::Int8, Precision::F16, Precision::F32] {
        let image = image(precision, &[6]);
        let (expected, digest) = reference(&image, &texts);
        let transcript = transcript(&image, &texts, false).unwrap();
        assert_eq!(logits(&transcript.answers), expected);
        assert_eq!((transcript.summary.digest, transcript.summary.texts), (digest, 3));
        for backend in AnyBackend::all() {
            let batch = Batch::new(&texts, false);
            let here = reference::transcript(&image, backend, &batch).unwrap();
            assert_eq!(here.answers.len(), 3);
            assert!(precision != Precision::Int8 || here.summary == transcript.summary);
        }
        let info = transcript.info;
        let opened = Image::open(&image).unwrap();
        assert_eq!((info.board.as_str(), info.image, info.precision), ("bench", opened.crc(), precision));
        // LSTM, pooling, dense.
        assert_eq!((info.layers, info.state_bytes), (3, Model::new(&opened).state_bytes()));
        assert!(transcript.answers[0].tokens.iter().all(|token| token.ticks % 7 == 0 && token.ticks > 0));
        Line::new().with_board(&image, |line| {
            let mut client = Client::greet(line, PATIENT, false).unwrap();
            assert_eq!(client.judge(texts[0].as_bytes()).unwrap(), transcript.answers[0]);
            assert_eq!((client.info(), client.repeats()), (Some(&info), 0));
        });
    }
}

#[test]
fn the_messages_have_the_bytes_of_the_specification() {
    fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = Reader::<260>::new();
        bytes.iter().filter_map(|&byte| Some(reader.take(byte)?.bytes.to_vec())).collect()
    }
    let image = image(Precision::Int8, &[6]);
    let crc = Image::open(&image).unwrap().crc();
    let state_bytes = Model::new(&Image::open(&image).unwrap()).state_bytes() as u32;
    let batch = Batch::new(["a", "good bad"], true);
    let requests: [&[u8]; 5] = [&[0, 0, 4, 1, 1], &[1, 1, 1, b'a'], &[2, 2], &[3, 1, 1, b'g'], &[4, 1, 1, b'o']];
    assert_eq!(messages(&batch.bytes)[..5], requests);

    let batch = Batch::new(["a"], false);
    let transcript = batch.read(&responses(&image, &batch)).unwrap();
    let logit = transcript.answers[0].verdict.logit.to_bits().to_le_bytes();
    let number = |number: u32| postcard::to_stdvec(&number).unwrap();
    let expected = [
        [&[0, 0, 4, 1, 5][..], b"bench", &number(crc), &[2, 1 << 2, 3, 0], &number(state_bytes), &[1]].concat(),
        vec![1],
        // The token took the watch's 7 ticks twice: for the request with its text, and for the text's end.
        [&[2, 1][..], &logit, &[14, 3, 1], &logit, &[1]].concat(),
        [&[3, 4, 1, 1][..], &transcript.summary.digest.to_le_bytes()].concat(),
    ];
    assert_eq!(transcript.answers[0].verdict.class, 1);
    assert_eq!(messages(&responses(&image, &batch)), expected);
}

#[test]
fn a_request_that_comes_again_later_is_answered_again_or_passed_over() {
    let image = image(Precision::Int8, &[6]);
    let batch = Batch::new(["not good film", "bad film !"], false);
    let frames: Vec<&[u8]> = batch.bytes.split_inclusive(|&byte| byte == 0).collect();
    let whole = responses(&image, &batch);
    let answers: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == 0).collect();
    assert_eq!((frames.len(), answers.len()), (batch.requests, batch.requests));
    for late in 0..frames.len() {
        for early in 0..=late {
            let bytes = [&frames[..=late], &[frames[early]], &frames[late + 1..]].concat().concat();
            let mut expected = answers.clone();
            if early == late {
                expected.insert(late, answers[late]);
            }
            let found = responses(&image, &Batch { bytes, requests: frames.len() + 1 });
            assert_eq!(found, expected.concat(), "request {early} after request {late}");
        }
    }
}

#[test]
fn a_second_host_begins_anew_in_the_middle_of_the_firsts_text() {
    let image = image(Precision::Int8, &[6]);
    let texts = ["not good".to_owned()];
    let (expected, digest) = reference(&image, &texts);
    Line::new().with_board(&image, |line| {
        let mut first = Client::greet(line.clone(), PATIENT, false).unwrap();
        first.judge(b"bad").unwrap();
        first.push(b"a bad fi", &mut |_| ()).unwrap();
        let mut second = Client::greet(line.clone(), PATIENT, false).unwrap();
        assert_eq!(logits(&[second.judge(b"not good").unwrap()]), expected);
        assert_eq!(second.end().unwrap().digest, digest);
        // The board goes on after a session's end.
        let third = Client::greet(line, PATIENT, false).unwrap();
        assert_eq!(third.end().unwrap().texts, 0);
    });
}

#[test]
fn a_board_that_is_reset_in_the_middle_of_a_text_is_noticed() {
    let image = image(Precision::Int8, &[6]);
    Line::new().with_board(&image, |line| {
        let mut client = Client::greet(line.clone(), PATIENT, false).unwrap();
        client.push(b"not go", &mut |_| ()).unwrap();
        line.lock().reset = true;
        let error = client.push(b"od", &mut |_| ()).unwrap_err();
        assert!(matches!(error, LinkError::Refused(Refusal::NoSession)), "{error:?}");
        assert!(error.to_string().contains("has been reset"), "{error}");
    });
}

#[test]
fn a_line_that_loses_everything_ends_after_the_tries_that_were_given() {
    let image = image(Precision::Int8, &[6]);
    let patience = Patience { answer: Duration::from_millis(10), tries: 4 };
    let deaf = || Faults::listed([(0, Fault::Lose(usize::MAX))]);
    for (to_board, to_host) in [(deaf(), Faults::none()), (Faults::none(), deaf())] {
        let line = Line::new();
        let error = line.with_board(&image, |line| {
            Client::greet(FaultInjector::new(line, to_board, to_host), patience, false).unwrap_err()
        });
        assert!(matches!(error, LinkError::NoAnswer { tries: 4, .. }), "{error:?}");
        let requests = line.lock().sent;
        assert!(requests < 200, "{requests} bytes were sent");
    }
}

#[test]
fn a_board_without_an_image_that_runs_says_why() {
    let whole = image(Precision::Int8, &[6]);
    let large = image(Precision::Int8, &[700]);
    let needed = Model::new(&Image::open(&large).unwrap()).state_bytes() as u32;
    let erased = AlignedBytes::new(&[0xFF; 64]);
    let cut = AlignedBytes::new(&whole[..whole.len() - 1]);
    let cases = [
        (&erased, Refusal::NoImage, "there is no image"),
        (&cut, Refusal::Damaged, "damaged or cut off"),
        (&large, Refusal::StateTooSmall { needed, given: 4096 }, "4096"),
    ];
    for (slot, expected, words) in cases {
        let error = transcript(slot, &["good".to_owned()], false).unwrap_err();
        assert!(matches!(error, LinkError::Refused(refusal) if refusal == expected), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        Line::new().with_board(slot, |line| {
            assert!(
                matches!(Client::greet(line, PATIENT, false), Err(LinkError::Refused(refusal)) if refusal == expected)
            );
        });
    }
}

#[test]
fn a_board_that_fails_the_self_test_gives_no_answer_but_a_trace() {
    let mut image = image(Precision::Int8, &[6]);
    let (header, length) = {
        let opened = Image::open(&image).unwrap();
        (opened.header_bytes(), opened.len())
    };
    // The digest of the self-test: a record with the tag 0x40 and 8 bytes.
    let record = image[..header].windows(2).position(|bytes| bytes == [0x40, 8]).unwrap();
    image[record + 2] ^= 1;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&image[..length - 4]);
    image[length - 4..length].copy_from_slice(&crc.to_le_bytes());
    let texts = ["not bad".to_owned()];
    let error = transcript(&image, &texts, false).unwrap_err();
    assert!(matches!(error, LinkError::Refused(Refusal::SelfTest)), "{error:?}");
    let traced = transcript(&image, &texts, true).unwrap();
    assert_eq!((traced.info.self_test, traced.answers.len()), (SelfTest::Failed, 1));
    Line::new().with_board(&image, |line| {
        let error = Client::greet(line.clone(), PATIENT, false).unwrap_err();
        assert!(matches!(error, LinkError::Refused(Refusal::SelfTest)), "{error:?}");
        assert!(Client::greet(line, PATIENT, true).unwrap().judge(b"not bad").is_ok());
    });
}

#[test]
fn a_difference_is_traced_to_the_first_part_of_the_model_that_has_it() {
    fn turn(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = -*value);
    }
    let texts = ["a".to_owned(), "not bad film".to_owned()];
    let units = [6, 4, 5];
    let whole = image(Precision::Int8, &units);
    let traced = |image: &AlignedBytes| transcript(image, &texts, true).unwrap();
    let part = |image: AlignedBytes| difference::first(&traced(&whole), &traced(&image));
    let changed = |change: fn(&mut Weights)| part(changed_image(Precision::Int8, &units, change));
    let at = |text, token, stage| Some(Difference { text, token, stage });

    assert_eq!(changed(|_| ()), None);
    assert_eq!(changed(|weights| turn(&mut weights.layers[0].kernel)), at(0, 0, Stage::Layer(0)));
    assert_eq!(changed(|weights| turn(&mut weights.layers[1].kernel)), at(0, 0, Stage::Layer(1)));
    assert_eq!(changed(|weights| turn(&mut weights.layers[2].bias)), at(0, 0, Stage::Layer(2)));
    assert_eq!(changed(|weights| turn(&mut weights.head)), at(0, 0, Stage::Head));
    // The row of `film`, a word of the second text only; the largest weight, which the scale follows, is in another row.
    let film = WORDS.iter().position(|&word| word == "film").unwrap();
    let row = |weights: &mut Weights| turn(&mut weights.embedding[5 * film..5 * (film + 1)]);
    assert_eq!(part(changed_image(Precision::Int8, &units, row)), at(1, 2, Stage::Layer(0)));
    // Fewer texts, and another word in the place of a word.
    let fewer = transcript(&whole, &texts[..1], true).unwrap();
    assert_eq!(difference::first(&traced(&whole), &fewer), at(1, 0, Stage::Head));
    let other = transcript(&whole, &["a".to_owned(), "not good".to_owned()], true).unwrap();
    assert_eq!(difference::first(&traced(&whole), &other), at(1, 1, Stage::Tokenizer));
    assert_eq!(difference::largest(&traced(&whole), &traced(&whole)), 0.0);
    assert_eq!(difference::largest(&traced(&whole), &other), f32::INFINITY);
}

#[test]
fn a_file_of_responses_that_is_cut_or_damaged_is_refused_at_every_byte() {
    let image = image(Precision::Int8, &[6]);
    let batch = Batch::new(["not bad", "good"], false);
    let whole = responses(&image, &batch);
    assert!(batch.read(&whole).is_ok());
    for at in 0..whole.len() {
        let error = batch.read(&whole[..at]).unwrap_err();
        assert!(matches!(error, LinkError::Cut { requests, answers } if requests > answers), "{error:?}");
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        assert!(batch.read(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn the_boards_side_keeps_less_than_400_bytes() {
    struct Nothing;
    assert!(size_of::<LinkBoard<Nothing, Nothing>>() < 400, "{}", size_of::<LinkBoard<Nothing, Nothing>>());
}

/// A line that says something all the time, and counts how often it was listened to.
#[derive(Debug)]
struct Babble(usize);

impl Wire for Babble {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        self.0 += 1;
        for (at, byte) in buffer.iter_mut().enumerate() {
            *byte = (self.0.wrapping_mul(31) ^ at.wrapping_mul(7)) as u8;
        }
        Ok(buffer.len())
    }
}

#[test]
fn a_line_that_babbles_is_given_up_at_the_deadline() {
    let patience = Patience { answer: Duration::from_millis(50), tries: 3 };
    let start = Instant::now();
    let error = Client::greet(Babble(0), patience, false).unwrap_err();
    assert!(matches!(error, LinkError::NoAnswer { tries: 3, .. }), "{error:?}");
    let took = start.elapsed();
    assert!(took >= 3 * patience.answer && took < 40 * patience.answer, "{took:?}");
}

#[test]
fn what_a_line_babbles_is_not_kept_without_bound() {
    /// An endless reader that counts what is taken from it.
    struct Endless(Arc<Mutex<usize>>);

    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            *self.0.lock().unwrap() += buffer.len();
            Ok(buffer.len())
        }
    }

    let taken = Arc::default();
    let mut stream = Stream::new(Endless(Arc::clone(&taken)), io::sink());
    let settled = || {
        let before = *taken.lock().unwrap();
        thread::sleep(Duration::from_millis(100));
        before > 0 && *taken.lock().unwrap() == before
    };
    let end = Instant::now() + Duration::from_secs(20);
    while !settled() {
        assert!(Instant::now() < end, "{} bytes were taken and no end", taken.lock().unwrap());
    }
    assert!(*taken.lock().unwrap() <= 64 << 10, "{} bytes are kept", taken.lock().unwrap());
    assert_eq!(stream.receive(&mut [0; 256], Duration::from_secs(5)).unwrap(), 256);
}

#[test]
fn a_frame_that_comes_again_256_requests_later_is_passed_over_by_both_sides() {
    let image = image(Precision::Int8, &[6]);
    let text = "good film, not bad! ".repeat(300);
    let batch = Batch::new([&text], false);
    let frames: Vec<&[u8]> = batch.bytes.split_inclusive(|&byte| byte == 0).collect();
    assert!(frames.len() > 300);
    let whole = responses(&image, &batch);
    // Request 5 again in the place where the board waits for number 261, whose lowest eight bits are the same.
    let again = [&frames[..261], &[frames[5]], &frames[261..]].concat().concat();
    assert_eq!(responses(&image, &Batch { bytes: again, requests: frames.len() + 1 }), whole);
    // Response 5 again in the place of number 261.
    let answers: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == 0).collect();
    let again = [&answers[..261], &[answers[5]], &answers[261..]].concat().concat();
    assert!(matches!(batch.read(&again), Err(LinkError::Nonsense { what: "comes out of turn" })));
}

#[test]
fn a_frame_of_another_session_is_passed_over_whatever_its_number() {
    let image = image(Precision::Int8, &[6]);
    let batch = Batch::new(["not good film"], false);
    let frames: Vec<&[u8]> = batch.bytes.split_inclusive(|&byte| byte == 0).collect();
    let whole = responses(&image, &batch);
    for session in [0, 2, u32::MAX] {
        let mut frame = Frame::<32>::new();
        frame.raw(&[1, 1, 3, b'b', b'a', b'd']); // request 1: the text "bad"
        let bytes = [frames[0], frame.seal(session), &frames[1..].concat()].concat();
        assert_eq!(responses(&image, &Batch { bytes, requests: batch.requests + 1 }), whole, "{session}");
    }
}

#[test]
fn a_host_and_a_board_of_other_versions_name_them_to_each_other() {
    // What a board of version 2 answers to a greeting, whose sequence number is 0 as well.
    #[derive(Debug)]
    struct Old(Vec<u8>);

    impl Wire for Old {
        fn send(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
            let count = io::Read::read(&mut &self.0[..], buffer)?;
            self.0.drain(..count);
            Ok(count)
        }
    }

    let mut frame = Frame::<64>::new();
    frame.raw(&[0, 0, 2, 9, 5, b'b', b'e', b'n', b'c', b'h', 1, 2, 1, 1, 100, 1]);
    let error = Client::greet(Old(frame.seal(0).to_vec()), PATIENT, false).unwrap_err();
    assert!(matches!(error, LinkError::Version { found: 2 }), "{error:?}");

    let image = image(Precision::Int8, &[6]);
    frame.clear();
    frame.raw(&[0, 0, 2, 9, 0]); // hello of version 2, session 9
    let bytes = responses(&image, &Batch { bytes: frame.seal(0).to_vec(), requests: 1 });
    let mut reader = Reader::<260>::new();
    let answer = bytes
        .iter()
        .find_map(|&byte| Some(reader.take(byte)?).map(|message| (message.session, message.bytes.to_vec())));
    let (session, message) = answer.expect("an answer");
    assert_eq!((session, &message[..3]), (0, &[0, 0, 4][..]));
}

#[test]
fn the_name_of_a_board_is_shown_without_commands_for_the_terminal() {
    struct Named;

    impl Machine<'static> for Named {
        fn name(&self) -> &'static str {
            "\u{1b}[2Jbench\n"
        }

        fn image(&self) -> &'static [u8] {
            let image = image(Precision::Int8, &[6]).to_vec();
            // A test's own image may stay.
            let aligned: &'static AlignedBytes = Box::leak(Box::new(AlignedBytes::new(&image)));
            aligned
        }

        fn start(&mut self) {}

        fn stop(&mut self) -> u32 {
            0
        }
    }

    let batch = Batch::new(["good"], false);
    let mut board = LinkBoard::new(Memory::new(&batch.bytes), Named);
    let Ok(()) = board.serve(State::<4096>::new().as_bytes_mut());
    let info = batch.read(&board.into_port().output).unwrap().info;
    assert_eq!(info.board, "\\u{1b}[2Jbench\\n");
}
