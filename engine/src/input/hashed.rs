//! Rows of the embedding that words share by their hash: for words that the vocabulary does not have, so that they need no spelling in flash.
//!
//! ```text
//! id = words + (mix(FNV-1a(spelling)) · rows >> 32)        the hash and `mix` are those of the n-grams, see [`super::ngrams`]
//! ```
//!
//! With the whole word as the spelling this is the hashing trick (Weinberger et al. 2009) for all words that are too rare for a row of their own; with its
//! last three characters it is a fallback to a part of the word, as in the character n-grams of Bojanowski et al. 2017: an English suffix, most often.

use super::ngrams::{mix, share, token_hash};
use crate::image::reader::Fields;
use serde::{Deserialize, Serialize};

/// Rows that the words share that are not in the vocabulary; see [`Hashed::row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Hashed {
    /// Rows, at least 1.
    pub rows: u32,
    /// What of the word is hashed.
    pub of: Spelling,
}

/// What of a word's spelling decides its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
#[serde(rename_all = "lowercase")]
pub enum Spelling {
    /// All of it.
    Whole,
    /// Its last three characters.
    Ending,
}

/// Characters of an ending.
const ENDING: usize = 3;

impl Hashed {
    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let rows = fields.u32();
        let of = match fields.u32() {
            0 => Spelling::Whole,
            1 => Spelling::Ending,
            _ => fields.refuse(Spelling::Whole),
        };
        Hashed { rows, of }
    }

    /// The row of a word among those that are shared, below [`Hashed::rows`].
    pub fn row(self, word: &[u8]) -> u32 {
        let spelling = match self.of {
            Spelling::Whole => word,
            Spelling::Ending => ending(word),
        };
        share(mix(token_hash(spelling, false)), self.rows)
    }
}

/// The last three characters of UTF-8, or all of them where there are not so many.
fn ending(word: &[u8]) -> &[u8] {
    // A byte `10xxxxxx` continues a character.
    let begins = |at: &usize| word.get(*at).is_some_and(|byte| byte & 0xC0 != 0x80);
    let start = (0..word.len()).rev().filter(begins).nth(ENDING - 1).unwrap_or(0);
    word.get(start..).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    proptest! {
        #[test]
        fn a_row_is_below_their_number_and_an_ending_has_the_last_three_characters(word in "\\PC{0,12}", rows in 1..=1_u32 << 20) {
            let characters = word.chars().count();
            let last: String = word.chars().skip(characters.saturating_sub(3)).collect();
            prop_assert_eq!(ending(word.as_bytes()), last.as_bytes());
            let [whole, end] = [Spelling::Whole, Spelling::Ending].map(|of| Hashed { rows, of });
            prop_assert!(whole.row(word.as_bytes()) < rows);
            prop_assert_eq!(end.row(word.as_bytes()), whole.row(last.as_bytes()));
        }

        #[test]
        fn bytes_that_are_no_utf8_have_a_row_too(word: std::vec::Vec<u8>) {
            let hashed = Hashed { rows: 7, of: Spelling::Ending };
            prop_assert!(hashed.row(&word) < 7);
        }
    }

    /// The hash belongs to the format.
    #[test]
    fn rows_are_those_of_the_specification() {
        let words = ["hopeless", "tasteless", "singing", "좋아요", "to"];
        let rows = |of| words.map(|word| Hashed { rows: 1_000, of }.row(word.as_bytes()));
        assert_eq!(rows(Spelling::Whole), [784, 501, 138, 542, 697]);
        assert_eq!(rows(Spelling::Ending), [222, 222, 430, 542, 697]);
    }
}
