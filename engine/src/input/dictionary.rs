//! A vocabulary's words in a hash table, in memory of the caller's: for machines that have some.
//!
//! In flash a word is found by a search through coded blocks ([`super::vocabulary`]). Where memory is there, the words are decoded once, and
//! a word is found by its hash, and compared whole, so that the answer is the same.
//!
//! ```text
//! slots    a power of two, at least twice the words: a word's id + 1, or 0 for none; a word stands at its hash or, where that is taken, behind it
//! starts   where each word's bytes begin in the text, and where the last one's end
//! text     the words' bytes, one after the other
//! ```

use super::vocabulary::Vocabulary;

/// The table, borrowed from the memory in which [`Dictionary::build`] made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dictionary<'a> {
    slots: &'a [u32],
    starts: &'a [u32],
    text: &'a [u8],
}

/// Numbers of slots and of starts, and bytes of text.
fn sizes(vocabulary: &Vocabulary<'_>) -> (usize, usize, usize) {
    let words = vocabulary.len();
    let text = vocabulary.words().map(|word| word.as_bytes().len()).sum();
    ((2 * words).next_power_of_two(), words + 1, text)
}

impl<'a> Dictionary<'a> {
    /// Bytes of memory that [`Dictionary::build`] needs.
    pub(crate) fn bytes(vocabulary: &Vocabulary<'_>) -> usize {
        let (slots, starts, text) = sizes(vocabulary);
        size_of::<u32>() * (slots + starts) + text
    }

    /// Decodes the words into memory that starts on a multiple of 4. `None` where it is too small.
    pub(crate) fn build(vocabulary: &Vocabulary<'_>, memory: &'a mut [u8]) -> Option<Self> {
        let (slots, starts, text) = sizes(vocabulary);
        let (numbers, rest) = memory.split_at_mut_checked(size_of::<u32>() * (slots + starts))?;
        let (slots, starts) = bytemuck::try_cast_slice_mut::<u8, u32>(numbers).ok()?.split_at_mut_checked(slots)?;
        let text = rest.get_mut(..text)?;
        slots.fill(0);
        let mut end = 0;
        for (id, word) in vocabulary.words().enumerate() {
            let word = word.as_bytes();
            *starts.get_mut(id)? = end as u32;
            text.get_mut(end..end + word.len())?.copy_from_slice(word);
            end += word.len();
            let mut slot = hash(word) as usize & (slots.len() - 1);
            // There are twice as many slots as words, so that one is empty.
            while *slots.get(slot)? != 0 {
                slot = (slot + 1) & (slots.len() - 1);
            }
            *slots.get_mut(slot)? = id as u32 + 1;
        }
        *starts.last_mut()? = end as u32;
        Some(Dictionary { slots, starts, text })
    }

    /// The id of a word.
    #[inline]
    pub(crate) fn id(&self, word: &[u8]) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash(word) as usize & mask;
        loop {
            let id = self.slots.get(slot)?.checked_sub(1)?;
            if self.word(id as usize)? == word {
                return Some(id);
            }
            slot = (slot + 1) & mask;
        }
    }

    #[inline]
    fn word(&self, id: usize) -> Option<&'a [u8]> {
        let (&start, &end) = (self.starts.get(id)?, self.starts.get(id + 1)?);
        self.text.get(start as usize..end as usize)
    }
}

/// FNV-1a with 32 bits, and its upper half folded into the lower.
#[inline]
fn hash(word: &[u8]) -> u32 {
    let hash = word.iter().fold(0x811C_9DC5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash ^ (hash >> 16)
}
