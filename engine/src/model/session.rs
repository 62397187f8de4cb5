//! A model with a state: one stream, token by token.

use heapless::Vec;

#[cfg(feature = "fold")]
use super::Int8;
#[cfg(feature = "extended")]
use super::bag;
#[cfg(feature = "float")]
use super::state::{Header, Memory};
use super::state::{StateBytes, ngram_bytes};
use super::{Logit, Model, Weights, lstm};
use crate::image::error::Error;
#[cfg(feature = "extended")]
use crate::image::manifest::Units;
#[cfg(feature = "extended")]
use crate::input::ngrams;
use crate::input::text::{First, Token, Tokenizer};
use crate::kernels::{Backend, MANY, dispatch};

/// A stream over a model: borrows the model, which many sessions share, and the memory of its state, which is its own.
#[derive(Debug)]
pub struct Session<'s, 'm, 'a> {
    model: &'m Model<'a>,
    state: StateBytes<'s>,
}

impl<'s, 'm, 'a> Session<'s, 'm, 'a> {
    /// With the stream as it stands in `state`, unchecked.
    pub(super) fn over(model: &'m Model<'a>, state: &'s mut [u8]) -> Result<Self, Error> {
        if !model.is_available() {
            return Err(Error::PrecisionUnavailable);
        }
        Ok(Session { model, state: StateBytes::new(model, state)? })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.state.check(self.model)
    }

    /// Back to the beginning: as a new session.
    pub fn reset(&mut self) {
        self.state.begin(self.model);
    }

    /// The state's bytes, [`Model::state_bytes`] of them: what [`Model::resume`] goes on from, on this machine or another.
    pub fn state(&self) -> &[u8] {
        self.state.as_bytes()
    }

    /// What of the state means something between two tokens: the header, the layers and the pool, then the sums over n-grams. Integer models
    /// have the same bits here on every backend; the scratch of a step, which lies between, is each backend's own.
    pub fn remembered(&self) -> (&[u8], &[u8]) {
        let state = self.state.as_bytes();
        let scratch = size_of::<super::state::Header>() + self.model.scratch_start();
        let ngrams = state.len().saturating_sub(ngram_bytes(&self.model.shape));
        (state.get(..scratch).unwrap_or_default(), state.get(ngrams..).unwrap_or_default())
    }

    /// A digest of a layer's cell and hidden state: FNV-1a with 32 bits over their bytes as they lie in the state. Two machines
    /// whose digests differ part ways in this layer or before it. That of no bytes where there is no such layer.
    pub fn layer_digest(&self, layer: usize) -> u32 {
        let bytes = self.state.layer(&self.model.shape, layer);
        bytes.iter().fold(0x811C_9DC5, |digest, &byte| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// The model.
    pub fn model(&self) -> &'m Model<'a> {
        self.model
    }

    /// Tokens that the network has read since the beginning.
    pub fn tokens(&self) -> u32 {
        self.state.header().map_or(0, |header| header.tokens)
    }

    /// Reads one id. An id outside the embedding is left out, and `false` says so.
    pub fn push_token(&mut self, id: u32) -> bool {
        dispatch!(self.model.backend, backend => self.step(backend, id))
    }

    /// Reads ids in order, with one choice of the backend for all of them. Returns how many were inside the embedding.
    pub fn push_tokens(&mut self, ids: &[u32]) -> usize {
        dispatch!(self.model.backend, backend => self.run_tokens(backend, ids))
    }

    fn run_tokens<B: Backend>(&mut self, backend: B, ids: &[u32]) -> usize {
        #[cfg(feature = "fold")]
        let mut next = ids.iter().skip(1);
        ids.iter()
            .filter(|&&id| {
                #[cfg(feature = "fold")]
                if let Some(&next) = next.next() {
                    self.model.prefetch(backend, next);
                }
                self.step(backend, id)
            })
            .count()
    }

    /// Reads bytes of UTF-8 text in any chunks. A model whose input is no text leaves them out.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.push_bytes_each(bytes, |_, _| ());
    }

    /// As [`Session::push_bytes`], and calls `each` with the session and the token's text after every token that the network read.
    pub fn push_bytes_each(&mut self, bytes: &[u8], mut each: impl FnMut(&Self, &[u8])) {
        self.run_text(|tokenizer, emit| tokenizer.push_each(bytes, emit), &mut each);
    }

    /// Ends the text: reads the word that was still open. The stream may go on afterwards with another text.
    pub fn finish(&mut self) {
        self.finish_each(|_, _| ());
    }

    /// As [`Session::finish`], and calls `each` as [`Session::push_bytes_each`] does.
    pub fn finish_each(&mut self, mut each: impl FnMut(&Self, &[u8])) {
        self.run_text(|tokenizer, emit| tokenizer.finish_each(emit), &mut each);
    }

    fn run_text(
        &mut self,
        feed: impl FnOnce(&mut Tokenizer, &mut dyn FnMut(Token<'_>, First)),
        each: &mut impl FnMut(&Self, &[u8]),
    ) {
        dispatch!(self.model.backend, backend => self.run_text_on(backend, feed, each));
    }

    fn run_text_on<B: Backend>(
        &mut self,
        backend: B,
        feed: impl FnOnce(&mut Tokenizer, &mut dyn FnMut(Token<'_>, First)),
        each: &mut impl FnMut(&Self, &[u8]),
    ) {
        let Some(mut tokenizer) = self.state.header().map(|header| header.tokenizer) else { return };
        #[cfg(feature = "extended")]
        let units = tokenizer.units();
        feed(&mut tokenizer, &mut |token, _first| {
            #[cfg(feature = "extended")]
            if let Some(table) = &self.model.ngrams
                && let Some((sum, history)) = self.state.ngrams_mut(&self.model.shape)
            {
                sum.push(table, history, ngrams::token_hash(token.bytes(), units == Units::Syllables && _first));
            }
            if let Some(id) = self.model.token_id(token)
                && self.step(backend, id)
            {
                each(self, token.bytes());
            }
        });
        if let Some(header) = self.state.header_mut() {
            header.tokenizer = tokenizer;
        }
    }

    /// One token: embedding row, LSTM layers, running readout.
    #[inline]
    fn step<B: Backend>(&mut self, backend: B, id: u32) -> bool {
        let shape = (&self.model.shape, self.model.scratch_start());
        let Some((header, memory)) = self.state.split() else { return false };
        match &self.model.weights {
            #[cfg(feature = "extended")]
            Weights::Int8(model) if shape.0.widens() => super::nibbles::step(backend, model, shape, id, header, memory),
            #[cfg(feature = "float")]
            Weights::F32(model) => step_float(backend, model, shape, id, header, memory),
            #[cfg(feature = "float")]
            Weights::F16(model) => step_float(backend, model, shape, id, header, memory),
            #[cfg(feature = "fold")]
            Weights::Int8(Int8 { layers, embedding, folded: Some(folded), .. }) => {
                lstm::step_folded_i8(backend, shape, (layers, folded, embedding), id, header, memory)
            }
            Weights::Int8(model) => match model.embedding.row(id) {
                #[cfg(feature = "extended")]
                Some(row) if shape.0.is_bag() => {
                    bag::step_i8(backend, shape.0, row, header, memory);
                    true
                }
                Some(row) => {
                    lstm::step_i8(backend, shape, &model.layers, row, header, memory);
                    true
                }
                None => false,
            },
        }
    }

    /// Reads an id each into several streams: `ids[n]` into `sessions[n]`, as [`Session::push_token`] would. Sessions of one model that lie
    /// side by side step together, up to [`MANY`] of them, so that each weight comes from beyond the first-level cache once for all of them. Integer
    /// models give the same bits as one stream at a time. Returns how many ids were inside the embedding.
    ///
    /// ```
    /// # use latch_engine::model::{Model, Session};
    /// fn step(sessions: &mut [Session<'_, '_, '_>], ids: &[u32]) {
    ///     assert_eq!(sessions.len(), ids.len());
    ///     Session::step_many(sessions, ids);
    /// }
    /// ```
    pub fn step_many(sessions: &mut [Self], ids: &[u32]) -> usize {
        let mut count = 0;
        let mut rest = sessions.iter_mut().zip(ids).peekable();
        while let Some((first, &id)) = rest.next() {
            let model = first.model;
            let mut together: Vec<(&mut Self, u32), MANY> = Vec::new();
            let _ = together.push((first, id));
            while together.len() < MANY
                && let Some((next, &id)) = rest.next_if(|(next, _)| core::ptr::eq(next.model, model))
            {
                let _ = together.push((next, id));
            }
            count += dispatch!(model.backend, backend => Self::step_together(backend, model, &mut together));
        }
        count
    }

    fn step_together<B: Backend>(backend: B, model: &Model<'_>, sessions: &mut Vec<(&mut Self, u32), MANY>) -> usize {
        let (shape, start) = (&model.shape, model.scratch_start());
        // They go one after the other where nothing is to be shared: every stream has a bias of its own, the row of its id, or there are no layers;
        // and where each widens nibbles in its own room.
        #[cfg(feature = "fold")]
        if shape.folded || shape.is_bag() || shape.widens() {
            return sessions.iter_mut().filter_map(|(session, id)| session.step(backend, *id).then_some(())).count();
        }
        let many = sessions.iter_mut().map(|(session, id)| (session.state.split(), *id));
        match &model.weights {
            #[cfg(feature = "float")]
            Weights::F32(weights) => step_many_float(backend, weights, (shape, start), many),
            #[cfg(feature = "float")]
            Weights::F16(weights) => step_many_float(backend, weights, (shape, start), many),
            Weights::Int8(weights) => {
                let mut streams = Vec::new();
                for (split, id) in many {
                    if let (Some((header, memory)), Some(row)) = (split, weights.embedding.row(id)) {
                        let _ = streams.push(lstm::Stream::new(start, header, memory, row));
                    }
                }
                lstm::step_many_i8(backend, shape, &weights.layers, &mut streams);
                streams.len()
            }
        }
    }

    /// The first logit; the only one of a model with two classes.
    pub fn output(&self) -> Logit {
        self.logit(0)
    }

    /// Logit `output` after the tokens so far. Before the first token the readout is zero.
    pub fn logit(&self, output: usize) -> Logit {
        dispatch!(self.model.backend, backend => self.logit_on(backend, output))
    }

    fn logit_on<B: Backend>(&self, backend: B, output: usize) -> Logit {
        let shape = &self.model.shape;
        #[allow(clippy::let_and_return, reason = "not with n-grams")]
        let logit = match &self.model.weights {
            #[cfg(feature = "float")]
            Weights::F32(model) => model.head.logit(backend, self.state.readout(shape), output),
            #[cfg(feature = "float")]
            Weights::F16(model) => model.head.logit(backend, self.state.readout(shape), output),
            Weights::Int8(model) => model.head.logit(backend, self.state.readout(shape), output),
        };
        #[cfg(feature = "extended")]
        if let (Some(table), Some(sum)) = (&self.model.ngrams, self.state.ngrams(shape)) {
            return logit.plus(sum.contribution(table.shape()));
        }
        logit
    }

    /// The sigmoid of the first logit: the probability of the positive class. (With the feature `float`.)
    #[cfg(feature = "float")]
    pub fn probability(&self) -> f32 {
        self.output().probability()
    }
}

#[cfg(feature = "float")]
#[inline]
fn step_float<B: Backend, W: crate::kernels::FloatWeight>(
    backend: B,
    model: &super::Float<'_, W>,
    shape: (&super::StreamShape, usize),
    id: u32,
    header: &mut Header,
    memory: Memory<'_>,
) -> bool {
    #[cfg(feature = "fold")]
    if let Some(folded) = &model.folded {
        return lstm::step_folded_float(backend, shape, (&model.layers, folded, &model.embedding), id, header, memory);
    }
    let Some(row) = model.embedding.row(id) else { return false };
    #[cfg(feature = "extended")]
    if shape.0.is_bag() {
        bag::step_float(backend, shape.0, row, header, memory);
        return true;
    }
    lstm::step_float(backend, shape, &model.layers, row, header, memory);
    true
}

/// The float half of [`Session::step_many`].
#[cfg(feature = "float")]
fn step_many_float<'s, B: Backend, W: crate::kernels::FloatWeight>(
    backend: B,
    model: &super::Float<'_, W>,
    (shape, start): (&super::StreamShape, usize),
    many: impl Iterator<Item = (Option<(&'s mut Header, Memory<'s>)>, u32)>,
) -> usize {
    let mut streams = Vec::new();
    for (split, id) in many {
        if let (Some((header, memory)), Some(row)) = (split, model.embedding.row(id)) {
            let _ = streams.push(lstm::Stream::new(start, header, memory, row));
        }
    }
    lstm::step_many_float(backend, shape, &model.layers, &mut streams);
    streams.len()
}

impl Model<'_> {
    /// Says that an id will be read soon: a ready row is long, and rarely in the nearest cache.
    #[cfg(feature = "fold")]
    #[inline]
    fn prefetch<B: Backend>(&self, backend: B, id: u32) {
        match &self.weights {
            #[cfg(feature = "float")]
            Weights::F32(super::Float { folded: Some(folded), .. }) => folded.prefetch(backend, id),
            #[cfg(feature = "float")]
            Weights::F16(super::Float { folded: Some(folded), .. }) => folded.prefetch(backend, id),
            Weights::Int8(Int8 { folded: Some(folded), .. }) => folded.prefetch(backend, id),
            _ => {}
        }
    }

    /// The id that the network reads for a token; `None` for one that it leaves out.
    pub fn token_id(&self, token: Token<'_>) -> Option<u32> {
        let vocabulary = self.vocabulary.as_ref()?;
        let id = vocabulary.id(token.bytes());
        match token {
            Token::Word(word) => id.or_else(|| self.unknown.id(vocabulary.len() as u32, word)),
            Token::Mark(_) => id,
        }
    }
}

/// A digest of outputs: FNV-1a with 64 bits over the little-endian bits of each logit. Two machines that show the same digest computed the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    /// Takes in the next output.
    pub fn push(&mut self, logit: Logit) {
        for byte in logit.to_bits().to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    /// The digest of all outputs so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for Digest {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}
