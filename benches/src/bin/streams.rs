//! What it gains that streams step together: eight of them one after the other, and by `Session::step_many`, in turn.
//!
//! ```text
//! streams FOLDER [BACKEND [ROUNDS]]
//! streams IMAGE [BACKEND [ROUNDS]]
//! ```
//!
//! The folder holds the images that `cargo run --release -p latch-images -- FOLDER` writes. An image is any that reads tokens; `cargo xtask peers` leaves those of
//! all cells in `target/peers/cells`. A line each image: nanoseconds of eight steps one by one and together, the medians of all rounds, and the median of the
//! rounds' quotients.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use latch_benches::peers::clock::median;
use latch_benches::{SIZES, STEP_STATE_BYTES, step_file};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::{AnyBackend, MANY};
use latch_engine::{Model, Session, State};

/// How long a measurement takes, in nanoseconds.
const TIME: f64 = 2e7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (place, backend, rounds) = match arguments[..] {
        [place] => (place, None, "7"),
        [place, backend] => (place, Some(backend), "7"),
        [place, backend, rounds] => (place, Some(backend), rounds),
        _ => bail!("usage: streams FOLDER|IMAGE [BACKEND [ROUNDS]]"),
    };
    let backend = match backend {
        None => AnyBackend::detect(),
        Some(name) => AnyBackend::by_name(name).with_context(|| format!("this processor has no backend {name}"))?,
    };
    let rounds: u32 = rounds.parse().ok().filter(|rounds| *rounds > 0).context("ROUNDS is a number from 1")?;
    let place = Path::new(place);
    let images = match place.is_dir() {
        false => vec![place.to_owned()],
        true => ["f32", "f16", "int16", "int8"]
            .iter()
            .flat_map(|precision| SIZES.map(|size| place.join(step_file(precision, size))))
            .collect(),
    };
    println!("{:>24} {:>12} {:>12} {:>6}", backend.name(), "one by one", "together", "part");
    for path in images {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let [one, all, part] =
            measured(&bytes, backend, rounds).with_context(|| format!("{} is no image for this", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        println!("{name:>24} {one:>12.0} {all:>12.0} {part:>6.2}");
    }
    Ok(())
}

/// Nanoseconds of eight steps one by one and together, and the quotient.
fn measured(bytes: &[u8], backend: AnyBackend, rounds: u32) -> Result<[f64; 3]> {
    let bytes = AlignedBytes::new(bytes);
    let image = Image::open(&bytes)?;
    let model = Model::new(&image).with_backend(backend);
    let mut states: Vec<_> = (0..MANY).map(|_| Box::new(State::<STEP_STATE_BYTES>::new())).collect();
    let sessions: Result<Vec<_>, _> = states.iter_mut().map(|state| model.session(state)).collect();
    let mut sessions = sessions?;
    for id in 0..8 {
        ensure!(Session::step_many(&mut sessions, &[id; MANY]) == MANY, "it does not read the ids 0 to 7");
    }
    let once = time(16, |id| {
        black_box(Session::step_many(&mut sessions, &[id; MANY]));
    });
    let steps = (TIME / once) as usize + 1;
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
