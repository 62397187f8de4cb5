//! Matrices in panels, and the product of one with columns.
//!
//! A [`Packed`] matrix lies in panels of some rows, each column after column, so that the inner loop reads it from front to back, on whole
//! lines of the cache. A general product would bring the recurrent weights into such an order again at each of a sequence's steps, which took a
//! fifth of the time. In `f32` the inner loop is written with pulp, for AVX-512, AVX2, NEON, or plain Rust, whichever the processor has.
//!
//! Every element of C is one sum in rising order of the depth, whatever stands beside it: the bits of a column depend neither on the
//! other columns of the call nor on the height of a panel.

use aligned_vec::{AVec, ConstAlign};
use nalgebra::RealField;
use pulp::{Arch, Simd, WithSimd};
use std::sync::LazyLock;

/// Rows that are copied or transposed at once. All panels but the last have a multiple of as many.
pub(crate) const LOT: usize = 16;

/// Bytes of a line of the cache: a vector that straddles two costs two loads.
const LINE: usize = 64;

/// The vector instructions of this processor.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs `work` compiled for this processor's vector instructions. Only what is inlined into it gains.
pub(crate) fn vectorized<W: WithSimd>(work: W) -> W::Output {
    ARCH.dispatch(work)
}

/// The vectors of a panel, with so many lanes each. With the columns that [`Product::with_simd`] takes at once, their sums fill the registers.
const fn vectors_of_a_panel(lanes: usize) -> usize {
    match lanes {
        1 => LOT,
        8 => 2,
        _ => 4,
    }
}

/// How matrices are cut on this processor.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The rows of a panel.
    panel: usize,
    /// Those of the last panel are a multiple of this.
    part: usize,
}

static CUT: LazyLock<Cut> = LazyLock::new(|| vectorized(FindCut));

struct FindCut;

impl WithSimd for FindCut {
    type Output = Cut;

    fn with_simd<S: Simd>(self, _: S) -> Cut {
        let panel = S::F32_LANES * vectors_of_a_panel(S::F32_LANES);
        Cut { panel, part: if S::F32_LANES == 1 { panel } else { S::F32_LANES } }
    }
}

/// A matrix in panels: each column after column, the last one lower than the others. What pads it is never looked at.
#[derive(Debug, Clone)]
pub struct Packed<T> {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    values: AVec<T, ConstAlign<LINE>>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Packed { rows: 0, depth: 0, values: AVec::new(LINE) }
    }
}

/// One of a matrix's panels.
#[derive(Debug, Clone, Copy)]
struct Panel {
    /// Its first row in the matrix.
    row: usize,
    /// Its rows, with those that pad the last one.
    height: usize,
}

/// The panels of so many rows.
fn panels(rows: usize) -> impl Iterator<Item = Panel> {
    let Cut { panel, part } = *CUT;
    let last = move |row: usize| (rows - row).min(panel).next_multiple_of(part);
    (0..rows).step_by(panel).map(move |row| Panel { row, height: last(row) })
}

impl<T: RealField + Copy> Packed<T> {
    fn resize(&mut self, rows: usize, depth: usize) {
        (self.rows, self.depth) = (rows, depth);
        let height: usize = panels(rows).map(|panel| panel.height).sum();
        self.values.resize(height * depth, T::zero());
    }

    /// Takes up a matrix of `rows × depth` by its columns.
    pub(crate) fn pack<'a>(&mut self, rows: usize, depth: usize, column: impl Fn(usize) -> &'a [T]) {
        self.resize(rows, depth);
        for l in 0..depth {
            let column = &column(l)[..rows];
            for Panel { row, height } in panels(rows) {
                let target = &mut self.values[row * depth + l * height..][..height];
                let part = &column[row..rows.min(row + height)];
                // By arrays, whose length the compiler knows: they are too short for a call to copy each.
                let (whole, rest) = part.as_chunks::<LOT>();
                let (targets, end) = target.as_chunks_mut::<LOT>();
                targets.iter_mut().zip(whole).for_each(|(target, part)| *target = *part);
                let end = if targets.len() > whole.len() { &mut targets[whole.len()] } else { end };
                end.iter_mut().zip(rest).for_each(|(target, value)| *target = *value);
            }
        }
    }

    /// Takes up the transpose, `rows × depth`, of a column-major matrix of `depth × rows`.
    pub(crate) fn pack_transpose(&mut self, matrix: &[T], rows: usize, depth: usize) {
        self.resize(rows, depth);
        if depth == 0 {
            return;
        }
        for Panel { row, height } in panels(rows) {
            let columns = &matrix[row * depth..rows.min(row + height) * depth];
            transpose_into(&mut self.values[row * depth..][..height * depth], height, columns, depth);
        }
    }

    /// An element, by its place in the panels.
    fn at(&self, row: usize, l: usize) -> T {
        let Cut { panel, part } = *CUT;
        let first = row / panel * panel;
        let height = (self.rows - first).min(panel).next_multiple_of(part);
        self.values[first * self.depth + l * height + row - first]
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

/// Where the elements of B lie.
#[derive(Clone, Copy)]
pub enum Right<'f, 'b, T> {
    /// The depth of each of its columns.
    Columns(&'f (dyn Fn(usize) -> &'b [T] + 'f)),
    /// All its columns at each depth.
    Rows(&'f (dyn Fn(usize) -> &'b [T] + 'f)),
}

impl<T: Copy> Right<'_, '_, T> {
    fn at(&self, l: usize, j: usize) -> T {
        match self {
            Right::Columns(column) => column(j)[l],
            Right::Rows(row) => row(l)[j],
        }
    }
}

/// The product by its definition: the gradient tests' `f64`.
pub(crate) fn plain<T: RealField + Copy>(c: &mut [T], a: &Packed<T>, b: Right<'_, '_, T>, keep: bool) {
    for (j, column) in c.chunks_exact_mut(a.rows).enumerate() {
        for (row, c) in column.iter_mut().enumerate() {
            let start = if keep { *c } else { T::zero() };
            *c = (0..a.depth).fold(start, |sum, l| sum + a.at(row, l) * b.at(l, j));
        }
    }
}

/// Columns that [`vectors`] looks up together, for all panels.
const COLUMNS: usize = 64;

/// The most rows of B.
pub(crate) const ROWS: usize = 128;

/// [`crate::products::product`] in `f32`, with vectors. Where the columns lie is found out here, so that the inner loops are compiled once, not for
/// each caller.
pub(crate) fn vectors(c: &mut [f32], a: &Packed<f32>, b: Right<'_, '_, f32>, keep: bool) {
    for (lot, c) in c.chunks_mut(a.rows * COLUMNS).enumerate() {
        let (first, count) = (lot * COLUMNS, c.len() / a.rows);
        match b {
            Right::Columns(column) => {
                let right = looked_up::<COLUMNS>(count, |j| &column(first + j)[..a.depth]);
                vectorized(Product { c, a, count, keep, right: ByColumns(&right[..count]) });
            }
            Right::Rows(row) => {
                let right = looked_up::<ROWS>(a.depth, |l| &row(l)[first..][..count]);
                vectorized(Product { c, a, count, keep, right: ByRows(&right[..a.depth]) });
            }
        }
    }
}

/// The first so many of some slices.
#[inline(always)]
fn looked_up<'s, const N: usize>(count: usize, slice: impl Fn(usize) -> &'s [f32]) -> [&'s [f32]; N] {
    let mut slices: [&[f32]; N] = [&[]; N];
    slices[..count].iter_mut().enumerate().for_each(|(number, place)| *place = slice(number));
    slices
}

/// [`Right`] with its columns or rows looked up: `N` columns from j.
trait Columns: Copy {
    type Some<const N: usize>: Copy;

    fn some<const N: usize>(self, j: usize, depth: usize) -> Self::Some<N>;

    /// Their elements at a depth.
    fn at<const N: usize>(some: Self::Some<N>, l: usize) -> [f32; N];
}

#[derive(Clone, Copy)]
struct ByColumns<'b>(&'b [&'b [f32]]);

impl<'b> Columns for ByColumns<'b> {
    type Some<const N: usize> = [&'b [f32]; N];

    #[inline(always)]
    fn some<const N: usize>(self, j: usize, depth: usize) -> [&'b [f32]; N] {
        let mut some: [&[f32]; N] = [&[]; N];
        for (some, column) in some.iter_mut().zip(&self.0[j..j + N]) {
            *some = &column[..depth];
        }
        some
    }

    #[inline(always)]
    fn at<const N: usize>(some: [&'b [f32]; N], l: usize) -> [f32; N] {
        let mut values = [0.0; N];
        for (value, column) in values.iter_mut().zip(some) {
            *value = column[l];
        }
        values
    }
}

#[derive(Clone, Copy)]
struct ByRows<'b>(&'b [&'b [f32]]);

impl<'b> Columns for ByRows<'b> {
    type Some<const N: usize> = (&'b [&'b [f32]], usize);

    #[inline(always)]
    fn some<const N: usize>(self, j: usize, depth: usize) -> (&'b [&'b [f32]], usize) {
        (&self.0[..depth], j)
    }

    #[inline(always)]
    fn at<const N: usize>((rows, j): (&'b [&'b [f32]], usize), l: usize) -> [f32; N] {
        let mut values = [0.0; N];
        for (value, &b) in values.iter_mut().zip(&rows[l][j..j + N]) {
            *value = b;
        }
        values
    }
}

/// The arguments of [`crate::products::product`].
struct Product<'c, B> {
    c: &'c mut [f32],
    a: &'c Packed<f32>,
    /// The columns of B and C.
    count: usize,
    keep: bool,
    right: B,
}

impl<B: Columns> WithSimd for Product<'_, B> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many columns at once as there are registers for their sums.
        match S::F32_LANES {
            16 => self.panels::<S, 4, 6>(simd),
            8 => self.panels::<S, 2, 6>(simd),
            4 => self.panels::<S, 4, 4>(simd),
            _ => self.panels::<S, LOT, 1>(simd),
        }
    }
}

impl<B: Columns> Product<'_, B> {
    /// `V` vectors make a panel, of which the last one may have fewer; `N` columns are taken at once.
    #[inline(always)]
    fn panels<S: Simd, const V: usize, const N: usize>(mut self, simd: S) {
        let a = self.a;
        for Panel { row, height } in panels(a.rows) {
            let (weights, _) = S::as_simd_f32s(&a.values[row * a.depth..][..height * a.depth]);
            match height / S::F32_LANES {
                1 if V > 1 => self.columns::<S, 1, 12>(simd, weights, row),
                2 if V > 2 => self.columns::<S, 2, 8>(simd, weights, row),
                3 if V > 3 => self.columns::<S, 3, 6>(simd, weights, row),
                _ => self.columns::<S, V, N>(simd, weights, row),
            }
        }
    }

    /// A panel of `V` vectors, from a row of C, with all columns: `N` of them at once, and what is left of them in smaller lots.
    #[inline(always)]
    fn columns<S: Simd, const V: usize, const N: usize>(&mut self, simd: S, weights: &[S::f32s], row: usize) {
        let count = self.count;
        let mut j = 0;
        while count - j >= N {
            self.tile::<S, V, N>(simd, weights, row, j);
            j += N;
        }
        if N > 8 && count - j >= 8 {
            self.tile::<S, V, 8>(simd, weights, row, j);
            j += 8;
        }
        if N > 4 && count - j >= 4 {
            self.tile::<S, V, 4>(simd, weights, row, j);
            j += 4;
        }
        if N > 2 && count - j >= 2 {
            self.tile::<S, V, 2>(simd, weights, row, j);
            j += 2;
        }
        if count > j {
            self.tile::<S, V, 1>(simd, weights, row, j);
        }
    }

    /// The rows of one panel, from `row`, in `N` columns from `j`.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "with iterators the compiler keeps the sums in memory")]
    fn tile<S: Simd, const V: usize, const N: usize>(&mut self, simd: S, weights: &[S::f32s], row: usize, j: usize) {
        let (rows, depth) = (self.a.rows, self.a.depth);
        let height = (V * S::F32_LANES).min(rows - row);
        let mut sums = [[simd.splat_f32s(0.0); V]; N];
        if self.keep {
            for (n, sums) in sums.iter_mut().enumerate() {
                let (whole, rest) = S::as_simd_f32s(&self.c[(j + n) * rows + row..][..height]);
                let mut padded = [simd.splat_f32s(0.0); V];
                let c = match whole.first_chunk::<V>() {
                    Some(whole) => whole,
                    None => {
                        padded[..whole.len()].copy_from_slice(whole);
                        if !rest.is_empty() {
                            padded[whole.len()] = simd.partial_load_f32s(rest);
                        }
                        &padded
                    }
                };
                *sums = *c;
            }
        }
        let some = self.right.some::<N>(j, depth);
        for (weights, l) in weights.as_chunks::<V>().0.iter().zip(0..depth) {
            let values = B::at::<N>(some, l);
            for n in 0..N {
                let value = simd.splat_f32s(values[n]);
                for v in 0..V {
                    sums[n][v] = simd.mul_add_f32s(weights[v], value, sums[n][v]);
                }
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            let (whole, rest) = S::as_mut_simd_f32s(&mut self.c[(j + n) * rows + row..][..height]);
            match whole.first_chunk_mut::<V>() {
                Some(whole) => *whole = *sums,
                None => {
                    let padded = *sums;
                    whole.copy_from_slice(&padded[..whole.len()]);
                    if !rest.is_empty() {
                        simd.partial_store_f32s(rest, padded[whole.len()]);
                    }
                }
            }
        }
    }
}
