//! Evaluation: runs the engine itself on an image, so that a reported accuracy is the device's accuracy.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::AnswerKind;
use latch_engine::image::{Image, MAGIC};
use latch_engine::{Model, Session, View};
use latch_firmware_sim::board::Meaning;
use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::{Columns, Example, Examples, Labels, Reading, Recording, Task, Watch};
use crate::error::{Fault, fault, open_file};
use crate::metrics::scores::{Scores, confusion, rarer, recall_at_precision};
use crate::metrics::{Reliability, area_under_roc, class_of, determination_of, mean_loss, reliability};
use crate::quantizer::THRESHOLD;
use crate::unknown::{Counter, UnknownTokens};

/// Memory for a stream of a model.
pub fn state_for(model: &Model<'_>) -> AlignedBytes {
    AlignedBytes::zeroed(model.state_bytes())
}

/// Reads the file of an image and checks it.
///
/// # Errors
/// A fault naming the file when it is missing or is no image that this engine reads.
pub fn read_image(path: &Path) -> Result<AlignedBytes> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let mut file = open_file(path)?;
    // What does not begin as an image does is not read any further: it may be a film, or a device without an end.
    let mut read = |limit: u64| (&mut file).take(limit).read_to_end(&mut bytes).map(|_| bytes.starts_with(&MAGIC));
    // No image is larger than 4 GiB.
    read(MAGIC.len() as u64)
        .and_then(|is_image| if is_image { read(u64::from(u32::MAX)) } else { Ok(false) })
        .map_err(|error| crate::error::reading(path, error))?;
    let bytes = AlignedBytes::new(&bytes);
    open_image(&bytes, path)?;
    Ok(bytes)
}

/// Opens an image's bytes; `path` is for the error.
///
/// # Errors
/// A fault naming the file when it is no image that this engine reads.
pub fn open_image<'a>(bytes: &'a [u8], path: &Path) -> Result<Image<'a>> {
    Image::open(bytes).map_err(|error| image_fault(path.display(), error).into())
}

/// What the engine says of an image, as a fault at `place`.
pub(crate) fn image_fault(place: impl std::fmt::Display, error: latch_engine::Error) -> Fault {
    let sentence = error.to_string();
    let (problem, remedy) = sentence.rsplit_once([';', ':']).unwrap_or((&sentence, "export the model again"));
    fault(place, problem.trim(), remedy.trim())
}

/// What an image says of a set of labelled texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Answers that were judged: texts, or tokens where each step has an answer.
    pub n: usize,
    /// Share of right verdicts; of values R², `1 − mean square of the errors / variance of the labels`.
    pub accuracy: f64,
    /// Mean cross-entropy in nats; 0 of values.
    pub log_loss: f64,
    /// What the probabilities are worth; of values nothing is in it.
    pub reliability: Reliability,
    /// Area under the ROC curve; ties count a half. Of one logit only, and where both classes occur.
    pub auc: Option<f64>,
    /// `[label][verdict]`; empty of values.
    pub confusion: Vec<Vec<u64>>,
    /// How each class fares; nothing of values.
    pub scores: Scores,
    /// The class of two that fewer labels have and the largest recall of it at a precision of [`PRECISION`]; `None` of more classes, of values, and where no
    /// label has the class.
    pub rare_recall: Option<(usize, f64)>,
    /// The errors of values.
    pub errors: Option<Errors>,
    /// Tokens that the network read.
    pub tokens: u64,
    /// The tokens of the texts, and those among them that are none of the image's words.
    pub unknown: UnknownTokens,
    /// Wall time of a token on one core: text in, state moved on; the evaluation's threads work side by side.
    pub ns_per_token: f64,
    /// Logits of an answer.
    pub outputs: usize,
    /// The logits of each answer, in order.
    #[serde(skip)]
    pub logits: Vec<f32>,
    /// The label of each answer.
    #[serde(skip)]
    pub labels: Vec<f32>,
}

/// The precision at which the recall of the rarer class of two is said.
pub const PRECISION: f64 = 0.9;

/// How far values are from their labels, in the labels' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// The root of the mean square.
    pub rmse: f64,
    /// The mean magnitude.
    pub mae: f64,
}

impl Evaluation {
    /// The share of examples on which two evaluations of the same examples give the same verdict; of values 1 less the mean square of their
    /// differences over the other's variance.
    pub fn agreement(&self, other: &Evaluation) -> f64 {
        if self.errors.is_some() {
            return determination_of(&self.logits, &other.logits);
        }
        let verdicts = |evaluation: &Evaluation| -> Vec<usize> {
            evaluation.logits.chunks_exact(evaluation.outputs).map(class_of).collect()
        };
        let same = verdicts(self).into_iter().zip(verdicts(other)).filter(|(a, b)| a == b).count();
        same as f64 / self.n.max(1) as f64
    }

    /// How far values are from those of another evaluation of the same examples, in decibels: `10 log10` of the variance of the other's over the mean square
    /// of the differences. `None` of classes, where there is no difference, and where the other's values are all the same: these are no signal.
    pub fn signal_to_noise(&self, other: &Evaluation) -> Option<f64> {
        let noise = 1.0 - self.agreement(other);
        let differ = other.logits.windows(2).any(|pair| pair[0] != pair[1]);
        (self.errors.is_some() && noise > 0.0 && differ).then(|| -10.0 * noise.log10())
    }
}

/// The task whose labels an image can be judged by.
pub fn task_of(model: &Model<'_>) -> Task {
    Meaning::of(model).task()
}

/// The names of an image's classes, or their numbers where it has none; nothing of values.
pub fn classes_of(image: &Image<'_>) -> Vec<String> {
    Meaning::of(&Model::new(image)).class_names(image)
}

/// The probability at which an image of two classes answers the second, where it was chosen: the image gives it out as a half.
pub fn threshold_of<'a>(image: &Image<'a>) -> Option<&'a str> {
    image.metadata().find(|(key, _)| *key == THRESHOLD).map(|(_, value)| value)
}

/// How labels are read that an image can be judged by: with its classes and no others.
pub fn reading_of(image: &Image<'_>, columns: Columns) -> Reading {
    Reading::of(task_of(&Model::new(image))).among(&classes_of(image)).within(columns)
}

/// Runs every text through the engine from its bytes to its answers, over packed weights.
///
/// # Errors
/// An error when the engine was built without the model's precision.
pub fn evaluate<L: Labels>(model: &Model<'_>, examples: &[Example<L>]) -> Result<Evaluation> {
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.clone().pack(&mut memory)?;
    let mut evaluator = Evaluator::new(&model);
    evaluator.push(examples)?;
    Ok(evaluator.finish())
}

/// The same for texts that are read meanwhile: holds two pieces of them of about a mebibyte at a time, and the logits and labels of each. `watch` is told how
/// far reading has come.
///
/// # Errors
/// Those of the stream, besides those of [`evaluate`].
pub fn evaluate_stream<L: Labels>(
    model: &Model<'_>,
    mut examples: Examples<L>,
    watch: Watch<'_>,
) -> Result<Evaluation> {
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.clone().pack(&mut memory)?;
    let mut evaluator = Evaluator::new(&model);
    examples.for_each_piece(watch, &mut |texts| evaluator.push(&texts))?;
    Ok(evaluator.finish())
}

/// Sums up what a model says of texts.
struct Evaluator<'e, 'a> {
    model: &'e Model<'a>,
    logits: Vec<f32>,
    labels: Vec<f32>,
    unknown: Counter,
    tokens: u64,
    nanoseconds: u64,
}

/// The logits of all answers of a text, its tokens, and the time it took.
type Answers = (Vec<f32>, u32, u64);

impl<'e, 'a> Evaluator<'e, 'a> {
    fn new(model: &'e Model<'a>) -> Self {
        Evaluator {
            model,
            logits: Vec::new(),
            labels: Vec::new(),
            unknown: Counter::default(),
            tokens: 0,
            nanoseconds: 0,
        }
    }

    fn push<L: Labels>(&mut self, examples: &[Example<L>]) -> Result<()> {
        // Each thread takes runs of texts and measures its own time, so that waiting for a core is not counted twice.
        let model = self.model;
        let runs: Vec<Vec<Answers>> = examples
            .par_chunks(64)
            .map(|chunk| {
                let mut state = state_for(model);
                let mut session = model.session_in(&mut state)?;
                Ok(chunk.iter().map(|example| read(&mut session, example)).collect())
            })
            .collect::<Result<_>>()?;
        self.unknown = std::mem::take(&mut self.unknown).merged(Counter::of_model(model, examples));
        self.labels.extend(examples.iter().flat_map(|example| example.label.numbers().into_owned()));
        for (logits, tokens, nanoseconds) in runs.into_iter().flatten() {
            self.logits.extend(logits);
            self.tokens += u64::from(tokens);
            self.nanoseconds += nanoseconds;
        }
        Ok(())
    }

    fn finish(self) -> Evaluation {
        let Evaluator { model, logits, labels, unknown, tokens, nanoseconds } = self;
        let values = model.answer().kind == AnswerKind::Values;
        Evaluation {
            tokens,
            unknown: unknown.finish(),
            ns_per_token: nanoseconds as f64 / tokens.max(1) as f64,
            ..Evaluation::of(logits, labels, usize::from(model.outputs()).max(1), values)
        }
    }
}

impl Evaluation {
    /// What answers of `outputs` logits or `values` are worth, by their labels; nothing is said of tokens.
    pub fn of(logits: Vec<f32>, labels: Vec<f32>, outputs: usize, values: bool) -> Self {
        let n = labels.len();
        let mut evaluation = Evaluation { n, outputs, ..Evaluation::default() };
        let count = n.max(1) as f64;
        if values {
            let errors = || logits.iter().zip(&labels).map(|(&value, &label)| f64::from(value - label).abs());
            let rmse = (errors().map(|error| error * error).sum::<f64>() / count).sqrt();
            evaluation.errors = Some(Errors { rmse, mae: errors().sum::<f64>() / count });
            evaluation.accuracy = determination_of(&logits, &labels);
        } else {
            let classes = outputs.max(2);
            let confusion = confusion(&logits, &labels, outputs);
            evaluation.accuracy = (0..classes).map(|class| confusion[class][class]).sum::<u64>() as f64 / count;
            evaluation.scores = Scores::of(&confusion);
            evaluation.confusion = confusion;
            if outputs == 1 {
                let rare = rarer(&labels);
                evaluation.rare_recall =
                    recall_at_precision(&logits, &labels, rare, PRECISION).map(|recall| (rare, recall));
            }
            evaluation.log_loss = mean_loss(&logits, &labels, outputs, 1.0);
            evaluation.reliability = reliability(&logits, &labels, outputs);
            evaluation.auc = if outputs == 1 { area_under_roc(&logits, &labels) } else { None };
        }
        Evaluation { logits, labels, ..evaluation }
    }
}

/// Reads a text with a fresh stream. Where each token has a label, its answer is the one that stands after it.
fn read<L: Labels>(session: &mut Session<'_, '_, '_>, example: &Example<L>) -> Answers {
    let began = Instant::now();
    session.reset();
    let mut logits = Vec::new();
    let outputs = usize::from(session.model().outputs());
    let mut answer = |session: &mut View<'_, '_, '_>| {
        logits.extend((0..outputs).map(|output| session.logit(output).to_f32()));
    };
    if let Some(Recording { frames, first }) = example.recording.as_deref() {
        let mut step = 0;
        // Of a recording every value is a number, and the channels were checked when it was read.
        let _ = session.push_samples_f32_each(frames, |view| {
            step += 1;
            if example.label.each_step() && step > *first {
                answer(view);
            }
        });
        if !example.label.each_step() {
            answer(session);
        }
        return (logits, session.tokens(), began.elapsed().as_nanos() as u64);
    }
    if example.label.each_step() {
        for token in example.text.split_whitespace() {
            session.push_bytes(token.as_bytes());
            session.push_bytes(b" ");
            answer(session);
        }
        session.finish();
        return (logits, session.tokens(), began.elapsed().as_nanos() as u64);
    }
    session.push_bytes(example.text.as_bytes());
    session.finish();
    let nanoseconds = began.elapsed().as_nanos() as u64;
    answer(session);
    (logits, session.tokens(), nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_all_the_same_have_no_signal_to_compare_noise_with() {
        let of = |logits: &[f32]| Evaluation {
            n: logits.len(),
            logits: logits.to_vec(),
            errors: Some(Errors { rmse: 0.0, mae: 0.0 }),
            ..Evaluation::default()
        };
        assert_eq!(of(&[0.25]).signal_to_noise(&of(&[0.5])), None);
        assert_eq!(of(&[0.25, 0.5]).signal_to_noise(&of(&[0.5, 0.5])), None);
        assert!(of(&[0.25, 0.5]).signal_to_noise(&of(&[0.25, 0.75])).is_some());
    }
}
