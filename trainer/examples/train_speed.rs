//! Measures the speed of training on random data, in tokens a second.
//!
//! `cargo run --release -p latch-trainer --example train_speed`

use latch_trainer::batches::Batch;
use latch_trainer::bptt::{LossOptions, Noise, StepOptions, Trainer, train_step};
use latch_trainer::network::readout::Readout;
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::optimizer::AdamConfig;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Trains for about three seconds on batches of random tokens, and prints the speed.
fn measure(
    name: &str,
    config: &NetworkConfig,
    batch_size: usize,
    lengths: RangeInclusive<usize>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let batches: Vec<Batch> = (0..8)
        .map(|_| {
            // A bucketed batch: its sequences differ in length by at most a tenth.
            let longest = rng.random_range(lengths.clone());
            let mut batch = Batch::new();
            for _ in 0..batch_size {
                let length = rng.random_range(longest - longest / 10..=longest);
                let vocabulary = config.vocabulary as u32;
                let ids: Vec<u32> = (0..length).map(|_| rng.random_range(0..vocabulary)).collect();
                batch.push(&ids, f32::from(u8::from(rng.random::<bool>())));
            }
            batch
        })
        .collect();
    let mut trainer = Trainer::new(Network::<f32>::new(config, 1)?, &AdamConfig::default());
    let mut step = |number: u64, batch: &Batch| {
        let options = StepOptions {
            learning_rate: 1e-3,
            clip_norm: Some(1.0),
            loss: LossOptions { label_smoothing: 0.0, noise: Some(Noise { seed: 1, epoch: 0, batch: number }) },
        };
        train_step(&mut trainer, batch, &options)
    };
    for batch in &batches {
        step(0, batch)?;
    }
    let (start, mut tokens, mut steps) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(3) {
        for batch in &batches {
            tokens += step(steps, batch)?.tokens;
            steps += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{name}: {:.0} tokens/s ({:.2} ms a step, {} threads)",
        tokens as f64 / seconds,
        1e3 * seconds / steps as f64,
        rayon::current_num_threads()
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let large = NetworkConfig {
        vocabulary: 20_000,
        embedding: 128,
        units: 128,
        readout: Readout::Last,
        ..NetworkConfig::default()
    };
    measure("20000 x 128, LSTM 128, last, 80 tokens, batch 32", &large, 32, 80..=80)?;
    let small = NetworkConfig {
        vocabulary: 6000,
        embedding: 16,
        units: 32,
        readout: Readout::Mean,
        ..NetworkConfig::default()
    };
    measure("6000 x 16, LSTM 32, mean, 50 to 400 tokens, batch 32", &small, 32, 50..=400)?;
    measure("6000 x 16, LSTM 32, mean, 50 to 400 tokens, batch 64", &small, 64, 50..=400)?;
    let dropped = NetworkConfig { dropout: 0.2, recurrent_dropout: 0.2, word_dropout: 0.1, head_dropout: 0.3, ..small };
    measure("the same with dropout", &dropped, 64, 50..=400)
}
