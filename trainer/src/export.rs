//! The export pipeline.

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::{Answer, Early};
use latch_engine::{Error, Model, Precision, with_answer};
use rayon::prelude::*;
use serde::Serialize;

use crate::calibration::temperature;
use crate::config::{RunConfig, Storage};
use crate::dataset::{Example, Label, Labels, Task};
use crate::early::{self, EarlyReport};
use crate::error::fault;
use crate::evaluate::{Evaluation, evaluate, image_fault};
use crate::learning::sequences::Sequences;
use crate::learning::training::fused;
use crate::metrics::{mean_loss, reliability};
use crate::network::Network;
use crate::ngrams::Fitted;
use crate::quantizer::{Origin, Weights, to_image};
use crate::runs::checkpoint::Best;
use crate::vocabulary::Vocabulary;

/// An image at one precision, and what it gives on some texts.
pub struct Candidate {
    /// How the weights are stored.
    pub storage: Storage,
    /// The network learned with the integers of this storage.
    pub aware: bool,
    /// The embedding is folded.
    pub folded: bool,
    /// The image.
    pub bytes: AlignedBytes,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// What the engine says of the texts.
    pub evaluation: Evaluation,
}

/// The weights of a run's network, calibrated on its training examples, and fused with the run's n-grams on its validation part by the logits of `judged`,
/// the network itself or what it becomes.
///
/// # Errors
/// Those of the network.
pub fn calibrated<L: Labels>(
    network: &Network<f32>,
    judged: &Network<f32>,
    vocabulary: &Vocabulary,
    ngrams: Option<Fitted>,
    training: &[Example<L>],
    validation: &[Example<L>],
) -> Result<Weights> {
    let ids: Vec<Vec<u32>> = training.par_iter().map(|example| vocabulary.ids(&example.text)).collect();
    let mut weights = Weights::of(network).calibrated(ids.iter().map(Vec::as_slice));
    if let Some(Fitted { mut table, .. }) = ngrams {
        let validation =
            Sequences::read(validation, vocabulary, usize::MAX).beside(validation, vocabulary.units, &table);
        if let (_, Some(fusion)) = fused(judged, &validation)? {
            weights.head.iter_mut().chain(&mut weights.head_bias).for_each(|weight| *weight *= fusion.network);
            weights.head_bias.iter_mut().for_each(|bias| *bias += fusion.bias);
            table.weights.iter_mut().for_each(|weight| *weight *= fusion.ngrams);
            table.bias *= fusion.ngrams;
        }
        weights.ngrams = Some(table);
    }
    Ok(weights)
}

/// A network at each of some precisions, judged through the engine.
///
/// # Errors
/// A fault when an image cannot hold the weights.
pub fn candidates<L: Labels>(
    weights: &Weights,
    vocabulary: &Vocabulary,
    origin: &Origin,
    examples: &[Example<L>],
    storages: &[Storage],
) -> Result<Vec<Candidate>> {
    let answer = Answer::default();
    storages.iter().map(|&storage| candidate(weights, vocabulary, storage, origin, answer, examples)).collect()
}

/// A network at one precision, judged through the engine.
///
/// # Errors
/// A fault when the image cannot hold the weights.
pub fn candidate<L: Labels>(
    weights: &Weights,
    vocabulary: &Vocabulary,
    storage: Storage,
    origin: &Origin,
    answer: Answer,
    examples: &[Example<L>],
) -> Result<Candidate> {
    let mut bytes =
        to_image(weights, vocabulary, storage, origin).map_err(|error| match error.downcast_ref::<Error>() {
            Some(&refused) => image_fault(format_args!("the {} image", storage.name()), refused).into(),
            None => error,
        })?;
    if answer != Answer::default() {
        bytes = with_answer(&Image::open(&bytes)?, answer, &[])?;
    }
    judged(bytes, storage, examples)
}

/// An image, judged through the engine.
///
/// # Errors
/// An error when the image does not open.
pub fn judged<L: Labels>(bytes: AlignedBytes, storage: Storage, examples: &[Example<L>]) -> Result<Candidate> {
    let (folded, state_bytes, evaluation) = {
        let image = Image::open(&bytes)?;
        let model = Model::new(&image);
        (image.description().embedding.projected > 0, model.state_bytes(), evaluate(&model, examples)?)
    };
    Ok(Candidate { storage, aware: false, folded, bytes, state_bytes, evaluation })
}

/// Where the network of a run comes from, for the image.
///
/// # Errors
/// An error when the digest of the data is no SHA-256.
pub fn origin(config: &RunConfig, best: &Best, examples: usize) -> Result<Origin> {
    let mut data_sha256 = [0; 32];
    for (byte, digits) in data_sha256.iter_mut().zip(config.data_sha256.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits)?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(Origin {
        seed: config.train.seed,
        data_sha256,
        examples: examples as u32,
        epochs: best.metrics.epoch as u32,
        valid_accuracy: best.metrics.valid_accuracy as f32,
    })
}

/// A temperature, and what it does on the validation part.
#[derive(Clone, Copy, Serialize)]
pub struct Calibration {
    /// By which the logits are divided.
    pub temperature: f64,
    /// Mean loss in nats as the network was learned.
    pub log_loss_before: f64,
    /// The same at the temperature.
    pub log_loss: f64,
    /// Expected calibration error as the network was learned.
    pub calibration_error_before: f64,
    /// The same at the temperature.
    pub calibration_error: f64,
}

impl Calibration {
    /// The temperature that fits what an f32 image says.
    pub fn of(evaluation: &Evaluation) -> Self {
        let Evaluation { logits, labels, outputs, .. } = evaluation;
        let temperature = temperature(logits, labels, *outputs);
        let scaled: Vec<f32> = logits.iter().map(|&logit| (f64::from(logit) / temperature) as f32).collect();
        Calibration {
            temperature,
            log_loss_before: evaluation.log_loss,
            log_loss: mean_loss(logits, labels, *outputs, temperature),
            calibration_error_before: evaluation.reliability.calibration_error,
            calibration_error: reliability(&scaled, labels, *outputs).calibration_error,
        }
    }
}

/// Chooses the thresholds of an early answer by what the image itself says after every token.
///
/// # Errors
/// An error when the image does not open.
pub fn answer_early(
    bytes: &AlignedBytes,
    validation: &[Example<Label>],
    allowed: f64,
) -> Result<(AlignedBytes, Vec<Early>, EarlyReport)> {
    let image = Image::open(bytes)?;
    let model = Model::new(&image);
    let steps = early::choose(&early::trails(&model, validation)?, allowed);
    let certain = with_answer(&image, model.answer(), &steps)?;
    let report = early::report(&Model::new(&Image::open(&certain)?), validation)?;
    Ok((certain, steps.to_vec(), report))
}

/// Checks that the values of a head lie in Q15.16, which integer images compute in.
///
/// # Errors
/// A fault naming the image.
pub fn fits_integers(weights: &Weights, storage: Storage, task: Task) -> Result<()> {
    let units = weights.head.len() / weights.head_bias.len();
    let reach = |(row, bias): (&[f32], &f32)| row.iter().map(|weight| weight.abs()).sum::<f32>() + bias.abs();
    let largest = weights.head.chunks(units).zip(&weights.head_bias).map(reach).fold(0.0, f32::max);
    if !task.has_values() || storage.precision() != Precision::Int8 || largest < 32_767.0 {
        return Ok(());
    }
    let problem = format!("values of this model reach {largest}, and an integer image has them up to 32767");
    Err(fault(
        format!("the {} image", storage.name()),
        problem,
        "divide the labels by a constant and train again, or export with --precision f16",
    )
    .into())
}
