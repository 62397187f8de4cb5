//! Promise: any text has one answer, however its bytes are cut: composed or not, with emoji, broken, empty, or without a word that is known.

use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::kernels::AnyBackend;
use latch_engine::{Digest, Model};
use latch_tests::models::{POOLINGS, PRECISIONS, Room, Shape, UNKNOWN_ROW, bits};

fn image(precision: usize, pooling: usize) -> AlignedBytes {
    let unknown = UNKNOWN_ROW;
    Shape { rows: 40, width: 5, units: vec![9, 7], pooling: POOLINGS[pooling], unknown, seed: 5 }
        .image(PRECISIONS[precision])
}

/// The digest of all outputs of a text in pieces of so many bytes, and the last outputs' bits.
fn digest(model: &Model<'_>, text: &[u8], piece: usize) -> (u64, u32, Vec<u32>) {
    let mut state = Room::new();
    let mut session = model.session(&mut state).expect("there is room");
    let mut digest = Digest::default();
    for bytes in text.chunks(piece.max(1)) {
        session.push_bytes_each(bytes, |session, _| digest.push(session.output()));
    }
    session.finish_each(|session, _| digest.push(session.output()));
    (digest.value(), session.tokens(), bits(&mut session))
}

#[test]
fn composed_and_decomposed_letters_emoji_and_broken_bytes_have_one_digest_in_any_pieces() {
    let texts: [&[u8]; 14] = [
        "caf\u{e9} a".as_bytes(),
        "cafe\u{301} a".as_bytes(),
        "a \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} b".as_bytes(),
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}c".as_bytes(),
        "\u{1f1e9}\u{1f1ea} \u{2764}\u{fe0f} \u{1f44d}\u{1f3fd}".as_bytes(),
        "\u{130}stanbul \u{131} \u{1e9e} \u{df} \u{3a3}\u{3c2}".as_bytes(),
        "\u{ac00}\u{1100}\u{1161} \u{4e2d}\u{6587} \u{d55c}\u{ae00}".as_bytes(),
        "\u{feff}a \u{200e}b\u{202e} c".as_bytes(),
        b"a\x80b \xBF\xBF c",
        b"a\xC3 b\xE2\x82 c\xF0\x9F\x98",
        b"\xC0\x80 \xED\xA0\x80 \xF4\x90\x80\x80 \xFF\xFE a",
        b"\x00a\x00b\x7F",
        b"a<br /<br >b</br><b>c",
        b"\xE2",
    ];
    for (precision, pooling) in [(0, 1), (2, 0), (2, 3)] {
        let bytes = image(precision, pooling);
        let image = Image::open(&bytes).expect("the image was just made");
        for backend in AnyBackend::all() {
            let model = Model::new(&image).with_backend(backend);
            for text in texts {
                let whole = digest(&model, text, text.len());
                for piece in 1..=5 {
                    assert_eq!(digest(&model, text, piece), whole, "{text:x?} in pieces of {piece}");
                }
            }
        }
    }
}

#[test]
fn texts_without_a_known_word_have_an_answer_with_every_pooling() {
    let texts = ["", "   ", "\t\n ", "!!!", "...", "nobody knows these words", "\u{1f600}\u{1f621}", "1234 5678"];
    for precision in 0..PRECISIONS.len() {
        for pooling in 0..POOLINGS.len() {
            let bytes = image(precision, pooling);
            let image = Image::open(&bytes).expect("the image was just made");
            let mut of_nothing = Vec::new();
            for backend in AnyBackend::all() {
                let model = Model::new(&image).with_backend(backend);
                for text in texts {
                    let (_, tokens, outputs) = digest(&model, text.as_bytes(), text.len());
                    let mut state = Room::new();
                    let mut session = model.session(&mut state).expect("there is room");
                    session.push_bytes(text.as_bytes());
                    session.finish();
                    let probability = session.probability();
                    assert!((0.0..=1.0).contains(&probability), "{text:?}: {probability} on {}", backend.name());
                    assert!(session.output().to_f32().is_finite(), "{text:?}");
                    if tokens == 0 {
                        of_nothing.push((text, outputs));
                    }
                }
            }
            // A text without a token has the answer of no text, whatever it consists of.
            assert!(of_nothing.iter().any(|(text, _)| text.is_empty()));
            let integers = precision == 2;
            let alike = |(_, outputs): &(&str, Vec<u32>)| *outputs == of_nothing[0].1;
            assert!(!integers || of_nothing.iter().all(alike), "{of_nothing:?}");
        }
    }
}
