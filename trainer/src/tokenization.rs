//! How texts are cut into tokens: by the engine's own tokenizer, with the character table of a model.

use std::sync::atomic::{AtomicU64, Ordering};

use latch_engine::input::characters::Characters;
use latch_engine::input::text::Tokens;
use latch_engine::input::tokenizer::{First, Token, Tokenizer};
use rayon::prelude::*;

use crate::characters::{Seen, table};
use crate::config::ModelConfig;
use crate::dataset::Example;

/// What a token is, and what the characters beyond ASCII are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokenization {
    /// What a token is.
    pub tokens: Tokens,
    /// The character table's entries, little-endian.
    characters: Vec<u8>,
}

impl Tokenization {
    /// That of a model which learns from these texts.
    pub fn of_texts<'t>(tokens: Tokens, texts: impl Iterator<Item = &'t str>) -> Self {
        Self::with(tokens, &table(tokens, &Seen::of(texts)))
    }

    /// That of a model which learns from these examples.
    pub fn of_examples<L: Sync>(tokens: Tokens, examples: &[Example<L>]) -> Self {
        Self::with(tokens, &table(tokens, &seen(examples)))
    }

    /// The same with a table that has been kept.
    pub fn with(tokens: Tokens, characters: &[u32]) -> Self {
        Tokenization { tokens, characters: characters.iter().flat_map(|entry| entry.to_le_bytes()).collect() }
    }

    /// The entries of the character table.
    pub fn characters(&self) -> Vec<u32> {
        Characters::new(&self.characters).entries().collect()
    }

    /// The character table's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.characters
    }

    /// What characters beyond ASCII the texts of these examples have, in one line; `None` where they have none.
    pub fn summary<L: Sync>(&self, examples: &[Example<L>]) -> Option<String> {
        let seen = seen(examples);
        let (count, scripts) = (seen.iter().count(), seen.scripts(self.tokens));
        let what = if count == 1 { "character" } else { "characters" };
        let scripts = if scripts.is_empty() { String::new() } else { format!(" ({})", scripts.join(", ")) };
        (count > 0).then(|| format!("{count} {what} beyond ASCII{scripts}; a table of {} bytes", self.characters.len()))
    }

    /// Cuts a text, and says of each token whether it is the first since a character that separates.
    pub fn for_each(&self, text: &str, mut each: impl FnMut(Token<'_>, First)) {
        TOKENIZED.fetch_add(text.len() as u64, Ordering::Relaxed);
        let characters = Characters::new(&self.characters);
        let mut tokenizer = Tokenizer::of(self.tokens);
        tokenizer.push_each(characters, text.as_bytes(), &mut each);
        tokenizer.finish_each(characters, &mut each);
    }

    /// Cuts a text in which each part between white space has a label. Such a part may be several tokens, or none.
    pub fn for_each_labelled(&self, text: &str, mut each: impl FnMut(Piece<'_>)) {
        TOKENIZED.fetch_add(text.len() as u64, Ordering::Relaxed);
        let characters = Characters::new(&self.characters);
        let mut tokenizer = Tokenizer::of(self.tokens);
        for labelled in text.split_whitespace() {
            // As an evaluation reads it: a space ends what has a label.
            for bytes in [labelled.as_bytes(), b" "] {
                tokenizer.push_each(characters, bytes, |token, first| each(Piece::Token(token, first)));
            }
            each(Piece::End);
        }
    }
}

/// A piece of a text whose parts have labels.
pub enum Piece<'t> {
    /// A token, and whether it is the first since a character that separates.
    Token(Token<'t>, First),
    /// The end of a part that has a label.
    End,
}

/// The characters beyond ASCII that examples have.
fn seen<L: Sync>(examples: &[Example<L>]) -> Seen {
    let of = |examples: &[Example<L>]| Seen::of(examples.iter().map(|example| example.text.as_str()));
    examples.par_chunks(4_096).map(of).reduce(Seen::default, Seen::and)
}

/// Bytes of text that this process has tokenized.
static TOKENIZED: AtomicU64 = AtomicU64::new(0);

/// Bytes of text that this process has tokenized so far: by this number a test holds a pipeline to reading its texts once.
pub fn tokenized_bytes() -> u64 {
    TOKENIZED.load(Ordering::Relaxed)
}

/// The tokens for texts where nobody says what they are: syllables where more than half of the letters are Hangul, else words.
pub fn tokens_of<'t>(texts: impl Iterator<Item = &'t str>) -> Tokens {
    let texts: Vec<&str> = texts.collect();
    let count = |text: &&str| {
        if text.is_ascii() {
            return (text.bytes().filter(u8::is_ascii_alphabetic).count() as u64, 0);
        }
        let letters = text.chars().filter(|letter| letter.is_alphabetic());
        letters.fold((0_u64, 0_u64), |(letters, hangul), letter| {
            (letters + 1, hangul + u64::from(matches!(letter, '가'..='힣' | 'ㄱ'..='ㆎ')))
        })
    };
    let (letters, hangul) = texts.par_iter().map(count).reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    if 2 * hangul > letters { Tokens::Syllables } else { Tokens::Words }
}

/// What a token is: as it was asked for, as the model says, or as the texts have it.
pub fn resolve<L>(asked: Option<Tokens>, model: &ModelConfig, examples: &[Example<L>]) -> Tokens {
    match (asked, model.tokens) {
        (Some(tokens), _) => tokens,
        (None, Tokens::Words) => tokens_of(examples.iter().map(|example| example.text.as_str())),
        (None, tokens) => tokens,
    }
}

/// Tokens of the median text up to which characters may read more of it.
const SHORT: usize = 4;

/// Share of unknown tokens from which on characters may read more.
const MANY_UNKNOWN: f64 = 0.2;

/// What to try where words suit the texts badly, in words; `None` where they do not. `lengths` are the tokens of each text, `unknown` is the share of
/// them that the vocabulary does not have.
pub fn advice(tokens: Tokens, mut lengths: Vec<usize>, unknown: f64) -> Option<String> {
    if tokens.are_characters() || lengths.is_empty() {
        return None;
    }
    let middle = lengths.len() / 2;
    let median = *lengths.select_nth_unstable(middle).1;
    let reason = if median <= SHORT {
        format!("half of the texts have at most {median} {}", if median == 1 { "token" } else { "tokens" })
    } else if unknown >= MANY_UNKNOWN {
        format!("{:.0} % of the tokens are not in the vocabulary", 100.0 * unknown)
    } else {
        return None;
    };
    Some(format!("note: {reason}; --tokens chars reads each character, and may do better"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syllables_are_the_tokens_where_most_letters_are_hangul() {
        let of = |texts: &[&str]| tokens_of(texts.iter().copied());
        assert_eq!(of(&["정말 좋다 ㅋㅋ", "good"]), Tokens::Syllables);
        assert_eq!(of(&["정말", "so"]), Tokens::Words);
        assert_eq!(of(&["", "123 !!"]), Tokens::Words);
    }

    #[test]
    fn characters_are_advised_for_short_texts_and_many_unknown_words() {
        assert!(advice(Tokens::Words, vec![1, 2, 50], 0.0).is_some_and(|advice| advice.contains("at most 2 tokens")));
        assert!(advice(Tokens::Words, vec![30; 3], 0.3).is_some_and(|advice| advice.contains("30 % of the tokens")));
        assert_eq!(advice(Tokens::Words, vec![30; 3], 0.1), None);
        assert_eq!(advice(Tokens::Characters, vec![1; 3], 1.0), None);
        assert_eq!(advice(Tokens::Words, vec![], 1.0), None);
    }
}
