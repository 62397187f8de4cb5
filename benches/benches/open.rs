//! The time of `Image::open`, which checks every byte, on the review model (64 KiB at int8).

use std::hint::black_box;

use anyhow::Result;
use criterion::{Criterion, Throughput};
use latch_benches::images::{PRECISIONS, review_image};
use latch_engine::image::Image;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("open");
    for precision in PRECISIONS {
        let image = review_image(precision)?;
        group.throughput(Throughput::Bytes(image.len() as u64));
        group.bench_function(precision.name(), |bencher| {
            bencher.iter(|| Image::open(black_box(&image)).map(|image| image.crc()));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
