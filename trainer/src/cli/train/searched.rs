//! What `latch train` asks of a search, where a budget is given.

use anyhow::Result;

use super::options::Args;
use crate::config::RunConfig;
use crate::error::fault;

impl Args {
    /// The run of every trial of a search, where a budget is given.
    ///
    /// # Errors
    /// A fault that names the option that a search does not know, and those of [`Args::config`].
    pub(super) fn searched(&self) -> Result<RunConfig> {
        let other = "leave it out here, and train the model that was found with it";
        if let Some(option) = self.series.given() {
            return Err(fault(option, "a search knows texts only", other).into());
        }
        for (option, given, problem) in [
            ("--fast", self.adapted.fast, "a search chooses the model"),
            ("--quantize", self.quantize.config().is_some(), "a search trains in floats"),
            ("--resume-from", self.adapted.resume_from.is_some(), "a search begins with networks that know nothing"),
            ("--folds", self.folds.is_some(), "a search has one validation part"),
            ("--warm-up", self.warm_up.is_some(), "a search judges networks from their beginning"),
            ("--teacher", !self.teacher.is_empty(), "a search learns from the labels alone"),
            ("--checkpoint-every", self.checkpoint_every.is_some(), "a search keeps its trials by itself"),
        ] {
            if given {
                return Err(fault(option, problem, other).into());
            }
        }
        let config = self.config()?;
        if config.series.is_some() {
            let remedy = "leave out the budget: a few models are tried then";
            return Err(fault("--data", "a search knows texts only, and this is series", remedy).into());
        }
        Ok(config)
    }
}
