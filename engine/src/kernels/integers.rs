//! The types of integer weights: int8, int4 among it, and int16.

use super::{Backend, RowsI8, RowsI16, RowsInt, scalar, sealed};

/// A type of integer weights: what the integer arithmetics differ in. Cells and activations are the same for both.
pub trait IntWeight: sealed::Sealed + bytemuck::Pod + core::fmt::Debug + Send + Sync {
    /// Columns that lie together in a matrix, to a multiple of which they are padded.
    const COLUMNS: usize;

    /// The products of a quad of rows, `sum over k of w[k] * x[k]`.
    fn products(quad: &[Self], x: &[i16]) -> [i32; 4];
    /// A row's sum at the scale of its bias: the accumulator times the multiplier.
    fn scaled(acc: i32, multiplier: u16) -> i32;
    /// A row of the embedding as columns; equal lengths.
    fn row_columns<B: Backend>(backend: B, row: &[Self], out: &mut [i16]);
    /// A hidden state in Q0.15 as columns; equal lengths.
    fn hidden_columns<B: Backend>(backend: B, h: &[i16], out: &mut [i16]);
    /// [`Backend::rows_i8`] or [`Backend::rows_i16`].
    fn rows<B: Backend>(backend: B, rows: &RowsInt<'_, Self>, x: &mut [i16], out: &mut [i32]);
    /// [`Backend::add_rows_i8`] or [`Backend::add_rows_i16`].
    fn add_rows<B: Backend>(backend: B, rows: &RowsInt<'_, Self>, x: &mut [i16], sums: &mut [i32]);
}

impl IntWeight for i8 {
    const COLUMNS: usize = 4;

    #[inline(always)]
    fn products(quad: &[i8], x: &[i16]) -> [i32; 4] {
        scalar::products::<i8, 4, 16>(quad, x)
    }

    #[inline(always)]
    fn scaled(acc: i32, multiplier: u16) -> i32 {
        acc.wrapping_mul(i32::from(multiplier))
    }

    #[inline(always)]
    fn row_columns<B: Backend>(backend: B, row: &[i8], out: &mut [i16]) {
        backend.widen_i8(row, out);
    }

    #[inline(always)]
    fn hidden_columns<B: Backend>(backend: B, h: &[i16], out: &mut [i16]) {
        backend.narrow_q15(h, out);
    }

    #[inline(always)]
    fn rows<B: Backend>(backend: B, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        backend.rows_i8(rows, x, out);
    }

    #[inline(always)]
    fn add_rows<B: Backend>(backend: B, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        backend.add_rows_i8(rows, x, sums);
    }
}

impl IntWeight for i16 {
    const COLUMNS: usize = 8;

    #[inline(always)]
    fn products(quad: &[i16], x: &[i16]) -> [i32; 4] {
        scalar::products::<i16, 8, 32>(quad, x)
    }

    #[inline(always)]
    fn scaled(acc: i32, multiplier: u16) -> i32 {
        scalar::product_shifted(acc, i32::from(multiplier))
    }

    #[inline(always)]
    fn row_columns<B: Backend>(backend: B, row: &[i16], out: &mut [i16]) {
        backend.copy_q15(row, out);
    }

    #[inline(always)]
    fn hidden_columns<B: Backend>(backend: B, h: &[i16], out: &mut [i16]) {
        backend.copy_q15(h, out);
    }

    #[inline(always)]
    fn rows<B: Backend>(backend: B, rows: &RowsI16<'_>, x: &mut [i16], out: &mut [i32]) {
        backend.rows_i16(rows, x, out);
    }

    #[inline(always)]
    fn add_rows<B: Backend>(backend: B, rows: &RowsI16<'_>, x: &mut [i16], sums: &mut [i32]) {
        backend.add_rows_i16(rows, x, sums);
    }
}
