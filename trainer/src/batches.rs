//! Batches: which sequences are learned together, and in which order.
//!
//! A recurrent step costs the same for one long sequence and for sixteen, so sequences of like length belong together. The
//! plan of an epoch shuffles all sequences, sorts them by length inside windows of some batches, cuts the batches, and shuffles
//! the order of the batches. It is a pure function of the lengths, the options and the epoch: a resumed run meets the very
//! batches that the interrupted one would have met.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// A generator for one purpose: the four words are its whole seed, so that no two purposes share a stream.
pub(crate) fn generator(words: [u64; 4]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}

/// A number of the standard normal distribution, by Box and Muller: √(-2 ln u) · cos(2πv), where 1 - u keeps the logarithm finite.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (core::f64::consts::TAU * v).cos()
}

/// Sequences of token ids with one label each, or with one for each of their tokens, held in one piece of memory.
///
/// A sequence may be empty. It makes no step, and its pooling is the zero vector: that is the hidden state before the first
/// token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    ids: Vec<u32>,
    ends: Vec<usize>,
    labels: Vec<f32>,
    label_ends: Vec<usize>,
    offsets: Vec<f32>,
    targets: Vec<f32>,
    target_ends: Vec<usize>,
    carried: Option<Carried>,
}

/// Which streams the sequences of a batch are pieces of, whose states are carried from batch to batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Carried {
    /// The stream of each sequence.
    pub streams: Vec<usize>,
    /// Whether they go on: then the first id of each is the last one of the piece before, and has no label.
    pub go_on: bool,
}

impl Batch {
    /// A batch without sequences.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one sequence of token ids with its label: 0 or 1 for one output, the class number for several, or a value.
    pub fn push(&mut self, ids: &[u32], label: f32) {
        self.push_each(ids, &[label]);
    }

    /// Appends one sequence to whose logit something else is added before the loss: `offset`.
    pub fn push_beside(&mut self, ids: &[u32], label: f32, offset: f32) {
        self.push_each(ids, &[label]);
        if let Some(last) = self.offsets.last_mut() {
            *last = offset;
        }
    }

    /// Appends one sequence of token ids with a label for each of them; NaN where a token has none.
    pub fn push_each(&mut self, ids: &[u32], labels: &[f32]) {
        self.ids.extend_from_slice(ids);
        self.ends.push(self.ids.len());
        self.labels.extend_from_slice(labels);
        self.label_ends.push(self.labels.len());
        self.offsets.push(0.0);
        self.target_ends.push(self.targets.len());
    }

    /// Gives the last sequence what teachers say of it: the probability of class 1 for one output, else one a class; or the value. Where each id has an answer, as much
    /// for each of them, NaN where teachers say nothing.
    pub fn teach(&mut self, probabilities: &[f32]) {
        self.targets.extend_from_slice(probabilities);
        if let Some(last) = self.target_ends.last_mut() {
            *last = self.targets.len();
        }
    }

    /// Says which streams the sequences are pieces of.
    #[must_use]
    pub fn carrying(mut self, streams: Vec<usize>, go_on: bool) -> Self {
        self.carried = Some(Carried { streams, go_on });
        self
    }

    /// Which streams the sequences are pieces of, where they are.
    pub fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }

    /// The number of sequences.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the batch holds no sequence.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of tokens of all sequences, without those of the pieces before.
    pub fn tokens(&self) -> usize {
        let again = if self.carried.as_ref().is_some_and(|carried| carried.go_on) { self.len() } else { 0 };
        self.ids.len() - again
    }

    /// The token ids of sequence `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Batch::len`].
    pub fn sequence(&self, index: usize) -> &[u32] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.ids[start..self.ends[index]]
    }

    /// All sequences in order.
    pub fn sequences(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|index| self.sequence(index))
    }

    /// What is added to the sequences' logits, one a sequence.
    pub fn offsets(&self) -> &[f32] {
        &self.offsets
    }

    /// The labels of all sequences in order.
    pub fn labels(&self) -> &[f32] {
        &self.labels
    }

    /// What teachers say of sequence `index`; none where it has no teacher.
    ///
    /// # Panics
    /// If `index` is not below [`Batch::len`].
    pub fn targets_of(&self, index: usize) -> &[f32] {
        let start = if index == 0 { 0 } else { self.target_ends[index - 1] };
        &self.targets[start..self.target_ends[index]]
    }

    /// The labels of sequence `index`: one, or one a token.
    ///
    /// # Panics
    /// If `index` is not below [`Batch::len`].
    pub fn labels_of(&self, index: usize) -> &[f32] {
        let start = if index == 0 { 0 } else { self.label_ends[index - 1] };
        &self.labels[start..self.label_ends[index]]
    }
}

/// How an epoch is cut into batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// Sequences in a batch; the last batch of an epoch may hold fewer. Zero is taken as one.
    pub batch_size: usize,
    /// Batches in the window inside which sequences are sorted by length. One keeps the shuffled order.
    pub window: usize,
    /// The seed of the run.
    pub seed: u64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { batch_size: 32, window: 50, seed: 0 }
    }
}

/// The batches of epoch `epoch`, each a list of sequence numbers: every number below `lengths.len()` exactly once.
///
/// `lengths` are the sequences' lengths in tokens. The same arguments always give the same batches.
pub fn plan(lengths: &[usize], options: &BatchOptions, epoch: u64) -> Vec<Vec<usize>> {
    let mut rng = generator([options.seed, epoch, u64::MAX, u64::MAX]);
    let batch_size = options.batch_size.max(1);
    let window = options.window.max(1).saturating_mul(batch_size);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.shuffle(&mut rng);
    let mut batches = Vec::with_capacity(lengths.len().div_ceil(batch_size));
    for window in order.chunks_mut(window) {
        if options.window > 1 {
            window.sort_by_key(|&index| lengths[index]);
        }
        batches.extend(window.chunks(batch_size).map(<[usize]>::to_vec));
    }
    batches.shuffle(&mut rng);
    batches
}

/// The batches of epoch `epoch` over `(ids, label)` examples, made one at a time in the order of [`plan`].
pub fn batches<'a, S: AsRef<[u32]>>(
    sequences: &'a [S],
    labels: &'a [f32],
    options: &BatchOptions,
    epoch: u64,
) -> impl ExactSizeIterator<Item = Batch> + use<'a, S> {
    let lengths: Vec<usize> = sequences.iter().zip(labels).map(|(sequence, _)| sequence.as_ref().len()).collect();
    plan(&lengths, options, epoch).into_iter().map(move |indices| {
        let mut batch = Batch::new();
        for index in indices {
            batch.push(sequences[index].as_ref(), labels[index]);
        }
        batch
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths() -> Vec<usize> {
        (0..1000).map(|i| (i * 7919) % 397).collect()
    }

    #[test]
    fn every_sequence_appears_once_in_an_epoch() {
        let options = BatchOptions { batch_size: 32, window: 5, seed: 3 };
        let plan = plan(&lengths(), &options, 2);
        let mut all: Vec<usize> = plan.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert!(plan.iter().all(|batch| batch.len() <= 32));
    }

    #[test]
    fn the_plan_depends_on_seed_and_epoch_alone() {
        let options = BatchOptions { batch_size: 16, window: 4, seed: 3 };
        assert_eq!(plan(&lengths(), &options, 1), plan(&lengths(), &options, 1));
        assert_ne!(plan(&lengths(), &options, 1), plan(&lengths(), &options, 2));
        let other = BatchOptions { seed: 4, ..options };
        assert_ne!(plan(&lengths(), &other, 1), plan(&lengths(), &options, 1));
    }

    #[test]
    fn sequences_of_like_length_share_a_batch() {
        let lengths = lengths();
        let padding = |window| {
            let options = BatchOptions { batch_size: 20, window, seed: 1 };
            let padded: usize = plan(&lengths, &options, 0)
                .iter()
                .map(|batch| batch.len() * batch.iter().map(|&i| lengths[i]).max().unwrap_or(0))
                .sum();
            padded as f64 / lengths.iter().sum::<usize>() as f64
        };
        assert!(padding(50) < 1.05, "{}", padding(50));
        assert!(padding(1) > 1.5, "{}", padding(1));
    }

    #[test]
    fn batches_carry_the_sequences_of_the_plan() {
        let sequences = vec![vec![1, 2, 3], vec![], vec![4]];
        let labels = [1.0, 0.0, 1.0];
        let options = BatchOptions { batch_size: 3, window: 1, seed: 9 };
        let batch = batches(&sequences, &labels, &options, 0).next().unwrap();
        let plan = plan(&[3, 0, 1], &options, 0);
        for (place, &index) in plan[0].iter().enumerate() {
            assert_eq!(batch.sequence(place), sequences[index]);
            assert_eq!(batch.labels()[place], labels[index]);
        }
        assert_eq!(batch.tokens(), 4);
    }

    #[test]
    fn no_sequences_make_no_batches() {
        assert!(plan(&[], &BatchOptions::default(), 0).is_empty());
    }
}
