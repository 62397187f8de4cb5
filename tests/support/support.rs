//! What the tests between the crates share: [`models`] with random weights, [`training`] for those that learn, and [`tolerances`], the
//! one table of what "close" means.
//!
//! A file in `tests/` holds one promise, and its test names are the promise's sentences.

pub mod models;
pub mod tolerances;
pub mod training;
