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

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::input::text::Tokens as Units;
use serde::{Deserialize, Serialize};

use crate::config::{ModelConfig, RunConfig, TrainConfig};
use crate::dataset::{Example, Label, Labels, Task};
use crate::error::{Fault, LARGEST_FILE, fault, find_fault, read_file, read_string, reading};
use crate::evaluate::evaluate;
use crate::export::{Export, Source};
use crate::files::{OutputFolder, create_folder, write_atomically};
use crate::learning::sequences::{Read, Texts, fit_ngrams, read};
use crate::learning::training::{Job, Progress, train_until};
use crate::ngrams::Fitted;
use crate::report::pareto::{self, Point};
use crate::runs::folder::RunFolder;
use crate::runs::lock::Lock;
use crate::runs::opened::{Loaded, load};
use crate::vocabulary::units_of;
use candidates::{Budget, Candidate, Cost, Sizer, propose};

/// Of the trials of a round, one in so many goes on, with so many times the epochs.
const KEEP: usize = 3;

/// Rounds at most.
const ROUNDS: u32 = 3;

/// What a search is begun with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of Latch that began it.
    pub latch: String,
    /// What an image may take.
    pub budget: Budget,
    /// Candidates of the first round.
    pub trials: usize,
    /// Minutes after which no round and no epoch begins; how far a search comes in them depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// The run of every trial, but for the model's sizes, its pooling and its n-grams.
    pub base: RunConfig,
    /// Digest of a validation part that has data of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_sha256: Option<String>,
}

/// A trial at the end of a round: a line of `search.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The round, from 1.
    pub round: usize,
    /// The trial, from 1.
    pub trial: usize,
    /// Its folder within the search's.
    pub run: String,
    /// Epochs so far.
    pub epochs: u64,
    /// Precision of its image.
    pub precision: String,
    /// Bytes of the image, as they were known before training.
    pub predicted_bytes: usize,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// Microseconds of a token on the named part, at the estimate's upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<f64>,
    /// The model.
    pub model: ModelConfig,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Verdict {
    /// An image.
    Measured {
        /// Its bytes.
        image_bytes: usize,
        /// Its accuracy on the validation part, through the engine; of values R².
        accuracy: f64,
        /// Its mean loss there in nats; of values the mean square of the errors.
        loss: f64,
    },
    /// Weights that diverged, or that an image cannot hold.
    Failed {
        /// Why, in a sentence.
        failed: String,
    },
}

impl Trial {
    /// Bytes, accuracy and loss of the image, where there is one.
    pub fn measured(&self) -> Option<(usize, f64, f64)> {
        match self.verdict {
            Verdict::Measured { image_bytes, accuracy, loss } => Some((image_bytes, accuracy, loss)),
            Verdict::Failed { .. } => None,
        }
    }
}

/// Sees how a search goes on.
pub trait Observer: Progress {
    /// The candidates are chosen; for each round how many are tried, to which epoch.
    fn planned(&mut self, rounds: &[(usize, u64)]);
    /// A trial begins in a round, both from 1, among so many.
    fn begins(&mut self, round: usize, trial: usize, place: usize, of: usize);
    /// A trial's round is done; `images` are the last images of all trials so far, the best first.
    ///
    /// # Errors
    /// Whatever is to stop the search, which can be resumed then.
    fn done(&mut self, trial: &Trial, images: &[Trial]) -> Result<()>;
    /// A round is done.
    fn round_done(&mut self, images: &[Trial]);
}

/// How a search ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the labels mean.
    pub task: Task,
    /// The last image of each trial that has one, the best first: never empty.
    pub images: Vec<Trial>,
    /// Trials that were begun.
    pub trials: usize,
    /// Labelled answers of the validation part.
    pub answers: usize,
    /// The minutes were over before the rounds were.
    pub out_of_time: bool,
    /// The best image.
    pub image: PathBuf,
}

/// True when a search lies in a folder.
pub fn has_search(folder: &Path) -> bool {
    folder.join("search.json").exists()
}

/// Images in the order of their worth: by accuracy, then exactly equal ones by bytes, then by loss.
fn by_worth(images: &mut [Trial]) {
    let key = |trial: &Trial| trial.measured().unwrap_or((usize::MAX, f64::NEG_INFINITY, f64::INFINITY));
    images.sort_by(|a, b| {
        let ((bytes, accuracy, loss), (other_bytes, other_accuracy, other_loss)) = (key(a), key(b));
        let worth = other_accuracy.total_cmp(&accuracy).then(bytes.cmp(&other_bytes));
        worth.then(loss.total_cmp(&other_loss)).then(a.trial.cmp(&b.trial))
    });
}

/// The indices of the trials that go on to the next round, `count` of a round's images at most: the best by accuracy, then by loss. Where there is room for
/// three or more, every second place is for the front, evenly from its smallest image to its largest, so that small images are trained on, too.
fn promoted(images: &[Trial], count: usize) -> Vec<usize> {
    let mut order: Vec<&Trial> = images.iter().filter(|trial| trial.measured().is_some()).collect();
    let key = |trial: &Trial| trial.measured().unwrap_or_default();
    order.sort_by(|a, b| {
        let ((bytes, accuracy, loss), (other_bytes, other_accuracy, other_loss)) = (key(a), key(b));
        let rank = other_accuracy.total_cmp(&accuracy).then(loss.total_cmp(&other_loss));
        rank.then(bytes.cmp(&other_bytes)).then(a.trial.cmp(&b.trial))
    });
    let best = if count < 3 { count } else { count.div_ceil(2) };
    let mut chosen: Vec<usize> = order.iter().take(best).map(|trial| trial.trial).collect();
    let rest: Vec<usize> =
        front(images).into_iter().map(|trial| trial.trial).filter(|trial| !chosen.contains(trial)).collect();
    let places = count.saturating_sub(chosen.len()).min(rest.len());
    chosen.extend((0..places).map(|place| rest[place * rest.len() / places]));
    let others: Vec<usize> = order.iter().map(|trial| trial.trial).filter(|trial| !chosen.contains(trial)).collect();
    chosen.extend(others);
    chosen.truncate(count);
    chosen.into_iter().map(|trial| trial - 1).collect()
}

/// One standard error of an accuracy that was measured on so many answers.
pub fn standard_error(accuracy: f64, answers: usize) -> f64 {
    (accuracy * (1.0 - accuracy) / answers.max(1) as f64).max(0.0).sqrt()
}

/// Those of the images, which no other equals or beats in bytes and in accuracy, by rising bytes.
pub fn front(images: &[Trial]) -> Vec<&Trial> {
    let mut by_bytes: Vec<(usize, f64, &Trial)> = images
        .iter()
        .filter_map(|trial| trial.measured().map(|(bytes, accuracy, _)| (bytes, accuracy, trial)))
        .collect();
    by_bytes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.trial.cmp(&b.2.trial)));
    let mut best = f64::NEG_INFINITY;
    by_bytes.retain(|&(_, accuracy, _)| {
        let better = accuracy > best;
        best = best.max(accuracy);
        better
    });
    by_bytes.into_iter().map(|(_, _, trial)| trial).collect()
}

/// How many trials each round has, and to which epoch they go.
fn rounds(trials: usize, epochs: u64) -> Vec<(usize, u64)> {
    let mut rounds: Vec<(usize, u64)> = Vec::new();
    for round in 0..ROUNDS {
        let until = epochs.div_ceil((KEEP as u64).pow(ROUNDS - 1 - round));
        let count = trials.div_ceil(KEEP.pow(round));
        match rounds.last_mut() {
            // So few epochs that two rounds would be one.
            Some(last) if last.1 == until => {}
            _ => rounds.push((count, until)),
        }
    }
    rounds
}

/// Begins a search in a folder that has none, and goes on with it to its end. Digests of the data and the units are filled in here: syllables or words as
/// the training texts have them where `units` is `None`.
///
/// # Errors
/// A fault when the folder already holds a search or a run, when an option or the data cannot be used, when nothing fits the budget, or when
/// no trial ends with an image.
pub fn begin(mut plan: Plan, units: Option<Units>, folder: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    plan.base.train.check("")?;
    refuse_options(&plan.base.train)?;
    let part = plan.budget.part()?;
    refuse(folder)?;
    let Loaded { training, validation, valid_sha256, summary } = load(&mut plan.base)?;
    plan.base.train.check("")?;
    plan.valid_sha256 = valid_sha256;
    let units = units.unwrap_or_else(|| units_of(training.iter().map(|example| example.text.as_str())));
    plan.base.train.syllables = units == Units::Syllables;
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
    let Loaded { training, validation, valid_sha256, .. } = load(&mut base)?;
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

fn trial_name(index: usize) -> String {
    format!("trial-{:04}", index + 1)
}

/// A search in progress.
struct Search<'f> {
    plan: Plan,
    folder: &'f Path,
    sizer: Sizer,
    candidates: Vec<Candidate>,
    training: Vec<Example<Label>>,
    validation: Vec<Example<Label>>,
    /// The lines of `search.jsonl`.
    lines: Vec<Trial>,
    /// Fitted tables by the number of their n-grams.
    tables: HashMap<usize, Rc<Fitted>>,
    began: Instant,
}

impl<'f> Search<'f> {
    fn new(
        plan: Plan,
        folder: &'f Path,
        sizer: Sizer,
        candidates: Vec<Candidate>,
        training: Vec<Example<Label>>,
        validation: Vec<Example<Label>>,
    ) -> Result<Self> {
        let path = folder.join("search.jsonl");
        let text = match read_string(&path, LARGEST_FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(reading(&path, error)),
        };
        let lines: Vec<Trial> = text
            .lines()
            .enumerate()
            .map(|(number, line)| {
                let trial = serde_json::from_str::<Trial>(line).ok();
                let known =
                    |trial: &Trial| candidates.get(trial.trial.wrapping_sub(1)).map(|candidate| &candidate.model);
                trial.filter(|trial| known(trial) == Some(&trial.model)).ok_or_else(|| {
                    let place = format!("{}:{}", path.display(), number + 1);
                    let problem = "this is no trial of this search";
                    fault(place, problem, "take the file from a copy, or search again into another folder").into()
                })
            })
            .collect::<Result<_>>()?;
        let began = Instant::now();
        let tables = HashMap::new();
        Ok(Search { plan, folder, sizer, candidates, training, validation, lines, tables, began })
    }

    fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let rounds = rounds(self.candidates.len(), self.plan.base.train.epochs);
        observer.planned(&rounds);
        let mut alive: Vec<usize> = (0..self.candidates.len()).collect();
        let mut out_of_time = false;
        for (number, &(_, until)) in rounds.iter().enumerate() {
            // Every round has the same share of the minutes.
            let share = (number + 1) as f64 / rounds.len() as f64;
            let deadline = self.plan.minutes.map(|minutes| minutes * 60.0 * share);
            for (place, &index) in alive.iter().enumerate() {
                if self.line(number, index).is_some() {
                    continue;
                }
                if !self.lines.is_empty() && self.is_over(deadline) {
                    out_of_time = true;
                    break;
                }
                observer.begins(number + 1, index + 1, place + 1, alive.len());
                let trial = self.advance(number, index, until, deadline, observer)?;
                self.lines.push(trial);
                self.write()?;
                if let Some(trial) = self.lines.last() {
                    observer.done(trial, &self.images())?;
                }
            }
            let images = self.images();
            observer.round_done(&images);
            // Only this round's lines count: a search that is resumed may have some of the next already.
            let done: Vec<Trial> =
                self.lines.iter().filter(|line| line.round == number + 1 && self.fits(line)).cloned().collect();
            let next = rounds.get(number + 1).map_or(0, |&(count, _)| count);
            alive = promoted(&done, next);
            if alive.is_empty() {
                break;
            }
        }
        self.finish(out_of_time)
    }

    fn is_over(&self, deadline: Option<f64>) -> bool {
        deadline.is_some_and(|deadline| self.began.elapsed() >= Duration::from_secs_f64(deadline))
    }

    /// The line of a trial's round.
    fn line(&self, round: usize, index: usize) -> Option<&Trial> {
        self.lines.iter().find(|line| (line.round, line.trial) == (round + 1, index + 1))
    }

    /// The last image of each trial that has one, the best first.
    fn images(&self) -> Vec<Trial> {
        let mut last: Vec<Trial> = Vec::new();
        for line in self.lines.iter().rev().filter(|line| self.fits(line)) {
            // An earlier round's image is gone when a later one is there.
            if !last.iter().any(|other| other.trial == line.trial) {
                last.push(line.clone());
            }
        }
        by_worth(&mut last);
        last
    }

    /// True for a trial with an image that fits.
    fn fits(&self, trial: &Trial) -> bool {
        trial.measured().is_some_and(|(bytes, ..)| bytes <= self.plan.budget.flash)
    }

    /// Writes the trials and the plot.
    fn write(&self) -> Result<()> {
        let lines = self.lines.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        write_atomically(&self.folder.join("search.jsonl"), |out| {
            Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?)
        })?;
        let images = self.images();
        let on_front: Vec<usize> = front(&images).iter().map(|trial| trial.trial).collect();
        let points: Vec<Point> = images
            .iter()
            .enumerate()
            .filter_map(|(place, trial)| {
                let (bytes, accuracy, _) = trial.measured()?;
                Some(Point { bytes, accuracy, front: on_front.contains(&trial.trial), best: place == 0 })
            })
            .collect();
        let svg = pareto::picture(&points, self.plan.budget.flash, self.plan.base.train.task.has_values()).file();
        write_atomically(&self.folder.join("pareto.svg"), |out| Ok(out.write_all(svg.as_bytes())?))
    }

    /// Trains a trial to an epoch, and judges its image.
    fn advance(
        &mut self,
        round: usize,
        index: usize,
        until: u64,
        deadline: Option<f64>,
        observer: &mut dyn Observer,
    ) -> Result<Trial> {
        let candidate = self.candidates[index].clone();
        let Cost { image_bytes, state_bytes, latency } = self.sizer.cost(&candidate)?;
        let (epochs, verdict) = match self.judge(index, &candidate, until, deadline, observer) {
            Ok((epochs, verdict)) => (epochs, verdict),
            // Such weights are the candidate's fault; everything else is not, and ends the search.
            Err(error) if is_of_the_weights(&error) => (0, Verdict::Failed { failed: format!("{error:#}") }),
            Err(error) => return Err(error),
        };
        Ok(Trial {
            round: round + 1,
            trial: index + 1,
            run: trial_name(index),
            epochs,
            precision: candidate.precision.name().into(),
            predicted_bytes: image_bytes,
            state_bytes,
            latency_us: latency.map(|latency| latency.high),
            model: candidate.model,
            verdict,
        })
    }

    fn judge(
        &mut self,
        index: usize,
        candidate: &Candidate,
        until: u64,
        deadline: Option<f64>,
        observer: &mut dyn Observer,
    ) -> Result<(u64, Verdict)> {
        let train = TrainConfig { model: candidate.model.clone(), ..self.plan.base.train.clone() };
        let config = RunConfig { train, ..self.plan.base.clone() };
        let folder = RunFolder::new(self.folder.join(trial_name(index)));
        let vocabulary = self.sizer.vocabulary(&candidate.model);
        create_folder(folder.path())?;
        let folder = folder.hold()?;
        let checkpoint = folder.checkpoint()?;
        if checkpoint.is_some() {
            if folder.config()? != config {
                let problem = "this is not the run of this trial";
                let remedy = "take the folder from a copy, or search again into another one";
                return Err(fault(folder.path().display(), problem, remedy).into());
            }
            if let Some(fitted) = folder.ngrams(&config.train)? {
                self.tables.entry(candidate.model.ngrams.count).or_insert_with(|| Rc::new(fitted));
            }
        } else {
            // Whatever of this a stopped search has left is the same.
            folder.write_config(&config, self.plan.valid_sha256.clone())?;
            folder.write_vocabulary(&vocabulary)?;
        }
        let fitted = self.fitted(&config.train);
        if let Some(fitted) = fitted.as_deref().filter(|_| checkpoint.is_none()) {
            folder.write_ngrams(fitted)?;
        }
        let texts = Texts { training: &self.training, validation: &self.validation };
        let Read { training, validation } = read(&config.train, &vocabulary, fitted.as_deref(), texts);
        if checkpoint.is_none() {
            folder.write_occurrences(&vocabulary, &training.occurrences)?;
        }
        let job = Job {
            config: &config.train,
            vocabulary: &vocabulary,
            training: &training,
            validation: &validation,
            folder: &folder,
        };
        let mut train = |checkpoint, until| train_until(&job, checkpoint, observer, until);
        let mut outcome;
        if deadline.is_none() {
            outcome = train(checkpoint, until)?;
        } else {
            let mut epoch = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch);
            outcome = train(checkpoint, (epoch + 1).min(until))?;
            while outcome.epochs > epoch && outcome.epochs < until && !self.is_over(deadline) {
                epoch = outcome.epochs;
                outcome = train(folder.checkpoint()?, epoch + 1)?;
            }
        }
        let best = folder.best()?;
        let source = Source {
            config: &config,
            vocabulary: &vocabulary,
            occurrences: &training.occurrences,
            ngrams: fitted.as_deref(),
            best: &best,
            quantized: None,
            training: &self.training,
            validation: &self.validation,
        };
        let image = Export::of(source, true)?.image(candidate.precision)?.bytes;
        write_atomically(&folder.file("image.latch"), |out| Ok(out.write_all(&image)?))?;
        let evaluation = evaluate(&Model::new(&Image::open(&image)?), &self.validation)?;
        let loss = evaluation.errors.map_or(evaluation.log_loss, |errors| errors.rmse.powi(2));
        let accuracy = evaluation.accuracy;
        Ok((outcome.epochs, Verdict::Measured { image_bytes: image.len(), accuracy, loss }))
    }

    /// The table of a trial's n-grams, fitted once for each number of them.
    fn fitted(&mut self, config: &TrainConfig) -> Option<Rc<Fitted>> {
        let count = config.model.ngrams.count;
        if !self.tables.contains_key(&count) {
            self.tables.insert(count, Rc::new(fit_ngrams(config, &self.training, None)?));
        }
        self.tables.get(&count).cloned()
    }

    fn finish(self, out_of_time: bool) -> Result<Outcome> {
        let images = self.images();
        let Some(best) = images.first() else {
            let Some(Trial { run, verdict: Verdict::Failed { failed }, .. }) = self.lines.first() else {
                bail!("the search has no trial");
            };
            let remedy = "search again with a smaller --lr, by `latch train --flash`, into another folder";
            return Err(fault(run, format!("no trial has an image; the first one's fault: {failed}"), remedy).into());
        };
        let path = self.folder.join(&best.run).join("image.latch");
        let bytes = read_file(&path, LARGEST_FILE)?;
        let image = self.folder.join("best.latch");
        write_atomically(&image, |out| Ok(out.write_all(&bytes)?))?;
        let mut trials: Vec<usize> = self.lines.iter().map(|line| line.trial).collect();
        trials.sort_unstable();
        trials.dedup();
        let answers = |example: &Example<Label>| example.label.numbers().iter().filter(|label| !label.is_nan()).count();
        let answers = self.validation.iter().map(answers).sum();
        Ok(Outcome { task: self.plan.base.train.task, images, trials: trials.len(), answers, out_of_time, image })
    }
}

/// True for weights that diverged, and for those that the quantizer refuses: such faults name an epoch or a tensor.
fn is_of_the_weights(error: &anyhow::Error) -> bool {
    find_fault(error).is_some_and(|fault| fault.place.starts_with("epoch ") || fault.place.starts_with("tensor "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Valid, default_config};
    use crate::dataset::{Columns, built_in, write_tsv_gz};
    use crate::learning::training::BatchProgress;
    use crate::metrics::EpochMetrics;

    /// Stops the search after so many trials.
    struct After(usize);

    impl Progress for After {
        fn batch(&mut self, _: &BatchProgress) {}
        fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
    }

    impl Observer for After {
        fn planned(&mut self, _: &[(usize, u64)]) {}
        fn begins(&mut self, _: usize, _: usize, _: usize, _: usize) {}
        fn done(&mut self, _: &Trial, _: &[Trial]) -> Result<()> {
            self.0 -= 1;
            if self.0 == 0 { Err(anyhow::anyhow!("stopped")) } else { Ok(()) }
        }
        fn round_done(&mut self, _: &[Trial]) {}
    }

    const NEVER: usize = usize::MAX;

    /// A search on the built-in set, whose data goes into `folder`.
    fn plan(folder: &Path, budget: Budget) -> Plan {
        let data = folder.join("data.tsv.gz");
        write_tsv_gz(&data, &built_in::CLASSES.map(String::from), &built_in::generate(1, 400)).expect("a file");
        let train = TrainConfig { epochs: 4, seed: 3, ..default_config() };
        let latch = String::from("test");
        let valid = Valid::Fraction(0.2);
        let base = RunConfig {
            latch: latch.clone(),
            train,
            data,
            data_sha256: String::new(),
            columns: Columns::default(),
            classes: Vec::new(),
            valid,
            imported: None,
        };
        Plan { latch, budget, trials: 9, minutes: None, base, valid_sha256: None }
    }

    fn budget() -> Budget {
        Budget { flash: 4096, ram: Some(1024), board: Some("STM32F446".into()), latency: Some(500.0) }
    }

    fn lines(folder: &Path) -> Vec<Trial> {
        let text = std::fs::read_to_string(folder.join("search.jsonl")).expect("trials");
        text.lines().map(|line| serde_json::from_str(line).expect("a trial")).collect()
    }

    #[test]
    fn a_search_ends_with_an_image_that_fits_and_every_image_has_the_bytes_that_were_predicted() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("search");
        let outcome = begin(plan(place.path(), budget()), None, &out, &mut After(NEVER)).expect("an image");
        let bytes = std::fs::read(&outcome.image).expect("the best image");
        let aligned = latch_engine::image::encode::AlignedBytes::new(&bytes);
        let image = Image::open(&aligned).expect("an image that opens");
        let model = Model::new(&image);
        assert!(bytes.len() <= 4096 && model.state_bytes() <= 1024);
        assert_eq!(outcome.images[0].state_bytes, model.state_bytes());

        let lines = lines(&out);
        assert_eq!(
            lines.iter().map(|line| line.round).collect::<Vec<_>>(),
            [[1; 9].as_slice(), &[2; 3], &[3]].concat()
        );
        let of = |kind: fn(&ModelConfig) -> bool| lines.iter().filter(|line| kind(&line.model)).count();
        assert!(of(|model| model.ngrams.count > 0) > 1 && of(|model| model.ngrams.count == 0) > 1);
        assert!(of(|model| model.chain.cells().count() > 1) > 0 && of(|model| model.vocab < 100) > 0);
        for line in &lines {
            let (written, ..) = line.measured().unwrap_or_else(|| panic!("{line:?}"));
            // The multiplier of n-grams is not known before training.
            let unknown = if line.model.ngrams.count > 0 { 16 } else { 0 };
            assert!((written..=written + unknown).contains(&line.predicted_bytes), "{line:?}");
            assert!(line.predicted_bytes <= 4096 && line.latency_us.is_some_and(|time| time <= 500.0), "{line:?}");
            let image = std::fs::read(out.join(&line.run).join("image.latch")).expect("an image");
            let aligned = latch_engine::image::encode::AlignedBytes::new(&image);
            assert_eq!(Model::new(&Image::open(&aligned).expect("opens")).state_bytes(), line.state_bytes);
        }
    }

    #[test]
    fn the_bytes_of_useful_words_and_of_rows_by_hash_are_predicted_too() {
        use latch_engine::input::hashed::Hashed;
        use latch_engine::input::hashed::Spelling;
        let place = tempfile::tempdir().expect("a folder");
        let mut plan = plan(place.path(), Budget { flash: 4096, ram: None, board: None, latency: None });
        plan.trials = 4;
        plan.base.train.epochs = 1;
        plan.base.train.model.words = crate::config::Words::Useful;
        plan.base.train.model.hashed = Some(Hashed { rows: 21, of: Spelling::Ending });
        let out = place.path().join("search");
        begin(plan, None, &out, &mut After(NEVER)).expect("an image");
        for line in lines(&out) {
            let (written, ..) = line.measured().unwrap_or_else(|| panic!("{line:?}"));
            let unknown = if line.model.ngrams.count > 0 { 16 } else { 0 };
            assert!((written..=written + unknown).contains(&line.predicted_bytes), "{line:?}");
        }
    }

    #[test]
    fn a_search_that_was_stopped_and_resumed_ends_in_the_bytes_of_one_that_was_not() {
        let place = tempfile::tempdir().expect("a folder");
        let [whole, stopped] = ["whole", "stopped"].map(|name| place.path().join(name));
        let plan = plan(place.path(), budget());
        begin(plan.clone(), None, &whole, &mut After(NEVER)).expect("an image");
        begin(plan.clone(), None, &stopped, &mut After(4)).expect_err("stopped in the first round");
        resume(&stopped, &mut After(7)).expect_err("stopped in the second");
        // As if it had been killed before the line was written: the trial's folder is further than the search knows.
        let text = std::fs::read_to_string(stopped.join("search.jsonl")).expect("trials");
        let fewer: String = text.lines().take(10).map(|line| format!("{line}\n")).collect();
        std::fs::write(stopped.join("search.jsonl"), fewer).expect("a file");
        resume(&stopped, &mut After(NEVER)).expect("an image");
        for name in ["search.jsonl", "pareto.svg", "best.latch"] {
            let bytes = [&whole, &stopped].map(|folder| std::fs::read(folder.join(name)).expect(name));
            assert!(bytes[0] == bytes[1], "{name}");
        }
        let again = begin(plan, None, &stopped, &mut After(NEVER)).expect_err("there is a search").to_string();
        assert!(again.contains("--resume"), "{again}");
    }

    #[test]
    fn a_budget_that_nothing_fits_is_refused_with_the_least_that_would() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("search");
        let refusal = |budget: Budget| {
            let error = begin(plan(place.path(), budget), None, &out, &mut After(NEVER)).expect_err("nothing fits");
            assert!(!out.exists(), "{error}");
            error.to_string()
        };
        let tight = refusal(Budget { flash: 300, ram: Some(40), ..budget() });
        assert!(tight.starts_with("--flash:") && tight.contains("--ram"), "{tight}");
        // What it names is enough, and one byte less is not.
        let least: usize =
            tight.split(' ').skip_while(|word| *word != "--flash").nth(1).and_then(|n| n.parse().ok()).expect("bytes");
        assert!(refusal(Budget { flash: least - 1, ..budget() }).contains(&format!("--flash {least} ")));
        let barely = plan(place.path(), Budget { flash: least, ..budget() });
        let outcome = begin(barely, None, &place.path().join("least"), &mut After(NEVER)).expect("an image");
        assert_eq!(outcome.images[0].measured().map(|(bytes, ..)| bytes), Some(least));
        let slow = refusal(Budget { latency: Some(1.0), ..budget() });
        assert!(slow.starts_with("--latency:"), "{slow}");
        let nameless = refusal(Budget { board: Some("esp32".into()), ..budget() });
        assert!(nameless.contains("stm32f446") && nameless.contains("rp2040"), "{nameless}");
    }

    fn image(trial: usize, image_bytes: usize, accuracy: f64) -> Trial {
        Trial {
            round: 1,
            trial,
            run: trial_name(trial),
            epochs: 1,
            precision: "int8".into(),
            predicted_bytes: image_bytes,
            state_bytes: 0,
            latency_us: None,
            model: default_config().model,
            verdict: Verdict::Measured { image_bytes, accuracy, loss: 1.0 - accuracy },
        }
    }

    #[test]
    fn of_equally_accurate_images_the_smallest_is_the_best_and_the_best_is_on_the_front() {
        let mut images = [image(1, 48_168, 1.0), image(2, 9_000, 0.99), image(3, 2_616, 1.0), image(4, 1_000, 0.9)];
        by_worth(&mut images);
        assert_eq!(images.each_ref().map(|image| image.trial), [3, 1, 2, 4]);
        assert_eq!(front(&images).last().map(|image| image.trial), Some(3));
    }

    #[test]
    fn the_candidates_cover_a_decade_of_sizes_and_half_of_them_may_fill_the_budget() {
        let budget = Budget { flash: 16_384, ram: None, board: None, latency: None };
        let texts: Vec<Example<Label>> = built_in::generate(1, 400)
            .into_iter()
            .map(|example| Example { label: Label::Class(example.label), text: example.text })
            .collect();
        let config = TrainConfig { task: default_config().task.with_classes(2), ..default_config() };
        let sizer = Sizer::new(&config, &texts, None);
        let candidates = propose(&sizer, &budget, 18).expect("candidates");
        let sizes: Vec<usize> =
            candidates.iter().map(|candidate| sizer.cost(candidate).expect("a cost").image_bytes).collect();
        let (least, most) = (sizes.iter().min().expect("a size"), sizes.iter().max().expect("a size"));
        assert!(sizes.len() == 18 && least * 10 < *most && *most <= budget.flash, "{sizes:?}");
    }

    #[test]
    fn small_images_of_the_front_go_on_beside_the_most_accurate_ones() {
        let large: Vec<Trial> = (1..=8).map(|trial| image(trial, 60_000 + trial, 0.9 + trial as f64 / 100.0)).collect();
        let small = [image(9, 1_000, 0.6), image(10, 4_000, 0.7), image(11, 8_000, 0.65)];
        let images = [large, small.to_vec()].concat();
        // The best three; then the smallest of the front, and what lies between.
        let next = promoted(&images, 6);
        assert!(next.starts_with(&[7, 6, 5]) && next.contains(&8) && next.len() == 6, "{next:?}");
        // The last round is for the best.
        assert_eq!(promoted(&images, 2), [7, 6]);
        assert_eq!(promoted(&images, 20).len(), 11);
        assert_eq!(promoted(&[], 6), [] as [usize; 0]);
    }

    #[test]
    fn the_front_has_what_nothing_smaller_equals() {
        let images =
            [image(1, 300, 0.8), image(2, 100, 0.7), image(3, 200, 0.7), image(4, 400, 0.9), image(5, 300, 0.75)];
        assert_eq!(front(&images).iter().map(|trial| trial.trial).collect::<Vec<_>>(), [2, 1, 4]);
    }

    #[test]
    fn every_round_keeps_a_third_and_goes_three_times_as_far() {
        assert_eq!(rounds(18, 10), [(18, 2), (6, 4), (2, 10)]);
        assert_eq!(rounds(9, 1), [(9, 1)]);
        assert_eq!(rounds(1, 9), [(1, 1), (1, 3), (1, 9)]);
    }
}
