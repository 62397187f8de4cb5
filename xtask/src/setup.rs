//! Installs what the tests need and cargo does not bring: valgrind, and a compiler for the chips.
//!
//! The compiler is rustup's own with the chips' standard libraries, where rustup can fetch them; elsewhere Debian's second
//! toolchain, which builds `core` from its own source.

use std::path::Path;

use anyhow::Result;

use crate::command::Command;

/// The chips' targets whose `core` the tests need: the smallest Cortex-M, and one with DSP instructions and floats.
pub(crate) const TARGETS: [&str; 2] = ["thumbv6m-none-eabi", "thumbv7em-none-eabihf"];

/// Debian's packages with a toolchain for the chips.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// Who compiles for the chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The toolchain that runs this program.
    Rustup,
    /// Debian's, in `/usr/bin`; builds `core` itself.
    Debian,
}

/// The toolchain that can build for all of [`TARGETS`], or `None`.
pub(crate) fn toolchain() -> Option<Toolchain> {
    if absent().is_empty() {
        return Some(Toolchain::Rustup);
    }
    let (sysroot, _) = debian("/usr/bin/rustc --print sysroot").capture().ok()?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    let (version, _) = debian("/usr/bin/rustc --version").capture().ok()?;
    let usable =
        source.is_dir() && Path::new("/usr/bin/cargo").is_file() && is_recent(&version, env!("CARGO_PKG_RUST_VERSION"));
    usable.then_some(Toolchain::Debian)
}

/// The targets for which the toolchain that runs this program has no library.
fn absent() -> Vec<&'static str> {
    let sysroot = Command::new("rustc --print sysroot").capture();
    let has = |target: &str| {
        sysroot
            .as_ref()
            .is_ok_and(|(path, _)| Path::new(path.trim()).join("lib/rustlib").join(target).join("lib").is_dir())
    };
    TARGETS.into_iter().filter(|target| !has(target)).collect()
}

/// A command of Debian's toolchain, kept apart from the one that runs this program.
pub(crate) fn debian(line: &str) -> Command {
    Command::new(line)
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTDOC", "/usr/bin/rustdoc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTFLAGS")
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

/// Valgrind's version, or `None` where it is not installed.
pub(crate) fn valgrind() -> Option<String> {
    Command::new("valgrind --version").capture().ok().map(|(version, _)| version.trim().to_owned())
}

/// What the tests need and this machine does not have, by name.
pub(crate) fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if valgrind().is_none() {
        missing.push("valgrind".to_owned());
    }
    if toolchain().is_none() {
        missing.push("a compiler for the chips".to_owned());
    }
    missing
}

/// Installs what is missing, and gives the names of what still is.
///
/// # Errors
/// When a program that exists cannot be started.
pub(crate) fn run() -> Result<Vec<String>> {
    let mut packages = Vec::new();
    if valgrind().is_none() {
        packages.push("valgrind");
    }
    if toolchain().is_none() && !add_targets(&absent()) {
        println!("rustup could not add them: Debian's own toolchain serves as well");
        packages.extend(DEBIAN_PACKAGES);
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    let missing = missing();
    match &missing[..] {
        [] => println!("setup: everything is there"),
        names => println!("setup: still missing: {}", names.join(", ")),
    }
    Ok(missing)
}

/// True when rustup is here and has added all of them.
fn add_targets(targets: &[&str]) -> bool {
    let command = Command::new(&format!("rustup target add {}", targets.join(" ")));
    println!("$ {command}");
    command.run(|_| ()).unwrap_or(false)
}

/// Installs Debian's packages as root; otherwise says which command does it.
fn install(packages: &[&str]) -> Result<()> {
    let update = Command::new("apt-get update -qq");
    let install = Command::new(&format!(
        "apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 {}",
        packages.join(" ")
    ));
    let has_apt = Command::new("apt-get --version").capture().is_ok();
    let is_root = Command::new("id -u").capture().is_ok_and(|(id, _)| id.trim() == "0");
    if !has_apt {
        println!("there is no apt-get here: install what these packages of Debian hold: {}", packages.join(" "));
        return Ok(());
    }
    if !is_root {
        println!("installing needs root; run:\n\n    sudo {update} && sudo {install}\n");
        return Ok(());
    }
    for command in [update, install] {
        println!("$ {command}");
        if !command.env("DEBIAN_FRONTEND", "noninteractive").run(|_| ())? {
            println!("that failed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_older_than_the_workspace_asks_for_is_not_used() {
        assert!(is_recent("rustc 1.96.0 (abc 2026-05-01) (built from a source tarball)", "1.95"));
        assert!(is_recent("rustc 1.95.1", "1.95"));
        assert!(is_recent("rustc 2.0.0", "1.95"));
        assert!(!is_recent("rustc 1.63.0", "1.95"));
        assert!(!is_recent("something else", "1.95"));
    }
}
