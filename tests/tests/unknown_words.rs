//! Promise: a word that is not in the vocabulary has the same row for trainer and engine, whatever the rule; and images whose unknown words share rows by
//! their hash keep opening.

use latch_engine::image::Image;
use latch_engine::image::encode::{AlignedBytes, Notes, encode};
use latch_engine::image::header::Input;
use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::text::Unknown;
use latch_engine::input::tokenizer::Tokenizer;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Model, Precision, State};
use latch_tests::models::{PRECISIONS, ROOM, Shape, logits, vocabulary};
use proptest::prelude::*;

fn rules() -> impl Strategy<Value = Unknown> {
    let of = prop_oneof![Just(Spelling::Whole), Just(Spelling::Ending)];
    let hashed = (1..=9_u32, of).prop_map(|(rows, of)| Unknown::Hashed(Hashed { rows, of }));
    prop_oneof![Just(Unknown::Skip), Just(Unknown::LastRow), hashed]
}

proptest! {
    #[test]
    fn the_engine_reads_the_ids_that_the_trainer_reads(
        unknown in rules(), words in 1..60_usize, text in "([a-c]{1,3}[ ,.!']|\\PC{0,6}[ -])*", precision in prop::sample::select(&PRECISIONS[..])
    ) {
        let rows = words + unknown.rows() as usize;
        let vocabulary = vocabulary(rows, unknown);
        prop_assert_eq!((vocabulary.rows(), vocabulary.words().len()), (rows, words));
        let ids = vocabulary.ids(&text);
        prop_assert!(ids.iter().all(|&id| (id as usize) < rows));

        let bytes = Shape { rows, width: 3, units: vec![4], pooling: Pooling::Max, unknown, seed: 5 }.image(precision);
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        let mut read = Vec::new();
        let mut tokenizer = Tokenizer::default();
        tokenizer.push(model.characters(), text.as_bytes(), |token| read.extend(model.token_id(token)));
        tokenizer.finish(model.characters(), |token| read.extend(model.token_id(token)));
        prop_assert_eq!(&read, &ids);

        let mut states = [State::<ROOM>::new(), State::<ROOM>::new()];
        let [by_text, by_ids] = &mut states;
        let mut by_text = model.session(by_text).expect("there is room");
        let mut by_ids = model.session(by_ids).expect("there is room");
        text.as_bytes().chunks(3).for_each(|chunk| by_text.push_bytes(chunk));
        by_text.finish();
        prop_assert_eq!(by_ids.push_tokens(&ids), ids.len());
        prop_assert_eq!(logits(&mut by_text), logits(&mut by_ids));
    }
}

#[test]
fn words_that_share_an_ending_share_a_row_and_marks_have_none() {
    let unknown = Unknown::Hashed(Hashed { rows: 1_000, of: Spelling::Ending });
    let known = vocabulary(1_003, unknown);
    assert_eq!(known.words(), ["a", "b", "c"]);
    let ids = known.ids("Hopeless, a tasteless thing; b singing... LESS");
    assert_eq!(ids.len(), 7);
    assert_eq!((ids[0], ids[3], ids[1], ids[4]), (ids[2], ids[5], 0, 1));
    assert!(ids[0] >= 3 && ids[0] == ids[6] && ids[0] != ids[3], "{ids:?}");
}

fn small() -> Shape {
    let unknown = Unknown::Hashed(Hashed { rows: 7, of: Spelling::Ending });
    Shape { rows: 40, width: 5, units: vec![7], pooling: Pooling::Max, unknown, seed: 3 }
}

#[test]
fn rows_that_are_none_or_do_not_fit_the_embedding_are_refused() {
    let bytes = small().image(Precision::Int8);
    let image = Image::open(&bytes).expect("the image was just made");
    let refusal = |rows: u32, embedding: u32| {
        let mut description = image.description();
        if let Input::Text(text) = &mut description.input {
            text.unknown = Unknown::Hashed(Hashed { rows, of: Spelling::Whole });
        }
        description.embedding.rows = embedding;
        match encode(&description, &Notes::of(&image), &[]) {
            Err(Error::Shape { problem }) => problem,
            other => panic!("{rows} rows: {other:?}"),
        }
    };
    assert_eq!(refusal(0, 33), "unknown words have no row to share");
    for (rows, embedding) in [(0, 40), (6, 40), (8, 40), (u32::MAX, 40), (7, 41)] {
        assert_eq!(refusal(rows, embedding), "vocabulary and embedding have different numbers of rows");
    }
}

/// Whatever the byte is that names rule, rows or spelling: an image with it opens and runs, or is refused.
#[test]
fn no_byte_of_the_rule_makes_the_engine_panic() {
    let bytes = small().image(Precision::Int8);
    let header = Image::open(&bytes).expect("the image was just made").header_bytes();
    let mut refused = 0;
    for place in 6..header {
        for value in 0..=u8::MAX {
            let mut edited = AlignedBytes::new(&bytes);
            edited[place] = value;
            let body = edited.len() - 4;
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&edited[..body]);
            edited[body..].copy_from_slice(&crc.to_le_bytes());
            let Ok(image) = Image::open(&edited) else {
                refused += 1;
                continue;
            };
            let model = Model::new(&image);
            let mut state = State::<ROOM>::new();
            if let Ok(mut session) = model.session(&mut state) {
                session.push_bytes(b"a hopeless zz. ");
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
}
