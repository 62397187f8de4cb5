//! The data of a run as it was read, texts or series.

use super::summary::Facts;
use crate::dataset::{Example, Label};

/// The data of a run.
pub struct Loaded {
    /// The training part; none where a network was imported without data.
    pub training: Vec<Example<Label>>,
    /// The validation part, likewise.
    pub validation: Vec<Example<Label>>,
    /// The digest of a validation part that has data of its own.
    pub valid_sha256: Option<String>,
    /// What was read, in one line.
    pub summary: String,
    /// What a person may want to know of it, a line each.
    pub notes: Vec<String>,
    /// The same in numbers; without those of the words.
    pub facts: Facts,
}
