//! What the tests between the crates share: [`models`] with random weights, [`training`] for those that learn, and [`tolerances`], the
//! one table of what "close" means.
//!
//! A file in `tests/` holds one promise, and its test names are the promise's sentences.

// A panic is how a test says that its ground is not there.
#![allow(clippy::missing_panics_doc)]

pub mod chains;
pub mod models;
pub mod records;
pub mod tolerances;
pub mod training;
