//! The table of n-grams while it is fitted: entries in floats, and how they become those of an image.

use latch_engine::input::ngrams::{Ngrams as NgramShape, PLACES, Place, Reader, Table as Lookup, lengthen, of_output};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::regression::{Features, Solution};
use super::{Answers, Labelled, NgramConfig, choose, each_key, read};
use crate::dataset::{Example, Labels};
use crate::tokenization::Tokenization;

/// What the length of a sequence counts more than its tokens: the fewer tokens, the closer is the contribution to zero.
const PRIOR: u16 = 50;

/// The unit of the features, so that the regularisation has the same strength for all sizes: a text of this many tokens has a total of one a token.
const UNIT: f32 = 256.0;

/// Moves of n-grams for the place of one, after which the table is too small.
const MOST_MOVES: usize = 5_000;

/// An n-gram of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The n-gram's running key.
    pub ngram: u32,
    /// The output's number.
    pub output: u32,
}

impl Key {
    /// As the engine's table looks for it.
    fn salted(self) -> u32 {
        of_output(self.ngram, self.output)
    }
}

/// A table with the weights of its entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    shape: NgramShape,
    reader: Reader,
    /// Entries as in the image, with all weights zero.
    keys: Vec<u16>,
    /// What one occurrence adds, before the division by tokens and prior; a value an entry.
    pub weights: Vec<f32>,
    /// What is added to each output in any case.
    pub bias: Vec<f32>,
    /// How often each entry occurs in the training texts.
    occurrences: Vec<u32>,
}

/// The keys' places in a cuckoo table.
pub(super) struct Built {
    /// The table's shape; its multiplier is not fitted yet.
    pub(super) shape: NgramShape,
    /// Who stands in each entry.
    owners: Vec<Option<Key>>,
}

/// The keys' entries in a cuckoo table, nine tenths full where that succeeds.
pub(super) fn build(keys: &[Key], config: &NgramConfig) -> Built {
    let mut entries = ((keys.len() as f64 / 0.9).ceil() as u32).max(1);
    loop {
        if let Some(owners) = place_all(keys, entries, config.weight_bits) {
            let NgramConfig { longest, weight_bits, .. } = *config;
            return Built { shape: NgramShape { entries, longest, weight_bits, prior: PRIOR, multiplier: 1 }, owners };
        }
        entries += entries / 64 + 1;
    }
}

fn place_all(keys: &[Key], entries: u32, weight_bits: u8) -> Option<Vec<Option<Key>>> {
    let mut owners: Vec<Option<Key>> = vec![None; entries as usize];
    let mut turn = 0;
    for &key in keys {
        let mut homeless = key;
        let mut moves = 0;
        loop {
            let places = Place::of(homeless.salted(), entries, weight_bits).entries.map(|entry| entry as usize);
            if let Some(free) = places.into_iter().find(|&entry| owners[entry].is_none()) {
                owners[free] = Some(homeless);
                break;
            }
            if moves == MOST_MOVES {
                return None;
            }
            // Somebody moves out; who, is random enough, and the same in every run.
            turn = lengthen(turn, homeless.salted());
            homeless = owners[places[(turn >> 16) as usize % PLACES]].replace(homeless)?;
            moves += 1;
        }
    }
    Some(owners)
}

impl Table {
    /// The engine's table over the entries.
    fn lookup(&self) -> Option<Lookup<'_>> {
        Lookup::new(self.shape, self.reader, &self.keys)
    }

    /// The entries of an output that occur in a text, by rising number, with `occurrences · UNIT / (tokens + prior)`.
    fn features(&self, hashes: &[u32], output: usize) -> Features {
        let Some(table) = self.lookup() else { return Vec::new() };
        let mut slots: Vec<u32> = Vec::new();
        let find = |key| table.find(of_output(key, output as u32)).map(|slot| slot as u32);
        each_key(hashes, self.shape.longest, self.reader.each_step, |key| slots.extend(find(key)));
        slots.sort_unstable();
        let share = UNIT / self.divisor(hashes);
        slots.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f32 * share)).collect()
    }

    /// What the sum over a text's n-grams is divided by, as the engine does it.
    fn divisor(&self, hashes: &[u32]) -> f32 {
        let tokens = if self.reader.each_step { 1.0 } else { hashes.len() as f32 };
        tokens + f32::from(self.shape.prior)
    }

    /// The number of entries, full or empty.
    pub(super) fn entries(&self) -> usize {
        self.keys.len()
    }

    /// The number of n-grams in the table.
    pub fn len(&self) -> usize {
        self.keys.iter().filter(|&&key| key != 0).count()
    }

    /// True when the table holds no n-gram.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Outputs that it adds to.
    pub fn outputs(&self) -> usize {
        usize::from(self.reader.outputs)
    }

    /// The logits that the table gives a text, or a [window](super::windows) where each token has an answer: one for each output, with weights as they are
    /// before quantization.
    pub fn logits(&self, hashes: &[u32]) -> Vec<f32> {
        let Some(table) = self.lookup() else { return self.bias.clone() };
        let mut sums = vec![0.0; self.outputs()];
        each_key(hashes, self.shape.longest, self.reader.each_step, |key| {
            for (output, sum) in sums.iter_mut().enumerate() {
                *sum += table.find(of_output(key, output as u32)).map_or(0.0, |slot| self.weights[slot]);
            }
        });
        let divisor = self.divisor(hashes);
        sums.iter().zip(&self.bias).map(|(sum, bias)| sum / divisor + bias).collect()
    }

    /// The logits of each answer to a text: of the text, or of each labelled token.
    pub fn answers<L: Labels>(&self, tokenization: &Tokenization, example: &Example<L>) -> Vec<f32> {
        read(tokenization, example, self.shape.longest).iter().flat_map(|tokens| self.logits(tokens)).collect()
    }

    /// The same table with everything that it adds times `gain`.
    pub fn scale(&mut self, gain: f32) {
        self.weights.iter_mut().chain(&mut self.bias).for_each(|weight| *weight *= gain);
    }

    /// Rounds the weights to those of an image's entries, which stay the same however the table is scaled then: whoever judges the table judges that of the image.
    pub(super) fn round(&mut self) {
        let (shape, entries) = self.quantized();
        let unused = 16 - u32::from(shape.weight_bits);
        for (weight, entry) in self.weights.iter_mut().zip(entries) {
            let code = f32::from((entry << unused) as i16 >> unused);
            *weight = code * code.abs() * shape.multiplier as f32 / 65_536.0;
        }
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

/// A table that has been built, with what its weights are multiplied by.
pub(super) struct Counted {
    pub(super) table: Table,
    /// Log-count ratios of the entries; 1 of values.
    ratios: Vec<f32>,
    /// The output that each entry belongs to.
    owners: Vec<Option<u32>>,
}

impl Counted {
    /// Chooses n-grams from some of the texts and counts their entries.
    pub(super) fn of(labelled: &Labelled<'_>, chosen: &[usize], config: &NgramConfig) -> Self {
        let answers = labelled.answers;
        let texts: Vec<&[u32]> = chosen.iter().map(|&text| labelled.texts[text].as_slice()).collect();
        let labels: Vec<f32> = chosen.iter().map(|&text| labelled.labels[text]).collect();
        let Built { shape, owners } = build(&choose(&texts, &labels, (answers, labelled.each_step()), config), config);
        let entry = |owner: &Option<Key>| {
            owner.map_or(0, |key| Place::of(key.salted(), shape.entries, shape.weight_bits).key << shape.weight_bits)
        };
        let keys: Vec<u16> = owners.iter().map(entry).collect();
        let outputs = answers.outputs();
        let table = Table {
            shape,
            reader: Reader { outputs: outputs as u16, each_step: labelled.each_step() },
            weights: vec![0.0; keys.len()],
            bias: vec![0.0; outputs],
            occurrences: vec![0; keys.len()],
            keys,
        };
        let owners = owners.into_iter().map(|owner| owner.map(|key| key.output)).collect();
        let mut counted = Counted { ratios: vec![1.0; table.keys.len()], table, owners };
        for output in 0..outputs {
            counted.count(&texts, &labels, answers, output);
        }
        counted
    }

    /// Counts the entries of an output.
    fn count(&mut self, texts: &[&[u32]], labels: &[f32], answers: Answers, output: usize) {
        let features: Vec<Features> = texts.par_iter().map(|hashes| self.own(hashes, output)).collect();
        let mut with = vec![[1.0_f32; 2]; self.table.keys.len()];
        for (features, &label) in features.iter().zip(labels) {
            for &(slot, _) in features {
                with[slot as usize][usize::from(answers.seen_by(output, label) > 0.5)] += 1.0;
                self.table.occurrences[slot as usize] += 1;
            }
        }
        if answers == Answers::Values {
            return;
        }
        let belongs = |slot: usize| self.owners[slot].is_none_or(|owner| owner as usize == output);
        let total = |class: usize| {
            let of_class = with.iter().enumerate().filter(|(slot, _)| belongs(*slot));
            of_class.map(|(_, with)| f64::from(with[class])).sum::<f64>() as f32
        };
        let prior = total(0) / total(1);
        for (slot, (ratio, with)) in self.ratios.iter_mut().zip(&with).enumerate() {
            if self.owners[slot].is_none_or(|owner| owner as usize == output) {
                *ratio = (with[1] / with[0] * prior).ln();
            }
        }
    }

    /// The features of an output's own entries. Of several outputs, one's n-gram may be found in another's entry; that is left out here.
    fn own(&self, hashes: &[u32], output: usize) -> Features {
        let mut features = self.table.features(hashes, output);
        features.retain(|&(slot, _)| self.owners[slot as usize] == Some(output as u32));
        features
    }

    /// The features of a text times the ratios of their entries.
    pub(super) fn features(&self, hashes: &[u32], output: usize) -> Features {
        let features = self.own(hashes, output);
        features.into_iter().map(|(slot, value)| (slot, value * self.ratios[slot as usize])).collect()
    }

    /// The same of some of the texts.
    pub(super) fn all_features(&self, texts: &[Vec<u32>], chosen: &[usize], output: usize) -> Vec<Features> {
        chosen.par_iter().map(|&text| self.features(&texts[text], output)).collect()
    }

    /// Takes the weights that were fitted, one solution an output, calibrated by `gain` and `bias`.
    pub(super) fn take(&mut self, fits: &[Solution], gain: f32, bias: f32) {
        for (slot, weight) in self.table.weights.iter_mut().enumerate() {
            let fitted = self.owners[slot].map_or(0.0, |output| fits[output as usize].weights[slot]);
            *weight = gain * fitted * self.ratios[slot] * UNIT;
        }
        self.table.bias = fits.iter().map(|fit| gain * fit.bias + bias).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit;
    use super::super::tests::{CONFIG, labelled, texts};
    use super::*;

    #[test]
    fn every_ngram_that_is_placed_is_found() {
        let key = |number: u32| Key { ngram: number.wrapping_mul(0x9E37_79B1), output: number % 3 };
        let keys: Vec<Key> = (0..10_000).map(key).collect();
        let Built { shape, owners } = build(&keys, &CONFIG);
        let is_there = |key: &Key| {
            let places = Place::of(key.salted(), shape.entries, shape.weight_bits).entries;
            places.into_iter().any(|entry| owners[entry as usize] == Some(*key))
        };
        assert!(keys.iter().all(is_there));
        assert!(owners.len() * 100 < keys.len() * 113, "{} entries", owners.len());
    }

    #[test]
    fn a_fitted_table_is_that_of_its_image_whatever_its_gain() {
        let (texts, labels) = texts();
        let table = fit(&labelled(&texts, &labels), &CONFIG, 1).table;
        let entries = table.quantized().1;
        for gain in [1.0, 0.37, 2.9] {
            let mut scaled = table.clone();
            scaled.scale(gain);
            assert_eq!(scaled.quantized().1, entries, "{gain}");
            let mut rounded = scaled.clone();
            rounded.round();
            for (rounded, scaled) in rounded.weights.iter().zip(&scaled.weights) {
                assert!((rounded - scaled).abs() <= 1e-3 * scaled.abs(), "{rounded} for {scaled}");
            }
        }
    }

    #[test]
    fn quantized_weights_are_near_and_keys_untouched() {
        let (texts, labels) = texts();
        let mut table = fit(&labelled(&texts, &labels), &CONFIG, 1).table;
        // What a fit gives is rounded; these lie between.
        table.weights.iter_mut().enumerate().for_each(|(slot, weight)| *weight *= 0.8 + 0.01 * (slot % 17) as f32);
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
