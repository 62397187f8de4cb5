//! A whole session as two files: all requests in one, all responses in the other.
//!
//! For a board whose port is a pair of files, where nothing is lost; the responses are checked all the same.

use super::{Answer, Info, LinkError, Response, Summary, Token, seal, text_bytes};
use crate::link::frame::{Frame, Reader};
use crate::link::message::{RESPONSE_BYTES, Request, VERSION};

/// The number of the only session in a file.
const SESSION: u32 = 1;

/// The requests of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Their frames, one after the other.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub requests: usize,
}

impl Batch {
    /// A session with these texts. With `trace` every token comes with its digests.
    pub fn new<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>, trace: bool) -> Self {
        let mut batch = Batch { bytes: Vec::new(), requests: 0 };
        batch.add(Request::Hello { version: VERSION, session: SESSION, trace });
        for text in texts {
            for piece in text.as_ref().chunks(text_bytes(trace)) {
                batch.add(Request::Text(piece));
            }
            batch.add(Request::EndOfText);
        }
        batch.add(Request::End);
        batch
    }

    fn add(&mut self, request: Request<'_>) {
        let mut frame = Frame::new();
        self.bytes.extend(seal(&mut frame, SESSION, self.requests as u32, request));
        self.requests += 1;
    }

    /// Reads the responses to these requests.
    ///
    /// # Errors
    /// [`LinkError::Refused`], [`LinkError::Version`] and [`LinkError::Nonsense`] as the board gives cause, [`LinkError::Cut`] when
    /// responses are missing.
    pub fn read(&self, bytes: &[u8]) -> Result<Transcript, LinkError> {
        let mut reader = Reader::<{ RESPONSE_BYTES + 4 }>::new();
        let (mut info, mut answers, mut tokens) = (None, Vec::new(), Vec::<Token>::new());
        let mut count = 0;
        for &byte in bytes {
            let Some(message) = reader.take(byte) else { continue };
            let Some((sequence, items)) = message.numbered() else { continue };
            if message.session == 0 {
                // What a board says without a session is why it has none.
                Response::parse(items, None)?;
            }
            if message.session != SESSION {
                continue;
            }
            if sequence as usize != count {
                return Err(LinkError::Nonsense { what: "comes out of turn" });
            }
            count += 1;
            let response = Response::parse(items, info.as_ref().map(|info: &Info| info.precision))?;
            if info.is_none() {
                info = Some(response.into_info(SESSION)?);
                continue;
            }
            tokens.extend(response.tokens);
            if let Some(verdict) = response.verdict {
                answers.push(Answer { tokens: std::mem::take(&mut tokens), verdict });
            }
            if let (Some(summary), Some(info)) = (response.summary, info.clone()) {
                return Ok(Transcript { info, answers, summary });
            }
        }
        Err(LinkError::Cut { answers: count, requests: self.requests })
    }
}

/// What a board said in a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// The board and its image.
    pub info: Info,
    /// Its answers, in the order of the texts.
    pub answers: Vec<Answer>,
    /// Its totals.
    pub summary: Summary,
}
