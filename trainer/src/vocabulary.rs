//! The words that a model knows, chosen from training text with the engine's own tokenizer.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::input::tokenizer::Token;
use latch_engine::input::vocabulary::encode::{self, Encoded};
use latch_engine::layers::embedding::MAX_ROWS;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::config::{TrainConfig, Words};
use crate::dataset::{Example, Labels, hex};
use crate::error::fault;
use crate::tokenization::{Piece, Tokenization};

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
        let ranked = ranked(&tokenization, &texts, &mut |_, _| {});
        let words = ranked.into_iter().take(size).map(|ranked| ranked.word).collect();
        Self::new(words, unknown, tokenization)
    }

    /// The vocabulary that a run's configuration takes of its training texts.
    pub fn of_run<L: Labels>(config: &TrainConfig, examples: &[Example<L>]) -> Self {
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
        Vocabulary { words, ids, unknown, tokenization }
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

/// A token of training texts, as [`rank`] puts it in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The token.
    pub word: String,
    /// How often it occurs; by [`Words::Useful`] in how many texts.
    pub count: u64,
    /// How often it occurs.
    pub tokens: u64,
}

/// What is counted of a token.
#[derive(Clone, Debug, Default)]
struct Count {
    tokens: u64,
    /// The texts that have it, by their class.
    texts: Vec<u32>,
    /// The last of these texts.
    last: usize,
}

/// How far a count has come: texts, and all texts.
pub type Watch<'w> = &'w mut dyn FnMut(u64, u64);

/// Pieces in which texts are counted; after each it is said how far the count has come.
const PIECES: usize = 16;

/// The tokens of texts with what is counted of them, on all cores; texts by their class where `by_class` says so.
fn counted(tokenization: &Tokenization, texts: &[(&str, u32)], by_class: bool, watch: Watch<'_>) -> ByWord<Count> {
    let count = |texts: &[(&str, u32)]| {
        let mut counts: ByWord<Count> = ByWord::default();
        for (number, &(text, class)) in texts.iter().enumerate() {
            tokenization.for_each(text, |token, _| {
                let Ok(word) = std::str::from_utf8(token.bytes()) else { return unreachable_token() };
                let class = by_class.then_some(class as usize);
                if let Some(count) = counts.get_mut(word) {
                    count.take(number, class);
                } else {
                    let mut count = Count { last: usize::MAX, ..Count::default() };
                    count.take(number, class);
                    counts.insert(word.to_owned(), count);
                }
            });
        }
        counts
    };
    let merge = |mut a: ByWord<Count>, mut b: ByWord<Count>| {
        if a.len() < b.len() {
            std::mem::swap(&mut a, &mut b);
        }
        for (word, other) in b {
            match a.get_mut(&word) {
                Some(count) => count.merge(&other),
                None => {
                    a.insert(word, other);
                }
            }
        }
        a
    };
    let mut all = ByWord::default();
    let (piece, mut done) = (texts.len().div_ceil(PIECES).max(1_024), 0);
    for texts_of_piece in texts.chunks(piece) {
        let share = texts_of_piece.len().div_ceil(rayon::current_num_threads()).max(64);
        let counts = texts_of_piece.par_chunks(share).map(count).reduce(ByWord::default, merge);
        all = merge(all, counts);
        done += texts_of_piece.len();
        watch(done as u64, texts.len() as u64);
    }
    all
}

impl Count {
    /// Takes a token of a text by its number; the text counts once for its class, where there is one.
    fn take(&mut self, text: usize, class: Option<usize>) {
        self.tokens += 1;
        if let Some(class) = class.filter(|_| self.last != text) {
            self.last = text;
            self.add(class, 1);
        }
    }

    fn add(&mut self, class: usize, texts: u32) {
        self.texts.resize(self.texts.len().max(class + 1), 0);
        self.texts[class] += texts;
    }

    fn merge(&mut self, other: &Count) {
        self.tokens += other.tokens;
        other.texts.iter().enumerate().for_each(|(class, &texts)| self.add(class, texts));
    }
}

/// The tokens of the texts with their number, the most frequent first; ties go to the smaller word.
fn ranked(tokenization: &Tokenization, texts: &[(&str, u32)], watch: Watch<'_>) -> Vec<Ranked> {
    let counts = counted(tokenization, texts, false, watch);
    let mut ranked: Vec<Ranked> =
        counts.into_iter().map(|(word, Count { tokens, .. })| Ranked { word, count: tokens, tokens }).collect();
    ranked.par_sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
    ranked
}

/// The words of training texts with a number of each, those first that a vocabulary takes first: by their number, ties by the smaller word, or by
/// [`ranked_by_use`].
pub fn rank<L: Labels>(tokenization: &Tokenization, words: Words, examples: &[Example<L>]) -> Vec<Ranked> {
    rank_watched(tokenization, words, examples, &mut |_, _| {})
}

/// As [`rank`]; says how far it has come.
pub fn rank_watched<L: Labels>(
    tokenization: &Tokenization,
    words: Words,
    examples: &[Example<L>],
    watch: Watch<'_>,
) -> Vec<Ranked> {
    let texts: Vec<(&str, u32)> =
        examples.iter().map(|example| (example.text.as_str(), example.label.stratum())).collect();
    match words {
        Words::Count => ranked(tokenization, &texts, watch),
        Words::Useful => ranked_by_use(tokenization, &texts, watch),
    }
}

/// The tokens of texts with their classes, each with the number of texts that have it, the most useful first: a word's use is the number of its texts
/// times how far they shift the odds of a class (the log-count ratio of Wang and Manning 2012, of the class that they shift most),
///
/// ```text
/// use(w) = n · max over classes c of |ln((n_c + 1) / (N_c + 2)) − ln((n − n_c + 1) / (N − N_c + 2))|
/// ```
///
/// with n the texts that have w, n_c those of class c among them, and N and N_c the same of all texts. What is in one text only comes behind all others.
/// Ties go to the smaller word.
fn ranked_by_use(tokenization: &Tokenization, texts: &[(&str, u32)], watch: Watch<'_>) -> Vec<Ranked> {
    let mut totals: Vec<u64> = Vec::new();
    for &(_, class) in texts {
        totals.resize(totals.len().max(class as usize + 1), 0);
        totals[class as usize] += 1;
    }
    let words = counted(tokenization, texts, true, watch);
    let all: u64 = totals.iter().sum();
    let use_of = |counts: &[u32], texts: u64| {
        let share = |part: u64, whole: u64| ((part + 1) as f64 / (whole + 2) as f64).ln();
        let shift = |(class, &total): (usize, &u64)| {
            let inside = counts.get(class).map_or(0, |&inside| u64::from(inside));
            (share(inside, total) - share(texts - inside, all - total)).abs()
        };
        texts as f64 * totals.iter().enumerate().map(shift).fold(0.0, f64::max)
    };
    let useful = |(word, Count { tokens, texts, .. }): (String, Count)| {
        let count = texts.iter().map(|&texts| u64::from(texts)).sum();
        (use_of(&texts, count), Ranked { word, count, tokens })
    };
    let mut ranked: Vec<(f64, Ranked)> = words.into_iter().map(useful).collect();
    ranked.par_sort_unstable_by(|(a_use, a), (b_use, b)| {
        let of_one = |ranked: &Ranked| ranked.count < 2;
        of_one(a).cmp(&of_one(b)).then(b_use.total_cmp(a_use)).then_with(|| a.word.cmp(&b.word))
    });
    ranked.into_iter().map(|(_, ranked)| ranked).collect()
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
    fn the_most_useful_words_tell_classes_apart_and_words_of_one_text_come_last() {
        let texts = [
            ("the plot is dull dull", 0),
            ("the film is dull", 0),
            ("the plot is fine", 1),
            ("the film is fine but long", 1),
            ("the film is about a plot", 2),
        ];
        let ranked = ranked_by_use(&Tokenization::default(), &texts, &mut |_, _| {});
        let words: Vec<(u64, &str)> = ranked.iter().map(|ranked| (ranked.count, ranked.word.as_str())).collect();
        assert_eq!(words[..2], [(2, "dull"), (2, "fine")]);
        assert_eq!(words.len(), 10);
        assert_eq!(words[6..].iter().map(|(texts, _)| *texts).collect::<Vec<_>>(), [1; 4]);
        // Two classes of 200 texts: 40 with a word that shifts the odds by a half go before 100 with one that hardly does.
        let text = |number: u32| {
            let (class, place) = (number % 2, number / 2);
            let weak = if place < 50 + class { "weak" } else { "" };
            let strong = if place < 15 + 10 * class { "strong" } else { "" };
            (format!("{weak} {strong}"), class)
        };
        let texts: Vec<(String, u32)> = (0..400).map(text).collect();
        let texts: Vec<(&str, u32)> = texts.iter().map(|(text, class)| (text.as_str(), *class)).collect();
        let ranked = ranked_by_use(&Tokenization::default(), &texts, &mut |_, _| {});
        let expected = [("strong", 40), ("weak", 101)];
        let expected = expected.map(|(word, count)| Ranked { word: word.to_owned(), count, tokens: count });
        assert_eq!(ranked, expected);
    }

    #[test]
    fn unknown_words_are_left_out_where_they_are_to_be_skipped() {
        let vocabulary = Vocabulary::from_words(vec!["good".into(), "not".into()], Unknown::Skip);
        assert_eq!(vocabulary.ids("this is not really good."), [1, 0]);
    }
    #[test]
    fn words_are_ranked_alike_on_one_thread_and_on_many() {
        let text = |number: u32| Example { label: number % 3, text: format!("w{} w{} x", number % 97, number % 1_009) };
        let texts: Vec<Example<u32>> = (0..5_000).map(text).collect();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for words in [Words::Count, Words::Useful] {
            let mut watched = Vec::new();
            let [one, many] =
                [1, 3].map(|threads| pool(threads).install(|| rank(&Tokenization::default(), words, &texts)));
            let again =
                rank_watched(&Tokenization::default(), words, &texts, &mut |done, all| watched.push((done, all)));
            assert!(one == many && one == again);
            assert_eq!(one.iter().map(|ranked| ranked.tokens).sum::<u64>(), 15_000);
            assert_eq!(watched.last(), Some(&(5_000, 5_000)));
        }
    }
}
