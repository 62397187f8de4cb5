//! Promise: a readout by attention is the weighted mean that it says it is: sums and weights to the bit, in a state that can be kept and resumed. What
//! is wrong with it is refused.

use latch_engine::image::encode::{AlignedBytes, encode};
use latch_engine::image::{Description, Image, VERSION, VERSION_EXTENDED, VERSION_TIERED};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::attention::attention_weight;
use latch_engine::layers::embedding::Tiers;
use latch_engine::layers::pooling::Pooling as Readout;
use latch_engine::{Error, Model, Precision, SelfTest, State};
use latch_tests::models::{ROOM, Shape, image, tensors};
use latch_trainer::quantizer::Weights;
use nalgebra::DMatrix;
use proptest::prelude::*;

/// A small model; `score` is added to the bias of the output gate and the candidate of its first unit, so that its hidden state, and with it the
/// weights, take all values.
fn attending(units: usize, seed: u64, score: f32) -> Weights {
    let mut weights = Weights::random(40, 5, &[units], Readout::Attention, seed);
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
        let (cells, hidden) = (4 * units, (2 * units).next_multiple_of(4));
        let scratch = 2 * (5 + units).next_multiple_of(4);
        let bytes = |readout| stream_bytes(Precision::Int8, readout, 5, &[units as u16]);
        let begin = bytes(Readout::Last) - cells - hidden - scratch + cells;
        prop_assert_eq!(bytes(Readout::Attention), bytes(Readout::Last) + 4 * units);
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            prop_assert_eq!(model.self_test(State::<ROOM>::new().as_bytes_mut()), Ok(SelfTest::Passed));
            let mut state = State::<ROOM>::new();
            let mut session = model.session(&mut state).expect("there is room");
            let (mut total, mut sums) = (0_i64, vec![0_i64; units]);
            for &id in &ids {
                session.push_token(id);
                let state = session.state();
                let h = |unit: usize| i16::from_le_bytes([state[begin + 2 * unit], state[begin + 2 * unit + 1]]);
                let weight = attention_weight(h(0));
                total += i64::from(weight);
                for (unit, sum) in sums.iter_mut().enumerate() {
                    *sum += (i64::from(weight) * i64::from(h(unit)) + 2_048).div_euclid(4_096);
                    prop_assert_eq!(i64::from(number(state, begin + hidden + 4 * unit)), *sum);
                }
                // The third number of a state's header.
                prop_assert_eq!(i64::from(number(state, 8)), total);
            }
        }
    }
}

/// Odd everywhere: a row of five features, seven units.
fn small() -> Shape {
    Shape { rows: 40, width: 5, units: vec![7], readout: Readout::Attention, unknown: Unknown::LastRow, seed: 3 }
}

/// Written by the first writer of version 6 from [`small`].
const GOLDENS: [(Precision, &[u8]); 2] = [
    (Precision::Int8, include_bytes!("../goldens/image-v6-int8.latch")),
    (Precision::F32, include_bytes!("../goldens/image-v6-f32.latch")),
];

#[test]
fn images_of_version_6_open_compute_what_they_computed_then_and_are_still_written_so() {
    for (precision, bytes) in GOLDENS {
        let bytes = AlignedBytes::new(bytes);
        let image = Image::open(&bytes).expect("the golden is readable");
        assert_eq!((image.version(), image.description().readout), (6, Readout::Attention));
        let self_test = Model::new(&image).self_test(State::<ROOM>::new().as_bytes_mut());
        let expected = if precision == Precision::Int8 { SelfTest::Passed } else { SelfTest::Absent };
        assert_eq!(self_test, Ok(expected));
        assert_eq!(&small().image(precision)[..], &bytes[..], "{}", precision.name());
    }
}

/// Writes the goldens anew: for a new version of the format, and never to make a test pass.
#[test]
#[ignore = "writes the goldens"]
fn write_the_goldens() {
    for precision in [Precision::Int8, Precision::F32] {
        let path = format!("{}/goldens/image-v6-{}.latch", env!("CARGO_MANIFEST_DIR"), precision.name());
        std::fs::write(path, &small().image(precision)[..]).expect("the folder is writable");
    }
}

#[test]
fn attention_without_a_layer_is_refused() {
    let bytes = Shape { units: vec![], readout: Readout::Mean, ..small() }.image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    let manifest = Manifest { readout: Readout::Attention, ..image.description() };
    let result = encode(&manifest, &image.provenance(), &tensors(&image));
    assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
}

#[test]
fn attention_under_the_number_of_an_older_version_is_refused() {
    let bytes = small().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    assert_eq!(image.version(), VERSION);
    for version in [VERSION_EXTENDED, VERSION_TIERED] {
        let mut forged = AlignedBytes::new(&bytes);
        // The version follows the four bytes of the magic number, and is one byte while it is small.
        forged[4] = version as u8;
        let body = forged.len() - 4;
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&forged[..body]);
        forged[body..].copy_from_slice(&crc.to_le_bytes());
        assert!(Image::open(&forged).is_err(), "version {version}");
    }
}

#[test]
fn a_version_6_says_whether_there_are_tiers() {
    let bytes = small().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    assert_eq!(image.description().extended, Extended::default());
    let form = Tiers { whole: 9, width: 3, remainders: 0, nibbles: false };
    let mut weights = small().weights();
    weights.occurrences = (0..40).rev().collect();
    let mut table = DMatrix::from_vec(5, 40, weights.embedding);
    latch_trainer::network::tiers::Tiers::new(form, &weights.occurrences, 40).begin(&mut table);
    weights.embedding = table.as_slice().to_vec();
    weights.tiers = Some(form);
    let bytes = latch_tests::models::image(&weights, Precision::Int8, Unknown::LastRow);
    let image = Image::open(&bytes).expect("the image was just made");
    assert_eq!((image.version(), image.description().extended.tiers), (VERSION, Some(form)));
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
    // The sum of weights is the header's third number.
    for total in [0, 1, (1 << 28), u32::MAX] {
        let mut forged = state;
        forged.as_bytes_mut()[8..12].copy_from_slice(&total.to_le_bytes());
        assert_eq!(model.resume(&mut forged).err(), Some(Error::StateDamaged), "{total}");
    }
}
