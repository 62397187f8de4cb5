//! Latch's trainer: the command `latch` and its library.
//!
//! ```text
//! dataset -> vocabulary -> batches -> network + bptt + optimizer -> run folder -> quantizer -> image -> evaluate
//! ```
//!
//! - [`dataset`] loads labelled texts and divides them; [`vocabulary`] chooses words with the engine's tokenizer; [`batches`] orders them.
//! - [`network`], [`bptt`] and [`optimizer`] learn; [`training`] is the loop, [`run`] the folder in which it leaves its traces.
//! - [`quantizer`] turns a network into an image, [`folding`] trades flash for time in it; [`evaluate`] runs the engine on it, so that a reported accuracy is the device's.
//! - [`exchange`] writes a network for PyTorch or Keras, and reads what they trained.
//! - [`cli`] is what a user types, one verb a file; [`error`] says what is the user's fault and what is ours.
//!
//! What it promises: results depend on the configuration, the data and the seed alone, not on the number of threads; and no command
//! leaves a half-written file ([`files`]).

pub mod batches;
pub mod bptt;
pub mod cli;
pub mod evaluate;
pub mod exchange;
pub mod folding;
pub mod network;
pub mod ngrams;
pub mod optimizer;
pub mod quantizer;
pub mod real;
pub mod report;
pub mod run;
pub mod training;
pub mod vocabulary;

pub use latch_data::{dataset, error, files};
