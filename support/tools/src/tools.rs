//! The list of tools: which are there, what is left out without each, and how to get it.

use serde::Serialize;

use crate::command::Command;
use crate::toolchain::{QEMU, Toolchain, absent};

/// A tool, as this machine has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// What it is.
    pub name: String,
    /// True where it is there.
    pub installed: bool,
    /// What it says of itself; empty where it is missing.
    pub version: String,
    /// What is left out without it.
    pub without: String,
    /// How to get it.
    pub get: String,
}

/// A program that says its version.
struct Program {
    name: &'static str,
    /// The commands that it may be had by, with the argument that makes it say its version.
    lines: &'static [&'static str],
    without: &'static str,
    /// Debian's package.
    package: &'static str,
}

/// What the programs of a user's machine are for. The compiler for the chips and QEMU are known by [`crate::toolchain`].
const PROGRAMS: [Program; 6] = [
    Program {
        name: "C compiler",
        lines: &["cc --version"],
        without: "cargo cannot link a program on this machine",
        package: "gcc",
    },
    Program {
        name: "Python",
        lines: &["python3 --version", "python --version"],
        without: "examples/pytorch and examples/keras, which train a network for `latch import`, do not run",
        package: "python3",
    },
    Program {
        name: "pip",
        lines: &["python3 -m pip --version", "pip --version"],
        without: "PyTorch and Keras cannot be installed for the examples",
        package: "python3-pip",
    },
    Program {
        name: "QEMU for programs",
        lines: &["qemu-aarch64 --version"],
        without: "`cargo xtask test` leaves out the engine's tests on 64-bit Arm",
        package: "qemu-user",
    },
    Program {
        name: "Node",
        lines: &["node --version"],
        without: "`cargo xtask test` leaves out the engine's tests as WebAssembly",
        package: "nodejs",
    },
    Program {
        name: "valgrind",
        lines: &["valgrind --version"],
        without: "`cargo xtask instructions` cannot count, and `cargo xtask test` leaves the counts out",
        package: "valgrind",
    },
];

/// Everything that Latch can use besides cargo, what most people need first.
pub fn tools() -> Vec<Tool> {
    let mut tools = vec![chips_compiler()];
    tools.extend(QEMU.iter().map(|&(program, package)| {
        let boards = if program.ends_with("arm") { "Arm" } else { "RISC-V" };
        let version = said(&format!("{program} --version"));
        let without = format!(
            "the emulated {boards} boards: `latch-sim device`, `latch-sim verify --board`, `cargo xtask device`, and their tests"
        );
        tool(program, version, without, package)
    }));
    tools.extend(PROGRAMS.iter().map(|program| {
        let version = program.lines.iter().find_map(|line| said(line));
        tool(program.name, version, program.without.to_owned(), program.package)
    }));
    tools
}

fn tool(name: &str, version: Option<String>, without: String, package: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        installed: version.is_some(),
        version: version.unwrap_or_default(),
        without,
        get: format!("`apt-get install {package}`, or what your system calls it"),
    }
}

fn chips_compiler() -> Tool {
    let found = Toolchain::find();
    let missing = absent();
    Tool {
        name: "compiler for the chips".to_owned(),
        installed: found.is_ok(),
        version: found.as_ref().map_or(String::new(), |toolchain| format!("{}'s", toolchain.name())),
        without: "firmware cannot be built: no `latch-sim device`, no `verify`, no board of your own".to_owned(),
        get: format!("`rustup target add {}`, or `cargo xtask setup`", missing.join(" ")),
    }
}

/// The first line of what a command says, where it can be run.
fn said(line: &str) -> Option<String> {
    let (out, _) = Command::new(line).capture().ok()?;
    out.lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_says_what_is_left_out_without_it_and_how_to_get_it() {
        let tools = tools();
        assert_eq!(tools.len(), 1 + QEMU.len() + PROGRAMS.len());
        for tool in &tools {
            assert!(tool.without.len() > 20 && tool.get.contains('`'), "{tool:?}");
            assert_eq!(tool.installed, !tool.version.is_empty(), "{tool:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_says_nothing() {
        assert_eq!(said("latch-no-such-program --version"), None);
        assert!(said("cargo --version").is_some_and(|line| line.starts_with("cargo ")));
    }
}
