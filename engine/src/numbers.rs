//! The arithmetic of a model: integers, or floats in one of two storages. Layers are written once over it.
//!
//! What one layer alone computes stands in that layer's file, as a trait over [`Numbers`] with an implementation for integers and one for floats.

use core::fmt::Debug;

use bytemuck::Pod;
use half::f16;

use crate::error::Error;
use crate::features::{ATTENTION, FLOAT, INT4, INT16, POOLING};
use crate::image::section::Element;
use crate::kernels::{self, Backend, Features, FeaturesFloat, FloatWeight, IntWeight, Packed, RowsFloat, nibbles};

/// Type of the weights, and with it the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Half-precision storage, 32-bit arithmetic.
    F16,
    /// 8-bit integers with a scale a row, integer arithmetic from the token to the logit. Some tensors may have 4 bits a weight.
    Int8,
    /// 16-bit integers with a scale a row, and values of 16 bits between the layers: for signals.
    Int16,
}

impl Precision {
    /// As it is written on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
            Precision::Int16 => "int16",
        }
    }

    /// True where the arithmetic is that of integers: always where the engine was built without floats, which runs nothing else.
    pub const fn is_integer(self) -> bool {
        !FLOAT || matches!(self, Precision::Int8 | Precision::Int16)
    }

    /// True of 16-bit integers, in a build that runs them.
    const fn is_int16(self) -> bool {
        INT16 && matches!(self, Precision::Int16)
    }

    /// True where weights may have four bits, and the input may be projected.
    pub(crate) const fn is_int8(self) -> bool {
        self.is_integer() && !self.is_int16()
    }

    /// Type of the weights of rows in an image.
    pub const fn weight(self, int4: bool) -> Element {
        match self {
            Precision::F32 if FLOAT => Element::F32,
            Precision::F16 if FLOAT => Element::F16,
            _ if self.is_int16() => Element::I16,
            _ if INT4 && int4 => Element::I4,
            _ => Element::I8,
        }
    }

    /// Type of biases, of sums and of cell states.
    pub const fn sum(self) -> Element {
        if self.is_integer() { Element::I32 } else { Element::F32 }
    }

    /// Bytes of a value that a layer hands on: Q0.15 or f32.
    pub const fn value_bytes(self) -> usize {
        if self.is_integer() { 2 } else { 4 }
    }

    /// Bytes of so many values as the state holds them: padded to a multiple of 4.
    pub const fn values_bytes(self, count: usize) -> usize {
        (self.value_bytes() * count).next_multiple_of(4)
    }

    /// Units of a layer with the padding that kernels read: floats to a multiple of 8.
    pub const fn lanes(self, units: usize) -> usize {
        if self.is_integer() { units } else { units.next_multiple_of(8) }
    }

    /// Rows of a matrix with padding: integers to a multiple of 4; those of floats are given in lanes.
    pub const fn rows(self, rows: usize) -> usize {
        if self.is_integer() { rows.next_multiple_of(4) } else { rows }
    }

    /// Columns that lie together in a matrix.
    pub(crate) const fn block(self) -> usize {
        match self {
            _ if self.is_int16() => <i16 as IntWeight>::COLUMNS,
            _ if self.is_integer() => <i8 as IntWeight>::COLUMNS,
            _ => 1,
        }
    }

    /// Columns of a matrix with padding: of int8 to a multiple of 4, of int16 to one of 8.
    pub const fn columns(self, columns: usize) -> usize {
        columns.next_multiple_of(self.block())
    }
}

/// What a layer reads at a step.
#[derive(Debug)]
pub(crate) enum Values<'x, N: Numbers> {
    /// A row of the embedding, as the image has it.
    Row(&'x [N::Weight]),
    /// What the layer before hands on.
    Hidden(&'x [N::Value]),
    /// `W x + b` of the first layer, precomputed.
    Projected(&'x [N::Sum]),
}

impl<N: Numbers> Clone for Values<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Numbers> Copy for Values<'_, N> {}

/// One arithmetic; named by the type of its weights.
pub(crate) trait Numbers: Pod + Debug {
    /// Type of the weights of rows and of the embedding.
    type Weight: Pod + Debug;
    /// Type of what a layer hands on: Q0.15 or f32.
    type Value: Pod + Debug;
    /// Type of sums, biases and cell states.
    type Sum: Pod + Debug;
    /// How large a value can become; nothing for integers, which saturate.
    type Limit: Copy;
    /// The precision.
    const PRECISION: Precision;
    /// Values in (-1, 1).
    const UNIT: Self::Limit;

    /// A row of the embedding as values: int8 as `q·256`, where −128 reads as −127; int16 as it is.
    fn widen<B: Backend>(backend: B, row: &[Self::Weight], out: &mut [Self::Value]);

    /// Writes `rows` times `x` with their biases into `out`. `int4` says that the weights have four bits.
    fn product<B: Backend>(backend: B, rows: &Rows<'_, Self>, x: &mut [Self::Value], out: &mut [Self::Sum], int4: bool);

    /// As columns of an integer product or of a float one: the values of `x` in the format that rows read.
    fn join<B: Backend>(backend: B, x: Values<'_, Self>, columns: &mut [Self::Value]) -> bool;

    /// Checks that no row of these matrices, which are summed, can overflow.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`] with the row.
    fn check(matrices: &[Matrix<'_, Self>], bias: &[Self::Sum], layer: u8) -> Result<Self::Limit, Error>;

    /// False where a state from outside holds an infinity or a NaN.
    fn are_finite(sums: &[Self::Sum]) -> bool;

    /// How large the values of an embedding's rows are.
    fn largest(rows: &[Self::Weight]) -> Self::Limit;
}

/// A matrix of an opened layer. That of integers is what the kernels take.
pub(crate) type Rows<'a, N> = kernels::Rows<'a, <N as Numbers>::Weight, <N as Numbers>::Sum>;

/// A matrix from its tensors.
pub(crate) fn rows<'a, N: Numbers>(
    weights: &'a [N::Weight],
    multiplier: &'a [u16],
    bias: &'a [N::Sum],
    shift: u8,
) -> Rows<'a, N> {
    kernels::Rows { weights, multiplier, bias, shift: u32::from(shift), packed: Packed::NONE }
}

/// A float matrix as the kernels take it.
#[inline(always)]
pub(crate) fn floats<'a, W: FloatNumbers>(rows: &Rows<'a, W>) -> RowsFloat<'a, W> {
    RowsFloat { weights: rows.weights, bias: rows.bias }
}

/// A matrix at the door.
pub(crate) struct Matrix<'a, N: Numbers> {
    /// Its weights.
    pub(crate) weights: &'a [N::Weight],
    /// Integers: a multiplier a row.
    pub(crate) multipliers: &'a [u16],
    /// Rows, padding included.
    pub(crate) rows: usize,
    /// How large the values of the first columns are,
    pub(crate) limit: N::Limit,
    /// how many columns that are,
    pub(crate) inputs: usize,
    /// and how large those of the others are.
    pub(crate) others: N::Limit,
    /// The weights have four bits.
    pub(crate) int4: bool,
}

impl Numbers for i8 {
    type Weight = i8;
    type Value = i16;
    type Sum = i32;
    type Limit = ();
    const PRECISION: Precision = Precision::Int8;
    const UNIT: () = ();

    fn widen<B: Backend>(_: B, row: &[i8], out: &mut [i16]) {
        out.iter_mut().zip(row).for_each(|(h, &x)| *h = i16::from(x.max(-127)) << 8);
    }

    fn product<B: Backend>(backend: B, rows: &Rows<'_, i8>, x: &mut [i16], out: &mut [i32], int4: bool) {
        if INT4 && int4 {
            backend.rows_i4(rows, x, out);
        } else {
            backend.rows_i8(rows, x, out);
        }
    }

    fn join<B: Backend>(backend: B, x: Values<'_, i8>, columns: &mut [i16]) -> bool {
        backend.join(features::<i8>(x), columns, &[])
    }

    fn check(matrices: &[Matrix<'_, i8>], bias: &[i32], layer: u8) -> Result<(), Error> {
        check_integers(matrices, bias, layer)
    }

    fn are_finite(_: &[i32]) -> bool {
        true
    }

    fn largest(_: &[i8]) {}
}

impl Numbers for i16 {
    type Weight = i16;
    type Value = i16;
    type Sum = i32;
    type Limit = ();
    const PRECISION: Precision = Precision::Int16;
    const UNIT: () = ();

    fn widen<B: Backend>(_: B, row: &[i16], out: &mut [i16]) {
        out.iter_mut().zip(row).for_each(|(h, x)| *h = *x);
    }

    fn product<B: Backend>(backend: B, rows: &Rows<'_, i16>, x: &mut [i16], out: &mut [i32], _: bool) {
        backend.rows_i16(rows, x, out);
    }

    fn join<B: Backend>(backend: B, x: Values<'_, i16>, columns: &mut [i16]) -> bool {
        backend.join(features::<i16>(x), columns, &[])
    }

    fn check(matrices: &[Matrix<'_, i16>], bias: &[i32], layer: u8) -> Result<(), Error> {
        check_integers(matrices, bias, layer)
    }

    fn are_finite(_: &[i32]) -> bool {
        true
    }

    fn largest(_: &[i16]) {}
}

/// The two arithmetics of integers.
pub(crate) trait IntNumbers: IntWeight + Numbers<Weight = Self, Value = i16, Sum = i32, Limit = ()> {
    /// The most that a row's product with its multiplier can be in magnitude; beyond 32 bits where a sum of its products can overflow.
    fn reach(matrix: &Matrix<'_, Self>, row: usize) -> u64;
}

impl IntNumbers for i8 {
    /// `Σ|w|·128·multiplier`.
    fn reach(matrix: &Matrix<'_, i8>, row: usize) -> u64 {
        magnitude(matrix, row) * 128 * multiplier(matrix, row)
    }
}

/// The most that the magnitudes of a row of int16 weights sum up to: times 2^15, the largest column, this is below 2^31.
const MOST_I16: u64 = 65_535;

impl IntNumbers for i16 {
    /// `⌈Σ|w|·2^15·multiplier / 2^16⌉` and one more for the floor, where `Σ|w| ≤ 65,535` and `multiplier < 2^15`.
    fn reach(matrix: &Matrix<'_, i16>, row: usize) -> u64 {
        let blocks = quad(matrix, row).as_chunks::<{ 4 * i16::COLUMNS }>().0;
        let sum: u64 = blocks.iter().flat_map(|block| row_of(block, row)).sum();
        let multiplier = multiplier(matrix, row);
        if sum > MOST_I16 || multiplier > i16::MAX as u64 { u64::from(u32::MAX) } else { sum * multiplier / 2 + 1 }
    }
}

/// The magnitudes of a row's weights in a block of four rows.
fn row_of(block: &[i16], row: usize) -> impl Iterator<Item = u64> {
    let row = block.as_chunks::<{ i16::COLUMNS }>().0.get(row % 4);
    row.into_iter().flatten().map(|weight| u64::from(weight.unsigned_abs()))
}

fn multiplier<N: Numbers>(matrix: &Matrix<'_, N>, row: usize) -> u64 {
    u64::from(matrix.multipliers.get(row).copied().unwrap_or(0))
}

/// The products of all matrices with their multipliers, and `|bias|`, are at most `2^31 − 1` for every row, so that no order of summation can overflow 32 bits.
#[inline(never)]
fn check_integers<N: IntNumbers>(matrices: &[Matrix<'_, N>], bias: &[i32], layer: u8) -> Result<(), Error> {
    let rows = matrices.first().map_or(0, |matrix| matrix.rows);
    for row in 0..rows {
        let mut largest = bias.get(row).map_or(0, |bias| u64::from(bias.unsigned_abs()));
        for matrix in matrices {
            largest += N::reach(matrix, row);
        }
        if largest > i32::MAX as u64 {
            return Err(Error::Overflow { layer, row: row as u32 });
        }
    }
    Ok(())
}

/// The whole quotient; 0 of a division by 0. Bit by bit on a chip without an instruction to divide by, where nothing
/// else needs the compiler's routine, which has 450 bytes.
fn quotient(dividend: usize, divisor: usize) -> usize {
    if POOLING || ATTENTION || !cfg!(latch_backend = "thumb") {
        return dividend.checked_div(divisor).unwrap_or(0);
    }
    let (mut quotient, mut rest) = (0, dividend);
    for bit in (0..u32::BITS).rev() {
        if divisor > 0 && rest >> bit >= divisor {
            rest -= divisor << bit;
            quotient |= 1 << bit;
        }
    }
    quotient
}

/// The elements of the quad of rows in which a row lies.
fn quad<'a, N: Numbers>(matrix: &Matrix<'a, N>, row: usize) -> &'a [N::Weight] {
    let elements = quotient(matrix.weights.len(), matrix.rows / 4);
    matrix.weights.get(row / 4 * elements..).and_then(|rest| rest.get(..elements)).unwrap_or(&[])
}

/// The sum of the magnitudes of a row of weights `[row / 4][columns / 4][row % 4][4]`.
pub(crate) fn magnitude(matrix: &Matrix<'_, i8>, row: usize) -> u64 {
    let quad = quad(matrix, row);
    let of = |word: &[i8; 16]| {
        let row = word.get(row % 4 * 4..row % 4 * 4 + 4).unwrap_or(&[]);
        row.iter().map(|weight| u64::from(weight.unsigned_abs())).sum::<u64>()
    };
    if crate::features::INT4 && matrix.int4 {
        let mut sum = 0;
        for block in quad.as_chunks::<8>().0 {
            let mut word = [0; 16];
            nibbles::widen_gates(block, &mut word);
            sum += of(&word);
        }
        return sum;
    }
    quad.as_chunks::<16>().0.iter().map(of).sum()
}

/// What an integer kernel reads.
#[inline(always)]
pub(crate) fn features<N: IntNumbers>(x: Values<'_, N>) -> Features<'_, N> {
    match x {
        Values::Row(row) => Features::Row(row),
        Values::Hidden(hidden) => Features::Hidden(hidden),
        Values::Projected(_) => Features::Row(&[]),
    }
}

/// What a float kernel reads.
#[inline(always)]
pub(crate) fn float_features<N: FloatNumbers>(x: Values<'_, N>) -> FeaturesFloat<'_, N> {
    match x {
        Values::Row(row) => FeaturesFloat::Row(row),
        Values::Hidden(hidden) => FeaturesFloat::Hidden(hidden),
        Values::Projected(_) => FeaturesFloat::Row(&[]),
    }
}

/// Sums of floats stay below this at the door, far from an infinity.
const MOST: f32 = f32::from_bits((127 + 100) << 23);

/// True of a number far from an infinity; not of what is no number.
pub(crate) fn is_moderate(sum: f32) -> bool {
    sum.abs() < MOST
}

/// The two arithmetics of floats.
pub(crate) trait FloatNumbers:
    FloatWeight + Numbers<Weight = Self, Value = f32, Sum = f32, Limit = f32>
{
}

impl FloatNumbers for f32 {}
impl FloatNumbers for f16 {}

macro_rules! float_numbers {
    ($weight:ty, $precision:expr) => {
        impl Numbers for $weight {
            type Weight = $weight;
            type Value = f32;
            type Sum = f32;
            type Limit = f32;
            const PRECISION: Precision = $precision;
            const UNIT: f32 = 1.0;

            fn widen<B: Backend>(backend: B, row: &[$weight], out: &mut [f32]) {
                backend.widen_float(row, out);
            }

            fn product<B: Backend>(backend: B, rows: &Rows<'_, $weight>, x: &mut [f32], out: &mut [f32], _: bool) {
                backend.rows_float(&floats::<$weight>(rows), x, out);
            }

            fn join<B: Backend>(backend: B, x: Values<'_, $weight>, columns: &mut [f32]) -> bool {
                backend.join_float(float_features(x), columns, &[])
            }

            fn check(matrices: &[Matrix<'_, $weight>], bias: &[f32], layer: u8) -> Result<f32, Error> {
                check_floats(matrices, bias, layer)
            }

            fn are_finite(sums: &[f32]) -> bool {
                // The sum of attention's weights is a float, and the count of a mean is one as well when read so.
                sums.iter().all(|sum| sum.is_finite())
            }

            fn largest(rows: &[$weight]) -> f32 {
                rows.iter().fold(0.0, |largest: f32, weight| largest.max(FloatWeight::to_f32(*weight).abs()))
            }
        }
    };
}

float_numbers!(f32, Precision::F32);
float_numbers!(f16, Precision::F16);

/// `Σ|w|·limit + |bias|` is finite and far from an infinity for every row, so that no sum becomes an infinity, and no difference of sums a NaN. Gives the
/// largest of these.
fn check_floats<N: FloatNumbers>(matrices: &[Matrix<'_, N>], bias: &[f32], layer: u8) -> Result<f32, Error> {
    let rows = matrices.first().map_or(0, |matrix| matrix.rows);
    let mut most = 0.0_f32;
    for row in 0..rows {
        let mut largest = bias.get(row).map_or(0.0, |bias| bias.abs());
        for matrix in matrices {
            let columns = matrix.weights.len().checked_div(matrix.rows).unwrap_or(0);
            // [row / 32][column][row % 32], where the last block may have fewer rows.
            let block = row / 32 * 32;
            let width = (matrix.rows - block).min(32);
            let weights = matrix.weights.iter().skip(block * columns + row - block).step_by(width).take(columns);
            for (column, weight) in weights.enumerate() {
                let limit = if column < matrix.inputs { matrix.limit } else { matrix.others };
                largest += FloatWeight::to_f32(*weight).abs() * limit;
            }
        }
        if !is_moderate(largest) {
            return Err(Error::TooLarge { layer, row: row as u32 });
        }
        most = most.max(largest);
    }
    Ok(most)
}
