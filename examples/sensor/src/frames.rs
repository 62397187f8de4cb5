//! From the bytes of lines to frames of counts.

use latch_engine::input::samples::MAX_CHANNELS;

/// The line that is being read.
pub struct Frames {
    counts: [i16; MAX_CHANNELS as usize],
    channels: usize,
    /// Numbers that have ended in this line, all of them in range so far.
    numbers: usize,
    /// The digits so far, without their sign; `None` between two numbers.
    digits: Option<i32>,
    negative: bool,
    is_empty: bool,
    is_wrong: bool,
    last: u8,
}

/// What a byte has brought to its end.
pub enum Read<'f> {
    /// A line with a frame.
    Frame(&'f [i16]),
    /// An empty line.
    End,
    /// A line that is no frame: what is wrong with it.
    Wrong(&'static str),
}

impl Frames {
    /// At the beginning of a line; a frame has so many `channels`.
    pub fn new(channels: usize) -> Self {
        let counts = [0; MAX_CHANNELS as usize];
        Frames {
            counts,
            channels,
            numbers: 0,
            digits: None,
            negative: false,
            is_empty: true,
            is_wrong: false,
            last: b'\n',
        }
    }

    /// Takes in the next byte.
    pub fn read(&mut self, byte: u8) -> Option<Read<'_>> {
        let last = core::mem::replace(&mut self.last, byte);
        match byte {
            // Terminals end a line with either or both.
            b'\n' if last == b'\r' => None,
            b'\n' | b'\r' => {
                self.end_number();
                Some(self.end_line())
            }
            b'0'..=b'9' => {
                let digits = self.digits.unwrap_or(0).saturating_mul(10).saturating_add(i32::from(byte - b'0'));
                self.digits = Some(digits);
                self.is_empty = false;
                None
            }
            b'-' if self.digits.is_none() && !self.negative => {
                (self.negative, self.is_empty) = (true, false);
                None
            }
            b' ' | b',' | b'\t' => {
                self.end_number();
                None
            }
            _ => {
                (self.is_wrong, self.is_empty) = (true, false);
                None
            }
        }
    }

    fn end_number(&mut self) {
        let negative = core::mem::take(&mut self.negative);
        match self.digits.take() {
            Some(digits) => {
                match (self.counts.get_mut(self.numbers), i16::try_from(if negative { -digits } else { digits })) {
                    (Some(place), Ok(count)) => {
                        *place = count;
                        self.numbers += 1;
                    }
                    _ => self.is_wrong = true,
                }
            }
            None => self.is_wrong |= negative,
        }
    }

    fn end_line(&mut self) -> Read<'_> {
        let (numbers, is_wrong) = (core::mem::take(&mut self.numbers), core::mem::take(&mut self.is_wrong));
        if core::mem::replace(&mut self.is_empty, true) {
            return Read::End;
        }
        match self.counts.get(..numbers) {
            Some(_) if is_wrong => Read::Wrong("a frame is whole numbers from -32768 to 32767; the line is left out"),
            Some(counts) if numbers == self.channels => Read::Frame(counts),
            _ => Read::Wrong("a frame has a number for each channel; the line is left out"),
        }
    }
}
