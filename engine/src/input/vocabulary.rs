//! The vocabulary as it lies in flash: sorted words, front-coded and Huffman-coded, searched in place.
//!
//! The words stand in ascending order of their bytes; a word's id is its rank. They are cut into blocks of [`BLOCK_WORDS`]. A block
//! starts on a byte; the index holds where. A word is written as
//!
//! ```text
//! prefix length   how many bytes it shares with the word before it (left out for the first word of a block)
//! characters      its other bytes
//! end             the character 0
//! ```
//!
//! Prefix lengths and characters have a canonical Huffman code each, of at most `bits` bits, so that one look into a table of
//! `2^bits` entries `(symbol, length)` decodes a symbol. Bits are taken from the most significant end of a byte.
//! English review words take about 2.4 bytes each, and 2.6 with the tables and the index.

use core::cmp::Ordering;

#[cfg(not(latch_backend))]
use super::dictionary::Dictionary;
pub use super::text::BLOCK_WORDS;
use super::text::{Text, WORD_BYTES};
use crate::error::{Error, problem};

/// The widest decoding table, in bits.
pub const MAX_CODE_BITS: u8 = 12;

/// A vocabulary that borrows an image; see the module for the format.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    words: usize,
    characters: Code<'a>,
    prefixes: Code<'a>,
    index: &'a [u8],
    index_width: usize,
    stream: &'a [u8],
    /// The same words in a table, where a caller has given the memory.
    #[cfg(not(latch_backend))]
    dictionary: Option<Dictionary<'a>>,
}

/// A decoding table of `2^bits` pairs (symbol, code length in bits).
#[derive(Clone, Copy, Debug)]
struct Code<'a> {
    bits: u32,
    table: &'a [[u8; 2]],
}

impl<'a> Code<'a> {
    fn new(bits: u8, table: &'a [u8]) -> Result<Self, Error> {
        let (table, rest) = table.as_chunks::<2>();
        let fits = (1..=MAX_CODE_BITS).contains(&bits) && rest.is_empty() && table.len() == 1 << bits;
        if !fits || table.iter().any(|&[_, length]| length == 0 || length > bits) {
            return Err(Error::Vocabulary {
                problem: problem!("a decoding table does not have the stated size, or a code length is out of range"),
            });
        }
        Ok(Code { bits: u32::from(bits), table })
    }
}

/// A place in the bit stream, with the bits behind it that have been loaded. Reading past the end gives zeros, so that decoding never
/// fails; opening proves that it never happens.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    stream: &'a [u8],
    /// The next byte to load.
    next: usize,
    /// Loaded bits, the next one on top; zeros below them.
    window: u32,
    /// How many bits are loaded.
    loaded: u32,
}

impl<'a> Cursor<'a> {
    fn at_byte(stream: &'a [u8], byte: usize) -> Self {
        Cursor { stream, next: byte, window: 0, loaded: 0 }
    }

    /// The place in bits.
    fn bit(&self) -> usize {
        self.next * 8 - self.loaded as usize
    }

    /// Goes on to the next whole byte.
    fn align(&mut self) {
        *self = Cursor::at_byte(self.stream, self.bit().div_ceil(8));
    }

    /// The up to three bytes that are left, and zeros behind them.
    #[cold]
    fn last_bytes(&self) -> u32 {
        (0..4).fold(0, |word, k| (word << 8) | u32::from(self.stream.get(self.next + k).copied().unwrap_or(0)))
    }

    /// Goes on behind the end character.
    #[inline]
    fn skip_word(&mut self, characters: Code<'_>) {
        while self.symbol(characters) != 0 {}
    }

    #[inline]
    fn symbol(&mut self, code: Code<'_>) -> u8 {
        if self.loaded < u32::from(MAX_CODE_BITS) {
            // The next four bytes, as many of them as there is room for; what does not fit is loaded again later.
            let word = match self.stream.get(self.next..).and_then(<[u8]>::first_chunk) {
                Some(bytes) => u32::from_be_bytes(*bytes),
                None => self.last_bytes(),
            };
            let bytes = (32 - self.loaded) / 8;
            self.window |= (word >> (32 - 8 * bytes)) << (32 - 8 * bytes - self.loaded);
            self.next += bytes as usize;
            self.loaded += 8 * bytes;
        }
        let peek = self.window >> (32 - code.bits);
        let [symbol, length] = code.table.get(peek as usize).copied().unwrap_or([0, 1]);
        self.window <<= length;
        self.loaded -= u32::from(length);
        symbol
    }
}

impl<'a> Vocabulary<'a> {
    /// Borrows and checks a vocabulary: every code, offset, order and length.
    ///
    /// `tables` holds the characters' decoding table, then the prefixes'; `index` a little-endian offset of 2 or 4 bytes a block.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] names what is wrong.
    pub fn open(shape: &Text, tables: &'a [u8], index: &'a [u8], stream: &'a [u8]) -> Result<Self, Error> {
        let vocabulary = Self::new(shape, tables, index, stream)?;
        vocabulary.check()?;
        Ok(vocabulary)
    }

    /// The same with the words themselves unchecked.
    pub(crate) fn new(shape: &Text, tables: &'a [u8], index: &'a [u8], stream: &'a [u8]) -> Result<Self, Error> {
        let (words, index_width) = (shape.words as usize, if shape.index_is_wide { 4 } else { 2 });
        let (character_bits, prefix_bits) = (shape.character_bits, shape.prefix_bits);
        if character_bits > MAX_CODE_BITS || prefix_bits > MAX_CODE_BITS {
            return Err(Error::Vocabulary { problem: problem!("a decoding table is wider than this engine reads") });
        }
        let (characters, prefixes) = tables
            .split_at_checked(2 << character_bits)
            .ok_or(Error::Vocabulary { problem: problem!("the decoding tables are shorter than stated") })?;
        let vocabulary = Vocabulary {
            words,
            characters: Code::new(character_bits, characters)?,
            prefixes: Code::new(prefix_bits, prefixes)?,
            index,
            index_width,
            stream,
            #[cfg(not(latch_backend))]
            dictionary: None,
        };
        if index.len() != words.div_ceil(BLOCK_WORDS) * index_width {
            return Err(Error::Vocabulary {
                problem: problem!("the index does not have one entry for each block of words"),
            });
        }
        Ok(vocabulary)
    }

    /// Decodes every word once.
    #[inline(never)]
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut previous = Word::default();
        let mut cursor = Cursor::at_byte(self.stream, 0);
        for id in 0..self.words {
            if id.is_multiple_of(BLOCK_WORDS) {
                cursor.align();
                if self.block_start(id / BLOCK_WORDS) != cursor.bit() / 8 {
                    return Err(Error::Vocabulary {
                        problem: problem!("an entry of the index does not point at its block"),
                    });
                }
            }
            let prefix = if id.is_multiple_of(BLOCK_WORDS) { 0 } else { usize::from(cursor.symbol(self.prefixes)) };
            let mut word = previous;
            if prefix > word.len {
                return Err(Error::Vocabulary {
                    problem: problem!("a word shares more bytes with the word before it than that has"),
                });
            }
            word.len = prefix;
            loop {
                let character = cursor.symbol(self.characters);
                if character == 0 {
                    break;
                }
                let Some(slot) = word.bytes.get_mut(word.len) else {
                    return Err(Error::Vocabulary {
                        problem: problem!("a word is longer than the tokenizer's words can be"),
                    });
                };
                *slot = character;
                word.len += 1;
            }
            if cursor.bit() > self.stream.len() * 8 {
                return Err(Error::Vocabulary { problem: problem!("the words run past the end of their section") });
            }
            if word.len == 0 || (id > 0 && word.as_bytes().iter().le(previous.as_bytes())) {
                return Err(Error::Vocabulary { problem: problem!("the words are not in ascending order") });
            }
            let shared = word.as_bytes().iter().zip(previous.as_bytes()).take_while(|(a, b)| a == b).count();
            if !id.is_multiple_of(BLOCK_WORDS) && shared != prefix {
                return Err(Error::Vocabulary { problem: problem!("a word's shared prefix is not the longest one") });
            }
            previous = word;
        }
        if cursor.bit().div_ceil(8) != self.stream.len() {
            return Err(Error::Vocabulary { problem: problem!("bytes are left over after the last word") });
        }
        Ok(())
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words
    }

    /// True when there is no word.
    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    fn block_start(&self, block: usize) -> usize {
        let entry = block * self.index_width;
        let at = |k: usize| self.index.get(entry + k).copied().map_or(0, usize::from);
        let low = at(0) | (at(1) << 8);
        if self.index_width == 4 { low | (at(2) << 16) | (at(3) << 24) } else { low }
    }

    /// The id of a word: its rank in byte order. `None` for a word that is not in the vocabulary.
    ///
    /// A binary search over the first words of the blocks, then a walk through one block in which only those bytes are compared
    /// that the front coding has not compared before.
    pub fn id(&self, word: &[u8]) -> Option<u32> {
        #[cfg(not(latch_backend))]
        if let Some(dictionary) = &self.dictionary {
            return dictionary.id(word);
        }
        let (mut low, mut high) = (0, self.words.div_ceil(BLOCK_WORDS));
        // Invariant: the first word of every block before `low` is < word, of every block from `high` on is > word.
        while low < high {
            let middle = low + (high - low) / 2;
            let mut cursor = Cursor::at_byte(self.stream, self.block_start(middle));
            match self.compare(&mut cursor, word, &mut 0) {
                Comparison::Equal => return Some((middle * BLOCK_WORDS) as u32),
                Comparison::Prefix | Comparison::Less => low = middle + 1,
                Comparison::Greater => high = middle,
            }
        }
        let block = low.checked_sub(1)?;
        let first = block * BLOCK_WORDS;
        let mut cursor = Cursor::at_byte(self.stream, self.block_start(block));
        let mut matched = 0;
        if self.compare(&mut cursor, word, &mut matched) == Comparison::Less {
            cursor.skip_word(self.characters);
        }
        for id in first + 1..(first + BLOCK_WORDS).min(self.words) {
            let prefix = usize::from(cursor.symbol(self.prefixes));
            match prefix.cmp(&matched) {
                // Differs from the word before it where that agreed with ours, and is larger: larger than ours.
                Ordering::Less => return None,
                // Agrees with the word before it where that differed from ours: still smaller than ours.
                Ordering::Greater => cursor.skip_word(self.characters),
                Ordering::Equal => match self.compare(&mut cursor, word, &mut matched) {
                    Comparison::Equal => return Some(id as u32),
                    Comparison::Greater => return None,
                    Comparison::Less => cursor.skip_word(self.characters),
                    Comparison::Prefix => {}
                },
            }
        }
        None
    }

    /// Compares the rest of the coded word at `cursor` with `word[*matched..]`, up to the first difference, and leaves in `matched` how
    /// many bytes agree.
    fn compare(&self, cursor: &mut Cursor<'_>, word: &[u8], matched: &mut usize) -> Comparison {
        loop {
            let character = cursor.symbol(self.characters);
            match (character, word.get(*matched)) {
                (0, None) => return Comparison::Equal,
                (0, Some(_)) => return Comparison::Prefix,
                (_, None) => return Comparison::Greater,
                (a, Some(&b)) if a == b => *matched += 1,
                (a, Some(&b)) => return if a > b { Comparison::Greater } else { Comparison::Less },
            }
        }
    }

    /// Bytes of memory that [`Vocabulary::unpack`] needs.
    #[cfg(not(latch_backend))]
    pub(crate) fn unpacked_bytes(&self) -> usize {
        Dictionary::bytes(self.len(), self.words().map(|word| word.as_bytes().len()).sum())
    }

    /// Decodes all words into memory that starts on a multiple of 4, in which they are found many times as fast. `None` where it is too small.
    #[cfg(not(latch_backend))]
    pub(crate) fn unpack(&mut self, memory: &'a mut [u8]) -> Option<()> {
        // Without a table words are found in place.
        self.dictionary = Dictionary::build(self.len(), || self.words(), memory)?;
        Some(())
    }

    /// The words in the order of their ids.
    pub fn words(&self) -> Words<'a> {
        Words { vocabulary: *self, cursor: Cursor::at_byte(self.stream, 0), next: 0, word: Word::default() }
    }
}

/// What a coded word is beside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// The same.
    Equal,
    /// Smaller, for it is a prefix of the other; it has been read to its end.
    Prefix,
    /// Smaller in a byte; it has been read up to that byte.
    Less,
    /// Larger.
    Greater,
}

/// A decoded word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Word {
    bytes: [u8; WORD_BYTES],
    len: usize,
}

impl AsRef<[u8]> for Word {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Word {
    /// The word's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Iterator over the words of a vocabulary; see [`Vocabulary::words`].
pub struct Words<'a> {
    vocabulary: Vocabulary<'a>,
    cursor: Cursor<'a>,
    next: usize,
    word: Word,
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        if self.next >= self.vocabulary.words {
            return None;
        }
        if self.next.is_multiple_of(BLOCK_WORDS) {
            self.cursor.align();
            self.word.len = 0;
        } else {
            self.word.len = usize::from(self.cursor.symbol(self.vocabulary.prefixes)).min(WORD_BYTES);
        }
        loop {
            match self.cursor.symbol(self.vocabulary.characters) {
                0 => break,
                character => {
                    if let Some(slot) = self.word.bytes.get_mut(self.word.len) {
                        *slot = character;
                        self.word.len += 1;
                    }
                }
            }
        }
        self.next += 1;
        Some(self.word)
    }
}

/// The writer, for the desktop.
#[cfg(feature = "std")]
pub mod encode {
    use super::{BLOCK_WORDS, MAX_CODE_BITS, WORD_BYTES};
    use crate::error::{Error, problem};
    use crate::input::text::{Text, Tokens, Unknown};
    use std::vec::Vec;

    /// The sections of an encoded vocabulary, as [`super::Vocabulary::open`] takes them.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Encoded {
        /// Number of words.
        pub words: usize,
        /// Width of the characters' decoding table in bits.
        pub character_bits: u8,
        /// Width of the prefixes' decoding table in bits.
        pub prefix_bits: u8,
        /// Both decoding tables.
        pub tables: Vec<u8>,
        /// Offsets of the blocks, little-endian.
        pub index: Vec<u8>,
        /// Bytes of an offset: 2 or 4.
        pub index_width: usize,
        /// The coded words.
        pub stream: Vec<u8>,
    }

    impl Encoded {
        /// The shape that an image describes it by, with what a token is and what unknown words do.
        pub fn shape(&self, tokens: Tokens, unknown: Unknown) -> Text {
            Text {
                tokens,
                words: self.words as u32,
                unknown,
                character_bits: self.character_bits,
                prefix_bits: self.prefix_bits,
                index_is_wide: self.index_width == 4,
                text_bytes: self.stream.len() as u32,
            }
        }

        /// Bytes of all sections together.
        pub fn bytes(&self) -> usize {
            self.tables.len() + self.index.len() + self.stream.len()
        }
    }

    /// Encodes `words`, which are in strictly ascending byte order, in the fewest bytes over all widths of the tables.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] when the words are not in order, or one is empty, too long, or has a zero byte.
    pub fn encode(words: &[&[u8]]) -> Result<Encoded, Error> {
        if words.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::Vocabulary { problem: problem!("the words are not in ascending order") });
        }
        if words.iter().any(|word| word.is_empty() || word.len() > WORD_BYTES || word.contains(&0)) {
            return Err(Error::Vocabulary {
                problem: problem!("a word is empty, longer than the tokenizer's words can be, or has a zero byte"),
            });
        }
        let mut coded = Vec::with_capacity(words.len());
        let (mut character_counts, mut prefix_counts) = ([0_u64; 256], [0_u64; 256]);
        for (id, word) in words.iter().enumerate() {
            let prefix = match id % BLOCK_WORDS {
                0 => 0,
                _ => word.iter().zip(words[id - 1]).take_while(|(a, b)| a == b).count(),
            };
            if id % BLOCK_WORDS != 0 {
                prefix_counts[prefix] += 1;
            }
            for &byte in &word[prefix..] {
                character_counts[usize::from(byte)] += 1;
            }
            character_counts[0] += 1;
            coded.push((prefix, &word[prefix..]));
        }
        let characters = cheapest_code(&character_counts);
        let prefixes = cheapest_code(&prefix_counts);
        let (mut stream, mut starts) = (BitWriter::default(), Vec::new());
        for (id, (prefix, suffix)) in coded.iter().enumerate() {
            if id % BLOCK_WORDS == 0 {
                stream.align();
                starts.push(stream.bytes.len());
            } else {
                stream.put(prefixes.codes[*prefix]);
            }
            for &byte in *suffix {
                stream.put(characters.codes[usize::from(byte)]);
            }
            stream.put(characters.codes[0]);
        }
        let index_width = if stream.bytes.len() <= usize::from(u16::MAX) { 2 } else { 4 };
        let index =
            starts.iter().flat_map(|start| (*start as u32).to_le_bytes().into_iter().take(index_width)).collect();
        let mut tables = characters.table();
        tables.extend(prefixes.table());
        Ok(Encoded {
            words: words.len(),
            character_bits: characters.bits,
            prefix_bits: prefixes.bits,
            tables,
            index,
            index_width,
            stream: stream.bytes,
        })
    }

    #[derive(Default)]
    struct BitWriter {
        bytes: Vec<u8>,
        used: u32,
    }

    impl BitWriter {
        fn align(&mut self) {
            self.used = 0;
        }

        fn put(&mut self, (code, length): (u32, u8)) {
            for shift in (0..length).rev() {
                if self.used == 0 {
                    self.bytes.push(0);
                }
                if let Some(last) = self.bytes.last_mut() {
                    *last |= (((code >> shift) & 1) as u8) << (7 - self.used);
                }
                self.used = (self.used + 1) % 8;
            }
        }
    }

    /// A canonical code: for each symbol its code and length (length 0: the symbol does not occur).
    struct Codes {
        bits: u8,
        codes: Vec<(u32, u8)>,
    }

    impl Codes {
        fn table(&self) -> Vec<u8> {
            // Codes that no symbol has decode as the end character of length 1: they never occur in a checked stream.
            let mut table = std::vec![[0_u8, 1_u8]; 1 << self.bits];
            for (symbol, &(code, length)) in self.codes.iter().enumerate() {
                if length > 0 {
                    let first = (code << (self.bits - length)) as usize;
                    table[first..first + (1 << (self.bits - length))].fill([symbol as u8, length]);
                }
            }
            table.into_iter().flatten().collect()
        }
    }

    /// The code, over all widths of the decoding table, for which table and text together are smallest.
    fn cheapest_code(counts: &[u64; 256]) -> Codes {
        let symbols = counts.iter().filter(|&&count| count > 0).count().max(1);
        let narrowest = symbols.next_power_of_two().trailing_zeros().max(1) as u8;
        (narrowest..=MAX_CODE_BITS.max(narrowest))
            .map(|bits| {
                let lengths = limited_lengths(counts, bits);
                let text: u64 = counts.iter().zip(&lengths).map(|(count, length)| count * u64::from(*length)).sum();
                (text.div_ceil(8) + (2 << bits), bits, lengths)
            })
            .min_by_key(|(bytes, ..)| *bytes)
            .map(|(_, bits, lengths)| Codes { bits, codes: canonical(&lengths) })
            .unwrap_or(Codes { bits: 1, codes: std::vec![(0, 0); 256] })
    }

    /// Optimal code lengths of at most `limit` bits: the package-merge algorithm (Larmore and Hirschberg, 1990).
    fn limited_lengths(counts: &[u64; 256], limit: u8) -> Vec<u8> {
        let mut leaves: Vec<(u64, Vec<u8>)> = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(symbol, count)| (*count, std::vec![symbol as u8]))
            .collect();
        leaves.sort();
        let mut lengths = std::vec![0_u8; 256];
        if leaves.len() <= 1 {
            for (_, symbols) in leaves {
                lengths[usize::from(symbols[0])] = 1;
            }
            return lengths;
        }
        let mut packages: Vec<(u64, Vec<u8>)> = Vec::new();
        for _ in 0..limit {
            let mut merged = leaves.clone();
            merged.extend(
                packages
                    .chunks_exact(2)
                    .map(|pair| (pair[0].0 + pair[1].0, [pair[0].1.as_slice(), &pair[1].1].concat())),
            );
            merged.sort();
            packages = merged;
        }
        for (_, symbols) in packages.iter().take(2 * leaves.len() - 2) {
            for symbol in symbols {
                lengths[usize::from(*symbol)] += 1;
            }
        }
        lengths
    }

    /// Codes in the order of (length, symbol), as DEFLATE assigns them (RFC 1951, 3.2.2).
    fn canonical(lengths: &[u8]) -> Vec<(u32, u8)> {
        let mut codes = std::vec![(0, 0); lengths.len()];
        let mut order: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
        order.sort_by_key(|&symbol| (lengths[symbol], symbol));
        let (mut code, mut previous) = (0_u32, 0);
        for symbol in order {
            code <<= lengths[symbol] - previous;
            previous = lengths[symbol];
            codes[symbol] = (code, previous);
            code += 1;
        }
        codes
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::input::text::{Tokens, Unknown};
    use std::collections::BTreeSet;
    use std::string::String;
    use std::vec::Vec;

    fn open(encoded: &encode::Encoded) -> Result<Vocabulary<'_>, Error> {
        let shape = encoded.shape(Tokens::Words, Unknown::Skip);
        Vocabulary::open(&shape, &encoded.tables, &encoded.index, &encoded.stream)
    }

    fn round_trip(words: &BTreeSet<Vec<u8>>, others: &[Vec<u8>]) {
        let sorted: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let encoded = encode::encode(&sorted).expect("sorted words encode");
        let vocabulary = open(&encoded).expect("what was encoded opens");
        let decoded: Vec<Vec<u8>> = vocabulary.words().map(|word| word.as_bytes().to_vec()).collect();
        assert!(decoded.iter().eq(words.iter()));
        for (rank, word) in sorted.iter().enumerate() {
            assert_eq!(vocabulary.id(word), Some(rank as u32));
        }
        for other in others {
            assert_eq!(vocabulary.id(other).is_some(), words.contains(other), "{other:?}");
        }
        // The same in a hash table, in memory that held something else; a byte less of it is too little.
        let mut memory = std::vec![0xA5A5_A5A5_u32; vocabulary.unpacked_bytes().div_ceil(4)];
        let memory = &mut bytemuck::cast_slice_mut(&mut memory)[..vocabulary.unpacked_bytes()];
        let shorter = memory.len() - 1;
        assert!(vocabulary.clone().unpack(&mut memory[..shorter]).is_none());
        let mut unpacked = vocabulary;
        assert!(unpacked.unpack(memory).is_some());
        for word in sorted.into_iter().chain(others.iter().map(Vec::as_slice)) {
            assert_eq!(unpacked.id(word), vocabulary.id(word), "{word:?}");
        }
    }

    #[test]
    fn an_empty_vocabulary_and_a_single_word_open() {
        round_trip(&BTreeSet::new(), &[b"a".to_vec()]);
        round_trip(&BTreeSet::from([b"good".to_vec()]), &[b"goo".to_vec(), b"goods".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn words_out_of_order_are_not_encoded() {
        assert!(encode::encode(&[b"b", b"a"]).is_err());
        assert!(encode::encode(&[b"a", b"a"]).is_err());
        assert!(encode::encode(&[b""]).is_err());
        assert!(encode::encode(&[&[b'x'; 33]]).is_err());
    }

    #[test]
    fn every_changed_bit_is_refused_or_opens_without_panic() {
        let words: BTreeSet<Vec<u8>> = (0..100).map(|n| std::format!("w{}", n * 37).into_bytes()).collect();
        let sorted: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let encoded = encode::encode(&sorted).expect("encodes");
        for byte in 0..encoded.stream.len() {
            for bit in 0..8 {
                let mut changed = encoded.clone();
                changed.stream[byte] ^= 1 << bit;
                if let Ok(vocabulary) = open(&changed) {
                    for word in &sorted {
                        let _ = vocabulary.id(word);
                    }
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn every_word_is_found_at_its_rank_and_no_other_is(words in proptest::collection::btree_set("[a-dé']{1,7}", 0..200), others in proptest::collection::vec("[a-dé']{0,8}", 50)) {
            let words: BTreeSet<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
            let others: Vec<Vec<u8>> = others.into_iter().map(String::into_bytes).collect();
            round_trip(&words, &others);
        }
    }
}
