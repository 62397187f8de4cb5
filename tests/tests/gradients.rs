//! Promise: the derivatives that the trainer computes are those of its loss.

use latch_tests::tolerances::GRADIENT;
use latch_trainer::batches::Batch;
use latch_trainer::bptt::{LossOptions, Noise, loss_and_gradients};
use latch_trainer::config::chain::Pooling;
use latch_trainer::network::{Network, NetworkConfig};

/// Half the distance of the inner points of the difference quotient.
const STEP: f64 = 1e-3;

/// Sequences of different lengths, an empty one and repeated ids among them, with labels for `outputs`.
fn batch(outputs: usize) -> Batch {
    let sequences: [&[u32]; 5] = [&[1, 4, 2, 4, 0], &[3], &[], &[5, 5, 5], &[2, 1, 0, 3, 4, 5, 1, 2]];
    let mut batch = Batch::new();
    for (number, ids) in sequences.into_iter().enumerate() {
        batch.push(ids, (number % outputs.max(2)) as f32);
    }
    batch
}

/// Compares every derivative of every tensor with a difference quotient, `f' = (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12h`, and
/// returns the largest relative difference.
fn largest_difference(config: &NetworkConfig, options: &LossOptions, seed: u64) -> f64 {
    let batch = batch(config.outputs);
    let mut network = Network::<f64>::new(config, seed).expect("the sizes describe a network");
    // As large as after training: fresh embeddings are so small that gates stay in the middle.
    network.embedding.table *= 20.0;
    let (_, gradients) = loss_and_gradients(&network, &batch, options).expect("the batch suits the network");
    let mut worst = 0.0_f64;
    for (place, (name, gradient)) in gradients.tensors(&network).into_iter().enumerate() {
        let largest = gradient.amax();
        assert!(largest > 0.0, "{name} has no gradient at all");
        for element in 0..gradient.len() {
            let mut loss = |offset: f64| {
                let before = network.tensors()[place].1[element];
                network.tensors_mut()[place].1[element] = before + offset;
                let (loss, _) = loss_and_gradients(&network, &batch, options).expect("the batch suits the network");
                network.tensors_mut()[place].1[element] = before;
                loss.loss_sum / loss.answers as f64
            };
            let near = loss(STEP) - loss(-STEP);
            let far = loss(2.0 * STEP) - loss(-2.0 * STEP);
            let expected = (8.0 * near - far) / (12.0 * STEP);
            let found = gradient[element];
            let difference = (found - expected).abs() / expected.abs().max(1e-3 * largest);
            assert!(difference < GRADIENT, "{name}[{element}] of {config:?}: {found} is not {expected}");
            worst = worst.max(difference);
        }
    }
    worst
}

fn config(layers: usize, pooling: Pooling) -> NetworkConfig {
    NetworkConfig::stacked(6, 3, layers, 4, Some(pooling))
}

fn every_derivative_is_right(pooling: Pooling) {
    for layers in [0, 1, 2] {
        let config = config(layers, pooling);
        println!("{layers} layers, {pooling:?}: {:.1e}", largest_difference(&config, &LossOptions::default(), 7));
        let several = NetworkConfig { outputs: 3, ..config };
        let smoothed = LossOptions { label_smoothing: 0.1, ..LossOptions::default() };
        println!("{layers} layers, {pooling:?}, three classes: {:.1e}", largest_difference(&several, &smoothed, 8));
    }
}

#[test]
fn every_derivative_is_right_when_the_head_sees_the_last_hidden_state() {
    every_derivative_is_right(Pooling::Last);
}

#[test]
fn every_derivative_is_right_when_the_head_sees_the_mean() {
    every_derivative_is_right(Pooling::Mean);
}

#[test]
fn every_derivative_is_right_when_the_head_sees_the_maximum() {
    every_derivative_is_right(Pooling::Max);
}

#[test]
fn every_derivative_is_right_under_fixed_dropout_masks() {
    for pooling in Pooling::ALL {
        for layers in [0, 1, 2] {
            if layers == 0 && pooling == Pooling::Attention {
                continue; // A bag has no state that could weigh a step.
            }
            let cells = "lstm 4 dropout=0.3 recurrent_dropout=0.3 > ".repeat(layers);
            let chain = format!("embedding 3 word_dropout=0.2 > {cells}{} > dense dropout=0.25", pooling.name());
            let chain = chain.parse().expect("a chain");
            let config = NetworkConfig { vocabulary: 6, outputs: 1, chain };
            for batch in [1, 2] {
                let noise = Some(Noise { seed: 3, epoch: 1, batch });
                let worst = largest_difference(
                    &config,
                    &LossOptions { label_smoothing: 0.05, noise, ..LossOptions::default() },
                    10,
                );
                println!("{layers} layers, {pooling:?}, masks {batch}: {worst:.1e}");
            }
        }
    }
}

#[test]
fn another_batch_number_draws_other_masks_and_the_same_one_draws_the_same() {
    let cell = "lstm 4 dropout=0.4 recurrent_dropout=0.4";
    let chain = format!("embedding 3 > {cell} > {cell} > last > dense").parse().expect("a chain");
    let config = NetworkConfig { vocabulary: 6, outputs: 1, chain };
    let network = Network::<f64>::new(&config, 1).expect("the sizes describe a network");
    let loss = |number| {
        let options = LossOptions { noise: Some(Noise { seed: 3, epoch: 0, batch: number }), ..LossOptions::default() };
        loss_and_gradients(&network, &batch(1), &options).expect("the batch suits the network").0.loss_sum
    };
    assert_eq!(loss(1), loss(1));
    assert_ne!(loss(1), loss(2));
}
