//! What one stream remembers: a value of a fixed size.
//!
//! A state is `N` bytes. An integer model's are the same on every machine and in every backend, but for the scratch:
//!
//! ```text
//! header     the model's checksum, tokens, count of the running mean or sum of attention's weights, the tokenizer
//! cells      each layer's cell state c, 32 bits a unit (Q12.19, or f32)
//! hidden     each layer's hidden state h (Q0.15 in 16 bits, or f32); where there are no layers, the last token's embedding in its place
//! pool       readout mean or attention: sum of h, 32 bits a unit · readout max: as h · readout last: nothing
//! scratch    [x; h] of the step in progress, and before it with a folded embedding a row of gates, and before that with four-bit weights a row
//!            of the embedding and the gates of a unit as int8; means nothing between two tokens, and is each backend's own
//! n-grams    sum of weights, tokens, and the hashes of the last tokens; nothing where the image has no n-grams
//! ```
//!
//! Float layers pad their units to a multiple of 8. All parts start on a multiple of 4.

use bytemuck::{Pod, Zeroable};
use heapless::Vec;

use super::Model;
#[cfg(feature = "extended")]
use super::attention;
use crate::image::error::Error;
#[cfg(feature = "extended")]
use crate::image::manifest::Nibbles;
use crate::image::manifest::{MAX_LAYERS, Precision, Readout};
#[cfg(feature = "extended")]
use crate::input::ngrams::Sum;
use crate::input::text::Tokenizer;

/// What decides the size of a stream's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamShape {
    /// Type of the weights.
    pub precision: Precision,
    /// What the head sees.
    pub readout: Readout,
    /// Features of the embedding.
    pub inputs: u16,
    /// Units of each layer; none in a bag of embeddings.
    pub units: Vec<u16, MAX_LAYERS>,
    /// Number of logits.
    pub outputs: u16,
    /// The embedding is folded into the first layer.
    pub folded: bool,
    /// Which tensors have four bits a weight.
    #[cfg(feature = "extended")]
    pub nibbles: Nibbles,
    /// The embedding is in tiers.
    #[cfg(feature = "extended")]
    pub tiers: bool,
    /// Tokens of the longest n-gram; 0 where there are none.
    pub ngrams: u8,
}

impl StreamShape {
    /// Where the scratch begins behind the header: after all layers and the pool.
    pub(super) fn scratch_start(&self) -> usize {
        let (mut start, mut last) = (0, (0, 0));
        for &units in &self.units {
            last = self.layer_bytes(units);
            start += last.0 + last.1;
        }
        if self.is_bag() {
            // The last token's embedding stands where a layer would have its hidden state.
            last = self.layer_bytes(self.inputs);
            start = last.1;
        }
        start
            + match self.readout {
                Readout::Last => 0,
                Readout::Mean => last.0,
                Readout::Max => last.1,
                #[cfg(feature = "extended")]
                Readout::Attention => last.0,
            }
    }

    /// Bytes at the scratch's beginning for a row of the embedding as int8, and for the gates of one unit.
    #[cfg(feature = "extended")]
    pub(super) fn nibble_room(&self) -> (usize, usize) {
        // A row that is put together needs the same room as one that is widened.
        let nibbles = Nibbles { embedding: self.nibbles.embedding || self.tiers, ..self.nibbles };
        nibble_room(nibbles, self.inputs, &self.units, self.folded)
    }

    /// True where a step widens four-bit weights first, or puts a row of the embedding together.
    #[cfg(feature = "fold")]
    pub(super) fn widens(&self) -> bool {
        #[cfg(feature = "extended")]
        return self.nibbles.embedding || self.nibbles.gates || self.tiers;
        #[cfg(not(feature = "extended"))]
        false
    }

    /// True where there is no recurrent layer, and the readout is over the embedding's rows.
    #[inline]
    pub(super) fn is_bag(&self) -> bool {
        cfg!(feature = "extended") && self.units.is_empty()
    }

    /// Bytes of the cell state and of the hidden state of a layer.
    fn layer_bytes(&self, units: u16) -> (usize, usize) {
        let units = usize::from(units);
        if self.precision == Precision::Int8 {
            (4 * units, (2 * units).next_multiple_of(4))
        } else {
            let lanes = units.next_multiple_of(8);
            (4 * lanes, 4 * lanes)
        }
    }
}

/// Bytes of state that a stream of this shape needs.
pub fn state_bytes(shape: &StreamShape) -> usize {
    let folded = cfg!(feature = "fold") && shape.folded;
    let bytes = bytes_of(shape.precision, shape.readout, shape.inputs, &shape.units, folded) + ngram_bytes(shape);
    #[cfg(feature = "extended")]
    let bytes = bytes + shape.nibble_room().0 + shape.nibble_room().1;
    bytes
}

/// Bytes of the n-grams' part, the last one.
pub(super) fn ngram_bytes(shape: &StreamShape) -> usize {
    #[cfg(feature = "extended")]
    return crate::input::ngrams::stream_bytes(shape.ngrams);
    #[cfg(not(feature = "extended"))]
    {
        let _ = shape;
        0
    }
}

/// The same as a constant, for static buffers; n-grams need [`crate::input::ngrams::stream_bytes`] more:
///
/// ```
/// use latch_engine::image::manifest::{Precision, Readout};
/// use latch_engine::model::{State, stream_bytes};
///
/// const BYTES: usize = stream_bytes(Precision::Int8, Readout::Mean, 8, &[32]);
/// static STATE: State<BYTES> = State::new();
/// assert!(BYTES <= 512);
/// ```
pub const fn stream_bytes(precision: Precision, readout: Readout, inputs: u16, units: &[u16]) -> usize {
    bytes_of(precision, readout, inputs, units, false)
}

/// As [`stream_bytes`], of a model whose embedding is folded into its first layer.
#[cfg(feature = "fold")]
pub const fn folded_stream_bytes(precision: Precision, readout: Readout, inputs: u16, units: &[u16]) -> usize {
    bytes_of(precision, readout, inputs, units, true)
}

/// As [`stream_bytes`], of an integer model with four-bit weights.
#[cfg(feature = "extended")]
pub const fn nibble_stream_bytes(nibbles: Nibbles, readout: Readout, inputs: u16, units: &[u16]) -> usize {
    let (row, unit) = nibble_room(nibbles, inputs, units, false);
    bytes_of(Precision::Int8, readout, inputs, units, false) + row + unit
}

/// Bytes for a row of the embedding as int8, and for the gates of one unit of the widest layer.
#[cfg(feature = "extended")]
const fn nibble_room(nibbles: Nibbles, inputs: u16, units: &[u16], folded: bool) -> (usize, usize) {
    let row = if nibbles.embedding { (inputs as usize).next_multiple_of(4) } else { 0 };
    let (mut columns, mut features, mut layer) = (0, inputs as usize, 0);
    while nibbles.gates && layer < units.len() {
        let width = units[layer] as usize;
        // Folded, the first layer's kernel and its recurrent kernel are widened one after the other.
        let joined = match folded && layer == 0 {
            true if features > width => features,
            true => width,
            false => features + width,
        };
        if joined.next_multiple_of(4) > columns {
            columns = joined.next_multiple_of(4);
        }
        features = width;
        layer += 1;
    }
    (row, 4 * columns)
}

const fn bytes_of(precision: Precision, readout: Readout, inputs: u16, units: &[u16], folded: bool) -> usize {
    let integer = matches!(precision, Precision::Int8);
    let mut bytes = size_of::<Header>();
    let mut features = inputs as usize;
    let mut scratch = 0;
    let mut layer = 0;
    let mut lanes = 0;
    if cfg!(feature = "extended") && units.is_empty() {
        let width = inputs as usize;
        lanes = if integer { width } else { width.next_multiple_of(8) };
        bytes += if integer { (2 * lanes).next_multiple_of(4) } else { 4 * lanes };
    }
    if folded && !units.is_empty() {
        // A row of the first layer's gates, and x in the place where [h] comes afterwards.
        let (rows, columns) = if integer {
            (units[0] as usize, 2 * (inputs as usize).next_multiple_of(4))
        } else {
            ((units[0] as usize).next_multiple_of(8), 4 * inputs as usize)
        };
        bytes += 16 * rows;
        scratch = columns;
        features = 0;
    }
    while layer < units.len() {
        let width = units[layer] as usize;
        lanes = if integer { width } else { width.next_multiple_of(8) };
        let (cell, hidden, columns) = if integer {
            (4 * lanes, (2 * lanes).next_multiple_of(4), 2 * (features + width).next_multiple_of(4))
        } else {
            (4 * lanes, 4 * lanes, 4 * (features + width))
        };
        bytes += cell + hidden;
        if columns > scratch {
            scratch = columns;
        }
        features = width;
        layer += 1;
    }
    bytes += match readout {
        Readout::Last => 0,
        Readout::Mean => 4 * lanes,
        #[cfg(feature = "extended")]
        Readout::Attention => 4 * lanes,
        Readout::Max if integer => (2 * lanes).next_multiple_of(4),
        Readout::Max => 4 * lanes,
    };
    bytes + scratch
}

/// The beginning of every state.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    /// Checksum of the model's image.
    pub(super) model: u32,
    /// Tokens so far; stops at the largest number.
    pub(super) tokens: u32,
    /// Tokens in the running mean's sum; with a readout by attention the sum of their weights, of a float model as the bits of a float.
    pub(super) count: u32,
    pub(super) tokenizer: Tokenizer,
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

    /// The same, for a session that borrows memory of any size: [`Model::session_in`].
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// A state from kept bytes. [`Model::resume`] checks whether it is one of its model.
    ///
    /// # Errors
    /// [`Error::StateDamaged`] when there are not exactly `N` bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(|bytes| State { bytes }).map_err(|_| Error::StateDamaged)
    }
}

/// The bytes of a state while a session has them: as many as the model needs, on a multiple of 4. [`StateBytes::new`] checks both.
#[derive(Debug)]
pub(super) struct StateBytes<'s>(&'s mut [u8]);

impl<'s> StateBytes<'s> {
    pub(super) fn new(model: &Model<'_>, bytes: &'s mut [u8]) -> Result<Self, Error> {
        if bytes.as_ptr().align_offset(align_of::<u32>()) != 0 {
            return Err(Error::StateMisaligned);
        }
        let (needed, given) = (model.state_bytes(), bytes.len());
        bytes.get_mut(..needed).map(StateBytes).ok_or(Error::StateTooSmall { needed, given })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0
    }

    /// Begins the stream of a model.
    pub(super) fn begin(&mut self, model: &Model<'_>) {
        self.0.fill(0);
        if let Some(header) = self.header_mut() {
            header.model = model.crc;
            #[cfg(feature = "extended")]
            {
                header.tokenizer = Tokenizer::of(model.units);
            }
        }
    }

    pub(super) fn header(&self) -> Option<&Header> {
        bytemuck::try_from_bytes(self.0.get(..size_of::<Header>())?).ok()
    }

    pub(super) fn header_mut(&mut self) -> Option<&mut Header> {
        bytemuck::try_from_bytes_mut(self.0.get_mut(..size_of::<Header>())?).ok()
    }

    /// Header and memory at once; `None` only for fewer bytes than a header has, which no session's state has.
    pub(super) fn split(&mut self) -> Option<(&mut Header, Memory<'_>)> {
        let (header, memory) = self.0.split_at_mut_checked(size_of::<Header>())?;
        Some((bytemuck::try_from_bytes_mut(header).ok()?, Memory(memory)))
    }

    /// The n-grams' part: what is summed, and the hashes of the last tokens. `None` where the model has none.
    #[cfg(feature = "extended")]
    pub(super) fn ngrams_mut(&mut self, shape: &StreamShape) -> Option<(&mut Sum, &mut [u32])> {
        let start = self.0.len().checked_sub(ngram_bytes(shape)).filter(|_| shape.ngrams > 0)?;
        let (sum, history) = self.0.get_mut(start..)?.split_at_mut_checked(size_of::<Sum>())?;
        Some((bytemuck::try_from_bytes_mut(sum).ok()?, bytemuck::try_cast_slice_mut(history).ok()?))
    }

    /// What is summed of the n-grams.
    #[cfg(feature = "extended")]
    pub(super) fn ngrams(&self, shape: &StreamShape) -> Option<&Sum> {
        let start = self.0.len().checked_sub(ngram_bytes(shape)).filter(|_| shape.ngrams > 0)?;
        bytemuck::try_from_bytes(self.0.get(start..)?.get(..size_of::<Sum>())?).ok()
    }

    /// The bytes of a layer's cell state and hidden state, which lie side by side; empty where there is no such layer.
    pub(super) fn layer(&self, shape: &StreamShape, layer: usize) -> &[u8] {
        let mut start = size_of::<Header>();
        for (index, &units) in shape.units.iter().enumerate() {
            let (cells, hidden) = shape.layer_bytes(units);
            if index == layer {
                return self.0.get(start..start + cells + hidden).unwrap_or(&[]);
            }
            start += cells + hidden;
        }
        &[]
    }

    /// What the head sees of this state, with `C` the type of a sum and `H` that of a hidden state. Padded units are left out.
    pub(super) fn readout<C: Pod, H: Pod>(&self, shape: &StreamShape) -> ReadoutView<'_, C, H> {
        let (mut hidden, mut pool) = (0, size_of::<Header>());
        for &units in &shape.units {
            let (cells, bytes) = shape.layer_bytes(units);
            hidden = pool + cells;
            pool = hidden + bytes;
        }
        let mut units = shape.units.last().map_or(0, |&units| usize::from(units));
        if shape.is_bag() {
            units = usize::from(shape.inputs);
            hidden = pool;
            pool += shape.layer_bytes(shape.inputs).1;
        }
        match shape.readout {
            Readout::Last => ReadoutView::Values(self.slice(hidden, units)),
            Readout::Max => ReadoutView::Values(self.slice(pool, units)),
            Readout::Mean => ReadoutView::Mean {
                sums: self.slice(pool, units),
                count: self.header().map_or(1, |header| header.count.max(1)),
            },
            #[cfg(feature = "extended")]
            Readout::Attention => ReadoutView::Attention {
                sums: self.slice(pool, units),
                total: self.header().map_or(0, |header| header.count),
            },
        }
    }

    /// Typed elements from byte `start` on; empty where they do not lie inside the state, which a session's always do.
    fn slice<T: Pod>(&self, start: usize, count: usize) -> &[T] {
        let bytes = self.0.get(start..start + count * size_of::<T>()).unwrap_or(&[]);
        bytemuck::try_cast_slice(bytes).unwrap_or(&[])
    }

    /// Checks bytes that came from outside against a model, so that no sum can overflow later.
    pub(super) fn check(&self, model: &Model<'_>) -> Result<(), Error> {
        let header = self.header().ok_or(Error::StateDamaged)?;
        if header.model != model.crc {
            return Err(Error::StateOfAnotherModel { expected: model.crc, found: header.model });
        }
        #[cfg(feature = "extended")]
        let attends = model.shape.readout == Readout::Attention;
        #[cfg(not(feature = "extended"))]
        let attends = false;
        if !header.tokenizer.is_valid() || !attends && (header.count > MEAN_TOKENS || header.count > header.tokens) {
            return Err(Error::StateDamaged);
        }
        #[cfg(feature = "extended")]
        if attends {
            #[cfg(feature = "float")]
            let most =
                if model.shape.precision == Precision::Int8 { attention::MOST } else { attention::MOST_F32.to_bits() };
            #[cfg(not(feature = "float"))]
            let most = attention::MOST;
            // Bits of floats from 0 on rise as the floats do, and those of others are larger.
            if header.count > most {
                return Err(Error::StateDamaged);
            }
        }
        #[cfg(feature = "extended")]
        if header.tokenizer.units() != model.units {
            return Err(Error::StateDamaged);
        }
        #[cfg(feature = "extended")]
        if let (Some(table), Some(sum)) = (&model.ngrams, self.ngrams(&model.shape))
            && !sum.is_valid(table.shape())
        {
            return Err(Error::StateDamaged);
        }
        // Cells and hidden states may have any bits: the kernels are safe for all of them. Sums must be those of `count` tokens.
        if model.shape.precision == Precision::Int8
            && let ReadoutView::Mean { sums, .. } = self.readout::<i32, i16>(&model.shape)
            && sums.iter().any(|sum| sum.unsigned_abs() > header.count * i16::MAX as u32)
        {
            return Err(Error::StateDamaged);
        }
        #[cfg(feature = "extended")]
        if model.shape.precision == Precision::Int8
            && let ReadoutView::Attention { sums, total } = self.readout::<i32, i16>(&model.shape)
            && sums.iter().any(|sum| sum.unsigned_abs() > 8 * total)
        {
            return Err(Error::StateDamaged);
        }
        Ok(())
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

/// What the head sees: one value a unit of the last layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReadoutView<'s, C, H> {
    /// The values themselves.
    Values(&'s [H]),
    /// Their sums over `count` tokens.
    Mean { sums: &'s [C], count: u32 },
    /// Their sums with weights, and the sum of the weights as the header has it.
    #[cfg(feature = "extended")]
    Attention { sums: &'s [C], total: u32 },
}

/// Tokens after which the running mean halves its sum and its count, so that the sum of Q0.15 values stays below `2^31`.
pub(super) const MEAN_TOKENS: u32 = 65_535;

/// The part of a state behind the header, from which typed slices are cut in order.
pub(super) struct Memory<'a>(&'a mut [u8]);

impl<'a> Memory<'a> {
    /// The memory before and behind a place. The part behind as elements: the scratch of a step.
    pub(super) fn part<T: Pod>(self, place: usize) -> (Self, &'a mut [T]) {
        let (before, behind) = self.0.split_at_mut_checked(place).unwrap_or_default();
        (Memory(before), bytemuck::try_cast_slice_mut(behind).unwrap_or_default())
    }

    /// All that is left, for a while.
    pub(super) fn rest(&mut self) -> Memory<'_> {
        Memory(self.0)
    }

    /// Cuts off the next `count` elements, padded to a multiple of 4 bytes. A session's memory is long enough for all of them
    /// ([`Model::session`] has checked that); were it not, the slice would be empty and the kernels would do nothing.
    pub(super) fn take<T: Pod>(&mut self, count: usize) -> &'a mut [T] {
        let bytes = count * size_of::<T>();
        let memory = core::mem::take(&mut self.0);
        match memory.split_at_mut_checked(bytes.next_multiple_of(4)) {
            Some((head, tail)) => {
                self.0 = tail;
                head.get_mut(..bytes).and_then(|head| bytemuck::try_cast_slice_mut(head).ok()).unwrap_or_default()
            }
            None => &mut [],
        }
    }
}
