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
//! Each output of the network has weights of its own. Where each token has an answer, the sum is over the n-grams that end at this token, and
//! `tokens` is 1.
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
//! of an output k of the first output; (rotl(k, 5) ^ output) · 9E3779B1 of the output of that number
//! f₁ = mix(k)  f(n+1) = mix(f(n) ^ 85EBCA77)       mix: the finaliser of MurmurHash3
//! places       f₁·entries >> 32,  f₂·entries >> 32,  f₃·entries >> 32
//! key          the lowest bits of f₁, 1 where they are all zero
//! entry        key << weight_bits | code in two's complement
//! ```
//!
//! An n-gram that is not in the table meets an equal key now and then, in about `3 / 2^key bits` of the cases; whoever fits the weights sees that too.

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

/// The running key of an n-gram as the output numbered `output` looks for it.
pub const fn of_output(key: u32, output: u32) -> u32 {
    if output == 0 { key } else { lengthen(key, output) }
}

/// What an n-gram's weight is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Outputs of the network.
    pub outputs: u16,
    /// True where each token has an answer: then only the n-grams that end at this token count for it.
    pub each_step: bool,
}

/// The table, as it lies in the image.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    shape: Ngrams,
    reader: Reader,
    entries: &'a [u16],
}

impl<'a> Table<'a> {
    /// A table over its entries. `None` for a shape that no image has.
    pub fn new(shape: Ngrams, reader: Reader, entries: &'a [u16]) -> Option<Self> {
        shape.check().ok().map(|()| Table { shape, reader, entries })
    }

    /// The number of the entry in which an n-gram's key of an output ([`of_output`]) is found, its first place first; `None` where it is in none.
    pub fn find(&self, key: u32) -> Option<usize> {
        let bits = self.shape.weight_bits;
        let place = Place::of(key, self.shape.entries, bits);
        let is_it = |&entry: &usize| self.entries.get(entry).is_some_and(|&entry| entry >> bits == place.key);
        place.entries.into_iter().map(|entry| entry as usize).find(is_it)
    }

    /// The weight of an n-gram for an output; 0 where the table does not have it.
    #[inline]
    fn weight(&self, key: u32) -> i32 {
        let unused = 32 - u32::from(self.shape.weight_bits);
        let entry = self.find(key).and_then(|slot| self.entries.get(slot));
        let code = entry.map_or(0, |&entry| ((u32::from(entry) << unused) as i32) >> unused);
        code * code.abs()
    }

    /// The tokens whose weights a sum of so many tokens holds.
    fn summed(&self, count: u32) -> u32 {
        if self.reader.each_step { 1 } else { count }
    }

    /// What is added to an output's logit, in Q15.16, for its sum after `count` tokens; a half is rounded away from zero.
    pub(crate) fn contribution(&self, count: u32, sum: i32) -> i64 {
        let tokens = i64::from(self.summed(count)) + i64::from(self.shape.prior);
        let scaled = i64::from(sum) * i64::from(self.shape.multiplier);
        let half = if scaled < 0 { -(tokens / 2) } else { tokens / 2 };
        (scaled + half).checked_div(tokens).unwrap_or(0)
    }

    /// True when count and sums could have come from a stream over this table.
    pub(crate) fn could_have(&self, count: u32, sums: &[i32]) -> bool {
        let shape = &self.shape;
        let most = (u64::from(self.summed(count)) * u64::from(shape.longest)) << (2 * (shape.weight_bits - 1));
        count <= MOST_TOKENS && sums.iter().all(|sum| u64::from(sum.unsigned_abs()) <= most)
    }
}

/// What a stream remembers of its n-grams; all zero is the beginning of a text. In the state it is the count, the sums and the history, a word each.
pub(crate) struct Memory<'s> {
    /// Tokens that are summed.
    pub(crate) count: &'s mut u32,
    /// The weights' sum of each output.
    pub(crate) sums: &'s mut [i32],
    /// The hashes of the tokens before, the newest first: as many as the longest n-gram has, less one.
    pub(crate) history: &'s mut [u32],
}

impl Memory<'_> {
    /// One token more.
    pub(crate) fn push(&mut self, table: &Table<'_>, hash: u32) {
        if *self.count >= MOST_TOKENS {
            self.sums.iter_mut().for_each(|sum| *sum /= 2);
            *self.count /= 2;
        }
        if table.reader.each_step {
            self.sums.fill(0);
        }
        let mut key = hash;
        let mut before = self.history.iter().take(*self.count as usize);
        loop {
            for (output, sum) in self.sums.iter_mut().enumerate() {
                *sum += table.weight(of_output(key, output as u32));
            }
            let Some(&before) = before.next() else { break };
            key = lengthen(key, before);
        }
        *self.count += 1;
        if let Some(last) = self.history.len().checked_sub(1) {
            self.history.copy_within(..last, 1);
            self.history[0] = hash;
        }
    }
}

/// Bytes of a stream's state that n-grams of up to `longest` tokens take beside so many outputs; 0 for none.
pub const fn stream_bytes(longest: u8, outputs: u16) -> usize {
    if longest == 0 { 0 } else { 4 * (outputs as usize + longest as usize) }
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

    /// A stream's memory beside it, over so many outputs.
    struct Stream {
        count: u32,
        sums: Vec<i32>,
        history: Vec<u32>,
    }

    impl Stream {
        fn new(outputs: u16, history: usize) -> Self {
            Stream { count: 0, sums: vec![0; usize::from(outputs)], history: vec![0; history] }
        }

        fn push(&mut self, table: &Table<'_>, hash: u32) {
            let Stream { count, sums, history } = self;
            Memory { count, sums, history }.push(table, hash);
        }
    }

    const VERDICT: Reader = Reader { outputs: 1, each_step: false };

    #[test]
    fn the_sum_is_that_of_the_weights_of_all_ngrams_that_end_at_a_token() {
        let [not, a, good] = ["not", "a", "good"].map(|word| token_hash(word.as_bytes(), false));
        let pair = lengthen(good, a);
        let entries = table(&[(good, 31), (pair, -3), (lengthen(pair, not), -32), (lengthen(a, good), 7)]);
        let table = Table::new(shape(), VERDICT, &entries).expect("the shape is sound");
        let mut stream = Stream::new(1, 2);
        for (token, expected) in [(not, 0), (a, 0), (good, 961 - 9 - 1024), (a, -72 + 49)] {
            stream.push(&table, token);
            assert_eq!(stream.sums, [expected]);
        }
        // −23 · 3 / (4 + 10) = −4.928571…
        assert_eq!(table.contribution(4, stream.sums[0]), (-69.0 / 14.0 * 65_536.0_f64).round() as i64);
        assert!(table.could_have(stream.count, &stream.sums));
    }

    #[test]
    fn each_output_has_weights_of_its_own() {
        let [a, b] = ["a", "b"].map(|word| token_hash(word.as_bytes(), false));
        let pair = lengthen(b, a);
        let entries = table(&[(a, 2), (of_output(a, 1), -3), (of_output(b, 2), 4), (of_output(pair, 2), 1)]);
        let table = Table::new(shape(), Reader { outputs: 3, each_step: false }, &entries).expect("the shape is sound");
        let mut stream = Stream::new(3, 2);
        stream.push(&table, a);
        assert_eq!(stream.sums, [4, -9, 0]);
        stream.push(&table, b);
        assert_eq!(stream.sums, [4, -9, 17]);
    }

    #[test]
    fn where_each_token_has_an_answer_only_the_ngrams_that_end_there_count() {
        let [a, b] = ["a", "b"].map(|word| token_hash(word.as_bytes(), false));
        let entries = table(&[(a, 2), (of_output(b, 1), 3), (of_output(lengthen(b, a), 1), -1)]);
        let table = Table::new(shape(), Reader { outputs: 2, each_step: true }, &entries).expect("the shape is sound");
        let mut stream = Stream::new(2, 2);
        for (token, expected) in [(a, [4, 0]), (b, [0, 8]), (b, [0, 9])] {
            stream.push(&table, token);
            assert_eq!(stream.sums, expected);
            assert!(table.could_have(stream.count, &stream.sums));
        }
        // 9 · 3 / (1 + 10), however many tokens came before.
        assert_eq!(table.contribution(stream.count, 9), (27.0 / 11.0 * 65_536.0_f64).round() as i64);
        assert!(!table.could_have(3, &[0, 3 * 1024 + 1]));
    }

    #[test]
    fn before_the_beginning_there_is_nothing() {
        let a = token_hash(b"a", false);
        // A history of zeros is not three tokens with the hash 0.
        let entries = table(&[(lengthen(a, 0), 5)]);
        let mut stream = Stream::new(1, 2);
        stream.push(&Table::new(shape(), VERDICT, &entries).expect("the shape is sound"), a);
        assert_eq!(stream.sums, [0]);
    }

    #[test]
    fn an_empty_entry_is_no_ngram() {
        let entries = vec![0; 200];
        let table = Table::new(shape(), VERDICT, &entries).expect("the shape is sound");
        assert!((0..100_000).all(|key| table.find(key).is_none()));
    }

    #[test]
    fn no_stream_is_too_long() {
        let a = token_hash(b"a", false);
        let entries = table(&[(a, -32)]);
        let table = Table::new(shape(), VERDICT, &entries).expect("the shape is sound");
        let mut stream = Stream { count: MOST_TOKENS, sums: vec![-1024 * MOST_TOKENS as i32], history: Vec::new() };
        stream.push(&table, a);
        assert_eq!((stream.sums[0], stream.count), (-1024 * (MOST_TOKENS as i32 / 2 + 1), MOST_TOKENS / 2 + 1));
    }

    #[test]
    fn contributions_round_to_the_nearest_and_alike_on_both_sides() {
        let shape = Ngrams { prior: 0, multiplier: 1, ..shape() };
        let entries = vec![0; 200];
        let table = Table::new(shape, VERDICT, &entries).expect("the shape is sound");
        let rounded = |sum, count| table.contribution(count, sum);
        assert_eq!(
            [rounded(7, 4), rounded(-7, 4), rounded(6, 4), rounded(-6, 4), rounded(5, 4), rounded(0, 0)],
            [2, -2, 2, -2, 1, 0]
        );
    }
}
