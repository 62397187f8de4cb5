//! How a run begins whose options are left to the data: see [`crate::defaults`].
//!
//! | texts | model | epochs | validation |
//! | --- | --- | --- | --- |
//! | fewer than 50 different ones, or 20 series | one candidate, untried | by steps | a tenth |
//! | fewer than 2,000, or up to 6,000 with up to about 300,000 tokens | the smallest of the best that were tried on divisions of all texts | by steps | cross-validation in 5 parts, then a run of all texts |
//! | fewer than 20,000 | the smallest of the best that were tried on divisions of the training part | by steps | a tenth |
//! | more | the default one | 10 | a tenth |
//!
//! Fewer than 100 series are divided in two ways, for trials. One recording with an answer at each step is divided in time: its beginning is learned from, and what follows judges.
//!
//! Each holds only where nobody says otherwise. What was decided stands in the run's `latch.toml` as if somebody had said it: whoever repeats the run tries nothing.

use std::collections::HashSet;

use anyhow::Result;
use latch_engine::input::text::Tokens;

use super::begin::{Decided, begin_loaded, cut_model};
use super::folder::RunFolder;
use super::folds::{Folds, Observer, cross_validate, refuse};
use super::onward;
use super::opened::load;
use crate::config::{ClassWeights, Fold, ModelConfig, RunConfig, TrainConfig, Valid};
use crate::counted::named;
use crate::dataset::{Example, Label};
use crate::defaults::candidates::fast;
use crate::defaults::choice::Trials;
use crate::defaults::size::warning;
use crate::defaults::trials::{MOST_TEXTS, divides_in_time, sized, tries_all, try_all};
use crate::defaults::{FEW, Open, SMALL, carry_of, fewest, patience_of, schedule, schedule_of_series};
use crate::error::fault;
use crate::files::OutputFolder;
use crate::learning::sequences::class_weights;
use crate::learning::training::Outcome;
use crate::tokenization::{Tokenization, resolve};
use crate::unknown::thousands;
use crate::vocabulary::rank;

/// Parts of the cross-validation of few texts.
const FOLDS: u32 = 5;

/// What is asked of a run besides its configuration.
pub struct Asked<'a> {
    /// What a token is, where that is said.
    pub tokens: Option<Tokens>,
    /// Parts of a cross-validation, where one is asked for.
    pub folds: Option<u32>,
    /// The options that nobody gave; the configuration has their defaults.
    pub open: Open,
    /// Whether a model is taken untried, and its epochs chosen by a tenth of the texts, however few these are.
    pub fast: bool,
    /// The text of `latch.toml` for what is decided, and for so many parts of a cross-validation.
    pub settings: &'a dyn Fn(&TrainConfig, Option<u32>) -> String,
}

/// How it ended.
pub enum Ended {
    /// As a run.
    Run(Outcome),
    /// As a cross-validation with a run of all data.
    Folds(Folds),
}

/// Begins a run, or a cross-validation, in a folder that has none, and trains it; the data decides what is open.
///
/// # Errors
/// Those of [`super::begin::begin`] and of [`cross_validate`].
pub fn begin(
    mut config: RunConfig,
    asked: &Asked<'_>,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<Ended> {
    let Asked { tokens, folds, open, fast, settings } = *asked;
    config.train.check("")?;
    if let Some(start) = &config.train.start {
        let (from, folder) = (start.run.clone(), folder.clone().with_settings(settings(&config.train, None)));
        return Ok(Ended::Run(onward::begin(config, from, tokens, &folder, observer)?));
    }
    refuse(folder, folds.unwrap_or(0))?;
    // A folder that cannot be made is said before anything is tried.
    drop(OutputFolder::create(folder.path())?);
    if !(open.model || open.epochs || open.patience)
        && let Some(folds) = folds
    {
        let folder = folder.clone().with_settings(settings(&config.train, Some(folds)));
        return Ok(Ended::Folds(cross_validate(config, tokens, folds, None, &folder, observer)?));
    }
    let mut read = config.clone();
    if let Some(folds) = folds {
        // What is wrong with the data is said before anything else.
        read.valid = Valid::Fold(Fold { number: 1, of: folds });
        load(&mut read, &mut |done, all| observer.preparing("reading the data", done, all))?;
        read = RunConfig { valid: Valid::All { folds }, ..config.clone() };
    }
    let mut loaded = load(&mut read, &mut |done, all| observer.preparing("reading the data", done, all))?;
    read.train.check("")?;
    let texts = loaded.facts.texts;
    let different = texts - loaded.facts.duplicates.min(texts);
    // A pupil has the model that is said; runs that leave out parts are to have one model.
    let is_open = open.model && texts < SMALL && read.train.distill.is_none() && read.train.leave_out.is_none();
    let divides = is_open && open.valid && !fast && different >= fewest(&read) && folds.is_none();
    let few = divides && matches!(read.valid, Valid::Fraction(_)) && {
        if read.series.is_none() {
            read.train.model.tokens = resolve(tokens, &read.train.model, &loaded.training);
        }
        texts < FEW || (texts <= MOST_TEXTS && tries_all(&read.train, &loaded.training))
    };
    if few {
        // As --folds 5 reads them: all, in their order.
        refuse(folder, FOLDS)?;
        read = RunConfig { valid: Valid::All { folds: FOLDS }, ..config.clone() };
        loaded = load(&mut read, &mut |_, _| {})?;
    }
    let folds = folds.or(few.then_some(FOLDS));
    let learned = &loaded.training;
    open_times(&mut read, open, (learned, texts), observer);
    let trials = match folds {
        _ if is_open => choose(&mut read, asked, learned, observer)?,
        Some(_) if open.model => {
            cut_default(&mut read, tokens, learned, observer)?;
            None
        }
        _ => None,
    };
    observer.adapted(&read.train);
    let Some(folds) = folds else {
        let settings = |train: &TrainConfig| settings(train, None);
        let decided = Decided { settings: &settings, trials: trials.as_ref(), cuts: open.model && !is_open };
        return Ok(Ended::Run(begin_loaded(read, loaded, tokens, folder, Some(&decided), observer)?));
    };
    if asked.folds.is_none() {
        observer.note(&format!(
            "cross-validation of {} {} in {folds} parts, then a run of all of them (--valid 0.1 holds out a tenth and takes less time)",
            thousands(texts),
            named(texts as u64, config.train.example())
        ));
    }
    // The number of classes is found out again with every part.
    let TrainConfig { model, epochs, patience, class_weights, carry, .. } = read.train;
    config.train = TrainConfig { model, epochs, patience, class_weights, carry, ..config.train };
    let folder = folder.clone().with_settings(settings(&config.train, Some(folds)));
    Ok(Ended::Folds(cross_validate(config, tokens, folds, trials, &folder, observer)?))
}

/// Decides how long is learned, and in what windows, where that is left to the data: the `learned` ones of so many `texts`.
fn open_times(
    run: &mut RunConfig,
    open: Open,
    (learned, texts): (&[Example<Label>], usize),
    observer: &mut dyn Observer,
) {
    if run.series.is_some() && run.train.carry.is_none() {
        run.train.carry = carry_of(&run.train, learned);
        if let Some(steps) = run.train.carry {
            observer.note(&format!(
                "long recordings: they are learned in windows of {steps} steps, the state being carried from each to the next (--carry --window says another number)"
            ));
        }
    }
    if open.epochs {
        run.train.epochs = match run.series {
            Some(_) => schedule_of_series(&run.train, learned),
            None => schedule(run.train.batch, learned.len(), texts).0,
        };
    }
    if open.patience {
        run.train.patience = patience_of(run.train.epochs);
    }
}

/// Chooses the model by the texts that a run learns from, and gives what was tried, where it was.
fn choose(
    run: &mut RunConfig,
    asked: &Asked<'_>,
    learned: &[Example<Label>],
    observer: &mut dyn Observer,
) -> Result<Option<Trials>> {
    if run.series.is_none() {
        run.train.model.tokens = resolve(asked.tokens, &run.train.model, learned);
    }
    // A class that is named and not there is said before anything is tried.
    class_weights(run, learned)?;
    let models = sized(run, learned)?;
    let different = learned.iter().map(|example| &example.text).collect::<HashSet<_>>().len();
    let many = different >= fewest(run) || divides_in_time(run, learned);
    let tries = !asked.fast && many && !models.is_empty();
    let trials = if tries { compare(run, asked.open, &models, learned, observer)? } else { None };
    // Texts without a token have no model; they are refused where the run begins.
    let untried = if run.series.is_some() { 0 } else { fast(run.train.task, run.train.tokens()) };
    if let Some((model, bytes)) = models.into_iter().nth(trials.as_ref().map_or(untried, Trials::taken)) {
        if trials.is_none() {
            observer.note(&format!("no --model is given: taking this one untried: {model}"));
        }
        run.train.model = model;
        if let Some(smoothed) = trials.as_ref().and_then(|trials| trials.smoothed.as_ref()) {
            run.train.class_weights = if smoothed.taken { ClassWeights::Smoothed } else { ClassWeights::None };
        }
        if let Some(warning) = warning(bytes) {
            observer.warn(&warning);
        }
    }
    Ok(trials)
}

/// Cuts the default model of a cross-validation until its image has 64 KiB.
fn cut_default(
    run: &mut RunConfig,
    tokens: Option<Tokens>,
    learned: &[Example<Label>],
    observer: &mut dyn Observer,
) -> Result<()> {
    run.train.model.tokens = resolve(tokens, &run.train.model, learned);
    let tokenization = Tokenization::of_examples(run.train.tokens(), learned);
    let ranked = rank(&tokenization, run.train.model.words, learned);
    // Texts without a token are refused where the first fold begins.
    if ranked.is_empty() { Ok(()) } else { cut_model(run, &tokenization, &ranked, learned.len(), observer) }
}

/// Tries models on the texts that a run learns from, and says how they did; `None` where these cannot be divided.
fn compare(
    run: &RunConfig,
    open: Open,
    models: &[(ModelConfig, usize)],
    training: &[Example<Label>],
    observer: &mut dyn Observer,
) -> Result<Option<Trials>> {
    observer.note(&format!(
        "no --model is given: trying {} on {} {} (--fast takes one untried)",
        models.len(),
        thousands(training.len()),
        named(training.len() as u64, run.train.example())
    ));
    let Some(trials) = try_all(run, open, models, training, &mut |over, of| {
        observer.preparing("trying models", over as u64, of as u64);
    })?
    else {
        return Ok(None);
    };
    observer.note(&table(&trials, &run.train));
    if let Some(words) = trials.weights_words() {
        observer.note(&words);
    }
    if trials.models.iter().all(|row| row.loss.is_none()) {
        let remedy = format!("take a smaller --lr than {}, or name a --model", run.train.learning_rate);
        return Err(
            fault("the training data", "the weights of every model that was tried have diverged", remedy).into()
        );
    }
    Ok(Some(trials))
}

/// What was tried, in lines.
fn table(trials: &Trials, config: &TrainConfig) -> String {
    let table = trials.table(config);
    let (learned, divided) = (thousands(trials.training), thousands(trials.texts));
    format!(
        "{table}\n{} divisions of {divided} {}, {learned} to learn from; taken is the smallest model within one standard error of {}",
        trials.divisions,
        named(trials.texts as u64, config.example()),
        trials.chosen_by()
    )
}
