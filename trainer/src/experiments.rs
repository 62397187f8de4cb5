//! Experiments that explain what a network can learn, each with a page of its own.

pub mod gradients;
pub mod page;
