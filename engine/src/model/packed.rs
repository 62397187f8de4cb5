//! Weights in the order that the backend likes best, and a vocabulary that is found by hashes, in memory of the caller's.
//!
//! An image keeps its weights in one order, which every machine reads. Where a wide machine would rather have another, or the same on whole lines of the
//! cache, [`Model::pack`] makes it once, when a model is loaded; the words of a vocabulary, which lie coded in the image, are decoded into a table.
//! Nothing of this happens unless a caller hands over the memory.

use super::{Model, with_chain};
use crate::error::Error;
use crate::input::vocabulary::Vocabulary;
use crate::kernels::{Backend, PACKED_ALIGNMENT, copy, dispatch, nibbles};
use crate::layers::{Arithmetic, Opened};
use crate::numbers::Rows;

impl<'a> Model<'a> {
    /// Bytes of memory that [`Model::pack`] needs; 0 for a model without a vocabulary on a backend that reads the image's order as well as
    /// any.
    pub fn packed_bytes(&self) -> usize {
        let words = self.vocabulary.as_ref().map_or(0, Vocabulary::unpacked_bytes);
        match self.packed_weights() + words {
            0 => 0,
            bytes => bytes + PACKED_ALIGNMENT - 1, // wherever the memory starts
        }
    }

    /// The bytes of all pieces of the weights, each on a line of its own.
    fn packed_weights(&self) -> usize {
        with_chain!(&self.weights, chain => dispatch!(self.backend, backend => bytes(backend, &chain.layers)), 0)
    }

    /// Puts the weights in the backend's own order, and the vocabulary's words in a hash table, into memory of the caller's, which the model
    /// then reads in place of the image. Results stay the same to the bit.
    ///
    /// ```
    /// # use latch_engine::{Error, Model, image::Image};
    /// fn fastest<'a>(image: &Image<'a>, memory: &'a mut Vec<u8>) -> Result<Model<'a>, Error> {
    ///     let model = Model::new(image);
    ///     memory.resize(model.packed_bytes(), 0);
    ///     model.pack(memory)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::PackedTooSmall`] when the memory has fewer bytes than [`Model::packed_bytes`].
    pub fn pack(mut self, memory: &'a mut [u8]) -> Result<Self, Error> {
        let (needed, given) = (self.packed_bytes(), memory.len());
        let too_small = Error::PackedTooSmall { needed, given };
        if given < needed {
            return Err(too_small);
        }
        if needed > 0 {
            let start = memory.as_ptr().align_offset(PACKED_ALIGNMENT);
            let mut memory = memory.get_mut(start..).ok_or(too_small)?;
            let weights = take(&mut memory, self.packed_weights()).ok_or(too_small)?;
            with_chain!(&mut self.weights, chain =>
                dispatch!(self.backend, backend => pack(backend, &mut chain.layers, weights)).ok_or(too_small)?, ());
            if let Some(vocabulary) = &mut self.vocabulary {
                vocabulary.unpack(memory).ok_or(too_small)?;
            }
        }
        Ok(self)
    }
}

/// The pieces of a layer: what a backend makes of its weights.
fn pieces<B: Backend, N: Arithmetic>(backend: B, layer: &Opened<'_, N>) -> [usize; 2] {
    match layer {
        Opened::Lstm(layer) => N::packed_bytes(backend, layer),
        Opened::Gru(layer) => {
            let ([kernel, recurrent], int4) = layer.matrices();
            [kernel, recurrent].map(|rows| own_bytes::<B, N>(backend, rows, int4))
        }
        Opened::Rnn(layer) => {
            let ([rows], int4) = layer.matrices();
            [own_bytes::<B, N>(backend, rows, int4), 0]
        }
        _ => [0, 0],
    }
}

/// Bytes of a matrix on whole lines of the cache, of four bits as int8; 0 where the backend reads it where it lies as well.
fn own_bytes<B: Backend, N: Arithmetic>(backend: B, rows: &Rows<'_, N>, int4: bool) -> usize {
    match int4 {
        true => 2 * size_of_val(rows.weights),
        false if backend.wants_aligned_weights() => size_of_val(rows.weights),
        false => 0,
    }
}

/// Moves a matrix into such bytes, if there are any.
fn take_own<'a, N: Arithmetic>(rows: &mut Rows<'a, N>, int4: bool, own: &'a mut [u8]) {
    if own.is_empty() {
        return;
    }
    let weights = bytemuck::cast_slice(rows.weights);
    if int4 {
        nibbles::widen_gates(weights, bytemuck::cast_slice_mut(own));
    } else {
        copy(bytemuck::cast_slice(weights), own);
    }
    rows.weights = bytemuck::try_cast_slice(own).unwrap_or(rows.weights);
}

fn bytes<B: Backend, N: Arithmetic>(backend: B, layers: &[Opened<'_, N>]) -> usize {
    let lines = |bytes: usize| bytes.next_multiple_of(PACKED_ALIGNMENT);
    layers.iter().flat_map(|layer| pieces(backend, layer)).map(lines).sum()
}

/// `None` where the memory ends too early.
fn pack<'a, B: Backend, N: Arithmetic>(
    backend: B,
    layers: &mut [Opened<'a, N>],
    mut memory: &'a mut [u8],
) -> Option<()> {
    for layer in layers {
        let [first, second] = pieces(backend, layer);
        let (first, second) = (take(&mut memory, first)?, take(&mut memory, second)?);
        match layer {
            Opened::Lstm(layer) => N::pack(backend, layer, first, second),
            Opened::Gru(layer) => {
                let ([kernel, recurrent], int4) = layer.matrices_mut();
                take_own::<N>(kernel, *int4, first);
                take_own::<N>(recurrent, *int4, second);
                *int4 = false;
            }
            Opened::Rnn(layer) => {
                let ([rows], int4) = layer.matrices_mut();
                take_own::<N>(rows, *int4, first);
                *int4 = false;
            }
            _ => {}
        }
    }
    Some(())
}

/// Cuts off the next piece; the one after it starts on a line of its own.
fn take<'a>(memory: &mut &'a mut [u8], bytes: usize) -> Option<&'a mut [u8]> {
    let (piece, rest) = core::mem::take(memory).split_at_mut_checked(bytes.next_multiple_of(PACKED_ALIGNMENT))?;
    *memory = rest;
    piece.get_mut(..bytes)
}
