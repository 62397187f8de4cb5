//! The number type of a network, and the products every layer is made of.
//!
//! Training runs in `f32`; the gradient tests run the same lines in `f64`, where a difference quotient is sharp enough to
//! judge a derivative. A matrix is a slice in column-major order, one column a token or a sequence. The products of
//! weights that meet many columns go through [`crate::panels`], those of dense layers to nalgebra's `gemm`, and through it to matrixmultiply.

use crate::panels::{self, Packed, Right};
use latch_engine::kernels::{AnyBackend, Backend, WithBackend};
use latch_engine::layers::attention::attention_weight_f32;
use nalgebra::{DMatrixView, DMatrixViewMut, Dyn, MatrixView, RealField};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::LazyLock;

/// A floating-point number in which a network can be held: `f32` or `f64`.
pub trait Real: RealField + Copy + Default + Send + Sync + Serialize + DeserializeOwned {
    /// The number nearest to `value`.
    fn of(value: f64) -> Self;

    /// This number as an `f64`, exactly.
    fn as_f64(self) -> f64;

    /// An integer; in `f32` exact up to 2^24.
    fn of_integer(value: i32) -> Self;

    /// This number cut to an integer, or the nearest one there is.
    fn to_integer(self) -> i32;

    /// `x ← 1 / (1 + e⁻ˣ)` for every element.
    fn sigmoid_slice(values: &mut [Self]);

    /// `x ← tanh(x)` for every element.
    fn tanh_slice(values: &mut [Self]);

    /// The weight of a step in a pooling by attention, of its first hidden feature: `e^(4·(h - 1))`, h held to [-1, 1]; in `f32` the
    /// engine's.
    fn attention_weight(self) -> Self;

    /// `C ← A·B`, or `C + A·B` with `keep`. C has whole columns of at least one row.
    fn product(c: &mut [Self], a: &Packed<Self>, b: Right<'_, '_, Self>, keep: bool);
}

/// The engine's kernels for this processor: training squashes its gates with the very functions that inference uses.
static BACKEND: LazyLock<AnyBackend> = LazyLock::new(AnyBackend::detect);

/// The engine's sigmoid of a slice.
struct Sigmoid<'a>(&'a mut [f32]);

impl WithBackend for Sigmoid<'_> {
    type Output = ();

    fn run<B: Backend>(self, backend: B) {
        backend.sigmoid_f32(self.0);
    }
}

/// The engine's tanh of a slice.
struct Tanh<'a>(&'a mut [f32]);

impl WithBackend for Tanh<'_> {
    type Output = ();

    fn run<B: Backend>(self, backend: B) {
        backend.tanh_f32(self.0);
    }
}

/// The engine's integer sigmoid of a slice.
struct SigmoidQ15<'a>(&'a mut [i16]);

impl WithBackend for SigmoidQ15<'_> {
    type Output = ();

    fn run<B: Backend>(self, backend: B) {
        backend.sigmoid_q15(self.0);
    }
}

/// The engine's integer tanh of a slice.
struct TanhQ15<'a>(&'a mut [i16]);

impl WithBackend for TanhQ15<'_> {
    type Output = ();

    fn run<B: Backend>(self, backend: B) {
        backend.tanh_q15(self.0);
    }
}

/// The engine's sigmoid in place, Q3.12 in, Q0.15 out.
pub(crate) fn sigmoid_q15(values: &mut [i16]) {
    BACKEND.run(SigmoidQ15(values));
}

/// The engine's tanh in place, Q3.12 in, Q0.15 out.
pub(crate) fn tanh_q15(values: &mut [i16]) {
    BACKEND.run(TanhQ15(values));
}

impl Real for f32 {
    fn of_integer(value: i32) -> Self {
        value as f32
    }

    fn to_integer(self) -> i32 {
        self as i32
    }

    fn of(value: f64) -> Self {
        value as f32
    }

    fn as_f64(self) -> f64 {
        f64::from(self)
    }

    fn sigmoid_slice(values: &mut [Self]) {
        BACKEND.run(Sigmoid(values));
    }

    fn tanh_slice(values: &mut [Self]) {
        BACKEND.run(Tanh(values));
    }

    fn attention_weight(self) -> Self {
        attention_weight_f32(self)
    }

    fn product(c: &mut [Self], a: &Packed<Self>, b: Right<'_, '_, Self>, keep: bool) {
        panels::vectors(c, a, b, keep);
    }
}

impl Real for f64 {
    fn of_integer(value: i32) -> Self {
        f64::from(value)
    }

    fn to_integer(self) -> i32 {
        self as i32
    }

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

    fn attention_weight(self) -> Self {
        f64::exp(4.0 * (self.clamp(-1.0, 1.0) - 1.0))
    }

    fn product(c: &mut [Self], a: &Packed<Self>, b: Right<'_, '_, Self>, keep: bool) {
        panels::plain(c, a, b, keep);
    }
}

/// A view of a column-major `rows × columns` slice.
fn view<T: Real>(values: &[T], rows: usize, columns: usize) -> DMatrixView<'_, T> {
    DMatrixView::from_slice(values, rows, columns)
}

/// The transpose of a column-major `rows × columns` slice, as a `columns × rows` view without a copy.
fn transposed<T: Real>(values: &[T], rows: usize, columns: usize) -> MatrixView<'_, T, Dyn, Dyn, Dyn, Dyn> {
    DMatrixView::from_slice_with_strides_generic(values, Dyn(columns), Dyn(rows), Dyn(rows), Dyn(1))
}

/// `C ← A·B + beta·C` with A `m × k`, B `k × n`, C `m × n`; `shape` is `(m, k, n)`. C is not read when `beta` is zero.
pub(crate) fn product<T: Real>(c: &mut [T], a: &[T], b: &[T], shape: (usize, usize, usize), beta: T) {
    let (m, k, n) = shape;
    DMatrixViewMut::from_slice(c, m, n).gemm(T::one(), &view(a, m, k), &view(b, k, n), beta);
}

/// `C ← A·Bᵀ + beta·C` with A `m × k`, B `n × k`, C `m × n`; `shape` is `(m, k, n)`. C is not read when `beta` is zero.
///
/// There is no such function for `Aᵀ·B`: nalgebra 0.35.0 walks past the end of C when the left operand has a row stride and the
/// product is small. Layers keep a transposed copy of the kernel instead.
pub(crate) fn product_with_transpose<T: Real>(c: &mut [T], a: &[T], b: &[T], shape: (usize, usize, usize), beta: T) {
    let (m, k, n) = shape;
    DMatrixViewMut::from_slice(c, m, n).gemm(T::one(), &view(a, m, k), &transposed(b, n, k), beta);
}

/// `sums[r] += Σ columns[r, j]` over a column-major matrix with `sums.len()` rows.
#[inline(always)]
pub(crate) fn add_column_sum<T: Real>(sums: &mut [T], columns: &[T]) {
    for column in columns.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(column) {
            *sum += value;
        }
    }
}

/// `y ← y + x`, element by element.
#[inline(always)]
pub(crate) fn add<T: Real>(y: &mut [T], x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// `y ← y ∘ x`, element by element.
#[inline(always)]
pub(crate) fn multiply<T: Real>(y: &mut [T], x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y *= x;
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

    pub(crate) fn serialize<T: Real, S: Serializer>(matrix: &DMatrix<T>, serializer: S) -> Result<S::Ok, S::Error> {
        let values = Cow::Borrowed(matrix.as_slice());
        Tensor { rows: matrix.nrows(), columns: matrix.ncols(), values }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Real, D: Deserializer<'de>>(deserializer: D) -> Result<DMatrix<T>, D::Error> {
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
    fn no_product_writes_beside_its_target() {
        for (m, k, n) in (0..20).flat_map(|m| (0..9).flat_map(move |k| (0..20).map(move |n| (m, k, n)))) {
            let (a, b) = (numbers(m * k), numbers(k * n));
            for function in [product::<f64>, product_with_transpose::<f64>] {
                let mut memory = vec![77.0; m * n + 256];
                function(&mut memory[128..128 + m * n], &a, &b, (m, k, n), 0.0);
                let beside = memory[..128].iter().chain(&memory[128 + m * n..]);
                assert!(beside.into_iter().all(|&value| value == 77.0), "{m} x {k} x {n}");
            }
        }
    }

    #[test]
    fn the_activations_of_f32_follow_those_of_f64() {
        let exact: Vec<f64> = (-40_000..=40_000).map(|step| f64::from(step) * 2.5e-3).collect();
        let compare = |round: fn(&mut [f32]), reference: fn(&mut [f64])| {
            let mut found: Vec<f32> = exact.iter().map(|&x| x as f32).collect();
            let mut expected: Vec<f64> = found.iter().map(|&x| f64::from(x)).collect();
            round(&mut found);
            reference(&mut expected);
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 3e-7);
            }
        };
        compare(f32::sigmoid_slice, f64::sigmoid_slice);
        compare(f32::tanh_slice, f64::tanh_slice);
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
