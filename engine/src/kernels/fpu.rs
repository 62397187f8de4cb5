//! Floats on the chips that have an FPU: matrices in tiles of sixteen rows, whose kernels are the backend's, and
//! activations and the LSTM's cell by the FPU's scalar instructions, which all of these cores have.
//!
//! A row's products are added column by column onto its bias, as the reference adds them, but each product and sum is
//! rounded once (fused).
#![allow(unsafe_code, reason = "assembly; each block says why it is sound")]

mod activation;

use core::mem::MaybeUninit;

use super::{FloatView, FloatWeight, RowsFloat};
use activation::cell_f32;
pub(super) use activation::{sigmoid_f32, tanh_f32};

/// Rows of a block of the float order.
const BLOCK: usize = 32;

/// A backend's kernel of a tile: the sums begin with the biases and are written once.
///
/// # Safety
/// Every pointer of the tile is good for what `columns` and `skip` say and for the kernel's number of rows, and starts
/// on a multiple of 4; what is written is apart from weights and columns.
pub(super) type Kernel = unsafe extern "C" fn(&Tile);

/// The kernels of a backend: sixteen and eight rows, of both storages. Who makes one says that each is sound under the
/// contract of [`Kernel`].
pub(super) struct Kernels {
    pub(super) sixteen_f32: Kernel,
    pub(super) eight_f32: Kernel,
    pub(super) sixteen_f16: Kernel,
    pub(super) eight_f16: Kernel,
}

/// What the assembly reads: offsets are those of the fields.
#[repr(C)]
pub(super) struct Tile {
    weights: *const u8, // 0
    x: *const f32,      // 4
    columns: usize,     // 8
    skip: usize,        // 12, bytes from behind the tile's weights of a column to those of the next
    bias: *const f32,   // 16
    out: *mut f32,      // 20
}

/// `out = W x + bias`, or `out = W x + out` without biases, for every row. Nothing is done where slices do not fit each
/// other.
pub(super) fn rows<W: FloatWeight>(kernels: &Kernels, weights: &[W], bias: Option<&[f32]>, x: &[f32], out: &mut [f32]) {
    if bias.is_some_and(|bias| bias.len() != out.len()) || !rows_fit(weights, x, out.len()) {
        return;
    }
    let (rows, out) = (out.len(), out.as_mut_ptr());
    let bias = bias.map_or(out.cast_const(), <[f32]>::as_ptr);
    // SAFETY: the slices were just held to each other. `out` is borrowed apart from all but biases that are itself.
    unsafe { rows_of(kernels, W::view(weights), bias, x, out, rows) }
}

/// One step of an LSTM layer; shapes at [`Backend::lstm_float`](crate::kernels::Backend::lstm_float). Nothing is done
/// where slices do not fit each other.
pub(super) fn lstm<W: FloatWeight>(
    kernels: &Kernels,
    gates: &RowsFloat<'_, W>,
    xh: &[f32],
    h: &mut [f32],
    c: &mut [f32],
) {
    let mut weights = gates.weights;
    let blocks = h.as_chunks_mut::<8>().0.iter_mut().zip(c.as_chunks_mut::<8>().0);
    for (bias, (h, c)) in gates.bias.as_chunks::<BLOCK>().0.iter().zip(blocks) {
        let Some((block, rest)) = weights.split_at_checked(BLOCK * xh.len()) else { return };
        weights = rest;
        if !rows_fit(block, xh, BLOCK) {
            return;
        }
        let mut z = MaybeUninit::<[f32; BLOCK]>::uninit();
        // SAFETY: the block has as many weights as its rows have columns, and there are as many biases and sums as
        // rows. The rows write every sum, of eight units and four gates, before the cell reads it; h and c are borrowed
        // apart from each other.
        unsafe {
            rows_of(kernels, W::view(block), bias.as_ptr(), xh, z.as_mut_ptr().cast(), BLOCK);
            cell_f32(z.as_ptr(), h, c);
        }
    }
}

/// The weights are those of so many rows over the columns of `x`, and start where words do.
fn rows_fit<W>(weights: &[W], x: &[f32], rows: usize) -> bool {
    let fits = rows.is_multiple_of(8)
        && weights.len() == rows * x.len()
        && (weights.is_empty() || weights.as_ptr().addr().is_multiple_of(4));
    debug_assert!(fits, "the slices of rows do not fit each other");
    fits
}

/// `out = W x + bias` in tiles of sixteen rows, or of eight where a block has no more.
///
/// # Safety
/// `rows` is a multiple of 8; the weights are as many as rows times columns and start on a multiple of 4; `bias` and
/// `out` are good for as many elements as rows and may be the same; what is written is apart from everything else.
unsafe fn rows_of(kernels: &Kernels, weights: FloatView<'_>, bias: *const f32, x: &[f32], out: *mut f32, rows: usize) {
    let (mut weights, bytes, sixteen, eight): (*const u8, usize, Kernel, Kernel) = match weights {
        FloatView::F32(weights) => (weights.as_ptr().cast(), 4, kernels.sixteen_f32, kernels.eight_f32),
        FloatView::F16(weights) => (weights.as_ptr().cast(), 2, kernels.sixteen_f16, kernels.eight_f16),
    };
    let mut row = 0;
    while row < rows {
        // The first row behind this block.
        let end = rows.min(row + BLOCK);
        let block = end - row;
        let mut first = weights;
        while row < end {
            let (count, kernel) = if end - row >= 16 { (16, sixteen) } else { (8, eight) };
            // SAFETY: a block has `block` weights a column, of which the tile reads `count` from its place on; `row`
            // and `count` stay inside the rows.
            unsafe {
                kernel(&Tile {
                    weights: first,
                    x: x.as_ptr(),
                    columns: x.len(),
                    skip: bytes * (block - count),
                    bias: bias.add(row),
                    out: out.add(row),
                });
            }
            // Without columns there is nothing to point to.
            first = first.wrapping_add(bytes * count);
            row += count;
        }
        // SAFETY: the block has so many bytes.
        weights = unsafe { weights.add(bytes * block * x.len()) };
    }
}

/// The float methods of a backend, by its kernels of tiles and by what stands here.
macro_rules! floats_by_fpu {
    ($kernels:expr) => {
        fn lstm_float<W: $crate::kernels::FloatWeight>(
            self,
            gates: &$crate::kernels::RowsFloat<'_, W>,
            xh: &[f32],
            h: &mut [f32],
            c: &mut [f32],
        ) {
            $crate::kernels::fpu::lstm(&$kernels, gates, xh, h, c);
        }

        fn rows_float<W: $crate::kernels::FloatWeight>(
            self,
            rows: &$crate::kernels::RowsFloat<'_, W>,
            x: &[f32],
            out: &mut [f32],
        ) {
            $crate::kernels::fpu::rows(&$kernels, rows.weights, Some(rows.bias), x, out);
        }

        fn add_rows_float<W: $crate::kernels::FloatWeight>(
            self,
            rows: &$crate::kernels::RowsFloat<'_, W>,
            x: &[f32],
            sums: &mut [f32],
        ) {
            $crate::kernels::fpu::rows(&$kernels, rows.weights, None, x, sums);
        }

        fn sigmoid_f32(self, x: &mut [f32]) {
            // SAFETY: the pointer is good for the slice's length.
            unsafe { $crate::kernels::fpu::sigmoid_f32(x.as_mut_ptr(), x.len()) }
        }

        fn tanh_f32(self, x: &mut [f32]) {
            // SAFETY: the pointer is good for the slice's length.
            unsafe { $crate::kernels::fpu::tanh_f32(x.as_mut_ptr(), x.len()) }
        }
    };
}
pub(super) use floats_by_fpu;
