//! The board's side of the link: a [`Board`] over a [`Port`].
//!
//! The host asks, the board answers, one response for each request. A request that comes again, because its response was lost, is
//! answered from the buffer of the last response: every byte of text is read exactly once. Frames that were damaged, and requests that
//! are older than the last one, are passed over.
//!
//! A firmware is [`LinkBoard::serve`] over its chip. On a serial line that never ends; over files it ends with the file.

use latch_engine::{SelfTest, View};

use super::frame::{FRAME_OVERHEAD, Frame, Reader};
use super::message::{Info, Item, REQUEST_BYTES, RESPONSE_BYTES, Refusal, Request, TRACED_LAYERS, VERSION};
use super::port::Port;
use crate::app::{self, Stop};
use crate::board::{Board, Input, Ready, Report, Summary, TokenReport, Verdict};

/// What a link needs of the machine besides a port.
pub trait Machine<'flash> {
    /// The board's name, at most [`super::message::NAME_BYTES`] bytes.
    fn name(&self) -> &'static str;

    /// As [`Board::image`].
    fn image(&self) -> &'flash [u8];

    /// As [`Board::start`].
    fn start(&mut self);

    /// As [`Board::stop`].
    fn stop(&mut self) -> u32;
}

/// Bytes that are read from the port at once.
const CHUNK: usize = 24;

/// A machine that a host talks to over a port.
#[derive(Debug)]
pub struct LinkBoard<P, M> {
    port: P,
    machine: M,
    /// Bytes from the port, of which `unread` are still to be looked at.
    chunk: [u8; CHUNK],
    unread: core::ops::Range<usize>,
    reader: Reader<{ REQUEST_BYTES + 4 }>,
    /// The response in the making, or the last one.
    response: Frame<{ RESPONSE_BYTES + FRAME_OVERHEAD }>,
    /// True while `response` is in the making.
    pending: bool,
    /// Sequence number and checksum of the last request that was obeyed.
    last: Option<(u8, u32)>,
    /// The session's number; `None` before the first one.
    session: Option<u32>,
    trace: bool,
    over: bool,
    ready: Option<Ready>,
}

impl<'flash, P: Port, M: Machine<'flash>> LinkBoard<P, M> {
    /// A board that nobody has spoken to.
    pub const fn new(port: P, machine: M) -> Self {
        LinkBoard {
            port,
            machine,
            chunk: [0; CHUNK],
            unread: 0..0,
            reader: Reader::new(),
            response: Frame::new(),
            pending: false,
            last: None,
            session: None,
            trace: false,
            over: false,
            ready: None,
        }
    }

    /// True when the port has come to its end.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The port, when all is said.
    pub fn into_port(self) -> P {
        self.port
    }

    /// Runs the program for one host after the other until the port ends. A machine whose image cannot run answers every request with
    /// the reason. `state` is the memory for a stream's state, as for [`app::run`].
    ///
    /// # Errors
    /// Those of the port.
    pub fn serve(&mut self, state: &mut [u8]) -> Result<(), P::Error> {
        while !self.over {
            match app::run(self, state) {
                Ok(_) => {}
                Err(Stop::Board(error)) => return Err(error),
                Err(stop) => self.refuse(Refusal::of(&stop).unwrap_or(Refusal::Malformed))?,
            }
        }
        Ok(())
    }

    /// Answers every request with a refusal, until the port ends. For a board that cannot run its image.
    ///
    /// # Errors
    /// Those of the port.
    pub fn refuse(&mut self, refusal: Refusal) -> Result<(), P::Error> {
        while let Some(byte) = self.byte()? {
            if let Some((&[sequence, ..], _)) = self.reader.take(byte) {
                self.answer(sequence, refusal)?;
            }
        }
        Ok(())
    }

    /// The next byte; `None` at the port's end.
    fn byte(&mut self) -> Result<Option<u8>, P::Error> {
        if self.unread.is_empty() {
            let count = self.port.read(&mut self.chunk)?;
            self.unread = 0..count;
            self.over = count == 0;
        }
        Ok(self.unread.next().and_then(|at| self.chunk.get(at)).copied())
    }

    /// Begins the response to a request.
    fn begin(&mut self, sequence: u8) {
        self.response.clear();
        self.response.byte(sequence);
        self.pending = true;
    }

    /// Sends the response in the making, if there is one.
    fn send(&mut self) -> Result<(), P::Error> {
        if core::mem::take(&mut self.pending) {
            if self.response.is_full() {
                self.response.clear();
                self.response.byte(self.last.map_or(0, |(sequence, _)| sequence));
                Item::Refused(Refusal::TooLong).write(&mut self.response);
            }
            self.port.write(self.response.seal())?;
        }
        Ok(())
    }

    /// Sends a refusal.
    fn answer(&mut self, sequence: u8, refusal: Refusal) -> Result<(), P::Error> {
        self.begin(sequence);
        Item::Refused(refusal).write(&mut self.response);
        self.send()
    }

    /// Sends a refusal that ends the session, if there was one.
    fn turn_away(&mut self, sequence: u8, refusal: Refusal) -> Result<(), P::Error> {
        self.last = None;
        self.session = None;
        self.answer(sequence, refusal)
    }

    fn greet(&mut self, session: u32) {
        if let Some(ready) = self.ready {
            let info = Info {
                version: VERSION,
                session,
                board: self.machine.name(),
                image: ready.image,
                precision: ready.precision,
                meaning: ready.meaning.to_number(),
                layers: ready.layers,
                state_bytes: ready.state_bytes,
                self_test: ready.self_test.into(),
            };
            Item::Info(info).write(&mut self.response);
        }
    }

    fn write_token(&mut self, token: TokenReport<'_>, stream: &View<'_, '_, '_>) {
        Item::Token { logit: token.logit.to_bits(), ticks: token.ticks }.write(&mut self.response);
        if self.trace {
            Item::Trace(fnv(token.text)).write(&mut self.response);
            for layer in 0..self.ready.map_or(0, |ready| usize::from(ready.layers)).min(TRACED_LAYERS) {
                Item::Trace(stream.layer_digest(layer)).write(&mut self.response);
            }
        }
    }
}

impl<'flash, P: Port, M: Machine<'flash>> Board<'flash> for LinkBoard<P, M> {
    type Error = P::Error;

    fn image(&self) -> &'flash [u8] {
        self.machine.image()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Input, P::Error> {
        self.send()?;
        while let Some(byte) = self.byte()? {
            let Some((message, crc)) = self.reader.take(byte) else { continue };
            let Some((&sequence, body)) = message.split_first() else { continue };
            if self.last == Some((sequence, crc)) {
                self.port.write(self.response.bytes())?;
                continue;
            }
            let input = match postcard::from_bytes(body) {
                Ok(Request::Hello { session, trace, .. }) => {
                    if self.session == Some(session) {
                        continue;
                    }
                    if !trace && self.ready.is_some_and(|ready| matches!(ready.self_test, SelfTest::Failed { .. })) {
                        self.turn_away(sequence, Refusal::SelfTest)?;
                        continue;
                    }
                    self.session = Some(session);
                    self.trace = trace;
                    self.last = Some((sequence, crc));
                    self.begin(sequence);
                    self.greet(session);
                    return Ok(Input::Restart);
                }
                Ok(Request::Text(text)) => match buffer.get_mut(..text.len()) {
                    Some(room) => {
                        room.iter_mut().zip(text).for_each(|(room, &byte)| *room = byte);
                        Ok(Input::Bytes(text.len()))
                    }
                    None => Err(Refusal::BadRequest),
                },
                Ok(Request::EndOfText) => Ok(Input::EndOfText),
                Ok(Request::End) => Ok(Input::End),
                Err(_) => Err(Refusal::BadRequest),
            };
            match (input, self.last) {
                (Ok(_), None) => self.answer(sequence, Refusal::NoSession)?,
                (Ok(input), Some((last, _))) if sequence == last.wrapping_add(1) => {
                    self.last = Some((sequence, crc));
                    self.begin(sequence);
                    return Ok(input);
                }
                (Ok(_), Some(_)) => {}
                (Err(refusal), _) => {
                    self.turn_away(sequence, refusal)?;
                }
            }
        }
        Ok(Input::End)
    }

    fn start(&mut self) {
        self.machine.start();
    }

    fn stop(&mut self) -> u32 {
        self.machine.stop()
    }

    fn token(&mut self, token: TokenReport<'_>, stream: &mut View<'_, '_, '_>) -> Result<(), P::Error> {
        if self.pending {
            self.write_token(token, stream);
        }
        Ok(())
    }

    fn report(&mut self, report: Report) -> Result<(), P::Error> {
        if let Report::Ready(ready) = report {
            self.ready = Some(ready);
        } else if self.pending {
            match report {
                Report::Verdict(Verdict { class, logit, tokens }) => {
                    Item::Verdict { class, logit: logit.to_bits(), tokens }.write(&mut self.response);
                }
                Report::Summary(Summary { texts, tokens, digest }) => {
                    let digest = digest.value().to_le_bytes();
                    Item::Summary { texts, tokens, digest }.write(&mut self.response);
                    self.send()?;
                }
                Report::Ready(_) => {}
            }
        }
        Ok(())
    }
}

/// FNV-1a with 32 bits.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
