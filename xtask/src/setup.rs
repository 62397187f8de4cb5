//! Installs what cargo does not bring: QEMU and a compiler for the chips, which boards need; and for the tests besides, where they are asked for,
//! valgrind, Node, and libraries for foreign processors and WebAssembly.
//!
//! Rustup is asked first for the chips' libraries; where it cannot fetch them, Debian's own toolchain serves. The libraries of the
//! foreign processors and of WebAssembly come from rustup alone; where it cannot fetch them, the tests there are left out, and nothing else.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use latch_emulator::command::Command;
use latch_emulator::toolchain::{DEBIAN_PACKAGES, FORCE, QEMU, Toolchain, absent, absent_qemu};

use crate::{foreign, wasm};

/// Valgrind's version, or `None` where it is not installed.
pub(crate) fn valgrind() -> Option<String> {
    Command::new("valgrind --version").capture().ok().map(|(version, _)| version.trim().to_owned())
}

/// What is wanted, and whether somebody is asked before it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Wanted {
    /// Installs what only the tests need, too: valgrind, Node, and libraries and emulators for foreign processors and WebAssembly
    #[arg(long)]
    pub(crate) tests: bool,
    /// Asks nothing; without a terminal nothing is asked either
    #[arg(long)]
    pub(crate) yes: bool,
}

impl Wanted {
    /// All that the tests need, without a question.
    pub(crate) const TESTS: Self = Wanted { tests: true, yes: true };

    /// True where what has just been said may be done.
    fn agreed(self) -> bool {
        if self.yes || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return true;
        }
        print!("go on? [y/N] ");
        let mut answer = String::new();
        let said = std::io::stdout().flush().and_then(|()| std::io::stdin().lock().read_line(&mut answer));
        said.is_ok() && is_yes(&answer)
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// What is wanted and this machine does not have, by name.
pub(crate) fn missing(wanted: Wanted) -> Vec<String> {
    let mut missing = Vec::new();
    missing.extend(absent_qemu().into_iter().map(str::to_owned));
    if Toolchain::find().is_err() {
        missing.push("a compiler for the chips".to_owned());
    }
    if !wanted.tests {
        return missing;
    }
    if valgrind().is_none() {
        missing.push("valgrind".to_owned());
    }
    missing.extend(foreign::absent_emulators().into_iter().map(|(program, _)| program.to_owned()));
    if !wasm::has_node() {
        missing.push(wasm::NODE.to_owned());
    }
    missing
}

/// Installs what is missing of what is wanted, and gives the names of what still is.
///
/// # Errors
/// When a program that exists cannot be started.
pub(crate) fn run(wanted: Wanted) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    let qemu = absent_qemu();
    packages.extend(QEMU.into_iter().filter(|(program, _)| qemu.contains(program)).map(|(_, package)| package));
    if Toolchain::find().is_err() {
        let debian = std::env::var(FORCE).is_ok_and(|name| name == "debian");
        if debian || add_targets(&absent(), wanted) == Some(false) {
            println!("taking Debian's own toolchain, which serves as well as rustup's");
            packages.extend(DEBIAN_PACKAGES);
        }
    }
    if wanted.tests {
        if valgrind().is_none() {
            packages.push("valgrind");
        }
        packages.extend(foreign::absent_emulators().into_iter().map(|(_, package)| package));
        let mut libraries = foreign::absent_targets();
        libraries.extend(wasm::absent_targets());
        if !libraries.is_empty() && add_targets(&libraries, wanted) != Some(true) {
            println!("setup: rustup has not fetched {}: the tests there are left out", libraries.join(", "));
        }
        if !wasm::has_node() {
            packages.push(wasm::NODE_PACKAGE);
        }
    }
    if !packages.is_empty() {
        install(&packages, wanted)?;
    }
    let missing = missing(wanted);
    match &missing[..] {
        [] => println!("setup: everything is there; the chips' compiler is {}'s", Toolchain::find()?.name()),
        names => println!("setup: still missing: {}", names.join(", ")),
    }
    if !wanted.tests {
        println!("setup: `cargo xtask setup --tests` installs what only the tests need, too");
    }
    Ok(missing)
}

/// Whether rustup is here and has added all of them; `None` where the answer was no.
fn add_targets(targets: &[&str], wanted: Wanted) -> Option<bool> {
    let command = Command::new(&format!("rustup target add {}", targets.join(" ")));
    println!("setup fetches {} of Rust's standard libraries, each some tens of megabytes:\n$ {command}", targets.len());
    wanted.agreed().then(|| command.run(|_| ()).unwrap_or(false))
}

/// How packages are installed: nothing that is there is removed for them, and nothing comes along that is only recommended.
const INSTALL: &str = "apt-get install --no-remove --no-install-recommends -o DPkg::Lock::Timeout=120";

/// Installs Debian's packages as root, after saying which ones come and how large they are; otherwise says which command does it.
fn install(packages: &[&str], wanted: Wanted) -> Result<()> {
    let update = Command::new("apt-get update -qq");
    let install = Command::new(&format!("{INSTALL} -y -qq {}", packages.join(" ")));
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
    println!("$ {update}");
    if !update.env("DEBIAN_FRONTEND", "noninteractive").run(|_| ())? {
        println!("that failed");
    }
    match plan(&simulated(packages)?) {
        Ok(plan) => println!("setup installs:\n{plan}"),
        Err(removed) => {
            println!(
                "setup installs nothing: {} would take away {removed}, which is installed here; decide for yourself by\n\n    \
                 sudo apt-get install {}\n",
                packages.join(", "),
                packages.join(" ")
            );
            return Ok(());
        }
    }
    println!("$ {install}");
    if !wanted.agreed() {
        println!("setup installs nothing");
        return Ok(());
    }
    if !install.env("DEBIAN_FRONTEND", "noninteractive").run(|_| ())? {
        println!("that failed");
    }
    Ok(())
}

/// What apt-get says that it would do, without doing it.
fn simulated(packages: &[&str]) -> Result<String> {
    // Without `--no-remove`, so that it names what would go. It answers its own question with no.
    let output = std::process::Command::new("apt-get")
        .args(["install", "--assume-no", "--no-install-recommends"])
        .args(packages)
        .env("LC_ALL", "C")
        .output()
        .context("cannot start apt-get")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The packages that come and their sizes, from what apt-get says; or the packages that would be removed for them.
fn plan(said: &str) -> Result<String, String> {
    let names = |title: &str| {
        let lines = said.lines().skip_while(|line| !line.starts_with(title)).skip(1);
        lines.take_while(|line| line.starts_with("  ")).flat_map(str::split_whitespace).collect::<Vec<_>>()
    };
    let removed = names("The following packages will be REMOVED:");
    if !removed.is_empty() {
        return Err(removed.join(", "));
    }
    let mut plan = String::new();
    for (title, what) in [
        ("The following NEW packages will be installed:", "new"),
        ("The following packages will be upgraded:", "newer"),
    ] {
        let names = names(title);
        if !names.is_empty() {
            plan.push_str(&format!("  {what}: {}\n", names.join(" ")));
        }
    }
    let sizes = said.lines().filter(|line| line.starts_with("Need to get") || line.starts_with("After this operation"));
    sizes.for_each(|line| plan.push_str(&format!("  {line}\n")));
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Reading package lists...\nBuilding dependency tree...\nSuggested packages:\n  cargo-web\n\
        The following NEW packages will be installed:\n  libllvm22 libstd-rust-web-dev\n  rustc-web\n\
        0 upgraded, 3 newly installed, 0 to remove and 134 not upgraded.\nNeed to get 138 MB of archives.\n\
        After this operation, 620 MB of additional disk space will be used.\nDo you want to continue? [Y/n] N\nAbort.\n";

    #[test]
    fn what_comes_is_said_with_its_sizes() {
        let plan = plan(SAID).expect("nothing is removed");
        assert_eq!(
            plan,
            "  new: libllvm22 libstd-rust-web-dev rustc-web\n  Need to get 138 MB of archives.\n  \
             After this operation, 620 MB of additional disk space will be used.\n"
        );
    }

    #[test]
    fn only_a_yes_is_a_yes_and_the_tests_ask_nothing() {
        for (answer, yes) in
            [("y\n", true), ("Yes\n", true), ("\n", false), ("n\n", false), ("", false), ("yo\n", false)]
        {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
        assert!(Wanted::TESTS.agreed());
    }

    #[test]
    fn what_only_the_tests_need_is_left_out_unless_it_is_asked_for() {
        let (few, all) = (missing(Wanted::default()), missing(Wanted::TESTS));
        assert!(few.iter().all(|name| all.contains(name)), "{few:?} {all:?}");
        assert!(!few.iter().any(|name| name == "valgrind" || name == wasm::NODE), "{few:?}");
    }

    #[test]
    fn a_package_that_would_be_removed_is_named_and_stops_the_setup() {
        let removal = "The following packages will be REMOVED:\n  qemu-user-static binfmt\nThe following NEW";
        assert_eq!(plan(&SAID.replace("The following NEW", removal)), Err("qemu-user-static, binfmt".to_owned()));
        assert!(INSTALL.contains("--no-remove"));
    }
}
