//! What every stream of an image has read before its first step: `--warm-up`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most frames of a warm-up.
const MOST_FRAMES: usize = 1_000_000;

/// The prefix of every stream: a number of frames of rest, or a text, as the model reads samples or text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WarmUp(String);

impl WarmUp {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The frames, where it is a number of them.
    pub fn frames(&self) -> Option<usize> {
        self.0.trim().parse().ok().filter(|frames| (1..=MOST_FRAMES).contains(frames))
    }

    /// What it must be for a model of samples whose answers are so many frames apart, where it is not.
    pub fn misfit(&self, stride: usize) -> Option<String> {
        match self.frames() {
            None => Some(format!("a number of frames from 1 to {MOST_FRAMES} where the model reads samples")),
            Some(frames) if !frames.is_multiple_of(stride) => {
                Some(format!("a multiple of {stride}, the stride of the model"))
            }
            Some(_) => None,
        }
    }
}

impl FromStr for WarmUp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must be a number of frames, such as 250, or for a model of text a text".to_owned());
        }
        Ok(WarmUp(text.to_owned()))
    }
}

impl TryFrom<String> for WarmUp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<WarmUp> for String {
    fn from(warm_up: WarmUp) -> Self {
        warm_up.0
    }
}

impl fmt::Display for WarmUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_of_samples_is_a_number_of_frames_that_the_strides_divide() {
        let of = |text: &str| text.parse::<WarmUp>().unwrap();
        assert_eq!((of("250").frames(), of("250").misfit(1), of("250").misfit(5)), (Some(250), None, None));
        assert!(of("250").misfit(3).unwrap().contains("multiple of 3"));
        for wrong in ["0", "-1", "1.5", "1000001", "some words"] {
            assert!(of(wrong).misfit(1).unwrap().contains("from 1 to 1000000"), "{wrong}");
        }
        assert!("".parse::<WarmUp>().is_err() && " \t".parse::<WarmUp>().is_err());
        let json = serde_json::to_string(&of("250")).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str::<WarmUp>(&json).unwrap()), ("\"250\"", of("250")));
        assert!(serde_json::from_str::<WarmUp>("\"\"").is_err());
    }
}
