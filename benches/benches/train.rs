//! The speed of training in tokens a second, on batches of random ids and with as many threads as rayon takes
//! (`RAYON_NUM_THREADS` sets it).

use std::time::Duration;

use anyhow::Result;
use criterion::{Criterion, Throughput};
use latch_trainer::batches::Batch;
use latch_trainer::bptt::{LossOptions, Noise, StepOptions, Trainer, train_step};
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::optimizer::AdamConfig;

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let network = |vocabulary: usize, chain: &str| -> Result<NetworkConfig> {
        Ok(NetworkConfig { vocabulary, outputs: 1, chain: chain.parse()? })
    };
    let mut group = criterion.benchmark_group("train");
    for (name, vocabulary, chain, tokens) in [
        ("20000x128-lstm128-last-80x32", 20_000, "embedding 128 > lstm 128 > last > dense", 80),
        ("6000x16-lstm32-mean-230x32", 6000, "embedding 16 > lstm 32 > mean > dense", 230),
        ("20000x128-gru128-last-80x32", 20_000, "embedding 128 > gru 128 > last > dense", 80),
        ("20000x128-gru128-before-last-80x32", 20_000, "embedding 128 > gru 128 reset_before > last > dense", 80),
        ("20000x128-rnn128-last-80x32", 20_000, "embedding 128 > rnn 128 > last > dense", 80),
    ] {
        let config = network(vocabulary, chain)?;
        let batches: Vec<Batch> = (0..BATCHES).map(|seed| batch(config.vocabulary, tokens, 32, seed)).collect();
        let mut trainer = Trainer::new(Network::<f32>::new(&config, 1)?, &AdamConfig::default());
        // The first step also allocates; an error shows itself here.
        train_step(&mut trainer, &batches[0], &options(0))?;
        let mut number = 0;
        group.throughput(Throughput::Elements(batches[0].tokens() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                train_step(&mut trainer, &batches[number as usize % batches.len()], &options(number))
            });
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Everything that real training does: clipping, noise where the configuration has some, Adam.
fn options(batch: u64) -> StepOptions {
    let noise = Some(Noise { seed: 1, epoch: 0, batch });
    StepOptions { learning_rate: 1e-3, clip_norm: Some(1.0), loss: LossOptions { noise, ..LossOptions::default() } }
}

/// Batches that take turns, so that a step meets other rows of the embedding than the step before, as in real training.
const BATCHES: u64 = 64;

/// Sequences of equal length and of ids without a pattern: a linear congruential generator's upper bits.
fn batch(vocabulary: usize, tokens: usize, sequences: usize, seed: u64) -> Batch {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut batch = Batch::new();
    for _ in 0..sequences {
        let ids: Vec<u32> = (0..tokens).map(|_| next(vocabulary as u64) as u32).collect();
        batch.push(&ids, next(2) as f32);
    }
    batch
}
