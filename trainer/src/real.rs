//! The number type of a network, and the products every layer is made of.
//!
//! Training runs in `f32`; the gradient tests run the same lines in `f64`, where a difference quotient is sharp enough to
//! judge a derivative. A matrix is a slice in column-major order, one column a token or a sequence. Large products go to
//! nalgebra's `gemm` (and through it to matrixmultiply); the product of a recurrent kernel with the few columns of one
//! time step goes to [`PackedKernel`], which packs the kernel once a batch and not once a step.

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, Dyn, MatrixView, RealField};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A floating-point number in which a network can be held: `f32` or `f64`.
pub trait Real: RealField + Copy + Default + Send + Sync + Serialize + DeserializeOwned {
    /// The number nearest to `value`.
    fn of(value: f64) -> Self;

    /// This number as an `f64`, exactly.
    fn as_f64(self) -> f64;

    /// `x ← 1 / (1 + e⁻ˣ)` for every element.
    fn sigmoid_slice(values: &mut [Self]);

    /// `x ← tanh(x)` for every element.
    fn tanh_slice(values: &mut [Self]);
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }

    fn as_f64(self) -> f64 {
        f64::from(self)
    }

    fn sigmoid_slice(values: &mut [Self]) {
        for value in values {
            *value = sigmoid(*value);
        }
    }

    fn tanh_slice(values: &mut [Self]) {
        for value in values {
            *value = 2.0 * sigmoid(2.0 * *value) - 1.0;
        }
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn as_f64(self) -> f64 {
        self
    }

    fn sigmoid_slice(values: &mut [Self]) {
        for value in values {
            *value = 1.0 / (1.0 + f64::exp(-*value));
        }
    }

    fn tanh_slice(values: &mut [Self]) {
        for value in values {
            *value = f64::tanh(*value);
        }
    }
}

/// The largest absolute error of the `f32` [`Real::sigmoid_slice`]; that of [`Real::tanh_slice`] is at most four times it.
pub const SIGMOID_ERROR: f32 = 2e-7;

/// `1 / (1 + e⁻ˣ)` without a branch, so that a loop over it compiles to vector instructions. A NaN stays one.
///
/// `e^y = 2ⁿ · e^r` with `n = round(y / ln 2)` and `|r| ≤ ln 2 / 2`, where six terms of the series are exact to one ulp.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves the rounded integer in the low mantissa bits
    const LN_2_HIGH: f32 = 0.693_359_4; // nine bits, so that n · LN_2_HIGH is exact
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let y = (-x).clamp(-87.0, 87.0);
    let shifted = y * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (y - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut series = 1.0 / 720.0;
    series = series * r + 1.0 / 120.0;
    series = series * r + 1.0 / 24.0;
    series = series * r + 1.0 / 6.0;
    series = series * r + 0.5;
    series = series * r + 1.0;
    series = series * r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    1.0 / (1.0 + series * power)
}

/// A view of a column-major `rows × columns` slice.
fn view<T: Real>(values: &[T], rows: usize, columns: usize) -> DMatrixView<'_, T> {
    DMatrixView::from_slice(values, rows, columns)
}

/// The transpose of a column-major `rows × columns` slice, as a `columns × rows` view without a copy.
fn transposed<T: Real>(
    values: &[T],
    rows: usize,
    columns: usize,
) -> MatrixView<'_, T, Dyn, Dyn, Dyn, Dyn> {
    DMatrixView::from_slice_with_strides_generic(values, Dyn(columns), Dyn(rows), Dyn(rows), Dyn(1))
}

/// `C ← A·B + beta·C` with A `m × k`, B `k × n`, C `m × n`; `shape` is `(m, k, n)`. C is not read when `beta` is zero.
pub(crate) fn product<T: Real>(
    c: &mut [T],
    a: &[T],
    b: &[T],
    shape: (usize, usize, usize),
    beta: T,
) {
    let (m, k, n) = shape;
    DMatrixViewMut::from_slice(c, m, n).gemm(T::one(), &view(a, m, k), &view(b, k, n), beta);
}

/// `C ← A·Bᵀ + beta·C` with A `m × k`, B `n × k`, C `m × n`; `shape` is `(m, k, n)`. C is not read when `beta` is zero.
///
/// There is no such function for `Aᵀ·B`: nalgebra 0.35.0 walks past the end of C when the left operand has a row stride and the
/// product is small. Layers keep a transposed copy of the kernel instead.
pub(crate) fn product_with_transpose<T: Real>(
    c: &mut [T],
    a: &[T],
    b: &[T],
    shape: (usize, usize, usize),
    beta: T,
) {
    let (m, k, n) = shape;
    DMatrixViewMut::from_slice(c, m, n).gemm(T::one(), &view(a, m, k), &transposed(b, n, k), beta);
}

/// `sums[r] += Σ columns[r, j]` over a column-major matrix with `sums.len()` rows.
pub(crate) fn add_column_sum<T: Real>(sums: &mut [T], columns: &[T]) {
    for column in columns.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(column) {
            *sum += value;
        }
    }
}

/// `y ← y + x`, element by element.
pub(crate) fn add<T: Real>(y: &mut [T], x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `y ← y ∘ x`, element by element.
pub(crate) fn multiply<T: Real>(y: &mut [T], x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y *= x;
    }
}

/// Rows that a tile of a [`PackedKernel`] holds.
const TILE: usize = 8;

/// Columns that one pass over a tile serves.
const LANES: usize = 4;

/// A matrix laid out in tiles of eight rows, for many products with few columns each.
///
/// A general product packs its left operand at every call, which costs as much as the multiplication itself when the right
/// operand has only the sixteen columns of one time step. Here the packing happens once a batch. Each result is summed in
/// the order of the inner index, whatever the number of columns: a column does not feel its neighbours.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackedKernel<T> {
    rows: usize,
    inner: usize,
    /// Tile after tile; in a tile, the eight values of one inner index lie together. Missing rows are zero.
    tiles: Vec<T>,
}

impl<T: Real> PackedKernel<T> {
    /// Packs `matrix` (rows × inner).
    pub(crate) fn pack(&mut self, matrix: &DMatrix<T>) {
        let (rows, inner) = matrix.shape();
        self.fill(rows, inner, |row, k| matrix[(row, k)]);
    }

    /// Packs the transpose of `matrix` (inner × rows).
    pub(crate) fn pack_transposed(&mut self, matrix: &DMatrix<T>) {
        let (inner, rows) = matrix.shape();
        self.fill(rows, inner, |row, k| matrix[(k, row)]);
    }

    fn fill(&mut self, rows: usize, inner: usize, value: impl Fn(usize, usize) -> T) {
        self.rows = rows;
        self.inner = inner;
        self.tiles.clear();
        self.tiles.resize(rows.div_ceil(TILE) * TILE * inner, T::zero());
        for (tile, lanes) in self.tiles.chunks_exact_mut(TILE * inner.max(1)).enumerate() {
            for (k, lane) in lanes.chunks_exact_mut(TILE).enumerate() {
                for (row, slot) in (tile * TILE..rows).zip(lane) {
                    *slot = value(row, k);
                }
            }
        }
    }

    /// `C ← C + K·B` with B `inner × n` and C `rows × n`, both column-major.
    pub(crate) fn multiply_add(&self, b: &[T], c: &mut [T]) {
        if self.inner == 0 || self.rows == 0 {
            return;
        }
        for (tile, lanes) in self.tiles.chunks_exact(TILE * self.inner).enumerate() {
            let first = tile * TILE;
            let height = TILE.min(self.rows - first);
            let mut b_blocks = b.chunks_exact(LANES * self.inner);
            let mut c_blocks = c.chunks_exact_mut(LANES * self.rows);
            for (b, c) in (&mut b_blocks).zip(&mut c_blocks) {
                self.tile_product::<LANES>(lanes, b, c, first, height);
            }
            let b_rest = b_blocks.remainder().chunks_exact(self.inner);
            let c_rest = c_blocks.into_remainder().chunks_exact_mut(self.rows);
            for (b, c) in b_rest.zip(c_rest) {
                self.tile_product::<1>(lanes, b, c, first, height);
            }
        }
    }

    /// Adds the product of one tile with `N` columns to rows `first..first + height` of `c`.
    #[inline(always)]
    fn tile_product<const N: usize>(
        &self,
        lanes: &[T],
        b: &[T],
        c: &mut [T],
        first: usize,
        height: usize,
    ) {
        let columns: [&[T]; N] =
            core::array::from_fn(|j| &b[j * self.inner..(j + 1) * self.inner]);
        let mut sums = [[T::zero(); TILE]; N];
        for (k, lane) in lanes.chunks_exact(TILE).enumerate() {
            for (sum, column) in sums.iter_mut().zip(columns) {
                let factor = column[k];
                for (sum, &value) in sum.iter_mut().zip(lane) {
                    *sum += value * factor;
                }
            }
        }
        for (j, sum) in sums.iter().enumerate() {
            add(&mut c[j * self.rows + first..][..height], sum);
        }
    }
}

/// How a matrix is written by serde: its shape, then its values in column-major order.
pub(crate) mod tensor {
    use super::Real;
    use nalgebra::DMatrix;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
    use std::borrow::Cow;

    #[derive(Serialize, Deserialize)]
    #[serde(bound = "T: Real")]
    struct Tensor<'a, T: Real> {
        rows: usize,
        columns: usize,
        values: Cow<'a, [T]>,
    }

    pub(crate) fn serialize<T: Real, S: Serializer>(
        matrix: &DMatrix<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let values = Cow::Borrowed(matrix.as_slice());
        Tensor { rows: matrix.nrows(), columns: matrix.ncols(), values }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Real, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DMatrix<T>, D::Error> {
        let tensor = Tensor::<T>::deserialize(deserializer)?;
        if tensor.rows.checked_mul(tensor.columns) != Some(tensor.values.len()) {
            return Err(D::Error::custom(format_args!(
                "a tensor of {} x {} has {} values",
                tensor.rows,
                tensor.columns,
                tensor.values.len()
            )));
        }
        Ok(DMatrix::from_vec(tensor.rows, tensor.columns, tensor.values.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f64> {
        (0..count).map(|i| ((i * 7919 + 13) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    /// `C = A·B`, element by element, for `a(row, k)` and `b(k, column)`.
    fn naive(
        (m, k, n): (usize, usize, usize),
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        let element = |i, j| (0..k).map(|l| a(i, l) * b(l, j)).sum();
        (0..n).flat_map(|j| (0..m).map(move |i| (i, j))).map(|(i, j)| element(i, j)).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    #[test]
    fn both_products_equal_the_sum_of_products() {
        for shape @ (m, k, n) in [(1, 1, 1), (3, 2, 9), (7, 6, 8), (20, 33, 17), (9, 0, 9), (8, 7, 0)] {
            let (a, b) = (numbers(m * k), numbers(k * n));
            let mut c = vec![f64::NAN; m * n];
            product(&mut c, &a, &b, shape, 0.0);
            assert_close(&c, &naive(shape, |i, l| a[l * m + i], |l, j| b[j * k + l]));
            product_with_transpose(&mut c, &a, &b, shape, 0.0);
            assert_close(&c, &naive(shape, |i, l| a[l * m + i], |l, j| b[l * n + j]));
        }
    }

    #[test]
    fn a_packed_kernel_equals_the_plain_product() {
        for (rows, inner, columns) in [(1, 1, 1), (8, 3, 4), (13, 5, 7), (12, 9, 1), (32, 16, 18)] {
            let matrix = DMatrix::from_vec(rows, inner, numbers(rows * inner));
            let b = numbers(inner * columns);
            let start = numbers(rows * columns);
            let mut expected = start.clone();
            product(&mut expected, matrix.as_slice(), &b, (rows, inner, columns), 1.0);
            let mut packed = PackedKernel::default();
            for transposed in [false, true] {
                if transposed {
                    packed.pack_transposed(&matrix.transpose());
                } else {
                    packed.pack(&matrix);
                }
                let mut c = start.clone();
                packed.multiply_add(&b, &mut c);
                assert_close(&c, &expected);
            }
        }
    }

    #[test]
    fn a_column_of_a_packed_product_does_not_feel_its_neighbours() {
        let matrix = DMatrix::from_vec(20, 11, numbers(220)).map(|value| value as f32);
        let b: Vec<f32> = numbers(11 * 7).iter().map(|&value| value as f32).collect();
        let mut packed = PackedKernel::default();
        packed.pack(&matrix);
        let mut together = vec![0.0; 20 * 7];
        packed.multiply_add(&b, &mut together);
        for (column, together) in b.chunks(11).zip(together.chunks(20)) {
            let mut alone = vec![0.0; 20];
            packed.multiply_add(column, &mut alone);
            assert_eq!(alone, together);
        }
    }

    #[test]
    fn the_activations_stay_inside_their_bounds() {
        for step in -400_000_i32..=400_000 {
            let x = step as f32 * 2.5e-4;
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            let mut pair = [x];
            f32::sigmoid_slice(&mut pair);
            assert!((f64::from(pair[0]) - exact).abs() <= f64::from(SIGMOID_ERROR), "sigmoid({x})");
            let mut pair = [x];
            f32::tanh_slice(&mut pair);
            let error = (f64::from(pair[0]) - f64::from(x).tanh()).abs();
            assert!(error <= 4.0 * f64::from(SIGMOID_ERROR), "tanh({x})");
        }
    }

    #[test]
    fn the_activations_keep_a_nan_and_saturate_at_infinity() {
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
        f32::sigmoid_slice(&mut values);
        assert!(values[0].is_nan());
        assert_eq!(values[1], 1.0);
        assert!(values[2].abs() < 1e-30);
        assert_eq!(values[3], 0.5);
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
        f32::tanh_slice(&mut values);
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [1.0, -1.0, 0.0]);
    }
}
