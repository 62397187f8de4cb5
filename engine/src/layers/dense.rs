//! A dense layer: `y = f(W v + b)`. The last layer of a chain is dense and gives the answer.
//!
//! ```text
//! s = ((Σ w·v)·multiplier + 2^(shift−1) >> shift) + b         integers: 16-bit weights, v in Q0.15, 64-bit sums, each rounded once
//! ```
//!
//! As the answer s is Q15.16, saturated to 32 bits. Elsewhere it is saturated to 16 bits: Q3.12 in front of tanh and sigmoid, whose values are Q0.15, and in the
//! scale that the layer behind it reads for linear and relu.
//!
//! A dense layer has no state of its own. Between cells, its values lie in the state for the layer that reads them.

use bytemuck::Pod;
use serde::{Deserialize, Serialize};

use super::{Logit, MAX_WIDTH, Place};
use crate::error::{Error, problem};
use crate::features::DENSE;
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::kernels::Backend;
use crate::numbers::{FloatNumbers, Matrix, Numbers, Precision, Values};

/// Most outputs of a model.
pub const MAX_OUTPUTS: usize = 256;

/// What follows a dense layer's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Activation {
    /// Nothing.
    #[default]
    Linear,
    /// `max(x, 0)`.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic sigmoid.
    Sigmoid,
}

impl Activation {
    /// As it is written in a chain.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
        }
    }
}

/// Shape of a dense layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Dense {
    /// Features of its input.
    pub inputs: u16,
    /// Number of its values.
    pub outputs: u16,
    /// Integers: right shift from accumulator times multiplier. 0 for floats.
    pub shift: u8,
    /// What follows the sums.
    pub activation: Activation,
}

impl Dense {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let (inputs, outputs, shift) = (fields.u16(), fields.u16(), fields.byte());
        let activation = match fields.u32() {
            0 => Activation::Linear,
            1 => Activation::Relu,
            2 => Activation::Tanh,
            3 => Activation::Sigmoid,
            _ => fields.refuse(Activation::Linear),
        };
        Dense { inputs, outputs, shift, activation }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        if self.outputs == 0 || self.outputs > MAX_WIDTH || self.inputs == 0 || self.inputs > MAX_WIDTH {
            return Err(problem!("it has no inputs or outputs, or more than this engine reads"));
        }
        let fits = if precision.is_integer() { self.shift >= 1 && self.shift <= 46 } else { self.shift == 0 };
        if fits { Ok(()) } else { Err(problem!("its shift is out of range")) }
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let (outputs, inputs) = (self.outputs as usize, self.inputs as usize);
        match place {
            0 => {
                let element = if precision.is_integer() { Element::I16 } else { precision.weight(false) };
                Some(SectionShape::new(Role::Weights, element, outputs, inputs))
            }
            1 if precision.is_integer() => Some(SectionShape::new(Role::Multipliers, Element::U16, outputs, 1)),
            2 => Some(SectionShape::new(Role::Biases, precision.sum(), outputs, 1)),
            _ => None,
        }
    }
}

/// A dense layer of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Steps> {
    weights: &'a [N::DenseWeight],
    multipliers: &'a [u16],
    biases: &'a [N::Sum],
    shift: u32,
    inputs: u16,
    outputs: u16,
    activation: Activation,
}

impl<'a, N: Steps> Opened<'a, N> {
    /// A layer without outputs.
    pub(crate) const NOTHING: Self = Opened {
        weights: &[],
        multipliers: &[],
        biases: &[],
        shift: 1,
        inputs: 0,
        outputs: 0,
        activation: Activation::Linear,
    };

    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Dense, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        Ok(Opened {
            weights: cursor.tensor(section(0))?,
            multipliers: cursor.tensor(section(1))?,
            biases: cursor.tensor(section(2))?,
            shift: u32::from(shape.shift),
            inputs: shape.inputs,
            outputs: shape.outputs,
            activation: shape.activation,
        })
    }

    /// Checks every row's sum, and says how large values can become.
    ///
    /// # Errors
    /// [`Error::TooLarge`] of floats.
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        let sums = N::check_dense(self.weights, (self.outputs, self.biases), limit, layer)?;
        let is_bounded = matches!(self.activation, Activation::Tanh | Activation::Sigmoid);
        Ok(if is_bounded { N::UNIT } else { sums })
    }

    /// Number of values.
    pub(crate) fn outputs(&self) -> u16 {
        self.outputs
    }

    /// The weights of a value.
    #[inline]
    fn row(&self, output: usize) -> &'a [N::DenseWeight] {
        let inputs = usize::from(self.inputs);
        self.weights.get(output * inputs..).and_then(|rest| rest.get(..inputs)).unwrap_or(&[])
    }

    /// One of the model's outputs. 0 for one that the model does not have.
    pub(crate) fn answer<B: Backend>(&self, backend: B, values: &[N::Value], output: usize) -> Logit {
        let (multiplier, bias) = (self.multipliers.get(output).copied(), self.biases.get(output).copied());
        N::answer(backend, (self.row(output), values), (multiplier, self.shift, bias), self.activation)
    }

    /// All values into `out`.
    pub(crate) fn values<B: Backend>(&self, backend: B, values: &[N::Value], out: &mut [N::Value]) {
        for (output, out) in out.iter_mut().enumerate() {
            let (multiplier, bias) = (self.multipliers.get(output).copied(), self.biases.get(output).copied());
            *out = N::value(backend, (self.row(output), values), (multiplier, self.shift, bias), self.activation);
        }
        N::activate(backend, self.activation, out);
    }

    /// One step of a dense layer in front of another layer: its values into the state.
    #[inline(never)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> &'s [N::Value] {
        let out: &mut [N::Value] = place.memory.take(usize::from(self.outputs));
        if DENSE {
            let mut scratch = place.scratch.rest();
            let values = super::hidden(backend, x, &mut scratch);
            self.values(backend, values, out);
        }
        out
    }
}

/// What a dense layer computes, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// Type of its weights.
    type DenseWeight: Pod + core::fmt::Debug;

    /// One output of a model: `f(W v + b)` of a row.
    fn answer<B: Backend>(
        backend: B,
        row_and_values: (&[Self::DenseWeight], &[Self::Value]),
        scale: (Option<u16>, u32, Option<Self::Sum>),
        activation: Activation,
    ) -> Logit;

    /// One value in front of its activation.
    fn value<B: Backend>(
        backend: B,
        row_and_values: (&[Self::DenseWeight], &[Self::Value]),
        scale: (Option<u16>, u32, Option<Self::Sum>),
        activation: Activation,
    ) -> Self::Value;

    /// The activation in place.
    fn activate<B: Backend>(backend: B, activation: Activation, values: &mut [Self::Value]);

    /// As [`Numbers::check`].
    ///
    /// # Errors
    /// [`Error::TooLarge`] with the row.
    fn check_dense(
        weights: &[Self::DenseWeight],
        outputs_and_biases: (u16, &[Self::Sum]),
        limit: Self::Limit,
        layer: u8,
    ) -> Result<Self::Limit, Error>;
}

/// `((Σ w·v)·multiplier + 2^(shift−1) >> shift) + b`. |Σ w·v| ≤ 2048·2^30 = 2^41 and a multiplier has 16 bits, so that 64 bits hold every sum.
#[inline(always)]
fn sum<B: Backend>(
    backend: B,
    (row, values): (&[i16], &[i16]),
    (multiplier, shift, bias): (Option<u16>, u32, Option<i32>),
) -> i64 {
    let dot = backend.dot_i16(row, values);
    let scaled = (dot * i64::from(multiplier.unwrap_or(0)) + (1 << (shift.wrapping_sub(1) & 63))) >> (shift & 63);
    scaled + i64::from(bias.unwrap_or(0))
}

/// Weights are all that int8 and int16 differ in, and none of them is read here.
macro_rules! integer_steps {
    ($weight:ty) => {
        impl Steps for $weight {
            type DenseWeight = i16;

            fn answer<B: Backend>(
                backend: B,
                row_and_values: (&[i16], &[i16]),
                scale: (Option<u16>, u32, Option<i32>),
                activation: Activation,
            ) -> Logit {
                let sum = sum(backend, row_and_values, scale).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                if DENSE && activation != Activation::Linear {
                    if activation == Activation::Relu {
                        return Logit::Fixed(sum.max(0));
                    }
                    // Q15.16 to Q3.12, rounded, and from Q0.15 back.
                    let rounded = (sum >> 4).saturating_add((sum >> 3) & 1);
                    let mut value = [rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16];
                    Self::activate(backend, activation, &mut value);
                    return Logit::Fixed(i32::from(value[0]) << 1);
                }
                Logit::Fixed(sum)
            }

            fn value<B: Backend>(
                backend: B,
                row_and_values: (&[i16], &[i16]),
                scale: (Option<u16>, u32, Option<i32>),
                _: Activation,
            ) -> i16 {
                sum(backend, row_and_values, scale).clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
            }

            fn activate<B: Backend>(backend: B, activation: Activation, values: &mut [i16]) {
                match activation {
                    Activation::Linear => {}
                    Activation::Relu => values.iter_mut().for_each(|value| *value = (*value).max(0)),
                    Activation::Tanh => backend.tanh_q15(values),
                    Activation::Sigmoid => backend.sigmoid_q15(values),
                }
            }

            fn check_dense(_: &[i16], _: (u16, &[i32]), (): (), _: u8) -> Result<(), Error> {
                Ok(())
            }
        }
    };
}

integer_steps!(i8);
integer_steps!(i16);

impl<W: FloatNumbers> Steps for W {
    type DenseWeight = W;

    fn answer<B: Backend>(
        backend: B,
        row_and_values: (&[W], &[f32]),
        scale: (Option<u16>, u32, Option<f32>),
        activation: Activation,
    ) -> Logit {
        let mut value = [Self::value(backend, row_and_values, scale, activation)];
        if DENSE {
            Self::activate(backend, activation, &mut value);
        }
        Logit::Float(value[0])
    }

    fn value<B: Backend>(
        backend: B,
        (row, values): (&[W], &[f32]),
        (_, _, bias): (Option<u16>, u32, Option<f32>),
        _: Activation,
    ) -> f32 {
        backend.dot_f32(row, values) + bias.unwrap_or(0.0)
    }

    fn activate<B: Backend>(backend: B, activation: Activation, values: &mut [f32]) {
        match activation {
            Activation::Linear => {}
            Activation::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
            Activation::Tanh => backend.tanh_f32(values),
            Activation::Sigmoid => backend.sigmoid_f32(values),
        }
    }

    fn check_dense(weights: &[W], (outputs, biases): (u16, &[f32]), limit: f32, layer: u8) -> Result<f32, Error> {
        let columns = weights.len().checked_div(usize::from(outputs)).unwrap_or(0);
        let mut most = 0.0_f32;
        // One row after the other, row-major: a matrix of one row each.
        for (row, (weights, bias)) in weights.chunks(columns.max(1)).zip(biases).enumerate() {
            let inputs = usize::MAX;
            let matrix = Matrix { weights, multipliers: &[], rows: 1, limit, inputs, others: W::UNIT, int4: false };
            let largest = W::check(&[matrix], core::slice::from_ref(bias), layer)
                .map_err(|_| Error::TooLarge { layer, row: row as u32 })?;
            most = most.max(largest);
        }
        Ok(most)
    }
}
