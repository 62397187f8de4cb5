//! How numbers on a command line are read, each with a sentence for what it does not take.

use std::time::Duration;

use crate::config::MAX_BATCH;

pub(in crate::cli) fn positive(text: &str) -> Result<usize, String> {
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
pub(in crate::cli) fn rate(text: &str) -> Result<f64, String> {
    number(text, |rate| rate > 0.0 && rate.is_finite(), "a positive number")
}

/// A share that is not the whole.
pub(in crate::cli) fn below_one(text: &str) -> Result<f64, String> {
    number(text, |share| (0.0..1.0).contains(&share), "a number from 0 to below 1")
}

/// A share that may be the whole.
pub(in crate::cli) fn up_to_one(text: &str) -> Result<f64, String> {
    number(text, |share| (0.0..=1.0).contains(&share), "a number from 0 to 1")
}

/// A temperature of a softmax.
pub(in crate::cli) fn temperature(text: &str) -> Result<f64, String> {
    number(text, |temperature| (0.01..=100.0).contains(&temperature), "a number from 0.01 to 100")
}

/// Texts of a batch.
pub(in crate::cli) fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(texts) if (1..=MAX_BATCH).contains(&texts) => Ok(texts),
        _ => Err(format!("{text} must be a whole number from 1 to {MAX_BATCH}")),
    }
}

pub(in crate::cli) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "must be seconds from 0".into())
}

/// A share from 0 to below 1, as `0.5%` or `0.005`.
pub(in crate::cli) fn parse_share(text: &str) -> Result<f64, String> {
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
pub(in crate::cli) fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = match text.strip_suffix("KiB") {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix("MiB").map_or((text, 1), |number| (number, 1 << 20)),
    };
    let bytes = number.trim_end().parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("{text:?} is not a size; write 262144, 256KiB or 1MiB"))
}

pub(in crate::cli) fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes: &f64| *minutes > 0.0 && *minutes <= 1e6);
    minutes.ok_or_else(|| "must be a positive number of minutes".into())
}

/// A time in microseconds.
pub(in crate::cli) fn microseconds(text: &str) -> Result<f64, String> {
    let units = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))
        .and_then(|(number, factor)| Some(number.trim_end().parse::<f64>().ok()? * factor))
        .filter(|time| *time > 0.0 && time.is_finite())
        .ok_or_else(|| format!("{text:?} is not a time; write 500us, 2ms or 1s"))
}

#[cfg(test)]
mod tests;
