//! Images made from images: with a self-test, with another meaning of their outputs, with a precomputed input projection, with a start state. What a chip has no use for.

mod certify;
mod project;
mod start;

pub use certify::{certify, with_answer};
pub use project::{project, projected_image_bytes};
pub use start::{Initial, initial_states, with_start};
