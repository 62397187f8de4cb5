//! How a run ended, in words and as JSON.

use serde::Serialize;

use crate::cli::output::{ClassScores, accuracy, warn};
use crate::config::{ClassWeights, RunConfig, TrainConfig};
use crate::counted::{counted, named};
use crate::dataset::Task;
use crate::learning::verdict::{Chosen, Verdict};
use crate::metrics::EpochMetrics;
use crate::metrics::scores::Scores;
use crate::report::classes::{never_answered, worst_classes};
use crate::shown::shown;

/// What an epoch is worth on the validation part, in words: of values R² and the root of the mean square error in their unit.
pub(super) fn figures(task: Task, epoch: &EpochMetrics) -> String {
    let rmse = epoch.valid_rmse.map_or(String::new(), |rmse| format!(", RMSE {rmse:.4}"));
    accuracy(task, epoch.valid_accuracy) + &rmse
}

/// How the classes fare on the validation part; nothing of numbers.
#[derive(Serialize)]
pub(super) struct Classes<'a> {
    #[serde(flatten)]
    scores: ClassScores<'a>,
    /// The logit from which on the second class is answered, where it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
}

impl<'a> Classes<'a> {
    /// What a verdict and its scores say of classes with these names.
    pub(super) fn of(scores: &Scores, verdict: &Verdict, names: &'a [String]) -> Self {
        Classes {
            scores: ClassScores::of(scores, names),
            threshold: verdict.threshold.map(|threshold| threshold.logit),
        }
    }
}

/// How the classes fare on the validation part, in words; `things` says what was judged.
pub(super) fn classes_words(scores: &Scores, verdict: &Verdict, config: &RunConfig, things: &str) -> String {
    let (names, count) = (&config.classes, scores.classes.iter().map(|class| class.support).sum::<u64>());
    let of = counted(count, config.train.answered());
    let mut text = format!(
        "macro F1 {:.2} %, balanced accuracy {:.2} % of {of}, {things}",
        100.0 * scores.macro_f1,
        100.0 * scores.balanced_accuracy
    );
    if let Some(chosen @ Chosen { class, f1, .. }) = verdict.threshold {
        text += &format!(
            "\nthreshold: {} from a probability of {:.3} on, where the F1 of {} is highest, {:.2} %",
            name_of(names, 1),
            chosen.probability(),
            name_of(names, class),
            100.0 * f1
        );
    }
    format!("{text}\n\n{}", worst_classes(scores, names).trim_end())
}

/// A hint where the best epoch of most runs, of so many epochs each, was the last one, and did not answer everything right.
pub(super) fn still_improving<'a>(
    best: impl ExactSizeIterator<Item = &'a EpochMetrics>,
    epochs: u64,
) -> Option<&'static str> {
    let runs = best.len();
    let last = best.filter(|best| best.epoch == epochs && epochs > 0 && best.valid_accuracy < 1.0).count();
    (2 * last > runs).then_some("note: it was still improving at the last epoch: more --epochs may help")
}

/// Validation texts of which fewer say little: of 50 that are 90 % right, the share is known to 8 points.
const ENOUGH_TO_JUDGE: usize = 50;

/// A hint where few texts have judged a run.
pub(super) fn too_few_to_judge(validation: usize, config: &TrainConfig) -> Option<String> {
    let thing = config.example();
    // A single series cannot be divided among folds.
    let least = if thing == "series" { 2 } else { 1 };
    (least..ENOUGH_TO_JUDGE).contains(&validation).then(|| {
        let (few, others) = (counted(validation, thing), named(2, thing));
        // A network that is there has learned from some of what a fold would judge it by.
        let remedy =
            if config.start.is_some() { "name more of them with --valid" } else { "--folds 5 judges by all of them" };
        format!("note: {few} of validation say little about other {others}: {remedy}")
    })
}

fn name_of(names: &[String], class: usize) -> String {
    names.get(class).map_or_else(|| class.to_string(), |name| shown(name).into_owned())
}

/// Warns of what is wrong with the answers.
pub(super) fn warn_of(verdict: &Verdict, scores: Option<&Scores>, config: &RunConfig) {
    if let Some(warning) = &verdict.useless {
        warn(format_args!("{warning}"));
    }
    let thing = format!("validation {}", config.train.answered());
    if let Some(chosen) = verdict.threshold.filter(Chosen::is_by_chance) {
        warn(format_args!(
            "the threshold was chosen on {} of {}: with other {} it would be another one; give more of them, or a larger --valid",
            counted(chosen.support, &thing),
            name_of(&config.classes, chosen.class),
            named(2, config.train.example())
        ));
    }
    let things = if thing.ends_with("series") { thing } else { format!("{thing}s") };
    if let Some(warning) = scores.and_then(|scores| never_answered(scores, &config.classes, &things)) {
        let remedy = match config.train.class_weights {
            ClassWeights::Auto | ClassWeights::None => "; --class-weights balanced makes rare classes count more",
            _ => "",
        };
        warn(format_args!("{warning}{remedy}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{still_improving, too_few_to_judge};
    use crate::config::{StartConfig, TrainConfig, default_config};
    use crate::metrics::EpochMetrics;

    #[test]
    fn hints_are_given_where_the_last_epoch_was_the_best_and_where_few_texts_judged() {
        let said = |epochs: &[u64], valid_accuracy| {
            let best = |&epoch: &u64| EpochMetrics { epoch, valid_accuracy, ..EpochMetrics::default() };
            let best: Vec<EpochMetrics> = epochs.iter().map(best).collect();
            still_improving(best.iter(), 10).is_some()
        };
        assert!(said(&[10], 0.9) && said(&[10, 10, 4], 0.9));
        let own = default_config();
        assert!(too_few_to_judge(4, &own).is_some_and(|hint| hint.contains("4 texts") && hint.contains("--folds 5")));
        assert_eq!((too_few_to_judge(0, &own), too_few_to_judge(50, &own)), (None, None));
        let onward = TrainConfig { start: Some(StartConfig { run: "run".into(), sha256: String::new() }), ..own };
        assert!(too_few_to_judge(4, &onward).is_some_and(|hint| hint.contains("--valid") && !hint.contains("folds")));
        assert!(!said(&[9], 0.9) && !said(&[10, 4], 0.9) && !said(&[10], 1.0));
    }
}
