//! Latch's engine: runs a recurrent network from one image, step by step, without a heap and without an operating system.
//!
//! # The flow
//!
//! ```text
//! text | ids -> embedding -> layers in order (lstm, gru, rnn, variant, bidirectional, conv1d, layernorm, dense, pooling) -> dense -> answer
//! samples -> scaling --------^
//! ```
//!
//! 1. [`Image::open`](image::Image::open) checks every byte of an image once and borrows it where it lies.
//! 2. [`Model::new`] cuts it into typed tensors; [`Model::session`] joins it with a [`State`], a plain value of a size known beforehand that the caller owns.
//! 3. [`Session::push_bytes`], [`Session::push_token`] and [`Session::push_samples`] move the stream on; [`View::output`] answers after any step.
//!
//! ```
//! use latch_engine::{Model, State, image::Image};
//!
//! fn judge(image: &[u8], review: &str) -> Result<f32, latch_engine::Error> {
//!     let image = Image::open(image)?; // checks everything, once
//!     let model = Model::new(&image);
//!     let mut state = State::<2048>::new(); // the RAM of one stream, in memory of yours
//!     let mut session = model.session(&mut state)?;
//!     for chunk in review.as_bytes().chunks(16) {
//!         session.push_bytes(chunk); // as it arrives, in any chunks; from here on nothing can fail
//!     }
//!     session.finish();
//!     Ok(session.probability())
//! }
//! # assert!(judge(b"no image", "good").is_err());
//! ```
//!
//! # What it promises
//!
//! - After `Image::open` and `Model::session` have succeeded, nothing on the path of a step can fail, panic or allocate.
//! - Integer images use integers from the token to the logit, and every backend gives the same bits ([`kernels`]).
//! - Any chunking of the same bytes, and any interleaving of streams, gives the same bits.
//!
//! # What it leaves out
//!
//! Training, quantization and files: those are the trainer's. Only `image::encode` (feature `std`) writes, because the
//! writer of a format belongs beside its reader.
//!
//! # Features
//!
//! A firmware leaves out what its image does not need; [`features`] has the list, and `latch inspect` prints the line for Cargo.toml. An image that needs
//! more than was built in is refused with the feature's name.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

// Tensors are read in place, and an image is little-endian.
#[cfg(not(target_endian = "little"))]
compile_error!("Latch's engine reads little-endian images in place and supports little-endian machines only");

#[cfg(feature = "std")]
mod desktop;
mod error;
pub mod features;
pub mod image;
pub mod input;
pub mod kernels;
pub mod layers;
mod logit;
mod memory;
mod model;
mod numbers;
mod session;
mod state;

#[cfg(feature = "std")]
pub use desktop::{Initial, certify, initial_states, project, projected_image_bytes, with_answer, with_start};
pub use error::Error;
pub use logit::{Digest, Logit, probability_q15};
pub use model::{Model, SELF_TEST_STEPS, SelfTest};
pub use numbers::Precision;
pub use session::{Session, View};
pub use state::{Layout, State, state_bytes};

/// The example in the crate's README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
