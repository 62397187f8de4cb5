//! What an evaluation says, in words.

use std::fmt::Write as _;

use anyhow::Result;
use latch_engine::Model;
use latch_engine::image::Image;

use crate::cli::export::words::early_words;
use crate::counted::counted;
use crate::dataset::Reading;
use crate::early::EarlyReport;
use crate::evaluate::{Errors, Evaluation, PRECISION, threshold_of};
use crate::metrics::BINS;
use crate::metrics::scores::Scores;
use crate::report::classes::{confusion, per_class, rare_recall};

/// All that is printed of an evaluation; `early` is what stopping early saves.
pub(super) fn evaluation(
    result: &Evaluation,
    early: Option<&EarlyReport>,
    image: &Image<'_>,
    reading: &Reading,
) -> Result<String> {
    let (mut text, model) = (String::new(), Model::new(image));
    let Reading { task, classes, .. } = reading;
    let reads_samples = model.channels() > 0;
    let thing = match (task.each_step(), reads_samples) {
        (true, true) => "labelled step",
        (true, false) => "labelled token",
        (false, true) => "series",
        (false, false) => "text",
    };
    writeln!(
        text,
        "{}, {} read, {} on backend {}",
        counted(result.n, thing),
        counted(result.tokens, if reads_samples { "step" } else { "token" }),
        image.description().precision_name(),
        model.backend().name()
    )?;
    judgement(&mut text, result, classes)?;
    if !reads_samples {
        writeln!(text, "unknown       {}", result.unknown.words())?;
    }
    if let Some(threshold) = threshold_of(image) {
        writeln!(text, "threshold     chosen; a probability of 0.5 was {threshold} of the network")?;
    }
    let step = if reads_samples { "step, scaling included" } else { "token, tokenizer included" };
    writeln!(text, "time          {:.0} ns per {step}", result.ns_per_token)?;
    writeln!(text, "image         {} bytes, {} bytes of RAM a stream", image.len(), model.state_bytes())?;
    if let Some(early) = early {
        writeln!(text, "{}", early_words(early, "of these"))?;
    }
    if !result.confusion.is_empty() {
        write!(text, "\n{}\n{}", per_class(&result.scores, classes), confusion(&result.confusion, classes))?;
    }
    Ok(text)
}

/// The figures of classes or of values.
fn judgement(text: &mut String, result: &Evaluation, classes: &[String]) -> Result<()> {
    if let Some(Errors { rmse, mae }) = result.errors {
        writeln!(text, "RMSE          {rmse:.4}")?;
        writeln!(text, "MAE           {mae:.4}")?;
        match only_label(result) {
            Some(label) => writeln!(text, "R²            not defined: all labels are {label}")?,
            None => writeln!(text, "R²            {:.4}", result.accuracy)?,
        }
        return Ok(());
    }
    writeln!(text, "accuracy      {:.2} %", 100.0 * result.accuracy)?;
    let Scores { macro_f1, balanced_accuracy, .. } = &result.scores;
    writeln!(text, "macro F1      {:.2} %, balanced accuracy {:.2} %", 100.0 * macro_f1, 100.0 * balanced_accuracy)?;
    if let Some((class, recall)) = result.rare_recall {
        writeln!(text, "{}", rare_recall(&classes[class], recall, PRECISION))?;
    }
    writeln!(text, "log loss      {:.4} nats", result.log_loss)?;
    writeln!(text, "Brier score   {:.4}", result.reliability.brier)?;
    let error = 100.0 * result.reliability.calibration_error;
    writeln!(text, "calibration   {error:.2} % expected error, {BINS} bins of equal width")?;
    if let Some(auc) = result.auc {
        writeln!(text, "ROC AUC       {auc:.4}")?;
    }
    if let Some(label) = only_label(result) {
        let auc = if result.outputs == 1 { " ROC AUC is not defined, and" } else { "" };
        let label = &classes[label as usize];
        writeln!(text, "one class     all labels are {label}:{auc} the accuracy is that of this class alone")?;
    }
    Ok(())
}

/// The label of all answers, where they have but one.
fn only_label(result: &Evaluation) -> Option<f32> {
    result.labels.first().copied().filter(|first| result.labels.iter().all(|label| label == first))
}
