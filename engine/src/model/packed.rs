//! Weights in the order that the backend likes best, and a vocabulary that is found by hashes, in memory of the caller's.
//!
//! An image keeps its weights in one order, which every machine reads. Where a wide machine would rather have another, or the same on whole lines of the
//! cache, [`Model::pack`] makes it once, when a model is loaded; the words of a vocabulary, which lie coded in the image, are decoded into a table.
//! Nothing of this happens unless a caller hands over the memory.

use heapless::Vec;

use super::{Int8, Model, Weights};
use crate::image::error::Error;
use crate::image::manifest::MAX_LAYERS;
use crate::input::vocabulary::Vocabulary;
#[cfg(feature = "extended")]
use crate::kernels::nibbles;
use crate::kernels::{Backend, PACKED_ALIGNMENT, Packed, RowsI8, WithBackend, dispatch};
#[cfg(feature = "float")]
use crate::kernels::{FloatWeight, RowsFloat};

impl<'a> Model<'a> {
    /// Bytes of memory that [`Model::pack`] needs; 0 for a model without a vocabulary on a backend that reads the image's order as well as
    /// any.
    pub fn packed_bytes(&self) -> usize {
        let words = self.vocabulary.as_ref().map_or(0, Vocabulary::unpacked_bytes);
        match self.backend.run(Pieces(self)) + words {
            0 => 0,
            bytes => bytes + PACKED_ALIGNMENT - 1, // wherever the memory starts
        }
    }

    /// Puts the weights in the backend's own order, and the vocabulary's words in a hash table, into memory of the caller's, which the model
    /// then reads in place of the image. Results stay the same to the bit.
    ///
    /// ```
    /// # use latch_engine::{Error, image::Image, model::Model};
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
            let weights = take(&mut memory, self.backend.run(Pieces(&self))).ok_or(too_small)?;
            dispatch!(self.backend, backend => pack(backend, &mut self.weights, weights)).ok_or(too_small)?;
            if let Some(vocabulary) = &mut self.vocabulary {
                vocabulary.unpack(memory).ok_or(too_small)?;
            }
        }
        Ok(self)
    }
}

/// The bytes of all pieces of a model, each on a line of its own.
struct Pieces<'m, 'a>(&'m Model<'a>);

impl WithBackend for Pieces<'_, '_> {
    type Output = usize;

    fn run<B: Backend>(self, backend: B) -> usize {
        let lines = |bytes: usize| bytes.next_multiple_of(PACKED_ALIGNMENT);
        match &self.0.weights {
            #[cfg(feature = "float")]
            Weights::F32(model) => model.layers.iter().map(|gates| lines(float_bytes(backend, gates))).sum(),
            #[cfg(feature = "float")]
            Weights::F16(model) => model.layers.iter().map(|gates| lines(float_bytes(backend, gates))).sum(),
            Weights::Int8(model) => {
                let bytes = |gates| lines(widened_bytes(model, gates)) + lines(i8_bytes(backend, model, gates));
                model.layers.iter().map(bytes).sum()
            }
        }
    }
}

/// Columns of an integer layer with so many weights, padding included.
fn columns(gates: &RowsI8<'_>, weights: usize) -> usize {
    weights.checked_div(gates.multiplier.len()).unwrap_or(0)
}

/// Bytes of a layer's four-bit weights as int8; 0 where they are.
fn widened_bytes(model: &Int8<'_>, gates: &RowsI8<'_>) -> usize {
    #[cfg(feature = "extended")]
    if model.nibbles {
        return 2 * gates.weights.len();
    }
    let _ = (model, gates);
    0
}

fn i8_bytes<B: Backend>(backend: B, model: &Int8<'_>, gates: &RowsI8<'_>) -> usize {
    let weights = gates.weights.len().max(widened_bytes(model, gates));
    backend.packed_i8_bytes(gates.multiplier.len() / 4, columns(gates, weights))
}

#[cfg(feature = "float")]
fn float_bytes<B: Backend, W: FloatWeight>(backend: B, gates: &RowsFloat<'_, W>) -> usize {
    if backend.wants_aligned_floats() { size_of_val(gates.weights) } else { 0 }
}

/// `None` where the memory ends too early.
fn pack<'a, B: Backend>(backend: B, weights: &mut Weights<'a>, memory: &'a mut [u8]) -> Option<()> {
    match weights {
        #[cfg(feature = "float")]
        Weights::F32(model) => align(backend, &mut model.layers, memory),
        #[cfg(feature = "float")]
        Weights::F16(model) => align(backend, &mut model.layers, memory),
        Weights::Int8(model) => {
            let mut memory = memory;
            let sizes = |gates| (widened_bytes(model, gates), i8_bytes(backend, model, gates));
            let sizes: Vec<_, MAX_LAYERS> = model.layers.iter().map(sizes).collect();
            for (gates, (widened, packed)) in model.layers.iter_mut().zip(sizes) {
                #[cfg(feature = "extended")]
                if widened > 0 {
                    let weights = bytemuck::cast_slice_mut(take(&mut memory, widened)?);
                    nibbles::widen_gates(gates.weights, weights);
                    gates.weights = weights;
                }
                let _ = widened;
                // Empty where the backend packs nothing.
                let piece = take(&mut memory, packed)?;
                backend.pack_i8(gates.weights, columns(gates, gates.weights.len()), piece);
                gates.packed = Packed(piece);
            }
            #[cfg(feature = "extended")]
            {
                model.nibbles = false;
            }
            Some(())
        }
    }
}

/// Copies the weights of float layers to where lines of the cache begin.
#[cfg(feature = "float")]
fn align<'a, B: Backend, W: FloatWeight>(
    backend: B,
    layers: &mut [RowsFloat<'a, W>],
    mut memory: &'a mut [u8],
) -> Option<()> {
    if !backend.wants_aligned_floats() {
        return Some(());
    }
    for gates in layers {
        let piece = take(&mut memory, float_bytes(backend, gates))?;
        piece.copy_from_slice(bytemuck::cast_slice(gates.weights));
        gates.weights = bytemuck::try_cast_slice(piece).ok()?;
    }
    Some(())
}

/// Cuts off the next piece; the one after it starts on a line of its own.
fn take<'a>(memory: &mut &'a mut [u8], bytes: usize) -> Option<&'a mut [u8]> {
    let (piece, rest) = core::mem::take(memory).split_at_mut_checked(bytes.next_multiple_of(PACKED_ALIGNMENT))?;
    *memory = rest;
    piece.get_mut(..bytes)
}
