//! A model with a state: one stream, step by step.

use heapless::Vec;

use crate::error::Error;
use crate::features::{SAMPLES, START, TEXT};
use crate::input::ngrams::token_hash;
use crate::input::samples::Sample;
use crate::input::text::Tokens;
use crate::input::tokenizer::{First, Token};
use crate::kernels::{Backend, MANY, dispatch};
use crate::logit::{Digest, Logit};
use crate::model::{Model, with_chain};
use crate::state::{State, StateWords};

/// A stream over a model: borrows the model, which many sessions share, and the memory of its state, which is its own.
///
/// It reads ([`Session::push_token`], [`Session::push_bytes`], [`Session::finish`], [`Session::reset`]) and can be saved ([`Session::state`]); its answers are those of
/// its [`View`].
#[derive(Debug)]
pub struct Session<'s, 'm, 'a>(View<'s, 'm, 'a>);

/// The answers of a stream after the steps so far. This is what callbacks see: in the middle of a chunk of text there is no state to be saved.
///
/// A session has a state between two calls:
///
/// ```
/// # use latch_engine::Session;
/// fn keep(session: &mut Session<'_, '_, '_>) -> Vec<u8> {
///     session.push_bytes_each(b"good film", |view, _word| drop(view.output()));
///     session.state().to_vec()
/// }
/// ```
///
/// Inside a callback there is none, because the tokenizer has read further than the network:
///
/// ```compile_fail,E0599
/// # use latch_engine::Session;
/// fn keep(session: &mut Session<'_, '_, '_>) {
///     session.push_bytes_each(b"good film", |view, _word| drop(view.state().to_vec()));
/// }
/// ```
#[derive(Debug)]
pub struct View<'s, 'm, 'a> {
    model: &'m Model<'a>,
    state: StateWords<'s>,
    /// The scratch holds what the last dense layer reads.
    answered: bool,
}

impl<'s, 'm, 'a> core::ops::Deref for Session<'s, 'm, 'a> {
    type Target = View<'s, 'm, 'a>;

    fn deref(&self) -> &View<'s, 'm, 'a> {
        &self.0
    }
}

impl core::ops::DerefMut for Session<'_, '_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'s, 'm, 'a> Session<'s, 'm, 'a> {
    /// With the stream as it stands in `state`, unchecked.
    pub(crate) fn over(model: &'m Model<'a>, state: &'s mut [u8]) -> Result<Self, Error> {
        Ok(Session(View { model, state: StateWords::new(&model.layout, state)?, answered: false }))
    }

    /// Checks a state that came from outside, so that no sum can overflow later.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let View { model, state, .. } = &mut self.0;
        let header = state.header().ok_or(Error::StateDamaged)?;
        if header.model != model.crc {
            return Err(Error::StateOfAnotherModel { expected: model.crc, found: header.model });
        }
        if let Some(beginning) = model.tokenizer() {
            let tokenizer = state.tokenizer(&model.layout).ok_or(Error::StateDamaged)?;
            if !tokenizer.is_valid(&beginning) {
                return Err(Error::StateDamaged);
            }
        }
        if let (Some(table), Some((count, sums))) = (model.ngrams(), state.ngrams(&model.layout))
            && !table.could_have(count, sums)
        {
            return Err(Error::StateDamaged);
        }
        let parts = state.parts(&model.layout).ok_or(Error::StateDamaged)?;
        let is_sound = with_chain!(&model.weights, chain => chain.is_sound(&model.layout, parts), false);
        if is_sound { Ok(()) } else { Err(Error::StateDamaged) }
    }

    /// Back to the beginning: as a new session. Where the image has a start state, that is copied.
    pub fn reset(&mut self) {
        self.0.answered = false;
        self.0.state.begin(&self.0.model.layout, self.0.model.crc, self.0.model.tokenizer());
        if START {
            self.0.state.warm(&self.0.model.layout, self.0.model.start());
        }
    }

    /// The state's bytes, [`Model::state_bytes`] of them: what [`Model::resume`] goes on from, on this machine or another.
    pub fn state(&self) -> &[u8] {
        self.0.state.as_bytes()
    }

    /// What of the state means something between two steps: all but the scratch, which is each backend's own. Integer models have the same bits here on every backend.
    pub fn remembered(&self) -> &[u8] {
        self.state().get(..self.0.model.layout.remembered()).unwrap_or_default()
    }

    /// Reads one id. An id outside the embedding is left out, and `false` says so.
    pub fn push_token(&mut self, id: u32) -> bool {
        dispatch!(self.0.model.backend, backend => self.0.step(backend, id))
    }

    /// Reads ids in order, with one choice of the backend for all of them. Returns how many were inside the embedding.
    pub fn push_tokens(&mut self, ids: &[u32]) -> usize {
        dispatch!(self.0.model.backend, backend => self.0.run_tokens(backend, ids))
    }

    /// Reads bytes of UTF-8 text in any chunks. A model whose input is no text leaves them out.
    ///
    /// The text has to be in Unicode's form NFC. `e` with a combining accent reads as `é` where the model's texts have that letter (`docs/text.md`); other letters
    /// in two parts are other words, and may get opposite answers.
    ///
    /// A call takes a step for each token that ends in `bytes`, at most one a byte and one for a word that was open before, and returns after the last. Whoever feeds a watchdog bounds the chunk: 4 KiB of the
    /// shortest tokens take a Cortex-M0 hundreds of millions of instructions (`docs/results/2026-11-28-longest-push.md`).
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.push_bytes_each(bytes, unheard);
    }

    /// As [`Session::push_bytes`], and calls `each` with the stream's answers and the token's text after every token that the network read.
    pub fn push_bytes_each(&mut self, bytes: &[u8], mut each: impl FnMut(&mut View<'s, 'm, 'a>, &[u8])) {
        self.0.run_text(Some(bytes), &mut each);
    }

    /// Ends the text: reads the word that was still open. The answer is that of the whole text.
    ///
    /// For another text call [`Session::reset`] first. What is pushed without it goes on in the same stream, and its answer is that of both texts together:
    /// layers and pooling still hold the first.
    pub fn finish(&mut self) {
        self.finish_each(unheard);
    }

    /// As [`Session::finish`], and calls `each` as [`Session::push_bytes_each`] does.
    pub fn finish_each(&mut self, mut each: impl FnMut(&mut View<'s, 'm, 'a>, &[u8])) {
        self.0.run_text(None, &mut each);
    }

    /// Reads frames of samples as an ADC gives them: counts, the channels of a frame side by side. Any chunks of whole frames give the same bits. An integer model
    /// uses integers only.
    ///
    /// # Errors
    /// [`Error::NoSamples`] or [`Error::RaggedFrames`]. The stream stays as it was.
    pub fn push_samples(&mut self, counts: &[i16]) -> Result<(), Error> {
        self.0.run_samples(counts, |_| {})
    }

    /// As [`Session::push_samples`], and calls `each` with the stream's answers after every frame.
    ///
    /// # Errors
    /// As [`Session::push_samples`].
    pub fn push_samples_each(&mut self, counts: &[i16], each: impl FnMut(&mut View<'s, 'm, 'a>)) -> Result<(), Error> {
        self.0.run_samples(counts, each)
    }

    /// As [`Session::push_samples`], with values in the unit of the training data. An integer model rounds them to counts, and then gives the bits that the counts
    /// give.
    ///
    /// # Errors
    /// [`Error::SampleNotFinite`] with the place of an infinity or a NaN, besides those of [`Session::push_samples`]. The stream stays as it was.
    pub fn push_samples_f32(&mut self, values: &[f32]) -> Result<(), Error> {
        self.0.run_samples(values, |_| {})
    }

    /// As [`Session::push_samples_f32`], and calls `each` with the stream's answers after every frame.
    ///
    /// # Errors
    /// As [`Session::push_samples_f32`].
    pub fn push_samples_f32_each(
        &mut self,
        values: &[f32],
        each: impl FnMut(&mut View<'s, 'm, 'a>),
    ) -> Result<(), Error> {
        self.0.run_samples(values, each)
    }

    /// Reads an id each into several streams: `ids[n]` into `sessions[n]`, as [`Session::push_token`] would. Sessions of one model that lie
    /// side by side step together, up to [`MANY`] of them, so that each weight comes from beyond the first-level cache once for all of them. Integer
    /// models give the same bits as one stream at a time. Returns how many ids were inside the embedding.
    ///
    /// ```
    /// # use latch_engine::Session;
    /// fn step(sessions: &mut [Session<'_, '_, '_>], ids: &[u32]) {
    ///     assert_eq!(sessions.len(), ids.len());
    ///     Session::step_many(sessions, ids);
    /// }
    /// ```
    pub fn step_many(sessions: &mut [Self], ids: &[u32]) -> usize {
        let mut count = 0;
        let mut rest = sessions.iter_mut().zip(ids).peekable();
        while let Some((first, &id)) = rest.next() {
            let model = first.0.model;
            let mut together: Vec<(&mut View<'s, 'm, 'a>, u32), MANY> = Vec::new();
            let _ = together.push((&mut first.0, id));
            while together.len() < MANY
                && let Some((next, &id)) = rest.next_if(|(next, _)| core::ptr::eq(next.0.model, model))
            {
                let _ = together.push((&mut next.0, id));
            }
            let gains = with_chain!(&model.weights,
                chain => dispatch!(model.backend, backend => chain.gains_together(backend, &model.layout)), false);
            if !gains {
                count += dispatch!(model.backend, backend => {
                    together.iter_mut().map(|(view, id)| usize::from(view.step(backend, *id))).sum::<usize>()
                });
                continue;
            }
            let streams = together.iter_mut().filter_map(|(view, id)| {
                view.answered = false;
                Some((view.state.parts(&model.layout)?, *id))
            });
            count += with_chain!(&model.weights,
                chain => dispatch!(model.backend, backend => chain.step_many(backend, &model.layout, streams)), 0);
        }
        count
    }
}

/// For who asks after the text only.
fn unheard(_: &mut View<'_, '_, '_>, _: &[u8]) {}

impl<'a> Model<'a> {
    /// Starts a stream in a state, whatever the state held before.
    ///
    /// # Errors
    /// [`Error::StateTooSmall`] when `N` is less than [`Model::state_bytes`].
    pub fn session<'s, 'm, const N: usize>(&'m self, state: &'s mut State<N>) -> Result<Session<'s, 'm, 'a>, Error> {
        self.session_in(state.as_bytes_mut())
    }

    /// Starts a stream in any memory that starts on a multiple of 4, where its size is known at run time only.
    ///
    /// # Errors
    /// Those of [`Model::session`], and [`Error::StateMisaligned`].
    pub fn session_in<'s, 'm>(&'m self, memory: &'s mut [u8]) -> Result<Session<'s, 'm, 'a>, Error> {
        let mut session = Session::over(self, memory)?;
        session.reset();
        Ok(session)
    }

    /// Goes on with the stream whose state was kept, in the middle of a word or anywhere.
    ///
    /// # Errors
    /// [`Error::StateOfAnotherModel`] or [`Error::StateDamaged`] when the state is not one of this model, besides those of [`Model::session`].
    pub fn resume<'s, 'm, const N: usize>(&'m self, state: &'s mut State<N>) -> Result<Session<'s, 'm, 'a>, Error> {
        self.resume_in(state.as_bytes_mut())
    }

    /// As [`Model::resume`], in any memory that starts on a multiple of 4.
    ///
    /// # Errors
    /// Those of [`Model::resume`], and [`Error::StateMisaligned`].
    pub fn resume_in<'s, 'm>(&'m self, memory: &'s mut [u8]) -> Result<Session<'s, 'm, 'a>, Error> {
        let mut session = Session::over(self, memory)?;
        session.check()?;
        Ok(session)
    }
}

impl<'s, 'm, 'a> View<'s, 'm, 'a> {
    /// The model.
    pub fn model(&self) -> &'m Model<'a> {
        self.model
    }

    /// Steps since the beginning: tokens that the network has read. Those of a start state's prefix are not among them.
    pub fn tokens(&self) -> u32 {
        self.state.header().map_or(0, |header| header.steps.saturating_sub(self.model.layout.start.begin()))
    }

    /// The first output; the only one of a model with two classes.
    pub fn output(&mut self) -> Logit {
        self.logit(0)
    }

    /// Output `output` after the steps so far. Before the first step the last layer reads zeros, or what the start state of the image has.
    pub fn logit(&mut self, output: usize) -> Logit {
        dispatch!(self.model.backend, backend => self.logit_on(backend, output))
    }

    fn logit_on<B: Backend>(&mut self, backend: B, output: usize) -> Logit {
        let layout = &self.model.layout;
        let Some(parts) = self.state.parts(layout) else { return Logit::Fixed(0) };
        let logit = with_chain!(&self.model.weights,
            chain => chain.answer(backend, layout, parts, self.answered, output), Logit::Fixed(0));
        self.answered = true;
        if let (Some(table), Some((count, sums))) = (self.model.ngrams(), self.state.ngrams(layout))
            && let Some(&sum) = sums.get(output)
        {
            return logit.plus(table.contribution(count, sum));
        }
        logit
    }

    /// The sigmoid of the first output: the probability of the positive class. Computes with floats.
    pub fn probability(&mut self) -> f32 {
        self.output().probability()
    }

    /// The verdict, as soon as it is certain: where the logit's magnitude is at least the threshold for so many tokens. `None` before that, and
    /// always of a model without thresholds. The stream stays as it is; a later token may take the certainty back.
    pub fn early(&mut self) -> Option<bool> {
        let tokens = self.tokens();
        let step = self.model.early().take_while(|step| step.tokens <= tokens).last()?;
        let logit = self.output();
        (logit.magnitude() >= step.logit).then(|| logit.is_positive())
    }

    /// True when [`View::early`] has a verdict.
    pub fn is_certain(&mut self) -> bool {
        self.early().is_some()
    }

    /// Takes all outputs into a digest, in order.
    pub fn digest(&mut self, digest: &mut Digest) {
        for output in 0..usize::from(self.model.outputs()) {
            digest.push(self.logit(output));
        }
    }

    /// The bytes of a layer's state, as [`crate::layers`] describes them: of an LSTM layer its cell state and then its hidden state. Empty where the layer has
    /// none, or there is no such layer.
    pub fn layer_state(&self, layer: usize) -> &[u8] {
        self.model.layer_bytes(layer).and_then(|range| self.state.as_bytes().get(range)).unwrap_or(&[])
    }

    /// A digest of a layer's state: FNV-1a with 32 bits over its bytes as they lie there. Two machines whose digests differ part ways in this layer or before
    /// it. That of no bytes where the layer has no state, or there is no such layer.
    pub fn layer_digest(&self, layer: usize) -> u32 {
        self.layer_state(layer)
            .iter()
            .fold(0x811C_9DC5, |digest, &byte| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// One step. On a chip it exists once, whoever calls it.
    #[cfg_attr(latch_backend, inline(never))]
    #[cfg_attr(not(latch_backend), inline(always))]
    fn step<B: Backend>(&mut self, backend: B, id: u32) -> bool {
        self.answered = false;
        let layout = &self.model.layout;
        let Some(parts) = self.state.parts(layout) else { return false };
        with_chain!(&self.model.weights, chain => chain.step(backend, layout, id, parts), false)
    }

    fn run_tokens<B: Backend>(&mut self, backend: B, ids: &[u32]) -> usize {
        let mut next = ids.iter().skip(1);
        let mut count = 0;
        for &id in ids {
            if let Some(&next) = next.next() {
                with_chain!(&self.model.weights, chain => chain.embedding.prefetch(backend, next), ());
            }
            count += usize::from(self.step(backend, id));
        }
        count
    }

    /// Reads frames, after a look at all of their samples.
    fn run_samples<S: Sample>(&mut self, samples: &[S], mut each: impl FnMut(&mut Self)) -> Result<(), Error> {
        let channels = self.model.channels();
        if !SAMPLES || channels == 0 {
            return Err(Error::NoSamples);
        }
        // Counted off, for a chip that has no instruction to divide by.
        let mut rest = samples;
        while let Some((_, behind)) = rest.split_at_checked(usize::from(channels)) {
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(Error::RaggedFrames { samples: samples.len(), channels });
        }
        if let Some(index) = samples.iter().position(|sample| !sample.is_number()) {
            return Err(Error::SampleNotFinite { index });
        }
        dispatch!(self.model.backend, backend => {
            let mut rest = samples;
            while let Some((frame, behind)) = rest.split_at_checked(usize::from(channels)) {
                rest = behind;
                self.step_frame(backend, frame);
                each(self);
            }
        });
        Ok(())
    }

    /// One step of a frame; once on a chip for counts, and once for values where these are pushed.
    #[cfg_attr(latch_backend, inline(never))]
    #[cfg_attr(not(latch_backend), inline(always))]
    fn step_frame<B: Backend, S: Sample>(&mut self, backend: B, frame: &[S]) {
        self.answered = false;
        let layout = &self.model.layout;
        let Some(parts) = self.state.parts(layout) else { return };
        with_chain!(&self.model.weights, chain => chain.step_frame(backend, layout, frame, parts), ());
    }

    /// Reads bytes of a text, or its end in place of bytes.
    fn run_text(&mut self, bytes: Option<&[u8]>, each: &mut impl FnMut(&mut Self, &[u8])) {
        if TEXT && self.model.vocabulary().is_some() {
            dispatch!(self.model.backend, backend => self.run_text_on(backend, bytes, each));
        }
    }

    fn run_text_on<B: Backend>(&mut self, backend: B, bytes: Option<&[u8]>, each: &mut impl FnMut(&mut Self, &[u8])) {
        let Some(mut tokenizer) = self.state.tokenizer(&self.model.layout).copied() else { return };
        let (characters, syllables) = (self.model.characters(), self.model.tokens() == Tokens::Syllables);
        let mut emit = |token: Token<'_>, first: First| {
            if let Some(table) = self.model.ngrams()
                && let Some(mut memory) = self.state.ngrams_mut(&self.model.layout)
            {
                memory.push(table, token_hash(token.bytes(), syllables && first));
                self.answered = false;
            }
            if let Some(id) = self.model.token_id(token)
                && self.step(backend, id)
            {
                each(self, token.bytes());
            }
        };
        match bytes {
            Some(bytes) => tokenizer.push_each(characters, bytes, &mut emit),
            None => tokenizer.finish_each(characters, &mut emit),
        }
        if let Some(place) = self.state.tokenizer_mut(&self.model.layout) {
            *place = tokenizer;
        }
    }
}
