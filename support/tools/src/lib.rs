//! What is installed on this machine of what Latch can use.
//!
//! 1. [`command`] runs programs and shows what it ran.
//! 2. [`toolchain`] finds the compiler for the chips, and QEMU's programs.
//! 3. [`tools`] lists everything: what is there, what is left out without it, and how to get it.
//!
//! Nothing is installed here, and nothing is built.

pub mod command;
pub mod toolchain;
pub mod tools;
