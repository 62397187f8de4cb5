//! What the cells cost beside each other: steps of an LSTM, a GRU and a simple layer by the kernels alone, in turn.
//!
//! ```text
//! cells [BACKEND [ROUNDS]]
//! ```
//!
//! A line for each precision and size, with as many inputs as units: nanoseconds a step, the medians of all rounds, and of each other cell, and of the LSTM with
//! weights of four bits, the median of the rounds' parts of the LSTM's time.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use latch_benches::SIZES;
use latch_benches::cells::{CELLS, FloatSteps, INT4, Steps};
use latch_benches::peers::clock::median;
use latch_engine::kernels::AnyBackend;

/// Multiply-adds of a measurement.
const WORK: usize = 100_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (backend, rounds) = match arguments[..] {
        [] => (None, "7"),
        [backend] => (Some(backend), "7"),
        [backend, rounds] => (Some(backend), rounds),
        _ => bail!("usage: cells [BACKEND [ROUNDS]]"),
    };
    let backend = match backend {
        None => AnyBackend::detect(),
        Some(name) => AnyBackend::by_name(name).with_context(|| format!("this processor has no backend {name}"))?,
    };
    let rounds: u32 = rounds.parse().ok().filter(|rounds| *rounds > 0).context("ROUNDS is a number from 1")?;
    let names: Vec<String> = CELLS.iter().chain([&INT4]).map(|name| format!("{name:>9}")).collect();
    println!("{:>9} {:>5} {}   parts of the lstm: gru, rnn, {INT4}", backend.name(), "units", names.join(" "));
    for precision in ["f32", "int8"] {
        let cells: Vec<&str> = CELLS.into_iter().chain((precision == "int8").then_some(INT4)).collect();
        for size in SIZES {
            let mut times = vec![Vec::new(); cells.len()];
            let mut parts = vec![Vec::new(); cells.len()];
            for _ in 0..rounds {
                for (times, cell) in times.iter_mut().zip(&cells) {
                    times.push(nanoseconds(backend, precision, cell, size)?);
                }
                let now: Vec<f64> = times.iter().filter_map(|times| times.last().copied()).collect();
                parts.iter_mut().zip(&now).for_each(|(parts, time)| parts.push(time / now[0]));
            }
            let times: Vec<String> = times.iter_mut().map(|times| format!("{:>9.0}", median(times))).collect();
            let parts: Vec<String> = parts.iter_mut().skip(1).map(|parts| format!("{:.2}", median(parts))).collect();
            println!("{precision:>9} {size:>5} {:<39}   {}", times.join(" "), parts.join("  "));
        }
    }
    Ok(())
}

/// Nanoseconds of a step.
fn nanoseconds(backend: AnyBackend, precision: &str, cell: &str, size: usize) -> Result<f64> {
    let steps = |count| match precision {
        "f32" => backend.run(FloatSteps { cell, size, count }),
        _ => backend.run(Steps { cell, size, count }),
    };
    let count = (WORK / (8 * size * size)).max(1) as u32;
    ensure!(steps(count / 10 + 1), "there is no cell {cell}");
    let begun = Instant::now();
    steps(count);
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(count))
}
