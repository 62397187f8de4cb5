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

/// The table, borrowed from the memory in which [`Dictionary::build`] made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dictionary<'a> {
    slots: &'a [u32],
    starts: &'a [u32],
    text: &'a [u8],
    /// Where hashes begin.
    seed: u32,
}

/// Numbers of slots and of starts.
fn sizes(words: usize) -> (usize, usize) {
    ((2 * words).next_power_of_two(), words + 1)
}

/// The most slots that a word may be away from its hash. With as many slots as there are, words of equal hash come to more, which a vocabulary
/// can be made to have; another seed parts them.
const MOST_AWAY: usize = 64;

/// Seeds that are tried.
const SEEDS: [u32; 4] = [0x811C_9DC5, 0x9E37_79B9, 0x85EB_CA6B, 0xC2B2_AE35];

impl<'a> Dictionary<'a> {
    /// Bytes of memory that [`Dictionary::build`] needs for so many words with so many bytes of text.
    pub(crate) fn bytes(words: usize, text: usize) -> usize {
        let (slots, starts) = sizes(words);
        size_of::<u32>() * (slots + starts) + text
    }

    /// Decodes the words into memory that starts on a multiple of 4. `None` where it is too small; `Some(None)` where the words cannot be told apart by hashes,
    /// and are to be found in place.
    pub(crate) fn build<W: AsRef<[u8]>, I: Iterator<Item = W>>(
        count: usize,
        words: impl Fn() -> I,
        memory: &'a mut [u8],
    ) -> Option<Option<Self>> {
        let (slots, starts) = sizes(count);
        let (numbers, text) = memory.split_at_mut_checked(size_of::<u32>() * (slots + starts))?;
        let (slots, starts) = bytemuck::try_cast_slice_mut::<u8, u32>(numbers).ok()?.split_at_mut_checked(slots)?;
        let mut end = 0;
        for (id, word) in words().enumerate() {
            let word = word.as_ref();
            *starts.get_mut(id)? = end as u32;
            text.get_mut(end..end + word.len())?.copy_from_slice(word);
            end += word.len();
        }
        *starts.last_mut()? = end as u32;
        let text = text.get(..end)?;
        let seed = SEEDS.into_iter().find(|&seed| fill(slots, starts, text, seed).is_some());
        Some(seed.map(|seed| Dictionary { slots, starts, text, seed }))
    }

    /// The id of a word.
    #[inline]
    pub(crate) fn id(&self, word: &[u8]) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash(word, self.seed) as usize & mask;
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

/// Puts every word where its hash says. `None` where one would come too far away.
fn fill(slots: &mut [u32], starts: &[u32], text: &[u8], seed: u32) -> Option<()> {
    slots.fill(0);
    for (id, bounds) in starts.windows(2).enumerate() {
        let word = text.get(bounds[0] as usize..bounds[1] as usize)?;
        let mut slot = hash(word, seed) as usize & (slots.len() - 1);
        let mut away = 0;
        // There are twice as many slots as words, so that one is empty.
        while *slots.get(slot)? != 0 {
            slot = (slot + 1) & (slots.len() - 1);
            away += 1;
            if away > MOST_AWAY {
                return None;
            }
        }
        *slots.get_mut(slot)? = id as u32 + 1;
    }
    Some(())
}

/// FNV-1a with 32 bits from a seed, and its upper half folded into the lower.
#[inline]
fn hash(word: &[u8], seed: u32) -> u32 {
    let hash = word.iter().fold(seed, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::collections::{BTreeSet, HashMap};
    use std::vec::Vec;

    /// FNV's prime, and the number that undoes a multiplication with it.
    const PRIME: u32 = 0x0100_0193;
    const INVERSE: u32 = 0x359C_449B;

    /// All words of four letters.
    fn blocks() -> impl Iterator<Item = [u8; 4]> {
        (0..26_u32.pow(4)).map(|number| [17_576, 676, 26, 1].map(|place| b'a' + (number / place % 26) as u8))
    }

    /// Words of eight letters that all lead from the state `from` to the state `to`: halves that meet in the middle.
    fn between(from: u32, to: u32) -> Vec<Vec<u8>> {
        let forwards =
            |block: [u8; 4]| block.iter().fold(from, |state, &byte| (state ^ u32::from(byte)).wrapping_mul(PRIME));
        let back =
            |block: [u8; 4]| block.iter().rev().fold(to, |state, &byte| state.wrapping_mul(INVERSE) ^ u32::from(byte));
        let halves: HashMap<u32, [u8; 4]> = blocks().map(|block| (forwards(block), block)).collect();
        blocks().filter_map(|second| Some([halves.get(&back(second))?.as_slice(), &second].concat())).collect()
    }

    #[test]
    fn twenty_thousand_words_of_equal_hash_stand_near_their_slots_and_are_found() {
        assert_eq!(PRIME.wrapping_mul(INVERSE), 1);
        let states = [SEEDS[0], 0x1234_5678, 0x0BAD_CAFE, 0x5EED_5EED];
        let parts: Vec<Vec<Vec<u8>>> = states.windows(2).map(|pair| between(pair[0], pair[1])).collect();
        let (first, second, third) = (&parts[0], &parts[1], &parts[2]);
        let mut words = BTreeSet::new();
        for (a, b) in first.iter().flat_map(|a| second.iter().map(move |b| (a, b))) {
            words.extend(third.iter().map(|c| [a.as_slice(), b, c].concat()));
        }
        let words: Vec<Vec<u8>> = words.into_iter().take(20_000).collect();
        assert_eq!(words.len(), 20_000);
        assert!(words.iter().all(|word| hash(word, SEEDS[0]) == hash(&words[0], SEEDS[0])));

        let text = words.iter().map(Vec::len).sum();
        let mut memory = std::vec![0_u32; Dictionary::bytes(words.len(), text).div_ceil(4)];
        let memory = &mut bytemuck::cast_slice_mut(&mut memory)[..Dictionary::bytes(words.len(), text)];
        let dictionary = Dictionary::build(words.len(), || words.iter(), memory).expect("there is room");
        let dictionary = dictionary.expect("another seed parts the words");
        assert_ne!(dictionary.seed, SEEDS[0]);
        let mask = dictionary.slots.len() - 1;
        let mut slots = std::vec![0; words.len()];
        for (slot, &id) in dictionary.slots.iter().enumerate().filter(|&(_, &id)| id != 0) {
            slots[id as usize - 1] = slot;
        }
        for (id, word) in words.iter().enumerate() {
            assert_eq!(dictionary.id(word), Some(id as u32));
            let away = slots[id].wrapping_sub(hash(word, dictionary.seed) as usize) & mask;
            assert!(away <= MOST_AWAY, "word {id} is {away} slots away from its hash");
        }
        assert_eq!(dictionary.id(b"nobody"), None);
    }
}
