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

    /// A LEB128 varint of a number with so many bits, at most 32: at most as many bytes as these fill, and no bit beyond them in the last.
    #[inline(never)]
    const fn varint(&mut self, bits: u32) -> Option<u32> {
        let mut value = 0;
        let mut shift = 0;
        while shift < bits {
            let byte = some!(self.byte()) as u32;
            value |= (byte & 0x7F) << shift;
            if byte < 0x80 {
                let room = bits - shift;
                return if room >= 7 || byte >> room == 0 { Some(value) } else { None };
            }
            shift += 7;
        }
        None
    }

    pub(crate) const fn u32(&mut self) -> Option<u32> {
        self.varint(32)
    }

    /// The same of 64 bits, which no chip reads when it opens an image.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.byte()?);
            value |= (byte & 0x7F) << shift;
            if byte < 0x80 {
                return (shift < 63 || byte < 2).then_some(value);
            }
        }
        None
    }

    /// A varint length and as many bytes.
    pub(crate) const fn sequence(&mut self) -> Option<&'a [u8]> {
        let count = some!(self.u32());
        self.bytes(count as usize)
    }
}

/// The fields of a record, in order. Once one cannot be read, all that follow are 0, and [`Fields::are_read`] is false: who reads them asks once, at the end.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: Reader<'a>,
    failed: bool,
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(content: Reader<'a>) -> Self {
        Fields { rest: content, failed: false }
    }

    /// True where every field could be read, and none is left.
    pub(crate) const fn are_read(&self) -> bool {
        !self.failed && self.rest.is_empty()
    }

    /// A field has a value that means nothing; gives what stands in its place.
    pub(crate) const fn refuse<T: Copy>(&mut self, instead: T) -> T {
        self.failed = true;
        instead
    }

    /// Leaves out what is left.
    pub(crate) const fn pass_over(&mut self) {
        self.rest = Reader(&[]);
    }

    #[inline(never)]
    const fn number(&mut self, bits: u32) -> u32 {
        match self.rest.varint(bits) {
            Some(value) if !self.failed => value,
            _ => self.refuse(0),
        }
    }

    #[inline(never)]
    pub(crate) const fn byte(&mut self) -> u8 {
        match self.rest.byte() {
            Some(byte) if !self.failed => byte,
            _ => self.refuse(0),
        }
    }

    pub(crate) const fn u16(&mut self) -> u16 {
        self.number(16) as u16
    }

    pub(crate) const fn u32(&mut self) -> u32 {
        self.number(32)
    }

    #[inline(never)]
    pub(crate) const fn bool(&mut self) -> bool {
        match self.byte() {
            0 => false,
            1 => true,
            _ => self.refuse(false),
        }
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
            alike!(u32 u64);
            macro_rules! alike {
                ($($read:ident $type:ident)*) => {
                    $(let theirs = postcard::take_from_bytes::<$type>(&bytes).ok();
                    let mut fields = Fields::of(Reader(&bytes));
                    let value = fields.$read();
                    prop_assert_eq!((!fields.failed).then_some((value, fields.rest.0)), theirs);
                    if fields.failed {
                        prop_assert_eq!((value, fields.u16(), fields.bool()), Default::default());
                        prop_assert!(!fields.are_read());
                    })*
                };
            }
            alike!(byte u8 u16 u16 u32 u32 bool bool);
            let theirs = postcard::take_from_bytes::<&[u8]>(&bytes).ok();
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.sequence().map(|value| (value, reader.0)), theirs);
        }
    }
}
