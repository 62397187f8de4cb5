//! Where texts come from on the host: a list of them, or the lines of a stream. A series is bytes as well: see
//! [`bytes_of`].

use std::io::{BufRead, Read};

use anyhow::{Context, Result};
use latch_data::composed::composed_bytes;
use latch_data::dataset::MAX_LINE;
use latch_engine::{Session, View};

use crate::board::Input;

/// A source of texts, piece by piece.
pub trait Source {
    /// Puts the next bytes at the front of `buffer`, which has room for at least one.
    ///
    /// # Errors
    /// When the source cannot be read or holds something else than texts.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Input>;

    /// The label of the text that is being read or has just ended, where it has one.
    fn label(&self) -> Option<u32>;
}

/// A text, and what is known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Its bytes, meant to be UTF-8; of a series those of its counts.
    pub bytes: Vec<u8>,
    /// Its class.
    pub label: Option<u32>,
}

/// The bytes in which a series comes to the program: its counts, frame after frame, 16 bits each, little-endian.
pub fn bytes_of(counts: impl IntoIterator<Item = i16>) -> Vec<u8> {
    counts.into_iter().flat_map(i16::to_le_bytes).collect()
}

/// Reads a whole text, or a whole series by its bytes, and calls `each` after every token or frame with its text.
///
/// # Errors
/// Those of [`Session::push_samples_each`].
pub fn read_whole<'s, 'm, 'a>(
    session: &mut Session<'s, 'm, 'a>,
    bytes: &[u8],
    mut each: impl FnMut(&mut View<'s, 'm, 'a>, &[u8]),
) -> Result<(), latch_engine::Error> {
    if session.model().channels() == 0 {
        session.push_bytes_each(bytes, &mut each);
        session.finish_each(&mut each);
        return Ok(());
    }
    let counts: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|&count| i16::from_le_bytes(count)).collect();
    session.push_samples_each(&counts, |view| each(view, &[]))
}

/// The texts of an iterator, one after the other.
pub struct Texts<I> {
    texts: I,
    text: Option<Text>,
    at: usize,
    label: Option<u32>,
}

impl<I: Iterator<Item = Result<Text>>> Texts<I> {
    /// The source of these texts.
    pub fn new(texts: I) -> Self {
        Texts { texts, text: None, at: 0, label: None }
    }
}

impl<I: Iterator<Item = Result<Text>>> Source for Texts<I> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Input> {
        let text = match &self.text {
            Some(text) => text,
            None => match self.texts.next() {
                None => return Ok(Input::End),
                Some(text) => {
                    let text = text?;
                    self.at = 0;
                    self.label = text.label;
                    self.text.insert(text)
                }
            },
        };
        let rest = text.bytes.get(self.at..).unwrap_or(&[]);
        if rest.is_empty() {
            self.text = None;
            return Ok(Input::EndOfText);
        }
        let count = copy(rest, buffer);
        self.at += count;
        Ok(Input::Bytes(count))
    }

    fn label(&self) -> Option<u32> {
        self.label
    }
}

/// The lines of a stream, each a text in Unicode's form NFC, as they arrive. A line may be of any length; one of more than [`MAX_LINE`]
/// bytes is taken in pieces of so many, which stay as they are, and a rest.
pub struct Lines<R> {
    reader: R,
    /// The line that is being read, or a piece of a longer one.
    line: Vec<u8>,
    at: usize,
    /// The text ends behind it.
    ends: bool,
}

impl<R: BufRead> Lines<R> {
    /// The source of the reader's lines.
    pub fn new(reader: R) -> Self {
        Lines { reader, line: Vec::new(), at: 0, ends: false }
    }
}

impl<R: BufRead> Source for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Input> {
        if self.at == self.line.len() && !self.ends {
            self.at = 0;
            self.line.clear();
            let piece = self.reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line);
            if piece.context("reading standard input")? == 0 {
                return Ok(Input::End);
            }
            self.ends = self.line.pop_if(|last| *last == b'\n').is_some();
            if self.line.len() <= MAX_LINE {
                self.line = composed_bytes(std::mem::take(&mut self.line));
            }
        }
        let rest = self.line.get(self.at..).unwrap_or(&[]);
        if rest.is_empty() {
            self.ends = false;
            return Ok(Input::EndOfText);
        }
        let count = copy(rest, buffer);
        self.at += count;
        Ok(Input::Bytes(count))
    }

    fn label(&self) -> Option<u32> {
        None
    }
}

/// Copies as much as fits, and says how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn collect(source: &mut dyn Source, chunk: usize) -> Vec<String> {
        let (mut texts, mut open) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; chunk];
        loop {
            match source.read(&mut buffer).expect("memory can be read") {
                Input::Bytes(count) => open.extend_from_slice(&buffer[..count]),
                Input::EndOfText => texts.push(String::from_utf8(std::mem::take(&mut open)).expect("UTF-8")),
                Input::Restart => panic!("no source begins anew"),
                Input::End => {
                    if !open.is_empty() {
                        texts.push(String::from_utf8(open).expect("UTF-8"));
                    }
                    return texts;
                }
            }
        }
    }

    #[test]
    fn a_text_and_a_line_arrive_whole_in_pieces_of_any_size() {
        let texts = ["not bad", "", "x"];
        for chunk in 1..9 {
            let list = texts.map(|text| Ok(Text { bytes: text.into(), label: None }));
            assert_eq!(collect(&mut Texts::new(list.into_iter()), chunk), texts);
            assert_eq!(collect(&mut Lines::new(Cursor::new("not bad\n\nx\n")), chunk), texts);
            assert_eq!(collect(&mut Lines::new(Cursor::new("not bad\n\nx")), chunk), texts);
            assert_eq!(collect(&mut Lines::new(Cursor::new("")), chunk), Vec::<String>::new());
            // Both spellings of an accent are the same text.
            assert_eq!(collect(&mut Lines::new(Cursor::new("cafe\u{301}\ncaf\u{e9}\n")), chunk), ["caf\u{e9}"; 2]);
        }
    }
}
