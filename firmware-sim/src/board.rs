//! What the program asks of the machine it runs on. Everything that differs between a host and a chip is behind this trait.

use latch_engine::image::header::{Answer, AnswerKind};
use latch_engine::{Digest, Logit, Model, Precision, SelfTest, View};

/// A machine with an image in its memory, text or samples coming in, a stopwatch, and somewhere to report to.
///
/// `'flash` is how long the flash stays as it is: `'static` on a chip, the simulated memory's life on the host.
pub trait Board<'flash> {
    /// What can go wrong with input and output. [`core::convert::Infallible`] where nothing can.
    type Error;

    /// The slot that holds the image, from its first byte on; it may be longer than the image. Read in place, never copied: it
    /// must start on a multiple of [`latch_engine::image::ALIGNMENT`].
    fn image(&self) -> &'flash [u8];

    /// Waits for the next input and puts bytes of a text, or of a series' counts, at the front of `buffer`, at most as
    /// many as it holds.
    ///
    /// # Errors
    /// When the input fails for good; the program stops.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Input, Self::Error>;

    /// Starts the stopwatch: from here on the engine works. Strictly alternates with [`Board::stop`].
    fn start(&mut self);

    /// Stops the stopwatch and says how long it has run since [`Board::start`], in ticks of the board's own length.
    fn stop(&mut self) -> u32;

    /// Takes a report. The time it takes is not counted to any token.
    ///
    /// # Errors
    /// When the output fails for good; the program stops.
    fn report(&mut self, report: Report) -> Result<(), Self::Error>;

    /// Takes a token that the network has read. `stream` is the stream after it, for a board that wants to see more. The time it takes is not counted to any token.
    ///
    /// # Errors
    /// When the output fails for good; the program stops.
    fn token(&mut self, token: TokenReport<'_>, stream: &mut View<'_, '_, '_>) -> Result<(), Self::Error>;
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// So many bytes at the front of the buffer. 0 is no end: it says that there is nothing yet.
    Bytes(usize),
    /// The text is complete; another one may follow.
    EndOfText,
    /// Another host has taken over: what has come so far is forgotten, the totals included, and an open text gets no verdict.
    Restart,
    /// There is no more input. Ends a text whose bytes have come without an end.
    End,
}

/// What the program has to say.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// Once, before anything is read: the image has been opened.
    Ready(Ready),
    /// After the end of every text.
    Verdict(Verdict),
    /// After the end of the input; the program's last word.
    Summary(Summary),
}

/// The opened image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The CRC-32 at the image's end, which names it.
    pub image: u32,
    /// The precision of its weights, which says of which kind its logits are.
    pub precision: Precision,
    /// What its outputs mean.
    pub meaning: Meaning,
    /// Layers behind the input.
    pub layers: u8,
    /// Values of a frame; 0 of a model of texts.
    pub channels: u16,
    /// Bytes of a stream's state.
    pub state_bytes: u32,
    /// Whether this machine computes what the image's writer computed. A board must not give out answers after a failure, unless for
    /// finding its cause.
    pub self_test: SelfTest,
}

/// What a model's outputs mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Outputs: one of a verdict of two classes and of a value, else one a class.
    pub outputs: u16,
    /// They are values, and no logits of classes.
    pub values: bool,
    /// Every token has an answer of its own.
    pub each_step: bool,
}

impl Meaning {
    /// That of a model.
    pub fn of(model: &Model<'_>) -> Self {
        let Answer { kind, each_step } = model.answer();
        Meaning { outputs: model.outputs(), values: kind == AnswerKind::Values, each_step }
    }

    /// As the link carries it: `values`, `each_step`, and the outputs above these two bits.
    pub fn to_number(self) -> u16 {
        u16::from(self.values) | u16::from(self.each_step) << 1 | self.outputs << 2
    }

    /// What [`Meaning::to_number`] has made.
    pub fn from_number(number: u16) -> Self {
        Meaning { outputs: number >> 2, values: number & 1 == 1, each_step: number >> 1 & 1 == 1 }
    }

    /// The names of the classes: those of the image, or their numbers where it has none. Nothing of values.
    #[cfg(feature = "std")]
    pub fn class_names(self, image: &latch_engine::image::Image<'_>) -> std::vec::Vec<std::string::String> {
        let count = self.task().classes() as usize;
        let names: std::vec::Vec<_> = image.class_names().map(std::string::String::from).collect();
        if names.len() == count { names } else { latch_data::dataset::numbered(count) }
    }

    /// The task of labels that such answers can be judged by.
    #[cfg(feature = "std")]
    pub fn task(self) -> latch_data::dataset::Task {
        latch_data::dataset::Task::of_answers(self.outputs.into(), self.values, self.each_step)
    }
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct TokenReport<'a> {
    /// Its bytes: lower-case UTF-8. Empty of a frame.
    pub text: &'a [u8],
    /// From its first byte to its logit by the board's stopwatch: tokenizer, vocabulary, embedding, layers and head, together with
    /// the words before it that the vocabulary left out. Waiting for input and reporting are not in it. Wraps at 32 bits.
    pub ticks: u32,
    /// The first logit after it.
    pub logit: Logit,
}

/// The answer to a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The class: of a model with one output 1 where the logit is not negative, else 0; of one with more, the output with the
    /// largest logit, the first of equals; of a model of values 0.
    pub class: u16,
    /// The logit that decided: the only one, or the largest; or the value.
    pub logit: Logit,
    /// Tokens of the text that the network read.
    pub tokens: u32,
}

/// What has been done when the input ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Texts judged; stops at the largest number.
    pub texts: u32,
    /// Tokens that the network read, over all texts; stops at the largest number.
    pub tokens: u32,
    /// The digest of all logits after every token, in order, over all texts.
    pub digest: Digest,
}
