//! What a network learns from: texts as ids, with labels, offsets and what teachers say.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batches::Batch;
use crate::config::TrainConfig;
use crate::dataset::{Example, Label, Labels};
use crate::ngrams::{Answers, Fitted, Labelled, Table, fit, hashes};
use crate::tokenization::Tokenization;
use crate::vocabulary::{Vocabulary, occurrences};

/// What teachers say of one text: the probability of class 1 where the network has one output, else one a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Probabilities of a text.
    pub width: usize,
    /// Those of all texts, in order.
    pub values: Vec<f32>,
}

impl Targets {
    /// The probabilities of a text; none where there are no teachers.
    pub fn of(&self, text: usize) -> &[f32] {
        self.values.get(text * self.width..(text + 1) * self.width).unwrap_or_default()
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// True without texts.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Texts as ids, with their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequences {
    /// The ids of each text.
    pub ids: Vec<Vec<u32>>,
    /// How often each id occurs in the whole texts.
    pub occurrences: Vec<u32>,
    /// The labels of each text: a class or a value, or one for each of its ids, NaN where an id has none.
    pub labels: Vec<Vec<f32>>,
    /// What n-grams add to each text's outputs, output after output; empty where it is nothing.
    pub offsets: Vec<f32>,
    /// What teachers say of each text; empty without teachers.
    pub targets: Targets,
}

/// Chooses and fits the n-grams of training texts; `None` where the configuration has none.
///
/// With teachers, the weights are fitted to labels between the texts' own and the teachers' probabilities.
pub fn fit_ngrams<L: Labels>(
    config: &TrainConfig,
    tokenization: &Tokenization,
    examples: &[Example<L>],
    targets: Option<&Targets>,
) -> Option<Fitted> {
    (config.model.ngrams.count > 0).then(|| {
        let texts: Vec<Vec<u32>> = examples.par_iter().map(|example| hashes(tokenization, &example.text)).collect();
        let labels: Vec<f32> = examples.iter().flat_map(|example| example.label.numbers().into_owned()).collect();
        let answers = Answers::of(config.task);
        let taught = targets.zip(config.distill.as_ref()).map(|(targets, distill)| {
            let share = distill.share as f32;
            let own = labels.iter().flat_map(|&label| (0..answers.outputs()).map(move |k| answers.seen_by(k, label)));
            own.zip(&targets.values).map(|(label, p)| (1.0 - share) * label + share * p).collect()
        });
        let targets: Vec<f32> = taught.unwrap_or_default();
        let labelled = Labelled { texts: &texts, labels: &labels, targets: &targets, answers };
        fit(&labelled, &config.model.ngrams, config.seed)
    })
}

impl Sequences {
    /// Reads texts with a vocabulary and keeps the last `max_tokens` of each.
    ///
    /// A labelled token of the text may be several for the engine, or none. Its label belongs to the last of them, after which the network
    /// has read all of it; a token that the network does not read is not learned from.
    pub fn read<L: Labels>(examples: &[Example<L>], vocabulary: &Vocabulary, max_tokens: usize) -> Self {
        let (mut ids, mut labels): (Vec<Vec<u32>>, Vec<Vec<f32>>) = examples
            .par_iter()
            .map(|example| {
                let numbers = example.label.numbers();
                if !example.label.each_step() {
                    return (vocabulary.ids(&example.text), numbers.into_owned());
                }
                let (mut ids, mut labels) = (Vec::new(), Vec::new());
                for (token, &label) in example.text.split_whitespace().zip(numbers.iter()) {
                    ids.extend(vocabulary.ids(token));
                    if ids.len() > labels.len() {
                        labels.resize(ids.len() - 1, f32::NAN);
                        labels.push(label);
                    }
                }
                (ids, labels)
            })
            .unzip();
        let occurrences = occurrences(ids.iter().map(Vec::as_slice), vocabulary.rows());
        for ((ids, labels), example) in ids.iter_mut().zip(&mut labels).zip(examples) {
            let surplus = ids.len().saturating_sub(max_tokens);
            ids.drain(..surplus);
            if example.label.each_step() {
                labels.drain(..surplus);
            }
        }
        Sequences { ids, occurrences, labels, ..Sequences::default() }
    }

    /// Brings values to a mean of 0 and a deviation of 1, as `scale` has them.
    #[must_use]
    pub fn normalised(mut self, scale: Scale) -> Self {
        for label in self.labels.iter_mut().flatten() {
            *label = ((f64::from(*label) - scale.mean) / scale.deviation) as f32;
        }
        self
    }

    /// The same beside what a table of n-grams gives to the texts.
    #[must_use]
    pub fn beside<L: Labels>(mut self, examples: &[Example<L>], tokenization: &Tokenization, table: &Table) -> Self {
        self.offsets =
            examples.par_iter().flat_map(|example| table.logits(&hashes(tokenization, &example.text))).collect();
        self
    }

    /// The batch of some sequences, with the offsets of those that `keeps` one.
    pub(super) fn batch(&self, indices: &[usize], keeps: impl Fn(usize) -> bool) -> Batch {
        let mut batch = Batch::new();
        for &index in indices {
            let offset = self.offsets.get(index).copied().filter(|_| keeps(index)).unwrap_or(0.0);
            match self.labels[index][..] {
                [label] => batch.push_beside(&self.ids[index], label, offset),
                ref labels => batch.push_each(&self.ids[index], labels),
            }
            batch.teach(self.targets.of(index));
        }
        batch
    }
}

/// The texts of a run.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// What the network learns from.
    pub training: &'a [Example<Label>],
    /// What judges it.
    pub validation: &'a [Example<Label>],
}

/// The texts of a run as its network reads them.
#[derive(Clone, Debug)]
pub struct Read {
    /// What the network learns from: the last tokens of each text.
    pub training: Sequences,
    /// What judges it: whole texts.
    pub validation: Sequences,
}

impl Read {
    /// How many ids each training text has, and the share of the validation texts' ids that are none of a word of the vocabulary.
    pub fn unknown(&self, vocabulary: &Vocabulary) -> (Vec<usize>, f64) {
        let words = vocabulary.words().len() as u32;
        let ids = || self.validation.ids.iter().flatten();
        let unknown = ids().filter(|&&id| id >= words).count();
        (self.training.ids.iter().map(Vec::len).collect(), unknown as f64 / ids().count().max(1) as f64)
    }
}

/// Reads the texts of a run with its vocabulary and its n-grams; values are brought to a mean of 0 and a deviation of 1.
pub fn read(config: &TrainConfig, vocabulary: &Vocabulary, ngrams: Option<&Fitted>, texts: Texts<'_>) -> Read {
    let scale = config.task.has_values().then(|| Scale::of(texts.training));
    let normalised = |sequences: Sequences| match scale {
        Some(scale) => sequences.normalised(scale),
        None => sequences,
    };
    let mut training = normalised(Sequences::read(texts.training, vocabulary, config.max_tokens));
    let mut validation = normalised(Sequences::read(texts.validation, vocabulary, usize::MAX));
    if let Some(ngrams) = ngrams {
        training.offsets.clone_from(&ngrams.offsets);
        validation = validation.beside(texts.validation, &vocabulary.tokenization, &ngrams.table);
    }
    Read { training, validation }
}

/// The scale of values: a network learns them with a mean of 0 and a deviation of 1, and an image gives them as they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The mean of the training labels.
    pub mean: f64,
    /// Their standard deviation; 1 where they are all the same.
    pub deviation: f64,
}

impl Scale {
    /// That of the labels of these examples.
    pub fn of<L: Labels>(examples: &[Example<L>]) -> Self {
        let sum = |part: &dyn Fn(f64) -> f64| -> f64 {
            examples
                .iter()
                .flat_map(|example| example.label.numbers().into_owned())
                .map(|label| part(f64::from(label)))
                .sum()
        };
        let count = sum(&|_| 1.0).max(1.0);
        let mean = sum(&|label| label) / count;
        let deviation = (sum(&|label| (label - mean).powi(2)) / count).sqrt();
        Scale { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
    }
}
