//! The board's side of the link: a [`Board`] over a port.
//!
//! The host asks, the board answers, one response for each request. A request that comes again, because its response was lost, is
//! answered from the buffer of the last response: every byte of text is read exactly once. Frames that were damaged, requests of another
//! session, and requests that are older than the last one, are passed over.
//!
//! A port is [`embedded_io::Read`] and [`embedded_io::Write`], as chips' libraries implement them: reading waits for at least one byte, and 0
//! says that none will come any more.
//!
//! A firmware is [`LinkBoard::serve`] over its chip. On a serial line that never ends; over files it ends with the file.

use embedded_io::{Read, Write};
use latch_engine::{SelfTest, View};

use super::frame::{FRAME_OVERHEAD, Frame, Reader};
use super::message::{Info, Item, REQUEST_BYTES, RESPONSE_BYTES, Refusal, Request, TRACED_LAYERS, VERSION};
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
    last: Option<(u32, u32)>,
    /// The session's number; 0 before the first one.
    session: u32,
    /// What the response is sealed with: the session, or 0 where the host cannot know it.
    seal: u32,
    trace: bool,
    over: bool,
    ready: Option<Ready>,
}

impl<'flash, P: Read + Write, M: Machine<'flash>> LinkBoard<P, M> {
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
            session: 0,
            seal: 0,
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
    #[inline(never)]
    pub fn refuse(&mut self, refusal: Refusal) -> Result<(), P::Error> {
        while let Some(byte) = self.byte()? {
            let Some(message) = self.reader.take(byte) else { continue };
            if let Some((sequence, body)) = message.numbered()
                && postcard::from_bytes::<Request<'_>>(body).is_ok()
            {
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
    fn begin(&mut self, sequence: u32, seal: u32) {
        self.response.clear();
        self.response.number(sequence);
        self.seal = seal;
        self.pending = true;
    }

    /// Sends the response in the making, if there is one.
    fn send(&mut self) -> Result<(), P::Error> {
        if core::mem::take(&mut self.pending) {
            if self.response.is_full() {
                self.response.clear();
                self.response.number(self.last.map_or(0, |(sequence, _)| sequence));
                Item::Refused(Refusal::TooLong).write(&mut self.response);
            }
            let frame = self.response.seal(self.seal);
            self.port.write_all(frame)?;
            self.port.flush()?;
        }
        Ok(())
    }

    /// Sends a refusal.
    fn answer(&mut self, sequence: u32, refusal: Refusal) -> Result<(), P::Error> {
        self.begin(sequence, 0);
        Item::Refused(refusal).write(&mut self.response);
        self.send()
    }

    /// Sends a refusal that ends the session, if there was one.
    fn turn_away(&mut self, sequence: u32, refusal: Refusal) -> Result<(), P::Error> {
        self.last = None;
        self.session = 0;
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
                channels: ready.channels,
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

impl<'flash, P: Read + Write, M: Machine<'flash>> Board<'flash> for LinkBoard<P, M> {
    type Error = P::Error;

    fn image(&self) -> &'flash [u8] {
        self.machine.image()
    }

    // Not inlined: what a request takes of the stack shall not lie there while its tokens are read.
    #[inline(never)]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Input, P::Error> {
        self.send()?;
        while let Some(byte) = self.byte()? {
            let Some(message) = self.reader.take(byte) else { continue };
            let (session, crc) = (message.session, message.crc);
            let Some((sequence, body)) = message.numbered() else { continue };
            let request = postcard::from_bytes(body);
            // A greeting is sealed with no session, all else with the one that it began.
            let hello = matches!(request, Ok(Request::Hello { .. }));
            if session != if hello { 0 } else { self.session } {
                // Before a session begins anything may be damaged; that a host goes on after a reset can be told from it alone.
                if !hello && self.session == 0 && request.is_ok() {
                    self.answer(sequence, Refusal::NoSession)?;
                }
                continue;
            }
            if self.last == Some((sequence, crc)) {
                self.port.write_all(self.response.bytes())?;
                self.port.flush()?;
                continue;
            }
            let input = match request {
                Ok(Request::Hello { session, version, .. }) if session == 0 || version != VERSION => {
                    // In the clear, so that a host of any version can read which one this is.
                    self.begin(sequence, 0);
                    self.greet(session);
                    self.send()?;
                    continue;
                }
                Ok(Request::Hello { session, trace, .. }) => {
                    if self.session == session {
                        continue;
                    }
                    if !trace && self.ready.is_some_and(|ready| matches!(ready.self_test, SelfTest::Failed { .. })) {
                        self.turn_away(sequence, Refusal::SelfTest)?;
                        continue;
                    }
                    self.session = session;
                    self.trace = trace;
                    self.last = Some((sequence, crc));
                    self.begin(sequence, session);
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
                    self.begin(sequence, self.session);
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
