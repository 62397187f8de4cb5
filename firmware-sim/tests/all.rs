//! The firmware on the emulated boards and on the host, one subject a file.

mod chips;
mod command;
mod flash_rules;
mod imported;
mod link;
mod program;
mod serial_line;
mod series;
