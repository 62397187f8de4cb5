//! What an evaluation says, as one line of JSON.

use latch_engine::Model;
use latch_engine::image::Image;
use serde::Serialize;

use crate::cli::output::ClassScores;
use crate::early::EarlyReport;
use crate::evaluate::{Errors, Evaluation};
use crate::runs::recordings::Naive;
use crate::unknown::UnknownTokens;

#[derive(Serialize)]
pub(super) struct Line<'a> {
    n: usize,
    accuracy: f64,
    #[serde(flatten)]
    judgement: Judgement<'a>,
    precision: &'static str,
    image_bytes: usize,
    state_bytes: usize,
    ns_per_token: f64,
    tokens: u64,
    unknown: &'a UnknownTokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    early: Option<EarlyReport>,
    /// What a forecast is to be better than.
    #[serde(skip_serializing_if = "Option::is_none")]
    naive: Option<Naive>,
}

/// What only classes or only values have.
#[derive(Serialize)]
#[serde(untagged)]
enum Judgement<'a> {
    Classes {
        log_loss: f64,
        brier: f64,
        calibration_error: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        auc: Option<f64>,
        /// The names of the classes, in the order of the confusion's rows and columns.
        classes: &'a [String],
        confusion: &'a [Vec<u64>],
        #[serde(flatten)]
        scores: ClassScores<'a>,
        /// The largest recall of the rarer class of two at a precision of 90 %.
        #[serde(skip_serializing_if = "Option::is_none")]
        recall_at_precision_90: Option<f64>,
    },
    Values(Errors),
}

impl<'a> Line<'a> {
    /// What an image answers, whose classes have these names.
    pub(super) fn of(
        result: &'a Evaluation,
        early: Option<EarlyReport>,
        naive: Option<Naive>,
        (image, classes): (&Image<'_>, &'a [String]),
    ) -> Self {
        let judgement = match result.errors {
            Some(errors) => Judgement::Values(errors),
            None => Judgement::Classes {
                log_loss: result.log_loss,
                brier: result.reliability.brier,
                calibration_error: result.reliability.calibration_error,
                auc: result.auc,
                classes,
                confusion: &result.confusion,
                scores: ClassScores::of(&result.scores, classes),
                recall_at_precision_90: result.rare_recall.map(|(_, recall)| recall),
            },
        };
        Line {
            n: result.n,
            accuracy: result.accuracy,
            judgement,
            precision: image.description().precision_name(),
            image_bytes: image.len(),
            state_bytes: Model::new(image).state_bytes(),
            ns_per_token: result.ns_per_token,
            tokens: result.tokens,
            unknown: &result.unknown,
            early,
            naive,
        }
    }
}
