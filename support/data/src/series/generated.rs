//! Series that need no network, in the shape of a published set: the same channels, lengths, classes and counts.
//!
//! Each class has a wave of its own in each channel: two sines of drawn frequency, phase and height. A series is its class's waves, a little earlier or later,
//! faster or slower, higher or lower, and noise of half their height. No single value tells the class. The monthly series grows by about a percent a month, with a season of
//! twelve months in proportion to its level.

use std::f64::consts::TAU;

use anyhow::Result;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::published::{Shape, in_thirds};
use super::{Filled, Frames, Published, Series, SeriesSet, SeriesTask, Target, values};

/// The height of the noise beside waves of height 1.
const NOISE: f64 = 0.5;

/// The training and the test part of a set in the shape of `set`, the same for the same seed.
///
/// # Errors
/// None: the shapes are large enough to be divided.
pub(super) fn generate(set: Published, seed: u64) -> Result<[SeriesSet; 2]> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = set.shape();
    if shape.task == SeriesTask::Forecast {
        let values = months(&mut rng, shape.steps[0]);
        return in_thirds(&named(set, &shape, vec![(values, Target::None)]));
    }
    let waves: Vec<Vec<Wave>> =
        shape.classes.iter().map(|_| (0..shape.channels).map(|_| Wave::draw(&mut rng)).collect()).collect();
    Ok(shape.counts.map(|count| {
        let recordings = (0..count).map(|at| {
            let class = at % shape.classes.len();
            (recording(&waves[class], shape.steps, &mut rng), Target::Class(class as u32))
        });
        named(set, &shape, recordings.collect())
    }))
}

/// The set of these recordings.
fn named(set: Published, shape: &Shape, recordings: Vec<(Vec<f32>, Target)>) -> SeriesSet {
    let series = recordings.into_iter().enumerate().map(|(at, (values, target))| Series {
        id: (at + 1).to_string(),
        start: 0,
        frames: Frames::new(values, shape.channels),
        first: 0,
        target,
        place: format!("{}, series {}", set.name(), at + 1),
    });
    SeriesSet {
        name: set.name().to_owned(),
        task: shape.task,
        channels: values::numbered(shape.channels),
        classes: shape.classes.iter().map(|&class| class.to_owned()).collect(),
        outputs: Vec::new(),
        series: series.collect(),
        sha256: String::new(),
        layout: "generated".to_owned(),
        filled: Filled::default(),
        notes: Vec::new(),
    }
    .digested()
}

/// Two sines over the length of a series: cycles, phase and height of each.
struct Wave([[f64; 3]; 2]);

impl Wave {
    fn draw(rng: &mut impl Rng) -> Self {
        Wave(
            [[0.5, 1.5], [1.5, 4.0]].map(|[low, high]| {
                [rng.random_range(low..high), rng.random_range(0.0..1.0), rng.random_range(0.4..0.8)]
            }),
        )
    }

    /// The value at a time from 0 to 1.
    fn at(&self, time: f64) -> f64 {
        self.0.iter().map(|[cycles, phase, height]| height * (TAU * (cycles * time + phase)).sin()).sum()
    }
}

/// A series of a class with these waves, of a length within `steps`.
fn recording(waves: &[Wave], steps: [usize; 2], rng: &mut impl Rng) -> Vec<f32> {
    let steps = rng.random_range(steps[0]..=steps[1]);
    let (shift, speed, height) =
        (rng.random_range(-0.05..0.05), rng.random_range(0.95..1.05), rng.random_range(0.8..1.2));
    let mut values = Vec::with_capacity(steps * waves.len());
    for step in 0..steps {
        let time = speed * step as f64 / steps as f64 + shift;
        values.extend(waves.iter().map(|wave| (height * wave.at(time) + NOISE * bell(rng)) as f32));
    }
    values
}

/// A series of months: growth, a season of twelve, noise; whole numbers.
fn months(rng: &mut impl Rng, count: usize) -> Vec<f32> {
    let (growth, season) = (rng.random_range(0.008..0.012), rng.random_range(0.15..0.25));
    let phase = rng.random_range(0.0..1.0);
    let value = |month: usize, noise: f64| {
        let swing = season * (TAU * (month as f64 / 12.0 + phase)).sin()
            + 0.4 * season * (TAU * (month as f64 / 6.0 + phase)).sin();
        (110.0 * (growth * month as f64).exp() * (1.0 + swing + 0.03 * noise)).round() as f32
    };
    (0..count).map(|month| value(month, bell(rng))).collect()
}

/// A number about as a normal distribution of deviation 1 gives it: the sum of twelve uniform ones (Irwin-Hall).
fn bell(rng: &mut impl Rng) -> f64 {
    (0..12).map(|_| rng.random_range(-0.5..0.5)).sum()
}
