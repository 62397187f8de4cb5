//! A streaming tokenizer: UTF-8 bytes in; words, marks and symbols out, or single characters.
//!
//! What a character beyond ASCII is says the image's table ([`super::characters`]). The rules, in the order in which they apply to a character:
//!
//! - `<br>`, `<br/>`, `<br />` (any case) separate like white space; any other `<` is a mark.
//! - Letters and digits build words. Letters are lower-cased, unless the model keeps their case.
//! - An apostrophe between two word characters belongs to the word: `don't`.
//! - `/` and `.` between two digits belong to the number: `10/10`, `7.5`.
//! - Every other printable ASCII character is a mark. A run of one mark gives one token: the mark once where it
//!   stands alone, twice where it is repeated (`!` and `!!!!` give `!` and `!!`).
//! - A letter of a script without spaces is a token of its own, and so is a symbol. A run of one symbol counts as a run of a mark does.
//! - A combining mark, a joiner and a skin tone belong to the word or symbol before them, and vanish where none is open. With a letter before it, a mark may be
//!   another letter: the table says which. A symbol behind U+200D belongs to the symbol before that, and two regional indicators are a flag.
//! - White space, control characters, invalid UTF-8 and the punctuation of other scripts separate. Apostrophes that do not join vanish.
//! - Where tokens are characters, every letter and digit is a token of its own, nothing joins, `'` is a mark, and what separates two tokens is one token: a space.
//! - A word longer than [`WORD_BYTES`] is cut to its first [`WORD_BYTES`] bytes, on a character boundary.
//!
//! Nothing depends on how the bytes are chunked: the state between two bytes is all in [`Tokenizer`].

use bytemuck::{Pod, Zeroable};

use super::characters::{Characters, Kind, TWICE};
use super::text::{Tokens, WORD_BYTES};
use crate::features::CHARS;

/// What the tokenizer remembers between two bytes. Plain bytes, so that it lies in a stream's state; all zero is the beginning of a text of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Tokenizer {
    word: [u8; WORD_BYTES],
    /// The last character of the word; [`CLOSED`] where it is cut, or a symbol of several characters.
    last: u32,
    /// The code point read so far.
    code: u32,
    /// Bytes of `word` in use.
    len: u8,
    /// A connector (`'`, `/` or `.`) seen after a word character and not yet decided; 0 for none.
    connector: u8,
    /// The mark whose run is going on; 0 for none.
    mark: u8,
    /// How often that mark, or the open symbol, has been repeated: 3 stands for twice and more.
    repeated: u8,
    /// How far `<br />` has been matched: 0 nothing, 1 `<`, 2 `<b`, 3 `<br`, 4 `<br` and white space, 5 `<br /`.
    tag: u8,
    /// Bytes of the UTF-8 sequence that is read.
    bytes: u8,
    /// Bytes of it still to come.
    missing: u8,
    /// [`CHARACTERS`] and the bits behind it.
    flags: u8,
}

/// In `flags`: every letter is a word.
const CHARACTERS: u8 = 1;
/// Letters keep their case.
const CASED: u8 = 2;
/// What does not change in a text.
const MODE: u8 = CHARACTERS | CASED;
/// The open word is one that ends before the next character, unless that extends it.
const ALONE: u8 = 4;
/// The open word is a symbol.
const SYMBOL: u8 = 8;
/// The open word was cut: what still belongs to it is swallowed.
const CUT: u8 = 16;
/// A token has begun since the last character that separates.
const INSIDE: u8 = 32;
/// The open token was the first of them.
const FIRST: u8 = 64;
/// A character that separates stands behind the last token.
const SPACE: u8 = 128;

/// No character.
const CLOSED: u32 = u32::MAX;

/// Whether a token is the first since the text's beginning or a character that separates.
pub type First = bool;

/// A token that the tokenizer cut from the text, in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Token<'a> {
    /// A word, a number, a symbol, or a single letter.
    Word(&'a [u8]),
    /// A punctuation mark, once or twice, or the space between two characters.
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
        Self::zeroed()
    }
}

/// What a tokenizer reads with and emits to.
struct Reading<'t, 'e, E> {
    characters: Characters<'t>,
    emit: &'e mut E,
}

impl Tokenizer {
    /// The beginning of a text whose tokens are of this kind.
    pub fn of(tokens: Tokens) -> Self {
        let flags = match tokens {
            Tokens::Characters if CHARS => CHARACTERS,
            Tokens::CasedCharacters if CHARS => CHARACTERS | CASED,
            _ => 0,
        };
        Tokenizer { flags, ..Self::zeroed() }
    }

    /// True when the fields could have come from a tokenizer that began so; a state read from outside is checked with it.
    pub(crate) fn is_valid(&self, beginning: &Tokenizer) -> bool {
        let word = core::str::from_utf8(self.word.get(..usize::from(self.len)).unwrap_or(&[])).unwrap_or("");
        word.len() == usize::from(self.len)
            && (self.last == CLOSED || self.last == word.chars().next_back().map_or(0, u32::from))
            && (self.repeated == 0 || self.mark != 0 || self.has(SYMBOL) && self.last != CLOSED && word.len() <= 4)
            && self.repeated <= 3
            && self.flags & MODE == beginning.flags & MODE
            && (self.flags & (ALONE | SYMBOL | CUT) == 0 || self.len > 0)
            && self.tag <= 5
            && self.missing < self.bytes.max(1)
            // Of a byte that begins no character it is how many bits it begins with.
            && self.bytes <= 8
            && self.code <= 0x1F_FFFF
            && self.mark < 0x80
            && self.connector < 0x80
    }

    /// Takes bytes of a text in any chunks and calls `emit` for every token that they complete, in order.
    pub fn push(&mut self, characters: Characters<'_>, bytes: &[u8], mut emit: impl FnMut(Token<'_>)) {
        self.push_each(characters, bytes, |token, _| emit(token));
    }

    /// As [`Tokenizer::push`], and says of every token whether it is the first since the text's beginning or a character that separates: of
    /// `영화, don't` with syllables as tokens, `영` and `don't` are, of their words the other ones are not.
    pub fn push_each(&mut self, characters: Characters<'_>, bytes: &[u8], mut emit: impl FnMut(Token<'_>, First)) {
        let mut reading = Reading { characters, emit: &mut emit };
        for &byte in bytes {
            self.byte(byte, &mut reading);
        }
    }

    /// Ends the text: emits what is still open, and goes back to the beginning.
    pub fn finish(&mut self, characters: Characters<'_>, mut emit: impl FnMut(Token<'_>)) {
        self.finish_each(characters, |token, _| emit(token));
    }

    /// As [`Tokenizer::finish`], and says what [`Tokenizer::push_each`] says.
    pub fn finish_each(&mut self, characters: Characters<'_>, mut emit: impl FnMut(Token<'_>, First)) {
        let mut reading = Reading { characters, emit: &mut emit };
        if self.missing > 0 {
            self.missing = 0;
            self.character(SEPARATOR, &mut reading);
        }
        self.replay_tag(&mut reading);
        self.end(&mut reading);
        *self = Tokenizer { flags: self.flags & MODE, ..Self::zeroed() };
    }

    /// Decodes UTF-8 (RFC 3629) one byte at a time; what is invalid separates.
    fn byte(&mut self, byte: u8, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if self.missing > 0 {
            if byte & 0xC0 == 0x80 {
                self.code = (self.code << 6) | u32::from(byte & 0x3F);
                self.missing -= 1;
                if self.missing == 0 {
                    let is_shortest =
                        char::from_u32(self.code).is_some_and(|c| c.len_utf8() == usize::from(self.bytes));
                    self.character(if is_shortest { self.code } else { SEPARATOR }, reading);
                }
                return;
            }
            self.missing = 0;
            self.character(SEPARATOR, reading);
        }
        // The bits that a first byte begins with say how many there are.
        self.bytes = byte.leading_ones() as u8;
        match self.bytes {
            0 => self.character(u32::from(byte), reading),
            2..=4 => {
                self.missing = self.bytes - 1;
                self.code = u32::from(byte & (0x7F >> self.bytes));
            }
            _ => self.character(SEPARATOR, reading),
        }
    }

    /// Matches `<br />`, and hands on what is none.
    fn character(&mut self, code: u32, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if self.tag == 0 && code != u32::from(b'<') {
            return self.plain(code, reading);
        }
        let lower = if code < 0x80 { (code as u8).to_ascii_lowercase() } else { 0xFF };
        let next = match (self.tag, lower) {
            (0, _) => 1,
            (1, b'b') => 2,
            (2, b'r') => 3,
            (3 | 4, b' ' | b'\t' | b'\n' | b'\r') => 4,
            (3 | 4, b'/') => 5,
            (3..=5, b'>') => {
                self.tag = 0;
                return self.plain(SEPARATOR, reading);
            }
            _ => {
                self.replay_tag(reading);
                return self.character(code, reading);
            }
        };
        if self.tag == 0 {
            self.end_word(reading);
        }
        self.tag = next;
    }

    /// What looked like the beginning of `<br />` was none: reads it as ordinary text.
    fn replay_tag(&mut self, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        let matched = core::mem::take(&mut self.tag);
        for &code in b"<br /".iter().take(usize::from(matched)) {
            self.plain(u32::from(code), reading);
        }
    }

    fn plain(&mut self, code: u32, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        let mut ascii = code as u8;
        if code >= 0x80 {
            ascii = match reading.characters.class(code) {
                (Kind::Letter, code) if code >= 0x80 => return self.letter(code, self.mode(), reading),
                (Kind::Alone, code) => return self.letter(code, ALONE, reading),
                (Kind::Symbol, code) => return self.symbol(code, reading),
                (Kind::Extend, code) => return self.extend(code, reading),
                (Kind::Nothing, _) => return,
                (Kind::Separator, _) => SEPARATOR as u8,
                (_, code) => code as u8,
            };
        }
        if ascii >= TWICE {
            ascii -= TWICE;
            self.plain(ascii.into(), reading);
        }
        self.ascii(ascii, reading);
    }

    /// Called in one place, so that it takes no stack of its own.
    #[inline(always)]
    fn ascii(&mut self, code: u8, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        match code {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => {
                let lower = if CHARS && self.has(CASED) { code } else { code.to_ascii_lowercase() };
                // Here and not only in `letter` and `count_mark`, where a step would stand on one more frame.
                self.end_mark(reading);
                self.letter(u32::from(lower), self.mode(), reading);
            }
            b'!'..=b'~' => {
                let may_join = match code {
                    b'\'' => true,
                    b'/' | b'.' => is_digit(self.last),
                    _ => false,
                };
                if may_join && self.len > 0 && self.connector == 0 && !self.has(ALONE) {
                    self.connector = code;
                    return;
                }
                self.end_word(reading);
                if self.mark != code {
                    self.end_mark(reading);
                }
                self.count_mark(code, reading);
            }
            _ => {
                self.end(reading);
                if self.has(INSIDE) {
                    self.flags ^= INSIDE | SPACE;
                }
            }
        }
    }

    /// [`ALONE`] where letters are tokens.
    fn mode(&self) -> u8 {
        if CHARS && self.has(CHARACTERS) { ALONE } else { 0 }
    }

    /// A letter or digit; or, by its `flags`, a token of its own.
    #[cfg_attr(latch_backend, inline(never))]
    fn letter(&mut self, code: u32, flags: u8, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if (flags | self.flags) & ALONE != 0 {
            self.end_word(reading);
        }
        if self.connector != 0 {
            let joins = self.connector == b'\'' || (is_digit(code) && is_digit(self.last));
            if joins {
                let connector = core::mem::take(&mut self.connector);
                self.append(connector.into());
            } else {
                self.end_word(reading);
            }
        }
        if self.len == 0 {
            self.end_mark(reading);
            self.begin(reading);
        }
        self.append(code);
        self.flags |= flags;
    }

    /// A symbol: joins the open one behind a joiner, or as the second half of a flag; is counted where it repeats the open one; or else begins a token.
    fn symbol(&mut self, code: u32, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if self.has(SYMBOL) {
            let are_halves = code >> 5 == INDICATORS && self.last >> 5 == INDICATORS;
            if are_halves || self.last == JOINER {
                self.append(code);
                self.last = CLOSED;
                return;
            }
            if self.last == code {
                self.repeated = self.repeated << 1 & 3 | 1;
                return;
            }
        }
        self.letter(code, ALONE | SYMBOL, reading);
    }

    /// A combining mark or the like: belongs to the open word.
    fn extend(&mut self, code: u32, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if self.connector != 0 {
            self.end_word(reading);
        }
        if self.len == 0 {
            return;
        }
        if self.repeated > 0 {
            // Only the last of the run has it.
            self.repeated -= 1;
            let (last, flags) = (self.last, self.flags & !FIRST);
            self.end_word(reading);
            self.append(last);
            self.flags = flags;
        }
        let composed = reading.characters.composed(self.last, code);
        if composed.is_some() {
            self.len = self.len.wrapping_sub(if self.last < 0x80 { 1 } else { 2 });
        }
        self.append(composed.unwrap_or(code));
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A token begins. Where tokens are characters, the space before it is one.
    #[cfg_attr(latch_backend, inline(never))]
    fn begin(&mut self, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if CHARS && self.flags & (CHARACTERS | SPACE) == CHARACTERS | SPACE {
            (reading.emit)(Token::Mark(b" "), false);
        }
        let first = if self.has(INSIDE) { 0 } else { FIRST };
        self.flags = (self.flags & !(FIRST | SPACE)) | INSIDE | first;
    }

    /// Appends a character to the word, or cuts the word before it.
    #[cfg_attr(latch_backend, inline(never))]
    fn append(&mut self, code: u32) {
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        let (start, bytes, is_cut) = (usize::from(self.len), character.len_utf8(), self.has(CUT));
        match self.word.get_mut(start..start + bytes) {
            Some(room) if !is_cut => {
                // In less code than `char::encode_utf8`.
                let mut rest = character as u32;
                self.last = rest;
                for byte in room.iter_mut().rev() {
                    *byte = 0x80 | rest as u8 & 0x3F;
                    rest >>= 6;
                }
                if let Some(first) = room.first_mut() {
                    *first = if bytes == 1 { character as u8 } else { *first | (0xF00_u32 >> bytes) as u8 };
                }
                self.len += bytes as u8;
            }
            _ => {
                self.flags |= CUT;
                self.last = CLOSED;
            }
        }
    }

    /// Emits what is open.
    #[inline(always)]
    fn end(&mut self, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        self.end_word(reading);
        self.end_mark(reading);
    }

    /// Emits the open word, a symbol twice where it was repeated, and lets an undecided connector be the mark that it is.
    #[cfg_attr(latch_backend, inline(never))]
    fn end_word(&mut self, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if self.len == 0 {
            return;
        }
        if core::mem::take(&mut self.repeated) > 0 {
            self.append(self.last);
        }
        if let Some(word) = self.word.get(..usize::from(self.len)) {
            (reading.emit)(Token::Word(word), self.has(FIRST));
        }
        (self.len, self.last) = (0, 0);
        self.flags &= !(ALONE | SYMBOL | CUT);
        let connector = core::mem::take(&mut self.connector);
        if connector != 0 {
            self.count_mark(connector, reading);
        }
    }

    fn count_mark(&mut self, mark: u8, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        if self.mark == mark {
            self.repeated = 1;
            return;
        }
        self.end_mark(reading);
        // Apostrophes that join nothing are quotation marks of no meaning between words.
        if mark != b'\'' || CHARS && self.has(CHARACTERS) {
            self.begin(reading);
            self.mark = mark;
        }
    }

    #[cfg_attr(latch_backend, inline(never))]
    fn end_mark(&mut self, reading: &mut Reading<'_, '_, impl FnMut(Token<'_>, First)>) {
        let mark = core::mem::take(&mut self.mark);
        if mark != 0 {
            let repeated = core::mem::take(&mut self.repeated);
            let run = [mark; 2];
            (reading.emit)(Token::Mark(if repeated > 0 { &run } else { &run[..1] }), self.has(FIRST));
        }
    }
}

/// A code point that separates, used for invalid bytes and for tags.
const SEPARATOR: u32 = 0x20;

/// What joins symbols.
const JOINER: u32 = 0x200D;

/// The regional indicators, U+1F1E6 to U+1F1FF, of which two are a flag, without their last five bits.
const INDICATORS: u32 = 0x1F1E6 >> 5;

fn is_digit(code: u32) -> bool {
    (0x30..=0x39).contains(&code)
}

#[cfg(test)]
mod tests;
