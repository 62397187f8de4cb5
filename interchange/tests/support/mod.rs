//! The goldens of other tools: an archive of models, and `cases.json`, what the tool computes of each.

use std::io::{Cursor, Read};
use std::path::Path;

use latch_interchange::Limits;
use serde_json::Value;
use zip::ZipArchive;

pub(crate) const LIMITS: Limits = Limits { rows: 1 << 20, width: 2048, layers: 32 };

/// Largest difference of an output from one that was computed in floats.
pub(crate) const WITHIN: f64 = 1e-5;

/// An archive of goldens.
pub(crate) struct Goldens(ZipArchive<Cursor<Vec<u8>>>);

impl Goldens {
    /// The archive of this name among the goldens.
    pub(crate) fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        Self(ZipArchive::new(Cursor::new(bytes)).expect("it is an archive"))
    }

    /// A file of it.
    pub(crate) fn member(&mut self, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.by_name(name).expect("the archive has it").read_to_end(&mut bytes).expect("it is whole");
        bytes
    }

    /// What it says of its files.
    pub(crate) fn listed(&mut self) -> Value {
        serde_json::from_slice(&self.member("cases.json")).expect("it is JSON")
    }
}

/// The numbers of a case.
pub(crate) fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// The largest difference of answers from those that are expected; NaN is no small one.
pub(crate) fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    differences.fold(0.0, |most: f64, next| if next.is_nan() || next > most { next } else { most })
}

/// Why the answers to a case do not agree with those that are expected, within a difference.
pub(crate) fn disagreement(name: &str, found: &[f64], expected: &[f64], within: f64) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!("{name}: {} answers in place of {}", found.len(), expected.len()));
    }
    let largest = largest_difference(found, expected);
    let agrees = largest <= within;
    (!agrees).then(|| format!("{name}: it differs by {largest:e}: {found:?} in place of {expected:?}"))
}
