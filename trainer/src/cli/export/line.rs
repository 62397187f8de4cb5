//! What an export says, as one line of JSON.

use serde::Serialize;

use super::layers::Layers;
use crate::cli::unknown::Unknown;
use crate::early::EarlyReport;
use crate::export::judged::Exported;

#[derive(Serialize)]
pub(super) struct Line<'a> {
    path: &'a str,
    precision: &'static str,
    image_bytes: usize,
    state_bytes: usize,
    accuracy: f64,
    /// What the accuracy is of.
    judged_on: &'a str,
    /// The accuracy of the folds of a cross-validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    folds_accuracy: Option<f64>,
    agreement: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal_to_noise_db: Option<f64>,
    /// What was taken for granted of the samples of an imported model.
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed: Option<&'a str>,
    /// What the integers were calibrated on, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    calibrated_on: Option<&'a str>,
    /// What integers do to each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Layers<'a>>,
    /// By which the logits were divided, where they were calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    /// What an early answer saves on the validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    early: Option<EarlyReport>,
    /// The network learned with the integers of this precision.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quantization_aware: bool,
    /// Ids with ready gates, where the embedding is folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded: Option<usize>,
    /// Words whose rows of the embedding lost more than half of a value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clipped: Vec<&'a str>,
    unknown: Unknown<'a>,
    /// The part of the training examples' tokens that are folded ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded_share: Option<f64>,
}

impl<'a> Line<'a> {
    /// What came of an export into a file; `unknown` are the unknown tokens of the run's data and of the texts that it reports on.
    pub(super) fn of(path: &'a str, exported: &'a Exported, unknown: Unknown<'a>) -> Self {
        let (chosen, first) = (exported.chosen(), &exported.images[0].evaluation);
        Line {
            path,
            precision: chosen.made.storage.name(),
            quantization_aware: chosen.made.aware,
            image_bytes: chosen.made.bytes.len(),
            state_bytes: chosen.state_bytes,
            accuracy: chosen.evaluation.accuracy,
            judged_on: &exported.part,
            folds_accuracy: exported.folds,
            agreement: chosen.evaluation.agreement(first),
            signal_to_noise_db: chosen.evaluation.signal_to_noise(first),
            assumed: exported.assumed.as_deref(),
            calibrated_on: exported.calibrated.as_deref(),
            layers: exported.layers.as_ref().map(Layers::of),
            temperature: exported.findings.calibration.map(|calibration| calibration.temperature),
            early: exported.findings.early.as_ref().map(|early| early.report),
            clipped: exported.clipped.iter().map(|(word, _)| word.as_str()).collect(),
            folded: exported.folded.as_ref().map(|folded| folded.ids),
            unknown,
            folded_share: exported.folded.as_ref().and_then(|folded| folded.share),
        }
    }
}
