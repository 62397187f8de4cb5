//! Chips and boards as tables: their memories, their clocks, and what an instruction costs on their cores.
//!
//! 1. [`parts`] has the chips that can be bought: flash with its pages and rules, RAM, clock, current.
//! 2. [`boards`] has the boards that QEMU models and the firmware runs on: target, memory map, serial port.
//! 3. [`cores`] has what each core takes for each kind of instruction, in cycles, and how slow memories keep it waiting.
//!
//! Everything here is a constant from a data sheet or a manual; nothing is measured, built or run. The crate emulator builds firmware for
//! boards, runs it and counts; a search for models needs these tables only.
#![cfg_attr(not(test), no_std)]

pub mod boards;
pub mod cores;
pub mod parts;
