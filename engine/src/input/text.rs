//! Text as an image describes it: what a token is, which words the vocabulary has, and what unknown ones do.

use serde::{Deserialize, Serialize};

use super::hashed::Hashed;
use crate::error::problem;
use crate::features::{CHARS, Feature, TIERS};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Element, SectionShape};

/// Text as a model reads it: what a token is, and the vocabulary's shape; see [`super::vocabulary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Text {
    /// What a token is.
    pub tokens: Tokens,
    /// Number of words; ids are `0..words` in byte order of the words.
    pub words: u32,
    /// What a word does that is not in the vocabulary. Unknown marks are always skipped.
    pub unknown: Unknown,
    /// Width of the characters' decoding table in bits.
    pub character_bits: u8,
    /// Width of the prefixes' decoding table in bits.
    pub prefix_bits: u8,
    /// Offsets in the index have 4 bytes in place of 2.
    pub index_is_wide: bool,
    /// Bytes of the coded words.
    pub text_bytes: u32,
}

/// What a token of the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Tokens {
    /// Words, symbols and marks.
    #[default]
    Words,
    /// The same, but a word's Hangul syllables are tokens of their own.
    Syllables,
    /// Letters in lower case, digits, symbols and marks, and a space where something separates two of them.
    Characters,
    /// The same with letters as they are.
    CasedCharacters,
}

impl Tokens {
    /// True where every letter is a token.
    pub const fn are_characters(self) -> bool {
        matches!(self, Tokens::Characters | Tokens::CasedCharacters)
    }
}

/// What a word does that is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Unknown {
    /// It is left out.
    Skip,
    /// It reads as id `words`, the embedding's last row.
    LastRow,
    /// It reads as one of the embedding's last rows, by its hash.
    Hashed(Hashed),
}

impl Unknown {
    /// Rows of the embedding behind those of the vocabulary's words.
    pub const fn rows(self) -> u32 {
        match self {
            Unknown::Skip => 0,
            Unknown::LastRow => 1,
            Unknown::Hashed(hashed) => hashed.rows,
        }
    }

    /// The id of a word that is not in the vocabulary of so many words; `None` where it is left out.
    #[inline]
    pub fn id(self, words: u32, word: &[u8]) -> Option<u32> {
        match self {
            Unknown::LastRow => Some(words),
            Unknown::Hashed(hashed) if TIERS => Some(words + hashed.row(word)),
            _ => None,
        }
    }
}

impl Text {
    /// A text of nothing.
    pub(crate) const NOTHING: Self = Text {
        tokens: Tokens::Words,
        words: 0,
        unknown: Unknown::Skip,
        character_bits: 0,
        prefix_bits: 0,
        index_is_wide: false,
        text_bytes: 0,
    };

    /// Sections: decoding tables, index, words.
    pub(crate) const SECTIONS: usize = 3;

    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let tokens = match fields.u32() {
            0 => Tokens::Words,
            1 => Tokens::Syllables,
            2 => Tokens::Characters,
            3 => Tokens::CasedCharacters,
            _ => fields.refuse(Tokens::Words),
        };
        let words = fields.u32();
        let unknown = match fields.u32() {
            0 => Unknown::Skip,
            1 => Unknown::LastRow,
            2 => Unknown::Hashed(Hashed::read(fields)),
            _ => fields.refuse(Unknown::Skip),
        };
        Text {
            tokens,
            words,
            unknown,
            character_bits: fields.byte(),
            prefix_bits: fields.byte(),
            index_is_wide: fields.bool(),
            text_bytes: fields.u32(),
        }
    }

    /// The feature that this build lacks for it.
    pub(crate) const fn missing(&self) -> Option<Feature> {
        if !CHARS && self.tokens.are_characters() {
            Some(Feature::Chars)
        } else if !TIERS && matches!(self.unknown, Unknown::Hashed(_)) {
            Some(Feature::Tiers)
        } else {
            None
        }
    }

    /// Checks it against the number of the embedding's rows.
    pub(crate) const fn check(&self, rows: u32) -> Result<(), &'static str> {
        if self.words as u64 + self.unknown.rows() as u64 != rows as u64 {
            return Err(problem!("vocabulary and embedding have different numbers of rows"));
        }
        if matches!(self.unknown, Unknown::Hashed(Hashed { rows: 0, .. })) {
            return Err(problem!("unknown words have no row to share"));
        }
        Ok(())
    }

    /// The section at a place of the order.
    pub(crate) const fn section(&self, place: usize) -> Option<SectionShape> {
        const fn entries(bits: u8) -> usize {
            1 << if bits < 15 { bits } else { 15 }
        }
        let blocks = (self.words as usize).div_ceil(BLOCK_WORDS);
        match place {
            0 => {
                let entries = entries(self.character_bits) + entries(self.prefix_bits);
                Some(SectionShape::new(Role::VocabularyTables, Element::U8, entries, 2))
            }
            1 => {
                let element = if self.index_is_wide { Element::U32 } else { Element::U16 };
                Some(SectionShape::new(Role::VocabularyIndex, element, blocks, 1))
            }
            2 => Some(SectionShape::new(Role::VocabularyText, Element::U8, self.text_bytes as usize, 1)),
            _ => None,
        }
    }
}

/// Words in a block of the vocabulary, all but the last of which are full.
pub const BLOCK_WORDS: usize = 16;

/// The longest word in bytes of UTF-8; what is longer is cut.
pub const WORD_BYTES: usize = 32;
