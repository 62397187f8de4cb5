//! Latch's trainer: the command `latch` and its library.
//!
//! ```text
//! dataset -> vocabulary -> batches -> network + bptt + optimizer -> run folder -> quantizer -> image -> evaluate
//! ```
//!
//! - [`config`] is what a user chooses, [`metrics`] are plain scores; neither knows anything else of the trainer.
//! - [`dataset`] loads labelled texts and divides them; [`vocabulary`] chooses words with the engine's tokenizer; [`batches`] orders them.
//! - [`network`], [`bptt`] and [`optimizer`] learn, by the [`products`] of [`real`] numbers; [`learning`] holds the sequences, the losses and the loop.
//! - [`runs`] begins a run, goes on with it and opens it again; its folder holds all that a run leaves.
//! - [`quantizer`] turns a network into an image, [`folding`] trades flash for time in it; [`evaluate`] runs the engine on it, so that a
//!   reported accuracy is the device's; [`export`] is the way from a run to its image, whoever asks.
//! - [`predict`] says what a model makes of a text, token by token; [`outputs`] gives what it makes of a series as
//!   numbers.
//! - [`distillation`] asks other runs what they think of the training texts.
//! - [`calibration`] puts right how sure answers are; [`early`] finds out when one is certain before the text ends.
//! - [`exchange`] writes a network for PyTorch or Keras, and reads what they trained.
//! - [`defaults`] are the model and the epochs that the data decides where nobody says them.
//! - [`search`] tries many models within a budget of bytes and time, and keeps the best.
//! - [`report`] draws one picture a module; [`run_report`] gathers what a run is, has learned and answers, into one page of them.
//! - [`experiments`] explain what a network can learn, each by a page that it writes.
//! - [`settings`] reads and writes the options of a verb as a file, `latch.toml`.
//! - [`cli`] is what a user types, one verb a file; [`error`] says what is the user's fault and what is ours.
//!
//! What it promises: results depend on the configuration, the data and the seed alone, not on the number of threads; and no command
//! leaves a half-written file ([`files`]).

pub mod batches;
pub mod bptt;
pub mod calibration;
pub mod characters;
pub mod cli;
pub mod config;
pub mod defaults;
pub mod demo;
pub mod distillation;
pub mod early;
pub mod evaluate;
pub mod exchange;
pub mod experiments;
pub mod export;
pub mod folding;
pub mod learning;
pub mod metrics;
pub mod network;
pub mod ngrams;
pub mod optimizer;
pub mod outputs;
pub mod pair;
pub mod panels;
pub mod predict;
pub mod products;
pub mod quantizer;
pub mod real;
pub mod report;
pub mod run_report;
pub mod runs;
pub mod samples;
pub mod search;
pub mod settings;
pub mod tokenization;
pub mod unknown;
pub mod vocabulary;

pub use latch_data::{composed, counted, dataset, error, files, series, shown};
