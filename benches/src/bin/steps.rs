//! Does one thing a given number of times and nothing else, for counting instructions.
//!
//! ```text
//! steps step IMAGE BACKEND N      N tokens through a session
//! steps review IMAGE BACKEND N    N whole reviews: UTF-8 text in, probability out
//! steps open IMAGE N              N times `Image::open`
//! steps cell CELL SIZE BACKEND N  N steps of a cell's int8 kernels, SIZE inputs and units
//! ```
//!
//! The count of one is the difference between two runs with different N, divided by the difference of N: starting, reading
//! the file and ending cost the same in both.

use std::hint::black_box;

use anyhow::{Context, Result, bail};
use latch_benches::cells::Steps;
use latch_benches::{REVIEW, REVIEW_STATE_BYTES, STEP_STATE_BYTES};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, State};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["step", image, backend, count] => {
            let image = read(image)?;
            let model = open(&image, backend)?;
            let mut state = State::<STEP_STATE_BYTES>::new();
            let mut session = model.session(&mut state)?;
            for id in 0..number(count)? {
                // The images have eight words.
                session.push_token(black_box(id % 8));
            }
            black_box(session.output());
        }
        ["review", image, backend, count] => {
            let image = read(image)?;
            let model = open(&image, backend)?;
            let mut state = State::<REVIEW_STATE_BYTES>::new();
            let mut session = model.session(&mut state)?;
            for _ in 0..number(count)? {
                session.reset();
                session.push_bytes(black_box(REVIEW.as_bytes()));
                session.finish();
                black_box(session.probability());
            }
        }
        ["open", image, count] => {
            let image = read(image)?;
            for _ in 0..number(count)? {
                black_box(Image::open(black_box(&image))?);
            }
        }
        ["cell", cell, size, backend, count] => {
            let steps = Steps { cell, size: number(size)? as usize, count: number(count)? };
            let backend =
                AnyBackend::by_name(backend).with_context(|| format!("this processor has no backend {backend}"))?;
            if !backend.run(steps) {
                bail!("there is no cell {cell}");
            }
        }
        _ => bail!("usage: steps step|review IMAGE BACKEND N, steps open IMAGE N, or steps cell CELL SIZE BACKEND N"),
    }
    Ok(())
}

fn read(path: &str) -> Result<AlignedBytes> {
    Ok(AlignedBytes::new(&std::fs::read(path).with_context(|| format!("cannot read {path}"))?))
}

fn open<'a>(image: &'a [u8], backend: &str) -> Result<Model<'a>> {
    let backend = AnyBackend::by_name(backend).with_context(|| format!("this processor has no backend {backend}"))?;
    Ok(Model::new(&Image::open(image)?).with_backend(backend))
}

fn number(text: &str) -> Result<u32> {
    text.parse().with_context(|| format!("{text} is no number"))
}
