//! What every stream of an image has read before its first step: `--warm-up`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most frames of a warm-up: at any rate of samples a network has settled long before.
const MOST_FRAMES: usize = 1_000_000;

/// From so many frames on a warm-up takes seconds, and is said before it begins.
const LONG: usize = 20_000;

/// The prefix of every stream. A whole number means frames, and anything else is a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub enum WarmUp {
    /// None, in place of the one that a run says: `none` or `0`.
    Nothing,
    /// Frames in which each channel rests at its mean, for a model of samples.
    Frames(usize),
    /// A text, for a model of text.
    Text(String),
}

/// As `config.json` has it: a number of frames, or a text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Frames(usize),
    Text(String),
}

impl WarmUp {
    /// Says what is read, where that takes seconds.
    pub fn takes_long(&self) -> Option<String> {
        match self {
            WarmUp::Frames(frames) if *frames >= LONG => Some(format!(
                "warm-up: each image reads {frames} frames of rest before it is written; fewer are faster"
            )),
            _ => None,
        }
    }

    /// The prefix, where it is one.
    pub fn prefix(&self) -> Option<&Self> {
        (*self != WarmUp::Nothing).then_some(self)
    }

    /// What it must be for a model of samples whose answers are so many frames apart, where it is not.
    pub fn misfit(&self, stride: usize) -> Option<String> {
        match self {
            WarmUp::Nothing => None,
            WarmUp::Frames(frames) if *frames <= MOST_FRAMES && frames.is_multiple_of(stride) => None,
            WarmUp::Frames(frames) if *frames <= MOST_FRAMES => {
                Some(format!("a multiple of {stride}, the stride of the model"))
            }
            _ => Some(format!("a number of frames from 1 to {MOST_FRAMES}, or none, where the model reads samples")),
        }
    }
}

impl FromStr for WarmUp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("must be a number of frames, such as 250, a text for a model of text, or none".to_owned()),
            "none" => Ok(WarmUp::Nothing),
            number => match number.parse() {
                Ok(0) => Ok(WarmUp::Nothing),
                Ok(frames) => Ok(WarmUp::Frames(frames)),
                Err(_) => Ok(WarmUp::Text(text.to_owned())),
            },
        }
    }
}

impl TryFrom<Stored> for WarmUp {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        match stored {
            Stored::Frames(0) => Ok(WarmUp::Nothing),
            Stored::Frames(frames) => Ok(WarmUp::Frames(frames)),
            Stored::Text(text) => text.parse(),
        }
    }
}

impl From<WarmUp> for Stored {
    fn from(warm_up: WarmUp) -> Self {
        match warm_up {
            WarmUp::Frames(frames) => Stored::Frames(frames),
            other => Stored::Text(other.to_string()),
        }
    }
}

impl fmt::Display for WarmUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WarmUp::Nothing => formatter.write_str("none"),
            WarmUp::Frames(frames) => write!(formatter, "{frames}"),
            WarmUp::Text(text) => formatter.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> WarmUp {
        text.parse().unwrap()
    }

    #[test]
    fn a_warm_up_of_samples_is_a_number_of_frames_that_the_strides_divide() {
        assert_eq!((of(" 250 "), of("250").misfit(1), of("250").misfit(5)), (WarmUp::Frames(250), None, None));
        assert!(of("250").misfit(3).unwrap().contains("multiple of 3"));
        for wrong in ["-1", "1.5", "1000001", "some words"] {
            assert!(of(wrong).misfit(1).unwrap().contains("from 1 to 1000000"), "{wrong}");
        }
        assert!("".parse::<WarmUp>().is_err() && " \t".parse::<WarmUp>().is_err());
    }

    #[test]
    fn none_and_0_are_no_warm_up_for_any_model() {
        for none in ["none", "0", " none "] {
            assert_eq!((of(none).prefix(), of(none).misfit(3)), (None, None), "{none}");
        }
        assert!(of("none of it").prefix().is_some());
    }

    #[test]
    fn a_configuration_may_say_frames_as_a_number_or_as_a_text_of_digits() {
        let read = |json: &str| serde_json::from_str::<WarmUp>(json).unwrap();
        assert_eq!((read("250"), read("\"250\""), read("0")), (of("250"), of("250"), WarmUp::Nothing));
        for kept in ["250", "none", "a film"] {
            assert_eq!(read(&serde_json::to_string(&of(kept)).unwrap()), of(kept));
        }
        assert_eq!(serde_json::to_string(&of("250")).unwrap(), "250");
        assert!(serde_json::from_str::<WarmUp>("\"\"").is_err() && serde_json::from_str::<WarmUp>("-1").is_err());
    }

    #[test]
    fn a_warm_up_that_takes_long_is_said() {
        assert!(of("1000000").takes_long().unwrap().contains("1000000 frames"));
        assert!(of("250").takes_long().is_none() && of("a film").takes_long().is_none());
    }
}
