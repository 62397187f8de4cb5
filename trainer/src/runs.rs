//! Runs: the folder that a training leaves its traces in, and how a run begins, goes on and is opened again.

pub mod adapted;
pub mod begin;
pub mod checkpoint;
pub mod folder;
pub mod folds;
pub mod imported;
pub mod loaded;
pub mod lock;
pub mod onward;
pub mod opened;
pub mod recordings;
pub mod summary;
pub mod writer;
