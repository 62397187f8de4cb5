//! The arithmetic: one LSTM step, activations, running pools and dot products, over slices and lanes.
//!
//! # The flow
//!
//! ```text
//! embedding row -> widen -> [x; h] -> lstm (one step) -> h -> add / max (pooling) -> dot (head) -> sigmoid
//!                             ^------------- narrow -----'
//! ```
//!
//! A [`Backend`] is one set of these kernels for one kind of machine. It is a zero-size token: holding an `Avx2` proves
//! that this processor has AVX2. The default methods of the trait are the scalar reference, so a backend overrides only
//! what it speeds up.
//!
//! # What it promises
//!
//! - **Integers are exact.** Every backend returns the bits that [`Scalar`] returns, for all inputs.
//! - **Floats are close.** A backend may fuse a multiplication with an addition and may sum in another order.
//! - No kernel allocates, and the reference divides no integers. `docs/numerics.md` has the formats, the bounds and their proofs.
//!
//! # What it leaves out
//!
//! Kernels do not know images, layers or models, and check no content: who calls them has checked it at the door. The one
//! contract is on lengths, and for the integer step on where the weights begin, stated at every method. A backend may panic or do
//! nothing when it is broken, and never touches memory outside the slices.

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod aarch64;
pub mod activation;
mod any;
pub mod cell;
#[cfg(any(latch_backend = "dsp", latch_backend = "helium", latch_backend = "thumb"))]
mod chips;
#[cfg(latch_backend = "dsp")]
pub mod cortex_m;
#[cfg(all(latch_fpu, any(latch_backend = "dsp", latch_backend = "helium")))]
mod fpu;
#[cfg(latch_backend = "helium")]
pub mod helium;
mod integers;
pub mod layernorm;
pub mod nibbles;
pub mod scalar;
#[cfg(latch_backend = "thumb")]
pub mod thumb;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub mod wasm32;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

use half::f16;
use heapless::Vec;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub use aarch64::{Neon, NeonDot};
pub(crate) use any::dispatch;
pub use any::{AnyBackend, WithBackend};
#[cfg(latch_backend = "dsp")]
pub use cortex_m::Dsp;
#[cfg(latch_backend = "helium")]
pub use helium::Helium;
pub use integers::IntWeight;
#[cfg(latch_backend = "thumb")]
pub use thumb::Thumb;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm32::Simd128;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Avx512, Avx512Vnni, AvxVnni};

use cell::{gru, lstm, rnn};

/// Rows of an integer matrix, and what follows their products: `out[row] = (sum over k of w[row][k] * x[k]) *
/// multiplier[row] + bias[row]`.
///
/// `R`, the number of rows, is a multiple of 4: four rows are a quad, and who has fewer pads with rows of zeros. `K` is
/// the number of columns, and `K4` is `K`
/// rounded up to a multiple of 4 with zero weights. An LSTM layer with `U` units has the rows `[unit][gate i, f, g, o]`
/// (input, forget, cell candidate, output) over
/// the columns of `[x; h]`, so that a quad is a unit; the other cells are in [`cell`].
///
/// For every row the maker of the weights guarantees `128 * multiplier * sum |w| + |bias| <= i32::MAX`, so that no
/// 32-bit
/// intermediate overflows; otherwise the result wraps, and backends may differ where a sum becomes exactly `-2^31`.
pub type RowsI8<'a> = RowsInt<'a, i8>;

/// The same of int16: `out[row] = floor((sum over k of w[row][k] * x[k]) * multiplier[row] / 2^16) + bias[row]`, over columns in the whole range of
/// 16 bits, `K` rounded up to a multiple of 8.
///
/// For every row the maker guarantees `sum |w| <= 65535`, so that every sum of some of its products, in any order, is inside 32 bits; and
/// `multiplier <= 32767` and `multiplier * sum |w| / 2 + 1 + |bias| <= i32::MAX`. Otherwise the result is some number, and backends may differ.
pub type RowsI16<'a> = RowsInt<'a, i16>;

/// Rows of integers of either kind.
pub type RowsInt<'a, W> = Rows<'a, W, i32>;

/// A matrix as borrowed tensors; see [`RowsI8`] for integers. Floats have no multipliers and no shift, see [`RowsFloat`].
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, W, S> {
    /// Weights, `[R / 4][K4 / 4][4 rows][4 columns]`, length `R * K4`; of int16 in blocks of 8 columns,
    /// `[R / 4][K8 / 8][4 rows][8 columns]`. They start on a multiple of 4, as do the multipliers and the columns:
    /// chips load them by words.
    pub weights: &'a [W],
    /// Multipliers of the rows, length `R`: from the accumulator to what a cell reads, together with `shift`.
    pub multiplier: &'a [u16],
    /// Biases of the rows at the scale of `accumulator * multiplier`, length `R`. The rounding half,
    /// `1 << (shift - 1)`, is already inside.
    pub bias: &'a [S],
    /// Bits by which a cell shifts the sums right, 0 to 31.
    pub shift: u32,
    /// The same weights in the backend's own order, where somebody had it make one.
    pub packed: Packed<'a>,
}

/// A layer's weights in the order that one backend likes best: what [`Backend::pack_i8`] wrote into memory of the caller's, or nothing.
///
/// Only the backend that wrote them may be given them. On a chip there is never anything in it: backends there read the image's order.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a>(
    #[cfg(not(latch_backend))] pub &'a [u8],
    #[cfg(latch_backend)] pub core::marker::PhantomData<&'a [u8]>,
);

impl Packed<'_> {
    /// No weights but those of the image.
    #[cfg(not(latch_backend))]
    pub const NONE: Self = Packed(&[]);
    /// No weights but those of the image.
    #[cfg(latch_backend)]
    pub const NONE: Self = Packed(core::marker::PhantomData);
}

/// What a layer reads at a token.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Features<'a, W = i8> {
    /// A row of the embedding.
    Row(&'a [W]),
    /// The hidden state of the layer before, Q0.15.
    Hidden(&'a [i16]),
}

impl<W> Features<'_, W> {
    /// How many there are.
    #[inline(always)]
    pub fn len(self) -> usize {
        match self {
            Features::Row(row) => row.len(),
            Features::Hidden(hidden) => hidden.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The same of floats.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum FeaturesFloat<'a, W> {
    /// A row of the embedding.
    Row(&'a [W]),
    /// The hidden state of the layer before.
    Hidden(&'a [f32]),
}

impl<W> FeaturesFloat<'_, W> {
    /// How many there are.
    #[inline(always)]
    pub fn len(self) -> usize {
        match self {
            FeaturesFloat::Row(row) => row.len(),
            FeaturesFloat::Hidden(hidden) => hidden.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
impl<'a, W: FloatWeight> FeaturesFloat<'a, W> {
    /// The slice with its type made a value, as [`FloatWeight::view`].
    #[inline(always)]
    fn view(self) -> FloatView<'a> {
        match self {
            FeaturesFloat::Row(row) => W::view(row),
            FeaturesFloat::Hidden(hidden) => FloatView::F32(hidden),
        }
    }
}

/// One of several streams that take a step together, see [`Backend::lstm_i8_many`]; the slices are those of [`Backend::lstm_i8`].
#[derive(Debug)]
pub struct StreamInt<'a> {
    /// `[x; h_{t-1}; 0..]`, `K4` columns.
    pub xh: &'a mut [i16],
    /// Hidden state out, Q0.15.
    pub h: &'a mut [i16],
    /// Cell state, Q12.19.
    pub c: &'a mut [i32],
}

/// One of several streams that take a step together, see [`Backend::lstm_float_many`]; the slices are those of [`Backend::lstm_float`].
#[derive(Debug)]
pub struct StreamFloat<'a> {
    /// `[x; h_{t-1}]`, `K` columns.
    pub xh: &'a [f32],
    /// Hidden state out.
    pub h: &'a mut [f32],
    /// Cell state.
    pub c: &'a mut [f32],
}

/// The product of one of several streams over the same rows, see [`Backend::rows_float_many`]; the slices are those of [`Backend::rows_float`].
#[derive(Debug)]
pub struct ProductFloat<'a> {
    /// `K` columns.
    pub x: &'a [f32],
    /// Length `R`.
    pub out: &'a mut [f32],
}

/// The most streams that a caller gives to one call of [`Backend::lstm_i8_many`] or [`Backend::lstm_float_many`] with profit.
pub const MANY: usize = 8;

/// Units whose weights stay in the nearest caches while one stream after the other reads them.
const MANY_TILE: usize = 16;

/// Rows of a float matrix and their biases: `out[row] = sum over k of w[row][k] * x[k] + bias[row]`.
///
/// `R`, the number of rows, is a multiple of 8: units are padded with zero weights to a multiple of 8, `U8`. An LSTM
/// layer has the rows
/// `[unit / 8][gate i, f, g, o][8 units]` over the columns of `[x; h]`; the other cells are in [`cell`].
#[derive(Debug, Clone, Copy)]
pub struct RowsFloat<'a, W> {
    /// Weights, `[R / 32][K][32 rows]`, length `R * K`. The last block has the 8, 16 or 24 rows that are left,
    /// `[K][rows]`. Columns are not padded. They start on a multiple of 4.
    pub weights: &'a [W],
    /// Biases of the rows, length `R`.
    pub bias: &'a [f32],
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for i8 {}
    impl Sealed for i16 {}
}

/// A storage type of float weights: `f32` or [`struct@f16`]. The arithmetic is `f32` for both.
pub trait FloatWeight: sealed::Sealed + bytemuck::Pod + Send + Sync {
    /// The value as `f32`; exact, subnormals, infinities and NaN included.
    fn to_f32(self) -> f32;
    /// The same of a finite value; exact, subnormals included. What is not finite becomes another number. All weights of an opened image are finite.
    fn finite(self) -> f32;
    /// The slice with its type made a value, for backends that load the two types with different instructions.
    fn view(weights: &[Self]) -> FloatView<'_>;
}

/// A slice of float weights whose type is known at run time. See [`FloatWeight::view`].
#[derive(Debug, Clone, Copy)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum FloatView<'a> {
    /// 32-bit storage.
    F32(&'a [f32]),
    /// 16-bit storage.
    F16(#[cfg_attr(latch_defmt, defmt(Debug2Format))] &'a [f16]),
}

/// Runs an expression with the slice inside a [`FloatView`], compiled once for each type.
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon"),
    all(target_arch = "wasm32", target_feature = "simd128")
))]
macro_rules! by_storage {
    ($view:expr, $weights:ident => $run:expr) => {
        match $view {
            $crate::kernels::FloatView::F32($weights) => $run,
            $crate::kernels::FloatView::F16($weights) => $run,
        }
    };
}
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon"),
    all(target_arch = "wasm32", target_feature = "simd128")
))]
use by_storage;

impl FloatWeight for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn finite(self) -> f32 {
        self
    }

    fn view(weights: &[Self]) -> FloatView<'_> {
        FloatView::F32(weights)
    }
}

impl FloatWeight for f16 {
    // Moving the 15 low bits up by 13 puts exponent and fraction into place but keeps the exponent's bias of 15; the product
    // with 2^(127 - 15) mends it, exactly, also for subnormals. Only infinity and NaN need the other exponent put in.
    #[inline(always)]
    fn to_f32(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
        // All ones above the largest finite number: a mask, so that several run side by side.
        let special = ((0x7bff << 13) - magnitude as i32) >> 31;
        let value = finite | special as u32 & 0x7f80_0000;
        f32::from_bits(value | (bits & 0x8000) << 16)
    }

    // As above; the sign comes down with the other bits and goes through the product. Four instructions for as many numbers as a register has lanes.
    #[inline(always)]
    fn finite(self) -> f32 {
        let moved = (i32::from(self.to_bits() as i16) << 13) as u32 & 0x8fff_e000;
        f32::from_bits(moved) * f32::from_bits((127 + 112) << 23)
    }

    fn view(weights: &[Self]) -> FloatView<'_> {
        FloatView::F16(weights)
    }
}

/// One set of kernels. The default methods are the scalar reference; see the [module](self) for what a backend promises.
pub trait Backend: Copy + Send + Sync + 'static {
    /// The name that [`AnyBackend::by_name`] knows it by.
    fn name(self) -> &'static str;

    /// One step of an integer LSTM layer with `U` units; `h` and `c` are replaced by their next values.
    ///
    /// - `xh`: `[x; h_{t-1}; 0..]`, `K4` columns, each in the range of an int8. A kernel may put it into another order while it works,
    ///   and leaves it as it found it.
    /// - `h`: hidden state out, Q0.15, length `U`. Not read: the previous one comes in through `xh`.
    /// - `c`: cell state, Q12.19, length `U`. No value of it, whatever it be, makes a step overflow.
    ///
    /// The equations are at [`cell::lstm::step`].
    fn lstm_i8(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32]) {
        lstm::step(gates, xh, h, c);
    }

    /// The same of int16: `xh` has `K8` columns in the whole range of 16 bits.
    #[inline]
    fn lstm_i16(self, gates: &RowsI16<'_>, xh: &[i16], h: &mut [i16], c: &mut [i32]) {
        lstm::step_by_tiles(self, gates, xh, h, c);
    }

    /// A step from the features of a token: [`Backend::lstm_i8`] over `[x; narrow(h); 0..]`.
    ///
    /// - `xh`: scratch of `K4` columns, with `K` the features and the units; what it holds afterwards means nothing. With fewer nothing is done.
    /// - `h`: hidden state in and out, Q0.15, length `U`.
    /// - `c`: cell state, Q12.19, length `U`.
    /// - `backwards`: true at every other token of a stream. A backend may then read the weights from their end, which the step before
    ///   has left in the cache; the result is the same.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "what a step needs")]
    fn step_i8(
        self,
        gates: &RowsI8<'_>,
        x: Features<'_>,
        xh: &mut [i16],
        h: &mut [i16],
        c: &mut [i32],
        backwards: bool,
    ) {
        let _ = backwards;
        if self.join(x, xh, h) {
            self.lstm_i8(gates, xh, h, c);
        }
    }

    /// Writes `[x; h; 0..]`, the columns of an integer step, into `xh`; for int8, h is narrowed. False where that has too few places, and nothing is
    /// done.
    #[inline(always)]
    fn join<W: IntWeight>(self, x: Features<'_, W>, xh: &mut [i16], h: &[i16]) -> bool {
        let Some((features, previous)) = xh.split_at_mut_checked(x.len()) else { return false };
        let Some((previous, padding)) = previous.split_at_mut_checked(h.len()) else { return false };
        match x {
            Features::Row(row) => W::row_columns(self, row, features),
            Features::Hidden(hidden) => W::hidden_columns(self, hidden, features),
        }
        W::hidden_columns(self, h, previous);
        for column in padding {
            *column = 0;
        }
        true
    }

    /// One step of several streams over the same weights, each of which is read from beyond the first-level cache only once. The
    /// result is that of [`Backend::lstm_i8`] for one stream after the other.
    fn lstm_i8_many(self, gates: &RowsI8<'_>, streams: &mut [StreamInt<'_>]) {
        one_tile_after_the_other(gates, streams, |gates, xh, h, c| self.lstm_i8(gates, xh, h, c));
    }

    /// The same of int16, as [`Backend::lstm_i16`].
    fn lstm_i16_many(self, gates: &RowsI16<'_>, streams: &mut [StreamInt<'_>]) {
        one_tile_after_the_other(gates, streams, |gates, xh, h, c| self.lstm_i16(gates, xh, h, c));
    }

    /// True where streams of a layer with so many units gain by [`Backend::lstm_i8_many`] or [`Backend::lstm_float_many`]; where not, they step one after the
    /// other from h to h.
    fn gains_together(self, units: usize, integers: bool) -> bool {
        let _ = (units, integers);
        true
    }

    /// `out[row] = (sum over k of w[k] * x[k]) * multiplier + bias`, wrapping, for every row. As the biases of rows
    /// over other columns the result gives the sums over
    /// all columns, to the bit.
    ///
    /// - `x`: `K4` columns in the range of an int8; without columns the result is the biases. A kernel may put them
    ///   into another order while it works, and leaves
    ///   them as it found them.
    /// - `out`: length `R`.
    fn rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        scalar::rows(rows, x, out);
    }

    /// `out[row] = floor((sum over k of w[k] * x[k]) * multiplier / 2^16) + bias`, for every row; see [`RowsI16`].
    ///
    /// - `x`: `K8` columns; without columns the result is the biases.
    /// - `out`: length `R`.
    fn rows_i16(self, rows: &RowsI16<'_>, x: &[i16], out: &mut [i32]) {
        scalar::rows(rows, x, out);
    }

    /// `sums[row] += floor((sum over k of w[k] * x[k]) * multiplier / 2^16)`, for every row: as [`Backend::rows_i16`] with `sums` for biases.
    fn add_rows_i16(self, rows: &RowsI16<'_>, x: &[i16], sums: &mut [i32]) {
        add_i16_by_parts(self, rows, x, sums);
    }

    /// `sums[row] += (sum over k of w[k] * x[k]) * multiplier`, wrapping, for every row: as [`Backend::rows_i8`] with
    /// `sums` for biases.
    fn add_rows_i8(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        add_by_parts(self, rows, x, sums);
    }

    /// [`Backend::lstm_i8`] of weights of four bits, half as many bytes in the order of [`nibbles`]. `backwards` is that of [`Backend::step_i8`].
    fn lstm_i4(self, gates: &RowsI8<'_>, xh: &mut [i16], h: &mut [i16], c: &mut [i32], backwards: bool) {
        let _ = backwards;
        lstm::step_i4(gates, xh, h, c);
    }

    /// [`Backend::step_i8`] of weights of four bits.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "what a step needs")]
    fn step_i4(
        self,
        gates: &RowsI8<'_>,
        x: Features<'_>,
        xh: &mut [i16],
        h: &mut [i16],
        c: &mut [i32],
        backwards: bool,
    ) {
        if self.join(x, xh, h) {
            self.lstm_i4(gates, xh, h, c, backwards);
        }
    }

    /// [`Backend::rows_i8`] of weights of four bits, over some columns.
    fn rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], out: &mut [i32]) {
        scalar::rows_i4(rows, x, out);
    }

    /// [`Backend::add_rows_i8`] of weights of four bits, over some columns.
    fn add_rows_i4(self, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
        add_i4_by_parts(self, rows, x, sums);
    }

    /// One step of an integer GRU layer with `U` units; `h` is replaced by its next value. The equations are at
    /// [`gru::step`].
    ///
    /// - `scratch`: [`gru::scratch_i8`] words for the features and units; what it holds afterwards means nothing. With
    ///   fewer nothing is done.
    /// - `h`: hidden state in and out, Q0.15, length `U`.
    #[inline]
    fn gru_i8(self, gru: &gru::GruI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
        gru::step(self, gru, x, scratch, h);
    }

    /// The cell of an integer GRU layer with [`gru::Reset::After`], from its sums; the equations are at
    /// [`gru::step`].
    ///
    /// - `sums`: of z, of r and of the recurrent kernel's part of n, `U` each.
    /// - `n`: the features' part of n, Q3.12, length `U`.
    /// - `h`: hidden state in and out, Q0.15, length `U`.
    fn gru_cell_i8(self, sums: &[i32], n: &[i16], shift: u32, h: &mut [i16]) {
        gru::cell_i8(self, sums, n, shift, h);
    }

    /// One step of a simple integer layer with `U` units; `h` is replaced by its next value. The equations are at
    /// [`rnn::step`].
    ///
    /// - `scratch`: [`rnn::scratch_i8`] words for the features and units, as at [`Backend::gru_i8`].
    /// - `h`: hidden state in and out, Q0.15, length `U`.
    #[inline]
    fn rnn_i8(self, rnn: &rnn::RnnI8<'_>, x: Features<'_>, scratch: &mut [i32], h: &mut [i16]) {
        rnn::step(self, rnn, x, scratch, h);
    }

    /// Says that these bytes will be read soon, so that a machine with caches can begin to fetch them. Changes no result.
    fn prefetch(self, soon: &[u8]) {
        let _ = soon;
    }

    /// Bytes of memory in which [`Backend::pack_i8`] puts a layer's weights in order; 0 where the image's order is as good as any.
    /// `columns` is `K4`.
    fn packed_i8_bytes(self, units: usize, columns: usize) -> usize {
        let _ = (units, columns);
        0
    }

    /// Writes a layer's weights in the backend's own order, for [`RowsI8::packed`]. `packed` has
    /// [`Backend::packed_i8_bytes`] bytes
    /// and starts on a multiple of [`PACKED_ALIGNMENT`]; with another length nothing is written.
    fn pack_i8(self, weights: &[i8], columns: usize, packed: &mut [u8]) {
        let _ = (weights, columns, packed);
    }

    /// `out[n] = x[n]`; equal lengths.
    fn widen_i8(self, x: &[i8], out: &mut [i16]) {
        scalar::widen_i8(x, out);
    }

    /// `out[n] = min((h[n] + 128) >> 8, 127)`: Q0.15 to Q0.7, rounded to nearest; equal lengths.
    fn narrow_q15(self, h: &[i16], out: &mut [i16]) {
        scalar::narrow_q15(h, out);
    }

    /// `out[n] = x[n]`: columns of int16, which are Q0.15 already; as many as both have.
    fn copy_q15(self, x: &[i16], out: &mut [i16]) {
        copy(x, out);
    }

    /// `out[n] = sat16(sums[n] >> shift)`, from the sums of rows to what a cell reads: the rounding half is in the
    /// sums. Equal lengths.
    fn shift_q12(self, sums: &[i32], shift: u32, out: &mut [i16]) {
        scalar::shift_q12(sums, shift, out);
    }

    /// The logistic sigmoid in place, Q3.12 in, Q0.15 out: see [`activation::sigmoid_q15`].
    fn sigmoid_q15(self, x: &mut [i16]) {
        scalar::sigmoid_q15(x);
    }

    /// The hyperbolic tangent in place, Q3.12 in, Q0.15 out: see [`activation::tanh_q15`].
    fn tanh_q15(self, x: &mut [i16]) {
        scalar::tanh_q15(x);
    }

    /// `sum[n] += h[n]`, the running mean's sum; equal lengths. The caller halves before 65,536 tokens (wraps beyond).
    fn add_i16(self, sum: &mut [i32], h: &[i16]) {
        scalar::add_i16(sum, h);
    }

    /// `max[n] = max(max[n], h[n])`; equal lengths.
    fn max_i16(self, max: &mut [i16], h: &[i16]) {
        scalar::max_i16(max, h);
    }

    /// `sum of w[n] * v[n]`, exact; equal lengths, below 2^32.
    fn dot_i16(self, w: &[i16], v: &[i16]) -> i64 {
        scalar::dot_i16(w, v)
    }

    /// One step of a float LSTM layer; `h` and `c` are replaced by their next values.
    ///
    /// - `xh`: `[x; h_{t-1}]`, `K` columns.
    /// - `h`: hidden state out, length `U8`. Not read.
    /// - `c`: cell state, length `U8`. Units that pad keep 0 in `h` and `c` when they began with `c = 0`.
    ///
    /// The equations are at [`cell::lstm::step_float`].
    fn lstm_float<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, xh: &[f32], h: &mut [f32], c: &mut [f32]) {
        lstm::step_float(gates, xh, h, c);
    }

    /// A step from the features of a token, over `[x; h]`, as [`Backend::lstm_float`].
    ///
    /// - `xh`: scratch of as many columns as features and units, for `[x; h]`; what it holds afterwards means nothing.
    /// - `h`: hidden state in and out, length `U8`.
    /// - `c`: cell state, length `U8`.
    /// - `backwards`: as at [`Backend::step_i8`]; the order of the sum may turn with it.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "what a step needs")]
    fn step_float<W: FloatWeight>(
        self,
        gates: &RowsFloat<'_, W>,
        x: FeaturesFloat<'_, W>,
        xh: &mut [f32],
        h: &mut [f32],
        c: &mut [f32],
        backwards: bool,
    ) {
        let _ = backwards;
        if self.join_float(x, xh, h) {
            self.lstm_float(gates, xh, h, c);
        }
    }

    /// Writes `[x; h]`, the columns of a float step, into `xh`. False where that has too few places, and nothing is done.
    #[inline(always)]
    fn join_float<W: FloatWeight>(self, x: FeaturesFloat<'_, W>, xh: &mut [f32], h: &[f32]) -> bool {
        let Some((features, previous)) = xh.split_at_mut_checked(x.len()) else { return false };
        match x {
            FeaturesFloat::Row(row) => self.widen_float(row, features),
            FeaturesFloat::Hidden(hidden) => features.iter_mut().zip(hidden).for_each(|(x, h)| *x = *h),
        }
        previous.iter_mut().zip(h).for_each(|(previous, h)| *previous = *h);
        true
    }

    /// One step of several streams over the same weights, as [`Backend::lstm_i8_many`]. A backend may sum in another order than in
    /// [`Backend::lstm_float`].
    fn lstm_float_many<W: FloatWeight>(self, gates: &RowsFloat<'_, W>, streams: &mut [StreamFloat<'_>]) {
        one_float_tile_after_the_other(self, gates, streams);
    }

    /// `out = W x + b`, for every row.
    ///
    /// - `x`: `K` columns; without columns the result is the biases.
    /// - `out`: length `R`.
    fn rows_float<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, x: &[f32], out: &mut [f32]) {
        scalar::rows_float(rows, x, out);
    }

    /// `sums += W x`, for every row: as [`Backend::rows_float`] with `sums` for biases.
    fn add_rows_float<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, x: &[f32], sums: &mut [f32]) {
        add_float_by_parts(self, rows, x, sums);
    }

    /// `out = W x + b` of several streams, or `out += W x` with `add`: [`Backend::rows_float`] and [`Backend::add_rows_float`] with weights that each come
    /// from beyond the first-level cache once. The order of the sums is the backend's own.
    fn rows_float_many<W: FloatWeight>(self, rows: &RowsFloat<'_, W>, products: &mut [ProductFloat<'_>], add: bool) {
        float_rows_tile_by_tile(self, rows, products, add);
    }

    /// True where streams of a float layer with so many weights gain by [`Backend::rows_float_many`]: GRU and simple layers step together there.
    fn rows_gain_together(self, weights: usize) -> bool {
        let _ = weights;
        false
    }

    /// One step of a float GRU layer with `U` units, padded to `U8`; `h` is replaced by its next value. The equations
    /// are at [`gru`].
    ///
    /// - `scratch`: [`gru::scratch_float`] floats for the features and units; what it holds afterwards means nothing.
    ///   With fewer nothing is done.
    /// - `h`: hidden state in and out, length `U8`. Units that pad keep 0 when they began with 0.
    #[inline]
    fn gru_float<W: FloatWeight>(
        self,
        gru: &gru::GruFloat<'_, W>,
        x: FeaturesFloat<'_, W>,
        scratch: &mut [f32],
        h: &mut [f32],
    ) {
        gru::step_float(self, gru, x, scratch, h);
    }

    /// One step of a simple float layer with `U` units, padded to `U8`; `h` is replaced by its next value. The equation
    /// is at [`rnn`].
    ///
    /// - `scratch`: [`rnn::scratch_float`] floats for the features and units, as at [`Backend::gru_float`].
    /// - `h`: hidden state in and out, length `U8`. Units that pad keep 0 when they began with 0.
    #[inline]
    fn rnn_float<W: FloatWeight>(
        self,
        rnn: &rnn::RnnFloat<'_, W>,
        x: FeaturesFloat<'_, W>,
        scratch: &mut [f32],
        h: &mut [f32],
    ) {
        rnn::step_float(self, rnn, x, scratch, h);
    }

    /// True where weights should start on a multiple of [`PACKED_ALIGNMENT`], because loads that straddle a line of the cache cost twice.
    fn wants_aligned_weights(self) -> bool {
        false
    }

    /// `out[n] = x[n]` as `f32`, exact; equal lengths.
    fn widen_float<W: FloatWeight>(self, x: &[W], out: &mut [f32]) {
        scalar::widen_float(x, out);
    }

    /// The logistic sigmoid in place: see [`activation::sigmoid_f32`] for the error.
    fn sigmoid_f32(self, x: &mut [f32]) {
        scalar::sigmoid_f32(x);
    }

    /// The hyperbolic tangent in place: see [`activation::tanh_f32`] for the error.
    fn tanh_f32(self, x: &mut [f32]) {
        scalar::tanh_f32(x);
    }

    /// `sum[n] += h[n]`; equal lengths.
    fn add_f32(self, sum: &mut [f32], h: &[f32]) {
        scalar::add_f32(sum, h);
    }

    /// `max[n] = max(max[n], h[n])`; equal lengths. A NaN in `h` is passed over.
    fn max_f32(self, max: &mut [f32], h: &[f32]) {
        scalar::max_f32(max, h);
    }

    /// `sum of w[n] * v[n]`; equal lengths. The order of the sum is the backend's own.
    fn dot_f32<W: FloatWeight>(self, w: &[W], v: &[f32]) -> f32 {
        scalar::dot_f32(w, v)
    }
}

/// One step of several streams by `step`, a tile of units at a time, so that its weights stay in the first-level cache.
fn one_tile_after_the_other<W>(
    gates: &RowsInt<'_, W>,
    streams: &mut [StreamInt<'_>],
    step: impl Fn(&RowsInt<'_, W>, &mut [i16], &mut [i16], &mut [i32]),
) {
    let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
    let tiles = gates.weights.chunks(MANY_TILE * 4 * columns.max(1));
    let rows = gates.multiplier.chunks(MANY_TILE * 4).zip(gates.bias.chunks(MANY_TILE * 4));
    for (tile, (weights, (multiplier, bias))) in tiles.zip(rows).enumerate() {
        let gates = RowsInt { weights, multiplier, bias, shift: gates.shift, packed: Packed::NONE };
        let units = tile * MANY_TILE..tile * MANY_TILE + multiplier.len() / 4;
        for stream in &mut *streams {
            let (Some(h), Some(c)) = (stream.h.get_mut(units.clone()), stream.c.get_mut(units.clone())) else { return };
            step(&gates, stream.xh, h, c);
        }
    }
}

/// The same of floats, by [`Backend::lstm_float`].
fn one_float_tile_after_the_other<B: Backend, W: FloatWeight>(
    backend: B,
    gates: &RowsFloat<'_, W>,
    streams: &mut [StreamFloat<'_>],
) {
    let Some(columns) = streams.first().map(|stream| stream.xh.len()) else { return };
    let tiles = gates.weights.chunks(MANY_TILE * 4 * columns.max(1));
    for (tile, (weights, bias)) in tiles.zip(gates.bias.chunks(MANY_TILE * 4)).enumerate() {
        let gates = RowsFloat { weights, bias };
        let units = tile * MANY_TILE..tile * MANY_TILE + bias.len() / 4;
        for stream in &mut *streams {
            let (Some(h), Some(c)) = (stream.h.get_mut(units.clone()), stream.c.get_mut(units.clone())) else { return };
            backend.lstm_float(&gates, stream.xh, h, c);
        }
    }
}

/// [`Backend::rows_float_many`] of at most [`MANY`] streams, which no caller has more of.
#[inline(always)]
fn rows_together<'a, B: Backend, W: FloatWeight>(
    backend: B,
    rows: &RowsFloat<'_, W>,
    products: impl Iterator<Item = ProductFloat<'a>>,
    add: bool,
) {
    let mut all: Vec<_, MANY> = Vec::new();
    for product in products {
        let pushed = all.push(product);
        debug_assert!(pushed.is_ok(), "more streams than step together");
    }
    backend.rows_float_many(rows, &mut all, add);
}

/// [`Backend::rows_float_many`] by [`Backend::rows_float`], a block of rows at a time.
fn float_rows_tile_by_tile<B: Backend, W: FloatWeight>(
    backend: B,
    rows: &RowsFloat<'_, W>,
    products: &mut [ProductFloat<'_>],
    add: bool,
) {
    let Some((columns, height)) = products.first().map(|product| (product.x.len(), product.out.len())) else { return };
    for begin in (0..height).step_by(PART) {
        let tile = begin..height.min(begin + PART);
        let weights = piece(rows.weights, begin * columns, PART * columns);
        let bias = rows.bias.get(tile.clone()).unwrap_or(&[]);
        for ProductFloat { x, out } in &mut *products {
            let Some(out) = out.get_mut(tile.clone()) else { return };
            let rows = RowsFloat { weights, bias };
            if add { backend.add_rows_float(&rows, x, out) } else { backend.rows_float(&rows, x, out) }
        }
    }
}

/// As many values as both have. What `copy_from_slice` does of equal lengths, without a panic that a compiler keeps
/// where it does not see that they are.
#[inline(always)]
pub(crate) fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// The elements from a place on, `most` of them, or all that are left: what `chunks` gives, without its division and
/// without a panic that a compiler keeps.
#[inline(always)]
fn piece<T>(all: &[T], begin: usize, most: usize) -> &[T] {
    let rest = all.get(begin..).unwrap_or(&[]);
    rest.get(..most).unwrap_or(rest)
}

/// Rows whose biases lie on the stack at a time, a block of the float order.
const PART: usize = 32;

/// [`Backend::add_rows_i8`] by [`Backend::rows_i8`], some rows at a time.
#[inline(always)]
fn add_by_parts<B: Backend>(backend: B, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
    parts_of_rows(rows, 1, x, sums, |rows, x, sums| backend.rows_i8(rows, x, sums));
}

/// [`Backend::add_rows_i4`] by [`Backend::rows_i4`], some rows at a time.
#[inline(always)]
fn add_i4_by_parts<B: Backend>(backend: B, rows: &RowsI8<'_>, x: &mut [i16], sums: &mut [i32]) {
    parts_of_rows(rows, 2, x, sums, |rows, x, sums| backend.rows_i4(rows, x, sums));
}

/// Adds rows to sums, some rows at a time, with so many weights in a byte, by what writes rows with their biases.
#[inline(always)]
fn parts_of_rows(
    rows: &RowsI8<'_>,
    per: usize,
    x: &mut [i16],
    sums: &mut [i32],
    write: impl Fn(&RowsI8<'_>, &mut [i16], &mut [i32]),
) {
    if x.is_empty() {
        return;
    }
    let mut begin = 0;
    while begin < sums.len() {
        let part = begin..sums.len().min(begin + PART);
        begin = part.end;
        let mut bias = [0; PART];
        let Some(bias) = bias.get_mut(..part.len()) else { return };
        let weights = piece(rows.weights, part.start * x.len() / per, PART * x.len() / per);
        let (multiplier, Some(sums)) = (piece(rows.multiplier, part.start, PART), sums.get_mut(part)) else { return };
        copy(sums, bias);
        write(&RowsI8 { weights, multiplier, bias, ..*rows }, x, sums);
    }
}

/// [`Backend::add_rows_i16`] by [`Backend::rows_i16`], some rows at a time.
#[inline(always)]
fn add_i16_by_parts<B: Backend>(backend: B, rows: &RowsI16<'_>, x: &[i16], sums: &mut [i32]) {
    if x.is_empty() {
        return;
    }
    let mut begin = 0;
    while begin < sums.len() {
        let part = begin..sums.len().min(begin + PART);
        begin = part.end;
        let mut bias = [0; PART];
        let Some(bias) = bias.get_mut(..part.len()) else { return };
        let weights = piece(rows.weights, part.start * x.len(), PART * x.len());
        let (multiplier, Some(sums)) = (piece(rows.multiplier, part.start, PART), sums.get_mut(part)) else { return };
        copy(sums, bias);
        backend.rows_i16(&RowsI16 { weights, multiplier, bias, ..*rows }, x, sums);
    }
}

/// [`Backend::add_rows_float`] by [`Backend::rows_float`], some rows at a time.
#[inline(always)]
fn add_float_by_parts<B: Backend, W: FloatWeight>(backend: B, rows: &RowsFloat<'_, W>, x: &[f32], sums: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    for (weights, sums) in rows.weights.chunks(PART * x.len()).zip(sums.chunks_mut(PART)) {
        let mut bias = [0.0; PART];
        let Some(bias) = bias.get_mut(..sums.len()) else { return };
        bias.copy_from_slice(sums);
        backend.rows_float(&RowsFloat { weights, bias }, x, sums);
    }
}

/// Where packed weights start: on a multiple of this many bytes, a line of the cache.
pub const PACKED_ALIGNMENT: usize = 64;

/// The reference backend: plain Rust, on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Scalar;

impl Backend for Scalar {
    fn name(self) -> &'static str {
        "scalar"
    }
}

#[cfg(test)]
mod tests;
