//! The comparison with other engines: one LSTM step, batch 1, its state carried from step to step; and one of a GRU and a simple cell.
//!
//! `cargo xtask peers` does all of it:
//!
//! ```text
//! cells (weights, inputs, the right answer) -> every engine checks itself and times itself, round after round -> table, plot, page
//! ```
//!
//! - [`cell`] is what all engines compute: the same weights, the same inputs, and the answer in f64.
//! - [`onnx`] writes a cell as the model that most of them read.
//! - [`clock`] times a step, and [`roofline`] what the processor can do at most.
//! - [`rounds`] merges what the rounds measured into medians, ranges and paired ratios; `page`, with the tables of `cells`, and `plot` show them.
//!
//! The engines themselves are dependencies of the package in `benches/peers/` alone.

pub mod cell;
pub mod clock;
pub mod onnx;
pub mod roofline;
pub mod rounds;

#[cfg(feature = "images")]
pub mod cells;
#[cfg(feature = "images")]
pub mod page;
#[cfg(feature = "images")]
pub mod plot;
#[cfg(feature = "images")]
pub mod prepare;
#[cfg(feature = "images")]
pub mod table;
