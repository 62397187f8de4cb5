//! The integers of a network's image, as data beside the network: what the forward pass of quantization-aware training computes with.
//!
//! Who makes them, and renews them after each step, is [`crate::quantizer::aware`].

mod bidirectional;

pub(crate) use self::bidirectional::IntegerDirections;
use nalgebra::DMatrix;

use super::conv1d::Between;
use super::conv1d::integers::IntegerConv1d;
use super::dense::integers::IntegerDense;
use super::embedding::{Embedding, SparseColumns};
use super::gru::integers::IntegerGru;
use super::layer::{Layer, Tape};
use super::lstm::integers::IntegerGates;
use super::recurrent::HIDDEN_SCALE;
use super::rnn::integers::IntegerRnn;
use super::{Network, NetworkError};
use crate::real::Real;

/// A network's integers, and the real values that they stand for.
#[derive(Debug, Clone)]
pub struct Integers<T: Real> {
    /// What the embedding's columns are worth; of samples, 2^-7 of each channel's range.
    pub(crate) scales: Vec<f32>,
    /// The lowest and the highest integer of a weight of the embedding, in a whole row and in one that is not.
    pub(crate) ranges: [[f32; 2]; 2],
    /// True of the ids without a whole row; empty where all have one.
    pub(crate) is_rare: Vec<bool>,
    /// The network that the integers stand for.
    pub(crate) real: Network<T>,
    /// Integers of the embedding, features × vocabulary.
    pub(crate) embedding: Vec<T>,
    /// Those of the layers, in their order.
    pub(crate) layers: Vec<IntegerLayer<T>>,
}

/// The integers of one layer.
#[derive(Debug, Clone)]
pub(crate) enum IntegerLayer<T> {
    /// Of an LSTM layer.
    Lstm(IntegerGates<T>),
    /// Of a GRU layer.
    Gru(IntegerGru<T>),
    /// Of a simple recurrent layer.
    Rnn(IntegerRnn<T>),
    /// Of a convolution.
    Conv1d(IntegerConv1d<T>),
    /// Of two directions.
    Bidirectional(Box<IntegerDirections<T>>),
    /// Of a dense layer.
    Dense(IntegerDense<T>),
    /// A pooling has none.
    Pooling,
    /// Nor have largest values over steps.
    MaxPool,
}

impl<T: Real> IntegerLayer<T> {
    /// Runs the layer over `input` (inputs × columns: integers for a recurrent layer or a convolution, Q0.15 as numbers for any other) and leaves what [`Layer::forward`]
    /// leaves, values in Q0.15 as numbers.
    pub(crate) fn forward(
        &self,
        layer: &Layer<T>,
        between: Between<'_>,
        features: usize,
        input: &[T],
        tape: &mut Tape<T>,
    ) {
        let steps = between.below;
        match self {
            Self::Lstm(gates) => gates.forward(steps, input, &mut tape.lstm),
            Self::Gru(gates) => gates.forward(steps, input, &mut tape.gru),
            Self::Rnn(rows) => rows.forward(steps, input, &mut tape.rnn),
            Self::Conv1d(rows) => {
                if let Layer::Conv1d(layer) = layer {
                    let Tape { conv1d, output, slopes, .. } = tape;
                    rows.forward(layer, between, input, conv1d, (output, slopes));
                }
            }
            Self::Bidirectional(directions) => {
                if let Layer::Bidirectional(layer) = layer {
                    directions.forward(layer, between, features, input, tape);
                }
            }
            Self::Dense(dense) => dense.forward(input, &mut tape.output, &mut tape.slopes),
            Self::MaxPool => {
                if let Layer::MaxPool(layer) = layer {
                    layer.forward(features, between, input, (&mut tape.output, &mut tape.winners));
                }
            }
            Self::Pooling => {
                if let Layer::Pooling(pooling) = layer {
                    let Tape { pooling: memory, output, .. } = tape;
                    pooling.forward_integers(features, steps, input, output, memory);
                }
            }
        }
    }

    /// Turns gradients that were taken with integers as columns into those of the real columns.
    pub(crate) fn scale_gradients(&self, sums: &mut Layer<T>) {
        match (self, sums) {
            (Self::Lstm(gates), Layer::Lstm(sums)) => gates.scale_gradients(sums),
            (Self::Gru(gates), Layer::Gru(sums)) => gates.scale_gradients(sums),
            (Self::Rnn(rows), Layer::Rnn(sums)) => rows.scale_gradients(sums),
            (Self::Conv1d(rows), Layer::Conv1d(sums)) => rows.scale_gradients(sums),
            (Self::Bidirectional(directions), Layer::Bidirectional(sums)) => directions.scale_gradients(sums),
            (Self::Dense(dense), Layer::Dense(sums)) => dense.scale_gradients(sums),
            _ => {}
        }
    }
}

impl<T: Real> Integers<T> {
    /// Rounds scaled samples (channels × frames) to Q0.15 of their channel's range, as numbers.
    pub(crate) fn round(&self, samples: &mut [T]) {
        for frame in samples.chunks_exact_mut(self.scales.len()) {
            for (value, &scale) in frame.iter_mut().zip(&self.scales) {
                let integer = (value.as_f64() / (f64::from(scale) / HIDDEN_SCALE) * 32_768.0).round() as i16;
                *value = T::of_integer(i32::from(integer)) * T::of(2_f64.powi(-15));
            }
        }
    }

    /// The logits of sequences as [`Network::forward`] gives them, computed with the integers.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub(crate) fn forward(&self, sequences: &[&[u32]]) -> Result<DMatrix<T>, NetworkError> {
        self.real.forward_by(sequences, Some(self))
    }
}

impl Integers<f32> {
    /// Takes away the gradient of weights of the embedding that are beyond their column's range and would be pushed further.
    pub(crate) fn hold(&self, embedding: &Embedding<f32>, gradient: &mut SparseColumns<f32>) {
        for (&id, gradient) in gradient.ids.iter().zip(gradient.values.chunks_exact_mut(self.scales.len())) {
            let [lowest, highest] = self.ranges[usize::from(self.is_rare.get(id as usize).copied().unwrap_or(false))];
            for ((&value, &scale), gradient) in embedding.vector(id).iter().zip(&self.scales).zip(gradient) {
                let value = value / scale;
                if (value > highest && *gradient < 0.0) || (value < lowest && *gradient > 0.0) {
                    *gradient = 0.0;
                }
            }
        }
    }
}
