//! Promise: a model whose embedding is in tiers is the model with all rows written out, to the bit: on every backend, packed or not, alone or with other
//! streams. What is wrong with its bytes is refused.

use latch_engine::image::encode::{AlignedBytes, Notes, Tensor, Values, encode, widened};
use latch_engine::image::role::Role;
use latch_engine::image::{Description, Image};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::embedding::{Embedding, Tiers};
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Model, SelfTest, Session, State, certify, project};
use latch_tests::models::{ROOM, Shape, run, shapes, tensors, vocabulary};
use latch_trainer::network::tiers;
use latch_trainer::quantizer::{Origin, Storage, Weights, to_image};
use nalgebra::DMatrix;
use proptest::prelude::*;

/// Tiers that fit a shape, from four numbers.
fn tiers_of(shape: &Shape, numbers: [u32; 3], int4: bool) -> Tiers {
    let rows = shape.rows as u32;
    let whole = 1 + numbers[0] % (rows - 1);
    // One feature cannot be halved.
    let remainders = if shape.width == 1 { 0 } else { numbers[1] % (rows - whole + 1) };
    let most = shape.width as u32 - u32::from(remainders > 0);
    Tiers { whole, width: (1 + numbers[2] % most) as u16, remainders, int4 }
}

/// The shape's random weights, their rows in the form of the tiers; ids occur as often as it falls.
fn weights(shape: &Shape, form: Tiers) -> Weights {
    let mut weights = shape.weights();
    weights.occurrences = (0..shape.rows as u32).map(|id| id.wrapping_mul(0x9E37_79B9) >> 24).collect();
    let mut table = DMatrix::from_vec(shape.width, shape.rows, weights.embedding);
    tiers::Tiers::new(form, &weights.occurrences, shape.rows).begin(&mut table);
    weights.embedding = table.as_slice().to_vec();
    weights.tiers = Some(form);
    weights
}

fn image(weights: &Weights, storage: Storage, unknown: Unknown) -> AlignedBytes {
    let words = vocabulary(weights.embedding.len() / weights.width, unknown);
    to_image(weights, &words, storage, &Origin::default()).expect("the weights fit an image")
}

/// The same model with a whole row of int8 for every id, put together here by the format's description.
fn written_out(image: &Image<'_>) -> AlignedBytes {
    let description = image.description();
    let form = description.embedding.tiers.expect("the image has tiers");
    let table = |role: Role| {
        let section = image.sections().find(|section| section.role == role);
        section.map_or(Vec::new(), |section| widened(image, &section))
    };
    let (whole, quotients, remainders) = (table(Role::Embedding), table(Role::Quotients), table(Role::Remainders));
    let index = image.sections().find(|section| section.role == Role::WholeRows).expect("there is an index");
    let index = image.section_bytes(&index);
    let (width, narrow) = (usize::from(description.embedding.width), usize::from(form.width));
    let (mut embedding, mut wholes, mut others) = (Vec::new(), 0, 0);
    for id in 0..description.embedding.rows as usize {
        let bits = u32::from_le_bytes(index[8 * (id / 32) + 4..][..4].try_into().expect("four bytes"));
        if bits >> (id % 32) & 1 == 1 {
            embedding.extend(&whole[width * wholes..][..width]);
            wholes += 1;
            continue;
        }
        if form.remainders == 0 {
            embedding.extend(&quotients[narrow * others..][..narrow]);
            embedding.extend(vec![0; width - narrow]);
        } else {
            let m = form.remainders as usize;
            embedding.extend(&quotients[narrow * (others / m)..][..narrow]);
            embedding.extend(&remainders[(width - narrow) * (others % m)..][..width - narrow]);
        }
        others += 1;
    }
    let mut tensors = tensors(image);
    tensors.retain(|tensor| tensor.role != Role::Embedding);
    tensors.push(Tensor { role: Role::Embedding, layer: 0, values: Values::I8(embedding) });
    let mut description = description;
    description.embedding = Embedding { int4: false, tiers: None, ..description.embedding };
    let mut bytes = AlignedBytes::new(&encode(&description, &Notes::of(image), &tensors).expect("the tensors fit"));
    certify(&mut bytes).expect("the image opens");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn tiers_give_the_bits_of_the_written_out_model_everywhere(
        shape in shapes(70, 20, 40, 2),
        numbers in any::<[u32; 3]>(),
        nibbles in any::<bool>(),
        storage in prop::sample::select(&[Storage::Int8, Storage::Mixed, Storage::Int4][..]),
        ids in prop::collection::vec(any::<u32>(), 1..12),
    ) {
        // Some ids lie outside the embedding.
        let ids: Vec<u32> = ids.into_iter().map(|id| id % (shape.rows as u32 + 2)).collect();
        let form = tiers_of(&shape, numbers, nibbles);
        let bytes = image(&weights(&shape, form), storage, shape.unknown);
        let tiered = Image::open(&bytes).expect("the image was just made");
        prop_assert_eq!(tiered.description().embedding.tiers, Some(form));
        let wide = written_out(&tiered);
        let wide = Image::open(&wide).expect("the image was just made");
        let scalar = AnyBackend::by_name("scalar").expect("every machine has it");
        let expected = run(&Model::new(&wide).with_backend(scalar), &ids);
        for backend in AnyBackend::all() {
            let model = Model::new(&tiered).with_backend(backend);
            let mut memory = vec![0xA5; model.packed_bytes()];
            let packed = model.clone().pack(&mut memory).expect("there is room");
            for model in [&model, &packed] {
                prop_assert_eq!(&run(model, &ids), &expected, "{}", backend.name());
                prop_assert_eq!(model.self_test(State::<ROOM>::new().as_bytes_mut()), Ok(SelfTest::Passed));
            }
        }
    }

    #[test]
    fn streams_of_a_tiered_model_together_go_as_each_would_alone(
        shape in shapes(30, 20, 40, 2),
        numbers in any::<[u32; 3]>(),
        streams in 1_usize..10,
        steps in prop::collection::vec(any::<u32>(), 1..8),
    ) {
        let id = |step: u32, stream: usize| step.wrapping_add(7 * stream as u32) % (shape.rows as u32 + 1);
        let bytes = image(&weights(&shape, tiers_of(&shape, numbers, true)), Storage::Int8, shape.unknown);
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let mut states = vec![[State::<ROOM>::new(); 2]; streams];
        let (mut alone, mut together): (Vec<Session>, Vec<Session>) = states
            .iter_mut()
            .map(|[one, other]| (model.session(one).expect("room"), model.session(other).expect("room")))
            .unzip();
        for &step in &steps {
            let ids: Vec<u32> = (0..streams).map(|stream| id(step, stream)).collect();
            alone.iter_mut().zip(&ids).for_each(|(session, &id)| { session.push_token(id); });
            Session::step_many(&mut together, &ids);
        }
        for (alone, together) in alone.iter().zip(&together) {
            prop_assert_eq!(together.remembered(), alone.remembered());
        }
    }
}

/// Odd everywhere: a row of five features, seven units.
fn small() -> Shape {
    Shape { rows: 40, width: 5, units: vec![7], pooling: Pooling::Max, unknown: Unknown::LastRow, seed: 3 }
}

const NARROW: Tiers = Tiers { whole: 9, width: 3, remainders: 0, int4: true };
const QUOTIENT: Tiers = Tiers { whole: 9, width: 2, remainders: 6, int4: false };

fn tiered(form: Tiers) -> AlignedBytes {
    image(&weights(&small(), form), Storage::Int8, Unknown::LastRow)
}

#[test]
fn floats_have_a_whole_row_for_every_id() {
    let bytes = image(&weights(&small(), QUOTIENT), Storage::F32, Unknown::LastRow);
    let image = Image::open(&bytes).expect("the image was just made");
    assert_eq!(image.description().embedding.tiers, None);
}

#[test]
fn tiers_that_contradict_the_embedding_are_refused() {
    let bytes = tiered(QUOTIENT);
    let image = Image::open(&bytes).expect("the image was just made");
    let refused = |description: Description| {
        let result = encode(&description, &Notes::of(&image), &tensors(&image));
        assert!(matches!(result, Err(Error::Shape { .. })), "{:?}", description.embedding.tiers);
    };
    let with = |tiers: Tiers| {
        let mut description = image.description();
        description.embedding.tiers = Some(tiers);
        description
    };
    for tiers in [
        Tiers { whole: 0, ..QUOTIENT },
        Tiers { whole: 40, ..QUOTIENT },
        Tiers { whole: u32::MAX, ..QUOTIENT },
        Tiers { width: 0, ..QUOTIENT },
        Tiers { width: 5, ..QUOTIENT },
        Tiers { width: 6, ..NARROW },
        Tiers { remainders: 32, ..QUOTIENT },
        Tiers { remainders: u32::MAX, ..QUOTIENT },
    ] {
        refused(with(tiers));
    }
    let mut projected = with(QUOTIENT);
    projected.embedding.projected = 3;
    refused(projected);
    assert!(matches!(project(&image, &[1, 2]), Err(Error::Shape { .. })));
}

#[test]
fn an_index_that_does_not_count_the_whole_rows_and_padded_rows_are_refused() {
    for form in [QUOTIENT, NARROW] {
        let bytes = tiered(form);
        let image = Image::open(&bytes).expect("the image was just made");
        let changed = |role: Role, change: &dyn Fn(&mut [u8])| {
            let mut tensors = tensors(&image);
            let tensor = tensors.iter_mut().find(|tensor| tensor.role == role).expect("there is one");
            let section = image.sections().find(|section| section.role == role).expect("there is one");
            let mut raw = image.section_bytes(&section).to_vec();
            change(&mut raw);
            tensor.values = Values::Bytes(raw);
            let bytes = encode(&image.description(), &Notes::of(&image), &tensors).expect("lengths are the same");
            Image::open(&AlignedBytes::new(&bytes)).err()
        };
        assert_eq!(changed(Role::WholeRows, &|_| ()), None);
        for bit in 0..128 {
            let error = changed(Role::WholeRows, &|raw| raw[bit / 8] ^= 1 << (bit % 8));
            assert_eq!(error, Some(Error::Index { role: Role::WholeRows }), "bit {bit}");
        }
        let padded = changed(Role::Quotients, &|raw| raw[1] |= 0x70);
        // Three features of four bits end in the middle of the second byte.
        assert_eq!(padded, form.int4.then_some(Error::RowPadding { row: 0 }));
    }
}

#[test]
fn weights_that_are_not_in_the_form_are_refused_and_nothing_is_lost_silently() {
    let mut weights = weights(&small(), NARROW);
    weights.occurrences.reverse();
    let words = vocabulary(40, Unknown::LastRow);
    let error = to_image(&weights, &words, Storage::Int8, &Origin::default()).expect_err("other ids are whole");
    assert!(error.to_string().contains("embedding"), "{error}");
}

#[test]
fn every_truncation_and_every_flipped_byte_of_a_tiered_image_is_refused() {
    for form in [QUOTIENT, NARROW] {
        let bytes = tiered(form);
        for length in 0..bytes.len() {
            assert!(Image::open(&AlignedBytes::new(&bytes[..length])).is_err(), "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut damaged = AlignedBytes::new(&bytes);
            damaged[place] ^= 0x10;
            assert!(Image::open(&damaged).is_err(), "byte {place}");
        }
    }
}
