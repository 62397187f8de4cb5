//! Images made from images: with a self-test, with another meaning of their outputs, with a precomputed input projection. What a chip has no use for.

mod certify;
mod project;

pub use certify::{certify, with_answer};
pub use project::{project, projected_image_bytes};
