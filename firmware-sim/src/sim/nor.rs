//! Simulated NOR flash: holds a part's rules, and counts.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::flash::{ERASED, Flash};
use latch_parts::parts::{FlashShape, Part};

/// 16 bytes on a multiple of 16: the flash is mapped to an aligned address, as on every part.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(16))]
struct Line([u8; 16]);

/// A part's flash in this machine's memory.
#[derive(Clone, Debug)]
pub struct NorFlash {
    shape: FlashShape,
    lines: Vec<Line>,
    /// How often each word was programmed since it was erased.
    writes: Vec<u8>,
    erases: u64,
    programs: u64,
}

/// A rule of the part that an operation broke. The flash is then as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Erasing at an offset where no page starts.
    #[error("erase at {offset:#x}: no page starts there")]
    NoPageStart {
        /// The offset.
        offset: usize,
    },
    /// Programming at an offset that is no multiple of the word.
    #[error("program at {offset:#x}: no multiple of the {word_bytes} bytes that are programmed at once")]
    Misaligned {
        /// The offset.
        offset: usize,
        /// Bytes of a word.
        word_bytes: usize,
    },
    /// Programming more or less than a word.
    #[error("program {given} bytes: this flash programs {word_bytes} at once")]
    WordSize {
        /// Bytes given.
        given: usize,
        /// Bytes of a word.
        word_bytes: usize,
    },
    /// Beyond the end.
    #[error("program at {offset:#x}: the flash ends at {end:#x}")]
    OutOfRange {
        /// The offset.
        offset: usize,
        /// Bytes of the flash.
        end: usize,
    },
    /// A bit would have to go from 0 to 1.
    #[error("program at {offset:#x}: a bit would go from 0 to 1, which only erasing the page does")]
    NotErased {
        /// The word's offset.
        offset: usize,
    },
    /// The word has been programmed as often as the part permits between two erases.
    #[error("program at {offset:#x}: the word may be programmed {limit} time(s) between two erases")]
    WrittenTooOften {
        /// The word's offset.
        offset: usize,
        /// How often it may be programmed.
        limit: u8,
    },
}

impl NorFlash {
    /// A flash as it leaves the factory: erased.
    pub fn new(part: &Part) -> Self {
        Self::filled(part, ERASED, 0)
    }

    /// A flash in which everything has been programmed before: nothing can be programmed without erasing its page.
    pub fn used(part: &Part) -> Self {
        Self::filled(part, 0, u8::MAX)
    }

    fn filled(part: &Part, byte: u8, writes: u8) -> Self {
        let bytes = part.flash.bytes();
        NorFlash {
            shape: part.flash,
            lines: vec![Line([byte; 16]); bytes.div_ceil(16)],
            writes: vec![writes; bytes / part.flash.word_bytes.max(1)],
            erases: 0,
            programs: 0,
        }
    }

    /// Pages erased so far.
    pub fn erases(&self) -> u64 {
        self.erases
    }

    /// Words programmed so far.
    pub fn programs(&self) -> u64 {
        self.programs
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.shape.bytes();
        bytemuck::cast_slice_mut(&mut self.lines).get_mut(..bytes).unwrap_or_default()
    }
}

impl Flash for NorFlash {
    type Error = Violation;

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines).get(..self.shape.bytes()).unwrap_or(&[])
    }

    fn word_bytes(&self) -> usize {
        self.shape.word_bytes
    }

    fn page_at(&self, offset: usize) -> Option<Range<usize>> {
        let mut start = 0;
        for pages in self.shape.pages {
            let end = start + pages.count * pages.bytes;
            if offset < end {
                let page = start + (offset - start) / pages.bytes * pages.bytes;
                return Some(page..page + pages.bytes);
            }
            start = end;
        }
        None
    }

    fn erase_page(&mut self, start: usize) -> Result<(), Violation> {
        let page =
            self.page_at(start).filter(|page| page.start == start).ok_or(Violation::NoPageStart { offset: start })?;
        let words = page.start / self.shape.word_bytes..page.end / self.shape.word_bytes;
        self.bytes_mut().get_mut(page).unwrap_or_default().fill(ERASED);
        self.writes.get_mut(words).unwrap_or_default().fill(0);
        self.erases += 1;
        Ok(())
    }

    fn program_word(&mut self, offset: usize, word: &[u8]) -> Result<(), Violation> {
        let FlashShape { word_bytes, writes: limit, .. } = self.shape;
        if word.len() != word_bytes {
            return Err(Violation::WordSize { given: word.len(), word_bytes });
        }
        if !offset.is_multiple_of(word_bytes) {
            return Err(Violation::Misaligned { offset, word_bytes });
        }
        let end = self.shape.bytes();
        if offset >= end {
            return Err(Violation::OutOfRange { offset, end });
        }
        let written = self.bytes().get(offset..offset + word_bytes).unwrap_or(&[]);
        if written.iter().zip(word).any(|(old, new)| !old & new != 0) {
            return Err(Violation::NotErased { offset });
        }
        let writes = self.writes.get_mut(offset / word_bytes).ok_or(Violation::OutOfRange { offset, end })?;
        if limit != u8::MAX && *writes >= limit {
            return Err(Violation::WrittenTooOften { offset, limit });
        }
        *writes = writes.saturating_add(1);
        self.bytes_mut().get_mut(offset..offset + word_bytes).unwrap_or_default().copy_from_slice(word);
        self.programs += 1;
        Ok(())
    }
}
