//! What an evaluation says, in words.

use std::fmt::Write as _;

use anyhow::Result;

use crate::evaluate::{Errors, Evaluation, PRECISION};
use crate::metrics::BINS;
use crate::metrics::scores::Scores;
use crate::shown::shown;

/// The figures of classes or of values.
pub(super) fn judgement(text: &mut String, result: &Evaluation, classes: &[String]) -> Result<()> {
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
        let class = shown(&classes[class]);
        writeln!(
            text,
            "{class}: recall at most {:.1} % with a precision of {:.0} %",
            100.0 * recall,
            100.0 * PRECISION
        )?;
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
