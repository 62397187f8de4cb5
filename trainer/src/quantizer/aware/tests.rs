use super::super::Cell;
use super::*;
use crate::batches::Batch;
use crate::bptt::{LossOptions, loss_and_gradients, quantized_gradients, train_step};
use crate::config::chain::Pooling;
use crate::network::NetworkConfig;
use crate::network::pass::Pass;
use crate::network::tiers::Tiers;
use crate::optimizer::AdamConfig;
use crate::quantizer::{Origin, to_image};
use crate::vocabulary::Vocabulary;
use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::cell::{gru, rnn};
use latch_engine::kernels::{self, Backend, Features, RowsI8, Scalar};
use latch_engine::layers::embedding::Tiers as Shape;
use proptest::prelude::*;

const STORAGES: [Storage; 3] = [Storage::Int8, Storage::Mixed, Storage::Int4];

fn network(vocabulary: usize, embedding: usize, units: usize, layers: usize, pooling: Pooling) -> Network<f32> {
    let config = NetworkConfig::stacked(vocabulary, embedding, layers, units, Some(pooling));
    let mut network = Network::new(&config, 7 + units as u64).unwrap();
    network.embedding.table *= 20.0;
    for (name, tensor) in network.tensors_mut() {
        if name.starts_with("lstm") && name.ends_with(".kernel") {
            *tensor *= 2.0;
        }
    }
    network
}

fn aware(network: &Network<f32>, storage: Storage) -> Aware {
    Aware::new(network, storage, embedding_scales(network, Vec::new(), storage), None).unwrap()
}

/// The logits of the forward pass that training takes, without dropout: those of each sequence, or of each of its steps.
fn forward(integers: &Integers<f32>, sequences: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let mut pass = Pass::new(&integers.real);
    let indices: Vec<usize> = (0..sequences.len()).collect();
    pass.steps.gather(&indices, |index| &sequences[index]);
    pass.forward_integers(integers, None);
    let config = integers.real.config();
    let logits: Vec<&[f32]> = pass.logits(&integers.real).chunks(config.outputs).collect();
    let mut found = vec![Vec::new(); sequences.len()];
    for (place, &index) in pass.steps.order.iter().enumerate() {
        if config.answers_each_step() {
            let tokens = 0..sequences[index].len();
            let (top, rhythm) = pass.top(&integers.real);
            let above = |step| pass.steps.above(step, rhythm).expect("each step has an answer");
            tokens.for_each(|step| found[index].extend_from_slice(logits[top.token(above(step), place)]));
        } else {
            found[index].extend_from_slice(logits[place]);
        }
    }
    found
}

/// Those of the engine on the exported image.
fn engine(network: &Network<f32>, storage: Storage, sequences: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let embedding_scales = embedding_scales(network, Vec::new(), storage);
    answers(&Weights { embedding_scales, ..Weights::of(network) }, network.config(), storage, sequences)
}

/// The same of weights that say more than the network.
fn answers(weights: &Weights, config: &NetworkConfig, storage: Storage, sequences: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let words = (0..config.vocabulary).map(|word| format!("w{}", "x".repeat(word))).collect();
    let vocabulary = Vocabulary::from_words(words, Unknown::Skip);
    let bytes = to_image(weights, &vocabulary, storage, &Origin::default()).unwrap();
    let model = Model::new(&Image::open(&bytes).unwrap());
    let logits = |ids: &Vec<u32>| {
        let mut state = crate::evaluate::state_for(&model);
        let mut session = model.session_in(&mut state).unwrap();
        let parts: Vec<&[u32]> = if config.answers_each_step() { ids.chunks(1).collect() } else { vec![ids] };
        let mut logits = Vec::new();
        for ids in parts {
            session.push_tokens(ids);
            logits.extend((0..config.outputs).map(|output| session.logit(output).to_f32()));
        }
        logits
    };
    sequences.iter().map(logits).collect()
}

/// A network of these layers behind an embedding, whose weights are `scale` times those that training begins with and whose biases are not zero.
fn chained(layers: &str, outputs: usize, scale: f32) -> Network<f32> {
    let chain = format!("embedding {layers} > dense").parse().unwrap();
    let mut network = Network::new(&NetworkConfig { vocabulary: 30, outputs, chain }, 3).unwrap();
    network.embedding.table *= 20.0;
    for (number, (name, tensor)) in network.tensors_mut().into_iter().enumerate() {
        if name.ends_with("bias") {
            tensor.iter_mut().enumerate().for_each(|(at, bias)| *bias += 0.3 * ((at + number) as f32).sin());
        } else if name.ends_with("kernel") {
            *tensor *= scale;
        }
    }
    network
}

/// The layers that remember something.
const CELLS: [&str; 12] = [
    "lstm #",
    "gru #",
    "gru # reset_before",
    "rnn #",
    "rnn # relu",
    "conv1d # k3 relu",
    "conv1d # k2 s2",
    "conv1d # k1 s3 relu",
    "conv1d # k3 valid relu",
    "conv1d # k2 s2 valid",
    "maxpool 2",
    "maxpool 3 s1",
];
const DENSE: [&str; 4] = ["dense #", "dense # relu", "dense # tanh", "dense # sigmoid"];
const POOLINGS: [&str; 4] = ["last", "mean", "max", "attention"];

/// Any chain that `--model` takes, but for its last layer.
fn layers() -> impl Strategy<Value = String> {
    let kinds: Vec<&str> = CELLS.into_iter().chain(DENSE).collect();
    let before = prop::collection::vec((prop::sample::select(kinds), 1_usize..20), 0..4);
    let behind = prop::collection::vec((prop::sample::select(&DENSE[..]), 1_usize..20), 0..3);
    let pooling = prop::option::weighted(0.8, prop::sample::select(&POOLINGS[..]));
    (1_usize..20, before, pooling, behind).prop_map(|(embedding, before, pooling, behind)| {
        let recurrent = before.iter().any(|(kind, _)| !kind.starts_with("dense"));
        let bounded = before.last().is_some_and(|(kind, _)| {
            !["dense #", "dense # relu", "rnn # relu"].contains(kind)
                && !["conv1d", "maxpool"].iter().any(|name| kind.starts_with(name))
        });
        // Without a pooling each step has an answer.
        let late = before.iter().any(|(kind, _)| kind.contains("valid") || kind.starts_with("maxpool"));
        let pooling = match pooling {
            None if !recurrent || late => Some("mean"),
            Some("attention") if !bounded => Some("mean"),
            pooling => pooling,
        };
        let text = |(kind, units): &(&str, usize)| kind.replace('#', &units.to_string());
        let mut layers = vec![embedding.to_string()];
        layers.extend(before.iter().map(text));
        layers.extend(pooling.map(String::from));
        layers.extend(behind.iter().map(text));
        layers.join(" > ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn training_computes_the_logits_of_the_engine(
        (embedding, units, layers) in (1_usize..20, 1_usize..40, 1_usize..4),
        pooling in prop::sample::select(&[Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention][..]),
        sequences in prop::collection::vec(prop::collection::vec(0_u32..30, 0..40), 1..8),
    ) {
        let network = network(30, embedding, units, layers, pooling);
        for storage in STORAGES {
            let ours = forward(&aware(&network, storage).integers, &sequences);
            prop_assert_eq!(ours, engine(&network, storage, &sequences), "{}", storage.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn training_computes_the_logits_of_the_engine_for_any_chain(
        layers in layers(),
        (outputs, scale) in (1_usize..4, prop::sample::select(&[0.5_f32, 1.0, 4.0][..])),
        sequences in prop::collection::vec(prop::collection::vec(0_u32..30, 0..30), 1..6),
    ) {
        let network = chained(&layers, outputs, scale);
        for storage in STORAGES {
            let ours = forward(&aware(&network, storage).integers, &sequences);
            prop_assert_eq!(ours, engine(&network, storage, &sequences), "{} {}", layers, storage.name());
        }
    }
}

#[test]
fn rows_in_tiers_learn_with_the_integers_of_the_engine_and_keep_their_form() {
    let occurrences: Vec<u32> = (0..30).map(|id| id * 7 % 30).collect();
    let sequences: Vec<Vec<u32>> = batch().sequences().map(<[u32]>::to_vec).collect();
    for (layers, shape) in [
        ("6 > lstm 5 > last", Shape { whole: 9, width: 4, remainders: 0, int4: true }),
        ("6 > dense 5 relu > mean", Shape { whole: 9, width: 2, remainders: 5, int4: false }),
        ("6 > gru 5 > attention", Shape { whole: 12, width: 3, remainders: 4, int4: true }),
    ] {
        for storage in STORAGES {
            let mut trainer = Trainer::new(chained(layers, 1, 1.0), &AdamConfig::default());
            let tiers = Tiers::new(shape, &occurrences, 30);
            tiers.begin(&mut trainer.network.embedding.table);
            let scales = embedding_scales(&trainer.network, occurrences.clone(), storage);
            let mut integers = Aware::new(&trainer.network, storage, scales.clone(), Some(&tiers)).unwrap();
            trainer.tiers = Some(tiers);
            let options = StepOptions { learning_rate: 0.02, clip_norm: Some(1.0), loss: LossOptions::default() };
            for _ in 0..3 {
                train_step_quantized(&mut trainer, &mut integers, &batch(), &options).unwrap();
                let weights = Weights {
                    embedding_scales: scales.clone(),
                    occurrences: occurrences.clone(),
                    tiers: Some(shape),
                    ..Weights::of(&trainer.network)
                };
                let engine = answers(&weights, trainer.network.config(), storage, &sequences);
                assert_eq!(forward(&integers.integers, &sequences), engine, "{layers} {}", storage.name());
            }
        }
    }
}

/// Whatever dense layers before the pooling make of zeros.
#[test]
fn a_text_without_tokens_is_pooled_to_zeros() {
    for layers in ["3 > rnn 4 > dense 5 tanh > last > dense 6", "3 > dense 5 sigmoid > last", "3 > dense 5 > mean"] {
        let network = chained(layers, 2, 1.0);
        let expected = network.forward(&[&[][..]]).unwrap();
        let found = engine(&network, Storage::F32, &[Vec::new()]);
        for (found, expected) in found[0].iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{layers}: {found} {expected}");
        }
    }
}

/// Where the engine halves the sums of its mean and of its attention.
#[test]
fn training_computes_the_logits_of_the_engine_on_long_sequences() {
    let sequences = [(0..70_000).map(|step| (7 * step + step / 3) % 30).collect()];
    for layers in ["2 > rnn 3 > mean", "2 > gru 3 > attention", "2 > mean > dense 3 relu"] {
        let network = chained(layers, 1, 1.0);
        let ours = forward(&aware(&network, Storage::Int8).integers, &sequences);
        assert_eq!(ours, engine(&network, Storage::Int8, &sequences), "{layers}");
    }
}

/// Rows as the engine's kernels walk them: `[row / 4][column / 4][4 rows][4 columns]`, padded with zeros.
fn kernel_order(rows: &RowIntegers) -> (Vec<i8>, Vec<u16>) {
    let height = rows.multipliers.len();
    let weight = |row: usize, column: usize| match row < height && column < rows.columns {
        true => rows.weights[row * rows.columns + column],
        false => 0,
    };
    let mut weights = Vec::new();
    for row in (0..height).step_by(4) {
        for column in (0..rows.columns).step_by(4) {
            weights.extend((0..16).map(|at| weight(row + at / 4, column + at % 4)));
        }
    }
    let mut multipliers = rows.multipliers.clone();
    multipliers.resize(height.next_multiple_of(4), 1);
    (weights, multipliers)
}

fn rows<'r>((weights, multiplier): &'r (Vec<i8>, Vec<u16>), bias: &'r [i32], shift: u8) -> RowsI8<'r> {
    RowsI8 { weights, multiplier, bias, shift: u32::from(shift), packed: kernels::Packed::NONE }
}

/// One step of a kernel: features, scratch, hidden state.
type Step<'s> = dyn Fn(Features<'_>, &mut [i32], &mut [i16]) + 's;

/// The hidden states of a network's only recurrent layer after each of some ids, as the engine's kernels compute them.
fn by_kernels(network: &Network<f32>, storage: Storage, ids: &[u32]) -> Vec<i16> {
    let Aware { integers, .. } = aware(network, storage);
    let layer = &Weights::of(network).layers[0];
    let grid = Grid::of_gates(storage);
    let mut h = vec![0_i16; layer.units];
    let mut scratch = vec![0_i32; 4096];
    let mut states = Vec::new();
    let mut run = |step: &Step<'_>| {
        for &id in ids {
            let row = &integers.embedding[id as usize * layer.inputs..][..layer.inputs];
            let row: Vec<i8> = row.iter().map(|&integer| integer as i8).collect();
            step(Features::Row(&row), &mut scratch, &mut h);
            states.extend_from_slice(&h);
        }
    };
    match layer.cell {
        Cell::Gru { reset_after } => {
            let GruIntegers { kernel, recurrent, shift } =
                crate::quantizer::gru::quantize(layer, &integers.scales, grid, 0).unwrap();
            let mut bias = kernel.biases.clone();
            bias.resize(bias.len().next_multiple_of(4), 0);
            let (x, u) = (kernel_order(&kernel), kernel_order(&recurrent));
            let reset = if reset_after { gru::Reset::After } else { gru::Reset::Before };
            let (kernel, recurrent) = (rows(&x, &bias, shift), rows(&u, &recurrent.biases, shift));
            let gru = gru::GruI8 { kernel, recurrent, reset };
            run(&|x, scratch, h| Scalar.gru_i8(&gru, x, scratch, h));
        }
        _ => {
            let RnnIntegers { rows: integers, shift } =
                crate::quantizer::rnn::quantize(layer, &integers.scales, grid, 0).unwrap();
            let mut bias = integers.biases.clone();
            bias.resize(bias.len().next_multiple_of(4), 0);
            let relu = layer.cell == Cell::Rnn { activation: Activation::Relu };
            let activation = if relu { rnn::Activation::Relu } else { rnn::Activation::Tanh };
            let order = kernel_order(&integers);
            let rnn = rnn::RnnI8 { rows: rows(&order, &bias, shift), activation };
            run(&|x, scratch, h| Scalar.rnn_i8(&rnn, x, scratch, h));
        }
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn training_computes_the_states_of_the_engines_gru_and_rnn(
        (embedding, units) in (1_usize..20, 1_usize..40),
        cell in prop::sample::select(&["gru", "gru reset_before", "rnn", "rnn relu"][..]),
        ids in prop::collection::vec(0_u32..30, 1..30),
    ) {
        let (name, option) = cell.split_once(' ').unwrap_or((cell, ""));
        let network = chained(&format!("{embedding} > {name} {units} {option} > last"), 1, 1.0);
        for storage in [Storage::Int8, Storage::Int4] {
            let Aware { integers, .. } = aware(&network, storage);
            let mut pass = Pass::new(&integers.real);
            pass.steps.gather(&[0], |_| &ids);
            pass.forward_integers(&integers, None);
            let states = integers.real.layers[0].output(&pass.stages[0].tape);
            let found: Vec<i16> = states.iter().map(|h| (h * 32_768.0) as i16).collect();
            prop_assert_eq!(found, by_kernels(&network, storage, &ids), "{}", storage.name());
        }
    }
}

/// Chains with every cell, every pooling, every activation before and behind it, and cells above dense layers.
const CHAINS: [&str; 17] = [
    "6 > gru 9 > gru 9 > mean",
    "6 > gru 9 reset_before > gru 9 reset_before > mean",
    "6 > rnn 9 > rnn 9 > attention",
    "6 > rnn 9 relu > max",
    "6 > conv1d 8 k3 relu > lstm 9 > mean",
    "6 > gru 9 > conv1d 8 k2 s2 > mean > dense 5 relu",
    "6 > rnn 9 relu > rnn 9 relu > mean",
    "6 > dense 8 > lstm 9 > mean > dense 7",
    "6 > dense 8 relu > gru 9 > last > dense 7 relu",
    "6 > bilstm 5 > last > dense 5",
    "6 > bigru 9 average > rnn 9 > mean > dense 5",
    "6 > birnn 9 product > bilstm 9 > mean",
    "6 > dense 8 tanh > rnn 9 relu > dense 7 relu > max > dense 6 tanh > dense 5",
    "6 > lstm 9 > dense 8 sigmoid > gru 7 reset_before > attention > dense 6 sigmoid",
    "6 > rnn 9 > dense 8 tanh > attention > dense 6 relu",
    "6 > mean",
    "6 > dense 8 relu > mean > dense 6 tanh",
];

#[test]
fn the_gradients_of_every_chain_are_those_of_the_real_values_but_for_rounding() {
    for layers in CHAINS {
        let network = chained(layers, 1, 0.4);
        let integers = aware(&network, Storage::Int8).integers;
        let (_, ours) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
        let (_, float) = loss_and_gradients(&integers.real, &batch(), &LossOptions::default()).unwrap();
        let pairs = ours.tensors(&network).into_iter().zip(float.tensors(&network));
        let difference: f32 = pairs.map(|((_, ours), (_, float))| (ours - float).norm_squared()).sum();
        let whole: f32 = float.tensors(&network).iter().map(|(_, float)| float.norm_squared()).sum();
        assert!(difference < 0.05 * 0.05 * whole, "{layers}: {}", (difference / whole).sqrt());
    }
}

/// One unit of relu that reads one feature, which is 0.5, for one token.
#[test]
fn relu_has_a_gradient_between_zero_and_its_end_alone() {
    for (layers, kernel, bias, learns) in [
        ("1 > rnn 1 relu > last", 1.0, 0.0, true),
        ("1 > rnn 1 relu > last", 1.0, -0.6, false),
        ("1 > rnn 1 relu > last", 1.0, 0.45, true),
        ("1 > rnn 1 relu > last", 1.0, 0.55, false),
        // A dense layer's range holds all its sums.
        ("1 > dense 1 relu > last", 1.0, 0.55, true),
        ("1 > dense 1 relu > last", 1.0, -0.6, false),
        ("1 > conv1d 1 k1 relu > last", 1.0, 0.55, true),
        ("1 > conv1d 1 k1 relu > last", 1.0, -0.6, false),
        ("1 > last > dense 1 relu", 1.0, 0.55, true),
        ("1 > last > dense 1 relu", 1.0, -0.6, false),
    ] {
        let mut network = chained(layers, 1, 1.0);
        network.embedding.table.fill(0.5);
        for (name, tensor) in network.tensors_mut() {
            match name.rsplit_once('.').map_or(name.as_str(), |(_, tensor)| tensor) {
                "kernel" => tensor.fill(kernel),
                "bias" => tensor.fill(bias),
                _ => {}
            }
        }
        let mut batch = Batch::new();
        batch.push(&[0], 1.0);
        let integers = aware(&network, Storage::Int8).integers;
        let (_, gradients) = quantized_gradients(&integers, &batch, &LossOptions::default()).unwrap();
        let place = network
            .layers
            .iter()
            .position(|layer| matches!(layer, Layer::Rnn(_) | Layer::Conv1d(_) | Layer::Dense(_)))
            .unwrap();
        for (name, gradient) in gradients.layers[place].tensors() {
            let reached = learns && name != "recurrent_kernel";
            assert_eq!(gradient[0] != 0.0, reached, "{layers} {bias}: {name} {}", gradient[0]);
        }
    }
}

#[test]
fn every_chain_learns_with_the_integers_of_every_storage() {
    for layers in CHAINS {
        for storage in STORAGES {
            let network = chained(layers, 1, 1.0);
            let mut integers = aware(&network, storage);
            let mut trainer = Trainer::new(network, &AdamConfig::default());
            let options = StepOptions { learning_rate: 0.02, clip_norm: Some(1.0), loss: LossOptions::default() };
            let mut step = || train_step_quantized(&mut trainer, &mut integers, &batch(), &options).unwrap().loss_sum;
            let first = step();
            (0..250).for_each(|_| {
                step();
            });
            let last = step();
            assert!(last < 0.3 * first, "{layers} {}: {first} {last}", storage.name());
        }
    }
}

/// The loss of a network's image on [`batch`], by the engine, and its right verdicts.
fn judged(network: &Network<f32>, scales: &[f32], storage: Storage) -> (f64, usize) {
    let batch = batch();
    let sequences: Vec<Vec<u32>> = batch.sequences().map(<[u32]>::to_vec).collect();
    let weights = Weights { embedding_scales: scales.to_vec(), ..Weights::of(network) };
    let logits = answers(&weights, network.config(), storage, &sequences).concat();
    let (mut loss, mut correct) = (0.0, 0);
    for (z, &label) in logits.into_iter().map(f64::from).zip(batch.labels()) {
        loss += z.max(0.0) - z * f64::from(label) + (-z.abs()).exp().ln_1p();
        correct += usize::from((z > 0.0) == (label > 0.5));
    }
    (loss, correct)
}

#[test]
fn training_on_with_integers_makes_no_image_worse() {
    let options = |learning_rate| StepOptions { learning_rate, clip_norm: Some(1.0), loss: LossOptions::default() };
    for layers in CHAINS {
        let mut trainer = Trainer::new(chained(layers, 1, 1.0), &AdamConfig::default());
        (0..120).for_each(|_| {
            train_step(&mut trainer, &batch(), &options(0.02)).unwrap();
        });
        for storage in [Storage::Int8, Storage::Int4] {
            let network = trainer.network.clone();
            let scales = embedding_scales(&network, Vec::new(), storage);
            let before = judged(&network, &scales, storage);
            let mut integers = Aware::new(&network, storage, scales.clone(), None).unwrap();
            let mut trainer = Trainer::new(network, &AdamConfig::default());
            (0..60).for_each(|_| {
                train_step_quantized(&mut trainer, &mut integers, &batch(), &options(1e-3)).unwrap();
            });
            let after = judged(&trainer.network, &scales, storage);
            let case = format!("{layers} {}: {before:?} {after:?}", storage.name());
            assert!(after.0 <= before.0 && after.1 >= before.1, "{case}");
        }
    }
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    for number in 0..24_u32 {
        let ids: Vec<u32> = (0..3 + number % 9).map(|step| (7 * number + 5 * step) % 30).collect();
        batch.push(&ids, (number % 2) as f32);
    }
    batch
}

#[test]
fn the_gradients_are_those_of_the_network_that_the_integers_stand_for_but_for_rounding() {
    let network = network(30, 6, 9, 2, Pooling::Mean);
    let integers = aware(&network, Storage::Int8).integers;
    let (_, ours) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
    let (_, float) = loss_and_gradients(&integers.real, &batch(), &LossOptions::default()).unwrap();
    for ((name, ours), (_, float)) in ours.tensors(&network).into_iter().zip(float.tensors(&network)) {
        let difference = (&ours - &float).norm() / float.norm();
        // h, some tenths, goes to the next step in units of 1/128: about two parts in a hundred.
        assert!(difference < 0.05, "{name}: {difference}");
    }
}

#[test]
fn a_network_learns_with_the_integers_of_every_storage() {
    for storage in STORAGES {
        let network = network(30, 6, 9, 1, Pooling::Max);
        let mut integers = aware(&network, storage);
        let mut trainer = Trainer::new(network, &AdamConfig::default());
        let options = StepOptions { learning_rate: 0.02, clip_norm: None, loss: LossOptions::default() };
        let mut step = || train_step_quantized(&mut trainer, &mut integers, &batch(), &options).unwrap().loss_sum;
        let first = step();
        (0..60).for_each(|_| {
            step();
        });
        let last = step();
        assert!(last < 0.1 * first, "{}: {first} {last}", storage.name());
    }
}

#[test]
fn a_weight_beyond_its_range_is_not_pushed_further_and_may_come_back() {
    let network = network(30, 4, 3, 1, Pooling::Last);
    let scales = embedding_scales(&network, Vec::new(), Storage::Int4);
    let halved: Vec<f32> = scales.iter().map(|scale| scale / 4.0).collect();
    let integers = Aware::new(&network, Storage::Int4, halved.clone(), None).unwrap().integers;
    let (_, mut gradients) = quantized_gradients(&integers, &batch(), &LossOptions::default()).unwrap();
    let before = gradients.embedding.clone();
    integers.hold(&network.embedding, &mut gradients.embedding);
    let (mut held, mut kept) = (0, 0);
    for (place, &id) in before.ids.iter().enumerate() {
        for (feature, scale) in halved.iter().enumerate() {
            let (was, is) = (before.values[4 * place + feature], gradients.embedding.values[4 * place + feature]);
            let value = network.embedding.table[(feature, id as usize)] / scale;
            let outwards = (value > 112.0 && was < 0.0) || (value < -128.0 && was > 0.0);
            assert_eq!(is, if outwards { 0.0 } else { was });
            held += usize::from(outwards);
            kept += usize::from(!outwards && !(-128.0..=112.0).contains(&value));
        }
    }
    assert!(held > 0 && kept > 0, "{held} {kept}");
}
