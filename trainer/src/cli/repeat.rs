//! The `latch.toml` of a run that no command line of `latch train` began: a trial of a search, a demo's.

use std::ffi::OsString;

use clap::ValueEnum;
use latch_engine::input::text::Tokens;

use super::train::{NOT_OF_A_RUN, command};
use crate::config::{RunConfig, Valid};
use crate::runs::folder::SETTINGS_HEADING;
use crate::settings::Settings;

/// The options of `latch train` that repeat a run, as a file; `None` where they say less than the configuration. `tokens` are those that were asked
/// for, if any were.
pub(super) fn options_of(config: &RunConfig, tokens: Option<Tokens>) -> Option<String> {
    let RunConfig { train, data, columns, valid, .. } = config;
    let mut line: Vec<OsString> = vec!["train".into(), "--out".into(), ".".into(), "--data".into(), data.into()];
    let mut option = |name: &str, value: String| line.push(format!("--{name}={value}").into());
    match valid {
        Valid::Fraction(share) => option("valid", share.to_string()),
        Valid::Path(path) => option("valid", path.to_str()?.to_owned()),
        // Of a cross-validation the whole is repeated, not a part.
        Valid::Fold(_) | Valid::All { .. } => return None,
    }
    for (name, said) in [
        ("label-column", &columns.label),
        ("text-column", &columns.text),
        ("label-pattern", &columns.pattern),
        ("encoding", &columns.encoding),
    ] {
        if let Some(said) = said {
            option(name, said.clone());
        }
    }
    columns.map.iter().for_each(|(from, to)| option("label-map", format!("{from}={to}")));
    if let Some(tokens) = tokens {
        let name = match tokens {
            Tokens::Words => "words",
            Tokens::Syllables => "syllables",
            Tokens::Characters => "chars",
            Tokens::CasedCharacters => "chars-cased",
        };
        option("tokens", name.to_owned());
    }
    if let Some(fold) = train.leave_out {
        option("leave-out", format!("{}/{}", fold.number, fold.of));
    }
    if let Some(augment) = train.augment {
        option("augment", augment.to_string());
    }
    if let Some(warm_up) = &train.warm_up {
        option("warm-up", warm_up.to_string());
    }
    if let Some(steps) = train.carry {
        option("window", steps.to_string());
    }
    option("class-weights", train.class_weights.to_string());
    for (name, value) in
        [("select", train.select.to_possible_value()), ("threshold", train.threshold.to_possible_value())]
    {
        option(name, value?.get_name().to_owned());
    }
    option("task", train.task.name().to_owned());
    match &train.start {
        Some(start) => option("resume-from", start.run.to_str()?.to_owned()),
        None => option("model", train.model.to_string()),
    }
    for (name, value) in [
        ("epochs", train.epochs),
        ("batch", train.batch as u64),
        ("seed", train.seed),
        ("max-tokens", train.max_tokens as u64),
        ("patience", train.patience),
    ] {
        option(name, value.to_string());
    }
    for (name, value) in [
        ("lr", train.learning_rate),
        ("clip-norm", train.clip_norm),
        ("weight-decay", train.weight_decay),
        ("label-smoothing", train.label_smoothing),
        ("average", train.average),
    ] {
        option(name, value.to_string());
    }
    if train.carry.is_some() {
        line.push("--carry".into());
    }
    let command = command();
    let matches = command.clone().try_get_matches_from(line).ok()?;
    Some(Settings::new(&command, &NOT_OF_A_RUN).resolved(SETTINGS_HEADING, &matches, &[]))
}
