//! The program, the same lines on host and chip: text in, a logit after every token, a verdict after every text.
//!
//! Only `core` and the engine are used here; there is no choice by machine. The machine is a [`Board`].
//!
//! # Memory
//!
//! The caller owns the memory of the stream's state. On the stack of [`run`] lie, for as long as it runs, the model's view of the
//! image ([`VIEW_BYTES`]) and the input buffer ([`INPUT_BYTES`]). A chip calls it once from its entry point, where the stack is the
//! RAM that no static has taken.

use latch_engine::image::Image;
use latch_engine::model::{Digest, Logit, Model, Session};

use crate::board::{Board, Input, Report, TokenReport, Verdict};

/// Bytes of the input buffer: a FIFO or two of a UART, and small beside any state.
pub const INPUT_BYTES: usize = 64;

/// Bytes of the opened image and the model on this machine: pointers, lengths and shapes, no weights. A 32-bit chip needs fewer.
pub const VIEW_BYTES: usize = size_of::<Image<'_>>() + size_of::<Model<'_>>();

/// What has been done when the input ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Texts judged.
    pub texts: u64,
    /// Tokens that the network read, over all texts.
    pub tokens: u64,
    /// The digest of all logits after every token, in order, over all texts.
    pub digest: Digest,
}

/// Why the program stopped before its input ended. `E` is [`Board::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop<E> {
    /// The slot holds no image that this program can run, or one whose state is larger than the memory for it.
    #[error(transparent)]
    Image(#[from] latch_engine::Error),
    /// The image reads ids, and this program reads text.
    #[error("the image has no vocabulary and cannot read text; export a model of texts")]
    NoVocabulary,
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
/// [`Stop::Image`] and [`Stop::NoVocabulary`] before anything is read, [`Stop::Board`] as soon as the board fails.
pub fn run<'flash, B: Board<'flash>>(board: &mut B, state: &mut [u8]) -> Result<Summary, Stop<B::Error>> {
    let image = Image::open(board.image())?;
    let model = Model::new(&image);
    if model.vocabulary().is_none() {
        return Err(Stop::NoVocabulary);
    }
    let mut session = model.session_in(state)?;
    let mut meter = Meter {
        board,
        outputs: usize::from(model.shape().outputs),
        mark: 0,
        spent: 0,
        tokens: 0,
        digest: Digest::default(),
    };

    let mut buffer = [0; INPUT_BYTES];
    let mut texts = 0;
    let mut open = false;
    loop {
        let input = meter.board.read(&mut buffer).map_err(Stop::Board)?;
        if let Input::Bytes(count) = input {
            let bytes = buffer.get(..count).unwrap_or(&buffer);
            meter.measure(|each| session.push_bytes_each(bytes, each))?;
            open |= !bytes.is_empty();
            continue;
        }
        if open || input == Input::EndOfText {
            meter.measure(|each| session.finish_each(each))?;
            let verdict = verdict(&session, meter.outputs);
            meter.board.report(Report::Verdict(verdict)).map_err(Stop::Board)?;
            session.reset();
            meter.spent = 0;
            texts += 1;
            open = false;
        }
        if input == Input::End {
            return Ok(Summary { texts, tokens: meter.tokens, digest: meter.digest });
        }
    }
}

/// Times the tokens, digests their logits and reports them.
struct Meter<'b, B> {
    board: &'b mut B,
    /// Logits of the model.
    outputs: usize,
    /// The clock when the work in progress began.
    mark: u32,
    /// Ticks of the token in progress before `mark`.
    spent: u32,
    tokens: u64,
    digest: Digest,
}

impl<'flash, B: Board<'flash>> Meter<'_, B> {
    /// Runs a piece of a stream and takes in every token that it completes. After the board has failed, tokens are no longer reported.
    fn measure<'s, 'm, 'a: 'm>(
        &mut self,
        work: impl FnOnce(&mut dyn FnMut(&Session<'s, 'm, 'a>, &[u8])),
    ) -> Result<(), Stop<B::Error>> {
        let mut result = Ok(());
        self.mark = self.board.ticks();
        work(&mut |session, text| {
            if result.is_ok() {
                result = self.token(session, text);
            }
        });
        self.spent = self.spent.wrapping_add(self.board.ticks().wrapping_sub(self.mark));
        result.map_err(Stop::Board)
    }

    /// Takes in one token.
    fn token(&mut self, session: &Session<'_, '_, '_>, text: &[u8]) -> Result<(), B::Error> {
        let logit = session.output();
        let ticks = self.spent.wrapping_add(self.board.ticks().wrapping_sub(self.mark));
        self.digest.push(logit);
        for output in 1..self.outputs {
            self.digest.push(session.logit(output));
        }
        self.tokens = self.tokens.saturating_add(1);
        let result = self.board.report(Report::Token(TokenReport { text, ticks, logit }));
        self.spent = 0;
        self.mark = self.board.ticks();
        result
    }
}

/// The answer after the tokens so far.
fn verdict(session: &Session<'_, '_, '_>, outputs: usize) -> Verdict {
    let first = session.output();
    let (class, logit) = if outputs <= 1 {
        (u16::from(first.is_positive()), first)
    } else {
        (1..outputs).fold((0, first), |best, output| {
            let logit = session.logit(output);
            if is_greater(logit, best.1) { (output as u16, logit) } else { best }
        })
    };
    Verdict { class, logit, tokens: session.tokens() }
}

/// Compares two logits of one model. A model's logits are all integers or all floats.
fn is_greater(left: Logit, right: Logit) -> bool {
    match (left, right) {
        (Logit::Fixed(left), Logit::Fixed(right)) => left > right,
        (Logit::Float(left), Logit::Float(right)) => left > right,
        _ => false,
    }
}
