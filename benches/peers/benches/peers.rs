//! One round: every engine at every size, checked and timed.
//!
//! ```text
//! peers FOLDER FILE [--backend NAME] [SIZE…]    reads what `prepare` wrote into FOLDER, writes the rows to FILE
//! ```
//!
//! The order is by size, then by cell and engine, so that engines at one size are measured within a second or two of each other.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use latch_benches::peers::cell::{Cell, Kind, SHAPES, Shape};
use latch_benches::peers::{roofline, rounds};
use latch_engine::kernels::AnyBackend;

mod engines {
    pub(crate) mod latch;
    #[cfg(feature = "others")]
    pub(crate) mod others;
}
use engines::latch;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder, file, rest @ ..] = &arguments[..] else {
        println!("peers FOLDER FILE [--backend NAME] [SIZE…]: `cargo xtask peers` calls this");
        return Ok(());
    };
    let (backend, sizes) = match rest {
        [option, name, sizes @ ..] if option == "--backend" => {
            let found = AnyBackend::by_name(name);
            (Some(found.with_context(|| format!("this processor has no backend {name}"))?), sizes)
        }
        sizes => (None, sizes),
    };
    let shapes: Vec<Shape> = sizes.iter().map(|size| size.parse()).collect::<Result<_>>()?;
    let rows = round(Path::new(folder), backend, if shapes.is_empty() { &SHAPES } else { &shapes })?;
    std::fs::write(file, rounds::text(&rows)).with_context(|| format!("cannot write {file}"))
}

/// With a backend, ours are measured with that one alone, and the processor's bounds with its instructions.
fn round(folder: &Path, backend: Option<AnyBackend>, shapes: &[Shape]) -> Result<Vec<rounds::Row>> {
    let backends: Vec<AnyBackend> = backend.map_or_else(|| AnyBackend::all().collect(), |backend| vec![backend]);
    let widest = backend.unwrap_or(AnyBackend::detect());
    let mut rows = Vec::new();
    for &shape in shapes {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has(shape)) {
            rows.extend(latch::rows(folder, &Cell::read(folder, kind, shape)?, &backends)?);
        }
        #[cfg(feature = "others")]
        rows.extend(engines::others::rows(&Cell::read(folder, Kind::Lstm, shape)?)?);
        rows.extend(roofline::rows(shape, widest));
    }
    rows.extend(roofline::cache_rows(widest));
    Ok(rows)
}
