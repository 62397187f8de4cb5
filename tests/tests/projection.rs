//! Promise: precomputing the input projection of some ids changes no bit of an integer model and little of a float one, and a projected image
//! that contradicts itself is refused.

use latch_engine::image::Image;
use latch_engine::image::encode::{AlignedBytes, Notes, Tensor, Values, encode};
use latch_engine::image::role::Role;
use latch_engine::image::section::Section;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Layout, Logit, Model, Precision, SelfTest, Session, State, project, projected_image_bytes};
use latch_tests::models::{POOLINGS, ROOM, Shape, image, logits, shapes, words};
use latch_tests::tolerances;
use latch_trainer::folding::most_frequent;
use proptest::prelude::*;

/// Precisions whose inputs can be projected.
const PROJECTED: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Int8];

fn open(bytes: &AlignedBytes) -> Image<'_> {
    Image::open(bytes).expect("the image was just made")
}

/// Runs the ids on both models and holds every logit and the states after every token to each other.
fn assert_equal_streams(plain: &Model<'_>, projected: &Model<'_>, ids: &[u32]) {
    let (mut ours, mut theirs) = (State::<ROOM>::new(), State::<ROOM>::new());
    let mut expected = plain.session(&mut ours).expect("there is room");
    let mut found = projected.session(&mut theirs).expect("there is room");
    for &id in ids {
        assert_eq!(found.push_token(id), expected.push_token(id));
        for (found, expected) in logits(&mut found).into_iter().zip(logits(&mut expected)) {
            match (found, expected) {
                (Logit::Fixed(found), Logit::Fixed(expected)) => assert_eq!(found, expected),
                (found, expected) => {
                    let (found, expected) = (found.to_f32(), expected.to_f32());
                    let limit = tolerances::BACKENDS * (1.0 + expected.abs());
                    assert!((found - expected).abs() <= limit, "{found} and {expected}");
                }
            }
        }
        if plain.precision().is_integer() {
            // But for the checksum of the image.
            assert_eq!(found.remembered()[4..], expected.remembered()[4..]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_projected_model_computes_what_the_model_computes_that_it_was_made_from(
        shape in shapes(70, 12, 40, 3).prop_filter("a layer to project into", |shape| !shape.units.is_empty()),
        some in prop::collection::btree_set(0_u32..70, 1..70),
        ids in prop::collection::vec(0_u32..75, 1..40),
    ) {
        let mut some_ids: Vec<u32> = some.into_iter().map(|id| id % shape.rows as u32).collect();
        some_ids.reverse();
        for precision in PROJECTED {
            let plain = shape.image(precision);
            let plain = open(&plain);
            let bytes = project(&plain, &some_ids).expect("the ids are in the embedding");
            let projected = open(&bytes);
            some_ids.sort_unstable();
            some_ids.dedup();
            prop_assert_eq!(projected.description().embedding.projected as usize, some_ids.len());
            prop_assert_eq!(projected.projected().map(|index| index.ids().collect::<Vec<u32>>()), Some(some_ids.clone()));
            prop_assert_eq!(projected_image_bytes(&plain, some_ids.len() as u32), Ok(bytes.len()));
            prop_assert_eq!(projected.provenance(), plain.provenance());
            // The digest of all logits over 32 ids: one number that says that both images compute the same bits.
            prop_assert_eq!(projected.self_test(), plain.self_test());
            for backend in AnyBackend::all() {
                let (plain, projected) = (Model::new(&plain).with_backend(backend), Model::new(&projected).with_backend(backend));
                assert_equal_streams(&plain, &projected, &ids);
                let mut memory = vec![0; projected.packed_bytes()];
                let packed = projected.clone().pack(&mut memory).expect("as many bytes as it says");
                assert_equal_streams(&plain, &packed, &ids);
                let expected = if precision.is_integer() { SelfTest::Passed } else { SelfTest::Absent };
                prop_assert_eq!(projected.self_test(State::<ROOM>::new().as_bytes_mut()), Ok(expected));
            }
        }
    }

    #[test]
    fn the_stated_bytes_of_a_projected_stream_are_those_of_its_model_and_enough(shape in shapes(5, 60, 90, 4).prop_filter("a layer to project into", |shape| !shape.units.is_empty()), ids in prop::collection::vec(0_u32..5, 20)) {
        for precision in PROJECTED {
            let plain = shape.image(precision);
            let bytes = project(&open(&plain), &[1]).expect("every embedding has two rows");
            let image = open(&bytes);
            let model = Model::new(&image);
            let stated = Layout::of(&image.description()).bytes();
            prop_assert_eq!(model.state_bytes(), stated);
            let mut exactly = AlignedBytes::zeroed(stated);
            let mut more = State::<16384>::new();
            let mut tight = model.session_in(&mut exactly).expect("exactly enough");
            let mut large = model.session(&mut more).expect("more than enough");
            for &id in &ids {
                prop_assert_eq!(tight.push_token(id), large.push_token(id));
                prop_assert_eq!(tight.output(), large.output());
            }
            prop_assert_eq!(tight.state(), large.state());
            prop_assert!(more.as_bytes()[stated..].iter().all(|&byte| byte == 0));
            let mut less = AlignedBytes::zeroed(stated - 1);
            prop_assert_eq!(model.session_in(&mut less).err(), Some(Error::StateTooSmall { needed: stated, given: stated - 1 }));
        }
    }
}

#[test]
fn streams_that_step_together_over_a_projected_model_are_as_alone() {
    for precision in PROJECTED {
        let plain = small(precision);
        let bytes = project(&open(&plain), &[0, 7, 8, 40]).expect("the ids are in the embedding");
        let image = open(&bytes);
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            let (mut together, mut alone) = ([State::<ROOM>::new(); 11], [State::<ROOM>::new(); 11]);
            let start = |state| model.session(state).expect("there is room");
            let mut sessions: Vec<Session<'_, '_, '_>> = together.iter_mut().map(start).collect();
            let mut expected: Vec<Session<'_, '_, '_>> = alone.iter_mut().map(start).collect();
            for token in 0..20 {
                let ids: Vec<u32> = (0..11).map(|stream| (token * 7 + stream * 8) % 73).collect();
                let read =
                    expected.iter_mut().zip(&ids).filter_map(|(session, &id)| session.push_token(id).then_some(()));
                let read = read.count();
                assert_eq!(Session::step_many(&mut sessions, &ids), read);
                for (session, expected) in sessions.iter_mut().zip(&mut expected) {
                    if precision.is_integer() {
                        assert_eq!(session.remembered(), expected.remembered());
                    }
                    let (found, expected) = (session.output().to_f32(), expected.output().to_f32());
                    assert!((found - expected).abs() <= tolerances::BACKENDS * (1.0 + expected.abs()));
                }
            }
        }
    }
}

/// Every number of projected ids from one to all, two layers, texts in chunks: logit, tokens and verdict of whole texts.
#[test]
fn whole_texts_get_the_same_verdicts_whatever_the_number_of_projected_ids() {
    let texts: Vec<String> = (0..12)
        .map(|number| words(60).into_iter().skip(number).step_by(1 + number % 5).collect::<Vec<_>>().join(" , "))
        .collect();
    for pooling in POOLINGS {
        let shape = Shape { rows: 41, width: 6, units: vec![18, 5], pooling, unknown: Unknown::LastRow, seed: 8 };
        let plain = shape.image(Precision::Int8);
        let plain = open(&plain);
        for some_ids in 1..=41 {
            let ids: Vec<u32> = (0..some_ids).map(|id| id * 17 % 41).collect();
            let bytes = project(&plain, &ids).expect("the ids are in the embedding");
            let projected = open(&bytes);
            for backend in AnyBackend::all() {
                let answer = |image: &Image<'_>, text: &str| {
                    let model = Model::new(image).with_backend(backend);
                    let mut state = State::<ROOM>::new();
                    let mut session = model.session(&mut state).expect("there is room");
                    text.as_bytes().chunks(7).for_each(|chunk| session.push_bytes(chunk));
                    session.finish();
                    (session.output(), session.tokens(), session.probability().to_bits())
                };
                for text in &texts {
                    assert_eq!(answer(&projected, text), answer(&plain, text), "{some_ids} projected ids");
                }
            }
        }
    }
}

fn small(precision: Precision) -> AlignedBytes {
    Shape { rows: 70, width: 5, units: vec![7, 3], pooling: Pooling::Max, unknown: Unknown::LastRow, seed: 3 }
        .image(precision)
}

#[test]
fn what_cannot_be_projected_is_refused() {
    let plain = small(Precision::Int8);
    let plain = open(&plain);
    assert!(matches!(project(&plain, &[]), Err(Error::Shape { .. })));
    assert!(matches!(project(&plain, &[3, 70]), Err(Error::Shape { .. })));
    assert!(matches!(projected_image_bytes(&plain, 71), Err(Error::Shape { .. })));
    let bytes = project(&plain, &[3, 3, 69]).expect("an id that is named twice is projected once");
    assert_eq!(open(&bytes).description().embedding.projected, 2);
    assert!(matches!(project(&open(&bytes), &[4]), Err(Error::Shape { .. })));
}

/// The tensors of an image, as bytes.
fn tensors(image: &Image<'_>) -> Vec<Tensor> {
    let bytes = |section: &Section| Values::Bytes(image.section_bytes(section).to_vec());
    image
        .sections()
        .map(|section| Tensor { role: section.role, layer: section.layer, values: bytes(&section) })
        .collect()
}

/// A projected image with one of its sections changed.
fn changed(bytes: &AlignedBytes, role: Role, change: impl FnOnce(&mut [u8])) -> AlignedBytes {
    let image = open(bytes);
    let mut tensors = tensors(&image);
    let tensor =
        tensors.iter_mut().find(|tensor| tensor.role == role && tensor.layer == 0).expect("it has this tensor");
    let Values::Bytes(values) = &mut tensor.values else { panic!("all tensors are bytes") };
    change(values);
    AlignedBytes::new(&encode(&image.description(), &Notes::of(&image), &tensors).expect("the shapes are right"))
}

#[test]
fn an_index_that_does_not_count_its_ids_is_refused() {
    let plain = small(Precision::Int8);
    let bytes = project(&open(&plain), &[0, 31, 32, 69]).expect("the ids are in the embedding");
    assert!(Image::open(&changed(&bytes, Role::ProjectedIndex, |_| ())).is_ok());
    let blocks = 3;
    for bit in 0..64 * blocks {
        let damaged = changed(&bytes, Role::ProjectedIndex, |index| index[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(Image::open(&damaged).err(), Some(Error::Index { role: Role::ProjectedIndex }), "bit {bit}");
    }
    // As many ids as before, one of them beyond the embedding's 70 rows.
    let damaged = changed(&bytes, Role::ProjectedIndex, |index| (index[20], index[21]) = (0, 0b100_0000));
    assert_eq!(Image::open(&damaged).err(), Some(Error::Index { role: Role::ProjectedIndex }));
}

#[test]
fn a_ready_row_is_accepted_up_to_the_last_value_of_32_bits_and_refused_beyond_it_by_its_id() {
    let plain = small(Precision::Int8);
    let ids = [5, 33, 69];
    let bytes = project(&open(&plain), &ids).expect("the ids are in the embedding");
    let projected = open(&bytes);
    let section = |role| {
        let found =
            projected.sections().find(|section| section.role == role && section.layer == 0).expect("it is there");
        projected.section_bytes(&found)
    };
    let (weights, multipliers) = (section(Role::Weights), section(Role::Multipliers));
    let rows = multipliers.len() / 2;
    let width = weights.len() / rows;
    assert_eq!((rows, width), (28, 8), "the columns of h only");
    for (place, id) in ids.into_iter().enumerate() {
        for row in 0..rows {
            let sum: i64 = weights[row / 4 * 4 * width..][..4 * width]
                .chunks(16)
                .flat_map(|word| &word[4 * (row % 4)..][..4])
                .map(|&weight| i64::from((weight as i8).unsigned_abs()))
                .sum();
            let multiplier = i64::from(u16::from_le_bytes([multipliers[2 * row], multipliers[2 * row + 1]]));
            let room = i64::from(i32::MAX) - 128 * sum * multiplier;
            for (value, fits) in [(room, true), (-room, true), (room + 1, false), (-room - 1, false)] {
                let Ok(value) = i32::try_from(value) else { continue };
                let crafted = changed(&bytes, Role::ProjectedRows, |ready| {
                    ready[4 * (place * rows + row)..][..4].copy_from_slice(&value.to_le_bytes());
                });
                let expected = (!fits).then_some(Error::ProjectionOverflow { id, row: row as u32 });
                assert_eq!(Image::open(&crafted).err(), expected, "id {id}, row {row}, {value}");
            }
        }
    }
}

#[test]
fn kernel_weights_count_in_the_sums_of_a_projected_image_too() {
    let plain = small(Precision::Int8);
    let bytes = project(&open(&plain), &[1]).expect("the id is in the embedding");
    let image = open(&bytes);
    let with_multiplier = |multiplier: u16| {
        let mut tensors = tensors(&image);
        for tensor in tensors.iter_mut().filter(|tensor| tensor.layer == 0) {
            let Values::Bytes(values) = &mut tensor.values else { panic!("all tensors are bytes") };
            match tensor.role {
                Role::Kernel => values.fill(127),
                Role::Weights | Role::ProjectedRows | Role::Biases => values.fill(0),
                Role::Multipliers => {
                    values.as_chunks_mut().0.iter_mut().for_each(|value| *value = multiplier.to_le_bytes());
                }
                _ => {}
            }
        }
        let crafted = encode(&image.description(), &Notes::of(&image), &tensors).expect("the shapes are right");
        Image::open(&AlignedBytes::new(&crafted)).err()
    };
    // Five columns of x are eight with padding: 128 * 8 * 127 * 16,513 = 2^31 - 1,024.
    assert_eq!(with_multiplier(16_513), None);
    assert_eq!(with_multiplier(16_514), Some(Error::Overflow { layer: 0, row: 0 }));
}

#[test]
fn every_truncation_and_every_flipped_bit_of_a_projected_image_is_refused() {
    for precision in PROJECTED {
        let shape =
            Shape { rows: 9, width: 2, units: vec![3], pooling: Pooling::Last, unknown: Unknown::Skip, seed: 1 };
        let plain = shape.image(precision);
        let mut bytes = project(&open(&plain), &[2, 5]).expect("the ids are in the embedding");
        for length in 0..bytes.len() {
            assert!(Image::open(&bytes[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Image::open(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Image::open(&bytes).is_ok());
    }
}

#[test]
fn a_float_row_that_is_infinite_or_no_number_is_refused_by_its_tensors_name() {
    for precision in [Precision::F32, Precision::F16] {
        let plain = small(precision);
        let bytes = project(&open(&plain), &[1]).expect("the id is in the embedding");
        for value in [f32::NAN, f32::INFINITY] {
            let damaged =
                changed(&bytes, Role::ProjectedRows, |ready| ready[4..8].copy_from_slice(&value.to_le_bytes()));
            assert_eq!(Image::open(&damaged).err(), Some(Error::NotFinite { role: Role::ProjectedRows, layer: 0 }));
        }
    }
}

#[test]
fn a_manifest_with_more_projected_ids_than_the_embedding_has_is_refused() {
    let plain = small(Precision::Int8);
    let bytes = project(&open(&plain), &[1]).expect("the id is in the embedding");
    let image = open(&bytes);
    let mut description = image.description();
    description.embedding.projected = 71;
    assert!(matches!(encode(&description, &Notes::of(&image), &tensors(&image)), Err(Error::Shape { .. })));
}

#[test]
fn the_ids_that_are_projected_are_those_that_training_reads_most() {
    let shape = Shape { rows: 6, width: 2, units: vec![3], pooling: Pooling::Last, unknown: Unknown::LastRow, seed: 1 };
    let weights = shape.weights().calibrated([[4, 4, 4, 1, 5, 5, 1, 0].as_slice()]);
    // Ties go to the smaller id, and so does everything where nothing is known.
    assert_eq!(most_frequent(&weights, 4), [4, 1, 5, 0]);
    assert_eq!(most_frequent(&shape.weights(), 3), [0, 1, 2]);
    let bytes = image(&weights, Precision::Int8, Unknown::LastRow);
    assert!(project(&open(&bytes), &most_frequent(&weights, 6)).is_ok());
}

#[test]
fn an_image_in_int16_is_not_projected_and_the_error_says_what_can_be() {
    let plain = small(Precision::Int16);
    let error = project(&open(&plain), &[1]).expect_err("its products lose bits before they are added");
    assert!(error.to_string().contains("take an image in int8"), "{error}");
}
