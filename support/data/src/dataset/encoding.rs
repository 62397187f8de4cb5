//! From the bytes of a text file to UTF-8: by `--encoding`, or by a byte-order mark.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, DecoderResult, Encoding, MACINTOSH, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::dataset::quoted;
use crate::error::{Fault, fault};

/// Names in use that the Encoding Standard does not list.
const ALIASES: [(&str, &Encoding); 7] = [
    ("latin-1", WINDOWS_1252),
    ("latin_1", WINDOWS_1252),
    ("mac-roman", MACINTOSH),
    ("mac_roman", MACINTOSH),
    ("macroman", MACINTOSH),
    ("utf-16-le", UTF_16LE),
    ("utf-16-be", UTF_16BE),
];

/// The encoding that `--encoding` names, by any label of the WHATWG Encoding Standard. Latin-1 is read as Windows-1252, which has it as a part.
///
/// # Errors
/// A fault that names some encodings.
pub(crate) fn named(name: &str) -> Result<&'static Encoding, Fault> {
    let lower = name.trim().to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == lower).map(|(_, encoding)| *encoding);
    alias.or_else(|| Encoding::for_label(lower.as_bytes())).filter(|encoding| *encoding != REPLACEMENT).ok_or_else(
        || {
            let problem = format!("no encoding is called {}", quoted(name));
            fault(
                "--encoding",
                problem,
                "name one such as utf-8, latin-1, windows-1252, mac-roman, utf-16le or shift_jis",
            )
        },
    )
}

/// The encoding of a file that begins with `start`: that of its byte-order mark, else the one that was `asked` for; `None` of UTF-8.
pub(super) fn of(start: &[u8], asked: Option<&'static Encoding>) -> Option<&'static Encoding> {
    let marked = Encoding::for_bom(start).map(|(encoding, _)| encoding);
    marked.or(asked).filter(|encoding| *encoding != UTF_8)
}

/// The encoding that bytes look like which are not UTF-8.
pub(super) fn guessed(bytes: &[u8]) -> &'static str {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    if guess == UTF_8 { "windows-1252" } else { guess.name() }
}

/// A whole text, without a byte-order mark.
///
/// # Errors
/// How many bytes of it are well-formed.
pub(super) fn decoded(bytes: &[u8], encoding: &'static Encoding) -> Result<String, usize> {
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let most = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(4 * bytes.len() + 16);
    let mut text = String::with_capacity(most);
    match decoder.decode_to_string_without_replacement(bytes, &mut text, true) {
        (DecoderResult::InputEmpty, _) => Ok(text),
        (_, read) => Err(read),
    }
}

/// A reader of the UTF-8 that the bytes of another reader stand for.
pub(super) struct Decoded<R> {
    reader: R,
    decoder: Decoder,
    path: PathBuf,
    /// UTF-8 that is ready, from `given` on.
    ready: Vec<u8>,
    given: usize,
    /// Line ends up to the end of `ready`.
    lines: u64,
    ended: bool,
}

/// Bytes that are ready at a time.
const READY: usize = 1 << 16;

impl<R: BufRead> Decoded<R> {
    /// Reads `reader`, a file called `path`, in an encoding.
    pub(super) fn new(path: &Path, reader: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_with_bom_removal();
        Decoded { reader, decoder, path: path.to_path_buf(), ready: Vec::new(), given: 0, lines: 0, ended: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.ready.resize(READY, 0);
        let source = self.reader.fill_buf()?;
        let ended = source.is_empty();
        let (outcome, read, written) = self.decoder.decode_to_utf8_without_replacement(source, &mut self.ready, ended);
        self.reader.consume(read);
        self.ready.truncate(written);
        self.given = 0;
        self.lines += self.ready.iter().filter(|&&byte| byte == b'\n').count() as u64;
        match outcome {
            DecoderResult::InputEmpty => self.ended = ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                let name = self.decoder.encoding().name();
                let place = format!("{}:{}", self.path.display(), self.lines + 1);
                let problem = format!("the text is not {name}");
                return Err(io::Error::other(fault(place, problem, "name its encoding with --encoding")));
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() {
            if self.ended {
                return Ok(0);
            }
            self.fill()?;
        }
        let length = buffer.len().min(self.ready.len() - self.given);
        buffer[..length].copy_from_slice(&self.ready[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fault_of;
    use crate::dataset::{Columns, Dataset, Part, Reading};
    use crate::error::exit_code;

    /// Reads `bytes` as `x.csv` in an encoding.
    fn load(bytes: &[u8], encoding: Option<&str>) -> anyhow::Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, bytes).unwrap();
        let columns = Columns { encoding: encoding.map(str::to_owned), ..Columns::default() };
        Dataset::load_for(&path, Part::Train, &Reading::default().within(columns))
    }

    const TEXT: &str = "label,text\nja,\u{fc}bel caf\u{e9}\nnein,sch\u{f6}n\n";

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn utf16_with_a_byte_order_mark_is_read_without_being_asked_for() {
        let expected = load(TEXT.as_bytes(), None).unwrap();
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            let set = load(&utf16(&format!("\u{feff}{TEXT}"), unit), None).unwrap();
            assert_eq!(set.examples, expected.examples);
            assert!(set.layout.contains("encoding UTF-16"), "{}", set.layout);
        }
        // Without a mark it is named, and read where its encoding is named.
        let bytes = utf16(TEXT, u16::to_le_bytes);
        let message = load(&bytes, None).unwrap_err().to_string();
        assert!(message.contains("--encoding utf-16le"), "{message}");
        assert_eq!(load(&bytes, Some("utf-16le")).unwrap().examples, expected.examples);
        // More than one piece of the decoder, with a character of two units.
        let rows: String = (0..20_000).map(|row| format!("{},text {row} \u{1f600}\n", row % 2)).collect();
        let set = load(&utf16(&format!("\u{feff}{rows}"), u16::to_le_bytes), None).unwrap();
        assert_eq!((set.examples.len(), set.examples[19_999].text.as_str()), (20_000, "text 19999 \u{1f600}"));
    }

    #[test]
    fn encodings_of_one_byte_are_read_by_their_usual_names() {
        let expected = load(TEXT.as_bytes(), None).unwrap();
        for (encoding, letters) in [
            ("latin-1", [0xfc, 0xe9, 0xf6]),
            ("ISO-8859-1", [0xfc, 0xe9, 0xf6]),
            ("windows-1252", [0xfc, 0xe9, 0xf6]),
            ("mac-roman", [0x9f, 0x8e, 0x9a]),
            ("macintosh", [0x9f, 0x8e, 0x9a]),
        ] {
            let mut letters = letters.into_iter();
            let bytes: Vec<u8> =
                TEXT.chars().map(|c| if c.is_ascii() { c as u8 } else { letters.next().unwrap() }).collect();
            assert_eq!(load(&bytes, Some(encoding)).unwrap().examples, expected.examples, "{encoding}");
        }
        let error = load(TEXT.as_bytes(), Some("latin-99")).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("--encoding: no encoding is called \"latin-99\""), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_with_their_line_and_the_encoding_that_they_look_like() {
        let message = fault_of("x.csv", b"label,text\nja,gut\nnein,\xfcbel caf\xe9 sch\xf6n\n");
        assert!(message.contains("x.csv:3: ") && message.contains("--encoding windows-1252"), "{message}");
        let message = fault_of("x.csv", b"label,text\nja,gut\nnein,\xcf\xf0\xe8\xe2\xe5\xf2 \xec\xe8\xf0\n");
        assert!(message.contains("--encoding windows-1251"), "{message}");
        let error = load(b"label,text\n0,a\n1,\x82", Some("shift_jis")).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("x.csv:3: the text is not Shift_JIS"), "{error}");
    }
}
