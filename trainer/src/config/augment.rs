//! What is changed at random in the series that a network learns from: `--augment`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most of noise, in standard deviations.
const MOST_NOISE: f64 = 10.0;

/// The most steps of a shift.
const MOST_SHIFT: u32 = 1_000_000;

/// Random changes of the series in the training part, drawn anew for each epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Augment {
    /// The standard deviation of what is added to each value, in standard deviations of its channel.
    pub noise: f64,
    /// The standard deviation of the gain of a series around 1.
    pub scale: f64,
    /// The most steps by which a series is moved, forwards or backwards.
    pub shift: u32,
}

impl FromStr for Augment {
    type Err = String;

    /// Reads `noise=0.05,scale=0.1,shift=4`, or some of it.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut augment, mut seen) = (Augment::default(), Vec::new());
        for part in text.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or_else(|| {
                format!(
                    "`{}` is no change: known are noise=, scale= and shift=, as in `noise=0.05,scale=0.1`",
                    part.trim()
                )
            })?;
            if seen.contains(&name) {
                return Err(format!("`{name}` is said twice"));
            }
            seen.push(name);
            let number = |most: f64, what: &str| {
                let number = value.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= most);
                number.ok_or_else(|| format!("`{name}` is {what}, a number above 0 and up to {most}, not `{value}`"))
            };
            match name {
                "noise" => augment.noise = number(MOST_NOISE, "in standard deviations of a channel")?,
                "scale" => augment.scale = number(1.0, "the deviation of a gain around 1")?,
                "shift" => {
                    let shift = value.parse().ok().filter(|shift| (1..=MOST_SHIFT).contains(shift));
                    let problem =
                        || format!("`shift` is in steps, a whole number from 1 to {MOST_SHIFT}, not `{value}`");
                    augment.shift = shift.ok_or_else(problem)?;
                }
                _ => return Err(format!("`{name}=` is unknown: known are noise=, scale= and shift=")),
            }
        }
        Ok(augment)
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (name, value) in [("noise", self.noise), ("scale", self.scale), ("shift", f64::from(self.shift))] {
            if value > 0.0 {
                parts.push(format!("{name}={value}"));
            }
        }
        f.write_str(&parts.join(","))
    }
}

impl From<Augment> for String {
    fn from(augment: Augment) -> Self {
        augment.to_string()
    }
}

impl TryFrom<String> for Augment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_written_and_a_mistake_is_named() {
        for text in ["noise=0.05,scale=0.1,shift=4", "scale=1", "noise=10,shift=1"] {
            assert_eq!(text.parse::<Augment>().expect(text).to_string(), text);
        }
        let read: Augment = " shift=3, noise=0.5".parse().expect("in any order");
        assert_eq!(read, Augment { noise: 0.5, scale: 0.0, shift: 3 });
        for (text, problem) in [
            ("", "known are noise=, scale= and shift="),
            ("noise", "`noise` is no change"),
            ("noise=0", "above 0 and up to 10, not `0`"),
            ("noise=x", "above 0 and up to 10, not `x`"),
            ("noise=nan", "not `nan`"),
            ("scale=2", "up to 1, not `2`"),
            ("shift=0", "a whole number from 1"),
            ("shift=1.5", "a whole number from 1"),
            ("noise=1,noise=2", "said twice"),
            ("stretch=2", "`stretch=` is unknown"),
        ] {
            let error = text.parse::<Augment>().expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
