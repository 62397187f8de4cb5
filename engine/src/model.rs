//! An opened image made ready to run: its chain of layers, joined with the kernels.
//!
//! A [`Model`] is shared and immutable. A [`State`](crate::State) is what one stream remembers: a value of a fixed size, the same bytes on every
//! machine. A [`Session`](crate::Session) is a model with a state. There is no arithmetic here that a kernel could do, no `unsafe` and no choice by architecture.

mod chain;
#[cfg(not(latch_backend))]
mod packed;
mod self_test;

pub use self_test::{SELF_TEST_STEPS, SelfTest};

use half::f16;

use crate::error::Error;
use crate::features::{FLOAT, INT16, NGRAMS, Part, START, TEXT};
use crate::image::Image;
use crate::image::header::{Answer, Description, Earlies, Input};
use crate::input::characters::Characters;
use crate::input::ngrams;
use crate::input::text::{Text, Tokens, Unknown};
use crate::input::tokenizer::{Token, Tokenizer};
use crate::input::vocabulary::Vocabulary;
use crate::kernels::AnyBackend;
use crate::numbers::Precision;
use crate::state::Layout;

pub(crate) use chain::Chain;

/// A model over an opened image: typed tensors that borrow the image's bytes.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    vocabulary: Option<Vocabulary<'a>>,
    characters: Characters<'a>,
    unknown: Unknown,
    tokens: Tokens,
    ngrams: Option<ngrams::Table<'a>>,
    pub(crate) layout: Layout,
    pub(crate) weights: Weights<'a>,
    pub(crate) backend: AnyBackend,
    self_test: Option<u64>,
    pub(crate) crc: u32,
    precision: Precision,
    outputs: u16,
    layers: u8,
    answer: Answer,
    early: Earlies<'a>,
    start: Part<&'a [u32], { START as usize }>,
}

/// The chain in each precision.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives as long as the program, and there is no heap")]
pub(crate) enum Weights<'a> {
    F32(Chain<'a, f32>),
    F16(Chain<'a, f16>),
    Int8(Chain<'a, i8>),
    Int16(Chain<'a, i16>),
}

/// Runs an expression with the chain of a model's precision; what this build cannot run gives `$absent`, and no session is made of it.
macro_rules! with_chain {
    ($weights:expr, $chain:ident => $run:expr, $absent:expr) => {
        match $weights {
            $crate::model::Weights::Int8($chain) => $run,
            $crate::model::Weights::Int16($chain) if $crate::features::INT16 => $run,
            $crate::model::Weights::F32($chain) if $crate::features::FLOAT => $run,
            $crate::model::Weights::F16($chain) if $crate::features::FLOAT => $run,
            _ => $absent,
        }
    };
}
pub(crate) use with_chain;

impl<'a> Model<'a> {
    /// Cuts an image into typed tensors and takes the widest backend that this machine has.
    pub fn new(image: &Image<'a>) -> Self {
        let mut model = Self::nothing();
        model.fill(image);
        model
    }

    /// The same in memory of the caller's, for machines with a small stack.
    pub fn new_in<'p>(place: &'p mut Option<Self>, image: &Image<'a>) -> &'p mut Self {
        let model = place.insert(Self::nothing());
        model.fill(image);
        model
    }

    /// A model of no image. No constant: a chip would keep its zeros in flash.
    #[inline(always)]
    fn nothing() -> Self {
        Model {
            vocabulary: None,
            characters: Characters::NONE,
            unknown: Unknown::Skip,
            tokens: Tokens::Words,
            ngrams: None,
            layout: Layout::NOTHING,
            weights: Weights::Int8(Chain::nothing()),
            backend: AnyBackend::BASE,
            self_test: None,
            crc: 0,
            precision: Precision::Int8,
            outputs: 0,
            layers: 0,
            answer: Answer { kind: crate::image::header::AnswerKind::Classes, each_step: false },
            early: Earlies::NONE,
            start: Part::NONE,
        }
    }

    #[inline(never)]
    fn fill(&mut self, image: &Image<'a>) {
        let description = image.description();
        self.set(image, &description);
        // Opening has done all of this once already, so that nothing fails here.
        let _ = self.cut(image, &description);
    }

    /// What is known without a look at the sections. Never inlined, as [`Self::cut`]: neither needs the other's stack.
    #[inline(never)]
    fn set(&mut self, image: &Image<'a>, description: &Description) {
        self.layout = Layout::of(description);
        self.backend = AnyBackend::detect();
        self.self_test = image.self_test();
        self.crc = image.crc();
        self.precision = description.precision;
        self.outputs = description.outputs();
        self.layers = description.layers.count() as u8;
        self.answer = description.answer();
        self.early = image.early();
        if TEXT && let Input::Text(Text { tokens, unknown, .. }) = description.input {
            (self.tokens, self.unknown) = (tokens, unknown);
            self.characters = image.characters();
        }
    }

    /// Cuts the vocabulary and all layers off the sections.
    #[inline(never)]
    fn cut(&mut self, image: &Image<'a>, description: &Description) -> Result<(), Error> {
        let mut cursor = image.cursor();
        if TEXT {
            self.vocabulary = Image::open_vocabulary(description, &mut cursor)?;
        }
        match description.precision {
            Precision::F32 if FLOAT => self.weights = Weights::F32(Chain::nothing()),
            Precision::F16 if FLOAT => self.weights = Weights::F16(Chain::nothing()),
            Precision::Int16 if INT16 => self.weights = Weights::Int16(Chain::nothing()),
            _ => {}
        }
        with_chain!(&mut self.weights, chain => chain.fill(description, &mut cursor)?, ());
        if NGRAMS && let Some(shape) = description.ngrams {
            let reader = ngrams::Reader { outputs: description.outputs(), each_step: description.answer().each_step };
            self.ngrams = ngrams::Table::new(shape, reader, cursor.tensor(Some(shape.section()))?);
        }
        if START && let Some(section) = description.start_section() {
            self.start.put(cursor.tensor(Some(section))?);
        }
        Ok(())
    }

    /// The same model on another backend; for tests and for comparing speeds. Weights that `Model::pack` has packed are forgotten: they
    /// are in the order of the backend before.
    #[must_use]
    pub fn with_backend(mut self, backend: AnyBackend) -> Self {
        self.backend = backend;
        if let Weights::Int8(chain) = &mut self.weights {
            chain.forget_packed();
        }
        self
    }

    /// The backend that runs this model.
    pub fn backend(&self) -> AnyBackend {
        self.backend
    }

    /// Bytes of state that a stream of this model needs: the least `N` of [`State<N>`](crate::State).
    pub fn state_bytes(&self) -> usize {
        self.layout.bytes
    }

    /// Type of the weights.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Number of outputs: one of a verdict of two classes, else one a class or a value.
    pub fn outputs(&self) -> u16 {
        self.outputs
    }

    /// Number of layers behind the embedding.
    pub fn layers(&self) -> u8 {
        self.layers
    }

    /// Values of a frame of samples; 0 of a model that reads none.
    pub fn channels(&self) -> u16 {
        with_chain!(&self.weights, chain => chain.channels(), 0)
    }

    /// Steps in front of the first that valid convolutions and largest values answer: a sequence of no more steps has no answer.
    pub fn unanswered(&self) -> u32 {
        with_chain!(&self.weights, chain => chain.unanswered(&self.layout), 0)
    }

    /// The count that stands for a value of a channel, which is in the unit of the training data: what an ADC would
    /// give. 0 of a model that reads no such channel. An integer model gives the same bits for both. Computes with
    /// floats.
    pub fn count_of(&self, channel: u16, value: f32) -> i16 {
        with_chain!(&self.weights, chain => chain.count_of(channel, value), 0)
    }

    /// Number of ids that the network reads.
    pub fn ids(&self) -> u32 {
        with_chain!(&self.weights, chain => chain.embedding.ids(), 0)
    }

    /// What the outputs mean.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// The thresholds of an early exit, by rising tokens and falling logits; none where the image has none.
    pub fn early(&self) -> Earlies<'a> {
        self.early
    }

    /// The vocabulary of a text model.
    pub fn vocabulary(&self) -> Option<&Vocabulary<'a>> {
        self.vocabulary.as_ref()
    }

    /// The n-grams beside the network.
    pub(crate) fn ngrams(&self) -> Option<&ngrams::Table<'a>> {
        if NGRAMS { self.ngrams.as_ref() } else { None }
    }

    /// The beginning of a text; `None` where the model reads none.
    pub(crate) fn tokenizer(&self) -> Option<Tokenizer> {
        if TEXT && self.vocabulary.is_some() { Some(Tokenizer::of(self.tokens)) } else { None }
    }

    /// The words in which a stream begins behind its header; none where it begins with nothing.
    pub(crate) fn start(&self) -> &'a [u32] {
        self.start.get().copied().unwrap_or_default()
    }

    /// What the characters beyond ASCII are in a text.
    pub fn characters(&self) -> Characters<'a> {
        self.characters
    }

    /// What a token of the text is.
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// The id that the network reads for a token; `None` for one that it leaves out.
    #[cfg_attr(latch_backend, inline(never))]
    pub fn token_id(&self, token: Token<'_>) -> Option<u32> {
        let vocabulary = self.vocabulary.as_ref()?;
        let id = vocabulary.id(token.bytes());
        match token {
            Token::Word(word) => id.or_else(|| self.unknown.id(vocabulary.len() as u32, word)),
            Token::Mark(_) => id,
        }
    }

    /// Where the state of a layer lies; `None` where it has none, or there is no such layer.
    pub(crate) fn layer_bytes(&self, layer: usize) -> Option<core::ops::Range<usize>> {
        let start = Layout::HEADER + self.layout.history + self.layout.kept;
        with_chain!(&self.weights, chain => chain.layer_bytes(layer, start, self.layout.steps), None)
    }
}
