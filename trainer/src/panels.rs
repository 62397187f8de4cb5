//! Matrices in panels, and the product of one with columns.
//!
//! A [`Packed`] matrix lies in panels of [`PANEL`] rows, each column after column, so that the inner loop reads it from front to back.
//! A general product would bring the recurrent weights into such an order again at each of a sequence's steps, which took a fifth of the time.
//! In `f32` the inner loop is written with pulp, for AVX-512, AVX2, NEON, or plain Rust, whichever the processor has.
//!
//! Every element of C is one sum in rising order of the depth, whatever stands beside it: the bits of a column do not depend on the
//! other columns of the call.

use nalgebra::RealField;
use pulp::{Arch, Simd, WithSimd};
use std::sync::LazyLock;

/// The rows of a panel: two vectors of AVX-512, four of AVX2, eight of NEON.
const PANEL: usize = 32;

/// Rows and columns of a piece that is transposed at once.
pub(crate) const LOT: usize = 16;

/// The vector instructions of this processor.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs `work` compiled for this processor's vector instructions. Only what is inlined into it gains.
pub(crate) fn vectorized<W: WithSimd>(work: W) -> W::Output {
    ARCH.dispatch(work)
}

/// A matrix in panels: element `(row, l)` is at `(row / PANEL · depth + l) · PANEL + row % PANEL`. What pads the last panel is never
/// looked at.
#[derive(Debug, Clone, Default)]
pub struct Packed<T> {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    values: Vec<T>,
}

impl<T: RealField + Copy> Packed<T> {
    fn resize(&mut self, rows: usize, depth: usize) {
        (self.rows, self.depth) = (rows, depth);
        self.values.resize(rows.next_multiple_of(PANEL) * depth, T::zero());
    }

    /// Takes up a matrix of `rows × depth` by its columns.
    pub(crate) fn pack<'a>(&mut self, rows: usize, depth: usize, column: impl Fn(usize) -> &'a [T]) {
        self.resize(rows, depth);
        for l in 0..depth {
            // Whole panels by arrays, whose length the compiler knows: they are too short for a call to copy each.
            let (whole, rest) = column(l)[..rows].as_chunks::<PANEL>();
            let (values, _) = self.values.as_chunks_mut::<PANEL>();
            for (panel, part) in whole.iter().enumerate() {
                values[panel * depth + l] = *part;
            }
            if !rest.is_empty() {
                values[whole.len() * depth + l][..rest.len()].copy_from_slice(rest);
            }
        }
    }

    /// Takes up the transpose, `rows × depth`, of a column-major matrix of `depth × rows`.
    pub(crate) fn pack_transpose(&mut self, matrix: &[T], rows: usize, depth: usize) {
        self.resize(rows, depth);
        if depth == 0 {
            return;
        }
        for (panel, columns) in self.values.chunks_exact_mut(PANEL * depth).zip(matrix.chunks(PANEL * depth)) {
            transpose_into(panel, PANEL, columns, depth);
        }
    }
}

/// Writes the columns of `matrix` (column-major with `rows` rows) as rows of a column-major matrix with `stride` rows, in squares, so
/// that both sides stay in the first-level cache.
fn transpose_into<T: Copy>(target: &mut [T], stride: usize, matrix: &[T], rows: usize) {
    for first in (0..rows).step_by(LOT) {
        let last = (first + LOT).min(rows);
        for (column, values) in matrix.chunks_exact(rows).enumerate() {
            for (row, &value) in (first..last).zip(&values[first..last]) {
                target[row * stride + column] = value;
            }
        }
    }
}

/// The product by its definition: the gradient tests' `f64`.
pub(crate) fn plain<'b, T: RealField + Copy>(c: &mut [T], a: &Packed<T>, b: impl Fn(usize) -> &'b [T], keep: bool) {
    for (j, column) in c.chunks_exact_mut(a.rows).enumerate() {
        for (row, c) in column.iter_mut().enumerate() {
            let weights = a.values[row / PANEL * a.depth * PANEL + row % PANEL..].iter().step_by(PANEL);
            let start = if keep { *c } else { T::zero() };
            *c = weights.zip(&b(j)[..a.depth]).fold(start, |sum, (&weight, &value)| sum + weight * value);
        }
    }
}

/// Columns that [`vectors`] looks up together, for all panels.
const COLUMNS: usize = 64;

/// [`crate::products::product`] in `f32`, with vectors. Where the columns lie is found out here, so that the inner loops are compiled once, not for
/// each caller.
pub(crate) fn vectors<'b>(c: &mut [f32], a: &Packed<f32>, b: impl Fn(usize) -> &'b [f32], keep: bool) {
    let mut columns: [&[f32]; COLUMNS] = [&[]; COLUMNS];
    for (lot, c) in c.chunks_mut(a.rows * COLUMNS).enumerate() {
        let columns = &mut columns[..c.len() / a.rows];
        for (j, column) in columns.iter_mut().enumerate() {
            *column = &b(lot * COLUMNS + j)[..a.depth];
        }
        vectorized(Product { c, a, columns, keep });
    }
}

/// The arguments of [`crate::products::product`].
struct Product<'c> {
    c: &'c mut [f32],
    a: &'c Packed<f32>,
    columns: &'c [&'c [f32]],
    keep: bool,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many columns at once as there are registers for their sums.
        match S::F32_LANES {
            16 => self.panels::<S, 2, 8>(simd),
            8 => self.panels::<S, 4, 2>(simd),
            4 => self.panels::<S, 8, 2>(simd),
            _ => self.panels::<S, PANEL, 1>(simd),
        }
    }
}

impl Product<'_> {
    /// `V` vectors make a panel; `N` columns are taken at once, and what is left of them in smaller lots.
    #[inline(always)]
    fn panels<S: Simd, const V: usize, const N: usize>(mut self, simd: S) {
        let (columns, a) = (self.columns.len(), self.a);
        for (panel, weights) in a.values.chunks_exact(PANEL * a.depth).enumerate() {
            let (weights, _) = S::as_simd_f32s(weights);
            let mut j = 0;
            while columns - j >= N {
                self.tile::<S, V, N>(simd, weights, panel * PANEL, j);
                j += N;
            }
            if N > 4 && columns - j >= 4 {
                self.tile::<S, V, 4>(simd, weights, panel * PANEL, j);
                j += 4;
            }
            if N > 2 && columns - j >= 2 {
                self.tile::<S, V, 2>(simd, weights, panel * PANEL, j);
                j += 2;
            }
            if columns > j {
                self.tile::<S, V, 1>(simd, weights, panel * PANEL, j);
            }
        }
    }

    /// The rows of one panel, from `row`, in `N` columns from `j`.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const N: usize>(&mut self, simd: S, weights: &[S::f32s], row: usize, j: usize) {
        let (rows, depth) = (self.a.rows, self.a.depth);
        let height = PANEL.min(rows - row);
        let mut sums = [[simd.splat_f32s(0.0); V]; N];
        if self.keep {
            for (n, sums) in sums.iter_mut().enumerate() {
                let c = &self.c[(j + n) * rows + row..][..height];
                let mut padded = [0.0; PANEL];
                let c = match c.first_chunk::<PANEL>() {
                    Some(whole) => whole,
                    None => {
                        padded[..height].copy_from_slice(c);
                        &padded
                    }
                };
                for (sum, &c) in sums.iter_mut().zip(S::as_simd_f32s(c).0) {
                    *sum = c;
                }
            }
        }
        let columns: [&[f32]; N] = std::array::from_fn(|n| &self.columns[j + n][..depth]);
        for (l, weights) in weights.chunks_exact(V).enumerate() {
            for (sums, column) in sums.iter_mut().zip(&columns) {
                let value = simd.splat_f32s(column[l]);
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add_f32s(weight, value, *sum);
                }
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            let c = &mut self.c[(j + n) * rows + row..][..height];
            let store = |target: &mut [f32; PANEL]| {
                for (target, &sum) in S::as_mut_simd_f32s(target).0.iter_mut().zip(sums) {
                    *target = sum;
                }
            };
            match c.first_chunk_mut::<PANEL>() {
                Some(whole) => store(whole),
                None => {
                    let mut padded = [0.0; PANEL];
                    store(&mut padded);
                    c.copy_from_slice(&padded[..height]);
                }
            }
        }
    }
}
