//! The character table: what the characters beyond ASCII are, as far as a model's texts need it.
//!
//! ASCII is code, in [`super::tokenizer`]. Everything else stands in a table that the image holds, so that a chip pays for the scripts of its own texts and for
//! no other. The table is one list of u32 in ascending order:
//!
//! ```text
//! key << 11 | action         from the character `key` on, up to the next entry's key
//! key << 11 | character      key = 110000 + (b << 7) + (m - 300): the letter b with the combining mark m behind it is this letter; both b and it are below 800
//! FFFF0000  | delta          at the end: differences, in 16 bits, that letters are lower-cased by
//! ```
//!
//! All numbers are hexadecimal but the shifts. An action is `kind << 8 | value`:
//!
//! | kind | what a character is | value |
//! | --- | --- | --- |
//! | 0 | a letter | 0: as it is; n: its lower 16 bits grow by the n-th difference from the end |
//! | 1 | a letter in a row of pairs | 1: an even one becomes the next; 0: an odd one does |
//! | 2 | an ASCII character | that; 80 more: twice |
//! | 3 | a token of its own | |
//! | 4 | a symbol | |
//! | 5 | what belongs to the character before it | |
//! | 6 | nothing | |
//! | 7 | what separates | |
//!
//! A character before the first entry is a letter as it is. Every value means something, so that no table can do harm.

#[cfg(not(latch_backend))]
use crate::error::{Error, problem};
use crate::image::header::{find, tags};

/// What a character is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
#[repr(u8)]
pub enum Kind {
    /// A letter or digit: builds words.
    Letter = 0,
    /// The same; of each pair of characters the first is upper case.
    Paired = 1,
    /// Reads as an ASCII character.
    Ascii = 2,
    /// A token of its own: a letter of a script that puts no spaces between its words.
    Alone = 3,
    /// A token of its own, of which a run counts as a run of a mark does.
    Symbol = 4,
    /// A combining mark, a joiner or a skin tone: belongs to the character before it.
    Extend = 5,
    /// A variation selector: is not read.
    Nothing = 6,
    /// White space, punctuation and control characters.
    Separator = 7,
}

/// Bits of an action.
pub const ACTION_BITS: u32 = 11;

/// Bits of an action's value.
pub const VALUE_BITS: u32 = 8;

/// Added to an ASCII character that reads twice.
pub const TWICE: u8 = 0x80;

/// The first key of compositions.
pub const COMPOSITIONS: u32 = 0x11_0000;

/// The first character that neither is composed nor has compositions.
pub const COMPOSED_END: u32 = 0x800;

/// The first of the combining marks that compositions have, and how many bits of its number they keep.
pub const MARKS: (u32, u32) = (0x300, 7);

/// A difference in the list.
pub const DELTA: u32 = 0xFFFF_0000;

/// The key of a letter and a combining mark behind it; `None` where no composition has such a one.
pub const fn composition(base: u32, mark: u32) -> Option<u32> {
    let (first, bits) = MARKS;
    let number = mark.wrapping_sub(first);
    if base < COMPOSED_END && number >> bits == 0 { Some(COMPOSITIONS + (base << bits) + number) } else { None }
}

/// A table, as it lies in the image; see the module for the format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Characters<'a>(&'a [[u8; 4]]);

impl<'a> Characters<'a> {
    /// No table: every character beyond ASCII is a letter as it is.
    pub const NONE: Self = Characters(&[]);

    /// A table over its entries, each little-endian.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Characters(bytes.as_chunks().0)
    }

    /// That of an image's records.
    pub(crate) fn of(records: &'a [u8]) -> Self {
        find(records, tags::CHARACTERS).map_or(Self::NONE, |content| Self::new(content.0))
    }

    /// Checks that the entries of an image's records are whole and in ascending order, as every writer leaves them.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::Vocabulary`].
    #[cfg(not(latch_backend))]
    pub(crate) fn check(records: &'a [u8]) -> Result<(), Error> {
        if find(records, tags::CHARACTERS).is_some_and(|content| !content.0.len().is_multiple_of(4)) {
            return Err(Error::Record { tag: tags::CHARACTERS });
        }
        if Self::of(records).entries().is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        Err(Error::Vocabulary { problem: problem!("the character table is not in ascending order") })
    }

    /// The entries.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = u32> + use<'a> {
        self.0.iter().map(|&entry| u32::from_le_bytes(entry))
    }

    /// The last entry whose key is not larger; 0, a letter as it is, where there is none.
    ///
    /// A chip looks at one after the other, which takes the least code.
    #[cfg_attr(latch_backend, inline(never))]
    fn entry(&self, key: u32) -> u32 {
        #[cfg(latch_backend)]
        return self.entries().rev().find(|entry| entry >> ACTION_BITS <= key).unwrap_or(0);
        #[cfg(not(latch_backend))]
        {
            let before = self.0.partition_point(|&entry| u32::from_le_bytes(entry) >> ACTION_BITS <= key);
            self.0.get(before.wrapping_sub(1)).map_or(0, |&entry| u32::from_le_bytes(entry))
        }
    }

    /// What a character beyond ASCII is, and what it reads as: a letter in lower case, the number of an ASCII character (with [`TWICE`]), or itself.
    #[inline]
    pub fn class(&self, code: u32) -> (Kind, u32) {
        let entry = self.entry(code);
        let value = entry & ((1 << VALUE_BITS) - 1);
        match entry >> VALUE_BITS & 7 {
            0 => {
                let delta =
                    self.0.get(self.0.len().wrapping_sub(value as usize)).map_or(0, |&entry| u32::from_le_bytes(entry));
                (Kind::Letter, code & !0xFFFF | u32::from((code as u16).wrapping_add(delta as u16)))
            }
            1 => (Kind::Letter, code + ((code ^ value) & 1)),
            2 => (Kind::Ascii, value),
            3 => (Kind::Alone, code),
            4 => (Kind::Symbol, code),
            5 => (Kind::Extend, code),
            6 => (Kind::Nothing, code),
            _ => (Kind::Separator, code),
        }
    }

    /// The letter that a letter and a combining mark are together.
    pub fn composed(&self, base: u32, mark: u32) -> Option<u32> {
        let key = composition(base, mark)?;
        let entry = self.entry(key);
        (entry >> ACTION_BITS == key).then_some(entry & ((1 << ACTION_BITS) - 1))
    }
}
