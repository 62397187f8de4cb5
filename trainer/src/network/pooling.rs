//! Pooling: from all steps of a sequence to one vector.
//!
//! ```text
//! attention    r = Σ a_t·h_t / Σ a_t with a_t = e^(4·s_t), s_t = h_t[0] held to [-1, 1]
//!              dh_t = a_t·dr / Σ a,   dh_t[0] += 4·a_t·(dr·(h_t - r)) / Σ a where s_t = h_t[0]
//! ```
//!
//! A sequence without tokens has the zero vector.

pub mod integers;

use super::steps::Steps;
use crate::config::chain::Pooling;
use crate::real::{Real, add};

/// How fast a weight of [`Pooling::Attention`] grows: the 4 of `e^(4·h)`.
const RATE: f64 = 4.0;

/// What a pooling's backward pass needs of its forward pass besides the hidden states.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape<T> {
    /// For [`Pooling::Max`]: the step at which each value was met (units × sequences).
    winners: Vec<u32>,
    /// For [`Pooling::Attention`]: the share of each step (one a token).
    shares: Vec<T>,
}

impl Pooling {
    /// Writes the vector of every sequence into `output` (units × sequences) from `hidden` (units × tokens). A step in front, which has a state and no token, is the last of a
    /// sequence without tokens, and no other pooling takes it in.
    pub(crate) fn forward<T: Real>(
        self,
        units: usize,
        steps: &Steps,
        hidden: &[T],
        output: &mut Vec<T>,
        tape: &mut Tape<T>,
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
                for step in steps.lead..steps.len() {
                    let columns = steps.columns(step);
                    add(output, &hidden[columns.start * units..columns.end * units]);
                }
                for (output, &length) in output.chunks_exact_mut(units).zip(steps.lengths()) {
                    let share = T::one() / T::of(length.saturating_sub(steps.lead).max(1) as f64);
                    output.iter_mut().for_each(|value| *value *= share);
                }
            }
            Self::Attention => {
                let weights = &mut tape.shares;
                weights.clear();
                weights.extend(hidden.chunks_exact(units).map(|h| h[0].attention_weight()));
                let mut totals = vec![T::zero(); steps.sequences()];
                for step in steps.lead..steps.len() {
                    add(&mut totals, &weights[steps.columns(step)]);
                }
                for step in steps.lead..steps.len() {
                    let columns = steps.columns(step);
                    let hidden = hidden[columns.start * units..].chunks_exact(units);
                    let outputs = output.chunks_exact_mut(units).zip(&totals);
                    for ((weight, hidden), (output, &total)) in weights[columns].iter_mut().zip(hidden).zip(outputs) {
                        *weight /= total;
                        output.iter_mut().zip(hidden).for_each(|(output, &h)| *output += *weight * h);
                    }
                }
            }
            Self::Max => {
                let winners = &mut tape.winners;
                winners.clear();
                winners.resize(units * steps.sequences(), steps.lead as u32);
                for step in steps.lead..steps.len() {
                    let columns = steps.columns(step);
                    let hidden = &hidden[columns.start * units..columns.end * units];
                    if step == steps.lead {
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

    /// Writes dL/dh of every token into `hidden_gradient` (units × tokens) from `gradient`, dL/doutput (units × sequences), and from the hidden states
    /// and the tape of the forward pass.
    pub(crate) fn backward<T: Real>(
        self,
        units: usize,
        steps: &Steps,
        gradient: &[T],
        (hidden, tape): (&[T], &Tape<T>),
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
            Self::Attention => {
                let rate = T::of(RATE);
                // dr·h_t, and its mean dr·r: from the gradient, for what the head saw may have lost some features to dropout.
                let along = |sequence: usize, token: usize| {
                    let pairs = gradient[sequence * units..][..units].iter().zip(&hidden[token * units..]);
                    pairs.fold(T::zero(), |sum, (&g, &h)| sum + g * h)
                };
                let mut means = vec![T::zero(); steps.sequences()];
                for step in 0..steps.len() {
                    for (sequence, token) in steps.columns(step).enumerate() {
                        means[sequence] += tape.shares[token] * along(sequence, token);
                    }
                }
                for step in 0..steps.len() {
                    for (sequence, token) in steps.columns(step).enumerate() {
                        let weight = tape.shares[token];
                        let target = &mut hidden_gradient[token * units..][..units];
                        for (target, &g) in target.iter_mut().zip(&gradient[sequence * units..]) {
                            *target = weight * g;
                        }
                        if hidden[token * units].abs() <= T::one() {
                            target[0] += rate * weight * (along(sequence, token) - means[sequence]);
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
                        let token = steps.token(tape.winners[place] as usize, sequence);
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

    fn run(pooling: Pooling) -> (Vec<f64>, Vec<f64>) {
        run_on(pooling, &HIDDEN)
    }

    fn run_on(pooling: Pooling, hidden: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let sequences: [&[u32]; 3] = [&[0, 0, 0], &[0], &[]];
        let mut steps = Steps::default();
        steps.gather(&[0, 1, 2], |index| sequences[index]);
        let (mut output, mut tape, mut gradient) = (Vec::new(), Tape::default(), Vec::new());
        pooling.forward(2, &steps, hidden, &mut output, &mut tape);
        let from_head = [30.0, 60.0, 7.0, 8.0, 9.0, 10.0];
        pooling.backward(2, &steps, &from_head, (hidden, &tape), &mut gradient);
        (output, gradient)
    }

    #[test]
    fn last_takes_the_state_after_the_last_token() {
        let (output, gradient) = run(Pooling::Last);
        assert_eq!(output, [3.0, 4.0, -3.0, -4.0, 0.0, 0.0]);
        assert_eq!(gradient, [0.0, 0.0, 7.0, 8.0, 0.0, 0.0, 30.0, 60.0]);
    }

    #[test]
    fn mean_shares_the_gradient_between_the_steps() {
        let (output, gradient) = run(Pooling::Mean);
        assert_eq!(output, [3.0, 4.0, -3.0, -4.0, 0.0, 0.0]);
        for (found, expected) in gradient.iter().zip([10.0, 20.0, 7.0, 8.0, 10.0, 20.0, 10.0, 20.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn attention_weighs_the_steps_by_their_first_feature() {
        let (output, gradient) = run_on(Pooling::Attention, &HIDDEN.map(|h| h / 8.0));
        // e^(4·(1 - 5)/8) and e^(4·(3 - 5)/8) beside 1, of the first feature's 1/8, 5/8 and 3/8.
        let weights = [(-2.0_f64).exp(), 1.0, (-1.0_f64).exp()];
        let total: f64 = weights.iter().sum();
        let [a, b, c] = weights.map(|weight| weight / total);
        let expected =
            [a * 1.0 + b * 5.0 + c * 3.0, a * 6.0 + b * 2.0 + c * 4.0, -3.0, -4.0, 0.0, 0.0].map(|r| r / 8.0);
        output.iter().zip(expected).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-12));
        // A sequence of one token has its hidden state, whatever its weight.
        assert_eq!(gradient[2..4], [7.0, 8.0]);
        assert!((gradient[1] - a * 60.0).abs() < 1e-12 && (gradient[5] - b * 60.0).abs() < 1e-12);
    }

    #[test]
    fn attention_weighs_what_is_beyond_one_as_one_and_turns_no_gradient_to_it() {
        let (output, gradient) = run(Pooling::Attention);
        // The first feature of the first sequence is 1, 5 and 3: three times the weight of 1.
        output[..2].iter().zip([3.0, 4.0]).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-12));
        // dr·(h_t - r) = 30·(1 - 3) + 60·(6 - 4) = 60 of the first step.
        for (place, expected) in [(0, 10.0 + 4.0 * 60.0 / 3.0), (4, 10.0), (6, 10.0), (1, 20.0), (5, 20.0), (7, 20.0)] {
            assert!((gradient[place] - expected).abs() < 1e-12, "{place}: {gradient:?}");
        }
    }

    #[test]
    fn max_gives_the_gradient_to_the_winning_step() {
        let (output, gradient) = run(Pooling::Max);
        assert_eq!(output, [5.0, 6.0, -3.0, -4.0, 0.0, 0.0]);
        assert_eq!(gradient, [0.0, 60.0, 7.0, 8.0, 30.0, 0.0, 0.0, 0.0]);
    }
}
