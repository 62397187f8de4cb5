//! The engine as WebAssembly: its lints, with the standard library and without, and its whole test suite under Node.
//!
//! The tests are compiled for WASI and run in Node's own, through `wasi.mjs`. There a panic ends the program: the first test that fails
//! is the last that runs, and what it prints is lost where it is captured.

use std::path::Path;

use latch_emulator::command::{Command, root};

/// The targets: with a system below, for the tests, and with nothing below, as in a browser.
const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-unknown-unknown"];

/// What the steps run the engine in.
pub(crate) const NODE: &str = "Node 18.17 or later";

/// What Debian's package with Node is called.
pub(crate) const NODE_PACKAGE: &str = "nodejs";

/// The targets for which the compiler has no library.
pub(crate) fn absent_targets() -> Vec<&'static str> {
    let has = |target: &str| {
        let folder = Command::new("rustc --print target-libdir --target").arg(target).capture();
        folder.is_ok_and(|(folder, _)| Path::new(folder.trim()).is_dir())
    };
    TARGETS.into_iter().filter(|target| !has(target)).collect()
}

/// True where Node is installed and runs WASI programs without being asked to by a flag.
pub(crate) fn has_node() -> bool {
    Command::new("node --no-warnings --eval").arg("require('node:wasi')").capture().is_ok()
}

/// The test that takes the most memory.
const WIDEST: &str =
    "kernels::cell::tests::weights_and_inputs_at_both_ends_over_2048_columns_have_one_digest_on_every_backend";

/// The engine's tests, with vectors, under Node, by name. Node 20 was seen to crash when the widest test has passed and its program ends; by itself and without
/// V8's helper threads it ends well.
pub(crate) fn tests() -> [(&'static str, Command); 2] {
    let runner = root().join("xtask/wasi.mjs").display().to_string();
    let under = |flags: &str, selection: &str| {
        for_target("test -p latch-engine --features std,float --lib --profile checked --no-fail-fast", TARGETS[0], true)
            .arg("--config")
            .arg(format!("target.{}.runner=[\"node\",\"--no-warnings\"{flags},{runner:?}]", TARGETS[0]))
            .args("-- --no-capture")
            .args(selection)
            .arg(WIDEST)
    };
    [("wasm, tests", under("", "--skip")), ("wasm, widest test", under(",\"--single-threaded\"", "--exact"))]
}

/// What is checked besides, by name: lints with the tests, and without the standard library, with vectors and without.
pub(crate) fn checks() -> [(&'static str, Command); 3] {
    let lints = |selection: &str, target, vectors| {
        for_target(&format!("clippy -p latch-engine --profile checked {selection}"), target, vectors)
            .args("-- -D warnings")
    };
    let bare = "--features float";
    [
        ("wasm, lints", lints("--all-targets --features std,float", TARGETS[0], true)),
        ("wasm without std", lints(bare, TARGETS[1], true)),
        ("wasm without std and vectors", lints(bare, TARGETS[1], false)),
    ]
}

/// A cargo command for the target. Flags of the caller are left out: they are meant for the host.
fn for_target(line: &str, target: &str, vectors: bool) -> Command {
    let command = Command::new("cargo").args(line).args("--target").args(target);
    let command = command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    if vectors {
        command.arg("--config").arg(format!("target.{target}.rustflags=[\"-Ctarget-feature=+simd128\"]"))
    } else {
        command
    }
}
