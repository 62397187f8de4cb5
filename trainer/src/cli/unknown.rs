//! What verbs say of the tokens that a model does not know.

use anyhow::Result;
use serde::Serialize;

use super::output::{answer, warn};
use crate::unknown::{UnknownByPart, UnknownTokens, warning};

/// The unknown tokens of a run's parts and of other texts.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Unknown<'a> {
    /// Of the run's parts.
    #[serde(flatten)]
    parts: Option<&'a UnknownByPart>,
    /// Of the texts of `--data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a UnknownTokens>,
}

impl<'a> Unknown<'a> {
    /// Says how many there are, and warns where they are many.
    pub(super) fn say(json: bool, parts: Option<&'a UnknownByPart>, data: Option<&'a UnknownTokens>) -> Result<Self> {
        if let Some(words) = parts.and_then(UnknownByPart::words) {
            answer(json, format_args!("{words}"))?;
        }
        match data {
            Some(data) => {
                answer(json, format_args!("unknown tokens of --data: {}", data.words()))?;
                warn_of(data);
            }
            None => warn_of_all(parts.and_then(UnknownByPart::warning)),
        }
        Ok(Unknown { parts, data })
    }
}

/// Warns where many tokens of the texts are unknown.
pub(super) fn warn_of(texts: &UnknownTokens) {
    warn_of_all(warning(&[("texts", texts)]));
}

fn warn_of_all(warning: Option<String>) {
    if let Some(warning) = warning {
        warn(format_args!("{warning}"));
    }
}
