//! The gated recurrent unit (Cho et al. 2014). Gate order z, r, n: update, reset, candidate.
//!
//! ```text
//! z = sigmoid(W_z x + U_z h + b_z)          r = sigmoid(W_r x + U_r h + b_r)          h' = n + z (h - n)
//! n = tanh(W_n x + b_n + r * (U_n h + c_n))               reset after the product: Keras's default, PyTorch, cuDNN
//! n = tanh(W_n x + b_n + U_n (r * h))                     reset before it: Cho et al., ONNX's default
//! ```
//!
//! State: the hidden state h, a value a unit (Q0.15, or f32).

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::{Place, Stream, Together, step_together};
use crate::error::Error;
use crate::features::INT4;
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::kernels::cell::gru::{self, GruFloat, Reset, scratch_float, scratch_integers};
use crate::kernels::{self, Backend, MANY, nibbles};
use crate::numbers::{
    FloatNumbers, IntNumbers, Matrix, Numbers, Precision, Rows, Values, features, float_features, floats, rows,
};

/// Shape of a GRU layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Gru {
    /// Features of its input.
    pub inputs: u16,
    /// Units: features of its hidden state.
    pub units: u16,
    /// Integers: right shift from accumulator times multiplier to Q3.12. 0 for floats.
    pub shift: u8,
    /// Integers: four bits a weight.
    pub int4: bool,
    /// The reset gate multiplies the recurrent kernel's product, and not h before it.
    pub reset_after: bool,
}

impl Gru {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        Gru {
            inputs: fields.u16(),
            units: fields.u16(),
            shift: fields.byte(),
            int4: fields.bool(),
            reset_after: fields.bool(),
        }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        super::check_cell(precision, (self.inputs, self.units), self.shift, self.int4)
    }

    /// Rows of either kernel, padding included.
    const fn rows(&self, precision: Precision) -> usize {
        precision.rows(3 * precision.lanes(self.units as usize))
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let (rows, weights) = (self.rows(precision), precision.weight(self.int4));
        let (inputs, units) = (self.inputs as usize, self.units as usize);
        match place {
            0 => Some(SectionShape::new(Role::Weights, weights, rows, precision.columns(inputs))),
            1 if precision.is_integer() => Some(SectionShape::new(Role::Multipliers, Element::U16, rows, 1)),
            2 => Some(SectionShape::new(Role::Biases, precision.sum(), rows, 1)),
            3 => Some(SectionShape::new(Role::RecurrentWeights, weights, rows, precision.columns(units))),
            4 if precision.is_integer() => Some(SectionShape::new(Role::RecurrentMultipliers, Element::U16, rows, 1)),
            5 if self.reset_after => {
                Some(SectionShape::new(Role::RecurrentBiases, precision.sum(), precision.lanes(units), 1))
            }
            _ => None,
        }
    }

    /// Bytes of the hidden state.
    pub(crate) const fn state(&self, precision: Precision) -> usize {
        super::hidden_bytes(precision, self.units)
    }

    /// Bytes of scratch of a step.
    pub(crate) const fn scratch(&self, precision: Precision) -> usize {
        let (inputs, units) = (self.inputs as usize, self.units as usize);
        let words = match precision.is_integer() {
            true => scratch_integers(precision.block(), inputs, units),
            false => scratch_float(inputs, units),
        };
        4 * words
    }
}

/// The matrices of a GRU layer. Those of integers are what the kernels take.
type Matrices<'a, N> = gru::Gru<Rows<'a, N>>;

/// A GRU layer of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    layer: Matrices<'a, N>,
    pub(super) units: u16,
    int4: bool,
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Gru, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        let kernel = (cursor.tensor(section(0))?, cursor.tensor(section(1))?, cursor.tensor(section(2))?);
        let kernel = rows::<N>(kernel.0, kernel.1, kernel.2, shape.shift);
        let recurrent = (cursor.tensor(section(3))?, cursor.tensor(section(4))?, cursor.tensor(section(5))?);
        let recurrent = rows::<N>(recurrent.0, recurrent.1, recurrent.2, shape.shift);
        let reset = if shape.reset_after { Reset::After } else { Reset::Before };
        let layer = gru::Gru { kernel, recurrent, reset };
        Ok(Opened { layer, units: shape.units, int4: shape.int4 })
    }

    /// Checks every row's sum.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        N::check_layer(&self.layer, limit, (self.units, self.int4), layer)?;
        Ok(N::UNIT)
    }

    /// Its two matrices, for [`pack`](crate::model::Model::pack).
    #[cfg(not(latch_backend))]
    pub(crate) fn matrices(&self) -> ([&Rows<'a, N>; 2], bool) {
        ([&self.layer.kernel, &self.layer.recurrent], self.int4)
    }

    /// The same, to be moved; the flag says that weights have four bits.
    #[cfg(not(latch_backend))]
    pub(crate) fn matrices_mut(&mut self) -> ([&mut Rows<'a, N>; 2], &mut bool) {
        ([&mut self.layer.kernel, &mut self.layer.recurrent], &mut self.int4)
    }

    /// One step: `h` in the state is replaced by its next value. Gives h without its padding.
    #[inline(always)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> &'s [N::Value] {
        let h: &mut [N::Value] = place.memory.take(N::PRECISION.lanes(usize::from(self.units)));
        let mut scratch = place.scratch.rest();
        N::gru(backend, &self.layer, x, scratch.all(), h, self.int4);
        super::without_padding::<N>(h, self.units)
    }
}

impl<N: Steps> Opened<'_, N> {
    /// True where several streams share its weights.
    pub(crate) fn gains_together<B: Backend>(&self, backend: B) -> bool {
        !N::PRECISION.is_integer()
            && backend.rows_gain_together(self.layer.kernel.weights.len() + self.layer.recurrent.weights.len())
    }

    /// One step of several streams, with the weights read once.
    #[inline]
    pub(crate) fn step_many<'s: 'x, 'x, B: Backend>(&self, backend: B, streams: &mut [Stream<'s, 'x, N>]) {
        step_together(streams, self.units, |together| N::gru_many(backend, &self.layer, together));
    }
}

/// What a GRU layer computes, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// [`Backend::gru_i8`] or [`Backend::gru_float`], of weights of four bits where `int4` says so.
    fn gru<B: Backend>(
        backend: B,
        layer: &Matrices<'_, Self>,
        x: Values<'_, Self>,
        scratch: &mut [Self::Sum],
        h: &mut [Self::Value],
        int4: bool,
    );

    /// The same of several streams that share the weights. Integers step one after the other.
    #[inline(always)]
    fn gru_many<B: Backend>(backend: B, layer: &Matrices<'_, Self>, streams: &mut [Together<'_, Self>]) {
        for Together { x, scratch, h } in streams {
            Self::gru(backend, layer, *x, scratch, h, false);
        }
    }

    /// Checks that no sum of the layer can overflow.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`] with the row.
    fn check_layer(
        layer: &Matrices<'_, Self>,
        limit: Self::Limit,
        units_int4: (u16, bool),
        index: u8,
    ) -> Result<(), Error>;
}

impl Steps for i8 {
    #[inline(always)]
    fn gru<B: Backend>(
        backend: B,
        layer: &Matrices<'_, i8>,
        x: Values<'_, i8>,
        scratch: &mut [i32],
        h: &mut [i16],
        int4: bool,
    ) {
        if INT4 && int4 {
            nibbles::gru_step(backend, layer, features(x), scratch, h);
        } else {
            backend.gru_i8(layer, features(x), scratch, h);
        }
    }

    fn check_layer(layer: &Matrices<'_, i8>, (): (), units_int4: (u16, bool), index: u8) -> Result<(), Error> {
        check_integers::<i8>(layer, units_int4, index)
    }
}

impl Steps for i16 {
    #[inline(always)]
    fn gru<B: Backend>(
        backend: B,
        layer: &Matrices<'_, i16>,
        x: Values<'_, i16>,
        scratch: &mut [i32],
        h: &mut [i16],
        _: bool,
    ) {
        gru::step(backend, layer, features(x), scratch, h);
    }

    fn check_layer(layer: &Matrices<'_, i16>, (): (), units_int4: (u16, bool), index: u8) -> Result<(), Error> {
        check_integers::<i16>(layer, units_int4, index)
    }
}

/// Rows of z and r, and of n too with the reset before the product, are sums over both kernels; with the reset after it those of n are two sums, each within
/// 32 bits.
fn check_integers<N: IntNumbers>(layer: &Matrices<'_, N>, (units, int4): (u16, bool), index: u8) -> Result<(), Error> {
    fn matrix<'a, N: IntNumbers>(rows: &Rows<'a, N>, int4: bool) -> Matrix<'a, N> {
        let kernels::Rows { weights, multiplier: multipliers, .. } = *rows;
        Matrix { weights, multipliers, rows: multipliers.len(), limit: (), inputs: 0, others: (), int4 }
    }
    let (kernel, recurrent) = (matrix::<N>(&layer.kernel, int4), matrix::<N>(&layer.recurrent, int4));
    let units = usize::from(units);
    for row in 0..kernel.rows {
        let is_candidate = layer.reset == Reset::After && row >= 2 * units;
        let bias = |bias: Option<&i32>| bias.map_or(0, |bias| u64::from(bias.unsigned_abs()));
        let (x, h) = (N::reach(&kernel, row) + bias(layer.kernel.bias.get(row)), N::reach(&recurrent, row));
        let largest = if is_candidate { x.max(h + bias(layer.recurrent.bias.get(row - 2 * units))) } else { x + h };
        if largest > i32::MAX as u64 {
            return Err(Error::Overflow { layer: index, row: row as u32 });
        }
    }
    Ok(())
}

impl<W: FloatNumbers> Steps for W {
    #[inline(always)]
    fn gru<B: Backend>(
        backend: B,
        layer: &Matrices<'_, W>,
        x: Values<'_, W>,
        scratch: &mut [f32],
        h: &mut [f32],
        _: bool,
    ) {
        let gru::Gru { kernel, recurrent, reset } = *layer;
        let layer = &GruFloat { kernel: floats::<W>(&kernel), recurrent: floats::<W>(&recurrent), reset };
        backend.gru_float(layer, float_features(x), scratch, h);
    }

    #[inline(always)]
    fn gru_many<B: Backend>(backend: B, layer: &Matrices<'_, W>, streams: &mut [Together<'_, W>]) {
        let gru::Gru { kernel, recurrent, reset } = *layer;
        let layer = &GruFloat { kernel: floats::<W>(&kernel), recurrent: floats::<W>(&recurrent), reset };
        let mut all: Vec<gru::StreamFloat<'_>, MANY> = Vec::new();
        for Together { x, scratch, h } in streams {
            let lanes = h.len();
            let Some((sums, scratch)) = scratch.split_at_mut_checked(3 * lanes) else { return };
            let Some((n, scratch)) = scratch.split_at_mut_checked(lanes) else { return };
            let x = float_features(*x);
            let Some(features) = scratch.get_mut(..x.len()) else { return };
            backend.join_float(x, features, &[]);
            let _ = all.push(gru::StreamFloat { x: features, sums, n, h });
        }
        gru::step_float_many(backend, layer, &mut all);
    }

    /// Both kernels by themselves: the sum of two of their rows is still far from an infinity.
    fn check_layer(layer: &Matrices<'_, W>, limit: f32, (units, _): (u16, bool), index: u8) -> Result<(), Error> {
        let lanes = W::PRECISION.lanes(usize::from(units));
        let matrix = |weights, rows| Matrix {
            weights,
            multipliers: &[],
            rows,
            limit,
            inputs: usize::MAX,
            others: W::UNIT,
            int4: false,
        };
        W::check(&[matrix(layer.kernel.weights, 3 * lanes)], layer.kernel.bias, index)?;
        // Those of z and r, and then those of n in the same order.
        let all = layer.recurrent.weights;
        let (gates, candidate) = all.split_at_checked(all.len() / 3 * 2).unwrap_or_default();
        W::check(&[Matrix { limit: W::UNIT, ..matrix(gates, 2 * lanes) }], &[], index)?;
        W::check(&[Matrix { limit: W::UNIT, ..matrix(candidate, lanes) }], layer.recurrent.bias, index)?;
        Ok(())
    }
}
