//! The program on the host board: the same digest wherever the image lies and however the text is cut, and refusals with numbers.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::cell::RefCell;

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Digest, Logit, Model, Precision, State, View};
use latch_firmware_sim::app::{self, INPUT_BYTES, Stop, VIEW_BYTES};
use latch_firmware_sim::board::{Board, Input, Ready, Report, Summary, TokenReport, Verdict};
use latch_firmware_sim::sim::budget::STACK_RESERVE;
use latch_firmware_sim::sim::source::{Lines, Text, Texts};
use latch_firmware_sim::sim::{Answered, FIRMWARE_RESERVE, Outcome, Simulator};
use latch_parts::cores::MemoryTiming;
use latch_parts::parts::{self, FlashShape, Pages, Part, RamShape};
use latch_trainer::error::exit_code;
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;

const TEXTS: [&str; 4] =
    ["A good film, not bad at all!!", "", "bad... bad <br />BAD", "Überraschend gut — 10/10, don't you think?"];

fn image(precision: Precision, units: &[usize], pooling: Pooling) -> AlignedBytes {
    let words = ["!", "!!", "10/10", "a", "all", "bad", "don't", "film", "good", "gut", "not", "überraschend"]
        .map(String::from)
        .to_vec();
    let vocabulary = Vocabulary::from_words(words, Unknown::LastRow);
    let weights = Weights::random(vocabulary.rows(), 6, units, pooling, 7);
    to_image(&weights, &vocabulary, precision, &Origin::default()).unwrap()
}

fn part(name: &str) -> Part {
    parts::find(name).unwrap()
}

fn texts() -> Texts<impl Iterator<Item = anyhow::Result<Text>>> {
    Texts::new(
        TEXTS.iter().zip(0..).map(|(text, label)| Ok(Text { bytes: text.as_bytes().to_vec(), label: Some(label) })),
    )
}

fn simulate(simulator: &Simulator, chunk: usize) -> (Outcome, Vec<(Verdict, Option<u32>)>) {
    let mut verdicts = Vec::new();
    let mut judged = |answered: Answered| {
        verdicts.push((answered.verdict, answered.label));
        Ok(())
    };
    let outcome = simulator.run(&mut texts(), chunk, &mut judged).unwrap();
    (outcome, verdicts)
}

/// What the engine gives without any board: digest, tokens, and the logit of each text.
fn reference(image: &[u8]) -> (Digest, u32, Vec<Logit>) {
    let image = Image::open(image).unwrap();
    let model = Model::new(&image);
    let state = RefCell::new((Digest::default(), 0));
    let logits = TEXTS.map(|text| {
        let mut memory = State::<8192>::new();
        let mut session = model.session(&mut memory).unwrap();
        let each = |session: &mut View<'_, '_, '_>, _: &[u8]| {
            let (digest, tokens) = &mut *state.borrow_mut();
            digest.push(session.output());
            *tokens += 1;
        };
        session.push_bytes_each(text.as_bytes(), each);
        session.finish_each(each);
        session.output()
    });
    let (digest, tokens) = state.into_inner();
    (digest, tokens, logits.to_vec())
}

#[test]
fn the_flash_of_every_part_gives_the_digest_of_a_plain_buffer() {
    for precision in [Precision::Int8, Precision::F16, Precision::F32] {
        let image = image(precision, &[24], Pooling::Mean);
        let (digest, tokens, logits) = reference(&image);
        assert!(tokens > 10);
        for part in parts::PARTS {
            let simulator = Simulator::load(*part, &image, "model.latch").unwrap();
            let (outcome, verdicts) = simulate(&simulator, INPUT_BYTES);
            assert_eq!(outcome.summary.digest, digest, "{} {}", part.name, precision.name());
            assert_eq!((outcome.summary.tokens, outcome.summary.texts), (tokens, TEXTS.len() as u32));
            assert_eq!(verdicts.iter().map(|(verdict, _)| verdict.logit).collect::<Vec<_>>(), logits);
        }
    }
}

#[test]
fn every_chunk_size_gives_the_same_digest_and_verdicts() {
    let image = image(Precision::Int8, &[16, 12], Pooling::Max);
    let simulator = Simulator::load(part("rp2040"), &image, "model.latch").unwrap();
    let (whole, verdicts) = simulate(&simulator, usize::MAX);
    assert_eq!(verdicts.iter().map(|&(_, label)| label).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), Some(3)]);
    for chunk in 0..=INPUT_BYTES + 1 {
        let (outcome, cut) = simulate(&simulator, chunk);
        assert_eq!(outcome.summary, whole.summary, "chunks of {chunk}");
        assert_eq!(cut, verdicts, "chunks of {chunk}");
    }
}

#[test]
fn lines_and_texts_give_the_same_digest_with_and_without_a_last_newline() {
    let image = image(Precision::Int8, &[16], Pooling::Last);
    let simulator = Simulator::load(part("nrf52840"), &image, "model.latch").unwrap();
    let (outcome, _) = simulate(&simulator, INPUT_BYTES);
    for end in ["", "\n"] {
        let lines = TEXTS.join("\n") + end;
        let lines = simulator.run(&mut Lines::new(lines.as_bytes()), INPUT_BYTES, &mut |_| Ok(())).unwrap();
        assert_eq!(lines.summary, outcome.summary);
    }
}

#[test]
fn an_image_in_a_longer_file_is_programmed_without_what_follows_it() {
    let image = image(Precision::Int8, &[16], Pooling::Mean);
    let mut longer = image.to_vec();
    longer.extend([7; 5000]);
    let plain = Simulator::load(part("nrf52840"), &image, "model.latch").unwrap();
    let simulator = Simulator::load(part("nrf52840"), &longer, "model.latch").unwrap();
    assert_eq!(simulator.image_bytes(), image.len());
    assert_eq!(simulator.programmed(), plain.programmed());
}

#[test]
fn the_budget_names_what_the_flash_and_the_ram_hold() {
    let image = image(Precision::Int8, &[16], Pooling::Mean);
    let state = Model::new(&Image::open(&image).unwrap()).state_bytes();
    let simulator = Simulator::load(part("stm32h743"), &image, "model.latch").unwrap();
    let budget = simulator.budget();
    // The first sector behind 32 KiB starts at 128 KiB.
    assert_eq!(budget.flash_used(), 128 * 1024 + image.len().next_multiple_of(32));
    assert_eq!(budget.ram_used(), state + VIEW_BYTES + INPUT_BYTES + STACK_RESERVE);
    assert_eq!(budget.state_bytes(), state);
    assert_eq!(simulator.programmed().pages, 1);
}

/// A part with this much flash in pages of 4 KiB and this much RAM.
fn tiny(pages: &'static [Pages], ram: usize) -> Part {
    Part {
        name: "tiny",
        title: "An artificial part",
        core: "none",
        clock_hz: 1,
        flash: FlashShape { base: 0, pages, word_bytes: 8, writes: 1 },
        ram: RamShape { base: 0x2000_0000, total: 2 * ram, block: ram },
        memory: MemoryTiming::NO_WAITS,
        current: None,
    }
}

const ROOMY: &[Pages] = &[Pages { count: 64, bytes: 4096 }];

fn refusal(part: Part, image: &[u8]) -> String {
    let error = Simulator::load(part, image, "model.latch").unwrap_err();
    assert_eq!(exit_code(&error), 2, "{error:#}");
    error.to_string()
}

#[test]
fn a_flash_that_is_too_small_is_refused_with_every_number() {
    let image = image(Precision::F32, &[64], Pooling::Mean);
    let needed = FIRMWARE_RESERVE + image.len().next_multiple_of(8);
    let available = FIRMWARE_RESERVE + 4096;
    let message = refusal(tiny(&[Pages { count: 9, bytes: 4096 }], 1 << 20), &image);
    let numbers = [needed, available, needed - available, FIRMWARE_RESERVE, image.len().next_multiple_of(8)];
    assert!(numbers.iter().all(|number| message.contains(&number.to_string())), "{message}");
    assert!(message.contains("tiny: the flash is too small") && message.contains("--precision int8"), "{message}");
    // A flash that ends inside the reserve.
    let message = refusal(tiny(&[Pages { count: 2, bytes: 4096 }], 1 << 20), &image);
    assert!(message.contains(&needed.to_string()) && message.contains("8192"), "{message}");
}

#[test]
fn a_ram_that_is_too_small_by_one_byte_is_refused_with_every_number() {
    let image = image(Precision::Int8, &[48], Pooling::Mean);
    let state = Model::new(&Image::open(&image).unwrap()).state_bytes();
    let needed = state + VIEW_BYTES + INPUT_BYTES + STACK_RESERVE;
    assert!(Simulator::load(tiny(ROOMY, needed), &image, "model.latch").is_ok());
    let message = refusal(tiny(ROOMY, needed - 1), &image);
    let numbers = [needed, needed - 1, state, VIEW_BYTES, INPUT_BYTES, STACK_RESERVE, 1];
    assert!(numbers.iter().all(|number| message.contains(&number.to_string())), "{message}");
    assert!(message.contains("tiny: the RAM is too small") && message.contains("fewer units"), "{message}");
}

#[test]
fn both_memories_are_named_where_both_are_too_small() {
    let image = image(Precision::F32, &[64], Pooling::Mean);
    let message = refusal(tiny(&[Pages { count: 9, bytes: 4096 }], 2048), &image);
    assert!(message.contains("the flash is too small") && message.contains("the RAM is too small"), "{message}");
}

#[test]
fn every_cut_image_is_a_fault_that_names_the_file() {
    let image = image(Precision::Int8, &[8], Pooling::Mean);
    for length in (0..image.len()).step_by(97) {
        let message = refusal(part("nrf52840"), &image[..length]);
        assert!(message.starts_with("model.latch: "), "{message}");
    }
}

/// A board of a test: text, a clock that counts its readings, and a budget of calls before it fails.
struct Bench<'f> {
    image: &'f [u8],
    input: Vec<Input>,
    text: &'static [u8],
    clock: u32,
    /// The clock when the stopwatch was started; `None` while it stands.
    started: Option<u32>,
    /// Calls of `read` and `report` before the board breaks.
    calls: usize,
    ticks: Vec<u32>,
    verdicts: Vec<Verdict>,
    ready: Option<Ready>,
    summary: Option<Summary>,
}

impl<'f> Bench<'f> {
    fn new(image: &'f [u8], input: &[Input], text: &'static str) -> Self {
        let input = input.iter().rev().copied().collect();
        Bench {
            image,
            input,
            text: text.as_bytes(),
            clock: u32::MAX - 20,
            started: None,
            calls: usize::MAX,
            ticks: Vec::new(),
            verdicts: Vec::new(),
            ready: None,
            summary: None,
        }
    }

    fn call(&mut self) -> Result<(), &'static str> {
        self.calls = self.calls.checked_sub(1).ok_or("broken")?;
        assert_eq!(self.started, None, "neither waiting nor reporting is timed");
        Ok(())
    }
}

impl<'f> Board<'f> for Bench<'f> {
    type Error = &'static str;

    fn image(&self) -> &'f [u8] {
        self.image
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Input, Self::Error> {
        self.call()?;
        let input = self.input.pop().unwrap_or(Input::End);
        if let Input::Bytes(count) = input {
            let (head, tail) = self.text.split_at(count);
            buffer[..count].copy_from_slice(head);
            self.text = tail;
        }
        self.clock = self.clock.wrapping_add(1_000_000); // waiting, which no token pays for
        Ok(input)
    }

    fn start(&mut self) {
        assert_eq!(self.started.replace(self.clock), None, "started twice");
    }

    fn stop(&mut self) -> u32 {
        self.clock = self.clock.wrapping_add(10); // the work
        self.clock.wrapping_sub(self.started.take().expect("stopped without a start"))
    }

    fn token(&mut self, token: TokenReport<'_>, _: &mut View<'_, '_, '_>) -> Result<(), Self::Error> {
        self.call()?;
        self.ticks.push(token.ticks);
        self.clock = self.clock.wrapping_add(5_000); // printing, which no token pays for
        Ok(())
    }

    fn report(&mut self, report: Report) -> Result<(), Self::Error> {
        self.call()?;
        match report {
            Report::Verdict(verdict) => self.verdicts.push(verdict),
            Report::Ready(ready) => self.ready = Some(ready),
            Report::Summary(summary) => self.summary = Some(summary),
        }
        self.clock = self.clock.wrapping_add(5_000); // printing, which no token pays for
        Ok(())
    }
}

#[test]
fn a_tokens_ticks_are_its_pieces_without_waiting_and_reporting_and_survive_the_clocks_wrap() {
    let image = image(Precision::Int8, &[8], Pooling::Mean);
    // `good bad`: the first word ends in the third piece, the second one with the text.
    let input = [Input::Bytes(2), Input::Bytes(0), Input::Bytes(3), Input::Bytes(3), Input::EndOfText, Input::End];
    let mut bench = Bench::new(&image, &input, "good bad");
    let summary = app::run(&mut bench, State::<1024>::new().as_bytes_mut()).unwrap();
    assert_eq!((summary.texts, summary.tokens), (1, 2));
    assert_eq!(bench.summary, Some(summary));
    // Each piece costs one interval of the clock: `go`, nothing, `od ` up to the token; the rest of that piece, `bad`, the end.
    assert_eq!(bench.ticks, [30, 30]);
}

#[test]
fn a_restart_forgets_the_open_text_and_the_totals() {
    let image = image(Precision::Int8, &[8], Pooling::Mean);
    let state_bytes = Model::new(&Image::open(&image).unwrap()).state_bytes() as u32;
    let input = [Input::Bytes(4), Input::EndOfText, Input::Bytes(3), Input::Restart, Input::Bytes(8), Input::EndOfText];
    let mut restarted = Bench::new(&image, &input, "bad googood bad");
    let mut fresh = Bench::new(&image, &[Input::Bytes(8), Input::EndOfText], "good bad");
    let summary = app::run(&mut restarted, State::<1024>::new().as_bytes_mut()).unwrap();
    assert_eq!(app::run(&mut fresh, State::<1024>::new().as_bytes_mut()).unwrap(), summary);
    assert_eq!((restarted.verdicts.len(), restarted.verdicts[1]), (2, fresh.verdicts[0]));
    let ready = restarted.ready.unwrap();
    // LSTM, pooling, dense.
    assert_eq!((ready.layers, ready.precision, ready.state_bytes), (3, Precision::Int8, state_bytes));
}

#[test]
fn the_end_of_the_input_ends_an_open_text_and_no_text_twice() {
    let image = image(Precision::Int8, &[8], Pooling::Mean);
    let mut closed = Bench::new(&image, &[Input::Bytes(8), Input::EndOfText, Input::End], "good bad");
    let mut open = Bench::new(&image, &[Input::Bytes(8), Input::Bytes(0), Input::End], "good bad");
    let mut none = Bench::new(&image, &[Input::Bytes(0), Input::End], "");
    let summary = app::run(&mut closed, State::<1024>::new().as_bytes_mut()).unwrap();
    assert_eq!(app::run(&mut open, State::<1024>::new().as_bytes_mut()).unwrap(), summary);
    assert_eq!(open.verdicts, closed.verdicts);
    assert_eq!((summary.texts, closed.verdicts.len(), closed.verdicts[0].tokens), (1, 1, 2));
    assert_eq!(app::run(&mut none, State::<1024>::new().as_bytes_mut()).unwrap().texts, 0);
}

#[test]
fn a_board_that_breaks_stops_the_program_with_its_error_at_every_call() {
    let image = image(Precision::Int8, &[8], Pooling::Mean);
    let input = [Input::Bytes(8), Input::EndOfText, Input::End];
    let mut whole = Bench::new(&image, &input, "good bad");
    app::run(&mut whole, State::<1024>::new().as_bytes_mut()).unwrap();
    let calls = usize::MAX - whole.calls;
    assert_eq!(calls, 1 + 3 + 2 + 1 + 1, "ready, reads, tokens, verdict, summary");
    for calls in 0..calls {
        let mut bench = Bench { calls, ..Bench::new(&image, &input, "good bad") };
        assert_eq!(
            app::run(&mut bench, State::<1024>::new().as_bytes_mut()),
            Err(Stop::Board("broken")),
            "after {calls} calls"
        );
    }
}

#[test]
fn a_state_that_has_no_room_and_a_slot_without_an_image_stop_the_program_before_it_reads() {
    let image = image(Precision::Int8, &[8], Pooling::Mean);
    let needed = Model::new(&Image::open(&image).unwrap()).state_bytes();
    let mut bench = Bench { calls: 0, ..Bench::new(&image, &[], "") };
    assert_eq!(
        app::run(&mut bench, State::<64>::new().as_bytes_mut()),
        Err(Stop::Image(latch_engine::Error::StateTooSmall { needed, given: 64 }))
    );
    let erased = [0xFF; 64];
    let mut bench = Bench { calls: 0, ..Bench::new(&erased, &[], "") };
    assert_eq!(
        app::run(&mut bench, State::<1024>::new().as_bytes_mut()),
        Err(Stop::Image(latch_engine::Error::NotAnImage))
    );
}
