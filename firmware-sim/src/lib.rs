//! The program that runs a Latch image on a chip, and a host board to try it on before there is a chip.
//!
//! # The flow
//!
//! ```text
//! image -> flash slot -> board -> app::run -> a report after every token, a verdict after every text, a digest of all of it
//! ```
//!
//! 1. [`flash`] programs an image into a slot of NOR flash under the rules of the part, and verifies it where it lies.
//! 2. [`board`] is the one small trait in which machines differ: flash to read, bytes of texts or series coming in, a
//!    stopwatch, reports going out.
//! 3. [`app`] is the program. It knows a [`board::Board`] and the engine and nothing else: the host runs the lines that the chip runs.
//! 4. [`sim`] (feature `std`) is the host board: a table of real parts, flash that refuses what the part's flash refuses, a budget
//!    of flash and RAM that a model must fit into, and latencies.
//! 5. [`link`] joins a host with a board over any way for bytes; the board at its end is one more [`board::Board`].
//! 6. `device` (feature `device`, chips' targets) is the chips: what the firmware in `bin/firmware.rs` runs on.
//!
//! The command `latch-sim` is the face of all of it on a host: `run` on a simulated part, `device` and `verify` on emulated boards,
//! `link` with a board at the end of a serial line.
//!
//! ```
//! use latch_engine::{State, View};
//! use latch_firmware_sim::app::{self, Stop};
//! use latch_firmware_sim::board::{Board, Input, Report, TokenReport};
//!
//! /// A board with one text and an empty flash.
//! struct Bench<'t>(&'t [u8]);
//!
//! impl Board<'static> for Bench<'_> {
//!     type Error = core::convert::Infallible;
//!     fn image(&self) -> &'static [u8] {
//!         &[0xFF; 16] // a slot that nobody has programmed
//!     }
//!     fn read(&mut self, buffer: &mut [u8]) -> Result<Input, Self::Error> {
//!         let count = self.0.len().min(buffer.len());
//!         let (head, tail) = self.0.split_at(count);
//!         buffer[..count].copy_from_slice(head);
//!         self.0 = tail;
//!         Ok(if count == 0 { Input::End } else { Input::Bytes(count) })
//!     }
//!     fn start(&mut self) {}
//!     fn stop(&mut self) -> u32 {
//!         0
//!     }
//!     fn report(&mut self, _: Report) -> Result<(), Self::Error> {
//!         Ok(())
//!     }
//!     fn token(&mut self, _: TokenReport<'_>, _: &mut View<'_, '_, '_>) -> Result<(), Self::Error> {
//!         Ok(())
//!     }
//! }
//!
//! let stop = app::run(&mut Bench(b"not bad"), State::<1024>::new().as_bytes_mut()).unwrap_err();
//! assert!(matches!(stop, Stop::Image(_)));
//! ```
//!
//! # What it promises
//!
//! - The digest of `latch-sim run` is the digest of the chip, for integer images bit for bit, and does not depend on how the input is cut.
//! - A slot whose programming was interrupted at any point is refused; it is never taken for an image.
//! - What does not fit a part is refused before it runs, with every number and with what to do about it.
//! - Without the feature `std` the crate needs neither a standard library nor a heap, and nothing in [`app`] panics.
//!
//! # What it leaves out
//!
//! The simulator executes no instruction of the chip: it models memory and its rules, not time. Latencies are the host's, and say
//! so; instructions are what the crate latch-emulator counts. Bootloaders, two-slot updates and drivers of peripherals are the firmware's own business.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod app;
pub mod board;
#[cfg(all(feature = "device", target_os = "none"))]
pub mod device;
pub mod flash;
pub mod link;
#[cfg(feature = "std")]
pub mod sim;
