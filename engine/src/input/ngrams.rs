//! N-grams of tokens: runs of one to a few neighbouring tokens, each with a weight of its own in a table that the image holds.
//!
//! A recurrent network of a few kilobytes reads order, but cannot know ten thousand phrases; a linear model over n-grams knows phrases, and
//! nothing else (Wang and Manning 2012). So the two add up: beside the network's logit stands
//!
//! ```text
//! contribution = Σ weight(n-gram) · multiplier / (tokens + prior)        Q15.16, over all n-grams that end at a token so far
//! weight       = code·|code|
//! ```
//!
//! The square gives the many weights near zero finer steps than the few large ones.
//!
//! The table holds neither words nor ids but hashes of tokens' bytes, so that it needs no vocabulary and knows words that the vocabulary does
//! not. It is a cuckoo table (Pagh and Rodler 2004) with three places for each n-gram (Fotakis et al. 2005), and an entry of 16 bits
//! is a key and a code, 0 where it is empty:
//!
//! ```text
//! w₀ w₁ w₂ …   hashes of the newest token and of those before it       w = FNV-1a of its bytes, from the complement of FNV's basis
//!              where tokens are syllables and this one begins a word
//! k₁ = w₀      k(n+1) = (rotl(k(n), 5) ^ w(n)) · 9E3779B1
//! f₁ = mix(k)  f(n+1) = mix(f(n) ^ 85EBCA77)       mix: the finaliser of MurmurHash3
//! places       f₁·entries >> 32,  f₂·entries >> 32,  f₃·entries >> 32
//! key          the lowest bits of f₁, 1 where they are all zero
//! entry        key << weight_bits | code in two's complement
//! ```
//!
//! An n-gram that is not in the table meets an equal key now and then, in about `3 / 2^key bits` of the cases; whoever fits the weights sees that too.

use bytemuck::{Pod, Zeroable};

use serde::{Deserialize, Serialize};

use crate::error::problem;
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Element, SectionShape};

/// Most entries of a table of n-grams.
pub const MAX_NGRAMS: u32 = 1 << 26;

/// A table of n-grams, each with a weight that is added to the logit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ngrams {
    /// Entries.
    pub entries: u32,
    /// Tokens of the longest n-gram.
    pub longest: u8,
    /// Bits of an entry that are its weight; the others, of 16, are its key.
    pub weight_bits: u8,
    /// Added to the number of tokens, by which the weights' sum is divided.
    pub prior: u16,
    /// From the sum's quotient to Q15.16.
    pub multiplier: u32,
}

impl Ngrams {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        Ngrams {
            entries: fields.u32(),
            longest: fields.byte(),
            weight_bits: fields.byte(),
            prior: fields.u16(),
            multiplier: fields.u32(),
        }
    }

    /// Checks its own numbers.
    pub(crate) const fn check(&self) -> Result<(), &'static str> {
        let (fewest, most) = (*WEIGHT_BITS.start(), *WEIGHT_BITS.end());
        if self.entries == 0
            || self.entries > MAX_NGRAMS
            || self.longest == 0
            || self.longest as usize > MAX_LONGEST
            || self.weight_bits < fewest
            || self.weight_bits > most
        {
            return Err(problem!("the table of n-grams has no entries, or more or others than this engine reads"));
        }
        Ok(())
    }

    /// Its one section.
    pub(crate) const fn section(&self) -> SectionShape {
        SectionShape::new(Role::Ngrams, Element::U16, self.entries as usize, 1)
    }
}

/// Tokens of the longest n-gram that an image may ask for.
pub const MAX_LONGEST: usize = 8;

/// Places of an n-gram.
pub const PLACES: usize = 3;

/// The fewest and the most bits of an entry that are its weight.
pub const WEIGHT_BITS: core::ops::RangeInclusive<u8> = 2..=7;

/// Tokens after which sum and count are halved, so that the sum stays inside 32 bits.
const MOST_TOKENS: u32 = 1 << 15;

/// The hash of a token: FNV-1a with 32 bits over its bytes. A syllable that begins a word has another one than the same syllable inside it.
pub fn token_hash(bytes: &[u8], begins: bool) -> u32 {
    let basis = if begins { !0x811C_9DC5 } else { 0x811C_9DC5 };
    bytes.iter().fold(basis, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The running key of an n-gram, lengthened by the token before it.
pub const fn lengthen(key: u32, before: u32) -> u32 {
    (key.rotate_left(5) ^ before).wrapping_mul(0x9E37_79B1)
}

/// Where an n-gram may stand, and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Numbers of entries; some may be the same.
    pub entries: [u32; PLACES],
    /// Its key, never 0.
    pub key: u16,
}

impl Place {
    /// The place of a running key in a table of so many entries, which have weights of `weight_bits` bits.
    pub const fn of(key: u32, entries: u32, weight_bits: u8) -> Self {
        let f = mix(key);
        let g = mix(f ^ 0x85EB_CA77);
        let h = mix(g ^ 0x85EB_CA77);
        let low = f & ((1 << (16 - weight_bits)) - 1);
        Place {
            entries: [share(f, entries), share(g, entries), share(h, entries)],
            key: if low == 0 { 1 } else { low as u16 },
        }
    }
}

/// A hash as a number below `entries`.
pub(super) const fn share(hash: u32, entries: u32) -> u32 {
    ((hash as u64 * entries as u64) >> 32) as u32
}

/// The finaliser of MurmurHash3.
pub(super) const fn mix(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xC2B2_AE35);
    hash ^ (hash >> 16)
}

/// The table, as it lies in the image.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    shape: Ngrams,
    entries: &'a [u16],
}

impl<'a> Table<'a> {
    /// A table over its entries. `None` for a shape that no image has.
    pub fn new(shape: Ngrams, entries: &'a [u16]) -> Option<Self> {
        shape.check().ok().map(|()| Table { shape, entries })
    }

    /// Its shape.
    pub fn shape(&self) -> &Ngrams {
        &self.shape
    }

    /// The number of the entry in which an n-gram is found, its first place first; `None` where it is in none.
    pub fn find(&self, key: u32) -> Option<usize> {
        let bits = self.shape.weight_bits;
        let place = Place::of(key, self.shape.entries, bits);
        let is_it = |&entry: &usize| self.entries.get(entry).is_some_and(|&entry| entry >> bits == place.key);
        place.entries.into_iter().map(|entry| entry as usize).find(is_it)
    }

    /// The weight of an n-gram; 0 where the table does not have it.
    #[inline]
    fn weight(&self, key: u32) -> i32 {
        let unused = 32 - u32::from(self.shape.weight_bits);
        let entry = self.find(key).and_then(|slot| self.entries.get(slot));
        let code = entry.map_or(0, |&entry| ((u32::from(entry) << unused) as i32) >> unused);
        code * code.abs()
    }
}

/// What a stream remembers of its n-grams; all zero is the beginning of a text.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Sum {
    /// The weights' sum.
    sum: i32,
    /// Tokens in it.
    count: u32,
}

impl Sum {
    /// One token more. `history` has the hashes of the tokens before it, the newest first: as many as the longest n-gram has, less one.
    pub(crate) fn push(&mut self, table: &Table<'_>, history: &mut [u32], hash: u32) {
        if self.count >= MOST_TOKENS {
            self.sum /= 2;
            self.count /= 2;
        }
        let mut key = hash;
        self.sum += table.weight(key);
        for &before in history.iter().take(self.count as usize) {
            key = lengthen(key, before);
            self.sum += table.weight(key);
        }
        self.count += 1;
        if let Some(last) = history.len().checked_sub(1) {
            history.copy_within(..last, 1);
            history[0] = hash;
        }
    }

    /// What is added to the logit, in Q15.16; a half is rounded away from zero.
    pub(crate) fn contribution(&self, shape: &Ngrams) -> i64 {
        let tokens = i64::from(self.count) + i64::from(shape.prior);
        let scaled = i64::from(self.sum) * i64::from(shape.multiplier);
        let half = if scaled < 0 { -(tokens / 2) } else { tokens / 2 };
        (scaled + half).checked_div(tokens).unwrap_or(0)
    }

    /// True when the fields could have come from a stream over this table.
    pub(crate) fn is_valid(&self, shape: &Ngrams) -> bool {
        let most = (u64::from(self.count) * u64::from(shape.longest)) << (2 * (shape.weight_bits - 1));
        self.count <= MOST_TOKENS && u64::from(self.sum.unsigned_abs()) <= most
    }
}

/// Bytes of a stream's state that n-grams of up to `longest` tokens take; 0 for none.
pub const fn stream_bytes(longest: u8) -> usize {
    if longest == 0 { 0 } else { size_of::<Sum>() + 4 * (longest as usize - 1) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn shape() -> Ngrams {
        Ngrams { entries: 200, longest: 3, weight_bits: 6, prior: 10, multiplier: 3 << 16 }
    }

    /// A table that holds each key in its first place that is free.
    fn table(weights: &[(u32, i16)]) -> Vec<u16> {
        let shape = shape();
        let mut entries = vec![0_u16; shape.entries as usize];
        for &(key, weight) in weights {
            let place = Place::of(key, shape.entries, shape.weight_bits);
            let free = place.entries.into_iter().find(|&entry| entries[entry as usize] == 0).expect("a place is free");
            entries[free as usize] = place.key << shape.weight_bits | (weight as u16 & 0x3F);
        }
        entries
    }

    #[test]
    fn the_sum_is_that_of_the_weights_of_all_ngrams_that_end_at_a_token() {
        let [not, a, good] = ["not", "a", "good"].map(|word| token_hash(word.as_bytes(), false));
        let pair = lengthen(good, a);
        let entries = table(&[(good, 31), (pair, -3), (lengthen(pair, not), -32), (lengthen(a, good), 7)]);
        let table = Table::new(shape(), &entries).expect("the shape is sound");
        let (mut sum, mut history) = (Sum::zeroed(), [0; 2]);
        for (token, expected) in [(not, 0), (a, 0), (good, 961 - 9 - 1024), (a, -72 + 49)] {
            sum.push(&table, &mut history, token);
            assert_eq!(sum.sum, expected);
        }
        // −23 · 3 / (4 + 10) = −4.928571…
        assert_eq!(sum.contribution(table.shape()), (-69.0 / 14.0 * 65_536.0_f64).round() as i64);
        assert!(sum.is_valid(table.shape()));
    }

    #[test]
    fn before_the_beginning_there_is_nothing() {
        let a = token_hash(b"a", false);
        // A history of zeros is not three tokens with the hash 0.
        let entries = table(&[(lengthen(a, 0), 5)]);
        let (mut sum, mut history) = (Sum::zeroed(), [0; 2]);
        sum.push(&Table::new(shape(), &entries).expect("the shape is sound"), &mut history, a);
        assert_eq!(sum.sum, 0);
    }

    #[test]
    fn an_empty_entry_is_no_ngram() {
        let entries = vec![0; 200];
        let table = Table::new(shape(), &entries).expect("the shape is sound");
        assert!((0..100_000).all(|key| table.find(key).is_none()));
    }

    #[test]
    fn no_stream_is_too_long() {
        let a = token_hash(b"a", false);
        let entries = table(&[(a, -32)]);
        let table = Table::new(shape(), &entries).expect("the shape is sound");
        let mut sum = Sum { sum: -1024 * MOST_TOKENS as i32, count: MOST_TOKENS };
        sum.push(&table, &mut [], a);
        assert_eq!((sum.sum, sum.count), (-1024 * (MOST_TOKENS as i32 / 2 + 1), MOST_TOKENS / 2 + 1));
    }

    #[test]
    fn contributions_round_to_the_nearest_and_alike_on_both_sides() {
        let shape = Ngrams { prior: 0, multiplier: 1, ..shape() };
        let rounded = |sum, count| Sum { sum, count }.contribution(&shape);
        assert_eq!(
            [rounded(7, 4), rounded(-7, 4), rounded(6, 4), rounded(-6, 4), rounded(5, 4), rounded(0, 0)],
            [2, -2, 2, -2, 1, 0]
        );
    }
}
