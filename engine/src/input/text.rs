//! A streaming tokenizer: UTF-8 bytes in, lower-case words and punctuation marks out.
//!
//! The rules, in the order in which they apply to a character:
//!
//! - `<br>`, `<br/>`, `<br />` (any case) separate like white space; any other `<` is a mark.
//! - Letters and digits build words. Letters are lower-cased (ASCII, Latin-1, Latin Extended-A, Greek, Cyrillic; other scripts
//!   are taken as they are).
//! - An apostrophe (`'` or U+2019) between two word characters belongs to the word: `don't`.
//! - `/` and `.` between two digits belong to the number: `10/10`, `7.5`.
//! - Every other printable ASCII character and U+2026 (as `..`) is a mark. A run of one mark gives one token: the mark once where it
//!   stands alone, twice where it is repeated (`!` and `!!!!` give `!` and `!!`).
//! - White space, control characters, the byte-order mark, invalid UTF-8 and the punctuation of other scripts separate. Apostrophes that
//!   do not join vanish.
//! - Combining accents are letters: a decomposed `é` is not the composed one. Text is expected in Unicode's form NFC.
//! - Where tokens are syllables ([`Tokens::Syllables`]), each Hangul syllable (U+AC00 to U+D7A3) is a word of its own, and so is a run of one
//!   compatibility jamo (U+3131 to U+318E), which counts as a run of a mark does: `ㅋ` where it stands alone, `ㅋㅋ` where it is repeated.
//! - A word longer than [`WORD_BYTES`] is cut to its first [`WORD_BYTES`] bytes, on a character boundary.
//!
//! Nothing depends on how the bytes are chunked: the state between two bytes is all in [`Tokenizer`].

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

use super::hashed::Hashed;
use crate::error::problem;
use crate::features::{Feature, SYLLABLES as HAS_SYLLABLES, TIERS};
use crate::image::reader::Fields;
use crate::image::role::Role;
use crate::image::section::{Element, SectionShape};

/// Text as a model reads it: what a token is, and the vocabulary's shape; see [`super::vocabulary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub struct Text {
    /// What a token is.
    pub tokens: Tokens,
    /// Number of words; ids are `0..words` in byte order of the words.
    pub words: u32,
    /// What a word does that is not in the vocabulary. Unknown marks are always skipped.
    pub unknown: Unknown,
    /// Width of the characters' decoding table in bits.
    pub character_bits: u8,
    /// Width of the prefixes' decoding table in bits.
    pub prefix_bits: u8,
    /// Offsets in the index have 4 bytes in place of 2.
    pub index_is_wide: bool,
    /// Bytes of the coded words.
    pub text_bytes: u32,
}

/// What a token of the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Tokens {
    /// Words and marks.
    #[default]
    Words,
    /// The same, but a word's Hangul syllables are tokens of their own.
    Syllables,
}

/// What a word does that is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Unknown {
    /// It is left out.
    Skip,
    /// It reads as id `words`, the embedding's last row.
    LastRow,
    /// It reads as one of the embedding's last rows, by its hash.
    Hashed(Hashed),
}

impl Unknown {
    /// Rows of the embedding behind those of the vocabulary's words.
    pub const fn rows(self) -> u32 {
        match self {
            Unknown::Skip => 0,
            Unknown::LastRow => 1,
            Unknown::Hashed(hashed) => hashed.rows,
        }
    }

    /// The id of a word that is not in the vocabulary of so many words; `None` where it is left out.
    #[inline]
    pub fn id(self, words: u32, word: &[u8]) -> Option<u32> {
        match self {
            Unknown::LastRow => Some(words),
            Unknown::Hashed(hashed) if TIERS => Some(words + hashed.row(word)),
            _ => None,
        }
    }
}

impl Text {
    /// A text of nothing.
    pub(crate) const NOTHING: Self = Text {
        tokens: Tokens::Words,
        words: 0,
        unknown: Unknown::Skip,
        character_bits: 0,
        prefix_bits: 0,
        index_is_wide: false,
        text_bytes: 0,
    };

    /// Sections: decoding tables, index, words.
    pub(crate) const SECTIONS: usize = 3;

    pub(crate) const fn read(fields: &mut Fields<'_>) -> Self {
        let tokens = match fields.u32() {
            0 => Tokens::Words,
            1 => Tokens::Syllables,
            _ => fields.refuse(Tokens::Words),
        };
        let words = fields.u32();
        let unknown = match fields.u32() {
            0 => Unknown::Skip,
            1 => Unknown::LastRow,
            2 => Unknown::Hashed(Hashed::read(fields)),
            _ => fields.refuse(Unknown::Skip),
        };
        Text {
            tokens,
            words,
            unknown,
            character_bits: fields.byte(),
            prefix_bits: fields.byte(),
            index_is_wide: fields.bool(),
            text_bytes: fields.u32(),
        }
    }

    /// The feature that this build lacks for it.
    pub(crate) const fn missing(&self) -> Option<Feature> {
        if !HAS_SYLLABLES && matches!(self.tokens, Tokens::Syllables) {
            Some(Feature::Syllables)
        } else if !TIERS && matches!(self.unknown, Unknown::Hashed(_)) {
            Some(Feature::Tiers)
        } else {
            None
        }
    }

    /// Checks it against the number of the embedding's rows.
    pub(crate) const fn check(&self, rows: u32) -> Result<(), &'static str> {
        if self.words as u64 + self.unknown.rows() as u64 != rows as u64 {
            return Err(problem!("vocabulary and embedding have different numbers of rows"));
        }
        if matches!(self.unknown, Unknown::Hashed(Hashed { rows: 0, .. })) {
            return Err(problem!("unknown words have no row to share"));
        }
        Ok(())
    }

    /// The section at a place of the order.
    pub(crate) const fn section(&self, place: usize) -> Option<SectionShape> {
        const fn entries(bits: u8) -> usize {
            1 << if bits < 15 { bits } else { 15 }
        }
        let blocks = (self.words as usize).div_ceil(BLOCK_WORDS);
        match place {
            0 => {
                let entries = entries(self.character_bits) + entries(self.prefix_bits);
                Some(SectionShape::new(Role::VocabularyTables, Element::U8, entries, 2))
            }
            1 => {
                let element = if self.index_is_wide { Element::U32 } else { Element::U16 };
                Some(SectionShape::new(Role::VocabularyIndex, element, blocks, 1))
            }
            2 => Some(SectionShape::new(Role::VocabularyText, Element::U8, self.text_bytes as usize, 1)),
            _ => None,
        }
    }
}

/// Words in a block of the vocabulary, all but the last of which are full.
pub const BLOCK_WORDS: usize = 16;

/// The longest word in bytes of UTF-8; what is longer is cut.
pub const WORD_BYTES: usize = 32;

/// What the tokenizer remembers between two bytes. Plain bytes, so that it lies in a stream's state; all zero is the beginning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Tokenizer {
    word: [u8; WORD_BYTES],
    /// Bytes of `word` in use.
    len: u8,
    /// 1 when the word was cut: what still belongs to it is swallowed.
    cut: u8,
    /// A connector (`'`, `/` or `.`) seen after a word character and not yet decided; 0 for none.
    connector: u8,
    /// The mark whose run is going on; 0 for none.
    mark: u8,
    /// 1 when that mark has been repeated.
    repeated: u8,
    /// How far `<br />` has been matched: 0 nothing, 1 `<`, 2 `<b`, 3 `<br`, 4 `<br` and white space, 5 `<br /`.
    tag: u8,
    /// Bytes still to come of a UTF-8 sequence.
    missing: u8,
    /// Smallest valid second byte of that sequence (rules out overlong forms and surrogates); 0 when it has been checked.
    low: u8,
    /// Largest valid second byte.
    high: u8,
    /// 1 when the last character of the word is an ASCII digit.
    digit: u8,
    /// [`SYLLABLES`] and the bits behind it; 0 without the feature `syllables`.
    flags: u8,
    reserved: u8,
    /// The code point read so far.
    code: u32,
}

/// In `flags`: Hangul syllables are words of their own.
const SYLLABLES: u8 = 1;
/// The open word is such a syllable, or a run of a jamo.
const ALONE: u8 = 2;
/// A token has begun since the last character that separates.
const INSIDE: u8 = 4;
/// The open token was the first of them.
const FIRST: u8 = 8;

/// Whether a token is the first since the text's beginning or a character that separates. False where the engine was built without syllables.
pub type First = bool;

/// A token that the tokenizer cut from the text, in lower-case UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Token<'a> {
    /// A word or a number.
    Word(&'a [u8]),
    /// A punctuation mark, once or twice.
    Mark(&'a [u8]),
}

impl<'a> Token<'a> {
    /// The token's bytes, valid UTF-8.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Token::Word(bytes) | Token::Mark(bytes) => bytes,
        }
    }
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokenizer {
    /// The beginning of a text.
    pub fn new() -> Self {
        Self::zeroed()
    }

    /// The beginning of a text whose tokens are of this kind.
    pub fn of(tokens: Tokens) -> Self {
        Tokenizer { flags: if tokens == Tokens::Syllables { SYLLABLES } else { 0 }, ..Self::new() }
    }

    /// Of which kind the tokens are.
    pub fn tokens(&self) -> Tokens {
        if self.flags & SYLLABLES == 0 { Tokens::Words } else { Tokens::Syllables }
    }

    /// True when the fields could have come from this tokenizer; a state read from outside is checked with it.
    pub(crate) fn is_valid(&self) -> bool {
        usize::from(self.len) <= WORD_BYTES
            && self.cut <= u8::from(self.len > 0)
            && self.repeated <= 1
            && self.digit <= 1
            && (!HAS_SYLLABLES || (self.flags < 16 && (self.flags & ALONE == 0 || self.len > 0)))
            && self.tag <= 5
            && self.missing <= 3
            && self.code <= 0x10_FFFF
            && self.mark < 0x80
            && self.connector < 0x80
            && core::str::from_utf8(self.word.get(..usize::from(self.len)).unwrap_or(&[])).is_ok()
    }

    /// Takes bytes of a text in any chunks and calls `emit` for every token that they complete, in order.
    pub fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(Token<'_>)) {
        self.push_each(bytes, |token, _| emit(token));
    }

    /// As [`Tokenizer::push`], and says of every token whether it is the first since the text's beginning or a character that separates: of
    /// `영화, don't` the tokens `영` and `don't` are, of their words the other ones are not.
    pub fn push_each(&mut self, bytes: &[u8], mut emit: impl FnMut(Token<'_>, First)) {
        for &byte in bytes {
            self.byte(byte, &mut emit);
        }
    }

    /// Ends the text: emits what is still open, and goes back to the beginning.
    pub fn finish(&mut self, mut emit: impl FnMut(Token<'_>)) {
        self.finish_each(|token, _| emit(token));
    }

    /// As [`Tokenizer::finish`], and says what [`Tokenizer::push_each`] says.
    pub fn finish_each(&mut self, mut emit: impl FnMut(Token<'_>, First)) {
        if self.missing > 0 {
            self.missing = 0;
            self.character(SEPARATOR, &mut emit);
        }
        self.replay_tag(&mut emit);
        self.end_word(&mut emit);
        self.end_mark(&mut emit);
        let flags = self.flags & SYLLABLES;
        *self = Self::new();
        if HAS_SYLLABLES {
            self.flags = flags;
        }
    }

    /// Decodes UTF-8 (RFC 3629) one byte at a time; what is invalid separates.
    fn byte(&mut self, byte: u8, emit: &mut impl FnMut(Token<'_>, First)) {
        if self.missing > 0 {
            let in_range =
                if self.low != 0 { (self.low..=self.high).contains(&byte) } else { (0x80..=0xBF).contains(&byte) };
            if in_range {
                self.low = 0;
                self.code = (self.code << 6) | u32::from(byte & 0x3F);
                self.missing -= 1;
                if self.missing == 0 {
                    self.character(self.code, emit);
                }
                return;
            }
            self.missing = 0;
            self.character(SEPARATOR, emit);
        }
        let (missing, bits, low, high) = match byte {
            0x00..=0x7F => return self.character(u32::from(byte), emit),
            0xC2..=0xDF => (1, byte & 0x1F, 0x80, 0xBF),
            0xE0 => (2, 0, 0xA0, 0xBF),
            0xED => (2, 0x0D, 0x80, 0x9F),
            0xE1..=0xEF => (2, byte & 0x0F, 0x80, 0xBF),
            0xF0 => (3, 0, 0x90, 0xBF),
            0xF1..=0xF3 => (3, byte & 0x07, 0x80, 0xBF),
            0xF4 => (3, 4, 0x80, 0x8F),
            _ => return self.character(SEPARATOR, emit),
        };
        (self.missing, self.low, self.high) = (missing, low, high);
        self.code = u32::from(bits);
    }

    /// Matches `<br />`, and hands on what is none.
    fn character(&mut self, code: u32, emit: &mut impl FnMut(Token<'_>, First)) {
        let lower = if code < 0x80 { (code as u8).to_ascii_lowercase() } else { 0xFF };
        let next = match (self.tag, lower) {
            (0, b'<') => 1,
            (1, b'b') => 2,
            (2, b'r') => 3,
            (3 | 4, b' ' | b'\t' | b'\n' | b'\r') => 4,
            (3 | 4, b'/') => 5,
            (3..=5, b'>') => {
                self.tag = 0;
                return self.plain(SEPARATOR, emit);
            }
            (0, _) => return self.plain(code, emit),
            _ => {
                self.replay_tag(emit);
                return self.character(code, emit);
            }
        };
        if self.tag == 0 {
            self.end_word(emit);
        }
        self.tag = next;
    }

    /// What looked like the beginning of `<br />` was none: reads it as ordinary text.
    fn replay_tag(&mut self, emit: &mut impl FnMut(Token<'_>, First)) {
        let matched = core::mem::take(&mut self.tag);
        for &code in b"<br /".iter().take(usize::from(matched)) {
            self.plain(u32::from(code), emit);
        }
    }

    fn plain(&mut self, code: u32, emit: &mut impl FnMut(Token<'_>, First)) {
        match classify(code) {
            Class::Word(code) => {
                let alone = self.stands_alone(code);
                if alone || self.has(ALONE) {
                    let mut utf8 = [0; 4];
                    let encoded = char::from_u32(code).unwrap_or('\u{FFFD}').encode_utf8(&mut utf8).as_bytes();
                    if (0x3131..=0x318E).contains(&code) && self.has(ALONE) && self.word.starts_with(encoded) {
                        if usize::from(self.len) == encoded.len() {
                            self.append(encoded);
                        }
                        return;
                    }
                    self.end_word(emit);
                }
                let digit = (0x30..=0x39).contains(&code);
                if self.connector != 0 {
                    let joins = self.connector == b'\'' || (digit && self.digit == 1);
                    if joins {
                        let connector = core::mem::take(&mut self.connector);
                        self.append(&[connector]);
                    } else {
                        self.end_word(emit);
                    }
                }
                if self.len == 0 {
                    self.end_mark(emit);
                    self.begin();
                }
                let mut utf8 = [0; 4];
                let encoded = char::from_u32(code).unwrap_or('\u{FFFD}').encode_utf8(&mut utf8);
                self.append(encoded.as_bytes());
                self.digit = u8::from(digit);
                if alone {
                    self.flags |= ALONE;
                }
            }
            Class::Mark(mark) => {
                let may_join = match mark {
                    b'\'' => !self.has(ALONE),
                    b'/' | b'.' => self.digit == 1,
                    _ => false,
                };
                if may_join && self.len > 0 && self.connector == 0 {
                    self.connector = mark;
                    return;
                }
                self.end_word(emit);
                self.count_mark(mark, emit);
            }
            Class::Ellipsis => {
                self.end_word(emit);
                self.count_mark(b'.', emit);
                self.count_mark(b'.', emit);
            }
            Class::Separator => {
                self.end_word(emit);
                self.end_mark(emit);
                if HAS_SYLLABLES {
                    self.flags &= !INSIDE;
                }
            }
        }
    }

    /// True for a character that is a word of its own.
    fn stands_alone(&self, code: u32) -> bool {
        self.has(SYLLABLES) && matches!(code, 0xAC00..=0xD7A3 | 0x3131..=0x318E)
    }

    fn has(&self, flag: u8) -> bool {
        HAS_SYLLABLES && self.flags & flag != 0
    }

    fn first(&self) -> First {
        self.has(FIRST)
    }

    /// A token begins.
    fn begin(&mut self) {
        if HAS_SYLLABLES {
            let first = if self.has(INSIDE) { 0 } else { FIRST };
            self.flags = (self.flags & !FIRST) | INSIDE | first;
        }
    }

    /// Appends one whole character, or cuts the word before it.
    fn append(&mut self, encoded: &[u8]) {
        let start = usize::from(self.len);
        match self.word.get_mut(start..start + encoded.len()) {
            Some(room) if self.cut == 0 => {
                room.iter_mut().zip(encoded).for_each(|(room, &byte)| *room = byte);
                self.len += encoded.len() as u8;
            }
            _ => self.cut = 1,
        }
    }

    /// Emits the open word, and lets an undecided connector be the mark that it is.
    fn end_word(&mut self, emit: &mut impl FnMut(Token<'_>, First)) {
        if self.len == 0 {
            return;
        }
        if let Some(word) = self.word.get(..usize::from(self.len)) {
            emit(Token::Word(word), self.first());
        }
        (self.len, self.cut, self.digit) = (0, 0, 0);
        if HAS_SYLLABLES {
            self.flags &= !ALONE;
        }
        let connector = core::mem::take(&mut self.connector);
        if connector != 0 {
            self.count_mark(connector, emit);
        }
    }

    fn count_mark(&mut self, mark: u8, emit: &mut impl FnMut(Token<'_>, First)) {
        if self.mark == mark {
            self.repeated = 1;
            return;
        }
        self.end_mark(emit);
        // Apostrophes that join nothing are quotation marks of no meaning here.
        self.mark = if mark == b'\'' { 0 } else { mark };
        if self.mark != 0 {
            self.begin();
        }
    }

    fn end_mark(&mut self, emit: &mut impl FnMut(Token<'_>, First)) {
        let mark = core::mem::take(&mut self.mark);
        let repeated = core::mem::take(&mut self.repeated);
        if mark != 0 {
            let run = [mark; 2];
            emit(Token::Mark(if repeated == 1 { &run } else { &run[..1] }), self.first());
        }
    }
}

/// A code point that separates, used for invalid bytes and for tags.
const SEPARATOR: u32 = 0x20;

enum Class {
    /// A letter or digit, lower-cased.
    Word(u32),
    /// An ASCII mark.
    Mark(u8),
    Ellipsis,
    Separator,
}

/// Classes and lower case by ranges of the Unicode code charts: small enough for a chip, where full tables are not.
fn classify(code: u32) -> Class {
    match code {
        0x41..=0x5A => Class::Word(code + 0x20),
        0x61..=0x7A | 0x30..=0x39 => Class::Word(code),
        0x21..=0x7E => Class::Mark(code as u8),
        0x2018 | 0x2019 => Class::Mark(b'\''),
        0x2026 => Class::Ellipsis,
        0x201C | 0x201D => Class::Mark(b'"'),
        0x2013 | 0x2014 => Class::Mark(b'-'),
        0x00..=0x20 | 0x7F..=0xA9 | 0xAB..=0xB4 | 0xB6..=0xB9 | 0xBB..=0xBF | 0xD7 | 0xF7 => Class::Separator,
        // Latin-1: À..Þ without ×.
        0xC0..=0xDE => Class::Word(code + 0x20),
        // Latin Extended-A: upper and lower case alternate, with three shifts of parity.
        0x130 => Class::Word(0x69),
        0x178 => Class::Word(0xFF),
        0x100..=0x137 | 0x14A..=0x177 => Class::Word(code | 1),
        0x139..=0x148 | 0x179..=0x17E => Class::Word(code + (code & 1)),
        // Greek, with its accented capitals.
        0x386 => Class::Word(0x3AC),
        0x388..=0x38A => Class::Word(code + 37),
        0x38C => Class::Word(0x3CC),
        0x38E | 0x38F => Class::Word(code + 63),
        0x37E | 0x387 => Class::Separator,
        0x391..=0x3AB => Class::Word(code + 32),
        // Cyrillic.
        0x400..=0x40F => Class::Word(code + 80),
        0x4C0 => Class::Word(0x4CF),
        0x4C1..=0x4CE => Class::Word(code + (code & 1)),
        0x410..=0x42F => Class::Word(code + 32),
        0x460..=0x481 | 0x48A..=0x4BF | 0x4D0..=0x52F => Class::Word(code | 1),
        // Punctuation of Armenian, Hebrew, Arabic, Devanagari, Ogham and Mongolian, and the byte-order mark.
        0x55A..=0x55F | 0x589 | 0x58A | 0x5BE | 0x5C0 | 0x5C3 | 0x5C6 | 0x5F3 | 0x5F4 => Class::Separator,
        0x600..=0x60F | 0x61B..=0x61F | 0x66A..=0x66D | 0x6D4 | 0x964 | 0x965 | 0x1680 | 0x1800..=0x180E | 0xFEFF => {
            Class::Separator
        }
        // Marks of other scripts, and what is neither letter nor digit: general punctuation to miscellaneous symbols,
        // CJK punctuation, private use, variation selectors, half and full width forms of ASCII marks, emoji.
        0x2000..=0x2BFF | 0x3000..=0x303F | 0xE000..=0xF8FF | 0xFE00..=0xFE6F => Class::Separator,
        0xFF01..=0xFF0F | 0xFF1A..=0xFF20 | 0xFF3B..=0xFF40 | 0xFF5B..=0xFF65 | 0xFFE0..=0xFFFF => Class::Separator,
        0x1F000..=0x1FAFF | 0xE0000.. => Class::Separator,
        _ => Class::Word(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, string::ToString, vec::Vec};

    fn tokens(chunks: &[&[u8]]) -> Vec<String> {
        let mut tokenizer = Tokenizer::new();
        let mut found = Vec::new();
        let mut emit =
            |token: Token<'_>| found.push(std::str::from_utf8(token.bytes()).expect("tokens are UTF-8").to_string());
        for chunk in chunks {
            tokenizer.push(chunk, &mut emit);
        }
        tokenizer.finish(&mut emit);
        assert_eq!(tokenizer, Tokenizer::new(), "finish goes back to the beginning");
        found
    }

    fn of(text: &str) -> Vec<String> {
        tokens(&[text.as_bytes()])
    }

    #[test]
    fn words_are_lower_cased_and_marks_stand_alone() {
        assert_eq!(of("A GREAT film, truly."), ["a", "great", "film", ",", "truly", "."]);
        assert_eq!(of("Ça ÉTAIT Ğ Ž Ÿ ΆΛΦΑ Жук"), ["ça", "était", "ğ", "ž", "ÿ", "άλφα", "жук"]);
        assert_eq!(of("영화 좋다"), ["영화", "좋다"]);
        assert_eq!(of("Ӂӂ ӀӃ"), ["ӂӂ", "ӏӄ"]);
        assert_eq!(of("\u{FEFF}awful\u{60C} film\u{61F}"), ["awful", "film"]);
    }

    #[test]
    fn apostrophes_join_inside_a_word_and_vanish_outside() {
        assert_eq!(of("don't 'quoted' it\u{2019}s dogs' ''"), ["don't", "quoted", "it's", "dogs"]);
    }

    #[test]
    fn ratings_and_decimals_are_one_token() {
        assert_eq!(of("10/10 7.5/10 and/or 3."), ["10/10", "7.5/10", "and", "/", "or", "3", "."]);
        assert_eq!(of("a4/5 4/b 5.x"), ["a4/5", "4", "/", "b", "5", ".", "x"]);
    }

    #[test]
    fn runs_of_a_mark_give_one_token() {
        assert_eq!(
            of("wow!!!! what?! so... ok\u{2026} ! !"),
            ["wow", "!!", "what", "?", "!", "so", "..", "ok", "..", "!", "!"]
        );
    }

    #[test]
    fn line_break_tags_separate_and_other_tags_are_text() {
        assert_eq!(
            of("good<br /><BR>bad<br/>x< br ><b>y<bra<br"),
            ["good", "bad", "x", "<", "br", ">", "<", "b", ">", "y", "<", "bra", "<", "br"]
        );
        assert_eq!(of("a<br / b"), ["a", "<", "br", "/", "b"]);
    }

    #[test]
    fn invalid_utf8_separates_and_never_panics() {
        assert_eq!(tokens(&[b"a\xFFb\xC3", b"(c\xE2\x82"]), ["a", "b", "(", "c"]);
        assert_eq!(tokens(&[b"\xED\xA0\x80x\xC0\x80y\xF4\x90\x80\x80z"]), ["x", "y", "z"]);
    }

    #[test]
    fn long_words_are_cut_on_a_character_boundary() {
        let long = "é".repeat(40);
        assert_eq!(of(&long), ["é".repeat(16)]);
        let odd = std::format!("x{long}a");
        assert_eq!(of(&odd), [std::format!("x{}", "é".repeat(15))]);
    }

    /// The tokens of a text whose units are syllables; `^` stands before the first of what separators enclose.
    fn syllables(chunks: &[&[u8]]) -> Vec<String> {
        let mut tokenizer = Tokenizer::of(Tokens::Syllables);
        let mut found = Vec::new();
        let mut emit = |token: Token<'_>, first: bool| {
            let text = std::str::from_utf8(token.bytes()).expect("tokens are UTF-8");
            found.push([if first { "^" } else { "" }, text].concat());
        };
        for chunk in chunks {
            tokenizer.push_each(chunk, &mut emit);
        }
        tokenizer.finish_each(&mut emit);
        assert_eq!(tokenizer, Tokenizer::of(Tokens::Syllables), "finish goes back to the beginning");
        found
    }

    #[test]
    fn syllables_are_words_of_their_own_and_other_words_stay_whole() {
        let of = |text: &str| syllables(&[text.as_bytes()]);
        assert_eq!(of("이 영화 don't 2시간"), ["^이", "^영", "화", "^don't", "^2", "시", "간"]);
        assert_eq!(of("영화3.5점, '최고'!!"), ["^영", "화", "3.5", "점", ",", "^최", "고", "!!"]);
        assert_eq!(of("한'a b'한 3.한"), ["^한", "a", "^b", "한", "^3", ".", "한"]);
        assert_eq!(of("영<br />화<b"), ["^영", "^화", "<", "b"]);
        assert_eq!(of("...영 ! 。영"), ["^..", "영", "^!", "^영"]);
    }

    #[test]
    fn a_run_of_one_jamo_counts_once_or_twice() {
        let of = |text: &str| syllables(&[text.as_bytes()]);
        assert_eq!(of("ㅋ ㅋㅋ ㅋㅋㅋㅋ"), ["^ㅋ", "^ㅋㅋ", "^ㅋㅋ"]);
        assert_eq!(of("ㅠㅠㅜㅜㅜ좋아ㅎ.ㅎ좋좋"), ["^ㅠㅠ", "ㅜㅜ", "좋", "아", "ㅎ", ".", "ㅎ", "좋", "좋"]);
        assert_eq!(of("ㅋ'ㅋ"), ["^ㅋ", "ㅋ"]);
    }

    #[test]
    fn words_and_marks_know_whether_they_come_first() {
        let mut tokenizer = Tokenizer::new();
        let mut found = Vec::new();
        let text = "Don't, 영화 'so'... (a<br>b\u{1F600}c";
        tokenizer.push_each(text.as_bytes(), |_, first| found.push(first));
        tokenizer.finish_each(|_, first| found.push(first));
        //               don't  ,      영화  so    ..     (     a      b     c
        assert_eq!(found, [true, false, true, true, false, true, false, true, true]);
    }

    proptest::proptest! {
        #[test]
        fn any_chunking_gives_the_same_syllables(bytes: Vec<u8>, text in "[ a-z0-9'/.<>br!é한글ㅋㅠ\u{2019}]{0,60}", cuts: Vec<u8>) {
            for input in [bytes.as_slice(), text.as_bytes()] {
                let mut chunks = Vec::new();
                let mut rest = input;
                for cut in &cuts {
                    let (head, tail) = rest.split_at(usize::from(*cut % 8).min(rest.len()));
                    chunks.push(head);
                    rest = tail;
                }
                chunks.push(rest);
                proptest::prop_assert_eq!(syllables(&[input]), syllables(&chunks));
            }
        }

        #[test]
        fn the_state_between_two_bytes_of_syllables_is_always_valid(bytes: Vec<u8>, text in "[ a-z0-9'/.<>br!é한글ㅋㅠ\u{2019}]{0,60}") {
            for input in [bytes.as_slice(), text.as_bytes()] {
                let mut tokenizer = Tokenizer::of(Tokens::Syllables);
                for &byte in input {
                    tokenizer.push(&[byte], |_| ());
                    proptest::prop_assert!(tokenizer.is_valid());
                }
            }
        }

        #[test]
        fn any_chunking_gives_the_same_tokens(bytes: Vec<u8>, text in "[ a-zA-Z0-9'/.<>br!é한\u{2019}]{0,60}", cuts: Vec<u8>) {
            for input in [bytes.as_slice(), text.as_bytes()] {
                let whole = tokens(&[input]);
                let mut chunks = Vec::new();
                let mut rest = input;
                for cut in &cuts {
                    let (head, tail) = rest.split_at(usize::from(*cut % 8).min(rest.len()));
                    chunks.push(head);
                    rest = tail;
                }
                chunks.push(rest);
                proptest::prop_assert_eq!(whole, tokens(&chunks));
            }
        }

        #[test]
        fn the_state_between_two_bytes_is_always_valid(bytes: Vec<u8>) {
            let mut tokenizer = Tokenizer::new();
            for byte in bytes {
                tokenizer.push(&[byte], |_| ());
                proptest::prop_assert!(tokenizer.is_valid());
            }
        }
    }
}
