//! The embedding and the kernel of a recurrent layer above it as one lookup, when nothing is dropped between them.
//!
//! A batch holds few different ids: words follow Zipf's law, and of 32 × 80 tokens some thousand differ. What depends on an id and not
//! on its place needs to be computed once an id:
//!
//! ```text
//! forward     a_id  = W·E[:, id] + b                     every token reads its id's
//! backward    s_id  = Σ dz_t over the tokens t with that id
//!             dE[:, id] = Wᵀ·s_id        dW = Σ s_id·E[:, id]ᵀ        db = Σ s_id
//! ```
//!
//! These are the products over all tokens with equal terms taken together: the same gradients but for rounding. The ids are cut into
//! parts whose number depends on the batch alone, and the parts' sums are added in their order, so that the bits do not depend on the threads.

use super::embedding::{Embedding, SparseColumns};
use super::layer::Layer;
use super::recurrent::{Input, Kernels};
use super::steps::Steps;
use crate::products::{Outer, outer, product, vectorized};
use crate::real::{Real, add, add_column_sum};
use rayon::prelude::*;

/// The ids of one piece of work of the forward pass.
const COLUMNS: usize = 64;

/// The elements of one piece of work when parts are added up.
const ELEMENTS: usize = 8192;

/// The lookup of a batch, with all its memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup<T> {
    /// `W·E[:, id] + b` (rows × ids).
    gates: Vec<T>,
    /// The place of each id of the vocabulary among those of the batch.
    places: Vec<u32>,
    /// Where the tokens of each id begin in `tokens`, and at the end their number.
    starts: Vec<u32>,
    /// Shard and token of every token of the batch, those of one id together.
    tokens: Vec<(u32, u32)>,
    parts: Vec<Part<T>>,
}

/// What one part of the ids gives to the gradients.
#[derive(Debug, Clone)]
struct Part<T> {
    /// s of each id (rows × ids).
    sums: Vec<T>,
    kernel: Vec<T>,
    bias: Vec<T>,
    outer: Outer<T>,
}

impl<T: Real> Lookup<T> {
    /// What the lowest layer reads, after [`Lookup::forward`].
    pub(crate) fn input(&self) -> Input<'_, T> {
        Input::Gates(&self.gates, &self.places)
    }

    /// Computes the gates of every id of `ids` for the layer above the embedding, whose kernel is in order. False, and nothing is done, where
    /// the layer has none.
    pub(crate) fn forward(
        &mut self,
        embedding: &Embedding<T>,
        layer: &Layer<T>,
        kernels: &Kernels<T>,
        ids: &SparseColumns<T>,
    ) -> bool {
        let Some((_, bias)) = layer.projection() else { return false };
        let rows = bias.len();
        self.places.clone_from(ids.places());
        self.gates.resize(rows * ids.ids.len(), T::zero());
        self.gates.par_chunks_mut(rows * COLUMNS).zip(ids.ids.par_chunks(COLUMNS)).for_each(|(gates, ids)| {
            gates.chunks_exact_mut(rows).for_each(|column| column.copy_from_slice(bias.as_slice()));
            product(gates, &kernels.kernel, |column| embedding.vector(ids[column]), true);
        });
        true
    }

    /// Goes back from the dA of all shards, each with its tokens, to the gradients of the layer's W and b and of the embedding.
    pub(crate) fn backward(
        &mut self,
        table: &Embedding<T>,
        kernels: &Kernels<T>,
        shards: &[(&Steps, &[T])],
        layer: &mut Layer<T>,
        embedding: &mut SparseColumns<T>,
    ) {
        let Some((kernel_sum, bias_sum)) = layer.projection_mut() else { return };
        self.sort_tokens(shards, embedding.ids.len());
        let (rows, features) = kernel_sum.shape();
        let SparseColumns { ids, values, .. } = embedding;
        // At least two a shard, so that a thread that is late with its shard finds less to do here.
        let size = ids.len().div_ceil(2 * shards.len()).max(1);
        let parts = ids.len().div_ceil(size);
        if self.parts.len() < parts {
            let fresh = || Part {
                sums: Vec::new(),
                kernel: vec![T::zero(); rows * features],
                bias: vec![T::zero(); rows],
                outer: Outer::default(),
            };
            self.parts.resize_with(parts, fresh);
        }
        let (starts, tokens) = (&self.starts, &self.tokens);
        let work = self.parts.par_iter_mut().zip(ids.par_chunks(size)).zip(values.par_chunks_mut(size * features));
        work.enumerate().for_each(|(number, ((part, ids), values))| {
            part.sums.resize(rows * ids.len(), T::zero());
            for (place, sum) in part.sums.chunks_exact_mut(rows).enumerate() {
                let place = number * size + place;
                let of_id = &tokens[starts[place] as usize..starts[place + 1] as usize];
                for (index, &(shard, token)) in of_id.iter().enumerate() {
                    let gradient = &shards[shard as usize].1[rows * token as usize..][..rows];
                    if index == 0 { sum.copy_from_slice(gradient) } else { vectorized(|| add(sum, gradient)) }
                }
            }
            let Part { sums, kernel, bias, outer: memory } = part;
            let sum = |place: usize| &sums[rows * place..][..rows];
            let vector = |place: usize| table.vector(ids[place]);
            product(values, &kernels.kernel_transpose, sum, false);
            outer(kernel, (rows, features), ids.len(), sum, vector, memory);
            bias.fill(T::zero());
            vectorized(|| add_column_sum(bias, sums));
        });
        let parts = &self.parts[..parts];
        add_up(kernel_sum.as_mut_slice(), |part| &parts[part].kernel, parts.len());
        add_up(bias_sum.as_mut_slice(), |part| &parts[part].bias, parts.len());
    }

    /// Brings the tokens of all shards into the order of their ids, those of one id in the order of the shards.
    fn sort_tokens(&mut self, shards: &[(&Steps, &[T])], ids: usize) {
        self.starts.clear();
        self.starts.resize(ids + 2, 0);
        // One place further than in the end: the second pass moves each start to the next one's.
        let place = |places: &[u32], id: u32| places[id as usize] as usize;
        for &id in shards.iter().flat_map(|(steps, _)| &steps.ids) {
            self.starts[place(&self.places, id) + 2] += 1;
        }
        for place in 2..self.starts.len() {
            self.starts[place] += self.starts[place - 1];
        }
        self.tokens.resize(self.starts[ids + 1] as usize, (0, 0));
        for (shard, (steps, _)) in shards.iter().enumerate() {
            for (token, &id) in steps.ids.iter().enumerate() {
                let at = &mut self.starts[place(&self.places, id) + 1];
                self.tokens[*at as usize] = (shard as u32, token as u32);
                *at += 1;
            }
        }
    }
}

/// Replaces `sum` with the sum of `count` slices in their order.
pub(crate) fn add_up<'a, T: Real>(sum: &mut [T], slice: impl Fn(usize) -> &'a [T] + Sync, count: usize) {
    sum.par_chunks_mut(ELEMENTS).enumerate().for_each(|(chunk, sum)| {
        sum.fill(T::zero());
        for number in 0..count {
            let part = &slice(number)[chunk * ELEMENTS..];
            vectorized(|| add(sum, part));
        }
    });
}
