//! Learning: what a network learns from, what is to become small, and the loop.

mod augmented;
pub(crate) mod carried;
pub mod cross_fitted;
pub mod diverged;
pub mod loss;
pub mod rehearsal;
pub mod sequences;
pub mod training;
pub mod verdict;
