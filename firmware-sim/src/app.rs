//! The program, the same lines on host and chip: text in, a logit after every token, a verdict after every text; or
//! samples in, a logit after every frame, a verdict after every series.
//!
//! A series comes in as bytes, too: counts of 16 bits, little-endian, one frame after the other. What stands here of
//! texts and tokens is true of series and their frames.
//!
//! Only `core` and the engine are used here; there is no choice by machine. The machine is a [`Board`].
//!
//! # Memory
//!
//! The caller owns the memory of the stream's state and, with [`run_in`], that of the model's view of the image ([`VIEW_BYTES`]); else
//! the view lies on the stack. The input buffer ([`INPUT_BYTES`]) always does.

use latch_engine::features::SAMPLES;
use latch_engine::image::Image;
use latch_engine::input::samples::MAX_CHANNELS;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, SelfTest, Session, View};

use crate::board::{Board, Input, Meaning, Ready, Report, Summary, TokenReport, Verdict};

/// Bytes of the input buffer: the FIFO of a UART, and small beside any state.
pub const INPUT_BYTES: usize = 16;

/// Bytes of the model on this machine: pointers, lengths and shapes, no weights. A 32-bit chip needs fewer.
pub const VIEW_BYTES: usize = size_of::<Model<'_>>();

/// Why the program stopped before its input ended. `E` is [`Board::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop<E> {
    /// The slot holds no image that this program can run, or one whose state is larger than the memory for it.
    #[error(transparent)]
    Image(#[from] latch_engine::Error),
    /// The image reads ids, and this program reads texts or samples.
    #[error("the image reads ids, and neither texts nor samples; export a model of one of these")]
    NoInput,
    /// The board's input or output failed.
    #[error("input or output failed")]
    Board(#[source] E),
}

/// Runs the board's image over the board's input until that ends. `state` is the memory for a stream's state, such as a `State<N>` that the
/// firmware holds in a static.
///
/// Each text is a stream of its own: the state is reset after its verdict.
///
/// # Errors
/// [`Stop::Image`] and [`Stop::NoInput`] before anything is read, [`Stop::Board`] as soon as the board fails.
pub fn run<'flash, B: Board<'flash>>(board: &mut B, state: &mut [u8]) -> Result<Summary, Stop<B::Error>> {
    run_in(board, state, &mut None)
}

/// As [`run`], with the model in memory of the caller's too: a firmware has it in a static, and its stack stays small. What the place held
/// before is lost.
///
/// # Errors
/// Those of [`run`].
pub fn run_in<'flash, B: Board<'flash>>(
    board: &mut B,
    state: &mut [u8],
    place: &mut Option<Model<'flash>>,
) -> Result<Summary, Stop<B::Error>> {
    let (model, image) = open(board.image(), place)?;
    let self_test = model.self_test(state)?;
    run_model(board, state, image, model, self_test)
}

/// As [`run`], on a backend of one's choice; for comparing them.
///
/// # Errors
/// Those of [`run`].
pub fn run_on<'flash, B: Board<'flash>>(
    board: &mut B,
    state: &mut [u8],
    backend: AnyBackend,
) -> Result<Summary, Stop<B::Error>> {
    let mut place = None;
    let (model, image) = open(board.image(), &mut place)?;
    let model = model.clone().with_backend(backend);
    let self_test = model.self_test(state)?;
    run_model(board, state, image, &model, self_test)
}

/// The model of an image, in a place that outlives the opening, and the image's CRC-32. Never inlined, as the next one: what only
/// opening needs shall not lie on the stack while the model runs.
#[inline(never)]
fn open<'p, 'flash>(
    bytes: &'flash [u8],
    place: &'p mut Option<Model<'flash>>,
) -> Result<(&'p Model<'flash>, u32), latch_engine::Error> {
    let image = Image::open(bytes)?;
    Ok((Model::new_in(place, &image), image.crc()))
}

#[inline(never)]
fn run_model<'flash, B: Board<'flash>>(
    board: &mut B,
    state: &mut [u8],
    image: u32,
    model: &Model<'_>,
    self_test: SelfTest,
) -> Result<Summary, Stop<B::Error>> {
    if model.vocabulary().is_none() && model.channels() == 0 {
        return Err(Stop::NoInput);
    }
    let mut session = model.session_in(state)?;
    let ready = Ready {
        image,
        precision: model.precision(),
        meaning: Meaning::of(model),
        layers: model.layers(),
        channels: model.channels(),
        state_bytes: model.state_bytes() as u32,
        self_test,
    };
    board.report(Report::Ready(ready)).map_err(Stop::Board)?;
    let mut meter = Meter::new(board, usize::from(model.outputs()));

    let mut buffer = [0; INPUT_BYTES];
    // None in a build without samples, whose stack has no room for it.
    let mut frames = [Frame::new(model.channels()); SAMPLES as usize];
    loop {
        let input = meter.board.read(&mut buffer).map_err(Stop::Board)?;
        match input {
            Input::Bytes(count) => {
                let bytes = buffer.get(..count).unwrap_or(&buffer);
                match frames.first_mut().filter(|frame| frame.channels > 0) {
                    Some(frame) => push_samples(&mut meter, &mut session, frame, bytes)?,
                    None => meter.measure(|each| session.push_bytes_each(bytes, each))?,
                }
                meter.open |= !bytes.is_empty();
                continue;
            }
            Input::Restart => {
                session.reset();
                frames.iter_mut().for_each(|frame| frame.bytes = 0);
                meter.restart();
                continue;
            }
            Input::EndOfText | Input::End => {}
        }
        if meter.open || input == Input::EndOfText {
            meter.measure(|each| session.finish_each(each))?;
            let verdict = verdict(&mut session, ready.meaning);
            meter.board.report(Report::Verdict(verdict)).map_err(Stop::Board)?;
            session.reset();
            frames.iter_mut().for_each(|frame| frame.bytes = 0);
            meter.end_text();
        }
        if input == Input::End {
            let summary = meter.summary;
            meter.board.report(Report::Summary(summary)).map_err(Stop::Board)?;
            return Ok(summary);
        }
    }
}

/// The frame of samples that is under way.
#[derive(Clone, Copy)]
struct Frame {
    counts: [i16; MAX_CHANNELS as usize],
    /// Bytes of it that have come.
    bytes: u8,
    channels: u16,
}

impl Frame {
    fn new(channels: u16) -> Self {
        Frame { counts: [0; MAX_CHANNELS as usize], bytes: 0, channels }
    }

    /// Takes in the next byte; gives the frame when it is whole.
    fn push(&mut self, byte: u8) -> Option<&[i16]> {
        let count = self.counts.get_mut(usize::from(self.bytes / 2))?;
        *count = i16::from_le_bytes(if self.bytes.is_multiple_of(2) { [byte, 0] } else { [*count as u8, byte] });
        self.bytes += 1;
        if u16::from(self.bytes) < 2 * self.channels {
            return None;
        }
        self.bytes = 0;
        self.counts.get(..usize::from(self.channels))
    }
}

/// Reads bytes of a series, and takes in every frame that they complete.
#[inline(never)]
fn push_samples<'flash, B: Board<'flash>>(
    meter: &mut Meter<'_, B>,
    session: &mut Session<'_, '_, '_>,
    frame: &mut Frame,
    bytes: &[u8],
) -> Result<(), Stop<B::Error>> {
    for &byte in bytes {
        if let Some(counts) = frame.push(byte) {
            meter.measure(|each| {
                // Of a model with channels a whole frame is always read.
                let _ = session.push_samples_each(counts, |view| each(view, &[]));
            })?;
        }
    }
    Ok(())
}

/// Times the tokens, digests their logits and reports them.
struct Meter<'b, B> {
    board: &'b mut B,
    /// Logits of the model.
    outputs: usize,
    /// True while a text has begun and not ended.
    open: bool,
    /// Ticks of the token in progress up to the last stop of the watch.
    spent: u32,
    summary: Summary,
}

impl<'flash, 'b, B: Board<'flash>> Meter<'b, B> {
    fn new(board: &'b mut B, outputs: usize) -> Self {
        Meter { board, outputs, open: false, spent: 0, summary: Summary::default() }
    }

    fn restart(&mut self) {
        self.open = false;
        self.spent = 0;
        self.summary = Summary::default();
    }

    fn end_text(&mut self) {
        self.open = false;
        self.spent = 0;
        self.summary.texts = self.summary.texts.saturating_add(1);
    }

    /// Runs a piece of a stream and takes in every token that it completes. After the board has failed, tokens are no longer reported.
    fn measure<'s, 'm, 'a: 'm>(
        &mut self,
        work: impl FnOnce(&mut dyn FnMut(&mut View<'s, 'm, 'a>, &[u8])),
    ) -> Result<(), Stop<B::Error>> {
        let mut result = Ok(());
        self.board.start();
        work(&mut |session, text| {
            if result.is_ok() {
                result = self.token(session, text);
            }
        });
        self.spent = self.spent.wrapping_add(self.board.stop());
        result.map_err(Stop::Board)
    }

    /// Takes in one token.
    fn token(&mut self, session: &mut View<'_, '_, '_>, text: &[u8]) -> Result<(), B::Error> {
        let logit = session.output();
        let ticks = self.spent.wrapping_add(self.board.stop());
        self.summary.digest.push(logit);
        for output in 1..self.outputs {
            self.summary.digest.push(session.logit(output));
        }
        self.summary.tokens = self.summary.tokens.saturating_add(1);
        let result = self.board.token(TokenReport { text, ticks, logit }, session);
        self.spent = 0;
        self.board.start();
        result
    }
}

/// The answer after the tokens so far.
pub fn verdict(session: &mut View<'_, '_, '_>, meaning: Meaning) -> Verdict {
    let first = session.output();
    let outputs = usize::from(meaning.outputs);
    let (class, logit) = if meaning.values {
        (0, first)
    } else if outputs <= 1 {
        (u16::from(first.is_positive()), first)
    } else {
        (1..outputs).fold((0, first), |best, output| {
            let logit = session.logit(output);
            if logit.is_greater(best.1) { (output as u16, logit) } else { best }
        })
    };
    Verdict { class, logit, tokens: session.tokens() }
}
