//! Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates after Gers 2000; no peepholes). Gate order i, f, g, o.
//!
//! ```text
//! i, f, o = sigmoid(W x + U h + b)     g = tanh(W x + U h + b)     c' = f c + i g     h' = o tanh(c')
//! ```
//!
//! State: the cell state c, a sum a unit (Q12.19, or f32), then the hidden state h, a value a unit (Q0.15, or f32).

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::{Place, Stream};
use crate::error::Error;
use crate::features::{INT4, PROJECTION};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::kernels::{self, Backend, MANY, Packed, StreamFloat, StreamInt};
use crate::numbers::{
    FloatNumbers, Matrix, Numbers, Precision, Rows, Values, features, float_features, floats, magnitude, rows,
};

/// Shape of an LSTM layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Lstm {
    /// Features of its input.
    pub inputs: u16,
    /// Units: features of its hidden state.
    pub units: u16,
    /// Integers: right shift from accumulator times multiplier to Q3.12. 0 for floats.
    pub shift: u8,
    /// Integers: four bits a weight.
    pub int4: bool,
    /// The embedding has ready rows of `W x + b` for some ids; the kernel's weights lie by themselves.
    pub projected: bool,
}

impl Lstm {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        Lstm {
            inputs: fields.u16(),
            units: fields.u16(),
            shift: fields.byte(),
            int4: fields.bool(),
            projected: fields.bool(),
        }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        super::check_cell(precision, (self.inputs, self.units), self.shift, self.int4)
    }

    /// Columns of the weights that follow each other in one product.
    const fn joined(&self) -> usize {
        if PROJECTION && self.projected { self.units as usize } else { self.inputs as usize + self.units as usize }
    }

    /// Sums of a step: four gates a unit.
    pub(crate) const fn sums(&self, precision: Precision) -> usize {
        4 * precision.lanes(self.units as usize)
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let rows = self.sums(precision);
        let weights = precision.weight(self.int4);
        match place {
            0 if PROJECTION && self.projected => {
                Some(SectionShape::new(Role::Kernel, weights, rows, precision.columns(self.inputs as usize)))
            }
            1 => Some(SectionShape::new(Role::Weights, weights, rows, precision.columns(self.joined()))),
            2 if precision.is_integer() => Some(SectionShape::new(Role::Multipliers, Element::U16, rows, 1)),
            3 => Some(SectionShape::new(Role::Biases, precision.sum(), rows, 1)),
            _ => None,
        }
    }

    /// Bytes of the cell state and of the hidden state.
    pub(crate) const fn state(&self, precision: Precision) -> (usize, usize) {
        let lanes = precision.lanes(self.units as usize);
        (4 * lanes, precision.values_bytes(lanes))
    }

    /// Bytes of scratch of a step: a projected row and its features, and `[x; h]`.
    pub(crate) const fn scratch(&self, precision: Precision) -> usize {
        let joined = precision.values_bytes(precision.columns(self.joined()));
        if PROJECTION && self.projected {
            let features = precision.values_bytes(precision.columns(self.inputs as usize));
            return 4 * self.sums(precision) + if features > joined { features } else { joined };
        }
        joined
    }
}

/// An LSTM layer of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    pub(crate) rows: Rows<'a, N>,
    /// The kernel by itself, of a layer whose input is projected.
    kernel: &'a [N::Weight],
    pub(super) inputs: u16,
    pub(super) units: u16,
    pub(super) int4: bool,
    pub(super) projected: bool,
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Lstm, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        let kernel = cursor.tensor(section(0))?;
        let weights = cursor.tensor(section(1))?;
        let (multipliers, biases) = (cursor.tensor(section(2))?, cursor.tensor(section(3))?);
        Ok(Opened {
            rows: rows::<N>(weights, multipliers, biases, shape.shift),
            kernel,
            inputs: shape.inputs,
            units: shape.units,
            int4: shape.int4,
            projected: shape.projected,
        })
    }

    /// Checks every row's sum.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        let rows = 4 * N::PRECISION.lanes(usize::from(self.units));
        let kernels::Rows { weights, multiplier: multipliers, bias, .. } = self.rows;
        let inputs = if self.projected { 0 } else { usize::from(self.inputs) };
        let matrix =
            |weights, inputs| Matrix { weights, multipliers, rows, limit, inputs, others: N::UNIT, int4: self.int4 };
        let joined = matrix(weights, inputs);
        if PROJECTION && self.projected {
            N::check(&[joined, matrix(self.kernel, usize::MAX)], bias, layer)?;
        } else {
            N::check(&[joined], bias, layer)?;
        }
        Ok(N::UNIT)
    }

    /// One step: `h` and `c` in the state are replaced by their next values. Gives h without its padding.
    #[inline(always)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> &'s [N::Value] {
        let lanes = N::PRECISION.lanes(usize::from(self.units));
        let c: &mut [N::Sum] = place.memory.take(lanes);
        let h: &mut [N::Value] = place.memory.take(lanes);
        let mut scratch = place.scratch.rest();
        if PROJECTION && self.projected {
            self.step_projected(backend, x, (h, c), scratch, place.steps % 2 == 1);
        } else {
            let xh = scratch.take(N::PRECISION.columns(self.columns()));
            N::lstm(backend, &self.rows, x, xh, (h, c), self.int4, place.steps % 2 == 1);
        }
        super::without_padding::<N>(h, self.units)
    }

    /// True where several streams share its weights: each has a bias of its own where the input is projected, four bits have no kernel for several, and small layers gain nothing on some backends.
    pub(crate) fn gains_together<B: Backend>(&self, backend: B) -> bool {
        let gains = backend.gains_together(self.units.into(), N::PRECISION.is_integer());
        gains && !self.int4 && !self.projected
    }

    /// One step of several streams, with the weights read once.
    #[inline]
    pub(crate) fn step_many<'s: 'x, 'x, B: Backend>(&self, backend: B, streams: &mut [Stream<'s, 'x, N>]) {
        let units = usize::from(self.units);
        let lanes = N::PRECISION.lanes(units);
        for stream in streams.iter_mut() {
            (stream.c, stream.h) = (stream.place.memory.take(lanes), stream.place.memory.take(lanes));
        }
        let mut together: Vec<N::Stream<'_>, MANY> = Vec::new();
        for stream in streams.iter_mut() {
            let xh = stream.place.scratch.rest().take(N::PRECISION.columns(self.columns()));
            let _ = together.push(N::stream(backend, stream.x, xh, stream.h, stream.c));
        }
        N::lstm_many(backend, &self.rows, &mut together);
        drop(together);
        for stream in streams {
            let h: &'s mut [N::Value] = core::mem::take(&mut stream.h);
            stream.x = Values::Hidden(h.get(..units).unwrap_or(h));
        }
    }

    fn columns(&self) -> usize {
        usize::from(self.inputs) + usize::from(self.units)
    }

    /// A step over the columns of h, with the projected row of the input in the place of the biases. On integers the sum is the same to the bit: no part of
    /// it can overflow, which opening the image has checked, and the one rounding comes after it.
    #[inline(never)]
    fn step_projected<B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        (h, c): (&mut [N::Value], &mut [N::Sum]),
        mut scratch: super::Memory<'_>,
        odd: bool,
    ) {
        let computed: &mut [N::Sum];
        let projected = match x {
            Values::Projected(ready) => ready,
            x => {
                computed = scratch.take(4 * N::PRECISION.lanes(usize::from(self.units)));
                let mut scratch = scratch.rest();
                let columns = scratch.take(N::PRECISION.columns(usize::from(self.inputs)));
                if !N::join(backend, x, columns) {
                    return;
                }
                let kernel = kernels::Rows { weights: self.kernel, packed: Packed::NONE, ..self.rows };
                N::product(backend, &kernel, columns, computed, self.int4);
                &*computed
            }
        };
        let xh = scratch.take(N::PRECISION.columns(usize::from(self.units)));
        let rows = kernels::Rows { bias: projected, ..self.rows };
        N::lstm(backend, &rows, Values::Row(&[]), xh, (h, c), self.int4, odd);
    }
}

/// What an LSTM layer computes, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// One of several streams that step together.
    type Stream<'s>;

    /// [`Backend::step_i8`] or [`Backend::step_float`], of weights of four bits where `int4` says so.
    fn lstm<B: Backend>(
        backend: B,
        rows: &Rows<'_, Self>,
        x: Values<'_, Self>,
        xh: &mut [Self::Value],
        state: (&mut [Self::Value], &mut [Self::Sum]),
        int4: bool,
        odd: bool,
    );

    /// A stream before a step together with others: joins its columns.
    fn stream<'s, B: Backend>(
        backend: B,
        x: Values<'_, Self>,
        xh: &'s mut [Self::Value],
        h: &'s mut [Self::Value],
        c: &'s mut [Self::Sum],
    ) -> Self::Stream<'s>;

    /// [`Backend::lstm_i8_many`] or [`Backend::lstm_float_many`].
    fn lstm_many<B: Backend>(backend: B, rows: &Rows<'_, Self>, streams: &mut [Self::Stream<'_>]);

    /// Bytes of memory for the layer's weights on whole lines of the cache, those of four bits as int8, and for its weights in the backend's own order.
    #[cfg(not(latch_backend))]
    fn packed_bytes<B: Backend>(backend: B, layer: &Opened<'_, Self>) -> [usize; 2];

    /// Writes both into memory that starts on lines of the cache, and has the layer read them there.
    #[cfg(not(latch_backend))]
    fn pack<'a, B: Backend>(backend: B, layer: &mut Opened<'a, Self>, widened: &'a mut [u8], packed: &'a mut [u8]);

    /// Checks that no projected row can overflow with the hidden state's sums; floats are bounded otherwise.
    ///
    /// # Errors
    /// [`Error::ProjectionOverflow`] names the id.
    fn check_projected(
        layer: &Opened<'_, Self>,
        ids: impl Iterator<Item = u32> + Clone,
        ready: &[Self::Sum],
    ) -> Result<(), Error>;
}

impl Steps for i8 {
    type Stream<'s> = StreamInt<'s>;

    #[inline(always)]
    fn lstm<B: Backend>(
        backend: B,
        rows: &Rows<'_, Self>,
        x: Values<'_, i8>,
        xh: &mut [i16],
        (h, c): (&mut [i16], &mut [i32]),
        int4: bool,
        odd: bool,
    ) {
        if INT4 && int4 {
            backend.step_i4(rows, features(x), xh, h, c, odd);
        } else {
            backend.step_i8(rows, features(x), xh, h, c, odd);
        }
    }

    fn stream<'s, B: Backend>(
        backend: B,
        x: Values<'_, i8>,
        xh: &'s mut [i16],
        h: &'s mut [i16],
        c: &'s mut [i32],
    ) -> StreamInt<'s> {
        backend.join(features(x), xh, h);
        StreamInt { xh, h, c }
    }

    fn lstm_many<B: Backend>(backend: B, rows: &Rows<'_, Self>, streams: &mut [StreamInt<'_>]) {
        backend.lstm_i8_many(rows, streams);
    }

    #[cfg(not(latch_backend))]
    fn packed_bytes<B: Backend>(backend: B, layer: &Opened<'_, i8>) -> [usize; 2] {
        let rows = &layer.rows;
        // The kernel of a projected layer stays as it lies.
        if layer.projected && layer.int4 {
            return [0, 0];
        }
        let bytes = if layer.int4 { 2 * rows.weights.len() } else { rows.weights.len() };
        let columns = bytes.checked_div(rows.multiplier.len()).unwrap_or(0);
        let packed = backend.packed_i8_bytes(rows.multiplier.len() / 4, columns);
        let own = layer.int4 || packed == 0 && backend.wants_aligned_weights();
        [if own { bytes } else { 0 }, packed]
    }

    #[cfg(not(latch_backend))]
    fn pack<'a, B: Backend>(backend: B, layer: &mut Opened<'a, i8>, widened: &'a mut [u8], packed: &'a mut [u8]) {
        if !widened.is_empty() {
            let weights: &mut [i8] = bytemuck::cast_slice_mut(widened);
            if layer.int4 {
                kernels::nibbles::widen_gates(layer.rows.weights, weights);
            } else {
                kernels::copy(layer.rows.weights, weights);
            }
            layer.rows.weights = weights;
            layer.int4 = false;
        }
        if !packed.is_empty() {
            let columns = layer.rows.weights.len().checked_div(layer.rows.multiplier.len()).unwrap_or(0);
            backend.pack_i8(layer.rows.weights, columns, packed);
            layer.rows.packed = Packed(packed);
        }
    }

    /// `Σ|w_h|·128·multiplier + |ready| ≤ 2^31 − 1` for every row of every id.
    fn check_projected(
        layer: &Opened<'_, i8>,
        ids: impl Iterator<Item = u32> + Clone,
        ready: &[i32],
    ) -> Result<(), Error> {
        let kernels::Rows { weights, multiplier: multipliers, .. } = layer.rows;
        let rows = multipliers.len();
        let matrix = Matrix { weights, multipliers, rows, limit: (), inputs: 0, others: (), int4: layer.int4 };
        for (row, &multiplier) in multipliers.iter().enumerate() {
            let recurrent = magnitude(&matrix, row) * 128 * u64::from(multiplier);
            let sums = ready.iter().skip(row).step_by(rows.max(1));
            for (id, ready) in ids.clone().zip(sums) {
                if recurrent + u64::from(ready.unsigned_abs()) > i32::MAX as u64 {
                    return Err(Error::ProjectionOverflow { id, row: row as u32 });
                }
            }
        }
        Ok(())
    }
}

/// No four bits, no other order of the weights and no projection.
impl Steps for i16 {
    type Stream<'s> = StreamInt<'s>;

    #[inline(always)]
    fn lstm<B: Backend>(
        backend: B,
        rows: &Rows<'_, Self>,
        x: Values<'_, i16>,
        xh: &mut [i16],
        (h, c): (&mut [i16], &mut [i32]),
        _: bool,
        _: bool,
    ) {
        if backend.join(features(x), xh, h) {
            backend.lstm_i16(rows, xh, h, c);
        }
    }

    fn stream<'s, B: Backend>(
        backend: B,
        x: Values<'_, i16>,
        xh: &'s mut [i16],
        h: &'s mut [i16],
        c: &'s mut [i32],
    ) -> StreamInt<'s> {
        backend.join(features(x), xh, h);
        StreamInt { xh, h, c }
    }

    fn lstm_many<B: Backend>(backend: B, rows: &Rows<'_, Self>, streams: &mut [StreamInt<'_>]) {
        backend.lstm_i16_many(rows, streams);
    }

    #[cfg(not(latch_backend))]
    fn packed_bytes<B: Backend>(_: B, _: &Opened<'_, i16>) -> [usize; 2] {
        [0, 0]
    }

    #[cfg(not(latch_backend))]
    fn pack<'a, B: Backend>(_: B, _: &mut Opened<'a, i16>, _: &'a mut [u8], _: &'a mut [u8]) {}

    fn check_projected(_: &Opened<'_, i16>, ids: impl Iterator<Item = u32> + Clone, _: &[i32]) -> Result<(), Error> {
        // The description has refused it.
        ids.clone().next().map_or(Ok(()), |_| Err(Error::Sections))
    }
}

impl<W: FloatNumbers> Steps for W {
    type Stream<'s> = StreamFloat<'s>;

    #[inline(always)]
    fn lstm<B: Backend>(
        backend: B,
        rows: &Rows<'_, Self>,
        x: Values<'_, W>,
        xh: &mut [f32],
        (h, c): (&mut [f32], &mut [f32]),
        _: bool,
        odd: bool,
    ) {
        backend.step_float(&floats::<W>(rows), float_features(x), xh, h, c, odd);
    }

    fn stream<'s, B: Backend>(
        backend: B,
        x: Values<'_, W>,
        xh: &'s mut [f32],
        h: &'s mut [f32],
        c: &'s mut [f32],
    ) -> StreamFloat<'s> {
        backend.join_float(float_features(x), xh, h);
        StreamFloat { xh, h, c }
    }

    fn lstm_many<B: Backend>(backend: B, rows: &Rows<'_, Self>, streams: &mut [StreamFloat<'_>]) {
        backend.lstm_float_many(&floats::<W>(rows), streams);
    }

    #[cfg(not(latch_backend))]
    fn packed_bytes<B: Backend>(backend: B, layer: &Opened<'_, W>) -> [usize; 2] {
        [if backend.wants_aligned_weights() { size_of_val(layer.rows.weights) } else { 0 }, 0]
    }

    /// Copies the weights to where lines of the cache begin.
    #[cfg(not(latch_backend))]
    fn pack<'a, B: Backend>(_: B, layer: &mut Opened<'a, W>, aligned: &'a mut [u8], _: &'a mut [u8]) {
        if !aligned.is_empty() {
            aligned.copy_from_slice(bytemuck::cast_slice(layer.rows.weights));
            layer.rows.weights = bytemuck::try_cast_slice(aligned).unwrap_or(layer.rows.weights);
        }
    }

    fn check_projected(_: &Opened<'_, W>, ids: impl Iterator<Item = u32> + Clone, ready: &[f32]) -> Result<(), Error> {
        let rows = ready.len().checked_div(ids.clone().count()).unwrap_or(0).max(1);
        // Far from an infinity, as every other sum is.
        match ready.iter().position(|&sum| !crate::numbers::is_moderate(sum)) {
            Some(at) => Err(Error::TooLarge { layer: 0, row: (at % rows) as u32 }),
            None => Ok(()),
        }
    }
}
