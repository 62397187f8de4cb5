//! The description of an image: the one place where a network's numbers become the engine's chain of layers.

use latch_engine::image::header::{Answer, AnswerKind, Description, Input, Layers};
use latch_engine::image::start::Start;
use latch_engine::input::ngrams::Ngrams;
use latch_engine::input::samples::Samples;
use latch_engine::layers::bidirectional::{self, Bidirectional};
use latch_engine::layers::conv1d::{Conv1d, Form};
use latch_engine::layers::dense::{self, Dense};
use latch_engine::layers::embedding::{Embedding, Tiers};
use latch_engine::layers::gru::Gru;
use latch_engine::layers::layernorm::LayerNorm;
use latch_engine::layers::lstm::Lstm;
use latch_engine::layers::maxpool::MaxPool;
use latch_engine::layers::pooling::Pooling;
use latch_engine::layers::rnn::Rnn;
use latch_engine::layers::variant::{self, Variant};
use latch_engine::layers::{Layer, MAX_LAYERS};

use super::{Cell, CellWeights};
use crate::config::Storage;
use crate::config::chain::variant::{CellActivation, VariantConfig, VariantKind};
use crate::config::chain::{self as config, Activation, LayerConfig, Merge};
use crate::dataset::Task;
use crate::error::{Fault, fault};

impl From<Activation> for dense::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Linear => dense::Activation::Linear,
            Activation::Relu => dense::Activation::Relu,
            Activation::Tanh => dense::Activation::Tanh,
            Activation::Sigmoid => dense::Activation::Sigmoid,
        }
    }
}

/// What the outputs of an image mean, and when they are an answer.
pub fn answer_of(task: Task) -> Answer {
    let kind = if task.has_values() { AnswerKind::Values } else { AnswerKind::Classes };
    Answer { kind, each_step: task.each_step() }
}

/// The engine's activation of a cell.
fn activation_of(activation: CellActivation) -> variant::Activation {
    match activation {
        CellActivation::Plain(Activation::Linear) => variant::Activation::Linear,
        CellActivation::Plain(Activation::Relu) => variant::Activation::Relu,
        CellActivation::Plain(Activation::Tanh) => variant::Activation::Tanh,
        CellActivation::Plain(Activation::Sigmoid) => variant::Activation::Sigmoid,
        CellActivation::HardSigmoid { .. } => variant::Activation::HardSigmoid,
    }
}

/// What the record of a variant says of its cell.
fn form_of(form: &VariantConfig) -> variant::Form {
    variant::Form::of(variant::Parts {
        cell: match form.kind {
            VariantKind::Lstm => variant::Cell::Lstm,
            VariantKind::Gru(true) => variant::Cell::GruAfter,
            VariantKind::Gru(false) => variant::Cell::GruBefore,
            VariantKind::Rnn => variant::Cell::Rnn,
        },
        activation: activation_of(form.activation),
        gates: activation_of(form.gates),
        output: activation_of(form.output),
        peepholes: form.peepholes,
        coupled: form.coupled,
        clip: form.clip.is_some(),
    })
}

/// A chain of layers as it grows.
#[derive(Clone, Debug)]
pub struct Chain {
    int4: bool,
    inputs: u16,
    layers: Layers,
    fits: bool,
}

impl Chain {
    /// Behind an embedding of so many features.
    pub fn new(width: usize, storage: Storage) -> Self {
        Chain { int4: storage.nibbles().gates, inputs: width as u16, layers: Layers::EMPTY, fits: true }
    }

    /// The layers of a configured chain behind its embedding; the answer has so many `outputs`, and integer layers the `shift`.
    pub fn of(chain: &config::Chain, outputs: usize, shift: u8, storage: Storage) -> Self {
        let mut described = Self::new(chain.embedding, storage);
        for (number, layer) in chain.layers.iter().enumerate() {
            match *layer {
                LayerConfig::Lstm(cell) => described.one(Cell::Lstm, cell.units, shift),
                LayerConfig::Gru { cell, reset_after } => described.one(Cell::Gru { reset_after }, cell.units, shift),
                LayerConfig::Rnn { cell, activation } => described.one(Cell::Rnn { activation }, cell.units, shift),
                LayerConfig::Bidirectional(both) => {
                    let cell = match both.kind {
                        config::Direction::Lstm => Cell::Lstm,
                        config::Direction::Gru { reset_after } => Cell::Gru { reset_after },
                        config::Direction::Rnn { activation } => Cell::Rnn { activation },
                    };
                    described.two(cell, both.cell.units, shift, (both.merge, chain.ends(number), both.longest));
                }
                LayerConfig::Conv1d { units, frames, stride, valid, activation, .. } => {
                    let form = (activation == Activation::Relu, valid);
                    described.convolution(units, (frames, stride), form, shift);
                }
                LayerConfig::Dense { units, activation, .. } => {
                    described.dense(units.unwrap_or(outputs), activation, shift);
                }
                LayerConfig::Pooling(pooling) => described.pooling(pooling.into()),
                LayerConfig::Variant { cell, form } => described.variant(cell.units, &form),
                LayerConfig::LayerNorm { .. } => described.layer_norm(),
                LayerConfig::MaxPool { frames, stride } => described.max_pool(frames, stride),
            }
        }
        described
    }

    fn push(&mut self, layer: Layer) {
        self.fits &= self.layers.push(layer);
        self.inputs = layer.outputs(self.inputs);
    }

    /// Adds a recurrent layer, or the two directions of one.
    pub fn cell(&mut self, weights: &CellWeights, shift: u8) {
        match &weights.second {
            Some(second) => {
                self.two(weights.cell, weights.units, shift, (second.merge, second.ends, second.longest));
            }
            None => self.one(weights.cell, weights.units, shift),
        }
    }

    /// Adds two directions: how they become one, whether only their last states are asked for, and the steps of the longest sequence.
    fn two(&mut self, cell: Cell, units: usize, shift: u8, (merge, ends, longest): (Merge, bool, usize)) {
        let cell = match cell {
            Cell::Lstm => bidirectional::Cell::Lstm,
            Cell::Gru { reset_after } => bidirectional::Cell::Gru { reset_after },
            Cell::Rnn { activation } => bidirectional::Cell::Rnn { relu: activation == Activation::Relu },
        };
        let merge = match merge {
            Merge::Concat => bidirectional::Merge::Concat,
            Merge::Mean => bidirectional::Merge::Mean,
            Merge::Product => bidirectional::Merge::Product,
        };
        let form = bidirectional::Form::of(cell, merge, !ends, self.int4);
        let (inputs, units, longest) = (self.inputs, units as u16, longest as u16);
        self.push_some(Layer::bidirectional(Bidirectional { inputs, units, longest, shift, form }));
    }

    /// Adds a recurrent layer.
    fn one(&mut self, cell: Cell, units: usize, shift: u8) {
        let (inputs, units, int4) = (self.inputs, units as u16, self.int4);
        self.push(match cell {
            Cell::Lstm => Layer::Lstm(Lstm { inputs, units, shift, int4, projected: false }),
            Cell::Gru { reset_after } => Layer::Gru(Gru { inputs, units, shift, int4, reset_after }),
            Cell::Rnn { activation } => {
                Layer::Rnn(Rnn { inputs, units, shift, int4, relu: activation == Activation::Relu })
            }
        });
    }

    /// Adds a convolution with so many units, frames of a window and steps of stride, with relu or without, and valid or causal.
    pub fn convolution(
        &mut self,
        units: usize,
        (frames, stride): (usize, usize),
        (relu, valid): (bool, bool),
        shift: u8,
    ) {
        let (inputs, int4) = (self.inputs, self.int4);
        let (frames, stride) = (frames as u8, stride as u8);
        self.push(Layer::Conv1d(Conv1d {
            inputs,
            units: units as u16,
            frames,
            stride,
            shift,
            form: Form::of(relu, valid, int4),
        }));
    }

    /// Adds a largest value over so many frames, with so many steps of stride.
    pub fn max_pool(&mut self, frames: usize, stride: usize) {
        let (width, frames, stride) = (self.inputs, frames as u8, stride as u8);
        self.push_some(Layer::max_pool(MaxPool { width, frames, stride }));
    }

    /// Adds a dense layer.
    pub fn dense(&mut self, outputs: usize, activation: Activation, shift: u8) {
        let inputs = self.inputs;
        self.push(Layer::Dense(Dense { inputs, outputs: outputs as u16, shift, activation: activation.into() }));
    }

    /// Adds a variant of a recurrent cell.
    pub fn variant(&mut self, units: usize, form: &VariantConfig) {
        let projected = form.projected.unwrap_or_default() as u16;
        let shape = Variant { inputs: self.inputs, units: units as u16, projected, form: form_of(form) };
        self.push_some(Layer::variant(shape));
    }

    /// Adds a layer normalization.
    pub fn layer_norm(&mut self) {
        self.push_some(Layer::layer_norm(LayerNorm { width: self.inputs }));
    }

    /// Adds a layer that only some builds of the engine have, this one among them.
    fn push_some(&mut self, layer: Option<Layer>) {
        match layer {
            Some(layer) => self.push(layer),
            None => self.fits = false,
        }
    }

    /// Adds a pooling.
    pub fn pooling(&mut self, pooling: Pooling) {
        self.push(Layer::Pooling(pooling));
    }

    /// How an image describes the chain over an embedding of `rows` ids by `width` features.
    ///
    /// # Errors
    /// A fault when an image cannot hold so many layers.
    pub fn describe(
        &self,
        input: Input,
        (rows, width): (usize, usize),
        tiers: Option<Tiers>,
        ngrams: Option<Ngrams>,
        storage: Storage,
    ) -> Result<Description, Fault> {
        if !self.fits {
            let problem = format!("an image stacks at most {MAX_LAYERS} layers, pooling and the last one among them");
            return Err(fault("--model", problem, "train with fewer layers"));
        }
        let precision = storage.precision();
        Ok(Description {
            precision,
            // Samples go around the network to values alone; whoever packs the image says what else the answer is.
            answer: match input {
                Input::Samples(Samples { skip: Some(_), .. }) => AnswerKind::Values,
                _ => AnswerKind::Classes,
            },
            input,
            embedding: if matches!(input, Input::Samples(_)) {
                Embedding::NOTHING
            } else {
                Embedding {
                    rows: rows as u32,
                    width: width as u16,
                    int4: storage.nibbles().embedding,
                    // Floats have a whole row for every id.
                    tiers: tiers
                        .filter(|_| precision.is_integer())
                        .map(|tiers| Tiers { int4: tiers.int4 && storage != Storage::Int16, ..tiers }),
                    projected: 0,
                }
            },
            layers: self.layers,
            ngrams,
            start: Start::NONE,
        })
    }
}
