//! From the cells of a file to the values of a recording: numbers, missing ones, and channels that are chosen.

use super::{MAX_CHANNELS, Missing};
use crate::counted::counted;
use crate::dataset::{Place, in_units, list, memory_limit, quoted};
use crate::error::{Fault, fault};

/// What stands for a value that is not there.
const MISSING: [&str; 7] = ["", "?", "nan", "na", "n/a", "null", "none"];

/// The largest magnitude of a value: what a network computes of such values, sums of their products with weights among them, stays within `f32`.
pub(super) const LARGEST: f32 = 1e18;

/// What to do about a value beyond it.
pub(super) const TOO_LARGE: &str = "write a number of at most 1e18; another unit makes it smaller";

/// Whether a cell says that its value is missing.
pub(super) fn is_missing(cell: &str) -> bool {
    let cell = cell.trim();
    cell.len() <= 4 && MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// A finite number.
    Value(f32),
    /// Nothing.
    Missing,
    /// A number beyond [`LARGEST`].
    TooLarge,
    /// No number.
    Other,
}

impl Cell {
    /// Reads a cell with a decimal point.
    pub(super) fn of(cell: &str) -> Self {
        let cell = cell.trim();
        match cell.parse::<f32>() {
            Ok(value) if value.abs() <= LARGEST => Cell::Value(value),
            _ if is_missing(cell) => Cell::Missing,
            // `inf` and its like are words, `1e99` is a number.
            Ok(_) if cell.bytes().any(|byte| byte.is_ascii_digit()) => Cell::TooLarge,
            _ => Cell::Other,
        }
    }

    /// The value, NaN for a missing one that is to be filled; `at` says which one it is, behind its place.
    ///
    /// # Errors
    /// A fault at `place` for anything else.
    pub(super) fn value(
        self,
        cell: &str,
        missing: Missing,
        place: impl FnOnce() -> String,
        at: impl FnOnce() -> String,
    ) -> Result<f32, Fault> {
        match self {
            Cell::Value(value) => Ok(value),
            Cell::Missing if missing != Missing::Refuse => Ok(f32::NAN),
            Cell::Missing => Err(fault(
                place(),
                format!("the value of {} is missing ({})", at(), quoted(cell.trim())),
                "write it, or fill such values: --missing hold repeats the one before, --missing zero writes 0",
            )),
            Cell::TooLarge => {
                Err(fault(place(), format!("the value of {} is too large: {}", at(), quoted(cell.trim())), TOO_LARGE))
            }
            Cell::Other => Err(fault(
                place(),
                format!("the value of {} is no finite number: {}", at(), quoted(cell.trim())),
                number_remedy(cell),
            )),
        }
    }
}

/// What to do about a cell that is no number.
fn number_remedy(cell: &str) -> &'static str {
    if is_decimal_comma(cell) {
        "write it with a decimal point, or separate the columns by semicolons, where a decimal comma is read"
    } else {
        "write a number such as 0.25, or ? where there is no value"
    }
}

/// Whether a cell is a number with a decimal comma.
pub(super) fn is_decimal_comma(cell: &str) -> bool {
    let cell = cell.trim();
    cell.matches(',').count() == 1 && !cell.contains('.') && matches!(Cell::of(&cell.replace(',', ".")), Cell::Value(_))
}

/// Checks that so many values are no more than the memory that is permitted.
///
/// # Errors
/// A fault at `place`.
pub(super) fn check_memory(values: u64, place: &Place) -> Result<(), Fault> {
    let most = memory_limit();
    if values.saturating_mul(size_of::<f32>() as u64) <= most {
        return Ok(());
    }
    let problem = format!("with these values a recording takes more than {} of memory", in_units(most));
    Err(fault(place, problem, "divide it, or permit more with --max-memory"))
}

/// How many missing values were filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// All of them.
    pub values: usize,
    /// Those that were to hold a value, and became zero because their channel has none in the recording.
    pub without_any: usize,
}

impl Filled {
    /// What was filled and how, in words; `None` where nothing was.
    #[must_use]
    pub fn words(self, missing: Missing) -> Option<String> {
        let Self { values, without_any } = self;
        let how = |count: usize, how: &str| format!("{} filled with {how}", counted(count, "missing value"));
        let held = |count| how(count, if count == 1 { "the one before it" } else { "the one before them" });
        let zero = |count| how(count, "zero") + ": their channel has no value in its series";
        Some(match (missing, values - without_any, without_any) {
            (_, 0, 0) => return None,
            (Missing::Hold, count, 0) => held(count),
            (Missing::Hold, 0, empty) => zero(empty),
            (Missing::Hold, count, empty) => format!("{}, {}", held(count), zero(empty)),
            _ => how(values, "zero"),
        })
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { values: self.values + other.values, without_any: self.without_any + other.without_any }
    }
}

/// Fills the missing values of frames of so many `channels`; gives how many there were.
pub(super) fn fill(frames: &mut [f32], channels: usize, missing: Missing) -> Filled {
    let mut filled = Filled::default();
    for channel in 0..channels {
        // What a recording begins with, where nothing stands before.
        let first = frames.iter().skip(channel).step_by(channels).find(|value| !value.is_nan());
        let is_empty = first.is_none() && missing == Missing::Hold;
        let mut last = first.copied().unwrap_or(0.0);
        for value in frames.iter_mut().skip(channel).step_by(channels) {
            if value.is_nan() {
                *value = if missing == Missing::Hold { last } else { 0.0 };
                filled = filled.and(Filled { values: 1, without_any: usize::from(is_empty) });
            }
            last = *value;
        }
    }
    filled
}

/// The names of `count` channels that nobody has named: their numbers from 1.
pub(super) fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|channel| channel.to_string()).collect()
}

/// Which of the `names` are `wanted`, by name or by number from 1; all where nothing is wanted.
///
/// # Errors
/// A fault that lists what there is.
pub(super) fn chosen(names: &[String], wanted: &[String], place: &str) -> Result<Vec<usize>, Fault> {
    let mut places: Vec<usize> = Vec::with_capacity(wanted.len());
    for name in wanted {
        let name = name.trim();
        let by_name = names.iter().position(|other| other.trim().eq_ignore_ascii_case(name));
        let by_number =
            || name.parse().ok().filter(|number| (1..=names.len()).contains(number)).map(|number| number - 1);
        let Some(found) = by_name.or_else(by_number) else {
            let problem = format!("{place} has no channel {}; its channels are {}", quoted(name), list(names));
            return Err(fault("--channels", problem, "name some of these, or their numbers from 1"));
        };
        if places.contains(&found) {
            return Err(fault("--channels", format!("the channel {} is named twice", quoted(name)), "name it once"));
        }
        places.push(found);
    }
    let places = if wanted.is_empty() { (0..names.len()).collect() } else { places };
    if places.len() > MAX_CHANNELS {
        let problem = format!("{place} has {} channels, and a network reads at most {MAX_CHANNELS}", places.len());
        return Err(fault("--channels", problem, "name those that matter"));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_finite_number_or_missing_or_neither() {
        for (cell, expected) in [
            (" 1.5 ", Cell::Value(1.5)),
            ("-2e-3", Cell::Value(-2e-3)),
            ("+7", Cell::Value(7.0)),
            ("", Cell::Missing),
            ("?", Cell::Missing),
            ("NaN", Cell::Missing),
            ("N/A", Cell::Missing),
            ("1e18", Cell::Value(1e18)),
            ("-1.1e18", Cell::TooLarge),
            ("1e99", Cell::TooLarge),
            ("inf", Cell::Other),
            ("Infinity", Cell::Other),
            ("1,5", Cell::Other),
            ("abc", Cell::Other),
        ] {
            assert_eq!(Cell::of(cell), expected, "{cell}");
        }
        assert!(is_decimal_comma("-1,5") && !is_decimal_comma("1,234.5") && !is_decimal_comma("1,2,3"));
    }

    #[test]
    fn missing_values_are_held_or_zero_and_the_start_takes_the_first_that_is_there() {
        let nan = f32::NAN;
        let frames = [nan, 1.0, 5.0, nan, nan, 3.0, 7.0, nan];
        let mut held = frames;
        assert_eq!(fill(&mut held, 2, Missing::Hold), Filled { values: 4, without_any: 0 });
        assert_eq!(held, [5.0, 1.0, 5.0, 1.0, 5.0, 3.0, 7.0, 3.0]);
        let mut zero = frames;
        fill(&mut zero, 2, Missing::Zero);
        assert_eq!(zero, [0.0, 1.0, 5.0, 0.0, 0.0, 3.0, 7.0, 0.0]);
        let mut none = [nan; 2];
        let filled = fill(&mut none, 1, Missing::Hold);
        assert_eq!((none, filled), ([0.0; 2], Filled { values: 2, without_any: 2 }));
    }

    #[test]
    fn what_was_filled_is_said_with_the_values_that_had_nothing_to_hold() {
        let words = |values, without_any, missing| Filled { values, without_any }.words(missing).unwrap_or_default();
        assert_eq!(words(0, 0, Missing::Hold), "");
        assert_eq!(words(1, 0, Missing::Hold), "1 missing value filled with the one before it");
        assert_eq!(words(3, 0, Missing::Hold), "3 missing values filled with the one before them");
        assert_eq!(words(3, 0, Missing::Zero), "3 missing values filled with zero");
        assert_eq!(
            words(3, 2, Missing::Hold),
            "1 missing value filled with the one before it, 2 missing values filled with zero: their channel has no value in its series"
        );
    }

    #[test]
    fn channels_are_chosen_by_name_or_number_in_the_order_that_is_asked_for() {
        let names: Vec<String> = ["ax", "ay", "7"].map(str::to_owned).into();
        let choose = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
            chosen(&names, &wanted, "a.csv").map_err(|fault| fault.to_string())
        };
        assert_eq!(choose(&[]).unwrap(), [0, 1, 2]);
        assert_eq!(choose(&["AY", "1"]).unwrap(), [1, 0]);
        assert_eq!(choose(&["7"]).unwrap(), [2]);
        assert!(choose(&["az"]).unwrap_err().contains("a.csv has no channel \"az\"; its channels are ax, ay, 7"));
        assert!(choose(&["ax", "1"]).unwrap_err().contains("named twice"));
        assert!(chosen(&numbered(65), &[], "a.ts").unwrap_err().to_string().contains("65 channels"));
    }
}
