//! A search in progress: round after round, trial after trial, with a line of `search.jsonl` for each.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use latch_engine::Model;
use latch_engine::image::Image;

use super::candidates::{Candidate, Cost, Sizer};
use super::ranking::{by_worth, front, promoted, rounds};
use super::trials::{Observer, Outcome, Plan, Trial, Verdict};
use crate::config::{RunConfig, TrainConfig};
use crate::dataset::{Example, Label, Labels};
use crate::error::{LARGEST_FILE, fault, find_fault, read_file, read_string, reading};
use crate::evaluate::evaluate;
use crate::export::{Export, Source};
use crate::files::{create_folder, write_atomically};
use crate::learning::sequences::{Read, Texts, fit_ngrams, read};
use crate::learning::training::{Job, train_until};
use crate::ngrams::Fitted;
use crate::report::pareto::{self, Point};
use crate::runs::folder::RunFolder;

/// The folder of a trial, from 0, within the search's.
pub(super) fn trial_name(index: usize) -> String {
    format!("trial-{:04}", index + 1)
}

/// A search in progress.
pub(super) struct Search<'f> {
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
    /// With the trials of `search.jsonl`, where a search was begun before.
    pub(super) fn new(
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

    /// Runs all rounds that are left.
    pub(super) fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
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
        let folder = match observer.settings(&config) {
            Some(settings) => folder.with_settings(settings),
            None => folder,
        };
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
            folder.write_scaling(&vocabulary)?;
        }
        let fitted = self.fitted(&config.train);
        if let Some(fitted) = fitted.as_deref().filter(|_| checkpoint.is_none()) {
            folder.write_ngrams(fitted)?;
        }
        let texts = Texts { training: &self.training, validation: &self.validation };
        let Read { training, validation } = read(&config, &vocabulary, fitted.as_deref(), texts)?;
        if checkpoint.is_none() {
            folder.write_occurrences(&vocabulary, &training.occurrences)?;
        }
        let job = Job {
            config: &config.train,
            vocabulary: &vocabulary,
            training: &training,
            validation: &validation,
            folder: Some(&folder),
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
            calibration: &[],
            held_out: None,
            warm_up: None,
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
            self.tables.insert(count, Rc::new(fit_ngrams(config, self.sizer.tokenization(), &self.training, None)?));
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
