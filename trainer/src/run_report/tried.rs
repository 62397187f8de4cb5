//! The models that were tried before a run, where its model was chosen so.

use anyhow::Result;

use super::Section;
use crate::config::RunConfig;
use crate::counted::counted;
use crate::runs::folder::RunFolder;

/// What was tried; `None` where the model was not chosen by trials.
pub(super) fn trials_section(folder: &RunFolder, config: &RunConfig) -> Result<Option<Section>> {
    let Some(trials) = folder.trials()? else { return Ok(None) };
    Ok(Some(Section {
        name: "trials",
        heading: "The models that were tried".into(),
        note: format!(
            "Each learned from {} of {}, and answered others, in {}. Taken is the smallest model within one standard error of {}.",
            trials.training,
            counted(trials.texts, config.train.example()),
            counted(trials.divisions, "division"),
            trials.chosen_by()
        ),
        picture: None,
        rows: trials.rows(&config.train),
    }))
}
