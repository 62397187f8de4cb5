//! NOR flash: the rules under which it is written, and the slot that holds an image.
//!
//! Erasing sets all bits of a page to 1; programming can only clear them, a whole aligned word at a time, and on most parts not
//! twice between two erases. A [`Slot`] lives within these rules, so that the same lines serve the simulated flash and a chip's
//! controller.
//!
//! What it leaves out: wear levelling and a second slot. An update overwrites the image that was there; a firmware that must
//! survive a failed update keeps two slots and opens the one that verifies.

use core::ops::Range;

use latch_engine::image::{ALIGNMENT, Image};

/// The largest program word that [`Slot::program`] can fill: a page of serial NOR flash.
pub const MAX_WORD_BYTES: usize = 256;

/// What a byte of flash reads after erasing.
pub const ERASED: u8 = 0xFF;

/// A memory-mapped NOR flash. Offsets are bytes from its first byte.
pub trait Flash {
    /// What its controller can refuse.
    type Error;

    /// The whole flash as the processor reads it.
    fn bytes(&self) -> &[u8];

    /// Bytes of a program word: a power of two, at most [`MAX_WORD_BYTES`].
    fn word_bytes(&self) -> usize;

    /// The page (the smallest piece that can be erased) that holds `offset`; `None` past the end. Pages may differ in size.
    fn page_at(&self, offset: usize) -> Option<Range<usize>>;

    /// Erases the page that starts at `start`.
    ///
    /// # Errors
    /// When `start` is no page's start, or the controller fails.
    fn erase_page(&mut self, start: usize) -> Result<(), Self::Error>;

    /// Programs one word. `offset` is a multiple of [`Flash::word_bytes`], and `word` has as many bytes. Bits can only go from 1 to 0.
    ///
    /// # Errors
    /// When a rule of the part is broken, or the controller fails.
    fn program_word(&mut self, offset: usize, word: &[u8]) -> Result<(), Self::Error>;
}

/// A run of whole pages that holds one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    start: usize,
    bytes: usize,
}

/// Why an image is not in its slot. `E` is [`Flash::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError<E> {
    /// The slot does not lie on whole pages of this flash, or not on a multiple of 16.
    #[error("a slot of {bytes} bytes at {start:#x} does not lie on whole pages: begin it where a page begins")]
    Place {
        /// Offset of the slot.
        start: usize,
        /// Bytes of the slot.
        bytes: usize,
    },
    /// The image is larger than the slot.
    #[error(
        "the image needs {needed} bytes of flash and the slot has {available}: make the slot larger, or the model smaller"
    )]
    TooLarge {
        /// Bytes needed, in whole program words.
        needed: usize,
        /// Bytes of the slot.
        available: usize,
    },
    /// The flash refused an operation.
    #[error("the flash refused an operation")]
    Flash(#[source] E),
    /// What was read back is not what was programmed.
    #[error(
        "the flash reads back another byte than was programmed at {offset:#x}: the flash is worn out or write-protected"
    )]
    ReadBack {
        /// Offset in the flash of the first byte that differs.
        offset: usize,
    },
    /// What lies in the slot is no image.
    #[error(transparent)]
    Image(#[from] latch_engine::Error),
}

/// What programming a slot took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programmed {
    /// Pages erased.
    pub pages: usize,
    /// Words programmed.
    pub words: usize,
    /// Bytes programmed: the image, filled up to a whole word.
    pub bytes: usize,
}

impl Slot {
    /// The slot of `bytes` bytes at offset `start`. Whether it suits a flash is checked when it is programmed.
    pub const fn new(start: usize, bytes: usize) -> Self {
        Slot { start, bytes }
    }

    /// The largest slot that leaves the first `reserve` bytes of the flash to the firmware: from the next page's start to the end.
    /// `None` when the flash ends before.
    pub fn behind<F: Flash>(flash: &F, reserve: usize) -> Option<Self> {
        let mut start = 0;
        while start < reserve || !start.is_multiple_of(ALIGNMENT) {
            start = flash.page_at(start)?.end;
        }
        let bytes = flash.bytes().len().checked_sub(start)?;
        (bytes > 0).then_some(Slot { start, bytes })
    }

    /// Offset of its first byte in the flash.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Its length in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Erases what the image needs, programs it and verifies it: byte by byte, and by opening it where it lies.
    ///
    /// The word with the image's first letters is erased first and programmed last. Wherever the power fails, the slot holds a
    /// whole image or none.
    ///
    /// # Errors
    /// [`SlotError::Place`] and [`SlotError::TooLarge`] before anything is erased; afterwards any other variant, and the slot then
    /// holds no image that opens, or one that is not `image`.
    pub fn program<F: Flash>(&self, flash: &mut F, image: &[u8]) -> Result<Programmed, SlotError<F::Error>> {
        self.check_place(flash)?;
        let word_bytes = flash.word_bytes();
        let needed = image.len().max(1).next_multiple_of(word_bytes);
        if needed > self.bytes {
            return Err(SlotError::TooLarge { needed, available: self.bytes });
        }

        let mut pages = 0;
        let mut offset = self.start;
        while offset < self.start + needed {
            let Some(page) = flash.page_at(offset) else { return Err(self.misplaced()) };
            flash.erase_page(page.start).map_err(SlotError::Flash)?;
            pages += 1;
            offset = page.end;
        }

        let mut words = 0;
        let mut word = [ERASED; MAX_WORD_BYTES];
        let (first, rest) = image.split_at(word_bytes.min(image.len()));
        let later = rest.chunks(word_bytes).zip(1..).map(|(bytes, index)| (index, bytes));
        for (index, bytes) in later.chain([(0, first)]) {
            let Some(word) = word.get_mut(..word_bytes) else { return Err(self.misplaced()) };
            word.fill(ERASED);
            for (to, &from) in word.iter_mut().zip(bytes) {
                *to = from;
            }
            flash.program_word(self.start + index * word_bytes, word).map_err(SlotError::Flash)?;
            words += 1;
        }

        let written = flash.bytes().get(self.start..).unwrap_or(&[]);
        if let Some(place) = (0..image.len()).find(|&at| written.get(at) != image.get(at)) {
            return Err(SlotError::ReadBack { offset: self.start + place });
        }
        self.open(flash)?;
        Ok(Programmed { pages, words, bytes: needed })
    }

    /// The slot as the processor reads it; empty where the flash ends before it.
    pub fn contents<'f, F: Flash>(&self, flash: &'f F) -> &'f [u8] {
        self.start.checked_add(self.bytes).and_then(|end| flash.bytes().get(self.start..end)).unwrap_or(&[])
    }

    /// Opens the image in place.
    ///
    /// # Errors
    /// Those of [`Image::open`]; an erased slot is [`latch_engine::Error::NotAnImage`].
    pub fn open<'f, F: Flash>(&self, flash: &'f F) -> Result<Image<'f>, latch_engine::Error> {
        Image::open(self.contents(flash))
    }

    /// The slot starts where a page starts, ends where one ends, and words fit it.
    fn check_place<F: Flash>(&self, flash: &F) -> Result<(), SlotError<F::Error>> {
        let word_bytes = flash.word_bytes();
        let last = self.start.checked_add(self.bytes).and_then(|end| end.checked_sub(1));
        let fits = self.bytes > 0
            && flash.page_at(self.start).is_some_and(|page| page.start == self.start)
            && last.and_then(|last| flash.page_at(last)).is_some_and(|page| Some(page.end - 1) == last)
            && self.start.is_multiple_of(ALIGNMENT)
            && word_bytes.is_power_of_two()
            && word_bytes <= MAX_WORD_BYTES;
        if fits { Ok(()) } else { Err(self.misplaced()) }
    }

    fn misplaced<E>(&self) -> SlotError<E> {
        SlotError::Place { start: self.start, bytes: self.bytes }
    }
}
