//! The header's bytes: records of a tag, a length and postcard, read by hand in a fraction of the code that a general reader takes of a
//! chip's flash. Everything here can run while a program is compiled.
//!
//! The reader takes what `postcard::take_from_bytes` takes, bit for bit, and refuses what that refuses; a property test holds it to that.

/// Bytes that have not been read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

/// The value of an option, or `None` out of the function: `?` for functions that run while a program is compiled.
macro_rules! some {
    ($option:expr) => {
        match $option {
            Some(value) => value,
            None => return None,
        }
    };
}
pub(crate) use some;

impl<'a> Reader<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn byte(&mut self) -> Option<u8> {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                Some(byte)
            }
            None => None,
        }
    }

    pub(crate) const fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        match self.0.split_at_checked(count) {
            Some((bytes, rest)) => {
                self.0 = rest;
                Some(bytes)
            }
            None => None,
        }
    }

    pub(crate) const fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        match self.0.split_first_chunk::<N>() {
            Some((array, rest)) => {
                self.0 = rest;
                Some(*array)
            }
            None => None,
        }
    }

    /// A LEB128 varint of a number with so many bits: at most as many bytes as these fill, and no bit beyond them in the last.
    #[inline(never)]
    const fn varint(&mut self, bits: u32) -> Option<u64> {
        let mut value = 0;
        let mut shift = 0;
        while shift < bits {
            let byte = some!(self.byte());
            value |= ((byte & 0x7F) as u64) << shift;
            if byte < 0x80 {
                let room = bits - shift;
                return if room >= 7 || byte as u32 >> room == 0 { Some(value) } else { None };
            }
            shift += 7;
        }
        None
    }

    pub(crate) const fn u16(&mut self) -> Option<u16> {
        match self.varint(16) {
            Some(value) => Some(value as u16),
            None => None,
        }
    }

    pub(crate) const fn u32(&mut self) -> Option<u32> {
        match self.varint(32) {
            Some(value) => Some(value as u32),
            None => None,
        }
    }

    pub(crate) const fn u64(&mut self) -> Option<u64> {
        self.varint(64)
    }

    pub(crate) const fn bool(&mut self) -> Option<bool> {
        match self.byte() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        }
    }

    /// A varint length and as many bytes.
    pub(crate) const fn sequence(&mut self) -> Option<&'a [u8]> {
        let count = some!(self.u32());
        self.bytes(count as usize)
    }
}

/// A record of the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Which record, without [`CRITICAL`].
    pub(crate) tag: u8,
    /// An engine that does not know it must refuse the image.
    pub(crate) critical: bool,
    /// What it says.
    pub(crate) content: Reader<'a>,
}

/// The bit of a tag that marks a record without which the model cannot be understood.
pub(crate) const CRITICAL: u8 = 0x80;

/// The next record; `None` when the bytes end within it.
pub(crate) const fn record<'a>(header: &mut Reader<'a>) -> Option<Record<'a>> {
    let tag = some!(header.byte());
    let content = some!(header.sequence());
    Some(Record { tag: tag & !CRITICAL, critical: tag & CRITICAL != 0, content: Reader(content) })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_postcard_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            macro_rules! alike {
                ($($type:ident)*) => {
                    $(let theirs = postcard::take_from_bytes::<$type>(&bytes).ok();
                    let mut reader = Reader(&bytes);
                    let ours = reader.$type().map(|value| (value, reader.0));
                    prop_assert_eq!(ours, theirs);)*
                };
            }
            alike!(u16 u32 u64 bool);
            let theirs = postcard::take_from_bytes::<&[u8]>(&bytes).ok();
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.sequence().map(|value| (value, reader.0)), theirs);
        }
    }
}
