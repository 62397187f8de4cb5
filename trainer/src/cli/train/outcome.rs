//! How a run ended, in words and as JSON.

use serde::Serialize;

use crate::cli::output::{PerClass, warn};
use crate::config::{ClassWeights, RunConfig};
use crate::learning::verdict::{Chosen, Verdict};
use crate::metrics::scores::Scores;
use crate::report::classes::{never_answered, worst_classes};
use crate::shown::shown;

/// How the classes fare on the validation part; nothing of numbers.
#[derive(Serialize)]
pub(super) struct Classes<'a> {
    macro_f1: f64,
    balanced_accuracy: f64,
    per_class: Vec<PerClass<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    never_answered: Vec<&'a str>,
    /// The logit from which on the second class is answered, where it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f32>,
}

impl<'a> Classes<'a> {
    /// What a verdict and its scores say of classes with these names.
    pub(super) fn of(scores: &Scores, verdict: &Verdict, names: &'a [String]) -> Self {
        Classes {
            macro_f1: scores.macro_f1,
            balanced_accuracy: scores.balanced_accuracy,
            per_class: PerClass::of(scores, names),
            never_answered: scores.never_answered().into_iter().map(|class| &*names[class]).collect(),
            threshold: verdict.threshold.map(|threshold| threshold.logit),
        }
    }
}

/// How the classes fare on the validation part, in words; `things` says what was judged.
pub(super) fn classes_words(scores: &Scores, verdict: &Verdict, config: &RunConfig, things: &str) -> String {
    let (names, count) = (&config.classes, scores.classes.iter().map(|class| class.support).sum::<u64>());
    let of = if config.train.task.each_step() { "tokens" } else { "texts" };
    let mut text = format!(
        "macro F1 {:.2} %, balanced accuracy {:.2} % of {count} {of}, {things}",
        100.0 * scores.macro_f1,
        100.0 * scores.balanced_accuracy
    );
    if let Some(Chosen { class, logit, f1 }) = verdict.threshold {
        let name = |class: usize| names.get(class).map_or_else(|| class.to_string(), |name| shown(name).into_owned());
        let probability = 1.0 / (1.0 + f64::from(-logit).exp());
        text += &format!(
            "\nthreshold: {} from a probability of {probability:.3} on, where the F1 of {} is highest, {:.2} %",
            name(1),
            name(class),
            100.0 * f1
        );
    }
    format!("{text}\n\n{}", worst_classes(scores, names).trim_end())
}

/// Warns of what is wrong with the answers.
pub(super) fn warn_of(verdict: &Verdict, scores: Option<&Scores>, config: &RunConfig) {
    if let Some(warning) = &verdict.useless {
        warn(format_args!("{warning}"));
    }
    let things = if config.train.task.each_step() { "validation tokens" } else { "validation texts" };
    if let Some(warning) = scores.and_then(|scores| never_answered(scores, &config.classes, things)) {
        let remedy = match config.train.class_weights {
            ClassWeights::None => "; --class-weights balanced makes rare classes count more",
            _ => "",
        };
        warn(format_args!("{warning}{remedy}"));
    }
}
