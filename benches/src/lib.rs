//! What the benches and the counted programs share: the text that they read and the images that they run.
//!
//! - [`images`] makes the images with the trainer (feature `images`).
//! - `benches/` measures time with criterion.
//! - [`keras`] compares the speed of training with Keras: `cargo xtask keras`.
//! - [`peers`] compares a step with other engines: `cargo xtask peers`. `src/bin/text-rate.rs` measures the whole path, text in, verdict out, and
//!   `src/bin/reading.rs` what `latch train` does before it learns, `src/bin/streams.rs` what streams gain that step together.
//! - [`picture`] draws README's picture: `cargo xtask picture`.
//! - The program `images` (`support/images/`) writes the images to files, and `src/bin/steps.rs` runs one of them and nothing else, so that its
//!   instructions can be counted. `cargo xtask instructions` does both.
//!
//! All weights are random, with a fixed seed and of the sizes that training gives.

pub mod cells;
#[cfg(feature = "images")]
pub mod images;
#[cfg(feature = "images")]
pub mod keras;
pub mod peers;
#[cfg(feature = "images")]
pub mod picture;

/// The sizes at which one step is measured: inputs and units of the layer, which are equal.
pub const SIZES: [usize; 5] = [16, 32, 64, 128, 256];

/// Inputs and units of the layers whose steps the emulated chips count. The last has the work of EdgeMark's LSTM in 100 steps.
pub const CHIP_SHAPES: [(usize, usize); 6] = [(64, 64), (32, 32), (16, 16), (8, 8), (1, 1), (40, 64)];

/// Bytes of state that suffice for a stream of every image of [`SIZES`], at every precision.
pub const STEP_STATE_BYTES: usize = 8192;

/// Bytes of state that suffice for a stream of the review model, at every precision.
pub const REVIEW_STATE_BYTES: usize = 1024;

/// A review about as long as those of the usual film data set (the mean there is 230 words), with their kinds of marks and tags.
pub const REVIEW: &str = include_str!("review.txt");

/// The name of the file that holds the image for one step at a size; `precision` as the engine names it.
pub fn step_file(precision: &str, size: usize) -> String {
    format!("step-{precision}-{size:03}.latch")
}

/// The name of the file that holds the image for one step of a shape of [`CHIP_SHAPES`].
pub fn chip_file(precision: &str, (inputs, units): (usize, usize)) -> String {
    format!("chip-{precision}-{inputs}x{units}.latch")
}

/// The name of the file that holds the review model's image.
pub fn review_file(precision: &str) -> String {
    format!("review-{precision}.latch")
}
