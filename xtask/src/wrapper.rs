//! Forces a backend in the workspace's own crates.
//!
//! `RUSTFLAGS='--cfg engine_backend="scalar"' cargo test` does the same for anybody, and compiles every dependency again. Cargo calls
//! a `RUSTC_WORKSPACE_WRAPPER` for the workspace's crates only, and keeps what they become apart from what they are without it.
//! This program is that wrapper when [`BACKEND`] is set.

use std::process::{Command as Process, ExitCode};

use latch_emulator::command::Command;

/// The variable that makes this program a wrapper around the compiler, and names the backend.
const BACKEND: &str = "XTASK_ENGINE_BACKEND";

/// The same cargo command with a backend forced.
pub(crate) fn with_backend(command: Command, backend: &str) -> Command {
    let own = std::env::current_exe().map_or_else(|_| "xtask".to_owned(), |path| path.display().to_string());
    command.env(BACKEND, backend).env("RUSTC_WORKSPACE_WRAPPER", &own)
}

/// Where this program was called as a wrapper: calls the compiler, which is the first argument, and gives its exit code.
pub(crate) fn run() -> Option<ExitCode> {
    let backend = std::env::var(BACKEND).ok()?;
    let mut arguments = std::env::args_os().skip(1);
    let mut compiler = Process::new(arguments.next()?);
    compiler.args(arguments).args(["--cfg", &format!("engine_backend=\"{backend}\"")]);
    let success = compiler.status().is_ok_and(|status| status.success());
    Some(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
