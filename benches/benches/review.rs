//! The time of a whole review: UTF-8 text in, probability out, by precision and backend.
//!
//! The model is of the size that classifies film reviews: a vocabulary of 5,000, embedding 8, 32 units, pooling mean.

use std::hint::black_box;

use anyhow::Result;
use criterion::{BenchmarkId, Criterion, Throughput};
use latch_benches::images::{PRECISIONS, review_image};
use latch_benches::{REVIEW, REVIEW_STATE_BYTES};
use latch_engine::image::Image;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Model, State};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("review");
    group.throughput(Throughput::Bytes(REVIEW.len() as u64));
    for precision in PRECISIONS {
        let image = review_image(precision)?;
        let image = Image::open(&image)?;
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let mut state = State::<REVIEW_STATE_BYTES>::new();
            let mut session = model.session(&mut state)?;
            group.bench_function(BenchmarkId::new(precision.name(), backend.name()), |bencher| {
                bencher.iter(|| {
                    session.reset();
                    session.push_bytes(black_box(REVIEW.as_bytes()));
                    session.finish();
                    session.probability()
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
