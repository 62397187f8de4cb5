//! Answers that are judged by labels to which nothing of them was fitted.

use anyhow::Result;

use super::sequences::Sequences;
use super::training::{Answered, fused, fusion};
use crate::config::Objective;
use crate::metrics::take_turns;
use crate::network::Network;

/// As [`super::training::answers`], but each half of the answers is joined with the n-grams by the gains that are best for the other half: gains that are fitted to the
/// labels that judge make n-grams seem better than they are (Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", 1974). All answers to a text
/// are in one half; where a text has one answer, each class is in both.
///
/// # Errors
/// Those of [`Network::forward`].
pub fn answers(network: &Network<f32>, sequences: &Sequences, objective: Objective) -> Result<(Vec<f32>, Vec<f32>)> {
    let Answered { mut logits, labels, fusion } = fused(network, sequences, objective)?;
    if fusion.is_some() {
        fuse_halves((&mut logits, &labels), sequences, network.config().outputs, objective);
    }
    Ok((logits, labels))
}

/// Joins each half of the logits with the n-grams' by the gains of the other half.
fn fuse_halves((logits, labels): (&mut [f32], &[f32]), sequences: &Sequences, outputs: usize, objective: Objective) {
    let halves = halves(sequences, labels, objective);
    let gains = [1, 0].map(|other: usize| {
        let of_other = |(&half, &label): (&usize, &f32)| if half == other { label } else { f32::NAN };
        let labels: Vec<f32> = halves.iter().zip(labels).map(of_other).collect();
        fusion((logits, &labels), sequences, outputs, objective)
    });
    let rows = logits.chunks_exact_mut(outputs).zip(sequences.offsets.chunks_exact(outputs));
    for (half, (logits, offsets)) in halves.iter().zip(rows) {
        if let Some(gains) = &gains[*half] {
            gains.apply(logits, offsets);
        }
    }
}

/// In which half each answer is: those of a text together where it has several; of classes each takes turns.
fn halves(sequences: &Sequences, labels: &[f32], objective: Objective) -> Vec<usize> {
    // Neighbours may be alike: whole texts are mixed.
    let mixed = |text: usize| ((text as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63) as usize;
    if !sequences.answers.is_empty() {
        let texts = sequences.answers.iter().enumerate();
        return texts.flat_map(|(text, answers)| std::iter::repeat_n(mixed(text), answers.len())).collect();
    }
    match objective {
        Objective::CrossEntropy => take_turns(labels),
        Objective::SquaredError => (0..labels.len()).map(mixed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 40 labels are answered right after the fusion of a network that knows nothing.
    fn right(sequences: &Sequences, label: &dyn Fn(usize) -> bool) -> usize {
        let labels: Vec<f32> = (0..40).map(|text| f32::from(u8::from(label(text)))).collect();
        let mut logits: Vec<f32> = (0..40).map(|text| if text % 3 == 0 { 0.1 } else { -0.1 }).collect();
        fuse_halves((&mut logits, &labels), sequences, 1, Objective::CrossEntropy);
        assert!(logits.iter().all(|logit| logit.is_finite()), "{logits:?}");
        logits.iter().enumerate().filter(|&(text, &logit)| (logit > 0.0) == label(text)).count()
    }

    #[test]
    fn no_answer_is_joined_by_gains_that_were_fitted_to_its_own_label() {
        let of = |says: &dyn Fn(usize) -> bool| Sequences {
            offsets: (0..40).map(|text| if says(text) { 2.0 } else { -2.0 }).collect(),
            ..Sequences::default()
        };
        let label = |text: usize| text % 8 < 4;
        // Of each class the n-grams are right in one half and wrong in the other: each half does the opposite of what is good for it.
        assert_eq!(right(&of(&|text| label(text) == text.is_multiple_of(2)), &label), 0);
        // Where both halves say the same, nothing is lost.
        assert_eq!(right(&of(&label), &label), 40);
    }

    #[test]
    fn answers_to_one_text_are_in_one_half() {
        // Twenty texts of two answers each, of which the first is always the one class and the second the other: halves by answers would have one class each.
        let answers = vec![vec![(1, 0.0), (2, 1.0)]; 20];
        let says = |answer: usize| if answer.is_multiple_of(2) { -2.0 } else { 2.0 };
        let sequences = Sequences { offsets: (0..40).map(says).collect(), answers, ..Sequences::default() };
        assert_eq!(right(&sequences, &|answer| !answer.is_multiple_of(2)), 40);
    }
}
