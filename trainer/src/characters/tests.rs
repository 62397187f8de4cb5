use std::sync::LazyLock;

use latch_engine::input::characters::Characters;
use latch_engine::input::text::Unknown;

use super::*;
use crate::tokenization::Tokenization;
use crate::vocabulary::Vocabulary;

/// Every character beyond ASCII that is assigned.
static EVERYTHING: LazyLock<String> =
    LazyLock::new(|| ('\u{80}'..=char::MAX).filter(|&c| class(c, Tokens::Words).is_some()).collect());

fn bytes(table: &[u32]) -> Vec<u8> {
    table.iter().flat_map(|entry| entry.to_le_bytes()).collect()
}

fn of(tokens: Tokens, text: &str) -> Vec<u8> {
    bytes(&table(tokens, &Seen::of([text].into_iter())))
}

/// Tokens with bars between them.
fn cut(tokens: Tokens, learned: &str, text: &str) -> String {
    let mut found = Vec::new();
    Tokenization::of_texts(tokens, [learned].into_iter())
        .for_each(text, |token, _| found.push(String::from_utf8(token.bytes().to_vec()).expect("tokens are UTF-8")));
    found.join("|")
}

/// What the table says of a character, as a class.
fn said(bytes: &[u8], character: char) -> Class {
    match Characters::new(bytes).class(character.into()) {
        (Kind::Letter, code) if code == u32::from(character) => Class::Plain,
        (Kind::Letter, code) => Class::To(code),
        (Kind::Ascii, code) if code & u32::from(TWICE) != 0 => Class::Twice(code as u8 & !TWICE),
        (Kind::Ascii, code) => Class::To(code),
        (kind, _) => Class::Kind(kind),
    }
}

#[test]
fn the_table_of_all_characters_says_of_each_what_unicode_says() {
    for tokens in [Tokens::Words, Tokens::Syllables, Tokens::CasedCharacters] {
        let bytes = of(tokens, &EVERYTHING);
        for character in EVERYTHING.chars() {
            assert_eq!(
                Some(said(&bytes, character)),
                class(character, tokens),
                "{character:?} U+{:04X}",
                character as u32
            );
        }
    }
}

#[test]
fn every_letter_with_case_is_lower_cased_by_the_table_of_its_other_case() {
    // İ has two characters in lower case; letterlike and circled symbols are symbols.
    let symbol = |c: char| class(c, Tokens::Words) == Some(Class::Kind(Kind::Symbol));
    let pairs = ('\u{80}'..=char::MAX).filter(|&c| c != 'İ' && !symbol(c)).filter_map(|c| {
        let mut lower = c.to_lowercase();
        let (first, second) = (lower.next()?, lower.next());
        (first != c && second.is_none()).then_some((c, first))
    });
    let mut tables: BTreeMap<BTreeSet<u32>, Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    for (upper, lower) in pairs {
        // The other case of ß is two letters, so that ẞ is lower-cased where texts have it, or another letter of its block.
        let learned = if upper == 'ẞ' { upper } else { lower }.to_string();
        let seen = Seen::of([learned.as_str()].into_iter());
        let bytes = tables.entry(blocks(&seen)).or_insert_with(|| bytes(&table(Tokens::Words, &seen)));
        // Full-width letters become ASCII ones, which the tokenizer lower-cases.
        let said = match said(bytes, upper) {
            Class::To(code) => char::from_u32(code).map(|c| c.to_ascii_lowercase()),
            other => panic!("{upper}: {other:?}"),
        };
        let wanted =
            if ('ａ'..='ｚ').contains(&lower) { char::from_u32(u32::from(lower) - 0xFEE0) } else { Some(lower) };
        assert_eq!(said, wanted, "{upper} {lower}");
        count += 1;
    }
    assert!(count > 1_300, "{count}");
}

#[test]
fn letters_of_latin_1_and_latin_extended_a_are_the_same_in_two_parts() {
    let letters: Vec<char> = ('\u{C0}'..='\u{17F}').filter(|letter| parts(*letter).is_some()).collect();
    assert!(letters.len() > 150);
    for tokens in [Tokens::Words, Tokens::Characters, Tokens::CasedCharacters] {
        let learned: String = letters.iter().collect();
        let two: String = letters.iter().fold(String::new(), |mut two, letter| {
            decompose_canonical(*letter, |part| two.push(part));
            two + "x "
        });
        let one: String = letters.iter().map(|letter| format!("{letter}x ")).collect();
        assert_eq!(cut(tokens, &learned, &two), cut(tokens, &learned, &one));
    }
}

#[test]
fn letters_in_two_parts_of_other_scripts_are_known_too() {
    for (learned, text) in [("ёй", "Её, й"), ("ά", "Ά ά"), ("ǖ", "Ǖ")] {
        let two: String = text.chars().fold(String::new(), |mut two, c| {
            decompose_canonical(c, |part| two.push(part));
            two
        });
        assert_eq!(cut(Tokens::Words, learned, &two), cut(Tokens::Words, learned, text), "{text}");
    }
}

#[test]
fn scripts_without_spaces_give_a_token_a_letter() {
    let text = "今日はテニス、ー ภาษาไทย ພາສາ ភាសា 3月";
    assert_eq!(cut(Tokens::Words, text, text), "今|日|は|テ|ニ|ス|ー|ภ|า|ษ|า|ไ|ท|ย|ພ|າ|ສ|າ|ភា|សា|3|月");
}

#[test]
fn symbols_of_all_kinds_are_tokens_whether_the_texts_have_them_or_not() {
    for learned in ["", "😀 € ✓"] {
        assert_eq!(cut(Tokens::Words, learned, "5€ £5 ok😀👍🏽 👩‍💻🇩🇪❤️❤️ ½★→✓∞"), "5|€|£|5|ok|😀|👍🏽|👩‍💻|🇩🇪|❤❤|½|★|→|✓|∞");
    }
}

#[test]
fn a_table_of_english_is_small_and_of_no_text_has_what_any_text_may_have() {
    let (none, english) = (of(Tokens::Words, ""), of(Tokens::Words, "a café – “naïve”, 5 £…"));
    assert_eq!(cut(Tokens::Words, "", "It’s “so” – so… É Ж"), "it's|\"|so|\"|-|so|..|é|Ж");
    assert!(none.len() <= 248 && english.len() <= 256, "{} and {}", none.len(), english.len());
    // Every script at once.
    assert!(of(Tokens::Words, &EVERYTHING).len() < 12_000);
}

#[test]
fn what_was_white_space_and_joins_nothing_still_is() {
    let text = "a\u{FEFF}b\u{A0}c\u{2003}d\u{3000}e\u{60C}f\u{964}g¿h«i´j";
    assert_eq!(cut(Tokens::Words, text, text), "a|b|c|d|e|f|g|h|i|j");
}

#[test]
fn the_summary_names_the_scripts() {
    let seen = Seen::of(["naïve Жук", "😀 €"].into_iter());
    assert_eq!(seen.scripts(Tokens::Words), ["Cyrillic", "Latin", "symbols"]);
    assert_eq!(seen.iter().collect::<String>(), "ïЖку€😀");
}

#[test]
fn a_vocabulary_of_words_reads_them_in_any_case() {
    let vocabulary = Vocabulary::from_words(vec!["жук".into(), "çok".into()], Unknown::Skip);
    assert_eq!(vocabulary.ids("ЖУК Çok c\u{327}ok"), [1, 0, 0]);
}

#[test]
fn punctuation_separates_words_where_any_text_may_have_it_and_where_the_training_texts_have_its_block() {
    use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
    let is_mark = |c: &char| {
        let group = c.general_category_group();
        let joins = matches!(c, '\u{2018}' | '\u{2019}' | '\u{FF07}');
        matches!(group, GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Separator) && !joins
    };
    let marks: Vec<char> = ('\u{80}'..=char::MAX).filter(is_mark).collect();
    let parts = |learned: &str, mark: char| cut(Tokens::Words, learned, &format!("one{mark}two"));
    let separates = |said: &str| said.starts_with("one|") && said.ends_with("|two") || said == "one|two";
    // Latin-1 and general punctuation are in every table: « » … — „ ‹ •
    for &mark in marks.iter().filter(|c| matches!(c, '\u{80}'..='\u{FF}' | '\u{2000}'..='\u{206F}')) {
        assert!(separates(&parts("plain english", mark)), "U+{:04X}: {}", mark as u32, parts("plain english", mark));
    }
    let learned: String = marks.iter().collect();
    let tokenization = Tokenization::of_texts(Tokens::Words, [learned.as_str()].into_iter());
    for mark in marks {
        let mut found = Vec::new();
        tokenization.for_each(&format!("one{mark}two"), |token, _| found.push(token.bytes().to_vec()));
        let (first, last) = (found.first().map(Vec::as_slice), found.last().map(Vec::as_slice));
        assert_eq!((first, last), (Some(&b"one"[..]), Some(&b"two"[..])), "U+{:04X}", mark as u32);
    }
}
