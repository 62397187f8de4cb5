//! Answers that are judged by labels to which nothing of them was fitted.

use anyhow::Result;

use super::sequences::Sequences;
use super::training::{Answered, fused, fusion};
use crate::config::Objective;
use crate::network::Network;

/// As [`super::training::answers`], but each half of the answers is joined with the n-grams by the gains that are best for the other half: gains that are fitted to the
/// labels that judge make n-grams seem better than they are (Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", 1974). The answers take turns in the two halves.
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
    let gains = [1, 0].map(|other: usize| {
        let of_other = |(answer, &label): (usize, &f32)| if answer % 2 == other { label } else { f32::NAN };
        let labels: Vec<f32> = labels.iter().enumerate().map(of_other).collect();
        fusion((logits, &labels), sequences, outputs, objective)
    });
    let rows = logits.chunks_exact_mut(outputs).zip(sequences.offsets.chunks_exact(outputs));
    for (answer, (logits, offsets)) in rows.enumerate() {
        if let Some(gains) = &gains[answer % 2] {
            gains.apply(logits, offsets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_joined_by_gains_that_were_fitted_to_its_own_label() {
        let says = |text: usize| if text % 4 < 2 { 1.0 } else { -1.0 };
        let sequences = Sequences { offsets: (0..40).map(says).collect(), ..Sequences::default() };
        let right = |label: &dyn Fn(usize) -> bool| {
            let labels: Vec<f32> = (0..40).map(|text| f32::from(u8::from(label(text)))).collect();
            // The network knows nothing.
            let mut logits: Vec<f32> = (0..40).map(|text| if text % 8 < 4 { 0.1 } else { -0.1 }).collect();
            fuse_halves((&mut logits, &labels), &sequences, 1, Objective::CrossEntropy);
            assert!(logits.iter().all(|logit| logit.is_finite()), "{logits:?}");
            logits.iter().enumerate().filter(|&(text, &logit)| (logit > 0.0) == label(text)).count()
        };
        // Right in one half and wrong in the other: each half does the opposite of what is good for it.
        assert_eq!(right(&|text| (says(text) > 0.0) == text.is_multiple_of(2)), 0);
        // Where both halves say the same, nothing is lost.
        assert_eq!(right(&|text| says(text) > 0.0), 40);
    }
}
