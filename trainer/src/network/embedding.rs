//! The embedding: token ids to vectors.
//!
//! Forward: `x_t = E[:, id_t]`. Backward: `dE[:, id] = Σ dx_t` over the tokens t with that id. A batch touches few columns
//! of a large table, so the gradient is [`SparseColumns`]: the touched ids in rising order and one vector each.
//!
//! A network that reads samples has a table without columns, which nothing is learned of: its ids are the numbers of frames that the data brings
//! ([`Embedding::read`]).

use super::tensors::tensors;
use crate::real::{Real, add};
use crate::samples::Frames;
use nalgebra::DMatrix;
use rand::{Rng, RngExt};

/// A table of vectors, one column a token id.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding<T: Real> {
    /// The vectors, features × vocabulary: the vector of a token is contiguous.
    pub table: DMatrix<T>,
    /// The frames that ids mean in place of columns; nothing of a network that reads tokens.
    frames: Frames,
}

tensors!(Embedding: table);

impl<T: Real> Embedding<T> {
    /// A table of zeros.
    pub(crate) fn zeros(vocabulary: usize, features: usize) -> Self {
        Self { table: DMatrix::zeros(features, vocabulary), frames: Frames::default() }
    }

    /// Draws values uniformly from ±0.05.
    pub(crate) fn initialize(&mut self, rng: &mut impl Rng) {
        self.table.iter_mut().for_each(|value| *value = T::of(rng.random::<f64>().mul_add(0.1, -0.05)));
    }

    /// Has ids mean frames.
    pub(crate) fn read(&mut self, frames: &Frames) {
        self.frames.clone_from(frames);
    }

    /// How many ids there are.
    pub(crate) fn ids(&self) -> usize {
        let Frames { values, channels } = &self.frames;
        self.table.ncols() + values.len().checked_div(*channels).unwrap_or(0)
    }

    /// The vector of an id.
    ///
    /// # Panics
    /// If the id is not below the vocabulary.
    pub fn vector(&self, id: u32) -> &[T] {
        let features = self.table.nrows();
        &self.table.as_slice()[id as usize * features..][..features]
    }

    /// Writes the vector of every id into `output` (features × ids).
    ///
    /// # Panics
    /// If an id is not below the vocabulary, or if the shape of `output` is wrong.
    pub fn forward(&self, ids: &[u32], output: &mut [T]) {
        let Frames { values, channels } = &self.frames;
        if *channels == 0 {
            return Self::gather(self.table.as_slice(), self.table.nrows(), ids, output);
        }
        for (&id, vector) in ids.iter().zip(output.chunks_exact_mut(*channels)) {
            let frame = &values[id as usize * channels..][..*channels];
            vector.iter_mut().zip(frame).for_each(|(to, &from)| *to = T::of(f64::from(from)));
        }
    }

    /// The same from the values of a table, features × vocabulary.
    pub(crate) fn gather(table: &[T], features: usize, ids: &[u32], output: &mut [T]) {
        for (&id, vector) in ids.iter().zip(output.chunks_exact_mut(features)) {
            vector.copy_from_slice(&table[id as usize * features..][..features]);
        }
    }
}

/// Some columns of a matrix, and zero elsewhere: the gradient of an [`Embedding`].
#[derive(Debug, Clone, Default)]
pub struct SparseColumns<T> {
    /// The column numbers that occur, rising.
    pub ids: Vec<u32>,
    /// The columns, features × `ids.len()`, in the order of `ids`.
    pub values: Vec<T>,
    /// For every id of the vocabulary its place in `ids`, valid only for those that occur.
    places: Vec<u32>,
}

impl<T: PartialEq> PartialEq for SparseColumns<T> {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids && self.values == other.values
    }
}

impl<T: Real> SparseColumns<T> {
    /// Forgets all columns and takes up columns for the given ids, which may repeat and must be below `vocabulary`. What is in them has
    /// no meaning until [`SparseColumns::clear`], or until the caller has written them.
    pub(crate) fn reset(&mut self, ids: impl Iterator<Item = u32>, vocabulary: usize, features: usize) {
        self.places.clear();
        self.places.resize(vocabulary, 0);
        ids.for_each(|id| self.places[id as usize] = 1);
        self.ids.clear();
        for (id, place) in self.places.iter_mut().enumerate().filter(|(_, place)| **place > 0) {
            *place = self.ids.len() as u32;
            self.ids.push(id as u32);
        }
        self.values.resize(features * self.ids.len(), T::zero());
    }

    /// Makes all columns zero.
    pub(crate) fn clear(&mut self) {
        self.values.fill(T::zero());
    }

    /// The column of an id that occurs.
    pub(crate) fn column_mut(&mut self, id: u32, features: usize) -> &mut [T] {
        let place = self.places[id as usize] as usize;
        &mut self.values[place * features..][..features]
    }

    /// For every id of the vocabulary its place in `ids`, valid only for those that occur.
    pub(crate) fn places(&self) -> &Vec<u32> {
        &self.places
    }

    /// Adds each column of `gradients` (features × ids) to the column of its id, in the order of `ids`.
    pub(crate) fn add(&mut self, ids: &[u32], gradients: &[T], features: usize) {
        for (&id, gradient) in ids.iter().zip(gradients.chunks_exact(features)) {
            add(self.column_mut(id, features), gradient);
        }
    }

    /// The whole matrix, features × `vocabulary`.
    pub fn dense(&self, features: usize, vocabulary: usize) -> DMatrix<T> {
        let mut matrix = DMatrix::zeros(features, vocabulary);
        for (&id, column) in self.ids.iter().zip(self.values.chunks_exact(features.max(1))) {
            matrix.column_mut(id as usize).copy_from_slice(column);
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::generator;

    #[test]
    fn a_vector_is_looked_up_by_its_id() {
        let mut embedding = Embedding::<f64>::zeros(5, 3);
        embedding.initialize(&mut generator([1, 0, 0, 0]));
        let mut output = [0.0; 6];
        embedding.forward(&[4, 0], &mut output);
        assert_eq!(output[..3], *embedding.table.column(4).as_slice());
        assert_eq!(output[3..], *embedding.table.column(0).as_slice());
        assert!(embedding.table.iter().all(|value| value.abs() <= 0.05));
    }

    #[test]
    fn repeated_ids_add_up_their_gradients() {
        let mut gradient = SparseColumns::<f64>::default();
        gradient.reset([3, 1, 3].into_iter(), 4, 2);
        gradient.clear();
        gradient.add(&[3, 1, 3], &[1.0, 2.0, 5.0, 6.0, 10.0, 20.0], 2);
        assert_eq!(gradient.ids, [1, 3]);
        assert_eq!(gradient.values, [5.0, 6.0, 11.0, 22.0]);
        let dense = gradient.dense(2, 4);
        assert_eq!(dense.as_slice(), [0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 11.0, 22.0]);
    }
}
