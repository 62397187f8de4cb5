//! The start state: what a stream of an image remembers before its first step, behind a fixed prefix or as it was learned.
//!
//! ```text
//! what of a state lies behind its header (see [`crate::state`]), up to pooling: history of samples, the kept row, the states of the layers
//! ```
//!
//! Pooling, n-grams and the tokenizer begin with nothing: an answer is about the stream alone.

use super::role::Role;
use super::section::SectionShape;
use crate::error::problem;
use crate::features::{Part, START};
use crate::numbers::Precision;

/// Most steps of a prefix.
pub const MAX_STEPS: u32 = 1 << 24;

/// The largest magnitude of a float in a start state, behind the history of samples: far from an infinity in any sum of a layer, whose weights are bounded for values in
/// [-1, 1].
const MOST: f32 = 16_777_216.0;

/// Whether an image has a start state, and the steps of the prefix that it is the state behind: 0 of a state that was learned. Then, of samples, the first frame of a stream
/// stands for those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start(Part<u32, { START as usize }>);

impl Start {
    /// None: a stream begins with nothing.
    pub const NONE: Self = Start(Part::NONE);

    /// The state behind so many steps; that of a build without the feature `start` is none.
    pub const fn behind(steps: u32) -> Self {
        Start(Part::of(steps))
    }

    /// The steps of its prefix; `None` where there is no start state.
    #[inline(always)]
    pub const fn steps(&self) -> Option<u32> {
        self.0.copied()
    }

    /// The steps with which a stream begins.
    #[inline(always)]
    pub(crate) const fn begin(&self) -> u32 {
        match self.steps() {
            Some(steps) => steps,
            None => 0,
        }
    }

    pub(crate) const fn check(&self) -> Result<(), &'static str> {
        if self.begin() > MAX_STEPS {
            return Err(problem!("the prefix of its start state has more than 2^24 steps"));
        }
        Ok(())
    }

    /// Its section, of so many bytes.
    pub(crate) const fn section(precision: Precision, bytes: usize) -> SectionShape {
        SectionShape::new(Role::Start, precision.sum(), bytes / size_of::<u32>(), 1)
    }
}

/// True of words of a layer's state from which no sum can become an infinity. Integers saturate, whatever they are.
pub(crate) fn are_moderate(precision: Precision, words: &[u32]) -> bool {
    precision.is_integer() || words.iter().all(|&word| word & (u32::MAX >> 1) <= MOST.to_bits())
}
