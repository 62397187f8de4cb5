//! The words of training texts in the order in which a vocabulary takes them.

use rayon::prelude::*;

use super::interned::{Interned, Occurring, Wanted, Watch};
use crate::config::Words;
use crate::dataset::{Example, Labels};
use crate::tokenization::Tokenization;

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

impl Occurring<'_> {
    /// The token in its place, which `count` decides.
    fn ranked(&self, count: u64) -> Option<Ranked> {
        let word = std::str::from_utf8(self.bytes).map_err(|_| unreachable_token()).ok()?;
        Some(Ranked { word: word.to_owned(), count, tokens: self.count })
    }
}

/// The tokenizer gives UTF-8 only, which its own tests hold it to.
fn unreachable_token() {
    tracing::error!("the tokenizer gave a token that is no UTF-8; it was left out");
}

/// The tokens of texts with their number, the most frequent first; ties go to the smaller word.
pub(super) fn by_count(tokenization: &Tokenization, texts: &[(&str, u32)]) -> Vec<Ranked> {
    most_frequent(&Interned::of(tokenization, texts, Wanted::default(), &mut |_, _| {}))
}

fn most_frequent(texts: &Interned) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = texts.counts().filter_map(|token| token.ranked(token.count)).collect();
    ranked.par_sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
    ranked
}

/// The words of training texts with a number of each, those first that a vocabulary takes first: by their number, ties by the smaller word, or by
/// how well they tell classes apart.
pub fn rank<L: Labels>(tokenization: &Tokenization, words: Words, examples: &[Example<L>]) -> Vec<Ranked> {
    ranked(tokenization, words, examples, false, &mut |_, _| {}).0
}

/// As [`rank`], and the texts as numbers of their tokens, from which [`super::Vocabulary::ids_of`] makes ids; says how far it has come. Not the texts where their tokens
/// are characters, of which there are so many that a second look takes less memory, and not those of labelled tokens, which are read one by one.
pub fn rank_keeping<L: Labels>(
    tokenization: &Tokenization,
    words: Words,
    examples: &[Example<L>],
    watch: Watch<'_>,
) -> (Vec<Ranked>, Option<Interned>) {
    let keeps = !tokenization.tokens.are_characters() && !examples.iter().any(|example| example.label.each_step());
    let (ranked, texts) = ranked(tokenization, words, examples, keeps, watch);
    (ranked, keeps.then(|| texts.without_counts()))
}

/// The words in their order, and the texts where `keeps` wants them.
fn ranked<L: Labels>(
    tokenization: &Tokenization,
    words: Words,
    examples: &[Example<L>],
    keeps: bool,
    watch: Watch<'_>,
) -> (Vec<Ranked>, Interned) {
    let texts: Vec<(&str, u32)> =
        examples.iter().map(|example| (example.text.as_str(), example.label.stratum())).collect();
    let wanted = Wanted { classes: words == Words::Useful, texts: keeps };
    let interned = Interned::of(tokenization, &texts, wanted, watch);
    let ranked = match words {
        Words::Count => most_frequent(&interned),
        Words::Useful => most_useful(&interned, &texts),
    };
    (ranked, interned)
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
fn most_useful(interned: &Interned, texts: &[(&str, u32)]) -> Vec<Ranked> {
    let mut totals: Vec<u64> = Vec::new();
    for &(_, class) in texts {
        totals.resize(totals.len().max(class as usize + 1), 0);
        totals[class as usize] += 1;
    }
    let all: u64 = totals.iter().sum();
    let use_of = |counts: &[u32], texts: u64| {
        let share = |part: u64, whole: u64| ((part + 1) as f64 / (whole + 2) as f64).ln();
        let shift = |(class, &total): (usize, &u64)| {
            let inside = counts.get(class).map_or(0, |&inside| u64::from(inside));
            (share(inside, total) - share(texts - inside, all - total)).abs()
        };
        texts as f64 * totals.iter().enumerate().map(shift).fold(0.0, f64::max)
    };
    let useful = |token: Occurring<'_>| {
        let count = token.classes.iter().map(|&texts| u64::from(texts)).sum();
        Some((use_of(token.classes, count), token.ranked(count)?))
    };
    let mut ranked: Vec<(f64, Ranked)> = interned.counts().filter_map(useful).collect();
    ranked.par_sort_unstable_by(|(a_use, a), (b_use, b)| {
        let of_one = |ranked: &Ranked| ranked.count < 2;
        of_one(a).cmp(&of_one(b)).then(b_use.total_cmp(a_use)).then_with(|| a.word.cmp(&b.word))
    });
    ranked.into_iter().map(|(_, ranked)| ranked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most useful words of texts with their classes.
    fn useful(texts: &[(&str, u32)]) -> Vec<Ranked> {
        let wanted = Wanted { classes: true, texts: false };
        most_useful(&Interned::of(&Tokenization::default(), texts, wanted, &mut |_, _| {}), texts)
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
        let ranked = useful(&texts);
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
        let ranked = useful(&texts);
        let expected = [("strong", 40), ("weak", 101)];
        let expected = expected.map(|(word, count)| Ranked { word: word.to_owned(), count, tokens: count });
        assert_eq!(ranked, expected);
    }

    #[test]
    fn words_are_ranked_alike_on_one_thread_and_on_many() {
        let text = |number: u32| Example::new(number % 3, format!("w{} w{} x", number % 97, number % 1_009));
        let texts: Vec<Example<u32>> = (0..5_000).map(text).collect();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for words in [Words::Count, Words::Useful] {
            let mut watched = Vec::new();
            let [one, many] =
                [1, 3].map(|threads| pool(threads).install(|| rank(&Tokenization::default(), words, &texts)));
            let again =
                rank_keeping(&Tokenization::default(), words, &texts, &mut |done, all| watched.push((done, all)));
            assert!(one == many && one == again.0);
            assert_eq!(one.iter().map(|ranked| ranked.tokens).sum::<u64>(), 15_000);
            assert_eq!(watched.last(), Some(&(5_000, 5_000)));
        }
    }
}
