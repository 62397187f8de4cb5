//! What one stream remembers: a value of a fixed size, and the one function that lays it out.
//!
//! A state is `N` bytes. An integer model's are the same on every machine and in every backend, but for the scratch:
//!
//! ```text
//! header      the model's checksum, steps so far and those of the start state's prefix
//! history     of samples of which differences are read or which a skip adds: as many frames as these reach back, the last one first
//! embedding   the last step's row, or of samples its values, where nothing behind it remembers them
//! layers      each layer's own state, in the order of the chain: its file in [`crate::layers`] says what that is
//! tokenizer   of text models
//! n-grams     tokens, a sum of weights for each output, and the hashes of the last tokens; nothing where the image has no n-grams
//! scratch     of the step in progress, and of the answer; means nothing between two steps, and is each backend's own
//! ```
//!
//! Float layers pad their units to a multiple of 8. All parts start on a multiple of 4.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::features::{DENSE, LAYERNORM, NGRAMS, SAMPLES, TEXT};
use crate::image::header::{Description, Input};
use crate::image::start::Start;
use crate::input::ngrams;
use crate::input::tokenizer::Tokenizer;
use crate::layers::Layer;
use crate::memory::Memory;

/// Where the parts of a stream's state are. The one place that computes it, also while a program is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Where the tokenizer is.
    pub(crate) tokenizer: usize,
    /// Where what n-grams remember is, and its bytes.
    pub(crate) ngrams: (usize, usize),
    /// How many sums of n-grams' weights are in it: one for each output.
    pub(crate) sums: usize,
    /// Bytes of the frames of samples that are kept, behind the header.
    pub(crate) history: usize,
    /// Bytes of the row of the embedding that is kept, behind these.
    pub(crate) kept: usize,
    /// Layers from the first that run at every step; those behind them run when an answer is asked for.
    pub(crate) steps: usize,
    /// Where what those behind them read begins, from the header's end on: the hidden state of the last cell, the row of the embedding, or the state of pooling.
    pub(crate) source: usize,
    /// How many values they read.
    pub(crate) width: usize,
    /// Where the scratch begins, from the header's end on.
    pub(crate) scratch: usize,
    /// All bytes.
    pub(crate) bytes: usize,
    /// The steps with which a stream begins, where the image has a start state.
    pub(crate) start: Start,
}

impl Layout {
    /// The layout of a model.
    pub const fn of(description: &Description) -> Self {
        let precision = description.precision;
        let mut layout = Layout::NOTHING;
        layout.width = description.width() as usize;
        let pools = !description.pooling().is_last();
        layout.steps = description.steps(pools);
        (layout.history, layout.kept) = description.front(layout.steps);
        layout.start = description.start;
        let mut end = layout.history + layout.kept;
        layout.source = layout.history;
        let mut features = description.width();
        let (mut place, mut scratch) = (0, 0);
        while place < layout.steps
            && let Some(layer) = description.layers.at(place)
        {
            let (before, bytes) = layer.state(precision, features);
            layout.source = end + before;
            end += bytes;
            let needed = layer.scratch(precision, features);
            if needed > scratch {
                scratch = needed;
            }
            features = layer.outputs(features);
            layout.width = features as usize;
            place += 1;
        }
        scratch += match description.samples() {
            Some(samples) if SAMPLES => samples.room(precision),
            _ => description.embedding.room(),
        };
        let answer = answer_bytes(description, layout.steps, layout.width, pools);
        layout.tokenizer = size_of::<Header>() + end;
        if matches!(description.input, Input::Text(_)) {
            end += size_of::<Tokenizer>();
        }
        if NGRAMS && let Some(ngrams) = &description.ngrams {
            let bytes = ngrams::stream_bytes(ngrams.longest, description.outputs());
            layout.ngrams = (size_of::<Header>() + end, bytes);
            layout.sums = description.outputs() as usize;
            end += bytes;
        }
        layout.scratch = end;
        layout.bytes = size_of::<Header>() + end + if answer > scratch { answer } else { scratch };
        layout
    }

    /// Bytes of state that a stream needs: the least `N` of [`State<N>`].
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that mean something between two steps, from the beginning.
    pub const fn remembered(&self) -> usize {
        size_of::<Header>() + self.scratch
    }

    /// Bytes of the header.
    pub(crate) const HEADER: usize = size_of::<Header>();

    pub(crate) const NOTHING: Self = Layout {
        tokenizer: 0,
        ngrams: (0, 0),
        sums: 0,
        history: 0,
        kept: 0,
        steps: 0,
        source: 0,
        width: 0,
        scratch: 0,
        bytes: size_of::<Header>(),
        start: Start::NONE,
    };
}

/// Bytes of scratch of an answer: what pooling has come to, and the values of all layers behind it but the last.
const fn answer_bytes(description: &Description, steps: usize, width: usize, pools: bool) -> usize {
    let precision = description.precision;
    let mut bytes = if pools { precision.values_bytes(width) } else { 0 };
    let mut place = steps;
    while (DENSE || LAYERNORM)
        && place + 1 < description.layers.count()
        && let Some(layer) = description.layers.at(place)
    {
        match layer {
            Layer::Dense(dense) => bytes += precision.values_bytes(dense.outputs as usize),
            Layer::LayerNorm(norm, _) => bytes += precision.values_bytes(norm.width as usize),
            _ => {}
        }
        place += 1;
    }
    bytes
}

/// The bytes of state of a model whose image has this description; for static buffers see [`crate::include_image`].
pub const fn state_bytes(description: &Description) -> usize {
    Layout::of(description).bytes
}

/// The beginning of every state.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Header {
    /// Checksum of the model's image.
    pub(crate) model: u32,
    /// Steps so far, those of the start state's prefix among them; stops at the largest number.
    pub(crate) steps: u32,
}

/// A stream's state in `N` bytes: memory that the caller owns and a session borrows. All zero until a session begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct State<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Default for State<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> State<N> {
    /// A state that no stream has used.
    pub const fn new() -> Self {
        State { bytes: [0; N] }
    }

    /// The state as bytes, to keep it anywhere; [`State::from_bytes`] takes them back.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, for a session that borrows memory of any size: [`crate::model::Model::session_in`].
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// A state from kept bytes. [`crate::model::Model::resume`] checks whether it is one of its model.
    ///
    /// # Errors
    /// [`Error::StateDamaged`] when there are not exactly `N` bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(|bytes| State { bytes }).map_err(|_| Error::StateDamaged)
    }
}

/// The words of a state while a session has them: as many as the model needs. [`StateWords::new`] checks that.
#[derive(Debug)]
pub(crate) struct StateWords<'s>(&'s mut [u32]);

/// Bytes of a word. Every part of a state is some words long.
const WORD: usize = size_of::<u32>();

/// The parts of a state.
pub(crate) struct Parts<'p> {
    pub(crate) header: &'p mut Header,
    /// The embedding's kept row and the layers' states, and what lies behind them.
    pub(crate) memory: Memory<'p>,
    pub(crate) scratch: Memory<'p>,
}

impl<'s> StateWords<'s> {
    pub(crate) fn new(layout: &Layout, bytes: &'s mut [u8]) -> Result<Self, Error> {
        if bytes.as_ptr().align_offset(align_of::<u32>()) != 0 {
            return Err(Error::StateMisaligned);
        }
        let (needed, given) = (layout.bytes, bytes.len());
        let bytes = bytes.get_mut(..needed).ok_or(Error::StateTooSmall { needed, given })?;
        bytemuck::try_cast_slice_mut(bytes).map(StateWords).map_err(|_| Error::StateMisaligned)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.0)
    }

    /// Words from a place, in bytes, as a value.
    fn at<T: Pod>(&self, place: usize) -> Option<&T> {
        let start = place / WORD;
        bytemuck::try_from_bytes(bytemuck::cast_slice(self.0.get(start..start + size_of::<T>() / WORD)?)).ok()
    }

    fn at_mut<T: Pod>(&mut self, place: usize) -> Option<&mut T> {
        let start = place / WORD;
        bytemuck::try_from_bytes_mut(bytemuck::cast_slice_mut(self.0.get_mut(start..start + size_of::<T>() / WORD)?))
            .ok()
    }

    /// Takes a stream that has just begun to a start state: its words, which lie behind the header, and its steps.
    pub(crate) fn warm(&mut self, layout: &Layout, start: &[u32]) {
        let behind = self.0.iter_mut().skip(Layout::HEADER / WORD);
        behind.zip(start).for_each(|(place, word)| *place = *word);
        if let Some(header) = self.header_mut() {
            header.steps = layout.start.begin();
        }
    }

    /// Begins a stream.
    pub(crate) fn begin(&mut self, layout: &Layout, model: u32, tokenizer: Option<Tokenizer>) {
        self.0.fill(0);
        if let Some(header) = self.header_mut() {
            header.model = model;
        }
        if TEXT && let (Some(place), Some(tokenizer)) = (self.tokenizer_mut(layout), tokenizer) {
            *place = tokenizer;
        }
    }

    pub(crate) fn header(&self) -> Option<&Header> {
        self.at(0)
    }

    pub(crate) fn header_mut(&mut self) -> Option<&mut Header> {
        self.at_mut(0)
    }

    pub(crate) fn tokenizer(&self, layout: &Layout) -> Option<&Tokenizer> {
        self.at(layout.tokenizer)
    }

    pub(crate) fn tokenizer_mut(&mut self, layout: &Layout) -> Option<&mut Tokenizer> {
        self.at_mut(layout.tokenizer)
    }

    /// Header, layers and scratch at once; `None` only for fewer words than a layout has, which no session's state has.
    #[inline(always)]
    pub(crate) fn parts(&mut self, layout: &Layout) -> Option<Parts<'_>> {
        let (header, rest) = self.0.split_first_chunk_mut::<{ size_of::<Header>() / WORD }>()?;
        let (memory, scratch) = Memory::new(rest).split(layout.scratch);
        Some(Parts { header: bytemuck::cast_mut(header), memory, scratch })
    }

    /// What n-grams remember. `None` where the model has none.
    pub(crate) fn ngrams_mut(&mut self, layout: &Layout) -> Option<ngrams::Memory<'_>> {
        let (start, bytes) = layout.ngrams;
        if !NGRAMS || bytes == 0 {
            return None;
        }
        let (count, rest) = self.0.get_mut(start / WORD..(start + bytes) / WORD)?.split_first_mut()?;
        let (sums, history) = rest.split_at_mut_checked(layout.sums)?;
        Some(ngrams::Memory { count, sums: bytemuck::cast_slice_mut(sums), history })
    }

    /// Of the n-grams, the tokens that are summed and the sums.
    pub(crate) fn ngrams(&self, layout: &Layout) -> Option<(u32, &[i32])> {
        let (start, bytes) = layout.ngrams;
        if !NGRAMS || bytes == 0 {
            return None;
        }
        let (&count, rest) = self.0.get(start / WORD..(start + bytes) / WORD)?.split_first()?;
        Some((count, bytemuck::cast_slice(rest.get(..layout.sums)?)))
    }
}

impl<const N: usize> serde::Serialize for State<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}
impl<'de, const N: usize> serde::Deserialize<'de> for State<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes<const N: usize>;
        impl<'de, const N: usize> serde::de::Visitor<'de> for Bytes<N> {
            type Value = State<N>;

            fn expecting(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(formatter, "{N} bytes of a stream's state")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<State<N>, E> {
                State::from_bytes(bytes).map_err(|_| E::invalid_length(bytes.len(), &self))
            }

            // Formats without bytes, such as JSON, write them as a sequence of numbers.
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<State<N>, A::Error> {
                let mut state = State::new();
                for (index, byte) in state.bytes.iter_mut().enumerate() {
                    *byte = sequence.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(index, &self))?;
                }
                match sequence.next_element::<u8>()? {
                    None => Ok(state),
                    Some(_) => Err(serde::de::Error::invalid_length(N + 1, &self)),
                }
            }
        }
        deserializer.deserialize_bytes(Bytes::<N>)
    }
}
