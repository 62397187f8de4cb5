//! The layers of an opened model in one arithmetic, and what runs when.

use bytemuck::Zeroable;
use heapless::Vec;

use crate::error::Error;
use crate::features::{BIDIRECTIONAL, CONV1D, DENSE, LAYERNORM, POOLING, Part, SAMPLES, SKIP, WINDOWS};
use crate::image::header::Description;
use crate::image::section::Cursor;
use crate::image::start::Start;
use crate::input::samples::{self, Sample};
use crate::kernels::{Backend, MANY, Packed};
use crate::layers::{Arithmetic, OPENED_LAYERS, Opened, Place, Stream, dense, embedding};
use crate::logit::Logit;
use crate::memory::Memory;
use crate::numbers::Values;
use crate::state::{Layout, Parts};

/// An opened chain. The dense layer that answers stands by itself, since every chain has one.
#[derive(Clone, Debug)]
pub(crate) struct Chain<'a, N: Arithmetic> {
    pub(crate) embedding: embedding::Opened<'a, N>,
    samples: Part<samples::Opened<'a, N>, { SAMPLES as usize }>,
    /// All layers but the last.
    pub(crate) layers: Vec<Opened<'a, N>, OPENED_LAYERS>,
    answer: dense::Opened<'a, N>,
}

impl<'a, N: Arithmetic> Chain<'a, N> {
    /// A chain of nothing.
    #[inline(always)]
    pub(crate) fn nothing() -> Self {
        Chain {
            embedding: embedding::Opened::NOTHING,
            samples: Part::NONE,
            layers: Vec::new(),
            answer: dense::Opened::NOTHING,
        }
    }

    /// Values of a frame of samples; 0 of a chain that reads none.
    pub(crate) fn channels(&self) -> u16 {
        self.samples.get().map_or(0, |samples| samples.channels)
    }

    /// The count of a channel that stands for a value.
    pub(crate) fn count_of(&self, channel: u16, value: f32) -> i16 {
        self.samples.get().map_or(0, |samples| samples.count_of(channel, value))
    }

    /// Cuts all layers off the sections.
    ///
    /// # Errors
    /// None of an image that has been opened.
    pub(crate) fn fill(&mut self, description: &Description, cursor: &mut Cursor<'a>) -> Result<(), Error> {
        match description.samples() {
            Some(samples) if SAMPLES => self.samples.put(samples::Opened::open(samples, cursor)?),
            _ => {
                let shape = &description.embedding;
                self.embedding = embedding::Opened::open(shape, description.projected_sums(), cursor)?;
            }
        }
        let mut inputs = description.width();
        for layer in description.layers.iter() {
            let opened = Opened::open(layer, inputs, cursor)?;
            inputs = layer.outputs(inputs);
            if let Opened::Dense(dense) = opened {
                self.answer = dense;
            }
            let _ = self.layers.push(opened);
        }
        // The last one is the answer.
        self.layers.pop();
        Ok(())
    }

    /// One step: the embedding's row through all layers that run at every step. False for an id outside the embedding.
    #[inline(always)]
    pub(crate) fn step<B: Backend>(&self, backend: B, layout: &Layout, id: u32, parts: Parts<'_>) -> bool {
        let Parts { header, memory, scratch } = parts;
        let mut place = Place { memory, scratch, steps: header.steps, start: layout.start };
        let Some(x) = self.embedding.read(backend, id, &mut place) else { return false };
        self.run(backend, layout, x, &mut place);
        header.steps = header.steps.saturating_add(1);
        true
    }

    /// One step of a model that reads samples: a frame, whose samples are numbers, through the same layers.
    #[inline(always)]
    pub(crate) fn step_frame<B: Backend, S: Sample>(&self, backend: B, layout: &Layout, frame: &[S], parts: Parts<'_>) {
        let Parts { header, memory, scratch } = parts;
        let mut place = Place { memory, scratch, steps: header.steps, start: layout.start };
        let Some(samples) = self.samples.get() else { return };
        let x = samples.read(frame, (&mut place.memory, &mut place.scratch), header.steps);
        self.run(backend, layout, Values::Hidden(x), &mut place);
        header.steps = header.steps.saturating_add(1);
    }

    /// What a step reads, through all layers that run at every step.
    #[inline(always)]
    fn run<'x, 's: 'x, B: Backend>(
        &self,
        backend: B,
        layout: &Layout,
        mut x: Values<'x, N>,
        place: &mut Place<'s, '_>,
    ) {
        if POOLING && layout.kept > 0 {
            self.keep(backend, x, layout.width, place);
        }
        for layer in self.layers.iter().take(layout.steps) {
            let Some(read) = layer.step_or_wait(backend, x, place) else { return };
            x = Values::Hidden(read);
        }
    }

    /// The embedding's row, or the values of samples, into the state, where no layer remembers them.
    #[inline(never)]
    fn keep<B: Backend>(&self, backend: B, x: Values<'_, N>, width: usize, place: &mut Place<'_, '_>) {
        let kept: &mut [N::Value] = place.memory.take(width);
        match x {
            Values::Row(row) => N::widen(backend, row, kept),
            Values::Hidden(values) => kept.iter_mut().zip(values).for_each(|(kept, value)| *kept = *value),
            Values::Projected(_) => {}
        }
    }

    /// The sequence that each layer of two directions has kept, through it and all layers behind that run at every step, which begin anew.
    #[inline(never)]
    fn run_sequences<B: Backend>(
        &self,
        backend: B,
        layout: &Layout,
        memory: &mut Memory<'_>,
        scratch: &mut Memory<'_>,
    ) {
        let steps = self.layers.get(..layout.steps).unwrap_or_default();
        let mut begin = layout.history + layout.kept;
        for (number, layer) in steps.iter().enumerate() {
            let end = begin + layer.state_bytes();
            if let Some(layer) = layer.bidirectional() {
                let behind = steps.get(number + 1..).unwrap_or_default();
                let (own, rest) = memory.rest().split(end);
                let (mut own, bytes) = (own.split(begin).1, behind.iter().map(Opened::state_bytes).sum());
                let mut states = rest.split(bytes).0;
                states.all::<u32>().fill(0);
                layer.run(backend, &mut own, scratch, |steps, y, scratch| {
                    let (memory, scratch) = (states.rest(), scratch.rest());
                    let mut place = Place { memory, scratch, steps, start: Start::NONE };
                    let mut x = Values::Hidden(y);
                    for layer in behind {
                        let Some(read) = layer.step_or_wait(backend, x, &mut place) else { return };
                        x = Values::Hidden(read);
                    }
                });
            }
            begin = end;
        }
    }

    /// Where the state of a layer lies, when those of the layers that run at every step begin at `start`.
    pub(crate) fn layer_bytes(&self, layer: usize, start: usize, steps: usize) -> Option<core::ops::Range<usize>> {
        let mut end = start;
        for (place, opened) in self.layers.iter().take(steps).enumerate() {
            let begin = end;
            end += opened.state_bytes();
            if place == layer {
                return Some(begin..end);
            }
        }
        None
    }

    /// One of the outputs after the steps so far; before the first step, of the start state or of zeros. `answered` says that the scratch holds what the last dense layer reads.
    #[inline(never)]
    pub(crate) fn answer<B: Backend>(
        &self,
        backend: B,
        layout: &Layout,
        parts: Parts<'_>,
        answered: bool,
        output: usize,
    ) -> Logit {
        let Parts { header, mut memory, mut scratch } = parts;
        if BIDIRECTIONAL && !answered {
            self.run_sequences(backend, layout, &mut memory, &mut scratch);
        }
        let (first, mut source) = memory.split(layout.source);
        let pooled = layout.steps.checked_sub(1).and_then(|last| self.layers.get(last));
        let mut values: &mut [N::Value] = match pooled {
            Some(Opened::Pooling(pooling)) => {
                let out = scratch.take(layout.width);
                if !answered {
                    pooling.finish::<N>(source, out);
                }
                out
            }
            _ => source.take(layout.width),
        };
        if DENSE || LAYERNORM {
            for layer in self.layers.iter().skip(layout.steps) {
                match layer {
                    Opened::Dense(dense) => {
                        let out = scratch.take(usize::from(dense.outputs()));
                        if !answered {
                            dense.values(backend, values, out);
                        }
                        values = out;
                    }
                    Opened::LayerNorm(norm, _) => {
                        let out = scratch.take(usize::from(norm.width()));
                        if !answered {
                            norm.values(values, out);
                        }
                        values = out;
                    }
                    // The last of no steps is zero, whatever dense layers before make of zeros; that of a start state is its own.
                    _ if header.steps <= self.unanswered(layout) && layout.start.steps().is_none() => {
                        values.fill(N::Value::zeroed());
                    }
                    _ => {}
                }
            }
        }
        let network = self.answer.answer(backend, values, output);
        match self.samples.get() {
            Some(samples) if SKIP => samples.answer(first, header.steps, output, network),
            _ => network,
        }
    }

    /// Steps in front of the first that comes through all valid convolutions and largest values.
    #[inline(always)]
    pub(crate) fn unanswered(&self, layout: &Layout) -> u32 {
        if !WINDOWS {
            return 0;
        }
        let steps = self.layers.iter().take(layout.steps);
        let rhythm = |layer: &Opened<'_, N>| match layer {
            Opened::Conv1d(layer) => layer.rhythm(),
            Opened::MaxPool(layer, _) => layer.rhythm(),
            _ => (0, 1),
        };
        // Each layer reads the answers of the one before.
        let joined = |(unanswered, every): (u32, u32), (own, stride): (u32, u32)| {
            (unanswered.saturating_add(own.saturating_mul(every)), every.saturating_mul(stride))
        };
        steps.map(rhythm).fold((0, 1), joined).0
    }

    /// True where streams gain by [`Chain::step_many`]; where not, each steps by itself.
    pub(crate) fn gains_together<B: Backend>(&self, backend: B, layout: &Layout) -> bool {
        self.layers.iter().take(layout.steps).any(|layer| layer.gains_together(backend))
    }

    /// One step of several streams; as [`Chain::step`] for one after the other, but that recurrent layers step together. Returns how many ids were inside the
    /// embedding.
    #[inline(never)]
    pub(crate) fn step_many<'s, B: Backend>(
        &self,
        backend: B,
        layout: &Layout,
        streams: impl Iterator<Item = (Parts<'s>, u32)>,
    ) -> usize
    where
        'a: 's,
    {
        let mut together: Vec<Stream<'s, '_, N>, MANY> = Vec::new();
        for (Parts { header, memory, scratch }, id) in streams {
            let mut place = Place { memory, scratch, steps: header.steps, start: layout.start };
            let Some(x) = self.embedding.read(backend, id, &mut place) else { continue };
            if POOLING && layout.kept > 0 {
                self.keep(backend, x, layout.width, &mut place);
            }
            header.steps = header.steps.saturating_add(1);
            let _ = together.push(Stream::new(place, x));
        }
        let count = together.len();
        for layer in self.layers.iter().take(layout.steps) {
            if layer.step_many(backend, &mut together) {
                continue;
            }
            together.retain_mut(|stream| match layer.step_or_wait(backend, stream.x, &mut stream.place) {
                Some(read) => {
                    stream.x = Values::Hidden(read);
                    true
                }
                // Between two answers of a convolution.
                None => false,
            });
        }
        count
    }

    /// True when the states of all layers could have come from a stream of so many steps, the prefix of the start state before them.
    pub(crate) fn is_sound(&self, layout: &Layout, parts: Parts<'_>) -> bool {
        let Parts { header, mut memory, .. } = parts;
        let Some(steps) = header.steps.checked_sub(layout.start.begin()) else { return false };
        if !N::are_finite(memory.rest().split(layout.tokenizer - Layout::HEADER).0.all()) {
            return false;
        }
        if (CONV1D || WINDOWS || BIDIRECTIONAL) && !self.are_places_sound(&mut memory, layout) {
            return false;
        }
        // Cells and hidden states of integers may have any bits: the kernels are safe for all of them. Sums must be those of the steps.
        let (_, source) = memory.split(layout.source);
        match layout.steps.checked_sub(1).and_then(|last| self.layers.get(last)) {
            Some(Opened::Pooling(pooling)) => pooling.is_sound::<N>(source, steps),
            _ => true,
        }
    }
}

impl<N: Arithmetic> Chain<'_, N> {
    /// True when the states of all windows and bidirectional layers could be those of a stream.
    #[inline(never)]
    fn are_places_sound(&self, memory: &mut Memory<'_>, layout: &Layout) -> bool {
        let mut place = layout.history + layout.kept;
        self.layers.iter().take(layout.steps).all(|layer| {
            let begin = place;
            place += layer.state_bytes();
            let state = memory.rest().split(begin).1;
            match layer {
                Opened::Conv1d(layer) if CONV1D => layer.is_sound(state),
                Opened::MaxPool(layer, _) => layer.is_sound(state),
                layer => layer.bidirectional().is_none_or(|layer| layer.is_sound(state)),
            }
        })
    }
}

impl Chain<'_, i8> {
    /// Forgets weights in a backend's own order.
    pub(crate) fn forget_packed(&mut self) {
        for layer in &mut self.layers {
            if let Opened::Lstm(layer) = layer {
                layer.rows.packed = Packed::NONE;
            }
        }
    }
}
