//! Pooling forward in the engine's integers, for quantization-aware training.
//!
//! ```text
//! mean         ⌊Σ h / T⌉
//! attention    ⌊Σ (w·h + 2^11 >> 12)·2^12 / Σ w⌉,  w = ⌊2^16·e^(4·(h[0] - 1))⌉
//! ```
//!
//! Every number here is the engine's: features are Q0.15, and where a sequence is so long that the engine halves its sums, these are halved too. The last
//! step and the maximum choose numbers and are those of floats.

use super::Tape;
use crate::config::chain::Pooling;
use crate::network::steps::Steps;
use crate::real::Real;
use latch_engine::layers::attention::{add_weight, add_weighted, attention_weight, quotient};

/// Steps after which the engine halves the sums of a mean.
const MEAN_STEPS: i32 = 65_535;

impl Pooling {
    /// As [`Pooling::forward`], of `hidden` in Q0.15 as numbers.
    ///
    /// All features have one worth wherever a pooling weighs them: the layer before is recurrent or dense. So the way back of attention holds in
    /// these units as in any other.
    pub(crate) fn forward_integers<T: Real>(
        self,
        units: usize,
        steps: &Steps,
        hidden: &[T],
        output: &mut Vec<T>,
        tape: &mut Tape<T>,
    ) {
        if matches!(self, Self::Last | Self::Max) {
            return self.forward(units, steps, hidden, output, tape);
        }
        output.clear();
        tape.shares.clear();
        tape.shares.resize(steps.tokens(), T::zero());
        let (mut sums, mut values) = (vec![0_i32; units], vec![0_i16; units]);
        for (sequence, &length) in steps.lengths().iter().enumerate() {
            let (mut total, mut count) = (0, 0);
            sums.fill(0);
            for step in 0..length {
                let token = steps.token(step, sequence);
                for (value, &h) in values.iter_mut().zip(&hidden[token * units..]) {
                    *value = (h * T::of(32_768.0)).to_integer() as i16;
                }
                if self == Self::Attention {
                    let weight = attention_weight(values[0]);
                    if add_weight(&mut total, weight) {
                        sums.iter_mut().for_each(|sum| *sum /= 2);
                    }
                    add_weighted(&mut sums, &values, weight);
                    tape.shares[token] = T::of(f64::from(weight));
                } else {
                    if count == MEAN_STEPS {
                        sums.iter_mut().for_each(|sum| *sum /= 2);
                        count /= 2;
                    }
                    count += 1;
                    sums.iter_mut().zip(&values).for_each(|(sum, &value)| *sum += i32::from(value));
                }
            }
            let unit = T::of(2_f64.powi(-15));
            output.extend(sums.iter().map(|&sum| {
                let value = if self == Self::Attention { i32::from(quotient(sum, total)) } else { mean(sum, count) };
                T::of_integer(value) * unit
            }));
            let share = T::one() / T::of(f64::from(total.max(1)));
            (0..length).for_each(|step| tape.shares[steps.token(step, sequence)] *= share);
        }
    }
}

/// `⌊sum / count⌉`, halves away from zero.
fn mean(sum: i32, count: i32) -> i32 {
    let count = count.max(1);
    (sum + if sum < 0 { -(count / 2) } else { count / 2 }) / count
}
