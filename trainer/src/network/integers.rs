//! A network in the integers of its image, for a forward pass that computes what the engine will; the quantizer makes them.

use super::Network;
use super::dense::IntegerHead;
use super::lstm::integers::IntegerGates;
use crate::config::Storage;
use crate::real::Real;

/// A network's integers, and the real values that they stand for.
#[derive(Debug, Clone)]
pub struct Integers<T: Real> {
    /// What the network learns for.
    pub(crate) storage: Storage,
    /// What the embedding's columns are worth.
    pub(crate) scales: Vec<f32>,
    /// The network that the integers stand for.
    pub(crate) real: Network<T>,
    /// Integers of the embedding, features × vocabulary.
    pub(crate) embedding: Vec<T>,
    /// Those of the LSTM layers.
    pub(crate) layers: Vec<IntegerGates<T>>,
    /// Those of the head.
    pub(crate) head: IntegerHead,
}
