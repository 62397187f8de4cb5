//! Who compiles for the chips, and what else this machine needs to run them.
//!
//! The compiler is rustup's own with the chips' standard libraries, where they are installed; elsewhere Debian's second toolchain, which builds
//! `core` from its own source. The two never share a target folder. [`FORCE`] chooses one by name. Nothing is installed here.

use std::path::Path;

use crate::command::{Command, target_folder};

/// The chips' targets, from the smallest Cortex-M on.
pub const TARGETS: [&str; 4] =
    ["thumbv6m-none-eabi", "thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf", "riscv32imac-unknown-none-elf"];

/// The variable that chooses the toolchain: `rustup` or `debian`.
pub const FORCE: &str = "LATCH_TOOLCHAIN";

/// Debian's packages with a toolchain for the chips.
pub const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// QEMU's programs, and Debian's packages that hold them.
pub const QEMU: [(&str, &str); 2] =
    [("qemu-system-arm", "qemu-system-arm"), ("qemu-system-riscv32", "qemu-system-misc")];

/// The linker of Debian's toolchain. Rustup brings its own.
const DEBIAN_LINKER: &str = "/usr/bin/lld-22";

/// Who compiles for the chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The toolchain that runs this program.
    Rustup,
    /// Debian's, in `/usr/bin`; builds `core` itself.
    Debian,
}

/// A tool that this machine does not have. Whoever sits before it can get it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct Missing {
    /// What is missing.
    pub problem: String,
    /// How to get it.
    pub remedy: String,
}

fn missing(problem: String, remedy: String) -> Missing {
    Missing { problem, remedy }
}

impl Toolchain {
    /// The one that [`FORCE`] names; without it rustup's where that has all of [`TARGETS`], else Debian's.
    ///
    /// # Errors
    /// [`Missing`] when neither can compile for the chips, or the one that was named cannot.
    pub fn find() -> Result<Self, Missing> {
        let forced = std::env::var(FORCE).ok();
        let debian = format!("apt-get install {}", DEBIAN_PACKAGES.join(" "));
        match forced.as_deref() {
            Some("rustup") => {
                let absent = absent();
                if !absent.is_empty() {
                    let problem = format!("{FORCE}=rustup, which lacks {}", absent.join(", "));
                    return Err(missing(problem, format!("run `rustup target add {}`", absent.join(" "))));
                }
                Ok(Toolchain::Rustup)
            }
            Some("debian") if debian_is_usable() => Ok(Toolchain::Debian),
            Some("debian") => {
                Err(missing(format!("{FORCE}=debian, which is not installed"), format!("run `{debian}`")))
            }
            Some(other) => Err(missing(format!("{FORCE}={other} is unknown"), "set it to rustup or debian".to_owned())),
            None if absent().is_empty() => Ok(Toolchain::Rustup),
            None if debian_is_usable() => Ok(Toolchain::Debian),
            None => Err(missing(
                "there is no compiler for the chips".to_owned(),
                format!(
                    "run `cargo xtask setup`, or `rustup target add {}`; `latch doctor` lists what else is missing",
                    absent().join(" ")
                ),
            )),
        }
    }

    /// A cargo command of this toolchain for the chips, as `build -p latch-engine`, with a target folder of its own. Flags and wrappers of
    /// the caller are left out: they are meant for the host.
    pub fn cargo(self, line: &str) -> Command {
        let folder = |name: &str| target_folder().join(name).display().to_string();
        let command = match self {
            Toolchain::Rustup => Command::new("cargo").args(line).arg("--target-dir").arg(folder("device")),
            Toolchain::Debian => Command::new("/usr/bin/cargo")
                .args(line)
                .arg("--target-dir")
                .arg(folder("device-debian"))
                .args("-Zbuild-std=core,compiler_builtins -Zbuild-std-features=compiler-builtins-mem")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTDOC", "/usr/bin/rustdoc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env_remove("LD_LIBRARY_PATH"),
        };
        command
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env_remove("CARGO_BUILD_TARGET")
    }

    /// The compiler's flags that a program for the chips needs to be linked.
    pub fn link_flags(self) -> Vec<String> {
        match self {
            Toolchain::Rustup => Vec::new(),
            Toolchain::Debian => vec![format!("-Clinker={DEBIAN_LINKER}"), "-Clinker-flavor=ld.lld".to_owned()],
        }
    }

    /// The compiler's release and commit in one line; empty where it does not start.
    pub fn compiler(self) -> String {
        let command = match self {
            Toolchain::Rustup => Command::new("rustc --version --verbose"),
            Toolchain::Debian => Command::new("/usr/bin/rustc --version --verbose").env_remove("LD_LIBRARY_PATH"),
        };
        let (said, _) = command.capture().unwrap_or_default();
        said.lines().map(str::trim).collect::<Vec<_>>().join("; ")
    }

    /// What a user calls it.
    pub fn name(self) -> &'static str {
        match self {
            Toolchain::Rustup => "rustup",
            Toolchain::Debian => "debian",
        }
    }
}

/// The chips' targets for which the toolchain that runs this program has no library.
pub fn absent() -> Vec<&'static str> {
    without_library(&TARGETS)
}

/// Those of the targets for which the toolchain that runs this program has no library.
pub fn without_library(targets: &[&'static str]) -> Vec<&'static str> {
    let sysroot = Command::new("rustc --print sysroot").capture();
    let has = |target: &str| {
        sysroot
            .as_ref()
            .is_ok_and(|(path, _)| Path::new(path.trim()).join("lib/rustlib").join(target).join("lib").is_dir())
    };
    targets.iter().copied().filter(|target| !has(target)).collect()
}

/// True when Debian's toolchain is installed, with its linker and source, and is recent enough.
fn debian_is_usable() -> bool {
    let capture = |line: &str| Command::new(line).env_remove("LD_LIBRARY_PATH").capture();
    let (Ok((sysroot, _)), Ok((version, _))) =
        (capture("/usr/bin/rustc --print sysroot"), capture("/usr/bin/rustc --version"))
    else {
        return false;
    };
    Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir()
        && Path::new("/usr/bin/cargo").is_file()
        && Path::new(DEBIAN_LINKER).is_file()
        && is_recent(&version, env!("CARGO_PKG_RUST_VERSION"))
}

/// True when a compiler that says `rustc 1.96.0 (...)` is at least `least`, as `1.95`.
fn is_recent(version: &str, least: &str) -> bool {
    let numbers = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    };
    match (version.split_whitespace().nth(1).and_then(numbers), numbers(least)) {
        (Some(found), Some(least)) => found >= least,
        _ => false,
    }
}

/// QEMU's programs that this machine does not have.
pub fn absent_qemu() -> Vec<&'static str> {
    let has = |program: &str| Command::new(program).arg("--version").capture().is_ok();
    QEMU.into_iter().map(|(program, _)| program).filter(|program| !has(program)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_parts::boards::BOARDS;

    #[test]
    fn a_compiler_older_than_the_workspace_asks_for_is_not_used() {
        assert!(is_recent("rustc 1.96.0 (abc 2026-05-01) (built from a source tarball)", "1.95"));
        assert!(is_recent("rustc 1.95.1", "1.95"));
        assert!(is_recent("rustc 2.0.0", "1.95"));
        assert!(!is_recent("rustc 1.63.0", "1.95"));
        assert!(!is_recent("something else", "1.95"));
    }

    #[test]
    fn every_board_has_a_target_and_a_qemu_that_the_setup_installs() {
        for board in BOARDS {
            assert!(TARGETS.contains(&board.target), "{}", board.name);
            assert!(QEMU.iter().any(|(program, _)| *program == board.qemu), "{}", board.name);
        }
    }
}
