//! A variant of a recurrent cell, as other tools have them: an LSTM, a GRU or a simple unit with other activations, peepholes, a clip, coupled gates or a projection.
//! In f32 and f16 only. The equations are at [`crate::kernels::cell::variant`].
//!
//! State: of an LSTM the cell state c, a value a unit; then the hidden state h, a value a feature. Values without a bound of their own are held to
//! ±[`MOST_RECTIFIED`].

use serde::{Deserialize, Serialize};

use super::{MAX_WIDTH, Place};
use crate::error::{Error, problem};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, SectionShape};
use crate::kernels::Backend;
use crate::kernels::cell::rnn::MOST_RECTIFIED;
use crate::kernels::cell::variant::{self, Function, scratch_float};
use crate::numbers::{FloatNumbers, Matrix, Numbers, Precision, Rows, Values, float_features, floats, rows};

pub use crate::kernels::cell::variant::{Activation, Cell};

/// What a variant is, beside its sizes: 16 bits, so that the shape of any layer has eight bytes.
///
/// ```text
/// bits 0-1 cell: 0 lstm, 1 gru with the reset after the product, 2 before it, 3 rnn
/// bits 2-4, 5-7, 8-10 activation of candidates, of gates, of c on its way to h: 0 linear, 1 relu, 2 tanh, 3 sigmoid, 4 hard sigmoid
/// bit 11 peepholes, bit 12 coupled gates, bit 13 clip
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Form(u16);

/// The same in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Parts {
    /// The cell.
    pub cell: Cell,
    /// What candidates go through, or the sums of a simple unit.
    pub activation: Activation,
    /// What gates go through.
    pub gates: Activation,
    /// What c of an LSTM goes through on its way to h.
    pub output: Activation,
    /// The gates of an LSTM see its cell.
    pub peepholes: bool,
    /// The forget gate of an LSTM is 1 less its input gate.
    pub coupled: bool,
    /// Sums are held to a number before their activations.
    pub clip: bool,
}

impl Form {
    /// As 16 bits.
    pub const fn of(parts: Parts) -> Self {
        let Parts { cell, activation, gates, output, peepholes, coupled, clip } = parts;
        let activations = (activation as u16) << 2 | (gates as u16) << 5 | (output as u16) << 8;
        Form(cell as u16 | activations | (peepholes as u16) << 11 | (coupled as u16) << 12 | (clip as u16) << 13)
    }

    /// In words.
    pub const fn parts(self) -> Parts {
        Parts {
            cell: match self.0 & 3 {
                0 => Cell::Lstm,
                1 => Cell::GruAfter,
                2 => Cell::GruBefore,
                _ => Cell::Rnn,
            },
            activation: self.activation(2),
            gates: self.activation(5),
            output: self.activation(8),
            peepholes: self.0 >> 11 & 1 == 1,
            coupled: self.0 >> 12 & 1 == 1,
            clip: self.0 >> 13 & 1 == 1,
        }
    }

    const fn activation(self, shift: u32) -> Activation {
        match self.0 >> shift & 7 {
            0 => Activation::Linear,
            1 => Activation::Relu,
            2 => Activation::Tanh,
            3 => Activation::Sigmoid,
            _ => Activation::HardSigmoid,
        }
    }
}

/// Shape of a variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Variant {
    /// Features of its input.
    pub inputs: u16,
    /// Units.
    pub units: u16,
    /// Features of the hidden state of an LSTM with a projection; 0 without one, where they are the units.
    pub projected: u16,
    /// What it is.
    pub form: Form,
}

const _: () = assert!(size_of::<Variant>() == 8);

impl Variant {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let (inputs, units, projected, bits) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let form = Form(bits);
        // What it does not mean is not read as something else.
        let form = if Form::of(form.parts()).0 == bits { form } else { fields.refuse(Form(0)) };
        Variant { inputs, units, projected, form }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        let Parts { cell, peepholes, coupled, .. } = self.form.parts();
        if precision.is_integer() {
            return Err(problem!("a variant of a recurrent cell runs in f32 and f16 only"));
        }
        if !matches!(cell, Cell::Lstm) && (self.projected != 0 || peepholes || coupled) {
            return Err(problem!("peepholes, coupled gates and a projection belong to an LSTM"));
        }
        let (inputs, units, features) = (self.inputs as u32, self.units as u32, self.features() as u32);
        if units == 0 || inputs + units > MAX_WIDTH as u32 || inputs + features > MAX_WIDTH as u32 {
            return Err(problem!("it has no units, or more columns than this engine reads"));
        }
        Ok(())
    }

    /// Features of its hidden state.
    pub const fn features(&self) -> u16 {
        if self.projected == 0 { self.units } else { self.projected }
    }

    /// Units of its cell state.
    pub const fn cells(&self) -> usize {
        match self.form.parts().cell {
            Cell::Lstm => self.units as usize,
            _ => 0,
        }
    }

    /// Its name in a chain.
    pub const fn name(&self) -> &'static str {
        match self.form.parts().cell {
            Cell::Lstm => "lstm",
            Cell::GruAfter | Cell::GruBefore => "gru",
            Cell::Rnn => "rnn",
        }
    }

    /// Rows of a unit.
    pub const fn gates(&self) -> usize {
        match self.form.parts() {
            Parts { cell: Cell::Lstm, coupled: false, .. } => 4,
            Parts { cell: Cell::Rnn, .. } => 1,
            _ => 3,
        }
    }

    /// True where its values are in [-1, 1].
    pub const fn is_bounded(&self) -> bool {
        let Parts { cell, activation, gates, output, .. } = self.form.parts();
        match cell {
            Cell::Lstm => self.projected == 0 && output.is_bounded() && gates.is_bounded(),
            // A mean of n and h, where z is between 0 and 1.
            Cell::GruAfter | Cell::GruBefore => activation.is_bounded() && gates.is_gate(),
            Cell::Rnn => activation.is_bounded(),
        }
    }

    /// True where its sections have α and β of its activations and the clip.
    const fn has_numbers(&self) -> bool {
        let Parts { activation, gates, output, clip, .. } = self.form.parts();
        clip || matches!(activation, Activation::HardSigmoid)
            || matches!(gates, Activation::HardSigmoid)
            || matches!(output, Activation::HardSigmoid)
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let (units, features) = (self.units as usize, self.features() as usize);
        let (lanes, weights, floats) = (precision.lanes(units), precision.weight(false), precision.sum());
        let Parts { cell, peepholes, .. } = self.form.parts();
        match place {
            0 => Some(SectionShape::new(Role::Weights, weights, self.gates() * lanes, self.inputs as usize)),
            1 => Some(SectionShape::new(Role::Biases, floats, self.gates() * lanes, 1)),
            2 => Some(SectionShape::new(Role::RecurrentWeights, weights, self.gates() * lanes, features)),
            3 if peepholes => Some(SectionShape::new(Role::Peepholes, floats, self.gates() - 1, lanes)),
            3 if matches!(cell, Cell::GruAfter) => Some(SectionShape::new(Role::RecurrentBiases, floats, lanes, 1)),
            4 if self.projected != 0 => {
                Some(SectionShape::new(Role::Projection, weights, precision.lanes(features), units))
            }
            5 if self.has_numbers() => Some(SectionShape::new(Role::Numbers, floats, NUMBERS, 1)),
            _ => None,
        }
    }

    /// Bytes of the cell state and of the hidden state.
    pub(crate) const fn state(&self, precision: Precision) -> (usize, usize) {
        let cells = match self.form.parts().cell {
            Cell::Lstm => super::hidden_bytes(precision, self.units),
            _ => 0,
        };
        (cells, super::hidden_bytes(precision, self.features()))
    }

    /// Bytes of scratch of a step.
    pub(crate) const fn scratch(&self) -> usize {
        4 * scratch_float(self.gates(), self.inputs as usize, self.units as usize)
    }
}

/// α and β of the activations of candidates, of gates and of the output, then the clip.
pub const NUMBERS: usize = 7;

/// A variant as it is written in a chain, without its numbers, which are tensors.
impl core::fmt::Display for Variant {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Parts { cell, activation, gates, output, peepholes, coupled, clip } = self.form.parts();
        write!(formatter, "{} {}", self.name(), self.units)?;
        if self.projected > 0 {
            write!(formatter, " project={}", self.projected)?;
        }
        let words =
            [(cell == Cell::GruBefore, "reset_before"), (peepholes, "peepholes"), (coupled, "coupled"), (clip, "clip")];
        for (_, word) in words.into_iter().filter(|(has, _)| *has) {
            write!(formatter, " {word}")?;
        }
        let activations = [
            (activation, Activation::Tanh, "activation"),
            (gates, Activation::Sigmoid, "gates"),
            (output, Activation::Tanh, "output"),
        ];
        for (found, _, place) in activations.into_iter().filter(|(found, usual, _)| found != usual) {
            write!(formatter, " {place}={}", found.name())?;
        }
        Ok(())
    }
}

/// A variant of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    shape: Variant,
    weights: &'a [N::Weight],
    biases: &'a [N::Sum],
    recurrent: &'a [N::Weight],
    /// Of an LSTM its peepholes, of a GRU the biases of n over h.
    more: &'a [N::Sum],
    projection: &'a [N::Weight],
    numbers: &'a [N::Sum],
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Variant, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        Ok(Opened {
            shape: *shape,
            weights: cursor.tensor(section(0))?,
            biases: cursor.tensor(section(1))?,
            recurrent: cursor.tensor(section(2))?,
            more: cursor.tensor(section(3))?,
            projection: cursor.tensor(section(4))?,
            numbers: cursor.tensor(section(5))?,
        })
    }

    /// Checks its numbers and every row's sum, and says how large h can become.
    ///
    /// # Errors
    /// [`Error::Layer`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        N::check_variant(self, limit, layer)
    }

    /// Bytes of its state.
    pub(crate) fn state_bytes(&self) -> usize {
        let (cells, hidden) = self.shape.state(N::PRECISION);
        cells + hidden
    }

    /// One step: `h` and `c` in the state are replaced by their next values. Gives h without its padding.
    #[inline(never)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> &'s [N::Value] {
        let lanes = |units: u16| N::PRECISION.lanes(usize::from(units));
        let has_cell = self.shape.form.parts().cell == Cell::Lstm;
        let c: &mut [N::Sum] = place.memory.take(if has_cell { lanes(self.shape.units) } else { 0 });
        let h: &mut [N::Value] = place.memory.take(lanes(self.shape.features()));
        N::variant(backend, self, x, place.scratch.rest().all(), (h, c));
        super::without_padding::<N>(h, self.shape.features())
    }
}

/// What a variant computes: by floats alone.
pub(crate) trait Steps: Numbers {
    /// [`variant::step_float`].
    fn variant<B: Backend>(
        backend: B,
        layer: &Opened<'_, Self>,
        x: Values<'_, Self>,
        scratch: &mut [Self::Sum],
        state: (&mut [Self::Value], &mut [Self::Sum]),
    );

    /// Checks its numbers and every row's sum.
    ///
    /// # Errors
    /// [`Error::Layer`] or [`Error::TooLarge`].
    fn check_variant(layer: &Opened<'_, Self>, limit: Self::Limit, index: u8) -> Result<Self::Limit, Error>;
}

/// No image of integers has one: its description is refused.
macro_rules! integer_steps {
    ($($weight:ty)*) => {$(
        impl Steps for $weight {
            fn variant<B: Backend>(
                _: B,
                _: &Opened<'_, Self>,
                _: Values<'_, Self>,
                _: &mut [i32],
                _: (&mut [i16], &mut [i32]),
            ) {
            }

            fn check_variant(_: &Opened<'_, Self>, (): (), _: u8) -> Result<(), Error> {
                Err(Error::Sections)
            }
        }
    )*};
}

integer_steps!(i8 i16);

/// The functions of candidates, gates and the output, and the clip; an infinity where there is none.
fn functions(form: Form, numbers: &[f32]) -> ([Function; 3], f32) {
    let Parts { activation, gates, output, clip, .. } = form.parts();
    let number = |place: usize| numbers.get(place).copied().unwrap_or(0.0);
    let function = |activation, place| Function { activation, alpha: number(place), beta: number(place + 1) };
    let all = [function(activation, 0), function(gates, 2), function(output, 4)];
    (all, if clip { number(6) } else { f32::INFINITY })
}

impl<W: FloatNumbers> Steps for W {
    fn variant<B: Backend>(
        backend: B,
        layer: &Opened<'_, W>,
        x: Values<'_, W>,
        scratch: &mut [f32],
        state: (&mut [f32], &mut [f32]),
    ) {
        let Parts { cell, coupled, .. } = layer.shape.form.parts();
        let (functions, clip) = functions(layer.shape.form, layer.numbers);
        let matrix = |weights, bias| floats::<W>(&rows_of(weights, bias));
        let is_projected = layer.shape.projected != 0;
        let layer = variant::Variant {
            cell,
            coupled,
            units: usize::from(layer.shape.units),
            kernel: matrix(layer.weights, layer.biases),
            recurrent: matrix(layer.recurrent, if cell == Cell::GruAfter { layer.more } else { &[] }),
            peepholes: if cell == Cell::Lstm { layer.more } else { &[] },
            projection: is_projected.then(|| matrix(layer.projection, &[])),
            functions,
            clip,
        };
        variant::step_float(backend, &layer, float_features(x), scratch, state);
    }

    /// Both kernels by themselves, as of a GRU: a sum stays below 2^101, and times a reset gate of at most [`MOST_RECTIFIED`], 2^24, below 2^125.
    fn check_variant(layer: &Opened<'_, W>, limit: f32, index: u8) -> Result<f32, Error> {
        let shape = &layer.shape;
        let Parts { cell, clip, .. } = shape.form.parts();
        if clip && !layer.numbers.last().is_some_and(|clip| *clip > 0.0) {
            return Err(Error::Layer { layer: index, problem: problem!("the clip of its sums is not above zero") });
        }
        let lanes = W::PRECISION.lanes(usize::from(shape.units));
        let most = if shape.is_bounded() { W::UNIT } else { MOST_RECTIFIED };
        let matrix = |weights, rows, limit| {
            let inputs = usize::MAX;
            Matrix { weights, multipliers: &[], rows, limit, inputs, others: limit, int4: false }
        };
        W::check(&[matrix(layer.weights, shape.gates() * lanes, limit)], layer.biases, index)?;
        let is_gru = matches!(cell, Cell::GruAfter | Cell::GruBefore);
        // Of a GRU the rows of z and r, and then those of n in the same order.
        let gates = if is_gru { layer.recurrent.len() / 3 * 2 } else { 0 };
        let (gates, others) = layer.recurrent.split_at_checked(gates).unwrap_or_default();
        W::check(&[matrix(gates, 2 * lanes * usize::from(is_gru), most)], &[], index)?;
        let (rows, biases) = if is_gru { (lanes, layer.more) } else { (shape.gates() * lanes, &[][..]) };
        W::check(&[matrix(others, rows, most)], biases, index)?;
        if cell == Cell::Lstm
            && let Some(row) = layer.more.iter().position(|p| !crate::numbers::is_moderate(p * MOST_RECTIFIED))
        {
            return Err(Error::TooLarge { layer: index, row: row as u32 });
        }
        let features = W::PRECISION.lanes(usize::from(shape.features()));
        W::check(&[matrix(layer.projection, if shape.projected == 0 { 0 } else { features }, most)], &[], index)?;
        Ok(most)
    }
}

/// A matrix of floats.
fn rows_of<'a, W: FloatNumbers>(weights: &'a [W], bias: &'a [f32]) -> Rows<'a, W> {
    rows::<W>(weights, &[], bias, 0)
}
