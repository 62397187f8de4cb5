//! Two recurrent layers over one sequence, from its first step to its last and back (Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997).
//!
//! ```text
//! f_t = cell(x_t, f_{t-1})      b_t = cell'(x_t, b_{t+1})      y_t = [f_t; b_t],  (f_t + b_t) / 2  or  f_t b_t
//! y   = the same of f_T and b_1                                where only the last state of each direction is asked for
//! ```
//!
//! The way back begins with the last step, so that nothing is known before the sequence ends: a step keeps what it reads, and an answer runs the whole sequence, from
//! this layer up to the pooling. An answer therefore takes as long as all steps of a layer in one direction twice, and can be asked for at any time: it is that of the sequence so
//! far, or of its last steps where it is longer than the longest sequence that the image allows.
//!
//! State: steps so far (32 bits; less a multiple of the longest sequence), the state of each direction, y, then a row for each step of the longest sequence: what the layer has
//! read, the newest in the place of the oldest; and as many rows of b where each step has a y.

use serde::{Deserialize, Serialize};

use super::gru::{self, Gru};
use super::lstm::{self, Lstm};
use super::rnn::{self, Rnn};
use super::{Arithmetic, Layer, Place};
use crate::error::{Error, problem};
use crate::features::{Feature, GRU, INT4, LSTM, RNN};
use crate::image::reader::Fields;
use crate::image::section::{Cursor, SectionShape};
use crate::image::start::Start;
use crate::kernels::Backend;
use crate::memory::Memory;
use crate::numbers::{FloatNumbers, Numbers, Precision, Values};

/// The longest sequence that an image can allow.
pub const MAX_LONGEST: u16 = 8192;

/// What both directions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Cell {
    /// LSTM layers.
    Lstm,
    /// GRU layers.
    Gru {
        /// The reset gate multiplies the recurrent kernel's product, and not h before it.
        reset_after: bool,
    },
    /// Simple recurrent layers.
    Rnn {
        /// The rectifier in place of the hyperbolic tangent.
        relu: bool,
    },
}

/// How the values of both directions become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Merge {
    /// Those from the first step on, then those on the way back.
    Concat,
    /// `(f + b) / 2`.
    Mean,
    /// `f b`.
    Product,
}

/// Cells, merge and weights in one byte, so that the shape of any layer has eight: bits 0 to 2 the cell, 3 and 4 the merge, 5 a y at each step, 6 four bits a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Form(u8);

impl Form {
    /// The form of these.
    pub const fn of(cell: Cell, merge: Merge, each_step: bool, int4: bool) -> Self {
        let cell = match cell {
            Cell::Lstm => 0,
            Cell::Gru { reset_after: true } => 1,
            Cell::Gru { reset_after: false } => 2,
            Cell::Rnn { relu: false } => 3,
            Cell::Rnn { relu: true } => 4,
        };
        let merge = match merge {
            Merge::Concat => 0,
            Merge::Mean => 1,
            Merge::Product => 2,
        };
        Form(cell | merge << 3 | (each_step as u8) << 5 | (int4 as u8) << 6)
    }

    /// What both directions are.
    pub const fn cell(self) -> Cell {
        match self.0 & 7 {
            0 => Cell::Lstm,
            1 => Cell::Gru { reset_after: true },
            2 => Cell::Gru { reset_after: false },
            3 => Cell::Rnn { relu: false },
            _ => Cell::Rnn { relu: true },
        }
    }

    /// How they become one.
    pub const fn merge(self) -> Merge {
        match self.0 >> 3 & 3 {
            0 => Merge::Concat,
            1 => Merge::Mean,
            _ => Merge::Product,
        }
    }

    /// Each step has a y.
    pub const fn each_step(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Four bits a weight.
    pub const fn int4(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// True of a byte that [`Form::of`] gives.
    const fn is_known(self) -> bool {
        self.0 & 7 <= 4 && self.0 >> 3 & 3 <= 2 && self.0 & 0x80 == 0
    }
}

/// Shape of a bidirectional layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Bidirectional {
    /// Features of its input.
    pub inputs: u16,
    /// Units of each direction.
    pub units: u16,
    /// Steps of the longest sequence that it reads: of a longer one the last steps.
    pub longest: u16,
    /// Integers: right shift of both directions, as that of their cell. 0 for floats.
    pub shift: u8,
    /// Cells, merge and weights.
    pub form: Form,
}

const _: () = assert!(size_of::<Bidirectional>() == 8);

impl Bidirectional {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let (inputs, units, longest) = (fields.u16(), fields.u16(), fields.u16());
        let (shift, form) = (fields.byte(), Form(fields.byte()));
        let form = if form.is_known() { form } else { fields.refuse(Form(0)) };
        Bidirectional { inputs, units, longest, shift, form }
    }

    pub(crate) const fn check(&self, precision: Precision) -> Result<(), &'static str> {
        if self.longest == 0 || self.longest > MAX_LONGEST {
            return Err(problem!("a bidirectional layer reads sequences of 1 to 8192 steps"));
        }
        if self.form.0 & 0x1F == Form::of(Cell::Rnn { relu: true }, Merge::Product, false, false).0 {
            return Err(problem!("a product of two directions needs values in [-1, 1], not those of a rectifier"));
        }
        super::check_cell(precision, (self.inputs, self.units), self.shift, self.form.int4())
    }

    /// The feature that this build lacks for its directions.
    pub(crate) const fn direction_missing(&self) -> Option<Feature> {
        match self.form.cell() {
            Cell::Lstm if !LSTM => Some(Feature::Lstm),
            Cell::Gru { .. } if !GRU => Some(Feature::Gru),
            Cell::Rnn { .. } if !RNN => Some(Feature::Rnn),
            _ if !INT4 && self.form.int4() => Some(Feature::Int4),
            _ => None,
        }
    }

    /// One of its directions.
    pub const fn direction(&self) -> Layer {
        let Bidirectional { inputs, units, shift, form, .. } = *self;
        let int4 = form.int4();
        match form.cell() {
            Cell::Lstm => Layer::Lstm(Lstm { inputs, units, shift, int4, projected: false }),
            Cell::Gru { reset_after } => Layer::Gru(Gru { inputs, units, shift, int4, reset_after }),
            Cell::Rnn { relu } => Layer::Rnn(Rnn { inputs, units, shift, int4, relu }),
        }
    }

    /// Features that it hands on.
    pub const fn outputs(&self) -> u16 {
        match self.form.merge() {
            Merge::Concat => self.units.saturating_mul(2),
            Merge::Mean | Merge::Product => self.units,
        }
    }

    pub(crate) const fn section(&self, precision: Precision, place: usize) -> Option<SectionShape> {
        const ONE: usize = Layer::SECTIONS_OF_A_CELL;
        let shape = match self.direction() {
            Layer::Lstm(layer) => layer.section(precision, place % ONE),
            Layer::Gru(layer) => layer.section(precision, place % ONE),
            Layer::Rnn(layer) => layer.section(precision, place % ONE),
            _ => None,
        };
        match shape {
            Some(shape) if place >= ONE => Some(SectionShape { role: shape.role.backward(), ..shape }),
            shape => shape,
        }
    }

    /// Bytes of a direction's own state.
    const fn direction_bytes(&self, precision: Precision) -> usize {
        match self.direction() {
            Layer::Lstm(layer) => {
                let (cells, hidden) = layer.state(precision);
                cells + hidden
            }
            Layer::Gru(layer) => layer.state(precision),
            Layer::Rnn(layer) => layer.state(precision),
            _ => 0,
        }
    }

    /// Bytes of the state in front of y, and all of them.
    pub(crate) const fn state(&self, precision: Precision) -> (usize, usize) {
        let before = size_of::<u32>() + 2 * self.direction_bytes(precision);
        let y = precision.values_bytes(self.outputs() as usize);
        let back = if self.form.each_step() { precision.values_bytes(self.units as usize) } else { 0 };
        let row = precision.values_bytes(self.inputs as usize) + back;
        (before, before + y + self.longest as usize * row)
    }

    /// Bytes of scratch of a step of one direction.
    pub(crate) const fn scratch(&self, precision: Precision) -> usize {
        match self.direction() {
            Layer::Lstm(layer) => layer.scratch(precision),
            Layer::Gru(layer) => layer.scratch(precision),
            Layer::Rnn(layer) => layer.scratch(precision),
            _ => 0,
        }
    }
}

/// A direction of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction<'a, N: Numbers> {
    Lstm(lstm::Opened<'a, N>),
    Gru(gru::Opened<'a, N>),
    Rnn(rnn::Opened<'a, N>),
}

impl<'a, N: Arithmetic> Direction<'a, N> {
    fn open(shape: &Layer, cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        match shape {
            Layer::Lstm(layer) if LSTM => lstm::Opened::open(layer, cursor).map(Direction::Lstm),
            Layer::Gru(layer) if GRU => gru::Opened::open(layer, cursor).map(Direction::Gru),
            Layer::Rnn(layer) if RNN => rnn::Opened::open(layer, cursor).map(Direction::Rnn),
            _ => Err(Error::Sections),
        }
    }

    fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error> {
        match self {
            Direction::Lstm(opened) if LSTM => opened.check(limit, layer),
            Direction::Gru(opened) if GRU => opened.check(limit, layer),
            Direction::Rnn(opened) if RNN => opened.check(limit, layer),
            _ => Ok(limit),
        }
    }

    /// One step. Gives h without its padding.
    #[inline(never)]
    fn step<'s, B: Backend>(&self, backend: B, x: &[N::Value], place: &mut Place<'s, '_>) -> &'s [N::Value] {
        let x = Values::Hidden(x);
        match self {
            Direction::Lstm(layer) if LSTM => layer.step(backend, x, place),
            Direction::Gru(layer) if GRU => layer.step(backend, x, place),
            Direction::Rnn(layer) if RNN => layer.step(backend, x, place),
            _ => &[],
        }
    }
}

/// A bidirectional layer of an opened model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a, N: Numbers> {
    forward: Direction<'a, N>,
    backward: Direction<'a, N>,
    shape: Bidirectional,
}

/// The parts of a layer's state.
struct Parts<'s, N: Numbers> {
    /// Steps so far.
    count: &'s mut u32,
    /// The state of each direction.
    forward: Memory<'s>,
    backward: Memory<'s>,
    y: &'s mut [N::Value],
    /// What it has read, a row for each step.
    read: Rows<'s, N>,
    /// What the way back has come to at each step; nothing where only its end is asked for.
    back: Rows<'s, N>,
}

/// A row of values for each step.
struct Rows<'s, N: Numbers> {
    values: &'s mut [N::Value],
    width: usize,
}

impl<'s, N: Numbers> Rows<'s, N> {
    /// Cuts off so many rows of so many values, each of whole words.
    fn take(memory: &mut Memory<'s>, longest: usize, width: usize) -> Self {
        let values = memory.take(longest * N::PRECISION.values_bytes(width) / N::PRECISION.value_bytes());
        Rows { values, width }
    }

    fn at(&mut self, step: usize) -> &mut [N::Value] {
        let row = N::PRECISION.values_bytes(self.width) / N::PRECISION.value_bytes();
        self.values.get_mut(step * row..).and_then(|rest| rest.get_mut(..self.width)).unwrap_or_default()
    }
}

impl<'a, N: Steps> Opened<'a, N> {
    /// Cuts the layer off the sections.
    ///
    /// # Errors
    /// Those of [`Cursor::next`].
    pub(crate) fn open(shape: &Bidirectional, cursor: &mut Cursor<'a>) -> Result<Self, Error>
    where
        N: Arithmetic,
    {
        let direction = shape.direction();
        Ok(Opened {
            forward: Direction::open(&direction, cursor)?,
            backward: Direction::open(&direction, cursor)?,
            shape: *shape,
        })
    }

    /// Checks every row's sum of both directions.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::TooLarge`].
    pub(crate) fn check(&self, limit: N::Limit, layer: u8) -> Result<N::Limit, Error>
    where
        N: Arithmetic,
    {
        self.forward.check(limit, layer)?;
        self.backward.check(limit, layer)
    }

    /// Bytes of its state.
    pub(crate) fn state_bytes(&self) -> usize {
        self.shape.state(N::PRECISION).1
    }

    /// Steps that it keeps.
    fn longest(&self) -> usize {
        usize::from(self.shape.longest)
    }

    /// The row of a step: those of twice the longest sequence have the same.
    fn row(&self, step: usize) -> usize {
        if step < self.longest() { step } else { step - self.longest() }
    }

    /// True when its state could be one of a stream.
    pub(crate) fn is_sound(&self, mut memory: Memory<'_>) -> bool {
        let [count] = memory.take::<u32>(1) else { return false };
        *count < 2 * u32::from(self.shape.longest)
    }

    /// The parts of its state, cut off the memory.
    fn parts<'s>(&self, memory: &mut Memory<'s>) -> Option<Parts<'s, N>> {
        let Bidirectional { inputs, units, form, .. } = self.shape;
        let bytes = self.shape.direction_bytes(N::PRECISION);
        let count = memory.take(1).first_mut()?;
        let (forward, rest) = core::mem::take(memory).split(bytes);
        let (backward, rest) = rest.split(bytes);
        *memory = rest;
        let y = memory.take(usize::from(self.shape.outputs()));
        let read = Rows::take(memory, self.longest(), usize::from(inputs));
        let back = Rows::take(memory, if form.each_step() { self.longest() } else { 0 }, usize::from(units));
        Some(Parts { count, forward, backward, y, read, back })
    }

    /// A step of the sequence, which is kept.
    #[inline(never)]
    pub(crate) fn keep<B: Backend>(&self, backend: B, x: Values<'_, N>, place: &mut Place<'_, '_>) {
        let Some(mut parts) = self.parts(&mut place.memory) else { return };
        let (count, longest) = (*parts.count, u32::from(self.shape.longest));
        // Below twice the longest sequence, so that it never ends and still says whether all rows are in use.
        *parts.count = if count < 2 * longest - 1 { count + 1 } else { longest };
        let row = parts.read.at(self.row(count as usize));
        match x {
            Values::Row(values) => N::widen(backend, values, row),
            Values::Hidden(values) => crate::kernels::copy(values, row),
            Values::Projected(_) => {}
        }
    }

    /// Runs the kept sequence in both directions, and calls `each` with the number of each y, from 0, and the y.
    pub(crate) fn run<B: Backend>(
        &self,
        backend: B,
        memory: &mut Memory<'_>,
        scratch: &mut Memory<'_>,
        mut each: impl FnMut(u32, &[N::Value], &mut Memory<'_>),
    ) where
        N: Arithmetic,
    {
        let Some(mut parts) = self.parts(memory) else { return };
        let steps = (*parts.count as usize).min(self.longest());
        let first = *parts.count as usize - steps;
        let each_step = self.shape.form.each_step();
        let start = Start::NONE;
        parts.forward.all::<u32>().fill(0);
        parts.backward.all::<u32>().fill(0);
        let mut last: &[N::Value] = &[];
        let mut rest = parts.backward;
        for step in (0..steps).rev() {
            let (memory, scratch) = (rest.rest(), scratch.rest());
            let mut place = Place { memory, scratch, steps: (steps - 1 - step) as u32, start };
            let h = self.backward.step(backend, parts.read.at(self.row(first + step)), &mut place);
            if each_step {
                crate::kernels::copy(h, parts.back.at(step));
            }
        }
        if !each_step {
            last = self.hidden(rest);
        }
        for step in 0..steps {
            let (memory, scratch_of_step) = (parts.forward.rest(), scratch.rest());
            let mut place = Place { memory, scratch: scratch_of_step, steps: step as u32, start };
            let h = self.forward.step(backend, parts.read.at(self.row(first + step)), &mut place);
            if each_step {
                self.merge(h, parts.back.at(step), parts.y);
                each(step as u32, parts.y, scratch);
            } else if step + 1 == steps {
                self.merge(h, last, parts.y);
                each(0, parts.y, scratch);
            }
        }
    }

    /// The hidden state of a direction.
    fn hidden<'s>(&self, memory: Memory<'s>) -> &'s [N::Value] {
        let units = usize::from(self.shape.units);
        let lanes = N::PRECISION.lanes(units);
        let cells = self.shape.direction_bytes(N::PRECISION) - N::PRECISION.values_bytes(lanes);
        let h: &'s mut [N::Value] = memory.split(cells).1.take(lanes);
        h.get(..units).unwrap_or_default()
    }

    fn merge(&self, forward: &[N::Value], backward: &[N::Value], y: &mut [N::Value]) {
        match self.shape.form.merge() {
            Merge::Concat => {
                let (first, second) = y.split_at_mut_checked(forward.len()).unwrap_or_default();
                crate::kernels::copy(forward, first);
                crate::kernels::copy(backward, second);
            }
            Merge::Mean => y.iter_mut().zip(forward.iter().zip(backward)).for_each(|(y, (&f, &b))| *y = N::mean(f, b)),
            Merge::Product => {
                y.iter_mut().zip(forward.iter().zip(backward)).for_each(|(y, (&f, &b))| *y = N::times(f, b));
            }
        }
    }
}

/// What two directions become, by integers and by floats.
pub(crate) trait Steps: Numbers {
    /// Half the sum; integers round up.
    fn mean(forward: Self::Value, backward: Self::Value) -> Self::Value;

    /// The product; of integers rounded and saturated.
    fn times(forward: Self::Value, backward: Self::Value) -> Self::Value;
}

/// Weights are all that int8 and int16 differ in, and none of them is read here.
macro_rules! integer_steps {
    ($($weight:ty)*) => {$(
        impl Steps for $weight {
            fn mean(forward: i16, backward: i16) -> i16 {
                ((i32::from(forward) + i32::from(backward) + 1) >> 1) as i16
            }

            fn times(forward: i16, backward: i16) -> i16 {
                let product = (i32::from(forward) * i32::from(backward) + (1 << 14)) >> 15;
                product.min(i32::from(i16::MAX)) as i16
            }
        }
    )*};
}

integer_steps!(i8 i16);

impl<W: FloatNumbers> Steps for W {
    fn mean(forward: f32, backward: f32) -> f32 {
        0.5 * (forward + backward)
    }

    fn times(forward: f32, backward: f32) -> f32 {
        forward * backward
    }
}

/// The layer as it is written in a chain, without what the layer behind it says.
impl core::fmt::Display for Bidirectional {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (name, word) = match self.form.cell() {
            Cell::Lstm => ("bilstm", ""),
            Cell::Gru { reset_after: true } => ("bigru", ""),
            Cell::Gru { reset_after: false } => ("bigru", " reset_before"),
            Cell::Rnn { relu: false } => ("birnn", ""),
            Cell::Rnn { relu: true } => ("birnn", " relu"),
        };
        let merge = match self.form.merge() {
            Merge::Concat => "",
            Merge::Mean => " mean",
            Merge::Product => " product",
        };
        write!(formatter, "{name} {}{word}{merge}", self.units)
    }
}
