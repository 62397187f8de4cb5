//! Dividing a data set: seeded, with the same share of each class in every part, and without a leak.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use anyhow::Result;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Dataset, Example, Labels, class_counts};
use crate::error::{Fault, fault};

impl<L: Labels> Dataset<L> {
    /// Divides the examples into `N` parts whose sizes are about `fractions` of the whole.
    ///
    /// - Texts that are equal once white space is ignored where it is more than one space always land in the same part, whatever
    ///   their labels: nothing that is learned from one part is asked again in another.
    /// - Each class is divided by itself, so that each part has about the class shares of the whole. Labels that are no classes of whole texts count as one class.
    /// - The same examples, seed and fractions give the same parts. Each part comes shuffled, so that its start is a sample of it.
    ///
    /// Each part keeps the data set's name and has a digest of its own.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if a fraction is negative or not finite, if they do not add up to 1, or if there are too
    /// few different texts to give each part with a fraction above 0 an example.
    pub fn split<const N: usize>(self, seed: u64, fractions: [f64; N]) -> Result<[Self; N]> {
        check_shares(&fractions)?;
        let Self { examples, name, classes, layout, .. } = self;
        let total = examples.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);

        let part_of = Strata::of_texts(&examples).assign(&fractions, &mut rng);
        let mut parts = fractions.map(|_| Vec::new());
        for (example, part) in examples.into_iter().zip(part_of) {
            parts[part].push(example);
        }
        if let Some(empty) = (0..N).find(|&part| fractions[part] > 0.0 && parts[part].is_empty()) {
            let share = (1e4 * fractions[empty]).round() / 100.0;
            return Err(too_few(
                name,
                total,
                different(parts.iter().flatten()),
                &format!("to hold out {share} % of them"),
                "",
            ));
        }
        Ok(parts.map(|mut part| {
            part.shuffle(&mut rng);
            Self { layout: layout.clone(), ..Self::new(name.clone(), part).named(classes.clone()) }
        }))
    }

    /// Divides the examples into `count` parts of about one size, as [`Dataset::split`] does, and gives all but one part (`number`, from 1), and that part.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if there are too few different texts to give each part an example.
    pub fn fold(self, seed: u64, number: usize, count: usize) -> Result<[Self; 2]> {
        let Self { examples, name, classes, layout, .. } = self;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let fractions = vec![1.0 / count as f64; count];
        let part_of = Strata::of_texts(&examples).assign(&fractions, &mut rng);
        if let Some(empty) = (0..count).find(|part| !part_of.contains(part)) {
            let what = format!("for {count} parts: nothing is in part {}", empty + 1);
            return Err(too_few(name, examples.len(), different(&examples), &what, "take fewer --folds, or "));
        }
        let mut parts = [Vec::new(), Vec::new()];
        for (example, part) in examples.into_iter().zip(part_of) {
            parts[usize::from(part + 1 == number)].push(example);
        }
        Ok(parts.map(|mut part| {
            part.shuffle(&mut rng);
            Self { layout: layout.clone(), ..Self::new(name.clone(), part).named(classes.clone()) }
        }))
    }

    /// `count` of the examples, picked by `seed`, with the classes in the shares that they have in the whole.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if the data set has fewer than `count` examples.
    pub fn sample(self, seed: u64, count: usize) -> Result<Self> {
        let Self { mut examples, name, classes, layout, .. } = self;
        let total = examples.len();
        if count > total {
            return Err(fault(
                name,
                format!("{count} examples were asked for, and there are {total}"),
                format!("ask for at most {total}"),
            )
            .into());
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        examples.shuffle(&mut rng);
        // By class, then spread: the k-th of the n examples of a class stands at (k + 1/2) / n of the whole.
        let sizes = class_counts(&examples);
        let mut seen = vec![0usize; sizes.len()];
        let mut placed: Vec<(f64, Example<L>)> = examples
            .into_iter()
            .map(|example| {
                let class = example.label.stratum() as usize;
                seen[class] += 1;
                ((seen[class] as f64 - 0.5) / sizes[class] as f64, example)
            })
            .collect();
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut picked: Vec<_> = placed.into_iter().take(count).map(|(_, example)| example).collect();
        picked.shuffle(&mut rng);
        Ok(Self { layout, ..Self::new(name, picked).named(classes) })
    }
}

/// How many of the texts are different from all before them; white space is not looked at.
fn different<'e, L: Labels + 'e>(examples: impl IntoIterator<Item = &'e Example<L>>) -> usize {
    let plain = |example: &Example<L>| words(&example.text).collect::<Vec<_>>().join(" ");
    examples.into_iter().map(plain).collect::<HashSet<_>>().len()
}

/// What is wrong with `total` texts that do not suffice `for_what`: that they are alike, where so few are `different`, or else their number. The
/// remedy for the latter begins with `instead`.
fn too_few(place: String, total: usize, different: usize, for_what: &str, instead: &str) -> anyhow::Error {
    const MORE: &str = "add examples with other texts";
    let (problem, remedy) = match different {
        1 if total > 1 => (
            format!("all {total} texts are alike, and equal texts stay together"),
            format!("name another column with --text-column, or {MORE}"),
        ),
        different if different < total => (
            format!("of {total} texts only {different} are different, too few {for_what} (equal texts stay together)"),
            format!("{instead}{MORE}"),
        ),
        _ => (format!("{total} texts are too few {for_what} (equal texts stay together)"), format!("{instead}{MORE}")),
    };
    fault(place, problem, remedy).into()
}

/// Checks that fractions are shares of a whole.
///
/// # Errors
/// A fault if one is negative or not finite, or if they do not add up to 1.
pub(crate) fn check_shares(fractions: &[f64]) -> Result<(), Fault> {
    let sum: f64 = fractions.iter().sum();
    let valid = |&fraction: &f64| fraction.is_finite() && fraction >= 0.0;
    if fractions.iter().all(valid) && (sum - 1.0).abs() <= 1e-6 {
        return Ok(());
    }
    let problem = format!("the fractions {fractions:?} are not shares of a whole");
    Err(fault("split", problem, "give fractions from 0 to 1 that add up to 1"))
}

/// What a data set is divided by: examples that stay together, and the class of each.
pub(crate) struct Strata {
    /// Groups of examples that land in one part, by the examples' indices.
    pub(crate) groups: Vec<Vec<usize>>,
    /// The class of each example, by which it is divided evenly.
    pub(crate) classes: Vec<u32>,
}

impl Strata {
    /// Texts, of which equal ones stay together.
    fn of_texts<L: Labels>(examples: &[Example<L>]) -> Self {
        let classes = examples.iter().map(|example| example.label.stratum()).collect();
        Self { groups: groups_of_equal_texts(examples), classes }
    }

    /// The part of each example, for parts of about `fractions` of the whole.
    pub(crate) fn assign(&self, fractions: &[f64], rng: &mut ChaCha8Rng) -> Vec<usize> {
        let part_of = self.assign_by(fractions, rng, false);
        let is_filled = |part: usize| fractions[part] <= 0.0 || part_of.contains(&part);
        // Classes of so few texts that none gives one to a small part: what one leaves unfilled, the next ones fill.
        if (0..fractions.len()).all(is_filled) { part_of } else { self.assign_by(fractions, rng, true) }
    }

    /// [`Strata::assign`]; with `carry` a class gives also what the classes before it had too few examples to give.
    fn assign_by(&self, fractions: &[f64], rng: &mut ChaCha8Rng, carry: bool) -> Vec<usize> {
        let Self { groups, classes } = self;
        // A group belongs to the class of most of its examples; the lower one if two have as many.
        let count = classes.iter().max().map_or(1, |&most| most as usize + 1);
        let mut strata = vec![Vec::new(); count];
        for (index, group) in groups.iter().enumerate() {
            let mut counts = vec![0; count];
            group.iter().for_each(|&example| counts[classes[example] as usize] += 1);
            let class = (0..count).rev().max_by_key(|&class| counts[class]).unwrap_or(0);
            strata[class].push(index);
        }
        let mut part_of = vec![0; classes.len()];
        let mut wanted_overall: Vec<f64> = fractions.iter().map(|fraction| fraction * classes.len() as f64).collect();
        let mut lacking = vec![0.0; fractions.len()];
        for stratum in &mut strata {
            stratum.shuffle(rng);
            let size: usize = stratum.iter().map(|&group| groups[group].len()).sum();
            let mut wanted: Vec<f64> =
                fractions.iter().zip(&lacking).map(|(fraction, lacking)| fraction * size as f64 + lacking).collect();
            for &group in stratum.iter() {
                // The part that lacks most of this class; the one that lacks most of all, if several lack as much. A part of
                // fraction 0 takes nothing.
                let part = (0..fractions.len())
                    .filter(|&part| fractions[part] > 0.0)
                    .max_by(|&a, &b| {
                        let by_class = wanted[a].total_cmp(&wanted[b]);
                        // Of equals, max_by takes the last: the order of b and a makes that the first part.
                        by_class.then(wanted_overall[a].total_cmp(&wanted_overall[b])).then(b.cmp(&a))
                    })
                    .unwrap_or(0);
                let length = groups[group].len() as f64;
                wanted[part] -= length;
                wanted_overall[part] -= length;
                for &example in &groups[group] {
                    part_of[example] = part;
                }
            }
            if carry {
                lacking = wanted;
            }
        }
        part_of
    }
}

/// The words of a text, which make it equal to another whatever white space divides them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Whether a text has white space beyond ASCII.
fn has_wide_spaces(text: &str) -> bool {
    // What it begins with: U+0085 and U+00A0, U+1680, U+2000 to U+205F, U+3000.
    let may_be = text.bytes().any(|byte| matches!(byte, 0xc2 | 0xe1..=0xe3));
    may_be && text.chars().any(|letter| !letter.is_ascii() && letter.is_whitespace())
}

/// Whether a byte is white space of ASCII.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether a text is its words with one space between each two, so that it equals another such text where the bytes do.
fn is_plain(text: &str) -> bool {
    let mut before = b' ';
    let is_odd = text.bytes().any(|byte| {
        let is_odd = matches!(byte, b'\t'..=b'\r') || byte == b' ' && before == b' ';
        before = byte;
        is_odd
    });
    !(is_odd || before == b' ' || has_wide_spaces(text))
}

/// Writes the words of a text with one space between each two; it takes the least time where all white space is ASCII.
fn make_plain(text: &str, plain: &mut Vec<u8>) {
    let mut add = |word: &[u8]| {
        plain.extend((!plain.is_empty()).then_some(b' '));
        plain.extend_from_slice(word);
    };
    if has_wide_spaces(text) {
        words(text).for_each(|word| add(word.as_bytes()));
    } else {
        text.as_bytes().split(|&byte| is_space(byte)).filter(|word| !word.is_empty()).for_each(add);
    }
}

/// The indices of the examples, those with the same words together, in the order in which they first occur.
pub(super) fn groups_of_equal_texts<L: Labels>(examples: &[Example<L>]) -> Vec<Vec<usize>> {
    // Seeded anew by every process; what it gives for equal texts is only compared, and does not decide an order.
    let hasher = foldhash::quality::RandomState::default();
    let hash = |plain: &mut Vec<u8>, example: &Example<L>| {
        if is_plain(&example.text) {
            return (hasher.hash_one(example.text.as_bytes()), true);
        }
        plain.clear();
        make_plain(&example.text, plain);
        (hasher.hash_one(plain.as_slice()), false)
    };
    let hashes: Vec<(u64, bool)> = examples.par_iter().map_init(Vec::new, hash).collect();
    let equal = |a: usize, b: usize| {
        let (first, second) = (&examples[a].text, &examples[b].text);
        if hashes[a].1 && hashes[b].1 { first == second } else { words(first).eq(words(second)) }
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // The groups by their hash: more than one where different texts have the same.
    let mut groups_of: HashMap<u64, Vec<usize>> = HashMap::with_capacity(examples.len());
    for (index, (hash, _)) in hashes.iter().enumerate() {
        let alike = groups_of.entry(*hash).or_default();
        match alike.iter().find(|&&group| equal(groups[group][0], index)) {
            Some(&group) => groups[group].push(index),
            None => {
                alike.push(groups.len());
                groups.push(vec![index]);
            }
        }
    }
    groups
}

/// Texts that stand more than once in a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeated {
    /// Texts that are equal to one before them.
    pub copies: usize,
    /// Different texts that occur with different labels.
    pub disputed: usize,
    /// The examples, by their places, with which the first of these occurs: two of different labels.
    pub first: Option<(usize, usize)>,
}

impl<L: Labels> Dataset<L> {
    /// The texts that stand more than once in it; white space is not looked at.
    #[must_use]
    pub fn repeated(&self) -> Repeated {
        let groups = groups_of_equal_texts(&self.examples);
        let numbers = |index: usize| self.examples[index].label.numbers();
        let differs = |group: &Vec<usize>| {
            let other = group.iter().copied().find(|&index| numbers(index) != numbers(group[0]))?;
            Some((group[0], other))
        };
        let mut disputed = groups.iter().filter_map(differs).peekable();
        let first = disputed.peek().copied();
        Repeated { copies: self.examples.len() - groups.len(), disputed: disputed.count(), first }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;
    use crate::error::exit_code;
    use proptest::prelude::*;

    fn words(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// `count` different texts, every third of them positive.
    fn numbered(count: usize) -> Dataset {
        let examples = (0..count).map(|i| example(u32::from(i % 3 == 0), &format!("text {i}")));
        Dataset::new("numbered", examples.collect())
    }

    #[test]
    fn parts_have_the_sizes_and_the_class_shares_that_were_asked_for() {
        let [train, valid, test] = numbered(3000).split(1, [0.8, 0.1, 0.1]).unwrap();
        assert_eq!(train.class_counts(), [1600, 800]);
        assert_eq!(valid.class_counts(), [200, 100]);
        assert_eq!(test.class_counts(), [200, 100]);
        assert_eq!(train.name, "numbered");
    }

    #[test]
    fn a_seed_decides_the_split_and_another_seed_gives_another() {
        let split = |seed| numbered(500).split(seed, [0.7, 0.3]).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1)[0].sha256, split(2)[0].sha256);
    }

    #[test]
    fn ten_examples_are_enough_for_three_parts_and_three_are_not() {
        let examples = (0..10).map(|i| example(i % 2, &format!("text {i}"))).collect();
        let parts = Dataset::new("ten", examples).split(3, [0.8, 0.1, 0.1]).unwrap();
        assert_eq!(parts.map(|part| part.examples.len()), [8, 1, 1]);
        let error = numbered(3).split(3, [0.8, 0.1, 0.1]).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("numbered: 3 texts are too few to hold out 10 % of them"), "{error}");
    }

    #[test]
    fn texts_that_are_alike_are_said_to_be_alike() {
        let set = |texts: &[&str]| {
            let examples = texts.iter().zip(0..).map(|(text, number)| example(number % 2, text));
            Dataset::new("set", examples.collect())
        };
        let same = set(&["a b", " a  b", "a\tb", "a b"]);
        for error in [same.clone().split(1, [0.9, 0.1]).unwrap_err(), same.fold(1, 1, 2).unwrap_err()] {
            assert_eq!(exit_code(&error), 2);
            let said =
                "set: all 4 texts are alike, and equal texts stay together; name another column with --text-column";
            assert!(error.to_string().starts_with(said), "{error}");
        }
        let error = set(&["a", "a", "b", "b", "a"]).fold(1, 1, 3).unwrap_err();
        assert!(error.to_string().contains("of 5 texts only 2 are different, too few for 3 parts"), "{error}");
    }

    #[test]
    fn many_classes_of_few_texts_fill_a_small_part_together() {
        let examples = (0..400).map(|i| example(i % 100, &format!("text {i}"))).collect();
        let [training, validation] = Dataset::new("many", examples).split(1, [0.9, 0.1]).unwrap();
        assert_eq!((training.examples.len(), validation.examples.len()), (360, 40));
    }

    #[test]
    fn folds_hold_every_text_once_with_the_class_shares_of_the_whole() {
        let set = numbered(3000);
        let mut held: Vec<Example> = Vec::new();
        for number in 1..=5 {
            let [training, validation] = set.clone().fold(7, number, 5).unwrap();
            assert_eq!((training.class_counts(), validation.class_counts()), (vec![1600, 800], vec![400, 200]));
            assert!(validation.examples.iter().all(|example| !training.examples.contains(example)));
            held.extend(validation.examples);
        }
        held.sort_by_key(|example| (example.label, example.text.clone()));
        let mut all = set.examples.clone();
        all.sort_by_key(|example| (example.label, example.text.clone()));
        assert_eq!(held, all);
        let error = numbered(3).fold(7, 1, 5).unwrap_err();
        assert!(error.to_string().contains("3 texts are too few for 5 parts"), "{error}");
    }

    #[test]
    fn fractions_that_are_no_shares_are_faults() {
        for fractions in [[0.5, 0.4], [1.5, -0.5], [f64::NAN, 1.0], [f64::INFINITY, 0.0]] {
            let error = numbered(10).split(0, fractions).unwrap_err();
            assert_eq!(exit_code(&error), 2, "{fractions:?}");
        }
        let [all, none] = numbered(10).split(0, [1.0, 0.0]).unwrap();
        assert_eq!((all.examples.len(), none.examples.len()), (10, 0));
    }

    #[test]
    fn a_sample_keeps_the_class_shares() {
        let sample = numbered(3000).sample(5, 30).unwrap();
        assert_eq!(sample.class_counts(), [20, 10]);
        assert_eq!(sample, numbered(3000).sample(5, 30).unwrap());
        assert_ne!(sample, numbered(3000).sample(6, 30).unwrap());
        assert_eq!(exit_code(&numbered(3).sample(5, 4).unwrap_err()), 2);
    }

    proptest! {
        #[test]
        fn no_text_is_ever_in_two_parts_and_none_is_lost(
            // Few words and odd white space: most texts occur several times, with either label.
            rows in prop::collection::vec((0u32..2, "( |\t|a|b){0,6}"), 1..200),
            seed: u64,
        ) {
            let examples: Vec<_> = rows.iter().map(|(label, text)| example(*label, text)).collect();
            let mut expected = examples.clone();
            if let Ok(parts) = Dataset::new("x", examples).split(seed, [0.6, 0.2, 0.2]) {
                let texts = parts.each_ref().map(|part| {
                    part.examples.iter().map(|example| words(&example.text)).collect::<HashSet<_>>()
                });
                for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                    prop_assert!(texts[a].is_disjoint(&texts[b]));
                }
                let mut all: Vec<_> = parts.into_iter().flat_map(|part| part.examples).collect();
                let key = |example: &Example| (example.label, example.text.clone());
                all.sort_by_key(key);
                expected.sort_by_key(key);
                prop_assert_eq!(all, expected);
            }
        }
    }
    #[test]
    fn texts_that_stand_more_than_once_are_counted_and_those_with_different_labels_too() {
        let texts = [(0, "a b"), (1, "c"), (0, "a  b"), (1, " a b"), (1, "c"), (2, "d"), (0, "d")];
        let set = Dataset::new("x", texts.map(|(label, text)| example(label, text)).to_vec());
        assert_eq!(set.repeated(), Repeated { copies: 4, disputed: 2, first: Some((0, 3)) });
        let set = Dataset::new("x", vec![example(0, "a"), example(1, "b")]);
        assert_eq!(set.repeated(), Repeated::default());
        let spaces = ["a b", " a b", "a\tb", "a b\n", "a\u{a0}b", "a\u{2003}b", "a \u{3000}b", "a\u{85}b", "a \r\n b"];
        let set = Dataset::new("x", spaces.map(|text| example(0, text)).to_vec());
        assert_eq!(set.repeated(), Repeated { copies: 8, ..Repeated::default() });
        // Words that run together are other words.
        let set = Dataset::new("x", vec![example(0, "a bc"), example(1, "ab c")]);
        assert_eq!(set.repeated(), Repeated::default());
    }
}
