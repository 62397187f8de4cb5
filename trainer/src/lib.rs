//! Latch's trainer: the command `latch` and its library.
//!
//! ```text
//! dataset -> vocabulary -> batches -> network + bptt + optimizer -> run folder -> quantizer -> image -> evaluate
//! ```
//!
//! - [`dataset`] loads labelled texts and divides them; [`vocabulary`] chooses words with the engine's tokenizer; [`batches`] orders them.
//! - [`network`], [`bptt`] and [`optimizer`] learn, by the [`products`] of [`real`] numbers; [`training`] is the loop, [`run`] the folder in which it leaves its traces.
//! - [`quantizer`] turns a network into an image, [`folding`] trades flash for time in it; [`evaluate`] runs the engine on it, so that a reported accuracy is the device's.
//! - [`distillation`] asks other runs what they think of the training texts.
//! - [`calibration`] says how sure answers are, and puts it right; [`early`] finds out when one is certain before the text ends.
//! - [`exchange`] writes a network for PyTorch or Keras, and reads what they trained.
//! - [`search`] tries many models within a budget of bytes and time, and keeps the best.
//! - [`cli`] is what a user types, one verb a file; [`error`] says what is the user's fault and what is ours.
//!
//! What it promises: results depend on the configuration, the data and the seed alone, not on the number of threads; and no command
//! leaves a half-written file ([`files`]).

pub mod batches;
pub mod bptt;
pub mod calibration;
pub mod cli;
pub mod distillation;
pub mod early;
pub mod evaluate;
pub mod exchange;
pub mod folding;
pub mod network;
pub mod ngrams;
pub mod optimizer;
pub mod products;
pub mod quantizer;
pub mod real;
pub mod report;
pub mod run;
pub mod search;
pub mod training;
pub mod vocabulary;

pub use latch_data::{dataset, error, files};
