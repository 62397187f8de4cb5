//! Promise: a model without recurrent layers is pooling over its embedding's rows, in trainer and engine
//! alike. (That backends, packing and streams keep its bits is in the tests of all shapes.)

use latch_engine::image::Image;
use latch_engine::image::encode::{AlignedBytes, Notes, encode};
use latch_engine::image::role::Role;
use latch_engine::input::text::Unknown;
use latch_engine::layers::Layer;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Logit, Model, Precision, SelfTest, State, project};
use latch_tests::models::{PRECISIONS, ROOM, Shape, logits, network};
use proptest::prelude::*;

fn bag(pooling: Pooling, seed: u64) -> Shape {
    Shape { rows: 40, width: 7, units: Vec::new(), pooling, unknown: Unknown::LastRow, seed }
}

/// The logit of some ids through the engine.
fn logit(bytes: &[u8], ids: &[u32]) -> Logit {
    let image = Image::open(bytes).expect("the image was just made");
    let model = Model::new(&image);
    let mut state = State::<ROOM>::new();
    let mut session = model.session(&mut state).expect("there is room");
    assert_eq!(session.push_tokens(ids), ids.len());
    logits(&mut session)[0]
}

proptest! {
    #[test]
    fn the_engine_computes_what_the_trainer_computes(seed: u64, ids in prop::collection::vec(0_u32..40, 0..60)) {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
            let shape = bag(pooling, seed);
            let network = network::<f64>(&shape.weights(), pooling);
            let expected = network.forward(&[&ids]).expect("the ids are in the embedding")[0];
            for (precision, bound) in PRECISIONS.into_iter().zip([1e-5, 1e-2, 1e-1]) {
                let found = f64::from(logit(&shape.image(precision), &ids).to_f32());
                prop_assert!((found - expected).abs() < bound, "{} {pooling:?}: {found} and {expected}", precision.name());
            }
        }
    }

    #[test]
    fn an_integer_bag_is_the_exact_sum_of_its_bytes(seed: u64, ids in prop::collection::vec(0_u32..40, 1..60)) {
        let bytes = bag(Pooling::Mean, seed).image(Precision::Int8);
        let image = Image::open(&bytes).expect("the image was just made");
        let section = |role| {
            image.section_bytes(&image.sections().find(|section| section.role == role).expect("the image has this tensor"))
        };
        let number = |bytes: &[u8], at: usize| i64::from(i16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]));
        let (embedding, head) = (section(Role::Embedding), section(Role::Weights));
        let count = ids.len() as i64;
        let dot: i64 = (0..7)
            .map(|column| {
                let sum: i64 = ids.iter().map(|&id| 256 * i64::from(embedding[7 * id as usize + column] as i8)).sum();
                let half = sum.signum() * (count / 2);
                number(head, column) * ((sum + half) / count)
            })
            .sum();
        let multiplier = number(section(Role::Multipliers), 0) & 0xFFFF;
        let bias = section(Role::Biases).try_into().map(i32::from_le_bytes).expect("one bias of 32 bits");
        let shift = image.description().layers.iter().find_map(|layer| match layer {
            Layer::Dense(dense) => Some(dense.shift),
            _ => None,
        }).expect("a dense layer answers");
        let expected = ((dot * multiplier + (1_i64 << (shift - 1))) >> shift) + i64::from(bias);
        prop_assert_eq!(logit(&bytes, &ids), Logit::Fixed(expected as i32));
    }
}

#[test]
fn a_bag_is_an_image_of_two_layers_with_a_self_test_that_passes() {
    for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max] {
        let bytes = bag(pooling, 3).image(Precision::Int8);
        let image = Image::open(&bytes).expect("the image was just made");
        assert_eq!(image.description().layers.count(), 2);
        let mut state = State::<ROOM>::new();
        assert_eq!(Model::new(&image).self_test(state.as_bytes_mut()), Ok(SelfTest::Passed));
    }
}

#[test]
fn a_bag_whose_embedding_has_the_lowest_byte_everywhere_keeps_a_state_that_goes_on() {
    let shape = bag(Pooling::Mean, 3);
    let whole = shape.image(Precision::Int8);
    let mut bytes = whole.to_vec();
    let start = {
        let image = Image::open(&whole).expect("the image was just made");
        image.sections().find(|section| section.role == Role::Embedding).expect("there is an embedding").offset
    };
    bytes[start..start + 7 * 40].fill(0x80);
    let end = bytes.len() - 4;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    let bytes = AlignedBytes::new(&bytes);
    let image = Image::open(&bytes).expect("any byte is a weight");
    let model = Model::new(&image);
    let mut state = State::<ROOM>::new();
    model.session(&mut state).expect("there is room").push_tokens(&[0; 70_000]);
    let before = state;
    let session = model.resume(&mut state).expect("the state is its own");
    assert_eq!(session.tokens(), 70_000);
    assert_eq!(before, state);
}

#[test]
fn a_bag_cannot_be_projected_and_says_why() {
    for precision in PRECISIONS {
        let bytes = bag(Pooling::Mean, 3).image(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        let refused = project(&image, &[1, 2]).expect_err("there is nothing to project into");
        assert!(matches!(refused, Error::Shape { problem } if problem.contains("LSTM layer")), "{refused}");
        let mut description = image.description();
        description.embedding.projected = 2;
        assert!(matches!(encode(&description, &Notes::of(&image), &[]), Err(Error::Layer { layer: 0, .. })));
    }
}

#[test]
fn the_layer_that_answers_has_a_weight_for_each_feature_of_the_embedding_or_of_the_last_layer() {
    for (units, inputs) in [(vec![], 7), (vec![5], 5)] {
        let bytes = Shape { units, ..bag(Pooling::Mean, 3) }.image(Precision::Int8);
        let description = Image::open(&bytes).expect("the image was just made").description();
        assert_eq!(description.layers.last().and_then(Layer::inputs), Some(inputs));
    }
}
