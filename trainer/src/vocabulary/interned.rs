//! Texts as numbers: each different token has one, so that a text is tokenized once, before it is known which tokens a vocabulary takes.
//!
//! ```text
//! texts ──tokenizer, on all cores──> a lexicon and numbers a core ──joined──> one lexicon, the texts as its numbers
//! ```

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use latch_engine::input::tokenizer::Token;
use rayon::prelude::*;

use crate::tokenization::Tokenization;

/// How far a count has come: texts, and all texts.
pub type Watch<'w> = &'w mut dyn FnMut(u64, u64);

/// Pieces in which texts are read; after each it is said how far the count has come.
const PIECES: usize = 16;

/// What is wanted of texts besides their tokens' numbers of occurrences.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// For each token the texts that have it, by their class.
    pub(super) classes: bool,
    /// The texts as numbers.
    pub(super) texts: bool,
}

/// The different tokens of texts, each by its number, which is its place in the order of their first occurrences.
#[derive(Clone, Debug, Default)]
struct Lexicon {
    /// The bytes of all tokens, one behind the other.
    bytes: Vec<u8>,
    tokens: Vec<Counted>,
    /// A part of each token's hash, and its number.
    table: HashTable<(u32, u32)>,
    hasher: RandomState,
}

/// A token of a lexicon.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Where its bytes end.
    end: usize,
    /// How often it occurs.
    count: u64,
    /// Whether it is a word; else it is a mark, whose bytes no word has.
    is_word: bool,
}

/// The hash that a table takes, of the part of it that is kept: a table grows without a look at the tokens.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Lexicon {
    /// The bytes of a token.
    fn bytes(&self, number: usize) -> &[u8] {
        bytes_of(&self.bytes, &self.tokens, number)
    }

    /// The number of a token; a new one where it has none yet.
    fn number(&mut self, token: &[u8], is_word: bool) -> usize {
        let hash = self.hasher.hash_one(token) as u32;
        let Lexicon { bytes, tokens, table, .. } = self;
        let is_it = |&(other, number): &(u32, u32)| other == hash && bytes_of(bytes, tokens, number as usize) == token;
        match table.entry(spread(hash), is_it, |&(hash, _)| spread(hash)) {
            Slot::Occupied(slot) => slot.get().1 as usize,
            Slot::Vacant(slot) => {
                let number = tokens.len();
                slot.insert((hash, number as u32));
                bytes.extend_from_slice(token);
                tokens.push(Counted { end: bytes.len(), count: 0, is_word });
                number
            }
        }
    }
}

fn bytes_of<'b>(bytes: &'b [u8], tokens: &[Counted], number: usize) -> &'b [u8] {
    let begin = number.checked_sub(1).map_or(0, |before| tokens[before].end);
    &bytes[begin..tokens[number].end]
}

/// The texts that have a token.
#[derive(Clone, Debug, Default)]
struct InTexts {
    /// By their class.
    classes: Vec<u32>,
    /// The last of them, counted from 1.
    last: usize,
}

impl InTexts {
    fn add(&mut self, class: usize, texts: u32) {
        self.classes.resize(self.classes.len().max(class + 1), 0);
        self.classes[class] += texts;
    }
}

/// A token with what is counted of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurring<'i> {
    /// Its bytes.
    pub(super) bytes: &'i [u8],
    /// How often it occurs.
    pub(super) count: u64,
    /// The texts that have it, by their class; the last classes may be missing. Empty where they were not wanted.
    pub(super) classes: &'i [u32],
}

/// Texts whose tokens are numbered, and what is counted of each token.
#[derive(Clone, Debug, Default)]
pub struct Interned {
    lexicon: Lexicon,
    /// One a token, or none.
    in_texts: Vec<InTexts>,
    /// The numbers of each text, where they are wanted.
    texts: Vec<Vec<u32>>,
    /// Texts that were read.
    read: usize,
}

impl Interned {
    /// Reads texts, each with the number of its class, on all cores. But for the order of the numbers, the same on any number of threads.
    pub(super) fn of(tokenization: &Tokenization, texts: &[(&str, u32)], wanted: Wanted, watch: Watch<'_>) -> Self {
        let threads = rayon::current_num_threads().max(1);
        let mut parts = vec![Interned::default(); threads];
        let piece = texts.len().div_ceil(PIECES).max(1_024);
        let share = |texts: &[(&str, u32)]| texts.len().div_ceil(threads).max(64);
        let mut done = 0;
        for texts_of_piece in texts.chunks(piece) {
            let shares = texts_of_piece.par_chunks(share(texts_of_piece));
            parts.par_iter_mut().zip(shares).for_each(|(part, texts)| part.read(tokenization, texts, wanted));
            done += texts_of_piece.len();
            watch(done as u64, texts.len() as u64);
        }
        let mut all = Interned::default();
        let maps: Vec<Vec<u32>> = parts.iter_mut().map(|part| all.join(part)).collect();
        if wanted.texts {
            let renumbered = parts.into_par_iter().zip(maps).map(|(part, map)| part.renumbered(&map));
            let mut parts: Vec<_> = renumbered.map(Vec::into_iter).collect();
            all.texts = Vec::with_capacity(texts.len());
            for texts in texts.chunks(piece) {
                let shares = texts.chunks(share(texts));
                shares.zip(&mut parts).for_each(|(texts, part)| all.texts.extend(part.take(texts.len())));
            }
        }
        all
    }

    /// Reads more texts.
    fn read(&mut self, tokenization: &Tokenization, texts: &[(&str, u32)], wanted: Wanted) {
        let Interned { lexicon, in_texts, texts: kept, read } = self;
        let mut numbers = Vec::new();
        for &(text, class) in texts {
            *read += 1;
            numbers.clear();
            tokenization.for_each(text, |token, _| {
                let number = lexicon.number(token.bytes(), matches!(token, Token::Word(_)));
                lexicon.tokens[number].count += 1;
                numbers.push(number as u32);
                if wanted.classes {
                    in_texts.resize_with(lexicon.tokens.len(), InTexts::default);
                    let in_texts = &mut in_texts[number];
                    if in_texts.last != *read {
                        in_texts.last = *read;
                        in_texts.add(class as usize, 1);
                    }
                }
            });
            if wanted.texts {
                kept.push(numbers.as_slice().to_vec());
            }
        }
    }

    /// Takes in the tokens of another part with their counts, of which only its texts are left; gives the numbers that its own have here.
    fn join(&mut self, other: &mut Interned) -> Vec<u32> {
        let (lexicon, in_texts) = (std::mem::take(&mut other.lexicon), std::mem::take(&mut other.in_texts));
        if self.lexicon.tokens.is_empty() {
            let same = (0..lexicon.tokens.len() as u32).collect();
            (self.lexicon, self.in_texts) = (lexicon, in_texts);
            return same;
        }
        let join = |(number, &Counted { count, is_word, .. }): (usize, &Counted)| {
            let here = self.lexicon.number(lexicon.bytes(number), is_word);
            self.lexicon.tokens[here].count += count;
            if let Some(other) = in_texts.get(number) {
                self.in_texts.resize_with(self.lexicon.tokens.len(), InTexts::default);
                other.classes.iter().enumerate().for_each(|(class, &texts)| self.in_texts[here].add(class, texts));
            }
            here as u32
        };
        lexicon.tokens.iter().enumerate().map(join).collect()
    }

    /// The texts with other numbers for their tokens.
    fn renumbered(mut self, numbers: &[u32]) -> Vec<Vec<u32>> {
        self.texts.iter_mut().flatten().for_each(|number| *number = numbers[*number as usize]);
        self.texts
    }

    /// What is counted of each token, by its number.
    pub(super) fn counts(&self) -> impl IndexedParallelIterator<Item = Occurring<'_>> {
        self.lexicon.tokens.par_iter().enumerate().map(|(number, token)| Occurring {
            bytes: self.lexicon.bytes(number),
            count: token.count,
            classes: self.in_texts.get(number).map_or(&[], |in_texts| &in_texts.classes),
        })
    }

    /// The texts with an id for each token, of which `id` gives some none.
    pub(super) fn into_ids(self, id: impl Fn(Token<'_>) -> Option<u32> + Sync) -> Vec<Vec<u32>> {
        // No id is as large.
        const NONE: u32 = u32::MAX;
        let Interned { lexicon, mut texts, .. } = self;
        let of = |number: usize| {
            let bytes = lexicon.bytes(number);
            id(if lexicon.tokens[number].is_word { Token::Word(bytes) } else { Token::Mark(bytes) }).unwrap_or(NONE)
        };
        let ids: Vec<u32> = (0..lexicon.tokens.len()).into_par_iter().map(of).collect();
        drop(lexicon);
        texts.par_iter_mut().for_each(|text| {
            text.retain_mut(|number| {
                *number = ids[*number as usize];
                *number != NONE
            });
            text.shrink_to_fit();
        });
        texts
    }

    /// The same without what was counted of texts and classes.
    pub(super) fn without_counts(self) -> Self {
        Interned { in_texts: Vec::new(), ..self }
    }
}
