//! Promise: whatever a token is, trainer and engine cut a text alike, in any pieces, on every backend, saved and resumed between any two bytes; and letters in two
//! parts read as those in one.

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::tags;
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Error, Model, Precision};
use latch_tests::models::{Room, bits};
use latch_tests::records::{records, with_records};
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;

const KINDS: [Tokens; 4] = [Tokens::Words, Tokens::Syllables, Tokens::Characters, Tokens::CasedCharacters];

/// Texts in many scripts, in NFC.
const TEXTS: [&str; 8] = [
    "Ein Café für Ößtürk, 5 € 😀😀 👍🏽!!",
    "Ёжик и чайник: «й»… ΆΛΦΑ άλφα",
    "今日はテニスを3回。ภาษาไทย ភាសា",
    "영화 좋다 ㅋㅋㅋ 최고 👩‍💻🇩🇪🇫🇷",
    "O'Neil's 10/10 — “ok” ❤️❤️ ½ 1️⃣",
    "ſ Ǆ ǅ Ⴀ ა Ա ա Ꭰ 𐐀 Ａ！",
    "हिन्दी में।  עִבְרִית  العَرَبِيَّة،",
    "  ",
];

fn vocabulary(tokens: Tokens) -> Vocabulary {
    Vocabulary::build_of(tokens, TEXTS.into_iter(), 60, Unknown::LastRow)
}

fn image(vocabulary: &Vocabulary) -> AlignedBytes {
    let weights = Weights::random(vocabulary.rows(), 5, &[7], Pooling::Mean, 3);
    to_image(&weights, vocabulary, Precision::Int8, &Origin::default()).expect("random weights fit an image")
}

/// The outputs' bits and the steps after a text in pieces of so many bytes; between two pieces the state is saved and resumed.
fn answer(model: &Model<'_>, text: &str, piece: usize) -> (Vec<u32>, u32) {
    let mut state = Room::new();
    model.session(&mut state).expect("there is room").reset();
    for bytes in text.as_bytes().chunks(piece) {
        let mut session = model.resume(&mut state).expect("it is a state of this model");
        session.push_bytes(bytes);
    }
    let mut session = model.resume(&mut state).expect("it is a state of this model");
    session.finish();
    (bits(&mut session), session.tokens())
}

/// A letter with its mark behind it, where Unicode has it so.
fn in_two_parts(text: &str) -> String {
    let parts = |c| match c {
        'é' => "e\u{301}",
        'ü' => "u\u{308}",
        'Ö' => "O\u{308}",
        'Ё' => "Е\u{308}",
        'й' => "и\u{306}",
        'Ά' => "Α\u{301}",
        'ά' => "α\u{301}",
        _ => "",
    };
    text.chars().map(|c| if parts(c).is_empty() { c.to_string() } else { parts(c).to_owned() }).collect()
}

#[test]
fn trainer_and_engine_read_the_same_tokens_of_every_kind_in_any_pieces() {
    for tokens in KINDS {
        let vocabulary = vocabulary(tokens);
        let bytes = image(&vocabulary);
        let image = Image::open(&bytes).expect("the image was just made");
        assert_eq!(image.characters().entries().collect::<Vec<_>>(), vocabulary.tokenization.characters());
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            assert_eq!(model.tokens(), tokens);
            for text in TEXTS {
                let ids = vocabulary.ids(text);
                let mut state = Room::new();
                let mut session = model.session(&mut state).expect("there is room");
                assert_eq!(session.push_tokens(&ids), ids.len());
                let expected = (bits(&mut session), ids.len() as u32);
                for piece in [1, 2, 3, 7, 1000] {
                    assert_eq!(answer(&model, text, piece), expected, "{tokens:?} {text:?} in pieces of {piece}");
                }
            }
        }
    }
}

#[test]
fn letters_in_two_parts_have_the_answer_of_those_in_one() {
    for tokens in KINDS {
        let bytes = image(&vocabulary(tokens));
        let image = Image::open(&bytes).expect("the image was just made");
        let model = Model::new(&image);
        for text in TEXTS {
            let parts = in_two_parts(text);
            assert_eq!(answer(&model, &parts, 3), answer(&model, text, 1000), "{tokens:?} {text:?}");
        }
    }
    assert_ne!(in_two_parts(TEXTS[0]), TEXTS[0]);
}

#[test]
fn a_table_of_characters_that_is_cut_off_there_twice_or_out_of_order_is_refused() {
    let whole = image(&vocabulary(Tokens::Words));
    let known = records(&whole);
    let place = known.iter().position(|record| record.tag & 0x7F == tags::CHARACTERS).expect("it has a table");
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = known.clone();
        change(&mut changed[place].content);
        Image::open(&with_records(&whole, &changed)).expect_err("it is refused")
    };
    assert_eq!(refused(&|content| content.truncate(content.len() - 1)), Error::Record { tag: tags::CHARACTERS });
    assert!(matches!(refused(&|content| content[..8].rotate_left(4)), Error::Vocabulary { .. }));
    let mut twice = known.clone();
    twice.insert(place, known[place].clone());
    assert!(matches!(Image::open(&with_records(&whole, &twice)), Err(Error::Shape { .. })));
}
