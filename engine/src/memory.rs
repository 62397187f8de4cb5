//! Memory from which typed slices are cut in order: the state of a stream behind its header, and the scratch of a step.

use bytemuck::Pod;

/// Bytes that start on a multiple of 4.
#[derive(Debug, Default)]
pub(crate) struct Memory<'a>(&'a mut [u8]);

impl<'a> Memory<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Memory(bytes)
    }

    /// The memory before and behind a place.
    #[inline(always)]
    pub(crate) fn split(self, place: usize) -> (Self, Self) {
        let (before, behind) = self.0.split_at_mut_checked(place).unwrap_or_default();
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

    /// Cuts off the next `count` elements, padded to a multiple of 4 bytes. The memory of a session is long enough for all of them
    /// ([`crate::model::Model::session`] has checked that); were it not, the slice would be empty and the kernels would do nothing.
    #[inline(always)]
    pub(crate) fn take<T: Pod>(&mut self, count: usize) -> &'a mut [T] {
        let bytes = count * size_of::<T>();
        let memory = core::mem::take(&mut self.0);
        match memory.split_at_mut_checked(bytes.next_multiple_of(4)) {
            Some((head, tail)) => {
                self.0 = tail;
                head.get_mut(..bytes).and_then(|head| bytemuck::try_cast_slice_mut(head).ok()).unwrap_or_default()
            }
            None => &mut [],
        }
    }
}
