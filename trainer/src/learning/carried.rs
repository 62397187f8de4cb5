//! Recordings that are longer than memory: truncated back-propagation, with the state carried from piece to piece as the device carries it.
//!
//! ```text
//! a batch of recordings   ──piece 1──> update ──piece 2──> update ── …          each piece begins with the states that the one before ended with
//! ```
//!
//! No gradient goes through a state that is carried. Recordings that have ended leave the batch.

use super::sequences::Sequences;
use crate::batches::Batch;

/// Pieces of some recordings that lie at the same place in each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    /// The recordings.
    pub(super) indices: Vec<usize>,
    /// The place of each among the recordings of its batch.
    streams: Vec<usize>,
    /// How many pieces lie before it.
    pub(super) before: usize,
}

/// The pieces of an epoch, of `steps` each, of batches of recordings; without `steps` each batch is one of whole recordings.
pub(super) fn pieces(plan: Vec<Vec<usize>>, lengths: &[usize], steps: Option<usize>) -> Vec<Piece> {
    let of = |group: Vec<usize>| {
        let longest = group.iter().map(|&index| lengths[index]).max().unwrap_or(0);
        let count = steps.map_or(1, |steps| longest.div_ceil(steps).max(1));
        (0..count).map(move |before| {
            let goes_on = |index: usize| before == 0 || steps.is_some_and(|steps| lengths[index] > before * steps);
            let (streams, indices) = group.iter().copied().enumerate().filter(|&(_, index)| goes_on(index)).unzip();
            Piece { indices, streams, before }
        })
    };
    plan.into_iter().flat_map(of).collect()
}

/// The updates of an epoch: pieces of batches of recordings of like length.
pub(crate) fn updates(lengths: &[usize], batch: usize, steps: Option<usize>) -> u64 {
    let Some(steps) = steps else { return lengths.len().div_ceil(batch) as u64 };
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    let longest = lengths.chunks(batch).filter_map(|group| group.last());
    longest.map(|longest| longest.div_ceil(steps).max(1) as u64).sum()
}

impl Piece {
    /// What is learned of it.
    pub(super) fn batch(&self, training: &Sequences, steps: usize) -> Batch {
        let mut batch = Batch::new();
        // The step in front has the state, and no label.
        let lead = usize::from(self.before > 0);
        for &index in &self.indices {
            let (ids, labels) = (&training.ids[index], training.learned_labels(index));
            let begin = self.before * steps;
            let end = (begin + steps).min(ids.len());
            let mut learned = vec![f32::NAN; lead];
            learned.extend_from_slice(&labels[begin..end]);
            batch.push_each(&ids[begin - lead..end], &learned);
        }
        batch.carrying(self.streams.clone(), self.before > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_learned_in_pieces_and_leave_where_they_end() {
        let lengths = [7, 3, 0, 10];
        let found = pieces(vec![vec![3, 0], vec![2, 1]], &lengths, Some(4));
        let piece = |indices: &[usize], streams: &[usize], before| Piece {
            indices: indices.to_vec(),
            streams: streams.to_vec(),
            before,
        };
        let expected =
            [piece(&[3, 0], &[0, 1], 0), piece(&[3, 0], &[0, 1], 1), piece(&[3], &[0], 2), piece(&[2, 1], &[0, 1], 0)];
        assert_eq!(found, expected);
        assert_eq!(pieces(vec![vec![3, 0]], &lengths, None), [piece(&[3, 0], &[0, 1], 0)]);
        assert_eq!(
            (updates(&lengths, 2, Some(4)), updates(&lengths, 2, Some(10)), updates(&lengths, 3, None)),
            (4, 2, 2)
        );
    }

    #[test]
    fn a_piece_that_goes_on_has_the_step_before_it_without_a_label() {
        let training = Sequences {
            ids: vec![(10..17).collect()],
            labels: vec![(0..7).map(|step| step as f32).collect()],
            ..Sequences::default()
        };
        let all = pieces(vec![vec![0]], &[7], Some(4));
        let batch = all[1].batch(&training, 4);
        assert_eq!(batch.sequence(0), [13, 14, 15, 16]);
        assert!(batch.labels_of(0)[0].is_nan() && batch.labels_of(0)[1..] == [4.0, 5.0, 6.0]);
        assert_eq!(batch.tokens(), 3);
        assert_eq!(all[0].batch(&training, 4).sequence(0), [10, 11, 12, 13]);
    }
}
