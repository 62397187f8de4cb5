//! Labelled texts: where they come from, how they are checked, and how they are divided.
//!
//! [`open`] streams the examples of a file or folder, whatever its format; [`Dataset::load`] keeps them all, with a digest;
//! [`Dataset::split`](Dataset::split) divides them without a leak. [`built_in`] makes a set that needs no network, [`fetch`]
//! brings the IMDb reviews.
//!
//! | path | what it holds |
//! | --- | --- |
//! | a folder with `pos/` and `neg/` | one review a file, `*.txt`; negative ones first, each in the order of their file names |
//! | a folder with `train/` and `test/` | two such folders, as published for the IMDb set; the [`Part`] picks one; `unsup/` is ignored |
//! | a folder with `train.tsv.gz`, … | one file a part in any format below, as `latch data` writes them; the [`Part`] picks one |
//! | `.tsv` | `label<TAB>text`, one example a line |
//! | `.csv` | a column `label` or `sentiment` and a column `text` or `review`; without a header: a label and a text |
//! | `.jsonl`, `.ndjson` | `{"label": 1, "text": "…"}`, one object a line |
//! | any of these with `.gz` | the same, compressed |
//!
//! A label is 0, `neg` or `negative`, or else 1, `pos` or `positive`, in upper or lower case; [`open_for`] reads those of every other
//! [`Task`]: one of several classes, a value, or one of them for each token (`{"tokens": ["…"], "labels": [0]}`, `{"text": "…", "labels": [0]}`,
//! or labels with spaces between them in a table). Text is UTF-8; a byte-order mark at
//! the start, CRLF line ends and blank lines are tolerated. Texts without a word are tolerated up to one in a hundred, or three in a
//! smaller set. A line, or a CSV record, may have [`MAX_LINE`] bytes.
//!
//! Whatever is wrong with the input is a [`Fault`](crate::error::Fault) that names the file and the line.

mod acl_imdb;
pub mod built_in;
mod csv;
pub mod fetch;
mod formats;
mod json_lines;
mod label;
mod split;
mod tsv;

use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::error::fault;
pub use formats::MAX_LINE;
pub use label::{Label, Labels, MAX_CLASSES, Task};
pub use tsv::{stage_tsv_gz, write_tsv_gz};

/// The number of classes of a verdict: 0 is negative, 1 is positive.
pub const CLASSES: usize = 2;

/// One labelled text. Its label is a class, below [`CLASSES`], where no other type is named: 0 is negative, 1 is positive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Example<L = u32> {
    /// The label.
    pub label: L,
    /// The text, as it stands in the source, without the end of its line.
    pub text: String,
}

/// The part of a data set that is published in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// What the network learns from.
    Train,
    /// What decides when to stop and what to keep.
    Valid,
    /// What is looked at once, at the end.
    Test,
}

impl Part {
    /// The part's name in the names of files and folders: `train`, `valid` or `test`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Streams the examples of `path`, in the order of the source; `part` picks one where `path` is a folder with several.
///
/// Only one example is held at a time, besides the list of file names of a folder. After the last example the stream reports what can
/// be known only then: that there was none, that only one class occurred, or that too many texts were empty.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if `path` cannot be read or its format is unknown; the stream itself yields one for the first
/// line that is wrong, and ends there.
pub fn open(path: &Path, part: Part) -> Result<Examples> {
    open_for(path, part, Task::Verdict)
}

/// As [`open`], with labels of any task.
///
/// # Errors
/// As [`open`].
pub fn open_for<L: Labels>(path: &Path, part: Part, task: Task) -> Result<Examples<L>> {
    let file = formats::locate(path, part)?;
    let source = formats::open(&file, task)?;
    let seen = Seen { texts: 0, empty: 0, labels: 0, range: None };
    Ok(Examples { source, task, path: file, seen, ended: false, label: PhantomData })
}

/// The stream of examples that [`open`] returns.
pub struct Examples<L = u32> {
    source: Source,
    task: Task,
    path: PathBuf,
    seen: Seen,
    ended: bool,
    label: PhantomData<fn() -> L>,
}

/// What a reader of one format is.
type Source = Box<dyn Iterator<Item = Result<Example<Label>>> + Send>;

/// What a stream has brought.
struct Seen {
    texts: u64,
    empty: u64,
    labels: u64,
    /// The smallest and the largest label.
    range: Option<(f32, f32)>,
}

impl<L> Examples<L> {
    /// What is wrong with the examples as a whole, once the last one was read.
    fn verdict(&self) -> Result<()> {
        let place = self.path.display();
        let Seen { texts: total, empty, labels, range } = self.seen;
        if total == 0 {
            return Err(fault(place, "there is no example in it", "name a file with labelled texts").into());
        }
        if let Some((low, high)) = range
            && low == high
        {
            let (problem, remedy) = if self.task == Task::Verdict {
                let name = ["negative", "positive"][usize::from(low > 0.0)];
                (format!("all {total} examples have the label {low} ({name})"), "add examples of the other class")
            } else {
                (format!("all {labels} labels are {low}"), "add examples with other labels")
            };
            return Err(fault(place, problem, remedy).into());
        }
        if empty > (total / 100).max(3) {
            return Err(fault(
                place,
                format!("{empty} of {total} texts are empty"),
                "check that the text is where the format expects it, or remove these rows",
            )
            .into());
        }
        Ok(())
    }
}

impl<L: Labels> Iterator for Examples<L> {
    type Item = Result<Example<L>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.source.next() {
            Some(Ok(example)) => {
                let seen = &mut self.seen;
                seen.texts += 1;
                seen.empty += u64::from(example.text.trim().is_empty());
                for &label in example.label.numbers().iter() {
                    let (low, high) = seen.range.unwrap_or((label, label));
                    seen.range = Some((low.min(label), high.max(label)));
                    seen.labels += 1;
                }
                Some(Ok(Example { label: example.label.into(), text: example.text }))
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            None => {
                self.ended = true;
                self.verdict().err().map(Err)
            }
        }
    }
}

/// Examples in memory, with the digest that says which ones they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset<L = u32> {
    /// The examples, in the order of the source or of the split.
    pub examples: Vec<Example<L>>,
    /// SHA-256 of the labels and texts in their order, 64 lower-case hexadecimal digits; see [`Dataset::new`].
    pub sha256: String,
    /// What to call it: the file's or folder's name without its extension.
    pub name: String,
}

impl<L: Labels> Dataset<L> {
    /// The data set `name` of `examples`.
    ///
    /// Its digest is SHA-256 over, for each example in order, the label (a class as a u32, a value or the labels of the tokens as f32, little
    /// endian), the text's length in bytes (u64, little endian) and the text. It does not depend on the format or the compression of the file
    /// that the examples came from.
    #[must_use]
    pub fn new(name: impl Into<String>, examples: Vec<Example<L>>) -> Self {
        let mut digest = Sha256::new();
        for example in &examples {
            example.label.digest(&mut digest);
            digest.update((example.text.len() as u64).to_le_bytes());
            digest.update(&example.text);
        }
        Self { examples, sha256: hex(&digest.finalize()), name: name.into() }
    }

    /// Loads all examples of `path` with the labels of a task; of a folder with several parts, `part`.
    ///
    /// # Errors
    /// As [`open`] and its stream.
    pub fn load_for(path: &Path, part: Part, task: Task) -> Result<Self> {
        let examples = open_for(path, part, task)?.collect::<Result<_>>()?;
        Ok(Self::new(formats::name(path), examples))
    }

    /// The task with as many classes as the examples have, where it leaves that to them.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if a class between 0 and the largest has no example.
    pub fn resolve(&self, task: Task) -> Result<Task> {
        let (Task::Classes(0) | Task::Tags(0)) = task else { return Ok(task) };
        let mut seen = [false; MAX_CLASSES as usize];
        for example in &self.examples {
            for &class in example.label.numbers().iter() {
                seen[class as usize] = true;
            }
        }
        let classes = seen.iter().rposition(|&seen| seen).map_or(0, |last| last + 1);
        match seen[..classes].iter().position(|&seen| !seen) {
            None => Ok(task.with_classes(classes as u32)),
            Some(class) => Err(fault(
                &self.name,
                format!("the largest class is {}, and no example has class {class}", classes - 1),
                "number the classes from 0 without a gap, or say how many there are by --classes",
            )
            .into()),
        }
    }

    /// The number of examples of each class, at least [`CLASSES`] numbers.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        class_counts(&self.examples)
    }
}

impl Dataset {
    /// Loads all examples of `path`; of a folder with several parts, the part to train on.
    ///
    /// # Errors
    /// As [`open`] and its stream.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_part(path, Part::Train)
    }

    /// Loads all examples of `path`; of a folder with several parts, `part`.
    ///
    /// # Errors
    /// As [`open`] and its stream.
    pub fn load_part(path: &Path, part: Part) -> Result<Self> {
        Self::load_for(path, part, Task::Verdict)
    }
}

/// The number of examples of each class, at least [`CLASSES`] numbers.
fn class_counts<'a, L: Labels + 'a>(examples: impl IntoIterator<Item = &'a Example<L>>) -> Vec<usize> {
    let mut counts = vec![0; CLASSES];
    for example in examples {
        let class = example.label.stratum() as usize;
        if class >= counts.len() {
            counts.resize(class + 1, 0);
        }
        counts[class] += 1;
    }
    counts
}

/// `bytes` in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The start of `text` as it may be shown in a message: in quotes, escaped, and not long.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let start: String = text.chars().take(SHOWN).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_code;
    use std::fs;

    /// Writes `bytes` to a file `name` and loads it.
    pub(super) fn load_bytes(name: &str, bytes: &[u8]) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        Dataset::load(&path)
    }

    /// The message of the fault that loading `bytes` as `name` ends in.
    pub(super) fn fault_of(name: &str, bytes: &[u8]) -> String {
        let error = load_bytes(name, bytes).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
        error.to_string()
    }

    pub(super) fn example(label: u32, text: &str) -> Example {
        Example { label, text: text.into() }
    }

    #[test]
    fn the_digest_depends_on_labels_texts_and_order_and_on_nothing_else() {
        let tsv = load_bytes("a.tsv", b"0\tbad\n1\tgood\n").unwrap();
        let csv = load_bytes("b.csv", b"text,label\nbad,neg\ngood,pos\n").unwrap();
        assert_eq!(tsv.sha256, csv.sha256);
        assert_eq!(tsv.sha256.len(), 64);
        assert_eq!((tsv.name.as_str(), csv.name.as_str()), ("a", "b"));
        for other in ["1\tgood\n0\tbad\n", "1\tbad\n0\tgood\n", "0\tba\n1\tdgood\n"] {
            assert_ne!(load_bytes("a.tsv", other.as_bytes()).unwrap().sha256, tsv.sha256);
        }
    }

    #[test]
    fn the_digest_is_that_of_the_documented_bytes() {
        let set = Dataset::new("x", vec![example(1, "ab")]);
        let bytes = b"\x01\0\0\0\x02\0\0\0\0\0\0\0ab";
        assert_eq!(set.sha256, hex(&Sha256::digest(bytes)));
    }

    #[test]
    fn an_empty_file_is_a_fault() {
        for (name, bytes) in [
            ("a.tsv", &b""[..]),
            ("a.tsv", b"\xef\xbb\xbf\n\r\n\n"),
            ("a.csv", b""),
            ("a.csv", b"label,text\n"),
            ("a.jsonl", b"\n"),
        ] {
            assert!(fault_of(name, bytes).contains("no example"));
        }
    }

    #[test]
    fn a_file_with_one_class_is_a_fault_that_names_the_class() {
        let message = fault_of("a.tsv", b"1\tgood\n1\tfine\n");
        assert!(message.contains("all 2 examples have the label 1 (positive)"), "{message}");
        assert!(fault_of("a.tsv", b"0\tbad\n").contains("0 (negative)"));
    }

    #[test]
    fn a_few_empty_texts_are_allowed_and_many_are_a_fault() {
        let few = load_bytes("a.tsv", b"0\t\n1\tgood\n1\t \n0\t\n").unwrap();
        assert_eq!(few.examples.len(), 4);
        assert_eq!(few.examples[0].text, "");
        assert!(fault_of("a.tsv", b"0\t\n1\t\n1\t \n0\t\n1\tgood\n").contains("4 of 5 texts are empty"));
    }

    #[test]
    fn labels_are_known_by_number_and_by_word() {
        for (word, label) in [("0", 0), (" Neg", 0), ("NEGATIVE", 0), ("1", 1), ("pos ", 1), ("Positive", 1)] {
            assert_eq!(label::class_named(word), Some(label), "{word}");
        }
        for word in ["", "2", "-1", "1.0", "good", "negativ", "00"] {
            assert_eq!(label::class_named(word), None, "{word}");
        }
    }

    #[test]
    fn a_message_shows_a_long_or_odd_label_shortened_and_escaped() {
        let text = format!("0\tbad\n\x1b[2J{}\tx\n", "y".repeat(1000));
        let message = fault_of("a.tsv", text.as_bytes());
        assert!(message.contains("a.tsv:2: the label \"\\u{1b}[2Jyy"), "{message}");
        assert!(message.len() < 300, "{message}");
    }

    #[test]
    fn a_stream_ends_after_its_first_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        fs::write(&path, "0\tbad\nx\ty\n1\tgood\n").unwrap();
        let mut stream = open(&path, Part::Train).unwrap();
        assert!(stream.next().unwrap().is_ok());
        assert!(stream.next().unwrap().is_err());
        assert!(stream.next().is_none());
    }
}
