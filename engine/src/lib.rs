//! Latch's engine: runs a recurrent network from one image, token by token, without a heap and without an operating system.
//!
//! # The flow
//!
//! ```text
//! text -> input (tokenizer, vocabulary) -> ids -> embedding -> LSTM steps -> readout -> head -> answer
//! ```
//!
//! 1. [`Image::open`](image::Image::open) checks every byte of an image once and borrows it where it lies.
//! 2. [`Model::new`](model::Model::new) cuts it into typed tensors; [`Model::session`](model::Model::session) joins it with a
//!    [`State`](model::State), a plain value of a size known beforehand that the caller owns.
//! 3. [`Session::push_bytes`](model::Session::push_bytes) and [`Session::push_token`](model::Session::push_token) move the
//!    stream on; [`Session::output`](model::Session::output) answers after any token.
//!
//! ```
//! use latch_engine::{image::Image, model::{Model, State}};
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
//! - After `Image::open` and `Model::session` have succeeded, nothing on the path of a token can fail, panic or allocate.
//! - Integer images use integers from the token to the logit, and every backend gives the same bits ([`kernels`]).
//! - Any chunking of the same bytes, and any interleaving of streams, gives the same bits.
//!
//! # What it leaves out
//!
//! Training, quantization and files: those are the trainer's. Only [`image::encode`] (feature `std`) writes, because the
//! writer of a format belongs beside its reader.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

// Tensors are read in place, and an image is little-endian.
#[cfg(not(target_endian = "little"))]
compile_error!("Latch's engine reads little-endian images in place and supports little-endian machines only");

pub mod image;
pub mod input;
pub mod kernels;
pub mod model;

pub use image::error::Error;

/// The example in the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
