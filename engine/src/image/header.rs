//! What the header of an image says: the records that describe the model, and those that people read.
//!
//! ```text
//! LTCH ++ version u16 ++ 0 u16 ++ image bytes u32 ++ header bytes u32 ++ records          (the four numbers little-endian)
//! record = tag u8 ++ length (varint) ++ content (postcard)
//! ```
//!
//! A record whose tag has bit 7 set is critical: it must be understood; any other may be skipped.

use serde::{Deserialize, Serialize};

use super::reader::{Fields, Reader, Record, record};
use super::section::{Section, SectionShape};
use super::start::{Start, are_moderate};
use crate::error::{Error, problem};
use crate::features::{DEEP, DENSE, FLOAT, Feature, INT16, NGRAMS, PROJECTION, SAMPLES, SKIP, START, TEXT};
use crate::input::ngrams::Ngrams;
use crate::input::samples::Samples;
use crate::input::text::{Text, Tokens, Unknown};
use crate::layers::bidirectional::Bidirectional;
use crate::layers::dense::{Activation, Dense, MAX_OUTPUTS};
use crate::layers::embedding::Embedding;
use crate::layers::pooling::Pooling;
use crate::layers::{Layer, OPENED_LAYERS, Read};
use crate::numbers::Precision;

/// The first bytes of every image.
pub const MAGIC: [u8; 4] = *b"LTCH";

/// The version of the format.
pub const VERSION: u16 = 8;

/// Bytes in front of the records.
pub const PREAMBLE_BYTES: usize = 16;

/// Tags of the records that are no layers, without the bit that says that they are critical.
pub mod tags {
    /// Precision and the kind of answer. Critical.
    pub const MODEL: u8 = 0x01;
    /// What the network reads. Critical.
    pub const INPUT: u8 = 0x02;
    /// What the network reads where that is samples: in place of the input and of the embedding. Critical.
    pub const SAMPLES: u8 = 0x04;
    /// The start state. Critical.
    pub const START: u8 = 0x05;
    /// The embedding. Critical.
    pub const EMBEDDING: u8 = 0x08;
    /// What the characters beyond ASCII are in a text. Critical.
    pub const CHARACTERS: u8 = 0x03;
    /// N-grams beside the network. Critical.
    pub const NGRAMS: u8 = 0x20;
    /// Thresholds of an early exit.
    pub const EARLY: u8 = 0x21;
    /// The digest of the self-test: 8 bytes, little-endian.
    pub const SELF_TEST: u8 = 0x40;
    /// Where the model comes from.
    pub const PROVENANCE: u8 = 0x41;
    /// Names of the classes, in the order of the outputs; two of a model with one output.
    pub const CLASS_NAMES: u8 = 0x42;
    /// Units of the values, in the order of the outputs.
    pub const UNITS: u8 = 0x43;
    /// A key and its value, free for everybody; may occur more than once.
    pub const METADATA: u8 = 0x44;
}

/// What the outputs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum AnswerKind {
    /// A logit: of the positive class where there is one output, else one a class.
    #[default]
    Classes,
    /// A value of a regression.
    Values,
}

impl AnswerKind {
    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            AnswerKind::Classes => "classes",
            AnswerKind::Values => "values",
        }
    }
}

/// What the outputs mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Logits of classes, or values.
    pub kind: AnswerKind,
    /// An answer belongs to every step, not only to the whole sequence: a chain without pooling.
    pub each_step: bool,
}

/// What the network reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Input {
    /// UTF-8 text through the tokenizer and a vocabulary.
    Text(Text),
    /// Ids that the caller makes; the image has no vocabulary.
    #[default]
    Ids,
    /// Frames of samples; the image has no embedding.
    Samples(Samples),
}

/// The layers behind the embedding, in order.
#[derive(Clone, Copy)]
pub struct Layers {
    layers: [Layer; OPENED_LAYERS],
    count: u8,
}

impl Layers {
    /// No layer.
    pub const EMPTY: Self = Layers { layers: [Layer::Pooling(Pooling::Last); OPENED_LAYERS], count: 0 };

    /// Adds a layer at the end; `false` where there is no room.
    pub const fn push(&mut self, layer: Layer) -> bool {
        let count = self.count as usize;
        if count < OPENED_LAYERS {
            self.layers[count] = layer;
            self.count += 1;
        }
        count < OPENED_LAYERS
    }

    /// The layer at a place.
    pub(crate) const fn at(&self, place: usize) -> Option<&Layer> {
        if place < self.count as usize && place < OPENED_LAYERS { Some(&self.layers[place]) } else { None }
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.count as usize
    }
}

impl core::ops::Deref for Layers {
    type Target = [Layer];

    fn deref(&self) -> &[Layer] {
        self.layers.get(..usize::from(self.count)).unwrap_or(&[])
    }
}

impl core::ops::DerefMut for Layers {
    fn deref_mut(&mut self) -> &mut [Layer] {
        self.layers.get_mut(..usize::from(self.count)).unwrap_or(&mut [])
    }
}

impl FromIterator<Layer> for Layers {
    /// As many of them as there is room for.
    fn from_iter<I: IntoIterator<Item = Layer>>(layers: I) -> Self {
        let mut all = Layers::EMPTY;
        for layer in layers {
            all.push(layer);
        }
        all
    }
}

impl PartialEq for Layers {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl core::fmt::Debug for Layers {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(formatter)
    }
}

/// The model that an image holds: a chain of layers between an input and an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Description {
    /// Type of the weights, and with it the arithmetic.
    pub precision: Precision,
    /// What the outputs are.
    pub answer: AnswerKind,
    /// What the network reads.
    pub input: Input,
    /// The table of rows by id; one of nothing where the input is samples.
    pub embedding: Embedding,
    /// The layers behind it.
    pub layers: Layers,
    /// The table of n-grams that adds to the logit.
    pub ngrams: Option<Ngrams>,
    /// The state in which a stream begins, where that is not nothing.
    pub start: Start,
}

impl Description {
    /// A description of nothing, which no image has.
    pub const NOTHING: Self = Description {
        precision: Precision::Int8,
        answer: AnswerKind::Classes,
        input: Input::Ids,
        embedding: Embedding::NOTHING,
        layers: Layers::EMPTY,
        ngrams: None,
        start: Start::NONE,
    };

    /// Reads the records into a description of nothing; those that people read are passed over.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::UnknownRecord`], [`Error::Shape`].
    pub(crate) const fn read(&mut self, records: &[u8]) -> Result<(), Error> {
        let mut header = Reader(records);
        let (mut models, mut inputs, mut embeddings, mut characters, mut starts) = (0, 0, 0, 0, 0);
        while !header.is_empty() {
            let Some(Record { tag, critical, content }) = record(&mut header) else {
                return Err(Error::Record { tag: 0 });
            };
            let mut fields = Fields::of(content);
            let mut has_room = true;
            match tag {
                tags::MODEL => {
                    models += 1;
                    self.read_model(&mut fields);
                }
                tags::INPUT => {
                    inputs += 1;
                    self.read_input(&mut fields);
                }
                tags::SAMPLES if SAMPLES => {
                    inputs += 1;
                    self.input = Input::Samples(Samples::read(&mut fields));
                }
                tags::EMBEDDING => {
                    embeddings += 1;
                    self.embedding = Embedding::read(&mut fields);
                }
                // The tokenizer reads it in place.
                tags::CHARACTERS => {
                    characters += 1;
                    continue;
                }
                tags::NGRAMS if NGRAMS => {
                    has_room = self.ngrams.is_none();
                    self.ngrams = Some(Ngrams::read(&mut fields));
                }
                tags::START if START => {
                    starts += 1;
                    self.start = Start::behind(fields.u32());
                }
                _ => match Layer::read(tag, &mut fields) {
                    Read::Layer(layer) => has_room = self.layers.push(layer),
                    Read::Missing(feature) => return Err(Error::Feature { feature }),
                    Read::NoLayer if critical => return Err(Error::UnknownRecord { tag }),
                    Read::NoLayer => continue,
                },
            }
            if !fields.are_read() || !has_room && (DEEP || tag == tags::NGRAMS) {
                return Err(Error::Record { tag });
            }
            if !has_room {
                return Err(Error::Feature { feature: Feature::Deep });
            }
        }
        let tables = if self.samples().is_some() { 0 } else { 1 };
        if models != 1 || inputs != 1 || embeddings != tables || characters > 1 || starts > 1 {
            return Err(Error::Shape { problem: problem!("a record is missing, or there twice") });
        }
        Ok(())
    }

    const fn read_model(&mut self, fields: &mut Fields<'_>) {
        self.precision = match fields.u32() {
            0 => Precision::F32,
            1 => Precision::F16,
            2 => Precision::Int8,
            3 => Precision::Int16,
            _ => fields.refuse(Precision::Int8),
        };
        self.answer = match fields.u32() {
            0 => AnswerKind::Classes,
            1 => AnswerKind::Values,
            _ => fields.refuse(AnswerKind::Classes),
        };
    }

    const fn read_input(&mut self, fields: &mut Fields<'_>) {
        self.input = match fields.u32() {
            // Without the feature it is refused later, and its content passed over.
            0 if !TEXT => {
                fields.pass_over();
                Input::Text(Text::NOTHING)
            }
            0 => Input::Text(Text::read(fields)),
            1 => Input::Ids,
            _ => fields.refuse(Input::Ids),
        };
    }

    /// The feature that this build lacks for the model.
    pub(crate) const fn missing(&self) -> Option<Feature> {
        match self.precision {
            Precision::Int16 if !INT16 => return Some(Feature::Int16),
            Precision::F32 | Precision::F16 if !FLOAT => return Some(Feature::Float),
            _ => {}
        }
        if let Input::Text(text) = &self.input {
            if !TEXT {
                return Some(Feature::Text);
            }
            if let Some(feature) = text.missing() {
                return Some(feature);
            }
        }
        if let Some(feature) = self.embedding.missing() {
            return Some(feature);
        }
        if !SKIP && matches!(self.samples(), Some(Samples { skip: Some(_), .. })) {
            return Some(Feature::Skip);
        }
        let mut dense = 0;
        let mut place = 0;
        while let Some(layer) = self.layers.at(place) {
            if let Some(feature) = layer.missing() {
                return Some(feature);
            }
            dense += matches!(layer, Layer::Dense(_)) as u32;
            place += 1;
        }
        if !DENSE && dense > 1 { Some(Feature::Dense) } else { None }
    }

    /// Checks that the numbers fit each other and the engine's limits, and that the layers stand in an order that makes sense.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Layer`] say what does not fit.
    pub const fn check(&self) -> Result<(), Error> {
        let precision = self.precision;
        let first = match self.samples() {
            Some(samples) => samples.check(),
            None => self.embedding.check(precision),
        };
        if let Err(problem) = first {
            return Err(Error::Shape { problem });
        }
        if TEXT
            && let Input::Text(text) = &self.input
            && let Err(problem) = text.check(self.embedding.rows)
        {
            return Err(Error::Shape { problem });
        }
        let mut features = self.width();
        let (mut place, mut is_bounded, mut is_pooled) = (0, false, false);
        while let Some(layer) = self.layers.at(place) {
            if let Err(problem) = self.check_layer(place, layer, features, is_bounded, is_pooled) {
                return Err(Error::Layer { layer: place as u8, problem });
            }
            is_bounded = layer.is_bounded();
            is_pooled |= matches!(layer, Layer::Pooling(_));
            features = layer.outputs(features);
            place += 1;
        }
        match self.layers.at(place.wrapping_sub(1)) {
            Some(Layer::Dense(dense)) if dense.outputs as usize > MAX_OUTPUTS => {
                return Err(Error::Shape { problem: problem!("it has more outputs than this engine reads") });
            }
            Some(Layer::Dense(dense))
                if matches!(self.answer, AnswerKind::Classes) && !matches!(dense.activation, Activation::Linear) =>
            {
                return Err(Error::Shape { problem: problem!("the layer that gives logits of classes is not linear") });
            }
            Some(Layer::Dense(_)) => {}
            _ => {
                return Err(Error::Shape {
                    problem: problem!("the last layer is not dense, so that it has no answer"),
                });
            }
        }
        if let Some(samples) = self.samples()
            && let Err(problem) = samples.check_skip(self.outputs(), matches!(self.answer, AnswerKind::Values))
        {
            return Err(Error::Shape { problem });
        }
        if NGRAMS && let Some(ngrams) = &self.ngrams {
            if !matches!(self.input, Input::Text(_)) {
                return Err(Error::Shape { problem: problem!("n-grams need text as the input") });
            }
            if let Err(problem) = ngrams.check() {
                return Err(Error::Shape { problem });
            }
        }
        if START && let Err(problem) = self.start.check() {
            return Err(Error::Shape { problem });
        }
        Ok(())
    }

    const fn check_layer(
        &self,
        place: usize,
        layer: &Layer,
        features: u16,
        is_bounded: bool,
        is_pooled: bool,
    ) -> Result<(), &'static str> {
        if let Err(problem) = layer.check(self.precision) {
            return Err(problem);
        }
        if let Some(inputs) = layer.inputs()
            && inputs != features
        {
            return Err(problem!("its inputs are not the outputs of the layer before it"));
        }
        if let Layer::Bidirectional(bidirectional, _) = layer
            && let Some(problem) = self.problem_behind(place, bidirectional)
        {
            return Err(problem);
        }
        if layer.remembers() && is_pooled {
            return Err(problem!(
                "a recurrent layer or a convolution cannot follow pooling, which leaves one vector and no steps"
            ));
        }
        if let Layer::Pooling(pooling) = layer {
            if is_pooled {
                return Err(problem!("there is nothing left to pool behind pooling"));
            }
            if matches!(pooling, Pooling::Attention) && !is_bounded {
                return Err(problem!(
                    "attention needs values in [-1, 1] before it, of a recurrent layer, tanh or sigmoid, not of a rectifier"
                ));
            }
        }
        let is_projected = PROJECTION && matches!(layer, Layer::Lstm(lstm) if lstm.projected);
        let wants_projection = PROJECTION && place == 0 && self.embedding.projected > 0;
        if wants_projection && !matches!(layer, Layer::Lstm(_)) {
            return Err(problem!("a projected embedding needs an LSTM layer behind it"));
        }
        if wants_projection && INT16 && matches!(self.precision, Precision::Int16) {
            return Err(problem!("the inputs of int16 layers cannot be projected"));
        }
        if is_projected != wants_projection {
            return Err(problem!("the embedding and the layer disagree about the projection of its inputs"));
        }
        Ok(())
    }

    /// Why a bidirectional layer cannot stand in front of what stands behind it.
    const fn problem_behind(&self, place: usize, layer: &Bidirectional) -> Option<&'static str> {
        if self.start.steps().is_some() {
            return Some(problem!("a bidirectional layer reads whole sequences, which have no start state"));
        }
        if self.answer().each_step {
            return Some(problem!(
                "a bidirectional layer needs pooling behind it: its steps have answers when the sequence has ended"
            ));
        }
        let behind = self.layers.at(place + 1);
        if !layer.form.each_step() && !matches!(behind, Some(Layer::Pooling(Pooling::Last))) {
            return Some(problem!("the last states of two directions are one vector: `last` stands behind them"));
        }
        None
    }

    /// What the network reads where that is samples.
    pub const fn samples(&self) -> Option<&Samples> {
        match &self.input {
            Input::Samples(samples) if SAMPLES => Some(samples),
            _ => None,
        }
    }

    /// Features that the first layer reads: channels of samples, else features of the embedding.
    pub const fn width(&self) -> u16 {
        match self.samples() {
            Some(samples) => samples.channels,
            None => self.embedding.width,
        }
    }

    /// True of a chain without a cell, a convolution and a pooling that remembers: the state keeps what its first layer reads.
    const fn keeps(&self) -> bool {
        let (mut place, mut keeps) = (0, true);
        while let Some(layer) = self.layers.at(place) {
            keeps &= !layer.remembers() && !matches!(layer, Layer::Pooling(pooling) if !pooling.is_last());
            place += 1;
        }
        keeps
    }

    /// What the outputs mean.
    pub const fn answer(&self) -> Answer {
        let (mut place, mut each_step) = (0, true);
        while let Some(layer) = self.layers.at(place) {
            each_step &= !matches!(layer, Layer::Pooling(_));
            place += 1;
        }
        Answer { kind: self.answer, each_step }
    }

    /// What of the steps the dense layers at the end see; last where a step's answer is its own.
    pub const fn pooling(&self) -> Pooling {
        let mut place = 0;
        while let Some(layer) = self.layers.at(place) {
            if let Layer::Pooling(pooling) = layer {
                return *pooling;
            }
            place += 1;
        }
        Pooling::Last
    }

    /// Number of outputs.
    pub const fn outputs(&self) -> u16 {
        match self.layers.at(self.layers.count().wrapping_sub(1)) {
            Some(Layer::Dense(Dense { outputs, .. })) => *outputs,
            _ => 0,
        }
    }

    /// The precision as it is written on a command line: that of [`Precision::name`], but `int4` where a layer's weights have four bits, and
    /// `mixed` where only the embedding has.
    pub fn precision_name(&self) -> &'static str {
        if self.layers.iter().any(Layer::is_int4) {
            "int4"
        } else if self.embedding.int4 {
            "mixed"
        } else {
            self.precision.name()
        }
    }

    /// The features of the engine that the model needs.
    pub fn features(&self) -> impl Iterator<Item = &'static str> + use<> {
        let has = |is: fn(&Layer) -> bool| self.layers.iter().any(is);
        let dense = self.layers.iter().filter(|layer| matches!(layer, Layer::Dense(_))).count();
        let active = |layer: &Layer| matches!(layer, Layer::Dense(dense) if dense.activation != Activation::Linear);
        let text = match self.input {
            Input::Text(text) => Some(text),
            Input::Ids | Input::Samples(_) => None,
        };
        let hashed = text.is_some_and(|text| matches!(text.unknown, Unknown::Hashed(_)));
        let tiers = self.embedding.tiers;
        [
            ("float", !self.precision.is_integer()),
            ("text", text.is_some()),
            ("samples", self.samples().is_some()),
            ("skip", matches!(self.samples(), Some(Samples { skip: Some(_), .. }))),
            ("start", self.start.steps().is_some()),
            ("lstm", has(|layer| matches!(cell(layer), Layer::Lstm(_)))),
            ("gru", has(|layer| matches!(cell(layer), Layer::Gru(_)))),
            ("rnn", has(|layer| matches!(cell(layer), Layer::Rnn(_)))),
            ("conv1d", has(|layer| matches!(layer, Layer::Conv1d(_)))),
            ("windows", has(Layer::answers_late)),
            ("bidirectional", has(|layer| matches!(layer, Layer::Bidirectional(..)))),
            ("variant", has(|layer| matches!(layer, Layer::Variant(..)))),
            ("layernorm", has(|layer| matches!(layer, Layer::LayerNorm(..)))),
            ("dense", dense > 1 || self.layers.iter().any(active)),
            ("pooling", self.keeps() || has(|layer| matches!(layer, Layer::Pooling(Pooling::Mean | Pooling::Max)))),
            ("attention", has(|layer| matches!(layer, Layer::Pooling(Pooling::Attention)))),
            ("int4", self.embedding.int4 || tiers.is_some_and(|tiers| tiers.int4) || has(Layer::is_int4)),
            ("int16", self.precision == Precision::Int16),
            ("tiers", tiers.is_some() || hashed),
            ("projection", self.embedding.projected > 0),
            ("chars", text.is_some_and(|text| text.tokens.are_characters())),
            ("ngrams", self.ngrams.is_some()),
            ("deep", self.layers.count() > 4),
        ]
        .into_iter()
        .filter_map(|(feature, needed)| needed.then_some(feature))
    }

    /// Lanes of a projected row of the embedding: the sums of the first layer.
    pub(crate) const fn projected_sums(&self) -> usize {
        match self.layers.at(0) {
            Some(Layer::Lstm(lstm)) => lstm.sums(self.precision),
            _ => 0,
        }
    }

    /// The section at a place of the order, and its layer; `None` for one that this model does not have.
    const fn section(&self, place: usize) -> Option<(u8, SectionShape)> {
        let shape = if place < Text::SECTIONS {
            match &self.input {
                Input::Text(text) => text.section(place),
                Input::Samples(samples) if SAMPLES => samples.section(self.precision, place),
                _ => None,
            }
        } else if place < FRONT && self.samples().is_none() {
            self.embedding.section(self.precision, self.projected_sums(), place - Text::SECTIONS)
        } else if place < FRONT {
            None
        } else {
            let (layer, place) = ((place - FRONT) / Layer::SECTIONS, (place - FRONT) % Layer::SECTIONS);
            match (self.layers.at(layer), &self.ngrams) {
                (Some(shape), _) => {
                    return match shape.section(self.precision, place) {
                        Some(shape) => Some((layer as u8, shape)),
                        None => None,
                    };
                }
                (None, Some(ngrams)) if NGRAMS && place == 0 => Some(ngrams.section()),
                (None, _) if START && place == 1 => self.start_section(),
                _ => None,
            }
        };
        match shape {
            Some(shape) => Some((0, shape)),
            None => None,
        }
    }

    /// Layers that run at every step: up to pooling over all steps, else up to the last layer that remembers something.
    #[inline(always)]
    pub(crate) const fn steps(&self, pools: bool) -> usize {
        let (mut place, mut steps) = (0, 0);
        while let Some(layer) = self.layers.at(place) {
            place += 1;
            if if pools { matches!(layer, Layer::Pooling(_)) } else { layer.remembers() } {
                steps = place;
            }
        }
        steps
    }

    /// Bytes of the state behind its header in which frames of samples are kept, and those in which a row is that no layer remembers, where so many layers run at every step.
    #[inline(always)]
    pub(crate) const fn front(&self, steps: usize) -> (usize, usize) {
        let history = match self.samples() {
            Some(samples) if SAMPLES => samples.history(self.precision),
            _ => 0,
        };
        let kept = if steps == 0 { self.precision.values_bytes(self.width() as usize) } else { 0 };
        (history, kept)
    }

    /// The section of the start state, where there is one.
    pub(crate) const fn start_section(&self) -> Option<SectionShape> {
        if !START || self.start.steps().is_none() {
            return None;
        }
        let steps = self.steps(!self.pooling().is_last());
        let (history, kept) = self.front(steps);
        let (mut bytes, mut features, mut place) = (history + kept, self.width(), 0);
        while place < steps
            && let Some(layer) = self.layers.at(place)
        {
            if !matches!(layer, Layer::Pooling(_)) {
                bytes += layer.state_bytes(self.precision, features);
            }
            features = layer.outputs(features);
            place += 1;
        }
        Some(Start::section(self.precision, bytes))
    }

    /// Checks the words of the start state, whose floats are finite: nothing on the path of a step can fail from them on.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Layer`].
    #[inline(never)]
    pub(crate) fn check_start(&self, words: &[u32]) -> Result<(), Error> {
        let problem = problem!("its start state is out of range");
        let steps = self.steps(!self.pooling().is_last());
        let (history, kept) = self.front(steps);
        let words = words.get(history / size_of::<u32>()..).ok_or(Error::Sections)?;
        let (kept, mut rest) = words.split_at_checked(kept / size_of::<u32>()).ok_or(Error::Sections)?;
        if !are_moderate(self.precision, kept) {
            return Err(Error::Shape { problem });
        }
        let mut features = self.width();
        for (place, layer) in self.layers.iter().take(steps).enumerate() {
            if matches!(layer, Layer::Pooling(_)) {
                break;
            }
            let bytes = layer.state_bytes(self.precision, features);
            let (state, behind) = rest.split_at_checked(bytes / size_of::<u32>()).ok_or(Error::Sections)?;
            if layer.waits(state) {
                let problem = problem!(
                    "its start state does not answer at the next step: the prefix must be a multiple of its stride"
                );
                return Err(Error::Layer { layer: place as u8, problem });
            }
            if !are_moderate(self.precision, state) {
                return Err(Error::Layer { layer: place as u8, problem });
            }
            rest = behind;
            features = layer.outputs(features);
        }
        Ok(())
    }

    /// One more than the last place of [`Description::section`].
    const fn section_places(&self) -> usize {
        FRONT + Layer::SECTIONS * self.layers.count() + 2
    }

    /// Where the last section ends when the header ends at `end`.
    pub(crate) const fn sections_end(&self, mut end: usize) -> usize {
        let mut place = 0;
        while place < self.section_places() {
            if let Some((_, shape)) = self.section(place) {
                end = shape.place(end).1;
            }
            place += 1;
        }
        end
    }

    /// All sections in the order in which they lie, when the header ends at `end`: text or samples, embedding, the layers one after the other, n-grams, the start state.
    pub fn sections(self, mut end: usize) -> impl Iterator<Item = Section> {
        (0..self.section_places()).filter_map(move |place| {
            let (layer, SectionShape { role, element, rows, columns }) = self.section(place)?;
            let (offset, behind) = SectionShape { role, element, rows, columns }.place(end);
            end = behind;
            Some(Section { role, layer, element, rows, columns, offset })
        })
    }
}

/// A direction of a layer that has two; else the layer itself.
fn cell(layer: &Layer) -> Layer {
    match layer {
        Layer::Bidirectional(layer, _) => layer.direction(),
        layer => *layer,
    }
}

/// Places of sections in front of the layers'.
const FRONT: usize = Text::SECTIONS + Embedding::SECTIONS;
const _: () = assert!(Samples::SECTIONS <= Text::SECTIONS);

/// One step of the thresholds for an early exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// From so many tokens on
    pub tokens: u32,
    /// a logit of at least this magnitude, Q15.16, is certain.
    pub logit: u32,
}

/// Most steps of the thresholds for an early exit.
pub const MAX_EARLY: usize = 8;

/// The thresholds of an early exit, by rising tokens and falling logits, as they lie in the image.
#[derive(Clone, Copy, Debug)]
pub struct Earlies<'a>(Reader<'a>);

impl<'a> Earlies<'a> {
    /// No threshold.
    pub(crate) const NONE: Self = Earlies(Reader(&[]));

    pub(crate) fn of(records: &'a [u8]) -> Self {
        let mut content = find(records, tags::EARLY).unwrap_or(Reader(&[]));
        // How many there are, which the record's end says as well.
        content.u32();
        Earlies(content)
    }

    /// Checks that thresholds can be read, and fall as tokens rise.
    pub(crate) fn check(self) -> Result<(), Error> {
        let mut rest = self;
        let mut before: Option<Early> = None;
        for count in 0.. {
            if rest.0.is_empty() {
                break;
            }
            let early = rest.next().filter(|_| count < MAX_EARLY).ok_or(Error::Record { tag: tags::EARLY })?;
            if before.is_some_and(|before| before.tokens >= early.tokens || before.logit < early.logit) {
                let problem = problem!("the thresholds of an early exit do not fall as the tokens rise");
                return Err(Error::Shape { problem });
            }
            before = Some(early);
        }
        Ok(())
    }
}

impl Iterator for Earlies<'_> {
    type Item = Early;

    fn next(&mut self) -> Option<Early> {
        Some(Early { tokens: self.0.u32()?, logit: self.0.u32()? })
    }
}

/// Where the model comes from, for people and for reproducing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance<'a> {
    /// Program and version that wrote the image, as UTF-8; bytes, because a chip has no use for them as text.
    pub producer: &'a [u8],
    /// The training run's seed.
    pub seed: u64,
    /// SHA-256 of the training examples.
    pub data_sha256: [u8; 32],
    /// Number of training examples.
    pub examples: u32,
    /// Epochs behind the weights.
    pub epochs: u32,
    /// Score on the validation part: accuracy of classes, 0 to 1; R² of values.
    pub valid_accuracy: f32,
}

impl<'a> Provenance<'a> {
    pub(crate) fn of(records: &'a [u8]) -> Option<Self> {
        let mut content = find(records, tags::PROVENANCE)?;
        let provenance = Provenance {
            producer: content.sequence()?,
            seed: content.u64()?,
            data_sha256: content.array()?,
            examples: content.u32()?,
            epochs: content.u32()?,
            valid_accuracy: f32::from_bits(u32::from_le_bytes(content.array()?)),
        };
        // A score is a number.
        let is_number = provenance.valid_accuracy.to_bits() << 1 < 0xFF00_0000;
        (content.is_empty() && is_number).then_some(provenance)
    }
}

/// Strings of a record: names of classes, or units of values. What is no UTF-8 reads as an empty string.
#[derive(Clone, Debug)]
pub struct Names<'a>(Reader<'a>);

impl<'a> Names<'a> {
    pub(crate) fn of(records: &'a [u8], tag: u8) -> Self {
        let mut content = find(records, tag).unwrap_or(Reader(&[]));
        content.u32();
        Names(content)
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0.sequence().map(|name| core::str::from_utf8(name).unwrap_or_default())
    }
}

/// Keys and values that the writer left, in order.
#[derive(Clone, Debug)]
pub struct Metadata<'a>(Reader<'a>);

impl<'a> Metadata<'a> {
    pub(crate) fn of(records: &'a [u8]) -> Self {
        Metadata(Reader(records))
    }
}

impl<'a> Iterator for Metadata<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        loop {
            let Record { tag, mut content, .. } = record(&mut self.0)?;
            if tag == tags::METADATA {
                let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
                return Some((text(content.sequence()?), text(content.sequence()?)));
            }
        }
    }
}

/// The content of the first record with a tag.
pub(crate) fn find(records: &[u8], tag: u8) -> Option<Reader<'_>> {
    let mut header = Reader(records);
    loop {
        let record = record(&mut header)?;
        if record.tag == tag {
            return Some(record.content);
        }
    }
}

/// The chain as it is written on a command line.
impl core::fmt::Display for Description {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.input {
            Input::Text(text) => match text.tokens {
                Tokens::Words | Tokens::Syllables => write!(formatter, "text {}", text.words)?,
                Tokens::Characters => write!(formatter, "chars {}", text.words)?,
                Tokens::CasedCharacters => write!(formatter, "chars {} cased", text.words)?,
            },
            Input::Ids => write!(formatter, "ids {}", self.embedding.rows)?,
            Input::Samples(Samples { channels, lag: 0, .. }) => write!(formatter, "samples {channels}")?,
            Input::Samples(Samples { channels, lag, .. }) => write!(formatter, "samples {channels} difference={lag}")?,
        }
        if self.samples().is_none() {
            write!(formatter, " > embedding {}", self.embedding.width)?;
        }
        let last = self.layers.count().wrapping_sub(1);
        self.layers.iter().enumerate().try_for_each(|(place, layer)| match layer {
            // The task gives the answer its outputs, so that a chain does not say them.
            Layer::Dense(Dense { activation: Activation::Linear, .. }) if place == last => {
                formatter.write_str(" > dense")
            }
            layer => write!(formatter, " > {layer}"),
        })?;
        match self.samples() {
            Some(Samples { skip: Some(skip), .. }) => write!(formatter, " > {skip}"),
            _ => Ok(()),
        }
    }
}
