//! What both sides learn, and our side of it.
//!
//! A text is 80 ids below 20,000. Its label is 0 or 1 with equal chances. An id is drawn by Zipf's law, as words are: id k with a probability
//! in proportion to `1 / (k + 1)`. At three of ten places it is drawn again until it is even for label 0 and odd for label 1, so that the label can
//! be learned, frequent words first. A linear congruential generator draws; the seed is fixed.
//!
//! The files, little-endian, as both sides read them:
//!
//! ```text
//! weights.f32       embedding (20000 × 128), W (128 × 512), U (128 × 512), b (512), head (128 × 1), its bias (1); row after row,
//!                   gates in the order i, f, g, o, which is Keras's i, f, c, o
//! tokens-32.u32     steps × 32 × 80 ids          labels-32.f32     steps × 32 labels          and so for every size of batch
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use latch_trainer::batches::Batch;
use latch_trainer::bptt::{LossOptions, StepOptions, Trainer, train_step};
use latch_trainer::config::chain::Pooling;
use latch_trainer::files::write_atomically;
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::optimizer::AdamConfig;

use super::report::{LOT, Run};

/// Token ids.
pub const VOCABULARY: usize = 20_000;

/// Features of an id, and units of the layer.
pub const UNITS: usize = 128;

/// Tokens of a text.
pub const TOKENS: usize = 80;

/// Lots of a run.
pub const LOTS: usize = 13;

/// Adam's learning rate.
pub const LEARNING_RATE: f64 = 5e-4;

/// The network that both sides begin with.
///
/// # Errors
/// None, as the configuration is a good one; the trainer's constructor has one.
pub fn network() -> Result<Network<f32>> {
    Ok(Network::new(&NetworkConfig::stacked(VOCABULARY, UNITS, 1, UNITS, Some(Pooling::Last)), 1)?)
}

/// The batches of a run, in their order.
pub fn batches(size: usize) -> Vec<Batch> {
    let mut state = size as u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut cumulated = Vec::with_capacity(VOCABULARY);
    let mut sum = 0.0;
    for rank in 1..=VOCABULARY {
        sum += 1.0 / rank as f64;
        cumulated.push(sum);
    }
    let mut text = |batch: &mut Batch| {
        let label = u32::from(uniform() < 0.5);
        let mut ids = [0; TOKENS];
        for id in &mut ids {
            let telling = uniform() < 0.3;
            loop {
                let drawn = uniform() * sum;
                *id = cumulated.partition_point(|&bound| bound <= drawn).min(VOCABULARY - 1) as u32;
                if !telling || *id % 2 == label {
                    break;
                }
            }
        }
        batch.push(&ids, label as f32);
    };
    let mut batch = || {
        let mut batch = Batch::new();
        (0..size).for_each(|_| text(&mut batch));
        batch
    };
    (0..LOT * LOTS).map(|_| batch()).collect()
}

/// Writes the files of the [module](self).
///
/// # Errors
/// Names the file that cannot be written.
pub fn prepare(folder: &Path, sizes: &[usize]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let write = |name: String, bytes: &[u8]| write_atomically(&folder.join(name), |file| Ok(file.write_all(bytes)?));
    // Ours are column after column of the transposes: the same bytes.
    let network = network()?;
    let weights: Vec<u8> =
        network.tensors().iter().flat_map(|(_, tensor)| bytemuck::cast_slice(tensor.as_slice()).to_vec()).collect();
    write("weights.f32".to_owned(), &weights)?;
    for &size in sizes {
        let batches = batches(size);
        let ids: Vec<u32> = batches.iter().flat_map(Batch::sequences).flatten().copied().collect();
        let labels: Vec<f32> = batches.iter().flat_map(Batch::labels).copied().collect();
        write(format!("tokens-{size}.u32"), bytemuck::cast_slice(&ids))?;
        write(format!("labels-{size}.f32"), bytemuck::cast_slice(&labels))?;
    }
    Ok(())
}

/// Multiply-adds of a step a token, as Latch takes it: those of the LSTM's matrix products, forward, backward and for the weights. What
/// the kernel multiplies depends on the id alone and is done once an id ([`latch_trainer::bptt`]); `all` takes each token by itself.
pub fn multiply_adds(size: usize, all: bool) -> f64 {
    let distinct = |batch: &Batch| batch.sequences().flatten().collect::<BTreeSet<_>>().len();
    let batches = batches(size);
    let tokens = (batches.len() * size * TOKENS) as f64;
    let looked_up = if all { 1.0 } else { batches.iter().map(distinct).sum::<usize>() as f64 / tokens };
    (3 * 4 * UNITS * UNITS) as f64 * (1.0 + looked_up)
}

/// Trains once, with as many threads as rayon takes, which must be `threads`.
///
/// # Errors
/// If the number of threads is another one, or training diverges.
pub fn run(size: usize, threads: usize) -> Result<Run> {
    let found = rayon::current_num_threads();
    ensure!(found == threads, "rayon has {found} threads in place of {threads}: set RAYON_NUM_THREADS={threads}");
    let batches = batches(size);
    let mut trainer = Trainer::new(network()?, &AdamConfig::default());
    let options = StepOptions { learning_rate: LEARNING_RATE, clip_norm: None, loss: LossOptions::default() };
    let mut losses = Vec::new();
    let mut began = (Instant::now(), 0.0);
    for (number, lot) in batches.chunks(LOT).enumerate() {
        if number == 1 {
            began = (Instant::now(), cpu_seconds()?);
        }
        let mut sum = 0.0;
        for batch in lot {
            sum += train_step(&mut trainer, batch, &options)?.loss_sum;
        }
        losses.push(sum / (lot.len() * size) as f64);
    }
    let tokens = ((LOTS - 1) * LOT * size * TOKENS) as f64;
    let (speed, work) = (tokens / began.0.elapsed().as_secs_f64(), tokens / (cpu_seconds()? - began.1));
    Ok(Run { engine: "latch".to_owned(), same_rule: true, batch: size, threads, speed, work, losses })
}

/// The processor's time that this program has taken so far, in seconds, as Linux tells it: user's and system's, in hundredths.
fn cpu_seconds() -> Result<f64> {
    let told = fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat, which only Linux has")?;
    // The name stands in brackets and may have spaces in it; the two are fields 14 and 15, and what follows the bracket is field 3.
    let fields = told.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().skip(11).take(2);
    let hundredths: u64 = fields.map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(hundredths as f64 / 100.0)
}
