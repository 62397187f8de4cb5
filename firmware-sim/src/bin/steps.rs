//! Pushes tokens through the image in the slot, one call after the other with a marker before and behind it, so that an emulator can count one step.
//!
//! Token `n` of [`TOKENS`] has the id `7·n` modulo the embedding's rows. Afterwards the file `output` has 17 bytes, little-endian:
//!
//! ```text
//! tokens u32 · digest of all logits after every token u64 · precision u8 (0 f32, 1 f16, 2 int8) · bytes of the state u32
//! ```
//!
//! The exit status is 0, or says what failed: 2 the slot has no image that this program can open, 3 it has no state in the RAM set aside or
//! needs floats and this build has none, 4 a token was left out, 5 the output failed. 101 and 102 are a panic and a fault.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
compile_error!("the feature `device` is for the chips' targets: leave it out on a host");

use embedded_io::Write;
use latch_engine::image::Image;
use latch_engine::{Digest, Model, Precision};
use latch_firmware_sim::device::{self, Chip, ChipPort, entry};
use latch_firmware_sim::link::board::Machine;

/// Tokens that are pushed.
const TOKENS: u32 = 64;

#[entry]
fn main() -> ! {
    device::exit(run().err().unwrap_or(0))
}

fn run() -> Result<(), u32> {
    let (chip, state) = Chip::take().ok_or(5_u32)?;
    let image = Image::open(chip.image()).map_err(|_| 2_u32)?;
    let model = Model::new(&image);
    let (rows, precision) = (model.ids(), model.precision());
    let mut session = model.session_in(state).map_err(|_| 3_u32)?;
    let mut digest = Digest::default();
    for n in 0..TOKENS {
        let id = (7 * n).checked_rem(rows).ok_or(4_u32)?;
        device::marker_a();
        let read = session.push_token(id);
        device::marker_b();
        if !read {
            return Err(4);
        }
        session.digest(&mut digest);
    }
    let mut port = ChipPort::open().map_err(|_| 5_u32)?;
    let precision = match precision {
        Precision::F32 => 0,
        Precision::F16 => 1,
        Precision::Int8 => 2,
        Precision::Int16 => 3,
    };
    port.write_all(&session.tokens().to_le_bytes())
        .and_then(|()| port.write_all(&digest.value().to_le_bytes()))
        .and_then(|()| port.write_all(&[precision]))
        .and_then(|()| port.write_all(&(model.state_bytes() as u32).to_le_bytes()))
        .map_err(|_| 5)
}
