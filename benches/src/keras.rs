//! The comparison of training's speed with Keras: `cargo xtask keras`.
//!
//! ```text
//! task (first weights, batches) -> Latch and Keras train on it in turn, round after round -> speeds, ratio, both loss curves
//! ```
//!
//! - [`task`] is what both learn: Embedding(20000, 128) > LSTM(128) > 1, the same weights to begin with, the same batches in the same order.
//! - [`report`] merges the runs and holds the loss curves against each other.
//!
//! Keras's side is `benches/keras/keras_training.py`.

pub mod report;
pub mod task;
