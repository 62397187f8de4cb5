//! Promise: a row or a channel that is far larger than the others, or a dead one, does not spoil the integers of the others.

use latch_engine::Model;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_trainer::config::Storage;
use latch_trainer::config::chain::Pooling;
use latch_trainer::network::{Network, NetworkConfig};
use latch_trainer::quantizer::{CellWeights, Origin, Weights, clipped, rounded, to_image};
use latch_trainer::samples::{Channel, Scaling};
use latch_trainer::vocabulary::Vocabulary;

const WIDTH: usize = 6;
const UNITS: usize = 8;

/// Words `w000` … of a vocabulary.
fn vocabulary(words: usize) -> Vocabulary {
    Vocabulary::from_words((0..words).map(|word| format!("w{word:03}")).collect(), Unknown::Skip)
}

/// A network of these rows and one recurrent layer of the kind.
fn weights(rows: usize, kind: &str) -> Weights {
    let mut config = NetworkConfig::stacked(rows, WIDTH, 1, UNITS, Some(Pooling::Mean));
    if kind != "lstm" {
        let chain = format!("embedding {WIDTH} > {kind} {UNITS} > mean > dense");
        config.chain = chain.parse().expect("a chain");
    }
    Weights::of(&Network::new(&config, 5).expect("a network"))
}

/// The root mean square of the differences between int8 and f32 of the hidden states of these units, over all words in an order that mixes them.
fn hidden_error(weights: &Weights, words: usize, units: &[usize]) -> f64 {
    let vocabulary = vocabulary(words);
    let image = |storage| to_image(weights, &vocabulary, storage, &Origin::default()).expect("an image");
    let (float, integer) = (image(Storage::F32), image(Storage::Int8));
    let states = |bytes: &AlignedBytes| -> Vec<Vec<u8>> {
        let image = Image::open(bytes).expect("it opens");
        let model = Model::new(&image);
        let mut memory = AlignedBytes::zeroed(model.state_bytes());
        let mut session = model.session_in(&mut memory).expect("a session");
        let steps = 0..300_u32;
        let mut states = Vec::new();
        for step in steps {
            session.push_token(step * 7 % words as u32);
            states.push(session.layer_state(0).to_vec());
        }
        states
    };
    let (mut squares, mut count) = (0.0, 0);
    for (float, integer) in states(&float).iter().zip(states(&integer)) {
        let floats = &float[float.len() - 4 * UNITS..];
        let integers = &integer[integer.len() - 2 * UNITS..];
        for &unit in units {
            let value = f32::from_ne_bytes(floats[4 * unit..][..4].try_into().expect("four bytes"));
            let found = i16::from_ne_bytes(integers[2 * unit..][..2].try_into().expect("two bytes"));
            squares += (f64::from(found) / 32_768.0 - f64::from(value)).powi(2);
            count += 1;
        }
    }
    (squares / f64::from(count)).sqrt()
}

/// Every weight of a cell that leads from a unit to another is taken out, so that what one unit does is no matter to the others.
fn alone(cell: &mut CellWeights) {
    let units = cell.units;
    for (place, weight) in cell.recurrent_kernel.iter_mut().enumerate() {
        let (row, column) = (place / units, place % units);
        if row % units != column {
            *weight = 0.0;
        }
    }
}

/// The rows of a unit in a kernel, times a factor.
fn times(cell: &mut CellWeights, unit: usize, factor: f32) {
    let (inputs, units) = (cell.inputs, cell.units);
    for (place, weight) in cell.kernel.iter_mut().enumerate() {
        if place / inputs % units == unit {
            *weight *= factor;
        }
    }
}

#[test]
fn a_row_of_the_embedding_times_a_hundred_is_clipped_and_named_and_the_others_stay_as_exact() {
    for (rows, often) in [(60, 0), (60, 3), (500, 3), (500, 40)] {
        let mut plain = weights(rows, "lstm");
        if often > 0 {
            plain.occurrences = vec![20; rows];
            plain.occurrences[7] = often;
        }
        let mut spoilt = plain.clone();
        spoilt.embedding[7 * WIDTH..][..WIDTH].iter_mut().for_each(|value| *value *= 100.0);
        for storage in [Storage::Int8, Storage::Int4] {
            let error = |weights: &Weights| -> f64 {
                let rounded = rounded(weights, storage).values;
                let pairs = weights.embedding.iter().zip(&rounded).enumerate();
                let others = pairs.filter(|(place, _)| place / WIDTH != 7);
                others.map(|(_, (value, found))| f64::from(value - found).powi(2)).sum::<f64>().sqrt()
            };
            let (before, after) = (error(&plain), error(&spoilt));
            assert!(after <= 1.25 * before, "{rows} rows, {often} times, {}: {before} {after}", storage.name());
            let named = clipped(&spoilt, storage);
            assert_eq!(named.iter().map(|row| row.id).collect::<Vec<_>>(), [7], "{named:?}");
            assert!(clipped(&plain, storage).is_empty());
        }
    }
}

#[test]
fn a_row_of_a_kernel_times_a_hundred_leaves_the_other_units_as_exact() {
    for kind in ["lstm", "gru", "rnn"] {
        let mut plain = weights(40, kind);
        alone(&mut plain.layers[0]);
        let mut spoilt = plain.clone();
        times(&mut spoilt.layers[0], 3, 100.0);
        let others = [0, 1, 2, 4, 5, 6, 7];
        let (before, after) = (hidden_error(&plain, 40, &others), hidden_error(&spoilt, 40, &others));
        assert!(before > 0.0 && after <= 1.25 * before, "{kind}: {before} {after}");
    }
}

#[test]
fn a_dead_unit_stays_zero_and_changes_no_other() {
    for kind in ["lstm", "gru", "rnn"] {
        let mut plain = weights(40, kind);
        alone(&mut plain.layers[0]);
        let mut dead = plain.clone();
        times(&mut dead.layers[0], 3, 0.0);
        let cell = &mut dead.layers[0];
        let units = cell.units;
        let is_dead = |row: usize| row % units == 3;
        (0..cell.recurrent_kernel.len()).filter(|place| is_dead(place / units)).for_each(|place| {
            cell.recurrent_kernel[place] = 0.0;
        });
        for bias in [&mut cell.bias, &mut cell.recurrent_bias] {
            bias.iter_mut().enumerate().filter(|(row, _)| is_dead(*row)).for_each(|(_, bias)| *bias = 0.0);
        }
        assert_eq!(hidden_error(&dead, 40, &[3]), 0.0, "{kind}");
        let others = [0, 1, 2, 4, 5, 6, 7];
        let (before, after) = (hidden_error(&plain, 40, &others), hidden_error(&dead, 40, &others));
        assert!(after <= 1.25 * before, "{kind}: {before} {after}");
    }
}

#[test]
fn a_channel_times_a_thousand_changes_no_bit_of_the_others() {
    let channel = |range: f32| Channel { offset: 0.0, factor: 1.0, range, unit: 2_f32.powi(-15) };
    let scaling = |second: f32| Scaling {
        lag: 0,
        channels: vec![channel(1.0), channel(second), channel(1.0)],
        skip: None,
        skip_factor: 1.0,
        open: true,
    };
    let (plain, spoilt) = (scaling(1.0), scaling(1000.0));
    for step in [2_f64.powi(-7), 2_f64.powi(-15)] {
        let (before, after) = (plain.column_scales(step), spoilt.column_scales(step));
        assert_eq!([before[0], before[2]], [after[0], after[2]]);
        assert!((after[1] / before[1] - 1000.0).abs() < 1e-3);
    }
    let frames = [0.3, 0.2, -0.9];
    let (before, after) = (plain.scaled(&frames), spoilt.scaled(&[0.3, 200.0, -0.9]));
    assert_eq!([before[0], before[2]], [after[0], after[2]]);
}
