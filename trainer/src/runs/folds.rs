//! Cross-validation: as many runs as there are parts of the data, each of which is validated on a part that it has not learned from; then a run of all data.
//!
//! | file in the folder | what it holds |
//! | --- | --- |
//! | `folds.json` | what the cross-validation was begun with |
//! | `fold-1` … | a run's folder each |
//! | `held-out` | the answers of each of these runs to its own validation part |
//! | a run's files | the run of all data: as many epochs as the median best epoch of the folds, and no validation part |
//!
//! The answers to the parts that were held out stand in for the validation part when the last run is exported: temperature, threshold and the gains of n-grams are fitted to them.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use latch_engine::input::text::Tokens as Units;
use serde::{Deserialize, Serialize};

use super::begin::{begin, resume};
use super::folder::RunFolder;
use super::lock::Lock;
use super::opened::{Opened, load};
use crate::config::{Fold, Objective, RunConfig, Select, TrainConfig, Valid};
use crate::dataset::{Example, Label, Labels};
use crate::defaults::choice::Trials;
use crate::error::{LARGEST_FILE, fault, read_string, reading};
use crate::files::{OutputFolder, write_atomically};
use crate::learning::sequences::{HeldOut, Sequences, Texts, class_weights, read};
use crate::learning::training::{Answered, Outcome, Progress, fused, fusion};
use crate::learning::verdict::Verdict;
use crate::metrics::EpochMetrics;
use crate::network::Network;

/// The file that makes a folder one of a cross-validation.
const PLAN: &str = "folds.json";

/// What a cross-validation is begun with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    folds: u32,
    /// What a token is, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<Units>,
    /// The text of the run's `latch.toml`, where it is to keep one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<String>,
    /// What was tried to choose the model, where the data has chosen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trials: Option<Trials>,
    /// Every run of it, but for its validation part.
    base: RunConfig,
}

/// How a fold ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FoldScore {
    /// The fold, from 1.
    pub fold: u32,
    /// Texts that were learned from.
    pub train: usize,
    /// Texts that judged.
    pub validation: usize,
    /// The best epoch's figures.
    #[serde(flatten)]
    pub best: EpochMetrics,
}

/// How a cross-validation ended.
#[derive(Clone, Debug)]
pub struct Folds {
    /// The folds.
    pub scores: Vec<FoldScore>,
    /// What all answers to texts that were held out are worth together.
    pub verdict: Verdict,
    /// The run of all data.
    pub outcome: Outcome,
    /// Wall time of all runs in this process.
    pub elapsed: Duration,
}

/// Sees how a cross-validation goes on.
pub trait Observer: Progress {
    /// A fold begins, from 1.
    fn begins(&mut self, fold: u32, of: u32);
    /// The run of all data begins, of so many epochs.
    fn begins_all(&mut self, epochs: u64);
    /// What the data decides is known: this is what every run trains.
    fn adapted(&mut self, _config: &TrainConfig) {}
}

/// True when a cross-validation lies in a folder.
pub fn has_folds(folder: &Path) -> bool {
    folder.join(PLAN).exists()
}

/// Mean and standard deviation of numbers; the deviation of one number is 0.
pub fn mean_and_spread(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let numbers: Vec<f64> = numbers.collect();
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// Begins a cross-validation in a folder that has none, and goes on with it to its end; `trials` are kept in the folder, where the model was chosen by them.
///
/// # Errors
/// A fault when the folder already holds a run, when an option does not go with folds, and those of the runs. If nothing was learned by then, the folder is as it was
/// before.
pub fn cross_validate(
    base: RunConfig,
    tokens: Option<Units>,
    folds: u32,
    trials: Option<Trials>,
    folder: &RunFolder,
    observer: &mut dyn Observer,
) -> Result<Folds> {
    base.train.check("")?;
    refuse(folder, folds)?;
    // What is wrong with the data is said before anything is written.
    load(&mut RunConfig { valid: Valid::Fold(Fold { number: 1, of: folds }), ..base.clone() }, &mut |_, _| {})?;
    let made = OutputFolder::create(folder.path())?;
    let path = folder.file(PLAN);
    let lock = Lock::take(folder.path(), "training")?;
    // Reading the data took time, in which another run may have begun.
    refuse(folder, folds)?;
    let plan = Plan { folds, tokens, settings: folder.settings().map(str::to_owned), trials, base };
    let json = serde_json::to_string_pretty(&plan)?;
    write_atomically(&path, |out| Ok(writeln!(out, "{json}")?))?;
    let result = plan.go(folder, lock, observer);
    if result.is_err() && !has_learned(folder) {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&path);
        return result;
    }
    made.keep();
    result
}

/// Goes on with the cross-validation in a folder; of one that is done, gives its end again.
///
/// # Errors
/// As [`cross_validate`], and a fault when the folder holds none.
pub fn go_on(folder: &RunFolder, observer: &mut dyn Observer) -> Result<Folds> {
    let plan = plan(folder)?;
    let lock = Lock::take(folder.path(), "training")?;
    plan.go(folder, lock, observer)
}

/// What a cross-validation trains, but for its parts.
///
/// # Errors
/// A fault when the folder holds no cross-validation.
pub fn config(folder: &RunFolder) -> Result<TrainConfig> {
    Ok(plan(folder)?.base.train)
}

fn plan(folder: &RunFolder) -> Result<Plan> {
    let path = folder.file(PLAN);
    let text = read_string(&path, LARGEST_FILE).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let problem = "there is no cross-validation in this folder, because it has no folds.json";
            fault(folder.path().display(), problem, "name the folder that `latch train --folds` made").into()
        }
        _ => reading(&path, error),
    })?;
    let damaged = |problem: String| {
        let remedy = "take the file from a copy, or train again into another folder";
        fault(path.display(), format!("this is no cross-validation: {problem}"), remedy)
    };
    let plan: Plan = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if !(2..=50).contains(&plan.folds) {
        return Err(damaged(format!("it has {} parts", plan.folds)).into());
    }
    Ok(plan)
}

/// Checks that neither a run nor a cross-validation has begun here.
pub(super) fn refuse(folder: &RunFolder, folds: u32) -> Result<()> {
    folder.refuse_run()?;
    if has_folds(folder.path()) || (1..=folds).any(|number| fold_folder(folder, number).path().exists()) {
        let remedy = "go on with it by --resume, or name another folder";
        return Err(fault(folder.path().display(), "this folder already holds a cross-validation", remedy).into());
    }
    Ok(())
}

/// The folder of a fold.
fn fold_folder(folder: &RunFolder, number: u32) -> RunFolder {
    RunFolder::new(folder.file(&format!("fold-{number}"))).with_checkpoints_every(folder.checkpoint_interval())
}

/// Whether anything was learned.
fn has_learned(folder: &RunFolder) -> bool {
    folder.has_learned() || fold_folder(folder, 1).has_learned()
}

/// Begins a run in a folder, or goes on with the one that is there.
fn run(config: RunConfig, tokens: Option<Units>, folder: &RunFolder, observer: &mut dyn Observer) -> Result<Outcome> {
    if !folder.file("config.json").exists() {
        return begin(config, tokens, folder, observer);
    }
    let there = folder.config()?;
    if there.valid != config.valid || there.data != config.data || there.train.task.name() != config.train.task.name() {
        let problem = "this run is not the part of the cross-validation that belongs here";
        return Err(fault(folder.path().display(), problem, "take the folder from a copy, or remove it").into());
    }
    resume(folder, observer)
}

impl Plan {
    /// Trains what is left of the folds, then the run of all data. The lock keeps others out of the folds; the run of all data takes it for itself.
    fn go(self, folder: &RunFolder, lock: Lock, observer: &mut dyn Observer) -> Result<Folds> {
        let Plan { folds, tokens, settings, trials, base } = self;
        let (mut scores, mut held_out, mut examples) = (Vec::new(), HeldOut::default(), Vec::new());
        let mut elapsed = Duration::ZERO;
        let mut config = base.clone();
        for number in 1..=folds {
            let place = fold_folder(folder, number);
            observer.begins(number, folds);
            let run_config = RunConfig { valid: Valid::Fold(Fold { number, of: folds }), ..base.clone() };
            let outcome = run(run_config, tokens, &place, observer)?;
            elapsed += outcome.elapsed;
            let opened = Opened::read(&place)?;
            let Opened { config: trained, vocabulary, ngrams, training, validation, .. } = opened;
            scores.push(FoldScore {
                fold: number,
                train: training.len(),
                validation: validation.len(),
                best: outcome.best,
            });
            let texts = Texts { training: &training, validation: &validation };
            let read = read(&trained, &vocabulary, ngrams.as_ref(), texts)?;
            let network = place.best()?.network;
            held_out.append(raw_answers(&network, &read.validation, trained.train.objective())?);
            examples.extend(validation);
            config = trained;
        }
        let verdict = judged(&config, &held_out, &examples)?.1;
        drop(lock);
        let epochs = median(scores.iter().map(|score| score.best.epoch));
        observer.begins_all(epochs);
        let train = TrainConfig { epochs, select: Select::Last, ..base.train.clone() };
        let all = RunConfig { train, valid: Valid::All { folds }, ..base };
        let with_settings = settings.map(|settings| folder.clone().with_settings(settings));
        let outcome = run(all, tokens, with_settings.as_ref().unwrap_or(folder), observer)?;
        let writer = folder.hold()?;
        if let Some(trials) = trials {
            writer.write_trials(&trials)?;
        }
        writer.write_held_out(&held_out)?;
        elapsed += outcome.elapsed;
        Ok(Folds { scores, verdict, outcome, elapsed })
    }
}

/// What the answers of all folds to the parts that they have not learned from are worth, as an image is made of them: joined with those of their n-grams, and at the
/// threshold where one is chosen. The joined answers come first. `examples` are all texts of the data.
///
/// # Errors
/// A fault where the configuration names a class that the data does not have.
pub fn judged(config: &RunConfig, held_out: &HeldOut, examples: &[Example<Label>]) -> Result<(Vec<f32>, Verdict)> {
    let weights = class_weights(config, examples)?;
    let (outputs, objective) = (config.train.task.outputs(), config.train.objective());
    let sequences = held_out.sequences(weights);
    let mut logits = held_out.logits.clone();
    if let Some(fusion) = fusion((&logits, &held_out.labels), &sequences, outputs, objective) {
        fusion.apply(&mut logits, &sequences.offsets);
    }
    let labels: Vec<Vec<f32>> = examples.iter().map(|example| example.label.numbers().into_owned()).collect();
    let answers = (logits.clone(), held_out.labels.clone());
    Ok((logits, Verdict::of(&config.train, answers, &sequences.weights, &labels)))
}

/// How the folds in a folder ended; `None` where one of them is not there any more.
///
/// # Errors
/// A fault that names the file of a fold that is damaged.
pub fn scores(folder: &RunFolder, folds: u32) -> Result<Option<Vec<FoldScore>>> {
    let mut scores = Vec::new();
    for fold in 1..=folds {
        let place = fold_folder(folder, fold);
        let Some(facts) = place.facts()?.filter(|_| place.has_learned()) else { return Ok(None) };
        let (train, validation, best) = (facts.training, facts.validation, place.best()?.metrics);
        scores.push(FoldScore { fold, train, validation, best });
    }
    Ok(Some(scores))
}

/// The folds, their mean and their spread, as the rows of a table under their heading.
pub fn rows(scores: &[FoldScore], config: &TrainConfig) -> Vec<Vec<String>> {
    let values = config.task.has_values();
    let share = |share: f64| if values { format!("{share:.4}") } else { format!("{:.2} %", 100.0 * share) };
    let accuracy = if values { "R²" } else { "accuracy" };
    let last = if values { "RMSE" } else { "macro F1" };
    let heading = ["fold", "train", "validation", "best epoch", config.loss_name(), accuracy, last];
    let figures = |best: &EpochMetrics| {
        let last = if values { best.valid_rmse } else { best.valid_macro_f1 };
        [best.epoch as f64, best.valid_loss, best.valid_accuracy, last.unwrap_or_default()]
    };
    let cells = |[epoch, loss, accuracy, last]: [f64; 4], digits: usize| {
        [format!("{epoch:.digits$}"), format!("{loss:.4}"), share(accuracy), share(last)]
    };
    let mut rows = vec![heading.map(str::to_owned)];
    for FoldScore { fold, train, validation, best } in scores {
        let [epoch, loss, accuracy, last] = cells(figures(best), 0);
        rows.push([fold.to_string(), train.to_string(), validation.to_string(), epoch, loss, accuracy, last]);
    }
    let over = [0, 1, 2, 3].map(|figure| mean_and_spread(scores.iter().map(|fold| figures(&fold.best)[figure])));
    for (name, figures) in [("mean", over.map(|(mean, _)| mean)), ("spread", over.map(|(_, spread)| spread))] {
        let [epoch, loss, accuracy, last] = cells(figures, 1);
        rows.push([name.to_owned(), String::new(), String::new(), epoch, loss, accuracy, last]);
    }
    rows.into_iter().map(Vec::from).collect()
}

/// The median of numbers, the larger of the two in the middle where there are two.
fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(1)
}

/// What a network answers before it is joined with its n-grams.
fn raw_answers(network: &Network<f32>, sequences: &Sequences, objective: Objective) -> Result<HeldOut> {
    let Answered { logits, labels, .. } = fused(network, sequences, objective)?;
    Ok(HeldOut { logits, labels, offsets: sequences.offsets.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClassWeights, default_config};
    use crate::dataset::Task;

    #[test]
    fn a_table_of_folds_has_a_mean_and_a_spread_and_says_once_what_a_column_is() {
        let best = |epoch, valid_accuracy| EpochMetrics {
            epoch,
            valid_accuracy,
            valid_rmse: Some(2.5),
            ..EpochMetrics::default()
        };
        let fold = |fold, best| FoldScore { fold, train: 20, validation: 10, best };
        let scores = [fold(1, best(3, 0.5)), fold(2, best(4, 0.7))];
        let table = |config| rows(&scores, &config).iter().map(|row| row.join("|")).collect::<Vec<_>>();
        let of_values = table(TrainConfig { task: Task::Regress, ..default_config() });
        assert_eq!(of_values[0], "fold|train|validation|best epoch|loss|R²|RMSE");
        assert_eq!(of_values[1], "1|20|10|3|0.0000|0.5000|2.5000");
        assert_eq!(of_values[3], "mean|||3.5|0.0000|0.6000|2.5000");
        assert_eq!(of_values[4], "spread|||0.7|0.0000|0.1414|0.0000");
        let classes = TrainConfig { task: Task::Classify(2), ..default_config() };
        assert_eq!(table(classes.clone())[2], "2|20|10|4|0.0000|70.00 %|0.00 %");
        let weighted = TrainConfig { class_weights: ClassWeights::Balanced, ..classes };
        assert_eq!(table(weighted)[0], "fold|train|validation|best epoch|weighted loss|accuracy|macro F1");
    }

    #[test]
    fn the_spread_is_the_standard_deviation_and_the_median_the_number_in_the_middle() {
        let (mean, spread) = mean_and_spread([2.0, 4.0, 6.0].into_iter());
        assert!((mean - 4.0).abs() < 1e-12 && (spread - 2.0).abs() < 1e-12);
        assert_eq!(mean_and_spread([3.0].into_iter()), (3.0, 0.0));
        assert_eq!([median([5, 1, 3].into_iter()), median([4, 2].into_iter()), median([].into_iter())], [3, 4, 1]);
    }
}
