//! What the cells cost beside each other: steps of an LSTM, a GRU and a simple layer by the kernels alone, in turn.
//!
//! ```text
//! cells [BACKEND [ROUNDS]]
//! ```
//!
//! A line each precision and size, with as many inputs as units: nanoseconds a step, the medians of all rounds, and of GRU and simple layer the median of the
//! rounds' parts of the LSTM's time.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use latch_benches::SIZES;
use latch_benches::cells::{CELLS, FloatSteps, Steps};
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
    let [lstm, gru, rnn] = CELLS;
    println!("{:>9} {:>5} {lstm:>8} {gru:>8} {rnn:>8} {gru:>6} {rnn:>6}", backend.name(), "units");
    for precision in ["f32", "int8"] {
        for size in SIZES {
            let mut found = [const { Vec::new() }; 5];
            for _ in 0..rounds {
                let mut times = [0.0; 3];
                for (time, cell) in times.iter_mut().zip(CELLS) {
                    *time = nanoseconds(backend, precision, cell, size)?;
                }
                let [lstm, gru, rnn] = times;
                let values = [lstm, gru, rnn, gru / lstm, rnn / lstm];
                found.iter_mut().zip(values).for_each(|(found, value)| found.push(value));
            }
            let [lstm, gru, rnn, gru_part, rnn_part] = found.map(|mut values| median(&mut values));
            println!("{precision:>9} {size:>5} {lstm:>8.0} {gru:>8.0} {rnn:>8.0} {gru_part:>6.2} {rnn_part:>6.2}");
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
