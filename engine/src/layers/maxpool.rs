//! The largest value of each feature over a window of frames: `y = max x_{t−P+1} … x_t`.
//!
//! The first answer comes when the window is full, at the P-th frame, and from there on one at each S-th; the layers behind step only then. This is what Keras computes with
//! `MaxPooling1D(P, strides=S)`. Of integers it is the largest of the values in Q0.15, whose range stays that of the layer before.
//!
//! State: frames so far (32 bits: see [`MaxPool::step`]); the largest values of each window that is open, of which there are ⌈P / S⌉; then y, which the layers behind read.

use serde::{Deserialize, Serialize};

use super::conv1d::{MAX_FRAMES, MAX_STRIDE};
use super::pooling::Steps;
use super::{MAX_WIDTH, Place};
use crate::error::problem;
use crate::image::reader::Fields;
use crate::kernels::Backend;
use crate::memory::Memory;
use crate::numbers::{Precision, Values};

/// Shape of a largest value over frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct MaxPool {
    /// Features of a frame, and of an answer.
    pub width: u16,
    /// Frames of a window, P.
    pub frames: u8,
    /// Frames from one answer to the next, S.
    pub stride: u8,
}

impl MaxPool {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        MaxPool { width: fields.u16(), frames: fields.byte(), stride: fields.byte() }
    }

    pub(crate) const fn check(&self) -> Result<(), &'static str> {
        if self.frames == 0 || self.frames > MAX_FRAMES || self.stride == 0 || self.stride > MAX_STRIDE {
            return Err(problem!("a largest value over frames has a window of 1 to 64 frames and a stride of 1 to 64"));
        }
        if self.width == 0 || self.width > MAX_WIDTH {
            return Err(problem!("it has no inputs, or more than this engine reads"));
        }
        Ok(())
    }

    /// Windows that are open at once.
    const fn windows(&self) -> usize {
        (self.frames as usize).div_ceil(if self.stride == 0 { 1 } else { self.stride as usize })
    }

    /// Frames after which the place of a window is that of another one.
    const fn period(&self) -> u32 {
        self.windows() as u32 * self.stride as u32
    }

    /// Frames in front of its first answer, and those from one answer to the next.
    pub(crate) const fn rhythm(&self) -> (u32, u32) {
        ((self.frames as u32).saturating_sub(1), self.stride as u32)
    }

    /// Bytes of the state in front of its values, and those of its values.
    pub(crate) const fn state(&self, precision: Precision) -> (usize, usize) {
        let values = precision.values_bytes(self.width as usize);
        (size_of::<u32>() + self.windows() * values, values)
    }

    /// True when its state could be one of a stream.
    pub(crate) fn is_sound(&self, mut memory: Memory<'_>) -> bool {
        let [count] = memory.take::<u32>(1) else { return false };
        *count < u32::from(self.frames) + self.period()
    }

    /// True where the words of a state, as they may lie in an image, are not those before an answer, nor those of a stream that has no answer yet.
    pub(crate) fn waits(&self, state: &[u32]) -> bool {
        let (frames, stride) = (u32::from(self.frames), u32::from(self.stride));
        state.first().is_none_or(|&count| {
            count >= frames && (count >= frames + self.period() || !(count + 1 - frames).is_multiple_of(stride))
        })
    }

    /// One step: the frame goes into all windows that are open. Gives the largest values of the one that is full; `None` where none is.
    ///
    /// ```text
    /// n: frames before this one, which goes around P … P + ⌈P/S⌉·S − 1       window j: frames j·S … j·S + P − 1, and those ⌈P/S⌉·S later
    /// ```
    #[inline(never)]
    pub(crate) fn step<'s, N: Steps, B: Backend>(
        &self,
        backend: B,
        x: Values<'_, N>,
        place: &mut Place<'s, '_>,
    ) -> Option<&'s [N::Value]> {
        let (width, frames) = (usize::from(self.width), u32::from(self.frames));
        // Each window begins on a multiple of 4 bytes.
        let padded = N::PRECISION.values_bytes(width) / size_of::<N::Value>();
        let [count] = place.memory.take::<u32>(1) else { return None };
        let windows: &mut [N::Value] = place.memory.take(padded * self.windows());
        let out: &mut [N::Value] = place.memory.take(width);
        let mut scratch = place.scratch.rest();
        let x = super::hidden(backend, x, &mut scratch).get(..width)?;
        let (mut begin, mut is_full) = (0, false);
        for window in windows.chunks_exact_mut(padded) {
            // At the beginning of a stream a window may lie ahead.
            let Some(mut since) = count.checked_sub(begin) else { break };
            if since >= self.period() {
                since -= self.period();
            }
            begin += u32::from(self.stride);
            let Some(largest) = window.get_mut(..width) else { break };
            if since == 0 {
                largest.iter_mut().zip(x).for_each(|(largest, x)| *largest = *x);
            } else if since < frames {
                N::max(backend, largest, x);
            }
            if since + 1 == frames {
                out.iter_mut().zip(&*largest).for_each(|(out, largest)| *out = *largest);
                is_full = true;
            }
        }
        *count = count.saturating_add(1);
        if *count == frames {
            // To the layers behind, the first answer is the first step of the stream.
            place.steps = place.start.begin();
        }
        if *count >= frames + self.period() {
            *count = frames;
        }
        is_full.then_some(out)
    }
}
