//! What the engine weighs: a program that judges one text with it, or reads one frame or one id where it was built
//! without text, and does nothing else, for `cargo xtask size`.
//!
//! Every call that a firmware makes is in it: opening, self-test, text, verdict, probability. What any program on this chip has is that of
//! `start.rs`. It has no port; the exit status is the logit's sign, or 2 where the slot has no image that can run.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
compile_error!("the feature `device` is for the chips' targets: leave it out on a host");

use core::hint::black_box;

use latch_engine::image::Image;
use latch_engine::{Error, Model, features, probability_q15};
use latch_firmware_sim::device::{self, Chip, entry};
use latch_firmware_sim::link::board::Machine;

#[entry]
fn main() -> ! {
    let status = match Chip::take() {
        Some((chip, state)) => judge(chip.image(), state).unwrap_or(2),
        None => 2,
    };
    device::exit(status)
}

fn judge(image: &'static [u8], state: &mut [u8]) -> Result<u32, Error> {
    let image = Image::open(image)?;
    let model = Model::new(&image);
    black_box(model.self_test(state)?);
    let mut session = model.session_in(state)?;
    if features::TEXT {
        session.push_bytes(black_box(b"a fine film"));
        session.finish();
    } else if features::SAMPLES {
        session.push_samples(black_box(&[3]))?;
    } else {
        session.push_token(black_box(3));
    }
    let logit = session.output();
    black_box(probability_q15(logit));
    Ok(u32::from(logit.is_positive()))
}
