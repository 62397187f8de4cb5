//! Labelled texts and time series: where they come from, how they are checked and divided, and how files are written so that they are whole or absent.
//!
//! - [`dataset`] streams and loads texts in every format, divides them without a leak, makes a built-in set, and fetches IMDb's reviews.
//! - [`composed`] brings text into Unicode's form NFC, as everything that reads a text here does.
//! - [`counted`] writes a number with the thing that it counts, in the singular or the plural.
//! - [`series`] loads recordings of sensors in every format, divides them without a leak, and cuts them into windows.
//! - [`error`] marks what is the input's or the user's fault, with place and remedy.
//! - [`shown`] escapes what a terminal would obey in a text from outside.
//! - `wheel` fetches data that is published within a Python package, once.
//! - `misuse` says in plain words what is wrong with an option's value (feature `clap`).
//! - [`files`] writes to a temporary name and renames.
//!
//! Trainer and simulator both read data, and the trainer runs the simulator; so this lies below the two.

pub mod composed;
pub mod counted;
pub mod dataset;
pub mod error;
pub mod files;
mod frames;
#[cfg(feature = "clap")]
pub mod misuse;
pub mod series;
pub mod shown;
mod wheel;
