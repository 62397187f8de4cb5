//! The command `latch`: see [`latch_trainer::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    latch_trainer::cli::main()
}
