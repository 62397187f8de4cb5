//! N-grams: choosing the runs of tokens that tell answers apart, their table, and their weights.
//!
//! ```text
//! token hashes ──counts per class──> the most telling n-grams ──cuckoo table──> entries ──regression──> weights
//! ```
//!
//! Each output of the network has weights of its own: of several classes each is told from all others, of values the larger ones from the
//! smaller ones when n-grams are chosen. Where each token has an answer, the n-grams that end at the token count and no others. Features are found by the engine's own table. With `f` a text's features and `r` the log-count ratios of
//! their entries (naive Bayes features, Wang and Manning 2012; of values 1),
//!
//! ```text
//! contribution = gain·(Σ v·r·x + b)      x = how often the entry's n-grams occur · 256 / (tokens + prior)
//! ```
//!
//! The recurrent network beside the table learns what the n-grams leave open. On its own training texts the table is surer than it may be, so
//! the network learns beside logits that come from tables which have not seen the text ([`Fitted::offsets`], by cross-validation); `gain`
//! is what calibrates these. In the end both logits get a gain of their own, fitted on the validation part ([`fusion`]).

pub mod fusion;
pub(crate) mod regression;
pub mod table;

use std::cmp::Ordering;

use latch_engine::input::ngrams::{Ngrams as NgramShape, lengthen, token_hash};
use latch_engine::input::text::Tokens;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::table::Table;
use self::table::{Counted, Key};
pub use crate::config::NgramConfig;
use crate::dataset::{Example, Labels, Task};
use crate::metrics::cross_entropy;
use crate::tokenization::{Piece, Tokenization};
use regression::{Features, Problem, Solution};

/// Sequences of every fold of the cross-validation are every such one.
const FOLDS: usize = 5;

/// Answers of tokens that choose the strength: as many folds as have so many judge, one at least.
const JUDGES: usize = 1_000;

/// Answers of tokens that are learned from while the strength is chosen, at most.
const LEARNERS: usize = 10_000;

/// Strengths `C` of the loss against the weights' norm; the cross-validation takes the best.
const STRENGTHS: [f32; 4] = [0.01, 0.03, 0.1, 0.3];

/// What the labels of texts are, and how many outputs answer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// 0 or 1, or between; one logit.
    Verdict,
    /// The number of one of so many classes; as many logits.
    Classes(usize),
    /// A number; one value.
    Values,
}

impl Answers {
    /// Those of a task.
    pub fn of(task: Task) -> Self {
        match task.outputs() {
            _ if task.has_values() => Answers::Values,
            1 => Answers::Verdict,
            classes => Answers::Classes(classes),
        }
    }

    /// Outputs of the network.
    pub fn outputs(self) -> usize {
        if let Answers::Classes(classes) = self { classes } else { 1 }
    }

    /// The label as one output sees it: from 0 to 1 of classes.
    pub fn seen_by(self, output: usize, label: f32) -> f32 {
        match self {
            Answers::Classes(_) => f32::from(u8::from(label as usize == output)),
            _ => label,
        }
    }

    /// What n-grams are counted by: the class of a label, of values whether it is above the `middle`.
    fn class(self, label: f32, middle: f32) -> u64 {
        match self {
            Answers::Classes(_) => label as u64,
            Answers::Verdict => u64::from(label > 0.5),
            Answers::Values => u64::from(label > middle),
        }
    }
}

/// Texts with labels, for a fit.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// For each answer the hashes of the tokens in which its n-grams are: a whole text, or where each token has an answer a window, see [`windows`].
    pub texts: &'a [Vec<u32>],
    /// A label of each.
    pub labels: &'a [f32],
    /// What weights are fitted to: [`Answers::outputs`] numbers of each answer. Empty where nobody teaches: then the labels.
    pub targets: &'a [f32],
    /// Where each token has an answer, how many answers each text and all before it have; `None` where a text has one.
    pub ends: Option<&'a [usize]>,
    /// What the labels are.
    pub answers: Answers,
}

impl Labelled<'_> {
    /// Whether only the n-grams count that end at the last token.
    fn each_step(&self) -> bool {
        self.ends.is_some()
    }

    /// The fold of the cross-validation that an answer belongs to: all answers of a text to the same.
    fn fold(&self, answer: usize) -> usize {
        let text = self.ends.map_or(answer, |ends| ends.partition_point(|&end| end <= answer));
        text % FOLDS
    }

    /// How many folds of the cross-validation judge. The network learns beside the logits of all of them; where each token has an answer, it learns by itself.
    fn folds(&self) -> usize {
        if self.each_step() { (JUDGES * FOLDS).div_ceil(self.texts.len().max(1)).clamp(1, FOLDS) } else { FOLDS }
    }

    /// The answers in these folds, by number.
    fn judged(&self) -> Vec<u32> {
        let folds = self.folds();
        (0..self.texts.len()).filter(|&answer| self.fold(answer) < folds).map(|answer| answer as u32).collect()
    }
}

/// A table, and what the network learns beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The table that goes into the image.
    pub table: Table,
    /// How many answers the training texts have.
    pub answers: usize,
    /// Some of them by number, rising: all, or where each token has an answer as many as choose the strength.
    pub judged: Vec<u32>,
    /// For each of these the logits that a table gives which has not seen the text, one for each output.
    pub offsets: Vec<f32>,
}

impl Fitted {
    /// Whether it could be what a fit gives of so many answers, of so many outputs each.
    pub fn is_of(&self, answers: usize, outputs: usize, each_step: bool) -> bool {
        self.answers == answers
            && self.table.outputs() == outputs
            && self.offsets.len() == self.judged.len() * outputs
            && (each_step || self.judged.len() == answers)
            && self.judged.iter().all(|&answer| (answer as usize) < answers)
    }
}

/// The hashes of a text's tokens, in order.
pub fn hashes(tokenization: &Tokenization, text: &str) -> Vec<u32> {
    let mut hashes = Vec::new();
    let syllables = tokenization.tokens == Tokens::Syllables;
    tokenization.for_each(text, |token, first| hashes.push(token_hash(token.bytes(), syllables && first)));
    hashes
}

/// Of each labelled part of a text, one that white space separates, the hashes of the last `longest` tokens that are read when it has been read, the newest
/// last: those in which n-grams end there.
pub fn windows(tokenization: &Tokenization, text: &str, longest: u8) -> Vec<Vec<u32>> {
    let (mut hashes, mut windows) = (Vec::new(), Vec::new());
    let syllables = tokenization.tokens == Tokens::Syllables;
    tokenization.for_each_labelled(text, |piece| match piece {
        Piece::Token(token, first) => hashes.push(token_hash(token.bytes(), syllables && first)),
        Piece::End => windows.push(hashes[hashes.len().saturating_sub(usize::from(longest))..].to_vec()),
    });
    windows
}

/// The answers to texts, and what n-grams see of them.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As [`Labelled::texts`].
    pub texts: Vec<Vec<u32>>,
    /// The labels as they are in the data.
    pub labels: Vec<f32>,
    /// As [`Labelled::ends`].
    pub ends: Option<Vec<usize>>,
}

impl Seen {
    /// Reads the texts, for n-grams of up to `longest` tokens.
    pub fn of<L: Labels>(tokenization: &Tokenization, examples: &[Example<L>], longest: u8) -> Self {
        let labels = examples.iter().flat_map(|example| example.label.numbers().into_owned()).collect();
        let each_step = examples.iter().any(|example| example.label.each_step());
        let texts: Vec<Vec<Vec<u32>>> =
            examples.par_iter().map(|example| read(tokenization, example, longest)).collect();
        let ends = texts.iter().scan(0, |end, answers| {
            *end += answers.len();
            Some(*end)
        });
        let ends = each_step.then(|| ends.collect());
        Seen { texts: texts.into_iter().flatten().collect(), labels, ends }
    }
}

/// The tokens in which n-grams are, of each answer to a text.
fn read<L: Labels>(tokenization: &Tokenization, example: &Example<L>, longest: u8) -> Vec<Vec<u32>> {
    if example.label.each_step() {
        windows(tokenization, &example.text, longest)
    } else {
        vec![hashes(tokenization, &example.text)]
    }
}

/// Calls `each` with the running key of every n-gram of up to `longest` tokens, or of those that end at the last token where each token has an answer.
fn each_key(hashes: &[u32], longest: u8, each_step: bool, mut each: impl FnMut(u32)) {
    let first = if each_step { hashes.len().saturating_sub(1) } else { 0 };
    for end in first..hashes.len() {
        let mut key = hashes[end];
        each(key);
        for &before in hashes[..end].iter().rev().take(usize::from(longest) - 1) {
            key = lengthen(key, before);
            each(key);
        }
    }
}

/// The `count` n-grams that tell an output's answers apart most surely, the surest first:
///
/// ```text
/// z = |ln(p/q)| / √(1/p + 1/q)        p, q: texts of the class and of all others that have the n-gram, plus a half, as shares of these texts
/// ```
fn choose(texts: &[&[u32]], labels: &[f32], (answers, each_step): (Answers, bool), config: &NgramConfig) -> Vec<Key> {
    let middle = labels.iter().sum::<f32>() / labels.len().max(1) as f32;
    let class = |label: f32| answers.class(label, middle);
    let mut seen: Vec<u64> = texts
        .par_iter()
        .zip(labels)
        .flat_map_iter(|(hashes, &label)| {
            let mut keys = Vec::with_capacity(hashes.len() * usize::from(config.longest));
            each_key(hashes, config.longest, each_step, |key| keys.push(u64::from(key) << 16 | class(label)));
            keys.sort_unstable();
            keys.dedup();
            keys
        })
        .collect();
    seen.par_sort_unstable();
    let total = labels.len();
    let of_output = |output: usize| if answers.outputs() == 1 { 1 } else { output as u64 };
    let priors: Vec<f64> = (0..answers.outputs())
        .map(|output| {
            let positive = labels.iter().filter(|&&label| class(label) == of_output(output)).count().max(1);
            (total - positive).max(1) as f64 / positive as f64
        })
        .collect();
    let mut scored: Vec<(f64, Key)> = seen
        .chunk_by(|a, b| a >> 16 == b >> 16)
        .filter(|texts| texts.len() >= config.fewest as usize)
        .flat_map(|texts| {
            let priors = &priors;
            (0..priors.len()).map(move |output| {
                let positive = texts.iter().filter(|&&text| text & 0xFFFF == of_output(output)).count() as f64 + 0.5;
                let negative = texts.len() as f64 + 1.0 - positive;
                let z = (positive / negative * priors[output]).ln().abs() / (1.0 / positive + 1.0 / negative).sqrt();
                (z, Key { ngram: (texts[0] >> 16) as u32, output: output as u32 })
            })
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.truncate(config.count);
    scored.into_iter().map(|(_, key)| key).collect()
}

/// All n-grams of training texts that [`fit`] chooses from, the surest first: a table of fewer has the first of them.
pub fn rank<L: Labels>(
    tokenization: &Tokenization,
    examples: &[Example<L>],
    answers: Answers,
    config: &NgramConfig,
) -> Vec<Key> {
    let seen = Seen::of(tokenization, examples, config.longest);
    let texts: Vec<&[u32]> = seen.texts.iter().map(Vec::as_slice).collect();
    let all = NgramConfig { count: usize::MAX, ..*config };
    choose(&texts, &seen.labels, (answers, seen.ends.is_some()), &all)
}

/// The shape of the table that these n-grams get; its multiplier is not fitted yet.
pub fn shape(keys: &[Key], config: &NgramConfig) -> NgramShape {
    table::build(keys, config).shape
}

/// A fit of one output with one strength.
struct Fit<'a> {
    counted: &'a Counted,
    features: &'a [Features],
    seed: u64,
}

impl Fit<'_> {
    /// The weights of an output's entries.
    fn solve(&self, labelled: &Labelled<'_>, texts: &[usize], output: usize, strength: f32) -> Solution {
        let outputs = labelled.answers.outputs();
        let target = |&text: &usize| match labelled.targets.get(text * outputs + output) {
            Some(&target) => target,
            None => labelled.answers.seen_by(output, labelled.labels[text]),
        };
        let labels: Vec<f32> = texts.iter().map(target).collect();
        let problem = Problem { features: self.features, labels: &labels, width: self.counted.table.entries() };
        match labelled.answers {
            Answers::Values => problem.solve_values(strength, self.seed),
            _ => problem.solve(strength, self.seed),
        }
    }
}

/// Chooses the n-grams of training texts and fits their weights, rounded to those of an image. N-grams are chosen and logits calibrated by the labels, weights fitted to the targets.
/// The same arguments give the same bits on any number of threads.
pub fn fit(labelled: &Labelled<'_>, config: &NgramConfig, seed: u64) -> Fitted {
    let &Labelled { texts, labels, answers, .. } = labelled;
    let outputs = answers.outputs();
    let unseen = unseen_logits(labelled, config, seed);
    let judged = labelled.judged();
    let known: Vec<f32> = judged.iter().map(|&answer| labels[answer as usize]).collect();
    let (strength, Calibrated { gain, bias, .. }) = STRENGTHS
        .into_iter()
        .enumerate()
        .map(|(number, strength)| {
            let logits: Vec<f32> = unseen.iter().map(|logits| logits[number]).collect();
            (strength, Calibrated::of(&logits, &known, answers))
        })
        .min_by(|a, b| a.1.loss.partial_cmp(&b.1.loss).unwrap_or(Ordering::Equal))
        .unwrap_or((STRENGTHS[0], Calibrated { gain: 1.0, bias: 0.0, loss: 0.0 }));
    let number = STRENGTHS.iter().position(|&each| each == strength).unwrap_or(0);
    let offsets = unseen.iter().map(|logits| gain * logits[number] + bias).collect();

    let all: Vec<usize> = (0..texts.len()).collect();
    let mut counted = Counted::of(labelled, &all, config);
    let fits: Vec<Solution> = (0..outputs)
        .into_par_iter()
        .map(|output| {
            let features = counted.all_features(texts, &all, output);
            Fit { counted: &counted, features: &features, seed }.solve(labelled, &all, output, strength)
        })
        .collect();
    counted.take(&fits, gain, bias);
    counted.table.round();
    tracing::info!(strength, gain, "n-grams fitted");
    Fitted { table: counted.table, answers: texts.len(), judged, offsets }
}

/// Of each answer that is judged, output after output, the logit of each strength that tables give which have not seen the text.
fn unseen_logits(labelled: &Labelled<'_>, config: &NgramConfig, seed: u64) -> Vec<[f32; STRENGTHS.len()]> {
    let (texts, outputs) = (labelled.texts, labelled.answers.outputs());
    let (folds, judged) = (labelled.folds(), labelled.judged());
    let parts: Vec<(Vec<usize>, Counted)> = (0..folds)
        .into_par_iter()
        .map(|fold| {
            let rest = (0..texts.len()).filter(|&answer| labelled.fold(answer) != fold);
            let rest: Vec<usize> = rest.take(if labelled.each_step() { LEARNERS } else { usize::MAX }).collect();
            let counted = Counted::of(labelled, &rest, config);
            (rest, counted)
        })
        .collect();
    let jobs: Vec<(usize, usize)> =
        (0..folds).flat_map(|fold| (0..outputs).map(move |output| (fold, output))).collect();
    let told: Vec<Vec<(usize, [f32; STRENGTHS.len()])>> = jobs
        .into_par_iter()
        .map(|(fold, output)| {
            let (rest, counted) = &parts[fold];
            let features = counted.all_features(texts, rest, output);
            let fit = Fit { counted, features: &features, seed };
            let fits = STRENGTHS.map(|strength| fit.solve(labelled, rest, output, strength));
            let own = judged.iter().enumerate().filter(|(_, answer)| labelled.fold(**answer as usize) == fold);
            own.map(|(place, &answer)| {
                let features = counted.features(&texts[answer as usize], output);
                (place * outputs + output, fits.each_ref().map(|fit| fit.logit(&features)))
            })
            .collect()
        })
        .collect();
    let mut unseen = vec![[0.0; STRENGTHS.len()]; judged.len() * outputs];
    for (index, logits) in told.into_iter().flatten() {
        unseen[index] = logits;
    }
    unseen
}

/// What makes logits of unseen texts the best ones: `gain·logit + bias`, and the loss that they then have.
struct Calibrated {
    gain: f32,
    bias: f32,
    loss: f64,
}

impl Calibrated {
    fn of(logits: &[f32], labels: &[f32], answers: Answers) -> Self {
        match answers {
            Answers::Verdict => {
                let (gain, bias, loss) = regression::calibrate(logits, labels);
                Calibrated { gain, bias, loss }
            }
            Answers::Classes(classes) => {
                let (gain, loss) = regression::best_gain(|gain| {
                    let scaled: Vec<f32> = logits.iter().map(|&logit| (f64::from(logit) * gain) as f32).collect();
                    let losses = scaled.chunks_exact(classes).zip(labels);
                    losses.map(|(logits, &label)| cross_entropy(logits, label)).sum::<f64>()
                        / labels.len().max(1) as f64
                });
                Calibrated { gain: gain as f32, bias: 0.0, loss }
            }
            Answers::Values => {
                let examples = logits.iter().map(|&value| [f64::from(value), 1.0]);
                let ([gain, bias], loss) = regression::least_squares(examples, labels);
                Calibrated { gain: gain as f32, bias: bias as f32, loss }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const CONFIG: NgramConfig =
        NgramConfig { count: 40, longest: 2, weight_bits: 6, dropout: 0.0, fewest: 3 };

    /// Texts in which the pair decides, and no word does.
    pub(super) fn texts() -> (Vec<Vec<u32>>, Vec<f32>) {
        let text = |index: usize| -> (Vec<u32>, f32) {
            let (not, good) = (index & 1 == 0, index & 2 == 0);
            let filler = ["film", "scene", "plot", "cast", "music"][index / 4 % 5];
            let first = if not { "not" } else { "very" };
            let second = if good { "good" } else { "bad" };
            (
                hashes(&Tokenization::default(), &format!("a {filler} {first} {second} indeed")),
                f32::from(u8::from(not != good)),
            )
        };
        (0..400).map(text).unzip()
    }

    pub(super) fn labelled<'a>(texts: &'a [Vec<u32>], labels: &'a [f32]) -> Labelled<'a> {
        Labelled { texts, labels, targets: &[], ends: None, answers: Answers::Verdict }
    }

    #[test]
    fn pairs_of_words_are_learned_that_no_single_word_tells() {
        let (texts, labels) = texts();
        let fitted = fit(&labelled(&texts, &labels), &CONFIG, 1);
        for (text, &label) in texts.iter().zip(&labels) {
            assert_eq!(fitted.table.logits(text)[0] > 0.0, label > 0.5);
        }
        assert!(fitted.offsets.iter().zip(&labels).all(|(&offset, &label)| (offset > 0.0) == (label > 0.5)));
    }

    #[test]
    fn the_same_texts_give_the_same_table() {
        let (texts, labels) = texts();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(
            fit(&labelled(&texts, &labels), &CONFIG, 1),
            one.install(|| fit(&labelled(&texts, &labels), &CONFIG, 1))
        );
    }

    #[test]
    fn of_several_classes_each_has_its_ngrams() {
        let colours = ["red", "green", "blue"];
        let text = |index: usize| {
            hashes(&Tokenization::default(), &format!("a {} thing {}", colours[index % 3], index / 3 % 7))
        };
        let texts: Vec<Vec<u32>> = (0..300).map(text).collect();
        let labels: Vec<f32> = (0..300_u16).map(|index| f32::from(index % 3)).collect();
        let labelled = Labelled { answers: Answers::Classes(3), ..labelled(&texts, &labels) };
        let fitted = fit(&labelled, &CONFIG, 1);
        assert_eq!((fitted.table.outputs(), fitted.offsets.len()), (3, 900));
        for (text, &label) in texts.iter().zip(&labels) {
            assert_eq!(crate::metrics::class_of(&fitted.table.logits(text)), label as usize);
        }
        assert_eq!(crate::metrics::judge(&fitted.offsets, &labels, &[]).1, 1.0);
    }

    #[test]
    fn of_many_answers_of_tokens_whole_texts_choose_the_strength_and_all_are_learned_from() {
        // A token's class is whether it is the word before; a text has ten of them.
        let word = |number: usize| (number * number + number / 3) % 4;
        let window = |number: usize| -> Vec<u32> {
            let before = if number.is_multiple_of(10) { None } else { Some(number - 1) };
            let hash = |number: usize| token_hash(&[word(number) as u8], false);
            before.into_iter().chain([number]).map(hash).collect()
        };
        let same = |number: usize| !number.is_multiple_of(10) && word(number) == word(number - 1);
        let texts: Vec<Vec<u32>> = (0..3_000).map(window).collect();
        let labels: Vec<f32> = (0..3_000).map(|number| f32::from(u8::from(same(number)))).collect();
        let ends: Vec<usize> = (1..=300).map(|text| 10 * text).collect();
        let fitted = fit(&Labelled { ends: Some(&ends), ..labelled(&texts, &labels) }, &CONFIG, 1);
        let judged: Vec<u32> = (0..3_000).filter(|answer| answer / 10 % 5 < 2).collect();
        assert_eq!((fitted.answers, fitted.offsets.len()), (3_000, 1_200));
        assert_eq!(fitted.judged, judged);
        assert!(fitted.is_of(3_000, 1, true) && !fitted.is_of(3_000, 1, false) && !fitted.is_of(2_990, 1, true));
        for (text, &label) in texts.iter().zip(&labels) {
            assert_eq!(fitted.table.logits(text)[0] > 0.0, label > 0.5, "{text:?}");
        }
    }

    #[test]
    fn values_are_learned_too() {
        let text =
            |index: usize| hashes(&Tokenization::default(), &format!("{} apples", ["no", "two", "nine"][index % 3]));
        let texts: Vec<Vec<u32>> = (0..300).map(text).collect();
        let labels: Vec<f32> = (0..300).map(|index| [-1.0, 0.0, 1.5][index % 3]).collect();
        let fitted = fit(&Labelled { answers: Answers::Values, ..labelled(&texts, &labels) }, &CONFIG, 1);
        for (text, &label) in texts.iter().zip(&labels) {
            let value = fitted.table.logits(text)[0];
            assert!((value - label).abs() < 0.2, "{value} for {label}");
        }
    }
}
