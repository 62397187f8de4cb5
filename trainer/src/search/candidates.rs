//! Candidates of a search: what each would cost, known before it is trained, and a seeded sampler of those that fit a budget.
//!
//! Bytes are those of the image that the engine's own writer would make: the vocabulary is really coded, the n-grams are really placed, and
//! the header is sized by [`encoded_bytes`]. Only the coded length of the n-grams' multiplier is not known before training; the longest is
//! taken, so that an image with n-grams may have 16 bytes less than predicted, never more. Without n-grams the number is exact.
//!
//! What can be chosen stands in the constants of this file and in [`propose`]; another kind of model is another draw there.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use latch_engine::image::encode::{Notes, encoded_bytes};
use latch_engine::image::header::{Input, Provenance};
use latch_engine::input::ngrams::Ngrams;
use latch_engine::input::text::Text;
use latch_engine::layers::embedding::MAX_ROWS;
use latch_engine::state_bytes;
use latch_parts::parts::{self, Part};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::latency::{Microseconds, estimate};
use crate::batches::generator;
use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::config::{ModelConfig, NgramConfig, Storage, Threshold, TrainConfig, Words};
use crate::dataset::{Example, Label};
use crate::error::{Fault, fault};
use crate::ngrams::{self, Answers, table::Key};
use crate::quantizer::describe::{self, answer_of};
use crate::quantizer::{Cell, Origin};
use crate::tokenization::Tokenization;
use crate::vocabulary::{self, Ranked, Vocabulary};

/// The precisions that are tried: the one place to add another. All have to be integers, which the estimate of time is for.
pub const PRECISIONS: [Storage; 3] = [Storage::Int8, Storage::Mixed, Storage::Int4];

/// Features of an embedding row.
const WIDTHS: [usize; 8] = [2, 4, 6, 8, 12, 16, 24, 32];

/// Units of a recurrent layer.
const UNITS: [usize; 10] = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/// Layers; one of them is drawn with the same chance as any other.
const LAYERS: [usize; 4] = [1, 1, 1, 2];

/// Kinds of the recurrent layers, likewise.
const CELLS: [Cell; 5] = [Cell::Lstm, Cell::Lstm, GRU, GRU, Cell::Rnn { activation: Activation::Tanh }];

/// A GRU as most frameworks have it.
const GRU: Cell = Cell::Gru { reset_after: true };

/// Poolings, likewise.
const POOLINGS: [Pooling; 5] = [Pooling::Attention, Pooling::Attention, Pooling::Max, Pooling::Mean, Pooling::Last];

/// Eighths of the bytes that go to n-grams, likewise. They are few, so that candidates share tables: a table takes longer to fit than some
/// epochs take to train.
const NGRAM_EIGHTHS: [usize; 6] = [0, 0, 2, 4, 6, 7];

/// The parts of the flash that candidates may take, one after the other: half of them all of it, the others down to an eleventh, so that the front covers more
/// than a decade of sizes.
const FLASH_PARTS: [usize; 8] = [1, 2, 1, 4, 1, 8, 1, 11];

/// Fewest words of a vocabulary, where the texts have so many.
const FEWEST_WORDS: usize = 16;

/// Draws for each candidate that is asked for, after which there are no more.
const DRAWS: usize = 50;

/// Draws for one part of the flash, after which the next part has its turn.
const DRAWS_OF_A_PART: usize = 20;

/// Draws in all.
const MOST_DRAWS: usize = 20_000;

/// What an image may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Bytes of the image.
    pub flash: usize,
    /// Bytes of a stream's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram: Option<usize>,
    /// Name of the part that tokens are timed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Microseconds of a token on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
}

/// A model, and how it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The model.
    pub model: ModelConfig,
    /// The precision of its image.
    pub precision: Storage,
}

/// What a candidate takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Bytes of the image.
    pub image_bytes: usize,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// Time of a token, where a part is named.
    pub latency: Option<Microseconds>,
}

impl Budget {
    /// The named part; `None` where none is.
    ///
    /// # Errors
    /// A fault that lists the parts when there is none of that name, and one when a latency is given without a part.
    pub fn part(&self) -> Result<Option<Part>> {
        let named = self.board.as_deref().map(parts::find).transpose();
        let part = named.map_err(|error| fault("--board", error.to_string(), error.remedy().to_string()))?;
        if self.latency.is_some() && part.is_none() {
            let names: Vec<&str> = parts::PARTS.iter().map(|part| part.name).collect();
            let remedy = format!("name the part by --board: {}", names.join(", "));
            return Err(fault("--latency", "a time needs a part that takes it", remedy).into());
        }
        Ok(part)
    }

    fn holds(&self, cost: &Cost) -> bool {
        self.misses(cost).is_empty()
    }

    /// What is too small for a cost, each with what it would have to be.
    fn misses(&self, cost: &Cost) -> Vec<String> {
        let mut misses = Vec::new();
        if cost.image_bytes > self.flash {
            misses.push(format!("--flash {} (it is {})", cost.image_bytes, self.flash));
        }
        if let Some(ram) = self.ram.filter(|&ram| cost.state_bytes > ram) {
            misses.push(format!("--ram {} (it is {ram})", cost.state_bytes));
        }
        if let (Some(limit), Some(time)) = (self.latency, cost.latency)
            && time.high > limit
        {
            misses.push(format!("--latency {:.0}us (it is {limit:.0}us)", time.high.ceil()));
        }
        misses
    }
}

/// Knows what candidates cost on given training texts.
#[derive(Debug)]
pub struct Sizer {
    base: TrainConfig,
    origin: Origin,
    part: Option<Part>,
    tokenization: Tokenization,
    /// The words in the order in which a vocabulary takes them.
    words: BTreeMap<Words, Vec<String>>,
    /// The n-grams, surest first.
    ngrams: Vec<Key>,
    texts: RefCell<BTreeMap<(Words, usize), Text>>,
    tables: RefCell<BTreeMap<usize, Ngrams>>,
}

impl Sizer {
    /// Reads the texts once. Of `base`, everything counts that a candidate does not choose.
    pub fn new(base: &TrainConfig, training: &[Example<Label>], part: Option<Part>) -> Self {
        let tokenization = Tokenization::of_examples(base.tokens(), training);
        let ranked = vocabulary::rank(&tokenization, base.model.words, training);
        // What occurs once tells nothing.
        let useful = ranked.iter().take_while(|ranked| ranked.count > 1).count().max(FEWEST_WORDS).min(ranked.len());
        // N-grams stand beside the one logit of two classes.
        let ngrams = if base.task.is_binary() {
            ngrams::rank(&tokenization, training, Answers::Verdict, &base.model.ngrams)
        } else {
            Vec::new()
        };
        Sizer { part, ..Self::of_ranked(base, tokenization, &ranked[..useful], ngrams, training.len()) }
    }

    /// The same for so many training texts, of which the words and the n-grams are known, as models take them first.
    pub fn of_ranked(
        base: &TrainConfig,
        tokenization: Tokenization,
        ranked: &[Ranked],
        ngrams: Vec<Key>,
        examples: usize,
    ) -> Self {
        let words = ranked.iter().take(MAX_ROWS as usize - 1).map(|ranked| ranked.word.clone()).collect();
        let origin = Origin {
            seed: base.seed,
            examples: examples as u32,
            epochs: base.epochs as u32,
            // Whatever it will be: its bytes are always as many.
            threshold: (base.threshold != Threshold::Half).then_some(0.5),
            ..Origin::default()
        };
        Sizer {
            ngrams,
            base: base.clone(),
            origin,
            part: None,
            words: [(base.model.words, words)].into(),
            tokenization,
            texts: RefCell::default(),
            tables: RefCell::default(),
        }
    }

    /// The same for images that name these classes.
    #[must_use]
    pub fn of_classes(mut self, classes: &[String]) -> Self {
        self.origin.classes = classes.to_vec();
        self
    }

    /// The words that a model may have, in the order in which its vocabulary takes them.
    pub fn words(&self, model: &ModelConfig) -> &[String] {
        self.words.get(&model.words).map_or(&[], Vec::as_slice)
    }

    /// How the texts are cut into tokens.
    pub fn tokenization(&self) -> &Tokenization {
        &self.tokenization
    }

    /// The vocabulary of a model.
    pub fn vocabulary(&self, model: &ModelConfig) -> Vocabulary {
        let words = self.words(model);
        let words = words[..model.vocab.min(words.len())].to_vec();
        Vocabulary::new(words, model.unknown(), self.tokenization.clone())
    }

    fn text(&self, model: &ModelConfig) -> Result<Text> {
        let key = (model.words, model.vocab);
        let unknown = model.unknown();
        if let Some(text) = self.texts.borrow().get(&key) {
            return Ok(Text { unknown, ..*text });
        }
        let vocabulary = self.vocabulary(model);
        let text = vocabulary.encode()?.shape(vocabulary.tokenization.tokens, unknown);
        self.texts.borrow_mut().insert(key, text);
        Ok(text)
    }

    fn table(&self, config: &NgramConfig) -> Ngrams {
        let place = || {
            let shape = ngrams::shape(&self.ngrams[..config.count.min(self.ngrams.len())], config);
            // The multiplier comes from training: the longest that can be coded.
            Ngrams { multiplier: u32::MAX, ..shape }
        };
        *self.tables.borrow_mut().entry(config.count).or_insert_with(place)
    }

    /// What a candidate takes.
    ///
    /// # Errors
    /// A fault when a word cannot be coded, an error of the engine when no image can hold the model.
    pub fn cost(&self, candidate: &Candidate) -> Result<Cost> {
        let Candidate { model, precision } = candidate;
        let text = self.text(model)?;
        // Numbers that training gives have one byte whatever they are.
        let shift = u8::from(precision.precision().is_integer());
        let ngrams = (model.ngrams.count > 0).then(|| self.table(&model.ngrams));
        let chain = describe::Chain::of(&model.chain, self.base.task.outputs(), shift, *precision);
        let embedding = ((text.words + text.unknown.rows()) as usize, model.chain.embedding);
        let mut description = chain.describe(Input::Text(text), embedding, model.tiers, ngrams, *precision)?;
        description.answer = answer_of(self.base.task).kind;
        let provenance = Provenance {
            producer: concat!("latch ", env!("CARGO_PKG_VERSION")).as_bytes(),
            seed: self.origin.seed,
            data_sha256: self.origin.data_sha256,
            examples: self.origin.examples,
            epochs: self.origin.epochs,
            valid_accuracy: 0.0,
        };
        let notes = Notes {
            provenance,
            class_names: self.origin.classes.clone(),
            characters: self.tokenization.characters(),
            metadata: self.origin.metadata(),
            ..Notes::default()
        };
        Ok(Cost {
            image_bytes: encoded_bytes(&description, &notes)?,
            state_bytes: state_bytes(&description),
            latency: self.part.as_ref().and_then(|part| estimate(part, model)),
        })
    }

    /// The candidate with as many words as go into `flash` bytes, where it holds the rest of the budget.
    fn filled(&self, mut candidate: Candidate, flash: usize, budget: &Budget) -> Result<Option<Candidate>> {
        let budget = Budget { flash, ..budget.clone() };
        let most = self.words(&candidate.model).len();
        let mut fits = |words: usize| -> Result<bool> {
            candidate.model.vocab = words;
            Ok(budget.holds(&self.cost(&candidate)?))
        };
        let (mut low, mut high) = (FEWEST_WORDS.min(most), most);
        if !fits(low)? {
            return Ok(None);
        }
        while low < high {
            let middle = (low + high).div_ceil(2);
            if fits(middle)? { low = middle } else { high = middle - 1 }
        }
        candidate.model.vocab = low;
        Ok(Some(candidate))
    }

    /// So many n-grams as `bytes` hold: two bytes each, and a tenth of the table is free.
    fn ngrams(&self, bytes: usize) -> NgramConfig {
        NgramConfig { count: (bytes * 9 / 20).min(self.ngrams.len()), ..self.base.model.ngrams }
    }
}

/// Up to `trials` different candidates that fit, in the order in which they are tried: the default shape with words in all of the flash, the
/// same with n-grams in half of it, then what the seed draws. Fewer where there are no more.
///
/// # Errors
/// A fault that names what would have to be larger, and how large, where not even the smallest candidate fits.
pub fn propose(sizer: &Sizer, budget: &Budget, trials: usize) -> Result<Vec<Candidate>> {
    let base = &sizer.base.model;
    let none = NgramConfig { count: 0, ..base.ngrams };
    let of = |width, cells: &[(Cell, usize)], pooling, ngrams| {
        let pooling = (!sizer.base.task.each_step()).then_some(pooling);
        ModelConfig { chain: shaped(&base.chain, width, cells, pooling), ngrams, ..base.clone() }
    };
    let smallest = of(WIDTHS[0], &[(Cell::Lstm, UNITS[0])], Pooling::Last, none);
    let vocab = FEWEST_WORDS.min(sizer.words(base).len());
    let precision = PRECISIONS[PRECISIONS.len() - 1];
    let smallest = Candidate { model: ModelConfig { vocab, ..smallest }, precision };
    let misses = budget.misses(&sizer.cost(&smallest)?);
    if !misses.is_empty() {
        return Err(too_small(&misses).into());
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    // True when it fits and is a new one.
    let take = |candidates: &mut Vec<Candidate>, candidate: Candidate, flash: usize| -> Result<bool> {
        let filled = sizer.filled(candidate, flash, budget)?;
        let new = filled.filter(|filled| candidates.len() < trials && !candidates.contains(filled));
        candidates.extend(new.clone());
        Ok(new.is_some())
    };
    for ngrams in [none, sizer.ngrams(budget.flash / 2)] {
        let model = ModelConfig { ngrams, ..base.clone() };
        take(&mut candidates, Candidate { model, precision: PRECISIONS[0] }, budget.flash)?;
    }
    let mut draws = generator([sizer.base.seed, 0, 0, 0x7365_6172]);
    let (mut part, mut failed) = (0, 0);
    for _ in 0..trials.saturating_mul(DRAWS).min(MOST_DRAWS) {
        if candidates.len() >= trials {
            break;
        }
        let mut draw = |count: usize| draws.random_range(0..count);
        let flash = budget.flash / FLASH_PARTS[part % FLASH_PARTS.len()];
        let ngrams = sizer.ngrams(flash / 8 * NGRAM_EIGHTHS[draw(NGRAM_EIGHTHS.len())]);
        let (width, units) = (WIDTHS[draw(WIDTHS.len())], UNITS[draw(UNITS.len())]);
        let cells = vec![(CELLS[draw(CELLS.len())], units); LAYERS[draw(LAYERS.len())]];
        let model = of(width, &cells, POOLINGS[draw(POOLINGS.len())], ngrams);
        let precision = PRECISIONS[draw(PRECISIONS.len())];
        let taken = take(&mut candidates, Candidate { model, precision }, flash)?;
        // A part that hardly anything fits into is left after some draws.
        failed = if taken { 0 } else { failed + 1 };
        if taken || failed >= DRAWS_OF_A_PART {
            (part, failed) = (part + 1, 0);
        }
    }
    take(&mut candidates, smallest, budget.flash)?;
    Ok(candidates)
}

/// A chain of recurrent layers, with the dropouts of the embedding, the first recurrent layer and the last layer of
/// `base`.
fn shaped(base: &Chain, width: usize, cells: &[(Cell, usize)], pooling: Option<Pooling>) -> Chain {
    let like = base.cells().next().copied().unwrap_or(CellConfig::of(0));
    let cells = cells.iter().map(|&(kind, units)| {
        let cell = CellConfig { units, ..like };
        match kind {
            Cell::Lstm => LayerConfig::Lstm(cell),
            Cell::Gru { reset_after } => LayerConfig::Gru { cell, reset_after },
            Cell::Rnn { activation } => LayerConfig::Rnn { cell, activation },
        }
    });
    let dropout = base.layers.last().map_or(0.0, LayerConfig::dropout);
    let head = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout };
    let layers = cells.chain(pooling.map(LayerConfig::Pooling)).chain([head]).collect();
    Chain { embedding: width, word_dropout: base.word_dropout, layers }
}

/// The fault of a budget that nothing fits.
fn too_small(misses: &[String]) -> Fault {
    let option = misses[0].split(' ').next().unwrap_or_default();
    fault(option, "not even the smallest model of the search fits", format!("raise it: {}", misses.join(", ")))
}
