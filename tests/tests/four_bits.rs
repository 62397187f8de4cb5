//! Promise: a model with four bits a weight is the int8 model with the widened weights, to the bit: on every backend, packed or not, projected or not,
//! alone or with other streams. What is wrong with its bytes is refused.

use latch_engine::image::encode::{AlignedBytes, Notes, Values, encode};
use latch_engine::image::role::Role;
use latch_engine::image::section::Element;
use latch_engine::image::{Description, Image};
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::Layer;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Layout, Model, Precision, SelfTest, Session, State, certify, project};
use latch_tests::models::{ROOM, Shape, run, shapes, tensors, vocabulary};
use latch_trainer::quantizer::{Origin, Storage, to_image};
use proptest::prelude::*;

fn four_bits(shape: &Shape, storage: Storage) -> AlignedBytes {
    let words = vocabulary(shape.rows, shape.unknown);
    to_image(&shape.weights(), &words, storage, &Origin::default()).expect("random weights fit an image")
}

/// The same model with other tensors of four bits: the embedding's rows, the rows of the layers.
fn stored(image: &Image<'_>, embedding: bool, layers: bool) -> AlignedBytes {
    let mut description = image.description();
    description.embedding.int4 = embedding;
    for layer in description.layers.iter_mut() {
        if let Layer::Lstm(lstm) = layer {
            lstm.int4 = layers;
        }
    }
    let bytes = encode(&description, &Notes::of(image), &tensors(image)).expect("the tensors fit the description");
    let mut bytes = AlignedBytes::new(&bytes);
    certify(&mut bytes).expect("the image opens");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn four_bits_give_the_bits_of_the_widened_int8_model_everywhere(
        shape in shapes(40, 40, 70, 3),
        ids in prop::collection::vec(any::<u32>(), 1..12),
        embedding in any::<bool>(),
        ready in prop::collection::vec(any::<u32>(), 1..20),
        slack in 0_usize..64,
    ) {
        // Some ids lie outside the embedding.
        let ids: Vec<u32> = ids.into_iter().map(|id| id % (shape.rows as u32 + 1)).collect();
        let ready: Vec<u32> = ready.into_iter().map(|id| id % shape.rows as u32).collect();
        let narrow = four_bits(&shape, Storage::Int4);
        let narrow = Image::open(&narrow).expect("the image was just made");
        let wide = stored(&narrow, false, false);
        let wide = Image::open(&wide).expect("the image was just made");
        let scalar = AnyBackend::by_name("scalar").expect("every machine has it");
        let expected = run(&Model::new(&wide).with_backend(scalar), &ids);
        for gates in [true, false] {
            if !gates && !embedding {
                continue;
            }
            let some = stored(&narrow, embedding, gates);
            let plain = Image::open(&some).expect("the image was just made");
            // A bag of embeddings has no layer to project into.
            let projected = (!shape.units.is_empty()).then(|| project(&plain, &ready).expect("the ids are in the embedding"));
            let projected = projected.as_ref().map(|bytes| Image::open(bytes).expect("the image was just made"));
            for image in [Some(plain), projected].into_iter().flatten() {
                for backend in AnyBackend::all() {
                    let model = Model::new(&image).with_backend(backend);
                    let mut memory = vec![0xA5; slack + model.packed_bytes()];
                    let packed = model.clone().pack(&mut memory[slack..]).expect("there is room");
                    for model in [&model, &packed] {
                        prop_assert_eq!(&run(model, &ids), &expected, "{}", backend.name());
                        prop_assert_eq!(model.self_test(State::<ROOM>::new().as_bytes_mut()), Ok(SelfTest::Passed));
                    }
                }
            }
        }
    }

    #[test]
    fn streams_of_a_four_bit_model_together_go_as_each_would_alone(
        shape in shapes(30, 20, 40, 2),
        streams in 1_usize..10,
        steps in prop::collection::vec(any::<u32>(), 1..8),
    ) {
        let id = |step: u32, stream: usize| step.wrapping_add(7 * stream as u32) % (shape.rows as u32 + 1);
        for storage in [Storage::Mixed, Storage::Int4] {
            let bytes = four_bits(&shape, storage);
            let image = Image::open(&bytes).expect("the image was just made");
            let model = Model::new(&image);
            let alone: Vec<Vec<u8>> = (0..streams)
                .map(|stream| {
                    let mut state = State::<ROOM>::new();
                    let mut session = model.session(&mut state).expect("there is room");
                    steps.iter().for_each(|&step| { session.push_token(id(step, stream)); });
                    session.remembered().to_vec()
                })
                .collect();
            let mut together = vec![State::<ROOM>::new(); streams];
            let mut sessions: Vec<Session> =
                together.iter_mut().map(|state| model.session(state).expect("there is room")).collect();
            for &step in &steps {
                let ids: Vec<u32> = (0..streams).map(|stream| id(step, stream)).collect();
                Session::step_many(&mut sessions, &ids);
            }
            for (session, alone) in sessions.iter().zip(&alone) {
                prop_assert_eq!(session.remembered(), &alone[..]);
            }
        }
    }
}

/// Odd everywhere: a row of five features, seven units.
fn small() -> Shape {
    Shape { rows: 40, width: 5, units: vec![7], pooling: Pooling::Max, unknown: Unknown::LastRow, seed: 3 }
}

#[test]
fn four_bits_take_half_the_bytes() {
    let bytes = four_bits(&small(), Storage::Int4);
    let image = Image::open(&bytes).expect("the image was just made");
    let sizes: Vec<(Role, usize)> = image
        .sections()
        .filter(|section| section.element == Element::I4)
        .map(|section| (section.role, section.bytes()))
        .collect();
    // Rows of five features take three bytes; twelve columns and 28 rows of gates take half a byte a weight.
    assert_eq!(sizes, [(Role::Embedding, 40 * 3), (Role::Weights, 28 * 12 / 2)]);
}

#[test]
fn the_state_of_a_four_bit_stream_is_a_constant_that_a_firmware_can_name() {
    for (storage, more) in [(Storage::Int8, 0), (Storage::Mixed, 8), (Storage::Int4, 8)] {
        let bytes = four_bits(&small(), storage);
        let model = Model::new(&Image::open(&bytes).expect("the image was just made"));
        let wide = four_bits(&small(), Storage::Int8);
        let constant =
            |bytes: &AlignedBytes| Layout::of(&Image::open(bytes).expect("it was just made").description()).bytes();
        assert_eq!(model.state_bytes(), constant(&bytes));
        assert_eq!(model.state_bytes(), constant(&wide) + more);
        assert!(model.session_in(&mut AlignedBytes::zeroed(model.state_bytes())).is_ok());
    }
}

/// Changes a byte of a section and gives the image the checksum that belongs to it.
fn with_byte(bytes: &AlignedBytes, role: Role, place: usize, change: impl Fn(u8) -> u8) -> AlignedBytes {
    let image = Image::open(bytes).expect("the image is whole");
    let start = image.sections().find(|section| section.role == role).expect("the image has this tensor").offset;
    let mut changed = AlignedBytes::new(bytes);
    changed[start + place] = change(changed[start + place]);
    let body = changed.len() - 4;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&changed[..body]);
    changed[body..].copy_from_slice(&crc.to_le_bytes());
    changed
}

#[test]
fn a_row_padded_with_something_other_than_zero_is_refused_by_its_number() {
    let bytes = four_bits(&small(), Storage::Int4);
    for row in [0, 13, 39] {
        let changed = with_byte(&bytes, Role::Embedding, 3 * row + 2, |byte| byte | 0x10);
        assert_eq!(Image::open(&changed).map(|_| ()), Err(Error::RowPadding { row: row as u32 }));
    }
}

#[test]
fn a_row_of_gates_that_could_overflow_is_refused_in_four_bits_too() {
    let bytes = four_bits(&small(), Storage::Int4);
    assert_eq!(Image::open(&bytes).map(|image| image.description().layers[0].is_int4()), Ok(true));
    // The upper half of a multiplier: 128 times the sum of the row no longer fits.
    let changed = with_byte(&bytes, Role::Multipliers, 2 * 9 + 1, |_| 0xFF);
    assert!(matches!(Image::open(&changed), Err(Error::Overflow { layer: 0, row: 9 })), "row 9");
}

#[test]
fn what_four_bits_cannot_hold_is_not_written() {
    let bytes = four_bits(&small(), Storage::Int4);
    let image = Image::open(&bytes).expect("the image was just made");
    for role in [Role::Embedding, Role::Weights] {
        let mut tensors = tensors(&image);
        let tensor = tensors.iter_mut().find(|tensor| tensor.role == role).expect("the image has this tensor");
        if let Values::I8(values) = &mut tensor.values {
            values[3] |= 1;
        }
        let refused = encode(&image.description(), &Notes::default(), &tensors);
        assert!(matches!(refused, Err(Error::Shape { .. })), "{role:?}");
    }
    let float = Description { precision: Precision::F32, ..image.description() };
    assert!(matches!(encode(&float, &Notes::default(), &[]), Err(Error::Shape { .. })));
}
