//! The link between a host and a board: text over, logits back, over any way for bytes.
//!
//! ```text
//! host -> request -> frame -> port -> board -> app::run -> response -> frame -> port -> host
//! ```
//!
//! 1. A port is a way for bytes, of which a chip has one or more: what [`embedded_io`] calls `Read` and `Write`.
//! 2. [`frame`] finds messages in bytes, some of which were lost or damaged.
//! 3. [`message`] is what the two say to each other.
//! 4. [`board`] is the board's side: [`crate::board::Board`] over a port.
//! 5. [`host`] (feature `std`) is the host's side: live over a wire, or all requests in one file and all responses in another.
//!
//! [`fault_injector`] (feature `std`) puts a bad line between any two of them.
//!
//! # What it promises
//!
//! The host asks, the board answers, one at a time. Whatever the line loses, cuts, damages, repeats or adds: every byte of text is read
//! exactly once, and host and board agree on every logit, or the host gives up with a clear error after a bounded number of tries. A
//! board that was reset in between is noticed. The board's side has buffers of less than 400 bytes and needs no heap.
//!
//! # What it leaves out
//!
//! Updates of the image, encryption, and more than one host at a time.

pub mod board;
#[cfg(feature = "std")]
pub mod fault_injector;
pub mod frame;
#[cfg(feature = "std")]
pub mod host;
pub mod message;
