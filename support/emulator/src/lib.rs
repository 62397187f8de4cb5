//! The chips' boards on this machine: builds the firmware for a board, boots it in QEMU, and counts what it executes.
//!
//! # The flow
//!
//! ```text
//! board -> toolchain -> firmware (an ELF file) -> boot (QEMU, the image in its flash) -> output, status
//! ```
//!
//! 1. The table of boards is [`latch_parts::boards`]: processor, memories, ports.
//! 2. [`toolchain`] finds the compiler for their targets.
//! 3. [`firmware`] builds one of the two programs for a board; [`elf`] says how large it became and what it refers to.
//! 4. [`boot`] runs it, with input and output in files, or over the emulated serial port.
//! 5. [`counts`] has the plugin that counts a run, and reads what it counted; [`cycles`] estimates from that, by the kinds of [`decode`], how
//!    long a chip would take.
//!
//! [`toolchain`] and [`command`], which runs programs and shows what it ran, are those of the crate tools.
//!
//! # What it promises
//!
//! - Nothing that it starts outlives its time limit or the value that stands for it.
//! - A variant of the firmware never takes another one's file.
//! - A tool that is missing is named, with the command that installs it.
//!
//! # What it leaves out
//!
//! It does not know what the firmware says: bytes go in and come out. QEMU executes the chips' instructions and models no time.

pub mod boot;
pub mod counts;
pub mod cycles;
pub mod decode;
pub mod elf;
pub mod firmware;

pub use latch_tools::{command, toolchain};
