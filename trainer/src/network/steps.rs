//! How the tokens of a shard lie in memory: time-major without padding.
//!
//! Sequences of different lengths are never padded: a shard sorts them by falling length, step t works on the first `n_t` columns, and the
//! tokens of all steps lie one step after the other in one matrix. What is not there cannot leak into loss or gradient.

use crate::config::chain::rhythm::Rhythm;
use crate::real::{Real, multiply};
use std::ops::Range;

/// The places of a shard's tokens.
///
/// The sequences are sorted by falling length, so that those which are still running at step t are the first `n_t`. Token
/// t of sequence s is column `offsets[t] + s` of every matrix over the tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    /// The caller's number of each sequence, in the order of the shard.
    pub(crate) order: Vec<usize>,
    /// The sequences' lengths, falling.
    lengths: Vec<usize>,
    /// Steps in front that stand for what was before: 1 where the sequences go on with a state, which that step has, else 0.
    pub(crate) lead: usize,
    /// Where each step begins, and at the end the number of tokens.
    offsets: Vec<usize>,
    /// The token ids, time-major.
    pub(crate) ids: Vec<u32>,
}

impl Steps {
    /// Takes up the sequences with the given numbers.
    pub(crate) fn gather<'a>(&mut self, indices: &[usize], sequence: impl Fn(usize) -> &'a [u32]) {
        self.lead = 0;
        self.order.clear();
        self.order.extend_from_slice(indices);
        self.order.sort_by_key(|&index| std::cmp::Reverse(sequence(index).len()));
        self.lengths.clear();
        self.lengths.extend(self.order.iter().map(|&index| sequence(index).len()));
        self.offsets.clear();
        self.offsets.push(0);
        self.ids.clear();
        for step in 0..self.lengths.first().copied().unwrap_or(0) {
            let running = self.lengths.partition_point(|&length| length > step);
            self.ids.extend(self.order[..running].iter().map(|&index| sequence(index)[step]));
            self.offsets.push(self.ids.len());
        }
    }

    /// Takes up the steps of other steps at which a layer answers: token n of a sequence is the other's token first + n·stride, whose id is not kept. A step in front
    /// stays one.
    pub(crate) fn every(&mut self, other: &Steps, rhythm: Rhythm) {
        self.order.clone_from(&other.order);
        self.lengths.clear();
        self.lead = other.lead;
        // A sequence without a step has none in front either.
        let above = |length: &usize| self.lead.min(*length) + rhythm.answers(length.saturating_sub(self.lead));
        self.lengths.extend(other.lengths.iter().map(above));
        self.ids.clear();
        self.offsets.clear();
        self.offsets.push(0);
        let mut end = 0;
        for step in 0..self.lengths.first().copied().unwrap_or(0) {
            end += other.count(other.below(step, rhythm));
            self.offsets.push(end);
        }
    }

    /// Which of these steps a step above a layer comes from.
    pub(crate) fn below(&self, step: usize, rhythm: Rhythm) -> usize {
        if step < self.lead { step } else { self.lead + rhythm.below(step - self.lead) }
    }

    /// The step above a layer whose answer holds at one of these steps; none before its first.
    pub(crate) fn above(&self, step: usize, rhythm: Rhythm) -> Option<usize> {
        if step < self.lead { Some(step) } else { Some(self.lead + rhythm.above(step - self.lead)?) }
    }

    /// The last step of a sequence; none of one without steps.
    pub(crate) fn last(&self, sequence: usize) -> Option<usize> {
        self.lengths[sequence].checked_sub(1)
    }

    /// The number of steps: the length of the longest sequence.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of sequences, those without tokens included.
    pub(crate) fn sequences(&self) -> usize {
        self.lengths.len()
    }

    /// The number of tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The sequences' lengths, falling.
    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The columns of step `step`.
    pub(crate) fn columns(&self, step: usize) -> Range<usize> {
        self.offsets[step]..self.offsets[step + 1]
    }

    /// The number of sequences that run at step `step`; zero after the last.
    pub(crate) fn count(&self, step: usize) -> usize {
        if step < self.len() { self.columns(step).len() } else { 0 }
    }

    /// The column of token `step` of sequence `sequence`.
    pub(crate) fn token(&self, step: usize, sequence: usize) -> usize {
        self.offsets[step] + sequence
    }

    /// Multiplies every token of `values` (features × tokens) with the mask of its sequence (features × sequences).
    pub(crate) fn mask<T: Real>(&self, values: &mut [T], mask: &[T], features: usize) {
        if mask.is_empty() {
            return;
        }
        for step in 0..self.len() {
            let columns = self.columns(step);
            multiply(&mut values[features * columns.start..features * columns.end], mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_step_of_sequences_begins_with_their_first() {
        let sequences: [&[u32]; 4] = [&[1], &[2, 3, 4], &[], &[5, 6, 7]];
        let (mut steps, mut every) = (Steps::default(), Steps::default());
        steps.gather(&[0, 1, 2, 3], |index| sequences[index]);
        every.every(&steps, Rhythm { first: 0, stride: 2 });
        assert_eq!((every.order.as_slice(), every.lengths()), (&[1, 3, 0, 2][..], &[2, 2, 1, 0][..]));
        assert_eq!((every.len(), every.tokens(), every.count(0), every.count(1)), (2, 5, 3, 2));
    }

    #[test]
    fn steps_above_a_window_begin_where_it_is_full() {
        let sequences: [&[u32]; 4] = [&[1], &[2, 3, 4], &[], &[5, 6, 7, 8, 9]];
        let (mut steps, mut every) = (Steps::default(), Steps::default());
        steps.gather(&[0, 1, 2, 3], |index| sequences[index]);
        let rhythm = Rhythm::of_window(3, 2);
        every.every(&steps, rhythm);
        assert_eq!((every.order.as_slice(), every.lengths()), (&[3, 1, 0, 2][..], &[2, 1, 0, 0][..]));
        assert_eq!((every.len(), every.tokens(), every.count(0), every.count(1)), (2, 3, 2, 1));
        assert_eq!([0, 1].map(|step| steps.below(step, rhythm)), [2, 4]);
        assert_eq!([0, 1, 2, 3, 4].map(|step| steps.above(step, rhythm)), [None, None, Some(0), Some(0), Some(1)]);
    }

    #[test]
    fn tokens_lie_time_major_without_padding() {
        let sequences: [&[u32]; 4] = [&[1], &[2, 3, 4], &[], &[5, 6, 7]];
        let mut steps = Steps::default();
        steps.gather(&[0, 1, 2, 3], |index| sequences[index]);
        assert_eq!(steps.order, [1, 3, 0, 2]);
        assert_eq!(steps.ids, [2, 5, 1, 3, 6, 4, 7]);
        assert_eq!(steps.offsets, [0, 3, 5, 7]);
        assert_eq!((steps.len(), steps.count(1), steps.count(3)), (3, 2, 0));
    }

    #[test]
    fn a_step_in_front_stays_in_front_of_each_second_step() {
        let sequences: [&[u32]; 2] = [&[1, 2, 3, 4, 5], &[6, 7]];
        let (mut steps, mut every) = (Steps::default(), Steps::default());
        steps.gather(&[0, 1], |index| sequences[index]);
        steps.lead = 1;
        every.every(&steps, Rhythm { first: 0, stride: 2 });
        assert_eq!((every.lead, every.lengths()), (1, &[3, 2][..]));
        assert_eq!([0, 1, 2].map(|step| steps.below(step, Rhythm { first: 0, stride: 2 })), [0, 1, 3]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|step| steps.above(step, Rhythm { first: 0, stride: 2 })),
            [0, 1, 1, 2, 2].map(Some)
        );
    }
}
