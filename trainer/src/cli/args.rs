//! Options that several verbs share, and how their values are read.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use latch_engine::input::text::Tokens as Units;

use crate::config::{MAX_BATCH, Valid};
use crate::dataset::{Part, has_part};
use crate::search::candidates::Budget;

/// `--tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TokensArg {
    /// Words and punctuation marks
    Words,
    /// Words and marks, and each Hangul syllable as a token of its own
    Syllables,
    /// Syllables where more than half of the training texts' letters are Hangul
    Auto,
}

impl TokensArg {
    /// The units; `None` where the texts are to decide.
    pub(super) fn units(self) -> Option<Units> {
        match self {
            TokensArg::Words => Some(Units::Words),
            TokensArg::Syllables => Some(Units::Syllables),
            TokensArg::Auto => None,
        }
    }
}

pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text} must be a whole number from 1")),
        Ok(number) => Ok(number),
    }
}

/// A number within bounds, which `range` says in words.
fn number(text: &str, fits: impl Fn(f64) -> bool, range: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if fits(number) { Ok(number) } else { Err(format!("{text} must be {range}")) }
}

/// A rate: finite and above 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    number(text, |rate| rate > 0.0 && rate.is_finite(), "a positive number")
}

/// A share that is not the whole.
pub(super) fn below_one(text: &str) -> Result<f64, String> {
    number(text, |share| (0.0..1.0).contains(&share), "a number from 0 to below 1")
}

/// A share that may be the whole.
pub(super) fn up_to_one(text: &str) -> Result<f64, String> {
    number(text, |share| (0.0..=1.0).contains(&share), "a number from 0 to 1")
}

/// A temperature of a softmax.
pub(super) fn temperature(text: &str) -> Result<f64, String> {
    number(text, |temperature| (0.01..=100.0).contains(&temperature), "a number from 0.01 to 100")
}

/// Texts of a batch.
pub(super) fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(texts) if (1..=MAX_BATCH).contains(&texts) => Ok(texts),
        _ => Err(format!("{text} must be a whole number from 1 to {MAX_BATCH}")),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "must be seconds from 0".into())
}

/// `--valid`: a share if it reads as a number between 0 and 1, else a path.
#[derive(Clone, Debug)]
pub(super) struct ValidArg(pub(super) Valid);

impl FromStr for ValidArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if share > 0.0 && share < 1.0 => Ok(ValidArg(Valid::Fraction(share))),
            Ok(_) => Err(format!("{text} is a number, but not a share between 0 and 1")),
            Err(_) => Ok(ValidArg(Valid::Path(text.into()))),
        }
    }
}

impl ValidArg {
    /// The validation part, its path from the root.
    pub(super) fn absolute(self) -> Valid {
        match self.0 {
            Valid::Path(path) => Valid::Path(absolute(&path)),
            share => share,
        }
    }
}

/// The validation part where none is asked for: the data's own, or this share of it.
const VALID: f64 = 0.1;

/// The validation part that was asked for; else the data's own where it is a folder that has one, else a tenth of the data.
pub(super) fn valid_of(asked: Option<&ValidArg>, data: &Path) -> Valid {
    match asked {
        Some(asked) => asked.clone().absolute(),
        None if has_part(data, Part::Valid) => Valid::Path(absolute(data)),
        None => Valid::Fraction(VALID),
    }
}

/// The path from the root, so that a run finds its data from any folder.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A share from 0 to below 1, as `0.5%` or `0.005`.
pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("must be a share such as 0.5% or 0.005, from 0 to below 1".into()),
    }
}

/// A number of bytes as people write it: `262144`, `256KiB` or `1MiB`.
///
/// # Errors
/// A sentence that says how, for anything else.
pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = match text.strip_suffix("KiB") {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix("MiB").map_or((text, 1), |number| (number, 1 << 20)),
    };
    let bytes = number.trim_end().parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("{text:?} is not a size; write 262144, 256KiB or 1MiB"))
}

/// What an image may take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BudgetArgs {
    /// Maximum size of the image, including tokenizer and vocabulary: 65536, 64KiB or 1MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    flash: Option<usize>,
    /// Maximum size of one stream's state in RAM, in bytes
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, requires = "flash")]
    ram: Option<usize>,
    /// Maximum time for a token on --board (upper end of the estimate): 500us, 2ms
    #[arg(long, value_name = "TIME", value_parser = microseconds, requires_all = ["flash", "board"])]
    latency: Option<f64>,
    /// Chip to estimate the time for; `latch-sim parts` lists them
    #[arg(long, requires = "flash")]
    board: Option<String>,
    /// Number of candidates in the first round
    #[arg(long, default_value_t = TRIALS, value_parser = positive, requires = "flash")]
    trials: usize,
    /// Start no new trial after this many minutes. The result then depends on the speed of the machine
    #[arg(long, value_parser = minutes, requires = "flash")]
    minutes: Option<f64>,
}

impl BudgetArgs {
    /// The budget, the candidates and the minutes of a search; `None` where no flash is given.
    pub(super) fn search(self) -> Option<(Budget, usize, Option<f64>)> {
        let BudgetArgs { flash, ram, latency, board, trials, minutes } = self;
        flash.map(|flash| (Budget { flash, ram, board, latency }, trials, minutes))
    }
}

/// Candidates where none are asked for.
const TRIALS: usize = 18;

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes: &f64| *minutes > 0.0 && *minutes <= 1e6);
    minutes.ok_or_else(|| "must be a positive number of minutes".into())
}

/// A time in microseconds.
pub(super) fn microseconds(text: &str) -> Result<f64, String> {
    let units = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))
        .and_then(|(number, factor)| Some(number.trim_end().parse::<f64>().ok()? * factor))
        .filter(|time| *time > 0.0 && time.is_finite())
        .ok_or_else(|| format!("{text:?} is not a time; write 500us, 2ms or 1s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_three_ways_and_nothing_else_is() {
        assert_eq!(parse_bytes("262144"), Ok(262_144));
        assert_eq!(parse_bytes("256KiB"), Ok(262_144));
        assert_eq!(parse_bytes("2 MiB"), Ok(2_097_152));
        for text in ["", "KiB", "256KB", "-1", "1.5MiB", "0x10", "99999999999999MiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit_and_nothing_else_is() {
        assert_eq!(microseconds("500us"), Ok(500.0));
        assert_eq!(microseconds("1.5 ms"), Ok(1_500.0));
        assert_eq!(microseconds("1s"), Ok(1e6));
        for text in ["", "500", "us", "-1ms", "0us", "infs", "NaNs"] {
            assert!(microseconds(text).is_err(), "{text}");
        }
    }
}
