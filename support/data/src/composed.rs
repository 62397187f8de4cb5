//! Text in one spelling: Unicode's normalization form NFC, in which a letter with its accent is one character where there is one.
//!
//! The engine's tokenizer takes text as it comes, so that `é` as one character and `e` with a combining accent are two words, of which a vocabulary has
//! at most one. Whatever the desktop reads is brought into NFC first; what goes to a device has to be in NFC when it is sent.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The text in NFC; itself where it is already.
///
/// ```
/// assert_eq!(latch_data::composed::composed("cafe\u{301}"), "caf\u{e9}");
/// ```
#[must_use]
pub fn composed(text: &str) -> Cow<'_, str> {
    // Below the first combining mark, U+0300, which begins with CC, every text is in NFC: most texts are told by a look at their bytes.
    let is_plain = text.bytes().all(|byte| byte < 0xcc);
    if is_plain || is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// The same of a text that is owned.
#[must_use]
pub fn into_composed(text: String) -> String {
    match composed(&text) {
        Cow::Owned(composed) => composed,
        Cow::Borrowed(_) => text,
    }
}

/// The same of bytes that are meant to be UTF-8, of each piece between bytes that are not, which stay as they are.
#[must_use]
pub fn composed_bytes(bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => into_composed(text).into_bytes(),
        Err(error) => error.as_bytes().utf8_chunks().fold(Vec::new(), |mut all, chunk| {
            all.extend(composed(chunk.valid()).as_bytes());
            all.extend(chunk.invalid());
            all
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_an_accent_become_one_and_other_text_stays() {
        for text in ["cafe\u{301}", "caf\u{e9}"] {
            assert_eq!(into_composed(text.to_owned()), "caf\u{e9}");
            assert_eq!(composed_bytes(text.into()), "caf\u{e9}".as_bytes());
        }
        // Hangul by its letters, and a cedilla that comes behind another accent.
        assert_eq!(composed("\u{1112}\u{1161}\u{11ab}"), "\u{d55c}");
        assert_eq!(composed("c\u{301}\u{327}"), "\u{1e09}");
        assert!(matches!(composed("plain, 한국어, ﬁne"), Cow::Borrowed(_)));
        // What is below the first combining mark has one spelling.
        for letter in ('\0'..'\u{300}').map(String::from) {
            assert!(is_nfc(&letter) && letter.nfc().eq(letter.chars()), "{letter:?}");
        }
        assert_eq!(composed_bytes(vec![b'e', 0xcc]), [b'e', 0xcc]);
        assert_eq!(composed_bytes(b"e\xcc\x81\xff e\xcc\x81".to_vec()), b"\xc3\xa9\xff \xc3\xa9");
    }
}
