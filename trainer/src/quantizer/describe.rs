//! The description of an image: the one place where a network's numbers become the engine's chain of layers.

use latch_engine::image::header::{AnswerKind, Description, Input, Layers};
use latch_engine::input::ngrams::Ngrams;
use latch_engine::input::text::Text;
use latch_engine::layers::dense::{Activation, Dense};
use latch_engine::layers::embedding::{Embedding, Tiers};
use latch_engine::layers::lstm::Lstm;
use latch_engine::layers::pooling::Pooling;
use latch_engine::layers::{Layer, MAX_LAYERS};

use crate::config::Storage;
use crate::error::{Fault, fault};

/// A network between its text and its answer.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The vocabulary's shape.
    pub text: Text,
    /// Ids and features of the embedding.
    pub embedding: (usize, usize),
    /// Other rows for rare ids.
    pub tiers: Option<Tiers>,
    /// Units and shift of each LSTM layer.
    pub layers: Vec<(usize, u8)>,
    /// What the last layer sees of the steps.
    pub pooling: Pooling,
    /// Number of outputs and the shift of the layer that gives them.
    pub answer: (usize, u8),
    /// N-grams beside the network.
    pub ngrams: Option<Ngrams>,
}

impl Chain {
    /// How an image describes it.
    ///
    /// # Errors
    /// A fault when an image cannot hold so many layers.
    pub fn describe(&self, storage: Storage) -> Result<Description, Fault> {
        let precision = storage.precision();
        let int4 = storage.nibbles();
        let (rows, width) = self.embedding;
        let mut layers = Layers::EMPTY;
        let mut inputs = width as u16;
        let mut fits = true;
        for &(units, shift) in &self.layers {
            let units = units as u16;
            fits &= layers.push(Layer::Lstm(Lstm { inputs, units, shift, int4: int4.gates, projected: false }));
            inputs = units;
        }
        fits &= layers.push(Layer::Pooling(self.pooling));
        let (outputs, shift) = self.answer;
        let dense = Dense { inputs, outputs: outputs as u16, shift, activation: Activation::Linear };
        fits &= layers.push(Layer::Dense(dense));
        if !fits {
            let problem = format!("an image stacks at most {MAX_LAYERS} layers, pooling and the last one among them");
            return Err(fault("--model layers", problem, "train with fewer layers"));
        }
        Ok(Description {
            precision,
            answer: AnswerKind::Classes,
            input: Input::Text(self.text),
            embedding: Embedding {
                rows: rows as u32,
                width: width as u16,
                int4: int4.embedding,
                // Floats have a whole row for every id.
                tiers: self.tiers.filter(|_| precision.is_integer()),
                projected: 0,
            },
            layers,
            ngrams: self.ngrams,
        })
    }

    /// The place of the layer that answers, by which its tensors are found.
    pub fn answer_place(layers: usize) -> u8 {
        layers as u8 + 1
    }
}
