//! A convolution over time: `y = f(b + Σ_{k<K} W_k x_{t−K+1+k})`, f = max(0, ·) or nothing. Its window ends with the newest frame.
//!
//! ```text
//! y = relu(W [x_{t−K+1}; …; x_t] + b)                       the window of K frames in a row: one matrix product
//! y = sat16((acc · multiplier + bias) >> shift)             integers: Q0.15 of the range that the layer behind it has in its weights
//! ```
//!
//! A causal one answers from the first frame on, and reads zeros before it. A valid one answers when its window is full for the first time, at the K-th frame. From there on
//! there is an answer at each S-th frame, S being the stride, and the layers behind it step only then. This is what Keras computes with
//! `Conv1D(padding="causal", strides=S)` and `Conv1D(padding="valid", strides=S)`.
//!
//! State: frames until the next answer (32 bits, of causal ones with a stride), or frames so far (32 bits, of valid ones: see [`Conv1d::answers`]); then the K − 1 frames before
//! as columns of the product, oldest first, then y, which the layers behind it read.

use serde::{Deserialize, Serialize};

use super::{Layer, MAX_WIDTH, Place};
use crate::error::{Error, problem};
use crate::features::{CONV1D, WINDOWS};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Cursor, Element, SectionShape};
use crate::kernels::{self, Backend};
use crate::memory::Memory;
use crate::numbers::{FloatNumbers, Matrix, Numbers, Precision, Rows, Values, rows};

/// Most units of a convolution.
pub const MAX_UNITS: u16 = 256;

/// Most frames of its window.
pub const MAX_FRAMES: u8 = 64;

/// Most frames from one answer to the next.
pub const MAX_STRIDE: u8 = 64;

/// What follows the sums, how weights are stored, and what a window reads before the first frame: one byte for all, so that the shape of any layer has eight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Form(u8);

impl Form {
    /// `max(x, 0)` follows the sums, or nothing.
    const RELU: u8 = 1;
    /// Integers of four bits a weight.
    const INT4: u8 = 2;
    /// There is no answer before a window is full.
    const VALID: u8 = 4;

    /// The form with the rectifier or without, valid or causal, and of four bits a weight or not.
    pub const fn of(relu: bool, valid: bool, int4: bool) -> Self {
        Form(relu as u8 * Self::RELU + int4 as u8 * Self::INT4 + valid as u8 * Self::VALID)
    }

    /// The rectifier follows the sums.
    pub const fn relu(self) -> bool {
        self.0 & Self::RELU != 0
    }

    /// Four bits a weight.
    pub const fn int4(self) -> bool {
        self.0 & Self::INT4 != 0
    }

    /// The first answer comes when the window is full.
    pub const fn valid(self) -> bool {
        WINDOWS && self.is_of_windows()
    }

    /// The same of an image whose layers this build may lack.
    pub(crate) const fn is_of_windows(self) -> bool {
        self.0 & Self::VALID != 0
    }
}

/// Shape of a convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Conv1d {
    /// Features of a frame.
    pub inputs: u16,
    /// Number of its values.
    pub units: u16,
    /// Frames of the window, K.
    pub frames: u8,
    /// Frames from one answer to the next, S.
    pub stride: u8,
    /// Integers: right shift from accumulator times multiplier to Q0.15. 0 for floats.
    pub shift: u8,
    /// What follows the sums, how weights are stored, and what the window reads before the first frame.
    pub form: Form,
}

const _: () = assert!(size_of::<Conv1d>() == 8);

impl Conv1d {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let (inputs, units) = (fields.u16(), fields.u16());
        let (frames, stride, shift) = (fields.byte(), fields.byte(), fields.byte());
        let form = Form(fields.byte());
        let form = if form.0 < 2 * Form::VALID { form } else { fields.refuse(Form(0)) };
        Conv1d { inputs, units, frames, stride, shift, form }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        if self.units == 0 || self.units > MAX_UNITS {
            return Err(problem!("a convolution has from 1 to 256 units"));
        }
        if self.frames == 0 || self.frames > MAX_FRAMES || self.stride == 0 || self.stride > MAX_STRIDE {
            return Err(problem!("a convolution has a window of 1 to 64 frames and a stride of 1 to 64"));
        }
        if self.inputs == 0 || self.columns() > MAX_WIDTH as usize {
            return Err(problem!(
                "a convolution has no inputs, or more than 2048 of all frames of its window together"
            ));
        }
        super::check_rows(precision, self.shift, self.form.int4())
    }

    /// Columns of the product.
    pub const fn columns(&self) -> usize {
        self.frames as usize * self.inputs as usize
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        let rows = precision.rows(precision.lanes(self.units as usize));
        match place {
            0 => {
                let columns = precision.columns(self.columns());
                Some(SectionShape::new(Role::Weights, precision.weight(self.form.int4()), rows, columns))
            }
            1 if precision.is_integer() => Some(SectionShape::new(Role::Multipliers, Element::U16, rows, 1)),
            2 => Some(SectionShape::new(Role::Biases, precision.sum(), rows, 1)),
            _ => None,
        }
    }

    /// Bytes of the state in front of its values, and those of its values.
    pub(crate) const fn state(&self, precision: Precision) -> (usize, usize) {
        let history = precision.values_bytes(self.columns().saturating_sub(self.inputs as usize));
        let count = if self.counts() { size_of::<u32>() } else { 0 };
        (count + history, super::hidden_bytes(precision, self.units))
    }

    /// True where its state begins with a count of frames.
    const fn counts(&self) -> bool {
        self.stride > 1 || self.form.valid()
    }

    /// Takes a frame into the count that a state begins with; true where there is an answer. `first` is called where a valid convolution answers for the first time.
    ///
    /// ```text
    /// causal    0: answer, then S − 1        n > 0: n − 1
    /// valid     n < K − 1: n + 1             K − 1: the first answer, then K        K + S − 1: answer, then K        any other n: n + 1
    /// ```
    #[inline]
    fn answers(&self, count: &mut u32, first: impl FnOnce()) -> bool {
        let (frames, stride) = (u32::from(self.frames), u32::from(self.stride));
        if !self.form.valid() {
            let answers = *count == 0;
            *count = if answers { stride } else { *count }.saturating_sub(1);
            return answers;
        }
        *count = count.saturating_add(1);
        if *count == frames {
            first();
            return true;
        }
        let answers = *count >= frames + stride;
        if answers {
            *count = frames;
        }
        answers
    }

    /// True of a count that [`Conv1d::answers`] leaves.
    const fn is_count(&self, count: u32) -> bool {
        let most = if self.form.valid() { self.frames as u32 + self.stride as u32 } else { self.stride as u32 };
        count < most
    }

    /// True where the words of a state, as they may lie in an image, are not those before an answer, nor those of a valid convolution that has not answered yet.
    pub(crate) fn waits(&self, state: &[u32]) -> bool {
        let (frames, stride) = (u32::from(self.frames), u32::from(self.stride));
        let waits = |count| {
            if self.form.valid() { count >= frames && count != frames + stride - 1 } else { count > 0 }
        };
        self.counts() && state.first().is_none_or(|&count| waits(count))
    }

    /// Bytes of scratch of a step: the columns and the sums.
    pub(crate) const fn scratch(&self, precision: Precision) -> usize {
        let columns = precision.values_bytes(precision.columns(self.columns()));
        columns + 4 * precision.rows(precision.lanes(self.units as usize))
    }
}

/// A convolution of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    rows: Rows<'a, N>,
    shape: Conv1d,
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Conv1d, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let section = |place| shape.section(N::PRECISION, place);
        let tensors = (cursor.tensor(section(0))?, cursor.tensor(section(1))?, cursor.tensor(section(2))?);
        Ok(Opened { rows: rows::<N>(tensors.0, tensors.1, tensors.2, shape.shift), shape: *shape })
    }

    /// Checks every row's sum, and says how large its values can become.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        let kernels::Rows { weights, multiplier: multipliers, bias, .. } = self.rows;
        let rows = N::PRECISION.rows(N::PRECISION.lanes(usize::from(self.shape.units)));
        let int4 = self.shape.form.int4();
        let matrix = Matrix { weights, multipliers, rows, limit, inputs: usize::MAX, others: N::UNIT, int4 };
        N::check(&[matrix], bias, layer)
    }

    /// Bytes of its state.
    pub(crate) fn state_bytes(&self) -> usize {
        let (before, values) = self.shape.state(N::PRECISION);
        before + values
    }

    /// Frames in front of its first answer, and those from one answer to the next.
    pub(crate) fn rhythm(&self) -> (u32, u32) {
        let layer = Layer::Conv1d(self.shape);
        (u32::from(layer.unanswered()), u32::from(layer.stride()))
    }

    /// True when its state could be one of a stream.
    pub(crate) fn is_sound(&self, mut memory: Memory<'_>) -> bool {
        let [count] = memory.take::<u32>(1) else { return false };
        !self.shape.counts() || self.shape.is_count(*count)
    }

    /// One step: the frame goes into the window. Gives the values without their padding; `None` at a frame without an answer.
    #[inline(never)]
    pub(crate) fn step<'s, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> Option<&'s [N::Value]> {
        let Conv1d { inputs, units, form, .. } = self.shape;
        let (inputs, columns) = (usize::from(inputs), self.shape.columns());
        let count: &mut [u32] = place.memory.take(usize::from(self.shape.counts()));
        let history: &mut [N::Value] = place.memory.take(columns.saturating_sub(inputs));
        let out: &mut [N::Value] = place.memory.take(N::PRECISION.lanes(usize::from(units)));
        let mut scratch = place.scratch.rest();
        let padded = N::PRECISION.columns(columns);
        let window: &mut [N::Value] = scratch.take(padded);
        let (before, now) = window.split_at_mut_checked(history.len())?;
        before.copy_from_slice(history);
        if !N::join(backend, x, now) {
            return None;
        }
        let kept = window.get(inputs..columns)?;
        history.iter_mut().zip(kept).for_each(|(history, kept)| *history = *kept);
        if let [count] = count {
            // To the layers behind, the first answer is the first step of the stream.
            let (steps, begin) = (&mut place.steps, place.start.begin());
            if !self.shape.answers(count, || *steps = begin) {
                return None;
            }
        }
        let sums: &mut [N::Sum] = scratch.take(N::PRECISION.rows(out.len()));
        N::product(backend, &self.rows, window, sums, form.int4());
        N::hand_on(backend, sums, self.rows.shift, form.relu(), out);
        Some(super::without_padding::<N>(out, units))
    }
}

/// What a convolution computes behind its product, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// From sums to values.
    fn hand_on<B: Backend>(backend: B, sums: &[Self::Sum], shift: u32, relu: bool, out: &mut [Self::Value]);
}

/// Weights are all that int8 and int16 differ in, and none of them is read here.
macro_rules! integer_steps {
    ($($weight:ty)*) => {$(
        impl Steps for $weight {
            fn hand_on<B: Backend>(backend: B, sums: &[i32], shift: u32, relu: bool, out: &mut [i16]) {
                if !CONV1D {
                    return;
                }
                backend.shift_q12(sums, shift, out);
                if relu {
                    out.iter_mut().for_each(|value| *value = (*value).max(0));
                }
            }
        }
    )*};
}

integer_steps!(i8 i16);

impl<W: FloatNumbers> Steps for W {
    fn hand_on<B: Backend>(_: B, sums: &[f32], _: u32, relu: bool, out: &mut [f32]) {
        for (out, &sum) in out.iter_mut().zip(sums) {
            // Not `f32::max`, which would turn NaN into a number.
            *out = if relu && sum < 0.0 { 0.0 } else { sum };
        }
    }
}
