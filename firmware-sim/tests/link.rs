//! The link: whatever the line does to the bytes, host and board agree on every logit, or the host says what is wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling as Readout;
use latch_engine::{Digest, Logit, Model, Precision, State, View};
use latch_firmware_sim::link::board::{LinkBoard, Machine};
use latch_firmware_sim::link::frame::Reader;
use latch_firmware_sim::link::host::batch::{Batch, Transcript};
use latch_firmware_sim::link::host::difference::{self, Difference, Stage};
use latch_firmware_sim::link::host::reference::{self, Memory};
use latch_firmware_sim::link::host::wire::Wire;
use latch_firmware_sim::link::host::{Answer, Client, LinkError, Patience};
use latch_firmware_sim::link::message::{Refusal, SelfTest};
use latch_firmware_sim::link::port::Port;
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
    let mut weights = Weights::random(vocabulary.rows(), 5, units, Readout::Mean, 11);
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

/// A change to the bytes on a line.
#[derive(Clone, Debug)]
enum Fault {
    /// So many bytes are lost.
    Lose(usize),
    /// Bits of one byte change.
    Flip(u8),
    /// The last so many bytes come again.
    Repeat(usize),
    /// Bytes that nobody sent.
    Insert(Vec<u8>),
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

/// One direction of a line: after so many sound bytes each, its faults happen.
#[derive(Debug)]
struct Direction {
    faults: VecDeque<(usize, Fault)>,
    losing: usize,
    sent: Vec<u8>,
    waiting: VecDeque<u8>,
}

impl Direction {
    fn new(faults: Vec<(usize, Fault)>) -> Self {
        Direction { faults: faults.into(), losing: 0, sent: Vec::new(), waiting: VecDeque::new() }
    }

    fn send(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.losing > 0 {
                self.losing -= 1;
                continue;
            }
            self.put(byte);
            match self.faults.front_mut() {
                Some((0, _)) => {
                    let (_, fault) = self.faults.pop_front().unwrap();
                    self.happen(fault);
                }
                Some((sound, _)) => *sound -= 1,
                None => {}
            }
        }
    }

    fn put(&mut self, byte: u8) {
        self.sent.push(byte);
        self.waiting.push_back(byte);
    }

    fn happen(&mut self, fault: Fault) {
        match fault {
            Fault::Lose(count) => self.losing = count,
            Fault::Flip(mask) => *self.waiting.back_mut().unwrap() ^= mask,
            Fault::Repeat(count) => {
                let again = self.sent[self.sent.len().saturating_sub(count)..].to_vec();
                again.into_iter().for_each(|byte| self.put(byte));
            }
            Fault::Insert(bytes) => bytes.into_iter().for_each(|byte| self.put(byte)),
        }
    }

    /// Takes at most 13 bytes, so that pieces end anywhere.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.waiting.len().min(buffer.len()).min(13);
        buffer.iter_mut().zip(self.waiting.drain(..count)).for_each(|(to, from)| *to = from);
        count
    }
}

#[derive(Debug)]
struct Both {
    to_board: Direction,
    to_host: Direction,
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
    fn new(to_board: Vec<(usize, Fault)>, to_host: Vec<(usize, Fault)>) -> Self {
        let (to_board, to_host) = (Direction::new(to_board), Direction::new(to_host));
        let both = Both { to_board, to_host, idle: false, closed: false, reset: false };
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

impl Port for Line {
    type Error = Reset;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Reset> {
        let mut both = self.lock();
        loop {
            if std::mem::take(&mut both.reset) {
                both.to_board.waiting.clear();
                return Err(Reset);
            }
            let count = both.to_board.take(buffer);
            if count > 0 || both.closed {
                return Ok(count);
            }
            both.idle = true;
            self.0.1.notify_all();
            both = self.0.1.wait(both).unwrap();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Reset> {
        self.lock().to_host.send(bytes);
        self.0.1.notify_all();
        Ok(())
    }
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut both = self.lock();
        both.to_board.send(bytes);
        both.idle &= both.to_board.waiting.is_empty();
        self.0.1.notify_all();
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let mut both = self.lock();
        loop {
            let count = both.to_host.take(buffer);
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
        let (answers, summary) = Line::new(to_board, to_host).with_board(&image, |line| {
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
fn every_precision_gives_the_engines_logits_over_more_requests_than_there_are_numbers() {
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
        assert_eq!((info.layers, info.state_bytes), (1, Model::new(&opened).state_bytes()));
        assert!(transcript.answers[0].tokens.iter().all(|token| token.ticks % 7 == 0 && token.ticks > 0));
        Line::new(Vec::new(), Vec::new()).with_board(&image, |line| {
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
        bytes.iter().filter_map(|&byte| Some(reader.take(byte)?.0.to_vec())).collect()
    }
    let image = image(Precision::Int8, &[6]);
    let crc = Image::open(&image).unwrap().crc();
    let state_bytes = Model::new(&Image::open(&image).unwrap()).state_bytes() as u32;
    let batch = Batch::new(["a", "good bad"], true);
    let requests: [&[u8]; 5] = [&[0, 0, 2, 0, 1], &[1, 1, 1, b'a'], &[2, 2], &[3, 1, 1, b'g'], &[4, 1, 1, b'o']];
    assert_eq!(messages(&batch.bytes)[..5], requests);

    let batch = Batch::new(["a"], false);
    let transcript = batch.read(&responses(&image, &batch)).unwrap();
    let logit = transcript.answers[0].verdict.logit.to_bits().to_le_bytes();
    let number = |number: u32| postcard::to_stdvec(&number).unwrap();
    let expected = [
        [&[0, 0, 2, 0, 5][..], b"bench", &number(crc), &[2, 1, 1], &number(state_bytes), &[1]].concat(),
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
    Line::new(Vec::new(), Vec::new()).with_board(&image, |line| {
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
    Line::new(Vec::new(), Vec::new()).with_board(&image, |line| {
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
    let deaf = || vec![(0, Fault::Lose(usize::MAX))];
    for (to_board, to_host) in [(deaf(), Vec::new()), (Vec::new(), deaf())] {
        let line = Line::new(to_board, to_host);
        let error = line.with_board(&image, |line| Client::greet(line, patience, false).unwrap_err());
        assert!(matches!(error, LinkError::NoAnswer { tries: 4, .. }), "{error:?}");
        let requests = line.lock().to_board.sent.len();
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
        Line::new(Vec::new(), Vec::new()).with_board(slot, |line| {
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
    // The digest of the self-test stands last in the header.
    image[header - 1] ^= 1;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&image[..length - 4]);
    image[length - 4..length].copy_from_slice(&crc.to_le_bytes());
    let texts = ["not bad".to_owned()];
    let error = transcript(&image, &texts, false).unwrap_err();
    assert!(matches!(error, LinkError::Refused(Refusal::SelfTest)), "{error:?}");
    let traced = transcript(&image, &texts, true).unwrap();
    assert_eq!((traced.info.self_test, traced.answers.len()), (SelfTest::Failed, 1));
    Line::new(Vec::new(), Vec::new()).with_board(&image, |line| {
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
