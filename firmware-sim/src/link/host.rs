//! The host's side of the link.
//!
//! - [`Client`] is live: it asks over a [`Wire`], waits, and asks again where no answer comes.
//! - [`batch`] writes all requests of a session into one file and reads all responses from another, for a line that loses nothing.
//! - [`difference`] finds where two transcripts part.
//! - [`mod@reference`] is the same session on this machine, for comparing.
//! - [`wire`] makes a wire of anything that reads and writes, serial devices included.

pub mod batch;
pub mod difference;
pub mod reference;
pub mod wire;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::{Duration, Instant};

use latch_engine::{Logit, Precision};

use super::frame::{FRAME_OVERHEAD, Frame, Reader};
use super::message::{
    self, Item, REQUEST_BYTES, RESPONSE_BYTES, Refusal, Request, SelfTest, TEXT_BYTES, TRACED_TEXT_BYTES, VERSION,
};
use crate::board::{Meaning, Verdict};
use latch_data::shown::shown;
use wire::Wire;

/// What a board says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The board's name.
    pub board: String,
    /// The CRC-32 of the image in its flash.
    pub image: u32,
    /// The precision of that image.
    pub precision: Precision,
    /// What its outputs mean.
    pub meaning: Meaning,
    /// Its layers behind the input.
    pub layers: usize,
    /// Values of a frame of samples; 0 of an image of texts.
    pub channels: usize,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// What the image's self-test came to on the board.
    pub self_test: SelfTest,
}

/// A token as the board answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its first logit.
    pub logit: Logit,
    /// The board's ticks for it.
    pub ticks: u32,
    /// In a traced session the digests of its bytes and of every layer's state; else empty.
    pub trace: Vec<u32>,
}

/// What the board says to a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The tokens that the network read.
    pub tokens: Vec<Token>,
    /// The verdict.
    pub verdict: Verdict,
}

/// What the board has done in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Texts judged.
    pub texts: u32,
    /// Tokens in them.
    pub tokens: u32,
    /// The digest of all logits, see [`latch_engine::Digest`].
    pub digest: u64,
}

/// Why a session ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The line failed.
    #[error("the line to the board failed")]
    Line(#[source] io::Error),
    /// The board does not answer.
    #[error(
        "the board did not answer {tries} times in {seconds} s each; check that it is connected and runs Latch's firmware for a serial line, and that no other program uses the line"
    )]
    NoAnswer {
        /// How often it was asked.
        tries: u32,
        /// How long each answer was waited for.
        seconds: f32,
    },
    /// The board refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The board speaks another version of the link.
    #[error(
        "the board speaks version {found} of the link and this program version {VERSION}; build both from the same version of Latch"
    )]
    Version {
        /// The board's version.
        found: u8,
    },
    /// The board's answer makes no sense.
    #[error("the board's answer {what}; build firmware and `latch-sim` from the same version of Latch")]
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file of responses ends too early.
    #[error("the board stopped after {answers} of {requests} answers")]
    Cut {
        /// Answers that are there.
        answers: usize,
        /// Answers that should be there.
        requests: usize,
    },
}

/// How long to wait for an answer and how often to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long to wait for each answer. A request has up to 20 tokens, and a board must have the time for them.
    pub answer: Duration,
    /// How often to ask before giving up, at least once.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { answer: Duration::from_secs(3), tries: 5 }
    }
}

type RequestFrame = Frame<{ REQUEST_BYTES + FRAME_OVERHEAD }>;

/// A request of a session as a frame; a greeting belongs to none.
fn seal<'f>(frame: &'f mut RequestFrame, session: u32, sequence: u32, request: Request<'_>) -> &'f [u8] {
    frame.clear();
    frame.number(sequence);
    // Requests are plain values, which nothing can keep from being written, and the frame has room for the longest.
    frame.raw(&postcard::to_stdvec(&request).unwrap_or_default());
    frame.seal(if matches!(request, Request::Hello { .. }) { 0 } else { session })
}

/// The most bytes of text in a request.
fn text_bytes(trace: bool) -> usize {
    if trace { TRACED_TEXT_BYTES } else { TEXT_BYTES }
}

/// What a response says, put together.
#[derive(Debug, Default)]
struct Response {
    info: Option<(u8, u32, Info)>,
    tokens: Vec<Token>,
    verdict: Option<Verdict>,
    summary: Option<Summary>,
}

impl Response {
    /// Takes a response apart. Logits are of the kind that `precision` says, or the precision in the response itself.
    fn parse(mut items: &[u8], precision: Option<Precision>) -> Result<Self, LinkError> {
        let nonsense = |what: &'static str| LinkError::Nonsense { what };
        let mut response = Response::default();
        let logit = |bits: u32| {
            if precision.is_some_and(Precision::is_integer) {
                Logit::Fixed(bits as i32)
            } else {
                Logit::Float(f32::from_bits(bits))
            }
        };
        while !items.is_empty() {
            let (item, rest) =
                postcard::take_from_bytes(items).map_err(|_| nonsense("has bytes that this program does not know"))?;
            items = rest;
            match item {
                Item::Info(info) => {
                    let message::Info {
                        version,
                        session,
                        board,
                        image,
                        precision,
                        meaning,
                        layers,
                        channels,
                        state_bytes,
                        self_test,
                    } = info;
                    let info = Info {
                        // The one text that the line brings.
                        board: shown(board).into_owned(),
                        image,
                        precision,
                        meaning: Meaning::from_number(meaning),
                        layers: layers.into(),
                        channels: channels.into(),
                        state_bytes: state_bytes as usize,
                        self_test,
                    };
                    response.info = Some((version, session, info));
                }
                Item::Token { logit: bits, ticks } => {
                    response.tokens.push(Token { logit: logit(bits), ticks, trace: Vec::new() });
                }
                Item::Trace(digest) => {
                    let token = response.tokens.last_mut().ok_or(nonsense("has a trace of no token"))?;
                    token.trace.push(digest);
                }
                Item::Verdict { class, logit: bits, tokens } => {
                    response.verdict = Some(Verdict { class, logit: logit(bits), tokens });
                }
                Item::Summary { texts, tokens, digest } => {
                    response.summary = Some(Summary { texts, tokens, digest: u64::from_le_bytes(digest) });
                }
                Item::Refused(refusal) => return Err(LinkError::Refused(refusal)),
            }
        }
        Ok(response)
    }

    /// The board's answer to a greeting of session `session`.
    fn into_info(self, session: u32) -> Result<Info, LinkError> {
        match self.info {
            Some((VERSION, answered, info)) if answered == session => Ok(info),
            Some((VERSION, ..)) => Err(LinkError::Nonsense { what: "belongs to another session" }),
            Some((found, ..)) => Err(LinkError::Version { found }),
            None => Err(LinkError::Nonsense { what: "to the greeting does not say what it is" }),
        }
    }
}

/// A session with a board over a line that may lose, damage, repeat and add bytes.
#[derive(Debug)]
pub struct Client<W> {
    wire: W,
    patience: Patience,
    request: RequestFrame,
    reader: Reader<{ RESPONSE_BYTES + 4 }>,
    session: u32,
    sequence: u32,
    trace: bool,
    info: Option<Info>,
    repeats: u64,
}

impl<W: Wire> Client<W> {
    /// Begins a session: whatever the board did before is forgotten there. With `trace` every token comes with its digests, and a byte
    /// of text travels alone.
    ///
    /// # Errors
    /// Every [`LinkError`] but [`LinkError::Cut`].
    pub fn greet(wire: W, patience: Patience, trace: bool) -> Result<Self, LinkError> {
        let mut client = Client {
            wire,
            patience,
            request: Frame::new(),
            reader: Reader::new(),
            // What the hasher starts from is random. The session before this one had another number, but for one time in 2^32.
            session: (RandomState::new().build_hasher().finish() as u32).max(1),
            sequence: 0,
            trace,
            info: None,
            repeats: 0,
        };
        let session = client.session;
        let response = client.ask(Request::Hello { version: VERSION, session, trace })?;
        client.info = Some(response.into_info(session)?);
        Ok(client)
    }

    /// The wire.
    pub fn wire(&self) -> &W {
        &self.wire
    }

    /// What the board said of itself.
    pub fn info(&self) -> Option<&Info> {
        self.info.as_ref()
    }

    /// Requests that were sent again.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Sends bytes of a text, or of a series' counts (16 bits, little-endian, frame after frame), in any chunks and
    /// hands over the tokens that they complete.
    ///
    /// # Errors
    /// Every [`LinkError`] but [`LinkError::Cut`]; the session is over then.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Token)) -> Result<(), LinkError> {
        for text in bytes.chunks(text_bytes(self.trace)) {
            self.ask(Request::Text(text))?.tokens.into_iter().for_each(&mut *each);
        }
        Ok(())
    }

    /// Ends the text: hands over the tokens that were still open, and returns the verdict.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub fn finish(&mut self, each: &mut dyn FnMut(Token)) -> Result<Verdict, LinkError> {
        let response = self.ask(Request::EndOfText)?;
        response.tokens.into_iter().for_each(each);
        response.verdict.ok_or(LinkError::Nonsense { what: "to the end of a text has no verdict" })
    }

    /// Sends a whole text.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub fn judge(&mut self, text: &[u8]) -> Result<Answer, LinkError> {
        let mut tokens = Vec::new();
        self.push(text, &mut |token| tokens.push(token))?;
        let verdict = self.finish(&mut |token| tokens.push(token))?;
        Ok(Answer { tokens, verdict })
    }

    /// Ends the session.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub fn end(mut self) -> Result<Summary, LinkError> {
        self.ask(Request::End)?.summary.ok_or(LinkError::Nonsense { what: "to the end has no summary" })
    }

    /// Sends a request until its response comes. Ends at the deadline of the last try, whatever else the line brings until then.
    fn ask(&mut self, request: Request<'_>) -> Result<Response, LinkError> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let frame = seal(&mut self.request, self.session, sequence, request);
        let mut buffer = [0; 256];
        for attempt in 0..self.patience.tries.max(1) {
            self.repeats += u64::from(attempt > 0);
            // A zero before the frame parts it from whatever the line has made up.
            self.wire.send(&[0]).and_then(|()| self.wire.send(frame)).map_err(LinkError::Line)?;
            let deadline = Instant::now() + self.patience.answer;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let count = self.wire.receive(&mut buffer, left).map_err(LinkError::Line)?;
                if count == 0 {
                    break;
                }
                // What follows a response in the same piece can only be a repetition of it.
                for &byte in buffer.get(..count).unwrap_or(&buffer) {
                    if let Some(message) = self.reader.take(byte)
                        && let Some((answered, items)) = message.numbered()
                        && answered == sequence
                        && let Some(response) =
                            response((message.session, self.session), items, request, self.info.as_ref())?
                    {
                        return Ok(response);
                    }
                }
            }
        }
        Err(LinkError::NoAnswer { tries: self.patience.tries.max(1), seconds: self.patience.answer.as_secs_f32() })
    }
}

/// What a frame with the request's number says to it; `None` where it was damaged or is of another session. `session` sealed it and `own` is
/// this one. Without a session a board can only refuse, or name the version that it speaks.
fn response(
    (session, own): (u32, u32),
    items: &[u8],
    request: Request<'_>,
    info: Option<&Info>,
) -> Result<Option<Response>, LinkError> {
    let greeting = matches!(request, Request::Hello { .. });
    if session == own {
        return Response::parse(items, info.map(|info| info.precision)).map(Some);
    }
    match items {
        _ if session != 0 => Ok(None),
        // Of another version nothing else can be read for sure.
        [0, version, ..] if greeting && *version != VERSION => Err(LinkError::Version { found: *version }),
        _ => match Response::parse(items, None) {
            // A greeting that was damaged on its way looks like a request without a session.
            Err(LinkError::Refused(Refusal::NoSession)) if greeting => Ok(None),
            Err(LinkError::Refused(refusal)) => Err(LinkError::Refused(refusal)),
            _ => Ok(None),
        },
    }
}
