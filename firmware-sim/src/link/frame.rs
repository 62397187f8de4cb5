//! Frames: messages on a line that loses, adds and changes bytes.
//!
//! ```text
//! frame = COBS( message ++ (CRC-32 of the message XOR session), little-endian ) ++ 0x00
//! ```
//!
//! The session's number is in every checksum: what another session left on the line looks damaged in this one. 0 is no session: what is said
//! before one begins.
//!
//! No byte of a coded frame is 0x00 but its last, so that whoever comes late, or has lost bytes, is in step again behind the next 0x00.
//! What does not decode, or has another checksum, was damaged on the way and is passed over without a word. A message has at most 250
//! bytes, so that its code has one byte of overhead.

use cobs::{DecodeResult, DecoderState};
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// Bytes that a frame adds to its message: the code's overhead, the CRC-32 and the 0x00 at the end.
pub const FRAME_OVERHEAD: usize = 1 + CRC_BYTES + 1;

const CRC_BYTES: usize = 4;

/// The longest message, whatever its frame could hold.
const LONGEST_MESSAGE: usize = 250;

/// CRC-32/ISO-HDLC, as images have it. Without a table: frames are short, and flash is dear.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// A frame of at most `N` bytes, 7 to 256: [`FRAME_OVERHEAD`] and the message, which is written piece by piece in postcard's format.
///
/// What does not fit is left out; [`Frame::is_full`] tells.
#[derive(Debug)]
pub struct Frame<const N: usize> {
    /// The first byte is left to the code.
    bytes: [u8; N],
    /// Bytes in use, the first one included.
    length: usize,
    full: bool,
}

impl<const N: usize> Default for Frame<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Frame<N> {
    /// An empty frame.
    pub const fn new() -> Self {
        Frame { bytes: [0; N], length: 1, full: false }
    }

    /// Begins another message, with nothing in it.
    pub fn clear(&mut self) {
        self.length = 1;
        self.full = false;
    }

    /// Adds a byte to the message. Never inlined, as the next two: a message has many, and a chip's flash is small.
    #[inline(never)]
    pub fn byte(&mut self, byte: u8) {
        if self.length > LONGEST_MESSAGE || self.length + CRC_BYTES + 1 >= N {
            self.full = true;
        } else {
            self.put(byte);
        }
    }

    /// Adds a number of any width: seven bits a byte, the lowest first, and the highest bit says that more follow.
    #[inline(never)]
    pub fn number(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// Adds bytes as they are.
    #[inline(never)]
    pub fn raw(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(byte);
        }
    }

    /// True when something did not fit since [`Frame::clear`].
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Ends the message: adds the checksum with the session's number in it and codes both. Afterwards there is a frame to send, and nothing
    /// can be added before [`Frame::clear`].
    pub fn seal(&mut self, session: u32) -> &[u8] {
        let crc = CRC.checksum(self.bytes.get(1..self.length).unwrap_or(&[])) ^ session;
        for byte in crc.to_le_bytes() {
            self.put(byte);
        }
        // The code of a run is its distance to the next zero or to the end, and takes the place of the zero before it.
        let mut distance = 1;
        for byte in self.bytes.get_mut(..self.length).unwrap_or(&mut []).iter_mut().skip(1).rev() {
            if *byte == 0 {
                *byte = distance;
                distance = 1;
            } else {
                distance += 1;
            }
        }
        if let Some(first) = self.bytes.first_mut() {
            *first = distance;
        }
        self.put(0);
        self.bytes()
    }

    /// The sealed frame.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn put(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

/// What a frame brought. Of a damaged frame the session is any number: whoever takes a message looks at it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// The session that sealed it, see [`Frame::seal`].
    pub session: u32,
    /// The CRC-32 of the message.
    pub crc: u32,
    /// The message.
    pub bytes: &'m [u8],
}

impl<'m> Message<'m> {
    /// The number at its front, as [`Frame::number`] writes one, and what is behind it.
    pub fn numbered(&self) -> Option<(u32, &'m [u8])> {
        let mut number = 0_u32;
        for (index, &byte) in self.bytes.iter().enumerate().take(5) {
            let seven = u32::from(byte & 0x7F);
            // Of the fifth byte only four bits have room.
            if index == 4 && seven > 0x0F {
                return None;
            }
            number |= seven << (7 * index);
            if byte < 0x80 {
                return Some((number, self.bytes.get(index + 1..)?));
            }
        }
        None
    }
}

/// Finds messages in bytes as they come, with room for messages of `N - 4` bytes. Longer ones are passed over.
#[derive(Debug)]
pub struct Reader<const N: usize> {
    state: DecoderState,
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Reader<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Reader<N> {
    /// A reader at the beginning of a line.
    pub const fn new() -> Self {
        Reader { state: DecoderState::Idle, bytes: [0; N], length: 0 }
    }

    /// Takes the next byte. At the end of a frame there is its message, which is sound if its session is one that is known here.
    pub fn take(&mut self, byte: u8) -> Option<Message<'_>> {
        match self.state.feed(byte) {
            Ok(DecodeResult::DataContinue(byte)) => {
                if let Some(place) = self.bytes.get_mut(self.length) {
                    *place = byte;
                }
                // One that is too long counts on, up to a length that no slice of the bytes has.
                self.length = (self.length + 1).min(N + 1);
                None
            }
            Ok(DecodeResult::NoData) => None,
            Err(_) => {
                self.length = 0;
                None
            }
            Ok(DecodeResult::DataComplete) => {
                let length = core::mem::replace(&mut self.length, 0);
                let (message, crc) = self.bytes.get(..length)?.split_last_chunk::<CRC_BYTES>()?;
                let own = CRC.checksum(message);
                let session = u32::from_le_bytes(*crc) ^ own;
                Some(Message { session, crc: own, bytes: message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: u32 = 0x0102_0304;

    fn read<const N: usize>(reader: &mut Reader<N>, bytes: &[u8]) -> Vec<Vec<u8>> {
        let sound = |message: Message<'_>| (message.session == SESSION).then(|| message.bytes.to_vec());
        bytes.iter().filter_map(|&byte| reader.take(byte).and_then(sound)).collect()
    }

    #[test]
    fn a_frame_has_the_specified_bytes() {
        let mut frame = Frame::<32>::new();
        frame.raw(&[7, 0]);
        // The CRC-32 of 07 00, as zip has it, is 38 84 98 0e in little-endian order, and the session 04 03 02 01.
        assert_eq!(frame.seal(SESSION), [2, 7, 5, 0x3c, 0x87, 0x9a, 0x0f, 0]);
        assert_eq!(read(&mut Reader::<8>::new(), frame.bytes()), [[7, 0]]);
    }

    #[test]
    fn every_length_and_any_zeros_come_back_and_a_longest_message_fits() {
        let mut frame = Frame::<256>::new();
        let mut reader = Reader::<254>::new();
        for length in 0..=LONGEST_MESSAGE {
            for step in [1, 2, 7, 255] {
                let message: Vec<u8> = (0..length).map(|index| ((index + 1) % step) as u8).collect();
                frame.clear();
                frame.raw(&message);
                assert!(!frame.is_full());
                let coded = frame.seal(SESSION);
                assert_eq!(coded.len(), length + FRAME_OVERHEAD);
                assert_eq!(coded.iter().position(|&byte| byte == 0), Some(coded.len() - 1));
                assert_eq!(read(&mut reader, coded), [message]);
            }
        }
        frame.clear();
        frame.raw(&[1; LONGEST_MESSAGE]);
        assert!(!frame.is_full());
        frame.byte(1);
        assert!(frame.is_full());
        assert_eq!(read(&mut reader, frame.seal(SESSION)), [[1; LONGEST_MESSAGE]]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_told_until_the_next_message() {
        let mut frame = Frame::<{ 3 + FRAME_OVERHEAD }>::new();
        frame.raw(&[1, 2, 3]);
        assert!(!frame.is_full());
        frame.byte(4);
        assert!(frame.is_full());
        assert_eq!(read(&mut Reader::<16>::new(), frame.seal(SESSION)), [[1, 2, 3]]);
        frame.clear();
        assert!(!frame.is_full());
    }

    #[test]
    fn numbers_are_postcards() {
        for number in [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, u32::MAX] {
            let mut frame = Frame::<32>::new();
            frame.number(number);
            let expected = postcard::to_stdvec(&number).expect("a number can be written");
            assert_eq!(read(&mut Reader::<16>::new(), frame.seal(SESSION)), std::slice::from_ref(&expected));
            let bytes = [&expected[..], &[7]].concat();
            assert_eq!(Message { session: 0, crc: 0, bytes: &bytes }.numbered(), Some((number, &[7][..])));
        }
    }

    #[test]
    fn what_is_no_number_of_32_bits_is_none() {
        for bytes in [&[][..], &[0x80], &[0xFF; 4], &[0xFF, 0xFF, 0xFF, 0xFF, 0x10], &[0xFF; 6]] {
            assert_eq!(Message { session: 0, crc: 0, bytes }.numbered(), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_frame_of_another_session_is_none_of_this_one() {
        let mut frame = Frame::<32>::new();
        frame.raw(&[1, 2, 3]);
        assert_eq!(read(&mut Reader::<16>::new(), frame.seal(SESSION + 1)), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_frame_with_any_byte_changed_or_lost_is_passed_over_and_the_next_one_is_read() {
        let mut frame = Frame::<32>::new();
        frame.raw(&[1, 0, 200, 0, 0, 9]);
        let sound = frame.seal(SESSION).to_vec();
        let expected = [vec![1, 0, 200, 0, 0, 9]];
        for at in 0..sound.len() - 1 {
            for flip in 1..=255 {
                let mut damaged = sound.clone();
                damaged[at] ^= flip;
                damaged.extend(&sound);
                assert_eq!(read(&mut Reader::<10>::new(), &damaged), expected, "byte {at} changed by {flip:#x}");
            }
            let mut cut = sound.clone();
            cut.remove(at);
            cut.extend(&sound);
            assert_eq!(read(&mut Reader::<10>::new(), &cut), expected, "byte {at} lost");
        }
        // Its end lost, and a longer frame than the reader has room for.
        let late = [&sound[..sound.len() - 1], &sound, &sound].concat();
        assert_eq!(read(&mut Reader::<10>::new(), &late), expected);
        assert_eq!(read(&mut Reader::<9>::new(), &sound), Vec::<Vec<u8>>::new());
    }
}
