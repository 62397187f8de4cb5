//! A search for the best model within a budget of flash, RAM and time.
//!
//! ```text
//! candidates that fit ── few epochs each ──> the best third ── more ──> the best of these ── all ──> the best image
//! ```
//!
//! This is successive halving, with thirds (Jamieson and Talwalkar 2016; the rounds are those of Hyperband's widest bracket, Li and others
//! 2018). A trial that is let through goes on from its checkpoint, under the schedule of a whole training. Trials are ranked by the accuracy
//! of their exported image on the validation part, through the engine. The best image has the highest accuracy; of several with exactly that accuracy
//! it is the smallest. So that the front has small images too, half of the draws have less than the budget, down to a sixteenth of it, and up to half of the trials
//! that go on are taken from the front.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `search.json` | what the search was begun with |
//! | `search.jsonl` | a line for each trial of each round that is done, in that order |
//! | `trial-0001` … | a run's folder each, with `image.latch`, the image of its best network so far |
//! | `pareto.svg` | image bytes against validation accuracy |
//! | `best.latch` | the best image, at the end |
//!
//! What it promises: an image that is handed over fits; a search that was stopped at any moment and resumed ends in the same bytes, and so
//! do two of one seed, unless minutes limit them. What it leaves out: dropout, rates and batches are those of `base`, not searched for; and the
//! best of many on one validation part is flattered by it, so that only other texts tell how good it is.

pub mod candidates;
pub mod latency;
pub mod pace;
mod progress;
mod ranking;
mod trials;

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;
use latch_engine::input::text::Tokens;

use crate::config::TrainConfig;
use crate::error::{Fault, LARGEST_FILE, fault, read_string, reading};
use crate::files::{OutputFolder, write_atomically};
use crate::runs::folder::RunFolder;
use crate::runs::loaded::Loaded;
use crate::runs::lock::Lock;
use crate::runs::opened::load;
use crate::tokenization::resolve;
use candidates::{Sizer, propose};
use progress::{Search, trial_name};
pub use ranking::{front, standard_error};
pub use trials::{Observer, Outcome, Plan, Trial, Verdict};

/// True when a search lies in a folder.
pub fn has_search(folder: &Path) -> bool {
    folder.join("search.json").exists()
}

/// Begins a search in a folder that has none, and goes on with it to its end. Digests of the data and what a token is are filled in here: syllables or
/// words as the training texts have them where neither `tokens` nor the model says it.
///
/// # Errors
/// A fault when the folder already holds a search or a run, when an option or the data cannot be used, when nothing fits the budget, or when
/// no trial ends with an image.
pub fn begin(mut plan: Plan, tokens: Option<Tokens>, folder: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    plan.base.train.check("")?;
    refuse_options(&plan.base.train)?;
    let part = plan.budget.part()?;
    refuse(folder)?;
    let Loaded { training, validation, valid_sha256, summary, notes, .. } = load(&mut plan.base, &mut |_, _| {})?;
    plan.base.train.check("")?;
    plan.valid_sha256 = valid_sha256;
    plan.base.train.model.tokens = resolve(tokens, &plan.base.train.model, &training);
    // Before anything is written: a budget that is too small leaves no folder.
    let sizer = Sizer::new(&plan.base.train, &training, part).of_classes(&plan.base.classes);
    let candidates = propose(&sizer, &plan.budget, plan.trials)?;
    let made = OutputFolder::create(folder)?;
    let lock = Lock::take(folder, "searching")?;
    // Reading the data took time, in which another search may have begun.
    refuse(folder)?;
    let path = folder.join("search.json");
    let json = serde_json::to_string_pretty(&plan)?;
    write_atomically(&path, |out| Ok(writeln!(out, "{json}")?))?;
    made.keep();
    observer.note(&summary);
    notes.iter().for_each(|note| observer.note(note));
    let outcome = Search::new(plan, folder, sizer, candidates, training, validation)?.run(observer);
    drop(lock);
    outcome
}

/// Refuses what a search does not do, naming the option.
///
/// # Errors
/// A fault that names it.
pub fn refuse_options(config: &TrainConfig) -> Result<(), Fault> {
    let other = "leave it out here, and train the model that was found with it";
    for (option, given, problem) in [
        ("--quantize", config.quantize.is_some(), "a search trains in floats"),
        ("--teacher", config.distill.is_some(), "a search learns from the labels alone"),
        ("--model whole", config.model.tiers.is_some(), "a search chooses the rows of the embedding itself"),
    ] {
        if given {
            return Err(fault(option, problem, other));
        }
    }
    Ok(())
}

/// What the search in a folder was begun with.
///
/// # Errors
/// A fault when the folder holds no search.
pub fn plan(folder: &Path) -> Result<Plan> {
    let path = folder.join("search.json");
    let text = read_string(&path, LARGEST_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let remedy = "name the folder that `latch search --out` made";
            fault(folder.display(), "there is no search in this folder, because it has no search.json", remedy).into()
        }
        _ => reading(&path, error),
    })?;
    serde_json::from_str(&text).map_err(|error| {
        let remedy = "take the file from a copy, or search again into another folder";
        fault(path.display(), format!("this is no search: {error}"), remedy).into()
    })
}

/// Goes on with the search in a folder; of one that is done, gives its end again.
///
/// # Errors
/// As [`begin`], and a fault when the folder holds no search, or the data is not what it began with.
pub fn resume(folder: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    let plan = plan(folder)?;
    let path = folder.join("search.json");
    let lock = Lock::take(folder, "searching")?;
    plan.base.train.check(&format!("{}: ", path.display()))?;
    let mut base = plan.base.clone();
    let Loaded { training, validation, valid_sha256, .. } = load(&mut base, &mut |_, _| {})?;
    if base.data_sha256 != plan.base.data_sha256
        || base.classes != plan.base.classes
        || valid_sha256 != plan.valid_sha256
    {
        let problem = "the data is not what the search began with: its SHA-256 differs";
        return Err(fault(base.data.display(), problem, "put the old data back, or begin a new search").into());
    }
    let sizer = Sizer::new(&plan.base.train, &training, plan.budget.part()?).of_classes(&plan.base.classes);
    let candidates = propose(&sizer, &plan.budget, plan.trials)?;
    let outcome = Search::new(plan, folder, sizer, candidates, training, validation)?.run(observer);
    drop(lock);
    outcome
}

fn refuse(folder: &Path) -> Result<()> {
    if has_search(folder) {
        let remedy = "go on with it by --resume, or name another folder";
        return Err(fault(folder.display(), "this folder already holds a search", remedy).into());
    }
    let trial = trial_name(0);
    let taken = ["search.jsonl", "pareto.svg", "best.latch", trial.as_str()];
    if let Some(name) = taken.into_iter().find(|name| folder.join(name).exists()) {
        let problem = "the search would write here, and there is something already";
        return Err(fault(folder.join(name).display(), problem, "name another folder").into());
    }
    if RunFolder::new(folder).has_run() {
        return Err(fault(folder.display(), "this folder already holds a run", "name another folder").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
