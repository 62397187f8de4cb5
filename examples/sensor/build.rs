//! Asks for `model.latch` in one sentence where it is missing, and gives the linker its arguments.

use std::{env, path::Path};

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rerun-if-changed=model.latch");
    if !Path::new(&folder).join("model.latch").is_file() {
        println!(
            "cargo::error=there is no model.latch: make it with `latch export --run RUN --precision int8 \
             --out {folder}/model.latch`"
        );
    }
    println!("cargo::rustc-link-search={folder}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
}
