//! A bag of embeddings: a model without recurrent layers, whose readout is over the embedding's rows themselves.
//!
//! ```text
//! mean    r = 1/T Σ x_t        max    r = max_t x_t        last    r = x_T
//! ```
//!
//! With the mean it is the linear classifier of fastText (Joulin, Grave, Bojanowski and Mikolov 2016, *Bag of Tricks for Efficient Text
//! Classification*), without its n-grams: the least that a recurrent layer of as many bytes has to beat.
//!
//! The embedding of the last token stands where a layer would have its hidden state. In integer models that is `q·256`: the embedding's byte as
//! the Q0.15 that the head reads, exactly; the scale of its column is inside the head's weights. A byte of −128, which only four bits a weight come to, reads as −127, so that a
//! mean whose sum was halved stays inside 16 bits.

use super::StreamShape;
#[cfg(feature = "float")]
use super::lstm::read_out_float;
use super::lstm::read_out_i8;
use super::state::{Header, Memory};
use crate::kernels::Backend;
#[cfg(feature = "float")]
use crate::kernels::FloatWeight;

/// One token, integers. `row` is the embedding's row, int8.
#[inline]
pub(super) fn step_i8<B: Backend>(
    backend: B,
    shape: &StreamShape,
    row: &[i8],
    header: &mut Header,
    mut memory: Memory<'_>,
) {
    let hidden: &mut [i16] = memory.take(row.len());
    hidden.iter_mut().zip(row).for_each(|(h, &x)| *h = i16::from(x.max(-127)) << 8);
    read_out_i8(backend, shape, hidden, header, memory);
}

/// One token, floats. `row` is the embedding's row in the type of the image.
#[cfg(feature = "float")]
#[inline]
pub(super) fn step_float<B: Backend, W: FloatWeight>(
    backend: B,
    shape: &StreamShape,
    row: &[W],
    header: &mut Header,
    mut memory: Memory<'_>,
) {
    // The lanes beyond the row stay zero.
    let hidden: &mut [f32] = memory.take(row.len().next_multiple_of(8));
    if let Some(x) = hidden.get_mut(..row.len()) {
        backend.widen_float(row, x);
    }
    read_out_float(backend, shape, hidden, header, memory);
}
