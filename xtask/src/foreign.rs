//! The engine's own tests on processors that this machine is not: compiled for them, and run by QEMU, a program at a time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Result, ensure};
use latch_emulator::command::Command;
use latch_emulator::toolchain::without_library;

/// A processor and what is known of it.
pub(crate) struct Foreign {
    /// The step's name.
    pub(crate) name: &'static str,
    /// The target of the compiler. Its programs are static and are linked by the linker that rustup brings, so that no other is needed.
    target: &'static str,
    /// The emulator, and Debian's package that holds it.
    emulator: (&'static str, &'static str),
    /// The processor's name there.
    processor: &'static str,
    /// The backends that the engine finds on it, narrowest first, with a space between them; the tests hold it to that.
    backends: &'static str,
}

/// Every processor that the tests visit.
pub(crate) const FOREIGN: [Foreign; 2] = [
    Foreign {
        name: "NEON",
        target: "aarch64-unknown-linux-musl",
        emulator: ("qemu-aarch64", "qemu-user"),
        processor: "cortex-a53",
        backends: "scalar neon",
    },
    Foreign {
        name: "NEON with dot products",
        target: "aarch64-unknown-linux-musl",
        emulator: ("qemu-aarch64", "qemu-user"),
        processor: "neoverse-n1",
        backends: "scalar neon neon-dot",
    },
];

impl Foreign {
    /// The engine's tests on this processor.
    pub(crate) fn tests(&self) -> Command {
        let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", self.target.to_uppercase().replace('-', "_"));
        Command::new(&format!(
            "cargo test --profile checked --no-fail-fast -p latch-engine --features std,float --lib --target {}",
            self.target
        ))
        .env(&variable("LINKER"), "rust-lld")
        .env(&variable("RUNNER"), &format!("{} -cpu {}", self.emulator.0, self.processor))
        .env("LATCH_EXPECT_BACKENDS", self.backends)
    }

    /// A build for this processor.
    pub(crate) fn build(&self, arguments: &str) -> Command {
        let linker = format!("CARGO_TARGET_{}_LINKER", self.target.to_uppercase().replace('-', "_"));
        Command::new(&format!("cargo build {arguments} --target {}", self.target))
            .env(&linker, "rust-lld")
            .env_remove("RUSTFLAGS")
    }

    /// The instructions that a whole run of the program `steps` executes, which [`Foreign::build`] has built in release. `folder` is the one in which it
    /// runs, the release folder of this machine's own programs, beside that of the processor's target.
    ///
    /// # Errors
    /// When the emulator fails, or writes nothing.
    pub(crate) fn executed(&self, processor: &str, arguments: &str, folder: &Path) -> Result<u64> {
        let trace = folder.join("executed.trace");
        let program = format!("../{}/release/steps {arguments}", self.target);
        // An instruction in a block, and a line a block; the option has had two names.
        let run = |single: &str| {
            Command::new(&format!("{} -cpu {processor} {single} -d exec,nochain -D", self.emulator.0))
                .arg(trace.display().to_string())
                .args(&program)
                .in_folder(folder.to_owned())
                .capture()
        };
        let ran = run("-one-insn-per-tb").or_else(|_| run("-singlestep"));
        let count = File::open(&trace).map_or(0, |file| {
            BufReader::new(file).lines().map_while(Result::ok).filter(|line| line.starts_with("Trace")).count() as u64
        });
        let _ = fs::remove_file(&trace);
        ran?;
        ensure!(count > 0, "{} wrote no line for an instruction of `{program}`", self.emulator.0);
        Ok(count)
    }

    /// True when the toolchain that runs this program can compile for it.
    pub(crate) fn has_target(&self) -> bool {
        !absent_targets().contains(&self.target)
    }

    /// The emulator, if it is not installed.
    pub(crate) fn absent_emulator(&self) -> Option<&'static str> {
        absent_emulators().into_iter().map(|(program, _)| program).find(|program| *program == self.emulator.0)
    }
}

/// The emulators that this machine does not have, and Debian's packages that hold them.
pub(crate) fn absent_emulators() -> Vec<(&'static str, &'static str)> {
    let mut emulators = FOREIGN.map(|foreign| foreign.emulator).to_vec();
    emulators.dedup();
    emulators.retain(|(program, _)| Command::new(program).arg("--version").capture().is_err());
    emulators
}

/// The targets for which the toolchain that runs this program has no library.
pub(crate) fn absent_targets() -> Vec<&'static str> {
    let mut targets = FOREIGN.map(|foreign| foreign.target).to_vec();
    targets.dedup();
    without_library(&targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_processor_are_a_command_that_one_can_type() {
        assert_eq!(
            FOREIGN[0].tests().to_string(),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
            CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER='qemu-aarch64 -cpu cortex-a53' \
            LATCH_EXPECT_BACKENDS='scalar neon' \
            cargo test --profile checked --no-fail-fast -p latch-engine --features std,float --lib --target aarch64-unknown-linux-musl"
        );
    }
}
