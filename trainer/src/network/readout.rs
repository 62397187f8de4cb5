//! The readout: from the hidden states of all steps of a sequence to one vector.
//!
//! A sequence without tokens has the zero vector as its readout, whatever the kind.

use super::Steps;
use crate::real::{Real, add};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Which vector of a sequence the head sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Readout {
    /// The hidden state after the last token.
    #[default]
    Last,
    /// The mean of the hidden states of all steps.
    Mean,
    /// The largest value of each feature over all steps; of equal values the earliest counts.
    Max,
}

impl From<Readout> for latch_engine::image::manifest::Readout {
    fn from(readout: Readout) -> Self {
        match readout {
            Readout::Last => Self::Last,
            Readout::Mean => Self::Mean,
            Readout::Max => Self::Max,
        }
    }
}

impl Readout {
    /// Writes the readout of every sequence into `output` (units × sequences) from `hidden` (units × tokens). For
    /// [`Readout::Max`], `winners` (units × sequences) becomes the step at which each value was met.
    pub(crate) fn forward<T: Real>(
        self,
        units: usize,
        steps: &Steps,
        hidden: &[T],
        output: &mut Vec<T>,
        winners: &mut Vec<u32>,
    ) {
        output.clear();
        output.resize(units * steps.sequences(), T::zero());
        match self {
            Self::Last => {
                for (sequence, &length) in steps.lengths().iter().enumerate() {
                    if length > 0 {
                        let token = steps.token(length - 1, sequence);
                        output[sequence * units..][..units].copy_from_slice(&hidden[token * units..][..units]);
                    }
                }
            }
            Self::Mean => {
                for step in 0..steps.len() {
                    let columns = steps.columns(step);
                    add(output, &hidden[columns.start * units..columns.end * units]);
                }
                for (output, &length) in output.chunks_exact_mut(units).zip(steps.lengths()) {
                    let share = T::one() / T::of(length.max(1) as f64);
                    output.iter_mut().for_each(|value| *value *= share);
                }
            }
            Self::Max => {
                winners.clear();
                winners.resize(units * steps.sequences(), 0);
                for step in 0..steps.len() {
                    let columns = steps.columns(step);
                    let hidden = &hidden[columns.start * units..columns.end * units];
                    if step == 0 {
                        output[..hidden.len()].copy_from_slice(hidden);
                        continue;
                    }
                    for ((best, winner), &value) in output.iter_mut().zip(winners.iter_mut()).zip(hidden) {
                        if value > *best {
                            *best = value;
                            *winner = step as u32;
                        }
                    }
                }
            }
        }
    }

    /// Writes dL/dh of every token into `hidden_gradient` (units × tokens) from `gradient`, dL/dreadout (units × sequences).
    pub(crate) fn backward<T: Real>(
        self,
        units: usize,
        steps: &Steps,
        gradient: &[T],
        winners: &[u32],
        hidden_gradient: &mut Vec<T>,
    ) {
        hidden_gradient.clear();
        hidden_gradient.resize(units * steps.tokens(), T::zero());
        match self {
            Self::Last => {
                for (sequence, &length) in steps.lengths().iter().enumerate() {
                    if length > 0 {
                        let token = steps.token(length - 1, sequence);
                        hidden_gradient[token * units..][..units]
                            .copy_from_slice(&gradient[sequence * units..][..units]);
                    }
                }
            }
            Self::Mean => {
                for step in 0..steps.len() {
                    let columns = steps.columns(step);
                    let target = hidden_gradient[columns.start * units..columns.end * units].chunks_exact_mut(units);
                    for ((target, gradient), &length) in target.zip(gradient.chunks_exact(units)).zip(steps.lengths()) {
                        let share = T::one() / T::of(length as f64);
                        for (target, &gradient) in target.iter_mut().zip(gradient) {
                            *target = gradient * share;
                        }
                    }
                }
            }
            Self::Max => {
                for (sequence, &length) in steps.lengths().iter().enumerate() {
                    if length == 0 {
                        continue;
                    }
                    for feature in 0..units {
                        let place = sequence * units + feature;
                        let token = steps.token(winners[place] as usize, sequence);
                        hidden_gradient[token * units + feature] = gradient[place];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three sequences of 3, 1 and 0 tokens with two features: columns (step, sequence) = (0,0) (0,1) (1,0) (2,0).
    const HIDDEN: [f64; 8] = [1.0, 6.0, -3.0, -4.0, 5.0, 2.0, 3.0, 4.0];

    fn run(readout: Readout) -> (Vec<f64>, Vec<f64>) {
        let sequences: [&[u32]; 3] = [&[0, 0, 0], &[0], &[]];
        let mut steps = Steps::default();
        steps.gather(&[0, 1, 2], |index| sequences[index]);
        let (mut output, mut winners, mut gradient) = (Vec::new(), Vec::new(), Vec::new());
        readout.forward(2, &steps, &HIDDEN, &mut output, &mut winners);
        let from_head = [30.0, 60.0, 7.0, 8.0, 9.0, 10.0];
        readout.backward(2, &steps, &from_head, &winners, &mut gradient);
        (output, gradient)
    }

    #[test]
    fn last_takes_the_state_after_the_last_token() {
        let (output, gradient) = run(Readout::Last);
        assert_eq!(output, [3.0, 4.0, -3.0, -4.0, 0.0, 0.0]);
        assert_eq!(gradient, [0.0, 0.0, 7.0, 8.0, 0.0, 0.0, 30.0, 60.0]);
    }

    #[test]
    fn mean_shares_the_gradient_between_the_steps() {
        let (output, gradient) = run(Readout::Mean);
        assert_eq!(output, [3.0, 4.0, -3.0, -4.0, 0.0, 0.0]);
        for (found, expected) in gradient.iter().zip([10.0, 20.0, 7.0, 8.0, 10.0, 20.0, 10.0, 20.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn max_gives_the_gradient_to_the_winning_step() {
        let (output, gradient) = run(Readout::Max);
        assert_eq!(output, [5.0, 6.0, -3.0, -4.0, 0.0, 0.0]);
        assert_eq!(gradient, [0.0, 60.0, 7.0, 8.0, 30.0, 0.0, 0.0, 0.0]);
    }
}
