//! What it gains that streams step together: eight of them one after the other, and by `Session::step_many`, in turn.
//!
//! ```text
//! streams FOLDER [BACKEND [ROUNDS]]
//! ```
//!
//! The folder holds the images that `cargo run --release -p latch-images -- FOLDER` writes. A line each precision and size: nanoseconds of eight steps one by
//! one and together, the medians of all rounds, and the median of the rounds' quotients.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use latch_benches::peers::clock::median;
use latch_benches::{SIZES, STEP_STATE_BYTES, step_file};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::{AnyBackend, MANY};
use latch_engine::{Model, Session, State};

/// Multiply-adds of a measurement.
const WORK: usize = 200_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, backend, rounds) = match arguments[..] {
        [folder] => (folder, None, "7"),
        [folder, backend] => (folder, Some(backend), "7"),
        [folder, backend, rounds] => (folder, Some(backend), rounds),
        _ => bail!("usage: streams FOLDER [BACKEND [ROUNDS]]"),
    };
    let backend = match backend {
        None => AnyBackend::detect(),
        Some(name) => AnyBackend::by_name(name).with_context(|| format!("this processor has no backend {name}"))?,
    };
    let rounds: u32 = rounds.parse().ok().filter(|rounds| *rounds > 0).context("ROUNDS is a number from 1")?;
    println!("{:>9} {:>5} {:>12} {:>12} {:>9}", backend.name(), "units", "one by one", "together", "part");
    for precision in ["f32", "int8"] {
        for size in SIZES {
            let path = Path::new(folder).join(step_file(precision, size));
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let [one, all, part] = measured(&bytes, backend, (WORK / (8 * size * size * MANY)).max(1), rounds)?;
            println!("{precision:>9} {size:>5} {one:>12.0} {all:>12.0} {part:>9.2}");
        }
    }
    Ok(())
}

/// Nanoseconds of eight steps one by one and together, and the quotient.
fn measured(bytes: &[u8], backend: AnyBackend, steps: usize, rounds: u32) -> Result<[f64; 3]> {
    let bytes = AlignedBytes::new(bytes);
    let image = Image::open(&bytes)?;
    let model = Model::new(&image).with_backend(backend);
    let mut states: Vec<_> = (0..MANY).map(|_| Box::new(State::<STEP_STATE_BYTES>::new())).collect();
    let sessions: Result<Vec<_>, _> = states.iter_mut().map(|state| model.session(state)).collect();
    let mut sessions = sessions?;
    let mut found = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let one = time(steps, |id| {
            for session in &mut sessions {
                black_box(session.push_token(id));
            }
        });
        let all = time(steps, |id| {
            black_box(Session::step_many(&mut sessions, &[id; MANY]));
        });
        found.iter_mut().zip([one, all, all / one]).for_each(|(found, value)| found.push(value));
    }
    Ok(found.map(|mut values| median(&mut values)))
}

/// Nanoseconds of a step.
fn time(steps: usize, mut step: impl FnMut(u32)) -> f64 {
    let begun = Instant::now();
    // The images have eight words.
    (0..steps).for_each(|number| step(black_box(number as u32 % 8)));
    begun.elapsed().as_nanos() as f64 / steps as f64
}
