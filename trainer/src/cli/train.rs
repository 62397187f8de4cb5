//! `latch train`: from labelled texts to a run folder.

mod kinds;
mod options;
pub(super) mod terminal;

use anyhow::Result;
use serde::Serialize;

pub use self::options::Args;
use self::terminal::Terminal;
use super::args::TRIALS;
use super::output::{accuracy, answer, print_json, warn};
use super::search;
use crate::learning::training::Outcome;
use crate::runs::begin::{begin, resume};
use crate::runs::folder::RunFolder;
use crate::search::has_search;

#[derive(Serialize)]
struct Line<'a> {
    epochs: u64,
    best_valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantized_valid_accuracy: Option<f64>,
    tokens_per_s: f64,
    seconds: f64,
    run: &'a str,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the data, the options or the folder cannot be used, or when training diverges.
pub fn run(args: Args) -> Result<()> {
    if args.resume && has_search(&args.out) {
        return search::go_on(&args.out, args.json);
    }
    let json = args.json;
    if let Some(budget) = args.budget.clone().budget() {
        return search::search(args.searched()?, args.units.units(), (budget, TRIALS, None), &args.out, json);
    }
    let folder = RunFolder::new(&args.out);
    let folder = match args.checkpoint_every {
        Some(interval) => folder.with_checkpoints_every(interval),
        None => folder,
    };
    let outcome = if args.resume {
        resume(&folder, &mut Terminal::new(json, &folder.config()?.train))?
    } else {
        let config = args.config()?;
        let mut terminal = Terminal::new(json, &config.train);
        begin(config, args.units.units(), &folder, &mut terminal)?
    };
    report(&outcome, &folder, json)
}

/// Prints how a run ended.
fn report(outcome: &Outcome, folder: &RunFolder, json: bool) -> Result<()> {
    let task = folder.config()?.train.task;
    let text = format!(
        "best epoch {} of {} (lowest validation loss): validation {}, loss {:.4}; {:.0} tokens/s, {:.1} s; run in {}",
        outcome.best.epoch,
        outcome.epochs,
        accuracy(task, outcome.best.valid_accuracy),
        outcome.best.valid_loss,
        outcome.tokens_per_second,
        outcome.elapsed.as_secs_f64(),
        folder.path().display(),
    );
    answer(json, format_args!("{text}"))?;
    if let Some(quantized) = &outcome.quantized {
        let text = format!(
            "with integers: best epoch {}: validation {}, loss {:.4}, of the image, through the engine",
            quantized.epoch,
            accuracy(task, quantized.valid_accuracy),
            quantized.valid_loss
        );
        answer(json, format_args!("{text}"))?;
    }
    if let Some(warning) = &outcome.warning {
        warn(format_args!("{warning}"));
    }
    if json {
        print_json(&Line {
            epochs: outcome.epochs,
            best_valid_accuracy: outcome.best.valid_accuracy,
            quantized_valid_accuracy: outcome.quantized.map(|quantized| quantized.valid_accuracy),
            tokens_per_s: outcome.tokens_per_second,
            seconds: outcome.elapsed.as_secs_f64(),
            run: &folder.path().display().to_string(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
