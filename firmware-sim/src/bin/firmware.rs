//! The firmware: [`app::run`] over a link, for ever on a serial line, to the input's end over files.
//!
//! The exit status is 0, or says what failed: 4 the port cannot be opened, 5 it failed. 101 and 102 are a panic and a fault. An image that cannot
//! run is no failure of the firmware: it answers every request with the reason.
#![no_std]
#![no_main]

#[cfg(not(target_os = "none"))]
compile_error!("the feature `device` is for the chips' targets: leave it out on a host");

use core::mem::MaybeUninit;

use latch_engine::Model;
use latch_firmware_sim::app::{self, Stop};
use latch_firmware_sim::device::{self, Chip, ChipPort, Once, entry};
use latch_firmware_sim::link::board::LinkBoard;
use latch_firmware_sim::link::message::Refusal;

type Board = LinkBoard<ChipPort, Chip>;

/// The buffers of the link: not on the stack, which is the engine's.
static BOARD: Once<MaybeUninit<Board>> = Once::new(MaybeUninit::uninit());

/// The model's view of the image; uninitialised, for what has a value at the start is stored in the flash as well.
static MODEL: Once<MaybeUninit<Option<Model<'static>>>> = Once::new(MaybeUninit::uninit());

#[entry]
fn main() -> ! {
    device::exit(run().err().unwrap_or(0))
}

fn run() -> Result<(), u32> {
    let (board, state) = board().ok_or(4_u32)?;
    let model = MODEL.take().ok_or(4_u32)?.write(None);
    while !board.is_over() {
        match app::run_in(board, state, model) {
            Ok(_) => {}
            Err(Stop::Board(_)) => return Err(5),
            Err(stop) => board.refuse(Refusal::of(&stop).unwrap_or(Refusal::Malformed)).map_err(|_| 5_u32)?,
        }
    }
    Ok(())
}

/// The board over its port, and the RAM of the state. A function of its own, so that the stack is free again of what it moves.
#[inline(never)]
fn board() -> Option<(&'static mut Board, &'static mut [u8])> {
    let (chip, state) = Chip::take()?;
    let port = ChipPort::open().ok()?;
    Some((BOARD.take()?.write(LinkBoard::new(port, chip)), state))
}
