//! From what arrives (text, samples) to what the network reads (ids, or the values of a frame).
//!
//! [`tokenizer`] cuts a stream of UTF-8 bytes into tokens with the image's table of [`characters`], [`vocabulary`] finds their ids in place in the image;
//! [`ngrams`] has the weights of short runs of tokens. Words that are not in the vocabulary may share rows by their hash ([`hashed`]).
//! [`samples`] scales frames of a sensor. Trainer and device run the same lines, so that a word means the same id on both.

pub mod characters;
#[cfg(not(latch_backend))]
mod dictionary;
pub mod hashed;
pub mod ngrams;
pub mod samples;
pub mod text;
pub mod tokenizer;
pub mod vocabulary;
