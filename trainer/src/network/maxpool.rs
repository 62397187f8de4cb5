//! The largest value of each feature over a window of steps, forward and backward over all steps of a shard.
//!
//! ```text
//! y_t = max(x_{t-P+1}, …, x_t)        at the steps P-1, P-1+S, P-1+2S …        dL/dx: at the first step of a window that has its largest value
//! ```
//!
//! This is Keras's `MaxPooling1D(P, strides=S)`. Of the engine's integers it is the same, so that there is no other forward pass for them.

use super::conv1d::Between;
use crate::config::chain::rhythm::Rhythm;
use crate::real::Real;

/// A largest value over steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Steps of a window, P.
    pub frames: usize,
    /// Steps from one answer to the next, S.
    pub stride: usize,
}

impl MaxPool {
    /// At which of the steps below it answers.
    pub(crate) fn rhythm(self) -> Rhythm {
        Rhythm::of_window(self.frames, self.stride)
    }

    /// Writes the largest values (features × columns above) of `input` (features × columns below), and the column below of each to `winners`.
    pub(crate) fn forward<T: Real>(
        self,
        features: usize,
        steps: Between<'_>,
        input: &[T],
        (output, winners): (&mut Vec<T>, &mut Vec<usize>),
    ) {
        output.clear();
        output.resize(features * steps.above.tokens(), T::zero());
        winners.clear();
        winners.resize(output.len(), usize::MAX);
        steps.each_frame(self.frames, self.rhythm(), |above, _, below| {
            let to = features * above..features * (above + 1);
            let values = output[to.clone()].iter_mut().zip(&mut winners[to]);
            for ((largest, winner), &value) in values.zip(&input[features * below..][..features]) {
                if *winner == usize::MAX || value > *largest {
                    (*largest, *winner) = (value, below);
                }
            }
        });
    }

    /// Replaces `below` (features × columns below) with dL/dinput, from dL/doutput.
    pub(crate) fn backward<T: Real>(
        self,
        features: usize,
        steps: Between<'_>,
        gradient: &[T],
        winners: &[usize],
        below: &mut Vec<T>,
    ) {
        below.clear();
        below.resize(features * steps.below.tokens(), T::zero());
        for (number, (&gradient, &winner)) in gradient.iter().zip(winners).enumerate() {
            if winner != usize::MAX {
                below[features * winner + number % features] += gradient;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::steps::Steps;

    #[test]
    fn each_window_has_its_largest_values_and_hands_its_gradient_to_the_first_of_them() {
        let layer = MaxPool { frames: 3, stride: 2 };
        let sequences: [&[u32]; 2] = [&[0; 6], &[0; 2]];
        let (mut below, mut above) = (Steps::default(), Steps::default());
        below.gather(&[0, 1], |index| sequences[index]);
        above.every(&below, layer.rhythm());
        assert_eq!((above.tokens(), above.lengths()), (2, &[2, 0][..]));
        // Two features of six steps, and of two: time-major.
        let long = [[1.0, -1.0], [5.0, -3.0], [5.0, -2.0], [0.0, -9.0], [4.0, -1.5], [9.0, 9.0]];
        let mut input = Vec::new();
        for (step, values) in long.iter().enumerate() {
            input.extend(values);
            if step < 2 {
                input.extend([100.0, 100.0]);
            }
        }
        let between = Between { below: &below, above: &above };
        let (mut output, mut winners, mut back) = (Vec::new(), Vec::new(), Vec::new());
        layer.forward(2, between, &input, (&mut output, &mut winners));
        assert_eq!(output, [5.0, -1.0, 5.0, -1.5]);
        layer.backward(2, between, &[1.0, 2.0, 4.0, 8.0], &winners, &mut back);
        let mut expected = vec![0.0; input.len()];
        for (step, feature, value) in [(1, 0, 1.0), (0, 1, 2.0), (2, 0, 4.0), (4, 1, 8.0)] {
            expected[2 * below.token(step, 0) + feature] = value;
        }
        assert_eq!(back, expected);
    }
}
