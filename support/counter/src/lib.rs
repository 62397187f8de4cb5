//! A plugin for QEMU's TCG (plugin interface version 1, QEMU 4.2 to 8.2) that counts what the firmware executes between
//! two marker instructions.
//!
//! Marker A opens a region and marker B closes it; they alternate, and are not counted themselves. Inside regions each
//! instruction is counted where it stands, by a counter that QEMU's generated code increments before it executes the
//! instruction. Nothing is inferred from whole blocks, so that a block which is left early counts what it executed and no more.
//! Of each instruction the plugin counts as well how often control did not go on at the next address (branches that were
//! taken), how often it loaded and stored, and how many bytes. Over the whole run it keeps the lowest address of the stack
//! that was stored to. At the end of the run one text goes to a file; the same run gives the same bytes.
//!
//! An instruction of an IT block whose condition fails is executed, and loads and stores nothing. What the core stores by
//! itself when an exception begins is not seen. One processor is counted, and the run must use `-icount`, so that all of QEMU's
//! callbacks come one after another.
//!
//! `args` reads what the user wrote, `target` tells instructions, `tally` counts, `log` writes; `qemu` is the only file that talks to QEMU.

pub mod args;
pub mod log;
#[cfg(not(test))]
mod qemu;
pub mod tally;
pub mod target;
