//! The values of a recording, shared by all pieces that are cut from it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The most channels of a recording.
pub const MAX_CHANNELS: usize = 64;

/// Values `[steps, channels]`, frame after frame; a piece of them costs no copy.
#[derive(Clone)]
pub struct Frames {
    all: Arc<[f32]>,
    channels: usize,
    start: usize,
    end: usize,
}

impl Frames {
    /// The frames of so many `channels`. Values behind the last whole frame are left out.
    #[must_use]
    pub fn new(values: Vec<f32>, channels: usize) -> Self {
        let channels = channels.max(1);
        let end = values.len() / channels;
        Self { all: values.into(), channels, start: 0, end }
    }

    /// The number of frames.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.end - self.start
    }

    /// The values of a frame.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The frames `from..to`, as far as there are so many.
    #[must_use]
    pub fn cut(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.steps());
        let from = from.min(to);
        Self { all: Arc::clone(&self.all), start: self.start + from, end: self.start + to, ..*self }
    }
}

impl Deref for Frames {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.all[self.start * self.channels..self.end * self.channels]
    }
}

impl PartialEq for Frames {
    fn eq(&self, other: &Self) -> bool {
        self.channels == other.channels && **self == **other
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.chunks_exact(self.channels)).finish()
    }
}
