extern crate std;

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::super::characters::{ACTION_BITS, Characters, DELTA, VALUE_BITS, composition};
use super::*;

/// Ranges with their kind and value, as the trainer writes them of texts in all these scripts; `hangul` is what Hangul syllables are.
fn table(hangul: Kind) -> Vec<u32> {
    use Kind::*;
    // The differences −65248, −121, 15, 32, 37, 38 and 80 stand at the end, the last of them first.
    let deltas =
        [15_u16, 32, 37, 38, 80, 0x10000_u32.wrapping_sub(0xFEE0) as u16, 0x10000_u32.wrapping_sub(121) as u16];
    let mut sorted: Vec<u32> = deltas.iter().map(|&delta| DELTA | u32::from(delta)).collect();
    sorted.sort_unstable();
    let grows = |by: i32| {
        let at = sorted.iter().rposition(|&delta| delta as u16 == by as u16).expect("the difference is in the list");
        (sorted.len() - at) as u32
    };
    let ranges = [
        (0x80, Separator, 0),
        (0xAA, Letter, 0),
        (0xAB, Separator, 0),
        (0xB5, Letter, 0),
        (0xB6, Separator, 0),
        (0xC0, Letter, grows(32)),
        (0xD7, Symbol, 0),
        (0xD8, Letter, grows(32)),
        (0xDF, Letter, 0),
        (0x100, Paired, 1),
        (0x138, Letter, 0),
        (0x139, Paired, 0),
        (0x149, Letter, 0),
        (0x14A, Paired, 1),
        (0x178, Letter, grows(-121)),
        (0x179, Paired, 0),
        (0x17F, Letter, 0),
        (0x300, Extend, 0),
        (0x370, Letter, 0),
        (0x386, Letter, grows(38)),
        (0x388, Letter, grows(37)),
        (0x38B, Letter, 0),
        (0x391, Letter, grows(32)),
        (0x3AC, Letter, 0),
        (0x400, Letter, grows(80)),
        (0x410, Letter, grows(32)),
        (0x430, Letter, 0),
        (0x4C0, Letter, grows(15)),
        (0x4C1, Paired, 0),
        (0x4CF, Letter, 0),
        (0x60C, Separator, 0),
        (0x60D, Letter, 0),
        (0x61F, Separator, 0),
        (0x620, Letter, 0),
        (0xE01, Alone, 0),
        (0xE34, Extend, 0),
        (0xE3B, Alone, 0),
        (0xE47, Extend, 0),
        (0xE4F, Alone, 0),
        (0xE80, Letter, 0),
        (0x2000, Separator, 0),
        (0x200C, Extend, 0),
        (0x200E, Separator, 0),
        (0x2013, Ascii, b'-'.into()),
        (0x2015, Separator, 0),
        (0x2018, Ascii, b'\''.into()),
        (0x201A, Separator, 0),
        (0x201C, Ascii, b'"'.into()),
        (0x201E, Separator, 0),
        (0x2026, Ascii, (b'.' | TWICE).into()),
        (0x2027, Separator, 0),
        (0x20A0, Symbol, 0),
        (0x20D0, Extend, 0),
        (0x2100, Symbol, 0),
        (0x2C00, Letter, 0),
        (0x3000, Separator, 0),
        (0x3041, Alone, 0),
        (0x3131, Symbol, 0),
        (0x318F, Letter, 0),
        (0x4E00, Alone, 0),
        (0xA000, Letter, 0),
        (0xAC00, hangul, 0),
        (0xD7A4, Letter, 0),
        (0xFE00, Nothing, 0),
        (0xFE10, Letter, 0),
        (0xFEFF, Separator, 0),
        (0xFF00, Letter, 0),
        (0xFF01, Letter, grows(-0xFEE0)),
        (0xFF5F, Letter, 0),
        (0x1F000, Symbol, 0),
        (0x1F3FB, Extend, 0),
        (0x1F400, Symbol, 0),
        (0x1FB00, Letter, 0),
    ];
    let mut entries: Vec<u32> = ranges
        .into_iter()
        .map(|(start, kind, value): (u32, Kind, u32)| start << ACTION_BITS | (kind as u32) << VALUE_BITS | value)
        .collect();
    for (base, mark, letter) in [(0x65, 0x301, 0xE9), (0x75, 0x308, 0xFC), (0x438, 0x306, 0x439)] {
        entries.push(composition(base, mark).expect("it is a composition") << ACTION_BITS | letter);
    }
    let first = entries.len();
    entries.extend(sorted);
    entries[..first].sort_unstable();
    assert!(entries.is_sorted(), "the entries ascend");
    entries
}

/// The tokens of a text; `^` stands before the first of what separators enclose where `firsts`.
fn cut(tokens: Tokens, entries: &[u32], chunks: &[&[u8]], firsts: bool) -> Vec<String> {
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let characters = Characters::new(&bytes);
    let mut tokenizer = Tokenizer::of(tokens);
    let mut found = Vec::new();
    let mut emit = |token: Token<'_>, first: bool| {
        let text = std::str::from_utf8(token.bytes()).expect("tokens are UTF-8");
        found.push([if first && firsts { "^" } else { "" }, text].concat());
    };
    for chunk in chunks {
        tokenizer.push_each(characters, chunk, &mut emit);
        assert!(tokenizer.is_valid(&Tokenizer::of(tokens)));
    }
    tokenizer.finish_each(characters, &mut emit);
    assert_eq!(tokenizer, Tokenizer::of(tokens), "finish goes back to the beginning");
    found
}

fn words(text: impl AsRef<[u8]>) -> Vec<String> {
    cut(Tokens::Words, &table(Kind::Letter), &[text.as_ref()], false)
}

fn syllables(text: &str) -> Vec<String> {
    cut(Tokens::Syllables, &table(Kind::Alone), &[text.as_bytes()], true)
}

fn characters(tokens: Tokens, text: &str) -> Vec<String> {
    cut(tokens, &table(Kind::Letter), &[text.as_bytes()], false)
}

#[test]
fn words_are_lower_cased_and_marks_stand_alone() {
    assert_eq!(words("A GREAT film, truly."), ["a", "great", "film", ",", "truly", "."]);
    assert_eq!(words("Ça ÉTAIT Ğ Ž Ÿ ΆΛΦΑ Жук Ѐ"), ["ça", "était", "ğ", "ž", "ÿ", "άλφα", "жук", "ѐ"]);
    assert_eq!(words("영화 좋다"), ["영화", "좋다"]);
    assert_eq!(words("Ӂӂ ӀӃ"), ["ӂӂ", "ӏӄ"]);
    assert_eq!(words("ＯＫ！"), ["ok", "!"]);
    assert_eq!(words("\u{FEFF}awful\u{60C} film\u{61F}"), ["awful", "film"]);
}

#[test]
fn without_a_table_what_is_beyond_ascii_is_a_letter_as_it_is() {
    assert_eq!(cut(Tokens::Words, &[], &["É\u{1F600}b c…".as_bytes()], false), ["É\u{1F600}b", "c…"]);
}

#[test]
fn apostrophes_join_inside_a_word_and_vanish_outside() {
    assert_eq!(words("don't 'quoted' it\u{2019}s dogs' ''"), ["don't", "quoted", "it's", "dogs"]);
}

#[test]
fn ratings_and_decimals_are_one_token() {
    assert_eq!(words("10/10 7.5/10 and/or 3."), ["10/10", "7.5/10", "and", "/", "or", "3", "."]);
    assert_eq!(words("a4/5 4/b 5.x"), ["a4/5", "4", "/", "b", "5", ".", "x"]);
}

#[test]
fn runs_of_a_mark_give_one_token() {
    assert_eq!(
        words("wow!!!! what?! so... ok\u{2026} ! !"),
        ["wow", "!!", "what", "?", "!", "so", "..", "ok", "..", "!", "!"]
    );
}

#[test]
fn symbols_and_emoji_are_tokens_and_a_run_of_one_counts_once_or_twice() {
    assert_eq!(words("good😀film 5€ €€€ ♥♥"), ["good", "😀", "film", "5", "€", "€€", "♥♥"]);
    assert_eq!(words("😀😀😀😡 😀"), ["😀😀", "😡", "😀"]);
    assert_eq!(words("2×3=½"), ["2", "×", "3", "="]);
    assert_eq!(words("❤\u{FE0F}❤\u{FE0F} ❤"), ["❤❤", "❤"]);
}

#[test]
fn joined_emoji_are_one_token() {
    let family = "👨\u{200D}👩\u{200D}👧";
    assert_eq!(words(format!("a{family}b{family}")), ["a", family, "b", family]);
    assert_eq!(words("👍🏽👍🏽👍"), ["👍🏽", "👍🏽", "👍"]);
    assert_eq!(words("👍👍🏽 👍👍👍🏽"), ["👍", "👍🏽", "👍👍", "👍🏽"]);
    assert_eq!(words("🇩🇪🇫🇷🇩 🇩🇩"), ["🇩🇪", "🇫🇷", "🇩", "🇩🇩"]);
    assert_eq!(words("1\u{FE0F}\u{20E3}!"), ["1\u{20E3}", "!"]);
}

#[test]
fn scripts_without_spaces_give_a_token_a_character_with_its_marks() {
    assert_eq!(words("好きhello世界"), ["好", "き", "hello", "世", "界"]);
    assert_eq!(words("กี่นก"), ["กี่", "น", "ก"]);
    assert_eq!(words("好好 '好'"), ["好", "好", "好"]);
}

#[test]
fn a_letter_and_its_mark_are_the_composed_letter() {
    assert_eq!(words("cafe\u{301} CAFE\u{301} café"), ["café"; 3]);
    assert_eq!(words("и\u{306} u\u{308}ber"), ["й", "über"]);
    // What the table does not have stays in two parts, and a mark without a letter vanishes.
    assert_eq!(words("q\u{301}s \u{301}x !\u{301}"), ["q\u{301}s", "x", "!"]);
    assert_eq!(words("1\u{301}.5 e\u{301}'e\u{301}"), ["1\u{301}", ".", "5", "é'é"]);
    let long = "e\u{301}".repeat(20);
    assert_eq!(words(&long), words("é".repeat(20)));
    assert_eq!(words(format!("x{long}")), words(format!("x{}", "é".repeat(20))));
}

#[test]
fn line_break_tags_separate_and_other_tags_are_text() {
    assert_eq!(
        words("good<br /><BR>bad<br/>x< br ><b>y<bra<br"),
        ["good", "bad", "x", "<", "br", ">", "<", "b", ">", "y", "<", "bra", "<", "br"]
    );
    assert_eq!(words("a<br / b"), ["a", "<", "br", "/", "b"]);
}

#[test]
fn invalid_utf8_separates_and_never_panics() {
    // Bytes that no character begins with, each at the end of a chunk.
    for byte in 0xF8..=0xFF_u8 {
        assert_eq!(cut(Tokens::Words, &table(Kind::Letter), &[&[b'a', byte], b"b"], false), ["a", "b"]);
    }
    assert_eq!(words(b"a\xFFb\xC3(c\xE2\x82"), ["a", "b", "(", "c"]);
    assert_eq!(words(b"\xED\xA0\x80x\xC0\x80y\xF4\x90\x80\x80z"), ["x", "y", "z"]);
    assert_eq!(words(b"a\x80\xBFb\x80"), ["a", "b"]);
}

#[test]
fn long_words_are_cut_on_a_character_boundary() {
    let long = "é".repeat(40);
    assert_eq!(words(&long), ["é".repeat(16)]);
    assert_eq!(words(format!("x{long}a")), [format!("x{}", "é".repeat(15))]);
    let kiss = "👩🏽\u{200D}❤\u{200D}💋\u{200D}👩🏽";
    assert_eq!(words(format!("{kiss}a")), ["👩🏽\u{200D}❤\u{200D}💋\u{200D}👩🏽", "a"]);
}

#[test]
fn syllables_are_words_of_their_own_and_other_words_stay_whole() {
    assert_eq!(syllables("이 영화 don't 2시간"), ["^이", "^영", "화", "^don't", "^2", "시", "간"]);
    assert_eq!(syllables("영화3.5점, '최고'!!"), ["^영", "화", "3.5", "점", ",", "^최", "고", "!!"]);
    assert_eq!(syllables("한'a b'한 3.한"), ["^한", "a", "^b", "한", "^3", ".", "한"]);
    assert_eq!(syllables("영<br />화<b"), ["^영", "^화", "<", "b"]);
    assert_eq!(syllables("...영 ! 。영"), ["^..", "영", "^!", "^영"]);
}

#[test]
fn a_run_of_one_jamo_counts_once_or_twice() {
    assert_eq!(syllables("ㅋ ㅋㅋ ㅋㅋㅋㅋ"), ["^ㅋ", "^ㅋㅋ", "^ㅋㅋ"]);
    assert_eq!(syllables("ㅠㅠㅜㅜㅜ좋아ㅎ.ㅎ좋좋"), ["^ㅠㅠ", "ㅜㅜ", "좋", "아", "ㅎ", ".", "ㅎ", "좋", "좋"]);
    assert_eq!(syllables("ㅋ'ㅋ"), ["^ㅋ", "ㅋ"]);
}

#[test]
fn characters_are_tokens_and_what_separates_two_is_one_space() {
    let folded = |text| characters(Tokens::Characters, text).concat();
    assert_eq!(
        characters(Tokens::Characters, " O'Neil, 10/10 "),
        ["o", "'", "n", "e", "i", "l", ",", " ", "1", "0", "/", "1", "0"]
    );
    assert_eq!(folded("  A  b<br>c\u{FEFF}d!!! é😀😀 e\u{301} "), "a b c d!! é😀😀 é");
    assert_eq!(folded("\n\t "), "");
    assert_eq!(characters(Tokens::CasedCharacters, "McN n"), ["M", "c", "N", " ", "n"]);
    assert_eq!(characters(Tokens::Characters, "q\u{301}👍🏽x"), ["q\u{301}", "👍🏽", "x"]);
}

#[test]
fn words_and_marks_know_whether_they_come_first() {
    let text = "Don't, 영화 'so'... (a<br>b\u{1F600}c";
    let found = cut(Tokens::Words, &table(Kind::Letter), &[text.as_bytes()], true);
    assert_eq!(found, ["^don't", ",", "^영화", "^so", "..", "^(", "a", "^b", "😀", "c"]);
}

/// Texts of what the rules are about.
const TEXTS: &str =
    "[ a-zA-Z0-9'/.<>br!éÉ한글ㅋㅠ\u{2019}…\u{301}\u{306}и好กี\u{E48}😀👍\u{1F3FD}\u{200D}\u{FE0F}🇩🇪€ｆ\u{20E3}]{0,60}";

const ALL: [Tokens; 4] = [Tokens::Words, Tokens::Syllables, Tokens::Characters, Tokens::CasedCharacters];

/// A text in chunks of 0 to 7 bytes.
fn chunks<'t>(text: &'t [u8], cuts: &[u8]) -> Vec<&'t [u8]> {
    let mut rest = text;
    let mut chunks = vec![];
    for cut in cuts {
        let (head, tail) = rest.split_at(usize::from(*cut % 8).min(rest.len()));
        chunks.push(head);
        rest = tail;
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_tokens(bytes: Vec<u8>, text in TEXTS, cuts: Vec<u8>) {
        for (tokens, hangul) in ALL.into_iter().zip([Kind::Letter, Kind::Alone, Kind::Letter, Kind::Letter]) {
            let entries = table(hangul);
            for input in [bytes.as_slice(), text.as_bytes()] {
                let whole = cut(tokens, &entries, &[input], true);
                prop_assert_eq!(&cut(tokens, &entries, &chunks(input, &cuts), true), &whole);
                let bytes: Vec<&[u8]> = input.chunks(1).collect();
                prop_assert_eq!(cut(tokens, &entries, &bytes, true), whole);
            }
        }
    }

    /// [`cut`] asserts after every chunk that the state is valid, and of every token that it is UTF-8.
    #[test]
    fn any_table_gives_the_same_tokens_for_any_chunking(mut entries: Vec<u32>, near in prop::collection::vec((0x80_u32..0x1_0000, 0_u32..0x800), 0..40), text in TEXTS, any in "\\PC{0,20}", cuts: Vec<u8>) {
        entries.extend(near.into_iter().map(|(key, action)| key << ACTION_BITS | action));
        for sorted in [false, true] {
            if sorted {
                entries.sort_unstable();
                entries.dedup();
            }
            for tokens in ALL {
                let input = [text.as_bytes(), any.as_bytes()].concat();
                prop_assert_eq!(cut(tokens, &entries, &chunks(&input, &cuts), true), cut(tokens, &entries, &[&input], true));
            }
        }
    }

    #[test]
    fn letters_in_two_parts_give_the_same_tokens_as_in_one(text in "[a-d éüйЙ!'.]{0,60}") {
        let parts: String = text.chars().map(|c| match c {
            'é' => "e\u{301}".to_string(),
            'ü' => "u\u{308}".to_string(),
            'й' => "и\u{306}".to_string(),
            'Й' => "И\u{306}".to_string(),
            c => c.to_string(),
        }).collect();
        for tokens in [Tokens::Words, Tokens::Syllables, Tokens::Characters] {
            let entries = table(Kind::Letter);
            prop_assert_eq!(cut(tokens, &entries, &[parts.as_bytes()], true), cut(tokens, &entries, &[text.as_bytes()], true));
        }
    }
}
