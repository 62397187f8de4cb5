//! Tokens that a model does not know: how many a set of texts has, and which of them are the most frequent.

use std::cmp::Reverse;
use std::collections::HashMap;

use latch_engine::Model;
use latch_engine::input::tokenizer::{Token, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::composed::composed;
use crate::dataset::Example;
use crate::shown::shown;
use crate::vocabulary::{Ranked, Vocabulary};

/// Tokens that are listed.
const LISTED: usize = 10;

/// The share of unknown tokens from which it is a reason for a warning.
const MANY: f64 = 0.1;

/// Texts that one thread counts at a time.
const TEXTS: usize = 512;

/// The tokens of some texts, and those among them that a model does not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnknownTokens {
    /// All tokens.
    pub tokens: u64,
    /// Those that are unknown.
    pub unknown: u64,
    /// Their share; 0 without tokens.
    pub share: f64,
    /// The most frequent unknown ones with their number, at most ten.
    pub most: Vec<(String, u64)>,
}

impl UnknownTokens {
    fn new(tokens: u64, unknown: u64, most: Vec<(String, u64)>) -> Self {
        UnknownTokens { tokens, unknown, share: unknown as f64 / tokens.max(1) as f64, most }
    }

    /// Those of training texts, of whose ranked words a vocabulary `kept` the first.
    pub fn left_over(ranked: &[Ranked], kept: usize) -> Self {
        let sum = |ranked: &[Ranked]| ranked.iter().map(|ranked| ranked.tokens).sum();
        let left = &ranked[kept.min(ranked.len())..];
        UnknownTokens::new(
            sum(ranked),
            sum(left),
            most(left.iter().map(|ranked| (ranked.word.as_str(), ranked.tokens))),
        )
    }

    /// Those of labelled texts for a vocabulary.
    pub fn of<L: Sync>(vocabulary: &Vocabulary, examples: &[Example<L>]) -> Self {
        Counter::of(examples, |text, each| vocabulary.each_token(text, each)).finish()
    }

    /// How many of the tokens are unknown, and which, in words: `3.1 % (120 of 3,900; most: film 12, good 3)`.
    pub fn words(&self) -> String {
        let count = |number: u64| thousands(number as usize);
        let most = match listed(&self.most) {
            Some(most) => format!("; most: {most}"),
            None => String::new(),
        };
        format!("{} ({} of {}{most})", percent(self.share), count(self.unknown), count(self.tokens))
    }
}

/// Tokens with their number, in words; `None` without any.
pub fn listed(tokens: &[(String, u64)]) -> Option<String> {
    let named = |(token, count): &(String, u64)| format!("{} {}", shown(token), thousands(*count as usize));
    (!tokens.is_empty()).then(|| tokens.iter().map(named).collect::<Vec<_>>().join(", "))
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A number with commas between its thousands.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Why so many tokens are unknown that the answers suffer, by the name of the texts; `None` where few are.
pub fn warning(parts: &[(&str, &UnknownTokens)]) -> Option<String> {
    let (name, worst) = parts.iter().max_by(|a, b| a.1.share.total_cmp(&b.1.share))?;
    if worst.tokens > 0 && worst.unknown == worst.tokens {
        return Some(format!(
            "no token of the {name} is known to the model: they may be in another language, or spelled in another way"
        ));
    }
    (worst.share >= MANY).then(|| {
        format!(
            "{} of the tokens of the {name} are unknown to the model, which reads them all alike or not at all",
            percent(worst.share)
        )
    })
}

/// The unknown tokens of the parts of a run's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnknownByPart {
    /// Of the texts that the network learns from.
    pub training: UnknownTokens,
    /// Of those that choose the best epoch.
    pub validation: UnknownTokens,
    /// Of the test part, where the data has one beside the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<UnknownTokens>,
}

impl UnknownByPart {
    fn parts(&self) -> Vec<(&'static str, &UnknownTokens)> {
        let fixed = [("training", &self.training), ("validation", &self.validation)];
        fixed
            .into_iter()
            .chain(self.test.as_ref().map(|test| ("test", test)))
            .filter(|(_, part)| part.tokens > 0)
            .collect()
    }

    /// The shares and the most frequent tokens, in words; `None` where every token is known.
    pub fn words(&self) -> Option<String> {
        let parts = self.parts();
        let shares: Vec<String> =
            parts.iter().map(|(name, part)| format!("{} of {name}", percent(part.share))).collect();
        let mut all: HashMap<&str, u64> = HashMap::new();
        for (token, count) in parts.iter().flat_map(|(_, part)| &part.most) {
            *all.entry(token).or_default() += count;
        }
        let most = most(all.into_iter());
        Some(format!("unknown tokens: {}; most frequent: {}", shares.join(", "), listed(&most)?))
    }

    /// Why to worry, if there is a reason.
    pub fn warning(&self) -> Option<String> {
        let parts = self.parts();
        let named: Vec<(String, &UnknownTokens)> =
            parts.iter().map(|(name, part)| (format!("{name} texts"), *part)).collect();
        warning(&named.iter().map(|(name, part)| (name.as_str(), *part)).collect::<Vec<_>>())
    }
}

/// The most frequent of tokens; of equal ones the smaller come first.
fn most<'t>(tokens: impl Iterator<Item = (&'t str, u64)>) -> Vec<(String, u64)> {
    let mut tokens: Vec<(&str, u64)> = tokens.collect();
    tokens.sort_unstable_by_key(|&(token, count)| (Reverse(count), token));
    tokens.into_iter().take(LISTED).map(|(token, count)| (token.to_owned(), count)).collect()
}

/// Counts tokens; what it gives does not depend on the number of threads.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    tokens: u64,
    unknown: HashMap<String, u64>,
}

impl Counter {
    /// Counts the tokens of texts; `tokens` calls with each token of a text, and whether it is known.
    fn of<L: Sync>(examples: &[Example<L>], tokens: impl Fn(&str, &mut dyn FnMut(&[u8], bool)) + Sync) -> Self {
        let count = |texts: &[Example<L>]| {
            let mut counter = Counter::default();
            for text in texts {
                tokens(&text.text, &mut |token, is_known| {
                    counter.tokens += 1;
                    if !is_known {
                        counter.add(token);
                    }
                });
            }
            counter
        };
        examples.par_chunks(TEXTS).map(count).reduce(Counter::default, Counter::merged)
    }

    /// Those of texts for the model of an image; nothing for one without words.
    pub fn of_model<L: Sync>(model: &Model<'_>, examples: &[Example<L>]) -> Self {
        if model.channels() > 0 {
            return Self::default();
        }
        Self::of(examples, |text, each| each_token(model, text, each))
    }

    fn add(&mut self, token: &[u8]) {
        let token = String::from_utf8_lossy(token);
        match self.unknown.get_mut(token.as_ref()) {
            Some(count) => *count += 1,
            None => {
                self.unknown.insert(token.into_owned(), 1);
            }
        }
    }

    /// Both together.
    #[must_use]
    pub fn merged(mut self, other: Counter) -> Self {
        if self.unknown.len() < other.unknown.len() {
            return other.merged(self);
        }
        self.tokens += other.tokens;
        for (token, count) in other.unknown {
            *self.unknown.entry(token).or_default() += count;
        }
        self
    }

    /// What was counted.
    pub fn finish(self) -> UnknownTokens {
        let most = most(self.unknown.iter().map(|(token, &count)| (token.as_str(), count)));
        UnknownTokens::new(self.tokens, self.unknown.values().sum(), most)
    }
}

/// The tokens of a text as an image's tokenizer makes them, each with whether it is one of the image's words.
fn each_token(model: &Model<'_>, text: &str, each: &mut dyn FnMut(&[u8], bool)) {
    let Some(words) = model.vocabulary() else { return };
    let mut tokenizer = Tokenizer::of(model.tokens());
    let mut give = |token: Token<'_>| each(token.bytes(), words.id(token.bytes()).is_some());
    tokenizer.push(model.characters(), composed(text).as_bytes(), &mut give);
    tokenizer.finish(model.characters(), &mut give);
}

/// The different unknown tokens of one text, in their order.
pub fn unknown_of(model: &Model<'_>, text: &str) -> Vec<String> {
    let mut unknown: Vec<String> = Vec::new();
    each_token(model, text, &mut |token, is_known| {
        let token = String::from_utf8_lossy(token);
        if !is_known && !unknown.iter().any(|known| *known == token) {
            unknown.push(token.into_owned());
        }
    });
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_engine::input::text::Unknown;

    fn texts(texts: &[&str]) -> Vec<Example<u32>> {
        texts.iter().map(|text| Example::new(0, *text)).collect()
    }

    fn of(words: &[&str], list: &[&str]) -> UnknownTokens {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        UnknownTokens::of(&Vocabulary::from_words(words, Unknown::LastRow), &texts(list))
    }

    #[test]
    fn unknown_tokens_are_counted_and_the_most_frequent_come_first() {
        let found = of(&["a", "b"], &["a x b x y", "z Y", "", "a"]);
        let most = [("x", 2), ("y", 2), ("z", 1)].map(|(word, count)| (word.to_owned(), count));
        assert_eq!(found, UnknownTokens { tokens: 8, unknown: 5, share: 0.625, most: most.to_vec() });
        assert_eq!(found.words(), "62.5 % (5 of 8; most: x 2, y 2, z 1)");
        let many: Vec<String> = (0..30_000).map(|number| format!("word{} a", number % 20_011)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let found = of(&["a"], &many);
        assert_eq!((found.tokens, found.unknown, found.most.len()), (60_000, 30_000, 10));
        assert_eq!(found.most[0], ("word0".to_owned(), 2));
        // The same on one thread and on many.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| of(&["a"], &many)), found);
    }

    #[test]
    fn from_a_tenth_on_there_is_a_warning_and_texts_without_a_known_word_are_named() {
        let warned = |list: &[&str]| warning(&[("texts", &of(&["a"], list))]);
        assert_eq!(warned(&["a a a a a a a a a a x"]), None);
        let said = warned(&["a a a a a a a a a x"]).unwrap();
        assert!(said.starts_with("10.0 % of the tokens of the texts are unknown"), "{said}");
        assert!(warned(&["x", "y"]).unwrap().contains("no token of the texts is known"));
        assert_eq!((warned(&[]), warned(&[""])), (None, None));
    }

    #[test]
    fn parts_are_named_with_their_shares() {
        let parts = UnknownByPart {
            training: of(&["a"], &["a a a x"]),
            validation: of(&["a"], &["x y"]),
            test: Some(of(&["a"], &["a"])),
        };
        assert_eq!(
            parts.words().unwrap(),
            "unknown tokens: 25.0 % of training, 100.0 % of validation, 0.0 % of test; most frequent: x 2, y 1"
        );
        assert!(parts.warning().unwrap().contains("validation texts"));
        assert_eq!(UnknownByPart { training: of(&["a"], &["a"]), ..UnknownByPart::default() }.words(), None);
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!([0, 999, 1_000, 12_345, 1_234_567].map(thousands).join(" "), "0 999 1,000 12,345 1,234,567");
    }
}
