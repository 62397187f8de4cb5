//! The simple recurrent unit (Elman 1990).
//!
//! ```text
//! h' = f(W x + U h + b)          f = tanh or max(0, ·)
//! ```
//!
//! State: the hidden state h, a value a unit (Q0.15, or f32). Of integers the rectifier saturates at 1 − 2^-15; of floats at [`MOST_RECTIFIED`].

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::{Place, Stream, Together, step_together};
use crate::error::Error;
use crate::features::INT4;
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::kernels::cell::rnn::{self, Activation, MOST_RECTIFIED, RnnFloat, scratch_float, scratch_integers};
use crate::kernels::{self, Backend, MANY, nibbles};
use crate::numbers::{FloatNumbers, Matrix, Numbers, Precision, Rows, Values, features, float_features, floats, rows};

/// Shape of a simple recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Rnn {
    /// Features of its input.
    pub inputs: u16,
    /// Units: features of its hidden state.
    pub units: u16,
    /// Integers: right shift from accumulator times multiplier to Q3.12, and of the rectifier to Q0.15. 0 for floats.
    pub shift: u8,
    /// Integers: four bits a weight.
    pub int4: bool,
    /// The rectifier in place of the hyperbolic tangent.
    pub relu: bool,
}

impl Rnn {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        Rnn {
            inputs: fields.u16(),
            units: fields.u16(),
            shift: fields.byte(),
            int4: fields.bool(),
            relu: fields.bool(),
        }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        super::check_cell(precision, (self.inputs, self.units), self.shift, self.int4)
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let rows = precision.rows(precision.lanes(self.units as usize));
        let columns = precision.columns(self.inputs as usize + self.units as usize);
        match place {
            0 => Some(SectionShape::new(Role::Weights, precision.weight(self.int4), rows, columns)),
            1 if precision.is_integer() => Some(SectionShape::new(Role::Multipliers, Element::U16, rows, 1)),
            2 => Some(SectionShape::new(Role::Biases, precision.sum(), rows, 1)),
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

/// A simple recurrent layer of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    layer: rnn::Rnn<Rows<'a, N>>,
    inputs: u16,
    pub(super) units: u16,
    int4: bool,
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Rnn, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        let tensors = (cursor.tensor(section(0))?, cursor.tensor(section(1))?, cursor.tensor(section(2))?);
        let rows = rows::<N>(tensors.0, tensors.1, tensors.2, shape.shift);
        let activation = if shape.relu { Activation::Relu } else { Activation::Tanh };
        let layer = rnn::Rnn { rows, activation };
        Ok(Opened { layer, inputs: shape.inputs, units: shape.units, int4: shape.int4 })
    }

    /// Checks every row's sum, and says how large h can become.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        let relu = self.layer.activation == Activation::Relu;
        let others = if relu { N::RECTIFIED } else { N::UNIT };
        let kernels::Rows { weights, multiplier: multipliers, bias, .. } = self.layer.rows;
        let rows = N::PRECISION.rows(N::PRECISION.lanes(usize::from(self.units)));
        let inputs = usize::from(self.inputs);
        let matrix = Matrix { weights, multipliers, rows, limit, inputs, others, int4: self.int4 };
        N::check(&[matrix], bias, layer)?;
        Ok(others)
    }

    /// Its matrix, for [`pack`](crate::model::Model::pack).
    #[cfg(not(latch_backend))]
    pub(crate) fn matrices(&self) -> ([&Rows<'a, N>; 1], bool) {
        ([&self.layer.rows], self.int4)
    }

    /// The same, to be moved; the flag says that weights have four bits.
    #[cfg(not(latch_backend))]
    pub(crate) fn matrices_mut(&mut self) -> ([&mut Rows<'a, N>; 1], &mut bool) {
        ([&mut self.layer.rows], &mut self.int4)
    }

    /// One step: `h` in the state is replaced by its next value. Gives h without its padding.
    #[inline(always)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> &'s [N::Value] {
        let units = usize::from(self.units);
        let h: &mut [N::Value] = place.memory.take(N::PRECISION.lanes(units));
        let mut scratch = place.scratch.rest();
        N::rnn(backend, &self.layer, x, scratch.all(), h, self.int4);
        super::without_padding::<N>(h, self.units)
    }
}

impl<N: Steps> Opened<'_, N> {
    /// True where several streams share its weights.
    pub(crate) fn gains_together<B: Backend>(&self, backend: B) -> bool {
        !N::PRECISION.is_integer() && backend.rows_gain_together(self.layer.rows.weights.len())
    }

    /// One step of several streams, with the weights read once.
    #[inline]
    pub(crate) fn step_many<'s: 'x, 'x, B: Backend>(&self, backend: B, streams: &mut [Stream<'s, 'x, N>]) {
        step_together(streams, self.units, |together| N::rnn_many(backend, &self.layer, together));
    }
}

/// What a simple recurrent layer computes, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// How large the rectifier's values can become.
    const RECTIFIED: Self::Limit;

    /// [`Backend::rnn_i8`] or [`Backend::rnn_float`], of weights of four bits where `int4` says so.
    fn rnn<B: Backend>(
        backend: B,
        layer: &rnn::Rnn<Rows<'_, Self>>,
        x: Values<'_, Self>,
        scratch: &mut [Self::Sum],
        h: &mut [Self::Value],
        int4: bool,
    );

    /// The same of several streams that share the weights. Integers step one after the other.
    #[inline(always)]
    fn rnn_many<B: Backend>(backend: B, layer: &rnn::Rnn<Rows<'_, Self>>, streams: &mut [Together<'_, Self>]) {
        for Together { x, scratch, h } in streams {
            Self::rnn(backend, layer, *x, scratch, h, false);
        }
    }
}

impl Steps for i8 {
    const RECTIFIED: () = ();

    #[inline(always)]
    fn rnn<B: Backend>(
        backend: B,
        layer: &rnn::Rnn<Rows<'_, Self>>,
        x: Values<'_, i8>,
        scratch: &mut [i32],
        h: &mut [i16],
        int4: bool,
    ) {
        if INT4 && int4 {
            nibbles::rnn_step(backend, layer, features(x), scratch, h);
        } else {
            backend.rnn_i8(layer, features(x), scratch, h);
        }
    }
}

impl Steps for i16 {
    const RECTIFIED: () = ();

    #[inline(always)]
    fn rnn<B: Backend>(
        backend: B,
        layer: &rnn::Rnn<Rows<'_, Self>>,
        x: Values<'_, i16>,
        scratch: &mut [i32],
        h: &mut [i16],
        _: bool,
    ) {
        rnn::step(backend, layer, features(x), scratch, h);
    }
}

impl<W: FloatNumbers> Steps for W {
    const RECTIFIED: f32 = MOST_RECTIFIED;

    #[inline(always)]
    fn rnn<B: Backend>(
        backend: B,
        layer: &rnn::Rnn<Rows<'_, Self>>,
        x: Values<'_, W>,
        scratch: &mut [f32],
        h: &mut [f32],
        _: bool,
    ) {
        let layer = RnnFloat { rows: floats::<W>(&layer.rows), activation: layer.activation };
        backend.rnn_float(&layer, float_features(x), scratch, h);
    }

    #[inline(always)]
    fn rnn_many<B: Backend>(backend: B, layer: &rnn::Rnn<Rows<'_, Self>>, streams: &mut [Together<'_, W>]) {
        let layer = &RnnFloat { rows: floats::<W>(&layer.rows), activation: layer.activation };
        let mut all: Vec<rnn::StreamFloat<'_>, MANY> = Vec::new();
        for Together { x, scratch, h } in streams {
            let Some(columns) = layer.rows.weights.len().checked_div(h.len()) else { return };
            let Some(xh) = scratch.get_mut(..columns) else { return };
            backend.join_float(float_features(*x), xh, h);
            let _ = all.push(rnn::StreamFloat { xh, h });
        }
        rnn::step_float_many(backend, layer, &mut all);
    }
}
