//! Labelled texts: where they come from, how they are checked, and how they are divided.
//!
//! [`open`] streams the examples of a file or folder, whatever its format; [`Dataset::load`] keeps them all, with a digest;
//! [`Dataset::split`](Dataset::split) divides them without a leak. [`built_in`] makes a set that needs no network, [`fetch`]
//! brings the IMDb reviews.
//!
//! | path | what it holds |
//! | --- | --- |
//! | a folder with a folder for each class | one text in each file, `*.txt`, in the order of their names; of `pos/` and `neg/` (or `positive/` and `negative/`) the negative ones first |
//! | a folder with a file for each class | `*.txt`, one text on each line; licences and the like are left out, and named |
//! | a folder with `train/` and `test/` | two such folders, as published for the IMDb set; the [`Part`] picks one; `unsup/` is ignored |
//! | a folder with `train.tsv.gz`, … | one file a part in any format below, as `latch data` writes them; the [`Part`] picks one. Two files for one part are a fault |
//! | `.tsv` | `label<TAB>text` or `text<TAB>label`, one example a line; or a table with a header |
//! | `.csv` | a table: a column of labels and a column of texts, found by their names, by `--label-column` and `--text-column`, or by their content |
//! | `.jsonl`, `.ndjson`, `.json` | `{"label": "…", "text": "…"}`, one object a line, or all in one list |
//! | any other name | what the content says |
//! | any file, with [`Columns::pattern`] | one text on each line, of which a regular expression tells the label |
//! | any of these with `.gz` | the same, compressed |
//!
//! A label is a word. The classes of a [`Task`] are collected from the labels and sorted, by their numbers where all are numbers and else by their
//! characters; class `k` is the `k`-th of them. Of two classes the second is the one that a single logit stands for. Other tasks have a number a text, or
//! one label for each token (`{"tokens": ["…"], "labels": ["…"]}`, or labels with spaces between them in a table). Text is UTF-8, or UTF-16 with a
//! byte-order mark, or in the encoding that [`Columns::encoding`] names; it is brought into Unicode's form NFC ([`crate::composed`]). A
//! byte-order mark at the start, line ends of CRLF or of CR alone, and blank lines are tolerated. Texts without a word are tolerated up to one in a hundred, or three in a
//! smaller set. A line, or a CSV record, may have [`MAX_LINE`] bytes, and the examples that are kept [`memory_limit`].
//!
//! Whatever is wrong with the input is a [`Fault`](crate::error::Fault) that names the file and the line.

pub mod built_in;
pub(crate) mod classes;
mod csv;
pub(crate) mod encoding;
pub mod fetch;
pub(crate) mod folders;
mod foreign;
pub(crate) mod formats;
mod json_lines;
mod label;
pub(crate) mod lines;
mod load;
pub mod messages;
mod pattern;
pub(crate) mod split;
pub(crate) mod table;
mod tsv;

use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::composed::into_composed;
use crate::error::fault;
use crate::frames::Frames;
use classes::Coder;
pub use classes::{Columns, MAX_NAME, Reading, list, numbered};
pub use label::{Label, Labels, MAX_CLASSES, Task};
pub use lines::MAX_LINE;
pub use load::Watch;
pub use split::Repeated;
pub use tsv::{stage_tsv_gz, write_tsv_gz};

/// The fewest classes of a task.
pub const CLASSES: usize = 2;

/// One labelled text, or one recording. Its label is the number of a class where no other type is named.
#[derive(Debug, Clone, PartialEq)]
pub struct Example<L = u32> {
    /// The label.
    pub label: L,
    /// The text in Unicode's form NFC, without the end of its line; of a recording what it is called.
    pub text: String,
    /// The frames of a recording; `None` of a text.
    pub recording: Option<Box<Recording>>,
}

/// What a network reads of an example that is no text.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The frames.
    pub frames: Frames,
    /// The first step that has a label, where each step has one: those before are context.
    pub first: usize,
}

impl<L> Example<L> {
    /// A labelled text.
    #[must_use]
    pub fn new(label: L, text: impl Into<String>) -> Self {
        Self { label, text: text.into(), recording: None }
    }

    /// The labelled recording that is called `id`.
    #[must_use]
    pub fn recorded(label: L, id: impl Into<String>, recording: Recording) -> Self {
        Self { label, text: id.into(), recording: Some(Box::new(recording)) }
    }
}

/// An example as it stands in a file.
struct Row {
    label: String,
    text: String,
    place: Place,
}

/// Where an example stands: `path:line`, or the path of a file with one text.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: Arc<Path>,
    pub(crate) line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
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
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// The part's name in the names of files and folders: `train`, `valid` or `test`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// Names that files and folders of the part have, the usual one first.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Valid => &["valid", "validation", "val", "dev"],
            Self::Test => &["test"],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What examples in memory may take unless [`set_memory_limit`] says otherwise: 1 GiB.
pub const MEMORY_LIMIT: u64 = 1 << 30;

static MOST_MEMORY: AtomicU64 = AtomicU64::new(MEMORY_LIMIT);

/// The bytes that the examples of one data set may take of this process's memory, see [`Dataset::load_for`].
#[must_use]
pub fn memory_limit() -> u64 {
    MOST_MEMORY.load(Ordering::Relaxed)
}

/// Sets [`memory_limit`] for all that is loaded from here on.
pub fn set_memory_limit(bytes: u64) {
    MOST_MEMORY.store(bytes, Ordering::Relaxed);
}

/// What an example takes of the memory: itself, its text and its labels, and what the allocator adds to each of the two.
fn kept_bytes<L: Labels>(example: &Example<L>) -> u64 {
    const ALLOCATION: usize = 16;
    let labels = example.label.numbers().len();
    let labels = if labels > 1 { 4 * labels + ALLOCATION } else { 0 };
    (size_of::<Example<L>>() + example.text.capacity() + ALLOCATION + labels) as u64
}

/// A number of bytes in the largest unit that divides it.
pub(crate) fn in_units(bytes: u64) -> String {
    match [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift)
    {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// The file or folder that `path` means for `part`: itself, or the part of a folder with several.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if it cannot be read or has no such part.
pub fn locate(path: &Path, part: Part) -> Result<PathBuf> {
    formats::locate(path, part)
}

/// Whether `path` is a folder in which `part` is a file or folder of its own.
#[must_use]
pub fn has_part(path: &Path, part: Part) -> bool {
    formats::has_part(path, part)
}

/// Streams the texts of `path` with the numbers of their classes, in the order of the source; `part` picks one where `path` is a folder with several.
///
/// Only one example is held at a time, besides the list of file names of a folder. After the last example the stream reports what can
/// be known only then: that there was none, that only one class occurred (in a part to learn from: a test part may have one), or that too many
/// texts were empty.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) if `path` cannot be read or its format is unknown; the stream itself yields one for the first
/// line that is wrong, and ends there.
pub fn open(path: &Path, part: Part) -> Result<Examples> {
    open_for(path, part, &Reading::default())
}

/// As [`open`], with labels of any task. Classes that are not known beforehand are numbered in the order in which they first occur;
/// [`Dataset::load_for`] sorts them.
///
/// # Errors
/// As [`open`].
pub fn open_for<L: Labels>(path: &Path, part: Part, reading: &Reading) -> Result<Examples<L>> {
    let file = formats::locate(path, part)?;
    let source = formats::open(&file, reading)?;
    let seen = Seen { texts: 0, empty: 0, labels: 0, range: None };
    Ok(Examples { source, coder: Coder::new(reading), part, path: file, seen, ended: false, label: PhantomData })
}

/// The stream of examples that [`open`] returns.
pub struct Examples<L = u32> {
    source: Box<dyn Source>,
    coder: Coder,
    part: Part,
    path: PathBuf,
    seen: Seen,
    ended: bool,
    label: PhantomData<fn() -> L>,
}

/// A reader of one format.
trait Source: Iterator<Item = Result<Row>> + Send {
    /// What is not the plain case, in words: where labels and texts were found, what separates them, their encoding.
    fn layout(&self) -> Vec<String>;

    /// How much of it was read, and how much there is, in bytes or files.
    fn progress(&self) -> (u64, u64);
}

/// What a stream has brought.
struct Seen {
    texts: u64,
    empty: u64,
    labels: u64,
    /// The smallest and the largest label.
    range: Option<(f32, f32)>,
}

impl Seen {
    /// The example that a row is; its label is numbered by `coder`.
    fn example<L: Labels>(&mut self, Row { label, text, place }: Row, coder: &mut Coder) -> Result<Example<L>> {
        let label = coder.label(&label, &text, &place)?;
        self.texts += 1;
        self.empty += u64::from(text.trim().is_empty());
        for &label in label.numbers().iter() {
            let (low, high) = self.range.unwrap_or((label, label));
            self.range = Some((low.min(label), high.max(label)));
            self.labels += 1;
        }
        Ok(Example::new(label.into(), text))
    }
}

impl<L: Labels> Examples<L> {
    /// Where labels and texts were found, what separates them and their encoding, in words; empty in the plain case.
    #[must_use]
    pub fn layout(&self) -> String {
        self.source.layout().join(", ")
    }

    /// What is wrong with the examples as a whole, once the last one was read.
    fn verdict(&self) -> Result<()> {
        let place = self.path.display();
        let Seen { texts: total, empty, labels, range } = self.seen;
        if total == 0 {
            return Err(fault(place, "there is no example in it", "name a file with labelled texts").into());
        }
        if let Some((low, high)) = range
            && low == high
            && self.part != Part::Test
        {
            let label = match self.coder.names.get(low as usize) {
                Some(name) if !self.coder.task().has_values() => quoted(name),
                _ => low.to_string(),
            };
            let problem = format!("all {labels} labels are {label}");
            let remedy = "add examples with other labels, or name another column with --label-column";
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

/// A row whose text is in Unicode's form NFC.
fn composed_row(row: Row) -> Row {
    Row { text: into_composed(row.text), ..row }
}

impl<L: Labels> Iterator for Examples<L> {
    type Item = Result<Example<L>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.source.next();
        match row.map(|row| self.seen.example(row.map(composed_row)?, &mut self.coder)) {
            Some(outcome) => {
                self.ended = outcome.is_err();
                Some(outcome)
            }
            None => {
                self.ended = true;
                self.verdict().err().map(Err)
            }
        }
    }
}

/// Examples in memory, with the digest that says which ones they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset<L = u32> {
    /// The examples, in the order of the source or of the split.
    pub examples: Vec<Example<L>>,
    /// SHA-256 of the labels and texts in their order, 64 lower-case hexadecimal digits; see [`Dataset::new`].
    pub sha256: String,
    /// What to call it: the file's or folder's name without its extension.
    pub name: String,
    /// The names of the classes in the order of their numbers; empty of numbers, and where nobody has named them.
    pub classes: Vec<String>,
    /// Where labels and texts were found, what separates them and their encoding, in words; empty in the plain case.
    pub layout: String,
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
        Self {
            examples,
            sha256: hex(&digest.finalize()),
            name: name.into(),
            classes: Vec::new(),
            layout: String::new(),
        }
    }

    /// The same with names for its classes.
    #[must_use]
    pub fn named<S: Into<String>>(self, classes: impl IntoIterator<Item = S>) -> Self {
        Self { classes: classes.into_iter().map(Into::into).collect(), ..self }
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
        Self::load_for(path, part, &Reading::default())
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
pub(crate) fn quoted(text: &str) -> String {
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
        Example::new(label, text)
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
        assert!(message.contains("all 2 labels are \"1\""), "{message}");
        assert!(fault_of("a.tsv", b"ham\tbad\n").contains("all 1 labels are \"ham\""));
    }

    #[test]
    fn a_test_part_may_have_one_class_and_every_text_is_in_one_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        fs::write(&path, "1\tcafe\u{301}\n1\tcaf\u{e9}\n").unwrap();
        let texts: Vec<String> =
            Dataset::load_part(&path, Part::Test).unwrap().examples.into_iter().map(|example| example.text).collect();
        assert_eq!(texts, ["caf\u{e9}"; 2]);
        assert!(Dataset::load_part(&path, Part::Valid).is_err());
    }

    #[test]
    fn a_few_empty_texts_are_allowed_and_many_are_a_fault() {
        let few = load_bytes("a.tsv", b"0\t\n1\tgood\n1\t \n0\t\n").unwrap();
        assert_eq!(few.examples.len(), 4);
        assert_eq!(few.examples[0].text, "");
        assert!(fault_of("a.tsv", b"0\t\n1\t\n1\t \n0\t\n1\tgood\n").contains("4 of 5 texts are empty"));
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
        fs::write(&path, "0\tbad\n\ty\n1\tgood\n").unwrap();
        let mut stream = open(&path, Part::Train).unwrap();
        assert!(stream.next().unwrap().is_ok());
        assert!(stream.next().unwrap().is_err());
        assert!(stream.next().is_none());
    }

    #[test]
    fn texts_that_take_more_memory_than_permitted_are_a_fault_that_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        fs::write(&path, format!("0\tbad\n{}", "1\tx\n".repeat(100_000))).unwrap();
        let load = |most| Dataset::<u32>::load_within(&path, Part::Train, &Reading::default(), most);
        assert_eq!(load(MEMORY_LIMIT).unwrap().examples.len(), 100_001);
        let error = load(1 << 20).unwrap_err();
        assert_eq!(exit_code(&error), 2);
        // 40 bytes of an example and 16 of the allocator beside the text, which has at least one.
        let line: usize = error.to_string().split("a.tsv:").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
        assert_eq!(line, 18_397, "{error}");
        assert!(error.to_string().contains(&format!("{line} texts take more than 1 MiB of memory")), "{error}");
        assert!(error.to_string().contains("--max-memory"), "{error}");
        assert_eq!(
            (in_units(3 << 30), in_units(1000), in_units(0)),
            ("3 GiB".into(), "1000 bytes".into(), "0 bytes".into())
        );
    }

    #[test]
    fn the_labels_of_tokens_count_as_memory_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tsv");
        fs::write(&path, format!("0 1\ta b\n{}\t{}\n", "1 ".repeat(10_000), "a ".repeat(10_000))).unwrap();
        let load = |most| Dataset::<Label>::load_within(&path, Part::Train, &Reading::of(Task::Tag(0)), most);
        assert!(load(100_000).is_ok());
        let error = load(50_000).unwrap_err();
        assert!(error.to_string().contains("a.tsv:2: "), "{error}");
    }

    #[test]
    fn labels_as_other_tools_write_them_become_classes() {
        let folder = tempfile::tempdir().unwrap();
        let load = |labels: &[&str]| {
            let path = folder.path().join("a.tsv");
            let rows: String = labels.iter().enumerate().map(|(row, label)| format!("{label}\ttext {row}\n")).collect();
            fs::write(&path, rows).unwrap();
            let set = Dataset::<u32>::load(&path).unwrap();
            (set.classes.join(" "), set.examples.iter().map(|example| example.label).collect::<Vec<_>>())
        };
        // Whole numbers with a point, as a table with gaps has them.
        assert_eq!(load(&["0.0", "1.0"]), ("0 1".into(), vec![0, 1]));
        assert_eq!(load(&["0", "3.0", "1.0", "2"]), ("0 1 2 3".into(), vec![0, 3, 1, 2]));
        // Classes that begin at 1, leave one out, or are negative.
        assert_eq!(load(&["5", "1", "3"]), ("1 3 5".into(), vec![2, 0, 1]));
        assert_eq!(load(&["1", "-1"]), ("-1 1".into(), vec![1, 0]));
        assert_eq!(load(&["spam", "ham ", " spam"]), ("ham spam".into(), vec![1, 0, 1]));
        assert_eq!(load(&["True", "False"]), ("False True".into(), vec![1, 0]));
        assert_eq!(load(&["Positive ", "neg"]), ("Positive neg".into(), vec![0, 1]));
    }

    #[test]
    fn a_label_of_the_map_that_never_occurs_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "ham,a\nspam,b\n").unwrap();
        let load = |map: &str, part| {
            let columns = Columns { map: Columns::parse_map(map).unwrap(), ..Columns::default() };
            Dataset::<u32>::load_for(&path, part, &Reading::default().within(columns))
        };
        assert_eq!(load("ham=no,spam=yes", Part::Train).unwrap().classes, ["no", "yes"]);
        assert!(load("hma=no", Part::Test).is_ok());
        let message = load("hma=no", Part::Train).unwrap_err().to_string();
        assert!(
            message.contains("--label-map: no label of ") && message.contains("is \"hma\"; its classes are ham, spam"),
            "{message}"
        );
    }

    #[test]
    fn a_class_that_occurs_once_is_in_the_part_to_train_on() {
        for seed in 0..20 {
            let mut examples: Vec<_> = (0..100).map(|row| example(row % 2, &format!("text {row}"))).collect();
            examples.push(example(2, "alone"));
            let [train, valid] = Dataset::new("x", examples).split(seed, [0.9, 0.1]).unwrap();
            assert_eq!((train.class_counts().get(2), valid.class_counts().len()), (Some(&1), 2), "{seed}");
        }
    }
}
