//! N-grams: choosing the runs of tokens that tell classes apart, their table, and their weights.
//!
//! ```text
//! token hashes ──counts per class──> the most telling n-grams ──cuckoo table──> entries ──logistic regression──> weights
//! ```
//!
//! Features are found by the engine's own table, so that what it confuses is confused in training already. With `f` the sequences'
//! features and `r` the log-count ratios of their entries (naive Bayes features, Wang and Manning 2012),
//!
//! ```text
//! contribution = gain·(Σ v·r·x + b)      x = how often the entry's n-grams occur · 256 / (tokens + prior)
//! ```
//!
//! The recurrent network beside the table learns what the n-grams leave open. On its own training texts the table is surer than it may be, so
//! the network learns beside logits that come from tables which have not seen the text ([`Fitted::offsets`], by cross-validation); `gain`
//! is what calibrates these. In the end both logits get a gain of their own, fitted on the validation part ([`fuse`]).

pub(crate) mod logistic;

use std::cmp::Ordering;

use latch_engine::input::ngrams::{Ngrams as NgramShape, PLACES, Place, Table as Lookup, lengthen, token_hash};
use latch_engine::input::text::{Tokenizer, Tokens};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use crate::config::NgramConfig;
use crate::dataset::{Example, Labels};
use logistic::{Features, Problem};

/// Sequences of every fold of the cross-validation are every such one.
const FOLDS: usize = 5;

/// What the length of a sequence counts more than its tokens: the fewer tokens, the closer is the contribution to zero.
const PRIOR: u16 = 50;

/// The unit of the features, so that the regularisation has the same strength for all sizes: a text of this many tokens has a total of one a token.
const UNIT: f32 = 256.0;

/// Strengths `C` of the loss against the weights' norm; the cross-validation takes the best.
const STRENGTHS: [f32; 4] = [0.01, 0.03, 0.1, 0.3];

/// A table with the weights of its entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    shape: NgramShape,
    /// Entries as in the image, with all weights zero.
    keys: Vec<u16>,
    /// What one occurrence adds, before the division by tokens and prior; a value an entry.
    pub weights: Vec<f32>,
    /// What is added in any case.
    pub bias: f32,
    /// How often each entry occurs in the training texts.
    occurrences: Vec<u32>,
}

/// A table, and what the network learns beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The table that goes into the image.
    pub table: Table,
    /// For each training text the logit that a table gives which has not seen it.
    pub offsets: Vec<f32>,
}

/// The hashes of a text's tokens of a kind, in order.
pub fn hashes(units: Tokens, text: &str) -> Vec<u32> {
    let mut hashes = Vec::new();
    let mut tokenizer = Tokenizer::of(units);
    let mut push = |token: latch_engine::input::text::Token<'_>, first: bool| {
        hashes.push(token_hash(token.bytes(), units == Tokens::Syllables && first));
    };
    tokenizer.push_each(text.as_bytes(), &mut push);
    tokenizer.finish_each(&mut push);
    hashes
}

/// Calls `each` with the running key of every n-gram of up to `longest` tokens.
fn each_key(hashes: &[u32], longest: u8, mut each: impl FnMut(u32)) {
    for end in 0..hashes.len() {
        let mut key = hashes[end];
        each(key);
        for &before in hashes[..end].iter().rev().take(usize::from(longest) - 1) {
            key = lengthen(key, before);
            each(key);
        }
    }
}

/// The `count` n-grams that tell the classes apart most surely, the surest first, by their running keys:
///
/// ```text
/// z = |ln(p/q)| / √(1/p + 1/q)        p, q: texts of each class that have the n-gram, plus a half, as shares of the class
/// ```
fn choose(texts: &[&[u32]], labels: &[f32], config: &NgramConfig) -> Vec<u32> {
    let mut seen: Vec<u64> = texts
        .par_iter()
        .zip(labels)
        .flat_map_iter(|(hashes, &label)| {
            let mut keys = Vec::with_capacity(hashes.len() * usize::from(config.longest));
            each_key(hashes, config.longest, |key| keys.push(u64::from(key) << 1 | u64::from(label > 0.5)));
            keys.sort_unstable();
            keys.dedup();
            keys
        })
        .collect();
    seen.par_sort_unstable();
    let positive = labels.iter().filter(|&&label| label > 0.5).count().max(1);
    let prior = (labels.len() - positive).max(1) as f64 / positive as f64;
    let mut scored: Vec<(f64, u32)> = seen
        .chunk_by(|a, b| a >> 1 == b >> 1)
        .filter(|texts| texts.len() >= config.fewest as usize)
        .map(|texts| {
            let of_positive = texts.iter().filter(|&&text| text & 1 == 1).count() as f64 + 0.5;
            let of_negative = texts.len() as f64 + 1.0 - of_positive;
            let z = (of_positive / of_negative * prior).ln().abs() / (1.0 / of_positive + 1.0 / of_negative).sqrt();
            (z, (texts[0] >> 1) as u32)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.truncate(config.count);
    scored.into_iter().map(|(_, key)| key).collect()
}

/// All n-grams of training texts that [`fit`] chooses from, the surest first, by their running keys: a table of fewer has the first of them.
pub fn rank<L: Labels>(units: Tokens, examples: &[Example<L>], config: &NgramConfig) -> Vec<u32> {
    let texts: Vec<Vec<u32>> = examples.par_iter().map(|example| hashes(units, &example.text)).collect();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let labels: Vec<f32> =
        examples.iter().map(|example| example.label.numbers().first().copied().unwrap_or(0.0)).collect();
    choose(&texts, &labels, &NgramConfig { count: usize::MAX, ..*config })
}

/// The shape of the table that these n-grams get; its multiplier is not fitted yet.
pub fn shape(keys: &[u32], config: &NgramConfig) -> NgramShape {
    build(keys, config).0
}

/// The keys' entries in a cuckoo table, nine tenths full where that succeeds.
fn build(keys: &[u32], config: &NgramConfig) -> (NgramShape, Vec<u16>) {
    let mut entries = ((keys.len() as f64 / 0.9).ceil() as u32).max(1);
    loop {
        if let Some(placed) = place_all(keys, entries, config.weight_bits) {
            let NgramConfig { longest, weight_bits, .. } = *config;
            let shape = NgramShape { entries, longest, weight_bits, prior: PRIOR, multiplier: 1 };
            return (shape, placed);
        }
        entries += entries / 64 + 1;
    }
}

/// Moves of n-grams for the place of one, after which the table is too small.
const MOST_MOVES: usize = 5_000;

fn place_all(keys: &[u32], entries: u32, weight_bits: u8) -> Option<Vec<u16>> {
    let mut owners: Vec<Option<u32>> = vec![None; entries as usize];
    let mut turn = 0;
    for &key in keys {
        let mut homeless = key;
        let mut moves = 0;
        loop {
            let places = Place::of(homeless, entries, weight_bits).entries.map(|entry| entry as usize);
            if let Some(free) = places.into_iter().find(|&entry| owners[entry].is_none()) {
                owners[free] = Some(homeless);
                break;
            }
            if moves == MOST_MOVES {
                return None;
            }
            // Somebody moves out; who, is random enough, and the same in every run.
            turn = lengthen(turn, homeless);
            homeless = owners[places[(turn >> 16) as usize % PLACES]].replace(homeless)?;
            moves += 1;
        }
    }
    let entry = |owner: Option<u32>| owner.map_or(0, |key| Place::of(key, entries, weight_bits).key << weight_bits);
    Some(owners.into_iter().map(entry).collect())
}

impl Table {
    /// The entries that occur in a text, by rising number, with `occurrences · UNIT / (tokens + prior)`.
    fn features(&self, hashes: &[u32]) -> Features {
        let Some(table) = Lookup::new(self.shape, &self.keys) else { return Vec::new() };
        let mut slots: Vec<u32> = Vec::new();
        each_key(hashes, self.shape.longest, |key| slots.extend(table.find(key).map(|slot| slot as u32)));
        slots.sort_unstable();
        let share = UNIT / (hashes.len() as f32 + f32::from(self.shape.prior));
        slots.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f32 * share)).collect()
    }

    /// The number of n-grams in the table.
    pub fn len(&self) -> usize {
        self.keys.iter().filter(|&&key| key != 0).count()
    }

    /// True when the table holds no n-gram.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The logit that the table gives a text, with weights as they are before quantization.
    pub fn logit(&self, hashes: &[u32]) -> f32 {
        let Some(table) = Lookup::new(self.shape, &self.keys) else { return self.bias };
        let mut sum = 0.0;
        each_key(hashes, self.shape.longest, |key| sum += table.find(key).map_or(0.0, |slot| self.weights[slot]));
        sum / (hashes.len() as f32 + f32::from(self.shape.prior)) + self.bias
    }

    /// The table as it stands in an image, and its entries. The weights' scale is the one among clips at 100, 95 … 30 % of the largest
    /// magnitude that gives the least squared error of what the training texts read.
    pub fn quantized(&self) -> (NgramShape, Vec<u16>) {
        let most = f32::from((1_i16 << (self.shape.weight_bits - 1)) - 1);
        let largest = self.weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs())).max(1e-6);
        let multiplier = |clip: f32| (largest * clip / (most * most) * 65_536.0).round().max(1.0);
        // The nearest of code·|code|: the square root, rounded, errs by a hair between two codes only.
        let code = |weight: f32, multiplier: f32| {
            let square = weight * 65_536.0 / multiplier;
            (square.abs().sqrt().round().min(most)).copysign(square)
        };
        let error = |multiplier: f32| -> f64 {
            let errors = self.weights.iter().zip(&self.occurrences).map(|(&weight, &occurrences)| {
                let code = code(weight, multiplier);
                let error = weight - code * code.abs() * multiplier / 65_536.0;
                f64::from(error).powi(2) * f64::from(occurrences)
            });
            errors.sum()
        };
        let best = (0..=14)
            .map(|step| multiplier(1.0 - 0.05 * step as f32))
            .min_by(|a, b| error(*a).total_cmp(&error(*b)))
            .unwrap_or(1.0);
        let mask = (1_u16 << self.shape.weight_bits) - 1;
        let entries = self
            .keys
            .iter()
            .zip(&self.weights)
            .map(|(&key, &weight)| key | if key == 0 { 0 } else { code(weight, best) as i16 as u16 & mask })
            .collect();
        (NgramShape { multiplier: best as u32, ..self.shape }, entries)
    }
}

/// A table that has been built, with the features that the texts have in it.
struct Counted {
    table: Table,
    /// Log-count ratios of the entries.
    ratios: Vec<f32>,
}

/// Chooses n-grams from texts and counts their entries.
fn count(texts: &[&[u32]], labels: &[f32], config: &NgramConfig) -> (Counted, Vec<Features>) {
    let (shape, keys) = build(&choose(texts, labels, config), config);
    let mut table = Table { shape, weights: vec![0.0; keys.len()], occurrences: vec![0; keys.len()], keys, bias: 0.0 };
    let features: Vec<Features> = texts.par_iter().map(|hashes| table.features(hashes)).collect();
    let mut with = vec![[1.0_f32; 2]; table.keys.len()];
    for (features, &label) in features.iter().zip(labels) {
        for &(slot, _) in features {
            with[slot as usize][usize::from(label > 0.5)] += 1.0;
            table.occurrences[slot as usize] += 1;
        }
    }
    let total = |class: usize| with.iter().map(|with| f64::from(with[class])).sum::<f64>() as f32;
    let prior = total(0) / total(1);
    let ratios = with.iter().map(|with| (with[1] / with[0] * prior).ln()).collect();
    (Counted { table, ratios }, features)
}

/// Features times the ratios of their entries.
fn scaled(features: &Features, ratios: &[f32]) -> Features {
    features.iter().map(|&(slot, value)| (slot, value * ratios[slot as usize])).collect()
}

/// How the network's logit and the n-grams' become one: `network·z + ngrams·n + bias`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fusion {
    /// Gain of the network's logit.
    pub network: f32,
    /// Gain of the n-grams' logit.
    pub ngrams: f32,
    /// What is added in any case.
    pub bias: f32,
    /// Mean loss of the fused logits in nats.
    pub loss: f64,
}

/// The gains with the least loss on labelled sequences, given as both logits of each.
pub fn fuse(network: &[f32], ngrams: &[f32], labels: &[f32]) -> Fusion {
    let examples = network.iter().zip(ngrams).map(|(&network, &ngrams)| [f64::from(network), f64::from(ngrams), 1.0]);
    let ([network, ngrams, bias], loss) = logistic::regress(examples, labels, [0.5, 0.5, 0.0]);
    Fusion { network: network as f32, ngrams: ngrams as f32, bias: bias as f32, loss }
}

impl Fusion {
    /// The fused logit.
    pub fn logit(&self, network: f32, ngrams: f32) -> f32 {
        self.network * network + self.ngrams * ngrams + self.bias
    }
}

/// Chooses the n-grams of training texts, given as hashes, and fits their weights to labels from 0 to 1, of which those above a half are the
/// positive class. N-grams are chosen and logits calibrated by `labels`, weights fitted to `targets`, which are the same where nobody teaches.
/// The same arguments give the same bits on any number of threads.
pub fn fit(texts: &[Vec<u32>], labels: &[f32], targets: &[f32], config: &NgramConfig, seed: u64) -> Fitted {
    // For every fold, a logit of each strength for each of its texts.
    let folds: Vec<Vec<(usize, [f32; STRENGTHS.len()])>> = (0..FOLDS)
        .into_par_iter()
        .map(|fold| {
            let rest: Vec<usize> = (0..texts.len()).filter(|index| index % FOLDS != fold).collect();
            let texts_of_rest: Vec<&[u32]> = rest.iter().map(|&index| texts[index].as_slice()).collect();
            let labels_of_rest: Vec<f32> = rest.iter().map(|&index| labels[index]).collect();
            let targets_of_rest: Vec<f32> = rest.iter().map(|&index| targets[index]).collect();
            let (counted, features) = count(&texts_of_rest, &labels_of_rest, config);
            let features: Vec<Features> = features.iter().map(|features| scaled(features, &counted.ratios)).collect();
            let fits = STRENGTHS.map(|strength| {
                let problem = Problem { features: &features, labels: &targets_of_rest, width: counted.ratios.len() };
                problem.solve(strength, seed)
            });
            (fold..texts.len())
                .step_by(FOLDS)
                .map(|index| {
                    let features = scaled(&counted.table.features(&texts[index]), &counted.ratios);
                    (index, fits.each_ref().map(|fit| fit.logit(&features)))
                })
                .collect()
        })
        .collect();
    let mut unseen = vec![[0.0; STRENGTHS.len()]; texts.len()];
    for (index, logits) in folds.into_iter().flatten() {
        unseen[index] = logits;
    }
    let (strength, gain, offset, _) = (0..STRENGTHS.len())
        .map(|strength| {
            let logits: Vec<f32> = unseen.iter().map(|logits| logits[strength]).collect();
            let (gain, bias, loss) = logistic::calibrate(&logits, labels);
            (strength, gain, bias, loss)
        })
        .min_by(|a, b| a.3.partial_cmp(&b.3).unwrap_or(Ordering::Equal))
        .unwrap_or((0, 1.0, 0.0, 0.0));
    let offsets = unseen.iter().map(|logits| gain * logits[strength] + offset).collect();

    let all: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let (Counted { mut table, ratios }, features) = count(&all, labels, config);
    let features: Vec<Features> = features.iter().map(|features| scaled(features, &ratios)).collect();
    let problem = Problem { features: &features, labels: targets, width: ratios.len() };
    let fitted = problem.solve(STRENGTHS[strength], seed);
    table.weights = fitted.weights.iter().zip(&ratios).map(|(weight, ratio)| gain * weight * ratio * UNIT).collect();
    table.bias = gain * fitted.bias + offset;
    tracing::info!(strength = STRENGTHS[strength], gain, "n-grams fitted");
    Fitted { table, offsets }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: NgramConfig = NgramConfig { count: 40, longest: 2, weight_bits: 6, dropout: 0.0, fewest: 3 };

    /// Texts in which the pair decides, and no word does.
    fn texts() -> (Vec<Vec<u32>>, Vec<f32>) {
        let text = |index: usize| -> (Vec<u32>, f32) {
            let (not, good) = (index & 1 == 0, index & 2 == 0);
            let filler = ["film", "scene", "plot", "cast", "music"][index / 4 % 5];
            let first = if not { "not" } else { "very" };
            let second = if good { "good" } else { "bad" };
            (hashes(Tokens::Words, &format!("a {filler} {first} {second} indeed")), f32::from(u8::from(not != good)))
        };
        (0..400).map(text).unzip()
    }

    #[test]
    fn pairs_of_words_are_learned_that_no_single_word_tells() {
        let (texts, labels) = texts();
        let fitted = fit(&texts, &labels, &labels, &CONFIG, 1);
        for (text, &label) in texts.iter().zip(&labels) {
            assert_eq!(fitted.table.logit(text) > 0.0, label > 0.5);
        }
        assert!(fitted.offsets.iter().zip(&labels).all(|(&offset, &label)| (offset > 0.0) == (label > 0.5)));
    }

    #[test]
    fn the_same_texts_give_the_same_table() {
        let (texts, labels) = texts();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(
            fit(&texts, &labels, &labels, &CONFIG, 1),
            one.install(|| fit(&texts, &labels, &labels, &CONFIG, 1))
        );
    }

    #[test]
    fn every_ngram_that_is_placed_is_found() {
        let keys: Vec<u32> = (0..10_000_u32).map(|number| number.wrapping_mul(0x9E37_79B1)).collect();
        let (shape, entries) = build(&keys, &CONFIG);
        let table = Lookup::new(shape, &entries).expect("the shape is sound");
        assert!(keys.iter().all(|&key| table.find(key).is_some()));
        assert!(entries.len() * 100 < keys.len() * 113, "{} entries", entries.len());
    }

    #[test]
    fn quantized_weights_are_near_and_keys_untouched() {
        let (texts, labels) = texts();
        let table = fit(&texts, &labels, &labels, &CONFIG, 1).table;
        let (shape, entries) = table.quantized();
        for ((&entry, &key), &weight) in entries.iter().zip(&table.keys).zip(&table.weights) {
            assert_eq!(entry >> 6 << 6, key);
            let code = (i32::from(entry) << 26 >> 26) as f32;
            let step = shape.multiplier as f32 / 65_536.0;
            let value = code * code.abs() * step;
            // Between code·|code| and its neighbour lie 2·|code| + 1 steps.
            assert!((value - weight).abs() <= (code.abs() + 0.6) * step, "{value} for {weight}");
        }
    }
}
