//! What `latch train --folds` shows and prints.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::outcome::{Classes, classes_words, warn_of};
use super::terminal::Terminal;
use crate::cli::output::{answer, print_json, score};
use crate::config::TrainConfig;
use crate::dataset::Task;
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;
use crate::metrics::scores::Scores;
use crate::report::table;
use crate::runs::folder::RunFolder;
use crate::runs::folds::{FoldScore, Folds, Observer, mean_and_spread};

/// The terminal of a cross-validation: what was read is said once.
pub(super) struct FoldsTerminal {
    terminal: Terminal,
    quiet: bool,
    config: TrainConfig,
    first: bool,
}

impl FoldsTerminal {
    pub(super) fn new(quiet: bool, config: &TrainConfig) -> Self {
        FoldsTerminal { terminal: Terminal::new(quiet, config), quiet, config: config.clone(), first: true }
    }
}

impl Progress for FoldsTerminal {
    fn batch(&mut self, batch: &BatchProgress) {
        self.terminal.batch(batch);
    }

    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool) {
        self.terminal.epoch(metrics, elapsed, best);
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
    fn begins(&mut self, fold: Option<u32>, of: u32) {
        self.first = fold == Some(1);
        self.terminal = Terminal::new(self.quiet, &self.config);
        match fold {
            Some(fold) => self.terminal.note(&format!("fold {fold} of {of}")),
            None => self.terminal.note("all data"),
        }
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
    tokens_per_s: f64,
    seconds: f64,
    run: &'a str,
}

/// Prints how a cross-validation ended.
pub(super) fn report(folds: &Folds, folder: &RunFolder, json: bool) -> Result<()> {
    let Folds { scores, verdict, outcome } = folds;
    let config = folder.config()?;
    let task = config.train.task;
    answer(json, format_args!("\n{}", scores_table(scores, task)))?;
    let classes = (!verdict.confusion.is_empty()).then(|| Scores::of(&verdict.confusion));
    if let Some(scores) = &classes {
        let things = "each answered by the run that has not learned from it";
        answer(json, format_args!("{}", classes_words(scores, verdict, &config, things)))?;
    }
    warn_of(verdict, classes.as_ref(), &config);
    answer(
        json,
        format_args!("the run in {} has learned from all data, {} epochs", folder.path().display(), outcome.epochs),
    )?;
    if json {
        let (mean, spread) = mean_and_spread(scores.iter().map(|score| score.best.valid_accuracy));
        print_json(&Line {
            epochs: outcome.epochs,
            best_valid_accuracy: mean,
            accuracy_spread: spread,
            folds: scores,
            classes: classes.as_ref().map(|scores| Classes::of(scores, verdict, &config.classes)),
            tokens_per_s: outcome.tokens_per_second,
            seconds: outcome.elapsed.as_secs_f64(),
            run: &folder.path().display().to_string(),
        })?;
    }
    Ok(())
}

/// The folds, their mean and their spread.
fn scores_table(scores: &[FoldScore], task: Task) -> String {
    let accuracy = if task.has_values() { "R²" } else { "accuracy" };
    let mut heading = vec!["fold", "train", "validation", "best epoch", "loss", accuracy];
    if !task.has_values() {
        heading.push("macro F1");
    }
    let of_classes = |share: Option<f64>| share.map(|share| score(task, share)).into_iter();
    let row = |fold: &FoldScore| {
        let best = &fold.best;
        let counts = [fold.fold.to_string(), fold.train.to_string(), fold.validation.to_string()];
        let figures = [best.epoch.to_string(), format!("{:.4}", best.valid_loss), score(task, best.valid_accuracy)];
        counts.into_iter().chain(figures).chain(of_classes(best.valid_macro_f1)).collect::<Vec<_>>()
    };
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(scores.iter().map(row));
    let over = |figure: fn(&EpochMetrics) -> f64| mean_and_spread(scores.iter().map(|fold| figure(&fold.best)));
    let figures = [
        over(|best| best.epoch as f64),
        over(|best| best.valid_loss),
        over(|best| best.valid_accuracy),
        over(|best| best.valid_macro_f1.unwrap_or_default()),
    ];
    for (name, take) in
        [("mean", (|figure: (f64, f64)| figure.0) as fn((f64, f64)) -> f64), ("spread", |figure| figure.1)]
    {
        let [epoch, loss, accuracy, f1] = figures.map(take);
        let mut row = vec![name.to_owned(), String::new(), String::new(), format!("{epoch:.1}"), format!("{loss:.4}")];
        row.push(score(task, accuracy));
        row.extend(of_classes((!task.has_values()).then_some(f1)));
        rows.push(row);
    }
    table(&rows)
}
