//! The words that a model knows, chosen from training text with the engine's own tokenizer.

mod interned;
mod ranking;

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::input::tokenizer::Token;
use latch_engine::input::vocabulary::encode::{self, Encoded};
use latch_engine::layers::embedding::MAX_ROWS;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::config::TrainConfig;
use crate::dataset::{Example, Labels, hex};
use crate::error::fault;
use crate::samples::Scaling;
use crate::tokenization::{Piece, Tokenization};
pub use interned::{Interned, Watch};
pub use ranking::{Ranked, rank, rank_keeping};

/// Something of each word. Every token of every text is looked up here, so that it hashes faster than the standard library's, with a seed of its own too.
type ByWord<T> = HashMap<String, T, foldhash::fast::RandomState>;

/// Words in the order of their ids, which is their byte order.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    words: Vec<String>,
    ids: ByWord<u32>,
    /// What a word does that is not among them.
    pub unknown: Unknown,
    /// How texts are cut into tokens.
    pub tokenization: Tokenization,
    /// How samples are scaled, of a model that reads these and no words.
    pub scaling: Option<Scaling>,
}

impl Vocabulary {
    /// The `size` most frequent tokens of the texts (fewer where there are not so many); ties go to the smaller word.
    pub fn build<'t>(texts: impl Iterator<Item = &'t str>, size: usize, unknown: Unknown) -> Self {
        Self::build_of(Tokens::Words, texts, size, unknown)
    }

    /// The same with tokens of a kind.
    pub fn build_of<'t>(tokens: Tokens, texts: impl Iterator<Item = &'t str>, size: usize, unknown: Unknown) -> Self {
        let texts: Vec<(&str, u32)> = texts.map(|text| (text, 0)).collect();
        let tokenization = Tokenization::of_texts(tokens, texts.iter().map(|(text, _)| *text));
        let ranked = ranking::by_count(&tokenization, &texts);
        let words = ranked.into_iter().take(size).map(|ranked| ranked.word).collect();
        Self::new(words, unknown, tokenization)
    }

    /// What a model that reads samples has in place of words.
    pub fn of_samples(scaling: Scaling) -> Self {
        Vocabulary { scaling: Some(scaling), ..Self::new(Vec::new(), Unknown::Skip, Tokenization::default()) }
    }

    /// The vocabulary that a run's configuration takes of its training texts; of recordings their scaling.
    pub fn of_run<L: Labels>(config: &TrainConfig, examples: &[Example<L>]) -> Self {
        if let Some(samples) = config.model.samples {
            return Self::of_samples(Scaling::learned(samples, config.model.chain.embedding, examples));
        }
        let tokenization = Tokenization::of_examples(config.tokens(), examples);
        let ranked = rank(&tokenization, config.model.words, examples);
        Self::of_ranked(config, tokenization, &ranked)
    }

    /// The same of the words of the training texts as [`rank`] puts them in order.
    pub fn of_ranked(config: &TrainConfig, tokenization: Tokenization, ranked: &[Ranked]) -> Self {
        let words = ranked.iter().take(config.model.vocab).map(|ranked| ranked.word.clone()).collect();
        Self::new(words, config.unknown(), tokenization)
    }

    /// A vocabulary of these words in texts that have no other characters; the order does not matter.
    pub fn from_words(words: Vec<String>, unknown: Unknown) -> Self {
        Self::from_words_of(Tokens::Words, words, unknown)
    }

    /// The same with tokens of a kind.
    pub fn from_words_of(tokens: Tokens, words: Vec<String>, unknown: Unknown) -> Self {
        let tokenization = Tokenization::of_texts(tokens, words.iter().map(String::as_str));
        Self::new(words, unknown, tokenization)
    }

    /// A vocabulary of these words, in any order, in texts that are cut so.
    pub fn new(mut words: Vec<String>, unknown: Unknown, tokenization: Tokenization) -> Self {
        words.sort_unstable();
        words.dedup();
        let ids = words.iter().enumerate().map(|(id, word)| (word.clone(), id as u32)).collect();
        Vocabulary { words, ids, unknown, tokenization, scaling: None }
    }

    /// The words in the order of their ids.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// SHA-256 of the words, each with a line end behind it, and of the character table's bytes, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        self.words.iter().for_each(|word| digest.update(format!("{word}\n")));
        digest.update(self.tokenization.bytes());
        hex(&digest.finalize())
    }

    /// Rows that an embedding needs: the words, and more where unknown words have some.
    pub fn rows(&self) -> usize {
        self.words.len() + self.unknown.rows() as usize
    }

    /// Gives each token of a text, and whether it is one of the words.
    pub fn each_token(&self, text: &str, each: &mut dyn FnMut(&[u8], bool)) {
        self.tokenization.for_each(text, |token, _| {
            let is_known = std::str::from_utf8(token.bytes()).is_ok_and(|word| self.ids.contains_key(word));
            each(token.bytes(), is_known);
        });
    }

    /// The id of a token; `None` of one that the network does not read.
    fn id(&self, token: Token<'_>) -> Option<u32> {
        let known = std::str::from_utf8(token.bytes()).ok().and_then(|word| self.ids.get(word).copied());
        match token {
            Token::Word(word) => known.or_else(|| self.unknown.id(self.words.len() as u32, word)),
            Token::Mark(_) => known,
        }
    }

    /// The ids of a text: what the engine's [`latch_engine::Session::push_bytes`] reads of it.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.tokenization.for_each(text, |token, _| ids.extend(self.id(token)));
        // A large set of texts has most of its memory here.
        ids.shrink_to_fit();
        ids
    }

    /// The same of a text in which each part between white space has a label, and of each of these parts how many ids are read when it has been read.
    pub fn labelled_ids(&self, text: &str) -> (Vec<u32>, Vec<usize>) {
        let (mut ids, mut ends) = (Vec::new(), Vec::new());
        self.tokenization.for_each_labelled(text, |piece| match piece {
            Piece::Token(token, _) => ids.extend(self.id(token)),
            Piece::End => ends.push(ids.len()),
        });
        ids.shrink_to_fit();
        (ids, ends)
    }

    /// The ids of texts that were cut as this vocabulary cuts them: of each the same as [`Vocabulary::ids`], without a second look at it.
    pub fn ids_of(&self, texts: Interned) -> Vec<Vec<u32>> {
        texts.into_ids(|token| self.id(token))
    }

    /// How often each id occurs in texts, one number a row of the embedding.
    pub fn occurrences<L: Labels>(&self, examples: &[Example<L>]) -> Vec<u32> {
        let ids: Vec<Vec<u32>> = examples.par_iter().map(|example| self.ids(&example.text)).collect();
        occurrences(ids.iter().map(Vec::as_slice), self.rows())
    }

    /// Checks that there is a word, and that the words are not more than an image holds; `data` is where they come from, `option` says how
    /// many there are to be.
    ///
    /// # Errors
    /// A fault naming the data or the option.
    pub fn check(&self, data: &Path, option: &str) -> Result<()> {
        if self.words.is_empty() {
            let remedy = "check that the text column is the right one";
            return Err(fault(data.display(), "the texts hold no word", remedy).into());
        }
        if self.rows() > MAX_ROWS as usize {
            let (words, rows) = (self.words.len(), self.unknown.rows());
            let problem = format!("{words} words and {rows} rows for unknown words are more than an image holds");
            return Err(fault(option, problem, format!("make them no more than {MAX_ROWS} together")).into());
        }
        Ok(())
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

/// How often each of `rows` ids occurs.
pub fn occurrences<'i>(examples: impl IntoIterator<Item = &'i [u32]>, rows: usize) -> Vec<u32> {
    let mut occurrences = vec![0_u32; rows];
    for &id in examples.into_iter().flatten() {
        if let Some(count) = occurrences.get_mut(id as usize) {
            *count = count.saturating_add(1);
        }
    }
    occurrences
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_engine::input::hashed::{Hashed, Spelling};

    #[test]
    fn the_most_frequent_words_get_ids_in_byte_order() {
        let vocabulary = Vocabulary::build(["b a c b", "a B d"].into_iter(), 2, Unknown::LastRow);
        assert_eq!(vocabulary.words(), ["a", "b"]);
        assert_eq!(vocabulary.rows(), 3);
        assert_eq!(vocabulary.ids("d A b!"), [2, 0, 1]);
    }

    #[test]
    fn a_vocabulary_of_syllables_has_other_words_whole() {
        let texts = ["영화 좋다", "영화 good"];
        let vocabulary = Vocabulary::build_of(Tokens::Syllables, texts.into_iter(), 3, Unknown::LastRow);
        assert_eq!(vocabulary.words(), ["good", "영", "화"]);
        assert_eq!(vocabulary.ids("good영 화좋"), [0, 1, 2, 3]);
    }

    #[test]
    fn a_vocabulary_of_characters_has_the_space_between_words() {
        let vocabulary = Vocabulary::build_of(Tokens::Characters, ["Né à né"].into_iter(), 9, Unknown::LastRow);
        assert_eq!(vocabulary.words(), [" ", "n", "à", "é"]);
        assert_eq!(vocabulary.ids(" NÉ  x"), [1, 3, 0, 4]);
    }

    #[test]
    fn unknown_words_are_left_out_where_they_are_to_be_skipped() {
        let vocabulary = Vocabulary::from_words(vec!["good".into(), "not".into()], Unknown::Skip);
        assert_eq!(vocabulary.ids("this is not really good."), [1, 0]);
    }

    #[test]
    fn texts_that_were_cut_once_have_the_ids_of_a_second_look_on_any_number_of_threads() {
        let text = |number: usize| format!("Word{} don't!! w{} 7.5 \u{e9}t\u{e9}", number % 89, number % 1_013);
        let examples: Vec<Example<u32>> = (0..3_000).map(|number| Example::new(0, text(number))).collect();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let hashed = Unknown::Hashed(Hashed { rows: 7, of: Spelling::Whole });
        for threads in [1, 3] {
            for unknown in [Unknown::LastRow, Unknown::Skip, hashed] {
                let (vocabulary, ids) = pool(threads).install(|| {
                    let tokenization = Tokenization::of_examples(Tokens::Words, &examples);
                    let (ranked, texts) =
                        rank_keeping(&tokenization, crate::config::Words::Count, &examples, &mut |_, _| {});
                    let words = ranked.into_iter().take(60).map(|ranked| ranked.word).collect();
                    let vocabulary = Vocabulary::new(words, unknown, tokenization);
                    let ids = vocabulary.ids_of(texts.expect("words are kept"));
                    (vocabulary, ids)
                });
                assert!(examples.iter().map(|example| vocabulary.ids(&example.text)).eq(ids), "{threads} {unknown:?}");
            }
        }
    }

    #[test]
    fn texts_of_characters_are_not_kept_as_numbers() {
        let examples = [Example::new(0_u32, "a b")];
        let tokenization = Tokenization::of_examples(Tokens::Characters, &examples);
        let (ranked, texts) = rank_keeping(&tokenization, crate::config::Words::Count, &examples, &mut |_, _| {});
        assert!(ranked.len() == 3 && texts.is_none());
    }
}
