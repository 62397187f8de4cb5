//! What host and board say to each other, in postcard's format.
//!
//! ```text
//! request  = sequence ++ Request              sequence: a number of 32 bits
//! response = sequence ++ Item*
//! ```
//!
//! The board writes its items by hand, which takes a third of the code that serde makes of it; a test holds the two to the same bytes.
//! `docs/link.md` has the bytes. Text is cut so that the answer to every request fits [`RESPONSE_BYTES`]. Between two bytes of a text
//! at most five tokens are undecided (`a.<br /` may still become `a`, `.`, `<`, `br`, `/`), and the last byte of a request decides
//! none that it is part of: 16 bytes complete at most 20 tokens, one byte or the text's end at most 5.

use latch_engine::features::Feature;
use latch_engine::{Error, Precision};
use serde::{Deserialize, Serialize};

use super::frame::Frame;
use crate::app::Stop;

/// The version of the link that this program speaks.
pub const VERSION: u8 = 4;

/// Layers that a trace has a digest of: the first ones of a chain.
pub const TRACED_LAYERS: usize = 4;

/// The most bytes of a text or a series in a request.
pub const TEXT_BYTES: usize = 16;

/// The most bytes of text in a request of a traced session, whose answers are longer.
pub const TRACED_TEXT_BYTES: usize = 1;

/// The longest request: sequence, kind, length, text.
pub const REQUEST_BYTES: usize = SEQUENCE_BYTES + 2 + TEXT_BYTES;

/// The longest sequence number.
const SEQUENCE_BYTES: usize = 5;

/// The longest response: the sequence, five traced tokens, a verdict and a summary.
pub const RESPONSE_BYTES: usize =
    SEQUENCE_BYTES + 5 * (TOKEN_BYTES + 5 * (1 + TRACED_LAYERS)) + VERDICT_BYTES + SUMMARY_BYTES;

/// The longest [`Item::Token`]: kind, logit, ticks.
const TOKEN_BYTES: usize = 1 + 4 + 5;

/// The longest [`Item::Verdict`]: kind, class, logit, tokens.
const VERDICT_BYTES: usize = 1 + 3 + 4 + 5;

/// The longest [`Item::Summary`]: kind, texts, tokens, digest.
const SUMMARY_BYTES: usize = 1 + 5 + 5 + 8;

const _: () = assert!(RESPONSE_BYTES <= 250 && 20 * TOKEN_BYTES < RESPONSE_BYTES);

/// What the host asks for, behind the sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// A session begins, and whatever was before it is forgotten. Answered by [`Item::Info`].
    Hello {
        /// The host's [`VERSION`].
        version: u8,
        /// A number that tells this session from others; never 0.
        session: u32,
        /// True when every token is to be followed by its [`Item::Trace`]s.
        trace: bool,
    },
    /// The next bytes of a text, or of a series' counts (16 bits, little-endian, frame after frame), at most
    /// [`TEXT_BYTES`]; in any chunks. Answered by the tokens that they complete.
    Text(#[serde(borrow)] &'a [u8]),
    /// The text is complete. Answered by the tokens that were still open, and by the verdict.
    EndOfText,
    /// There are no more texts. Answered by the summary.
    End,
}

/// One thing that the board says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item<'a> {
    /// The answer to [`Request::Hello`].
    Info(#[serde(borrow)] Info<'a>),
    /// A token.
    Token {
        /// The bits of its first logit.
        #[serde(with = "postcard::fixint::le")]
        logit: u32,
        /// The board's ticks for it.
        ticks: u32,
    },
    /// One digest of the token before it: first of its bytes, then of every layer's state, see
    /// [`latch_engine::Session::layer_digest`].
    Trace(#[serde(with = "postcard::fixint::le")] u32),
    /// The verdict on a text.
    Verdict {
        /// The class.
        class: u16,
        /// The bits of the logit that decided.
        #[serde(with = "postcard::fixint::le")]
        logit: u32,
        /// Tokens of the text.
        tokens: u32,
    },
    /// The answer to [`Request::End`].
    Summary {
        /// Texts judged since the session began.
        texts: u32,
        /// Tokens in them.
        tokens: u32,
        /// The digest of their logits, as little-endian bytes.
        digest: [u8; 8],
    },
    /// The request was not obeyed.
    Refused(Refusal),
}

impl Item<'_> {
    /// Adds the item to a message, in postcard's format.
    pub fn write<const N: usize>(&self, frame: &mut Frame<N>) {
        match *self {
            Item::Info(info) => {
                frame.raw(&[0, info.version]);
                frame.number(info.session);
                frame.number(info.board.len() as u32);
                frame.raw(info.board.as_bytes());
                frame.number(info.image);
                frame.byte(info.precision as u8);
                frame.number(info.meaning.into());
                frame.byte(info.layers);
                frame.number(info.channels.into());
                frame.number(info.state_bytes);
                frame.byte(info.self_test as u8);
            }
            Item::Token { logit, ticks } => {
                frame.byte(1);
                frame.raw(&logit.to_le_bytes());
                frame.number(ticks);
            }
            Item::Trace(digest) => {
                frame.byte(2);
                frame.raw(&digest.to_le_bytes());
            }
            Item::Verdict { class, logit, tokens } => {
                frame.byte(3);
                frame.number(class.into());
                frame.raw(&logit.to_le_bytes());
                frame.number(tokens);
            }
            Item::Summary { texts, tokens, digest } => {
                frame.byte(4);
                frame.number(texts);
                frame.number(tokens);
                frame.raw(&digest);
            }
            Item::Refused(refusal) => {
                frame.raw(&[5, refusal.code()]);
                match refusal {
                    Refusal::StateTooSmall { needed, given } => {
                        frame.number(needed);
                        frame.number(given);
                    }
                    Refusal::MissingFeature { feature } => frame.byte(feature),
                    _ => {}
                }
            }
        }
    }
}

/// What a board says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info<'a> {
    /// The board's [`VERSION`].
    pub version: u8,
    /// The session that this answers.
    pub session: u32,
    /// The board's name, at most [`NAME_BYTES`] bytes.
    pub board: &'a str,
    /// The image's CRC-32.
    pub image: u32,
    /// The precision of its weights.
    pub precision: Precision,
    /// What its outputs mean, see [`crate::board::Meaning::to_number`].
    pub meaning: u16,
    /// Its layers behind the input.
    pub layers: u8,
    /// Values of a frame of samples; 0 of an image of texts.
    pub channels: u16,
    /// Bytes of a stream's state.
    pub state_bytes: u32,
    /// What the image's self-test came to on this board. After a failure only traced sessions begin.
    pub self_test: SelfTest,
}

/// What the image's self-test came to, see [`latch_engine::Model::self_test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelfTest {
    /// The image has none.
    Absent,
    /// The board computes what the image's writer computed.
    Passed,
    /// It does not.
    Failed,
}

impl From<latch_engine::SelfTest> for SelfTest {
    fn from(outcome: latch_engine::SelfTest) -> Self {
        match outcome {
            latch_engine::SelfTest::Absent => SelfTest::Absent,
            latch_engine::SelfTest::Passed => SelfTest::Passed,
            latch_engine::SelfTest::Failed { .. } => SelfTest::Failed,
        }
    }
}

/// The longest name of a board.
pub const NAME_BYTES: usize = 32;

/// Why a board does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// No session has begun since the board was switched on.
    #[error("the board has been reset since the session began; begin again")]
    NoSession,
    /// The checksum was right, and the request makes no sense.
    #[error(
        "the board's firmware does not know the request; build firmware and `latch-sim` from the same version of Latch"
    )]
    BadRequest,
    /// The answer does not fit a response.
    #[error("the answer does not fit a response; send fewer bytes of text in a request")]
    TooLong,
    /// The slot is empty, or holds something else.
    #[error("there is no image in the board's flash; program one into the slot")]
    NoImage,
    /// The image was cut or changed.
    #[error("the image in the board's flash is damaged or cut off; program it again")]
    Damaged,
    /// The image's format is newer than the firmware.
    #[error(
        "the image in the board's flash has a newer format than the firmware reads; build the firmware from the image's version of Latch"
    )]
    NewerVersion,
    /// The slot does not start on a multiple of 16.
    #[error("the image lies at an address that is no multiple of 16; align the slot")]
    Misaligned,
    /// The image contradicts itself, or describes what the firmware does not know.
    #[error(
        "the image in the board's flash is not one that the firmware understands; export it again, with the firmware's version of Latch"
    )]
    Malformed,
    /// The firmware was built without something that the image needs.
    #[error("the image needs the feature `{}`, which the firmware was built without; build it with that feature", feature_name(*feature))]
    MissingFeature {
        /// Its place in [`Feature::ALL`].
        feature: u8,
    },
    /// The image reads ids.
    #[error("the image reads ids, and neither texts nor samples; export a model of one of these")]
    NoInput,
    /// The board computes something else than the image's writer did.
    #[error(
        "the image's self-test fails on the board: it computes something else than the host; `latch-sim verify` says where, if the board can be emulated"
    )]
    SelfTest,
    /// The firmware keeps too little memory for a stream.
    #[error(
        "a stream of this image needs {needed} bytes of state and the firmware keeps {given}; build the firmware with LATCH_STATE_BYTES={needed}"
    )]
    StateTooSmall {
        /// Bytes that the image needs.
        needed: u32,
        /// Bytes that there are.
        given: u32,
    },
}

/// The name of a feature by its place.
fn feature_name(feature: u8) -> &'static str {
    Feature::ALL.get(usize::from(feature)).map_or("of a newer engine", |feature| feature.name())
}

impl Refusal {
    /// Its number, in the order above.
    fn code(self) -> u8 {
        match self {
            Refusal::NoSession => 0,
            Refusal::BadRequest => 1,
            Refusal::TooLong => 2,
            Refusal::NoImage => 3,
            Refusal::Damaged => 4,
            Refusal::NewerVersion => 5,
            Refusal::Misaligned => 6,
            Refusal::Malformed => 7,
            Refusal::MissingFeature { .. } => 8,
            Refusal::NoInput => 9,
            Refusal::SelfTest => 10,
            Refusal::StateTooSmall { .. } => 11,
        }
    }

    /// What a board says when its program has stopped; `None` where the board itself failed and can say no more.
    pub fn of<E>(stop: &Stop<E>) -> Option<Self> {
        Some(match stop {
            Stop::Board(_) => return None,
            Stop::NoInput => Refusal::NoInput,
            Stop::Image(error) => match *error {
                Error::NotAnImage => Refusal::NoImage,
                Error::HeaderTruncated { .. } | Error::Truncated { .. } | Error::Checksum { .. } => Refusal::Damaged,
                Error::NewerVersion { .. } => Refusal::NewerVersion,
                Error::Misaligned => Refusal::Misaligned,
                Error::OlderVersion { .. } => Refusal::Malformed,
                Error::Feature { feature } => Refusal::MissingFeature { feature: feature as u8 },
                Error::StateTooSmall { needed, given } => {
                    Refusal::StateTooSmall { needed: needed as u32, given: given as u32 }
                }
                _ => Refusal::Malformed,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FRAME_OVERHEAD, Reader};
    use super::*;

    #[test]
    fn every_item_is_written_as_postcard_writes_it_and_the_longest_as_long_as_stated() {
        let info = Info {
            version: VERSION,
            session: u32::MAX,
            board: "a board of the longest name there",
            image: 300,
            precision: Precision::Int8,
            meaning: 256 << 2 | 3,
            layers: 4,
            channels: 64,
            state_bytes: 70_000,
            self_test: SelfTest::Failed,
        };
        let mut items = vec![
            Item::Info(info),
            Item::Info(Info { precision: Precision::F16, board: "", self_test: SelfTest::Passed, ..info }),
            Item::Info(Info { precision: Precision::F32, session: 0, self_test: SelfTest::Absent, ..info }),
            Item::Token { logit: u32::MAX, ticks: u32::MAX },
            Item::Token { logit: 1, ticks: 0 },
            Item::Trace(u32::MAX - 1),
            Item::Verdict { class: u16::MAX, logit: u32::MAX, tokens: u32::MAX },
            Item::Summary { texts: u32::MAX, tokens: u32::MAX, digest: [1, 2, 3, 4, 5, 6, 7, 0xFF] },
            Item::Refused(Refusal::StateTooSmall { needed: 4000, given: 1 }),
        ];
        items.extend(
            [
                Refusal::NoSession,
                Refusal::BadRequest,
                Refusal::TooLong,
                Refusal::NoImage,
                Refusal::Damaged,
                Refusal::NewerVersion,
                Refusal::Misaligned,
                Refusal::Malformed,
                Refusal::MissingFeature { feature: 3 },
                Refusal::NoInput,
                Refusal::SelfTest,
            ]
            .map(Item::Refused),
        );
        let written = |item: &Item<'_>| {
            let mut frame = Frame::<{ 100 + FRAME_OVERHEAD }>::new();
            item.write(&mut frame);
            let mut reader = Reader::<104>::new();
            frame.seal(7).iter().find_map(|&byte| Some(reader.take(byte)?.bytes.to_vec())).expect("the frame is sound")
        };
        for item in &items {
            assert_eq!(written(item), postcard::to_stdvec(item).expect("an item can be written"), "{item:?}");
        }
        assert_eq!([3, 6, 7].map(|at| written(&items[at]).len()), [TOKEN_BYTES, VERDICT_BYTES, SUMMARY_BYTES]);
    }
}
