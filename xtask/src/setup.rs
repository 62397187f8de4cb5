//! Installs what the tests need and cargo does not bring: valgrind, QEMU, Node, a compiler for the chips, and libraries for foreign processors
//! and WebAssembly.
//!
//! Rustup is asked first for the chips' libraries; where it cannot fetch them, Debian's own toolchain serves. The libraries of the
//! foreign processors and of WebAssembly come from rustup alone; where it cannot fetch them, the tests there are left out, and nothing else.

use anyhow::Result;
use latch_emulator::command::Command;
use latch_emulator::toolchain::{DEBIAN_PACKAGES, FORCE, QEMU, Toolchain, absent, absent_qemu};

use crate::{foreign, wasm};

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
    missing.extend(absent_qemu().into_iter().map(str::to_owned));
    missing.extend(foreign::absent_emulators().into_iter().map(|(program, _)| program.to_owned()));
    if Toolchain::find().is_err() {
        missing.push("a compiler for the chips".to_owned());
    }
    if !wasm::has_node() {
        missing.push(wasm::NODE.to_owned());
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
    let qemu = absent_qemu();
    packages.extend(QEMU.into_iter().filter(|(program, _)| qemu.contains(program)).map(|(_, package)| package));
    packages.extend(foreign::absent_emulators().into_iter().map(|(_, package)| package));
    if Toolchain::find().is_err() {
        let debian = std::env::var(FORCE).is_ok_and(|name| name == "debian");
        if debian || !add_targets(&absent()) {
            println!("taking Debian's own toolchain, which serves as well as rustup's");
            packages.extend(DEBIAN_PACKAGES);
        }
    }
    let mut libraries = foreign::absent_targets();
    libraries.extend(wasm::absent_targets());
    if !libraries.is_empty() && !add_targets(&libraries) {
        println!("setup: rustup cannot fetch {}: the tests there are left out", libraries.join(", "));
    }
    if !wasm::has_node() {
        packages.push(wasm::NODE_PACKAGE);
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    let missing = missing();
    match &missing[..] {
        [] => println!("setup: everything is there; the chips' compiler is {}'s", Toolchain::find()?.name()),
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
