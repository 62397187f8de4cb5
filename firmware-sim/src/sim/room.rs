//! Room for a state whose size is known only when the image is: the one place where a number becomes a constant.
//!
//! A chip's firmware is built for its model and names the size itself. The host takes the next larger one of a few.

use crate::app::{self, Stop, Summary};
use crate::board::Board;

/// Runs [`app::run`] with the smallest listed room, and lists them for [`SIZES`].
macro_rules! rooms {
    ($($bytes:literal)*) => {
        /// The rooms in bytes, ascending.
        pub const SIZES: &[usize] = &[$($bytes),*];

        /// Runs the program in the smallest room that has `state_bytes` bytes; `None` where none has so many.
        pub fn run<'flash, B: Board<'flash>>(state_bytes: usize, board: &mut B) -> Option<Result<Summary, Stop<B::Error>>> {
            match state_bytes {
                $(..=$bytes => Some(app::run::<$bytes, B>(board)),)*
                _ => None,
            }
        }
    };
}

rooms!(512 1024 2048 4096 8192 16384 32768 65536);

/// The largest room in bytes. No image that the engine opens needs more, and a thread's stack holds it.
pub const LARGEST: usize = SIZES[SIZES.len() - 1];

#[cfg(test)]
mod tests {
    use super::*;
    use latch_engine::image::manifest::{MAX_WIDTH, Precision, Readout};
    use latch_engine::model::stream_bytes;

    /// A layer has at most `MAX_WIDTH` columns, its inputs and units together. Bytes grow with every number of units, so that the most
    /// are needed where that limit is reached: by layers of equal width, or by wide and narrow ones in turn.
    #[test]
    fn no_image_needs_more_than_the_largest_room() {
        let half = MAX_WIDTH / 2;
        for width in 1..MAX_WIDTH {
            let other = MAX_WIDTH - width;
            for inputs in [width, other] {
                for units in [[width, other, width, other], [other, width, other, width], [width.min(half); 4]] {
                    for readout in [Readout::Last, Readout::Mean, Readout::Max] {
                        for precision in [Precision::F32, Precision::F16, Precision::Int8] {
                            assert!(stream_bytes(precision, readout, inputs, &units) <= LARGEST);
                        }
                    }
                }
            }
        }
    }
}
