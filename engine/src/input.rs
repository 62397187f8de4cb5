//! From what arrives (text, later samples) to what the network reads (ids).
//!
//! [`text`] cuts a stream of UTF-8 bytes into words and marks, [`vocabulary`] finds their ids in place in the image; [`ngrams`] has the weights
//! of short runs of tokens. Words that are not in the vocabulary may share rows by their hash ([`hashed`]).
//! Trainer and device run the same lines, so that a word means the same id on both.

#[cfg(not(latch_backend))]
mod dictionary;
pub mod hashed;
pub mod ngrams;
pub mod text;
pub mod vocabulary;
