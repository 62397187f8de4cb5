//! One round: every engine at every size, checked and timed.
//!
//! ```text
//! peers FOLDER FILE [SIZE…]    reads what `prepare` wrote into FOLDER, writes the rows to FILE
//! ```
//!
//! The order is by size, then by engine, so that engines at one size are measured within a second or two of each other.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use latch_benches::peers::cell::{Cell, SHAPES, Shape};
use latch_benches::peers::{roofline, rounds};
use latch_peers::measure;

mod engines {
    pub(crate) mod burn;
    pub(crate) mod candle;
    pub(crate) mod latch;
    pub(crate) mod rten;
    pub(crate) mod tract;
}
use engines::{burn, candle, latch, rten, tract};

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
    let [folder, file, sizes @ ..] = &arguments[..] else {
        println!("peers FOLDER FILE [SIZE…]: `cargo xtask peers` calls this");
        return Ok(());
    };
    let shapes: Vec<Shape> = sizes.iter().map(|size| size.parse()).collect::<Result<_>>()?;
    let rows = round(Path::new(folder), if shapes.is_empty() { &SHAPES } else { &shapes })?;
    std::fs::write(file, rounds::text(&rows)).with_context(|| format!("cannot write {file}"))
}

fn round(folder: &Path, shapes: &[Shape]) -> Result<Vec<rounds::Row>> {
    let mut rows = Vec::new();
    for &shape in shapes {
        let cell = Cell::read(folder, shape)?;
        rows.extend(latch::rows(folder, &cell)?);
        rows.push(measure("tract", "f32", &cell, tract::Tract::new(&cell))?);
        rows.push(measure("candle", "f32", &cell, candle::Candle::new(&cell))?);
        // In its own pool, so that no step is handed from one thread to another.
        rows.push(::rten::thread_pool().run(|| measure("rten", "f32", &cell, rten::Rten::new(&cell)))?);
        rows.push(measure("burn-ndarray", "f32", &cell, burn::Burn::on_ndarray(&cell))?);
        rows.push(measure("burn-flex", "f32", &cell, burn::Burn::on_flex(&cell))?);
        rows.extend(roofline::rows(shape));
    }
    rows.extend(roofline::cache_rows());
    Ok(rows)
}
