//! Names the chips' backend: `latch_backend="dsp" | "helium" | "thumb"`, or nothing where the scalar one serves; and `latch_defmt`.
//!
//! The instruction sets of Cortex-M are not visible as target features on stable, so that they follow from the target and from
//! `-C target-cpu`. `--cfg engine_backend="scalar"` leaves the reference alone; so does the variable `LATCH_ENGINE_BACKEND=scalar`, which
//! changes no flag, so that a toolchain that builds `core` itself need not build it again.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(r#"cargo::rustc-check-cfg=cfg(latch_backend, values(none(), "dsp", "helium", "thumb"))"#);
    println!("cargo::rustc-check-cfg=cfg(latch_fpu, latch_armv8m, latch_defmt)");
    // The feature `defmt` under a short name, for it stands above every public enum.
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo::rustc-cfg=latch_defmt");
    }
    let target = env::var("TARGET").unwrap_or_default();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cpu = target_cpu(&flags);
    if target.starts_with("thumb") && target.ends_with("eabihf") {
        println!("cargo::rustc-cfg=latch_fpu");
    }
    if target.starts_with("thumbv8m") {
        println!("cargo::rustc-cfg=latch_armv8m");
    }
    println!("cargo::rerun-if-env-changed=LATCH_ENGINE_BACKEND");
    let is_scalar = |name| env::var(name).is_ok_and(|backend| backend == "scalar");
    if is_scalar("CARGO_CFG_ENGINE_BACKEND") || is_scalar("LATCH_ENGINE_BACKEND") {
        return;
    }
    let backend = match target.split('-').next().unwrap_or_default() {
        "thumbv6m" => "thumb",
        "thumbv7em" => "dsp",
        // ARMv8-M leaves the DSP extension and Helium to the core.
        "thumbv8m.main" if matches!(cpu, "cortex-m55" | "cortex-m52" | "cortex-m85") => "helium",
        "thumbv8m.main" if matches!(cpu, "cortex-m33" | "cortex-m35p") => "dsp",
        _ => return,
    };
    println!("cargo::rustc-cfg=latch_backend");
    println!("cargo::rustc-cfg=latch_backend=\"{backend}\"");
}

/// The value of the last `-C target-cpu=`, in either spelling; empty where there is none.
fn target_cpu(encoded: &str) -> &str {
    encoded
        .split('\u{1f}')
        .filter_map(|flag| flag.trim_start_matches("-C").strip_prefix("target-cpu="))
        .next_back()
        .unwrap_or_default()
}
