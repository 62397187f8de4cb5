//! What every program on a chip has: the start, the slot, a handler of panics, the exit. `cargo xtask size` takes it from `engine.rs`, so that
//! what remains is the engine.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
compile_error!("the feature `device` is for the chips' targets: leave it out on a host");

use core::hint::black_box;

use latch_firmware_sim::device::{self, Chip, entry};
use latch_firmware_sim::link::board::Machine;

#[entry]
fn main() -> ! {
    let status = match Chip::take() {
        Some((chip, state)) => u32::from(black_box(chip.image().len()) == black_box(state.len())),
        None => 2,
    };
    device::exit(status)
}
