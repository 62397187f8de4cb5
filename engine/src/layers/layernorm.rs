//! Layer normalization (Ba, Kiros and Hinton 2016): `y = scale (x - mean) / sqrt(variance + epsilon) + shift` over the features of a step, or of what pooling leaves.
//! In f32 and f16 only.
//!
//! It has no state of its own. Between layers that remember, its values lie in the state for the layer that reads them, as those of a dense layer.

use serde::{Deserialize, Serialize};

use super::{MAX_WIDTH, Place};
use crate::error::{Error, problem};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, SectionShape};
use crate::kernels::Backend;
use crate::kernels::layernorm::layer_norm;
use crate::numbers::{FloatNumbers, Numbers, Precision, Values};

/// Shape of a layer normalization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct LayerNorm {
    /// Features of its input, and of its output.
    pub width: u16,
}

/// Values of this size have squares whose sum over 2048 features is far from an infinity.
const MOST: f32 = f32::from_bits((127 + 50) << 23);

impl LayerNorm {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        LayerNorm { width: fields.u16() }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        if precision.is_integer() {
            return Err(problem!("layer normalization runs in f32 and f16 only"));
        }
        if self.width == 0 || self.width > MAX_WIDTH {
            return Err(problem!("it has no inputs, or more than this engine reads"));
        }
        Ok(())
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        match place {
            0 => Some(SectionShape::new(Role::Scale, precision.sum(), self.width as usize, 1)),
            1 => Some(SectionShape::new(Role::Biases, precision.sum(), self.width as usize, 1)),
            2 => Some(SectionShape::new(Role::Numbers, precision.sum(), 1, 1)),
            _ => None,
        }
    }
}

/// A layer normalization of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    scale: &'a [N::Sum],
    shift: &'a [N::Sum],
    numbers: &'a [N::Sum],
    width: u16,
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &LayerNorm, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        Ok(Opened {
            scale: cursor.tensor(section(0))?,
            shift: cursor.tensor(section(1))?,
            numbers: cursor.tensor(section(2))?,
            width: shape.width,
        })
    }

    /// Checks its numbers, and says how large values can become.
    ///
    /// # Errors
    /// [`Error::Layer`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        N::check_norm((self.scale, self.shift, self.numbers), limit, layer)
    }

    /// Number of values.
    pub(crate) fn width(&self) -> u16 {
        self.width
    }

    /// All values into `out`.
    pub(crate) fn values(&self, x: &[N::Value], out: &mut [N::Value]) {
        N::norm(x, (self.scale, self.shift, self.numbers), out);
    }

    /// One step in front of another layer: its values into the state.
    #[inline(never)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> &'s [N::Value] {
        let out: &mut [N::Value] = place.memory.take(usize::from(self.width));
        let mut scratch = place.scratch.rest();
        self.values(super::hidden(backend, x, &mut scratch), out);
        out
    }
}

/// Scale, shift, and a section with epsilon alone.
type Tensors<'a, S> = (&'a [S], &'a [S], &'a [S]);

/// What a layer normalization computes: by floats alone.
pub(crate) trait Steps: Numbers {
    /// [`layer_norm`].
    fn norm(x: &[Self::Value], tensors: Tensors<'_, Self::Sum>, out: &mut [Self::Value]);

    /// Checks its numbers.
    ///
    /// # Errors
    /// [`Error::Layer`] or [`Error::TooLarge`].
    fn check_norm(tensors: Tensors<'_, Self::Sum>, limit: Self::Limit, layer: u8) -> Result<Self::Limit, Error>;
}

/// No image of integers has one: its description is refused.
macro_rules! integer_steps {
    ($($weight:ty)*) => {$(
        impl Steps for $weight {
            fn norm(_: &[i16], _: Tensors<'_, i32>, _: &mut [i16]) {}

            fn check_norm(_: Tensors<'_, i32>, (): (), _: u8) -> Result<(), Error> {
                Err(Error::Sections)
            }
        }
    )*};
}

integer_steps!(i8 i16);

impl<W: FloatNumbers> Steps for W {
    fn norm(x: &[f32], (scale, shift, numbers): Tensors<'_, f32>, out: &mut [f32]) {
        if let [epsilon] = numbers {
            layer_norm(x, (scale, shift), *epsilon, out);
        }
    }

    /// A feature is at most the root of their number away from the mean, counted in deviations: `|y| ≤ |scale|·√width + |shift|`.
    fn check_norm((scale, shift, numbers): Tensors<'_, f32>, limit: f32, layer: u8) -> Result<f32, Error> {
        if !numbers.first().is_some_and(|epsilon| epsilon.is_normal() && *epsilon > 0.0) {
            return Err(Error::Layer { layer, problem: problem!("the epsilon of its root is not above zero") });
        }
        let too_large = |row: usize| Error::TooLarge { layer, row: row as u32 };
        if limit.is_nan() || limit >= MOST {
            return Err(too_large(0));
        }
        // √2048
        const ROOT: f32 = 45.3;
        let mut most = 0.0_f32;
        for (row, (scale, shift)) in scale.iter().zip(shift).enumerate() {
            let largest = scale.abs() * ROOT + shift.abs();
            if !crate::numbers::is_moderate(largest) {
                return Err(too_large(row));
            }
            most = most.max(largest);
        }
        Ok(most)
    }
}
