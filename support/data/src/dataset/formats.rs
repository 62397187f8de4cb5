//! Which format a path has, and the lines of a text file: decompressed, counted, limited, checked to be UTF-8.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::bufread::MultiGzDecoder;

use super::{Part, Source, Task, acl_imdb, csv, json_lines, tsv};
use crate::error::{fault, open_file, reading};

/// The longest line, CSV record or review file that is read: 4 MiB. The longest IMDb review has 14 kB; a line beyond this limit is
/// some other kind of file, and is refused before it fills the memory.
pub const MAX_LINE: usize = 4 << 20;

/// How a text file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Tsv,
    Csv,
    JsonLines,
}

const EXTENSIONS: [(&str, Format); 4] =
    [(".tsv", Format::Tsv), (".csv", Format::Csv), (".jsonl", Format::JsonLines), (".ndjson", Format::JsonLines)];

/// The format that the name of `path` promises, whether it is said to be compressed, and the name without its extensions.
fn recognise(path: &Path) -> Option<(Format, bool, String)> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    let (stem, compressed) = match lower.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (lower.as_str(), false),
    };
    let (extension, format) = EXTENSIONS.iter().find(|(extension, _)| stem.ends_with(extension))?;
    Some((*format, compressed, name[..stem.len() - extension.len()].to_owned()))
}

/// What to call the data set at `path`: its file name without the extensions above.
pub(super) fn name(path: &Path) -> String {
    if let Some((_, _, name)) = recognise(path)
        && !name.is_empty()
    {
        return name;
    }
    // `.` and `..` have a name only once they are resolved.
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    match resolved.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => "data".to_owned(),
    }
}

/// The file, or the folder with `pos/` and `neg/`, that `path` and `part` mean.
pub(super) fn locate(path: &Path, part: Part) -> Result<PathBuf> {
    let metadata = fs::metadata(path).map_err(|error| reading(path, error))?;
    if !metadata.is_dir() || acl_imdb::is_part(path) {
        return Ok(path.to_path_buf());
    }
    let folder = path.join(part.name());
    if acl_imdb::is_part(&folder) {
        return Ok(folder);
    }
    for (extension, _) in EXTENSIONS {
        for compressed in ["", ".gz"] {
            let file = path.join(format!("{part}{extension}{compressed}"));
            if file.is_file() {
                return Ok(file);
            }
        }
    }
    let place = path.display();
    Err(match ["pos", "neg"].map(|class| path.join(class).is_dir()) {
        [true, false] => fault(place, "it has a folder pos/ but no folder neg/", "add the negative reviews as neg/*.txt"),
        [false, true] => fault(place, "it has a folder neg/ but no folder pos/", "add the positive reviews as pos/*.txt"),
        _ if path.join("aclImdb").is_dir() => {
            fault(place, "the data lies one folder deeper", format!("name {}", path.join("aclImdb").display()))
        }
        _ => fault(
            place,
            format!("this folder has no {part} data: no pos/ and neg/, no {part}/pos/ and {part}/neg/, no file such as {part}.tsv"),
            "name a folder that has, or a .tsv, .csv or .jsonl file",
        ),
    }
    .into())
}

/// Opens what [`locate`] found.
pub(super) fn open(path: &Path, task: Task) -> Result<Source> {
    if path.is_dir() {
        if !matches!(task, Task::Verdict | Task::Classes(_)) {
            return Err(fault(
                path.display(),
                "a folder with pos/ and neg/ has two classes and no other labels",
                "name a .tsv, .csv or .jsonl file",
            )
            .into());
        }
        return Ok(Box::new(acl_imdb::Reviews::open(path)?));
    }
    let Some((format, compressed, _)) = recognise(path) else {
        // A file that cannot be read has a graver problem than its name.
        open_file(path)?;
        return Err(fault(
            path.display(),
            "the format of this file is not known from its name",
            "let the name end in .tsv, .csv, .jsonl or .ndjson, or in one of these and .gz",
        )
        .into());
    };
    let lines = Lines::open(path, compressed)?;
    Ok(match format {
        Format::Tsv => Box::new(tsv::Rows::new(lines, task)),
        Format::Csv => Box::new(csv::Records::new(lines, task)),
        Format::JsonLines => Box::new(json_lines::Objects::new(lines, task)),
    })
}

/// The lines of a text file, one at a time in the same buffer.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    /// The number of the line in `buffer`, from 1.
    number: u64,
    /// Where the line in `buffer` starts in the decompressed text, in bytes.
    start: u64,
    /// Where the next line starts.
    end: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens `path`. Its first bytes decide whether it is decompressed; `compressed` is what its name says.
    fn open(path: &Path, compressed: bool) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, open_file(path)?);
        let start = file.fill_buf().map_err(|error| reading(path, error))?;
        let gzip = start.starts_with(&[0x1f, 0x8b]);
        if compressed && !gzip && !start.is_empty() {
            return Err(fault(
                path.display(),
                "its name ends in .gz, but it is not compressed with gzip",
                "compress it, or remove .gz from its name",
            )
            .into());
        }
        let reader: Box<dyn BufRead + Send> =
            if gzip { Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Self::new(path, reader))
    }

    /// The lines of `reader`; messages name `path`.
    pub(super) fn new(path: &Path, reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, path: path.to_path_buf(), number: 0, start: 0, end: 0, buffer: Vec::new() }
    }

    /// Goes to the next line that is not blank; false at the end.
    pub(super) fn advance_to_text(&mut self) -> Result<bool> {
        while self.advance()? {
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The current line, without its LF or CRLF.
    pub(super) fn line(&self) -> Result<&str> {
        str::from_utf8(&self.buffer).map_err(|error| not_utf8(self.place(), error, self.start))
    }

    /// The place of the current line, `path:line`.
    pub(super) fn place(&self) -> String {
        self.place_of(self.number)
    }

    /// The place of line `number`.
    pub(super) fn place_of(&self, number: u64) -> String {
        format!("{}:{number}", self.path.display())
    }

    /// The number of the current line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Goes to the next line; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.start = self.end;
        self.number += 1;
        // One CRLF more than a line may have: what is longer than that is not read any further.
        let limit = MAX_LINE as u64 + 2;
        let outcome = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer);
        let length = outcome.map_err(|error| self.unreadable(error))?;
        self.end += length as u64;
        if length == 0 {
            return Ok(false);
        }
        if self.buffer.ends_with(b"\n") {
            self.buffer.pop();
            if self.buffer.ends_with(b"\r") {
                self.buffer.pop();
            }
        }
        if self.buffer.len() > MAX_LINE {
            return Err(too_long(self.place()));
        }
        if self.number == 1 && self.buffer.starts_with("\u{feff}".as_bytes()) {
            self.buffer.drain(..3);
            self.start += 3;
        }
        Ok(true)
    }

    /// What to report for an error of the file or the decompressor.
    fn unreadable(&self, error: io::Error) -> anyhow::Error {
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
    fault(
        place,
        format!("this text is longer than {MAX_LINE} bytes"),
        "divide it, or check that the file is what its name says",
    )
    .into()
}

/// The fault of bytes that are not UTF-8, which start `start` bytes into the file.
pub(super) fn not_utf8(place: impl std::fmt::Display, error: std::str::Utf8Error, start: u64) -> anyhow::Error {
    fault(
        place,
        format!("the text is not UTF-8 at byte offset {} of the file", start + error.valid_up_to() as u64),
        "save the file as UTF-8",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fault_of, load_bytes};
    use super::*;
    use crate::dataset::{Dataset, Example};
    use crate::error::exit_code;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    const ROWS: &[u8] = b"0\tbad film\n1\tgood film\n";

    #[test]
    fn every_format_gives_the_same_examples_plain_or_compressed() {
        let expected = load_bytes("x.tsv", ROWS).unwrap();
        let files: [(&str, &[u8]); 4] = [
            ("x.tsv", b"\xef\xbb\xbf0\tbad film\r\n1\tgood film"),
            ("x.csv", b"\xef\xbb\xbflabel,text\r\n0,bad film\r\n1,\"good film\"\r\n"),
            ("x.jsonl", b"\xef\xbb\xbf{\"label\":0,\"text\":\"bad film\"}\r\n{\"label\":1,\"text\":\"good film\"}"),
            ("x.ndjson", b"{\"label\":\"neg\",\"text\":\"bad film\"}\n\n{\"label\":\"pos\",\"text\":\"good film\"}\n"),
        ];
        for (name, bytes) in files {
            assert_eq!(load_bytes(name, bytes).unwrap(), expected, "{name}");
            for name in [format!("{name}.gz"), name.to_uppercase() + ".GZ"] {
                let set = load_bytes(&name, &gzip(bytes)).unwrap();
                assert_eq!(set.sha256, expected.sha256, "{name}");
                assert_eq!(set.name.to_lowercase(), "x");
            }
        }
    }

    #[test]
    fn a_gzip_file_may_have_several_members_and_may_lack_its_extension() {
        let expected = load_bytes("x.tsv", ROWS).unwrap();
        let members = [gzip(&ROWS[..7]), gzip(&ROWS[7..])].concat();
        assert_eq!(load_bytes("x.tsv.gz", &members).unwrap(), expected);
        assert_eq!(load_bytes("x.tsv", &members).unwrap(), expected);
    }

    #[test]
    fn every_truncation_of_a_gzip_file_is_a_fault() {
        let whole = gzip(ROWS);
        for length in 0..whole.len() {
            fault_of("x.tsv.gz", &whole[..length]);
        }
    }

    #[test]
    fn a_damaged_gzip_file_is_a_fault() {
        let mut bytes = gzip(ROWS);
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        assert!(fault_of("x.tsv.gz", &bytes).contains("damaged"));
        assert!(fault_of("x.tsv.gz", ROWS).contains("not compressed"));
    }

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
    fn ten_megabytes_in_one_line_are_a_fault_in_every_format() {
        let long = "x".repeat(10_000_000);
        for (name, text) in [
            ("x.tsv", format!("0\tbad\n1\t{long}\n")),
            ("x.csv", format!("0,bad\n1,{long}\n")),
            ("x.jsonl", format!("{{\"label\":0,\"text\":\"bad\"}}\n{{\"label\":1,\"text\":\"{long}\"}}\n")),
        ] {
            for (name, bytes) in
                [(name.to_owned(), text.clone().into_bytes()), (format!("{name}.gz"), gzip(text.as_bytes()))]
            {
                let message = fault_of(&name, &bytes);
                assert!(message.contains(&format!("{name}:2: this text is longer")), "{message}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_fault_with_their_offset() {
        let message = fault_of("x.tsv", b"0\tbad\n1\tgo\xffod\n");
        assert!(message.contains("x.tsv:2: ") && message.contains("byte offset 10 "), "{message}");
        let message = fault_of("x.tsv", b"\xef\xbb\xbf0\tb\xe9d\n");
        assert!(message.contains("x.tsv:1: ") && message.contains("byte offset 6 "), "{message}");
        // UTF-16 with its mark.
        assert!(fault_of("x.csv", b"\xff\xfe0\0,\0").contains("byte offset 0 "));
    }

    #[test]
    fn an_unknown_extension_and_a_missing_file_are_faults() {
        assert!(fault_of("x.xlsx", ROWS).contains(".tsv, .csv, .jsonl"));
        assert!(fault_of("x.gz", &gzip(ROWS)).contains(".tsv, .csv, .jsonl"));
        let error = Dataset::load(Path::new("/no/such/set.tsv")).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("/no/such/set.tsv"), "{error}");
    }

    #[test]
    fn a_folder_of_parts_gives_the_part_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.tsv.gz"), gzip(ROWS)).unwrap();
        std::fs::write(folder.path().join("test.csv"), "0,dull\n1,nice\n").unwrap();
        let load = |part| Dataset::load_part(folder.path(), part);
        assert_eq!(load(Part::Train).unwrap().examples[0].text, "bad film");
        let dull = Example { label: 0, text: "dull".into() };
        assert_eq!(load(Part::Test).unwrap().examples[0], dull);
        let error = load(Part::Valid).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        assert!(error.to_string().contains("no valid data"), "{error}");
    }
}
