//! The lines of a text file: decompressed, decoded, counted, limited, checked to be UTF-8.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use encoding_rs::Encoding;
use flate2::bufread::MultiGzDecoder;

use super::encoding::{self, Decoded};
use super::{Place, foreign};
use crate::error::{Fault, fault, open_file, reading};

/// The longest line, CSV record or review file that is read: 4 MiB. The longest IMDb review has 14 kB; a line beyond this limit is
/// some other kind of file, and is refused before it fills the memory.
pub const MAX_LINE: usize = 4 << 20;

/// The bytes from which the layout of a file is told.
pub(crate) const HEAD: u64 = 1 << 18;

/// A reader that has failed, and says so when it is its turn.
struct Failing(Option<io::Error>);

impl Failing {
    fn fail(&mut self) -> io::Error {
        self.0.take().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.fail())
    }
}

impl BufRead for Failing {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Err(self.fail())
    }

    fn consume(&mut self, _: usize) {}
}

/// A file that counts the bytes that were read of it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// The lines of a text file, one at a time in the same buffer.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: Arc<Path>,
    /// What a line ends with: LF, or CR in a file that has no LF at its beginning.
    line_end: u8,
    /// The encoding, where it is not UTF-8.
    encoding: Option<&'static Encoding>,
    /// Bytes that were read of the file, compressed as it is, and all that it has.
    read: Arc<AtomicU64>,
    size: u64,
    /// The number of the line in `buffer`, from 1.
    number: u64,
    /// Where the line in `buffer` starts in the decompressed text, in bytes.
    start: u64,
    /// Where the next line starts.
    end: u64,
    buffer: Vec<u8>,
    /// No line so far had a text.
    is_blank: bool,
    /// The bytes that a line may have.
    most: usize,
}

impl Lines {
    /// Opens `path`. Its first bytes decide whether it is decompressed; `compressed` is what its name says. Its text is in the encoding that a
    /// byte-order mark says, else in the one that was `asked` for, else in UTF-8.
    ///
    /// # Errors
    /// A fault if it cannot be read, or is no text by its first bytes.
    pub(crate) fn open(path: &Path, compressed: bool, asked: Option<&'static Encoding>) -> Result<Self> {
        let file = open_file(path)?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let read = Arc::new(AtomicU64::new(0));
        let mut file = BufReader::with_capacity(1 << 16, Counted { file, read: Arc::clone(&read) });
        let start = file.fill_buf().map_err(|error| reading(path, error))?;
        foreign::refuse(path, start)?;
        let gzip = start.starts_with(&[0x1f, 0x8b]);
        if compressed && !gzip && !start.is_empty() {
            return Err(fault(
                path.display(),
                "its name ends in .gz, but it is not compressed with gzip",
                "compress it, or remove .gz from its name",
            )
            .into());
        }
        let mut reader: Box<dyn BufRead + Send> =
            if gzip { Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))) } else { Box::new(file) };
        let mut start = Vec::new();
        let failure = reader.by_ref().take(3).read_to_end(&mut start).err();
        let encoding = encoding::of(&start, asked);
        let start = Cursor::new(start);
        let reader: Box<dyn BufRead + Send> = match failure {
            None => Box::new(start.chain(reader)),
            Some(error) => Box::new(start.chain(Failing(Some(error)))),
        };
        let reader = match encoding {
            Some(encoding) => Box::new(BufReader::with_capacity(1 << 16, Decoded::new(path, reader, encoding))),
            None => reader,
        };
        Ok(Self { encoding, read, size, ..Self::new(path, reader) })
    }

    /// The lines of `reader`; messages name `path`.
    pub(super) fn new(path: &Path, reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            path: path.into(),
            line_end: b'\n',
            encoding: None,
            read: Arc::default(),
            size: 0,
            number: 0,
            start: 0,
            end: 0,
            buffer: Vec::new(),
            is_blank: true,
            most: MAX_LINE,
        }
    }

    /// The first bytes of the text, at most [`HEAD`], without a byte-order mark; they are read again afterwards. Where lines end with CR alone, LF stands
    /// in its place.
    pub(crate) fn head(&mut self) -> Vec<u8> {
        let mut reader = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        let mut head = Vec::new();
        let error = reader.by_ref().take(HEAD).read_to_end(&mut head).err();
        let read = Cursor::new(head.clone());
        self.reader = match error {
            None => Box::new(read.chain(reader)),
            Some(error) => Box::new(read.chain(Failing(Some(error)))),
        };
        if head.starts_with("\u{feff}".as_bytes()) {
            head.drain(..3);
        }
        if head.contains(&b'\r') && !head.contains(&b'\n') {
            self.line_end = b'\r';
            head.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        head
    }

    /// [`Lines::head`] of a file that is text.
    ///
    /// # Errors
    /// A fault if there are zero bytes in it.
    pub(crate) fn checked_head(&mut self) -> Result<Vec<u8>, Fault> {
        let head = self.head();
        let Some(at) = head.iter().position(|&byte| byte == 0) else { return Ok(head) };
        // Every second byte of ASCII in UTF-16.
        let zeros = head.iter().filter(|&&byte| byte == 0).count();
        let place = self.path.display();
        Err(if 3 * zeros > head.len() && head.len() > 2 {
            let name = if at % 2 == 1 { "utf-16le" } else { "utf-16be" };
            let problem = "this may be text in UTF-16 without a byte-order mark: every second byte is zero";
            fault(place, problem, format!("name its encoding with --encoding {name}, or save it as UTF-8"))
        } else {
            let formats = "name a text file: .csv, .tsv (label<TAB>text a line), .json or .jsonl, each also with .gz";
            fault(place, "this is not a text file: it has zero bytes", formats)
        })
    }

    /// The same with lines of at most `most` bytes.
    pub(crate) fn with_lines_of(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Whether no line so far had a text.
    pub(super) fn is_blank(&self) -> bool {
        self.is_blank
    }

    /// What is said of the encoding, where it is not UTF-8.
    pub(crate) fn encoding(&self) -> Option<String> {
        self.encoding.map(|encoding| format!("encoding {}", encoding.name()))
    }

    /// Bytes that were read of the file, and all that it has.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.size)
    }

    /// The next byte, for a reader to whom lines are only what it counts; `None` at the end.
    pub(super) fn next_byte(&mut self) -> Result<Option<u8>> {
        let byte = match self.reader.fill_buf() {
            Ok(bytes) => bytes.first().copied(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.next_byte(),
            Err(error) => return Err(self.unreadable(error)),
        };
        if let Some(byte) = byte {
            self.reader.consume(1);
            self.number = self.number.max(1) + u64::from(byte == self.line_end);
            self.end += 1;
        }
        Ok(byte)
    }

    /// Goes to the next line that is not blank; false at the end.
    pub(crate) fn advance_to_text(&mut self) -> Result<bool> {
        let begin = self.end;
        while self.advance()? {
            if !self.buffer.trim_ascii().is_empty() {
                self.is_blank = false;
                return Ok(true);
            }
            if self.end - begin > MAX_LINE as u64 {
                return Err(fault(
                    self.place(),
                    format!("more than {MAX_LINE} bytes up to here are blank lines"),
                    "remove them, or check that the file is what its name says",
                )
                .into());
            }
        }
        Ok(false)
    }

    /// The current line, without its LF or CRLF.
    pub(crate) fn line(&self) -> Result<&str> {
        str::from_utf8(&self.buffer).map_err(|error| not_utf8(self.place(), error, self.start, &self.buffer))
    }

    /// The place of the current line, `path:line`.
    pub(crate) fn place(&self) -> Place {
        self.place_of(self.number)
    }

    /// The place of line `number`.
    pub(crate) fn place_of(&self, number: u64) -> Place {
        Place { path: Arc::clone(&self.path), line: Some(number) }
    }

    /// The number of the current line, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Goes to the next line; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.start = self.end;
        self.number += 1;
        // One CRLF more than a line may have: what is longer than that is not read any further.
        let limit = self.most as u64 + 2;
        let outcome = self.reader.by_ref().take(limit).read_until(self.line_end, &mut self.buffer);
        let length = outcome.map_err(|error| self.unreadable(error))?;
        self.end += length as u64;
        if length == 0 {
            return Ok(false);
        }
        if self.buffer.ends_with(&[self.line_end]) {
            self.buffer.pop();
            if self.buffer.ends_with(b"\r") {
                self.buffer.pop();
            }
        }
        if self.buffer.len() > self.most {
            return Err(longer_than(self.place(), self.most));
        }
        if self.number == 1 && self.buffer.starts_with("\u{feff}".as_bytes()) {
            self.buffer.drain(..3);
            self.start += 3;
        }
        Ok(true)
    }

    /// What to report for an error of the file, the decompressor or the decoder.
    fn unreadable(&self, error: io::Error) -> anyhow::Error {
        if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
            return fault.clone().into();
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                fault(self.place(), "the compressed file ends before its text does", "copy or download it again").into()
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                fault(self.place(), format!("the compressed file is damaged ({error})"), "copy or download it again")
                    .into()
            }
            _ => reading(&self.path, error),
        }
    }
}

/// The fault of a line, record or file above [`MAX_LINE`].
pub(super) fn too_long(place: impl std::fmt::Display) -> anyhow::Error {
    longer_than(place, MAX_LINE)
}

/// The fault of what is longer than `most` bytes.
fn longer_than(place: impl std::fmt::Display, most: usize) -> anyhow::Error {
    fault(
        place,
        format!("this text is longer than {most} bytes"),
        "divide it, or check that the file is what its name says",
    )
    .into()
}

/// The fault of bytes that are not UTF-8: of `text`, which starts `start` bytes into the file.
pub(super) fn not_utf8(
    place: impl std::fmt::Display,
    error: std::str::Utf8Error,
    start: u64,
    text: &[u8],
) -> anyhow::Error {
    let problem = format!("the text is not UTF-8 at byte offset {} of the file", start + error.valid_up_to() as u64);
    let guess = encoding::guessed(text);
    fault(place, problem, format!("name its encoding, which may be --encoding {guess}, or save the file as UTF-8"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fault_of, load_bytes};
    use super::*;
    use crate::error::exit_code;

    #[test]
    fn a_line_beyond_the_limit_is_refused_without_being_read() {
        // A reader that would never end, and that counts what is taken from it.
        struct Endless(std::sync::Arc<std::sync::atomic::AtomicUsize>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                self.0.fetch_add(buffer.len(), std::sync::atomic::Ordering::Relaxed);
                Ok(buffer.len())
            }
        }
        let taken = std::sync::Arc::default();
        let reader = BufReader::new(Endless(std::sync::Arc::clone(&taken)));
        let mut lines = Lines::new(Path::new("x.tsv"), Box::new(reader));
        let error = lines.advance().unwrap_err();
        assert!(error.to_string().contains("x.tsv:1: this text is longer"), "{error}");
        assert!(taken.load(std::sync::atomic::Ordering::Relaxed) < MAX_LINE + (1 << 16));
    }

    #[test]
    fn the_limit_itself_is_allowed_with_any_line_end() {
        for end in ["", "\n", "\r\n"] {
            for (length, fits) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
                let line = format!("0\tbad\n1\t{}{end}", "x".repeat(length - 2));
                let outcome = load_bytes("x.tsv", line.as_bytes());
                assert_eq!(outcome.is_ok(), fits, "{length} {end:?}");
                if let Err(error) = outcome {
                    assert_eq!(exit_code(&error), 2);
                    assert!(error.to_string().contains("x.tsv:2: "), "{error}");
                }
            }
        }
    }

    #[test]
    fn blank_lines_without_an_end_are_refused_at_once() {
        let reader = BufReader::new(io::repeat(b'\n'));
        let mut lines = Lines::new(Path::new("x.tsv"), Box::new(reader));
        let error = lines.advance_to_text().unwrap_err();
        assert!(error.to_string().contains("blank lines"), "{error}");
        assert_eq!((exit_code(&error), lines.number() as usize), (2, MAX_LINE + 1));
        // As many as a file may have, before and behind a row.
        let blank = "\n".repeat(MAX_LINE);
        let rows = format!("0\tbad\n{blank}1\tgood\n{blank}");
        assert_eq!(load_bytes("x.tsv", rows.as_bytes()).unwrap().examples.len(), 2);
        let message = fault_of("x.csv", format!("0,bad\n\n{blank}1,good\n").as_bytes());
        assert!(message.contains(&format!("x.csv:{}: ", MAX_LINE + 2)), "{message}");
    }
}
