//! What a run of all data knows of itself from the cross-validation before it.

use anyhow::Result;

use super::Section;
use crate::config::{RunConfig, Valid};
use crate::counted::named;
use crate::evaluate::Evaluation;
use crate::export::Trained;
use crate::runs::folder::RunFolder;
use crate::runs::folds::{judged, rows, scores};

/// The scores of the folds; `None` where the run is not one of all data, or its folds are gone.
pub(super) fn folds_section(folder: &RunFolder, config: &RunConfig) -> Result<Option<Section>> {
    let Valid::All { folds } = config.valid else { return Ok(None) };
    let Some(scores) = scores(folder, folds)? else { return Ok(None) };
    Ok(Some(Section {
        name: "folds",
        heading: "Cross-validation".into(),
        note: format!(
            "Each fold was trained without the {} that it is judged on. The model of this report has learned from all of them, for as many epochs as the median fold.",
            named(2, config.train.example())
        ),
        picture: None,
        rows: rows(&scores, &config.train),
    }))
}

/// What the folds answer to the texts that they have not learned from, at the threshold of the image; `None` where there are none. Values are not compared: each fold
/// has its own unit.
pub(super) fn held_out(run: &Trained) -> Result<Option<Evaluation>> {
    let task = run.opened.config.train.task;
    let Some(held_out) = run.held_out.as_ref().filter(|_| !task.has_values()) else { return Ok(None) };
    let (mut logits, verdict) = judged(&run.opened.config, held_out, &run.opened.training)?;
    let threshold = verdict.threshold.map_or(0.0, |threshold| threshold.logit);
    logits.iter_mut().for_each(|logit| *logit -= threshold);
    let outputs = task.outputs();
    let labelled = || logits.chunks_exact(outputs).zip(&held_out.labels).filter(|(_, label)| !label.is_nan());
    let answers = labelled().flat_map(|(logits, _)| logits).copied().collect();
    let labels = labelled().map(|(_, &label)| label).collect();
    Ok(Some(Evaluation::of(answers, labels, outputs, false)))
}
