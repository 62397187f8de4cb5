//! What the tests between the crates share: [`models`] to test with, and [`tolerances`], the one table of what "close" means.
//!
//! A file in `tests/` holds one promise, and its test names are the promise's sentences.

pub mod models;
pub mod tolerances;
