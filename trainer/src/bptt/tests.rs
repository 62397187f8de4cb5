use super::*;
use crate::config::Storage;
use crate::quantizer::aware::{Aware, embedding_scales};
use rand::RngExt;

const NOISE: Option<Noise> = Some(Noise { seed: 1, epoch: 2, batch: 3 });

fn config() -> NetworkConfig {
    dropping("lstm 4 dropout=0.3 recurrent_dropout=0.3 > last")
}

/// A network of an embedding, these layers and a dense head, which drops a part of what it meets.
fn dropping(layers: &str) -> NetworkConfig {
    let chain = format!("embedding 3 word_dropout=0.2 > {layers} > dense dropout=0.3").parse().unwrap();
    NetworkConfig { vocabulary: 12, outputs: 1, chain }
}

const CELL: &str = "4 dropout=0.3 recurrent_dropout=0.3";

/// A network whose weights are large enough for every gate to matter.
fn network(config: &NetworkConfig) -> Network<f64> {
    let mut network = Network::new(config, 7).unwrap();
    network.embedding.table *= 20.0;
    for (number, (name, tensor)) in network.tensors_mut().into_iter().enumerate() {
        if name.ends_with("bias") {
            tensor.iter_mut().enumerate().for_each(|(at, bias)| *bias += 0.1 * ((at + number) as f64).sin());
        }
    }
    network
}

/// As [`batch`], with a class for each token, and none for the third of a sequence.
fn tagged(sequences: usize, longest: usize, classes: u32, vocabulary: u32) -> Batch {
    let mut tagged = Batch::new();
    for ids in batch(sequences, longest, classes, vocabulary).sequences() {
        let label =
            |(step, &id): (usize, &u32)| if step == 2 { f32::NAN } else { ((id + step as u32) % classes) as f32 };
        tagged.push_each(ids, &ids.iter().enumerate().map(label).collect::<Vec<_>>());
    }
    tagged
}

fn batch(sequences: usize, longest: usize, classes: u32, vocabulary: u32) -> Batch {
    let mut rng = generator([9, 0, 0, 0]);
    let mut batch = Batch::new();
    for index in 0..sequences {
        // The second sequence is empty.
        let length = if index == 1 { 0 } else { rng.random_range(1..=longest) };
        let ids: Vec<u32> = (0..length).map(|_| rng.random_range(0..vocabulary)).collect();
        batch.push(&ids, rng.random_range(0..classes) as f32);
        // The last sequence has no teacher.
        if index + 1 < sequences {
            let p = 0.1 + 0.8 * rng.random::<f32>();
            let others = vec![(1.0 - p) / (classes - 1) as f32; if classes == 2 { 0 } else { classes as usize - 1 }];
            batch.teach(&[&[p], &others[..]].concat());
        }
    }
    batch
}

/// Compares every tensor's gradient with central differences, relative to the tensor's whole gradient.
fn assert_gradients(config: &NetworkConfig, options: &LossOptions) {
    assert_gradients_by(1e-5, config, options);
}

/// The same by differences of so much to either side.
fn assert_gradients_by(by: f64, config: &NetworkConfig, options: &LossOptions) {
    let network = network(config);
    let classes = config.outputs.max(2) as u32;
    let batch = if config.answers_each_step() { tagged(6, 5, classes, 12) } else { batch(6, 5, classes, 12) };
    let mean = |network: &Network<f64>| {
        let (loss, _) = loss_and_gradients(network, &batch, options).unwrap();
        loss.loss_sum / loss.answers as f64
    };
    let (_, gradients) = loss_and_gradients(&network, &batch, options).unwrap();
    for (number, (name, gradient)) in gradients.tensors(&network).into_iter().enumerate() {
        let mut changed = network.clone();
        let (mut difference, mut size) = (0.0, 0.0);
        for index in 0..gradient.len() {
            let value = shift(&mut changed, number, index, by);
            let above = mean(&changed);
            shift(&mut changed, number, index, -2.0 * by);
            let below = mean(&changed);
            *changed.tensors_mut()[number].1.get_mut(index).unwrap() = value;
            let expected = (above - below) / (2.0 * by);
            difference += (gradient[index] - expected).powi(2);
            size += expected.powi(2);
        }
        let error = (difference / size).sqrt();
        assert!(size > 0.0 && error < 1e-6, "{name}: relative error {error:e} in {config:?}");
    }
}

/// Moves one weight by `by` and returns what it was.
fn shift(network: &mut Network<f64>, tensor: usize, index: usize, by: f64) -> f64 {
    let mut tensors = network.tensors_mut();
    let weight = &mut tensors[tensor].1[index];
    std::mem::replace(weight, *weight + by)
}

/// The cells, by the words of a chain.
const CELLS: [[&str; 2]; 5] = [["lstm", ""], ["gru", ""], ["gru", "reset_before"], ["rnn", ""], ["rnn", "relu"]];

#[test]
fn gradients_equal_finite_differences_for_every_cell_pooling_and_depth() {
    for [cell, option] in CELLS {
        for depth in [1, 2] {
            let layers = vec![format!("{cell} {CELL} {option}"); depth].join(" > ");
            for pooling in ["last", "mean", "max", "attention"] {
                if pooling == "attention" && option == "relu" {
                    continue; // Attention weighs values in [-1, 1].
                }
                let config = dropping(&format!("{layers} > {pooling}"));
                for noise in [None, NOISE] {
                    assert_gradients(&config, &LossOptions { noise, ..LossOptions::default() });
                }
            }
        }
    }
}

/// Options of cells that make a variant of one.
const VARIANTS: [&str; 14] = [
    "lstm 4 peepholes",
    "lstm 4 coupled",
    "lstm 4 peepholes coupled clip=0.4",
    "lstm 4 project=3",
    "lstm 5 project=7 peepholes clip=0.5 relu output=tanh",
    "lstm 4 hard_sigmoid relu",
    "lstm 4 activation=sigmoid gates=tanh output=linear coupled",
    "gru 4 hard_sigmoid",
    "gru 4 relu clip=0.5",
    "gru 4 reset_before gates=hard_sigmoid:0.3:0.4 activation=sigmoid",
    "gru 4 reset_before clip=0.3",
    "rnn 4 hard_sigmoid",
    "rnn 4 clip=0.2",
    "rnn 4 linear",
];

#[test]
fn gradients_equal_finite_differences_for_every_option_of_a_cell() {
    // Clips and rectifiers have corners, which shorter steps seldom cross.
    const BY: f64 = 2e-6;
    for variant in VARIANTS {
        for layers in [
            format!("{variant} dropout=0.3 recurrent_dropout=0.3 > mean"),
            format!(
                "dense 3 tanh > {variant} > layernorm epsilon=0.1 > {variant} recurrent_dropout=0.2 > last > layernorm epsilon=0.2"
            ),
        ] {
            for noise in [None, NOISE] {
                assert_gradients_by(BY, &dropping(&layers), &LossOptions { noise, ..LossOptions::default() });
            }
        }
        let config = NetworkConfig { outputs: 3, ..dropping(variant) };
        assert_gradients_by(BY, &config, &LossOptions::default());
    }
}

#[test]
fn gradients_equal_finite_differences_in_every_mixture_of_layers() {
    for layers in [
        "mean",
        "dense 5 tanh > max",
        "lstm 4 > gru 5 > rnn 3 > last",
        "conv1d 4 k3 relu > gru 3 > last",
        "conv1d 5 k2 s2 > lstm 4 > conv1d 18 k4 relu dropout=0.2 > mean",
        "conv1d 4 k3 valid relu > gru 3 > last",
        "conv1d 5 k2 s2 valid > lstm 4 > conv1d 6 k2 valid relu dropout=0.2 > mean",
        "dense 3 tanh > conv1d 5 k2 valid > bilstm 3 > max",
        "dense 4 tanh > maxpool 2 > gru 3 > last",
        "conv1d 5 k2 valid relu > maxpool 2 s1 > lstm 4 > mean",
        "lstm 4 dropout=0.2 > maxpool 2 s1 > conv1d 4 k2 > bigru 3 > last",
        "gru 4 recurrent_dropout=0.2 > conv1d 3 k1 s2 relu > max > dense 3 tanh",
        "rnn 3 relu > dense 4 sigmoid dropout=0.2 > gru 4 reset_before > attention > dense 17 relu > dense 3 tanh",
        "bilstm 4 dropout=0.2 > last",
        "bilstm 4 aligned > lstm 3 > last",
        "bigru 4 > max",
        "bigru 3 reset_before average > mean > dense 4 tanh",
        "birnn 3 relu > birnn 4 product > attention",
        "conv1d 4 k3 s2 > bilstm 3 product > gru 4 > bigru 3 average > max",
        "dense 4 > dense 6 relu > lstm 3 recurrent_dropout=0.2 > mean > dense 5 sigmoid dropout=0.4",
    ] {
        for noise in [None, NOISE] {
            assert_gradients(&dropping(layers), &LossOptions { noise, ..LossOptions::default() });
        }
    }
    for layers in [
        "gru 4 > lstm 3",
        "dense 4 tanh",
        "rnn 3 > dense 18 relu",
        "conv1d 5 k3 relu > gru 4",
        "conv1d 5 k3 s2 relu > gru 4 > conv1d 3 k2 s2",
    ] {
        for noise in [None, NOISE] {
            let config = NetworkConfig { outputs: 3, ..dropping(layers) };
            assert_gradients(&config, &LossOptions { noise, ..LossOptions::default() });
        }
    }
}

#[test]
fn gradients_equal_finite_differences_for_every_activation_before_and_behind_every_pooling() {
    for activation in ["linear", "relu", "tanh", "sigmoid"] {
        for pooling in ["last", "mean", "max", "attention"] {
            if pooling == "attention" && ["linear", "relu"].contains(&activation) {
                continue; // Attention weighs values in [-1, 1].
            }
            let dense = format!("dense 5 {activation} dropout=0.2");
            let config = dropping(&format!("rnn 4 relu > {dense} > {pooling} > {dense}"));
            for noise in [None, NOISE] {
                assert_gradients(&config, &LossOptions { noise, ..LossOptions::default() });
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences_for_classes_and_smoothed_labels() {
    for outputs in [1, 3] {
        let config = NetworkConfig { outputs, ..config() };
        assert_gradients(&config, &LossOptions { label_smoothing: 0.1, ..LossOptions::default() });
    }
}

#[test]
fn gradients_equal_finite_differences_with_teachers() {
    let distill = Some(Distill { share: 0.7, temperature: 2.0 });
    for outputs in [1, 3] {
        let config = NetworkConfig { outputs, ..config() };
        assert_gradients(&config, &LossOptions { label_smoothing: 0.1, distill, ..LossOptions::default() });
    }
}

#[test]
fn gradients_equal_finite_differences_with_class_weights() {
    let weighted = |class_weights: &[f32]| LossOptions {
        label_smoothing: 0.1,
        distill: Some(Distill { share: 0.3, temperature: 2.0 }),
        class_weights: class_weights.to_vec(),
        ..LossOptions::default()
    };
    for layers in ["lstm 4 > last", "gru 4"] {
        for (outputs, weights) in [(1, &[0.4, 7.0][..]), (3, &[0.5, 3.0, 1.5])] {
            assert_gradients(&NetworkConfig { outputs, ..dropping(layers) }, &weighted(weights));
        }
    }
}

#[test]
fn a_label_of_a_class_of_weight_two_counts_as_two_labels() {
    let network = network(&config());
    let run = |labels: &[f32], class_weights: Vec<f32>| {
        let mut batch = Batch::new();
        labels.iter().for_each(|&label| batch.push(&[1, 2, 3], label));
        let options = LossOptions { class_weights, ..LossOptions::default() };
        loss_and_gradients(&network, &batch, &options).unwrap()
    };
    let (twice, gradients) = run(&[1.0, 1.0, 0.0], Vec::new());
    let (weighted, same) = run(&[1.0, 0.0], vec![1.0, 2.0]);
    assert!((twice.loss_sum - weighted.loss_sum).abs() < 1e-12);
    for ((_, a), (_, b)) in gradients.tensors(&network).into_iter().zip(same.tensors(&network)) {
        // One is a mean over three answers, the other over two.
        assert!((a * 3.0 - b * 2.0).abs().max() < 1e-12);
    }
}

#[test]
fn gradients_equal_finite_differences_for_values_and_for_an_answer_each_step() {
    let values = LossOptions { objective: Objective::SquaredError, ..LossOptions::default() };
    for [cell, option] in CELLS {
        let cell = format!("{cell} {CELL} {option}");
        for layers in [format!("{cell} > last"), format!("{cell} > max"), cell.clone()] {
            for noise in [None, NOISE] {
                assert_gradients(&dropping(&layers), &LossOptions { noise, ..values.clone() });
            }
        }
        for noise in [None, NOISE] {
            let classes = NetworkConfig { outputs: 3, ..dropping(&format!("{cell} > {cell}")) };
            assert_gradients(&classes, &LossOptions { noise, ..LossOptions::default() });
        }
    }
}

#[test]
fn the_loss_of_a_step_without_a_label_is_not_counted() {
    let config = dropping("lstm 4");
    let network = network(&config);
    let run = |labels: &[f32]| {
        let mut batch = Batch::new();
        batch.push_each(&[1, 2, 3], labels);
        loss_and_gradients(&network, &batch, &LossOptions::default()).unwrap()
    };
    let (whole, _) = run(&[1.0, 0.0, 1.0]);
    let (part, gradients) = run(&[1.0, f32::NAN, 1.0]);
    assert_eq!((whole.answers, part.answers), (3, 2));
    assert!(part.loss_sum < whole.loss_sum);
    let (none, still) = run(&[f32::NAN; 3]);
    assert_eq!((none.answers, none.loss_sum), (0, 0.0));
    assert!(gradients.norm() > 0.0 && still.norm() == 0.0);
}

#[test]
fn a_batch_equals_its_sequences_one_at_a_time() {
    for layers in [
        "lstm 4 > lstm 4 > last",
        "lstm 4 > gru 4 > mean",
        "conv1d 5 k3 s2 relu > gru 4 > last",
        "gru 4 reset_before > rnn 3 > max",
        "rnn 4 relu > gru 4 > attention > dense 17 tanh",
    ] {
        let network = network(&dropping(layers));
        // More than two shards, and lengths from zero to twenty.
        let batch = batch(37, 20, 2, 12);
        let options = LossOptions::default();
        let (loss, gradients) = loss_and_gradients(&network, &batch, &options).unwrap();
        let mut loss_sum = 0.0;
        let mut correct = 0;
        let mut sums: Vec<_> = gradients.tensors(&network).into_iter().map(|(_, tensor)| tensor * 0.0).collect();
        for (ids, &label) in batch.sequences().zip(batch.labels()) {
            let mut single = Batch::new();
            single.push(ids, label);
            let (loss, gradients) = loss_and_gradients(&network, &single, &options).unwrap();
            loss_sum += loss.loss_sum;
            correct += loss.correct;
            for (sum, (_, part)) in sums.iter_mut().zip(gradients.tensors(&network)) {
                *sum += part / batch.len() as f64;
            }
        }
        assert!((loss.loss_sum - loss_sum).abs() < 1e-11);
        assert_eq!(loss.correct, correct);
        for ((name, tensor), sum) in gradients.tensors(&network).iter().zip(sums) {
            let error = (tensor - sum).abs().max();
            assert!(error < 1e-13, "{name}: {error:e}");
        }
    }
}

fn options(batch: u64) -> StepOptions {
    StepOptions {
        learning_rate: 0.01,
        clip_norm: Some(1.0),
        loss: LossOptions {
            label_smoothing: 0.05,
            noise: Some(Noise { seed: 4, epoch: 0, batch }),
            ..LossOptions::default()
        },
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let dropped =
        "embedding 8 word_dropout=0.2 > lstm 12 dropout=0.3 recurrent_dropout=0.3 > gru 12 dropout=0.3 > last > dense";
    the_bits_are_the_same(&NetworkConfig { vocabulary: 50, outputs: 1, chain: dropped.parse().unwrap() });
    // Without dropout below the kernel, which goes through the lookup, and large enough for many pieces of work.
    for cell in ["lstm", "gru", "gru 12 reset_before recurrent_dropout=0.2 > rnn"] {
        let chain = format!("embedding 40 > {cell} 12 recurrent_dropout=0.3 > attention > dense 20 relu > dense");
        the_bits_are_the_same(&NetworkConfig { vocabulary: 3000, outputs: 1, chain: chain.parse().unwrap() });
    }
}

fn the_bits_are_the_same(config: &NetworkConfig) {
    let batch = batch(70, 20, 2, config.vocabulary as u32);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = Network::<f32>::new(config, 3).unwrap();
            let mut trainer = Trainer::new(network, &AdamConfig::default()).with_ema(0.9);
            let stats: Vec<StepStats> =
                (0..5).map(|step| train_step(&mut trainer, &batch, &options(step)).unwrap()).collect();
            let sequences: Vec<&[u32]> = batch.sequences().collect();
            let logits = trainer.network.forward(&sequences).unwrap();
            (trainer.network, trainer.adam, trainer.ema, stats, logits)
        })
    };
    let one = run(1);
    assert!(one == run(2));
    assert!(one == run(3));
}

#[test]
fn a_used_workspace_gives_the_bits_of_a_fresh_one() {
    for layers in
        [format!("lstm {CELL} > lstm {CELL} > max"), format!("gru {CELL} > gru {CELL} reset_before > mean > dense 5")]
    {
        let network = network(&dropping(&layers));
        let mut workspace = Workspace::new(&network);
        let noisy = LossOptions { noise: NOISE, ..LossOptions::default() };
        for (sequences, longest) in [(40, 12), (3, 5), (20, 17), (1, 3)] {
            for options in [&LossOptions::default(), &noisy] {
                let batch = batch(sequences, longest, 2, 12);
                let used = workspace.loss_and_gradients(&network, &batch, options).unwrap();
                let fresh = loss_and_gradients(&network, &batch, options).unwrap();
                assert_eq!(used, fresh.0);
                assert_eq!(*workspace.gradients(), fresh.1);
            }
        }
    }
}

#[test]
fn a_resumed_trainer_continues_with_the_same_bits() {
    let batch = batch(20, 9, 2, 12);
    let network = Network::<f32>::new(&config(), 3).unwrap();
    let mut whole = Trainer::new(network, &AdamConfig::default()).with_ema(0.99);
    for step in 0..3 {
        train_step(&mut whole, &batch, &options(step)).unwrap();
    }
    let stored = postcard::to_stdvec(&(&whole.network, &whole.adam, &whole.ema)).unwrap();
    let (network, adam, ema) = postcard::from_bytes(&stored).unwrap();
    let mut resumed = Trainer::resume(network, adam, ema);
    for step in 3..6 {
        train_step(&mut whole, &batch, &options(step)).unwrap();
        train_step(&mut resumed, &batch, &options(step)).unwrap();
    }
    assert_eq!(resumed.network, whole.network);
    assert_eq!(resumed.best_network(), whole.best_network());
}

#[test]
fn training_learns_which_token_came_first() {
    let mut rng = generator([5, 0, 0, 0]);
    let mut batch = Batch::new();
    for _ in 0..64 {
        let label = rng.random_range(0..2_u32);
        let mut ids = vec![label];
        ids.extend((0..rng.random_range(3..8)).map(|_| rng.random_range(2..12_u32)));
        batch.push(&ids, label as f32);
    }
    for cell in ["lstm", "gru", "gru 12 reset_before > rnn"] {
        let chain = format!("embedding 8 > {cell} 12 > last > dense").parse().unwrap();
        let config = NetworkConfig { vocabulary: 12, outputs: 1, chain };
        let network = Network::<f32>::new(&config, 1).unwrap();
        let mut trainer = Trainer::new(network, &AdamConfig::default());
        let options = StepOptions { learning_rate: 0.02, clip_norm: None, loss: LossOptions::default() };
        for _ in 0..60 {
            train_step(&mut trainer, &batch, &options).unwrap();
        }
        let stats = train_step(&mut trainer, &batch, &options).unwrap();
        assert_eq!(stats.correct, 64);
        assert!(stats.loss_sum / 64.0 < 0.05, "{cell}: {}", stats.loss_sum / 64.0);
    }
}

#[test]
fn what_cannot_be_learned_is_refused_and_changes_nothing() {
    let network = Network::<f32>::new(&config(), 3).unwrap();
    let mut trainer = Trainer::new(network.clone(), &AdamConfig::default());
    let mut refused = |ids: &[u32], label| {
        let mut batch = Batch::new();
        batch.push(ids, label);
        train_step(&mut trainer, &batch, &options(0)).unwrap_err()
    };
    assert_eq!(refused(&[12], 0.0), TrainError::Network(NetworkError::TokenOutOfRange { id: 12, vocabulary: 12 }));
    assert_eq!(refused(&[1], 2.0), TrainError::LabelOutOfRange { label: 2.0, classes: 2 });
    assert!(matches!(refused(&[1], f32::NAN), TrainError::LabelOutOfRange { .. }));
    let each = Network::<f32>::new(&dropping("lstm 4"), 3).unwrap();
    let mut batch = Batch::new();
    batch.push(&[1, 2], 0.0);
    let error = loss_and_gradients(&each, &batch, &LossOptions::default()).unwrap_err();
    assert_eq!(error, TrainError::LabelCount { found: 1, expected: 2 });
    let empty = train_step(&mut trainer, &Batch::new(), &options(0)).unwrap_err();
    assert_eq!(empty, TrainError::EmptyBatch);
    assert_eq!(trainer.network, network);
}

#[test]
fn a_loss_that_is_not_finite_is_named_and_not_learned() {
    let mut batch = Batch::new();
    batch.push(&[1, 2], 1.0);
    for value in [f32::NAN, f32::INFINITY] {
        let mut network = Network::<f32>::new(&config(), 3).unwrap();
        if let Some((_, bias)) = network.tensors_mut().pop() {
            bias[0] = value;
        }
        let mut trainer = Trainer::new(network, &AdamConfig::default());
        let error = train_step(&mut trainer, &batch, &options(0)).unwrap_err();
        assert!(matches!(error, TrainError::NonFiniteLoss { .. }), "{error:?}");
        assert_eq!(trainer.adam.steps(), 0);
    }
    let mut network = Network::<f32>::new(&config(), 3).unwrap();
    network.embedding.table.fill(f32::NAN);
    let mut trainer = Trainer::new(network, &AdamConfig::default());
    assert!(train_step(&mut trainer, &batch, &options(0)).is_err());
    assert_eq!(trainer.adam.steps(), 0);
}

/// Chains of every layer that has a state, each step with an answer.
const CARRIED: [&str; 7] = [
    "lstm 4",
    "gru 4",
    "gru 4 reset_before",
    "rnn 4",
    "rnn 4 relu > dense 3 tanh > lstm 4",
    "conv1d 4 k4 relu > gru 3",
    "conv1d 4 k3 s2 > lstm 3 > conv1d 5 k5 relu > dense 3",
];

/// The sequences of [`tagged`] cut into pieces of so many steps, as they are learned one after the other.
fn in_pieces(whole: &Batch, steps: usize) -> Vec<Batch> {
    let longest = whole.sequences().map(<[u32]>::len).max().unwrap();
    let piece = |before: usize| {
        let (mut batch, mut streams) = (Batch::new(), Vec::new());
        let lead = before.min(1);
        for (stream, ids) in whole.sequences().enumerate().filter(|(_, ids)| before == 0 || ids.len() > before * steps)
        {
            let (begin, end) = (before * steps, ids.len().min((before + 1) * steps));
            let labels = [&[f32::NAN][..lead], &whole.labels_of(stream)[begin..end]].concat();
            batch.push_each(&ids[begin - lead..end], &labels);
            streams.push(stream);
        }
        batch.carrying(streams, before > 0)
    };
    (0..longest.div_ceil(steps)).map(piece).collect()
}

#[test]
fn pieces_that_go_on_with_a_state_have_the_loss_of_the_whole_sequences() {
    for layers in CARRIED {
        let config = NetworkConfig { outputs: 3, ..dropping(layers) };
        let network = network(&config);
        // More than one shard.
        let whole = tagged(20, 17, 3, 12);
        let options = LossOptions::default();
        let (expected, _) = loss_and_gradients(&network, &whole, &options).unwrap();
        for steps in [2, 4, 18] {
            let mut workspace = Workspace::new(&network);
            let losses: Vec<BatchLoss> = in_pieces(&whole, steps)
                .iter()
                .map(|piece| workspace.loss_and_gradients(&network, piece, &options).unwrap())
                .collect();
            let sum: f64 = losses.iter().map(|loss| loss.loss_sum).sum();
            assert!((sum - expected.loss_sum).abs() < 1e-10, "{layers}, {steps}: {sum} {}", expected.loss_sum);
            assert_eq!(losses.iter().map(|loss| loss.tokens).sum::<usize>(), expected.tokens);
            assert_eq!(losses.iter().map(|loss| loss.correct).sum::<usize>(), expected.correct);
        }
    }
}

#[test]
fn in_integers_pieces_that_go_on_with_a_state_have_the_loss_of_the_whole_sequences() {
    for layers in CARRIED {
        let config = NetworkConfig { outputs: 3, ..dropping(layers) };
        let mut network: Network<f32> = Network::new(&config, 7).unwrap();
        network.embedding.table *= 20.0;
        let scales = embedding_scales(&network, Vec::new(), Storage::Int8);
        let integers = Aware::new(&network, Storage::Int8, scales, None).unwrap().integers;
        let whole = tagged(20, 17, 3, 12);
        let options = LossOptions::default();
        let (expected, _) = quantized_gradients(&integers, &whole, &options).unwrap();
        for steps in [2, 4, 18] {
            let mut workspace = Workspace::new(&integers.real);
            let losses = in_pieces(&whole, steps)
                .iter()
                .map(|piece| workspace.run(&integers.real, Some(&integers), piece, &options).unwrap().loss_sum)
                .collect::<Vec<f64>>();
            let sum: f64 = losses.iter().sum();
            assert!((sum - expected.loss_sum).abs() < 1e-9, "{layers}, {steps}: {sum} {}", expected.loss_sum);
        }
    }
}

#[test]
fn the_gradients_of_a_piece_are_finite_differences_with_its_state_held_fast() {
    for layers in CARRIED {
        for noise in [None, NOISE] {
            let config = NetworkConfig { outputs: 3, ..dropping(layers) };
            let network = network(&config);
            let pieces = in_pieces(&tagged(5, 9, 3, 12), 4);
            let options = LossOptions { noise, ..LossOptions::default() };
            let mut workspace = Workspace::new(&network);
            workspace.loss_and_gradients(&network, &pieces[0], &options).unwrap();
            let states = workspace.states.clone();
            let mut mean = |network: &Network<f64>| {
                workspace.states.clone_from(&states);
                let loss = workspace.loss_and_gradients(network, &pieces[1], &options).unwrap();
                (
                    loss.loss_sum / loss.answers as f64,
                    workspace.gradients.tensors(network).into_iter().map(|(_, tensor)| tensor).collect::<Vec<_>>(),
                )
            };
            let gradients = mean(&network).1;
            for (number, gradient) in gradients.iter().enumerate() {
                let mut changed = network.clone();
                let (mut difference, mut size) = (0.0, 0.0);
                for index in 0..gradient.len() {
                    shift(&mut changed, number, index, 1e-5);
                    let above = mean(&changed).0;
                    shift(&mut changed, number, index, -2e-5);
                    let below = mean(&changed).0;
                    shift(&mut changed, number, index, 1e-5);
                    let expected = (above - below) / 2e-5;
                    difference += (gradient[index] - expected).powi(2);
                    size += expected.powi(2);
                }
                let error = (difference / size).sqrt();
                assert!(size > 0.0 && error < 1e-6, "tensor {number} of {layers}: relative error {error:e}");
            }
        }
    }
}
