//! Memory from which typed slices are cut in order: the state of a stream behind its header, and the scratch of a step.

use bytemuck::Pod;

/// Words of 4 bytes.
#[derive(Debug, Default)]
pub(crate) struct Memory<'a>(&'a mut [u32]);

/// Bytes of a word.
const WORD: usize = size_of::<u32>();

impl<'a> Memory<'a> {
    pub(crate) fn new(words: &'a mut [u32]) -> Self {
        Memory(words)
    }

    /// The memory before and behind a place, in bytes.
    #[inline(always)]
    pub(crate) fn split(self, place: usize) -> (Self, Self) {
        let (before, behind) = self.0.split_at_mut_checked(place / WORD).unwrap_or_default();
        (Memory(before), Memory(behind))
    }

    /// All that is left, for a while.
    #[inline(always)]
    pub(crate) fn rest(&mut self) -> Memory<'_> {
        Memory(self.0)
    }

    /// All that is left, as elements.
    #[inline(always)]
    pub(crate) fn all<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::try_cast_slice_mut(self.0).unwrap_or_default()
    }

    /// Cuts off the next `count` elements, padded to whole words. The memory of a session is long enough for all of them
    /// ([`crate::model::Model::session`] has checked that); were it not, the slice would be empty and the kernels would do nothing.
    #[inline(always)]
    pub(crate) fn take<T: Pod>(&mut self, count: usize) -> &'a mut [T] {
        let words = (count * size_of::<T>()).div_ceil(WORD);
        let memory = core::mem::take(&mut self.0);
        match memory.split_at_mut_checked(words) {
            Some((head, tail)) => {
                self.0 = tail;
                let head: &mut [T] = bytemuck::try_cast_slice_mut(head).unwrap_or_default();
                if head.len() == count { head } else { head.get_mut(..count).unwrap_or_default() }
            }
            None => &mut [],
        }
    }
}
