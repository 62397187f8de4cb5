//! Promise: pooling by attention is the weighted mean that it says it is: sums and weights to the bit, in a state that can be kept and resumed. What
//! is wrong with it is refused.

use latch_engine::image::encode::{Notes, encode};
use latch_engine::image::{Description, Image};
use latch_engine::input::text::Unknown;
use latch_engine::input::tokenizer::Tokenizer;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::Layer;
use latch_engine::layers::attention::attention_weight;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Layout, Model, Precision, SelfTest, State};
use latch_tests::models::{ROOM, Shape, image, tensors};
use latch_trainer::quantizer::Weights;
use proptest::prelude::*;

/// A small model; `score` is added to the bias of the output gate and the candidate of its first unit, so that its hidden state, and with it the
/// weights, take all values.
fn attending(units: usize, seed: u64, score: f32) -> Weights {
    let mut weights = Weights::random(40, 5, &[units], Pooling::Attention, seed);
    let bias = &mut weights.layers[0].bias;
    for gate in [0, 2, 3] {
        bias[gate * units] += if gate == 2 { score } else { 2.0 };
    }
    weights
}

/// A number of a state, 32 bits.
fn number(state: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(state[at..at + 4].try_into().expect("four bytes"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sums_and_weights_are_those_of_the_definition_on_every_backend(
        units in 1..20_usize,
        seed in any::<u64>(),
        score in -3.0..3.0_f32,
        ids in prop::collection::vec(0..40_u32, 1..60),
    ) {
        let bytes = image(&attending(units, seed, score), Precision::Int8, Unknown::LastRow);
        let image = Image::open(&bytes).expect("the image was just made");
        let cells = 4 * units;
        let with = |pooling| {
            let layers = image.description().layers.iter().map(|layer| match layer {
                Layer::Pooling(_) => Layer::Pooling(pooling),
                layer => *layer,
            }).collect();
            Layout::of(&Description { layers, ..image.description() }).remembered()
        };
        prop_assert_eq!(with(Pooling::Attention), with(Pooling::Last) + 4 + 4 * units);
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            prop_assert_eq!(model.self_test(State::<ROOM>::new().as_bytes_mut()), Ok(SelfTest::Passed));
            let mut state = State::<ROOM>::new();
            let mut session = model.session(&mut state).expect("there is room");
            let (mut total, mut sums) = (0_i64, vec![0_i64; units]);
            for &id in &ids {
                session.push_token(id);
                let (hidden, pooled) = (&session.layer_state(0)[cells..], session.layer_state(1));
                let h = |unit: usize| i16::from_le_bytes([hidden[2 * unit], hidden[2 * unit + 1]]);
                let weight = attention_weight(h(0));
                total += i64::from(weight);
                for (unit, sum) in sums.iter_mut().enumerate() {
                    *sum += (i64::from(weight) * i64::from(h(unit)) + 2_048).div_euclid(4_096);
                    prop_assert_eq!(i64::from(number(pooled, 4 + 4 * unit)), *sum);
                }
                prop_assert_eq!(i64::from(number(pooled, 0)), total);
            }
        }
    }
}

/// Odd everywhere: a row of five features, seven units.
fn small() -> Shape {
    Shape { rows: 40, width: 5, units: vec![7], pooling: Pooling::Attention, unknown: Unknown::LastRow, seed: 3 }
}

#[test]
fn attention_without_a_layer_is_refused() {
    let bytes = Shape { units: vec![], pooling: Pooling::Mean, ..small() }.image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    let mut description = image.description();
    description.layers[0] = Layer::Pooling(Pooling::Attention);
    let result = encode(&description, &Notes::of(&image), &tensors(&image));
    assert!(matches!(result, Err(Error::Layer { layer: 0, .. })), "{result:?}");
}

#[test]
fn a_kept_state_whose_sums_no_weights_could_give_is_refused() {
    let bytes = small().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    let model = Model::new(&image);
    let mut state = State::<ROOM>::new();
    model.session(&mut state).expect("there is room").push_tokens(&[1, 2, 3]);
    let mut kept = state;
    assert!(model.resume(&mut kept).is_ok());
    // Checksum and steps, cells and hidden states, the sum of weights and the sums; then the tokenizer.
    let session = model.resume(&mut kept).expect("the state is one of this model");
    let total_at = session.remembered().len() - size_of::<Tokenizer>() - session.layer_state(1).len();
    for total in [0, 1, (1 << 28), u32::MAX] {
        let mut forged = state;
        forged.as_bytes_mut()[total_at..total_at + 4].copy_from_slice(&total.to_le_bytes());
        assert_eq!(model.resume(&mut forged).err(), Some(Error::StateDamaged), "{total}");
    }
}
