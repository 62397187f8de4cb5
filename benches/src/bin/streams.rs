//! What it gains that streams step together: eight of them one after the other, and by `Session::step_many`, in turn.
//!
//! ```text
//! streams [--backend NAME] [--rounds N]
//! ```
//!
//! A line each precision and size: nanoseconds of eight steps one by one and together, the medians of all rounds, and the median of the rounds' quotients.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use latch_benches::images::step_image;
use latch_benches::peers::clock::median;
use latch_benches::{SIZES, STEP_STATE_BYTES};
use latch_engine::image::Image;
use latch_engine::kernels::{AnyBackend, MANY};
use latch_engine::{Model, Precision, Session, State};

#[derive(Parser)]
#[command(about = "Eight streams one by one and together")]
struct Arguments {
    /// The backend; the widest one without it
    #[arg(long)]
    backend: Option<String>,
    /// How often both are measured
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Multiply-adds of a round, in millions
    #[arg(long, default_value_t = 200)]
    millions: u64,
}

fn main() -> Result<()> {
    let Arguments { backend, rounds, millions } = Arguments::parse();
    let backend = match &backend {
        None => AnyBackend::detect(),
        Some(name) => AnyBackend::by_name(name).with_context(|| format!("this processor has no backend {name}"))?,
    };
    println!("{:>9} {:>5} {:>12} {:>12} {:>9}", backend.name(), "units", "one by one", "together", "part");
    for precision in [Precision::F32, Precision::Int8] {
        for size in SIZES {
            let steps = (1_000_000 * millions / (8 * size * size * MANY) as u64).max(1) as u32;
            let bytes = step_image(precision, size)?;
            let image = Image::open(&bytes)?;
            let model = Model::new(&image).with_backend(backend);
            let mut states: Vec<_> = (0..MANY).map(|_| Box::new(State::<STEP_STATE_BYTES>::new())).collect();
            let sessions: Result<Vec<_>, _> = states.iter_mut().map(|state| model.session(state)).collect();
            let mut sessions = sessions?;
            let (mut apart, mut together, mut parts) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds {
                let one = time(steps, |id| {
                    sessions.iter_mut().for_each(|session| {
                        black_box(session.push_token(id));
                    });
                });
                let all = time(steps, |id| {
                    black_box(Session::step_many(&mut sessions, &[id; MANY]));
                });
                apart.push(one);
                together.push(all);
                parts.push(all / one);
            }
            let medians = [&mut apart, &mut together, &mut parts].map(|values| median(values));
            let [one, all, part] = medians;
            println!("{:>9} {size:>5} {one:>12.0} {all:>12.0} {part:>9.2}", format!("{precision:?}").to_lowercase());
        }
    }
    Ok(())
}

/// Nanoseconds of a step.
fn time(steps: u32, mut step: impl FnMut(u32)) -> f64 {
    let begun = Instant::now();
    // The images have eight words.
    (0..steps).for_each(|number| step(black_box(number % 8)));
    begun.elapsed().as_nanos() as f64 / f64::from(steps)
}
