//! What `latch train --folds` shows and prints.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::outcome::{Classes, classes_words, still_improving, warn_of};
use super::terminal::Terminal;
use crate::cli::output::{answer, print_json};
use crate::config::TrainConfig;
use crate::counted::counted;
use crate::defaults::choice::Trials;
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;
use crate::metrics::scores::Scores;
use crate::report::table;
use crate::runs::folder::RunFolder;
use crate::runs::folds::{self, FoldScore, Folds, Observer, mean_and_spread, rows};
use crate::runs::summary::Facts;

/// The terminal of a run or of a cross-validation, of which what was read is said once.
pub(super) struct FoldsTerminal {
    terminal: Terminal,
    quiet: bool,
    config: TrainConfig,
    first: bool,
    /// A fold is trained, not the run of all data.
    in_fold: bool,
}

impl FoldsTerminal {
    pub(super) fn new(quiet: bool, config: &TrainConfig) -> Self {
        FoldsTerminal {
            terminal: Terminal::new(quiet, config),
            quiet,
            config: config.clone(),
            first: true,
            in_fold: false,
        }
    }
}

impl Progress for FoldsTerminal {
    fn batch(&mut self, batch: &BatchProgress) {
        self.terminal.batch(batch);
    }

    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool) {
        // Of a fold the table at the end has the best epoch.
        if !self.in_fold {
            self.terminal.epoch(metrics, elapsed, best);
        }
    }

    fn note(&mut self, text: &str) {
        if self.first {
            self.terminal.note(text);
        }
    }

    fn warn(&mut self, text: &str) {
        if self.first {
            self.terminal.warn(text);
        }
    }

    fn preparing(&mut self, what: &str, done: u64, all: u64) {
        self.terminal.preparing(what, done, all);
    }
}

impl Observer for FoldsTerminal {
    fn adapted(&mut self, config: &TrainConfig) {
        self.config = config.clone();
        self.terminal = Terminal::new(self.quiet, config);
    }

    fn begins(&mut self, fold: u32, of: u32) {
        (self.first, self.in_fold) = (fold == 1, true);
        self.terminal = Terminal::new(self.quiet, &self.config);
        self.terminal.note(&format!("fold {fold} of {of}"));
    }

    fn begins_all(&mut self, epochs: u64) {
        (self.first, self.in_fold) = (false, false);
        self.terminal = Terminal::new(self.quiet, &TrainConfig { epochs, ..self.config.clone() });
        self.terminal.note(&format!("all data, for {}: the median of the folds' best", counted(epochs, "epoch")));
    }
}

#[derive(Serialize)]
struct Line<'a> {
    epochs: u64,
    /// The mean of the folds.
    best_valid_accuracy: f64,
    /// The standard deviation of the folds' accuracies.
    accuracy_spread: f64,
    folds: &'a [FoldScore],
    #[serde(flatten)]
    classes: Option<Classes<'a>>,
    /// The model of all runs.
    model: String,
    tokens_per_s: f64,
    /// Wall time of all runs.
    seconds: f64,
    /// The texts and words of the data, and the tokens that are unknown by part.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Facts>,
    /// What was tried, where the model was chosen by trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    trials: Option<Trials>,
    run: &'a str,
}

/// Prints how a cross-validation ended.
pub(super) fn report(folds: &Folds, folder: &RunFolder, json: bool) -> Result<()> {
    let Folds { scores, verdict, outcome, elapsed } = folds;
    let config = folder.config()?;
    answer(json, format_args!("\n{}", table(&rows(scores, &config.train))))?;
    if let Some(hint) = still_improving(scores.iter().map(|score| &score.best), folds::config(folder)?.epochs) {
        answer(json, format_args!("{hint}\n"))?;
    }
    let classes = (!verdict.confusion.is_empty()).then(|| Scores::of(&verdict.confusion));
    if let Some(scores) = &classes {
        let things = "each answered by the run that has not learned from it";
        let words = classes_words(scores, verdict, &config, things);
        answer(json, format_args!("all answers together: accuracy {:.2} %, {words}", 100.0 * scores.accuracy))?;
    }
    warn_of(verdict, classes.as_ref(), &config);
    answer(
        json,
        format_args!(
            "the run in {} has learned from all data, {}, the median of the folds' best",
            folder.path().display(),
            counted(outcome.epochs, "epoch")
        ),
    )?;
    if json {
        let (mean, spread) = mean_and_spread(scores.iter().map(|score| score.best.valid_accuracy));
        print_json(&Line {
            epochs: outcome.epochs,
            best_valid_accuracy: mean,
            accuracy_spread: spread,
            folds: scores,
            classes: classes.as_ref().map(|scores| Classes::of(scores, verdict, &config.classes)),
            model: config.train.model.to_string(),
            tokens_per_s: outcome.tokens_per_second,
            seconds: elapsed.as_secs_f64(),
            data: folder.facts()?,
            trials: folder.trials()?,
            run: &folder.path().display().to_string(),
        })?;
    }
    Ok(())
}
