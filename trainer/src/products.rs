//! The products that training is made of, of a matrix that was put in order once and then meets many columns.
//!
//! ```text
//! C ← A·B        A: weights, `rows × depth`, Packed        B: `depth × n`, column after column from wherever they lie
//! C ← Σ a_l·b_lᵀ                                           the gradient of weights: outer products over the tokens l
//! ```
//!
//! A [`Packed`] matrix lies in panels of [`PANEL`] rows, each column after column, so that the inner loop reads it from front to back.
//! A general product would bring the recurrent weights into such an order again at each of a sequence's steps, which took a fifth of the time.
//! In `f32` the inner loop is written with pulp, for AVX-512, AVX2, NEON, or plain Rust, whichever the processor has.
//!
//! Every element of C is one sum in rising order of the depth, whatever stands beside it: the bits of a column do not depend on the
//! other columns of the call.

use crate::real::Real;
use pulp::{Arch, Simd, WithSimd};
use std::sync::LazyLock;

/// The rows of a panel: two vectors of AVX-512, four of AVX2, eight of NEON.
const PANEL: usize = 32;

/// Outer products that [`outer`] puts in order together: so many that a block of 512 rows stays in the second-level cache.
const BLOCK: usize = 128;

/// Rows and columns of a piece that is transposed at once.
const LOT: usize = 16;

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
    rows: usize,
    depth: usize,
    values: Vec<T>,
}

impl<T: Real> Packed<T> {
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

/// `C ← A·B`, or `C ← C + A·B` with `keep`. `b(j)` is column j of B, `c` is column-major and says how many columns there are.
pub(crate) fn product<'b, T: Real>(c: &mut [T], a: &Packed<T>, b: impl Fn(usize) -> &'b [T], keep: bool) {
    debug_assert!(a.rows > 0 && c.len().is_multiple_of(a.rows), "C has whole columns");
    if a.depth == 0 {
        if !keep {
            c.fill(T::zero());
        }
        return;
    }
    T::product(c, a, b, keep);
}

/// Memory of [`outer`], to be used again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outer<T> {
    left: Packed<T>,
    right: Vec<T>,
}

/// `C ← Σ a(l)·b(l)ᵀ` over `l` in `0..count`, with C `m × n` and `shape` `(m, n)`.
pub(crate) fn outer<'v, T: Real>(
    c: &mut [T],
    (m, n): (usize, usize),
    count: usize,
    a: impl Fn(usize) -> &'v [T],
    b: impl Fn(usize) -> &'v [T],
    memory: &mut Outer<T>,
) {
    if count == 0 {
        c.fill(T::zero());
    }
    for first in (0..count).step_by(BLOCK) {
        let depth = BLOCK.min(count - first);
        let Outer { left, right } = memory;
        left.pack(m, depth, |l| a(first + l));
        right.resize(n * BLOCK, T::zero());
        // A few rows at a time, whose ends stay in the first-level cache.
        for (lot, rows) in right.chunks_mut(LOT * BLOCK).enumerate() {
            for l in 0..depth {
                for (row, &value) in rows.chunks_exact_mut(BLOCK).zip(&b(first + l)[lot * LOT..]) {
                    row[l] = value;
                }
            }
        }
        product(c, left, |j| &right[j * BLOCK..][..depth], first > 0);
    }
}

/// The product by its definition: the gradient tests' `f64`.
pub(crate) fn plain<'b, T: Real>(c: &mut [T], a: &Packed<T>, b: impl Fn(usize) -> &'b [T], keep: bool) {
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

/// [`product`] in `f32`, with vectors. Where the columns lie is found out here, so that the inner loops are compiled once, not for each caller.
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

/// The arguments of [`product`].
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<T: Real>(count: usize, salt: usize) -> Vec<T> {
        (0..count).map(|i| T::of(((i * 7919 + 13 * salt) % 1009) as f64 / 504.5 - 1.0)).collect()
    }

    /// Every shape around the sizes of panels, tiles and blocks.
    fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
        let rows = [1, 7, 31, 32, 33, 64, 100];
        rows.into_iter().flat_map(|m| [0, 1, 5, 40].into_iter().flat_map(move |k| (0..20).map(move |n| (m, k, n))))
    }

    fn products_are_right<T: Real>(tolerance: f64) {
        for (m, k, n) in shapes() {
            let (a, b): (Vec<T>, Vec<T>) = (numbers(m * k, 1), numbers(k * n, 2));
            let transposed: Vec<T> =
                (0..m).flat_map(|i| (0..k).map(move |l| (i, l))).map(|(i, l)| a[l * m + i]).collect();
            let (mut packed, mut again) = (Packed::default(), Packed::default());
            packed.pack(m, k, |l| &a[l * m..][..m]);
            again.pack_transpose(&transposed, m, k);
            for keep in [false, true] {
                let start: Vec<T> = numbers(m * n, 3);
                let (mut c, mut d) = (start.clone(), start.clone());
                product(&mut c, &packed, |j| &b[j * k..][..k], keep);
                product(&mut d, &again, |j| &b[j * k..][..k], keep);
                assert_eq!(c, d, "{m} x {k} x {n}");
                for j in 0..n {
                    for i in 0..m {
                        let sum: f64 = (0..k).map(|l| a[l * m + i].as_f64() * b[j * k + l].as_f64()).sum();
                        let expected = sum + if keep { start[j * m + i].as_f64() } else { 0.0 };
                        let error = (c[j * m + i].as_f64() - expected).abs();
                        assert!(error < tolerance, "{m} x {k} x {n} at {i}, {j}: {error:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_product_equals_the_sum_of_products_in_both_number_types() {
        products_are_right::<f32>(1e-5);
        products_are_right::<f64>(1e-13);
    }

    #[test]
    fn outer_products_add_up_over_all_blocks() {
        let (m, n) = (35, 9);
        let mut memory = Outer::default();
        for count in [0, 1, BLOCK, 2 * BLOCK + 3] {
            let (a, b): (Vec<f32>, Vec<f32>) = (numbers(m * count, 1), numbers(n * count, 2));
            let mut c = vec![f32::NAN; m * n];
            outer(&mut c, (m, n), count, |l| &a[l * m..][..m], |l| &b[l * n..][..n], &mut memory);
            for (i, j) in (0..n).flat_map(|j| (0..m).map(move |i| (i, j))) {
                let expected: f64 = (0..count).map(|l| f64::from(a[l * m + i]) * f64::from(b[l * n + j])).sum();
                assert!((f64::from(c[j * m + i]) - expected).abs() < 1e-4, "{count} at {i}, {j}");
            }
        }
    }

    #[test]
    fn a_column_has_the_same_bits_in_any_company() {
        let (m, k, n) = (70, 33, 19);
        let (a, b): (Vec<f32>, Vec<f32>) = (numbers(m * k, 1), numbers(k * n, 2));
        let mut packed = Packed::default();
        packed.pack(m, k, |l| &a[l * m..][..m]);
        let mut together = vec![0.0; m * n];
        product(&mut together, &packed, |j| &b[j * k..][..k], false);
        for j in 0..n {
            let mut alone = vec![0.0; m];
            product(&mut alone, &packed, |_| &b[j * k..][..k], false);
            assert_eq!(alone, together[j * m..][..m]);
        }
    }
}
