//! What a network learns from: texts as ids, with labels, offsets and what teachers say.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batches::Batch;
use crate::config::{RunConfig, TrainConfig};
use crate::dataset::{Example, Label, Labels, Recording, Task};
use crate::error::Fault;
use crate::network::Network;
use crate::network::layer::Layer;
use crate::ngrams::{Answers, Fitted, Labelled, Seen, Table, fit};
use crate::samples::{Frames, Scaling, skipped};
use crate::tokenization::Tokenization;
use crate::vocabulary::{Vocabulary, occurrences};

/// What teachers say of texts. Of an answer it is the probability of class 1 where there are two classes, else one a class; or the value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Numbers of an answer.
    pub width: usize,
    /// Those of all texts, in order.
    pub values: Vec<f32>,
    /// For each text how many answers it and all before it have: one a labelled token. Empty where a text has one.
    pub ends: Vec<usize>,
}

impl Targets {
    /// The numbers of a text; none where there are no teachers.
    pub fn of(&self, text: usize) -> &[f32] {
        let (begin, end) = match self.ends.get(text) {
            Some(&end) => (text.checked_sub(1).map_or(0, |before| self.ends[before]), end),
            None => (text, text + 1),
        };
        self.values.get(begin * self.width..end * self.width).unwrap_or_default()
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        if self.ends.is_empty() { self.values.len().checked_div(self.width).unwrap_or(0) } else { self.ends.len() }
    }

    /// The same for the ids that a network reads of the training texts, where each token has an answer: NaN where an id has none. Values are brought to the scale of
    /// the training labels.
    #[must_use]
    pub fn as_read<L: Labels>(
        mut self,
        config: &TrainConfig,
        training: &[Example<L>],
        vocabulary: &Vocabulary,
    ) -> Self {
        if self.is_empty() {
            return self;
        }
        if config.task.has_values() {
            let scale = Scale::of(config, training);
            self.values.iter_mut().for_each(|value| *value = scale.normalised(*value));
        }
        if !config.task.each_step() {
            return self;
        }
        let mut read = Targets { width: self.width, ..Targets::default() };
        for (text, example) in training.iter().enumerate() {
            let mut rows = Vec::new();
            let ends = vocabulary.labelled_ids(&example.text).1;
            for (end, said) in ends.into_iter().zip(self.of(text).chunks_exact(self.width)) {
                // As labels: they belong to the last id of a token.
                if end * self.width > rows.len() {
                    rows.resize((end - 1) * self.width, f32::NAN);
                    rows.extend_from_slice(said);
                }
            }
            let surplus = (rows.len() / self.width).saturating_sub(config.kept_tokens());
            read.values.extend_from_slice(&rows[surplus * self.width..]);
            read.ends.push(read.values.len() / self.width);
        }
        read
    }

    /// Whether they could be what teachers of a task say: as many finite numbers as its answers have, for each text.
    pub fn is_of(&self, task: Task) -> bool {
        let answers = self.values.len().checked_div(self.width).unwrap_or(0);
        self.width == task.outputs()
            && self.values.len() == answers * self.width
            && self.values.iter().all(|value| value.is_finite())
            && self.ends.is_sorted()
            && if task.each_step() { self.ends.last() == Some(&answers) } else { self.ends.is_empty() }
    }

    /// True without texts.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// The answers of networks to texts that they have not learned from, in place of those to a validation part: of a cross-validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Logits or values, before they are joined with those of n-grams.
    pub logits: Vec<f32>,
    /// The label of each answer; NaN where an id has none.
    pub labels: Vec<f32>,
    /// Those of the n-grams; empty without n-grams.
    pub offsets: Vec<f32>,
}

impl HeldOut {
    /// Whether they could be answers of networks of a task: as many numbers as the labels want, finite, and no label beyond the classes.
    pub fn is_of(&self, task: Task) -> bool {
        let finite = |numbers: &[f32]| numbers.iter().all(|number| number.is_finite());
        let classes = task.classes().max(2) as f32;
        let is_label = |label: f32| {
            label.is_nan()
                || if task.has_values() {
                    label.is_finite()
                } else {
                    label.fract() == 0.0 && (0.0..classes).contains(&label)
                }
        };
        let answers = self.labels.len() * task.outputs();
        answers > 0
            && self.logits.len() == answers
            && (self.offsets.is_empty() || self.offsets.len() == answers)
            && finite(&self.logits)
            && finite(&self.offsets)
            && self.labels.iter().all(|&label| is_label(label))
    }

    /// Takes in those of another part.
    pub fn append(&mut self, other: HeldOut) {
        self.logits.extend(other.logits);
        self.labels.extend(other.labels);
        self.offsets.extend(other.offsets);
    }

    /// The same as a validation part of answers without texts.
    pub fn sequences(&self, weights: Vec<f32>) -> Sequences {
        let labels = self.labels.iter().map(|&label| vec![label]).collect();
        Sequences { labels, offsets: self.offsets.clone(), weights, ..Sequences::default() }
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
    /// What n-grams add to the outputs of each answer, output after output; empty where it is nothing.
    pub offsets: Vec<f32>,
    /// What teachers say of each text; empty without teachers.
    pub targets: Targets,
    /// Where each token has an answer, those of each text in order: how many ids the network has read by then, and the label. A token that it does not read has the
    /// answer before it. Of a text that was cut, the answers that are left. Empty where a text has one answer.
    pub answers: Vec<Vec<(usize, f32)>>,
    /// What goes around the network to each answer, in the unit of the labels; empty where nothing does. The network learns what is left of a label.
    pub skipped: Vec<Vec<f32>>,
    /// How much a label of each class counts in the loss; empty where all count alike.
    pub weights: Vec<f32>,
    /// What the ids mean where they are frames of samples; nothing of tokens.
    pub frames: Frames,
    /// The scale that values were brought to; `None` of classes, and of values as they are in the data.
    pub scale: Option<Scale>,
}

/// How much a label of each class counts in the loss of a run with these training texts; nothing where all count alike.
///
/// # Errors
/// A fault where the configuration names a class that the data does not have.
pub fn class_weights<L: Labels>(config: &RunConfig, training: &[Example<L>]) -> Result<Vec<f32>, Fault> {
    config.train.class_weights.of(&config.classes, &class_counts(config, training))
}

/// How many labels each class has in training texts; none of values.
pub fn class_counts<L: Labels>(config: &RunConfig, training: &[Example<L>]) -> Vec<u64> {
    let mut counts = vec![0; config.classes.len()];
    for example in training.iter().filter(|_| !config.train.task.has_values()) {
        example.label.numbers().iter().for_each(|&class| counts[class as usize] += 1);
    }
    counts
}

/// The labels of all answers to training texts, as they are learned: values with a mean of 0 and a deviation of 1.
pub fn labels_as_learned<L: Labels>(config: &TrainConfig, training: &[Example<L>]) -> Vec<f32> {
    let scale = config.task.has_values().then(|| Scale::of(config, training));
    let labels = training.iter().flat_map(|example| example.label.numbers().into_owned());
    labels.map(|label| scale.map_or(label, |scale| scale.normalised(label))).collect()
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
        let Seen { texts, ends, .. } = Seen::of(tokenization, examples, config.model.ngrams.longest);
        let scale = config.task.has_values().then(|| Scale::of(config, examples));
        let unit = |number: f32| scale.map_or(number, |scale| scale.normalised(number));
        let labels = labels_as_learned(config, examples);
        let answers = Answers::of(config.task);
        let taught = targets.zip(config.distill.as_ref()).map(|(targets, distill)| {
            let share = distill.share as f32;
            let own = labels.iter().flat_map(|&label| (0..answers.outputs()).map(move |k| answers.seen_by(k, label)));
            own.zip(&targets.values).map(|(label, &said)| (1.0 - share) * label + share * unit(said)).collect()
        });
        let targets: Vec<f32> = taught.unwrap_or_default();
        let labelled = Labelled { texts: &texts, labels: &labels, targets: &targets, ends: ends.as_deref(), answers };
        fit(&labelled, &config.model.ngrams, config.seed)
    })
}

/// A text as the network reads it.
struct Tokens {
    ids: Vec<u32>,
    labels: Vec<f32>,
    answers: Vec<(usize, f32)>,
}

impl Tokens {
    fn read<L: Labels>(example: &Example<L>, vocabulary: &Vocabulary) -> Self {
        let numbers = example.label.numbers();
        if !example.label.each_step() {
            return Tokens { ids: vocabulary.ids(&example.text), labels: numbers.into_owned(), answers: Vec::new() };
        }
        let (ids, ends) = vocabulary.labelled_ids(&example.text);
        let answers: Vec<(usize, f32)> = ends.into_iter().zip(numbers.iter().copied()).collect();
        let mut labels = Vec::with_capacity(ids.len());
        for &(read, label) in &answers {
            if read > labels.len() {
                labels.resize(read - 1, f32::NAN);
                labels.push(label);
            }
        }
        Tokens { ids, labels, answers }
    }

    /// Leaves out the first ids, and the answers of which the network then has read nothing.
    fn cut(&mut self, surplus: usize) {
        self.ids.drain(..surplus);
        self.labels.drain(..surplus.min(self.labels.len()));
        self.answers.retain_mut(|(read, _)| {
            *read = read.saturating_sub(surplus);
            *read > 0
        });
    }
}

impl Sequences {
    /// Reads texts with a vocabulary and keeps the last `max_tokens` of each.
    ///
    /// A labelled token of the text may be several for the engine, or none. Its label belongs to the last of them, after which the network
    /// has read all of it. A token that the network does not read is not learned from; where whole texts are judged, its answer is the one before it.
    pub fn read<L: Labels>(examples: &[Example<L>], vocabulary: &Vocabulary, max_tokens: usize) -> Self {
        if let Some(scaling) = &vocabulary.scaling {
            return Self::of_recordings(examples, scaling);
        }
        let texts = examples.par_iter().map(|example| Tokens::read(example, vocabulary)).collect();
        Self::of(texts, examples, vocabulary.rows(), max_tokens)
    }

    /// Reads recordings: the ids are the numbers of their frames, which are brought together and scaled.
    fn of_recordings<L: Labels>(examples: &[Example<L>], scaling: &Scaling) -> Self {
        let channels = scaling.channels.len();
        let (mut sequences, mut values, mut count) = (Sequences::default(), Vec::new(), 0_u32);
        for example in examples {
            let Some(Recording { frames, first }) = example.recording.as_deref() else { continue };
            let steps = frames.steps() as u32;
            let numbers = example.label.numbers();
            sequences.ids.push((count..count + steps).collect());
            if example.label.each_step() {
                let mut labels = vec![f32::NAN; *first];
                labels.extend_from_slice(&numbers);
                if let Some(skip) = scaling.skip {
                    let mut skips = vec![0.0; *first];
                    skips.extend(skipped(skip, example).iter().map(|value| value * scaling.skip_factor));
                    sequences.skipped.push(skips);
                }
                sequences.answers.push((first + 1..).zip(numbers.iter().copied()).collect());
                sequences.labels.push(labels);
            } else {
                let skips = scaling.skip.map(|skip| skipped(skip, example));
                let scaled = |skips: Vec<f32>| skips.iter().map(|value| value * scaling.skip_factor).collect();
                sequences.skipped.extend(skips.map(scaled));
                sequences.labels.push(numbers.into_owned());
            }
            values.extend(scaling.scaled(frames));
            count += steps;
        }
        sequences.frames = Frames { values: Arc::new(values), channels };
        sequences
    }

    /// As [`Sequences::read`], of texts with one label each, whose `ids` are known.
    fn of_ids<L: Labels>(ids: Vec<Vec<u32>>, examples: &[Example<L>], rows: usize, max_tokens: usize) -> Self {
        let tokens = |(ids, example): (Vec<u32>, &Example<L>)| {
            let labels = example.label.numbers().into_owned();
            Tokens { ids, labels, answers: Vec::new() }
        };
        Self::of(ids.into_iter().zip(examples).map(tokens).collect(), examples, rows, max_tokens)
    }

    fn of<L: Labels>(mut texts: Vec<Tokens>, examples: &[Example<L>], rows: usize, max_tokens: usize) -> Self {
        let occurrences = occurrences(texts.iter().map(|text| text.ids.as_slice()), rows);
        let mut sequences = Sequences { occurrences, ..Sequences::default() };
        for (text, example) in texts.iter_mut().zip(examples) {
            let surplus = text.ids.len().saturating_sub(max_tokens);
            if example.label.each_step() {
                if surplus > 0 {
                    text.cut(surplus);
                }
                sequences.answers.push(std::mem::take(&mut text.answers));
            } else {
                text.ids.drain(..surplus);
            }
            if surplus > 0 {
                text.ids.shrink_to_fit();
            }
        }
        for Tokens { ids, labels, .. } in texts {
            sequences.ids.push(ids);
            sequences.labels.push(labels);
        }
        sequences
    }

    /// The same with weights for the classes in the loss; empty where all count alike.
    #[must_use]
    pub fn weighted(mut self, weights: Vec<f32>) -> Self {
        self.weights = weights;
        self
    }

    /// The answers that count, of `outputs` logits or values each, and their labels: `logits` holds an answer for each text, or for each id. `first` is the answer
    /// before the first id.
    pub fn judged(&self, logits: Vec<f32>, outputs: usize, first: &[f32]) -> (Vec<f32>, Vec<f32>) {
        if self.answers.is_empty() {
            return (logits, self.labels.concat());
        }
        let count = self.answers.iter().map(Vec::len).sum();
        let (mut judged, mut labels) = (Vec::with_capacity(count * outputs), Vec::with_capacity(count));
        let mut begin = 0;
        for (ids, answers) in self.ids.iter().zip(&self.answers) {
            for &(read, label) in answers {
                match read.checked_sub(1) {
                    Some(last) => judged.extend_from_slice(&logits[(begin + last) * outputs..][..outputs]),
                    None => judged.extend_from_slice(first),
                }
                labels.push(label);
            }
            begin += ids.len();
        }
        (judged, labels)
    }

    /// The variance of labels of values: 1 but where something goes around the network, of which the network learns what is left, with a variance of 1.
    pub fn variance(&self) -> f64 {
        if self.skipped.is_empty() {
            return 1.0;
        }
        let labels = || self.labels.iter().flatten().filter(|label| !label.is_nan()).map(|&label| f64::from(label));
        let count = labels().count().max(1) as f64;
        let mean = labels().sum::<f64>() / count;
        let variance = labels().map(|label| (label - mean).powi(2)).sum::<f64>() / count;
        if variance > 0.0 { variance } else { 1.0 }
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a token that the network does not read is the first of its text.
    pub fn begins_unread(&self) -> bool {
        self.answers.iter().flatten().any(|&(read, _)| read == 0)
    }

    /// Brings values to a mean of 0 and a deviation of 1, as `scale` has them.
    #[must_use]
    pub fn normalised(mut self, scale: Scale) -> Self {
        let answers = self.answers.iter_mut().flatten().map(|(_, label)| label);
        for label in self.labels.iter_mut().flatten().chain(answers) {
            *label = scale.normalised(*label);
        }
        for skipped in self.skipped.iter_mut().flatten() {
            *skipped = (f64::from(*skipped) / scale.deviation) as f32;
        }
        self.scale = Some(scale);
        self
    }

    /// The same beside what a table of n-grams gives to the texts.
    #[must_use]
    pub fn beside<L: Labels>(mut self, examples: &[Example<L>], tokenization: &Tokenization, table: &Table) -> Self {
        self.offsets = examples.par_iter().flat_map(|example| table.answers(tokenization, example)).collect();
        self
    }

    /// The labels of a sequence as the network learns them: less what goes around it.
    pub(super) fn learned_labels(&self, index: usize) -> Cow<'_, [f32]> {
        match self.skipped.get(index) {
            Some(skipped) => self.labels[index].iter().zip(skipped).map(|(label, skipped)| label - skipped).collect(),
            None => Cow::Borrowed(&self.labels[index]),
        }
    }

    /// The batch of some sequences, with the offsets of those that `keeps` one.
    pub(super) fn batch(&self, indices: &[usize], keeps: impl Fn(usize) -> bool) -> Batch {
        let mut batch = Batch::new();
        for &index in indices {
            let offset = self.offsets.get(index).copied().filter(|_| keeps(index)).unwrap_or(0.0);
            match self.learned_labels(index)[..] {
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

/// Reads the texts of a run with its vocabulary and its n-grams; values are brought to a mean of 0 and a deviation of 1, and classes get their weights.
///
/// # Errors
/// Those of [`class_weights`].
pub fn read(
    run: &RunConfig,
    vocabulary: &Vocabulary,
    ngrams: Option<&Fitted>,
    texts: Texts<'_>,
) -> Result<Read, Fault> {
    read_known(run, vocabulary, ngrams, texts, None)
}

/// As [`read`]; the `ids` of the training texts are those of the vocabulary, where they are known.
///
/// # Errors
/// As [`read`].
pub fn read_known(
    run: &RunConfig,
    vocabulary: &Vocabulary,
    ngrams: Option<&Fitted>,
    texts: Texts<'_>,
    ids: Option<Vec<Vec<u32>>>,
) -> Result<Read, Fault> {
    let config = &run.train;
    let weights = class_weights(run, texts.training)?;
    let scale = config.task.has_values().then(|| Scale::of(config, texts.training));
    let normalised = |sequences: Sequences| match scale {
        Some(scale) => sequences.normalised(scale),
        None => sequences,
    };
    let training = match ids {
        Some(ids) => Sequences::of_ids(ids, texts.training, vocabulary.rows(), config.kept_tokens()),
        None => Sequences::read(texts.training, vocabulary, config.kept_tokens()),
    };
    let mut training = normalised(training);
    let mut validation =
        normalised(Sequences::read(texts.validation, vocabulary, config.model.chain.longest().unwrap_or(usize::MAX)));
    if let Some(ngrams) = ngrams {
        if !config.task.each_step() {
            training.offsets.clone_from(&ngrams.offsets);
        }
        validation = validation.beside(texts.validation, &vocabulary.tokenization, &ngrams.table);
    }
    // Nobody judges what is learned from.
    training.answers = Vec::new();
    Ok(Read { training: training.weighted(weights.clone()), validation: validation.weighted(weights) })
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
    /// That of values which are learned as they are.
    pub const UNIT: Scale = Scale { mean: 0.0, deviation: 1.0 };

    /// That of the network of a run: an imported one answers in the labels' own unit.
    pub fn of_run<L: Labels>(run: &RunConfig, training: &[Example<L>]) -> Self {
        if run.imported.is_some() { Self::UNIT } else { Self::of(&run.train, training) }
    }

    /// Makes a network that answers in this scale answer in another one.
    ///
    /// ```text
    /// y = n·deviation + mean = n'·deviation' + mean'        so n' = n·(deviation / deviation') + (mean - mean') / deviation'
    /// ```
    pub fn bring(self, network: &mut Network<f32>, to: Self) {
        if let Some(Layer::Dense(head)) = network.layers.last_mut() {
            let factor = self.deviation / to.deviation;
            let shift = (self.mean - to.mean) / to.deviation;
            head.kernel.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
            head.bias.iter_mut().for_each(|bias| *bias = (f64::from(*bias) * factor + shift) as f32);
        }
    }

    /// A label as the network learns it.
    pub fn normalised(self, label: f32) -> f32 {
        ((f64::from(label) - self.mean) / self.deviation) as f32
    }

    /// A network's value in the labels' own unit.
    pub fn restored(self, value: f32) -> f32 {
        (f64::from(value) * self.deviation + self.mean) as f32
    }

    /// That of what a network of this configuration learns of these examples: of their labels, less what goes around the network.
    pub fn of<L: Labels>(config: &TrainConfig, examples: &[Example<L>]) -> Self {
        match config.model.skip() {
            Some(skip) => Self::of_parts(examples, |example| {
                example.label.numbers().iter().zip(skipped(skip, example)).map(|(y, x)| f64::from(y - x)).collect()
            }),
            None => Self::of_labels(examples),
        }
    }

    /// That of the labels of these examples.
    pub fn of_labels<L: Labels>(examples: &[Example<L>]) -> Self {
        Self::of_parts(examples, |example| example.label.numbers().iter().map(|&label| f64::from(label)).collect())
    }

    fn of_parts<L: Labels>(examples: &[Example<L>], of: impl Fn(&Example<L>) -> Vec<f64>) -> Self {
        let sum = |part: &dyn Fn(f64) -> f64| -> f64 { examples.iter().flat_map(&of).map(part).sum() };
        let count = sum(&|_| 1.0).max(1.0);
        let mean = sum(&|label| label) / count;
        let deviation = (sum(&|label| (label - mean).powi(2)) / count).sqrt();
        Scale { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
    }
}
