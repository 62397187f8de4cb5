//! When a layer answers: at the first of the steps that it reads, or some steps later, and each so many steps behind that.

/// At which of the steps that it reads a layer answers, or some layers in a row: `first`, `first + stride`, `first + 2·stride` …, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Steps without an answer at the beginning of a sequence.
    pub first: usize,
    /// Steps from one answer to the next, at least 1.
    pub stride: usize,
}

impl Rhythm {
    /// An answer at each step.
    pub const EACH: Self = Rhythm { first: 0, stride: 1 };

    /// A window of so many frames that is moved by the stride, and answers when it is full.
    pub fn of_window(frames: usize, stride: usize) -> Self {
        Rhythm { first: frames.saturating_sub(1), stride }
    }

    /// True where each step has an answer.
    pub fn is_each(self) -> bool {
        self == Self::EACH
    }

    /// That of this layer and another one that reads its answers.
    ///
    /// ```text
    /// first = first₁ + first₂·stride₁        stride = stride₁·stride₂
    /// ```
    pub fn then(self, behind: Self) -> Self {
        Rhythm {
            first: self.first.saturating_add(behind.first.saturating_mul(self.stride)),
            stride: self.stride.saturating_mul(behind.stride),
        }
    }

    /// The step below of an answer.
    pub fn below(self, answer: usize) -> usize {
        self.first + answer * self.stride
    }

    /// The newest answer at a step below; none before the first.
    pub fn above(self, step: usize) -> Option<usize> {
        Some(step.checked_sub(self.first)? / self.stride)
    }

    /// The answers of so many steps.
    pub fn answers(self, steps: usize) -> usize {
        steps.saturating_sub(self.first).div_ceil(self.stride)
    }
}

impl std::iter::FromIterator<Rhythm> for Rhythm {
    /// That of layers in a row, the lowest first.
    fn from_iter<I: IntoIterator<Item = Rhythm>>(layers: I) -> Self {
        layers.into_iter().fold(Self::EACH, Rhythm::then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_in_a_row_answer_where_the_upper_one_has_an_answer_of_the_lower() {
        for (lower, upper) in [((2, 3), (1, 2)), ((0, 2), (3, 1)), ((4, 1), (2, 5)), ((0, 1), (0, 1))] {
            let [lower, upper] = [lower, upper].map(|(first, stride)| Rhythm { first, stride });
            let both: Rhythm = [lower, upper].into_iter().collect();
            for steps in 0..40 {
                let answers: Vec<usize> = (0..lower.answers(steps)).map(|answer| lower.below(answer)).collect();
                let expected: Vec<usize> =
                    (0..upper.answers(answers.len())).map(|answer| answers[upper.below(answer)]).collect();
                let found: Vec<usize> = (0..both.answers(steps)).map(|answer| both.below(answer)).collect();
                assert_eq!(found, expected, "{lower:?} {upper:?} {steps}");
                // The newest answer holds until the next.
                let newest = expected.iter().rposition(|&step| step < steps);
                assert_eq!(steps.checked_sub(1).and_then(|step| both.above(step)), newest);
            }
        }
    }
}
