//! Evaluation: runs the engine itself on an image, so that a reported accuracy is the device's accuracy.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::{Image, MAGIC};
use latch_engine::model::Model;
use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::Example;
use crate::error::{Fault, fault, open_file};

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
pub(crate) fn image_fault(place: impl std::fmt::Display, error: latch_engine::image::error::Error) -> Fault {
    let sentence = error.to_string();
    let (problem, remedy) = sentence.rsplit_once([';', ':']).unwrap_or((&sentence, "export the model again"));
    fault(place, problem.trim(), remedy.trim())
}

/// What an image says of a set of labelled texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Examples.
    pub n: usize,
    /// Share of right verdicts.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub log_loss: f64,
    /// Area under the ROC curve; ties count a half.
    pub auc: f64,
    /// `[label][verdict]`.
    pub confusion: [[u64; 2]; 2],
    /// Tokens that the network read.
    pub tokens: u64,
    /// Wall time of a token on one core: text in, state moved on; the evaluation's threads work side by side.
    pub ns_per_token: f64,
    /// The first logit of each example, in order.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

impl Evaluation {
    /// The share of examples on which two evaluations of the same examples give the same verdict.
    pub fn agreement(&self, other: &Evaluation) -> f64 {
        let same = self.logits.iter().zip(&other.logits).filter(|(a, b)| (**a >= 0.0) == (**b >= 0.0)).count();
        same as f64 / self.logits.len().max(1) as f64
    }
}

/// Runs every text through the engine from its bytes to its logit, over packed weights.
///
/// # Errors
/// An error when the engine was built without the model's precision.
pub fn evaluate(model: &Model<'_>, examples: &[Example]) -> Result<Evaluation> {
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.clone().pack(&mut memory)?;
    let mut evaluator = Evaluator::new(&model);
    evaluator.push(examples)?;
    Ok(evaluator.finish())
}

/// The same for texts that come one after the other: holds [`STREAM_TEXTS`] of them at a time, and a logit and a label of each.
///
/// # Errors
/// Those of the stream, besides those of [`evaluate`].
pub fn evaluate_stream(model: &Model<'_>, mut examples: impl Iterator<Item = Result<Example>>) -> Result<Evaluation> {
    let mut memory = vec![0; model.packed_bytes()];
    let model = model.clone().pack(&mut memory)?;
    let mut evaluator = Evaluator::new(&model);
    loop {
        let texts: Vec<Example> = examples.by_ref().take(STREAM_TEXTS).collect::<Result<_>>()?;
        if texts.is_empty() {
            return Ok(evaluator.finish());
        }
        evaluator.push(&texts)?;
    }
}

/// Texts that [`evaluate_stream`] holds at a time.
pub const STREAM_TEXTS: usize = 4_096;

/// Sums up what a model says of texts.
struct Evaluator<'e, 'a> {
    model: &'e Model<'a>,
    logits: Vec<f32>,
    labels: Vec<u32>,
    tokens: u64,
    nanoseconds: u64,
}

impl<'e, 'a> Evaluator<'e, 'a> {
    fn new(model: &'e Model<'a>) -> Self {
        Evaluator { model, logits: Vec::new(), labels: Vec::new(), tokens: 0, nanoseconds: 0 }
    }

    fn push(&mut self, examples: &[Example]) -> Result<()> {
        // Each thread takes runs of texts and measures its own time, so that waiting for a core is not counted twice.
        let model = self.model;
        let runs: Vec<Vec<(f32, u32, u64)>> = examples
            .par_chunks(64)
            .map(|chunk| {
                let mut state = state_for(model);
                let mut session = model.session_in(&mut state)?;
                Ok(chunk
                    .iter()
                    .map(|example| {
                        let began = Instant::now();
                        session.reset();
                        session.push_bytes(example.text.as_bytes());
                        session.finish();
                        let nanoseconds = began.elapsed().as_nanos() as u64;
                        (session.output().to_f32(), session.tokens(), nanoseconds)
                    })
                    .collect())
            })
            .collect::<Result<_>>()?;
        self.labels.extend(examples.iter().map(|example| example.label));
        for (logit, tokens, nanoseconds) in runs.into_iter().flatten() {
            self.logits.push(logit);
            self.tokens += u64::from(tokens);
            self.nanoseconds += nanoseconds;
        }
        Ok(())
    }

    fn finish(self) -> Evaluation {
        let Evaluator { logits, labels, tokens, nanoseconds, .. } = self;
        let mut confusion = [[0; 2]; 2];
        for (&logit, &label) in logits.iter().zip(&labels) {
            confusion[usize::from(label == 1)][usize::from(logit >= 0.0)] += 1;
        }
        let n = labels.len();
        let count = n.max(1) as f64;
        Evaluation {
            n,
            accuracy: (confusion[0][0] + confusion[1][1]) as f64 / count,
            log_loss: logits.iter().zip(&labels).map(|(&logit, &label)| log_loss(logit, label)).sum::<f64>() / count,
            auc: area_under_roc(&logits, &labels),
            confusion,
            tokens,
            ns_per_token: nanoseconds as f64 / tokens.max(1) as f64,
            logits,
        }
    }
}

/// `ln(1 + e^−z)` for label 1, `ln(1 + e^z)` for label 0.
fn log_loss(logit: f32, label: u32) -> f64 {
    let z = if label == 1 { f64::from(logit) } else { -f64::from(logit) };
    (-z).max(0.0) + (-z.abs()).exp().ln_1p()
}

/// The probability that a positive example has a larger logit than a negative one (Mann and Whitney's U, by ranks).
pub fn area_under_roc(logits: &[f32], labels: &[u32]) -> f64 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    let positives = labels.iter().filter(|&&label| label == 1).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let mut rank_sum = 0.0;
    let mut start = 0;
    for tie in order.chunk_by(|&a, &b| logits[a] == logits[b]) {
        // Ranks count from 1; equal logits share the mean of their ranks.
        let rank = start as f64 + (tie.len() as f64 + 1.0) / 2.0;
        rank_sum += rank * tie.iter().filter(|&&index| labels[index] == 1).count() as f64;
        start += tie.len();
    }
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_counts_ties_as_a_half() {
        assert_eq!(area_under_roc(&[0.0, 1.0, 2.0, 3.0], &[0, 0, 1, 1]), 1.0);
        assert_eq!(area_under_roc(&[3.0, 2.0, 1.0, 0.0], &[0, 0, 1, 1]), 0.0);
        assert_eq!(area_under_roc(&[1.0; 4], &[0, 1, 0, 1]), 0.5);
        assert_eq!(area_under_roc(&[1.0, 2.0, 2.0, 3.0], &[0, 0, 1, 1]), 0.875);
    }

    #[test]
    fn the_loss_of_a_sure_right_answer_is_small_and_of_a_sure_wrong_one_large() {
        assert!(log_loss(20.0, 1) < 1e-6 && log_loss(-20.0, 0) < 1e-6);
        assert!((log_loss(-20.0, 1) - 20.0).abs() < 1e-6 && (log_loss(0.0, 1) - std::f64::consts::LN_2).abs() < 1e-12);
    }
}
