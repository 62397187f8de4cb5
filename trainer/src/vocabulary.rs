//! The words that a model knows, chosen from training text with the engine's own tokenizer.

use std::collections::HashMap;

use anyhow::Result;
use latch_engine::image::manifest::{Units, Unknown};
use latch_engine::input::text::{Token, Tokenizer};
use latch_engine::input::vocabulary::encode::{self, Encoded};
use sha2::{Digest, Sha256};

use crate::dataset::hex;
use crate::error::fault;

/// Words in the order of their ids, which is their byte order.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    words: Vec<String>,
    ids: HashMap<String, u32>,
    /// What a word does that is not among them.
    pub unknown: Unknown,
    /// What a token is.
    pub units: Units,
}

impl Vocabulary {
    /// The `size` most frequent tokens of the texts (fewer where there are not so many); ties go to the smaller word.
    pub fn build<'t>(texts: impl Iterator<Item = &'t str>, size: usize, unknown: Unknown) -> Self {
        Self::build_of(Units::Words, texts, size, unknown)
    }

    /// The same with tokens of a kind.
    pub fn build_of<'t>(units: Units, texts: impl Iterator<Item = &'t str>, size: usize, unknown: Unknown) -> Self {
        let mut ranked = ranked(units, texts);
        ranked.truncate(size);
        let words = ranked.into_iter().map(|(_, word)| word).collect();
        Vocabulary { units, ..Self::from_words(words, unknown) }
    }

    /// A vocabulary of these words; the order does not matter.
    pub fn from_words(mut words: Vec<String>, unknown: Unknown) -> Self {
        words.sort_unstable();
        words.dedup();
        let ids = words.iter().enumerate().map(|(id, word)| (word.clone(), id as u32)).collect();
        Vocabulary { words, ids, unknown, units: Units::Words }
    }

    /// The words in the order of their ids.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// SHA-256 of the words, each with a line end behind it, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        self.words.iter().for_each(|word| digest.update(format!("{word}\n")));
        hex(&digest.finalize())
    }

    /// Rows that an embedding needs: the words, and one more where unknown words have a row.
    pub fn rows(&self) -> usize {
        self.words.len() + usize::from(self.unknown == Unknown::LastRow)
    }

    /// The ids of a text: what the engine's [`latch_engine::model::Session::push_bytes`] reads of it.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let unknown = (self.unknown == Unknown::LastRow).then_some(self.words.len() as u32);
        let mut ids = Vec::new();
        for_each_token(self.units, text, |token| {
            let known = std::str::from_utf8(token.bytes()).ok().and_then(|word| self.ids.get(word).copied());
            let id = match token {
                Token::Word(_) => known.or(unknown),
                Token::Mark(_) => known,
            };
            ids.extend(id);
        });
        ids
    }

    /// The vocabulary as the image holds it.
    ///
    /// # Errors
    /// A fault when a word is longer than the engine's words can be.
    pub fn encode(&self) -> Result<Encoded> {
        let words: Vec<&[u8]> = self.words.iter().map(|word| word.as_bytes()).collect();
        encode::encode(&words)
            .map_err(|error| fault("vocabulary", error.to_string(), "remove that word from the list").into())
    }
}

/// The units for texts: syllables where more than half of their letters are Hangul.
pub fn units_of<'t>(texts: impl Iterator<Item = &'t str>) -> Units {
    let (mut letters, mut hangul) = (0_u64, 0_u64);
    for letter in texts.flat_map(str::chars).filter(|letter| letter.is_alphabetic()) {
        letters += 1;
        hangul += u64::from(matches!(letter, '가'..='힣' | 'ㄱ'..='ㆎ'));
    }
    if 2 * hangul > letters { Units::Syllables } else { Units::Words }
}

/// The tokens of the texts with their number, the most frequent first; ties go to the smaller word.
pub fn ranked<'t>(units: Units, texts: impl Iterator<Item = &'t str>) -> Vec<(u64, String)> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for text in texts {
        for_each_token(units, text, |token| match std::str::from_utf8(token.bytes()) {
            Ok(word) => match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_owned(), 1);
                }
            },
            Err(_) => unreachable_token(),
        });
    }
    let mut ranked: Vec<(u64, String)> = counts.into_iter().map(|(word, count)| (count, word)).collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    ranked
}

fn for_each_token(units: Units, text: &str, mut each: impl FnMut(Token<'_>)) {
    let mut tokenizer = Tokenizer::of(units);
    tokenizer.push(text.as_bytes(), &mut each);
    tokenizer.finish(&mut each);
}

/// The tokenizer gives UTF-8 only, which its own tests hold it to.
fn unreachable_token() {
    tracing::error!("the tokenizer gave a token that is no UTF-8; it was left out");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_words_get_ids_in_byte_order() {
        let vocabulary = Vocabulary::build(["b a c b", "a B d"].into_iter(), 2, Unknown::LastRow);
        assert_eq!(vocabulary.words(), ["a", "b"]);
        assert_eq!(vocabulary.rows(), 3);
        assert_eq!(vocabulary.ids("d A b!"), [2, 0, 1]);
    }

    #[test]
    fn syllables_are_the_units_where_most_letters_are_hangul() {
        let of = |texts: &[&str]| units_of(texts.iter().copied());
        assert_eq!(of(&["정말 좋다 ㅋㅋ", "good"]), Units::Syllables);
        assert_eq!(of(&["정말", "so"]), Units::Words);
        assert_eq!(of(&["", "123 !!"]), Units::Words);
        let texts = ["영화 좋다", "영화 good"];
        let vocabulary = Vocabulary::build_of(Units::Syllables, texts.into_iter(), 3, Unknown::LastRow);
        assert_eq!(vocabulary.words(), ["good", "영", "화"]);
        assert_eq!(vocabulary.ids("good영 화좋"), [0, 1, 2, 3]);
    }

    #[test]
    fn unknown_words_are_left_out_where_they_are_to_be_skipped() {
        let vocabulary = Vocabulary::from_words(vec!["good".into(), "not".into()], Unknown::Skip);
        assert_eq!(vocabulary.ids("this is not really good."), [1, 0]);
    }
}
