//! The time of one LSTM step, by precision, backend and size (inputs = units).
//!
//! `step` goes through a session, as an application does: embedding row, [x; h], the LSTM step. `kernel` is the step alone.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytemuck::{AnyBitPattern, NoUninit};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use half::f16;
use latch_benches::images::{PRECISIONS, step_image};
use latch_benches::{SIZES, STEP_STATE_BYTES};
use latch_engine::image::Image;
use latch_engine::image::role::Role;
use latch_engine::kernels::{AnyBackend, Backend, FloatWeight, IntWeight, Packed, RowsFloat, RowsInt, WithBackend};
use latch_engine::layers::Layer;
use latch_engine::{Model, Precision, State};

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args();
    for precision in PRECISIONS {
        let mut group = criterion.benchmark_group(format!("step/{}", precision.name()));
        for size in SIZES {
            let image = step_image(precision, size)?;
            let image = Image::open(&image)?;
            group.throughput(Throughput::Elements(1));
            for backend in AnyBackend::all() {
                let model = Model::new(&image).with_backend(backend);
                let mut state = State::<STEP_STATE_BYTES>::new();
                let mut session = model.session(&mut state)?;
                let mut id = 0;
                group.bench_function(BenchmarkId::new(backend.name(), size), |bencher| {
                    bencher.iter(|| {
                        id = (id + 1) % 8;
                        session.push_token(black_box(id))
                    });
                });
            }
        }
        group.finish();
        let mut group = criterion.benchmark_group(format!("kernel/{}", precision.name()));
        for size in SIZES {
            let image = step_image(precision, size)?;
            let image = Image::open(&image)?;
            // Multiplications of weights by columns.
            group.throughput(Throughput::Elements((8 * size * size) as u64));
            for backend in AnyBackend::all() {
                backend.run(Kernel { group: &mut group, image: &image, size })?;
            }
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// The step of the image's precision on one backend.
struct Kernel<'a, 'g, 'i> {
    group: &'a mut BenchmarkGroup<'g, WallTime>,
    image: &'a Image<'i>,
    size: usize,
}

impl WithBackend for Kernel<'_, '_, '_> {
    type Output = Result<()>;

    fn run<B: Backend>(self, backend: B) -> Result<()> {
        match self.image.description().precision {
            Precision::F32 => kernel_float::<B, f32>(self.group, backend, self.image, self.size),
            Precision::F16 => kernel_float::<B, f16>(self.group, backend, self.image, self.size),
            Precision::Int8 => kernel_integers(self.group, backend, self.image, self.size, 127, |gates, xh, h, c| {
                backend.lstm_i8(gates, xh, h, c);
            }),
            Precision::Int16 => {
                kernel_integers(self.group, backend, self.image, self.size, 32_767, |gates, xh, h, c| {
                    backend.lstm_i16(gates, xh, h, c);
                })
            }
        }
    }
}

/// A step of integers, whose columns are up to `largest`.
fn kernel_integers<B: Backend, W: IntWeight>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    backend: B,
    image: &Image<'_>,
    size: usize,
    largest: i16,
    step: impl Fn(&RowsInt<'_, W>, &mut [i16], &mut [i16], &mut [i32]),
) -> Result<()> {
    let description = image.description();
    let Some(Layer::Lstm(lstm)) = description.layers.first() else {
        bail!("the image does not begin with an LSTM layer")
    };
    let gates = RowsInt {
        weights: tensor(image, Role::Weights)?,
        multiplier: tensor(image, Role::Multipliers)?,
        bias: tensor(image, Role::Biases)?,
        shift: u32::from(lstm.shift),
        packed: Packed::NONE,
    };
    let part = largest / 127;
    let mut xh: Vec<i16> = (0..2 * size).map(|column| ((column * 37 % 255) as i16 - 127) * part).collect();
    let (mut h, mut c) = (vec![0_i16; size], vec![0_i32; size]);
    group.bench_function(BenchmarkId::new(backend.name(), size), |bencher| {
        bencher.iter(|| {
            step(&gates, black_box(&mut xh), &mut h, &mut c);
            black_box(&h);
        });
    });
    Ok(())
}

fn kernel_float<B: Backend, W: FloatWeight>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    backend: B,
    image: &Image<'_>,
    size: usize,
) -> Result<()> {
    let gates = RowsFloat::<W> { weights: tensor(image, Role::Weights)?, bias: tensor(image, Role::Biases)? };
    let xh: Vec<f32> = (0..2 * size).map(|column| (column * 37 % 255) as f32 / 127.5 - 1.0).collect();
    let (mut h, mut c) = (vec![0_f32; size], vec![0_f32; size]);
    group.bench_function(BenchmarkId::new(backend.name(), size), |bencher| {
        bencher.iter(|| {
            backend.lstm_float(&gates, black_box(&xh), &mut h, &mut c);
            black_box(&h);
        });
    });
    Ok(())
}

/// A tensor of the first layer, where it lies in the image.
fn tensor<'a, T: AnyBitPattern + NoUninit>(image: &Image<'a>, role: Role) -> Result<&'a [T]> {
    let section = image
        .sections()
        .find(|section| section.role == role && section.layer == 0)
        .context("the image has no such tensor")?;
    bytemuck::try_cast_slice(image.section_bytes(&section)).ok().context("the tensor has other elements")
}
