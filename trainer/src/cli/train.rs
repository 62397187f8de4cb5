//! `latch train`: from labelled texts to a run folder.

mod adapted;
mod balance;
mod folds;
mod options;
mod outcome;
mod quantize;
mod searched;
mod series;
pub(super) mod terminal;

use anyhow::Result;
use clap::{ArgMatches, Args as _, Command};
use serde::Serialize;

use self::adapted::decided;
use self::folds::FoldsTerminal;
pub use self::options::Args;
use self::outcome::{Classes, classes_words, figures, still_improving, too_few_to_judge, warn_of};
use self::terminal::Terminal;
use super::output::{answer, print_json};
use super::{interrupt, search};
use crate::config::{TrainConfig, Valid};
use crate::counted::counted;
use crate::defaults::choice::Trials;
use crate::learning::training::Outcome;
use crate::metrics::scores::Scores;
use crate::runs;
use crate::runs::adapted::{Asked, Ended};
use crate::runs::begin::resume;
use crate::runs::folder::{RunFolder, SETTINGS_HEADING};
use crate::runs::folds::has_folds;
use crate::runs::summary::Facts;
use crate::search::has_search;
use crate::settings::Settings;

#[derive(Serialize)]
struct Line<'a> {
    epochs: u64,
    best_valid_accuracy: f64,
    /// The root of the mean square error of values, in their unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    best_valid_rmse: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantized_valid_accuracy: Option<f64>,
    #[serde(flatten)]
    classes: Option<Classes<'a>>,
    tokens_per_s: f64,
    seconds: f64,
    /// The texts and words of the data, and the tokens that are unknown by part.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Facts>,
    /// What was tried, where the model was chosen by trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    trials: Option<Trials>,
    run: &'a str,
}

/// The options that say how `latch train` is called, and not what it trains: a file of options has none of them.
pub(super) const OF_A_CALL: [&str; 5] = ["config", "resume", "checkpoint-every", "json", "fast"];

/// What stands at the top of a file of options.
pub(super) const HEADING: &str = "What `latch train --config latch.toml` trains. A key is an option of `latch train` without its dashes. \
    Options on the command line count before these. Paths are relative to this file.";

/// What a run's own file of options leaves out besides: it lies in the folder that `--out` names, and is for another one.
pub(super) const NOT_OF_A_RUN: [&str; 6] = ["config", "resume", "checkpoint-every", "json", "fast", "out"];

/// The verb by itself.
pub(super) fn command() -> Command {
    Args::augment_args(Command::new("train"))
}

/// Runs the verb; `called` is the same command line with what it says of each option.
///
/// # Errors
/// A fault when the data, the options or the folder cannot be used, or when training diverges.
pub fn run(args: Args, called: &ArgMatches) -> Result<()> {
    let out = args.out.clone();
    train(args, called).map_err(|error| {
        interrupt::explain_full(error, "train", &out, |out| {
            has_search(out) || has_folds(out) || RunFolder::new(out).config().is_ok()
        })
    })
}

fn train(args: Args, called: &ArgMatches) -> Result<()> {
    interrupt::explain("train", &args.out, |out| {
        has_search(out) || has_folds(out) || RunFolder::new(out).has_learned()
    });
    if args.resume && has_search(&args.out) {
        return search::go_on(&args.out, args.json);
    }
    let json = args.json;
    if let Some(asked) = args.budget.clone().search() {
        return search::search(args.searched()?, args.tokens.tokens(), asked, &args.out, json);
    }
    let folder = RunFolder::new(&args.out);
    let folder = match args.checkpoint_every {
        Some(interval) => folder.with_checkpoints_every(interval),
        None => folder,
    };
    if args.resume && has_folds(&args.out) {
        let mut terminal = FoldsTerminal::new(json, &runs::folds::config(&folder)?);
        return folds::report(&runs::folds::go_on(&folder, &mut terminal)?, &folder, json);
    }
    let outcome = if args.resume {
        resume(&folder, &mut Terminal::new(json, &folder.config()?.train))?
    } else {
        let config = args.adapted.onward(args.config()?);
        let settings = |train: &TrainConfig, folds: Option<u32>| {
            let given = decided(train, folds);
            Settings::new(&command(), &NOT_OF_A_RUN).resolved(SETTINGS_HEADING, called, &given)
        };
        let (tokens, folds, fast) = (args.tokens.tokens(), args.folds, args.adapted.fast);
        let asked = Asked { tokens, folds, open: args.open(), fast, settings: &settings };
        let mut terminal = FoldsTerminal::new(json, &config.train);
        match runs::adapted::begin(config, &asked, &folder, &mut terminal)? {
            Ended::Run(outcome) => outcome,
            Ended::Folds(folds) => {
                drop(terminal);
                return folds::report(&folds, &folder, json);
            }
        }
    };
    report(&outcome, &folder, json)
}

/// Prints how a run ended.
fn report(outcome: &Outcome, folder: &RunFolder, json: bool) -> Result<()> {
    let config = folder.config()?;
    let task = config.train.task;
    let speed = if outcome.tokens_per_second > 0.0 {
        let (speed, seconds) = (outcome.tokens_per_second, outcome.elapsed.as_secs_f64());
        format!("{speed:.0} {}s/s, {seconds:.1} s", config.train.step())
    } else {
        "the run was finished before".to_owned()
    };
    let (best, run) = (&outcome.best, folder.path().display());
    let judged = match config.valid {
        Valid::All { .. } => format!("{} on all data, without a validation part", counted(outcome.epochs, "epoch")),
        _ => format!(
            "best epoch {} of {} ({}): validation {}, {} {:.4}",
            best.epoch,
            outcome.epochs,
            config.train.select.words(),
            figures(task, best),
            config.train.loss_name(),
            best.valid_loss,
        ),
    };
    answer(json, format_args!("{judged}; {speed}; run in {run}"))?;
    let is_judged = !matches!(config.valid, Valid::All { .. });
    if let Some(hint) = still_improving([best].into_iter(), config.train.epochs).filter(|_| is_judged) {
        answer(json, format_args!("{hint}"))?;
    }
    let facts = folder.facts()?;
    // Validation texts of one's own are what one wants to be judged by.
    let is_a_share = matches!(config.valid, Valid::Fraction(_));
    let few = facts.as_ref().filter(|_| is_a_share).map_or(0, |facts| facts.validation);
    if let Some(hint) = too_few_to_judge(few, &config.train) {
        answer(json, format_args!("{hint}"))?;
    }
    if let Some(quantized) = &outcome.quantized {
        let by = if config.series.is_some() { "in the image's integers" } else { "of the image, through the engine" };
        let text = format!(
            "with integers: best epoch {}: validation {}, {} {:.4}, {by}",
            quantized.epoch,
            figures(task, quantized),
            config.train.loss_name(),
            quantized.valid_loss
        );
        answer(json, format_args!("{text}"))?;
    }
    let verdict = outcome.verdict.clone().unwrap_or_default();
    let scores = (!verdict.confusion.is_empty()).then(|| Scores::of(&verdict.confusion));
    if let Some(scores) = &scores {
        answer(json, format_args!("{}", classes_words(scores, &verdict, &config, "the validation part")))?;
    }
    warn_of(&verdict, scores.as_ref(), &config);
    if json {
        print_json(&Line {
            epochs: outcome.epochs,
            best_valid_accuracy: outcome.best.valid_accuracy,
            best_valid_rmse: outcome.best.valid_rmse,
            quantized_valid_accuracy: outcome.quantized.map(|quantized| quantized.valid_accuracy),
            classes: scores.as_ref().map(|scores| Classes::of(scores, &verdict, &config.classes)),
            tokens_per_s: outcome.tokens_per_second,
            seconds: outcome.elapsed.as_secs_f64(),
            data: facts,
            trials: folder.trials()?,
            run: &folder.path().display().to_string(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
